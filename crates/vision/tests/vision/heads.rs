//! What ends a network is looked through: the scores before it are found, and what makes probabilities
//! of them.

use burn::tensor::{Device, Tensor};
use elucid_graph::{ElementType, Graph, GraphBuilder, GraphError, HostTensor, LOGITS};
use elucid_vision::{HeadKind, Model, ModelError, Opening, Probabilities};

type Built = Result<(), GraphError>;

fn floats(shape: &[usize], values: Vec<f32>) -> HostTensor {
    HostTensor::of_floats(ElementType::F32, shape, values).unwrap()
}

fn ints(values: &[i64]) -> HostTensor {
    HostTensor::from_ints(values.to_vec())
}

/// A network whose scores `z` are `x` times a weight, with whatever `head` puts behind them, up to the
/// outputs.
fn network(
    classes: usize,
    outputs: &[&str],
    head: impl FnOnce(&mut GraphBuilder) -> Built,
) -> Graph {
    let mut builder = GraphBuilder::new();
    let shape = [Some(1), Some(3), Some(2), Some(2)];
    builder.input("x", ElementType::F32, &shape).unwrap();
    let weight = (0..12 * classes).map(|i| ((i * 7 + 3) % 11) as f32 / 5.0 - 1.0);
    let weight = floats(&[12, classes], weight.collect());
    builder.constant("w", weight).unwrap();
    for (name, value) in [
        ("one", 1.0),
        ("minus", -1.0),
        ("hundred", 100.0),
        ("hundredth", 0.01),
        ("half", 0.5),
        ("four", 4.0),
        ("tiny", 1e-7),
        ("zero", 0.0),
    ] {
        builder.constant(name, floats(&[], vec![value])).unwrap();
    }
    builder.constant("last", ints(&[-1])).unwrap();
    builder.constant("two", ints(&[2])).unwrap();
    builder.constant("first", ints(&[0])).unwrap();
    builder.constant("flat", ints(&[-1])).unwrap();
    builder.constant("square", ints(&[2, 2])).unwrap();
    builder.constant("whole", ints(&[1, -1])).unwrap();
    let mix = (0..classes * classes).map(|i| i as f32 / 7.0).collect();
    builder
        .constant("mix", floats(&[classes, classes], mix))
        .unwrap();
    builder
        .node("Flatten", "flatten", &["x"], &["rows"])
        .unwrap();
    builder
        .node("MatMul", "dense", &["rows", "w"], &["z"])
        .unwrap();
    head(&mut builder).unwrap();
    for output in outputs {
        builder.output(output);
    }
    builder.build().unwrap()
}

/// A chain of operators of one input behind `z`, the last of which makes `y`.
fn chain(classes: usize, operators: &[&str]) -> Graph {
    network(classes, &["y"], |builder| {
        let mut before = "z".to_owned();
        for (i, words) in operators.iter().enumerate() {
            let name = match i + 1 == operators.len() {
                true => "y".to_owned(),
                false => format!("h{i}"),
            };
            let mut words = words.split(' ');
            let kind = words.next().unwrap();
            let others: Vec<&str> = words.collect();
            // `_` says where the value goes if it is not first.
            let mut inputs: Vec<&str> = vec![&before];
            inputs.extend(
                others
                    .iter()
                    .filter(|word| !word.contains('=') && **word != "_"),
            );
            if others.contains(&"_") {
                inputs.swap(0, 1);
            }
            let outputs = match kind {
                "TopK" => vec![name.as_str(), "indices"],
                _ => vec![name.as_str()],
            };
            builder.node_with(kind, "", &inputs, &outputs, |attributes| {
                let mut attributes = attributes;
                for word in &others {
                    if let Some((key, value)) = word.split_once('=') {
                        attributes = attributes.with(key, value.parse::<i64>().unwrap());
                    }
                }
                attributes
            })?;
            before = name;
        }
        Ok(())
    })
}

fn open(graph: Graph) -> Model {
    Opening::new().graph(graph, &Device::flex()).unwrap()
}

