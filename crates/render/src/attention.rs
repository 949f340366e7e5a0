//! The page that explores a network's attention: what each patch attends to, and what attends to it.

use serde::Serialize;

use crate::builders::builders;
use crate::page::{Prediction, STEPS, Widget, base64_size, check_bytes, data_uri, page_methods};
use crate::{ColorMap, Picture, RenderError};

use self::packed::{BlockData, Data, MethodData, colours};
use self::parts::Shown;
pub use self::parts::{AttentionMethod, AttentionView};

mod packed;
mod parts;

const WIDGET: Widget = Widget {
    markup: include_str!("../widgets/attention/page.html"),
    style: concat!(
        include_str!("../widgets/shared/grid.css"),
        "\n",
        include_str!("../widgets/attention/style.css")
    ),
    parts: &[(
        "picture.html",
        include_str!("../widgets/attention/picture.html"),
    )],
    script: Some(include_str!("../widgets/attention/script.js")),
};

/// What a row's scale takes in a page, in digits.
const SCALE: usize = 16;

/// What a page takes without its numbers and its photograph.
const SHELL: usize = 64 << 10;

/// One self-contained HTML page: what each patch of a photograph attends to in each block and head of
/// a vision transformer, and what attends to it.
///
/// The patches lie over the photograph; tokens that are no patches are buttons beside it. For the one
/// that is chosen two pictures show its row and its column of the weights of a block and a head, or of
/// the mean of all heads, and small ones all blocks and heads at once. Beside them is what methods say
/// of the same token and the class that is chosen. A table has the numbers. The page works by mouse,
/// touch and keyboard, and fetches nothing.
///
/// Values are packed as 16-bit integers, each row by its own largest absolute value: what the page
/// shows differs from the arrays by at most 1/65534 of that value.
///
/// ```
/// use elucid_render::{AttentionView, AttentionMethod, AttentionWidget, Picture};
/// use ndarray::{Array2, Array3};
///
/// # fn main() -> Result<(), elucid_render::RenderError> {
/// let photo = Picture::from_rgb(Array3::from_elem((8, 12, 3), 120).view())?;
/// // A class token, and two rows of three patches.
/// let weights = Array3::from_elem((4, 7, 7), 1.0 / 7.0);
/// let page = AttentionWidget::new(&photo, [2, 3])
///     .prefix(["class token"])
///     .view(AttentionView::new("blocks.0.attn", weights))
///     .method(AttentionMethod::rows("Rollout", Array2::from_elem((7, 7), 1.0 / 7.0)))
///     .classes(["Egyptian cat"])
///     .method(AttentionMethod::maps_by_class("AttnLRP", Array3::zeros((1, 2, 3))))
///     .predictions([("Egyptian cat", 0.495)])
///     .render()?;
/// assert!(page.starts_with("<!doctype html>"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AttentionWidget {
    photo: Picture,
    grid: [usize; 2],
    title: Option<String>,
    prefix: Vec<String>,
    blocks: Vec<AttentionView>,
    first: usize,
    methods: Vec<AttentionMethod>,
    classes: Vec<String>,
    limit: usize,
    predictions: Vec<(String, Option<f32>)>,
    facts: Vec<(String, String)>,
}

impl AttentionWidget {
    /// Largest size of a page in bytes, 32 MiB, unless [`AttentionWidget::max_bytes`] allows more.
    /// Each weight takes 8/3 bytes: 12 blocks of 12 heads over 14 x 14 patches and a class token make
    /// a page of 15 MB, the mean over heads alone one of 1.3 MB.
    pub const MAX_BYTES: usize = 32 << 20;

    /// A page for what the network saw (any size) and the rows and columns of its patches, which
    /// cover all of it.
    pub fn new(photo: &Picture, grid: [usize; 2]) -> Self {
        AttentionWidget {
            photo: photo.clone(),
            grid,
            title: None,
            prefix: Vec::new(),
            blocks: Vec::new(),
            first: usize::MAX,
            methods: Vec::new(),
            classes: Vec::new(),
            limit: Self::MAX_BYTES,
            predictions: Vec::new(),
            facts: Vec::new(),
        }
    }

