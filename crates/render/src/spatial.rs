//! The page that explores spatial attribution between two layers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ndarray::{Array3, Array4, ArrayView2, ArrayView3, Axis};
use serde::Serialize;

use crate::builders::builders;
use crate::normalise::check_finite;
use crate::page::{
    self, Prediction, STEPS, Widget, base64_size, check_bytes, data_uri, expect_shape, page_methods,
};
use crate::{ColorMap, Picture, RenderError, orange_blue};

const WIDGET: Widget = Widget {
    markup: include_str!("../widgets/spatial/page.html"),
    style: concat!(
        include_str!("../widgets/shared/grid.css"),
        "\n",
        include_str!("../widgets/spatial/style.css")
    ),
    parts: &[],
    script: Some(include_str!("../widgets/spatial/script.js")),
};

/// Signed class attributions at both layers, which the page shows while no cell is chosen.
///
/// Their colours come from [`orange_blue`], which expects the scale of logits: attributions to a
/// probability, often far below 0.01, come out grey.
#[derive(Clone, Debug)]
pub struct SpatialHints {
    /// At the shallow layer, one map per class: `[K, H1, W1]`.
    pub from: Array3<f32>,
    /// At the deep layer, one map per class: `[K, H2, W2]`.
    pub to: Array3<f32>,
}

/// One set of maps between the two layers: under the true gradient, or under replaced ones.
#[derive(Clone, Debug)]
pub struct SpatialView {
    name: String,
    description: Option<String>,
    maps: Array4<f32>,
    hints: Option<SpatialHints>,
    replaced: bool,
}

impl SpatialView {
    /// A view of `maps`, `[H2, W2, H1, W1]`: what position `[y1, x1]` of the shallow layer
    /// contributes to position `[y2, x2]` of the deep layer, signed, in the unit of the score.
    pub fn new(name: impl Into<String>, maps: Array4<f32>) -> Self {
        SpatialView {
            name: name.into(),
            description: None,
            maps,
            hints: None,
            replaced: false,
        }
    }

    /// A sentence or two below the name.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    builders! {
        /// Class attributions at both layers; the classes are named by [`SpatialWidget::classes`].
        some hints(hints: SpatialHints) => hints;
    }

    /// Marks maps computed under replaced gradients. The page labels them, and explains that such
    /// pictures hide some of what the network does.
    pub fn replaced_gradients(mut self) -> Self {
        self.replaced = true;
        self
    }
}

/// One self-contained HTML page: which positions of a shallow layer made each position of a deep
/// layer light up, and the other way round.
///
/// The photograph stands there twice per view, the shallow layer on the left and the deep one on the
/// right. Pointing at a cell on the right shows on the left where its activation came from; pointing
/// at a cell on the left shows on the right what it contributes to. All views follow the same cell.
/// Without a cell, both sides show the class hints in the colours of [`orange_blue`]. The page works
/// by mouse, touch and keyboard, and fetches nothing.
///
/// Maps are packed as 16-bit integers, each deep position by its own largest absolute value: what
/// the page shows differs from the array by at most 1/65534 of that value.
///
/// ```
/// use elucid_render::{Picture, SpatialView, SpatialWidget};
/// use ndarray::{Array3, Array4};
///
/// # fn main() -> Result<(), elucid_render::RenderError> {
/// let photo = Picture::from_rgb(Array3::from_elem((8, 12, 3), 120).view())?;
/// let mut maps = Array4::zeros((2, 3, 4, 6));
/// maps[[1, 2, 3, 4]] = 0.5;
/// let page = SpatialWidget::new(&photo, "inception_4c", "inception_4d")
///     .view(SpatialView::new("True gradient", maps))
///     .predictions([("Egyptian cat", 0.495)])
///     .render()?;
/// assert!(page.starts_with("<!doctype html>"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SpatialWidget {
    photo: Picture,
    from: String,
    to: String,
    title: Option<String>,
    views: Vec<SpatialView>,
    classes: Vec<String>,
    predictions: Vec<(String, Option<f32>)>,
    facts: Vec<(String, String)>,
}

