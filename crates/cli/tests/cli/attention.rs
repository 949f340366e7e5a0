//! `elucid attention`: what it leaves behind is what the library computes.

use std::fs;

use crate::common::Desk;
use elucid::attribution::{AttentionMaps, AttentionRollout, Chefer};
use elucid::prelude::*;
use elucid_testkit::{assets, read_npy as read_array, relative_error};
use ndarray::{Array2, Array3, Axis};
use ndarray_npy::read_npy;
use serde_json::{Value, json};

/// A vision transformer of two blocks for 32 x 32 pixels, by PyTorch's older exporter.
const TRANSFORMER: &[u8] = include_bytes!("../files/vit_tiny.onnx");

/// A desk with the transformer and names for its five classes.
fn desk() -> Desk {
    let desk = Desk::new();
    fs::write(desk.path("vit.onnx"), TRANSFORMER).unwrap();
    fs::write(desk.path("names.txt"), "ape\nbear\ncat\ndeer\nelk\n").unwrap();
    desk
}

const RUN: &str = "attention --model vit.onnx --labels names.txt --image cat.png --device cpu";

/// What the page's script reads.
fn data(desk: &Desk, page: &str) -> Value {
    let page = desk.text(page);
    let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// One field of each of a list.
fn each<'v>(list: &'v Value, field: &str) -> Vec<&'v Value> {
    let list = list.as_array().unwrap().iter();
    list.map(|entry| &entry[field]).collect()
}

#[test]
fn a_run_leaves_what_the_library_computes() {
    let desk = desk();
    let ended = desk
        .say(&format!("{RUN} --targets cat,elk --out new/out"))
        .ok();
    assert!(
        ended.out.contains("new/out/attention.html\n"),
        "{}",
        ended.out
    );
    assert_eq!(desk.listing("new"), ["out"]);

    let report = desk.report("new/out");
    assert_eq!(
        (&report["grid"], &report["prefix"]),
        (&json!([4, 4]), &json!(1))
    );
    assert_eq!(report["left_out"], json!([]));
    assert_eq!(report["has_heads"], true);
    let methods = ["attention", "attention-rollout", "chefer", "lrp"];
    assert_eq!(report["methods"], json!(methods));
    assert_eq!(report["blocks"][1]["module"], "blocks.1.attn");
    assert_eq!(report["targets"][1]["classes"][0]["index"], 4);

    let device = elucid::device::cpu().device;
    let model = Model::open(desk.path("vit.onnx"), &device).unwrap();
    let photo = model.read_image(desk.path("cat.png")).unwrap();
    let maps = AttentionMaps::of(&model, &photo).unwrap();
    for (number, block) in maps.blocks().iter().enumerate() {
        let name = format!("new/out/attention_{number}.npy");
        let weights: Array3<f32> = read_npy(desk.path(name)).unwrap();
        assert_eq!(weights, block.weights().index_axis(Axis(0), 0));
        assert_eq!(weights.dim(), (2, 17, 17));
        assert!(
            weights
                .sum_axis(Axis(2))
                .iter()
                .all(|sum| (sum - 1.0).abs() < 1e-5)
        );
    }
    let read =
        |name: &str| -> Array2<f32> { read_npy(desk.path(format!("new/out/{name}.npy"))).unwrap() };
    let rollout = AttentionRollout::new()
        .matrix(&model, &photo, &Target::class(2))
        .unwrap();
    assert_eq!(
        read("attention-rollout_tokens"),
        rollout.index_axis(Axis(0), 0)
    );
    // The class token's row is the method's map.
    let first: Vec<f32> = rollout
        .index_axis(Axis(0), 0)
        .row(0)
        .iter()
        .skip(1)
        .copied()
        .collect();
    let map = read("attention-rollout");
    assert!(map.iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-6));
    for (name, class) in [("cat", 2), ("elk", 4)] {
        let rows = Chefer::new()
            .matrix(&model, &photo, &Target::class(class))
            .unwrap();
        assert_eq!(
            read(&format!("chefer_{name}_tokens")),
            rows.index_axis(Axis(0), 0)
        );
        let relevance = Lrp::new(RelevanceRules::attn_lrp())
            .attribute(&model, &photo, Target::class(class))
            .unwrap();
        let pixels = relevance.saliency(Reduce::Sum).unwrap();
        let patches = read(&format!("lrp_{name}"));
        // A patch has 8 x 8 pixels.
        for ((row, column), patch) in patches.indexed_iter() {
            let pixels = pixels.maps().slice(ndarray::s![
                0,
                8 * row..8 * row + 8,
                8 * column..8 * column + 8
            ]);
            let expected: f64 = pixels.iter().map(|&v| f64::from(v)).sum();
            assert!((f64::from(*patch) - expected).abs() < 1e-5 * expected.abs().max(1e-3));
        }
        let picture = desk.path(format!("new/out/lrp_{name}.png"));
        assert!(fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    }

    let page = desk.text("new/out/attention.html");
    assert!(page.contains("The network sees") && page.contains("cat.png"));
    let data = data(&desk, "new/out/attention.html");
    assert_eq!(data["classes"], json!(["cat", "elk"]));
    assert_eq!(data["prefix"], json!(["class token"]));
    assert_eq!(data["blocks"][0]["name"], "blocks.0.attn");
    assert_eq!(data["blocks"][1]["heads"], 2);
    assert_eq!(
        each(&data["methods"], "name"),
        ["Attention rollout", "Chefer", "Relevance"]
    );
}

