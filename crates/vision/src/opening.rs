//! From a file, or a graph, to a network: what is known of it, what was said, what is assumed.

mod input;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use elucid_graph::{BoundGraph, Graph, InputLayout, Limits};
use elucid_models::{Embedded, Entry, Found, Labels, manifest};
use elucid_onnx::Importer;
use ndarray::ArrayD;
use tracing::{info, warn};

use crate::error::ModelError;
use crate::head::{Asked, Probabilities, choose};
use crate::input::InputSpec;
use crate::model::{Facts, Model};
use crate::names;
use crate::preparation::Preparation;

/// Something that was assumed of a network, in a sentence that says how to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    text: String,
    is_about_names: bool,
}

impl Remark {
    /// A remark in these words: one sentence, without a full stop. What would move a terminal's cursor is
    /// replaced, since names come from files.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into().replace(char::is_control, "\u{fffd}"),
            is_about_names: false,
        }
    }

    /// A remark that falls with other names of the classes.
    pub(crate) fn about_names(text: impl Into<String>) -> Self {
        Self {
            is_about_names: true,
            ..Self::new(text)
        }
    }

    pub(crate) fn is_about_names(&self) -> bool {
        self.is_about_names
    }

    /// Its words.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a network is opened where its file does not say, or should not decide.
///
/// ```
/// use elucid_vision::{InputSpec, Opening};
///
/// # let device = burn::tensor::Device::flex();
/// let model = Opening::new()
///     .prepared_by(InputSpec::caffe([160, 160])?)
///     .find("inception_v1_small", &device)?;
/// # Ok::<(), elucid_vision::ModelError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Opening {
    spec: Option<InputSpec>,
    preparation: Preparation,
    layout: Option<InputLayout>,
    input: Option<String>,
    feeds: Vec<(String, ArrayD<f32>)>,
    output: Option<String>,
    logits: Option<String>,
    scores: Option<Probabilities>,
    labels: Option<Labels>,
    limits: Limits,
}

/// A graph, and where it came from.
struct Source {
    graph: Graph,
    known: Option<&'static Entry>,
    /// Where the file lies.
    path: Option<PathBuf>,
    name: String,
    sha256: String,
}

