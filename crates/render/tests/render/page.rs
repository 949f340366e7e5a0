//! A page in a real browser.

use std::path::Path;

use elucid_render::{Picture, RenderError};
use elucid_testkit::browser::Browser;
use ndarray::Array3;
use serde_json::{Value, json};

/// What no label may break out with.
pub const HOSTILE: &str = "</script><img src=x onerror=alert(1)>";

/// An open page.
pub struct Page {
    pub browser: Browser,
    _folder: tempfile::TempDir,
}

impl Page {
    pub fn open(save: impl FnOnce(&Path) -> Result<(), RenderError>) -> Option<Self> {
        let browser = Browser::start()?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        save(&path).unwrap();
        browser.resize(1280, 1000);
        browser.open(&path);
        Some(Page {
            browser,
            _folder: folder,
        })
    }

    pub fn run(&self, script: &str) -> Value {
        self.browser.run(script, json!([]))
    }

    pub fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0]).textContent";
        let text = self.browser.run(script, json!([selector]));
        text.as_str().expect("a text").to_owned()
    }

    pub fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        let count = self.browser.run(script, json!([selector]));
        count.as_u64().expect("a number")
    }

    pub fn hover(&self, selector: &str, n: usize, across: f64, down: f64) {
        let (x, y) = self.browser.point_in(selector, n, across, down);
        self.browser.hover(x, y);
    }

    pub fn tap(&self, selector: &str, n: usize) {
        // Off the middle, where two bars meet.
        let (x, y) = self.browser.point_in(selector, n, 0.51, 0.5);
        self.browser.tap(x, y);
    }

    pub fn leave(&self) {
        self.browser.hover(1.0, 1.0);
    }

    pub fn focus(&self, selector: &str) {
        let script = "document.querySelector(arguments[0]).focus({ focusVisible: true })";
        self.browser.run(script, json!([selector]));
    }

    /// The colours of the `n`-th canvas that a CSS selector finds, in row order.
    pub fn colors(&self, selector: &str, n: usize) -> Vec<[u8; 3]> {
        // Read from a copy: the browser warns when a canvas that it accelerates is read often.
        let script = "
            const canvas = document.querySelectorAll(arguments[0])[arguments[1]];
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const context = copy.getContext('2d', { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data];";
        let bytes = self.browser.run(script, json!([selector, n]));
        let bytes: Vec<u8> = serde_json::from_value(bytes).unwrap();
        bytes
            .chunks(4)
            .map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect()
    }

    /// A pixel of a canvas, at shares of its width and height.
    pub fn pixel(&self, selector: &str, across: f64, down: f64) -> [u8; 3] {
        let script = "
            const canvas = document.querySelector(arguments[0]);
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const context = copy.getContext('2d', { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const [x, y] = [arguments[1] * canvas.width, arguments[2] * canvas.height];
            return [...context.getImageData(x, y, 1, 1).data].slice(0, 3);";
        let pixel = self.browser.run(script, json!([selector, across, down]));
        serde_json::from_value(pixel).unwrap()
    }

    #[track_caller]
    pub fn expect_fits(&self) {
        for (scheme, light) in [("light", true), ("dark", false)] {
            self.browser.emulate("prefers-color-scheme", scheme);
            for width in [320, 390, 700, 900, 1600] {
                self.browser.resize(width, 800);
                let extent = self.run("return document.documentElement.scrollWidth");
                assert_eq!(extent, width, "{scheme}");
            }
            let background =
                self.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]");
            let background: u8 = background.as_str().unwrap().parse().unwrap();
            assert_eq!(background > 128, light, "{scheme}: {background}");
        }
    }

    #[track_caller]
    pub fn expect_quiet(&self) {
        assert_eq!(self.browser.fetched(), Vec::<String>::new());
        assert_eq!(self.browser.log(), Vec::<Value>::new());
    }
}

/// A picture of one grey.
pub fn plain(height: usize, width: usize, level: u8) -> Picture {
    Picture::from_rgb(Array3::from_elem((height, width, 3), level).view()).unwrap()
}

/// The relative luminance of WCAG.
fn luminance([r, g, b]: [f64; 3]) -> f64 {
    let linear = |v: f64| match v / 255.0 {
        v if v <= 0.03928 => v / 12.92,
        v => ((v + 0.055) / 1.055).powf(2.4),
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

/// The contrast of an element's property to the page, from 1 to 21, with the opacity on the way.
pub fn contrast(page: &Page, selector: &str, property: &str) -> f64 {
    let script = "
        const element = document.querySelector(arguments[0]);
        const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const numbers = (colour) => {
            probe.clearRect(0, 0, 1, 1);
            probe.fillStyle = colour;
            probe.fillRect(0, 0, 1, 1);
            return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        let opacity = 1;
        for (let at = element; at; at = at.parentElement) opacity *= getComputedStyle(at).opacity;
        const value = getComputedStyle(element).getPropertyValue(arguments[1]);
        return [numbers(value), numbers(getComputedStyle(document.body).backgroundColor), opacity];";
    let found = page.browser.run(script, json!([selector, property]));
    let (ink, paper, opacity): ([f64; 3], [f64; 3], f64) = serde_json::from_value(found).unwrap();
    let mixed = [0, 1, 2].map(|c| opacity * ink[c] + (1.0 - opacity) * paper[c]);
    let (a, b) = (luminance(mixed), luminance(paper));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}
