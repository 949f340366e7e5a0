//! A pass that keeps what it computed, to be walked backwards one operator at a time.
//!
//! burn's autodiff asks each operator for its gradient. Methods that hand something else from an
//! operator's output to its inputs (relevance, contributions relative to a baseline) need to see the
//! operator: its inputs, its output, its weights. A [`Recording`] shows each of them as a [`Step`].

mod merged;
mod step;
mod timed;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use elucid_rules::{Algebra, Depth};

use self::merged::{Extent, Merged};
pub use self::step::Step;
use crate::activation::Activation;
use crate::bound::BoundGraph;
use crate::error::GraphError;
use crate::execute::Placed;
use crate::graph::ValueId;
use crate::heads::Heads;
use crate::message::quoted;
use crate::operator::{Known, Slots};
use crate::pass::Activations;
use crate::plan;
use crate::run::{Run, Watch};

/// The values of a pass, kept.
///
/// Made by [`Pass::record`](crate::Pass::record). Memory: every activation between the feeds and
/// the fetched layers, for as long as the recording lives.
#[derive(Debug)]
pub struct Recording<'m> {
    model: &'m BoundGraph,
    steps: Vec<plan::Step>,
    rules: Vec<Option<Placed>>,
    values: HashMap<ValueId, Activation>,
    /// What is known of every value, weights aside; the elements of those that do not depend on what was fed.
    known: HashMap<ValueId, Known>,
    /// The layers with what is part of them.
    layers: Vec<Merged>,
}

/// Notes the rule of each step.
struct Noted<'r>(&'r mut Vec<Option<Placed>>);

impl Watch for Noted<'_> {
    fn stands_in(&mut self, rule: Option<&Placed>) {
        self.0.push(rule.cloned());
    }
}

impl<'m> Recording<'m> {
    pub(crate) fn run(model: &'m BoundGraph, run: Run<'m>) -> Result<Self, GraphError> {
        let mut run = run.keeping();
        let mut rules = Vec::new();
        run.run_all(&mut Noted(&mut rules))?;
        let (plan, mut values) = run.finish();
        for (&value, known) in &plan.known {
            let uploaded = known.host.as_ref();
            let uploaded = uploaded.and_then(|host| Activation::of_host(host, model.device()));
            if let Some(uploaded) = uploaded {
                values.entry(value).or_insert(uploaded);
            }
        }
        Ok(Self {
            model,
            steps: plan.steps,
            rules,
            values,
            known: plan.known,
            layers: Vec::new(),
        })
    }

    /// Treats a constant that is added to what a convolution or a dense layer makes, one number for each
    /// channel, as the bias that it is: a `MatMul` and an `Add` behind it are one layer
    /// ([`Pattern::Linear`](crate::Pattern::Linear)). The bias of the layer's [`Step`] is the sum of both,
    /// its output that of the `Add`, and what arrives there is handed to that step unchanged.
    #[must_use]
    pub fn merging_biases(self) -> Self {
        self.merging(Extent::Biases)
    }

    /// Treats a batch normalisation behind a convolution or a dense layer likewise, whether it is one
    /// operator or written out ([`Pattern::BatchNorm`](crate::Pattern::BatchNorm)), and biases: the weights
    /// of the layer's [`Step`] are the merged ones.
    #[must_use]
    pub fn merging_batch_norm(self) -> Self {
        self.merging(Extent::Normalisations)
    }

    fn merging(mut self, extent: Extent) -> Self {
        self.layers = merged::layers(&self, extent);
        self
    }

