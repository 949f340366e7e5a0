//! The CAM family against loops over activations and gradients, and against answers by hand; maps,
//! their sizes and their smoothness against loops.

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, EigenCam, EigenGradCam, FEATURES, GradCam, GradCamPlusPlus,
    Gradient, GuidedBackprop, GuidedGradCam, HiResCam, LayerCam, LinearApproximation, Method,
    MethodOptions, Network, Reduce, Saliency, Target, Upsampling, XGradCam,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_testkit::onnx::Onnx;
use elucid_testkit::{device, numbers, relative_error};
use elucid_vision::Model;
use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, ArrayView4, Axis, Ix4, s};

use super::shared::{SQUEEZENET as MODEL, naive_resize, noise, pooled_network, refused_option};

/// A method's numbers at one image, from `x` and `g` `[C, H W]`.
type Naive = fn(ArrayView2<'_, f64>, ArrayView2<'_, f64>) -> Array2<f64>;

fn weighted(x: ArrayView2<'_, f64>, weight: impl Fn(usize) -> f64) -> Array2<f64> {
    Array2::from_shape_fn(x.dim(), |(c, i)| weight(c) * x[[c, i]])
}

fn naive_methods() -> Vec<(&'static str, Naive)> {
    vec![
        ("grad-cam", |x, g| {
            weighted(x, |c| g.row(c).sum() / g.ncols() as f64)
        }),
        ("grad-cam-plus-plus", |x, g| {
            weighted(x, |c| {
                let sum = x.row(c).sum();
                let mut weight = 0.0;
                for &g in g.row(c) {
                    let alpha = match g {
                        0.0 => 0.0,
                        g => g * g / (2.0 * g * g + sum * g * g * g),
                    };
                    weight += alpha * g.max(0.0);
                }
                weight
            })
        }),
        ("hires-cam", |x, g| &x * &g),
        ("layer-cam", |x, g| &x * &g.mapv(|g| g.max(0.0))),
        ("x-grad-cam", |x, g| {
            weighted(x, |c| {
                let product: f64 = x.row(c).iter().zip(g.row(c)).map(|(x, g)| x * g).sum();
                match x.row(c).sum() {
                    0.0 => 0.0,
                    sum => product / sum,
                }
            })
        }),
        ("eigen-cam", |x, _| naive_eigen_cam(x, false)),
        ("eigen-grad-cam", |x, g| {
            let ones = Array1::ones(x.nrows());
            naive_projection(&x * &g, &ones)
        }),
    ]
}

/// Ten thousand steps of the power iteration on `X^T X`.
fn naive_eigen_cam(x: ArrayView2<'_, f64>, centred: bool) -> Array2<f64> {
    let mut rows = x.to_owned();
    if centred {
        for mut channel in rows.rows_mut() {
            let mean = channel.sum() / channel.len() as f64;
            channel.mapv_inplace(|v| v - mean);
        }
    }
    naive_projection(rows, &x.sum_axis(Axis(1)))
}

/// The channels times their first principal component, whose sign is that along `along`.
fn naive_projection(rows: Array2<f64>, along: &Array1<f64>) -> Array2<f64> {
    let mut v = Array1::from_shape_fn(rows.nrows(), |c| 1.0 + 0.01 * c as f64);
    for _ in 0..10_000 {
        let projected = rows.t().dot(&v);
        v = rows.dot(&projected);
        let length = v.dot(&v).sqrt();
        if length == 0.0 {
            break;
        }
        v /= length;
    }
    if v.dot(along) < 0.0 {
        v = -v;
    }
    weighted(rows.view(), |c| v[c])
}

fn flat(values: ArrayView4<'_, f32>, image: usize) -> Array2<f64> {
    let (_, c, h, w) = values.dim();
    let image = values.index_axis(Axis(0), image).mapv(f64::from);
    image.into_shape_with_order((c, h * w)).unwrap()
}

fn build(name: &str, layer: &str) -> Box<dyn Attributor> {
    let options = MethodOptions::new().layer(layer);
    Method::find(name).unwrap().build(&options).unwrap()
}

