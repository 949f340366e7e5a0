//! A normalisation of pictures that the network does itself, in its first nodes.

use elucid_graph::{Batch, Graph, Known, Node, Operands, Slots, ValueId};
use elucid_rules::OpKind;

/// What the first nodes of a network make of each channel: `factor[c] * x + offset[c]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Within {
    factor: Vec<f64>,
    offset: Vec<f64>,
}

/// What a network takes that normalises its pictures itself, or wants whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Takes {
    /// Values of 0 to 255.
    Bytes,
    /// Values of -128 to 127.
    SignedBytes,
    /// Values of 0 to 1.
    Shares,
}

impl Within {
    /// Follows an input `[N, C, H, W]` through what works on each channel alone.
    pub fn find(graph: &Graph, input: ValueId, channels: usize) -> Option<Self> {
        let mut found = Self {
            factor: vec![1.0; channels],
            offset: vec![0.0; channels],
        };
        let mut steps = 0;
        let mut value = input;
        loop {
            let mut readers = graph
                .nodes()
                .iter()
                .filter(|node| node.inputs.contains(&Some(value)));
            let (Some(node), None) = (readers.next(), readers.next()) else {
                break;
            };
            match node.op.kind() {
                OpKind::Cast | OpKind::Identity => {}
                _ => match found.after(graph, node, value) {
                    Some(next) => (found, steps) = (next, steps + 1),
                    None => break,
                },
            }
            let [output] = node.outputs[..] else { break };
            value = output;
        }
        (steps > 0).then_some(found)
    }

    /// The same with one more node behind it, if that works on each channel alone.
    fn after(&self, graph: &Graph, node: &Node, value: ValueId) -> Option<Self> {
        if node.op.kind() == OpKind::BatchNormalization {
            let (factor, offset) = batch_norm(graph, node, self.factor.len())?;
            return Some(self.then(&factor, &offset));
        }
        let &[Some(a), Some(b)] = &node.inputs[..] else {
            return None;
        };
        let is_first = a == value;
        let constant = self.per_channel(graph, if is_first { b } else { a })?;
        let (zeros, ones) = (vec![0.0; constant.len()], vec![1.0; constant.len()]);
        let each = |f: &dyn Fn(f64) -> f64| constant.iter().map(|c| f(*c)).collect::<Vec<_>>();
        Some(match (node.op.kind(), is_first) {
            (OpKind::Add, _) => self.then(&ones, &constant),
            (OpKind::Sub, true) => self.then(&ones, &each(&|c| -c)),
            (OpKind::Sub, false) => self.then(&each(&|_| -1.0), &constant),
            (OpKind::Mul, _) => self.then(&constant, &zeros),
            (OpKind::Div, true) => self.then(&each(&|c| 1.0 / c), &zeros),
            _ => return None,
        })
    }

    fn then(&self, factor: &[f64], offset: &[f64]) -> Self {
        let product = |(a, b): (&f64, &f64)| a * b;
        let moved = self.offset.iter().zip(factor).zip(offset);
        Self {
            factor: self.factor.iter().zip(factor).map(product).collect(),
            offset: moved.map(|((own, f), o)| own * f + o).collect(),
        }
    }

    /// A constant that is one number, or one for each channel of `[N, C, H, W]`.
    fn per_channel(&self, graph: &Graph, value: ValueId) -> Option<Vec<f64>> {
        let constant = graph.constant(value)?;
        let channels = self.factor.len();
        let values = constant.floats();
        match (constant.shape(), &values[..]) {
            (_, [one]) => Some(vec![f64::from(*one); channels]),
            ([c, 1, 1] | [1, c, 1, 1], all) if *c == channels => {
                Some(all.iter().map(|v| f64::from(*v)).collect())
            }
            _ => None,
        }
    }

    /// What goes in, if that can be told: pixels that are brought to around 0 and 1 have been
    /// normalised. A first layer that is learned and takes what is normalised already does not do so.
    pub fn takes(&self) -> Option<Takes> {
        let usable = self.factor.iter().all(|f| f.is_finite() && *f != 0.0);
        if !usable {
            return None;
        }
        let centres: Vec<f64> = self
            .offset
            .iter()
            .zip(&self.factor)
            .map(|(o, f)| -o / f)
            .collect();
        let spreads = || self.factor.iter().map(|f| 1.0 / f.abs());
        let is_bytes = centres.iter().any(|c| *c > 1.5) || spreads().all(|s| s > 1.5);
        if is_bytes {
            return Some(Takes::Bytes);
        }
        let is_shares = centres.iter().all(|c| (0.15..=0.85).contains(c));
        (is_shares && spreads().all(|s| s <= 1.0)).then_some(Takes::Shares)
    }

    /// Whether what is subtracted is ImageNet's mean colour of 0 to 255 in the order blue, green, red.
    pub fn is_blue_first(&self) -> bool {
        const MEAN: [f64; 3] = [103.94, 116.78, 123.68];
        let centres = self.offset.iter().zip(&self.factor).map(|(o, f)| -o / f);
        self.factor.len() == 3 && centres.zip(MEAN).all(|(c, mean)| (c - mean).abs() < 1.0)
    }

    /// `(x - 123.675) / 58.395, ...`, for a remark.
    pub fn text(&self) -> String {
        let parts = self
            .factor
            .iter()
            .zip(&self.offset)
            .map(|(factor, offset)| {
                let (mean, std) = (rounded(-offset / factor), rounded(1.0 / factor));
                match mean == 0.0 {
                    true => format!("x / {std}"),
                    false => format!("(x - {mean}) / {std}"),
                }
            });
        let mut parts: Vec<String> = parts.collect();
        parts.dedup();
        parts.join(", ")
    }
}

/// Four significant places behind the point, as is readable.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Factor and offset of a batch normalisation of constants.
fn batch_norm(graph: &Graph, node: &Node, channels: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut known = vec![Some(Known::activation(vec![1, channels, 1, 1]))];
    for slot in node.inputs.iter().skip(1) {
        known.push(Some(Known::host(graph.constant((*slot)?)?.clone())));
    }
    let operands = Operands::new(&known, node.outputs.len(), Batch::default());
    let kernel = node.op.resolve(&operands).ok()?.kernel?;
    let device = Default::default();
    let mut slots = vec![None];
    for known in known.iter().skip(1) {
        let host = known.as_ref()?.host.as_ref()?;
        let values = burn::tensor::TensorData::new(host.floats(), [host.len()]);
        slots.push(Some(
            burn::tensor::Tensor::<1>::from_data(values, &device).into(),
        ));
    }
    let (factor, offset) = kernel.batch_norm()?.scale(&mut Slots::new(slots));
    let numbers = |x: &elucid_graph::Activation| {
        let array = x.to_array().ok()?;
        Some(array.iter().map(|v| f64::from(*v)).collect::<Vec<_>>())
    };
    Some((numbers(&factor)?, numbers(&offset)?))
}
