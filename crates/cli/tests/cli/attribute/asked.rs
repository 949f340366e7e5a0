//! What its flags ask for, and what is refused.

use std::fs;

use elucid::attribution::{METHODS, MethodOptions};
use ndarray::{Array2, Array3, Axis};
use serde_json::json;

use super::{FILES, attribute, attributed, map, png};
use crate::common::{Desk, has};

#[test]
fn targets_are_what_they_say() {
    let desk = Desk::squeezenet();
    let score = |target: &str, out: &str| {
        let flags = "--image both.png --method gradient --layer fire9";
        attribute(&desk, &format!("{flags} --out {out} {target}")).ok();
        let report = desk.report(out);
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
        let one = "--image cat.png --method gradient --layer fire8 --quiet";
        attribute(&desk, &format!("{one} {flags} --out {out}")).ok();
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
    assert_eq!(desk.report("guided")["results"][0]["rules"], "guided");
    assert_eq!(desk.report("l2")["results"][0]["map"]["reduction"], "l2");
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
    let facts = &desk.report("product")["results"][0];
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
    let facts = desk.report("all");
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
        desk.report(out)["results"][0].clone()
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
fn what_cannot_be_explained_does_not_keep_back_the_rest() {
    // Nothing flows from the softmax back to the logits.
    let (desk, ended) =
        attributed("--image cat.png --method gradient --layer fire9,prob --out out");
    assert!(
        ended.err.contains("gradient at prob failed: "),
        "{}",
        ended.err
    );
    assert_eq!(
        desk.listing("out"),
        ["gradient_fire9", "index.html", "report.json"]
    );
    let failures = &desk.report("out")["failures"];
    assert_eq!(failures[0]["layer"], "prob");
    let message = failures[0]["error"].as_str().unwrap();
    assert!(message.contains("has no gradient"), "{message}");
    let page = desk.text("out/index.html");
    assert!(page.contains("class=\"absent\""));

    let before = desk.listing(".");
    for methods in ["gradient", "gradient,linear-approximation"] {
        attribute(
            &desk,
            &format!("--image cat.png --method {methods} --layer prob --out none"),
        )
        .refused_with(1, &["has no gradient"]);
    }
    assert_eq!(desk.listing("."), before);
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
                attribute(&desk, &line).refused_with(2, &[method.name, option.name]);
            }
        }
    }
    let asked = |takes: fn(&elucid::attribution::Method) -> bool, flag: &str| {
        for method in METHODS.iter().filter(|m| !takes(m)) {
            let line = format!("--image cat.png --method {} {flag} --out out", method.name);
            attribute(&desk, &line).refused_with(2, &["it is for"]);
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
    let all = all["methods"].as_array().unwrap();
    assert_eq!(all.len(), METHODS.len());
    for (method, facts) in METHODS.iter().zip(all) {
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
        assert_eq!(one["methods"], json!([facts]));
        let text = desk.say(&format!("methods {}", method.name)).ok().out;
        has(&text, &[method.title, method.reference]);
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
    assert_eq!(found["methods"][0]["name"], "linear-approximation");
    let found = desk.say("methods InputXGradient").ok().out;
    assert!(found.contains("input-x-gradient, "), "{found}");
    desk.say("methods gradeint")
        .refused_with(2, &["did you mean gradient"]);
}
