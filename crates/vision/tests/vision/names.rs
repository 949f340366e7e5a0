//! What classes are called: given, said by the file, or assumed with a remark.

use burn::tensor::Device;
use elucid_graph::{ElementType, GraphBuilder, HostTensor};
use elucid_models::Labels;
use elucid_vision::{InputSpec, Model, ModelError, Opening, Probabilities};

/// A network of so many scores, whose file says this of itself.
fn network(classes: usize, metadata: &[(&str, &str)]) -> elucid_graph::Graph {
    let mut builder = GraphBuilder::new();
    let shape = [Some(1), Some(3), Some(1), Some(1)];
    builder.input("x", ElementType::F32, &shape).unwrap();
    let weight = (0..3 * classes).map(|i| (i % 5) as f32).collect();
    let weight = HostTensor::of_floats(ElementType::F32, &[3, classes], weight);
    builder.constant("w", weight.unwrap()).unwrap();
    builder.node("Flatten", "", &["x"], &["row"]).unwrap();
    builder.node("MatMul", "", &["row", "w"], &["z"]).unwrap();
    builder.output("z");
    for (key, value) in metadata {
        builder.metadata(key, value);
    }
    builder.build().unwrap()
}

fn opened(by: Probabilities, classes: usize, metadata: &[(&str, &str)]) -> Model {
    let spec = InputSpec::new([1, 1]).unwrap();
    let opening = Opening::new().scores(by).prepared_by(spec);
    let graph = network(classes, metadata);
    opening.graph(graph, &Device::flex()).unwrap()
}

fn remarks(model: &Model) -> String {
    let all: Vec<&str> = model.remarks().iter().map(|remark| remark.text()).collect();
    all.join("\n")
}

#[test]
fn names_in_the_file_are_read_as_trainers_write_them() {
    let softmax = Probabilities::Softmax;
    for (key, text) in [
        ("names", "{0: 'rook', 1: \"hen's egg\", 2: 'owl'}"),
        ("names", r#"["rook", "hen's egg", "owl"]"#),
        ("classes", r#"{"0": "rook", "1": "hen's egg", "2": "owl"}"#),
        ("id2label", r#"{"0": "rook", "1": "hen's egg", "2": "owl"}"#),
        ("labels", "rook\nhen's egg\nowl\n"),
    ] {
        let model = opened(softmax, 3, &[(key, text)]);
        assert_eq!(model.label(1), "hen's egg", "{text}");
        assert_eq!(model.class("owl").unwrap(), 2);
        assert_eq!(remarks(&model), "");
    }
    let model = opened(softmax, 3, &[("names", "{0: 'rook', 1: 'owl'}")]);
    assert_eq!(model.labels(), None);
    let said = remarks(&model);
    assert!(
        said.contains("2 names, and the network has 3 classes"),
        "{said}"
    );
    let model = opened(softmax, 3, &[("names", "{0: 'rook', 1: ")]);
    assert!(
        remarks(&model).contains("ends early"),
        "{}",
        remarks(&model)
    );
}

#[test]
fn names_can_be_given_afterwards() {
    let model = opened(Probabilities::Softmax, 1000, &[]);
    assert!(remarks(&model).contains("assumed that 1000 classes have ImageNet's names"));
    assert_eq!(model.label(0), "tench");
    let products = Labels::of_names("products", (0..1000).map(|i| format!("product {i}")));
    let named = model.with_labels(products.clone()).unwrap();
    assert_eq!(
        (named.label(7).as_str(), remarks(&named).as_str()),
        ("product 7", "")
    );
    // The first is what it was.
    assert_eq!(model.label(7), "cock");

    let background = opened(Probabilities::Softmax, 1001, &[]);
    assert_eq!(background.label(0), "background");
    assert_eq!(background.label(1), "tench");
    assert_eq!(background.class("Egyptian cat").unwrap(), 286);
    let Err(ModelError::Labels { reason }) = background.with_labels(products) else {
        panic!("a name is missing");
    };
    assert!(
        reason.contains("1000 names, and the network has 1001 classes"),
        "{reason}"
    );
    assert!(reason.contains("background"), "{reason}");
    // Labels that do not exclude each other, and numbers, are not ImageNet's classes.
    for by in [Probabilities::Sigmoid, Probabilities::None] {
        assert_eq!(opened(by, 1000, &[]).labels(), None);
    }
}

#[test]
fn yes_and_no_may_both_have_a_name() {
    let model = opened(
        Probabilities::Sigmoid,
        1,
        &[("names", "{0: 'shut', 1: 'open'}")],
    );
    assert_eq!(
        (model.label(0).as_str(), model.class("open").unwrap()),
        ("open", 0)
    );
    let error = model.class("shut").unwrap_err().to_string();
    assert!(error.contains("none:0"), "{error}");
    let one = model
        .with_labels(Labels::of_names("doors", ["ajar"]))
        .unwrap();
    assert_eq!(one.label(0), "ajar");
    let three = model.with_labels(Labels::of_names("doors", ["a", "b", "c"]));
    let error = three.unwrap_err().to_string();
    assert!(
        error.contains("3 names") && error.contains("2 answers"),
        "{error}"
    );
    let error = model.class("3").unwrap_err().to_string();
    assert!(error.contains("has one, 0"), "{error}");
    let number = opened(Probabilities::None, 1, &[]);
    assert_eq!(number.label(0), "output");
    let named = number
        .with_labels(Labels::of_names("ages", ["age"]))
        .unwrap();
    assert_eq!(named.label(0), "age");
}
