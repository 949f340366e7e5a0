//! A graph on a device: its weights, its layers, and the names that they answer to.

mod sizes;

use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Tensor};
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::activation::Activation;
use crate::error::GraphError;
use crate::graph::{Graph, ValueId};
use crate::host::HostTensor;
use crate::layers::{Layer, list_layers};
use crate::message::quoted;
use crate::names::{self, Layers, Module};
use crate::obstacles::{self, Obstacle};
use crate::operator::Known;
use crate::pass::Pass;
use crate::plan::Plan;
use crate::plans::Plans;

/// Names the input of pictures wherever a layer is asked for.
pub const INPUT: &str = "@input";

/// Names the scores that are explained, before any softmax, wherever a layer is asked for.
pub const LOGITS: &str = "@logits";

/// Anything that is a batch of prepared images, `[N, C, H, W]`.
pub trait ImageBatch {
    /// The images where they are.
    fn batch(&self) -> Tensor<4>;

    /// The images on `device`.
    fn images(&self, device: &Device) -> Tensor<4> {
        self.batch().to_device(device)
    }
}

impl ImageBatch for Tensor<4> {
    fn batch(&self) -> Tensor<4> {
        self.clone()
    }
}

/// A graph on a device.
///
/// Cheap to share: cloning copies no weights.
#[derive(Debug, Clone)]
pub struct BoundGraph {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    graph: Arc<Graph>,
    device: Device,
    /// Shared with networks that were made of this one with other weights, where they are the same.
    weights: Vec<Arc<OnceLock<Activation>>>,
    /// The input that takes pictures, if one is named.
    pictures: Option<ValueId>,
    /// Their height and width for which layers have shapes.
    size: Option<[usize; 2]>,
    /// The lowest and the highest value that each of their channels takes.
    range: Option<[Vec<f32>; 2]>,
    scores: Option<ValueId>,
    /// Every layer in order, if shapes are known: with an input of pictures.
    layers: Vec<Layer>,
    /// What can be asked for by name.
    names: Layers,
    plans: Plans,
}

impl BoundGraph {
    /// A graph of any inputs: values are fed and fetched by name. Until
    /// [`with_pictures`](Self::with_pictures) no layer has a known shape.
    pub fn new(graph: Graph, device: &Device) -> Self {
        Self {
            inner: Arc::new(Inner {
                weights: (0..graph.names.len()).map(|_| Arc::default()).collect(),
                pictures: None,
                size: None,
                range: None,
                scores: None,
                layers: Vec::new(),
                names: Layers::all(&graph),
                device: device.clone().inner(),
                graph: Arc::new(graph),
                plans: Plans::default(),
            }),
        }
    }

    /// Names the input of pictures, `[N, C, H, W]`: [`INPUT`] from here on. Layers get their shapes for
    /// one picture of `size` (height, width).
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when the network does not take that size.
    pub fn with_pictures(self, input: ValueId, size: [usize; 2]) -> Result<Self, GraphError> {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.layers = list_layers(&inner.graph, input, size)?;
        inner.names = Layers::new(&inner.graph, inner.layers.iter().map(|l| l.value));
        inner.pictures = Some(input);
        inner.size = Some(size);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// States the lowest and the highest value of each channel of the pictures, `[C]`: what black and
    /// white become by the network's preparation.
    #[must_use]
    pub fn with_range(self, range: [Vec<f32>; 2]) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.range = Some(range);
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The lowest and the highest value of each channel of the pictures, if that is known.
    pub fn range(&self) -> Option<&[Vec<f32>; 2]> {
        self.inner.range.as_ref()
    }

    /// Names the value that holds the scores: [`LOGITS`] from here on.
    #[must_use]
    pub fn with_scores(self, scores: ValueId) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.scores = Some(scores);
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The network as its file describes it.
    pub fn graph(&self) -> &Graph {
        &self.inner.graph
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The layer that holds the scores: [`LOGITS`].
    ///
    /// # Errors
    ///
    /// [`GraphError::NoLogits`] when nothing is named so; why it is no layer otherwise.
    pub fn scores(&self) -> Result<&Layer, GraphError> {
        let scores = self.scores_value()?;
        self.layer_of(scores).map_err(|error| match error {
            GraphError::UnknownLayer { name, .. } => GraphError::NoLogits {
                reason: format!(
                    "what is explained, {}, holds no floating-point numbers that are computed from the \
                     picture",
                    quoted(name)
                ),
            },
            other => other,
        })
    }

    fn scores_value(&self) -> Result<ValueId, GraphError> {
        self.inner.scores.ok_or_else(|| GraphError::NoLogits {
            reason: "the model names no output, so it has no class scores".to_owned(),
        })
    }

    /// Every layer from the input to the outputs, in an order in which they can run, with shapes
    /// for one image of the model's input size.
    pub fn layers(&self) -> &[Layer] {
        &self.inner.layers
    }

    /// The modules of the program that the network was exported from, as far as the file names them: as
    /// a tree is printed, in the order in which they first run, each before those in it.
    ///
    /// A layer can be asked for by the path of the module whose result it is: `layer4.1`.
    pub fn modules(&self) -> Vec<Module<'_>> {
        names::modules(self.graph(), &self.inner.names)
    }

    /// What of the network cannot be computed, and what has no shape before an image is seen.
    ///
    /// A file opens all the same; what depends on an operator that is not supported is an error only when
    /// it is asked for.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        let shape = self
            .inner
            .layers
            .first()
            .map(|input| (input.value, input.shape.clone()));
        obstacles::find(self.graph(), shape)
    }

