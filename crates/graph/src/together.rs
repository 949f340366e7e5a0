//! Several images through a network whose file fixes a batch of one.
//!
//! Such a file has the 1 written into class tokens, shapes and windows, and its first axis is often no
//! batch at all: a window partition folds positions into it, an attention of PyTorch's transposes it
//! away. So a value of several images is defined here as the values of the single images one after the
//! other along axis 0, whatever that axis is. The network is planned for one image, and each step that
//! depends on the images is then made to compute just that: by the operator itself where it says that it
//! keeps what lies along axis 0 [apart](crate::Operator::apart), else by its kernel for one image, run
//! image by image. Where even that is not possible, because sizes follow from values or a value has no
//! axis, the whole pass runs image by image.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Operator as Form, Statistics};

use crate::activation::{Activation, IntoView, at_rank};
use crate::bound::BoundGraph;
use crate::error::GraphError;
use crate::graph::{Graph, Node, NodeId, ValueId};
use crate::limits::device_bytes;
use crate::message::quoted;
use crate::operator::{
    self, Apart, Batch, Kernel, Known, Operands, Shapes, Slots, check_computable,
};
use crate::plan::{Plan, Planner, Progress, Step};
use crate::receptive::{Reach, Windows};

/// What several images feed to a network that takes one.
#[derive(Debug)]
pub(crate) struct Images {
    /// How many.
    pub count: usize,
    /// Values that are fed one row for each image; what else is fed is the same for all.
    pub live: HashSet<ValueId>,
    /// What one image feeds.
    pub single: Vec<(ValueId, Known)>,
}

impl Images {
    /// `None` for a network that takes any batch, and for one image.
    pub fn of(model: &BoundGraph, feeds: &[(ValueId, Known)]) -> Result<Option<Self>, GraphError> {
        let graph = model.graph();
        if model.stated_batch() != Some(1) {
            return Ok(None);
        }
        let mut rows = Vec::with_capacity(feeds.len());
        for (value, known) in feeds {
            let found = rows_of(model, *value, known);
            rows.push(found.map_err(|stated| not_one_row(graph, *value, &stated, &known.shape))?);
        }
        let count = rows.iter().copied().max().unwrap_or(1);
        if count <= 1 {
            return Ok(None);
        }
        let mut live = HashSet::new();
        let mut single = feeds.to_vec();
        for ((value, known), rows) in single.iter_mut().zip(rows) {
            if rows != 1 && rows != count {
                return Err(GraphError::Shape {
                    what: format!("the tensor fed to {}", quoted(graph.name(*value))),
                    expected: format!("one row for each of {count} images, or one for all"),
                    got: known.shape.clone(),
                });
            }
            if rows == count {
                live.insert(*value);
                if let Some(host) = &known.host {
                    let mut shape = host.shape().to_vec();
                    shape[0] = 1;
                    *known = Known::computed(shape, known.kind);
                } else {
                    known.shape[0] = 1;
                }
            }
        }
        Ok(Some(Self {
            count,
            live,
            single,
        }))
    }

    /// The plan for all images at once, made from that for one; `None` where the pass must run image by
    /// image.
    pub fn plan(&self, graph: &Graph, single: &Plan, fetches: &[ValueId]) -> Option<Several> {
        let fed: HashMap<ValueId, &Known> = self.single.iter().map(|(v, k)| (*v, k)).collect();
        let mut live = self.live.clone();
        let mut one_by_one = Vec::new();
        let mut plan = Plan {
            steps: Vec::with_capacity(single.steps.len()),
            known: single.known.clone(),
        };
        for &value in &self.live {
            let known = plan.known.get_mut(&value)?;
            *known = self.several(known)?;
        }
        for step in &single.steps {
            let node = &graph.nodes[step.node.0];
            let is_live: Vec<bool> = node
                .inputs
                .iter()
                .map(|slot| slot.is_some_and(|value| live.contains(&value)))
                .collect();
            let Some(kernel) = step.kernel.as_ref().filter(|_| is_live.contains(&true)) else {
                plan.steps.push(step.clone());
                continue;
            };
            let known = |slot: &Option<ValueId>| {
                let value = (*slot)?;
                let constant = || graph.constant(value).cloned().map(Known::host);
                single.known.get(&value).cloned().or_else(constant)
            };
            let lift = Lift {
                node,
                inputs: &node.inputs.iter().map(known).collect::<Vec<_>>(),
                live: &is_live,
                kernel,
                outputs: &step.outputs,
                images: self,
            };
            let (kernel, outputs, is_apart) = lift.step()?;
            if !is_apart {
                one_by_one.push(step.node);
            }
            for (&value, output) in node.outputs.iter().zip(&outputs) {
                // A fed value stays what was fed.
                if output.host.is_none() && !fed.contains_key(&value) {
                    live.insert(value);
                    plan.known.insert(value, output.clone());
                }
            }
            plan.steps.push(Step {
                node: step.node,
                kernel: Some(kernel),
                outputs,
                working: step.working.saturating_mul(self.count as u64),
            });
        }
        fetches
            .iter()
            .all(|value| live.contains(value))
            .then_some(Several { plan, one_by_one })
    }

