//! Relevance and DeepLIFT on small networks: by hand, against loops, and what is refused.

use burn::tensor::{Tensor, TensorData};
use elucid_attribution::relevance::{
    AlphaBeta, Epsilon, Excitation, Flat, Gamma, Norm, Pass, RelevanceRule, RelevanceRules,
    WSquare, Winner, ZBox, ZPlus,
};
use elucid_attribution::{
    Attribution, AttributionError, Attributor, Baseline, ContrastiveExcitationBackprop, DeepLift,
    ExcitationBackprop, Lrp, Method, MethodOptions, Target,
};
use elucid_graph::INPUT;
use elucid_rules::{Algebra, OpKind};
use elucid_testkit::onnx::{Onnx, floats, small_network};
use elucid_testkit::{device, relative_error};
use elucid_vision::Model;

fn model(network: &Onnx) -> Model {
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
}

/// Numbers between -1 and 1 that repeat nothing for a while.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn images(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
}

fn three(x: [f32; 3]) -> Tensor<4> {
    images(&x, [1, 3, 1, 1])
}

/// A dense network on three numbers, before its layers.
fn dense() -> Onnx {
    Onnx::image([-1, 3, 1, 1]).node("Flatten", &["x"], &["f"])
}

fn matrix(network: Onnx, name: &str, shape: [i64; 2], values: &[f32]) -> Onnx {
    network.tensor(floats(name, &shape, values.to_vec()))
}

fn close(got: &Attribution, want: &[f32]) {
    let values: Vec<f32> = got.values().iter().copied().collect();
    assert_eq!(values.len(), want.len(), "{values:?}");
    let error = relative_error(&values, want);
    assert!(error < 1e-5, "{values:?} instead of {want:?}");
}

/// `h = relu(x0 + x1 + x2, x0 - 2 x2)`, scores `2 h0 - h1` and `h0 + h1`.
fn two_layers() -> Model {
    let network = matrix(dense(), "w1", [3, 2], &[1.0, 1.0, 1.0, 0.0, 1.0, -2.0])
        .node("Gemm", &["f", "w1"], &["z"])
        .node("Relu", &["z"], &["h"]);
    let network = matrix(network, "w2", [2, 2], &[2.0, 1.0, -1.0, 1.0]);
    model(&network.node("Gemm", &["h", "w2"], &["y"]))
}

#[test]
fn two_layers_by_hand() {
    let model = two_layers();
    // h = (2, 3), scores 1 and 5.
    let x = three([1.0, 2.0, -1.0]);
    let lrp = |method: Lrp| method.attribute(&model, &x, Target::class(0)).unwrap();
    let epsilon = lrp(Lrp::epsilon());
    close(&epsilon, &[1.0, 4.0, -4.0]);
    assert!(epsilon.completeness_error().unwrap() < 1e-5);
    assert_eq!(epsilon.rules(), "epsilon");
    close(&lrp(Lrp::epsilon().at("h")), &[4.0, -3.0]);
    // 1 goes to h0 alone; there x0 and x1 speak for it, 1 to 2.
    let plus = RelevanceRules::new()
        .on(OpKind::Gemm, ZPlus::default())
        .on(OpKind::Relu, Pass);
    close(&lrp(Lrp::new(plus)), &[1.0 / 3.0, 2.0 / 3.0, 0.0]);

    let ebp = |class: usize, layer: &str| {
        ExcitationBackprop::at(layer)
            .allow_input(true)
            .attribute(&model, &x, Target::class(class))
            .unwrap()
    };
    close(&ebp(0, "h"), &[1.0, 0.0]);
    close(&ebp(1, "h"), &[0.4, 0.6]);
    close(&ebp(1, INPUT), &[0.8, 0.4, -0.2]);
    // Against class 0 speaks h1 alone, for it h0.
    let contrast = ContrastiveExcitationBackprop::at("h");
    close(
        &contrast.attribute(&model, &x, Target::class(0)).unwrap(),
        &[1.0, -1.0],
    );

    // Multipliers of h: 2 and -1; both neurons are on, their ratios 1.
    let deep = DeepLift::at_input().attribute(&model, &x, Target::class(0));
    close(&deep.unwrap(), &[1.0, 4.0, -4.0]);
    // From (0, 0, 2): z0 from 2 to 2, z1 from -4 to 3, of which the ReLU keeps 3.
    let deep = DeepLift::at_input()
        .baseline(Baseline::image(&three([0.0, 0.0, 2.0])))
        .attribute(&model, &x, Target::class(0))
        .unwrap();
    let m1 = -3.0 / 7.0;
    close(&deep, &[2.0 + m1, 4.0, -3.0 * (2.0 - 2.0 * m1)]);
    assert!(deep.completeness_error().unwrap() < 1e-5);
}

fn says(error: &AttributionError, word: &str) {
    assert!(error.to_string().contains(word), "{error}");
}

/// `a + b` with `b = (2 a0, -a1 / 2, a0)`, summed.
#[test]
fn a_residual_sum_by_hand() {
    let network = dense().node("Relu", &["f"], &["a"]);
    let network = matrix(
        network,
        "w",
        [3, 3],
        &[2.0, 0.0, 1.0, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0],
    )
    .node("Gemm", &["a", "w"], &["b"])
    .node("Add", &["a", "b"], &["s"]);
    let model =
        model(&matrix(network, "ones", [3, 1], &[1.0; 3]).node("Gemm", &["s", "ones"], &["y"]));
    let x = three([1.0, 2.0, 3.0]);
    let lrp = Lrp::epsilon().attribute(&model, &x, Target::class(0));
    close(&lrp.unwrap(), &[4.0, 1.0, 3.0]);
    let deep = DeepLift::at_input().attribute(&model, &x, Target::class(0));
    close(&deep.unwrap(), &[4.0, 1.0, 3.0]);
    // Of s, which gets (3, 1, 4) / 8, the branches have (1, 2, 3) / 8 and (2, -1, 1) / 8; what b0
    // and b2 have comes from a0, and nothing excites b1.
    let ebp = ExcitationBackprop::at("a")
        .allow_input(true)
        .attribute(&model, &x, Target::class(0));
    close(&ebp.unwrap(), &[4.0 / 8.0, 2.0 / 8.0, 3.0 / 8.0]);
}

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