    /// The layer that a name means: its exact tensor or node name, a part of it that fits one
    /// layer only (`inception_4d` for `inception_4d/output`), the module whose result it is
    /// (`layer4.1`), or Lucid's name (`mixed4d`).
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] with the nearest names, [`GraphError::AmbiguousLayer`] with
    /// those that fit.
    pub fn layer(&self, name: &str) -> Result<&Layer, GraphError> {
        match name {
            INPUT => return self.layer_of(self.image()?),
            LOGITS => return self.scores(),
            _ => {}
        }
        self.layer_of(self.value(name)?)
    }

    /// The input that takes pictures.
    pub(crate) fn image(&self) -> Result<ValueId, GraphError> {
        self.inner.pictures.ok_or_else(|| GraphError::Malformed {
            reason: "the graph has no input of pictures".to_owned(),
        })
    }

    /// The value that a name means, whether or not its shape is known beforehand.
    pub(crate) fn value(&self, name: &str) -> Result<ValueId, GraphError> {
        let graph = self.graph();
        match name {
            INPUT => return self.image(),
            LOGITS => return self.scores_value(),
            _ => {}
        }
        match names::find(graph, &self.inner.names, name) {
            Err(unknown @ GraphError::UnknownLayer { .. }) => match graph.value(name) {
                // A weight is no layer.
                Some(value) if self.inner.layers.is_empty() || graph.constant(value).is_none() => {
                    Ok(value)
                }
                _ => Err(unknown),
            },
            found => found,
        }
    }

    pub(crate) fn layer_of(&self, value: ValueId) -> Result<&Layer, GraphError> {
        let place = self.inner.names.place(value);
        place
            .and_then(|place| self.inner.layers.get(place))
            .ok_or_else(|| self.why_unlisted(value))
    }

    /// A tensor of `shape` in a value's place: numbers of the type that the network has there.
    pub(crate) fn fed(&self, value: ValueId, shape: Vec<usize>) -> Known {
        let kind = match self.layer_of(value) {
            Ok(layer) => layer.element,
            Err(_) => self.graph().stated_kind(value),
        };
        Known::computed(shape, kind)
    }

    /// Why a value of the graph is no layer with a known shape.
    fn why_unlisted(&self, value: ValueId) -> GraphError {
        let graph = self.graph();
        let unknown = GraphError::UnknownLayer {
            name: graph.name(value).to_owned(),
            nearest: Vec::new(),
        };
        let Some(image) = self.inner.pictures.filter(|image| *image != value) else {
            return unknown;
        };
        let Ok(shape) = self.layer_of(image).map(|layer| layer.shape.clone()) else {
            return unknown;
        };
        match Plan::new(graph, &[(image, self.fed(image, shape))], &[value]) {
            Ok(_) => unknown,
            Err(reason) => reason,
        }
    }

    /// The batch that the file fixes for its pictures, if it does.
    pub(crate) fn stated_batch(&self) -> Option<usize> {
        let graph = self.graph();
        let Some(image) = self.inner.pictures else {
            return graph.stated_batch();
        };
        let input = graph.inputs().iter().find(|input| input.value == image);
        input.and_then(|input| input.shape.first().copied().flatten())
    }

    /// What passes planned.
    pub(crate) fn plans(&self) -> &Plans {
        &self.inner.plans
    }

    /// A partial execution, to be told what is fed and what is fetched.
    pub fn pass(&self) -> Pass<'_> {
        Pass::new(self)
    }

    /// The same network with other weights: `replace` sees the name and the present values of each weight
    /// that a node reads, bounds and factors among them, and returns new values, or `None` to keep them.
    ///
    /// Weights that are kept are shared with this network, on the device, too. What sanity checks need
    /// that randomise layers one after the other (Adebayo et al., *Sanity checks for saliency maps*,
    /// 2018).
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when the new values have another shape; [`GraphError::Operator`] when
    /// an operator cannot compute with them, such as sizes that a picture does not have.
    pub fn with_weights(
        &self,
        mut replace: impl FnMut(&str, ArrayViewD<'_, f32>) -> Option<ArrayD<f32>>,
    ) -> Result<Self, GraphError> {
        let graph = self.graph();
        let mut replaced = Vec::new();
        for (value, host) in graph.weights() {
            let name = graph.name(value);
            let unshaped = |what: &str, got: &[usize]| GraphError::Shape {
                what: format!("{what} {}", quoted(name)),
                expected: format!("{:?}", host.shape()),
                got: got.to_vec(),
            };
            let values = host.floats();
            let view = ArrayViewD::from_shape(IxDyn(host.shape()), &values)
                .map_err(|_| unshaped("weight", &[values.len()]))?;
            let Some(new) = replace(name, view) else {
                continue;
            };
            if new.shape() != host.shape() {
                return Err(unshaped("the new values of weight", new.shape()));
            }
            let values = new.iter().copied().collect();
            let new = HostTensor::of_floats(host.element_type(), host.shape(), values);
            replaced.push((value, new.map_err(|what| unshaped(&what, host.shape()))?));
        }
        if replaced.is_empty() {
            return Ok(self.clone());
        }
        let mut inner = Inner::clone(&self.inner);
        let graph = Arc::make_mut(&mut inner.graph);
        for (value, new) in replaced {
            inner.weights[value.0] = Arc::default();
            graph.constants.insert(value, new);
        }
        if let Some((input, size)) = inner.pictures.zip(inner.size) {
            inner.layers = list_layers(&inner.graph, input, size)?;
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A weight on the device, uploaded when it is first needed.
    pub(crate) fn weight(&self, value: ValueId) -> Option<Activation> {
        let host = self.graph().constant(value)?;
        let slot = &self.inner.weights[value.0];
        if let Some(uploaded) = slot.get() {
            return Some(uploaded.clone());
        }
        let uploaded = Activation::of_host(host, &self.inner.device)?;
        Some(slot.get_or_init(|| uploaded).clone())
    }
}
