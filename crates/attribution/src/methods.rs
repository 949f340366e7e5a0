//! The table of all methods, by name.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use elucid_graph::INPUT;
use elucid_rules::Rules;

use crate::attributor::{Attributor, BATCH_SIZE, Setup};
use crate::by_name::{self, OptionTexts};
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::network::FEATURES;
use crate::{
    blur_ig, cam, coalitions, deconvnet, deep_lift, excitation, gradient, gradient_shap,
    guided_backprop, guided_grad_cam, guided_ig, integrated_gradients, linear, lrp, perturbation,
    scaled, smooth_grad,
};
use elucid_progress::{Progress, Reporter};

/// Every method, in the order of the documentation.
pub const METHODS: &[&Method] = &[
    &gradient::METHOD,
    &linear::METHOD,
    &smooth_grad::SMOOTH_GRAD,
    &smooth_grad::SQUARE_GRAD,
    &smooth_grad::VAR_GRAD,
    &guided_backprop::METHOD,
    &deconvnet::METHOD,
    &integrated_gradients::METHOD,
    &blur_ig::METHOD,
    &guided_ig::METHOD,
    &gradient_shap::METHOD,
    &deep_lift::METHOD,
    &cam::grad_cam::METHOD,
    &cam::grad_cam_plus_plus::METHOD,
    &cam::hi_res_cam::METHOD,
    &cam::layer_cam::METHOD,
    &cam::x_grad_cam::METHOD,
    &cam::eigen_cam::METHOD,
    &cam::score_cam::METHOD,
    &cam::ablation_cam::METHOD,
    &guided_grad_cam::METHOD,
    &excitation::METHOD,
    &excitation::CONTRASTIVE,
    &lrp::METHOD,
    &perturbation::rise::METHOD,
    &perturbation::occlusion::METHOD,
    &perturbation::feature_ablation::METHOD,
    &perturbation::extremal::METHOD,
    &perturbation::meaningful::METHOD,
    &coalitions::lime::METHOD,
    &coalitions::kernel_shap::METHOD,
    &coalitions::shapley_sampling::METHOD,
    &coalitions::sobol::METHOD,
    &coalitions::hsic::METHOD,
];

/// What a method attributes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The input only.
    Input,
    /// Any layer; the input unless one is named.
    AnyLayer,
    /// A layer with channels and positions: `[N, C, H, W]`, or `[N, H, W, C]` and tokens on a known
    /// grid, which are presented as such; [`FEATURES`] unless one is named.
    SpatialLayer,
}

/// One option of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodOption {
    /// Its name, without dashes in front.
    pub name: &'static str,
    /// Its default, as one would write it; empty where it follows from the network or the image.
    pub default: &'static str,
    /// What it means, and what it may be.
    pub help: &'static str,
}

/// An option.
pub(crate) const fn option(
    name: &'static str,
    default: &'static str,
    help: &'static str,
) -> MethodOption {
    MethodOption {
        name,
        default,
        help,
    }
}

/// A method by name: what it needs, its options and where it comes from.
#[derive(Clone, Copy)]
pub struct Method {
    /// The name.
    pub name: &'static str,
    /// The name in full.
    pub title: &'static str,
    /// What it attributes to.
    pub place: Place,
    /// Whether it needs a [`Model`](elucid_vision::Model), rather than any differentiable closure.
    pub needs_model: bool,
    /// Whether gradients on the way may be replaced by [`Rules`].
    pub takes_rules: bool,
    /// Whether it draws random numbers, so that it takes a seed.
    pub random: bool,
    /// What its attributions add up to, in words; empty where nothing is promised.
    pub sums_to: &'static str,
    /// Options of its own.
    pub options: &'static [MethodOption],
    /// Who published it.
    pub reference: &'static str,
    pub(crate) build: Build,
}

/// Makes a method under options.
pub(crate) type Build = fn(&MethodOptions) -> Result<Box<dyn Attributor>, AttributionError>;

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Entries of the table: what is not said is not so.
impl Method {
    /// A method at the input, without options of its own.
    pub(crate) const fn new(
        name: &'static str,
        title: &'static str,
        reference: &'static str,
        build: Build,
    ) -> Self {
        Self {
            name,
            title,
            place: Place::Input,
            needs_model: false,
            takes_rules: false,
            random: false,
            sums_to: "",
            options: &[],
            reference,
            build,
        }
    }

    pub(crate) const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub(crate) const fn needs_model(self) -> Self {
        Self {
            needs_model: true,
            ..self
        }
    }

    pub(crate) const fn takes_rules(self) -> Self {
        Self {
            takes_rules: true,
            ..self
        }
    }

    pub(crate) const fn random(self) -> Self {
        Self {
            random: true,
            ..self
        }
    }

    pub(crate) const fn sums_to(self, sums_to: &'static str) -> Self {
        Self { sums_to, ..self }
    }

    pub(crate) const fn options(self, options: &'static [MethodOption]) -> Self {
        Self { options, ..self }
    }
}

