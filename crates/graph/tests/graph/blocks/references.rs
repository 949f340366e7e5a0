//! Small transformers and gated networks of known architecture in the spellings of several exporters, with
//! the names that values have in each file.

use std::path::PathBuf;

use elucid_graph::{Block, Blocks, Graph, Layout, Pattern};
use serde_json::Value;

struct File {
    name: String,
    graph: Graph,
    blocks: Blocks,
    facts: Value,
}

impl File {
    fn count(&self, kind: &str) -> usize {
        self.blocks
            .iter()
            .filter(|block| block.name() == kind)
            .count()
    }

    /// The layout of a value by the name that the manifest has for it.
    fn layout(&self, tensor: &str) -> Layout {
        let name = self.facts["tensors"][tensor]["name"].as_str().unwrap();
        self.blocks.layout(self.graph.value(name).unwrap())
    }

    fn attentions(&self) -> impl Iterator<Item = &Block> {
        self.blocks
            .iter()
            .filter(|block| block.name() == "attention")
    }
}

fn folder() -> Option<PathBuf> {
    let folder = elucid_testkit::assets()?.join("reference/transformers");
    match folder.is_dir() {
        true => Some(folder),
        false => {
            println!("SKIPPED: {} is not there", folder.display());
            None
        }
    }
}

/// The files of a network, and what the manifest says of it.
fn files(network: &str) -> Option<(Value, Vec<File>)> {
    let folder = folder()?;
    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    // Python writes what is no number, which JSON has no word for.
    let text = text
        .replace(": NaN", ": null")
        .replace(": Infinity", ": null");
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let facts = manifest["networks"][network].clone();
    let listed = facts["files"].as_object().unwrap();
    let files = listed.iter().map(|(name, of_file)| {
        let bytes = std::fs::read(folder.join(network).join(name)).unwrap();
        let graph = elucid_onnx::import(bytes).unwrap();
        let blocks = graph.blocks(&[]).unwrap();
        File {
            name: name.clone(),
            graph,
            blocks,
            facts: of_file.clone(),
        }
    });
    let files: Vec<File> = files.collect();
    assert!(!files.is_empty());
    Some((facts, files))
}

#[test]
fn five_spellings_of_one_transformer() {
    let Some((facts, files)) = files("vit_tiny") else {
        return;
    };
    assert_eq!(files.len(), 5);
    for file in &files {
        let name = &file.name;
        assert_eq!(file.count("attention"), 2, "{name}");
        assert_eq!(file.count("layer normalization"), 5, "{name}");
        assert_eq!(file.count("GELU"), 2, "{name}");
        assert_eq!(file.count("token grid"), 1, "{name}");
        // Packed projections, outputs of attention, two of each feed-forward part.
        assert_eq!(file.count("linear layer"), 8, "{name}");
        for (l, block) in file.attentions().enumerate() {
            let Pattern::Attention {
                heads,
                scale,
                probabilities,
                packed,
                ..
            } = block.pattern()
            else {
                unreachable!()
            };
            assert_eq!(*heads as u64, facts["heads"].as_u64().unwrap(), "{name}");
            // Heads of 32 / 2 numbers.
            assert!((scale.unwrap() - 0.25).abs() < 1e-6, "{name}: {scale:?}");
            assert!(packed.is_some(), "{name}");
            let stated = &file.facts["tensors"][format!("attention{l}")]["name"];
            let found = probabilities.map(|value| file.graph.name(value));
            assert_eq!(found, stated.as_str(), "{name}");
        }
        let tokens = Layout::Tokens {
            prefix: 1,
            grid: [4, 4],
        };
        for tensor in ["block0", "block1", "last", "norm1_last"] {
            assert_eq!(file.layout(tensor), tokens, "{name}: {tensor}");
        }
        for block in &file.blocks {
            if let Pattern::Normalization { epsilon, .. } = block.pattern() {
                let stated = facts["norm_eps"].as_f64().unwrap();
                assert!(
                    (epsilon - stated).abs() < 1e-3 * stated,
                    "{name}: {epsilon}"
                );
            }
        }
    }
}

#[test]
fn shifted_windows_in_two_layouts() {
    let Some((_, files)) = files("swin_tiny") else {
        return;
    };
    for file in &files {
        let name = &file.name;
        assert_eq!(file.count("attention"), 3, "{name}");
        assert_eq!(file.count("layer normalization"), 9, "{name}");
        assert_eq!(file.count("GELU"), 3, "{name}");
        let expected = match file.facts["layout"].as_str().unwrap() {
            "NCHW" => Layout::ChannelsFirst,
            _ => Layout::ChannelsLast,
        };
        for tensor in ["block1", "block2.norm1", "norm"] {
            assert_eq!(file.layout(tensor), expected, "{name}: {tensor}");
        }
        for block in file.attentions() {
            let Pattern::Attention { masks, .. } = block.pattern() else {
                unreachable!()
            };
            // Relative positions, and the mask of shifted windows.
            assert!(!masks.is_empty(), "{name}");
        }
    }
}

#[test]
fn maps_that_turn_inside_a_block() {
    let Some((_, files)) = files("convnext_tiny") else {
        return;
    };
    for file in &files {
        let name = &file.name;
        assert_eq!(file.count("layer normalization"), 5, "{name}");
        assert_eq!(file.count("GELU"), 2, "{name}");
        let inner = match file.facts["layout"].as_str().unwrap() {
            "NCHW" => Layout::ChannelsFirst,
            _ => Layout::ChannelsLast,
        };
        assert_eq!(file.layout("block1.norm"), inner, "{name}");
        assert_eq!(file.layout("block1.fc2"), inner, "{name}");
        for tensor in ["block0", "block1"] {
            assert_eq!(
                file.layout(tensor),
                Layout::ChannelsFirst,
                "{name}: {tensor}"
            );
        }
    }
}

#[test]
fn gated_networks() {
    // Two blocks with a gate; the activations are those that are no part of a gate's own layers.
    for (network, function, count) in [
        ("gated_silu", "SiLU", 8),
        ("gated_hardswish", "HardSwish", 6),
    ] {
        let Some((_, files)) = files(network) else {
            return;
        };
        for file in &files {
            assert_eq!(file.count("squeeze-and-excitation"), 2, "{}", file.name);
            assert_eq!(file.count(function), count, "{}", file.name);
        }
    }
}
