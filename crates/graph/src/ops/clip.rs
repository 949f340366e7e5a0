//! `Clip`: numbers kept between two bounds; ReLU6 among others.
//!
//! `min(max(x, low), high)`: where the bounds contradict each other the upper one wins. At a bound the
//! derivative is that of the number, not of the bound.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{OpKind, Pointwise, pointwise};

use crate::activation::{Activation, IntoView};
use crate::host::HostTensor;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Clip", 1, |a| {
        let bounds = [a.float("min"), a.float("max")];
        Ok(Arc::new(Clip {
            bounds,
            inputs: false,
        }))
    }),
    Entry::onnx("Clip", 11, |_| {
        Ok(Arc::new(Clip {
            bounds: [None, None],
            inputs: true,
        }))
    }),
];

#[derive(Debug)]
struct Clip {
    bounds: [Option<f32>; 2],
    /// Whether the bounds are inputs.
    inputs: bool,
}

impl Operator for Clip {
    facts!(kind: OpKind::Clip, apart: Rows, algebra: Activation else Other);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let mut bounds = [None, None];
        if self.inputs {
            for (slot, bound) in [1, 2].into_iter().zip(&mut bounds) {
                *bound = inputs.optional(slot);
                let Some(bound) = bound else { continue };
                if bound.kind != x.kind {
                    let (kind, stated) = (x.kind, bound.kind);
                    return Err(format!("input {slot} holds {stated}, expected {kind}").into());
                }
                if bound.shape.iter().any(|&size| size != 1) {
                    let shape = &bound.shape;
                    return Err(format!("input {slot} has shape {shape:?}, expected []").into());
                }
            }
        }
        if x.kind.is_int() {
            return self.of_integers(inputs);
        }
        if !x.kind.is_float() {
            return Err(format!("input 0 holds {}, expected numbers", x.kind).into());
        }
        if bounds.iter().flatten().any(|bound| bound.host.is_none()) {
            return Ok(Resolved::typed(Between, x.shape.clone(), x.kind));
        }
        let limit = |i: usize, default: f32| match bounds[i].and_then(|b| b.host.as_ref()) {
            Some(host) => host.scalar_float(),
            None => Ok(self.bounds[i].unwrap_or(default)),
        };
        let min = limit(0, f32::NEG_INFINITY)?;
        let max = limit(1, f32::INFINITY)?;
        let min = if min > max { max } else { min };
        match &x.host {
            Some(host) => {
                // What is no number stays none.
                let kept = |v: f32| if v.is_nan() { v } else { v.max(min).min(max) };
                Ok(Resolved::known(host.map_floats(kept)?))
            }
            None => Ok(Resolved::typed(
                Bounded { min, max },
                x.shape.clone(),
                x.kind,
            )),
        }
    }
}

impl Clip {
    fn of_integers(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.value(0, "integers to be bounded")?;
        let bound = |slot: usize| -> Result<Option<HostTensor>, Refused> {
            if self.inputs {
                return Ok(inputs.optional_value(slot, "a bound")?.cloned());
            }
            let stated = self.bounds[slot - 1].map(HostTensor::float);
            Ok(stated.map(|v| v.cast(x.element_type())))
        };
        let mut made = x.clone();
        if let Some(low) = bound(1)? {
            let low = low.reshape(&[])?;
            let above = made.compare(&low, x.shape(), |o| o.is_some_and(|o| o.is_ge()))?;
            made = above.choose(&made, &low, x.shape())?;
        }
        if let Some(high) = bound(2)? {
            let high = high.reshape(&[])?;
            let below = made.compare(&high, x.shape(), |o| o.is_some_and(|o| o.is_le()))?;
            made = below.choose(&made, &high, x.shape())?;
        }
        Ok(Resolved::known(made))
    }
}

/// Between numbers.
#[derive(Debug)]
struct Bounded {
    min: f32,
    max: f32,
}

impl Kernel for Bounded {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).untyped();
        let Self { min, max } = *self;
        let (below, above) = (min > f32::NEG_INFINITY, max < f32::INFINITY);
        if !below && !above {
            return vec![x.into()];
        }
        let bounded = |x: Tensor<1>| match (below, above) {
            (true, true) => x.clamp(min, max),
            (true, false) => x.clamp_min(min),
            _ => x.clamp_max(max),
        };
        vec![pointwise(x, Pointwise::Clip { min, max }, bounded).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }

    fn bends(&self) -> Option<Pointwise> {
        let Self { min, max } = *self;
        Some(Pointwise::Clip { min, max })
    }

    fn form(&self) -> Option<elucid_rules::Operator<'_>> {
        Some(elucid_rules::Operator::Clip {
            min: self.min,
            max: self.max,
        })
    }
}

/// Between bounds that the network computes.
#[derive(Debug)]
struct Between;

impl Kernel for Between {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let view = vec![1; outputs[0].shape.len()];
        let bound = |bound: Option<Activation>| -> Option<Tensor<1>> {
            bound.map(|bound| bound.into_view(&view).untyped())
        };
        let (low, high) = (bound(inputs.maybe(1)), bound(inputs.maybe(2)));
        let mut x = inputs.take(0).untyped();
        if let Some(low) = low {
            x = x.max_pair(low);
        }
        if let Some(high) = high {
            x = x.min_pair(high);
        }
        vec![x.into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
