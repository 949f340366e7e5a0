//! What all methods of coalitions keep: maps by segment, batches, progress, refusals.

use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, Baseline, HsicAttribution, KernelShap, Lime, Method,
    MethodOptions, ShapleySampling, SobolAttribution, Superpixels, Target,
};
use elucid_testkit::{relative_error, tensor};
use ndarray::{Array2, Axis};

use super::{HEIGHT, WIDTH, image, labels, on_host, rough, rough_network, six};

#[test]
fn every_pixel_has_the_number_of_its_segment() {
    let image = image(0.0);
    let found = KernelShap::new()
        .superpixels(six())
        .attribute_segments(&rough_network, &image, &Target::class(0))
        .unwrap();
    let attribution = found.attribution();
    assert_eq!(attribution.values().shape(), [1, 1, HEIGHT, WIDTH]);
    let segments = &found.segments()[0];
    assert_eq!(segments.count(), 6);
    let order = [0, 3, 4, 7, 9, 12];
    for (pixel, &label) in labels().indexed_iter() {
        let segment = segments.labels()[pixel];
        assert_eq!(order[segment], label);
        let want = found.values()[0][segment] as f32;
        assert_eq!(attribution.values()[[0, 0, pixel.0, pixel.1]], want);
    }
}

fn methods(superpixels: &Superpixels) -> Vec<Box<dyn Attributor>> {
    let noise = || Baseline::several([Baseline::noise(-1.0, 1.0), Baseline::blur(1.0)]);
    let lime = Lime::new().samples(9).batch_size(4).baseline(noise());
    let shap = KernelShap::new().samples(9).batch_size(4);
    let shapley = ShapleySampling::new().permutations(2).batch_size(4);
    let sobol = SobolAttribution::new().design(2).batch_size(4);
    let hsic = HsicAttribution::new().samples(9).batch_size(4);
    let parts = || superpixels.clone();
    vec![
        Box::new(lime.superpixels(parts()).seed(1)),
        Box::new(shap.superpixels(parts()).baseline(noise()).seed(2)),
        Box::new(shapley.superpixels(parts()).baseline(noise()).seed(3)),
        Box::new(sobol.superpixels(parts()).baseline(noise()).seed(4)),
        Box::new(hsic.superpixels(parts()).baseline(noise()).seed(5)),
    ]
}

#[test]
fn a_batch_gives_what_its_images_give() {
    let two = |x: Tensor<4>| {
        let more = on_host(&x, |v| v[3] * v[40] - v[20].exp());
        Tensor::cat(vec![on_host(&x, rough), more], 1)
    };
    let images = Tensor::cat(vec![image(0.4), image(2.2) * 3.0], 0);
    let targets = [Target::class(0), Target::difference(1, 0)];
    for superpixels in [six(), Superpixels::slic(8), Superpixels::grid(3)] {
        for method in methods(&superpixels) {
            let name = format!("{} on {superpixels}", method.name());
            let run = |images: &Tensor<4>, target| method.attribute(&two, images, target).unwrap();
            let both = run(&images, Target::each(targets.clone()));
            for (i, target) in targets.iter().enumerate() {
                let alone = run(&images.clone().narrow(0, i, 1), target.clone());
                let row = both.values().index_axis(Axis(0), i);
                let error = relative_error(row, alone.values());
                assert!(error < 1e-5, "{name}, image {i}: {error:.1e}");
                assert!((both.scores()[i] - alone.scores()[0]).abs() < 1e-5);
                assert_eq!(both.evaluations()[i], alone.evaluations()[0], "{name}");
            }
            let again = run(&images, Target::each(targets.clone()));
            assert_eq!(again.values(), both.values(), "{name}");
        }
    }
}

