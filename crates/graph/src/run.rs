//! A pass under way.

use std::collections::HashMap;
use std::sync::Arc;

use elucid_kernels::among_threads;
use elucid_rules::{AnyRank, RuleUse, Rules};

use crate::activation::Activation;
use crate::bound::BoundGraph;
use crate::error::GraphError;
use crate::execute::{Placed, execute};
use crate::footprint;
use crate::fuse::{self, Role};
use crate::graph::{NodeId, ValueId};
use crate::host::HostTensor;
use crate::message::quoted;
use crate::operator::{Kernel, Known, Slots};
use crate::plan::{Plan, Planner, Progress, Step};
use crate::plans::Key;

/// Is told what a run does, step by step.
pub(crate) trait Watch {
    /// A part of the plan, or a step, begins.
    fn begins(&mut self) {}

    /// A part of the plan is made.
    fn planned(&mut self) {}

    /// The rule that stands in for the next step.
    fn stands_in(&mut self, _rule: Option<&Placed>) {}

    /// Whether it wants to be told of each step, so that none runs with another.
    fn looks_between(&self) -> bool {
        true
    }

    /// A step ran.
    fn ran(&mut self, _step: &Step, _model: &BoundGraph, _plan: &Plan) {}
}

/// A pass under way: planned as far as sizes are known, run as far as it is planned.
pub(crate) struct Run<'m> {
    model: &'m BoundGraph,
    rules: Rules,
    planner: Planner<'m>,
    /// Under what name its plan is to be kept.
    key: Option<Key>,
    values: HashMap<ValueId, Activation>,
    /// How many readers each value has, and how many are left.
    readers: HashMap<ValueId, usize>,
    uses: HashMap<ValueId, usize>,
    /// Steps that ran.
    done: usize,
    /// How many images it is for.
    images: usize,
    /// Whether values stay when their last reader has read them.
    keeps: bool,
    /// How many operators each rule took through which a gradient goes.
    rule_uses: Vec<RuleUse>,
}

