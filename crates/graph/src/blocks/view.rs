//! A graph with the sizes of its values, as patterns look at it.

use std::collections::{BTreeSet, HashMap};

use elucid_rules::{Algebra, OpKind};

use crate::error::GraphError;
use crate::fold;
use crate::graph::{Graph, Node, ValueId};
use crate::host::HostTensor;
use crate::operator::{Apart, Batch, Kernel, Known, Operands, Ready};
use crate::plan::Plan;

/// The nodes that a pattern has found to be its own.
pub(super) type Nodes = BTreeSet<usize>;

pub(super) struct View<'g> {
    pub graph: &'g Graph,
    plan: Plan,
    /// The step of each node that computes something.
    steps: Vec<Option<usize>>,
    readers: HashMap<ValueId, Vec<usize>>,
}

impl<'g> View<'g> {
    pub fn new(graph: &'g Graph, feeds: &[(ValueId, Known)]) -> Result<Self, GraphError> {
        Ok(Self::of(graph, Plan::reachable(graph, feeds)?))
    }

    /// As far as `plan` computes it.
    pub fn of(graph: &'g Graph, plan: Plan) -> Self {
        let mut steps = vec![None; graph.nodes.len()];
        let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (at, step) in plan.steps.iter().enumerate() {
            if step.kernel.is_some() {
                steps[step.node.0] = Some(at);
            }
        }
        let mut view = Self {
            graph,
            plan,
            steps,
            readers: HashMap::new(),
        };
        for (i, node) in graph.nodes.iter().enumerate() {
            // What asks for a shape reads no number.
            if node.outputs.iter().all(|&value| view.is_constant(value)) {
                continue;
            }
            for &value in node.inputs.iter().flatten() {
                readers.entry(value).or_default().push(i);
            }
        }
        view.readers = readers;
        view
    }

