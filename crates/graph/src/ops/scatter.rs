//! `ScatterElements`, `ScatterND` and the older `Scatter`: a tensor with some of its numbers replaced
//! by others, or combined with them.
//!
//! Where several updates have one place, the last replaces the others; sums, products and extremes take
//! in all of them, two by two, so that nothing depends on the order in which a device works. Of equal
//! numbers the earlier is the largest and the smallest: it gets the gradient.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind};

use super::gather::{indices_of, selected};
use super::gather_elements;
use super::identity::Same;
use super::pick::{keys, same_kind};
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::message::few;
use crate::operator::{facts, 
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_host_size,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Scatter", 9, |a| read(a, "Scatter", true)),
    Entry::onnx("ScatterElements", 11, |a| read(a, "ScatterElements", true)),
    Entry::onnx("ScatterND", 11, |a| read(a, "ScatterND", false)),
];

fn read(a: &Attributes, kind: &'static str, by_element: bool) -> Result<Arc<dyn Operator>, String> {
    let how = match a.text_or("reduction", "none") {
        "none" => How::Replace,
        "add" => How::Add,
        "mul" => How::Multiply,
        "max" => How::Max,
        "min" => How::Min,
        other => return Err(format!("reduction \"{other}\" is not known")),
    };
    Ok(Arc::new(Scatter {
        kind: OpKind::new(kind),
        axis: by_element.then(|| a.int_or("axis", 0)),
        how,
    }))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Replace,
    Add,
    Multiply,
    Max,
    Min,
}

#[derive(Debug)]
struct Scatter {
    kind: OpKind,
    /// Along which axis the indices count; `None` where each is an index of several dimensions.
    axis: Option<i64>,
    how: How,
}

impl Operator for Scatter {
    facts!(kind: .kind);

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        match self.how {
            How::Replace => Algebra::Moves,
            _ => Algebra::Other,
        }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        match self.blocks(inputs) {
            Ok(Some(blocks)) => Apart::Blocks(Arc::new(blocks), vec![0, 2]),
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (x, updates) = (inputs.input(0)?, inputs.input(2)?);
        same_kind(x.kind, updates.kind)?;
        if x.kind == ElementType::Bool && self.how != How::Replace {
            return Err("booleans are replaced, and not combined".into());
        }
        let (places, width) = self.places(inputs)?;
        if places.is_empty() || width == 0 {
            // Nothing is replaced.
            return Ok(match x.settled() {
                Some(host) => Resolved::known(host.clone()),
                None => Resolved::typed(Same, x.shape.clone(), x.kind),
            });
        }
        let count = x.shape.iter().product::<usize>() / width;
        if !x.kind.is_float() {
            let updates = inputs.value(2, "the updates")?;
            let x = inputs.value(0, "what is updated")?;
            return Ok(Resolved::known(self.on_host(x, updates, &places, width)?));
        }
        check_host_size(&[count])?;
        // A list for each place.
        check_host_size(&[places.len(), 6])?;
        let kernel = Replaced::new(&places, count, width, self.how);
        Ok(Resolved::typed(kernel, x.shape.clone(), x.kind))
    }
}

/// For each index of several dimensions its place among the slices of `x`, and the size of a slice.
fn rows(inputs: &Operands<'_>, x: &Known, updates: &Known) -> Result<(Vec<usize>, usize), Refused> {
    let stated = &inputs.input(1)?.shape;
    let fail = || {
        let (x, stated, updates) = (few(&x.shape), few(stated), few(&updates.shape));
        format!("updates {updates} with indices {stated} do not fit {x}")
    };
    let (&depth, outer) = stated.split_last().ok_or_else(fail)?;
    let fits = depth <= x.shape.len() && [outer, &x.shape[depth..]].concat() == updates.shape;
    if !fits {
        return Err(fail().into());
    }
    check_host_size(outer)?;
    let indices = inputs.ints(1, "the indices")?;
    let mut places = Vec::new();
    for row in 0..outer.iter().product::<usize>() {
        let mut place = 0;
        for (i, &size) in x.shape[..depth].iter().enumerate() {
            let at = row * depth + i;
            place = place * size + indices_of(&indices[at..=at], size)?[0];
        }
        places.push(place);
    }
    Ok((places, x.shape[depth..].iter().product()))
}

impl Scatter {
    /// The place of each update among the slices of the first input, and the size of a slice.
    fn places(&self, inputs: &Operands<'_>) -> Result<(Vec<usize>, usize), Refused> {
        let (x, updates) = (inputs.input(0)?, inputs.input(2)?);
        let Some(axis) = self.axis else {
            return rows(inputs, x, updates);
        };
        let stated = &inputs.input(1)?.shape;
        if updates.shape != *stated {
            let (updates, stated) = (few(&updates.shape), few(stated));
            return Err(format!("updates {updates} for indices {stated}").into());
        }
        Ok((gather_elements::places(inputs, x, axis)?, 1))
    }

    /// The same for any number of images.
    fn blocks(&self, inputs: &Operands<'_>) -> Result<Option<Blocks>, Refused> {
        let x = inputs.input(0)?;
        let (places, width) = self.places(inputs)?;
        if !x.kind.is_float() || places.is_empty() || width == 0 {
            return Ok(None);
        }
        Ok(Some(Blocks {
            count: x.shape.iter().product::<usize>() / width,
            places,
            width,
            how: self.how,
        }))
    }

