//! Gates in each spelling, and what is none.

use elucid_graph::{ElementType, GateFunction, Pattern};

use crate::blocks::toy::{Found, Toy};

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

/// `x`, halves and `erf(x / divisor)`, as `e`.
fn odd(divisor: f32) -> Toy {
    flat()
        .number("root", divisor)
        .number("half", 0.5)
        .node("Div", &["x", "root"], "d")
        .node("Erf", &["d"], "e")
}

#[test]
fn gelu_as_a_sum() {
    let root = std::f32::consts::SQRT_2;
    let is_gelu = |toy: Toy| is_gate(&toy.build(&["y"]), GateFunction::Gelu, None);
    // half (x + x erf), in each order.
    for (product, sum) in [(["x", "e"], ["x", "m"]), (["e", "x"], ["m", "x"])] {
        for kind in ["Add", "Sum"] {
            let toy = odd(root).node("Mul", &product, "m").node(kind, &sum, "s");
            is_gelu(toy.node("Mul", &["half", "s"], "y"));
        }
    }
    // half x + half x erf.
    for sum in [["h", "m"], ["m", "h"]] {
        let toy = odd(root).node("Mul", &["x", "half"], "h");
        let toy = toy.node("Mul", &["h", "e"], "m");
        is_gelu(toy.node("Add", &sum, "y"));
    }
    // Each half on its own, and the second behind the product.
    let toy = odd(root)
        .node("Mul", &["half", "x"], "h")
        .node("Mul", &["x", "e"], "m")
        .node("Mul", &["m", "half"], "n");
    is_gelu(toy.node("Add", &["h", "n"], "y"));
    // erf is odd: half x - half x erf(-x / root).
    let toy = odd(-root)
        .node("Mul", &["x", "half"], "h")
        .node("Mul", &["h", "e"], "m");
    is_gelu(toy.node("Sub", &["h", "m"], "y"));
}

#[test]
fn sums_that_are_no_gelu() {
    let root = std::f32::consts::SQRT_2;
    let halves = |toy: Toy| {
        toy.node("Mul", &["x", "half"], "h")
            .node("Mul", &["h", "e"], "m")
    };
    // Another divisor, the difference, another factor, and something else that is multiplied.
    let sum = |toy: Toy| toy.node("Add", &["h", "m"], "y").build(&["y"]);
    sum(halves(odd(1.4))).none();
    let less = halves(odd(root)).node("Sub", &["m", "h"], "y");
    less.build(&["y"]).none();
    sum(odd(root)
        .number("more", 0.51)
        .node("Mul", &["x", "half"], "h")
        .node("Mul", &["x", "more"], "k")
        .node("Mul", &["k", "e"], "m"))
    .none();
    let mut two = odd(root);
    two.0
        .input("z", ElementType::F32, &[Some(2), Some(5)])
        .unwrap();
    let two = two
        .node("Mul", &["z", "half"], "h")
        .node("Mul", &["h", "e"], "m");
    sum(two).none();
    // A number for each channel.
    let toy = odd(root)
        .weight("c", &[5])
        .node("Mul", &["x", "c"], "h")
        .node("Mul", &["h", "e"], "m");
    sum(toy).none();
    // A residual sum with a gate is no gate, and the gate stays one.
    let found = flat()
        .node("Sigmoid", &["x"], "s")
        .node("Mul", &["x", "s"], "m")
        .node("Add", &["x", "m"], "y")
        .build(&["y"]);
    assert_eq!(found.only().output(), found.value("m"));
}

/// The approximation of GELU without a bracket: `x / 2 + x / 2 tanh(root x + root cubic x^3)`.
fn expanded(cubic: f32) -> Found {
    let root = (2.0 / std::f32::consts::PI).sqrt();
    flat()
        .number("root", root)
        .number("cubic", root * cubic)
        .number("half", 0.5)
        .node("Mul", &["x", "x"], "xx")
        .node("Mul", &["xx", "x"], "xxx")
        .node("Mul", &["xxx", "cubic"], "c")
        .node("Mul", &["x", "root"], "r")
        .node("Add", &["c", "r"], "a")
        .node("Tanh", &["a"], "t")
        .node("Mul", &["x", "half"], "h")
        .node("Mul", &["h", "t"], "m")
        .node("Add", &["m", "h"], "y")
        .build(&["y"])
}

