//! Every method of the table on networks as today's exporters write them: a map of numbers that are not all 0, or a
//! refusal that says what in the network the method cannot do with.
//!
//! A sample of small networks is run, one of each sort at least, and compared with `docs/methods_on_networks.md`;
//! which are left out is said. `ELUCID_NETWORKS=all` runs every network, `ELUCID_NETWORKS=swin,own_` those whose
//! names contain one of the texts, and `ELUCID_WRITE_DOCS=1` writes what was run into the document.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, FEATURES, METHODS, Method, MethodOptions, Network, Place, Region, Target,
};
use elucid_graph::{LOGITS, Layer, Layout};
use elucid_models::photographs;
use elucid_testkit::generated::{input, sizes, with_weights};
use elucid_testkit::{assets, device};
use elucid_vision::{HeadKind, Model, Opening};
use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

/// What is run where nothing else is asked for: quantised weights, a detector, inputs beside the picture, channels
/// last, attention in one operator, two pictures, half precision, weights in another file.
const SAMPLE: [&str; 8] = [
    "own_cnn_qdq",
    "own_detector",
    "own_image_and_table",
    "own_keras_nhwc",
    "own_rms_vit_opset23",
    "own_siamese",
    "tm_mobilenetv4_small_half",
    "tm_test_convnext_external",
];

/// Options under which methods take little time, for those that have them.
const QUICK: [(&str, &str); 12] = [
    ("steps", "2"),
    ("samples", "2"),
    ("masks", "4"),
    ("cells", "3"),
    ("segments", "grid:3"),
    ("permutations", "1"),
    ("design", "2"),
    ("iterations", "2"),
    // From masks that hide nothing little is learnt in two iterations at the usual rate.
    ("learning-rate", "1"),
    ("area-weight", "10"),
    ("channels", "4"),
    ("l1", "0"),
];

/// What became of a method on a network: an empty text for a map, or why there is none.
type Cells = BTreeMap<String, String>;

/// A network on its picture, with what is explained.
struct Case {
    model: Model,
    picture: Tensor<4>,
    target: Target,
    /// What is explained, in words.
    explained: String,
}

impl Case {
    fn open(folder: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(folder.join(format!("{name}_layers.json"))).unwrap();
        let reference: Value = serde_json::from_str(&text).unwrap();
        let file = folder.join(reference["file"].as_str().unwrap());
        let gain = reference["gain"].as_f64().unwrap();
        let inputs = reference["inputs"].as_array().unwrap();
        let images = folder.join("../../images");
        let mut opening = Opening::new();
        if let [first, others @ ..] = inputs.as_slice() {
            if !others.is_empty() {
                opening = opening.input(first["name"].as_str().unwrap());
            }
            for entry in others {
                let host = input(entry, &images);
                let values = match host.element_type().is_float() {
                    true => host.floats(),
                    false => host.ints().unwrap().iter().map(|&v| v as f32).collect(),
                };
                let value = ArrayD::from_shape_vec(IxDyn(host.shape()), values).unwrap();
                opening = opening.feed(entry["name"].as_str().unwrap(), value);
            }
        }
        let open = |opening: Opening| {
            // Weights in another file are found beside the first.
            let model = match folder.join(format!("{name}.onnx.data")).exists() {
                true => opening.open(&file, &device()),
                false => opening.bytes(with_weights(&file, gain), &device()),
            };
            model.unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let size = match sizes(&inputs[0]["shape"])[..] {
            [_, height, width, 3] => [height, width],
            [_, _, height, width] => [height, width],
            ref shape => panic!("{name}: {shape:?}"),
        };
        let mut model = open(opening.clone());
        if model.input_spec().size() != size {
            // A network that takes any size is given the one of the reference.
            let spec = model.input_spec().clone().with_size(size).unwrap();
            model = open(opening.prepared_by(spec));
        }
        let photo = elucid_vision::input::decode_image(photographs::chelsea()).unwrap();
        let picture = model.prepare(&photo).unwrap().tensor().clone();
        let (target, explained) = target(&model, &picture);
        Self {
            model,
            picture,
            target,
            explained,
        }
    }
}

fn value_of(model: &Model, picture: &Tensor<4>, layer: &str) -> ArrayD<f32> {
    let fetched = model.pass().input(picture).fetch([layer]).unwrap();
    fetched.get(layer).unwrap().to_array().unwrap()
}

fn largest(values: impl Iterator<Item = f32>) -> usize {
    let all = values.enumerate();
    all.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i)
}

