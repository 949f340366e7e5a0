//! Segments: their text, grids, SLIC, and what they are hidden by.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, Baseline, KernelShap, Method, MethodOptions, Network, Segments,
    Superpixels, Target,
};
use elucid_models::photographs;
use elucid_testkit::{relative_error, tensor};
use ndarray::Array2;

use super::{HEIGHT, WIDTH, image, labels, on_host, rough, rough_network, six};
use crate::shared::SQUEEZENET as MODEL;

#[test]
fn segments_as_text() {
    for (text, want) in [
        ("grid:8", Superpixels::grid(8)),
        (" slic:50", Superpixels::slic(50)),
        ("slic:50:2.5", Superpixels::slic_with_compactness(50, 2.5)),
    ] {
        assert_eq!(text.parse::<Superpixels>().unwrap(), want);
        assert_eq!(want.to_string().parse::<Superpixels>().unwrap(), want);
    }
    for text in [
        "",
        "grid",
        "grid:",
        "grid:-1",
        "slic:5:",
        "slic:5:1:1",
        "felzenszwalb:3",
    ] {
        assert!(text.parse::<Superpixels>().is_err(), "{text}");
        let options = MethodOptions::new().set("segments", text);
        let refused = Method::find("lime").unwrap().build(&options);
        assert!(matches!(refused, Err(AttributionError::OptionValue { .. })));
    }
}

fn photograph(bytes: &[u8], size: [usize; 2]) -> Tensor<4> {
    let spec = MODEL.input_spec().clone().with_size(size).unwrap();
    let picture = elucid_vision::input::decode_image(bytes).unwrap();
    let values = spec.prepare(&picture).unwrap().tensor;
    tensor(values.into_iter().collect(), [1, 3, size[0], size[1]])
}

fn first(superpixels: &Superpixels, network: &dyn Network, image: &Tensor<4>) -> Segments {
    let segments = superpixels.segments(network, image).unwrap();
    let count = segments[0].count();
    let labels: BTreeSet<usize> = segments[0].labels().iter().copied().collect();
    assert_eq!(labels, (0..count).collect());
    let [_, _, height, width] = image.dims();
    assert_eq!(segments[0].labels().dim(), (height, width));
    segments[0].clone()
}

/// Pixels of a segment reach each other by their sides.
fn is_connected(segments: &Segments) -> bool {
    let labels = segments.labels();
    let mut seen = Array2::from_elem(labels.dim(), false);
    let mut parts = 0;
    for (start, &label) in labels.indexed_iter() {
        if seen[start] {
            continue;
        }
        parts += 1;
        let mut open = vec![start];
        while let Some((y, x)) = open.pop() {
            if labels.get((y, x)) != Some(&label) || seen[(y, x)] {
                continue;
            }
            seen[(y, x)] = true;
            open.extend([(y + 1, x), (y, x + 1)]);
            open.extend(y.checked_sub(1).map(|y| (y, x)));
            open.extend(x.checked_sub(1).map(|x| (y, x)));
        }
    }
    parts == segments.count()
}

#[test]
fn grids_are_even() {
    for (cells, height, width) in [(1, 3, 3), (3, 7, 11), (5, 5, 9), (8, 224, 224)] {
        let image = tensor(vec![0.0; height * width], [1, 1, height, width]);
        let segments = first(&Superpixels::grid(cells), &rough_network, &image);
        assert_eq!(segments.count(), cells * cells);
        assert!(is_connected(&segments));
        for (cell, label) in (0..cells * cells).enumerate() {
            let pixels = segments.labels().indexed_iter();
            let of_cell: Vec<(usize, usize)> = pixels
                .filter(|(_, l)| **l == label)
                .map(|(at, _)| at)
                .collect();
            let rows: BTreeSet<usize> = of_cell.iter().map(|at| at.0).collect();
            let columns: BTreeSet<usize> = of_cell.iter().map(|at| at.1).collect();
            assert_eq!(rows.len() * columns.len(), of_cell.len());
            assert!(rows.len().abs_diff(height / cells) <= 1);
            assert!(columns.len().abs_diff(width / cells) <= 1);
            if cell == 0 {
                assert_eq!(of_cell[0], (0, 0));
            }
        }
    }
}

#[test]
fn slic_cuts_photographs_into_connected_segments() {
    let cat = photographs::chelsea();
    for (size, wish) in [
        ([224, 224], 50),
        ([224, 224], 200),
        ([96, 96], 50),
        ([61, 130], 20),
        ([130, 61], 20),
        ([224, 224], 1),
        ([17, 31], 10),
    ] {
        let image = photograph(cat, size);
        let segments = first(&Superpixels::slic(wish), &*MODEL, &image);
        let count = segments.count();
        println!("SLIC of {size:?}: {count} segments, {wish} wished");
        assert!(is_connected(&segments), "{size:?}, {wish}");
        assert!(count * 3 >= wish * 2 && count * 2 <= wish * 3, "{count}");
        let mut sizes = vec![0; count];
        segments.labels().iter().for_each(|&l| sizes[l] += 1);
        let least = (size[0] * size[1]) as f64 / wish as f64 / 4.0;
        assert!(sizes.iter().all(|&s| f64::from(s) > 0.8 * least));
        assert_eq!(first(&Superpixels::slic(wish), &*MODEL, &image), segments);
        // A closure sees no picture, only numbers between the smallest and the largest.
        let other = first(&Superpixels::slic(wish), &rough_network, &image);
        assert!(is_connected(&other));
        assert!(other.count() * 2 >= wish && other.count() <= wish * 2);
    }
}

