//! What burn takes apart is one operator again.

use burn::module::Module;
use burn::nn;
use burn::tensor::Tensor;
use burn::tensor::activation as act;
use elucid_graph::Pattern;
use elucid_testkit::device;

use super::common::{Nothing, bound, compare, flat};

const IMAGE: [usize; 3] = [4, 14, 14];

/// The operators of a pass that is compared, without the reshape that flattens it.
#[track_caller]
fn operators<M: Module>(module: &M, forward: impl Fn(&M, Tensor<4>) -> Tensor<4>) -> Vec<String> {
    let made = compare(module, IMAGE, |m, x| flat(forward(m, x)));
    let mut made = made.expect("the same as burn's own");
    assert_eq!(made.pop().as_deref(), Some("Reshape"));
    made
}

#[test]
fn functions_of_one_number_are_one_operator() {
    type Function = fn(Tensor<4>) -> Tensor<4>;
    let cases: [(&str, Function); 15] = [
        ("Swish", act::silu),
        ("Swish", |x| x.clone() * act::sigmoid(x * 1.702)),
        ("Gelu", act::gelu_approximate),
        ("Gelu", |x| {
            x.clone() * 0.5 * ((x / std::f64::consts::SQRT_2).erf() + 1.0)
        }),
        ("Mish", act::mish),
        ("HardSwish", act::hard_swish),
        ("Elu", |x| act::elu(x, 1.3)),
        ("Celu", |x| act::celu(x, 0.7)),
        ("Selu", act::selu),
        ("Softplus", |x| act::softplus(x, 1.0)),
        ("Softsign", act::softsign),
        ("ThresholdedRelu", |x| act::thresholded_relu(x, 0.8)),
        ("Shrink", |x| act::hard_shrink(x, 0.5)),
        ("Shrink", |x| act::soft_shrink(x, 0.5)),
        ("Sigmoid", |x| ((-x).exp() + 1.0).recip()),
    ];
    for (name, function) in cases {
        assert_eq!(operators(&Nothing {}, |_, x| function(x)), [name]);
    }
}

#[test]
fn near_misses_stay_apart() {
    let made = operators(&Nothing {}, |_, x| x.clone() * act::sigmoid(x) * 1.01);
    assert_eq!(made, ["Swish", "Mul"]);
    let made = operators(&Nothing {}, |_, x| x.clone() * x.tanh());
    assert_eq!(made, ["Tanh", "Mul"]);
}

#[test]
fn linear_layers_are_products_with_their_own_weights() {
    let linear = nn::LinearConfig::new(14, 5).init(&device());
    assert_eq!(operators(&linear, |m, x| m.forward(x)), ["MatMul", "Add"]);
    let made = compare(&linear, IMAGE, |m, x| {
        m.forward(x.mean_dim(1).mean_dim(2).flatten::<2>(1, 3))
    });
    assert_eq!(
        made,
        Ok(["ReduceMean", "Reshape", "Gemm"]
            .map(str::to_owned)
            .to_vec())
    );
}

#[test]
fn response_normalisation_and_padded_pools_are_one_operator() {
    let lrn = nn::LocalResponseNormConfig::new(5).with_alpha(0.5).init();
    assert_eq!(operators(&lrn, |m, x| m.forward(x)), ["LRN"]);
    let lrn = nn::LocalResponseNormConfig::new(4).with_alpha(0.5).init();
    assert_eq!(operators(&lrn, |m, x| m.forward(x)), ["LRN"]);
    let padding = nn::PaddingConfig2d::Explicit(0, 0, 1, 1);
    let pool = nn::pool::MaxPool2dConfig::new([3, 3]).with_padding(padding);
    assert_eq!(operators(&pool.init(), |m, x| m.forward(x)), ["MaxPool"]);
    assert_eq!(
        operators(&Nothing {}, |_, x| x.mean_dims(&[2, 3])),
        ["ReduceMean"]
    );
}

#[test]
fn normalisations_are_one_operator() {
    let group = nn::GroupNormConfig::new(2, 4).init(&device());
    assert_eq!(
        operators(&group, |m, x| m.forward(x)),
        ["GroupNormalization"]
    );
    let instance = nn::InstanceNormConfig::new(4)
        .with_affine(false)
        .init(&device());
    assert_eq!(
        operators(&instance, |m, x| m.forward(x)),
        ["GroupNormalization"]
    );
    let rms = nn::RmsNormConfig::new(14).init(&device());
    assert_eq!(operators(&rms, |m, x| m.forward(x)), ["RMSNormalization"]);
}

#[test]
fn attention_is_found_by_the_graph() {
    let heads = nn::attention::MultiHeadAttentionConfig::new(14, 2).init(&device());
    let captured = elucid_capture::Captured::of(&heads, IMAGE, |m, x| {
        let tokens = x.flatten::<3>(1, 2);
        flat(
            m.forward(nn::attention::MhaInput::self_attn(tokens))
                .context,
        )
    });
    let graph = captured.and_then(|c| c.graph()).expect("a graph");
    let bound = bound(graph, [14, 14], &device());
    let blocks = bound.blocks().expect("blocks");
    let linear = |block: &&elucid_graph::Block| matches!(block.pattern(), Pattern::Linear { .. });
    assert_eq!(blocks.iter().filter(linear).count(), 4);
    let others = blocks.iter().filter(|block| !linear(block));
    assert_eq!(others.map(|b| b.name()).collect::<Vec<_>>(), ["attention"]);
}