/// PyTorch computed the same of the same network, in double precision.
#[test]
fn the_numbers_are_those_of_the_reference() {
    let Some(assets) = assets() else {
        return;
    };
    let folder = assets.join("reference/transformers/vit_tiny");
    let desk = desk();
    fs::copy(folder.join("input.npy"), desk.path("input.npy")).unwrap();
    desk.say("attention --model vit.onnx --image input.npy --targets 3,4 --device cpu --out out")
        .ok();
    let ours = |name: &str| read_array(&desk.path(format!("out/{name}.npy"))).1;
    let theirs = |name: &str| read_array(&folder.join(format!("{name}.npy"))).1;
    let close = |got: &[f32], want: &[f32], name: &str| {
        assert_eq!(got.len(), want.len(), "{name}");
        let error = relative_error(got, want);
        assert!(error < 1e-5, "{name}: {error:.1e}");
    };
    for (our, their) in [
        ("attention_0", "attention0"),
        ("attention_1", "attention1"),
        ("attention-rollout_tokens", "rollout_normalised"),
        ("attention-rollout", "rollout_normalised_map"),
        ("chefer_class_3_tokens", "3/chefer"),
        ("chefer_class_4_tokens", "4/chefer"),
        ("chefer_class_4", "4/chefer_map"),
    ] {
        close(&ours(our), &theirs(their), our);
    }
    for class in [3, 4] {
        let pixels = theirs(&format!("{class}/attnlrp/input"));
        let mut patches = [0.0; 16];
        for (i, value) in pixels.iter().enumerate() {
            let (row, column) = (i / 32 % 32, i % 32);
            patches[row / 8 * 4 + column / 8] += value;
        }
        let name = format!("lrp_class_{class}");
        close(&ours(&name), &patches, &name);
    }
}

#[test]
fn blocks_are_chosen_by_number_and_by_name() {
    let desk = desk();
    for (blocks, numbers) in [
        ("last", json!([1])),
        ("0", json!([0])),
        ("blocks.1.attn,0,last", json!([0, 1])),
    ] {
        desk.say(&format!("{RUN} --blocks {blocks} --out out --force"))
            .ok();
        let report = desk.report("out");
        assert_eq!(json!(each(&report["blocks"], "number")), numbers);
        assert_eq!(desk.path("out/attention_0.npy").exists(), numbers[0] == 0);
    }
    // Without a target the two best guesses are explained.
    assert_eq!(desk.report("out")["targets"].as_array().unwrap().len(), 2);
}

