//! Sizes beyond any memory.

use burn::tensor::Tensor;
use elucid_graph::{
    Activation, Attribute, BoundGraph, ElementType, GraphBuilder, GraphError, HostTensor, INPUT,
    Limits,
};
use elucid_onnx::{ImportError, Importer};
use elucid_testkit::device;
use elucid_testkit::onnx::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, Onnx, bools, external, floats,
};
use elucid_vision::{Model, Opening};

use super::{E, HUGE, images, of_graph, open, refused};

fn open_within(onnx: &Onnx, bytes: u64) -> Result<Model, GraphError> {
    let limits = Limits::default().with_memory(bytes);
    of_graph(Opening::new().limits(limits).bytes(onnx.bytes(), &device()))
}

/// The bytes that are said to be needed beyond those that are taken.
fn needed<T>(result: Result<T, GraphError>) -> (u64, u64) {
    match result.map(|_| ()) {
        Err(E::TooLarge { needed, held, .. }) => (needed, held),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sizes_beyond_any_memory() {
    let x = || Onnx::image([1, 3, 8, 8]);
    let wide = [1, 3, HUGE, 8];
    let tensor = |dims: &[i64]| {
        x().tensor(floats("w", dims, vec![0.0]))
            .node("Add", &["x", "w"], &["y"])
    };
    for dims in [
        &[HUGE][..],
        &[HUGE, HUGE],
        &[1 << 31, 1 << 31, 1 << 31],
        &[0, HUGE],
        &[1 << 31],
    ] {
        refused!(
            open(&tensor(dims)),
            E::TooLarge { .. },
            "\"w\"",
            dims[dims.len() - 1]
        );
    }
    refused!(
        open(&tensor(&[-1])),
        E::Malformed { .. },
        "\"w\"",
        "negative"
    );
    refused!(
        open(&tensor(&[4])),
        E::Malformed { .. },
        "\"w\"",
        "[4]",
        "4 values"
    );
    refused!(
        open(&tensor(&vec![1; 100_000])),
        E::Malformed { .. },
        "\"w\"",
        "100000 dimensions"
    );
    let mut raw = x().node("Relu", &["x"], &["y"]);
    let mut w = floats("w", &[1 << 29], Vec::new());
    w.raw_data = Some(vec![0; 12].into());
    raw.graph().initializer.push(w);
    refused!(open(&raw), E::Malformed { .. }, "\"w\"", "12");

    let fill = |dims: &[i64]| {
        x().list("s", dims)
            .node("ConstantOfShape", &["s"], &["c"])
            .node("Add", &["x", "c"], &["y"])
    };
    for dims in [&wide[..], &[HUGE, 0], &[1 << 29], &[1 << 15, 1 << 15]] {
        refused!(
            open(&fill(dims)),
            E::TooLarge { .. },
            "ConstantOfShape \"make_c\""
        );
    }
    refused!(
        open(&fill(&[-4])),
        E::Operator { .. },
        "ConstantOfShape",
        "negative"
    );
    refused!(
        open(&fill(&[1; 500])),
        E::Operator { .. },
        "ConstantOfShape",
        "500"
    );
    // Each alone is allowed, together they are not.
    let mut many = x().list("s", &[1 << 17]);
    for i in 0..9 {
        many = many
            .node("ConstantOfShape", &["s"], &[&format!("c{i}")])
            .value(bools("", 1));
    }
    refused!(
        open_within(&many.node("Relu", &["x"], &["y"]), 1 << 20),
        E::TooLarge { .. },
        "ConstantOfShape \"make_c",
        "beside the",
        "1.05 MB",
        "Limits::with_memory"
    );
    let doubled = (0..40).fold(x().tensor(bools("d0", 1024)), |m, i| {
        m.node(
            "Concat",
            &[&format!("d{i}"), &format!("d{i}")],
            &[&format!("d{}", i + 1)],
        )
        .int("axis", 0)
    });
    refused!(
        open_within(&doubled.node("Relu", &["x"], &["y"]), 1 << 24),
        E::TooLarge { .. },
        "Concat \"make_d"
    );
    let outer = x()
        .weight("a", &[1 << 15, 1])
        .weight("b", &[1, 1 << 15])
        .node("Mul", &["a", "b"], &["c"])
        .node("Relu", &["x"], &["y"]);
    refused!(open(&outer), E::TooLarge { .. }, "Mul \"make_c\"");

    for op in ["Reshape", "Expand"] {
        let sized = |dims: &[i64]| x().list("s", dims).node(op, &["x", "s"], &["y"]);
        refused!(
            open(&sized(&[HUGE, 3, 8, 8])),
            E::Operator { .. } | E::TooLarge { .. },
            op
        );
        refused!(open(&sized(&[1, 3, -8, -8])), E::Operator { .. }, op);
        refused!(open(&sized(&[1; 1000])), E::Operator { .. }, op, "1000");
    }
    let pad = |pads: &[i64]| x().list("p", pads).node("Pad", &["x", "p"], &["y"]);
    refused!(
        open(&pad(&[0, 0, HUGE, 0, 0, 0, HUGE, 0])),
        E::TooLarge { .. },
        "Pad"
    );
    refused!(
        open(&pad(&[0, 0, i64::MAX, 0, 0, 0, i64::MAX, 0])),
        E::Operator { .. } | E::TooLarge { .. },
        "Pad"
    );
    assert!(open(&pad(&[0, 0, -1, 0, 0, 0, 0, 0])).is_ok());
    for cut in [-9, i64::MIN] {
        refused!(
            open(&pad(&[0, 0, cut, 0, 0, 0, 0, 0])),
            E::Operator { .. },
            "cut off"
        );
    }
    refused!(open(&pad(&[1, 1])), E::Operator { .. }, "2 pads for 4 axes");
    refused!(
        open(&pad(&[0, 0, 8, 0, 0, 0, 0, 0]).text("mode", "reflect")),
        E::Operator { .. },
        "Reflect"
    );
    refused!(
        open(&pad(&[0; 8]).text("mode", "mirror")),
        E::Operator { .. },
        "mirror"
    );
    let gather = x()
        .list("i", &vec![0; 1 << 12])
        .node("Gather", &["x", "i"], &["g"])
        .int("axis", 2);
    let gather = gather
        .node("Gather", &["g", "i"], &["h"])
        .int("axis", 3)
        .node("Gather", &["h", "i"], &["y"])
        .int("axis", 1);
    refused!(open(&gather), E::TooLarge { .. }, "Gather");
    let kernel = x()
        .list("s", &[1, 3, 4096, 4096])
        .node("ConstantOfShape", &["s"], &["w"])
        .node("Conv", &["x", "w"], &["y"])
        .ints("pads", &[2100, 2100, 2100, 2100]);
    refused!(open(&kernel), E::TooLarge { .. }, "Conv");
    let matrix = x()
        .weight("a", &[1 << 16, 1])
        .weight("b", &[1, 1 << 16])
        .node("MatMul", &["a", "b"], &["y"]);
    refused!(open(&matrix), E::TooLarge { .. }, "MatMul");
}

#[test]
fn constants_count_in_every_form() {
    let x = || Onnx::image([1, 3, 8, 8]);
    let of = |tensor| x().tensor(tensor).node("Relu", &["x"], &["y"]);
    // Typed data are there twice: as the file has them, and as a constant.
    let typed = of(floats("w", &[1 << 16], vec![1.0; 1 << 16]));
    assert!(open_within(&typed, 1 << 20).is_ok());
    refused!(
        open_within(&typed, 1 << 19),
        E::TooLarge { .. },
        "decoding the file"
    );
    // Raw data are not decoded; integers take eight bytes each.
    let mut bytes = floats("w", &[1 << 16], Vec::new());
    bytes.data_type = Some(2);
    bytes.raw_data = Some(vec![7; 1 << 16].into());
    let bytes = of(bytes);
    assert!(open_within(&bytes, (1 << 19) + 20_000).is_ok());
    let (needed_bytes, held) = needed(open_within(&bytes, 1 << 19));
    assert_eq!(needed_bytes, 1 << 19);
    assert!(held < 20_000, "{held}");

    let folder = std::env::temp_dir().join(format!("elucid-limits-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("weights"), vec![0; 1 << 16]).unwrap();
    // Many tensors of one file.
    let beside = (0..100).fold(x(), |onnx, i| {
        let entries = [("location", "weights")];
        onnx.tensor(external(&format!("w{i}"), &[1 << 14], &entries))
    });
    let beside = beside.node("Relu", &["x"], &["y"]);
    std::fs::write(folder.join("net.onnx"), beside.bytes()).unwrap();
    let open = |memory| {
        let limits = Limits::default().with_memory(memory);
        of_graph(
            Opening::new()
                .limits(limits)
                .open(folder.join("net.onnx"), &device()),
        )
    };
    assert!(open(8 << 20).is_ok());
    refused!(
        open(4 << 20),
        E::TooLarge { .. },
        "initializer \"w",
        "4.20 MB"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn functions_do_not_multiply_without_bound() {
    // Each calls the next twice, and the last has no nodes: what comes of it is nothing, after 2^30 calls.
    let call = |callee: usize| NodeProto {
        op_type: Some(format!("f{callee}")),
        domain: Some("own".to_owned()),
        input: vec!["a".to_owned()],
        output: Vec::new(),
        ..Default::default()
    };
    let functions = (0..30).map(|i| FunctionProto {
        name: Some(format!("f{i}")),
        domain: Some("own".to_owned()),
        input: vec!["a".to_owned()],
        node: if i < 29 {
            vec![call(i + 1); 2]
        } else {
            Vec::new()
        },
        ..Default::default()
    });
    let mut onnx = Onnx::image([1, 3, 8, 8]).node("Relu", &["x"], &["y"]);
    onnx.0.functions = functions.collect();
    onnx.graph().node.push(call(0));
    refused!(open_within(&onnx, 10_000_000), E::TooLarge { .. }, "own.f");

    // A long name in front of every name inside.
    let inside = NodeProto {
        op_type: Some("Relu".to_owned()),
        input: vec!["a".to_owned()],
        ..Default::default()
    };
    let nodes = (0..1000).map(|i| NodeProto {
        output: vec![format!("b{i}")],
        ..inside.clone()
    });
    let mut onnx = Onnx::image([1, 3, 8, 8]).node("Relu", &["x"], &["y"]);
    onnx.0.functions = vec![FunctionProto {
        name: Some("long".to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["a".to_owned()],
        node: nodes.collect(),
        ..Default::default()
    }];
    onnx.graph().node.push(NodeProto {
        name: Some("n".repeat(100_000)),
        op_type: Some("long".to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["x".to_owned()],
        ..Default::default()
    });
    refused!(open_within(&onnx, 50_000_000), E::TooLarge { .. }, "nnn");
}

#[test]
fn names_of_outputs_left_out_stay_short() {
    let long = "y".repeat(10_000);
    let mut outputs = vec![""; 10_000];
    outputs.push(&long);
    let onnx = Onnx::image([1, 3, 8, 8])
        .node("Split", &["x"], &outputs)
        .output(&long);
    // 100 MB if each had the last one's name in its own.
    let before = open_within(&onnx, 20_000_000);
    assert!(!matches!(before, Err(E::TooLarge { .. })), "{before:?}");
}

#[test]
fn bodies_count_with_the_graph_around_them() {
    // Ten branches, each of which folds a megabyte.
    let big = NodeProto {
        op_type: Some("ConstantOfShape".to_owned()),
        input: vec!["s".to_owned()],
        output: vec!["c".to_owned()],
        ..Default::default()
    };
    let mut body = Onnx::new().list("s", &[1 << 18]).output("c");
    body.graph().node.push(big);
    let body: GraphProto = body.0.graph.unwrap();
    let branch = |name: &str| AttributeProto {
        name: Some(name.to_owned()),
        g: Some(Box::new(body.clone())),
        kind: Some(5),
        ..Default::default()
    };
    let network = |count: usize| {
        let mut onnx = Onnx::image([1, 3, 8, 8]).typed_input("b", 9, &[1]);
        for i in 0..count {
            onnx = onnx.node("If", &["b"], &[&format!("z{i}")]);
            let node = onnx.graph().node.last_mut().unwrap();
            node.attribute = vec![branch("then_branch"), branch("else_branch")];
        }
        onnx.node("Relu", &["x"], &["y"])
    };
    let within = |count: usize| {
        let limits = Limits::default().with_memory(5 << 20);
        Importer::new()
            .limits(limits)
            .import(network(count).bytes())
    };
    assert!(within(1).is_ok());
    refused!(
        within(5),
        ImportError::Graph(E::TooLarge { .. }),
        "ConstantOfShape"
    );
}

#[test]
fn loops_count_what_their_steps_make() {
    // Each step keeps another megabyte that follows from shapes alone.
    let mut body = Onnx::new()
        .typed_input("i", 7, &[])
        .typed_input("go", 9, &[])
        .list("s", &[1 << 17])
        .node("Expand", &["i", "s"], &["c"])
        .node("Identity", &["go"], &["on"])
        .output("on")
        .output("c");
    let body = body.graph().clone();
    let network = |steps: i64| {
        let mut onnx = Onnx::image([1, 3, 8, 8]).list("steps", &[steps]).node(
            "Loop",
            &["steps", ""],
            &["stack"],
        );
        let node = onnx.graph().node.last_mut().unwrap();
        node.attribute.push(AttributeProto {
            name: Some("body".to_owned()),
            g: Some(Box::new(body.clone())),
            kind: Some(5),
            ..Default::default()
        });
        onnx.node("Relu", &["x"], &["y"])
    };
    assert!(open_within(&network(2), 20 << 20).is_ok());
    refused!(
        open_within(&network(100), 20 << 20),
        E::TooLarge { .. },
        "Loop"
    );
}

#[test]
fn a_pass_is_counted_before_it_runs() {
    // Two values of 3 * 64 * 64 numbers at once, of six.
    let mut chain = Onnx::image([-1, 3, 64, 64]);
    for (i, pair) in ["x", "a", "b", "c", "d", "y"].windows(2).enumerate() {
        let op = if i % 2 == 0 { "Relu" } else { "Sigmoid" };
        chain = chain.node(op, &[pair[0]], &[pair[1]]);
    }
    let one = 4 * 3 * 64 * 64;
    // With the names of nodes and values.
    let names = 4_000;
    let run = |memory: u64, count: usize| {
        let model = open_within(&chain, memory)?;
        let pass = model.pass().input(&images([count, 3, 64, 64]));
        pass.fetch(["y"]).map(|_| ())
    };
    run(2 * one + names, 1).unwrap();
    assert!(
        run(2 * one + names, 5).is_ok(),
        "each image may take as much"
    );
    assert_eq!(needed(run(2 * one - 1, 1)).0, 2 * one);
    refused!(
        run(2 * one - 1, 1),
        E::TooLarge { .. },
        "a pass on one image",
        "make_a"
    );
    // Where gradients flow everything stays.
    let tracked = |memory: u64| {
        let model = open_within(&chain, memory)?;
        let x: Activation = images([1, 3, 64, 64]).into();
        model
            .pass()
            .feed(INPUT, x.require_grad())
            .fetch(["y"])
            .map(|_| ())
    };
    tracked(6 * one + names).unwrap();
    assert_eq!(needed(tracked(6 * one - 1)).0, 6 * one);
    let recorded = |memory: u64| {
        let model = open_within(&chain, memory)?;
        let pass = model.pass().input(&images([1, 3, 64, 64]));
        pass.record(["y"]).map(|_| ())
    };
    recorded(6 * one + names).unwrap();
    assert_eq!(needed(recorded(6 * one - 1)).0, 6 * one);
}

#[test]
fn working_space_counts() {
    // Scores of 1024 x 1024 between tokens of 4 numbers.
    let mut builder = GraphBuilder::new().limits(Limits::default().with_memory(1 << 20));
    for name in ["q", "k", "v"] {
        let shape = [Some(1), Some(1), Some(1024), Some(4)];
        builder.input(name, ElementType::F32, &shape).unwrap();
    }
    builder
        .node("Attention", "attend", &["q", "k", "v"], &["y"])
        .unwrap();
    builder.output("y");
    let model = BoundGraph::new(builder.build().unwrap(), &device());
    let mut pass = model.pass();
    for name in ["q", "k", "v"] {
        pass = pass.feed(name, Tensor::<4>::zeros([1, 1, 1024, 4], &device()));
    }
    refused!(pass.fetch(["y"]), E::TooLarge { .. }, "attend", "1.05 MB");

    // A product of two axes between that the result does not have.
    let mut builder = GraphBuilder::new().limits(Limits::default().with_memory(1 << 20));
    for (name, shape) in [("a", [1024, 1]), ("b", [1, 1024]), ("c", [1024, 1])] {
        let shape = shape.map(Some);
        builder.input(name, ElementType::F32, &shape).unwrap();
    }
    let equation = |a: elucid_graph::Attributes| {
        a.with("equation", Attribute::Text("ij,jk,kl->il".to_owned()))
    };
    builder
        .node_with("Einsum", "sum", &["a", "b", "c"], &["y"], equation)
        .unwrap();
    builder.output("y");
    let model = BoundGraph::new(builder.build().unwrap(), &device());
    let feed = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device());
    let pass = model
        .pass()
        .feed("a", feed([1024, 1]))
        .feed("b", feed([1, 1024]));
    let fetched = pass.feed("c", feed([1024, 1])).fetch(["y"]);
    refused!(fetched, E::TooLarge { .. }, "sum");
}

#[test]
fn constants_computed_by_kernels_count() {
    let host = |shape: &[usize]| {
        let count = shape.iter().product();
        HostTensor::of_floats(ElementType::F32, shape, vec![1.0; count]).unwrap()
    };
    let mut builder = GraphBuilder::new().limits(Limits::default().with_memory(1 << 20));
    builder.constant("a", host(&[512, 1])).unwrap();
    builder.constant("b", host(&[1, 512])).unwrap();
    builder
        .node("MatMul", "outer", &["a", "b"], &["y"])
        .unwrap();
    builder.output("y");
    refused!(builder.build(), E::TooLarge { .. }, "MatMul \"outer\"");
}
