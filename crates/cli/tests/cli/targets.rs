//! Targets that are no classes of a whole picture, on the command line.

use crate::common::Desk;
use elucid::prelude::*;
use ndarray::{Array3, ArrayD, s};

/// The networks of `files/heads`: of a map `scores` [1, 2, 4, 4] the weights are (1, 0, -1) and
/// (.5, .5, .5), an argmax stands behind it, and there are no classes of the whole picture.
fn desk() -> Desk {
    Desk::new().with_files("heads")
}

/// Pixels become numbers of 0 to 1, and nothing else.
const PLAIN: &str = "--scale 1/255 --mean 0 --std 1 --resize squash --quiet";

fn attribution(desk: &Desk, folder: &str) -> Array3<f32> {
    ndarray_npy::read_npy(desk.path(folder).join("attribution.npy")).unwrap()
}

#[test]
fn a_region_of_a_map_is_explained() {
    let desk = desk();
    let line = format!("attribute --model map.onnx --image cat.png --method gradient {PLAIN}");
    desk.say(&format!("{line} --target 0@box:1,2,3,4 --out box"))
        .ok();
    let found = attribution(&desk, "box");
    for ((c, y, x), &value) in found.indexed_iter() {
        let inside = (1..3).contains(&x) && (2..4).contains(&y);
        let want = if inside { [1.0, 0.0, -1.0][c] } else { 0.0 };
        assert_eq!(value, want, "({c}, {y}, {x})");
    }
    let report = desk.report("box");
    let target = &report["images"][0]["target"];
    assert_eq!(target["kind"], "region");
    assert_eq!(target["layer"], "scores");
    let words = "sum of the scores of class 0 in columns 1 to 2 and rows 2 to 3, ends included";
    assert_eq!(target["name"], words);
    assert_eq!(report["results"][0]["target"], words);
    assert_eq!(
        report["images"][0]["predictions"].as_array().unwrap().len(),
        0
    );

    // A mask of another size is stretched, which is said.
    let mask = image_of(|y, _| if y < 4 { 255 } else { 0 });
    std::fs::write(desk.path("mask.png"), mask).unwrap();
    let line = line.replace("--quiet", "");
    let said = desk
        .say(&format!("{line} --target 1@mask.png --out mask"))
        .ok();
    assert!(said.err.contains("note: the mask is 8 x 8"), "{}", said.err);
    let found = attribution(&desk, "mask");
    assert!(found.slice(s![.., ..2, ..]).iter().all(|&v| v == 0.5));
    assert!(found.slice(s![.., 2.., ..]).iter().all(|&v| v == 0.0));
    assert!(desk.report("mask")["images"][0]["target"]["note"].is_string());

    let name =
        "--method occlusion,rise --masks 20 --cells 2 --window 1 --stride 1 --target 1@predicted";
    let line = line.replace("--method gradient", name);
    desk.say(&format!("{line} --image coffee.png --out several"))
        .ok();
    let report = desk.report("several");
    assert_eq!(report["results"].as_array().unwrap().len(), 4);
}

/// A grey picture of 8 x 8 pixels as PNG.
fn image_of(value: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let pixels = Array3::from_shape_fn((8, 8, 3), |(y, x, _)| value(y, x));
    Picture::from_rgb(pixels.view())
        .unwrap()
        .to_png_bytes()
        .unwrap()
}

