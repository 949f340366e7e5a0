//! What holds for every method of the table.
//!
//! A new method is covered as soon as it is in [`METHODS`]. Options that would make it slow are set
//! in [`SMALL`]; what is true of some methods only is a list of names at the top. Methods that look at
//! attention are covered in `attention.rs`, on a network that has some.

use std::sync::{Arc, LazyLock, Mutex};

use burn::tensor::Tensor;
use elucid_attribution::{
    Attribution, AttributionError, FEATURES, METHODS, Method, MethodOptions, Network, Place, Target,
};
use elucid_graph::{GraphError, INPUT, LOGITS};
use elucid_models::photographs;
use elucid_testkit::{numbers, relative_error};
use elucid_vision::Model;
use ndarray::Axis;

use super::shared::{SQUEEZENET as MODEL, without_attention};

/// Options under which methods are quick, for those that have them.
const SMALL: Settings = &[
    ("steps", "4"),
    ("samples", "3"),
    ("masks", "4"),
    ("window", "48"),
    ("stride", "48"),
    ("cells", "2"),
    ("iterations", "3"),
    ("learning-rate", "1"),
    ("area-weight", "10"),
    ("segments", "grid:3"),
    ("permutations", "2"),
    ("design", "2"),
    ("channels", "4"),
    // Noise is no image of the class: nothing to take away but the penalty.
    ("l1", "0"),
    // Noise is one segment, which has one place in an order whatever the image.
    ("map", "gain"),
];

/// Methods whose attribution of `A - B` is that of `A` minus that of `B`.
const LINEAR: &[&str] = &[
    "gradient",
    "linear-approximation",
    "integrated-gradients",
    "smooth-grad",
    "gradient-shap",
    "grad-cam",
    "hires-cam",
    "x-grad-cam",
    "ablation-cam",
    "recipro-cam",
    "shapley-cam",
    "token-occlusion",
    "lime",
    "kernel-shap",
    "shapley-sampling",
];

/// Methods that see something in a network that always gives the same scores, and why.
const SEES_CONSTANT_NETWORKS: &[(&str, &str)] = &[
    ("eigen-cam", "it looks at activations, and at no score"),
    (
        "score-cam",
        "it gives channels of equal scores equal weights",
    ),
    ("full-grad", "its score is a bias, which has places"),
    ("rise", "it gives the mean mask"),
    ("extremal-perturbation", "it has an area to cover"),
];

/// Methods that hide all channels of a pixel together, and give one number for them.
const PER_PIXEL: &[&str] = &[
    "recipro-cam",
    "token-occlusion",
    "full-grad",
    "xrai",
    "rise",
    "occlusion",
    "feature-ablation",
    "extremal-perturbation",
    "meaningful-perturbation",
    "lime",
    "kernel-shap",
    "shapley-sampling",
    "sobol",
    "hsic",
];

/// How far from complete a method may be, under the options given; 1e-4 unless listed.
const COMPLETENESS: &[(&str, Settings, f64)] = &[
    // Biases take their share, which the default rules do not hand on: Zennit's rules lose the same.
    // Networks without biases, where LRP conserves, are among the tests of relevance.
    ("lrp", &[], 1.0),
    ("integrated-gradients", &[("tolerance", "0.02")], 0.02),
    // Sums over a finite path, and a mean over samples. The published path of guided IG leaves a large
    // error, which is stated; that it is the published one is among the tests of paths.
    ("blur-ig", &[("steps", "100"), ("max-sigma", "50")], 0.1),
    ("guided-ig", &[("steps", "100")], 10.0),
    ("gradient-shap", &[("samples", "200")], 0.5),
    ("xrai", &[("steps", "100")], 0.1),
];

/// Options under which methods that take them draw random numbers.
const RANDOM: Settings = &[("baseline", "noise:-9:9")];

/// Options by name.
type Settings = &'static [(&'static str, &'static str)];

/// Two small images of noise.
static IMAGES: LazyLock<Tensor<4>> = LazyLock::new(|| {
    elucid_testkit::tensor(numbers(2 * 3 * 96 * 96, 0x9E37_79B9), [2, 3, 96, 96]) * 2.0
});

