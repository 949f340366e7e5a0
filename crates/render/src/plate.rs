//! Pictures in rows and columns, with names and bars that say what their colours mean: figures for papers and slides.
//!
//! [`Plate::svg`] has everything, names as text and pictures embedded, and needs no other file. [`Plate::picture`]
//! is the same in pixels, and [`Plate::pdf`] what LaTeX takes.

use std::fmt::Write;

use crate::drawing::{Align, Drawing, Item, Text, fitting};
use crate::page::data_uri;
use crate::picture::check_size;
use crate::plot::escape;
use crate::{ColorMap, Picture, RenderError};

/// Pictures get at least this many pixels along the shorter side.
const SIDE: usize = 224;
/// Between pictures, and around everything.
const GAP: usize = 12;
/// Height of a bar, and of the numbers below it.
const BAR: usize = 10;
const NUMBERS: usize = 22;
/// Room for the names of columns, above, and of rows, on the left.
const HEAD: usize = 24;
const SIDE_NAMES: usize = 22;
/// Of names, and of the numbers below a bar.
const NAME: f64 = 13.0;
const NUMBER: f64 = 11.0;
/// What a letter of a name takes at most, on average.
const LETTER: usize = 7;
/// How many colours a bar of an SVG has between which it is mixed.
const STOPS: usize = 33;

/// A picture of a [`Plate`].
#[derive(Clone, Debug)]
pub struct PlateCell {
    picture: Option<Picture>,
    bar: Option<(ColorMap, [f32; 2])>,
}

impl PlateCell {
    /// A picture; small ones are enlarged by a whole factor.
    pub fn new(picture: Picture) -> Self {
        Self {
            picture: Some(picture),
            bar: None,
        }
    }

    /// An empty place.
    pub fn absent() -> Self {
        Self {
            picture: None,
            bar: None,
        }
    }

    /// With a bar below it: the colours, and the values at their ends.
    #[must_use]
    pub fn bar(mut self, colors: ColorMap, range: [f32; 2]) -> Self {
        self.bar = Some((colors, range));
        self
    }
}

/// Pictures in rows and columns. See the [module](self).
///
/// ```
/// use elucid_render::{ColorMap, Picture, Plate, PlateCell};
/// use ndarray::Array3;
///
/// let photo = Picture::from_rgb(Array3::from_elem((64, 64, 3), 90).view())?;
/// let map = PlateCell::new(photo.clone()).bar(ColorMap::Inferno, [0.0, 0.31]);
/// let plate = Plate::new(["Photograph", "Grad-CAM"]).row("cat.png", [PlateCell::new(photo), map]);
/// assert!(plate.svg()?.contains("Grad-CAM"));
/// assert!(plate.picture()?.width() > 2 * 224);
/// assert!(plate.pdf()?.starts_with(b"%PDF"));
/// # Ok::<(), elucid_render::RenderError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Plate {
    columns: Vec<String>,
    rows: Vec<(String, Vec<PlateCell>)>,
}

impl Plate {
    /// Columns of these names.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// With one more row, which has a cell for each column.
    pub fn row(
        mut self,
        name: impl Into<String>,
        cells: impl IntoIterator<Item = PlateCell>,
    ) -> Self {
        self.rows.push((name.into(), cells.into_iter().collect()));
        self
    }

