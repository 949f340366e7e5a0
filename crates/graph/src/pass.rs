//! One partial execution.

use std::collections::HashMap;
use std::sync::Arc;

use elucid_kernels::among_threads;
use elucid_rules::{AnyRank, RuleUse, Rules};

use crate::activation::Activation;
use crate::bound::{BoundGraph, ImageBatch};
use crate::device::check_kernels;
use crate::error::GraphError;
use crate::execute::{Placed, execute};
use crate::footprint;
use crate::fuse::{self, Role};
use crate::graph::{Graph, NodeId, ValueId};
use crate::host::{ElementType, HostTensor};
use crate::message::quoted;
use crate::operator::{Kernel, Known, Slots};
use crate::plan::{Plan, Planner, Progress, Step};
use crate::plans::Key;
use crate::profile::Unwatched;
use crate::record::Recording;
use crate::together::{self, Images};

/// A partial execution: feed any layers, fetch any layers, and only what lies between runs.
///
/// A fed tensor that tracks gradients (`tensor.autodiff().require_grad()`) makes what is fetched
/// differentiable with respect to it; weights are constants.
#[derive(Debug, Clone)]
#[must_use = "a pass runs when something is fetched"]
pub struct Pass<'m> {
    model: &'m BoundGraph,
    rules: Rules,
    feeds: Vec<(String, Activation)>,
    known: Vec<(String, HostTensor)>,
}

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

impl<'m> Pass<'m> {
    pub(crate) fn new(model: &'m BoundGraph) -> Self {
        Self {
            model,
            rules: Rules::new(),
            feeds: Vec::new(),
            known: Vec::new(),
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
        self.feed(crate::bound::INPUT, images)
    }

    /// Gives a layer its value, instead of computing it. It is moved to the network's device and into the
    /// precision that this computes in, if need be; gradients go the same way back.
    pub fn feed(mut self, layer: &str, value: impl Into<Activation>) -> Self {
        self.feeds.push((layer.to_owned(), value.into()));
        self
    }

    /// Gives a value that is known: integers, booleans, or numbers that no gradient is asked for.
    pub fn feed_known(mut self, value: &str, tensor: HostTensor) -> Self {
        self.known.push((value.to_owned(), tensor));
        self
    }

    /// Runs what is needed and returns the values of `layers`.
    ///
    /// Where sizes follow from values (of boxes that were found, of a mask), these are read back from
    /// the device on the way.
    ///
    /// A file that fixes a batch of one takes any number of images all the same, with the values of one
    /// image at a time: see [`BoundGraph::runs_one_by_one`]. What is fed and fetched has one row for each.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] or [`GraphError::AmbiguousLayer`] for a name,
    /// [`GraphError::NotCut`] when the feeds do not suffice, [`GraphError::UnsupportedOperators`] and
    /// [`GraphError::Operator`] when an operator is not known or a shape does not fit,
    /// [`GraphError::Rule`] when a rule does not fit its operator, [`GraphError::Device`] on a device
    /// that this build has no kernels for.
    pub fn fetch<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Activations, GraphError> {
        let model = self.model;
        let graph = model.graph();
        let Started { runs, requested } = self.start(layers)?;
        let several = runs.len() > 1;
        let mut parts: Vec<Vec<Activation>> = vec![Vec::new(); requested.len()];
        let mut uses = Vec::new();
        for mut run in runs {
            run.run_all(&mut Unwatched)?;
            uses.clone_from(&run.rule_uses);
            for ((_, v), parts) in requested.iter().zip(&mut parts) {
                let activation = run.take(*v).ok_or_else(|| GraphError::Shape {
                    what: format!("the layer {}", quoted(graph.name(*v))),
                    expected: "numbers".to_owned(),
                    got: run.shape(*v),
                })?;
                let shape = run.shape(*v);
                if several && shape.first() != Some(&1) {
                    return Err(together::not_one_row(graph, *v, &shape, &shape));
                }
                parts.push(activation);
            }
        }
        let fetched = requested
            .into_iter()
            .zip(parts)
            .map(|((name, v), parts)| {
                let joined = same_shapes(graph, v, &parts).map(|()| together::joined(parts))?;
                let activation = joined.expect("there is a run");
                Ok((name, graph.name(v).to_owned(), activation))
            })
            .collect::<Result<_, GraphError>>()?;
        Ok(Activations { fetched, uses })
    }

    /// Runs what is needed and reads the values of `layers` back: any type, any rank, also empty.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`].
    pub fn read<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Vec<HostTensor>, GraphError> {
        let graph = self.model.graph();
        let Started { runs, requested } = self.start(layers)?;
        let mut parts: Vec<Vec<HostTensor>> = vec![Vec::new(); requested.len()];
        for mut run in runs {
            run.run_all(&mut Unwatched)?;
            for ((_, v), parts) in requested.iter().zip(&mut parts) {
                parts.push(run.read(*v)?);
            }
        }
        let each = requested.iter().zip(parts);
        each.map(|((_, v), mut parts)| {
            if parts.len() == 1 {
                return Ok(parts.swap_remove(0));
            }
            if let Some(part) = parts.iter().find(|part| part.shape().first() != Some(&1)) {
                return Err(together::not_one_row(graph, *v, part.shape(), part.shape()));
            }
            let parts: Vec<&HostTensor> = parts.iter().collect();
            HostTensor::concat(&parts, 0).map_err(|reason| GraphError::Malformed { reason })
        })
        .collect()
    }

    /// Runs what is needed for `layers` and keeps all of it, to be walked backwards.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`], and [`GraphError::Shape`] for several images where they
    /// [run one by one](BoundGraph::runs_one_by_one).
    pub fn record<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Recording<'m>, GraphError> {
        let model = self.model;
        let mut runs = self.start(layers)?.runs;
        if runs.len() > 1 {
            return Err(GraphError::Shape {
                what: "a batch to be recorded in a network that runs images one by one".to_owned(),
                expected: "one image".to_owned(),
                got: vec![runs.len()],
            });
        }
        Recording::run(model, runs.swap_remove(0))
    }

