//! Rules for whole operators in networks: against hand-made derivatives of what they hold constant,
//! and both ways of differentiating against each other.

use burn::tensor::Tensor;
use elucid_graph::{Activation, BoundGraph, GraphError};
use elucid_rules::{
    Algebra, AnyRank, ConstantStatistics, Execution, GradRule, GuidedActivation, OpKind,
    OperatorRule, Rules, SignalTakesAll, UniformProduct, Which,
};
use elucid_testkit::generated;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, relative_error};

fn open(file: Onnx) -> BoundGraph {
    BoundGraph::new(elucid_onnx::import(file.bytes()).unwrap(), &device())
}

/// Numbers of both signs that have no pattern.
fn noise(count: usize, seed: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 7919 + seed * 104_729 + 13) % 1009) as f32 / 504.5 - 1.0;
    (0..count).map(number).collect()
}

/// A cotangent for `y`.
fn cotangent(y: &Activation) -> Activation {
    let count = y.shape().iter().product();
    let g = Tensor::<1>::from_floats(noise(count, 3).as_slice(), &device());
    let images = y.shape()[0];
    Activation::from_rows(g.reshape([images, count / images]), y).unwrap()
}

struct Found {
    y: Vec<f32>,
    g: Vec<f32>,
    x: Vec<f32>,
    gradient: Vec<f32>,
    uses: Vec<(String, usize)>,
}

fn numbers(a: &Activation) -> Vec<f32> {
    a.to_array().unwrap().into_iter().collect()
}

/// The gradient at the input by burn's autodiff, checked against the walk over a recording.
fn differentiate(
    model: &BoundGraph,
    shape: [usize; 4],
    rules: &Rules,
) -> Result<Found, GraphError> {
    let x = elucid_testkit::tensor(noise(shape.iter().product(), 1), shape);
    let leaf = Activation::from(x.clone()).require_grad();
    let fetched = model
        .pass()
        .rules(rules)
        .feed("x", leaf.clone())
        .fetch(["y"])?;
    let y = fetched.get("y")?;
    let g = cotangent(y);
    let gradients = (y.rows() * g.rows()).sum().backward();
    let gradient = numbers(&leaf.gradient(&gradients).unwrap());
    let recording = model
        .pass()
        .rules(rules)
        .feed("x", x.clone())
        .record(["y"])?;
    let walked =
        recording.propagate::<GraphError>("y", g.clone(), &["x"], |step, g| step.gradient(g))?;
    let error = relative_error(&numbers(walked.get("x")?), &gradient);
    assert!(error < 1e-6, "the two ways differ by {error:.1e}");
    Ok(Found {
        y: numbers(y),
        g: numbers(&g),
        x: numbers(&x.into()),
        gradient,
        uses: fetched
            .rule_uses()
            .iter()
            .map(|used| (used.rule.clone(), used.operators))
            .collect(),
    })
}

fn assert_close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    let error = relative_error(got, want);
    assert!(error < 2e-5, "{error:.1e}: {got:?} {want:?}");
}

/// `g y / x`.
fn identity_rule(found: &Found) -> Vec<f32> {
    let ratio = |i: usize| found.g[i] * found.y[i] / found.x[i];
    (0..found.x.len()).map(ratio).collect()
}

fn scalar(file: Onnx, name: &str, value: f32) -> Onnx {
    file.tensor(floats(name, &[], vec![value]))
}

fn written_out_gelu() -> Onnx {
    let file = scalar(Onnx::image([-1, 2, 3, 2]), "root2", 2_f32.sqrt());
    scalar(scalar(file, "one", 1.0), "half", 0.5)
        .node("Div", &["x", "root2"], &["a"])
        .node("Erf", &["a"], &["b"])
        .node("Add", &["b", "one"], &["c"])
        .node("Mul", &["x", "c"], &["d"])
        .node("Mul", &["d", "half"], &["y"])
}

fn written_out_hard_swish() -> Onnx {
    let file = scalar(Onnx::image([-1, 2, 3, 2]), "three", 3.0);
    scalar(scalar(file, "zero", 0.0), "six", 6.0)
        .node("Add", &["x", "three"], &["a"])
        .node("Clip", &["a", "zero", "six"], &["b"])
        .node("Mul", &["x", "b"], &["c"])
        .node("Div", &["c", "six"], &["y"])
}

fn written_out_silu() -> Onnx {
    Onnx::image([-1, 2, 3, 2])
        .node("Sigmoid", &["x"], &["s"])
        .node("Mul", &["x", "s"], &["y"])
}

