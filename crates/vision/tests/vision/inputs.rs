//! Inputs of other channels, layouts and types than a photograph's, several of them, and who says how
//! pictures are prepared.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use elucid_graph::{Activation, INPUT, ImageBatch, LOGITS};
use elucid_rules::Rules;
use elucid_testkit::onnx::{Onnx, data_type, floats};
use elucid_vision::input::{ChannelOrder, InputError, Resize};
use elucid_vision::{InputLayout, InputSpec, Model, ModelError, Opening, Origin, Preparation};
use image::{DynamicImage, Rgb, RgbImage};
use ndarray::{Array4, ArrayD, IxDyn};

fn device() -> Device {
    Device::flex()
}

fn open(network: &Onnx) -> Model {
    opened(Opening::new(), network).unwrap()
}

fn opened(opening: Opening, network: &Onnx) -> Result<Model, ModelError> {
    opening.bytes(network.bytes(), &device())
}

/// What is remarked on, but for what the scores are taken for.
fn remarks(model: &Model) -> Vec<&str> {
    let all = model.remarks().iter().map(|remark| remark.text());
    all.filter(|text| !text.starts_with("the scores "))
        .collect()
}

/// Pictures of noise from 0 to 1, `[N, C, H, W]`.
fn pictures(shape: [usize; 4]) -> Tensor<4> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count)
        .map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0)
        .collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, shape), &device())
}

fn scores(model: &Model, images: &Tensor<4>) -> Vec<f32> {
    let scores = model.classify(images).unwrap();
    scores.logits().iter().copied().collect()
}

fn gradient(model: &Model, images: &Tensor<4>) -> Array4<f32> {
    let leaf = Activation::from(images.clone()).require_grad();
    let pass = model.pass().feed(INPUT, leaf.clone());
    let scores = pass.fetch([LOGITS]).unwrap();
    let rows = scores.get(LOGITS).unwrap().rows();
    let gradients = rows.narrow(1, 1, 1).sum().backward();
    let gradient = leaf.gradient(&gradients).unwrap().to_array().unwrap();
    gradient.into_dimensionality().unwrap()
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}

