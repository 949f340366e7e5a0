//! Normalisations with their statistics taken as constants.

use burn::tensor::Tensor;

use crate::operator_rule::{Execution, OperatorRule, Site};
use crate::{Algebra, AnyRank, Operator, RuleError};

/// Normalisations with the deviation taken as a constant: the *LN-rule*.
///
/// `y = s (x - mean) / deviation + b` is linear in `x` once the deviation is a number, and this is the
/// gradient of that: the mean is still subtracted, and the scale still multiplies. For
/// `LayerNormalization`, `RMSNormalization`, `GroupNormalization` and `InstanceNormalization`.
///
/// With `h = (x - mean) / deviation` it is the true gradient plus `h / deviation` times the mean over
/// the row of `g (y - b)`, which is what the true gradient takes away through the deviation.
///
/// Source: Ali et al., *XAI for Transformers: Better Explanations through Conservative Propagation*,
/// ICML 2022, <https://arxiv.org/abs/2202.07304>; the same in AttnLRP, Achtibat et al., ICML 2024.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConstantStatistics;

impl OperatorRule for ConstantStatistics {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        let mut gradients = ran.gradient(g);
        let (Some(statistics), Some(x), Some(Some(g))) =
            (ran.operator.statistics(), ran.input(0), g.first())
        else {
            return gradients;
        };
        if !ran.is_live(0) {
            return gradients;
        }
        let rows = |values: &AnyRank| -> Tensor<2> {
            values.reshape([values.elements() / statistics.row, statistics.row])
        };
        let mut h = rows(x);
        if statistics.centred {
            h = h.clone() - h.mean_dim(1);
        }
        let deviation = ((h.clone() * h.clone()).mean_dim(1) + statistics.epsilon).sqrt();
        let h = h / deviation.clone();
        // Of zeros nothing is left but the bias.
        let mut nothing = ran.inputs.clone();
        nothing[0] = Some(x.zeros_like());
        let bias = ran.forward(nothing).swap_remove(0);
        let along = (rows(g) * (rows(&ran.outputs[0]) - rows(&bias))).mean_dim(1);
        let through_deviation = AnyRank::from(h / deviation * along).view(&x.shape());
        gradients[0] = Some(match gradients[0].take() {
            Some(gradient) => gradient.zip(through_deviation, |a, b| a + b),
            None => through_deviation,
        });
        gradients
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        op.algebra() == Algebra::Normalization
    }

    fn check(&self, site: &Site<'_>) -> Result<(), RuleError> {
        match site.statistics {
            Some(_) if site.outputs == 1 => Ok(()),
            Some(_) => Err(site.does_not_fit(self.name(), "its statistics are outputs, too")),
            None => Err(site.does_not_fit(
                self.name(),
                "it is for LayerNormalization, RMSNormalization, GroupNormalization and \
                 InstanceNormalization",
            )),
        }
    }

    fn name(&self) -> String {
        "constant statistics".to_owned()
    }
}
