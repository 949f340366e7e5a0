//! Transformers and gated convolutional networks against arrays that were computed in double precision:
//! `reference/transformers` of the reference files, whose README has the formulas.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::tensor::Tensor;
use elucid_attribution::relevance::{Norm, RelevanceRules};
use elucid_attribution::{Attributor, DeepLift, LinearApproximation, Lrp, Target};
use elucid_rules::Rules;
use elucid_testkit::generated::with_weights;
use elucid_testkit::{assets, device, read_npy, relative_error};
use elucid_vision::Model;
use serde_json::Value;

use super::{token_cams, token_occlusion};

/// Largest deviation, relative to the array's largest value.
pub const TOLERANCE: f32 = 1e-4;

/// The same for forms with an epsilon, which single precision is badly conditioned for: relevances over
/// responses near 0.
pub const LOOSE: f32 = 1e-3;

/// What of a network and a method is compared, and the worst that was found over files, classes and layers.
pub struct Compared {
    pub what: String,
    pub arrays: String,
    pub worst: f32,
    pub bound: f32,
}

impl Compared {
    /// One line of the table without its number, which differs from machine to machine.
    pub fn line(&self) -> String {
        format!("| {} | `{}` |", self.what, self.arrays)
    }
}

/// The arrays, and what is said of them.
pub struct References {
    pub folder: PathBuf,
    pub manifest: Value,
}

impl References {
    /// `None` where they are not, which is said.
    pub fn open() -> Option<&'static Self> {
        static REFERENCES: LazyLock<Option<References>> = LazyLock::new(References::read);
        REFERENCES.as_ref()
    }

    fn read() -> Option<Self> {
        let folder = assets()?.join("reference/transformers");
        let text = std::fs::read_to_string(folder.join("manifest.json")).ok()?;
        // Python writes what is no number, which JSON has no word for.
        let text = text.replace(": NaN", ": null");
        Some(Self {
            manifest: serde_json::from_str(&text).unwrap(),
            folder,
        })
    }

    /// The network's files with the names that stages have in each.
    pub fn files(&self, network: &str) -> Vec<(PathBuf, &Value)> {
        let files = self.manifest["networks"][network]["files"].as_object();
        files
            .unwrap()
            .iter()
            .map(|(file, facts)| (self.folder.join(network).join(file), &facts["tensors"]))
            .collect()
    }

    pub fn classes(&self, network: &str) -> Vec<usize> {
        let classes = self.manifest["networks"][network]["classes"].as_array();
        let number = |v: &Value| v.as_u64().unwrap() as usize;
        classes.unwrap().iter().map(number).collect()
    }

    pub fn input(&self, network: &str) -> Tensor<4> {
        let (shape, values) = read_npy(&self.folder.join(network).join("input.npy"));
        elucid_testkit::tensor(values, shape.try_into().unwrap())
    }

    /// The small transformer's array of 16 numbers for each class, against what a method finds in each of the
    /// files that it is for.
    pub fn of_all_classes(
        &self,
        what: &str,
        array: &str,
        method: &dyn Attributor,
        is_for: impl Fn(&Path) -> bool,
    ) -> Compared {
        let network = "vit_tiny";
        let (_, want) = read_npy(&self.folder.join(format!("{network}/{array}.npy")));
        let mut worst = 0.0_f32;
        for Opened { model, input, .. } in files_of(network).filter(|of| is_for(&of.file)) {
            for (class, want) in want.chunks(16).enumerate() {
                let error = relative_error(&values(method, &model, &input, class), want);
                worst = worst.max(error);
            }
        }
        Compared {
            what: what.to_owned(),
            arrays: format!("{network}/{array}"),
            worst,
            bound: TOLERANCE,
        }
    }

    /// The arrays of a method by the stages that they are of.
    fn arrays(&self, network: &str, class: usize, method: &str) -> Vec<(String, Vec<f32>)> {
        let folder = self.folder.join(format!("{network}/{class}/{method}"));
        let entries = std::fs::read_dir(&folder).unwrap();
        let mut arrays: Vec<(String, Vec<f32>)> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let stage = path.file_stem().unwrap().to_str().unwrap().to_owned();
                (stage, read_npy(&path).1)
            })
            .collect();
        arrays.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(!arrays.is_empty());
        arrays
    }
}

