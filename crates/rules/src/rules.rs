use std::sync::Arc;

use crate::attention;
use crate::pool::TrueMaxPool;
use crate::relu::TrueRectifier;
use crate::{
    Algebra, BoundRule, Composite, ConstantAttention, ConstantDivisor, ConstantFactor,
    ConstantStatistics, DeconvRelu, Detached, GatedOrUniform, GradRule, GuidedRelu, OpKind,
    Operator, OperatorRule, Rule, RuleError, RuleUse, Site, SmoothMaxPool, Subject,
    UniformAttention, ValuesTakeAll, Which,
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
}

impl Rules {
    /// The names that [`Rules::preset`] knows.
    pub const PRESETS: &'static [&'static str] =
        &["true", "smooth", "smooth-blur", "guided", "deconvnet"];

    /// The names of rules for products, normalisations and attention that [`Rules::preset`] knows
    /// besides: times the input, gradients under them are relevance.
    pub const CONSERVING_PRESETS: &'static [&'static str] =
        &["conservative-propagation", "attn-lrp", "libra-grad"];

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
    /// | `conservative-propagation` | as [`Rules::conservative_propagation`] |
    /// | `attn-lrp` | as [`Rules::attn_lrp`] |
    /// | `libra-grad` | as [`Rules::libra_grad`] |
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
            "conservative-propagation" => Rules::conservative_propagation(),
            "attn-lrp" => Rules::attn_lrp(),
            "libra-grad" => Rules::libra_grad(),
            _ => return Err(unknown_preset(name)),
        };
        Ok(rules.named(name))
    }

    /// Conservative propagation: softmax as constants ([`Detached`], or [`ConstantAttention`] where
    /// attention is one operator: the AH-rule), normalisations with
    /// a constant deviation ([`ConstantStatistics`], the LN-rule), and quotients, of which written-out
    /// normalisations are made, with a constant divisor ([`ConstantDivisor`]).
    ///
    /// Under it gradient times input is relevance. The operators that a network does not have are no
    /// error; a network with none of them is, as its map would be that of the true gradient. A softmax
    /// at the end is detached with the others: explain the logits.
    ///
    /// Source: Ali et al., *XAI for Transformers: Better Explanations through Conservative
    /// Propagation*, ICML 2022, <https://arxiv.org/abs/2202.07304>.
    pub fn conservative_propagation() -> Self {
        let rules = Rules::new()
            .on_operators(Algebra::Softmax, Detached)
            .on_operators(attention::KINDS, ConstantAttention);
        rules.with_constant_statistics("conservative-propagation")
    }

    /// AttnLRP, as rules for gradients: products in equal parts, but all to the signal where the other
    /// factor is a gate ([`GatedOrUniform`]; [`UniformAttention`] where attention is one operator),
    /// activations with a factor by the identity rule
    /// ([`ConstantFactor`]), normalisations and quotients as in
    /// [conservative propagation](Rules::conservative_propagation). Softmax keeps its true gradient,
    /// which times the input is the paper's rule for it.
    ///
    /// What the paper calls epsilon and gamma rules for dense layers is not part of it: they keep their
    /// true gradient, LRP-0. Operators that are not there are no error, a network with none of them is.
    ///
    /// Source: Achtibat et al., *AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for
    /// Transformers*, ICML 2024, <https://arxiv.org/abs/2402.05602>.
    pub fn attn_lrp() -> Self {
        let rules = Rules::new()
            .on_operators(Algebra::Product, GatedOrUniform)
            .on_operators(attention::KINDS, UniformAttention)
            .on_operators(Algebra::Gate, ConstantFactor);
        rules.with_constant_statistics("attn-lrp")
    }

    /// LibraGrad: weights of attention as constants ([`Detached`] and [`ValuesTakeAll`];
    /// [`ConstantAttention`] where attention is one operator), factors of activations as constants
    /// ([`ConstantFactor`], and all to the signal of a product with a gate), other products in equal parts,
    /// normalisations and quotients as in [conservative propagation](Rules::conservative_propagation).
    ///
    /// With it gradient times input adds up to the score less what biases take. In the limit of an epsilon
    /// going to 0 it is CP-LRP. Operators that are not there are no error, a network with none of them is.
    ///
    /// Source: Mehri et al., *LibraGrad: Balancing Gradient Flow for Universally Better Vision Transformer
    /// Attributions*, CVPR 2025, <https://arxiv.org/abs/2411.16760>.
    pub fn libra_grad() -> Self {
        let rules = Rules::new()
            .on_operators(Algebra::Softmax, Detached)
            .on_operators(Algebra::Product, ValuesTakeAll)
            .on_operators(attention::KINDS, ConstantAttention)
            .on_operators(Algebra::Gate, ConstantFactor);
        rules.with_constant_statistics("libra-grad")
    }

    fn with_constant_statistics(self, name: &str) -> Self {
        let mut rules = self
            .on_operators(Algebra::Normalization, ConstantStatistics)
            // They hold a normalisation that this rule cannot see, and are refused.
            .on_operators(SKIP_NORMALIZATIONS, ConstantStatistics)
            .on_operators(Algebra::Quotient, ConstantDivisor)
            .named(name);
        rules.list.allow_no_match();
        rules.list.demand_any_match();
        rules
    }

    /// Gives operators a rule, whatever the rule's own [`applies_to`](Rule::applies_to) says: all of
    /// one kind, of several, of an [`Algebra`](crate::Algebra), or of any [`Which`].
    #[must_use]
    pub fn on(mut self, which: impl Into<Which>, rule: impl Rule + 'static) -> Self {
        self.list.push(which, Arc::new(Named(Arc::new(rule))));
        self
    }

    /// Gives operators a rule for whole operators, of any rank and with any number of inputs. Where
    /// `which` does not say of which kind or algebra they are, only where they stand, the rule takes
    /// those that it [applies to](OperatorRule::applies_to).
    #[must_use]
    pub fn on_operators(
        mut self,
        which: impl Into<Which>,
        rule: impl OperatorRule + 'static,
    ) -> Self {
        let which = which.into();
        let whole = Whole {
            rule: Arc::new(rule),
            was_named: which.says_what(),
        };
        self.list.push(which, Arc::new(whole));
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

    /// Lets the entries so far be about operators that a network does not have. Without it they are
    /// refused: a pattern with a slip of the pen would silently leave the true gradient.
    #[must_use]
    pub fn where_present(mut self) -> Self {
        self.list.allow_no_match();
        self
    }

    /// The rules that have to take something, with no operator taken yet.
    pub fn unused(&self) -> Vec<RuleUse> {
        let mut uses = Vec::new();
        let entries = self.list.entries().iter();
        let required = entries.filter(|entry| !entry.may_match_nothing && !entry.rule.is_true());
        for entry in required {
            RuleUse::count(&mut uses, &entry.rule.name(), 0);
        }
        uses
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
        self.list.check_matches(subjects, |rule| rule.name())
    }

    /// The rule for one operator of any rank and with any number of inputs; `None` where its gradient
    /// stays the true one.
    ///
    /// # Errors
    ///
    /// [`RuleError`] when the first match cannot stand there.
    pub fn place(
        &self,
        site: &Site<'_>,
        subject: &Subject<'_>,
    ) -> Result<Option<BoundRule>, RuleError> {
        match self.find(&site.operator, subject) {
            Some(rule) => rule.place(site).map(Some),
            None => Ok(None),
        }
    }

    fn find(&self, op: &Operator<'_>, subject: &Subject<'_>) -> Option<Arc<dyn Rule>> {
        let (_, entry) = self.list.find(subject, |rule| rule.applies_to(op))?;
        (!entry.rule.is_true()).then(|| Arc::clone(&entry.rule))
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
        match self.find(op, &subject) {
            Some(rule) => rule.bind(op).map(Some),
            None => Ok(None),
        }
    }
}

