//! Line plots as SVG, PNG and PDF: curves of a method's convergence or of a metric, with bands that say how sure they are.

use std::path::Path;

use crate::drawing::{Align, Colour, Drawing, Item, Text, fitting, width};
use crate::file::write_atomically;
use crate::{Picture, RenderError};

mod scale;

use self::scale::Scale;

/// Of the axes, without the names of the curves.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 340.0;
/// Room for labels: left, top, right, bottom.
const MARGIN: [f64; 4] = [70.0, 38.0, 18.0, 52.0];
/// Of labels.
const TEXT: f64 = 12.0;
const TITLE: f64 = 14.0;
/// Colours that readers who see red and green alike can tell apart (Okabe and Ito, 2008), without the yellow, which is faint on
/// white.
const COLOURS: [Colour; 7] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x00, 0x00, 0x00],
];
/// What lines are where the colours begin again.
const DASHES: [&[f32]; 4] = [&[], &[7.0, 3.0], &[2.0, 2.0], &[8.0, 2.0, 2.0, 2.0]];
/// Of what stands behind.
const QUIET: Colour = [0x76, 0x76, 0x76];
const GRID: Colour = [0xe4, 0xe3, 0xde];
/// Beside the axes: a sample of each line, and its name in so much room at most.
const SAMPLE: f64 = 24.0;
const NAMES: f64 = 300.0;
/// From one name to the next.
const ROW: f64 = 18.0;

/// A curve of a [`LinePlot`].
///
/// ```
/// use elucid_render::Series;
///
/// let curve = Series::new("grad-cam", [(0.0, 0.1), (1.0, 0.9)]).band([(0.0, 0.05, 0.15), (1.0, 0.85, 0.95)]);
/// # let _ = curve;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Series {
    name: String,
    points: Vec<[f64; 2]>,
    band: Vec<[f64; 3]>,
    is_marked: bool,
    is_quiet: bool,
}

impl Series {
    /// A line through points `(x, y)`, in the order in which they come.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points: points.into_iter().map(|(x, y)| [x, y]).collect(),
            band: Vec::new(),
            is_marked: false,
            is_quiet: false,
        }
    }

    /// With a band around it, such as an interval: `(x, low, high)` from left to right.
    pub fn band(mut self, band: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        self.band = band
            .into_iter()
            .map(|(x, low, high)| [x, low, high])
            .collect();
        self
    }

    /// With a mark at every point; a curve of one point is a mark alone.
    pub fn marked(mut self) -> Self {
        self.is_marked = true;
        self
    }

    /// In grey: what others are compared with.
    pub fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }
}

/// Curves over a common axis.
///
/// ```
/// use elucid_render::{LinePlot, Series};
///
/// let plot = LinePlot::new("Convergence", "gradient evaluations", "completeness error, %")
///     .logarithmic()
///     .line("trapezoid", [(2.0, 60.0), (50.0, 3.0)])
///     .series(Series::new("adaptive", [(2.0, 30.0), (50.0, 0.9)]).band([(2.0, 20.0, 40.0), (50.0, 0.7, 1.1)]));
/// assert!(plot.svg()?.starts_with("<svg"));
/// assert!(plot.pdf()?.starts_with(b"%PDF"));
/// assert!(plot.picture()?.width() > 1000);
/// # Ok::<(), elucid_render::RenderError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LinePlot {
    title: String,
    axes: [String; 2],
    logarithmic: [bool; 2],
    ticks: [Vec<f64>; 2],
    series: Vec<Series>,
}

impl LinePlot {
    /// An empty plot with a title and the names of its horizontal and its vertical axis.
    pub fn new(title: &str, horizontal: &str, vertical: &str) -> Self {
        Self {
            title: title.to_owned(),
            axes: [horizontal.to_owned(), vertical.to_owned()],
            logarithmic: [false; 2],
            ticks: [Vec::new(), Vec::new()],
            series: Vec::new(),
        }
    }

    /// Both axes logarithmic; points that are not above zero are left out.
    #[must_use]
    pub fn logarithmic(self) -> Self {
        self.logarithmic_axes([true; 2])
    }

    /// Whether the horizontal and the vertical axis are logarithmic; points that are not above zero there are left out.
    #[must_use]
    pub fn logarithmic_axes(mut self, logarithmic: [bool; 2]) -> Self {
        self.logarithmic = logarithmic;
        self
    }

    /// Numbers that the horizontal axis shows, instead of those that it chooses: the sizes that were measured, such as 1, 4, 16, 64.
    #[must_use]
    pub fn horizontal_ticks(mut self, ticks: impl IntoIterator<Item = f64>) -> Self {
        self.ticks[0] = ticks.into_iter().collect();
        self
    }

    /// Numbers that the vertical axis shows, instead of those that it chooses.
    #[must_use]
    pub fn vertical_ticks(mut self, ticks: impl IntoIterator<Item = f64>) -> Self {
        self.ticks[1] = ticks.into_iter().collect();
        self
    }

