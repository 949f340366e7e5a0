//! Token occlusion and the patch grid, on a transformer against arrays in double precision, and on
//! convolutional networks against loops.

use std::path::Path;

use burn::tensor::Tensor;
use elucid_attribution::{
    Attributor, Baseline, FEATURES, Hides, HsicAttribution, KernelShap, Lime, Network,
    ShapleySampling, SobolAttribution, Superpixels, Target, TokenOcclusion,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_testkit::{numbers, read_npy, relative_error};
use elucid_vision::Model;

use super::gated_references::{Compared, References, files_of, layer, open};
use super::shared::{SQUEEZENET as MODEL, refused_option};

const TOLERANCE: f32 = 1e-4;

/// The arrays of each way in which a token is taken away.
const WAYS: [(&str, Hides); 3] = [
    ("token_zero", Hides::Zero),
    ("token_unseen", Hides::Unseen),
    ("pixels", Hides::Pixels),
];

#[test]
fn tokens_are_taken_away_in_three_ways() {
    let network = "vit_tiny";
    for of in files_of(network) {
        let entering = layer(of.tensors, "block0");
        let fused = attends_by_itself(&of.file);
        for (array, hides) in WAYS {
            let path = format!("{network}/occlusion_{array}.npy");
            let (shape, want) = read_npy(&of.references.folder.join(&path));
            assert_eq!(shape, [5, 4, 4]);
            for class in 0..5 {
                for method in [TokenOcclusion::new(), TokenOcclusion::at(&entering)] {
                    let found =
                        method
                            .hides(hides)
                            .attribute(&of.model, &of.input, Target::class(class));
                    if fused && hides == Hides::Unseen {
                        let error = found.unwrap_err().to_string();
                        assert!(
                            error.contains("where an operator attends by itself"),
                            "{error}"
                        );
                        continue;
                    }
                    let found = found.unwrap();
                    let error = relative_error(found.values(), &want[16 * class..16 * (class + 1)]);
                    assert!(
                        error < TOLERANCE,
                        "{error:.1e} {path} {class}, {}",
                        of.file.display()
                    );
                    assert_eq!(
                        (found.layer(), found.evaluations()),
                        (entering.as_str(), &[17][..])
                    );
                    assert_eq!(found.map().unwrap().upsampled().maps().dim(), (1, 32, 32));
                    assert!(found.rule_uses().is_empty());
                }
            }
        }
    }
}

/// The three ways over all classes and files, for the table of agreement.
pub fn all(references: &References) -> Vec<Compared> {
    let rows = WAYS.map(|(array, hides)| {
        references.of_all_classes(
            &format!("token occlusion, {hides}"),
            &format!("occlusion_{array}"),
            &TokenOcclusion::new().hides(hides),
            |file| hides != Hides::Unseen || !attends_by_itself(file),
        )
    });
    rows.into()
}

/// Of the small transformer's files the one with an operator that attends.
fn attends_by_itself(file: &Path) -> bool {
    file.to_string_lossy().contains("attention")
}

#[test]
fn windows_and_other_networks_say_why_not() {
    let Some(references) = References::open() else {
        return;
    };
    let refused = |model: &Model, input: &Tensor<4>| {
        let method = TokenOcclusion::new().hides(Hides::Unseen);
        method
            .attribute(model, input, Target::class(0))
            .unwrap_err()
            .to_string()
    };
    for (file, tensors) in references.files("swin_tiny") {
        let (model, input) = (open(&file), references.input("swin_tiny"));
        let error = refused(&model, &input);
        assert!(error.contains("as in windows"), "{error}");
        // The values that enter the first block, one position after the other.
        let found = TokenOcclusion::new()
            .attribute(&model, &input, Target::class(1))
            .unwrap();
        let shape = found.values().shape().to_vec();
        assert_eq!(shape, [1, 1, 8, 12]);
        assert!(found.values().iter().any(|&v| v != 0.0));
        assert_ne!(found.layer(), layer(tensors, "block1"));
    }
    let input = references.input("vit_tiny");
    let error = refused(&MODEL, &Tensor::cat(vec![input.clone(), input], 3));
    assert!(error.contains("a network without attention"), "{error}");
    let error = refused_option("token-occlusion", "hides", "all");
    assert!(error.contains("zero (the token is 0)"), "{error}");
}

/// Without attention the positions of a layer are tokens.
#[test]
fn positions_of_a_map_as_loops() {
    let images = elucid_testkit::tensor(numbers(2 * 3 * 48 * 40, 0x9E37_79B9), [2, 3, 48, 40]);
    let images = images * 2.0;
    let class = |n: usize| [285, 7][n];
    let target = || Target::each([0, 1].map(|n| Target::class(class(n))));
    let logit = |n: usize, feeds: Vec<(&str, elucid_graph::Activation)>| {
        let pass = feeds
            .into_iter()
            .fold(MODEL.pass(), |pass, (name, value)| pass.feed(name, value));
        let fetched = pass.fetch([LOGITS]).unwrap();
        fetched.get(LOGITS).unwrap().to_array().unwrap()[[0, class(n)]]
    };
    let at = "fire5/concat";
    let full = Network::layer(&*MODEL, at).unwrap();
    let fetched = MODEL.pass().input(&images).fetch([&full]).unwrap();
    let x = fetched.get(&full).unwrap().to_array().unwrap();
    let (channels, h, w) = (x.shape()[1], x.shape()[2], x.shape()[3]);

    let zero = TokenOcclusion::at(at)
        .batch_size(5)
        .attribute(&*MODEL, &images, target())
        .unwrap();
    let white = Baseline::several([Baseline::constant([1.5]), Baseline::constant([-0.5])]);
    let pixels = TokenOcclusion::at(at).baseline(white);
    let pixels = pixels.attribute(&*MODEL, &images, target()).unwrap();
    assert_eq!(pixels.evaluations(), [2 * h * w + 1; 2]);
    assert_eq!(
        pixels.configuration().to_string(),
        "baseline constant:1.5+constant:-0.5, hides pixels"
    );
    let (mut want_zero, mut want_pixels) = (Vec::new(), Vec::new());
    for (n, y, z) in ndarray::indices((2, h, w)) {
        let image = images.clone().narrow(0, n, 1);
        let own = logit(n, vec![(INPUT, image.clone().into())]);
        let mut without = x.slice(ndarray::s![n..n + 1, .., .., ..]).to_owned();
        without.slice_mut(ndarray::s![.., .., y, z]).fill(0.0);
        let without =
            elucid_testkit::tensor(without.iter().copied().collect(), [1, channels, h, w]);
        want_zero.push(
            own - logit(
                n,
                vec![(INPUT, image.clone().into()), (&full, without.into())],
            ),
        );
        let mut mean = 0.0;
        for value in [1.5, -0.5] {
            let mut hidden = elucid_graph::Activation::from(image.clone())
                .to_array()
                .unwrap();
            for ((_, _, i, j), v) in hidden
                .view_mut()
                .into_dimensionality::<ndarray::Ix4>()
                .unwrap()
                .indexed_iter_mut()
            {
                if (i * h / 48, j * w / 40) == (y, z) {
                    *v = value;
                }
            }
            let hidden = elucid_testkit::tensor(hidden.iter().copied().collect(), [1, 3, 48, 40]);
            mean += logit(n, vec![(INPUT, hidden.into())]) / 2.0;
        }
        want_pixels.push(own - mean);
    }
    for (what, found, want) in [("zero", zero, want_zero), ("pixels", pixels, want_pixels)] {
        let error = relative_error(found.values(), &want);
        println!("{what}: {error:.1e}");
        // Differences of scores lose digits.
        assert!(error < 1e-4, "{what}: {error:.1e}");
    }
    let features = TokenOcclusion::new()
        .attribute(&*MODEL, &images, target())
        .unwrap();
    assert_eq!(features.layer(), Network::layer(&*MODEL, FEATURES).unwrap());
}

/// Coalitions are of patches where the network sees patches, and results say so.
#[test]
fn patches_are_the_segments_of_a_transformer() {
    let Some(references) = References::open() else {
        return;
    };
    let network = "vit_tiny";
    let (file, _) = references.files(network).swap_remove(0);
    let (model, input) = (open(&file), references.input(network));
    let methods: [Box<dyn Attributor>; 5] = [
        Box::new(KernelShap::new().samples(8)),
        Box::new(Lime::new().samples(8)),
        Box::new(ShapleySampling::new().permutations(1)),
        Box::new(SobolAttribution::new().design(2)),
        Box::new(HsicAttribution::new().samples(4)),
    ];
    for method in &methods {
        let found = method.attribute(&model, &input, Target::class(3)).unwrap();
        assert_eq!(
            found.configuration().get("segments"),
            Some("grid:4"),
            "{}",
            method.name()
        );
        let other = Tensor::cat(vec![input.clone(), input.clone()], 3);
        let found = method.attribute(&*MODEL, &other, Target::class(3)).unwrap();
        assert_ne!(
            found.configuration().get("segments"),
            Some("grid:4"),
            "{}",
            method.name()
        );
    }
    // Every patch is a segment: the token that leaves with its pixels.
    let all = Superpixels::patches().segments(&model, &input).unwrap();
    for ((y, x), &label) in all[0].labels().indexed_iter() {
        assert_eq!(label, y / 8 * 4 + x / 8);
    }
    let exact = KernelShap::new()
        .superpixels(Superpixels::cells(2, 4))
        .samples(300);
    let found = exact.attribute(&model, &input, Target::class(3)).unwrap();
    assert_eq!(found.configuration().get("segments"), Some("grid:2x4"));
    let read: Superpixels = "grid:2x4".parse().unwrap();
    assert_eq!(read, Superpixels::cells(2, 4));
    assert_eq!(
        "patches".parse::<Superpixels>().unwrap().to_string(),
        "patches"
    );
    for text in ["grid:x", "grid:2x", "grid:-2x3", "patches:3"] {
        let refused = refused_option("kernel-shap", "segments", text);
        assert!(refused.contains("segments"), "{refused}");
    }
    let other = Tensor::cat(vec![input.clone(), input], 3);
    for none in [Superpixels::cells(0, 4), Superpixels::cells(4, 0)] {
        assert!(none.segments(&model, &other).is_err());
    }
    let error = Superpixels::patches()
        .segments(&*MODEL, &other)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("does not cut images into patches"),
        "{error}"
    );
    // Swin merges its patches, which come first all the same.
    let (file, _) = references.files("swin_tiny").swap_remove(0);
    let swin = open(&file);
    let input = references.input("swin_tiny");
    println!(
        "{:?}",
        Superpixels::patches()
            .segments(&swin, &input)
            .map(|s| s[0].count())
    );
}
