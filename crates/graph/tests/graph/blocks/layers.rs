//! What follows layers with weights, and gates of channels.

use elucid_graph::{Affine, Pattern};

use crate::blocks::toy::{Found, Toy};

fn channels(toy: Toy) -> Toy {
    toy.weight("w", &[4, 3, 1, 1])
}

#[test]
fn batch_normalization_behind_a_convolution() {
    let conv = || channels(Toy::new(&[1, 3, 5, 5])).node("Conv", &["x", "w"], "c");
    let toy = ["s", "b", "m", "v"]
        .into_iter()
        .fold(conv(), |toy, name| toy.weight(name, &[4]));
    let found = toy
        .node("BatchNormalization", &["c", "s", "b", "m", "v"], "y")
        .build(&["y"]);
    let Pattern::BatchNorm {
        weighted,
        product,
        steps,
    } = found.only().pattern()
    else {
        panic!()
    };
    assert_eq!((*weighted, *product), (0, found.value("c")));
    assert_eq!(steps, &[Affine::BatchNormalization(1)]);
    // Written out.
    let toy = conv().weight("f", &[4, 1, 1]).weight("o", &[1, 4, 1, 1]);
    let found = toy
        .node("Mul", &["f", "c"], "m")
        .node("Add", &["m", "o"], "y")
        .build(&["y"]);
    let Pattern::BatchNorm { steps, .. } = found.only().pattern() else {
        panic!()
    };
    let id = |name| found.value(name);
    assert_eq!(steps, &[Affine::Times(id("f")), Affine::Plus(id("o"))]);
    // One number for each column is none, and neither is what others read.
    let toy = conv().weight("f", &[5]).weight("o", &[5]);
    toy.node("Mul", &["c", "f"], "m")
        .node("Add", &["m", "o"], "y")
        .build(&["y"])
        .none();
    let toy = conv().weight("f", &[4, 1, 1]).weight("o", &[4, 1, 1]);
    let toy = toy
        .node("Mul", &["f", "c"], "m")
        .node("Add", &["m", "o"], "y");
    toy.node("Relu", &["c"], "z").build(&["y", "z"]).none();
}

#[test]
fn a_product_and_its_bias_are_one_layer() {
    let dense = || {
        Toy::new(&[1, 4, 6])
            .weight("w", &[6, 3])
            .node("MatMul", &["x", "w"], "p")
    };
    for order in [["p", "b"], ["b", "p"]] {
        let found = dense()
            .weight("b", &[3])
            .node("Add", &order, "y")
            .build(&["y"]);
        let block = found.only();
        let Pattern::Linear {
            weighted,
            product,
            bias,
        } = block.pattern()
        else {
            panic!()
        };
        let id = |name| found.value(name);
        assert_eq!((*weighted, *product, *bias), (0, id("p"), id("b")));
        assert_eq!((block.output(), block.inputs()), (id("y"), &[id("x")][..]));
    }
    // One number for each token is a position, not a bias.
    dense()
        .weight("b", &[4, 3])
        .node("Add", &["p", "b"], "y")
        .build(&["y"])
        .none();
    dense()
        .weight("b", &[4, 1])
        .node("Add", &["p", "b"], "y")
        .build(&["y"])
        .none();
    dense().node("Add", &["p", "p"], "y").build(&["y"]).none();
}

fn excited(pooled: &str, layers: bool) -> Found {
    let toy = Toy::new(&[1, 3, 5, 5])
        .weight("c", &[8, 3, 1, 1])
        .weight("w1", &[2, 8, 1, 1])
        .weight("w2", &[8, 2, 1, 1])
        .node("Conv", &["x", "c"], "map")
        .node("Relu", &["map"], "other")
        .node("GlobalAveragePool", &[pooled], "mean");
    let toy = match layers {
        true => toy
            .node("Conv", &["mean", "w1"], "few")
            .node("Relu", &["few"], "bent")
            .node("Conv", &["bent", "w2"], "many"),
        false => toy.node("Identity", &["mean"], "many"),
    };
    toy.node("HardSigmoid", &["many"], "gate")
        .node("Mul", &["gate", "map"], "y")
        .build(&["y", "other"])
}

#[test]
fn squeeze_and_excitation() {
    let found = excited("map", true);
    let block = found.only();
    let id = |name| found.value(name);
    let Pattern::SqueezeExcite {
        signal,
        pooled,
        factor,
    } = block.pattern()
    else {
        panic!()
    };
    assert_eq!([*signal, *pooled, *factor], ["map", "mean", "gate"].map(id));
    assert_eq!(
        (block.inputs(), block.output()),
        (&[id("map")][..], id("y"))
    );
    excited("other", true).none();
    excited("map", false).none();
}
