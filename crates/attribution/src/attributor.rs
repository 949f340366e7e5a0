//! What all methods share.

use std::fmt;
use std::ops::ControlFlow;

use elucid_graph::ImageBatch;
use elucid_rules::Rules;

use crate::attribution::Attribution;
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::network::Network;
use crate::options::Configuration;
use crate::target::Target;
use elucid_progress::{Progress, Reporter};

/// A method that attributes a target to the numbers of the input or of a layer.
///
/// Every method reads the same: a builder with defaults, then [`attribute`](Attributor::attribute).
/// The table of all methods by name is [`METHODS`](crate::METHODS).
pub trait Attributor: fmt::Debug + Send + Sync {
    /// The method's name in the table of methods.
    fn name(&self) -> &str;

    /// What it will do on images of `[height, width]`: its own options in effect. Reports print it, and
    /// every [`Attribution`] holds it.
    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let _ = size;
        Configuration::new()
    }

    /// Attributes `target` for each image of the batch.
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
    ) -> Result<Attribution, AttributionError>;
}

impl<A: Attributor + ?Sized> Attributor for Box<A> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        (**self).configuration(size)
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

    /// The same with so many images at a time.
    #[must_use]
    pub fn with_batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// The same from another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
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

    /// The same, where the layer is taken for something else than numbers.
    pub(crate) fn taking(&self, takes: Takes) -> Self {
        Self {
            takes,
            ..self.clone()
        }
    }
}

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

/// What a method that has [`options!`](crate::options!) says of itself.
macro_rules! stated {
    () => {
        fn configuration(&self, size: [usize; 2]) -> $crate::Configuration {
            $crate::Configurable::configured(self, size)
        }
    };
}
pub(crate) use stated;
