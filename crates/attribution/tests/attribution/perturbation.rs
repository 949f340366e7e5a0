//! Methods that hide parts of the image, on toys worked out by hand and against slower twins.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use burn::tensor::{Tensor, TensorData};
use elucid_attribution::{
    Attribution, AttributionError, Attributor, Baseline, FeatureAblation, Method, MethodOptions,
    Network, Occlusion, Rise, RiseScore, Target,
};
use elucid_testkit::{device, memory, numbers, relative_error, tensor};
use ndarray::{Array2, Array3, Axis};

use super::shared::{is_cancelled, refuses_parameters};

/// Numbers between -1 and 1 without a pattern.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    numbers(count, 0x9E37_79B9 ^ seed.wrapping_mul(0x85EB_CA6B))
}

fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

fn scores(rows: Vec<Vec<f32>>) -> Tensor<2> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), &device())
}

/// Not differentiable and not burn: three scores of each image, of which the second is not linear.
fn outside(x: Tensor<4>) -> Tensor<2> {
    let shape = x.dims();
    let each = shape[1] * shape[2] * shape[3];
    let weights = noise(each, 5);
    let rows = values(x);
    let rows = rows.chunks(each).map(|image| {
        let a: f32 = image.iter().zip(&weights).map(|(x, w)| x * w).sum();
        let b: f32 = image.iter().map(|x| x * x).sum();
        vec![a, b.sqrt(), 0.3]
    });
    scores(rows.collect())
}

fn outside_of(image: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let found = outside(tensor(image.to_vec(), shape));
    found.into_data().iter::<f32>().collect()
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let sum: f32 = scores.iter().map(|s| s.exp()).sum();
    scores.iter().map(|s| s.exp() / sum).collect()
}

const SHAPE: [usize; 4] = [2, 2, 7, 9];

fn images() -> Tensor<4> {
    tensor(noise(SHAPE.iter().product(), 1), SHAPE)
}

fn explain(method: &dyn Attributor, images: &Tensor<4>, target: Target) -> Attribution {
    method.attribute(&outside, images, target).unwrap()
}

/// One image of [`images`], and the same with the pixels that are not kept replaced.
fn hidden(image: usize, keep: impl Fn(usize, usize) -> f32, by: f32) -> Vec<f32> {
    let all = values(images());
    let [_, c, h, w] = SHAPE;
    let mut out = all[image * c * h * w..(image + 1) * c * h * w].to_vec();
    for (i, value) in out.iter_mut().enumerate() {
        let keep = keep(i / w % h, i % w);
        *value = *value * keep + by * (1.0 - keep);
    }
    out
}

fn score_of(image: usize, class: usize, keep: impl Fn(usize, usize) -> f32, by: f32) -> f32 {
    outside_of(&hidden(image, keep, by), [1, SHAPE[1], SHAPE[2], SHAPE[3]])[class]
}

#[test]
fn occlusion_by_hand() {
    // The score is 1 a + 10 b + 100 c + 1000 d, of a 2 x 2 image of ones.
    let digits = |x: Tensor<4>| {
        let w = tensor(vec![1.0, 10.0, 100.0, 1000.0], [1, 1, 2, 2]);
        let n = x.dims()[0] as i32;
        (x * w).reshape([n, -1]).sum_dim(1)
    };
    let ones = tensor(vec![1.0; 4], [1, 1, 2, 2]);
    let run = |window, stride| {
        let method = Occlusion::new().window(window).stride(stride);
        let found = method.attribute(&digits, &ones, Target::class(0)).unwrap();
        (
            found.values().iter().copied().collect::<Vec<_>>(),
            found.evaluations()[0],
        )
    };
    assert_eq!(run(1, 1), (vec![1.0, 10.0, 100.0, 1000.0], 5));
    assert_eq!(run(2, 2), (vec![1111.0; 4], 2));
    // One window, though it is larger than the image.
    assert_eq!(run(5, 3), (vec![1111.0; 4], 2));
    let cells = FeatureAblation::new().cells(2);
    let found = cells.attribute(&digits, &ones, Target::class(0)).unwrap();
    assert_eq!(
        found.values().as_slice().unwrap(),
        [1.0, 10.0, 100.0, 1000.0]
    );
}

