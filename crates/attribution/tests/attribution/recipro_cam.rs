//! ReciproCAM on convolutional networks, against answers by hand and against loops.

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, Network, ReciproCam, ReciproMask, ReciproValue, Target,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_testkit::{numbers, relative_error};
use ndarray::{Array4, Ix4};

use super::shared::{SQUEEZENET as MODEL, noise, pooled_network};

/// Behind a global average pool and one dense layer, a position that is shown alone adds its activations
/// times the class's weights over the number of positions.
#[test]
fn behind_a_global_average_pool_it_is_cam() {
    let dense = numbers(12, 5);
    let model = pooled_network(&dense, Some([5.0, -5.0, 0.5]));
    let images = noise(2, 7, 5);
    let fetched = model.pass().input(&images).fetch(["relu"]).unwrap();
    let x = fetched.get("relu").unwrap().to_array().unwrap();
    let (h, w) = (x.shape()[2], x.shape()[3]);
    for class in 0..3 {
        let cam = ndarray::indices((2, h, w)).into_iter().map(|(n, y, z)| {
            let cam: f32 = (0..4).map(|c| dense[class * 4 + c] * x[[n, c, y, z]]).sum();
            cam / (h * w) as f32
        });
        let want: Vec<f32> = cam.collect();
        let method = ReciproCam::at_features().batch_size(4);
        let found = method
            .attribute(&model, &images, Target::class(class))
            .unwrap();
        assert_eq!(found.values().shape(), [2, 1, h, w]);
        let error = relative_error(found.values(), &want);
        assert!(error < 1e-4, "{class}: {error:.1e}");
        assert_eq!(found.evaluations(), [h * w + 1; 2]);
        let bias = [5.0, -5.0, 0.5][class];
        let scores = ReciproCam::at("relu").value(ReciproValue::Score);
        let found = scores
            .attribute(&model, &images, Target::class(class))
            .unwrap();
        let want: Vec<f32> = want.iter().map(|v| v + bias).collect();
        assert!(relative_error(found.values(), &want) < 1e-5);
        assert_eq!(
            found.configuration().to_string(),
            "mask single, residual false, value score"
        );
    }
}

#[test]
fn both_masks_as_loops() {
    let images = noise(2, 48, 40);
    let layer = "fire5/concat";
    let full = Network::layer(&*MODEL, layer).unwrap();
    let fetched = MODEL.pass().input(&images).fetch([&full]).unwrap();
    let x = fetched.get(&full).unwrap().to_array().unwrap();
    let x: Array4<f32> = x.into_dimensionality::<Ix4>().unwrap();
    let (_, _, h, w) = x.dim();
    let kernel = [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]];
    for mask in [ReciproMask::Single, ReciproMask::Gaussian] {
        let method = ReciproCam::at(layer).mask(mask).value(ReciproValue::Score);
        let target = Target::each([Target::class(285), Target::difference(7, 812)]);
        let found = method
            .batch_size(3)
            .attribute(&*MODEL, &images, target)
            .unwrap();
        let mut want = Vec::new();
        for (n, y, z) in ndarray::indices((2, h, w)) {
            let mut shown = x.slice(ndarray::s![n..n + 1, .., .., ..]).to_owned();
            for ((_, _, i, j), v) in shown.indexed_iter_mut() {
                let (down, right) = (i as i64 - y as i64 + 1, j as i64 - z as i64 + 1);
                let inside = (0..3).contains(&down) && (0..3).contains(&right);
                *v *= match mask {
                    ReciproMask::Single => f32::from(u8::from((i, j) == (y, z))),
                    ReciproMask::Gaussian if inside => kernel[down as usize][right as usize] / 16.0,
                    ReciproMask::Gaussian => 0.0,
                };
            }
            let shape = [1, x.dim().1, h, w];
            let shown = elucid_testkit::tensor(shown.iter().copied().collect(), shape);
            let image = images.clone().narrow(0, n, 1);
            let pass = MODEL.pass().feed(INPUT, image).feed(&full, shown);
            let logits = pass.fetch([LOGITS]).unwrap();
            let logits = logits.get(LOGITS).unwrap().to_array().unwrap();
            want.push(match n {
                0 => logits[[0, 285]],
                _ => logits[[0, 7]] - logits[[0, 812]],
            });
        }
        let error = relative_error(found.values(), &want);
        println!("{mask}: {error:.1e}");
        assert!(error < 1e-5, "{mask}: {error:.1e}");
    }
}

#[test]
fn what_has_no_normalisation_or_no_layers_is_refused() {
    let images = noise(1, 48, 40);
    let attribute = |method: ReciproCam, network: &dyn Network| {
        method
            .attribute(network, &images, Target::class(1))
            .unwrap_err()
    };
    let error = attribute(ReciproCam::at_features().residual(true), &*MODEL);
    assert!(
        error
            .to_string()
            .contains("no layer normalisation reads or makes"),
        "{error}"
    );
    let closure = |x: Tensor<4>| x.mean_dim(2).mean_dim(3).reshape([-1, 3]);
    let error = attribute(ReciproCam::at(INPUT), &closure);
    assert!(
        matches!(error, AttributionError::NeedsModel { .. }),
        "{error}"
    );
    let error = attribute(ReciproCam::at("pool10/flatten"), &*MODEL);
    assert!(
        matches!(error, AttributionError::NotSpatial { .. }),
        "{error}"
    );
}
