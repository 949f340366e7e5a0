//! `elucid groups`: what it leaves behind is what the library computes.

use std::fs;

use crate::common::{Desk, Ended, refuses};
use elucid::factor::Method;
use elucid::prelude::*;
use elucid_testkit::onnx::{Onnx, floats};
use ndarray::{Array1, Array2, Array3, Array4, Axis};
use ndarray_npy::read_npy;
use serde_json::{Value, json};

const LAYER: &str = "fire9/concat";

fn groups(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!(
        "groups --image both.png --layer {LAYER} --device cpu {arguments}"
    ))
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn a_run_leaves_what_the_library_computes() {
    let desk = Desk::squeezenet();
    let line = "groups --image both.png --layer fire9 --device cpu --groups 2,4 --size 24 --steps 2 --out new/out";
    let targets = ["--targets", "Egyptian cat,espresso:none"];
    let ended = desk.run(line.split_whitespace().chain(targets));
    let out = ended.ok().out;
    assert!(out.contains("new/out/groups.html\n"), "{out}");
    assert_eq!(desk.listing("new"), ["out"]);

    let report = desk.report("new/out");
    assert_eq!(report["layer"]["name"], LAYER);
    assert_eq!(report["reducer"], "nmf");
    let model = Model::find("squeezenet", &elucid::device::cpu().device, None).unwrap();
    let photo = model.read_image(desk.path("both.png")).unwrap();
    let found = NeuronGroups::new(1)
        .at(LAYER)
        .targets([Target::class(285), Target::class("espresso")])
        .compute_all(&model, &photo, [2, 4])
        .unwrap();
    for (found, facts) in found.iter().zip(report["results"].as_array().unwrap()) {
        let count = found.count();
        assert_eq!(facts["groups"], count);
        assert_eq!(facts["folder"], format!("{count}_groups"));
        assert_eq!(facts["peaks"], json!(found.peaks(0)));
        let read = |name: &str| desk.path(format!("new/out/{count}_groups/{name}"));
        let factors: Array3<f32> = read_npy(read("factors.npy")).unwrap();
        assert_eq!(factors, found.factors().index_axis(Axis(0), 0));
        let directions: Array2<f32> = read_npy(read("directions.npy")).unwrap();
        assert_eq!(directions, found.directions());
        let each: Array2<f32> = read_npy(read("attributions.npy")).unwrap();
        let effects: Array4<f32> = read_npy(read("effects.npy")).unwrap();
        assert_eq!(each.dim(), (count, 2));
        for (target, expected) in found.effects().iter().enumerate() {
            let values = expected.values().row(0).mapv(|v| v as f32);
            assert_eq!(each.column(target), values);
            let maps = expected.maps();
            assert_eq!(
                effects.index_axis(Axis(0), target),
                maps.index_axis(Axis(0), 0)
            );

            // Nothing is lost between the groups and what they leave out.
            let facts = &facts["effects"][target];
            let sum: f64 = numbers(&facts["groups"]).iter().sum();
            let rest = facts["residual"].as_f64().unwrap();
            let total = facts["total"].as_f64().unwrap();
            assert!((sum + rest - total).abs() < 1e-6 * total.abs().max(1.0));
        }
        for group in 0..count {
            for name in [format!("group_{group}.png"), format!("icon_{group}.png")] {
                assert!(fs::read(read(&name)).unwrap().starts_with(b"\x89PNG"));
            }
        }
        assert_eq!(facts["icons"]["steps"], 2);
        assert!(!read("offset.npy").exists());
    }
    let page = desk.text("new/out/groups.html");
    assert!(page.contains("Egyptian cat") && page.contains("2 groups"));
}

#[test]
fn other_reducers_have_a_mean_of_their_own() {
    let desk = Desk::squeezenet();
    for method in Method::ALL {
        let name = method.name();
        groups(
            &desk,
            &format!("--reducer {name} --groups 3 --no-icons --out {name}"),
        )
        .ok();
        let report = desk.report(name);
        assert_eq!(report["reducer"], name);
        let results = &report["results"][0];
        assert_eq!(results["icons"], json!(null));
        assert_eq!(results["folder"], "");
        let subtracts = matches!(method, Method::Pca | Method::Ica);
        let offset: Result<Array1<f32>, _> = read_npy(desk.path(format!("{name}/offset.npy")));
        assert_eq!(offset.is_ok(), subtracts, "{name}");
        let effect = &results["effects"][0];
        assert_eq!(effect["offset"].as_f64() != Some(0.0), subtracts, "{name}");
        let page = desk.text(format!("{name}/groups.html"));
        assert!(page.contains(name));
    }
}

/// ImageNet has two classes called crane.
#[test]
fn classes_of_one_name_are_two() {
    let desk = Desk::squeezenet();
    groups(&desk, "--groups 2 --targets 134,517 --no-icons --out out").ok();
    let report = desk.report("out");
    let class = |target: usize| &report["targets"][target]["classes"][0];
    assert_eq!(class(0)["label"], class(1)["label"]);
    assert_eq!(
        (&class(0)["index"], &class(1)["index"]),
        (&json!(134), &json!(517))
    );
}

