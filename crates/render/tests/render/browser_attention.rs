//! The page of attention in a real browser: whose row and column is drawn, by mouse, keyboard and finger.

use elucid_render::{AttentionMethod, AttentionView, AttentionWidget, ColorMap, Picture};
use elucid_testkit::browser::key;
use ndarray::{Array2, Array3, s};
use serde_json::{Value, json};

use crate::page::{HOSTILE, Page, contrast, plain};

/// Grids that no mix-up of rows, columns and tokens leaves unnoticed.
const GRID: (usize, usize) = (3, 5);
/// A class token and a register.
const PREFIX: usize = 2;
const TOKENS: usize = PREFIX + GRID.0 * GRID.1;
const HEADS: [usize; 2] = [2, 3];

const ATTENDS: usize = 0;
const ATTENDED: usize = 1;
const CHEFER: usize = 3;
const RELEVANCE: usize = 4;

fn token((row, column): (usize, usize)) -> usize {
    PREFIX + row * GRID.1 + column
}

/// The patch that a token attends to most, another one for each token, head and block.
fn planted(block: usize, head: usize, token: usize) -> usize {
    PREFIX + (7 * token + 3 * head + 5 * block + 2) % (TOKENS - PREFIX)
}

fn weights(block: usize) -> Array3<f32> {
    Array3::from_shape_fn((HEADS[block], TOKENS, TOKENS), |(head, from, to)| {
        let faint = 0.01 + 0.002 * ((3 * from + 5 * to + head) % 7) as f32;
        if to == planted(block, head, from) {
            0.4 + 0.01 * from as f32
        } else {
            faint
        }
    })
}

/// The identity and something faint, other for each class.
fn chefer() -> Array3<f32> {
    Array3::from_shape_fn((2, TOKENS, TOKENS), |(class, from, to)| {
        let own = if from == to { 1.0 } else { 0.0 };
        own + 0.01 * ((from + 2 * to + 4 * class) % 9) as f32
    })
}

fn relevance() -> Array3<f32> {
    Array3::from_shape_fn((2, GRID.0, GRID.1), |(class, y, x)| {
        (class as f32 - 0.4) * (y as f32 - 0.7 * x as f32)
    })
}

pub fn widget() -> AttentionWidget {
    let photo = Array3::from_shape_fn((96, 160, 3), |(y, x, c)| (y + x + 40 * c) as u8);
    let photo = Picture::from_rgb(photo.view()).unwrap();
    AttentionWidget::new(&photo, GRID.into())
        .prefix(["class token", "register 1"])
        .view(AttentionView::new("blocks.0.attn", weights(0)))
        .view(AttentionView::new(HOSTILE, weights(1)))
        .classes(["cat", HOSTILE])
        .method(
            AttentionMethod::rows("Rollout", Array2::from_elem((TOKENS, TOKENS), 0.1))
                .description(HOSTILE),
        )
        .method(AttentionMethod::rows_by_class("Chefer", chefer()))
        .method(AttentionMethod::maps_by_class("AttnLRP", relevance()))
        .predictions([(HOSTILE, 0.75)])
        .fact("Model", HOSTILE)
}

fn open(widget: &AttentionWidget) -> Option<Page> {
    Page::open(|path| widget.save(path))
}

/// A row or a column of a block's weights, of a head or of the mean of all; patches only.
fn line(figure: usize, block: usize, head: Option<usize>, token: usize) -> Vec<f32> {
    let weights = weights(block);
    let matrix = match head {
        Some(head) => weights.slice(s![head, .., ..]).to_owned(),
        None => weights.mean_axis(ndarray::Axis(0)).unwrap(),
    };
    let line = match figure {
        ATTENDS => matrix.row(token).to_vec(),
        _ => matrix.column(token).to_vec(),
    };
    line[PREFIX..].to_vec()
}

/// The page picks from tables of colours, so a channel may be off by the step between two of them.
#[track_caller]
fn expect_colors(page: &Page, figure: usize, expected: impl Iterator<Item = [u8; 3]>) {
    let got = page.colors(".picture .map", figure);
    let expected: Vec<[u8; 3]> = expected.collect();
    assert_eq!(got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let near = (0..3).all(|c| got[c].abs_diff(expected[c]) <= 4);
        assert!(
            near,
            "figure {figure}, patch {i}: {got:?}, expected {expected:?}"
        );
    }
}