#[test]
fn every_formula_as_a_loop() {
    let images = noise(2, 96, 80);
    let target = || Target::each([Target::class(285), Target::difference(7, 812)]);
    // Behind a ReLU, at joined branches, and where numbers have both signs.
    for layer in [FEATURES, "fire4/concat", "conv1", INPUT] {
        let signed = matches!(layer, "conv1" | INPUT);
        let full = Network::layer(&*MODEL, layer).unwrap();
        let fetched = MODEL.pass().input(&images).fetch([&full]).unwrap();
        let x = fetched.get(&full).unwrap().to_array().unwrap();
        let x = x.into_dimensionality::<Ix4>().unwrap();
        let gradient = Gradient::at(layer)
            .attribute(&*MODEL, &images, target())
            .unwrap();
        let g = gradient.values().view().into_dimensionality::<Ix4>();
        let g = g.unwrap();
        for (name, naive) in naive_methods() {
            if signed && matches!(name, "grad-cam-plus-plus" | "x-grad-cam") {
                // Denominators pass through zero: neither way of computing is exact.
                continue;
            }
            let got = build(name, layer)
                .attribute(&*MODEL, &images, target())
                .unwrap();
            assert_eq!(got.values().shape(), x.shape());
            assert_eq!(got.scores(), gradient.scores());
            assert_eq!((got.method(), got.layer()), (name, full.as_str()));
            let map = got.map().unwrap();
            for image in 0..2 {
                let want = naive(flat(x.view(), image).view(), flat(g, image).view());
                let want_map: Vec<f32> = want.sum_axis(Axis(0)).mapv(|v| v as f32).to_vec();
                let want: Vec<f32> = want.iter().map(|&v| v as f32).collect();
                let image_of = |values| ndarray::ArrayBase::index_axis(values, Axis(0), image);
                let error = relative_error(image_of(got.values()).iter(), &want);
                let map_error = relative_error(map.maps().index_axis(Axis(0), image), &want_map);
                println!("{name} at {full}: {error:.1e}, map {map_error:.1e}");
                assert!(error < 1e-5, "{name} at {full}: {error:.1e}");
                assert!(
                    map_error < 1e-4,
                    "the map of {name} at {full}: {map_error:.1e}"
                );
            }
        }
    }
}

#[test]
fn relations_between_methods() {
    let images = noise(1, 96, 96);
    let attribute = |method: &dyn Attributor| {
        let target = Target::class(285);
        method.attribute(&*MODEL, &images, target).unwrap()
    };
    let hires = attribute(&HiResCam::at_features());
    let linear = attribute(&LinearApproximation::at(FEATURES));
    assert_eq!(hires.values(), linear.values());
    assert_eq!(hires.map().unwrap(), linear.map().unwrap());
    let total = |values: &ndarray::ArrayD<f32>| values.iter().map(|&v| f64::from(v)).sum::<f64>();
    let x_grad = attribute(&XGradCam::at_features());
    let (got, want) = (total(x_grad.values()), total(hires.values()));
    assert!(
        (got - want).abs() < 1e-4 * want.abs(),
        "{got} is not {want}"
    );
    // No activation behind a ReLU is negative, so neither is what LayerCAM makes of it.
    let layer = attribute(&LayerCam::at_features());
    assert!(layer.values().iter().all(|&v| v >= 0.0));
    let plus = attribute(&GradCamPlusPlus::at_features());
    assert!(plus.values().iter().all(|&v| v >= 0.0));
}

#[test]
fn behind_a_global_average_pool_grad_cam_is_cam() {
    let dense = numbers(12, 5);
    let model = pooled_network(&dense, None);
    let images = noise(2, 7, 5);
    let fetched = model.pass().input(&images).fetch(["relu"]).unwrap();
    let x = fetched.get("relu").unwrap().to_array().unwrap();
    let (h, w) = (x.shape()[2], x.shape()[3]);
    for class in 0..3 {
        let mut want = Vec::new();
        for (n, y, z) in ndarray::indices((2, h, w)) {
            let cam: f32 = (0..4).map(|c| dense[class * 4 + c] * x[[n, c, y, z]]).sum();
            want.push(cam / (h * w) as f32);
        }
        for name in ["grad-cam", "hires-cam", "x-grad-cam"] {
            let got = build(name, "relu")
                .attribute(&model, &images, Target::class(class))
                .unwrap();
            let map = got.map().unwrap();
            assert!(relative_error(map.maps(), &want) < 1e-5, "{name}");
            // A CAM adds up to the score where the dense layer has no bias.
            for (map, &score) in map.maps().outer_iter().zip(got.scores()) {
                assert!((map.sum() - score).abs() < 1e-5 * score.abs().max(1.0));
            }
        }
        assert_eq!(Network::layer(&model, FEATURES).unwrap(), "relu");
    }
}

