//! The commands that print: what they say, to people and as JSON, and how they refuse.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::common::{Desk, has, squeezenet};
use elucid_testkit::onnx::{Onnx, floats};

#[test]
fn inspect_names_every_layer() {
    let desk = Desk::squeezenet();
    let text = desk.say("inspect").ok();
    assert!(text.err.starts_with("squeezenet1_1 on "), "{}", text.err);
    has(
        &text.out,
        &[
            "opset",
            "1235496",
            "data, 224 x 224 pixels",
            "pool10/flatten",
        ],
    );
    let notable = text
        .out
        .lines()
        .find(|l| l.contains("fire9/concat"))
        .unwrap();
    assert!(
        notable.starts_with('*') && notable.contains("Concat"),
        "{notable}"
    );
    assert!(notable.contains("[1, 512, 13, 13]"), "{notable}");

    let facts = desk.say("inspect --json --quiet").json();
    assert_eq!(facts["name"], "squeezenet1_1");
    assert_eq!(facts["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(facts["classes"], 1000);
    assert_eq!(facts["input"]["channel_order"], "bgr");
    let all = facts["layers"].as_array().unwrap().len();
    let notable = desk.say("inspect --json --layers notable").json();
    let notable = notable["layers"].as_array().unwrap();
    assert!(!notable.is_empty() && notable.len() < all);
    assert!(notable.iter().all(|layer| layer["notable"] == true));
}

#[test]
fn without_a_name_it_is_the_small_inception() {
    let desk = Desk::new();
    let text = desk.say("inspect").ok();
    assert!(
        text.err.starts_with("inception_v1_small on "),
        "{}",
        text.err
    );
    has(
        &text.out,
        &[
            "1513198",
            "data, 160 x 160 pixels",
            "fitted by crop:183, rgb",
            "14: tench, dog, cassette player,",
            "loss3/classifier",
        ],
    );
    let mut lines = text.out.lines();
    let mixed4d = lines.find(|line| line.contains("inception_4d/output"));
    let mixed4d = mixed4d.expect("the layer");
    assert!(
        mixed4d.starts_with('*') && mixed4d.contains("[1, 264, 10, 10]"),
        "{mixed4d}"
    );
    for name in ["inception_v1_small", "inception-small", "embedded"] {
        let facts = desk.say(&format!("inspect --json --model {name}")).json();
        assert_eq!(facts["classes"], 14);
        assert_eq!(facts["class_names"], "inception_v1_small");
    }

    let report = desk.say("classify cat.png pets.png --json --quiet").json();
    let label =
        |image: usize, rank: usize| report["images"][image]["guesses"][rank]["label"].clone();
    assert_eq!(label(0, 0), "cat");
    let mut pets = [label(1, 0), label(1, 1)].map(|label| label.as_str().unwrap().to_owned());
    pets.sort();
    assert_eq!(pets, ["cat", "dog"]);
    let all = desk.say("classify cat.png --top 100 --quiet").ok();
    assert_eq!(all.out.lines().count(), 14);
}

#[test]
fn inspect_shows_shapes_for_another_size() {
    let desk = Desk::new();
    let facts = desk.say("inspect --json --size 199x214").json();
    let layers = facts["layers"].as_array().unwrap();
    assert_eq!(layers[0]["shape"], serde_json::json!([1, 3, 199, 214]));
    desk.say("inspect --size 1x1").refused(1);
    desk.say("inspect --size 0x224").refused(2);
    desk.say("inspect --size 224x99999999").refused(2);
    desk.say("inspect --size many").refused(2);
}

#[test]
fn classify_names_the_best_classes() {
    let desk = Desk::squeezenet();
    let text = desk.say("classify cat.png --top 3").ok();
    assert_eq!(text.out.lines().count(), 3, "{}", text.out);
    assert!(
        text.out.lines().next().unwrap().contains("Egyptian cat"),
        "{}",
        text.out
    );

    let report = desk
        .say("classify cat.png coffee.png --json --quiet")
        .json();
    assert_eq!(report["model"]["name"], "squeezenet1_1");
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(images[1]["image"], "coffee.png");
    assert_eq!(images[1]["guesses"][0]["label"], "espresso");
    assert_eq!(images[1]["guesses"].as_array().unwrap().len(), 5);
    let all = desk.say("classify cat.png --top 100000 --quiet").ok();
    assert_eq!(all.out.lines().count(), 1000);
    assert_eq!(all.err, "");
}

#[test]
fn the_input_is_prepared_as_the_flags_say() {
    let desk = Desk::squeezenet();
    std::fs::write(desk.path("net.onnx"), squeezenet()).unwrap();
    let described = "inspect --json --model net.onnx --input-size 100x120 --channel-order rgb \
                     --scale 1/255 --mean 0.5 --std 0.1,0.2,0.3 --resize squash";
    let input = &desk.say(described).json()["input"];
    assert_eq!(
        (&input["height"], &input["width"]),
        (&100.into(), &120.into())
    );
    assert_eq!(input["channel_order"], "rgb");
    assert_eq!(input["resize"], "squash");
    assert_eq!(input["mean"], serde_json::json!([0.5, 0.5, 0.5]));

    let swapped = desk
        .say("classify --json coffee.png --channel-order rgb")
        .json();
    let usual = desk.say("classify --json coffee.png").json();
    assert_ne!(swapped["images"], usual["images"]);

    for flags in [
        "--input-size 0",
        "--input-size 5000",
        "--scale 1/0",
        "--scale x",
        "--std 0",
        "--std 1,2",
        "--mean=-1,nan,2",
        "--resize crop:3",
        "--resize stretch",
        "--channel-order grb",
    ] {
        desk.say(&format!("inspect {flags}")).refused(2);
    }
}

#[test]
fn devices_are_listed() {
    let desk = Desk::new();
    let text = desk.say("devices").ok();
    assert!(
        text.out.lines().any(|l| l.starts_with("cpu ")),
        "{}",
        text.out
    );
    let rows = desk.say("devices --json").json();
    assert_eq!(rows["devices"][0]["device"], "auto");
    assert_eq!(rows["devices"][0]["usable"], true);
}

#[test]
fn bad_usage_is_one_line_and_exit_code_2() {
    let desk = Desk::new();
    for line in [
        "paint",
        "classify",
        "classify cat.png --top 0",
        "classify cat.png --top -1",
        "inspect --layers some",
        "inspect --colour",
        "models push x",
    ] {
        desk.say(line).refused(2);
    }
    desk.say("inspect --device gpu")
        .refused_with(2, &["auto, cpu, wgpu"]);
    assert_eq!(desk.say("").code, Some(2));
    assert_eq!(desk.say("models").code, Some(2));
    desk.say("--help").ok();
    desk.say("--version").ok();
}

#[test]
fn memory_is_limited() {
    let desk = Desk::squeezenet();
    let message = desk.say("inspect --memory-limit 1MB").refused(1);
    has(&message, &["more than the limit of 1 MB", "--memory-limit"]);
    // Opened, but no pass through it.
    desk.say("inspect --memory-limit 12MB").ok();
    let image = "classify --memory-limit 9MB cat.png";
    desk.say(image).refused_with(1, &["a pass on one image"]);
    desk.say("inspect --memory-limit lots")
        .refused_with(2, &["2GB, 1.5GiB or 300MB"]);
}

#[test]
fn files_that_are_none_are_refused() {
    let desk = Desk::new();
    let model = squeezenet();
    std::fs::write(desk.path("cut.onnx"), &model[..model.len() / 2]).unwrap();
    std::fs::write(desk.path("empty.onnx"), "").unwrap();
    std::fs::write(desk.path("text.onnx"), "these are no weights").unwrap();
    let cat = std::fs::read(desk.path("cat.png")).unwrap();
    std::fs::write(desk.path("cut.png"), &cat[..cat.len() / 2]).unwrap();

    desk.say("inspect --model cut.onnx")
        .refused_with(1, &["cut short"]);
    for model in ["empty.onnx", "text.onnx", "absent.onnx", ".", "cat.png"] {
        desk.say(&format!("inspect --model {model}")).refused(1);
    }
    desk.say("inspect --model googlnet")
        .refused_with(1, &["googlenet-12"]);
    std::fs::create_dir(desk.path("no_pictures")).unwrap();
    for image in [
        "cut.png",
        "absent.png",
        "no_pictures",
        "empty.onnx",
        "*.tiff",
    ] {
        desk.say(&format!("classify {image}"))
            .refused_with(1, &[image]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn file_names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let desk = Desk::new();
    let (photo, model) = (
        OsStr::from_bytes(b"caf\xe9\n.png"),
        OsStr::from_bytes(b"net\xff.onnx"),
    );
    std::fs::copy(desk.path("cat.png"), desk.path(photo)).unwrap();
    std::fs::write(desk.path(model), squeezenet()).unwrap();
    let arguments = ["classify", "--json", "--model"]
        .map(OsStr::new)
        .into_iter();
    desk.run(arguments.clone().chain([model, photo])).json();
    let absent = OsStr::from_bytes(b"\xff\n");
    desk.run([OsStr::new("classify"), absent]).refused(1);
    desk.run(arguments.clone().chain([absent, photo]))
        .refused(1);
    let ended = desk.run(arguments.chain([model, absent, photo]));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for arguments in ["inspect --json --quiet", "models list", "devices"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_elucid"))
            .args(arguments.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "", "{arguments}");
        assert!(child.wait().unwrap().success(), "{arguments}");
    }
}

/// A vision transformer of two blocks for 32 x 32 pixels, by PyTorch's older exporter.
pub const TRANSFORMER: &[u8] = include_bytes!("../files/vit_tiny.onnx");

#[test]
fn inspect_shows_blocks() {
    let desk = Desk::new();
    std::fs::write(desk.path("vit.onnx"), TRANSFORMER).unwrap();
    let text = desk.say("inspect --model vit.onnx --blocks").ok().out;
    has(
        &text,
        &[
            "token grid",
            "grid 4 x 4, prefix 1",
            "2 heads, scale 0.2500, packed, keys 1 + 4 x 4",
            "tokens 1 + 4 x 4",
            "in all: 2 GELU, 2 attention, 5 layer normalization, 8 linear layer, 1 token grid",
        ],
    );
    let facts = desk.say("inspect --model vit.onnx --blocks --json").json();
    let blocks = facts["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 18);
    let attention = blocks
        .iter()
        .find(|block| block["block"] == "attention")
        .unwrap();
    assert_eq!(attention["module"], "blocks.0.attn");
    for value in [
        "q",
        "k",
        "v",
        "packed",
        "products",
        "scores",
        "probabilities",
    ] {
        assert!(
            attention["values"][value].is_string(),
            "{value} in {attention}"
        );
    }
    // Without the flag nothing is looked for.
    let plain = desk.say("inspect --model vit.onnx --json").json();
    assert_eq!(plain["blocks"], serde_json::Value::Null);
    let none = desk.say("inspect --model squeezenet --blocks").ok().out;
    assert!(none.contains("no blocks"), "{none}");
    desk.say("inspect --blocks --tree").refused(2);
}

/// A network of today's exporter with an operator that nobody knows.
const MODULES: &[u8] = include_bytes!("../files/modules.onnx");

#[test]
fn inspect_shows_modules_and_what_stops() {
    let desk = Desk::new();
    std::fs::write(desk.path("net.onnx"), MODULES).unwrap();
    let text = desk.say("inspect --model net.onnx").ok().out;
    let line = |part: &str| {
        let line = text.lines().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("no {part} in {text}"))
    };
    assert!(line("operator").contains("module"), "{text}");
    assert!(line("conv2d_1").contains("layer1.0.conv1  Conv"), "{text}");
    let stops = "not supported: toy.Gizmo (\"node_boxes\") - stops 1 output, \"boxes\"";
    assert_eq!(text.lines().last(), Some(stops));

    let tree = desk.say("inspect --model net.onnx --tree").ok().out;
    for row in [
        "conv1      conv2d    [1, 4, 8, 8]",
        "layer1     add       [1, 4, 8, 8]",
        "  0        add       [1, 4, 8, 8]",
        "    conv1  conv2d_1  [1, 4, 8, 8]",
        "avgpool    mean      [1, 4, 1, 1]",
        "  mask     mask      [1, 4, 8, 8]",
        stops,
    ] {
        assert!(tree.lines().any(|line| line == row), "no {row:?} in {tree}");
    }
    assert!(!tree.contains("flatten"), "{tree}");

    let facts = desk.say("inspect --model net.onnx --tree --json").json();
    let layer = |name: &str| {
        let layers = facts["layers"].as_array().unwrap();
        layers
            .iter()
            .find(|layer| layer["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(layer("relu")["module"], "layer1.0.relu");
    assert_eq!(layer("flatten")["module"], serde_json::Value::Null);
    let modules = facts["modules"].as_array().unwrap();
    assert_eq!(modules[1]["path"], "layer1");
    assert_eq!(modules[1]["result"], "add");
    assert_eq!(modules[1]["shape"], serde_json::json!([1, 4, 8, 8]));
    let stopped = &facts["not_supported"][0];
    assert_eq!(stopped["operator"], "toy.Gizmo");
    assert_eq!(stopped["nodes"], serde_json::json!(["node_boxes"]));
    assert_eq!(stopped["outputs"], serde_json::json!(["boxes"]));

    let plain = desk.say("inspect --json").json();
    assert!(plain["modules"].is_null());
    assert_eq!(plain["not_supported"], serde_json::json!([]));
    let none = desk.say("inspect --tree").ok().out;
    assert!(none.contains("the file names no modules"), "{none}");
}

/// The mean of each channel, weighed into two scores, with layers of these names.
fn means(pooled: &str, flat: &str, weight: f32) -> Onnx {
    Onnx::image([1, 3, 8, 8])
        .node("GlobalAveragePool", &["x"], &[pooled])
        .node("Flatten", &[pooled], &[flat])
        .tensor(floats("w", &[3, 2], vec![weight; 6]))
        .node("MatMul", &[flat, "w"], &["y"])
}

#[test]
fn names_neither_fill_nor_drive_a_terminal() {
    let desk = Desk::new();
    let network = means(&"n".repeat(70_000), "\u{1b}[31m\u{202e}flat", 0.5);
    std::fs::write(desk.path("net.onnx"), network.bytes()).unwrap();
    let text = desk.say("inspect --model net.onnx").ok();
    assert!(text.out.contains("n...n"), "{}", text.out);
    assert!(
        text.out.contains("\\u{1b}[31m\\u{202e}flat"),
        "{}",
        text.out
    );
    assert!(text.out.lines().all(|line| line.chars().count() < 3000));
    assert!(!format!("{}{}", text.out, text.err).contains(['\u{1b}', '\u{202e}']));

    let json = desk.say("inspect --model net.onnx --json").ok();
    assert!(!json.out.contains(['\u{1b}', '\u{202e}']));
    let facts = json.json();
    let layers = facts["layers"].as_array().unwrap();
    let mut names = layers.iter().map(|layer| &layer["name"]);
    assert!(names.any(|name| name == "\u{1b}[31m\u{202e}flat"));
}

#[test]
fn scores_that_are_no_numbers_are_refused() {
    let desk = Desk::new();
    let network = means("gap", "flat", f32::MAX);
    std::fs::write(desk.path("net.onnx"), network.bytes()).unwrap();
    for command in [
        "classify cat.png",
        "classify cat.png --json",
        "attribute --image cat.png --method gradient --target 0 --out out",
    ] {
        let plain = "--model net.onnx --scale 1 --mean 0 --std 1 --resize squash";
        desk.say(&format!("{command} {plain}"))
            .refused_with(1, &["scores are not finite"]);
    }
    assert!(!desk.path("out").exists());
}
