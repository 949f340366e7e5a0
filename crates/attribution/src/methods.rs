//! The table of all methods, by name.

use std::fmt;
use std::ops::ControlFlow;

use elucid_graph::INPUT;
use elucid_rules::Rules;

use crate::attributor::{Attributor, BATCH_SIZE, Setup};
use crate::by_name::{self, OptionTexts};
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::network::FEATURES;
use crate::options::{Configurable, Configuration, HasSetup, MethodOption};
use crate::{
    attention, blur_ig, cam, coalitions, deconvnet, deep_lift, excitation, full_grad, gradient,
    gradient_shap, guided_backprop, guided_grad_cam, guided_ig, integrated_gradients, linear, lrp,
    perturbation, smooth_grad, xrai,
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
    &xrai::METHOD,
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
    &cam::recipro_cam::METHOD,
    &cam::eigen_grad_cam::METHOD,
    &cam::shapley_cam::METHOD,
    &full_grad::METHOD,
    &guided_grad_cam::METHOD,
    &excitation::METHOD,
    &excitation::CONTRASTIVE,
    &lrp::METHOD,
    &perturbation::rise::METHOD,
    &perturbation::occlusion::METHOD,
    &perturbation::token_occlusion::METHOD,
    &perturbation::feature_ablation::METHOD,
    &perturbation::extremal::METHOD,
    &perturbation::meaningful::METHOD,
    &coalitions::lime::METHOD,
    &coalitions::kernel_shap::METHOD,
    &coalitions::shapley_sampling::METHOD,
    &coalitions::sobol::METHOD,
    &coalitions::hsic::METHOD,
    &attention::ATTENTION,
    &attention::ROLLOUT,
    &attention::GRADIENT_ATTENTION,
    &attention::CHEFER,
    &attention::CHEFER_CVPR,
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
    /// The patches of a transformer, by what its blocks attend to: `[N, 1, h, w]`, of a network that attends
    /// ([`attention`](crate::attention)).
    Tokens,
}

impl Place {
    /// Whether a layer may be named.
    pub const fn takes_layer(self) -> bool {
        matches!(self, Self::AnyLayer | Self::SpatialLayer)
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
    /// Whether what it has when it is stopped is an estimate of what it would give:
    /// [`MethodOptions::keep_partial`].
    pub keeps_partial: bool,
    /// What its attributions add up to, in words; empty where nothing is promised.
    pub sums_to: &'static str,
    /// Options of its own.
    pub options: &'static [MethodOption],
    /// What the options may begin with, by name, the usual one first; empty where there is one beginning only.
    pub presets: &'static [&'static str],
    /// Who published it.
    pub reference: &'static str,
    build: Build,
}

/// Makes a method under options.
pub type Build = fn(&MethodOptions) -> Result<Box<dyn Attributor>, AttributionError>;

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What is not said is not so.
impl Method {
    /// A method at the input, without options of its own, that `build` makes: for most,
    /// [`MethodOptions::apply`] to a value of the method.
    pub const fn new(
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
            keeps_partial: false,
            sums_to: "",
            options: &[],
            presets: &[],
            reference,
            build,
        }
    }

    /// Attributes to other places than the input.
    #[must_use]
    pub const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Needs a [`Model`](elucid_vision::Model).
    #[must_use]
    pub const fn needs_model(self) -> Self {
        Self {
            needs_model: true,
            ..self
        }
    }

    /// Takes [`Rules`].
    #[must_use]
    pub const fn takes_rules(self) -> Self {
        Self {
            takes_rules: true,
            ..self
        }
    }

    /// Draws random numbers.
    #[must_use]
    pub const fn random(self) -> Self {
        Self {
            random: true,
            ..self
        }
    }

    /// Gives an estimate when it is stopped.
    #[must_use]
    pub const fn keeps_partial(self) -> Self {
        Self {
            keeps_partial: true,
            ..self
        }
    }

    /// Promises a sum.
    #[must_use]
    pub const fn sums_to(self, sums_to: &'static str) -> Self {
        Self { sums_to, ..self }
    }

    /// Has options of its own: [`Configurable::OPTIONS`].
    #[must_use]
    pub const fn options(self, options: &'static [MethodOption]) -> Self {
        Self { options, ..self }
    }

    /// Has the option `preset`, which says what the others begin with.
    #[must_use]
    pub const fn presets(self, presets: &'static [&'static str]) -> Self {
        Self { presets, ..self }
    }
}

/// Methods by name: those of the table, and one's own.
///
/// Whoever works with a table of methods takes one of these, and so knows methods that this library
/// does not: galleries, the command line (`elucid_cli::Program`), whatever goes through them by name.
///
/// ```
/// use elucid_attribution::{Method, Methods, Occlusion};
///
/// const COARSE: Method = Method::new("coarse", "Occlusion of quarters", "here", |options| {
///     options.apply(Occlusion::new().window(64).stride(64))
/// });
/// let methods = Methods::standard().with(COARSE);
/// assert_eq!(methods.find("coarse")?.title, "Occlusion of quarters");
/// assert!(methods.find("rise").is_ok());
/// # Ok::<(), elucid_attribution::AttributionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Methods(Vec<Method>);

