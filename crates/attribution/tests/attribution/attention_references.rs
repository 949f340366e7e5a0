//! Methods that look at attention against arrays that were computed in double precision:
//! `reference/transformers` of the reference files.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use elucid_attribution::{
    AttentionKind, AttentionMap, AttentionMaps, AttentionRollout, Attributor, Chefer, CheferCvpr,
    GradientAttention, GradientWeights, HeadFusion, METHODS, Place, Target,
};
use elucid_testkit::generated::with_weights;
use elucid_testkit::{assets, device, numbers, read_npy, relative_error};
use elucid_vision::Model;
use ndarray::{Array4, ArrayD};

use crate::gated_references::{Compared, LOOSE, References, TOLERANCE, check};

/// The worst difference of each array, over files and classes.
#[derive(Default)]
struct Found {
    worst: BTreeMap<(usize, String, String), f32>,
    /// What some millionths of the image do to Chefer's map with LRP of the large network, the median: how exact single
    /// precision can be, which depends on the order in which a processor adds up.
    unrest: f32,
}

/// What an image is multiplied by, to see what that changes.
const MOVES: [f32; 5] = [1.000_001, 0.999_999, 1.000_002, 0.999_998, 1.000_003];

impl Found {
    /// Compares with an array of the references; `{class}` in `arrays` stands for any of the classes.
    fn add(
        &mut self,
        references: &References,
        place: usize,
        what: &str,
        arrays: &str,
        class: usize,
        got: &ArrayD<f32>,
    ) {
        let path = format!("{arrays}.npy").replace('*', &class.to_string());
        let (shape, want) = read_npy(&references.folder.join(&path));
        let count: usize = shape.iter().product();
        assert_eq!(got.len(), count, "{path}");
        // Of a map without a number above 0 every number must be 0.
        let error = match want.iter().all(|&v| v == 0.0) {
            true => got.iter().fold(0.0_f32, |worst, v| worst.max(v.abs())),
            false => relative_error(got, &want),
        };
        println!("{error:.1e} {what} {path}");
        let key = (place, what.to_owned(), arrays.to_owned());
        let worst = self.worst.entry(key).or_default();
        *worst = worst.max(error);
    }

    /// Relevance over sums and products near 0, in twelve blocks, is ill-conditioned in single precision.
    fn bound(what: &str, arrays: &str, unrest: f32) -> f32 {
        match what == CVPR && arrays.starts_with("vit_b_16") {
            true => unrest.max(LOOSE),
            false => TOLERANCE,
        }
    }

    fn rows(self) -> Vec<Compared> {
        let (rows, unrest) = (self.worst.into_iter(), self.unrest);
        rows.map(|((_, what, arrays), worst)| Compared {
            bound: Self::bound(&what, &arrays, unrest),
            what,
            arrays,
            worst,
        })
        .collect()
    }
}

/// Rollouts by the names of their arrays.
fn rollouts() -> [(&'static str, &'static str, AttentionRollout); 5] {
    let rollout = AttentionRollout::new;
    [
        ("attention rollout", "normalised", rollout()),
        (
            "the same, rows not divided",
            "unnormalised",
            rollout().normalised(false),
        ),
        (
            "the same, without the residual path",
            "plain",
            rollout().residual(false).normalised(false),
        ),
        (
            "the same, maximum over heads",
            "max",
            rollout().heads(HeadFusion::Max),
        ),
        (
            "the same, minimum over heads",
            "min",
            rollout().heads(HeadFusion::Min),
        ),
    ]
}

fn map(method: &dyn Attributor, model: &Model, input: &Tensor<4>, class: usize) -> ArrayD<f32> {
    let found = method
        .attribute(model, input, Target::class(class))
        .unwrap();
    let [_, channels, height, width] = found.values().shape() else {
        panic!("{:?}", found.values().shape());
    };
    assert_eq!(found.map().unwrap().maps().dim(), (1, *height, *width));
    assert_eq!(*channels, 1);
    found.values().clone()
}

