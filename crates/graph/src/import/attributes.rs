//! Typed access to a node's attributes.

use crate::error::{GraphError, few};
use crate::proto::{AttributeProto, NodeProto};

/// A node's attributes, with errors that name the node.
pub(crate) struct Attributes<'a> {
    node: &'a NodeProto,
    label: &'a str,
}

impl<'a> Attributes<'a> {
    pub fn new(node: &'a NodeProto, label: &'a str) -> Self {
        Self { node, label }
    }

    pub fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node
            .attribute
            .iter()
            .find(|a| a.name.as_deref() == Some(name))
    }

    pub fn error(&self, reason: impl Into<String>) -> GraphError {
        GraphError::Operator {
            node: self.label.to_owned(),
            reason: reason.into(),
        }
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.find(name).map(|a| a.i.unwrap_or(0))
    }

    pub fn int_or(&self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.int_or(name, 0) != 0
    }

    pub fn float_or(&self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |a| a.f.unwrap_or(0.0))
    }

    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.find(name).map(|a| a.ints.clone())
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.find(name)
            .map(|a| String::from_utf8_lossy(a.s.as_deref().unwrap_or_default()).into_owned())
    }

    /// A pair of positive sizes, such as a stride.
    pub fn pair(&self, name: &str) -> Result<Option<[usize; 2]>, GraphError> {
        self.find(name)
            .map(|a| self.sizes::<2>(name, &a.ints, 1))
            .transpose()
    }

    pub fn sizes<const N: usize>(
        &self,
        name: &str,
        values: &[i64],
        least: usize,
    ) -> Result<[usize; N], GraphError> {
        let sizes: Option<Vec<usize>> = values
            .iter()
            .map(|&v| {
                usize::try_from(v)
                    .ok()
                    .filter(|&v| v >= least && v <= MAX_WINDOW)
            })
            .collect();
        sizes.and_then(|s| s.try_into().ok()).ok_or_else(|| {
            self.error(format!(
                "attribute {name} is {}, expected {N} numbers from {least} to {MAX_WINDOW} \
                 (only two-dimensional windows are supported)",
                few(values)
            ))
        })
    }
}

/// No network has a larger window, step or border; beyond it, sizes could overflow.
const MAX_WINDOW: usize = 1 << 20;