    builders! {
        /// The names of the tokens that come before the patches, such as a class token and registers.
        names prefix(names: S) => prefix;
        /// Adds a block. All blocks have the same tokens; they may differ in their heads.
        push view(block: AttentionView) => blocks;
        /// Which block the page starts at, by its place; the last one by default and for a number beyond
        /// it.
        set starts_at(block: usize) => first;
        /// Adds what a method says of the same tokens.
        push method(method: AttentionMethod) => methods;
        /// The classes that methods are about, by name; the first one is shown first.
        names classes(classes: S) => classes;
        /// Allows pages of up to this many bytes, instead of [`AttentionWidget::MAX_BYTES`].
        set max_bytes(bytes: usize) => limit;
    }

    /// The same page with the mean over heads of every block only, as it says, where all heads might
    /// make it too large.
    pub fn heads_that_fit(mut self) -> Self {
        if self.expected_bytes() > self.limit {
            let blocks = self.blocks.into_iter();
            self.blocks = blocks.map(AttentionView::mean_of_heads).collect();
        }
        self
    }

    /// Whether every block has its heads; false where [`AttentionWidget::heads_that_fit`] had to
    /// leave them out.
    pub fn has_heads(&self) -> bool {
        !self.blocks.iter().any(AttentionView::is_averaged)
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// - [`RenderError::NoViews`] without a block;
    /// - [`RenderError::Empty`] for a grid without patches, a block without heads, and a method for
    ///   classes of which there are none;
    /// - [`RenderError::Shape`] for weights that are not `[heads, T, T]` with as many tokens as there
    ///   are names before the patches and patches, and for methods that do not have one array for
    ///   each class;
    /// - [`RenderError::NotFinite`] for a NaN or an infinity;
    /// - [`RenderError::Parameter`] for a weight below 0 and a probability outside 0 to 1;
    /// - [`RenderError::PageTooLarge`] above the largest size;
    /// - [`RenderError::Encode`] when an encoder fails.
    pub fn render(&self) -> Result<String, RenderError> {
        self.check()?;
        let predictions = Prediction::list(&self.predictions)?;
        let photo = self.photo.to_png_bytes()?;
        let packed = self.packed_bytes();
        check_bytes(packed.saturating_add(base64_size(photo.len())), self.limit)?;
        let [rows, columns] = self.grid;
        let first = self.first.min(self.blocks.len() - 1);
        let text = Text {
            title: self.shown_title(),
            rows,
            columns,
            prefix: &self.prefix,
            aspect: [self.photo.width(), self.photo.height()],
            blocks: self.blocks.iter().map(|block| &*block.name).collect(),
            first,
            averaged: !self.has_heads(),
            classes: &self.classes,
            methods: self.methods.iter().map(MethodText::new).collect(),
            predictions,
            facts: &self.facts,
        };
        let data = Data {
            photo: data_uri(&photo),
            rows,
            columns,
            prefix: &self.prefix,
            classes: &self.classes,
            glow: colours(ColorMap::Glow, 511),
            inferno: colours(ColorMap::Inferno, 256),
            steps: STEPS,
            blocks: self.blocks.iter().enumerate().map(BlockData::new).collect(),
            methods: self.methods.iter().map(MethodData::new).collect(),
        };
        WIDGET.render(&text, &data, self.limit)
    }

    page_methods!(titled "Attention");

    /// What the packed values take at least.
    fn packed_bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| block.weights.len());
        let methods = self.methods.iter().map(|method| method.values().len());
        blocks
            .chain(methods)
            .map(|values| base64_size(values.saturating_mul(2)))
            .fold(0, usize::saturating_add)
    }

    /// What the page takes at most, as long as its labels are short.
    fn expected_bytes(&self) -> usize {
        let arrays = self.blocks.iter().map(|block| &block.weights);
        let arrays = arrays.chain(self.methods.iter().map(AttentionMethod::values));
        let rows: usize = arrays.map(|array| array.dim().0 * array.dim().1).sum();
        let pixels = self.photo.height() * self.photo.width();
        // PNG makes nothing much larger than it is.
        let photo = base64_size(pixels.saturating_mul(3).saturating_add(pixels / 8));
        [self.packed_bytes(), SCALE * rows, photo, SHELL]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    fn check(&self) -> Result<(), RenderError> {
        let [rows, columns] = self.grid;
        let patches = rows.saturating_mul(columns);
        if patches == 0 {
            return Err(RenderError::Empty {
                what: "the grid of patches".to_owned(),
                shape: self.grid.to_vec(),
            });
        }
        if self.blocks.is_empty() {
            return Err(RenderError::NoViews);
        }
        let tokens = patches.saturating_add(self.prefix.len());
        for block in &self.blocks {
            block.check(tokens)?;
        }
        for method in &self.methods {
            method.check(tokens, self.grid, self.classes.len())?;
        }
        Ok(())
    }
}

