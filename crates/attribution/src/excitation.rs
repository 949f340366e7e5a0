//! Excitation backprop, plain and contrastive.
//!
//! The probability that a neuron won, handed down from the class to a layer: of each neuron's
//! probability an input gets the share `x_i w+_ij / sum_i x_i w+_ij` (no bias). Zhang, Lin, Brandt,
//! Shen and Sclaroff, *Top-down neural attention by excitation backprop* (2016). It starts with 1 at
//! the class and stays 1 in sum at every layer that all paths pass, as long as no response is 0;
//! the result states the sum ([`Attribution::completeness`]).
//!
//! **Contrastive**: the same with the classifier's weights negated says what speaks for all other
//! classes; at the *contrast layer*, by default the input of the classifier, it is subtracted, and
//! the difference is handed down to the layer. The map is the positive part of the sum over
//! channels; nothing is clamped before.
//!
//! **Rules** ([`RelevanceRules::excitation_backprop`]): [`Excitation`](crate::relevance::Excitation)
//! on convolutions and dense layers; average pools and residual sums in proportion to what each
//! input contributes; differences to what is subtracted from; max-pools to the winner; activations, normalisations and
//! LRN copy; where one factor of a product is a gate the signal gets everything. Weights of attention are weights above
//! 0 like others: a value gets `v_j sum_i A_ij p_i / sum_j A_ij v_j`, and queries, keys and the softmax nothing, in one
//! operator and written out alike. No paper has this rule; it is that of equation 3 for the product with `A`. All ratios
//! are guarded (0 / 0 gives 0), so that no mass is lost to an epsilon.
//!
//! The rules need inputs of 0 and more: at the images, which are signed after their mean was
//! subtracted, shares are no probabilities. Asking for a layer below the first convolution is
//! therefore an error unless [`ExcitationBackprop::allow_input`] is called. In networks with layers that
//! no ReLU follows (MobileNetV2's bottlenecks, SiLU and HardSwish, which go below 0; nearly all layers and values of a
//! transformer) operators on the way read signed numbers, too: shares of a sum that almost cancels are huge, and below such layers they no longer
//! add up to 1. Such layers are named in an error, unless [`ExcitationBackprop::allow_signed`] is called. LRP's
//! [`ZPlus`](crate::relevance::ZPlus), which splits inputs by their sign, is right there.
//!
//! **Start.** The gradient of the target where it is computed: 1 at the class for a logit, 1 and -1
//! for a difference.
//!
//! Programs differ. TorchRay adds `1e-20` to the denominators, crashes on LRN (with LRN's true
//! gradient the mass at GoogLeNet's conv1 is 0.13 instead of 1; the Caffe original copies), and
//! leaves residual sums to the user. Its map of plain excitation backprop is the sum over channels,
//! as here, though its documentation speaks of a clamp. The Caffe page of the method calls it
//! patent-pending (Adobe): look into it before commercial use.

use burn::tensor::Tensor;
use elucid_graph::{Activation, LongRows, Recording, Step};
use elucid_rules::RuleUse;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::FEATURES;
use crate::options::Configurable;
use crate::relevance::RelevanceRules;
use crate::saliency::Reduce;
use crate::work::{Context, sums};

/// What both methods have in common, for structs with the fields `setup`, `rules`, `allow_input` and `allow_signed`; in
/// braces are options of its own.
macro_rules! excites {
    ($method:ident { $($own:tt)* }) => {
        impl $method {
            /// By other rules than [`RelevanceRules::excitation_backprop`]: to cover an operator that those
            /// do not.
            pub fn relevance_rules(mut self, rules: RelevanceRules) -> Self {
                self.rules = rules;
                self
            }

            setup_builders!(batch_size, progress);

            fn allowed(&self) -> Allowed {
                Allowed {
                    input: self.allow_input,
                    signed: self.allow_signed,
                }
            }
        }

        crate::options!($method {
            $($own)*
            {
                /// Whether it goes down through the first convolution to the signed input if asked to; not by
                /// default.
                allow_input: bool as "allow-input",
                "whether it goes down through the first convolution to signed inputs", "true or false"
            }
            {
                /// Whether it goes down through layers that read numbers below 0, such as those behind SiLU and
                /// HardSwish; not by default.
                allow_signed: bool as "allow-signed",
                "whether it goes down through layers that read numbers below 0", "true or false"
            }
        });
    };
}

/// Excitation backprop (Zhang et al., 2016): the probability that a neuron won, handed down from the
/// class to a layer.
///
/// The Caffe page of the method calls it patent-pending (Adobe).
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct ExcitationBackprop {
    pub(crate) setup: Setup,
    rules: RelevanceRules,
    allow_input: bool,
    allow_signed: bool,
}