impl Method {
    /// What an option is on images of `[height, width]` where it is not given: lengths in pixels shrink on
    /// small ones.
    pub fn default_at(&self, option: &MethodOption, size: [usize; 2]) -> String {
        scaled::default_at(self.name, option.name, option.default, size)
    }

    /// The method with this name.
    ///
    /// # Errors
    ///
    /// [`AttributionError::UnknownMethod`], with the nearest name there is.
    pub fn find(name: &str) -> Result<&'static Method, AttributionError> {
        by_name::find(METHODS, name, |method| method.name).map_err(|nearest| {
            AttributionError::UnknownMethod {
                name: name.to_owned(),
                nearest,
            }
        })
    }

    /// The method under these options.
    ///
    /// # Errors
    ///
    /// [`AttributionError::UnknownOption`] for an option that it does not have,
    /// [`AttributionError::OptionValue`] for a value that cannot be understood.
    pub fn build(&self, options: &MethodOptions) -> Result<Box<dyn Attributor>, AttributionError> {
        let unknown = |option: &str| AttributionError::UnknownOption {
            method: self.name,
            option: option.to_owned(),
            options: self.options.iter().map(|option| option.name).collect(),
        };
        if let Some(name) = options.values.unknown(|name| self.takes(name)) {
            return Err(unknown(name));
        }
        if options.layer.is_some() && self.place == Place::Input {
            return Err(unknown("layer"));
        }
        if options.rules.is_some() && !self.takes_rules {
            return Err(unknown("rules"));
        }
        let mut options = options.clone();
        options.layer.get_or_insert_with(|| {
            match self.place {
                Place::SpatialLayer => FEATURES,
                Place::Input | Place::AnyLayer => INPUT,
            }
            .to_owned()
        });
        (self.build)(&options)
    }

    /// Whether it has an option of this name of its own.
    pub fn takes(&self, option: &str) -> bool {
        self.options.iter().any(|known| known.name == option)
    }
}

/// Options of a method as text, and what all methods share.
#[derive(Debug, Clone, Default)]
pub struct MethodOptions {
    layer: Option<String>,
    rules: Option<Rules>,
    batch_size: Option<usize>,
    seed: u64,
    progress: Reporter,
    keeps_partial: bool,
    values: OptionTexts,
}

impl MethodOptions {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attributes to this layer.
    #[must_use]
    pub fn layer(mut self, layer: &str) -> Self {
        self.layer = Some(layer.to_owned());
        self
    }

    /// Replaces gradients on the way.
    #[must_use]
    pub fn rules(mut self, rules: &Rules) -> Self {
        self.rules = Some(rules.clone());
        self
    }

    /// How many images or samples are propagated together.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = Some(batch_size);
        self
    }

    /// Where random numbers begin.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Called after every batch; breaking cancels.
    #[must_use]
    pub fn progress(
        mut self,
        callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        self.progress = Reporter::new(callback);
        self
    }

    /// When the progress callback asks to stop, gives what there is so far instead of
    /// [`AttributionError::Cancelled`], if the method can: [RISE](crate::Rise) can. What the result
    /// rests on is in [`Attribution::evaluations`](crate::Attribution::evaluations) and
    /// [`Attribution::planned`](crate::Attribution::planned).
    #[must_use]
    pub fn keep_partial(mut self, keeps_partial: bool) -> Self {
        self.keeps_partial = keeps_partial;
        self
    }

    /// An option of the method's own, as text.
    #[must_use]
    pub fn set(mut self, option: &str, value: &str) -> Self {
        self.values.set(option, value);
        self
    }

    /// What all methods share.
    pub(crate) fn setup(&self) -> Setup {
        Setup {
            layer: self.layer.clone().unwrap_or_else(|| INPUT.to_owned()),
            rules: self.rules.clone().unwrap_or_default(),
            batch_size: self.batch_size.unwrap_or(BATCH_SIZE),
            seed: self.seed,
            progress: self.progress.clone(),
            keeps_partial: self.keeps_partial,
            takes: Takes::Numbers,
        }
    }

    /// The value of an option, or the default.
    pub(crate) fn get_or<T: FromStr>(
        &self,
        option: &str,
        expected: &str,
        default: T,
    ) -> Result<T, AttributionError> {
        Ok(self.get(option, expected)?.unwrap_or(default))
    }

    /// Puts the value of an option in place of the default, if it was given.
    pub(crate) fn read<T: FromStr>(
        &self,
        option: &str,
        expected: &str,
        value: &mut T,
    ) -> Result<(), AttributionError> {
        if let Some(given) = self.get(option, expected)? {
            *value = given;
        }
        Ok(())
    }

    /// The value of an option, if it was given.
    pub(crate) fn get<T: FromStr>(
        &self,
        option: &str,
        expected: &str,
    ) -> Result<Option<T>, AttributionError> {
        self.values
            .get(option)
            .map_err(|value| AttributionError::OptionValue {
                option: option.to_owned(),
                value: value.to_owned(),
                expected: expected.to_owned(),
            })
    }
}
