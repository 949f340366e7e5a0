//! Depthwise and grouped convolutions and their transposes against the definition, in double precision.

use elucid_kernels::Planes;
use elucid_kernels::conv::{self, Conv2d, Epilogue};
use elucid_kernels::pointwise::Pointwise;

use crate::numbers;

struct Case {
    conv: Conv2d,
    x: [usize; 4],
    weight: [usize; 4],
}

impl Case {
    /// Windows of `kernel` over images `x`, each channel with as many outputs.
    fn new(conv: Conv2d, x: [usize; 4], multiplier: usize, kernel: [usize; 2]) -> Self {
        let [_, channels, ..] = x;
        let weight = [
            channels * multiplier,
            channels / conv.groups,
            kernel[0],
            kernel[1],
        ];
        Self { conv, x, weight }
    }

    /// Calls `f(x, weight, y)` with the places of three numbers, for each product of the convolution; the shape
    /// of the output.
    fn each(&self, mut f: impl FnMut(usize, usize, usize)) -> [usize; 4] {
        let Conv2d {
            stride,
            pads,
            dilation,
            groups,
        } = self.conv;
        let [n, channels, height, width] = self.x;
        let [outputs, inputs, kh, kw] = self.weight;
        let size = |i: usize, size: usize, kernel: usize| {
            (size + pads[i] + pads[i + 2] - (kernel - 1) * dilation[i] - 1) / stride[i] + 1
        };
        let (oh, ow) = (size(0, height, kh), size(1, width, kw));
        for image in 0..n {
            for o in 0..outputs {
                for i in 0..oh {
                    for j in 0..ow {
                        let y = ((image * outputs + o) * oh + i) * ow + j;
                        for c in 0..inputs {
                            for a in 0..kh {
                                for b in 0..kw {
                                    let row =
                                        (i * stride[0] + a * dilation[0]).checked_sub(pads[0]);
                                    let col =
                                        (j * stride[1] + b * dilation[1]).checked_sub(pads[1]);
                                    let (Some(row), Some(col)) = (row, col) else {
                                        continue;
                                    };
                                    if row < height && col < width {
                                        let channel = o / (outputs / groups) * inputs + c;
                                        let x = ((image * channels + channel) * height + row)
                                            * width
                                            + col;
                                        f(x, ((o * inputs + c) * kh + a) * kw + b, y);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        [n, outputs, oh, ow]
    }

    fn check(&self) {
        let len = |dims: [usize; 4]| dims.iter().product::<usize>();
        let (x, weight) = (numbers(len(self.x), 1), numbers(len(self.weight), 2));
        let bias = numbers(self.weight[0], 3);
        let windows = self.conv.windows([self.x[2], self.x[3]], self.weight);
        let out = self.each(|_, _, _| {});
        let out_plane = out[2] * out[3];
        let g = numbers(len(out), 4);
        let mut y: Vec<f64> = (0..len(out))
            .map(|i| f64::from(bias[i / out_plane % out[1]]))
            .collect();
        let mut d = vec![0.0; x.len()];
        self.each(|at, w, o| {
            y[o] += f64::from(weight[w]) * f64::from(x[at]);
            d[at] += f64::from(weight[w]) * f64::from(g[o]);
        });
        let weight = Planes::new(&weight, self.weight);
        let x = Planes::new(&x, self.x);
        let mut epilogue = Epilogue {
            bias: Some(&bias),
            then: None,
        };
        let got = conv::forward(x, weight, &windows, epilogue);
        self.close(&got, &y);
        epilogue.then = Some(Pointwise::HardSwish);
        let bent = Pointwise::HardSwish.map(&got);
        let together = conv::forward(x, weight, &windows, epilogue);
        assert_eq!(together, bent, "the function of the same numbers");
        let got = conv::transpose(Planes::new(&g, out), weight, &windows);
        self.close(&got, &d);
    }

    fn close(&self, got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        let largest = want.iter().fold(1e-6f64, |m, v| m.max(v.abs()));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let same = (f64::from(*got) - want).abs() <= 5e-6 * largest;
            let Self { conv, x, weight } = self;
            assert!(
                same,
                "{conv:?} of {x:?} by {weight:?}, number {i}: {got}, want {want}"
            );
        }
    }
}

#[test]
fn depthwise() {
    for kernel in [1, 2, 3, 5, 7, 9] {
        for stride in [[1, 1], [2, 2], [1, 2], [4, 3]] {
            for (dilation, pads) in [
                ([1, 1], [kernel / 2; 4]),
                ([1, 1], [0; 4]),
                ([2, 1], [3, 0, 1, 4]),
                ([1, 3], [kernel, 9, 2, 0]),
            ] {
                let conv = Conv2d {
                    stride,
                    pads,
                    dilation,
                    groups: 3,
                };
                let size = [kernel * 2 + 5, kernel * 3 + 6];
                for (n, multiplier) in [(1, 1), (3, 2)] {
                    Case::new(conv, [n, 3, size[0], size[1]], multiplier, [kernel, kernel]).check();
                }
            }
        }
    }
}

/// Planes of several tiles, rows wider than a tile, planes of less than a vector, more padding than image.
#[test]
fn depthwise_of_any_size() {
    let same =
        |kernel: usize, groups: usize| Conv2d::default().pads([kernel / 2; 4]).groups(groups);
    Case::new(same(3, 2), [1, 2, 112, 113], 1, [3, 3]).check();
    Case::new(same(5, 2).stride([2, 2]), [1, 2, 113, 112], 1, [5, 5]).check();
    Case::new(same(7, 40), [1, 40, 7, 7], 1, [7, 7]).check();
    Case::new(same(3, 2), [1, 2, 3, 9000], 1, [3, 2]).check();
    Case::new(same(3, 2).stride([1, 2]), [1, 2, 3, 9001], 2, [3, 2]).check();
    Case::new(same(3, 2).pads([9, 0, 2, 12]), [1, 2, 3, 2], 1, [3, 3]).check();
    Case::new(same(1, 2).stride([9, 9]), [1, 2, 5, 5], 1, [1, 1]).check();
    Case::new(same(1, 5), [1, 5, 1, 1], 1, [1, 1]).check();
    // Elements so far apart that a padded plane would be larger than what a thread works on.
    let apart = Conv2d {
        dilation: [300, 300],
        ..same(3, 2).pads([300; 4])
    };
    Case::new(apart, [1, 2, 8, 9], 2, [3, 3]).check();
}

/// Panels of every height, many terms, planes of several tiles and of less than a vector, windows that are gathered one by
/// one.
#[test]
fn of_any_size() {
    let image = |conv: Conv2d, x: [usize; 4], outputs: usize, kernel: [usize; 2]| {
        let weight = [outputs, x[1] / conv.groups, kernel[0], kernel[1]];
        Case { conv, x, weight }.check();
    };
    let same = |side: usize| Conv2d::default().pads([side / 2; 4]);
    for outputs in 1..=26 {
        image(same(1), [1, 3, 5, 7], outputs, [1, 1]);
        image(same(3), [2, 2, 4, 9], outputs, [3, 3]);
    }
    for side in [1, 4, 7, 16, 17, 33, 40] {
        image(same(1), [1, 5, side, side], 14, [1, 1]);
        image(same(1), [1, 5, side, side], 80, [1, 1]);
        image(same(3), [1, 3, side, side + 1], 13, [3, 3]);
        image(same(5).stride([2, 2]), [1, 3, side, side], 5, [5, 5]);
        image(same(1).stride([2, 2]), [1, 3, side, side], 5, [1, 1]);
    }
    image(same(1), [1, 600, 3, 11], 7, [1, 1]);
    image(same(3), [1, 70, 6, 7], 30, [3, 3]);
    image(same(3).stride([2, 1]), [3, 70, 6, 7], 4, [3, 3]);
    image(same(7).stride([2, 2]), [1, 3, 60, 61], 20, [7, 7]);
    image(same(1), [1, 9, 90, 91], 3, [1, 1]);
    let odd = Conv2d {
        stride: [3, 2],
        pads: [4, 0, 1, 9],
        dilation: [2, 3],
        groups: 2,
    };
    image(odd, [2, 6, 11, 12], 4, [3, 2]);
    image(odd.groups(1), [1, 1, 1, 1], 1, [3, 1]);
    // Nothing that arrives at the input.
    let beyond = Conv2d::default().pads([1, 0, 0, 0]).stride([2, 1]);
    image(beyond, [1, 2, 1, 3], 2, [2, 1]);
    image(beyond, [1, 2, 1, 3], 2, [1, 1]);
    let apart = Conv2d::default().pads([12; 4]).dilation([12, 12]);
    image(apart, [1, 3, 10, 9], 30, [3, 3]);
    image(apart.stride([2, 3]), [2, 3, 10, 9], 5, [3, 3]);
    image(Conv2d::default().pads([300; 4]), [1, 2, 3, 3], 2, [3, 3]);
}

#[test]
fn groups() {
    for (groups, n) in [(2, 1), (3, 1), (2, 3), (16, 1), (37, 3)] {
        for stride in [[1, 1], [2, 1]] {
            let conv = Conv2d {
                stride,
                pads: [1, 0, 2, 1],
                dilation: [1, 2],
                groups,
            };
            Case::new(conv, [n, 2 * groups, 9, 10], 2, [3, 3]).check();
        }
    }
    let pointwise = Conv2d::default().groups(8);
    Case::new(pointwise, [1, 32, 5, 5], 1, [1, 1]).check();
}

/// Planes of many windows of 3 x 3 next to each other, by fewer products than windows have elements and one by one: images
/// of odd and of even sides, of one tile more or less than vectors have, several at a time, groups, padding of 0 to 2.
#[test]
fn by_minimal_filtering() {
    let check = |conv: Conv2d, x: [usize; 4], outputs: usize| {
        let weight = [outputs, x[1] / conv.groups, 3, 3];
        Case { conv, x, weight }.check();
    };
    let padded = |pads: [usize; 4]| Conv2d::default().pads(pads);
    let same = padded([1; 4]);
    for side in [11, 12, 14, 15, 28, 31, 33, 35] {
        check(same, [1, 40, side, side], 43);
    }
    check(same, [3, 64, 14, 13], 64);
    check(same, [5, 70, 9, 14], 33);
    check(same, [2, 64, 7, 90], 50);
    check(same, [1, 24, 120, 112], 33);
    check(same.groups(3), [2, 96, 28, 28], 3 * 36);
    check(same, [1, 300, 28, 28], 17);
    for pads in [[0; 4], [2; 4], [0, 1, 2, 1], [1, 2, 0, 0], [2, 0, 0, 2]] {
        check(padded(pads), [1, 40, 20, 21], 40);
    }
    // More padding than windows have elements: the definition's way.
    check(padded([3, 1, 4, 0]), [1, 40, 20, 21], 40);
}

/// What no window of an output sees makes nothing of it, however large it is.
#[test]
fn minimal_filtering_stays_within_windows() {
    let conv = Conv2d::default().pads([1; 4]);
    let (x, weight) = ([1, 64, 28, 28], [64, 64, 3, 3]);
    let mut values = vec![0.0; x.iter().product()];
    // A column of large numbers in each channel.
    for row in values.chunks_exact_mut(28) {
        row[9] = 1e9;
    }
    let weights = numbers(weight.iter().product(), 5);
    let windows = conv.windows([28, 28], weight);
    let y = conv::forward(
        Planes::new(&values, x),
        Planes::new(&weights, weight),
        &windows,
        Epilogue::default(),
    );
    for (i, y) in y.iter().enumerate() {
        let is_seen = (8..=10).contains(&(i % 28));
        assert_eq!(*y != 0.0, is_seen, "column {}", i % 28);
    }
}