impl ExcitationBackprop {
    /// Down to a layer: one whose numbers are 0 or more.
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
            rules: RelevanceRules::excitation_backprop(),
            allow_input: false,
            allow_signed: false,
        }
    }
}

excites!(ExcitationBackprop {});

/// What the rules may be used on, though it is not what they were made for.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    input: bool,
    signed: bool,
}

impl Allowed {
    /// Refuses a layer below the first weighted operator.
    fn check_layer(
        self,
        work: &Context<'_>,
        recording: &Recording<'_>,
    ) -> Result<(), AttributionError> {
        let steps = recording.steps(&work.target.layer, &[&work.layer])?;
        match !self.input && steps.iter().any(Step::is_first) {
            true => Err(AttributionError::Parameter {
                parameter: "the layer of excitation backprop",
                value: format!("\"{}\"", work.layer),
                expected: "a layer after the first convolution, where activations are 0 or more; \
                           allow_input(true) goes down to signed inputs all the same",
            }),
            false => Ok(()),
        }
    }

    /// Refuses weighted operators, but for the first, and attention that read numbers below 0.
    fn check_signs(
        self,
        method: &'static str,
        rules: &RelevanceRules,
        work: &Context<'_>,
        recording: &Recording<'_>,
    ) -> Result<(), AttributionError> {
        if self.signed {
            return Ok(());
        }
        let steps = rules.reached(recording, &work.target.layer, &work.layer)?;
        let signed = steps
            .iter()
            .filter(|step| shared_out(step).is_some_and(|x| is_signed(&x)));
        let nodes: Vec<String> = signed.map(Step::label).collect();
        match nodes.is_empty() {
            true => Ok(()),
            false => Err(AttributionError::Signed { method, nodes }),
        }
    }
}

/// The numbers among which an operator shares out what arrives, in the proportion of weights above 0; `None` for one
/// that hands it on otherwise.
fn shared_out(step: &Step<'_>) -> Option<Tensor<2>> {
    if step.is_absorbed() {
        return None;
    }
    if step.is_weighted() {
        return step.input(0).filter(|_| !step.is_first()).map(|x| x.rows());
    }
    if let Some(heads) = step.heads() {
        let [images, ..] = heads.v.dims();
        return Some(heads.v.reshape([images as i32, -1]));
    }
    let site = step.site();
    let values = (0..site.len()).filter(|&slot| !site[slot].is_attention);
    let mut values = values.filter(|_| site.iter().any(|factor| factor.is_attention));
    Some(step.input(values.next()?)?.rows())
}

/// Whether there are numbers below 0 that are more than rounding.
fn is_signed(numbers: &Tensor<2>) -> bool {
    let least: f32 = numbers.clone().row_minima().min().into_scalar();
    if least >= 0.0 {
        // As mostly: nothing else has to be read.
        return false;
    }
    let most: f32 = numbers.clone().abs().row_maxima().max().into_scalar();
    least < -ROUNDING * most
}

/// Of numbers that are 0 in exact arithmetic, in parts of the largest.
const ROUNDING: f32 = 1e-6;

