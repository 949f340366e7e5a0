//! The example `transformer`, and its page in a real browser.

use elucid_testkit::browser::{Browser, key};
use serde_json::{Value, json};

use crate::examples;

/// Rows and columns of the patches.
const GRID: [usize; 2] = [8, 8];

/// The number of a table's row in the column that is pointed at, or chosen.
fn number(browser: &Browser, row: usize, column: usize) -> f64 {
    let script = "return document.querySelectorAll('.numbers tbody tr')[arguments[0]].children[arguments[1]].textContent";
    let text = browser.run(script, json!([row, column]));
    let text = text.as_str().unwrap().replace('\u{2212}', "-");
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// The data of the page: weights of a block's head from one token to another.
fn weight(browser: &Browser, block: usize, head: usize, from: usize, to: usize) -> f64 {
    let script = "
        const { blocks, steps } = elucid.data();
        const { scales, values } = blocks[arguments[0]].weights;
        const row = arguments[1] * 65 + arguments[2];
        return elucid.int16(values)[row * 65 + arguments[3]] * scales[row] / steps;";
    let weight = browser.run(script, json!([block, head, from, to]));
    weight.as_f64().unwrap()
}

/// Training is cut short: what is attended to means less, and the page is the same.
#[test]
fn the_example_makes_a_page_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--steps", "20", "--left", "ring", "--right", "triangle"];
    let (said, path) = examples::page("transformer", folder.path(), &arguments);
    assert!(path.ends_with("elucid-output/transformer/transformer.html"));
    for part in [
        "blocks.0.attn: (4, 65, 65)",
        "blocks.2.attn",
        "relevance for ring",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    let Some(browser) = Browser::start() else {
        return;
    };
    browser.resize(1280, 1400);
    browser.open(&path);
    let count = |selector: &str| {
        browser.run(
            "return document.querySelectorAll(arguments[0]).length",
            json!([selector]),
        )
    };
    assert_eq!(
        [count("#heads label"), count("#blocks label")],
        [json!(5), json!(3)]
    );
    assert_eq!(count(".picture"), 5);

    // One patch of one head: its row and its column are those of the weights.
    let script = "
        const list = document.querySelector('select[name=head]');
        list.value = '2';
        list.dispatchEvent(new Event('input', { bubbles: true }));";
    browser.run(script, json!([]));
    let point = |[row, column]: [usize; 2]| {
        let share = |i: usize, of: usize| (i as f64 + 0.5) / of as f64;
        browser.point_in("#picker", 0, share(column, GRID[1]), share(row, GRID[0]))
    };
    let (x, y) = point([6, 1]);
    browser.click(x, y);
    let (x, y) = point([2, 5]);
    browser.hover(x, y);
    let (kept, read) = (1 + 6 * 8 + 1, 1 + 2 * 8 + 5);
    let close = |got: f64, expected: f64| (got - expected).abs() <= 5e-3 * expected.abs() + 1e-12;
    let attends = weight(&browser, 2, 2, kept, read);
    let attended = weight(&browser, 2, 2, read, kept);
    assert!(close(number(&browser, 0, 5), attends), "{attends}");
    assert!(close(number(&browser, 1, 5), attended), "{attended}");
    // Weights to all patches and to the class token add up to 1.
    let sum = number(&browser, 0, 3) + number(&browser, 0, 4);
    assert!((sum - 1.0).abs() < 2e-3, "{sum}");

    browser.run(
        "document.querySelector('#picker').focus({ focusVisible: true })",
        json!([]),
    );
    browser.keys(&[key::ESCAPE, key::HOME].concat());
    let status = browser.run(
        "return document.querySelector('.status').textContent",
        json!([]),
    );
    assert_eq!(status, "Row 7, column 1");
    assert_eq!(browser.fetched(), Vec::<String>::new());
    assert_eq!(browser.log(), Vec::<Value>::new());
}
