//! The page that compares pictures: methods, classes, layers or photographs beside each other.

use serde::Serialize;

use crate::builders::builders;
use crate::page::{Prediction, Widget, base64_size, check_bytes, data_uri, page_methods};
use crate::{LinePlot, Picture, RenderError};

const WIDGET: Widget = Widget {
    markup: include_str!("../widgets/gallery/page.html"),
    parts: &[(
        "figure.html",
        include_str!("../widgets/gallery/figure.html"),
    )],
    style: include_str!("../widgets/gallery/style.css"),
    script: None,
};

/// A picture with a caption and a few numbers below it, or a message in its place.
#[derive(Clone, Debug)]
pub struct Figure {
    content: Content,
    caption: String,
    detail: String,
    numbers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Content {
    Picture { picture: Picture, alt: String },
    Absent(String),
}

impl Figure {
    /// A picture; `alt` says what it shows to those who cannot see it.
    pub fn new(picture: &Picture, alt: impl Into<String>) -> Self {
        Self::of(Content::Picture {
            picture: picture.clone(),
            alt: alt.into(),
        })
    }

    /// A message where a picture would have been, such as why a method failed.
    pub fn absent(message: impl Into<String>) -> Self {
        Self::of(Content::Absent(message.into()))
    }

    fn of(content: Content) -> Self {
        Figure {
            content,
            caption: String::new(),
            detail: String::new(),
            numbers: Vec::new(),
        }
    }

    /// The name below the picture. In a table, rows and columns have names already.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// A quieter line below the caption, such as the layer.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds a number below the caption, as text with its unit.
    pub fn number(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.numbers.push((name.into(), value.into()));
        self
    }
}

/// Numbers and figures under a title: a table of numbers, plots, figures in one flow, figures in a table
/// with named rows and columns, or several of these, in this order.
#[derive(Clone, Debug)]
pub struct GallerySection {
    title: String,
    text: String,
    heads: Vec<String>,
    numbers: Vec<(String, Vec<String>)>,
    plots: Vec<LinePlot>,
    figures: Vec<Figure>,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Figure>)>,
}

impl GallerySection {
    /// A section without figures yet.
    pub fn new(title: impl Into<String>) -> Self {
        GallerySection {
            title: title.into(),
            text: String::new(),
            heads: Vec::new(),
            numbers: Vec::new(),
            plots: Vec::new(),
            figures: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// A paragraph below the title.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    builders! {
        /// Names the columns of the table of numbers.
        names heads(names: S) => heads;
    }

    /// Adds a row to the table of numbers: its name, and a text for each column.
    pub fn numbers<S: Into<String>>(
        mut self,
        name: impl Into<String>,
        numbers: impl IntoIterator<Item = S>,
    ) -> Self {
        let numbers = numbers.into_iter().map(Into::into).collect();
        self.numbers.push((name.into(), numbers));
        self
    }

    builders! {
        /// Adds a plot, at its own size where the window is as wide.
        push plot(plot: LinePlot) => plots;
        /// Adds a figure to the flow, which wraps as the window is wide.
        push figure(figure: Figure) => figures;
        /// Names the columns of the table.
        names columns(names: S) => columns;
    }

    /// Adds a row to the table, with one figure for each column.
    pub fn row(
        mut self,
        name: impl Into<String>,
        figures: impl IntoIterator<Item = Figure>,
    ) -> Self {
        self.rows.push((name.into(), figures.into_iter().collect()));
        self
    }

    /// Number of figures in each row of the table.
    fn width(&self) -> Result<usize, RenderError> {
        for (name, numbers) in &self.numbers {
            if numbers.len() != self.heads.len() {
                return Err(RenderError::Shape {
                    what: format!("numbers of {name:?} in section {:?}", self.title),
                    expected: vec![self.heads.len()],
                    got: vec![numbers.len()],
                });
            }
        }
        let width = match (self.columns.len(), self.rows.first()) {
            (0, Some((_, figures))) => figures.len(),
            (width, _) => width,
        };
        for (name, figures) in &self.rows {
            if figures.len() != width {
                return Err(RenderError::Shape {
                    what: format!("row {name:?} of section {:?}", self.title),
                    expected: vec![width],
                    got: vec![figures.len()],
                });
            }
        }
        let no_figures = self.figures.is_empty() && (self.rows.is_empty() || width == 0);
        if no_figures && self.numbers.is_empty() && self.plots.is_empty() {
            return Err(RenderError::NoFigures {
                what: format!("section {:?}", self.title),
            });
        }
        Ok(width)
    }
}

/// One self-contained HTML page of pictures with names and numbers, in sections.
///
/// The page has no script and fetches nothing. It follows the reader's light or dark colours, and a
/// narrow window breaks each row of a table into a small flow of its own.
///
/// ```
/// use elucid_render::{Figure, Gallery, GallerySection, Picture};
/// use ndarray::Array3;
///
/// # fn main() -> Result<(), elucid_render::RenderError> {
/// let photo = Picture::from_rgb(Array3::from_elem((8, 12, 3), 120).view())?;
/// let page = Gallery::new("Saliency methods")
///     .section(
///         GallerySection::new("Two classes")
///             .figure(Figure::new(&photo, "A cat beside a cup").caption("Photograph"))
///             .columns(["Egyptian cat", "espresso"])
///             .row(
///                 "Gradient",
///                 [
///                     Figure::new(&photo, "Gradient of Egyptian cat").number("score", "16.7"),
///                     Figure::absent("The network has no such class."),
///                 ],
///             ),
///     )
///     .render()?;
/// assert!(page.starts_with("<!doctype html>"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Gallery {
    title: String,
    text: String,
    predictions: Vec<(String, Option<f32>)>,
    facts: Vec<(String, String)>,
    sections: Vec<GallerySection>,
}

