//! Layers asked for by the names that people know: modules as three exporters write them, and Lucid's
//! names on InceptionV1, whatever its values are called.

use std::time::Instant;

use elucid_graph::{Activation, BoundGraph, GraphError};
use elucid_rules::{GuidedRelu, OpKind, Rules};
use elucid_testkit::device;
use elucid_testkit::onnx::Onnx;
use elucid_vision::Model;

const BLOCKS: [&str; 9] = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"];

fn open(file: &Onnx) -> Model {
    Model::from_bytes(file.bytes(), &device(), None).unwrap()
}

#[track_caller]
fn means(model: &BoundGraph, pairs: &[(&str, &str)]) {
    for (asked, layer) in pairs {
        match model.layer(asked) {
            Ok(found) => assert_eq!(found.name(), *layer, "{asked}"),
            Err(error) => panic!("{asked}: {error}"),
        }
    }
}

/// Two blocks of a residual network, as PyTorch's exporter writes them: values say nothing.
fn residual() -> Onnx {
    Onnx::image([-1, 3, 8, 8])
        .weight("conv1.weight", &[4, 3, 1, 1])
        .node("Conv", &["x", "conv1.weight"], &["conv2d"])
        .within("conv1")
        .weight("w1", &[4, 4, 1, 1])
        .node("Conv", &["conv2d", "w1"], &["conv2d_1"])
        .within("layer1.0.conv1")
        .node("Relu", &["conv2d_1"], &["relu"])
        .within("layer1.0.relu")
        .node("Add", &["relu", "conv2d"], &["add"])
        .within("layer1.0")
        .node("Relu", &["add"], &["relu_1"])
        .within("layer1.0.relu")
        .node("Conv", &["relu_1", "w1"], &["conv2d_2"])
        .within("layer1.10.conv1")
        .node("Add", &["conv2d_2", "relu_1"], &["add_1"])
        .within("layer1.10")
        .node("Tanh", &["add_1"], &["heat"])
        .within("heads.a")
        .output("heat")
        .node("Sigmoid", &["add_1"], &["mask"])
        .within("heads.b")
        .output("mask")
        .node("GlobalAveragePool", &["add_1"], &["mean"])
        .within("avgpool")
        .node("Flatten", &["mean"], &["flatten"])
        .within("")
        .weight("w3", &[5, 4])
        .node("Gemm", &["flatten", "w3"], &["y"])
        .int("transB", 1)
        .within("fc")
}

#[test]
fn a_layer_is_asked_for_by_the_module_whose_result_it_is() {
    let model = open(&residual());
    means(
        &model,
        &[
            ("conv1", "conv2d"),
            ("layer1.0.conv1", "conv2d_1"),
            // Called twice: the last of its results, to which the first leads.
            ("layer1.0.relu", "relu_1"),
            ("layer1.0", "relu_1"),
            ("layer1.10", "add_1"),
            ("layer1", "add_1"),
            ("10.conv1", "conv2d_2"),
            ("avgpool", "mean"),
            ("fc", "y"),
            ("heads.b", "mask"),
            // Names of the file come first.
            ("relu", "relu"),
            ("make_relu", "relu"),
        ],
    );
    assert_eq!(model.layer("relu_1").unwrap().module(), "layer1.0.relu");
    assert_eq!(model.layer("flatten").unwrap().module(), "");
}

#[test]
fn modules_without_one_result_are_ambiguous_and_misses_offer_modules() {
    let model = open(&residual());
    let Err(GraphError::AmbiguousLayer { candidates, .. }) = model.layer("heads") else {
        panic!("two heads have no one result");
    };
    assert_eq!(candidates, ["heat", "mask"]);
    let Err(GraphError::UnknownLayer { nearest, .. }) = model.layer("layer1.11") else {
        panic!("there is none");
    };
    assert!(nearest.contains(&"layer1.10".to_owned()), "{nearest:?}");
    let paths = |model: &BoundGraph| -> Vec<String> {
        model
            .modules()
            .iter()
            .map(|m| m.path().to_owned())
            .collect()
    };
    assert_eq!(
        paths(&model),
        [
            "conv1",
            "layer1",
            "layer1.0",
            "layer1.0.conv1",
            "layer1.0.relu",
            "layer1.10",
            "layer1.10.conv1",
            "heads",
            "heads.a",
            "heads.b",
            "avgpool",
            "fc",
        ]
    );
    let modules = model.modules();
    assert_eq!((modules[3].depth(), modules[3].name()), (2, "conv1"));
    assert_eq!(
        (modules[2].result(), modules[7].result()),
        (Some("relu_1"), None)
    );
    assert_eq!(modules[7].results(), ["heat", "mask"]);
    assert!(
        open(&elucid_testkit::onnx::small_network())
            .modules()
            .is_empty()
    );
}

