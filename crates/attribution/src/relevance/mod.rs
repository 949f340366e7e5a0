//! Relevance: what is handed from an operator's output to its inputs in proportion to what they
//! contributed.
//!
//! A [`RelevanceRule`] says how one operator shares the relevance that arrived at its output among
//! its inputs. [`RelevanceRules`] says which operator gets which rule; its constructors are the
//! usual composites. [`Lrp`](crate::Lrp) and [`ExcitationBackprop`](crate::ExcitationBackprop) hand
//! relevance down by them.
//!
//! | rule | operators | share of input `i` |
//! | --- | --- | --- |
//! | [`Epsilon`] | weighted | `x_i w_ij / (y_j + epsilon)`, bias in the denominator |
//! | [`ZPlus`] | weighted | positive contributions only |
//! | [`AlphaBeta`] | weighted | positive contributions times alpha, negative times beta |
//! | [`Gamma`] | weighted | contributions of the output's sign favoured |
//! | [`Flat`] | weighted | the same for every input |
//! | [`WSquare`] | weighted | `w_ij^2` |
//! | [`ZBox`] | weighted | of inputs between known bounds: pixels |
//! | [`Excitation`] | weighted | `x_i w+_ij`, without bias and without an epsilon |
//! | [`Norm`] | means and sums | `x_i` times its factor, over the output |
//! | [`Branches`] | sums of two branches | as these, scaled by the branches' totals |
//! | [`Difference`] | differences of two branches | all to what is subtracted from |
//! | [`Product`] | products of activations | all to the signal of a gate, else equal parts |
//! | [`Quotient`] | quotients of activations | all to the dividend |
//! | [`Normalization`] | layer normalisation and the like | linear with the deviation as a constant |
//! | [`Softmax`] | softmax | `s_i (R_i - a_i sum R)` |
//! | [`Attention`] | attention that is one operator | as these, inside |
//! | [`Identity`] | activations | everything, less what a bias inside absorbs |
//! | [`Pass`] | of one input, element by element | everything |
//! | [`Winner`] | maxima, and operators that only move numbers | everything to where the number came from |
//!
//! Weighted operators are `Conv`, `Gemm` and `MatMul` with constant weights. `w_ij` is the weight from
//! input `i` to output `j`. A constant added to what they make, one number for each channel, is their bias:
//! exporters write a dense layer as `MatMul` and `Add`, and taken apart the bias would absorb nothing. A
//! batch normalisation that follows, one operator or written out, is merged into weights and bias unless
//! [`RelevanceRules::keeping_batch_norm`] says otherwise.
//!
//! # A rule of your own
//!
//! ```
//! use elucid_attribution::relevance::{RelevanceRule, RelevanceRules};
//! use elucid_attribution::{AttributionError, Lrp};
//! use elucid_graph::{Activation, Step};
//! use elucid_rules::OpKind;
//!
//! /// Treats a softmax as if it were not there.
//! #[derive(Debug)]
//! struct Through;
//!
//! impl RelevanceRule for Through {
//!     fn name(&self) -> String {
//!         "through".to_owned()
//!     }
//!
//!     fn propagate(
//!         &self,
//!         step: &Step<'_>,
//!         relevance: &[Option<Activation>],
//!     ) -> Result<Vec<Option<Activation>>, AttributionError> {
//!         let mut slots = vec![None; step.inputs()];
//!         slots[0] = relevance[0].clone();
//!         Ok(slots)
//!     }
//! }
//!
//! let rules = RelevanceRules::epsilon_plus().on(OpKind::Softmax, Through);
//! let method = Lrp::new(rules);
//! ```

/// The name of a rule that has no parameters.
macro_rules! called {
    ($name:literal) => {
        fn name(&self) -> String {
            $name.to_owned()
        }
    };
}

mod alpha_beta;
pub(crate) mod attention;
mod branches;
mod difference;
mod epsilon;
mod excitation;
mod flat;
mod gamma;
mod identity;
mod norm;
mod normalization;
mod pass;
mod product;
mod quotient;
pub(crate) mod rules;
mod share;
pub(crate) mod softmax;
mod w_square;
mod winner;
mod z_box;
mod z_plus;

use std::fmt::Debug;
use std::sync::Arc;

use elucid_graph::{Activation, Step};

use crate::error::AttributionError;

pub use alpha_beta::AlphaBeta;
pub use attention::Attention;
pub use branches::Branches;
pub use difference::Difference;
pub use epsilon::Epsilon;
pub use excitation::Excitation;
pub use flat::Flat;
pub use gamma::Gamma;
pub use identity::Identity;
pub use norm::Norm;
pub use normalization::Normalization;
pub use pass::Pass;
pub use product::Product;
pub use quotient::Quotient;
pub use rules::RelevanceRules;
pub use softmax::Softmax;
pub use w_square::WSquare;
pub use winner::Winner;
pub use z_box::ZBox;
pub use z_plus::ZPlus;

/// What of the relevance goes to each input slot of an operator; `None` where nothing does.
pub type Shares = Result<Vec<Option<Activation>>, AttributionError>;

/// How one operator shares relevance among its inputs.
pub trait RelevanceRule: Debug + Send + Sync {
    /// A name for messages and reports.
    fn name(&self) -> String;

    /// Whether the rule can say anything about this operator; [`RelevanceRules`] skips it where it
    /// cannot. Any operator unless overridden.
    fn covers(&self, step: &Step<'_>) -> bool {
        let _ = step;
        true
    }

    /// Whether it ever hands anything to this input slot. What only computes a gate that the rule takes as a
    /// constant is not asked about, and need not be covered. All slots unless overridden.
    fn hands_to(&self, step: &Step<'_>, slot: usize) -> bool {
        let _ = (step, slot);
        true
    }

    /// Refuses parameters out of range, before anything is computed.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Parameter`].
    fn check(&self) -> Result<(), AttributionError> {
        Ok(())
    }

    /// What goes to each input slot, shaped like the input, given what arrived at each output,
    /// shaped like the output; `None` where nothing did.
    ///
    /// Slots that are not [live](Step::is_live) may be left `None`. Relevance is conserved when
    /// what goes to the inputs adds up to what arrived.
    ///
    /// # Errors
    ///
    /// Whatever the rule meets; [`AttributionError::Graph`] from the step's own functions.
    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares;
}

impl<R: RelevanceRule + ?Sized> RelevanceRule for Arc<R> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn covers(&self, step: &Step<'_>) -> bool {
        (**self).covers(step)
    }

    fn hands_to(&self, step: &Step<'_>, slot: usize) -> bool {
        (**self).hands_to(step, slot)
    }

    fn check(&self) -> Result<(), AttributionError> {
        (**self).check()
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        (**self).propagate(step, relevance)
    }
}
