//! Several images through files that fix a batch of one: whatever became of the first axis on the way,
//! the numbers and gradients are those of each image by itself.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, BoundGraph, GraphError};
use elucid_onnx::Importer;
use elucid_testkit::generated;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{assets, device, relative_error};
use elucid_vision::Model;
use ndarray::{ArrayD, Axis};
use serde_json::Value;

/// Networks of which something runs image by image: the operator, or nothing for all of it.
const IMAGE_BY_IMAGE: &[(&str, &str)] = &[
    // Sizes depend on what is found in each image.
    ("tv_ssdlite320_mobilenet_v3_large", ""),
];

/// Images of the small networks, `[N, 3, 8, 8]`.
fn images(count: usize) -> Tensor<4> {
    let noise = |i: usize| ((i * 7919 + i * i * 31 + 13) % 2003) as f32 / 1000.0 - 1.0;
    let values: Vec<f32> = (0..count * 192).map(noise).collect();
    Tensor::from_data(TensorData::new(values, [count, 3, 8, 8]), &device())
}

fn image() -> Onnx {
    Onnx::image([1, 3, 8, 8])
}

/// Four tokens of six numbers, `t` of `[1, 4, 6]`.
fn tokens() -> Onnx {
    image()
        .weight("patch", &[6, 3, 4, 4])
        .node("Conv", &["x", "patch"], &["patches"])
        .ints("strides", &[4, 4])
        .list("flat", &[1, 6, 4])
        .node("Reshape", &["patches", "flat"], &["columns"])
        .node("Transpose", &["columns"], &["t"])
        .ints("perm", &[0, 2, 1])
}

/// Four windows of 16 pixels, `w` of `[4, 16, 3]`.
fn windows() -> Onnx {
    image()
        .list("cut", &[1, 3, 2, 4, 2, 4])
        .node("Reshape", &["x", "cut"], &["cells"])
        .node("Transpose", &["cells"], &["moved"])
        .ints("perm", &[0, 2, 4, 3, 5, 1])
        .list("fold", &[4, 16, 3])
        .node("Reshape", &["moved", "fold"], &["w"])
}

/// `y` from all numbers of `from`.
fn scored(network: Onnx, from: &str, count: i64) -> Onnx {
    network
        .list("row", &[1, count])
        .node("Reshape", &[from, "row"], &["all"])
        .weight("classes", &[count, 5])
        .node("MatMul", &["all", "classes"], &["y"])
}

/// The class token of a vision transformer, a position each, and attention within the image.
fn class_token() -> Onnx {
    let network = tokens()
        .weight("token", &[1, 1, 6])
        .node("Concat", &["token", "t"], &["with"])
        .int("axis", 1)
        .weight("positions", &[1, 5, 6])
        .node("Add", &["with", "positions"], &["placed"])
        .node("Transpose", &["placed"], &["keys"])
        .ints("perm", &[0, 2, 1])
        .node("MatMul", &["placed", "keys"], &["scores"])
        .node("Softmax", &["scores"], &["weights"])
        .int("axis", -1)
        .node("MatMul", &["weights", "placed"], &["attended"])
        .list("first", &[0])
        .node("Gather", &["attended", "first"], &["one"])
        .int("axis", 1);
    scored(network, "one", 6)
}

/// What an image is expanded to has the 1 written in.
fn expanded() -> Onnx {
    let network = image()
        .node("GlobalAveragePool", &["x"], &["mean"])
        .list("full", &[1, 3, 8, 8])
        .node("Expand", &["mean", "full"], &["wide"])
        .node("Sub", &["x", "wide"], &["centred"])
        .node("Mul", &["centred", "centred"], &["square"]);
    scored(network, "square", 192)
}

/// Whose first size is left to be found.
fn reshaped() -> Onnx {
    let network = image()
        .list("some", &[-1, 48])
        .node("Reshape", &["x", "some"], &["rows"])
        .weight("mix", &[48, 7])
        .weight("offset", &[7])
        .node("Gemm", &["rows", "mix", "offset"], &["mixed"])
        .node("Tanh", &["mixed"], &["bent"]);
    scored(network, "bent", 28)
}