/// A range that ends at 0 is a ReLU: what lies beyond it has the secant, what is rounded its difference.
#[test]
fn a_quantised_layer_by_hand() {
    let network = dense()
        .tensor(floats("scale", &[], vec![0.1]))
        .node("QuantizeLinear", &["f", "scale"], &["q"])
        .node("DequantizeLinear", &["q", "scale"], &["d"]);
    let model =
        model(&matrix(network, "w", [3, 1], &[1.0, 2.0, -3.0]).node("MatMul", &["d", "w"], &["y"]));
    let explain = |x: [f32; 3], baseline: f32| {
        let method = DeepLift::at_input().baseline(Baseline::constant([baseline; 3]));
        method
            .attribute(&model, &three(x), Target::class(0))
            .unwrap()
    };
    // 1.23 is 12 steps, -0.7 is below the range, 0.34 is 3 steps.
    let found = explain([1.23, -0.7, 0.34], 0.0);
    close(&found, &[1.2, 0.0, -0.9]);
    assert!(found.completeness_error().unwrap() < 1e-6, "{found}");
    // From below the range: only what lies inside counts.
    let found = explain([1.23, 0.52, -0.9], -0.7);
    close(&found, &[1.2, 1.0, 0.0]);
    assert!(found.completeness_error().unwrap() < 1e-6, "{found}");
    // From above the range, 25.5, and down into it.
    let found = explain([40.0, 25.0, 20.0], 30.0);
    close(&found, &[0.0, -1.0, 16.5]);
    assert!(found.completeness_error().unwrap() < 1e-6, "{found}");
    // Less than a step is the slope's, whatever rounding makes of it.
    close(&explain([0.04, 0.06, -0.01], 0.0), &[0.04, 0.12, 0.03]);
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

/// `relu(z) + z`: the ReLU's input has a second reader.
#[test]
fn two_readers_by_hand() {
    let network = matrix(
        dense(),
        "i",
        [3, 3],
        &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    )
    .node("Gemm", &["f", "i"], &["z"])
    .node("Relu", &["z"], &["r"])
    .node("Add", &["r", "z"], &["s"]);
    let model =
        model(&matrix(network, "ones", [3, 1], &[1.0; 3]).node("Gemm", &["s", "ones"], &["y"]));
    let x = three([1.0, -2.0, 3.0]);
    for method in [
        Box::new(Lrp::epsilon()) as Box<dyn Attributor>,
        Box::new(DeepLift::at_input()),
    ] {
        let result = method.attribute(&model, &x, Target::class(0)).unwrap();
        close(&result, &[2.0, -2.0, 6.0]);
        assert!(result.completeness_error().unwrap() < 1e-5);
    }
}

/// The same weights in two operators.
#[test]
fn a_reused_operator_by_hand() {
    let w = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let network = matrix(dense(), "w", [3, 3], &w)
        .node("Gemm", &["f", "w"], &["h"])
        .node("Relu", &["h"], &["r"])
        .node("Gemm", &["r", "w"], &["g"]);
    let model =
        model(&matrix(network, "ones", [3, 1], &[1.0; 3]).node("Gemm", &["g", "ones"], &["y"]));
    let x = three([1.0, 2.0, 3.0]);
    for method in [
        Box::new(Lrp::epsilon()) as Box<dyn Attributor>,
        Box::new(DeepLift::at_input()),
    ] {
        let result = method.attribute(&model, &x, Target::class(0)).unwrap();
        close(&result, &[3.0, 2.0, 3.0]);
    }
}

/// Windows `(0, 1)` and `(1, 2)` of three rows, summed.
#[test]
fn overlapping_windows_by_hand() {
    let network = Onnx::image([-1, 3, 1, 3])
        .node("MaxPool", &["x"], &["pool"])
        .ints("kernel_shape", &[1, 2])
        .node("Flatten", &["pool"], &["f"]);
    let model =
        model(&matrix(network, "ones", [6, 1], &[1.0; 6]).node("Gemm", &["f", "ones"], &["y"]));
    let x = images(&[1.0, 5.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.5, 1.0], [1, 3, 1, 3]);
    let baseline = images(&[3.0, 0.0, 4.0, 4.0, 0.0, 3.0, 0.0, 6.0, 0.0], [1, 3, 1, 3]);
    let deep = DeepLift::at_input()
        .baseline(Baseline::image(&baseline))
        .attribute(&model, &x, Target::class(0))
        .unwrap();
    // Gains of 2 and 1 to the winner of both windows; losses of 2 and 1 to the baseline's winners;
    // losses of 4.5 twice to the winner that the baseline has in both.
    close(&deep, &[0.0, 3.0, 0.0, -2.0, 0.0, -1.0, 0.0, -9.0, 0.0]);
    let lrp = Lrp::epsilon().attribute(&model, &x, Target::class(0));
    close(
        &lrp.unwrap(),
        &[0.0, 10.0, 0.0, 0.0, 4.0, 0.0, 0.0, 3.0, 0.0],
    );
}

/// How a convolution and a batch normalisation of what it makes are written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Spelling {
    /// One convolution.
    Merged,
    Operators,
    /// The bias of the convolution is a sum.
    OwnBias,
    /// A product and a sum with a constant for each channel.
    Affine,
    /// Less the mean, over the deviation, times the scale, plus the offset.
    WrittenOut,
}

