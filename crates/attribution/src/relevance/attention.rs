use burn::tensor::{Tensor, activation};
use elucid_graph::{Activation, Heads, Step};

use super::RelevanceRule;
use super::Shares;
use super::share::{ADDED, Stabiliser, check_not_negative};
use super::softmax::MASKED;
use crate::error::AttributionError;

/// Attention that is one operator, computed again inside: what [`Product`](super::Product) and
/// [`Softmax`](super::Softmax) are for attention written out, with the same numbers.
///
/// For ONNX's `Attention` and Microsoft's `Attention` and `MultiHeadAttention`. Both products in equal
/// parts: half for the values, and of the other half, handed down through the softmax, a half each for
/// queries and keys. With [constant attention](Attention::constant) all goes to the values. Masks and
/// positions that are added to the scores absorb their share, and so do biases inside.
///
/// Sources: Achtibat et al., *AttnLRP* (ICML 2024); Ali et al., *XAI for Transformers* (ICML 2022).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Attention {
    epsilon: f32,
    is_constant: bool,
    /// Whether the softmax and what is added to scores hand on what arrives.
    is_passing: bool,
}

impl Attention {
    /// In the limit of an epsilon going to 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// With an epsilon that keeps all products and sums inside from 0.
    pub fn with_epsilon(epsilon: f32) -> Self {
        Self {
            epsilon,
            ..Self::default()
        }
    }

    /// With a softmax that hands on what arrives, and so do masks and positions: Chefer et al., CVPR 2021.
    /// `1e-9` is added to a denominator whatever its sign.
    pub fn passing() -> Self {
        Self {
            is_passing: true,
            ..Self::default()
        }
    }

    /// Takes the weights of attention as constants: all to the values.
    #[must_use]
    pub fn constant(mut self) -> Self {
        self.is_constant = true;
        self
    }

    fn divide(&self, relevance: Tensor<4>, response: Tensor<4>) -> Tensor<4> {
        let shape = relevance.dims();
        let flat = |x: Tensor<4>| x.reshape([1, -1]);
        let stabiliser = match (self.is_passing, self.epsilon > 0.0) {
            (true, _) => Stabiliser::Added(ADDED),
            (false, true) => Stabiliser::Epsilon(self.epsilon),
            (false, false) => Stabiliser::Guard,
        };
        stabiliser
            .divide(flat(relevance), flat(response))
            .reshape(shape)
    }

    /// What arrives at the products of queries and keys, over them, of what arrives at the weights.
    fn through_softmax(
        &self,
        heads: &Heads,
        scores: Tensor<4>,
        weights: Tensor<4>,
        at_weights: Tensor<4>,
    ) -> Tensor<4> {
        let whole = at_weights.clone().sum_dim(3);
        let hidden = scores.clone().lower_scalar(MASKED);
        let at_scores = scores.clone() * (at_weights - weights * whole);
        let at_scores = at_scores.mask_fill(hidden.clone(), 0.0);
        let shown = scores.mask_fill(hidden, 0.0);
        // Of the sum of products, masks and positions, the products' share over the products.
        match (self.epsilon > 0.0, &heads.bias) {
            (true, Some(_)) => {
                let products = products(heads);
                let share = products.clone() * self.divide(at_scores, shown);
                self.divide(share, products)
            }
            _ => self.divide(at_scores, shown),
        }
    }

    /// What arrives at the weights when `relevance` arrives at what they make of the values.
    pub(crate) fn at_weights(&self, heads: &Heads, relevance: Tensor<4>) -> Tensor<4> {
        let weights = weights(&heads.scores());
        let y = weights.clone().matmul(heads.v.clone());
        let half = self.divide(relevance, y) * 0.5;
        weights * half.matmul(heads.v.clone().swap_dims(2, 3))
    }

    /// What arrives at queries, keys and values, over their numbers.
    fn inside(&self, heads: &Heads, relevance: Tensor<4>) -> [Option<Tensor<4>>; 3] {
        let scores = heads.scores();
        let weights = weights(&scores);
        let y = weights.clone().matmul(heads.v.clone());
        let for_values = self.divide(relevance, y);
        let to_values = weights.clone().swap_dims(2, 3);
        if self.is_constant {
            return [None, None, Some(to_values.matmul(for_values))];
        }
        let half = for_values * 0.5;
        let at_weights = weights.clone() * half.clone().matmul(heads.v.clone().swap_dims(2, 3));
        let for_products = match self.is_passing {
            true => self.divide(at_weights, products(heads)),
            false => self.through_softmax(heads, scores, weights, at_weights),
        };
        let for_products = for_products * (0.5 * heads.scale);
        let at_queries = for_products.clone().matmul(heads.k.clone());
        let at_keys = for_products.swap_dims(2, 3).matmul(heads.q.clone());
        [
            Some(at_queries),
            Some(at_keys),
            Some(to_values.matmul(half)),
        ]
    }
}

/// The scaled product of queries and keys.
fn products(heads: &Heads) -> Tensor<4> {
    (heads.q.clone() * heads.scale).matmul(heads.k.clone().swap_dims(2, 3))
}

/// Whether an operator attends, with masks and positions that do not depend on the image, and nothing that
/// bends scores: then everything that depends on it is linear in queries, keys and values, softmax aside.
pub(crate) fn attends(step: &Step<'_>) -> bool {
    let given = match step.kind().as_str() {
        "com.microsoft.Attention" => 1,
        _ => 3,
    };
    let bends = step.number("softcap").is_some_and(|cap| cap > 0.0);
    !bends && (given..step.inputs()).all(|slot| step.is_constant(slot)) && step.attends()
}

/// Weights of attention along the last axis; 0 where everything is masked.
pub(crate) fn weights(scores: &Tensor<4>) -> Tensor<4> {
    let hidden = scores.clone().lower_scalar(MASKED);
    activation::softmax(scores.clone(), 3).mask_fill(hidden, 0.0)
}

impl RelevanceRule for Attention {
    fn name(&self) -> String {
        match (self.is_constant, self.is_passing) {
            (true, _) => "attention, all to the values".to_owned(),
            (false, true) => "attention in equal parts, softmax passed".to_owned(),
            (false, false) => "attention in equal parts".to_owned(),
        }
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        attends(step)
    }

    fn hands_to(&self, step: &Step<'_>, slot: usize) -> bool {
        !self.is_constant || slot == 2 || step.kind().as_str() != "Attention"
    }

    fn check(&self) -> Result<(), AttributionError> {
        check_not_negative("epsilon", self.epsilon)
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        let (Some(Some(relevance)), Some(heads)) = (relevance.first(), step.heads()) else {
            return Ok(vec![None; step.inputs()]);
        };
        let arrived = heads.split(relevance)?;
        let inside = self.inside(&heads, arrived);
        let slots = step.transpose_heads(inside)?.into_iter().enumerate();
        slots
            .map(|(slot, back)| match (back, step.input(slot)) {
                (Some(back), Some(x)) => {
                    let share = x.rows() * back.rows();
                    Ok(Some(Activation::from_rows(share, &x)?))
                }
                _ => Ok(None),
            })
            .collect()
    }
}
