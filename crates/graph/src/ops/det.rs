//! `Det`: determinants of stacked square matrices.
//!
//! Up to 4 rows without any division (R. S. Bird, *A simple division-free algorithm for computing
//! determinants*, 2011), so that a singular matrix has its derivative, too; beyond that by elimination
//! with the largest pivot of each column, where the derivative at a singular matrix is not defined.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};

use crate::activation::{Activation, IntoView};
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Slots, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Det", 11, |_| Ok(Arc::new(Det)))];

/// Numbers of rows up to which no division is needed; beyond, the sums cancel too much.
const WITHOUT_DIVISION: usize = 4;

#[derive(Debug)]
struct Det;

impl Operator for Det {
    facts!(kind: "Det", algebra: Other);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        match x.shape.as_slice() {
            [stack @ .., rows, columns] if rows == columns => {
                let kernel = Determinant {
                    view: [stack.iter().product(), *rows, *rows],
                };
                Ok(Resolved::typed(kernel, stack.to_vec(), x.kind))
            }
            other => Err(format!("input has shape {other:?}, expected square matrices").into()),
        }
    }
}

/// Of each matrix of a stack.
#[derive(Debug)]
struct Determinant {
    view: [usize; 3],
}

impl Kernel for Determinant {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).into_view(&self.view).into_cast::<3>();
        let found = match self.view[1] <= WITHOUT_DIVISION {
            true => without_division(x),
            false => by_elimination(x),
        };
        vec![found.into_view(&outputs[0].shape)]
    }
}

/// `F = M(F) A`, `n - 1` times from `F = A`: the first element is the determinant, up to its sign.
/// `M(F)` holds what is above the diagonal of `F`, and on the diagonal the negative sums of the
/// diagonal elements of `F` further down.
fn without_division(a: Tensor<3>) -> Tensor<3> {
    let [stack, n, _] = a.dims();
    let device = a.device();
    let matrix = |value: &dyn Fn(usize, usize) -> f32| {
        let values = (0..n * n).map(|i| value(i / n, i % n)).collect();
        let matrix = Activation::from_host(values, &[1, n, n], &device);
        matrix.into_cast::<3>()
    };
    let above = matrix(&|i, j| f32::from(u8::from(j > i)));
    let diagonal = matrix(&|i, j| f32::from(u8::from(j == i)));
    let further = matrix(&|i, j| -f32::from(u8::from(j > i)));
    let mut f = a.clone();
    for _ in 1..n {
        let trace = (f.clone() * diagonal.clone()).sum_dim(2);
        let sums = further.clone().expand([stack, n, n]).matmul(trace);
        f = (f * above.clone() + sums * diagonal.clone()).matmul(a.clone());
    }
    let first = f.narrow(1, 0, 1).narrow(2, 0, 1);
    if n.is_multiple_of(2) { -first } else { first }
}

/// The product of pivots. In each column, the row of the largest number changes places with the first.
fn by_elimination(mut a: Tensor<3>) -> Tensor<3> {
    let [stack, rows, _] = a.dims();
    let mut product: Option<Tensor<3>> = None;
    for n in (2..=rows).rev() {
        let column = a.clone().narrow(2, 0, 1);
        let chosen = column.clone().without_autodiff().abs().argmax(1);
        let places = Tensor::<1, Int>::arange(0..n as i64, &a.device()).reshape([1, n, 1]);
        let places = places.expand([stack, n, 1]);
        let is_pivot = places.equal(chosen.clone().expand([stack, n, 1])).float();
        let sign = chosen.equal_elem(0).float() * 2.0 - 1.0;
        let pivot_row = (a.clone() * is_pivot.clone()).sum_dim(1);
        let first_row = a.clone().narrow(1, 0, 1);
        let swapped = a + is_pivot * (first_row - pivot_row.clone());
        let pivot = pivot_row.clone().narrow(2, 0, 1);
        let factor = pivot.clone() * sign;
        product = Some(match product {
            None => factor,
            Some(so_far) => so_far * factor,
        });
        let below = swapped.narrow(1, 1, n - 1);
        // Where all of a column is 0, so is the determinant, and what is left does not matter.
        let is_zero = pivot.clone().without_autodiff().equal_elem(0.0);
        let multiples = below.clone().narrow(2, 0, 1) / pivot.mask_fill(is_zero, 1.0);
        let rest = below.narrow(2, 1, n - 1);
        a = rest - multiples * pivot_row.narrow(2, 1, n - 1);
    }
    match product {
        Some(product) => product * a,
        None => a,
    }
}