impl Opening {
    /// Everything as the file says, or is known of it, or is usual.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn of(spec: Option<InputSpec>) -> Self {
        Self {
            spec,
            ..Self::default()
        }
    }

    /// Pictures are prepared as `spec` says.
    #[must_use]
    pub fn prepared_by(mut self, spec: InputSpec) -> Self {
        self.spec = Some(spec);
        self
    }

    /// Pictures are prepared as `preparation` says, and in what it leaves out as they would be without
    /// it.
    #[must_use]
    pub fn adjusted_by(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// Where the channels of the input lie. Unless it is said, the sizes that the file states and the
    /// nodes behind the input say it.
    #[must_use]
    pub fn layout(mut self, layout: InputLayout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// Which input takes the picture that is explained, in a network of several.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>) -> Self {
        self.input = Some(name.into());
        self
    }

    /// The value of another input, of the shape that it states, which is held fixed: every pass gets it,
    /// for each picture of a batch. An axis of one may be left out in front.
    #[must_use]
    pub fn feed(mut self, name: impl Into<String>, value: ArrayD<f32>) -> Self {
        self.feeds.push((name.into(), value));
        self
    }

    /// This output is explained, of several.
    #[must_use]
    pub fn output(mut self, name: impl Into<String>) -> Self {
        self.output = Some(name.into());
        self
    }

    /// This layer holds the scores, before whatever the file makes of them.
    #[must_use]
    pub fn logits(mut self, layer: impl Into<String>) -> Self {
        self.logits = Some(layer.into());
        self
    }

    /// What makes probabilities of the scores, where the file does not say it, or says it wrongly. With
    /// [`Probabilities::None`] an output is explained as it is, whatever it ends in.
    #[must_use]
    pub fn scores(mut self, probabilities: Probabilities) -> Self {
        self.scores = Some(probabilities);
        self
    }

    /// What the classes are called.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// What the network may take in memory, now and in passes: more, or less, than 2 GB.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens an `.onnx` file.
    ///
    /// How pictures are prepared is said by this, else known of the file, else said by a file beside it
    /// (`NAME.json`, `preprocessor_config.json` or timm's `config.json`), by its metadata, or by what its
    /// first nodes do; else what is usual is assumed, which is among the model's
    /// [remarks](Model::remarks).
    ///
    /// # Errors
    ///
    /// [`ModelError::Head`] and [`ModelError::Labels`] when what was said of output and classes does not
    /// fit the network;
    /// [`ModelError::File`] when the file cannot be read; [`ModelError::Graph`] when what is in it is no
    /// graph, or takes more memory than the [limits](Opening::limits) allow; [`ModelError::Pictures`] when
    /// it is no network of pictures.
    pub fn open(&self, path: impl AsRef<Path>, device: &Device) -> Result<Model, ModelError> {
        let path = path.as_ref();
        let bytes = elucid_onnx::read(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        self.import(bytes, Some(path), name.into_owned(), device)
    }

    /// Opens a model by its path, or by a name of the manifest (`googlenet`, `squeezenet`).
    ///
    /// # Errors
    ///
    /// [`ModelError::NotFound`] when there is neither; it says what to type to download a known
    /// model, or which feature carries it.
    pub fn find(&self, name: &str, device: &Device) -> Result<Model, ModelError> {
        match elucid_models::resolve(name)? {
            Found::File(path) => self.open(path, device),
            Found::Embedded(network) => self.carried(network, device),
        }
    }

    fn carried(&self, network: Embedded, device: &Device) -> Result<Model, ModelError> {
        let name = network.name().to_owned();
        self.import(network.bytes().into(), None, name, device)
    }

    /// Opens the bytes of an `.onnx` file.
    ///
    /// # Errors
    ///
    /// As [`Opening::open`].
    pub fn bytes(
        &self,
        bytes: impl Into<bytes::Bytes>,
        device: &Device,
    ) -> Result<Model, ModelError> {
        self.import(bytes.into(), None, "model".to_owned(), device)
    }

    /// Makes a model of a graph that was imported with other operators than the library's own, or
    /// built.
    ///
    /// # Errors
    ///
    /// [`ModelError::Pictures`] unless one input takes pictures.
    pub fn graph(&self, graph: Graph, device: &Device) -> Result<Model, ModelError> {
        self.named_graph(graph, "graph", device, None)
    }

    /// A graph that no file holds, with what is to be said of where it is from.
    pub(crate) fn named_graph(
        &self,
        graph: Graph,
        name: &str,
        device: &Device,
        remark: Option<Remark>,
    ) -> Result<Model, ModelError> {
        let source = Source {
            graph,
            known: None,
            path: None,
            name: name.to_owned(),
            sha256: String::new(),
        };
        self.assemble(source, device, remark)
    }

    /// The preparation that is said here.
    #[cfg(feature = "capture")]
    pub(crate) fn said_spec(&self) -> Option<InputSpec> {
        self.spec.clone()
    }

    #[cfg(feature = "capture")]
    pub(crate) fn say_spec(&mut self, spec: InputSpec) {
        self.spec = Some(spec);
    }

    #[cfg(feature = "capture")]
    pub(crate) fn said_limits(&self) -> Limits {
        self.limits
    }

    /// The inputs that are fed, by their shapes for one image.
    #[cfg(feature = "capture")]
    pub(crate) fn beside(&self) -> Vec<elucid_capture::Beside> {
        let feeds = self.feeds.iter().map(|(name, value)| {
            let shape = value.shape();
            let row = match shape.split_first() {
                Some((1, row)) if !row.is_empty() => row,
                _ => shape,
            };
            elucid_capture::Beside::new(name, row)
        });
        feeds.collect()
    }

    fn import(
        &self,
        bytes: bytes::Bytes,
        path: Option<&Path>,
        name: String,
        device: &Device,
    ) -> Result<Model, ModelError> {
        let started = Instant::now();
        let sha256 = elucid_models::sha256::of_bytes(&bytes);
        let folder = path.and_then(Path::parent);
        let importer = Importer::new().folder(folder).limits(self.limits);
        let source = Source {
            graph: importer.import(bytes)?,
            known: manifest::by_sha256(&sha256),
            path: path.map(Path::to_owned),
            name,
            sha256,
        };
        let model = self.assemble(source, device, None)?;
        info!(
            model = model.name(),
            path = path.map(|path| tracing::field::display(path.display())),
            operators = model.bound().graph().nodes().len(),
            parameters = model.bound().graph().parameters(),
            input = ?model.input_spec().size(),
            elapsed_ms = started.elapsed().as_millis(),
            "opened"
        );
        Ok(model)
    }

    /// What is said of the head, here or by the manifest.
    fn asked(&self, bound: &BoundGraph, known: Option<&Entry>) -> Asked {
        let is_told = self.output.is_some() || self.logits.is_some() || self.scores.is_some();
        let stated = known.filter(|_| !is_told);
        let stated = stated.and_then(|entry| entry.logits.clone());
        let stated = stated.filter(|name| bound.graph().value(name).is_some());
        Asked {
            output: self.output.clone(),
            logits: self.logits.clone().or(stated),
            scores: self.scores,
            is_known: known.is_some() && !is_told,
        }
    }

    fn assemble(
        &self,
        source: Source,
        device: &Device,
        remark: Option<Remark>,
    ) -> Result<Model, ModelError> {
        let Source {
            graph,
            known,
            path,
            name,
            sha256,
        } = source;
        let mut remarks = Vec::from_iter(remark);
        let described = match known {
            Some(_) => None,
            None => input::described(path.as_deref(), &graph)?,
        };
        let (graph, pictures) = self.placed(graph, described.as_ref(), &mut remarks)?;
        let (spec, origin) = self.prepared(&graph, &pictures, known, described, &mut remarks)?;
        let input = pictures.input;
        let bound = BoundGraph::new(graph, device)
            .with_pictures(input, spec.size())?
            .with_range(spec.range());
        let (scores, head, of_head) = choose(&bound, &self.asked(&bound, known))?;
        remarks.extend(of_head);
        let bound = bound.with_scores(scores);
        let labels = match (&self.labels, known.and_then(Entry::labels)) {
            (Some(labels), _) => {
                names::check(labels, &head)?;
                Some(labels.clone())
            }
            (None, Some(labels)) if names::check(&labels, &head).is_ok() => Some(labels),
            (None, _) => names::unsaid(bound.graph(), &head, &mut remarks),
        };
        if runs_one_by_one(&bound) {
            remarks.push(Remark::new(
                "the file fixes a batch of one, and its images cannot be computed together: they \
                 run one at a time, whatever the batch size",
            ));
        }
        for remark in &remarks {
            warn!(model = name, "{remark}");
        }
        let facts = Facts {
            spec,
            origin,
            feeds: self.feeds.iter().map(input::fed).collect(),
            head,
            labels,
            sha256,
            name: known.map_or(name, |e| e.name.clone()),
            remarks,
        };
        Ok(Model::new(bound, facts))
    }
}

/// Whether images of a batch run one after the other on their way to the end of the network.
fn runs_one_by_one(bound: &BoundGraph) -> bool {
    let graph = bound.graph();
    let ends: Vec<&str> = match bound.scores() {
        Ok(scores) => vec![scores.name()],
        Err(_) => graph.outputs().iter().map(|&v| graph.name(v)).collect(),
    };
    // What cannot be planned is an error of whoever runs it.
    bound.runs_one_by_one(ends).unwrap_or(false)
}