#[test]
fn occlusion_like_a_slower_twin() {
    let [n, _, h, w] = SHAPE;
    for (window, stride) in [(3, 2), (4, 4), (2, 1), (7, 3), (5, 5)] {
        let method = Occlusion::new()
            .window(window)
            .stride(stride)
            .baseline(Baseline::constant([0.25]))
            .batch_size(3);
        let got = explain(&method, &images(), Target::class(1));
        assert_eq!(got.values().shape(), [n, 1, h, w]);
        for image in 0..n {
            let whole = score_of(image, 1, |_, _| 1.0, 0.0);
            let mut sum = Array2::<f32>::zeros((h, w));
            let mut count = Array2::<f32>::zeros((h, w));
            let (mut top, mut more_rows) = (0, true);
            while more_rows {
                more_rows = top + window < h;
                let (mut left, mut more_columns) = (0, true);
                while more_columns {
                    more_columns = left + window < w;
                    let inside = |y: usize, x: usize| {
                        (top..top + window).contains(&y) && (left..left + window).contains(&x)
                    };
                    let keep = |y, x| if inside(y, x) { 0.0 } else { 1.0 };
                    let lost = whole - score_of(image, 1, keep, 0.25);
                    for y in 0..h {
                        for x in 0..w {
                            if inside(y, x) {
                                sum[[y, x]] += lost;
                                count[[y, x]] += 1.0;
                            }
                        }
                    }
                    left += stride;
                }
                top += stride;
            }
            let want = sum / count;
            let error = relative_error(got.values().index_axis(Axis(0), image), &want);
            assert!(
                error < 1e-5,
                "window {window}, stride {stride}: {error:.1e}"
            );
        }
    }
}

#[test]
fn feature_ablation_like_a_slower_twin() {
    let [n, _, h, w] = SHAPE;
    for cells in [1, 2, 3, 7] {
        let method = FeatureAblation::new().cells(cells).batch_size(4);
        let got = explain(&method, &images(), Target::class(1));
        assert_eq!(got.evaluations(), [cells * cells + 1; 2]);
        for image in 0..n {
            let whole = score_of(image, 1, |_, _| 1.0, 0.0);
            for y in 0..h {
                for x in 0..w {
                    let cell = |y: usize, x: usize| (y * cells / h, x * cells / w);
                    let keep = |v, u| if cell(v, u) == cell(y, x) { 0.0 } else { 1.0 };
                    let want = whole - score_of(image, 1, keep, 0.0);
                    let got = got.values()[[image, 0, y, x]];
                    assert!((got - want).abs() < 1e-5, "{cells} cells at {y} {x}");
                }
            }
        }
    }
}

#[test]
fn several_baselines_are_averaged() {
    let baselines = [Baseline::zero(), Baseline::constant([0.5, -0.5])];
    let together = Baseline::several(baselines.clone());
    let methods: [fn(Baseline) -> Box<dyn Attributor>; 2] = [
        |b| Box::new(Occlusion::new().window(3).stride(2).baseline(b)),
        |b| Box::new(FeatureAblation::new().cells(3).baseline(b)),
    ];
    for method in methods {
        let run = |b: Baseline| explain(&method(b), &images(), Target::class(1));
        let got = run(together.clone());
        let [a, b] = baselines.clone().map(run);
        let want = (a.values() + b.values()) / 2.0;
        assert!(relative_error(got.values(), &want) < 1e-5);
        assert_eq!(
            got.evaluations()[0],
            a.evaluations()[0] + b.evaluations()[0] - 1
        );
    }
}

/// A mask by its definition: the grid mirrored at its edges, each pixel between four cells.
fn stretched(
    grid: &Array2<f32>,
    pixels_per_cell: [f64; 2],
    [top, left]: [usize; 2],
) -> Array2<f32> {
    let cells = grid.dim().0 as i64;
    let cell = |i: i64| match i {
        -1 => 1.min(cells - 1) as usize,
        i if i < cells => i as usize,
        i => (2 * cells - 2 - i).max(0) as usize,
    };
    Array2::from_shape_fn((SHAPE[2], SHAPE[3]), |(y, x)| {
        let at =
            |p: usize, shift: usize, scale: f64| (p + shift) as f64 / scale + 0.5 / scale - 0.5;
        let (v, u) = (
            at(y, top, pixels_per_cell[0]),
            at(x, left, pixels_per_cell[1]),
        );
        let mut sum = 0.0;
        for dy in 0..2 {
            for dx in 0..2 {
                let (i, j) = (v.floor() as i64 + dy, u.floor() as i64 + dx);
                let weight = (1.0 - (v - i as f64).abs()) * (1.0 - (u - j as f64).abs());
                sum += weight as f32 * grid[[cell(i), cell(j)]];
            }
        }
        sum
    })
}