#[test]
fn work_can_be_watched() {
    for (method, evaluations) in [
        ("lime", 7 + 1),
        ("kernel-shap", 7 + 2),
        ("shapley-sampling", 2 * 8 + 2),
        ("sobol", 2 * 11 + 2),
        ("hsic", 7 + 2),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let settings = [
            ("segments", "grid:3"),
            ("samples", "7"),
            ("permutations", "2"),
            ("design", "2"),
            ("baseline", "zero+constant:1"),
        ];
        let found = Method::find(method).unwrap();
        let options = settings
            .into_iter()
            .filter(|(option, _)| found.takes(option))
            .fold(MethodOptions::new(), |o, (option, value)| {
                o.set(option, value)
            })
            .batch_size(3)
            .progress(move |p| {
                log.lock().unwrap().push((p.done, p.total));
                p.continue_()
            });
        let images = Tensor::cat(vec![image(0.4), image(2.2)], 0);
        let built = found.build(&options).unwrap();
        let got = built.attribute(&rough_network, &images, Target::class(0));
        let got = got.unwrap();
        assert_eq!(got.evaluations(), [2 * evaluations; 2], "{method}");
        let seen = seen.lock().unwrap();
        assert!(seen.iter().all(|(_, total)| *total == 4 * evaluations));
        assert!(seen.is_sorted() && seen[seen.len() - 1].0 == 4 * evaluations);
        assert!(seen.windows(2).all(|w| w[1].0 - w[0].0 <= 3), "{method}");
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let shap = || KernelShap::new();
    let on = |superpixels| -> Box<dyn Attributor> { Box::new(shap().superpixels(superpixels)) };
    let narrow = Array2::zeros((HEIGHT, WIDTH - 1));
    let bad: Vec<(&str, Box<dyn Attributor>)> = vec![
        ("samples", Box::new(Lime::new().samples(0))),
        ("kernel-width", Box::new(Lime::new().kernel_width(f64::NAN))),
        ("kernel-width", Box::new(Lime::new().kernel_width(0.0))),
        ("ridge", Box::new(Lime::new().ridge(-1.0))),
        ("ridge", Box::new(Lime::new().ridge(f64::NAN))),
        ("samples", Box::new(shap().samples(0))),
        (
            "permutations",
            Box::new(ShapleySampling::new().permutations(0)),
        ),
        ("design", Box::new(SobolAttribution::new().design(0))),
        ("samples", Box::new(HsicAttribution::new().samples(1))),
        ("samples", Box::new(HsicAttribution::new().samples(10_001))),
        ("batch size", Box::new(shap().batch_size(0))),
        (
            "baseline",
            Box::new(shap().superpixels(six()).baseline(Baseline::several([]))),
        ),
        ("segments", on(Superpixels::grid(0))),
        ("segments", on(Superpixels::grid(HEIGHT + 1))),
        ("segments", on(Superpixels::slic(0))),
        ("segments", on(Superpixels::slic(HEIGHT * WIDTH + 1))),
        ("segments", on(Superpixels::slic_with_compactness(3, 0.0))),
        (
            "segments",
            on(Superpixels::slic_with_compactness(3, f64::NAN)),
        ),
        ("segments", on(Superpixels::labels(narrow))),
    ];
    for (name, method) in bad {
        match method.attribute(&rough_network, &image(0.0), Target::class(0)) {
            Err(AttributionError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    // More segments than a linear model takes.
    let large = tensor(vec![0.0; 65 * 65], [1, 1, 65, 65]);
    let found = Lime::new().superpixels(Superpixels::grid(65)).attribute(
        &rough_network,
        &large,
        Target::class(0),
    );
    assert!(matches!(found, Err(AttributionError::Parameter { .. })));
    // One segment has the whole difference.
    let one = KernelShap::new().superpixels(Superpixels::grid(1));
    let one = one.attribute_segments(&rough_network, &image(0.0), &Target::class(0));
    let one = one.unwrap();
    assert_eq!(one.attribution().evaluations(), [2]);
    assert_eq!(one.attribution().completeness_error(), Some(0.0));
}