#[test]
fn numbers_of_layers_and_likeness_are_explained() {
    let desk = desk();
    let line = format!("attribute --image cat.png --method gradient {PLAIN}");
    let map = format!("{line} --model map.onnx");
    desk.say(&format!("{map} --target scores[0,3,1] --out one"))
        .ok();
    let found = attribution(&desk, "one");
    assert_eq!(found[[2, 3, 1]], -1.0);
    assert_eq!(found.iter().filter(|&&v| v != 0.0).count(), 2);
    assert_eq!(
        desk.report("one")["images"][0]["target"]["name"],
        "number scores[0,3,1]"
    );

    // A number of an output is explained before its sigmoid, unless the probability is asked for.
    let labels = format!("{line} --model labels.onnx --target y[1]");
    desk.say(&format!("{labels} --out before")).ok();
    desk.say(&format!("{labels} --probability --out given"))
        .ok();
    let score = |folder: &str| desk.report(folder)["results"][0]["score"].as_f64().unwrap();
    let p = 1.0 / (1.0 + (-score("before")).exp());
    assert!((score("given") - p).abs() < 1e-6);
    let name = desk.report("before")["images"][0]["target"]["name"].clone();
    assert_eq!(name, "number y[1] before it becomes a probability, in z");

    let like = format!("{line} --model several.onnx --like cat.png");
    desk.say(&format!("{like} --out same")).ok();
    assert!((score("same") - 1.0).abs() < 1e-5);
    let flat: ArrayD<f32> = attribution(&desk, "same").into_dyn();
    assert!(flat.iter().all(|v| v.abs() < 1e-4), "{flat}");
    let of = format!("{like} --image coffee.png --embedding mean --out of");
    desk.say(&of.replace("--image cat.png", "")).ok();
    assert!(score("of") < 1.0);
    let facts = desk.report("of")["images"][0]["target"].clone();
    assert_eq!(facts["kind"], "similarity");
    assert_eq!(facts["name"], "likeness to cat.png, the cosine of mean");
}

#[test]
fn what_is_no_target_of_the_network_is_refused_with_what_is() {
    let desk = desk();
    for (flags, code, says) in [
        ("--model map.onnx", 1, "@box"),
        ("--model map.onnx --target 2@predicted", 1, "only 0 to 1"),
        ("--model map.onnx --target 0@box:0,0,5,4", 1, "0,0,4,4"),
        ("--model map.onnx --target scores[0,3]", 1, "3 indices"),
        ("--model map.onnx --target scroes[0,3,1]", 1, "scores"),
        (
            "--model map.onnx --target 0@nowhere.png",
            2,
            "no file nowhere.png",
        ),
        (
            "--model map.onnx --target 0@detected:0,0,2,2",
            1,
            "[N, F, A]",
        ),
        ("--model yes.onnx --target 0@predicted", 1, "[N, K, H, W]"),
        ("--model yes.onnx --like nowhere.png", 1, "nowhere.png"),
        ("--model yes.onnx --like cat.png --target 0", 2, "--target"),
        ("--model yes.onnx --embedding z", 2, "--like"),
        (
            "--model map.onnx --target 0@detected:0,0,2,2 --boxes xywh",
            2,
            "cxcywh",
        ),
    ] {
        let line = format!("attribute --image cat.png --method gradient --out no {flags}");
        let said = desk.say(&line).refused(code);
        assert!(said.contains(says), "{flags}: {said}");
    }
    let help = desk.say("attribute --help").ok().out;
    for spelling in [
        "NAME[I,J,...]",
        "A@box:XMIN",
        "A@mask.png",
        "A@predicted",
        "A@at:ROW",
        "none:A",
    ] {
        assert!(help.contains(spelling), "{spelling}");
    }
}

#[test]
fn channels_and_groups_take_regions_too() {
    let desk = desk();
    let line = format!("--model map.onnx --image cat.png {PLAIN}");
    desk.say(&format!(
        "channels {line} --layer scores --target 1@box:0,0,2,2 --no-icons --out channels"
    ))
    .ok();
    let values: ndarray::Array1<f32> =
        ndarray_npy::read_npy(desk.path("channels/channels.npy")).unwrap();
    assert_eq!(values[0], 0.0);
    assert_ne!(values[1], 0.0);
    let groups =
        "--layer scores --reducer pca --groups 1 --no-icons --targets 1@box:0,0,2,2,scores[0,1,1]";
    desk.say(&format!("groups {line} {groups} --out groups"))
        .ok();
    assert_eq!(
        desk.report("groups")["targets"].as_array().unwrap().len(),
        2
    );
}

/// Where the pack of situations is, all of ours pass.
#[test]
fn the_situations_about_targets_pass() {
    crate::common::situations(&[
        "one-sigmoid",
        "several-labels",
        "pixels",
        "pixels-argmax",
        "boxes",
        "boxes-finished",
        "embedding",
    ]);
}
