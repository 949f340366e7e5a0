use std::sync::Arc;

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Int, Tensor, module};

use crate::cpu::{self, Host};
use crate::operation::{self, Operation, Pullback};
use crate::window::{self, Axis, Geometry};
use crate::{GradRule, OpKind, Operator, PoolError};

/// No picture has an axis this long; past it, sizes could overflow.
const LONGEST_AXIS: usize = 1 << 24;

/// The windows of a two-dimensional pooling operator. Pairs are height first.
///
/// Output `i` of an axis looks at the inputs `i * stride - pad_before + t * dilation` for
/// `t = 0 .. kernel`, those in the padding left out.
///
/// ```
/// use elucid_rules::Pool2d;
///
/// let pool = Pool2d::new([3, 3]).stride([2, 2]).ceil_mode(true);
/// assert_eq!(pool.output_size([112, 112])?, [56, 56]);
/// # Ok::<(), elucid_rules::PoolError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool2d {
    /// Window size.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right, in ONNX's order.
    pub pads: [usize; 4],
    /// Steps between the elements of a window.
    pub dilation: [usize; 2],
    /// Whether the number of windows is rounded up. A window that would start past the input and
    /// its leading padding is dropped, as in PyTorch and ONNX Runtime.
    pub ceil_mode: bool,
}

impl Pool2d {
    /// Windows of the size `kernel` at every position: stride 1, no padding, no dilation, rounded
    /// down.
    pub fn new(kernel: [usize; 2]) -> Self {
        Self {
            kernel,
            stride: [1, 1],
            pads: [0; 4],
            dilation: [1, 1],
            ceil_mode: false,
        }
    }

    /// Sets the steps between windows.
    #[must_use]
    pub fn stride(mut self, stride: [usize; 2]) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the padding: top, left, bottom, right.
    #[must_use]
    pub fn pads(mut self, pads: [usize; 4]) -> Self {
        self.pads = pads;
        self
    }

    /// Sets the steps between the elements of a window.
    #[must_use]
    pub fn dilation(mut self, dilation: [usize; 2]) -> Self {
        self.dilation = dilation;
        self
    }

    /// Sets whether the number of windows is rounded up.
    #[must_use]
    pub fn ceil_mode(mut self, ceil_mode: bool) -> Self {
        self.ceil_mode = ceil_mode;
        self
    }

    /// The output's height and width for an input `[height, width]`.
    ///
    /// # Errors
    ///
    /// A [`PoolError`] when a parameter is zero, a size is absurd, the window does not fit, or
    /// some window would hold nothing but padding.
    pub fn output_size(&self, input: [usize; 2]) -> Result<[usize; 2], PoolError> {
        let geometry = self.geometry(input)?;
        Ok([geometry.rows.out, geometry.cols.out])
    }

    pub(crate) fn geometry(&self, [height, width]: [usize; 2]) -> Result<Geometry, PoolError> {
        let parameters = [
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("dilation", self.dilation),
        ];
        for (what, value) in parameters {
            if value.contains(&0) {
                return Err(PoolError::Zero { what, value });
            }
        }
        Ok(Geometry {
            rows: self.axis(0, height)?,
            cols: self.axis(1, width)?,
        })
    }

    fn axis(&self, axis: usize, size: usize) -> Result<Axis, PoolError> {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        let (before, after) = (self.pads[axis], self.pads[axis + 2]);
        let dilation = self.dilation[axis];
        let extent = (kernel - 1).saturating_mul(dilation).saturating_add(1);
        let lengths = [
            ("an input", size),
            ("a window", extent),
            ("a stride", stride),
            ("padding", before),
            ("padding", after),
        ];
        for (what, value) in lengths {
            if value > LONGEST_AXIS {
                return Err(PoolError::TooLarge {
                    what,
                    value,
                    axis,
                    limit: LONGEST_AXIS,
                });
            }
        }

        let padded = size + before + after;
        let slack = if self.ceil_mode { stride - 1 } else { 0 };
        if size == 0 || extent > padded + slack {
            return Err(PoolError::WindowTooLarge {
                axis,
                extent,
                size,
                padded,
            });
        }
        let mut out = (padded + slack - extent) / stride + 1;
        if self.ceil_mode && (out - 1) * stride >= size + before {
            out -= 1;
        }

        let axis_windows = Axis {
            kernel,
            stride,
            before,
            after,
            dilation,
            size,
            out,
        };
        let all_see_input =
            before < extent && after < extent && (0..out).all(|o| axis_windows.count(o) > 0);
        if !all_see_input {
            return Err(PoolError::WindowInPadding {
                axis,
                before,
                after,
                extent,
                size,
            });
        }
        Ok(axis_windows)
    }

    fn geometry_of(&self, x: &Tensor<4>) -> Geometry {
        let [_, _, height, width] = x.dims();
        self.geometry([height, width])
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

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

#[derive(Debug)]
struct MaxPool(Pool2d);

impl Operation for MaxPool {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        maximum(x, &self.0)
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let geometry = self.0.geometry_of(&x);
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
        let geometry = self.0.geometry_of(&x);
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
        let geometry = self.pool.geometry_of(&x);
        window::weighted_sum(x, &geometry, &geometry.means(self.count_include_pad))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let geometry = self.pool.geometry_of(&x);
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
    let geometry = pool.geometry_of(&x);
    match Host::view(&x) {
        Some(x) => cpu::pool::maximum(&x, &geometry),
        None => module::max_pool2d(cover(x, &geometry), covered_pool(&geometry)),
    }
}

fn maximum_with_positions(x: Tensor<4>, geometry: &Geometry) -> (Tensor<4>, Positions) {
    match Host::view(&x) {
        Some(x) => {
            let (y, positions) = cpu::pool::maximum_with_positions(&x, geometry);
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
            cpu::pool::to_positions(&g, positions, geometry)
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
