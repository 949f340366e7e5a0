//! Graphs of a few operators.

use elucid_graph::{
    Affine, Attributes, Block, Blocks, ElementType, GateFunction, Graph, GraphBuilder, HostTensor,
    Layout, Pattern, Statistics, ValueId,
};

/// A graph in the making.
struct Toy(GraphBuilder);

impl Toy {
    /// With an input `x`.
    fn new(shape: &[usize]) -> Self {
        let mut builder = GraphBuilder::new();
        let shape: Vec<Option<usize>> = shape.iter().map(|&size| Some(size)).collect();
        builder.input("x", ElementType::F32, &shape).unwrap();
        Self(builder)
    }

    /// At another version of the operator set.
    fn at(opset: i64, shape: &[usize]) -> Self {
        let mut toy = Self(GraphBuilder::with(&Default::default(), opset));
        let shape: Vec<Option<usize>> = shape.iter().map(|&size| Some(size)).collect();
        toy.0.input("x", ElementType::F32, &shape).unwrap();
        toy
    }

    fn number(mut self, name: &str, value: f32) -> Self {
        self.0.constant(name, HostTensor::float(value)).unwrap();
        self
    }

    fn half(mut self, name: &str, value: f32) -> Self {
        let host = HostTensor::float(value).cast(ElementType::F16);
        self.0.constant(name, host).unwrap();
        self
    }

    fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.0
            .constant(name, HostTensor::from_ints(values.to_vec()))
            .unwrap();
        self
    }

    /// Numbers that differ.
    fn weight(mut self, name: &str, shape: &[usize]) -> Self {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| 0.5 + 0.1 * (i % 7) as f32).collect();
        let host = HostTensor::of_floats(ElementType::F32, shape, values).unwrap();
        self.0.constant(name, host).unwrap();
        self
    }

    fn all(mut self, name: &str, shape: &[usize], value: f32) -> Self {
        let values = vec![value; shape.iter().product()];
        let host = HostTensor::of_floats(ElementType::F32, shape, values).unwrap();
        self.0.constant(name, host).unwrap();
        self
    }

    fn node(self, kind: &str, inputs: &[&str], output: &str) -> Self {
        self.with(kind, inputs, output, |a| a)
    }

    fn with(
        mut self,
        kind: &str,
        inputs: &[&str],
        output: &str,
        attributes: impl FnOnce(Attributes) -> Attributes,
    ) -> Self {
        self.0
            .node_with(kind, output, inputs, &[output], attributes)
            .unwrap();
        self
    }

    fn build(mut self, outputs: &[&str]) -> Found {
        for output in outputs {
            self.0.output(output);
        }
        let graph = self.0.build().unwrap();
        let blocks = graph.blocks(&[]).unwrap();
        Found { graph, blocks }
    }
}

struct Found {
    graph: Graph,
    blocks: Blocks,
}

impl Found {
    fn value(&self, name: &str) -> ValueId {
        self.graph.value(name).unwrap()
    }

    fn names(&self) -> Vec<&'static str> {
        self.blocks.iter().map(Block::name).collect()
    }

    /// The only block.
    #[track_caller]
    fn only(&self) -> &Block {
        assert_eq!(self.blocks.len(), 1, "{:?}", self.names());
        self.blocks.iter().next().unwrap()
    }

    #[track_caller]
    fn none(&self) {
        assert!(self.blocks.is_empty(), "{:?}", self.names());
    }

    #[track_caller]
    fn layout(&self, name: &str) -> Layout {
        self.blocks.layout(self.value(name))
    }
}

fn flat() -> Toy {
    Toy::new(&[2, 5])
}

#[track_caller]
fn is_gate(found: &Found, function: GateFunction, factor: Option<&str>) {
    let block = found.only();
    let Pattern::Gate {
        function: got,
        signal,
        factor: at,
        ..
    } = block.pattern()
    else {
        panic!("{block:?}");
    };
    assert_eq!(*got, function);
    assert_eq!(*signal, found.value("x"));
    assert_eq!(*at, factor.map(|name| found.value(name)));
    assert_eq!(block.output(), found.value("y"));
    assert_eq!(block.inputs(), [found.value("x")]);
    assert_eq!(block.nodes().len(), found.graph.nodes().len());
}

