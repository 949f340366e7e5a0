//! Which nodes must run to get from what is fed to what is fetched, with every shape on the way.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::error::GraphError;
use crate::graph::{Graph, Node, NodeId, ValueId};
use crate::host::HostTensor;
use crate::limits::{Ledger, host_bytes, spend};
use crate::operator::{Batch, Kernel, Known, Operands, Ready, Refused, Resolved};

/// One node to run.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub node: NodeId,
    /// `None` when all outputs are known.
    pub kernel: Option<Arc<dyn Kernel>>,
    pub outputs: Vec<Known>,
    /// Bytes of the tensors between.
    pub working: u64,
}

/// A partial execution, checked and ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    pub known: HashMap<ValueId, Known>,
}

impl Plan {
    /// Plans how to compute `fetches` from values of the stated shapes: to be looked at, not to be run,
    /// since a node that asks for values which are yet to be computed is there as its
    /// [outline](crate::Operator::outline).
    pub fn new(
        graph: &Graph,
        feeds: &[(ValueId, Known)],
        fetches: &[ValueId],
    ) -> Result<Self, GraphError> {
        let mut planner = Planner::new(graph, feeds, fetches)?;
        match planner.stuck()? {
            Some((node, refused)) => Err(graph.refusal(&graph.nodes[node.0], refused)),
            None => Ok(planner.into_plan()),
        }
    }

    /// Plans as much as can be, to be looked at: nodes of which something is not supported, or of which
    /// sizes depend on values, are left out with all that depends on them.
    pub fn reachable(graph: &Graph, feeds: &[(ValueId, Known)]) -> Result<Self, GraphError> {
        Self::reachable_or(graph, feeds, |_, _| ())
    }

    /// The same; `left_out` is told of each such node.
    pub fn reachable_or(
        graph: &Graph,
        feeds: &[(ValueId, Known)],
        mut left_out: impl FnMut(NodeId, Refused),
    ) -> Result<Self, GraphError> {
        let mut planner = Planner::over_all(graph, feeds);
        while let Some((node, refused)) = planner.stuck()? {
            left_out(node, refused);
            planner.skip();
        }
        Ok(planner.into_plan())
    }
}

/// What a planner found that came to its end by shapes alone.
#[derive(Debug)]
pub(crate) struct Planned {
    plan: Arc<Plan>,
    needed: Arc<Vec<bool>>,
    /// Bytes of the values that follow from shapes alone.
    pub computed: u64,
    batch: Batch,
}

/// How far a [`Planner`] got.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Everything is planned.
    Done,
    /// A node cannot be resolved: it is not supported, or needs the values of `value`.
    Blocked {
        node: NodeId,
        value: Option<ValueId>,
        refused: Refused,
    },
}

/// A plan in the making. Where sizes follow from values that are yet to be computed, it stops until it
/// is [told](Planner::tell) them.
#[derive(Debug)]
pub(crate) struct Planner<'g> {
    graph: &'g Graph,
    /// Shared with those that were made before.
    pub plan: Arc<Plan>,
    /// Numbers that were read back: for the nodes that ask for them, and for no others, which are to
    /// be differentiated.
    told: HashMap<ValueId, HostTensor>,
    /// Whether it was told anything, which another pass may be told otherwise.
    was_told: bool,
    needed: Arc<Vec<bool>>,
    next: usize,
    /// Bytes of the values that follow from shapes alone.
    computed: u64,
    batch: Batch,
    /// Whether nodes that cannot be reached are no error.
    lenient: bool,
}

impl<'g> Planner<'g> {
    pub fn new(
        graph: &'g Graph,
        feeds: &[(ValueId, Known)],
        fetches: &[ValueId],
    ) -> Result<Self, GraphError> {
        let needed = needed_nodes(graph, feeds, fetches)?;
        let needed: Vec<bool> = (0..graph.nodes.len())
            .map(|i| needed.contains(&NodeId(i)))
            .collect();
        check_supported(graph, &needed)?;
        Ok(Self::start(graph, feeds, needed, false))
    }

    /// For everything that the outputs depend on.
    fn over_all(graph: &'g Graph, feeds: &[(ValueId, Known)]) -> Self {
        let mut read: HashSet<ValueId> = graph.outputs.iter().copied().collect();
        let mut needed = vec![false; graph.nodes.len()];
        for (node, needed) in graph.nodes.iter().zip(&mut needed).rev() {
            *needed = node.outputs.iter().any(|value| read.contains(value));
            if *needed {
                read.extend(node.inputs.iter().flatten());
            }
        }
        Self::start(graph, feeds, needed, true)
    }

    fn start(
        graph: &'g Graph,
        feeds: &[(ValueId, Known)],
        needed: Vec<bool>,
        lenient: bool,
    ) -> Self {
        Self {
            graph,
            plan: Arc::new(Plan {
                steps: Vec::new(),
                known: feeds.iter().cloned().collect(),
            }),
            told: HashMap::new(),
            was_told: false,
            needed: Arc::new(needed),
            next: 0,
            computed: 0,
            batch: Batch {
                stated: graph.stated_batch(),
                actual: feeds
                    .first()
                    .and_then(|(_, known)| known.shape.first().copied()),
            },
            lenient,
        }
    }

