//! FullGrad: that it adds up, against terms that are computed one by one, and against answers by hand.

use elucid_attribution::{Attributor, FullGrad, FullGradTerms, Gradient, Saliency, Target};
use elucid_graph::INPUT;
use elucid_testkit::generated::with_weights;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{assets, device, numbers, relative_error};
use elucid_vision::Model;
use ndarray::{Array2, Array3, Axis, Ix4};

use super::gated_references::{Opened, files_of};
use super::shared::{SQUEEZENET as MODEL, noise};

/// Terms of one layer and image, `[C, h, w]`, as a map `[H, W]`.
fn drawn(terms: &Array3<f32>, [height, width]: [usize; 2], how: FullGradTerms) -> Array2<f32> {
    let (_, h, w) = terms.dim();
    let terms = match how {
        FullGradTerms::Signed => terms * ((h * w) as f32 / (height * width) as f32),
        FullGradTerms::Rescaled => {
            let absolute = terms.mapv(f32::abs);
            let low = absolute.iter().copied().fold(f32::INFINITY, f32::min);
            let high = absolute.iter().copied().fold(0.0, f32::max);
            absolute.mapv(|v| {
                if high > low {
                    (v - low) / (high - low)
                } else {
                    0.0
                }
            })
        }
    };
    let map = Saliency::new(
        terms.sum_axis(Axis(0)).insert_axis(Axis(0)),
        [height, width],
    );
    map.upsampled().maps().index_axis(Axis(0), 0).to_owned()
}

