//! Sliding windows in any number of dimensions: what convolutions and pools share.

use elucid_rules::Pool2d;

use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::message::few;
use crate::operator::{Known, Operands, Refused, numbers};

/// How a window operator treats the border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Padding {
    /// All beginnings, then all ends; empty for none.
    Explicit(Vec<usize>),
    /// As much as keeps `ceil(input / stride)` positions; the odd one at the end.
    SameUpper,
    /// The same with the odd one at the beginning.
    SameLower,
}

/// The attributes of a sliding window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Its size; `None` where the weights say it.
    pub kernel: Option<Vec<usize>>,
    /// Steps between windows; `None` for 1.
    stride: Option<Vec<usize>>,
    /// The border.
    pub padding: Padding,
    /// Distance between taps; `None` for 1.
    dilation: Option<Vec<usize>>,
    /// Whether a last, partial window counts.
    ceil_mode: bool,
}

/// The windows along one axis: output `o` reads the inputs `o * stride + t * dilation - before` for
/// `t` up to `kernel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
}

impl Axis {
    /// Each position by itself.
    pub const ONE: Self = Self {
        kernel: 1,
        stride: 1,
        dilation: 1,
        before: 0,
        after: 0,
    };

    /// From the first tap to the last, inclusive.
    pub fn extent(self) -> Option<usize> {
        (self.kernel.checked_sub(1)?)
            .checked_mul(self.dilation)?
            .checked_add(1)
    }

    /// How many whole windows fit into an axis of `size` with its border.
    pub fn positions(self, size: usize) -> Option<usize> {
        let padded = size.checked_add(self.before)?.checked_add(self.after)?;
        Some(padded.checked_sub(self.extent()?)? / self.stride + 1)
    }

    /// What window `o` reads of an axis of `size`.
    pub fn reads(self, o: usize, size: usize) -> impl Iterator<Item = usize> {
        (0..self.kernel).filter_map(move |t| {
            let at = (o * self.stride + t * self.dilation).checked_sub(self.before)?;
            (at < size).then_some(at)
        })
    }
}

impl Window {
    pub fn read(a: &Attributes) -> Result<Self, String> {
        let padding = match a.text_or("auto_pad", "NOTSET") {
            "NOTSET" => Padding::Explicit(a.sizes("pads", 0)?.unwrap_or_default()),
            "VALID" => Padding::Explicit(Vec::new()),
            "SAME_UPPER" => Padding::SameUpper,
            "SAME_LOWER" => Padding::SameLower,
            other => {
                return Err(format!(
                    "auto_pad is \"{other}\", expected NOTSET, VALID, SAME_UPPER or SAME_LOWER"
                ));
            }
        };
        Ok(Self {
            kernel: a.sizes("kernel_shape", 1)?,
            stride: a.sizes("strides", 1)?,
            padding,
            dilation: a.sizes("dilations", 1)?,
            ceil_mode: a.flag("ceil_mode"),
        })
    }

    /// A window that must state its size.
    pub fn read_pool(a: &Attributes) -> Result<Self, String> {
        let window = Self::read(a)?;
        match window.kernel {
            Some(_) => Ok(window),
            None => Err("attribute kernel_shape is missing".to_owned()),
        }
    }

    /// The windows of size `kernel` along the axes of an input, with its borders as far as they are
    /// explicit.
    pub fn unpadded(&self, kernel: &[usize]) -> Result<Vec<Axis>, String> {
        let rank = kernel.len();
        let list = |name: &str, values: Option<&Vec<usize>>, default: usize, count: usize| {
            let values = values.filter(|v| !v.is_empty());
            let values = values.map_or_else(|| vec![default; count], Clone::clone);
            match values.len() == count {
                true => Ok(values),
                false => Err(format!(
                    "attribute {name} is {}, expected {count} numbers",
                    few(&values)
                )),
            }
        };
        let stride = list("strides", self.stride.as_ref(), 1, rank)?;
        let dilation = list("dilations", self.dilation.as_ref(), 1, rank)?;
        let pads = match &self.padding {
            Padding::Explicit(pads) => list("pads", Some(pads), 0, 2 * rank)?,
            _ => vec![0; 2 * rank],
        };
        let axis = |i: usize| Axis {
            kernel: kernel[i],
            stride: stride[i],
            dilation: dilation[i],
            before: pads[i],
            after: pads[i + rank],
        };
        Ok((0..rank).map(axis).collect())
    }

    /// The windows of size `kernel` along the axes of an input.
    pub fn axes(&self, kernel: &[usize], input: &[usize]) -> Result<Vec<Axis>, String> {
        if kernel.len() != input.len() {
            return Err(format!(
                "a window of {} over an input of {}",
                few(kernel),
                few(input)
            ));
        }
        let mut axes = self.unpadded(kernel)?;
        for (axis, &size) in axes.iter_mut().zip(input) {
            let extent = axis.extent().ok_or("the window overflows")?;
            let positions = size.div_ceil(axis.stride);
            let reached = (positions.saturating_sub(1) * axis.stride).checked_add(extent);
            let needed = reached.ok_or("the window overflows")?.saturating_sub(size);
            match self.padding {
                Padding::Explicit(_) => {}
                Padding::SameUpper => {
                    (axis.before, axis.after) = (needed / 2, needed - needed / 2);
                }
                Padding::SameLower => {
                    (axis.before, axis.after) = (needed - needed / 2, needed / 2);
                }
            }
        }
        Ok(axes)
    }

