//! One operator of a recording.

use std::cell::OnceCell;
use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, BoundRule, Depth, OpKind, OperatorRule, Site, SiteInput, Statistics};

use super::Recording;
use super::merged::Merged;
use crate::activation::{Activation, backward};
use crate::bound::BoundGraph;
use crate::error::GraphError;
use crate::execute::{self, Placed, Runnable};
use crate::graph::Node;
use crate::heads::Heads;
use crate::operator::{Kernel, Slots, Weighted, Weights};
use crate::plan;
use crate::rules;

/// One operator of a [`Recording`], with the values that it read and made.
#[derive(Debug)]
pub struct Step<'r> {
    pub(super) recording: &'r Recording<'r>,
    pub(super) index: usize,
    pub(super) live: Vec<bool>,
    pub(super) merged: Option<Merged>,
    pub(super) absorbed: bool,
    pub(super) first: bool,
    pub(super) weights: OnceCell<Option<Weights>>,
}

impl<'r> Step<'r> {
    pub(super) fn node(&self) -> &'r Node {
        let model = self.recording.model;
        &model.graph().nodes[self.step().node.0]
    }

    fn step(&self) -> &'r plan::Step {
        &self.recording.steps[self.index]
    }

    /// What it does.
    pub fn kind(&self) -> OpKind {
        self.node().op.kind()
    }

    /// What it is to a rule.
    pub fn algebra(&self) -> Algebra {
        self.recording.algebra(self.index)
    }

    /// The form in which a rule for gradients gets to see it.
    pub fn form(&self) -> elucid_rules::Operator<'r> {
        let form = self.kernel().form();
        form.unwrap_or_else(|| elucid_rules::Operator::Other(self.kind(), self.algebra()))
    }

    /// `Conv "conv1"`: for messages.
    pub fn label(&self) -> String {
        self.recording.model.graph().label(self.node())
    }

    /// The layer that it computes, the node's name, the module that it stands in, and Lucid's name
    /// where it has one.
    pub fn names(&self) -> &'r [String] {
        &self.recording.model.graph().places().names[self.step().node.0]
    }

    /// Where it stands among the layers of the network.
    pub fn depth(&self) -> Depth {
        self.recording.depth(self.index)
    }

    /// The layer that it computes; the first, where it computes several.
    pub fn layer(&self) -> &'r str {
        let graph = self.recording.model.graph();
        graph.name(self.node().outputs[0])
    }

    /// Place of its node in [`Graph::nodes`](crate::Graph::nodes), as [blocks](crate::Blocks) state nodes.
    pub fn node_index(&self) -> usize {
        self.step().node.0
    }

    /// Number of input slots.
    pub fn inputs(&self) -> usize {
        self.node().inputs.len()
    }

    /// The value in an input slot; `None` for an optional input left out.
    pub fn input(&self, slot: usize) -> Option<Activation> {
        let value = (*self.node().inputs.get(slot)?)?;
        self.recording.maybe_value_of(value)
    }

    /// The layer in an input slot; `None` for an optional input left out.
    pub fn input_layer(&self, slot: usize) -> Option<&'r str> {
        let value = (*self.node().inputs.get(slot)?)?;
        Some(self.recording.model.graph().name(value))
    }

    /// Whether something is to be handed to this slot: it depends on a layer asked for, and is no
    /// weight.
    pub fn is_live(&self, slot: usize) -> bool {
        self.live.get(slot).copied().unwrap_or(false)
    }

    /// Whether an input slot holds the same whatever the image: a weight, or a number that follows
    /// from sizes. So does a slot left out.
    pub fn is_constant(&self, slot: usize) -> bool {
        match self.node().inputs.get(slot) {
            Some(Some(value)) => self.recording.is_constant(*value),
            _ => true,
        }
    }

    /// What rules know of its input slots: which are constant, and which factors of a product are gates or
    /// weights of attention.
    pub fn site(&self) -> Vec<SiteInput> {
        let graph = self.recording.model.graph();
        rules::site(graph, &self.recording.known, self.node()).1
    }

    /// A number among its attributes by ONNX's name, or what ONNX takes where the file states none; `None`
    /// for what has no such attribute.
    pub fn number(&self, attribute: &str) -> Option<f64> {
        self.node().op.number(attribute)
    }

    /// The network.
    pub fn model(&self) -> &'r BoundGraph {
        self.recording.model
    }

    /// The value that it made, or that the last of the operators merged into it made.
    pub fn output(&self) -> Activation {
        let nodes = &self.recording.model.graph().nodes;
        let at = self.merged.as_ref().map_or(self.index, Merged::last);
        let value = nodes[self.recording.steps[at].node.0].outputs[0];
        self.recording.value_of(value)
    }

    /// Whether no operator with weights comes before it.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Whether it became part of the layer with weights before it: a bias, a batch normalisation. No rule is
    /// asked about it.
    pub fn is_absorbed(&self) -> bool {
        self.absorbed
    }

    /// The weights, when the operator is linear in its first input and its other inputs are constants:
    /// `Conv`, `Gemm`, and `MatMul` by a matrix. A [bias](Recording::merging_biases) and a [batch
    /// normalisation](Recording::merging_batch_norm) that follow are part of them if the recording merges
    /// them.
    pub fn weights(&self) -> Option<&Weights> {
        self.weights.get_or_init(|| self.find_weights()).as_ref()
    }

    /// Whether it has [`weights`](Step::weights), without computing them.
    pub fn is_weighted(&self) -> bool {
        self.weighted().is_some()
    }

    fn kernel(&self) -> &'r dyn Kernel {
        let kernel = self.step().kernel.as_deref();
        kernel.expect("only steps that compute something are walked")
    }

    fn weighted(&self) -> Option<&'r dyn Weighted> {
        self.kernel()
            .weighted()
            .filter(|_| self.recording.is_weighted(self.index))
    }

    fn find_weights(&self) -> Option<Weights> {
        let weighted = self.weighted()?;
        let weights = weighted.weights(self.recording.slots_of(self.index))?;
        Some(match &self.merged {
            Some(layer) => layer.weights(self.recording, weighted, weights),
            None => weights,
        })
    }

    /// The linear operator with other weights, on another input of the same shape.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when the operator has no [`weights`](Step::weights) or the shapes do
    /// not fit.
    pub fn linear(
        &self,
        x: Activation,
        weight: &Activation,
        bias: Option<&Activation>,
    ) -> Result<Activation, GraphError> {
        Ok(self.check_weights(&x, weight)?.linear(x, weight, bias))
    }

    /// The transpose of [`Step::linear`]: from something shaped like the output to something shaped
    /// like the input.
    ///
    /// # Errors
    ///
    /// As [`Step::linear`].
    pub fn transpose(&self, g: Activation, weight: &Activation) -> Result<Activation, GraphError> {
        let x = self.input(0).map(|x| x.shape()).unwrap_or_default();
        match self.weighted() {
            Some(weighted) => Ok(weighted.transpose(g, weight, &x)),
            None => Err(self.not_weighted(weight)),
        }
    }

    fn check_weights(
        &self,
        x: &Activation,
        weight: &Activation,
    ) -> Result<&'r dyn Weighted, GraphError> {
        let stated = self.weights().map(|w| w.weight.shape());
        let shape = self.input(0).map(|x| x.shape()).unwrap_or_default();
        match self.weighted() {
            Some(weighted)
                if stated.as_deref() == Some(&weight.shape()) && x.shape()[1..] == shape[1..] =>
            {
                Ok(weighted)
            }
            _ => Err(self.not_weighted(weight)),
        }
    }

    fn not_weighted(&self, weight: &Activation) -> GraphError {
        let stated = self.weights().map(|w| w.weight.shape());
        let shape = self.input(0).map(|x| x.shape()).unwrap_or_default();
        GraphError::Shape {
            what: format!("an input or weight for {}", self.label()),
            expected: match stated {
                Some(stated) => format!("input {shape:?} and weight {stated:?}"),
                None => "an operator with weights".to_owned(),
            },
            got: weight.shape(),
        }
    }

    /// Runs the operator on other inputs of the same shapes, without any rule and without what is merged
    /// into it.
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when the device does not hand numbers over that the operator goes by.
    pub fn forward(&self, inputs: Vec<Option<Activation>>) -> Result<Vec<Activation>, GraphError> {
        let made = self
            .kernel()
            .try_run(Slots::new(inputs), &self.step().outputs);
        made.map_err(|reason| GraphError::Operator {
            node: self.recording.model.graph().label(self.node()),
            reason,
        })
    }

    /// The true gradient at `inputs` instead of the values that were recorded, given the gradient
    /// at each output.
    ///
    /// # Errors
    ///
    /// As [`Step::forward`].
    pub fn pullback(
        &self,
        inputs: Vec<Option<Activation>>,
        g: &[Option<Activation>],
    ) -> Result<Vec<Option<Activation>>, GraphError> {
        let leaves = self.leaves(inputs);
        let mut total: Option<Tensor<1>> = None;
        for (output, g) in self.forward(leaves.clone())?.into_iter().zip(g) {
            let Some(g) = g else { continue };
            let product = (output.rows() * g.rows()).sum();
            total = Some(match total {
                Some(before) => before + product,
                None => product,
            });
        }
        Ok(self.differentiate(total, &leaves))
    }

    /// The live inputs as leaves of an autodiff graph.
    fn leaves(&self, inputs: Vec<Option<Activation>>) -> Vec<Option<Activation>> {
        let inputs = inputs.into_iter().enumerate();
        let leaf = |(slot, input): (usize, Option<Activation>)| match self.is_live(slot) {
            true => input.map(Activation::require_grad),
            false => input,
        };
        inputs.map(leaf).collect()
    }

    /// The gradient of a sum at the live ones of these leaves.
    fn differentiate(
        &self,
        total: Option<Tensor<1>>,
        leaves: &[Option<Activation>],
    ) -> Vec<Option<Activation>> {
        let Some(total) = total.filter(Tensor::is_tracked) else {
            return vec![None; leaves.len()];
        };
        let gradients = backward(&total);
        let slots = leaves.iter().enumerate();
        slots
            .map(|(slot, leaf)| match (leaf, self.is_live(slot)) {
                (Some(leaf), true) => leaf.gradient(&gradients),
                _ => None,
            })
            .collect()
    }

    /// Whether a rule for gradients can stand at this operator.
    ///
    /// # Errors
    ///
    /// [`GraphError::Rule`] with the reason why it cannot.
    pub fn check_rule(&self, rule: &dyn OperatorRule) -> Result<(), GraphError> {
        let inputs = self.site();
        let site = Site {
            operator: self.form(),
            inputs: &inputs,
            outputs: self.step().outputs.len(),
            statistics: self.kernel().statistics(),
        };
        Ok(rule.check(&site)?)
    }

    /// The gradient that a rule gives at each live input, given that at each output.
    ///
    /// # Errors
    ///
    /// As [`Step::check_rule`].
    pub fn gradient_by(
        &self,
        rule: Arc<dyn OperatorRule>,
        g: &[Option<Activation>],
    ) -> Result<Vec<Option<Activation>>, GraphError> {
        self.check_rule(&*rule)?;
        let placed = Placed {
            rule: BoundRule::Operator(rule),
            site: self.site(),
        };
        Ok(self.backward(&placed, g))
    }

    fn backward(&self, placed: &Placed, g: &[Option<Activation>]) -> Vec<Option<Activation>> {
        let inputs = (0..self.inputs()).map(|slot| self.input(slot)).collect();
        let outputs = self.node().outputs.iter();
        // In the place of an output that nobody reads anything may stand.
        let any = || self.recording.value_of(self.node().outputs[0]);
        let outputs = outputs
            .map(|v| self.recording.maybe_value_of(*v).unwrap_or_else(any))
            .collect();
        execute::backward(placed, self.ready(), inputs, &self.live, outputs, g)
    }

    /// How a softmax views its input, `[before, along, behind]` its axis; `None` for others.
    pub fn softmax_view(&self) -> Option<[usize; 3]> {
        self.kernel().softmax_view()
    }

    /// Whether it rounds its input, as `QuantizeLinear` does: its gradient is then that of the same without
    /// rounding.
    pub fn rounds(&self) -> bool {
        self.kernel().rounds()
    }

    /// Whether it attends by itself, so that it has [`heads`](Step::heads).
    pub fn attends(&self) -> bool {
        self.kernel().attends().is_some()
    }

    /// Which statistics a normalisation divides by, if nothing else but what it normalises is read from it.
    pub fn statistics(&self) -> Option<Statistics> {
        let alone = self.step().outputs.len() == 1;
        self.kernel().statistics().filter(|_| alone)
    }

    /// What an operator that attends by itself computes with; `None` for others.
    pub fn heads(&self) -> Option<Heads> {
        self.heads_of((0..self.inputs()).map(|slot| self.input(slot)).collect())
    }

    fn heads_of(&self, inputs: Vec<Option<Activation>>) -> Option<Heads> {
        self.kernel().attends()?.heads(Slots::new(inputs))
    }

    /// What goes to each live input when these go to its queries, keys and values, which are linear in the
    /// inputs: the transpose of how they are made. `None` for what gets nothing.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when the operator has no [`heads`](Step::heads).
    pub fn transpose_heads(
        &self,
        [q, k, v]: [Option<Tensor<4>>; 3],
    ) -> Result<Vec<Option<Activation>>, GraphError> {
        let leaves = self.leaves((0..self.inputs()).map(|slot| self.input(slot)).collect());
        let Some(heads) = self.heads_of(leaves.clone()) else {
            return Err(GraphError::Shape {
                what: format!("queries, keys and values of {}", self.label()),
                expected: "an operator that attends".to_owned(),
                got: Vec::new(),
            });
        };
        let parts = [(heads.q, q), (heads.k, k), (heads.v, v)].into_iter();
        let products = parts.filter_map(|(part, g)| Some((part * g?).sum()));
        Ok(self.differentiate(products.reduce(|a, b| a + b), &leaves))
    }

    fn ready(&self) -> Arc<Runnable> {
        let kernel = self.step().kernel.as_ref();
        let kernel = kernel.expect("only steps that compute something are walked");
        Runnable::new(kernel, &self.step().outputs)
    }

    /// The gradient at each live input, given that at each output: the true one, or that of the
    /// [`Rules`](elucid_rules::Rules) under which the pass was recorded.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] when a gradient does not fit its output.
    pub fn gradient(
        &self,
        g: &[Option<Activation>],
    ) -> Result<Vec<Option<Activation>>, GraphError> {
        let mut slots = vec![None; self.inputs()];
        if let Some(placed) = &self.recording.rules[self.index] {
            return Ok(self.backward(placed, g));
        }
        let only_x = self.is_live(0) && (1..self.inputs()).all(|slot| !self.is_live(slot));
        if let (true, Some(weights), Some(Some(g))) = (only_x, self.weights(), g.first()) {
            slots[0] = Some(self.transpose(g.clone(), &weights.weight)?);
            return Ok(slots);
        }
        let inputs = (0..self.inputs()).map(|slot| self.input(slot)).collect();
        self.pullback(inputs, g)
    }
}
