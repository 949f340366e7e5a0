//! Replaced gradients of operators of any rank, with any number of inputs.

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::any_rank::AnyRank;
use crate::operation::{self, Operation, Pullback};
use crate::rule::{GradRule, short_type_name};
use crate::{Algebra, Operator, RuleError};

/// A backward that replaces the true one of an operator of any rank with any number of inputs.
///
/// It sees the whole operator: its inputs, of which some are weights and some track gradients, its
/// outputs, and what it computes, so that it can run it on other numbers or take its true gradient and
/// change that. The output stays the operator's own. [`GradRule`] is the short form for one `[N, C, H,
/// W]` tensor; this one is given to [`Rules::on_operators`](crate::Rules::on_operators).
///
/// ```
/// use elucid_rules::{Algebra, AnyRank, Execution, OperatorRule, Rules};
///
/// /// Tells each factor of a product of its absolute gradient.
/// #[derive(Debug)]
/// struct Magnitudes;
///
/// impl OperatorRule for Magnitudes {
///     fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
///         let gradients = ran.gradient(g).into_iter();
///         gradients.map(|d| d.map(|d| d.map(|d| d.abs()))).collect()
///     }
/// }
///
/// let rules = Rules::new().on_operators(Algebra::Product, Magnitudes);
/// ```
pub trait OperatorRule: Debug + Send + Sync {
    /// The gradient at each input slot, shaped like the input, given that at each output.
    ///
    /// `None` is a gradient of zeros; what is given for slots that are not
    /// [live](Execution::is_live) is not used. `g[i]` is `None` where no gradient arrived.
    ///
    /// # Panics
    ///
    /// Whoever calls it panics, naming the rule, when a live slot gets another shape than its own.
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>>;

    /// The operators that a pattern of layer names may attach this rule to: all unless overridden.
    /// Naming the operator ignores this.
    fn applies_to(&self, op: &Operator<'_>) -> bool {
        let _ = op;
        true
    }

    /// Refuses an operator that the rule has no backward for, before anything runs.
    ///
    /// # Errors
    ///
    /// [`RuleError::Unsupported`] or [`RuleError::DoesNotFit`].
    fn check(&self, site: &Site<'_>) -> Result<(), RuleError> {
        let _ = site;
        Ok(())
    }

    /// As [`GradRule::reach`].
    fn reach(&self) -> Option<[usize; 2]> {
        None
    }

    /// A name for messages and reports: the type's unless overridden.
    fn name(&self) -> String {
        short_type_name::<Self>()
    }
}

/// What an operator computes.
pub trait Forward: Debug + Send + Sync {
    /// Its outputs for inputs by slot, which have the shapes that it was made for.
    fn forward(&self, inputs: Vec<Option<AnyRank>>) -> Vec<AnyRank>;

    /// Which statistics it divides by, for a normalisation.
    fn statistics(&self) -> Option<Statistics> {
        None
    }
}

/// How a normalisation takes its statistics: its input is viewed as rows, of each of which the mean is
/// subtracted, and which is divided by `sqrt(mean square + epsilon)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Numbers in a row.
    pub row: usize,
    /// Whether the mean is subtracted before the mean square is taken.
    pub centred: bool,
    /// What the mean square is added to.
    pub epsilon: f32,
}

/// What is known of an input where a rule is about to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteInput {
    /// Whether it is the same whatever the image: a weight, a number that follows from sizes, or a
    /// slot left out.
    pub is_constant: bool,
    /// Whether it is a gate: numbers that a sigmoid or a hard sigmoid made, or the factors of SiLU, GELU,
    /// HardSwish and Mish and the inverse deviations of normalisations where these are written out; moved or
    /// scaled since perhaps. Told of factors of products only.
    pub is_gate: bool,
    /// Whether it holds weights of attention: what a softmax made, moved or scaled since perhaps. Told of
    /// factors of products only.
    pub is_attention: bool,
}