impl SpatialWidget {
    /// Largest size of a page in bytes, 32 MiB. Each view takes 8/3 bytes per value: three views of
    /// 28 x 28 positions to 28 x 28 positions make a page of 5 MB.
    pub const MAX_BYTES: usize = 32 << 20;

    /// A page for what the network saw (any size; both layers cover all of it), and the names of the
    /// shallow and the deep layer.
    pub fn new(photo: &Picture, from: impl Into<String>, to: impl Into<String>) -> Self {
        SpatialWidget {
            photo: photo.clone(),
            from: from.into(),
            to: to.into(),
            title: None,
            views: Vec::new(),
            classes: Vec::new(),
            predictions: Vec::new(),
            facts: Vec::new(),
        }
    }

    builders! {
        /// Adds a view. All views have one shape.
        push view(view: SpatialView) => views;
        /// The one or two classes of the hints, the orange one first.
        names classes(classes: S) => classes;
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// - [`RenderError::NoViews`] without a view;
    /// - [`RenderError::Empty`], [`RenderError::Shape`], [`RenderError::NotFinite`] for maps or
    ///   hints that have no positions, differ in shape between views, or hold a NaN or an infinity;
    /// - [`RenderError::Classes`] when class names and hints do not go together;
    /// - [`RenderError::Parameter`] for a probability outside 0 to 1;
    /// - [`RenderError::PageTooLarge`] above [`SpatialWidget::MAX_BYTES`];
    /// - [`RenderError::Encode`] when an encoder fails.
    pub fn render(&self) -> Result<String, RenderError> {
        let [rows2, columns2, rows1, columns1] = self.check()?;
        let predictions = Prediction::list(&self.predictions)?;
        let photo = self.photo.to_png_bytes()?;
        let values = self.views.iter().map(|view| view.maps.len()).sum::<usize>();
        let packed = base64_size(2 * values).saturating_add(base64_size(photo.len()));
        check_bytes(packed, Self::MAX_BYTES)?;

        let sides = [
            Side::new("from", &self.from, rows1, columns1),
            Side::new("to", &self.to, rows2, columns2),
        ];
        let text = Text {
            title: self.shown_title(),
            from: &self.from,
            to: &self.to,
            sides: &sides,
            aspect: [self.photo.width(), self.photo.height()],
            views: self.views.iter().map(ViewText::new).collect(),
            replaced: self.views.iter().any(|view| view.replaced),
            classes: &self.classes,
            predictions,
            facts: &self.facts,
        };
        let data = Data {
            photo: data_uri(&photo),
            sides: &sides,
            classes: &self.classes,
            colors: STANDARD.encode(signed_colors()),
            steps: STEPS,
            views: self
                .views
                .iter()
                .map(ViewData::new)
                .collect::<Result<_, _>>()?,
        };
        WIDGET.render(&text, &data, Self::MAX_BYTES)
    }

    page_methods!(titled "Spatial attribution");

    /// The shape of every view, `[H2, W2, H1, W1]`.
    fn check(&self) -> Result<[usize; 4], RenderError> {
        let first = self.views.first().ok_or(RenderError::NoViews)?;
        let shape = first.maps.shape();
        for view in &self.views {
            let what = format!("view {:?}", view.name);
            expect_shape(&what, shape, view.maps.shape())?;
            if view.maps.is_empty() {
                return Err(RenderError::Empty {
                    what,
                    shape: shape.to_vec(),
                });
            }
            check_finite(&what, view.maps.view().into_dyn())?;
        }
        self.check_classes(shape)?;
        let (rows2, columns2, rows1, columns1) = first.maps.dim();
        Ok([rows2, columns2, rows1, columns1])
    }

    fn check_classes(&self, shape: &[usize]) -> Result<(), RenderError> {
        let classes = self.classes.len();
        if classes > 2 {
            return Err(RenderError::Classes {
                what: format!("there are {classes} class names"),
            });
        }
        let hints = self
            .views
            .iter()
            .filter_map(|view| Some((view, view.hints.as_ref()?)));
        for (view, hints) in hints.clone() {
            if classes == 0 {
                return Err(RenderError::Classes {
                    what: format!("view {:?} has hints, but no class is named", view.name),
                });
            }
            for (layer, maps, rows, columns) in [
                (&self.from, &hints.from, shape[2], shape[3]),
                (&self.to, &hints.to, shape[0], shape[1]),
            ] {
                let what = format!("the hints of view {:?} at {layer:?}", view.name);
                expect_shape(&what, &[classes, rows, columns], maps.shape())?;
                check_finite(&what, maps.view().into_dyn())?;
            }
        }
        if classes > 0 && hints.count() == 0 {
            return Err(RenderError::Classes {
                what: "classes are named, but no view has hints".to_owned(),
            });
        }
        Ok(())
    }
}

/// What the markup shows.
#[derive(Serialize)]
struct Text<'a> {
    title: &'a str,
    from: &'a str,
    to: &'a str,
    sides: &'a [Side<'a>; 2],
    aspect: [usize; 2],
    views: Vec<ViewText<'a>>,
    replaced: bool,
    classes: &'a [String],
    predictions: Vec<Prediction<'a>>,
    facts: &'a [(String, String)],
}