    /// The plate as an SVG document on white, with the names; long ones lose their end, and show in full where the
    /// pointer rests on them.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] without rows or columns, [`RenderError::Shape`] for a row with another number of cells,
    /// [`RenderError::Parameter`] for a bar whose ends are not finite, [`RenderError::PictureTooLarge`].
    pub fn svg(&self) -> Result<String, RenderError> {
        let room = [HEAD, SIDE_NAMES];
        let plan = self.plan(room)?;
        let [height, width] = plan.size;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\" \
             fill=\"#1d1f21\"><rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"
        );
        let mut put = |text: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = svg.write_fmt(text);
        };
        let mut known: Vec<ColorMap> = Vec::new();
        for (colors, _) in self.cells().filter_map(|cell| cell.bar) {
            if known.contains(&colors) {
                continue;
            }
            known.push(colors);
            put(format_args!("<linearGradient id=\"bar-{colors}\">"));
            for stop in 0..STOPS {
                let at = stop as f32 / (STOPS - 1) as f32;
                let [r, g, b] = colors.map(at);
                put(format_args!(
                    "<stop offset=\"{at}\" stop-color=\"#{r:02x}{g:02x}{b:02x}\"/>"
                ));
            }
            put(format_args!("</linearGradient>"));
        }
        for (column, name) in self.columns.iter().enumerate() {
            let x = plan.left(column) + plan.place[1] / 2;
            put(format_args!(
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                GAP + 12,
                shown(name, plan.place[1])
            ));
        }
        for (row, (name, cells)) in self.rows.iter().enumerate() {
            let top = plan.tops[row];
            let middle = top + plan.place[0] / 2;
            put(format_args!(
                "<text transform=\"translate({} {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
                GAP + 10,
                shown(name, plan.place[0])
            ));
            for (column, cell) in cells.iter().enumerate() {
                let left = plan.left(column);
                if let Some(picture) = &cell.picture {
                    let by = factor(picture);
                    let (h, w) = (by * picture.height(), by * picture.width());
                    let uri = data_uri(&picture.to_png_bytes()?);
                    put(format_args!(
                        "<image x=\"{left}\" y=\"{top}\" width=\"{w}\" height=\"{h}\" href=\"{uri}\"/>"
                    ));
                }
                let Some((colors, range)) = cell.bar else {
                    continue;
                };
                let (y, w) = (top + plan.place[0] + 4, plan.place[1]);
                put(format_args!(
                    "<rect x=\"{left}\" y=\"{y}\" width=\"{w}\" height=\"{BAR}\" fill=\"url(#bar-{colors})\"/>"
                ));
                for tick in ticks(range) {
                    let x = left as f32 + tick.at * w as f32;
                    let anchor = ["start", "middle", "end"][tick.align];
                    put(format_args!(
                        "<text x=\"{x:.1}\" y=\"{}\" font-size=\"11\" text-anchor=\"{anchor}\">{}</text>",
                        y + BAR + 12,
                        tick.text
                    ));
                }
            }
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    /// The plate as a PDF document of one page of its own size: names as text, pictures as they are, one dot for each of their pixels.
    /// Letters other than those of Western Europe are question marks; long names lose their end.
    ///
    /// # Errors
    ///
    /// As [`Plate::svg`].
    pub fn pdf(&self) -> Result<Vec<u8>, RenderError> {
        self.drawing()?.pdf()
    }

    fn drawing(&self) -> Result<Drawing, RenderError> {
        let plan = self.plan([HEAD, SIDE_NAMES])?;
        let [height, width] = plan.size.map(|side| side as f64);
        let mut drawing = Drawing::new("", [width, height])?;
        let [place_height, place_width] = plan.place.map(|side| side as f64);
        for (column, name) in self.columns.iter().enumerate() {
            let at = [
                plan.left(column) as f64 + place_width / 2.0,
                GAP as f64 + 12.0,
            ];
            drawing.text(&fitting(name, NAME, place_width), at, NAME, Align::Middle);
        }
        for (row, (name, cells)) in self.rows.iter().enumerate() {
            let top = plan.tops[row] as f64;
            drawing.put(Item::Text(Text {
                at: [GAP as f64 + 10.0, top + place_height / 2.0],
                text: fitting(name, NAME, place_height),
                size: NAME,
                align: Align::Middle,
                bold: false,
                turned: true,
            }));
            for (column, cell) in cells.iter().enumerate() {
                let left = plan.left(column) as f64;
                if let Some(picture) = &cell.picture {
                    let by = factor(picture);
                    let size = [by * picture.width(), by * picture.height()];
                    drawing.put(Item::Image {
                        at: [left, top],
                        size: size.map(|side| side as f64),
                        picture: picture.clone(),
                    });
                }
                let Some((colors, range)) = cell.bar else {
                    continue;
                };
                let y = top + place_height + 4.0;
                drawing.put(Item::Bar {
                    at: [left, y],
                    size: [place_width, BAR as f64],
                    colors,
                });
                for tick in ticks(range) {
                    let at = [
                        left + f64::from(tick.at) * place_width,
                        y + BAR as f64 + 12.0,
                    ];
                    let align = [Align::Start, Align::Middle, Align::End][tick.align];
                    drawing.text(&tick.text, at, NUMBER, align);
                }
            }
        }
        Ok(drawing)
    }

    /// The plate in pixels on white, two for each unit of the others, with the names in an even-spaced font that has the letters of
    /// Western Europe; long names lose their end.
    ///
    /// # Errors
    ///
    /// As [`Plate::svg`].
    pub fn picture(&self) -> Result<Picture, RenderError> {
        self.drawing()?.picture()
    }

    fn cells(&self) -> impl Iterator<Item = &PlateCell> {
        self.rows.iter().flat_map(|(_, cells)| cells)
    }

    /// Where everything stands, with so much room for names above and on the left.
    fn plan(&self, [above, left]: [usize; 2]) -> Result<Plan, RenderError> {
        if self.rows.is_empty() || self.columns.is_empty() {
            return Err(RenderError::Empty {
                what: "the plate".to_owned(),
                shape: vec![self.rows.len(), self.columns.len()],
            });
        }
        let mut place = [SIDE, SIDE];
        for (row, (_, cells)) in self.rows.iter().enumerate() {
            if cells.len() != self.columns.len() {
                return Err(RenderError::Shape {
                    what: format!("row {row} of the plate"),
                    expected: vec![self.columns.len()],
                    got: vec![cells.len()],
                });
            }
            for cell in cells {
                if let Some((_, [low, high])) = cell.bar
                    && !(low.is_finite() && high.is_finite())
                {
                    return Err(RenderError::Parameter {
                        parameter: "the range of a bar",
                        value: format!("{low} to {high}"),
                        expected: "finite numbers",
                    });
                }
                if let Some(picture) = &cell.picture {
                    let by = factor(picture);
                    place[0] = place[0].max(by * picture.height());
                    place[1] = place[1].max(by * picture.width());
                }
            }
        }
        let mut tops = Vec::with_capacity(self.rows.len());
        let mut top = GAP + above;
        for (_, cells) in &self.rows {
            tops.push(top);
            let has_bar = cells.iter().any(|cell| cell.bar.is_some());
            let below = if has_bar { 4 + BAR + NUMBERS } else { 0 };
            top = top.saturating_add(place[0] + below + GAP);
        }
        let columns = self.columns.len().saturating_mul(place[1] + GAP);
        let size = [top, columns.saturating_add(GAP + left)];
        check_size("the plate", size[0], size[1])?;
        Ok(Plan {
            place,
            tops,
            left,
            size,
        })
    }
}

