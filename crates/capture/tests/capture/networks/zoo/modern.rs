//! Networks with gates, layer normalisations and attention: MobileNet, ConvNeXt, ViT.

use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, Gelu, GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::{hard_sigmoid, hard_swish, relu};
use burn::tensor::{Tensor, s};
use elucid_testkit::device;

use super::{CLASSES, ConvBlock, batch_norm, conv, conv_config, linear, noise, pooled};
use crate::networks::probe;

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
