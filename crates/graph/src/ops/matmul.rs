//! `MatMul`: products of matrices, stacked as numpy stacks them. Microsoft's `FusedMatMul` transposes
//! its factors and scales the product.

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind, matmul};

use super::transpose::permuted;
use crate::activation::{Activation, IntoView, at_rank};
use crate::attributes::Attributes;
use crate::host::{HostTensor, broadcast};
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, Weighted, Weights, aligned, check_host_size, check_work, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("MatMul", 1, |_| Ok(Arc::new(MatMul))),
    Entry::of("com.microsoft", "FusedMatMul", read_fused),
];

/// The methods of [`Weighted`](crate::operator::Weighted) of operators whose weight is a matrix.
macro_rules! dense_weights {
    () => {
        fn linear(
            &self,
            x: $crate::activation::Activation,
            weight: &$crate::activation::Activation,
            bias: Option<&$crate::activation::Activation>,
        ) -> $crate::activation::Activation {
            $crate::ops::matmul::dense(x, weight, bias)
        }

        fn transpose(
            &self,
            g: $crate::activation::Activation,
            weight: &$crate::activation::Activation,
            input: &[usize],
        ) -> $crate::activation::Activation {
            $crate::ops::matmul::dense_transpose(g, weight, input)
        }

        fn scale_outputs(
            &self,
            weight: $crate::activation::Activation,
            factor: $crate::activation::Activation,
        ) -> $crate::activation::Activation {
            $crate::ops::matmul::scale_columns(weight, factor)
        }
    };
}
pub(super) use dense_weights;

#[derive(Debug)]
struct MatMul;

impl Operator for MatMul {
    facts!(kind: OpKind::MatMul);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [false, true] => Algebra::Dense,
            [true, false] => Algebra::Mixture,
            _ => Algebra::Product,
        }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        let rank = |slot| inputs.optional(slot).map_or(0, |known| known.shape.len());
        match (rank(0), rank(1)) {
            (2.., 2) => Apart::Rows,
            (3.., _) | (_, 3..) => Apart::Stacks,
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let (a, b) = (inputs.input(0)?, inputs.input(1)?);
        if a.kind != b.kind {
            return Err(format!("cannot multiply {} by {}", a.kind, b.kind).into());
        }
        let (factors, shape) = product(&a.shape, &b.shape)?;
        if a.kind.is_int() {
            let a = inputs.value(0, "integers to be multiplied")?;
            let b = inputs.value(1, "integers to be multiplied")?;
            return Ok(Resolved::known(integers(a, b, &factors, &shape)?));
        }
        inputs.operand(0)?;
        inputs.operand(1)?;
        Ok(Resolved::typed(factors, shape, a.kind))
    }
}

/// The product of integers, wrapped to their width.
pub(super) fn integers(
    a: &HostTensor,
    b: &HostTensor,
    factors: &Factors,
    shape: &[usize],
) -> Result<HostTensor, Refused> {
    check_host_size(shape)?;
    let rank = factors.a.len();
    let (stack_a, matrix_a) = factors.a.split_at(rank - 2);
    let (stack_b, matrix_b) = factors.b.split_at(rank - 2);
    let (&[m, k], &[_, n]) = (matrix_a, matrix_b) else {
        return Err("matrices have two axes".into());
    };
    let stack = broadcast(stack_a, stack_b).ok_or("stacks that do not broadcast")?;
    let work: Vec<usize> = stack.iter().copied().chain([m, n, k]).collect();
    check_work(&work)?;
    let whole = |host: &HostTensor, view: &[usize], matrix: &[usize]| {
        let full: Vec<usize> = stack.iter().chain(matrix).copied().collect();
        check_host_size(&full)?;
        Ok::<_, Refused>(host.reshape(view)?.expand(&full)?.ints()?)
    };
    let left = whole(a, &factors.a, matrix_a)?;
    let right = whole(b, &factors.b, matrix_b)?;
    let count: usize = stack.iter().product();
    let mut values = Vec::with_capacity(count * m * n);
    for s in 0..count {
        let (left, right) = (
            &left[s * m * k..(s + 1) * m * k],
            &right[s * k * n..(s + 1) * k * n],
        );
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|t| left[i * k + t].wrapping_mul(right[t * n + j]));
                values.push(terms.fold(0, i64::wrapping_add));
            }
        }
    }
    Ok(HostTensor::of_ints(a.element_type(), shape, values)?)
}

