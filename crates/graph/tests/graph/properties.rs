//! What holds for every small network and every damaged file.

use burn::tensor::Tensor;
use elucid_graph::{INPUT, Windows};
use elucid_rules::Rules;
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, floats, small_network};
use elucid_vision::Model;
use proptest::prelude::*;

use super::case_files;

/// One step of a random network.
#[derive(Debug, Clone)]
enum Stage {
    Conv {
        kernel: [i64; 2],
        stride: [i64; 2],
        pads: [i64; 4],
        dilation: [i64; 2],
        same: usize,
    },
    Pool {
        max: bool,
        kernel: [i64; 2],
        stride: [i64; 2],
        pads: [i64; 4],
        ceil: bool,
    },
    /// Two branches, joined along channels or by their sum.
    Fork {
        kernel: i64,
        dilation: i64,
        sum: bool,
    },
    Pointwise(&'static str),
    Lrn,
    Crop {
        top: i64,
        left: i64,
        step: i64,
    },
    Border([i64; 4]),
    Split,
    /// A transposed convolution.
    Spread {
        kernel: [i64; 2],
        stride: [i64; 2],
        pads: [i64; 4],
        dilation: [i64; 2],
        larger: i64,
    },
    Resize {
        mode: &'static str,
        coordinates: &'static str,
        scales: [f32; 2],
    },
}

fn pair(range: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = [i64; 2]> {
    [range.clone(), range]
}

fn stage() -> impl Strategy<Value = Stage> {
    let pads = || [0..=2_i64, 0..=2, 0..=2, 0..=2];
    prop_oneof![
        3 => (pair(1..=3), pair(1..=3), pads(), pair(1..=2), 0..6_usize).prop_map(
            |(kernel, stride, pads, dilation, same)| Stage::Conv { kernel, stride, pads, dilation, same }
        ),
        3 => (any::<bool>(), pair(1..=3), pair(1..=3), pads(), any::<bool>()).prop_map(
            |(max, kernel, stride, pads, ceil)| Stage::Pool { max, kernel, stride, pads, ceil }
        ),
        2 => (0..=1_i64, 1..=2_i64, any::<bool>())
            .prop_map(|(half, dilation, sum)| Stage::Fork { kernel: 2 * half + 1, dilation, sum }),
        1 => prop_oneof![Just("Relu"), Just("Sigmoid"), Just("Identity"), Just("HardSwish")]
            .prop_map(Stage::Pointwise),
        1 => Just(Stage::Lrn),
        1 => (0..=2_i64, 0..=2_i64, 1..=2_i64)
            .prop_map(|(top, left, step)| Stage::Crop { top, left, step }),
        1 => pads().prop_map(Stage::Border),
        1 => Just(Stage::Split),
        2 => (pair(1..=3), pair(1..=3), pads(), pair(1..=2), 0..=2_i64).prop_map(
            |(kernel, stride, pads, dilation, larger)| {
                Stage::Spread { kernel, stride, pads, dilation, larger }
            }
        ),
        2 => (
            prop::sample::select(vec!["nearest", "linear", "cubic"]),
            prop::sample::select(vec!["half_pixel", "align_corners", "asymmetric"]),
            [(0.4_f32..2.2), (0.4_f32..2.2)],
        )
            .prop_map(|(mode, coordinates, scales)| Stage::Resize { mode, coordinates, scales }),
    ]
}

/// Channels of every stage's output.
const CHANNELS: i64 = 4;

/// The network that the stages describe; its output is `y`.
fn network(stages: &[Stage], size: [i64; 2]) -> Onnx {
    let mut onnx = Onnx::image([-1, 3, size[0], size[1]])
        .weight("w", &[CHANNELS, 3, 1, 1])
        .node("Conv", &["x", "w"], &["s0"]);
    for (i, stage) in stages.iter().enumerate() {
        let (from, to) = (format!("s{i}"), format!("s{}", i + 1));
        let (from, to) = (from.as_str(), to.as_str());
        let [w, a, b, c] = ["w", "a", "b", "c"].map(|n| format!("{n}{i}"));
        onnx = match stage {
            Stage::Conv {
                kernel,
                stride,
                pads,
                dilation,
                same,
            } => {
                let conv = onnx
                    .weight(&w, &[CHANNELS, CHANNELS, kernel[0], kernel[1]])
                    .node("Conv", &[from, &w], &[to])
                    .ints("strides", stride)
                    .ints("dilations", dilation);
                match same {
                    0 => conv.text("auto_pad", "SAME_UPPER"),
                    1 => conv.text("auto_pad", "SAME_LOWER"),
                    _ => conv.ints("pads", pads),
                }
            }
            Stage::Pool {
                max,
                kernel,
                stride,
                pads,
                ceil,
            } => onnx
                .node(if *max { "MaxPool" } else { "AveragePool" }, &[from], &[to])
                .ints("kernel_shape", kernel)
                .ints("strides", stride)
                .ints("pads", pads)
                .int("ceil_mode", i64::from(*ceil)),
            Stage::Fork {
                kernel,
                dilation,
                sum,
            } => {
                let reach = kernel / 2 * dilation;
                let out = if *sum { CHANNELS } else { CHANNELS / 2 };
                let forked = onnx
                    .weight(&a, &[out, CHANNELS, *kernel, *kernel])
                    .weight(&b, &[out, CHANNELS, 1, 1])
                    .node("Conv", &[from, &a], &[&c])
                    .ints("pads", &[reach; 4])
                    .ints("dilations", &[*dilation; 2])
                    .node("Conv", &[from, &b], &[&w]);
                if *sum {
                    forked.node("Add", &[&c, &w], &[to])
                } else {
                    forked.node("Concat", &[&c, &w], &[to]).int("axis", 1)
                }
            }
            Stage::Pointwise(op) => onnx.opset(14).node(op, &[from], &[to]),
            Stage::Lrn => onnx
                .node("LRN", &[from], &[to])
                .int("size", 3)
                .float("alpha", 0.5),
            Stage::Crop { top, left, step } => onnx
                .list(&a, &[*top, *left])
                .list(&b, &[i64::MAX, i64::MAX])
                .list(&c, &[2, 3])
                .list(&w, &[*step, 1])
                .node("Slice", &[from, &a, &b, &c, &w], &[to]),
            Stage::Border([top, left, bottom, right]) => onnx
                .list(&a, &[0, 0, *top, *left, 0, 0, *bottom, *right])
                .node("Pad", &[from, &a], &[to]),
            Stage::Split => onnx
                .list(&a, &[1, CHANNELS - 1])
                .node("Split", &[from, &a], &[&b, &c])
                .int("axis", 1)
                .node("Concat", &[&c, &b], &[to])
                .int("axis", 1),
            Stage::Spread {
                kernel,
                stride,
                pads,
                dilation,
                larger,
            } => onnx
                .weight(&w, &[CHANNELS, CHANNELS, kernel[0], kernel[1]])
                .node("ConvTranspose", &[from, &w], &[to])
                .ints("strides", stride)
                .ints("dilations", dilation)
                .ints("pads", pads)
                .ints("output_padding", &[*larger, 0]),
            Stage::Resize {
                mode,
                coordinates,
                scales: [rows, columns],
            } => onnx
                .tensor(floats(&a, &[4], vec![1.0, 1.0, *rows, *columns]))
                .node("Resize", &[from, "", &a], &[to])
                .text("mode", mode)
                .text("coordinate_transformation_mode", coordinates),
        };
    }
    onnx.node("Identity", &[&format!("s{}", stages.len())], &["y"])
}

fn images(shape: [usize; 4]) -> Tensor<4> {
    let count: usize = shape.iter().product();
    elucid_testkit::tensor(
        (0..count)
            .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
            .collect(),
        shape,
    )
}

/// Whether deep position `at` may depend on shallow position `from`.
fn covers(windows: &Windows, at: [usize; 2], from: [usize; 2]) -> bool {
    let inside = |span: Option<(usize, usize)>, i: usize| {
        span.is_some_and(|(first, last)| (first..=last).contains(&i))
    };
    inside(windows.rows[at[0]], from[0]) && inside(windows.columns[at[1]], from[1])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn shapes_are_what_was_predicted(
        stages in prop::collection::vec(stage(), 1..5),
        size in pair(5..=12),
        other in pair(1..=16),
        batch in 1..=3_usize,
    ) {
        let bytes = network(&stages, size).bytes();
        let Ok(model) = Model::from_bytes(bytes, &device(), None) else { return Ok(()) };
        for [h, w] in [size, other].map(|s| s.map(|d| d as usize)) {
            let run = model.pass().input(&images([batch, 3, h, w]));
            match model.layers_for([h, w]) {
                Err(_) => prop_assert!(run.fetch(["y"]).is_err()),
                Ok(layers) => {
                    let names: Vec<&str> = layers.iter().map(|l| l.name()).collect();
                    let fetched = run.fetch(&names).unwrap();
                    for layer in &layers {
                        let mut shape = layer.shape().to_vec();
                        shape[0] = batch;
                        prop_assert_eq!(fetched.get(layer.name()).unwrap().shape(), shape);
                    }
                }
            }
        }
    }

    /// A position outside the window changes nothing, and positions of one colour share no window.
    #[test]
    fn windows_hold_every_dependency(
        stages in prop::collection::vec(stage(), 1..5),
        size in pair(4..=9),
    ) {
        let bytes = network(&stages, size).bytes();
        let Ok(model) = Model::from_bytes(bytes, &device(), None) else { return Ok(()) };
        // Of which nothing is left: it has no positions.
        if model.layer("y").is_err() {
            return Ok(());
        }
        let [h, w] = size.map(|d| d as usize);
        let windows = model.windows(INPUT, "y", &Rules::new(), [h, w]).unwrap();
        let windows = windows.expect("every stage is local");
        let plain = images([1, 3, h, w]);
        // One batch entry for each position, with that position changed.
        let mut changed = Vec::new();
        for position in 0..h * w {
            let mut values: Vec<f32> = plain.to_data().iter::<f32>().collect();
            for c in 0..3 {
                values[c * h * w + position] += 3.0 + c as f32;
            }
            changed.extend(values);
        }
        let changed = elucid_testkit::tensor(changed, [h * w, 3, h, w]);
        let run = |x: &Tensor<4>| {
            model.pass().input(x).fetch(["y"]).unwrap().get("y").unwrap().to_array().unwrap()
        };
        let (before, after) = (run(&plain), run(&changed));
        let deep = [before.shape()[2], before.shape()[3]];
        prop_assert_eq!([windows.rows.len(), windows.columns.len()], deep);
        for ((index, &value), _) in after.indexed_iter().zip(0..) {
            let (from, at) = ([index[0] / w, index[0] % w], [index[2], index[3]]);
            let unchanged = before[[0, index[1], index[2], index[3]]];
            // A batch may be summed in another order than a single image.
            if (value - unchanged).abs() > 1e-4 * unchanged.abs().max(1.0) {
                prop_assert!(covers(&windows, at, from), "{at:?} depends on {from:?}");
            }
        }
        let colours = windows.colours();
        let mut seen = vec![0; deep[0] * deep[1]];
        for group in &colours {
            let mut taken = vec![false; h * w];
            for &(y, x) in group {
                seen[y * deep[1] + x] += 1;
                for (position, taken) in taken.iter_mut().enumerate() {
                    if covers(&windows, [y, x], [position / w, position % w]) {
                        prop_assert!(!*taken, "two of a colour reach {position}");
                        *taken = true;
                    }
                }
            }
        }
        prop_assert!(seen.iter().all(|&n| n == 1));
    }
}

/// Numbers that a pass on a damaged file may compute.
const MOST: usize = 1 << 20;

/// Imports and, where that succeeds, runs.
fn survives(bytes: Vec<u8>) -> bool {
    let Ok(model) = Model::from_bytes(bytes, &device(), None) else {
        return false;
    };
    let Some(deepest) = model.layers().last() else {
        return false;
    };
    for [h, w] in [[9, 8], [12, 12], [1, 1]] {
        if model
            .pass_elements(INPUT, deepest.name(), [h, w])
            .is_ok_and(|n| n < MOST)
        {
            let _ = model
                .pass()
                .input(&images([2, 3, h, w]))
                .fetch([deepest.name()]);
        }
    }
    true
}

fn cases() -> Vec<Vec<u8>> {
    let files = case_files();
    let mut cases = vec![small_network().bytes()];
    cases.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
    cases
}

#[test]
fn damaged_files_do_not_panic() {
    let cases = cases();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut imported = 0;
    for case in &cases {
        for _ in 0..12 {
            let mut bytes = case.clone();
            for _ in 0..=random(3) {
                // The graph comes first in a file, its weights behind.
                let at = random(bytes.len().min(600));
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] ^= 1 << random(8),
                    2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
                    _ => bytes[at] = bytes[at].wrapping_add([1, 255][random(2)]),
                }
            }
            imported += usize::from(survives(bytes));
        }
    }
    assert!(
        imported > 200,
        "only {imported} damaged files were imported"
    );
}