struct Plan {
    /// `[height, width]` that every picture has room in.
    place: [usize; 2],
    /// Of each row.
    tops: Vec<usize>,
    /// Room for the names of rows.
    left: usize,
    /// `[height, width]` of everything.
    size: [usize; 2],
}

impl Plan {
    fn left(&self, column: usize) -> usize {
        GAP + self.left + column * (self.place[1] + GAP)
    }
}

/// By how much a picture is enlarged.
fn factor(picture: &Picture) -> usize {
    SIDE.div_ceil(picture.height().min(picture.width()))
}

/// A name in so much room, escaped.
fn shown(name: &str, room: usize) -> String {
    let most = (room / LETTER).max(2);
    match name.chars().count() {
        count if count > most => {
            let first: String = name.chars().take(most - 1).collect();
            format!("{}\u{2026}<title>{}</title>", escape(&first), escape(name))
        }
        _ => escape(name),
    }
}

/// A number at a bar.
struct Tick {
    /// From 0 at its left end to 1.
    at: f32,
    /// 0 where the text begins there, 1 where its middle is, 2 where it ends.
    align: usize,
    text: String,
}

/// The values at the ends, and zero where it lies well between.
fn ticks([low, high]: [f32; 2]) -> Vec<Tick> {
    let tick = |at, align, value| Tick {
        at,
        align,
        text: number(value),
    };
    let mut ticks = vec![tick(0.0, 0, low)];
    if low < high {
        let zero = -low / (high - low);
        if (0.3..=0.7).contains(&zero) {
            ticks.push(tick(zero, 1, 0.0));
        }
        ticks.push(tick(1.0, 2, high));
    }
    ticks
}

