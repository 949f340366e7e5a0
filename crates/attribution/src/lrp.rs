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
//! iNNvestigate's licence says that a part of LRP is under patent (Fraunhofer): look into it before
//! commercial use.

use elucid_graph::{Activation, INPUT, ImageBatch};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, MethodOptions, Place, option};
use crate::network::Network;
use crate::relevance::RelevanceRules;
use crate::saliency::Reduce;
use crate::target::Target;
use crate::work::{Work, sums};

/// Layer-wise relevance propagation (Bach et al., 2015): the score, handed down operator by operator
/// by [rules](crate::relevance).
///
/// iNNvestigate's licence says that a part of the method is under patent (Fraunhofer).
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Lrp {
    pub(crate) setup: Setup,
    rules: RelevanceRules,
}

impl Lrp {
    /// Down to the input by these rules.
    pub fn new(rules: RelevanceRules) -> Self {
        Self {
            setup: Setup::at(INPUT),
            rules,
        }
    }

    /// By [`RelevanceRules::epsilon`].
    pub fn epsilon() -> Self {
        Self::new(RelevanceRules::epsilon())
    }

    /// By [`RelevanceRules::epsilon_plus`].
    pub fn epsilon_plus() -> Self {
        Self::new(RelevanceRules::epsilon_plus())
    }

    /// By [`RelevanceRules::epsilon_plus_flat`].
    pub fn epsilon_plus_flat() -> Self {
        Self::new(RelevanceRules::epsilon_plus_flat())
    }

    /// By [`RelevanceRules::epsilon_gamma_box`], with the lowest and the highest value of the
    /// network's input, one number for all channels or one for each.
    pub fn epsilon_gamma_box(low: &[f32], high: &[f32]) -> Self {
        Self::new(RelevanceRules::epsilon_gamma_box(low, high))
    }

    /// By [`RelevanceRules::epsilon_alpha2_beta1`].
    pub fn epsilon_alpha2_beta1() -> Self {
        Self::new(RelevanceRules::epsilon_alpha2_beta1())
    }

    /// By [`RelevanceRules::epsilon_alpha2_beta1_flat`].
    pub fn epsilon_alpha2_beta1_flat() -> Self {
        Self::new(RelevanceRules::epsilon_alpha2_beta1_flat())
    }

    /// By [`RelevanceRules::composite_lrp`].
    pub fn composite_lrp() -> Self {
        Self::new(RelevanceRules::composite_lrp())
    }

    /// Down to another layer only.
    pub fn at(mut self, layer: &str) -> Self {
        layer.clone_into(&mut self.setup.layer);
        self
    }

    setup_builders!(batch_size, progress);
}

impl Attributor for Lrp {
    fn name(&self) -> &'static str {
        "lrp"
    }

    /// Besides the errors of all methods: [`AttributionError::Uncovered`] for operators that the
    /// rules say nothing about, [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target.
    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        self.rules.check()?;
        let work = Work::new(network, images, &target, &self.setup)?;
        work.target.check_handed_down(self.name())?;
        let model = work.model(self.name())?;
        self.rules.check_matches(model)?;
        let method = format!("{} ({})", self.name(), self.rules.name());
        let (mut started, mut uses) = (Vec::new(), Vec::new());
        let (values, scores) =
            work.each_recording(model, &self.setup.progress, |recorded, _rows| {
                let at = &recorded.at_target;
                let start = Activation::from_rows(at.rows() * recorded.gradient.rows(), at)?;
                started.extend(sums(&start.to_array()?));
                let recording = self.rules.prepare(recorded.recording);
                let (from, to) = (&work.target.layer, &work.layer);
                let (arrived, used) = self.rules.hand_down(&method, &recording, from, start, to)?;
                uses = used;
                Ok(arrived)
            })?;
        Ok(
            Attribution::new(self.name(), &work, values, scores, Reduce::Sum)
                .with_rules(self.rules.name(), uses)
                .expecting(started),
        )
    }
}

/// Numbers between commas.
#[derive(Debug)]
struct Numbers(Vec<f32>);

impl std::str::FromStr for Numbers {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<_, _> = text.split(',').map(|part| part.trim().parse()).collect();
        numbers.map(Self)
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
.options(&[
    option(
        "composite",
        "epsilon-plus-flat",
        "which rule where: epsilon, epsilon-plus, epsilon-plus-flat, epsilon-gamma-box, \
                   epsilon-alpha2-beta1, epsilon-alpha2-beta1-flat or composite-lrp",
    ),
    option(
        "low",
        "",
        "for epsilon-gamma-box: the lowest value of the input, one number or one for each \
                   channel, between commas; by default what black becomes as the model's input",
    ),
    option(
        "high",
        "",
        "for epsilon-gamma-box: the highest value of the input, as low; by default what \
                   white becomes",
    ),
]);

fn build(options: &MethodOptions) -> Result<Box<dyn Attributor>, AttributionError> {
    let refused = |option: &str, value: String, expected: String| AttributionError::OptionValue {
        option: option.to_owned(),
        value,
        expected,
    };
    let name: String = options
        .get("composite", "a name")?
        .unwrap_or_else(|| "epsilon-plus-flat".to_owned());
    let name = name.trim().to_ascii_lowercase();
    let numbers = "numbers between commas";
    let low = options.get::<Numbers>("low", numbers)?;
    let high = options.get::<Numbers>("high", numbers)?;
    let rules = match (low, high) {
        (None, None) => RelevanceRules::composite(&name)
            .ok_or_else(|| refused("composite", name, RelevanceRules::COMPOSITES.join(", ")))?,
        (Some(Numbers(low)), Some(Numbers(high))) if name == "epsilon-gamma-box" => {
            RelevanceRules::epsilon_gamma_box(&low, &high)
        }
        (Some(_), Some(_)) => {
            let expected = "epsilon-gamma-box, the only one with low and high".to_owned();
            return Err(refused("composite", name, expected));
        }
        (low, _) => {
            let (given, value) = match low {
                Some(Numbers(low)) => ("low", format!("{low:?}")),
                None => ("high", "given".to_owned()),
            };
            let expected = "both low and high, or neither".to_owned();
            return Err(refused(given, value, expected));
        }
    };
    let setup = options.setup();
    Ok(Box::new(Lrp { setup, rules }))
}
