//! `Unique`: the different numbers of a tensor, or its different slices along an axis, each once.
//!
//! Of equal ones the first is kept, and gets the gradient.

use std::sync::Arc;

use super::pick::{self, keys};
use crate::host::HostTensor;
use crate::operator::{
    Known, Operands, Operator, Refused, Resolved, axis_of, check_host_size, facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Unique", 11, |a| {
    Ok(Arc::new(Unique {
        axis: a.int("axis"),
        sorted: a.int_or("sorted", 1) != 0,
    }))
})];

#[derive(Debug)]
struct Unique {
    axis: Option<i64>,
    sorted: bool,
}

impl Operator for Unique {
    facts!(kind: "Unique", algebra: Moves, most_outputs: 4);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let keys = keys(inputs.value(0, "the numbers")?);
        let rank = x.shape.len();
        let axis = self.axis.map(|axis| axis_of(axis, rank)).transpose()?;
        let [outer, size, inner] = match axis {
            Some(axis) => [
                x.shape[..axis].iter().product(),
                x.shape[axis],
                x.shape[axis + 1..].iter().product(),
            ],
            None => [1, keys.len(), 1],
        };
        let compare = |a: usize, b: usize| {
            let pairs = (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i)));
            let at = |slice: usize, (o, i): (usize, usize)| keys[(o * size + slice) * inner + i];
            let mut orders = pairs.map(|place| at(a, place).cmp(&at(b, place)));
            orders
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        };
        // A list for each slice that is unlike the others.
        check_host_size(&[size, 7])?;
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|&a, &b| compare(a, b));
        // Sorting is stable, so the first of equal ones comes first.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for slice in order {
            match groups.last_mut() {
                Some(group) if compare(group[0], slice).is_eq() => group.push(slice),
                _ => groups.push(vec![slice]),
            }
        }
        if !self.sorted {
            groups.sort_by_key(|group| group[0]);
        }
        let first: Vec<usize> = groups.iter().map(|group| group[0]).collect();
        let mut inverse = vec![0; size];
        for (i, group) in groups.iter().enumerate() {
            for &slice in group {
                inverse[slice] = i as i64;
            }
        }
        let places = (0..outer).flat_map(|o| first.iter().map(move |f| o * size + f));
        let places: Vec<usize> = places.collect();
        let mut shape = x.shape.clone();
        match axis {
            Some(axis) => shape[axis] = first.len(),
            None => shape = vec![first.len()],
        }
        let (kernel, values) = pick::picked(x, places, inner, shape)?;
        let ints = |values: Vec<i64>| Known::host(HostTensor::from_ints(values));
        let outputs = vec![
            values,
            ints(first.iter().map(|&f| f as i64).collect()),
            ints(inverse),
            ints(groups.iter().map(|group| group.len() as i64).collect()),
        ];
        Ok(pick::with_known(kernel, outputs))
    }
}