fn picture() -> Tensor<4> {
    let pixels: Vec<f32> = (0..12).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::<1>::from_floats(pixels.as_slice(), &Device::flex()).reshape([1, 3, 2, 2])
}

/// What is remarked on, but for how pictures are prepared.
fn remarks(model: &Model) -> String {
    let all = model.remarks().iter().map(|remark| remark.text());
    let of_heads: Vec<&str> = all.filter(|text| !text.contains("prepared")).collect();
    of_heads.join("\n")
}

/// The scores `z` are found, and read as is right.
#[track_caller]
fn found(model: &Model, by: Probabilities, kind: HeadKind) {
    let head = model.head();
    assert_eq!(
        (head.scores(), head.probabilities(), head.kind()),
        ("z", by, kind)
    );
    assert_eq!(model.layer(LOGITS).unwrap().name(), "z");
}

#[test]
fn a_softmax_is_found_behind_whatever_casts_moves_scales_or_decides() {
    let float = format!("to={}", 1);
    let (cast, half) = (format!("Cast {float}"), "Cast to=10".to_owned());
    for head in [
        vec!["Softmax axis=1"],
        vec!["LogSoftmax axis=1"],
        vec!["LogSoftmax axis=1", "Exp"],
        vec!["Softmax axis=1", "Log"],
        vec!["Softmax axis=1", "Add tiny", "Log"],
        vec!["Softmax axis=1", cast.as_str()],
        vec!["Softmax axis=1", half.as_str(), cast.as_str()],
        vec!["Softmax axis=1", "Clip tiny one"],
        vec!["Softmax axis=1", "Mul hundred"],
        vec!["Softmax axis=1", "Mul hundred _"],
        vec!["Softmax axis=1", "Div hundredth"],
        vec![
            "Softmax axis=1",
            "Mul hundred",
            "Clip zero hundred",
            "Identity",
        ],
        vec!["Softmax axis=1", "Transpose"],
        vec!["Softmax axis=1", "Reshape flat"],
        vec!["Softmax axis=1", "Squeeze first"],
        vec!["Softmax axis=1", "ArgMax axis=1"],
        vec!["Softmax axis=1", "ArgMax axis=1 keepdims=0", cast.as_str()],
        vec!["Softmax axis=1", "TopK two"],
        vec!["Softmax axis=1", "Greater half"],
        vec!["Softmax axis=1", "Greater half", cast.as_str()],
    ] {
        let model = open(chain(5, &head));
        let head_words = head.join(" > ");
        println!("{head_words}");
        found(&model, Probabilities::Softmax, HeadKind::Classes);
        assert_eq!(model.classes().unwrap(), 5);
        let scaled = head_words.contains("hundred");
        assert_eq!(remarks(&model).contains("100 times a softmax"), scaled);
        // The probabilities are the file's own.
        let scores = model.classify(&picture()).unwrap();
        let row: Vec<f32> = scores.logits().row(0).to_vec();
        let sum: f32 = row.iter().map(|z| z.exp()).sum();
        let got = scores.probabilities(0).unwrap();
        for (p, z) in got.iter().zip(&row) {
            assert!((p - z.exp() / sum).abs() < 1e-6);
        }
    }
}

#[test]
fn a_sum_of_powers_may_lose_its_axis_and_get_it_back() {
    /// `exp(d) / sum`, where `d` is `z` or less its maximum.
    fn divided(sum: &'static str, lost: Option<&'static str>, less_maximum: bool) -> Graph {
        network(4, &["y"], move |builder| {
            let mut of = "z";
            if less_maximum {
                builder.node_with("ReduceMax", "", &["z", "last"], &["most"], |a| {
                    a.with("keepdims", i64::from(lost.is_none()))
                })?;
                let mut most = "most";
                if let Some(axis) = lost {
                    builder.node("Unsqueeze", "", &["most", axis], &["wide"])?;
                    most = "wide";
                }
                builder.node("Sub", "", &["z", most], &["less"])?;
                of = "less";
            }
            builder.node("Exp", "", &[of], &["powers"])?;
            builder.node_with(sum, "", &["powers", "last"], &["sum"], |a| {
                a.with("keepdims", i64::from(lost.is_none()))
            })?;
            let mut by = "sum";
            if let Some(axis) = lost {
                builder.node("Unsqueeze", "", &["sum", axis], &["back"])?;
                by = "back";
            }
            builder.node("Div", "", &["powers", by], &["y"])?;
            Ok(())
        })
    }
    for sum in ["ReduceSum", "ReduceL1"] {
        for less_maximum in [false, true] {
            for lost in [None, Some("last")] {
                let model = open(divided(sum, lost, less_maximum));
                found(&model, Probabilities::Softmax, HeadKind::Classes);
            }
        }
        // Put back somewhere else it is another function of the scores, which nobody knows.
        let model = open(divided(sum, Some("first"), false));
        assert_ne!(model.head().scores(), "z");
    }
}

