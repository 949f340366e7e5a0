//! The pages in a real browser: what is pointed at, what is drawn, and that nothing is fetched.

use elucid_render::{
    ColorMap, Figure, Gallery, GallerySection, Picture, SpatialHints, SpatialView, SpatialWidget,
    orange_blue,
};
use elucid_testkit::browser::{Browser, key};
use ndarray::{Array3, Array4, Axis};
use serde_json::{Value, json};

/// Sides of the page.
const FROM: usize = 0;
const TO: usize = 1;

/// Grids that no mix-up of rows, columns and layers leaves unnoticed: `[H2, W2, H1, W1]`.
const SHAPE: (usize, usize, usize, usize) = (3, 5, 4, 7);

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>";
const QUOTES: &str = "\"quotes' & <b>";

/// Every deep cell has one brightest source, no two the same within a row of cells.
fn planted(y2: usize, x2: usize) -> (usize, usize) {
    ((y2 + x2) % 4, (2 * x2 + 3 * y2) % 7)
}

fn planted_maps(sign: f32) -> Array4<f32> {
    let mut maps = Array4::from_shape_fn(SHAPE, |(y2, x2, y1, x1)| {
        0.01 * ((7 * y2 + 5 * x2 + 3 * y1 + x1) % 11) as f32 - 0.05
    });
    for y2 in 0..SHAPE.0 {
        for x2 in 0..SHAPE.1 {
            let (y1, x1) = planted(y2, x2);
            maps[[y2, x2, y1, x1]] = sign * (1.0 + (y2 * SHAPE.1 + x2) as f32 / 10.0);
        }
    }
    maps
}

fn hints() -> SpatialHints {
    SpatialHints {
        from: Array3::from_shape_fn((2, SHAPE.2, SHAPE.3), |(k, y, x)| {
            (k as f32 - 0.4) * (y as f32 - 1.5 * x as f32)
        }),
        to: Array3::from_shape_fn((2, SHAPE.0, SHAPE.1), |(k, y, x)| {
            (0.6 - k as f32) * (2.0 * y as f32 - x as f32)
        }),
    }
}

pub fn widget() -> SpatialWidget {
    let photo = Array3::from_shape_fn((96, 168, 3), |(y, x, c)| (y + x + 40 * c) as u8);
    let photo = Picture::from_rgb(photo.view()).unwrap();
    SpatialWidget::new(&photo, HOSTILE, "inception_4d")
        .title(QUOTES)
        .view(SpatialView::new("True gradient", planted_maps(1.0)).hints(hints()))
        .view(
            SpatialView::new(HOSTILE, planted_maps(-1.0))
                .description(QUOTES)
                .hints(hints())
                .replaced_gradients(),
        )
        .classes([QUOTES, HOSTILE])
        .predictions([(HOSTILE, 0.75)])
        .fact("Model", HOSTILE)
}

/// The page of [`widget`], open.
struct Page {
    browser: Browser,
    _folder: tempfile::TempDir,
}

impl Page {
    fn open(widget: SpatialWidget) -> Option<Self> {
        let browser = Browser::start()?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spatial.html");
        widget.save(&path).unwrap();
        browser.resize(1200, 1000);
        browser.open(&path);
        Some(Page {
            browser,
            _folder: folder,
        })
    }

    /// The centre of a cell in the viewport.
    fn centre(&self, view: usize, side: usize, cell: (usize, usize)) -> (f64, f64) {
        self.browser.cell_centre(view, side, cell, grid(side))
    }

    fn hover(&self, view: usize, side: usize, cell: (usize, usize)) {
        let (x, y) = self.centre(view, side, cell);
        self.browser.hover(x, y);
    }

    fn click(&self, view: usize, side: usize, cell: (usize, usize)) {
        let (x, y) = self.centre(view, side, cell);
        self.browser.click(x, y);
    }

