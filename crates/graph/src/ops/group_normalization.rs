//! `GroupNormalization`: groups of channels of each image with mean 0 and deviation 1, then scaled.
//!
//! Before version 21 of the operator set there is a scale and a bias for each group, since then for
//! each channel.

use std::sync::Arc;

use elucid_rules::{Affine, AnyRank, Statistics, standardise};

use super::layer_normalization::standardised;
use crate::activation::{Activation, IntoView};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("GroupNormalization", 18, |a| {
    let groups = a.int_or("num_groups", 0);
    let positive = usize::try_from(groups).ok().filter(|&g| g > 0);
    Ok(Arc::new(GroupNormalization {
        groups: positive
            .ok_or_else(|| format!("attribute num_groups is {groups}, expected 1 or more"))?,
        epsilon: a.float_or("epsilon", 1e-5),
        by_channel: a.opset() >= 21,
    }))
})];

#[derive(Debug)]
struct GroupNormalization {
    groups: usize,
    epsilon: f32,
    /// Whether scale and bias are those of channels, not of groups.
    by_channel: bool,
}

impl Operator for GroupNormalization {
    facts!(kind: "GroupNormalization", algebra: Normalization, apart: Rows);

    fn number(&self, attribute: &str) -> Option<f64> {
        match attribute {
            "num_groups" => Some(self.groups as f64),
            "epsilon" => Some(self.epsilon.into()),
            _ => None,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let &[images, channels, ref positions @ ..] = x.shape.as_slice() else {
            let shape = &x.shape;
            return Err(format!("input has shape {shape:?}, expected [N, C, ...]").into());
        };
        let groups = self.groups;
        if channels == 0 || channels % groups != 0 {
            return Err(format!("{channels} channels do not form {groups} groups").into());
        }
        let parameters = if self.by_channel { channels } else { groups };
        for slot in 1..3 {
            let shape = &inputs.operand(slot)?.shape;
            if *shape != [parameters] {
                return Err(
                    format!("input {slot} has shape {shape:?}, expected [{parameters}]").into(),
                );
            }
        }
        let positions: usize = positions.iter().product();
        let kernel = Normalize {
            rows: [images * groups, channels / groups * positions],
            view: [images, parameters, channels / parameters * positions],
            epsilon: self.epsilon,
        };
        Ok(Resolved::typed(kernel, x.shape.clone(), x.kind))
    }
}

/// Each row with mean 0 and deviation 1; then with a scale and a bias for the second axis of a view.
#[derive(Debug)]
pub(super) struct Normalize {
    pub rows: [usize; 2],
    pub view: [usize; 3],
    pub epsilon: f32,
}

impl Kernel for Normalize {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).into_view(&self.rows).into_cast::<2>();
        let [_, parameters, segment] = self.view;
        let [scale, bias] = [1, 2].map(|slot| inputs.get(slot).cloned().map(AnyRank::from));
        let swept = Affine::of(&x, scale, bias, parameters, segment)
            .and_then(|affine| standardise(&x, affine, true, self.epsilon));
        if let Some(y) = swept {
            return vec![y.into_view(&outputs[0].shape)];
        }
        let (normal, ..) = standardised(x, self.epsilon, true);
        let normal = normal.into_view(&self.view).into_cast::<3>();
        let mut parameter = |slot| {
            let view = [1, self.view[1], 1];
            inputs.take(slot).into_view(&view).into_cast::<3>()
        };
        let (scale, bias) = (parameter(1), parameter(2));
        vec![(normal * scale + bias).into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // As a layer normalisation.
        Some(7 * shapes.made())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(Statistics {
            row: self.rows[1],
            centred: true,
            epsilon: self.epsilon,
        })
    }
}