/// A convolution of three groups and a batch normalisation.
fn normalised(spelling: Spelling) -> Model {
    let (weights, bias) = (noise(6 * 9, 1), noise(6, 2));
    let scale: Vec<f32> = noise(6, 3).iter().map(|v| v + 0.3).collect();
    let (offset, mean) = (noise(6, 4), noise(6, 5));
    let variance: Vec<f32> = noise(6, 6).iter().map(|v| v * 0.4 + 0.6).collect();
    let deviation: Vec<f32> = variance.iter().map(|v| (v + 1e-5).sqrt()).collect();
    let factor: Vec<f32> = (0..6).map(|c| scale[c] / deviation[c]).collect();
    let rest = (0..6).map(|c| offset[c] - mean[c] * factor[c]).collect();
    let channels = |name: &str, values: Vec<f32>| floats(name, &[6, 1, 1], values);
    let convolution = |w: Vec<f32>, b: Vec<f32>, out: &str| {
        Onnx::image([-1, 3, 5, 5])
            .tensor(floats("w", &[6, 1, 3, 3], w))
            .tensor(floats("b", &[6], b))
            .node("Conv", &["x", "w", "b"], &[out])
            .int("group", 3)
    };
    let batch_norm = |network: Onnx, x: &str| {
        network
            .tensor(floats("scale", &[6], scale.clone()))
            .tensor(floats("offset", &[6], offset.clone()))
            .tensor(floats("mean", &[6], mean.clone()))
            .tensor(floats("variance", &[6], variance.clone()))
            .node(
                "BatchNormalization",
                &[x, "scale", "offset", "mean", "variance"],
                &["n"],
            )
    };
    let network = match spelling {
        Spelling::Merged => {
            let w = weights.iter().enumerate().map(|(i, w)| w * factor[i / 9]);
            let b = (0..6).map(|c| (bias[c] - mean[c]) * factor[c] + offset[c]);
            convolution(w.collect(), b.collect(), "n")
        }
        Spelling::Operators => batch_norm(convolution(weights, bias, "c"), "c"),
        Spelling::OwnBias => {
            let network = Onnx::image([-1, 3, 5, 5])
                .tensor(floats("w", &[6, 1, 3, 3], weights))
                .node("Conv", &["x", "w"], &["product"])
                .int("group", 3)
                .tensor(channels("b", bias))
                .node("Add", &["b", "product"], &["c"]);
            batch_norm(network, "c")
        }
        Spelling::Affine => convolution(weights, bias, "c")
            .tensor(channels("factor", factor))
            .tensor(channels("rest", rest))
            .node("Mul", &["c", "factor"], &["scaled"])
            .node("Add", &["scaled", "rest"], &["n"]),
        Spelling::WrittenOut => convolution(weights, bias, "c")
            .tensor(channels("mean", mean))
            .tensor(channels("deviation", deviation))
            .tensor(channels("scale", scale))
            .tensor(channels("offset", offset))
            .node("Sub", &["c", "mean"], &["centred"])
            .node("Div", &["centred", "deviation"], &["divided"])
            .node("Identity", &["divided"], &["passed"])
            .node("Mul", &["scale", "passed"], &["scaled"])
            .node("Add", &["scaled", "offset"], &["n"]),
    };
    let network = network
        .node("Relu", &["n"], &["r"])
        .node("GlobalAveragePool", &["r"], &["gap"])
        .node("Flatten", &["gap"], &["f"])
        .weight("w2", &[6, 4])
        .node("Gemm", &["f", "w2"], &["y"]);
    model(&network)
}

/// Every method that hands something down operator by operator.
fn handed_down() -> Vec<Box<dyn Attributor>> {
    let lrp = RelevanceRules::COMPOSITES
        .iter()
        .map(|name| Box::new(Lrp::new(RelevanceRules::composite(name).unwrap())) as Box<_>);
    lrp.chain([Box::new(DeepLift::at_input()) as Box<dyn Attributor>])
        .collect()
}

#[test]
fn batch_normalisation_is_merged() {
    let together = normalised(Spelling::Merged);
    let x = images(&noise(2 * 75, 9), [2, 3, 5, 5]);
    for spelling in [
        Spelling::Operators,
        Spelling::OwnBias,
        Spelling::Affine,
        Spelling::WrittenOut,
    ] {
        let apart = normalised(spelling);
        for method in handed_down() {
            let of = |model: &Model| method.attribute(model, &x, Target::class(2)).unwrap();
            let (apart, together) = (of(&apart), of(&together));
            let error = relative_error(apart.values(), together.values());
            assert!(error < 1e-5, "{spelling:?}, {}: {error:.1e}", apart.rules());
        }
    }
    let apart = normalised(Spelling::Operators);
    // Left alone, it hands relevance through unchanged.
    let kept = Lrp::new(RelevanceRules::epsilon().keeping_batch_norm());
    let at = |model: &Model, layer: &str| {
        let method = kept.clone().at(layer);
        let result = method.attribute(model, &x, Target::class(2)).unwrap();
        result.values().clone()
    };
    assert_eq!(at(&apart, "c"), at(&apart, "n"));
    assert_eq!(at(&apart, "n"), at(&apart, "r"));
    // A bias is one all the same.
    let own_bias = normalised(Spelling::OwnBias);
    let error = relative_error(&at(&own_bias, INPUT), &at(&apart, INPUT));
    assert!(error < 1e-5, "{error:.1e}");
}

/// `h = relu(x0 + x1 + x2 + 2, x0 - 2 x2 - 1)`, scores `2 h0 - h1 + 1` and `h0 + h1`, with the biases as
/// `spell` writes them: behind the product of two values, into a third.
fn with_biases(of_rows: bool, spell: fn(Onnx, [&str; 4], [f32; 2]) -> Onnx) -> Model {
    let network = match of_rows {
        true => dense()
            .list("rows", &[-1, 1, 3])
            .node("Reshape", &["f", "rows"], &["g"]),
        false => dense().node("Identity", &["f"], &["g"]),
    };
    let network = matrix(network, "w1", [3, 2], &[1.0, 1.0, 1.0, 0.0, 1.0, -2.0]);
    let network = spell(network, ["g", "w1", "b1", "z"], [2.0, -1.0]).node("Relu", &["z"], &["h"]);
    let network = matrix(network, "w2", [2, 2], &[2.0, 1.0, -1.0, 1.0]);
    let network = spell(network, ["h", "w2", "b2", "s"], [1.0, 0.0]);
    model(&network.node("Flatten", &["s"], &["y"]))
}