impl Attributor for ExcitationBackprop {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::Parameter`] for a layer below the
    /// first convolution, [`AttributionError::Signed`] for layers that read numbers below 0,
    /// [`AttributionError::Uncovered`] for operators that the rules say nothing
    /// about, [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        work.target.check_units(self.name())?;
        let model = self.rules.model(work, self.name())?;
        let (mut started, mut uses) = (Vec::new(), Vec::new());
        let (values, scores) = work.each_recording(model, |recorded, _rows| {
            self.allowed().check_layer(work, &recorded.recording)?;
            started.extend(sums(&recorded.gradient.to_array()?));
            let recording = self.rules.prepare(recorded.recording);
            let (from, to) = (&work.target.layer, &work.layer);
            let seed = recorded.gradient;
            let (arrived, used) = self
                .rules
                .hand_down(self.name(), &recording, from, seed, to)?;
            self.allowed()
                .check_signs(METHOD.name, &self.rules, work, &recording)?;
            uses = used;
            Ok(arrived)
        })?;
        Ok(Attribution::new(self, work, values, scores, Reduce::Sum)?
            .with_rules(self.rules.name(), uses)
            .expecting(started))
    }
}

/// Contrastive excitation backprop (Zhang et al., 2016): what speaks for the class less what speaks
/// for all others.
///
/// The Caffe page of the method calls it patent-pending (Adobe).
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct ContrastiveExcitationBackprop {
    pub(crate) setup: Setup,
    rules: RelevanceRules,
    contrast_layer: Option<String>,
    allow_input: bool,
    allow_signed: bool,
}

impl ContrastiveExcitationBackprop {
    /// Down to a layer: one whose numbers are 0 or more.
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
            rules: RelevanceRules::excitation_backprop(),
            contrast_layer: None,
            allow_input: false,
            allow_signed: false,
        }
    }

    /// Where the contrast is taken: a layer between the target and the one attributed to. The
    /// input of the last operator with weights by default, which for GoogLeNet is `pool5`
    /// flattened; TorchRay takes `classifier.4` of VGG16 and `avgpool` of ResNet50.
    pub fn contrast_layer(mut self, layer: &str) -> Self {
        self.contrast_layer = Some(layer.to_owned());
        self
    }
}

excites!(ContrastiveExcitationBackprop {
    {
        "contrast-layer",
        "where what speaks for other classes is subtracted; the classifier's input unless given",
        "a layer",
        |method, _| method.contrast_layer.clone(),
        |method, text| {
            method.contrast_layer = Some(text.to_owned());
            Some(())
        }
    }
});

impl ContrastiveExcitationBackprop {
    /// The layer of the contrast, and the layer that the classifier computes.
    fn contrast(
        &self,
        work: &Context<'_>,
        recording: &Recording<'_>,
    ) -> Result<(String, String), AttributionError> {
        let (top, layer) = (&work.target.layer, &work.layer);
        let refused = |value: &str, expected| AttributionError::Parameter {
            parameter: "the contrast layer",
            value: format!("\"{value}\""),
            expected,
        };
        let steps = recording.steps(top, &[layer])?;
        let classifier = steps
            .iter()
            .find(|step| step.is_weighted())
            .ok_or_else(|| refused(layer, "a classifier with weights above the layer"))?;
        let contrast = match &self.contrast_layer {
            Some(name) => work.network.layer(name)?,
            None => classifier.input_layer(0).unwrap_or(layer).to_owned(),
        };
        let between = "a layer between the classifier's weights and the layer attributed to";
        let above = match recording.value(&contrast) {
            Ok(_) => recording.steps(top, &[&contrast])?,
            Err(_) => Vec::new(),
        };
        if !above.iter().any(|step| step.layer() == classifier.layer()) {
            return Err(refused(&contrast, between));
        }
        if contrast != *layer && recording.steps(&contrast, &[layer])?.is_empty() {
            return Err(refused(&contrast, between));
        }
        Ok((contrast, classifier.layer().to_owned()))
    }
}

impl Attributor for ContrastiveExcitationBackprop {
    crate::stated!(CONTRASTIVE);

    /// As [`ExcitationBackprop`]; [`AttributionError::Parameter`] also for a contrast layer that
    /// does not lie between the classifier and the layer.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        work.target.check_units(self.name())?;
        let model = self.rules.model(work, self.name())?;
        let mut uses = Vec::new();
        let (values, scores) = work.each_recording(model, |recorded, _rows| {
            self.allowed().check_layer(work, &recorded.recording)?;
            let recording = self.rules.prepare(recorded.recording);
            let (top, seed) = (&work.target.layer, recorded.gradient);
            let (contrast, classifier) = self.contrast(work, &recording)?;
            let (method, rules) = (self.name(), &self.rules);
            let against = rules.hand_down_against(
                method,
                &recording,
                top,
                seed.clone(),
                &contrast,
                &classifier,
            )?;
            let (for_it, above) = rules.hand_down(method, &recording, top, seed, &contrast)?;
            let difference = Activation::from_rows(for_it.rows() - against.rows(), &for_it)?;
            let (arrived, below) =
                rules.hand_down(method, &recording, &contrast, difference, &work.layer)?;
            self.allowed()
                .check_signs(CONTRASTIVE.name, rules, work, &recording)?;
            uses = above;
            for used in below {
                RuleUse::count(&mut uses, &used.rule, used.operators);
            }
            Ok(arrived)
        })?;
        Ok(
            Attribution::new(self, work, values, scores, Reduce::Positive)?
                .with_rules(self.rules.name(), uses),
        )
    }
}

pub(crate) const METHOD: Method = Method::new(
    "excitation-backprop",
    "Excitation backprop",
    "Zhang et al. 2016",
    |options| options.apply(ExcitationBackprop::at(FEATURES)),
)
.at(Place::SpatialLayer)
.needs_model()
.sums_to("1")
.options(ExcitationBackprop::OPTIONS)
.also(&["ebp"]);

pub(crate) const CONTRASTIVE: Method = Method::new(
    "contrastive-excitation-backprop",
    "Contrastive excitation backprop",
    "Zhang et al. 2016",
    |options| options.apply(ContrastiveExcitationBackprop::at(FEATURES)),
)
.at(Place::SpatialLayer)
.needs_model()
.options(ContrastiveExcitationBackprop::OPTIONS)
.also(&["contrastive-ebp", "c-ebp"]);
