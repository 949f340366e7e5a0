//! Networks as users of burn write them. Nothing here knows of capture; `probe` is the tests' own look at
//! values, by the names by which the captured network is asked for them.

use burn::module::{Module, Param, RunningState};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::pool::{
    AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, AvgPool2d, AvgPool2dConfig, MaxPool2d,
    MaxPool2dConfig,
};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Gelu, GroupNorm, GroupNormConfig,
    LayerNorm, LayerNormConfig, Linear, LinearConfig, LocalResponseNorm, LocalResponseNormConfig,
    PaddingConfig2d, Relu,
};
use burn::tensor::activation::{hard_sigmoid, hard_swish, relu, silu};
use burn::tensor::{Tensor, s};
use elucid_testkit::{device, numbers};

use super::probe;

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

// MobileNet with squeeze-and-excitation

#[derive(Module, Debug)]
pub struct SqueezeExcite {
    fc1: Conv2d,
    fc2: Conv2d,
}

#[derive(Module, Debug)]
pub struct InvertedResidual {
    expand: ConvBlock,
    depthwise: Conv2d,
    norm: BatchNorm,
    se: SqueezeExcite,
    project: Conv2d,
    project_norm: BatchNorm,
}

#[derive(Module, Debug)]
pub struct MobileNet {
    stem: Conv2d,
    norm: BatchNorm,
    blocks: Vec<InvertedResidual>,
    head: Conv2d,
    fc: Linear,
}

impl SqueezeExcite {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let factor = relu(self.fc1.forward(x.clone().mean_dims(&[2, 3])));
        x * hard_sigmoid(self.fc2.forward(factor), 1.0 / 6.0, 0.5)
    }
}

impl InvertedResidual {
    fn new(channels: usize) -> Self {
        let wide = 2 * channels;
        Self {
            expand: ConvBlock::new([channels, wide], 1, 1),
            depthwise: conv_config([wide, wide], 3, 1)
                .with_groups(wide)
                .init(&device()),
            norm: batch_norm(wide),
            se: SqueezeExcite {
                fc1: conv([wide, 4], 1, 1),
                fc2: conv([4, wide], 1, 1),
            },
            project: conv([wide, channels], 1, 1),
            project_norm: batch_norm(channels),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.expand.forward(x.clone());
        let y = hard_swish(self.norm.forward(self.depthwise.forward(y)));
        let y = self.se.forward(y);
        x + self.project_norm.forward(self.project.forward(y))
    }
}

impl MobileNet {
    pub const LAYERS: &'static [&'static str] = &["stem", "blocks.0", "blocks.1", "head"];

