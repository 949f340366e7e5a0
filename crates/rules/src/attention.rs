//! Attention that is one operator: what rules for softmax and products are for attention written out.

use crate::operator_rule::{Execution, OperatorRule, Site};
use crate::{AnyRank, OpKind, Operator, RuleError};

/// ONNX's operator, and Microsoft's with queries, keys and values apart or still to be computed.
pub(crate) const KINDS: [OpKind; 3] = [
    OpKind::new("Attention"),
    OpKind::new("com.microsoft.Attention"),
    OpKind::new("com.microsoft.MultiHeadAttention"),
];

const KINDS_WITH_VALUES: [OpKind; 2] = [KINDS[0], KINDS[2]];
const VALUES: usize = 2;

/// Attention with its weights taken as constants: all of the gradient goes to the values.
///
/// What [`Detached`](crate::Detached) on the softmax is where attention is written out: the *AH-rule*.
/// For operators that read queries, keys and values as inputs of their own.
///
/// Source: Ali et al., *XAI for Transformers*, ICML 2022, <https://arxiv.org/abs/2202.07304>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConstantAttention;

/// Attention with both of its products in equal parts: half of the true gradient for the values, a
/// quarter each for queries and keys.
///
/// What [`UniformProduct`](crate::UniformProduct) on both products is where attention is written out:
/// the softmax between them keeps its true gradient.
///
/// Source: Achtibat et al., *AttnLRP*, ICML 2024, <https://arxiv.org/abs/2402.05602>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UniformAttention;

/// The true gradients, times one factor for queries and keys and one for values.
fn scaled(
    ran: &Execution,
    g: &[Option<AnyRank>],
    scores: f32,
    values: f32,
) -> Vec<Option<AnyRank>> {
    let scale = |(slot, gradient): (usize, Option<AnyRank>)| {
        let factor = if slot == VALUES { values } else { scores };
        let gradient = gradient.filter(|_| factor != 0.0)?;
        Some(gradient.map(|d| d * factor))
    };
    let gradients = ran.gradient(g).into_iter().enumerate();
    gradients.map(scale).collect()
}

fn check(rule: &dyn OperatorRule, site: &Site<'_>) -> Result<(), RuleError> {
    if !KINDS_WITH_VALUES.contains(&site.operator.kind()) {
        return Err(RuleError::Unsupported {
            rule: rule.name(),
            kind: site.operator.kind(),
            supported: KINDS_WITH_VALUES.to_vec(),
        });
    }
    let reason = match () {
        () if site
            .inputs
            .get(VALUES)
            .is_none_or(|input| input.is_constant) =>
        {
            "its values are no input of their own"
        }
        () if site.variables().any(|slot| slot > VALUES) => {
            "more than queries, keys and values depends on the image"
        }
        () if site.outputs > 1 => "more than its first output is used",
        () => return Ok(()),
    };
    Err(site.does_not_fit(rule.name(), reason))
}

/// A rule that multiplies the gradients at queries and keys, and those at values.
macro_rules! scales {
    ($rule:ident, $name:literal, scores: $scores:literal, values: $values:literal) => {
        impl OperatorRule for $rule {
            fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
                scaled(ran, g, $scores, $values)
            }

            fn applies_to(&self, op: &Operator<'_>) -> bool {
                KINDS.contains(&op.kind())
            }

            fn check(&self, site: &Site<'_>) -> Result<(), RuleError> {
                check(self, site)
            }

            fn name(&self) -> String {
                $name.to_owned()
            }
        }
    };
}

scales!(ConstantAttention, "constant attention", scores: 0.0, values: 1.0);
scales!(UniformAttention, "uniform attention", scores: 0.25, values: 0.5);
