//! Graphs inside nodes: what `If`, `Loop` and `Scan` have in common.
//!
//! A body is planned like any graph, once for each time that it runs, and what is not known beforehand
//! becomes a list of kernels. Where sizes inside a body follow from values that are computed in it, these
//! are computed ahead on the host, from the values that go into the node; the kernels still run on the
//! tensors, and are differentiable.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::activation::{Activation, IntoView, MAX_RANK, at_rank};
use crate::error::GraphError;
use crate::fold;
use crate::graph::{Graph, ValueId};
use crate::host::{HostTensor, Range, element_count};
use crate::limits::{self, Excess, device_bytes, host_bytes};
use crate::message::few;
use crate::operator::{Kernel, Known, Operands, Refused, Resolved, Slots, check_size};
use crate::plan::{Planner, Progress, Step};

/// The most nodes that one node may come to with all its bodies, and theirs.
const MOST_STEPS: usize = 1 << 17;

/// Where a value comes from.
#[derive(Debug, Clone)]
enum Source {
    /// An input of the node.
    Slot(usize),
    /// An output of an instruction.
    Made(usize),
    Host(HostTensor),
}

/// A value inside a body.
#[derive(Debug, Clone)]
pub(super) struct Traced {
    pub known: Known,
    source: Source,
}

impl Traced {
    pub fn host(tensor: HostTensor) -> Self {
        Self {
            known: Known::host(tensor.clone()),
            source: Source::Host(tensor),
        }
    }
}

/// One kernel of a program.
#[derive(Debug, Clone)]
struct Instruction {
    kernel: Arc<dyn Kernel>,
    inputs: Vec<Option<Source>>,
    outputs: Vec<Known>,
    /// Bytes of the tensors between.
    working: u64,
    /// Its first output among those of all instructions.
    first: usize,
}

impl Instruction {
    /// Bytes that it takes beside its inputs and outputs.
    fn room(&self) -> u64 {
        self.kernel.working().saturating_add(self.working)
    }

    fn run(
        &self,
        device: &Device,
        mut take: impl FnMut(&Source) -> Option<Activation>,
    ) -> Result<Vec<Activation>, String> {
        let slots = self.inputs.iter().map(|source| match source.as_ref()? {
            Source::Host(host) => Activation::of_host(host, device),
            source => take(source),
        });
        self.kernel
            .try_run(Slots::new(slots.collect()), &self.outputs)
    }
}

/// Follows what a node with bodies does, and writes down what is to be computed.
#[derive(Debug)]
pub(super) struct Tracer<'a> {
    operands: &'a Operands<'a>,
    instructions: Vec<Instruction>,
    /// For each value that is made the instruction that makes it, and whether it depends on a tensor.
    makers: Vec<usize>,
    live: Vec<bool>,
    /// What was computed ahead.
    ahead: HashMap<usize, Activation>,
    _budget: Budget,
}

impl<'a> Tracer<'a> {
    pub fn new(operands: &'a Operands<'a>) -> Self {
        Self {
            operands,
            instructions: Vec::new(),
            makers: Vec::new(),
            live: Vec::new(),
            ahead: HashMap::new(),
            _budget: Budget::enter(),
        }
    }

    /// An input of the node.
    pub fn input(&self, slot: usize) -> Result<Traced, Refused> {
        let known = self.operands.input(slot)?;
        Ok(match known.settled() {
            Some(host) => Traced::host(host.clone()),
            None => Traced {
                known: Known::computed(known.shape.clone(), known.kind),
                source: Source::Slot(slot),
            },
        })
    }

    /// Several inputs.
    pub fn inputs(&self, slots: std::ops::Range<usize>) -> Result<Vec<Traced>, Refused> {
        slots.map(|slot| self.input(slot)).collect()
    }

    /// The elements of a value, computed ahead where they are not known.
    pub fn read(&mut self, value: &Traced) -> Result<HostTensor, Refused> {
        self.elements(&value.source, &value.known)
    }

