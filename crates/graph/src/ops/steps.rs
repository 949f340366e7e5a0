//! What the quantised operators share: scales and zero points for a whole tensor, along an axis or in
//! blocks, and rounding to integers of a small range.

use burn::tensor::Tensor;
use elucid_rules::OpKind;

use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::message::few;
use crate::operator::{Apart, Known, Operands, Refused, axis_of};

/// How a scale or a zero point belongs to the numbers of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Its shape, seen so that it broadcasts, but for blocks.
    view: Vec<usize>,
    /// Axis, numbers for each entry, and numbers in all, where one entry serves a block.
    blocks: Option<(usize, usize, usize)>,
}

impl Layout {
    /// For an `x` and a scale of these shapes. `block` is 0 where there are no blocks.
    pub fn of(x: &[usize], scale: &[usize], axis: i64, block: usize) -> Result<Self, Refused> {
        let rank = x.len();
        let wrong = |expected: &str| {
            let (scale, x) = (few(scale), few(x));
            Refused::from(format!(
                "a scale of shape {scale} for an input of shape {x}, expected {expected}"
            ))
        };
        if block > 0 {
            let axis = axis_of(axis, rank)?;
            let mut view = x.to_vec();
            view[axis] = view[axis].div_ceil(block);
            if view != scale {
                return Err(wrong(&format!(
                    "{}: one for each block of {block}",
                    few(&view)
                )));
            }
            return Ok(Self {
                view,
                blocks: Some((axis, block, x[axis])),
            });
        }
        let mut view = vec![1; rank];
        match scale {
            [] | [1] => {}
            [count] => {
                let axis = axis_of(axis, rank)?;
                if x[axis] != *count {
                    return Err(wrong(&format!("one for each of {}", x[axis])));
                }
                view[axis] = *count;
            }
            _ => return Err(wrong("one number, or one for each place along an axis")),
        }
        Ok(Self { view, blocks: None })
    }

    /// So that it broadcasts to the numbers that it belongs to.
    pub fn spread(&self, parameter: Activation) -> Tensor<1> {
        let parameter = parameter.into_view(&self.view);
        let Some((axis, block, len)) = self.blocks else {
            return parameter.untyped();
        };
        let indices: Vec<usize> = (0..len).map(|i| i / block).collect();
        super::gather::selected(parameter, axis, &indices).untyped()
    }

    /// `f` of each number of a tensor of shape `x`, in order, with its scale and its zero point; of one zero
    /// point, that.
    pub fn each<T, U>(
        &self,
        x: &[usize],
        values: Vec<T>,
        scales: &[f32],
        zeros: &[i64],
        f: impl Fn(T, f32, i64) -> U,
    ) -> Vec<U> {
        let last = zeros.len().saturating_sub(1);
        let pairs = values.into_iter().zip(self.entries(x));
        let each = pairs.map(|(value, entry)| f(value, scales[entry], zeros[entry.min(last)]));
        each.collect()
    }

    /// For each number of `x`, in order, the entry that belongs to it.
    fn entries(&self, x: &[usize]) -> impl Iterator<Item = usize> {
        let mut strides = vec![0; x.len()];
        let mut step = 1;
        for axis in (0..x.len()).rev() {
            if self.view[axis] > 1 {
                strides[axis] = step;
            }
            step *= self.view[axis];
        }
        let x = x.to_vec();
        let blocks = self.blocks;
        let count = x.iter().product::<usize>();
        (0..count).map(move |flat| {
            let (mut rest, mut entry) = (flat, 0);
            for axis in (0..x.len()).rev() {
                let at = rest % x[axis];
                rest /= x[axis];
                let at = match blocks {
                    Some((blocked, block, _)) if blocked == axis => at / block,
                    _ => at,
                };
                entry += at * strides[axis];
            }
            entry
        })
    }
}

/// The attribute `block_size`.
fn block_size(a: &Attributes) -> Result<usize, String> {
    let stated = a.int_or("block_size", 0);
    usize::try_from(stated).map_err(|_| format!("attribute block_size is {stated}"))
}

/// The attributes of an operator to integers or back.
#[derive(Debug)]
pub(super) struct Scaled {
    pub kind: OpKind,
    axis: i64,
    /// Numbers that share a scale, or 0.
    block: usize,
    /// The type of the output that is stated, if any.
    pub to: Option<ElementType>,
}

impl Scaled {
    pub fn read(a: &Attributes, kind: &'static str) -> Result<Self, String> {
        Ok(Self {
            kind: OpKind::new(kind),
            axis: a.int_or("axis", 1),
            block: block_size(a)?,
            to: match a.int_or("output_dtype", 0) {
                0 => None,
                _ => a.element_type("output_dtype")?,
            },
        })
    }

    pub fn apart(&self) -> Apart {
        match self.block {
            0 => Apart::Rows,
            _ => Apart::No,
        }
    }

    pub fn layout(&self, x: &Known, scale: &Known) -> Result<Layout, Refused> {
        Layout::of(&x.shape, &scale.shape, self.axis, self.block)
    }
}

/// The values of a zero point, 0 where there is none; `None` where they are not known yet.
pub(super) fn zeros(zero: Option<&Known>) -> Result<Option<Vec<i64>>, String> {
    match zero {
        None => Ok(Some(vec![0])),
        Some(zero) => zero.host.as_ref().map(HostTensor::ints).transpose(),
    }
}

/// The zero point in a slot, which must have the shape of its scale.
pub(super) fn zero_point<'a>(
    inputs: &Operands<'a>,
    slot: usize,
    scale: &Known,
) -> Result<Option<&'a Known>, Refused> {
    let Some(zero) = inputs.optional(slot) else {
        return Ok(None);
    };
    let single = |shape: &[usize]| matches!(shape, [] | [1]);
    if zero.shape != scale.shape && !(single(&zero.shape) && single(&scale.shape)) {
        return Err(format!(
            "the zero point has shape {:?}, expected that of the scale, {:?}",
            zero.shape, scale.shape
        )
        .into());
    }
    match zero.kind.is_int() {
        true => Ok(Some(zero)),
        false => Err(format!("the zero point holds {}, expected integers", zero.kind).into()),
    }
}

/// Checks a type that numbers are rounded to.
pub(super) fn small(kind: ElementType) -> Result<ElementType, Refused> {
    use ElementType::{I8, I16, U8, U16};
    match kind {
        I8 | I16 | U8 | U16 => Ok(kind),
        other => Err(Refused::Unsupported(format!(
            "numbers are quantised to {other}, only 8 and 16 bits are supported"
        ))),
    }
}

/// `steps` rounded to whole numbers, of two equally near ones to the even, plus `zero`, kept in the
/// range of `kind`.
///
/// Rounding has the derivative of the identity (the straight-through estimate); what is outside of the
/// range has none.
pub(super) fn rounded(steps: Tensor<1>, zero: Option<Tensor<1>>, kind: ElementType) -> Tensor<1> {
    let (low, high) = kind.range();
    let (low, high) = (low as f32, high as f32);
    let fixed = steps.clone().without_autodiff().round();
    let placed = match &zero {
        Some(zero) => fixed + zero.clone().without_autodiff(),
        None => fixed,
    };
    let kept = placed.clone().clamp(low, high);
    let moving = match zero {
        Some(zero) => steps + zero,
        None => steps,
    };
    if !moving.is_tracked() {
        return kept;
    }
    let outside = placed
        .clone()
        .lower_scalar(low)
        .bool_or(placed.greater_scalar(high));
    let value = moving.clone().without_autodiff();
    kept + (moving - value).mask_fill(outside, 0.0)
}
