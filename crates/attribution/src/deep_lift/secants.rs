//! Multipliers of operators that are several functions in one: softmax, normalisations, attention.
//!
//! Each is taken apart into functions of one number, for which the multiplier is the secant, and into sums,
//! products and quotients, and the multipliers of the parts are put together again.

use burn::tensor::Tensor;
use elucid_graph::{Activation, LongRows};

use super::Pair;
use crate::error::AttributionError;
use crate::relevance::attention::weights;
use crate::relevance::softmax::MASKED;

/// A sum of powers below this is none.
const NOTHING: f32 = 1e-30;

/// `(exp(d) - 1) / d`.
fn growth(d: Tensor<3>) -> Tensor<3> {
    let is_small = d.clone().abs().lower_scalar(0.05);
    // Below, what is left out is less than single precision.
    let series = ((((d.clone() / 5.0 + 1.0) * d.clone() / 4.0 + 1.0) * d.clone() / 3.0 + 1.0)
        * d.clone()
        / 2.0)
        + 1.0;
    let exact = (d.clone().exp() - 1.0) / d.mask_fill(is_small.clone(), 1.0);
    exact.mask_where(is_small, series)
}

/// Multipliers at scores `x` and `base`, given those at their softmax along axis 1: `exp(s) / sum exp(s)`,
/// with one constant subtracted from image and baseline, which changes nothing.
fn softmax(m: Tensor<3>, x: Tensor<3>, base: Tensor<3>) -> Tensor<3> {
    let largest = x.clone().max_dim(1).max_pair(base.clone().max_dim(1));
    let largest = largest.clamp_min(f32::MIN);
    // What is masked in both has no power, and no difference.
    let masked = x.clone().max_pair(base.clone()).lower_scalar(MASKED);
    let powers = |s: Tensor<3>| (s - largest.clone()).exp();
    let (e, e0) = (powers(x.clone()), powers(base.clone()));
    let sum = |e: &Tensor<3>| e.clone().sum_dim(1).clamp_min(NOTHING);
    let (z, z0) = (sum(&e), sum(&e0));
    let through_sum = (m.clone() * (e.clone() + e0.clone())).sum_dim(1);
    let at_powers =
        m * ((z.clone().recip() + z0.clone().recip()) * 0.5) - through_sum / (z * z0 * 2.0);
    // From the larger power down: no power overflows.
    let difference = (x - base).mask_fill(masked, 0.0);
    let secant = e.max_pair(e0) * growth(-difference.abs());
    at_powers * secant
}

impl Pair<'_, '_> {
    pub(super) fn softmax(
        &self,
        m: &Activation,
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        let mut slots = self.slots();
        let (Some((x, base)), Some([_, along, behind])) =
            (self.values(0), self.step.softmax_view())
        else {
            return Ok(slots);
        };
        let view = |rows: Tensor<2>| rows.reshape([-1, along as i32, behind as i32]);
        let dims = x.rows().dims();
        let at = softmax(view(m.rows()), view(x.rows()), view(base));
        slots[0] = Some(Activation::from_rows(at.reshape(dims), &x)?);
        Ok(slots)
    }

    /// `d = x - mean`, `y = w d / sqrt(mean(d²) + epsilon) + b`.
    pub(super) fn normalization(
        &self,
        m: &Activation,
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        let mut slots = self.slots();
        let (Some((x, base)), Some(statistics)) = (self.values(0), self.step.statistics()) else {
            return Ok(slots);
        };
        let row = statistics.row as i32;
        let view = |rows: Tensor<2>| -> Tensor<2> { rows.reshape([-1, row]) };
        let centred = |v: Tensor<2>| match statistics.centred {
            true => v.clone() - v.row_means(),
            false => v,
        };
        let deviation =
            |d: &Tensor<2>| ((d.clone() * d.clone()).row_means() + statistics.epsilon).sqrt();
        let (d, d0) = (centred(view(x.rows())), centred(view(base)));
        let (sd, sd0) = (deviation(&d), deviation(&d0));
        let m = view(m.rows())
            * self.scale(&x, |v| {
                let d = centred(view(v));
                let sd = deviation(&d);
                d / sd
            })?;
        let mean = (d.clone() + d0.clone()) * 0.5;
        let at_deviation = -(m.clone() * mean.clone()).row_sums() / (sd.clone() * sd0.clone());
        let at_square = at_deviation / (sd.clone() + sd0.clone());
        let at_d = m * ((sd.recip() + sd0.recip()) * 0.5)
            + mean * (at_square * (2.0 / statistics.row as f32));
        let dims = x.rows().dims();
        slots[0] = Some(Activation::from_rows(centred(at_d).reshape(dims), &x)?);
        Ok(slots)
    }

    /// What each number of a normalisation is multiplied by behind the quotient, in rows: found from what
    /// becomes of numbers whose quotient is nowhere 0.
    fn scale(
        &self,
        like: &Activation,
        quotient: impl Fn(Tensor<2>) -> Tensor<2>,
    ) -> Result<Tensor<2>, AttributionError> {
        let zeros = like.rows().zeros_like();
        let [images, count] = zeros.dims();
        let signs = Tensor::<1>::from_floats(
            (0..count)
                .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
                .collect::<Vec<f32>>()
                .as_slice(),
            &zeros.device(),
        );
        let signs = signs.reshape([1, count]).expand([images, count]);
        let made = |x: Tensor<2>| -> Result<Tensor<2>, AttributionError> {
            let mut inputs = Self::inputs(self.step);
            inputs[0] = Some(Activation::from_rows(x, like)?);
            Ok(self.step.forward(inputs)?.swap_remove(0).rows())
        };
        let scaled = made(signs.clone())? - made(zeros)?;
        let quotient = quotient(signs);
        let none = quotient.clone().abs().lower_scalar(NOTHING);
        let factor = scaled.reshape(quotient.dims()) / quotient.mask_fill(none.clone(), 1.0);
        Ok(factor.mask_fill(none, 0.0))
    }

    /// `softmax(scale q kᵀ + bias) v`.
    pub(super) fn attention(
        &self,
        m: &Activation,
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        let (Some(x), Some(base)) = (self.step.heads(), self.base.heads()) else {
            return Ok(self.slots());
        };
        let m = x.split(m)?;
        let mean = |a: &Tensor<4>, b: &Tensor<4>| (a.clone() + b.clone()) * 0.5;
        let (scores, scores0) = (x.scores(), base.scores());
        let (a, a0) = (weights(&scores), weights(&scores0));
        let at_v = mean(&a, &a0).swap_dims(2, 3).matmul(m.clone());
        let at_weights = m.matmul(mean(&x.v, &base.v).swap_dims(2, 3));
        let dims = at_weights.dims();
        let rows = |t: Tensor<4>| t.reshape([-1, dims[3] as i32, 1]);
        let at_scores = softmax(rows(at_weights), rows(scores), rows(scores0));
        let at_products = at_scores.reshape(dims) * x.scale;
        let at_q = at_products.clone().matmul(mean(&x.k, &base.k));
        let at_k = at_products.swap_dims(2, 3).matmul(mean(&x.q, &base.q));
        let parts = [at_q, at_k, at_v].map(Some);
        Ok(self.step.transpose_heads(parts)?)
    }
}
