//! Rules at the operators of a network: where each stands, and what it gets to know of the place.

use std::collections::HashMap;

use elucid_rules::{Algebra, Depth, OpKind, Operator, Rules, Site, SiteInput, Subject};

use crate::bound::BoundGraph;
use crate::error::GraphError;
use crate::execute::Placed;
use crate::graph::{Graph, Node, NodeId, ValueId};
use crate::operator::Known;
use crate::plan::{Plan, Step};

/// What lists of rules look at, for every node of a graph.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub names: Vec<Vec<String>>,
    pub depths: Vec<Depth>,
    algebras: Vec<Algebra>,
}

impl Places {
    pub fn of(graph: &Graph) -> Self {
        let nodes = &graph.nodes;
        let algebras: Vec<Algebra> = nodes.iter().map(|node| graph.algebra(node)).collect();
        Self {
            names: nodes.iter().map(|node| graph.find_names(node)).collect(),
            depths: depths(graph, &algebras),
            algebras,
        }
    }

    fn is_first(&self, node: usize) -> bool {
        self.algebras[node].is_weighted() && self.depths[node].from_input == 1
    }
}

/// Where each node stands among the operators with weights.
fn depths(graph: &Graph, algebras: &[Algebra]) -> Vec<Depth> {
    let layer = |node: usize| usize::from(algebras[node].is_weighted());
    // Layers up to and including the one that made a value, and from it on without that one.
    let (mut above, mut below) = (vec![0; graph.names.len()], vec![0; graph.names.len()]);
    let mut made = vec![Depth::default(); graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        let before = node.inputs.iter().flatten().map(|v| above[v.0]).max();
        made[i].from_input = before.unwrap_or(0) + layer(i);
        for value in &node.outputs {
            above[value.0] = made[i].from_input;
        }
    }
    let layers = made.iter().map(|depth| depth.from_input).max().unwrap_or(0);
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        let behind = node.outputs.iter().map(|v| below[v.0]).max().unwrap_or(0);
        for value in node.inputs.iter().flatten() {
            below[value.0] = below[value.0].max(behind + layer(i));
        }
        made[i].from_output = behind + 1;
        made[i].layers = layers;
    }
    made
}

/// Which inputs of a node are the same whatever the image: weights, and numbers that follow from sizes.
fn constants(graph: &Graph, node: &Node, known: &HashMap<ValueId, Known>) -> Vec<bool> {
    let settled = |value: &ValueId| known.get(value).is_some_and(|k| k.settled().is_some());
    let slots = graph.constants_of(node).into_iter().zip(&node.inputs);
    slots
        .map(|(constant, slot)| constant || slot.as_ref().is_some_and(settled))
        .collect()
}

/// What lies on the way back from a factor of a product to what made it.
#[derive(Debug, Default, Clone, Copy)]
struct Passed {
    scaled: bool,
    shifted: bool,
    /// A reciprocal, or a power below 0.
    inverted: bool,
}

/// What inverse deviations are made of.
const AVERAGES: [OpKind; 4] = [
    OpKind::ReduceMean,
    OpKind::GlobalAveragePool,
    OpKind::new("ReduceSum"),
    OpKind::new("ReduceL2"),
];

/// What a factor of a product is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Factor {
    Gate,
    /// From -1 to 1: a gate once the signal is added, `x + x erf(x)`.
    Signed,
    Attention,
    Any,
}

