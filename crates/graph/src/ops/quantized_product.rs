//! Convolutions and matrix products of small integers: `ConvInteger` and `MatMulInteger`, which make
//! 32-bit integers, and `QLinearConv` and `QLinearMatMul`, which round the result to small integers again.
//!
//! They are the operators of floating-point numbers on `x - zero point`. Sums in single precision are
//! exact as long as they stay below 2^24, as for products of bytes they do over some hundred terms at
//! worst and thousands as weights are; beyond it they are rounded to their leading 24 bits. Rounding to
//! small integers has the derivative of the identity inside of their range and none outside.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind};

use super::steps::{rounded, small};
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::{ElementType, broadcast};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, aligned, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("ConvInteger", 10, |a| {
        read(a, "ConvInteger", "Conv", true, false)
    }),
    Entry::onnx("MatMulInteger", 10, |a| {
        read(a, "MatMulInteger", "MatMul", false, false)
    }),
    Entry::onnx("QLinearConv", 10, |a| {
        read(a, "QLinearConv", "Conv", true, true)
    }),
    Entry::onnx("QLinearMatMul", 10, |a| {
        read(a, "QLinearMatMul", "MatMul", false, true)
    }),
];

fn read(
    a: &Attributes,
    kind: &'static str,
    of_floats: &str,
    convolves: bool,
    rounds: bool,
) -> Result<Arc<dyn Operator>, String> {
    let mut entries = super::entries();
    let entry = entries.find(|entry| entry.domain.is_empty() && entry.name == of_floats);
    let parse = entry.ok_or("the operator of floats is not known")?.parse;
    Ok(Arc::new(Product {
        kind: OpKind::new(kind),
        of_floats: parse(a)?,
        convolves,
        rounds,
    }))
}

#[derive(Debug)]
struct Product {
    kind: OpKind,
    /// The same operator on floating-point numbers.
    of_floats: Arc<dyn Operator>,
    /// Whether it is a convolution.
    convolves: bool,
    /// Whether the result is rounded to small integers again.
    rounds: bool,
}

impl Product {
    /// The slots of both factors and of their zero points.
    fn slots(&self) -> ([usize; 2], [usize; 2]) {
        match self.rounds {
            true => ([0, 3], [2, 5]),
            false => ([0, 1], [2, 3]),
        }
    }
}

impl Operator for Product {
    facts!(kind: .kind);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        let ([_, weight], _) = self.slots();
        let others = constant
            .iter()
            .enumerate()
            .filter(|(slot, _)| *slot != weight);
        match (constant.get(weight), others.skip(1).all(|(_, c)| *c)) {
            // The weights are integers, so it is none of the operators that have weights for rules.
            (Some(true), true) => Algebra::Other,
            _ => Algebra::Product,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (factors, zeros) = self.slots();
        let mut known = Vec::new();
        for slot in factors {
            let factor = inputs.input(slot)?;
            if !matches!(factor.kind, ElementType::I8 | ElementType::U8) {
                let kind = factor.kind;
                return Err(format!("input {slot} holds {kind}, expected 8-bit integers").into());
            }
            known.push(Some(Known::activation(factor.shape.clone())));
        }
        let inner = Operands::new(&known, 1, inputs.batch());
        let mut resolved = self.of_floats.resolve(&inner)?;
        let (Some(product), Some(made)) = (resolved.kernel.take(), resolved.outputs.pop()) else {
            return Err("the product of its inputs is not computed".into());
        };
        let shape = made.shape.clone();
        let shapes = factors.map(|slot| inputs.optional(slot).map(|k| k.shape.clone()));
        let [left, right] = shapes.map(Option::unwrap_or_default);
        let mut views = Vec::new();
        for (side, slot) in zeros.into_iter().enumerate() {
            let of = if side == 0 { &left } else { &right };
            views.push(match inputs.optional(slot) {
                None => None,
                Some(zero) if zero.kind.is_int() => Some(self.view(side, slot, &zero.shape, of)?),
                Some(zero) => {
                    return Err(
                        format!("input {slot} holds {}, expected integers", zero.kind).into(),
                    );
                }
            });
        }
        let mut kernel = Integers {
            product,
            made,
            factors,
            zeros,
            views: [views[0].clone(), views[1].clone()],
            bias: None,
            rounding: None,
        };
        if !self.rounds {
            return Ok(Resolved::typed(kernel, shape, ElementType::I32));
        }
        let mut scales = Vec::new();
        for (side, slot) in [1, 4, 6].into_iter().enumerate() {
            let stated = &inputs.floats(slot)?.shape;
            let view = match (self.convolves, side) {
                (true, 1) if stated.len() == 1 => self.channels(slot, stated[0], &shape)?,
                _ => self.view(side, slot, stated, &shape)?,
            };
            if broadcast(&shape, &view).as_deref() != Some(&shape) {
                return Err(format!("input {slot} has shape {stated:?}: too many scales").into());
            }
            scales.push(aligned(&view, shape.len()));
        }
        let kind = match inputs.optional(7) {
            Some(zero) => small(zero.kind)?,
            None => inputs.input(0)?.kind,
        };
        let zero = match inputs.optional(7) {
            None => None,
            Some(zero) => {
                let view = self.view(2, 7, &zero.shape, &shape)?;
                if broadcast(&shape, &view).as_deref() != Some(&shape) {
                    return Err(format!("input 7 has shape {:?}", zero.shape).into());
                }
                Some(aligned(&view, shape.len()))
            }
        };
        if let Some(bias) = inputs.optional(8) {
            let stated = &bias.shape;
            if !bias.kind.is_int() || stated.len() != 1 {
                return Err(format!("the bias has shape {stated:?}, expected [O]").into());
            }
            kernel.bias = Some(self.channels(8, stated[0], &shape)?);
        }
        kernel.rounding = Some(Rounding { scales, zero, kind });
        Ok(Resolved::typed(kernel, shape, kind))
    }
}