#[test]
fn gates_of_one_sigmoid() {
    for order in [["x", "s"], ["s", "x"]] {
        let toy = flat().node("Sigmoid", &["x"], "s").node("Mul", &order, "y");
        is_gate(&toy.build(&["y"]), GateFunction::Silu, Some("s"));
        let toy = flat()
            .number("c", 1.702)
            .node("Mul", &["c", "x"], "scaled")
            .node("Sigmoid", &["scaled"], "s")
            .node("Mul", &order, "y");
        is_gate(&toy.build(&["y"]), GateFunction::QuickGelu, Some("s"));
    }
    // x / (1 + exp(-x))
    let toy = flat()
        .number("one", 1.0)
        .node("Neg", &["x"], "n")
        .node("Exp", &["n"], "e")
        .node("Add", &["one", "e"], "d")
        .node("Div", &["x", "d"], "y");
    is_gate(&toy.build(&["y"]), GateFunction::Silu, None);
    is_gate(
        &flat().node("Swish", &["x"], "y").build(&["y"]),
        GateFunction::Silu,
        None,
    );
    let quick = flat().node("com.microsoft.QuickGelu", &["x"], "y");
    is_gate(&quick.build(&["y"]), GateFunction::QuickGelu, None);
}

#[test]
fn sigmoid_gates_that_are_none() {
    flat()
        .number("c", 1.6)
        .node("Mul", &["c", "x"], "scaled")
        .node("Sigmoid", &["scaled"], "s")
        .node("Mul", &["x", "s"], "y")
        .build(&["y"])
        .none();
    // The sigmoid of something else.
    flat()
        .node("Tanh", &["x"], "t")
        .node("Sigmoid", &["t"], "s")
        .node("Mul", &["x", "s"], "y")
        .build(&["y"])
        .none();
    let mut two = flat();
    two.0
        .input("z", ElementType::F32, &[Some(2), Some(5)])
        .unwrap();
    let two = two
        .node("Sigmoid", &["z"], "s")
        .node("Mul", &["x", "s"], "y");
    two.build(&["y"]).none();
}

fn hard_swish(three: f32, six: f32) -> Found {
    let toy = flat()
        .number("three", three)
        .number("six", six)
        .number("zero", 0.0);
    toy.node("Add", &["x", "three"], "a")
        .node("Clip", &["a", "zero", "six"], "c")
        .node("Mul", &["x", "c"], "m")
        .node("Div", &["m", "six"], "y")
        .build(&["y"])
}

#[test]
fn hard_swish_in_its_spellings() {
    is_gate(&hard_swish(3.0, 6.0), GateFunction::HardSwish, None);
    hard_swish(3.0, 5.0).none();
    hard_swish(2.9, 6.0).none();
    let divided_first = flat()
        .number("three", 3.0)
        .number("six", 6.0)
        .number("zero", 0.0)
        .node("Add", &["three", "x"], "a")
        .node("Clip", &["a", "zero", "six"], "c")
        .node("Div", &["c", "six"], "s")
        .node("Mul", &["x", "s"], "y");
    is_gate(
        &divided_first.build(&["y"]),
        GateFunction::HardSwish,
        Some("s"),
    );
    let hard = |alpha: f32| {
        flat()
            .with("HardSigmoid", &["x"], "s", |a| a.with("alpha", alpha))
            .node("Mul", &["s", "x"], "y")
            .build(&["y"])
    };
    is_gate(&hard(1.0 / 6.0), GateFunction::HardSwish, Some("s"));
    hard(0.2).none();
    is_gate(
        &flat().node("HardSwish", &["x"], "y").build(&["y"]),
        GateFunction::HardSwish,
        None,
    );
}

/// `erf(x / divisor) + one`, as `one_more`.
fn erf(toy: Toy, divisor: f32, one: f32) -> Toy {
    toy.number("root", divisor)
        .number("one", one)
        .number("half", 0.5)
        .node("Div", &["x", "root"], "d")
        .node("Erf", &["d"], "e")
        .node("Add", &["e", "one"], "one_more")
}

