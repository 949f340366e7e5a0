//! The table of all methods, by name.

use elucid_graph::INPUT;
use elucid_rules::Rules;

use crate::attributor::{Attributor, Setup, setup_builders};
use crate::by_name::{self, OptionTexts};
use crate::error::AttributionError;
use crate::network::FEATURES;
use crate::options::{Configurable, HasSetup, MethodOption};
use crate::{
    attention, blur_ig, cam, coalitions, deconvnet, deep_lift, excitation, full_grad, gradient,
    gradient_shap, guided_backprop, guided_grad_cam, guided_ig, integrated_gradients, linear, lrp,
    perturbation, smooth_grad, xrai,
};

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
    /// Names that other programs give it, by which it is found as well.
    pub others: &'static [&'static str],
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
            others: &[],
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

    /// A method at the input, with the options of its type, which begin with its [`Default`].
    pub const fn of<M>(name: &'static str, title: &'static str, reference: &'static str) -> Self
    where
        M: Default + Configurable<Error = AttributionError> + HasSetup + Attributor + 'static,
    {
        let build: Build = |options| options.apply(M::default());
        Self::new(name, title, reference, build).options(M::OPTIONS)
    }

    /// Other programs call it by these names.
    #[must_use]
    pub const fn also(self, others: &'static [&'static str]) -> Self {
        Self { others, ..self }
    }

    /// Attributes to other places than the input. Of tokens only a [`Model`](elucid_vision::Model) knows.
    #[must_use]
    pub const fn at(self, place: Place) -> Self {
        let needs_model = self.needs_model || matches!(place, Place::Tokens);
        Self {
            place,
            needs_model,
            ..self
        }
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

crate::table!(Methods, METHODS of Method: Attributor by MethodOptions or AttributionError::UnknownMethod, named |method| by_name::Names { own: method.name, others: method.others });

/// What a method's options begin with.
const PRESET: &str = "preset";

impl Method {
    /// Height and width of the pictures that methods were published for: their lengths in pixels are as
    /// published there.
    pub const PUBLISHED_AT: [usize; 2] = [224, 224];

    /// The layer that it attributes to when none is named.
    pub const fn own_layer(&self) -> &'static str {
        match self.place {
            Place::SpatialLayer => FEATURES,
            Place::Input | Place::AnyLayer | Place::Tokens => INPUT,
        }
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
        if options.names.layer && !self.place.takes_layer() {
            return Err(unknown("layer"));
        }
        if options.names.rules && !self.takes_rules {
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
        if !options.names.layer {
            options = options.layer(self.own_layer());
        }
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
#[derive(Debug, Clone)]
#[must_use]
pub struct MethodOptions {
    setup: Setup,
    /// Whether a layer was named, and rules were, of which a method may know nothing.
    names: Names,
    values: OptionTexts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Names {
    layer: bool,
    rules: bool,
}

impl Default for MethodOptions {
    fn default() -> Self {
        Self {
            setup: Setup::at(INPUT),
            names: Names::default(),
            values: OptionTexts::default(),
        }
    }
}

impl MethodOptions {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attributes to this layer.
    pub fn layer(mut self, layer: &str) -> Self {
        self.names.layer = true;
        self.setup = self.setup.with_layer(layer);
        self
    }

    /// Replaces gradients on the way.
    pub fn rules(mut self, rules: &Rules) -> Self {
        self.names.rules = true;
        self.setup = self.setup.with_rules(rules);
        self
    }

    setup_builders!(batch_size, seed, progress, keep_partial);

    /// An option of the method's own, as text.
    pub fn set(mut self, option: &str, value: &str) -> Self {
        self.values.set(option, value);
        self
    }

    /// What all methods share.
    pub fn setup(&self) -> Setup {
        self.setup.clone()
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
        let takes = method.setup().takes;
        *method.setup_mut() = self.setup().taking(takes);
        self.values.configure(&mut method)?;
        method.check_options()?;
        Ok(Box::new(method))
    }
}
