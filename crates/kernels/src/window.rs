//! Where windows lie: the arithmetic that convolutions and pools share.

use std::ops::Range;

/// The windows along one axis. [`Pool2d`](crate::pool::Pool2d) and [`Conv2d`](crate::conv::Conv2d) make
/// them and check that they fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Elements of a window.
    pub kernel: usize,
    /// From a window to the next.
    pub stride: usize,
    /// Padding before the input.
    pub before: usize,
    /// Padding after the input.
    pub after: usize,
    /// From an element of a window to the next.
    pub dilation: usize,
    /// The input's length.
    pub size: usize,
    /// How many windows.
    pub out: usize,
}

impl Axis {
    /// The first element of a window to the last, inclusive.
    fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// From the start of the leading padding to the end of the last window.
    pub fn covered(&self) -> usize {
        (self.out - 1) * self.stride + self.extent()
    }

    /// The window elements of output `o` that fall into the input.
    pub fn elements(&self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.size + self.before)
            .saturating_sub(start)
            .div_ceil(self.dilation);
        first..end.clamp(first, self.kernel.max(first))
    }

    /// Where element `t` of window `o` lies in the input; only for `t` in `elements(o)`.
    pub fn position(&self, o: usize, t: usize) -> usize {
        o * self.stride + t * self.dilation - self.before
    }

    /// The outputs whose window has its element `t` in the input.
    pub fn outputs(&self, t: usize) -> Range<usize> {
        let offset = t * self.dilation;
        let first = self.before.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.size + self.before)
            .saturating_sub(offset)
            .div_ceil(self.stride)
            .min(self.out);
        first.min(end)..end
    }

    /// How many elements of window `o` fall into the input.
    pub fn count(&self, o: usize) -> usize {
        self.elements(o).len()
    }

    /// How many elements of window `o` fall into the input or its padding.
    fn count_with_padding(&self, o: usize) -> usize {
        let padded = self.size + self.before + self.after;
        padded
            .saturating_sub(o * self.stride)
            .div_ceil(self.dilation)
            .min(self.kernel)
    }
}

/// The windows over a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Along the height.
    pub rows: Axis,
    /// Along the width.
    pub cols: Axis,
}

impl Geometry {
    /// One over the number of elements of each window, in row-major order.
    pub fn means(&self, count_include_pad: bool) -> Vec<f32> {
        let count = if count_include_pad {
            Axis::count_with_padding
        } else {
            Axis::count
        };
        let cols: Vec<usize> = (0..self.cols.out).map(|o| count(&self.cols, o)).collect();
        (0..self.rows.out)
            .map(|o| count(&self.rows, o))
            .flat_map(|rows| cols.iter().map(move |cols| 1.0 / (rows * cols) as f32))
            .collect()
    }

    /// Windows over a plane.
    pub fn output_len(&self) -> usize {
        self.rows.out * self.cols.out
    }

    /// Elements of a plane.
    pub fn input_len(&self) -> usize {
        self.rows.size * self.cols.size
    }
}

/// The builder methods that the parameters of convolutions and pools share.
macro_rules! window_setters {
    () => {
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
    };
}
pub(crate) use window_setters;
