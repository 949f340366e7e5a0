#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod decoded;
mod error;
mod node;
mod opsets;
pub mod proto;
mod scopes;
mod tensor;

use std::path::Path;

use bytes::Bytes;
use elucid_graph::message::quoted;
use elucid_graph::{ElementType, Graph, GraphBuilder, Ledger, Limits, Registry};
use prost::Message;

pub use self::error::ImportError;
use self::opsets::Opsets;
use self::proto::{FunctionProto, GraphProto, ModelProto, ValueInfoProto};
use self::scopes::Scopes;

/// The largest `.onnx` file, in bytes: the limit of the protobuf format itself.
pub const MAX_FILE: u64 = 2 << 30;

/// Imports a model from the bytes of an `.onnx` file, with the operators of this library and within the usual
/// [`Limits`]. [`Importer`] has the choices.
///
/// # Errors
///
/// As [`Importer::import`].
pub fn import(bytes: impl Into<Bytes>) -> Result<Graph, ImportError> {
    Importer::new().import(bytes)
}

/// Imports an `.onnx` file, with the weights that it keeps in other files beside it.
///
/// # Errors
///
/// As [`read`] and [`Importer::import`].
pub fn open(path: impl AsRef<Path>) -> Result<Graph, ImportError> {
    let path = path.as_ref();
    Importer::new().folder(path.parent()).import(read(path)?)
}

/// The bytes of an `.onnx` file.
///
/// # Errors
///
/// [`ImportError::Read`] when it cannot be read, [`ImportError::Decode`] when it is larger than
/// [`MAX_FILE`].
pub fn read(path: impl AsRef<Path>) -> Result<Bytes, ImportError> {
    let path = path.as_ref();
    let failed = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE {
        let reason = format!("{size} bytes is more than the format allows ({MAX_FILE})");
        return Err(ImportError::decode(reason));
    }
    Ok(std::fs::read(path).map_err(failed)?.into())
}

/// How a file is imported.
///
/// ```
/// use elucid_graph::{GraphError, Limits};
/// use elucid_onnx::{ImportError, Importer};
///
/// # fn read() -> Vec<u8> { Vec::new() }
/// let large = Limits::default().with_memory(8_000_000_000);
/// let graph = Importer::new().limits(large).import(read());
/// # assert!(matches!(graph, Err(ImportError::Decode { .. })));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Importer<'a> {
    folder: Option<&'a Path>,
    registry: Registry,
    limits: Limits,
}

impl<'a> Importer<'a> {
    /// From memory, with the operators of this library and within the usual limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Weights that the model keeps in other files are looked for in this folder, the one that its own file
    /// lies in. A model from memory has none.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<Option<&'a Path>>) -> Self {
        self.folder = folder.into();
        self
    }

    /// With other operators than this library's own, of custom domains for instance.
    #[must_use]
    pub fn operators(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// With other limits to the memory that the network takes, now and in passes.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Imports a model from the bytes of an `.onnx` file. Operators that are not known stop nothing but what
    /// depends on them.
    ///
    /// # Errors
    ///
    /// Every way in which a file can be unusable has its own [`ImportError`]; in
    /// [`ImportError::Graph`] what is wrong with the graph that it describes, and
    /// [`GraphError::TooLarge`](elucid_graph::GraphError::TooLarge) with the numbers when the limits do not
    /// suffice.
    pub fn import(&self, bytes: impl Into<Bytes>) -> Result<Graph, ImportError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(ImportError::decode("the file is empty"));
        }
        let mut ledger = Ledger::new(self.limits);
        let decoded = decoded::bytes(&bytes);
        let taken = ledger.hold(decoded);
        taken.map_err(|excess| ImportError::too_large("decoding the file", excess))?;
        let model = ModelProto::decode(bytes).map_err(|e| {
            ImportError::decode(format!("{e}; the file is cut short, or not an ONNX file"))
        })?;
        let graph = model
            .graph
            .as_ref()
            .ok_or_else(|| ImportError::decode("it holds no graph, so it is not an ONNX model"))?;
        if graph.node.is_empty() {
            return Err(ImportError::malformed("the graph has no nodes"));
        }
        let source = Source {
            registry: &self.registry,
            folder: self.folder,
            functions: &model.functions,
            opsets: Opsets::of(&model)?,
            scopes: Scopes::of(&model),
        };
        let mut builder = source.builder();
        source.fill(&mut builder, graph, &mut ledger, 0)?;
        drop(source);
        for entry in &model.metadata_props {
            builder.metadata(entry.key(), entry.value());
        }
        drop(model);
        ledger.release(decoded);
        Ok(builder.build_within(&mut ledger)?)
    }
}