/// A target that suits what the network's output means, and what it is.
fn target(model: &Model, picture: &Tensor<4>) -> (Target, String) {
    match model.head().kind() {
        HeadKind::Map => {
            let scores = value_of(model, picture, LOGITS);
            let [height, width] = [scores.shape()[2], scores.shape()[3]];
            let in_the_middle =
                (0..scores.shape()[1]).map(|class| scores[[0, class, height / 2, width / 2]]);
            let class = largest(in_the_middle);
            let target = Target::region(class, Region::predicted());
            (target, format!("the pixels predicted as class {class}"))
        }
        HeadKind::Boxes => {
            let output = model.head().output().to_owned();
            let values = value_of(model, picture, &output);
            // Four numbers of a box, and behind them the classes.
            let anchors = values.shape()[2];
            let best = largest((4 * anchors..values.len()).map(|i| values.as_slice().unwrap()[i]));
            let [row, anchor] = [4 + best / anchors, best % anchors];
            let target = Target::element(&output, &[row, anchor]);
            (target, format!("`{output}[{row},{anchor}]`"))
        }
        kind if kind.is_vector() => {
            let class = largest(value_of(model, picture, LOGITS).into_iter());
            (Target::class(class), format!("number {class}"))
        }
        _ => {
            // Chances of classes for each anchor, before boxes are chosen; class 0 is none.
            let layer = "/m/Softmax_output_0";
            let values = value_of(model, picture, layer);
            let classes = values.shape()[2];
            let of_a_class = |i: usize| match i % classes {
                0 => f32::MIN,
                _ => values.as_slice().unwrap()[i],
            };
            let best = largest((0..values.len()).map(of_a_class));
            let [anchor, class] = [best / classes, best % classes];
            let target = Target::element(layer, &[anchor, class]);
            (target, format!("`{layer}[{anchor},{class}]`"))
        }
    }
}

/// The most positions of a layer that each are tried on their own.
const MOST_POSITIONS: usize = 400;

/// The last layer of a network with few positions, where the one that methods take by themselves has many.
fn coarse_layer(case: &Case) -> Option<String> {
    let positions = |shape: &[usize]| match *shape {
        [_, _, height, width] => height * width,
        _ => 0,
    };
    let own = Network::layer(&case.model, FEATURES).ok()?;
    let own = case.model.layer(&own).ok()?;
    if positions(own.shape()) <= MOST_POSITIONS {
        return None;
    }
    let is_map = |layer: &&Layer| {
        let layout = case.model.layout(layer.name());
        layout.is_ok_and(|layout| layout == Layout::ChannelsFirst)
    };
    let layers = case.model.layers().iter().rev();
    let few = layers.filter(|layer| (4..=MOST_POSITIONS).contains(&positions(layer.shape())));
    let mut few = few.filter(is_map);
    few.next().map(|layer| layer.name().to_owned())
}

fn options(method: &Method, case: &Case) -> MethodOptions {
    let [_, _, height, width] = case.picture.dims();
    let half = (height.min(width) / 2).to_string();
    let windows = [("window", half.as_str()), ("stride", half.as_str())];
    let quick = QUICK.into_iter().chain(windows);
    let options = quick
        .filter(|(option, _)| method.takes(option))
        .fold(MethodOptions::new(), |options, (option, value)| {
            options.set(option, value)
        });
    match coarse_layer(case).filter(|_| method.place == Place::SpatialLayer) {
        Some(layer) => options.layer(&layer),
        None => options,
    }
}

/// The kinds of some operators.
fn kinds(nodes: &[String]) -> String {
    let kind = |node: &String| node.split(' ').next().unwrap_or(node).to_owned();
    let kinds: BTreeSet<String> = nodes.iter().map(kind).collect();
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    kinds.join(", ")
}