    /// The nodes that compute something, in order.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.steps.len()).filter(|&i| self.steps[i].is_some())
    }

    pub fn node(&self, i: usize) -> &'g Node {
        &self.graph.nodes[i]
    }

    pub fn kind(&self, i: usize) -> OpKind {
        self.node(i).op.kind()
    }

    pub fn is(&self, i: usize, kinds: &[OpKind]) -> bool {
        kinds.contains(&self.kind(i))
    }

    /// The first value that a node makes.
    pub fn output(&self, i: usize) -> ValueId {
        self.node(i).outputs[0]
    }

    pub fn input(&self, i: usize, slot: usize) -> Option<ValueId> {
        self.node(i).inputs.get(slot).copied().flatten()
    }

    /// The two inputs of a node that has two.
    pub fn pair(&self, i: usize) -> Option<[ValueId; 2]> {
        match self.node(i).inputs.as_slice() {
            &[Some(a), Some(b)] => Some([a, b]),
            _ => None,
        }
    }

    pub fn kernel(&self, i: usize) -> Option<&dyn Kernel> {
        self.plan.steps[self.steps[i]?].kernel.as_deref()
    }

    /// The nodes that read the numbers of a value.
    pub fn readers(&self, value: ValueId) -> &[usize] {
        self.readers.get(&value).map_or(&[], Vec::as_slice)
    }

    /// The node that reads a value, if it is the only one and no output of the graph is meant.
    pub fn only_reader(&self, value: ValueId) -> Option<usize> {
        match self.readers(value) {
            &[only] if !self.graph.outputs().contains(&value) => {
                Some(only).filter(|&i| self.steps[i].is_some())
            }
            _ => None,
        }
    }

    /// The node that computes a value, while the network runs.
    pub fn maker(&self, value: ValueId) -> Option<usize> {
        let node = self.graph.producer[value.0]?.0;
        Some(node).filter(|&i| self.steps[i].is_some())
    }

    pub fn shape(&self, value: ValueId) -> Option<&[usize]> {
        match self.plan.known.get(&value) {
            Some(known) => Some(&known.shape),
            None => self.graph.constant(value).map(HostTensor::shape),
        }
    }

    /// Number of elements.
    pub fn count(&self, value: ValueId) -> Option<usize> {
        self.shape(value).map(|shape| shape.iter().product())
    }

    /// The numbers of a value that does not depend on the image.
    pub fn constant(&self, value: ValueId) -> Option<&HostTensor> {
        let computed = || self.plan.known.get(&value)?.settled();
        self.graph.constant(value).or_else(computed)
    }

    pub fn is_constant(&self, value: ValueId) -> bool {
        self.constant(value).is_some()
    }

    /// The number of a constant of one element.
    pub fn scalar(&self, value: ValueId) -> Option<f64> {
        let host = self.constant(value).filter(|host| host.len() == 1)?;
        match host.element_type().is_float() {
            true => host.floats().first().map(|&v| f64::from(v)),
            false => host.ints().ok()?.first().map(|&v| v as f64),
        }
    }

    /// The inputs of a node that depend on the image.
    pub fn live(&self, i: usize) -> Vec<ValueId> {
        let inputs = self.node(i).inputs.iter().flatten().copied();
        inputs.filter(|&value| !self.is_constant(value)).collect()
    }

    /// The input of a node that depends on the image and the one that is constant, if it has these two. For
    /// operators of which the order matters the constant is the second.
    pub fn by_constant(&self, i: usize) -> Option<(ValueId, ValueId)> {
        let [a, b] = self.pair(i)?;
        let commutes = self.is(i, &[OpKind::Mul, OpKind::Add, OpKind::Sum]);
        match (self.is_constant(a), self.is_constant(b)) {
            (false, true) => Some((a, b)),
            (true, false) if commutes => Some((b, a)),
            _ => None,
        }
    }

    /// The input of a node that multiplies or divides it by one number, and the factor.
    pub fn scaled(&self, i: usize) -> Option<(ValueId, f64)> {
        let (live, constant) = self.by_constant(i)?;
        let number = || self.scalar(constant);
        match self.kind(i) {
            OpKind::Mul => Some((live, number()?)),
            OpKind::Div => Some((live, 1.0 / number()?)),
            _ => None,
        }
    }

    pub fn algebra(&self, i: usize) -> Algebra {
        let node = self.node(i);
        let inputs = node.inputs.iter();
        let constant = inputs.map(|slot| slot.is_none_or(|value| self.is_constant(value)));
        node.op.algebra(&constant.collect::<Vec<_>>())
    }

    /// Whether a node hands its input on as it is, but for the type that it is kept in.
    pub fn is_passing(&self, i: usize) -> bool {
        let passes = self.is(i, &[OpKind::Cast, OpKind::Identity, OpKind::Dropout]);
        passes && self.algebra(i) == Algebra::Moves
    }

    /// The value behind casts and the like, whose nodes are taken along.
    pub fn plain(&self, mut value: ValueId, nodes: &mut Nodes) -> ValueId {
        while let Some(i) = self.maker(value).filter(|&i| self.is_passing(i)) {
            let Some(input) = self.input(i, 0) else { break };
            nodes.insert(i);
            value = input;
        }
        value
    }

    /// The node that makes a value, behind casts and the like.
    pub fn behind(&self, value: ValueId, nodes: &mut Nodes) -> Option<usize> {
        self.maker(self.plain(value, nodes))
    }

    /// The one reader of a value, behind casts and the like.
    pub fn next(&self, value: ValueId, nodes: &mut Nodes) -> Option<usize> {
        let mut reader = self.only_reader(value)?;
        let mut passed = Vec::new();
        while self.is_passing(reader) {
            passed.push(reader);
            reader = self.only_reader(self.output(reader))?;
        }
        nodes.extend(passed);
        Some(reader)
    }

    /// Whether a node keeps all numbers in their order and changes at most the shape.
    pub fn keeps_order(&self, i: usize) -> bool {
        if self.is_passing(i) {
            return true;
        }
        let Some(input) = self.input(i, 0) else {
            return false;
        };
        let known = self.operands(i);
        let operands = Operands::new(&known, self.node(i).outputs.len(), Batch::default());
        self.count(input) == self.count(self.output(i))
            && self.algebra(i) == Algebra::Moves
            && matches!(self.node(i).op.apart(&operands), Apart::Shape)
    }

    /// What is known of a node's inputs.
    pub fn operands(&self, i: usize) -> Vec<Option<Known>> {
        let known = |value: &ValueId| match self.plan.known.get(value) {
            Some(known) => Some(known.clone()),
            None => self.graph.constant(*value).cloned().map(Known::host),
        };
        let inputs = self.node(i).inputs.iter();
        inputs.map(|slot| slot.as_ref().and_then(known)).collect()
    }

    /// Runs a node on numbers; `None` where it cannot.
    pub fn run(&self, i: usize, inputs: &[Option<Known>]) -> Option<Vec<HostTensor>> {
        let node = self.node(i);
        let ready = self.resolve(node, inputs)?;
        fold::computed(self.graph, node, inputs, ready.resolved).ok()
    }

    fn resolve(&self, node: &Node, inputs: &[Option<Known>]) -> Option<Ready> {
        let ledger = self.graph.ledger(0);
        let ready = self
            .graph
            .resolve_node(node, inputs, Batch::default(), ledger);
        ready.ok()
    }

    /// Where a transposition takes each axis of its output from.
    pub fn permutation(&self, i: usize) -> Option<Vec<usize>> {
        let rank = self.shape(self.input(i, 0)?)?.len();
        self.graph.permutation(self.node(i), rank)
    }
}
