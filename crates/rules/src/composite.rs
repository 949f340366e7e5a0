//! Which operators get which rule: written once, for gradients and for relevance alike.

use std::fmt;
use std::sync::Arc;

use wildmatch::WildMatch;

use crate::{Algebra, OpKind, RuleError};

/// Where an operator stands among the layers with weights.
///
/// A *layer* here is an operator with weights (a convolution or a dense layer) with all that follows
/// it up to the next ones: activations, pools, normalisations. Layers are counted along the longest
/// path, so that in a network with branches several operators can be, say, the third layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// The number of its layer from the input, 1 for the first; 0 for what comes before all layers.
    pub from_input: usize,
    /// The number of its layer from the output, 1 for the last.
    pub from_output: usize,
    /// Layers of the network, along the longest path.
    pub layers: usize,
}

impl Depth {
    /// Which part of the layers comes before this one: 0 for the first, below 1 for the last.
    pub fn fraction(&self) -> f64 {
        let before = self.from_input.saturating_sub(1);
        before as f64 / self.layers.max(1) as f64
    }
}

/// What an entry of a [`Composite`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What the operator is called.
    pub kind: OpKind,
    /// What it is.
    pub algebra: Algebra,
    /// The layer that it computes, its node's name, the module that it stands in, and aliases.
    pub names: &'a [&'a str],
    /// Whether it has weights and no operator with weights comes before it.
    pub is_first: bool,
    /// Where it stands, if that is known.
    pub depth: Option<Depth>,
}

impl<'a> Subject<'a> {
    /// An operator somewhere in the middle.
    pub fn new(kind: OpKind, algebra: Algebra, names: &'a [&'a str]) -> Self {
        Self {
            kind,
            algebra,
            names,
            is_first: false,
            depth: None,
        }
    }
}

/// Which operators an entry is about.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Which {
    /// Every operator.
    Every,
    /// Those that are called so.
    Kind(OpKind),
    /// Those that are of this algebra.
    Algebra(Algebra),
    /// Those of which a name fits a glob: `*` stands for any text, `/` included, and `?` for any one
    /// character, upper and lower case distinct.
    Named(String, WildMatch),
    /// The first ones that have weights. A rule for one tensor ([`GradRule`](crate::GradRule)) sees no
    /// weights, and is refused there.
    First,
    /// Those of the first so many layers: the convolutions and dense layers that fewer others come
    /// before, and what follows them up to the next ones. What comes before all layers is among them.
    FirstLayers(usize),
    /// Those of the last so many layers.
    LastLayers(usize),
    /// Those of the layers whose [fraction of depth](Depth::fraction) is at least the first number and
    /// below the second: `Depth(0.0, 1.0 / 3.0)` is the lower third, and `Depth(2.0 / 3.0, 1.0)` the
    /// upper one. Ranges that meet leave no layer out and have none in common.
    Depth(f64, f64),
    /// Those that all of these are about.
    All(Vec<Which>),
    /// Those that any of these is about.
    Any(Vec<Which>),
}

impl Which {
    /// Those of which a name fits `pattern`.
    pub fn named(pattern: &str) -> Self {
        Self::Named(pattern.to_owned(), WildMatch::new(pattern))
    }

    /// Whether `subject` is one of them.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Every => true,
            Self::Kind(kind) => subject.kind == *kind,
            Self::Algebra(algebra) => subject.algebra == *algebra,
            Self::Named(_, pattern) => subject.names.iter().any(|name| pattern.matches(name)),
            Self::First => subject.is_first,
            Self::FirstLayers(n) => subject.depth.is_some_and(|depth| depth.from_input <= *n),
            Self::LastLayers(n) => subject.depth.is_some_and(|depth| depth.from_output <= *n),
            Self::Depth(from, to) => subject.depth.is_some_and(|depth| {
                let fraction = depth.fraction();
                *from <= fraction && fraction < *to
            }),
            Self::All(parts) => parts.iter().all(|part| part.matches(subject)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(subject)),
        }
    }

    /// Whether it says of which kind or algebra operators are, not only where they stand.
    pub(crate) fn says_what(&self) -> bool {
        match self {
            Self::Kind(_) | Self::Algebra(_) => true,
            Self::All(parts) => parts.iter().any(Self::says_what),
            Self::Any(parts) => parts.iter().all(Self::says_what),
            _ => false,
        }
    }

    /// The globs in it.
    fn patterns(&self) -> Vec<&str> {
        match self {
            Self::Named(pattern, _) => vec![pattern],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::patterns).collect(),
            _ => Vec::new(),
        }
    }
}

