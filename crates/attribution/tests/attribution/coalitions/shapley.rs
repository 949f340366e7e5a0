//! Shapley values: of all coalitions, and sampled.

use burn::tensor::Tensor;
use elucid_attribution::{Attributor, Baseline, KernelShap, ShapleySampling, Target};

use super::{
    asked, columns, error, image, labels, logged, rough, rough_network, shapley, six,
    spread_over_stated, values,
};

/// The score of every coalition of the six segments, by its bits, without any of the crate's code.
fn worth(image: &Tensor<4>, baselines: &[f32]) -> Vec<f64> {
    let mut known: Vec<usize> = labels().into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let values: Vec<f32> = image.clone().into_data().iter::<f32>().collect();
    let map: Vec<usize> = labels().into_iter().collect();
    let of = |coalition: usize, baseline: f32| {
        let pixels = values.iter().enumerate().map(|(i, &v)| {
            let player = known.iter().position(|&l| l == map[i % map.len()]).unwrap();
            if coalition >> player & 1 == 1 {
                v
            } else {
                baseline
            }
        });
        f64::from(rough(&pixels.collect::<Vec<f32>>()))
    };
    (0..1 << known.len())
        .map(|c| baselines.iter().map(|&b| of(c, b)).sum::<f64>() / baselines.len() as f64)
        .collect()
}

#[test]
fn kernel_shap_of_all_coalitions_is_exact() {
    let image = image(0.3);
    for (baseline, numbers) in [
        (Baseline::zero(), vec![0.0]),
        (Baseline::constant([0.4]), vec![0.4]),
        (
            Baseline::several([Baseline::zero(), Baseline::constant([-0.8])]),
            vec![0.0, -0.8],
        ),
    ] {
        let worth = worth(&image, &numbers);
        let want = shapley(&worth);
        let method = KernelShap::new()
            .superpixels(six())
            .baseline(baseline)
            .samples(62);
        let found = method
            .attribute_segments(&rough_network, &image, &Target::class(0))
            .unwrap();
        let error = error(&values(&found), &want);
        println!("KernelSHAP of all coalitions: {error:.1e}");
        assert!(error < 1e-5, "{error:.1e}");
        let attribution = found.attribution();
        let complete = attribution.completeness()[0];
        assert!((complete.expected - (worth[63] - worth[0])).abs() < 1e-5);
        assert!(attribution.completeness_error().unwrap() < 1e-12);
        assert_eq!(attribution.evaluations(), [64 * numbers.len()]);
        assert!((f64::from(attribution.scores()[0]) - worth[63]).abs() < 1e-5);
        // No chance is left, and more samples change nothing.
        let again = method.seed(7).samples(5000);
        let again = again.attribute_segments(&rough_network, &image, &Target::class(0));
        assert_eq!(again.unwrap().values(), found.values());
    }
}

#[test]
fn sampled_kernel_shap_converges() {
    let image = image(1.0);
    let want = shapley(&worth(&image, &[0.0]));
    let run = |samples, seed| {
        let method = KernelShap::new()
            .superpixels(six())
            .samples(samples)
            .seed(seed);
        let found = method
            .attribute_segments(&rough_network, &image, &Target::class(0))
            .unwrap();
        assert!(found.attribution().completeness_error().unwrap() < 1e-12);
        error(&values(&found), &want)
    };
    let mean = |samples| (0..20).map(|seed| run(samples, seed)).sum::<f64>() / 20.0;
    let (few, many) = (mean(10), mean(60));
    println!("KernelSHAP of 10 and 60 samples: {few:.2} {many:.2}");
    assert!(many < 0.5 * few && many < 0.25, "{few} {many}");
}

#[test]
fn kernel_shap_draws_pairs_of_the_right_sizes() {
    let n = 12;
    let weights: Vec<f32> = (0..n).map(|i| i as f32 - 4.0).collect();
    let planted = weights.clone();
    let (image, network, log) = logged(n, move |z| {
        z.iter().zip(&planted).map(|(z, w)| z * w).sum::<f32>() + 3.0
    });
    let method = KernelShap::new().superpixels(columns(n)).samples(3001);
    let found = method
        .attribute_segments(&network, &image, &Target::class(0))
        .unwrap();
    let want: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
    assert!(error(&values(&found), &want) < 1e-9);

    let asked = asked(&log);
    assert_eq!(asked.len(), 3001);
    let mut counts = vec![0.0; n];
    for pair in asked.chunks_exact(2) {
        let complement = pair[0].0.iter().zip(&pair[1].0);
        assert!(complement.clone().all(|(a, b)| a + b == 1.0));
        counts[pair[0].0.iter().sum::<f32>() as usize] += 1.0;
    }
    assert_eq!(counts[0], 0.0);
    let mass: f64 = (1..n).map(|s| 1.0 / (s * (n - s)) as f64).sum();
    for (size, &count) in counts.iter().enumerate().skip(1) {
        let p = 1.0 / (size * (n - size)) as f64 / mass;
        let deviation = (1500.0 * p * (1.0 - p)).sqrt();
        let away = (count - 1500.0 * p).abs() / deviation;
        assert!(away < 4.0, "{count} of size {size}: {away} deviations");
    }

    // Fewer samples than segments: numbers all the same, and they add up.
    let few = KernelShap::new().superpixels(columns(n)).samples(4);
    let few = few.attribute(&network, &image, Target::class(0)).unwrap();
    assert!(few.completeness_error().unwrap() < 1e-12);
    assert!(few.values().iter().all(|v| v.abs() < 40.0));
}

#[test]
fn shapley_sampling_adds_up_and_converges() {
    let image = image(2.0);
    let want = shapley(&worth(&image, &[0.0]));
    let run = |permutations, seed, batch_size| {
        let method = ShapleySampling::new()
            .superpixels(six())
            .permutations(permutations)
            .batch_size(batch_size)
            .seed(seed);
        let found = method
            .attribute_segments(&rough_network, &image, &Target::class(0))
            .unwrap();
        let attribution = found.attribution();
        assert!(attribution.completeness_error().unwrap() < 1e-12);
        assert_eq!(attribution.evaluations(), [5 * permutations + 2]);
        values(&found)
    };
    let mean = |permutations| {
        let errors = (0..10).map(|seed| error(&run(permutations, seed, 8), &want));
        errors.sum::<f64>() / 10.0
    };
    let (few, many) = (mean(10), mean(1000));
    println!("Shapley sampling of 10 and 1000 orders: {few:.3} {many:.3}");
    // A hundred times the orders, a tenth of the error.
    assert!(many < 0.15 * few && many < 0.1, "{few} {many}");
    for batch_size in [1, 2, 5, 6] {
        assert_eq!(run(3, 1, batch_size), run(3, 1, 8));
    }
}

#[test]
fn shapley_sampling_says_how_sure_it_is() {
    let image = image(2.0);
    let run = |permutations, seed| {
        let method = ShapleySampling::new().superpixels(six());
        let method = method.permutations(permutations).seed(seed);
        method
            .attribute(&rough_network, &image, Target::class(0))
            .unwrap()
    };
    // Variances of 200 runs are known to a tenth.
    for ratio in spread_over_stated((0..200).map(|seed| run(20, seed))) {
        assert!((ratio - 1.0).abs() < 0.5, "{ratio}");
    }
    assert!(run(1, 0).standard_errors().is_none());
}