/// One file of a network, open, with what is known of it.
pub struct Opened {
    pub references: &'static References,
    pub file: PathBuf,
    /// The names that stages have in it.
    pub tensors: &'static Value,
    pub model: Model,
    pub input: Tensor<4>,
}

/// Each file of a network; none without the arrays, which is said.
pub fn files_of(network: &str) -> impl Iterator<Item = Opened> {
    References::open().into_iter().flat_map(move |references| {
        let input = references.input(network);
        references
            .files(network)
            .into_iter()
            .map(move |(file, tensors)| Opened {
                references,
                model: open(&file),
                file,
                tensors,
                input: input.clone(),
            })
    })
}

pub fn open(file: &Path) -> Model {
    Model::open(file, &device()).unwrap()
}

/// The name of a stage in a file.
pub fn layer(tensors: &Value, stage: &str) -> String {
    match stage {
        "input" => elucid_graph::INPUT.to_owned(),
        _ => tensors[stage]["name"].as_str().unwrap().to_owned(),
    }
}

fn values(method: &dyn Attributor, model: &Model, input: &Tensor<4>, class: usize) -> Vec<f32> {
    let found = method.attribute(model, input, Target::class(class));
    found.unwrap().values().iter().copied().collect()
}

/// Of one network under one kind of rules, all files, classes and stages.
fn compare(network: &str, array: &str) -> Compared {
    let rules = rules(array);
    let worst = worst_of_stages(network, array, |layer| {
        Box::new(Lrp::new(rules.clone()).at(layer))
    });
    Compared {
        what: format!("LRP, {}", described(array)),
        arrays: format!("{network}/*/{array}/*"),
        worst,
        bound: match array.contains("epsilon") {
            true => LOOSE,
            false => TOLERANCE,
        },
    }
}

/// The largest error of a method at the stages that there are arrays of.
fn worst_of_stages(
    network: &str,
    array: &str,
    method: impl Fn(&str) -> Box<dyn Attributor>,
) -> f32 {
    let mut worst = 0.0_f32;
    for of in files_of(network) {
        for class in of.references.classes(network) {
            for (stage, want) in of.references.arrays(network, class, array) {
                if stage == "input_position_passed" {
                    continue;
                }
                let method = method(&layer(of.tensors, &stage));
                let error = relative_error(&values(&method, &of.model, &of.input, class), &want);
                println!("{error:.1e} {} {class} {array} {stage}", of.file.display());
                worst = worst.max(error);
            }
        }
    }
    worst
}

/// The rules that reference arrays are named after.
fn rules(array: &str) -> RelevanceRules {
    match array {
        "attnlrp" | "lrp_gate" => RelevanceRules::attn_lrp(),
        "attnlrp_epsilon1e-6" => RelevanceRules::attn_lrp_with(1e-6),
        "cplrp" => RelevanceRules::cp_lrp(),
        "cplrp_epsilon1e-6" => RelevanceRules::cp_lrp_with(1e-6),
        "lrp_gate_epsilon1e-6" => RelevanceRules::epsilon(),
        _ => panic!("rules of {array}"),
    }
}

/// The rules in words.
fn described(array: &str) -> &'static str {
    match array {
        "attnlrp" | "lrp_gate" => "AttnLRP",
        "attnlrp_epsilon1e-6" => "AttnLRP with an epsilon of 1e-6",
        "cplrp" => "CP-LRP",
        "cplrp_epsilon1e-6" => "CP-LRP with an epsilon of 1e-6",
        _ => "epsilon, all to the signal of gates",
    }
}

const LRP: &[(&str, &[&str])] = &[
    (
        "vit_tiny",
        &[
            "attnlrp",
            "attnlrp_epsilon1e-6",
            "cplrp",
            "cplrp_epsilon1e-6",
        ],
    ),
    ("gated_silu", &["lrp_gate", "lrp_gate_epsilon1e-6"]),
    ("gated_hardswish", &["lrp_gate", "lrp_gate_epsilon1e-6"]),
];

