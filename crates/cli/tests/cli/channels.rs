//! `elucid channels`: what it leaves behind is what the library computes.

use std::fs;

use crate::common::{Desk, Ended, refuses};
use elucid::prelude::*;
use ndarray::{Array1, Array3};
use ndarray_npy::read_npy;
use serde_json::{Value, json};

const LAYER: &str = "fire9/concat";

/// A late layer, tiny icons and few steps, which take little time.
fn channels(desk: &Desk, arguments: &str) -> Ended {
    let quick = match arguments.contains("--sprites") || arguments.contains("--no-icons") {
        true => "",
        false => "--size 16 --steps 1",
    };
    desk.say(&format!(
        "channels --image both.png --layer {LAYER} --device cpu --top 1 {quick} {arguments}"
    ))
}

fn model() -> Model {
    Model::find("squeezenet", &elucid::device::cpu().device, None).unwrap()
}

#[test]
fn a_run_leaves_what_the_library_computes() {
    let desk = Desk::squeezenet();
    let line = "channels --image both.png --layer fire9 --device cpu --method all --top 2 --size 24 --steps 3 \
                --seed 5 --out new/out";
    let target = ["--target", "Egyptian cat:espresso"];
    let ended = desk.run(line.split_whitespace().chain(target));
    let out = ended.ok().out;
    assert!(out.contains("new/out/channels.html\n"), "{out}");
    assert_eq!(desk.listing("new"), ["out"]);

    let report = desk.report("new/out");
    assert_eq!(report["layer"]["name"], LAYER);
    assert_eq!(report["target"]["kind"], "difference");
    assert_eq!(report["target"]["classes"][1]["label"], "espresso");
    assert_eq!(report["icons"]["steps"], 3);
    assert_eq!(report["sprites"], json!(null));

    let model = model();
    let photo = model.read_image(desk.path("both.png")).unwrap();
    let mut shown = Vec::new();
    let names = ["linear", "path", "stochastic"];
    for (index, name) in names.into_iter().enumerate() {
        let facts = &report["results"][index];
        assert_eq!(facts["method"], name);
        let found = ChannelAttribution::at(LAYER)
            .method(name.parse().unwrap())
            .seed(5)
            .compute(&model, &photo, Target::difference(285, "espresso"))
            .unwrap()
            .remove(0);
        let folder = desk.path(format!("new/out/{name}"));
        let values: Array1<f32> = read_npy(folder.join("channels.npy")).unwrap();
        assert_eq!(values, found.values());
        let maps: Array3<f32> = read_npy(folder.join("maps.npy")).unwrap();
        assert_eq!(maps, found.maps().unwrap());
        // Read as the report was, whose last bit a parser may not give back.
        let sum: Value =
            serde_json::from_str(&json!(found.completeness().sum).to_string()).unwrap();
        assert_eq!(facts["completeness"]["sum"], sum);
        assert_eq!(facts["score"].as_f64().unwrap() as f32, found.score());

        let channels = |end: &str| -> Vec<usize> {
            let end = facts[end].as_array().unwrap().iter();
            end.map(|c| c["channel"].as_u64().unwrap() as usize)
                .collect()
        };
        let (top, bottom) = (channels("top"), channels("bottom"));
        assert_eq!(
            top,
            found.top(2).iter().map(|c| c.channel).collect::<Vec<_>>()
        );
        assert_eq!(
            bottom,
            found
                .bottom(2)
                .iter()
                .map(|c| c.channel)
                .collect::<Vec<_>>()
        );
        shown.extend([top, bottom].concat());
    }
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(report["shown"], json!(shown));

    // Each icon is the one that its channel has in any company.
    for channel in [shown[0], shown[shown.len() - 1]] {
        let icon = FeatureVis::fourier(24)
            .steps(3)
            .seed(5)
            .seeds([5 + channel as u64])
            .channels(&model, LAYER, &[channel])
            .unwrap();
        let icon = Picture::from_rgb(icon.bytes(0).unwrap().view()).unwrap();
        let file = desk.path(format!("new/out/icons/channel_{channel}.png"));
        let written =
            Picture::from_image(elucid::vision::input::open_image(file).unwrap().to_rgb8());
        let largest = |a: &Picture, b: &Picture| {
            let pairs = a.to_rgb().into_iter().zip(b.to_rgb());
            pairs.map(|(a, b)| a.abs_diff(b)).max()
        };
        assert!(
            largest(&icon, &written.unwrap()) <= Some(2),
            "rounding in a batch"
        );
    }
    for channel in shown {
        for name in names {
            let file = desk.path(format!("new/out/{name}/channel_{channel}.png"));
            assert!(fs::read(file).unwrap().starts_with(b"\x89PNG"));
        }
    }
    let page = desk.text("new/out/channels.html");
    assert!(page.contains("logit of Egyptian cat minus that of espresso"));
}

