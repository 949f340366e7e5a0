//! Convolution against loops, burn's own convolution and its autodiff.

use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Tensor, TensorData, module};
use elucid_rules::{Conv2d, conv2d, conv2d_transpose};
use elucid_testkit::array::{Array, assert_close, cases, indices, value_and_gradient};
use proptest::prelude::*;

/// A convolution that fits: what it does, its image, its weight and perhaps a bias.
#[derive(Debug, Clone)]
struct Case {
    conv: Conv2d,
    x: Array,
    weight: Array,
    bias: Option<Vec<f32>>,
}

impl Case {
    fn new(conv: Conv2d, x: [usize; 4], outputs: usize, kernel: [usize; 2], seed: u64) -> Self {
        let [height, width] = kernel;
        let weight = [outputs, x[1] / conv.groups, height, width];
        Self {
            conv,
            x: Array::random(x, seed),
            weight: Array::random(weight, seed ^ 7),
            bias: (!seed.is_multiple_of(3))
                .then(|| Array::random([1, 1, 1, outputs], seed ^ 9).values),
        }
    }

    fn bias(&self) -> Option<Tensor<1>> {
        let device = self.weight.tensor().device();
        let bias = self.bias.clone()?;
        let len = bias.len();
        Some(Tensor::from_data(TensorData::new(bias, [len]), &device))
    }

    fn ours(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.tensor(), self.bias(), &self.conv)
    }

    fn burns(&self, x: Tensor<4>) -> Tensor<4> {
        let [top, left, bottom, right] = self.conv.pads;
        let x = x.pad([(top, bottom), (left, right)], PadMode::Constant(0.0));
        let Conv2d {
            stride,
            dilation,
            groups,
            ..
        } = self.conv;
        let options = ConvOptions::new(stride, [0, 0], dilation, groups);
        module::conv2d(x, self.weight.tensor(), self.bias(), options)
    }

    /// In double precision, straight from the definition.
    fn naive(&self) -> Array {
        let Conv2d {
            stride,
            pads,
            dilation,
            groups,
        } = self.conv;
        let [n, _, height, width] = self.x.dims;
        let [outputs, per_group, kh, kw] = self.weight.dims;
        let size = |i: usize, size: usize, kernel: usize| {
            (size + pads[i] + pads[i + 2] - (kernel - 1) * dilation[i] - 1) / stride[i] + 1
        };
        let mut y = Array::zeros([n, outputs, size(0, height, kh), size(1, width, kw)]);
        let inside =
            |at: usize, before: usize, size: usize| at.checked_sub(before).filter(|at| *at < size);
        for [image, o, i, j] in indices(y.dims) {
            let group = o / (outputs / groups);
            let mut sum = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]));
            for [_, c, a, b] in indices([1, per_group, kh, kw]) {
                let row = inside(i * stride[0] + a * dilation[0], pads[0], height);
                let col = inside(j * stride[1] + b * dilation[1], pads[1], width);
                if let (Some(row), Some(col)) = (row, col) {
                    let x = self.x.get([image, group * per_group + c, row, col]);
                    sum += f64::from(self.weight.get([o, c, a, b])) * f64::from(x);
                }
            }
            *y.get_mut([image, o, i, j]) = sum as f32;
        }
        y
    }
}

/// Height and width of what a window fits into, and so much more.
fn size(conv: &Conv2d, kernel: [usize; 2], beyond: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|i| {
        let extent = (kernel[i] - 1) * conv.dilation[i] + 1;
        let padding = conv.pads[i] + conv.pads[i + 2];
        extent.saturating_sub(padding).max(1) + beyond[i]
    })
}

prop_compose! {
    fn fitting()(
        kernel in [1usize..5, 1..5],
        stride in [1usize..4, 1..4],
        dilation in [1usize..4, 1..3],
        pads in [0usize..4, 0..4, 0..4, 0..4],
        groups in prop_oneof![3 => Just(1usize), 1 => 2usize..4],
        per_group in [1usize..6, 1..6],
        n in 1usize..6,
        beyond in [0usize..9, 0..9],
        seed: u64,
    ) -> Case {
        let conv = Conv2d { stride, pads, dilation, groups };
        let [height, width] = size(&conv, kernel, beyond);
        let x = [n, per_group[0] * groups, height, width];
        Case::new(conv, x, per_group[1] * groups, kernel, seed)
    }
}