#[test]
fn slic_follows_edges() {
    // Two colours of a model's picture, and two greys of a closure's image, along a slanted line.
    let side = |y: usize, x: usize| usize::from(2 * y + 3 * x > 130);
    for channels in [1, 3] {
        let values = (0..channels).flat_map(|c| {
            (0..48 * 64).map(move |i| match side(i / 64, i % 64) {
                0 => 0.1 + 0.2 * c as f32,
                _ => 0.9 - 0.3 * c as f32,
            })
        });
        let image = tensor(values.collect(), [1, channels, 48, 64]);
        let segments = first(&Superpixels::slic(12), &rough_network, &image);
        assert!(is_connected(&segments));
        assert!((8..=18).contains(&segments.count()), "{}", segments.count());
        let mut sides = vec![BTreeSet::new(); segments.count()];
        for ((y, x), &label) in segments.labels().indexed_iter() {
            sides[label].insert(side(y, x));
        }
        assert!(sides.iter().all(|sides| sides.len() == 1), "{sides:?}");
        // Colours that weigh nothing leave the squares.
        let square = Superpixels::slic_with_compactness(12, 1e9);
        let square = first(&square, &rough_network, &image);
        assert_eq!(square.count(), 12);
        let mut crossed = vec![BTreeSet::new(); 12];
        for ((y, x), &label) in square.labels().indexed_iter() {
            crossed[label].insert(side(y, x));
        }
        assert!(crossed.iter().any(|sides| sides.len() == 2));
    }
    // Nothing to follow.
    let flat = tensor(vec![0.3; 3 * 40 * 40], [1, 3, 40, 40]);
    assert_eq!(
        first(&Superpixels::slic(16), &rough_network, &flat).count(),
        16
    );
}

#[test]
fn the_cat_is_where_its_score_comes_from() {
    let image = photograph(photographs::chelsea(), [224, 224]);
    let method = KernelShap::new()
        .superpixels(Superpixels::grid(3))
        .samples(200);
    let found = method.attribute(&*MODEL, &image, Target::class(285));
    let found = found.unwrap();
    assert!(found.completeness_error().unwrap() < 1e-9);
    let map = found.map().unwrap();
    let map = map.maps();
    // Its face fills the middle.
    let middle = map[[0, 112, 112]];
    assert!(map.iter().all(|&v| v <= middle), "{middle}");
}

/// Hidden pixels have the mean of their segment: the same as hiding by an image of those means.
#[test]
fn segments_are_hidden_by_their_means() {
    let labels = labels();
    let images = Tensor::cat(vec![image(0.0), image(1.0)], 0);
    let mut means = images
        .clone()
        .into_data()
        .iter::<f32>()
        .collect::<Vec<f32>>();
    for channel in means.chunks_mut(HEIGHT * WIDTH) {
        let whole = channel.to_vec();
        for (pixel, label) in channel.iter_mut().zip(&labels) {
            let segment = whole
                .iter()
                .zip(&labels)
                .filter(|(_, other)| *other == label);
            let (sum, count) = segment.fold((0.0, 0), |(s, n), (v, _)| (s + v, n + 1));
            *pixel = sum / count as f32;
        }
    }
    let means = tensor(means, [2, 2, HEIGHT, WIDTH]);
    let network = |x: Tensor<4>| on_host(&x, rough);
    let shap = KernelShap::new().superpixels(six()).samples(100);
    let of = |method: &dyn Attributor| {
        let found = method.attribute(&network, &images, Target::class(0));
        found.unwrap().values().clone()
    };
    let got = of(&shap.clone().segment_mean());
    let want = of(&shap.clone().baseline(Baseline::image(&means)));
    assert!(relative_error(&got, &want) < 1e-5);
    assert!(relative_error(&of(&shap), &want) > 0.1);
    for name in ["lime", "kernel-shap", "shapley-sampling", "sobol", "hsic"] {
        let build = |baseline| {
            let options = MethodOptions::new().set("baseline", baseline);
            Method::find(name).unwrap().build(&options)
        };
        assert!(build("segment-mean").is_ok(), "{name}");
        let error = build("segment-median").unwrap_err().to_string();
        assert!(error.contains("segment-mean"), "{name}: {error}");
    }
}
