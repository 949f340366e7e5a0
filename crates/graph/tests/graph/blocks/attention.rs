//! Attention, written out and as operators.

use elucid_graph::{Attributes, Block, HostTensor, Pattern};

use crate::blocks::toy::{Found, Toy};

/// Projections of `[1, 4, 6]` to heads `[1, 2, 4, 3]`; keys with their last two axes swapped.
fn heads(toy: Toy) -> Toy {
    let mut toy = toy.ints("split", &[1, 4, 2, 3]);
    for (name, permutation) in [
        ("q", [0, 2, 1, 3]),
        ("k", [0, 2, 3, 1]),
        ("v", [0, 2, 1, 3]),
    ] {
        let [weight, product, parts] = ["w", "p", "r"].map(|part| format!("{name}{part}"));
        toy = toy
            .weight(&weight, &[6, 6])
            .node("MatMul", &["x", &weight], &product)
            .node("Reshape", &[&product, "split"], &parts)
            .with("Transpose", &[&parts], name, |a| {
                a.with("perm", permutation.to_vec())
            });
    }
    toy
}

#[track_caller]
fn attention(found: &Found) -> &Block {
    let found: Vec<&Block> = found
        .blocks
        .iter()
        .filter(|b| b.name() == "attention")
        .collect();
    assert_eq!(found.len(), 1);
    found[0]
}

#[test]
fn attention_with_separate_projections() {
    let found = heads(Toy::new(&[1, 4, 6]))
        .number("scale", 3.0_f32.sqrt())
        .weight("positions", &[1, 2, 4, 4])
        .node("MatMul", &["q", "k"], "products")
        .node("Div", &["products", "scale"], "scaled")
        .node("Add", &["positions", "scaled"], "scores")
        .with("Softmax", &["scores"], "a", |a| a.with("axis", 3))
        .node("MatMul", &["a", "v"], "y")
        .build(&["y"]);
    let block = attention(&found);
    let id = |name| found.value(name);
    let Pattern::Attention {
        q,
        k,
        v,
        packed,
        products,
        scores,
        probabilities,
        masks,
        queries,
        keys,
        heads,
        scale,
        stages,
    } = block.pattern()
    else {
        panic!()
    };
    assert_eq!([*q, *k, *v], ["q", "k", "v"].map(id));
    assert_eq!(
        [*products, *scores, *probabilities],
        ["products", "scores", "a"].map(|n| Some(id(n)))
    );
    assert_eq!(
        (packed, masks.as_slice(), *heads),
        (&None, &[id("positions")][..], 2)
    );
    assert!((scale.unwrap() - 1.0 / 3.0_f64.sqrt()).abs() < 1e-6);
    assert_eq!((*queries, *keys), (None, None), "no picture, no grid");
    let kinds = stages.map(|i| found.graph.nodes()[i].op.kind().to_string());
    assert_eq!(kinds, ["MatMul", "Softmax", "MatMul"]);
    assert_eq!((block.output(), block.inputs().len()), (id("y"), 3));
    assert_eq!(block.nodes().len(), 5);
}

#[test]
fn attention_with_the_scale_on_queries_and_keys() {
    let root = 3.0_f32.powf(-0.25);
    let found = heads(Toy::new(&[1, 4, 6]))
        .number("root", root)
        .number("hidden", -1e9)
        .all("seen", &[4, 4], 1.0)
        .with("Cast", &["seen"], "mask", |a| a.with("to", 9))
        .node("Mul", &["q", "root"], "q_scaled")
        .node("Mul", &["root", "k"], "k_scaled")
        .node("MatMul", &["q_scaled", "k_scaled"], "products")
        .node("Where", &["mask", "products", "hidden"], "scores")
        .with("Softmax", &["scores"], "a", |a| a.with("axis", -1))
        .node("Dropout", &["a"], "dropped")
        .node("MatMul", &["dropped", "v"], "y")
        .build(&["y"]);
    let Pattern::Attention {
        q, k, scale, masks, ..
    } = attention(&found).pattern()
    else {
        panic!()
    };
    assert_eq!([*q, *k], ["q", "k"].map(|name| found.value(name)));
    assert!((scale.unwrap() - 1.0 / 3.0_f64.sqrt()).abs() < 1e-6);
    assert_eq!(masks, &[found.value("mask")]);
}

/// Queries of the decoder of a DETR do not depend on the image before they have attended to it.
#[test]
fn attention_of_queries_that_were_learned() {
    let found = heads(Toy::new(&[1, 4, 6]))
        .weight("learned", &[1, 2, 5, 3])
        .node("MatMul", &["learned", "k"], "products")
        .with("Softmax", &["products"], "a", |a| a.with("axis", -1))
        .node("MatMul", &["a", "v"], "y")
        .build(&["y"]);
    let block = attention(&found);
    let Pattern::Attention { q, k, .. } = block.pattern() else {
        panic!()
    };
    assert_eq!([*q, *k], ["learned", "k"].map(|name| found.value(name)));
    assert!(
        block.details().starts_with("2 heads"),
        "{}",
        block.details()
    );
    // Positions that are multiplied by learned numbers are added to scores, and are none.
    let found = heads(Toy::new(&[1, 4, 6]))
        .weight("learned", &[1, 2, 4, 3])
        .node("MatMul", &["learned", "k"], "positions")
        .node("MatMul", &["q", "k"], "products")
        .node("Add", &["positions", "products"], "scores")
        .with("Softmax", &["scores"], "a", |a| a.with("axis", -1))
        .node("MatMul", &["a", "v"], "y")
        .build(&["y"]);
    let Pattern::Attention { q, masks, .. } = attention(&found).pattern() else {
        panic!()
    };
    assert_eq!(*q, found.value("q"));
    assert_eq!(masks, &[found.value("positions")]);
}

