//! What is no model, or one cut short, or in pieces.

use elucid_graph::{BoundGraph, Graph, GraphError, Limits};
use elucid_onnx::{ImportError as E, Importer};
use elucid_testkit::onnx::{self, Onnx, external, floats, small_network};
use elucid_testkit::{device, refused, tensor};

fn import(onnx: &Onnx) -> Result<Graph, E> {
    elucid_onnx::import(onnx.bytes())
}

#[test]
fn bytes_that_are_no_model() {
    let import = |bytes: &[u8]| elucid_onnx::import(bytes.to_vec());
    refused!(import(b""), E::Decode { .. }, "empty");
    refused!(
        import(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        E::Decode { .. },
        "not an ONNX file"
    );
    refused!(
        import(b"<!DOCTYPE html><html></html>"),
        E::Decode { .. },
        "not an ONNX file"
    );
    refused!(import(&[0; 100]), E::Decode { .. }, "not an ONNX file");
    refused!(import(&[0xff; 100]), E::Decode { .. }, "not an ONNX file");
    // An empty message is valid protobuf of any kind.
    refused!(import(&[0x08, 0x01]), E::Decode { .. }, "no graph");
    let mut state = 1_u64;
    for length in 1..200 {
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = (0..length).map(|_| byte()).collect();
        assert!(elucid_onnx::import(noise).is_err());
    }
}

#[test]
fn every_prefix_of_a_model() {
    let bytes = small_network().bytes();
    for length in 0..bytes.len() {
        // The opset is written last, so no prefix is complete.
        let error = elucid_onnx::import(bytes[..length].to_vec())
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(
                error,
                E::Decode { .. }
                    | E::Graph(GraphError::Malformed { .. } | GraphError::MissingTensor { .. })
            ),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn messages_nested_without_end() {
    // Graph in graph in graph, as a subgraph attribute: field 1 (node), 5 (attribute), 6 (graph).
    let mut inner = vec![];
    for _ in 0..2000 {
        for field in [6_u8, 5, 1] {
            let mut outer = vec![field << 3 | 2];
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            outer.extend_from_slice(&inner);
            inner = outer;
        }
    }
    let mut bytes = vec![7 << 3 | 2];
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend(inner);
    assert!(elucid_onnx::import(bytes).is_err());
    // Groups, the old way to nest.
    let groups = vec![0x0b; 100_000];
    refused!(
        elucid_onnx::import(groups),
        E::Decode { .. },
        "not an ONNX file"
    );
}

#[test]
fn data_in_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<u8> = [9.0_f32, 1.0, 2.0, 3.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    std::fs::write(folder.path().join("weights.bin"), &values).unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/weights.bin"), &values).unwrap();
    let model = |entries: &[(&str, &str)]| {
        Onnx::image([1, 3, 2, 2])
            .tensor(external("w", &[3, 1, 1], entries))
            .node("Add", &["x", "w"], &["y"])
    };
    let open_in = |onnx: &Onnx| {
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, onnx.bytes()).unwrap();
        elucid_onnx::open(&path)
    };
    for location in ["weights.bin", "./weights.bin", "sub/weights.bin"] {
        for length in [&[("length", "12")][..], &[]] {
            let entries = [&[("location", location), ("offset", "4")], length].concat();
            let opened = BoundGraph::new(open_in(&model(&entries)).unwrap(), &device());
            let x = tensor(vec![0.0; 12], [1, 3, 2, 2]);
            let fetched = opened.pass().feed("x", x).fetch(["y"]).unwrap();
            let y = fetched.get("y").unwrap().to_array().unwrap();
            let expected = [[1.0; 4], [2.0; 4], [3.0; 4]].concat();
            assert_eq!(y.into_iter().collect::<Vec<_>>(), expected);
        }
    }
    for (entries, mention) in [
        (&[("location", "elsewhere.bin")][..], "elsewhere.bin"),
        (&[("location", "weights.bin"), ("offset", "8")], "has 16"),
        (
            &[
                ("location", "weights.bin"),
                ("offset", "18446744073709551615"),
            ],
            "has 16",
        ),
        (
            &[("location", "weights.bin"), ("offset", "-4")],
            "not a number",
        ),
        (
            &[("location", "weights.bin"), ("length", "16")],
            "states 16 bytes",
        ),
        (
            &[("location", "../weights.bin")],
            "leaves the model's folder",
        ),
        (
            &[("location", "sub/../../weights.bin")],
            "leaves the model's folder",
        ),
        (&[("location", "/etc/passwd")], "leaves the model's folder"),
        (&[("location", "")], "leaves the model's folder"),
        (&[], "leaves the model's folder"),
        (&[("location", "sub")], "not a file"),
        (&[("location", "/dev/zero")], "leaves the model's folder"),
    ] {
        refused!(
            open_in(&model(entries)),
            E::ExternalData { .. },
            "\"w\"",
            mention
        );
    }
    let good = model(&[("location", "weights.bin"), ("offset", "4")]);
    refused!(import(&good), E::ExternalData { .. }, "from memory");
    let whole = |name: &str| external(name, &[1 << 28], &[("location", "sparse.bin")]);
    std::fs::File::create(folder.path().join("sparse.bin"))
        .unwrap()
        .set_len(16)
        .unwrap();
    refused!(
        open_in(&model(&[]).tensor(whole("v"))),
        E::ExternalData { .. }
    );
}

#[test]
fn files_that_are_not_there() {
    refused!(
        elucid_onnx::open("/nowhere/model.onnx"),
        E::Read { .. },
        "/nowhere/model.onnx"
    );
    let folder = tempfile::tempdir().unwrap();
    refused!(elucid_onnx::open(folder.path()), E::Read { .. });
}

#[test]
fn weights_of_every_length() {
    let holding = |tensor| {
        let network = Onnx::image([1, 3, 8, 8]).tensor(tensor);
        import(&network.node("Relu", &["x"], &["y"]))
    };
    // The stated shape and the number of values disagree in every way.
    for count in [0, 1, 35, 37, 1000] {
        let tensor = floats("w", &[4, 1, 3, 3], vec![0.5; count]);
        refused!(
            holding(tensor),
            E::Graph(GraphError::Malformed { .. }),
            "\"w\"",
            format!("holds {count}")
        );
    }
    for kind in [0, 8, 14, 15, 17, 23, -1, i32::MAX] {
        let mut tensor = floats("w", &[1], vec![0.5]);
        tensor.data_type = Some(kind);
        refused!(
            holding(tensor),
            E::Graph(GraphError::Malformed { .. }),
            "\"w\"",
            kind
        );
    }
    let mut sparse = Onnx::image([1, 3, 8, 8]).node("Relu", &["x"], &["y"]);
    let values = Some(floats("thin", &[1], vec![1.0]));
    sparse
        .graph()
        .sparse_initializer
        .push(onnx::SparseTensorProto {
            values,
            ..Default::default()
        });
    refused!(
        import(&sparse),
        E::Graph(GraphError::Malformed { .. }),
        "thin",
        "sparse"
    );
}

#[test]
fn names_of_any_kind() {
    let strange = [
        "ячейка/выход",
        "tab\there",
        "line\nbreak",
        "\u{0}",
        "@logits",
        "quote\"d",
        "💡",
    ];
    for name in strange {
        let onnx = Onnx::image([1, 3, 8, 8]).node("Relu", &["x"], &[name]);
        let graph = import(&onnx.output(name)).unwrap();
        let made = graph.nodes()[0].outputs[0];
        assert_eq!(graph.name(made), name);
        assert_eq!(graph.value(name), Some(made));
    }
    let long = "n".repeat(1 << 20);
    let onnx = Onnx::image([1, 3, 8, 8]).node("Relu", &["x"], &[&long]);
    assert!(import(&onnx.output(&long)).is_ok());
    let mut invalid = small_network().bytes();
    let at = invalid.windows(5).position(|w| w == b"conv1").unwrap();
    invalid[at] = 0xff;
    refused!(elucid_onnx::import(invalid), E::Decode { .. }, "UTF-8");
}

#[test]
fn a_file_is_counted_before_it_is_decoded() {
    // Two bytes for each node, a structure of hundreds in memory.
    let mut bytes = Onnx::image([1, 3, 8, 8]).bytes();
    let nodes = [0x0a, 0x00].repeat(100_000);
    bytes.push(0x3a);
    prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
    bytes.extend(nodes);
    let limits = Limits::default().with_memory(20_000_000);
    refused!(
        Importer::new().limits(limits).import(bytes),
        E::Graph(GraphError::TooLarge { .. }),
        "decoding the file",
        "20 MB"
    );
}