/// Where a rule is about to stand: what is known of an operator before it runs.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The operator.
    pub operator: Operator<'a>,
    /// Its input slots.
    pub inputs: &'a [SiteInput],
    /// Number of its outputs that are used.
    pub outputs: usize,
    /// Which statistics it divides by, if it is a normalisation that says so.
    pub statistics: Option<Statistics>,
}

impl Site<'_> {
    /// Slots that depend on the image.
    pub fn variables(&self) -> impl Iterator<Item = usize> {
        let inputs = self.inputs.iter().enumerate();
        inputs
            .filter(|(_, input)| !input.is_constant)
            .map(|(slot, _)| slot)
    }

    /// The error of a rule that cannot stand here.
    pub fn does_not_fit(&self, rule: String, reason: impl Into<String>) -> RuleError {
        RuleError::DoesNotFit {
            rule,
            kind: self.operator.kind(),
            reason: reason.into(),
        }
    }

    /// Refuses operators of another algebra than those of `supported`.
    pub(crate) fn check_algebra(
        &self,
        rule: String,
        supported: &[Algebra],
    ) -> Result<(), RuleError> {
        let algebra = self.operator.algebra();
        if supported.contains(&algebra) {
            return Ok(());
        }
        let supported: Vec<String> = supported.iter().map(|a| format!("\"{a}\"")).collect();
        let reason = format!(
            "it is for the algebra {}, and this is \"{algebra}\"",
            supported.join(" or ")
        );
        Err(self.does_not_fit(rule, reason))
    }
}

/// One run of an operator, as a rule sees it: tensors without autodiff, of any rank.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Its inputs by slot; `None` for one left out.
    pub inputs: Vec<Option<AnyRank>>,
    /// Which slots are to get a gradient.
    pub live: Vec<bool>,
    /// What was known of each slot before.
    pub site: Vec<SiteInput>,
    /// What it made. Where nobody reads an output, anything may stand.
    pub outputs: Vec<AnyRank>,
    /// What it computes.
    pub operator: Arc<dyn Forward>,
}

impl Execution {
    /// Number of input slots.
    pub fn slots(&self) -> usize {
        self.inputs.len()
    }

    /// The value in an input slot; `None` for an optional input left out.
    pub fn input(&self, slot: usize) -> Option<&AnyRank> {
        self.inputs.get(slot).and_then(Option::as_ref)
    }

    /// Whether a slot is to get a gradient: it depends on what is differentiated for. A weight is
    /// never live.
    pub fn is_live(&self, slot: usize) -> bool {
        self.live.get(slot).copied().unwrap_or(false)
    }

    /// Whether a slot holds the same whatever the image. What is neither constant nor live depends on
    /// the image, and not on the layer that is differentiated for.
    pub fn is_constant(&self, slot: usize) -> bool {
        self.site.get(slot).is_none_or(|input| input.is_constant)
    }

    /// Whether a slot holds a gate: see [`SiteInput::is_gate`].
    pub fn is_gate(&self, slot: usize) -> bool {
        self.site.get(slot).is_some_and(|input| input.is_gate)
    }

    /// Whether a slot holds weights of attention: see [`SiteInput::is_attention`].
    pub fn is_attention(&self, slot: usize) -> bool {
        self.site.get(slot).is_some_and(|input| input.is_attention)
    }

    /// The operator on other inputs of the same shapes.
    pub fn forward(&self, inputs: Vec<Option<AnyRank>>) -> Vec<AnyRank> {
        self.operator.forward(inputs)
    }

    /// The true gradient at each live slot, given that at each output.
    pub fn gradient(&self, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        self.pullback(self.inputs.clone(), g)
    }

    /// The true gradient at other inputs of the same shapes.
    pub fn pullback(
        &self,
        inputs: Vec<Option<AnyRank>>,
        g: &[Option<AnyRank>],
    ) -> Vec<Option<AnyRank>> {
        pullback(&*self.operator, inputs, &self.live, g)
    }
}

