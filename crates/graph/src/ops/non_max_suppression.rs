//! `NonMaxSuppression`: of boxes that overlap, the one with the highest score.
//!
//! Boxes are taken by falling score, of equal ones the first in the list first; a box is dropped when
//! its intersection over union with one that was taken is larger than a threshold. Everything is
//! decided on the host.

use std::sync::Arc;

use super::pick::keys;
use crate::host::{ElementType, HostTensor};
use crate::message::few;
use crate::operator::{Operands, Operator, Refused, Resolved, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("NonMaxSuppression", 10, |a| {
    let by_centre = a.flag("center_point_box");
    Ok(Arc::new(Suppression { by_centre }))
})];

#[derive(Debug)]
struct Suppression {
    /// Whether boxes are `[x centre, y centre, width, height]`, not `[y1, x1, y2, x2]`.
    by_centre: bool,
}

impl Operator for Suppression {
    facts!(kind: "NonMaxSuppression", algebra: Decision);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (boxes, scores) = (inputs.floats(0)?, inputs.floats(1)?);
        let fits = matches!(
            (boxes.shape.as_slice(), scores.shape.as_slice()),
            (&[n, count, 4], &[m, _, each]) if n == m && count == each
        );
        if !fits {
            let (boxes, scores) = (few(&boxes.shape), few(&scores.shape));
            let reason = "expected [N, boxes, 4] and [N, classes, boxes]";
            return Err(format!("boxes {boxes} and scores {scores}, {reason}").into());
        }
        let [images, classes, count] = [scores.shape[0], scores.shape[1], scores.shape[2]];
        // Nothing is selected unless it is said how much.
        let most = match inputs.optional_value(2, "how many boxes are asked for")? {
            Some(most) if !most.is_empty() => most.scalar_int()?,
            _ => 0,
        };
        let most = usize::try_from(most).unwrap_or(0);
        let number = |slot, what| match inputs.optional_value(slot, what)? {
            Some(value) if !value.is_empty() => Ok::<_, Refused>(Some(value.scalar_float()?)),
            _ => Ok(None),
        };
        let overlap = number(3, "the overlap")?.unwrap_or(0.0);
        let least = number(4, "the smallest score")?;
        let boxes = inputs.value(0, "the boxes")?.floats();
        let scores = inputs.value(1, "the scores")?;
        let (keys, scores) = (keys(scores), scores.floats());
        let areas: Vec<Area> = boxes.chunks_exact(4).map(|b| self.area(b)).collect();
        let mut selected: Vec<i64> = Vec::new();
        for image in 0..images {
            for class in 0..classes {
                let at = |i: usize| (image * classes + class) * count + i;
                let above = |i: &usize| least.is_none_or(|least| scores[at(*i)] > least);
                let mut order: Vec<usize> = (0..count).filter(above).collect();
                order.sort_by_key(|&i| -keys[at(i)]);
                let mut taken: Vec<usize> = Vec::new();
                for i in order {
                    if taken.len() >= most {
                        break;
                    }
                    let area = |i: usize| &areas[image * count + i];
                    if !taken.iter().any(|&t| area(i).overlaps(area(t), overlap)) {
                        taken.push(i);
                    }
                }
                for i in taken {
                    selected.extend([image as i64, class as i64, i as i64]);
                }
            }
        }
        let shape = [selected.len() / 3, 3];
        let made = HostTensor::of_ints(ElementType::I64, &shape, selected)?;
        Ok(Resolved::known(made))
    }
}

/// Lower and upper end along both axes.
struct Area([(f32, f32); 2]);

impl Suppression {
    fn area(&self, b: &[f32]) -> Area {
        let ends = |p: f32, q: f32| if p >= q { (q, p) } else { (p, q) };
        let around = |centre: f32, size: f32| (centre - size / 2.0, centre + size / 2.0);
        Area(match self.by_centre {
            true => [around(b[1], b[3]), around(b[0], b[2])],
            false => [ends(b[0], b[2]), ends(b[1], b[3])],
        })
    }
}

impl Area {
    fn size(&self) -> f32 {
        self.0.iter().map(|(low, high)| high - low).product()
    }

    fn overlaps(&self, other: &Self, threshold: f32) -> bool {
        let sides = self.0.iter().zip(&other.0);
        let sides: Vec<f32> = sides.map(|(a, b)| a.1.min(b.1) - a.0.max(b.0)).collect();
        if sides.iter().any(|&side| side <= 0.0) {
            return false;
        }
        let shared: f32 = sides.iter().product();
        let (a, b) = (self.size(), other.size());
        let union = a + b - shared;
        shared > 0.0 && a > 0.0 && b > 0.0 && union > 0.0 && shared / union > threshold
    }
}
