//! From an operator's name to what reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use elucid_rules::OpKind;

use crate::attributes::Attributes;
use crate::operator::Operator;

/// Reads a node's attributes. An error says, in words, what was expected and what came.
pub type Parse = fn(&Attributes) -> Result<Arc<dyn Operator>, String>;

/// One operator of one domain: a line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The domain; empty for ONNX's own.
    pub domain: &'static str,
    /// ONNX's `op_type`.
    pub name: &'static str,
    /// The first version of the operator set in which it is read so.
    pub since: i64,
    /// Reads it.
    pub parse: Parse,
}

impl Entry {
    /// An operator of ONNX's own domain.
    pub const fn onnx(name: &'static str, since: i64, parse: Parse) -> Self {
        Self {
            domain: "",
            name,
            since,
            parse,
        }
    }

    /// An operator of another domain.
    pub const fn of(domain: &'static str, name: &'static str, parse: Parse) -> Self {
        Self {
            domain,
            name,
            since: 1,
            parse,
        }
    }

    /// What it is called in messages and to rules: with its domain unless that is ONNX's own.
    pub fn kind(&self) -> OpKind {
        match self.domain {
            "" => OpKind::new(self.name),
            domain => OpKind::named(&format!("{domain}.{}", self.name)),
        }
    }
}

/// The operators that an import knows.
///
/// Where several entries have one name, that with the largest version up to the file's counts, and of
/// equal ones the last added.
#[derive(Debug, Clone)]
pub struct Registry {
    entries: BTreeMap<&'static str, BTreeMap<&'static str, Vec<Entry>>>,
}

impl Registry {
    /// The operators of this library.
    pub fn standard() -> Self {
        let empty = Self {
            entries: BTreeMap::new(),
        };
        crate::ops::entries().fold(empty, Self::with)
    }

    /// With one more operator, which may replace one that is there.
    #[must_use]
    pub fn with(mut self, entry: Entry) -> Self {
        let domain = self.entries.entry(entry.domain).or_default();
        let named = domain.entry(entry.name);
        named.or_default().push(entry);
        self
    }

    /// A domain as entries state it: ONNX's own has two names.
    pub fn domain(name: &str) -> &str {
        match name {
            "ai.onnx" => "",
            other => other,
        }
    }

    /// What reads the operator `name` of `domain` at version `opset`.
    pub fn find(&self, domain: &str, name: &str, opset: i64) -> Option<&Entry> {
        let named = self.entries.get(Self::domain(domain))?.get(name)?;
        let fits = named.iter().filter(|entry| entry.since <= opset);
        fits.max_by_key(|entry| entry.since)
    }

    /// Every entry, by domain, name and version.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self
            .entries
            .values()
            .flat_map(|domain| domain.values().flatten().copied())
            .collect();
        all.sort_by_key(|entry| (entry.domain, entry.name, entry.since));
        all
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::standard()
    }
}