/// What the markup shows.
#[derive(Serialize)]
struct Text<'a> {
    title: &'a str,
    rows: usize,
    columns: usize,
    prefix: &'a [String],
    aspect: [usize; 2],
    blocks: Vec<&'a str>,
    /// The block that is chosen at first.
    first: usize,
    /// Whether heads are left out.
    averaged: bool,
    classes: &'a [String],
    methods: Vec<MethodText<'a>>,
    predictions: Vec<Prediction<'a>>,
    facts: &'a [(String, String)],
}

#[derive(Serialize)]
struct MethodText<'a> {
    name: &'a str,
    description: Option<&'a str>,
    by_class: bool,
    /// Whether it depends on the chosen token.
    rows: bool,
}

impl<'a> MethodText<'a> {
    fn new(method: &'a AttentionMethod) -> Self {
        MethodText {
            name: &method.name,
            description: method.description.as_deref(),
            by_class: method.by_class,
            rows: matches!(method.shown, Shown::Rows(_)),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use ndarray::{Array2, Array3, Axis};

    use super::*;
    use crate::page::hostile::HOSTILE;

    /// Two rows of three patches and a class token.
    fn widget() -> AttentionWidget {
        let photo = Picture::from_rgb(Array3::from_elem((4, 6, 3), 90).view()).unwrap();
        AttentionWidget::new(&photo, [2, 3]).prefix(["class token"])
    }

    fn weights(heads: usize) -> Array3<f32> {
        Array3::from_shape_fn((heads, 7, 7), |(h, i, j)| (1 + h + 2 * i + 3 * j) as f32)
    }

    fn view(weights: Array3<f32>) -> AttentionView {
        AttentionView::new("block", weights)
    }

    /// What the script reads.
    fn data(page: &str) -> serde_json::Value {
        let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
        let (data, _) = rest.split_once("</script>").unwrap();
        serde_json::from_str(data).unwrap()
    }

    /// The numbers of packed rows of this length.
    fn unpacked(packed: &serde_json::Value, length: usize) -> Vec<f64> {
        let bytes = STANDARD.decode(packed["values"].as_str().unwrap()).unwrap();
        let values = bytes.chunks(2).enumerate().map(|(i, pair)| {
            let scale = packed["scales"][i / length].as_f64().unwrap();
            f64::from(i16::from_le_bytes([pair[0], pair[1]])) * scale / STEPS
        });
        values.collect()
    }

    #[test]
    fn weights_are_packed_row_by_row() {
        let relevance =
            Array3::from_shape_fn((2, 2, 3), |(k, y, x)| k as f32 - 0.3 * y as f32 - x as f32);
        let rows = Array2::from_shape_fn((7, 7), |(i, j)| (i * j) as f32);
        let page = widget()
            .view(view(weights(2)))
            .method(AttentionMethod::rows("Rollout", rows.clone()))
            .classes(["cat", "dog"])
            .method(AttentionMethod::maps_by_class("LRP", relevance.clone()))
            .render()
            .unwrap();
        let data = data(&page);
        let close = |packed: &serde_json::Value, array: &mut dyn Iterator<Item = f32>, length| {
            let got = unpacked(packed, length);
            let scales = packed["scales"].as_array().unwrap();
            assert_eq!(got.len(), scales.len() * length);
            for (i, (got, expected)) in got.iter().zip(array).enumerate() {
                let off = (got - f64::from(expected)).abs();
                let scale = scales[i / length].as_f64().unwrap();
                assert!(off <= scale / 65534.0 * 1.0001, "{i}: {got} for {expected}");
            }
        };
        let block = &data["blocks"][0];
        assert_eq!(
            (&block["heads"], &block["averaged"]),
            (&2.into(), &false.into())
        );
        close(&block["weights"], &mut weights(2).into_iter(), 7);
        close(&data["methods"][0]["values"], &mut rows.into_iter(), 7);
        close(&data["methods"][1]["values"], &mut relevance.into_iter(), 3);
        let signed = |i: usize| data["methods"][i]["signed"].as_bool().unwrap();
        assert_eq!([signed(0), signed(1)], [false, true]);
    }

    #[test]
    fn heads_are_left_out_where_they_would_not_fit_and_the_page_says_so() {
        let large = || widget().view(view(weights(40))).view(view(weights(3)));
        let fits = large().heads_that_fit();
        assert!(fits.has_heads());
        assert!(
            !fits
                .render()
                .unwrap()
                .contains("Only the mean of all heads")
        );

        let limit = large().render().unwrap().len() - 3000;
        let small = large().max_bytes(limit);
        let error = small.render().unwrap_err();
        assert!(matches!(error, RenderError::PageTooLarge { limit: l, .. } if l == limit));
        let tight = small.heads_that_fit();
        assert!(!tight.has_heads());
        let page = tight.render().unwrap();
        assert!(page.contains("Only the mean of all heads"));
        let data = data(&page);
        assert_eq!(data["blocks"][0]["heads"], 1);
        assert_eq!(data["blocks"][0]["averaged"], true);
        let mean = weights(40).mean_axis(Axis(0)).unwrap();
        let got = unpacked(&data["blocks"][0]["weights"], 7);
        for (got, expected) in got.iter().zip(&mean) {
            assert!((got - f64::from(*expected)).abs() < 1e-2);
        }
        // One head is its own mean.
        let one = widget().view(view(weights(1)).mean_of_heads());
        assert!(one.has_heads());
    }

    #[test]
    fn a_base_network_fits_with_all_heads() {
        let photo = Picture::from_rgb(Array3::from_elem((224, 224, 3), 90).view()).unwrap();
        let block = || AttentionView::new("block", Array3::from_elem((12, 197, 197), 0.3));
        let page = (0..12).fold(
            AttentionWidget::new(&photo, [14, 14]).prefix(["class token"]),
            |page, _| page.view(block()),
        );
        let page = page.heads_that_fit();
        assert!(page.has_heads());
        let bytes = page.render().unwrap().len();
        assert!(bytes < 16_000_000, "{bytes}");
    }

    #[test]
    fn labels_stay_text() {
        let quotes = "\"quotes' & <b>";
        let page = widget()
            .prefix([HOSTILE])
            .title(quotes)
            .view(AttentionView::new(HOSTILE, weights(1)))
            .classes([quotes])
            .method(
                AttentionMethod::maps_by_class(quotes, Array3::zeros((1, 2, 3)))
                    .description(HOSTILE),
            )
            .predictions([(HOSTILE, 0.5)])
            .fact(HOSTILE, quotes)
            .render()
            .unwrap();
        let scripts = page.matches("<script").count();
        assert_eq!(page.matches("</script>").count(), scripts);
        assert!(!page.contains("<img src=x") && !page.contains("& <b>"));
        let data = data(&page);
        assert_eq!(data["prefix"][0], HOSTILE);
        assert_eq!(data["classes"][0], quotes);
        assert_eq!(data["blocks"][0]["name"], HOSTILE);
    }

    #[test]
    fn bad_input_is_a_typed_error() {
        assert!(matches!(widget().render(), Err(RenderError::NoViews)));
        let refused = |page: AttentionWidget| page.render().unwrap_err();
        let shape = |page| matches!(refused(page), RenderError::Shape { .. });
        let empty = |page| matches!(refused(page), RenderError::Empty { .. });

        assert!(empty(
            AttentionWidget::new(&widget().photo, [0, 3]).view(view(weights(1)))
        ));
        assert!(empty(widget().view(view(Array3::zeros((0, 7, 7))))));
        assert!(shape(widget().view(view(Array3::zeros((1, 6, 6))))));
        assert!(shape(widget().view(view(Array3::zeros((1, 7, 6))))));
        assert!(shape(widget().prefix(["a", "b"]).view(view(weights(1)))));

        let mut wrong = weights(2);
        wrong[[1, 2, 3]] = f32::NAN;
        let message = refused(widget().view(view(wrong.clone()))).to_string();
        assert!(message.contains("[1, 2, 3]"), "{message}");
        wrong[[1, 2, 3]] = -0.25;
        let message = refused(widget().view(view(wrong))).to_string();
        assert!(message.contains("-0.25"), "{message}");

        let with = |method| widget().view(view(weights(1))).method(method);
        let map = |k, h| AttentionMethod::maps_by_class("m", Array3::zeros((k, h, 3)));
        assert!(empty(with(map(0, 2))));
        assert!(shape(with(map(1, 2))));
        assert!(shape(with(map(1, 3)).classes(["a"])));
        assert!(shape(with(AttentionMethod::rows(
            "m",
            Array2::zeros((6, 6))
        ))));
        let rows = AttentionMethod::rows_by_class("m", Array3::zeros((1, 7, 7)));
        assert!(shape(with(rows).classes(["a", "b"])));
    }
}
