//! A network on a device, with how pictures are prepared for it and what its classes are called.

use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use elucid_graph::{
    BoundGraph, Graph, GraphError, INPUT, ImageBatch, LOGITS, Layer, Layout, Layouts,
};
use elucid_models::{EMBEDDED, Labels};
use ndarray::{ArrayD, ArrayViewD};

use crate::error::ModelError;
use crate::head::Head;
use crate::input::{InputSpec, Prepared, is_array, open_array, open_image};
use crate::names;
use crate::opening::{Opening, Remark};
use crate::photo::Photo;
use crate::preparation::Origin;
use crate::scores::Scores;

/// A network on a device.
///
/// Cheap to share: cloning copies no weights.
#[derive(Debug, Clone)]
pub struct Model {
    bound: BoundGraph,
    facts: Arc<Facts>,
    layouts: Arc<Mutex<Option<LayoutsOf>>>,
    /// The module that it was captured from, if it was.
    #[cfg(feature = "capture")]
    pub(crate) source: Option<Arc<crate::captured::Source>>,
}

/// What the axes of layers are for images of this height and width.
type LayoutsOf = ([usize; 2], Arc<Layouts>);

/// What is known of a network beside its graph.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub spec: InputSpec,
    pub origin: Origin,
    /// Inputs that are held fixed, with the SHA-256 of their shapes and values.
    pub feeds: Vec<(String, String)>,
    pub head: Head,
    pub labels: Option<Labels>,
    pub sha256: String,
    pub name: String,
    pub remarks: Vec<Remark>,
}

impl Deref for Model {
    type Target = BoundGraph;

    fn deref(&self) -> &BoundGraph {
        &self.bound
    }
}

impl Model {
    /// Opens an `.onnx` file.
    ///
    /// How photographs are prepared is known for the files of the manifest; for others, set it
    /// with [`Model::open_with`].
    ///
    /// # Errors
    ///
    /// [`ModelError`] when the file cannot be read or imported.
    pub fn open(path: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        Opening::new().open(path, device)
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
    ) -> Result<Self, ModelError> {
        Opening::new().prepared_by(spec).open(path, device)
    }

    /// Opens a model by its path, or by a name of the manifest (`googlenet`, `squeezenet`).
    ///
    /// # Errors
    ///
    /// [`ModelError::NotFound`] when there is neither; it says what to type to download a known
    /// model, or which feature carries it.
    pub fn find(name: &str, device: &Device, spec: Option<InputSpec>) -> Result<Self, ModelError> {
        Opening::of(spec).find(name, device)
    }

    /// The InceptionV1 at half its width, with 14 classes, which is part of this program.
    ///
    /// Photographs are 160 x 160, layers are named as in Caffe's GoogLeNet (`inception_4d/output`, or
    /// Lucid's `mixed4d`). The other network of the program, with ImageNet's 1000 classes, is
    /// `Model::find("squeezenet", ..)`.
    ///
    /// # Errors
    ///
    /// [`ModelError::NotFound`] in a build without the feature `inception`.
    pub fn embedded(device: &Device) -> Result<Self, ModelError> {
        Opening::new().find(EMBEDDED, device)
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
    ) -> Result<Self, ModelError> {
        Opening::of(spec).bytes(bytes, device)
    }

    /// A model of a graph that was imported with other operators than the library's own, or built.
    ///
    /// # Errors
    ///
    /// [`ModelError::Pictures`] unless one input takes pictures; as [`Model::open`].
    pub fn from_graph(
        graph: Graph,
        device: &Device,
        spec: Option<InputSpec>,
    ) -> Result<Self, ModelError> {
        Opening::of(spec).graph(graph, device)
    }

    pub(crate) fn new(bound: BoundGraph, facts: Facts) -> Self {
        Self {
            bound,
            facts: Arc::new(facts),
            layouts: Arc::default(),
            #[cfg(feature = "capture")]
            source: None,
        }
    }

    /// The graph on its device, whatever its pictures and classes are.
    pub fn bound(&self) -> &BoundGraph {
        &self.bound
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        self.bound.device()
    }

