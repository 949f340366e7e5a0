//! The page of neuron groups, and its pictures: where each group is active, and what it does to
//! scores.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ndarray::{Array2, Array3, ArrayView2, ArrayView3};
use serde::Serialize;

use crate::builders::builders;
use crate::normalise::check_finite;
use crate::page::{
    Prediction, Widget, base64_size, check_bytes, data_uri, expect_shape, page_methods,
};
use crate::{Interpolation, Normalisation, Picture, RenderError, resample};

const WIDGET: Widget = Widget {
    markup: include_str!("../widgets/group/page.html"),
    style: include_str!("../widgets/group/style.css"),
    parts: &[],
    script: Some(include_str!("../widgets/group/script.js")),
};

/// The value of a factor that is drawn in full: nearest rank among its positive parts.
const FULL: Normalisation = Normalisation::Percentile(99.0);

/// The sRGB colour of group `group` of `groups`: hue `360 group / groups`, 80 % saturation, 50 %
/// lightness.
pub fn group_color(group: usize, groups: usize) -> [u8; 3] {
    let hue = 360.0 * group as f64 / groups.max(1) as f64;
    // hsl to sRGB as CSS Color 4 defines it, between the darkest and the lightest channel.
    let (low, high) = (0.1, 0.9);
    [0.0, 8.0, 4.0].map(|n| {
        let k = (n + hue / 30.0).rem_euclid(12.0);
        let share = (1.0 - (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)) / 2.0;
        (255.0 * (low + (high - low) * share)).round() as u8
    })
}

/// The photograph where a group is active, and black where it is not: the photograph times the
/// factor `[h, w]` over its 99th percentile, clipped to 0 to 1, stretched over it.
///
/// # Errors
///
/// [`RenderError::Empty`], [`RenderError::NotFinite`].
pub fn factor_overlay(
    photo: &Picture,
    factor: ArrayView2<f32>,
    interpolation: Interpolation,
) -> Result<Picture, RenderError> {
    let unit = FULL.apply(factor)?;
    let (height, width) = (photo.height(), photo.width());
    let unit = resample(unit.view(), height, width, interpolation)?;
    let lit = Array3::from_shape_fn((height, width, 3), |(y, x, c)| {
        (unit[[y, x]] * f32::from(photo.pixel(y, x)[c])).round() as u8
    });
    Picture::from_rgb(lit.view())
}

/// All groups in their colours on black, `height` by `width` pixels, from factors `[n, h, w]`: each
/// factor over its 99th percentile, clipped to 0 to 1, stretched, times [`group_color`]; of the
/// groups at one place, the largest value of each colour channel counts (what graphics programs call
/// *lighten*).
///
/// # Errors
///
/// [`RenderError::Empty`], [`RenderError::NotFinite`], [`RenderError::PictureTooLarge`].
pub fn group_map(
    factors: ArrayView3<f32>,
    height: usize,
    width: usize,
    interpolation: Interpolation,
) -> Result<Picture, RenderError> {
    let groups = factors.dim().0;
    if factors.is_empty() {
        return Err(RenderError::Empty {
            what: "the factors".to_owned(),
            shape: factors.shape().to_vec(),
        });
    }
    crate::picture::check_size("the map of groups", height, width)?;
    let mut map = Array3::<u8>::zeros((height, width, 3));
    for (group, factor) in factors.outer_iter().enumerate() {
        let unit = resample(FULL.apply(factor)?.view(), height, width, interpolation)?;
        let color = group_color(group, groups).map(f32::from);
        for ((y, x, c), level) in map.indexed_iter_mut() {
            *level = (*level).max((unit[[y, x]] * color[c]).round() as u8);
        }
    }
    Picture::from_rgb(map.view())
}

/// One division of a layer's activations into groups.
#[derive(Clone, Debug)]
pub struct GroupView {
    factors: Array3<f32>,
    name: Option<String>,
    icons: Vec<Picture>,
    targets: Vec<String>,
    attributions: Option<Array2<f32>>,
    mean: Option<Vec<f32>>,
    residual: Option<Vec<f32>>,
    error: Option<f32>,
}