/// A number in three digits, of which none are needless, as bars have it at their ends.
pub fn number(value: f32) -> String {
    let size = value.abs();
    let text = match size {
        _ if value == 0.0 => return "0".to_owned(),
        _ if !(1e-2..1e4).contains(&size) => return format!("{value:.1e}"),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn picture(height: usize, width: usize) -> Picture {
        Picture::from_rgb(Array3::from_elem((height, width, 3), 90).view()).unwrap()
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (1.0, "1"),
            (0.123_45, "0.123"),
            (12.345, "12.3"),
            (123.45, "123"),
            (1200.0, "1200"),
            (0.001_25, "1.2e-3"),
            (-3.4e7, "-3.4e7"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn zero_is_told_where_it_lies_between() {
        let texts = |range| ticks(range).into_iter().map(|tick| tick.text);
        assert!(texts([-2.0, 2.0]).eq(["-2", "0", "2"]));
        assert!(texts([0.0, 2.0]).eq(["0", "2"]));
        assert!(texts([-0.1, 2.0]).eq(["-0.1", "2"]));
        assert!(texts([0.0, 0.0]).eq(["0"]));
    }

    #[test]
    fn everything_has_its_place() {
        let bar = PlateCell::new(picture(100, 150)).bar(ColorMap::Gray, [0.0, 1.0]);
        let plate = Plate::new(["a <b>", "map"])
            .row("first", [PlateCell::new(picture(100, 150)), bar])
            .row("second", [PlateCell::absent(), PlateCell::absent()]);
        let drawn = plate.picture().unwrap();
        // Enlarged three times, with two pixels for a unit; a bar in the first row alone.
        let (top, left) = (GAP + HEAD, GAP + SIDE_NAMES);
        let height = top + 2 * (300 + GAP) + 4 + BAR + NUMBERS;
        let width = left + 2 * (450 + GAP);
        assert_eq!([drawn.height(), drawn.width()], [2 * height, 2 * width]);
        let at = |y: usize, x: usize| drawn.pixel(2 * y, 2 * x);
        assert_eq!(at(top, left), [90; 3]);
        assert_eq!(at(top - 1, left), [255; 3]);
        let y = top + 300 + 4;
        assert_eq!(at(y, left + GAP + 450), [0; 3]);
        let middle = at(y, left + GAP + 675)[0];
        assert!((120..=136).contains(&middle), "{middle}");
        assert_eq!(at(y, left), [255; 3], "the photograph has none");
        // The names of a column above it, and of a row beside it.
        let has_ink = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
            rows.clone()
                .any(|y| columns.clone().any(|x| at(y, x)[0] < 90))
        };
        assert!(has_ink(GAP..top, left + GAP + 450..left + GAP + 900));
        assert!(has_ink(top..top + 300, GAP..left));

        let svg = plate.svg().unwrap();
        for part in ["a &lt;b&gt;", "second", "url(#bar-gray)", ">1</text>"] {
            assert!(svg.contains(part), "no {part}");
        }
        assert_eq!(svg.matches("data:image/png").count(), 2);
        let long = Plate::new(["x".repeat(200)]).row("", [PlateCell::new(picture(9, 9))]);
        assert!(long.svg().unwrap().contains("\u{2026}<title>xxx"));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let none: [&str; 0] = [];
        let empty = Plate::new(none).svg();
        assert!(matches!(empty, Err(RenderError::Empty { .. })));
        let empty = Plate::new(["a"]).picture();
        assert!(matches!(empty, Err(RenderError::Empty { .. })));
        let uneven = Plate::new(["a", "b"]).row("", [PlateCell::absent()]).svg();
        assert!(matches!(uneven, Err(RenderError::Shape { .. })));
        let bar = PlateCell::new(picture(8, 8)).bar(ColorMap::Gray, [0.0, f32::NAN]);
        let bad = Plate::new(["a"]).row("", [bar]).picture();
        assert!(matches!(bad, Err(RenderError::Parameter { .. })));
    }
}
