//! Networks whose structure is real and whose weights are not.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use elucid_graph::{GraphError, LOGITS};
use elucid_rules::OpKind;
use elucid_testkit::generated::with_weights;
use elucid_testkit::onnx::{Message, ModelProto, Onnx};
use elucid_testkit::{assets, device, relative_error};
use elucid_vision::input::InputSpec;
use elucid_vision::{Model, Photo};
use serde_json::Value;

use super::listed;

/// Largest deviation allowed, relative to the layer's largest value.
const TOLERANCE: f64 = 1e-5;

/// The photograph that the reference was computed from.
fn chelsea(assets: &Path) -> Tensor<4> {
    let picture = image::open(assets.join("images/chelsea_224.png"))
        .unwrap()
        .to_rgb8();
    let mut values = vec![0.0; 3 * 224 * 224];
    for (x, y, pixel) in picture.enumerate_pixels() {
        for (c, (mean, std)) in [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]
            .into_iter()
            .enumerate()
        {
            let value = (f64::from(pixel[c]) / 255.0 - mean) / std;
            values[(c * 224 + y as usize) * 224 + x as usize] = value as f32;
        }
    }
    elucid_testkit::tensor(values, [1, 3, 224, 224])
}

/// Compares every recorded layer; returns the worst deviation.
fn agrees(assets: &Path, network: &str) -> f64 {
    let folder = assets.join("models/torchvision");
    let file = folder.join(format!("{network}.onnx"));
    let model = Model::from_bytes(with_weights(&file, 1.0), &device(), None).unwrap();
    let text = std::fs::read_to_string(folder.join(format!("{network}_layers.json"))).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let layers = reference["layers"].as_object().unwrap();
    // Shape arithmetic is recorded, too, but is no layer.
    let names: Vec<&str> = layers
        .keys()
        .map(String::as_str)
        .filter(|n| model.layer(n).is_ok())
        .collect();
    assert!(
        names.len() * 10 > layers.len() * 9,
        "{} of {}",
        names.len(),
        layers.len()
    );
    let fetched = model.pass().input(&chelsea(assets)).fetch(&names).unwrap();
    let mut worst = 0_f64;
    for name in names {
        let record = &layers[name];
        let number = |key: &str| record[key].as_f64().unwrap();
        let numbers = |key: &str| listed(&record[key]);
        let got = fetched.get(name).unwrap().to_array().unwrap();
        let shape: Vec<f64> = got.shape().iter().map(|&d| d as f64).collect();
        assert_eq!(shape, numbers("shape"), "{network}: shape of {name}");
        let values: Vec<f64> = got.iter().map(|&v| f64::from(v)).collect();
        let largest = number("max").abs().max(number("min").abs());
        let mut compare = |what: &str, got: f64, want: f64| {
            let error = (got - want).abs() / largest;
            assert!(
                error <= TOLERANCE,
                "{network}: {what} of {name} is {got}, not {want} ({error:.1e})"
            );
            worst = worst.max(error);
        };
        for (at, want) in numbers("sample_flat_index")
            .into_iter()
            .zip(numbers("sample"))
        {
            compare("a sample", values[at as usize], want);
        }
        compare(
            "the minimum",
            values.iter().copied().fold(f64::INFINITY, f64::min),
            number("min"),
        );
        compare(
            "the maximum",
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            number("max"),
        );
        compare(
            "the mean",
            values.iter().sum::<f64>() / values.len() as f64,
            number("mean"),
        );
    }
    worst
}

macro_rules! agreement_tests {
    ($($network:ident)*) => {$(
        #[test]
        fn $network() {
            let Some(assets) = assets() else { return };
            let worst = agrees(&assets, stringify!($network));
            println!("largest deviation {worst:.1e} of the layer's largest value");
        }
    )*};
}

agreement_tests! {
    alexnet densenet121 densenet201 mobilenet_v2 mobilenet_v2_bn resnet18 resnet18_bn resnet50
    vgg11 vit_b_16 wide_resnet101_2
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
        .collect();
    files.sort();
    files
}

