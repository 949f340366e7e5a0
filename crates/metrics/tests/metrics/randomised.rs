//! The forms of cascading randomisation on a network of two layers.

use burn::tensor::Tensor;
use elucid_attribution::{Gradient, LinearApproximation, Network, Target};
use elucid_metrics::randomisation::Stage;
use elucid_metrics::{
    Case, EfficientRandomisation, LayerOrder, Metric, NotApplicable, Outcome,
    ParameterRandomisation, RandomNetworks, SmoothRandomisation,
};
use ndarray::{Array2, Axis};

use crate::common::{TwoLayers, noise_image, noise_map, reason, value};

const SIDE: usize = 6;

fn network() -> TwoLayers {
    TwoLayers::new(
        noise_map(SIDE * SIDE, 9, 3) - 0.5,
        noise_map(9, 3, 17) - 0.5,
    )
}

fn image() -> Tensor<4> {
    noise_image(1, SIDE, SIDE, 5)
}

/// What a metric makes of the input times the gradient.
fn measured<T>(network: &dyn Network, with: impl FnOnce(Case<'_>) -> T) -> T {
    let (image, method) = (image(), LinearApproximation::at_input());
    let map = Array2::zeros((SIDE, SIDE));
    let case = Case::new(network, &image, 0, map.view()).unwrap();
    with(case.attributor(&method))
}

#[test]
fn one_sample_and_no_noise_are_the_plain_cascade() {
    let network = network();
    let plain = ParameterRandomisation::spearman();
    let smooth = SmoothRandomisation::spearman();
    let plain = measured(&network, |case| plain.stages(&case).unwrap().unwrap());
    for smooth in [smooth.samples(1), smooth.samples(6).noise(0.0)] {
        let found = measured(&network, |case| smooth.stages(&case).unwrap().unwrap());
        assert_eq!(found, plain);
    }
    let noisy = measured(&network, |case| smooth.stages(&case).unwrap().unwrap());
    assert_ne!(noisy, plain);
    // In batches of any size, for each image its own.
    let of = |metric: SmoothRandomisation, identity: u64| {
        measured(&network, |case| {
            value(metric.measure(&case.identity(identity)).unwrap())
        })
    };
    let smooth = smooth.samples(7);
    assert!((of(smooth.batch_size(2), 1) - of(smooth.batch_size(4), 1)).abs() < 1e-6);
    assert_ne!(of(smooth, 1), of(smooth, 2));
}

/// The mean of explanations is taken before they are compared: in the network's linear stretch that of the gradient has no noise.
#[test]
fn what_noise_does_not_move_stays() {
    let linear = TwoLayers::new(noise_map(SIDE * SIDE, 9, 3), noise_map(9, 3, 17) - 0.5);
    let (image, method) = (image().add_scalar(2.0), Gradient::at_input());
    let map = Array2::zeros((SIDE, SIDE));
    let case = Case::new(&linear, &image, 0, map.view()).unwrap();
    let case = case.attributor(&method);
    let first = |stages: Result<Vec<Stage>, NotApplicable>| stages.unwrap().swap_remove(0);
    let plain = ParameterRandomisation::spearman().stages(&case).unwrap();
    let smooth = SmoothRandomisation::spearman().samples(5).noise(0.01);
    let (plain, smooth) = (first(plain), first(smooth.stages(&case).unwrap()));
    assert!(
        (plain.ssim - smooth.ssim).abs() < 1e-4,
        "{plain:?} {smooth:?}"
    );
}

#[test]
fn layers_become_random_from_either_end() {
    let network = network();
    let names = |metric: ParameterRandomisation| -> Vec<String> {
        let stages = measured(&network, |case| metric.stages(&case).unwrap().unwrap());
        stages.into_iter().map(|stage| stage.layer).collect()
    };
    let metric = ParameterRandomisation::spearman();
    assert_eq!(names(metric), ["second", "first"]);
    let turned = metric.order(LayerOrder::BottomUp);
    assert_eq!(names(turned), ["first", "second"]);
    assert_eq!(names(turned.at_most(1)), ["second"]);
    // What is random at the first stage, and what is not.
    network.asked.lock().unwrap().weights.clear();
    names(turned);
    let asked = network.asked.lock().unwrap();
    let (first, second) = asked.weights[0].split_at(SIDE * SIDE * 9);
    assert_ne!(first, &asked.weights[1][..0]);
    assert_eq!(second.len(), 27);
    assert_eq!(&asked.weights[1][..first.len()], first);
    assert_ne!(&asked.weights[1][first.len()..], second);
}

#[test]
fn forms_share_random_networks() {
    let (network, kept) = (network(), RandomNetworks::new());
    let measure = |metric: &dyn Metric| {
        let found = measured(&network, |case| {
            metric.measure(&case.networks(&kept)).unwrap()
        });
        (value(found), network.asked.lock().unwrap().weights.len())
    };
    let smooth = SmoothRandomisation::spearman().samples(3);
    let (first, made) = measure(&smooth);
    assert_eq!(made, 2);
    assert_eq!(measure(&smooth), (first, 2));
    assert_eq!(measure(&ParameterRandomisation::spearman()).1, 2);
    let efficient = EfficientRandomisation::new();
    let (first, made) = measure(&efficient);
    assert_eq!(made, 4, "the last stage alone is kept");
    assert_eq!(measure(&efficient), (first, 4));
    assert_ne!(measure(&efficient.seed(1)).0, first);
}

/// The rise of the entropy, with the histogram counted by sorting values between its edges.
#[test]
fn the_rise_of_complexity_by_hand() {
    let network = network();
    let found = |bins: usize| {
        let metric = EfficientRandomisation::new().bins(bins);
        measured(&network, |case| metric.measure(&case).unwrap())
    };
    let plain = ParameterRandomisation::spearman();
    measured(&network, |case| plain.measure(&case).unwrap());
    let all = network.asked.lock().unwrap().weights[1].clone();
    let (first, second) = all.split_at(SIDE * SIDE * 9);
    let random = TwoLayers::new(
        Array2::from_shape_vec((SIDE * SIDE, 9), first.to_vec()).unwrap(),
        Array2::from_shape_vec((9, 3), second.to_vec()).unwrap(),
    );
    for bins in [2, 7, 100] {
        let entropy = |network: &TwoLayers| {
            let method = LinearApproximation::at_input();
            let found = elucid_attribution::Attributor::attribute(
                &method,
                network,
                &image(),
                Target::class(0),
            );
            let map = found.unwrap().map().unwrap();
            let mut values: Vec<f64> = (map.maps().index_axis(Axis(0), 0).iter())
                .map(|&v| f64::from(v))
                .collect();
            values.sort_by(f64::total_cmp);
            let (low, high) = (values[0], values[values.len() - 1]);
            let edge = |i: usize| low + (high - low) * i as f64 / bins as f64;
            let below = |i: usize| match i == bins {
                true => values.len(),
                false => values.iter().filter(|&&v| v < edge(i)).count(),
            };
            let counts = (0..bins).map(|i| (below(i + 1) - below(i)) as f64);
            let shares = counts.map(|count| count / values.len() as f64);
            -(shares.filter(|&p| p > 0.0).map(|p| p * p.ln())).sum::<f64>()
        };
        let want = (entropy(&random) - entropy(&network)) / entropy(&network);
        let got = value(found(bins));
        assert!((got - want).abs() < 1e-9, "{bins}: {got} {want}");
    }
    // Everything is in one bin.
    assert_eq!(reason(found(1)), NotApplicable::ConstantMap);
}

#[test]
fn maps_of_one_value_have_no_complexity() {
    // Nothing of the image reaches the scores, until weights are random.
    let dead = TwoLayers::new(Array2::zeros((SIDE * SIDE, 9)), noise_map(9, 3, 17));
    let metric = EfficientRandomisation::new();
    let found = measured(&dead, |case| metric.measure(&case).unwrap());
    assert_eq!(found, Outcome::NotApplicable(NotApplicable::ConstantMap));
    let smooth = measured(&dead, |case| {
        SmoothRandomisation::ssim().measure(&case).unwrap()
    });
    assert!(smooth.value().is_some(), "{smooth}");
}