#[test]
fn a_map_without_positive_evidence_is_blank() {
    let model = pooled_network(&[-0.5, -1.0, -0.25, -2.0, 0.5, 1.0, 0.25, 2.0], None);
    let images = noise(1, 7, 5);
    for name in ["grad-cam", "hires-cam", "x-grad-cam"] {
        let method = build(name, FEATURES);
        let against = method
            .attribute(&model, &images, Target::class(0))
            .unwrap()
            .map()
            .unwrap();
        assert!(against.is_blank(0), "{name}");
        assert!(against.maps().iter().any(|&v| v < 0.0), "{name} is raw");
        assert!(against.positive().maps().iter().all(|&v| v == 0.0));
        assert!(against.upsampled().is_blank(0) && against.positive().upsampled().is_blank(0));
        let towards = method.attribute(&model, &images, Target::class(1)).unwrap();
        assert!(!towards.map().unwrap().is_blank(0), "{name}");
    }
    // The guided form has nothing to look at either.
    let guided = |class| {
        GuidedGradCam::with_cam_at("relu")
            .attribute(&model, &images, Target::class(class))
            .unwrap()
    };
    assert!(guided(0).values().iter().all(|&v| v == 0.0));
    assert!(guided(0).remarks()[0].contains("nowhere above 0"));
    assert!(guided(1).values().iter().any(|&v| v != 0.0));
    assert!(guided(1).remarks().is_empty());
}

#[test]
fn eigen_cam_by_hand() {
    // Behind the ReLU the image itself: the three channels are (2, 1, 0) times (1, 0, 2, 3).
    let onnx = Onnx::image([-1, 3, 2, 2])
        .node("Relu", &["x"], &["relu"])
        .node("GlobalAveragePool", &["relu"], &["pool"])
        .node("Flatten", &["pool"], &["y"]);
    let model = Model::from_bytes(onnx.bytes(), &device(), None).unwrap();
    let pixels = vec![2.0, 0.0, 4.0, 6.0, 1.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0];
    let image = elucid_testkit::tensor(pixels, [1, 3, 2, 2]);
    let attribute = |method: EigenCam, image: &Tensor<4>, class| {
        method
            .attribute(&model, image, Target::class(class))
            .unwrap()
    };
    let five = 5_f32.sqrt();
    let got = attribute(EigenCam::at("relu"), &image, 0);
    let want = [five, 0.0, 2.0 * five, 3.0 * five];
    assert!(relative_error(got.map().unwrap().maps(), &want) < 1e-6);
    assert_eq!(got.evaluations(), [0]);
    assert_eq!(got.scores(), [3.0]);
    assert_eq!(
        attribute(EigenCam::at("relu"), &image, 1).values(),
        got.values()
    );
    let got = attribute(EigenCam::at("relu").centred(true), &image, 0);
    let want = want.map(|v| v - 1.5 * five);
    assert!(relative_error(got.map().unwrap().maps(), &want) < 1e-6);
    // Nothing is active: nothing to show.
    let dark = attribute(EigenCam::at("relu"), &(image * -1.0), 0);
    assert!(dark.values().iter().all(|&v| v == 0.0));
    assert!(dark.map().unwrap().is_blank(0));
}

#[test]
fn centred_eigen_cam_as_a_loop() {
    let images = noise(2, 96, 96);
    for layer in [FEATURES, "fire3/concat", INPUT] {
        let full = Network::layer(&*MODEL, layer).unwrap();
        let fetched = MODEL.pass().input(&images).fetch([&full]).unwrap();
        let x = fetched.get(&full).unwrap().to_array().unwrap();
        let x = x.into_dimensionality::<Ix4>().unwrap();
        let options = MethodOptions::new().layer(layer).set("centred", "true");
        let method = Method::find("eigen-cam").unwrap().build(&options).unwrap();
        let got = method
            .attribute(&*MODEL, &images, Target::class(1))
            .unwrap();
        for image in 0..2 {
            let want = naive_eigen_cam(flat(x.view(), image).view(), true);
            let want: Vec<f32> = want.iter().map(|&v| v as f32).collect();
            let error = relative_error(got.values().index_axis(Axis(0), image), &want);
            assert!(error < 1e-5, "image {image} at {full}: {error:.1e}");
            // Of centred numbers the projections add up to nothing.
            let map = got.map().unwrap();
            let map = map.maps().index_axis(Axis(0), image).to_owned();
            assert!(map.sum().abs() < 1e-4 * map.mapv(f32::abs).sum());
        }
    }
}

