//! Operators that a file defines by other nodes, bodies inside nodes, and operators of other domains.

use std::sync::Arc;

use elucid_graph::{
    Activation, Attributes, Entry, Graph, Kernel, Known, Operands, Operator, Refused, Registry,
    Resolved, Slots,
};
use elucid_onnx::Importer;
use elucid_rules::{Algebra, OpKind};
use elucid_testkit::onnx::{
    AttributeProto, FunctionProto, NodeProto, Onnx, OperatorSetIdProto, data_type,
};

fn node(op: &str, domain: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        op_type: Some(op.to_owned()),
        domain: Some(domain.to_owned()),
        input: names(inputs),
        output: names(outputs),
        ..Default::default()
    }
}

fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto {
        domain: Some(domain.to_owned()),
        version: Some(version),
    }
}

/// `x` through one call of a function with these nodes, from `a` to `b`.
fn calling(nodes: Vec<NodeProto>) -> (Onnx, FunctionProto) {
    let mut onnx = Onnx::new().input("x", &[1, 2]);
    onnx.graph().node.push(node("f", "own", &["x"], &["y"]));
    let function = FunctionProto {
        name: Some("f".to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: nodes,
        ..Default::default()
    };
    (onnx.output("y"), function)
}

fn with(mut onnx: Onnx, function: FunctionProto) -> Onnx {
    onnx.0.functions.push(function);
    onnx
}

fn kinds(graph: &Graph) -> Vec<String> {
    graph
        .nodes()
        .iter()
        .map(|node| node.op.kind().to_string())
        .collect()
}

/// An operator that is called what the version of its set says.
#[derive(Debug)]
struct Versioned(i64);

impl Versioned {
    fn read(attributes: &Attributes) -> Result<Arc<dyn Operator>, String> {
        Ok(Arc::new(Self(attributes.opset())))
    }
}

impl Operator for Versioned {
    fn kind(&self) -> OpKind {
        OpKind::named(&format!("version {}", self.0))
    }

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        Algebra::Activation
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        Ok(Resolved::one(Through, inputs.floats(0)?.shape.clone()))
    }
}

#[derive(Debug)]
struct Through;

impl Kernel for Through {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        vec![inputs.take(0)]
    }
}

#[test]
fn calls_become_nodes() {
    let inner = vec![
        node("Relu", "", &["a"], &["c"]),
        node("Abs", "", &["c"], &["b"]),
    ];
    let (onnx, function) = calling(inner);
    let graph = elucid_onnx::import(with(onnx, function).bytes()).unwrap();
    assert_eq!(kinds(&graph), ["Relu", "Abs"]);
    let names: Vec<&str> = graph
        .nodes()
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(names, ["y/c", "y/b"]);
    assert_eq!(graph.name(graph.nodes()[0].outputs[0]), "y/c");
}

#[test]
fn a_function_has_versions_of_its_own() {
    let registry = Registry::standard().with(Entry::of("acme", "V", Versioned::read));
    let importer = Importer::new().operators(registry);
    for (stated, of_function, expected) in [
        (Some(3), Some(7), "version 7"),
        (Some(3), None, "version 3"),
        (None, Some(7), "version 7"),
        (None, None, "version 1"),
    ] {
        let (mut onnx, mut function) = calling(vec![node("V", "acme", &["a"], &["b"])]);
        let opsets = stated.map(|version| opset("acme", version));
        onnx.0.opset_import.extend(opsets);
        let opsets = of_function.map(|version| opset("acme", version));
        function.opset_import.extend(opsets);
        let graph = importer.import(with(onnx, function).bytes()).unwrap();
        assert_eq!(kinds(&graph), [expected]);
    }
}

#[test]
fn own_names_of_the_domain_of_onnx() {
    let mut onnx = Onnx::new().input("x", &[1, 2]);
    onnx.graph()
        .node
        .push(node("Relu", "ai.onnx", &["x"], &["y"]));
    onnx.graph().node.push(node("Gizmo", "toy", &["x"], &["z"]));
    let graph = elucid_onnx::import(onnx.output("y").bytes()).unwrap();
    assert_eq!(kinds(&graph), ["Relu", "toy.Gizmo"]);
}

/// A condition whose branches read a value around them each, the first branch stated twice.
#[test]
fn an_attribute_that_is_there_twice_is_read_once() {
    let branch = |name: &str, op: &str, reads: &str| {
        let mut body = Onnx::new().node(op, &[reads], &["z"]).output("z");
        AttributeProto {
            name: Some(name.to_owned()),
            g: Some(Box::new(body.graph().clone())),
            kind: Some(5),
            ..Default::default()
        }
    };
    let mut onnx = Onnx::new()
        .input("p", &[1, 2])
        .input("q", &[1, 2])
        .typed_input("on", data_type::BOOL, &[1]);
    onnx.graph().node.push(NodeProto {
        attribute: vec![
            branch("then_branch", "Neg", "q"),
            branch("then_branch", "Abs", "p"),
            branch("else_branch", "Exp", "q"),
        ],
        ..node("If", "", &["on"], &["y"])
    });
    let graph = elucid_onnx::import(onnx.output("y").bytes()).unwrap();
    let read = graph.nodes()[0].inputs.iter().flatten();
    let names: Vec<&str> = read.map(|&value| graph.name(value)).collect();
    // Branches in the order of the alphabet.
    assert_eq!(names, ["on", "q", "p"]);
}
