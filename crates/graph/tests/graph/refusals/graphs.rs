//! Graphs that lack something, or say it twice.

use super::{E, HUGE, M, of_graph, open, opened, refused, run};
use elucid_testkit::onnx::{Onnx, data_type, small_network};

#[test]
fn graphs_that_lack_something() {
    let relu = |m: Onnx| m.node("Relu", &["x"], &["y"]);
    let image = [1, 3, 8, 8];
    refused!(
        open(&relu(Onnx::new())),
        E::MissingTensor { .. },
        "\"y\"",
        "x"
    );
    let constant = Onnx::new()
        .node("Constant", &[], &["y"])
        .float("value_float", 1.0);
    refused!(opened(&constant), M::Pictures { .. }, "no input");
    refused!(
        open(&Onnx::image(image).output("x")),
        E::Malformed { .. },
        "no nodes"
    );
    let mut silent = relu(Onnx::image(image));
    silent.graph().output.clear();
    refused!(open(&silent), E::Malformed { .. }, "no output");
    let mut unversioned = relu(Onnx::image(image));
    unversioned.0.opset_import.clear();
    refused!(open(&unversioned), E::Malformed { .. }, "operator set");
    for version in [-1, 0, 25, i64::MAX] {
        let stamped = relu(Onnx::image(image)).opset(version);
        refused!(open(&stamped), E::Malformed { .. }, version, "1 to 24");
    }
    let mut headless = relu(Onnx::image(image));
    headless.0.graph = None;
    refused!(opened(&headless), M::File(_), "no graph");
    let missing = Onnx::image(image).node("Add", &["x", "shift"], &["y"]);
    refused!(
        open(&missing),
        E::MissingTensor { .. },
        "Add \"y\"",
        "shift"
    );
    let absent = relu(Onnx::image(image)).output("elsewhere");
    refused!(
        open(&absent),
        E::MissingTensor { .. },
        "outputs",
        "elsewhere"
    );
    let no_inputs = Onnx::image(image).node("Relu", &[], &["y"]);
    refused!(
        open(&no_inputs),
        E::Operator { .. },
        "make_y",
        "input 0 is missing"
    );
    let no_outputs = relu(Onnx::image(image))
        .node("Constant", &[], &[])
        .float("value_float", 1.0);
    refused!(
        open(&no_outputs),
        E::Operator { .. },
        "make_nothing",
        "names no output"
    );
}

#[test]
fn graphs_that_say_something_twice_or_in_a_circle() {
    let image = || Onnx::image([1, 3, 8, 8]);
    let circle = image()
        .node("Add", &["x", "b"], &["a"])
        .node("Relu", &["a"], &["b"])
        .node("Relu", &["b"], &["y"]);
    refused!(open(&circle), E::Cycle { .. }, "\"a\"", "\"b\"");
    let itself = image().node("Add", &["x", "y"], &["y"]);
    refused!(open(&itself), E::Cycle { .. }, "\"y\"");
    let twice = image()
        .node("Relu", &["x"], &["y"])
        .node("Tanh", &["x"], &["y"]);
    refused!(open(&twice), E::Malformed { .. }, "\"y\" is made twice");
    let over_input = image().node("Relu", &["x"], &["x"]).output("x");
    refused!(
        open(&over_input),
        E::Malformed { .. },
        "\"x\" is made twice"
    );
    let weights = image()
        .weight("w", &[3])
        .weight("w", &[2])
        .node("Relu", &["x"], &["y"]);
    refused!(open(&weights), E::Malformed { .. }, "\"w\" is made twice");
    let inputs = image()
        .input("x", &[1, 3, 8, 8])
        .node("Relu", &["x"], &["y"]);
    refused!(open(&inputs), E::Malformed { .. }, "\"x\" is made twice");
    let nameless = image().weight("", &[3]).node("Relu", &["x"], &["y"]);
    refused!(
        open(&nameless),
        E::Malformed { .. },
        "initializer",
        "no name"
    );
    let nameless = image().input("", &[3]).node("Relu", &["x"], &["y"]);
    refused!(open(&nameless), E::Malformed { .. }, "input", "no name");
    let indices = image()
        .node("MaxPool", &["x"], &["p", "i"])
        .ints("kernel_shape", &[2, 2])
        .node("Add", &["p", "i"], &["y"]);
    refused!(run(&indices), E::Operator { .. }, "Add", "int64");
}

#[test]
fn nodes_in_any_order_run() {
    let mut shuffled = small_network();
    shuffled.graph().node.reverse();
    assert_eq!(run(&shuffled).unwrap(), run(&small_network()).unwrap());
}

#[test]
fn inputs_that_are_no_images() {
    let relu = |m: Onnx| m.node("Relu", &["x"], &["y"]);
    for shape in [&[1, 3][..], &[1, 3, 8], &[1, 3, 8, 8, 8], &[]] {
        refused!(
            opened(&relu(Onnx::new().input("x", shape))),
            M::Pictures { .. },
            "\"x\"",
            "[N, C, H, W]"
        );
    }
    let side = Onnx::image([1, 3, 8, 8])
        .input("z", &[1, 7])
        .node("Add", &["x", "z"], &["y"]);
    refused!(opened(&side), M::Pictures { .. }, "\"z\" lacks a value");
    for (kind, name) in [
        (data_type::BOOL, "bool"),
        (8, "element type 8"),
        (99, "element type 99"),
    ] {
        let typed = relu(Onnx::new().typed_input("x", kind, &[1, 3, 8, 8]));
        let error = opened(&typed).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("\"x\"") && error.contains(name), "{error}");
    }
    let huge = relu(Onnx::image([1, 3, HUGE, 8]));
    refused!(opened(&huge), M::Input(_), HUGE);
}

#[test]
fn unsupported_operators_are_listed_together() {
    let mut model = Onnx::image([1, 3, 8, 8])
        .node("Wobble", &["x"], &["a"])
        .node("NonMaxSuppression", &["a"], &["b"])
        .node("Wobble", &["b"], &["c"])
        .node("Relu", &["c"], &["y"]);
    model.graph().node[1].domain = Some("com.acme".to_owned());
    // The file opens; what depends on the operators is refused.
    let opened = open(&model).unwrap();
    assert_eq!(opened.layers().len(), 1);
    refused!(
        of_graph(opened.logits()),
        E::UnsupportedOperators(_),
        "Wobble (\"make_a\", \"make_c\")",
        "com.acme.NonMaxSuppression (\"make_b\")",
    );
    let mut many = Onnx::image([1, 3, 8, 8]);
    let names: Vec<String> = (0..1000).map(|i| format!("n{i}")).collect();
    for name in &names {
        many = many.node("Wobble", &["x"], &[name]);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    many = many.node("Sum", &names, &["y"]);
    refused!(
        of_graph(open(&many).unwrap().logits()),
        E::UnsupportedOperators(_),
        "992 more"
    );
}