fn vit_tiny(references: &References, found: &mut Found) {
    let network = "vit_tiny";
    let input = references.input(network);
    for (file, tensors) in references.files(network) {
        println!("{}", file.display());
        let model = Model::open(&file, &device()).unwrap();
        let of = AttentionMaps::of(&model, &input).unwrap();
        assert_eq!(of.blocks().len(), 2);
        for (i, block) in of.blocks().iter().enumerate() {
            let name = &tensors[format!("attention{i}")]["name"];
            assert_eq!(block.block().is_written_out(), name.is_string());
            if let Some(name) = name.as_str() {
                assert_eq!(block.block().name(), name);
            }
            let weights = block.weights().clone().into_dyn();
            let arrays = format!("{network}/attention{i}");
            found.add(
                references,
                0,
                "attention of each block",
                &arrays,
                0,
                &weights,
            );
        }
        for (what, array, method) in rollouts() {
            let target = Target::class(3);
            let matrix = method.matrix(&model, &input, &target).unwrap().into_dyn();
            found.add(
                references,
                1,
                what,
                &format!("{network}/rollout_{array}"),
                0,
                &matrix,
            );
            let map = map(&method, &model, &input, 3);
            let arrays = format!("{network}/rollout_{array}_map");
            found.add(references, 1, what, &arrays, 0, &map);
        }
        for class in references.classes(network) {
            let target = Target::class(class);
            let maps = AttentionMaps::with_gradients(&model, &input, &target).unwrap();
            let gradients = joined(maps.blocks().iter().map(|block| block.gradients().unwrap()));
            let arrays = format!("{network}/*/attention_gradient");
            let what = "gradient at the attention of all blocks";
            found.add(references, 2, what, &arrays, class, &gradients);
            let matrix = Chefer::new().matrix(&model, &input, &target).unwrap();
            let arrays = format!("{network}/*/chefer");
            let what = CHEFER[2];
            found.add(references, 4, what, &arrays, class, &matrix.into_dyn());
            let method = CheferCvpr::new();
            let relevance = method.relevance(&model, &input, &target).unwrap();
            let arrays = format!("{network}/*/chefer_cvpr_relevance");
            let what = "Chefer's relevance of attention itself";
            found.add(references, 5, what, &arrays, class, &joined(&relevance));
            let matrix = method.matrix(&model, &input, &target).unwrap();
            let arrays = format!("{network}/*/chefer_cvpr");
            found.add(references, 6, CVPR, &arrays, class, &matrix.into_dyn());
            of_classes(references, found, network, &model, &input, class);
        }
    }
}

/// What is called by one name in both networks: gradient times attention, by heads, and Chefer's relevance.
const CHEFER: [&str; 3] = [
    "gradient times attention",
    "the same, heads weighted by their means",
    "Chefer's relevance (ICCV)",
];

const CVPR: &str = "Chefer's relevance with LRP (CVPR)";

/// The maps of methods that look at a class.
fn of_classes(
    references: &References,
    found: &mut Found,
    network: &str,
    model: &Model,
    input: &Tensor<4>,
    class: usize,
) {
    let by_heads = GradientAttention::new().weights(GradientWeights::Head);
    let methods: [(usize, &str, &str, &dyn Attributor); 4] = [
        (3, CHEFER[0], "grad_attention", &GradientAttention::new()),
        (3, CHEFER[1], "grad_attention_cam", &by_heads),
        (4, CHEFER[2], "chefer_map", &Chefer::new()),
        (6, CVPR, "chefer_cvpr_map", &CheferCvpr::new()),
    ];
    for (place, what, array, method) in methods {
        let got = map(method, model, input, class);
        let arrays = format!("{network}/*/{array}");
        found.add(references, place, what, &arrays, class, &got);
    }
}

/// Arrays one behind the other.
fn joined<'a>(arrays: impl IntoIterator<Item = &'a Array4<f32>>) -> ArrayD<f32> {
    let numbers: Vec<f32> = arrays.into_iter().flatten().copied().collect();
    ArrayD::from_shape_vec(vec![numbers.len()], numbers).unwrap()
}

