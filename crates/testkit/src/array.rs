//! Arrays that readable loops work on, which operators on tensors are held against: random numbers,
//! comparison, gradients by central differences.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use elucid_kernels::pool::Pool2d;
use proptest::prelude::*;

/// The device named by `ELUCID_TEST_DEVICE`: `cpu` unless set, or `wgpu`.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            match std::env::var("ELUCID_TEST_DEVICE")
                .as_deref()
                .unwrap_or("cpu")
            {
                #[cfg(feature = "flex")]
                "cpu" => Device::flex(),
                #[cfg(feature = "wgpu")]
                "wgpu" => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
                other => panic!("ELUCID_TEST_DEVICE={other} is not among the features built"),
            }
        })
        .clone()
}

/// Few cases where each costs shaders to compile.
pub fn cases() -> ProptestConfig {
    let cases = if std::env::var("ELUCID_TEST_DEVICE").as_deref() == Ok("wgpu") {
        12
    } else {
        192
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// An array `[N, C, H, W]` in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub dims: [usize; 4],
    pub values: Vec<f32>,
}

impl Array {
    pub fn zeros(dims: [usize; 4]) -> Self {
        Self {
            dims,
            values: vec![0.0; dims.iter().product()],
        }
    }

    /// Uniform numbers from -1 to 1 (xorshift).
    pub fn random(dims: [usize; 4], seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let mut array = Self::zeros(dims);
        array.values.fill_with(&mut next);
        array
    }

    /// Random numbers of which many are equal and many zero, as after a ReLU.
    pub fn random_with_ties(dims: [usize; 4], seed: u64) -> Self {
        Self::random(dims, seed).map(|v| (v * 3.0).round().max(-1.0) / 2.0)
    }

    pub fn map(mut self, f: impl Fn(f32) -> f32) -> Self {
        for v in &mut self.values {
            *v = f(*v);
        }
        self
    }

    fn at(&self, [n, c, h, w]: [usize; 4]) -> usize {
        let [_, channels, height, width] = self.dims;
        ((n * channels + c) * height + h) * width + w
    }

    pub fn get(&self, index: [usize; 4]) -> f32 {
        self.values[self.at(index)]
    }

    pub fn get_mut(&mut self, index: [usize; 4]) -> &mut f32 {
        let at = self.at(index);
        &mut self.values[at]
    }

    pub fn tensor(&self) -> Tensor<4> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.dims), &device())
    }

    pub fn tracked(&self) -> Tensor<4> {
        self.tensor().autodiff().require_grad()
    }

    pub fn of(tensor: Tensor<4>) -> Self {
        Self {
            dims: tensor.dims(),
            values: tensor.into_data().try_to_vec().unwrap(),
        }
    }

    pub fn dot(&self, other: &Array) -> f64 {
        assert_eq!(self.dims, other.dims);
        self.values
            .iter()
            .zip(&other.values)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    }
}

pub fn indices([n, c, h, w]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..n).flat_map(move |i| {
        (0..c).flat_map(move |j| (0..h).flat_map(move |k| (0..w).map(move |l| [i, j, k, l])))
    })
}

/// Fails unless all of `got` is within `tolerance` times the largest value of `want`.
#[track_caller]
pub fn assert_close(got: &Array, want: &Array, tolerance: f32) {
    assert_eq!(got.dims, want.dims);
    let largest = want.values.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.values.iter().zip(&want.values).enumerate() {
        let same = (g - w).abs() <= tolerance * largest || (g.is_nan() && w.is_nan());
        assert!(same, "element {i}: got {g}, want {w}, largest {largest}");
    }
}

/// The output of `f` and the gradient of `(f(x) * g).sum()` at `x`; `g` is made for the output.
pub fn value_and_gradient(
    x: &Array,
    f: impl Fn(Tensor<4>) -> Tensor<4>,
    g: impl Fn([usize; 4]) -> Array,
) -> (Array, Array) {
    let x = x.tracked();
    let y = f(x.clone());
    let value = Array::of(y.clone().inner());
    let gradients = (y * Tensor::from_inner(g(value.dims).tensor()))
        .sum()
        .backward();
    (value, Array::of(x.grad(&gradients).unwrap()))
}

/// The derivative of `(f(x) * g).sum()` along `direction`, by central differences.
pub fn directional_difference(
    x: &Array,
    direction: &Array,
    step: f32,
    g: &Array,
    f: impl Fn(Tensor<4>) -> Tensor<4>,
) -> f64 {
    let moved = |by: f32| {
        let mut x = x.clone();
        for (x, d) in x.values.iter_mut().zip(&direction.values) {
            *x += by * d;
        }
        Array::of(f(x.tensor())).dot(g)
    };
    (moved(step) - moved(-step)) / (2.0 * f64::from(step))
}

/// The positions of window `[i, j]` that fall into an input of `[height, width]`, row by row.
pub fn window(pool: &Pool2d, [i, j]: [usize; 2], [height, width]: [usize; 2]) -> Vec<[usize; 2]> {
    let mut positions = Vec::new();
    for r in 0..pool.kernel[0] {
        for c in 0..pool.kernel[1] {
            let row = i * pool.stride[0] + r * pool.dilation[0];
            let col = j * pool.stride[1] + c * pool.dilation[1];
            let [top, left, ..] = pool.pads;
            if row >= top && row < top + height && col >= left && col < left + width {
                positions.push([row - top, col - left]);
            }
        }
    }
    positions
}

/// A pool and an input size that go together: odd sizes, asymmetric padding, dilation, rounding.
pub fn pool_and_dims() -> impl Strategy<Value = (Pool2d, [usize; 4])> {
    let pair = |max: usize| [1..=max, 1..=max];
    (
        pair(3),
        pair(3),
        [0usize..3, 0..3, 0..3, 0..3],
        pair(2),
        any::<bool>(),
        [1usize..=3, 1..=3, 1..=9, 1..=9],
    )
        .prop_map(|(kernel, stride, pads, dilation, ceil_mode, dims)| {
            let pool = Pool2d::new(kernel)
                .stride(stride)
                .pads(pads)
                .dilation(dilation)
                .ceil_mode(ceil_mode);
            (pool, dims)
        })
        .prop_filter("the pool must fit", |(pool, dims)| {
            pool.output_size([dims[2], dims[3]]).is_ok()
        })
}

pub fn output_dims(pool: &Pool2d, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
    let [height, width] = pool.output_size([h, w]).unwrap();
    [n, c, height, width]
}
