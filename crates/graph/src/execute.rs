//! One resolved node on tensors.

use std::sync::Arc;

use burn::tensor::ops::PadMode;
use burn::tensor::{Int, Tensor, TensorData, activation};
use elucid_rules::{GradRule, apply, avg_pool2d, conv2d, local_response_norm, max_pool2d};

use crate::activation::{Activation, IntoView, at_rank};
use crate::host::{HostBinary, Range};
use crate::op::{PadKind, Unary};
use crate::resolve::{Kernel, Known};

/// Runs one node, or the rule that stands in for it, on its inputs.
///
/// `outputs` states the shapes to make. Everything was checked by [`crate::resolve`].
pub(crate) fn execute(
    kernel: &Kernel,
    rule: Option<Arc<dyn GradRule>>,
    mut inputs: Vec<Option<Activation>>,
    outputs: &[Known],
) -> Vec<Activation> {
    let shape = outputs[0].shape.as_slice();
    if let Some(rule) = rule {
        let x = take(&mut inputs, 0);
        // Rules are written for images; vectors become images of one pixel.
        let view = image_view(&x.shape());
        let x = x.into_view(&view).into_cast::<4>();
        return vec![apply(x, rule).into_view(shape)];
    }
    if let Kernel::Split { axis, sizes } = kernel {
        return split(&take(&mut inputs, 0), *axis, sizes, outputs);
    }
    vec![one(kernel, inputs, shape)]
}

/// `[N, C, H, W]` for any shape of rank 1 to 6.
pub(crate) fn image_view(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [] => vec![1; 4],
        [n] => vec![n, 1, 1, 1],
        [n, c] => vec![n, c, 1, 1],
        [n, c, l] => vec![n, c, l, 1],
        [n, c, h, ref rest @ ..] => vec![n, c, h, rest.iter().product()],
    }
}

fn take(inputs: &mut [Option<Activation>], index: usize) -> Activation {
    maybe(inputs, index).expect("resolve checked that the input is there")
}

fn maybe(inputs: &mut [Option<Activation>], index: usize) -> Option<Activation> {
    inputs.get_mut(index).and_then(Option::take)
}

