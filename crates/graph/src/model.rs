//! A network on a device: its layers, its input, its classes.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Tensor, TensorData};
use elucid_models::{EMBEDDED, Embedded, Entry, Found, Labels, manifest};
use elucid_rules::Rules;
use image::RgbImage;
use ndarray::{Array1, Array2, ArrayD, ArrayView1, ArrayViewD, IxDyn};

use crate::activation::Activation;
use crate::error::GraphError;
use crate::graph::{Graph, ValueId};
use crate::import::MAX_FILE;
use crate::input::{InputSpec, open_image};
use crate::layers::{Layer, find_logits, list_layers};
use crate::limits::Limits;
use crate::names::{self, Layers, Module};
use crate::obstacles::{self, Obstacle};
use crate::operator::Known;
use crate::pass::Pass;
use crate::plan::{Plan, Planner, Progress};
use crate::receptive::{self, Windows};
use crate::registry::Registry;
use crate::together::Images;

/// Names the graph's input wherever a layer is asked for.
pub const INPUT: &str = "@input";

/// Names the class scores before any softmax wherever a layer is asked for.
pub const LOGITS: &str = "@logits";

/// Anything that is a batch of prepared images, `[N, 3, H, W]`.
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

/// A photograph as a network sees it.
#[derive(Debug, Clone)]
pub struct Photo {
    tensor: Tensor<4>,
    picture: RgbImage,
}

impl Photo {
    /// The normalised image, `[1, 3, H, W]`.
    pub fn tensor(&self) -> &Tensor<4> {
        &self.tensor
    }

    /// The same pixels before normalisation: what the network saw, for drawing over.
    pub fn picture(&self) -> &RgbImage {
        &self.picture
    }

    /// Photographs of one model as a batch, `[N, 3, H, W]`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] without photographs, and for photographs of different sizes.
    pub fn stack(photos: &[Photo]) -> Result<Tensor<4>, GraphError> {
        let mismatch = |expected: String, got: Vec<usize>| GraphError::Shape {
            what: "a batch of photographs".to_owned(),
            expected,
            got,
        };
        let Some(first) = photos.first() else {
            return Err(mismatch("one photograph or more".to_owned(), vec![0]));
        };
        let shape = first.tensor.dims();
        match photos.iter().find(|photo| photo.tensor.dims() != shape) {
            Some(other) => Err(mismatch(
                format!("{shape:?} for each, as the first"),
                other.tensor.dims().to_vec(),
            )),
            None => {
                let tensors = photos.iter().map(|photo| photo.tensor.clone());
                Ok(Tensor::cat(tensors.collect(), 0))
            }
        }
    }
}

impl ImageBatch for Photo {
    fn batch(&self) -> Tensor<4> {
        self.tensor.clone()
    }
}

/// Class scores of a batch.
#[derive(Debug, Clone)]
pub struct Scores {
    logits: Array2<f32>,
    labels: Option<Labels>,
}

/// One class with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// Class index.
    pub index: usize,
    /// The class's name, or its number where the model has no names.
    pub label: String,
    /// Share of the softmax, 0 to 1.
    pub probability: f32,
    /// The score itself.
    pub logit: f32,
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<32} {:.3}", self.label, self.probability)
    }
}

impl Scores {
    /// Scores before the softmax, `[N, classes]`.
    pub fn logits(&self) -> &Array2<f32> {
        &self.logits
    }

    /// Softmax of the scores of image `image`, `[classes]`.
    pub fn probabilities(&self, image: usize) -> Array1<f32> {
        softmax(self.logits.row(image))
    }

    /// The `count` best classes of the first image, best first.
    pub fn top(&self, count: usize) -> Vec<Guess> {
        self.top_of(0, count)
    }

    /// The `count` best classes of image `image`, best first; none when there is no such image.
    pub fn top_of(&self, image: usize, count: usize) -> Vec<Guess> {
        if image >= self.logits.nrows() {
            return Vec::new();
        }
        let logits = self.logits.row(image);
        let probabilities = softmax(logits);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        order
            .into_iter()
            .take(count)
            .map(|index| Guess {
                index,
                label: class_label(self.labels.as_ref(), index),
                probability: probabilities[index],
                logit: logits[index],
            })
            .collect()
    }
}

fn softmax(logits: ArrayView1<'_, f32>) -> Array1<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.mapv(|l| f64::from(l - largest).exp());
    let sum = powers.sum();
    powers.mapv(|p| (p / sum) as f32)
}