#[derive(Serialize)]
struct Side<'a> {
    key: &'static str,
    layer: &'a str,
    rows: usize,
    columns: usize,
}

impl<'a> Side<'a> {
    fn new(key: &'static str, layer: &'a str, rows: usize, columns: usize) -> Self {
        Side {
            key,
            layer,
            rows,
            columns,
        }
    }
}

#[derive(Serialize)]
struct ViewText<'a> {
    name: &'a str,
    description: Option<&'a str>,
    replaced: bool,
}

impl<'a> ViewText<'a> {
    fn new(view: &'a SpatialView) -> Self {
        ViewText {
            name: &view.name,
            description: view.description.as_deref(),
            replaced: view.replaced,
        }
    }
}

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    photo: String,
    sides: &'a [Side<'a>; 2],
    classes: &'a [String],
    /// 511 RGB colours, from the most negative to the most positive value.
    colors: String,
    steps: f64,
    views: Vec<ViewData<'a>>,
}

#[derive(Serialize)]
struct ViewData<'a> {
    name: &'a str,
    /// Largest absolute value of each deep position.
    scales: Vec<f32>,
    /// `[H2, W2, H1, W1]` as little-endian 16-bit integers, in units of `scale / steps`.
    maps: String,
    hints: Option<[HintData; 2]>,
}

impl<'a> ViewData<'a> {
    fn new(view: &'a SpatialView) -> Result<Self, RenderError> {
        let (scales, maps) = pack(&view.maps);
        let hints = match &view.hints {
            None => None,
            Some(hints) => Some([HintData::new(&hints.from)?, HintData::new(&hints.to)?]),
        };
        Ok(ViewData {
            name: &view.name,
            scales,
            maps: STANDARD.encode(maps),
            hints,
        })
    }
}

#[derive(Serialize)]
struct HintData {
    /// The two-class picture, `[H, W, 3]` bytes.
    colors: String,
    /// The signed maps, one list of `H * W` per class.
    values: Vec<Vec<f32>>,
}

impl HintData {
    fn new(maps: &Array3<f32>) -> Result<Self, RenderError> {
        let picture = class_picture(maps.view())?;
        Ok(HintData {
            colors: STANDARD.encode(picture.as_image().as_raw()),
            values: maps
                .axis_iter(Axis(0))
                .map(|map| map.iter().copied().collect())
                .collect(),
        })
    }
}