/// What a graph of a file is read with.
#[derive(Debug, Clone)]
struct Source<'a> {
    registry: &'a Registry,
    folder: Option<&'a Path>,
    /// Operators that the file defines by other nodes.
    functions: &'a [FunctionProto],
    opsets: Opsets,
    scopes: Scopes,
}

/// How deep bodies and functions may stand in each other.
const DEEPEST: usize = 32;

impl Source<'_> {
    fn builder(&self) -> GraphBuilder {
        GraphBuilder::with(self.registry, self.opsets.onnx)
    }

    /// Puts a graph of the file into `builder`. `ledger` counts what is taken, `depth` the bodies
    /// around it.
    fn fill(
        &self,
        builder: &mut GraphBuilder,
        graph: &GraphProto,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<(), ImportError> {
        if depth > DEEPEST {
            let reason = format!("bodies stand in each other more than {DEEPEST} deep");
            return Err(ImportError::malformed(reason));
        }
        for tensor in &graph.initializer {
            let name = tensor.name();
            if name.is_empty() {
                return Err(ImportError::malformed("an initializer has no name"));
            }
            let what = format!("initializer {}", quoted(name));
            let value = tensor::decode(tensor, &what, self.folder, ledger)?;
            builder.constant(name, value)?;
        }
        for sparse in &graph.sparse_initializer {
            let name = sparse.values.as_ref().and_then(|v| v.name.as_deref());
            let name = name.unwrap_or_default();
            let what = format!("initializer {}", quoted(name));
            let value = tensor::decode_sparse(sparse, &what, self.folder, ledger)?;
            builder.constant(name, value)?;
        }
        for info in &graph.input {
            let name = info.name();
            // Old files list initializers among the inputs.
            if !builder.has_constant(name) {
                let (kind, shape) = input_type(info)?;
                builder.input(name, kind, &shape)?;
            }
        }
        self.nodes(builder, &graph.node, ledger, depth)?;
        for output in &graph.output {
            builder.output(output.name());
        }
        Ok(())
    }
}

fn input_type(info: &ValueInfoProto) -> Result<(ElementType, Vec<Option<usize>>), ImportError> {
    let name = quoted(info.name());
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let shape = tensor.and_then(|t| t.shape.as_ref());
    let dims = shape.map(|s| s.dim.as_slice()).unwrap_or_default();
    let shape = dims
        .iter()
        .map(|d| usize::try_from(d.dim_value?).ok().filter(|&d| d > 0));
    let number = tensor.and_then(|t| t.elem_type).unwrap_or(1);
    let kind = ElementType::from_onnx(number);
    // Bodies need not say.
    let kind = kind.or((number == 0).then_some(ElementType::F32));
    let is_tensor = info.r#type.as_ref().is_none_or(|t| t.tensor_type.is_some());
    let reason = match (is_tensor, kind) {
        (true, Some(kind)) => return Ok((kind, shape.collect())),
        (true, None) => {
            format!("input {name} has element type {number}, which is not supported")
        }
        (false, _) => format!("input {name} is a sequence or an optional, expected a tensor"),
    };
    Err(ImportError::malformed(reason))
}