/// The gradient of the sum of the scores at the input.
fn gradient(model: &BoundGraph, rules: &Rules) -> Result<Vec<f32>, GraphError> {
    let values = (0..3 * 64).map(|i| ((i * 37 + 11) % 64) as f32 / 32.0 - 1.0);
    let image = elucid_testkit::tensor(values.collect(), [1, 3, 8, 8]);
    let leaf = Activation::from(image).require_grad();
    let fetched = model
        .pass()
        .rules(rules)
        .feed("@input", leaf.clone())
        .fetch(["y"])?;
    let scores = fetched.get("y")?.rows();
    let gradients = scores.sum().backward();
    Ok(leaf
        .gradient(&gradients)
        .unwrap()
        .to_array()?
        .into_iter()
        .collect())
}

#[test]
fn patterns_of_rules_match_modules() {
    let model = open(&residual());
    let guided = |pattern: &str| gradient(&model, &Rules::new().on_layers(pattern, GuidedRelu));
    let both = gradient(&model, &Rules::new().on(OpKind::Relu, GuidedRelu)).unwrap();
    let plain = gradient(&model, &Rules::new()).unwrap();
    assert_ne!(both, plain, "the rule changes something");
    assert_eq!(guided("layer1.0.*").unwrap(), both);
    assert_eq!(guided("layer1.*").unwrap(), both);
    assert_eq!(
        guided("layer1.10.*").unwrap(),
        plain,
        "there is no ReLU in it"
    );
    let error = guided("layer2.*").unwrap_err().to_string();
    assert!(
        error.contains("`layer2.*`") && error.contains("layer1."),
        "{error}"
    );
}

#[test]
fn names_of_the_first_exporter_are_modules() {
    let file = Onnx::image([-1, 3, 8, 8])
        .weight("w", &[3, 3, 1, 1])
        .node("Conv", &["x", "w"], &["/conv1/Conv_output_0"])
        .named("/conv1/Conv")
        .node(
            "Conv",
            &["/conv1/Conv_output_0", "w"],
            &["/layer4/layer4.1/conv1/Conv_output_0"],
        )
        .named("/layer4/layer4.1/conv1/Conv")
        .node(
            "Relu",
            &["/layer4/layer4.1/conv1/Conv_output_0"],
            &["/layer4/layer4.1/relu/Relu_output_0"],
        )
        .named("/layer4/layer4.1/relu/Relu")
        .node(
            "GlobalAveragePool",
            &["/layer4/layer4.1/relu/Relu_output_0"],
            &["y"],
        )
        .named("/avgpool/GlobalAveragePool");
    let model = open(&file);
    means(
        &model,
        &[
            ("conv1", "/conv1/Conv_output_0"),
            ("layer4.1.conv1", "/layer4/layer4.1/conv1/Conv_output_0"),
            ("layer4.1", "/layer4/layer4.1/relu/Relu_output_0"),
            ("layer4", "/layer4/layer4.1/relu/Relu_output_0"),
            ("avgpool", "y"),
        ],
    );
    assert_eq!(model.layer("layer4.1").unwrap().module(), "layer4.1.relu");
}

#[test]
fn scopes_of_tensorflow_are_modules() {
    let mut file = Onnx::image([-1, 3, 8, 8])
        .weight("w", &[3, 3, 1, 1])
        .node("Conv", &["x", "w"], &["model/block5_conv3/Conv2D:0"])
        .named("model/block5_conv3/Conv2D")
        .node(
            "Relu",
            &["model/block5_conv3/Conv2D:0"],
            &["model/block5_conv3/Relu:0"],
        )
        .named("model/block5_conv3/Relu")
        .node("GlobalAveragePool", &["model/block5_conv3/Relu:0"], &["y"])
        .named("model/avg_pool/Mean");
    file.0.producer_name = Some("tf2onnx".to_owned());
    let model = open(&file);
    let relu = "model/block5_conv3/Relu:0";
    means(&model, &[("block5_conv3", relu), ("avg_pool", "y")]);
    assert_eq!(model.layer(relu).unwrap().module(), "block5_conv3");
}

