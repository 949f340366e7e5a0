//! GoogLeNet: agreement with Lucent and Lucid, and icons against photographs.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use elucid_graph::{Activation, INPUT};
use elucid_optvis::{FeatureVis, Fourier, Objective, Parametrisation, Seen, Sheet, Subject};
use elucid_testkit::{assets, device, read_npy, relative_error, tensor};
use elucid_vision::{Model, Photo};

const LAYER: &str = "inception_4d";

fn googlenet(assets: &Path) -> Model {
    Model::open(assets.join("models/googlenet.onnx"), &device()).unwrap()
}

/// torch's layout `[3, H, F, 2]` as `[1, 3, W / 2 + 1, 2 H]`. Lucid's spectrum of an odd width has
/// one frequency more, which the image does not depend on.
fn transposed(values: &[f32], [h, w]: [usize; 2], stored: usize) -> Vec<f32> {
    let kept = w / 2 + 1;
    let mut out = Vec::with_capacity(3 * kept * 2 * h);
    for c in 0..3 {
        for x in 0..kept {
            for part in 0..2 {
                let at = |y: usize| ((c * h + y) * stored + x) * 2 + part;
                out.extend((0..h).map(|y| values[at(y)]));
            }
        }
    }
    out
}

/// The picture before the network: BGR minus the mean.
fn input(pictures: Tensor<4>) -> Tensor<4> {
    let mean = tensor(vec![104.0, 117.0, 123.0], [1, 3, 1, 1]);
    pictures.flip([1]) * 255.0 - mean
}

/// What an objective says of these pictures, before the network.
fn value_at(model: &Model, objective: &Objective, pictures: &Tensor<4>) -> Tensor<1> {
    let pass = model.pass().feed(INPUT, input(pictures.clone()));
    let fetched = pass.fetch(objective.layers()).unwrap();
    let values: Vec<(String, Activation)> = objective
        .layers()
        .into_iter()
        .map(|layer| (layer.clone(), fetched.get(&layer).unwrap().clone()))
        .collect();
    let subject = Subject::of(model, std::slice::from_ref(objective), None).unwrap();
    objective
        .value(&Seen::new(&subject, pictures, &values))
        .unwrap()
}