/// One class in orange, or two in orange and blue.
fn class_picture(maps: ArrayView3<f32>) -> Result<Picture, RenderError> {
    let class = |k: usize| -> ArrayView2<f32> { maps.index_axis_move(Axis(0), k) };
    let first = class(0);
    let rgb = if maps.len_of(Axis(0)) > 1 {
        orange_blue(first, class(1))?
    } else {
        orange_blue(first, ndarray::Array2::zeros(first.dim()).view())?
    };
    Picture::from_unit_rgb(rgb.view())
}

/// Each deep position's map as integers, and its largest absolute value.
fn pack(maps: &Array4<f32>) -> (Vec<f32>, Vec<u8>) {
    let (rows2, columns2, rows1, columns1) = maps.dim();
    let mut scales = Vec::with_capacity(rows2 * columns2);
    let mut bytes = Vec::with_capacity(2 * rows2 * columns2 * rows1 * columns1);
    for row in maps.outer_iter() {
        for map in row.outer_iter() {
            scales.push(page::pack(&map, &mut bytes));
        }
    }
    (scales, bytes)
}

fn signed_colors() -> Vec<u8> {
    (0..511)
        .flat_map(|i| ColorMap::Glow.map(i as f32 / 510.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::hostile::{HOSTILE, fetches_nothing};
    use proptest::prelude::*;

    fn photo() -> Picture {
        Picture::from_rgb(Array3::from_elem((4, 6, 3), 90).view()).unwrap()
    }

    fn widget() -> SpatialWidget {
        SpatialWidget::new(&photo(), "shallow", "deep")
    }

    fn maps() -> Array4<f32> {
        Array4::from_shape_fn((2, 3, 4, 5), |(a, b, c, d)| {
            (a + 2 * b) as f32 - (c * d) as f32 / 3.0
        })
    }

    fn hints(classes: usize) -> SpatialHints {
        SpatialHints {
            from: Array3::ones((classes, 4, 5)),
            to: Array3::ones((classes, 2, 3)),
        }
    }

    #[test]
    fn the_largest_value_packs_without_loss() {
        let mut maps = Array4::zeros((1, 2, 1, 3));
        maps[[0, 0, 0, 1]] = -0.25;
        maps[[0, 0, 0, 2]] = 0.125;
        let (scales, bytes) = pack(&maps);
        assert_eq!(scales, [0.25, 0.0]);
        let values: Vec<i16> = bytes
            .chunks(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(values, [0, -32767, 16384, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn packing_errs_by_at_most_half_a_step(
            values in proptest::collection::vec(-1e30_f32..1e30, 24),
        ) {
            let maps = Array4::from_shape_vec((2, 2, 3, 2), values.clone()).unwrap();
            let (scales, bytes) = pack(&maps);
            for (i, value) in values.iter().enumerate() {
                let packed = i16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]);
                let scale = f64::from(scales[i / 6]);
                let back = f64::from(packed) * scale / STEPS;
                prop_assert!((back - f64::from(*value)).abs() <= scale / (2.0 * STEPS) * (1.0 + 1e-9));
            }
        }
    }

    #[test]
    fn labels_stay_text() {
        let quotes = "\"quotes' & <b>";
        let page = SpatialWidget::new(&photo(), HOSTILE, quotes)
            .title(HOSTILE)
            .view(
                SpatialView::new(HOSTILE, maps())
                    .description(quotes)
                    .hints(hints(2)),
            )
            .classes([HOSTILE, quotes])
            .predictions([(HOSTILE, 0.5)])
            .fact(HOSTILE, quotes)
            .render()
            .unwrap();
        let scripts = page.matches("<script").count();
        assert_eq!(page.matches("</script>").count(), scripts);
        let (markup, rest) = page.split_once("type=\"application/json\">").unwrap();
        let (data, _) = rest.split_once("</script>").unwrap();
        assert!(!page.contains("<img src=x"));
        assert!(!page.contains("& <b>"));
        assert!(!markup.contains("\"quotes' "));
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["sides"][0]["layer"], HOSTILE);
        assert_eq!(data["sides"][1]["layer"], quotes);
        assert_eq!(data["classes"][0], HOSTILE);
    }

    #[test]
    fn the_page_is_complete_in_itself() {
        let page = widget()
            .view(SpatialView::new("true", maps()))
            .render()
            .unwrap();
        fetches_nothing(&page);
    }

    #[test]
    fn the_warning_comes_with_replaced_gradients() {
        let warning = "hide";
        let plain = SpatialView::new("true", maps());
        let page = widget().view(plain.clone()).render().unwrap();
        assert!(!page.contains("class=\"caution\""));
        let page = widget()
            .view(plain)
            .view(SpatialView::new("smooth", maps()).replaced_gradients())
            .render()
            .unwrap();
        assert!(page.contains("class=\"caution\"") && page.contains(warning));
    }

    #[test]
    fn three_views_of_28_by_28_fit_in_a_few_megabytes() {
        let view = || SpatialView::new("view", Array4::from_elem((28, 28, 28, 28), 0.5));
        let page = widget()
            .view(view())
            .view(view())
            .view(view())
            .render()
            .unwrap();
        assert!(page.len() < 5_500_000, "{} bytes", page.len());
    }

    #[test]
    fn pages_that_are_too_large_are_refused_before_they_are_made() {
        let view = SpatialView::new("view", Array4::zeros((60, 60, 60, 60)));
        let error = widget().view(view).render().unwrap_err();
        assert!(matches!(error, RenderError::PageTooLarge { .. }));
    }

    #[test]
    fn one_cell_is_a_grid_too() {
        let page = widget().view(SpatialView::new("true", Array4::zeros((1, 1, 1, 1))));
        page.render().unwrap();
    }

    #[test]
    fn bad_input_is_a_typed_error() {
        assert!(matches!(widget().render(), Err(RenderError::NoViews)));

        let view = |maps| SpatialView::new("view", maps);
        let error = widget().view(view(Array4::zeros((2, 0, 3, 3)))).render();
        assert!(matches!(error, Err(RenderError::Empty { .. })));

        let error = widget()
            .view(view(maps()))
            .view(view(Array4::zeros((2, 3, 5, 4))))
            .render();
        assert!(matches!(error, Err(RenderError::Shape { .. })));

        let mut nan = maps();
        nan[[1, 2, 3, 4]] = f32::NEG_INFINITY;
        let message = widget().view(view(nan)).render().unwrap_err().to_string();
        assert!(message.contains("[1, 2, 3, 4]"), "{message}");

        for probability in [f32::NAN, -0.5, 1.5] {
            let error = widget()
                .view(view(maps()))
                .predictions([("cat", probability)])
                .render();
            assert!(matches!(error, Err(RenderError::Parameter { .. })));
        }
    }

    #[test]
    fn classes_and_hints_go_together() {
        let view = |classes| SpatialView::new("view", maps()).hints(hints(classes));
        for classes in [&["cat"][..], &["cat", "cup"]] {
            widget()
                .view(view(classes.len()))
                .classes(classes.iter().copied())
                .render()
                .unwrap();
        }
        let classes = |result: Result<String, RenderError>| {
            matches!(result, Err(RenderError::Classes { .. }))
        };
        assert!(classes(widget().view(view(1)).render()));
        assert!(classes(
            widget().view(view(3)).classes(["a", "b", "c"]).render()
        ));
        assert!(classes(
            widget()
                .view(SpatialView::new("view", maps()))
                .classes(["cat"])
                .render()
        ));
        let swapped = SpatialHints {
            from: Array3::ones((1, 2, 3)),
            to: Array3::ones((1, 4, 5)),
        };
        let error = widget()
            .view(SpatialView::new("view", maps()).hints(swapped))
            .classes(["cat"])
            .render();
        assert!(matches!(error, Err(RenderError::Shape { .. })));
    }
}
