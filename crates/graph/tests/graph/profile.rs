//! What a profile says of operators: that each is there once, and its arithmetic, counted by hand.

use burn::tensor::Tensor;
use elucid_graph::{BoundGraph, GraphError, Profile, Profiling};
use elucid_rules::{GuidedRelu, OpKind, Rules};
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, floats, small_network};

fn bound(onnx: &Onnx) -> BoundGraph {
    BoundGraph::new(elucid_onnx::import(onnx.bytes()).unwrap(), &device())
}

fn numbers<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let count = shape.iter().product();
    let flat = elucid_testkit::tensor(elucid_testkit::numbers(count, 3), [1, 1, 1, count]);
    flat.reshape(shape)
}

fn profiled<const D: usize>(onnx: &Onnx, shape: [usize; D]) -> Profile {
    let model = bound(onnx);
    let pass = model.pass().feed("x", numbers(shape));
    pass.profile(["y"], &Profiling::new().repeats(1)).unwrap()
}

/// The arithmetic of the last operator.
#[track_caller]
fn counts<const D: usize>(onnx: Onnx, shape: [usize; D], flops: u64) {
    let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    let onnx = onnx.opset(20).input("x", &sizes).output("y");
    let profile = profiled(&onnx, shape);
    let last = profile.operators().last().unwrap();
    assert_eq!(last.layer(), "y");
    assert_eq!(last.forward().flops, flops, "{}", last.kind());
}

/// The small network, on pictures of 12 x 12.
fn small() -> BoundGraph {
    let graph = elucid_onnx::import(small_network().bytes()).unwrap();
    let input = graph.inputs()[0].value;
    let model = BoundGraph::new(graph, &device());
    model.with_pictures(input, [12, 12]).unwrap()
}

#[test]
fn convolutions_count_their_windows() {
    let conv = || Onnx::new().weight("w", &[6, 2, 3, 3]).weight("b", &[6]);
    // 6 x 3 x 2 numbers, each of 2 x 3 x 3 products.
    let node = conv().node("Conv", &["x", "w"], &["y"]).int("group", 2);
    counts(node.ints("strides", &[2, 2]), [1, 4, 7, 5], 36 * 36);
    let node = conv()
        .node("Conv", &["x", "w", "b"], &["y"])
        .int("group", 2);
    counts(
        node.ints("strides", &[2, 2]),
        [2, 4, 7, 5],
        2 * (36 * 36 + 36),
    );
    // Padded, a window has as many numbers as elsewhere.
    let node = conv().node("Conv", &["x", "w"], &["y"]).int("group", 2);
    counts(node.ints("pads", &[1, 1, 1, 1]), [1, 4, 5, 4], 6 * 20 * 36);
    // Each of 4 x 5 x 4 numbers goes to 3 x 3 x 3 others, twice the size and one more.
    let across = Onnx::new().weight("w", &[4, 3, 3, 3]).weight("b", &[3]);
    let node = across.node("ConvTranspose", &["x", "w", "b"], &["y"]);
    let made = 3 * 11 * 9;
    counts(
        node.ints("strides", &[2, 2]),
        [1, 4, 5, 4],
        80 * 27 * 2 + made,
    );
}

#[test]
fn products_count_their_inner_axis() {
    let weight = |shape: &[i64]| Onnx::new().weight("w", shape);
    counts(
        weight(&[5, 7]).node("MatMul", &["x", "w"], &["y"]),
        [2, 3, 5],
        6 * 7 * 10,
    );
    counts(
        weight(&[4, 5, 7]).node("MatMul", &["x", "w"], &["y"]),
        [4, 3, 5],
        12 * 7 * 10,
    );
    let gemm = weight(&[7, 5]).weight("b", &[7]);
    let node = gemm.node("Gemm", &["x", "w", "b"], &["y"]).int("transB", 1);
    counts(node.float("alpha", 0.5), [3, 5], 21 * (10 + 1 + 1));
    let sum = weight(&[2, 5, 7]).node("Einsum", &["x", "w"], &["y"]);
    counts(
        sum.text("equation", "bij,bjk->bik"),
        [2, 3, 5],
        2 * 3 * 7 * 10,
    );
}