#[test]
fn gelu_with_a_hyperbolic_tangent_expanded() {
    is_gate(&expanded(0.044_715), GateFunction::GeluTanh, None);
    expanded(0.05).none();
    // x (1 + c x²) root, and half (x + x tanh).
    let toy = flat()
        .number("root", (2.0 / std::f32::consts::PI).sqrt())
        .number("cubic", 0.044_715)
        .number("one", 1.0)
        .number("half", 0.5)
        .node("Mul", &["x", "x"], "xx")
        .node("Mul", &["cubic", "xx"], "c")
        .node("Add", &["c", "one"], "a")
        .node("Mul", &["x", "a"], "b")
        .node("Mul", &["b", "root"], "r")
        .node("Tanh", &["r"], "t")
        .node("Mul", &["x", "t"], "m")
        .node("Add", &["m", "x"], "s")
        .node("Mul", &["s", "half"], "y");
    is_gate(&toy.build(&["y"]), GateFunction::GeluTanh, None);
    // By the sigmoid of twice the same.
    let toy = flat()
        .number("root", 2.0 * (2.0 / std::f32::consts::PI).sqrt())
        .number("cubic", 0.044_715)
        .number("three", 3.0)
        .node("Pow", &["x", "three"], "p")
        .node("Mul", &["p", "cubic"], "c")
        .node("Add", &["x", "c"], "a")
        .node("Mul", &["a", "root"], "r")
        .node("Sigmoid", &["r"], "s")
        .node("Mul", &["x", "s"], "y");
    is_gate(&toy.build(&["y"]), GateFunction::GeluTanh, Some("s"));
}

#[test]
fn silu_by_a_reciprocal() {
    let exponential = || {
        flat()
            .number("one", 1.0)
            .number("minus", -1.0)
            .node("Mul", &["x", "minus"], "n")
            .node("Exp", &["n"], "e")
            .node("Add", &["e", "one"], "d")
    };
    let divided = exponential().node("Div", &["one", "d"], "s");
    let inverted = exponential().node("Reciprocal", &["d"], "s");
    for toy in [divided, inverted] {
        let toy = toy.node("Mul", &["x", "s"], "y");
        is_gate(&toy.build(&["y"]), GateFunction::Silu, Some("s"));
    }
    let twice = exponential()
        .number("two", 2.0)
        .node("Div", &["two", "d"], "s")
        .node("Mul", &["x", "s"], "y");
    twice.build(&["y"]).none();
}

#[test]
fn hard_swish_by_other_bounds() {
    let is_hard = |toy: Toy, factor: Option<&str>| {
        is_gate(&toy.build(&["y"]), GateFunction::HardSwish, factor);
    };
    let numbers = || {
        flat()
            .number("three", 3.0)
            .number("six", 6.0)
            .number("zero", 0.0)
            .number("sixth", 1.0 / 6.0)
    };
    let bounded = || {
        numbers()
            .node("Add", &["x", "three"], "a")
            .node("Max", &["a", "zero"], "b")
            .node("Min", &["b", "six"], "c")
    };
    let toy = bounded().node("Mul", &["x", "c"], "m");
    is_hard(toy.node("Mul", &["m", "sixth"], "y"), None);
    let toy = bounded().node("Mul", &["sixth", "c"], "s");
    is_hard(toy.node("Mul", &["s", "x"], "y"), Some("s"));
    let toy = bounded().node("Mul", &["x", "sixth"], "h");
    is_hard(toy.node("Mul", &["h", "c"], "y"), None);
    // clip(x / 6 + 1 / 2, 0, 1)
    let inside = |half: f32| {
        numbers()
            .number("half", half)
            .number("one", 1.0)
            .node("Div", &["x", "six"], "h")
            .node("Add", &["h", "half"], "a")
            .node("Clip", &["a", "zero", "one"], "s")
            .node("Mul", &["x", "s"], "y")
    };
    is_hard(inside(0.5), Some("s"));
    inside(0.4).build(&["y"]).none();
    // No lower bound.
    let open = numbers()
        .node("Add", &["x", "three"], "a")
        .node("Min", &["a", "six"], "c")
        .node("Mul", &["x", "c"], "m")
        .node("Div", &["m", "six"], "y");
    open.build(&["y"]).none();
}
