//! Neurons, channels, and whole layers.

use burn::tensor::Tensor;

use super::seen::{block, centre};
use super::{Objective, Seen, Term, at_layer};
use crate::error::VisError;
use crate::subject::Subject;

impl Objective {
    /// Channel `channel` of `layer` at the middle position, `[H / 2, W / 2]`.
    pub fn neuron(layer: &str, channel: usize) -> Self {
        Self::new(Neuron {
            layer: layer.to_owned(),
            channel,
            position: None,
        })
    }

    /// Channel `channel` of `layer` at position `[row, column]`.
    pub fn neuron_at(layer: &str, channel: usize, position: [usize; 2]) -> Self {
        Self::new(Neuron {
            layer: layer.to_owned(),
            channel,
            position: Some(position),
        })
    }

    /// The mean of channel `channel` of `layer` over all positions.
    pub fn channel(layer: &str, channel: usize) -> Self {
        Self::new(Channel {
            layer: layer.to_owned(),
            channel,
        })
    }

    /// Whatever excites a layer: the mean of its squared values.
    pub fn deep_dream(layer: &str) -> Self {
        Self::new(DeepDream {
            layer: layer.to_owned(),
        })
    }
}

#[derive(Debug)]
struct Neuron {
    layer: String,
    channel: usize,
    position: Option<[usize; 2]>,
}

impl Term for Neuron {
    fn name(&self) -> String {
        let Self { layer, channel, .. } = self;
        match self.position {
            Some([y, x]) => format!("channel {channel} of {layer} at ({y}, {x})"),
            None => format!("channel {channel} of {layer} in the middle"),
        }
    }

    fn layers(&self) -> Vec<String> {
        vec![self.layer.clone()]
    }

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        subject.check_channel(&self.layer, self.channel)
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let channel = seen.layer(&self.layer)?.narrow(1, self.channel, 1);
        let position = self.position.unwrap_or_else(|| centre(&channel));
        Ok(block(channel, &self.layer, position, [1, 1])?.mean())
    }
}

#[derive(Debug)]
struct Channel {
    layer: String,
    channel: usize,
}

impl Term for Channel {
    fn name(&self) -> String {
        format!("channel {} of {}", self.channel, self.layer)
    }

    fn layers(&self) -> Vec<String> {
        vec![self.layer.clone()]
    }

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        subject.check_channel(&self.layer, self.channel)
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let values = seen.layer(&self.layer)?;
        Ok(values.narrow(1, self.channel, 1).mean())
    }
}

#[derive(Debug)]
struct DeepDream {
    layer: String,
}

impl Term for DeepDream {
    at_layer!("deep dream of");

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        subject.channels(&self.layer).map(|_| ())
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        Ok(seen.layer(&self.layer)?.square().mean())
    }
}