fn one(kernel: &Kernel, mut inputs: Vec<Option<Activation>>, shape: &[usize]) -> Activation {
    let inputs = inputs.as_mut_slice();
    match kernel {
        Kernel::Host => unreachable!("known values are not executed"),
        Kernel::Split { .. } => unreachable!("it has several outputs"),
        Kernel::Identity => take(inputs, 0),
        Kernel::Conv { conv, .. } => {
            let weight = take(inputs, 1).into_cast::<4>();
            let bias = maybe(inputs, 2).map(Activation::into_cast::<1>);
            conv2d(take(inputs, 0).into_cast(), weight, bias, conv).into()
        }
        Kernel::MaxPool(pool) => max_pool2d(take(inputs, 0).into_cast(), pool).into(),
        Kernel::AveragePool {
            pool,
            count_include_pad,
        } => avg_pool2d(take(inputs, 0).into_cast(), pool, *count_include_pad).into(),
        Kernel::GlobalMaxPool => {
            let x = take(inputs, 0).into_cast::<4>();
            let [n, c, h, w] = x.dims();
            x.reshape([n, c, h * w]).max_dim(2).into_view(shape)
        }
        Kernel::Lrn(lrn) => local_response_norm(take(inputs, 0).into_cast(), lrn).into(),
        Kernel::BatchNormalization { epsilon } => {
            let mut parameter = |i| take(inputs, i).into_cast::<1>();
            let (scale, bias, mean, variance) =
                (parameter(1), parameter(2), parameter(3), parameter(4));
            let factor = scale / (variance + *epsilon).sqrt();
            let offset = bias - mean * factor.clone();
            let mut per_channel = vec![1; shape.len()];
            per_channel[1] = shape[1];
            let factor = factor.into_view(&per_channel);
            let offset = offset.into_view(&per_channel);
            at_rank!(take(inputs, 0), x => x * factor.into_cast() + offset.into_cast())
        }
        Kernel::InstanceNormalization { epsilon } => {
            let scale = take(inputs, 1).into_cast::<1>();
            let bias = take(inputs, 2).into_cast::<1>();
            let x = take(inputs, 0).into_cast::<4>();
            let [_, c, ..] = x.dims();
            let normal = normalise(x, &[2, 3], *epsilon);
            (normal * scale.reshape([1, c, 1, 1]) + bias.reshape([1, c, 1, 1])).into()
        }
        Kernel::LayerNormalization { axes, epsilon } => {
            let full = |p: Activation| {
                let view = [vec![1; shape.len() - p.shape().len()], p.shape()].concat();
                p.into_view(&view)
            };
            let scale = maybe(inputs, 1).map(full);
            let bias = maybe(inputs, 2).map(full);
            at_rank!(take(inputs, 0), x => {
                let mut y = normalise(x, axes, *epsilon);
                if let Some(scale) = scale {
                    y = y * scale.into_cast();
                }
                match bias {
                    Some(bias) => y + bias.into_cast(),
                    None => y,
                }
            })
        }
        Kernel::Unary(unary) => {
            let unary = *unary;
            at_rank!(take(inputs, 0), x => self::unary(x, unary))
        }
        Kernel::Clip { min, max } => at_rank!(take(inputs, 0), x => clip(x, *min, *max)),
        Kernel::PRelu { slope } => {
            let slope = take(inputs, 1).into_view(slope);
            at_rank!(take(inputs, 0), x => {
                let negative = x.clone().clamp_max(0.0);
                x.clamp_min(0.0) + negative * slope.into_cast()
            })
        }
        Kernel::Softmax { view, axis, log } => {
            let x = take(inputs, 0).into_view(view);
            let axis = *axis;
            let y = if *log {
                at_rank!(x, x => activation::log_softmax(x, axis))
            } else {
                at_rank!(x, x => activation::softmax(x, axis))
            };
            y.into_view(shape)
        }
        Kernel::Binary { op, a, b } => {
            let (a, b) = (take(inputs, 0).into_view(a), take(inputs, 1).into_view(b));
            at_rank!(a, a => binary(a, b.into_cast(), *op))
        }
        Kernel::Sum => {
            let mut total = full_rank(take(inputs, 0), shape.len());
            for i in 1..inputs.len() {
                let next = full_rank(take(inputs, i), shape.len());
                total = at_rank!(total, t => t + next.into_cast());
            }
            total
        }
        Kernel::Gemm {
            alpha,
            beta,
            transpose_a,
            transpose_b,
        } => {
            let matrix = |m: Activation, transposed: bool| {
                let m = m.into_cast::<2>();
                if transposed { m.transpose() } else { m }
            };
            let a = matrix(take(inputs, 0), *transpose_a);
            let b = matrix(take(inputs, 1), *transpose_b);
            let mut y = a.matmul(b);
            if *alpha != 1.0 {
                y = y * *alpha;
            }
            if let Some(c) = maybe(inputs, 2) {
                let c = full_rank(c, 2).into_cast::<2>();
                y = y + if *beta == 1.0 { c } else { c * *beta };
            }
            y.into()
        }
        Kernel::MatMul { a, b } => {
            let (a, b) = (take(inputs, 0).into_view(a), take(inputs, 1).into_view(b));
            at_rank!(a, a => a.matmul(b.into_cast())).into_view(shape)
        }
        Kernel::Concat { axis } => {
            let axis = *axis;
            let mut parts = (0..inputs.len())
                .map(|i| take(inputs, i))
                .collect::<Vec<_>>();
            let first = parts.remove(0);
            at_rank!(first, first => {
                let rest = parts.into_iter().map(|p| p.into_cast());
                Tensor::cat(std::iter::once(first).chain(rest).collect(), axis)
            })
        }
        Kernel::Reshape => take(inputs, 0).into_view(shape),
        Kernel::Permute(axes) => {
            let axes: Vec<isize> = axes.iter().map(|&a| a as isize).collect();
            at_rank!(take(inputs, 0), x => permute(x, &axes))
        }
        Kernel::Pad { pads, mode, value } => {
            let mode = match mode {
                PadKind::Constant => PadMode::Constant(*value),
                PadKind::Reflect => PadMode::Reflect,
                PadKind::Edge => PadMode::Edge,
            };
            at_rank!(take(inputs, 0), x => x.pad(pads.as_slice(), mode))
        }
        Kernel::Slice(ranges) => at_rank!(take(inputs, 0), x => slice(x, ranges)),
        Kernel::Gather { axis, indices } => {
            let x = take(inputs, 0);
            let axis = *axis;
            at_rank!(x, x => {
                let picked = index_tensor(indices, &x);
                x.select(axis, picked)
            })
            .into_view(shape)
        }
        Kernel::ReduceMean { axes } => {
            at_rank!(take(inputs, 0), x => x.mean_dims(axes)).into_view(shape)
        }
        Kernel::Expand => {
            let x = full_rank(take(inputs, 0), shape.len());
            let zeros = |x: &Activation| {
                Activation::from_host(
                    vec![0.0; shape.iter().product()],
                    shape,
                    &x.cast::<1>().device(),
                )
            };
            let zeros = zeros(&x);
            at_rank!(x, x => x + zeros.into_cast().without_autodiff())
        }
    }
}