impl<'m> Run<'m> {
    /// A run for `images` by a planner, whose plan is to be kept under a name if there is one, to the values `fetches`.
    pub fn new(
        model: &'m BoundGraph,
        rules: &Rules,
        (planner, key): (Planner<'m>, Option<Key>),
        values: HashMap<ValueId, Activation>,
        fetches: &[ValueId],
        images: usize,
    ) -> Self {
        let nodes = &model.graph().nodes;
        let mut uses: HashMap<ValueId, usize> = HashMap::new();
        let reads = planner
            .needed()
            .flat_map(|node| nodes[node.0].inputs.iter().flatten());
        for &value in reads.chain(fetches) {
            *uses.entry(value).or_default() += 1;
        }
        Self {
            model,
            rules: rules.clone(),
            planner,
            key,
            values,
            readers: uses.clone(),
            uses,
            done: 0,
            images,
            keeps: false,
            rule_uses: Vec::new(),
        }
    }

    /// Keeps every value.
    pub fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Plans and runs all of it, and tells `watch`.
    pub fn run_all(&mut self, watch: &mut (impl Watch + Send)) -> Result<(), GraphError> {
        among_threads(|| self.run_parts(watch))
    }

    fn run_parts(&mut self, watch: &mut impl Watch) -> Result<(), GraphError> {
        self.model.check_rules(&self.rules)?;
        self.rule_uses = self.rules.unused();
        loop {
            watch.begins();
            let progress = self.planner.advance()?;
            let planned = self.key.take_if(|_| matches!(progress, Progress::Done));
            if let Some((key, planned)) = planned.zip(self.planner.planned()) {
                self.model.plans().keep(key, Arc::new(planned));
            }
            self.check_memory()?;
            watch.planned();
            self.run_steps(watch)?;
            match progress {
                Progress::Done => return Ok(()),
                Progress::Blocked {
                    value: Some(value), ..
                } if self.values.contains_key(&value) => {
                    let host = self.read(value)?;
                    self.planner.tell(value, host);
                }
                Progress::Blocked { node, refused, .. } => {
                    let graph = self.model.graph();
                    return Err(graph.refusal(&graph.nodes[node.0], refused));
                }
            }
        }
    }

    /// Refuses a pass that would take more memory than is allowed.
    fn check_memory(&self) -> Result<(), GraphError> {
        let values = self.values.values();
        let is_tracked = values
            .map(Activation::device)
            .any(|device| device.is_autodiff());
        footprint::check(
            self.model.graph(),
            &self.planner.plan,
            &self.readers,
            self.keeps || is_tracked,
            self.planner.computed(),
            self.images,
        )
    }

    fn run_steps(&mut self, watch: &mut impl Watch) -> Result<(), GraphError> {
        let graph = self.model.graph();
        let plan = Arc::clone(&self.planner.plan);
        let first = self.done;
        let mut roles = match watch.looks_between() || self.keeps {
            true => Vec::new().into_iter(),
            false => {
                let is_plain = |step: &Step| {
                    let rule = self.model.rule_for(step, &plan.known, &self.rules);
                    matches!(rule, Ok(None))
                };
                fuse::roles(graph, &plan, first, &self.readers, is_plain).into_iter()
            }
        };
        while let Some(step) = plan.steps.get(self.done) {
            self.done += 1;
            match roles.next().unwrap_or_default() {
                Role::Alone => {}
                Role::Waits => continue,
                Role::Factor => {
                    for value in graph.nodes[step.node.0].inputs.iter().flatten() {
                        self.used(*value);
                    }
                    continue;
                }
                Role::Ends { of, kernel } => {
                    self.run_fused(step, of.map(|place| &plan.steps[place]), &kernel)?;
                    continue;
                }
            }
            watch.begins();
            let rule = self.model.rule_for(step, &plan.known, &self.rules)?;
            watch.stands_in(rule.as_ref());
            let node = &graph.nodes[step.node.0];
            let Some(kernel) = &step.kernel else {
                for value in node.inputs.iter().flatten() {
                    if !self.used(*value) {
                        self.values.remove(value);
                    }
                }
                continue;
            };
            let inputs = node.inputs.iter();
            let inputs: Vec<Option<Activation>> =
                inputs.map(|slot| slot.and_then(|v| self.take(v))).collect();
            let tracked = |x: &Activation| AnyRank::from(x.clone()).is_tracked();
            if let Some(placed) = rule
                .as_ref()
                .filter(|_| inputs.iter().flatten().any(tracked))
            {
                RuleUse::count(&mut self.rule_uses, &placed.rule.name(), 1);
            }
            self.make(step, kernel, rule, inputs)?;
            watch.ran(step, self.model, &plan);
        }
        Ok(())
    }

    /// Runs a kernel that does what a step and the one before it do, if there is one.
    fn run_fused(
        &mut self,
        step: &Step,
        before: Option<&Step>,
        kernel: &Arc<dyn Kernel>,
    ) -> Result<(), GraphError> {
        let graph = self.model.graph();
        let node = &graph.nodes[step.node.0];
        let inputs: Vec<Option<Activation>> = match before {
            Some(before) => {
                // Of what lies between there is nothing.
                for value in node.inputs.iter().flatten() {
                    self.used(*value);
                }
                let inputs = graph.nodes[before.node.0].inputs.iter();
                inputs.map(|slot| slot.and_then(|v| self.take(v))).collect()
            }
            None => {
                let inputs = node.inputs.iter().flatten();
                let mut taken: Vec<_> = inputs.map(|&value| self.take(value)).collect();
                // The factor was never made.
                taken.retain(Option::is_some);
                taken
            }
        };
        self.make(step, kernel, None, inputs)
    }

    /// Makes a step's outputs by a kernel, or by the rule in its place, and holds those that are read.
    fn make(
        &mut self,
        step: &Step,
        kernel: &Arc<dyn Kernel>,
        rule: Option<Placed>,
        inputs: Vec<Option<Activation>>,
    ) -> Result<(), GraphError> {
        let graph = self.model.graph();
        let node = &graph.nodes[step.node.0];
        let outputs = execute(kernel, rule, Slots::new(inputs), &step.outputs);
        let outputs = outputs.map_err(|reason| GraphError::Operator {
            node: graph.label(node),
            reason,
        })?;
        for ((&value, output), known) in node.outputs.iter().zip(outputs).zip(&step.outputs) {
            if known.host.is_some() {
                continue;
            }
            check_output(self.model, step.node, &output, known)?;
            if self.keeps || self.uses.contains_key(&value) {
                self.values.entry(value).or_insert(output);
            }
        }
        Ok(())
    }

    /// Counts one reader of a value off; whether more are left.
    fn used(&mut self, value: ValueId) -> bool {
        let left = self.uses.get_mut(&value).map_or(0, |n| {
            *n = n.saturating_sub(1);
            *n
        });
        if left == 0 && !self.keeps {
            // What is known of it stays known.
            return false;
        }
        true
    }

    /// A value for one reader; the last reader takes it, so that memory is freed early and burn may
    /// reuse it. `None` for what is empty.
    pub fn take(&mut self, value: ValueId) -> Option<Activation> {
        let found = match self.used(value) {
            false => self.values.remove(&value),
            true => self.values.get(&value).cloned(),
        };
        found.or_else(|| self.model.weight(value)).or_else(|| {
            // Numbers that follow from shapes alone.
            let known = self.planner.plan.known.get(&value)?;
            Activation::of_host(known.host.as_ref()?, self.model.device())
        })
    }

    /// The shape of a value that was planned.
    pub fn shape(&self, value: ValueId) -> Vec<usize> {
        let known = self.planner.plan.known.get(&value);
        known.map(|known| known.shape.clone()).unwrap_or_default()
    }

    /// The elements of a value, which stays.
    pub fn read(&self, value: ValueId) -> Result<HostTensor, GraphError> {
        let graph = self.model.graph();
        let known = self.planner.plan.known.get(&value);
        if let Some(host) = known
            .and_then(|k| k.host.as_ref())
            .or(graph.constant(value))
        {
            return Ok(host.clone());
        }
        let unreadable = |expected: String| GraphError::Shape {
            what: format!("the layer {}", quoted(graph.name(value))),
            expected,
            got: self.shape(value),
        };
        let (Some(known), Some(found)) = (known, self.values.get(&value)) else {
            return Err(unreadable("a value that was computed".to_owned()));
        };
        found.to_host(known.kind, &known.shape).map_err(unreadable)
    }

    /// How many operators each rule took through which a gradient goes.
    pub fn rule_uses(&self) -> &[RuleUse] {
        &self.rule_uses
    }

    /// Plan and values, when all of it ran.
    pub fn finish(self) -> (Plan, HashMap<ValueId, Activation>) {
        (Arc::unwrap_or_clone(self.planner.plan), self.values)
    }
}

/// A rule of the user's may return anything.
fn check_output(
    model: &BoundGraph,
    node: NodeId,
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
