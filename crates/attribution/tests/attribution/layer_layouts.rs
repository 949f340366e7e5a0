//! Layers `[N, H, W, C]` and of tokens, against twins whose layers are `[N, C, H, W]`.

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, ChannelAttribution, ChannelMethod, FEATURES, GradCam, Gradient,
    IntegratedGradients, METHODS, MethodOptions, Network, NeuronGroups, Place, SpatialAttribution,
    Target, map_shape,
};
use elucid_graph::Layout;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, numbers, relative_error, tensor};
use elucid_vision::Model;

/// Channels, and the size of a map; where all are one number, a wrong order shows in no shape.
const SIZES: [(i64, [i64; 2]); 3] = [(6, [6, 6]), (7, [4, 5]), (4, [8, 4])];
const CLASSES: i64 = 5;

fn weights(count: i64) -> Vec<f32> {
    numbers(count as usize, 0x51ED_270B)
}

/// The rows of `[rows, columns]` as columns.
fn transposed(values: &[f32], rows: i64, columns: i64) -> Vec<f32> {
    let (rows, columns) = (rows as usize, columns as usize);
    let at = |i: usize| values[i % rows * columns + i / rows];
    (0..rows * columns).map(at).collect()
}

fn start(c: i64, [h, w]: [i64; 2]) -> Onnx {
    Onnx::image([1, 3, 2 * h, 2 * w])
        .tensor(floats("filters", &[c, 3, 3, 3], weights(27 * c)))
        .tensor(floats("mix", &[c, c], weights(c * c)))
        .tensor(floats(
            "mix_map",
            &[c, c, 1, 1],
            transposed(&weights(c * c), c, c),
        ))
        .tensor(floats("head", &[c, CLASSES], weights(c * CLASSES)))
        .node("Conv", &["x", "filters"], &["c"])
        .ints("strides", &[2, 2])
        .ints("pads", &[1, 1, 1, 1])
}

fn model(onnx: &Onnx) -> Model {
    Model::from_bytes(onnx.bytes(), &device(), None).unwrap()
}

fn twin(c: i64, size: [i64; 2]) -> Model {
    let onnx = start(c, size)
        .node("Relu", &["c"], &["r"])
        .node("Conv", &["r", "mix_map"], &["m"])
        .node("Add", &["r", "m"], &["sum"])
        .node("ReduceMean", &["sum"], &["pooled"])
        .ints("axes", &[2, 3])
        .int("keepdims", 0)
        .node("MatMul", &["pooled", "head"], &["y"]);
    model(&onnx)
}

fn block(onnx: Onnx, from: &str) -> Onnx {
    onnx.node("Relu", &[from], &["r"])
        .node("MatMul", &["r", "mix"], &["m"])
        .node("Add", &["r", "m"], &["sum"])
}

fn last(c: i64, size: [i64; 2]) -> Model {
    let onnx = start(c, size)
        .node("Transpose", &["c"], &["t"])
        .ints("perm", &[0, 2, 3, 1]);
    let onnx = block(onnx, "t")
        .node("ReduceMean", &["sum"], &["pooled"])
        .ints("axes", &[1, 2])
        .int("keepdims", 0)
        .node("MatMul", &["pooled", "head"], &["y"]);
    model(&onnx)
}

/// Two tokens of zeros in front, which the mean over tokens counts.
fn tokens(c: i64, [h, w]: [i64; 2]) -> Onnx {
    let onnx = start(c, [h, w])
        .list("flat", &[1, c, h * w])
        .tensor(floats("front", &[1, 2, c], vec![0.0; 2 * c as usize]))
        .node("Reshape", &["c", "flat"], &["rows"])
        .node("Transpose", &["rows"], &["patches"])
        .ints("perm", &[0, 2, 1])
        .node("Concat", &["front", "patches"], &["t"])
        .int("axis", 1);
    block(onnx, "t")
}

fn pooled_tokens(c: i64, size: [i64; 2]) -> Model {
    let onnx = tokens(c, size)
        .node("ReduceMean", &["sum"], &["pooled"])
        .ints("axes", &[1])
        .int("keepdims", 0)
        .node("MatMul", &["pooled", "head"], &["y"]);
    model(&onnx)
}

/// What a mean over the map is of one over the tokens.
fn share(size: [i64; 2]) -> f32 {
    let patches = (size[0] * size[1]) as f32;
    patches / (patches + 2.0)
}

