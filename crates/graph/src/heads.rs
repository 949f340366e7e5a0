//! What an operator that attends computes with, for those who look into it.

use burn::tensor::Tensor;

use crate::activation::{Activation, IntoView};
use crate::error::GraphError;
use crate::operator::Slots;

/// Queries, keys and values of an operator that attends by itself: it makes `softmax(scale q kᵀ + bias) v`.
///
/// Keys and values have as many heads as queries: a head that several queries share is there several times.
#[derive(Debug, Clone)]
pub struct Heads {
    /// Queries, `[N, heads, queries, size]`.
    pub q: Tensor<4>,
    /// Keys, `[N, heads, keys, size]`.
    pub k: Tensor<4>,
    /// Values, `[N, heads, keys, size of values]`.
    pub v: Tensor<4>,
    /// What the product of queries and keys is multiplied by.
    pub scale: f32,
    /// What is added to the scores: a mask, positions. It broadcasts to `[N, heads, queries, keys]`.
    pub bias: Option<Tensor<4>>,
    /// Above 0, scores are bent: `softcap tanh(scores / softcap)`.
    pub softcap: f32,
    /// Whether what is made is `[N, queries, heads * size of values]`, not one map for each head.
    pub packed: bool,
}

impl Heads {
    /// What the softmax reads, `[N, heads, queries, keys]`, without what bends it.
    pub fn scores(&self) -> Tensor<4> {
        let scaled = self.q.clone() * self.scale;
        let products = scaled.matmul(self.k.clone().swap_dims(2, 3));
        match &self.bias {
            Some(bias) => products + bias.clone(),
            None => products,
        }
    }

    /// What the softmax makes of the scores, `[N, heads, queries, keys]`: 0 where everything is masked.
    pub fn weights(&self) -> Tensor<4> {
        masked_softmax(bent(self.scores(), self.softcap))
    }

    /// Something shaped like what the operator makes as `[N, heads, queries, size of values]`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when it has another number of elements.
    pub fn split(&self, made: &Activation) -> Result<Tensor<4>, GraphError> {
        let [batch, heads, queries, _] = self.q.dims();
        let size = self.v.dims()[3];
        let whole = [batch, heads, queries, size];
        let shape = made.shape();
        if shape.iter().product::<usize>() != whole.iter().product::<usize>() {
            return Err(GraphError::Shape {
                what: "what an operator attended to".to_owned(),
                expected: format!("{whole:?}"),
                got: shape,
            });
        }
        Ok(match self.packed {
            true => {
                let rows = made.clone().into_view(&[batch, queries, heads, size]);
                rows.into_cast::<4>().swap_dims(1, 2)
            }
            false => made.clone().into_view(&whole).into_cast(),
        })
    }
}

/// A kernel that attends by itself.
pub trait Attends {
    /// What it computes with. Queries, keys and values are linear in the inputs and track gradients if these
    /// do.
    fn heads(&self, inputs: Slots) -> Option<Heads>;
}

/// Scores under a softcap, if there is one.
pub(crate) fn bent(scores: Tensor<4>, softcap: f32) -> Tensor<4> {
    match softcap > 0.0 {
        true => (scores / softcap).tanh() * softcap,
        false => scores,
    }
}

/// The softmax along the last axis; 0 where everything is minus infinity.
pub(crate) fn masked_softmax(x: Tensor<4>) -> Tensor<4> {
    let largest = x.clone().without_autodiff().max_dim(3).clamp_min(f32::MIN);
    let powers = (x - largest).exp();
    // The largest is 1.
    let sum = powers.clone().sum_dim(3).clamp_min(0.5);
    powers / sum
}
