//! Rules for operators whose true gradient tells every input all of a product: halves, gates, and
//! divisors taken as constants.

use std::ops::Range;

use crate::operator_rule::{Execution, OperatorRule, Site};
use crate::{Algebra, AnyRank, Operator, RuleError};

/// Products in equal parts: each of `k` factors that depend on the image gets `1 / k` of its true
/// gradient, so that gradient times input adds up to the product, not to `k` times it.
///
/// For products element by element and of matrices alike. Factors that are constant do not count; one
/// that depends on the image and not on the layer attributed to does, as its part is lost to the layer.
///
/// Source: the *uniform rule* of Achtibat et al., *AttnLRP: Attention-Aware Layer-Wise Relevance
/// Propagation for Transformers*, ICML 2024, <https://arxiv.org/abs/2402.05602>, there by halving the
/// gradient; *LRP-half* of Arras et al., *Evaluating Recurrent Neural Network Explanations*, 2019,
/// <https://arxiv.org/abs/1904.11829>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UniformProduct;

/// Gated products: the signal takes all of the gradient, the gate gets none.
///
/// By default the gate is the factor that [was made by a
/// sigmoid](crate::SiteInput::is_gate) or the like, and where none of them was, or both were, the rule
/// is refused; [`SignalTakesAll::gate_in`] says which slot it is.
///
/// For SiLU, GELU and HardSwish that are written out as products it is `g y / x`, the *identity rule*
/// of AttnLRP; for squeeze-and-excitation and gated units *LRP-all*.
///
/// Source: Arras et al., *Explaining Recurrent Neural Network Predictions in Sentiment Analysis*, 2017,
/// <https://arxiv.org/abs/1706.07206>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignalTakesAll {
    gate: Option<usize>,
}

impl SignalTakesAll {
    /// The gate is the factor that was made by a sigmoid or the like.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gate is the factor in this slot, 0 or 1.
    pub fn gate_in(slot: usize) -> Self {
        Self { gate: Some(slot) }
    }

    fn is_gate(&self, slot: usize, is_gate: bool) -> bool {
        self.gate.map_or(is_gate, |gate| gate == slot)
    }
}

/// [`SignalTakesAll`] where one factor is a gate and the other is none, else [`UniformProduct`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GatedOrUniform;

/// Products with weights of attention as constants: all of the gradient goes to the values where one factor
/// [was made by a softmax](crate::SiteInput::is_attention), else as [`GatedOrUniform`].
///
/// With [`Detached`] on the softmax, the gradient form of CP-LRP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ValuesTakeAll;

/// Quotients with the divisor as a constant: all of the gradient goes to the dividend.
///
/// The last step of a layer normalisation that is written out (`ReduceMean`, `Sub`, `Pow`, `Sqrt`,
/// `Div`), where this is the *LN-rule* that [`ConstantStatistics`](crate::ConstantStatistics) is for a
/// single operator.
///
/// Source: Ali et al., *XAI for Transformers: Better Explanations through Conservative Propagation*,
/// ICML 2022, <https://arxiv.org/abs/2202.07304>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConstantDivisor;

/// An output taken as a constant: no gradient goes further down through the operator.
///
/// On the softmax of attention this is the *AH-rule*: the weights of the mixture are what they are,
/// and what is explained is the mixture of the values.
///
/// Source: Ali et al., *XAI for Transformers*, ICML 2022, <https://arxiv.org/abs/2202.07304>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Detached;

/// The identity rule: an activation with its factor taken as a constant, `g y / x`.
///
/// For activations that are a factor times their input: GELU, SiLU, HardSwish, and ReLU, where it is
/// the true gradient. Gradient times input is then the same behind the activation and before it. Where
/// `x` is 0 it is the true gradient. Refused elsewhere: `y / x` of a sigmoid has a pole.
///
/// Source: Achtibat et al., *AttnLRP*, ICML 2024, <https://arxiv.org/abs/2402.05602>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConstantFactor;

/// Guided backpropagation through any activation: the positive part of the gradient, times the true
/// derivative.
///
/// For ReLU and Clip this is [`GuidedRelu`](crate::GuidedRelu). For others no paper has a formula: this
/// is the one that reduces to it, and who uses it should say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuidedActivation;

/// What is so of a rule that looks at no neighbours: how far it reaches, and its name.
macro_rules! in_place {
    ($name:literal) => {
        fn reach(&self) -> Option<[usize; 2]> {
            Some([0, 0])
        }

        fn name(&self) -> String {
            $name.to_owned()
        }
    };
}

/// What is so of a rule for the operators of one algebra and no others.
macro_rules! stands_on {
    ($algebra:ident) => {
        fn applies_to(&self, op: &Operator<'_>) -> bool {
            is(op, Algebra::$algebra)
        }

        fn check(&self, site: &Site<'_>) -> Result<(), RuleError> {
            site.check_algebra(self.name(), &[Algebra::$algebra])
        }
    };
}

