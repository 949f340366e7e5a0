//! A sum over a part of a dense map: the scores of one class at many positions.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, INPUT, ImageBatch, LOGITS, LongRows};
use elucid_rules::Rules;
use ndarray::{Array2, Array3, ArrayD, ArrayView3};

use super::{ClassRef, refused};
use crate::error::AttributionError;
use crate::neighbours::around;
use crate::network::Network;

/// A part of a dense map, in pixels of the map.
#[derive(Debug, Clone, PartialEq)]
pub struct Region(Where);

#[derive(Debug, Clone, PartialEq)]
enum Where {
    /// Left, top, right, bottom; the last two are outside.
    Bounds([usize; 4]),
    Mask(Arc<Array2<bool>>),
    Predicted,
    Component([usize; 2]),
}

impl Region {
    /// Columns `xmin` to `xmax` and rows `ymin` to `ymax`, of which `xmax` and `ymax` are outside.
    pub fn bounds(xmin: usize, ymin: usize, xmax: usize, ymax: usize) -> Self {
        Self(Where::Bounds([xmin, ymin, xmax, ymax]))
    }

    /// Where the mask, `[H, W]`, is true. A mask of another size than the map is stretched to it by the
    /// nearest pixel.
    pub fn mask(mask: Array2<bool>) -> Self {
        Self(Where::Mask(Arc::new(mask)))
    }

    /// Where the class has the largest score of all in the image as it is; where its score is above 0
    /// in a map of one class.
    pub fn predicted() -> Self {
        Self(Where::Predicted)
    }

    /// The part of [`Region::predicted`] that hangs together with this pixel by edges.
    pub fn component(row: usize, column: usize) -> Self {
        Self(Where::Component([row, column]))
    }

    /// Size of the mask, if that is what it is.
    pub fn mask_size(&self) -> Option<[usize; 2]> {
        match &self.0 {
            Where::Mask(mask) => Some(mask.dim().into()),
            _ => None,
        }
    }

    /// The pixels `[H, W]` of a map of this size, or `None` where they follow from the scores.
    fn pixels(&self, [height, width]: [usize; 2]) -> Result<Option<Array2<bool>>, String> {
        match &self.0 {
            Where::Bounds([xmin, ymin, xmax, ymax]) => {
                if xmin >= xmax || ymin >= ymax {
                    return Err(
                        "there is nothing in it: XMIN,YMIN,XMAX,YMAX of a box go from the left upper \
                         pixel to the one behind the right lower"
                            .to_owned(),
                    );
                }
                if *xmax > width || *ymax > height {
                    return Err(format!(
                        "the map has {width} columns and {height} rows, so a box lies in \
                         0,0,{width},{height}"
                    ));
                }
                let inside = |(y, x)| (*ymin..*ymax).contains(&y) && (*xmin..*xmax).contains(&x);
                Ok(Some(Array2::from_shape_fn((height, width), inside)))
            }
            Where::Mask(mask) => {
                let (rows, columns) = mask.dim();
                if rows == 0 || columns == 0 {
                    return Err("the mask has no pixels".to_owned());
                }
                // The middle of each pixel, in the mask.
                let at = |i: usize, to: usize, from: usize| ((2 * i + 1) * from) / (2 * to);
                let pixels = Array2::from_shape_fn((height, width), |(y, x)| {
                    mask[[at(y, height, rows), at(x, width, columns)]]
                });
                match pixels.iter().any(|&inside| inside) {
                    true => Ok(Some(pixels)),
                    false => Err("no pixel of the mask is white".to_owned()),
                }
            }
            Where::Component([row, column]) if *row >= height || *column >= width => Err(format!(
                "row {row}, column {column} is outside the map, which has {height} rows and {width} \
                 columns"
            )),
            Where::Predicted | Where::Component(_) => Ok(None),
        }
    }

