//! What people who bring a network of their own meet first: transparent pictures, arrays as masks, answers no,
//! layers without a map, flags that contradict each other.

use std::path::Path;

use crate::common::Desk;
use elucid_testkit::onnx::{Onnx, floats};
use ndarray::{Array2, Array3};
use ndarray_npy::WriteNpyExt;

const PLAIN: &str = "--scale 1/255 --mean 0 --std 1 --resize squash";

fn desk(network: &Onnx) -> Desk {
    let desk = Desk::new();
    std::fs::write(desk.path("net.onnx"), network.bytes()).unwrap();
    desk
}

/// Scores of four classes at each pixel.
fn map() -> Onnx {
    Onnx::image([1, 3, 6, 8])
        .weight("w", &[4, 3, 1, 1])
        .node("Conv", &["x", "w"], &["y"])
}

/// The mean of each channel weighed into a probability of yes.
fn binary() -> Onnx {
    Onnx::image([1, 3, 4, 4])
        .node("GlobalAveragePool", &["x"], &["p"])
        .node("Flatten", &["p"], &["f"])
        .tensor(floats("w", &[3, 1], vec![2.0, -1.0, 0.5]))
        .node("MatMul", &["f", "w"], &["z"])
        .node("Sigmoid", &["z"], &["y"])
}

/// A picture of 4 x 4 pixels, half red and as transparent as `alpha` says.
fn veil(path: &Path, alpha: u8) {
    let picture = image::RgbaImage::from_pixel(4, 4, image::Rgba([200, 0, 0, alpha]));
    picture.save(path).unwrap();
}

#[test]
fn transparency_is_said_and_can_be_chosen() {
    let desk = desk(&binary());
    veil(&desk.path("veil.png"), 0);
    veil(&desk.path("opaque.png"), 255);
    let line = format!("classify --model net.onnx {PLAIN} --json");
    let logit = |flags: &str| {
        let ended = desk.say(&format!("{line} {flags}")).ok();
        let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let logit = report["images"][0]["guesses"][0]["logit"].as_f64().unwrap();
        (logit, ended.err)
    };
    let (white, said) = logit("veil.png");
    assert!((white - 1.5).abs() < 1e-5, "{white}");
    assert!(
        said.contains("veil.png") && said.contains("--transparency"),
        "{said}"
    );
    let (black, _) = logit("veil.png --transparency black");
    assert!(black.abs() < 1e-5, "{black}");
    let (dropped, said) = logit("veil.png --transparency dropped");
    assert!((dropped - 2.0 * 200.0 / 255.0).abs() < 1e-5, "{dropped}");
    assert!(said.contains("opacity is dropped"), "{said}");
    let (_, said) = logit("opaque.png");
    assert!(!said.contains("transparen"), "{said}");
    desk.say("classify --model net.onnx veil.png --transparency grey")
        .refused(2);

    let flags =
        format!("--image veil.png --transparency black {PLAIN} --method gradient --out out");
    desk.say(&format!("attribute --model net.onnx {flags}"))
        .ok();
    let report = desk.report("out");
    assert_eq!(report["input"]["transparency"], "black");
    let remark = report["images"][0]["remark"].as_str().unwrap();
    assert!(
        remark.contains("laid over black") && remark.contains("--transparency"),
        "{remark}"
    );
}

/// What was done to a photograph stands on its page, and of several photographs which one it was.
#[test]
fn remarks_on_photographs_say_which() {
    let desk = desk(&binary());
    veil(&desk.path("veil.png"), 0);
    veil(&desk.path("opaque.png"), 255);
    let page = |images: &str, out: &str| {
        let line =
            format!("attribute --model net.onnx {PLAIN} --target 0 --method gradient,occlusion");
        desk.say(&format!("{line} {images} --out {out}")).ok();
        desk.text(format!("{out}/index.html"))
    };
    let both = page("--image opaque.png --image veil.png", "both");
    let said = |page: &str| page.matches("laid over white").count();
    assert_eq!(said(&both), 1);
    assert!(both.contains("veil.png: "), "the remark names no file");
    let one = page("--image veil.png", "one");
    assert_eq!((said(&one), one.contains("veil.png: ")), (1, false));
    assert_eq!(said(&page("--image opaque.png", "none")), 0);
    // Pages of one photograph have it, too.
    let line = format!("channels --model net.onnx {PLAIN} --target 0 --layer p --no-icons");
    desk.say(&format!("{line} --image veil.png --out channels"))
        .ok();
    let channels = desk.text("channels/channels.html");
    assert_eq!(said(&channels), 1);
}

#[test]
fn the_answer_no_has_a_probability() {
    let desk = desk(&binary());
    let line =
        format!("attribute --model net.onnx --image cat.png {PLAIN} --method gradient --quiet");
    let score = |target: &str, out: &str| {
        desk.say(&format!(
            "{line} --probability --target {target} --out {out}"
        ))
        .ok();
        let report = desk.report(out);
        assert_eq!(report["images"][0]["target"]["kind"], "probability");
        report["results"][0]["score"].as_f64().unwrap()
    };
    let (yes, no) = (score("0", "yes"), score("none:0", "no"));
    assert!((yes + no - 1.0).abs() < 1e-6 && yes > 0.0, "{yes} {no}");
    desk.say(&format!("{line} --probability --target 0:none --out a"))
        .refused(2);
    // Of classes that exclude each other there is no such answer.
    desk.say(&format!(
        "{line} --scores softmax --logits f --probability --target none:0 --out a"
    ))
    .refused_with(1, &["softmax", "sigmoid"]);
}