#[test]
fn windows_and_statistics_count_what_they_read() {
    let pool = |kind: &str| {
        let node = Onnx::new().node(kind, &["x"], &["y"]);
        node.ints("kernel_shape", &[3, 2]).ints("strides", &[2, 2])
    };
    counts(pool("MaxPool"), [1, 2, 7, 6], 2 * 3 * 3 * 6);
    counts(pool("AveragePool"), [1, 2, 7, 6], 2 * 3 * 3 * (6 + 1));
    let one = |kind: &str| Onnx::new().node(kind, &["x"], &["y"]);
    counts(one("GlobalAveragePool"), [1, 2, 4, 3], 24 + 2);
    counts(one("GlobalMaxPool"), [1, 2, 4, 3], 24);
    counts(one("Softmax"), [2, 6], 12 * 5);
    counts(one("LRN").int("size", 5), [1, 6, 2, 2], 24 * 14);
    let scaled = |kind: &str| {
        let onnx = Onnx::new().weight("s", &[6]).weight("b", &[6]);
        onnx.node(kind, &["x", "s", "b"], &["y"])
    };
    counts(scaled("LayerNormalization"), [2, 6], 12 * 7);
    counts(scaled("InstanceNormalization"), [1, 6, 2, 2], 24 * 7);
    let norm = Onnx::new();
    let norm = ["s", "b", "m", "v"].iter().fold(norm, |n, name| {
        n.tensor(floats(name, &[3], vec![1.0, 2.0, 3.0]))
    });
    let node = norm.node("BatchNormalization", &["x", "s", "b", "m", "v"], &["y"]);
    counts(node, [1, 3, 2, 2], 24);
}

#[test]
fn what_nobody_counts_is_one_for_each_number_and_nothing_where_they_move() {
    let one = |kind: &str| Onnx::new().node(kind, &["x"], &["y"]);
    for kind in ["Relu", "Sigmoid", "Exp", "HardSwish"] {
        counts(one(kind), [2, 3, 4, 5], 120);
    }
    counts(one("Transpose"), [2, 3], 0);
    counts(one("Flatten"), [2, 3, 2], 0);
    let shape = Onnx::new().list("s", &[6, 2]);
    counts(shape.node("Reshape", &["x", "s"], &["y"]), [3, 4], 0);
    let bias = Onnx::new().weight("b", &[1, 3, 1, 1]);
    counts(bias.node("Add", &["x", "b"], &["y"]), [2, 3, 4, 5], 120);
}

#[test]
fn the_bytes_are_those_of_what_is_read_and_made() {
    let onnx = Onnx::new().weight("w", &[6, 4, 3, 3]).weight("b", &[6]);
    let onnx = onnx.node("Conv", &["x", "w", "b"], &["y"]);
    let onnx = onnx.input("x", &[1, 4, 7, 5]).output("y");
    let profile = profiled(&onnx, [1, 4, 7, 5]);
    let made = 6 * 5 * 3;
    assert_eq!(profile.total().bytes, 4 * (4 * 35 + 6 * 36 + 6 + made));
}