fn vit_b_16(references: &References, found: &mut Found) {
    let network = "vit_b_16";
    let file = assets().unwrap().join("models/torchvision/vit_b_16.onnx");
    let model = Model::from_bytes(with_weights(&file, 1.0), &device(), None).unwrap();
    let picture =
        elucid_vision::input::decode_image(elucid_models::photographs::chelsea()).unwrap();
    let cat = model.prepare(&picture).unwrap();
    let maps = AttentionMaps::of(&model, cat.tensor()).unwrap();
    let rows: Vec<f32> = maps
        .blocks()
        .iter()
        .flat_map(|block| {
            block
                .weights()
                .slice(ndarray::s![0, .., 0, ..])
                .iter()
                .copied()
                .collect::<Vec<_>>()
        })
        .collect();
    let rows = ArrayD::from_shape_vec(vec![rows.len()], rows).unwrap();
    let arrays = format!("{network}/attention_cls_rows");
    found.add(references, 0, "attention of each block", &arrays, 0, &rows);
    let last = maps.blocks()[11].weights().slice(ndarray::s![0, 0, .., ..]);
    let arrays = format!("{network}/attention11_head0");
    let last = last.to_owned().into_dyn();
    found.add(references, 0, "attention of each block", &arrays, 0, &last);
    let classes = references.classes(network);
    for (what, array, method) in rollouts() {
        if array == "min" {
            continue;
        }
        let map = map(&method, &model, cat.tensor(), classes[0]);
        let arrays = format!("{network}/rollout_{array}_map");
        found.add(references, 1, what, &arrays, 0, &map);
    }
    for class in classes {
        of_classes(references, found, network, &model, cat.tensor(), class);
        let of = |image: &Tensor<4>| map(&CheferCvpr::new(), &model, image, class);
        let map = of(cat.tensor());
        // Now and then a sum that it divides by is 0 but for rounding, and one move changes everything.
        let mut moves = MOVES.map(|by| relative_error(&of(&(cat.tensor().clone() * by)), &map));
        moves.sort_by(f32::total_cmp);
        let unrest = moves[MOVES.len() / 2];
        println!("{moves:?} by some millionths of the image: {CVPR} {class}");
        assert!(unrest > TOLERANCE, "{CVPR} can be met within {TOLERANCE}");
        assert!(unrest < 1e-2, "{CVPR} says nothing any more");
        found.unrest = found.unrest.max(unrest);
    }
}

/// All of the small network and of the large one.
pub fn all() -> Option<Vec<Compared>> {
    let references = References::open()?;
    let mut found = Found::default();
    vit_tiny(references, &mut found);
    vit_b_16(references, &mut found);
    Some(found.rows())
}

fn check_all_of(network: fn(&References, &mut Found)) {
    let Some(references) = References::open() else {
        return;
    };
    let mut found = Found::default();
    network(references, &mut found);
    check(&found.rows());
}

#[test]
fn attention_of_a_transformer_in_five_spellings() {
    check_all_of(vit_tiny);
}

#[test]
fn attention_of_vit_b_16() {
    check_all_of(vit_b_16);
}

/// Heads and blocks are the ones that were asked for, and patches are where they are.
#[test]
fn one_head_and_one_patch_are_those_of_the_matrix() {
    let Some(references) = References::open() else {
        return;
    };
    let input = references.input("vit_tiny");
    let (file, _) = references.files("vit_tiny").swap_remove(0);
    let model = Model::open(&file, &device()).unwrap();
    let all = AttentionMaps::of(&model, &input).unwrap();
    for (block, head, [row, column]) in [(0, 0, [0, 0]), (0, 1, [3, 1]), (1, 1, [2, 3])] {
        let of = &all.blocks()[block];
        let token = of.token([row, column]).unwrap();
        assert_eq!(token, 1 + 4 * row + column);
        let want = of.map(0, Some(head), token).unwrap();
        let names = [of.block().name(), of.block().module(), &block.to_string()].map(str::to_owned);
        // Some exporters name no modules.
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            let method = AttentionMap::last()
                .block(&name)
                .head(head)
                .query(elucid_attribution::AttentionQuery::Patch([row, column]));
            let got = map(&method, &model, &input, 3);
            assert!(relative_error(&got, &want) < 1e-6, "{name}");
        }
    }
}

/// A file of today's exporters with generated weights, and noise for it; `None` where it is not there.
fn modern(name: &str) -> Option<(Model, Tensor<4>)> {
    let folder = assets()?.join("models/modern");
    let text = std::fs::read_to_string(folder.join(format!("{name}_layers.json"))).ok()?;
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let gain = facts["gain"].as_f64().unwrap();
    let file = folder.join(facts["file"].as_str().unwrap());
    let model = Model::from_bytes(with_weights(&file, gain), &device(), None).unwrap();
    let [_, channels, height, width] = model.layer(elucid_graph::INPUT).unwrap().shape() else {
        panic!("{name}");
    };
    let shape = [1, *channels, *height, *width];
    let image = elucid_testkit::tensor(numbers(shape.iter().product(), 11), shape);
    Some((model, image))
}