fn scaled(values: &[f32], limit: f32) -> impl Iterator<Item = [u8; 3]> {
    values.iter().map(move |v| ColorMap::Inferno.map(v / limit))
}

fn largest(values: &[f32]) -> f32 {
    values.iter().copied().fold(0.0, f32::max)
}

/// Both pictures show the token's row and column, and the outline is where it is.
#[track_caller]
fn expect_token(page: &Page, block: usize, head: Option<usize>, token: usize) {
    for figure in [ATTENDS, ATTENDED] {
        let values = line(figure, block, head, token);
        expect_colors(page, figure, scaled(&values, largest(&values)));
        let cell = outlined(page, &format!("[data-picture='{figure}'] .cell"));
        assert_eq!(cell, token.checked_sub(PREFIX));
    }
    assert_eq!(outlined(page, "#picker .cell"), token.checked_sub(PREFIX));
    let pressed = page.run(
        "return [...document.querySelectorAll('.token')].map((b) => b.ariaPressed === 'true')",
    );
    assert_eq!(pressed, json!([token == 0, token == 1]));
}

/// The patch under an outline, by number, if it is shown.
fn outlined(page: &Page, selector: &str) -> Option<usize> {
    let script = "
        const cell = document.querySelector(arguments[0]);
        if (cell.hidden) return null;
        const [a, b] = [cell.getBoundingClientRect(), cell.parentElement.getBoundingClientRect()];
        return [(a.top - b.top) / a.height, (a.left - b.left) / a.width];";
    let place = page.browser.run(script, json!([selector]));
    let at = |i: usize| Some(place[i].as_f64()?.round() as usize);
    Some(at(0)? * GRID.1 + at(1)?)
}

fn share(i: usize, count: usize) -> f64 {
    (i as f64 + 0.5) / count as f64
}

fn hover(page: &Page, selector: &str, (row, column): (usize, usize)) {
    page.hover(selector, 0, share(column, GRID.1), share(row, GRID.0));
}

fn point(page: &Page, selector: &str, (row, column): (usize, usize)) -> (f64, f64) {
    let (across, down) = (share(column, GRID.1), share(row, GRID.0));
    page.browser.point_in(selector, 0, across, down)
}

fn click(page: &Page, selector: &str, cell: (usize, usize)) {
    let (x, y) = point(page, selector, cell);
    page.browser.click(x, y);
}

/// Chooses a value of a list, as its user would.
fn select(page: &Page, name: &str, value: &str) {
    let script = "
        const list = document.querySelector(`select[name=${arguments[0]}]`);
        list.value = arguments[1];
        list.dispatchEvent(new Event('input', { bubbles: true }));
        return list.value;";
    assert_eq!(page.browser.run(script, json!([name, value])), value);
}

/// A cell of the table of numbers.
fn number(page: &Page, row: usize, column: usize) -> String {
    let (row, column) = (row + 1, column + 1);
    page.text(&format!("tbody tr:nth-child({row}) > :nth-child({column})"))
}

