//! Drawings in pixels.

use ndarray::Array3;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use zeno::{Cap, Command, Join, Mask, Stroke, Vector};

use super::{Align, Colour, Drawing, INK, Item, Text};
use crate::{Interpolation, Picture, RenderError};

/// How many pixels a unit has: as many as sharp screens show.
pub(super) const SCALE: f64 = 2.0;

/// Units from the foot of a letter to the upper end of its cell, as a part of the cell's height.
const ASCENT: f64 = 0.79;

impl Drawing {
    /// The drawing on white, with two pixels for a unit, in an even-spaced font that has the letters of Western Europe.
    pub fn picture(&self) -> Result<Picture, RenderError> {
        let [width, height] = self.size.map(|side| (SCALE * side).ceil() as usize);
        let mut canvas = Canvas(Array3::from_elem((height, width, 3), u8::MAX));
        for item in &self.items {
            canvas.put(item)?;
        }
        Picture::from_rgb(canvas.0.view())
    }
}

/// `[height, width, 3]`
struct Canvas(Array3<u8>);

impl Canvas {
    fn put(&mut self, item: &Item) -> Result<(), RenderError> {
        match item {
            Item::Line {
                points,
                colour,
                width,
                dashes,
            } => {
                let dashes: Vec<f32> = dashes.iter().map(|part| SCALE as f32 * part).collect();
                let mut stroke = Stroke::new((SCALE * width) as f32);
                stroke.join(Join::Round).cap(Cap::Butt).dash(&dashes, 0.0);
                self.fill(&outline(points, false), stroke, *colour, 1.0);
            }
            Item::Area {
                points,
                colour,
                opacity,
            } => self.fill(
                &outline(points, true),
                zeno::Fill::NonZero,
                *colour,
                *opacity,
            ),
            Item::Dot { at, radius, colour } => {
                // A line of no length with round ends is a disc, and some rasterisers draw none: a polygon is one everywhere.
                let points = (0..24).map(|i| {
                    let angle = f64::from(i) * std::f64::consts::TAU / 24.0;
                    [at[0] + radius * angle.cos(), at[1] + radius * angle.sin()]
                });
                let points: Vec<[f64; 2]> = points.collect();
                self.fill(&outline(&points, true), zeno::Fill::NonZero, *colour, 1.0);
            }
            Item::Text(text) => self.write(text),
            Item::Image { at, size, picture } => {
                let [w, h] = size.map(|side| (SCALE * side).round().max(1.0) as usize);
                let large = picture.upsample(h, w, Interpolation::Bilinear)?;
                let [x, y] = at.map(|place| (SCALE * place).round() as i64);
                for row in 0..h {
                    for column in 0..w {
                        let colour = large.pixel(row, column);
                        self.blend(y + row as i64, x + column as i64, colour, 1.0);
                    }
                }
            }
            Item::Bar { at, size, colors } => {
                let [w, h] = size.map(|side| (SCALE * side).round().max(1.0) as i64);
                let [x, y] = at.map(|place| (SCALE * place).round() as i64);
                for column in 0..w {
                    let colour = colors.map(column as f32 / (w - 1).max(1) as f32);
                    (0..h).for_each(|row| self.blend(y + row, x + column, colour, 1.0));
                }
            }
        }
        Ok(())
    }

    fn blend(&mut self, row: i64, column: i64, colour: Colour, share: f64) {
        let (Ok(row), Ok(column)) = (usize::try_from(row), usize::try_from(column)) else {
            return;
        };
        for (channel, value) in colour.into_iter().enumerate() {
            if let Some(pixel) = self.0.get_mut([row, column, channel]) {
                let before = f64::from(*pixel);
                *pixel = (before + share * (f64::from(value) - before)).round() as u8;
            }
        }
    }

    fn fill<'s>(
        &mut self,
        outline: &[Command],
        style: impl Into<zeno::Style<'s>>,
        colour: Colour,
        opacity: f64,
    ) {
        let (mask, place) = Mask::new(outline).style(style).render();
        let width = (place.width as usize).max(1);
        for (i, &cover) in mask.iter().enumerate().filter(|(_, cover)| **cover > 0) {
            let row = i64::from(place.top) + (i / width) as i64;
            let column = i64::from(place.left) + (i % width) as i64;
            self.blend(row, column, colour, opacity * f64::from(cover) / 255.0);
        }
    }

    fn write(&mut self, text: &Text) {
        let height = match text.size {
            size if size < 10.0 => RasterHeight::Size16,
            size if size < 14.0 => RasterHeight::Size24,
            _ => RasterHeight::Size32,
        };
        let weight = match text.bold {
            true => FontWeight::Bold,
            false => FontWeight::Regular,
        };
        let advance = get_raster_width(weight, height) as i64;
        let length = advance * text.text.chars().count() as i64;
        let from = match text.align {
            Align::Start => 0,
            Align::Middle => -length / 2,
            Align::End => -length,
        };
        let up = (ASCENT * height.val() as f64).round() as i64;
        let [x, y] = text.at.map(|place| (SCALE * place).round() as i64);
        for (i, letter) in text.text.chars().enumerate() {
            let Some(glyph) = get_raster(plain(letter), weight, height) else {
                continue;
            };
            let start = from + advance * i as i64;
            for (row, pixels) in glyph.rows().enumerate() {
                for (column, &cover) in pixels.iter().enumerate().filter(|(_, c)| **c > 0) {
                    // Along the text, and upwards from its foot.
                    let (along, above) = (start + column as i64, up - row as i64);
                    let (row, column) = match text.turned {
                        true => (y - along, x - above),
                        false => (y - above, x + along),
                    };
                    self.blend(row, column, INK, f64::from(cover) / 255.0);
                }
            }
        }
    }
}

/// What a letter is written with, which the font may not have.
fn plain(letter: char) -> char {
    match letter {
        '\u{2026}' => '~',
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        ' '..='~' | '\u{a1}'..='\u{ff}' => letter,
        letter if letter.is_whitespace() || letter.is_control() => ' ',
        _ => '?',
    }
}

/// Lines between points, in pixels.
fn outline(points: &[[f64; 2]], closed: bool) -> Vec<Command> {
    let points = points
        .iter()
        .map(|point| point.map(|place| (SCALE * place) as f32));
    let mut outline: Vec<Command> = points
        .enumerate()
        .map(|(i, [x, y])| match i {
            0 => Command::MoveTo(Vector::new(x, y)),
            _ => Command::LineTo(Vector::new(x, y)),
        })
        .collect();
    if closed && !outline.is_empty() {
        outline.push(Command::Close);
    }
    outline
}