#[test]
fn a_page_that_would_be_too_large_has_the_mean_of_heads() {
    let desk = desk();
    let whole = desk.say(&format!("{RUN} --out whole")).ok();
    assert!(!whole.err.contains("mean only"), "{}", whole.err);
    let size = fs::metadata(desk.path("whole/attention.html"))
        .unwrap()
        .len();
    let mean = desk
        .say(&format!("{RUN} --page-limit {size} --out mean"))
        .ok();
    assert!(mean.err.contains("mean only"), "{}", mean.err);
    assert_eq!(desk.report("mean")["has_heads"], false);
    let data = data(&desk, "mean/attention.html");
    assert_eq!(data["blocks"][0]["heads"], 1);
    // The arrays have what the page leaves out.
    let weights: Array3<f32> = read_npy(desk.path("mean/attention_0.npy")).unwrap();
    assert_eq!(weights.dim().0, 2);
    // Too little for any page.
    desk.say(&format!("{RUN} --page-limit 1KB --out out"))
        .refused_with(1, &["at most 1000"]);
    assert!(!desk.path("out").exists() && size > 1000);
}

#[test]
fn a_refusal_leaves_no_folder() {
    let desk = desk();
    let before = desk.listing(".");
    desk.say(&format!("{RUN} --targets dear --out out"))
        .refused_with(1, &["nearest are deer"]);
    desk.say(&format!("{RUN} --blocks blocks.7.attn --out out"))
        .refused_with(1, &["blocks.7.attn", "1 \"blocks.1.attn\""]);
    for (arguments, code) in [
        ("--targets cat,2", 2),
        ("--targets ,", 2),
        ("--targets 5", 1),
        ("--blocks 2", 1),
        ("--blocks ,", 1),
        ("--page-limit lots", 2),
        ("--out cat.png", 1),
    ] {
        let out = if arguments.contains("--out") {
            ""
        } else {
            "--out out"
        };
        desk.say(&format!("{RUN} {arguments} {out}")).refused(code);
    }
    let line = "attention --model squeezenet --image cat.png --device cpu --out out";
    desk.say(line).refused_with(1, &["attention", "squeezenet"]);
    assert_eq!(desk.listing("."), before);
}

/// Of a network whose first blocks attend within windows the others are shown, and what is not is said.
#[test]
fn blocks_within_windows_are_left_out_by_name() {
    let Some(assets) = assets() else { return };
    let desk = Desk::new();
    let swin = assets.join("models/modern/tv_swin_t.onnx");
    let bytes = elucid_testkit::generated::with_weights(&swin, 1.0);
    fs::write(desk.path("swin.onnx"), bytes).unwrap();
    let run = "attention --model swin.onnx --image cat.png --device cpu --targets 3";
    desk.say(&format!("{run} --out out")).ok();
    let report = desk.report("out");
    assert_eq!(report["grid"], json!([7, 7]));
    let shown = report["blocks"].as_array().unwrap().iter();
    let shown: Vec<&Value> = shown.map(|block| &block["number"]).collect();
    assert_eq!(shown, [&json!(10), &json!(11)]);
    let left_out = report["left_out"].as_array().unwrap();
    let windows = left_out.iter().filter(|left| {
        let reason = left["reason"].as_str().unwrap();
        reason.contains("within windows, not over the whole photograph")
    });
    assert_eq!(windows.count(), 10);
    // Methods through all blocks have nothing to say of windows.
    assert_eq!(report["methods"], json!(["attention", "lrp"]));
    let first = left_out[0]["name"].as_str().unwrap();
    desk.say(&format!("{run} --blocks {first} --out no"))
        .refused_with(1, &["within windows"]);
}
