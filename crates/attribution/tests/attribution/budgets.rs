//! Options that ask for more memory than there is are refused before any work, with the numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, ExtremalPerturbation, IntegratedGradients, METHODS, Method,
    MethodOptions, Occlusion, Rise, RiseScore, SpatialAttribution, Target, images_together,
};
use elucid_graph::{Bytes, Limits};
use elucid_testkit::device;
use elucid_testkit::onnx::Onnx;
use elucid_vision::{Model, Opening};

/// Pictures of 64 x 64.
fn pictures() -> Tensor<4> {
    elucid_testkit::tensor(elucid_testkit::numbers(3 * 64 * 64, 3), [1, 3, 64, 64])
}

fn refused(method: &str, options: &[(&str, &str)]) -> (String, u64) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let network = move |x: Tensor<4>| {
        counted.fetch_add(x.dims()[0], Ordering::Relaxed);
        x.mean_dims(&[2, 3]).reshape([-1, 3])
    };
    let options = options
        .iter()
        .fold(MethodOptions::new(), |all, (name, value)| {
            all.set(name, value)
        });
    let method = Method::find(method).unwrap().build(&options).unwrap();
    match method.attribute(&network, &pictures(), Target::class(0)) {
        Err(AttributionError::TooLarge {
            what,
            needed,
            limit,
        }) => {
            assert_eq!(limit, Limits::MEMORY);
            let seen = seen.load(Ordering::Relaxed);
            assert!(seen <= 4, "{what}: {seen} images were seen before");
            (what, needed)
        }
        other => panic!("{}: {other:?}", method.name()),
    }
}

#[test]
fn sizes_that_options_ask_for_are_counted_first() {
    let (what, needed) = refused("sobol", &[("design", "100000000")]);
    assert!(
        what.contains("64 segments") && what.contains("sobol"),
        "{what}"
    );
    // Two masks, and what each point says of each segment.
    assert_eq!(needed, 100_000_000 * 64 * (2 * 4 + 8));
    let (what, _) = refused("sobol", &[("design", "100000"), ("segments", "grid:64")]);
    assert!(what.contains("4096 segments"), "{what}");
    let adaptive = [("quadrature", "adaptive"), ("max-evaluations", "1000000")];
    let (what, needed) = refused("integrated-gradients", &adaptive);
    assert!(what.contains("1000000 evaluations"), "{what}");
    assert_eq!(needed, 1_000_000 * 3 * 64 * 64 * 4);
}

/// What a network may take, its methods may take.
#[test]
fn the_limit_is_the_networks() {
    let network = Onnx::image([-1, 3, 64, 64])
        .weight("w", &[4, 3, 1, 1])
        .node("Conv", &["x", "w"], &["c"])
        .node("GlobalAveragePool", &["c"], &["p"])
        .node("Flatten", &["p"], &["y"]);
    let open = |memory: &str| -> Model {
        let memory: Bytes = memory.parse().unwrap();
        let limits = Limits::default().with_memory(memory.0);
        let opening = Opening::new().limits(limits);
        opening.bytes(network.bytes(), &device()).unwrap()
    };
    let (small, large) = (open("4 MB"), open("2 GB"));
    let levels = ExtremalPerturbation::new().levels(200).iterations(1);
    match levels.attribute(&small, &pictures(), Target::class(0)) {
        Err(AttributionError::TooLarge { what, limit, .. }) => {
            assert!(what.contains("200 levels") && limit == 4_000_000, "{what}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        levels
            .attribute(&large, &pictures(), Target::class(0))
            .is_ok()
    );

    let hsic = MethodOptions::new()
        .set("samples", "500")
        .set("segments", "grid:32");
    let hsic = Method::find("hsic").unwrap().build(&hsic).unwrap();
    match hsic.attribute(&small, &pictures(), Target::class(0)) {
        Err(AttributionError::TooLarge { what, .. }) => {
            assert!(what.contains("502 coalitions of 1024 segments"), "{what}");
        }
        other => panic!("{other:?}"),
    }

    let many = pictures().repeat_dim(0, 80);
    let rise = Rise::paper().masks(8).batch_size(4);
    match rise.all_classes(&small, &many) {
        Err(AttributionError::TooLarge { what, needed, .. }) => {
            assert!(what.contains("4 classes for 80 images"), "{what}");
            assert_eq!(needed, 80 * 4 * 64 * 64 * 4);
        }
        other => panic!("{other:?}"),
    }
    assert!(rise.all_classes(&small, &pictures()).is_ok());
    let between = SpatialAttribution::between("@input", "c");
    match between.compute(&small, &pictures()) {
        Err(AttributionError::TooLarge { what, needed, .. }) => {
            assert!(what.contains("64 x 64 positions"), "{what}");
            assert_eq!(needed, 4096 * 4096 * 4);
        }
        other => panic!("{other:?}"),
    }

    // Batches shrink instead: the numbers are the same.
    let shape = [1, 3, 64, 64];
    let fitting = images_together(&small, "y", shape, 1_000_000);
    assert!((5..50).contains(&fitting), "{fitting}");
    assert_eq!(images_together(&small, "y", shape, 2), 2);
    let methods: [Box<dyn Attributor>; 3] = [
        Box::new(
            Rise::paper()
                .masks(60)
                .score(RiseScore::Target)
                .batch_size(1_000_000),
        ),
        Box::new(Occlusion::new().window(16).batch_size(1_000_000)),
        Box::new(IntegratedGradients::new().steps(60).batch_size(1_000_000)),
    ];
    for method in methods {
        let few = method
            .attribute(&small, &pictures(), Target::class(0))
            .unwrap();
        let many = method
            .attribute(&large, &pictures(), Target::class(0))
            .unwrap();
        for (a, b) in few.values().iter().zip(many.values()) {
            assert!(
                (a - b).abs() <= 1e-5 * b.abs().max(1e-3),
                "{}: {a} {b}",
                method.name()
            );
        }
    }
}

/// Every number that a flag can be, of every method: refused in a moment, or done.
#[test]
fn no_number_fills_the_memory() {
    let network = |x: Tensor<4>| x.mean_dims(&[2, 3]).reshape([-1, 3]);
    let picture = elucid_testkit::tensor(elucid_testkit::numbers(3 * 6 * 6, 3), [1, 3, 6, 6]);
    let sizes = [
        "sigma",
        "mask-smooth",
        "mask-blur",
        "blur",
        "levels",
        "step",
        "disc",
        "offsets",
    ];
    for method in METHODS.iter().filter(|method| !method.needs_model) {
        for option in method
            .options
            .iter()
            .filter(|option| sizes.contains(&option.name))
        {
            for value in [
                "18446744073709551615",
                "1e30",
                "1000000000",
                "0.000000000000001",
            ] {
                let quick = |options: MethodOptions| match method.takes("iterations") {
                    true => options.set("iterations", "1"),
                    false => options,
                };
                let options = quick(MethodOptions::new().set(option.name, value));
                if let Ok(built) = method.build(&options) {
                    let _ = built.attribute(&network, &picture, Target::class(0));
                }
            }
        }
    }
}
