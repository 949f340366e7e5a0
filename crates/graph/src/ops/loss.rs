//! `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`.
//!
//! `loss[n, d] = -weight[target[n, d]] * x[n, target[n, d], d]`, of logarithms of probabilities or, for
//! the cross entropy, of `log_softmax(scores)`; targets equal to `ignore_index` count for nothing. The
//! mean is over the weights.

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use elucid_rules::{OpKind};

use super::gather::index_tensor;
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::operator::{facts, 
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_host_size,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("NegativeLogLikelihoodLoss", 12, |a| read(a, false)),
    Entry::onnx("SoftmaxCrossEntropyLoss", 12, |a| read(a, true)),
];

fn read(a: &Attributes, softmax: bool) -> Result<Arc<dyn Operator>, String> {
    let reduction = match a.text_or("reduction", "mean") {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        other => {
            return Err(format!(
                "reduction is \"{other}\", expected mean, sum or none"
            ));
        }
    };
    Ok(Arc::new(Loss {
        softmax,
        reduction,
        ignored: a.int("ignore_index"),
    }))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Reduction {
    Mean,
    Sum,
    None,
}

#[derive(Debug)]
struct Loss {
    /// Whether the input is scores, not logarithms of probabilities.
    softmax: bool,
    reduction: Reduction,
    ignored: Option<i64>,
}

impl Operator for Loss {
    facts!(algebra: Other);

    fn kind(&self) -> OpKind {
        OpKind::new(match self.softmax {
            true => "SoftmaxCrossEntropyLoss",
            false => "NegativeLogLikelihoodLoss",
        })
    }

    fn most_outputs(&self) -> usize {
        if self.softmax { 2 } else { 1 }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let &[images, classes, ref positions @ ..] = x.shape.as_slice() else {
            let shape = &x.shape;
            return Err(format!("input has shape {shape:?}, expected [N, C, ...]").into());
        };
        let mut each = vec![images];
        each.extend(positions);
        let stated = &inputs.input(1)?.shape;
        if *stated != each {
            return Err(format!("targets have shape {stated:?}, expected {each:?}").into());
        }
        check_host_size(&each)?;
        if inputs.optional(2).is_some() {
            let weight = &inputs.operand(2)?.shape;
            if *weight != [classes] {
                return Err(format!("weights have shape {weight:?}, expected [{classes}]").into());
            }
        }
        let mut targets = Vec::new();
        for target in inputs.ints(1, "the targets")? {
            let class = usize::try_from(target).ok().filter(|&c| c < classes);
            targets.push(match class {
                _ if Some(target) == self.ignored => None,
                Some(class) => Some(class),
                None => return Err(format!("target {target} is none of {classes} classes").into()),
            });
        }
        let shape = match self.reduction {
            Reduction::None => each,
            _ => Vec::new(),
        };
        let kernel = Picked {
            softmax: self.softmax,
            reduction: self.reduction,
            view: [images, classes, positions.iter().product()],
            targets,
        };
        let outputs = vec![
            Known::computed(shape, x.kind),
            Known::computed(x.shape.clone(), x.kind),
        ];
        Ok(Resolved::of(kernel, outputs))
    }
}

/// Of the input viewed as `[N, C, positions]`.
#[derive(Debug)]
struct Picked {
    softmax: bool,
    reduction: Reduction,
    view: [usize; 3],
    /// A class for each image and position, or none.
    targets: Vec<Option<usize>>,
}

impl Kernel for Picked {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let [images, classes, positions] = self.view;
        let count = images * positions;
        let x = inputs.take(0).into_view(&self.view).into_cast::<3>();
        let x = if self.softmax {
            activation::log_softmax(x, 1)
        } else {
            x
        };
        let like = Activation::from(x.clone());
        let at = |(i, target): (usize, &Option<usize>)| {
            let (image, position) = (i / positions, i % positions);
            (image * classes + target.unwrap_or(0)) * positions + position
        };
        let places: Vec<usize> = self.targets.iter().enumerate().map(at).collect();
        let flat = x.clone().reshape([count * classes]);
        let picked = -flat.select(0, index_tensor(&places, &like));
        let counted = self
            .targets
            .iter()
            .map(|t| f32::from(u8::from(t.is_some())));
        let device = like.device();
        let counted = Activation::from_host(counted.collect(), &[count], &device);
        let counted = counted.into_cast::<1>();
        let weight: Tensor<1> = match inputs.maybe(2) {
            None => counted.clone(),
            Some(weight) => {
                let classes: Vec<usize> = self.targets.iter().map(|t| t.unwrap_or(0)).collect();
                let index = index_tensor(&classes, &like);
                weight.into_cast::<1>().select(0, index) * counted.clone()
            }
        };
        // What is ignored may be infinite.
        let picked = picked.mask_fill(counted.equal_elem(0.0), 0.0);
        let loss = picked * weight.clone();
        let loss = match self.reduction {
            Reduction::None => loss,
            Reduction::Sum => loss.sum(),
            Reduction::Mean => loss.sum() / weight.sum(),
        };
        let mut made = vec![loss.into_view(&outputs[0].shape)];
        if let Some(known) = outputs.get(1) {
            made.push(x.into_view(&known.shape));
        }
        made
    }
}
