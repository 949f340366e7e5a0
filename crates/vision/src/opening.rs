//! From a file, or a graph, to a network: what is known of it, what was said, what is assumed.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use elucid_graph::{BoundGraph, ElementType, Graph, GraphError, HostTensor, Layout, MAX_FILE};
use elucid_models::{Embedded, Entry, Found, Labels, manifest};
use ndarray::ArrayD;

use crate::error::ModelError;
use crate::head::find_logits;
use crate::input::{ChannelOrder, InputError, InputSpec};
use crate::model::{Facts, Model};
use crate::pictures::{Pictures, list};
use crate::preparation::{Described, Origin, Preparation, beside, in_metadata};
use crate::within::{Takes, Within};

/// Something that was assumed of a network, in a sentence that says how to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark(String);

impl Remark {
    /// A remark in these words: one sentence, without a full stop.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its words.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
    layout: Option<Layout>,
    input: Option<String>,
    feeds: Vec<(String, ArrayD<f32>)>,
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
    pub fn layout(mut self, layout: Layout) -> Self {
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

    /// Opens an `.onnx` file.
    ///
    /// How pictures are prepared is said by this, else known of the file, else said by a file beside it
    /// (`NAME.json`, `preprocessor_config.json` or timm's `config.json`), by its metadata, or by what its
    /// first nodes do; else what is usual is assumed, which is among the model's
    /// [remarks](Model::remarks).
    ///
    /// # Errors
    ///
    /// [`ModelError::Graph`] when the file cannot be read or imported, or is no network of pictures.
    pub fn open(&self, path: impl AsRef<Path>, device: &Device) -> Result<Model, ModelError> {
        let path = path.as_ref();
        let read = |source| GraphError::Read {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(read)?.len();
        if size > MAX_FILE {
            return Err(ModelError::Graph(GraphError::Decode {
                reason: format!("{size} bytes is more than the format allows ({MAX_FILE})"),
            }));
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        self.import(bytes.into(), Some(path), name.into_owned(), device)
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
        let source = Source {
            graph,
            known: None,
            path: None,
            name: "graph".to_owned(),
            sha256: String::new(),
        };
        self.assemble(source, device)
    }

    fn import(
        &self,
        bytes: bytes::Bytes,
        path: Option<&Path>,
        name: String,
        device: &Device,
    ) -> Result<Model, ModelError> {
        let sha256 = elucid_models::sha256::of_bytes(&bytes);
        let source = Source {
            graph: Graph::import(bytes, path.and_then(Path::parent))?,
            known: manifest::by_sha256(&sha256),
            path: path.map(Path::to_owned),
            name,
            sha256,
        };
        self.assemble(source, device)
    }

    fn assemble(&self, source: Source, device: &Device) -> Result<Model, ModelError> {
        let Source {
            graph,
            known,
            path,
            name,
            sha256,
        } = source;
        let mut remarks = Vec::new();
        let described = match known {
            Some(_) => None,
            None => described(path.as_deref(), &graph)?,
        };
        let (graph, pictures) = self.placed(graph, described.as_ref(), &mut remarks)?;
        let (spec, origin) = self.prepared(&graph, &pictures, known, described, &mut remarks)?;
        let input = pictures.input;
        let stated = known
            .and_then(|e| e.logits.as_deref())
            .and_then(|n| graph.value(n));
        let logits = stated.or_else(|| find_logits(&graph));
        let mut bound = BoundGraph::new(graph, device)
            .with_pictures(input, spec.size())?
            .with_range(spec.range());
        if let Some(logits) = logits {
            bound = bound.with_scores(logits);
        }
        let classes = bound.scores().ok().map(|l| l.shape().iter().product());
        // A file that nobody described is taken for one of ImageNet's by the number of its classes.
        let labels = known.map_or_else(|| Some(Labels::imagenet()), Entry::labels);
        let facts = Facts {
            spec,
            origin,
            feeds: self.feeds.iter().map(fed).collect(),
            labels: labels.filter(|labels| classes == Some(labels.len())),
            sha256,
            name: known.map_or(name, |e| e.name.clone()),
            remarks,
        };
        Ok(Model::new(bound, facts))
    }

    /// The graph with one input of pictures `[N, C, H, W]`, other inputs held at what is fed.
    fn placed(
        &self,
        mut graph: Graph,
        described: Option<&(Origin, Described)>,
        remarks: &mut Vec<Remark>,
    ) -> Result<(Graph, Pictures), ModelError> {
        let described = described.map(|(_, described)| described);
        let named = self.input.as_ref();
        let named = named.or(described.and_then(|d| d.input.as_ref())).cloned();
        let fed: Vec<String> = self.feeds.iter().map(|(name, _)| name.clone()).collect();
        let layout = self.layout.or(described.and_then(|d| d.layout));
        let mut pictures = Pictures::find(&graph, named.as_deref(), layout, &fed)?;
        for (name, value) in &self.feeds {
            let input = graph.inputs().iter().map(|i| i.value);
            let Some(input) = input.into_iter().find(|v| graph.name(*v) == name) else {
                return Err(ModelError::Pictures {
                    reason: format!(
                        "no input \"{name}\" to feed: the network has {}",
                        list(&graph)
                    ),
                });
            };
            let values = value.iter().copied().collect();
            let held = HostTensor::of_floats(ElementType::F32, value.shape(), values);
            let held = held.map_err(|reason| ModelError::Pictures { reason })?;
            graph = graph.hold(input, &held, Some(pictures.input))?;
        }
        pictures.check_others(&graph)?;
        if pictures.layout_is_guessed {
            remarks.push(Remark::new(format!(
                "input \"{}\" was taken for one with channels last, by its sizes alone; --layout nchw \
                 says otherwise",
                graph.name(pictures.input)
            )));
        }
        let channels = match (pictures.channels, &self.spec) {
            (None, Some(spec)) => spec.channels(),
            (channels, _) => channels.unwrap_or(3),
        };
        pictures.channels = Some(channels);
        let (graph, input) = graph.of_pictures(pictures.input, pictures.layout, channels)?;
        pictures.input = input;
        Ok((graph, pictures))
    }

    /// How pictures are prepared, and who says so.
    fn prepared(
        &self,
        graph: &Graph,
        pictures: &Pictures,
        known: Option<&Entry>,
        described: Option<(Origin, Described)>,
        remarks: &mut Vec<Remark>,
    ) -> Result<(InputSpec, Origin), ModelError> {
        let mut base = pictures.usual_spec()?;
        let mut origin = Origin::Assumed;
        let mut size_is_said = self.preparation.size.is_some()
            || self.spec.is_some()
            || known.is_some()
            || pictures.stated.iter().all(Option::is_some);
        if let Some(spec) = &self.spec {
            (base, origin) = (spec.clone(), Origin::Given);
        } else if let Some(entry) = known {
            (base, origin) = (InputSpec::from_manifest(&entry.input)?, Origin::Known);
        } else if let Some((said_by, described)) = described {
            let mut said = described.preparation;
            size_is_said |= said.size.is_some();
            if let [Some(height), Some(width)] = pictures.stated {
                said.size = Some([height, width]);
            }
            // A short side that was said for another size keeps its proportion.
            base = said.apply(base)?;
            remarks.extend(described.remarks.into_iter().map(Remark::new));
            if said.says_values() {
                origin = said_by;
            }
        }
        if matches!(origin, Origin::Assumed) {
            let channels = base.channels();
            let found = Within::find(graph, pictures.input, channels);
            let takes = match (pictures.kind, &found) {
                (ElementType::I8, _) => Some(Takes::SignedBytes),
                (kind, _) if kind.is_int() => Some(Takes::Bytes),
                (_, within) => within.as_ref().and_then(Within::takes),
            };
            if let Some(takes) = takes {
                let (scale, mean) = match takes {
                    Takes::Bytes => (1.0, 0.0),
                    Takes::SignedBytes => (1.0, 128.0),
                    Takes::Shares => (1.0 / 255.0, 0.0),
                };
                let ones = vec![1.0; channels];
                base = base.with_normalisation(scale, vec![mean; channels], ones)?;
                if found.as_ref().is_some_and(Within::is_blue_first) {
                    base = base.with_order(ChannelOrder::Bgr);
                }
                origin = Origin::Network;
                if !self.preparation.says_values() {
                    remarks.push(taken_remark(takes, pictures, found.as_ref()));
                }
            }
        }
        let is_assumed = matches!(origin, Origin::Assumed) && !self.preparation.says_values();
        let spec = self.preparation.apply(base)?;
        if let Some(channels) = pictures.channels.filter(|c| *c != spec.channels()) {
            let got = spec.channels();
            let what = "a preparation";
            return Err(InputError::PerChannel {
                what,
                got,
                channels,
            }
            .into());
        }
        if is_assumed && spec.channels() <= 4 {
            remarks.push(assumed_remark(&spec, pictures));
        } else if !size_is_said {
            let [height, width] = spec.size();
            remarks.push(Remark::new(format!(
                "the file leaves the size of its pictures open: {height} x {width} pixels are assumed; \
                 --input-size says otherwise"
            )));
        }
        let origin = match self.preparation.says_values() {
            true => Origin::Given,
            false => origin,
        };
        Ok((spec, origin))
    }
}

/// What a file beside the network, or its own metadata, say of its input.
fn described(
    path: Option<&Path>,
    graph: &Graph,
) -> Result<Option<(Origin, Described)>, ModelError> {
    if let Some((file, described)) = path.map(beside).transpose()?.flatten() {
        return Ok(Some((Origin::Beside(file), described)));
    }
    let described = in_metadata(graph.metadata())?;
    Ok(described.map(|described| (Origin::Metadata, described)))
}

/// A held input's name, and what identifies its value.
fn fed((name, value): &(String, ArrayD<f32>)) -> (String, String) {
    let shape = format!("{:?}", value.shape());
    let bytes = value.iter().flat_map(|v| v.to_le_bytes());
    let bytes: Vec<u8> = shape.into_bytes().into_iter().chain(bytes).collect();
    (name.clone(), elucid_models::sha256::of_bytes(&bytes))
}

fn taken_remark(takes: Takes, pictures: &Pictures, within: Option<&Within>) -> Remark {
    let values = match takes {
        Takes::Bytes => "0 to 255",
        Takes::SignedBytes => "-128 to 127",
        Takes::Shares => "0 to 1",
    };
    Remark::new(match within {
        Some(within) => {
            let order = match within.is_blue_first() {
                true => " in the order blue, green, red, whose means these are",
                false => "",
            };
            format!(
                "pictures are normalised inside the network, {}: values of {values} go in{order}; \
                 --scale, --mean, --std and --channel-order change it",
                within.text()
            )
        }
        None => format!(
            "the network's input holds {}: values of {values} go in; --scale, --mean and --std change \
             it",
            pictures.kind
        ),
    })
}

fn assumed_remark(spec: &InputSpec, pictures: &Pictures) -> Remark {
    let what = match spec.channels() {
        3 => "ImageNet's usual preparation was assumed",
        _ => "values of 0 to 1 were assumed",
    };
    let size = match pictures.stated {
        [Some(_), Some(_)] => "",
        _ => ", --input-size",
    };
    let [height, width] = spec.size();
    Remark::new(format!(
        "nobody says how pictures are prepared for this network: {what} ((pixel * {} - {:?}) / {:?}, \
         {height} x {width} pixels, {}); --scale, --mean, --std, --channel-order, --resize{size} or a \
         file NAME.json beside it change that",
        spec.scale(),
        spec.mean(),
        spec.std(),
        spec.resize()
    ))
}