    /// The pixels `[H, W]` where scores `[K, H, W]` give the class.
    fn found(&self, class: usize, scores: ArrayView3<'_, f32>) -> Result<Array2<bool>, String> {
        let best = winners(scores);
        let is_it = best.mapv(|best| best == Some(class));
        let names = |classes: BTreeSet<String>| {
            let some: Vec<String> = classes.into_iter().take(8).collect();
            some.join(", ")
        };
        match self.0 {
            Where::Component([row, column]) => match best[[row, column]] {
                Some(there) if there == class => Ok(component(&is_it, row, column)),
                Some(other) => Err(format!(
                    "at row {row}, column {column} class {other} is predicted"
                )),
                None => Err(format!(
                    "at row {row}, column {column} nothing is predicted"
                )),
            },
            _ if is_it.iter().any(|&inside| inside) => Ok(is_it),
            _ => {
                let there: BTreeSet<String> =
                    best.iter().flatten().map(ToString::to_string).collect();
                Err(match there.is_empty() {
                    true => "it is predicted nowhere".to_owned(),
                    false => format!("it is predicted nowhere; there are {}", names(there)),
                })
            }
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Where::Bounds([xmin, ymin, xmax, ymax]) => {
                // People read both ends as inside.
                let last = |end: usize| end.saturating_sub(1);
                let [right, bottom] = [last(*xmax), last(*ymax)];
                write!(
                    f,
                    "in columns {xmin} to {right} and rows {ymin} to {bottom}, ends included"
                )
            }
            Where::Mask(mask) => {
                let pixels = mask.iter().filter(|&&inside| inside).count();
                write!(f, "in {pixels} pixels of a mask")
            }
            Where::Predicted => f.write_str("where it is predicted"),
            Where::Component([row, column]) => {
                write!(f, "where it is predicted around row {row}, column {column}")
            }
        }
    }
}

/// The class of the largest score at each pixel; of a single class whether it is above 0.
fn winners(scores: ArrayView3<'_, f32>) -> Array2<Option<usize>> {
    let (classes, height, width) = scores.dim();
    Array2::from_shape_fn((height, width), |(y, x)| {
        if classes == 1 {
            return (scores[[0, y, x]] > 0.0).then_some(0);
        }
        // The first of several that are equal, as argmax has it.
        let better = |best: usize, class: usize| match scores[[class, y, x]] > scores[[best, y, x]]
        {
            true => class,
            false => best,
        };
        (0..classes).reduce(better)
    })
}

/// The part of a set of pixels that can be reached from one over edges.
fn component(pixels: &Array2<bool>, row: usize, column: usize) -> Array2<bool> {
    let mut reached = Array2::from_elem(pixels.dim(), false);
    let mut next = VecDeque::from([[row, column]]);
    reached[[row, column]] = true;
    while let Some(pixel) = next.pop_front() {
        for at in around(pixel) {
            if pixels.get(at) == Some(&true) && !reached[at] {
                reached[at] = true;
                next.push_back(at);
            }
        }
    }
    reached
}

/// A layer with a score for each class at each pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseMap {
    classes: usize,
    size: [usize; 2],
    classes_last: bool,
}

impl DenseMap {
    /// That of a network's scores, for pictures of its own size.
    ///
    /// Classes lie along the axis that a softmax behind the scores says; else, of `[N, A, B, C]`, along
    /// the last one where `A : B` is the proportion of the picture and `B : C` is not, and along the
    /// second otherwise. `[N, H, W]` has one class.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Target`] when the scores have another shape; when there are none.
    pub fn of(network: &dyn Network) -> Result<Self, AttributionError> {
        let layer = network.layer(LOGITS)?;
        let Some(model) = network.as_model() else {
            return Err(AttributionError::NeedsModel {
                what: "a region of a dense map".to_owned(),
            });
        };
        let shape = model.bound().layer(LOGITS)?.shape().to_vec();
        let picture = model.bound().layer(INPUT)?.shape().to_vec();
        Self::of_shape(&shape, &picture, model.head().axis()).ok_or_else(|| {
            refused(
                "a region".to_owned(),
                format!(
                    "\"{layer}\" has shape {shape:?}, not [N, K, H, W], so it has no score for each \
                     pixel"
                ),
            )
        })
    }

    fn of_shape(shape: &[usize], picture: &[usize], axis: Option<usize>) -> Option<Self> {
        let (classes, size, classes_last) = match *shape {
            [_, height, width, classes] if axis == Some(3) => (classes, [height, width], true),
            [_, a, b, c] => {
                let fits = |size: [usize; 2]| match *picture {
                    [_, _, height, width] => {
                        (size[0] * width).abs_diff(size[1] * height) <= height.max(width)
                    }
                    _ => true,
                };
                match axis.is_none() && fits([a, b]) && !fits([b, c]) {
                    true => (c, [a, b], true),
                    false => (a, [b, c], false),
                }
            }
            [_, height, width] => (1, [height, width], false),
            _ => return None,
        };
        (classes * size[0] * size[1] > 0).then_some(Self {
            classes,
            size,
            classes_last,
        })
    }