/// The true gradient of an operator at each of its `live` inputs, given that at each output.
pub fn pullback(
    operator: &dyn Forward,
    inputs: Vec<Option<AnyRank>>,
    live: &[bool],
    g: &[Option<AnyRank>],
) -> Vec<Option<AnyRank>> {
    let is_live = |slot: usize| live.get(slot).copied().unwrap_or(false);
    let leaves: Vec<Option<AnyRank>> = inputs
        .into_iter()
        .enumerate()
        .map(|(slot, input)| match is_live(slot) {
            true => input.map(AnyRank::require_grad),
            false => input,
        })
        .collect();
    let mut total: Option<Tensor<1>> = None;
    for (output, g) in operator.forward(leaves.clone()).into_iter().zip(g) {
        let Some(g) = g else { continue };
        let product = (flat(output) * flat(g.clone())).sum();
        total = Some(match total {
            Some(before) => before + product,
            None => product,
        });
    }
    let Some(total) = total.filter(Tensor::is_tracked) else {
        return vec![None; leaves.len()];
    };
    let gradients = total.backward();
    let at = |(slot, leaf): (usize, &Option<AnyRank>)| match is_live(slot) {
        true => leaf.as_ref()?.gradient(&gradients),
        false => None,
    };
    leaves.iter().enumerate().map(at).collect()
}

fn flat(x: AnyRank) -> Tensor<1> {
    let elements = x.elements();
    x.view(&[elements]).cast()
}

/// Runs an operator as one autodiff node whose backward is the rule's. `site` is what is known of its
/// inputs.
///
/// Live are the inputs that track gradients. Where none does, nothing is kept and no node is added.
/// Several live inputs are one parent of the node, laid one after the other; so are several outputs.
pub fn apply_operator(
    rule: Arc<dyn OperatorRule>,
    operator: Arc<dyn Forward>,
    inputs: Vec<Option<AnyRank>>,
    site: Vec<SiteInput>,
) -> Vec<AnyRank> {
    let tracked = |input: &Option<AnyRank>| input.as_ref().is_some_and(AnyRank::is_tracked);
    let live: Vec<bool> = inputs.iter().map(tracked).collect();
    let plain: Vec<Option<AnyRank>> = inputs
        .iter()
        .map(|input| input.clone().map(AnyRank::detached))
        .collect();
    let outputs = operator.forward(plain.clone());
    let parents: Vec<AnyRank> = inputs
        .into_iter()
        .flatten()
        .filter(AnyRank::is_tracked)
        .collect();
    if parents.is_empty() {
        return outputs;
    }
    let shapes: Vec<Vec<usize>> = outputs.iter().map(AnyRank::shape).collect();
    let node = Node {
        rule,
        ran: Arc::new(Execution {
            inputs: plain,
            live,
            site,
            outputs,
            operator,
        }),
    };
    let made = operation::run(packed(parents).cast(), Arc::new(node));
    unpacked(made.into(), &shapes)
}

/// Tensors as one: itself, or all numbers one after the other.
fn packed(mut tensors: Vec<AnyRank>) -> AnyRank {
    match tensors.len() {
        1 => tensors.swap_remove(0),
        _ => Tensor::cat(tensors.into_iter().map(flat).collect(), 0).into(),
    }
}

/// The inverse.
fn unpacked(packed: AnyRank, shapes: &[Vec<usize>]) -> Vec<AnyRank> {
    if let [_] = shapes {
        return vec![packed];
    }
    let mut start = 0;
    let part = |shape: &Vec<usize>| {
        let len = shape.iter().product::<usize>();
        let part = packed.cast::<1>().narrow(0, start, len);
        start += len;
        AnyRank::from(part).view(shape)
    };
    shapes.iter().map(part).collect()
}