/// `x / 2 + x / 2 erf(x / root2)`, or the half at the end.
fn gelu_as_a_sum(half_at_the_end: bool) -> Onnx {
    let file = scalar(Onnx::image([-1, 2, 3, 2]), "root2", 2_f32.sqrt());
    let file = scalar(file, "half", 0.5)
        .node("Div", &["x", "root2"], &["a"])
        .node("Erf", &["a"], &["b"]);
    match half_at_the_end {
        true => file
            .node("Mul", &["x", "b"], &["c"])
            .node("Add", &["x", "c"], &["d"])
            .node("Mul", &["half", "d"], &["y"]),
        false => file
            .node("Mul", &["x", "half"], &["h"])
            .node("Mul", &["b", "x"], &["c"])
            .node("Mul", &["half", "c"], &["d"])
            .node("Add", &["d", "h"], &["y"]),
    }
}

/// `x / (1 + exp(-x))` with the reciprocal on its own.
fn silu_by_a_reciprocal() -> Onnx {
    scalar(Onnx::image([-1, 2, 3, 2]), "one", 1.0)
        .node("Neg", &["x"], &["n"])
        .node("Exp", &["n"], &["e"])
        .node("Add", &["e", "one"], &["d"])
        .node("Reciprocal", &["d"], &["s"])
        .node("Mul", &["x", "s"], &["y"])
}

#[test]
fn an_odd_function_is_a_gate_only_where_the_signal_is_added() {
    let gate = Rules::new().on_operators(Algebra::Product, SignalTakesAll::new());
    let odd = || {
        Onnx::image([-1, 2, 3, 2])
            .node("Erf", &["x"], &["b"])
            .node("Mul", &["x", "b"], &["c"])
    };
    let exponential = odd()
        .node("Exp", &["x"], &["o"])
        .node("Add", &["c", "o"], &["y"]);
    let twice = odd().node("Add", &["c", "c"], &["y"]);
    let read_twice = odd()
        .node("Add", &["c", "x"], &["d"])
        .node("Mul", &["c", "d"], &["y"]);
    for file in [exponential, twice, read_twice] {
        let refused = differentiate(&open(file), [2, 2, 3, 2], &gate);
        let text = refused.err().unwrap().to_string();
        assert!(text.contains("sigmoid or the like"), "{text}");
    }
}

#[test]
fn activations_that_are_written_out_get_the_identity_rule() {
    let gate = Rules::new().on_operators(Algebra::Product, SignalTakesAll::new());
    for file in [
        written_out_gelu(),
        gelu_as_a_sum(false),
        gelu_as_a_sum(true),
        written_out_hard_swish(),
        written_out_silu(),
        silu_by_a_reciprocal(),
    ] {
        let model = open(file);
        for rules in [&gate, &Rules::attn_lrp()] {
            let found = differentiate(&model, [2, 2, 3, 2], rules).unwrap();
            assert_close(&found.gradient, &identity_rule(&found));
            assert_eq!(found.uses.iter().map(|(_, n)| n).sum::<usize>(), 1);
        }
    }
    for kind in ["HardSwish", "Gelu"] {
        let file = Onnx::image([-1, 2, 3, 2]).opset(20);
        let model = open(file.node(kind, &["x"], &["y"]));
        let found = differentiate(&model, [2, 2, 3, 2], &Rules::attn_lrp()).unwrap();
        assert_close(&found.gradient, &identity_rule(&found));
        assert_eq!(found.uses, [("constant factor".to_owned(), 1)]);
    }
}

#[test]
fn squeeze_and_excitation_hands_all_to_the_signal() {
    let model = open(
        Onnx::image([-1, 3, 2, 2])
            .node("GlobalAveragePool", &["x"], &["p"])
            .weight("w", &[3, 3, 1, 1])
            .node("Conv", &["p", "w"], &["e"])
            .node("HardSigmoid", &["e"], &["s"])
            .node("Mul", &["s", "x"], &["y"]),
    );
    let rules = Rules::new().on_operators(OpKind::Mul, SignalTakesAll::new());
    let found = differentiate(&model, [2, 3, 2, 2], &rules).unwrap();
    assert_close(&found.gradient, &identity_rule(&found));
    let plain = differentiate(&model, [2, 3, 2, 2], &Rules::new()).unwrap();
    assert!(relative_error(&plain.gradient, &found.gradient) > 0.01);
    // Half each is half of the true gradient where all of it goes through the product.
    let rules = Rules::new().on_operators(Algebra::Product, UniformProduct);
    let halves = differentiate(&model, [2, 3, 2, 2], &rules).unwrap();
    let half: Vec<f32> = plain.gradient.iter().map(|d| d / 2.0).collect();
    assert_close(&halves.gradient, &half);
    assert_eq!(halves.uses, [("uniform product".to_owned(), 1)]);
}