    fn tap(&self, view: usize, side: usize, cell: (usize, usize)) {
        let (x, y) = self.centre(view, side, cell);
        self.browser.tap(x, y);
    }

    fn leave(&self) {
        self.browser.hover(1.0, 1.0);
    }

    fn keys(&self, keys: &[&str]) {
        self.browser.keys(&keys.concat());
    }

    fn focus(&self, view: usize, side: usize) {
        self.browser.run(
            "document.querySelectorAll('.view')[arguments[0]]
                .querySelectorAll('.panel')[arguments[1]].focus({ focusVisible: true })",
            json!([view, side]),
        );
    }

    /// The bytes of a panel's canvas, RGBA in row order.
    fn canvas(&self, view: usize, side: usize, (rows, columns): (usize, usize)) -> Vec<u8> {
        let (height, width, bytes) = self.browser.map(view, side);
        assert_eq!((height, width), (rows, columns));
        bytes
    }

    /// The colours of a panel's cells in row order.
    fn colors(&self, view: usize, side: usize) -> Vec<[u8; 3]> {
        self.canvas(view, side, grid(side))
            .chunks(4)
            .map(|pixel| {
                assert_eq!(pixel[3], 255);
                [pixel[0], pixel[1], pixel[2]]
            })
            .collect()
    }

    /// The outlined cell of a panel.
    fn outlined(&self, view: usize, side: usize) -> Option<(usize, usize)> {
        let script = "
            const view = document.querySelectorAll('.view')[arguments[0]];
            const panel = view.querySelectorAll('.panel')[arguments[1]];
            const cell = panel.querySelector('.cell');
            if (cell.hidden) return null;
            const [a, b] = [cell.getBoundingClientRect(), panel.getBoundingClientRect()];
            return [
              (a.top - b.top) / a.height, (a.left - b.left) / a.width,
              getComputedStyle(cell).outlineColor,
            ];";
        let place = self.browser.run(script, json!([view, side]));
        if place.is_null() {
            return None;
        }
        assert_eq!(place[2], "rgb(255, 102, 0)", "hsl(24, 100%, 50%)");
        let index = |i: usize| place[i].as_f64().expect("a number").round() as usize;
        Some((index(0), index(1)))
    }

    fn text(&self, selector: &str) -> String {
        let text = self.browser.run(
            "return document.querySelector(arguments[0]).textContent",
            json!([selector]),
        );
        text.as_str().expect("a text").to_owned()
    }

    /// Both views show on one side what the data say of a cell of the other side.
    #[track_caller]
    fn expect_cell(&self, side: usize, cell: (usize, usize)) {
        for (view, sign) in [(0, 1.0), (1, -1.0)] {
            let maps = planted_maps(sign);
            let limit = maps.fold(0.0_f32, |largest, v| largest.max(v.abs()));
            let values = if side == TO {
                maps.index_axis(Axis(0), cell.0)
                    .index_axis(Axis(0), cell.1)
                    .to_owned()
            } else {
                maps.index_axis(Axis(3), cell.1)
                    .index_axis(Axis(2), cell.0)
                    .to_owned()
            };
            let expected: Vec<[u8; 3]> = values.iter().map(|v| color(*v, limit)).collect();
            expect_colors(&self.colors(view, 1 - side), &expected);
            assert_eq!(self.outlined(view, side), Some(cell));
            assert_eq!(self.outlined(view, 1 - side), None);
        }
    }

    #[track_caller]
    fn expect_idle(&self) {
        let hints = hints();
        for view in 0..2 {
            for (side, maps) in [(FROM, &hints.from), (TO, &hints.to)] {
                let (a, b) = (maps.index_axis(Axis(0), 0), maps.index_axis(Axis(0), 1));
                let picture = Picture::from_unit_rgb(orange_blue(a, b).unwrap().view()).unwrap();
                let expected: Vec<[u8; 3]> =
                    picture.as_image().pixels().map(|pixel| pixel.0).collect();
                assert_eq!(self.colors(view, side), expected);
                assert_eq!(self.outlined(view, side), None);
            }
        }
    }

