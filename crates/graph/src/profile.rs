//! What each operator of a pass takes: its time, its arithmetic, the bytes of what it reads and makes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use elucid_rules::{Algebra, OpKind};

use crate::activation;
use crate::bound::BoundGraph;
use crate::error::GraphError;
use crate::graph::{NodeId, ValueId};
use crate::operator::Shapes;
use crate::pass::Pass;
use crate::plan::{Plan, Step};
use crate::run::Watch;

/// Bytes of a number on a device.
const SINGLE: u64 = 4;

/// How a [`Pass`] is profiled.
///
/// ```
/// use elucid_graph::Profiling;
///
/// let profiling = Profiling::new().repeats(20).backward(true);
/// # let _ = profiling;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profiling {
    repeats: usize,
    backward: bool,
}

impl Default for Profiling {
    fn default() -> Self {
        Self::new()
    }
}

impl Profiling {
    /// Ten times, forwards only.
    pub fn new() -> Self {
        Self {
            repeats: 10,
            backward: false,
        }
    }

    /// Sets how often the pass is run, behind one run that counts for nothing: at least once.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats.max(1);
        self
    }

    /// Sets whether the way back is timed, too: from the one layer that is asked for to what is fed.
    #[must_use]
    pub fn backward(mut self, backward: bool) -> Self {
        self.backward = backward;
        self
    }
}

/// What a pass took, and each operator of it. Times are medians over the repeats.
///
/// Made by [`Pass::profile`].
#[derive(Debug, Clone)]
pub struct Profile {
    operators: Vec<OperatorProfile>,
    repeats: usize,
    forward: Duration,
    planning: Duration,
    backward: Option<Duration>,
    gradient: Option<Duration>,
}

impl Profile {
    /// The operators in the order in which they ran. Those whose outputs follow from shapes alone take no
    /// part in a pass and are not there.
    pub fn operators(&self) -> &[OperatorProfile] {
        &self.operators
    }

    /// How often the pass was run.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// What a pass takes that nobody looks into: with its plan, without reading anything back.
    pub fn forward(&self) -> Duration {
        self.forward
    }

    /// What of a pass is neither an operator's time nor the observer's: shapes, checks, the plan.
    pub fn planning(&self) -> Duration {
        self.planning
    }

    /// What burn's autodiff takes for the gradient, once the pass has been recorded. Gradients that come
    /// from several readers of a value are added up in it, which no operator has part in.
    pub fn backward(&self) -> Option<Duration> {
        self.backward
    }

    /// What a gradient takes in all: the pass that records, and the way back.
    pub fn gradient(&self) -> Option<Duration> {
        self.gradient
    }

    /// Operators of one kind together, the kind that takes longest first.
    pub fn kinds(&self) -> Vec<KindProfile> {
        let mut kinds: Vec<KindProfile> = Vec::new();
        for operator in &self.operators {
            let place = kinds.iter().position(|kind| kind.kind == operator.kind);
            let place = place.unwrap_or_else(|| {
                kinds.push(KindProfile {
                    kind: operator.kind,
                    operators: 0,
                    forward: Cost::default(),
                    backward: None,
                });
                kinds.len() - 1
            });
            let kind = &mut kinds[place];
            kind.operators += 1;
            kind.forward = kind.forward.and(operator.forward);
            if let Some(back) = operator.backward {
                kind.backward = Some(kind.backward.unwrap_or_default().and(back));
            }
        }
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.time()));
        kinds
    }

    /// All operators together, forwards.
    pub fn total(&self) -> Cost {
        let costs = self.operators.iter().map(|operator| operator.forward);
        costs.fold(Cost::default(), Cost::and)
    }

    /// All operators together, backwards.
    pub fn total_backward(&self) -> Option<Cost> {
        self.backward?;
        let costs = self.operators.iter().filter_map(|o| o.backward);
        Some(costs.fold(Cost::default(), Cost::and))
    }
}

/// What one operator took.
#[derive(Debug, Clone)]
pub struct OperatorProfile {
    layer: String,
    module: String,
    kind: OpKind,
    shape: Vec<usize>,
    node: usize,
    forward: Cost,
    backward: Option<Cost>,
}