impl Gallery {
    /// Largest size of a page in bytes, 64 MiB: at least 300 pictures of 224 x 224 pixels.
    pub const MAX_BYTES: usize = 64 << 20;

    /// A page without sections yet.
    pub fn new(title: impl Into<String>) -> Self {
        Gallery {
            title: title.into(),
            text: String::new(),
            predictions: Vec::new(),
            facts: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// A paragraph below the title.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    builders! {
        /// Adds a section.
        push section(section: GallerySection) => sections;
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// - [`RenderError::NoFigures`] without sections, and for a section without figures or numbers;
    /// - [`RenderError::Shape`] for a row with more or fewer figures or numbers than there are
    ///   columns;
    /// - [`RenderError::Parameter`] for a probability outside 0 to 1;
    /// - [`RenderError::PageTooLarge`] above [`Gallery::MAX_BYTES`];
    /// - [`RenderError::Encode`] when an encoder fails.
    pub fn render(&self) -> Result<String, RenderError> {
        if self.sections.is_empty() {
            return Err(RenderError::NoFigures {
                what: "the page".to_owned(),
            });
        }
        let mut bytes = 0;
        let text = Text {
            title: &self.title,
            lede: &self.text,
            predictions: Prediction::list(&self.predictions)?,
            facts: &self.facts,
            sections: self
                .sections
                .iter()
                .map(|section| SectionText::new(section, &mut bytes))
                .collect::<Result<_, _>>()?,
        };
        WIDGET.render(&text, &(), Self::MAX_BYTES)
    }

    page_methods!();
}

/// What the markup shows.
#[derive(Serialize)]
struct Text<'a> {
    title: &'a str,
    lede: &'a str,
    predictions: Vec<Prediction<'a>>,
    facts: &'a [(String, String)],
    sections: Vec<SectionText<'a>>,
}

#[derive(Serialize)]
struct SectionText<'a> {
    title: &'a str,
    text: &'a str,
    heads: &'a [String],
    numbers: &'a [(String, Vec<String>)],
    plots: Vec<PlotText<'a>>,
    figures: Vec<FigureText<'a>>,
    columns: &'a [String],
    rows: Vec<RowText<'a>>,
}