fn class_label(labels: Option<&Labels>, index: usize) -> String {
    match labels.and_then(|labels| labels.name(index)) {
        Some(label) => label.to_owned(),
        None => format!("class {index}"),
    }
}

/// A network on a device.
///
/// Cheap to share: cloning copies no weights.
#[derive(Debug, Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    graph: Arc<Graph>,
    device: Device,
    weights: Vec<OnceLock<Activation>>,
    /// The input that takes pictures, if there is one.
    input: Option<ValueId>,
    logits: Option<ValueId>,
    spec: InputSpec,
    layers: Vec<Layer>,
    /// What can be asked for by name.
    names: Layers,
    labels: Option<Labels>,
    sha256: String,
    name: String,
}

impl Model {
    /// Opens an `.onnx` file.
    ///
    /// How photographs are prepared is known for the files of the manifest; for others, set it
    /// with [`Model::open_with`].
    ///
    /// # Errors
    ///
    /// [`GraphError`] when the file cannot be read or imported.
    pub fn open(path: impl AsRef<Path>, device: &Device) -> Result<Self, GraphError> {
        Self::open_within(path, device, None, Limits::default())
    }

    /// Opens an `.onnx` file whose input is prepared as `spec` says.
    ///
    /// # Errors
    ///
    /// As [`Model::open`].
    pub fn open_with(
        path: impl AsRef<Path>,
        device: &Device,
        spec: InputSpec,
    ) -> Result<Self, GraphError> {
        Self::open_within(path, device, Some(spec), Limits::default())
    }

    /// The same with other limits to the memory that it takes, now and in passes, and with the usual
    /// preparation unless there is a `spec`.
    ///
    /// # Errors
    ///
    /// As [`Model::open`], and [`GraphError::TooLarge`] with the numbers when the limits do not suffice.
    pub fn open_within(
        path: impl AsRef<Path>,
        device: &Device,
        spec: Option<InputSpec>,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        Self::open_as(path.as_ref(), device, spec, limits)
    }

