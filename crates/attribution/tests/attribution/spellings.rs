//! One network, spelled by one operator and by many: the same relevance, and the same contributions.

use elucid_attribution::relevance::RelevanceRules;
use elucid_attribution::{
    AttentionMaps, Attributor, DeepLift, LinearApproximation, Lrp, METHODS, Place, Target,
};
use elucid_rules::Rules;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, numbers, relative_error, tensor};
use elucid_vision::Model;

const TOLERANCE: f32 = 1e-4;

fn weight(onnx: Onnx, name: &str, shape: &[i64], state: u32) -> Onnx {
    let count = shape.iter().product::<i64>() as usize;
    onnx.tensor(floats(name, shape, numbers(count, state)))
}

/// Thirty-five tokens `t` of six numbers.
fn tokens() -> Onnx {
    Onnx::image([1, 6, 5, 7])
        .opset(23)
        .list("rows", &[1, 6, 35])
        .node("Reshape", &["x", "rows"], &["r"])
        .node("Transpose", &["r"], &["t"])
        .ints("perm", &[0, 2, 1])
}

/// Scores of four classes from the mean of the tokens `a`.
fn scored(onnx: Onnx) -> Model {
    let onnx = weight(onnx, "head", &[6, 4], 0x2545_F491)
        .list("tokens", &[1])
        .node("ReduceMean", &["a", "tokens"], &["mean"])
        .int("keepdims", 0)
        .node("MatMul", &["mean", "head"], &["y"]);
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

fn microsoft(mut onnx: Onnx) -> Onnx {
    let node = onnx.graph().node.last_mut().unwrap();
    node.domain = Some("com.microsoft".to_owned());
    onnx
}

/// Queries, keys and values of the tokens.
fn projected() -> Onnx {
    let onnx = weight(tokens(), "w", &[6, 18], 0x9E37_79B9);
    weight(onnx, "b", &[18], 0x85EB_CA6B)
}

fn parts() -> Onnx {
    projected()
        .list("widths", &[6, 6, 6])
        .node("MatMul", &["t", "w"], &["product"])
        .node("Add", &["product", "b"], &["qkv"])
        .node("Split", &["qkv", "widths"], &["q", "k", "v"])
        .int("axis", 2)
}

fn attention_written_out() -> Model {
    let mut onnx = parts()
        .list("heads", &[1, 35, 2, 3])
        .list("joined", &[1, 35, 6]);
    for (part, order) in [
        ("q", [0, 2, 1, 3]),
        ("k", [0, 2, 3, 1]),
        ("v", [0, 2, 1, 3]),
    ] {
        let (split, turned) = (format!("{part}s"), format!("{part}h"));
        onnx = onnx
            .node("Reshape", &[part, "heads"], &[split.as_str()])
            .node("Transpose", &[split.as_str()], &[turned.as_str()])
            .ints("perm", &order);
    }
    let onnx = onnx
        .tensor(floats("scale", &[], vec![3_f32.sqrt().recip()]))
        .node("MatMul", &["qh", "kh"], &["products"])
        .node("Mul", &["products", "scale"], &["scores"])
        .node("Softmax", &["scores"], &["weights"])
        .int("axis", -1)
        .node("MatMul", &["weights", "vh"], &["mixed"])
        .node("Transpose", &["mixed"], &["turned"])
        .ints("perm", &[0, 2, 1, 3])
        .node("Reshape", &["turned", "joined"], &["a"]);
    scored(onnx)
}

/// By Microsoft's two operators and by ONNX's.
fn attentions() -> [(&'static str, Model); 3] {
    let whole = microsoft(projected().node("Attention", &["t", "w", "b"], &["a"]));
    let given = microsoft(parts().node("MultiHeadAttention", &["q", "k", "v"], &["a"]));
    let onnx = parts()
        .node("Attention", &["q", "k", "v"], &["a"])
        .int("q_num_heads", 2)
        .int("kv_num_heads", 2);
    [
        ("Microsoft's Attention", scored(whole.int("num_heads", 2))),
        ("MultiHeadAttention", scored(given.int("num_heads", 2))),
        ("Attention", scored(onnx)),
    ]
}

fn values(method: &dyn Attributor, model: &Model) -> Vec<f32> {
    let image = tensor(numbers(210, 0xC2B2_AE35), [1, 6, 5, 7]);
    let found = method.attribute(model, &image, Target::class(2)).unwrap();
    if method.name() == "deep-lift" {
        assert!(found.completeness_error().unwrap() < 1e-4, "{found}");
    }
    found.values().iter().copied().collect()
}

fn check(name: &str, method: &dyn Attributor, model: &Model, twin: &Model) {
    let error = relative_error(&values(method, model), &values(method, twin));
    assert!(error < TOLERANCE, "{name}, {}: {error:.1e}", method.name());
}

#[test]
fn attention_is_taken_apart() {
    let twin = attention_written_out();
    for (name, model) in attentions() {
        for rules in [RelevanceRules::attn_lrp(), RelevanceRules::cp_lrp()] {
            check(name, &Lrp::new(rules), &model, &twin);
        }
        check(name, &DeepLift::at_input(), &model, &twin);
    }
}

/// Weights that are no value of the network are those of the softmax, and so are gradients there.
#[test]
fn attention_inside_operators_is_seen_as_if_it_were_written_out() {
    let image = tensor(numbers(210, 0xC2B2_AE35), [1, 6, 5, 7]);
    let maps = |model: &Model| {
        let target = Target::class(2);
        AttentionMaps::with_gradients(model, &image, &target).unwrap()
    };
    let twin = attention_written_out();
    let wanted = maps(&twin);
    let [want] = wanted.blocks() else { panic!() };
    for (name, model) in attentions() {
        let found = maps(&model);
        let [got] = found.blocks() else {
            panic!("{name}")
        };
        assert!(!got.block().is_written_out() && want.block().is_written_out());
        assert_eq!(got.weights().dim(), (1, 2, 35, 35), "{name}");
        let error = relative_error(got.weights(), want.weights());
        assert!(error < 1e-5, "{name}: {error:.1e}");
        let [gradients, wanted] = [got, want].map(|block| block.gradients().unwrap());
        let error = relative_error(gradients, wanted);
        assert!(error < 1e-5, "{name}: {error:.1e}");
        for method in METHODS
            .iter()
            .filter(|method| method.place == Place::Tokens)
        {
            check(name, &*method.usual().unwrap(), &model, &twin);
        }
    }
}

#[test]
fn attention_is_refused_by_name() {
    for (name, model) in attentions() {
        let image = tensor(numbers(210, 0xC2B2_AE35), [1, 6, 5, 7]);
        let refused = Lrp::epsilon().attribute(&model, &image, Target::class(2));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("Attention"), "{name}: {text}");
    }
}

#[test]
fn normalisations_are_taken_apart() {
    let start = || {
        let onnx = weight(tokens(), "w", &[6], 0x9E37_79B9);
        weight(onnx, "b", &[6], 0x85EB_CA6B)
            .tensor(floats("epsilon", &[], vec![1e-5]))
            .tensor(floats("two", &[], vec![2.0]))
            .list("last", &[-1])
    };
    let root = |onnx: Onnx| {
        onnx.node("Pow", &["d", "two"], &["square"])
            .node("ReduceMean", &["square", "last"], &["variance"])
            .node("Add", &["variance", "epsilon"], &["above"])
            .node("Sqrt", &["above"], &["deviation"])
    };
    let layer = start()
        .node("LayerNormalization", &["t", "w", "b"], &["a"])
        .float("epsilon", 1e-5);
    let centred = start()
        .node("ReduceMean", &["t", "last"], &["middle"])
        .node("Sub", &["t", "middle"], &["d"]);
    let layer_written_out = root(centred)
        .node("Div", &["d", "deviation"], &["n"])
        .node("Mul", &["n", "w"], &["s"])
        .node("Add", &["s", "b"], &["a"]);
    let rms = start()
        .node("RMSNormalization", &["t", "w"], &["a"])
        .float("epsilon", 1e-5);
    let rms_written_out = root(start().node("Identity", &["t"], &["d"]))
        .node("Reciprocal", &["deviation"], &["inverse"])
        .node("Mul", &["d", "inverse"], &["n"])
        .node("Mul", &["n", "w"], &["a"]);
    for (name, one, many) in [
        ("layer", layer, layer_written_out),
        ("root mean square", rms, rms_written_out),
    ] {
        let (one, many) = (scored(one), scored(many));
        check(name, &Lrp::new(RelevanceRules::attn_lrp()), &one, &many);
        check(name, &DeepLift::at_input(), &one, &many);
        let gradients = LinearApproximation::at_input().rules(&Rules::attn_lrp());
        check(name, &gradients, &one, &many);
        let relevance = values(&Lrp::new(RelevanceRules::attn_lrp()), &many);
        let error = relative_error(&values(&gradients, &many), &relevance);
        assert!(error < TOLERANCE, "{name}: {error:.1e}");
    }
}

#[test]
fn gates_are_one_function_however_they_are_spelled() {
    let start = || tokens().tensor(floats("unit", &[], vec![1.0]));
    let sigmoid = start()
        .node("Sigmoid", &["t"], &["s"])
        .node("Mul", &["t", "s"], &["a"]);
    let powers = |onnx: Onnx| {
        onnx.node("Neg", &["t"], &["minus"])
            .node("Exp", &["minus"], &["power"])
            .node("Add", &["power", "unit"], &["below"])
    };
    let quotient = powers(start()).node("Div", &["t", "below"], &["a"]);
    let inverse = powers(start())
        .node("Div", &["unit", "below"], &["s"])
        .node("Mul", &["s", "t"], &["a"]);
    let mish = start().node("Mish", &["t"], &["a"]);
    let softplus = start()
        .node("Softplus", &["t"], &["p"])
        .node("Tanh", &["p"], &["s"])
        .node("Mul", &["t", "s"], &["a"]);
    let sigmoid = scored(sigmoid);
    for (name, one, many) in [
        ("quotient", &scored(quotient), &sigmoid),
        ("inverse", &scored(inverse), &sigmoid),
        ("Mish", &scored(mish), &scored(softplus)),
    ] {
        check(name, &Lrp::new(RelevanceRules::attn_lrp()), one, many);
        check(name, &DeepLift::at_input(), one, many);
        let gradients = LinearApproximation::at_input().rules(&Rules::attn_lrp());
        check(name, &gradients, one, many);
    }
}