/// Windows in the batch axis, with an offset for each of them.
fn partitioned() -> Onnx {
    let network = windows()
        .weight("inner", &[3, 5])
        .node("MatMul", &["w", "inner"], &["projected"])
        .weight("each", &[4, 1, 5])
        .node("Add", &["projected", "each"], &["offset"])
        .node("Softmax", &["offset"], &["soft"])
        .int("axis", 1);
    scored(network, "soft", 320)
}

/// A softmax over windows: along axis 0, yet within an image.
fn over_windows() -> Onnx {
    let network = windows().node("Softmax", &["w"], &["soft"]).int("axis", 0);
    scored(network, "soft", 192)
}

/// An operator that does not say that it keeps images apart.
fn summed_up() -> Onnx {
    let network = windows()
        .list("along", &[0])
        .node("CumSum", &["w", "along"], &["sums"])
        .node("Tanh", &["sums"], &["bent"]);
    scored(network, "bent", 192)
}

/// An attention of PyTorch's: positions first, heads in the batch axis.
fn positions_first() -> Onnx {
    let mut network = tokens()
        .node("Transpose", &["t"], &["lne"])
        .ints("perm", &[1, 0, 2])
        .list("matrix", &[4, 6])
        .node("Reshape", &["lne", "matrix"], &["rows"])
        .weight("qkv", &[6, 18])
        .weight("bias", &[18])
        .node("Gemm", &["rows", "qkv", "bias"], &["packed"])
        .list("apart", &[1, 4, 1, 3, 6])
        .node("Reshape", &["packed", "apart"], &["unpacked"])
        .node("Transpose", &["unpacked"], &["parts"])
        .ints("perm", &[3, 1, 2, 0, 4])
        .list("three", &[3, 4, 1, 6])
        .node("Reshape", &["parts", "three"], &["threes"])
        .list("heads", &[4, 2, 3]);
    for (i, name) in ["q", "k", "v"].into_iter().enumerate() {
        let [index, part, split, head] =
            ["index", "part", "split", "head"].map(|what| format!("{name}/{what}"));
        network = network
            .list(&index, &[i as i64])
            .node("Gather", &["threes", &index], &[&part])
            .int("axis", 0)
            .node("Reshape", &[&part, "heads"], &[&split])
            .node("Transpose", &[&split], &[&head])
            .ints("perm", &[1, 0, 2]);
    }
    let network = network
        .node("Transpose", &["k/head"], &["keys"])
        .ints("perm", &[0, 2, 1])
        .node("MatMul", &["q/head", "keys"], &["scores"])
        .node("Softmax", &["scores"], &["weights"])
        .int("axis", 2)
        .node("MatMul", &["weights", "v/head"], &["values"])
        .node("Transpose", &["values"], &["by_position"])
        .ints("perm", &[1, 0, 2])
        .list("joined", &[4, 1, 6])
        .node("Reshape", &["by_position", "joined"], &["lne_again"])
        .node("Transpose", &["lne_again"], &["nle"])
        .ints("perm", &[1, 0, 2]);
    scored(network, "nle", 24)
}

/// A constant with as many rows as images are given: each image meets all of them.
fn against_three() -> Onnx {
    let network = image()
        .list("line", &[1, 192])
        .node("Reshape", &["x", "line"], &["numbers"])
        .weight("three", &[3, 192])
        .node("Sub", &["numbers", "three"], &["apart"])
        .node("Mul", &["apart", "apart"], &["square"]);
    scored(network, "square", 576)
}

/// Statistics over an axis that holds one image.
fn normalised() -> Onnx {
    let network = image()
        .opset(13)
        .node("ReduceMean", &["x"], &["mean"])
        .ints("axes", &[0, 2, 3])
        .node("Sub", &["x", "mean"], &["centred"])
        .node("Tanh", &["centred"], &["bent"]);
    scored(network, "bent", 192)
}

/// A number without an axis.
fn divided_by_a_scalar() -> Onnx {
    let network = image()
        .node("ReduceMax", &["x"], &["largest"])
        .int("keepdims", 0)
        .node("Div", &["x", "largest"], &["scaled"]);
    scored(network, "scaled", 192)
}

/// A picture brought to a size that is written down with its batch.
fn resized() -> Onnx {
    let network = image()
        .list("size", &[1, 3, 5, 11])
        .node("Resize", &["x", "", "", "size"], &["scaled"])
        .text("mode", "linear");
    scored(network, "scaled", 165)
}

