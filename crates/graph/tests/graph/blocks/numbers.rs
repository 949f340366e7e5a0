//! What a block says of its values is true of the numbers: each pattern is computed from the values that it
//! names and compared with what the network computes.

use std::collections::HashMap;

use elucid_graph::{Activation, Activations, BoundGraph, Graph, Pattern, Statistics, ValueId};
use ndarray::{ArcArray, ArrayD, Axis, Dimension, IxDyn};

use elucid_testkit::{self, device};

/// A network that has run.
struct Run<'g> {
    graph: &'g Graph,
    values: Activations,
}

impl<'g> Run<'g> {
    /// On numbers that differ, fetching all values that blocks name.
    fn new(graph: &'g Graph, blocks: &elucid_graph::Blocks) -> Self {
        let model = BoundGraph::new(graph.clone(), &device());
        let input = &graph.inputs()[0];
        let shape: Vec<usize> = input.shape.iter().map(|size| size.unwrap_or(1)).collect();
        let count: usize = shape.iter().product();
        let number = |i: usize| (i * 7919 % 1013) as f32 / 506.0 - 1.0;
        let image = ArcArray::from_shape_vec(IxDyn(&shape), (0..count).map(number).collect());
        let image = Activation::from_array(&image.unwrap(), &device());
        let named = blocks.iter().flat_map(|block| {
            let values = block.values().into_iter().map(|(_, value)| value);
            values.chain([block.output()])
        });
        let computed = named.filter(|&value| graph.constant(value).is_none());
        let mut names: Vec<&str> = computed.map(|value| graph.name(value)).collect();
        names.sort_unstable();
        names.dedup();
        let pass = model.pass().feed(graph.name(input.value), image);
        Self {
            graph,
            values: pass.fetch(names).unwrap(),
        }
    }

    fn get(&self, value: ValueId) -> ArrayD<f32> {
        match self.graph.constant(value) {
            Some(host) => host.float_array().unwrap().to_owned(),
            None => self
                .values
                .get(self.graph.name(value))
                .unwrap()
                .to_array()
                .unwrap(),
        }
    }

    /// Compares what a block makes with what it should.
    #[track_caller]
    fn agrees(&self, value: ValueId, expected: &ArrayD<f32>) {
        let found = self.get(value);
        let largest = found.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
        let expected = expected.broadcast(found.shape()).unwrap();
        let far = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let worst = far.fold(0.0, f32::max) / largest;
        assert!(worst < 1e-5, "{} is off by {worst}", self.graph.name(value));
    }

    fn check(&self, pattern: &Pattern, output: ValueId) {
        match pattern {
            Pattern::Gate {
                function,
                signal,
                factor,
                bias: None,
            } => {
                let gate = |x: f32| function.factor(x.into()) as f32;
                let signal = self.get(*signal);
                if let Some(factor) = factor {
                    self.agrees(*factor, &signal.mapv(gate));
                }
                self.agrees(output, &signal.mapv(|x| x * gate(x)));
            }
            Pattern::SqueezeExcite { signal, factor, .. } => {
                self.agrees(output, &(self.get(*signal) * self.get(*factor)));
            }
            Pattern::Linear { product, bias, .. } => {
                self.agrees(output, &(self.get(*product) + self.get(*bias)));
            }
            Pattern::Normalization { .. } => self.check_normalization(pattern, output),
            Pattern::Attention {
                probabilities: Some(_),
                ..
            } => {
                self.check_attention(pattern, output);
            }
            Pattern::TokenGrid {
                map,
                prefix,
                grid: [height, width],
            } => {
                let (map, tokens) = (self.get(*map), self.get(output));
                if map.shape()[2..] != [*height, *width] {
                    return;
                }
                for (at, &expected) in map.indexed_iter() {
                    let place = prefix + at[2] * width + at[3];
                    assert_eq!(tokens[[at[0], place, at[1]]], expected, "{at:?}");
                }
            }
            _ => {}
        }
    }

