use std::sync::Arc;

use wildmatch::WildMatch;

use crate::pool::TrueMaxPool;
use crate::relu::TrueRectifier;
use crate::{DeconvRelu, GradRule, GuidedRelu, OpKind, Operator, Rule, RuleError, SmoothMaxPool};

/// The true gradient: for exempting operators from rules further down the list.
///
/// ```
/// use elucid_rules::{GuidedRelu, OpKind, Rules, TrueRule};
///
/// let all_but_the_stem = Rules::new()
///     .on_layers("conv1*", TrueRule)
///     .on(OpKind::Relu, GuidedRelu);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrueRule;

impl Rule for TrueRule {
    fn name(&self) -> String {
        "true gradient".to_owned()
    }

    fn applies_to(&self, _kind: OpKind) -> bool {
        true
    }

    fn is_true(&self) -> bool {
        true
    }

    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        if let Operator::MaxPool(pool) = op {
            return Ok(Arc::new(TrueMaxPool(**pool)));
        }
        match TrueRectifier::bind(op) {
            Some(rule) => Ok(Arc::new(rule)),
            None => Err(RuleError::Unsupported {
                rule: Rule::name(&*self),
                kind: op.kind(),
                supported: vec![OpKind::Relu, OpKind::Clip, OpKind::MaxPool],
            }),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    kind: Option<OpKind>,
    layers: Option<(String, WildMatch)>,
    rule: Arc<dyn Rule>,
}

impl Entry {
    fn matches(&self, kind: OpKind, names: &[&str]) -> bool {
        let kind_fits = match self.kind {
            Some(wanted) => wanted == kind,
            None => self.rule.applies_to(kind),
        };
        let name_fits = match &self.layers {
            Some((_, pattern)) => names.iter().any(|name| pattern.matches(name)),
            None => true,
        };
        kind_fits && name_fits
    }
}

/// Which operators get which [`Rule`]: an ordered list, of which the first match wins. Operators
/// that match nothing keep their true gradient.
///
/// A pattern of layer names is a glob: `*` stands for any text, `/` included, and `?` for any one
/// character. It is compared with the layer's name and each of its aliases, upper and lower case
/// distinct.
///
/// ```
/// use elucid_rules::{GuidedRelu, OpKind, Rules, SmoothMaxPool};
///
/// let rules = Rules::new()
///     .on(OpKind::MaxPool, SmoothMaxPool::blurred())
///     .on_layers("inception_5*", GuidedRelu)
///     .named("smooth pools, guided top");
/// assert_eq!(rules.name(), "smooth pools, guided top");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Rules {
    name: Option<String>,
    entries: Vec<Entry>,
}

impl Rules {
    /// The names that [`Rules::preset`] knows.
    pub const PRESETS: &'static [&'static str] =
        &["true", "smooth", "smooth-blur", "guided", "deconvnet"];

    /// No rules: every operator keeps its true gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rules by name.
    ///
    /// | name | replaces |
    /// | --- | --- |
    /// | `true` | nothing |
    /// | `smooth` | max-pools, by [`SmoothMaxPool::plain`] |
    /// | `smooth-blur` | max-pools, by [`SmoothMaxPool::blurred`] |
    /// | `guided` | ReLU and Clip, by [`GuidedRelu`] |
    /// | `deconvnet` | ReLU and Clip, by [`DeconvRelu`] |
    ///
    /// # Errors
    ///
    /// [`RuleError::UnknownPreset`], with the names there are.
    pub fn preset(name: &str) -> Result<Self, RuleError> {
        let rules = match name {
            "true" => Rules::new(),
            "smooth" => Rules::new().on(OpKind::MaxPool, SmoothMaxPool::plain()),
            "smooth-blur" => Rules::new().on(OpKind::MaxPool, SmoothMaxPool::blurred()),
            "guided" => Rules::new()
                .on(OpKind::Relu, GuidedRelu)
                .on(OpKind::Clip, GuidedRelu),
            "deconvnet" => Rules::new()
                .on(OpKind::Relu, DeconvRelu)
                .on(OpKind::Clip, DeconvRelu),
            _ => return Err(unknown_preset(name)),
        };
        Ok(rules.named(name))
    }

    /// Gives every operator of one kind a rule, whatever the rule's own
    /// [`applies_to`](Rule::applies_to) says.
    #[must_use]
    pub fn on(self, kind: OpKind, rule: impl Rule + 'static) -> Self {
        self.with(Some(kind), None, rule)
    }

    /// Gives a rule to the operators that compute the layers named by `pattern`, as far as the
    /// rule [applies to](Rule::applies_to) them.
    #[must_use]
    pub fn on_layers(self, pattern: &str, rule: impl Rule + 'static) -> Self {
        self.with(None, Some(pattern), rule)
    }

    /// Gives a rule to the operators of one kind that compute the layers named by `pattern`.
    #[must_use]
    pub fn on_kind_in(self, kind: OpKind, pattern: &str, rule: impl Rule + 'static) -> Self {
        self.with(Some(kind), Some(pattern), rule)
    }

    fn with(
        mut self,
        kind: Option<OpKind>,
        pattern: Option<&str>,
        rule: impl Rule + 'static,
    ) -> Self {
        self.entries.push(Entry {
            kind,
            layers: pattern.map(|pattern| (pattern.to_owned(), WildMatch::new(pattern))),
            rule: Arc::new(rule),
        });
        self
    }

    /// These rules, and behind them `others`: for operators that none of these matches.
    #[must_use]
    pub fn then(mut self, others: &Rules) -> Self {
        self.entries.extend(others.entries.iter().cloned());
        self
    }

    /// Sets the name under which these rules appear in reports.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name given, else `true` without rules and `custom` with some.
    pub fn name(&self) -> &str {
        match &self.name {
            Some(name) => name,
            None if self.is_empty() => "true",
            None => "custom",
        }
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The patterns of layer names, in order: for warning of one that matches no layer.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter_map(|entry| entry.layers.as_ref())
            .map(|(pattern, _)| pattern.as_str())
    }

    /// The rule for one operator, `names` being its layer's name and aliases; `None` where the
    /// gradient stays the true one.
    ///
    /// # Errors
    ///
    /// [`RuleError::Unsupported`] when the first match has no backward for `op`.
    pub fn bind(
        &self,
        op: &Operator<'_>,
        names: &[&str],
    ) -> Result<Option<Arc<dyn GradRule>>, RuleError> {
        match self
            .entries
            .iter()
            .find(|entry| entry.matches(op.kind(), names))
        {
            Some(entry) if !entry.rule.is_true() => entry.rule.clone().bind(op).map(Some),
            _ => Ok(None),
        }
    }
}

fn unknown_preset(name: &str) -> RuleError {
    let nearest = Rules::PRESETS
        .iter()
        .copied()
        .map(|preset| (strsim::jaro_winkler(name, preset), preset))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, preset)| preset);
    RuleError::UnknownPreset {
        name: name.to_owned(),
        nearest,
        presets: Rules::PRESETS,
    }
}