    /// Runs what is needed for `layers`, keeps none of it, and tells `watch`.
    pub(crate) fn watched(
        self,
        layers: &[String],
        watch: &mut (impl Watch + Send),
    ) -> Result<(), GraphError> {
        watch.begins();
        let runs = self.start(layers)?.runs;
        watch.planned();
        for mut run in runs {
            run.run_all(watch)?;
        }
        Ok(())
    }

    pub(crate) fn model(&self) -> &'m BoundGraph {
        self.model
    }

    /// The layers that numbers are fed to which gradients can be asked for.
    pub(crate) fn fed(&self) -> Vec<String> {
        self.feeds.iter().map(|(name, _)| name.clone()).collect()
    }

    /// With what is fed as leaves of an autodiff graph.
    pub(crate) fn tracking_gradients(mut self) -> Self {
        for (_, fed) in &mut self.feeds {
            *fed = fed.clone().require_grad();
        }
        self
    }

    fn start<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Started<'m>, GraphError> {
        let model = self.model;
        check_kernels(model.device())?;
        let graph = model.graph();
        let mut values: HashMap<ValueId, Activation> = HashMap::new();
        let mut feeds: Vec<(ValueId, Known)> = Vec::new();
        let twice = |value| GraphError::Malformed {
            reason: format!("layer {} is fed twice", quoted(graph.name(value))),
        };
        for (name, activation) in self.feeds {
            let value = model.value(&name)?;
            let kind = check_feed(model, value, &activation)?;
            let mut shape = activation.shape();
            // burn has no rank 0: a scalar is one number in one dimension.
            let input = graph.inputs().iter().find(|input| input.value == value);
            let scalar = input.is_some_and(|input| input.shape.is_empty())
                || model
                    .layer_of(value)
                    .is_ok_and(|layer| layer.shape().is_empty());
            if shape == [1] && scalar {
                shape.clear();
            }
            feeds.push((value, Known::computed(shape, kind)));
            let activation = activation.taken_to(model.device());
            if values.insert(value, activation).is_some() {
                return Err(twice(value));
            }
        }
        for (name, host) in self.known {
            let value = model.value(&name)?;
            if feeds.iter().any(|(fed, _)| *fed == value) {
                return Err(twice(value));
            }
            feeds.push((value, Known::host(host)));
        }
        let mut requested = Vec::new();
        for name in layers {
            let value = model.value(name.as_ref())?;
            requested.push((name.as_ref().to_owned(), value));
        }
        let fetches: Vec<ValueId> = requested.iter().map(|(_, v)| *v).collect();
        let run = |(planner, key): (Planner<'m>, Option<Key>),
                   values: HashMap<ValueId, Activation>,
                   images: usize| {
            let mut uses: HashMap<ValueId, usize> = HashMap::new();
            let reads = planner
                .needed()
                .flat_map(|node| graph.nodes[node.0].inputs.iter().flatten());
            for &value in reads.chain(&fetches) {
                *uses.entry(value).or_default() += 1;
            }
            Run {
                model,
                rules: self.rules.clone(),
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
        };
        let Some(images) = Images::of(model, &feeds)? else {
            let (planner, key) = planner(model, &feeds, &fetches)?;
            let images = planner.images();
            let runs = vec![run((planner, key), values, images)];
            return Ok(Started { runs, requested });
        };
        // A plan for all of them together.
        let together = Key::new(&feeds, &fetches);
        if let Some(planned) = together.as_ref().and_then(|key| model.plans().get(key)) {
            let planner = Planner::resumed(graph, &planned);
            let runs = vec![run((planner, None), values, images.count)];
            return Ok(Started { runs, requested });
        }
        let mut planner = Planner::new(graph, &images.single, &fetches)?;
        let progress = planner.advance()?;
        if matches!(progress, Progress::Done) {
            for &value in &fetches {
                let known = planner.plan.known.get(&value);
                let one = known
                    .map(|known| known.shape.as_slice())
                    .unwrap_or_default();
                if one.first().is_some_and(|&rows| rows != 1) {
                    return Err(together::not_one_row(graph, value, one, one));
                }
            }
            let is_host = |value| feeds.iter().any(|(v, k)| *v == value && k.host.is_some());
            let reads_hosts = images.live.iter().any(|value| is_host(*value));
            let plan = images
                .plan(graph, &planner.plan, &fetches)
                .map(|several| several.plan);
            if let Some(plan) = plan.filter(|_| !reads_hosts) {
                let planner = planner.with_plan(plan);
                let runs = vec![run((planner, together), values, images.count)];
                return Ok(Started { runs, requested });
            }
        }
        let mut runs = Vec::with_capacity(images.count);
        for image in 0..images.count {
            let mut one = images.single.clone();
            for ((value, known), (_, fed)) in one.iter_mut().zip(&feeds) {
                if let (true, Some(host)) = (images.live.contains(value), &fed.host) {
                    let row = host.gather(0, &[image], &[1]);
                    *known = Known::host(row.map_err(|reason| GraphError::Malformed { reason })?);
                }
            }
            let of_image = values.iter().map(|(value, fed)| {
                let fed = match images.live.contains(value) {
                    true => together::rows(fed, image, 1),
                    false => fed.clone(),
                };
                (*value, fed)
            });
            let planner = self::planner(model, &one, &fetches)?;
            runs.push(run(planner, of_image.collect(), 1));
        }
        Ok(Started { runs, requested })
    }
}

