//! Every rule against loops, and conservation.

use burn::tensor::Tensor;
use elucid_attribution::relevance::{
    AlphaBeta, Epsilon, Excitation, Flat, Gamma, RelevanceRule, RelevanceRules, WSquare, ZBox,
    ZPlus,
};
use elucid_attribution::{Attributor, ExcitationBackprop, Lrp, Target};
use elucid_graph::INPUT;
use elucid_rules::OpKind;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::relative_error;
use elucid_vision::Model;

use super::{images, model, noise, without_bias};

/// A convolution as a list of what each output reads: `(input, weight)` by their places.
struct Loops {
    x: Vec<f64>,
    w: Vec<f64>,
    b: Vec<f64>,
    /// For each output: its bias's place, and its inputs and weights.
    reads: Vec<(usize, Vec<(usize, usize)>)>,
}

impl Loops {
    fn y(&self, j: usize) -> f64 {
        let (bias, reads) = &self.reads[j];
        self.b[*bias]
            + reads
                .iter()
                .map(|&(i, w)| self.x[i] * self.w[w])
                .sum::<f64>()
    }

    /// Shares each output's relevance `y^2` by the numerators of a rule, which also says what the
    /// bias adds to their sum.
    fn share(&self, epsilon: f64, rule: &dyn Fn(&Self, usize) -> Shares) -> Vec<f64> {
        let mut relevance = vec![0.0; self.x.len()];
        for (j, (_, reads)) in self.reads.iter().enumerate() {
            let arrived = self.y(j) * self.y(j);
            for (numerators, extra, factor) in rule(self, j) {
                let sum = numerators.iter().sum::<f64>() + extra;
                let kept = sum + if sum < 0.0 { -epsilon } else { epsilon };
                for (&(i, _), n) in reads.iter().zip(numerators) {
                    relevance[i] += factor * n / kept * arrived;
                }
            }
        }
        relevance
    }

    fn products(&self, j: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let reads = self.reads[j].1.iter();
        reads.map(|&(i, w)| f(self.x[i] * self.w[w])).collect()
    }

    fn bias(&self, j: usize) -> f64 {
        self.b[self.reads[j].0]
    }
}

/// Numerators, what the bias adds to their sum, and a factor.
type Shares = Vec<(Vec<f64>, f64, f64)>;

fn above(v: f64) -> f64 {
    v.max(0.0)
}

fn below(v: f64) -> f64 {
    v.min(0.0)
}

type Twin = Box<dyn Fn(&Loops, usize) -> Shares>;

/// Every rule for weighted operators with what it says of output `j`, in words a reader can check.
fn twins(channels: usize) -> Vec<(Box<dyn RelevanceRule>, Twin)> {
    let low: Vec<f32> = (0..channels).map(|c| -1.5 - c as f32 * 0.25).collect();
    let high: Vec<f32> = (0..channels).map(|c| 1.25 + c as f32 * 0.5).collect();
    let bounds = [low.clone(), high.clone()];
    vec![
        (
            Box::new(Epsilon::default()),
            Box::new(|l, j| vec![(l.products(j, |p| p), l.bias(j), 1.0)]),
        ),
        (
            Box::new(ZPlus::default()),
            Box::new(|l, j| vec![(l.products(j, above), above(l.bias(j)), 1.0)]),
        ),
        (
            Box::new(AlphaBeta::new(3.0, 2.0)),
            Box::new(|l, j| {
                vec![
                    (l.products(j, above), above(l.bias(j)), 3.0),
                    (l.products(j, below), below(l.bias(j)), -2.0),
                ]
            }),
        ),
        (
            Box::new(Gamma::new(0.7)),
            Box::new(|l, j| {
                let part = if l.y(j) > 0.0 { above } else { below };
                let favoured = |p: f64| p + 0.7 * part(p);
                vec![(l.products(j, favoured), favoured(l.bias(j)), 1.0)]
            }),
        ),
        (
            Box::new(Flat),
            Box::new(|l, j| vec![(vec![1.0; l.reads[j].1.len()], 0.0, 1.0)]),
        ),
        (
            Box::new(WSquare),
            Box::new(|l, j| {
                let reads = l.reads[j].1.iter();
                vec![(reads.map(|&(_, w)| l.w[w] * l.w[w]).collect(), 0.0, 1.0)]
            }),
        ),
        (
            Box::new(ZBox::new(&low, &high)),
            Box::new(move |l, j| {
                let size = l.x.len() / 2 / channels;
                let reads = l.reads[j].1.iter().map(|&(i, w)| {
                    let c = i / size % channels;
                    let (low, high) = (f64::from(bounds[0][c]), f64::from(bounds[1][c]));
                    l.x[i] * l.w[w] - low * above(l.w[w]) - high * below(l.w[w])
                });
                vec![(reads.collect(), 0.0, 1.0)]
            }),
        ),
        (
            Box::new(Excitation),
            Box::new(|l, j| {
                let reads = l.reads[j].1.iter();
                let shares = reads.map(|&(i, w)| l.x[i] * above(l.w[w]));
                vec![(shares.collect(), 0.0, 1.0)]
            }),
        ),
    ]
}

