//! Normalisations, written out and as operators.

use elucid_graph::{Block, ElementType, Pattern, Statistics, ValueId};

use crate::blocks::toy::Toy;

/// Which spelling of the inverse deviation.
#[derive(Clone, Copy)]
enum Spelling {
    Div,
    Reciprocal,
    Power,
    OneOver,
}

fn normalise(toy: Toy, divided: &str, variance: &str, epsilon: f32, spelling: Spelling) -> Toy {
    let toy = toy
        .number("epsilon", epsilon)
        .number("one", 1.0)
        .number("negative", -0.5)
        .node("Add", &[variance, "epsilon"], "radicand");
    match spelling {
        Spelling::Div => toy
            .node("Sqrt", &["radicand"], "r")
            .node("Div", &[divided, "r"], "n"),
        Spelling::Reciprocal => toy
            .node("Sqrt", &["radicand"], "root")
            .node("Reciprocal", &["root"], "r")
            .node("Mul", &[divided, "r"], "n"),
        Spelling::Power => {
            toy.node("Pow", &["radicand", "negative"], "r")
                .node("Mul", &["r", divided], "n")
        }
        Spelling::OneOver => toy
            .node("Sqrt", &["radicand"], "root")
            .node("Div", &["one", "root"], "r")
            .node("Mul", &[divided, "r"], "n"),
    }
}

fn centred(toy: Toy, axes: &[i64]) -> Toy {
    toy.ints("axes", axes)
        .number("two", 2.0)
        .node("ReduceMean", &["x", "axes"], "mean")
        .node("Sub", &["x", "mean"], "d")
        .node("Pow", &["d", "two"], "square")
        .node("ReduceMean", &["square", "axes"], "variance")
}

const SPELLINGS: [Spelling; 4] = [
    Spelling::Div,
    Spelling::Reciprocal,
    Spelling::Power,
    Spelling::OneOver,
];

#[test]
fn layer_normalization_written_out() {
    for spelling in SPELLINGS {
        let toy = centred(Toy::new(&[1, 4, 6]), &[-1])
            .weight("scale", &[6])
            .weight("offset", &[6]);
        let found = normalise(toy, "d", "variance", 1e-6, spelling)
            .node("Mul", &["n", "scale"], "m")
            .node("Add", &["m", "offset"], "y")
            .build(&["y"]);
        let block = found.only();
        let id = |name| Some(found.value(name));
        let Pattern::Normalization {
            statistics,
            signal,
            axes,
            mean,
            deviation,
            inverse,
            epsilon,
            normalised,
            scale,
            offset,
            skip,
        } = block.pattern()
        else {
            panic!("{block:?}");
        };
        assert_eq!(*statistics, Statistics::Layer);
        assert_eq!(Some(*signal), id("x"));
        assert_eq!(axes, &[2]);
        assert_eq!(
            (*mean, *deviation, *normalised),
            (id("mean"), id("r"), id("n"))
        );
        assert_eq!(*inverse, !matches!(spelling, Spelling::Div));
        assert!((epsilon - 1e-6).abs() < 1e-12);
        assert_eq!((*scale, *offset), (id("scale"), id("offset")));
        assert!(skip.is_empty());
        assert_eq!(block.nodes().len(), found.graph.nodes().len());
        assert_eq!(Some(block.output()), id("y"));
    }
}

#[test]
fn normalizations_over_other_axes() {
    // Channels first, no scale.
    let toy = centred(Toy::new(&[1, 4, 6, 5]), &[1]);
    let found = normalise(toy, "d", "variance", 1e-5, Spelling::Div).build(&["n"]);
    let Pattern::Normalization {
        statistics,
        axes,
        scale,
        normalised,
        ..
    } = found.only().pattern()
    else {
        panic!()
    };
    assert_eq!(
        (*statistics, axes.as_slice(), *scale),
        (Statistics::Layer, &[1][..], None)
    );
    assert_eq!(*normalised, None, "it is the output");
    let toy = centred(Toy::new(&[1, 4, 6, 5]), &[2, 3]);
    let found = normalise(toy, "d", "variance", 1e-5, Spelling::Div).build(&["n"]);
    assert_eq!(found.only().name(), "instance normalization");
}

#[test]
fn root_mean_square_written_out() {
    for spelling in SPELLINGS {
        let toy = Toy::new(&[1, 4, 6])
            .ints("axes", &[2])
            .weight("scale", &[6])
            .node("Mul", &["x", "x"], "square")
            .node("ReduceMean", &["square", "axes"], "mean");
        let found = normalise(toy, "x", "mean", 1e-5, spelling)
            .node("Mul", &["scale", "n"], "y")
            .build(&["y"]);
        let block = found.only();
        let Pattern::Normalization {
            statistics,
            signal,
            mean,
            offset,
            ..
        } = block.pattern()
        else {
            panic!()
        };
        assert_eq!(*statistics, Statistics::RootMeanSquare);
        assert_eq!((*signal, *mean, *offset), (found.value("x"), None, None));
        assert_eq!(block.output(), found.value("y"));
    }
}