    /// The layer that a name means: see [`BoundGraph::layer`].
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] with the nearest names, [`GraphError::AmbiguousLayer`] with
    /// those that fit.
    pub fn layer(&self, name: &str) -> Result<&Layer, GraphError> {
        self.bound.layer(name)
    }

    /// What the axes of a layer are for images of the model's size.
    ///
    /// # Errors
    ///
    /// As [`Model::layer`] and [`BoundGraph::layouts_for`].
    pub fn layout(&self, layer: &str) -> Result<Layout, GraphError> {
        let &[_, _, height, width] = self.layer(INPUT)?.shape() else {
            return Ok(Layout::Unknown);
        };
        Ok(self
            .layouts([height, width])?
            .layout(self.layer(layer)?.value()))
    }

    /// What the axes of all layers are for images of this height and width. Those of the last size
    /// asked for are kept.
    ///
    /// # Errors
    ///
    /// As [`BoundGraph::layouts_for`].
    pub fn layouts(&self, size: [usize; 2]) -> Result<Arc<Layouts>, GraphError> {
        let mut kept = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, layouts)) = kept.as_ref().filter(|(of, _)| *of == size) {
            return Ok(Arc::clone(layouts));
        }
        let layouts = Arc::new(self.bound.layouts_for(size)?);
        *kept = Some((size, Arc::clone(&layouts)));
        Ok(layouts)
    }

    /// How photographs are prepared.
    pub fn input_spec(&self) -> &InputSpec {
        &self.facts.spec
    }

    /// Who says how photographs are prepared.
    pub fn prepared_by(&self) -> &Origin {
        &self.facts.origin
    }

    /// The inputs that are [held fixed](Opening::feed), each with the SHA-256 of its value's shape and
    /// numbers, in hexadecimal.
    pub fn feeds(&self) -> &[(String, String)] {
        &self.facts.feeds
    }

    /// What was assumed of the network where nobody said it, to be told to whoever reads a result.
    pub fn remarks(&self) -> &[Remark] {
        &self.facts.remarks
    }

    /// SHA-256 of the file, in hexadecimal; empty for a network that no file holds.
    pub fn sha256(&self) -> &str {
        &self.facts.sha256
    }

    /// Its name in the manifest, else the file's name.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// What its output means: where its scores are, and what makes probabilities of them.
    pub fn head(&self) -> &Head {
        &self.facts.head
    }

    /// The names of its classes: those that were given or that the file holds, else those of a known
    /// model, else ImageNet's where there are 1000 classes, or 1001 with a background, which is among
    /// the [`remarks`](Model::remarks).
    pub fn labels(&self) -> Option<&Labels> {
        self.facts.labels.as_ref()
    }

    /// Name of a class, or its number where the model has no names.
    pub fn label(&self, class: usize) -> String {
        self.facts.label(class)
    }

    /// The same network with other names of its classes.
    ///
    /// # Errors
    ///
    /// [`ModelError::Labels`] when they are not as many as there are classes; the message has both
    /// numbers. A network that answers yes or no by one number may have two names, of no and of yes.
    pub fn with_labels(&self, labels: Labels) -> Result<Self, ModelError> {
        names::check(&labels, &self.facts.head)?;
        let mut facts = Facts::clone(&self.facts);
        facts.labels = Some(labels);
        facts.remarks.retain(|remark| !remark.is_about_names());
        Ok(Self {
            facts: Arc::new(facts),
            ..self.clone()
        })
    }

    /// The class that a number or a name means.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnknownClass`] with the nearest names, or with the numbers there are.
    pub fn class(&self, name: &str) -> Result<usize, ModelError> {
        self.facts.class(name, self.classes()?)
    }

    /// Number of classes.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoLogits`] when the model does not end in class scores.
    pub fn classes(&self) -> Result<usize, ModelError> {
        let logits = self.logits()?;
        Ok(logits.shape().iter().product())
    }

    /// The layer that holds the class scores, before any softmax.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoLogits`] when the model does not end in class scores.
    pub fn logits(&self) -> Result<&Layer, ModelError> {
        match (self.facts.head.kind().is_vector(), self.bound.scores()) {
            (true, scores) => Ok(scores?),
            (false, Err(missing @ GraphError::UnsupportedOperators(_))) => Err(missing.into()),
            (false, _) => Err(ModelError::NoLogits {
                reason: self.facts.head.no_vector(),
            }),
        }
    }

    /// Reads a photograph and prepares it as the network expects. An array, `FILE.npy` or
    /// `FILE.npz:MEMBER`, is the input as it is.
    ///
    /// # Errors
    ///
    /// [`ModelError::Input`] when the file is no image that can be read, or an array of another shape
    /// than the input's.
    pub fn read_image(&self, path: impl AsRef<Path>) -> Result<Photo, ModelError> {
        let path = path.as_ref();
        if is_array(path) {
            let array = open_array(path)?.mapv(|v| v as f32);
            let prepared = self.facts.spec.take(array, &path.display().to_string())?;
            return Ok(self.photo(prepared));
        }
        self.prepare(&open_image(path)?)
    }

    /// Prepares a decoded picture as the network expects.
    ///
    /// # Errors
    ///
    /// [`ModelError::Input`] when the picture cannot be resized, or the network takes more channels than
    /// pictures have.
    pub fn prepare(&self, picture: &image::DynamicImage) -> Result<Photo, ModelError> {
        Ok(self.photo(self.facts.spec.prepare(picture)?))
    }

    /// Takes an array `[C, H, W]` or `[1, C, H, W]` as the network's input, as it is.
    ///
    /// # Errors
    ///
    /// [`ModelError::Input`] for another shape, or numbers that are not finite.
    pub fn take(&self, array: ArrayD<f32>) -> Result<Photo, ModelError> {
        Ok(self.photo(self.facts.spec.take(array, "that was given")?))
    }

    fn photo(&self, prepared: Prepared) -> Photo {
        let shape: [usize; 4] = prepared.tensor.dim().into();
        let values = prepared.tensor.into_iter().collect::<Vec<f32>>();
        let remark = prepared.blended.map(|done| {
            Remark::new(format!(
                "the picture is partly transparent, which {} channels cannot hold: {}; \
                 Preparation::transparency says otherwise: white, black or dropped, as Pillow's convert to RGB does",
                shape[1],
                done.in_words()
            ))
        });
        Photo {
            tensor: Tensor::from_data(TensorData::new(values, shape), self.device()),
            picture: prepared.shown,
            remark,
        }
    }

    /// Class scores of a batch of images.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoLogits`] when the model does not end in class scores, or any error of the
    /// pass.
    pub fn classify(&self, images: &impl ImageBatch) -> Result<Scores, ModelError> {
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
            facts: Arc::clone(&self.facts),
        })
    }

    /// The same network with other weights: see [`BoundGraph::with_weights`]. It is no longer that of the
    /// file: [`sha256`](Self::sha256) is empty, and [`name`](Self::name) says so, if a weight was replaced.
    ///
    /// # Errors
    ///
    /// As [`BoundGraph::with_weights`].
    pub fn with_weights(
        &self,
        mut replace: impl FnMut(&str, ArrayViewD<'_, f32>) -> Option<ArrayD<f32>>,
    ) -> Result<Self, GraphError> {
        let mut is_other = false;
        let bound = self.bound.with_weights(|name, values| {
            let new = replace(name, values);
            is_other |= new.is_some();
            new
        })?;
        if !is_other {
            return Ok(self.clone());
        }
        let mut facts = Facts::clone(&self.facts);
        facts.sha256.clear();
        if !facts.name.ends_with(OTHER_WEIGHTS) {
            facts.name.push_str(OTHER_WEIGHTS);
        }
        Ok(Self {
            #[cfg(feature = "capture")]
            source: self.source.clone(),
            ..Self::new(bound, facts)
        })
    }
}

/// What the name of a network ends in that no file holds.
const OTHER_WEIGHTS: &str = ", with other weights";
