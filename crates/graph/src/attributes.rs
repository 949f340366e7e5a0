//! A node's attributes, apart from the format that they were read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::Graph;
use crate::host::{ElementType, HostTensor};
use crate::message::few;

/// The value of an attribute.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
    Tensor(HostTensor),
    /// The body of a loop or the branch of a condition.
    Graph(Arc<Graph>),
    /// What cannot be read here, and why.
    Unreadable(String),
}

macro_rules! attribute_from {
    ($($type:ty => $variant:ident),* $(,)?) => {
        $(impl From<$type> for Attribute {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

attribute_from! {
    i64 => Int,
    f32 => Float,
    &str => Text,
    Vec<i64> => Ints,
    &[i64] => Ints,
    Vec<f32> => Floats,
    HostTensor => Tensor,
    Arc<Graph> => Graph,
}

/// A node's attributes, and what else of the node decides how it is read: the version of its operator
/// set and the number of inputs and outputs.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    values: BTreeMap<String, Attribute>,
    opset: i64,
    inputs: usize,
    outputs: usize,
}

impl Attributes {
    /// No attributes.
    pub fn new(opset: i64, inputs: usize, outputs: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            opset,
            inputs,
            outputs,
        }
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Attribute>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// Version of the operator set of the node's domain.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Number of inputs that the node names, those left out before the last included.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of outputs that the node names.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// An attribute as it is.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.values.get(name)
    }

    /// An integer.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Attribute::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// An integer, or what holds without it.
    pub fn int_or(&self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    /// Whether an integer is there and not 0.
    pub fn flag(&self, name: &str) -> bool {
        self.int_or(name, 0) != 0
    }

    /// A number.
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.get(name)? {
            Attribute::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A number, or what holds without it.
    pub fn float_or(&self, name: &str, default: f32) -> f32 {
        self.float(name).unwrap_or(default)
    }

    /// A list of integers; an empty list of whatever is one, too.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        match self.get(name)? {
            Attribute::Ints(values) => Some(values.clone()),
            Attribute::Floats(values) if values.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    /// A list of numbers.
    pub fn floats(&self, name: &str) -> Option<Vec<f32>> {
        match self.get(name)? {
            Attribute::Floats(values) => Some(values.clone()),
            Attribute::Ints(values) if values.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Attribute::Text(value) => Some(value),
            _ => None,
        }
    }

    /// A text, or what holds without it.
    pub fn text_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.text(name).filter(|t| !t.is_empty()).unwrap_or(default)
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Option<&[String]> {
        match self.get(name)? {
            Attribute::Texts(values) => Some(values),
            _ => None,
        }
    }

    /// A tensor.
    ///
    /// # Errors
    ///
    /// When it is there and could not be read.
    pub fn tensor(&self, name: &str) -> Result<Option<&HostTensor>, String> {
        match self.get(name) {
            Some(Attribute::Tensor(value)) => Ok(Some(value)),
            Some(Attribute::Unreadable(reason)) => Err(format!("attribute {name}: {reason}")),
            _ => Ok(None),
        }
    }

    /// A graph.
    ///
    /// # Errors
    ///
    /// When it is missing or could not be read.
    pub fn graph(&self, name: &str) -> Result<Arc<Graph>, String> {
        match self.get(name) {
            Some(Attribute::Graph(graph)) => Ok(Arc::clone(graph)),
            Some(Attribute::Unreadable(reason)) => Err(format!("attribute {name}: {reason}")),
            _ => Err(format!("attribute {name} is missing")),
        }
    }

    /// The names of what the [graphs](Attribute::Graph) among them take from the graph around the node, in
    /// the order of the attributes' names. In a graph, these are inputs of the node behind its own.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        let bodies = self.values.values().filter_map(|value| match value {
            Attribute::Graph(body) => Some(body.captures()),
            _ => None,
        });
        bodies.flatten().map(String::as_str)
    }

    /// An element type, by ONNX's number or, before opset 6, by name.
    ///
    /// # Errors
    ///
    /// When it is no type that is known here.
    pub fn element_type(&self, name: &str) -> Result<Option<ElementType>, String> {
        let unknown = |what: String| format!("attribute {name}: element type {what} is not known");
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Int(number)) => {
                let known = i32::try_from(*number).ok().and_then(ElementType::from_onnx);
                known.map(Some).ok_or_else(|| unknown(number.to_string()))
            }
            Some(Attribute::Text(text)) => {
                let known = ElementType::from_name(text);
                known
                    .map(Some)
                    .ok_or_else(|| unknown(format!("\"{text}\"")))
            }
            Some(_) => Err(unknown("of this form".to_owned())),
        }
    }

    /// A list of integers that sizes are made of: each from `least` to what no network exceeds.
    ///
    /// # Errors
    ///
    /// When one is outside.
    pub fn sizes(&self, name: &str, least: usize) -> Result<Option<Vec<usize>>, String> {
        let Some(values) = self.ints(name) else {
            return Ok(None);
        };
        let size = |v: &i64| {
            let size = usize::try_from(*v).ok();
            size.filter(|&v| v >= least && v <= MAX_WINDOW)
        };
        let sizes: Option<Vec<usize>> = values.iter().map(size).collect();
        sizes.map(Some).ok_or_else(|| {
            format!(
                "attribute {name} is {}, expected numbers from {least} to {MAX_WINDOW}",
                few(&values)
            )
        })
    }
}

/// No network has a larger window, step or border; beyond it, sizes could overflow.
pub(crate) const MAX_WINDOW: usize = 1 << 20;