/// All of the small networks.
pub fn all() -> Option<Vec<Compared>> {
    let references = References::open()?;
    let mut found = Vec::new();
    for (network, arrays) in LRP {
        for array in *arrays {
            found.push(compare(network, array));
        }
    }
    found.extend(deep_lift());
    found.extend(token_cams::all(references));
    found.extend(token_occlusion::all(references));
    Some(found)
}

fn deep_lift() -> Vec<Compared> {
    let mut found = Vec::new();
    for network in ["vit_tiny", "gated_silu", "gated_hardswish"] {
        let mut worst = 0.0_f32;
        for Opened {
            references,
            file,
            model,
            input,
            ..
        } in files_of(network)
        {
            for class in references.classes(network) {
                let path = format!("{network}/{class}/deep_lift.npy");
                let (_, want) = read_npy(&references.folder.join(path));
                let found = DeepLift::at_input().attribute(&model, &input, Target::class(class));
                let found = found.unwrap();
                let error = relative_error(found.values(), &want);
                println!("{error:.1e} {} {class} deep_lift", file.display());
                let incomplete = found.completeness_error().unwrap();
                assert!(incomplete < 1e-4, "{incomplete:.1e}: {}", file.display());
                worst = worst.max(error);
            }
        }
        found.push(Compared {
            what: "DeepLIFT, rescale".to_owned(),
            arrays: format!("{network}/*/deep_lift"),
            worst,
            bound: TOLERANCE,
        });
    }
    found
}

pub fn check(found: &[Compared]) {
    for row in found {
        println!("{:.1e} {} {}", row.worst, row.what, row.arrays);
    }
    for row in found {
        let is_near = row.worst < row.bound;
        assert!(is_near, "{} of {}: {:.1e}", row.what, row.arrays, row.worst);
    }
}

fn check_relevance(network: &str) {
    if References::open().is_none() {
        return;
    }
    let (_, arrays) = LRP.iter().find(|(name, _)| *name == network).unwrap();
    let each = arrays.iter();
    let found: Vec<Compared> = each.map(|array| compare(network, array)).collect();
    check(&found);
}

#[test]
fn relevance_of_a_transformer_in_five_spellings() {
    check_relevance("vit_tiny");
}

#[test]
fn relevance_through_silu_gates() {
    check_relevance("gated_silu");
}

#[test]
fn relevance_through_hard_swish_gates() {
    check_relevance("gated_hardswish");
}

#[test]
fn deep_lift_through_attention_and_gates() {
    if References::open().is_some() {
        check(&deep_lift());
    }
}

