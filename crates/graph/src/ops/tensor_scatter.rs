//! `TensorScatter`: a cache with new entries written over old ones, from a place in each batch entry on.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::gather::selected;
use crate::activation::{Activation, IntoView};
use crate::host::HostTensor;
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, check_host_size, facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("TensorScatter", 24, |a| {
    Ok(Arc::new(TensorScatter {
        axis: a.int_or("axis", -2),
        circular: match a.text_or("mode", "linear") {
            "linear" => false,
            "circular" => true,
            other => return Err(format!("mode is \"{other}\", expected linear or circular")),
        },
    }))
})];

#[derive(Debug)]
struct TensorScatter {
    axis: i64,
    /// Whether what does not fit behind goes to the front.
    circular: bool,
}

impl Operator for TensorScatter {
    facts!(kind: "TensorScatter", algebra: Moves);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (cache, update) = (inputs.input(0)?, inputs.input(1)?);
        if cache.kind != update.kind {
            let (cache, update) = (cache.kind, update.kind);
            return Err(format!("cannot write {update} into {cache}").into());
        }
        let shape = &cache.shape;
        let axis = axis_of(self.axis, shape.len())?;
        if axis == 0 {
            return Err("entries of a batch cannot be written over one another".into());
        }
        let mut expected = shape.clone();
        let count = update
            .shape
            .get(axis)
            .copied()
            .unwrap_or(0)
            .min(shape[axis]);
        expected[axis] = count;
        if update.shape != expected {
            let update = &update.shape;
            return Err(format!("{update:?} does not fit into {shape:?} along axis {axis}").into());
        }
        check_host_size(shape)?;
        let starts = match inputs.optional(2) {
            None => vec![0; shape[0]],
            Some(_) => inputs.ints(2, "where to write")?,
        };
        if starts.len() != shape[0] {
            return Err(format!("{} places for a batch of {}", starts.len(), shape[0]).into());
        }
        let places = self.places(shape, axis, count, &starts)?;
        if let (Some(cache), Some(update)) = (&cache.host, &update.host) {
            let flat = |host: &HostTensor| host.reshape(&[host.len()]);
            let both = HostTensor::concat(&[&flat(cache)?, &flat(update)?], 0)?;
            return Ok(Resolved::known(both.pick(&places, shape)?));
        }
        if !cache.kind.is_float() {
            inputs.value(0, "what is written to")?;
            inputs.value(1, "what is written")?;
        }
        Ok(Resolved::typed(Pick(places), shape.clone(), cache.kind))
    }
}

impl TensorScatter {
    /// For each element of the output its flat place in cache and update, one behind the other.
    fn places(
        &self,
        shape: &[usize],
        axis: usize,
        count: usize,
        starts: &[i64],
    ) -> Result<Vec<usize>, Refused> {
        let length = shape[axis];
        let between: usize = shape[1..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        let total: usize = shape.iter().product();
        let mut places: Vec<usize> = (0..total).collect();
        for (batch, &start) in starts.iter().enumerate() {
            let first = match self.circular {
                true => Some(start.rem_euclid((length as i64).max(1)) as usize),
                false => usize::try_from(start).ok().filter(|s| *s <= length - count),
            };
            let first =
                first.ok_or_else(|| format!("{count} entries from {start} on exceed {length}"))?;
            for row in batch * between..(batch + 1) * between {
                for i in 0..count {
                    let to = (row * length + (first + i) % length) * inner;
                    let from = total + (row * count + i) * inner;
                    for k in 0..inner {
                        places[to + k] = from + k;
                    }
                }
            }
        }
        Ok(places)
    }
}

/// Elements of two tensors, one behind the other, by flat places.
#[derive(Debug)]
struct Pick(Vec<usize>);

impl Kernel for Pick {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let mut flat = |slot| {
            let x = inputs.take(slot);
            let count = x.shape().iter().product();
            x.into_view(&[count]).into_cast::<1>()
        };
        let both = Tensor::cat(vec![flat(0), flat(1)], 0);
        vec![selected(both.into(), 0, &self.0).into_view(&outputs[0].shape)]
    }
}