/// The one autodiff node of an operator with a rule. The tensors that pass it have another rank than
/// their type says.
#[derive(Debug, Clone)]
struct Node {
    rule: Arc<dyn OperatorRule>,
    ran: Arc<Execution>,
}

impl Node {
    fn backward(&self, g: AnyRank) -> AnyRank {
        let Self { rule, ran } = self;
        let shapes: Vec<Vec<usize>> = ran.outputs.iter().map(AnyRank::shape).collect();
        let g: Vec<Option<AnyRank>> = unpacked(g, &shapes).into_iter().map(Some).collect();
        let mut gradients = rule.backward(ran, &g);
        gradients.resize(ran.slots(), None);
        let live = ran.inputs.iter().zip(gradients).enumerate();
        let live = live.filter(|(slot, _)| ran.is_live(*slot));
        let parts = live.filter_map(|(slot, (input, gradient))| {
            let input = input.as_ref()?;
            let gradient = gradient.unwrap_or_else(|| input.zeros_like());
            assert!(
                gradient.shape() == input.shape(),
                "the rule `{}` returned a gradient of shape {:?} for input {slot}, which has shape {:?}",
                rule.name(),
                gradient.shape(),
                input.shape()
            );
            Some(gradient)
        });
        packed(parts.collect())
    }
}

impl Operation for Node {
    /// What was computed already: the input only says what the node hangs on.
    fn forward(&self, _x: Tensor<4>) -> Tensor<4> {
        packed(self.ran.outputs.clone()).cast()
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let node = self.clone();
        let pullback = Pullback::new(move |g| node.backward(g.into()).cast());
        (self.forward(x), pullback)
    }
}

/// A rule that is bound to an operator.
#[derive(Debug, Clone)]
pub enum BoundRule {
    /// It sees the operator's one input and computes the output itself.
    OneInput(Arc<dyn GradRule>),
    /// It sees the whole operator, which computes its outputs as ever.
    Operator(Arc<dyn OperatorRule>),
}

impl BoundRule {
    /// The rule's name.
    pub fn name(&self) -> String {
        match self {
            Self::OneInput(rule) => rule.name(),
            Self::Operator(rule) => rule.name(),
        }
    }

    /// As [`GradRule::reach`].
    pub fn reach(&self) -> Option<[usize; 2]> {
        match self {
            Self::OneInput(rule) => rule.reach(),
            Self::Operator(rule) => rule.reach(),
        }
    }
}

/// How many operators a rule took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleUse {
    /// The rule's name.
    pub rule: String,
    /// Operators whose gradient, or share of relevance, was the rule's.
    pub operators: usize,
}

impl RuleUse {
    /// Counts one operator more for a rule.
    pub fn count(uses: &mut Vec<RuleUse>, rule: &str, operators: usize) {
        match uses.iter_mut().find(|used| used.rule == rule) {
            Some(used) => used.operators += operators,
            None => uses.push(RuleUse {
                rule: rule.to_owned(),
                operators,
            }),
        }
    }
}

/// Refuses operators of which a rule for one tensor cannot see all that matters.
pub(crate) fn check_one_input(name: String, site: &Site<'_>) -> Result<(), RuleError> {
    let variables: Vec<usize> = site.variables().collect();
    let reason = match () {
        () if variables.iter().any(|slot| *slot > 0) => format!(
            "it sees the first input alone, and inputs {} depend on the image",
            list(&variables)
        ),
        () if site.operator.algebra().is_weighted() => {
            "it sees no weights, and this operator has some".to_owned()
        }
        () if site.outputs > 1 => {
            format!("it sees one output, and {} are used", site.outputs)
        }
        () => return Ok(()),
    };
    let advice = "a rule for whole operators (`OperatorRule`) can stand here";
    Err(site.does_not_fit(name, format!("{reason}; {advice}")))
}

fn list(slots: &[usize]) -> String {
    let slots: Vec<String> = slots.iter().map(usize::to_string).collect();
    slots.join(" and ")
}
