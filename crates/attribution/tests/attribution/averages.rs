//! Maps of several layers as one, and of several views of a picture.

use burn::tensor::Tensor;
use elucid_attribution::{
    Attributor, Averaged, Fuse, Fused, GradCam, Gradient, LayerCam, Method, MethodOptions, Network,
    Reduce, Region, Target, Views,
};
use elucid_models::photographs;
use elucid_testkit::{device, relative_error};
use elucid_vision::Model;
use ndarray::{Array3, Axis, s};

use super::shared::{SQUEEZENET as MODEL, noise};

fn map(
    method: &dyn Attributor,
    network: &dyn Network,
    images: &Tensor<4>,
    target: Target,
) -> Array3<f32> {
    let found = method.attribute(network, images, target).unwrap();
    found.map().unwrap().maps().clone()
}

#[test]
fn layers_are_fused_as_in_a_loop() {
    let images = noise(2, 96, 80);
    let target = || Target::difference(285, 7);
    let layers = ["fire9/concat", "fire4/concat", "fire6/concat"];
    let grad_cam = Method::find("grad-cam").unwrap();
    let full = layers.map(|layer| Network::layer(&*MODEL, layer).unwrap());
    for fuse in [Fuse::Mean, Fuse::Product] {
        let fused = Fused::layers(grad_cam, &MethodOptions::new(), layers, fuse).unwrap();
        let found = fused.attribute(&*MODEL, &images, target()).unwrap();
        // The finest grid is that of fire4.
        let each = layers.map(|layer| {
            let found = GradCam::at(layer)
                .attribute(&*MODEL, &images, target())
                .unwrap();
            found.map().unwrap().positive()
        });
        let (_, h, w) = each[1].maps().dim();
        assert_eq!(found.values().shape(), [2, 1, h, w]);
        for image in 0..2 {
            let mut want = vec![if fuse == Fuse::Mean { 0.0 } else { 1.0 }; h * w];
            for map in &each {
                let largest = map
                    .maps()
                    .index_axis(Axis(0), image)
                    .fold(0.0, |a: f32, &v| a.max(v));
                let large = map.resized([h, w]);
                let large = large.maps().index_axis(Axis(0), image).to_owned();
                for (want, v) in want.iter_mut().zip(large) {
                    match fuse {
                        Fuse::Mean => *want += v / largest / 3.0,
                        Fuse::Product => *want *= v / largest,
                    }
                }
            }
            let error = relative_error(found.values().index_axis(Axis(0), image), &want);
            assert!(error < 1e-5, "{fuse}: {error:.1e}");
        }
        assert_eq!(
            (found.method(), found.layer()),
            ("grad-cam", full[1].as_str())
        );
        let options = found.configuration();
        assert_eq!(options.get("fuse"), Some(fuse.to_string().as_str()));
        assert_eq!(options.get("layers"), Some(full.join(",").as_str()));
        assert_eq!(found.evaluations(), [3, 3]);
        assert!(found.completeness().is_empty());
    }
}

#[test]
fn methods_are_fused_with_their_signs() {
    let images = noise(1, 96, 80);
    let parts = || -> [Box<dyn Attributor>; 2] {
        [
            Box::new(GradCam::at_features()),
            Box::new(LayerCam::at("fire5/concat")),
        ]
    };
    let fused = Fused::new(parts(), Fuse::Mean).unwrap();
    assert_eq!(fused.name(), "grad-cam + layer-cam");
    // Where the one speaks for a class and the other cannot speak against it.
    let mut lowest = 0.0_f32;
    for target in [Target::difference(7, 285), Target::difference(285, 7)] {
        let signed = map(&fused, &*MODEL, &images, target.clone());
        let each = parts().map(|part| {
            let found = part.attribute(&*MODEL, &images, target.clone()).unwrap();
            let map = found.map().unwrap();
            let largest = map.maps().fold(0.0, |a: f32, v| a.max(v.abs()));
            map.resized([signed.dim().1, signed.dim().2]).maps() / largest
        });
        let want = (&each[0] + &each[1]) / 2.0;
        assert!(relative_error(&signed, &want) < 1e-5);
        lowest = signed.iter().copied().fold(lowest, f32::min);
        let positive = Fused::new(parts(), Fuse::Mean).unwrap();
        let positive = positive.reduced_by(Reduce::Positive);
        let positive = map(&positive, &*MODEL, &images, target);
        assert!(positive.iter().all(|&v| v >= 0.0));
    }
    assert!(lowest < 0.0, "signs are kept");
    // A map without evidence leaves none of a product, and does not divide by zero.
    let product = Fused::new(parts(), Fuse::Product).unwrap();
    let network = constant(&MODEL);
    let nothing = map(&product, &network, &images, Target::class(7));
    assert!(nothing.iter().all(|&v| v == 0.0));
    assert!(Fused::new([], Fuse::Mean).is_err());
}

/// The network with a last convolution that multiplies by zero.
fn constant(model: &Model) -> Model {
    let network = model.with_weights(|name, weight| {
        let is_last = name.contains("conv10") && weight.ndim() == 4;
        is_last.then(|| weight.mapv(|_| 0.0))
    });
    network.unwrap()
}