    #[track_caller]
    fn expect_quiet(&self) {
        assert_eq!(self.browser.fetched(), Vec::<String>::new());
        assert_eq!(self.browser.log(), Vec::<Value>::new());
    }
}

fn grid(side: usize) -> (usize, usize) {
    if side == FROM {
        (SHAPE.2, SHAPE.3)
    } else {
        (SHAPE.0, SHAPE.1)
    }
}

fn color(value: f32, limit: f32) -> [u8; 3] {
    ColorMap::Glow.map(0.5 + 0.5 * value / limit)
}

/// The page picks from 511 colours, so a channel may be off by the step between two of them.
#[track_caller]
fn expect_colors(got: &[[u8; 3]], expected: &[[u8; 3]]) {
    assert_eq!(got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        for c in 0..3 {
            assert!(
                got[c].abs_diff(expected[c]) <= 3,
                "cell {i} is {got:?}, expected {expected:?}"
            );
        }
    }
}

fn brightest(colors: &[[u8; 3]]) -> usize {
    let sum = |i: &usize| colors[*i].iter().map(|c| u32::from(*c)).sum::<u32>();
    (0..colors.len()).max_by_key(sum).unwrap()
}

#[test]
fn the_mouse_shows_sources_and_effects() {
    let Some(page) = Page::open(widget()) else {
        return;
    };
    page.expect_idle();
    for cell in [(0, 0), (0, 4), (2, 0), (2, 4), (1, 2)] {
        page.hover(0, TO, cell);
        page.expect_cell(TO, cell);
        let (y1, x1) = planted(cell.0, cell.1);
        assert_eq!(brightest(&page.colors(0, FROM)), y1 * SHAPE.3 + x1);
    }
    for cell in [(0, 0), (0, 6), (3, 0), (3, 6), (2, 5)] {
        page.hover(1, FROM, cell);
        page.expect_cell(FROM, cell);
    }
    page.leave();
    page.expect_idle();

    // A click keeps the cell; the other side is then only read.
    page.click(0, TO, (1, 3));
    page.leave();
    page.expect_cell(TO, (1, 3));
    let (y1, x1) = planted(1, 3);
    page.hover(0, FROM, (y1, x1));
    page.expect_cell(TO, (1, 3));
    let readout = page.text(".readout");
    assert!(readout.contains(&format!("row {}, column {}", y1 + 1, x1 + 1)));
    assert!(readout.contains("+1.80"), "{readout}");
    page.click(0, TO, (1, 3));
    page.leave();
    page.expect_idle();

    // Letting go of one cell does not bring back another.
    page.click(0, TO, (0, 1));
    page.click(0, TO, (2, 3));
    page.expect_cell(TO, (2, 3));
    page.click(0, TO, (2, 3));
    page.expect_cell(TO, (2, 3));
    page.leave();
    page.expect_idle();

    page.click(1, FROM, (2, 2));
    page.leave();
    page.expect_cell(FROM, (2, 2));
    page.keys(&[key::ESCAPE]);
    page.expect_idle();
    page.expect_quiet();
}

#[test]
fn fingers_keep_what_they_tap() {
    let Some(page) = Page::open(widget()) else {
        return;
    };
    page.tap(0, TO, (2, 1));
    page.expect_cell(TO, (2, 1));
    page.tap(1, FROM, (3, 5));
    page.expect_cell(FROM, (3, 5));
    page.tap(1, FROM, (3, 5));
    page.expect_idle();
    page.expect_quiet();
}

