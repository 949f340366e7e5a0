//! The pages of targets that are no classes, in a real browser.

use crate::common::Desk;
use elucid_testkit::browser::Browser;
use serde_json::json;

/// What a browser reads on the page of several methods on one target.
fn page(desk: &Desk, flags: &str) -> Option<(Browser, String)> {
    let methods = "gradient,integrated-gradients,grad-cam,occlusion,deep-lift";
    let options = "--window 8 --stride 4 --scale 1/255 --mean 0 --std 1 --out page";
    let line = format!("attribute --image coffee.png --method {methods} {options} {flags}");
    desk.say(&line).ok();
    let browser = Browser::start()?;
    browser.resize(1280, 900);
    browser.open(&desk.path("page/index.html"));
    let text = browser.run("return document.body.innerText", json!([]));
    let text = text.as_str().unwrap().to_owned();
    Some((browser, text))
}

/// Each picture shows and has a text beside it, and nothing is said of classes.
fn is_whole(browser: &Browser, text: &str) {
    let script = "return [...document.images].filter((i) => i.naturalWidth > 0 && i.alt).length";
    assert_eq!(browser.run(script, json!([])), 6);
    assert!(
        !text.contains('%') || text.contains("completeness error"),
        "{text}"
    );
}

/// Where somebody wants to look at it, the page as a picture.
fn keep(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("ELUCID_SCREENSHOTS") {
        let file = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(file, browser.screenshot()).unwrap();
    }
}

/// The colour of a pixel of the page's picture `n`, at shares of its width and height.
fn pixel(browser: &Browser, n: usize, across: f64, down: f64) -> [u8; 3] {
    let script = "
        const image = document.images[arguments[0]];
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const [x, y] = [arguments[1] * canvas.width, arguments[2] * canvas.height];
        return [...context.getImageData(x, y, 1, 1).data].slice(0, 3);";
    serde_json::from_value(browser.run(script, json!([n, across, down]))).unwrap()
}

/// Every picture has the line around what is explained, and says so.
fn is_marked(browser: &Browser, inside: (f64, f64), outside: (f64, f64)) {
    let alt = browser.run("return document.images[0].alt", json!([]));
    assert!(
        alt.as_str()
            .unwrap()
            .contains("with a line around what is explained"),
        "{alt}"
    );
    for n in 0..6 {
        assert_eq!(
            pixel(browser, n, inside.0, inside.1),
            [255; 3],
            "picture {n}"
        );
        assert_eq!(
            pixel(browser, n, outside.0, outside.1),
            [0; 3],
            "picture {n}"
        );
    }
}

#[test]
fn the_page_of_a_grey_picture_is_grey() {
    let desk = Desk::new();
    let network = elucid_testkit::onnx::Onnx::image([1, 1, 24, 24])
        .weight("w", &[6, 1, 3, 3])
        .weight("classes", &[6, 4])
        .node("Conv", &["x", "w"], &["c"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["c"], &["r"])
        .node("GlobalAveragePool", &["r"], &["p"])
        .node("Flatten", &["p"], &["f"])
        .node("MatMul", &["f", "classes"], &["y"]);
    std::fs::write(desk.path("grey.onnx"), network.bytes()).unwrap();
    let Some((browser, text)) = page(&desk, "--model grey.onnx --scores none --target 2") else {
        return;
    };
    assert!(text.contains("Explained: the output 2."), "{text}");
    is_whole(&browser, &text);
    for (across, down) in [(0.1, 0.1), (0.5, 0.5), (0.8, 0.3)] {
        let [r, g, b] = pixel(&browser, 0, across, down);
        assert!(r == g && g == b, "{r} {g} {b}");
    }
    keep(&browser, "grey");
}

#[test]
fn the_page_of_a_region_says_which() {
    let desk = Desk::new().with_files("targets");
    std::fs::write(desk.path("names.txt"), "plain\n<b>bold</b>\nshiny\n").unwrap();
    let flags = "--model surfaces.onnx --labels names.txt --target shiny@box:2,3,9,10";
    let Some((browser, text)) = page(&desk, flags) else {
        return;
    };
    let words = "Explained: the sum of the scores of shiny in columns 2 to 8 and rows 3 to 9, ends included.";
    assert!(text.contains(words), "{text}");
    is_whole(&browser, &text);
    // The map is 16 x 16: the middle of the box's upper edge, and just above it.
    is_marked(
        &browser,
        (5.5 / 16.0, 3.03 / 16.0),
        (5.5 / 16.0, 2.97 / 16.0),
    );
    keep(&browser, "surfaces");
}

#[test]
fn the_page_of_a_detected_box_says_which() {
    let desk = Desk::new().with_files("targets");
    let flags = "--model boxes.onnx --target 1@detected:15,15,32,32";
    let Some((browser, text)) = page(&desk, flags) else {
        return;
    };
    let words = "Explained: the score of class 1 detected in the box 15,15,32,32.";
    assert!(text.contains(words), "{text}");
    assert!(text.contains("--boxes changes it"), "{text}");
    assert!(text.contains("Grad-CAM\nfeatures\n"), "{text}");
    is_whole(&browser, &text);
    // The input is 32 x 32, and the box ends at its corner.
    is_marked(
        &browser,
        (24.0 / 32.0, 15.05 / 32.0),
        (24.0 / 32.0, 14.95 / 32.0),
    );
    keep(&browser, "boxes");
}
