//! A spatial page in a real browser.

use std::path::Path;

use elucid_testkit::browser::Browser;
use serde_json::{Value, json};

/// Sides of the page.
pub const FROM: usize = 0;
pub const TO: usize = 1;

/// An open page.
pub struct Page {
    browser: Browser,
}

impl Page {
    /// Opens a page; `None` where there is no browser and none is required.
    pub fn open(path: &Path) -> Option<Self> {
        let browser = Browser::start()?;
        browser.resize(1280, 1400);
        browser.open(path);
        Some(Self { browser })
    }

    /// The names of the views.
    pub fn views(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('.view h2')].map((e) => e.textContent)";
        serde_json::from_value(self.browser.run(script, json!([]))).unwrap()
    }

    /// Points at a cell of a side that has `grid` rows and columns.
    pub fn hover(&self, view: usize, side: usize, cell: (usize, usize), grid: (usize, usize)) {
        let (x, y) = self.browser.cell_centre(view, side, cell, grid);
        self.browser.hover(x, y);
    }

    /// Points at nothing.
    pub fn leave(&self) {
        self.browser.hover(1.0, 1.0);
    }

    /// The map drawn over a photograph: its height, its width, and its colours in row order.
    pub fn map(&self, view: usize, side: usize) -> Map {
        let (height, width, bytes) = self.browser.map(view, side);
        Map {
            height,
            width,
            colours: bytes
                .chunks(4)
                .map(|pixel| [pixel[0], pixel[1], pixel[2]])
                .collect(),
        }
    }

    /// Nothing was fetched and nothing was logged.
    #[track_caller]
    pub fn expect_quiet(&self) {
        assert_eq!(self.browser.fetched(), Vec::<String>::new());
        assert_eq!(self.browser.log(), Vec::<Value>::new());
    }

    /// Leaves a picture of the window for whoever wants to look at it, and says where.
    pub fn screenshot(&self, name: &str) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, self.browser.screenshot()).unwrap();
        println!("{}", path.display());
    }
}

/// What is drawn over a photograph.
#[derive(Debug, PartialEq)]
pub struct Map {
    pub height: usize,
    pub width: usize,
    pub colours: Vec<[u8; 3]>,
}

impl Map {
    /// Row and column of the brightest cell among those of positive value, which are green.
    pub fn brightest(&self) -> (usize, usize) {
        let light = |&i: &usize| {
            let [r, g, b] = self.colours[i].map(u32::from);
            if g >= r { r + g + b } else { 0 }
        };
        let best = (0..self.colours.len()).max_by_key(light).unwrap();
        (best / self.width, best % self.width)
    }
}
