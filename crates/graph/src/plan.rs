//! Which nodes must run to get from what is fed to what is fetched, with every shape on the way.

use std::collections::{HashMap, HashSet, VecDeque};

use elucid_rules::Operator;

use crate::error::GraphError;
use crate::graph::{Graph, NodeId, ValueId};
use crate::host::{HostTensor, MAX_COMPUTED};
use crate::import::too_large;
use crate::op::Unary;
use crate::resolve::{Batch, Kernel, Known};

/// One node to run.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub node: NodeId,
    pub kernel: Kernel,
    pub outputs: Vec<Known>,
}

/// A partial execution, checked and ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    pub known: HashMap<ValueId, Known>,
}

impl Plan {
    /// Plans how to compute `fetches` from values of the stated shapes.
    pub fn new(
        graph: &Graph,
        feeds: &[(ValueId, Vec<usize>)],
        fetches: &[ValueId],
    ) -> Result<Self, GraphError> {
        let needed = needed_nodes(graph, feeds, fetches)?;
        let batch = Batch {
            stated: graph.stated_batch(),
            actual: feeds.first().and_then(|(_, shape)| shape.first().copied()),
        };
        let mut known: HashMap<ValueId, Known> = feeds
            .iter()
            .map(|(value, shape)| (*value, Known::activation(shape.clone())))
            .collect();
        let mut steps = Vec::new();
        let mut computed = 0;
        for (i, node) in graph.nodes.iter().enumerate() {
            if !needed.contains(&NodeId(i)) {
                continue;
            }
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for slot in &node.inputs {
                inputs.push(
                    slot.map(|value| match (known.get(&value), graph.constant(value)) {
                        (Some(known), _) => known.clone(),
                        (None, Some(host)) => Known::host(host.clone()),
                        (None, None) => {
                            unreachable!("nodes are sorted and the feed cuts the graph")
                        }
                    }),
                );
            }
            let (kernel, outputs) = graph.resolve_node(node, &inputs, node.outputs.len(), batch)?;
            for (&value, output) in node.outputs.iter().zip(&outputs) {
                computed += output.host.as_ref().map_or(0, HostTensor::len);
                if computed > MAX_COMPUTED {
                    let what = "what follows from shapes alone";
                    return Err(too_large(what, &[computed], MAX_COMPUTED));
                }
                // A fed value stays what was fed.
                known.entry(value).or_insert_with(|| output.clone());
            }
            steps.push(Step {
                node: NodeId(i),
                kernel,
                outputs,
            });
        }
        Ok(Self { steps, known })
    }
}

/// Nodes between the feeds and the fetches.
fn needed_nodes(
    graph: &Graph,
    feeds: &[(ValueId, Vec<usize>)],
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

impl Kernel {
    /// The operator as rules see it.
    pub fn operator(&self, kind: elucid_rules::OpKind) -> Operator<'_> {
        match self {
            Self::Unary(Unary::Relu) => Operator::Relu,
            Self::Clip { min, max } => Operator::Clip {
                min: *min,
                max: *max,
            },
            Self::MaxPool(pool) => Operator::MaxPool(pool),
            _ => Operator::Other(kind),
        }
    }

    /// Whether it is a function of one tensor and nothing else, so that a rule can stand in for it.
    pub fn takes_a_rule(&self) -> bool {
        matches!(
            self,
            Self::Identity
                | Self::MaxPool(_)
                | Self::AveragePool { .. }
                | Self::GlobalMaxPool
                | Self::Lrn(_)
                | Self::Unary(_)
                | Self::Clip { .. }
                | Self::Softmax { .. }
                | Self::ReduceMean { .. }
        )
    }
}