fn images(count: usize, [h, w]: [i64; 2]) -> Tensor<4> {
    let shape = [count, 3, 2 * h as usize, 2 * w as usize];
    tensor(numbers(shape.iter().product(), 0x9E37_79B9), shape) * 2.0
}

#[track_caller]
fn close<'a>(
    got: impl IntoIterator<Item = &'a f32>,
    want: impl IntoIterator<Item = &'a f32>,
    what: &str,
) {
    let (got, want): (Vec<f32>, Vec<f32>) = (
        got.into_iter().copied().collect(),
        want.into_iter().copied().collect(),
    );
    assert_eq!(got.len(), want.len(), "{what}");
    let error = relative_error(&got, &want);
    assert!(error < 1e-4, "{what}: {error}");
    assert!(
        want.iter().any(|v| v.abs() > 1e-6),
        "{what}: nothing but zeros"
    );
}

/// The methods that need a map, of the layer `sum`.
fn map_methods() -> impl Iterator<Item = (&'static str, Box<dyn Attributor>)> {
    let cams = METHODS
        .iter()
        .filter(|method| method.place == Place::SpatialLayer);
    cams.map(|method| {
        let options = MethodOptions::new().layer("sum");
        (method.name, method.build(&options).unwrap())
    })
}

#[test]
fn maps_of_channels_last_layers_are_those_of_the_twin() {
    for (c, size) in SIZES {
        let (twin, last, images) = (twin(c, size), last(c, size), images(2, size));
        assert_eq!(last.layout("sum").unwrap(), Layout::ChannelsLast);
        let mut compared = 0;
        for (name, method) in map_methods() {
            let want = method.attribute(&twin, &images, Target::class(1));
            let got = method.attribute(&last, &images, Target::class(1));
            let Ok(want) = want else {
                assert!(got.is_err(), "{name}");
                continue;
            };
            let got = got.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(got.values().shape(), want.values().shape(), "{name}");
            close(got.values(), want.values(), name);
            close(got.map().unwrap().maps(), want.map().unwrap().maps(), name);
            compared += 1;
        }
        assert!(compared >= 8, "{compared}");
    }
}

#[test]
fn maps_of_tokens_are_those_of_the_twin() {
    for (c, size) in SIZES {
        let (twin, tokens, images) = (twin(c, size), pooled_tokens(c, size), images(2, size));
        let grid = size.map(|n| n as usize);
        assert_eq!(
            tokens.layout("sum").unwrap(),
            Layout::Tokens { prefix: 2, grid }
        );
        for name in ["grad-cam", "hires-cam", "layer-cam", "ablation-cam"] {
            let method = map_methods().find(|(n, _)| *n == name).unwrap().1;
            let want = method.attribute(&twin, &images, Target::class(1)).unwrap();
            let got = method
                .attribute(&tokens, &images, Target::class(1))
                .unwrap();
            let want = want.values().mapv(|v| v * share(size));
            assert_eq!(got.values().shape(), want.shape(), "{name}");
            close(got.values(), &want, name);
        }
    }
}

#[test]
fn numbers_of_tokens_stay_and_are_drawn_without_those_in_front() {
    let (c, size) = SIZES[1];
    let (twin, tokens, images) = (twin(c, size), pooled_tokens(c, size), images(2, size));
    let method = Gradient::at("sum");
    let want = method.attribute(&twin, &images, Target::class(1)).unwrap();
    let got = method
        .attribute(&tokens, &images, Target::class(1))
        .unwrap();
    assert_eq!(got.values().shape(), [2, 2 + 20, 7]);
    let want = want.map().unwrap().maps().mapv(|v| v * share(size));
    close(got.map().unwrap().maps(), &want, "gradient");
}

