//! Networks as users of burn write them. Nothing here knows of capture; `probe` is the tests' own look at
//! values, by the names by which the captured network is asked for them.

mod convolutions;
mod modern;

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, silu};
use elucid_testkit::{device, numbers};

use super::probe;

pub use self::convolutions::{DenseNet, InceptionV1, ResNet, UNet, Vgg};
pub use self::modern::{ConvNext, MobileNet, VisionTransformer};

pub const CLASSES: usize = 5;

fn same(reach: usize) -> PaddingConfig2d {
    PaddingConfig2d::Explicit(reach, reach, reach, reach)
}

fn conv(channels: [usize; 2], kernel: usize, stride: usize) -> Conv2d {
    conv_config(channels, kernel, stride).init(&device())
}

fn conv_config(channels: [usize; 2], kernel: usize, stride: usize) -> Conv2dConfig {
    let config = Conv2dConfig::new(channels, [kernel, kernel]);
    config
        .with_stride([stride, stride])
        .with_padding(same(kernel / 2))
}

fn linear(from: usize, to: usize) -> Linear {
    LinearConfig::new(from, to).init(&device())
}

/// A normalisation with the statistics of a trained network.
fn batch_norm(channels: usize) -> BatchNorm {
    let mut norm = BatchNormConfig::new(channels).init(&device());
    let values = |seed| {
        let values = numbers(channels, seed);
        Tensor::<1>::from_floats(values.as_slice(), &device())
    };
    norm.running_mean = RunningState::new(values(3) * 0.2);
    norm.running_var = RunningState::new(values(4).abs() + 0.5);
    norm.beta = Param::from_tensor(values(5) * 0.1);
    norm
}

fn noise<const D: usize>(shape: [usize; D], seed: u32) -> Param<Tensor<D>> {
    let values = numbers(shape.iter().product(), seed);
    let flat = Tensor::<1>::from_floats(values.as_slice(), &device()) * 0.1;
    Param::from_tensor(flat.reshape(shape))
}

/// The mean over all positions.
fn pooled(x: Tensor<4>) -> Tensor<2> {
    x.mean_dims(&[2, 3]).flatten(1, 3)
}

#[derive(Module, Debug)]
pub struct ConvBlock {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvBlock {
    fn new(channels: [usize; 2], kernel: usize, stride: usize) -> Self {
        let config = conv_config(channels, kernel, stride).with_bias(false);
        Self {
            conv: config.init(&device()),
            norm: batch_norm(channels[1]),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.norm.forward(self.conv.forward(x)))
    }
}

// Two inputs

#[derive(Module, Debug)]
pub struct TwoInputs {
    conv: ConvBlock,
    state: Linear,
    joined: Conv2d,
    fc: Linear,
}

impl TwoInputs {
    pub const LAYERS: &'static [&'static str] = &["conv", "joined"];

    pub fn new() -> Self {
        Self {
            conv: ConvBlock::new([3, 8], 3, 2),
            state: linear(2, 8),
            joined: conv([8, 8], 3, 1),
            fc: linear(8, CLASSES),
        }
    }

    /// `state` is `[N, 2]`: what a robot knows of itself beside what it sees.
    pub fn forward(&self, x: Tensor<4>, state: Tensor<2>) -> Tensor<2> {
        let x = probe("conv", self.conv.forward(x));
        let state = silu(self.state.forward(state));
        let x = x + state.unsqueeze_dims::<4>(&[2, 3]);
        let x = probe("joined", self.joined.forward(x));
        self.fc.forward(pooled(relu(x)))
    }
}

// Shared weights

#[derive(Module, Debug)]
pub struct Shared {
    stem: Conv2d,
    again: Conv2d,
    fc: Linear,
}

impl Shared {
    pub const LAYERS: &'static [&'static str] = &["stem", "first", "second", "fc"];

    pub fn new() -> Self {
        Self {
            stem: conv([3, 8], 3, 2),
            again: conv([8, 8], 3, 1),
            fc: linear(8, CLASSES),
        }
    }

    /// One layer runs twice, so that its two values need names of their own.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(probe("stem", self.stem.forward(x)));
        let x = elucid_capture::layer("first", relu(self.again.forward(x)));
        let x = probe("first", x);
        let x = elucid_capture::layer("second", relu(self.again.forward(x)));
        let x = probe("second", x);
        probe("fc", self.fc.forward(pooled(x)))
    }
}
