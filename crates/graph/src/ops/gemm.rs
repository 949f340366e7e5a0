//! `Gemm`: a product of matrices, and perhaps a bias. Microsoft's `FusedGemm` applies an activation
//! function to it.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind, matmul};

use super::matmul::{integers, product};
use super::named::Named;
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::broadcast;
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, Weighted, Weights, aligned, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Gemm", 1, |a| Ok(Arc::new(read(a)))),
    Entry::of("com.microsoft", "FusedGemm", |a| {
        let mut alphas = a.float("activation_alpha").into_iter();
        let mut betas = a.float("activation_beta").into_iter();
        let name = a.text_or("activation", "");
        Ok(Arc::new(FusedGemm {
            gemm: read(a),
            function: match name {
                "" => None,
                name => Some(Named::read(name, &mut alphas, &mut betas)?),
            },
        }))
    }),
];

fn read(a: &Attributes) -> Gemm {
    Gemm {
        alpha: a.float_or("alpha", 1.0),
        beta: a.float_or("beta", 1.0),
        transpose_a: a.flag("transA"),
        transpose_b: a.flag("transB"),
    }
}

#[derive(Debug, Clone, Copy)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
}

impl Operator for Gemm {
    facts!(kind: OpKind::Gemm);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [false, rest @ ..] if rest.iter().all(|c| *c) && !self.transpose_a => Algebra::Dense,
            [false, true, ..] | [true, false, ..] => Algebra::Mixture,
            _ => Algebra::Product,
        }
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        match self.transpose_a {
            false => Apart::Rows,
            true => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (a, b) = (inputs.input(0)?, inputs.input(1)?);
        if a.kind.is_int() {
            return self.resolve_integers(inputs);
        }
        if a.kind != b.kind {
            return Err(format!("cannot multiply {} by {}", a.kind, b.kind).into());
        }
        let shape = self.shape(inputs)?;
        inputs.operand(0)?;
        inputs.operand(1)?;
        Ok(Resolved::typed(*self, shape.to_vec(), a.kind))
    }
}

impl Gemm {
    /// The shape of the product, when everything fits.
    fn shape(&self, inputs: &Operands<'_>) -> Result<[usize; 2], Refused> {
        let matrix = |slot: usize, transposed: bool| match inputs.input(slot)?.shape.as_slice() {
            &[r, c] if transposed => Ok([c, r]),
            &[r, c] => Ok([r, c]),
            other => Err(Refused::from(format!(
                "input {slot} has shape {other:?}, expected a matrix"
            ))),
        };
        let ([m, k], [k2, n]) = (matrix(0, self.transpose_a)?, matrix(1, self.transpose_b)?);
        if k != k2 {
            return Err(format!("cannot multiply [{m}, {k}] by [{k2}, {n}]").into());
        }
        if let Some(bias) = inputs.optional(2) {
            let c = &bias.shape;
            if broadcast(&[m, n], c).as_deref() != Some(&[m, n]) {
                return Err(format!("{c:?} does not broadcast to [{m}, {n}]").into());
            }
            let kind = inputs.input(0)?.kind;
            if bias.kind != kind {
                return Err(format!("cannot add {} to {kind}", bias.kind).into());
            }
        }
        Ok([m, n])
    }

    /// Exactly, on the host, with factors cut to integers.
    fn resolve_integers(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let shape = self.shape(inputs)?;
        let matrix = |slot: usize, transposed: bool| {
            let host = inputs.value(slot, "integers to be multiplied")?;
            Ok::<_, Refused>(if transposed {
                host.permute(&[1, 0])
            } else {
                host.clone()
            })
        };
        let (a, b) = (matrix(0, self.transpose_a)?, matrix(1, self.transpose_b)?);
        if a.element_type() != b.element_type() {
            let (a, b) = (a.element_type(), b.element_type());
            return Err(format!("cannot multiply {a} by {b}").into());
        }
        let (factors, _) = product(a.shape(), b.shape())?;
        let (alpha, beta) = (self.alpha as i64, self.beta as i64);
        let mut made = integers(&a, &b, &factors, &shape)?.map_ints(|v| v.wrapping_mul(alpha))?;
        if let Some(bias) = inputs.optional_value(2, "integers to be added")? {
            let add = |x: i64, c: i64| x.wrapping_add(beta.wrapping_mul(c));
            made = made.zip_ints(bias, &shape, add)?;
        }
        Ok(Resolved::known(made))
    }
}

impl Kernel for Gemm {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let matrix = |m: Activation, transposed: bool| {
            let m = m.into_cast::<2>();
            if transposed { m.transpose() } else { m }
        };
        let a = matrix(inputs.take(0), self.transpose_a);
        let b = matrix(inputs.take(1), self.transpose_b);
        let mut y = matmul(a, b);
        if self.alpha != 1.0 {
            y = y * self.alpha;
        }
        if let Some(c) = inputs.maybe(2) {
            let view = aligned(&c.shape(), 2);
            let c = c.into_view(&view).into_cast::<2>();
            y = y + if self.beta == 1.0 { c } else { c * self.beta };
        }
        vec![y.into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let inner = shapes.input(0)?.get(usize::from(!self.transpose_a))?;
        let made = shapes.made();
        let scaled = u64::from(self.alpha != 1.0);
        let bias = shapes.input(2).map_or(0, |_| 1 + u64::from(self.beta != 1.0));
        Some(made * (2 * *inner as u64 + scaled + bias))
    }

    fn weighted(&self) -> Option<&dyn Weighted> {
        Some(self)
    }
}

impl Weighted for Gemm {
    fn is_weighted(&self, constant: &[bool]) -> bool {
        !self.transpose_a && constant.iter().skip(1).all(|c| *c)
    }

    fn weights(&self, mut inputs: Slots) -> Option<Weights> {
        let b = inputs.maybe(1)?.into_cast::<2>();
        let b = if self.transpose_b { b.transpose() } else { b };
        let b = if self.alpha == 1.0 { b } else { b * self.alpha };
        Some(Weights {
            weight: b.into(),
            bias: inputs.maybe(2).map(|c| (c.untyped() * self.beta).into()),
        })
    }

    super::matmul::dense_weights!();
}

/// A product of matrices with a function of each number behind it.
#[derive(Debug, Clone, Copy)]
struct FusedGemm {
    gemm: Gemm,
    function: Option<Named>,
}

impl Operator for FusedGemm {
    facts!(kind: "com.microsoft.FusedGemm", algebra: Other);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        inputs.operand(0)?;
        let shape = self.gemm.shape(inputs)?.to_vec();
        inputs.operand(1)?;
        Ok(Resolved::typed(*self, shape, inputs.input(0)?.kind))
    }
}

impl Kernel for FusedGemm {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let made = self.gemm.run(inputs, outputs);
        let Some(function) = self.function else {
            return made;
        };
        let bent = made
            .into_iter()
            .map(|y| function.apply(y.into_cast()).into());
        bent.collect()
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let bent = self.function.map_or(0, |_| shapes.made());
        Some(self.gemm.flops(shapes)? + bent)
    }
}