/// Why there is no map, in few words; an error for what should not be.
fn refusal(error: &AttributionError) -> Result<String, String> {
    let text = error.to_string().replace(['|', '\n'], " ");
    Ok(match error {
        AttributionError::Uncovered { nodes, .. } => format!("no rule for {}", kinds(nodes)),
        AttributionError::Signed { nodes, .. } => format!("numbers below 0 reach {}", kinds(nodes)),
        AttributionError::NoAttention { .. } => "nothing attends".to_owned(),
        AttributionError::Attention { reason, .. } => {
            reason.split([';']).next().unwrap_or_default().to_owned()
        }
        AttributionError::NoRectifier { activations, .. } => {
            format!("no ReLU and no Clip, only {}", kinds(activations))
        }
        _ => return Err(text),
    })
}

/// Why the positive part of a map may be blank.
const NOT_POSITIVE: &str = "Grad-CAM is nowhere above 0, which a remark says";

/// A method's map on a network, or why there is none; an error for what should not be.
fn outcome(method: &Method, case: &Case) -> Result<String, String> {
    let explained = || {
        let built = method.build(&options(method, case))?;
        built.attribute(&case.model, &case.picture, case.target.clone())
    };
    let found = catch_unwind(AssertUnwindSafe(explained));
    let found = match found.map_err(|_| "panics".to_owned())? {
        Ok(found) => found,
        Err(error) => return refusal(&error),
    };
    if !found.values().iter().all(|v| v.is_finite()) {
        return Err("numbers that are none".to_owned());
    }
    let map = found.map().map_err(|error| error.to_string())?;
    let nowhere = |remark: &String| remark.contains("nowhere above 0");
    match map.maps().iter().any(|&v| v != 0.0) {
        true => Ok(String::new()),
        false if found.remarks().iter().any(nowhere) => Ok(NOT_POSITIVE.to_owned()),
        false => Err("a blank map".to_owned()),
    }
}

fn run(folder: &Path, name: &str) -> (String, Cells, Vec<String>) {
    let case = Case::open(folder, name);
    let (mut cells, mut wrong) = (Cells::new(), Vec::new());
    for method in METHODS {
        let began = Instant::now();
        let cell = outcome(method, &case);
        let said = match &cell {
            Ok(cell) if cell.is_empty() => "a map".to_owned(),
            Ok(cell) => format!("refused: {cell}"),
            Err(error) => format!("WRONG: {error}"),
        };
        let seconds = began.elapsed().as_secs_f64();
        println!("{name}, {}: {said} ({seconds:.1} s)", method.name);
        match cell {
            Ok(cell) => _ = cells.insert(method.name.to_owned(), cell),
            Err(error) => wrong.push(format!("{name}, {}: {error}", method.name)),
        }
    }
    (case.explained, cells, wrong)
}

/// What is known of all networks, by name: what was explained, and what became of each method.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table(BTreeMap<String, (String, Cells)>);