#[test]
fn the_keyboard_reaches_every_cell() {
    let Some(page) = Page::open(widget()) else {
        return;
    };
    page.focus(0, TO);
    page.expect_cell(TO, (1, 2));
    page.keys(&[key::UP, key::LEFT]);
    page.expect_cell(TO, (0, 1));
    page.keys(&[key::UP, key::END, key::RIGHT]);
    page.expect_cell(TO, (0, 4));
    let (y1, x1) = planted(0, 4);
    let announced = page.text("#announcement");
    let source = format!(
        "Row 1, column 5 of inception_4d: strongest source row {}, column {} of {HOSTILE}, +1.40",
        y1 + 1,
        x1 + 1
    );
    assert!(announced.starts_with(&source), "{announced}");

    // From the deep side of the first view to the shallow side of the second.
    page.keys(&[key::TAB]);
    page.expect_cell(FROM, (1, 3));
    page.keys(&[key::DOWN, key::HOME]);
    page.expect_cell(FROM, (2, 0));

    // A kept cell stays while single values are read on the other side.
    page.keys(&[key::ENTER, key::TAB]);
    page.expect_cell(FROM, (2, 0));
    page.keys(&[key::DOWN]);
    page.expect_cell(FROM, (2, 0));
    page.keys(&[key::ESCAPE]);
    page.expect_idle();
    page.expect_quiet();
}

#[test]
fn drawing_options_change_the_drawing() {
    let Some(page) = Page::open(widget()) else {
        return;
    };
    page.click(0, TO, (0, 0));
    page.browser.click_on("input[value=cell] + span");
    let (y1, x1) = planted(0, 0);
    let at = y1 * SHAPE.3 + x1;
    assert_eq!(page.colors(0, FROM)[at], ColorMap::Glow.map(1.0));
    assert_eq!(page.colors(1, FROM)[at], ColorMap::Glow.map(0.0));
    assert_eq!(page.text(".high"), "+1.00");

    page.browser.click_on("input[name=negatives] + span");
    assert_eq!(page.colors(0, FROM)[at], ColorMap::Glow.map(1.0));
    assert_eq!(page.colors(1, FROM)[at], ColorMap::Glow.map(0.5));
    assert_eq!(page.text(".low"), "0");
    page.expect_quiet();
}

#[test]
fn labels_are_shown_as_they_are() {
    let Some(page) = Page::open(widget()) else {
        return;
    };
    assert_eq!(page.text("h1"), QUOTES);
    assert_eq!(page.text("title"), QUOTES);
    assert_eq!(page.text(".view:nth-of-type(2) h2"), HOSTILE);
    assert_eq!(page.text(".class-a"), QUOTES);
    assert_eq!(page.text(".class-b"), HOSTILE);
    assert_eq!(page.text(".predictions li span"), HOSTILE);
    page.hover(0, TO, (0, 0));
    let images =
        "return [...document.images].filter((image) => !image.src.startsWith('data:')).length";
    assert_eq!(page.browser.run(images, json!([])), 0);
    page.expect_quiet();
}

#[test]
fn pages_fit_narrow_screens_and_both_colour_schemes() {
    let Some(page) = Page::open(widget()) else {
        return;
    };
    for (scheme, light) in [("light", true), ("dark", false)] {
        page.browser.emulate("prefers-color-scheme", scheme);
        for width in [320, 390, 700, 900, 1600] {
            page.browser.resize(width, 800);
            let extent = "return document.documentElement.scrollWidth";
            assert_eq!(page.browser.run(extent, json!([])), width);
        }
        let background = page.browser.run(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]",
            json!([]),
        );
        let background: u8 = background.as_str().unwrap().parse().unwrap();
        assert_eq!(background > 128, light, "{scheme}: {background}");
    }
    page.expect_quiet();
}

