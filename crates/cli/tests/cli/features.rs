//! `elucid visualize`: what it makes and refuses, and what `elucid spritemap` does.

use std::fs;

use crate::common::{Desk, Ended};
use elucid::render::Picture;
use ndarray::{Array1, Array2};
use serde_json::{Value, json};

/// Few steps of a layer close to the input, at a size that takes little time.
const QUICK: &str = "--size 32 --steps 4";

fn visualize(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!("visualize {QUICK} {arguments}"))
}

fn png(desk: &Desk, file: &str) -> Picture {
    let image = elucid::vision::input::open_image(desk.path(file)).unwrap();
    Picture::from_image(image.to_rgb8()).unwrap()
}

#[test]
fn channels_become_pictures_a_sheet_and_a_report() {
    let desk = Desk::squeezenet();
    let ended = visualize(
        &desk,
        "--layer fire2 --channel 7,0-1,1,100 --seed 5 --batch-size 3 --out new/out",
    )
    .ok();
    assert!(
        ended.out.contains("new/out/contact_sheet.png\n"),
        "{}",
        ended.out
    );
    let names = ["channel_7", "channel_0", "channel_1", "channel_100"].map(|n| format!("{n}.png"));
    let report = desk.json("new/out/report.json");
    assert_eq!(report["layer"]["name"], "fire2/concat");
    assert_eq!(
        (&report["height"], &report["width"]),
        (&json!(32), &json!(32))
    );
    assert_eq!(report["steps"], 4);
    assert_eq!(report["param"], "fft");
    assert_eq!(report["transforms"], "default");
    assert_eq!(report["network_size"], Value::Null);
    let pictures = report["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), names.len());
    let values: Array2<f32> = ndarray_npy::read_npy(desk.path("new/out/values.npy")).unwrap();
    assert_eq!(values.dim(), (4, 4));
    for ((picture, name), values) in pictures.iter().zip(&names).zip(values.outer_iter()) {
        assert_eq!(picture["file"], *name);
        let channel = picture["channel"].as_u64().unwrap();
        assert_eq!(picture["seed"], 5 + channel);
        assert_eq!(picture["last_value"].as_f64().unwrap() as f32, values[3]);
    }
    let mut listed: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
    listed.sort();
    assert_eq!(desk.listing("new/out"), listed);
    assert_eq!(desk.listing("new"), ["out"]);

    // Two columns, below a title, with two lines of words for each.
    let sheet = png(&desk, "new/out/contact_sheet.png");
    let (down, across) = (32 + 40 + 8, 120 + 8);
    assert_eq!(sheet.height(), 32 + 2 * down);
    assert!(sheet.width() >= 8 + 2 * across, "{}", sheet.width());
    for (i, name) in names.iter().enumerate() {
        let (top, left) = (32 + (i / 2) * down, 8 + (i % 2) * across);
        let picture = png(&desk, &format!("new/out/{name}"));
        for (y, x) in [(0, 0), (13, 20), (31, 31)] {
            assert_eq!(
                sheet.pixel(top + y, left + x),
                picture.pixel(y, x),
                "{name}"
            );
        }
    }

    // A picture is the same whichever others it is made with.
    visualize(
        &desk,
        "--layer fire2/concat --channel 100 --seed 5 --out one --quiet",
    )
    .ok();
    assert_eq!(
        png(&desk, "one/channel_100.png"),
        png(&desk, "new/out/channel_100.png")
    );
    visualize(&desk, "--layer fire2 --channel 0 --out one").refused_with(1, &["--force"]);
    visualize(&desk, "--layer fire2 --channel 0 --out one --force").ok();
    assert_eq!(
        desk.listing("one"),
        [
            "channel_0.png",
            "contact_sheet.png",
            "report.json",
            "values.npy"
        ]
    );
}

#[test]
fn directions_come_from_files() {
    let desk = Desk::squeezenet();
    let channels = 64;
    // The first is along a channel.
    let mut directions = Array2::<f32>::zeros((2, channels));
    directions[[0, 3]] = 1.0;
    directions.row_mut(1).fill(0.5);
    let write = |name: &str, array: &Array2<f32>| {
        ndarray_npy::write_npy(desk.path(name), array).unwrap();
    };
    write("two.npy", &directions);
    ndarray_npy::write_npy(desk.path("double.npy"), &directions.mapv(f64::from)).unwrap();
    // As numpy writes an array that was turned.
    write(
        "turned.npy",
        &directions
            .t()
            .as_standard_layout()
            .reversed_axes()
            .to_owned(),
    );
    ndarray_npy::write_npy(desk.path("one.npy"), &directions.row(0)).unwrap();
    let first = |file: &str| {
        let out = format!("out_{file}");
        visualize(
            &desk,
            &format!("--layer pool1 --direction {file} --out {out}"),
        )
        .ok();
        png(&desk, &format!("{out}/direction_0.png"))
    };
    let expected = first("two.npy");
    assert!(desk.path("out_two.npy/direction_1.png").exists());
    for file in ["double.npy", "turned.npy", "one.npy"] {
        assert_eq!(first(file), expected, "{file}");
    }
    assert!(!desk.path("out_one.npy/direction_1.png").exists());

    let refused = |file: &str, part: &str| {
        let before = desk.listing(".");
        visualize(
            &desk,
            &format!("--layer pool1 --direction {file} --out none"),
        )
        .refused_with(1, &[part]);
        assert_eq!(desk.listing("."), before);
    };
    ndarray_npy::write_npy(desk.path("short.npy"), &Array1::<f32>::ones(63)).unwrap();
    refused("short.npy", "[63], expected [64] or [n, 64]");
    write("none.npy", &Array2::zeros((0, 64)));
    refused("none.npy", "[0, 64]");
    write("zero.npy", &Array2::zeros((2, 64)));
    refused("zero.npy", "direction 0 of zero.npy is zero");
    directions[[1, 5]] = f32::NAN;
    write("nan.npy", &directions);
    refused("nan.npy", "NaN at 1, 5");
    ndarray_npy::write_npy(desk.path("whole.npy"), &Array1::<i64>::ones(64)).unwrap();
    refused("whole.npy", "floating-point");
    fs::write(
        desk.path("cut.npy"),
        &fs::read(desk.path("two.npy")).unwrap()[..300],
    )
    .unwrap();
    refused("cut.npy", "cut.npy is not");
    refused("cat.png", "cat.png is not");
    refused("absent.npy", "absent.npy");
}

#[test]
fn classes_and_every_parametrisation() {
    let desk = Desk::squeezenet();
    let classes = "--class tabby,espresso --steps 2 --size 40x56 --transforms none";
    desk.say(&format!("visualize {classes} --out classes")).ok();
    let report = desk.json("classes/report.json");
    assert_eq!(report["pictures"][1]["class"]["label"], "espresso");
    assert_eq!(report["pictures"][1]["file"], "class_967_espresso.png");
    let picture = png(&desk, "classes/class_967_espresso.png");
    assert_eq!((picture.height(), picture.width()), (40, 56));

    let mut seen: Vec<Picture> = Vec::new();
    for param in ["fft", "pixel", "pyramid", "cppn", "maco"] {
        visualize(
            &desk,
            &format!("--layer pool1 --channel 0 --param {param} --out {param}"),
        )
        .ok();
        let report = desk.json(format!("{param}/report.json"));
        let rate = report["learning_rate"].as_f64().unwrap() as f32;
        let usual = match param {
            "cppn" => 0.005,
            "maco" => 0.3,
            _ => 0.05,
        };
        assert_eq!(rate, usual, "{param}");
        let picture = png(&desk, &format!("{param}/channel_0.png"));
        assert!(!seen.contains(&picture), "{param}");
        seen.push(picture);
    }
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let desk = Desk::squeezenet();
    let before = desk.listing(".");
    let run = |line: &str, code: i32, parts: &[&str]| {
        let message = desk.say(&format!("{line} --out deep/out")).refused(code);
        for part in parts {
            assert!(message.contains(part), "no {part} in {message}");
        }
        assert_eq!(desk.listing("."), before, "{line}");
    };
    let visualize = |arguments: &str, code: i32, parts: &[&str]| {
        run(&format!("visualize {arguments}"), code, parts);
    };
    visualize("--layer fire2/conca --channel 0", 1, &["fire2/concat"]);
    visualize(
        "--layer fire2 --channel 5,120-128",
        1,
        &["no channel 128", "0 to 127"],
    );
    for channels in ["a", "3-1", "1,", "1-2-3", "99999999999999999999"] {
        visualize(
            &format!("--layer fire2 --channel {channels}"),
            2,
            &["3,8-15"],
        );
    }
    visualize(
        "--layer fire2 --channel 0-18446744073709551615",
        1,
        &["0 to 127"],
    );
    visualize("--layer fire2", 2, &["--channel", "--direction", "--class"]);
    visualize("--layer fire2 --class 1", 2, &["--class"]);
    visualize(
        "--layer fire2 --channel 1 --direction x.npy",
        2,
        &["--direction"],
    );
    visualize("--channel 1", 2, &["--layer"]);
    visualize("--class espreso", 1, &["espresso"]);
    visualize("--class 1000", 1, &["0 to 999"]);
    visualize("--class 967,espresso", 2, &["twice"]);
    visualize("--class ,", 1, &[]);
    let one = "--layer fire2 --channel 0";
    for (arguments, part) in [
        ("--size 0", "1 to 4096"),
        ("--size 5000", "1 to 4096"),
        ("--size big", "HEIGHTxWIDTH"),
        ("--steps 0", "--steps"),
        ("--steps -1", "-1"),
        ("--batch-size 0", "--batch-size"),
        ("--seed x", "--seed"),
        ("--learning-rate 0", "above 0"),
        ("--learning-rate NaN", "above 0"),
        ("--param fourier", "fft"),
        ("--transforms lucid", "none"),
    ] {
        visualize(&format!("{one} {arguments}"), 2, &[part]);
        if arguments != "--size big" {
            run(&format!("spritemap --layer fire2 {arguments}"), 2, &[part]);
        }
    }
    visualize(
        "--layer fire2 --channel 0-127 --size 4096",
        1,
        &["GiB", "spritemap"],
    );

    let spritemap = |arguments: &str, code: i32, parts: &[&str]| {
        run(&format!("spritemap {arguments}"), code, parts);
    };
    spritemap("", 2, &["--layer"]);
    spritemap("--layer fire2/conca", 1, &["fire2/concat"]);
    spritemap("--layer fire2 --channels 128", 1, &["no channel 128"]);
    spritemap("--layer fire2 --size 32x48", 2, &["1 to 4096 pixels"]);
    spritemap("--layer fire9 --size 4096", 1, &["too large"]);
    for shard in ["0/3", "4/3", "1", "a/b"] {
        spritemap(&format!("--layer fire2 --shard {shard}"), 2, &["K/N"]);
    }
    spritemap(
        "--layer fire2 --channels 0-3 --shard 5/5",
        2,
        &["holds none of 4 channels"],
    );
    spritemap("--layer fire2 --model absent.onnx", 1, &["absent.onnx"]);
    spritemap("merge", 2, &["SHARD_DIR"]);
    spritemap("merge absent", 1, &["absent/settings.json"]);
    // Not in a place that is taken.
    desk.say("visualize --layer fire2 --channel 0 --out cat.png")
        .refused_with(1, &["cat.png is not a folder"]);
    desk.say("spritemap --layer fire2 --out cat.png")
        .refused_with(1, &["cat.png"]);
    assert_eq!(desk.listing("."), before);
}