#[test]
fn gelu_with_the_error_function() {
    let root = std::f32::consts::SQRT_2;
    let last = |toy: Toy| {
        toy.node("Mul", &["x", "one_more"], "m")
            .node("Mul", &["m", "half"], "y")
            .build(&["y"])
    };
    is_gate(&last(erf(flat(), root, 1.0)), GateFunction::Gelu, None);
    let inner = erf(flat(), root, 1.0)
        .node("Mul", &["half", "one_more"], "s")
        .node("Mul", &["s", "x"], "y");
    is_gate(&inner.build(&["y"]), GateFunction::Gelu, Some("s"));
    let first = erf(flat(), root, 1.0)
        .node("Mul", &["half", "x"], "m")
        .node("Mul", &["m", "one_more"], "y");
    is_gate(
        &first.build(&["y"]),
        GateFunction::Gelu,
        Some("one_more").filter(|_| false),
    );
    // Constants that are something else.
    last(erf(flat(), 1.4, 1.0)).none();
    last(erf(flat(), root, 1.01)).none();
    let half = erf(flat(), root, 1.0).number("other", 0.49);
    let half = half
        .node("Mul", &["x", "one_more"], "m")
        .node("Mul", &["m", "other"], "y");
    half.build(&["y"]).none();
    // With casts in between, and constants in half precision.
    let cast = |toy: Toy, from: &str, to: &str, kind: i64| {
        toy.with("Cast", &[from], to, |a| a.with("to", kind))
    };
    let toy = cast(flat(), "x", "h", 10)
        .half("root", root)
        .half("one", 1.0)
        .half("half", 0.5);
    let toy = toy
        .node("Div", &["h", "root"], "d")
        .node("Erf", &["d"], "e")
        .node("Identity", &["e"], "same")
        .node("Add", &["same", "one"], "one_more")
        .node("Mul", &["h", "one_more"], "m")
        .node("Mul", &["m", "half"], "z");
    let found = cast(toy, "z", "y", 1).build(&["y"]);
    let Pattern::Gate {
        function, signal, ..
    } = found.only().pattern()
    else {
        panic!()
    };
    assert_eq!((*function, *signal), (GateFunction::Gelu, found.value("h")));
    for kind in ["Gelu", "com.microsoft.Gelu"] {
        is_gate(
            &flat().node(kind, &["x"], "y").build(&["y"]),
            GateFunction::Gelu,
            None,
        );
    }
    let biased = flat()
        .weight("b", &[5])
        .node("com.microsoft.BiasGelu", &["x", "b"], "y");
    let found = biased.build(&["y"]);
    let Pattern::Gate { function, bias, .. } = found.only().pattern() else {
        panic!()
    };
    assert_eq!(
        (*function, *bias),
        (GateFunction::Gelu, Some(found.value("b")))
    );
}

fn gelu_tanh(cubic: f32, cube: bool) -> Found {
    let toy = flat()
        .number("three", 3.0)
        .number("cubic", cubic)
        .number("root", (2.0 / std::f32::consts::PI).sqrt())
        .number("one", 1.0)
        .number("half", 0.5);
    let toy = match cube {
        true => toy.node("Pow", &["x", "three"], "p"),
        false => toy
            .node("Mul", &["x", "x"], "xx")
            .node("Mul", &["xx", "x"], "p"),
    };
    toy.node("Mul", &["cubic", "p"], "c")
        .node("Add", &["x", "c"], "a")
        .node("Mul", &["a", "root"], "r")
        .node("Tanh", &["r"], "t")
        .node("Add", &["one", "t"], "one_more")
        .node("Mul", &["x", "half"], "h")
        .node("Mul", &["h", "one_more"], "y")
        .build(&["y"])
}

#[test]
fn gelu_with_a_hyperbolic_tangent() {
    is_gate(&gelu_tanh(0.044_715, true), GateFunction::GeluTanh, None);
    is_gate(&gelu_tanh(0.044_715, false), GateFunction::GeluTanh, None);
    gelu_tanh(0.05, true).none();
    gelu_tanh(0.045, false).none();
    let fast = flat().node("com.microsoft.FastGelu", &["x"], "y");
    is_gate(&fast.build(&["y"]), GateFunction::GeluTanh, None);
    let tanh = flat().with("Gelu", &["x"], "y", |a| a.with("approximate", "tanh"));
    is_gate(&tanh.build(&["y"]), GateFunction::GeluTanh, None);
}

