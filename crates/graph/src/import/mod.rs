//! ONNX bytes to a [`Graph`].

mod decoded;
mod node;
mod tensor;

use std::path::Path;

use bytes::Bytes;
use prost::Message;

use crate::builder::{GraphBuilder, NEWEST_OPSET, nameless};
use crate::error::GraphError;
use crate::graph::Graph;
use crate::host::ElementType;
use crate::limits::{Ledger, Limits};
use crate::names::Scopes;
use crate::proto::{FunctionProto, GraphProto, ModelProto, ValueInfoProto};
use crate::registry::{Registry, canonical};

/// Versions of ONNX's own operator set that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=NEWEST_OPSET;

/// The largest `.onnx` file, in bytes: the limit of the protobuf format itself.
pub const MAX_FILE: u64 = 2 << 30;

impl Graph {
    /// Imports a model from the bytes of an `.onnx` file.
    ///
    /// Weights that the model keeps in other files are looked for in `folder`. Operators that are not
    /// known stop nothing but what depends on them.
    ///
    /// # Errors
    ///
    /// Every way in which a file can be unusable has its own [`GraphError`].
    pub fn import(bytes: impl Into<Bytes>, folder: Option<&Path>) -> Result<Self, GraphError> {
        Self::import_with(bytes, folder, &Registry::standard())
    }

    /// The same with other operators than this library's own, of custom domains for instance.
    ///
    /// # Errors
    ///
    /// As [`Graph::import`].
    pub fn import_with(
        bytes: impl Into<Bytes>,
        folder: Option<&Path>,
        registry: &Registry,
    ) -> Result<Self, GraphError> {
        Self::import_within(bytes, folder, registry, Limits::default())
    }

    /// The same with other limits to the memory that it takes, now and in passes.
    ///
    /// # Errors
    ///
    /// As [`Graph::import`], and [`GraphError::TooLarge`] with the numbers when they do not suffice.
    pub fn import_within(
        bytes: impl Into<Bytes>,
        folder: Option<&Path>,
        registry: &Registry,
        limits: Limits,
    ) -> Result<Self, GraphError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(GraphError::Decode {
                reason: "the file is empty".to_owned(),
            });
        }
        let mut ledger = Ledger::new(limits, 0);
        let decoded = decoded::bytes(&bytes);
        let taken = ledger.hold(decoded);
        taken.map_err(|excess| excess.of("decoding the file"))?;
        let model = ModelProto::decode(bytes).map_err(|e| GraphError::Decode {
            reason: format!("{e}; the file is cut short, or not an ONNX file"),
        })?;
        let Some(graph) = &model.graph else {
            return Err(GraphError::Decode {
                reason: "it holds no graph, so it is not an ONNX model".to_owned(),
            });
        };
        if graph.node.is_empty() {
            return Err(GraphError::Malformed {
                reason: "the graph has no nodes".to_owned(),
            });
        }
        let source = Source {
            registry,
            folder,
            functions: &model.functions,
            opsets: Opsets::of(&model)?,
            scopes: Scopes::of(&model),
            limits,
        };
        let mut builder = GraphBuilder::with(registry, source.opsets.onnx).limits(limits);
        source.fill(&mut builder, graph, &mut ledger, 0)?;
        drop(source);
        for entry in &model.metadata_props {
            let (key, value) = (entry.key.as_deref(), entry.value.as_deref());
            builder.metadata(key.unwrap_or_default(), value.unwrap_or_default());
        }
        drop(model);
        ledger.release(decoded);
        builder.set_held(ledger.held());
        builder.build()
    }
}

/// Versions of the operator sets by domain.
#[derive(Debug, Clone)]
pub(crate) struct Opsets {
    pub onnx: i64,
    others: Vec<(String, i64)>,
}

impl Opsets {
    fn of(model: &ModelProto) -> Result<Self, GraphError> {
        let mut onnx = None;
        let mut others = Vec::new();
        for import in &model.opset_import {
            let domain = canonical(import.domain.as_deref().unwrap_or_default());
            let version = import.version.unwrap_or(0);
            match domain {
                "" if onnx.is_none() => onnx = Some(version),
                "" => {}
                _ => others.push((domain.to_owned(), version)),
            }
        }
        let onnx = onnx.ok_or_else(|| GraphError::Malformed {
            reason: "the model names no version of the ONNX operator set".to_owned(),
        })?;
        if OPSETS.contains(&onnx) {
            Ok(Self { onnx, others })
        } else {
            Err(GraphError::Malformed {
                reason: format!(
                    "operator set {onnx} is not supported, only {} to {}",
                    OPSETS.start(),
                    OPSETS.end()
                ),
            })
        }
    }

    /// The version of a domain; 1 for one that is not stated.
    pub fn version(&self, domain: &str) -> i64 {
        match canonical(domain) {
            "" => self.onnx,
            other => {
                let stated = self.others.iter().find(|(name, _)| name == other);
                stated.map_or(1, |(_, version)| *version)
            }
        }
    }
}

/// What a graph of a file is read with.
#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    pub registry: &'a Registry,
    pub folder: Option<&'a Path>,
    /// Operators that the file defines by other nodes.
    pub functions: &'a [FunctionProto],
    pub opsets: Opsets,
    pub scopes: Scopes,
    pub limits: Limits,
}

/// How deep bodies and functions may stand in each other.
pub(crate) const DEEPEST: usize = 32;

impl Source<'_> {
    /// Puts a graph of the file into `builder`. `ledger` counts what is taken, `depth` the bodies
    /// around it.
    fn fill(
        &self,
        builder: &mut GraphBuilder,
        graph: &GraphProto,
        ledger: &mut Ledger,
        depth: usize,
    ) -> Result<(), GraphError> {
        if depth > DEEPEST {
            return Err(GraphError::Malformed {
                reason: format!("bodies stand in each other more than {DEEPEST} deep"),
            });
        }
        for tensor in &graph.initializer {
            let name = tensor.name.as_deref().unwrap_or_default();
            if name.is_empty() {
                return Err(nameless("an initializer"));
            }
            let what = format!("initializer \"{name}\"");
            let value = tensor::decode(tensor, &what, self.folder, ledger)?;
            builder.constant(name, value)?;
        }
        for sparse in &graph.sparse_initializer {
            let name = sparse.values.as_ref().and_then(|v| v.name.as_deref());
            let name = name.unwrap_or_default();
            let what = format!("initializer \"{name}\"");
            let value = tensor::decode_sparse(sparse, &what, self.folder, ledger)?;
            builder.constant(name, value)?;
        }
        for info in &graph.input {
            let name = info.name.as_deref().unwrap_or_default();
            // Old files list initializers among the inputs.
            if !builder.holds(name) {
                let (kind, shape) = input_type(info)?;
                builder.input(name, kind, &shape)?;
            }
        }
        self.nodes(builder, &graph.node, ledger, depth)?;
        for output in &graph.output {
            builder.output(output.name.as_deref().unwrap_or_default());
        }
        Ok(())
    }
}

fn input_type(info: &ValueInfoProto) -> Result<(ElementType, Vec<Option<usize>>), GraphError> {
    let name = info.name.as_deref().unwrap_or_default();
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
    match kind.filter(|_| is_tensor) {
        Some(kind) => Ok((kind, shape.collect())),
        None => Err(GraphError::Malformed {
            reason: match is_tensor {
                true => {
                    format!("input \"{name}\" has element type {number}, which is not supported")
                }
                false => {
                    format!("input \"{name}\" is a sequence or an optional, expected a tensor")
                }
            },
        }),
    }
}