#[test]
fn a_sum_with_a_constant_is_a_bias_by_hand() {
    fn bias(network: Onnx, name: &str, values: [f32; 2]) -> Onnx {
        network.tensor(floats(name, &[2], values.to_vec()))
    }
    let one_operator: fn(Onnx, [&str; 4], [f32; 2]) -> Onnx =
        |network, [x, w, b, out], values| bias(network, b, values).node("Gemm", &[x, w, b], &[out]);
    let behind: fn(Onnx, [&str; 4], [f32; 2]) -> Onnx = |network, [x, w, b, out], values| {
        let product = format!("{out}/product");
        bias(network, b, values)
            .node("MatMul", &[x, w], &[&product])
            .node("Add", &[&product, b], &[out])
    };
    let before: fn(Onnx, [&str; 4], [f32; 2]) -> Onnx = |network, [x, w, b, out], values| {
        let [product, passed] = ["product", "passed"].map(|part| format!("{out}/{part}"));
        bias(network, b, values)
            .node("MatMul", &[x, w], &[&product])
            .node("Identity", &[&product], &[&passed])
            .node("Add", &[b, &passed], &[out])
    };
    // h = (4, 2), score 7: one of it is the last bias's.
    let x = three([1.0, 2.0, -1.0]);
    for (of_rows, spell) in [
        (false, one_operator),
        (false, behind),
        (false, before),
        (true, behind),
        (true, before),
    ] {
        let model = with_biases(of_rows, spell);
        let of = |method: &dyn Attributor| method.attribute(&model, &x, Target::class(0)).unwrap();
        close(&of(&Lrp::epsilon().at("h")), &[8.0, -2.0]);
        // Of 8 the inputs of h0 get x / 4 each, of -2 those of h1 x / 2; the biases take the rest.
        close(&of(&Lrp::epsilon()), &[1.0, 4.0, -4.0]);
        // h0 gets 8 of 7 / (8 + 1), and hands 1 and 2 of 5 on: 2 is the bias's.
        let plus = RelevanceRules::new()
            .on([Algebra::Dense], ZPlus::default())
            .then(RelevanceRules::epsilon());
        close(&of(&Lrp::new(plus)), &[56.0 / 45.0, 112.0 / 45.0, 0.0]);
        // No bias in excitations.
        close(
            &of(&ExcitationBackprop::at(INPUT).allow_input(true)),
            &[0.5, 1.0, -0.5],
        );
        // Two layers, and no sum.
        let uses = of(&Lrp::epsilon()).rule_uses().to_vec();
        let of_rule = |name: &str| uses.iter().find(|used| used.rule.starts_with(name));
        assert_eq!(
            of_rule("epsilon").map(|used| used.operators),
            Some(2),
            "{uses:?}"
        );
        assert!(of_rule("norm").is_none(), "{uses:?}");
        // Multipliers 2 and -1; from zeros, where z is (2, -1), the second ReLU keeps 2 of 3.
        let deep = of(&DeepLift::at_input());
        let m1 = -2.0 / 3.0;
        close(&deep, &[2.0 + m1, 4.0, -(2.0 - 2.0 * m1)]);
        assert!(deep.completeness_error().unwrap() < 1e-5);
    }
}

/// Nothing becomes part of a layer that something else reads as it is.
#[test]
fn a_product_with_two_readers_is_a_layer_of_its_own() {
    let network = matrix(dense(), "w1", [3, 2], &[1.0, 1.0, 1.0, 0.0, 1.0, -2.0])
        .node("MatMul", &["f", "w1"], &["product"])
        .tensor(floats("b", &[2], vec![2.0, -1.0]))
        .node("Add", &["product", "b"], &["sum"])
        .node("Mul", &["product", "two"], &["twice"])
        .tensor(floats("two", &[], vec![2.0]))
        .node("Add", &["sum", "twice"], &["y"]);
    let model = model(&network);
    // product = (2, 3), y = (8, 8): of 8, 4 come by the sum, which hands all of them on, and 4 by the rest.
    let x = three([1.0, 2.0, -1.0]);
    let method = Lrp::epsilon();
    let result = method.attribute(&model, &x, Target::class(0)).unwrap();
    close(&result, &[4.0, 8.0, -4.0]);
}

/// A convolution as a list of what each output reads: `(input, weight)` by their places.
struct Loops {
    x: Vec<f64>,
    w: Vec<f64>,
    b: Vec<f64>,
    /// For each output: its bias's place, and its inputs and weights.
    reads: Vec<(usize, Vec<(usize, usize)>)>,
}

impl Loops {
    fn y(&self, j: usize) -> f64 {
        let (bias, reads) = &self.reads[j];
        self.b[*bias]
            + reads
                .iter()
                .map(|&(i, w)| self.x[i] * self.w[w])
                .sum::<f64>()
    }

    /// Shares each output's relevance `y^2` by the numerators of a rule, which also says what the
    /// bias adds to their sum.
    fn share(&self, epsilon: f64, rule: &dyn Fn(&Self, usize) -> Shares) -> Vec<f64> {
        let mut relevance = vec![0.0; self.x.len()];
        for (j, (_, reads)) in self.reads.iter().enumerate() {
            let arrived = self.y(j) * self.y(j);
            for (numerators, extra, factor) in rule(self, j) {
                let sum = numerators.iter().sum::<f64>() + extra;
                let kept = sum + if sum < 0.0 { -epsilon } else { epsilon };
                for (&(i, _), n) in reads.iter().zip(numerators) {
                    relevance[i] += factor * n / kept * arrived;
                }
            }
        }
        relevance
    }

    fn products(&self, j: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let reads = self.reads[j].1.iter();
        reads.map(|&(i, w)| f(self.x[i] * self.w[w])).collect()
    }

    fn bias(&self, j: usize) -> f64 {
        self.b[self.reads[j].0]
    }
}

/// Numerators, what the bias adds to their sum, and a factor.
type Shares = Vec<(Vec<f64>, f64, f64)>;

fn above(v: f64) -> f64 {
    v.max(0.0)
}

fn below(v: f64) -> f64 {
    v.min(0.0)
}

type Twin = Box<dyn Fn(&Loops, usize) -> Shares>;

