use elucid_graph::{Activation, Step};
use elucid_rules::Algebra;

use super::RelevanceRule;
use super::Shares;
use super::share::{EPSILON, Stabiliser, through};
use crate::error::AttributionError;

/// Shares of a mean or a sum in proportion to what each input contributes: `R_i = x_i sum_j d_ij
/// R_j / y_j`, where `d_ij` is the derivative of output `j` by input `i`.
///
/// For average pools, and for sums of branches (residual connections): each gets `x_i / y`. In a sum
/// of one activation and constants, the constants are a bias, and the activation gets everything.
/// `1e-6` keeps `y` from 0, or, [guarded](Norm::guarded), nothing is handed on where `y` is 0.
///
/// Operators: [`Algebra::Linear`] and [`Algebra::Sum`], among them `AveragePool`, `ReduceMean`, `Resize`,
/// `Add`, `Sub`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    stabiliser: Stabiliser,
    absorbs: bool,
}

impl Norm {
    /// With another epsilon, above 0.
    pub fn new(epsilon: f32) -> Self {
        Self {
            stabiliser: Stabiliser::Epsilon(epsilon),
            absorbs: false,
        }
    }

    /// Without an epsilon: what excitation backprop needs to conserve mass exactly.
    pub fn guarded() -> Self {
        Self {
            stabiliser: Stabiliser::Guard,
            absorbs: false,
        }
    }

    /// Constants absorb their share instead, which is lost: those of a sum, such as learned positions, and
    /// the offset of a batch normalisation. Covers [`Algebra::Affine`] and [`Algebra::Mixture`], too, and
    /// hands factors that are constant nothing. AttnLRP's treatment of everything that is linear.
    #[must_use]
    pub fn absorbing(mut self) -> Self {
        self.absorbs = true;
        self
    }

    pub(super) fn stabilised(stabiliser: Stabiliser) -> Self {
        Self {
            stabiliser,
            absorbs: false,
        }
    }
}

impl Default for Norm {
    fn default() -> Self {
        Self::new(EPSILON)
    }
}

/// The only input slot that depends on the image, if there is only one.
pub(super) fn only_variable(step: &Step<'_>) -> Option<usize> {
    let mut slots = (0..step.inputs()).filter(|&slot| !step.is_constant(slot));
    match (slots.next(), slots.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// All of the relevance to one slot.
pub(super) fn all_to(
    step: &Step<'_>,
    slot: usize,
    relevance: Activation,
) -> Vec<Option<Activation>> {
    let mut slots = vec![None; step.inputs()];
    if let Some(only) = slots.get_mut(slot) {
        *only = Some(relevance);
    }
    slots
}

impl RelevanceRule for Norm {
    fn name(&self) -> String {
        match self.absorbs {
            true => "norm, constants absorb".to_owned(),
            false => "norm".to_owned(),
        }
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        match step.algebra() {
            Algebra::Linear | Algebra::Sum => true,
            Algebra::Affine | Algebra::Mixture => self.absorbs,
            _ => false,
        }
    }

    fn check(&self) -> Result<(), AttributionError> {
        self.stabiliser.check()
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        let Some(Some(relevance)) = relevance.first() else {
            return Ok(vec![None; step.inputs()]);
        };
        let passes_constants = step.algebra() == Algebra::Sum && !self.absorbs;
        if let (true, Some(slot)) = (passes_constants, only_variable(step))
            && step.input(slot).map(|x| x.shape()) == Some(relevance.shape())
        {
            return Ok(all_to(step, slot, relevance.clone()));
        }
        through(
            step,
            &[Some(relevance.clone())],
            self.stabiliser,
            |quotient| {
                let inputs = (0..step.inputs()).map(|slot| step.input(slot)).collect();
                step.pullback(inputs, quotient)
            },
        )
    }
}