/// The map agrees in sign with that of HiResCAM, evidence against a target included.
#[test]
fn eigen_grad_cam_speaks_as_hires_cam_does() {
    let images = noise(2, 96, 80);
    for target in [
        Target::class(285),
        Target::difference(7, 812),
        Target::difference(812, 7),
    ] {
        for layer in [FEATURES, "fire4/concat"] {
            let map = |method: &dyn Attributor| {
                let found = method.attribute(&*MODEL, &images, target.clone()).unwrap();
                found.map().unwrap().maps().mapv(f64::from)
            };
            let [eigen, hires] = [map(&EigenGradCam::at(layer)), map(&HiResCam::at(layer))];
            for (eigen, hires) in eigen.outer_iter().zip(hires.outer_iter()) {
                assert!((&eigen * &hires).sum() > 0.0, "{target} at {layer}");
            }
        }
    }
    let x = ndarray::Array2::from_shape_fn((2, 3), |(c, i)| (1.0 + c as f64) * (i as f64 - 1.0));
    let centred = naive_projection(x.clone(), &Array1::ones(2));
    let five = 5_f64.sqrt();
    for (got, want) in centred.sum_axis(Axis(0)).iter().zip([-five, 0.0, five]) {
        assert!((got - want).abs() < 1e-9);
    }
}

#[test]
fn guided_grad_cam_is_the_product() {
    let images = noise(2, 95, 81);
    let target = || Target::each([Target::class(285), Target::class(7)]);
    let guided = GuidedBackprop::at_input()
        .attribute(&*MODEL, &images, target())
        .unwrap();
    for layer in [FEATURES, "fire5/concat"] {
        let cam = GradCam::at(layer)
            .attribute(&*MODEL, &images, target())
            .unwrap()
            .map()
            .unwrap()
            .positive();
        let (h, w) = (cam.maps().dim().1, cam.maps().dim().2);
        let bilinear = cam.upsampled().maps().clone();
        let nearest = Array3::from_shape_fn((2, 95, 81), |(n, y, x)| {
            let at = |i: usize, from: usize, to: usize| (i * from) as f64 / to as f64;
            cam.maps()[[n, at(y, h, 95) as usize, at(x, w, 81) as usize]]
        });
        for (upsampling, map) in [
            (Upsampling::Bilinear, bilinear),
            (Upsampling::Nearest, nearest),
        ] {
            let got = GuidedGradCam::with_cam_at(layer)
                .upsampling(upsampling)
                .attribute(&*MODEL, &images, target())
                .unwrap();
            let want = guided.values() * &map.insert_axis(Axis(1));
            let error = relative_error(got.values(), &want);
            assert!(error < 1e-5, "{upsampling:?} at {layer}: {error:.1e}");
            assert_eq!(got.scores(), guided.scores());
            assert_eq!(got.evaluations(), [2, 2]);
            assert_eq!(got.rules(), "guided");
        }
    }
}

#[test]
fn options_and_layers_that_do_not_fit() {
    let images = noise(1, 96, 96);
    let refused = |method: &dyn Attributor| {
        method
            .attribute(&*MODEL, &images, Target::class(1))
            .unwrap_err()
    };
    for (name, _) in naive_methods() {
        let error = refused(&*build(name, "pool10/flatten"));
        assert!(
            matches!(error, AttributionError::NotSpatial { .. }),
            "{name}"
        );
    }
    let flat = GuidedGradCam::with_cam_at("pool10/flatten");
    assert!(matches!(
        refused(&flat),
        AttributionError::NotSpatial { .. }
    ));
    assert!(refused_option("eigen-cam", "centred", "maybe").contains("true or false"));
    assert!(
        refused_option("guided-grad-cam", "interpolation", "cubic").contains("bilinear or nearest")
    );
    assert!(refused_option("grad-cam", "relu", "true").contains("takes none"));
    // A closure has an input, at which a CAM can be taken, and no other layer.
    let network = |x: Tensor<4>| x.mean_dim(2).mean_dim(3).reshape([-1, 3]);
    let closed = |method: &dyn Attributor| method.attribute(&network, &images, Target::class(1));
    let cam = closed(&GradCam::at(INPUT)).unwrap();
    assert_eq!(cam.values().shape(), [1, 3, 96, 96]);
    for method in [
        &GradCam::at_features() as &dyn Attributor,
        &GuidedBackprop::at_input(),
        &GuidedGradCam::with_cam_at_features(),
    ] {
        let error = closed(method).unwrap_err();
        assert!(
            matches!(error, AttributionError::NeedsModel { .. }),
            "{error}"
        );
    }
}