#[test]
fn spectra_and_gradients_are_those_of_lucent() {
    let Some(assets) = assets() else { return };
    let model = googlenet(&assets);
    let folder = assets.join("reference/googlenet");
    let (_, directions) = read_npy(&folder.join("chelsea/nmf6_4d_nndsvda_channel.npy"));
    let direction = &directions[..528];
    for side in [96, 65] {
        let read = |name: &str| read_npy(&folder.join(format!("featvis/{side}/{name}.npy")));
        let (shape, spectrum) = read("spectrum");
        let size = [side, side];
        let values = transposed(&spectrum, size, shape[3]);
        let spectrum_shape = [1, 3, side / 2 + 1, 2 * side];
        let canvas = Fourier::new()
            .canvas(&Sheet::new(size, 3, &device()))
            .unwrap();
        let image = canvas.picture(&[tensor(values.clone(), spectrum_shape).into()]);
        let image = image.unwrap();
        let image: Vec<f32> = image.into_data().iter::<f32>().collect();
        let error = relative_error(&image, &read("image").1);
        println!("{side} px: image {error:.1e}");
        assert!(error < 1e-5, "image of {side} px: {error:.1e}");

        // What the reference measures is to be minimised.
        for (name, objective, loss) in [
            (
                "grad_direction0_dot",
                Objective::direction(LAYER, direction),
                [757.5023, 1026.7026],
            ),
            (
                "grad_direction0_cos",
                Objective::cosine(LAYER, direction),
                [0.042_499_53, 0.037_696_056],
            ),
            (
                "grad_channel11_mean",
                Objective::channel("inception_4a", 11),
                [0.0, 0.0],
            ),
        ] {
            let (_, want) = read(name);
            if shape[3] > side / 2 + 1 {
                let last = |i: &usize| i / 2 % shape[3] == side / 2 + 1;
                let unused = (0..want.len()).filter(last).map(|i| want[i]);
                assert!(unused.eq(std::iter::repeat_n(0.0, 3 * side * 2)));
            }
            let want = transposed(&want, size, shape[3]);
            let loss = loss[usize::from(side == 65)];
            let near = |moved: f32| {
                let mut state = moved.to_bits();
                let values: Vec<f32> = values
                    .iter()
                    .map(|v| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        v * (1.0 + moved * (state as f32 / (1_u64 << 31) as f32 - 1.0))
                    })
                    .collect();
                let leaf = Activation::from(tensor(values, spectrum_shape)).require_grad();
                let pictures = canvas.picture(std::slice::from_ref(&leaf)).unwrap();
                let value = value_at(&model, &objective, &pictures);
                let gradients = (-value.clone()).backward();
                let gradient = leaf.gradient(&gradients).unwrap().to_array().unwrap();
                (value.into_scalar::<f32>(), gradient)
            };
            let (value, gradient) = near(0.0);
            if loss == 0.0 {
                // The channel is dead at this image, in the reference too.
                assert!(value == 0.0 && want.iter().all(|&g| g == 0.0));
                assert!(gradient.iter().all(|&g| g == 0.0));
                continue;
            }
            assert!((value - loss).abs() < 1e-4 * loss, "{name}: {value}");
            // At 96 pixels a unit's input is within rounding of where it becomes active: this
            // program and torch take different sides, half a percent of the largest number apart.
            // So the reference must be met at a spectrum that rounding cannot tell from it.
            let errors = (0..12).map(|i| {
                let moved = i as f32 * 2e-7;
                (moved, relative_error(&near(moved).1, &want))
            });
            let all: Vec<_> = errors.collect();
            let (moved, error) = all.iter().find(|(_, e)| *e < 1e-4).unwrap_or(&all[0]);
            println!("{side} px: {name} {error:.1e} at numbers moved by {moved:.0e}");
            assert!(*error < 1e-4, "{name} of {side} px: {all:?}");
            assert!(side == 96 || *moved == 0.0, "{name} of {side} px: {all:?}");
        }
    }
}

/// Lucent's channel is dead; this one is not, and its gradient at some numbers of the spectrum is
/// compared with finite differences.
#[test]
fn a_live_channel_has_its_finite_differences() {
    let Some(assets) = assets() else { return };
    let model = googlenet(&assets);
    let folder = assets.join("reference/googlenet/featvis/65");
    let (shape, spectrum) = read_npy(&folder.join("spectrum.npy"));
    let values = transposed(&spectrum, [65, 65], shape[3]);
    let canvas = Fourier::new()
        .canvas(&Sheet::new([65, 65], 3, &device()))
        .unwrap();
    let channels = {
        let image = canvas.picture(&[tensor(values.clone(), [1, 3, 33, 130]).into()]);
        let pass = model.pass().feed(INPUT, input(image.unwrap()));
        let fetched = pass.fetch(["inception_4a"]).unwrap();
        let layer = fetched.get("inception_4a").unwrap().tensor::<4>().unwrap();
        let means: Vec<f32> = layer.mean_dims(&[2, 3]).into_data().iter::<f32>().collect();
        means
    };
    let best = |&a: &usize, &b: &usize| channels[a].total_cmp(&channels[b]);
    let channel = (0..channels.len()).max_by(best).unwrap();
    let objective = Objective::channel("inception_4a", channel);
    let value = |values: &[f32], leaf: Option<&Activation>| {
        let plain = Activation::from(tensor(values.to_vec(), [1, 3, 33, 130]));
        let pictures = canvas.picture(&[leaf.cloned().unwrap_or(plain)]).unwrap();
        value_at(&model, &objective, &pictures)
    };
    let leaf = Activation::from(tensor(values.clone(), [1, 3, 33, 130])).require_grad();
    let gradients = value(&values, Some(&leaf)).backward();
    let gradient = leaf.gradient(&gradients).unwrap().to_array().unwrap();
    let gradient: Vec<f32> = gradient.into_iter().collect();
    // Along the gradient, where rounding counts least.
    let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
    let moved = |by: f32| {
        let moved: Vec<f32> = values
            .iter()
            .zip(&gradient)
            .map(|(v, g)| v + by * g / norm)
            .collect();
        value(&moved, None).into_scalar::<f32>()
    };
    let want = (moved(0.01) - moved(-0.01)) / 0.02;
    println!("channel {channel}: {norm} along the gradient, {want} by differences");
    assert!((norm - want).abs() < 0.02 * want, "{norm} for {want}");
}