impl OperatorProfile {
    /// The layer that it computes; the first, where it computes several.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// The module of the exported program that it stands in; empty where the file names none.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// What it does.
    pub fn kind(&self) -> OpKind {
        self.kind
    }

    /// The shape of what it made; of the last image, where images run one by one.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Place of its node in [`Graph::nodes`](crate::Graph::nodes).
    pub fn node_index(&self) -> usize {
        self.node
    }

    /// What it took forwards.
    pub fn forward(&self) -> Cost {
        self.forward
    }

    /// What it took backwards, for the gradient at those of its inputs that depend on what was fed. Its
    /// arithmetic is an estimate: as much as forwards, for each such input of a product. `None` where no
    /// gradient goes through it.
    pub fn backward(&self) -> Option<Cost> {
        self.backward
    }
}

/// What the operators of one kind took together.
#[derive(Debug, Clone)]
pub struct KindProfile {
    kind: OpKind,
    operators: usize,
    forward: Cost,
    backward: Option<Cost>,
}

impl KindProfile {
    /// The kind.
    pub fn kind(&self) -> OpKind {
        self.kind
    }

    /// How many operators of it ran.
    pub fn operators(&self) -> usize {
        self.operators
    }

    /// What they took forwards.
    pub fn forward(&self) -> Cost {
        self.forward
    }

    /// What they took backwards.
    pub fn backward(&self) -> Option<Cost> {
        self.backward
    }

    fn time(&self) -> Duration {
        self.forward.time + self.backward.unwrap_or_default().time
    }
}

/// Time, arithmetic and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// The median over the repeats.
    pub time: Duration,
    /// Additions, multiplications, comparisons and functions of one number; a multiplication with an
    /// addition counts as two.
    pub flops: u64,
    /// Bytes of what is read and of what is made, once each. Views, which move none of them, count
    /// likewise.
    pub bytes: u64,
}

impl Cost {
    /// Billions of operations in a second; `None` for no time or no arithmetic.
    pub fn gflops(&self) -> Option<f64> {
        let seconds = self.time.as_secs_f64();
        (seconds > 0.0 && self.flops > 0).then(|| self.flops as f64 / seconds / 1e9)
    }