#[test]
fn mish_in_its_spellings() {
    let toy = flat()
        .node("Softplus", &["x"], "s")
        .node("Tanh", &["s"], "t");
    is_gate(
        &toy.node("Mul", &["x", "t"], "y").build(&["y"]),
        GateFunction::Mish,
        Some("t"),
    );
    let toy = flat()
        .number("one", 1.0)
        .node("Exp", &["x"], "e")
        .node("Add", &["e", "one"], "p")
        .node("Log", &["p"], "s")
        .node("Tanh", &["s"], "t")
        .node("Mul", &["t", "x"], "y");
    is_gate(&toy.build(&["y"]), GateFunction::Mish, Some("t"));
    is_gate(
        &flat().node("Mish", &["x"], "y").build(&["y"]),
        GateFunction::Mish,
        None,
    );
}

#[test]
fn values_of_a_gate_that_others_read() {
    let found = flat()
        .node("Sigmoid", &["x"], "s")
        .node("Mul", &["x", "s"], "y")
        .node("Relu", &["s"], "z")
        .build(&["y", "z"]);
    let block = found.only();
    assert_eq!(block.inside(), [found.value("s")]);
    assert_eq!(block.read_elsewhere(), [found.value("s")]);
}

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
    // A deviation of something else.
    let mut toy = centred(Toy::new(&[1, 4, 6]), &[-1]);
    toy.0
        .input("z", ElementType::F32, &[Some(1), Some(4), Some(6)])
        .unwrap();
    normalise(toy, "z", "variance", 1e-5, Spelling::Div)
        .build(&["n"])
        .none();
    // Cubes.
    let toy = Toy::new(&[1, 4, 6])
        .ints("axes", &[2])
        .number("three", 3.0)
        .node("Pow", &["x", "three"], "cube")
        .node("ReduceMean", &["cube", "axes"], "mean");
    normalise(toy, "x", "mean", 1e-5, Spelling::Div)
        .build(&["n"])
        .none();
    // A sum that is no mean.
    let toy = Toy::new(&[1, 4, 6])
        .ints("axes", &[2])
        .node("Mul", &["x", "x"], "square")
        .node("ReduceSum", &["square", "axes"], "sum");
    normalise(toy, "x", "sum", 1e-5, Spelling::Div)
        .build(&["n"])
        .none();
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
    let Pattern::Normalization {
        statistics,
        signal,
        scale,
        offset,
        ..
    } = block.pattern()
    else {
        panic!("{block:?}")
    };
    let id = |name| found.value(name);
    assert_eq!((*statistics, *signal), (Statistics::Layer, id("x")));
    assert_eq!((*scale, *offset), (Some(id("scale")), Some(id("offset"))));
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
    let Pattern::Normalization {
        statistics,
        signal,
        scale,
        offset,
        ..
    } = block.pattern()
    else {
        panic!()
    };
    let id = |name| found.value(name);
    assert_eq!(
        (*statistics, *signal),
        (Statistics::Group { groups: 4 }, id("x"))
    );
    assert_eq!((*scale, *offset), (Some(id("scale")), Some(id("offset"))));
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
    assert_eq!(*keys, None, "no picture, no grid");
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