fn grids(masks: usize, cells: usize) -> (Array3<f32>, Vec<[usize; 2]>) {
    let bits = noise(masks * cells * cells, 3);
    let bits = bits
        .into_iter()
        .map(|v| if v > 0.0 { 1.0 } else { 0.0 })
        .collect();
    let shifts = noise(2 * masks, 4);
    let shift = |v: f32, side: usize| ((v + 1.0) / 2.0 * side.div_ceil(cells) as f32) as usize;
    let shifts = shifts
        .chunks(2)
        .map(|s| [shift(s[0], SHAPE[2]), shift(s[1], SHAPE[3])])
        .collect();
    (
        Array3::from_shape_vec((masks, cells, cells), bits).unwrap(),
        shifts,
    )
}

#[test]
fn rise_like_a_slower_twin() {
    let [n, _, h, w] = SHAPE;
    let masks = 20;
    for cells in [1, 3, 4] {
        let (grids, offsets) = grids(masks, cells);
        let cell = [h.div_ceil(cells), w.div_ceil(cells)];
        let paper = cell.map(|cell| ((cells + 1) * cell) as f64 / cells as f64);
        let whole = [
            ((h + cell[0]) as f64 / cells as f64).ceil(),
            ((w + cell[1]) as f64 / cells as f64).ceil(),
        ];
        let presets = [
            (Rise::paper().keep(0.4), paper, 0.4),
            (Rise::torchray(), whole, 1.0),
            (Rise::notebook(), paper, 0.1),
        ];
        for (method, scale, divisor) in presets {
            let method = method.with_grids(grids.view(), &offsets).batch_size(3);
            let got = method.maps(&outside, &images(), Target::class(1)).unwrap();
            let raw = method
                .clone()
                .score(RiseScore::Target)
                .maps(&outside, &images(), Target::class(1))
                .unwrap();
            assert_eq!(got.masks(), [masks; 2]);
            assert!(got.is_complete());
            for image in 0..n {
                let weighted: Vec<(Array2<f32>, Array2<f32>)> = (0..masks)
                    .map(|i| {
                        let grid = grids.index_axis(Axis(0), i).to_owned();
                        let mask = stretched(&grid, scale, offsets[i]);
                        let seen = hidden(image, |y, x| mask[[y, x]], 0.0);
                        let scores = outside_of(&seen, [1, SHAPE[1], h, w]);
                        (
                            &mask * softmax(&scores)[1] / divisor,
                            &mask * scores[1] / divisor,
                        )
                    })
                    .collect();
                let (by_softmax, by_logit): (Vec<_>, Vec<_>) = weighted.into_iter().unzip();
                let mean = |maps: &[Array2<f32>]| {
                    let zero = Array2::<f32>::zeros((h, w));
                    maps.iter().fold(zero, |sum, map| sum + map) / masks as f32
                };
                let want = mean(&by_softmax);
                let map = got.maps();
                let error = relative_error(map.index_axis(Axis(0), image), &want);
                assert!(error < 1e-5, "{cells} cells: {error:.1e}");
                let map = raw.maps();
                let error = relative_error(map.index_axis(Axis(0), image), &mean(&by_logit));
                assert!(error < 1e-5, "{cells} cells: {error:.1e}");
                // The standard error of a mean, by its definition.
                let spread = by_softmax.iter().fold(Array2::zeros((h, w)), |sum, map| {
                    let away = map - &want;
                    sum + &away * &away
                });
                let want = spread.mapv(|v: f32| (v / ((masks - 1) * masks) as f32).sqrt());
                let errors = got.standard_errors();
                let error = relative_error(errors.index_axis(Axis(0), image), &want);
                assert!(error < 1e-4, "{cells} cells: {error:.1e}");
            }
        }
    }
}

