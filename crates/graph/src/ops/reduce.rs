//! Sums, means, products, extremes and norms over axes.
//!
//! Of several equal largest or smallest numbers one has the whole derivative. That of a norm at 0 is 0.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind};

use crate::activation::{Activation, IntoView, at_rank};
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::long_rows::LongAxes;
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, axes_of, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("ReduceMean", 1, |a| read(a, "ReduceMean", How::Mean, 18)),
    Entry::onnx("ReduceSum", 1, |a| read(a, "ReduceSum", How::Sum, 13)),
    Entry::onnx("ReduceMax", 1, |a| read(a, "ReduceMax", How::Max, 18)),
    Entry::onnx("ReduceMin", 1, |a| read(a, "ReduceMin", How::Min, 18)),
    Entry::onnx("ReduceProd", 1, |a| read(a, "ReduceProd", How::Product, 18)),
    Entry::onnx("ReduceL1", 1, |a| read(a, "ReduceL1", How::L1, 18)),
    Entry::onnx("ReduceL2", 1, |a| read(a, "ReduceL2", How::L2, 18)),
    Entry::onnx("ReduceSumSquare", 1, |a| {
        read(a, "ReduceSumSquare", How::SumSquare, 18)
    }),
    Entry::onnx("ReduceLogSum", 1, |a| {
        read(a, "ReduceLogSum", How::LogSum, 18)
    }),
    Entry::onnx("ReduceLogSumExp", 1, |a| {
        read(a, "ReduceLogSumExp", How::LogSumExp, 18)
    }),
];

/// `moved`: from which version on the axes are an input.
fn read(
    a: &Attributes,
    kind: &'static str,
    how: How,
    moved: i64,
) -> Result<Arc<dyn Operator>, String> {
    let axes = (a.opset() < moved).then(|| a.ints("axes").unwrap_or_default());
    Ok(Arc::new(Reduction {
        kind: OpKind::new(kind),
        how,
        axes,
        keep: a.int_or("keepdims", 1) != 0,
        empty_is_identity: a.flag("noop_with_empty_axes"),
    }))
}

/// What is made of the numbers along the axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum How {
    Mean,
    Sum,
    Max,
    Min,
    Product,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

#[derive(Debug)]
struct Reduction {
    kind: OpKind,
    how: How,
    /// `None` where they are an input.
    axes: Option<Vec<i64>>,
    keep: bool,
    empty_is_identity: bool,
}

impl Operator for Reduction {
    facts!(kind: .kind);

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        match self.how {
            How::Mean | How::Sum => Algebra::Linear,
            How::Max => Algebra::Maximum,
            How::Min => Algebra::Minimum,
            _ => Algebra::Other,
        }
    }

    fn axis(&self) -> Option<i64> {
        match self.axes.as_deref() {
            Some(&[axis]) => Some(axis),
            _ => None,
        }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        match self.axes_for(inputs) {
            Ok(axes) if !axes.contains(&0) => Apart::Rows,
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let rank = x.shape.len();
        let axes = self.axes_for(inputs)?;
        let shape: Vec<usize> = (0..rank)
            .filter(|i| self.keep || !axes.contains(i))
            .map(|i| if axes.contains(&i) { 1 } else { x.shape[i] })
            .collect();
        if let Some(host) = &x.host {
            check_host_size(&shape)?;
            let made = on_host(host, &axes, self.how, &shape)?;
            return Ok(Resolved::known(made));
        }
        if !x.kind.is_float() {
            // Exact on the host.
            inputs.value(0, "what is reduced")?;
        }
        let kernel = Reduce {
            how: self.how,
            axes,
        };
        Ok(Resolved::typed(kernel, shape, x.kind))
    }
}

impl Reduction {
    /// The axes that are reduced, in order.
    fn axes_for(&self, inputs: &Operands<'_>) -> Result<Vec<usize>, Refused> {
        let rank = inputs.input(0)?.shape.len();
        let stated = match &self.axes {
            Some(axes) => axes.clone(),
            None => inputs.optional_list(1, "the axes")?.unwrap_or_default(),
        };
        Ok(match stated.is_empty() {
            false => axes_of(&stated, rank)?,
            true if self.empty_is_identity => Vec::new(),
            true => (0..rank).collect(),
        })
    }
}

/// Over `axes` of the input.
#[derive(Debug)]
pub(super) struct Reduce {
    pub how: How,
    pub axes: Vec<usize>,
}

impl Kernel for Reduce {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0);
        let axes = self.axes.as_slice();
        // Even without axes the function of a single number is applied.
        let y = at_rank!(x, x => reduced(x, axes, self.how));
        vec![y.into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let (read, made) = (shapes.read(0), shapes.made());
        // What is done to each number before, and to each result.
        let (before, after) = match self.how {
            How::Sum | How::Max | How::Min | How::Product => (0, 0),
            How::Mean | How::LogSum => (0, 1),
            How::L1 | How::SumSquare => (1, 0),
            How::L2 => (1, 1),
            // The largest is taken out.
            How::LogSumExp => (3, 2),
        };
        Some((1 + before) * read + after * made)
    }
}