#[test]
fn a_refusal_leaves_no_folder() {
    let desk = Desk::squeezenet();
    let before = desk.listing(".");
    let cases = [
        ("--groups 0", 2),
        ("--groups 2,", 2),
        ("--reducer magic", 2),
        ("--targets 285,285", 2),
        ("--targets 285,egyptian_cat:", 2),
        ("--targets ,", 2),
        ("--size 0", 2),
        ("--steps 0", 2),
        ("--no-icons --size 8", 2),
        ("--batch-size 0", 2),
        ("--groups 100000", 1),
        ("--targets dragonfruit", 1),
        ("--targets 1000", 1),
        ("--model absent.onnx", 1),
    ];
    refuses(&cases, |arguments| {
        groups(&desk, &format!("{arguments} --out out"))
    });
    for layer in ["nothing", "@logits"] {
        let line = format!("groups --image both.png --layer {layer} --no-icons --out out");
        desk.say(&line).refused(1);
    }
    // What is before the ReLU is signed.
    let line = "groups --image both.png --layer conv1 --no-icons --out out";
    desk.say(line).refused_with(1, &["conv1"]);
    groups(&desk, "--no-icons --out cat.png").refused(1);
    assert_eq!(desk.listing("."), before);

    groups(&desk, "--targets espreso --out out").refused_with(1, &["espresso"]);
    groups(&desk, "--reducer magic --out out").refused_with(2, &["kmeans"]);
    let line = "groups --image both.png --layer fire9/conca --out out";
    desk.say(line).refused_with(1, &[LAYER]);
}

/// A network whose layer `seen` is the picture times `factor`, and has no other value where that is below zero.
fn picture(factor: f32) -> Onnx {
    Onnx::image([1, 3, 8, 8])
        .tensor(floats("factor", &[1], vec![factor]))
        .node("Mul", &["x", "factor"], &["product"])
        .node("Relu", &["product"], &["seen"])
        .node("GlobalAveragePool", &["seen"], &["pooled"])
        .node("Flatten", &["pooled"], &["flat"])
        .tensor(floats("w", &[3, 2], vec![0.5, 1.0, -0.5, 0.25, 0.0, 1.0]))
        .node("MatMul", &["flat", "w"], &["y"])
}

#[test]
fn groups_that_fire_nowhere_do_not_end_the_others() {
    let desk = Desk::new();
    for (name, factor) in [("seen.onnx", 1.0), ("dark.onnx", -1.0)] {
        fs::write(desk.path(name), picture(factor).bytes()).unwrap();
    }
    // Two kinds of positions, so that the third of three clusters is empty.
    let halves = image::RgbImage::from_fn(8, 8, |x, _| match x {
        0..4 => image::Rgb([200, 40, 0]),
        _ => image::Rgb([0, 90, 220]),
    });
    halves.save(desk.path("halves.png")).unwrap();
    let plain = "--image halves.png --layer seen --scale 1/255 --mean 0 --std 1 --resize squash";
    let run = |model: &str, more: &str| {
        desk.say(&format!(
            "groups --model {model} {plain} --targets 0,1 {more}"
        ))
        .ok()
    };
    for icons in ["--no-icons", "--size 16 --steps 2"] {
        let out = format!("out{}", icons.len());
        let more = format!("--groups 3 --reducer kmeans {icons} --out {out}");
        let ended = run("seen.onnx", &more);
        let report = desk.report(&out);
        let result = &report["results"][0];
        let dead: Vec<usize> = serde_json::from_value(result["dead"].clone()).unwrap();
        let [dead] = dead[..] else {
            panic!("{result}");
        };
        let said = format!(
            "1 of 3 groups fires nowhere, is black and adds nothing to any target: group {} (group_{dead}.png)",
            dead + 1
        );
        assert!(ended.err.contains(&said), "{}", ended.err);
        let page = desk.text(format!("{out}/groups.html"));
        assert!(page.contains("fires nowhere"), "no remark");
        let factors: Array3<f32> = read_npy(desk.path(format!("{out}/factors.npy"))).unwrap();
        for group in 0..3 {
            let sum: f32 = factors.index_axis(Axis(0), group).sum();
            assert_eq!(sum > 0.0, group != dead, "group {group} of {factors}");
        }
        for effect in result["effects"].as_array().unwrap() {
            assert_eq!(effect["groups"][dead], 0.0, "{effect}");
        }
        for group in 0..3 {
            let there = desk.path(format!("{out}/icon_{group}.png")).exists();
            assert_eq!(there, icons != "--no-icons", "icon {group}");
        }
        if icons != "--no-icons" {
            assert_eq!(result["icons"]["objectives"].as_array().unwrap().len(), 2);
            let icon = image::open(desk.path(format!("{out}/icon_{dead}.png"))).unwrap();
            assert!(icon.to_rgb8().pixels().all(|pixel| pixel.0 == [0; 3]));
        }
    }
    // A layer without any activity has groups that are all dead.
    for reducer in ["nmf", "kmeans"] {
        let more = format!("--groups 2 --reducer {reducer} --size 16 --steps 2 --out {reducer}");
        let ended = run("dark.onnx", &more);
        assert!(
            ended.err.contains("2 of 2 groups fire nowhere"),
            "{}",
            ended.err
        );
        let report = desk.report(reducer);
        assert_eq!(report["results"][0]["dead"], json!([0, 1]));
        assert_eq!(report["results"][0]["icons"], Value::Null);
    }
}