/// Every rule for weighted operators with what it says of output `j`, in words a reader can check.
fn twins(channels: usize) -> Vec<(Box<dyn RelevanceRule>, Twin)> {
    let low: Vec<f32> = (0..channels).map(|c| -1.5 - c as f32 * 0.25).collect();
    let high: Vec<f32> = (0..channels).map(|c| 1.25 + c as f32 * 0.5).collect();
    let bounds = [low.clone(), high.clone()];
    vec![
        (
            Box::new(Epsilon::default()),
            Box::new(|l, j| vec![(l.products(j, |p| p), l.bias(j), 1.0)]),
        ),
        (
            Box::new(ZPlus::default()),
            Box::new(|l, j| vec![(l.products(j, above), above(l.bias(j)), 1.0)]),
        ),
        (
            Box::new(AlphaBeta::new(3.0, 2.0)),
            Box::new(|l, j| {
                vec![
                    (l.products(j, above), above(l.bias(j)), 3.0),
                    (l.products(j, below), below(l.bias(j)), -2.0),
                ]
            }),
        ),
        (
            Box::new(Gamma::new(0.7)),
            Box::new(|l, j| {
                let part = if l.y(j) > 0.0 { above } else { below };
                let favoured = |p: f64| p + 0.7 * part(p);
                vec![(l.products(j, favoured), favoured(l.bias(j)), 1.0)]
            }),
        ),
        (
            Box::new(Flat),
            Box::new(|l, j| vec![(vec![1.0; l.reads[j].1.len()], 0.0, 1.0)]),
        ),
        (
            Box::new(WSquare),
            Box::new(|l, j| {
                let reads = l.reads[j].1.iter();
                vec![(reads.map(|&(_, w)| l.w[w] * l.w[w]).collect(), 0.0, 1.0)]
            }),
        ),
        (
            Box::new(ZBox::new(&low, &high)),
            Box::new(move |l, j| {
                let size = l.x.len() / 2 / channels;
                let reads = l.reads[j].1.iter().map(|&(i, w)| {
                    let c = i / size % channels;
                    let (low, high) = (f64::from(bounds[0][c]), f64::from(bounds[1][c]));
                    l.x[i] * l.w[w] - low * above(l.w[w]) - high * below(l.w[w])
                });
                vec![(reads.collect(), 0.0, 1.0)]
            }),
        ),
        (
            Box::new(Excitation),
            Box::new(|l, j| {
                let reads = l.reads[j].1.iter();
                let shares = reads.map(|&(i, w)| l.x[i] * above(l.w[w]));
                vec![(shares.collect(), 0.0, 1.0)]
            }),
        ),
    ]
}

/// Compares a rule on the layer `y`, whose relevance is `y^2`, with loops.
fn agrees(model: &Model, kind: OpKind, loops: &Loops, x: &Tensor<4>, channels: usize) {
    for (rule, twin) in twins(channels) {
        let name = rule.name();
        let rule: std::sync::Arc<dyn RelevanceRule> = rule.into();
        let rules = RelevanceRules::new().on(kind, rule);
        let half_square = Target::closure("out", |y| {
            let images = y.dims()[0];
            let squares = (y.clone() * y).reshape([images as i32, -1]).sum_dim(1) * 0.5;
            squares.reshape([images])
        });
        let got = Lrp::new(rules).attribute(model, x, half_square).unwrap();
        let epsilon = if name == "excitation" { 0.0 } else { 1e-6 };
        let want: Vec<f32> = loops
            .share(epsilon, &*twin)
            .iter()
            .map(|&v| v as f32)
            .collect();
        let error = relative_error(got.values(), &want);
        assert!(error < 1e-4, "{name}: {error:.1e}");
    }
}

#[test]
fn every_rule_is_its_twin_on_convolutions() {
    struct Case {
        size: [usize; 2],
        outputs: usize,
        kernel: [usize; 2],
        groups: usize,
        stride: [usize; 2],
        dilation: [usize; 2],
        pads: [usize; 4],
        signed: bool,
    }
    let cases = [
        Case {
            size: [5, 4],
            outputs: 4,
            kernel: [3, 3],
            groups: 1,
            stride: [1, 1],
            dilation: [1, 1],
            pads: [1, 1, 1, 1],
            signed: true,
        },
        Case {
            size: [8, 7],
            outputs: 6,
            kernel: [3, 2],
            groups: 3,
            stride: [2, 3],
            dilation: [1, 2],
            pads: [0, 1, 2, 0],
            signed: true,
        },
        Case {
            size: [6, 6],
            outputs: 2,
            kernel: [2, 2],
            groups: 1,
            stride: [3, 2],
            dilation: [2, 1],
            pads: [0, 0, 0, 0],
            signed: false,
        },
    ];
    for (seed, case) in (10..).step_by(10).zip(cases) {
        let ([h, w], [kh, kw], channels) = (case.size, case.kernel, 3);
        let (inner, per_group) = (channels / case.groups, case.outputs / case.groups);
        let weights = noise(case.outputs * inner * kh * kw, seed);
        let bias = noise(case.outputs, seed + 1);
        let mut x = noise(2 * channels * h * w, seed + 2);
        if !case.signed {
            x.iter_mut().for_each(|v| *v = v.abs());
        }
        let ints = |v: &[usize]| -> Vec<i64> { v.iter().map(|&v| v as i64).collect() };
        let network = Onnx::image([-1, 3, h as i64, w as i64])
            .tensor(floats(
                "w",
                &ints(&[case.outputs, inner, kh, kw]),
                weights.clone(),
            ))
            .tensor(floats("b", &[case.outputs as i64], bias.clone()))
            .node("Conv", &["x", "w", "b"], &["out"])
            .int("group", case.groups as i64)
            .ints("strides", &ints(&case.stride))
            .ints("dilations", &ints(&case.dilation))
            .ints("pads", &ints(&case.pads))
            .node("Identity", &["out"], &["y"]);
        let [top, left, bottom, right] = case.pads;
        let count = |size: usize, kernel: usize, axis: usize, pads: usize| {
            (size + pads - case.dilation[axis] * (kernel - 1) - 1) / case.stride[axis] + 1
        };
        let (oh, ow) = (count(h, kh, 0, top + bottom), count(w, kw, 1, left + right));
        let mut reads = Vec::new();
        for n in 0..2 {
            for o in 0..case.outputs {
                for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                    let mut window = Vec::new();
                    for c in 0..inner {
                        for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                            let row = y * case.stride[0] + ky * case.dilation[0];
                            let column = x * case.stride[1] + kx * case.dilation[1];
                            let inside =
                                (top..top + h).contains(&row) && (left..left + w).contains(&column);
                            if inside {
                                let channel = o / per_group * inner + c;
                                let i =
                                    ((n * channels + channel) * h + row - top) * w + column - left;
                                window.push((i, ((o * inner + c) * kh + ky) * kw + kx));
                            }
                        }
                    }
                    reads.push((o, window));
                }
            }
        }
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
        let loops = Loops {
            x: wide(&x),
            w: wide(&weights),
            b: wide(&bias),
            reads,
        };
        let x = images(&x, [2, channels, h, w]);
        agrees(&model(&network), OpKind::Conv, &loops, &x, channels);
    }
}