/// The gradient of `s (x - mean) / deviation + b` with the deviation a number, by loops. `row` numbers
/// are normalised together; `scale` is that of each number.
fn with_constant_deviation(found: &Found, row: usize, centred: bool, scale: &[f32]) -> Vec<f32> {
    const EPSILON: f64 = 1e-2;
    let mut made = Vec::new();
    for (start, x) in (0..).step_by(row).zip(found.x.chunks(row)) {
        let n = row as f64;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
        let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let centre = if centred { mean(&x) } else { 0.0 };
        let squares: Vec<f64> = x.iter().map(|v| (v - centre).powi(2)).collect();
        let deviation = (mean(&squares) + EPSILON).sqrt();
        let g: Vec<f64> = (start..start + row)
            .map(|i| f64::from(found.g[i]) * f64::from(scale[i]) / deviation)
            .collect();
        let taken = if centred { mean(&g) } else { 0.0 };
        made.extend(g.iter().map(|g| (g - taken) as f32));
    }
    made
}

#[test]
fn normalisations_with_constant_statistics() {
    let rules = Rules::new().on_operators(Algebra::Normalization, ConstantStatistics);
    let shape = [2, 4, 3, 2];
    let count = shape.iter().product::<usize>();
    let last = noise(6, 5);
    let channels = noise(4, 6);
    let bias = |file: Onnx, n: i64| file.weight("b", &[n]);
    let image = || Onnx::image([-1, 4, 3, 2]).opset(23);
    let of_last = |i: usize| last[i % 6];
    let of_channel = |i: usize| channels[i / 6 % 4];
    let scales = |of: &dyn Fn(usize) -> f32| (0..count).map(of).collect::<Vec<f32>>();

    let over_last = |kind: &str, inputs: &[&str]| {
        let file = image()
            .tensor(floats("s", &[3, 2], last.clone()))
            .weight("b", &[3, 2])
            .node(kind, inputs, &["y"])
            .int("axis", 2)
            .float("epsilon", 1e-2);
        open(file)
    };
    let by_channel = |kind: &str, groups: Option<i64>| {
        let file = bias(image().tensor(floats("s", &[4], channels.clone())), 4)
            .node(kind, &["x", "s", "b"], &["y"])
            .float("epsilon", 1e-2);
        open(match groups {
            Some(groups) => file.int("num_groups", groups),
            None => file,
        })
    };
    for (model, row, centred, scale) in [
        (
            over_last("LayerNormalization", &["x", "s", "b"]),
            6,
            true,
            scales(&of_last),
        ),
        (
            over_last("RMSNormalization", &["x", "s"]),
            6,
            false,
            scales(&of_last),
        ),
        (
            by_channel("InstanceNormalization", None),
            6,
            true,
            scales(&of_channel),
        ),
        (
            by_channel("GroupNormalization", Some(2)),
            12,
            true,
            scales(&of_channel),
        ),
    ] {
        let found = differentiate(&model, shape, &rules).unwrap();
        assert_close(
            &found.gradient,
            &with_constant_deviation(&found, row, centred, &scale),
        );
        let plain = differentiate(&model, shape, &Rules::new()).unwrap();
        assert!(relative_error(&plain.gradient, &found.gradient) > 0.01);
    }
    let lp = open(image().node("LpNormalization", &["x"], &["y"]));
    let error = differentiate(&lp, shape, &rules).err().unwrap().to_string();
    assert!(
        error.contains("LpNormalization") && error.contains("LayerNormalization"),
        "{error}"
    );
}