/// Some numbers replaced by others of the image, some by constants, some added to.
fn scattered() -> Onnx {
    let mut places = floats("places", &[2, 2], Vec::new());
    places.data_type = Some(7);
    places.int64_data = vec![0, 2, 0, 1];
    let mut rows = places.clone();
    rows.name = Some("rows".to_owned());
    rows.dims = vec![2, 1];
    rows.int64_data = vec![3, 1];
    let network = windows()
        .tensor(places)
        .tensor(rows)
        .list("start", &[0])
        .list("end", &[2])
        .list("axis", &[1])
        .node("Slice", &["x", "start", "end", "axis"], &["two"])
        .list("four", &[2, 8, 8])
        .node("Reshape", &["two", "four"], &["updates"])
        .node("ScatterND", &["x", "places", "updates"], &["swapped"])
        .weight("fixed", &[2, 16, 3])
        .node("ScatterND", &["w", "rows", "fixed"], &["set"])
        .node("ScatterND", &["set", "rows", "fixed"], &["raised"])
        .text("reduction", "add")
        .opset(16)
        .list("whole", &[1, 192])
        .node("Reshape", &["raised", "whole"], &["one"])
        .node("Reshape", &["swapped", "whole"], &["other"])
        .node("Mul", &["one", "other"], &["both"]);
    scored(network, "both", 192)
}

/// Queries and keys in the first axis, which is cut.
fn cut() -> Onnx {
    let network = windows()
        .list("rows", &[2, 2])
        .node("Split", &["w", "rows"], &["left", "right"])
        .node("Tanh", &["right"], &["bent"])
        .node("Mul", &["left", "bent"], &["product"]);
    scored(network, "product", 96)
}

/// A picture sampled at fixed places, and places moved by the picture.
fn sampled() -> Onnx {
    let network = image()
        .opset(16)
        .weight("grid", &[1, 4, 5, 2])
        .node("GridSample", &["x", "grid"], &["warped"])
        .node("GlobalAveragePool", &["warped"], &["mean"])
        .list("three", &[1, 3, 1, 1])
        .node("Reshape", &["mean", "three"], &["mean3"])
        .weight("shift", &[1, 3, 1, 1])
        .node("Mul", &["mean3", "shift"], &["moved"])
        .node("ReduceMean", &["moved"], &["offset"])
        .ints("axes", &[1])
        .node("Add", &["grid", "offset"], &["places"])
        .node("GridSample", &["x", "places"], &["again"])
        .node("Concat", &["warped", "again"], &["all_of_it"])
        .int("axis", 1);
    scored(network, "all_of_it", 120)
}

/// An attention whose products are sums by letters, within the image and within windows of it.
fn by_letters() -> Onnx {
    let network = windows()
        .node("Einsum", &["w", "w"], &["scores"])
        .text("equation", "bqc,bkc->bqk")
        .node("Softmax", &["scores"], &["weights"])
        .weight("values", &[4, 16, 3])
        .node("Einsum", &["weights", "values"], &["fixed"])
        .text("equation", "...qk,...kc->...qc")
        .weight("mix", &[3, 5])
        .node("Einsum", &["fixed", "mix"], &["mixed"])
        .text("equation", "bqc,cd->bdq");
    scored(network, "mixed", 320)
}

/// Name, network, and whether images go together.
fn networks() -> Vec<(&'static str, Onnx, bool)> {
    vec![
        ("class token", class_token(), true),
        ("expanded", expanded(), true),
        ("reshaped", reshaped(), true),
        ("partitioned", partitioned(), true),
        ("over windows", over_windows(), true),
        ("summed up", summed_up(), true),
        ("positions first", positions_first(), true),
        ("against three", against_three(), true),
        ("normalised", normalised(), true),
        ("resized", resized(), true),
        ("scattered", scattered(), true),
        ("cut", cut(), true),
        ("sampled", sampled(), true),
        ("by letters", by_letters(), true),
        ("divided by a scalar", divided_by_a_scalar(), false),
    ]
}

fn open(network: &Onnx) -> Model {
    Model::from_bytes(network.bytes(), &device(), None).unwrap()
}

