//! One resolved node on tensors.

use std::sync::Arc;

use elucid_rules::{
    AnyRank, BoundRule, Execution, Forward, SiteInput, Statistics, apply, apply_operator,
};

use crate::activation::{Activation, IntoView};
use crate::operator::{Kernel, Known, Slots};

/// A rule, and what was known of the inputs of the operator that it stands at.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub rule: BoundRule,
    pub site: Vec<SiteInput>,
}

/// Runs one node, or the rule that stands in for it, on its inputs.
///
/// `outputs` states the shapes to make. Everything was checked when the node was resolved; what is left
/// is a device that does not hand numbers over.
pub(crate) fn execute(
    kernel: &Arc<dyn Kernel>,
    placed: Option<Placed>,
    mut inputs: Slots,
    outputs: &[Known],
) -> Result<Vec<Activation>, String> {
    let Some(Placed { rule, site }) = placed else {
        return kernel.try_run(inputs, outputs);
    };
    match rule {
        BoundRule::OneInput(rule) => {
            let x = inputs.take(0);
            // Such rules are written for images; vectors become images of one pixel.
            let view = image_view(&x.shape());
            let x = x.into_view(&view).into_cast::<4>();
            Ok(vec![apply(x, rule).into_view(&outputs[0].shape)])
        }
        BoundRule::Operator(rule) => {
            let operator = Runnable::new(kernel, outputs);
            let made = apply_operator(rule, operator, any_rank(inputs.into_slots()), site);
            Ok(made.into_iter().map(Activation::from).collect())
        }
    }
}

pub(crate) fn any_rank(slots: Vec<Option<Activation>>) -> Vec<Option<AnyRank>> {
    slots.into_iter().map(|x| x.map(AnyRank::from)).collect()
}

pub(crate) fn activations(slots: Vec<Option<AnyRank>>) -> Vec<Option<Activation>> {
    slots.into_iter().map(|x| x.map(Activation::from)).collect()
}

/// A resolved operator, as rules get to run it.
#[derive(Debug)]
pub(crate) struct Runnable {
    kernel: Arc<dyn Kernel>,
    outputs: Vec<Known>,
}

impl Runnable {
    pub fn new(kernel: &Arc<dyn Kernel>, outputs: &[Known]) -> Arc<Self> {
        Arc::new(Self {
            kernel: Arc::clone(kernel),
            outputs: outputs.to_vec(),
        })
    }
}

impl Forward for Runnable {
    fn forward(&self, inputs: Vec<Option<AnyRank>>) -> Vec<AnyRank> {
        let inputs = Slots::new(activations(inputs));
        let made = self.kernel.run(inputs, &self.outputs).into_iter();
        made.map(AnyRank::from).collect()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.kernel.statistics()
    }
}

/// The gradients of a rule at the inputs of an operator that ran.
pub(crate) fn backward(
    placed: &Placed,
    operator: Arc<Runnable>,
    inputs: Vec<Option<Activation>>,
    live: &[bool],
    outputs: Vec<Activation>,
    g: &[Option<Activation>],
) -> Vec<Option<Activation>> {
    match &placed.rule {
        BoundRule::OneInput(rule) => {
            let image = |a: &Activation| {
                let view = image_view(&a.shape());
                a.clone().into_view(&view).into_cast::<4>()
            };
            let mut slots = vec![None; inputs.len()];
            if let (Some(Some(x)), Some(y), Some(Some(g))) =
                (inputs.first(), outputs.first(), g.first())
            {
                let at_x = rule.backward(image(x), image(y), image(g));
                slots[0] = Some(at_x.into_view(&x.shape()));
            }
            slots
        }
        BoundRule::Operator(rule) => {
            let ran = Execution {
                inputs: any_rank(inputs),
                live: live.to_vec(),
                site: placed.site.clone(),
                outputs: outputs.into_iter().map(AnyRank::from).collect(),
                operator,
            };
            let mut slots = activations(rule.backward(&ran, &any_rank(g.to_vec())));
            slots.resize(ran.slots(), None);
            slots
        }
    }
}

/// `[N, C, H, W]` for any shape of rank 1 to 6.
pub(crate) fn image_view(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [] => vec![1; 4],
        [n] => vec![n, 1, 1, 1],
        [n, c] => vec![n, c, 1, 1],
        [n, c, l] => vec![n, c, l, 1],
        [n, c, h, ref rest @ ..] => vec![n, c, h, rest.iter().product()],
    }
}
