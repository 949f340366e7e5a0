//! Networks of convolutions: InceptionV1, ResNet, DenseNet, VGG, U-Net.

use burn::module::Module;
use burn::nn::conv::{Conv2d, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::pool::{
    AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, AvgPool2d, AvgPool2dConfig, MaxPool2d,
    MaxPool2dConfig,
};
use burn::nn::{
    BatchNorm, Dropout, DropoutConfig, Linear, LocalResponseNorm, LocalResponseNormConfig,
    PaddingConfig2d, Relu,
};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use elucid_testkit::device;

use super::{CLASSES, ConvBlock, batch_norm, conv, linear, pooled, same};
use crate::networks::probe;

// InceptionV1

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
    fn new(from: usize, each: usize) -> Self {
        Self {
            b1: conv([from, each], 1, 1),
            b2_reduce: conv([from, 8], 1, 1),
            b2: conv([8, each], 3, 1),
            b3_reduce: conv([from, 4], 1, 1),
            b3: conv([4, each], 5, 1),
            pool: MaxPool2dConfig::new([3, 3])
                .with_strides([1, 1])
                .with_padding(same(1))
                .init(),
            b4: conv([from, each], 1, 1),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let b1 = relu(self.b1.forward(x.clone()));
        let b2 = relu(self.b2.forward(relu(self.b2_reduce.forward(x.clone()))));
        let b3 = relu(self.b3.forward(relu(self.b3_reduce.forward(x.clone()))));
        let b4 = relu(self.b4.forward(self.pool.forward(x)));
        Tensor::cat(vec![b1, b2, b3, b4], 1)
    }
}

#[derive(Module, Debug)]
pub struct InceptionV1 {
    conv1: Conv2d,
    relu: Relu,
    pool1: MaxPool2d,
    norm1: LocalResponseNorm,
    conv2: Conv2d,
    inception_3a: Inception,
    inception_3b: Inception,
    pool3: MaxPool2d,
    inception_4a: Inception,
    avg: AdaptiveAvgPool2d,
    dropout: Dropout,
    fc: Linear,
}

impl InceptionV1 {
    pub const LAYERS: &'static [&'static str] = &[
        "conv1",
        "conv2",
        "inception_3a",
        "inception_3b",
        "inception_4a",
        "inception_4a.b2",
    ];

    pub fn new() -> Self {
        Self {
            conv1: conv([3, 16], 7, 2),
            relu: Relu::new(),
            // Ceil mode, as in GoogLeNet.
            pool1: MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_ceil_mode(true)
                .init(),
            norm1: LocalResponseNormConfig::new(5).with_alpha(0.5).init(),
            conv2: conv([16, 24], 3, 1),
            inception_3a: Inception::new(24, 6),
            inception_3b: Inception::new(24, 8),
            // Asymmetric padding.
            pool3: MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(0, 0, 1, 1))
                .init(),
            inception_4a: Inception::new(32, 8),
            avg: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            dropout: DropoutConfig::new(0.4).init(),
            fc: linear(32, CLASSES),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = probe("conv1", self.conv1.forward(x));
        let x = self.norm1.forward(self.pool1.forward(self.relu.forward(x)));
        let x = relu(probe("conv2", self.conv2.forward(x)));
        let x = probe("inception_3a", self.inception_3a.forward(x));
        let x = probe("inception_3b", self.inception_3b.forward(x));
        let x = self.inception_4a.probed(self.pool3.forward(x));
        let x = probe("inception_4a", x);
        let x = self.avg.forward(x).flatten::<2>(1, 3);
        self.fc.forward(self.dropout.forward(x))
    }
}

impl Inception {
    /// With a look at a layer inside.
    fn probed(&self, x: Tensor<4>) -> Tensor<4> {
        let b1 = relu(self.b1.forward(x.clone()));
        let b2 = self.b2.forward(relu(self.b2_reduce.forward(x.clone())));
        let b2 = relu(probe("inception_4a.b2", b2));
        let b3 = relu(self.b3.forward(relu(self.b3_reduce.forward(x.clone()))));
        let b4 = relu(self.b4.forward(self.pool.forward(x)));
        Tensor::cat(vec![b1, b2, b3, b4], 1)
    }
}

// ResNet

#[derive(Module, Debug)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<ConvBlock>,
}

#[derive(Module, Debug)]
pub struct ResNet {
    stem: ConvBlock,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    fc: Linear,
}

