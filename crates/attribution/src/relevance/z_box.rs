use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, Step};

use super::share::{EPSILON, Stabiliser, Term, Weighted, WeightedRule, map, negative, positive};
use crate::error::AttributionError;

/// For inputs between a lowest and a highest value: pixels.
///
/// `R_i = sum_j (x_i w_ij - low_i w+_ij - high_i w-_ij) R_j / z_j`, `z_j` the sum of the numerators
/// over `i`, kept from 0 by `1e-6`; no bias. Montavon et al. (2017), the `z^B` rule. Padding is 0
/// for all three, so that it contributes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct ZBox {
    bounds: Option<[Vec<f32>; 2]>,
}

impl ZBox {
    /// The lowest and the highest value of an input, one number for all channels or one for each:
    /// in the space of the network's input, that is, after mean and standard deviation.
    pub fn new(low: &[f32], high: &[f32]) -> Self {
        Self {
            bounds: Some([low.to_vec(), high.to_vec()]),
        }
    }

    /// What black and white become by the model's
    /// [`InputSpec::range`](elucid_vision::InputSpec::range): `(0 * scale - mean) / std` and
    /// `(255 * scale - mean) / std`.
    pub fn pixels() -> Self {
        Self { bounds: None }
    }

    fn bounds(&self, step: &Step<'_>) -> Result<[Vec<f32>; 2], AttributionError> {
        let stated = self.bounds.as_ref().or_else(|| step.model().range());
        stated.cloned().ok_or_else(|| AttributionError::Parameter {
            parameter: "low",
            value: "that of black".to_owned(),
            expected: "a number: nothing says what black and white are in this network's input",
        })
    }
}

impl WeightedRule for ZBox {
    fn name(&self) -> String {
        match &self.bounds {
            Some([low, high]) => format!("z-box from {low:?} to {high:?}"),
            None => "z-box of pixels".to_owned(),
        }
    }

    fn check(&self) -> Result<(), AttributionError> {
        let Some([low, high]) = &self.bounds else {
            return Ok(());
        };
        let refused = |parameter, value: &[f32], expected| {
            Err(AttributionError::Parameter {
                parameter,
                value: format!("{value:?}"),
                expected,
            })
        };
        for (name, bound) in [("low", low), ("high", high)] {
            if bound.is_empty() || bound.iter().any(|v| !v.is_finite()) {
                return refused(name, bound, "one number, or one for each channel");
            }
        }
        let channels = low.len().max(high.len());
        let one_or_all = |bound: &[f32]| bound.len() == 1 || bound.len() == channels;
        if !one_or_all(low) || !one_or_all(high) {
            return refused("high", high, "as many channels as low has");
        }
        let at = |bound: &[f32], c: usize| bound[c % bound.len()];
        if (0..channels).any(|c| at(low, c) >= at(high, c)) {
            return refused("high", high, "numbers above low");
        }
        Ok(())
    }

    fn share(&self, op: &Weighted<'_, '_>) -> Result<Tensor<2>, AttributionError> {
        let [low, high] = self.bounds(op.step)?;
        let weight = &op.weights.weight;
        let minus = |part: Activation| map(&part, |w| -w);
        let terms = [
            Term::new(&op.x, weight, None),
            Term::new(
                &per_channel("low", &low, &op.x)?,
                &minus(positive(weight)?)?,
                None,
            ),
            Term::new(
                &per_channel("high", &high, &op.x)?,
                &minus(negative(weight)?)?,
                None,
            ),
        ];
        op.share(&terms, Stabiliser::Epsilon(EPSILON))
    }
}

/// Shaped like `x`, with one number in each channel, or everywhere.
fn per_channel(
    parameter: &'static str,
    values: &[f32],
    x: &Activation,
) -> Result<Activation, AttributionError> {
    let shape = x.shape();
    let channels = shape.get(1).copied().unwrap_or(1);
    if values.len() != 1 && values.len() != channels {
        return Err(AttributionError::Parameter {
            parameter,
            value: format!("{values:?}"),
            expected: "one number, or one for each channel of the first layer's input",
        });
    }
    let rows = x.rows();
    let elements = rows.dims()[1] / channels.max(1);
    let row: Vec<f32> = (0..channels)
        .flat_map(|c| std::iter::repeat_n(values[c % values.len()], elements))
        .collect();
    let row = TensorData::new(row, [1, channels * elements]);
    let row = Tensor::<2>::from_data(row, &rows.device());
    Ok(Activation::from_rows(rows.zeros_like() + row, x)?)
}