impl<'a> SectionText<'a> {
    /// `bytes` counts what the pictures of the page take.
    fn new(section: &'a GallerySection, bytes: &mut usize) -> Result<Self, RenderError> {
        let width = section.width()?;
        let plots = (section.plots.iter())
            .map(|plot| PlotText::new(plot, bytes))
            .collect::<Result<_, _>>()?;
        let mut figures = |figures: &'a [Figure]| {
            figures
                .iter()
                .map(|figure| FigureText::new(figure, bytes))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(SectionText {
            title: &section.title,
            text: &section.text,
            heads: &section.heads,
            numbers: &section.numbers,
            plots,
            figures: figures(&section.figures)?,
            columns: &section.columns,
            rows: match width {
                0 => Vec::new(),
                _ => section
                    .rows
                    .iter()
                    .map(|(name, row)| {
                        Ok(RowText {
                            name,
                            figures: figures(row)?,
                        })
                    })
                    .collect::<Result<_, RenderError>>()?,
            },
        })
    }
}

/// A plot as markup of our own, in which names are escaped.
#[derive(Serialize)]
struct PlotText<'a> {
    title: &'a str,
    svg: String,
}

impl<'a> PlotText<'a> {
    fn new(plot: &'a LinePlot, bytes: &mut usize) -> Result<Self, RenderError> {
        let svg = plot.svg()?;
        *bytes = bytes.saturating_add(svg.len());
        check_bytes(*bytes, Gallery::MAX_BYTES)?;
        let title = plot.title();
        Ok(Self { title, svg })
    }
}

#[derive(Serialize)]
struct RowText<'a> {
    name: &'a str,
    figures: Vec<FigureText<'a>>,
}

#[derive(Serialize)]
struct FigureText<'a> {
    /// Empty where there is no picture.
    source: String,
    width: usize,
    height: usize,
    /// What the picture shows, or why there is none.
    text: &'a str,
    caption: &'a str,
    detail: &'a str,
    numbers: &'a [(String, String)],
}