#[test]
fn a_layer_normalisation_that_is_written_out() {
    let file = scalar(scalar(Onnx::image([-1, 2, 3, 4]), "e", 1e-2), "two", 2.0);
    let model = open(
        file.node("ReduceMean", &["x"], &["m"])
            .ints("axes", &[-1])
            .node("Sub", &["x", "m"], &["c"])
            .node("Pow", &["c", "two"], &["q"])
            .node("ReduceMean", &["q"], &["v"])
            .ints("axes", &[-1])
            .node("Add", &["v", "e"], &["ve"])
            .node("Sqrt", &["ve"], &["d"])
            .node("Div", &["c", "d"], &["y"]),
    );
    let rules = Rules::conservative_propagation();
    let found = differentiate(&model, [2, 2, 3, 4], &rules).unwrap();
    let ones = vec![1.0; 48];
    assert_close(
        &found.gradient,
        &with_constant_deviation(&found, 4, true, &ones),
    );
}

/// The same attention as one operator and written out.
fn attention(is_one: bool) -> BoundGraph {
    let file = Onnx::image([-1, 2, 4, 6])
        .opset(23)
        .weight("wq", &[6, 4])
        .weight("wk", &[6, 4])
        .weight("wv", &[6, 4])
        .node("MatMul", &["x", "wq"], &["q"])
        .node("MatMul", &["x", "wk"], &["k"])
        .node("MatMul", &["x", "wv"], &["v"]);
    open(match is_one {
        true => file
            .node("Attention", &["q", "k", "v"], &["y"])
            .float("scale", 0.5),
        false => scalar(file, "half", 0.5)
            .node("Transpose", &["k"], &["kt"])
            .ints("perm", &[0, 1, 3, 2])
            .node("MatMul", &["q", "kt"], &["s"])
            .node("Mul", &["s", "half"], &["scaled"])
            .node("Softmax", &["scaled"], &["p"])
            .node("MatMul", &["p", "v"], &["y"]),
    })
}

#[test]
fn attention_is_the_same_as_one_operator_and_written_out() {
    for rules in [
        Rules::conservative_propagation(),
        Rules::attn_lrp(),
        Rules::new(),
    ] {
        let of = |is_one| differentiate(&attention(is_one), [2, 2, 4, 6], &rules).unwrap();
        let (one, many) = (of(true), of(false));
        assert_close(&one.gradient, &many.gradient);
        assert_eq!(one.uses.len(), usize::from(!rules.is_empty()));
    }
    // Values that are a weight are no place for the rule.
    let file = Onnx::image([-1, 2, 4, 6])
        .opset(23)
        .weight("v", &[1, 2, 4, 6]);
    let fixed = open(file.node("Attention", &["x", "x", "v"], &["y"]));
    let error = differentiate(&fixed, [1, 2, 4, 6], &Rules::attn_lrp());
    let error = error.err().unwrap().to_string();
    assert!(error.contains("its values are no input"), "{error}");
}

/// Rules in whole networks as three exporters write them: how many operators each takes.
#[test]
fn vision_transformers_of_today() {
    let Some(assets) = elucid_testkit::assets() else {
        return;
    };
    let uses = |file: &str, rules: &Rules| {
        let path = assets.join("models/modern").join(file);
        let bytes = generated::with_weights(&path, 1.0);
        let model = BoundGraph::new(elucid_onnx::import(bytes).unwrap(), &device());
        let input = model.graph().inputs()[0].value;
        let output = model.graph().outputs()[0];
        let [input, output] = [input, output].map(|value| model.graph().name(value));
        let pixels = elucid_testkit::tensor(noise(3 * 224 * 224, 1), [1, 3, 224, 224]);
        let leaf = Activation::from(pixels).require_grad();
        let pass = model.pass().rules(rules).feed(input, leaf.clone());
        let fetched = pass.fetch([output]).unwrap();
        let scores = fetched.get(output).unwrap().rows();
        let gradients = scores.narrow(1, 7, 1).sum().backward();
        let gradient = numbers(&leaf.gradient(&gradients).unwrap());
        assert!(gradient.iter().all(|d| d.is_finite()) && gradient.iter().any(|d| *d != 0.0));
        let mut uses: Vec<(String, usize)> = fetched
            .rule_uses()
            .iter()
            .map(|used| (used.rule.clone(), used.operators))
            .collect();
        uses.sort();
        uses
    };
    let counted = |expected: &[(&str, usize)]| -> Vec<(String, usize)> {
        expected
            .iter()
            .map(|(rule, n)| ((*rule).to_owned(), *n))
            .collect()
    };
    let conservative = Rules::conservative_propagation();
    let attn_lrp = Rules::attn_lrp();
    let product = "signal takes all, else uniform product";
    assert_eq!(
        uses("tm_vit_tiny_legacy13.onnx", &conservative),
        counted(&[("constant divisor", 25), ("detached", 12)])
    );
    // Two products of each attention, and one of each GELU.
    assert_eq!(
        uses("tm_vit_tiny_legacy13.onnx", &attn_lrp),
        counted(&[("constant divisor", 25), (product, 36)])
    );
    assert_eq!(
        uses("tm_vit_tiny_dynamic_batch.onnx", &attn_lrp),
        counted(&[
            ("constant factor", 12),
            ("constant statistics", 25),
            (product, 24)
        ])
    );
    assert_eq!(
        uses("tm_vit_tiny_opset23.onnx", &conservative),
        counted(&[("constant attention", 12), ("constant statistics", 25)])
    );
}

