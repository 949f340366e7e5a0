//! `elucid spatial`: what it leaves behind, and what it leaves alone.

use std::fs;

use crate::common::{Desk, Ended, refuses};
use ndarray::{Array2, Array4};

/// Layers of the same size close to the end, which take little time.
const QUICK: &str = "spatial --image both.png --from fire8/concat --to fire9/concat";

fn spatial(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!("{QUICK} {arguments}"))
}

#[test]
fn a_run_leaves_numbers_pictures_a_page_and_a_report() {
    let desk = Desk::squeezenet();
    let ended = desk.run([
        "spatial",
        "--image",
        "both.png",
        "--from",
        "fire5/concat",
        "--to",
        "fire6",
        "--classes",
        "Egyptian cat,espresso",
        "--batch-size",
        "5",
        "--out",
        "new/out",
    ]);
    let out = ended.ok().out;
    assert!(
        out.contains("new/out\n") && out.contains("new/out/spatial.html\n"),
        "{out}"
    );

    let report = desk.report("new/out");
    assert_eq!(report["model"]["name"], "squeezenet1_1");
    assert_eq!(report["image"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(report["from"]["shape"], serde_json::json!([1, 256, 27, 27]));
    assert_eq!(report["to"]["name"], "fire6/concat");
    assert_eq!(report["classes"][1]["label"], "espresso");
    assert_eq!(report["targets"][0]["name"], "logit of Egyptian cat");
    assert_eq!(report["batch_size"], 5);
    assert_eq!(report["versions"]["elucid"], env!("CARGO_PKG_VERSION"));
    let rules: Vec<_> = report["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert_eq!(rules, ["true", "smooth", "smooth-blur"]);
    assert!(report["rules"][0]["cotangents"].as_u64().unwrap() < 169);
    assert!(
        report["seconds"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["seconds"].is_number())
    );

    let mut listed: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
    listed.sort();
    assert_eq!(desk.listing("new/out"), listed);
    assert_eq!(desk.listing("new"), ["out"]);

    let mut maps = Vec::new();
    for rules in ["true", "smooth", "smooth-blur"] {
        let read = desk.path(format!("new/out/spatial_{rules}.npy"));
        let map: Array4<f32> = ndarray_npy::read_npy(read).unwrap();
        assert_eq!(map.shape(), [13, 13, 27, 27]);
        assert!(map.iter().all(|v| v.is_finite()) && map.iter().any(|v| *v != 0.0));
        maps.push(map);
        for class in ["egyptian_cat", "espresso"] {
            for (side, size) in [("from", 27), ("to", 13)] {
                let name = format!("new/out/class_{class}_{side}_{rules}");
                let hint: Array2<f32> =
                    ndarray_npy::read_npy(desk.path(format!("{name}.npy"))).unwrap();
                assert_eq!(hint.shape(), [size, size]);
                let png = fs::read(desk.path(format!("{name}.png"))).unwrap();
                assert!(png.starts_with(b"\x89PNG"));
            }
        }
    }
    assert_ne!(maps[0], maps[1], "a max-pool lies between the layers");
    assert_ne!(maps[1], maps[2], "a max-pool lies between the layers");

    // The cat is in the left half of the photograph, the coffee in the right one.
    for (class, left) in [("egyptian_cat", true), ("espresso", false)] {
        let read = desk.path(format!("new/out/class_{class}_to_true.npy"));
        let hint: Array2<f32> = ndarray_npy::read_npy(read).unwrap();
        let half = |range| {
            hint.slice(ndarray::s![.., range])
                .mapv(|v: f32| v.max(0.0))
                .sum()
        };
        assert_eq!(half(0..6) > half(7..13), left, "{class}");
    }
    let page = desk.text("new/out/spatial.html");
    assert!(page.contains("Egyptian cat") && page.contains("fire6/concat"));
}

/// The first thing that a newcomer types.
#[test]
fn the_small_inception_knows_lucids_names() {
    let desk = Desk::new();
    let line = "spatial --image pets.png --from mixed4c --to mixed4d";
    desk.say(&format!("{line} --out d")).ok();
    let report = desk.report("d");
    assert_eq!(report["model"]["name"], "inception_v1_small");
    assert_eq!(report["from"]["name"], "inception_4c/output");
    assert_eq!(report["to"]["shape"], serde_json::json!([1, 264, 10, 10]));
    let read = desk.path("d/spatial_true.npy");
    let map: Array4<f32> = ndarray_npy::read_npy(read).unwrap();
    assert_eq!(map.shape(), [10, 10, 10, 10]);
    assert!(map.iter().all(|v| v.is_finite()) && map.iter().any(|v| *v != 0.0));

    // The dog is in the left half of the photograph, the cat in the right one.
    for rules in ["true", "smooth", "smooth-blur"] {
        let read = |class: &str| -> Array2<f32> {
            let name = format!("d/class_{class}_from_{rules}.npy");
            ndarray_npy::read_npy(desk.path(name)).unwrap()
        };
        let dog_rather_than_cat = read("dog") - read("cat");
        let half = |range| dog_rather_than_cat.slice(ndarray::s![.., range]).sum();
        let (left, right) = (half(0..5), half(5..10));
        assert!(left > 0.0 && right < 0.0, "{rules}: {left} {right}");
    }

    desk.say(&format!("{line} --classes dogg --out e"))
        .refused_with(1, &["the nearest are dog"]);
    let message = desk
        .say(&format!("{line} --classes espresso --out e"))
        .refused(1);
    assert!(message.contains("no inception_v1_small class"), "{message}");
    assert!(message.contains("there are tench, dog,"), "{message}");
    desk.say(&format!("{line} --classes 14 --out e"))
        .refused_with(1, &["classes 0 to 13"]);
}

/// Hints are about whatever can be explained, not classes alone.
#[test]
fn targets_of_every_kind_give_hints() {
    let desk = Desk::squeezenet();
    let run = |flags: &str, out: &str| {
        spatial(&desk, &format!("--rules true {flags} --out {out} --quiet")).ok();
        desk.report(out)
    };
    let both = run("--classes 285,967", "classes");
    assert_eq!(both["targets"].as_array().unwrap().len(), 2);
    let found = run("--target 285:967,fire9/concat[7,mean,mean]", "targets");
    let names: Vec<&str> = found["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "logit of Egyptian cat minus that of espresso",
            "number fire9/concat[7,mean,mean]"
        ]
    );
    let read = |name: &str| -> Array2<f32> {
        ndarray_npy::read_npy(desk.path(format!("{name}_to.npy"))).unwrap()
    };
    let difference = read("targets/class_logit_of_egyptian_cat_minus_that_of_espresso");
    let each = read("classes/class_egyptian_cat") - read("classes/class_espresso");
    let off = (&difference - &each)
        .iter()
        .fold(0_f32, |most, v| most.max(v.abs()));
    assert!(off < 1e-3, "{off}");
    let of_layer = read("targets/class_number_fire9_concat_7_mean_mean");
    assert!(of_layer.iter().any(|v| *v != 0.0));
    let page = desk.text("targets/spatial.html");
    assert!(page.contains("minus that of espresso"));
}

#[test]
fn one_set_of_rules_needs_no_suffix() {
    let desk = Desk::squeezenet();
    spatial(&desk, "--rules smooth --classes 285 --out one --quiet").ok();
    let names = desk.listing("one");
    assert!(names.contains(&"spatial.npy".to_owned()), "{names:?}");
    assert!(
        names.contains(&"class_egyptian_cat_from.npy".to_owned()),
        "{names:?}"
    );
}

#[test]
fn results_are_not_overwritten_unless_forced() {
    let desk = Desk::squeezenet();
    spatial(&desk, "--rules true,smooth --out out").ok();
    fs::write(desk.path("out/notes.txt"), "mine").unwrap();
    let before = desk.listing("out");
    spatial(&desk, "--rules true --out out").refused_with(1, &["out", "--force"]);
    assert_eq!(desk.listing("out"), before);

    spatial(&desk, "--rules true --out out --force").ok();
    let after = desk.listing("out");
    assert!(after.contains(&"spatial.npy".to_owned()), "{after:?}");
    assert!(after.contains(&"notes.txt".to_owned()), "{after:?}");
    assert!(
        !after.contains(&"spatial_smooth.npy".to_owned()),
        "left from the first run"
    );

    fs::create_dir(desk.path("empty")).unwrap();
    spatial(&desk, "--rules true --out empty").ok();
}

#[test]
fn a_refusal_leaves_no_folder() {
    let desk = Desk::squeezenet();
    let before = desk.listing(".");
    let cases = [
        ("--rules foggy", 2),
        ("--batch-size 0", 2),
        // Nothing here is random.
        ("--seed 7", 2),
        ("--target 1,2,3", 2),
        ("--target 285,285", 2),
        ("--target 285 --classes 285", 2),
        ("--target 285:none:3", 1),
        ("--boxes xyxy", 2),
        ("--classes a,b,c", 2),
        ("--classes 285,285", 2),
        ("--classes 1000", 1),
        ("--classes dragonfruit", 1),
        ("--classes ,", 1),
        ("--device wgpu:99", 1),
        ("--model absent.onnx", 1),
    ];
    refuses(&cases, |arguments| {
        spatial(&desk, &format!("{arguments} --out out"))
    });
    let cases = [
        ("--from fire9/concat --to fire8/concat", 1),
        ("--from fire8/concat --to @logits", 1),
        ("--from @input --to fire2/concat", 1),
        // Two branches of which neither leads to the other.
        ("--from fire6/expand1x1 --to fire6/expand3x3", 1),
        ("--from nothing --to fire9/concat", 1),
        ("--from fire9/concat", 2),
    ];
    refuses(&cases, |layers| {
        desk.say(&format!("spatial --image both.png {layers} --out out"))
    });
    spatial(&desk, "--out cat.png").refused(1);
    spatial(&desk, "--rules true --out cat.png/out").refused(1);
    assert_eq!(desk.listing("."), before);
}

#[test]
fn a_miss_names_the_nearest_layers_and_classes() {
    let desk = Desk::squeezenet();
    desk.say("spatial --image both.png --from fire8/conca --to fire9 --out o")
        .refused_with(1, &["fire8/concat"]);
    spatial(&desk, "--classes espreso --out o").refused_with(1, &["espresso"]);
}

/// The other branches keep the values that the photograph gives them.
#[test]
fn layers_in_a_branch_have_hints_too() {
    let desk = Desk::squeezenet();
    let branch = "spatial --image both.png --from fire8/concat --to fire9/expand1x1 --rules true";
    desk.say(&format!("{branch} --out out")).ok();
    let hints = desk.listing("out");
    let hints = hints.iter().filter(|name| name.starts_with("class_"));
    assert!(hints.count() > 0);
    assert_eq!(desk.report("out")["classes"].as_array().unwrap().len(), 2);
}

#[test]
fn odd_requests_are_answered() {
    let desk = Desk::squeezenet();
    let same = "spatial --image both.png --from fire9/concat --to fire9/concat --rules true";
    desk.say(&format!("{same} --out same")).ok();
    let maps: Array4<f32> = ndarray_npy::read_npy(desk.path("same/spatial.npy")).unwrap();
    for ((i, j, y, x), value) in maps.indexed_iter() {
        assert!(
            *value == 0.0 || (i, j) == (y, x),
            "a layer depends on itself, place by place"
        );
    }
    spatial(
        &desk,
        "--rules deconvnet --input-size 60x90 --batch-size 4294967295 --out odd",
    )
    .ok();
    let maps: Array4<f32> = ndarray_npy::read_npy(desk.path("odd/spatial.npy")).unwrap();
    assert!(maps.dim().0 < maps.dim().1, "{:?}", maps.dim());
    spatial(&desk, "--rules guided --model SQUEEZENET --out guided").ok();
}