fn read_fused(a: &Attributes) -> Result<Arc<dyn Operator>, String> {
    let side = |name: &str, batch: &str| Side {
        transpose: a.flag(name),
        stack: a.flag(batch),
    };
    Ok(Arc::new(FusedMatMul {
        sides: [side("transA", "transBatchA"), side("transB", "transBatchB")],
        alpha: a.float_or("alpha", 1.0),
    }))
}

/// How a factor is rearranged before it is multiplied.
#[derive(Debug, Clone, Copy)]
struct Side {
    /// Whether the last two axes change places.
    transpose: bool,
    /// Whether the rows are the first axis, before those of the stack.
    stack: bool,
}

impl Side {
    fn is_plain(self) -> bool {
        !self.transpose && !self.stack
    }

    /// The order of the axes of a factor.
    fn order(self, rank: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..rank).collect();
        // A vector has nothing to transpose.
        if self.stack && rank > 2 {
            order[..rank - 1].rotate_left(1);
        }
        if self.transpose && rank > 1 {
            order.swap(rank - 2, rank - 1);
        }
        order
    }
}

#[derive(Debug)]
struct FusedMatMul {
    sides: [Side; 2],
    alpha: f32,
}

impl Operator for FusedMatMul {
    facts!(kind: "com.microsoft.FusedMatMul");

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [false, true] if self.sides[0].is_plain() => Algebra::Dense,
            [false, true] | [true, false] => Algebra::Mixture,
            _ => Algebra::Product,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let mut orders = Vec::new();
        let mut shapes = Vec::new();
        for (slot, side) in self.sides.iter().enumerate() {
            let shape = &inputs.operand(slot)?.shape;
            let order = side.order(shape.len());
            shapes.push(order.iter().map(|&axis| shape[axis]).collect::<Vec<_>>());
            orders.push(order);
        }
        let (factors, shape) = product(&shapes[0], &shapes[1])?;
        let kernel = Rearranged {
            rows: self.sides[0].is_plain(),
            orders,
            factors,
            alpha: self.alpha,
        };
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

/// The product of factors with their axes in these orders.
#[derive(Debug)]
struct Rearranged {
    /// Whether the rows of the first factor stay rows.
    rows: bool,
    orders: Vec<Vec<usize>>,
    factors: Factors,
    alpha: f32,
}

impl Kernel for Rearranged {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let mut factor = |slot: usize| Some(self.arranged(inputs.take(slot), slot));
        let factors = Slots::new(vec![factor(0), factor(1)]);
        let mut made = self.factors.run(factors, outputs);
        if self.alpha != 1.0 {
            made = made
                .into_iter()
                .map(|y| (y.untyped() * self.alpha).into())
                .collect();
        }
        made
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let scaled = if self.alpha == 1.0 { 0 } else { shapes.made() };
        Some(self.factors.flops(shapes)? + scaled)
    }

    fn weighted(&self) -> Option<&dyn Weighted> {
        self.rows.then_some(self as &dyn Weighted)
    }
}

impl Rearranged {
    /// A factor with its axes in the order in which it is multiplied.
    fn arranged(&self, x: Activation, side: usize) -> Activation {
        let order = &self.orders[side];
        if order.len() < 2 {
            x
        } else {
            permuted(x, order)
        }
    }
}

impl Weighted for Rearranged {
    fn is_weighted(&self, constant: &[bool]) -> bool {
        self.factors.is_weighted(constant)
    }

    fn weights(&self, mut inputs: Slots) -> Option<Weights> {
        let weight = self.arranged(inputs.maybe(1)?, 1).untyped() * self.alpha;
        let b = &self.factors.b;
        Some(Weights {
            weight: Activation::from(weight).into_view(&b[b.len() - 2..]),
            bias: None,
        })
    }

    dense_weights!();
}