#[test]
fn one_cell_and_no_hints() {
    let photo = Picture::from_rgb(Array3::from_elem((9, 9, 3), 200).view()).unwrap();
    let maps = Array4::zeros((1, 1, 28, 28));
    let widget = SpatialWidget::new(&photo, "shallow", "deep").view(SpatialView::new("true", maps));
    let Some(page) = Page::open(widget) else {
        return;
    };
    page.focus(0, TO);
    page.keys(&[key::DOWN, key::RIGHT]);
    assert_eq!(
        page.text("#announcement"),
        "Row 1, column 1 of deep: all values are 0, true."
    );
    let zero = ColorMap::Glow.map(0.5);
    let cells = page.canvas(0, FROM, (28, 28));
    assert!(cells.chunks(4).all(|pixel| pixel[..3] == zero));
    page.keys(&[key::ESCAPE]);
    let cells = page.canvas(0, FROM, (28, 28));
    assert!(cells.iter().all(|byte| *byte == 0));
    page.expect_quiet();
}

const COLUMNS: [&str; 3] = [HOSTILE, QUOTES, "a_long_name_of_a_layer_without_any_space"];

pub fn gallery() -> Gallery {
    let photo = Array3::from_shape_fn((96, 168, 3), |(y, x, c)| (y + x + 40 * c) as u8);
    let photo = Picture::from_rgb(photo.view()).unwrap();
    let figure = || {
        Figure::new(&photo, HOSTILE)
            .detail("inception_4d/output")
            .number("score", "16.7")
            .number("completeness error", "0.12 %")
    };
    let section = GallerySection::new(QUOTES)
        .text(HOSTILE)
        .figure(figure().caption(HOSTILE))
        .figure(Figure::absent(QUOTES))
        .columns(COLUMNS)
        .row(HOSTILE, [figure(), figure(), Figure::absent(HOSTILE)])
        .row("Gradient", [figure(), figure(), figure()]);
    Gallery::new(QUOTES)
        .text(HOSTILE)
        .predictions([(HOSTILE, 0.75)])
        .fact("Model", QUOTES)
        .section(section)
}

#[test]
fn a_gallery_shows_every_figure_on_every_screen() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = gallery();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gallery.html");
    page.save(&path).unwrap();
    browser.open(&path);

    let texts = |selector: &str| -> Vec<String> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)";
        serde_json::from_value(browser.run(script, json!([selector]))).unwrap()
    };
    assert_eq!(texts("h1"), [QUOTES]);
    assert_eq!(texts(".predictions li span:first-child"), [HOSTILE]);
    assert_eq!(texts("thead th"), COLUMNS);
    assert_eq!(texts("tbody th"), [HOSTILE, "Gradient"]);
    assert_eq!(texts(".absent"), [QUOTES, HOSTILE]);
    let drawn = "return [...document.images].map((i) => [i.naturalWidth, i.naturalHeight, i.alt])";
    let drawn = browser.run(drawn, json!([]));
    assert_eq!(drawn, json!(vec![json!([168, 96, HOSTILE]); 6]));

    for (scheme, light) in [("light", true), ("dark", false)] {
        browser.emulate("prefers-color-scheme", scheme);
        for width in [320, 390, 700, 900, 1600] {
            browser.resize(width, 800);
            let extent = "return document.documentElement.scrollWidth";
            assert_eq!(browser.run(extent, json!([])), width);
            // A narrow screen names each figure's column below it.
            let named = "return getComputedStyle(document.querySelector('.column')).display";
            let expected = if width < 768 { "block" } else { "none" };
            assert_eq!(browser.run(named, json!([])), expected);
            // The heads stay heads of their columns for those who cannot see them.
            let heads = "return getComputedStyle(document.querySelector('thead')).display";
            assert_ne!(browser.run(heads, json!([])), "none");
        }
        let background = browser.run(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]",
            json!([]),
        );
        let background: u8 = background.as_str().unwrap().parse().unwrap();
        assert_eq!(background > 128, light, "{scheme}: {background}");
    }
    assert_eq!(browser.fetched(), Vec::<String>::new());
    assert_eq!(browser.log(), Vec::<Value>::new());
}
