//! `Einsum`: any sum of products of elements, by the letters that name the axes.
//!
//! Operand by operand: diagonals are picked where a letter repeats, axes that nobody else needs are
//! summed, and two terms are multiplied as stacks of matrices: letters that both have and that are
//! needed later number the stack, those that both have and nobody needs are summed.

use std::collections::BTreeMap;
use std::sync::Arc;

use elucid_rules::{Algebra, };

use super::gather::selected;
use super::matmul::{dense, dense_transpose, scale_columns};
use super::transpose::permuted;
use crate::activation::{Activation, IntoView, MAX_RANK, at_rank};
use crate::host::HostTensor;
use crate::long_rows::LongAxes;
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, Weighted, Weights, check_host_size, check_size, check_work, facts, numbers};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Einsum", 12, |a| {
    let text = a.text("equation").unwrap_or_default();
    Ok(Arc::new(Einsum(Equation::read(text)?)))
})];

/// An axis: a letter, or one of those that an ellipsis stands for, counted from the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Dots(usize),
    Letter(char),
}

/// A piece of an equation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Dots,
    Letter(char),
}

#[derive(Debug)]
struct Equation {
    operands: Vec<Vec<Part>>,
    output: Vec<Part>,
}

impl Equation {
    fn read(text: &str) -> Result<Self, String> {
        let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match bare.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (bare.as_str(), None),
        };
        let operands: Vec<Vec<Part>> = left
            .split(',')
            .map(|term| parts(term, text))
            .collect::<Result<_, _>>()?;
        let output = match right {
            Some(right) => parts(right, text)?,
            None => implied(&operands),
        };
        let twice = |part: &Part| output.iter().filter(|p| *p == part).count() > 1;
        let unknown = |part: &Part| {
            *part != Part::Dots && !operands.iter().any(|operand| operand.contains(part))
        };
        if output.iter().any(|part| twice(part) || unknown(part)) {
            return Err(format!(
                "the equation \"{text}\" has an output with a letter twice or from nowhere"
            ));
        }
        Ok(Self { operands, output })
    }
}

fn parts(term: &str, text: &str) -> Result<Vec<Part>, String> {
    let malformed = || format!("the equation \"{text}\" is malformed");
    let mut found = Vec::new();
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("...") {
            if found.contains(&Part::Dots) {
                return Err(malformed());
            }
            found.push(Part::Dots);
            rest = behind;
        } else if c.is_ascii_alphabetic() {
            found.push(Part::Letter(c));
            rest = &rest[1..];
        } else {
            return Err(malformed());
        }
    }
    Ok(found)
}

/// Without an arrow: the ellipsis, then the letters that appear once, in alphabetical order.
fn implied(operands: &[Vec<Part>]) -> Vec<Part> {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for part in operands.iter().flatten() {
        if let Part::Letter(c) = part {
            *counts.entry(*c).or_default() += 1;
        }
    }
    let dots = operands.iter().flatten().any(|p| *p == Part::Dots);
    let once = counts.iter().filter(|(_, count)| **count == 1);
    let letters = once.map(|(c, _)| Part::Letter(*c));
    dots.then_some(Part::Dots)
        .into_iter()
        .chain(letters)
        .collect()
}

#[derive(Debug)]
struct Einsum(Equation);

impl Operator for Einsum {
    facts!(kind: "Einsum");

