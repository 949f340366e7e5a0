//! A detected box: the score of the anchor that fits it best, before any suppression.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData, activation};
use elucid_graph::{Activation, BoundGraph, INPUT, LongRows};
use ndarray::Array2;

use super::region::map_class;
use super::similarity::{cosine, direction};
use super::{ClassRef, refused};
use crate::error::AttributionError;
use crate::network::Network;

/// How a detector writes its boxes: `[N, F, A]` or `[N, A, F]` with `F` numbers for each of `A`
/// anchors, first four of the box, then an objectness if there is one, then a score for each class.
///
/// The default is that of YOLOv8's raw head: centre, width and height in pixels of the input, no
/// objectness, scores that are probabilities already, and for `F` the axis that fits the names of the
/// classes, else the shorter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BoxFormat {
    corners: bool,
    objectness: bool,
    normalised: bool,
    logits: bool,
    anchors_last: Option<bool>,
}

impl BoxFormat {
    /// Centre, width and height in pixels, no objectness.
    pub fn new() -> Self {
        Self::default()
    }

    crate::builder_methods! {
        /// Left, top, right and bottom instead of centre, width and height.
        #[must_use]
        say corners() => corners;
        /// The fifth number is the objectness.
        #[must_use]
        say objectness() => objectness;
        /// Boxes are in fractions of the input's width and height.
        #[must_use]
        say normalised() => normalised;
        /// Objectness and scores become probabilities by a sigmoid.
        #[must_use]
        say logits() => logits;
        /// Whether anchors lie along the last axis, `[N, F, A]`, rather than the second.
        #[must_use]
        some anchors_last(last: bool) => anchors_last;
    }

    fn before_classes(self) -> usize {
        4 + usize::from(self.objectness)
    }

    /// Whether anchors lie along `b` of `[N, a, b]`: what was said; else the numbers are as many as the
    /// classes ask for, or the fewer of both that are enough. `None` where both axes will do.
    fn anchors_lie_last(self, a: usize, b: usize, classes: Option<usize>) -> Option<bool> {
        let before = self.before_classes();
        let fits = |size: usize| classes.is_some_and(|classes| size == before + classes);
        let is_enough = |size: usize| size > before;
        match (self.anchors_last, fits(a), fits(b)) {
            (Some(last), ..) => Some(last),
            (None, true, false) => Some(true),
            (None, false, true) => Some(false),
            _ if is_enough(a) != is_enough(b) => Some(is_enough(a)),
            _ => (a != b).then_some(a < b),
        }
    }
}

/// Words of which a [`BoxFormat`] has one at most.
const OPPOSITES: [&[&str]; 3] = [
    &["cxcywh", "xyxy"],
    &["pixels", "normalised", "normalized"],
    &["anchors-first", "anchors-last"],
];

/// Words of a [`BoxFormat`].
const WORDS: &str = "cxcywh or xyxy, pixels or normalised, objectness, logits, anchors-first or \
                     anchors-last";

/// Words between commas: `cxcywh` or `xyxy`, `pixels` or `normalised`, `objectness`, `logits`,
/// `anchors-first` or `anchors-last`.
impl FromStr for BoxFormat {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        // Of two that exclude each other one would be left without a word.
        for pair in OPPOSITES {
            let said: Vec<&str> = words.iter().copied().filter(|w| pair.contains(w)).collect();
            if said.len() > 1 {
                return Err(AttributionError::OptionValue {
                    option: "boxes".to_owned(),
                    value: said.join(","),
                    expected: format!("one of {}", pair.join(" and ")),
                });
            }
        }
        words.into_iter().try_fold(Self::new(), |format, word| {
            Ok(match word {
                "cxcywh" => Self {
                    corners: false,
                    ..format
                },
                "xyxy" => format.corners(),
                "pixels" => Self {
                    normalised: false,
                    ..format
                },
                "normalised" | "normalized" => format.normalised(),
                "objectness" => format.objectness(),
                "logits" => format.logits(),
                "anchors-first" => format.anchors_last(false),
                "anchors-last" => format.anchors_last(true),
                _ => {
                    return Err(AttributionError::OptionValue {
                        option: "boxes".to_owned(),
                        value: word.to_owned(),
                        expected: format!("{WORDS}, between commas"),
                    });
                }
            })
        })
    }
}