/// A file that fixes a batch of one: the profile of three images is of three.
#[test]
fn images_that_run_one_by_one_are_added_up() {
    let onnx = || {
        let shape = Onnx::new().list("s", &[1, 12]).weight("w", &[12, 5]);
        let shape = shape.node("Reshape", &["x", "s"], &["r"]);
        let onnx = shape.node("MatMul", &["r", "w"], &["y"]);
        onnx.input("x", &[1, 3, 2, 2]).output("y")
    };
    let of = |images: usize| {
        let graph = elucid_onnx::import(onnx().bytes()).unwrap();
        let input = graph.inputs()[0].value;
        let model = BoundGraph::new(graph, &device());
        let model = model.with_pictures(input, [2, 2]).unwrap();
        let pass = model.pass().input(&numbers([images, 3, 2, 2]));
        let profile = pass.profile(["y"], &Profiling::new().repeats(2)).unwrap();
        let kinds: Vec<OpKind> = profile.operators().iter().map(|o| o.kind()).collect();
        assert_eq!(kinds, [OpKind::Reshape, OpKind::MatMul]);
        profile.total().flops
    };
    assert_eq!((of(1), of(3)), (120, 360));
}

#[test]
fn the_way_back_goes_through_what_depends_on_the_input() {
    let model = small();
    let rules = Rules::new().on(OpKind::Relu, GuidedRelu);
    let pass = model.pass().rules(&rules).input(&numbers([2, 3, 12, 12]));
    let both = Profiling::new().repeats(3).backward(true);
    let profile = pass.clone().profile(["scores"], &both).unwrap();
    assert_eq!(profile.repeats(), 3);
    assert!(profile.backward().is_some() && profile.total_backward().is_some());
    let mut layers: Vec<&str> = Vec::new();
    for operator in profile.operators() {
        let backward = operator
            .backward()
            .unwrap_or_else(|| panic!("{}", operator.layer()));
        assert!(!backward.time.is_zero() && !operator.forward().time.is_zero());
        assert_eq!(backward.flops, operator.forward().flops);
        layers.push(operator.layer());
    }
    let recording = pass.clone().record(["scores"]).unwrap();
    let mut steps: Vec<&str> = recording
        .steps("scores", &["@input"])
        .unwrap()
        .iter()
        .map(|step| step.layer())
        .collect();
    steps.reverse();
    layers.sort_unstable();
    steps.sort_unstable();
    assert_eq!(layers, steps);
    // Forwards alone there is none, and a gradient is that of one layer.
    let forwards = pass.clone().profile(["scores"], &Profiling::new()).unwrap();
    assert!(forwards.backward().is_none());
    assert!(forwards.operators().iter().all(|o| o.backward().is_none()));
    let two = pass.profile(["scores", "relu1"], &both);
    assert!(matches!(two, Err(GraphError::Shape { .. })));
}

#[test]
fn kinds_are_the_operators_added_up() {
    let model = small();
    let pass = model.pass().input(&numbers([1, 3, 12, 12]));
    let profile = pass.profile(["scores"], &Profiling::new()).unwrap();
    let kinds = profile.kinds();
    assert!(kinds.len() > 1);
    let operators: usize = kinds.iter().map(|kind| kind.operators()).sum();
    assert_eq!(operators, profile.operators().len());
    let flops: u64 = kinds.iter().map(|kind| kind.forward().flops).sum();
    assert_eq!(flops, profile.total().flops);
    let times: Vec<_> = kinds.iter().map(|kind| kind.forward().time).collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
    assert!(!profile.forward().is_zero() && !profile.planning().is_zero());
}

/// Whatever is computed can be profiled.
#[test]
fn every_case_has_a_profile() {
    for file in super::case_files() {
        let graph = elucid_onnx::import(std::fs::read(&file).unwrap()).unwrap();
        let shape = graph.inputs()[0].shape.iter().map(|size| size.unwrap());
        let shape: [usize; 4] = shape.collect::<Vec<_>>().try_into().unwrap();
        let model = BoundGraph::new(graph, &device());
        let pass = model.pass().feed("x", numbers(shape));
        let profile = pass.profile(["y"], &Profiling::new().repeats(1));
        let profile = profile.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut nodes: Vec<usize> = profile.operators().iter().map(|o| o.node_index()).collect();
        let count = nodes.len();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!(nodes.len(), count, "{}", file.display());
    }
}
