//! One partial execution.

use std::collections::HashMap;
use std::sync::Arc;

use elucid_rules::{GradRule, OpKind, RuleError, Rules};

use crate::activation::Activation;
use crate::error::{GraphError, quoted};
use crate::execute::execute;
use crate::graph::ValueId;
use crate::model::{ImageBatch, Model};
use crate::names::lucid_alias;
use crate::plan::Plan;
use crate::record::Recording;
use crate::resolve::{Kernel, Known};

/// A partial execution: feed any layers, fetch any layers, and only what lies between runs.
///
/// A fed tensor that tracks gradients (`tensor.autodiff().require_grad()`) makes what is fetched
/// differentiable with respect to it; weights are constants.
#[derive(Debug, Clone)]
#[must_use = "a pass runs when something is fetched"]
pub struct Pass<'m> {
    model: &'m Model,
    rules: Rules,
    feeds: Vec<(String, Activation)>,
}

impl<'m> Pass<'m> {
    pub(crate) fn new(model: &'m Model) -> Self {
        Self {
            model,
            rules: Rules::new(),
            feeds: Vec::new(),
        }
    }

    /// Replaces gradients.
    pub fn rules(mut self, rules: &Rules) -> Self {
        self.rules = rules.clone();
        self
    }

    /// Gives the network its images.
    pub fn input(self, images: &impl ImageBatch) -> Self {
        let images = images.images(self.model.device());
        self.feed(crate::model::INPUT, images)
    }

    /// Gives a layer its value, instead of computing it.
    pub fn feed(mut self, layer: &str, value: impl Into<Activation>) -> Self {
        self.feeds.push((layer.to_owned(), value.into()));
        self
    }

    /// Runs what is needed and returns the values of `layers`.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] or [`GraphError::AmbiguousLayer`] for a name,
    /// [`GraphError::NotCut`] when the feeds do not suffice, [`GraphError::Operator`] when a shape
    /// does not fit, [`GraphError::Rule`] when a rule does not fit its operator.
    pub fn fetch<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Activations, GraphError> {
        let Prepared {
            model,
            mut values,
            plan,
            rules,
            requested,
        } = self.prepare(layers)?;
        let graph = model.graph();
        let fetches: Vec<ValueId> = requested.iter().map(|(_, v)| *v).collect();
        let mut uses: HashMap<ValueId, usize> = HashMap::new();
        let reads = plan
            .steps
            .iter()
            .flat_map(|s| graph.nodes[s.node.0].inputs.iter().flatten());
        for &value in reads.chain(&fetches) {
            *uses.entry(value).or_default() += 1;
        }
        for (step, rule) in plan.steps.iter().zip(rules) {
            if step.kernel == Kernel::Host {
                continue;
            }
            let node = &graph.nodes[step.node.0];
            let inputs = node
                .inputs
                .iter()
                .map(|slot| slot.map(|v| self_or_last(model, &plan, &mut values, &mut uses, v)))
                .collect();
            let outputs = execute(&step.kernel, rule, inputs, &step.outputs);
            for ((&value, output), known) in node.outputs.iter().zip(outputs).zip(&step.outputs) {
                check_output(model, step.node, &output, known)?;
                if uses.contains_key(&value) {
                    values.entry(value).or_insert(output);
                }
            }
        }
        let fetched = requested
            .into_iter()
            .map(|(name, v)| {
                let activation = self_or_last(model, &plan, &mut values, &mut uses, v);
                (name, graph.name(v).to_owned(), activation)
            })
            .collect();
        Ok(Activations { fetched })
    }

    /// Runs what is needed for `layers` and keeps all of it, to be walked backwards.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`].
    pub fn record<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Recording<'m>, GraphError> {
        Recording::run(self.prepare(layers)?)
    }

    fn prepare<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Prepared<'m>, GraphError> {
        let model = self.model;
        let graph = model.graph();
        let mut values: HashMap<ValueId, Activation> = HashMap::new();
        let mut shapes = Vec::new();
        for (name, activation) in self.feeds {
            let value = model.layer(&name)?.value;
            check_feed(model, value, &activation)?;
            shapes.push((value, activation.shape()));
            if values.insert(value, activation).is_some() {
                return Err(GraphError::Malformed {
                    reason: format!("layer {} is fed twice", quoted(graph.name(value))),
                });
            }
        }
        let mut requested = Vec::new();
        for name in layers {
            let layer = model.layer(name.as_ref())?;
            requested.push((name.as_ref().to_owned(), layer.value));
        }
        let fetches: Vec<ValueId> = requested.iter().map(|(_, v)| *v).collect();
        let plan = Plan::new(graph, &shapes, &fetches)?;
        let rules = model.bind_rules(&plan, &self.rules)?;
        Ok(Prepared {
            model,
            values,
            plan,
            rules,
            requested,
        })
    }
}

/// A pass that was checked and is ready to run.
pub(crate) struct Prepared<'m> {
    pub model: &'m Model,
    pub values: HashMap<ValueId, Activation>,
    pub plan: Plan,
    pub rules: Vec<Option<Arc<dyn GradRule>>>,
    pub requested: Vec<(String, ValueId)>,
}