#[test]
fn normalizations_that_are_none() {
    let none = |toy, x, mean| {
        let toy = normalise(toy, x, mean, 1e-5, Spelling::Div);
        toy.build(&["n"]).none();
    };
    // A deviation of something else.
    let mut toy = centred(Toy::new(&[1, 4, 6]), &[-1]);
    toy.0
        .input("z", ElementType::F32, &[Some(1), Some(4), Some(6)])
        .unwrap();
    none(toy, "z", "variance");
    // Cubes.
    let toy = Toy::new(&[1, 4, 6])
        .ints("axes", &[2])
        .number("three", 3.0)
        .node("Pow", &["x", "three"], "cube")
        .node("ReduceMean", &["cube", "axes"], "mean");
    none(toy, "x", "mean");
    // A sum that is no mean.
    let toy = Toy::new(&[1, 4, 6])
        .ints("axes", &[2])
        .node("Mul", &["x", "x"], "square")
        .node("ReduceSum", &["square", "axes"], "sum");
    none(toy, "x", "sum");
    // Mean along one axis, deviation along another: a root mean square of what is left.
    let toy = Toy::new(&[1, 4, 6])
        .ints("axes", &[1])
        .ints("others", &[2])
        .node("ReduceMean", &["x", "axes"], "mean")
        .node("Sub", &["x", "mean"], "d")
        .node("Mul", &["d", "d"], "square")
        .node("ReduceMean", &["square", "others"], "variance");
    let found = normalise(toy, "d", "variance", 1e-5, Spelling::Div).build(&["n"]);
    let Pattern::Normalization {
        statistics, signal, ..
    } = found.only().pattern()
    else {
        panic!()
    };
    assert_eq!(
        (*statistics, *signal),
        (Statistics::RootMeanSquare, found.value("d"))
    );
    assert_eq!(found.only().inputs(), [found.value("d")]);
}

/// Of a normalisation: its statistics, what is normalised, its scale and its offset.
fn parts(block: &Block) -> (Statistics, ValueId, [Option<ValueId>; 2]) {
    match block.pattern() {
        &Pattern::Normalization {
            statistics,
            signal,
            scale,
            offset,
            ..
        } => (statistics, signal, [scale, offset]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn layer_normalization_of_tensorflow() {
    let found = centred(Toy::new(&[1, 4, 6]), &[-1])
        .number("epsilon", 1e-3)
        .number("negative", -0.5)
        .weight("scale", &[6])
        .weight("offset", &[6])
        .node("Add", &["variance", "epsilon"], "radicand")
        .node("Pow", &["radicand", "negative"], "r")
        .node("Mul", &["r", "scale"], "factor")
        .node("Mul", &["x", "factor"], "product")
        .node("Mul", &["mean", "factor"], "shift")
        .node("Sub", &["offset", "shift"], "rest")
        .node("Add", &["product", "rest"], "y")
        .build(&["y"]);
    let block = found.only();
    let id = |name| found.value(name);
    let affine = [Some(id("scale")), Some(id("offset"))];
    assert_eq!(parts(block), (Statistics::Layer, id("x"), affine));
    assert_eq!(block.nodes().len(), found.graph.nodes().len());
}

#[test]
fn group_normalization_by_instances() {
    let groups = |ones: f32| {
        Toy::new(&[1, 8, 3, 3])
            .all("ones", &[4], ones)
            .all("zeros", &[4], 0.0)
            .ints("grouped", &[0, 4, -1])
            .ints("whole", &[1, 8, 3, 3])
            .weight("scale", &[8, 1, 1])
            .weight("offset", &[8, 1, 1])
            .node("Reshape", &["x", "grouped"], "g")
            .node("InstanceNormalization", &["g", "ones", "zeros"], "i")
            .node("Reshape", &["i", "whole"], "w")
            .node("Mul", &["w", "scale"], "m")
            .node("Add", &["m", "offset"], "y")
            .build(&["y"])
    };
    let found = groups(1.0);
    let block = found.only();
    let id = |name| found.value(name);
    let affine = [Some(id("scale")), Some(id("offset"))];
    let statistics = Statistics::Group { groups: 4 };
    assert_eq!(parts(block), (statistics, id("x"), affine));
    assert_eq!(block.output(), id("y"));
    assert_eq!(groups(2.0).only().name(), "instance normalization");
}

#[test]
fn operators_that_normalise() {
    let toy = Toy::new(&[1, 4, 6])
        .weight("s", &[6])
        .weight("b", &[6])
        .weight("skip", &[1, 4, 6]);
    let found = toy
        .with("LayerNormalization", &["x", "s", "b"], "l", |a| {
            a.with("epsilon", 1e-6_f32)
        })
        .node("RMSNormalization", &["l", "s"], "r")
        .node(
            "com.microsoft.SkipLayerNormalization",
            &["r", "x", "s", "b"],
            "y",
        )
        .build(&["y"]);
    let names = [
        "layer normalization",
        "RMS normalization",
        "layer normalization",
    ];
    assert_eq!(found.names(), names);
    let last = found.blocks.iter().last().unwrap();
    let Pattern::Normalization { skip, axes, .. } = last.pattern() else {
        panic!()
    };
    assert_eq!(
        (skip.as_slice(), axes.as_slice()),
        (&[found.value("x")][..], &[2][..])
    );
}

#[test]
fn means_in_other_spellings() {
    let mean = |part: f32| {
        let toy = Toy::new(&[1, 4, 6])
            .ints("axes", &[-1])
            .number("part", part)
            .with("ReduceSum", &["x", "axes"], "sum", |a| {
                a.with("keepdims", 0)
            })
            .node("Mul", &["sum", "part"], "flat")
            .node("Unsqueeze", &["flat", "axes"], "mean")
            .node("Sub", &["x", "mean"], "d")
            .node("Sub", &["x", "mean"], "again")
            .node("Mul", &["again", "again"], "square")
            .node("ReduceMean", &["square", "axes"], "variance");
        normalise(toy, "d", "variance", 1e-5, Spelling::Div).build(&["n"])
    };
    let found = mean(1.0 / 6.0);
    let block = found.only();
    assert_eq!(block.name(), "layer normalization");
    assert_eq!(block.nodes().len(), found.graph.nodes().len());
    mean(1.0 / 5.0).none();
}