/// How an InceptionV1 is called.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Caffe,
    Torchvision,
    /// The modules of torchvision in names.
    Nested,
    /// As numbers, with this many blocks.
    Nameless(usize),
}

/// InceptionV1 with one channel to a branch.
fn inception(style: Style) -> Onnx {
    let mut file = Onnx::image([-1, 3, 64, 64]);
    let mut count = 0;
    let mut at = ("x".to_owned(), 3);
    let blocks = match style {
        Style::Nameless(blocks) => blocks,
        _ => BLOCKS.len(),
    };
    let mut layer =
        |mut file: Onnx, block: &str, part: &str, kind: &str, inputs: &[&str], size: [i64; 2]| {
            count += 1;
            let branch = part.replace('/', ".");
            let (name, value) = match style {
                Style::Caffe => {
                    let value = format!("inception_{block}/{}", part.replace('/', "_"));
                    (value.clone(), value)
                }
                Style::Nested => {
                    let scopes = format!("/inception{block}/{part}/{kind}");
                    (scopes.clone(), format!("{scopes}_output_0"))
                }
                Style::Torchvision | Style::Nameless(_) => {
                    (format!("n{count}"), format!("r{count}"))
                }
            };
            let weight = format!("w{count}");
            let mut inputs = inputs.to_vec();
            let [channels, kernel] = size;
            if kind == "Conv" {
                file = file.weight(&weight, &[1, channels, kernel, kernel]);
                inputs.push(&weight);
            }
            file = file.node(kind, &inputs, &[&value]).named(&name);
            let pads = [kernel / 2; 4];
            match kind {
                "Conv" => file = file.ints("pads", &pads),
                "MaxPool" => file = file.ints("kernel_shape", &[3, 3]).ints("pads", &[1; 4]),
                "Concat" => file = file.int("axis", 1),
                _ => {}
            }
            if style == Style::Torchvision {
                let module = match kind {
                    "Concat" => format!("inception{block}"),
                    _ => format!("inception{block}.{branch}"),
                };
                file = file.within(&module);
            }
            (file, value)
        };
    let third = if style == Style::Torchvision { 3 } else { 5 };
    for i in 0..blocks {
        let block = BLOCKS.get(i).copied().unwrap_or("6a");
        if i == 2 || i == 7 {
            let pool = format!("pool{i}");
            file = file.node("MaxPool", &[&at.0], &[&pool]);
            file = file.ints("kernel_shape", &[2, 2]).ints("strides", &[2, 2]);
            at.0 = pool;
        }
        let (source, channels) = at.clone();
        let mut ends = Vec::new();
        for (branch, parts) in [
            ("branch1", &[("Conv", 1)][..]),
            ("branch2", &[("Conv", 1), ("Conv", 3)]),
            ("branch3", &[("Conv", 1), ("Conv", third)]),
            ("branch4", &[("MaxPool", 3), ("Conv", 1)]),
        ] {
            let mut value = source.clone();
            let mut channels = channels;
            for (at, (kind, kernel)) in parts.iter().enumerate() {
                let part = format!("{branch}/{at}");
                let made = layer(file, block, &part, kind, &[&value], [channels, *kernel]);
                (file, value) = made;
                if *kind == "Conv" {
                    channels = 1;
                    let made = layer(
                        file,
                        block,
                        &format!("{part}/relu"),
                        "Relu",
                        &[&value],
                        [1, 1],
                    );
                    (file, value) = made;
                }
            }
            ends.push(value);
        }
        let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
        let made = layer(file, block, "output", "Concat", &ends, [1, 1]);
        file = made.0;
        at = (made.1, 4);
    }
    file.node("GlobalAveragePool", &[&at.0], &["y"])
}