/// A convolution and a classifier behind `x`, `[N, 3, 8, 16]`.
fn classifier(network: Onnx, x: &str) -> Onnx {
    network
        .weight("w1", &[4, 3, 3, 3])
        .node("Conv", &[x, "w1"], &["conv"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["conv"], &["relu"])
        .node("GlobalAveragePool", &["relu"], &["gap"])
        .node("Flatten", &["gap"], &["flat"])
        .weight("w2", &[4, 5])
        .node("MatMul", &["flat", "w2"], &["y"])
}

fn first() -> Onnx {
    classifier(Onnx::image([-1, 3, 8, 16]), "x")
}

fn last(shape: [i64; 4]) -> Onnx {
    let network = Onnx::image(shape)
        .node("Transpose", &["x"], &["turned"])
        .ints("perm", &[0, 3, 1, 2]);
    classifier(network, "turned")
}

#[test]
fn channels_last_are_the_channels_first_twin() {
    let twin = open(&first());
    let sized = Preparation {
        size: Some([8, 16]),
        ..Preparation::default()
    };
    let images = pictures([2, 3, 8, 16]);
    for shape in [
        [1, 8, 16, 3],
        [-1, 8, 16, 3],
        [-1, -1, -1, 3],
        [-1, -1, -1, -1],
    ] {
        let model = opened(Opening::new().adjusted_by(sized.clone()), &last(shape)).unwrap();
        assert_eq!(model.layer(INPUT).unwrap().shape(), [1, 3, 8, 16]);
        assert_eq!(model.layer(INPUT).unwrap().name(), "x");
        close(&scores(&model, &images), &scores(&twin, &images));
        let [a, b] = [&model, &twin].map(|m| gradient(m, &images));
        close(a.as_slice().unwrap(), b.as_slice().unwrap());
        // Nothing of the way there is left: positions depend on windows, as in the twin.
        assert!(
            model
                .layers()
                .iter()
                .all(|layer| layer.shape().last() != Some(&3))
        );
        let windows = |m: &Model| m.windows(INPUT, "conv", &Rules::new(), [8, 16]).unwrap();
        assert!(windows(&twin).is_some());
        assert_eq!(
            format!("{:?}", windows(&model)),
            format!("{:?}", windows(&twin))
        );
    }
}

#[test]
fn what_is_done_to_channels_that_are_last_is_done_to_them_in_front() {
    // Whole numbers, cast, normalised by channel and transposed.
    let network = Onnx::new()
        .typed_input("x", data_type::UINT8, &[-1, 8, 16, 3])
        .tensor(floats("mean", &[3], vec![10.0, 20.0, 30.0]))
        .tensor(floats("factor", &[1, 1, 1, 3], vec![0.1, 0.2, 0.3]))
        .node("Cast", &["x"], &["cast"])
        .int("to", 1)
        .node("Sub", &["cast", "mean"], &["centred"])
        .node("Mul", &["centred", "factor"], &["normal"])
        .node("Transpose", &["normal"], &["turned"])
        .ints("perm", &[0, 3, 1, 2]);
    let model = open(&classifier(network, "turned"));
    let spec = model.input_spec();
    assert_eq!((spec.scale(), spec.mean()), (1.0, &[0.0; 3][..]));
    assert_eq!(model.prepared_by(), &Origin::Network);
    let twin = open(&first());
    let images = pictures([2, 3, 8, 16]) * 255.0;
    let row = |values: [f32; 3]| {
        let data = burn::tensor::TensorData::new(values.to_vec(), [1, 3, 1, 1]);
        Tensor::<4>::from_data(data, &device())
    };
    let normal = (images.clone() - row([10.0, 20.0, 30.0])) * row([0.1, 0.2, 0.3]);
    close(&scores(&model, &images), &scores(&twin, &normal));
    let inner = gradient(&twin, &normal);
    let outer = gradient(&model, &images);
    for ((n, c, y, x), value) in outer.indexed_iter() {
        let factor = [0.1, 0.2, 0.3][c];
        assert!((value - inner[[n, c, y, x]] * factor).abs() < 1e-5);
    }
    assert!(outer.iter().any(|v| *v != 0.0));
}

#[test]
fn a_layout_that_only_the_sizes_show_is_remarked_on() {
    let dense = Onnx::image([-1, 6, 6, 3])
        .node("Flatten", &["x"], &["flat"])
        .weight("w", &[108, 2])
        .node("MatMul", &["flat", "w"], &["y"]);
    let model = open(&dense);
    let told = model
        .remarks()
        .iter()
        .any(|r| r.text().contains("Opening::layout"));
    assert!(told, "{:?}", model.remarks());
    assert_eq!(model.input_spec().channels(), 3);
    // As it is said to be: 6 channels of 6 x 3.
    let said = opened(Opening::new().layout(InputLayout::ChannelsFirst), &dense).unwrap();
    assert_eq!(said.layer(INPUT).unwrap().shape(), [1, 6, 6, 3]);
}

#[test]
fn a_quantised_input_takes_pictures() {
    let network = Onnx::new()
        .typed_input("x", data_type::UINT8, &[1, 3, 8, 16])
        .tensor(floats("step", &[], vec![0.5]))
        .node("DequantizeLinear", &["x", "step"], &["real"]);
    let model = open(&classifier(network, "real"));
    let images = pictures([1, 3, 8, 16]) * 200.0;
    let twin = open(&first());
    close(
        &scores(&model, &images),
        &scores(&twin, &(images.clone() * 0.5)),
    );
    let [a, b] = [gradient(&model, &images), gradient(&twin, &(images * 0.5))];
    let halved: Vec<f32> = b.iter().map(|v| v * 0.5).collect();
    close(a.as_slice().unwrap(), &halved);
}

#[test]
fn what_makes_no_picture_is_refused_in_one_sentence() {
    let dense = |shape: &[i64]| {
        Onnx::new()
            .input("x", shape)
            .node("Flatten", &["x"], &["flat"])
            .node("Softmax", &["flat"], &["y"])
    };
    for (shape, dimensions) in [
        (&[1, 16, 8][..], "3 dimensions"),
        (&[1, 3, 4, 8, 8], "5 dimensions"),
    ] {
        let error = opened(Opening::new(), &dense(shape)).unwrap_err();
        assert!(error.to_string().contains(dimensions), "{error}");
        assert!(matches!(error, ModelError::Pictures { .. }));
    }
    let channels = open(&dense(&[-1, 12, 4, 4]));
    let error = channels.prepare(&DynamicImage::new_rgb8(4, 4)).unwrap_err();
    assert!(matches!(
        error,
        ModelError::Input(InputError::PictureChannels { channels: 12 })
    ));
    let photo = channels.take(ArrayD::zeros(IxDyn(&[12, 4, 4]))).unwrap();
    assert_eq!(photo.batch().dims(), [1, 12, 4, 4]);
}

/// A picture and two numbers; their scores are added.
fn with_numbers(batch: i64, numbers: &[i64]) -> Onnx {
    Onnx::new()
        .input("image", &[batch, 3, 8, 16])
        .input("meta", numbers)
        .weight("w1", &[4, 3, 3, 3])
        .node("Conv", &["image", "w1"], &["conv"])
        .node("GlobalAveragePool", &["conv"], &["gap"])
        .node("Flatten", &["gap"], &["flat"])
        .node("Concat", &["flat", "meta"], &["both"])
        .int("axis", 1)
        .weight("w2", &[6, 5])
        .node("MatMul", &["both", "w2"], &["y"])
}

#[test]
fn another_input_is_held_fixed_for_any_batch() {
    let meta = |values: [f32; 2]| ArrayD::from_shape_vec(IxDyn(&[1, 2]), values.to_vec()).unwrap();
    let images = pictures([3, 3, 8, 16]);
    for (batch, numbers) in [(1, [1, 2]), (-1, [-1, 2]), (-1, [1, 2])] {
        let network = with_numbers(batch, &numbers);
        let feed = |values| opened(Opening::new().feed("meta", meta(values)), &network).unwrap();
        let model = feed([0.5, -1.5]);
        let together = scores(&model, &images);
        let alone: Vec<f32> = (0..3)
            .flat_map(|i| scores(&model, &images.clone().narrow(0, i, 1)))
            .collect();
        close(&together, &alone);
        // The difference of two values is that of their rows of the weights.
        let other = scores(&feed([1.5, -1.5]), &images);
        let weight = |i: usize| ((i * 29 + 7) % 41) as f32 / 40.0 - 0.5;
        for (i, (a, b)) in other.iter().zip(&together).enumerate() {
            assert!((a - b - weight(4 * 5 + i % 5)).abs() < 1e-5, "{i}: {a} {b}");
        }
        assert!(gradient(&model, &images).iter().any(|v| *v != 0.0));
        // It is no weight that sanity checks may shuffle.
        let mut seen = Vec::new();
        let kept = model.with_weights(|name, _| {
            seen.push(name.to_owned());
            None
        });
        kept.unwrap();
        assert_eq!(seen, ["w1", "w2"]);
    }
}

#[test]
fn inputs_without_a_value_are_listed() {
    let network = with_numbers(-1, &[-1, 2]);
    let error = opened(Opening::new(), &network).unwrap_err().to_string();
    for part in [
        "\"meta\"",
        "Opening::feed(\"meta\")",
        "\"image\" [?, 3, 8, 16]",
        "[?, 2]",
    ] {
        assert!(error.contains(part), "no {part} in {error}");
    }
    let fed = |name: &str, shape: &[usize]| {
        let opening = Opening::new().feed(name, ArrayD::zeros(IxDyn(shape)));
        opened(opening, &network)
    };
    let error = fed("meta", &[1, 3]).unwrap_err().to_string();
    assert!(
        error.contains("[?, 2]") && error.contains("[1, 3]"),
        "{error}"
    );
    let error = fed("mata", &[1, 2]).unwrap_err().to_string();
    assert!(
        error.contains("\"mata\"") && error.contains("\"meta\""),
        "{error}"
    );
    // The axis of pictures may be left out.
    fed("meta", &[2]).unwrap();
}

#[test]
fn one_of_several_pictures_is_chosen() {
    let network = Onnx::new()
        .input("left", &[1, 3, 4, 4])
        .input("right", &[1, 3, 4, 4])
        .node("Sub", &["left", "right"], &["difference"])
        .node("Flatten", &["difference"], &["y"]);
    let error = opened(Opening::new(), &network).unwrap_err().to_string();
    assert!(
        error.contains("Opening::input") && error.contains("\"right\""),
        "{error}"
    );
    let value = ArrayD::from_elem(IxDyn(&[1, 3, 4, 4]), 2.0);
    let opening = Opening::new().input("right").feed("left", value);
    let model = opened(opening, &network).unwrap();
    let images = pictures([1, 3, 4, 4]);
    let expected = Activation::from(images.clone().neg() + 2.0)
        .to_array()
        .unwrap();
    let expected: Vec<f32> = expected.into_iter().collect();
    close(&scores(&model, &images), &expected);
    assert!(opened(Opening::new().input("middle"), &network).is_err());
}

/// A normalisation of each channel in front of the classifier.
fn normalising(mean: [f32; 3], std: [f32; 3]) -> Onnx {
    let network = Onnx::image([-1, 3, 8, 16])
        .tensor(floats("mean", &[1, 3, 1, 1], mean.to_vec()))
        .tensor(floats("std", &[3, 1, 1], std.to_vec()))
        .node("Sub", &["x", "mean"], &["centred"])
        .node("Div", &["centred", "std"], &["normal"]);
    classifier(network, "normal")
}

#[test]
fn a_normalisation_inside_is_recognised() {
    let bytes = normalising([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
    let model = open(&bytes);
    assert_eq!(model.input_spec().scale(), 1.0);
    let remark = remarks(&model)[0];
    assert!(
        remark.contains("inside the network") && remark.contains("123.675"),
        "{remark}"
    );
    let shares = open(&normalising([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
    assert_eq!(shares.input_spec().scale(), 1.0 / 255.0);
    assert_eq!(shares.input_spec().mean(), [0.0; 3]);
    let caffe = open(&normalising([104.0, 117.0, 123.0], [1.0; 3]));
    assert_eq!(caffe.input_spec().order(), ChannelOrder::Bgr);
    assert!(remarks(&caffe)[0].contains("blue, green, red"));
    // A learned layer around 0 says nothing.
    let learned = open(&normalising([0.01, -0.02, 0.0], [1.1, 0.9, 1.0]));
    assert_eq!(learned.prepared_by(), &Origin::Assumed);
    assert_eq!(learned.input_spec().mean(), InputSpec::default().mean());

    let batch_norm = Onnx::image([-1, 3, 8, 16])
        .tensor(floats("g", &[3], vec![1.0; 3]))
        .tensor(floats("b", &[3], vec![0.0; 3]))
        .tensor(floats("m", &[3], vec![120.0, 110.0, 100.0]))
        .tensor(floats("v", &[3], vec![3600.0; 3]))
        .node(
            "BatchNormalization",
            &["x", "g", "b", "m", "v"],
            &["normal"],
        );
    let model = open(&classifier(batch_norm, "normal"));
    assert_eq!(model.input_spec().scale(), 1.0);
    assert!(remarks(&model)[0].contains("(x - 120) / 60"));
    // Whoever says something else is believed.
    let said = Preparation {
        scale: Some(2.0),
        ..Preparation::default()
    };
    let model = opened(Opening::new().adjusted_by(said), &bytes).unwrap();
    assert_eq!(model.input_spec().scale(), 2.0);
    assert_eq!(model.prepared_by(), &Origin::Given);
    assert_eq!(remarks(&model), [""; 0]);
}

#[test]
fn what_nobody_says_is_remarked_on() {
    let model = open(&first());
    assert_eq!(model.prepared_by(), &Origin::Assumed);
    let remark = remarks(&model)[0];
    assert!(
        remark.contains("assumed") && remark.contains("Preparation::scale, mean"),
        "{remark}"
    );
    let values = Preparation {
        scale: Some(1.0),
        ..Preparation::default()
    };
    let open_size = opened(Opening::new().adjusted_by(values), &last([-1, -1, -1, 3])).unwrap();
    assert_eq!(remarks(&open_size).len(), 1);
    assert!(remarks(&open_size)[0].contains("Preparation::size"));
    let spec = InputSpec::new([8, 16]).unwrap();
    let model = opened(Opening::new().prepared_by(spec), &first()).unwrap();
    assert_eq!(remarks(&model), [""; 0]);
    let three = Preparation {
        mean: Some(vec![0.1, 0.2]),
        ..Preparation::default()
    };
    let error = opened(Opening::new().adjusted_by(three), &first()).unwrap_err();
    assert!(
        error.to_string().contains("3, one for each channel"),
        "{error}"
    );
}

fn beside(folder: &Path, name: &str, text: &str) -> Result<Model, ModelError> {
    std::fs::write(folder.join("net.onnx"), first().bytes()).unwrap();
    std::fs::write(folder.join(name), text).unwrap();
    let opened = Opening::new().open(folder.join("net.onnx"), &device());
    std::fs::remove_file(folder.join(name)).unwrap();
    opened
}

#[test]
fn a_file_beside_the_network_says_how_pictures_are_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let own = r#"{"scale": "1/127.5", "mean": 1, "channel_order": "bgr", "resize": "pad"}"#;
    let model = beside(folder.path(), "net.json", own).unwrap();
    let spec = model.input_spec();
    assert_eq!((spec.scale(), spec.mean()), (1.0 / 127.5, &[1.0; 3][..]));
    assert_eq!(spec.resize(), Resize::Pad);
    assert_eq!(model.prepared_by(), &Origin::Beside("net.json".to_owned()));
    assert_eq!(remarks(&model), [""; 0]);

    let hugging_face = r#"{"do_center_crop": true, "crop_size": {"height": 8, "width": 16},
        "size": {"shortest_edge": 20}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2],
        "rescale_factor": 0.00392156862745098, "resample": 3}"#;
    let model = beside(folder.path(), "preprocessor_config.json", hugging_face).unwrap();
    assert_eq!(model.input_spec().mean(), [0.5, 0.4, 0.3]);
    assert_eq!(
        model.input_spec().resize(),
        Resize::ShortSideCrop { short: 20 }
    );
    assert!(remarks(&model)[0].contains("bicubic"));

    let timm = r#"{"architecture": "a", "pretrained_cfg": {"input_size": [3, 8, 16],
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.8}}"#;
    let model = beside(folder.path(), "config.json", timm).unwrap();
    assert_eq!(model.input_spec().std(), [0.5; 3]);
    assert_eq!(
        model.input_spec().resize(),
        Resize::ShortSideCrop { short: 20 }
    );

    let error = beside(folder.path(), "net.json", r#"{"scale": 1, "men": 2}"#).unwrap_err();
    assert!(error.to_string().contains("\"men\""), "{error}");
    let error = beside(folder.path(), "net.json", r#"{"scale": "1/0"}"#).unwrap_err();
    assert!(matches!(error, ModelError::Input(_)), "{error}");
    let error = beside(folder.path(), "net.json", "{").unwrap_err();
    assert!(error.to_string().contains("JSON"), "{error}");
    // What is about something else is left alone.
    for (name, text) in [
        ("net.json", r#"{"a": 1}"#),
        ("config.json", "[]"),
        ("config.json", "{"),
    ] {
        let model = beside(folder.path(), name, text).unwrap();
        assert_eq!(model.prepared_by(), &Origin::Assumed);
    }
}

#[test]
fn the_metadata_of_a_trainer_say_how_pictures_are_prepared() {
    let with = |entries: &[(&str, &str)]| {
        let mut network = first();
        for (key, value) in entries {
            network
                .0
                .metadata_props
                .push(elucid_testkit::onnx::StringStringEntryProto {
                    key: Some((*key).to_owned()),
                    value: Some((*value).to_owned()),
                });
        }
        open(&network)
    };
    let model = with(&[
        ("author", "Ultralytics"),
        ("task", "classify"),
        ("imgsz", "[8, 16]"),
    ]);
    let spec = model.input_spec();
    assert_eq!((spec.scale(), spec.mean()), (1.0 / 255.0, &[0.0; 3][..]));
    assert_eq!(spec.resize(), Resize::ShortSideCrop { short: 16 });
    assert_eq!(model.prepared_by(), &Origin::Metadata);
    let model = with(&[("task", "detect"), ("imgsz", "[8, 16]")]);
    assert_eq!(model.input_spec().resize(), Resize::Pad);
    let model = with(&[("mean", "(0.5, 0.5, 0.5)"), ("std", "[0.25, 0.25, 0.25]")]);
    assert_eq!(model.input_spec().std(), [0.25; 3]);
    assert_eq!(
        with(&[("names", "{0: 'a'}")]).prepared_by(),
        &Origin::Assumed
    );
}

#[test]
fn grey_networks_take_any_picture() {
    let grey = Onnx::image([-1, 1, 4, 4]).node("Flatten", &["x"], &["y"]);
    let model = open(&grey);
    assert_eq!(model.input_spec().channels(), 1);
    let red = RgbImage::from_pixel(4, 4, Rgb([255, 0, 0]));
    let photo = model.prepare(&red.into()).unwrap();
    assert_eq!(photo.tensor().dims(), [1, 1, 4, 4]);
    assert_eq!(photo.picture()[(0, 0)].0, [76; 3]);
    close(&scores(&model, photo.tensor()), &[76.0 / 255.0; 16]);
}