    /// The outputs of a body for these inputs.
    pub fn call(&mut self, graph: &Graph, inputs: Vec<Traced>) -> Result<Vec<Traced>, Refused> {
        Budget::spend(graph.nodes.len() + 1)?;
        let names = graph.inputs.iter().map(|input| input.value);
        let expected = names.len();
        if expected != inputs.len() {
            let got = inputs.len();
            return Err(format!("its body has {expected} inputs, {got} are given").into());
        }
        let feeds: Vec<(ValueId, Known)> = names
            .clone()
            .zip(&inputs)
            .map(|(value, input)| (value, input.known.clone()))
            .collect();
        let mut sources: HashMap<ValueId, Source> = names
            .zip(inputs.into_iter().map(|input| input.source))
            .collect();
        let planner = Planner::new(graph, &feeds, &graph.outputs).map_err(refused)?;
        let mut planner = planner.in_batch(self.operands.batch());
        let mut done = 0;
        let mut told = HashSet::new();
        loop {
            let progress = planner.advance().map_err(refused)?;
            let steps = planner.plan.steps[done..].to_vec();
            done += steps.len();
            for step in steps {
                self.add(graph, &planner, &mut sources, step)?;
            }
            match progress {
                Progress::Done => break,
                Progress::Blocked {
                    value: Some(value), ..
                } if told.insert(value) => {
                    let known = planner.plan.known.get(&value).cloned();
                    let (Some(source), Some(known)) = (sources.get(&value).cloned(), known) else {
                        return Err("a value in its body is not known".into());
                    };
                    planner.tell(value, self.elements(&source, &known)?);
                }
                Progress::Blocked { node, refused, .. } => {
                    let error = graph.refusal(&graph.nodes[node.0], refused);
                    return Err(Refused::Unsupported(format!("in its body, {error}")));
                }
            }
        }
        let mut outputs = Vec::new();
        for value in &graph.outputs {
            let host = known_host(graph, &planner, *value);
            let output = match (host, sources.get(value), planner.plan.known.get(value)) {
                (Some(host), ..) => Traced::host(host.clone()),
                (None, Some(source), Some(known)) => self.settled(source.clone(), known.clone())?,
                _ => return Err("an output of its body is not known".into()),
            };
            outputs.push(output);
        }
        Ok(outputs)
    }

    /// Writes a step of a body down.
    fn add(
        &mut self,
        graph: &Graph,
        planner: &Planner<'_>,
        sources: &mut HashMap<ValueId, Source>,
        step: Step,
    ) -> Result<(), Refused> {
        let Some(kernel) = step.kernel else {
            return Ok(());
        };
        let node = &graph.nodes[step.node.0];
        let inputs = node.inputs.iter().map(|slot| {
            let value = slot.as_ref()?;
            let host = known_host(graph, planner, *value);
            host.map(|host| Source::Host(host.clone()))
                .or_else(|| sources.get(value).cloned())
        });
        let first = self.emit(kernel, inputs.collect(), step.outputs, step.working);
        for (i, value) in node.outputs.iter().enumerate() {
            sources.entry(*value).or_insert(Source::Made(first + i));
        }
        Ok(())
    }

    fn emit(
        &mut self,
        kernel: Arc<dyn Kernel>,
        inputs: Vec<Option<Source>>,
        outputs: Vec<Known>,
        working: u64,
    ) -> usize {
        let first = self.makers.len();
        let live = inputs.iter().flatten().any(|source| match source {
            Source::Slot(_) => true,
            Source::Made(i) => self.live[*i],
            Source::Host(_) => false,
        });
        self.makers
            .resize(first + outputs.len(), self.instructions.len());
        self.live.resize(first + outputs.len(), live);
        self.instructions.push(Instruction {
            kernel,
            inputs,
            outputs,
            working,
            first,
        });
        first
    }

    /// What does not depend on tensors is computed ahead, so that sizes may follow from it.
    fn settled(&mut self, source: Source, known: Known) -> Result<Traced, Refused> {
        match source {
            Source::Made(i) if !self.live[i] => Ok(Traced::host(self.elements(&source, &known)?)),
            Source::Host(host) => Ok(Traced::host(host)),
            source => Ok(Traced { known, source }),
        }
    }