    /// Opens a model by its path, or by a name of the manifest (`googlenet`, `squeezenet`).
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] when there is neither; it says what to type to download a known
    /// model, or which feature carries it.
    pub fn find(name: &str, device: &Device, spec: Option<InputSpec>) -> Result<Self, GraphError> {
        Self::find_within(name, device, spec, Limits::default())
    }

    /// The same with other limits to the memory that it takes, now and in passes.
    ///
    /// # Errors
    ///
    /// As [`Model::find`], and [`GraphError::TooLarge`] with the numbers when the limits do not suffice.
    pub fn find_within(
        name: &str,
        device: &Device,
        spec: Option<InputSpec>,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        match elucid_models::resolve(name)? {
            Found::File(path) => Self::open_as(&path, device, spec, limits),
            Found::Embedded(network) => Self::carried(network, device, spec, limits),
        }
    }

    /// The InceptionV1 at half its width, with 14 classes, which is part of this program.
    ///
    /// Photographs are 160 x 160, layers are named as in Caffe's GoogLeNet (`inception_4d/output`, or
    /// Lucid's `mixed4d`). The other network of the program, with ImageNet's 1000 classes, is
    /// `Model::find("squeezenet", ..)`.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] in a build without the feature `inception`.
    pub fn embedded(device: &Device) -> Result<Self, GraphError> {
        Self::carried(Embedded::find(EMBEDDED)?, device, None, Limits::default())
    }

    fn carried(
        network: Embedded,
        device: &Device,
        spec: Option<InputSpec>,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        let name = network.name().to_owned();
        Self::build(network.bytes(), None, name, device, spec, limits)
    }

    /// Opens a model from the bytes of an `.onnx` file.
    ///
    /// # Errors
    ///
    /// As [`Model::open`].
    pub fn from_bytes(
        bytes: impl Into<bytes::Bytes>,
        device: &Device,
        spec: Option<InputSpec>,
    ) -> Result<Self, GraphError> {
        Self::from_bytes_within(bytes, device, spec, Limits::default())
    }

    /// The same with other limits to the memory that it takes, now and in passes.
    ///
    /// # Errors
    ///
    /// As [`Model::open`], and [`GraphError::TooLarge`] with the numbers when the limits do not suffice.
    pub fn from_bytes_within(
        bytes: impl Into<bytes::Bytes>,
        device: &Device,
        spec: Option<InputSpec>,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        Self::build(bytes, None, "model".to_owned(), device, spec, limits)
    }

    fn open_as(
        path: &Path,
        device: &Device,
        spec: Option<InputSpec>,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        let read = |source| GraphError::Read {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(read)?.len();
        if size > MAX_FILE {
            return Err(GraphError::Decode {
                reason: format!("{} bytes is more than the format allows ({MAX_FILE})", size),
            });
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self::build(bytes, path.parent(), name, device, spec, limits)
    }

    fn build(
        bytes: impl Into<bytes::Bytes>,
        folder: Option<&Path>,
        name: String,
        device: &Device,
        spec: Option<InputSpec>,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        let bytes: bytes::Bytes = bytes.into();
        let sha256 = elucid_models::sha256::of_bytes(&bytes);
        let graph = Graph::import_within(bytes, folder, &Registry::standard(), limits)?;
        let known = manifest::by_sha256(&sha256);
        Self::assemble(graph, device, spec, known, name, sha256)
    }

    /// A model of a graph that was imported with other operators than the library's own, or built.
    ///
    /// # Errors
    ///
    /// [`GraphError::Malformed`] unless one input takes colour pictures; as [`Model::open`].
    pub fn from_graph(
        graph: Graph,
        device: &Device,
        spec: Option<InputSpec>,
    ) -> Result<Self, GraphError> {
        Self::assemble(graph, device, spec, None, "graph".to_owned(), String::new())
    }

    fn assemble(
        graph: Graph,
        device: &Device,
        spec: Option<InputSpec>,
        known: Option<&'static Entry>,
        name: String,
        sha256: String,
    ) -> Result<Self, GraphError> {
        let input = image_input(&graph)?;
        let spec = match (spec, known) {
            (Some(spec), _) => spec,
            (None, Some(entry)) => InputSpec::from_manifest(&entry.input)?,
            (None, None) => default_spec(&graph, input)?,
        };
        let stated = known
            .and_then(|e| e.logits.as_deref())
            .and_then(|n| graph.value(n));
        let logits = stated.or_else(|| find_logits(&graph));
        let layers = list_layers(&graph, input, spec.size())?;
        let classes = logits
            .and_then(|v| layers.iter().find(|l| l.value == v))
            .map(|l| l.shape.iter().product::<usize>());
        // A file that nobody described is taken for one of ImageNet's by the number of its classes.
        let labels = known.map_or_else(|| Some(Labels::imagenet()), Entry::labels);
        let weights = (0..graph.names.len()).map(|_| OnceLock::new()).collect();
        Ok(Self {
            inner: Arc::new(Inner {
                weights,
                input: Some(input),
                logits,
                spec,
                names: Layers::new(&graph, layers.iter().map(|l| l.value)),
                layers,
                labels: labels.filter(|labels| classes == Some(labels.len())),
                sha256,
                name: known.map_or(name, |e| e.name.clone()),
                device: device.clone().inner(),
                graph: Arc::new(graph),
            }),
        })
    }

    /// A graph of any inputs on a device: values are fed and fetched by name. There are no pictures
    /// to prepare, no classes and no layers with known shapes.
    pub fn of_graph(graph: Graph, device: &Device) -> Self {
        Self {
            inner: Arc::new(Inner {
                weights: (0..graph.names.len()).map(|_| OnceLock::new()).collect(),
                input: None,
                logits: None,
                spec: InputSpec::default(),
                layers: Vec::new(),
                names: Layers::all(&graph),
                labels: None,
                sha256: String::new(),
                name: "graph".to_owned(),
                device: device.clone().inner(),
                graph: Arc::new(graph),
            }),
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

    /// How photographs are prepared.
    pub fn input_spec(&self) -> &InputSpec {
        &self.inner.spec
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.inner.sha256
    }

    /// Its name in the manifest, else the file's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The names of its classes: those of a known model, and ImageNet's for any other with 1000
    /// classes.
    pub fn labels(&self) -> Option<&Labels> {
        self.inner.labels.as_ref()
    }

    /// Name of a class, or its number where the model has no names.
    pub fn label(&self, class: usize) -> String {
        class_label(self.labels(), class)
    }

    /// The class that a number or a name means.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownClass`] with the nearest names, or with the numbers there are.
    pub fn class(&self, name: &str) -> Result<usize, GraphError> {
        let count = self.classes()?;
        let unknown = |reason| GraphError::UnknownClass { reason };
        if let Ok(index) = name.trim().parse::<usize>() {
            return if index < count {
                Ok(index)
            } else {
                Err(unknown(format!(
                    "no class {index}: the model has classes 0 to {}",
                    count - 1
                )))
            };
        }
        match self.labels() {
            Some(labels) => labels.find(name).map_err(|e| unknown(e.to_string())),
            None => Err(unknown(format!(
                "no class \"{name}\": the model has no class names, give a number from 0 to {}",
                count - 1
            ))),
        }
    }

    /// Number of classes.
    ///
    /// # Errors
    ///
    /// [`GraphError::NoLogits`] when the model does not end in class scores.
    pub fn classes(&self) -> Result<usize, GraphError> {
        let logits = self.logits()?;
        Ok(logits.shape.iter().product())
    }

    /// The layer that holds the class scores, before any softmax.
    ///
    /// # Errors
    ///
    /// [`GraphError::NoLogits`] when the model does not end in class scores.
    pub fn logits(&self) -> Result<&Layer, GraphError> {
        let none = |reason: String| GraphError::NoLogits { reason };
        let value = self.inner.logits.ok_or_else(|| {
            none("the model names no output, so it has no class scores".to_owned())
        })?;
        let layer = self.layer_of(value)?;
        let is_vector = match layer.shape.as_slice() {
            [_, classes] | [_, classes, 1, 1] => *classes > 0,
            _ => false,
        };
        if is_vector {
            Ok(layer)
        } else {
            Err(none(format!(
                "output \"{}\" has shape {:?}, not [N, classes], so it holds no class scores",
                layer.name, layer.shape
            )))
        }
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

    /// Every layer, with shapes for one image of `size` (height, width).
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when the network does not take that size.
    pub fn layers_for(&self, size: [usize; 2]) -> Result<Vec<Layer>, GraphError> {
        list_layers(self.graph(), self.image()?, size)
    }

    /// Shapes of some layers for one image of `size` (height, width). Layers above them need not
    /// take that size.
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when they cannot be computed from that size, and as
    /// [`Model::layer`].
    pub fn shapes_for<S: AsRef<str>>(
        &self,
        layers: impl IntoIterator<Item = S>,
        size: [usize; 2],
    ) -> Result<Vec<Vec<usize>>, GraphError> {
        let value = |name: S| self.value(name.as_ref());
        let values = layers.into_iter().map(value);
        let values = values.collect::<Result<Vec<ValueId>, GraphError>>()?;
        let image = self.image()?;
        let mut input = self.layer_of(image)?.shape.clone();
        if let [_, _, height, width] = input.as_mut_slice() {
            [*height, *width] = size;
        }
        let plan = Plan::new(self.graph(), &[(image, Known::activation(input))], &values)?;
        let shape = |value| plan.known.get(value).map(|k| k.shape.clone());
        Ok(values
            .iter()
            .map(|v| shape(v).unwrap_or_default())
            .collect())
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
            LOGITS => return self.logits(),
            _ => {}
        }
        self.layer_of(self.value(name)?)
    }

    /// The input that takes pictures.
    pub(crate) fn image(&self) -> Result<ValueId, GraphError> {
        self.inner.input.ok_or_else(|| GraphError::Malformed {
            reason: "the graph has no input of pictures".to_owned(),
        })
    }

    /// The value that a name means, whether or not its shape is known beforehand.
    pub(crate) fn value(&self, name: &str) -> Result<ValueId, GraphError> {
        let graph = self.graph();
        match name {
            INPUT => return self.image(),
            LOGITS => return Ok(self.logits()?.value),
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

    /// Why a value of the graph is no layer with a known shape.
    fn why_unlisted(&self, value: ValueId) -> GraphError {
        let graph = self.graph();
        let unknown = GraphError::UnknownLayer {
            name: graph.name(value).to_owned(),
            nearest: Vec::new(),
        };
        let Some(image) = self.inner.input.filter(|image| *image != value) else {
            return unknown;
        };
        let Ok(shape) = self.layer_of(image).map(|layer| layer.shape.clone()) else {
            return unknown;
        };
        match Plan::new(graph, &[(image, Known::activation(shape))], &[value]) {
            Ok(_) => unknown,
            Err(reason) => reason,
        }
    }

    /// The batch that the file fixes for its pictures, if it does.
    pub(crate) fn stated_batch(&self) -> Option<usize> {
        let graph = self.graph();
        let Some(image) = self.inner.input else {
            return graph.stated_batch();
        };
        let input = graph.inputs().iter().find(|input| input.value == image);
        input.and_then(|input| input.shape.first().copied().flatten())
    }

    /// Whether images that are given together run one after the other on their way to `layers`.
    ///
    /// A file may fix a batch of one: most that today's exporters write do. Several images can be given
    /// all the same. They run together where every operator between can be made to keep them apart, and
    /// one by one where that is not possible, because sizes depend on what is in the image or a value
    /// has no axis along which images could lie. The numbers are the same; only time is not saved. True
    /// also where an image has not one row of a layer, as of `[L, N, E]`: such a layer can be fetched
    /// and fed for one image only.
    /// False for files that leave the batch open.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`].
    pub fn runs_one_by_one<S: AsRef<str>>(
        &self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<bool, GraphError> {
        if self.stated_batch() != Some(1) {
            return Ok(false);
        }
        let image = self.image()?;
        let mut shape = self.layer_of(image)?.shape.clone();
        shape[0] = 2;
        let values = layers.into_iter().map(|name| self.value(name.as_ref()));
        let values = values.collect::<Result<Vec<ValueId>, GraphError>>()?;
        let feeds = [(image, Known::activation(shape))];
        let Some(images) = Images::of(self, &feeds)? else {
            return Ok(false);
        };
        let mut planner = Planner::new(self.graph(), &images.single, &values)?;
        Ok(match planner.advance()? {
            Progress::Done => {
                let one = &planner.plan.known;
                let row = |value| one.get(value).and_then(|known| known.shape.first());
                values.iter().any(|value| row(value) != Some(&1))
                    || images.plan(self.graph(), &planner.plan, &values).is_none()
            }
            Progress::Blocked { .. } => true,
        })
    }

    /// A partial execution, to be told what is fed and what is fetched.
    pub fn pass(&self) -> Pass<'_> {
        Pass::new(self)
    }

    /// Reads a photograph and prepares it as the network expects.
    ///
    /// # Errors
    ///
    /// [`GraphError::Input`] when the file is no image that can be read.
    pub fn read_image(&self, path: impl AsRef<Path>) -> Result<Photo, GraphError> {
        self.prepare(&open_image(path.as_ref())?)
    }

    /// Prepares a decoded picture as the network expects.
    ///
    /// # Errors
    ///
    /// [`GraphError::Input`] when the picture cannot be resized.
    pub fn prepare(&self, picture: &image::DynamicImage) -> Result<Photo, GraphError> {
        let prepared = self.inner.spec.prepare(picture)?;
        let shape: [usize; 4] = prepared.tensor.dim().into();
        let values = prepared.tensor.into_iter().collect::<Vec<f32>>();
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.inner.device);
        Ok(Photo {
            tensor,
            picture: prepared.shown,
        })
    }

    /// Class scores of a batch of images.
    ///
    /// # Errors
    ///
    /// [`GraphError::NoLogits`] when the model does not end in class scores, or any error of the
    /// pass.
    pub fn classify(&self, images: &impl ImageBatch) -> Result<Scores, GraphError> {
        let pass = self.pass().input(images).fetch([LOGITS])?;
        let scores = pass.get(LOGITS)?.to_array()?;
        let images = scores.shape()[0];
        let shape = scores.shape().to_vec();
        let logits = scores
            .into_shape_with_order((images, self.classes()?))
            .map_err(|_| GraphError::Shape {
                what: "the class scores".to_owned(),
                expected: format!("[{images}, classes]"),
                got: shape,
            })?;
        Ok(Scores {
            logits,
            labels: self.inner.labels.clone(),
        })
    }

    /// Which positions of layer `from` the positions of layer `to` depend on, or their gradients
    /// under `rules` reach, when the input has `size`; `None` where a dense layer or a reshape in
    /// between ties every position to every other.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`].
    pub fn windows(
        &self,
        from: &str,
        to: &str,
        rules: &Rules,
        size: [usize; 2],
    ) -> Result<Option<Windows>, GraphError> {
        let graph = self.graph();
        let (from, to) = (self.value(from)?, self.value(to)?);
        let layers = self.layers_for(size)?;
        let shape = |v: ValueId| {
            layers
                .iter()
                .find(|l| l.value == v)
                .map(|l| l.shape.clone())
                .unwrap_or_default()
        };
        let plan = Plan::new(graph, &[(from, Known::activation(shape(from)))], &[to])?;
        let rules = self.bind_rules(&plan, rules)?;
        Ok(receptive::windows(graph, &plan, from, to, |i| {
            rules[i].clone()
        }))
    }

    /// How many numbers a pass from layer `from` to layer `to` computes for one image when the
    /// input has `size`: what a batch size must be bounded by.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`].
    pub fn pass_elements(
        &self,
        from: &str,
        to: &str,
        size: [usize; 2],
    ) -> Result<usize, GraphError> {
        let (from, to) = (self.value(from)?, self.value(to)?);
        let layers = self.layers_for(size)?;
        let shape = layers
            .iter()
            .find(|l| l.value == from)
            .map(|l| l.shape.clone());
        let shape = shape.unwrap_or_default();
        let fed = shape.iter().product::<usize>();
        let plan = Plan::new(self.graph(), &[(from, Known::activation(shape))], &[to])?;
        let computed = plan
            .steps
            .iter()
            .flat_map(|s| &s.outputs)
            .filter(|k| k.host.is_none());
        Ok(fed
            + computed
                .map(|k| k.shape.iter().product::<usize>())
                .sum::<usize>())
    }

    /// The same network with other weights: `replace` sees the name and the values of each weight
    /// that a node reads and returns new values, or `None` to keep them.
    ///
    /// Weights that are kept are shared with this model. What sanity checks need that randomise
    /// layers one after the other (Adebayo et al., *Sanity checks for saliency maps*, 2018).
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when the new values have another shape.
    pub fn with_weights(
        &self,
        mut replace: impl FnMut(&str, ArrayViewD<'_, f32>) -> Option<ArrayD<f32>>,
    ) -> Result<Self, GraphError> {
        let inner = &self.inner;
        let mut weights = inner.weights.clone();
        for (value, host) in self.graph().weights() {
            let name = self.graph().name(value);
            let values = host.floats();
            let view = ArrayViewD::from_shape(IxDyn(host.shape()), &values).map_err(|_| {
                GraphError::Shape {
                    what: format!("weight \"{name}\""),
                    expected: format!("{:?}", host.shape()),
                    got: vec![values.len()],
                }
            })?;
            let Some(new) = replace(name, view) else {
                continue;
            };
            if new.shape() != host.shape() {
                return Err(GraphError::Shape {
                    what: format!("the new values of weight \"{name}\""),
                    expected: format!("{:?}", host.shape()),
                    got: new.shape().to_vec(),
                });
            }
            let values = new.iter().copied().collect();
            let uploaded = Activation::from_host(values, host.shape(), &inner.device);
            weights[value.0] = OnceLock::from(uploaded);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                weights,
                graph: Arc::clone(&inner.graph),
                device: inner.device.clone(),
                input: inner.input,
                logits: inner.logits,
                spec: inner.spec,
                layers: inner.layers.clone(),
                names: inner.names.clone(),
                labels: inner.labels.clone(),
                sha256: inner.sha256.clone(),
                name: inner.name.clone(),
            }),
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

/// The one input that takes images.
fn image_input(graph: &Graph) -> Result<ValueId, GraphError> {
    let fits = |s: &[Option<usize>]| s.len() == 4 && matches!(s[1], None | Some(3));
    let images: Vec<_> = graph.inputs.iter().filter(|i| fits(&i.shape)).collect();
    match images.as_slice() {
        [] if graph.inputs.is_empty() => Err(GraphError::Malformed {
            reason: "the graph has no input".to_owned(),
        }),
        [only] if only.kind.is_float() => Ok(only.value),
        [only] => Err(GraphError::Malformed {
            reason: format!(
                "input \"{}\" holds {}, expected floating point",
                graph.name(only.value),
                only.kind
            ),
        }),
        _ => {
            let stated: Vec<String> = graph
                .inputs
                .iter()
                .map(|i| {
                    let dims = i
                        .shape
                        .iter()
                        .map(|d| d.map_or("?".to_owned(), |d| d.to_string()));
                    format!(
                        "\"{}\" [{}]",
                        graph.name(i.value),
                        dims.collect::<Vec<_>>().join(", ")
                    )
                })
                .collect();
            Err(GraphError::Malformed {
                reason: format!(
                    "expected one input of colour images, [N, 3, H, W]; the graph has {}",
                    stated.join(", ")
                ),
            })
        }
    }
}

/// For files that nobody described: ImageNet's usual preparation at the size that the file states.
fn default_spec(graph: &Graph, input: ValueId) -> Result<InputSpec, GraphError> {
    let stated = graph
        .inputs
        .iter()
        .find(|i| i.value == input)
        .map(|i| i.shape.as_slice());
    Ok(match stated {
        Some(&[_, _, Some(h), Some(w)]) => InputSpec::default().with_size([h, w])?,
        _ => InputSpec::default(),
    })
}