    fn algebra(&self, constant: &[bool]) -> Algebra {
        let Equation { operands, output } = &self.0;
        match (operands.as_slice(), constant) {
            ([only], _) => match only.iter().all(|part| output.contains(part)) {
                true => Algebra::Moves,
                false => Algebra::Linear,
            },
            ([x, weight], [false, true]) if is_dense(x, weight, output) => Algebra::Dense,
            (_, constant) => match constant.iter().filter(|c| !**c).count() {
                ..=1 => Algebra::Mixture,
                2 => Algebra::Product,
                _ => Algebra::Other,
            },
        }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        self.rows(inputs).map_or(Apart::No, Apart::RowsOf)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let Equation { operands, output } = &self.0;
        if inputs.len() != operands.len() {
            let (terms, count) = (operands.len(), inputs.len());
            return Err(format!("an equation of {terms} terms for {count} inputs").into());
        }
        let kind = inputs.input(0)?.kind;
        let mut named = Vec::new();
        for (slot, parts) in operands.iter().enumerate() {
            let known = inputs.input(slot)?;
            if known.kind != kind {
                return Err(format!("cannot multiply {kind} by {}", known.kind).into());
            }
            named.push(labels(parts, &known.shape)?);
        }
        let mut sizes: BTreeMap<Label, usize> = BTreeMap::new();
        for (slot, labels) in named.iter().enumerate() {
            for (label, &size) in labels.iter().zip(&inputs.input(slot)?.shape) {
                let so_far = sizes.entry(*label).or_insert(size);
                if *so_far == 1 {
                    *so_far = size;
                } else if size != 1 && *so_far != size {
                    return Err(format!("an axis has both {so_far} and {size} elements").into());
                }
            }
        }
        let dots = sizes.keys().filter_map(|label| match label {
            Label::Dots(i) => Some(i + 1),
            Label::Letter(_) => None,
        });
        let dots = dots.max().unwrap_or(0);
        let mut wanted = Vec::new();
        for part in output {
            match part {
                Part::Dots => wanted.extend((0..dots).rev().map(Label::Dots)),
                Part::Letter(c) => wanted.push(Label::Letter(*c)),
            }
        }
        let shape: Vec<usize> = wanted.iter().map(|label| sizes[label]).collect();
        if kind.is_int() {
            let hosts = (0..operands.len())
                .map(|slot| inputs.value(slot, "integers to be multiplied"))
                .collect::<Result<Vec<_>, _>>()?;
            let made = integers(&hosts, &named, &wanted, &sizes, &shape)?;
            return Ok(Resolved::known(made));
        }
        let mut terms = Vec::new();
        for (slot, labels) in named.iter().enumerate() {
            terms.push(Term::of(&inputs.operand(slot)?.shape, labels, &sizes)?);
        }
        let kernel = Sum::plan(terms, wanted, &sizes)?;
        Ok(Resolved::typed(kernel, shape, kind))
    }
}

impl Einsum {
    /// The operands whose first axis is that of the output; `None` where one has it elsewhere.
    fn rows(&self, inputs: &Operands<'_>) -> Option<Vec<usize>> {
        let Equation { operands, output } = &self.0;
        let first = |parts: &[Part], rank: usize| {
            let named = labels(parts, &vec![1; rank]).ok()?;
            let (first, rest) = named.split_first()?;
            Some((*first, rest.to_vec()))
        };
        let ranks = (0..operands.len()).map(|slot| Some(inputs.optional(slot)?.shape.len()));
        let ranks = ranks.collect::<Option<Vec<usize>>>()?;
        let letters = |parts: &[Part]| parts.iter().filter(|part| **part != Part::Dots).count();
        let dots = operands.iter().zip(&ranks).map(|(parts, rank)| {
            let has_dots = parts.contains(&Part::Dots);
            rank.checked_sub(letters(parts))
                .filter(|_| has_dots)
                .unwrap_or(0)
        });
        let dots = dots.max().unwrap_or(0);
        let has_dots = output.contains(&Part::Dots);
        let rank = letters(output) + if has_dots { dots } else { 0 };
        let (row, rest) = first(output, rank)?;
        if rest.contains(&row) {
            return None;
        }
        let mut rows = Vec::new();
        for (slot, (parts, rank)) in operands.iter().zip(ranks).enumerate() {
            match first(parts, rank) {
                Some((_, rest)) if rest.contains(&row) => return None,
                Some((label, _)) if label == row => rows.push(slot),
                _ => {}
            }
        }
        Some(rows)
    }
}

/// Whether it is the product of rows of the first operand with a matrix: its last letters are summed.
fn is_dense(x: &[Part], weight: &[Part], output: &[Part]) -> bool {
    let summed = x
        .iter()
        .rev()
        .take_while(|part| !output.contains(part))
        .count();
    let (kept, summed) = x.split_at(x.len() - summed);
    let (taken, made) = output.split_at(kept.len().min(output.len()));
    let shared = |part: &&Part| weight.contains(part);
    let distinct = |parts: &[Part]| (1..parts.len()).all(|i| !parts[..i].contains(&parts[i]));
    !kept.is_empty()
        && !made.is_empty()
        && distinct(x)
        && distinct(weight)
        && !weight.contains(&Part::Dots)
        && !summed.contains(&Part::Dots)
        && taken == kept
        && !kept.iter().any(|part| shared(&part))
        && summed.iter().all(|part| shared(&part))
        && weight.len() == summed.len() + made.len()
        && made.iter().all(|part| shared(&part))
}

