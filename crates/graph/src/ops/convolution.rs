//! Convolutions in one to three dimensions and their transposes: what several operators share.

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use burn::tensor::{Tensor, module};
use elucid_rules::{Algebra, Conv2d, Pointwise, conv2d, conv2d_then, conv2d_transpose};

use super::bent::bent;
use super::window::Axis;
use crate::activation::{Activation, IntoView};
use crate::operator::{Refused, Shapes, Slots, Weights, check_size, numbers};

/// The windows of a convolution along one to three axes.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    pub axes: Vec<Axis>,
    pub groups: usize,
}

/// How many windows a convolution of images gathers at a time, at most, unless a row of its output has
/// more.
const GATHERED: usize = 512;

impl Convolution {
    /// Refuses other numbers of axes.
    pub fn new(axes: Vec<Axis>, groups: usize) -> Result<Self, Refused> {
        match axes.len() {
            1..=3 => Ok(Self { axes, groups }),
            n => Err(Refused::Unsupported(format!(
                "convolutions in {n} dimensions are not supported, only in one to three"
            ))),
        }
    }

    /// How many windows there are along each axis of an input of `size`.
    pub fn positions(&self, size: &[usize]) -> Option<Vec<usize>> {
        let axes = self.axes.iter().zip(size);
        axes.map(|(axis, &size)| axis.positions(size)).collect()
    }

    /// Refuses what needs too much memory: the padded input of shape `[N, C, ...]`, and the numbers
    /// that the windows read, of which images gather a part at a time.
    pub fn check(
        &self,
        input: &[usize],
        per_group: usize,
        positions: &[usize],
    ) -> Result<(), Refused> {
        let mut padded = input.to_vec();
        for (size, axis) in padded.iter_mut().skip(2).zip(&self.axes) {
            *size = size.saturating_add(axis.before).saturating_add(axis.after);
        }
        check_size(&padded)?;
        let mut read = vec![per_group];
        read.extend(self.axes.iter().map(|axis| axis.kernel));
        match positions {
            &[.., height, width] if positions.len() == 2 => {
                read.push(height.saturating_mul(width).min(width.max(GATHERED)));
            }
            _ => read.extend(positions),
        }
        check_size(&read)
    }

    /// The arithmetic of the products that `made` numbers are the sums of, by the weight in slot 1, without a bias.
    pub fn products(&self, made: u64, shapes: &Shapes) -> u64 {
        let window = shapes.input(1).and_then(|weight| weight.get(1..));
        2 * made * window.map_or(0, numbers)
    }

    fn conv2d(&self) -> Conv2d {
        let (rows, columns) = match self.axes.as_slice() {
            [rows, columns, ..] => (rows, columns),
            [columns] => (&Axis::ONE, columns),
            [] => (&Axis::ONE, &Axis::ONE),
        };
        Conv2d {
            stride: [rows.stride, columns.stride],
            pads: [rows.before, columns.before, rows.after, columns.after],
            dilation: [rows.dilation, columns.dilation],
            groups: self.groups,
        }
    }

    fn along<T: Default + Copy>(&self, of: impl Fn(&Axis) -> T) -> [T; 3] {
        let mut values = [T::default(); 3];
        for (value, axis) in values.iter_mut().zip(&self.axes) {
            *value = of(axis);
        }
        values
    }

    /// `x [N, I, ...]` by a weight `[O, I / groups, ...]` and a bias `[O]`.
    pub fn run(&self, x: Activation, weight: Activation, bias: Option<Tensor<1>>) -> Activation {
        match self.axes.len() {
            1 => {
                let (x, weight) = (as_image(x), as_image(weight));
                as_sequence(conv2d(x, weight, bias, &self.conv2d()))
            }
            2 => conv2d(x.into_cast(), weight.into_cast(), bias, &self.conv2d()).into(),
            _ => {
                let pads = self.along(|axis| (axis.before, axis.after));
                let x = x.into_cast::<5>();
                // burn pads both sides alike.
                let (x, padding) = match pads.iter().all(|(before, after)| before == after) {
                    true => (x, pads.map(|(before, _)| before)),
                    false => (x.pad(pads.as_slice(), PadMode::Constant(0.0)), [0; 3]),
                };
                let options = ConvOptions::new(
                    self.along(|axis| axis.stride),
                    padding,
                    self.along(|axis| axis.dilation),
                    self.groups,
                );
                module::conv3d(x, weight.into_cast(), bias, options).into()
            }
        }
    }