/// What each method that looks at attention makes of a network: the shape of its map, or why there is none.
fn outcomes(model: &Model, image: &Tensor<4>) -> Vec<Result<Vec<usize>, String>> {
    let methods = METHODS
        .iter()
        .filter(|method| method.place == Place::Tokens);
    let each = methods.map(|method| {
        let found = method
            .usual()
            .unwrap()
            .attribute(model, image, Target::class(1));
        let found = found.map_err(|error| format!("{}: {error}", method.name))?;
        assert!(found.values().iter().all(|&v| v >= 0.0), "{}", method.name);
        assert!(found.values().iter().any(|&v| v > 0.0), "{}", method.name);
        Ok(found.values().shape().to_vec())
    });
    each.collect()
}

#[test]
fn transformers_of_todays_exporters_are_followed() {
    for (name, grid) in [
        ("tm_vit_tiny_patch16_224", [14, 14]),
        ("tm_vit_tiny_dynamic_batch", [14, 14]),
        ("tm_vit_tiny_legacy13", [14, 14]),
        ("tm_vit_tiny_opset23", [14, 14]),
        ("tm_deit_tiny_distilled_patch16_224", [14, 14]),
        ("tm_vit_small_patch14_dinov2", [16, 16]),
        ("tm_vit_base_patch32_clip_224", [7, 7]),
        ("own_rms_vit_opset23", [8, 8]),
        ("tm_efficientformer_l1", [7, 7]),
    ] {
        let Some((model, image)) = modern(name) else {
            println!("SKIPPED: {name} is not there");
            continue;
        };
        for outcome in outcomes(&model, &image) {
            println!("{name}: {outcome:?}");
            assert_eq!(outcome, Ok(vec![1, 1, grid[0], grid[1]]), "{name}");
        }
    }
}

/// Where the last windows are as large as their map, its last block can be shown, and no more.
#[test]
fn what_attends_within_windows_is_refused_by_name() {
    for (name, last_is_whole) in [
        ("tv_swin_t", true),
        ("tv_maxvit_t", false),
        ("tm_mobilevit_xxs", false),
    ] {
        let Some((model, image)) = modern(name) else {
            println!("SKIPPED: {name} is not there");
            continue;
        };
        // Weights there are of the blocks over the whole picture, under their own numbers. In MaxViT these attend among
        // tokens whose place in it is not known.
        match AttentionMaps::of(&model, &image) {
            Ok(maps) if last_is_whole => {
                let blocks = maps.blocks().iter();
                let numbers: Vec<usize> = blocks.map(|block| block.number()).collect();
                assert_eq!((numbers, maps.within_windows().len()), (vec![10, 11], 10));
                let last = &maps.blocks()[1];
                assert_eq!(last.weights().shape()[2..], [49, 49]);
                assert_eq!(last.map(0, None, 7).unwrap().dim(), (7, 7));
                for row in last.weights().rows() {
                    assert!((row.sum() - 1.0).abs() < 1e-4);
                }
            }
            Ok(maps) => {
                assert!(name == "tv_maxvit_t" && !maps.within_windows().is_empty());
                let mut blocks = maps.blocks().iter();
                assert!(blocks.all(|shown| shown.block().kind() == AttentionKind::Elsewhere));
            }
            Err(error) => {
                assert_eq!(name, "tm_mobilevit_xxs", "{error}");
                assert!(error.to_string().contains("within windows"), "{error}");
            }
        }
        let methods = METHODS
            .iter()
            .filter(|method| method.place == Place::Tokens);
        for (method, outcome) in methods.zip(outcomes(&model, &image)) {
            println!("{name} {}: {outcome:?}", method.name);
            let looks_at_one = ["attention", "gradient-attention"].contains(&method.name);
            match outcome {
                Ok(shape) => {
                    assert!(last_is_whole && looks_at_one, "{name}, {}", method.name);
                    assert_eq!(shape, [1, 1, 7, 7]);
                }
                Err(refused) => {
                    assert!(!last_is_whole || !looks_at_one, "{name}: {refused}");
                    assert!(refused.contains("within windows"), "{name}: {refused}");
                }
            }
        }
    }
}