    fn elements(&mut self, source: &Source, known: &Known) -> Result<HostTensor, Refused> {
        let value = match source {
            Source::Host(host) => return Ok(host.clone()),
            Source::Slot(slot) => {
                return Ok(self
                    .operands
                    .value(*slot, "what its body decides by")?
                    .clone());
            }
            Source::Made(value) => *value,
        };
        if !self.ahead.contains_key(&value) {
            self.compute(value)?;
        }
        Ok(self.ahead[&value].to_host(known.kind, &known.shape)?)
    }

    /// Computes a value ahead, with all that it depends on.
    fn compute(&mut self, value: usize) -> Result<(), Refused> {
        let needed = self.needed([value], &self.ahead);
        let reads = needed
            .iter()
            .flat_map(|&i| self.instructions[i].inputs.iter().flatten());
        let slots: HashSet<usize> = reads
            .filter_map(|source| match source {
                Source::Slot(slot) => Some(*slot),
                _ => None,
            })
            .collect();
        let device = fold::device();
        let mut given = HashMap::new();
        let mut slots: Vec<usize> = slots.into_iter().collect();
        slots.sort_unstable();
        for slot in slots {
            let host = self.operands.value(slot, "what its body decides by")?;
            given.insert(slot, Activation::of_host(host, &device));
        }
        for i in needed {
            let instruction = &self.instructions[i];
            // What is computed ahead is there beside what the pass computes.
            let made = instruction
                .outputs
                .iter()
                .map(|known| device_bytes(&known.shape));
            limits::spend(made.fold(instruction.room(), u64::saturating_add))?;
            let made = instruction.run(&device, |source| match source {
                Source::Slot(slot) => given.get(slot).cloned().flatten(),
                Source::Made(value) => self.ahead.get(value).cloned(),
                Source::Host(_) => None,
            })?;
            let first = instruction.first;
            self.ahead.extend(
                made.into_iter()
                    .enumerate()
                    .map(|(k, made)| (first + k, made)),
            );
        }
        Ok(())
    }

    /// The instructions that values need, in order, without those whose outputs are there.
    fn needed(
        &self,
        values: impl IntoIterator<Item = usize>,
        there: &HashMap<usize, Activation>,
    ) -> Vec<usize> {
        let mut open: Vec<usize> = values.into_iter().collect();
        let mut found = HashSet::new();
        while let Some(value) = open.pop() {
            let maker = self.makers[value];
            if there.contains_key(&value) || !found.insert(maker) {
                continue;
            }
            open.extend(
                self.instructions[maker].inputs.iter().flatten().filter_map(
                    |source| match source {
                        Source::Made(value) => Some(*value),
                        _ => None,
                    },
                ),
            );
        }
        let mut found: Vec<usize> = found.into_iter().collect();
        found.sort_unstable();
        found
    }

    /// Values one behind the other along a new axis.
    pub fn stack(&mut self, parts: &[Traced], axis: usize) -> Result<Traced, Refused> {
        let first = parts
            .first()
            .ok_or("there is nothing to stack")?
            .known
            .clone();
        for part in parts {
            if part.known.shape != first.shape || part.known.kind != first.kind {
                let (a, b) = (few(&first.shape), few(&part.known.shape));
                return Err(
                    format!("its outputs differ from one step to the next: {a}, {b}").into(),
                );
            }
        }
        if axis > first.shape.len() {
            return Err(format!("axis {axis} of a stack of {}", few(&first.shape)).into());
        }
        let mut shape = first.shape.clone();
        shape.insert(axis, parts.len());
        let hosts = parts.iter().map(|part| match &part.source {
            Source::Host(host) => Some(host),
            _ => None,
        });
        if let Some(hosts) = hosts.collect::<Option<Vec<_>>>() {
            limits::spend(host_bytes(
                first.kind,
                element_count(&shape).unwrap_or(usize::MAX),
            ))?;
            let mut one = shape.clone();
            one[axis] = 1;
            let hosts = hosts.iter().map(|host| host.reshape(&one));
            let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
            let hosts: Vec<&HostTensor> = hosts.iter().collect();
            return Ok(Traced::host(HostTensor::concat(&hosts, axis)?));
        }
        let empty = Known::empty(&shape, first.kind).and_then(|known| known.host);
        if let Some(empty) = empty {
            return Ok(Traced::host(empty));
        }
        check_device(&shape)?;
        let inputs = parts.iter().map(|part| Some(part.source.clone())).collect();
        Ok(self.one(Stack { axis }, inputs, Known::computed(shape, first.kind)))
    }