    /// The same and then a function of each number, for one or two axes.
    pub fn run_then(
        &self,
        x: Activation,
        weight: Activation,
        bias: Option<Tensor<1>>,
        function: Pointwise,
    ) -> Activation {
        let along_one = self.axes.len() == 1;
        let [x, weight] = [x, weight].map(|x| match along_one {
            true => as_image(x),
            false => x.into_cast::<4>(),
        });
        let conv = self.conv2d();
        let fused = conv2d_then(&x, &weight, bias.as_ref(), &conv, function);
        let y = fused.unwrap_or_else(|| {
            let y = Activation::from(conv2d(x, weight, bias, &conv));
            Activation::from(bent(y.untyped(), function)).into_cast()
        });
        if along_one { as_sequence(y) } else { y.into() }
    }

    /// The transpose of [`Convolution::run`] without a bias, to an input of `size`.
    pub fn transpose(&self, g: Activation, weight: Activation, size: &[usize]) -> Activation {
        match size {
            &[width] => {
                let (g, weight) = (as_image(g), as_image(weight));
                as_sequence(conv2d_transpose(g, weight, &self.conv2d(), [1, width]))
            }
            &[height, width] => {
                let (g, weight) = (g.into_cast(), weight.into_cast());
                conv2d_transpose(g, weight, &self.conv2d(), [height, width]).into()
            }
            size => {
                let g = g.into_cast::<5>();
                let [_, _, positions @ ..] = g.dims();
                let mut beyond = [0; 3];
                for (i, axis) in self.axes.iter().enumerate() {
                    let covered =
                        (positions[i] - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
                    beyond[i] = (size[i] + axis.before + axis.after).saturating_sub(covered);
                }
                let options = ConvTransposeOptions::new(
                    self.along(|axis| axis.stride),
                    [0; 3],
                    beyond,
                    self.along(|axis| axis.dilation),
                    self.groups,
                );
                let mut x = module::conv_transpose3d(g, weight.into_cast(), None, options);
                for (i, axis) in self.axes.iter().enumerate() {
                    x = x.narrow(i + 2, axis.before, size[i]);
                }
                x.into()
            }
        }
    }
}

/// `[N, C, L]` as `[N, C, 1, L]`.
fn as_image(x: Activation) -> Tensor<4> {
    let shape = x.shape();
    x.into_view(&[shape[0], shape[1], 1, shape[2]]).into_cast()
}

/// The inverse.
fn as_sequence(x: Tensor<4>) -> Activation {
    let [n, c, _, l] = x.dims();
    x.into_view(&[n, c, l])
}

/// Whether everything behind the first input is a constant.
pub(super) fn has_constant_weights(constant: &[bool]) -> bool {
    constant.iter().skip(1).all(|c| *c)
}

/// What a convolution is to rules: with computed weights, a product.
pub(super) fn convolution_or_product(constant: &[bool]) -> Algebra {
    match has_constant_weights(constant) {
        true => Algebra::Convolution,
        false => Algebra::Product,
    }
}

/// The second input and the third.
pub(super) fn weight_and_bias(mut inputs: Slots) -> Option<Weights> {
    Some(Weights {
        weight: inputs.maybe(1)?,
        bias: inputs.maybe(2),
    })
}

/// The weight of shape `[_, per_group, ...]` with a factor for each of the outputs that `axis` (0 or
/// 1, within each group) counts.
pub(super) fn scaled(
    weight: Activation,
    factor: Activation,
    axis: usize,
    groups: usize,
) -> Activation {
    let shape = weight.shape();
    let outputs = factor.shape().iter().product::<usize>();
    let rest = shape.iter().skip(2).product::<usize>();
    let (view, factors) = match axis {
        0 => ([1, shape[0], 1, shape[1] * rest], [1, outputs, 1, 1]),
        _ => (
            [groups, shape[0] / groups, shape[1], rest],
            [groups, 1, outputs / groups, 1],
        ),
    };
    let weight = weight.into_view(&view).untyped();
    let factor = factor.into_view(&factors).untyped();
    Activation::from(weight * factor).into_view(&shape)
}