fn full_rank(x: Activation, rank: usize) -> Activation {
    let stated = x.shape();
    let view = [vec![1; rank.saturating_sub(stated.len())], stated].concat();
    x.into_view(&view)
}

fn normalise<const D: usize>(x: Tensor<D>, axes: &[usize], epsilon: f32) -> Tensor<D> {
    let centred = x.clone() - x.mean_dims(axes);
    let variance = (centred.clone() * centred.clone()).mean_dims(axes);
    centred / (variance + epsilon).sqrt()
}

fn unary<const D: usize>(x: Tensor<D>, unary: Unary) -> Tensor<D> {
    match unary {
        Unary::Relu => activation::relu(x),
        Unary::LeakyRelu { alpha } => activation::leaky_relu(x, f64::from(alpha)),
        Unary::Sigmoid => activation::sigmoid(x),
        Unary::HardSigmoid { alpha, beta } => (x * alpha + beta).clamp(0.0, 1.0),
        Unary::HardSwish => {
            let gate = (x.clone() / 6.0 + 0.5).clamp(0.0, 1.0);
            x * gate
        }
        Unary::Tanh => x.tanh(),
        Unary::Elu { alpha } => {
            let negative = (x.clone().clamp_max(0.0).exp() - 1.0) * alpha;
            x.clamp_min(0.0) + negative
        }
        Unary::Sqrt => x.sqrt(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Reciprocal => x.recip(),
        Unary::Erf => x.erf(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
    }
}

fn clip<const D: usize>(x: Tensor<D>, min: f32, max: f32) -> Tensor<D> {
    match (min > f32::NEG_INFINITY, max < f32::INFINITY) {
        (true, true) => x.clamp(min, max),
        (true, false) => x.clamp_min(min),
        (false, true) => x.clamp_max(max),
        (false, false) => x,
    }
}

fn binary<const D: usize>(a: Tensor<D>, b: Tensor<D>, op: HostBinary) -> Tensor<D> {
    match op {
        HostBinary::Add => a + b,
        HostBinary::Sub => a - b,
        HostBinary::Mul => a * b,
        HostBinary::Div => a / b,
        HostBinary::Pow => a.powf(b),
        HostBinary::Min => a.min_pair(b),
        HostBinary::Max => a.max_pair(b),
        HostBinary::Mod | HostBinary::Equal => unreachable!("resolve refuses them on activations"),
    }
}

fn split(x: &Activation, axis: usize, sizes: &[usize], outputs: &[Known]) -> Vec<Activation> {
    let mut start = 0;
    let mut parts = Vec::new();
    for (&len, output) in sizes.iter().zip(outputs) {
        let part = at_rank!(x.clone(), x => x.narrow(axis, start, len));
        parts.push(part.into_view(&output.shape));
        start += len;
    }
    parts
}

fn permute<const D: usize>(x: Tensor<D>, axes: &[isize]) -> Tensor<D> {
    let mut order = [0_isize; D];
    order.copy_from_slice(axes);
    x.permute(order)
}

fn index_tensor<const D: usize>(indices: &[usize], like: &Tensor<D>) -> Tensor<1, Int> {
    let values: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &like.device())
}

fn slice<const D: usize>(mut x: Tensor<D>, ranges: &[Range]) -> Tensor<D> {
    for (axis, range) in ranges.iter().enumerate() {
        if range.is_whole(x.dims()[axis]) {
            continue;
        }
        x = if range.step == 1 {
            x.narrow(axis, range.start, range.len)
        } else {
            let indices: Vec<usize> = range.indices().collect();
            let picked = index_tensor(&indices, &x);
            x.select(axis, picked)
        };
    }
    x
}
