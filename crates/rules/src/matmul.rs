//! Products of matrices, shared out among threads where tensors lie in main memory.

use burn::tensor::Tensor;
use elucid_kernels::gemm::{Matrix, stacked};

use crate::host::{Strided, computes_on_host};
use crate::operation::{Binary, Pullbacks, run_binary};

/// Products of matrices, `[..., M, K]` by `[..., K, N]`, whose axes before the last two broadcast; differentiable.
///
/// On burn's CPU backend a kernel of our own runs, unless one is to be differentiated of which there are fewer than products;
/// elsewhere, and for these, burn's.
///
/// # Panics
///
/// When the matrices cannot be multiplied, or the axes before do not broadcast.
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    if D < 2 || !computes_on_host(&a) || !computes_on_host(&b) {
        return a.matmul(b);
    }
    let (shape_a, shape_b) = (a.dims(), b.dims());
    let fits = shape_a[D - 1] == shape_b[D - 2];
    let broadcasts = (0..D - 2).all(|i| {
        let (a, b) = (shape_a[i], shape_b[i]);
        a == b || a == 1 || b == 1
    });
    if !fits || !broadcasts || shape_a.contains(&0) || shape_b.contains(&0) {
        // Which says what is wrong.
        return a.matmul(b);
    }
    // What is differentiated has a matrix for each product.
    let fits = |x: &Tensor<D>, of: [usize; D]| {
        !x.is_tracked() || (0..D - 2).all(|i| of[i] == shape_a[i].max(shape_b[i]))
    };
    match fits(&a, shape_a) && fits(&b, shape_b) {
        true => run_binary([a, b], Product),
        false => a.matmul(b),
    }
}

#[derive(Debug)]
struct Product;

impl Binary for Product {
    fn forward(&self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        product(
            (&Strided::expected(a), false),
            (&Strided::expected(b), false),
        )
    }

    fn forward_with_pullbacks(
        &self,
        a: Tensor<4>,
        b: Tensor<4>,
        live: [bool; 2],
    ) -> (Tensor<4>, Pullbacks) {
        let [a, b] = [a, b].map(Strided::expected);
        let y = product((&a, false), (&b, false));
        // Each is differentiated with the other.
        let [a, b] = [(a, 1), (b, 0)].map(|(x, other)| live[other].then_some(x));
        let pullbacks = Pullbacks::new(move |g| {
            let g = Strided::expected(g);
            [
                b.as_ref().map(|b| product((&g, false), (b, true))),
                a.as_ref().map(|a| product((a, true), (&g, false))),
            ]
        });
        (y, pullbacks)
    }
}

/// The products of two stacks of matrices, each as it is or transposed.
fn product((a, turn_a): (&Strided, bool), (b, turn_b): (&Strided, bool)) -> Tensor<4> {
    let (stack_a, [rows, _]) = sizes(a, turn_a);
    let (stack_b, [_, columns]) = sizes(b, turn_b);
    let stack: Vec<usize> = (stack_a.iter().zip(stack_b))
        .map(|(a, b)| *a.max(b))
        .collect();
    let shape = [&stack[..], &[rows, columns]].concat();
    let count: usize = stack.iter().product();
    // Rows of all matrices are multiplied by one.
    if count > 1 && !turn_a && a.is_contiguous() && stack_b.iter().all(|&size| size == 1) {
        let inner = a.shape()[a.shape().len() - 1];
        let rows = count * rows;
        let left = Matrix::packed(a.values(), rows, inner);
        let right = matrix(b, turn_b, 0);
        return Strided::made(stacked(1, [rows, columns], |_| left, |_| right), &shape);
    }
    let (first_a, first_b) = (firsts(a, &stack), firsts(b, &stack));
    let left = |i: usize| matrix(a, turn_a, first_a[i]);
    let right = |i: usize| matrix(b, turn_b, first_b[i]);
    Strided::made(stacked(count, [rows, columns], left, right), &shape)
}

/// The sizes of the stack, and those of its matrices.
fn sizes(x: &Strided, turned: bool) -> (&[usize], [usize; 2]) {
    let (stack, matrix) = x.shape().split_at(x.shape().len() - 2);
    match turned {
        false => (stack, [matrix[0], matrix[1]]),
        true => (stack, [matrix[1], matrix[0]]),
    }
}

/// Where the matrix for each product begins; along an axis with one, it is the same for all.
fn firsts(x: &Strided, stack: &[usize]) -> Vec<usize> {
    let (shape, steps) = (x.shape(), x.steps());
    let mut firsts = vec![0];
    for (axis, &size) in stack.iter().enumerate() {
        let step = if shape[axis] == 1 { 0 } else { steps[axis] };
        let along = |first: &usize| {
            let first = *first;
            (0..size).map(move |i| first + i * step)
        };
        firsts = firsts.iter().flat_map(along).collect();
    }
    firsts
}

/// The matrix that begins there.
fn matrix(x: &Strided, turned: bool, first: usize) -> Matrix<'_> {
    let (_, [rows, columns]) = sizes(x, false);
    let steps = x.steps();
    let matrix = Matrix {
        values: &x.values()[first..],
        rows,
        columns,
        row_stride: steps[steps.len() - 2],
        column_stride: steps[steps.len() - 1],
    };
    if turned { matrix.transposed() } else { matrix }
}
