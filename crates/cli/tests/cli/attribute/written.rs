//! What `elucid attribute` writes: folders, reports, pictures and pages.

use std::fs;

use ndarray::{Array3, ArrayD, Axis};
use serde_json::{Value, json};

use super::{FILES, attribute, attributed, map, png};
use crate::commands::TRANSFORMER;
use crate::common::{Desk, has};

#[test]
fn one_result_lies_in_the_folder_itself() {
    let (desk, ended) = attributed(
        "--image cat.png --method linear-approximation --layer fire9 --target 285 --out new/out",
    );
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    has(
        &ended.out,
        &[
            "linear-approximation",
            "fire9/concat",
            "score 29.03",
            "1 evaluation",
            "new/out",
        ],
    );
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

    let report = desk.report("new/out");
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
        desk.report(out)["results"][0]["options"].clone()
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
    let report = desk.report("out");
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
    let page = desk.text("out/index.html");
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
fn a_layer_without_positions_gives_an_array_and_no_pictures() {
    let (desk, ended) =
        attributed("--image cat.png --method gradient --layer @logits --target 285 --out out");
    assert!(ended.err.contains("no positions"), "{}", ended.err);
    assert_eq!(desk.listing("out"), ["attribution.npy", "report.json"]);
    let values: ArrayD<f32> = ndarray_npy::read_npy(desk.path("out/attribution.npy")).unwrap();
    assert_eq!(values.shape(), [1000]);
    assert_eq!((values[[285]], values.sum()), (1.0, 1.0));
    assert_eq!(desk.report("out")["results"][0]["map"], Value::Null);
}

/// The difference of a class with itself has no evidence anywhere.
#[test]
fn a_blank_map_is_said_and_drawn_blank() {
    let (desk, ended) = attributed(
        "--image cat.png --method gradient,linear-approximation --target 285:285 --out out",
    );
    let notes = ended.err.matches("no positive evidence: the map is blank");
    assert_eq!(notes.count(), 2, "{}", ended.err);
    let report = desk.report("out");
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
    let page = desk.text("out/index.html");
    assert_eq!(page.matches("no positive evidence").count(), 2);
    // On a scale that begins above all of it, there is evidence.
    let flags = "--image cat.png --method gradient,linear-approximation --normalise range:1e9,2e9 --out far";
    attribute(&desk, flags).ok();
    let page = desk.text("far/index.html");
    let why = "nothing is above 1000000000, where the colours begin";
    assert_eq!(page.matches(why).count(), 2);
    assert!(!page.contains("no positive evidence"));
}

#[test]
fn results_are_not_overwritten_unless_forced() {
    let desk = Desk::squeezenet();
    let both = "--image cat.png --method gradient,linear-approximation --layer fire9 --out out";
    let one = "--image cat.png --method gradient --layer fire9 --out out";
    attribute(&desk, both).ok();
    fs::write(desk.path("out/gradient_fire9/notes.txt"), "mine").unwrap();
    let before = desk.listing("out");
    attribute(&desk, one).refused_with(1, &["--force"]);
    assert_eq!(desk.listing("out"), before);

    attribute(&desk, &format!("{one} --force")).ok();
    let mut expected: Vec<&str> = FILES.to_vec();
    expected.push("gradient_fire9");
    expected.sort_unstable();
    assert_eq!(desk.listing("out"), expected);
    assert_eq!(desk.listing("out/gradient_fire9"), ["notes.txt"]);
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
    let results = desk.report("out")["results"].clone();
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
    let options = &desk.report("one")["results"][0]["options"];
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
    for file in ["figure.png", "figure.svg", "figure.pdf"] {
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
    // A scale is drawn as it is asked for, and said.
    let facts = |flags: &str, out: &str| {
        let ended = attribute(&desk, &format!("{one} {flags} --out {out}")).ok();
        (desk.report(out)["results"][0]["map"].clone(), ended.err)
    };
    let (scaled, said) = facts("--normalise range:-8,8", "range");
    assert_eq!(scaled["range"], serde_json::json!([-8.0, 8.0]));
    assert_eq!(scaled["normalisation"], "range:-8,8");
    assert_eq!(scaled["colors"], "glow");
    assert!(!said.contains("in the middle"), "{said}");
    let (scaled, said) = facts("--normalize min-max --colormap rdbu", "both");
    assert_eq!(
        (&scaled["colors"], &scaled["normalisation"]),
        (&"rdbu".into(), &"min-max".into())
    );
    has(&said, &["zero is not in the middle", "rdbu", "min-max"]);
    let (blank, said) = facts("--normalise range:1e9,2e9", "far");
    assert_eq!(blank["blank"], true);
    has(&said, &["where the colours begin"]);
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
    let svg = desk.text("many/figure.svg");
    has(&svg, &["Photograph", "fire9", "cat.png", "url(#bar-rdbu)"]);
    assert!(!svg.contains("href=\"http"), "everything is embedded");
    let pictures = svg.matches("data:image/png").count();
    let shown = desk.report("many")["results"].as_array().unwrap().len();
    assert_eq!(pictures, 2 + shown);
    // Bars are pictures in PDF, one for each map.
    let pdf = fs::read(desk.path("many/figure.pdf")).unwrap();
    let count = |part: &[u8]| {
        pdf.windows(part.len())
            .filter(|window| *window == part)
            .count()
    };
    assert_eq!(count(b"/Subtype /Image"), 2 + 2 * shown);
    assert!(pdf.starts_with(b"%PDF") && pdf.trim_ascii_end().ends_with(b"%%EOF"));

    let refused = |flags: &str, part: &str| {
        attribute(&desk, &format!("{one} {flags} --out none")).refused_with(2, &[part]);
    };
    refused("--normalise minmax", "did you mean \"min-max\"");
    refused("--normalise percentile:200", "above 0 and up to 100");
    refused("--colormap virdis", "did you mean \"viridis\"");
    for opacity in ["1.5", "-0.1", "nan", "half"] {
        refused(&format!("--opacity={opacity}"), "from 0 (only");
    }
}