/// What a reader is told, once it is.
fn announced(page: &Page, part: &str) -> String {
    for _ in 0..50 {
        let said = page.text("#announcement");
        if said.contains(part) {
            return said;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{part:?} is not in {:?}", page.text("#announcement"))
}

#[test]
fn the_mouse_shows_what_attends_to_what() {
    let Some(page) = open(&widget()) else {
        return;
    };
    // At first the class token, in the last block.
    expect_token(&page, 1, None, 0);
    for cell in [(0, 0), (0, 4), (2, 0), (2, 4), (1, 2)] {
        hover(&page, "#picker", cell);
        expect_token(&page, 1, None, token(cell));
    }
    // What was pointed at last stays.
    page.leave();
    expect_token(&page, 1, None, token((1, 2)));
    page.hover(".token", 1, 0.5, 0.5);
    expect_token(&page, 1, None, 1);

    // A click keeps a patch; others are then only read.
    click(&page, "#picker", (2, 3));
    hover(&page, "#picker", (0, 1));
    expect_token(&page, 1, None, token((2, 3)));
    assert_eq!(outlined(&page, "#picker .probe"), Some(1));
    let row = line(ATTENDS, 1, None, token((2, 3)));
    let read: f32 = number(&page, ATTENDS, 6).parse().unwrap();
    assert!((read / row[1] - 1.0).abs() < 5e-3, "{read} {}", row[1]);
    hover(&page, "[data-picture='1'] .panel", (2, 0));
    assert_eq!(outlined(&page, "[data-picture='4'] .probe"), Some(10));
    let column = line(ATTENDED, 1, None, token((2, 3)));
    let read: f32 = number(&page, ATTENDED, 6).parse().unwrap();
    assert!((read / column[10] - 1.0).abs() < 5e-3);
    page.leave();
    assert_eq!(outlined(&page, "#picker .probe"), None);
    click(&page, "#picker", (2, 3));
    hover(&page, "#picker", (0, 0));
    expect_token(&page, 1, None, token((0, 0)));
    click(&page, "#picker", (0, 2));
    page.browser.keys(key::ESCAPE);
    hover(&page, "#picker", (2, 2));
    expect_token(&page, 1, None, token((2, 2)));
    page.expect_quiet();
}

/// One weight is hot: its place is where the page says.
#[test]
fn a_hot_weight_is_where_it_is() {
    let (from, to) = (token((2, 1)), token((0, 3)));
    let mut hot = Array3::from_elem((1, TOKENS, TOKENS), 1e-6);
    hot[[0, from, to]] = 0.9;
    let photo = plain(60, 100, 128);
    let page = AttentionWidget::new(&photo, GRID.into())
        .prefix(["class token", "register 1"])
        .view(AttentionView::new("block", hot));
    let Some(page) = open(&page) else {
        return;
    };
    let bright = |figure: usize| -> Vec<usize> {
        let colors = page.colors(".picture .map", figure);
        let is_bright = |&i: &usize| colors[i] == ColorMap::Inferno.map(1.0);
        (0..colors.len()).filter(is_bright).collect()
    };
    hover(&page, "#picker", (2, 1));
    assert_eq!(bright(ATTENDS), [to - PREFIX]);
    assert_eq!(number(&page, ATTENDS, 1), "row 1, column 4");
    assert_eq!(number(&page, ATTENDS, 2), "0.900");
    hover(&page, "#picker", (0, 3));
    assert_eq!(bright(ATTENDED), [from - PREFIX]);
    assert_eq!(number(&page, ATTENDED, 1), "row 3, column 2");
    // By one scale for all tokens, what is faint stays dark.
    assert!(bright(ATTENDS).len() > 1);
    page.browser.click_on("input[value=all] + span");
    assert!(bright(ATTENDS).is_empty());
    assert_eq!(bright(ATTENDED), [from - PREFIX]);
    page.expect_quiet();
}

#[test]
fn the_keyboard_reaches_everything() {
    let Some(page) = open(&widget()) else {
        return;
    };
    page.focus("#picker");
    expect_token(&page, 1, None, token((1, 2)));
    page.browser.keys(&[key::UP, key::LEFT].concat());
    expect_token(&page, 1, None, token((0, 1)));
    page.browser
        .keys(&[key::UP, key::END, key::RIGHT, key::PAGE_DOWN].concat());
    expect_token(&page, 1, None, token((2, 4)));
    let said = announced(&page, "Row 3, column 5");
    let row = line(ATTENDS, 1, None, token((2, 4)));
    let peak = (0..row.len())
        .max_by(|&a, &b| row[a].total_cmp(&row[b]))
        .unwrap();
    let peak = format!("Attends to: row {}, column {}", peak / 5 + 1, peak % 5 + 1);
    assert!(said.contains(&peak), "{said}");

    // Kept, arrow keys read others, and Enter takes what is read.
    page.browser
        .keys(&[key::ENTER, key::LEFT, key::UP].concat());
    expect_token(&page, 1, None, token((2, 4)));
    assert_eq!(outlined(&page, "#picker .probe"), Some(8));
    announced(&page, "Row 2, column 4, read for row 3, column 5");
    page.browser.keys(key::ESCAPE);
    assert_eq!(outlined(&page, "#picker .probe"), None);
    page.browser.keys(key::LEFT);
    expect_token(&page, 1, None, token((2, 3)));

    // From the photograph to the tokens that are no patches.
    page.browser.keys(key::TAB);
    expect_token(&page, 1, None, 0);
    page.browser.keys(&[key::TAB, key::ENTER].concat());
    expect_token(&page, 1, None, 1);
    assert!(page.text(".status").contains("kept"));
    // Heads and blocks, of which those that are chosen have the focus first.
    page.browser.keys(&[key::TAB, key::RIGHT].concat());
    expect_token(&page, 1, Some(0), 1);
    page.browser.keys(&[key::TAB, key::LEFT].concat());
    expect_token(&page, 0, Some(0), 1);
    page.expect_quiet();
}

#[test]
fn fingers_keep_what_they_tap_and_read_what_they_touch() {
    let Some(page) = open(&widget()) else {
        return;
    };
    let tap = |selector: &str, cell| {
        let (x, y) = point(&page, selector, cell);
        page.browser.tap(x, y);
    };
    tap("#picker", (1, 4));
    expect_token(&page, 1, None, token((1, 4)));
    tap("#picker", (2, 0));
    expect_token(&page, 1, None, token((2, 0)));
    tap("[data-picture='0'] .panel", (0, 2));
    expect_token(&page, 1, None, token((2, 0)));
    assert_eq!(outlined(&page, "#picker .probe"), Some(2));
    assert!(page.text(".status").contains("kept"));
    tap("#picker", (2, 0));
    assert!(!page.text(".status").contains("kept"));
    page.tap(".token", 0);
    expect_token(&page, 1, None, 0);
    page.expect_quiet();
}

#[test]
fn blocks_and_heads_are_chosen_by_list_and_by_picture() {
    let Some(page) = open(&widget()) else {
        return;
    };
    hover(&page, "#picker", (1, 1));
    let chosen = token((1, 1));
    select(&page, "head", "2");
    expect_token(&page, 1, Some(2), chosen);
    assert!(page.text("#block").contains(HOSTILE) && page.text("#block").contains("head 2"));
    // The other block has no third head.
    select(&page, "block", "0");
    expect_token(&page, 0, None, chosen);
    assert_eq!(page.count("#heads label"), 3);
    // Small pictures show each head of the block, by its own scale.
    for (n, head) in [None, Some(0), Some(1)].into_iter().enumerate() {
        let values = line(ATTENDS, 0, head, chosen);
        let got = page.colors("#heads canvas", n);
        let expected: Vec<_> = scaled(&values, largest(&values)).collect();
        let near = |(a, b): (&[u8; 3], &[u8; 3])| (0..3).all(|c| a[c].abs_diff(b[c]) <= 4);
        assert!(got.iter().zip(&expected).all(near), "{head:?}");
    }
    page.browser.click_on("#heads label:nth-child(3)");
    expect_token(&page, 0, Some(1), chosen);
    page.browser.click_on("#blocks label:nth-child(2)");
    expect_token(&page, 1, Some(1), chosen);
    assert_eq!(page.count("#heads input:checked"), 1);
    assert_eq!(page.count("#blocks input:checked"), 1);
    page.expect_quiet();
}

#[test]
fn methods_follow_the_token_and_the_class() {
    let Some(page) = open(&widget()) else {
        return;
    };
    for class in [0, 1] {
        select(&page, "class", &class.to_string());
        for cell in [(0, 2), (2, 4)] {
            hover(&page, "#picker", cell);
            let own = token(cell);
            let row = chefer().slice(s![class, own, ..]).to_vec();
            // The identity at the patch itself is beyond the scale.
            let others = (PREFIX..TOKENS).filter(|&i| i != own).map(|i| row[i]);
            let limit = others.fold(0.0, f32::max);
            expect_colors(&page, CHEFER, scaled(&row[PREFIX..], limit));
            let strongest = number(&page, CHEFER, 1);
            let (y, x) = cell;
            assert_ne!(strongest, format!("row {}, column {}", y + 1, x + 1));
            let map = relevance().slice(s![class, .., ..]).to_owned();
            let limit = map.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            let signed = map
                .iter()
                .map(|v| ColorMap::Glow.map(0.5 + 0.5 * v / limit));
            expect_colors(&page, RELEVANCE, signed);
        }
    }
    // Relevance is of patches only.
    assert_eq!(number(&page, RELEVANCE, 4), "\u{2013}");
    assert_eq!(page.count("[data-picture='4'] .others li"), 0);
    assert_eq!(page.count("[data-picture='3'] .others li"), 2);
    page.expect_quiet();
}

#[test]
fn without_a_class_token_all_patches_stand_together() {
    let tokens = GRID.0 * GRID.1;
    let weights = Array3::from_shape_fn((1, tokens, tokens), |(_, i, j)| {
        1.0 + ((i + 3 * j) % 4) as f32
    });
    let mean = weights.sum_axis(ndarray::Axis(1)) / tokens as f32;
    let mean = mean.row(0).to_vec();
    let page = AttentionWidget::new(&plain(30, 50, 80), GRID.into())
        .view(AttentionView::new("block", weights));
    let Some(page) = open(&page) else {
        return;
    };
    expect_colors(&page, ATTENDS, scaled(&mean, largest(&mean)));
    assert_eq!(page.text(".status"), "All patches together");
    hover(&page, "#picker", (1, 1));
    page.hover(".token", 0, 0.5, 0.5);
    expect_colors(&page, ATTENDS, scaled(&mean, largest(&mean)));
    // One block of one head, no method: nothing to choose from.
    assert_eq!(page.count(".strip:not([hidden])"), 0);
    assert_eq!(page.count(".methods"), 0);
    page.expect_fits();
    page.expect_quiet();
}

#[test]
fn attention_pages_fit_every_screen_and_stand_out() {
    let Some(page) = open(&widget()) else {
        return;
    };
    page.expect_fits();
    for scheme in ["light", "dark"] {
        page.browser.emulate("prefers-color-scheme", scheme);
        for selector in [
            ".of",
            ".ticks",
            ".others .value",
            ".strip legend",
            "thead th",
        ] {
            let contrast = contrast(&page, selector, "color");
            assert!(contrast >= 4.5, "{scheme}, {selector}: {contrast:.2}");
        }
    }
    page.browser.emulate("prefers-contrast", "more");
    let contrast = contrast(&page, ".of", "color");
    assert!(contrast > 12.0, "{contrast:.2}");
    page.browser.emulate("forced-colors", "active");
    let kept = "return [...document.querySelectorAll('canvas, .swatch, .panel')]
        .every((e) => getComputedStyle(e).forcedColorAdjust === 'none')";
    assert_eq!(page.run(kept), true);
    let backgrounds = page.run(
        "return [...document.querySelectorAll('.token')].map((e) => getComputedStyle(e).backgroundColor)",
    );
    assert_ne!(backgrounds[0], backgrounds[1]);
    page.expect_quiet();
}

/// What tools for accessibility ask of every page.
#[test]
fn everything_has_a_name_and_a_place() {
    let Some(page) = open(&widget()) else {
        return;
    };
    let nameless = page.run(
        "
        const named = (e) =>
            e.ariaLabel || e.getAttribute('aria-labelledby') || e.labels?.[0]?.textContent.trim() ||
            e.textContent.trim();
        const all = document.querySelectorAll('button, input, select, [tabindex], [role=group], [role=region]');
        return [...all].filter((e) => !named(e)).map((e) => e.outerHTML);",
    );
    assert_eq!(nameless, json!([]));
    let ids = page.run(
        "
        const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
        const refers = [...document.querySelectorAll('[aria-labelledby], [aria-describedby]')]
            .flatMap((e) => [e.getAttribute('aria-labelledby'), e.getAttribute('aria-describedby')])
            .filter(Boolean);
        return [ids.length - new Set(ids).size, refers.filter((id) => !ids.includes(id))];",
    );
    assert_eq!(ids, json!([0, []]));
    let images = "return [...document.images].filter((i) => !i.src.startsWith('data:')).length";
    assert_eq!(page.run(images), 0);
    let levels =
        page.run("return [...document.querySelectorAll('h1, h2, h3')].map((e) => e.tagName)");
    let levels: Vec<String> = serde_json::from_value(levels).unwrap();
    assert_eq!(levels.iter().filter(|level| *level == "H1").count(), 1);
    // What is touched is large enough.
    let small = page.run(
        "
        const box = (e) => e.getBoundingClientRect();
        return [...document.querySelectorAll('.token, .thumbnails label, select')]
            .filter((e) => box(e).width < 24 || box(e).height < 24).map((e) => e.outerHTML);",
    );
    assert_eq!(small, json!([]));
    assert_eq!(page.text("h1"), "Attention");
    assert_eq!(page.text(".predictions li span"), HOSTILE);
    let options: Value =
        page.run("return [...document.querySelector('select').options].map((o) => o.text)");
    assert_eq!(options, json!(["blocks.0.attn", HOSTILE]));
    page.expect_quiet();
}