    fn check_normalization(&self, pattern: &Pattern, output: ValueId) {
        let Pattern::Normalization {
            statistics,
            signal,
            axes,
            mean,
            deviation,
            inverse,
            epsilon,
            normalised,
            scale,
            offset,
            ..
        } = pattern
        else {
            return;
        };
        if matches!(statistics, Statistics::Group { .. }) {
            return;
        }
        let over = |x: &ArrayD<f32>| {
            axes.iter().fold(x.clone(), |x, &axis| {
                x.mean_axis(Axis(axis)).unwrap().insert_axis(Axis(axis))
            })
        };
        let x = self.get(*signal);
        let middle = match statistics {
            Statistics::RootMeanSquare => over(&x) * 0.0,
            _ => over(&x),
        };
        let d = &x - &middle;
        let root = over(&(&d * &d)).mapv(|v| (v + *epsilon as f32).sqrt());
        if let Some(mean) = mean {
            self.agrees(*mean, &middle);
        }
        if let Some(deviation) = deviation {
            let expected = if *inverse {
                root.mapv(f32::recip)
            } else {
                root.clone()
            };
            self.agrees(*deviation, &expected);
        }
        let mut y = d / root;
        if let Some(normalised) = normalised {
            self.agrees(*normalised, &y);
        }
        if let Some(scale) = scale {
            y = y * self.get(*scale);
        }
        if let Some(offset) = offset {
            y = y + self.get(*offset);
        }
        self.agrees(output, &y);
    }

    fn check_attention(&self, pattern: &Pattern, output: ValueId) {
        let Pattern::Attention {
            q,
            k,
            v,
            scores: Some(scores),
            probabilities: Some(probabilities),
            masks,
            scale: Some(scale),
            ..
        } = pattern
        else {
            return;
        };
        let (scores, weights) = (self.get(*scores), self.get(*probabilities));
        let last = Axis(scores.ndim() - 1);
        let powers = scores.mapv(f32::exp);
        let sums = powers.sum_axis(last).insert_axis(last);
        self.agrees(*probabilities, &(powers / sums));
        self.agrees(output, &product(&weights, &self.get(*v)));
        if masks.is_empty() {
            let (q, mut k) = (self.get(*q), self.get(*k));
            let rank = k.ndim();
            if k.shape()[rank - 2] != q.shape()[rank - 1] {
                k.swap_axes(rank - 2, rank - 1);
            }
            let products = product(&q, &k) * *scale as f32;
            let shape = scores.shape().to_vec();
            let products = products.into_shape_with_order(shape).unwrap();
            let far = (&products - &scores).mapv(f32::abs);
            assert!(far.iter().all(|&v| v < 1e-5), "scores are scaled products");
        }
    }
}

/// Products of the last two axes.
fn product(a: &ArrayD<f32>, b: &ArrayD<f32>) -> ArrayD<f32> {
    let rank = a.ndim();
    let (inner, columns) = (a.shape()[rank - 1], b.shape()[rank - 1]);
    let mut shape = a.shape().to_vec();
    shape[rank - 1] = columns;
    ArrayD::from_shape_fn(IxDyn(&shape), |at| {
        let mut from = at.slice().to_vec();
        let mut to = from.clone();
        (0..inner)
            .map(|i| {
                (from[rank - 1], to[rank - 2]) = (i, i);
                a[IxDyn(&from)] * b[IxDyn(&to)]
            })
            .sum()
    })
}

#[test]
fn blocks_compute_what_they_say() {
    let Some(assets) = elucid_testkit::assets() else {
        return;
    };
    let folder = assets.join("reference/transformers");
    let mut checked: HashMap<&str, usize> = HashMap::new();
    for network in [
        "vit_tiny",
        "swin_tiny",
        "convnext_tiny",
        "gated_silu",
        "gated_hardswish",
    ] {
        let Ok(files) = std::fs::read_dir(folder.join(network)) else {
            println!("SKIPPED: {network} is not in {}", folder.display());
            continue;
        };
        let paths = files.map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| path.extension().is_some_and(|e| e == "onnx")) {
            let graph = elucid_onnx::open(&path).unwrap();
            let blocks = graph.blocks(&[]).unwrap();
            let run = Run::new(&graph, &blocks);
            for block in &blocks {
                run.check(block.pattern(), block.output());
                *checked.entry(block.name()).or_default() += 1;
            }
        }
    }
    println!("{checked:?}");
    // Every kind that these networks have was there to be checked.
    assert!(checked.is_empty() || checked.len() == 8, "{checked:?}");
}