    /// How many classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// At how many pixels of a picture each class has the largest score, `[K]`; a single class a score
    /// above 0.
    ///
    /// # Errors
    ///
    /// As a pass; [`AttributionError::ReadBack`] for a picture of another size.
    pub fn predicted(
        &self,
        network: &dyn Network,
        image: &dyn ImageBatch,
    ) -> Result<Vec<usize>, AttributionError> {
        let image = match network.device() {
            Some(device) => image.images(device),
            None => image.batch(),
        };
        let rules = Rules::new();
        let scores = network.run(vec![(INPUT, image.into())], LOGITS, &rules)?;
        let scores: ArrayD<f32> = scores.to_array()?;
        let (got, [height, width]) = (scores.shape().to_vec(), self.size);
        let scores = self
            .of_image(scores)
            .ok_or_else(|| AttributionError::ReadBack {
                expected: vec![1, self.classes, height, width],
                got,
            })?;
        let mut counts = vec![0; self.classes];
        for class in winners(scores.view()).into_iter().flatten() {
            counts[class] += 1;
        }
        Ok(counts)
    }

    /// The scores of one image as `[K, H, W]`.
    fn of_image(&self, scores: ArrayD<f32>) -> Option<Array3<f32>> {
        let [height, width] = self.size;
        let [first, second, third] = match self.classes_last {
            true => [height, width, self.classes],
            false => [self.classes, height, width],
        };
        let scores = scores.into_shape_with_order((first, second, third)).ok()?;
        Some(match self.classes_last {
            true => scores.permuted_axes([2, 0, 1]),
            false => scores,
        })
    }
}

/// A region of a network's dense map.
#[derive(Debug, Clone)]
pub(super) struct BoundRegion {
    map: DenseMap,
    class: usize,
    text: String,
    region: Region,
    /// `[H, W]`; absent where it follows from an image's scores.
    pixels: Option<Arc<Array2<bool>>>,
}

impl BoundRegion {
    /// The pixels, where they are known.
    pub fn pixels(&self) -> Option<&Array2<bool>> {
        self.pixels.as_deref()
    }

    pub fn new(
        network: &dyn Network,
        class: &ClassRef,
        region: &Region,
        text: String,
    ) -> Result<Self, AttributionError> {
        let map = DenseMap::of(network)?;
        let class = map_class(network, class, map.classes, &text)?;
        let pixels = region.pixels(map.size);
        let pixels = pixels.map_err(|reason| refused(text.clone(), reason))?;
        Ok(Self {
            map,
            class,
            text,
            region: region.clone(),
            pixels: pixels.map(Arc::new),
        })
    }

    /// Whether it waits for an image's scores.
    pub fn is_open(&self) -> bool {
        self.pixels.is_none()
    }

    /// The region in an image with these scores.
    pub fn settled(&self, scores: ArrayD<f32>) -> Result<Self, AttributionError> {
        let shape = scores.shape().to_vec();
        let scores = self
            .map
            .of_image(scores)
            .ok_or_else(|| self.misshapen(&shape))?;
        let found = self.region.found(self.class, scores.view());
        let pixels = found.map_err(|reason| refused(self.text.clone(), reason))?;
        Ok(Self {
            pixels: Some(Arc::new(pixels)),
            ..self.clone()
        })
    }

    fn misshapen(&self, shape: &[usize]) -> AttributionError {
        let [height, width] = self.map.size;
        refused(
            self.text.clone(),
            format!(
                "the scores have shape {shape:?} here, and {} classes of {height} x {width} pixels \
                 for a picture of the network's own size",
                self.map.classes
            ),
        )
    }

    /// The sum for each image, `[N]`.
    pub fn score(&self, activation: &Activation) -> Result<Tensor<1>, AttributionError> {
        let shape = activation.shape();
        let images = shape[0];
        let [height, width] = self.map.size;
        let (classes, pixels) = (self.map.classes, height * width);
        let rows = activation.rows();
        if rows.dims()[1] != classes * pixels {
            return Err(self.misshapen(&shape));
        }
        let own = match self.map.classes_last {
            true => rows
                .reshape([images, pixels, classes])
                .narrow(2, self.class, 1),
            false => rows
                .reshape([images, classes, pixels])
                .narrow(1, self.class, 1),
        };
        let own = own.reshape([images, pixels]);
        let inside = self.pixels.as_ref().ok_or_else(|| {
            refused(
                self.text.clone(),
                "the pixels of this region are found in images, and there are none".to_owned(),
            )
        })?;
        let inside = inside
            .iter()
            .map(|&inside| f32::from(u8::from(inside)))
            .collect();
        let inside = TensorData::new::<f32, _>(inside, [1, pixels]);
        let inside = Tensor::<2>::from_data(inside, &own.device());
        Ok((own * inside).row_sums().reshape([images]))
    }
}