#[test]
fn lucids_names_are_those_of_every_inception() {
    for style in [
        Style::Caffe,
        Style::Torchvision,
        Style::Nested,
        Style::Nameless(9),
    ] {
        let model = open(&inception(style));
        let concats = model.layers().iter().filter(|l| l.kind() == OpKind::Concat);
        let concats: Vec<&str> = concats.map(|l| l.name()).collect();
        assert_eq!(concats.len(), 9);
        for (block, concat) in BLOCKS.iter().zip(concats) {
            means(&model, &[(&format!("mixed{block}"), concat)]);
        }
        let x = elucid_testkit::tensor(vec![0.5; 3 * 64 * 64], [1, 3, 64, 64]);
        let with = |pattern: &str| {
            let rules = Rules::new().on_layers(pattern, GuidedRelu);
            model
                .pass()
                .rules(&rules)
                .input(&x)
                .fetch(["mixed5b"])
                .map(|_| ())
        };
        with("mixed5*").unwrap();
        with("mixed4d").unwrap();
        with("mixed3a/*").unwrap();
        let error = with("mixed6*").unwrap_err().to_string();
        assert!(error.contains("mixed"), "{error}");
    }
}

#[test]
fn what_is_no_inception_has_no_names_of_lucid() {
    for blocks in [8, 10] {
        let model = open(&inception(Style::Nameless(blocks)));
        let found = model.layer("mixed4a");
        assert!(
            matches!(found, Err(GraphError::UnknownLayer { .. })),
            "{blocks}: {found:?}"
        );
    }
    let model = open(&residual());
    assert!(model.layer("mixed4a").is_err());
}

#[test]
fn a_missing_operator_stops_only_what_depends_on_it() {
    let mut file = residual()
        .node("Gizmo", &["add_1"], &["boxes"])
        .within("detect")
        .output("boxes");
    file.graph().node.last_mut().unwrap().domain = Some("toy".to_owned());
    let file = file
        .node("Relu", &["boxes"], &["kept"])
        .within("detect.relu")
        .output("kept");
    let model = open(&file);
    let obstacles = model.obstacles();
    assert_eq!(obstacles.len(), 1);
    let gizmo = &obstacles[0];
    assert_eq!(gizmo.operator().to_string(), "toy.Gizmo");
    assert!(!gizmo.is_supported());
    assert_eq!(gizmo.nodes(), ["make_boxes"]);
    assert_eq!(gizmo.outputs(), ["boxes", "kept"]);
    for asked in ["boxes", "kept", "detect", "make_boxes"] {
        let error = model.layer(asked).unwrap_err();
        assert!(
            matches!(error, GraphError::UnsupportedOperators(_)),
            "{asked}: {error}"
        );
    }
    assert!(open(&residual()).obstacles().is_empty());
}

#[test]
fn hostile_names_break_nothing_and_fill_no_screen() {
    let long = "a.".repeat(100_000);
    let names = [
        "/",
        "//",
        "/é/é.é/é",
        "\u{0}/\u{0}",
        ".",
        "..",
        "/./../.",
        "mixed",
        "mixed4",
        "é",
        &long,
    ];
    let mut file = Onnx::image([-1, 3, 4, 4]);
    let mut value = "x".to_owned();
    for (i, name) in names.iter().enumerate() {
        let made = format!("{name}#{i}");
        file = file.node("Relu", &[&value], &[&made]).named(name);
        // Every other one is a scope, too.
        if i % 2 == 0 && name.len() < 1000 {
            file = file.within(name);
        }
        value = made;
    }
    let file = file.node("GlobalAveragePool", &[&value], &["y"]);
    let model = open(&file);
    let long_twice = format!("{long}{long}");
    for asked in names
        .iter()
        .chain(&["", ".é", "é.", "mixed4é", "mixed4d", &long_twice])
    {
        if let Err(error) = model.layer(asked) {
            let text = error.to_string();
            assert!(text.len() < 5000, "{} bytes", text.len());
        }
    }
    let _ = (model.modules(), model.obstacles());
}

/// The modules of a network of the reference files.
fn reference(file: &str) -> Option<BoundGraph> {
    let path = elucid_testkit::assets()?.join("models").join(file);
    let graph = elucid_onnx::open(path).unwrap();
    Some(BoundGraph::new(graph, &device()))
}

