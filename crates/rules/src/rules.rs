use std::sync::Arc;

use crate::pool::TrueMaxPool;
use crate::relu::TrueRectifier;
use crate::{
    Composite, DeconvRelu, GradRule, GuidedRelu, OpKind, Operator, Rule, RuleError, SmoothMaxPool,
    Subject, Which,
};

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

    fn applies_to(&self, _op: &Operator<'_>) -> bool {
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
    list: Composite<dyn Rule>,
    may_match_nothing: bool,
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
            "guided" => Rules::new().on([OpKind::Relu, OpKind::Clip], GuidedRelu),
            "deconvnet" => Rules::new().on([OpKind::Relu, OpKind::Clip], DeconvRelu),
            _ => return Err(unknown_preset(name)),
        };
        Ok(rules.named(name))
    }

    /// Gives operators a rule, whatever the rule's own [`applies_to`](Rule::applies_to) says: all of
    /// one kind, of several, of an [`Algebra`](crate::Algebra), or of any [`Which`].
    #[must_use]
    pub fn on(mut self, which: impl Into<Which>, rule: impl Rule + 'static) -> Self {
        self.list.push(which, Arc::new(Named(Arc::new(rule))));
        self
    }

    /// Gives a rule to the operators that compute the layers named by `pattern`, as far as the
    /// rule [applies to](Rule::applies_to) them.
    #[must_use]
    pub fn on_layers(mut self, pattern: &str, rule: impl Rule + 'static) -> Self {
        self.list.push(Which::named(pattern), Arc::new(rule));
        self
    }

    /// Gives a rule to the operators of one kind that compute the layers named by `pattern`.
    #[must_use]
    pub fn on_kind_in(
        self,
        kind: impl Into<Which>,
        pattern: &str,
        rule: impl Rule + 'static,
    ) -> Self {
        self.on(Which::All(vec![kind.into(), Which::named(pattern)]), rule)
    }

    /// These rules, and behind them `others`: for operators that none of these matches.
    #[must_use]
    pub fn then(mut self, others: &Rules) -> Self {
        self.list.extend(&others.list);
        self.may_match_nothing |= others.may_match_nothing;
        self
    }

    /// Sets the name under which these rules appear in reports.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.list.set_name(name);
        self
    }

    /// The name given, else `true` without rules and `custom` with some.
    pub fn name(&self) -> &str {
        match self.list.name() {
            Some(name) => name,
            None if self.is_empty() => "true",
            None => "custom",
        }
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Lets entries be about operators that a network does not have. Without it they are refused:
    /// a pattern with a slip of the pen would silently leave the true gradient.
    #[must_use]
    pub fn where_present(mut self) -> Self {
        self.may_match_nothing = true;
        self
    }

    /// The list of what gets which rule.
    pub fn list(&self) -> &Composite<dyn Rule> {
        &self.list
    }

    /// Refuses an entry that is about none of a network's operators, unless
    /// [that is allowed](Rules::where_present).
    ///
    /// # Errors
    ///
    /// [`RuleError::MatchesNothing`].
    pub fn check_matches(&self, subjects: &[Subject<'_>]) -> Result<(), RuleError> {
        match self.may_match_nothing {
            true => Ok(()),
            false => self.list.check_matches(subjects, |rule| rule.name()),
        }
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
        let subject = Subject::new(op.kind(), op.algebra(), names);
        match self.list.find(&subject, |rule| rule.applies_to(op)) {
            Some((_, entry)) if !entry.rule.is_true() => entry.rule.clone().bind(op).map(Some),
            _ => Ok(None),
        }
    }
}

/// A rule for operators that were named: it applies to whichever these are.
#[derive(Debug)]
struct Named<R>(Arc<R>);

impl<R: Rule + 'static> Rule for Named<R> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn applies_to(&self, _op: &Operator<'_>) -> bool {
        true
    }

    fn is_true(&self) -> bool {
        self.0.is_true()
    }

    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        Arc::clone(&self.0).bind(op)
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