fn coefficients(y: &Activation) -> Tensor<2> {
    let [rows, columns] = y.rows().dims();
    let values: Vec<f32> = (0..columns).map(|i| (i as f32 * 1.7 + 0.4).sin()).collect();
    Tensor::<2>::from_data(TensorData::new(values, [1, columns]), &device()).expand([rows, columns])
}

/// The output, and the gradient at the input of a fixed sum of it.
fn both(model: &BoundGraph, output: &str, images: &Tensor<4>) -> [ArrayD<f32>; 2] {
    let leaf = Activation::from(images.clone()).require_grad();
    let input = model
        .graph()
        .name(model.graph().inputs()[0].value)
        .to_owned();
    let fetched = model
        .pass()
        .feed(&input, leaf.clone())
        .fetch([output])
        .unwrap();
    let y = fetched.get(output).unwrap();
    let gradients = (y.rows() * coefficients(y)).sum().backward();
    let gradient = leaf.gradient(&gradients).unwrap();
    [y.to_array().unwrap(), gradient.to_array().unwrap()]
}

/// `bounds` of values and of gradients, relative to the largest of an image.
fn agree(name: &str, model: &BoundGraph, output: &str, images: &Tensor<4>, bounds: [f32; 2]) {
    let count = images.dims()[0];
    let together = both(model, output, images);
    for image in 0..count {
        let alone = both(model, output, &images.clone().narrow(0, image, 1));
        let pairs = together.iter().zip(&alone).zip(bounds);
        for (what, ((all, one), bound)) in ["value", "gradient"].iter().zip(pairs) {
            assert_eq!(all.shape()[0], count, "{name}: {what}");
            assert_eq!(one.shape()[0], 1, "{name}: {what}");
            let row = all.index_axis(Axis(0), image);
            let error = relative_error(&row, one);
            assert!(
                error < bound,
                "{name}: {what} of image {image} is off by {error:e}"
            );
        }
    }
}

#[test]
fn small_networks_keep_images_apart() {
    for (name, network, together) in networks() {
        let model = open(&network);
        assert_eq!(model.runs_one_by_one(["y"]).unwrap(), !together, "{name}");
        for count in [2, 3, 4] {
            agree(name, &model, "y", &images(count), [1e-6; 2]);
        }
    }
}

/// What has no way of its own for several images is computed image by image, and nothing else.
#[test]
fn operators_that_run_image_by_image_are_named() {
    let named = |network: &Onnx| open(network).operators_one_by_one(["y"]).unwrap();
    for network in [
        cut(),
        resized(),
        scattered(),
        sampled(),
        by_letters(),
        class_token(),
    ] {
        assert_eq!(named(&network), Vec::<String>::new());
    }
    assert_eq!(named(&summed_up()), ["CumSum \"make_sums\""]);
    assert_eq!(named(&divided_by_a_scalar()).len(), 4);
}

/// The operators of today's networks that are computed image by image, with how many there are.
#[test]
fn exported_networks_run_together() {
    let Some(assets) = assets() else { return };
    let Ok(files) = std::fs::read_dir(assets.join("models/modern")) else {
        return;
    };
    let paths = files.map(|file| file.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|p| p.extension() == Some("onnx".as_ref()))
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // Networks with other inputs than a picture are not run so.
        let Ok(model) = Model::open(&path, &device()) else {
            continue;
        };
        let graph = model.graph();
        let ends: Vec<&str> = graph.outputs().iter().map(|&v| graph.name(v)).collect();
        let Ok(whole) = model.runs_one_by_one(&ends) else {
            continue;
        };
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for operator in model.operators_one_by_one(&ends).unwrap() {
            let (kind, _) = operator.split_once(' ').unwrap();
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        println!("{name}: image by image {whole}, {kinds:?}");
        found.push((name, whole, kinds));
    }
    for (name, whole, kinds) in found {
        let expected = IMAGE_BY_IMAGE.iter().find(|(network, _)| *network == name);
        match expected {
            Some((_, "")) => assert!(whole, "{name}"),
            Some((_, kind)) => assert!(!whole && kinds.keys().eq([*kind]), "{name}: {kinds:?}"),
            None => assert!(!whole && kinds.is_empty(), "{name}: {kinds:?}"),
        }
    }
}

