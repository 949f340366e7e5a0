//! Nodes with attributes and inputs that no exporter writes: every operator refuses them in words.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use elucid_graph::{
    Activation, Attribute, BoundGraph, ElementType, GraphBuilder, HostTensor, Registry,
};

use super::Dice;

/// Nodes of each operator, unless `ELUCID_TRIES` says otherwise.
const TRIES: u64 = 150;

impl Dice {
    /// Mostly small, now and then as large as it gets.
    fn int(&mut self) -> i64 {
        match self.below(24) {
            0 => self.of(&[i64::MIN, i64::MAX, -(1 << 40), 1 << 40, 1 << 31]),
            n if n < 14 => self.below(4) as i64,
            _ => self.below(9) as i64 - 4,
        }
    }

    fn float(&mut self) -> f32 {
        match self.below(24) {
            0 => self.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40]),
            n if n < 12 => self.below(5) as f32,
            _ => self.below(2000) as f32 / 500.0 - 2.0,
        }
    }

    fn shape(&mut self) -> Vec<usize> {
        let rank = self.of(&[0, 1, 1, 2, 3, 4, 4, 4, 5]);
        let smallest = usize::from(self.below(8) != 0);
        (0..rank).map(|_| smallest + self.below(4)).collect()
    }

    fn tensor(&mut self, kind: ElementType, shape: &[usize]) -> HostTensor {
        let count = shape.iter().product();
        if kind.is_float() {
            let values = (0..count).map(|_| self.float()).collect();
            return HostTensor::of_floats(kind, shape, values).unwrap();
        }
        if kind.is_int() {
            let values = (0..count).map(|_| self.int()).collect();
            return HostTensor::of_ints(kind, shape, values).unwrap();
        }
        HostTensor::of_bools(shape, (0..count).map(|_| self.below(2) == 0).collect()).unwrap()
    }

    /// A body that hands some of its inputs through, or negates them.
    fn body(&mut self) -> Attribute {
        let mut builder = GraphBuilder::new();
        let count = self.below(5);
        for i in 0..count {
            let kind = self.of(&[ElementType::F32, ElementType::I64, ElementType::Bool]);
            builder.input(&format!("x{i}"), kind, &[]).unwrap();
        }
        builder
            .constant("c", self.tensor(ElementType::F32, &[2]))
            .unwrap();
        for i in 0..1 + self.below(4) {
            let from = match count {
                0 => "c".to_owned(),
                _ => format!("x{}", self.below(count)),
            };
            let operator = self.of(&["Identity", "Identity", "Neg", "NonZero", "Shape"]);
            builder
                .node(operator, "", &[&from], &[&format!("y{i}")])
                .unwrap();
            builder.output(&format!("y{i}"));
        }
        match builder.build() {
            Ok(graph) => Attribute::Graph(Arc::new(graph)),
            Err(error) => Attribute::Unreadable(error.to_string()),
        }
    }

    fn attribute(&mut self) -> Attribute {
        match self.below(6) {
            0 => Attribute::Float(self.float()),
            1 | 2 => {
                let count = self.below(5);
                Attribute::Ints((0..count).map(|_| self.int()).collect())
            }
            _ => Attribute::Int(self.int()),
        }
    }
}

/// Attributes that are read somewhere.
const NAMES: &[&str] = &[
    "align_corners",
    "allowzero",
    "alpha",
    "auto_pad",
    "axes",
    "axis",
    "batch_axis",
    "batch_dims",
    "beta",
    "bias",
    "block_size",
    "blocksize",
    "ceil_mode",
    "center_point_box",
    "channels_last",
    "count_include_pad",
    "detect_negative",
    "detect_positive",
    "dilations",
    "direction",
    "dtype",
    "ends",
    "epsilon",
    "equation",
    "exclusive",
    "fmod",
    "gamma",
    "group",
    "hidden_size",
    "is_causal",
    "k",
    "keepdims",
    "kernel_shape",
    "largest",
    "mode",
    "noop_with_empty_axes",
    "num_groups",
    "num_heads",
    "num_outputs",
    "offset_group",
    "onesided",
    "output_height",
    "output_padding",
    "output_shape",
    "output_width",
    "p",
    "pads",
    "perm",
    "qk_matmul_output_mode",
    "q_num_heads",
    "kv_num_heads",
    "reduction",
    "reverse",
    "rotary_embedding_dim",
    "sampling_ratio",
    "scales",
    "select_last_index",
    "shape",
    "size",
    "sorted",
    "spatial_scale",
    "split",
    "starts",
    "storage_order",
    "strides",
    "time_axis",
    "to",
    "transA",
    "transB",
    "upper",
    "value",
];

