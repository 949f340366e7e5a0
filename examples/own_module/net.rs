//! A small InceptionV1 as one writes it in burn. Nothing here knows of Elucid.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

fn conv(channels: [usize; 2], kernel: usize, device: &Device) -> Conv2d {
    let reach = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_padding(PaddingConfig2d::Explicit(reach, reach, reach, reach))
        .init(device)
}

fn pool(stride: usize) -> MaxPool2d {
    MaxPool2dConfig::new([3, 3])
        .with_strides([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init()
}

/// Four branches side by side.
#[derive(Module, Debug)]
pub struct Inception {
    b1: Conv2d,
    b2_reduce: Conv2d,
    b2: Conv2d,
    b3_reduce: Conv2d,
    b3: Conv2d,
    pool: MaxPool2d,
    b4: Conv2d,
}

impl Inception {
    fn new(from: usize, [b1, reduce2, b2, reduce3, b3, b4]: [usize; 6], device: &Device) -> Self {
        Self {
            b1: conv([from, b1], 1, device),
            b2_reduce: conv([from, reduce2], 1, device),
            b2: conv([reduce2, b2], 3, device),
            b3_reduce: conv([from, reduce3], 1, device),
            b3: conv([reduce3, b3], 5, device),
            pool: pool(1),
            b4: conv([from, b4], 1, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let b1 = relu(self.b1.forward(x.clone()));
        let b2 = relu(self.b2_reduce.forward(x.clone()));
        let b2 = relu(self.b2.forward(b2));
        let b3 = relu(self.b3_reduce.forward(x.clone()));
        let b3 = relu(self.b3.forward(b3));
        let b4 = relu(self.b4.forward(self.pool.forward(x)));
        Tensor::cat(vec![b1, b2, b3, b4], 1)
    }
}

// ANCHOR: net
/// Images `[N, 3, H, W]` to class scores `[N, classes]`.
#[derive(Module, Debug)]
pub struct SmallInception {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    inception_3a: Inception,
    inception_3b: Inception,
    inception_4a: Inception,
    dropout: Dropout,
    fc: Linear,
}

impl SmallInception {
    pub fn new(classes: usize, device: &Device) -> Self {
        Self {
            conv1: conv([3, 16], 5, device),
            conv2: conv([16, 32], 3, device),
            pool: pool(2),
            inception_3a: Inception::new(32, [8, 8, 16, 4, 8, 8], device),
            inception_3b: Inception::new(40, [12, 12, 20, 4, 8, 8], device),
            inception_4a: Inception::new(48, [16, 12, 24, 6, 12, 12], device),
            dropout: DropoutConfig::new(0.2).init(),
            fc: LinearConfig::new(64, classes).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(x)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        let x = self.inception_3a.forward(x);
        let x = self.pool.forward(self.inception_3b.forward(x));
        let x = self.inception_4a.forward(x);
        let x = x.mean_dims(&[2, 3]).flatten::<2>(1, 3);
        self.fc.forward(self.dropout.forward(x))
    }
}
// ANCHOR_END: net
