//! Layers with weights, and what behind them is linear in them and becomes part of them.

use std::collections::{HashMap, HashSet};

use burn::tensor::Tensor;

use super::Recording;
use crate::activation::IntoView;
use crate::blocks::{self, Affine};
use crate::graph::ValueId;
use crate::operator::{Kernel, Weighted, Weights};
use crate::plan::Plan;

/// What becomes part of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Biases,
    Normalisations,
}

impl Extent {
    fn takes(self, step: Affine) -> bool {
        match self {
            Self::Biases => matches!(step, Affine::Plus(_) | Affine::Minus(_)),
            Self::Normalisations => true,
        }
    }
}

/// A layer, by its step, and the steps behind it that are part of it, in order. Casts and the like do
/// nothing.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    pub weighted: usize,
    parts: Vec<(usize, Option<Affine>)>,
}

/// The layers of a recording that have something behind them to be merged.
pub(super) fn layers(recording: &Recording<'_>, extent: Extent) -> Vec<Merged> {
    let plan = Plan {
        steps: recording.steps.clone(),
        known: recording.known.clone(),
    };
    let places = recording.steps.iter().enumerate();
    let step_of: HashMap<usize, usize> = places.map(|(at, step)| (step.node.0, at)).collect();
    let chains = blocks::chains(recording.model.graph(), plan).into_iter();
    let layers = chains.filter_map(|chain| {
        let weighted = *step_of.get(&chain.weighted)?;
        let nodes = chain.nodes.into_iter();
        let parts = nodes.map_while(|(node, does)| {
            let step = *step_of.get(&node)?;
            // A gradient that was replaced is not that of a part.
            let is_plain = recording.rules[step].is_none();
            (is_plain && does.is_none_or(|does| extent.takes(does))).then_some((step, does))
        });
        let layer = Merged {
            weighted,
            parts: parts.collect(),
        };
        layer.trimmed().filter(|layer| layer.fits(recording))
    });
    layers.collect()
}

impl Merged {
    /// Without what does nothing at the end; `None` when nothing is left.
    fn trimmed(mut self) -> Option<Self> {
        let last = self.parts.iter().rposition(|(_, does)| does.is_some())?;
        self.parts.truncate(last + 1);
        Some(self)
    }

    /// As far as its steps are among `steps`.
    pub fn within(&self, steps: &HashSet<usize>) -> Option<Self> {
        let parts = self.parts.iter().copied();
        let layer = Self {
            weighted: self.weighted,
            parts: parts.take_while(|(step, _)| steps.contains(step)).collect(),
        };
        layer.trimmed().filter(|_| steps.contains(&self.weighted))
    }

    /// The steps behind the layer's own.
    pub fn steps(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|(step, _)| *step)
    }

    /// The step that makes what the layer makes.
    pub fn last(&self) -> usize {
        self.parts.last().map_or(self.weighted, |(step, _)| *step)
    }

    /// Whether the layer has weights, and one number for each channel, or one for all, as its bias.
    fn fits(&self, recording: &Recording<'_>) -> bool {
        let kernel = recording.steps[self.weighted].kernel.as_deref();
        let weighted = kernel.and_then(Kernel::weighted);
        let weighted = weighted.filter(|_| recording.is_weighted(self.weighted));
        let weights = weighted.and_then(|w| w.weights(recording.slots_of(self.weighted)));
        let channels = self.channels(recording);
        let is_bias = |count: usize| count == 1 || count == channels;
        recording.rules[self.weighted].is_none()
            && weights.is_some_and(|weights| {
                let bias = weights.bias.as_ref();
                bias.is_none_or(|bias| is_bias(bias.shape().iter().product()))
            })
    }

    fn channels(&self, recording: &Recording<'_>) -> usize {
        let shape = &recording.steps[self.weighted].outputs[0].shape;
        let axis = match recording.algebra(self.weighted) {
            elucid_rules::Algebra::Convolution => 1,
            _ => shape.len().saturating_sub(1),
        };
        shape.get(axis).copied().unwrap_or(1)
    }

    /// The weights of the whole layer.
    pub fn weights(
        &self,
        recording: &Recording<'_>,
        weighted: &dyn Weighted,
        weights: Weights,
    ) -> Weights {
        let channels = self.channels(recording);
        let of_channels = |value: crate::Activation| {
            let count = value.shape().iter().product::<usize>();
            let values = value.into_view(&[count]).into_cast::<1>();
            values.expand([channels])
        };
        let constant = |value: ValueId| of_channels(recording.value_of(value));
        let mut factor: Option<Tensor<1>> = None;
        let mut bias = weights.bias.map(of_channels);
        let scale = |old: &mut Option<Tensor<1>>, by: &Tensor<1>| {
            *old = old.take().map(|old| old * by.clone());
        };
        for (step, does) in &self.parts {
            let (times, plus) = match does {
                None => continue,
                Some(Affine::BatchNormalization(_)) => {
                    let kernel = recording.steps[*step].kernel.as_deref();
                    let Some(norm) = kernel.and_then(Kernel::batch_norm) else {
                        continue;
                    };
                    let (factor, offset) = norm.scale(&mut recording.slots_of(*step));
                    (Some(of_channels(factor)), Some(of_channels(offset)))
                }
                Some(Affine::Times(value)) => (Some(constant(*value)), None),
                Some(Affine::Over(value)) => (Some(constant(*value).recip()), None),
                Some(Affine::Plus(value)) => (None, Some(constant(*value))),
                Some(Affine::Minus(value)) => (None, Some(-constant(*value))),
            };
            if let Some(times) = times {
                scale(&mut bias, &times);
                scale(&mut factor, &times);
                factor.get_or_insert(times);
            }
            if let Some(plus) = plus {
                bias = Some(match bias {
                    Some(bias) => bias + plus,
                    None => plus,
                });
            }
        }
        Weights {
            weight: match factor {
                Some(factor) => weighted.scale_outputs(weights.weight, factor.into()),
                None => weights.weight,
            },
            bias: bias.map(Into::into),
        }
    }
}