impl Product {
    /// One number for each channel of a convolution's output.
    fn channels(&self, slot: usize, count: usize, shape: &[usize]) -> Result<Vec<usize>, Refused> {
        let channels = shape.get(1).copied().unwrap_or(1);
        if count != 1 && count != channels {
            return Err(
                format!("input {slot} holds {count} numbers for {channels} channels").into(),
            );
        }
        let mut view = vec![1; shape.len()];
        if let Some(view) = view.get_mut(1) {
            *view = count;
        }
        Ok(view)
    }

    /// How scales or zero points `stated` are seen so that they broadcast to a factor or result `of`:
    /// one, one for each row (`side` 0 and 2), one for each column (1), or for each channel.
    fn view(
        &self,
        side: usize,
        slot: usize,
        stated: &[usize],
        of: &[usize],
    ) -> Result<Vec<usize>, Refused> {
        let view = match stated {
            [] | [1] => vec![1; of.len()],
            // The weights' output channels come first.
            [count] if self.convolves && side == 1 => {
                let mut view = vec![1; of.len()];
                if let Some(first) = view.first_mut() {
                    *first = *count;
                }
                view
            }
            [count] if side == 1 => vec![*count],
            [count] => vec![*count, 1],
            several => several.to_vec(),
        };
        match broadcast(of, &view).as_deref() == Some(of) {
            true => Ok(aligned(&view, of.len())),
            false => Err(format!("input {slot} has shape {stated:?}, for {of:?}").into()),
        }
    }
}

/// How a product is rounded to small integers.
#[derive(Debug)]
struct Rounding {
    /// Views of the scales of both factors and of the result.
    scales: Vec<Vec<usize>>,
    zero: Option<Vec<usize>>,
    kind: ElementType,
}

#[derive(Debug)]
struct Integers {
    product: Arc<dyn Kernel>,
    /// What it makes.
    made: Known,
    factors: [usize; 2],
    zeros: [usize; 2],
    /// Views of the zero points.
    views: [Option<Vec<usize>>; 2],
    bias: Option<Vec<usize>>,
    rounding: Option<Rounding>,
}

impl Kernel for Integers {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let mut factor = |side: usize| -> Activation {
            let x = inputs.take(self.factors[side]);
            match (inputs.maybe(self.zeros[side]), &self.views[side]) {
                (Some(zero), Some(view)) => (x.untyped() - zero.into_view(view).untyped()).into(),
                _ => x,
            }
        };
        let factors = Slots::new(vec![Some(factor(0)), Some(factor(1))]);
        let made = std::slice::from_ref(&self.made);
        let mut made = self.product.run(factors, made);
        let Some(product) = made.pop() else {
            return made;
        };
        let rank = product.shape().len();
        let mut sum = product.untyped();
        let mut seen = |slot: usize, view: &[usize]| -> Option<Tensor<1>> {
            let view = aligned(view, rank);
            inputs.maybe(slot).map(|x| x.into_view(&view).untyped())
        };
        if let Some(bias) = self.bias.as_ref().and_then(|view| seen(8, view)) {
            sum = sum + bias;
        }
        let Some(rounding) = &self.rounding else {
            return vec![sum.into()];
        };
        let scales = [1, 4, 6].into_iter().zip(&rounding.scales);
        let scales: Vec<Tensor<1>> = scales.filter_map(|(slot, view)| seen(slot, view)).collect();
        let [left, right, result] = scales.as_slice() else {
            return vec![sum.into()];
        };
        let steps = sum * (left.clone() * right.clone() / result.clone());
        let zero = rounding.zero.as_ref().and_then(|view| seen(7, view));
        vec![rounded(steps, zero, rounding.kind).into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let of = |slot: usize| shapes.input(slot).map(<[usize]>::to_vec);
        let factors = self.factors.map(of);
        let product = Shapes::of(factors.to_vec(), std::slice::from_ref(&self.made));
        let zeros = self.factors.iter().zip(&self.views);
        let zeros = zeros.filter(|(_, view)| view.is_some());
        let zeros: u64 = zeros.map(|(slot, _)| shapes.read(*slot)).sum();
        let bias = u64::from(self.bias.is_some());
        // By the scales, rounded, and cut on both sides.
        let rounded = if self.rounding.is_some() { 4 } else { 0 };
        Some(self.product.flops(&product)? + zeros + (bias + rounded) * shapes.made())
    }
}