#[test]
fn icons_come_from_a_sprite_map() {
    let desk = Desk::squeezenet();
    let gray = |level: u8| Picture::from_rgb(Array3::from_elem((4, 4, 3), level).view()).unwrap();
    channels(&desk, "--no-icons --target 285:967 --out first").ok();
    let report = desk.report("first");
    let [low, high] = [0, 1].map(|i| report["shown"][i].as_u64().unwrap() as usize);
    assert_eq!(report["icons"], json!(null));
    assert!(
        desk.tree("first")
            .iter()
            .all(|file| !file.contains("icons/"))
    );

    let mut map = SpriteMap::new(LAYER, 4, 512).unwrap().provenance("by hand");
    map.insert(low, &gray(77)).unwrap();
    fs::create_dir(desk.path("sprites")).unwrap();
    map.save(desk.path("sprites/sprites.png")).unwrap();
    for (path, out) in [("sprites", "second"), ("sprites/sprites.png", "third")] {
        let ended = channels(
            &desk,
            &format!("--sprites {path} --target 285:967 --out {out}"),
        )
        .ok();
        assert!(ended.err.contains("lacks 1 of 2"), "{}", ended.err);
        let report = desk.report(out);
        assert_eq!(report["sprites"]["made_by"], "by hand");
        let icon = fs::read(desk.path(format!("{out}/icons/channel_{low}.png"))).unwrap();
        assert_eq!(icon, gray(77).to_png_bytes().unwrap());
        assert!(
            !desk
                .path(format!("{out}/icons/channel_{high}.png"))
                .exists()
        );
    }

    let before = desk.listing(".");
    let refused =
        |path: &str, code| channels(&desk, &format!("--sprites {path} --out none")).refused(code);
    map.save(desk.path("sprites/again.png")).unwrap();
    let message = refused("sprites", 1);
    assert!(
        message.contains("again.png") && message.contains("sprites.png"),
        "{message}"
    );
    refused("models", 1);
    refused("cat.png", 1);
    let message = refused(".", 1);
    assert!(message.contains("no sprite map"), "{message}");
    refused("sprites --steps 3", 2);
    refused("sprites --no-icons", 2);
    for (layer, count) in [("fire8/concat", 512), (LAYER, 511)] {
        let map = SpriteMap::new(layer, 4, count).unwrap();
        map.save(desk.path("sprites/other.png")).unwrap();
        let message = refused("sprites/other.png", 1);
        assert!(
            message.contains(LAYER) && message.contains(layer),
            "{message}"
        );
    }
    assert_eq!(desk.listing("."), before);
}

#[test]
fn either_side_may_be_none_or_all_classes() {
    let desk = Desk::squeezenet();
    for (i, (target, name)) in [
        ("285:none", "logit of Egyptian cat"),
        ("none:espresso", "minus the logit of espresso"),
        (
            "espresso:LogSumExp",
            "logit of espresso minus log sum exp of all logits",
        ),
        ("logsumexp", "log sum exp of all logits"),
        ("967", "logit of espresso"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("out{i}");
        channels(&desk, &format!("--target {target} --no-icons --out {out}")).ok();
        let report = desk.report(&out);
        assert_eq!(report["target"]["name"], name);
    }
    channels(&desk, "--no-icons --out best").ok();
    let report = desk.report("best");
    let [a, b] = [0, 1].map(|i| report["predictions"][i]["label"].as_str().unwrap());
    assert_eq!(
        report["target"]["name"],
        format!("logit of {a} minus that of {b}")
    );
}

#[test]
fn layers_without_positions_have_no_maps() {
    let desk = Desk::squeezenet();
    let line = "channels --image both.png --layer @logits --no-icons --target 285 --out out";
    desk.say(line).ok();
    desk.report("out");
    let values: Array1<f32> = read_npy(desk.path("out/channels.npy")).unwrap();
    assert_eq!(values.len(), 1000);
    assert!(
        values
            .indexed_iter()
            .all(|(class, &v)| (class == 285) == (v != 0.0))
    );
    assert!(!desk.path("out/maps.npy").exists());
}

#[test]
fn a_refusal_leaves_no_folder() {
    let desk = Desk::squeezenet();
    let before = desk.listing(".");
    let cases = [
        ("--method straight", 2),
        ("--method ,", 2),
        ("--target none:none", 2),
        ("--target a:", 2),
        ("--rules foggy", 2),
        ("--batch-size 0", 2),
        ("--seed x", 2),
        ("--no-icons --steps 3", 2),
        ("--target 1000", 1),
        ("--target 285:dragonfruit", 1),
        ("--model absent.onnx", 1),
    ];
    refuses(&cases, |arguments| {
        channels(&desk, &format!("{arguments} --out out"))
    });
    let bare = "channels --image both.png --out out";
    let cases = [
        ("--layer fire9 --size 0", 2),
        ("--layer fire9 --size 5000", 2),
        ("--layer fire9 --steps 0", 2),
        ("--layer fire9 --top 0", 2),
        // Icons are held until all of them are there.
        ("--layer fire9 --top 100 --size 4096", 1),
        ("--layer nothing", 1),
        ("", 2),
    ];
    refuses(&cases, |arguments| desk.say(&format!("{bare} {arguments}")));
    channels(&desk, "--out cat.png").refused(1);
    let absent = format!("channels --image absent.png --layer {LAYER} --out out");
    desk.say(&absent).refused(1);
    assert_eq!(desk.listing("."), before);

    desk.say(&format!("{bare} --layer fire9/conca"))
        .refused_with(1, &[LAYER]);
    channels(&desk, "--target espreso --out out").refused_with(1, &["espresso"]);
}

#[test]
fn results_are_replaced_only_by_force() {
    let desk = Desk::squeezenet();
    channels(&desk, "--method linear,path --out out").ok();
    fs::write(desk.path("out/notes.txt"), "mine").unwrap();
    let before = desk.tree("out");
    channels(&desk, "--no-icons --out out").refused_with(1, &["--force"]);
    assert_eq!(desk.tree("out"), before);
    channels(&desk, "--no-icons --out out --force").ok();
    let after = desk.listing("out");
    assert!(after.contains(&"notes.txt".to_owned()), "{after:?}");
    assert!(after.contains(&"channels.npy".to_owned()), "{after:?}");
    assert!(
        !after.contains(&"linear".to_owned()),
        "left from the first run"
    );
    assert!(
        !after.contains(&"icons".to_owned()),
        "left from the first run"
    );
}