/// What made a value: a sigmoid, a hard sigmoid, or what stands in their place where SiLU, HardSwish, GELU
/// and Mish are written out; the mean under the inverse deviation of a normalisation; a softmax. It may have
/// been moved or scaled since.
fn factor(graph: &Graph, known: &HashMap<ValueId, Known>, value: ValueId) -> Factor {
    let (mut at, mut passed) = (value, Passed::default());
    while let Some(id) = graph.producer[at.0] {
        let node = &graph.nodes[id.0];
        let constant = constants(graph, node, known);
        let variables = node.inputs.iter().zip(&constant);
        let mut variables = variables.filter(|(_, constant)| !**constant);
        let (Some((Some(input), _)), None) = (variables.next(), variables.next()) else {
            return Factor::Any;
        };
        let gate_if = |is_gate: bool| match is_gate {
            true => Factor::Gate,
            false => Factor::Any,
        };
        match node.op.kind() {
            OpKind::Sigmoid | OpKind::HardSigmoid => return Factor::Gate,
            OpKind::Softmax => return Factor::Attention,
            // `(1 + erf) / 2`: neither is a gate by itself. `tanh(softplus)` is one, from 0 to 1.
            OpKind::Tanh if is_softplus(graph, known, *input) => return Factor::Gate,
            OpKind::Erf | OpKind::Tanh => {
                return match passed.shifted {
                    true => Factor::Gate,
                    false => Factor::Signed,
                };
            }
            // `clip(x + 3, 0, 6) / 6`: a ReLU6 is none.
            OpKind::Clip => return gate_if(passed.scaled || is_sum(graph, known, *input)),
            // `1 / (1 + exp(-x))`.
            OpKind::Exp => return gate_if(passed.inverted && passed.shifted),
            // `1 / sqrt(mean(x²) + epsilon)`.
            kind if passed.inverted && AVERAGES.contains(&kind) => return Factor::Gate,
            OpKind::Reciprocal => passed.inverted = !passed.inverted,
            OpKind::Div if constant.first() == Some(&true) => passed.inverted = !passed.inverted,
            OpKind::Sqrt => {}
            OpKind::Pow if exponent(graph, known, node).is_some_and(|e| e.abs() == 0.5) => {
                passed.inverted ^= exponent(graph, known, node).is_some_and(|e| e < 0.0);
            }
            _ => match node.op.algebra(&constant) {
                Algebra::Moves => {}
                Algebra::Affine => passed.scaled = true,
                Algebra::Sum => passed.shifted = true,
                _ => return Factor::Any,
            },
        }
        at = *input;
    }
    Factor::Any
}

/// The constant exponent of a power.
fn exponent(graph: &Graph, known: &HashMap<ValueId, Known>, node: &Node) -> Option<f32> {
    let value = (*node.inputs.get(1)?)?;
    let settled = || known.get(&value).and_then(Known::settled);
    let host = graph.constant(value).or_else(settled);
    let host = host.filter(|host| host.len() == 1)?;
    host.floats().first().copied()
}

/// Whether a value is `ln(1 + exp(x))`: of the logarithm's input no more is asked than that it is a sum.
fn is_softplus(graph: &Graph, known: &HashMap<ValueId, Known>, value: ValueId) -> bool {
    let Some(id) = graph.producer[value.0] else {
        return false;
    };
    let node = &graph.nodes[id.0];
    match node.op.kind() {
        OpKind::Log => {
            let of = node.inputs.first().copied().flatten();
            of.is_some_and(|of| is_sum(graph, known, of))
        }
        kind => kind == OpKind::new("Softplus"),
    }
}

/// What rules get to know of the inputs of a node.
pub(crate) fn site(
    graph: &Graph,
    known: &HashMap<ValueId, Known>,
    node: &Node,
) -> (Algebra, Vec<SiteInput>) {
    let constant = constants(graph, node, known);
    let algebra = node.op.algebra(&constant);
    let inputs = node.inputs.iter().zip(&constant);
    let inputs = inputs.map(|(slot, &is_constant)| {
        let is_factor = algebra == Algebra::Product && !is_constant;
        let value = slot.filter(|_| is_factor);
        let is = value.map_or(Factor::Any, |value| factor(graph, known, value));
        let is_gate = match (is, value) {
            (Factor::Signed, Some(value)) => is_added_to_the_signal(graph, known, node, value),
            _ => is == Factor::Gate,
        };
        SiteInput {
            is_constant,
            is_gate,
            is_attention: is == Factor::Attention,
        }
    });
    (algebra, inputs.collect())
}

/// The only input of a node that depends on the image, if the node moves or scales it.
fn scaled_input(graph: &Graph, known: &HashMap<ValueId, Known>, node: &Node) -> Option<ValueId> {
    let constant = constants(graph, node, known);
    let algebra = node.op.algebra(&constant);
    let live = node.inputs.iter().zip(&constant);
    let mut live = live.filter(|(_, constant)| !**constant);
    match (algebra, live.next(), live.next()) {
        (Algebra::Moves | Algebra::Affine, Some((input, _)), None) => *input,
        _ => None,
    }
}

/// What a value is a multiple of: the first value behind all that moves or scales.
fn unscaled(graph: &Graph, known: &HashMap<ValueId, Known>, mut value: ValueId) -> ValueId {
    while let Some(id) = graph.producer[value.0]
        && let Some(input) = scaled_input(graph, known, &graph.nodes[id.0])
    {
        value = input;
    }
    value
}