/// One head of attention over four tokens, a residual sum, a layer normalisation and a classifier,
/// without biases.
fn transformer() -> BoundGraph {
    open(
        Onnx::image([1, 6, 2, 2])
            .opset(17)
            .list("tokens", &[1, 4, 6])
            .node("Reshape", &["x", "tokens"], &["t"])
            .weight("wq", &[6, 5])
            .weight("wk", &[6, 5])
            .weight("wv", &[6, 6])
            .node("MatMul", &["t", "wq"], &["q"])
            .node("MatMul", &["t", "wk"], &["k"])
            .node("MatMul", &["t", "wv"], &["v"])
            .node("Transpose", &["k"], &["kt"])
            .ints("perm", &[0, 2, 1])
            .node("MatMul", &["q", "kt"], &["scores"])
            .node("Softmax", &["scores"], &["p"])
            .int("axis", -1)
            .node("MatMul", &["p", "v"], &["mixed"])
            .node("Add", &["mixed", "t"], &["r"])
            .weight("scale", &[6])
            .node("LayerNormalization", &["r", "scale"], &["n"])
            .weight("w1", &[6, 8])
            .node("MatMul", &["n", "w1"], &["h"])
            .node("Relu", &["h"], &["a"])
            .node("ReduceMean", &["a"], &["pooled"])
            .ints("axes", &[1])
            .int("keepdims", 0)
            .weight("w2", &[8, 3])
            .node("MatMul", &["pooled", "w2"], &["y"]),
    )
}

#[test]
fn conservative_propagation_conserves() {
    let sum = |rules: &Rules| {
        let found = differentiate(&transformer(), [1, 6, 2, 2], rules).unwrap();
        let product = |a: &[f32], b: &[f32]| -> f64 {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let expected = product(&found.y, &found.g);
        (
            (product(&found.x, &found.gradient) - expected) / expected,
            found.uses,
        )
    };
    let (error, uses) = sum(&Rules::conservative_propagation());
    assert!(error.abs() < 1e-4, "{error:.1e}");
    let expected = [("detached", 1), ("constant statistics", 1)];
    assert_eq!(uses, expected.map(|(rule, n)| (rule.to_owned(), n)));
    let (plain, uses) = sum(&Rules::new());
    assert!(plain.abs() > 0.05 && uses.is_empty(), "{plain:.1e}");
    let (_, uses) = sum(&Rules::attn_lrp());
    let product = "signal takes all, else uniform product".to_owned();
    assert!(uses.contains(&(product, 2)), "{uses:?}");
}

/// The gradient that positive weights would give: a rule that looks at weights.
#[derive(Debug)]
struct PositiveWeights;

impl OperatorRule for PositiveWeights {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        assert!(ran.is_constant(1) && !ran.is_live(1));
        let mut inputs = ran.inputs.clone();
        inputs[1] = inputs[1].take().map(|w| w.map(|w| w.clamp_min(0.0)));
        ran.pullback(inputs, g)
    }
}

#[test]
fn a_rule_at_an_operator_with_weights_sees_them_as_constants() {
    let weight = noise(2 * 3 * 9, 9);
    let network = |weight: Vec<f32>| {
        open(
            Onnx::image([-1, 3, 4, 4])
                .tensor(floats("w", &[2, 3, 3, 3], weight))
                .node("Conv", &["x", "w"], &["y"]),
        )
    };
    let positive = network(weight.iter().map(|w| w.max(0.0)).collect());
    let rules = Rules::new().on_operators(Algebra::Convolution, PositiveWeights);
    let found = differentiate(&network(weight.clone()), [2, 3, 4, 4], &rules).unwrap();
    let want = differentiate(&positive, [2, 3, 4, 4], &Rules::new()).unwrap();
    assert_close(&found.gradient, &want.gradient);
    let first = Rules::new().on_operators(Which::First, PositiveWeights);
    let found = differentiate(&network(weight), [2, 3, 4, 4], &first).unwrap();
    assert_close(&found.gradient, &want.gradient);
}