    /// What is known of a value of all images; `None` where it has no axis along which they could lie.
    fn several(&self, one: &Known) -> Option<Known> {
        let mut shape = one.shape.clone();
        let first = shape.first_mut()?;
        *first = first.checked_mul(self.count)?;
        Some(Known::computed(shape, one.kind))
    }
}

/// A plan for several images.
#[derive(Debug)]
pub(crate) struct Several {
    pub plan: Plan,
    /// The nodes that run on one image after the other.
    one_by_one: Vec<NodeId>,
}

impl BoundGraph {
    /// The operators that run on one image after the other when several are given to a file that fixes
    /// a batch of one, on their way to `layers`: `Einsum "attention/scores"`. All of them where the
    /// [whole pass does](BoundGraph::runs_one_by_one).
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`](crate::Pass::fetch).
    pub fn operators_one_by_one<S: AsRef<str>>(
        &self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Vec<String>, GraphError> {
        let graph = self.graph();
        let image = self.image()?;
        let mut shape = self.layer_of(image)?.shape().to_vec();
        shape[0] = 2;
        let values = layers.into_iter().map(|name| self.value(name.as_ref()));
        let values = values.collect::<Result<Vec<ValueId>, GraphError>>()?;
        let Some(images) = Images::of(self, &[(image, self.fed(image, shape))])? else {
            return Ok(Vec::new());
        };
        let mut planner = Planner::new(graph, &images.single, &values)?;
        let label = |id: NodeId| graph.label(&graph.nodes[id.0]);
        let several = match planner.advance()? {
            Progress::Done => images.plan(graph, &planner.plan, &values),
            Progress::Blocked { .. } => None,
        };
        Ok(match several {
            Some(several) => several.one_by_one.into_iter().map(label).collect(),
            None => planner.needed().map(label).collect(),
        })
    }
}

/// How many images a fed tensor holds, or the shape of one where it is not one row.
fn rows_of(model: &BoundGraph, value: ValueId, known: &Known) -> Result<usize, Vec<usize>> {
    let rows = known.shape.first().copied().unwrap_or(1);
    let input = model.graph().inputs().iter().find(|i| i.value == value);
    if let Some(input) = input {
        return Ok(match input.shape.first() {
            Some(Some(1)) => rows,
            // Thresholds and the like.
            _ => 1,
        });
    }
    match model.layer_of(value).map(|layer| layer.shape()) {
        Ok([1, ..]) => Ok(rows),
        Ok(stated) if stated.first() == known.shape.first() => Ok(1),
        Ok(stated) => Err(stated.to_vec()),
        // Nothing is known of it.
        Err(_) => Ok(1),
    }
}

/// The error for a layer of which an image has no row, but several or none.
pub(crate) fn not_one_row(
    graph: &Graph,
    value: ValueId,
    one: &[usize],
    got: &[usize],
) -> GraphError {
    GraphError::Shape {
        what: format!("the layer {}", quoted(graph.name(value))),
        expected: format!(
            "one row for each image; for one image it is {one:?}, so images must be given one at a time"
        ),
        got: got.to_vec(),
    }
}

/// A step for one image that is to become one for several.
struct Lift<'l> {
    node: &'l Node,
    /// For one image.
    inputs: &'l [Option<Known>],
    live: &'l [bool],
    kernel: &'l Arc<dyn Kernel>,
    outputs: &'l [Known],
    images: &'l Images,
}

impl Lift<'_> {
    /// The kernel, what it makes, and whether it computes all images at once.
    fn step(&self) -> Option<(Arc<dyn Kernel>, Vec<Known>, bool)> {
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for one in self.outputs {
            outputs.push(match one.host {
                Some(_) => one.clone(),
                None => {
                    let several = self.images.several(one)?;
                    check_computable(&several.shape).ok()?;
                    several
                }
            });
        }
        Some(match self.at_once(&outputs) {
            Some(kernel) => (kernel, outputs, true),
            None => (self.one_by_one(), outputs, false),
        })
    }

    /// The kernel that computes all images at once, where that is sure.
    fn at_once(&self, outputs: &[Known]) -> Option<Arc<dyn Kernel>> {
        let operands = Operands::new(self.inputs, self.node.outputs.len(), Batch::default());
        let only_first = self.live.iter().position(|live| *live) == Some(0)
            && !self.live.iter().skip(1).any(|live| *live);
        match self.node.op.apart(&operands) {
            Apart::No => None,
            Apart::Rows => only_first.then(|| self.resolve(&[], outputs)).flatten(),
            Apart::Stacks => self.resolve(&self.repeated(false)?, outputs),
            Apart::Joined => self.resolve(&self.repeated(true)?, outputs),
            Apart::Shape => only_first.then(|| self.kernel.clone()),
            Apart::By(kernel) => only_first.then_some(kernel),
            Apart::Blocks(kernel, slots) => {
                let repeated = self.fixed_of(&slots)?;
                Some(self.repeating(kernel, &repeated))
            }
            Apart::RowsOf(slots) => {
                let rows = self.outputs.first()?.shape.first();
                let fits = |slot: &usize| match &self.inputs[*slot] {
                    Some(input) => input.shape.first() == rows,
                    None => false,
                };
                slots.iter().all(fits).then_some(())?;
                self.resolve(&self.fixed_of(&slots)?, outputs)
            }
        }
    }

    /// Which of these slots hold the same for all images; `None` where another one does not.
    fn fixed_of(&self, slots: &[usize]) -> Option<Vec<usize>> {
        let live = self.live.iter().enumerate().filter(|(_, live)| **live);
        let only_these = live.map(|(slot, _)| slot).all(|slot| slots.contains(&slot));
        let filled = |slot: &&usize| self.inputs.get(**slot).is_some_and(Option::is_some);
        let fixed = slots
            .iter()
            .filter(filled)
            .filter(|slot| !self.live[**slot]);
        only_these.then(|| fixed.copied().collect())
    }

    /// A kernel that needs some of its inputs once for each image.
    fn repeating(&self, kernel: Arc<dyn Kernel>, slots: &[usize]) -> Arc<dyn Kernel> {
        if slots.is_empty() {
            return kernel;
        }
        let bytes = |slot: &usize| {
            self.inputs[*slot]
                .as_ref()
                .map_or(0, |x| device_bytes(&x.shape))
        };
        let each = slots.iter().map(bytes).fold(0, u64::saturating_add);
        Arc::new(Repeated {
            kernel,
            slots: slots.to_vec(),
            count: self.images.count,
            repeated: each.saturating_mul(self.images.count as u64),
        })
    }

    /// The slots whose tensor, the same for all images, has to be repeated for each; `None` where
    /// images' values would not lie side by side.
    fn repeated(&self, whole: bool) -> Option<Vec<usize>> {
        let one = &self.outputs.first()?.shape;
        let mut repeated = Vec::new();
        for (slot, input) in self.inputs.iter().enumerate() {
            let Some(input) = input else { continue };
            let same_rank = input.shape.len() == one.len();
            let fits = same_rank && input.shape.first() == one.first();
            if self.live[slot] {
                fits.then_some(())?;
            } else if same_rank && input.shape.first() != Some(&1) || whole {
                fits.then_some(())?;
                repeated.push(slot);
            } else if input.shape.len() > one.len() {
                return None;
            }
        }
        Some(repeated)
    }

    /// The operator on the inputs of all images, if it makes what is expected.
    fn resolve(&self, repeated: &[usize], outputs: &[Known]) -> Option<Arc<dyn Kernel>> {
        let mut inputs = self.inputs.to_vec();
        for (slot, input) in inputs.iter_mut().enumerate() {
            if self.live[slot] || repeated.contains(&slot) {
                *input = Some(self.images.several(input.as_ref()?)?);
            }
        }
        let operands = Operands::new(&inputs, self.node.outputs.len(), Batch::default());
        let resolved = operator::resolve(&*self.node.op, &operands).ok()?.resolved;
        let same = resolved.outputs.len() == outputs.len()
            && resolved
                .outputs
                .iter()
                .zip(outputs)
                .all(|(made, expected)| {
                    made.shape == expected.shape
                        && made.kind == expected.kind
                        && made.host.is_some() == expected.host.is_some()
                });
        let kernel = resolved.kernel.filter(|_| same)?;
        Some(self.repeating(kernel, repeated))
    }

    fn one_by_one(&self) -> Arc<dyn Kernel> {
        let rows = self.inputs.iter().zip(self.live);
        let rows = rows.map(|(input, live)| {
            let first = input
                .as_ref()
                .and_then(|known| known.shape.first().copied());
            first.filter(|_| *live)
        });
        Arc::new(OneByOne {
            kernel: Arc::clone(self.kernel),
            rows: rows.collect(),
            count: self.images.count,
            outputs: self.outputs.to_vec(),
        })
    }
}

/// Rows of a tensor.
pub(crate) fn rows(x: &Activation, start: usize, len: usize) -> Activation {
    let x = x.clone();
    at_rank!(x, x => x.narrow(0, start, len))
}

/// Several images of `shape` with an axis of their own before those of an image.
pub(crate) fn with_images_first(x: Activation, shape: &[usize]) -> Activation {
    let images = x.shape()[0] / shape[0].max(1);
    let view: Vec<usize> = [images].iter().chain(shape).copied().collect();
    x.into_view(&view)
}

/// Tensors one after the other along axis 0.
pub(crate) fn joined(parts: Vec<Activation>) -> Option<Activation> {
    let mut parts = parts.into_iter();
    let first = parts.next()?;
    Some(at_rank!(first, first => {
        let rest = parts.map(Activation::into_cast);
        Tensor::cat(std::iter::once(first).chain(rest).collect(), 0)
    }))
}

/// An operator that needs some of its inputs once for each image.
#[derive(Debug)]
struct Repeated {
    kernel: Arc<dyn Kernel>,
    slots: Vec<usize>,
    count: usize,
    /// Bytes of the repetitions.
    repeated: u64,
}

impl Kernel for Repeated {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        self.try_run(inputs, outputs).unwrap_or_default()
    }

    fn try_run(&self, inputs: Slots, outputs: &[Known]) -> Result<Vec<Activation>, String> {
        let inputs = inputs.into_slots().into_iter().enumerate();
        let inputs = inputs.map(|(slot, input)| match self.slots.contains(&slot) {
            true => input.map(|x| at_rank!(x, x => x.repeat_dim(0, self.count))),
            false => input,
        });
        self.kernel.try_run(Slots::new(inputs.collect()), outputs)
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        self.kernel.flops(shapes)
    }

    fn working(&self) -> u64 {
        let repeated = self.kernel.working();
        repeated.saturating_add(self.repeated)
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        self.kernel.windows(reach)
    }

    fn form(&self) -> Option<Form<'_>> {
        self.kernel.form()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.kernel.statistics()
    }
}

/// An operator that runs on one image after the other.
#[derive(Debug)]
struct OneByOne {
    /// For one image.
    kernel: Arc<dyn Kernel>,
    /// How many rows of each input an image has; `None` for what is the same for all.
    rows: Vec<Option<usize>>,
    count: usize,
    /// For one image.
    outputs: Vec<Known>,
}

impl Kernel for OneByOne {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        self.try_run(inputs, outputs).unwrap_or_default()
    }

    fn try_run(&self, inputs: Slots, _outputs: &[Known]) -> Result<Vec<Activation>, String> {
        let inputs = inputs.into_slots();
        let mut parts: Vec<Vec<Activation>> = vec![Vec::new(); self.outputs.len()];
        for image in 0..self.count {
            let inputs = inputs.iter().zip(&self.rows);
            let inputs = inputs.map(|(input, of_image)| match (input, of_image) {
                (Some(input), Some(len)) => Some(rows(input, image * len, *len)),
                (input, _) => input.clone(),
            });
            let inputs = Slots::new(inputs.collect());
            let made = self.kernel.try_run(inputs, &self.outputs)?;
            for (parts, made) in parts.iter_mut().zip(made) {
                parts.push(made);
            }
        }
        let joins = parts.into_iter().zip(&self.outputs);
        let joins = joins.filter_map(|(parts, known)| match known.host {
            // In the place of what is known anything may stand.
            Some(_) => parts.into_iter().next(),
            None => joined(parts),
        });
        Ok(joins.collect())
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let inputs = self.rows.iter().enumerate().map(|(slot, of_image)| {
            let mut shape = shapes.input(slot)?.to_vec();
            if let (Some(rows), Some(first)) = (of_image, shape.first_mut()) {
                *first = *rows;
            }
            Some(shape)
        });
        let one = Shapes::of(inputs.collect(), &self.outputs);
        Some(self.kernel.flops(&one)? * self.count as u64)
    }

    fn working(&self) -> u64 {
        // What each image makes is there until it is joined.
        let made = self.outputs.iter().map(|known| device_bytes(&known.shape));
        let all = made.fold(0_u64, u64::saturating_add);
        all.saturating_mul(self.count as u64)
            .saturating_add(self.kernel.working())
    }

    fn form(&self) -> Option<Form<'_>> {
        self.kernel.form()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.kernel.statistics()
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        self.kernel.windows(reach)
    }
}