    /// The network.
    pub fn model(&self) -> &'m BoundGraph {
        self.model
    }

    /// The value of a layer.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] when there is no such layer, or this pass did not compute it.
    pub fn value(&self, layer: &str) -> Result<&Activation, GraphError> {
        let value = self.model.value(layer)?;
        self.values
            .get(&value)
            .ok_or_else(|| GraphError::UnknownLayer {
                name: self.model.graph().name(value).to_owned(),
                nearest: Vec::new(),
            })
    }

    /// What the operator at this place of [`Graph::nodes`](crate::Graph::nodes) computes with, if it attends by
    /// itself and this pass ran it.
    pub fn heads(&self, node: usize) -> Option<Heads> {
        let step = self.steps.iter().position(|step| step.node.0 == node)?;
        let attends = self.steps[step].kernel.as_ref()?.attends()?;
        attends.heads(self.slots_of(step))
    }

    /// The steps that hand something from layer `from` down to the layers `to`, last first.
    ///
    /// # Errors
    ///
    /// For names as [`Recording::value`].
    pub fn steps(&self, from: &str, to: &[&str]) -> Result<Vec<Step<'_>>, GraphError> {
        let walk = self.walk(from, to)?;
        Ok(self.order(&walk))
    }

    /// Those of the [steps](Recording::steps) that something arrives at, when each hands something to the
    /// live slots of which `hands` says so: behind a gate that is taken as a constant, none of what computes
    /// it.
    ///
    /// # Errors
    ///
    /// For names as [`Recording::value`].
    pub fn reached(
        &self,
        from: &str,
        to: &[&str],
        hands: impl Fn(&Step<'_>, usize) -> bool,
    ) -> Result<Vec<Step<'_>>, GraphError> {
        let walk = self.walk(from, to)?;
        let mut arrived = HashSet::from([walk.from]);
        let mut reached = Vec::new();
        for step in self.order(&walk) {
            let node = step.node();
            if !node.outputs.iter().any(|value| arrived.contains(value)) {
                continue;
            }
            for (slot, value) in node.inputs.iter().enumerate() {
                let Some(value) = value.filter(|_| step.is_live(slot)) else {
                    continue;
                };
                if step.is_absorbed() || hands(&step, slot) {
                    arrived.insert(value);
                }
            }
            reached.push(step);
        }
        Ok(reached)
    }

    /// Hands `seed`, which arrives at layer `from`, down to the layers `to`.
    ///
    /// For each operator on the way, last first, `rule` is given what arrived at its outputs and
    /// returns what goes to its inputs, slot by slot; what arrives at a value from several readers
    /// is added up. Returned is what arrived at the layers of `to`, zeros where nothing did. With
    /// [`Step::gradient`] as the rule this is the gradient.
    ///
    /// # Errors
    ///
    /// Any error of `rule`; [`GraphError::Shape`] when it returns another shape than the input's or
    /// `seed` is not shaped like the layer; for names as [`Recording::value`].
    pub fn propagate<E: From<GraphError>>(
        &self,
        from: &str,
        seed: Activation,
        to: &[&str],
        mut rule: impl FnMut(&Step<'_>, &[Option<Activation>]) -> Result<Vec<Option<Activation>>, E>,
    ) -> Result<Activations, E> {
        let walk = self.walk(from, to)?;
        self.check_shape(walk.from, &seed)?;
        let mut arrived: HashMap<ValueId, Activation> = HashMap::from([(walk.from, seed)]);
        let mut kept: HashMap<ValueId, Activation> = HashMap::new();
        let wanted: HashSet<ValueId> = walk.to.iter().map(|(_, v)| *v).collect();
        for step in self.order(&walk) {
            let node = step.node();
            let mut outputs: Vec<Option<Activation>> = Vec::new();
            for value in &node.outputs {
                let output = arrived.remove(value);
                if let Some(output) = &output
                    && wanted.contains(value)
                {
                    kept.insert(*value, output.clone());
                }
                outputs.push(output);
            }
            if outputs.iter().all(Option::is_none) {
                continue;
            }
            let inputs = match walk.absorbed.contains(&step.index) {
                true => {
                    let slots = step.live.iter();
                    let part = outputs.swap_remove(0);
                    slots.map(|live| part.clone().filter(|_| *live)).collect()
                }
                false => rule(&step, &outputs)?,
            };
            for (slot, part) in node.inputs.iter().zip(inputs) {
                let (Some(value), Some(part)) = (*slot, part) else {
                    continue;
                };
                if !walk.live.contains(&value) {
                    continue;
                }
                self.check_shape(value, &part)?;
                let sum = match arrived.remove(&value) {
                    Some(before) => Activation::from_rows(before.rows() + part.rows(), &part)?,
                    None => part,
                };
                arrived.insert(value, sum);
            }
        }
        let fetched = walk
            .to
            .into_iter()
            .map(|(asked, value)| {
                let found = kept.get(&value).or_else(|| arrived.get(&value)).cloned();
                let part = found.unwrap_or_else(|| self.value_of(value).zeros_like());
                (asked, self.model.graph().name(value).to_owned(), part)
            })
            .collect();
        Ok(Activations {
            fetched,
            uses: Vec::new(),
        })
    }

    fn check_shape(&self, value: ValueId, part: &Activation) -> Result<(), GraphError> {
        let expected = self.value_of(value).shape();
        if part.shape() == expected {
            return Ok(());
        }
        Err(GraphError::Shape {
            what: format!("what arrives at {}", quoted(self.model.graph().name(value))),
            expected: format!("{expected:?}"),
            got: part.shape(),
        })
    }

    fn value_of(&self, value: ValueId) -> Activation {
        self.maybe_value_of(value)
            .expect("steps run in order, and every value before them is kept")
    }

    /// `None` for what is empty.
    fn maybe_value_of(&self, value: ValueId) -> Option<Activation> {
        let found = self.values.get(&value).cloned();
        found.or_else(|| self.model.weight(value))
    }

    fn slots_of(&self, step: usize) -> Slots {
        let inputs = self.model.graph().nodes[self.steps[step].node.0]
            .inputs
            .iter();
        let values = inputs.map(|slot| slot.and_then(|value| self.maybe_value_of(value)));
        Slots::new(values.collect())
    }

    fn walk(&self, from: &str, to: &[&str]) -> Result<Walk, GraphError> {
        self.value(from)?;
        let from = self.model.value(from)?;
        let mut targets = Vec::new();
        for name in to {
            self.value(name)?;
            targets.push(((*name).to_owned(), self.model.value(name)?));
        }
        let nodes = &self.model.graph().nodes;
        let node = |i: usize| &nodes[self.steps[i].node.0];
        // What depends on the layers `to`, and of that what `from` depends on.
        let mut live: HashSet<ValueId> = targets.iter().map(|(_, v)| *v).collect();
        for i in 0..self.steps.len() {
            let reads = |v: &ValueId| live.contains(v);
            if self.steps[i].kernel.is_some() && node(i).inputs.iter().flatten().any(reads) {
                live.extend(&node(i).outputs);
            }
        }
        let mut above = HashSet::from([from]);
        let mut steps = Vec::new();
        for i in (0..self.steps.len()).rev() {
            let reads_live = node(i).inputs.iter().flatten().any(|v| live.contains(v));
            let makes = node(i).outputs.iter().any(|v| above.contains(v));
            if reads_live && makes && self.steps[i].kernel.is_some() {
                above.extend(node(i).inputs.iter().flatten());
                steps.push(i);
            }
        }
        let on_the_way: HashSet<usize> = steps.iter().copied().collect();
        let layers = self.layers.iter();
        let merged: HashMap<usize, Merged> = layers
            .filter_map(|layer| Some((layer.weighted, layer.within(&on_the_way)?)))
            .collect();
        let absorbed = merged.values().flat_map(|layer| layer.steps());
        Ok(Walk {
            from,
            to: targets,
            live,
            absorbed: absorbed.collect(),
            steps,
            merged,
        })
    }

    fn constants_of(&self, step: usize) -> Vec<bool> {
        let inputs = self.model.graph().nodes[self.steps[step].node.0]
            .inputs
            .iter();
        inputs
            .map(|slot| slot.is_none_or(|value| self.is_constant(value)))
            .collect()
    }

    /// Whether a value is the same whatever was fed: a weight, or a number that follows from sizes.
    fn is_constant(&self, value: ValueId) -> bool {
        let known = || self.known.get(&value).and_then(|known| known.host.as_ref());
        self.model.graph().constant(value).is_some() || known().is_some()
    }

    fn depth(&self, step: usize) -> Depth {
        self.model.graph().places().depths[self.steps[step].node.0]
    }

    fn algebra(&self, step: usize) -> Algebra {
        let node = &self.model.graph().nodes[self.steps[step].node.0];
        node.op.algebra(&self.constants_of(step))
    }

    /// Whether a step is linear in its first input, with constant weights.
    fn is_weighted(&self, step: usize) -> bool {
        let kernel = self.steps[step].kernel.as_ref();
        let weighted = kernel.and_then(|kernel| kernel.weighted());
        weighted.is_some_and(|weighted| weighted.is_weighted(&self.constants_of(step)))
    }

    fn order<'r>(&'r self, walk: &Walk) -> Vec<Step<'r>> {
        let nodes = &self.model.graph().nodes;
        let weighted: HashSet<usize> = (0..self.steps.len())
            .filter(|&i| self.is_weighted(i))
            .collect();
        // Values that some weighted operator comes before.
        let mut after = HashSet::new();
        let mut first = HashSet::new();
        for (i, step) in self.steps.iter().enumerate() {
            let node = &nodes[step.node.0];
            let behind = node.inputs.iter().flatten().any(|v| after.contains(v));
            if weighted.contains(&i) && !behind {
                first.insert(i);
            }
            if weighted.contains(&i) || behind {
                after.extend(node.outputs.iter().copied());
            }
        }
        walk.steps
            .iter()
            .map(|&index| {
                let inputs = &nodes[self.steps[index].node.0].inputs;
                Step {
                    recording: self,
                    index,
                    live: inputs
                        .iter()
                        .map(|slot| slot.is_some_and(|v| walk.live.contains(&v)))
                        .collect(),
                    merged: walk.merged.get(&index).cloned(),
                    absorbed: walk.absorbed.contains(&index),
                    first: first.contains(&index),
                    weights: OnceCell::new(),
                }
            })
            .collect()
    }
}

/// Which steps lie between a layer and those below it.
struct Walk {
    from: ValueId,
    to: Vec<(String, ValueId)>,
    live: HashSet<ValueId>,
    /// Last first.
    steps: Vec<usize>,
    merged: HashMap<usize, Merged>,
    absorbed: HashSet<usize>,
}