#[test]
fn channels_groups_positions_and_paths_are_those_of_the_twin() {
    for (c, size) in SIZES {
        let (twin, last, images) = (twin(c, size), last(c, size), images(2, size));
        let each = [&twin, &last];

        for method in [ChannelMethod::Linear, ChannelMethod::path()] {
            let [want, got] = each.map(|model| {
                let channels = ChannelAttribution::at("sum").method(method);
                channels.compute(model, &images, Target::class(1)).unwrap()
            });
            for (got, want) in got.iter().zip(&want) {
                assert_eq!(got.values().len(), c as usize);
                close(got.values(), want.values(), "channels");
                close(
                    got.maps().unwrap(),
                    want.maps().unwrap(),
                    "maps of channels",
                );
            }
        }

        let [want, got] = each.map(|model| {
            let groups = NeuronGroups::new(2).at("r").targets([Target::class(1)]);
            groups.compute(model, &images).unwrap()
        });
        close(got.factors(), want.factors(), "groups");
        close(got.effects()[0].maps(), want.effects()[0].maps(), "effects");

        let [want, got] = each.map(|model| {
            let spatial = SpatialAttribution::between("r", "sum");
            spatial.compute(model, &images).unwrap()
        });
        close(got[1].maps(), want[1].maps(), "spatial");

        let [want, got] = each.map(|model| {
            let position = Target::position("sum", 1, 2);
            Gradient::at_input()
                .attribute(model, &images, position)
                .unwrap()
        });
        close(got.values(), want.values(), "a position");

        let [want, got] = each.map(|model| {
            let method = IntegratedGradients::new().at("sum");
            method.attribute(model, &images, Target::class(1)).unwrap()
        });
        close(got.values(), want.values(), "a path");
    }
}

#[test]
fn the_default_layer_is_the_last_whose_positions_are_read() {
    let (c, size) = SIZES[1];
    for model in [twin(c, size), last(c, size), pooled_tokens(c, size)] {
        assert_eq!(Network::layer(&model, FEATURES).unwrap(), "sum");
        assert_eq!(map_shape(&model, FEATURES).unwrap(), [1, 7, 4, 5]);
    }
    // Tokens are mixed, and then only the first is read.
    let count = 2 + size[0] * size[1];
    let onnx = tokens(c, size)
        .tensor(floats("attend", &[count, count], weights(count * count)))
        .tensor(elucid_testkit::onnx::TensorProto {
            name: Some("first".to_owned()),
            data_type: Some(elucid_testkit::onnx::data_type::INT64),
            int64_data: vec![0],
            ..Default::default()
        })
        .node("MatMul", &["attend", "sum"], &["mixed"])
        .node("Add", &["sum", "mixed"], &["late"])
        .node("Relu", &["late"], &["later"])
        .node("Gather", &["later", "first"], &["class"])
        .int("axis", 1)
        .node("MatMul", &["class", "head"], &["y"]);
    let model = model(&onnx);
    let grid = size.map(|n| n as usize);
    assert_eq!(
        model.layout("later").unwrap(),
        Layout::Tokens { prefix: 2, grid }
    );
    assert_eq!(Network::layer(&model, FEATURES).unwrap(), "sum");
    let map = GradCam::at_features().attribute(&model, &images(1, size), Target::class(0));
    assert!(map.unwrap().map().unwrap().maps().iter().any(|v| *v != 0.0));
}