/// Compares a rule on the layer `y`, whose relevance is `y^2`, with loops.
fn agrees(model: &Model, kind: OpKind, loops: &Loops, x: &Tensor<4>, channels: usize) {
    for (rule, twin) in twins(channels) {
        let name = rule.name();
        let rule: std::sync::Arc<dyn RelevanceRule> = rule.into();
        let rules = RelevanceRules::new().on(kind, rule);
        let half_square = Target::closure("out", |y| {
            let images = y.dims()[0];
            let squares = (y.clone() * y).reshape([images as i32, -1]).sum_dim(1) * 0.5;
            squares.reshape([images])
        });
        let got = Lrp::new(rules).attribute(model, x, half_square).unwrap();
        let epsilon = if name == "excitation" { 0.0 } else { 1e-6 };
        let want: Vec<f32> = loops
            .share(epsilon, &*twin)
            .iter()
            .map(|&v| v as f32)
            .collect();
        let error = relative_error(got.values(), &want);
        assert!(error < 1e-4, "{name}: {error:.1e}");
    }
}

#[test]
fn every_rule_is_its_twin_on_convolutions() {
    struct Case {
        size: [usize; 2],
        outputs: usize,
        kernel: [usize; 2],
        groups: usize,
        stride: [usize; 2],
        dilation: [usize; 2],
        pads: [usize; 4],
        signed: bool,
    }
    let cases = [
        Case {
            size: [5, 4],
            outputs: 4,
            kernel: [3, 3],
            groups: 1,
            stride: [1, 1],
            dilation: [1, 1],
            pads: [1, 1, 1, 1],
            signed: true,
        },
        Case {
            size: [8, 7],
            outputs: 6,
            kernel: [3, 2],
            groups: 3,
            stride: [2, 3],
            dilation: [1, 2],
            pads: [0, 1, 2, 0],
            signed: true,
        },
        Case {
            size: [6, 6],
            outputs: 2,
            kernel: [2, 2],
            groups: 1,
            stride: [3, 2],
            dilation: [2, 1],
            pads: [0, 0, 0, 0],
            signed: false,
        },
    ];
    for (seed, case) in (10..).step_by(10).zip(cases) {
        let ([h, w], [kh, kw], channels) = (case.size, case.kernel, 3);
        let (inner, per_group) = (channels / case.groups, case.outputs / case.groups);
        let weights = noise(case.outputs * inner * kh * kw, seed);
        let bias = noise(case.outputs, seed + 1);
        let mut x = noise(2 * channels * h * w, seed + 2);
        if !case.signed {
            x.iter_mut().for_each(|v| *v = v.abs());
        }
        let ints = |v: &[usize]| -> Vec<i64> { v.iter().map(|&v| v as i64).collect() };
        let network = Onnx::image([-1, 3, h as i64, w as i64])
            .tensor(floats(
                "w",
                &ints(&[case.outputs, inner, kh, kw]),
                weights.clone(),
            ))
            .tensor(floats("b", &[case.outputs as i64], bias.clone()))
            .node("Conv", &["x", "w", "b"], &["out"])
            .int("group", case.groups as i64)
            .ints("strides", &ints(&case.stride))
            .ints("dilations", &ints(&case.dilation))
            .ints("pads", &ints(&case.pads))
            .node("Identity", &["out"], &["y"]);
        let [top, left, bottom, right] = case.pads;
        let count = |size: usize, kernel: usize, axis: usize, pads: usize| {
            (size + pads - case.dilation[axis] * (kernel - 1) - 1) / case.stride[axis] + 1
        };
        let (oh, ow) = (count(h, kh, 0, top + bottom), count(w, kw, 1, left + right));
        let mut reads = Vec::new();
        for n in 0..2 {
            for o in 0..case.outputs {
                for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                    let mut window = Vec::new();
                    for c in 0..inner {
                        for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                            let row = y * case.stride[0] + ky * case.dilation[0];
                            let column = x * case.stride[1] + kx * case.dilation[1];
                            let inside =
                                (top..top + h).contains(&row) && (left..left + w).contains(&column);
                            if inside {
                                let channel = o / per_group * inner + c;
                                let i =
                                    ((n * channels + channel) * h + row - top) * w + column - left;
                                window.push((i, ((o * inner + c) * kh + ky) * kw + kx));
                            }
                        }
                    }
                    reads.push((o, window));
                }
            }
        }
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
        let loops = Loops {
            x: wide(&x),
            w: wide(&weights),
            b: wide(&bias),
            reads,
        };
        let x = images(&x, [2, channels, h, w]);
        agrees(&model(&network), OpKind::Conv, &loops, &x, channels);
    }
}

