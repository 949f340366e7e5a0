//! What all methods share.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use elucid_graph::ImageBatch;
use elucid_progress::{Progress, Reporter};
use elucid_rules::Rules;
use tracing::debug;

use crate::attribution::Attribution;
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::network::Network;
use crate::options::Configuration;
use crate::target::Target;
use crate::work::Context;

/// A method that attributes a target to the numbers of the input or of a layer.
///
/// Every method is used alike: a builder with defaults, then [`attribute`](Attributor::attribute). A method of
/// one's own says its name and what it was told ([`stated!`](crate::stated!) writes that), and explains what it is
/// given:
///
/// ```
/// use elucid_attribution::{Attribution, AttributionError, Attributor, Context, Setup};
///
/// /// The gradient of the score.
/// #[derive(Debug)]
/// struct Plain(Setup);
///
/// impl Attributor for Plain {
///     fn name(&self) -> &str {
///         "plain"
///     }
///
///     fn setup(&self) -> &Setup {
///         &self.0
///     }
///
///     fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
///         let (values, scores) = work.each_batch(|rows, at| {
///             let found = work.gradients(rows, at)?;
///             Ok((found.gradient, found.scores))
///         })?;
///         Attribution::of(self, work, values, scores)
///     }
/// }
/// ```
///
/// The table of all methods by name is [`METHODS`](crate::METHODS).
pub trait Attributor: fmt::Debug + Send + Sync {
    /// The method's name in the table of methods.
    fn name(&self) -> &str;

    /// What it was told that all methods may be told, the layer that it attributes to among it.
    fn setup(&self) -> &Setup;

    /// What it will do on images of `[height, width]`: its own options in effect. Reports print it, and
    /// every [`Attribution`] holds it.
    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let _ = size;
        Configuration::new()
    }

    /// Attributes the target of `work` for each of its images: what the method is, behind all checks that methods
    /// have in common.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`].
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError>;

    /// Attributes `target` for each image of the batch: [explains](Attributor::explain) the context of the three
    /// at the layer of the method's [setup](Attributor::setup).
    ///
    /// `network` is a [`Model`](elucid_vision::Model) or a closure from images `[N, C, H, W]` to
    /// scores `[N, K]`. The result is shaped like the layer, one entry per image, and `[N, C, H,
    /// W]` at a layer `[N, H, W, C]`; methods that hide all channels of a pixel together give one
    /// number for them, `[N, 1, H, W]`.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Graph`] for names that do not exist, [`AttributionError::NoPath`] when
    /// the target does not depend on the layer, [`AttributionError::Images`] for a batch of none
    /// and pixels that are no numbers, [`AttributionError::Parameter`] for a parameter out of range,
    /// [`AttributionError::NeedsModel`] when a closure is asked for what only a model has,
    /// [`AttributionError::Cancelled`] when the progress callback asks to stop.
    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        let method = self.name();
        let work = Context::new(network, images, &target, self.setup())?;
        debug!(
            method,
            layer = work.layer(),
            images = work.count(),
            target = work.target(),
            batch_size = work.batch_size(),
            "begun"
        );
        let started = Instant::now();
        let explained = self.explain(&work);
        let elapsed_ms = started.elapsed().as_millis();
        match &explained {
            Ok(attribution) => debug!(
                method,
                elapsed_ms,
                evaluations = ?attribution.evaluations(),
                "done"
            ),
            Err(error) => debug!(method, elapsed_ms, %error, "failed"),
        }
        explained
    }
}

impl<A: Attributor + ?Sized> Attributor for Box<A> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn setup(&self) -> &Setup {
        (**self).setup()
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        (**self).configuration(size)
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        (**self).explain(work)
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        (**self).attribute(network, images, target)
    }
}

/// Images, or samples of images, that are propagated together by default.
pub(crate) const BATCH_SIZE: usize = 8;

