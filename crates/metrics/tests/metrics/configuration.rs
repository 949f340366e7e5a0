//! A built metric says what it will do, and the table what it does unless told otherwise.

use burn::tensor::Tensor;
use elucid_metrics::pixel_flipping::Filling;
use elucid_metrics::{
    AttributionLocalisation, AverageDrop, Case, Configurable, Configuration, Direction,
    EffectiveComplexity, EfficientRandomisation, FaithfulnessCorrelation, FaithfulnessEstimate,
    Hidden, Infidelity, InformationCurve, InsertionDeletion, Irof, LipschitzEstimate, Localisation,
    METRICS, Metric, MetricError, MetricInfo, MetricOptions, Metrics, Monotonicity,
    MonotonicityCorrelation, Needs, Outcome, ParameterRandomisation, PixelFlipping, Pointing,
    RandomLogit, RelativeStability, Road, SensitivityAverage, SensitivityMax, SensitivityN,
    SmoothRandomisation, Ties, TopK, metric, options,
};
use elucid_testkit::tensor;
use ndarray::array;

const LARGE: [usize; 2] = [224, 224];
const SMALL: [usize; 2] = [48, 57];

fn set(options: &Configuration) -> MetricOptions {
    let given = options.iter();
    given.fold(MetricOptions::new(), |options, (option, value)| {
        options.set(option, value)
    })
}

/// What a metric says of itself builds the same metric again.
#[test]
fn what_is_stated_builds_the_same_again() {
    for info in METRICS {
        for size in [LARGE, SMALL] {
            let stated = info.usual().unwrap().configuration(size);
            for (option, _) in stated.iter() {
                let takes = info.options.iter().any(|known| known.name == option);
                assert!(takes, "{}: {option}", info.name);
            }
            let again = info.build(&set(&stated)).unwrap().configuration(size);
            assert_eq!(again, stated, "{}", info.name);
        }
    }
}

/// Whatever is set is what is stated, for every option of every metric, and builds the same again.
#[test]
fn every_option_that_is_set_is_stated() {
    // Values that are no default.
    let words = [
        ("report", "iou"),
        ("ties", "share"),
        ("baseline", "white"),
        ("filling", "black"),
        ("probability", "true"),
        ("order", "most"),
        ("percentages", "20+62.5"),
        ("scale", "absolute"),
        ("contributions", "true"),
        ("normalised", "true"),
        ("alpha", "0.75"),
        ("relevance", "positive"),
        ("weighted", "true"),
        ("concept-influence", "true"),
        ("segments", "grid:4"),
        ("kept", "0.25"),
        ("share", "0.25"),
        ("most", "0.5"),
        ("eps", "0.25"),
    ];
    for info in METRICS {
        for option in info.options {
            let word = words.iter().find(|(name, _)| *name == option.name);
            let value = match (option.name, info.name) {
                ("similarity", "mprt" | "smooth-mprt") => "ssim",
                ("order", "mprt" | "smooth-mprt") => "bottom-up",
                ("similarity", _) => "spearman",
                ("normalised", "lipschitz") => "false",
                ("report", "monotonicity") => "share",
                ("share", "effective-complexity") => "true",
                ("correlation", "mu-fidelity") => "pearson",
                ("correlation", _) => "spearman",
                _ => word.map_or("3", |(_, value)| value),
            };
            let built = info.build(&MetricOptions::new().set(option.name, value));
            let stated = built.unwrap().configuration(LARGE);
            let said = format!("{} {}", info.name, option.name);
            assert_eq!(stated.get(option.name), Some(value), "{said}");
            assert_ne!(stated, info.defaults(LARGE), "{said}");
            let again = info.build(&set(&stated)).unwrap();
            assert_eq!(again.configuration(LARGE), stated, "{said}");
        }
    }
}