fn attempt(name: &str, opset: i64, seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name.len() as u64);
    let kinds = [
        ElementType::F32,
        ElementType::F32,
        ElementType::F32,
        ElementType::I64,
        ElementType::I32,
        ElementType::U8,
        ElementType::Bool,
        ElementType::F16,
    ];
    let mut builder = GraphBuilder::with(&Registry::standard(), opset);
    let count = 1 + dice.below(5);
    let common = dice.shape();
    let mut inputs: Vec<(String, HostTensor, bool)> = Vec::new();
    let mut slots = Vec::new();
    for i in 0..count {
        let name = format!("x{i}");
        // Shapes and types that often fit, lists for what follows the first input.
        let kind = match dice.below(3) {
            0 if i > 0 => ElementType::I64,
            1 if i > 0 => inputs[0].1.element_type(),
            _ => dice.of(&kinds),
        };
        let shape = match dice.below(4) {
            0 => dice.shape(),
            1 if i > 0 => vec![common.len()],
            2 if i > 0 => Vec::new(),
            _ => common.clone(),
        };
        let tensor = dice.tensor(kind, &shape);
        let is_live = kind.is_float() && !tensor.is_empty() && dice.below(2) == 0;
        let sizes: Vec<Option<usize>> = shape.iter().map(|&size| Some(size)).collect();
        builder
            .input(&name, kind, &sizes)
            .map_err(|e| e.to_string())?;
        let is_left_out = i > 0 && dice.below(12) == 0;
        slots.push(if is_left_out {
            String::new()
        } else {
            name.clone()
        });
        inputs.push((name, tensor, is_live));
    }
    let outputs: Vec<String> = (0..1 + dice.below(3)).map(|i| format!("y{i}")).collect();
    let slots: Vec<&str> = slots.iter().map(String::as_str).collect();
    let made: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let chosen: Vec<(&str, Attribute)> = (0..dice.below(30))
        .map(|_| (dice.of(NAMES), dice.attribute()))
        .collect();
    let mut bodies: Vec<(&str, Attribute)> = Vec::new();
    if matches!(name, "If" | "Loop" | "Scan") {
        for name in ["body", "then_branch", "else_branch"] {
            bodies.push((name, dice.body()));
        }
        bodies.push(("num_scan_inputs", Attribute::Int(dice.below(3) as i64)));
    }
    let built = builder.node_with(name, "", &slots, &made, |attributes| {
        let mut all = attributes;
        for (name, value) in chosen {
            all = all.with(name, value);
        }
        for (name, value) in bodies {
            all = all.with(name, value);
        }
        all
    });
    built.map_err(|e| e.to_string())?;
    builder.output("y0");
    let graph = builder.build().map_err(|e| e.to_string())?;
    let model = BoundGraph::new(graph, &elucid_testkit::device());
    let mut pass = model.pass();
    for (name, tensor, is_live) in &inputs {
        pass = match tensor.float_array().filter(|_| *is_live) {
            Some(array) => pass.feed(name, Activation::from_array(array, model.device())),
            None => pass.feed_known(name, tensor.clone()),
        };
    }
    pass.read(["y0"]).map(|_| ()).map_err(|e| e.to_string())
}

#[test]
fn no_node_panics() {
    let wanted = std::env::var("ELUCID_OPERATOR").ok();
    let tries = std::env::var("ELUCID_TRIES")
        .ok()
        .and_then(|n| n.parse().ok());
    let tries = tries.unwrap_or(TRIES);
    let mut panics: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let (mut ran, mut refused) = (0, 0);
    std::panic::set_hook(Box::new(|_| {}));
    for entry in Registry::standard().entries() {
        if wanted.as_ref().is_some_and(|name| name != entry.name) {
            continue;
        }
        let name = entry.kind().to_string();
        for opset in [entry.since.max(1), 21] {
            for seed in 0..tries {
                let tried = catch_unwind(AssertUnwindSafe(|| attempt(&name, opset, seed)));
                match tried {
                    Ok(Ok(())) => ran += 1,
                    Ok(Err(_)) => refused += 1,
                    Err(panic) => {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text =
                            text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).into()));
                        let text =
                            format!("opset {opset}, seed {seed}: {}", text.unwrap_or_default());
                        let found = panics.entry(name.clone()).or_insert((0, text));
                        found.0 += 1;
                    }
                }
            }
        }
    }
    let _ = std::panic::take_hook();
    println!("{ran} nodes ran, {refused} were refused");
    for (name, (count, first)) in &panics {
        println!("{name}: {count} panics, the first with {first}");
    }
    assert!(panics.is_empty(), "{} operators panic", panics.len());
}