fn reduced<const D: usize>(x: Tensor<D>, axes: &[usize], how: How) -> Tensor<D> {
    let sum = |x: Tensor<D>| axes.iter().fold(x, |x, &axis| x.sums_along(axis));
    match how {
        How::Mean => axes.iter().fold(x, |x, &axis| x.means_along(axis)),
        How::Sum => sum(x),
        How::Max => axes.iter().fold(x, |x, &axis| x.maxima_along(axis)),
        How::Min => axes.iter().fold(x, |x, &axis| x.minima_along(axis)),
        How::Product => axes.iter().fold(x, |x, &axis| product(x, axis)),
        How::L1 => sum(x.abs()),
        How::L2 => {
            let squares = sum(x.clone() * x);
            let zero = squares.clone().equal_scalar(0.0);
            squares
                .mask_fill(zero.clone(), 1.0)
                .sqrt()
                .mask_fill(zero, 0.0)
        }
        How::SumSquare => sum(x.clone() * x),
        How::LogSum => sum(x).log(),
        How::LogSumExp => {
            let largest = axes.iter().fold(x.clone(), |x, &axis| x.maxima_along(axis));
            // Infinities cannot be subtracted.
            let largest = largest.without_autodiff().clamp(f32::MIN, f32::MAX);
            sum((x - largest.clone()).exp()).log() + largest
        }
    }
}

/// Halves are multiplied until one number is left, so that zeros have a gradient.
fn product<const D: usize>(mut x: Tensor<D>, axis: usize) -> Tensor<D> {
    loop {
        let len = x.dims()[axis];
        if len <= 1 {
            return x;
        }
        let half = len / 2;
        let low = x.clone().narrow(axis, 0, half);
        let high = x.clone().narrow(axis, half, half);
        let mut next = low * high;
        if len % 2 == 1 {
            next = Tensor::cat(vec![next, x.narrow(axis, len - 1, 1)], axis);
        }
        x = next;
    }
}

fn on_host(
    host: &HostTensor,
    axes: &[usize],
    how: How,
    shape: &[usize],
) -> Result<HostTensor, Refused> {
    let from = host.shape();
    let kept: Vec<usize> = (0..from.len()).filter(|i| !axes.contains(i)).collect();
    let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let inner: usize = axes.iter().map(|&a| from[a]).product();
    let outer: usize = kept.iter().map(|&a| from[a]).product();
    let moved = host.permute(&order);
    let kind = host.element_type();
    let groups = |outer: usize| (0..outer).map(move |i| i * inner..(i + 1) * inner);
    if kind == ElementType::Bool {
        let values = moved.bools()?;
        let found = groups(outer).map(|range| match how {
            How::Max => Ok(values[range].iter().any(|&v| v)),
            How::Min => Ok(values[range].iter().all(|&v| v)),
            _ => Err("booleans have a largest and a smallest, and no more"),
        });
        let found = found.collect::<Result<Vec<bool>, _>>()?;
        return Ok(HostTensor::of_bools(shape, found)?);
    }
    if kind.is_int() {
        let values = moved.ints()?;
        let (lowest, highest) = kind.range();
        let unsigned = kind == ElementType::U64;
        let found = groups(outer).map(|range| {
            let v = &values[range];
            let sum = || v.iter().fold(0_i64, |s, &v| s.wrapping_add(v));
            let float = |f: f64| f as i64;
            match how {
                How::Sum => sum(),
                How::Mean => sum() / v.len().max(1) as i64,
                How::Max if unsigned => v.iter().map(|&v| v as u64).max().unwrap_or(0) as i64,
                How::Min if unsigned => {
                    v.iter().map(|&v| v as u64).min().unwrap_or(u64::MAX) as i64
                }
                How::Max => v.iter().copied().max().unwrap_or(lowest),
                How::Min => v.iter().copied().min().unwrap_or(highest),
                How::Product => v.iter().fold(1_i64, |s, &v| s.wrapping_mul(v)),
                How::L1 => v
                    .iter()
                    .fold(0_i64, |s, &v| s.wrapping_add(v.wrapping_abs())),
                How::SumSquare => v
                    .iter()
                    .fold(0_i64, |s, &v| s.wrapping_add(v.wrapping_mul(v))),
                How::L2 => {
                    let squares: f64 = v.iter().map(|&v| (v as f64) * (v as f64)).sum();
                    float(squares.sqrt())
                }
                How::LogSum => float((sum() as f64).ln()),
                How::LogSumExp => float(v.iter().map(|&v| (v as f64).exp()).sum::<f64>().ln()),
            }
        });
        return Ok(HostTensor::of_ints(kind, shape, found.collect())?);
    }
    let values = moved.floats();
    let found = groups(outer).map(|range| {
        let v = &values[range];
        let sum = |f: &dyn Fn(f64) -> f64| v.iter().map(|&v| f(f64::from(v))).sum::<f64>();
        let made = match how {
            How::Sum => sum(&|v| v),
            How::Mean => sum(&|v| v) / v.len() as f64,
            How::Max => v
                .iter()
                .fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v))),
            How::Min => v.iter().fold(f64::INFINITY, |m, &v| m.min(f64::from(v))),
            How::Product => v.iter().map(|&v| f64::from(v)).product(),
            How::L1 => sum(&f64::abs),
            How::L2 => sum(&|v| v * v).sqrt(),
            How::SumSquare => sum(&|v| v * v),
            How::LogSum => sum(&|v| v).ln(),
            How::LogSumExp => {
                let largest = v
                    .iter()
                    .fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
                match largest.is_finite() {
                    true => sum(&|v| (v - largest).exp()).ln() + largest,
                    false => largest,
                }
            }
        };
        made as f32
    });
    Ok(HostTensor::of_floats(kind, shape, found.collect())?)
}