    /// The slice at an index along an axis, without that axis.
    pub fn piece(&mut self, x: &Traced, axis: usize, index: usize) -> Result<Traced, Refused> {
        let mut shape = x.known.shape.clone();
        if let Source::Host(host) = &x.source {
            let mut ranges: Vec<_> = shape.iter().map(|&size| Range::whole(size)).collect();
            ranges[axis] = Range {
                start: index,
                step: 1,
                len: 1,
            };
            shape.remove(axis);
            limits::spend(host_bytes(host.element_type(), shape.iter().product()))?;
            return Ok(Traced::host(host.slice(&ranges).reshape(&shape)?));
        }
        shape.remove(axis);
        let known = Known::computed(shape, x.known.kind);
        Ok(self.one(Piece { axis, index }, vec![Some(x.source.clone())], known))
    }

    fn one(
        &mut self,
        kernel: impl Kernel + 'static,
        inputs: Vec<Option<Source>>,
        known: Known,
    ) -> Traced {
        let made = self.emit(Arc::new(kernel), inputs, vec![known.clone()], 0);
        Traced {
            known,
            source: Source::Made(made),
        }
    }

    /// What the node makes.
    pub fn finish(self, outputs: Vec<Traced>) -> Result<Resolved, Refused> {
        let known: Vec<Known> = outputs.iter().map(|output| output.known.clone()).collect();
        if known.iter().all(|known| known.host.is_some()) {
            return Ok(Resolved {
                kernel: None,
                outputs: known,
            });
        }
        let results: Vec<Source> = outputs.into_iter().map(|output| output.source).collect();
        let wanted = results.iter().filter_map(|source| match source {
            Source::Made(value) => Some(*value),
            _ => None,
        });
        let needed = self.needed(wanted, &HashMap::new());
        let instructions = needed
            .iter()
            .map(|&i| self.instructions[i].clone())
            .collect();
        Ok(Resolved {
            kernel: Some(Arc::new(Program::new(instructions, results))),
            outputs: known,
        })
    }
}

/// What is known of a value in a body without computing it.
fn known_host<'k>(
    graph: &'k Graph,
    planner: &'k Planner<'_>,
    value: ValueId,
) -> Option<&'k HostTensor> {
    let known = planner.plan.known.get(&value);
    known
        .and_then(|known| known.host.as_ref())
        .or_else(|| graph.constant(value))
}

fn refused(error: GraphError) -> Refused {
    match error {
        GraphError::UnsupportedOperators(_) => Refused::Unsupported(error.to_string()),
        GraphError::TooLarge {
            needed,
            held,
            limit,
            ..
        } => Refused::TooLarge {
            shape: Vec::new(),
            excess: Excess {
                needed,
                held,
                limit,
            },
        },
        _ => Refused::Reason(format!("in its body, {error}")),
    }
}

fn check_device(shape: &[usize]) -> Result<(), Refused> {
    if shape.len() > MAX_RANK {
        return Err(format!("{} has more than {MAX_RANK} dimensions", few(shape)).into());
    }
    check_size(shape)
}

/// Kernels one after the other.
#[derive(Debug)]
struct Program {
    instructions: Vec<Instruction>,
    results: Vec<Source>,
    /// For each instruction the values that nobody reads behind it.
    done: Vec<Vec<usize>>,
}

impl Program {
    fn new(instructions: Vec<Instruction>, results: Vec<Source>) -> Self {
        let made = |source: &Source| match source {
            Source::Made(value) => Some(*value),
            _ => None,
        };
        let mut kept: HashSet<usize> = results.iter().filter_map(made).collect();
        let mut done = vec![Vec::new(); instructions.len()];
        for (i, instruction) in instructions.iter().enumerate().rev() {
            let makes = instruction.first..instruction.first + instruction.outputs.len();
            let reads = instruction.inputs.iter().flatten().filter_map(made);
            done[i] = reads
                .chain(makes)
                .filter(|value| kept.insert(*value))
                .collect();
        }
        Self {
            instructions,
            results,
            done,
        }
    }
}