    fn on_host(
        &self,
        x: &HostTensor,
        updates: &HostTensor,
        places: &[usize],
        width: usize,
    ) -> Result<HostTensor, Refused> {
        let shape = x.shape();
        let targets = places
            .iter()
            .flat_map(|place| place * width..(place + 1) * width);
        if self.how == How::Replace {
            // Places in one tensor behind the other.
            let mut from: Vec<usize> = (0..x.len()).collect();
            for (i, target) in targets.enumerate() {
                from[target] = x.len() + i;
            }
            let flat = [x.reshape(&[x.len()])?, updates.reshape(&[updates.len()])?];
            let both = HostTensor::concat(&[&flat[0], &flat[1]], 0)?;
            return Ok(both.pick(&from, shape)?);
        }
        let (mut values, ranks) = (x.ints()?, [keys(x), keys(updates)]);
        let mut best = ranks[0].clone();
        for ((target, update), &rank) in targets.zip(updates.ints()?).zip(&ranks[1]) {
            let value = &mut values[target];
            let wins = match self.how {
                How::Max => rank > best[target],
                _ => rank < best[target],
            };
            match self.how {
                How::Add => *value = value.wrapping_add(update),
                How::Multiply => *value = value.wrapping_mul(update),
                _ if wins => {
                    *value = update;
                    best[target] = rank;
                }
                _ => {}
            }
        }
        Ok(HostTensor::of_ints(x.element_type(), shape, values)?)
    }
}

/// Rows of the first input, some of them replaced by rows of the third or combined with them.
#[derive(Debug)]
struct Replaced {
    width: usize,
    how: How,
    /// Updates of one place are combined in rounds of pairs.
    rounds: Vec<Round>,
    /// Where there is an update, and which it is after all rounds.
    touched: Vec<usize>,
    combined: Vec<usize>,
    /// For each row of the result its place among the rows of the data and, behind them, what is
    /// new.
    source: Vec<usize>,
}

#[derive(Debug, Default)]
struct Round {
    left: Vec<usize>,
    right: Vec<usize>,
    /// Without a partner.
    rest: Vec<usize>,
}

impl Replaced {
    fn new(places: &[usize], count: usize, width: usize, how: How) -> Self {
        let mut source: Vec<usize> = (0..count).collect();
        let mut touched = Vec::new();
        let mut updates: Vec<Vec<usize>> = Vec::new();
        if how == How::Replace {
            for (i, &place) in places.iter().enumerate() {
                source[place] = count + i;
            }
        } else {
            let mut slot_of: HashMap<usize, usize> = HashMap::new();
            for (i, &place) in places.iter().enumerate() {
                let slot = *slot_of.entry(place).or_insert_with(|| {
                    touched.push(place);
                    updates.push(Vec::new());
                    updates.len() - 1
                });
                updates[slot].push(i);
            }
            for (slot, &place) in touched.iter().enumerate() {
                source[place] = count + slot;
            }
        }
        let mut rounds = Vec::new();
        while updates.iter().any(|list| list.len() > 1) {
            let mut round = Round::default();
            let pairs: usize = updates.iter().map(|list| list.len() / 2).sum();
            for list in &mut updates {
                let mut next = Vec::new();
                for pair in list.chunks(2) {
                    match *pair {
                        [left, right] => {
                            next.push(round.left.len());
                            round.left.push(left);
                            round.right.push(right);
                        }
                        [rest] => {
                            next.push(pairs + round.rest.len());
                            round.rest.push(rest);
                        }
                        _ => {}
                    }
                }
                *list = next;
            }
            rounds.push(round);
        }
        Self {
            width,
            how,
            rounds,
            touched,
            combined: updates.into_iter().flatten().collect(),
            source,
        }
    }
}

impl How {
    fn combine(self, a: Activation, b: Activation) -> Activation {
        let (a, b) = (a.into_cast::<2>(), b.into_cast::<2>());
        let both = |a: &Tensor<2>, b: &Tensor<2>| {
            (a.clone().without_autodiff(), b.clone().without_autodiff())
        };
        match self {
            Self::Add => (a + b).into(),
            Self::Multiply => (a * b).into(),
            Self::Max => {
                let (fixed_a, fixed_b) = both(&a, &b);
                a.mask_where(fixed_b.greater(fixed_a), b).into()
            }
            Self::Min => {
                let (fixed_a, fixed_b) = both(&a, &b);
                a.mask_where(fixed_b.lower(fixed_a), b).into()
            }
            Self::Replace => b.into(),
        }
    }
}

/// The same places in each of several images.
#[derive(Debug)]
struct Blocks {
    /// In one image.
    places: Vec<usize>,
    count: usize,
    width: usize,
    how: How,
}

impl Kernel for Blocks {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let rows = outputs[0].shape.iter().product::<usize>() / self.width;
        let starts = (0..rows).step_by(self.count.max(1));
        let places = starts.flat_map(|start| self.places.iter().map(move |place| start + place));
        let places: Vec<usize> = places.collect();
        Replaced::new(&places, rows, self.width, self.how).run(inputs, outputs)
    }
}

impl Kernel for Replaced {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let rows = |x: Activation| {
            let count = x.shape().iter().product::<usize>() / self.width;
            x.into_view(&[count, self.width])
        };
        let joined = |a: Activation, b: Activation| {
            Activation::from(Tensor::cat(vec![a.into_cast::<2>(), b.into_cast()], 0))
        };
        let (x, mut updates) = (rows(inputs.take(0)), rows(inputs.take(2)));
        for round in &self.rounds {
            let pick = |places: &[usize]| selected(updates.clone(), 0, places);
            let pairs = self.how.combine(pick(&round.left), pick(&round.right));
            updates = match round.rest.is_empty() {
                true => pairs,
                false => joined(pairs, pick(&round.rest)),
            };
        }
        if self.how != How::Replace {
            let before = selected(x.clone(), 0, &self.touched);
            updates = self
                .how
                .combine(before, selected(updates, 0, &self.combined));
        }
        let made = selected(joined(x, updates), 0, &self.source);
        vec![made.into_view(&outputs[0].shape)]
    }
}
