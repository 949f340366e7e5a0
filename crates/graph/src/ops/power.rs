//! `Pow`: each number to the power of another. The result has the type of the base.
//!
//! Negative bases have powers with whole exponents; backends' own powers do not all know that, so signs
//! are kept apart from magnitudes.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind, powf};

use super::pointwise::Pair;
use super::pointwise::legacy_axis;
use crate::activation::{Activation, IntoView};
use crate::host::{ElementType, HostTensor};
use crate::operator::{facts, Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Pow", 1, |a| {
    let axis = legacy_axis(a);
    Ok(Arc::new(Pow { axis }))
})];

#[derive(Debug)]
struct Pow {
    axis: Option<i64>,
}

/// Whole exponents up to this are products: exact as far as they can be, and faster.
const MOST_FACTORS: f32 = 4096.0;

impl Operator for Pow {
    facts!(kind: OpKind::Pow);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [_, true] | [true, false] => Algebra::Function,
            _ => Algebra::Other,
        }
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        Pair::apart(self.axis)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let pair = Pair::of(inputs, self.axis)?;
        let (a, b) = (pair.a, pair.b);
        for known in [a, b] {
            if known.kind == ElementType::Bool {
                return Err("booleans have no powers".into());
            }
        }
        if a.kind.is_int() {
            // Exact on the host.
            inputs.value(0, "integers to be raised to a power")?;
            inputs.value(1, "the exponents of integers")?;
        }
        if let Some((base, exponent)) = pair.hosts()? {
            return Ok(Resolved::known(on_host(base, &exponent, &pair.shape)?));
        }
        if let Some(exponent) = &b.host
            && pair.shape == a.shape
            && let [first, rest @ ..] = exponent.floats().as_slice()
            && rest.iter().all(|v| v == first)
        {
            return Ok(Resolved::typed(OnePower(*first), pair.shape, a.kind));
        }
        let [a_view, b_view] = pair.views();
        let kernel = Powers { a_view, b_view };
        Ok(Resolved::typed(kernel, pair.shape, a.kind))
    }
}

/// Both broadcast to `shape`.
fn on_host(
    base: &HostTensor,
    exponent: &HostTensor,
    shape: &[usize],
) -> Result<HostTensor, String> {
    let kind = base.element_type();
    let (base, exponent) = (base.expand(shape)?, exponent.expand(shape)?);
    if kind.is_int() && exponent.element_type().is_int() {
        return base.zip_ints(&exponent, shape, whole_power);
    }
    let exponents = exponent.floats();
    if kind.is_int() {
        let power = |(b, e): (i64, f32)| {
            let b = match kind {
                ElementType::U64 => b as u64 as f64,
                _ => b as f64,
            };
            let power = b.powf(f64::from(e));
            match kind {
                ElementType::U64 => power as u64 as i64,
                _ => power as i64,
            }
        };
        let powers = base.ints()?.into_iter().zip(exponents).map(power);
        return HostTensor::of_ints(kind, shape, powers.collect());
    }
    let power = |(b, e): (f32, f32)| f64::from(b).powf(f64::from(e)) as f32;
    let powers = base.floats().into_iter().zip(exponents).map(power);
    HostTensor::of_floats(kind, shape, powers.collect())
}

fn whole_power(base: i64, exponent: i64) -> i64 {
    match u32::try_from(exponent) {
        Ok(exponent) => base.wrapping_pow(exponent),
        // Of a negative power of an integer, only that of 1 and -1 is one.
        Err(_) => (base as f64).powf(exponent as f64) as i64,
    }
}

/// The same power of every number.
#[derive(Debug)]
struct OnePower(f32);

impl Kernel for OnePower {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).untyped();
        let exponent = self.0;
        let is_whole = exponent.fract() == 0.0;
        let y = if exponent == 0.5 {
            x.sqrt()
        } else if exponent == 0.0 {
            x.zeros_like() + 1.0
        } else if is_whole && exponent.abs() <= MOST_FACTORS {
            let power = factors(x, exponent.abs() as u32);
            match exponent < 0.0 {
                true => power.recip(),
                false => power,
            }
        } else if is_whole {
            let sign = signs(x.clone());
            let power = powf(x * sign.clone(), exponent);
            match exponent % 2.0 == 0.0 {
                true => power,
                false => power * sign,
            }
        } else {
            powf(x, exponent)
        };
        vec![y.into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}

/// `x` to the power of `count`, at least 1, by repeated squares.
fn factors(x: Tensor<1>, count: u32) -> Tensor<1> {
    match count {
        0 | 1 => x,
        even if even.is_multiple_of(2) => {
            let root = factors(x, even / 2);
            root.clone() * root
        }
        odd => factors(x.clone(), odd - 1) * x,
    }
}

/// -1 of what is negative, else 1: constants.
fn signs(x: Tensor<1>) -> Tensor<1> {
    let negative = x.without_autodiff().lower_scalar(0.0);
    negative.float() * -2.0 + 1.0
}

/// Each number to a power of its own.
#[derive(Debug)]
struct Powers {
    a_view: Vec<usize>,
    b_view: Vec<usize>,
}

impl Kernel for Powers {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let shape = &outputs[0].shape;
        let whole = |x: Activation, view: &[usize]| {
            super::where_::expanded(x.into_view(view), shape).untyped()
        };
        let base = whole(inputs.take(0), &self.a_view);
        let exponent = whole(inputs.take(1), &self.b_view);
        vec![power(base, exponent).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.broadcast()
    }
}

/// Both of one shape. With respect to the exponent the derivative is 0 where the base is not positive:
/// there, powers are no smooth function of it.
fn power(base: Tensor<1>, exponent: Tensor<1>) -> Tensor<1> {
    let fixed = exponent.clone().without_autodiff();
    let sign = signs(base.clone());
    let nothing = fixed.clone().equal_scalar(0.0);
    // 0 to the power of 0 is 1, whatever the backend says.
    let magnitude = (base.clone() * sign.clone()).mask_fill(nothing, 1.0);
    let powers = magnitude.powf(fixed.clone());
    // The remainders of exponents by 2: 0 of even ones, 1 of odd ones, another of those that are not
    // whole, of which negative bases have no powers.
    let remainder = fixed.clone() - (fixed * 0.5).floor() * 2.0;
    let odd = remainder.clone().equal_scalar(1.0);
    let whole = odd.clone().bool_or(remainder.equal_scalar(0.0));
    let negative = sign.lower_scalar(0.0);
    let powers = {
        let turned = (odd.bool_and(negative.clone())).float() * -2.0 + 1.0;
        powers * turned
    };
    let powers = powers.mask_fill(negative.bool_and(whole.bool_not()), f32::NAN);
    if !exponent.is_tracked() {
        return powers;
    }
    // The same once more as a function of the exponent, less its value.
    let constant = base.without_autodiff();
    let undefined = constant.clone().lower_equal_scalar(0.0);
    let moving = constant.mask_fill(undefined.clone(), 1.0).powf(exponent);
    let value = moving.clone().without_autodiff();
    let undefined = undefined.bool_or(value.clone().is_finite().bool_not());
    powers + (moving - value).mask_fill(undefined, 0.0)
}