/// A class of a map or of a detector, which need not be classes of the picture.
pub(super) fn map_class(
    network: &dyn Network,
    class: &ClassRef,
    classes: usize,
    text: &str,
) -> Result<usize, AttributionError> {
    let index = match class {
        ClassRef::Index(index) => *index,
        ClassRef::Label(label) => match network.as_model().and_then(|model| model.labels()) {
            Some(labels) => labels
                .find(label)
                .map_err(|error| refused(text.to_owned(), error.to_string()))?,
            None => {
                return Err(refused(
                    text.to_owned(),
                    format!(
                        "the model has no class names, so \"{label}\" is none: give a number from 0 \
                         to {}",
                        classes - 1
                    ),
                ));
            }
        },
    };
    match index < classes {
        true => Ok(index),
        false => Err(refused(
            text.to_owned(),
            format!("there is no class {index}, only 0 to {}", classes - 1),
        )),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, array};

    use super::*;

    #[test]
    fn the_axis_of_the_classes_is_where_the_picture_is_not() {
        let of = |shape: &[usize], picture: [usize; 4], axis| {
            let map = DenseMap::of_shape(shape, &picture, axis).unwrap();
            (map.classes, map.size, map.classes_last)
        };
        let square = [1, 3, 64, 64];
        assert_eq!(of(&[1, 2, 8, 8], square, None), (2, [8, 8], false));
        assert_eq!(of(&[1, 8, 8, 2], square, None), (2, [8, 8], true));
        assert_eq!(
            of(&[1, 8, 16, 5], [1, 3, 64, 128], None),
            (5, [8, 16], true)
        );
        assert_eq!(of(&[1, 8, 8, 8], square, None), (8, [8, 8], false));
        assert_eq!(of(&[1, 8, 8, 8], square, Some(3)), (8, [8, 8], true));
        assert_eq!(of(&[1, 8, 8, 2], square, Some(1)), (8, [8, 2], false));
        assert_eq!(of(&[1, 8, 8], square, None), (1, [8, 8], false));
        assert!(DenseMap::of_shape(&[1, 5], &square, None).is_none());
    }

    #[test]
    fn a_component_goes_over_edges_and_not_over_corners() {
        let pixels = array![[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]].mapv(|v| v == 1);
        let of = |row, column| component(&pixels, row, column).mapv(u8::from);
        assert_eq!(of(0, 1), array![[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]);
        assert_eq!(of(2, 3), array![[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]);
    }

    #[test]
    fn predicted_is_the_first_of_the_largest() {
        let scores = array![[[1.0, 0.0]], [[1.0, 2.0]], [[0.0, 2.0]]];
        assert_eq!(winners(scores.view()), array![[Some(0), Some(1)]]);
        let one = array![[[1.0, 0.0, -1.0]]];
        assert_eq!(winners(one.view()), array![[Some(0), None, None]]);
        let nowhere = Region::predicted().found(2, scores.view()).unwrap_err();
        assert!(nowhere.contains("there are 0, 1"), "{nowhere}");
        let other = Region::component(0, 1).found(0, scores.view()).unwrap_err();
        assert!(other.contains("class 1"), "{other}");
    }

    #[test]
    fn masks_are_stretched_by_the_nearest_pixel() {
        let mask = array![[true, false], [false, false]];
        let large = Region::mask(mask.clone()).pixels([4, 4]).unwrap().unwrap();
        assert_eq!(large.iter().filter(|&&v| v).count(), 4);
        assert!(large[[1, 1]] && !large[[2, 1]]);
        let same = Region::mask(mask.clone()).pixels([2, 2]).unwrap();
        assert_eq!(same, Some(mask));
        let black = Region::mask(Array::from_elem((2, 2), false)).pixels([2, 2]);
        assert!(black.unwrap_err().contains("white"));
    }
}