#[test]
fn a_softmax_written_out_is_found() {
    let sum = |builder: &mut GraphBuilder, of: &str| {
        builder
            .node("ReduceSum", "", &[of, "last"], &["sum"])
            .map(|_| ())
    };
    let shifted = |builder: &mut GraphBuilder| -> Built {
        builder.node("ReduceMax", "", &["z", "last"], &["top"])?;
        builder.node("Sub", "", &["z", "top"], &["low"])?;
        builder.node("Exp", "", &["low"], &["e"])?;
        Ok(())
    };
    let plain = network(4, &["y"], |b| {
        b.node("Exp", "", &["z"], &["e"])?;
        sum(b, "e")?;
        b.node("Div", "", &["e", "sum"], &["y"]).map(|_| ())
    });
    let stable = network(4, &["y"], |b| {
        shifted(b)?;
        sum(b, "e")?;
        b.node("Div", "", &["e", "sum"], &["y"]).map(|_| ())
    });
    let reciprocal = network(4, &["y"], |b| {
        shifted(b)?;
        sum(b, "e")?;
        b.node("Add", "", &["sum", "tiny"], &["more"])?;
        b.node("Reciprocal", "", &["more"], &["share"])?;
        b.node("Mul", "", &["share", "e"], &["y"]).map(|_| ())
    });
    let logarithm = network(4, &["y"], |b| {
        shifted(b)?;
        sum(b, "e")?;
        b.node("Log", "", &["sum"], &["log"])?;
        b.node("Sub", "", &["low", "log"], &["y"]).map(|_| ())
    });
    let log_sum_exp = network(4, &["y"], |b| {
        b.node("ReduceLogSumExp", "", &["z", "last"], &["log"])?;
        b.node("Sub", "", &["z", "log"], &["y"]).map(|_| ())
    });
    let percent = network(4, &["y"], |b| {
        shifted(b)?;
        sum(b, "e")?;
        b.node("Div", "", &["e", "sum"], &["p"])?;
        b.node("Mul", "", &["p", "hundred"], &["y"]).map(|_| ())
    });
    for graph in [plain, stable, reciprocal, logarithm, log_sum_exp, percent] {
        found(&open(graph), Probabilities::Softmax, HeadKind::Classes);
    }
}

