//! Bodies that run, and values that are read back on the way, with gradients.

use std::sync::Arc;

use elucid_graph::{
    Activation, BoundGraph, ElementType, Graph, GraphBuilder, GraphError, HostTensor,
};

use elucid_testkit::onnx::{AttributeProto, GraphProto, Onnx, bools};

const F32: ElementType = ElementType::F32;

/// A body or a network.
fn graph(
    inputs: &[(&str, ElementType)],
    fill: impl FnOnce(&mut GraphBuilder),
    outputs: &[&str],
) -> Graph {
    let mut builder = GraphBuilder::new();
    for (name, kind) in inputs {
        // The batch, and everything else, is open.
        let shape: &[Option<usize>] = if *name == "x" { &[None, None] } else { &[] };
        builder.input(name, *kind, shape).unwrap();
    }
    fill(&mut builder);
    for output in outputs {
        builder.output(output);
    }
    builder.build().unwrap()
}

fn floats(shape: &[usize], values: &[f32]) -> HostTensor {
    HostTensor::of_floats(F32, shape, values.to_vec()).unwrap()
}

fn model(graph: Graph) -> BoundGraph {
    BoundGraph::new(graph, &elucid_testkit::device())
}

/// The values of a layer of a network with one input `x`, and the gradient of their sum at `x`.
fn run(model: &BoundGraph, x: &HostTensor, layer: &str) -> (Vec<f32>, Vec<f32>) {
    let x = Activation::from_array(x.float_array().unwrap(), model.device()).require_grad();
    let fetched = model.pass().feed("x", x.clone()).fetch([layer]).unwrap();
    let found = fetched.get(layer).unwrap();
    let values = found.to_array().unwrap().into_iter().collect();
    let gradients = found.rows().sum().backward();
    let gradient = match x.gradient(&gradients) {
        Some(gradient) => gradient.to_array().unwrap().into_iter().collect(),
        None => vec![0.0; x.shape().iter().product()],
    };
    (values, gradient)
}

/// A loop whose body doubles `x`, a number of times or while its sum is below 10.
fn doubling(trips: Option<i64>, conditional: bool) -> Graph {
    let inside = graph(
        &[
            ("i", ElementType::I64),
            ("on", ElementType::Bool),
            ("v", F32),
        ],
        |b| {
            b.constant("limit", HostTensor::float(10.0)).unwrap();
            b.node("Add", "", &["v", "v"], &["next"]).unwrap();
            b.node_with("ReduceSum", "", &["next"], &["sum"], |a| {
                a.with("keepdims", 0)
            })
            .unwrap();
            b.node("Less", "", &["sum", "limit"], &["still"]).unwrap();
            b.node("Identity", "", &["next"], &["row"]).unwrap();
        },
        &["still", "next", "row"],
    );
    graph(
        &[("x", F32)],
        |b| {
            b.constant("trips", HostTensor::int(trips.unwrap_or(0)))
                .unwrap();
            b.constant("on", HostTensor::of_bools(&[], vec![true]).unwrap())
                .unwrap();
            let trips = if trips.is_some() { "trips" } else { "" };
            let on = if conditional { "on" } else { "" };
            b.node_with("Loop", "", &[trips, on, "x"], &["last", "rows"], |a| {
                a.with("body", Arc::new(inside))
            })
            .unwrap();
        },
        &["last", "rows"],
    )
}

#[test]
fn loops_are_unrolled_and_differentiable() {
    let x = floats(&[1, 2], &[1.0, 0.5]);
    let counted = model(doubling(Some(2), false));
    assert_eq!(run(&counted, &x, "last"), (vec![4.0, 2.0], vec![4.0, 4.0]));
    let rows = (vec![2.0, 1.0, 4.0, 2.0], vec![6.0, 6.0]);
    assert_eq!(run(&counted, &x, "rows"), rows);
    // The sum is 3, 6, 12: the condition follows from the image.
    let conditional = model(doubling(None, true));
    assert_eq!(
        run(&conditional, &x, "last"),
        (vec![8.0, 4.0], vec![8.0, 8.0])
    );
    let both = model(doubling(Some(1), true));
    assert_eq!(run(&both, &x, "last").0, [2.0, 1.0]);
}

#[test]
fn a_loop_of_no_iterations_hands_its_values_through() {
    let x = floats(&[1, 2], &[1.0, 0.5]);
    let none = model(doubling(Some(0), false));
    assert_eq!(run(&none, &x, "last"), (vec![1.0, 0.5], vec![1.0, 1.0]));
    let tensor = Activation::from_array(x.float_array().unwrap(), none.device());
    let rows = none.pass().feed("x", tensor).read(["rows"]).unwrap();
    assert_eq!(rows[0].shape(), [0, 1, 2]);
}