/// What the table shows is what the metric of a program's own hand does, and what each page says.
#[test]
fn defaults_are_those_of_the_built_metric() {
    let built: Vec<(Box<dyn Metric>, &str)> = vec![
        (Box::new(Pointing::torchray()), "ties first, tolerance 15"),
        (
            Box::new(Localisation::energy(0.6)),
            "alpha 0.6, report error",
        ),
        (
            Box::new(Localisation::value(0.15)),
            "alpha 0.15, report error",
        ),
        (Box::new(Localisation::mean(1.5)), "alpha 1.5, report error"),
        (
            Box::new(InsertionDeletion::insertion()),
            "baseline blur, pixels 224",
        ),
        (
            Box::new(InsertionDeletion::deletion()),
            "baseline zero, pixels 224",
        ),
        (
            Box::new(InsertionDeletion::insertion().fast()),
            "baseline blur, steps 64",
        ),
        (
            Box::new(InsertionDeletion::deletion().fast()),
            "baseline zero, steps 64",
        ),
        (
            Box::new(PixelFlipping::samek()),
            "filling uniform, patch 9, probability false, steps 100",
        ),
        (
            Box::new(Road::combined()),
            "noise 0.01, order combined, percentages 10+20+30+40+50+60+70+80+90, scale deviation",
        ),
        (
            Box::new(Infidelity::noise(0.003)),
            "contributions false, noise 0.003, normalised false, samples 10, scale deviation",
        ),
        (
            Box::new(SensitivityMax::new()),
            "radius 0.02, samples 10, scale deviation",
        ),
        (
            Box::new(ParameterRandomisation::spearman()),
            "order top-down, similarity spearman, stages all",
        ),
        (
            Box::new(SmoothRandomisation::spearman()),
            "noise 0.1, order top-down, samples 50, similarity spearman, stages all",
        ),
        (Box::new(EfficientRandomisation::new()), "bins 100"),
        (
            Box::new(AttributionLocalisation::new()),
            "relevance absolute, weighted false",
        ),
        (Box::new(TopK::of(1000)), "concept-influence false, k 1000"),
        (Box::new(Irof::new()), "baseline mean, segments slic:50:10"),
        (
            Box::new(InformationCurve::softmax()),
            "kept 0.01, percentages 0.5+1+2+3+4+5+7+10+13+21+34+50+75",
        ),
        (
            Box::new(InformationCurve::accuracy()),
            "kept 0.01, percentages 0.5+1+2+3+4+5+7+10+13+21+34+50+75",
        ),
        (Box::new(AverageDrop::drop()), "baseline zero"),
        (Box::new(AverageDrop::increase()), "baseline zero"),
        (Box::new(AverageDrop::gain()), "baseline zero"),
        (
            Box::new(FaithfulnessCorrelation::bhatt()),
            "baseline zero, correlation pearson, pixels 224, probability false, samples 100",
        ),
        (
            Box::new(FaithfulnessCorrelation::xplique()),
            "baseline zero, correlation spearman, grid 9, probability false, samples 200, share 0.2",
        ),
        (
            Box::new(FaithfulnessEstimate::new()),
            "baseline zero, probability false, steps 64",
        ),
        (
            Box::new(SensitivityN::new()),
            "baseline zero, most 0.8, probability false, samples 25, sizes 8",
        ),
        (
            Box::new(Monotonicity::new()),
            "baseline zero, report all, steps 64",
        ),
        (
            Box::new(MonotonicityCorrelation::new()),
            "probability false, samples 10, steps 32",
        ),
        (
            Box::new(SensitivityAverage::new()),
            "radius 0.02, samples 10, scale deviation",
        ),
        (
            Box::new(LipschitzEstimate::new()),
            "noise 0.1, normalised true, samples 10, scale deviation",
        ),
        (
            Box::new(RelativeStability::input()),
            "noise 0.05, samples 10, scale deviation",
        ),
        (
            Box::new(RelativeStability::output()),
            "noise 0.05, samples 10, scale deviation",
        ),
        (
            Box::new(EffectiveComplexity::new()),
            "eps 0.00001, share false",
        ),
        (Box::new(RandomLogit::ssim()), "similarity ssim"),
    ];
    for info in METRICS {
        let shown = info.defaults(LARGE);
        assert_eq!(info.usual().unwrap().configuration(LARGE), shown);
        let found = built.iter().find(|(metric, _)| metric.name() == info.name);
        match found {
            Some((metric, text)) => {
                assert_eq!(metric.configuration(LARGE), shown, "{}", info.name);
                assert_eq!(shown.to_string(), *text, "{}", info.name);
            }
            None => assert!(shown.is_empty() && info.options.is_empty(), "{}", info.name),
        }
    }
}

