//! Functions of tensors, one by one.

use burn::tensor::activation as act;
use burn::tensor::module::{attention, conv_transpose2d, fold4d, interpolate, unfold4d};
use burn::tensor::ops::{
    AttentionModuleOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions, PadMode,
    UnfoldOptions,
};
use burn::tensor::{Int, Tensor, s};

use super::common::{Nothing, Table, compare, flat};

const IMAGE: [usize; 3] = [3, 14, 14];

macro_rules! table {
    ($($name:literal: $f:expr;)*) => {{
        let mut table = Table::default();
        $(table.case($name, compare(&Nothing {}, IMAGE, |_, x: Tensor<4>| flat($f(x))));)*
        table.finish();
    }};
}

#[test]
fn activations() {
    table! {
        "relu": act::relu;
        "leaky_relu": |x| act::leaky_relu(x, 0.1);
        "relu6": act::relu6;
        "hardtanh": |x| act::hardtanh(x, -1.5, 0.5);
        "gelu": act::gelu;
        "gelu_approximate": act::gelu_approximate;
        "silu": act::silu;
        "hard_swish": act::hard_swish;
        "hard_sigmoid": |x| act::hard_sigmoid(x, 0.2, 0.5);
        "sigmoid": act::sigmoid;
        "log_sigmoid": act::log_sigmoid;
        "tanh": act::tanh;
        "tanhshrink": act::tanhshrink;
        "elu": |x| act::elu(x, 1.3);
        "celu": |x| act::celu(x, 0.7);
        "selu": act::selu;
        "softplus": |x| act::softplus(x, 1.0);
        "softplus 2": |x| act::softplus(x, 2.0);
        "mish": act::mish;
        "softsign": act::softsign;
        "thresholded_relu": |x| act::thresholded_relu(x, 0.8);
        "threshold": |x| act::threshold(x, 0.3, -0.2);
        "hard_shrink": |x| act::hard_shrink(x, 0.5);
        "soft_shrink": |x| act::soft_shrink(x, 0.5);
        "shrink": |x| act::shrink(x, 0.5, 0.2);
        "glu": |x: Tensor<4>| act::glu(x, 3);
        "softmax": |x| act::softmax(x, 1);
        "softmin": |x| act::softmin(x, 1);
        "log_softmax": |x| act::log_softmax(x, 1);
        "quiet_softmax": |x| act::quiet_softmax(x, 1);
    }
}

#[test]
fn arithmetic_and_functions() {
    table! {
        "numbers": |x: Tensor<4>| (x * 2.0 + 1.0 - 0.5) / 4.0;
        "tensors": |x: Tensor<4>| x.clone() * x.clone() + x.clone() / (x.clone().abs() + 1.0) - x;
        "negative, inverse": |x: Tensor<4>| -(x.abs() + 1.0).recip();
        "clamp": |x: Tensor<4>| x.clamp(-0.5, 0.7);
        "clamp_min, clamp_max": |x: Tensor<4>| x.clamp_min(-0.7).clamp_max(0.2);
        "sqrt": |x: Tensor<4>| (x.abs() + 1.0).sqrt();
        "exp, log": |x: Tensor<4>| (x.exp() + 1.0).log();
        "log1p": |x: Tensor<4>| x.abs().log1p();
        "erf": |x: Tensor<4>| x.erf();
        "sin, cos": |x: Tensor<4>| x.clone().sin() + x.cos();
        "powi": |x: Tensor<4>| x.powi_scalar(2);
        "powf": |x: Tensor<4>| (x.abs() + 0.5).powf_scalar(1.7);
        "power of a tensor": |x: Tensor<4>| (x.clone().abs() + 0.5).powf(x);
        "sign": |x: Tensor<4>| x.sign();
        "floor, ceil": |x: Tensor<4>| x.clone().floor() + x.ceil() * 0.5;
        "remainder": |x: Tensor<4>| x.remainder_scalar(0.75);
        "matmul": |x: Tensor<4>| x.clone().matmul(x.transpose());
        "where": |x: Tensor<4>| { let m = x.clone().greater_elem(0.3); x.clone().mask_where(m, -x) };
        "mask_fill": |x: Tensor<4>| { let m = x.clone().lower_elem(0.0); x.mask_fill(m, 0.1) };
        "comparisons": |x: Tensor<4>| x.clone().greater_equal(x.clone() * 0.5).float() + x.lower_equal_elem(0.1).float();
        "logic": |x: Tensor<4>| x.clone().greater_elem(0.0).bool_and(x.lower_elem(0.5)).bool_not().float();
        "max_pair": |x: Tensor<4>| x.clone().max_pair(-x);
    }
}