/// Twice the gradient.
#[derive(Debug)]
struct Twice;

impl OperatorRule for Twice {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        let twice = |d: AnyRank| d.map(|d| d * 2.0);
        ran.gradient(g).into_iter().map(|d| d.map(twice)).collect()
    }
}

#[test]
fn operators_with_several_outputs_and_many_inputs() {
    let model = open(
        Onnx::image([-1, 4, 2, 2])
            .node("Split", &["x"], &["a", "b"])
            .int("axis", 1)
            .node("Mul", &["a", "b"], &["c"])
            .node("Sum", &["a", "b", "c", "a"], &["d"])
            .node("Concat", &["d", "b", "a"], &["y"])
            .int("axis", 1),
    );
    let plain = differentiate(&model, [2, 4, 2, 2], &Rules::new()).unwrap();
    let twice = |kind: OpKind| {
        let rules = Rules::new().on_operators(kind, Twice);
        differentiate(&model, [2, 4, 2, 2], &rules)
            .unwrap()
            .gradient
    };
    let doubled: Vec<f32> = plain.gradient.iter().map(|d| 2.0 * d).collect();
    assert_close(&twice(OpKind::Split), &doubled);
    assert_close(&twice(OpKind::Concat), &doubled);
    assert!(relative_error(&twice(OpKind::Sum), &doubled) > 0.01);
}

/// For one tensor.
#[derive(Debug)]
struct Plain;

impl GradRule for Plain {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    fn backward(&self, _x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        g
    }
}

#[test]
fn a_rule_for_one_tensor_says_what_it_cannot_see() {
    let refused = |model: &BoundGraph, shape, kind: OpKind, words: [&str; 2]| {
        let rules = Rules::new().on(kind, Plain);
        let error = differentiate(model, shape, &rules)
            .err()
            .unwrap()
            .to_string();
        for word in words.into_iter().chain(["`Plain`", "OperatorRule"]) {
            assert!(error.contains(word), "{word}: {error}");
        }
    };
    let silu = open(written_out_silu());
    refused(
        &silu,
        [1, 2, 3, 2],
        OpKind::Mul,
        ["Mul", "inputs 0 and 1 depend on the image"],
    );
    let conv = open(Onnx::image([-1, 3, 2, 2]).weight("w", &[2, 3, 1, 1]).node(
        "Conv",
        &["x", "w"],
        &["y"],
    ));
    refused(&conv, [1, 3, 2, 2], OpKind::Conv, ["Conv", "no weights"]);
}

#[test]
fn rules_by_depth() {
    let mut file = Onnx::image([-1, 2, 2, 2]).weight("w", &[2, 2, 1, 1]);
    let mut at = "x".to_owned();
    for layer in ["1", "2", "3"] {
        let (conv, relu) = (format!("conv{layer}"), format!("relu{layer}"));
        file = file
            .node("Conv", &[&at, "w"], &[&conv])
            .node("Relu", &[&conv], &[&relu]);
        at = relu;
    }
    let model = open(
        file.node("Flatten", &[&at], &["flat"])
            .weight("dense", &[8, 2])
            .node("Gemm", &["flat", "dense"], &["y"]),
    );
    let relus = |depth: Which| {
        let which = Which::All(vec![OpKind::Relu.into(), depth]);
        let rules = Rules::new().on_operators(which, GuidedActivation);
        differentiate(&model, [1, 2, 2, 2], &rules).map(|found| found.uses[0].1)
    };
    assert_eq!(relus(Which::FirstLayers(2)).unwrap(), 2);
    assert_eq!(relus(Which::FirstLayers(9)).unwrap(), 3);
    assert_eq!(relus(Which::LastLayers(2)).unwrap(), 1);
    assert_eq!(relus(Which::Depth(0.0, 0.5)).unwrap(), 2);
    assert_eq!(relus(Which::Depth(0.5, 0.75)).unwrap(), 1);
    let error = relus(Which::LastLayers(1)).err().unwrap().to_string();
    assert!(error.contains("Relu in the last layer"), "{error}");
    let error = relus(Which::Depth(0.75, 1.0)).err().unwrap().to_string();
    assert!(error.contains("0.75 to 1.00"), "{error}");
}