#[test]
fn options_without_a_part_are_not_stated_and_lengths_are_those_of_the_images() {
    let says = |metric: &dyn Metric, size| metric.configuration(size).to_string();
    assert_eq!(
        says(&Infidelity::square(8), LARGE),
        "contributions false, normalised false, samples 10, square 8"
    );
    assert_eq!(
        says(&InsertionDeletion::deletion().baseline(Hidden::Mean), SMALL),
        "baseline mean, pixels 57"
    );
    let flipping = PixelFlipping::samek().filling(Filling::Mean).steps(7);
    assert_eq!(
        says(&flipping, SMALL),
        "filling mean, patch 3, probability false, steps 7"
    );
    let given = flipping.patch(5).probability();
    assert_eq!(
        says(&given, SMALL),
        "filling mean, patch 5, probability true, steps 7"
    );
    assert_eq!(
        says(&Pointing::exact().ties(Ties::Share), SMALL),
        "ties share, tolerance 0"
    );
    for (name, option) in [("deletion", "pixels"), ("pixel-flipping", "patch")] {
        let info = MetricInfo::find(name).unwrap();
        let usual = info.build(&MetricOptions::new().set(option, "usual"));
        assert_eq!(usual.unwrap().configuration(SMALL), info.defaults(SMALL));
    }
    let noise = MetricInfo::find("infidelity").unwrap();
    let noise = noise.build(&MetricOptions::new().set("square", "0"));
    assert_eq!(noise.unwrap().configuration(SMALL).get("square"), None);
}

/// What cannot be understood or is out of range is refused when a metric is built, with what would be right.
#[test]
fn ranges_are_checked_when_a_metric_is_built() {
    for (text, expected) in [
        ("pointing:ties=both", "\"both\", expected first or share"),
        ("localisation-energy:alpha=1.5", "a share from 0 to 1"),
        ("localisation-mean:alpha=-1", "expected 0 or more"),
        ("localisation-mean:report=box", "error or iou"),
        ("insertion:pixels=0", "is 0, expected 1 or more"),
        ("deletion-fast:steps=0", "is 0, expected 1 or more"),
        ("deletion:baseline=pink", "zero, black, white"),
        ("pixel-flipping:patch=0", "1 or more, or usual"),
        ("pixel-flipping:patch=large", "1 or more, or usual"),
        ("road:percentages=10+x", "numbers joined by +"),
        ("road:percentages=10+100", "more than 0, less than 100"),
        ("road:noise=inf", "0 or more"),
        ("infidelity:noise=0", "more than 0"),
        ("infidelity:square=-3", "1 or more"),
        ("sensitivity-max:radius=NaN", "more than 0"),
        ("sensitivity-max:samples=0", "1 or more"),
        ("mprt:stages=0", "is 0, expected all, or 1 or more"),
        ("mprt:stages=few", "\"few\", expected all"),
        ("mprt:order=inside-out", "top-down or bottom-up"),
        ("smooth-mprt:samples=0", "1 or more"),
        ("smooth-mprt:noise=-0.1", "0 or more"),
        ("efficient-mprt:bins=0", "from 1 to 65536"),
        ("efficient-mprt:bins=65537", "from 1 to 65536"),
        ("random-logit:similarity=l2", "spearman or ssim"),
        ("top-k-intersection:k=0", "1 or more"),
        (
            "attribution-localisation:relevance=negative",
            "absolute or positive",
        ),
        ("irof:segments=slic:0", "1 segment or more"),
        ("irof:segments=felzenszwalb", "slic:N"),
        ("sic:percentages=50+100", "more than 0, less than 100"),
        ("aic:kept=1", "more than 0, less than 1"),
        ("average-drop:baseline=pink", "zero, black, white"),
        ("faithfulness-correlation:pixels=0", "1 or more, or usual"),
        (
            "faithfulness-correlation:correlation=kendall",
            "pearson or spearman",
        ),
        ("mu-fidelity:grid=0", "1 or more"),
        ("mu-fidelity:share=1.5", "a share from 0 to 1"),
        ("mu-fidelity:share=NaN", "a share from 0 to 1"),
        ("faithfulness-estimate:steps=0", "1 or more"),
        ("sensitivity-n:samples=1", "2 or more"),
        ("sensitivity-n:most=1", "more than 0, less than 1"),
        ("monotonicity:report=some", "all or share"),
        ("monotonicity-correlation:samples=0", "1 or more"),
        ("sensitivity-average:radius=inf", "more than 0"),
        ("lipschitz:noise=0", "more than 0"),
        ("relative-output-stability:samples=0", "1 or more"),
        ("effective-complexity:eps=-1", "a share from 0 to 1"),
    ] {
        let refused = metric(text, &MetricOptions::new());
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(expected), "{text}: {message}");
    }
}