/// ONNX Runtime's fused sums and normalisations.
const SKIP_NORMALIZATIONS: [OpKind; 2] = [
    OpKind::new("com.microsoft.SkipLayerNormalization"),
    OpKind::new("com.microsoft.SkipSimplifiedLayerNormalization"),
];

/// A rule for whole operators, in a list.
#[derive(Debug)]
struct Whole {
    rule: Arc<dyn OperatorRule>,
    /// Whether it is for operators that were named: it applies to whichever these are.
    was_named: bool,
}

impl Rule for Whole {
    fn name(&self) -> String {
        self.rule.name()
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        self.was_named || self.rule.applies_to(op)
    }

    /// It has no form for one tensor.
    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        Err(RuleError::DoesNotFit {
            rule: self.rule.name(),
            kind: op.kind(),
            reason: "it is for whole operators, and has to be placed in a network".to_owned(),
        })
    }

    fn place(self: Arc<Self>, site: &Site<'_>) -> Result<BoundRule, RuleError> {
        self.rule.check(site)?;
        Ok(BoundRule::Operator(Arc::clone(&self.rule)))
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

    fn place(self: Arc<Self>, site: &Site<'_>) -> Result<BoundRule, RuleError> {
        Arc::clone(&self.0).place(site)
    }
}

/// With the presets of the kind of the nearest, or all of them.
fn unknown_preset(name: &str) -> RuleError {
    const ALL: &[&str] = &[
        "true",
        "smooth",
        "smooth-blur",
        "guided",
        "deconvnet",
        "conservative-propagation",
        "attn-lrp",
        "libra-grad",
    ];
    let nearest = ALL
        .iter()
        .copied()
        .map(|preset| (strsim::jaro_winkler(name, preset), preset))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, preset)| preset);
    let groups = [Rules::PRESETS, Rules::CONSERVING_PRESETS];
    let near = groups
        .into_iter()
        .find(|group| nearest.is_some_and(|n| group.contains(&n)));
    RuleError::UnknownPreset {
        name: name.to_owned(),
        nearest,
        presets: near.unwrap_or(ALL),
    }
}