impl GroupView {
    /// Groups that are active where `factors`, `[n, H, W]`, are large. Negative values, which PCA
    /// and ICA give, count as zero in the pictures.
    pub fn new(factors: Array3<f32>) -> Self {
        GroupView {
            factors,
            name: None,
            icons: Vec::new(),
            targets: Vec::new(),
            attributions: None,
            mean: None,
            residual: None,
            error: None,
        }
    }

    /// What the slider calls this division, instead of "6 groups".
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A picture of what each group looks for, one per group, of any size; one that is not square
    /// is shown whole in a square.
    pub fn icons(mut self, icons: impl IntoIterator<Item = Picture>) -> Self {
        self.icons = icons.into_iter().collect();
        self
    }

    /// What each group adds to each target, `[n, targets]`, signed, in the unit of the score.
    pub fn attributions<S: Into<String>>(
        mut self,
        targets: impl IntoIterator<Item = S>,
        attributions: Array2<f32>,
    ) -> Self {
        self.targets = targets.into_iter().map(Into::into).collect();
        self.attributions = Some(attributions);
        self
    }

    /// What the part of the reconstruction that belongs to no group, such as the mean that PCA
    /// subtracts, adds to each target.
    pub fn mean(mut self, mean: impl IntoIterator<Item = f32>) -> Self {
        self.mean = Some(mean.into_iter().collect());
        self
    }

    /// What the activations that the reconstruction leaves out add to each target.
    pub fn residual(mut self, residual: impl IntoIterator<Item = f32>) -> Self {
        self.residual = Some(residual.into_iter().collect());
        self
    }

    builders! {
        /// The relative error of the reconstruction, the norm of what it leaves out over that of the
        /// activations: 0 is exact.
        some error(error: f32) => error;
    }

    fn groups(&self) -> usize {
        self.factors.dim().0
    }

    fn title(&self) -> String {
        match (&self.name, self.groups()) {
            (Some(name), _) => name.clone(),
            (None, 1) => "1 group".to_owned(),
            (None, groups) => format!("{groups} groups"),
        }
    }

    fn check(&self) -> Result<(), RenderError> {
        let title = self.title();
        let what = |part: &str| format!("the {part} of {title:?}");
        if self.factors.is_empty() {
            return Err(RenderError::Empty {
                what: what("factors"),
                shape: self.factors.shape().to_vec(),
            });
        }
        check_finite(&what("factors"), self.factors.view().into_dyn())?;
        if !self.icons.is_empty() {
            expect_shape(&what("icons"), &[self.groups()], &[self.icons.len()])?;
        }
        let targets = self.targets.len();
        if let Some(attributions) = &self.attributions {
            let expected = [self.groups(), targets];
            expect_shape(&what("attributions"), &expected, attributions.shape())?;
            check_finite(&what("attributions"), attributions.view().into_dyn())?;
        }
        for (part, row) in [("mean part", &self.mean), ("residual", &self.residual)] {
            if let Some(row) = row {
                expect_shape(&what(part), &[targets], &[row.len()])?;
                check_finite(&what(part), ndarray::ArrayView1::from(row).into_dyn())?;
            }
        }
        match self.error {
            Some(error) if !(error.is_finite() && error >= 0.0) => Err(RenderError::Parameter {
                parameter: "the relative error of a reconstruction",
                value: error.to_string(),
                expected: "a number from 0 on",
            }),
            _ => Ok(()),
        }
    }
}

