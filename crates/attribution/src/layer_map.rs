//! Layers as maps `[N, C, H, W]`, however the network lays them out.
//!
//! `[N, H, W, C]` is transposed. Of tokens `[N, prefix + h w, C]` those in front are left out, and
//! the rest are rows of a grid: `[N, C, h, w]`. A method that feeds a map back has it laid out
//! again, with the tokens in front that the image itself gives.

use burn::tensor::Tensor;
use elucid_graph::{Activation, INPUT, Layer, Layout};
use elucid_vision::Model;
use ndarray::{ArrayD, Axis, Ix4, IxDyn};

use crate::error::AttributionError;
use crate::network::Network;

/// What a method takes a layer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Takes {
    /// Numbers, which may be a map.
    #[default]
    Numbers,
    /// Channels, with or without positions.
    Channels,
    /// A map, and nothing else.
    Map,
}

/// How a layer's values become those that a method sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LayerMap {
    /// What the axes of the layer are.
    layout: Layout,
    /// Whether tokens are a map rather than the numbers that they are.
    maps_tokens: bool,
}

impl LayerMap {
    /// That of a layer for images of this size.
    ///
    /// # Errors
    ///
    /// [`AttributionError::LayerLayout`] for a layer whose axes are not known to be those of a map,
    /// where one is needed.
    pub fn of(
        network: &dyn Network,
        layer: &str,
        size: [usize; 2],
        takes: Takes,
    ) -> Result<Self, AttributionError> {
        let Some(model) = network.as_model() else {
            return Ok(Self {
                layout: Layout::ChannelsFirst,
                maps_tokens: false,
            });
        };
        let found = model.layer(layer)?;
        let layout = match found.shape().len() {
            3 | 4 => model.layouts(size)?.layout(found.value()),
            _ => Layout::Unknown,
        };
        let needs_axes = takes != Takes::Numbers && matches!(found.shape().len(), 3 | 4);
        if needs_axes && layout == Layout::Unknown {
            return Err(refused(model, layer, size, found.shape()));
        }
        Ok(Self {
            layout,
            maps_tokens: takes != Takes::Numbers,
        })
    }

    /// That of a map, for images of the model's size.
    ///
    /// # Errors
    ///
    /// As [`LayerMap::of`].
    pub fn at(network: &dyn Network, layer: &str) -> Result<Self, AttributionError> {
        let layer = network.layer(layer)?;
        let shape = network.as_model().map(|model| model.layer(INPUT));
        match shape.transpose()?.map(Layer::shape) {
            Some(&[_, _, height, width]) => Self::of(network, &layer, [height, width], Takes::Map),
            _ => Ok(Self::default()),
        }
    }

    /// Of a layer of this layout.
    pub fn with(layout: Layout, maps_tokens: bool) -> Self {
        Self {
            layout,
            maps_tokens,
        }
    }

    /// What the axes of the layer are.
    pub fn layout(self) -> Layout {
        self.layout
    }

    /// Whether tokens are a map rather than the numbers that they are.
    pub fn maps_tokens(self) -> bool {
        self.maps_tokens
    }

    /// Whether the layer itself is a map `[N, C, H, W]`.
    pub fn is_plain(self) -> bool {
        self.layout == Layout::ChannelsFirst
    }

    /// Number of tokens in front that a method does not see.
    pub fn prefix(self) -> usize {
        match self.layout {
            Layout::Tokens { prefix, .. } if self.maps_tokens => prefix,
            _ => 0,
        }
    }

    /// The tokens in front that a method does not see, `[N, prefix, C]`; `None` where there are
    /// none.
    pub fn front(self, value: &Activation) -> Result<Option<Tensor<3>>, AttributionError> {
        Ok(match self.prefix() {
            0 => None,
            prefix => Some(value.tensor::<3>()?.narrow(1, 0, prefix)),
        })
    }

    /// What a method sees of a value of the layer.
    pub fn shown(self, value: Activation) -> Result<Activation, AttributionError> {
        Ok(match self.layout {
            Layout::ChannelsLast => self.layout.map_of(&value)?.into(),
            Layout::Tokens { .. } if self.maps_tokens => self.layout.map_of(&value)?.into(),
            _ => value,
        })
    }

