//! Networks that are no classifiers of colour photographs: other channels, layouts and types, arrays,
//! several inputs, small pictures.

use std::path::Path;

use crate::common::Desk;
use elucid_testkit::onnx::{Onnx, floats};
use ndarray::{Array2, Array3, ArrayD, Axis, s};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};

const PLAIN: &str = "--scale 1/255 --mean 0 --std 1 --resize squash";

/// A desk with a network on it.
fn desk(network: &Onnx) -> Desk {
    let desk = Desk::new();
    std::fs::write(desk.path("net.onnx"), network.bytes()).unwrap();
    desk
}

fn save(desk: &Desk, name: &str, array: &ArrayD<f32>) {
    let file = std::fs::File::create(desk.path(name)).unwrap();
    array.write_npy(file).unwrap();
}

fn load3(path: &Path) -> Array3<f32> {
    Array3::read_npy(std::fs::File::open(path).unwrap()).unwrap()
}

fn load2(path: &Path) -> Array2<f32> {
    Array2::read_npy(std::fs::File::open(path).unwrap()).unwrap()
}

/// The mean of each channel, weighed into two scores.
fn means(channels: i64, size: [i64; 2]) -> Onnx {
    Onnx::image([-1, channels, size[0], size[1]])
        .node("GlobalAveragePool", &["x"], &["gap"])
        .node("Flatten", &["gap"], &["flat"])
        .weight("w", &[channels, 2])
        .node("MatMul", &["flat", "w"], &["y"])
}

#[test]
fn a_grey_network_runs_every_method_and_has_grey_icons() {
    let desk = desk(&means(1, [8, 8]));
    let methods = "gradient,integrated-gradients,occlusion,feature-ablation,rise,lime,smooth-grad,lrp,\
                   deep-lift,sobol";
    let command = format!(
        "attribute --model net.onnx --image cat.png --method {methods} --masks 50 --samples 60 \
         --target 0 --out out {PLAIN}"
    );
    desk.say(&command).ok();
    let report = desk.report("out");
    assert_eq!(report["results"].as_array().unwrap().len(), 10);
    let gradient = load3(&desk.path("out/gradient/attribution.npy"));
    assert_eq!(gradient.dim(), (1, 8, 8));
    let weight = 7.0 / 40.0 - 0.5;
    assert!(
        gradient
            .iter()
            .all(|v| (v - weight / 64.0_f32).abs() < 1e-6)
    );

    let icon =
        format!("visualize --model net.onnx --class 0 --size 24 --steps 3 --out icons {PLAIN}");
    desk.say(&icon).ok();
    let picture = desk
        .listing("icons")
        .into_iter()
        .find(|f| f.ends_with(".png"));
    let picture = desk.path("icons").join(picture.unwrap());
    let picture = elucid::vision::input::open_image(picture)
        .unwrap()
        .to_rgb8();
    assert!(picture.pixels().all(|p| p[0] == p[1] && p[1] == p[2]));
}

#[test]
fn arrays_are_pictures() {
    let desk = desk(&means(4, [8, 8]));
    let array = ArrayD::from_shape_fn(vec![4, 8, 8], |i| (i[0] * 3 + i[1]) as f32 - i[2] as f32);
    save(&desk, "x.npy", &array);
    let found = desk.say("classify --model net.onnx --json x.npy").json();
    let mean = |c: usize| array.index_axis(Axis(0), c).mean().unwrap();
    let weight = |c: usize| ((c * 2 * 29 + 7) % 41) as f32 / 40.0 - 0.5;
    let expected: f32 = (0..4).map(|c| mean(c) * weight(c)).sum();
    let guesses = found["images"][0]["guesses"].as_array().unwrap();
    let first = guesses.iter().find(|g| g["index"] == 0).unwrap();
    assert!((first["logit"].as_f64().unwrap() as f32 - expected).abs() < 1e-4);

    desk.say(
        "attribute --model net.onnx --image x.npy --method occlusion --window 4 --stride 4 --target 0 \
         --rgb 3,2,1 --out out",
    )
    .ok();
    let map = load2(&desk.path("out/saliency.npy"));
    // What a window loses is its part of each channel's mean.
    let loss = |y: usize, x: usize| -> f32 {
        let part = |c: usize| array.slice(s![c, y..y + 4, x..x + 4]).sum() / 64.0 * weight(c);
        (0..4).map(part).sum()
    };
    for (y, x) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
        assert!((map[[y, x]] - loss(y, x)).abs() < 1e-5, "{y} {x}");
    }
    save(&desk, "wrong.npy", &ArrayD::zeros(vec![3, 8, 8]));
    desk.say("classify --model net.onnx wrong.npy")
        .refused_with(1, &["[4, 8, 8]", "[3, 8, 8]"]);
    desk.say("inspect --model net.onnx --rgb 1,2,9").refused(2);
    std::fs::write(desk.path("no.npy"), "hello").unwrap();
    desk.say("classify --model net.onnx no.npy").refused(1);
}

