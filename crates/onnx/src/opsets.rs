//! Versions of operator sets.

use elucid_graph::{GraphBuilder, Registry};

use crate::error::ImportError;
use crate::proto::{FunctionProto, ModelProto, OperatorSetIdProto};

/// Versions of ONNX's own operator set that are understood.
const UNDERSTOOD: std::ops::RangeInclusive<i64> = 1..=GraphBuilder::NEWEST_OPSET;

/// Versions of the operator sets by domain.
#[derive(Debug, Clone)]
pub(crate) struct Opsets {
    pub onnx: i64,
    others: Vec<(String, i64)>,
}

fn stated(import: &OperatorSetIdProto) -> (&str, i64) {
    let domain = import.domain();
    (Registry::domain(domain), import.version())
}

impl Opsets {
    pub fn of(model: &ModelProto) -> Result<Self, ImportError> {
        let mut onnx = None;
        let mut others = Vec::new();
        for (domain, version) in model.opset_import.iter().map(stated) {
            match domain {
                "" => _ = onnx.get_or_insert(version),
                _ => others.push((domain.to_owned(), version)),
            }
        }
        let onnx = onnx.ok_or_else(|| {
            ImportError::malformed("the model names no version of the ONNX operator set")
        })?;
        if UNDERSTOOD.contains(&onnx) {
            return Ok(Self { onnx, others });
        }
        let (first, last) = (UNDERSTOOD.start(), UNDERSTOOD.end());
        let reason = format!("operator set {onnx} is not supported, only {first} to {last}");
        Err(ImportError::malformed(reason))
    }

    /// Those that hold inside a function: its own, and the model's for what it does not state.
    pub fn within(&self, function: &FunctionProto) -> Self {
        let mut onnx = self.onnx;
        let mut others = Vec::new();
        for (domain, version) in function.opset_import.iter().map(stated) {
            match domain {
                "" => onnx = version,
                _ => others.push((domain.to_owned(), version)),
            }
        }
        others.extend(self.others.iter().cloned());
        Self { onnx, others }
    }

    /// The version of a domain; 1 for one that is not stated.
    pub fn version(&self, domain: &str) -> i64 {
        match Registry::domain(domain) {
            "" => self.onnx,
            other => {
                let stated = self.others.iter().find(|(name, _)| name == other);
                stated.map_or(1, |(_, version)| *version)
            }
        }
    }
}