    /// The value of the layer, from what a method sees and the tokens in front, `[N, prefix, C]`.
    pub fn laid_out(
        self,
        seen: Activation,
        front: Option<Tensor<3>>,
    ) -> Result<Activation, AttributionError> {
        Ok(match self.layout {
            Layout::ChannelsLast => seen.tensor::<4>()?.permute([0, 2, 3, 1]).into(),
            Layout::Tokens { .. } if self.maps_tokens => {
                let map = seen.tensor::<4>()?;
                let [n, c, h, w] = map.dims();
                let patches = map.reshape([n, c, h * w]).permute([0, 2, 1]);
                let Some(front) = front else {
                    return Ok(patches.into());
                };
                let front = match patches.device().is_autodiff() {
                    true => front.autodiff(),
                    false => front,
                };
                Tensor::cat(vec![front, patches], 1).into()
            }
            _ => seen,
        })
    }

    /// Numbers that a method gives for the layer as a map; `None` where they are none.
    pub fn drawn(self, values: &ArrayD<f32>) -> Option<ndarray::Array4<f32>> {
        match (self.layout, values.shape()) {
            (Layout::ChannelsFirst | Layout::ChannelsLast, _) => values
                .view()
                .into_dimensionality::<Ix4>()
                .ok()
                .map(|v| v.to_owned()),
            (Layout::Tokens { .. }, &[_, _, _, _]) if self.maps_tokens => values
                .view()
                .into_dimensionality::<Ix4>()
                .ok()
                .map(|v| v.to_owned()),
            (
                Layout::Tokens {
                    prefix,
                    grid: [h, w],
                },
                &[n, tokens, c],
            ) if tokens == prefix + h * w => {
                let patches = values.slice_axis(Axis(1), (prefix..tokens).into());
                let maps = patches.permuted_axes(IxDyn(&[0, 2, 1]));
                let maps = maps.as_standard_layout().into_owned();
                maps.into_shape_with_order((n, c, h, w)).ok()
            }
            _ => None,
        }
    }

    /// Why numbers of this shape that are no map cannot be drawn.
    pub fn no_map(self, layer: &str, shape: &[usize]) -> AttributionError {
        match (self.layout, shape.len()) {
            (Layout::Unknown, 4) => AttributionError::LayerLayout {
                layer: layer.to_owned(),
                shape: shape.to_vec(),
                nearest: None,
            },
            _ => AttributionError::NotSpatial {
                layer: layer.to_owned(),
                shape: shape.to_vec(),
            },
        }
    }
}

/// The shape `[1, C, H, W]` of the map that a method sees of a layer `[N, C, H, W]`, `[N, H, W, C]`
/// or `[N, prefix + H W, C]`, for images of the model's size.
///
/// # Errors
///
/// [`AttributionError::NotSpatial`] for a layer without positions,
/// [`AttributionError::LayerLayout`] where it is not known which axes they are, and as
/// [`Network::layer`].
pub fn map_shape(model: &Model, layer: &str) -> Result<[usize; 4], AttributionError> {
    let layer = Network::layer(model, layer)?;
    let shape = model.layer(&layer)?.shape();
    let &[_, _, height, width] = model.layer(INPUT)?.shape() else {
        return Err(not_spatial(&layer, shape));
    };
    let map = LayerMap::of(model, &layer, [height, width], Takes::Map)?;
    match (map.layout, shape) {
        (Layout::ChannelsFirst, &[n, c, h, w]) | (Layout::ChannelsLast, &[n, h, w, c]) => {
            Ok([n, c, h, w])
        }
        (Layout::Tokens { grid: [h, w], .. }, &[n, _, c]) => Ok([n, c, h, w]),
        _ => Err(not_spatial(&layer, shape)),
    }
}

fn not_spatial(layer: &str, shape: &[usize]) -> AttributionError {
    AttributionError::NotSpatial {
        layer: layer.to_owned(),
        shape: shape.to_vec(),
    }
}

/// The error for a layer whose axes are not known, with the nearest one before it whose axes are.
fn refused(model: &Model, layer: &str, size: [usize; 2], shape: &[usize]) -> AttributionError {
    if shape.len() != 4 {
        return not_spatial(layer, shape);
    }
    let before = model
        .layers()
        .iter()
        .rev()
        .skip_while(|l| l.name() != layer);
    let nearest = model.layouts(size).ok().and_then(|layouts| {
        let is_map = |layout| matches!(layout, Layout::ChannelsFirst | Layout::ChannelsLast);
        let mut maps = before.filter(|l| is_map(layouts.layout(l.value())));
        maps.next()
            .map(|l| (l.name().to_owned(), layouts.layout(l.value())))
    });
    AttributionError::LayerLayout {
        layer: layer.to_owned(),
        shape: shape.to_vec(),
        nearest,
    }
}