#[test]
fn every_rule_is_its_twin_on_dense_layers() {
    let (weights, bias, x) = (noise(12 * 5, 1), noise(5, 2), noise(2 * 12, 3));
    let reads = (0..2)
        .flat_map(|n| (0..5).map(move |o| (n, o)))
        .map(|(n, o)| (o, (0..12).map(|i| (n * 12 + i, i * 5 + o)).collect()))
        .collect();
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
    let mut loops = Loops {
        x: wide(&x),
        w: wide(&weights),
        b: wide(&bias),
        reads,
    };
    let x = images(&x, [2, 3, 2, 2]);
    let start = Onnx::image([-1, 3, 2, 2]).node("Flatten", &["x"], &["f"]);
    let plain = start
        .clone()
        .tensor(floats("w", &[12, 5], weights.clone()))
        .tensor(floats("b", &[5], bias.clone()))
        .node("Gemm", &["f", "w", "b"], &["out"])
        .node("Identity", &["out"], &["y"]);
    agrees(&model(&plain), OpKind::Gemm, &loops, &x, 12);
    // The same numbers with the weights transposed and factors on both.
    let transposed = (0..60).map(|i| weights[i % 12 * 5 + i / 12] / 4.0);
    let scaled = start
        .clone()
        .tensor(floats("w", &[5, 12], transposed.collect()))
        .tensor(floats("b", &[5], bias.iter().map(|b| b * 2.0).collect()))
        .node("Gemm", &["f", "w", "b"], &["out"])
        .int("transB", 1)
        .float("alpha", 4.0)
        .float("beta", 0.5)
        .node("Identity", &["out"], &["y"]);
    agrees(&model(&scaled), OpKind::Gemm, &loops, &x, 12);
    loops.b = vec![0.0; 5];
    let product = start
        .tensor(floats("w", &[12, 5], weights))
        .node("MatMul", &["f", "w"], &["out"])
        .node("Identity", &["out"], &["y"]);
    agrees(&model(&product), OpKind::MatMul, &loops, &x, 12);
}

#[test]
fn without_biases_relevance_is_conserved() {
    let model = model(&without_bias());
    let x = images(&noise(3 * 243, 7), [3, 3, 9, 9]);
    for layer in [INPUT, "p1", "r2", "p2", "joined"] {
        let result = Lrp::epsilon()
            .at(layer)
            .attribute(&model, &x, Target::class(1))
            .unwrap();
        println!("{result}");
        assert!(result.completeness_error().unwrap() < 1e-5, "{layer}");
    }
    for layer in ["r1", "p1", "r2", "p2", "joined"] {
        let result = ExcitationBackprop::at(layer)
            .attribute(&model, &x, Target::class(1))
            .unwrap();
        assert!(result.completeness_error().unwrap() < 1e-5, "{result}");
    }
}
