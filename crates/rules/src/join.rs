//! Tensors one after the other along an axis, in one sweep where they lie in main memory.

use burn::tensor::Tensor;
use elucid_kernels::join::{Part, join};

use crate::host::{Strided, computes_on_host};

/// `parts` one after the other along `axis`, in which alone their sizes differ; differentiable.
///
/// On burn's CPU backend a kernel of our own runs where nothing is differentiated; elsewhere burn's.
///
/// # Panics
///
/// When there are none, or their other sizes differ.
pub fn cat<const D: usize>(parts: Vec<Tensor<D>>, axis: usize) -> Tensor<D> {
    let plain = |x: &Tensor<D>| computes_on_host(x) && !x.is_tracked();
    if axis >= D || !parts.iter().all(plain) {
        return Tensor::cat(parts, axis);
    }
    let mut shape = parts[0].dims();
    let others = |x: &Tensor<D>| {
        let mut dims = x.dims();
        dims[axis] = shape[axis];
        dims
    };
    if parts.iter().any(|x| others(x) != shape) {
        // Which says what is wrong.
        return Tensor::cat(parts, axis);
    }
    shape[axis] = parts.iter().map(|x| x.dims()[axis]).sum();
    let joined: Option<Vec<Strided>> = (parts.iter().cloned())
        .map(|x| Strided::of(x.without_autodiff()).map(|x| side_by_side(x, axis)))
        .collect();
    let Some(joined) = joined else {
        return Tensor::cat(parts, axis);
    };
    let firsts: Vec<_> = (joined.iter())
        .map(|part| {
            let (sizes, steps) = (part.shape()[..axis].to_vec(), part.steps());
            move |index: usize| {
                let mut rest = index;
                let axes = sizes.iter().zip(&steps).rev();
                axes.map(|(size, step)| {
                    let along = rest % size;
                    rest /= size;
                    along * step
                })
                .sum()
            }
        })
        .collect();
    let parts: Vec<Part> = (joined.iter().zip(&firsts))
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