impl Methods {
    /// Those of the table [`METHODS`].
    pub fn standard() -> Self {
        Self(METHODS.iter().map(|method| **method).collect())
    }

    /// None at all.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// With one more, in the place of one of the same name if there is one.
    #[must_use]
    pub fn with(mut self, method: Method) -> Self {
        match self.0.iter_mut().find(|known| known.name == method.name) {
            Some(known) => *known = method,
            None => self.0.push(method),
        }
        self
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> std::slice::Iter<'_, Method> {
        self.0.iter()
    }

    /// The method with this name.
    ///
    /// # Errors
    ///
    /// [`AttributionError::UnknownMethod`], with the nearest name there is.
    pub fn find(&self, name: &str) -> Result<&Method, AttributionError> {
        let all: Vec<&Method> = self.0.iter().collect();
        by_name::find(&all, name, |method| method.name).map_err(|nearest| {
            AttributionError::UnknownMethod {
                name: name.to_owned(),
                nearest,
            }
        })
    }
}

impl<'m> IntoIterator for &'m Methods {
    type Item = &'m Method;
    type IntoIter = std::slice::Iter<'m, Method>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What a method's options begin with.
const PRESET: &str = "preset";

impl Method {
    /// The method under no options at all, at its own place.
    ///
    /// # Errors
    ///
    /// Those of [`Method::build`], of a method whose own options are out of range.
    pub fn usual(&self) -> Result<Box<dyn Attributor>, AttributionError> {
        self.build(&MethodOptions::new())
    }

    /// Height and width of the pictures that methods were published for: their lengths in pixels are as
    /// published there.
    pub const PUBLISHED_AT: [usize; 2] = [224, 224];

    /// Its options on pictures of `[height, width]` where none is given: what [`Method::usual`] says of itself.
    pub fn defaults(&self, size: [usize; 2]) -> Configuration {
        let built = self.usual();
        built.map_or_else(|_| Configuration::new(), |built| built.configuration(size))
    }

    /// The layer that it attributes to when none is named.
    pub const fn own_layer(&self) -> &'static str {
        match self.place {
            Place::SpatialLayer => FEATURES,
            Place::Input | Place::AnyLayer | Place::Tokens => INPUT,
        }
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
            options: self.all_options().map(|option| option.name).collect(),
        };
        if let Some(name) = options.values.unknown(|name| self.takes(name)) {
            return Err(unknown(name));
        }
        if options.layer.is_some() && !self.place.takes_layer() {
            return Err(unknown("layer"));
        }
        if options.rules.is_some() && !self.takes_rules {
            return Err(unknown("rules"));
        }
        let mut options = options.clone();
        if let Some(preset) = options.values.text(PRESET)
            && !self.presets.contains(&preset)
        {
            return Err(AttributionError::OptionValue {
                option: PRESET.to_owned(),
                value: preset.to_owned(),
                expected: self.presets.join(", "),
            });
        }
        options
            .layer
            .get_or_insert_with(|| self.own_layer().to_owned());
        (self.build)(&options)
    }

    /// Whether it has an option of this name of its own, `preset` included.
    pub fn takes(&self, option: &str) -> bool {
        self.all_options().any(|known| known.name == option)
    }

    /// Its own options, `preset` first if there are presets.
    pub fn all_options(&self) -> impl Iterator<Item = MethodOption> + use<> {
        let preset = MethodOption {
            name: PRESET,
            help: "what the other options begin with",
            values: "the name of a preset",
        };
        let preset = (!self.presets.is_empty()).then_some(preset);
        preset.into_iter().chain(self.options.iter().copied())
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
    /// [`AttributionError::Cancelled`], if the method adds up samples, so that any number of them is an
    /// estimate ([`Method::keeps_partial`]). What the result rests on is in [`Attribution::evaluations`](crate::Attribution::evaluations) and
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
    pub fn setup(&self) -> Setup {
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

    /// The preset that was asked for.
    pub fn preset(&self) -> Option<&str> {
        self.values.text(PRESET)
    }

    /// An option of the method's own as it was given.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.values.text(option)
    }

    /// A method under these options, which change what it says of itself and nothing else.
    ///
    /// # Errors
    ///
    /// [`AttributionError::OptionValue`] for a value that cannot be understood,
    /// [`AttributionError::Parameter`] for one that is out of range.
    pub fn apply<M>(&self, mut method: M) -> Result<Box<dyn Attributor>, AttributionError>
    where
        M: Configurable<Error = AttributionError> + HasSetup + Attributor + 'static,
    {
        *method.setup_mut() = self.setup();
        self.values.configure(&mut method)?;
        method.check_options()?;
        Ok(Box::new(method))
    }
}
