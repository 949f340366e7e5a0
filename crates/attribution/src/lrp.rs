//! Layer-wise relevance propagation.
//!
//! The score is handed down from layer to layer; at every operator what arrived at an output is
//! shared among its inputs by a [rule](crate::relevance), chosen by
//! [`RelevanceRules`]: Bach, Binder, Montavon, Klauschen, Müller
//! and Samek, *On pixel-wise explanations for non-linear classifier decisions by layer-wise
//! relevance propagation* (2015); for which rule where, Montavon et al., *Layer-wise relevance
//! propagation: an overview* (2019), and Kohlbrenner et al., *Towards best practice in explaining
//! neural network decisions with LRP* (2020).
//!
//! **Start.** What is handed down is gradient times activation where the target is computed: for
//! the logit of a class exactly that logit at that class and 0 elsewhere, for a difference `A:B` the
//! logit of `A` and minus that of `B`, for a sum over a region of a dense map the scores in the region.
//! For a score that is not linear in its layer (a probability, log-sum-exp, a detected box) this is its
//! linear approximation; for a cosine, where it adds up to 0, LRP is refused.
//!
//! **Conservation.** The result states what was handed down and what arrived
//! ([`Attribution::completeness`]). The difference is what biases and the rules' epsilons took;
//! a network without biases under the epsilon rule loses nothing. At a layer beside which other
//! branches run, the sum is the share of its branch.
//!
//! **Biases** absorb their share, also those that are an `Add` behind a `MatMul` or a convolution.
//! **Batch normalisation** after a convolution or a dense layer is merged into its weights, however it is written; one that
//! stands elsewhere (before a ReLU, as in DenseNet) is passed. **Max-pools** give everything to the
//! winner. **LRN** is passed: Zennit has no rule for it and takes its true gradient, by which
//! `EpsilonPlusFlat` on GoogLeNet arrives at 2.5 of a logit of 20.3 without saying so. **Residual
//! sums** are shared in proportion. An operator that no rule covers is an
//! [error](AttributionError::Uncovered) that lists all of them.
//!
//! Programs differ. Zennit's composites are the constructors here, with the same numbers; its
//! "first layer" is the first one of the module tree, here those that no other layer with weights
//! precedes. Captum's `LRP` has epsilon `1e-9` on every layer by default.
//!
//! **Attention, gates, normalisations.** `attn-lrp` and `cp-lrp` have a rule for each
//! ([`RelevanceRules::attn_lrp`], [`RelevanceRules::cp_lrp`]), in the limit of an epsilon of 0, which single precision
//! computes well. The other composites give all to the signal where one factor of a product is a gate (SiLU,
//! squeeze-and-excitation), and refuse what attention is made of by name.
//!
//! **Patents.** iNNvestigate's licence says that a part of LRP is under patent (Fraunhofer), and LXT, the program of
//! AttnLRP's authors, is under a licence that grants no patent rights: look into it before commercial use.

use elucid_graph::{Activation, INPUT};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, MethodOptions, Place};
use crate::options::{Configurable, Numbers, Setting};
use crate::relevance::RelevanceRules;
use crate::saliency::Reduce;
use crate::work::{Context, sums};

/// Layer-wise relevance propagation (Bach et al., 2015): the score, handed down operator by operator
/// by [rules](crate::relevance).
///
/// iNNvestigate's licence says that a part of the method is under patent (Fraunhofer).
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Lrp {
    pub(crate) setup: Setup,
    rules: RelevanceRules,
    /// The bounds of the input that the rules were made with.
    bounds: [Option<Vec<f32>>; 2],
}

/// Constructors by composites of the same names.
macro_rules! by {
    ($($rules:ident),* $(,)?) => {$(
        #[doc = concat!("By [`RelevanceRules::", stringify!($rules), "`].")]
        pub fn $rules() -> Self {
            Self::new(RelevanceRules::$rules())
        }
    )*};
}

impl Lrp {
    /// Down to the input by these rules.
    pub fn new(rules: RelevanceRules) -> Self {
        Self {
            setup: Setup::at(INPUT),
            rules,
            bounds: [None, None],
        }
    }

    by!(
        epsilon,
        epsilon_plus,
        epsilon_plus_flat,
        epsilon_alpha2_beta1,
        epsilon_alpha2_beta1_flat,
        composite_lrp,
    );

