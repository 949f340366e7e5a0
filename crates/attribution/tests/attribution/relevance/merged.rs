//! What becomes part of the weights before it: biases and batch normalisations in any spelling.

use elucid_attribution::relevance::{RelevanceRules, ZPlus};
use elucid_attribution::{Attributor, DeepLift, ExcitationBackprop, Lrp, Target};
use elucid_graph::INPUT;
use elucid_rules::Algebra;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::relative_error;
use elucid_vision::Model;

use super::{close, dense, images, matrix, model, noise, three};

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