/// Two small photographs: paths through noise are too rough to add up in a few steps.
static PHOTOGRAPHS: LazyLock<Tensor<4>> = LazyLock::new(|| {
    let spec = MODEL.input_spec().clone().with_size([96, 96]).unwrap();
    let read = |bytes: &[u8]| {
        let picture = elucid_vision::input::decode_image(bytes).unwrap();
        let values = spec.prepare(&picture).unwrap().tensor;
        elucid_testkit::tensor(values.into_iter().collect(), [1, 3, 96, 96])
    };
    Tensor::cat(
        vec![read(photographs::chelsea()), read(photographs::coffee())],
        0,
    )
});

fn options(method: &Method) -> MethodOptions {
    with(SMALL, method, MethodOptions::new())
}

/// These options besides others, as far as the method has them.
fn with(settings: Settings, method: &Method, options: MethodOptions) -> MethodOptions {
    settings
        .iter()
        .filter(|(option, _)| method.takes(option))
        .fold(options, |options, (option, value)| {
            options.set(option, value)
        })
}

/// Where a method is tried: its default, and a layer in the middle if it takes one.
fn places(method: &Method) -> Vec<(&'static str, MethodOptions)> {
    places_under(SMALL, method)
}

fn places_under(settings: Settings, method: &Method) -> Vec<(&'static str, MethodOptions)> {
    let options = |method| with(settings, method, MethodOptions::new());
    let default = match method.place {
        Place::SpatialLayer => FEATURES,
        Place::Input | Place::AnyLayer | Place::Tokens => INPUT,
    };
    let mut places = vec![(default, options(method))];
    if method.place.takes_layer() {
        places.push(("fire5/concat", options(method).layer("fire5/concat")));
    }
    places
}

fn attribute(
    method: &Method,
    options: &MethodOptions,
    network: &dyn Network,
    images: &Tensor<4>,
    target: Target,
) -> Result<Attribution, AttributionError> {
    method.build(options)?.attribute(network, images, target)
}

fn expect(
    method: &Method,
    options: &MethodOptions,
    images: &Tensor<4>,
    target: Target,
) -> Attribution {
    attribute(method, options, &*MODEL, images, target)
        .unwrap_or_else(|error| panic!("{}: {error}", method.name))
}

/// `|a - b|` at its largest over one image, relative to the largest `|b|`.
fn image_error(a: &Attribution, i: usize, b: &Attribution, j: usize) -> f32 {
    relative_error(
        a.values().index_axis(Axis(0), i),
        b.values().index_axis(Axis(0), j),
    )
}

#[test]
fn names_are_found_and_described() {
    for (i, method) in METHODS.iter().enumerate() {
        let name = method.name;
        assert!(
            METHODS[..i].iter().all(|other| other.name != name),
            "{name} occurs twice"
        );
        for known in method.others {
            assert_eq!(Method::find(known).unwrap().name, name, "{known}");
        }
        assert!(
            !method.title.is_empty() && !method.reference.is_empty(),
            "{name}"
        );
        assert_eq!(Method::find(name).unwrap().name, name);
        assert_eq!(
            Method::find(&name.to_uppercase().replace('-', "_"))
                .unwrap()
                .name,
            name
        );
        let built = method.build(&MethodOptions::new()).unwrap();
        assert_eq!(built.name(), name);
        for option in method.all_options() {
            assert!(!option.help.is_empty(), "{name} --{}", option.name);
            assert!(!option.values.is_empty(), "{name} --{}", option.name);
        }
        let unknown = method.build(&MethodOptions::new().set("nonsense", "1"));
        assert!(
            matches!(unknown, Err(AttributionError::UnknownOption { .. })),
            "{name}"
        );
    }
}

