//! What each position of one sequence of tokens adds to each of another, channels and groups of tokens, on
//! transformers and on windows.

use elucid_attribution::{
    Attributor, ChannelAttribution, ChannelMethod, Gradient, LinearApproximation, NeuronGroups,
    SpatialAttribution, Target,
};
use elucid_testkit::relative_error;
use ndarray::{Axis, Ix3, s};

use super::gated_references::{References, layer, open};

/// Of tokens there is one pass for each position of the deep layer, and each is the linear approximation of
/// its length.
#[test]
fn every_token_to_every_token() {
    let Some(references) = References::open() else {
        return;
    };
    let input = references.input("vit_tiny");
    for (file, tensors) in references.files("vit_tiny") {
        let model = open(&file);
        let stages = ["block0", "block1", "norm1_last", "last"].map(|stage| layer(tensors, stage));
        // Right before a normalisation activation times gradient is nothing but rounding.
        for (from, to) in [(0, 1), (0, 3), (2, 3)] {
            let (from, to) = (&stages[from], &stages[to]);
            let found = SpatialAttribution::between(from, to).compute(&model, &input);
            let maps = found.unwrap().remove(0);
            assert_eq!(maps.maps().dim(), (4, 4, 4, 4));
            assert_eq!((maps.scores().dim(), maps.cotangents()), ((4, 4), 16));
            for (y, x) in [(0, 0), (3, 1), (2, 3)] {
                let target = Target::position(to, y, x);
                let linear = LinearApproximation::at(from).attribute(&model, &input, target);
                let linear = linear.unwrap();
                let got = maps.maps().slice(s![y, x, .., ..]);
                let error = relative_error(got, linear.map().unwrap().maps());
                assert!(error < 1e-4, "{from} to {to} at ({y}, {x}): {error:.1e}");
                let score = (maps.scores()[[y, x]] - linear.scores()[0]).abs();
                assert!(score <= 1e-5 * linear.scores()[0], "{from} to {to}");
            }
        }
    }
}

#[test]
fn every_position_of_windows() {
    let Some(references) = References::open() else {
        return;
    };
    for network in ["swin_tiny", "convnext_tiny"] {
        let input = references.input(network);
        let mut all = Vec::new();
        for (file, tensors) in references.files(network) {
            let model = open(&file);
            let (stages, grids) = match network {
                "swin_tiny" => (["block1", "norm"], (4, 6, 8, 12)),
                _ => (["block1.norm", "block1"], (4, 6, 4, 6)),
            };
            let [from, to] = stages.map(|stage| layer(tensors, stage));
            let found = SpatialAttribution::between(&from, &to).compute(&model, &input);
            let maps = found.unwrap().remove(0);
            assert_eq!(maps.maps().dim(), grids, "{}", file.display());
            all.push(maps.maps().clone());
        }
        // One function in several spellings.
        for maps in &all[1..] {
            let error = relative_error(maps, &all[0]);
            assert!(error < 1e-4, "{network}: {error:.1e}");
        }
    }
}

/// A channel of tokens is what it has in all patches, and not in the class token in front.
#[test]
fn channels_and_groups_of_tokens() {
    let Some(references) = References::open() else {
        return;
    };
    let input = references.input("vit_tiny");
    let mut groups = Vec::new();
    for (file, tensors) in references.files("vit_tiny") {
        let model = open(&file);
        let at = layer(tensors, "norm1_last");
        let fetched = model.pass().input(&input).fetch([&at]).unwrap();
        let value = fetched.get(&at).unwrap().to_array().unwrap();
        let gradient = Gradient::at(&at)
            .attribute(&model, &input, Target::class(3))
            .unwrap();
        let products = (&value * gradient.values())
            .into_dimensionality::<Ix3>()
            .unwrap();
        let patches = products.slice(s![0, 1.., ..]);

        let channels = ChannelAttribution::at(&at).method(ChannelMethod::Linear);
        let found = channels
            .compute(&model, &input, Target::class(3))
            .unwrap()
            .remove(0);
        let want = patches.sum_axis(Axis(0));
        let error = relative_error(found.values(), &want);
        assert!(error < 1e-4, "{error:.1e}");
        assert_eq!(found.maps().unwrap().dim(), (32, 4, 4));
        let map: Vec<f32> = patches.column(5).to_vec();
        let error = relative_error(found.map(5).unwrap(), &map);
        assert!(error < 1e-4, "{error:.1e}");

        // Activations of both signs: components, not parts.
        let method = NeuronGroups::new(3).at(&at).targets([Target::class(3)]);
        let error = method.compute(&model, &input).unwrap_err().to_string();
        assert!(error.contains("the reducer pca"), "{error}");
        let method = NeuronGroups::new(3).at(&at).targets([Target::class(3)]);
        let method = method.reducer("pca".parse().unwrap());
        let found = method.compute(&model, &input).unwrap();
        assert_eq!(found.factors().dim(), (1, 3, 4, 4));
        let effects = &found.effects()[0];
        let total = f64::from(patches.sum());
        assert!((effects.total()[0] - total).abs() < 1e-4 * total.abs().max(1.0));
        groups.push(effects.values().to_owned());
    }
    for values in &groups[1..] {
        let error = groups[0].iter().zip(values).map(|(a, b)| (a - b).abs());
        assert!(error.fold(0.0, f64::max) < 1e-3);
    }
}