/// What every method may be told: where it attributes to, by which gradients, how much at a time, from
/// which seed, and whom it tells how far it is.
#[derive(Debug, Clone)]
pub struct Setup {
    pub(crate) layer: String,
    pub(crate) rules: Rules,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) progress: Reporter,
    /// Whether a method that can gives what it has when the progress callback asks to stop.
    pub(crate) keeps_partial: bool,
    /// What the layer is taken for.
    pub(crate) takes: Takes,
}

impl Setup {
    /// At a layer, with the true gradients, 8 images at a time, and the seed 0.
    pub fn at(layer: &str) -> Self {
        Self {
            layer: layer.to_owned(),
            rules: Rules::new(),
            batch_size: BATCH_SIZE,
            seed: 0,
            progress: Reporter::default(),
            keeps_partial: false,
            takes: Takes::Numbers,
        }
    }

    /// The layer as it was asked for.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Which gradients are replaced on the way.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many images, or samples of images, are propagated together.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Where random numbers begin.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The same at another layer.
    #[must_use]
    pub fn with_layer(mut self, layer: &str) -> Self {
        layer.clone_into(&mut self.layer);
        self
    }

    /// The same under these rules.
    #[must_use]
    pub fn with_rules(mut self, rules: &Rules) -> Self {
        self.rules = rules.clone();
        self
    }

    crate::builder_methods! {
        /// The same with so many images at a time.
        #[must_use]
        set with_batch_size(batch_size: usize) => batch_size;
        /// The same from another seed.
        #[must_use]
        set with_seed(seed: u64) => seed;
    }

    /// The same with a callback that is told of progress; breaking cancels.
    #[must_use]
    pub fn with_progress(
        mut self,
        callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        self.progress = Reporter::new(callback);
        self
    }

    /// The same, where what there is when the progress callback asks to stop is kept or not, by methods that
    /// add up samples; see [`MethodOptions::keep_partial`](crate::MethodOptions::keep_partial).
    #[must_use]
    pub fn with_partial(mut self, keeps_partial: bool) -> Self {
        self.keeps_partial = keeps_partial;
        self
    }

    /// The same for a method that sees maps and nothing else: the patches of tokens are a map `[N, C, h, w]` on
    /// their grid, and a layer whose axes are not known is refused.
    #[must_use]
    pub fn for_map(self) -> Self {
        self.taking(Takes::Map)
    }

    /// The same, where the layer is taken for something else than numbers.
    pub(crate) fn taking(&self, takes: Takes) -> Self {
        Self {
            takes,
            ..self.clone()
        }
    }
}

