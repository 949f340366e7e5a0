//! The examples `channel_attribution` and `neuron_groups`, and their pages in a real browser.

use std::path::{Path, PathBuf};

use crate::examples;
use elucid_testkit::browser::Browser;
use serde_json::{Value, json};

/// Runs an example in `folder` with tiny icons, and gives its page.
fn run(name: &str, folder: &Path, arguments: &[&str]) -> PathBuf {
    let quick = ["--size", "24", "--steps", "4"];
    let arguments = [&quick[..], arguments].concat();
    let (out, path) = examples::page(name, folder, &arguments);
    assert!(out.contains("in 4 steps; the notebooks take 512"), "{out}");
    assert!(path.ends_with(format!("elucid-output/{name}/{name}.html")));
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 5 << 20, "the page has {size} bytes");
    path
}

/// Opens a page; `None` where there is no browser and none is required.
fn open(path: &Path) -> Option<Browser> {
    let browser = Browser::start()?;
    browser.resize(1280, 1400);
    browser.open(path);
    Some(browser)
}

/// The texts of the elements.
fn texts(browser: &Browser, selector: &str) -> Vec<String> {
    let script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)";
    serde_json::from_value(browser.run(script, json!([selector]))).unwrap()
}

/// How many elements there are.
fn count(browser: &Browser, selector: &str) -> usize {
    texts(browser, selector).len()
}

/// Points at a place in an element, in parts of its width and height.
fn hover(browser: &Browser, selector: &str, x: f64, y: f64) {
    let script = "
        const element = document.querySelector(arguments[0]);
        element.scrollIntoView({ block: 'center' });
        const box = element.getBoundingClientRect();
        return [box.left + box.width * arguments[1], box.top + box.height * arguments[2]];";
    let point = browser.run(script, json!([selector, x, y]));
    let coordinate = |i: usize| point[i].as_f64().unwrap().floor();
    browser.hover(coordinate(0), coordinate(1));
}

/// Nothing was fetched and nothing was logged.
#[track_caller]
fn expect_quiet(browser: &Browser, name: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, browser.screenshot()).unwrap();
    println!("{}", path.display());
    assert_eq!(browser.fetched(), Vec::<String>::new());
    assert_eq!(browser.log(), Vec::<Value>::new());
}

#[test]
fn channels_are_shown_with_their_icons() {
    let folder = tempfile::tempdir().unwrap();
    let path = run("channel_attribution", folder.path(), &["--top", "2"]);
    let Some(browser) = open(&path) else {
        return;
    };
    let views = ["Linear", "Path", "Stochastic path"];
    assert_eq!(texts(&browser, ".view h2"), views);
    assert_eq!(count(&browser, ".view .tile"), 3 * 4);
    assert_eq!(count(&browser, ".tile .sprite.present"), 3 * 4);
    assert_eq!(texts(&browser, ".reading .channel"), ["No channel chosen"]);

    // A tile, and the same channel in the other views.
    let tile = ".view .tile";
    hover(&browser, tile, 0.5, 0.5);
    let channel = texts(&browser, ".tile .number")[0].clone();
    assert_eq!(
        texts(&browser, ".reading .channel"),
        [format!("Channel {channel}")]
    );
    assert_eq!(texts(&browser, ".reading dt"), views);
    assert_eq!(count(&browser, ".panel.mapped"), 1);
    assert_eq!(count(&browser, ".portrait .sprite.present"), 1);
    browser.hover(1.0, 1.0);
    assert_eq!(texts(&browser, ".reading .channel"), ["No channel chosen"]);

    // The first and the last bar are the first and the last tile.
    let numbers = texts(&browser, ".view:first-of-type .tile .number");
    for (x, number) in [(0.0005, &numbers[0]), (0.9995, &numbers[3])] {
        hover(&browser, ".view:first-of-type .bars", x, 0.5);
        assert_eq!(
            texts(&browser, ".reading .channel"),
            [format!("Channel {number}")]
        );
    }

    // A click keeps the channel.
    browser.click_on(tile);
    browser.hover(1.0, 1.0);
    assert_eq!(
        texts(&browser, ".reading .channel"),
        [format!("Channel {channel}")]
    );
    expect_quiet(&browser, "channel_attribution.png");
    browser.click_on(tile);
    browser.hover(1.0, 1.0);
    assert_eq!(texts(&browser, ".reading .channel"), ["No channel chosen"]);
}

#[test]
fn groups_are_chosen_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = run("neuron_groups", folder.path(), &["--groups", "2,3"]);
    let Some(browser) = open(&path) else {
        return;
    };
    assert_eq!(texts(&browser, ".slider output"), ["2 groups"]);
    assert_eq!(count(&browser, "tr.group"), 2);
    assert_eq!(count(&browser, ".icon img"), 2);
    // A row for what is left out, and one for all.
    let rest = texts(&browser, "tr.rest th");
    assert_eq!(rest, ["Left out", "Total"]);
    assert_eq!(texts(&browser, "thead th").len(), 3);
    assert!(count(&browser, ".edge.plus") > 0);

    // A group by its icon, and by where it is in the photograph: the dog is left.
    let idle = texts(&browser, ".which");
    hover(&browser, "tr.group .icon", 0.5, 0.5);
    assert_eq!(texts(&browser, ".which"), ["Where group 1 is active"]);
    assert_eq!(count(&browser, ".shade:not([hidden])"), 1);
    hover(&browser, "[data-panel=photo]", 0.2, 0.35);
    assert_eq!(texts(&browser, ".which"), ["Where group 1 is active"]);
    hover(&browser, "[data-panel=photo]", 0.8, 0.85);
    assert_eq!(texts(&browser, ".which"), ["Where group 2 is active"]);
    browser.hover(1.0, 1.0);
    assert_eq!(texts(&browser, ".which"), idle);

    // The slider.
    let script = "
        const slider = document.querySelector('input[name=view]');
        slider.value = 1;
        slider.dispatchEvent(new Event('input', { bubbles: true }));";
    browser.run(script, json!([]));
    assert_eq!(texts(&browser, ".slider output"), ["3 groups"]);
    assert_eq!(count(&browser, "tr.group"), 3);
    browser.click_on("tr.group .icon");
    browser.hover(1.0, 1.0);
    assert_eq!(texts(&browser, ".which"), ["Where group 1 is active"]);
    expect_quiet(&browser, "neuron_groups.png");
}
