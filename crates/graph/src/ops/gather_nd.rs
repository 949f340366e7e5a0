//! `GatherND`: slices of a tensor, each by an index of several dimensions.

use std::sync::Arc;

use super::gather::indices_of;
use super::pick;
use crate::message::few;
use crate::operator::{Operands, Operator, Refused, Resolved, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("GatherND", 11, |a| {
    let batch = usize::try_from(a.int_or("batch_dims", 0));
    let batch = batch.map_err(|_| "attribute batch_dims is negative")?;
    Ok(Arc::new(GatherNd { batch }))
})];

/// The first `batch` dimensions of data and indices go together.
#[derive(Debug)]
struct GatherNd {
    batch: usize,
}

impl Operator for GatherNd {
    facts!(kind: "GatherND", algebra: Moves);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let stated = &inputs.input(1)?.shape;
        let batch = self.batch;
        let fail = || {
            let (x, stated) = (few(&x.shape), few(stated));
            format!("indices {stated} do not fit {x} with {batch} batch dimensions")
        };
        let (&depth, outer) = stated.split_last().ok_or_else(fail)?;
        let depth = batch.checked_add(depth).filter(|&d| d <= x.shape.len());
        let depth = depth.ok_or_else(fail)?;
        if outer.len() < batch || outer[..batch] != x.shape[..batch] {
            return Err(fail().into());
        }
        let shape = [outer, &x.shape[depth..]].concat();
        check_host_size(outer)?;
        let indices = inputs.ints(1, "the indices")?;
        let per_batch: usize = outer[batch..].iter().product();
        let axes = &x.shape[batch..depth];
        let mut places = Vec::new();
        for row in 0..outer.iter().product::<usize>() {
            let mut place = row / per_batch.max(1);
            for (i, &size) in axes.iter().enumerate() {
                let at = row * axes.len() + i;
                place = place * size + indices_of(&indices[at..=at], size)?[0];
            }
            places.push(place);
        }
        let width = x.shape[depth..].iter().product();
        pick::resolved(x, places, width, shape)
    }
}