#[test]
fn other_inputs_are_fed() {
    let network = Onnx::new()
        .input("image", &[-1, 3, 8, 8])
        .input("meta", &[-1, 3])
        .node("GlobalAveragePool", &["image"], &["gap"])
        .node("Flatten", &["gap"], &["flat"])
        .node("Add", &["flat", "meta"], &["y"]);
    let desk = desk(&network);
    desk.say("inspect --model net.onnx")
        .refused_with(1, &["\"meta\" [?, 3]", "--feed"]);
    let values = ArrayD::from_shape_vec(vec![1, 3], vec![5.0, 0.0, -5.0]).unwrap();
    save(&desk, "meta.npy", &values);
    let fed = format!("--model net.onnx --feed meta=meta.npy {PLAIN}");
    let found = desk.say(&format!("classify --json cat.png {fed}")).json();
    assert_eq!(found["images"][0]["guesses"][0]["index"], 0);
    let command = format!(
        "attribute --image cat.png --image coffee.png --method integrated-gradients,lrp --target 0 \
         --out out {fed}"
    );
    desk.say(&command).ok();
    let report = desk.report("out");
    for result in report["results"].as_array().unwrap() {
        let score = result["score"].as_f64().unwrap();
        assert!((5.0..6.0).contains(&score), "{score}");
    }
    desk.say("inspect --model net.onnx --feed meta=none.npy")
        .refused(1);
    desk.say("inspect --model net.onnx --feed meta").refused(2);
}

#[test]
fn a_file_that_does_not_open_is_opened_once() {
    // Its sizes do not fit each other, whatever flags say: the true reason is shown, not what another
    // size would have led to.
    let network = Onnx::image([1, 3, 20, 20])
        .weight("w", &[1200, 2])
        .list("shape", &[1, 1199])
        .node("Reshape", &["x", "shape"], &["flat"])
        .node("MatMul", &["flat", "w"], &["y"]);
    let desk = desk(&network);
    let plain = desk.say("classify cat.png --model net.onnx").refused(1);
    let flagged = desk
        .say("classify cat.png --model net.onnx --scale 1/255 --mean 0")
        .refused(1);
    assert_eq!(plain, flagged);
    assert!(!flagged.contains("224"), "{flagged}");
}