#[test]
fn every_block_loses_what_the_ledger_says() {
    let network = "vit_tiny";
    for of in files_of(network) {
        let ledgers = &of.references.manifest["networks"][network]["conservation"];
        for class in of.references.classes(network) {
            for array in ["attnlrp", "cplrp"] {
                let ledger = ledgers[format!("{class}/{array}")].as_array().unwrap();
                // From the last stage to the first.
                let stages = ["last", "block1", "block0", "input"];
                assert_eq!(ledger.len(), stages.len());
                for (row, stage) in ledger.iter().zip(stages) {
                    let method = Lrp::new(rules(array)).at(&layer(of.tensors, stage));
                    let got = values(&method, &of.model, &of.input, class);
                    let sum: f64 = got.iter().map(|&v| f64::from(v)).sum();
                    let size: f64 = got.iter().map(|&v| f64::from(v.abs())).sum();
                    let want = row["leaves"].as_f64().unwrap();
                    assert!(
                        (sum - want).abs() < 1e-5 * size,
                        "{} {array} {stage}: {sum}, not {want}",
                        of.file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn learned_positions_can_be_passed() {
    let network = "vit_tiny";
    for of in files_of(network) {
        let position = layer(of.tensors, "block0");
        for class in of.references.classes(network) {
            for array in ["attnlrp", "cplrp"] {
                let rules = RelevanceRules::new()
                    .on_layers(&position, Norm::default())
                    .then(rules(array));
                let got = values(&Lrp::new(rules), &of.model, &of.input, class);
                let path = format!("{network}/{class}/{array}/input_position_passed.npy");
                let (_, want) = read_npy(&of.references.folder.join(path));
                let error = relative_error(&got, &want);
                assert!(
                    error < TOLERANCE,
                    "{error:.1e} {} {array}",
                    of.file.display()
                );
            }
        }
    }
}

#[test]
fn rules_for_gradients_times_activations_are_the_same_relevance() {
    for (network, array, rules) in [
        ("vit_tiny", "attnlrp", Rules::attn_lrp()),
        ("vit_tiny", "cplrp", Rules::libra_grad()),
        ("gated_silu", "lrp_gate", Rules::attn_lrp()),
        ("gated_hardswish", "lrp_gate", Rules::attn_lrp()),
    ] {
        let worst = worst_of_stages(network, array, |layer| {
            Box::new(LinearApproximation::at(layer).rules(&rules))
        });
        assert!(worst < TOLERANCE, "{worst:.1e} {network} {array}");
    }
}

#[test]
fn files_of_one_network_have_one_relevance() {
    let Some(references) = References::open() else {
        return;
    };
    for network in ["swin_tiny", "convnext_tiny"] {
        let input = references.input(network);
        for class in references.classes(network) {
            for rules in [RelevanceRules::attn_lrp, RelevanceRules::cp_lrp] {
                let files = references.files(network).into_iter();
                let maps: Vec<Vec<f32>> = files
                    .map(|(file, _)| values(&Lrp::new(rules()), &open(&file), &input, class))
                    .collect();
                for map in &maps[1..] {
                    let error = relative_error(map, &maps[0]);
                    assert!(error < TOLERANCE, "{error:.1e} {network} {class}");
                }
            }
            let files = references.files(network).into_iter();
            let maps: Vec<Vec<f32>> = files
                .map(|(file, _)| {
                    let model = open(&file);
                    let target = Target::class(class);
                    let found = DeepLift::at_input().attribute(&model, &input, target);
                    let found = found.unwrap();
                    assert!(found.completeness_error().unwrap() < 1e-4, "{found}");
                    found.values().iter().copied().collect()
                })
                .collect();
            for map in &maps[1..] {
                let error = relative_error(map, &maps[0]);
                assert!(error < TOLERANCE, "DeepLIFT {error:.1e} {network} {class}");
            }
        }
    }
}

#[test]
fn relevance_of_vit_b_16() {
    let Some(references) = References::open() else {
        return;
    };
    let assets = assets().unwrap();
    let file = assets.join("models/torchvision/vit_b_16.onnx");
    let model = Model::from_bytes(with_weights(&file, 1.0), &device(), None).unwrap();
    let picture =
        elucid_vision::input::decode_image(elucid_models::photographs::chelsea()).unwrap();
    let cat = model.prepare(&picture).unwrap();
    let class = 847;
    for array in ["attnlrp", "cplrp"] {
        let folder = references.folder.join(format!("vit_b_16/{class}/{array}"));
        let at = |layer: &str| {
            values(
                &Lrp::new(rules(array)).at(layer),
                &model,
                cat.tensor(),
                class,
            )
        };
        let (_, want) = read_npy(&folder.join("block0.npy"));
        let error = relative_error(&at("/encoder/Add_output_0"), &want);
        assert!(error < TOLERANCE, "{error:.1e} {array} block0");
        let input = at(elucid_graph::INPUT);
        let pixels = input.len() / 3;
        let summed: Vec<f32> = (0..pixels)
            .map(|i| (0..3).map(|c| input[c * pixels + i]).sum())
            .collect();
        let (_, want) = read_npy(&folder.join("input.npy"));
        let error = relative_error(&summed, &want);
        assert!(error < TOLERANCE, "{error:.1e} {array} input");
    }
}
