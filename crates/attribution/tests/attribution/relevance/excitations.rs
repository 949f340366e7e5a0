//! Excitations through attention and normalisations.

use elucid_attribution::{
    AttributionError, Attributor, ContrastiveExcitationBackprop, ExcitationBackprop, Target,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::relative_error;
use elucid_vision::Model;

use super::{close, dense, images, matrix, model, noise, says, three};

/// HardSwish of -2 is -1/3: what the last layer reads goes below 0, and no share of it is a probability.
#[test]
fn excitations_of_signed_numbers_are_refused() {
    let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let network = matrix(dense().opset(14), "i", [3, 3], &identity)
        .node("Gemm", &["f", "i"], &["z"])
        .node("HardSwish", &["z"], &["h"]);
    let model =
        model(&matrix(network, "ones", [3, 1], &[1.0; 3]).node("Gemm", &["h", "ones"], &["y"]));
    let explain = |x: [f32; 3], signed: bool| {
        let plain = ExcitationBackprop::at("h").allow_signed(signed);
        let contrast = ContrastiveExcitationBackprop::at("h").allow_signed(signed);
        let methods: [Box<dyn Attributor>; 2] = [Box::new(plain), Box::new(contrast)];
        methods.map(|method| method.attribute(&model, &three(x), Target::class(0)))
    };
    for (found, method) in explain([1.0, -2.0, 3.0], false)
        .into_iter()
        .zip(["excitation", "contrastive"])
    {
        let error = found.unwrap_err();
        assert!(matches!(error, AttributionError::Signed { .. }), "{error}");
        for word in [method, "Gemm \"make_y\"", "epsilon-plus", "allow_signed"] {
            says(&error, word);
        }
    }
    let [plain, _] = explain([1.0, -2.0, 3.0], true);
    let h = [2.0 / 3.0, -1.0 / 3.0, 3.0];
    close(&plain.unwrap(), &h.map(|h| h / (10.0 / 3.0)));
    let [plain, _] = explain([1.0, 2.0, 3.0], false);
    close(
        &plain.unwrap(),
        &[1.0, 2.0, 3.0].map(|x: f32| x * (x + 3.0) / 32.0),
    );
}

/// Four tokens of three numbers that attend to each other; values `v` are 0 or more unless they are signed.
fn attending(is_one: bool, is_signed: bool) -> Model {
    let network = Onnx::image([1, 1, 4, 3])
        .opset(23)
        .weight("wq", &[3, 3])
        .weight("wk", &[3, 3])
        .node("MatMul", &["x", "wq"], &["q"])
        .node("MatMul", &["x", "wk"], &["k"]);
    let network = matrix(network, "wv", [3, 3], &noise(9, 5))
        .node("MatMul", &["x", "wv"], &["w"])
        .node(if is_signed { "Identity" } else { "Relu" }, &["w"], &["v"]);
    let network = match is_one {
        true => network
            .node("Attention", &["q", "k", "v"], &["h"])
            .float("scale", 1.0),
        false => network
            .node("Transpose", &["k"], &["t"])
            .ints("perm", &[0, 1, 3, 2])
            .node("MatMul", &["q", "t"], &["s"])
            .node("Softmax", &["s"], &["a"])
            .int("axis", -1)
            .node("MatMul", &["a", "v"], &["h"]),
    };
    let network = network
        .list("axes", &[1, 2])
        .node("ReduceMean", &["h", "axes"], &["m"])
        .int("keepdims", 0);
    model(&matrix(network, "c", [3, 2], &CLASSES).node("MatMul", &["m", "c"], &["y"]))
}

/// Weights of two classes, above and below 0.
const CLASSES: [f32; 6] = [0.7, -0.2, -0.4, 0.5, 0.9, 0.3];

/// What a head makes of its values is shared among these by the weights of attention, in loops.
#[test]
fn excitations_go_through_attention_to_the_values() {
    let x = images(&noise(12, 3), [1, 1, 4, 3]);
    let written = attending(false, false);
    let fetched = written
        .pass()
        .input(&x)
        .fetch(["a", "v", "h", "m"])
        .unwrap();
    let numbers = |name: &str| -> Vec<f64> {
        let values = fetched.get(name).unwrap().to_array().unwrap();
        values.iter().map(|&v| f64::from(v)).collect()
    };
    let (a, v, h, m) = (numbers("a"), numbers("v"), numbers("h"), numbers("m"));
    let c = CLASSES.map(|w| f64::from(w).max(0.0));
    for class in 0..2 {
        let response: f64 = (0..3).map(|j| m[j] * c[2 * j + class]).sum();
        // Of a channel's mean each token has what it adds to it, and each value what it adds to a token.
        let at_token = |i: usize, j: usize| {
            let at_mean = m[j] * c[2 * j + class] / response;
            let sum: f64 = (0..4).map(|i| h[3 * i + j]).sum();
            if sum == 0.0 {
                0.0
            } else {
                at_mean * h[3 * i + j] / sum
            }
        };
        let at_value = |k: usize, j: usize| -> f64 {
            let parts = (0..4).filter(|i| h[3 * i + j] != 0.0);
            let shares = parts.map(|i| at_token(i, j) * a[4 * i + k] * v[3 * k + j] / h[3 * i + j]);
            shares.sum()
        };
        let want: Vec<f32> = (0..12).map(|n| at_value(n / 3, n % 3) as f32).collect();
        assert!(want.iter().filter(|&&p| p > 0.01).count() > 3, "{want:?}");
        for is_one in [false, true] {
            let model = attending(is_one, false);
            let found = ExcitationBackprop::at("v").attribute(&model, &x, Target::class(class));
            let found = found.unwrap();
            close(&found, &want);
            let sum = found.completeness()[0].sum;
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }
    // Values below 0: no shares are probabilities, and it is said where.
    for is_one in [false, true] {
        let model = attending(is_one, true);
        let explain = |signed: bool| {
            let method = ExcitationBackprop::at("v").allow_signed(signed);
            method.attribute(&model, &x, Target::class(0))
        };
        let error = explain(false).unwrap_err();
        assert!(matches!(error, AttributionError::Signed { .. }), "{error}");
        says(&error, "\"make_h\"");
        says(&error, if is_one { "Attention" } else { "2 MatMul" });
        assert!(
            explain(true)
                .unwrap()
                .values()
                .iter()
                .all(|v| v.is_finite())
        );
    }
}

/// A layer normalisation hands on what arrives, as one operator and written out.
#[test]
fn excitations_pass_a_normalisation_in_any_spelling() {
    let explain = |written: bool| {
        let network = dense().opset(17);
        let network =
            matrix(network, "w", [3, 3], &noise(9, 5)).node("MatMul", &["f", "w"], &["z"]);
        let network = match written {
            false => network
                .tensor(floats("ones", &[3], vec![1.0; 3]))
                .node("LayerNormalization", &["z", "ones"], &["n"])
                .float("epsilon", 1e-2),
            true => network
                .node("ReduceMean", &["z"], &["mean"])
                .ints("axes", &[-1])
                .node("Sub", &["z", "mean"], &["d"])
                .tensor(floats("two", &[], vec![2.0]))
                .node("Pow", &["d", "two"], &["square"])
                .node("ReduceMean", &["square"], &["variance"])
                .ints("axes", &[-1])
                .tensor(floats("epsilon", &[], vec![1e-2]))
                .node("Add", &["variance", "epsilon"], &["more"])
                .node("Sqrt", &["more"], &["deviation"])
                .node("Div", &["d", "deviation"], &["n"]),
        };
        let network = matrix(network, "c", [3, 2], &CLASSES);
        let model = model(&network.node("MatMul", &["n", "c"], &["y"]));
        let method = ExcitationBackprop::at("z").allow_signed(true);
        let found = method.attribute(&model, &three([0.3, -1.0, 2.0]), Target::class(1));
        found
            .unwrap()
            .values()
            .iter()
            .copied()
            .collect::<Vec<f32>>()
    };
    let (one, written) = (explain(false), explain(true));
    assert!(one.iter().any(|&v| v != 0.0), "{one:?}");
    let error = relative_error(&one, &written);
    assert!(error < 1e-5, "{one:?} {written:?}");
}