prop_compose! {
    /// Windows that see one channel, of which there are several groups.
    fn depthwise()(
        kernel in [1usize..10, 1..10],
        stride in [1usize..4, 1..4],
        dilation in [1usize..4, 1..3],
        pads in [0usize..6, 0..6, 0..6, 0..6],
        channels in 2usize..7,
        multiplier in 1usize..4,
        n in prop_oneof![Just(1usize), Just(3)],
        beyond in [0usize..20, 0..20],
        seed: u64,
    ) -> Case {
        let conv = Conv2d { stride, pads, dilation, groups: channels };
        let [height, width] = size(&conv, kernel, beyond);
        Case::new(conv, [n, channels, height, width], channels * multiplier, kernel, seed)
    }
}

prop_compose! {
    /// More groups than a processor has threads.
    fn grouped()(
        kernel in [1usize..4, 1..4],
        stride in [1usize..3, 1..3],
        dilation in [1usize..3, 1..3],
        pads in [0usize..3, 0..3, 0..3, 0..3],
        groups in 2usize..40,
        per_group in [2usize..5, 1..5],
        n in prop_oneof![Just(1usize), Just(3)],
        beyond in [0usize..9, 0..9],
        seed: u64,
    ) -> Case {
        let conv = Conv2d { stride, pads, dilation, groups };
        let size = |i: usize| (kernel[i] - 1) * dilation[i] + 1 + beyond[i];
        let x = [n, per_group[0] * groups, size(0), size(1)];
        Case::new(conv, x, per_group[1] * groups, kernel, seed)
    }
}

/// Value and gradient are burn's, the value is that of loops, and the transpose is the gradient.
fn check(case: &Case) {
    let value = Array::of(case.ours(case.x.tensor()));
    assert_close(&value, &case.naive(), 1e-5);
    let g = |dims| Array::random(dims, 1);
    let ours = value_and_gradient(&case.x, |x| case.ours(x), g);
    let burns = value_and_gradient(&case.x, |x| case.burns(x), g);
    assert_eq!(ours.0, value, "with gradients and without");
    assert_close(&ours.0, &burns.0, 1e-5);
    assert_close(&ours.1, &burns.1, 1e-5);
    let [_, _, height, width] = case.x.dims;
    let transpose = conv2d_transpose(
        g(value.dims).tensor(),
        case.weight.tensor(),
        &case.conv,
        [height, width],
    );
    assert_close(&Array::of(transpose), &burns.1, 1e-5);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_convolution_that_fits(case in fitting()) {
        check(&case);
    }

    #[test]
    fn any_depthwise_convolution(case in depthwise()) {
        check(&case);
    }

    #[test]
    fn many_groups(case in grouped()) {
        check(&case);
    }
}

/// What does not fit into one tile of columns, for one thread and for all together; the first layers
/// of networks; a depthwise layer; a window as large as the image.
#[test]
fn sizes_of_a_network() {
    let same = |kernel: usize| Conv2d::default().pads([kernel / 2; 4]);
    let cases = [
        (same(3), [1, 64, 75, 75], 40, 3),
        (same(3), [3, 48, 41, 40], 20, 3),
        (same(7).stride([2, 2]), [2, 3, 97, 96], 16, 7),
        (same(1), [3, 70, 29, 31], 33, 1),
        (same(1).stride([2, 2]), [2, 30, 28, 28], 20, 1),
        (same(3).groups(24), [2, 24, 30, 30], 24, 3),
        (same(5).groups(2), [5, 32, 27, 27], 64, 5),
        (Conv2d::default(), [2, 40, 7, 7], 100, 7),
    ];
    for (conv, x, outputs, kernel) in cases {
        check(&Case::new(conv, x, outputs, [kernel, kernel], 1));
    }
}

