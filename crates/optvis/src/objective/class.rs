//! Class scores.

use burn::tensor::Tensor;
use elucid_attribution::ClassRef;
use elucid_graph::LOGITS;

use super::{Objective, Seen, Term};
use crate::error::VisError;
use crate::subject::Subject;

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

impl From<&ClassName> for ClassRef {
    fn from(class: &ClassName) -> Self {
        match class {
            ClassName::Index(index) => Self::Index(*index),
            ClassName::Name(name) => Self::Label(name.clone()),
        }
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

    fn classes(&self) -> Vec<ClassName> {
        vec![self.0.clone()]
    }

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        let class = subject.class(&self.0);
        class.map_or(Ok(()), |class| subject.check_channel(LOGITS, class))
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let class = seen
            .subject()
            .class(&self.0)
            .ok_or_else(|| VisError::Unlisted { layer: self.name() })?;
        Ok(seen.layer(LOGITS)?.narrow(1, class, 1).mean())
    }
}