#[test]
fn attention_of_packed_projections() {
    let found = Toy::new(&[1, 4, 6])
        .weight("w", &[6, 18])
        .ints("split", &[1, 4, 3, 2, 3])
        .ints("squeezed", &[0])
        .node("MatMul", &["x", "w"], "qkv")
        .node("Reshape", &["qkv", "split"], "r")
        .with("Transpose", &["r"], "t", |a| {
            a.with("perm", vec![2, 0, 3, 1, 4])
        });
    let mut toy = found;
    for (i, name) in ["q", "k", "v"].into_iter().enumerate() {
        let index = format!("at_{name}");
        toy.0.constant(&index, HostTensor::int(i as i64)).unwrap();
        toy = toy.with("Gather", &["t", &index], name, |a| a.with("axis", 0));
    }
    let found = toy
        .with("Transpose", &["k"], "kt", |a| {
            a.with("perm", vec![0, 1, 3, 2])
        })
        .node("MatMul", &["q", "kt"], "products")
        .node("Softmax", &["products"], "a")
        .node("MatMul", &["a", "v"], "y")
        .build(&["y"]);
    let Pattern::Attention {
        packed, scale, k, ..
    } = attention(&found).pattern()
    else {
        panic!()
    };
    assert_eq!((*packed, *scale), (Some(found.value("qkv")), Some(1.0)));
    assert_eq!(*k, found.value("kt"), "nothing is scaled before it");
}

#[test]
fn softmaxes_that_attend_to_nothing() {
    let scores = |axis: i64, weights: bool| {
        let toy = heads(Toy::new(&[1, 4, 6])).weight("constant", &[3, 4]);
        let k = if weights { "constant" } else { "k" };
        let toy = toy.node("MatMul", &["q", k], "products");
        let toy = toy.with("Softmax", &["products"], "a", |a| a.with("axis", axis));
        let found = toy.node("MatMul", &["a", "v"], "y").build(&["y"]);
        found.names().contains(&"attention")
    };
    assert!(scores(-1, false));
    assert!(!scores(2, false), "over the queries");
    assert!(!scores(-1, true), "a product with weights");
    // Of opset 12 and before: over all axes from `axis` on.
    let flat = heads(Toy::at(12, &[1, 4, 6]))
        .node("MatMul", &["q", "k"], "products")
        .with("Softmax", &["products"], "a", |a| a.with("axis", 2))
        .node("MatMul", &["a", "v"], "y")
        .build(&["y"]);
    assert!(!flat.names().contains(&"attention"));
}

#[test]
fn operators_that_attend() {
    let toy = || {
        let mut toy = Toy::new(&[1, 4, 6]);
        for name in ["q", "k", "v"] {
            let weight = format!("{name}w");
            toy = toy
                .weight(&weight, &[6, 6])
                .node("MatMul", &["x", &weight], name);
        }
        toy
    };
    let stated = |a: Attributes| a.with("q_num_heads", 2).with("kv_num_heads", 2);
    let standard = toy()
        .with("Attention", &["q", "k", "v"], "y", stated)
        .build(&["y"]);
    let given = |a: Attributes| a.with("num_heads", 2).with("scale", 0.25_f32);
    let other = toy()
        .with(
            "com.microsoft.MultiHeadAttention",
            &["q", "k", "v"],
            "y",
            given,
        )
        .build(&["y"]);
    for (found, expected) in [(&standard, 1.0 / 3.0_f64.sqrt()), (&other, 0.25)] {
        let block = attention(found);
        let Pattern::Attention {
            q,
            k,
            v,
            heads,
            scale,
            probabilities,
            stages,
            ..
        } = block.pattern()
        else {
            panic!()
        };
        assert_eq!([*q, *k, *v], ["q", "k", "v"].map(|name| found.value(name)));
        assert_eq!((*heads, *probabilities), (2, None));
        assert!((scale.unwrap() - expected).abs() < 1e-6);
        assert_eq!(*stages, [3; 3]);
    }
    let projected = Toy::new(&[1, 4, 6])
        .weight("w", &[6, 18])
        .weight("b", &[18])
        .with("com.microsoft.Attention", &["x", "w", "b"], "y", |a| {
            a.with("num_heads", 2)
        })
        .build(&["y"]);
    let Pattern::Attention {
        q, packed, scale, ..
    } = attention(&projected).pattern()
    else {
        panic!()
    };
    let x = projected.value("x");
    assert_eq!((*q, *packed), (x, Some(x)));
    assert!((scale.unwrap() - 1.0 / 3.0_f64.sqrt()).abs() < 1e-6);
}

#[test]
fn attention_in_the_notation_of_einstein() {
    let sum = |toy: Toy, inputs: [&str; 2], output: &str, equation: &str| {
        toy.with("Einsum", &inputs, output, |a| a.with("equation", equation))
    };
    let toy = sum(
        heads(Toy::new(&[1, 4, 6])),
        ["q", "k"],
        "products",
        "bhid,bhdj->bhij",
    );
    let toy = toy.node("Softmax", &["products"], "a");
    let found = sum(toy, ["v", "a"], "y", "bhjd,bhij->bhid").build(&["y"]);
    let Pattern::Attention {
        v, probabilities, ..
    } = attention(&found).pattern()
    else {
        panic!()
    };
    let id = |name| found.value(name);
    assert_eq!((*v, *probabilities), (id("v"), Some(id("a"))));
}