#[test]
fn a_loop_without_end_is_refused() {
    let endless = |inner: Option<Graph>| {
        let inputs = [
            ("i", ElementType::I64),
            ("on", ElementType::Bool),
            ("v", F32),
        ];
        graph(
            &inputs,
            |b| {
                b.node("Identity", "", &["on"], &["still"]).unwrap();
                match inner {
                    None => b.node("Neg", "", &["v"], &["next"]).unwrap(),
                    Some(inner) => b
                        .node_with("Loop", "", &["", "on", "v"], &["next"], |a| {
                            a.with("body", Arc::new(inner))
                        })
                        .unwrap(),
                };
            },
            &["still", "next"],
        )
    };
    for body in [endless(None), endless(Some(endless(None)))] {
        let network = graph(
            &[("x", F32)],
            |b| {
                b.constant("on", HostTensor::of_bools(&[], vec![true]).unwrap())
                    .unwrap();
                b.node_with("Loop", "", &["", "on", "x"], &["y"], |a| {
                    a.with("body", Arc::new(body))
                })
                .unwrap();
            },
            &["y"],
        );
        let network = model(network);
        let x = floats(&[1, 1], &[1.0]);
        let x = Activation::from_array(x.float_array().unwrap(), network.device());
        let refused = network.pass().feed("x", x).read(["y"]).unwrap_err();
        assert!(matches!(refused, GraphError::Operator { .. }));
        assert!(refused.to_string().contains("steps"), "{refused}");
    }
}

#[test]
fn a_condition_may_follow_from_the_image() {
    let branch = |factor: f32| {
        graph(
            &[],
            |b| {
                b.constant("c", HostTensor::float(factor)).unwrap();
            },
            &["c"],
        )
    };
    let network = graph(
        &[("x", F32)],
        |b| {
            b.constant("zero", HostTensor::float(0.0)).unwrap();
            b.node_with("ReduceSum", "", &["x"], &["sum"], |a| a.with("keepdims", 0))
                .unwrap();
            b.node("Greater", "", &["sum", "zero"], &["above"]).unwrap();
            b.node_with("If", "", &["above"], &["factor"], |a| {
                a.with("then_branch", Arc::new(branch(3.0)))
                    .with("else_branch", Arc::new(branch(-1.0)))
            })
            .unwrap();
            b.node("Mul", "", &["x", "factor"], &["y"]).unwrap();
        },
        &["y"],
    );
    let network = model(network);
    let (values, gradient) = run(&network, &floats(&[1, 2], &[1.0, 2.0]), "y");
    assert_eq!((values, gradient), (vec![3.0, 6.0], vec![3.0, 3.0]));
    let (values, gradient) = run(&network, &floats(&[1, 2], &[1.0, -2.0]), "y");
    assert_eq!((values, gradient), (vec![-1.0, 2.0], vec![-1.0, -1.0]));
}

#[test]
fn slices_are_scanned_along_any_axis_in_both_directions() {
    let inside = graph(
        &[("state", F32), ("slice", F32)],
        |b| {
            b.node("Add", "", &["state", "slice"], &["next"]).unwrap();
            b.node("Mul", "", &["next", "slice"], &["row"]).unwrap();
        },
        &["next", "row"],
    );
    let network = graph(
        &[("x", F32)],
        |b| {
            b.constant("start", floats(&[2], &[0.0, 10.0])).unwrap();
            b.node_with("Scan", "", &["start", "x"], &["last", "rows"], |a| {
                a.with("body", Arc::new(inside))
                    .with("num_scan_inputs", 1)
                    .with("scan_input_axes", vec![1_i64])
                    .with("scan_input_directions", vec![1_i64])
                    .with("scan_output_axes", vec![-1_i64])
                    .with("scan_output_directions", vec![1_i64])
            })
            .unwrap();
        },
        &["last", "rows"],
    );
    let network = model(network);
    let x = floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(run(&network, &x, "last"), (vec![6.0, 25.0], vec![1.0; 6]));
    // Of the state behind each slice and the slice, from the last to the first, put back in order.
    let rows = vec![6.0, 10.0, 9.0, 100.0, 105.0, 96.0];
    assert_eq!(run(&network, &x, "rows").0, rows);
}