/// A value for one reader; the last reader takes it, so that memory is freed early and burn may
/// reuse it.
fn self_or_last(
    model: &Model,
    plan: &Plan,
    values: &mut HashMap<ValueId, Activation>,
    uses: &mut HashMap<ValueId, usize>,
    value: ValueId,
) -> Activation {
    let left = uses.get_mut(&value).map_or(0, |n| {
        *n -= 1;
        *n
    });
    let found = if left == 0 {
        values.remove(&value)
    } else {
        values.get(&value).cloned()
    };
    found.or_else(|| model.weight(value)).unwrap_or_else(|| {
        // Numbers that follow from shapes alone.
        let host = plan.known.get(&value).and_then(|k| k.host.as_ref());
        let host = host.expect("the plan orders nodes and knows every host value");
        Activation::from_host(host.floats(), host.shape(), model.device())
    })
}

fn check_feed(model: &Model, value: ValueId, fed: &Activation) -> Result<(), GraphError> {
    let shape = fed.shape();
    let layer = model.layer_of(value)?;
    // Everything but batch, height and width belongs to the network.
    let stated = layer.shape();
    let fits = stated.len() == shape.len()
        && !shape.contains(&0)
        && (stated.len() < 2 || stated[1] == shape[1]);
    if fits {
        return Ok(());
    }
    let mut expected: Vec<String> = stated.iter().map(ToString::to_string).collect();
    if let Some(batch) = expected.first_mut() {
        *batch = "N".to_owned();
    }
    for (i, name) in [(2, "H"), (3, "W")] {
        if let Some(size) = expected.get_mut(i) {
            *size = name.to_owned();
        }
    }
    Err(GraphError::Shape {
        what: format!("the tensor fed to {}", quoted(layer.name())),
        expected: format!("[{}]", expected.join(", ")),
        got: shape,
    })
}

/// A rule of the user's may return anything.
fn check_output(
    model: &Model,
    node: crate::graph::NodeId,
    output: &Activation,
    known: &Known,
) -> Result<(), GraphError> {
    let shape = output.shape();
    let scalar = known.shape.is_empty() && shape == [1];
    if shape == known.shape || scalar {
        return Ok(());
    }
    Err(GraphError::Shape {
        what: format!(
            "the output of {}",
            model.graph().label(&model.graph().nodes[node.0])
        ),
        expected: format!("{:?}", known.shape),
        got: shape,
    })
}

impl Model {
    /// The rule for each step of a plan.
    pub(crate) fn bind_rules(
        &self,
        plan: &Plan,
        rules: &Rules,
    ) -> Result<Vec<Option<Arc<dyn GradRule>>>, GraphError> {
        if rules.is_empty() {
            return Ok(vec![None; plan.steps.len()]);
        }
        let graph = self.graph();
        plan.steps
            .iter()
            .map(|step| {
                if step.kernel == Kernel::Host {
                    return Ok(None);
                }
                let node = &graph.nodes[step.node.0];
                let output = graph.name(node.outputs[0]);
                let alias = lucid_alias(output);
                let names: Vec<&str> = [output, &node.name]
                    .into_iter()
                    .filter(|n| !n.is_empty())
                    .chain(alias.as_deref())
                    .collect();
                let kind: OpKind = node.op.kind();
                let rule = rules.bind(&step.kernel.operator(kind), &names)?;
                if let Some(rule) = &rule
                    && !step.kernel.takes_a_rule()
                {
                    return Err(RuleError::Unsupported {
                        rule: rule.name(),
                        kind,
                        supported: SUPPORTED.to_vec(),
                    }
                    .into());
                }
                Ok(rule)
            })
            .collect()
    }
}

/// Operators of one tensor, for which a rule can stand in.
const SUPPORTED: &[OpKind] = &[
    OpKind::Relu,
    OpKind::Clip,
    OpKind::LeakyRelu,
    OpKind::Sigmoid,
    OpKind::HardSigmoid,
    OpKind::HardSwish,
    OpKind::Tanh,
    OpKind::Elu,
    OpKind::MaxPool,
    OpKind::AveragePool,
    OpKind::GlobalAveragePool,
    OpKind::GlobalMaxPool,
    OpKind::Lrn,
    OpKind::Softmax,
];

/// What a pass fetched.
#[derive(Debug, Clone)]
pub struct Activations {
    pub(crate) fetched: Vec<(String, String, Activation)>,
}

impl Activations {
    /// The value of a layer, by the name it was fetched under or its full name.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] when it was not fetched.
    pub fn get(&self, layer: &str) -> Result<&Activation, GraphError> {
        self.fetched
            .iter()
            .find(|(asked, full, _)| asked == layer || full == layer)
            .map(|(_, _, activation)| activation)
            .ok_or_else(|| GraphError::UnknownLayer {
                name: layer.to_owned(),
                nearest: self
                    .fetched
                    .iter()
                    .map(|(asked, ..)| asked.clone())
                    .collect(),
            })
    }

    /// Full layer names and values, in the order in which they were fetched.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Activation)> {
        self.fetched
            .iter()
            .map(|(_, full, activation)| (full.as_str(), activation))
    }
}