#[test]
fn every_rule_is_its_twin_on_dense_layers() {
    let (weights, bias, x) = (noise(12 * 5, 1), noise(5, 2), noise(2 * 12, 3));
    let reads = (0..2)
        .flat_map(|n| (0..5).map(move |o| (n, o)))
        .map(|(n, o)| (o, (0..12).map(|i| (n * 12 + i, i * 5 + o)).collect()))
        .collect();
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
    let mut loops = Loops {
        x: wide(&x),
        w: wide(&weights),
        b: wide(&bias),
        reads,
    };
    let x = images(&x, [2, 3, 2, 2]);
    let start = Onnx::image([-1, 3, 2, 2]).node("Flatten", &["x"], &["f"]);
    let plain = start
        .clone()
        .tensor(floats("w", &[12, 5], weights.clone()))
        .tensor(floats("b", &[5], bias.clone()))
        .node("Gemm", &["f", "w", "b"], &["out"])
        .node("Identity", &["out"], &["y"]);
    agrees(&model(&plain), OpKind::Gemm, &loops, &x, 12);
    // The same numbers with the weights transposed and factors on both.
    let transposed = (0..60).map(|i| weights[i % 12 * 5 + i / 12] / 4.0);
    let scaled = start
        .clone()
        .tensor(floats("w", &[5, 12], transposed.collect()))
        .tensor(floats("b", &[5], bias.iter().map(|b| b * 2.0).collect()))
        .node("Gemm", &["f", "w", "b"], &["out"])
        .int("transB", 1)
        .float("alpha", 4.0)
        .float("beta", 0.5)
        .node("Identity", &["out"], &["y"]);
    agrees(&model(&scaled), OpKind::Gemm, &loops, &x, 12);
    loops.b = vec![0.0; 5];
    let product = start
        .tensor(floats("w", &[12, 5], weights))
        .node("MatMul", &["f", "w"], &["out"])
        .node("Identity", &["out"], &["y"]);
    agrees(&model(&product), OpKind::MatMul, &loops, &x, 12);
}

