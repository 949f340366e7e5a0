//! The names of metrics, and their table.

use elucid_metrics::{
    Infidelity, InsertionDeletion, Localisation, METRICS, Metric, MetricInfo, MetricOptions,
    ParameterRandomisation, Pointing, Road, Scale, SensitivityMax, Ties, baseline, metric,
};

#[test]
fn metrics_by_name() {
    let options = MetricOptions::new().batch_size(3).seed(9);
    let debug = |text: &str| format!("{:?}", metric(text, &options).unwrap());
    let same = |text: &str, metric: &dyn Metric| assert_eq!(debug(text), format!("{metric:?}"));
    same("pointing", &Pointing::torchray());
    same("pointing:0", &Pointing::exact());
    same(
        "pointing:tolerance=3,ties=share",
        &Pointing::exact().tolerance(3.0).ties(Ties::Share),
    );
    same(
        "Localisation_Mean:2, report=iou",
        &Localisation::mean(2.0).iou(),
    );
    same("insertion", &InsertionDeletion::insertion().batch_size(3));
    same(
        "deletion-fast",
        &InsertionDeletion::deletion().fast().batch_size(3),
    );
    same(
        "deletion-fast:16",
        &InsertionDeletion::deletion().steps(16).batch_size(3),
    );
    let road = Road::most_relevant_first().percentages([20.0, 50.0]);
    same("road:most,percentages=20+50", &road.batch_size(3).seed(9));
    same(
        "infidelity:square=8",
        &Infidelity::square(8).batch_size(3).seed(9),
    );
    let captum = SensitivityMax::captum().batch_size(3).seed(9);
    same("sensitivity-max:scale=absolute", &captum);
    same(
        "mprt:ssim,stages=4",
        &ParameterRandomisation::ssim().at_most(4).seed(9),
    );
    let absolute = Infidelity::noise(0.2).scale(Scale::Absolute);
    same(
        "infidelity:noise=.2,scale=absolute",
        &absolute.batch_size(3).seed(9),
    );

    let message = |text: &str| metric(text, &options).unwrap_err().to_string();
    assert_eq!(
        message("pointin"),
        "no metric is called \"pointin\"; did you mean pointing?"
    );
    assert_eq!(
        message("pointing:size=3"),
        "pointing has no option \"size\"; it takes tolerance, ties"
    );
    assert_eq!(
        message("sparseness:3"),
        "sparseness has no option \"3\"; it takes none"
    );
    assert_eq!(
        message("pointing:near"),
        "tolerance is \"near\", expected a number of pixels"
    );
    assert_eq!(message("road:noise=-1"), "noise is -1, expected 0 or more");
    assert_eq!(
        message("localisation-mean:report=box").split(',').count(),
        2
    );
}

#[test]
fn the_table_is_whole() {
    for info in METRICS {
        assert_eq!(MetricInfo::find(info.name).unwrap().title, info.title);
        for other in info.others {
            assert_eq!(MetricInfo::find(other).unwrap().title, info.title);
        }
        assert!(!info.title.is_empty() && !info.reference.is_empty());
        for option in info.options {
            assert!(!option.help.is_empty() && !option.values.is_empty());
        }
    }
}

#[test]
fn metrics_by_the_names_that_quantus_has() {
    for (theirs, ours) in [
        ("FaithfulnessCorrelation", "faithfulness-correlation"),
        ("FaithfulnessEstimate", "faithfulness-estimate"),
        ("PixelFlipping", "pixel-flipping"),
        ("RegionPerturbation", "pixel-flipping"),
        ("MonotonicityCorrelation", "monotonicity-correlation"),
        ("Monotonicity", "monotonicity"),
        ("SensitivityN", "sensitivity-n"),
        ("IROF", "irof"),
        ("Infidelity", "infidelity"),
        ("ROAD", "road"),
        ("LocalLipschitzEstimate", "lipschitz"),
        ("MaxSensitivity", "sensitivity-max"),
        ("AvgSensitivity", "sensitivity-average"),
        ("RelativeInputStability", "relative-input-stability"),
        ("RelativeOutputStability", "relative-output-stability"),
        ("PointingGame", "pointing"),
        ("AttributionLocalisation", "attribution-localisation"),
        ("TopKIntersection", "top-k-intersection"),
        ("RelevanceRankAccuracy", "rank-accuracy"),
        ("RelevanceMassAccuracy", "mass-accuracy"),
        ("AUC", "localisation-auc"),
        ("Sparseness", "sparseness"),
        ("Complexity", "complexity"),
        ("EffectiveComplexity", "effective-complexity"),
        ("MPRT", "mprt"),
        ("SmoothMPRT", "smooth-mprt"),
        ("EfficientMPRT", "efficient-mprt"),
        ("RandomLogit", "random-logit"),
        ("Completeness", "completeness"),
        ("MuFidelity", "mu-fidelity"),
    ] {
        assert_eq!(MetricInfo::find(theirs).unwrap().name, ours, "{theirs}");
    }
}

#[test]
fn baselines() {
    let centre = baseline::centre(5, 7);
    let largest = centre.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1));
    assert_eq!(largest.unwrap().0, (2, 3));
    assert!(centre.iter().all(|v| (0.0..=1.0).contains(v)));
    assert_eq!(baseline::random(4, 4, 3), baseline::random(4, 4, 3));
    assert_ne!(baseline::random(4, 4, 3), baseline::random(4, 4, 4));
}