impl<'a> FigureText<'a> {
    fn new(figure: &'a Figure, bytes: &mut usize) -> Result<Self, RenderError> {
        let (source, [width, height], text) = match &figure.content {
            Content::Picture { picture, alt } => {
                let png = picture.to_png_bytes()?;
                *bytes = bytes.saturating_add(base64_size(png.len()));
                // Before more memory is taken for a page that cannot be.
                check_bytes(*bytes, Gallery::MAX_BYTES)?;
                (data_uri(&png), [picture.width(), picture.height()], alt)
            }
            Content::Absent(message) => (String::new(), [0, 0], message),
        };
        Ok(FigureText {
            source,
            width,
            height,
            text,
            caption: &figure.caption,
            detail: &figure.detail,
            numbers: &figure.numbers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::hostile::{HOSTILE, fetches_nothing};
    use ndarray::Array3;

    const QUOTES: &str = "\"quotes' & <b>";

    fn picture(height: usize, width: usize) -> Picture {
        Picture::from_rgb(Array3::from_elem((height, width, 3), 90).view()).unwrap()
    }

    fn figure() -> Figure {
        Figure::new(&picture(4, 6), "a map")
    }

    fn plot(title: &str) -> LinePlot {
        LinePlot::new(title, "share", "probability").line(HOSTILE, [(0.0, 0.0), (1.0, 1.0)])
    }

    #[test]
    fn every_figure_is_on_the_page() {
        let page = Gallery::new("Methods")
            .text("A paragraph.")
            .predictions([("Egyptian cat", 0.495)])
            .fact("Model", "googlenet")
            .section(
                GallerySection::new("First")
                    .text("About it.")
                    .figure(figure().caption("Photograph"))
                    .columns(["left", "right"])
                    .row("gradient", [figure().number("score", "1.5"), figure()])
                    .row("other", [figure(), Figure::absent("it failed")]),
            )
            .section(
                GallerySection::new("Numbers")
                    .heads(["pointing", "images"])
                    .numbers("grad-cam", ["0.914", "40"]),
            )
            .section(GallerySection::new("Second").row("alone", [figure().detail("conv1")]))
            .section(GallerySection::new("Curves").plot(plot("insertion")))
            .render()
            .unwrap();
        assert_eq!(page.matches("data:image/png;base64,").count(), 5);
        assert_eq!(page.matches("alt=\"a map\"").count(), 5);
        assert_eq!(page.matches("width=\"6\" height=\"4\"").count(), 5);
        assert_eq!(page.matches("aria-label=\"insertion\"").count(), 1);
        assert!(page.contains("<svg") && !page.contains(HOSTILE));
        for text in [
            "<title>Methods</title>",
            "A paragraph.",
            "49.5 %",
            "googlenet",
            "About it.",
            "<strong>Photograph</strong>",
            "scope=\"col\">right</th>",
            "scope=\"row\">other</th>",
            "<dt>score</dt><dd>1.5</dd>",
            "<p class=\"absent\">it failed</p>",
            "<span class=\"detail\">conv1</span>",
            "scope=\"col\">pointing</th>",
            "scope=\"row\">grad-cam</th>",
            "<td>0.914</td><td>40</td>",
        ] {
            assert!(page.contains(text), "no {text} in {page}");
        }
    }

    #[test]
    fn labels_stay_text() {
        let figure = |picture: Figure| {
            picture
                .caption(HOSTILE)
                .detail(QUOTES)
                .number(HOSTILE, QUOTES)
        };
        let page = Gallery::new(HOSTILE)
            .text(QUOTES)
            .predictions([(HOSTILE, 0.5)])
            .fact(HOSTILE, QUOTES)
            .section(
                GallerySection::new(HOSTILE)
                    .text(QUOTES)
                    .heads([HOSTILE])
                    .numbers(QUOTES, [HOSTILE])
                    .figure(figure(Figure::new(&picture(2, 2), QUOTES)))
                    .figure(figure(Figure::absent(HOSTILE)))
                    .columns([HOSTILE])
                    .row(QUOTES, [figure(Figure::new(&picture(2, 2), HOSTILE))]),
            )
            .render()
            .unwrap();
        assert!(!page.contains("<img src=x"));
        assert!(!page.contains("script>"));
        assert!(!page.contains("& <b>"));
        assert!(!page.contains("\"quotes'"));
    }

    #[test]
    fn the_page_is_complete_in_itself() {
        let page = Gallery::new("t")
            .section(GallerySection::new("s").figure(figure()))
            .render()
            .unwrap();
        assert!(!page.contains("<script") && !page.contains("script-src"));
        fetches_nothing(&page);
    }

    #[test]
    fn pages_that_are_too_large_are_refused() {
        // Noise, which PNG cannot make smaller.
        let mut state = 1_u32;
        let noise = Array3::from_shape_fn((2048, 2048, 3), |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let noise = Figure::new(&Picture::from_rgb(noise.view()).unwrap(), "noise");
        let section = (0..5).fold(GallerySection::new("noise"), |section, _| {
            section.figure(noise.clone())
        });
        let error = Gallery::new("t").section(section).render().unwrap_err();
        assert!(
            matches!(error, RenderError::PageTooLarge { limit, .. } if limit == Gallery::MAX_BYTES)
        );
    }

    #[test]
    fn pages_without_figures_are_errors() {
        let nothing = |page: Gallery| match page.render().unwrap_err() {
            RenderError::NoFigures { what } => what,
            other => panic!("{other}"),
        };
        let page = Gallery::new("t");
        assert_eq!(nothing(page.clone()), "the page");
        let section = |s| nothing(page.clone().section(s));
        assert_eq!(section(GallerySection::new("s")), "section \"s\"");
        section(GallerySection::new("s").columns(["a", "b"]));
        section(GallerySection::new("s").row("r", []));
    }

    #[test]
    fn bad_input_is_a_typed_error() {
        let page = |section| Gallery::new("t").section(section).render();
        for section in [
            GallerySection::new("s")
                .columns(["a", "b"])
                .row("r", [figure()]),
            GallerySection::new("s")
                .row("first", [figure()])
                .row("r", []),
        ] {
            let message = page(section).unwrap_err().to_string();
            assert!(message.contains("row \"r\" of section \"s\""), "{message}");
        }
        let error = Gallery::new("t")
            .section(GallerySection::new("s").figure(figure()))
            .predictions([("cat", f32::NAN)])
            .render();
        assert!(matches!(error, Err(RenderError::Parameter { .. })));
    }
}