/// One self-contained HTML page: groups of neurons of one layer, where in the photograph each is
/// active, what it looks for, and what it adds to the scores.
///
/// On the left stands the photograph, beside it the map of all groups in their colours; both show
/// only the chosen group while there is one. Its icon, its row in the table, or a place in the
/// pictures chooses a group by pointing, by the keyboard or by a tap. In the table an edge's
/// width is the size of an attribution; it is solid when the group adds to the score, and dashed
/// when it takes from it. With several views a slider goes from one to the next. The page fetches
/// nothing.
///
/// The pictures are those of Lucid's notebook of neuron groups, the edges those of *The Building
/// Blocks of Interpretability* (Olah et al., Distill, 2018).
///
/// ```
/// use elucid_render::{GroupView, GroupWidget, Picture};
/// use ndarray::{Array3, array};
///
/// # fn main() -> Result<(), elucid_render::RenderError> {
/// let photo = Picture::from_rgb(Array3::from_elem((8, 12, 3), 120).view())?;
/// let factors = Array3::from_shape_fn((2, 7, 7), |(n, y, x)| if n == 0 { y } else { x } as f32);
/// let page = GroupWidget::new(&photo, "inception_4d")
///     .view(
///         GroupView::new(factors)
///             .attributions(["Egyptian cat", "tabby"], array![[2.5, 1.0], [-0.5, 0.25]])
///             .residual([0.75, -0.25])
///             .error(0.57),
///     )
///     .render()?;
/// assert!(page.starts_with("<!doctype html>"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GroupWidget {
    photo: Picture,
    layer: String,
    title: Option<String>,
    views: Vec<GroupView>,
    first: usize,
    predictions: Vec<(String, Option<f32>)>,
    facts: Vec<(String, String)>,
}

impl GroupWidget {
    /// Largest size of a page in bytes, 32 MiB.
    pub const MAX_BYTES: usize = 32 << 20;

    /// A page for what the network saw (any size; the layer covers all of it) and the layer.
    pub fn new(photo: &Picture, layer: impl Into<String>) -> Self {
        GroupWidget {
            photo: photo.clone(),
            layer: layer.into(),
            title: None,
            views: Vec::new(),
            first: 0,
            predictions: Vec::new(),
            facts: Vec::new(),
        }
    }

    builders! {
        /// Adds a division into groups. The slider has them in the order in which they are added.
        push view(view: GroupView) => views;
        /// Which view the slider starts at, by its place; the first by default, and the last for a
        /// number beyond it.
        set starts_at(view: usize) => first;
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// - [`RenderError::NoViews`] without a view;
    /// - [`RenderError::Empty`], [`RenderError::Shape`], [`RenderError::NotFinite`] for factors
    ///   without groups or positions, for icons and attributions that are not one per group and
    ///   target, and for a NaN or an infinity;
    /// - [`RenderError::Parameter`] for a negative error and a probability outside 0 to 1;
    /// - [`RenderError::PageTooLarge`] above [`GroupWidget::MAX_BYTES`];
    /// - [`RenderError::Encode`] when an encoder fails.
    pub fn render(&self) -> Result<String, RenderError> {
        if self.views.is_empty() {
            return Err(RenderError::NoViews);
        }
        for view in &self.views {
            view.check()?;
        }
        let predictions = Prediction::list(&self.predictions)?;
        let photo = self.photo.to_png_bytes()?;
        let mut bytes = base64_size(photo.len());
        let text = Text {
            title: self.shown_title(),
            layer: &self.layer,
            slider: self.views.len(),
            first: self.first.min(self.views.len() - 1),
            table: self.views.iter().any(|view| !view.targets.is_empty()),
            signed: self
                .views
                .iter()
                .any(|view| view.factors.iter().any(|&v| v < 0.0)),
            aspect: [self.photo.width(), self.photo.height()],
            predictions,
            facts: &self.facts,
        };
        let data = Data {
            photo: data_uri(&photo),
            layer: &self.layer,
            views: self
                .views
                .iter()
                .map(|view| ViewData::new(view, &mut bytes))
                .collect::<Result<_, _>>()?,
        };
        WIDGET.render(&text, &data, Self::MAX_BYTES)
    }

    page_methods!(titled "Neuron groups");
}

/// What the markup shows.
#[derive(Serialize)]
struct Text<'a> {
    title: &'a str,
    layer: &'a str,
    /// Stops of the slider.
    slider: usize,
    /// The stop that it starts at.
    first: usize,
    table: bool,
    signed: bool,
    aspect: [usize; 2],
    predictions: Vec<Prediction<'a>>,
    facts: &'a [(String, String)],
}

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    photo: String,
    layer: &'a str,
    views: Vec<ViewData<'a>>,
}