#[test]
fn sigmoids_are_found_of_one_number_and_of_several() {
    let written = |classes: usize, negate: &'static [&'static str]| {
        network(classes, &["y"], move |b| {
            b.node(negate[0], "", &negate[1..], &["n"])?;
            b.node("Exp", "", &["n"], &["e"])?;
            b.node("Add", "", &["one", "e"], &["s"])?;
            b.node("Div", "", &["one", "s"], &["y"]).map(|_| ())
        })
    };
    for (classes, kind) in [(1, HeadKind::Binary), (3, HeadKind::Labels)] {
        for graph in [
            chain(classes, &["Sigmoid"]),
            chain(classes, &["Sigmoid", "Cast to=10", "Cast to=1"]),
            chain(classes, &["Sigmoid", "Clip tiny one"]),
            chain(classes, &["Sigmoid", "Mul hundred"]),
            chain(classes, &["Sigmoid", "Greater half", "Cast to=1"]),
            chain(classes, &["Sigmoid", "Round"]),
            chain(classes, &["Greater zero", "Cast to=1"]),
            written(classes, &["Neg", "z"]),
            written(classes, &["Mul", "z", "minus"]),
            written(classes, &["Sub", "zero", "z"]),
        ] {
            let model = open(graph);
            found(&model, Probabilities::Sigmoid, kind);
            let scores = model.classify(&picture()).unwrap();
            for (p, z) in scores.probabilities(0).unwrap().iter().zip(scores.logits()) {
                assert!((p - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6);
            }
        }
    }
    let graph = chain(1, &["Sigmoid", "Squeeze last"]);
    found(&open(graph), Probabilities::Sigmoid, HeadKind::Binary);
    // Another threshold than a half is said.
    let graph = chain(1, &["Sigmoid", "Greater hundredth", "Cast to=1"]);
    assert!(remarks(&open(graph)).contains("compares \"h0\" with 0.01"));
}