/// Files that state a batch of one run two images as they run each.
#[test]
fn the_light_models_run_in_batches() {
    let Some(assets) = assets() else { return };
    let files = files(&assets.join("models/light"));
    assert_eq!(files.len(), 9);
    for file in files {
        let model = Model::open(&file, &device()).unwrap();
        let name = model.name().to_owned();
        let one = chelsea(&assets);
        let two = one.clone().flip([3]);
        let output = model.graph().name(model.graph().outputs()[0]).to_owned();
        let run = |images: &Tensor<4>| {
            let fetched = model.pass().input(images).fetch([LOGITS, &output]).unwrap();
            [LOGITS, &output].map(|l| fetched.get(l).unwrap().to_array().unwrap())
        };
        let both = run(&Tensor::cat(vec![one.clone(), two.clone()], 0));
        for (image, single) in [run(&one), run(&two)].iter().enumerate() {
            for (both, single) in both.iter().zip(single) {
                assert_eq!(single.len(), 1000, "{name}");
                assert_eq!(both.shape()[0], 2, "{name}");
                assert_eq!(both.shape()[1..], single.shape()[1..], "{name}");
                let part = both.index_axis(ndarray::Axis(0), image);
                let error = relative_error(&part, single);
                assert!(error < 1e-5, "{name}: {error:.1e}");
            }
        }
        let scores = model.classify(&one).unwrap();
        assert_eq!(scores.logits().dim(), (1, 1000));
    }
}

/// The zoo's GoogLeNet, whose structure the light model has: its tensors end in `_1`, and its last
/// operator is a softmax.
#[test]
fn the_zoos_googlenet_is_known_by_its_names() {
    let Some(assets) = assets() else { return };
    let bytes = std::fs::read(assets.join("models/light/light_inception_v1.onnx")).unwrap();
    let mut file = ModelProto::decode(bytes.as_slice()).unwrap();
    let blocks = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"];
    let nodes = &mut file.graph.as_mut().unwrap().node;
    let concats = nodes
        .iter()
        .filter(|n| n.op_type.as_deref() == Some("Concat"));
    let numbered: Vec<String> = concats.map(|n| n.output[0].clone()).collect();
    assert_eq!(numbered.len(), blocks.len());
    for (old, block) in numbered.iter().zip(blocks) {
        for node in nodes.iter_mut() {
            for name in node
                .input
                .iter_mut()
                .chain(&mut node.output)
                .filter(|n| *n == old)
            {
                *name = format!("inception_{block}/output_1");
            }
        }
    }
    let model = Model::from_bytes(file.encode_to_vec(), &device(), None).unwrap();
    for block in blocks {
        let full = format!("inception_{block}/output_1");
        for name in [
            format!("mixed{block}"),
            format!("inception_{block}"),
            full.clone(),
        ] {
            let layer = model.layer(&name).unwrap();
            assert_eq!(layer.name(), full);
            assert!(layer.is_notable());
        }
    }
    let logits = model.layer(LOGITS).unwrap();
    assert_eq!(logits.kind(), OpKind::Gemm);
    assert_eq!(logits.shape(), [1, 1000]);
}

#[test]
fn photographs_of_one_size_make_a_batch() {
    let photo = |size: usize, grey: u8| {
        let network = Onnx::image([-1, 3, size as i64, size as i64]).node("Relu", &["x"], &["y"]);
        let spec = InputSpec::new([size, size]).unwrap();
        let model = Model::from_bytes(network.bytes(), &device(), Some(spec)).unwrap();
        let pixels = image::RgbImage::from_pixel(40, 30, image::Rgb([grey; 3]));
        model.prepare(&pixels.into()).unwrap()
    };
    let photos = [photo(12, 10), photo(12, 200)];
    let batch = Photo::stack(&photos).unwrap();
    assert_eq!(batch.dims(), [2, 3, 12, 12]);
    for (i, photo) in photos.iter().enumerate() {
        let row = batch.clone().narrow(0, i, 1).into_data();
        assert_eq!(row, photo.tensor().clone().into_data());
    }
    for wrong in [&[][..], &[photo(12, 10), photo(16, 10)]] {
        let error = Photo::stack(wrong).unwrap_err();
        assert!(matches!(error, GraphError::Shape { .. }), "{error}");
    }
}