/// The kernel for factors of these shapes, and the product's shape.
pub(super) fn product(a: &[usize], b: &[usize]) -> Result<(Factors, Vec<usize>), Refused> {
    let fail = || Refused::from(format!("cannot multiply {a:?} by {b:?}"));
    if a.is_empty() || b.is_empty() {
        return Err(fail());
    }
    let left = if a.len() == 1 {
        vec![1, a[0]]
    } else {
        a.to_vec()
    };
    let right = if b.len() == 1 {
        vec![b[0], 1]
    } else {
        b.to_vec()
    };
    let (l, r) = (left.len(), right.len());
    if left[l - 1] != right[r - 2] {
        return Err(fail());
    }
    let mut shape = broadcast(&left[..l - 2], &right[..r - 2]).ok_or_else(fail)?;
    let rank = shape.len() + 2;
    if a.len() > 1 {
        shape.push(left[l - 2]);
    }
    if b.len() > 1 {
        shape.push(right[r - 1]);
    }
    let factors = Factors {
        a: aligned(&left, rank),
        b: aligned(&right, rank),
        of_vectors: a.len() == 1 || b.len() == 1,
    };
    Ok((factors, shape))
}

/// Operands viewed with these shapes of equal rank.
#[derive(Debug)]
pub(super) struct Factors {
    a: Vec<usize>,
    b: Vec<usize>,
    /// Whether one of them is a vector, whose second axis is not one of the product.
    of_vectors: bool,
}

impl Kernel for Factors {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let a = inputs.take(0).into_view(&self.a);
        let b = inputs.take(1).into_view(&self.b);
        let y = at_rank!(a, a => matmul(a, b.into_cast()));
        vec![y.into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let inner = self.a.last().copied().unwrap_or(0) as u64;
        Some(2 * shapes.made() * inner)
    }

    fn weighted(&self) -> Option<&dyn Weighted> {
        Some(self)
    }
}

impl Weighted for Factors {
    fn is_weighted(&self, constant: &[bool]) -> bool {
        let plain = matches!(constant, [false, true]) && !self.of_vectors;
        plain && self.b.iter().rev().skip(2).all(|&size| size == 1)
    }

    fn weights(&self, mut inputs: Slots) -> Option<Weights> {
        Some(Weights {
            weight: inputs.maybe(1)?.into_view(&self.b[self.b.len() - 2..]),
            bias: None,
        })
    }

    dense_weights!();
}

/// Each row of `x` times a matrix `[inputs, outputs]`, plus a bias that broadcasts to the rows.
pub(super) fn dense(x: Activation, weight: &Activation, bias: Option<&Activation>) -> Activation {
    let mut shape = x.shape();
    let weight = weight.clone().into_cast::<2>();
    let [inner, outer] = weight.dims();
    let rows = shape.iter().product::<usize>() / inner.max(1);
    let product = matmul(x.into_view(&[rows, inner]).into_cast::<2>(), weight);
    let y = match bias {
        Some(bias) => {
            let stated = bias.shape();
            let width = stated.last().copied().unwrap_or(1);
            let height = stated.iter().product::<usize>() / width.max(1);
            product + bias.clone().into_view(&[height, width]).into_cast::<2>()
        }
        None => product,
    };
    if let Some(last) = shape.last_mut() {
        *last = outer;
    }
    y.into_view(&shape)
}

/// The transpose of [`dense`] without a bias.
pub(super) fn dense_transpose(g: Activation, weight: &Activation, input: &[usize]) -> Activation {
    let weight = weight.clone().into_cast::<2>();
    let outer = weight.dims()[1];
    let rows = g.shape().iter().product::<usize>() / outer.max(1);
    let g = g.into_view(&[rows, outer]).into_cast::<2>();
    matmul(g, weight.transpose()).into_view(input)
}

/// Each column of a matrix `[inputs, outputs]` times a factor.
pub(super) fn scale_columns(weight: Activation, factor: Activation) -> Activation {
    let outputs = weight.shape()[1];
    let factor = factor.into_view(&[1, outputs]).untyped();
    (weight.untyped() * factor).into()
}
