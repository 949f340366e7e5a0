//! `MaxPool`: the largest number of each window, in any number of dimensions, and where it is.
//!
//! Among equals the first in row-major order counts, and has the gradient.

use std::sync::Arc;

use elucid_rules::{OpKind, max_pool2d};

use super::window::{Pooling, Window};
use crate::activation::Activation;
use crate::host::{ElementType, HostTensor, element_count};
use crate::limits::widest_bytes;
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, check_host_size, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("MaxPool", 1, |a| {
    Ok(Arc::new(MaxPool {
        window: Window::read_pool(a)?,
        by_column: a.flag("storage_order"),
    }))
})];

/// Up to here single precision holds every integer.
const MOST_EXACT: usize = 1 << 24;

#[derive(Debug)]
struct MaxPool {
    window: Window,
    /// Whether positions are counted with the first axis running fastest.
    by_column: bool,
}

impl Operator for MaxPool {
    facts!(kind: OpKind::MaxPool, algebra: Maximum, most_outputs: 2);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        // Where the largest numbers are is counted over all images.
        match inputs.outputs() {
            1 => Apart::Rows,
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let pooling = self.window.pool(inputs)?;
        let shape = pooling.shape.clone();
        let search = Search {
            pooling: pooling.clone(),
            by_column: self.by_column,
        };
        let located = |places: Vec<i64>| HostTensor::of_ints(ElementType::I64, &shape, places);
        if !x.kind.is_float() {
            // Each number with its place.
            check_host_size(&[&[3], x.shape.as_slice()].concat())?;
            check_host_size(&shape)?;
            let host = inputs.value(0, "what is pooled")?;
            let (largest, places) = search.run(&host.ints()?);
            let largest = HostTensor::of_ints(x.kind, &shape, largest)?;
            return Ok(Resolved::all_known(vec![largest, located(places)?]));
        }
        let mut outputs = vec![Known::computed(shape.clone(), x.kind)];
        let located = match inputs.outputs() {
            0 | 1 => None,
            _ if element_count(&x.shape).is_some_and(|count| count <= MOST_EXACT) => {
                outputs.push(Known::computed(shape.clone(), ElementType::I64));
                Some(search)
            }
            _ => {
                check_host_size(&[&[3], x.shape.as_slice()].concat())?;
                check_host_size(&shape)?;
                let host = inputs.value(0, "positions that a device cannot count")?;
                let (_, places) = search.run(&host.floats());
                outputs.push(Known::host(located(places)?));
                Some(search)
            }
        };
        Ok(Resolved::of(Largest { pooling, located }, outputs))
    }
}

#[derive(Debug)]
struct Largest {
    pooling: Pooling,
    /// How to find the positions, if they are asked for.
    located: Option<Search>,
}

impl Kernel for Largest {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        self.try_run(inputs, outputs).unwrap_or_default()
    }

    fn flops(&self, _shapes: &Shapes) -> Option<u64> {
        Some(self.pooling.read())
    }

    fn try_run(&self, mut inputs: Slots, _outputs: &[Known]) -> Result<Vec<Activation>, String> {
        let x = inputs.take(0);
        let locate = |search: &Search| {
            let values = x.to_host(ElementType::F32, &x.shape())?.floats();
            let (_, places) = search.run(&values);
            let places = places.into_iter().map(|p| p as f32).collect();
            Ok::<_, String>(Activation::from_host(
                places,
                &self.pooling.shape,
                &x.device(),
            ))
        };
        let places = self.located.as_ref().map(locate).transpose()?;
        let largest = self.pooling.run(x, max_pool2d);
        Ok(std::iter::once(largest).chain(places).collect())
    }

    fn working(&self) -> u64 {
        // Each number on the host, with its place.
        let searched = self
            .located
            .as_ref()
            .map(|search| widest_bytes(&search.pooling.input));
        searched.map_or(0, |bytes| bytes.saturating_mul(3))
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.slide(self.pooling.plane()?)
    }

    fn form(&self) -> Option<elucid_rules::Operator<'_>> {
        self.pooling.plane().map(elucid_rules::Operator::MaxPool)
    }
}

/// The search for the largest number of each window on the host.
#[derive(Debug, Clone)]
struct Search {
    pooling: Pooling,
    by_column: bool,
}

impl Search {
    /// The largest numbers, and their places in the whole tensor.
    fn run<T: Copy + PartialOrd>(&self, values: &[T]) -> (Vec<T>, Vec<i64>) {
        let pooling = &self.pooling;
        let size = &pooling.input[2..];
        let plane: usize = size.iter().product();
        let mut best: Vec<(T, usize)> = values
            .iter()
            .enumerate()
            .map(|(i, &v)| (v, i % plane))
            .collect();
        // Axis by axis from the last: the first of equal numbers along it is kept, so that the first
        // in row-major order is left.
        let mut inner = 1;
        for (i, &axis) in pooling.axes.iter().enumerate().rev() {
            let (from, to) = (size[i], pooling.shape[i + 2]);
            let outer = best.len() / (from * inner);
            let mut next = Vec::with_capacity(outer * to * inner);
            for o in 0..outer {
                for p in 0..to {
                    for k in 0..inner {
                        let found = axis
                            .reads(p, from)
                            .map(|at| best[(o * from + at) * inner + k])
                            .reduce(|best, next| if next.0 > best.0 { next } else { best });
                        // Pools over nothing but their border are refused.
                        next.extend(found);
                    }
                }
            }
            best = next;
            inner *= to;
        }
        let windows = (best.len() / pooling.shape[..2].iter().product::<usize>()).max(1);
        let place = |(i, &(_, at)): (usize, &(T, usize))| {
            let at = if self.by_column {
                transposed(at, size)
            } else {
                at
            };
            (i / windows * plane + at) as i64
        };
        let places = best.iter().enumerate().map(place).collect();
        (best.into_iter().map(|(v, _)| v).collect(), places)
    }
}

/// The place in column-major order of what is at `place` in row-major order.
fn transposed(mut place: usize, size: &[usize]) -> usize {
    let mut coordinates = vec![0; size.len()];
    for (coordinate, &d) in coordinates.iter_mut().zip(size).rev() {
        *coordinate = place % d;
        place /= d;
    }
    let pairs = coordinates.iter().zip(size).rev();
    pairs.fold(0, |at, (&coordinate, &d)| at * d + coordinate)
}
