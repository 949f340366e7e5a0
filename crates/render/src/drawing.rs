//! Lines, areas, text and pictures at places: what plots and figures are made of, before it is known in which form they are
//! written.
//!
//! Units are those of SVG, of which 96 make an inch; places are `[x, y]` from the upper left corner.

use crate::picture::check_size;
use crate::{ColorMap, Picture, RenderError};

mod font;
mod pdf;
mod pixels;
mod svg;

pub(crate) use font::{fitting, width};

/// Red, green and blue.
pub(crate) type Colour = [u8; 3];

/// What text is written in.
pub(crate) const INK: Colour = [29, 31, 33];

/// Which part of a text lies at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Start,
    Middle,
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub at: [f64; 2],
    pub text: String,
    pub size: f64,
    pub align: Align,
    pub bold: bool,
    /// A quarter to the left, so that it reads upwards.
    pub turned: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Line {
        points: Vec<[f64; 2]>,
        colour: Colour,
        width: f64,
        /// Lengths of dashes and gaps; none for a line without gaps.
        dashes: &'static [f32],
    },
    /// What a closed line surrounds.
    Area {
        points: Vec<[f64; 2]>,
        colour: Colour,
        opacity: f64,
    },
    Dot {
        at: [f64; 2],
        radius: f64,
        colour: Colour,
    },
    Text(Text),
    Image {
        at: [f64; 2],
        /// `[width, height]`
        size: [f64; 2],
        picture: Picture,
    },
    /// All colours of a map, from left to right.
    Bar {
        at: [f64; 2],
        size: [f64; 2],
        colors: ColorMap,
    },
}

/// Items on white, the later above the earlier ones.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    /// What it is, for those who cannot see it.
    title: String,
    /// `[width, height]`
    size: [f64; 2],
    items: Vec<Item>,
}

impl Drawing {
    /// # Errors
    ///
    /// [`RenderError::PictureTooLarge`], whatever it is to be written as.
    pub fn new(title: &str, size: [f64; 2]) -> Result<Self, RenderError> {
        let [width, height] = size.map(|side| (pixels::SCALE * side).ceil() as usize);
        check_size("the drawing", height, width)?;
        Ok(Self {
            title: title.to_owned(),
            size,
            items: Vec::new(),
        })
    }

    pub fn put(&mut self, item: Item) {
        self.items.push(item);
    }

    pub fn text(&mut self, text: &str, at: [f64; 2], size: f64, align: Align) {
        self.put(Item::Text(Text {
            at,
            text: text.to_owned(),
            size,
            align,
            bold: false,
            turned: false,
        }));
    }
}
