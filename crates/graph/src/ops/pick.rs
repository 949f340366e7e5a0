//! Numbers of a tensor in another order, by their places: what many operators come down to.

use crate::activation::{Activation, IntoView};
use crate::host::{ElementType, HostTensor};
use crate::operator::{Kernel, Known, Refused, Resolved, Slots, check_host_size, check_size};

/// Rows of `width` numbers, by their places among all rows of an input.
#[derive(Debug)]
pub(super) struct Pick {
    pub slot: usize,
    pub places: Vec<usize>,
    pub width: usize,
}

impl Kernel for Pick {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let picked =
            rows(inputs.take(self.slot), &self.places, self.width).into_view(&outputs[0].shape);
        // Whatever else is made is known.
        vec![picked; outputs.len()]
    }
}

/// The rows at `places` of a tensor cut into rows of `width` numbers.
pub(super) fn rows(x: Activation, places: &[usize], width: usize) -> Activation {
    let count = x.shape().iter().product::<usize>() / width.max(1);
    super::gather::selected(x.into_view(&[count, width]), 0, places)
}

/// What is known of the rows at `places` of `x`, the first input, in `shape`, and the kernel if they are computed.
pub(super) fn picked(
    x: &Known,
    places: Vec<usize>,
    width: usize,
    shape: Vec<usize>,
) -> Result<(Option<Pick>, Known), Refused> {
    if let Some(empty) = Known::empty(&shape, x.kind) {
        return Ok((None, empty));
    }
    match x.settled() {
        Some(host) => {
            check_host_size(&shape)?;
            let row = |place: &usize| place * width..(place + 1) * width;
            let flat: Vec<usize> = places.iter().flat_map(row).collect();
            Ok((None, Known::host(host.pick(&flat, &shape)?)))
        }
        None => {
            check_size(&shape)?;
            Ok((
                Some(Pick {
                    slot: 0,
                    places,
                    width,
                }),
                Known::computed(shape, x.kind),
            ))
        }
    }
}

/// The same as all that an operator makes.
pub(super) fn resolved(
    x: &Known,
    places: Vec<usize>,
    width: usize,
    shape: Vec<usize>,
) -> Result<Resolved, Refused> {
    let (kernel, known) = picked(x, places, width, shape)?;
    Ok(with_known(kernel, vec![known]))
}

/// A first output with its kernel, if it has one, and what else is known.
pub(super) fn with_known(kernel: Option<Pick>, outputs: Vec<Known>) -> Resolved {
    match kernel {
        Some(kernel) => Resolved::of(kernel, outputs),
        None => Resolved {
            kernel: None,
            outputs,
        },
    }
}

/// Whether two tensors may be combined, in words.
pub(super) fn same_kind(a: ElementType, b: ElementType) -> Result<(), Refused> {
    match a == b {
        true => Ok(()),
        false => Err(format!("cannot combine {a} with {b}").into()),
    }
}

/// Each index of a tensor of this shape, in row-major order.
pub(super) fn each_index(
    shape: &[usize],
    mut f: impl FnMut(&[usize]) -> Result<(), Refused>,
) -> Result<(), Refused> {
    if shape.contains(&0) {
        return Ok(());
    }
    let mut index = vec![0; shape.len()];
    loop {
        f(&index)?;
        let next = (0..shape.len())
            .rev()
            .find(|&axis| index[axis] + 1 < shape[axis]);
        let Some(axis) = next else { return Ok(()) };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

/// How many numbers lie between neighbours along each axis.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// An integer for each element, in the order in which the elements are: what is not a number stands
/// behind all numbers.
pub(super) fn keys(host: &HostTensor) -> Vec<i128> {
    let kind = host.element_type();
    if kind == ElementType::U64 {
        let bits = host.ints().unwrap_or_default();
        return bits.into_iter().map(|v| i128::from(v as u64)).collect();
    }
    if let Ok(ints) = host.ints() {
        return ints.into_iter().map(i128::from).collect();
    }
    let key = |v: f32| match v.is_nan() {
        true => i128::from(i32::MAX),
        false => {
            // Both zeros are one number; bits of negative numbers count backwards.
            let bits = (v + 0.0).to_bits() as i32;
            i128::from(if bits < 0 {
                i32::MIN.wrapping_sub(bits)
            } else {
                bits
            })
        }
    };
    host.floats().into_iter().map(key).collect()
}