#[test]
fn arrays_are_masks() {
    let desk = desk(&map());
    let mask = Array2::from_shape_fn((6, 8), |(y, x)| f32::from(u8::from(y < 2 && x > 4)));
    let save = |name: &str, array: &dyn Fn(std::fs::File)| {
        array(std::fs::File::create(desk.path(name)).unwrap());
    };
    save("mask.npy", &|file| mask.write_npy(file).unwrap());
    save("cube.npy", &|file| {
        Array3::<f32>::zeros((1, 6, 8)).write_npy(file).unwrap()
    });
    let line =
        format!("attribute --model net.onnx --image cat.png {PLAIN} --method gradient --quiet");
    desk.say(&format!("{line} --target 1@mask.npy --out out"))
        .ok();
    let found: Array3<f32> = ndarray_npy::read_npy(desk.path("out/attribution.npy")).unwrap();
    for ((_, y, x), &value) in found.indexed_iter() {
        assert_eq!(value != 0.0, y < 2 && x > 4, "{y} {x}");
    }
    desk.say(&format!("{line} --target 1@cube.npy --out a"))
        .refused_with(2, &["[1, 6, 8]", "[H, W]"]);
    desk.say(&format!("{line} --target 1@absent.npy --out a"))
        .refused_with(2, &["no file absent.npy"]);
}

/// A layer whose axes nobody knows is said to be that, and not to have no positions; reports say what axes are.
#[test]
fn layers_say_what_their_axes_are() {
    let network = Onnx::image([1, 3, 4, 4])
        .list("mixed", &[1, 4, 4, 3])
        .node("Relu", &["x"], &["r"])
        .node("Reshape", &["r", "mixed"], &["odd"])
        .node("Flatten", &["odd"], &["f"])
        .weight("w", &[48, 5])
        .node("MatMul", &["f", "w"], &["y"]);
    let desk = desk(&network);
    let line = format!("attribute --model net.onnx --image cat.png {PLAIN} --method gradient");
    let ended = desk.say(&format!("{line} --layer r,odd,f --out out")).ok();
    let about_odd: Vec<&str> = ended
        .err
        .lines()
        .filter(|line| line.contains("odd"))
        .collect();
    assert_eq!(about_odd.len(), 1, "{}", ended.err);
    assert!(
        about_odd[0].contains("the layout of layer \"odd\""),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("f has no positions"), "{}", ended.err);
    let report = desk.report("out");
    let layouts: Vec<&str> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["layer"]["layout"].as_str().unwrap())
        .collect();
    assert_eq!(layouts, ["channels first", "unknown", "unknown"]);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let desk = desk(&map());
    let line =
        format!("attribute --model net.onnx --image cat.png {PLAIN} --method gradient --out a");
    for boxes in [
        "cxcywh,xyxy",
        "pixels,normalised",
        "anchors-first,anchors-last",
    ] {
        desk.say(&format!(
            "{line} --target 1@detected:0,0,2,2 --boxes {boxes}"
        ))
        .refused_with(2, &["one of"]);
    }
    let twice = "--feed a=cat.npy --feed a=cat.npy";
    save_cat(&desk);
    let message = desk.say(&format!("{line} {twice}")).refused(1);
    assert!(
        message.contains("fed twice") || message.contains("no input"),
        "{message}"
    );
}

/// Sets of rules that are about nothing are left out, and somebody is told when none is left.
#[test]
fn rules_about_nothing_are_refused() {
    let network = Onnx::image([1, 3, 8, 8])
        .weight("v", &[4, 3, 1, 1])
        .node("Conv", &["x", "v"], &["a"])
        .weight("w", &[4, 4, 1, 1])
        .node("Conv", &["a", "w"], &["b"])
        .node("GlobalAveragePool", &["b"], &["p"])
        .node("Flatten", &["p"], &["y"]);
    let desk = desk(&network);
    let line = format!(
        "spatial --model net.onnx --image cat.png {PLAIN} --from a --to b --quiet --out out"
    );
    desk.say(&format!("{line} --rules smooth,smooth-blur"))
        .refused_with(1, &["none of the --rules"]);
    assert!(!desk.path("out").exists());
}

fn save_cat(desk: &Desk) {
    let file = std::fs::File::create(desk.path("cat.npy")).unwrap();
    Array2::<f32>::zeros((1, 1)).write_npy(file).unwrap();
}

/// Many steps begin at once, and many numbers are refused before any.
#[test]
fn large_numbers_are_refused_with_what_they_would_take() {
    let desk = desk(&map());
    let line = format!("attribute --model net.onnx --image cat.png {PLAIN} --target 1@box:0,0,4,4");
    desk.say(&format!("{line} --method sobol --design 100000000 --out a"))
        .refused_with(1, &["GB", "--memory-limit"]);
    let steps = "--method integrated-gradients --quadrature adaptive --max-evaluations 100000000";
    desk.say(&format!("{line} {steps} --out a"))
        .refused_with(1, &["100000000 evaluations"]);
}