fn saliency(height: usize, width: usize) -> Saliency {
    let maps = Array3::from_shape_vec((1, height, width), numbers(height * width, 77)).unwrap();
    Saliency::new(maps, [height, width])
}

#[test]
fn resizing_as_a_loop() {
    for (from, to) in [
        ([7, 7], [224, 224]),
        ([13, 5], [31, 64]),
        ([14, 14], [7, 9]),
        ([31, 17], [3, 50]),
        ([1, 1], [4, 3]),
        ([5, 4], [1, 1]),
        ([6, 6], [6, 6]),
    ] {
        let small = saliency(from[0], from[1]);
        let got = small.resized(to);
        let want = naive_resize(small.maps().slice(s![0, .., ..]), to[0], to[1]);
        assert_eq!(got.maps().dim(), (1, to[0], to[1]));
        let error = relative_error(got.maps(), &want);
        assert!(error < 1e-5, "{from:?} to {to:?}: {error:.1e}");
        assert_eq!(got.image_size(), from);
    }
}

/// The two-dimensional Gaussian, cut off at `ceil(4 sigma)`, over replicated edges.
fn naive_smooth(map: ArrayView2<'_, f32>, sigma: f64) -> Array2<f32> {
    let (h, w) = map.dim();
    let half = (4.0 * sigma).ceil() as i64;
    Array2::from_shape_fn((h, w), |(y, x)| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for dy in -half..=half {
            for dx in -half..=half {
                let weight = (-((dy * dy + dx * dx) as f64) / (2.0 * sigma * sigma)).exp();
                let at = |i: usize, d: i64, size: usize| (i as i64 + d).clamp(0, size as i64 - 1);
                let pixel = map[[at(y, dy, h) as usize, at(x, dx, w) as usize]];
                sum += weight * f64::from(pixel);
                weights += weight;
            }
        }
        (sum / weights) as f32
    })
}

#[test]
fn smoothing_as_a_loop() {
    for (height, width, fraction) in [(40, 40, 0.02), (33, 50, 0.05), (9, 4, 0.3), (1, 7, 0.1)] {
        let map = saliency(height, width);
        let got = map.smoothed(fraction);
        let sigma = f64::from(fraction * height.max(width) as f32);
        let want = naive_smooth(map.maps().slice(s![0, .., ..]), sigma);
        let error = relative_error(got.maps(), &want);
        assert!(
            error < 1e-5,
            "{height} x {width} by {fraction}: {error:.1e}"
        );
        assert_ne!(got, map);
    }
    let map = saliency(12, 10);
    for nothing in [0.0, -1.0, f32::NAN] {
        assert_eq!(map.smoothed(nothing), map);
    }
    let large = Saliency::new(map.maps().clone(), [50, 40]);
    assert_eq!(large.torchray(0.0), large.upsampled());
    let smooth = large.upsampled().smoothed(0.02);
    assert_eq!(large.torchray(0.02), smooth);
}

#[test]
fn reductions_as_loops() {
    let images = noise(2, 96, 96);
    let got = Gradient::at_input()
        .attribute(&*MODEL, &images, Target::class(285))
        .unwrap();
    type Reduction = fn(ArrayView1<'_, f32>) -> f32;
    let reduce: [(&str, Reduction); 5] = [
        ("sum", |v| v.sum()),
        ("abs-sum", |v| v.iter().map(|v| v.abs()).sum()),
        ("max-abs", |v| v.iter().fold(0.0, |a, v| v.abs().max(a))),
        ("l2", |v| v.iter().map(|v| v * v).sum::<f32>().sqrt()),
        ("positive", |v| v.sum().max(0.0)),
    ];
    assert_eq!(reduce.len(), Reduce::NAMES.len());
    for (name, naive) in reduce {
        let kind: Reduce = name.parse().unwrap();
        assert_eq!(kind.to_string(), name);
        let map = got.saliency(kind).unwrap();
        assert_eq!(map.maps().dim(), (2, 96, 96));
        let want = got.values().map_axis(Axis(1), naive);
        assert!(relative_error(map.maps(), &want) < 1e-6, "{name}");
    }
    let error = "mean".parse::<Reduce>().unwrap_err().to_string();
    assert!(error.contains("max-abs"), "{error}");
    // The default of gradients is TorchRay's.
    assert_eq!(got.reduction(), Reduce::MaxAbs);
    let scores = Gradient::at(LOGITS).attribute(&*MODEL, &images, Target::class(285));
    assert!(matches!(
        scores.unwrap().map(),
        Err(AttributionError::NotSpatial { .. })
    ));
}
