//! burn's modules, one by one.

use burn::module::Module;
use burn::nn;
use burn::nn::attention::{MhaInput, MultiHeadAttentionConfig, generate_autoregressive_mask};
use burn::nn::transformer::{TransformerEncoderConfig, TransformerEncoderInput};
use burn::tensor::{Device, Int, Tensor};
use elucid_testkit::device;

use super::common::{Table, compare, flat};

const SIZE: usize = 14;
const IMAGE: [usize; 3] = [4, SIZE, SIZE];

macro_rules! table {
    ($($name:literal: $module:expr, $f:expr;)*) => {{
        let mut table = Table::default();
        $(table.case($name, check($module, $f));)*
        table.finish();
    }};
    ($($name:literal: $module:expr;)*) => {
        table! { $($name: $module, |m, x: Tensor<4>| flat(m.forward(x));)* }
    };
}

fn check<M: Module>(
    module: M,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
) -> Result<Vec<String>, String> {
    compare(&module, IMAGE, forward)
}

/// The images' rows as a sequence of tokens.
fn tokens(x: Tensor<4>) -> Tensor<3> {
    x.flatten::<3>(1, 2)
}

fn d() -> Device {
    device()
}

#[test]
fn convolutions() {
    use nn::conv::*;
    table! {
        "Conv2d": Conv2dConfig::new([4, 6], [3, 3]).init(&d());
        "Conv2d same": Conv2dConfig::new([4, 6], [5, 3]).with_padding(nn::PaddingConfig2d::Same).init(&d());
        "Conv2d same, stride 2": Conv2dConfig::new([4, 6], [3, 3]).with_stride([2, 2]).with_padding(nn::PaddingConfig2d::Same).init(&d());
        "Conv2d asymmetric": Conv2dConfig::new([4, 6], [3, 3]).with_padding(nn::PaddingConfig2d::Explicit(0, 1, 2, 0)).init(&d());
        "Conv2d grouped, dilated": Conv2dConfig::new([4, 6], [3, 3]).with_groups(2).with_dilation([2, 2]).with_bias(false).init(&d());
        "ConvTranspose2d": ConvTranspose2dConfig::new([4, 6], [3, 3]).with_stride([2, 2]).with_padding([1, 1]).with_padding_out([1, 1]).init(&d());
    }
    table! {
        "Conv1d": Conv1dConfig::new(4 * SIZE, 6, 3).with_stride(2).init(&d()), |m, x| flat(m.forward(tokens(x)));
        "ConvTranspose1d": ConvTranspose1dConfig::new([4 * SIZE, 6], 3).with_stride(2).init(&d()), |m, x| flat(m.forward(tokens(x)));
        "Conv3d": Conv3dConfig::new([1, 2], [2, 3, 3]).init(&d()), |m, x| flat(m.forward(x.unsqueeze_dim::<5>(1)));
        "ConvTranspose3d": ConvTranspose3dConfig::new([1, 2], [2, 3, 3]).init(&d()), |m, x| flat(m.forward(x.unsqueeze_dim::<5>(1)));
        "DeformConv2d": DeformConv2dConfig::new([4, 6], [3, 3]).with_padding(nn::PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&d()), |m, x| {
            let offset = Tensor::cat(vec![x.clone(); 5], 1).narrow(1, 0, 18) * 0.3;
            flat(m.forward(x, offset, None))
        };
    }
}

#[test]
fn pools() {
    use nn::PaddingConfig2d::Explicit;
    use nn::pool::*;
    table! {
        "MaxPool2d": MaxPool2dConfig::new([3, 3]).with_strides([2, 2]).init();
        "MaxPool2d ceil": MaxPool2dConfig::new([3, 3]).with_strides([2, 2]).with_ceil_mode(true).init();
        "MaxPool2d padded": MaxPool2dConfig::new([3, 3]).with_strides([1, 1]).with_padding(Explicit(1, 1, 1, 1)).init();
        "MaxPool2d asymmetric": MaxPool2dConfig::new([3, 3]).with_strides([2, 2]).with_padding(Explicit(0, 0, 1, 1)).init();
        "AvgPool2d": AvgPool2dConfig::new([3, 3]).with_strides([2, 2]).with_padding(Explicit(1, 1, 1, 1)).init();
        "AvgPool2d ceil": AvgPool2dConfig::new([3, 3]).with_strides([2, 2]).with_ceil_mode(true).init();
        "AvgPool2d without padding counted": AvgPool2dConfig::new([3, 3]).with_padding(Explicit(1, 1, 1, 1)).with_count_include_pad(false).init();
        "AvgPool2d asymmetric": AvgPool2dConfig::new([3, 3]).with_padding(Explicit(0, 0, 1, 1)).init();
        "AdaptiveAvgPool2d 1": AdaptiveAvgPool2dConfig::new([1, 1]).init();
        "AdaptiveAvgPool2d 7": AdaptiveAvgPool2dConfig::new([7, 2]).init();
        "AdaptiveAvgPool2d 5": AdaptiveAvgPool2dConfig::new([5, 3]).init();
    }
    table! {
        "MaxPool1d": MaxPool1dConfig::new(3).with_stride(2).init(), |m, x| flat(m.forward(tokens(x)));
        "AvgPool1d": AvgPool1dConfig::new(3).with_stride(2).init(), |m, x| flat(m.forward(tokens(x)));
        "AdaptiveAvgPool1d": AdaptiveAvgPool1dConfig::new(5).init(), |m, x| flat(m.forward(tokens(x)));
        "AdaptiveAvgPool3d": AdaptiveAvgPool3dConfig::new([1, 5, 3]).init(), |m, x| flat(m.forward(x.unsqueeze_dim::<5>(1)));
    }
}

