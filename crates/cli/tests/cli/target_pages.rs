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

/// Each method has a picture with a text beside it, and nothing is said of classes.
fn is_whole(browser: &Browser, text: &str) {
    let script = "return [...document.images].filter((i) => i.naturalWidth > 0 && i.alt).length";
    assert_eq!(browser.run(script, json!([])), 6);
    assert!(
        !text.contains('%') || text.contains("completeness error"),
        "{text}"
    );
    if let Some(folder) = std::env::var_os("ELUCID_SCREENSHOTS") {
        let png = browser.screenshot();
        let name = if text.contains("box") {
            "boxes"
        } else {
            "surfaces"
        };
        std::fs::write(
            std::path::Path::new(&folder).join(format!("{name}.png")),
            png,
        )
        .unwrap();
    }
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
}