/// A map of a mirrored picture is the mirrored map, whatever the network.
#[test]
fn flips_are_mirrored_back_exactly() {
    let images = noise(2, 96, 80);
    let mirrored = images.clone().flip([3]);
    let target = || Target::each([Target::class(285), Target::difference(7, 812)]);
    for name in [
        "grad-cam",
        "layer-cam",
        "eigen-grad-cam",
        "gradient",
        "linear-approximation",
    ] {
        for layer in ["fire9/concat", "fire4/concat"] {
            let build = || {
                let options = MethodOptions::new().layer(layer);
                Method::find(name).unwrap().build(&options).unwrap()
            };
            let method = Averaged::new(build(), [Views::Flip]);
            let straight = map(&method, &*MODEL, &images, target());
            let other = map(&method, &*MODEL, &mirrored, target());
            let back = other.slice(s![.., .., ..;-1]);
            let error = relative_error(back, &straight);
            assert!(error < 1e-5, "{name} at {layer}: {error:.1e}");
            // It is the mean of both, number by number.
            let plain = map(&build(), &*MODEL, &images, target());
            let flipped = map(&build(), &*MODEL, &mirrored, target());
            let want = (&plain + &flipped.slice(s![.., .., ..;-1])) / 2.0;
            assert!(relative_error(&straight, &want) < 1e-6, "{name} at {layer}");
            if name == "grad-cam" {
                assert!(relative_error(&straight, &plain) > 1e-3, "{layer}");
            }
        }
    }
}

/// A network that sees one and the same thing wherever it is gives one and the same map.
#[test]
fn views_of_every_kind_are_mapped_back() {
    // Attribution by each pixel: a picture times itself, bright in one corner.
    let network = |x: Tensor<4>| (x.clone() * x).mean_dim(2).mean_dim(3).reshape([-1, 1]);
    let image = Tensor::<4>::from_data(
        burn::tensor::TensorData::new(
            (0..24 * 30)
                .map(|i| {
                    let (y, x) = (i / 30, i % 30);
                    let away = (y as f32 - 7.0).powi(2) + (x as f32 - 20.0).powi(2);
                    (-away / 30.0).exp()
                })
                .collect::<Vec<f32>>(),
            [1, 1, 24, 30],
        ),
        &device(),
    );
    let plain = map(&Gradient::at_input(), &network, &image, Target::class(0));
    for views in [
        vec![Views::Flip],
        vec![Views::Scale],
        vec![Views::Intensity],
        vec![Views::Flip, Views::Scale, Views::Intensity, Views::Flip],
    ] {
        let method = Averaged::new(Gradient::at_input(), views.clone());
        let found = method
            .attribute(&network, &image, Target::class(0))
            .unwrap();
        let kinds = found.configuration().get("tta").unwrap().split(',').count();
        let each = [1, 2, 3, 6, 9, 18];
        assert!(
            each.contains(&found.evaluations()[0]),
            "{:?}",
            found.evaluations()
        );
        assert_eq!(kinds, views.len().min(3));
        let error = relative_error(found.map().unwrap().maps(), &plain);
        println!("{views:?}: {error:.1e}");
        // Interpolation rounds off a little.
        let bound = if views.contains(&Views::Scale) {
            0.05
        } else {
            1e-5
        };
        assert!(error < bound, "{views:?}: {error:.1e}");
        assert!(found.remarks().is_empty(), "there is one class only");
    }
}

#[test]
fn another_best_guess_is_remarked_on_and_places_are_refused() {
    // Whichever side is brighter.
    let network = |x: Tensor<4>| {
        let [n, _, _, w] = x.dims();
        let side = |from: usize| x.clone().narrow(3, from, w / 2).mean_dim(3).mean_dim(2);
        Tensor::cat(vec![side(0), side(w / 2)], 1).reshape([n as i32, 2])
    };
    let values = (0..64).map(|i| f32::from(u8::from(i % 8 < 4)));
    let image = elucid_testkit::tensor(values.collect(), [1, 1, 8, 8]);
    let method = Averaged::new(Gradient::at_input(), [Views::Flip, Views::Scale]);
    let found = method
        .attribute(&network, &image, Target::class(0))
        .unwrap();
    assert_eq!(found.evaluations(), [6]);
    let [remark] = found.remarks() else {
        panic!("{:?}", found.remarks());
    };
    assert_eq!(
        remark,
        "image 0: the network's best guess is another in 3 of 6 views: mirrored, mirrored and scaled \
         by 0.9, mirrored and scaled by 1.1"
    );
    assert!(found.to_string().ends_with(remark), "{found}");
    let kept = serde_json::to_string(&found).unwrap();
    let again: elucid_attribution::Attribution = serde_json::from_str(&kept).unwrap();
    assert_eq!(again.remarks(), found.remarks());

    for target in [
        Target::position("fire5/concat", 0, 1),
        Target::region(1, Region::predicted()),
        Target::each([Target::position("fire5/concat", 0, 1)]),
    ] {
        let images = noise(1, 96, 96);
        let error = method.attribute(&*MODEL, &images, target).unwrap_err();
        assert!(error.to_string().contains("looks at a place"), "{error}");
    }
}

/// On a photograph the map of all views is near that of the picture itself.
#[test]
fn a_photograph_in_six_views() {
    let picture = elucid_vision::input::decode_image(photographs::chelsea()).unwrap();
    let cat = MODEL.prepare(&picture).unwrap();
    let images = cat.tensor().clone();
    let plain = map(
        &GradCam::at_features(),
        &*MODEL,
        &images,
        Target::class(285),
    );
    let method = Averaged::new(GradCam::at_features(), [Views::Flip, Views::Scale]);
    let averaged = map(&method, &*MODEL, &images, Target::class(285));
    let product = |a: &Array3<f32>, b: &Array3<f32>| (a * b).sum();
    let alike = product(&plain, &averaged)
        / (product(&plain, &plain) * product(&averaged, &averaged)).sqrt();
    println!("cosine {alike:.3}");
    assert!(alike > 0.8 && alike < 0.9999, "{alike}");
}