impl Kernel for Program {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        self.try_run(inputs, outputs).unwrap_or_default()
    }

    fn try_run(&self, mut inputs: Slots, outputs: &[Known]) -> Result<Vec<Activation>, String> {
        let slots: Vec<Option<Activation>> = (0..inputs.len()).map(|i| inputs.maybe(i)).collect();
        let device = slots.iter().flatten().next().map(Activation::device);
        let device = device.unwrap_or_else(fold::device);
        let mut values: HashMap<usize, Activation> = HashMap::new();
        for (instruction, done) in self.instructions.iter().zip(&self.done) {
            let made = instruction.run(&device, |source| match source {
                Source::Slot(slot) => slots[*slot].clone(),
                Source::Made(value) => values.get(value).cloned(),
                Source::Host(_) => None,
            })?;
            values.extend((instruction.first..).zip(made));
            for value in done {
                values.remove(value);
            }
        }
        let results = self
            .results
            .iter()
            .zip(outputs)
            .map(|(source, known)| match source {
                Source::Slot(slot) => slots[*slot].clone(),
                Source::Made(value) => values.get(value).cloned(),
                Source::Host(host) => {
                    Activation::of_host(host, &device).filter(|_| known.host.is_none())
                }
            });
        // In the place of what is known anything may stand.
        let nothing = || Activation::from_host(vec![0.0], &[1], &device);
        Ok(results
            .map(|result| result.unwrap_or_else(nothing))
            .collect())
    }

    fn working(&self) -> u64 {
        let mut sizes: HashMap<usize, u64> = HashMap::new();
        let (mut held, mut most) = (0_u64, 0_u64);
        for (instruction, done) in self.instructions.iter().zip(&self.done) {
            for (value, known) in (instruction.first..).zip(&instruction.outputs) {
                let bytes = device_bytes(&known.shape);
                held = held.saturating_add(bytes);
                sizes.insert(value, bytes);
            }
            most = most.max(held.saturating_add(instruction.room()));
            for value in done {
                held = held.saturating_sub(sizes.remove(value).unwrap_or(0));
            }
        }
        most
    }

    fn takes_empty(&self) -> bool {
        true
    }
}

/// One behind the other along a new axis.
#[derive(Debug)]
struct Stack {
    axis: usize,
}

impl Kernel for Stack {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let mut shape = outputs[0].shape.clone();
        shape[self.axis] = 1;
        let axis = self.axis;
        let mut parts = inputs.all().map(|part| part.into_view(&shape));
        let first = parts.next().expect("a stack has at least one part");
        vec![at_rank!(first, first => {
            let rest = parts.map(Activation::into_cast);
            Tensor::cat(std::iter::once(first).chain(rest).collect(), axis)
        })]
    }
}

/// One slice along an axis.
#[derive(Debug)]
struct Piece {
    axis: usize,
    index: usize,
}

impl Kernel for Piece {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let piece = at_rank!(x, x => x.narrow(self.axis, self.index, 1));
        vec![piece.into_view(&outputs[0].shape)]
    }
}

thread_local! {
    /// How many steps the node that is resolved on this thread may still come to, bodies in bodies
    /// included.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Holds the budget while the outermost node is resolved.
#[derive(Debug)]
struct Budget {
    is_outermost: bool,
}

impl Budget {
    fn enter() -> Self {
        let is_outermost = LEFT.get().is_none();
        if is_outermost {
            LEFT.set(Some(MOST_STEPS));
        }
        Self { is_outermost }
    }

    fn spend(steps: usize) -> Result<(), Refused> {
        let left = LEFT.get().unwrap_or(0).checked_sub(steps);
        let left = left.ok_or_else(|| {
            Refused::Unsupported(format!("its bodies come to more than {MOST_STEPS} steps"))
        })?;
        LEFT.set(Some(left));
        Ok(())
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        if self.is_outermost {
            LEFT.set(None);
        }
    }
}