#[test]
fn tokens_of_patches() {
    let found = Toy::new(&[1, 3, 32, 48])
        .weight("patches", &[6, 3, 8, 8])
        .ints("flat", &[1, 6, 24])
        .weight("class", &[1, 2, 6])
        .weight("positions", &[1, 26, 6])
        .weight("w", &[6, 6])
        .ints("from", &[2])
        .ints("to", &[26])
        .ints("axis", &[1])
        .ints("back", &[1, 4, 6, 6])
        .with("Conv", &["x", "patches"], "map", |a| {
            a.with("strides", vec![8, 8])
        })
        .node("Reshape", &["map", "flat"], "f")
        .with("Transpose", &["f"], "t", |a| a.with("perm", vec![0, 2, 1]))
        .with("Concat", &["class", "t"], "tokens", |a| a.with("axis", 1))
        .node("Add", &["tokens", "positions"], "placed")
        .node("MatMul", &["placed", "w"], "mixed")
        .node("Slice", &["mixed", "from", "to", "axis"], "patches_only")
        .node("Reshape", &["patches_only", "back"], "last")
        .with("Transpose", &["last"], "y", |a| {
            a.with("perm", vec![0, 3, 1, 2])
        })
        .build(&["y"]);
    let grid = [4, 6];
    assert_eq!(found.layout("map"), Layout::ChannelsFirst);
    assert_eq!(found.layout("f"), Layout::Unknown);
    assert_eq!(found.layout("t"), Layout::Tokens { prefix: 0, grid });
    for name in ["tokens", "placed", "mixed"] {
        assert_eq!(
            found.layout(name),
            Layout::Tokens { prefix: 2, grid },
            "{name}"
        );
    }
    assert_eq!(
        found.layout("patches_only"),
        Layout::Tokens { prefix: 0, grid }
    );
    assert_eq!(found.layout("last"), Layout::ChannelsLast);
    assert_eq!(found.layout("y"), Layout::ChannelsFirst);
    let block = found.only();
    let Pattern::TokenGrid {
        map,
        prefix,
        grid: found_grid,
    } = block.pattern()
    else {
        panic!()
    };
    assert_eq!((*map, *prefix, *found_grid), (found.value("map"), 2, grid));
    assert_eq!(block.output(), found.value("tokens"));
}

#[test]
fn windows_come_back_and_shifted_ones_do_not() {
    let window = |toy: Toy, from: &str, to: &str| {
        let [parts, moved, inside, bent, apart, back] =
            ["parts", "moved", "inside", "bent", "apart", "back"]
                .map(|part| format!("{to}.{part}"));
        toy.node("Reshape", &[from, "split"], &parts)
            .with("Transpose", &[&parts], &moved, |a| {
                a.with("perm", vec![0, 1, 3, 2, 4, 5])
            })
            .node("Reshape", &[&moved, "windows"], &inside)
            .node("Relu", &[&inside], &bent)
            .node("Reshape", &[&bent, "unwindowed"], &apart)
            .with("Transpose", &[&apart], &back, |a| {
                a.with("perm", vec![0, 1, 3, 2, 4, 5])
            })
            .node("Reshape", &[&back, "whole"], to)
    };
    let toy = Toy::new(&[1, 3, 8, 8])
        .weight("c", &[5, 3, 1, 1])
        .ints("split", &[1, 2, 4, 2, 4, 5])
        .ints("windows", &[4, 16, 5])
        .ints("unwindowed", &[1, 2, 2, 4, 4, 5])
        .ints("whole", &[1, 8, 8, 5])
        .ints("zero", &[0])
        .ints("three", &[3])
        .ints("eight", &[8])
        .ints("axis", &[1])
        .node("Conv", &["x", "c"], "map")
        .with("Transpose", &["map"], "last", |a| {
            a.with("perm", vec![0, 2, 3, 1])
        });
    let toy = window(toy, "last", "plain")
        .node("Slice", &["plain", "three", "eight", "axis"], "lower")
        .node("Slice", &["plain", "zero", "three", "axis"], "upper")
        .with("Concat", &["lower", "upper"], "rolled", |a| {
            a.with("axis", 1)
        });
    let found = window(toy, "rolled", "shifted")
        .node("Add", &["plain", "shifted"], "y")
        .build(&["y"]);
    assert_eq!(found.layout("last"), Layout::ChannelsLast);
    assert_eq!(found.layout("plain.inside"), Layout::Unknown);
    assert_eq!(found.layout("plain"), Layout::ChannelsLast);
    assert_eq!(found.layout("rolled"), Layout::Unknown);
    assert_eq!(found.layout("shifted"), Layout::Unknown);
    assert_eq!(found.layout("y"), Layout::ChannelsLast);
}
