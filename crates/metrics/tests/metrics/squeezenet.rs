//! Metrics on the embedded network and photographs: do they tell good maps from bad ones?

use std::cell::Cell;
use std::sync::LazyLock;

use crate::common::{device, value};
use burn::tensor::Device;
use elucid_attribution::{
    Attribution, AttributionError, Attributor, ClassRef, DeepLift, ExcitationBackprop, FEATURES,
    Feeds, GradCam, Gradient, GuidedBackprop, LayerWeights, LinearApproximation, Network,
    ReplaceWeights, Target,
};
use elucid_graph::Activation;
use elucid_metrics::{
    Case, Completeness, Infidelity, InsertionDeletion, METRICS, Metric, MetricOptions,
    NotApplicable, Outcome, ParameterRandomisation, PixelFlipping, RandomLogit, RandomNetworks,
    Road, SensitivityMax, SmoothRandomisation, baseline,
};
use elucid_models::photographs;
use elucid_rules::Rules;
use elucid_vision::{Model, Photo};
use ndarray::{Array2, Axis};

static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::find("squeezenet", &device(), None).unwrap());

fn photo(bytes: &[u8]) -> Photo {
    MODEL
        .prepare(&image::load_from_memory(bytes).unwrap())
        .unwrap()
}

fn top_class(photo: &Photo) -> usize {
    MODEL.classify(photo).unwrap().top(1)[0].index
}

fn map_of(attribution: &Attribution) -> Array2<f32> {
    let maps = attribution.map().unwrap().upsampled();
    maps.maps().index_axis(Axis(0), 0).to_owned()
}

fn grad_cam(photo: &Photo, class: usize) -> Array2<f32> {
    let found = GradCam::at_features().attribute(&*MODEL, photo, Target::class(class));
    map_of(&found.unwrap())
}

/// A photograph with its best class, and how `method` explains it.
fn explained(method: &dyn Attributor) -> (Photo, usize, Attribution) {
    let photo = photo(photographs::chelsea());
    let class = top_class(&photo);
    let found = method.attribute(&*MODEL, &photo, Target::class(class));
    let found = found.unwrap();
    (photo, class, found)
}

#[test]
fn a_good_map_beats_its_reverse_and_chance() {
    let photo = photo(photographs::coffee());
    let class = top_class(&photo);
    let good = grad_cam(&photo, class);
    let bad = crate::common::reversed(good.view());
    let (h, w) = good.dim();
    let random = baseline::random(h, w, 1);
    let metrics: Vec<Box<dyn Metric>> = vec![
        Box::new(InsertionDeletion::insertion().fast()),
        Box::new(InsertionDeletion::deletion().fast()),
        Box::new(PixelFlipping::samek()),
        Box::new(Road::combined().percentages([20.0, 50.0, 80.0])),
    ];
    for metric in metrics {
        let started = std::time::Instant::now();
        let of = |map: &Array2<f32>| {
            let case = Case::new(&*MODEL, &photo, class, map.view()).unwrap();
            value(metric.measure(&case).unwrap())
        };
        let (good, bad, random) = (of(&good), of(&bad), of(&random));
        let seconds = started.elapsed().as_secs_f64() / 3.0;
        println!(
            "{}: {good:.3}, reversed {bad:.3}, random {random:.3}; {seconds:.2} s each",
            metric.name()
        );
        assert!(metric.direction().is_better(good, bad), "{}", metric.name());
        // Noise deletes well: it breaks the image everywhere at once.
        if !metric.name().starts_with("deletion") && metric.name() != "pixel-flipping" {
            assert!(
                metric.direction().is_better(good, random),
                "{}",
                metric.name()
            );
        }
    }
}

#[test]
fn the_fast_form_is_close_to_the_exact_one() {
    let (photo, class, found) = explained(&GradCam::at_features());
    let map = map_of(&found);
    let case = Case::new(&*MODEL, &photo, class, map.view()).unwrap();
    for metric in [
        InsertionDeletion::insertion(),
        InsertionDeletion::deletion(),
    ] {
        let exact = metric.curve(&case).unwrap().unwrap();
        let fast = metric.fast().curve(&case).unwrap().unwrap();
        println!(
            "{}: {:.4}, fast {:.4}",
            metric.name(),
            exact.area(),
            fast.area()
        );
        let [h, w] = case.size();
        assert_eq!(exact.scores.len(), (h * w).div_ceil(224) + 1);
        assert_eq!(fast.scores.len(), 65);
        assert!((exact.area() - fast.area()).abs() < 0.02);
        // Every number of the fast curve that the exact one passes is there.
        let both = |curve: &elucid_metrics::Curve| [curve.scores[0], *curve.scores.last().unwrap()];
        for (a, b) in both(&exact).iter().zip(both(&fast)) {
            assert!((a - b).abs() < 1e-5);
        }
    }
    // The probability at the start of a deletion is the network's own.
    let own = MODEL.classify(&photo).unwrap().probabilities(0).unwrap()[class];
    let curve = InsertionDeletion::deletion()
        .fast()
        .curve(&case)
        .unwrap()
        .unwrap();
    assert!((curve.scores[0] - f64::from(own)).abs() < 1e-5);
}

