//! How many blocks of each kind today's networks have, counted in the architectures by hand. Weights do not
//! matter: the files' own are there as they are.

use std::collections::BTreeMap;

use elucid_graph::{Blocks, Graph, Layout, Pattern, TokenAxis};
use elucid_onnx::Importer;

use serde_json::Value;

use elucid_testkit::generated::sizes;

/// A network, and how often each block occurs in it. Linear layers and batch normalisations depend on the
/// exporter and are counted where they say something.
type Expected = (&'static str, &'static [(&'static str, usize)]);

const NETWORKS: &[Expected] = &[
    // 12 blocks of an attention, two norms and a GELU, and a norm at the end; four linear layers each.
    ("tm_vit_tiny_patch16_224", VIT),
    ("tm_vit_tiny_dynamic_batch", VIT),
    ("tm_vit_tiny_legacy13", VIT),
    ("tm_vit_tiny_opset23", VIT),
    ("tm_deit_tiny_distilled_patch16_224", VIT),
    ("tm_vit_small_patch14_dinov2", VIT),
    ("tv_vit_b_32", VIT),
    // CLIP normalises before the first block, too.
    (
        "tm_vit_base_patch32_clip_224",
        &[
            ("attention", 12),
            ("layer normalization", 26),
            ("QuickGELU", 12),
            ("GELU", 0),
            ("token grid", 1),
        ],
    ),
    // 2 + 2 + 6 + 2 blocks; norms behind the patches, before the three mergings and at the end. The windows of
    // the last two blocks are the whole map, and so sequences of its tokens.
    (
        "tv_swin_t",
        &[
            ("attention", 12),
            ("layer normalization", 24 + 1 + 3 + 1),
            ("GELU", 12),
            ("token grid", 2),
        ],
    ),
    // 3 + 3 + 9 + 3 blocks; norms behind the stem, before three downsamplings and the classifier.
    ("tv_convnext_tiny", CONVNEXT),
    ("tv_convnext_tiny_float16", CONVNEXT),
    (
        "tm_test_convnext_external",
        &[("layer normalization", 9 + 1 + 3 + 1), ("GELU (tanh)", 9)],
    ),
    // 2 + 2 + 5 + 2 layers of an inverted bottleneck with a gate and two attentions.
    (
        "tv_maxvit_t",
        &[
            ("attention", 22),
            ("layer normalization", 2 * 22 + 1),
            ("GELU", 1 + 2 * 11 + 22),
            ("squeeze-and-excitation", 11),
            ("SiLU", 11),
        ],
    ),
    // The last three stages have 6, 9 and 15 blocks with a gate. SiLU: stem, 2 fused blocks, 8 with an
    // expansion, three in each block with a gate, head.
    (
        "tv_efficientnet_v2_s",
        &[
            ("squeeze-and-excitation", 30),
            ("SiLU", 1 + 2 + 8 + 3 * 30 + 1),
        ],
    ),
    // Gates in 8 of 15 blocks; HardSwish in the stem, twice in the last 9 blocks, and in the last layer.
    (
        "tv_deeplabv3_mobilenet_v3_large",
        &[("squeeze-and-excitation", 8), ("HardSwish", 1 + 18 + 1)],
    ),
    (
        "tv_fcn_resnet50",
        &[("squeeze-and-excitation", 0), ("attention", 0)],
    ),
    // Transformers of 2, 4 and 3 blocks, each with a norm at its end.
    (
        "tm_mobilevit_xxs",
        &[("attention", 9), ("layer normalization", 2 * 9 + 3)],
    ),
    // 2 + 2 + 6 + 2 blocks with two norms of one group each.
    (
        "tm_poolformer_s12",
        &[("group normalization", 24), ("GELU", 12), ("attention", 0)],
    ),
    // 8 blocks that mix tokens, then channels.
    (
        "tm_mixer_s32_224",
        &[
            ("layer normalization", 17),
            ("GELU", 16),
            ("token grid", 1),
            ("attention", 0),
        ],
    ),
    // One block with attention, the others convolutional.
    (
        "tm_efficientformer_l1",
        &[
            ("attention", 1),
            ("layer normalization", 3),
            ("GELU", 15),
            ("token grid", 1),
        ],
    ),
    // 4 blocks of two norms, an attention and a gated feed-forward part; a norm at the end.
    (
        "own_rms_vit_opset23",
        &[
            ("attention", 4),
            ("RMS normalization", 9),
            ("SiLU", 4),
            ("token grid", 1),
        ],
    ),
    // The backbone of MobileNetV3, whose last layer is a head of the detector.
    (
        "tv_ssdlite320_mobilenet_v3_large",
        &[("squeeze-and-excitation", 8), ("HardSwish", 20)],
    ),
    // Two encoders of 6 convolutions with a batch normalisation each.
    (
        "own_siamese",
        &[("HardSwish", 2), ("Mish", 2), ("batch normalization", 12)],
    ),
    // One behind each convolution but the last of six heads.
    ("own_detector", &[("SiLU", 50), ("attention", 0)]),
    // A Swish, a gate with Transposes around its layers, a bias behind a convolution and one behind the
    // classifier.
    (
        "own_keras_nhwc",
        &[
            ("SiLU", 1),
            ("squeeze-and-excitation", 1),
            ("batch normalization", 1),
            ("linear layer", 2),
        ],
    ),
    // 3 norms in each of 16 blocks, and one at the end.
    ("tm_resnetv2_50x1_bit", &[("group normalization", 49)]),
];

const VIT: &[(&str, usize)] = &[
    ("attention", 12),
    ("layer normalization", 25),
    ("GELU", 12),
    ("token grid", 1),
];

const CONVNEXT: &[(&str, usize)] = &[("layer normalization", 18 + 1 + 3 + 1), ("GELU", 18)];

struct Network {
    graph: Graph,
    blocks: Blocks,
}

fn open(name: &str) -> Option<Network> {
    let folder = elucid_testkit::assets()?.join("models/modern");
    let path = folder.join(format!("{name}.onnx"));
    if !path.is_file() {
        println!("SKIPPED: {} is not there", path.display());
        return None;
    }
    let bytes = std::fs::read(&path).unwrap();
    let graph = Importer::new()
        .folder(folder.as_path())
        .import(bytes)
        .unwrap();
    // Of the sizes that its values were recorded for.
    let text = std::fs::read_to_string(folder.join(format!("{name}_layers.json"))).unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let inputs = recorded["inputs"].as_array().unwrap().iter();
    let shapes = inputs.map(|input| {
        let value = graph.value(input["name"].as_str().unwrap()).unwrap();
        (value, sizes(&input["shape"]))
    });
    let blocks = graph.blocks(&shapes.collect::<Vec<_>>()).unwrap();
    Some(Network { graph, blocks })
}

fn counts(blocks: &Blocks) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for block in blocks {
        *counts.entry(block.name()).or_default() += 1;
    }
    counts
}

#[test]
fn networks_have_the_blocks_of_their_architectures() {
    let wanted = std::env::var("ELUCID_NETWORKS").unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, expected) in NETWORKS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let Some(Network { graph, blocks }) = open(name) else {
            continue;
        };
        let counts = counts(&blocks);
        println!("{name}: {counts:?}");
        if std::env::var("ELUCID_BLOCKS").is_ok() {
            for block in &blocks {
                let (output, details) = (graph.name(block.output()), block.details());
                println!("    {} {output}: {details}", block.name());
            }
        }
        for (kind, count) in *expected {
            let found = counts.get(kind).copied().unwrap_or(0);
            if found != *count {
                wrong.push(format!("{name}: {found} of {kind}, expected {count}"));
            }
        }
        check_attention(&graph, &blocks);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is claimed of the values of an attention holds of their shapes: the heads' width is that of queries,
/// keys and values together.
fn check_attention(graph: &Graph, blocks: &Blocks) {
    for block in blocks {
        let Pattern::Attention {
            heads,
            scale,
            probabilities,
            products,
            stages,
            ..
        } = block.pattern()
        else {
            continue;
        };
        assert!(*heads >= 1);
        let scale = scale.unwrap();
        // All of these networks divide by the root of the size of a head: 16, 20, 24, 32 or 64.
        let size = scale.powi(-2);
        assert!((size - size.round()).abs() < 1e-3 * size, "{scale}");
        assert_eq!(probabilities.is_some(), stages[0] != stages[1]);
        for value in [probabilities, products].into_iter().flatten() {
            assert!(block.inside().contains(value), "{}", graph.name(*value));
        }
    }
}

#[test]
fn grids_prefixes_heads() {
    let cases: [(&str, usize, [usize; 2], &[usize]); 8] = [
        ("tm_vit_tiny_patch16_224", 1, [14, 14], &[3; 12]),
        ("tm_vit_tiny_legacy13", 1, [14, 14], &[3; 12]),
        ("tm_vit_tiny_opset23", 1, [14, 14], &[3; 12]),
        ("tm_vit_tiny_dynamic_batch", 1, [14, 14], &[3; 12]),
        ("tm_deit_tiny_distilled_patch16_224", 2, [14, 14], &[3; 12]),
        ("tm_vit_small_patch14_dinov2", 1, [16, 16], &[6; 12]),
        ("tm_vit_base_patch32_clip_224", 1, [7, 7], &[12; 12]),
        ("tv_vit_b_32", 1, [7, 7], &[12; 12]),
    ];
    for (name, prefix, grid, heads) in cases {
        let Some(Network { graph, blocks }) = open(name) else {
            continue;
        };
        let found: Vec<usize> = blocks
            .iter()
            .filter_map(|block| match block.pattern() {
                Pattern::Attention { heads, keys, .. } => {
                    assert_eq!(*keys, Some(TokenAxis { prefix, grid }), "{name}");
                    Some(*heads)
                }
                _ => None,
            })
            .collect();
        assert_eq!(found, heads, "{name}");
        let tokens = Layout::Tokens { prefix, grid };
        for block in &blocks {
            match block.pattern() {
                Pattern::TokenGrid {
                    prefix: p,
                    grid: g,
                    map,
                } => {
                    assert_eq!((*p, *g), (prefix, grid), "{name}");
                    assert_eq!(blocks.layout(*map), Layout::ChannelsFirst, "{name}");
                }
                // The last norm may see the class token alone.
                Pattern::Normalization { signal, .. }
                    if block.nodes()[0] < graph.nodes().len() - 30 =>
                {
                    assert_eq!(
                        blocks.layout(*signal),
                        tokens,
                        "{name} {}",
                        graph.name(*signal)
                    );
                }
                _ => {}
            }
        }
    }
}

#[test]
fn channels_last_inside() {
    // Swin keeps its maps as [N, H, W, C] from the first norm on; ConvNeXt within each block.
    for (name, last) in [
        ("tv_swin_t", [7, 7, 768]),
        ("tv_convnext_tiny", [7, 7, 768]),
    ] {
        let Some(Network { blocks, .. }) = open(name) else {
            continue;
        };
        let norms: Vec<_> = blocks
            .iter()
            .filter_map(|block| match block.pattern() {
                Pattern::Normalization { signal, .. } => Some((*signal, block.output())),
                _ => None,
            })
            .collect();
        let layouts: Vec<Layout> = norms
            .iter()
            .map(|(signal, _)| blocks.layout(*signal))
            .collect();
        let known = layouts
            .iter()
            .filter(|layout| **layout == Layout::ChannelsLast)
            .count();
        println!("{name}: {known} of {} norms, {last:?}", norms.len());
        assert_eq!(known, norms.len(), "{name}: {layouts:?}");
    }
}