    /// By [`RelevanceRules::epsilon_gamma_box`], with the lowest and the highest value of the
    /// network's input, one number for all channels or one for each.
    pub fn epsilon_gamma_box(low: &[f32], high: &[f32]) -> Self {
        Self {
            bounds: [low, high].map(|bound| Some(bound.to_vec())),
            ..Self::new(RelevanceRules::epsilon_gamma_box(low, high))
        }
    }

    /// Down to another layer only.
    pub fn at(mut self, layer: &str) -> Self {
        layer.clone_into(&mut self.setup.layer);
        self
    }

    setup_builders!(batch_size, progress);
}

impl Attributor for Lrp {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::Uncovered`] for operators that the
    /// rules say nothing about, [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        work.target.check_handed_down(self.name())?;
        let model = self.rules.model(work, self.name())?;
        let method = format!("{} ({})", self.name(), self.rules.name());
        let (mut started, mut uses) = (Vec::new(), Vec::new());
        let (values, scores) = work.each_recording(model, |recorded, _rows| {
            let at = &recorded.at_target;
            let start = Activation::from_rows(at.rows() * recorded.gradient.rows(), at)?;
            started.extend(sums(&start.to_array()?));
            let recording = self.rules.prepare(recorded.recording);
            let (from, to) = (&work.target.layer, &work.layer);
            let (arrived, used) = self.rules.hand_down(&method, &recording, from, start, to)?;
            uses = used;
            Ok(arrived)
        })?;
        Ok(Attribution::new(self, work, values, scores, Reduce::Sum)?
            .with_rules(self.rules.name(), uses)
            .expecting(started))
    }
}

crate::options!(Lrp {
    {
        "composite", "which rule where",
        "epsilon, epsilon-plus, epsilon-plus-flat, epsilon-gamma-box, epsilon-alpha2-beta1, \
         epsilon-alpha2-beta1-flat, composite-lrp, attn-lrp, cp-lrp or cp-lrp-gamma",
        |method, _| Some(method.rules.name().to_owned()),
        |method, text| {
            method.rules = RelevanceRules::composite(&text.trim().to_ascii_lowercase())?;
            Some(())
        }
    }
    {
        "low",
        "for epsilon-gamma-box: the lowest value of the input; by default what black becomes as the \
         model's input",
        "with high, a number, or one for each channel between commas",
        |method, _| method.bounds[0].as_deref().map(Numbers::join),
        |method, text| method.bound(0, text)
    }
    {
        "high",
        "for epsilon-gamma-box: the highest value of the input; by default what white becomes as the \
         model's input",
        "with low, a number, or one for each channel between commas",
        |method, _| method.bounds[1].as_deref().map(Numbers::join),
        |method, text| method.bound(1, text)
    }
});

impl Lrp {
    /// Sets the lowest or the highest value of the input.
    fn bound(&mut self, which: usize, text: &str) -> Option<()> {
        self.bounds[which] = Some(Numbers::read(text)?.0);
        if let [Some(low), Some(high)] = &self.bounds {
            self.rules = RelevanceRules::epsilon_gamma_box(low, high);
        }
        Some(())
    }
}

pub(crate) const METHOD: Method = Method::new(
    "lrp",
    "Layer-wise relevance propagation",
    "Bach et al. 2015",
    build,
)
.at(Place::AnyLayer)
.needs_model()
.sums_to("the score, less what biases take")
.options(Lrp::OPTIONS)
.also(&["layer-wise-relevance-propagation"]);

/// Bounds belong to one composite, and come in pairs.
fn build(options: &MethodOptions) -> Result<Box<dyn Attributor>, AttributionError> {
    let [composite, low, high] = ["composite", "low", "high"].map(|option| options.get(option));
    let refused = |option: &str, value: &str, expected: &str| {
        Err(AttributionError::OptionValue {
            option: option.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        })
    };
    let name = composite.map(|name| name.trim().to_ascii_lowercase());
    match (low, high) {
        (Some(_), Some(_)) if name.as_deref() != Some("epsilon-gamma-box") => {
            let expected = "epsilon-gamma-box, the only one with low and high";
            refused("composite", name.as_deref().unwrap_or(USUAL), expected)
        }
        (Some(low), None) => refused("low", low, "both low and high, or neither"),
        (None, Some(high)) => refused("high", high, "both low and high, or neither"),
        _ => options.apply(Lrp::epsilon_plus_flat()),
    }
}

/// The composite unless one is named.
const USUAL: &str = "epsilon-plus-flat";