/// Convolutions, both pools, a concat, a residual sum and a classifier, none with a bias.
fn without_bias() -> Onnx {
    Onnx::image([-1, 3, 9, 9])
        .tensor(floats("w1", &[4, 3, 3, 3], noise(108, 1)))
        .node("Conv", &["x", "w1"], &["c1"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["c1"], &["r1"])
        .node("MaxPool", &["r1"], &["p1"])
        .ints("kernel_shape", &[3, 3])
        .ints("strides", &[2, 2])
        .tensor(floats("w2", &[4, 4, 1, 1], noise(16, 2)))
        .node("Conv", &["p1", "w2"], &["c2"])
        .node("Add", &["c2", "p1"], &["sum"])
        .node("Relu", &["sum"], &["r2"])
        .node("AveragePool", &["r2"], &["p2"])
        .ints("kernel_shape", &[2, 2])
        .node("Concat", &["p2", "p2"], &["joined"])
        .int("axis", 1)
        .node("GlobalAveragePool", &["joined"], &["gap"])
        .node("Flatten", &["gap"], &["f"])
        .tensor(floats("w3", &[8, 5], noise(40, 3)))
        .node("Gemm", &["f", "w3"], &["y"])
}

#[test]
fn without_biases_relevance_is_conserved() {
    let model = model(&without_bias());
    let x = images(&noise(3 * 243, 7), [3, 3, 9, 9]);
    for layer in [INPUT, "p1", "r2", "p2", "joined"] {
        let result = Lrp::epsilon()
            .at(layer)
            .attribute(&model, &x, Target::class(1))
            .unwrap();
        println!("{result}");
        assert!(result.completeness_error().unwrap() < 1e-5, "{layer}");
    }
    for layer in ["r1", "p1", "r2", "p2", "joined"] {
        let result = ExcitationBackprop::at(layer)
            .attribute(&model, &x, Target::class(1))
            .unwrap();
        assert!(result.completeness_error().unwrap() < 1e-5, "{result}");
    }
}

/// Every function of one input, products and quotients of two, maxima of two, pools and LRN.
fn of_all_kinds() -> Onnx {
    let mut network = Onnx::image([-1, 3, 6, 6])
        .tensor(floats("w1", &[4, 3, 3, 3], noise(108, 1)))
        .tensor(floats("b1", &[4], noise(4, 2)))
        .node("Conv", &["x", "w1", "b1"], &["c"])
        .tensor(floats("slope", &[4, 1, 1], noise(4, 3)))
        .node("PRelu", &["c", "slope"], &["prelu"])
        .node("Mul", &["c", "prelu"], &["product"])
        .node("Exp", &["c"], &["exp"])
        .node("Div", &["prelu", "exp"], &["quotient"])
        .node("Max", &["c", "quotient"], &["max"])
        .node("Min", &["exp", "quotient"], &["min"])
        .tensor(floats("two", &[1], vec![2.0]))
        .node("Pow", &["c", "two"], &["pow"])
        .node("Div", &["pow", "two"], &["half"])
        .node("Sub", &["two", "half"], &["sub"])
        .node("LRN", &["sub"], &["lrn"])
        .int("size", 3)
        .float("alpha", 0.1)
        .node("MaxPool", &["lrn"], &["pool"])
        .ints("kernel_shape", &[3, 3])
        .ints("pads", &[1, 1, 1, 1])
        .node("GlobalMaxPool", &["c"], &["largest"])
        .node("Mul", &["largest", "prelu"], &["gated"]);
    let mut all = vec!["product", "quotient", "max", "min", "half", "pool", "gated"];
    for (op, name) in [
        ("Relu", "relu"),
        ("Sigmoid", "sigmoid"),
        ("HardSigmoid", "hardsigmoid"),
        ("Tanh", "tanh"),
        ("Elu", "elu"),
        ("LeakyRelu", "leaky"),
        ("Erf", "erf"),
        ("Abs", "abs"),
        ("Neg", "neg"),
    ] {
        network = network.node(op, &["c"], &[name]);
        all.push(name);
    }
    network
        .node("Concat", &all, &["all"])
        .int("axis", 1)
        .node("GlobalAveragePool", &["all"], &["gap"])
        .node("Flatten", &["gap"], &["f"])
        .tensor(floats("w3", &[64, 5], noise(320, 4)))
        .node("Gemm", &["f", "w3"], &["y"])
}

#[test]
fn deep_lift_is_complete_through_every_operator_it_covers() {
    let model = model(&of_all_kinds());
    let x = images(&noise(2 * 108, 7), [2, 3, 6, 6]);
    for baseline in [images(&[0.0; 108], [1, 3, 6, 6]), x.clone().flip([0])] {
        for class in 0..5 {
            let result = DeepLift::at_input()
                .baseline(Baseline::image(&baseline))
                .attribute(&model, &x, Target::class(class))
                .unwrap();
            println!("{result}");
            assert!(result.completeness_error().unwrap() < 1e-4);
        }
    }
    let same = DeepLift::at_input()
        .baseline(Baseline::image(&x))
        .attribute(&model, &x, Target::class(0))
        .unwrap();
    assert!(same.values().iter().all(|&v| v == 0.0));
}

#[test]
fn a_batch_gives_what_its_images_give() {
    let model = model(&small_network());
    let x = images(&noise(3 * 432, 5), [3, 3, 12, 12]);
    let targets = [Target::class(1), Target::class(4), Target::difference(0, 2)];
    let methods: [fn(usize) -> Box<dyn Attributor>; 5] = [
        |size| Box::new(Lrp::epsilon_plus_flat().batch_size(size)),
        |size| Box::new(Lrp::epsilon_gamma_box(&[-1.0], &[1.0]).batch_size(size)),
        |size| Box::new(DeepLift::at_input().batch_size(size)),
        |size| {
            Box::new(
                ExcitationBackprop::at("block/output")
                    .allow_signed(true)
                    .batch_size(size),
            )
        },
        |size| {
            Box::new(
                ContrastiveExcitationBackprop::at("pool1")
                    .allow_signed(true)
                    .batch_size(size),
            )
        },
    ];
    for method in methods {
        let all = |size: usize| {
            method(size)
                .attribute(&model, &x, Target::each(targets.clone()))
                .unwrap()
        };
        let together = all(3);
        for size in [1, 2] {
            let error = relative_error(all(size).values(), together.values());
            assert!(error < 1e-5, "{}: {error:.1e}", together.method());
        }
        for (i, target) in targets.iter().enumerate() {
            let one = x.clone().narrow(0, i, 1);
            let single = method(8).attribute(&model, &one, target.clone()).unwrap();
            let part = together.values().index_axis(ndarray::Axis(0), i);
            let error = relative_error(single.values(), &part);
            assert!(error < 1e-5, "{}: {error:.1e}", together.method());
            assert!((single.scores()[0] - together.scores()[i]).abs() < 1e-5);
        }
    }
}

/// A softmax between layers and a product of two activations.
fn attention() -> Model {
    let network = dense()
        .weight("w", &[3, 3])
        .node("Gemm", &["f", "w"], &["a"])
        .node("Softmax", &["a"], &["attention"])
        .node("Mul", &["f", "attention"], &["weighted"])
        .node("LogSoftmax", &["weighted"], &["log"])
        .weight("w2", &[3, 2])
        .node("Gemm", &["log", "w2"], &["y"]);
    model(&network)
}

#[test]
fn what_is_not_covered_is_listed() {
    let model = attention();
    let x = three([1.0, 2.0, 3.0]);
    let nodes = |method: &dyn Attributor| match method.attribute(&model, &x, Target::class(0)) {
        Err(AttributionError::Uncovered { nodes, .. }) => nodes,
        other => panic!("{other:?}"),
    };
    let (log, mul, soft) = (
        "LogSoftmax \"make_log\"",
        "Mul \"make_weighted\"",
        "Softmax \"make_attention\"",
    );
    assert_eq!(nodes(&Lrp::epsilon()), [log, mul, soft]);
    assert_eq!(nodes(&DeepLift::at_input()), [log]);
    // Weights of attention are weights: what makes them gets nothing.
    assert_eq!(
        nodes(&ExcitationBackprop::at(INPUT).allow_input(true)),
        [log]
    );
    assert_eq!(nodes(&ExcitationBackprop::at("weighted")), [log]);
    assert_eq!(nodes(&Lrp::epsilon().at("weighted")), [log]);
    let message = Lrp::epsilon()
        .attribute(&model, &x, Target::class(0))
        .unwrap_err();
    says(&message, "lrp (epsilon)");
    // A rule that does not cover an operator is not one for it.
    let rules = RelevanceRules::epsilon()
        .on(OpKind::Mul, Flat)
        .on_layers("log", Pass)
        .on(OpKind::Softmax, Pass);
    assert_eq!(nodes(&Lrp::new(rules.clone())), [mul]);
    let rules = rules.on_layers("weigh*", Winner);
    let result = Lrp::new(rules).attribute(&model, &x, Target::class(0));
    assert!(result.unwrap().values().iter().all(|v| v.is_finite()));
}

#[test]
fn the_first_match_wins() {
    let model = model(&without_bias());
    let x = images(&noise(243, 7), [1, 3, 9, 9]);
    let of = |rules: RelevanceRules| {
        let result = Lrp::new(rules).attribute(&model, &x, Target::class(1));
        result.unwrap().values().clone()
    };
    let flat = of(RelevanceRules::epsilon_plus_flat());
    assert_ne!(flat, of(RelevanceRules::epsilon_plus()));
    let first = RelevanceRules::new().on_first(Flat);
    assert_eq!(flat, of(first.then(RelevanceRules::epsilon_plus())));
    let named = RelevanceRules::new()
        .on_layers("c?", Flat)
        .on_layers("c2", WSquare)
        .then(RelevanceRules::epsilon());
    let kind = RelevanceRules::new()
        .on(OpKind::Conv, Flat)
        .then(RelevanceRules::epsilon());
    assert_eq!(named.list().patterns().collect::<Vec<_>>(), ["c?", "c2"]);
    assert_eq!(of(named), of(kind));
}

#[test]
fn what_cannot_be_is_refused() {
    let model = two_layers();
    let x = three([1.0, 2.0, -1.0]);
    let refused = |method: &dyn Attributor, word: &str| {
        let error = method.attribute(&model, &x, Target::class(0)).unwrap_err();
        assert!(
            matches!(error, AttributionError::Parameter { .. }),
            "{error}"
        );
        says(&error, word);
    };
    let with = |rule: std::sync::Arc<dyn RelevanceRule>| {
        Lrp::new(
            RelevanceRules::new()
                .on_first(rule)
                .then(RelevanceRules::epsilon()),
        )
    };
    let rules: [(std::sync::Arc<dyn RelevanceRule>, &str); 10] = [
        (std::sync::Arc::new(Epsilon::new(0.0)), "epsilon is 0"),
        (
            std::sync::Arc::new(Epsilon::new(f32::NAN)),
            "epsilon is NaN",
        ),
        (std::sync::Arc::new(ZPlus::new(-1.0)), "epsilon is -1"),
        (std::sync::Arc::new(Norm::new(f32::INFINITY)), "epsilon"),
        (std::sync::Arc::new(Gamma::new(-0.1)), "gamma is -0.1"),
        (
            std::sync::Arc::new(AlphaBeta::new(2.0, 2.0)),
            "alpha - beta is 0",
        ),
        (std::sync::Arc::new(ZBox::new(&[0.0], &[0.0])), "above low"),
        (std::sync::Arc::new(ZBox::new(&[], &[1.0])), "low is []"),
        (
            std::sync::Arc::new(ZBox::new(&[0.0; 2], &[1.0; 3])),
            "as many channels",
        ),
        (
            std::sync::Arc::new(ZBox::new(&[0.0; 2], &[1.0; 2])),
            "first layer's input",
        ),
    ];
    for (rule, word) in rules {
        refused(&with(rule), word);
    }
    refused(&ExcitationBackprop::at(INPUT), "allow_input(true)");
    refused(&ContrastiveExcitationBackprop::at("f"), "allow_input(true)");
    refused(
        &ContrastiveExcitationBackprop::at("h").contrast_layer("y"),
        "contrast layer",
    );
    let ones = |shape: [usize; 4]| Tensor::ones(shape, &device());
    refused(
        &DeepLift::at_input().baseline(Baseline::image(&ones([2, 3, 1, 1]))),
        "baseline",
    );
    refused(
        &DeepLift::at_input().baseline(Baseline::image(&ones([1, 3, 2, 1]))),
        "baseline",
    );
    refused(
        &DeepLift::at_input().baseline(Baseline::image(&three([f32::NAN, 0.0, 0.0]))),
        "finite",
    );
    refused(&Lrp::epsilon().batch_size(0), "batch size");

    let closure = |images: Tensor<4>| images.reshape([-1, 3]);
    for method in ["lrp", "deep-lift", "excitation-backprop"] {
        let built = Method::find(method)
            .unwrap()
            .build(&MethodOptions::new().layer(INPUT));
        let error = built.unwrap().attribute(&closure, &x, Target::class(0));
        assert!(matches!(error, Err(AttributionError::NeedsModel { .. })));
    }
    // A layer that the target does not depend on.
    for method in [
        Box::new(Lrp::epsilon().at("y")) as Box<dyn Attributor>,
        Box::new(DeepLift::at("y")),
        Box::new(ExcitationBackprop::at("y")),
    ] {
        let result = method.attribute(&model, &x, Target::closure("h", |h| h.sum()));
        assert!(
            matches!(result, Err(AttributionError::NoPath { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn methods_are_built_from_text() {
    let build = |name: &str, options: MethodOptions| Method::find(name).unwrap().build(&options);
    let set = |pairs: &[(&str, &str)]| {
        let options = pairs
            .iter()
            .fold(MethodOptions::new(), |o, (k, v)| o.set(k, v));
        build("lrp", options)
    };
    let model = model(&small_network());
    let x = images(&noise(432, 5), [1, 3, 12, 12]);
    let values = |method: &dyn Attributor| {
        let result = method.attribute(&model, &x, Target::class(1)).unwrap();
        result.values().clone()
    };
    assert_eq!(
        values(&set(&[]).unwrap()),
        values(&Lrp::epsilon_plus_flat())
    );
    for name in RelevanceRules::COMPOSITES {
        let rules = RelevanceRules::composite(name).unwrap();
        assert_eq!(rules.name(), *name);
        let built = set(&[("composite", name)]).unwrap();
        assert_eq!(values(&built), values(&Lrp::new(rules)), "{name}");
    }
    let bounds = [("low", "-1, -2,-3"), ("high", "4")];
    let built = set(&[&bounds[..], &[("composite", "epsilon-gamma-box")]].concat()).unwrap();
    let stated = Lrp::epsilon_gamma_box(&[-1.0, -2.0, -3.0], &[4.0]);
    assert_eq!(values(&built), values(&stated));
    for wrong in [
        &[("composite", "zennit")][..],
        &bounds[..],
        &bounds[..1],
        &[
            ("composite", "epsilon-gamma-box"),
            ("low", "black"),
            ("high", "1"),
        ],
        &[("composite", "epsilon-gamma-box"), ("high", "1")],
    ] {
        let error = set(wrong).unwrap_err();
        assert!(
            matches!(error, AttributionError::OptionValue { .. }),
            "{error}"
        );
    }
    let contrast = MethodOptions::new()
        .layer("pool1")
        .set("contrast-layer", "block/output")
        .set("allow-signed", "true");
    let built = build("contrastive-excitation-backprop", contrast).unwrap();
    assert_eq!(
        values(&built),
        values(
            &ContrastiveExcitationBackprop::at("pool1")
                .contrast_layer("block/output")
                .allow_signed(true)
        )
    );
    let down = MethodOptions::new()
        .layer(INPUT)
        .set("allow-input", "true")
        .set("allow-signed", "true");
    let built = build("excitation-backprop", down).unwrap();
    assert_eq!(
        values(&built),
        values(
            &ExcitationBackprop::at(INPUT)
                .allow_input(true)
                .allow_signed(true)
        )
    );
}

#[test]
fn progress_is_told_and_can_cancel() {
    let model = model(&small_network());
    let x = images(&noise(3 * 432, 5), [3, 3, 12, 12]);
    let result = Lrp::epsilon()
        .batch_size(1)
        .progress(|progress| match progress.done {
            2 => progress.cancel(),
            _ => progress.continue_(),
        })
        .attribute(&model, &x, Target::class(0));
    assert!(matches!(
        result,
        Err(AttributionError::Cancelled { done: 2, total: 3 })
    ));
}