/// The depthwise and grouped layers of networks, planes of several tiles and of less than a vector, strides
/// wider than the window, and more padding than image.
#[test]
fn sizes_of_depthwise_and_grouped_layers() {
    let same =
        |kernel: usize, groups: usize| Conv2d::default().pads([kernel / 2; 4]).groups(groups);
    let cases = [
        (same(3, 5), [1, 5, 112, 112], 5, 3),
        (same(3, 5).stride([2, 2]), [1, 5, 112, 113], 5, 3),
        (same(3, 6).stride([2, 2]), [3, 6, 15, 14], 12, 3),
        (same(5, 4), [1, 4, 28, 28], 4, 5),
        (same(5, 4).stride([2, 2]), [3, 4, 56, 56], 4, 5),
        (same(7, 40), [1, 40, 7, 7], 40, 7),
        (same(7, 3), [1, 3, 56, 56], 9, 7),
        (same(9, 4), [1, 4, 32, 32], 4, 9),
        (same(3, 4).dilation([2, 2]), [1, 4, 33, 31], 4, 3),
        (same(3, 4).stride([5, 4]), [1, 4, 33, 31], 4, 3),
        (same(1, 4).stride([3, 3]), [1, 4, 10, 11], 4, 1),
        (same(3, 3).pads([9, 0, 2, 12]), [1, 3, 3, 2], 3, 3),
        (same(3, 32), [1, 128, 28, 28], 128, 3),
        (same(3, 32).stride([2, 2]), [1, 256, 28, 28], 256, 3),
        (same(3, 3).pads([0, 1, 2, 0]), [3, 48, 14, 15], 48, 3),
    ];
    for (conv, x, outputs, kernel) in cases {
        check(&Case::new(conv, x, outputs, [kernel, kernel], 1));
    }
}

/// A row is wider than any tile.
#[test]
fn depthwise_rows_larger_than_a_tile() {
    let wide = Conv2d::default().pads([0, 1, 0, 1]).groups(2);
    check(&Case::new(wide, [1, 2, 3, 20_000], 2, [2, 3], 1));
    check(&Case::new(
        wide.stride([1, 2]),
        [1, 2, 3, 20_001],
        2,
        [2, 3],
        1,
    ));
}

/// A plane of one row is wider than any tile, and a window has more elements than a tile.
#[test]
fn rows_and_windows_larger_than_a_tile() {
    let wide = Conv2d::default().pads([0, 1, 0, 1]);
    check(&Case::new(wide, [1, 2, 2, 150_000], 2, [2, 3], 1));
    let large = Conv2d::default().pads([20; 4]);
    check(&Case::new(large, [2, 1, 40, 40], 1, [33, 33], 2));
}

#[test]
fn a_weight_that_is_differentiated_gets_its_gradient() {
    let case = Case::new(Conv2d::default(), [2, 3, 6, 6], 4, [3, 3], 1);
    let weight = case.weight.tracked();
    let y = conv2d(case.x.tensor().autodiff(), weight.clone(), None, &case.conv);
    let mut gradients = y.sum().backward();
    let gradient = Array::of(weight.grad_remove(&mut gradients).unwrap());
    let mut want = Array::zeros(case.weight.dims);
    for [o, c, a, b] in indices(want.dims) {
        let mut sum = 0.0;
        for [n, _, i, j] in indices([2, 1, 4, 4]) {
            sum += case.x.get([n, c, i + a, j + b]);
        }
        *want.get_mut([o, c, a, b]) = sum;
    }
    assert_close(&gradient, &want, 1e-5);
}

fn ones(conv: Conv2d, weight: [usize; 4]) -> Tensor<4> {
    let one = |dims: [usize; 4]| Array::zeros(dims).map(|_| 1.0).tensor();
    conv2d(one([1, 2, 3, 3]), one(weight), None, &conv)
}

#[test]
#[should_panic(expected = "does not fit 2 channels in 1 groups")]
fn a_weight_for_other_channels_is_refused() {
    ones(Conv2d::default(), [1, 3, 1, 1]);
}

#[test]
#[should_panic(expected = "a bias for each output channel")]
fn a_bias_for_other_channels_is_refused() {
    let case = Case::new(Conv2d::default(), [1, 2, 3, 3], 4, [1, 1], 1);
    let weight = Array::zeros([3, 2, 1, 1]).tensor();
    conv2d(case.x.tensor(), weight, case.bias(), &case.conv);
}

#[test]
#[should_panic(expected = "windows of 4 do not fit into 3")]
fn a_window_larger_than_the_image_is_refused() {
    ones(Conv2d::default(), [1, 2, 4, 1]);
}

#[test]
#[should_panic(expected = "must be 1 or more")]
fn a_stride_of_zero_is_refused() {
    ones(Conv2d::default().stride([0, 1]), [1, 2, 1, 1]);
}