/// Statistics of a trained network.
fn batch_norm(channels: usize) -> nn::BatchNorm {
    let mut norm = nn::BatchNormConfig::new(channels).init(&d());
    let numbers = |seed| {
        let numbers = elucid_testkit::numbers(channels, seed);
        Tensor::<1>::from_floats(numbers.as_slice(), &d())
    };
    norm.running_mean = burn::module::RunningState::new(numbers(3) * 0.3);
    norm.running_var = burn::module::RunningState::new(numbers(4).abs() + 0.5);
    norm
}

#[test]
fn normalisations() {
    table! {
        "BatchNorm": batch_norm(4);
        "GroupNorm": nn::GroupNormConfig::new(2, 4).init(&d());
        "InstanceNorm": nn::InstanceNormConfig::new(4).init(&d());
        "LayerNorm": nn::LayerNormConfig::new(SIZE).init(&d());
        "RmsNorm": nn::RmsNormConfig::new(SIZE).init(&d());
        "LocalResponseNorm": nn::LocalResponseNormConfig::new(5).with_alpha(0.5).init();
        "LocalResponseNorm, even": nn::LocalResponseNormConfig::new(4).with_alpha(0.5).init();
    }
}

#[test]
fn layers_and_activations() {
    table! {
        "Linear": nn::LinearConfig::new(SIZE, 5).init(&d());
        "Linear without bias": nn::LinearConfig::new(SIZE, 5).with_bias(false).init(&d());
        "PRelu": nn::PReluConfig::new().init(&d());
        "PRelu by channel": nn::PReluConfig::new().with_num_parameters(4).init(&d());
        "SwiGlu": nn::SwiGluConfig::new(SIZE, 8).init(&d());
        "Dropout": nn::DropoutConfig::new(0.5).init();
        "Gelu": nn::Gelu::new();
        "Relu": nn::Relu::new();
        "Sigmoid": nn::Sigmoid::new();
        "LeakyRelu": nn::LeakyReluConfig::new().init();
        "HardSigmoid": nn::HardSigmoidConfig::new().init();
        "Interpolate2d": nn::interpolate::Interpolate2dConfig::new().with_scale_factor(Some([2.0, 2.0])).init();
        "PixelShuffle": nn::PixelShuffleConfig::new(2).init();
        "PixelUnshuffle": nn::PixelUnshuffleConfig::new(2).init();
        "Unfold4d": nn::Unfold4dConfig::new([3, 3]).init();
    }
    table! {
        "Linear on rows": nn::LinearConfig::new(SIZE, 5).init(&d()), |m, x| flat(m.forward(tokens(x)));
        "Linear on vectors": nn::LinearConfig::new(4, 5).init(&d()), |m, x| m.forward(x.mean_dims(&[2, 3]).flatten::<2>(1, 3));
        "Embedding": nn::EmbeddingConfig::new(9, 6).init(&d()), |m, x| {
            let ids = (tokens(x).mean_dim(2).squeeze_dim::<2>(2).abs() * 4.0).clamp(0.0, 8.0).int();
            flat(m.forward(ids))
        };
        "Embedding of places": nn::EmbeddingConfig::new(9, SIZE).init(&d()), |m, x| {
            let places = Tensor::<1, Int>::arange(0..8, &x.device()).unsqueeze::<2>();
            flat(tokens(x).narrow(1, 0, 8) + m.forward(places))
        };
    }
}

#[test]
fn transformers() {
    let attention = || MultiHeadAttentionConfig::new(SIZE, 2).init(&d());
    let encoder = || {
        let config = TransformerEncoderConfig::new(SIZE, 28, 2, 2);
        config.with_dropout(0.1).init(&d())
    };
    table! {
        "MultiHeadAttention": attention(), |m, x| flat(m.forward(MhaInput::self_attn(tokens(x))).context);
        "MultiHeadAttention with a mask": attention(), |m, x| {
            let (n, device) = (x.dims()[0], x.device());
            let mask = generate_autoregressive_mask(n, 4 * SIZE, &device);
            flat(m.forward(MhaInput::self_attn(tokens(x)).mask_attn(mask)).context)
        };
        "TransformerEncoder": encoder(), |m, x| flat(m.forward(TransformerEncoderInput::new(tokens(x))));
        "TransformerEncoder, norms first": TransformerEncoderConfig::new(SIZE, 28, 2, 2).with_norm_first(true).init(&d()), |m, x| flat(m.forward(TransformerEncoderInput::new(tokens(x))));
        "PositionalEncoding": nn::PositionalEncodingConfig::new(SIZE).init(&d()), |m, x| flat(m.forward(tokens(x)));
        "RotaryEncoding": nn::RotaryEncodingConfig::new(64, SIZE).init(&d()), |m, x| flat(m.forward(tokens(x)));
    }
}

#[test]
fn recurrent_layers() {
    table! {
        "Gru": nn::GruConfig::new(SIZE, 5, true).init(&d()), |m, x| flat(m.forward(tokens(x).narrow(1, 0, 6), None));
        "Lstm": nn::LstmConfig::new(SIZE, 5, true).init(&d()), |m, x| flat(m.forward(tokens(x).narrow(1, 0, 6), None).0);
    }
}