#[test]
fn shaped_like_the_layer_with_true_scores() {
    let classes = [285, 7];
    let target = || Target::each(classes.map(Target::class));
    let logits = MODEL.classify(&*IMAGES).unwrap().logits().clone();
    let want: Vec<f32> = (0..2).map(|i| logits[[i, classes[i]]]).collect();
    for method in without_attention() {
        for (layer, options) in places(method) {
            let got = expect(method, &options, &IMAGES, target());
            let name = format!("{} at {layer}", method.name);
            let full = Network::layer(&*MODEL, layer).unwrap();
            let fetched = MODEL.pass().input(&*IMAGES).fetch([&full]).unwrap();
            let mut shape = fetched.get(&full).unwrap().shape();
            if PER_PIXEL.contains(&method.name) {
                shape[1] = 1;
            }
            assert_eq!(got.values().shape(), shape, "{name}");
            assert_eq!((got.method(), got.layer()), (method.name, full.as_str()));
            assert_eq!(got.image_size(), [96, 96], "{name}");
            assert!(got.values().iter().all(|v| v.is_finite()), "{name}");
            assert!(got.values().iter().any(|&v| v != 0.0), "{name} is blank");
            assert!(relative_error(got.scores(), &want) < 1e-5, "{name}");
            assert_eq!(got.evaluations().len(), 2, "{name}");
            let map = got.map().unwrap();
            assert_eq!(map.upsampled().maps().dim(), (2, 96, 96), "{name}");
            // One image's numbers are not another's.
            assert!(image_error(&got, 0, &got, 1) > 1e-2, "{name}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for method in without_attention() {
        for (layer, options) in places(method) {
            let run = |seed| {
                let options = with(RANDOM, method, options.clone()).seed(seed);
                expect(method, &options, &IMAGES, Target::class(285))
            };
            let first = run(3);
            let name = format!("{} at {layer}", method.name);
            assert_eq!(first.values(), run(3).values(), "{name}");
            assert_eq!(first.values() != run(4).values(), method.random, "{name}");
        }
    }
}

#[test]
fn a_batch_gives_what_its_images_give() {
    for method in without_attention() {
        for (layer, options) in places(method) {
            let target = [Target::class(285), Target::difference(7, 812)];
            let together = expect(method, &options, &IMAGES, Target::each(target.clone()));
            for batch_size in [1, 3] {
                let options = options.clone().batch_size(batch_size);
                let apart = expect(method, &options, &IMAGES, Target::each(target.clone()));
                for i in 0..2 {
                    let error = image_error(&apart, i, &together, i);
                    let name = format!("{} at {layer}, batches of {batch_size}", method.name);
                    assert!(error < 1e-4, "{name}: {error:.1e}");
                }
            }
            for (i, target) in target.into_iter().enumerate() {
                let one = IMAGES.clone().narrow(0, i, 1);
                let alone = expect(method, &options, &one, target);
                let error = image_error(&together, i, &alone, 0);
                assert!(
                    error < 1e-4,
                    "image {i} of {} at {layer}: {error:.1e}",
                    method.name
                );
                let score = (together.scores()[i] - alone.scores()[0]).abs();
                assert!(
                    score <= 1e-5 * alone.scores()[0].abs().max(1.0),
                    "{}",
                    method.name
                );
            }
        }
    }
}

#[test]
fn progress_ends_at_the_end_and_cancels() {
    for method in without_attention() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let counting = options(method).batch_size(1).progress(move |p| {
            log.lock().unwrap().push((p.done, p.total));
            p.continue_()
        });
        expect(method, &counting, &IMAGES, Target::class(285));
        let seen = seen.lock().unwrap().clone();
        let name = method.name;
        assert!(seen.len() > 1, "{name} reports {seen:?}");
        assert!(seen.is_sorted(), "{name} reports {seen:?}");
        assert!(
            seen.iter().all(|(done, total)| done <= total),
            "{name} reports {seen:?}"
        );
        let (done, total) = seen[seen.len() - 1];
        assert_eq!(done, total, "{name}");

        let cancelling = options(method).batch_size(1).progress(|p| p.cancel());
        let cancelled = attribute(method, &cancelling, &*MODEL, &IMAGES, Target::class(285));
        let is_cancelled = matches!(
            cancelled,
            Err(AttributionError::Cancelled { done, .. }) if done == seen[0].0
        );
        assert!(is_cancelled, "{name}");
    }
}

#[test]
fn bad_input_is_named() {
    let nan = {
        let mut values: Vec<f32> = IMAGES.clone().into_data().iter::<f32>().collect();
        values[3 * 96 * 96 + 5] = f32::NAN;
        elucid_testkit::tensor(values, [2, 3, 96, 96])
    };
    for method in without_attention() {
        let name = method.name;
        let refused = |options: MethodOptions, images: &Tensor<4>, target| match attribute(
            method, &options, &*MODEL, images, target,
        ) {
            Err(error) => error,
            Ok(_) => panic!("{name} takes it"),
        };
        let class = || Target::class(285);
        let error = refused(options(method).batch_size(0), &IMAGES, class());
        assert!(
            matches!(error, AttributionError::Parameter { .. }),
            "{name}: {error}"
        );

        let error = refused(options(method).layer("fire5/concta"), &IMAGES, class());
        let is_named = match method.place {
            Place::Input | Place::Tokens => matches!(error, AttributionError::UnknownOption { .. }),
            _ => {
                matches!(
                    error,
                    AttributionError::Graph(GraphError::UnknownLayer { .. })
                ) && error.to_string().contains("fire5/concat")
            }
        };
        assert!(is_named, "{name}: {error}");

        let error = refused(options(method), &nan, class());
        assert!(
            matches!(error, AttributionError::Images { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("image 1"), "{name}: {error}");

        let error = refused(options(method), &IMAGES, Target::class(1000));
        assert!(error.to_string().contains("0 to 999"), "{name}: {error}");
        let error = refused(options(method), &IMAGES, Target::label("Egyptain cat"));
        assert!(
            error.to_string().contains("Egyptian cat"),
            "{name}: {error}"
        );
        let error = refused(options(method), &IMAGES, Target::each([class()]));
        assert!(
            matches!(error, AttributionError::Target { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn constant_images_give_numbers_or_say_why_not() {
    for method in without_attention() {
        for (layer, options) in places(method) {
            for value in [0.0, 0.5] {
                let images = IMAGES.zeros_like() + value;
                if let Ok(got) = attribute(method, &options, &*MODEL, &images, Target::class(285)) {
                    let finite = got.values().iter().all(|v| v.is_finite());
                    assert!(finite, "{} at {layer} of {value}", method.name);
                }
            }
        }
    }
}

/// SqueezeNet whose last convolution multiplies by zero: every image has the same scores.
fn constant_network() -> Model {
    let network = MODEL
        .with_weights(|name, weight| {
            let is_last = name.contains("conv10") && weight.ndim() == 4;
            is_last.then(|| weight.mapv(|_| 0.0))
        })
        .unwrap();
    let scores = network.classify(&*IMAGES).unwrap().logits().clone();
    assert_eq!(scores.row(0), scores.row(1));
    assert_ne!(scores, MODEL.classify(&*IMAGES).unwrap().logits());
    network
}

#[test]
fn nothing_is_seen_in_a_network_that_sees_nothing() {
    let network = constant_network();
    for method in without_attention() {
        for (layer, options) in places(method) {
            let got = attribute(method, &options, &network, &IMAGES, Target::class(285)).unwrap();
            let is_blank = got.values().iter().all(|&v| v == 0.0);
            let sees = SEES_CONSTANT_NETWORKS
                .iter()
                .any(|(name, _)| *name == method.name);
            assert_eq!(is_blank, !sees, "{} at {layer}", method.name);
        }
    }
}

#[test]
fn a_difference_of_classes_is_a_difference_of_attributions() {
    for method in without_attention().filter(|method| LINEAR.contains(&method.name)) {
        for (layer, options) in places(method) {
            let of = |target| expect(method, &options, &IMAGES, target);
            let (a, b) = (of(Target::class(285)), of(Target::class(7)));
            let difference = of(Target::difference(285, 7));
            let want = a.values() - b.values();
            let error = relative_error(difference.values(), &want);
            assert!(error < 1e-4, "{} at {layer}: {error:.1e}", method.name);
        }
    }
}

#[test]
fn what_is_promised_to_add_up_does() {
    for method in without_attention() {
        let listed = COMPLETENESS.iter().find(|(name, ..)| *name == method.name);
        let (settings, bound) = listed.map_or((SMALL, 1e-4), |(_, set, bound)| (*set, *bound));
        for (layer, options) in places_under(settings, method) {
            let got = expect(method, &options, &PHOTOGRAPHS, Target::class(285));
            let name = format!("{} at {layer}", method.name);
            assert_eq!(
                got.completeness().is_empty(),
                method.sums_to.is_empty(),
                "{name}"
            );
            if let Some(error) = got.completeness_error() {
                println!("{name}: completeness error {error:.1e}");
                assert!(error < bound, "{name}: completeness error {error:.1e}");
                assert_eq!(got.completeness().len(), 2, "{name}");
            }
        }
    }
}

#[test]
fn closures_are_networks_too() {
    let network = |x: Tensor<4>| {
        let pass = MODEL.pass().input(&x).fetch([LOGITS]).unwrap();
        pass.get(LOGITS).unwrap().tensor::<2>().unwrap()
    };
    for method in without_attention() {
        let options = match method.place {
            Place::Input | Place::Tokens => options(method),
            Place::AnyLayer | Place::SpatialLayer => options(method).layer(INPUT),
        };
        let got = attribute(method, &options, &network, &IMAGES, Target::class(285));
        if method.needs_model {
            assert!(
                matches!(got, Err(AttributionError::NeedsModel { .. })),
                "{}",
                method.name
            );
            continue;
        }
        let want = expect(method, &options, &IMAGES, Target::class(285));
        let got = got.unwrap_or_else(|error| panic!("{}: {error}", method.name));
        let error = relative_error(got.values(), want.values());
        assert!(error < 1e-5, "{}: {error:.1e}", method.name);
        assert!(
            relative_error(got.scores(), want.scores()) < 1e-5,
            "{}",
            method.name
        );
    }
}

/// Methods that add up samples give what they have when they are stopped, and say what it rests on; others
/// are cancelled all the same.
#[test]
fn what_is_stopped_is_kept_by_methods_that_add_up() {
    let few = |method: &Method| {
        let more = [
            ("samples", "40"),
            ("masks", "40"),
            ("permutations", "9"),
            ("design", "9"),
            ("steps", "9"),
        ];
        let options = more
            .iter()
            .filter(|(option, _)| method.takes(option))
            .fold(options(method), |all, (option, value)| {
                all.set(option, value)
            });
        options.batch_size(2).keep_partial(true)
    };
    let mut keeping = Vec::new();
    for method in without_attention() {
        let name = method.name;
        // Stopped when so many quarters of the work are done.
        let run = |quarters: usize| {
            let options = few(method).progress(move |p| match 4 * p.done >= quarters * p.total {
                true => p.cancel(),
                false => p.continue_(),
            });
            attribute(method, &options, &*MODEL, &IMAGES, Target::class(285))
        };
        let whole = run(5).unwrap();
        assert!(whole.planned().is_empty(), "{name}");
        let each = whole.evaluations()[0];
        let stopped = run(1);
        if !method.keeps_partial {
            assert!(
                matches!(stopped, Err(AttributionError::Cancelled { .. })),
                "{name}"
            );
            continue;
        }
        keeping.push(name);
        let stopped = stopped.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(stopped.values().shape(), whole.values().shape(), "{name}");
        assert!(
            relative_error(stopped.scores(), whole.scores()) < 1e-5,
            "{name}"
        );
        let made = stopped.evaluations();
        assert!(made[0] > 0 && made[0] < each, "{name}: {made:?} of {each}");
        let planned = stopped.planned();
        assert_eq!(planned.len(), 2, "{name}");
        assert!(
            planned[0] > made[0] && planned[0] <= each,
            "{name}: {planned:?}"
        );
        let image =
            |found: &Attribution, i: usize| found.values().index_axis(Axis(0), i).to_owned();
        assert!(image(&stopped, 0).iter().all(|v| v.is_finite()), "{name}");
        assert!(image(&stopped, 0).iter().any(|&v| v != 0.0), "{name}");
        // The second image was not reached but for what its whole is worth.
        assert!(made[1] <= 1, "{name}: {made:?}");
        assert!(image(&stopped, 1).iter().all(|&v| v == 0.0), "{name}");
        // In the second image the first is whole.
        let later = run(3);
        let later = later.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(image(&later, 0), image(&whole, 0), "{name}");
        assert!(later.evaluations()[1] < each, "{name}");
    }
    let sampling = without_attention().filter(|method| method.keeps_partial);
    assert_eq!(
        keeping,
        sampling.map(|method| method.name).collect::<Vec<_>>()
    );
    assert_eq!(keeping.len(), 14);
}
