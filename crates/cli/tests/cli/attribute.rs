//! `elucid attribute` and `elucid methods`: what they leave behind, say and refuse.

use std::fs;

use crate::commands::TRANSFORMER;
use crate::common::{Desk, Ended};
use elucid::attribution::{METHODS, MethodOptions};
use ndarray::{Array2, Array3, ArrayD, Axis};
use serde_json::{Value, json};

const FILES: [&str; 5] = [
    "attribution.npy",
    "heatmap.png",
    "overlay.png",
    "report.json",
    "saliency.npy",
];

fn attribute(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!("attribute {arguments}"))
}

fn report(desk: &Desk, folder: &str) -> Value {
    let text = fs::read_to_string(desk.path(folder).join("report.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn map(desk: &Desk, folder: &str) -> Array2<f32> {
    ndarray_npy::read_npy(desk.path(folder).join("saliency.npy")).unwrap()
}

fn png(desk: &Desk, file: &str) -> Vec<u8> {
    let png = fs::read(desk.path(file)).unwrap();
    assert!(png.starts_with(b"\x89PNG"), "{file}");
    png
}

#[test]
fn one_result_lies_in_the_folder_itself() {
    let desk = Desk::squeezenet();
    let ended = attribute(
        &desk,
        "--image cat.png --method linear-approximation --layer fire9 --target 285 --out new/out",
    )
    .ok();
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    for part in [
        "linear-approximation",
        "fire9/concat",
        "score 29.03",
        "1 evaluation",
        "new/out",
    ] {
        assert!(ended.out.contains(part), "no {part} in {}", ended.out);
    }
    assert_eq!(desk.listing("new/out"), FILES);
    assert_eq!(desk.listing("new"), ["out"]);

    let values: Array3<f32> = ndarray_npy::read_npy(desk.path("new/out/attribution.npy")).unwrap();
    assert_eq!(values.shape(), [512, 13, 13]);
    assert!(values.iter().all(|v| v.is_finite()) && values.iter().any(|v| *v != 0.0));
    // Its reduction is the signed sum over channels.
    let sum = values.sum_axis(Axis(0));
    for (sum, v) in sum.iter().zip(&map(&desk, "new/out")) {
        assert!((sum - v).abs() < 1e-4, "{sum} {v}");
    }
    png(&desk, "new/out/heatmap.png");
    png(&desk, "new/out/overlay.png");

    let report = report(&desk, "new/out");
    assert_eq!(report["command"], "attribute");
    assert_eq!(report["versions"]["elucid"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["model"]["name"], "squeezenet1_1");
    assert_eq!(report["input"]["channel_order"], "bgr");
    let image = &report["images"][0];
    assert_eq!(image["file"], "cat.png");
    assert_eq!(image["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(image["predictions"].as_array().unwrap().len(), 5);
    assert_eq!(image["target"]["kind"], "logit");
    assert_eq!(image["target"]["classes"][0]["label"], "Egyptian cat");
    let result = &report["results"][0];
    assert_eq!(result["method"], "linear-approximation");
    assert_eq!(
        result["layer"],
        json!({ "name": "fire9/concat", "shape": [1, 512, 13, 13], "layout": "channels first" })
    );
    assert_eq!(result["rules"], "true");
    assert_eq!(result["options"], json!({}));
    assert_eq!(result["evaluations"], 1);
    assert_eq!(result["completeness"], Value::Null);
    assert_eq!(result["map"]["reduction"], "sum");
    assert_eq!(result["map"]["blank"], false);
    let logit = image["predictions"][0]["logit"].as_f64().unwrap();
    assert!((result["score"].as_f64().unwrap() - logit).abs() < 1e-4 * logit);
    assert_eq!(report["failures"], json!([]));
    let mut listed: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
    listed.sort();
    assert_eq!(listed, FILES);
    let seconds = report["seconds"].as_array().unwrap();
    assert!(
        seconds
            .iter()
            .any(|s| s["step"] == "linear-approximation at fire9")
    );
}

/// A report states what ran: presets, and options that exclude each other, are resolved.
#[test]
fn reports_state_what_ran() {
    let desk = Desk::squeezenet();
    let options = |method: &str, flags: &str, out: &str| {
        let line = format!("--image cat.png --method {method} {flags} --out {out}");
        attribute(&desk, &line).ok();
        report(&desk, out)["results"][0]["options"].clone()
    };
    // The preset's own probability and cells, and the masks that were asked for.
    let rise = options("rise", "--preset notebook --masks 3", "rise");
    assert_eq!(
        rise,
        json!({
            "baseline": "zero", "cells": "8", "divisor": "kept", "keep": "0.1", "masks": "3",
            "score": "probability", "stretch": "paper",
        })
    );
    let adaptive = "--tolerance 0.5 --max-evaluations 40";
    let adaptive = options("integrated-gradients", adaptive, "adaptive");
    assert_eq!(
        adaptive,
        json!({
            "baseline": "zero", "max-evaluations": "40", "quadrature": "adaptive",
            "start": "baseline", "tolerance": "0.5",
        })
    );
    let fixed = options(
        "integrated-gradients",
        "--steps 2 --start zero --layer fire9",
        "fixed",
    );
    assert_eq!(
        fixed,
        json!({ "quadrature": "gauss-legendre", "start": "zero", "steps": "2" })
    );
}

#[test]
fn several_results_make_folders_and_a_page() {
    let desk = Desk::squeezenet();
    let ended = attribute(
        &desk,
        "--image cat.png --image coffee.png --method gradient,linear-approximation \
         --layer @features,fire8 --out out",
    )
    .ok();
    assert_eq!(ended.out.lines().count(), 9, "{}", ended.out);
    assert!(
        ended.out.trim_end().ends_with("out/index.html"),
        "{}",
        ended.out
    );
    let mut folders: Vec<String> = Vec::new();
    for method in ["gradient", "linear-approximation"] {
        for layer in ["features", "fire8"] {
            for image in ["cat", "coffee"] {
                folders.push(format!("{method}_{layer}_{image}"));
            }
        }
    }
    let mut expected = folders.clone();
    expected.extend(["index.html", "report.json"].map(str::to_owned));
    expected.sort();
    assert_eq!(desk.listing("out"), expected);
    for folder in &folders {
        assert_eq!(
            desk.listing(&format!("out/{folder}")),
            [
                "attribution.npy",
                "heatmap.png",
                "overlay.png",
                "saliency.npy"
            ]
        );
    }
    let report = report(&desk, "out");
    let results = report["results"].as_array().unwrap();
    let named: Vec<&str> = results
        .iter()
        .map(|r| r["folder"].as_str().unwrap())
        .collect();
    for folder in &folders {
        assert!(named.contains(&folder.as_str()), "{named:?}");
    }
    // Each photograph is explained by its own best guess.
    let label = |i: usize| &report["images"][i]["target"]["classes"][0]["label"];
    assert_eq!(label(0), "Egyptian cat");
    assert_eq!(label(1), "espresso");
    for file in report["files"].as_array().unwrap() {
        assert!(desk.path("out").join(file.as_str().unwrap()).is_file());
    }
    // Two photographs and eight results.
    let page = fs::read_to_string(desk.path("out/index.html")).unwrap();
    assert_eq!(page.matches("data:image/png;base64,").count(), 10);
    for text in ["cat.png", "coffee.png", "Gradient", "fire8", "Egyptian cat"] {
        assert!(page.contains(text), "no {text}");
    }

    // A batch gives what its photographs give one by one.
    attribute(
        &desk,
        "--image coffee.png --method gradient --layer fire8 --out alone --quiet",
    )
    .ok();
    let (alone, together) = (map(&desk, "alone"), map(&desk, "out/gradient_fire8_coffee"));
    let largest = alone.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    for (a, b) in alone.iter().zip(&together) {
        assert!((a - b).abs() <= 1e-5 * largest, "{a} {b}");
    }
}

#[test]
fn a_layer_by_two_names_is_explained_once() {
    let desk = Desk::squeezenet();
    attribute(
        &desk,
        "--image cat.png --method gradient,gradient --layer fire9,fire9/concat --out out",
    )
    .ok();
    assert_eq!(desk.listing("out"), FILES);
}

#[test]
fn targets_are_what_they_say() {
    let desk = Desk::squeezenet();
    let score = |target: &str, out: &str| {
        attribute(
            &desk,
            &format!("--image both.png --method gradient --layer fire9 --out {out} {target}"),
        )
        .ok();
        let report = report(&desk, out);
        let kind = report["images"][0]["target"]["kind"]
            .as_str()
            .unwrap()
            .to_owned();
        (kind, report["results"][0]["score"].as_f64().unwrap())
    };
    let guesses = desk.say("classify both.png --json --top 1000").json();
    let guesses = guesses["images"][0]["guesses"].as_array().unwrap().clone();
    let of = |index: u64, field: &str| {
        let guess = guesses.iter().find(|g| g["index"] == index).unwrap();
        guess[field].as_f64().unwrap()
    };
    let best = guesses[0]["index"].as_u64().unwrap();
    let total: f64 = (guesses.iter())
        .map(|g| g["logit"].as_f64().unwrap().exp())
        .sum();
    for (i, (flags, kind, expected)) in [
        ("", "logit", of(best, "logit")),
        ("--target 285", "logit", of(285, "logit")),
        (
            "--target 285 --probability",
            "probability",
            of(285, "probability"),
        ),
        ("--probability", "probability", of(best, "probability")),
        (
            "--target espresso:285",
            "difference",
            of(967, "logit") - of(285, "logit"),
        ),
        ("--target none:285", "difference", -of(285, "logit")),
        (
            "--target espresso:logsumexp",
            "difference",
            of(967, "logit") - total.ln(),
        ),
        ("--target LogSumExp", "logsumexp", total.ln()),
    ]
    .into_iter()
    .enumerate()
    {
        let (found, score) = score(flags, &format!("out{i}"));
        assert_eq!(found, kind, "{flags}");
        assert!(
            (score - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{flags}: {score}"
        );
    }
}

#[test]
fn maps_are_reduced_and_smoothed_as_asked() {
    let desk = Desk::squeezenet();
    let run = |flags: &str, out: &str| {
        attribute(
            &desk,
            &format!("--image cat.png --method gradient --layer fire8 {flags} --out {out} --quiet"),
        )
        .ok();
    };
    run("", "usual");
    run("--reduce l2", "l2");
    run("--smooth 0.02", "smooth");
    run("--rules guided", "guided");
    let values: Array3<f32> = ndarray_npy::read_npy(desk.path("l2/attribution.npy")).unwrap();
    let norm = values.mapv(|v| v * v).sum_axis(Axis(0)).mapv(f32::sqrt);
    for (norm, v) in norm.iter().zip(&map(&desk, "l2")) {
        assert!((norm - v).abs() <= 1e-5 * norm, "{norm} {v}");
    }
    assert_eq!(
        map(&desk, "usual"),
        map(&desk, "smooth"),
        "before smoothing"
    );
    let smoothed: Array2<f32> = ndarray_npy::read_npy(desk.path("smooth/smoothed.npy")).unwrap();
    assert_eq!(smoothed.shape(), [224, 224]);
    assert_ne!(
        png(&desk, "usual/heatmap.png"),
        png(&desk, "smooth/heatmap.png")
    );
    assert_ne!(map(&desk, "usual"), map(&desk, "guided"));
    assert_eq!(report(&desk, "guided")["results"][0]["rules"], "guided");
    assert_eq!(report(&desk, "l2")["results"][0]["map"]["reduction"], "l2");
}

/// Several layers make one map of each method, on the finest of their grids.
#[test]
fn layers_are_fused() {
    let desk = Desk::squeezenet();
    let run = |flags: &str, out: &str| {
        let line = format!("--image cat.png --method grad-cam {flags} --out {out}");
        attribute(&desk, &line).ok()
    };
    for layer in ["fire9", "fire5"] {
        run(&format!("--layer {layer}"), layer);
    }
    let said = run("--layer fire9,fire5/concat,fire5 --fuse product", "product");
    assert_eq!(desk.listing("product"), FILES, "{}", said.out);
    let facts = &report(&desk, "product")["results"][0];
    assert_eq!(facts["layer"]["name"], "fire5/concat");
    assert_eq!(
        facts["options"],
        json!({ "fuse": "product", "layers": "fire9/concat,fire5/concat" })
    );
    let (deep, shallow, fused) = (
        map(&desk, "fire9"),
        map(&desk, "fire5"),
        map(&desk, "product"),
    );
    assert_eq!(fused.dim(), shallow.dim());
    let largest = |map: &Array2<f32>| map.iter().copied().fold(0.0, f32::max);
    let maps = Array3::from_shape_vec((1, 13, 13), deep.iter().copied().collect()).unwrap();
    let (h, w) = shallow.dim();
    let large = elucid::prelude::Saliency::new(maps, [h, w]).upsampled();
    let large = large.maps().index_axis(Axis(0), 0).to_owned();
    let want = &large * &shallow / (largest(&deep) * largest(&shallow));
    for (got, want) in fused.iter().zip(&want) {
        assert!((got - want).abs() < 1e-4 * largest(&fused), "{got} {want}");
    }

    // Each method has one map; those that take no layers stay as they are.
    let line = "--image cat.png --method grad-cam,layer-cam,gradient --layer fire9,fire5 --fuse mean --out all";
    attribute(&desk, line).ok();
    let facts = report(&desk, "all");
    let results = facts["results"].as_array().unwrap();
    let named: Vec<_> = results
        .iter()
        .map(|r| r["method"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["grad-cam", "layer-cam", "gradient"]);
    let refused = |flags: &str| {
        let line = format!("--image cat.png --method grad-cam {flags} --out refused");
        attribute(&desk, &line).refused(2)
    };
    assert!(refused("--layer fire9 --fuse mean").contains("two layers or more"));
    assert!(refused("--layer fire9,fire5 --fuse sum").contains("mean or product"));
}

/// Views of a photograph are averaged, and the report says so.
#[test]
fn views_are_averaged() {
    let desk = Desk::squeezenet();
    let run = |flags: &str, out: &str| {
        let line = format!("--image cat.png --method grad-cam --target 285 {flags} --out {out}");
        attribute(&desk, &line).ok();
        report(&desk, out)["results"][0].clone()
    };
    let plain = run("", "plain");
    let flipped = run("--tta flip", "flipped");
    let all = run("--tta flip,scale,intensity", "all");
    for (facts, views, evaluations) in [(&flipped, "flip", 2), (&all, "flip,scale,intensity", 18)] {
        assert_eq!(facts["options"]["tta"], views);
        assert_eq!(facts["evaluations"], evaluations);
        assert_eq!(facts["score"], plain["score"]);
        assert_eq!(facts["map"]["reduction"], "positive");
    }
    assert_ne!(map(&desk, "plain"), map(&desk, "flipped"));
    assert_eq!(map(&desk, "all").dim(), map(&desk, "plain").dim());
    let line =
        "--image cat.png --method grad-cam --target 285@box:0,0,2,2 --tta flip --out refused";
    attribute(&desk, line).refused(1);
    let line = "--image cat.png --method grad-cam --tta turn --out refused";
    assert!(
        attribute(&desk, line)
            .refused(2)
            .contains("flip, scale or intensity")
    );
}

#[test]
fn a_layer_without_positions_gives_an_array_and_no_pictures() {
    let desk = Desk::squeezenet();
    let ended = attribute(
        &desk,
        "--image cat.png --method gradient --layer @logits --target 285 --out out",
    )
    .ok();
    assert!(ended.err.contains("no positions"), "{}", ended.err);
    assert_eq!(desk.listing("out"), ["attribution.npy", "report.json"]);
    let values: ArrayD<f32> = ndarray_npy::read_npy(desk.path("out/attribution.npy")).unwrap();
    assert_eq!(values.shape(), [1000]);
    assert_eq!((values[[285]], values.sum()), (1.0, 1.0));
    assert_eq!(report(&desk, "out")["results"][0]["map"], Value::Null);
}

/// The difference of a class with itself has no evidence anywhere.
#[test]
fn a_blank_map_is_said_and_drawn_blank() {
    let desk = Desk::squeezenet();
    let ended = attribute(
        &desk,
        "--image cat.png --method gradient,linear-approximation --target 285:285 --out out",
    )
    .ok();
    let notes = ended.err.matches("no positive evidence: the map is blank");
    assert_eq!(notes.count(), 2, "{}", ended.err);
    let report = report(&desk, "out");
    for result in report["results"].as_array().unwrap() {
        assert_eq!(result["map"]["blank"], true);
        assert_eq!(result["score"], 0.0);
    }
    let blank = png(&desk, "out/gradient/heatmap.png");
    assert!(
        blank.len() < 2000,
        "one colour packs well: {} bytes",
        blank.len()
    );
    let page = fs::read_to_string(desk.path("out/index.html")).unwrap();
    assert_eq!(page.matches("no positive evidence").count(), 2);
}

#[test]
fn what_cannot_be_explained_does_not_keep_back_the_rest() {
    let desk = Desk::squeezenet();
    // Nothing flows from the softmax back to the logits.
    let ended = attribute(
        &desk,
        "--image cat.png --method gradient --layer fire9,prob --out out",
    )
    .ok();
    assert!(
        ended.err.contains("gradient at prob failed: "),
        "{}",
        ended.err
    );
    assert_eq!(
        desk.listing("out"),
        ["gradient_fire9", "index.html", "report.json"]
    );
    let failures = &report(&desk, "out")["failures"];
    assert_eq!(failures[0]["layer"], "prob");
    let message = failures[0]["error"].as_str().unwrap();
    assert!(message.contains("has no gradient"), "{message}");
    let page = fs::read_to_string(desk.path("out/index.html")).unwrap();
    assert!(page.contains("class=\"absent\""));

    let before = desk.listing(".");
    for methods in ["gradient", "gradient,linear-approximation"] {
        let message = attribute(
            &desk,
            &format!("--image cat.png --method {methods} --layer prob --out none"),
        )
        .refused(1);
        assert!(message.contains("has no gradient"), "{message}");
    }
    assert_eq!(desk.listing("."), before);
}

#[test]
fn results_are_not_overwritten_unless_forced() {
    let desk = Desk::squeezenet();
    let both = "--image cat.png --method gradient,linear-approximation --layer fire9 --out out";
    let one = "--image cat.png --method gradient --layer fire9 --out out";
    attribute(&desk, both).ok();
    fs::write(desk.path("out/gradient_fire9/notes.txt"), "mine").unwrap();
    let before = desk.listing("out");
    let message = attribute(&desk, one).refused(1);
    assert!(message.contains("--force"), "{message}");
    assert_eq!(desk.listing("out"), before);

    attribute(&desk, &format!("{one} --force")).ok();
    let mut expected: Vec<&str> = FILES.to_vec();
    expected.push("gradient_fire9");
    expected.sort_unstable();
    assert_eq!(desk.listing("out"), expected);
    assert_eq!(desk.listing("out/gradient_fire9"), ["notes.txt"]);
}

#[test]
fn a_refusal_leaves_no_folder() {
    let desk = Desk::squeezenet();
    fs::create_dir(desk.path("nothing")).unwrap();
    let before = desk.listing(".");
    let run = |arguments: &str, code: i32| {
        attribute(&desk, &format!("{arguments} --out out")).refused(code)
    };
    let one = "--image cat.png --method gradient";
    for (flags, code) in [
        ("--batch-size 0", 2),
        ("--seed x", 2),
        ("--smooth -1", 2),
        ("--smooth nan", 2),
        ("--reduce maximum", 2),
        ("--rules foggy", 2),
        ("--target ,:", 2),
        ("--target a:b --probability", 2),
        ("--target logsumexp --probability", 2),
        ("--no-such-option 3", 2),
        ("--target 1000", 1),
        ("--target 285:1000", 1),
        ("--layer nothing", 1),
        ("--device wgpu:99", 1),
        ("--model absent.onnx", 1),
    ] {
        run(&format!("{one} {flags}"), code);
    }
    run("--image absent.png --method gradient", 1);
    run("--image nothing --method gradient", 1);
    run("--method gradient", 2);
    run("--image cat.png", 2);
    run("--image cat.png --method ,", 2);
    attribute(&desk, &format!("{one} --out cat.png")).refused(1);
    assert_eq!(desk.listing("."), before);

    let nearest = [
        ("--image cat.png --method gradeint", 2, "gradient"),
        (
            "--image cat.png --method gradient --layer fire8/conca",
            1,
            "fire8/concat",
        ),
        (
            "--image cat.png --method gradient --target espreso",
            1,
            "espresso",
        ),
        (
            "--image cat.png --method gradient --rules smoth",
            2,
            "smooth",
        ),
        ("--image cat.png --method gradient --reduce summ", 2, "sum"),
    ];
    for (arguments, code, name) in nearest {
        let message = run(arguments, code);
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn options_go_to_the_methods_that_take_them() {
    let desk = Desk::squeezenet();
    for method in METHODS {
        for option in method.all_options() {
            for other in METHODS.iter().filter(|m| !m.takes(option.name)) {
                let line = format!(
                    "--image cat.png --method {} --{} 1 --out out",
                    other.name, option.name
                );
                let message = attribute(&desk, &line).refused(2);
                assert!(
                    message.contains(method.name) && message.contains(option.name),
                    "{message}"
                );
            }
        }
    }
    let asked = |takes: fn(&elucid::attribution::Method) -> bool, flag: &str| {
        for method in METHODS.iter().filter(|m| !takes(m)) {
            let line = format!("--image cat.png --method {} {flag} --out out", method.name);
            let message = attribute(&desk, &line).refused(2);
            assert!(message.contains("it is for"), "{message}");
        }
    };
    asked(|m| m.place.takes_layer(), "--layer fire9");
    asked(|m| m.takes_rules, "--rules guided");
}

#[test]
fn every_method_is_listed() {
    let desk = Desk::squeezenet();
    let text = desk.say("methods").ok().out;
    let all = desk.say("methods --json").json();
    assert_eq!(all.as_array().unwrap().len(), METHODS.len());
    for (method, facts) in METHODS.iter().zip(all.as_array().unwrap()) {
        assert!(
            text.lines()
                .any(|l| l.split_whitespace().next() == Some(method.name))
        );
        assert_eq!(facts["name"], method.name);
        assert_eq!(facts["title"], method.title);
        assert_eq!(facts["reference"], method.reference);
        assert_eq!(facts["takes_rules"], method.takes_rules);
        assert_eq!(facts["takes_seed"], method.random);
        let one = desk.say(&format!("methods {} --json", method.name)).json();
        assert_eq!(&one, facts);
        let text = desk.say(&format!("methods {}", method.name)).ok().out;
        for part in [method.title, method.reference] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let usual = method.build(&MethodOptions::new()).unwrap();
        let usual = usual.configuration([224, 224]);
        assert_eq!(facts["presets"], json!(method.presets));
        for (i, option) in method.all_options().enumerate() {
            let listed = &facts["options"][i];
            assert_eq!(listed["name"], option.name);
            let default = match option.name {
                "preset" => Some(method.presets[0]),
                name => usual.get(name),
            };
            assert_eq!(listed["default"], json!(default), "{}", option.name);
            assert_eq!(listed["help"], option.help);
            assert!(!listed["values"].as_str().unwrap().is_empty());
            assert!(text.contains(&format!("--{}", option.name)), "{text}");
        }
    }
    // By the names of other programs.
    let found = desk.say("methods InputXGradient --json").json();
    assert_eq!(found["name"], "linear-approximation");
    let found = desk.say("methods InputXGradient").ok().out;
    assert!(found.contains("input-x-gradient, "), "{found}");
    let message = desk.say("methods gradeint").refused(2);
    assert!(message.contains("did you mean gradient"), "{message}");
}

/// Runs a command line that begins with the embedded network, and sends a signal while it works. Gives what
/// it said.
#[cfg(unix)]
fn interrupted(desk: &Desk, line: &str, (signal, code): (&str, i32)) -> String {
    use std::process::Command;
    use std::time::{Duration, Instant};

    let mut child = desk
        .command(line.split(' '))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The first remark is that the model is open; the signal is heard from then on.
    let mut remarks = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut remark = String::new();
    std::io::BufRead::read_line(&mut remarks, &mut remark).unwrap();
    assert!(remark.contains("squeezenet1_1"), "{remark}");
    std::thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let said = std::io::read_to_string(remarks).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(code), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    said
}

/// A method that has nothing before its end leaves nothing.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_only_method() {
    let desk = Desk::squeezenet();
    let before = desk.listing(".");
    let line = "attribute --image cat.png --method guided-ig --steps 100000 --out out";
    let said = interrupted(&desk, line, ("-INT", 130));
    assert!(said.contains("ended by Ctrl-C"), "{said}");
    assert!(!said.contains("error"), "{said}");
    assert_eq!(desk.listing("."), before);
}

/// The first Ctrl-C ends the sampling, and what there is is written.
#[cfg(unix)]
#[test]
fn what_ctrl_c_leaves_is_kept() {
    let desk = Desk::squeezenet();
    let said = interrupted(
        &desk,
        "attribute --image cat.png --method rise,gradient --masks 100000 --out out",
        ("-INT", 130),
    );
    assert!(said.contains("of 100000 evaluations"), "{said}");

    let report = report(&desk, "out");
    assert_eq!(report["interrupted"], true);
    let result = &report["results"][0];
    assert_eq!(result["planned_evaluations"], 100_000);
    let evaluations = result["evaluations"].as_u64().unwrap();
    assert!((1..100_000).contains(&evaluations), "{evaluations}");
    let failure = &report["failures"][0];
    assert_eq!(failure["method"], "gradient");
    assert!(failure["error"].as_str().unwrap().contains("Ctrl-C"));
    assert!(map(&desk, "out/rise").iter().any(|&v| v > 0.0));
}

#[test]
fn the_report_says_how_many_operators_each_rule_took() {
    let desk = Desk::squeezenet();
    let methods = "guided-backprop,gradient,lrp";
    attribute(
        &desk,
        &format!("--image cat.png --method {methods} --out out"),
    )
    .ok();
    let results = report(&desk, "out")["results"].clone();
    let used = |i: usize| results[i]["rules_used"].clone();
    // A ReLU behind each of the 26 convolutions.
    assert_eq!(used(0), json!([{"rule": "guided ReLU", "operators": 26}]));
    assert_eq!(used(1), json!([]));
    let counts = used(2).as_array().unwrap().clone();
    let count = |rule: &str| {
        let found = counts.iter().find(|used| used["rule"] == rule);
        found.map_or(0, |used| used["operators"].as_u64().unwrap())
    };
    assert_eq!(count("flat"), 1, "{counts:?}");
    assert!(count("pass") >= 26 && count("winner") >= 3, "{counts:?}");
}

/// A batch system asks politely before it kills, and any method that adds up samples has something to show.
#[cfg(unix)]
#[test]
fn what_sigterm_leaves_is_kept() {
    let desk = Desk::squeezenet();
    let line = "attribute --image cat.png --method smooth-grad --samples 100000 --out out";
    interrupted(&desk, line, ("-TERM", 143));
    let report = report(&desk, "out");
    assert_eq!(report["interrupted"], true);
    let result = &report["results"][0];
    assert_eq!(result["planned_evaluations"], 100_000);
    assert_eq!(result["options"]["samples"], "100000");
    let evaluations = result["evaluations"].as_u64().unwrap();
    assert!(evaluations > 0 && evaluations < 100_000, "{evaluations}");
    assert!(map(&desk, "out").iter().any(|&v| v != 0.0));
}

#[test]
fn what_a_transformer_attends_to_is_drawn() {
    let desk = Desk::squeezenet();
    fs::write(desk.path("vit.onnx"), TRANSFORMER).unwrap();
    let methods = [
        "attention",
        "attention-rollout",
        "gradient-attention",
        "chefer",
        "chefer-cvpr",
    ];
    let line = format!(
        "--model vit.onnx --image cat.png --method {} --head 1 --out all",
        methods.join(",")
    );
    attribute(&desk, &line).ok();
    assert!(desk.listing("all").contains(&"index.html".to_owned()));
    let line =
        "--model vit.onnx --image cat.png --method attention --block 0 --query 3,1 --out one";
    let said = attribute(&desk, line).ok().out;
    assert!(said.contains("attention"), "{said}");
    assert_eq!(desk.listing("one"), FILES);
    let values: Array3<f32> = ndarray_npy::read_npy(desk.path("one/attribution.npy")).unwrap();
    assert_eq!(values.shape(), [1, 4, 4]);
    assert!(values.iter().all(|&v| v > 0.0));
    let options = &report(&desk, "one")["results"][0]["options"];
    assert_eq!(
        (&options["query"], &options["block"]),
        (&json!("3,1"), &json!("0"))
    );
    // A convolutional network attends to nothing, and methods that look elsewhere do not mind.
    let line = "--image cat.png --method chefer --out none";
    let refused = attribute(&desk, line).refused(1);
    assert!(refused.contains("looks at attention"), "{refused}");
    let line = "--image cat.png --method chefer,gradient --out some";
    let said = attribute(&desk, line).ok();
    assert!(said.err.contains("chefer"), "{}", said.err);
    let line = "--model vit.onnx --image cat.png --method chefer --layer x --out layer";
    assert!(attribute(&desk, line).refused(2).contains("--layer"));
}

#[test]
fn colours_opacity_and_figures() {
    let desk = Desk::squeezenet();
    let one = "--image cat.png --method grad-cam --target 285";
    attribute(&desk, &format!("{one} --out usual")).ok();
    attribute(
        &desk,
        &format!("{one} --colormap viridis --opacity 0.25 --figure --out chosen"),
    )
    .ok();
    let listed = desk.listing("chosen");
    for file in ["figure.png", "figure.svg"] {
        assert!(listed.contains(&file.to_owned()), "{listed:?}");
    }
    let usual = desk.report("usual");
    let chosen = desk.report("chosen");
    assert_eq!(usual["results"][0]["map"]["colors"], "inferno");
    assert_eq!(chosen["results"][0]["map"]["colors"], "viridis");
    assert_eq!(usual["opacity"].as_f64().unwrap() as f32, 0.6);
    assert_eq!(chosen["opacity"], 0.25);
    assert_eq!(map(&desk, "usual"), map(&desk, "chosen"));
    assert_ne!(
        png(&desk, "usual/heatmap.png"),
        png(&desk, "chosen/heatmap.png")
    );
    // What the numbers say: a quarter of the map's colour, three quarters of the photograph's.
    let open = |name: &str| image::open(desk.path(name)).unwrap().to_rgb8();
    let (heat, over) = (open("chosen/heatmap.png"), open("chosen/overlay.png"));
    let (heat6, over6) = (open("usual/heatmap.png"), open("usual/overlay.png"));
    for at in [(3, 5), (100, 90), (200, 30)] {
        for c in 0..3 {
            let [heat, over, heat6, over6] =
                [&heat, &over, &heat6, &over6].map(|p| f32::from(p.get_pixel(at.0, at.1).0[c]));
            let photo = (over6 - 0.6 * heat6) / 0.4;
            let expected = 0.25 * heat + 0.75 * photo;
            assert!((over - expected).abs() < 3.0, "{over} and {expected}");
        }
    }
    let [low, high]: [f32; 2] =
        serde_json::from_value(chosen["results"][0]["map"]["range"].clone()).unwrap();
    assert_eq!(low, 0.0);
    let largest = map(&desk, "chosen").iter().copied().fold(0.0, f32::max);
    assert!(
        0.5 * largest < high && high <= largest,
        "{high} of {largest}"
    );

    // Of several results one figure of all.
    let many = "--image cat.png --image coffee.png --method gradient,grad-cam --layer fire9,@input";
    attribute(
        &desk,
        &format!("{many} --figure --colormap RdBu --out many"),
    )
    .ok();
    let svg = fs::read_to_string(desk.path("many/figure.svg")).unwrap();
    for part in ["Photograph", "fire9", "cat.png", "url(#bar-rdbu)"] {
        assert!(svg.contains(part), "no {part}");
    }
    assert!(!svg.contains("href=\"http"), "everything is embedded");
    let pictures = svg.matches("data:image/png").count();
    let shown = desk.report("many")["results"].as_array().unwrap().len();
    assert_eq!(pictures, 2 + shown);

    let refused = |flags: &str, part: &str| {
        let message = attribute(&desk, &format!("{one} {flags} --out none")).refused(2);
        assert!(message.contains(part), "{message}");
    };
    refused("--colormap virdis", "did you mean \"viridis\"");
    for opacity in ["1.5", "-0.1", "nan", "half"] {
        refused(&format!("--opacity={opacity}"), "from 0 (only");
    }
}