#[test]
fn reductions_and_orders() {
    table! {
        "mean_dims": |x: Tensor<4>| x.mean_dims(&[2, 3]);
        "mean_dim": |x: Tensor<4>| x.mean_dim(1);
        "sum_dim": |x: Tensor<4>| x.sum_dim(2);
        "sum_dims": |x: Tensor<4>| x.sum_dims(&[1, 3]);
        "prod_dim": |x: Tensor<4>| x.narrow(2, 0, 3).prod_dim(2);
        "max_dim": |x: Tensor<4>| x.max_dim(2);
        "min_dim": |x: Tensor<4>| x.min_dim(2);
        "max_dim_with_indices": |x: Tensor<4>| { let (v, i) = x.max_dim_with_indices(3); v + i.float() };
        "argmax": |x: Tensor<4>| x.argmax(1).float();
        "var": |x: Tensor<4>| x.var(2);
        "var_mean": |x: Tensor<4>| { let (v, m) = x.var_mean(1); v + m };
        "topk": |x: Tensor<4>| x.topk(4, 3);
        "sort": |x: Tensor<4>| x.sort(2);
        "sort_descending": |x: Tensor<4>| x.sort_descending(3);
        "cumsum": |x: Tensor<4>| x.cumsum(3);
        "any": |x: Tensor<4>| x.clone().greater_elem(1.9).any_dim(3).float();
    }
}

#[test]
fn shapes() {
    table! {
        "permute": |x: Tensor<4>| x.permute([0, 2, 3, 1]);
        "swap_dims": |x: Tensor<4>| x.swap_dims(1, 3);
        "flatten": |x: Tensor<4>| x.flatten::<3>(2, 3);
        "reshape": |x: Tensor<4>| { let n = x.dims()[0]; x.reshape([n * 3, 2, 98]).sum_dim(1).reshape([n, 3, 98]) };
        "narrow": |x: Tensor<4>| x.narrow(2, 3, 5);
        "slice": |x: Tensor<4>| x.slice(s![.., 1..3, 2..-2, ..]);
        "slice in steps": |x: Tensor<4>| x.slice(s![.., .., 1..13;3, 0..14;-2]);
        "slice_assign": |x: Tensor<4>| { let y = x.clone().narrow(2, 0, 4) * 3.0; x.slice_assign(s![.., .., 5..9, ..], y) };
        "chunk": |x: Tensor<4>| { let c = x.chunk(2, 2); c[0].clone() * c[1].clone() };
        "split": |x: Tensor<4>| { let c = x.split(5, 3); c[0].clone() + c[1].clone() };
        "stack": |x: Tensor<4>| Tensor::stack::<5>(vec![x.clone(), x * 2.0], 1);
        "cat": |x: Tensor<4>| Tensor::cat(vec![x.clone(), x * 2.0], 1);
        "pad": |x: Tensor<4>| x.pad((1, 2, 3, 0), 0.5);
        "pad by reflection": |x: Tensor<4>| x.pad((1, 2, 3, 0), PadMode::Reflect);
        "pad by the edge": |x: Tensor<4>| x.pad((1, 2, 3, 0), PadMode::Edge);
        "flip": |x: Tensor<4>| x.flip([2, 3]);
        "roll": |x: Tensor<4>| x.roll(&[3, -2], &[2, 3]);
        "repeat_dim": |x: Tensor<4>| x.repeat_dim(1, 2);
        "repeat one": |x: Tensor<4>| x.sum_dim(1).repeat_dim(1, 4);
        "expand": |x: Tensor<4>| { let n = x.dims()[0]; x.sum_dim(2).expand([n, 3, 5, 14]) };
        "unsqueeze, squeeze": |x: Tensor<4>| x.unsqueeze_dim::<5>(2).squeeze_dim::<4>(2).tanh();
        "select": |x: Tensor<4>| { let i = Tensor::<1, Int>::from_ints([4, 0, 9], &x.device()); x.select(2, i) };
        "gather": |x: Tensor<4>| { let i = x.clone().argmax(3); x.gather(3, i) };
        "unfold along an axis": |x: Tensor<4>| { let y: Tensor<5> = x.unfold(3, 4, 2); y };
        "windows of tokens": |x: Tensor<4>| {
            let n = x.dims()[0];
            let y = x.reshape([n, 3, 2, 7, 2, 7]).permute([0, 2, 4, 3, 5, 1]).reshape([n * 4, 49, 3]);
            let y = y.clone().matmul(y.transpose());
            y.reshape([n, 4 * 49 * 49])
        };
    }
}