/// Convolution, ReLU, convolution, batch normalisation, ReLU, pool, dense layer: biases of every kind.
struct Toy {
    model: Model,
    /// Of each layer that adds something: its name and one number for each channel.
    biases: Vec<(&'static str, Vec<f32>)>,
    dense: Vec<f32>,
}

fn toy() -> Toy {
    let [first, dense, scale, shift, mean] = [3, 5, 7, 9, 11].map(|seed| {
        numbers(4, seed)
            .iter()
            .map(|v| v * 2.0)
            .collect::<Vec<f32>>()
    });
    let variance: Vec<f32> = numbers(4, 13).iter().map(|v| v.abs() + 0.5).collect();
    let classes = dense[..3].to_vec();
    let onnx = Onnx::image([-1, 3, 8, 10])
        .weight("w1", &[4, 3, 3, 3])
        .tensor(floats("b1", &[4], first.clone()))
        .node("Conv", &["x", "w1", "b1"], &["c1"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["c1"], &["r1"])
        .node("MaxPool", &["r1"], &["p1"])
        .ints("kernel_shape", &[2, 2])
        .ints("strides", &[2, 2])
        .weight("w2", &[4, 4, 1, 1])
        .node("Conv", &["p1", "w2"], &["c2"])
        .tensor(floats("scale", &[4], scale.clone()))
        .tensor(floats("shift", &[4], shift.clone()))
        .tensor(floats("mean", &[4], mean.clone()))
        .tensor(floats("variance", &[4], variance.clone()))
        .node(
            "BatchNormalization",
            &["c2", "scale", "shift", "mean", "variance"],
            &["n2"],
        )
        .node("Relu", &["n2"], &["r2"])
        .node("GlobalAveragePool", &["r2"], &["pool"])
        .node("Flatten", &["pool"], &["flat"])
        .weight("wd", &[3, 4])
        .tensor(floats("bd", &[3], classes.clone()))
        .node("Gemm", &["flat", "wd", "bd"], &["y"])
        .int("transB", 1);
    let offset = |c: usize| shift[c] - mean[c] * scale[c] / (variance[c] + 1e-5).sqrt();
    Toy {
        model: Model::from_bytes(onnx.bytes(), &device(), None).unwrap(),
        biases: vec![("c1", first), ("n2", (0..4).map(offset).collect())],
        dense: classes,
    }
}

#[test]
fn terms_one_by_one() {
    let toy = toy();
    let images = noise(2, 8, 10);
    let pixels = elucid_graph::Activation::from(images.clone())
        .to_array()
        .unwrap();
    let pixels = pixels.into_dimensionality::<Ix4>().unwrap();
    for class in 0..3 {
        for how in [FullGradTerms::Rescaled, FullGradTerms::Signed] {
            let method = FullGrad::new().terms(how);
            let found = method
                .attribute(&toy.model, &images, Target::class(class))
                .unwrap();
            assert_eq!(found.values().shape(), [2, 1, 8, 10]);
            let gradient = |layer: &str| {
                let found =
                    Gradient::at(layer).attribute(&toy.model, &images, Target::class(class));
                let values = found.unwrap().values().clone();
                values.into_dimensionality::<Ix4>().unwrap()
            };
            let input = gradient(INPUT) * &pixels;
            for image in 0..2 {
                let mut layers = vec![input.index_axis(Axis(0), image).to_owned()];
                for (layer, biases) in &toy.biases {
                    let mut terms = gradient(layer).index_axis(Axis(0), image).to_owned();
                    for (mut channel, bias) in terms.outer_iter_mut().zip(biases) {
                        channel *= *bias;
                    }
                    layers.push(terms);
                }
                let maps = layers.iter().map(|terms| drawn(terms, [8, 10], how));
                let want = maps.reduce(|a, b| a + b).unwrap();
                let got = found.values().index_axis(Axis(0), image).to_owned();
                let error = relative_error(&got, &want);
                assert!(error < 1e-5, "{how}: {error:.1e}");
                // The dense layer's bias is no place, and is counted.
                let drawn: f32 = layers.iter().map(Array3::sum).sum();
                let complete = found.completeness()[image];
                let sum = drawn + toy.dense[class];
                assert!(
                    (complete.sum - f64::from(sum)).abs() < 1e-4,
                    "{sum} {complete:?}"
                );
                assert!((complete.expected - f64::from(found.scores()[image])).abs() < 1e-6);
                if how == FullGradTerms::Signed {
                    // Twice and one times the grid: bilinear interpolation keeps the sum.
                    assert!((got.sum() - drawn).abs() < 1e-4 * drawn.abs().max(1.0));
                }
            }
            assert!(found.completeness_error().unwrap() < 1e-4);
            let used: Vec<String> = found
                .rule_uses()
                .iter()
                .map(|used| format!("{} {}", used.rule, used.operators))
                .collect();
            assert_eq!(used, ["biases 3"]);
        }
    }
}

/// A constant that is added, joined or padded is a bias; a function that bends has one at each number.
#[test]
fn whatever_adds_something_counts() {
    let onnx = Onnx::image([-1, 3, 6, 6])
        .weight("w", &[4, 3, 3, 3])
        .node("Conv", &["x", "w"], &["c"])
        .tensor(floats("plus", &[1, 4, 1, 1], vec![0.5, -1.0, 2.0, 0.25]))
        .node("Add", &["c", "plus"], &["a"])
        .node("Sigmoid", &["a"], &["s"])
        .tensor(floats("low", &[], vec![-0.25]))
        .tensor(floats("high", &[], vec![0.75]))
        .node("Clip", &["s", "low", "high"], &["k"])
        .tensor(floats("more", &[1, 4, 4, 1], numbers(16, 3)))
        .node("Concat", &["k", "more"], &["j"])
        .int("axis", 3)
        .node("GlobalAveragePool", &["j"], &["pool"])
        .node("Flatten", &["pool"], &["y"]);
    let onnx = onnx;
    let model = Model::from_bytes(onnx.bytes(), &device(), None);
    let model = match model {
        Ok(model) => model,
        Err(error) => panic!("{error}"),
    };
    let images = noise(1, 6, 6);
    for class in 0..4 {
        let found = FullGrad::new().attribute(&model, &images, Target::class(class));
        let found = found.unwrap();
        let error = found.completeness_error().unwrap();
        assert!(error < 1e-4, "{class}: {error:.1e} {found}");
    }
}

#[test]
fn it_adds_up_on_networks_that_are_linear_piece_by_piece() {
    let images = noise(2, 96, 80);
    let target = || Target::each([Target::class(285), Target::difference(7, 812)]);
    let found = FullGrad::new()
        .attribute(&*MODEL, &images, target())
        .unwrap();
    println!("squeezenet: {:.1e}", found.completeness_error().unwrap());
    assert!(found.completeness_error().unwrap() < 1e-4);
    let Some(assets) = assets() else {
        println!("SKIPPED: no ../shared");
        return;
    };
    for (network, bound) in [
        ("resnet18", 1e-4),
        ("densenet121", 1e-3),
        ("mobilenet_v2", 1e-3),
    ] {
        let file = assets.join(format!("models/torchvision/{network}.onnx"));
        if !file.is_file() {
            println!("SKIPPED: {network} is not there");
            continue;
        }
        let model = Model::from_bytes(with_weights(&file, 1.0), &device(), None).unwrap();
        let image = noise(1, 224, 224);
        let class = model.classify(&image).unwrap().top(1)[0].index;
        let found = FullGrad::new()
            .attribute(&model, &image, Target::class(class))
            .unwrap();
        let error = found.completeness_error().unwrap();
        println!("{network}: {error:.1e}");
        assert!(error < bound, "{network}: {error:.1e}");
        assert!(found.values().iter().any(|&v| v != 0.0));
    }
}

/// What is neither linear nor element-wise is named, and what is missing is stated.
#[test]
fn a_gap_is_stated() {
    for Opened { model, input, .. } in files_of("vit_tiny") {
        let found = FullGrad::new()
            .attribute(&model, &input, Target::class(3))
            .unwrap();
        let text = found.to_string();
        assert!(text.contains("left out"), "{text}");
        assert!(found.completeness_error().unwrap() > 1e-2, "{text}");
    }
}