/// Slots of the two factors of a product.
const FACTORS: Range<usize> = 0..2;

fn is(op: &Operator<'_>, algebra: Algebra) -> bool {
    op.algebra() == algebra
}

fn halves(ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
    let factors = (0..ran.slots()).filter(|slot| !ran.is_constant(*slot));
    let part = 1.0 / factors.count().max(1) as f32;
    let gradients = ran.gradient(g).into_iter();
    gradients
        .map(|gradient| gradient.map(|d| d.map(|d| d * part)))
        .collect()
}

fn without(mut gradients: Vec<Option<AnyRank>>, slot: usize) -> Vec<Option<AnyRank>> {
    if let Some(gradient) = gradients.get_mut(slot) {
        *gradient = None;
    }
    gradients
}

impl OperatorRule for UniformProduct {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        halves(ran, g)
    }

    stands_on!(Product);

    in_place!("uniform product");
}

impl OperatorRule for SignalTakesAll {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        let gate = FACTORS
            .into_iter()
            .find(|slot| self.is_gate(*slot, ran.is_gate(*slot)));
        without(ran.gradient(g), gate.unwrap_or(FACTORS.end))
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        is(op, Algebra::Product)
    }

    fn check(&self, site: &Site<'_>) -> Result<(), RuleError> {
        site.check_algebra(self.name(), &[Algebra::Product])?;
        if let Some(slot) = self.gate.filter(|slot| !FACTORS.contains(slot)) {
            let reason =
                format!("its factors are inputs 0 and 1, and the gate is to be input {slot}");
            return Err(site.does_not_fit(self.name(), reason));
        }
        let gates = site.inputs.iter().enumerate();
        let gates = gates.filter(|(slot, input)| self.is_gate(*slot, input.is_gate));
        let reason = match gates.count() {
            1 => return Ok(()),
            0 => "none of its factors was made by a sigmoid or the like",
            _ => "several of its factors were made by a sigmoid or the like",
        };
        let advice = "say which one is the gate with `SignalTakesAll::gate_in`";
        Err(site.does_not_fit(self.name(), format!("{reason}; {advice}")))
    }

    in_place!("signal takes all");
}

impl OperatorRule for GatedOrUniform {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        let mut gates = (0..ran.slots()).filter(|slot| ran.is_gate(*slot));
        match (gates.next(), gates.next()) {
            (Some(gate), None) => without(ran.gradient(g), gate),
            _ => halves(ran, g),
        }
    }

    stands_on!(Product);

    in_place!("signal takes all, else uniform product");
}

impl OperatorRule for ValuesTakeAll {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        let mut weights = (0..ran.slots()).filter(|slot| ran.is_attention(*slot));
        match (weights.next(), weights.next()) {
            (Some(weights), None) => without(ran.gradient(g), weights),
            _ => GatedOrUniform.backward(ran, g),
        }
    }

    stands_on!(Product);

    in_place!("values take all, else signal, else uniform product");
}

impl OperatorRule for ConstantDivisor {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        without(ran.gradient(g), 1)
    }

    stands_on!(Quotient);

    in_place!("constant divisor");
}

impl OperatorRule for Detached {
    fn backward(&self, ran: &Execution, _g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        vec![None; ran.slots()]
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        is(op, Algebra::Softmax)
    }

    in_place!("detached");
}

impl OperatorRule for ConstantFactor {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        let mut gradients = ran.gradient(g);
        let (Some(x), Some(Some(g)), Some(Some(at_zero))) =
            (ran.input(0), g.first(), gradients.first())
        else {
            return gradients;
        };
        let is_zero = x.cast::<1>().equal_scalar(0.0);
        let divisor = x.clone().map(|x| x.mask_fill(is_zero.clone(), 1.0));
        let ratio = ran.outputs[0].clone().zip(divisor, |y, x| y / x);
        let there = ratio.zip(g.clone(), |ratio, g| ratio * g);
        let chosen = there.zip(at_zero.clone(), |there, at_zero| {
            there.mask_where(is_zero, at_zero)
        });
        gradients[0] = Some(chosen);
        gradients
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        is(op, Algebra::Gate)
    }

    fn check(&self, site: &Site<'_>) -> Result<(), RuleError> {
        match site.operator {
            Operator::Relu => Ok(()),
            _ => site.check_algebra(self.name(), &[Algebra::Gate]),
        }
    }

    in_place!("constant factor");
}

impl OperatorRule for GuidedActivation {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        let positive = |g: &AnyRank| g.clone().map(|g| g.clamp_min(0.0));
        let positive: Vec<_> = g.iter().map(|g| g.as_ref().map(positive)).collect();
        ran.gradient(&positive)
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        op.algebra().is_activation()
    }

    in_place!("guided activation");
}