/// Names the axes of an operand.
fn labels(parts: &[Part], shape: &[usize]) -> Result<Vec<Label>, Refused> {
    let letters = parts.iter().filter(|p| **p != Part::Dots).count();
    let has_dots = letters < parts.len();
    let dots = shape.len().checked_sub(letters);
    let Some(dots) = dots.filter(|&dots| dots == 0 || has_dots) else {
        return Err(format!("{letters} letters do not name the axes of {shape:?}").into());
    };
    let mut found = Vec::new();
    for part in parts {
        match part {
            Part::Dots => found.extend((0..dots).rev().map(Label::Dots)),
            Part::Letter(c) => found.push(Label::Letter(*c)),
        }
    }
    Ok(found)
}

/// An operand with its axes named, each letter once.
#[derive(Debug, Clone)]
struct Term {
    /// Flat places of the diagonal, where a letter repeats.
    diagonal: Option<Vec<usize>>,
    /// Without the axes along which it is stretched.
    labels: Vec<Label>,
    shape: Vec<usize>,
    /// Of the operand.
    rank: usize,
}

impl Term {
    fn of(
        shape: &[usize],
        named: &[Label],
        sizes: &BTreeMap<Label, usize>,
    ) -> Result<Self, Refused> {
        let mut strides = vec![1; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i] * shape[i];
        }
        // Steps along each letter, of all axes of that name.
        let mut axes: Vec<(Label, usize, usize)> = Vec::new();
        let mut repeats = false;
        for ((label, &size), &stride) in named.iter().zip(shape).zip(&strides) {
            let stretched = size == 1 && sizes[label] != 1;
            if stretched {
                continue;
            }
            match axes.iter_mut().find(|(found, ..)| found == label) {
                Some((_, _, step)) => {
                    *step += stride;
                    repeats = true;
                }
                None => axes.push((*label, size, stride)),
            }
        }
        let labels = axes.iter().map(|a| a.0).collect();
        let shape: Vec<usize> = axes.iter().map(|a| a.1).collect();
        let diagonal = if repeats {
            check_host_size(&shape)?;
            let mut places = vec![0];
            for (_, size, step) in &axes {
                let next = places
                    .iter()
                    .flat_map(|at| (0..*size).map(move |i| at + i * step));
                places = next.collect();
            }
            Some(places)
        } else {
            None
        };
        Ok(Self {
            diagonal,
            labels,
            shape,
            rank: named.len(),
        })
    }
}

/// How two terms are multiplied: as matrices `[stack, rows, inner]` and `[stack, inner, columns]`.
#[derive(Debug)]
struct Step {
    orders: [Vec<usize>; 2],
    views: [[usize; 3]; 2],
    /// The shape of the product, an axis for each letter.
    shape: Vec<usize>,
}

/// Terms, multiplied one after another.
#[derive(Debug)]
struct Sum {
    terms: Vec<Term>,
    /// Axes of each term that nobody else needs.
    sums: Vec<Vec<usize>>,
    steps: Vec<Step>,
    /// The order of the axes of the output.
    order: Vec<usize>,
    /// As a product of rows with a matrix.
    dense: Option<Dense>,
}

/// The shapes of a product of rows with a matrix.
#[derive(Debug)]
struct Dense {
    /// The order of the weight's axes.
    order: Vec<usize>,
    /// `[inputs, outputs]`.
    weight: [usize; 2],
    /// The axes behind those of the rows.
    outputs: Vec<usize>,
    /// Axes that are rows.
    rows: usize,
}

