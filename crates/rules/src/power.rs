use burn::tensor::Tensor;

/// From here on a number is whole, and no 64-bit integer.
const BEYOND_INTEGERS: f32 = (1_u64 << 63) as f32;

/// `x` to the power of `exponent`, differentiable, for any exponent: burn's own asks whether one is whole by
/// way of a 64-bit integer, and panics where that has no room for it.
pub fn powf<const D: usize>(x: Tensor<D>, exponent: f32) -> Tensor<D> {
    if exponent.abs() < BEYOND_INTEGERS || exponent.is_nan() {
        return x.powf_scalar(exponent);
    }
    let exponents = x.full_like(exponent);
    x.powf(exponents)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn exponents_of_any_size() {
        let device = Device::flex().autodiff();
        let bases = [0.0_f64, 0.5, 1.0, 2.0];
        let whole = BEYOND_INTEGERS;
        for exponent in [
            0.3,
            3.0,
            -2.0,
            whole,
            -whole,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ] {
            let x = Tensor::<1>::from_data(bases, &device).require_grad();
            let y = powf(x.clone(), exponent);
            let values = y.to_data().try_to_vec::<f32>().unwrap();
            for (base, value) in bases.into_iter().zip(values) {
                let expected = base.powf(f64::from(exponent)) as f32;
                let close = (value - expected).abs() <= 1e-6 * expected.abs();
                let same = value == expected || value.is_nan() && expected.is_nan();
                assert!(close || same, "{base}^{exponent} is {value}");
            }
            assert!(x.grad(&y.sum().backward()).is_some());
        }
    }
}