    /// Adds a curve through points, which are marked as well; one point is a mark alone.
    #[must_use]
    pub fn line(self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series(Series::new(name, points).marked())
    }

    /// Adds a curve.
    #[must_use]
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// The plot as an SVG document on white: axes of 560 by 340 units with their labels, and the names of the curves on the right.
    /// Text is text.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] when no point can be drawn, [`RenderError::Parameter`] for a point or a tick
    /// that is not finite, [`RenderError::PictureTooLarge`] for more curves than a picture has room for.
    pub fn svg(&self) -> Result<String, RenderError> {
        self.drawing()?.svg()
    }

    /// The plot as a PDF document of one page of its own size. Text is text, in Helvetica; letters other than those of Western
    /// Europe are question marks.
    ///
    /// # Errors
    ///
    /// Those of [`LinePlot::svg`].
    pub fn pdf(&self) -> Result<Vec<u8>, RenderError> {
        self.drawing()?.pdf()
    }

    /// The plot in pixels, two for each unit. Letters other than those of Western Europe are question marks.
    ///
    /// # Errors
    ///
    /// Those of [`LinePlot::svg`].
    pub fn picture(&self) -> Result<Picture, RenderError> {
        self.drawing()?.picture()
    }

    /// Writes the plot, replacing what is there in one step: as PNG or PDF where the file is called so, else as SVG.
    ///
    /// # Errors
    ///
    /// Those of [`LinePlot::svg`], and [`RenderError::Write`] naming the path.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), RenderError> {
        let path = path.as_ref();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let bytes = match ending {
            Some(ending) if ending.eq_ignore_ascii_case("png") => self.picture()?.to_png_bytes()?,
            Some(ending) if ending.eq_ignore_ascii_case("pdf") => self.pdf()?,
            _ => self.svg()?.into_bytes(),
        };
        write_atomically(path, &bytes)
    }

    /// What the plot shows, in words.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    fn check(&self) -> Result<(), RenderError> {
        let points = self.series.iter().flat_map(|series| {
            let band = series.band.iter().map(|numbers| &numbers[..]);
            let points = series.points.iter().map(|numbers| &numbers[..]);
            points
                .chain(band)
                .map(|numbers| (series.name.as_str(), numbers))
        });
        for (name, numbers) in points {
            if !numbers.iter().all(|v| v.is_finite()) {
                return Err(RenderError::Parameter {
                    parameter: "a point of the plot",
                    value: format!("{numbers:?} of \"{name}\""),
                    expected: "finite numbers",
                });
            }
        }
        for (ticks, is_logarithmic) in self.ticks.iter().zip(self.logarithmic) {
            let is_right = |tick: &&f64| tick.is_finite() && (!is_logarithmic || **tick > 0.0);
            if let Some(tick) = ticks.iter().find(|tick| !is_right(tick)) {
                return Err(RenderError::Parameter {
                    parameter: "a tick of the plot",
                    value: tick.to_string(),
                    expected: "finite numbers, above zero on a logarithmic axis",
                });
            }
        }
        Ok(())
    }

    fn is_drawable(&self, place: [f64; 2]) -> bool {
        let mut axes = place.into_iter().zip(self.logarithmic);
        axes.all(|(v, is_logarithmic)| !is_logarithmic || v > 0.0)
    }

    fn drawing(&self) -> Result<Drawing, RenderError> {
        self.check()?;
        let drawn: Vec<Drawn<'_>> = (self.series.iter())
            .map(|series| Drawn {
                series,
                points: (series.points.iter().copied())
                    .filter(|point| self.is_drawable(*point))
                    .collect(),
                band: (series.band.iter().copied())
                    .filter(|[x, low, _]| self.is_drawable([*x, *low]))
                    .collect(),
            })
            .collect();
        let all: Vec<[f64; 2]> = drawn.iter().flat_map(Drawn::places).collect();
        if drawn.iter().all(|drawn| drawn.points.is_empty()) {
            return Err(RenderError::Empty {
                what: "the plot".to_owned(),
                shape: vec![0, 2],
            });
        }
        let scales = [0, 1].map(|axis| {
            let values = all.iter().map(|place| place[axis]);
            Scale::over(values, self.logarithmic[axis], &self.ticks[axis])
        });
        let names = drawn.iter().map(|drawn| width(&drawn.series.name, TEXT));
        let names = names.fold(0.0, f64::max).min(NAMES);
        let [left, top, right, bottom] = MARGIN;
        // As many names as the axes are high, and more where there are more.
        let high = (top + bottom + ROW * drawn.len() as f64).max(HEIGHT);
        let wide = WIDTH + SAMPLE + 8.0 + names.ceil() + 14.0;
        let mut drawing = Drawing::new(&self.title, [wide, high])?;
        let area = Area {
            scales,
            low: [left, high - bottom],
            high: [WIDTH - right, top],
        };
        drawing.put(Item::Text(Text {
            at: [left, 22.0],
            text: fitting(&self.title, TITLE, wide - left),
            size: TITLE,
            align: Align::Start,
            bold: true,
            turned: false,
        }));
        self.axes(&mut drawing, &area);
        for (i, drawn) in drawn.iter().enumerate() {
            drawn.band(&mut drawing, &area, look(i, drawn.series.is_quiet));
        }
        for (i, drawn) in drawn.iter().enumerate() {
            let look = look(i, drawn.series.is_quiet);
            drawn.line(&mut drawing, &area, look);
            let y = top + ROW * (i as f64 + 0.5);
            let from = WIDTH - right + 14.0;
            let is_one = drawn.series.is_marked && drawn.series.points.len() == 1;
            if !is_one {
                drawing.put(look.line(vec![[from, y], [from + SAMPLE, y]]));
            }
            if drawn.series.is_marked {
                drawing.put(look.dot([from + SAMPLE / 2.0, y]));
            }
            let name = fitting(&drawn.series.name, TEXT, NAMES);
            drawing.text(&name, [from + SAMPLE + 8.0, y + 4.0], TEXT, Align::Start);
        }
        Ok(drawing)
    }

    /// The grid with its numbers, and what they are.
    fn axes(&self, drawing: &mut Drawing, area: &Area) {
        let ([left, floor], [end, top]) = (area.low, area.high);
        let grid = |points| Item::Line {
            points,
            colour: GRID,
            width: 1.0,
            dashes: &[],
        };
        for tick in area.scales[0].ticks() {
            let x = area.place([tick, 0.0])[0];
            drawing.put(grid(vec![[x, top], [x, floor]]));
            drawing.text(&number(tick), [x, floor + 17.0], TEXT, Align::Middle);
        }
        for tick in area.scales[1].ticks() {
            let y = area.place([0.0, tick])[1];
            drawing.put(grid(vec![[left, y], [end, y]]));
            drawing.text(&number(tick), [left - 7.0, y + 4.0], TEXT, Align::End);
        }
        let (middle_x, middle_y) = ((left + end) / 2.0, (top + floor) / 2.0);
        let name = |axis: usize, room: f64| fitting(&self.axes[axis], TEXT, room);
        let below = name(0, end - left);
        drawing.text(&below, [middle_x, floor + 38.0], TEXT, Align::Middle);
        drawing.put(Item::Text(Text {
            at: [16.0, middle_y],
            text: name(1, floor - top + 40.0),
            size: TEXT,
            align: Align::Middle,
            bold: false,
            turned: true,
        }));
    }
}