#[test]
fn what_is_assumed_is_said_once_and_reported() {
    let desk = desk(&means(3, [8, 8]));
    let said = desk.say("classify cat.png --model net.onnx").ok().err;
    assert_eq!(said.matches("was assumed").count(), 1, "{said}");
    let json = desk.say("classify --json cat.png --model net.onnx").json();
    assert_eq!(json["input"]["preparation"], "assumed");
    let said = desk
        .say(&format!("classify cat.png --model net.onnx {PLAIN}"))
        .ok()
        .err;
    assert!(!said.contains("was assumed"), "{said}");
    std::fs::write(
        desk.path("net.json"),
        r#"{"scale": "1/255", "mean": 0.5, "std": 0.5}"#,
    )
    .unwrap();
    let json = desk.say("classify --json cat.png --model net.onnx").json();
    assert_eq!(json["input"]["preparation"], "said by net.json");
    std::fs::write(desk.path("net.json"), r#"{"scal": "1/255", "mean": 0.5}"#).unwrap();
    desk.say("inspect --model net.onnx")
        .refused_with(2, &["\"scal\""]);
}

/// A score that is the mean of one corner, less a third of the rest's.
fn corner(size: [usize; 2], rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Onnx {
    let [h, w] = size;
    let inside = |y: usize, x: usize| rows.contains(&y) && columns.contains(&x);
    let within = (rows.len() * columns.len()) as f32;
    let without = (h * w) as f32 - within;
    let mut values = vec![0.0; 2 * 3 * h * w];
    for c in 0..3 {
        for y in 0..h {
            for x in 0..w {
                values[(c * h + y) * w + x] = match inside(y, x) {
                    true => 6.0 / (3.0 * within),
                    false => -2.0 / (3.0 * without),
                };
            }
        }
    }
    Onnx::image([1, 3, h as i64, w as i64])
        .tensor(floats("w", &[2, 3, h as i64, w as i64], values))
        .node("Conv", &["x", "w"], &["conv"])
        .node("Flatten", &["conv"], &["y"])
}

#[test]
fn on_small_pictures_methods_point_at_the_right_corner() {
    for (size, rows, columns) in [([20, 20], 0..5, 0..5), ([24, 40], 18..24, 30..40)] {
        let desk = desk(&corner(size, rows.clone(), columns.clone()));
        let array = ArrayD::from_shape_fn(vec![3, size[0], size[1]], |i| {
            match rows.contains(&i[1]) && columns.contains(&i[2]) {
                true => 0.9,
                false => 0.4,
            }
        });
        save(&desk, "x.npy", &array);
        let methods = "occlusion,feature-ablation,lime,kernel-shap,sobol,blur-ig,rise,\
                       meaningful-perturbation,extremal-perturbation";
        let command = format!(
            "attribute --model net.onnx --image x.npy --method {methods} --masks 1500 --jitter false \
             --target 0 --out out {PLAIN}"
        );
        desk.say(&command).ok();
        for method in methods.split(',') {
            let map = load2(&desk.path(format!("out/{method}/saliency.npy")));
            let corner = map.slice(s![rows.clone(), columns.clone()]);
            let mean = corner.mean().unwrap();
            let rest = (map.sum() - corner.sum()) / (map.len() - corner.len()) as f32;
            let range = map.iter().copied().fold(f32::NEG_INFINITY, f32::max)
                - map.iter().copied().fold(f32::INFINITY, f32::min);
            let contrast = (mean - rest) / range;
            assert!(contrast > 0.4, "{method} on {size:?}: {contrast}");
        }
        let report = desk.report("out");
        let results = report["results"].as_array().unwrap();
        let occlusion = results.iter().find(|r| r["method"] == "occlusion").unwrap();
        assert_eq!(
            occlusion["options"]["window"],
            if size[0] == 20 { "5" } else { "6" }
        );
        let wide = desk.say(&format!(
            "attribute --model net.onnx --image x.npy --method occlusion --window 64 --stride 64 \
             --target 0 --out wide {PLAIN}"
        ));
        let said = wide.ok().err;
        assert!(said.contains("the map is constant"), "{said}");
    }
}

#[test]
fn black_is_black_pixels() {
    let desk = desk(&means(3, [8, 8]));
    let command = "attribute --model net.onnx --image cat.png --method \
                   integrated-gradients,occlusion,rise,score-cam --masks 20 --target 0 --baseline black \
                   --out out --scale 1/255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225";
    desk.say(command).ok();
    let report = desk.report("out");
    let results = report["results"].as_array().unwrap();
    let words = results[0]["hidden_by"].as_str().unwrap();
    assert!(
        words.contains("black") && words.contains("-2.118"),
        "{words}"
    );
    let sum = results[0]["completeness"]["sum"].as_f64().unwrap();
    let weight = |c: usize| f64::from((c * 2 * 29 + 7) as u32 % 41) / 40.0 - 0.5;
    let black = [-2.117904, -2.035714, -1.804444];
    let of_black: f64 = (0..3).map(|c| weight(c) * black[c]).sum();
    let score = results[0]["score"].as_f64().unwrap();
    assert!(
        (sum - (score - of_black)).abs() < 1e-4,
        "{sum} {score} {of_black}"
    );
}
