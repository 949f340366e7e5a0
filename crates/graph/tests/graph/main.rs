//! Importing, passes, names and blocks of operators.

mod agreement;
mod blocks;
mod builder;
mod cases_backwards;
mod control_flow;
mod feeds;
mod fused;
mod hostile_graphs;
mod hostile_nodes;
mod long_rows;
mod modern_networks;
mod module_names;
mod networks;
mod onnx_conformance;
mod operator_rules;
mod operators;
mod other_weights;
mod outlines;
mod pointwise;
mod positions;
mod profile;
mod properties;
mod refusals;
mod several_images;

use std::path::{Path, PathBuf};

/// Numbers from -1 to 1 that follow from a seed.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32) / ((1_u64 << 24) as f32) * 2.0 - 1.0
    }
}

/// A stream of numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    /// From 0 to `n`, which is left out.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Numbers of a list in JSON.
fn listed(list: &serde_json::Value) -> Vec<f64> {
    let list = list.as_array().unwrap().iter();
    list.map(|v| v.as_f64().unwrap()).collect()
}

/// The cases of operators with ONNX Runtime's answers, in the order of their names.
fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
