//! Class scores.

use burn::tensor::Tensor;
use elucid_graph::LOGITS;
use elucid_vision::Model;

use super::{Objective, Seen, Term};
use crate::error::VisError;

/// A class by its index or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassName {
    /// Index of the class.
    Index(usize),
    /// Name of the class, or its index as text.
    Name(String),
}

impl From<usize> for ClassName {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for ClassName {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for ClassName {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl ClassName {
    fn index(&self, model: &Model) -> Result<usize, VisError> {
        Ok(match self {
            Self::Index(index) => model.class(&index.to_string())?,
            Self::Name(name) => model.class(name)?,
        })
    }
}

impl Objective {
    /// The score of a class before the softmax. Where the network computes scores only from images
    /// of its own size, it sees the picture resized, bilinearly, to that size.
    pub fn class(class: impl Into<ClassName>) -> Self {
        Self::new(Class(class.into()))
    }
}

#[derive(Debug)]
struct Class(ClassName);

impl Term for Class {
    fn name(&self) -> String {
        match &self.0 {
            ClassName::Index(index) => format!("class {index}"),
            ClassName::Name(name) => format!("class \"{name}\""),
        }
    }

    fn layers(&self) -> Vec<String> {
        vec![LOGITS.to_owned()]
    }

    fn check(&self, model: &Model) -> Result<(), VisError> {
        self.0.index(model).map(|_| ())
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let class = self.0.index(seen.model())?;
        Ok(seen.layer(LOGITS)?.narrow(1, class, 1).mean())
    }
}
