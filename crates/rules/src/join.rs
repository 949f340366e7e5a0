//! Tensors one after the other along an axis, in one sweep where they lie in main memory.

use burn::tensor::Tensor;
use elucid_kernels::join::{Part, join};
use elucid_kernels::packed::{Axis, place};

use crate::host::{Strided, computes_on_host};
use crate::operation::{Binary, Pullbacks, run_binary};

/// `parts` one after the other along `axis`, in which alone their sizes differ; differentiable.
///
/// On burn's CPU backend a kernel of our own runs where nothing is differentiated, or parts are two; elsewhere burn's.
///
/// # Panics
///
/// When there are none, or their other sizes differ.
pub fn cat<const D: usize>(parts: Vec<Tensor<D>>, axis: usize) -> Tensor<D> {
    if axis >= D || !parts.iter().all(computes_on_host) {
        return Tensor::cat(parts, axis);
    }
    let shape = parts[0].dims();
    let others = |x: &Tensor<D>| {
        let mut dims = x.dims();
        dims[axis] = shape[axis];
        dims
    };
    if parts.iter().any(|x| others(x) != shape) {
        // Which says what is wrong.
        return Tensor::cat(parts, axis);
    }
    let sizes: Vec<usize> = parts.iter().map(|x| x.dims()[axis]).collect();
    if !parts.iter().any(Tensor::is_tracked) {
        let parts: Option<Vec<Strided>> = (parts.iter().cloned())
            .map(|x| Strided::of(x.without_autodiff()))
            .collect();
        if let Some(parts) = parts {
            return joined(parts, axis);
        }
    }
    match <[Tensor<D>; 2]>::try_from(parts) {
        Ok(pair) if !shape.contains(&0) && !sizes.contains(&0) => {
            let sizes = [sizes[0], sizes[1]];
            run_binary(pair, Join { axis, sizes })
        }
        Ok(pair) => Tensor::cat(pair.into(), axis),
        Err(parts) => Tensor::cat(parts, axis),
    }
}

/// Two parts, in main memory.
#[derive(Debug, Clone)]
struct Join {
    axis: usize,
    sizes: [usize; 2],
}

impl Binary for Join {
    fn forward(&self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        joined([a, b].map(Strided::expected).into(), self.axis)
    }

    fn forward_with_pullbacks(
        &self,
        a: Tensor<4>,
        b: Tensor<4>,
        live: [bool; 2],
    ) -> (Tensor<4>, Pullbacks) {
        let &Self { axis, sizes } = self;
        let pullbacks = Pullbacks::new(move |g| {
            let g = Strided::expected(g);
            // Each sees its part of the gradient where it lies.
            [0, 1].map(|part| {
                let start = part * sizes[0];
                live[part].then(|| g.narrow(axis, start, sizes[part]).into_tensor())
            })
        });
        (self.forward(a, b), pullbacks)
    }
}

/// Parts whose sizes fit, of any rank.
fn joined<const D: usize>(parts: Vec<Strided>, axis: usize) -> Tensor<D> {
    let mut shape = parts[0].shape().to_vec();
    shape[axis] = parts.iter().map(|x| x.shape()[axis]).sum();
    let parts = parts.into_iter().map(|x| side_by_side(x, axis));
    let parts: Vec<Strided> = parts.collect();
    let firsts: Vec<_> = (parts.iter())
        .map(|part| {
            let axes = part.shape()[..axis].iter().zip(part.steps());
            let axes = axes.map(|(&size, step)| Axis { size, step });
            let axes: Vec<Axis> = axes.collect();
            move |index| place(index, &axes)
        })
        .collect();
    let parts: Vec<Part> = (parts.iter().zip(&firsts))
        .map(|(part, first)| Part {
            values: part.values(),
            len: part.shape()[axis..].iter().product(),
            first,
            is_packed: part.is_contiguous(),
        })
        .collect();
    let outer = shape[..axis].iter().product();
    Strided::made(join(outer, &parts), &shape)
}

/// The same with its numbers from `axis` on side by side.
fn side_by_side(x: Strided, axis: usize) -> Strided {
    let mut expected = 1;
    for (size, step) in x.shape()[axis..].iter().zip(&x.steps()[axis..]).rev() {
        if *size > 1 && *step != expected {
            return x.contiguous();
        }
        expected *= size;
    }
    x
}