#[test]
fn numbers_that_a_pass_makes() {
    table! {
        "zeros and ones": |x: Tensor<4>| { let d = x.device(); let n = x.dims()[0]; x + Tensor::ones([n, 3, 14, 14], &d) * 0.5 - Tensor::zeros([1, 1, 1, 1], &d) };
        "full": |x: Tensor<4>| x.clone() * Tensor::full([1, 3, 1, 1], 0.3, &x.device());
        "arange": |x: Tensor<4>| { let d = x.device(); x + Tensor::<1, Int>::arange(0..14, &d).float().reshape([1, 1, 1, 14]) };
        "constants": |x: Tensor<4>| { let d = x.device(); x * Tensor::<1>::from_floats([1.0, -2.0, 0.5], &d).reshape([1, 3, 1, 1]) };
        "class token": |x: Tensor<4>| { let n = x.dims()[0]; let t = Tensor::<3>::ones([1, 1, 3], &x.device()) * 0.2; Tensor::cat(vec![t.repeat_dim(0, n), x.flatten::<3>(2, 3).swap_dims(1, 2)], 1) };
        "triangle": |x: Tensor<4>| { let d = x.device(); let m = Tensor::<2>::ones([14, 14], &d).triu(1).greater_elem(0.5); x.mask_fill(m.unsqueeze::<4>(), -1.0) };
        "zeros_like": |x: Tensor<4>| x.clone().zeros_like() + x.ones_like() * 2.0 + x;
    }
}

#[test]
fn windows() {
    let weight = |x: &Tensor<4>| Tensor::<4>::ones([3, 2, 3, 3], &x.device()) * 0.1;
    table! {
        "interpolate nearest": |x| interpolate(x, InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([28, 21]));
        "interpolate bilinear": |x| interpolate(x, InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([28, 21]).with_align_corners(false));
        "interpolate bilinear, corners": |x| interpolate(x, InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([28, 21]).with_align_corners(true));
        "interpolate bicubic": |x| interpolate(x, InterpolateOptions::new(InterpolateMode::Bicubic).with_output_size([28, 21]).with_align_corners(false));
        "conv_transpose2d": |x: Tensor<4>| { let w = weight(&x); conv_transpose2d(x, w, None, ConvTransposeOptions::new([2, 2], [1, 1], [1, 1], [1, 1], 1)) };
        "unfold4d": |x| unfold4d(x, [3, 2], UnfoldOptions::new([2, 1], [1, 0], [1, 2]));
        "fold4d": |x| fold4d(unfold4d(x, [2, 2], UnfoldOptions::new([2, 2], [0, 0], [1, 1])), [14, 14], [2, 2], UnfoldOptions::new([2, 2], [0, 0], [1, 1]));
        "attention": |x: Tensor<4>| attention(x.clone(), x.clone() * 0.5, x, None, None, AttentionModuleOptions::default());
        "causal attention": |x: Tensor<4>| attention(x.clone(), x.clone() * 0.5, x, None, None, AttentionModuleOptions { is_causal: true, ..Default::default() });
        "attention with a mask and a bias": |x: Tensor<4>| {
            let mask = x.clone().greater_elem(0.9);
            let options = AttentionModuleOptions { scale: Some(0.3), softcap: Some(5.0), is_causal: false };
            attention(x.clone(), x.clone() * 0.5, x.clone(), Some(mask), Some(x * 0.1), options)
        };
    }
}
