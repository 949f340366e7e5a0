//! Boxes and masks.

use ndarray::{Array2, ArrayView2, s};

use crate::error::MetricError;
use crate::metric::NotApplicable;

/// Where the object is, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth<'a> {
    /// None at all where there are none.
    pub boxes: Vec<[f32; 4]>,
    pub mask: Option<ArrayView2<'a, bool>>,
    /// Pixels that are neither the object nor its surroundings.
    pub ignored: Option<ArrayView2<'a, bool>>,
}

impl<'a> Truth<'a> {
    pub fn shorten<'b>(self) -> Truth<'b>
    where
        'a: 'b,
    {
        Truth {
            boxes: self.boxes,
            mask: self.mask.map(|mask| mask.reborrow()),
            ignored: self.ignored.map(|ignored| ignored.reborrow()),
        }
    }

    /// The pixels of the mask, else those of the boxes; one at least.
    pub fn pixels(&self, [height, width]: [usize; 2]) -> Result<Array2<bool>, NotApplicable> {
        let mut pixels = match &self.mask {
            Some(mask) => mask.to_owned(),
            None if self.boxes.is_empty() => return Err(NotApplicable::NoTruth),
            None => {
                let mut pixels = Array2::from_elem((height, width), false);
                for &[x0, y0, x1, y1] in &self.boxes {
                    let (columns, rows) = (inside(x0, x1, width), inside(y0, y1, height));
                    pixels.slice_mut(s![rows, columns]).fill(true);
                }
                pixels
            }
        };
        if let Some(ignored) = &self.ignored {
            pixels.zip_mut_with(ignored, |inside, ignored| *inside &= !ignored);
        }
        match pixels.iter().any(|&inside| inside) {
            true => Ok(pixels),
            false => Err(NotApplicable::EmptyMask),
        }
    }

    /// The boxes, else the tight one around the mask.
    pub fn boxes(&self, size: [usize; 2]) -> Result<Vec<[f32; 4]>, NotApplicable> {
        if !self.boxes.is_empty() {
            return Ok(self.boxes.clone());
        }
        let pixels = self.pixels(size)?;
        let mut tight = [f32::INFINITY, f32::INFINITY, 0.0, 0.0];
        for ((y, x), _) in pixels.indexed_iter().filter(|(_, inside)| **inside) {
            let [x0, y0, x1, y1] = tight;
            let (x, y) = (x as f32, y as f32);
            tight = [x0.min(x), y0.min(y), x1.max(x + 1.0), y1.max(y + 1.0)];
        }
        Ok(vec![tight])
    }

    /// Whether a pixel counts at all.
    pub fn counts(&self, at: (usize, usize)) -> bool {
        !self.ignored.as_ref().is_some_and(|ignored| ignored[at])
    }
}

/// The pixels whose centres lie in `low..high`; the one that holds the middle where there is none.
fn inside(low: f32, high: f32, size: usize) -> std::ops::Range<usize> {
    let (low, high) = (f64::from(low), f64::from(high));
    let first = (low - 0.5).ceil().max(0.0) as usize;
    let end = ((high - 0.5).ceil().max(0.0) as usize).min(size);
    if first < end {
        return first..end;
    }
    let middle = (((low + high) / 2.0) as usize).min(size.saturating_sub(1));
    middle..middle + 1
}

/// The boxes, cut at the edge of the image.
pub(crate) fn clip(
    boxes: &[[f32; 4]],
    [height, width]: [usize; 2],
) -> Result<Vec<[f32; 4]>, MetricError> {
    let (w, h) = (width as f32, height as f32);
    let cut = |&given: &[f32; 4]| {
        let [x0, y0, x1, y1] = given;
        let cut = [x0.max(0.0), y0.max(0.0), x1.min(w), y1.min(h)];
        let is_number = given.iter().all(|v| v.is_finite());
        match is_number && cut[0] < cut[2] && cut[1] < cut[3] {
            true => Ok(cut),
            false => Err(MetricError::Box {
                given,
                width,
                height,
            }),
        }
    };
    boxes.iter().map(cut).collect()
}

/// Intersection over union of two boxes `[xmin, ymin, xmax, ymax]`, half-open; 0 where either has
/// no area.
pub fn iou(a: [f32; 4], b: [f32; 4]) -> f64 {
    let [a, b] = [a, b].map(|corners| corners.map(f64::from));
    let side = |low: f64, high: f64| (high - low).max(0.0);
    let area = |[x0, y0, x1, y1]: [f64; 4]| side(x0, x1) * side(y0, y1);
    let common = area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]);
    match area(a) + area(b) - common {
        union if union > 0.0 => common / union,
        _ => 0.0,
    }
}
