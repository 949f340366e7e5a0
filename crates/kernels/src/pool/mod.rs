//! Pools: maxima and weighted sums of windows, and their gradients.

mod maximum;
mod phases;
mod smooth;
mod sum;

use crate::window::{Axis, Geometry, window_setters};

pub use maximum::{maximum, maximum_with_positions, to_positions};
pub use smooth::{CENTRE, CORNER, EDGE, EPSILON, smooth_gradient};
pub use sum::{weighted_sum, weighted_sum_transpose};

/// No picture has an axis this long; past it, sizes could overflow.
const LONGEST_AXIS: usize = 1 << 24;

/// The windows of a two-dimensional pooling operator. Pairs are height first.
///
/// Output `i` of an axis looks at the inputs `i * stride - pad_before + t * dilation` for
/// `t = 0 .. kernel`, those in the padding left out.
///
/// ```
/// use elucid_kernels::pool::Pool2d;
///
/// let pool = Pool2d::new([3, 3]).stride([2, 2]).ceil_mode(true);
/// assert_eq!(pool.output_size([112, 112])?, [56, 56]);
/// # Ok::<(), elucid_kernels::pool::PoolError>(())
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

    window_setters!();

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

    /// Where the windows lie in an input `[height, width]`.
    ///
    /// # Errors
    ///
    /// As [`Pool2d::output_size`].
    pub fn geometry(&self, [height, width]: [usize; 2]) -> Result<Geometry, PoolError> {
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
}

/// Why a [`Pool2d`] cannot be applied. Axis 0 is the height, axis 1 the width.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// A kernel, stride or dilation of zero.
    #[error("the {what} of a pool must be at least 1, not {value:?}")]
    Zero {
        /// `"kernel"`, `"stride"` or `"dilation"`.
        what: &'static str,
        /// The value given, height first.
        value: [usize; 2],
    },
    /// A kernel that does not fit the padded input even once.
    #[error(
        "a pool window of {extent} does not fit axis {axis}: the input is {size} long, {padded} with padding"
    )]
    WindowTooLarge {
        /// The axis.
        axis: usize,
        /// The window's length, dilation included.
        extent: usize,
        /// The input's length.
        size: usize,
        /// The input's length with padding.
        padded: usize,
    },
    /// A window that covers nothing but padding, whose maximum or mean does not exist.
    #[error(
        "padding of {before} and {after} on axis {axis} leaves a pool window of {extent} without input (the input is {size} long)"
    )]
    WindowInPadding {
        /// The axis.
        axis: usize,
        /// Padding before the input.
        before: usize,
        /// Padding after the input.
        after: usize,
        /// The window's length, dilation included.
        extent: usize,
        /// The input's length.
        size: usize,
    },
    /// A length past what any picture has.
    #[error("a pool with {what} of {value} on axis {axis} is too large (the limit is {limit})")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its value.
        value: usize,
        /// The axis.
        axis: usize,
        /// The largest value allowed.
        limit: usize,
    },
}