impl fmt::Display for BoxFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.corners { "xyxy" } else { "cxcywh" })?;
        f.write_str(if self.normalised {
            ",normalised"
        } else {
            ",pixels"
        })?;
        let words = [(self.objectness, ",objectness"), (self.logits, ",logits")];
        for (_, word) in words.into_iter().filter(|(is, _)| *is) {
            f.write_str(word)?;
        }
        match self.anchors_last {
            Some(true) => f.write_str(",anchors-last"),
            Some(false) => f.write_str(",anchors-first"),
            None => Ok(()),
        }
    }
}

/// What of an anchor's class scores counts.
#[derive(Debug, Clone, PartialEq)]
enum Classes {
    Score,
    Cosine(Option<Arc<[f32]>>),
    Nothing,
}

/// A detected box, as a target: over all anchors the largest product of the overlap with the box
/// (intersection over union), the objectness, and the score of the class.
///
/// Each factor can be left out. The anchor is the best one of each image that is scored, also of one
/// that is partly hidden, as in D-RISE (Petsiuk et al., *Black-box explanation of object detectors via
/// saliency maps*, 2021, <https://arxiv.org/abs/2006.03204>) and in Xplique's operator. For D-RISE
/// the class counts by its [cosine](Detection::similar) and the method is [`Rise`](crate::Rise).
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    layer: String,
    class: ClassRef,
    bounds: [f32; 4],
    format: BoxFormat,
    overlap: bool,
    objectness: bool,
    classes: Classes,
}

impl Detection {
    /// The pixels of an input `[H, W]` that lie in the box.
    pub(super) fn inside(&self, [height, width]: [usize; 2]) -> Array2<bool> {
        let [xmin, ymin, xmax, ymax] = self.bounds;
        // The middle of a pixel.
        let within = |at: usize, low: f32, high: f32| (low..high).contains(&(at as f32 + 0.5));
        Array2::from_shape_fn((height, width), |(y, x)| {
            within(y, ymin, ymax) && within(x, xmin, xmax)
        })
    }

    /// The class in a box `[xmin, ymin, xmax, ymax]` in pixels of the network's input, found in the
    /// layer `layer`.
    pub fn at(layer: &str, class: impl Into<ClassRef>, bounds: [f32; 4]) -> Self {
        Self {
            layer: layer.to_owned(),
            class: class.into(),
            bounds,
            format: BoxFormat::new(),
            overlap: true,
            objectness: true,
            classes: Classes::Score,
        }
    }

    /// How the detector writes its boxes.
    #[must_use]
    pub fn written(mut self, format: BoxFormat) -> Self {
        self.format = format;
        self
    }

    /// The class counts by the cosine of an anchor's class scores and the vector that is 1 at the class
    /// and 0 elsewhere, as in D-RISE.
    #[must_use]
    pub fn similar(mut self) -> Self {
        self.classes = Classes::Cosine(None);
        self
    }

    /// The class counts by the cosine of an anchor's class scores and these, one for each class.
    #[must_use]
    pub fn similar_to(mut self, scores: &[f32]) -> Self {
        self.classes = Classes::Cosine(Some(scores.into()));
        self
    }

    /// Leaves the overlap out: the best anchor anywhere.
    #[must_use]
    pub fn anywhere(mut self) -> Self {
        self.overlap = false;
        self
    }

    /// Leaves the objectness out.
    #[must_use]
    pub fn without_objectness(mut self) -> Self {
        self.objectness = false;
        self
    }

    /// Leaves the class out.
    #[must_use]
    pub fn of_any_class(mut self) -> Self {
        self.classes = Classes::Nothing;
        self
    }

    pub(super) fn class(&self) -> &ClassRef {
        &self.class
    }

    pub(super) fn layer(&self) -> &str {
        &self.layer
    }

    pub(super) fn with_format(&self, format: BoxFormat) -> Self {
        self.clone().written(format)
    }

    fn wrong(&self, reason: String) -> AttributionError {
        refused(self.to_string(), reason)
    }