fn photographs(assets: &Path, count: usize) -> Option<Vec<PathBuf>> {
    let folder = assets.join("data/nips17_ccby/images");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: no photographs in {}", folder.display());
        return None;
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.truncate(count);
    Some(paths)
}

/// The mean over positions of some channels, for each of some images.
fn means(model: &Model, images: &Tensor<4>, channels: &[usize]) -> Vec<Vec<f32>> {
    let fetched = model.pass().input(images).fetch([LAYER]).unwrap();
    let layer = fetched.get(LAYER).unwrap().tensor::<4>().unwrap();
    let [n, c, ..] = layer.dims();
    let means: Vec<f32> = layer.mean_dims(&[2, 3]).into_data().iter::<f32>().collect();
    assert_eq!(means.len(), n * c);
    let of = |image: &[f32]| channels.iter().map(|&channel| image[channel]).collect();
    means.chunks(c).map(of).collect()
}

/// The same statistic for both: the mean of the channel over the positions of the layer, the icon
/// being seen as it is, at its own size and without transforms.
#[test]
fn icons_beat_photographs() {
    let Some(assets) = assets() else { return };
    let Some(paths) = photographs(&assets, 200) else {
        return;
    };
    let model = googlenet(&assets);
    let channels: Vec<usize> = (0..10).map(|i| 53 * i).collect();
    let mut best = [0.0_f32; 10];
    for paths in paths.chunks(8) {
        let photos: Vec<Photo> = paths.iter().map(|p| model.read_image(p).unwrap()).collect();
        for image in means(&model, &Photo::stack(&photos).unwrap(), &channels) {
            for (best, mean) in best.iter_mut().zip(image) {
                *best = best.max(mean);
            }
        }
    }
    let vis = FeatureVis::fourier(96).steps(64).batch_size(5);
    let icons = vis.channels(&model, LAYER, &channels).unwrap();
    assert_eq!(icons.network_size(), None);
    let values: Vec<f32> = icons.images().iter().copied().collect();
    let found = means(&model, &input(tensor(values, [10, 3, 96, 96])), &channels);
    let mut won = 0;
    for (i, &best) in best.iter().enumerate() {
        let icon = found[i][i];
        println!(
            "channel {}: icon {icon:.1}, best photograph {best:.1}",
            channels[i]
        );
        won += usize::from(icon > best);
        // Neither noise nor grey: neighbouring pixels are alike, distant ones are not.
        let image = icons.image(i).unwrap();
        let mean = image.mean().unwrap();
        let spread = image.mapv(|v| (v - mean).powi(2)).mean().unwrap().sqrt();
        let (mut apart, mut count) = (0.0, 0);
        for row in image.lanes(ndarray::Axis(2)) {
            for pair in row.as_slice().unwrap().windows(2) {
                apart += (pair[1] - pair[0]).powi(2);
                count += 1;
            }
        }
        let rough = (apart / count as f32).sqrt() / spread;
        assert!(spread > 0.1, "channel {} is grey: {spread}", channels[i]);
        // White noise has 1.41.
        assert!(rough < 1.0, "channel {} is noise: {rough}", channels[i]);
    }
    assert!(won >= 9, "{won} of 10");
}

/// This GoogLeNet's last pool is over all positions, so that even its classes can be computed from
/// small pictures: the whole network runs at their size.
#[test]
fn classes_are_seen_at_the_pictures_size() {
    let Some(assets) = assets() else { return };
    let model = googlenet(&assets);
    let vis = FeatureVis::fourier(64).steps(24);
    let classes = vis.classes(&model, ["goldfish"]).unwrap();
    assert_eq!(classes.network_size(), None);
    assert_eq!(classes.images().dim(), (1, 3, 64, 64));
    let values = &classes.values()[0];
    assert!(values[23] > values[0] + 5.0, "{values:?}");
}