/// A planner that is at its end where another pass planned the same, and under what name its plan is to be kept if not.
fn planner<'m>(
    model: &'m BoundGraph,
    feeds: &[(ValueId, Known)],
    fetches: &[ValueId],
) -> Result<(Planner<'m>, Option<Key>), GraphError> {
    let key = Key::new(feeds, fetches);
    let planned = key.as_ref().and_then(|key| model.plans().get(key));
    Ok(match planned {
        Some(planned) => (Planner::resumed(model.graph(), &planned), None),
        None => (Planner::new(model.graph(), feeds, fetches)?, key),
    })
}

/// What a pass set out to do: one run, or one for each image.
struct Started<'m> {
    runs: Vec<Run<'m>>,
    requested: Vec<(String, ValueId)>,
}

/// Refuses values of several images that are not of one shape.
fn same_shapes(graph: &Graph, value: ValueId, parts: &[Activation]) -> Result<(), GraphError> {
    let mut shapes = parts.iter().map(Activation::shape);
    let first = shapes.next().unwrap_or_default();
    match shapes.find(|shape| *shape != first) {
        None => Ok(()),
        Some(other) => Err(GraphError::Shape {
            what: format!("the layer {}", quoted(graph.name(value))),
            expected: format!("{first:?} for each image, as for the first"),
            got: other,
        }),
    }
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
        let outputs = execute(kernel, None, Slots::new(inputs), &step.outputs);
        let outputs = outputs.map_err(|reason| GraphError::Operator {
            node: graph.label(node),
            reason,
        })?;
        for ((&value, output), known) in node.outputs.iter().zip(outputs).zip(&step.outputs) {
            check_output(self.model, step.node, &output, known)?;
            if self.uses.contains_key(&value) {
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

    fn shape(&self, value: ValueId) -> Vec<usize> {
        let known = self.planner.plan.known.get(&value);
        known.map(|known| known.shape.clone()).unwrap_or_default()
    }

    /// The elements of a value, which stays.
    fn read(&self, value: ValueId) -> Result<HostTensor, GraphError> {
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

    /// Plan and values, when all of it ran.
    pub fn finish(self) -> (Plan, HashMap<ValueId, Activation>) {
        (Arc::unwrap_or_clone(self.planner.plan), self.values)
    }
}

/// Refuses what a value cannot be, and says what its elements are.
fn check_feed(
    model: &BoundGraph,
    value: ValueId,
    fed: &Activation,
) -> Result<ElementType, GraphError> {
    let shape = fed.shape();
    let graph = model.graph();
    let Ok(layer) = model.layer_of(value) else {
        return Ok(graph.stated_kind(value));
    };
    // Everything but batch, height and width belongs to the network.
    let stated = layer.shape();
    let scalar = stated.is_empty() && shape == [1];
    let fits = (stated.len() == shape.len() || scalar)
        && !shape.contains(&0)
        && (stated.len() < 2 || stated[1] == shape[1]);
    if fits {
        return Ok(layer.element);
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

/// What a pass fetched.
#[derive(Debug, Clone)]
pub struct Activations {
    pub(crate) fetched: Vec<(String, String, Activation)>,
    pub(crate) uses: Vec<RuleUse>,
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

    /// How many operators each rule took, in the order in which they ran: those through which a
    /// gradient goes, of one image where images [run one by one](BoundGraph::runs_one_by_one). A rule that
    /// could have taken some and took none stands here with 0.
    pub fn rule_uses(&self) -> &[RuleUse] {
        &self.uses
    }

    /// Full layer names and values, in the order in which they were fetched.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Activation)> {
        self.fetched
            .iter()
            .map(|(_, full, activation)| (full.as_str(), activation))
    }
}
