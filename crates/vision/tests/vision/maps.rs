//! Heads of segmentation networks as exporters write them, whose maps are found behind what moves their
//! positions into a row and back.

use burn::tensor::Device;
use elucid_graph::LOGITS;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_vision::{HeadKind, Model, Opening, Probabilities};

/// Scores `c` of four classes, `[1, 4, 6, 8]`.
fn scores() -> Onnx {
    Onnx::image([1, 3, 6, 8])
        .weight("w", &[4, 3, 1, 1])
        .node("Conv", &["x", "w"], &["c"])
        .list("rows", &[1, 48, 4])
        .list("columns", &[1, 4, 48])
        .list("last", &[1, 6, 8, 4])
        .list("first", &[1, 4, 6, 8])
        .list("turned", &[1, 8, 6, 4])
}

fn open(network: &Onnx) -> Model {
    Opening::new()
        .bytes(network.bytes(), &Device::flex())
        .unwrap()
}

/// A chain of operators behind `c`, each with what it reads beside and its axes.
fn behind(chain: &[(&str, &str, &[i64])]) -> Model {
    let mut network = scores();
    let mut before = "c".to_owned();
    for (i, (kind, beside, axes)) in chain.iter().enumerate() {
        let name = match i + 1 == chain.len() {
            true => "y".to_owned(),
            false => format!("h{i}"),
        };
        let inputs = match *beside {
            "" => vec![before.as_str()],
            beside => vec![before.as_str(), beside],
        };
        network = network.node(kind, &inputs, &[&name]);
        network = match (*kind, *axes) {
            ("Transpose", axes) => network.ints("perm", axes),
            (_, [axis]) => network.int("axis", *axis),
            _ => network,
        };
        before = name;
    }
    open(&network)
}

fn remarks(model: &Model) -> String {
    let all: Vec<&str> = model.remarks().iter().map(|remark| remark.text()).collect();
    all.join("\n")
}

const TURN: (&str, &str, &[i64]) = ("Transpose", "", &[0, 2, 3, 1]);
const SWAP: (&str, &str, &[i64]) = ("Transpose", "", &[0, 2, 1]);
const SOFTMAX: (&str, &str, &[i64]) = ("Softmax", "", &[-1]);

#[test]
fn maps_are_found_behind_rows_of_positions() {
    let heads: [&[(&str, &str, &[i64])]; 6] = [
        &[TURN, SOFTMAX],
        &[
            TURN,
            ("Reshape", "rows", &[]),
            SOFTMAX,
            ("Reshape", "last", &[]),
        ],
        &[
            ("Reshape", "columns", &[]),
            SWAP,
            SOFTMAX,
            ("Reshape", "last", &[]),
        ],
        &[TURN, ("Reshape", "rows", &[]), SOFTMAX],
        &[
            ("Reshape", "columns", &[]),
            SWAP,
            SOFTMAX,
            SWAP,
            ("Reshape", "first", &[]),
        ],
        &[
            TURN,
            ("Reshape", "rows", &[]),
            SOFTMAX,
            ("ArgMax", "", &[-1]),
        ],
    ];
    for (i, head) in heads.iter().enumerate() {
        let model = behind(head);
        let head = model.head();
        assert_eq!(
            (head.scores(), head.kind()),
            ("c", HeadKind::Map),
            "{i}: {}",
            remarks(&model)
        );
        assert_eq!((head.axis(), head.count()), (Some(1), Some(4)), "{i}");
        assert_eq!(head.probabilities(), Probabilities::Softmax);
        assert_eq!(model.layer(LOGITS).unwrap().shape(), [1, 4, 6, 8]);
    }
}

/// Rows and columns that change places, or classes that are cut up, are not looked through in silence.
#[test]
fn positions_in_another_order_are_not_looked_through() {
    for (i, head) in [
        &[TURN, SOFTMAX, ("Reshape", "turned", &[][..])][..],
        &[
            ("Transpose", "", &[0, 3, 2, 1]),
            SOFTMAX,
            ("Transpose", "", &[0, 3, 2, 1]),
        ],
        &[("Reshape", "rows", &[]), SOFTMAX],
    ]
    .iter()
    .enumerate()
    {
        let model = behind(head);
        let is_map = model.head().scores() == "c" && model.head().axis() == Some(1);
        // The first swaps rows and columns behind the softmax, the second in front of it and back.
        match i {
            1 => {}
            _ => assert!(!is_map, "{i}"),
        }
        if i == 0 {
            assert!(
                remarks(&model).contains("put in another order"),
                "{}",
                remarks(&model)
            );
        }
    }
}

/// `y` is where each class is, at twice the size.
#[test]
fn a_decision_in_another_size_is_looked_through() {
    let network = scores()
        .tensor(floats("twice", &[4], vec![1.0, 1.0, 2.0, 2.0]))
        .node("ArgMax", &["c"], &["a"])
        .int("axis", 1)
        .node("Cast", &["a"], &["f"])
        .int("to", 1)
        .node("Resize", &["f", "", "twice"], &["y"])
        .text("mode", "nearest");
    let model = open(&network);
    let head = model.head();
    assert_eq!(
        (head.scores(), head.kind(), head.count()),
        ("c", HeadKind::Map, Some(4))
    );
    assert!(
        remarks(&model).contains("regions are in their pixels"),
        "{}",
        remarks(&model)
    );

    // Scores that are resized are scores, and what is decided behind that has their size.
    let resized = |last: fn(Onnx) -> Onnx| {
        let network = scores()
            .tensor(floats("twice", &[4], vec![1.0, 1.0, 2.0, 2.0]))
            .node("Resize", &["c", "", "twice"], &["u"])
            .text("mode", "linear");
        open(&last(network))
    };
    for model in [
        resized(|n| n.node("ArgMax", &["u"], &["y"]).int("axis", 1)),
        resized(|n| n.node("Identity", &["u"], &["y"])),
    ] {
        assert_eq!(model.head().scores(), "u");
        assert_eq!(model.layer(LOGITS).unwrap().shape(), [1, 4, 12, 16]);
        assert!(!remarks(&model).contains("regions"), "{}", remarks(&model));
    }
}

/// An activation `z sigmoid(z)` makes no probabilities.
#[test]
fn gates_are_no_probabilities() {
    let network = scores()
        .node("Sigmoid", &["c"], &["s"])
        .node("Mul", &["c", "s"], &["m"])
        .node("GlobalAveragePool", &["m"], &["p"])
        .node("Flatten", &["p"], &["y"]);
    let model = open(&network);
    assert_eq!(model.head().scores(), "y");
    assert!(
        !remarks(&model).contains("made of probabilities"),
        "{}",
        remarks(&model)
    );
}