#[test]
fn masks_have_the_mean_that_is_asked_for() {
    // A network whose score is always 1 gives the mean mask.
    let one = |x: Tensor<4>| scores(vec![vec![1.0]; x.dims()[0]]);
    for keep in [0.1, 0.5, 0.8] {
        let method = Rise::torchray()
            .keep(keep)
            .masks(4000)
            .score(RiseScore::Target);
        let found = method.maps(&one, &images().narrow(0, 0, 1), Target::class(0));
        let mean = found.unwrap().maps().mean().unwrap();
        assert!((mean - keep).abs() < 0.02, "{mean} for {keep}");
    }
}

#[test]
fn all_classes_in_one_run() {
    let method = Rise::paper().masks(30).cells(3).seed(8).batch_size(4);
    for method in [
        method.clone(),
        method.clone().score(RiseScore::Target),
        method.score(RiseScore::Sigmoid),
    ] {
        let all = method.all_classes(&outside, &images()).unwrap();
        assert_eq!(all.maps().dim(), (2, 3, SHAPE[2], SHAPE[3]));
        assert!(all.is_complete() && all.masks() == [30, 30]);
        for class in 0..3 {
            let one = method.maps(&outside, &images(), Target::class(class));
            let got = all.maps().index_axis(Axis(1), class);
            let error = relative_error(got, &one.unwrap().maps());
            assert!(error < 1e-5, "{error:.1e}");
        }
    }
}

/// Two scores, of which the second is that of one pixel.
fn spot(x: Tensor<4>) -> Tensor<2> {
    let pixel = x.narrow(1, 0, 1).narrow(2, 3, 1).narrow(3, 4, 1);
    let pixel = pixel.flatten::<2>(1, 3) * 5.0;
    Tensor::cat(vec![pixel.zeros_like(), pixel], 1)
}

fn bright() -> Tensor<4> {
    let images = images().ones_like();
    Tensor::cat(
        vec![images.clone().narrow(0, 0, 1), images.narrow(0, 1, 1) * 0.4],
        0,
    )
}

#[test]
fn rise_stops_when_its_error_is_small() {
    let method = Rise::paper().masks(5000).cells(3).seed(2);
    let run = |method: &Rise| method.maps(&spot, &bright(), Target::class(1)).unwrap();
    let error_of = |maps: &elucid_attribution::RiseMaps, image: usize| {
        let map = maps.maps().index_axis(Axis(0), image).to_owned();
        let range = map.iter().fold(f32::MIN, |a, &b| a.max(b))
            - map.iter().fold(f32::MAX, |a, &b| a.min(b));
        let errors = maps.standard_errors();
        errors.index_axis(Axis(0), image).mean().unwrap() / range
    };
    let found = run(&method.clone().standard_error(0.15));
    for (image, &masks) in found.masks().iter().enumerate() {
        println!("image {image}: {masks} masks");
        assert!((100..5000).contains(&masks), "{masks} masks");
        assert!(error_of(&found, image) <= 0.15);
        // Not much later than it could have been.
        let before = run(&method.clone().masks(masks - 8));
        assert!(error_of(&before, image) > 0.15 || masks <= 104);
    }
    let all = run(&method.standard_error(1e-6));
    assert_eq!(all.masks(), [5000, 5000]);
}

#[test]
fn rise_estimates_its_error_rightly() {
    // Maps from other seeds are as far from each other as they say.
    let runs: Vec<_> = (0..40)
        .map(|seed| {
            let method = Rise::paper().masks(200).cells(3).seed(seed);
            let image = images().narrow(0, 0, 1);
            method.maps(&outside, &image, Target::class(1)).unwrap()
        })
        .collect();
    let count = runs.len() as f32;
    let mean = runs.iter().map(|run| run.maps()).reduce(|a, b| a + b);
    let mean = mean.unwrap() / count;
    let spread = runs.iter().map(|run| (run.maps() - &mean).mapv(|v| v * v));
    let spread = (spread.reduce(|a, b| a + b).unwrap() / (count - 1.0)).mapv(f32::sqrt);
    let claimed = runs.iter().map(|run| run.standard_errors());
    let claimed = claimed.reduce(|a, b| a + b).unwrap() / count;
    let ratio = spread.mean().unwrap() / claimed.mean().unwrap();
    assert!((0.85..1.15).contains(&ratio), "{ratio}");
}