#[derive(Serialize)]
struct ViewData<'a> {
    name: String,
    groups: usize,
    rows: usize,
    columns: usize,
    /// `[n, H, W]` bytes, each factor over its 99th percentile.
    factors: String,
    /// Empty, or one address per group.
    icons: Vec<String>,
    /// RGB of each group.
    colors: Vec<[u8; 3]>,
    targets: &'a [String],
    /// One list per group.
    attributions: Vec<Vec<f32>>,
    mean: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    /// Sum of all rows for each target.
    total: Vec<f64>,
    error: Option<f32>,
}

impl<'a> ViewData<'a> {
    /// `bytes` counts what the pictures of the page take.
    fn new(view: &'a GroupView, bytes: &mut usize) -> Result<Self, RenderError> {
        let (groups, rows, columns) = view.factors.dim();
        let mut factors = Vec::with_capacity(view.factors.len());
        for factor in view.factors.outer_iter() {
            let unit = FULL.apply(factor)?;
            factors.extend(unit.iter().map(|v| (255.0 * v).round() as u8));
        }
        let mut count = |size: usize| {
            *bytes = bytes.saturating_add(base64_size(size));
            // Before more memory is taken for a page that cannot be.
            check_bytes(*bytes, GroupWidget::MAX_BYTES)
        };
        count(factors.len())?;
        let mut icons = Vec::with_capacity(view.icons.len());
        for icon in &view.icons {
            let png = icon.to_png_bytes()?;
            count(png.len())?;
            icons.push(data_uri(&png));
        }
        let attributions: Vec<Vec<f32>> = view
            .attributions
            .iter()
            .flat_map(|table| table.outer_iter())
            .map(|row| row.to_vec())
            .collect();
        let sum = |target: usize, rows: &mut dyn Iterator<Item = &Vec<f32>>| -> f64 {
            rows.map(|row| f64::from(row[target])).sum()
        };
        let total = (0..view.targets.len())
            .map(|target| {
                let mut rest = view.mean.iter().chain(&view.residual);
                sum(target, &mut attributions.iter()) + sum(target, &mut rest)
            })
            .collect();
        Ok(ViewData {
            name: view.title(),
            groups,
            rows,
            columns,
            factors: STANDARD.encode(factors),
            icons,
            colors: (0..groups).map(|i| group_color(i, groups)).collect(),
            targets: &view.targets,
            attributions,
            mean: view.mean.as_deref(),
            residual: view.residual.as_deref(),
            total,
            error: view.error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::hostile::{HOSTILE, fetches_nothing};
    use ndarray::array;

    fn picture(level: u8) -> Picture {
        Picture::from_rgb(Array3::from_elem((4, 4, 3), level).view()).unwrap()
    }

    fn factors() -> Array3<f32> {
        array![[[0.0, 1.0], [2.0, 4.0]], [[3.0, 0.0], [0.0, 0.0]]]
    }

    #[test]
    fn colours_by_hand() {
        // hsl(0 80% 50%), hsl(120 80% 50%), hsl(180 80% 50%), hsl(30 80% 50%).
        assert_eq!(group_color(0, 6), [230, 26, 26]);
        assert_eq!(group_color(1, 3), [26, 230, 26]);
        assert_eq!(group_color(1, 2), [26, 230, 230]);
        assert_eq!(group_color(1, 12), [230, 128, 26]);
        assert_eq!(group_color(0, 0), [230, 26, 26]);
    }

    #[test]
    fn overlays_by_hand() {
        let factor = array![[0.0, 1.0], [2.0, -4.0]];
        let out = factor_overlay(&picture(200), factor.view(), Interpolation::Nearest).unwrap();
        // Over the largest positive value, 2; the negative one counts as zero.
        for (place, level) in [((0, 0), 0), ((0, 3), 100), ((3, 1), 200), ((2, 2), 0)] {
            assert_eq!(out.pixel(place.0, place.1), [level; 3]);
        }
        let nan = array![[f32::NAN]];
        assert!(factor_overlay(&picture(1), nan.view(), Interpolation::Nearest).is_err());
    }

    #[test]
    fn maps_of_groups_by_hand() {
        let out = group_map(factors().view(), 2, 2, Interpolation::Nearest).unwrap();
        let (red, cyan) = (group_color(0, 2), group_color(1, 2));
        let part = |color: [u8; 3], share: f32| color.map(|c| (f32::from(c) * share).round() as u8);
        assert_eq!(out.pixel(0, 0), cyan);
        assert_eq!(out.pixel(0, 1), part(red, 0.25));
        assert_eq!(out.pixel(1, 0), part(red, 0.5));
        assert_eq!(out.pixel(1, 1), red);
        // Two groups at one place: the lighter of each colour channel.
        let both = Array3::ones((2, 1, 1));
        let out = group_map(both.view(), 1, 1, Interpolation::Nearest).unwrap();
        assert_eq!(out.pixel(0, 0), [230, 230, 230]);
        let none = Array3::zeros((0, 2, 2));
        assert!(group_map(none.view(), 2, 2, Interpolation::Nearest).is_err());
        assert!(group_map(both.view(), 0, 2, Interpolation::Nearest).is_err());
    }

    #[test]
    fn totals_have_every_part() {
        let view = GroupView::new(factors())
            .attributions(["a", "b"], array![[1.0, -2.0], [0.5, 0.25]])
            .mean([10.0, 0.0])
            .residual([0.25, -1.0]);
        let data = ViewData::new(&view, &mut 0).unwrap();
        assert_eq!(data.total, [11.75, -2.75]);
        assert_eq!(data.name, "2 groups");
        let factors = STANDARD.decode(data.factors).unwrap();
        assert_eq!(factors, [0, 64, 128, 255, 255, 0, 0, 0]);
    }

    #[test]
    fn labels_stay_text_and_nothing_is_fetched() {
        let page = GroupWidget::new(&picture(9), HOSTILE)
            .title(HOSTILE)
            .view(
                GroupView::new(factors())
                    .name(HOSTILE)
                    .icons([picture(1), picture(2)])
                    .attributions([HOSTILE], Array2::ones((2, 1))),
            )
            .predictions([(HOSTILE, 0.5)])
            .fact(HOSTILE, HOSTILE)
            .render()
            .unwrap();
        assert!(!page.contains("<img src=x"));
        fetches_nothing(&page);
    }

    #[test]
    fn bad_input_is_a_typed_error() {
        let page = |view: GroupView| GroupWidget::new(&picture(9), "l").view(view).render();
        let none = GroupWidget::new(&picture(9), "l").render();
        assert!(matches!(none, Err(RenderError::NoViews)));
        let good = || GroupView::new(factors());
        for wrong in [
            good().icons([picture(1)]),
            good().attributions(["a"], Array2::ones((3, 1))),
            good().attributions(["a"], Array2::ones((2, 2))),
            good().residual([1.0]),
            good()
                .attributions(["a"], Array2::ones((2, 1)))
                .mean([1.0, 2.0]),
        ] {
            assert!(matches!(page(wrong), Err(RenderError::Shape { .. })));
        }
        for empty in [(0, 2, 2), (2, 0, 2)] {
            let error = page(GroupView::new(Array3::zeros(empty)));
            assert!(matches!(error, Err(RenderError::Empty { .. })));
        }
        for error in [f32::NAN, -0.1] {
            assert!(matches!(
                page(good().error(error)),
                Err(RenderError::Parameter { .. })
            ));
        }
        let nan = good().attributions(["a"], Array2::from_elem((2, 1), f32::INFINITY));
        assert!(matches!(page(nan), Err(RenderError::NotFinite { .. })));
        page(good()).unwrap();
    }
}