    /// At the end of what was planned before.
    pub fn resumed(graph: &'g Graph, planned: &Planned) -> Self {
        Self {
            graph,
            plan: Arc::clone(&planned.plan),
            told: HashMap::new(),
            was_told: false,
            needed: Arc::clone(&planned.needed),
            next: graph.nodes.len(),
            computed: planned.computed,
            batch: planned.batch,
            lenient: false,
        }
    }

    /// What another pass can take up, if this one came to its end by shapes alone.
    pub fn planned(&self) -> Option<Planned> {
        let by_shapes = self.next == self.graph.nodes.len() && !self.was_told && !self.lenient;
        by_shapes.then(|| Planned {
            plan: Arc::clone(&self.plan),
            needed: Arc::clone(&self.needed),
            computed: self.computed,
            batch: self.batch,
        })
    }

    fn into_plan(self) -> Plan {
        Arc::unwrap_or_clone(self.plan)
    }

    /// The nodes that will run.
    pub fn needed(&self) -> impl Iterator<Item = NodeId> {
        let needed = self.needed.iter().enumerate();
        needed
            .filter(|(_, needed)| **needed)
            .map(|(i, _)| NodeId(i))
    }

    /// Plans on, to the end or to the next node that cannot be resolved yet.
    pub fn advance(&mut self) -> Result<Progress, GraphError> {
        while self.next < self.graph.nodes.len() {
            if self.needed[self.next]
                && let Some(blocked) = self.plan_node(NodeId(self.next))?
            {
                return Ok(blocked);
            }
            self.next += 1;
        }
        Ok(Progress::Done)
    }

    /// Leaves out the node at which [`Planner::advance`] stopped.
    pub fn skip(&mut self) {
        self.next += 1;
    }

    /// The next node that cannot be planned, where one that asks for values is there as its outline; `None` once all is planned.
    fn stuck(&mut self) -> Result<Option<(NodeId, Refused)>, GraphError> {
        loop {
            match self.advance()? {
                Progress::Done => return Ok(None),
                Progress::Blocked {
                    refused: Refused::NeedsValue { .. },
                    ..
                } if self.outline() => {}
                Progress::Blocked { node, refused, .. } => return Ok(Some((node, refused))),
            }
        }
    }

    /// Goes on behind the node at which [`Planner::advance`] stopped by what its outputs are whatever the
    /// values that it asks for, if it says so.
    fn outline(&mut self) -> bool {
        let node = &self.graph.nodes[self.next];
        let outlined = self.inputs(node).and_then(|inputs| {
            let operands = Operands::new(&inputs, node.outputs.len(), self.batch);
            node.op.outline(&operands)
        });
        // Whoever reads an output has to find it.
        let named = node.outputs.len();
        let Some(mut outputs) = outlined.filter(|outputs| outputs.len() >= named) else {
            return false;
        };
        outputs.truncate(named);
        for (&value, output) in node.outputs.iter().zip(&outputs) {
            let known = Arc::make_mut(&mut self.plan).known.entry(value);
            known.or_insert_with(|| output.clone());
        }
        Arc::make_mut(&mut self.plan).steps.push(Step {
            node: NodeId(self.next),
            kernel: None,
            outputs,
            working: 0,
        });
        self.next += 1;
        true
    }