    pub fn new() -> Self {
        Self {
            stem: conv([3, 8], 3, 2),
            norm: batch_norm(8),
            blocks: vec![InvertedResidual::new(8), InvertedResidual::new(8)],
            head: conv([8, 16], 1, 1),
            fc: linear(16, CLASSES),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = probe("stem", self.stem.forward(x));
        let mut x = hard_swish(self.norm.forward(x));
        for (i, block) in self.blocks.iter().enumerate() {
            x = probe(&format!("blocks.{i}"), block.forward(x));
        }
        let x = hard_swish(probe("head", self.head.forward(x)));
        self.fc.forward(pooled(x))
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

// ConvNeXt

#[derive(Module, Debug)]
pub struct ConvNextBlock {
    dwconv: Conv2d,
    norm: LayerNorm,
    pwconv1: Linear,
    act: Gelu,
    pwconv2: Linear,
    gamma: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
pub struct ConvNext {
    stem: Conv2d,
    stem_norm: GroupNorm,
    stages: Vec<Vec<ConvNextBlock>>,
    downsample: Conv2d,
    norm: LayerNorm,
    head: Linear,
}

impl ConvNextBlock {
    fn new(channels: usize) -> Self {
        let depthwise = conv_config([channels, channels], 7, 1).with_groups(channels);
        Self {
            dwconv: depthwise.init(&device()),
            norm: LayerNormConfig::new(channels).init(&device()),
            pwconv1: linear(channels, 2 * channels),
            act: Gelu::new(),
            pwconv2: linear(2 * channels, channels),
            gamma: Param::from_tensor(Tensor::ones([channels], &device()) * 0.7),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.dwconv.forward(x.clone()).permute([0, 2, 3, 1]);
        let y = self.act.forward(self.pwconv1.forward(self.norm.forward(y)));
        let y = self.pwconv2.forward(y) * self.gamma.val().unsqueeze::<4>();
        x + y.permute([0, 3, 1, 2])
    }
}

impl ConvNext {
    pub const LAYERS: &'static [&'static str] = &[
        "stem",
        "stages.0.0",
        "stages.0.1",
        "downsample",
        "stages.1.0",
    ];

    pub fn new() -> Self {
        Self {
            stem: Conv2dConfig::new([3, 8], [4, 4])
                .with_stride([4, 4])
                .init(&device()),
            stem_norm: GroupNormConfig::new(1, 8).init(&device()),
            stages: vec![
                vec![ConvNextBlock::new(8), ConvNextBlock::new(8)],
                vec![ConvNextBlock::new(12)],
            ],
            downsample: conv([8, 12], 3, 2),
            norm: LayerNormConfig::new(12).init(&device()),
            head: linear(12, CLASSES),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = probe("stem", self.stem.forward(x));
        let mut x = self.stem_norm.forward(x);
        for (i, stage) in self.stages.iter().enumerate() {
            if i > 0 {
                x = probe("downsample", self.downsample.forward(x));
            }
            for (j, block) in stage.iter().enumerate() {
                x = probe(&format!("stages.{i}.{j}"), block.forward(x));
            }
        }
        self.head.forward(self.norm.forward(pooled(x)))
    }
}

// ViT

#[derive(Module, Debug)]
pub struct EncoderBlock {
    norm1: LayerNorm,
    attn: MultiHeadAttention,
    norm2: LayerNorm,
    fc1: Linear,
    act: Gelu,
    fc2: Linear,
}

#[derive(Module, Debug)]
pub struct VisionTransformer {
    patch: Conv2d,
    class: Param<Tensor<3>>,
    position: Param<Tensor<3>>,
    blocks: Vec<EncoderBlock>,
    norm: LayerNorm,
    head: Linear,
}

impl VisionTransformer {
    pub const LAYERS: &'static [&'static str] = &[
        "patch",
        "blocks.0",
        "blocks.1",
        "blocks.1.attn",
        "norm",
        "head",
    ];

    pub fn new() -> Self {
        let width = 16;
        let norm = || LayerNormConfig::new(width).init(&device());
        let block = || EncoderBlock {
            norm1: norm(),
            attn: MultiHeadAttentionConfig::new(width, 4).init(&device()),
            norm2: norm(),
            fc1: linear(width, 2 * width),
            act: Gelu::new(),
            fc2: linear(2 * width, width),
        };
        Self {
            patch: Conv2dConfig::new([3, width], [8, 8])
                .with_stride([8, 8])
                .init(&device()),
            class: noise([1, 1, width], 11),
            position: noise([1, 17, width], 12),
            blocks: vec![block(), block()],
            norm: norm(),
            head: linear(width, CLASSES),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let images = x.dims()[0];
        let x = probe("patch", self.patch.forward(x));
        let x = x.flatten::<3>(2, 3).swap_dims(1, 2);
        let class = self.class.val().expand([images, 1, 16]);
        let mut x = Tensor::cat(vec![class, x], 1) + self.position.val();
        for (i, block) in self.blocks.iter().enumerate() {
            let y = MhaInput::self_attn(block.norm1.forward(x.clone()));
            x = x + probe(&format!("blocks.{i}.attn"), block.attn.forward(y).context);
            let y = block.fc1.forward(block.norm2.forward(x.clone()));
            x = x + block.fc2.forward(block.act.forward(y));
            x = probe(&format!("blocks.{i}"), x);
        }
        let x = probe("norm", self.norm.forward(x));
        let class = x.slice(s![.., 0..1, ..]).squeeze_dim::<2>(1);
        probe("head", self.head.forward(class))
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