#[test]
fn attributing_again() {
    let (photo, class, found) = explained(&GradCam::at_features());
    let map = map_of(&found);
    let case = Case::new(&*MODEL, &photo, class, map.view()).unwrap();
    let measure = |metric: &dyn Metric, method: &dyn Attributor| {
        metric.measure(&case.clone().attributor(method)).unwrap()
    };
    let methods: Vec<Box<dyn Attributor>> = vec![
        Box::new(Gradient::at_input()),
        Box::new(GuidedBackprop::at_input()),
        Box::new(LinearApproximation::at_input()),
        Box::new(GradCam::at_features()),
    ];
    let cascade = ParameterRandomisation::spearman().at_most(4);
    let (mut sensitivity, mut similarity) = (Vec::new(), Vec::new());
    for method in &methods {
        let moved = value(measure(&SensitivityMax::new(), method));
        let random = value(measure(&cascade, method));
        let logit = value(measure(&RandomLogit::ssim(), method));
        println!(
            "{}: sensitivity {moved:.3}, mprt {random:.3}, random logit {logit:.3}, infidelity {}",
            method.name(),
            measure(&Infidelity::noise(0.003), method)
        );
        assert!(moved > 0.0 && random.abs() <= 1.0 && logit <= 1.0);
        sensitivity.push(moved);
        similarity.push(random);
    }
    assert!(
        sensitivity[3] < sensitivity[0],
        "Grad-CAM is smoother than the gradient"
    );
    assert!(
        similarity[1] > similarity[0].max(similarity[3]),
        "guided backprop notices random weights least: {similarity:?}"
    );
    // The gradient foretells small changes; something else at the pixels does not.
    let infidelity = |method: &dyn Attributor| value(measure(&Infidelity::noise(0.003), method));
    assert!(infidelity(&Gradient::at_input()) < 0.1 * infidelity(&GuidedBackprop::at_input()));
    assert!(matches!(
        measure(&Infidelity::noise(0.003), &GradCam::at_features()),
        Outcome::NotApplicable(NotApplicable::NotAtInput { .. })
    ));
    let complete = value(measure(&Completeness, &DeepLift::at_input()));
    assert!(complete < 1e-3, "DeepLIFT is complete: {complete}");
    println!(
        "completeness of excitation: {}",
        measure(&Completeness, &ExcitationBackprop::at(FEATURES))
    );
}

#[test]
fn the_cascade_runs_from_the_scores_down() {
    let photo = photo(photographs::coffee());
    let class = top_class(&photo);
    let layers = ParameterRandomisation::layers(&*MODEL).unwrap();
    assert_eq!(layers.len(), 26, "{layers:?}");
    assert!(
        layers[0].contains("10") && layers[25].contains("conv1"),
        "{layers:?}"
    );
    let map = grad_cam(&photo, class);
    let method = GradCam::at_features();
    let case = Case::new(&*MODEL, &photo, class, map.view())
        .unwrap()
        .attributor(&method);
    let stages = |metric: ParameterRandomisation| metric.stages(&case).unwrap().unwrap();
    let three = stages(ParameterRandomisation::spearman().at_most(3));
    let names: Vec<&str> = three.iter().map(|stage| stage.layer.as_str()).collect();
    assert_eq!(names, [8, 17, 25].map(|i| layers[i].as_str()));
    let all = stages(ParameterRandomisation::spearman().at_most(1000));
    assert_eq!(all.len(), 26);
    for (i, stage) in [8, 17, 25].into_iter().zip(&three) {
        assert_eq!(&all[i], stage, "what is skipped is randomised all the same");
    }
    let mean = all.iter().map(|stage| stage.spearman).sum::<f64>() / 26.0;
    let got = value(ParameterRandomisation::spearman().measure(&case).unwrap());
    assert!((got - mean).abs() < 1e-12);
    let mean = all.iter().map(|stage| stage.ssim).sum::<f64>() / 26.0;
    let got = value(ParameterRandomisation::ssim().measure(&case).unwrap());
    assert!((got - mean).abs() < 1e-12);
    let other = stages(ParameterRandomisation::spearman().at_most(3).seed(1));
    assert_ne!(three, other);
}

/// Options with which metrics of hundreds of passes take a few.
fn quick(metric: &str) -> MetricOptions {
    let options: &[(&str, &str)] = match metric {
        "faithfulness-correlation" | "mu-fidelity" => &[("samples", "12")],
        "faithfulness-estimate" | "monotonicity" => &[("steps", "12")],
        "sensitivity-n" => &[("sizes", "3"), ("samples", "4")],
        "monotonicity-correlation" => &[("steps", "6"), ("samples", "2")],
        "irof" => &[("segments", "slic:12")],
        "sic" | "aic" => &[("percentages", "5+30")],
        "sensitivity-average" | "lipschitz" => &[("samples", "3")],
        "relative-input-stability" | "relative-output-stability" => &[("samples", "3")],
        "smooth-mprt" => &[("samples", "3"), ("stages", "2")],
        _ => &[],
    };
    let options = options.iter();
    options.fold(MetricOptions::new(), |all, (option, value)| {
        all.set(option, value)
    })
}

