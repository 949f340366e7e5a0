//! The network that pictures are made for, as far as objectives need to know it.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use elucid_attribution::{AttributionError, ClassRef, Network};
use elucid_graph::{Activation, INPUT, Layout, device};
use elucid_rules::Rules;
use elucid_vision::InputSpec;

use crate::error::VisError;
use crate::objective::{ClassName, Objective};

/// The network that pictures are made for: how its pictures are prepared, where it computes, and what the
/// layers and classes are that objectives name.
#[derive(Debug, Clone)]
pub struct Subject {
    device: Device,
    spec: InputSpec,
    layers: HashMap<String, Layer>,
    classes: Vec<(ClassName, usize)>,
}

/// A layer that an objective names.
#[derive(Debug, Clone)]
struct Layer {
    /// Its full name.
    name: String,
    /// For one picture of the network's own size.
    shape: Vec<usize>,
    layout: Layout,
}

impl Subject {
    /// What objectives need to know of a network. `spec` says how pictures are prepared where the network
    /// itself does not.
    ///
    /// Layers of what is no [`Model`](elucid_vision::Model) are looked at by running it once on a picture of
    /// zeros.
    ///
    /// # Errors
    ///
    /// [`VisError::Graph`] and [`VisError::Model`] for layers and classes that do not exist,
    /// [`VisError::Unprepared`] where nobody says how pictures are prepared.
    pub fn of(
        network: &dyn Network,
        objectives: &[Objective],
        spec: Option<&InputSpec>,
    ) -> Result<Self, VisError> {
        let spec = spec.or(network.input_spec()).ok_or(VisError::Unprepared)?;
        let mut subject = Self {
            device: match network.device() {
                Some(device) => device.clone(),
                None => device::auto().device,
            },
            spec: spec.clone(),
            layers: HashMap::new(),
            classes: Vec::new(),
        };
        let mut asked: Vec<String> = objectives.iter().flat_map(Objective::layers).collect();
        asked.sort_unstable();
        asked.dedup();
        let shapes = subject.shapes(network, &asked)?;
        for (layer, (shape, layout)) in asked.into_iter().zip(shapes) {
            let name = network.layer(&layer)?;
            let found = Layer {
                name,
                shape,
                layout,
            };
            subject.layers.insert(layer, found);
        }
        for class in objectives.iter().flat_map(Objective::classes) {
            let index = network.class(&ClassRef::from(&class))?;
            subject.classes.push((class, index));
        }
        Ok(subject)
    }

    /// Shapes of layers, and what their axes are.
    fn shapes(
        &self,
        network: &dyn Network,
        layers: &[String],
    ) -> Result<Vec<(Vec<usize>, Layout)>, VisError> {
        if let Some(model) = network.as_model() {
            let known = layers.iter().map(|layer| {
                let layer = model.layer(layer)?;
                Ok((layer.shape().to_vec(), model.layout(layer.name())?))
            });
            return known.collect();
        }
        let names = layers.iter().map(|layer| network.layer(layer));
        let names = names.collect::<Result<Vec<_>, AttributionError>>()?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let [height, width] = self.spec.size();
        let blank = Tensor::<4>::zeros([1, self.spec.channels(), height, width], &self.device);
        let input = network.layer(INPUT)?;
        let feeds = vec![(input.as_str(), Activation::from(blank))];
        let fetch: Vec<&str> = names.iter().map(String::as_str).collect();
        let (values, _) = network.run_all(feeds, &fetch, &Rules::new())?;
        let shapes = values.iter().map(|value| match value.shape() {
            shape if shape.len() == 4 => (shape, Layout::ChannelsFirst),
            shape => (shape, Layout::Unknown),
        });
        Ok(shapes.collect())
    }

    /// Where the network computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How its pictures are prepared.
    pub fn input_spec(&self) -> &InputSpec {
        &self.spec
    }

    fn layer(&self, layer: &str) -> Result<&Layer, VisError> {
        let known = self.layers.get(layer);
        known.ok_or_else(|| VisError::Unlisted {
            layer: layer.to_owned(),
        })
    }

    /// The full name of a layer that an objective lists.
    ///
    /// # Errors
    ///
    /// [`VisError::Unlisted`] for any other.
    pub fn name(&self, layer: &str) -> Result<&str, VisError> {
        Ok(&self.layer(layer)?.name)
    }

    /// How many channels a layer has.
    ///
    /// # Errors
    ///
    /// [`VisError::NoChannels`] for one without, [`VisError::Unlisted`] for one that no objective lists.
    pub fn channels(&self, layer: &str) -> Result<usize, VisError> {
        let layer = self.layer(layer)?;
        match (layer.shape.as_slice(), layer.layout) {
            ([_, channels], _)
            | ([_, channels, _, _], Layout::ChannelsFirst)
            | ([_, _, _, channels], Layout::ChannelsLast)
            | ([_, _, channels], Layout::Tokens { .. }) => Ok(*channels),
            (shape, _) => Err(VisError::NoChannels {
                layer: layer.name.clone(),
                shape: shape.to_vec(),
            }),
        }
    }

    /// Refuses a channel that the layer has not.
    ///
    /// # Errors
    ///
    /// [`VisError::Channel`], and those of [`Subject::channels`].
    pub fn check_channel(&self, layer: &str, channel: usize) -> Result<(), VisError> {
        let channels = self.channels(layer)?;
        match channel < channels {
            true => Ok(()),
            false => Err(VisError::Channel {
                layer: self.name(layer)?.to_owned(),
                channel,
                channels,
            }),
        }
    }

    /// A value of a layer as a map `[N, C, H, W]`; layers without positions have one.
    pub(crate) fn map_of(&self, layer: &str, value: &Activation) -> Result<Tensor<4>, VisError> {
        let layer = self.layer(layer)?;
        Ok(match *value.shape() {
            [_, _, _, _] | [_, _, _] => layer.layout.map_of(value)?,
            [n, c] => value.tensor::<2>()?.reshape([n, c, 1, 1]),
            ref shape => {
                return Err(VisError::NoChannels {
                    layer: layer.name.clone(),
                    shape: shape.to_vec(),
                });
            }
        })
    }

    /// The number of a class that an objective names.
    pub(crate) fn class(&self, class: &ClassName) -> Option<usize> {
        let known = self.classes.iter().find(|(known, _)| known == class);
        known.map(|(_, index)| *index)
    }
}