/// Backwards through a recording, as through autodiff.
#[test]
fn recordings_hold_several_images() {
    for (name, network, together) in networks() {
        let model = open(&network);
        let images = images(3);
        let recorded = model.pass().input(&images).record(["y"]);
        if !together {
            assert!(matches!(recorded, Err(GraphError::Shape { .. })), "{name}");
            continue;
        }
        let recording = recorded.unwrap();
        let y = recording.value("y").unwrap();
        let seed = Activation::from(coefficients(y));
        let arrived = recording
            .propagate("y", seed, &["x"], |step, g| step.gradient(g))
            .unwrap();
        let got = arrived.get("x").unwrap().to_array().unwrap();
        let [values, gradient] = both(&model, "y", &images);
        assert!(
            relative_error(&y.to_array().unwrap(), &values) < 1e-6,
            "{name}"
        );
        let error = relative_error(&got, &gradient);
        assert!(error < 1e-5, "{name}: off by {error:e}");
    }
}

/// From a layer on, with the image beside it for the other branches.
#[test]
fn layers_are_fed_one_row_for_each_image() {
    let model = open(&class_token());
    let images = images(3);
    let fetched = model.pass().input(&images).fetch(["t", "y"]).unwrap();
    let t = fetched.get("t").unwrap().clone();
    let again = model.pass().feed("t", t.clone()).fetch(["y"]).unwrap();
    let beside = model
        .pass()
        .input(&images)
        .feed("t", t.clone())
        .fetch(["y"])
        .unwrap();
    let want = fetched.get("y").unwrap().to_array().unwrap();
    for got in [again, beside] {
        let got = got.get("y").unwrap().to_array().unwrap();
        assert!(relative_error(&got, &want) < 1e-6);
    }
    // Two rows for three images.
    let two = Activation::from(t.tensor::<3>().unwrap().narrow(0, 0, 2));
    let refused = model.pass().input(&images).feed("t", two).fetch(["y"]);
    assert!(matches!(refused, Err(GraphError::Shape { .. })));
}

/// Where an image has several rows of a layer, rows are no images.
#[test]
fn layers_without_a_row_for_each_image_are_refused() {
    let model = open(&partitioned());
    assert!(model.runs_one_by_one(["w"]).unwrap());
    let one = model.pass().input(&images(1)).fetch(["w"]).unwrap();
    assert_eq!(one.get("w").unwrap().shape(), [4, 16, 3]);
    let refused = model.pass().input(&images(2)).fetch(["w"]).unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("[4, 16, 3]") && message.contains("one at a time"),
        "{message}"
    );
}

/// Networks as today's exporters write them, two images together and each by itself.
#[test]
fn exported_networks_keep_images_apart() {
    const NETWORKS: [&str; 5] = [
        "tm_vit_tiny_patch16_224",
        "tv_swin_t",
        "tv_vit_b_32",
        "tm_mobilevit_xxs",
        "tv_convnext_tiny",
    ];
    let Some(assets) = assets() else { return };
    let folder = assets.join("models/modern");
    if !folder.is_dir() {
        println!("SKIPPED: {} is not there", folder.display());
        return;
    }
    for name in NETWORKS {
        let text = std::fs::read_to_string(folder.join(format!("{name}_layers.json"))).unwrap();
        let reference: Value = serde_json::from_str(&text).unwrap();
        let file = folder.join(format!("{name}.onnx"));
        let bytes = generated::with_weights(&file, reference["gain"].as_f64().unwrap());
        let graph = Importer::new()
            .folder(folder.as_path())
            .import(bytes)
            .unwrap();
        let model = BoundGraph::new(graph, &device());
        let input = generated::input(&reference["inputs"][0], &assets.join("images"));
        let shape: [usize; 4] = input.shape().try_into().unwrap();
        let one = Tensor::<4>::from_data(TensorData::new(input.floats(), shape), &device());
        let two = one.clone().flip([3]);
        let output = model.graph().name(model.graph().outputs()[0]).to_owned();
        let started = std::time::Instant::now();
        agree(
            name,
            &model,
            &output,
            &Tensor::cat(vec![one, two], 0),
            [1e-6, 1e-5],
        );
        println!("{name}: {:.1} s", started.elapsed().as_secs_f64());
    }
}