#[test]
fn a_cancelled_run_keeps_its_maps() {
    let stop_at = |limit: usize| {
        Rise::paper()
            .masks(20)
            .cells(3)
            .batch_size(4)
            .progress(move |p| match p.done >= limit {
                true => p.cancel(),
                false => p.continue_(),
            })
    };
    let run = |method: &Rise| method.maps(&outside, &images(), Target::class(0)).unwrap();
    let partial = run(&stop_at(12));
    assert_eq!((partial.masks(), partial.is_complete()), (&[12][..], false));
    assert_eq!(partial.maps().dim(), (1, 7, 9));
    let want = run(&Rise::paper().masks(12).cells(3));
    let want = want.maps();
    assert!(relative_error(&partial.maps(), want.index_axis(Axis(0), 0)) < 1e-5);

    let partial = run(&stop_at(28));
    assert_eq!(
        (partial.masks(), partial.is_complete()),
        (&[20, 8][..], false)
    );
    let classes = stop_at(28).all_classes(&outside, &images()).unwrap();
    assert_eq!(
        (classes.masks(), classes.is_complete()),
        (&[20, 8][..], false)
    );
    assert_eq!(classes.maps().dim(), (2, 3, 7, 9));

    is_cancelled(
        stop_at(12).attribute(&outside, &images(), Target::class(0)),
        12,
        40,
    );
    let methods: [Box<dyn Attributor>; 2] = [
        Box::new(
            Occlusion::new()
                .window(3)
                .stride(3)
                .progress(|_| ControlFlow::Break(())),
        ),
        Box::new(
            FeatureAblation::new()
                .cells(3)
                .progress(|_| ControlFlow::Break(())),
        ),
    ];
    for method in methods {
        let found = method.attribute(&outside, &images(), Target::class(0));
        is_cancelled(found, 8, 18);
    }
}

#[test]
fn progress_counts_masks_that_are_not_needed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let method = Rise::paper()
        .masks(3000)
        .cells(3)
        .standard_error(0.3)
        .progress(move |p| {
            log.lock().unwrap().push((p.done, p.total));
            p.continue_()
        });
    method
        .attribute(&spot, &bright(), Target::class(1))
        .unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted() && seen.len() < 700);
    assert_eq!(seen.last(), Some(&(6000, 6000)));
}

#[test]
fn memory_does_not_grow_with_masks() {
    let mean = |x: Tensor<4>| {
        let n = x.dims()[0] as i32;
        x.reshape([n, -1]).mean_dim(1)
    };
    let photo = tensor(noise(224 * 224, 9), [1, 1, 224, 224]);
    let method = Rise::paper().score(RiseScore::Target);
    let Some(before) = memory::peak() else { return };
    let found = method
        .masks(4000)
        .attribute(&mean, &photo, Target::class(0));
    assert_eq!(found.unwrap().evaluations(), [4000]);
    let grown = memory::peak().unwrap() - before;
    println!("4000 masks: {} MB", grown >> 20);
    // The masks alone would be 800 MB.
    assert!(grown < 200 << 20, "{} MB", grown >> 20);
}