impl Table {
    fn document() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/methods_on_networks.md")
    }

    /// Reads what [`Table::text`] wrote.
    fn read() -> Self {
        let text = std::fs::read_to_string(Self::document()).unwrap_or_default();
        let mut reasons = BTreeMap::from([("+", "")]);
        let (mut networks, mut rows) = (Vec::new(), Vec::new());
        for line in text.lines() {
            if let Some((code, reason)) = line.strip_prefix("- *").and_then(|l| l.split_once("*: "))
            {
                reasons.insert(code, reason);
            } else if let Some((_, network)) = line.split_once(". `") {
                networks.extend(network.split_once("`: "));
            } else if let Some(row) = line.strip_prefix("| `") {
                rows.extend(row.trim_end_matches(" |").split_once("` | "));
            }
        }
        let of = |(i, (network, explained)): (usize, &(&str, &str))| {
            let cell = |(method, cells): &(&str, &str)| {
                let code = cells.split(" | ").nth(i)?;
                Some(((*method).to_owned(), (*reasons.get(code)?).to_owned()))
            };
            let cells: Cells = rows.iter().filter_map(cell).collect();
            ((*network).to_owned(), ((*explained).to_owned(), cells))
        };
        Self(networks.iter().enumerate().map(of).collect())
    }

    fn text(&self) -> String {
        let cells = self.0.values().flat_map(|(_, cells)| cells.values());
        let reasons: BTreeSet<&String> = cells.filter(|cell| !cell.is_empty()).collect();
        let code = |reason: &String| match reasons.iter().position(|known| *known == reason) {
            Some(i) => format!("r{}", i + 1),
            None => "+".to_owned(),
        };
        let mut text = HEAD.to_owned();
        for (i, (network, (explained, _))) in self.0.iter().enumerate() {
            writeln!(text, "{}. `{network}`: {explained}", i + 1).unwrap();
        }
        let numbers: Vec<String> = (1..=self.0.len()).map(|i| i.to_string()).collect();
        write!(text, "\n| method | {} |\n| --- |", numbers.join(" | ")).unwrap();
        writeln!(text, "{}", " --- |".repeat(self.0.len())).unwrap();
        for method in METHODS {
            let cell =
                |(_, cells): &(String, Cells)| cells.get(method.name).map_or("?".to_owned(), &code);
            let cells: Vec<String> = self.0.values().map(cell).collect();
            writeln!(text, "| `{}` | {} |", method.name, cells.join(" | ")).unwrap();
        }
        text += "\n## Why there is no map\n\n";
        for reason in &reasons {
            writeln!(text, "- *{}*: {reason}", code(reason)).unwrap();
        }
        text
    }
}

/// The networks to be run, and those that are not.
fn chosen(folder: &Path) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix("_layers.json")?.to_owned())
        })
        .collect();
    names.sort();
    let asked = std::env::var("ELUCID_NETWORKS");
    names.into_iter().partition(|name| match &asked {
        Ok(all) if all == "all" => true,
        Ok(some) => some.split(',').any(|part| name.contains(part)),
        Err(_) => SAMPLE.contains(&name.as_str()),
    })
}

#[test]
fn every_method_gives_a_map_or_says_what_it_cannot_do_with() {
    let Some(assets) = assets() else { return };
    let folder = assets.join("models/modern");
    let (names, left_out) = chosen(&folder);
    let (mut run_now, mut wrong) = (Table::default(), Vec::new());
    for name in names {
        let (explained, cells, found) = run(&folder, &name);
        run_now.0.insert(name, (explained, cells));
        wrong.extend(found);
    }
    if !left_out.is_empty() {
        println!(
            "LEFT OUT, run with ELUCID_NETWORKS=all: {}",
            left_out.join(", ")
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut table = Table::read();
    if std::env::var_os("ELUCID_WRITE_DOCS").is_some() {
        table.0.extend(run_now.0);
        std::fs::write(Table::document(), table.text()).unwrap();
        assert_eq!(Table::read(), table);
        return;
    }
    for (name, (explained, cells)) in run_now.0 {
        let (said, written) = table.0.get(&name).unwrap_or_else(|| {
            panic!("docs/methods_on_networks.md lacks {name}: ELUCID_WRITE_DOCS=1 adds it")
        });
        assert_eq!((said, written), (&explained, &cells), "{name}");
    }
}

const HEAD: &str = "\
# Every method on today's networks

Written by the test `modern_methods` of `elucid-attribution` (`ELUCID_NETWORKS=all ELUCID_WRITE_DOCS=1`): each method
under its usual options, but for as few samples and steps as it can do with, and in networks whose features are as large
as the picture at the last layer with at most 400 positions, on one photograph. *+* is a map of numbers
that are finite and not all 0; a code is a refusal, of which the reason stands below. The weights of most networks are
generated, not trained ([networks.md](networks.md)), so a map says that a method runs, not that it is right: for that
there is [agreement.md](agreement.md). How well DeepLIFT's sum adds up is in [relevance.md](relevance.md).

What is explained: the largest score of a classifier, or the largest number of an embedding; of a map of scores those of
the pixels that are predicted as the class in the middle; of a detector the largest chance of a class before boxes are
chosen.

Networks that the references have and this list lacks have not been run.

";
