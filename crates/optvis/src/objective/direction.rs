//! Directions in the space of a layer's channels.

use burn::tensor::{Tensor, TensorData};
use elucid_rules::powf;
use ndarray::{ArrayView1, ArrayView3};

use super::seen::{block, centre};
use super::{Objective, Seen, Term};
use crate::error::{VisError, refuse_unless};
use crate::subject::Subject;

/// Keeps a cosine defined where an activation is 0.
const EPSILON: f32 = 1e-4;

/// The least cosine that counts, so that the power has a gradient everywhere.
const LEAST_COSINE: f32 = 0.1;

impl Objective {
    /// The dot product of `direction` (one number for each channel) with the activations of
    /// `layer`, mean over positions.
    pub fn direction<'a>(layer: &str, direction: impl Into<ArrayView1<'a, f32>>) -> Self {
        Self::new(Direction::new(layer, direction.into(), Measure::Dot))
    }

    /// The dot product times a power of the cosine, mean over positions:
    /// `mean(x.v max(.1, cos(x, v))^power)`, so that the direction counts for more than the
    /// length. Cosines are `x.v / ((1e-4 + |x|) (1e-4 + |v|))`. A power of 0 is
    /// [`Objective::direction`]; Lucid's notebooks take 1 or 2.
    pub fn direction_cosine<'a>(
        layer: &str,
        direction: impl Into<ArrayView1<'a, f32>>,
        power: f32,
    ) -> Self {
        let measure = match power {
            0.0 => Measure::Dot,
            power => Measure::DotTimesCosine(power),
        };
        Self::new(Direction::new(layer, direction.into(), measure))
    }

    /// The cosine alone, mean over positions: what Lucent calls `direction`. It does not ask for
    /// strong activations, so its pictures are paler.
    pub fn cosine<'a>(layer: &str, direction: impl Into<ArrayView1<'a, f32>>) -> Self {
        Self::new(Direction::new(layer, direction.into(), Measure::Cosine))
    }

    /// [`Objective::direction_cosine`] at the middle position, `[H / 2, W / 2]`.
    pub fn direction_neuron<'a>(
        layer: &str,
        direction: impl Into<ArrayView1<'a, f32>>,
        power: f32,
    ) -> Self {
        Self::new(Direction {
            place: Place::Middle,
            ..Direction::new(layer, direction.into(), Measure::DotTimesCosine(power))
        })
    }

    /// [`Objective::direction_cosine`] at position `[row, column]`.
    pub fn direction_at<'a>(
        layer: &str,
        direction: impl Into<ArrayView1<'a, f32>>,
        position: [usize; 2],
        power: f32,
    ) -> Self {
        Self::new(Direction {
            place: Place::At(position),
            ..Direction::new(layer, direction.into(), Measure::DotTimesCosine(power))
        })
    }

    /// A direction for each of a block of positions in the middle of the layer: `directions` is
    /// `[C, h, w]`, and the value is the mean over those positions of
    /// [`Objective::direction_cosine`]'s.
    pub fn tensor_direction<'a>(
        layer: &str,
        directions: impl Into<ArrayView3<'a, f32>>,
        power: f32,
    ) -> Self {
        let directions = directions.into();
        let (c, h, w) = directions.dim();
        Self::new(Direction {
            layer: layer.to_owned(),
            values: directions.iter().copied().collect(),
            shape: [c, h, w],
            measure: Measure::DotTimesCosine(power),
            place: Place::Middle,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    Dot,
    DotTimesCosine(f32),
    Cosine,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Everywhere,
    Middle,
    At([usize; 2]),
}

#[derive(Debug)]
struct Direction {
    layer: String,
    values: Vec<f32>,
    /// Channels, rows and columns of the block that `values` are for.
    shape: [usize; 3],
    measure: Measure,
    place: Place,
}

impl Direction {
    fn new(layer: &str, direction: ArrayView1<'_, f32>, measure: Measure) -> Self {
        Self {
            layer: layer.to_owned(),
            values: direction.to_vec(),
            shape: [direction.len(), 1, 1],
            measure,
            place: Place::Everywhere,
        }
    }
}

impl Term for Direction {
    fn name(&self) -> String {
        let what = match self.measure {
            Measure::Cosine => "cosine with a direction".to_owned(),
            Measure::Dot | Measure::DotTimesCosine(0.0) => "direction".to_owned(),
            Measure::DotTimesCosine(power) => format!("direction (cosine power {power})"),
        };
        let place = match (self.place, self.shape) {
            (Place::Everywhere, _) => String::new(),
            (Place::Middle, [_, 1, 1]) => " in the middle".to_owned(),
            (Place::Middle, [_, h, w]) => format!(" for the middle {h} x {w}"),
            (Place::At([y, x]), _) => format!(" at ({y}, {x})"),
        };
        format!("{what} in {}{place}", self.layer)
    }

    fn layers(&self) -> Vec<String> {
        vec![self.layer.clone()]
    }

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        let (channels, [length, h, w]) = (subject.channels(&self.layer)?, self.shape);
        if channels != length {
            return Err(VisError::Direction {
                layer: subject.name(&self.layer)?.to_owned(),
                length,
                channels,
            });
        }
        if h == 0 || w == 0 {
            return Err(VisError::Shape {
                what: "a tensor of directions",
                expected: vec![length, 1, 1],
                got: self.shape.to_vec(),
            });
        }
        if let Measure::DotTimesCosine(power) = self.measure {
            let holds = power.is_finite() && power >= 0.0;
            refuse_unless(holds, "power of the cosine", power, "0 or more")?;
        }
        match self.values.iter().find(|v| !v.is_finite()) {
            Some(bad) => refuse_unless(false, "direction", bad, "finite numbers"),
            None => Ok(()),
        }
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let x = seen.layer(&self.layer)?;
        let [c, h, w] = self.shape;
        let x = match self.place {
            Place::Everywhere => x,
            Place::At(position) => block(x, &self.layer, position, [1, 1])?,
            Place::Middle => {
                let middle = centre(&x);
                let from = [
                    middle[0].saturating_sub(h / 2),
                    middle[1].saturating_sub(w / 2),
                ];
                block(x, &self.layer, from, [h, w])?
            }
        };
        let values = TensorData::new(self.values.clone(), [1, c, h, w]);
        let v = Tensor::<4>::from_data(values, seen.subject().device());
        let dot = (x.clone() * v.clone()).sum_dim(1);
        if matches!(self.measure, Measure::Dot | Measure::DotTimesCosine(0.0)) {
            return Ok(dot.mean());
        }
        // A square root has no gradient at 0.
        let length = |x: Tensor<4>| x.square().sum_dim(1).clamp_min(1e-20).sqrt();
        let cosine = dot.clone() / (length(x) + EPSILON) / (length(v) + EPSILON);
        Ok(match self.measure {
            Measure::DotTimesCosine(1.0) => (dot * cosine.clamp_min(LEAST_COSINE)).mean(),
            Measure::DotTimesCosine(power) => {
                (dot * powf(cosine.clamp_min(LEAST_COSINE), power)).mean()
            }
            _ => cosine.mean(),
        })
    }
}