    fn and(self, other: Self) -> Self {
        Self {
            time: self.time + other.time,
            flops: self.flops.saturating_add(other.flops),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What is known of an operator beside its times.
#[derive(Debug, Clone)]
struct Facts {
    flops: u64,
    read: u64,
    made: u64,
    shape: Vec<usize>,
    algebra: Algebra,
}

impl Facts {
    fn of(step: &Step, model: &BoundGraph, plan: &Plan) -> Option<Self> {
        let kernel = step.kernel.as_ref()?;
        let graph = model.graph();
        let node = &graph.nodes[step.node.0];
        let host = |value: ValueId| {
            let known = plan.known.get(&value).and_then(|known| known.host.as_ref());
            known.or_else(|| graph.constant(value))
        };
        let shape = |value: ValueId| match plan.known.get(&value) {
            Some(known) => known.shape.clone(),
            None => host(value).map_or_else(Vec::new, |host| host.shape().to_vec()),
        };
        let inputs = node.inputs.iter().map(|slot| slot.map(shape)).collect();
        let shapes = Shapes::of(inputs, &step.outputs);
        let constant: Vec<bool> = node
            .inputs
            .iter()
            .map(|slot| slot.is_none_or(|value| host(value).is_some()))
            .collect();
        let algebra = node.op.algebra(&constant);
        let made = shapes.made_in_all();
        let flops = kernel.flops(&shapes).unwrap_or(match algebra {
            Algebra::Moves => 0,
            _ => made,
        });
        let bytes = |numbers: u64| numbers.saturating_mul(SINGLE);
        Some(Self {
            flops,
            read: bytes(shapes.read_in_all()),
            made: bytes(made),
            shape: step.outputs.first()?.shape.clone(),
            algebra,
        })
    }
}

/// Looks at the clock around each step of a run.
#[derive(Debug, Default)]
struct Clock {
    began: Option<Instant>,
    planning: Duration,
    /// Of each node, in order; runs of several images one by one are added up.
    taken: Vec<(NodeId, Duration)>,
    /// Filled in the first run, of which no time counts.
    facts: Option<HashMap<NodeId, Facts>>,
}

impl Clock {
    fn elapsed(&mut self) -> Duration {
        self.began.take().map_or(Duration::ZERO, |at| at.elapsed())
    }
}

impl Watch for Clock {
    fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    fn planned(&mut self) {
        let took = self.elapsed();
        self.planning += took;
    }

    fn ran(&mut self, step: &Step, model: &BoundGraph, plan: &Plan) {
        // What a device has yet to do would be the next operator's.
        finish(model);
        let took = self.elapsed();
        if step.kernel.is_none() {
            return;
        }
        self.taken.push((step.node, took));
        if let Some(facts) = &mut self.facts
            && let Some(found) = Facts::of(step, model, plan)
        {
            facts.insert(step.node, found);
        }
    }
}

/// Waits until the device has done what it was told. One that fails to is found out by whoever reads from it.
fn finish(model: &BoundGraph) {
    let _ = model.device().sync();
}

/// The times of a thing, one for each repeat.
#[derive(Debug, Default)]
struct Times(Vec<Duration>);

impl Times {
    fn median(&mut self) -> Duration {
        self.0.sort_unstable();
        let middle = self.0.len() / 2;
        match self.0.as_slice() {
            [] => Duration::ZERO,
            times if times.len() % 2 == 1 => times[middle],
            times => (times[middle - 1] + times[middle]) / 2,
        }
    }
}

/// Adds up what each node took in one repeat, in the order in which they first ran.
fn by_node(taken: &[(NodeId, Duration)]) -> Vec<(NodeId, Duration)> {
    let mut places: HashMap<NodeId, usize> = HashMap::new();
    let mut sums: Vec<(NodeId, Duration)> = Vec::new();
    for &(node, took) in taken {
        let place = *places.entry(node).or_insert_with(|| {
            sums.push((node, Duration::ZERO));
            sums.len() - 1
        });
        sums[place].1 += took;
    }
    sums
}

impl Pass<'_> {
    /// Runs what is needed for `layers`, several times, and says what each operator took. Nothing is read
    /// back.
    ///
    /// Backwards each operator is differentiated by itself, at the values of the pass and for a gradient of
    /// ones; rules stand in as they do in a pass. Beside it stands what burn's autodiff takes for all.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`]; for the way back as [`Pass::record`], and [`GraphError::Shape`] unless one layer
    /// is asked for.
    pub fn profile<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
        profiling: &Profiling,
    ) -> Result<Profile, GraphError> {
        let layers: Vec<String> = layers.into_iter().map(|l| l.as_ref().to_owned()).collect();
        let model = self.model();
        if profiling.backward && layers.len() != 1 {
            return Err(GraphError::Shape {
                what: "the layers that a gradient is taken from".to_owned(),
                expected: "one layer".to_owned(),
                got: vec![layers.len()],
            });
        }
        let mut warm = Clock {
            facts: Some(HashMap::new()),
            ..Clock::default()
        };
        self.clone().watched(&layers, &mut warm)?;
        let facts = warm.facts.unwrap_or_default();
        let order: Vec<NodeId> = by_node(&warm.taken).into_iter().map(|(n, _)| n).collect();
        let mut times: HashMap<NodeId, Times> = HashMap::new();
        let (mut forward, mut planning) = (Times::default(), Times::default());
        for _ in 0..profiling.repeats {
            let began = Instant::now();
            self.clone().watched(&layers, &mut Unwatched)?;
            finish(model);
            forward.0.push(began.elapsed());
            let mut clock = Clock::default();
            self.clone().watched(&layers, &mut clock)?;
            planning.0.push(clock.planning);
            for (node, took) in by_node(&clock.taken) {
                times.entry(node).or_default().0.push(took);
            }
        }
        let mut back: HashMap<NodeId, (usize, Times)> = HashMap::new();
        let (mut backward, mut gradient) = (None, None);
        if profiling.backward {
            let from = layers[0].as_str();
            let (mut back_alone, mut both) = (Times::default(), Times::default());
            let tracked = self.clone().tracking_gradients();
            for _ in 0..profiling.repeats {
                let start = Instant::now();
                let fetched = tracked.clone().fetch([from])?;
                let scores = fetched.get(from)?.clone().untyped();
                finish(model);
                if !scores.is_tracked() {
                    return Err(GraphError::NotCut {
                        fetch: from.to_owned(),
                        fed: self.fed(),
                        needed: from.to_owned(),
                        path: Vec::new(),
                    });
                }
                let began = Instant::now();
                let gradients = activation::backward(&scores);
                finish(model);
                back_alone.0.push(began.elapsed());
                both.0.push(start.elapsed());
                drop(gradients);
            }
            let fed = self.fed();
            let fed: Vec<&str> = fed.iter().map(String::as_str).collect();
            let recording = self.clone().record([from])?;
            // The first time counts for nothing, as forwards.
            for repeat in 0..=profiling.repeats {
                for (node, live, took) in recording.time_backward(from, &fed)? {
                    if repeat > 0 {
                        let (of, times) = back.entry(node).or_default();
                        *of = live;
                        times.0.push(took);
                    }
                }
            }
            (backward, gradient) = (Some(back_alone.median()), Some(both.median()));
        }
        let graph = model.graph();
        let operators = order.into_iter().filter_map(|id| {
            let facts = facts.get(&id)?;
            let node = &graph.nodes[id.0];
            let back = back.get_mut(&id).map(|(live, times)| Cost {
                time: times.median(),
                flops: match facts.algebra {
                    Algebra::Product => facts.flops.saturating_mul(*live as u64),
                    _ => facts.flops,
                },
                // The gradient of what was made, the values that it follows from, and what is handed on.
                bytes: facts.made.saturating_add(facts.read.saturating_mul(2)),
            });
            Some(OperatorProfile {
                layer: graph.name(*node.outputs.first()?).to_owned(),
                module: node.module.clone(),
                kind: node.op.kind(),
                shape: facts.shape.clone(),
                node: id.0,
                forward: Cost {
                    time: times.get_mut(&id).map(Times::median).unwrap_or_default(),
                    flops: facts.flops,
                    bytes: facts.read.saturating_add(facts.made),
                },
                backward: back,
            })
        });
        Ok(Profile {
            operators: operators.collect(),
            repeats: profiling.repeats,
            forward: forward.median(),
            planning: planning.median(),
            backward,
            gradient,
        })
    }
}

/// Nobody looks.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    fn looks_between(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(of: &[u64]) -> Times {
        Times(of.iter().map(|&n| Duration::from_nanos(n)).collect())
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(times(&[]).median(), Duration::ZERO);
        assert_eq!(times(&[9, 1, 4]).median(), Duration::from_nanos(4));
        assert_eq!(times(&[9, 1, 4, 8]).median(), Duration::from_nanos(6));
    }

    #[test]
    fn what_runs_several_times_is_added_up_where_it_first_ran() {
        let nanos = Duration::from_nanos;
        let taken = [
            (NodeId(3), nanos(1)),
            (NodeId(1), nanos(2)),
            (NodeId(3), nanos(5)),
        ];
        assert_eq!(
            by_node(&taken),
            [(NodeId(3), nanos(6)), (NodeId(1), nanos(2))]
        );
    }

    #[test]
    fn a_rate_needs_time_and_arithmetic() {
        let cost = |nanos, flops| Cost {
            time: Duration::from_nanos(nanos),
            flops,
            bytes: 0,
        };
        assert_eq!(cost(500, 1000).gflops(), Some(2.0));
        assert_eq!(cost(0, 1000).gflops(), None);
        assert_eq!(cost(500, 0).gflops(), None);
    }
}