/// The value that a name means, by fetching nothing: a feed of it needs no other.
#[track_caller]
fn meant(model: &BoundGraph, asked: &str) -> String {
    let fed = Activation::from(elucid_testkit::tensor(vec![0.0], [1, 1, 1, 1]));
    let fetched = model.pass().feed(asked, fed).fetch([asked]);
    let fetched = fetched.unwrap_or_else(|error| panic!("{asked}: {error}"));
    let (name, _) = fetched.iter().next().unwrap();
    name.to_owned()
}

#[test]
fn modules_of_real_files_are_found() {
    for (file, pairs) in [
        (
            "modern/tm_vit_tiny_patch16_224.onnx",
            &[
                ("blocks.11.norm1", "layer_norm_22"),
                ("blocks.11", "add_24"),
                ("blocks", "add_24"),
                ("norm", "layer_norm_24"),
                ("patch_embed.proj", "conv2d"),
                ("head", "logits"),
            ][..],
        ),
        (
            "modern/tv_convnext_tiny.onnx",
            &[
                ("features.0.0", "conv2d"),
                ("features.1.0", "add"),
                ("classifier.2", "logits"),
            ],
        ),
        (
            "modern/tv_swin_t.onnx",
            &[("features.0.2", "layer_norm"), ("head", "logits")],
        ),
        (
            "modern/tv_fcn_resnet50.onnx",
            &[
                ("layer1.0", "relu_3"),
                ("m.backbone.layer4.2", "relu_48"),
                ("classifier.4", "conv2d_54"),
            ],
        ),
        (
            "modern/tm_vit_tiny_legacy13.onnx",
            &[
                ("blocks.11.norm1", "/blocks/blocks.11/norm1/Add_1_output_0"),
                ("patch_embed.proj", "/patch_embed/proj/Conv_output_0"),
            ],
        ),
        (
            "modern/own_keras_nhwc.onnx",
            &[
                ("stem", "model/stem/BiasAdd:0"),
                ("dw1_swish", "model/dw1_swish/mul:0"),
                ("se", "model/se/mul:0"),
            ],
        ),
        (
            "torchvision/resnet50.onnx",
            &[
                ("layer4.1", "/layer4/layer4.1/relu_2/Relu_output_0"),
                ("layer4.1.conv2", "/layer4/layer4.1/conv2/Conv_output_0"),
            ],
        ),
        (
            "torchvision/densenet121.onnx",
            &[("features.conv0", "/features/conv0/Conv_output_0")],
        ),
        (
            "light/light_inception_v1.onnx",
            &[("mixed3a", "r23"), ("mixed4d", "r94"), ("mixed5b", "r137")],
        ),
        (
            "googlenet.onnx",
            &[
                ("mixed3a", "inception_3a/output"),
                ("mixed4d", "inception_4d/output"),
            ],
        ),
        (
            "inception_v1_small/inception_v1_small.onnx",
            &[
                ("mixed5b", "inception_5b/output"),
                ("inception_4d", "inception_4d/output"),
            ],
        ),
    ] {
        let Some(model) = reference(file) else {
            return;
        };
        for (asked, layer) in pairs {
            assert_eq!(meant(&model, asked), *layer, "{file}: {asked}");
        }
    }
    let dense = reference("torchvision/densenet121.onnx").unwrap();
    assert!(meant(&dense, "features.denseblock4").starts_with("/features/denseblock4/"));
    // InceptionV2 is none.
    let second = reference("light/light_inception_v2.onnx").unwrap();
    let fed = Activation::from(elucid_testkit::tensor(vec![0.0], [1, 1, 1, 1]));
    assert!(
        second
            .pass()
            .feed("mixed4d", fed)
            .fetch(["mixed4d"])
            .is_err()
    );
}

#[test]
fn a_thousand_names_of_a_big_file_take_no_time() {
    let Some(model) = reference("modern/tv_ssdlite320_mobilenet_v3_large.onnx") else {
        return;
    };
    let started = Instant::now();
    let modules = model.modules();
    assert!(modules.len() > 150, "{}", modules.len());
    let mut clear = 0;
    for module in modules.iter().filter(|module| module.result().is_some()) {
        assert_eq!(meant(&model, module.path()), module.result().unwrap());
        clear += 1;
    }
    assert!(clear > 100, "{clear}");
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} modules, {clear} with one result, {seconds:.2} s",
        modules.len()
    );
    assert!(seconds < 20.0, "{seconds} s");
}