/// The share of the map's largest values: a metric of one's own, with an option.
#[derive(Debug, Clone)]
struct Above {
    level: f32,
}

options!(Above {
    {
        /// From which share of the largest value on pixels count.
        level: f32 as "level", "share of the largest value from which pixels count", "a share from 0 to 1",
        |level| (0.0..=1.0).contains(level)
    }
});

impl Metric for Above {
    fn name(&self) -> &str {
        ABOVE.name
    }

    fn direction(&self) -> Direction {
        ABOVE.direction
    }

    fn needs(&self) -> Needs {
        ABOVE.needs
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        self.configured(size)
    }

    fn check(&self) -> Result<(), MetricError> {
        self.check_options()
    }

    fn measure(&self, case: &Case<'_>) -> Result<Outcome, MetricError> {
        self.check()?;
        let map = case.map();
        let largest = map.iter().copied().fold(0.0, f32::max);
        let above = map.iter().filter(|v| **v >= self.level * largest);
        Ok(Outcome::Value(above.count() as f64 / map.len() as f64))
    }
}

const ABOVE: MetricInfo = MetricInfo::new(
    "above",
    "Share above",
    Direction::Smaller,
    "here",
    |options| options.apply(Above { level: 0.5 }),
)
.options(Above::OPTIONS);

#[test]
fn metrics_of_ones_own_have_options_of_the_same_kind() {
    let metrics = Metrics::standard().with(ABOVE);
    let none = MetricOptions::new();
    let built = metrics.metric("above:0.25", &none).unwrap();
    assert_eq!(built.configuration(LARGE).to_string(), "level 0.25");
    assert_eq!(ABOVE.defaults(LARGE).get("level"), Some("0.5"));
    let network = |images: Tensor<4>| -> Tensor<2> { images.flatten(1, 3) };
    let image = tensor(vec![0.0, 1.0, 2.0, 3.0], [1, 1, 2, 2]);
    let map = array![[0.0, 1.0], [2.0, 4.0]];
    let case = Case::new(&network, &image, 0, map.view()).unwrap();
    assert_eq!(built.measure(&case).unwrap(), Outcome::Value(0.75));
    for (text, message) in [
        (
            "above:low",
            "level is \"low\", expected a share from 0 to 1",
        ),
        ("above:2", "level is 2, expected a share from 0 to 1"),
        (
            "above:size=1",
            "above has no option \"size\"; it takes level",
        ),
    ] {
        let refused = metrics.metric(text, &none).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
}
