//! The cases of `tests/cases` backwards: gradients against differences, and weights with their
//! transposes.

use burn::tensor::Tensor;
use elucid_graph::{Activation, BoundGraph, GraphError};
use elucid_testkit::{device, tensor};

use super::{case_files, noise};

/// Families of cases of operators whose derivatives no other test sees.
const FAMILIES: &[&str] = &[
    "microsoft_",
    "rnn_",
    "gru_",
    "lstm_",
    "einsum_",
    "det_",
    "batch_norm_",
    "group_norm",
    "instance_norm_1d",
    "lrn_1d",
    "mean_variance_axes",
    "lp_normalization_2",
    "rms_normalization",
    "dft_",
    "stft_",
];

fn cases() -> Vec<(String, BoundGraph)> {
    let named = case_files().into_iter().filter_map(|file| {
        let name = file.file_stem()?.to_string_lossy().into_owned();
        let wanted = FAMILIES.iter().any(|family| name.starts_with(family));
        let bytes = wanted.then(|| std::fs::read(&file).unwrap())?;
        let graph = elucid_onnx::import(bytes).unwrap();
        Some((name, BoundGraph::new(graph, &device())))
    });
    named.collect()
}

fn shape(model: &BoundGraph) -> [usize; 4] {
    let stated = model.graph().inputs()[0].shape.iter();
    let shape: Vec<usize> = stated.map(|d| d.unwrap()).collect();
    shape.try_into().unwrap()
}

fn numbers(activation: &Activation) -> Vec<f32> {
    activation.to_array().unwrap().into_iter().collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b);
    products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The derivative of a weighted sum of outputs along a direction, by automatic differentiation and by
/// differences; `None` where a step crosses a kink.
fn compared(model: &BoundGraph, seed: u64) -> Option<(f64, f64)> {
    let shape = shape(model);
    let count = shape.iter().product();
    let mut next = noise(seed);
    let x: Vec<f32> = (0..count).map(|_| next()).collect();
    let direction: Vec<f32> = (0..count).map(|_| next()).collect();
    let y = |x: Tensor<4>| {
        let fetched = model.pass().feed("x", x).fetch(["y"]).unwrap();
        fetched.get("y").unwrap().clone()
    };
    let outputs = numbers(&y(tensor(x.clone(), shape))).len();
    let weights: Vec<f32> = (0..outputs).map(|_| next()).collect();
    let along = |step: f32| {
        let moved = x.iter().zip(&direction).map(|(x, d)| x + step * d);
        dot(&numbers(&y(tensor(moved.collect(), shape))), &weights)
    };
    let difference = |step: f32| (along(step) - along(-step)) / (2.0 * f64::from(step));
    let (coarse, fine) = (difference(8e-3), difference(4e-3));
    if (coarse - fine).abs() > 5e-3 * coarse.abs().max(fine.abs()).max(0.1) {
        return None;
    }
    // Richardson's extrapolation.
    let expected = (4.0 * fine - coarse) / 3.0;
    let leaf = Activation::from(tensor(x, shape)).require_grad();
    let output = y(leaf.tensor().unwrap());
    let rows = output.rows();
    let [images, elements] = rows.dims();
    let factors = Activation::from(tensor(weights, [images, elements, 1, 1]));
    let gradients = (rows * factors.rows()).sum().backward();
    let gradient = leaf.gradient(&gradients);
    let got = gradient.map_or(0.0, |gradient| dot(&numbers(&gradient), &direction));
    Some((got, expected))
}

#[test]
fn gradients_agree_with_differences() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 80, "only {} cases", cases.len());
    for (name, model) in &cases {
        let found = (0..8).find_map(|seed| compared(model, seed));
        match found {
            Some((got, expected)) if (got - expected).abs() <= 1e-2 * expected.abs().max(0.1) => {}
            other => wrong.push(format!("{name}: derivative and differences {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn weights_and_their_transposes_are_those_of_the_operator() {
    let mut seen = 0;
    for (name, model) in &cases() {
        let shape = shape(model);
        let mut next = noise(7);
        let mut random = |count: usize| -> Vec<f32> { (0..count).map(|_| next()).collect() };
        let x = random(shape.iter().product());
        let pass = model.pass().feed("x", tensor(x, shape));
        let recording = pass.record(["y"]).unwrap();
        for step in recording.steps("y", &["x"]).unwrap() {
            let Some(weights) = step.weights() else {
                continue;
            };
            seen += 1;
            let input = step.input(0).unwrap();
            let made = |bias: Option<&Activation>| -> Result<Vec<f32>, GraphError> {
                let made = step.linear(input.clone(), &weights.weight, bias)?;
                assert_eq!(made.shape(), step.output().shape(), "{name}");
                Ok(numbers(&made))
            };
            let (found, expected) = (
                made(weights.bias.as_ref()).unwrap(),
                numbers(&step.output()),
            );
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{name}: {found}, {expected}"
                );
            }
            let g = random(expected.len());
            let back = Activation::from_array(
                &ndarray::ArcArray::from_shape_vec(step.output().shape(), g.clone()).unwrap(),
                model.device(),
            );
            let back = step.transpose(back, &weights.weight).unwrap();
            assert_eq!(back.shape(), input.shape(), "{name}");
            let (there, here) = (
                dot(&numbers(&back), &numbers(&input)),
                dot(&g, &made(None).unwrap()),
            );
            assert!(
                (there - here).abs() < 1e-3 * here.abs().max(1.0),
                "{name}: {there}, {here}"
            );
        }
    }
    assert!(seen >= 3, "only {seen} steps have weights");
}
