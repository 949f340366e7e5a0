//! Every layer of real networks against ONNX Runtime.

use std::path::Path;

use elucid_graph::LOGITS;
use elucid_testkit::{assets, device};
use elucid_vision::Model;
use elucid_vision::input::Resize;
use image::GenericImageView;
use serde_json::Value;

use super::listed;

/// Largest deviation allowed, relative to the layer's largest value.
const TOLERANCE: f64 = 1e-5;

/// The model, prepared for pictures that already have its size.
fn open(assets: &Path, model: &str) -> Model {
    let path = assets.join("models").join(model);
    let spec = Model::open(&path, &device()).unwrap().input_spec().clone();
    Model::open_with(&path, &device(), spec.with_resize(Resize::Squash).unwrap()).unwrap()
}

/// Compares all layers with recorded statistics and samples; returns the worst deviation.
fn compare_layers(assets: &Path, model: &str, reference: &str, crop: Option<[u32; 4]>) -> f64 {
    let model = open(assets, model);
    let text = std::fs::read_to_string(assets.join("reference").join(reference)).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let picture = image::open(assets.join("images/chelsea_224.png")).unwrap();
    let tensor = match crop {
        None => model.prepare(&picture).unwrap().tensor().clone(),
        Some([top, left, height, width]) => {
            let whole = model.prepare(&picture).unwrap().tensor().clone();
            assert_eq!(picture.dimensions(), (224, 224));
            whole
                .narrow(2, top as usize, height as usize)
                .narrow(3, left as usize, width as usize)
        }
    };
    check(
        &reference["input"],
        "input",
        tensor.clone().into_data().iter::<f32>().collect(),
    );

    let layers = reference["layers"].as_object().unwrap();
    let names: Vec<&str> = layers.keys().map(String::as_str).collect();
    let fetched = model.pass().input(&tensor).fetch(&names).unwrap();
    let mut worst = 0_f64;
    for name in &names {
        let activation = fetched.get(name).unwrap();
        let shape: Vec<u64> = layers[*name]["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d.as_u64().unwrap())
            .collect();
        let got: Vec<u64> = activation.shape().iter().map(|&d| d as u64).collect();
        assert_eq!(got, shape, "shape of {name}");
        let values = activation.to_array().unwrap().into_iter().collect();
        worst = worst.max(check(&layers[*name], name, values));
    }
    assert!(
        names.len() > 50,
        "only {} layers were compared",
        names.len()
    );
    worst
}

/// Compares one tensor with its recorded statistics.
fn check(reference: &Value, name: &str, values: Vec<f32>) -> f64 {
    let number = |key: &str| reference[key].as_f64().unwrap();
    let numbers = |key: &str| listed(&reference[key]);
    let largest = number("max").abs().max(number("min").abs());
    let mut worst = 0_f64;
    let mut compare = |what: &str, got: f64, want: f64, scale: f64| {
        let error = (got - want).abs() / scale;
        assert!(
            error <= TOLERANCE,
            "{what} of {name}: {got}, expected {want} ({error:.1e})"
        );
        worst = worst.max(error);
    };
    for (&v, want) in values.iter().zip(numbers("first8")) {
        compare("a first value", f64::from(v), want, largest);
    }
    for (at, want) in numbers("sample_flat_index")
        .into_iter()
        .zip(numbers("sample_values"))
    {
        compare("a sample", f64::from(values[at as usize]), want, largest);
    }
    let wide = || values.iter().map(|&v| f64::from(v));
    compare(
        "the minimum",
        wide().fold(f64::INFINITY, f64::min),
        number("min"),
        largest,
    );
    compare(
        "the maximum",
        wide().fold(f64::NEG_INFINITY, f64::max),
        number("max"),
        largest,
    );
    compare(
        "the mean",
        wide().sum::<f64>() / values.len() as f64,
        number("mean"),
        largest,
    );
    let l2 = wide().map(|v| v * v).sum::<f64>().sqrt();
    compare("the norm", l2, number("l2"), number("l2").max(1e-30));
    worst
}

macro_rules! layer_tests {
    ($($test:ident: $model:literal, $reference:literal, $crop:expr;)*) => {$(
        #[test]
        fn $test() {
            let Some(assets) = assets() else { return };
            let worst = compare_layers(&assets, $model, $reference, $crop);
            println!("largest deviation {worst:.1e} of the layer's largest value");
        }
    )*};
}

layer_tests! {
    googlenet: "googlenet.onnx", "googlenet_chelsea_layers.json", None;
    googlenet_odd_size: "googlenet.onnx", "googlenet_odd199x214_layers.json", Some([13, 5, 199, 214]);
    squeezenet: "squeezenet1_1.onnx", "squeezenet1_1_chelsea_layers.json", None;
    efficientnet: "efficientnet_lite0.onnx", "efficientnet_lite0_chelsea_layers.json", None;
}

#[test]
fn logits_and_activations_of_googlenet() {
    let Some(assets) = assets() else { return };
    let model = Model::open(assets.join("models/googlenet.onnx"), &device()).unwrap();
    let folder = assets.join("reference/googlenet/chelsea");
    let read = |file: &str| -> Vec<f32> { elucid_testkit::read_npy(&folder.join(file)).1 };
    let input = elucid_testkit::tensor(read("input.npy"), [1, 3, 224, 224]);
    let blocks = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"];
    let lucid: Vec<String> = blocks.iter().map(|b| format!("mixed{b}")).collect();
    let mut names: Vec<&str> = lucid.iter().map(String::as_str).collect();
    names.push(LOGITS);
    let fetched = model.pass().input(&input).fetch(&names).unwrap();
    let logits = fetched.get(LOGITS).unwrap().to_array().unwrap();
    let error = elucid_testkit::relative_error(&logits, &read("logits.npy"));
    assert!(error < 1e-5, "logits deviate by {error:.1e}");
    for (block, name) in blocks.iter().zip(&lucid) {
        let got = fetched.get(name).unwrap().to_array().unwrap();
        let error =
            elucid_testkit::relative_error(&got, &read(&format!("act/inception_{block}.npy")));
        assert!(error < 1e-5, "{name} deviates by {error:.1e}");
    }
}

#[test]
fn top5_on_every_photograph() {
    let Some(assets) = assets() else { return };
    let text = std::fs::read_to_string(assets.join("reference/top5.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let mut compared = 0;
    for name in ["googlenet", "squeezenet1_1", "efficientnet_lite0"] {
        let model = open(&assets, &format!("{name}.onnx"));
        for (photo, models) in reference.as_object().unwrap() {
            let file = format!("{photo}_224.png");
            let Some(path) = ["images", "images/local_only"]
                .iter()
                .map(|folder| assets.join(folder).join(&file))
                .find(|path| path.is_file())
            else {
                continue;
            };
            let crop = image::open(path).unwrap();
            let guesses = model
                .classify(&model.prepare(&crop).unwrap())
                .unwrap()
                .top(5);
            for (guess, want) in guesses.iter().zip(models[name].as_array().unwrap()) {
                let (index, probability) = (want[0].as_u64().unwrap(), want[2].as_f64().unwrap());
                assert_eq!(guess.index as u64, index, "{name} on {photo}: {guesses:?}");
                let error = (f64::from(guess.probability.unwrap()) - probability).abs();
                assert!(
                    error < 2e-5,
                    "{name} on {photo}: {guess} instead of {probability}"
                );
            }
            compared += 1;
        }
    }
    assert!(compared >= 30, "only {compared} pairs were compared");
}