#[test]
fn raw_scores_are_read_with_a_remark_and_as_one_says() {
    let model = open(network(4, &["z"], |_| Ok(())));
    found(&model, Probabilities::Softmax, HeadKind::Classes);
    assert!(remarks(&model).contains("assumed to be logits of classes that exclude each other"));
    let model = open(network(1, &["z"], |_| Ok(())));
    found(&model, Probabilities::None, HeadKind::Number);
    assert!(remarks(&model).contains("taken for a regression"));
    let guess = &model.classify(&picture()).unwrap().top(5)[0];
    assert_eq!((guess.probability, guess.label.as_str()), (None, "output"));

    let read = |classes, by| {
        let graph = network(classes, &["z"], |_| Ok(()));
        Opening::new().scores(by).graph(graph, &Device::flex())
    };
    for (classes, by, kind) in [
        (4, Probabilities::Softmax, HeadKind::Classes),
        (4, Probabilities::Sigmoid, HeadKind::Labels),
        (4, Probabilities::None, HeadKind::Numbers),
        (1, Probabilities::Sigmoid, HeadKind::Binary),
        (1, Probabilities::None, HeadKind::Number),
    ] {
        let model = read(classes, by).unwrap();
        found(&model, by, kind);
        assert_eq!(remarks(&model), "", "{by}");
    }
    let error = read(1, Probabilities::Softmax).unwrap_err().to_string();
    assert!(
        error.contains("always 1") && error.contains("sigmoid"),
        "{error}"
    );
    // Numbers come in order, not by size.
    let numbers = read(4, Probabilities::None).unwrap();
    let guesses = numbers.classify(&picture()).unwrap().top(9);
    assert_eq!(
        guesses.iter().map(|g| g.index).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert!(
        numbers
            .head()
            .no_best()
            .is_some_and(|reason| reason.contains("0 to 3"))
    );
}

/// What cannot be looked through is explained as it is, with a remark, and has no probabilities.
#[test]
fn what_is_not_looked_through_is_said() {
    for (head, said) in [
        (vec!["Softmax axis=1", "Gather last"], "Gather"),
        (vec!["Sigmoid", "Sub one _"], "Sub"),
        (vec!["Softmax axis=1", "Neg"], "Neg"),
        (vec!["Sigmoid", "Mul four"], "4 times a sigmoid"),
        (vec!["Tanh"], "ends in Tanh"),
        (vec!["HardSigmoid"], "ends in HardSigmoid"),
        (vec!["Clip zero one"], "bends or cuts off"),
    ] {
        let model = open(chain(3, &head));
        let remarks = remarks(&model);
        println!("{head:?}: {remarks}");
        assert!(
            remarks.contains(said) && remarks.contains("Opening::logits"),
            "{remarks}"
        );
        assert_eq!(model.head().probabilities(), Probabilities::None);
        assert_eq!(model.head().scores(), "y");
        // And the scores can be named.
        let named = Opening::new().logits("z");
        let named = named.graph(chain(3, &head), &Device::flex()).unwrap();
        assert_eq!(named.head().scores(), "z");
        assert_ne!(named.head().probabilities(), Probabilities::None);
    }
    let model = open(chain(1, &["Softmax axis=1"]));
    assert_eq!(model.head().kind(), HeadKind::Number);
    assert!(remarks(&model).contains("always 1"));
    // An embedding is divided by its length.
    let model = open(chain(8, &["LpNormalization axis=1"]));
    assert_eq!(model.head().kind(), HeadKind::Numbers);
}

/// A classifier of two outputs, of which the first is a map of features.
fn two(first: &'static str) -> Graph {
    network(3, &[first, "other"], |b| {
        b.constant("kernel", floats(&[4, 3, 1, 1], vec![0.5; 12]))?;
        b.node("Conv", "", &["x", "kernel"], &["features"])?;
        b.node("Identity", "", &["z"], &["other"])?;
        b.constant("v", floats(&[3, 1], vec![1.0, -1.0, 2.0]))?;
        b.node("MatMul", "", &["z", "v"], &["age"]).map(|_| ())
    })
}

#[test]
fn the_output_that_can_be_class_scores_is_taken_and_another_can_be_named() {
    let model = open(two("features"));
    assert_eq!(model.head().output(), "other");
    let said = remarks(&model);
    assert!(
        said.contains("2 outputs, features [1, 4, 2, 2], other [1, 3]"),
        "{said}"
    );
    assert!(
        said.contains("\"other\" is explained, and Opening::output chooses"),
        "{said}"
    );

    let model = open(two("age"));
    assert_eq!(model.head().output(), "age");
    let of = |name: &str| {
        Opening::new()
            .output(name)
            .graph(two("age"), &Device::flex())
    };
    let model = of("other").unwrap();
    assert_eq!(
        (model.head().output(), model.classes().unwrap()),
        ("other", 3)
    );
    let Err(ModelError::Head { reason }) = of("ages") else {
        panic!("an output that is not there");
    };
    assert!(reason.contains("\"age\", \"other\""), "{reason}");
    let Err(ModelError::Head { reason }) = of("features") else {
        panic!("a layer is no output");
    };
    assert!(reason.contains("Opening::logits(\"features\")"), "{reason}");
    let map = Opening::new().output("features");
    let map = map.graph(two("features"), &Device::flex()).unwrap();
    assert_eq!(
        (map.head().kind(), map.head().axis()),
        (HeadKind::Map, Some(1))
    );
    let error = map.classify(&picture()).unwrap_err().to_string();
    assert!(error.contains("a score for each pixel"), "{error}");
    // What other scores are computed from are features.
    let features = network(8, &["z", "few"], |b| {
        b.constant("v", floats(&[8, 2], vec![0.5; 16]))?;
        b.node("MatMul", "", &["z", "v"], &["few"]).map(|_| ())
    });
    assert_eq!(open(features).head().output(), "few");
    // An argmax beside the softmax of the same scores is no second thing to explain.
    let same = network(3, &["label", "p"], |b| {
        b.node_with("ArgMax", "", &["z"], &["label"], |a| a.with("axis", 1_i64))?;
        b.node_with("Softmax", "", &["z"], &["p"], |a| a.with("axis", 1_i64))
            .map(|_| ())
    });
    let model = open(same);
    found(&model, Probabilities::Softmax, HeadKind::Classes);
    assert_eq!((model.head().output(), remarks(&model).as_str()), ("p", ""));
}

/// A score for each of two classes at each position, with this behind it.
fn segmentation(head: impl FnOnce(&mut GraphBuilder) -> Built) -> Graph {
    let mut builder = GraphBuilder::new();
    let shape = [Some(1), Some(3), Some(4), Some(6)];
    builder.input("x", ElementType::F32, &shape).unwrap();
    let kernel = floats(&[2, 3, 1, 1], vec![1.0, 0.0, -1.0, 0.5, 0.5, 0.5]);
    builder.constant("kernel", kernel).unwrap();
    builder.node("Conv", "", &["x", "kernel"], &["z"]).unwrap();
    head(&mut builder).unwrap();
    builder.output("y");
    builder.build().unwrap()
}

#[test]
fn maps_lie_as_the_network_made_them() {
    type Head = fn(&mut GraphBuilder) -> Built;
    let heads: [Head; 5] = [
        |b| b.node("Identity", "", &["z"], &["y"]).map(|_| ()),
        |b| {
            b.node_with("Softmax", "", &["z"], &["p"], |a| a.with("axis", 1_i64))?;
            b.node_with("ArgMax", "", &["p"], &["y"], |a| a.with("axis", 1_i64))
                .map(|_| ())
        },
        |b| {
            b.node_with("ArgMax", "", &["z"], &["y"], |a| a.with("axis", 1_i64))
                .map(|_| ())
        },
        |b| {
            b.node_with("Transpose", "", &["z"], &["t"], |a| {
                a.with("perm", vec![0_i64, 2, 3, 1])
            })?;
            b.node_with("Softmax", "", &["t"], &["y"], |a| a.with("axis", -1_i64))
                .map(|_| ())
        },
        |b| {
            b.node_with("Transpose", "", &["z"], &["y"], |a| {
                a.with("perm", vec![0_i64, 2, 3, 1])
            })
            .map(|_| ())
        },
    ];
    for (i, head) in heads.into_iter().enumerate() {
        let model = open(segmentation(head));
        let head = model.head();
        assert_eq!(
            (head.kind(), head.scores(), head.axis(), head.count()),
            (HeadKind::Map, "z", Some(1), Some(2)),
            "{i}"
        );
    }
}

/// What turns decisions round, moves classes, or makes other numbers of probabilities, is no head.
#[test]
fn what_is_reversed_moved_or_made_of_probabilities_has_none() {
    let softmax = "Softmax axis=1";
    let mut all: Vec<Graph> = Vec::new();
    for head in [
        vec!["Sigmoid", "Less half"],
        vec!["Sigmoid", "LessOrEqual half"],
        vec!["Sigmoid", "Greater half _"],
        vec!["Sigmoid", "Greater half", "Not", "Cast to=1"],
        vec!["Sigmoid", "Greater half", "Where zero one"],
        vec!["Less zero", "Cast to=1"],
        vec![softmax, "TopK two largest=0"],
        vec![softmax, "Reshape square", "Transpose", "Reshape whole"],
        vec!["Sigmoid", "ReduceMax last"],
        vec![softmax, "MatMul mix"],
        vec!["Tanh", "Mul half", "Add half"],
    ] {
        all.push(chain(4, &head));
    }
    let share = |power: &'static str, sum: &'static str| {
        network(4, &["y"], move |b| {
            b.node(power, "", &["z"], &["e"])?;
            b.node(sum, "", &["e", "last"], &["sum"])?;
            b.node("Div", "", &["e", "sum"], &["y"]).map(|_| ())
        })
    };
    all.push(share("Softplus", "ReduceSum"));
    all.push(network(4, &["y"], |b| {
        b.node("Sigmoid", "", &["z"], &["p"])?;
        b.node("Neg", "", &["z"], &["n"])?;
        b.node("Sigmoid", "", &["n"], &["q"])?;
        b.node("Mul", "", &["p", "q"], &["y"]).map(|_| ())
    }));
    for (i, graph) in all.into_iter().enumerate() {
        let model = open(graph);
        let remarks = remarks(&model);
        println!("{i}: {remarks}");
        assert_eq!(model.head().probabilities(), Probabilities::None, "{i}");
        assert_ne!(model.head().scores(), "z", "{i}");
        // Decisions are no scores, which their head says.
        let said = remarks + &model.head().no_best().unwrap_or_default();
        assert!(said.contains("Opening::logits"), "{i}: {said}");
    }
    // The constant on the other side, and the larger number for yes, keep the sense.
    for head in [
        vec!["Sigmoid", "Less half _"],
        vec!["Sigmoid", "Greater half", "Where one zero"],
    ] {
        found(
            &open(chain(4, &head)),
            Probabilities::Sigmoid,
            HeadKind::Labels,
        );
    }
}