impl From<OpKind> for Which {
    fn from(kind: OpKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<Algebra> for Which {
    fn from(algebra: Algebra) -> Self {
        Self::Algebra(algebra)
    }
}

impl From<&[OpKind]> for Which {
    fn from(kinds: &[OpKind]) -> Self {
        Self::Any(kinds.iter().copied().map(Self::Kind).collect())
    }
}

impl<const N: usize> From<[OpKind; N]> for Which {
    fn from(kinds: [OpKind; N]) -> Self {
        Self::from(kinds.as_slice())
    }
}

impl<const N: usize> From<[Algebra; N]> for Which {
    fn from(algebras: [Algebra; N]) -> Self {
        Self::Any(algebras.map(Self::Algebra).to_vec())
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Which], between: &str| {
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    f.write_str(between)?;
                }
                write!(f, "{part}")?;
            }
            Ok(())
        };
        match self {
            Self::Every => f.write_str("every operator"),
            Self::Kind(kind) => write!(f, "{kind}"),
            Self::Algebra(algebra) => write!(f, "{algebra}"),
            Self::Named(pattern, _) => write!(f, "`{pattern}`"),
            Self::First => f.write_str("the first layer"),
            Self::FirstLayers(1) => f.write_str("the first layer and what follows it"),
            Self::FirstLayers(n) => write!(f, "the first {n} layers"),
            Self::LastLayers(1) => f.write_str("the last layer and what follows it"),
            Self::LastLayers(n) => write!(f, "the last {n} layers"),
            Self::Depth(from, to) => write!(f, "the layers from {from:.2} to {to:.2} of the depth"),
            Self::All(parts) => list(f, parts, " in "),
            Self::Any(parts) => list(f, parts, " or "),
        }
    }
}

impl fmt::Debug for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One line of a [`Composite`].
#[derive(Debug)]
pub struct Entry<R: ?Sized> {
    /// Which operators it is about.
    pub which: Which,
    /// What they get.
    pub rule: Arc<R>,
    /// Whether a network may have none of them.
    pub may_match_nothing: bool,
}

impl<R: ?Sized> Clone for Entry<R> {
    fn clone(&self) -> Self {
        Self {
            which: self.which.clone(),
            rule: Arc::clone(&self.rule),
            may_match_nothing: self.may_match_nothing,
        }
    }
}

/// Which operators get which rule: an ordered list, of which the first match wins.
#[derive(Debug)]
pub struct Composite<R: ?Sized> {
    name: Option<String>,
    entries: Vec<Entry<R>>,
    must_match_any: bool,
}

impl<R: ?Sized> Clone for Composite<R> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            entries: self.entries.clone(),
            must_match_any: self.must_match_any,
        }
    }
}

impl<R: ?Sized> Default for Composite<R> {
    fn default() -> Self {
        Self {
            name: None,
            entries: Vec::new(),
            must_match_any: false,
        }
    }
}

impl<R: ?Sized> Composite<R> {
    /// Appends an entry, which must be about some operator of a network.
    pub fn push(&mut self, which: impl Into<Which>, rule: Arc<R>) {
        self.entries.push(Entry {
            which: which.into(),
            rule,
            may_match_nothing: false,
        });
    }

    /// Appends an entry about operators that a network need not have.
    pub fn push_where_present(&mut self, which: impl Into<Which>, rule: Arc<R>) {
        self.push(which, rule);
        if let Some(entry) = self.entries.last_mut() {
            entry.may_match_nothing = true;
        }
    }

    /// Lets all entries so far be about operators that a network does not have.
    pub fn allow_no_match(&mut self) {
        for entry in &mut self.entries {
            entry.may_match_nothing = true;
        }
    }

    /// Demands that one entry at least is about some operator of a network.
    pub fn demand_any_match(&mut self) {
        self.must_match_any = true;
    }

    /// Appends another list, which decides where this one has no match.
    pub fn extend(&mut self, other: &Self) {
        self.entries.extend(other.entries.iter().cloned());
    }