/// Declares a method: its options with their defaults beside the field `setup` of [`Setup`], and its constructors, one
/// of which is its [`Default`]. `new` is for a method at the input, `at_input` and `at_features` for one that may be
/// told another layer.
///
/// ```ignore
/// method! {
///     /// Occlusion: what the score loses when a window is hidden.
///     pub struct Occlusion {
///         stride: usize = 16,
///     }
///     /// What rustdoc says of the constructor that takes the most.
///     new
/// }
/// ```
macro_rules! method {
    ($(#[$doc:meta])* pub struct $method:ident {
        $($(#[$of:meta])* $vis:vis $field:ident: $type:ty = $value:expr),* $(,)?
    }
    $(#[$made:meta])* $usual:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[must_use = "a method does nothing until it is asked to attribute"]
        pub struct $method {
            pub(crate) setup: $crate::Setup,
            $($(#[$of])* $vis $field: $type,)*
        }

        impl $method {
            $crate::attributor::method!(@$usual [$(#[$made])*] { $($field: $value,)* });
        }

        impl Default for $method {
            fn default() -> Self {
                Self::$usual()
            }
        }
    };
    (@new [$($made:tt)*] { $($field:ident: $value:expr,)* }) => {
        $($made)*
        pub fn new() -> Self {
            Self {
                setup: $crate::Setup::at(elucid_graph::INPUT),
                $($field: $value,)*
            }
        }
    };
    (@at_input [$($made:tt)*] { $($field:ident: $value:expr,)* }) => {
        /// At the network's input.
        pub fn at_input() -> Self {
            Self::at(elucid_graph::INPUT)
        }

        $($made)*
        pub fn at(layer: &str) -> Self {
            Self {
                setup: $crate::Setup::at(layer),
                $($field: $value,)*
            }
        }
    };
    (@at_features [$($made:tt)*] { $($field:ident: $value:expr,)* }) => {
        $($made)*
        pub fn at(layer: &str) -> Self {
            Self {
                setup: $crate::Setup::at(layer).for_map(),
                $($field: $value,)*
            }
        }

        /// At the last convolutional features, or the tokens of a transformer's last block:
        /// [`FEATURES`](crate::FEATURES).
        pub fn at_features() -> Self {
            Self::at($crate::FEATURES)
        }
    };
}
pub(crate) use method;

/// [`Attributor`] of a method described by `METHOD` that explains by a function of itself and a context.
macro_rules! explains {
    ($method:ident, $explain:expr) => {
        impl $crate::Attributor for $method {
            $crate::stated!(METHOD);

            fn explain(
                &self,
                work: &$crate::Context<'_>,
            ) -> Result<$crate::Attribution, $crate::AttributionError> {
                let explain: fn(&Self, &$crate::Context<'_>) -> _ = $explain;
                explain(self, work)
            }
        }
    };
}
pub(crate) use explains;

/// Builder methods for the fields of [`Setup`], one line for each method that takes them.
macro_rules! setup_builders {
    ($($field:ident),* $(,)?) => {
        $(crate::attributor::setup_builders!(@$field);)*
    };
    (@rules) => {
        /// Replaces gradients on the way.
        pub fn rules(mut self, rules: &elucid_rules::Rules) -> Self {
            self.setup = self.setup.with_rules(rules);
            self
        }
    };
    (@batch_size) => {
        /// How many images, or samples of images, are propagated together, 8 by default: what
        /// bounds the memory. Fewer, where so many would take more than the network's
        /// [`Limits`](elucid_graph::Limits).
        pub fn batch_size(mut self, batch_size: usize) -> Self {
            self.setup = self.setup.with_batch_size(batch_size);
            self
        }
    };
    (@seed) => {
        /// Where the random numbers begin, 0 by default. The same seed gives the same bits.
        pub fn seed(mut self, seed: u64) -> Self {
            self.setup = self.setup.with_seed(seed);
            self
        }
    };
    (@keep_partial) => {
        /// When the progress callback asks to stop, gives the estimate of the samples so far instead of
        /// [`AttributionError::Cancelled`](crate::AttributionError::Cancelled). The result says what it
        /// rests on: [`Attribution::evaluations`](crate::Attribution::evaluations) and
        /// [`planned`](crate::Attribution::planned).
        pub fn keep_partial(mut self, keeps_partial: bool) -> Self {
            self.setup = self.setup.with_partial(keeps_partial);
            self
        }
    };
    (@progress) => {
        /// Called after every batch; breaking cancels.
        pub fn progress(
            mut self,
            callback: impl FnMut(crate::Progress) -> std::ops::ControlFlow<()> + Send + 'static,
        ) -> Self {
            self.setup = self.setup.with_progress(callback);
            self
        }
    };
}
pub(crate) use setup_builders;

/// What an [`Attributor`](crate::Attributor) says of itself that has [`options!`](crate::options!) and is described
/// by a [`Method`](crate::Method): its name, its setup, which is its field `setup`, and its configuration.
///
/// ```text
/// impl Attributor for Mirrored {
///     stated!(MIRRORED);
///
///     fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> { .. }
/// }
/// ```
#[macro_export]
macro_rules! stated {
    ($described:path) => {
        $crate::named!($described);

        fn configuration(&self, size: [usize; 2]) -> $crate::Configuration {
            $crate::Configurable::configured(self, size)
        }
    };
}

/// The same without its configuration, for who writes that by hand.
#[macro_export]
macro_rules! named {
    ($described:path) => {
        fn name(&self) -> &'static str {
            $described.name
        }

        fn setup(&self) -> &$crate::Setup {
            &self.setup
        }
    };
}