    /// The pool over the first input, `[N, C, ...]`.
    pub fn pool(&self, inputs: &Operands<'_>) -> Result<Pooling, Refused> {
        let (outer, size) = spatial(inputs.input(0)?)?;
        let kernel = self.kernel.as_ref().ok_or("the window has no size")?;
        let axes = self.axes(kernel, size)?;
        let ceil_mode = self.ceil_mode && matches!(self.padding, Padding::Explicit(_));
        Ok(Pooling::new(outer, size, axes, ceil_mode)?)
    }
}

/// Batch, channels and size of an input `[N, C, ...]` with at least one position.
pub(super) fn spatial(x: &Known) -> Result<([usize; 2], &[usize]), Refused> {
    match x.shape.as_slice() {
        &[n, c, ref size @ ..] if !size.is_empty() && !x.shape.contains(&0) => Ok(([n, c], size)),
        shape => Err(format!(
            "input has shape {}, expected [N, C, ...] with no dimension 0",
            few(shape)
        )
        .into()),
    }
}

/// A pool over windows in any number of dimensions, as pools over planes: what is made of a box of
/// numbers is made of its planes first.
#[derive(Debug, Clone)]
pub(super) struct Pooling {
    /// The windows along each axis.
    pub axes: Vec<Axis>,
    /// The input's shape.
    pub input: Vec<usize>,
    /// The output's shape.
    pub shape: Vec<usize>,
    planes: Vec<([usize; 4], Pool2d)>,
}

impl Pooling {
    pub fn new(
        outer: [usize; 2],
        size: &[usize],
        axes: Vec<Axis>,
        ceil_mode: bool,
    ) -> Result<Self, String> {
        let rank = axes.len();
        let over = |rows: Option<&Axis>, columns: Option<&Axis>| {
            let (rows, columns) = (rows.unwrap_or(&Axis::ONE), columns.unwrap_or(&Axis::ONE));
            Pool2d {
                kernel: [rows.kernel, columns.kernel],
                stride: [rows.stride, columns.stride],
                pads: [rows.before, columns.before, rows.after, columns.after],
                dilation: [rows.dilation, columns.dilation],
                ceil_mode,
            }
        };
        let mut shape = size.to_vec();
        let mut planes = Vec::new();
        let count = |sizes: &[usize]| {
            let count = sizes.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
            count.ok_or("the input is too large")
        };
        // The last two axes at once, then each one before them.
        let first = rank.saturating_sub(2);
        let channels = |before: &[usize]| {
            let channels = count(before)?.checked_mul(outer[1]);
            channels.ok_or("the input is too large")
        };
        let pool = match rank {
            1 => over(None, axes.first()),
            _ => over(axes.get(first), axes.get(first + 1)),
        };
        let plane = match rank {
            1 => [1, size[0]],
            _ => [size[first], size[first + 1]],
        };
        let made = pool.output_size(plane).map_err(|e| e.to_string())?;
        planes.push((
            [outer[0], channels(&size[..first])?, plane[0], plane[1]],
            pool,
        ));
        shape[first..].copy_from_slice(&made[2 - rank.min(2)..]);
        for i in (0..first).rev() {
            let pool = over(axes.get(i), None);
            let plane = [size[i], count(&shape[i + 1..])?];
            let [made, _] = pool.output_size(plane).map_err(|e| e.to_string())?;
            planes.push(([outer[0], channels(&size[..i])?, plane[0], plane[1]], pool));
            shape[i] = made;
        }
        Ok(Self {
            axes,
            input: [&outer[..], size].concat(),
            shape: [&outer[..], &shape].concat(),
            planes,
        })
    }

    /// How many numbers its windows read, one by one: of a box, as they are pooled, plane by plane.
    pub fn read(&self) -> u64 {
        let mut size = self.input.get(2..).unwrap_or_default().to_vec();
        let outer = numbers(self.input.get(..2).unwrap_or_default());
        let mut read = 0;
        let rank = self.axes.len();
        let mut along = |axes: std::ops::Range<usize>| {
            let mut window = 1;
            for i in axes {
                window *= self.axes[i].kernel;
                size[i] = self.shape[i + 2];
            }
            read += outer * numbers(&size) * window as u64;
        };
        let first = rank.saturating_sub(2);
        along(first..rank);
        for i in (0..first).rev() {
            along(i..i + 1);
        }
        read
    }

    /// The pool itself where it is over planes of an image.
    pub fn plane(&self) -> Option<&Pool2d> {
        match self.planes.as_slice() {
            [(_, pool)] if self.axes.len() == 2 => Some(pool),
            _ => None,
        }
    }

    /// Pools with a function that pools planes.
    pub fn run(
        &self,
        x: Activation,
        pool2d: impl Fn(burn::tensor::Tensor<4>, &Pool2d) -> burn::tensor::Tensor<4>,
    ) -> Activation {
        let pooled = self.planes.iter().fold(x, |x, (view, pool)| {
            pool2d(x.into_view(view).into_cast(), pool).into()
        });
        pooled.into_view(&self.shape)
    }
}
