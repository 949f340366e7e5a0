//! Graphs by hand: what an importer needs beside nodes and constants.

use std::sync::Arc;

use elucid_graph::{
    Activation, Attribute, BoundGraph, ElementType, Graph, GraphBuilder, GraphError, HostTensor,
    Ledger, Limits, host_bytes,
};
use elucid_testkit::device;

fn row(values: &[f32]) -> Activation {
    let array = ndarray::Array1::from(values.to_vec()).into_dyn();
    Activation::from_array(&array.into_shared(), &device())
}

/// A branch that reads `inside` from the graph around it.
fn branch(operator: &str, inside: &str) -> Arc<Graph> {
    let mut body = GraphBuilder::new().body();
    body.node(operator, "", &[inside], &["z"]).unwrap();
    body.output("z");
    let body = body.build().unwrap();
    assert_eq!(body.captures(), [inside]);
    Arc::new(body)
}

#[test]
fn bodies_take_what_they_read_from_around_them() {
    let mut builder = GraphBuilder::new();
    builder.input("a", ElementType::F32, &[Some(2)]).unwrap();
    builder.input("b", ElementType::F32, &[Some(2)]).unwrap();
    builder.node("ReduceSum", "", &["a"], &["sum"]).unwrap();
    builder.node("Sign", "", &["sum"], &["sign"]).unwrap();
    builder
        .node_with("Cast", "", &["sign"], &["on"], |a| a.with("to", 9_i64))
        .unwrap();
    builder
        .node_with("If", "choice", &["on"], &["y"], |a| {
            a.with("then_branch", branch("Neg", "b"))
                .with("else_branch", branch("Exp", "a"))
        })
        .unwrap();
    builder.output("y");
    let graph = builder.build().unwrap();
    let choice = graph.nodes().last().unwrap();
    let read: Vec<&str> = choice
        .inputs
        .iter()
        .flatten()
        .map(|&v| graph.name(v))
        .collect();
    assert_eq!(read, ["on", "a", "b"]);
    let model = BoundGraph::new(graph, &device());
    let chosen = |a: &[f32]| {
        let pass = model.pass().feed("a", row(a)).feed("b", row(&[1.0, 2.0]));
        let fetched = pass.fetch(["y"]).unwrap();
        let y = fetched.get("y").unwrap().to_array().unwrap();
        y.into_iter().collect::<Vec<f32>>()
    };
    assert_eq!(chosen(&[1.0, 2.0]), [-1.0, -2.0]);
    assert_eq!(chosen(&[0.0, 0.0]), [1.0, 1.0]);
}

#[test]
fn nodes_stand_in_modules() {
    let mut builder = GraphBuilder::new();
    builder.input("x", ElementType::F32, &[Some(2)]).unwrap();
    builder
        .module("features.0")
        .node("Relu", "", &["x"], &["a"])
        .unwrap();
    builder.node("Abs", "", &["a"], &["b"]).unwrap();
    builder.module("").node("Exp", "", &["b"], &["y"]).unwrap();
    assert_eq!(builder.node_count(), 3);
    builder.output("y");
    let graph = builder.build().unwrap();
    let modules: Vec<&str> = graph
        .nodes()
        .iter()
        .map(|node| node.module.as_str())
        .collect();
    assert_eq!(modules, ["features.0", "features.0", ""]);
    let model = BoundGraph::new(graph, &device());
    let fetched = model
        .pass()
        .feed("x", row(&[-1.0, 2.0]))
        .fetch(["features.0"])
        .unwrap();
    let value = fetched.get("features.0").unwrap().to_array().unwrap();
    assert_eq!(value.into_iter().collect::<Vec<f32>>(), [0.0, 2.0]);
}

#[test]
fn an_operator_that_nobody_knows_stops_what_depends_on_it() {
    let mut builder = GraphBuilder::new();
    builder.input("x", ElementType::F32, &[Some(2)]).unwrap();
    builder.missing("toy.Gizmo", "g", &["x"], &["lost"]);
    builder.node("Relu", "", &["x"], &["y"]).unwrap();
    builder.output("lost").output("y");
    let model = BoundGraph::new(builder.build().unwrap(), &device());
    let pass = || model.pass().feed("x", row(&[-1.0, 2.0]));
    assert!(pass().fetch(["y"]).is_ok());
    match pass().fetch(["lost"]).map(|_| ()) {
        Err(GraphError::UnsupportedOperators(operators)) => {
            assert_eq!(operators, [("toy.Gizmo".to_owned(), vec!["g".to_owned()])]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(model.obstacles()[0].nodes(), ["g"]);
}

#[test]
fn what_is_computed_ahead_is_counted_in_the_ledger() {
    const COUNT: usize = 1 << 10;
    let built = |memory: u64| {
        let mut ledger = Ledger::new(Limits::default().with_memory(memory));
        let mut builder = GraphBuilder::new();
        builder
            .input("x", ElementType::F32, &[Some(COUNT)])
            .unwrap();
        let constant = HostTensor::of_floats(ElementType::F32, &[COUNT], vec![1.0; COUNT]);
        ledger.hold(host_bytes(ElementType::F32, COUNT)).unwrap();
        builder.constant("c", constant.unwrap()).unwrap();
        assert!(builder.has_constant("c") && !builder.has_constant("x"));
        // The constant, on the host, and what comes of it.
        builder.node("Neg", "", &["c"], &["d"]).unwrap();
        builder.node("Add", "", &["x", "d"], &["y"]).unwrap();
        builder.output("y");
        builder
            .build_within(&mut ledger)
            .map(|graph| (graph, ledger))
    };
    let (graph, ledger) = built(1 << 20).unwrap();
    assert_eq!(ledger.held(), 2 * host_bytes(ElementType::F32, COUNT));
    assert_eq!(graph.limits(), ledger.limits());
    assert_eq!(graph.limits().memory(), 1 << 20);
    let refused = built(host_bytes(ElementType::F32, COUNT) + 1);
    assert!(matches!(refused, Err(GraphError::TooLarge { .. })));
    // An attribute that is a graph is one, whoever made it.
    assert!(matches!(
        Attribute::from(Arc::new(graph)),
        Attribute::Graph(_)
    ));
}
