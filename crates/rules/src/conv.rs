use std::sync::Arc;

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn::tensor::{Tensor, module};
use elucid_kernels::conv::{self as kernels, Conv2d, Epilogue, Windows};
use elucid_kernels::pointwise::Pointwise;
use elucid_kernels::window::{Axis, Geometry};

use crate::host::{Host, Numbers};
use crate::operation::{self, Operation, Pullback};
use crate::pointwise::{Function, rectified};

/// A convolution (the field's word; mathematically a cross-correlation), differentiable in `x`:
/// `[N, I, H, W]` by a weight `[O, I / groups, height, width]` and a bias `[O]` to `[N, O, H', W']`.
///
/// `y[o, i, j] = bias[o] + sum over c, a, b of weight[o, c, a, b] x[c, i * stride + a * dilation - top,
/// j * stride + b * dilation - left]`, with zeros outside the image and `c` counted within the group of
/// `o`, as [ONNX's Conv].
///
/// Where weight and bias lie on burn's CPU backend as constants, a kernel of our own runs; elsewhere,
/// and where they are differentiated themselves, burn's.
///
/// [ONNX's Conv]: https://onnx.ai/onnx/operators/onnx__Conv.html
///
/// # Panics
///
/// When weight or bias do not fit the channels and groups, the windows do not fit into the padded image,
/// or a stride, dilation or side of a window is zero.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    conv: &Conv2d,
) -> Tensor<4> {
    if let Some(convolution) = Convolution::new(&x, &weight, bias.as_ref(), conv) {
        return operation::run(x, Arc::new(convolution));
    }
    let [top, left, bottom, right] = conv.pads;
    let (x, padding) = if [top, left] == [bottom, right] {
        (x, [top, left])
    } else {
        let pads = [(top, bottom), (left, right)];
        (x.pad(pads, PadMode::Constant(0.0)), [0, 0])
    };
    let options = ConvOptions::new(conv.stride, padding, conv.dilation, conv.groups);
    module::conv2d(x, weight, bias, options)
}

/// [`conv2d`] and then a function of each number, in one go, differentiable in `x`; `None` where no kernel of our own runs.
///
/// # Panics
///
/// As [`conv2d`].
pub fn conv2d_then(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    conv: &Conv2d,
    then: Pointwise,
) -> Option<Tensor<4>> {
    let convolution = Convolution::new(x, weight, bias, conv)?;
    let fused = Convolution {
        then: Some(then),
        ..convolution
    };
    Some(operation::run(x.clone(), Arc::new(fused)))
}

/// The transpose of [`conv2d`] without its bias: `[N, O, H', W']` to `[N, I, H, W]`, where `size` is
/// `[H, W]`. The gradient of a convolution is that of its output, transposed by its weight.
///
/// # Panics
///
/// As [`conv2d`], and when `g` is not as large as the output of an image of `size`.
pub fn conv2d_transpose(
    g: Tensor<4>,
    weight: Tensor<4>,
    conv: &Conv2d,
    size: [usize; 2],
) -> Tensor<4> {
    let [_, outputs, height, width] = g.dims();
    let dims @ [weights, per_group, ..] = weight.dims();
    conv.check(per_group * conv.groups, dims);
    let windows = conv.windows(size, dims);
    let Geometry { rows, cols } = windows.geometry;
    assert_eq!(
        [outputs, height, width],
        [weights, rows.out, cols.out],
        "the output of a convolution of {size:?}"
    );
    if let (Some(g), Some(weight)) = (Host::view(&g), Host::view(&weight)) {
        return transpose(&g, &weight, &windows);
    }
    let rest = |axis: Axis| axis.size + axis.before + axis.after - axis.covered();
    let options = ConvTransposeOptions::new(
        conv.stride,
        [0, 0],
        [rest(rows), rest(cols)],
        conv.dilation,
        conv.groups,
    );
    module::conv_transpose2d(g, weight, None, options)
        .narrow(2, rows.before, rows.size)
        .narrow(3, cols.before, cols.size)
}

/// The gradient at the input, given the one at the output.
fn transpose(g: &Host, weight: &Host, windows: &Windows) -> Tensor<4> {
    let x = kernels::transpose(g.planes(), weight.planes(), windows);
    let Geometry { rows, cols } = windows.geometry;
    let ([n, ..], [_, inputs, ..]) = (g.dims(), weight.dims());
    g.tensor(x, [n, inputs * windows.groups, rows.size, cols.size])
}

/// Weight and bias in main memory.
#[derive(Debug)]
struct Convolution {
    weight: Host,
    bias: Option<Host>,
    windows: Windows,
    then: Option<Pointwise>,
}

impl Convolution {
    /// `None` where weight and bias are not constants on burn's CPU backend, beside `x`. It panics as [`conv2d`] states.
    fn new(
        x: &Tensor<4>,
        weight: &Tensor<4>,
        bias: Option<&Tensor<1>>,
        conv: &Conv2d,
    ) -> Option<Self> {
        let [_, channels, height, width] = x.dims();
        let dims = weight.dims();
        conv.check(channels, dims);
        if let Some(bias) = bias {
            assert_eq!(bias.dims(), [dims[0]], "a bias for each output channel");
        }
        let windows = conv.windows([height, width], dims);
        if x.device() != weight.device() || x.dtype() != weight.dtype() {
            return None;
        }
        let bias = match bias {
            Some(bias) => {
                let [len] = bias.dims();
                Some(Host::view(&bias.clone().reshape([1, len, 1, 1]))?)
            }
            None => None,
        };
        Some(Self {
            weight: Host::view(weight)?,
            bias,
            windows,
            then: None,
        })
    }

    fn run(&self, x: Tensor<4>, then: Option<Pointwise>) -> Tensor<4> {
        let epilogue = Epilogue {
            bias: self.bias.as_ref().map(Host::values),
            then,
        };
        let x = beside(&x);
        let y = kernels::forward(x.planes(), self.weight.planes(), &self.windows, epilogue);
        let Geometry { rows, cols } = self.windows.geometry;
        let ([n, ..], [outputs, ..]) = (x.dims(), self.weight.dims());
        x.tensor(y, [n, outputs, rows.out, cols.out])
    }
}

/// A tensor that lies where the weights do.
fn beside(x: &Tensor<4>) -> Host {
    Host::view(x).expect("an input on its weight's device, with gradients behind the node only")
}

impl Operation for Convolution {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.run(x, self.then)
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let (weight, windows) = (self.weight.clone(), self.windows);
        let back = move |g| transpose(&beside(&g), &weight, &windows);
        let (y, bent) = match self.then {
            None => return (self.run(x, None), Pullback::new(back)),
            Some(Pointwise::Relu) => {
                let y = self.run(x, Some(Pointwise::Relu));
                let bent = rectified(Numbers::expected(y.clone()));
                (y, bent)
            }
            Some(then) => Function(then).forward_with_pullback(self.run(x, None)),
        };
        (y, Pullback::new(move |g| back(bent.at(g))))
    }
}
