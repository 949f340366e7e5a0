//! A small vision transformer as one writes it in burn. Nothing here knows of Elucid.

use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    Gelu, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, s};

/// Side of a patch in pixels.
pub const PATCH: usize = 6;
const WIDTH: usize = 48;
const HEADS: usize = 4;
const BLOCKS: usize = 3;

/// Attention and a perceptron, each behind a normalisation and beside a residual connection.
#[derive(Module, Debug)]
pub struct Block {
    norm1: LayerNorm,
    attn: MultiHeadAttention,
    norm2: LayerNorm,
    fc1: Linear,
    gelu: Gelu,
    fc2: Linear,
}

impl Block {
    fn new(device: &Device) -> Self {
        let norm = || LayerNormConfig::new(WIDTH).init(device);
        Self {
            norm1: norm(),
            attn: MultiHeadAttentionConfig::new(WIDTH, HEADS)
                .with_dropout(0.0)
                .init(device),
            norm2: norm(),
            fc1: LinearConfig::new(WIDTH, 3 * WIDTH).init(device),
            gelu: Gelu::new(),
            fc2: LinearConfig::new(3 * WIDTH, WIDTH).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let attended = MhaInput::self_attn(self.norm1.forward(x.clone()));
        let x = x + self.attn.forward(attended).context;
        let y = self.fc1.forward(self.norm2.forward(x.clone()));
        x + self.fc2.forward(self.gelu.forward(y))
    }
}

/// Images `[N, 3, H, W]` to class scores `[N, classes]`, which are read from a class token. A convolution stands
/// before the patches: few pictures are enough to learn from then (Xiao et al., *Early Convolutions Help Transformers
/// See Better*, 2021).
#[derive(Module, Debug)]
pub struct SmallVit {
    stem: Conv2d,
    patches: Conv2d,
    class_token: Param<Tensor<3>>,
    position: Param<Tensor<3>>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl SmallVit {
    pub fn new(side: usize, classes: usize, device: &Device) -> Self {
        let tokens = 1 + (side / PATCH) * (side / PATCH);
        let small = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        Self {
            stem: Conv2dConfig::new([3, WIDTH / 2], [5, 5])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(2, 2, 2, 2))
                .init(device),
            patches: Conv2dConfig::new([WIDTH / 2, WIDTH], [PATCH / 2, PATCH / 2])
                .with_stride([PATCH / 2, PATCH / 2])
                .init(device),
            class_token: small.init([1, 1, WIDTH], device),
            position: small.init([1, tokens, WIDTH], device),
            blocks: (0..BLOCKS).map(|_| Block::new(device)).collect(),
            norm: LayerNormConfig::new(WIDTH).init(device),
            head: LinearConfig::new(WIDTH, classes).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let images = x.dims()[0];
        let x = relu(self.stem.forward(x));
        let x = self.patches.forward(x).flatten::<3>(2, 3).swap_dims(1, 2);
        let class = self.class_token.val().expand([images, 1, WIDTH]);
        let mut x = Tensor::cat(vec![class, x], 1) + self.position.val();
        for block in &self.blocks {
            x = block.forward(x);
        }
        let x = self.norm.forward(x).slice(s![.., 0..1, ..]);
        self.head.forward(x.squeeze_dim::<2>(1))
    }
}