/// Whether a multiple of what `node` makes of a signal and `gate` is added to a multiple of the signal:
/// `x / 2 + x / 2 erf(x / √2)`.
fn is_added_to_the_signal(
    graph: &Graph,
    known: &HashMap<ValueId, Known>,
    node: &Node,
    gate: ValueId,
) -> bool {
    let others = node.inputs.iter().flatten();
    let mut others = others.filter(|value| **value != gate);
    let (OpKind::Mul, Some(&signal), None) = (node.op.kind(), others.next(), others.next()) else {
        return false;
    };
    let signal = unscaled(graph, known, signal);
    let mut product = node.outputs[0];
    while let &[only] = graph.index().readers(product) {
        let reader = &graph.nodes[only.0];
        if scaled_input(graph, known, reader) == Some(product) {
            product = reader.outputs[0];
            continue;
        }
        let constant = constants(graph, reader, known);
        let adds = reader.op.algebra(&constant) == Algebra::Sum;
        let mut inputs = reader.inputs.iter().flatten();
        return adds
            && inputs.any(|&value| value != product && unscaled(graph, known, value) == signal);
    }
    false
}

/// Whether a value is another one plus a constant.
fn is_sum(graph: &Graph, known: &HashMap<ValueId, Known>, value: ValueId) -> bool {
    let Some(id) = graph.producer[value.0] else {
        return false;
    };
    let node = &graph.nodes[id.0];
    let constant = constants(graph, node, known);
    node.op.algebra(&constant) == Algebra::Sum && constant.iter().filter(|c| !**c).count() == 1
}

impl Graph {
    /// What lists of rules look at, found once.
    pub(crate) fn places(&self) -> &Places {
        self.index().places.get_or_init(|| Places::of(self))
    }

    /// What an entry of a list of rules looks at. `names` are the node's.
    fn subject<'n>(&self, id: NodeId, algebra: Algebra, names: &'n [&'n str]) -> Subject<'n> {
        let places = self.places();
        Subject {
            is_first: places.is_first(id.0),
            depth: Some(places.depths[id.0]),
            ..Subject::new(self.nodes[id.0].op.kind(), algebra, names)
        }
    }

    /// Gives what lists of rules look at of every operator to `ask`.
    pub(crate) fn with_subjects<T>(&self, ask: impl FnOnce(&[Subject<'_>]) -> T) -> T {
        let places = self.places();
        let names: Vec<Vec<&str>> = places.names.iter().map(|names| borrowed(names)).collect();
        let nodes = (0..self.nodes.len()).map(NodeId).zip(&names);
        let subjects: Vec<Subject<'_>> = nodes
            .map(|(id, names)| self.subject(id, places.algebras[id.0], names))
            .collect();
        ask(&subjects)
    }
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

impl BoundGraph {
    /// Refuses rules that are about nothing in this network.
    ///
    /// # Errors
    ///
    /// [`GraphError::Rule`] with [`RuleError::MatchesNothing`](elucid_rules::RuleError::MatchesNothing)
    /// for the first entry that no operator fits, unless the rules are
    /// [for what is present](Rules::where_present).
    pub fn check_rules(&self, rules: &Rules) -> Result<(), GraphError> {
        if rules.is_empty() {
            return Ok(());
        }
        let check = |subjects: &[Subject<'_>]| rules.check_matches(subjects);
        Ok(self.graph().with_subjects(check)?)
    }

    /// What lists of rules look at, of every operator of the network, given to `ask`.
    pub fn with_subjects<T>(&self, ask: impl FnOnce(&[Subject<'_>]) -> T) -> T {
        self.graph().with_subjects(ask)
    }

    /// The rule that stands in for one step, where `known` is what the plan knows of values.
    pub(crate) fn rule_for(
        &self,
        step: &Step,
        known: &HashMap<ValueId, Known>,
        rules: &Rules,
    ) -> Result<Option<Placed>, GraphError> {
        let (false, Some(kernel)) = (rules.is_empty(), &step.kernel) else {
            return Ok(None);
        };
        let graph = self.graph();
        let node = &graph.nodes[step.node.0];
        let (algebra, inputs) = site(graph, known, node);
        let names = borrowed(&graph.places().names[step.node.0]);
        let subject = graph.subject(step.node, algebra, &names);
        let operator = kernel.form();
        let site = Site {
            operator: operator.unwrap_or(Operator::Other(node.op.kind(), algebra)),
            inputs: &inputs,
            outputs: step.outputs.len(),
            statistics: kernel.statistics(),
        };
        let rule = rules.place(&site, &subject)?;
        Ok(rule.map(|rule| Placed { rule, site: inputs }))
    }

    /// The rules that stand in for the steps of a plan.
    pub(crate) fn bind_rules(
        &self,
        plan: &Plan,
        rules: &Rules,
    ) -> Result<Vec<Option<Placed>>, GraphError> {
        self.check_rules(rules)?;
        plan.steps
            .iter()
            .map(|step| self.rule_for(step, &plan.known, rules))
            .collect()
    }
}