    /// Checks it against a network's layer, of which the full name is given.
    pub(super) fn bind(
        &self,
        network: &dyn Network,
        layer: &str,
    ) -> Result<BoundDetection, AttributionError> {
        let model = network
            .as_model()
            .ok_or_else(|| AttributionError::NeedsModel {
                what: "a detected box".to_owned(),
            })?;
        let [xmin, ymin, xmax, ymax] = self.bounds;
        if !(self.bounds.iter().all(|v| v.is_finite()) && xmin < xmax && ymin < ymax) {
            let reason = "a box is XMIN,YMIN,XMAX,YMAX in pixels of the network's input";
            return Err(self.wrong(reason.to_owned()));
        }
        let shape = model.bound().layer(layer)?.shape().to_vec();
        let before = self.format.before_classes();
        let classes = model.labels().map(|labels| labels.len());
        if let Some(other) = other_half(model.bound(), layer, &shape) {
            return Err(self.wrong(format!(
                "the network keeps boxes and scores in two outputs, \"{layer}\" {shape:?} and {other}, \
                 and a detected box is one row of numbers; one score is OUTPUT[ANCHOR,CLASS]"
            )));
        }
        let (anchors_last, numbers) = match shape[..] {
            [_, a, b] => {
                let last = self.format.anchors_lie_last(a, b, classes).ok_or_else(|| {
                    self.wrong(format!(
                        "\"{layer}\" has shape {shape:?}: say anchors-first or anchors-last of the \
                         boxes"
                    ))
                })?;
                (last, if last { a } else { b })
            }
            _ => {
                return Err(self.wrong(format!(
                    "\"{layer}\" has shape {shape:?}, and boxes of a detector are [N, F, A] or \
                     [N, A, F], F numbers for each of A anchors"
                )));
            }
        };
        if numbers <= before {
            return Err(self.wrong(format!(
                "\"{layer}\" has shape {shape:?}, so {numbers} numbers for each anchor, and {before} \
                 stand before the scores of the classes"
            )));
        }
        let count = numbers - before;
        let class = map_class(network, &self.class, count, &self.to_string())?;
        let classes = match &self.classes {
            Classes::Score => BoundClasses::Score(class),
            Classes::Nothing => BoundClasses::Nothing,
            Classes::Cosine(vector) => {
                let vector = match vector {
                    Some(vector) if vector.len() != count => {
                        return Err(self.wrong(format!(
                            "the vector has {} numbers for {count} classes",
                            vector.len()
                        )));
                    }
                    Some(vector) => vector.to_vec(),
                    None => (0..count)
                        .map(|k| f32::from(u8::from(k == class)))
                        .collect(),
                };
                BoundClasses::Cosine(direction(&vector, &self.to_string())?)
            }
        };
        let objectness = self.objectness && self.format.objectness;
        if !self.overlap && !objectness && classes == BoundClasses::Nothing {
            return Err(self.wrong("all factors are left out, so nothing is explained".to_owned()));
        }
        let unit = match (self.format.normalised, model.bound().layer(INPUT)?.shape()) {
            (true, [_, _, height, width]) => [*width as f32, *height as f32],
            _ => [1.0, 1.0],
        };
        Ok(BoundDetection {
            text: self.to_string(),
            bounds: self.bounds,
            format: self.format,
            anchors_last,
            numbers,
            unit,
            overlap: self.overlap,
            objectness,
            classes,
        })
    }
}

impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [xmin, ymin, xmax, ymax] = self.bounds;
        match (&self.classes, &self.class) {
            (Classes::Nothing, _) => f.write_str("any class")?,
            (Classes::Cosine(_), class) => write!(f, "what is like {}", class.in_words())?,
            (Classes::Score, class) => f.write_str(&class.in_words())?,
        }
        match self.overlap {
            true => write!(f, " detected in the box {xmin},{ymin},{xmax},{ymax}"),
            false => f.write_str(" detected anywhere"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum BoundClasses {
    Score(usize),
    Cosine(Arc<[f32]>),
    Nothing,
}

/// A box of a network's detector.
#[derive(Debug, Clone)]
pub(super) struct BoundDetection {
    text: String,
    bounds: [f32; 4],
    format: BoxFormat,
    anchors_last: bool,
    numbers: usize,
    /// What a unit of the boxes is in pixels, `[x, y]`.
    unit: [f32; 2],
    overlap: bool,
    objectness: bool,
    classes: BoundClasses,
}

impl BoundDetection {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Refuses a box that no anchor of an image overlaps, given its score.
    pub fn check(&self, score: f32) -> Result<(), AttributionError> {
        match self.overlap && score == 0.0 {
            true => Err(refused(
                self.text.clone(),
                format!(
                    "no anchor overlaps this box with a score; boxes are read as {}",
                    self.format
                ),
            )),
            false => Ok(()),
        }
    }

    /// The score of the best anchor for each image, `[N]`.
    pub fn score(&self, activation: &Activation) -> Result<Tensor<1>, AttributionError> {
        let x = activation.tensor::<3>()?;
        // `[N, A, F]`
        let x = if self.anchors_last {
            x.swap_dims(1, 2)
        } else {
            x
        };
        let [images, anchors, numbers] = x.dims();
        if numbers != self.numbers {
            let reason = format!(
                "{numbers} numbers for each anchor, and {} before",
                self.numbers
            );
            return Err(refused(self.text.clone(), reason));
        }
        let column = |i: usize| x.clone().narrow(2, i, 1).reshape([images, anchors]);
        let probability = |x: Tensor<2>| match self.format.logits {
            true => activation::sigmoid(x),
            false => x,
        };
        let mut factors = Vec::new();
        if self.overlap {
            factors.push(self.overlaps([column(0), column(1), column(2), column(3)]));
        }
        if self.objectness {
            factors.push(probability(column(4)));
        }
        let before = self.format.before_classes();
        match &self.classes {
            BoundClasses::Score(class) => factors.push(probability(column(before + class))),
            BoundClasses::Cosine(direction) => {
                let count = numbers - before;
                let rows = x.clone().narrow(2, before, count);
                let rows = probability(rows.reshape([images * anchors, count]));
                let data = TensorData::new(direction.to_vec(), [1, count]);
                let direction = Tensor::from_data(data, &x.device());
                factors.push(cosine(rows, direction).reshape([images, anchors]));
            }
            BoundClasses::Nothing => {}
        }
        let product = factors.into_iter().reduce(|a, b| a * b);
        let product = product.unwrap_or_else(|| Tensor::zeros([images, anchors], &x.device()));
        Ok(product.row_maxima().reshape([images]))
    }

    /// Intersection over union of each anchor's box and this one, `[N, A]`.
    fn overlaps(&self, [a, b, c, d]: [Tensor<2>; 4]) -> Tensor<2> {
        let [x, y] = self.unit;
        let (left, top, right, bottom) = match self.format.corners {
            true => (a * x, b * y, c * x, d * y),
            false => (
                (a.clone() - c.clone() * 0.5) * x,
                (b.clone() - d.clone() * 0.5) * y,
                (a + c * 0.5) * x,
                (b + d * 0.5) * y,
            ),
        };
        let [xmin, ymin, xmax, ymax] = self.bounds;
        let side = |low: Tensor<2>, high: Tensor<2>| (high - low).clamp_min(0.0);
        let within = side(left.clone().clamp_min(xmin), right.clone().clamp_max(xmax))
            * side(top.clone().clamp_min(ymin), bottom.clone().clamp_max(ymax));
        let own = side(left, right) * side(top, bottom);
        let both = own + (xmax - xmin) * (ymax - ymin) - within.clone();
        within / both
    }
}

/// The output that holds the scores of the anchors whose boxes `layer` holds, or the other way round: of
/// `[N, A, 4]` and `[N, A, K]`. Named with its shape.
fn other_half(bound: &BoundGraph, layer: &str, shape: &[usize]) -> Option<String> {
    let &[_, anchors, numbers] = shape else {
        return None;
    };
    let is_half = |shape: &[usize]| match *shape {
        [_, a, n] => a == anchors && (n == 4) != (numbers == 4),
        _ => false,
    };
    let outputs = bound.outputs().into_iter();
    let mut named = outputs.filter_map(|(value, shape)| Some((bound.graph().name(value), shape?)));
    named
        .find(|(name, shape)| *name != layer && is_half(shape))
        .map(|(name, shape)| format!("\"{name}\" {shape:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_of_the_anchors_is_what_is_left() {
        let of = |a, b, classes| BoxFormat::new().anchors_lie_last(a, b, classes);
        assert_eq!(of(84, 8400, None), Some(true));
        assert_eq!(of(8400, 84, None), Some(false));
        assert_eq!(of(84, 20, Some(80)), Some(true));
        assert_eq!(of(6, 4, None), Some(true));
        assert_eq!(of(7, 7, None), None);
        assert_eq!(of(84, 84, Some(80)), None);
        let said = BoxFormat::new().anchors_last(false);
        assert_eq!(said.anchors_lie_last(84, 8400, None), Some(false));
    }

    #[test]
    fn formats_are_words() {
        let parse = |text: &str| text.parse::<BoxFormat>();
        assert_eq!(parse("cxcywh").unwrap(), BoxFormat::new());
        let all = parse("xyxy, normalised,objectness,logits,anchors-first").unwrap();
        let text = "xyxy,normalised,objectness,logits,anchors-first";
        assert_eq!(all.to_string(), text);
        assert!(
            parse("xywh")
                .unwrap_err()
                .to_string()
                .contains("cxcywh or xyxy")
        );
    }
}