    /// What is known of a node's inputs; `None` where one cannot be reached.
    fn inputs(&self, node: &Node) -> Option<Vec<Option<Known>>> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for slot in &node.inputs {
            let Some(value) = slot else {
                inputs.push(None);
                continue;
            };
            let known = match (self.plan.known.get(value), self.graph.constant(*value)) {
                (Some(known), _) => known.clone(),
                (None, Some(host)) => Known::host(host.clone()),
                (None, None) if self.lenient => return None,
                (None, None) => unreachable!("nodes are sorted and the feed cuts the graph"),
            };
            inputs.push(Some(known));
        }
        Some(inputs)
    }

    /// States the values of a tensor that was computed.
    pub fn tell(&mut self, value: ValueId, host: HostTensor) {
        self.was_told = true;
        match host.element_type().is_float() {
            true => self.told.insert(value, host),
            false => {
                let plan = Arc::make_mut(&mut self.plan);
                plan.known.insert(value, Known::host(host));
                None
            }
        };
    }

    /// With another plan for all that was planned.
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.plan = Arc::new(plan);
        self
    }

    /// For a graph inside another: the batch is that of the graph around it.
    pub fn in_batch(mut self, batch: Batch) -> Self {
        self.batch = batch;
        self
    }

    /// The elements of a value, if it is asked for and was told.
    fn answer(&self, known: &mut Known, value: Option<ValueId>) -> bool {
        let told = value.and_then(|value| self.told.get(&value));
        let (None, Some(host)) = (&known.host, told) else {
            return false;
        };
        known.host = Some(host.clone());
        known.is_read = true;
        true
    }

    /// What is taken: each image of a batch may take as much as one.
    fn ledger(&self) -> Ledger {
        self.graph.ledger(self.computed).for_each(self.images())
    }

    /// Counts what is known of a node's outputs.
    fn take(&mut self, node: &Node, resolved: &Resolved) -> Result<(), GraphError> {
        let known = resolved.outputs.iter().filter_map(|o| o.host.as_ref());
        let made = known
            .map(|host| host_bytes(host.element_type(), host.len()))
            .sum();
        let ledger = self.ledger();
        let what = || format!("what {} makes of shapes", self.graph.label(node));
        ledger.check(made).map_err(|excess| excess.of(what()))?;
        // A body counts in the ledger of the node that it belongs to.
        spend(made).map_err(|refused| self.graph.refusal(node, refused))?;
        self.computed += made;
        Ok(())
    }

    /// How many images it is for.
    pub fn images(&self) -> usize {
        self.batch.images()
    }

    /// Bytes of the values that follow from shapes alone.
    pub fn computed(&self) -> u64 {
        self.computed
    }

    fn plan_node(&mut self, id: NodeId) -> Result<Option<Progress>, GraphError> {
        let graph = self.graph;
        let node = &graph.nodes[id.0];
        let Some(mut inputs) = self.inputs(node) else {
            return Ok(None);
        };
        let Ready { resolved, working } = loop {
            match graph.resolve_node(node, &inputs, self.batch, self.ledger()) {
                Ok(ready) => break ready,
                Err(refused @ Refused::NeedsValue { slot, .. }) => {
                    let value = node.inputs.get(slot).copied().flatten();
                    let known = inputs.get_mut(slot).and_then(Option::as_mut);
                    if known.is_some_and(|known| self.answer(known, value)) {
                        continue;
                    }
                    return Ok(Some(Progress::Blocked {
                        node: id,
                        value,
                        refused,
                    }));
                }
                Err(refused @ Refused::Unsupported(_)) => {
                    return Ok(Some(Progress::Blocked {
                        node: id,
                        value: None,
                        refused,
                    }));
                }
                Err(refused) => return Err(graph.refusal(node, refused)),
            }
        };
        self.take(node, &resolved)?;
        let plan = Arc::make_mut(&mut self.plan);
        for (&value, output) in node.outputs.iter().zip(&resolved.outputs) {
            // A fed value stays what was fed.
            let known = plan.known.entry(value);
            known.or_insert_with(|| output.clone());
        }
        plan.steps.push(Step {
            node: id,
            kernel: resolved.kernel,
            outputs: resolved.outputs,
            working,
        });
        Ok(None)
    }
}

/// Refuses operators that nobody knows, all of them at once.
fn check_supported(graph: &Graph, needed: &[bool]) -> Result<(), GraphError> {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (node, _) in graph
        .nodes
        .iter()
        .zip(needed)
        .filter(|(_, needed)| **needed)
    {
        if node.op.is_missing() {
            let nodes = missing.entry(node.op.kind().to_string()).or_default();
            nodes.push(graph.node_name(node).to_owned());
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(GraphError::UnsupportedOperators(
            missing.into_iter().collect(),
        )),
    }
}

/// Nodes between the feeds and the fetches.
fn needed_nodes(
    graph: &Graph,
    feeds: &[(ValueId, Known)],
    fetches: &[ValueId],
) -> Result<HashSet<NodeId>, GraphError> {
    let fed: HashSet<ValueId> = feeds.iter().map(|(v, _)| *v).collect();
    let mut needed = HashSet::new();
    for &fetch in fetches {
        let mut reader: HashMap<ValueId, ValueId> = HashMap::new();
        let mut queue = VecDeque::from([fetch]);
        let mut seen = HashSet::from([fetch]);
        while let Some(value) = queue.pop_front() {
            if fed.contains(&value) || graph.constants.contains_key(&value) {
                continue;
            }
            let Some(node) = graph.producer[value.0] else {
                let mut path = Vec::new();
                let mut at = value;
                while let Some(&next) = reader.get(&at) {
                    path.push(graph.name(next).to_owned());
                    at = next;
                }
                path.pop();
                return Err(GraphError::NotCut {
                    fetch: graph.name(fetch).to_owned(),
                    fed: feeds
                        .iter()
                        .map(|(v, _)| graph.name(*v).to_owned())
                        .collect(),
                    needed: graph.name(value).to_owned(),
                    path,
                });
            };
            needed.insert(node);
            for &input in graph.nodes[node.0].inputs.iter().flatten() {
                if seen.insert(input) {
                    reader.insert(input, value);
                    queue.push_back(input);
                }
            }
        }
    }
    Ok(needed)
}
