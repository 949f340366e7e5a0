use std::sync::Arc;

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Int, Tensor, module};
use elucid_kernels::pool::{self as kernels, Pool2d};
use elucid_kernels::window::Geometry;

use crate::host::Host;
use crate::operation::{self, Operation, Pullback};
use crate::window::{self, input_dims, output_dims};
use crate::{GradRule, OpKind, Operator};

/// The maximum of each window, differentiable: `[N, C, H, W]` to `[N, C, H', W']`.
///
/// The gradient goes to the window's maximum; among equals, to the first in row-major order, as
/// in PyTorch. A NaN in a window is its maximum.
///
/// # Panics
///
/// When `pool` does not fit `x`: [`Pool2d::output_size`] tells beforehand.
pub fn max_pool2d(x: Tensor<4>, pool: &Pool2d) -> Tensor<4> {
    operation::run(x, Arc::new(MaxPool(*pool)))
}

/// The mean of each window, differentiable: `[N, C, H, W]` to `[N, C, H', W']`.
///
/// With `count_include_pad` the sum is divided by the number of window elements inside the padded
/// input, else by the number inside the input. What a window rounded up reaches past the padding
/// never counts.
///
/// # Panics
///
/// When `pool` does not fit `x`: [`Pool2d::output_size`] tells beforehand.
pub fn avg_pool2d(x: Tensor<4>, pool: &Pool2d, count_include_pad: bool) -> Tensor<4> {
    operation::run(
        x,
        Arc::new(AveragePool {
            pool: *pool,
            count_include_pad,
        }),
    )
}

/// The windows of a pool that fits `x`.
pub(crate) fn geometry_of(pool: &Pool2d, x: &Tensor<4>) -> Geometry {
    let [_, _, height, width] = x.dims();
    pool.geometry([height, width])
        .unwrap_or_else(|error| panic!("{error}"))
}

#[derive(Debug)]
struct MaxPool(Pool2d);

impl Operation for MaxPool {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        maximum(x, &self.0)
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let geometry = geometry_of(&self.0, &x);
        let (y, positions) = maximum_with_positions(x, &geometry);
        let pullback = Pullback::new(move |g| to_positions(g, &positions, &geometry));
        (y, pullback)
    }
}

/// Max-pool with its true gradient, as a rule.
#[derive(Debug)]
pub(crate) struct TrueMaxPool(pub(crate) Pool2d);

impl GradRule for TrueMaxPool {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        maximum(x, &self.0)
    }

    fn backward(&self, x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        let geometry = geometry_of(&self.0, &x);
        let (_, positions) = maximum_with_positions(x, &geometry);
        to_positions(g, &positions, &geometry)
    }

    fn reach(&self) -> Option<[usize; 2]> {
        Some([0, 0])
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        op.kind() == OpKind::MaxPool
    }
}

#[derive(Debug)]
struct AveragePool {
    pool: Pool2d,
    count_include_pad: bool,
}

impl Operation for AveragePool {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let geometry = geometry_of(&self.pool, &x);
        window::weighted_sum(x, &geometry, &geometry.means(self.count_include_pad))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let geometry = geometry_of(&self.pool, &x);
        let weights = geometry.means(self.count_include_pad);
        let y = window::weighted_sum(x, &geometry, &weights);
        let pullback =
            Pullback::new(move |g| window::weighted_sum_transpose(g, &geometry, &weights));
        (y, pullback)
    }
}

/// Where each window's maximum lies.
enum Positions {
    /// Row-major offsets in the plane `[H, W]`.
    Cpu(Vec<u32>),
    /// burn's own, in the plane that the windows cover.
    Burn(Box<Tensor<4, Int>>),
}

pub(crate) fn maximum(x: Tensor<4>, pool: &Pool2d) -> Tensor<4> {
    let geometry = geometry_of(pool, &x);
    match Host::view(&x) {
        Some(x) => {
            let y = kernels::maximum(x.planes(), &geometry);
            x.tensor(y, output_dims(&x, &geometry))
        }
        None => module::max_pool2d(cover(x, &geometry), covered_pool(&geometry)),
    }
}

fn maximum_with_positions(x: Tensor<4>, geometry: &Geometry) -> (Tensor<4>, Positions) {
    match Host::view(&x) {
        Some(x) => {
            let (y, positions) = kernels::maximum_with_positions(x.planes(), geometry);
            let y = x.tensor(y, output_dims(&x, geometry));
            (y, Positions::Cpu(positions))
        }
        None => {
            let (y, positions) =
                module::max_pool2d_with_indices(cover(x, geometry), covered_pool(geometry));
            (y, Positions::Burn(Box::new(positions)))
        }
    }
}

fn to_positions(g: Tensor<4>, positions: &Positions, geometry: &Geometry) -> Tensor<4> {
    match positions {
        Positions::Cpu(positions) => {
            let g = Host::view(&g).expect("a gradient is where its output is");
            let d = kernels::to_positions(g.planes(), positions, geometry);
            g.tensor(d, input_dims(&g, geometry))
        }
        Positions::Burn(positions) => {
            let Geometry { rows, cols } = geometry;
            let [n, c, _, _] = g.dims();
            let covered = [n, c, rows.covered(), cols.covered()];
            // The backward wants its input for the shape alone.
            let x = Tensor::empty(covered, (&g.device(), g.dtype()));
            let d = module::max_pool2d_with_indices_backward(
                x,
                [rows.kernel, cols.kernel],
                [rows.stride, cols.stride],
                [0, 0],
                [rows.dilation, cols.dilation],
                false,
                g,
                Tensor::clone(positions),
            );
            window::uncover(d, geometry)
        }
    }
}

/// burn pools no asymmetric padding backwards, so the padding is made explicit. Shader languages
/// have no literal for negative infinity; the smallest number stands in for it.
fn cover(x: Tensor<4>, geometry: &Geometry) -> Tensor<4> {
    window::cover(x, geometry, f32::MIN)
}

fn covered_pool(Geometry { rows, cols }: &Geometry) -> MaxPoolOptions<2> {
    MaxPoolOptions::new([rows.kernel, cols.kernel])
        .with_stride([rows.stride, cols.stride])
        .with_dilation([rows.dilation, cols.dilation])
}