impl Sum {
    fn plan(
        terms: Vec<Term>,
        wanted: Vec<Label>,
        sizes: &BTreeMap<Label, usize>,
    ) -> Result<Self, Refused> {
        let shape_of = |labels: &[Label]| labels.iter().map(|l| sizes[l]).collect::<Vec<usize>>();
        let count_of = |labels: &[Label]| shape_of(labels).iter().product::<usize>();
        let dense = dense_form(&terms, &wanted, sizes);
        let mut sums = Vec::new();
        let mut left: Vec<Vec<Label>> = Vec::new();
        for (i, term) in terms.iter().enumerate() {
            let elsewhere = |label: &Label| {
                let mut others = terms.iter().enumerate().filter(|(j, _)| *j != i);
                wanted.contains(label) || others.any(|(_, other)| other.labels.contains(label))
            };
            let gone = (0..term.labels.len()).filter(|&axis| !elsewhere(&term.labels[axis]));
            sums.push(gone.collect());
            left.push(term.labels.iter().copied().filter(elsewhere).collect());
        }
        let mut steps = Vec::new();
        let mut a = left.first().cloned().unwrap_or_default();
        for (i, b) in left.iter().enumerate().skip(1) {
            let needed = |label: &Label| {
                wanted.contains(label) || left[i + 1..].iter().any(|later| later.contains(label))
            };
            let both: Vec<Label> = a.iter().copied().filter(|l| b.contains(l)).collect();
            let (stack, inner): (Vec<Label>, Vec<Label>) = both.into_iter().partition(needed);
            let only = |of: &[Label], not: &[Label]| {
                let only = of.iter().copied().filter(|l| !not.contains(l));
                only.collect::<Vec<Label>>()
            };
            let (rows, columns) = (only(&a, b), only(b, &a));
            let order = |of: &[Label], to: [&[Label]; 3]| {
                let at = |label: &Label| of.iter().position(|l| l == label);
                to.into_iter()
                    .flatten()
                    .filter_map(at)
                    .collect::<Vec<usize>>()
            };
            let made: Vec<Label> = stack.iter().chain(&rows).chain(&columns).copied().collect();
            let shape = shape_of(&made);
            if shape.len() > MAX_RANK {
                return Err(Refused::Unsupported(format!(
                    "a product with more than {MAX_RANK} axes"
                )));
            }
            check_size(&shape)?;
            let [s, r, k, c] = [&stack, &rows, &inner, &columns].map(|labels| count_of(labels));
            steps.push(Step {
                orders: [
                    order(&a, [&stack, &rows, &inner]),
                    order(b, [&stack, &inner, &columns]),
                ],
                views: [[s, r, k], [s, k, c]],
                shape,
            });
            a = made;
        }
        let order = wanted
            .iter()
            .filter_map(|label| a.iter().position(|l| l == label));
        Ok(Self {
            order: order.collect(),
            terms,
            sums,
            steps,
            dense,
        })
    }

    /// An operand with its diagonal picked and what nobody needs summed.
    fn term(&self, x: Activation, i: usize) -> Activation {
        let term = &self.terms[i];
        let x = match &term.diagonal {
            Some(places) => {
                let count = x.shape().iter().product();
                selected(x.into_view(&[count]), 0, places).into_view(&term.shape)
            }
            None => x.into_view(&term.shape),
        };
        if self.sums[i].is_empty() {
            return x;
        }
        let summed = at_rank!(x, x => self.sums[i].iter().fold(x, |x, &axis| x.sums_along(axis)));
        let kept = (0..term.shape.len()).filter(|axis| !self.sums[i].contains(axis));
        let shape: Vec<usize> = kept.map(|axis| term.shape[axis]).collect();
        summed.into_view(&shape)
    }
}

fn reordered(x: Activation, order: &[usize]) -> Activation {
    match order.iter().enumerate().all(|(i, &axis)| i == axis) {
        true => x,
        false => permuted(x, order),
    }
}

impl Kernel for Sum {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let mut y = self.term(inputs.take(0), 0);
        for (i, step) in self.steps.iter().enumerate() {
            let next = self.term(inputs.take(i + 1), i + 1);
            let [a, b] = [(y, 0), (next, 1)].map(|(x, side)| {
                let x = reordered(x, &step.orders[side]);
                x.into_view(&step.views[side]).into_cast::<3>()
            });
            y = a.matmul(b).into_view(&step.shape);
        }
        vec![reordered(y, &self.order).into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // What is summed in one term alone, then the products.
        let alone = self.sums.iter().enumerate();
        let alone = alone.filter(|(_, axes)| !axes.is_empty());
        let alone: u64 = alone.map(|(slot, _)| shapes.read(slot)).sum();
        let products = self.steps.iter().map(|step| {
            let [[stack, rows, inner], [_, _, columns]] = step.views;
            2 * numbers(&[stack, rows, inner, columns])
        });
        Some(alone + products.sum::<u64>())
    }

    fn weighted(&self) -> Option<&dyn Weighted> {
        self.dense.as_ref().map(|dense| dense as &dyn Weighted)
    }
}