impl BasicBlock {
    fn new(channels: [usize; 2], stride: usize) -> Self {
        let a = ConvBlock::new(channels, 3, stride);
        let b = ConvBlock::new([channels[1]; 2], 3, 1);
        Self {
            conv1: a.conv,
            bn1: a.norm,
            conv2: b.conv,
            bn2: b.norm,
            downsample: (stride > 1).then(|| ConvBlock::new(channels, 1, stride)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let y = self.bn2.forward(self.conv2.forward(y));
        let x = match &self.downsample {
            Some(block) => block.norm.forward(block.conv.forward(x)),
            None => x,
        };
        relu(y + x)
    }
}

impl ResNet {
    pub const LAYERS: &'static [&'static str] = &[
        "stem", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer1", "fc",
    ];

    pub fn new() -> Self {
        Self {
            stem: ConvBlock::new([3, 8], 3, 1),
            layer1: vec![BasicBlock::new([8, 8], 1), BasicBlock::new([8, 8], 1)],
            layer2: vec![BasicBlock::new([8, 12], 2), BasicBlock::new([12, 12], 1)],
            fc: linear(12, CLASSES),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = probe("stem", self.stem.forward(x));
        for (stage, blocks) in [("layer1", &self.layer1), ("layer2", &self.layer2)] {
            for (i, block) in blocks.iter().enumerate() {
                x = probe(&format!("{stage}.{i}"), block.forward(x));
            }
            x = probe(stage, x);
        }
        probe("fc", self.fc.forward(pooled(x)))
    }
}

// DenseNet

#[derive(Module, Debug)]
pub struct DenseLayer {
    norm: BatchNorm,
    conv: Conv2d,
}

#[derive(Module, Debug)]
pub struct DenseNet {
    stem: Conv2d,
    block1: Vec<DenseLayer>,
    transition: Conv2d,
    pool: AvgPool2d,
    block2: Vec<DenseLayer>,
    norm: BatchNorm,
    classifier: Linear,
}

impl DenseLayer {
    fn new(from: usize) -> Self {
        Self {
            norm: batch_norm(from),
            conv: conv([from, 4], 3, 1),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let new = self.conv.forward(relu(self.norm.forward(x.clone())));
        Tensor::cat(vec![x, new], 1)
    }
}

impl DenseNet {
    pub const LAYERS: &'static [&'static str] =
        &["stem", "block1.1", "transition", "block2.1.conv"];

    pub fn new() -> Self {
        Self {
            stem: conv([3, 8], 3, 2),
            block1: vec![DenseLayer::new(8), DenseLayer::new(12)],
            transition: conv([16, 8], 1, 1),
            pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            block2: vec![DenseLayer::new(8), DenseLayer::new(12)],
            norm: batch_norm(16),
            classifier: linear(16, CLASSES),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let mut x = probe("stem", self.stem.forward(x));
        for (i, layer) in self.block1.iter().enumerate() {
            x = probe(&format!("block1.{i}"), layer.forward(x));
        }
        let x = probe("transition", self.transition.forward(x));
        let x = self.block2[0].forward(self.pool.forward(x));
        let last = &self.block2[1];
        let new = last.conv.forward(relu(last.norm.forward(x.clone())));
        let x = Tensor::cat(vec![x, probe("block2.1.conv", new)], 1);
        self.classifier.forward(pooled(relu(self.norm.forward(x))))
    }
}

// VGG

#[derive(Module, Debug)]
pub struct Vgg {
    features: Vec<Conv2d>,
    pool: MaxPool2d,
    fc1: Linear,
    dropout: Dropout,
    fc2: Linear,
}

impl Vgg {
    pub const LAYERS: &'static [&'static str] = &["features.0", "features.2", "features.3", "fc1"];

    pub fn new() -> Self {
        let channels = [[3, 8], [8, 8], [8, 12], [12, 12]];
        Self {
            features: channels.map(|channels| conv(channels, 3, 1)).to_vec(),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            fc1: linear(12 * 8 * 8, 20),
            dropout: DropoutConfig::new(0.5).init(),
            fc2: linear(20, CLASSES),
        }
    }

    pub fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        for (i, conv) in self.features.iter().enumerate() {
            x = relu(probe(&format!("features.{i}"), conv.forward(x)));
            if i % 2 == 1 {
                x = self.pool.forward(x);
            }
        }
        let x = probe("fc1", self.fc1.forward(x.flatten::<2>(1, 3)));
        self.fc2.forward(self.dropout.forward(relu(x)))
    }
}

// U-Net

#[derive(Module, Debug)]
pub struct UNet {
    down1: ConvBlock,
    down2: ConvBlock,
    middle: ConvBlock,
    up2: ConvTranspose2d,
    join2: ConvBlock,
    up1: ConvTranspose2d,
    join1: ConvBlock,
    out: Conv2d,
    pool: MaxPool2d,
}

impl UNet {
    pub const LAYERS: &'static [&'static str] =
        &["down1", "middle", "up2", "join2", "join1", "out"];

    pub fn new() -> Self {
        let up = |channels| {
            let config = ConvTranspose2dConfig::new(channels, [2, 2]);
            config.with_stride([2, 2]).init(&device())
        };
        Self {
            down1: ConvBlock::new([3, 6], 3, 1),
            down2: ConvBlock::new([6, 8], 3, 1),
            middle: ConvBlock::new([8, 10], 3, 1),
            up2: up([10, 8]),
            join2: ConvBlock::new([16, 8], 3, 1),
            up1: up([8, 6]),
            join1: ConvBlock::new([12, 6], 3, 1),
            out: conv([6, CLASSES], 1, 1),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let first = probe("down1", self.down1.forward(x));
        let second = self.down2.forward(self.pool.forward(first.clone()));
        let x = probe(
            "middle",
            self.middle.forward(self.pool.forward(second.clone())),
        );
        let x = probe("up2", self.up2.forward(x));
        let x = probe("join2", self.join2.forward(Tensor::cat(vec![x, second], 1)));
        let x = Tensor::cat(vec![self.up1.forward(x), first], 1);
        let x = probe("join1", self.join1.forward(x));
        pooled(probe("out", self.out.forward(x)))
    }
}