/// How a curve looks.
#[derive(Clone, Copy)]
struct Look {
    colour: Colour,
    dashes: &'static [f32],
}

impl Look {
    fn line(self, points: Vec<[f64; 2]>) -> Item {
        Item::Line {
            points,
            colour: self.colour,
            width: 2.0,
            dashes: self.dashes,
        }
    }

    fn dot(self, at: [f64; 2]) -> Item {
        Item::Dot {
            at,
            radius: 3.0,
            colour: self.colour,
        }
    }
}

/// Of the curve of this number.
fn look(number: usize, is_quiet: bool) -> Look {
    let dashes = DASHES[number / COLOURS.len() % DASHES.len()];
    match is_quiet {
        true => Look {
            colour: QUIET,
            dashes: DASHES[1 + number % (DASHES.len() - 1)],
        },
        false => Look {
            colour: COLOURS[number % COLOURS.len()],
            dashes,
        },
    }
}

/// Where the axes lie.
struct Area {
    scales: [Scale; 2],
    /// Their lower left corner.
    low: [f64; 2],
    /// Their upper right corner.
    high: [f64; 2],
}

impl Area {
    fn place(&self, point: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|axis| {
            let share = self.scales[axis].place(point[axis]);
            self.low[axis] + share * (self.high[axis] - self.low[axis])
        })
    }
}

/// What there is to be drawn of a curve.
struct Drawn<'a> {
    series: &'a Series,
    points: Vec<[f64; 2]>,
    band: Vec<[f64; 3]>,
}

impl Drawn<'_> {
    /// All that must lie within the axes.
    fn places(&self) -> Vec<[f64; 2]> {
        let band = self.band.iter();
        let band = band.flat_map(|&[x, low, high]| [[x, low], [x, high]]);
        self.points.iter().copied().chain(band).collect()
    }

    fn band(&self, drawing: &mut Drawing, area: &Area, look: Look) {
        if self.band.len() < 2 {
            return;
        }
        let lower = self.band.iter().map(|&[x, low, _]| [x, low]);
        let upper = self.band.iter().rev().map(|&[x, _, high]| [x, high]);
        drawing.put(Item::Area {
            points: lower.chain(upper).map(|place| area.place(place)).collect(),
            colour: look.colour,
            opacity: 0.15,
        });
    }

    fn line(&self, drawing: &mut Drawing, area: &Area, look: Look) {
        let places: Vec<[f64; 2]> = self.points.iter().map(|&point| area.place(point)).collect();
        if self.series.is_marked {
            places
                .iter()
                .for_each(|&place| drawing.put(look.dot(place)));
        }
        if places.len() > 1 {
            drawing.put(look.line(places));
        }
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Without needless digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.0e}"),
        _ => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
