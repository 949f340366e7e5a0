//! What all methods share.

use std::fmt;
use std::ops::ControlFlow;

use elucid_graph::ImageBatch;
use elucid_rules::Rules;

use crate::attribution::Attribution;
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::network::Network;
use crate::target::Target;
use elucid_progress::{Progress, Reporter};

/// A method that attributes a target to the numbers of the input or of a layer.
///
/// Every method reads the same: a builder with defaults, then [`attribute`](Attributor::attribute).
/// The table of all methods by name is [`METHODS`](crate::METHODS).
pub trait Attributor: fmt::Debug + Send + Sync {
    /// The method's name in the table of methods.
    fn name(&self) -> &'static str;

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
    fn name(&self) -> &'static str {
        (**self).name()
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

/// What every method may be told.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub layer: String,
    pub rules: Rules,
    pub batch_size: usize,
    pub seed: u64,
    pub progress: Reporter,
    /// Whether a method that can gives what it has when the progress callback asks to stop.
    pub keeps_partial: bool,
    /// What the layer is taken for.
    pub takes: Takes,
}

impl Setup {
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

    /// The same, where the layer is taken for something else than numbers.
    pub fn taking(&self, takes: Takes) -> Self {
        Self {
            takes,
            ..self.clone()
        }
    }

    pub fn on_progress(
        &mut self,
        callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) {
        self.progress = Reporter::new(callback);
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
            self.setup.rules = rules.clone();
            self
        }
    };
    (@batch_size) => {
        /// How many images, or samples of images, are propagated together, 8 by default: what
        /// bounds the memory. Fewer, where so many would take more than the network's
        /// [`Limits`](elucid_graph::Limits).
        pub fn batch_size(mut self, batch_size: usize) -> Self {
            self.setup.batch_size = batch_size;
            self
        }
    };
    (@seed) => {
        /// Where the random numbers begin, 0 by default. The same seed gives the same bits.
        pub fn seed(mut self, seed: u64) -> Self {
            self.setup.seed = seed;
            self
        }
    };
    (@progress) => {
        /// Called after every batch; breaking cancels.
        pub fn progress(
            mut self,
            callback: impl FnMut(crate::Progress) -> std::ops::ControlFlow<()> + Send + 'static,
        ) -> Self {
            self.setup.on_progress(callback);
            self
        }
    };
}
pub(crate) use setup_builders;

/// Builder methods that set a field: the one of the same name, or the one behind the arrow.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($value:ident: $type:ty) $(=> $field:ident)?;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $value: $type) -> Self {
            crate::attributor::setters!(@field self $name $($field)?) = $value;
            self
        }
    )*};
    (@field $method:ident $name:ident) => {
        $method.$name
    };
    (@field $method:ident $name:ident $field:ident) => {
        $method.$field
    };
}
pub(crate) use setters;