/// Nobody asked for seven cells where there are five pixels.
#[test]
fn presets_have_as_many_cells_as_fit() {
    let small = tensor(noise(3 * 5 * 4, 9), [1, 3, 5, 4]);
    let mean = |x: Tensor<4>| {
        let n = x.dims()[0] as i32;
        x.reshape([n, -1]).mean_dim(1)
    };
    for method in [Rise::paper(), Rise::torchray(), Rise::notebook()] {
        let method = method.masks(20).score(RiseScore::Target);
        let found = method.attribute(&mean, &small, Target::class(0)).unwrap();
        assert_eq!(found.configuration().get("cells"), Some("4"));
        let asked = method.cells(4).attribute(&mean, &small, Target::class(0));
        assert_eq!(found.values(), asked.unwrap().values());
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let (grids, offsets) = grids(5, 3);
    let given = || Rise::paper().with_grids(grids.view(), &offsets);
    let nan = grids.mapv(|_| f32::NAN);
    let bad: Vec<(&str, Box<dyn Attributor>)> = vec![
        ("window", Box::new(Occlusion::new().window(0))),
        ("stride", Box::new(Occlusion::new().stride(0))),
        ("stride", Box::new(Occlusion::new().window(3).stride(4))),
        ("batch size", Box::new(Occlusion::new().batch_size(0))),
        (
            "baseline",
            Box::new(Occlusion::new().baseline(Baseline::constant([1.0, 2.0, 3.0]))),
        ),
        ("cells", Box::new(FeatureAblation::new().cells(0))),
        ("cells", Box::new(FeatureAblation::new().cells(8))),
        (
            "baseline",
            Box::new(
                FeatureAblation::new()
                    .cells(2)
                    .baseline(Baseline::blur(-1.0)),
            ),
        ),
        ("masks", Box::new(Rise::paper().masks(0))),
        ("cells", Box::new(Rise::paper().cells(0))),
        ("cells", Box::new(Rise::paper().cells(8))),
        ("keep", Box::new(Rise::paper().keep(0.0))),
        ("keep", Box::new(Rise::paper().keep(f32::NAN))),
        (
            "standard-error",
            Box::new(Rise::paper().standard_error(-0.1)),
        ),
        ("grids", Box::new(given().masks(6))),
        ("grids", Box::new(given().cells(4))),
        (
            "grids",
            Box::new(Rise::paper().with_grids(nan.view(), &offsets)),
        ),
        (
            "grids",
            Box::new(Rise::paper().with_grids(grids.view(), &offsets[1..])),
        ),
        (
            "offset of a grid",
            Box::new(Rise::paper().with_grids(grids.view(), &[[usize::MAX, 0]; 5])),
        ),
        (
            "offset of a grid",
            Box::new(Rise::paper().with_grids(grids.view(), &[[0, 100]; 5])),
        ),
    ];
    refuses_parameters(bad, &outside, &images());
}

#[test]
fn options_as_text() {
    let build = |name: &str, options: &[(&str, &str)]| {
        let options = options
            .iter()
            .fold(MethodOptions::new().seed(4), |all, (k, v)| all.set(k, v));
        Method::find(name).unwrap().build(&options)
    };
    let same = |text: Box<dyn Attributor>, built: &dyn Attributor| {
        let network: &dyn Network = &outside;
        let run = |m: &dyn Attributor| m.attribute(network, &images(), Target::class(1)).unwrap();
        assert_eq!(run(&text).values(), run(built).values());
    };
    same(
        build(
            "rise",
            &[("preset", "notebook"), ("masks", "9"), ("cells", "3")],
        )
        .unwrap(),
        &Rise::notebook().masks(9).cells(3).seed(4),
    );
    same(
        build(
            "rise",
            &[
                ("preset", "torchray"),
                ("masks", "300"),
                ("keep", "0.3"),
                ("score", "sigmoid"),
                ("standard-error", "0.2"),
            ],
        )
        .unwrap(),
        &Rise::torchray()
            .masks(300)
            .keep(0.3)
            .score(RiseScore::Sigmoid)
            .standard_error(0.2)
            .seed(4),
    );
    same(
        build(
            "occlusion",
            &[
                ("window", "3"),
                ("stride", "2"),
                ("baseline", "constant:0.5+noise:-1:1"),
            ],
        )
        .unwrap(),
        &Occlusion::new()
            .window(3)
            .stride(2)
            .seed(4)
            .baseline(Baseline::several([
                Baseline::constant([0.5]),
                Baseline::noise(-1.0, 1.0),
            ])),
    );
    same(
        build(
            "feature-ablation",
            &[("cells", "3"), ("baseline", "blur:2")],
        )
        .unwrap(),
        &FeatureAblation::new()
            .cells(3)
            .baseline(Baseline::blur(2.0)),
    );
    for (name, option, value) in [
        ("rise", "preset", "captum"),
        ("rise", "score", "logit"),
        ("rise", "masks", "many"),
        ("occlusion", "baseline", "pink"),
        ("feature-ablation", "cells", "-1"),
    ] {
        let refused = build(name, &[(option, value)]);
        assert!(
            matches!(refused, Err(AttributionError::OptionValue { .. })),
            "{name} --{option} {value}"
        );
    }
}