/// The form in which rules see weights, if it is that of a matrix.
fn dense_form(terms: &[Term], wanted: &[Label], sizes: &BTreeMap<Label, usize>) -> Option<Dense> {
    let [x, weight] = terms else { return None };
    let summed = x
        .labels
        .iter()
        .rev()
        .take_while(|label| !wanted.contains(label));
    let rows = x.labels.len() - summed.count();
    let (kept, summed) = x.labels.split_at(rows);
    let made = wanted.strip_prefix(kept)?;
    let order: Option<Vec<usize>> = summed
        .iter()
        .chain(made)
        .map(|label| weight.labels.iter().position(|l| l == label))
        .collect();
    let order = order.filter(|order| order.len() == weight.labels.len())?;
    let whole = x.rank == x.labels.len() && weight.diagonal.is_none();
    let fits = whole
        && !kept.is_empty()
        && !made.is_empty()
        && !kept.iter().any(|l| weight.labels.contains(l));
    let shape = |labels: &[Label]| labels.iter().map(|l| sizes[l]).collect::<Vec<usize>>();
    fits.then(|| Dense {
        order,
        weight: [shape(summed).iter().product(), shape(made).iter().product()],
        outputs: shape(made),
        rows,
    })
}

impl Weighted for Dense {
    fn is_weighted(&self, constant: &[bool]) -> bool {
        matches!(constant, [false, true])
    }

    fn weights(&self, mut inputs: Slots) -> Option<Weights> {
        let weight = inputs.maybe(1)?;
        let sizes: Vec<usize> = weight.shape();
        // Axes of one element may be written without a letter of their own.
        let weight = match sizes.len() == self.order.len() {
            true => reordered(weight, &self.order),
            false => weight,
        };
        Some(Weights {
            weight: weight.into_view(&self.weight),
            bias: None,
        })
    }

    fn linear(&self, x: Activation, weight: &Activation, bias: Option<&Activation>) -> Activation {
        let mut shape = x.shape();
        shape.truncate(self.rows);
        let rows = shape.iter().product();
        let inputs = self.weight[0];
        shape.extend(&self.outputs);
        dense(x.into_view(&[rows, inputs]), weight, bias).into_view(&shape)
    }

    fn transpose(&self, g: Activation, weight: &Activation, input: &[usize]) -> Activation {
        dense_transpose(g, weight, input)
    }

    fn scale_outputs(&self, weight: Activation, factor: Activation) -> Activation {
        scale_columns(weight, factor)
    }
}

/// The sum of products of integers, wrapped to their width.
fn integers(
    hosts: &[&HostTensor],
    named: &[Vec<Label>],
    wanted: &[Label],
    sizes: &BTreeMap<Label, usize>,
    shape: &[usize],
) -> Result<HostTensor, Refused> {
    check_host_size(shape)?;
    let summed = sizes
        .keys()
        .copied()
        .filter(|label| !wanted.contains(label));
    let all: Vec<Label> = wanted.iter().copied().chain(summed).collect();
    let bounds: Vec<usize> = all.iter().map(|label| sizes[label]).collect();
    check_work(&bounds)?;
    let values: Vec<Vec<i64>> = hosts.iter().map(|h| h.ints()).collect::<Result<_, _>>()?;
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for (host, labels) in hosts.iter().zip(named) {
        let mut step = vec![0; all.len()];
        let mut stride = 1;
        for (label, &size) in labels.iter().zip(host.shape()).rev() {
            if let Some(axis) = all.iter().position(|l| l == label)
                && size != 1
            {
                step[axis] += stride;
            }
            stride *= size;
        }
        steps.push(step);
    }
    let inner: usize = bounds[wanted.len()..].iter().product();
    let mut made = Vec::new();
    let mut at = vec![0; all.len()];
    for i in 0..bounds.iter().product() {
        let mut rest = i;
        for (at, &bound) in at.iter_mut().zip(&bounds).rev() {
            *at = rest % bound;
            rest /= bound;
        }
        let factors = values.iter().zip(&steps).map(|(values, step)| {
            let place: usize = at.iter().zip(step).map(|(a, s)| a * s).sum();
            values[place]
        });
        let product = factors.fold(1_i64, i64::wrapping_mul);
        match made.last_mut() {
            Some(last) if i % inner != 0 => *last = i64::wrapping_add(*last, product),
            _ => made.push(product),
        }
    }
    // Sums over nothing.
    made.resize(shape.iter().product(), 0);
    Ok(HostTensor::of_ints(hosts[0].element_type(), shape, made)?)
}