#[test]
fn what_is_read_back_keeps_its_gradient() {
    let network = graph(
        &[("x", F32)],
        |b| {
            let one = HostTensor::from_ints(vec![1]);
            b.constant("k", one).unwrap();
            b.constant("two", HostTensor::float(2.0)).unwrap();
            b.node("Mul", "", &["x", "two"], &["scores"]).unwrap();
            // Reads the scores.
            b.node("TopK", "", &["scores", "k"], &["best", "where"])
                .unwrap();
            // Reads them again, behind that.
            b.node("Mul", "", &["scores", "scores"], &["squares"])
                .unwrap();
            b.node("GatherElements", "", &["squares", "where"], &["y0"])
                .unwrap();
            b.node_with("GatherElements", "", &["squares", "where"], &["y"], |a| {
                a.with("axis", 1)
            })
            .unwrap();
        },
        &["best", "squares", "y"],
    );
    let network = model(network);
    let x = floats(&[1, 3], &[1.0, 3.0, 2.0]);
    assert_eq!(run(&network, &x, "best"), (vec![6.0], vec![0.0, 2.0, 0.0]));
    assert_eq!(run(&network, &x, "y"), (vec![36.0], vec![0.0, 24.0, 0.0]));
}

#[test]
fn detections_behind_a_suppression_are_differentiable() {
    let network = graph(
        &[("x", F32)],
        |b| {
            let boxes = [0.0, 0.0, 1.0, 1.0, 0.0, 0.1, 1.0, 1.1, 5.0, 5.0, 6.0, 6.0];
            b.constant("boxes", floats(&[1, 3, 4], &boxes)).unwrap();
            b.constant("most", HostTensor::int(9)).unwrap();
            b.constant("overlap", HostTensor::float(0.5)).unwrap();
            b.constant("axes", HostTensor::from_ints(vec![0])).unwrap();
            b.constant("two", HostTensor::int(2)).unwrap();
            b.node("Sigmoid", "", &["x"], &["p"]).unwrap();
            b.node("Unsqueeze", "", &["p", "axes"], &["scores"])
                .unwrap();
            let inputs = ["boxes", "scores", "most", "overlap"];
            b.node("NonMaxSuppression", "", &inputs, &["found"])
                .unwrap();
            b.node_with("Gather", "", &["found", "two"], &["kept"], |a| {
                a.with("axis", 1)
            })
            .unwrap();
            b.node_with("Gather", "", &["scores", "kept"], &["y"], |a| {
                a.with("axis", 2)
            })
            .unwrap();
        },
        &["y"],
    );
    let network = model(network);
    let x = floats(&[1, 3], &[0.0, 1.0, -1.0]);
    let (values, gradient) = run(&network, &x, "y");
    let sigmoid = |v: f32| 1.0 / (1.0 + (-v).exp());
    let expected = [sigmoid(1.0), sigmoid(-1.0)];
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6);
    }
    assert_eq!(gradient[0], 0.0);
    assert!((gradient[1] - expected[0] * (1.0 - expected[0])).abs() < 1e-6);
    assert!((gradient[2] - expected[1] * (1.0 - expected[1])).abs() < 1e-6);
}

/// A branch: nodes between values of its own and of the graph around it.
fn branch(fill: impl FnOnce(Onnx) -> Onnx, outputs: &[&str]) -> GraphProto {
    let onnx = outputs
        .iter()
        .fold(fill(Onnx::new()), |o, name| o.output(name));
    onnx.0.graph.unwrap()
}

/// Adds an `If` to a network.
fn choose(onnx: Onnx, condition: &str, outputs: &[&str], [yes, no]: [GraphProto; 2]) -> Onnx {
    let mut onnx = onnx.node("If", &[condition], outputs).named("gate");
    let node = onnx.graph().node.last_mut().unwrap();
    for (name, body) in [("then_branch", yes), ("else_branch", no)] {
        node.attribute.push(AttributeProto {
            name: Some(name.to_owned()),
            g: Some(Box::new(body)),
            kind: Some(5),
            ..Default::default()
        });
    }
    onnx
}

fn kinds(graph: &Graph) -> Vec<String> {
    let nodes = graph.nodes().iter();
    nodes.map(|node| node.op.kind().to_string()).collect()
}