    /// Sets the name under which the list appears in reports.
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.name = Some(name.into());
    }

    /// The name given.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[Entry<R>] {
        &self.entries
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The globs of names, in order.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flat_map(|entry| entry.which.patterns())
    }

    /// The first entry that is about `subject` and whose rule `covers` it, and its place.
    pub fn find(
        &self,
        subject: &Subject<'_>,
        covers: impl Fn(&R) -> bool,
    ) -> Option<(usize, &Entry<R>)> {
        self.entries
            .iter()
            .enumerate()
            .find(|(_, entry)| entry.which.matches(subject) && covers(&entry.rule))
    }

    /// Refuses an entry that is about none of a network's operators, unless it is for what is present,
    /// and a list that is about none although it must be.
    ///
    /// # Errors
    ///
    /// [`RuleError::MatchesNothing`], with the names nearest to its pattern and the kinds that occur.
    pub fn check_matches(
        &self,
        subjects: &[Subject<'_>],
        describe: impl Fn(&R) -> String,
    ) -> Result<(), RuleError> {
        let matches = |entry: &Entry<R>| subjects.iter().any(|s| entry.which.matches(s));
        let mut required = self.entries.iter().filter(|entry| !entry.may_match_nothing);
        if let Some(entry) = required.find(|entry| !matches(entry)) {
            return Err(matches_nothing(
                describe(&entry.rule),
                &entry.which,
                subjects,
            ));
        }
        if self.must_match_any && !self.entries.iter().any(matches) {
            let all = Which::Any(self.entries.iter().map(|e| e.which.clone()).collect());
            let name = self.name().unwrap_or("custom").to_owned();
            return Err(matches_nothing(name, &all, subjects));
        }
        Ok(())
    }
}

fn matches_nothing(rule: String, which: &Which, subjects: &[Subject<'_>]) -> RuleError {
    let mut kinds: Vec<OpKind> = subjects.iter().map(|subject| subject.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let names = subjects.iter().flat_map(|subject| subject.names);
    RuleError::MatchesNothing {
        rule,
        which: which.to_string(),
        nearest: nearest(&which.patterns(), names.copied()),
        kinds,
    }
}

/// The names that globs were most likely meant to fit.
fn nearest<'a>(patterns: &[&str], names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const SHOWN: usize = 3;
    let wanted: Vec<String> = patterns
        .iter()
        .map(|pattern| pattern.replace(['*', '?'], ""))
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| {
            let alike = |wanted: &String| {
                let begins: String = name.chars().take(wanted.chars().count()).collect();
                strsim::jaro_winkler(wanted, &begins).max(strsim::jaro_winkler(wanted, name))
            };
            (wanted.iter().map(alike).fold(0.0, f64::max), name)
        })
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, name)| *name);
    scored
        .into_iter()
        .take(SHOWN)
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composite(entries: &[(Which, &str)]) -> Composite<str> {
        let mut made = Composite::default();
        for (which, rule) in entries {
            made.push(which.clone(), Arc::from(*rule));
        }
        made
    }

    fn found<'c>(composite: &'c Composite<str>, subject: &Subject<'_>) -> Option<&'c str> {
        composite
            .find(subject, |_| true)
            .map(|(_, entry)| &*entry.rule)
    }

    #[test]
    fn the_first_match_wins() {
        let list = composite(&[
            (Which::First, "first"),
            (
                Which::All(vec![OpKind::Relu.into(), Which::named("layer3.*")]),
                "some",
            ),
            (Algebra::Activation.into(), "activation"),
            ([OpKind::Conv, OpKind::Gemm].into(), "weighted"),
        ]);
        let relu = |names| Subject::new(OpKind::Relu, Algebra::Activation, names);
        assert_eq!(found(&list, &relu(&["layer3.1"])), Some("some"));
        assert_eq!(found(&list, &relu(&["layer4.1"])), Some("activation"));
        let mut conv = Subject::new(OpKind::Conv, Algebra::Convolution, &[]);
        assert_eq!(found(&list, &conv), Some("weighted"));
        conv.is_first = true;
        assert_eq!(found(&list, &conv), Some("first"));
        let pool = Subject::new(OpKind::MaxPool, Algebra::Maximum, &[]);
        assert_eq!(found(&list, &pool), None);
        let (place, _) = list.find(&conv, |rule| rule != "first").unwrap();
        assert_eq!(place, 3);
    }

    #[test]
    fn an_entry_about_nothing_is_named() {
        let list = composite(&[(Which::named("inception5*"), "guided")]);
        let subjects = [
            Subject::new(OpKind::Conv, Algebra::Convolution, &["inception_5a/1x1"]),
            Subject::new(OpKind::Relu, Algebra::Activation, &["inception_5a/relu"]),
        ];
        let error = list.check_matches(&subjects, str::to_owned).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`inception5*`"), "{text}");
        assert!(text.contains("inception_5a/1x1"), "{text}");
        assert!(text.contains("Conv, Relu"), "{text}");
        let fits = composite(&[(Which::named("inception_5*"), "guided")]);
        assert!(fits.check_matches(&subjects, str::to_owned).is_ok());
        let clips = composite(&[(OpKind::Clip.into(), "guided")]);
        let text = clips.check_matches(&subjects, str::to_owned).unwrap_err();
        assert!(text.to_string().contains("Clip"), "{text}");
        let first = composite(&[(Which::First, "guided")]);
        assert!(first.check_matches(&subjects, str::to_owned).is_err());
    }
}