#[test]
fn a_layer_of_unknown_axes_is_refused_with_a_near_one() {
    let (c, size) = (6, [6, 6]);
    let onnx = start(c, size)
        .list("odd", &[1, 4, 9, 6])
        .list("row", &[1, 216])
        .weight("wide", &[216, CLASSES])
        .node("Reshape", &["c", "odd"], &["split"])
        .node("Relu", &["split"], &["bent"])
        .node("Reshape", &["bent", "row"], &["flat"])
        .node("MatMul", &["flat", "wide"], &["y"]);
    let (model, images) = (model(&onnx), images(1, size));
    let refused = GradCam::at("bent").attribute(&model, &images, Target::class(0));
    let error = refused.unwrap_err();
    assert!(
        matches!(error, AttributionError::LayerLayout { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains("\"bent\" of shape [1, 4, 9, 6]"), "{text}");
    assert!(text.contains("such as \"c\", channels first"), "{text}");
    let numbers = Gradient::at("bent")
        .attribute(&model, &images, Target::class(0))
        .unwrap();
    assert_eq!(numbers.values().shape(), [1, 4, 9, 6]);
    assert!(matches!(
        numbers.map(),
        Err(AttributionError::LayerLayout { .. })
    ));
    let channels = ChannelAttribution::at("bent");
    assert!(channels.compute(&model, &images, Target::class(0)).is_err());
    assert!(
        NeuronGroups::new(2)
            .at("bent")
            .compute(&model, &images)
            .is_err()
    );
    let spatial = SpatialAttribution::between("c", "bent");
    assert!(spatial.compute(&model, &images).is_err());
    assert_eq!(Network::layer(&model, FEATURES).unwrap(), "c");
}

/// One channel among sizes of one.
#[test]
fn one_channel_is_a_channel() {
    for shape in [[1, 1, 8, 8], [1, 1, 4, 3], [1, 5, 4, 4], [1, 4, 6, 1]] {
        let onnx = Onnx::image(shape)
            .weight("filters", &[1, shape[1], 1, 1])
            .weight("head", &[shape[2] * shape[3], CLASSES])
            .node("Conv", &["x", "filters"], &["c"])
            .node("Relu", &["c"], &["r"])
            .node("Flatten", &["r"], &["row"])
            .node("MatMul", &["row", "head"], &["y"]);
        let model = model(&onnx);
        for layer in ["@input", "c", "r"] {
            assert_eq!(
                model.layout(layer).unwrap(),
                Layout::ChannelsFirst,
                "{layer} {shape:?}"
            );
        }
        let [_, c, h, w] = shape.map(|n| n as usize);
        let image = tensor(numbers(c * h * w, 3), [1, c, h, w]);
        let found = Gradient::at_input()
            .attribute(&model, &image, Target::class(0))
            .unwrap();
        assert_eq!(found.map().unwrap().maps().dim(), (1, h, w));
    }
}

/// Maps of ordinary networks, in whatever spelling, are maps: only what is moved about between two
/// reshapes, as to shuffle channels, may be none.
#[test]
fn layers_of_ordinary_networks_are_channels_first() {
    let mut models = vec![Model::find("squeezenet", &device(), None).unwrap()];
    match elucid_testkit::assets() {
        None => println!("SKIPPED: no ../shared"),
        Some(assets) => {
            let files = [
                "googlenet.onnx",
                "torchvision/resnet18.onnx",
                "torchvision/mobilenet_v2.onnx",
                "light/light_densenet121.onnx",
                "light/light_inception_v2.onnx",
                "modern/tv_efficientnet_v2_s.onnx",
            ];
            let paths = files.map(|file| assets.join("models").join(file));
            models.extend(paths.iter().filter_map(|path| match path.is_file() {
                true => Some(Model::open(path, &device()).unwrap()),
                false => {
                    println!("SKIPPED: {} is not there", path.display());
                    None
                }
            }));
        }
    }
    for model in models {
        let maps = model
            .layers()
            .iter()
            .filter(|layer| layer.shape().len() == 4);
        for layer in maps {
            let layout = model.layout(layer.name()).unwrap();
            assert_eq!(
                layout,
                Layout::ChannelsFirst,
                "{}: {}",
                model.name(),
                layer.name()
            );
        }
    }
}

/// `../shared/models/modern`: the last block's features of networks as they are exported.
#[test]
fn the_default_layer_of_modern_networks() {
    let Some(folder) = elucid_testkit::assets().map(|assets| assets.join("models/modern")) else {
        println!("SKIPPED: no ../shared");
        return;
    };
    let files = [
        ("tv_swin_t.onnx", [1, 768, 7, 7]),
        ("tv_convnext_tiny.onnx", [1, 768, 7, 7]),
        ("tv_vit_b_32.onnx", [1, 768, 7, 7]),
        ("tm_vit_tiny_patch16_224.onnx", [1, 192, 14, 14]),
        ("tm_deit_tiny_distilled_patch16_224.onnx", [1, 192, 14, 14]),
    ];
    for (name, shape) in files {
        let path = folder.join(name);
        if !path.is_file() {
            println!("SKIPPED: {name} is not there");
            continue;
        }
        let model = Model::open(&path, &device()).unwrap();
        let layer = Network::layer(&model, FEATURES).unwrap();
        println!("{name}: {layer}, {}", model.layout(&layer).unwrap());
        assert_eq!(
            map_shape(&model, FEATURES).unwrap(),
            shape,
            "{name}: {layer}"
        );
        // Their weights are no more than filled in: where it lies is what can be seen.
        let all = model.layers();
        let place = all.iter().position(|l| l.name() == layer).unwrap();
        assert!(
            place * 10 > all.len() * 7,
            "{name}: {layer} is {place} of {}",
            all.len()
        );
    }
}