#[test]
fn a_branch_that_a_constant_chooses_is_put_in_place() {
    let branches = || {
        let yes = branch(
            |o| {
                let o = o.weight("twice", &[1]);
                let o = o.node("Neg", &["a"], &["inside"]).within("head.gate");
                // A name that the graph around it has, too.
                let o = o.node("Abs", &["inside"], &["b"]);
                o.node("Mul", &["b", "twice"], &["made"])
            },
            &["made", "a", "twice"],
        );
        let no = branch(
            |o| o.weight("half", &[1]).node("Exp", &["a"], &["grown"]),
            &["grown", "grown", "half"],
        );
        [yes, no]
    };
    let network = |condition: bool| {
        let mut flag = bools("flag", 1);
        flag.dims = Vec::new();
        flag.raw_data = Some(vec![u8::from(condition)].into());
        let onnx = Onnx::new()
            .input("x", &[-1, 2])
            .tensor(flag)
            // What the condition is follows from constants.
            .node("Not", &["flag"], &["off"])
            .node("Not", &["off"], &["on"])
            .node("Relu", &["x"], &["a"])
            .node("Sigmoid", &["x"], &["b"]);
        let onnx = choose(onnx, "on", &["first", "second", "third"], branches());
        let onnx =
            onnx.node("Add", &["first", "second"], &["sum"])
                .node("Mul", &["sum", "third"], &["y"]);
        model(elucid_onnx::import(onnx.bytes()).unwrap())
    };
    let x = floats(&[1, 2], &[2.0, -3.0]);
    // The weight of one number is 7 / 40 - 0.5.
    let weight = 7.0 / 40.0 - 0.5;
    let close = |got: &[f32], expected: [f32; 2]| {
        let far = got.iter().zip(expected).map(|(g, e)| (g - e).abs());
        assert!(far.fold(0.0, f32::max) < 1e-5, "{got:?} {expected:?}");
    };

    let yes = network(true);
    assert_eq!(
        kinds(yes.graph()),
        [
            "Relu", "Sigmoid", "Neg", "Abs", "Mul", "Identity", "Add", "Mul"
        ]
    );
    // |-a| w + a, times w.
    let (values, gradient) = run(&yes, &x, "y");
    close(&values, [(2.0 * weight + 2.0) * weight, 0.0]);
    close(&gradient, [(weight + 1.0) * weight, 0.0]);
    // What is inside can be asked for by its name, its module, and where that is taken by both.
    assert_eq!(run(&yes, &x, "inside").0, [-2.0, 0.0]);
    close(&run(&yes, &x, "b").0, [0.880_797, 0.047_426]);
    assert_eq!(run(&yes, &x, "gate/b").0, [2.0, 0.0]);
    let inside = yes.graph().value("inside").unwrap();
    assert_eq!(yes.graph().producer(inside).unwrap().module, "head.gate");

    let no = network(false);
    assert_eq!(
        kinds(no.graph()),
        ["Relu", "Sigmoid", "Exp", "Identity", "Add", "Mul"]
    );
    let (values, _) = run(&no, &x, "y");
    let grown = [2.0_f32.exp(), 1.0];
    close(&values, grown.map(|v| 2.0 * v * weight));
}

#[test]
fn branches_in_branches_are_put_in_place() {
    let inner = |op: &str| branch(|o| o.node(op, &["x"], &["z"]), &["z"]);
    let outer = |ops: [&str; 2]| {
        let fill = |o: Onnx| {
            // Known in the branch only.
            let o = o.tensor(bools("yes", 1));
            choose(o, "yes", &["out"], ops.map(inner))
        };
        branch(fill, &["out"])
    };
    let onnx = Onnx::new().input("x", &[-1, 2]).tensor(bools("one", 1));
    let bodies = [outer(["Abs", "Exp"]), outer(["Sin", "Cos"])];
    let onnx = choose(onnx, "one", &["first"], bodies);
    // The same names once more.
    let bodies = [outer(["Neg", "Exp"]), outer(["Sin", "Cos"])];
    let onnx = choose(onnx, "one", &["second"], bodies);
    let onnx = onnx.node("Add", &["first", "second"], &["y"]);
    let network = model(elucid_onnx::import(onnx.bytes()).unwrap());
    assert_eq!(kinds(network.graph()), ["Abs", "Neg", "Add"]);
    let x = floats(&[1, 2], &[2.0, -3.0]);
    let (values, gradient) = run(&network, &x, "y");
    assert_eq!((values, gradient), (vec![0.0, 6.0], vec![0.0, -2.0]));
}

#[test]
fn a_branch_that_does_not_fit_is_an_error() {
    let one = || branch(|o| o.node("Abs", &["x"], &["z"]), &["z"]);
    let onnx = Onnx::new().input("x", &[-1, 2]).tensor(bools("one", 1));
    let onnx = choose(onnx, "one", &["first", "second"], [one(), one()]);
    let onnx = onnx.node("Add", &["first", "second"], &["y"]);
    let network = model(elucid_onnx::import(onnx.bytes()).unwrap());
    let x = floats(&[1, 2], &[2.0, -3.0]);
    let x = Activation::from_array(x.float_array().unwrap(), network.device());
    let refused = network.pass().feed("x", x).read(["y"]).map(|_| ());
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, GraphError::Operator { .. }),
        "{refused:?}"
    );
}
