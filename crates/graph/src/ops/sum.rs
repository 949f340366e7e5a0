//! Any number of inputs that broadcast: their sum, mean, largest and smallest.
//!
//! Of equal largest or smallest numbers the first has the whole derivative.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind};

use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor, broadcast};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, aligned, check_host_size, do_not_broadcast, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Sum", 1, |a| read(a, "Sum", How::Sum)),
    Entry::onnx("Mean", 1, |a| read(a, "Mean", How::Mean)),
    Entry::onnx("Max", 1, |a| read(a, "Max", How::Largest)),
    Entry::onnx("Min", 1, |a| read(a, "Min", How::Smallest)),
];

fn read(_: &Attributes, kind: &'static str, how: How) -> Result<Arc<dyn Operator>, String> {
    let kind = OpKind::new(kind);
    Ok(Arc::new(Combine { kind, how }))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Sum,
    Mean,
    Largest,
    Smallest,
}

#[derive(Debug, Clone, Copy)]
struct Combine {
    kind: OpKind,
    how: How,
}

impl Combine {
    fn on_host(self, parts: &[&HostTensor], shape: &[usize]) -> Result<HostTensor, String> {
        let mut total = parts[0].expand(shape)?;
        for part in &parts[1..] {
            let kind = total.element_type();
            let is_int = kind.is_int();
            total = match (self.how, is_int) {
                (How::Sum | How::Mean, true) => total.zip_ints(part, shape, i64::wrapping_add)?,
                (How::Sum | How::Mean, false) => total.zip_floats(part, shape, |x, y| x + y)?,
                (How::Largest, true) if kind == ElementType::U64 => {
                    total.zip_ints(part, shape, |x, y| (x as u64).max(y as u64) as i64)?
                }
                (How::Smallest, true) if kind == ElementType::U64 => {
                    total.zip_ints(part, shape, |x, y| (x as u64).min(y as u64) as i64)?
                }
                (How::Largest, true) => total.zip_ints(part, shape, i64::max)?,
                (How::Smallest, true) => total.zip_ints(part, shape, i64::min)?,
                (How::Largest, false) => total.zip_floats(part, shape, larger)?,
                (How::Smallest, false) => total.zip_floats(part, shape, smaller)?,
            };
        }
        match self.how {
            How::Mean => total.map_floats(|v| v / parts.len() as f32),
            _ => Ok(total),
        }
    }
}

/// What is no number stays none.
fn larger(x: f32, y: f32) -> f32 {
    if x.is_nan() || x > y { x } else { y }
}

fn smaller(x: f32, y: f32) -> f32 {
    if x.is_nan() || x < y { x } else { y }
}

impl Operator for Combine {
    facts!(kind: .kind, apart: Stacks);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        let several = constant.iter().filter(|c| !**c).count() > 1;
        match self.how {
            How::Sum | How::Mean => Algebra::Sum,
            // The larger of a number and a constant is a rectifier.
            _ if !several => Algebra::Activation,
            How::Largest => Algebra::Maximum,
            How::Smallest => Algebra::Minimum,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let first = inputs.input(0)?;
        let mut shape = first.shape.clone();
        for i in 1..inputs.len() {
            let other = inputs.input(i)?;
            if other.kind != first.kind {
                let (a, b) = (first.kind, other.kind);
                return Err(format!("cannot combine {a} with {b}").into());
            }
            shape = broadcast(&shape, &other.shape)
                .ok_or_else(|| do_not_broadcast(&shape, &other.shape))?;
        }
        if first.kind == ElementType::Bool {
            return Err("input 0 holds booleans, expected numbers".into());
        }
        if first.kind.is_int() {
            if self.how == How::Mean {
                return Err(format!("input 0 holds {}, expected floats", first.kind).into());
            }
            // Exact on the host.
            for i in 0..inputs.len() {
                inputs.value(i, "integers to be computed with")?;
            }
        }
        if let Some(parts) = inputs.all_host() {
            check_host_size(&shape)?;
            return Ok(Resolved::known(self.on_host(&parts, &shape)?));
        }
        Ok(Resolved::typed(*self, shape, first.kind))
    }
}

impl Kernel for Combine {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let shape = &outputs[0].shape;
        let count = inputs.len();
        let parts = inputs.all().map(|part| {
            let view = aligned(&part.shape(), shape.len());
            part.into_view(&view).untyped()
        });
        let total: Option<Tensor<1>> = parts.reduce(|a, b| match self.how {
            How::Sum | How::Mean => a + b,
            How::Largest => a.max_pair(b),
            How::Smallest => a.min_pair(b),
        });
        let total = total.expect("resolving checked that there is an input");
        let total = match self.how {
            How::Mean => total / count as f32,
            _ => total,
        };
        vec![Activation::from(total).into_view(shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let mean = u64::from(matches!(self.how, How::Mean));
        Some((shapes.given() as u64 - 1 + mean) * shapes.made())
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.broadcast()
    }
}