#[test]
fn the_whole_table_on_one_photograph() {
    let method = DeepLift::at_input();
    let (photo, class, attribution) = explained(&method);
    let map = map_of(&attribution);
    let case = Case::new(&*MODEL, &photo, class, map.view())
        .unwrap()
        .boxes(&[[20.0, 10.0, 200.0, 220.0]])
        .unwrap()
        .attribution(&attribution)
        .unwrap()
        .attributor(&method);
    for info in METRICS {
        if matches!(info.name, "insertion" | "deletion" | "mprt") {
            continue;
        }
        let started = std::time::Instant::now();
        let options = || quick(info.name);
        let metric = info.build(&options()).unwrap();
        let outcome = metric.measure(&case).unwrap();
        println!("{}: {outcome} ({:.2?})", info.name, started.elapsed());
        let found = value(outcome);
        let again = info.build(&options().batch_size(5)).unwrap();
        let again = value(again.measure(&case).unwrap());
        assert!(
            (found - again).abs() <= 1e-4 * found.abs().max(1e-3),
            "{}: {found} in batches of 8, {again} of 5",
            info.name
        );
    }
}

/// A network that counts how often it is asked for other weights.
struct Counting(Cell<usize>);

impl Network for Counting {
    fn device(&self) -> Option<&Device> {
        Network::device(&*MODEL)
    }

    fn layer(&self, name: &str) -> Result<String, AttributionError> {
        Network::layer(&*MODEL, name)
    }

    fn class(&self, class: &ClassRef) -> Result<usize, AttributionError> {
        Network::class(&*MODEL, class)
    }

    fn run(
        &self,
        feeds: Feeds<'_>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<Activation, AttributionError> {
        Network::run(&*MODEL, feeds, fetch, rules)
    }

    fn layer_weights(&self) -> Result<Option<Vec<LayerWeights>>, AttributionError> {
        Network::layer_weights(&*MODEL)
    }

    fn with_weights(
        &self,
        replace: &mut ReplaceWeights<'_>,
    ) -> Result<Option<Box<dyn Network>>, AttributionError> {
        self.0.set(self.0.get() + 1);
        Network::with_weights(&*MODEL, replace)
    }

    fn as_model(&self) -> Option<&Model> {
        Some(&MODEL)
    }
}

#[test]
fn random_networks_are_made_once() {
    let photo = photo(photographs::chelsea());
    let map = Array2::zeros((224, 224));
    let network = Counting(Cell::new(0));
    let method = Gradient::at_input();
    let kept = RandomNetworks::new();
    let measure = |metric: ParameterRandomisation, class: usize, keep: bool| {
        let case = Case::new(&network, &photo, class, map.view()).unwrap();
        let case = case.attributor(&method);
        let case = if keep { case.networks(&kept) } else { case };
        value(metric.measure(&case).unwrap())
    };
    let metric = ParameterRandomisation::spearman().at_most(3);
    let without = [285, 3].map(|class| measure(metric, class, false));
    assert_eq!(
        network.0.get(),
        2,
        "from the trained network once for each image"
    );
    assert_eq!([285, 3].map(|class| measure(metric, class, true)), without);
    assert_eq!(network.0.get(), 3, "once for both");
    // Another seed and other stages are other networks.
    let other = measure(metric.seed(1), 285, true);
    assert_ne!(other, without[0]);
    assert_eq!(
        measure(metric.at_most(2), 285, true),
        measure(metric.at_most(2), 285, false)
    );
    assert_eq!(network.0.get(), 6);
}

#[test]
fn each_image_meets_random_numbers_of_its_own() {
    let method = Gradient::at_input();
    let (photo, class, found) = explained(&method);
    let map = map_of(&found);
    let metrics: [&dyn Metric; 5] = [
        &SmoothRandomisation::spearman().samples(2).at_most(1),
        &RandomLogit::spearman(),
        &SensitivityMax::new().samples(1),
        &Infidelity::noise(0.003).samples(2),
        &Road::combined().percentages([50.0]),
    ];
    for metric in metrics {
        let of = |identity: Option<u64>| {
            let case = Case::new(&*MODEL, &photo, class, map.view()).unwrap();
            let case = case.attributor(&method);
            let case = match identity {
                Some(identity) => case.identity(identity),
                None => case,
            };
            value(metric.measure(&case).unwrap())
        };
        assert_eq!(of(Some(7)), of(Some(7)), "{metric:?}");
        let values = [None, Some(1), Some(2)].map(of);
        let differ = values[0] != values[1] && values[1] != values[2] && values[0] != values[2];
        assert!(differ, "{metric:?}: {values:?}");
    }
}
