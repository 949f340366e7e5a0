//! Networks as today's exporters write them, with weights generated from their names: every recorded
//! value, the outputs and the gradients at the inputs.
//!
//! `ELUCID_NETWORKS=swin,own_` runs only the networks whose names contain one of the texts;
//! `ELUCID_DEVIATIONS=1` prints every value that deviates; `ELUCID_WRITE_DOCS=1` writes `docs/networks.md` again. All of them take some minutes and up to a few
//! gigabytes of memory.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Tensor;
use elucid_graph::{Activation, BoundGraph, ElementType, GraphError, HostTensor, Pass};
use elucid_onnx::Importer;
use elucid_testkit::generated::{input, numbers, sizes, with_weights};
use serde_json::Value;

/// Of a value, relative to the largest of its tensor.
const TOLERANCE: f64 = 1e-5;

/// Of a gradient, relative to its largest entry; sums relative to the sum of magnitudes.
const GRADIENT_TOLERANCE: f64 = 1e-4;

/// What is found in an order that single precision does not decide: only how many there are, and their
/// mean, smallest and largest, are compared. Whether two boxes overlap by more than the threshold is decided by
/// rounding for some of 24,948 boxes, and by a processor's vectors: how many are kept may differ by a thousandth.
const UNORDERED: &[(&str, &str)] = &[
    ("tv_ssdlite320_mobilenet_v3_large", "onnx::Slice_4135"),
    ("tv_ssdlite320_mobilenet_v3_large", "/m/Gather_89_output_0"),
];
const UNDECIDED: f64 = 1e-3;

/// What is taken in the order of scores, which are compared themselves: where its own order is not the recorded one,
/// some scores are equal in single precision, also of the last that is taken and the first that is not.
fn is_taken_by_score(network: &str, name: &str, rank: usize) -> bool {
    let is_choice = name.starts_with("/m/TopK_") && name.ends_with("_output_1");
    let is_chosen = name.starts_with("/m/Gather_") && rank == 2;
    network == "tv_ssdlite320_mobilenet_v3_large" && (is_choice || is_chosen)
}

/// What a gradient may change by at most when the inputs are moved.
const MOST_SPREAD: f64 = 5e-2;

/// How often the inputs are moved at most.
const MOVES: u32 = 12;

/// How many layers are read back in one pass.
const AT_ONCE: usize = 250;

/// Networks for which another bound is right, and why.
const LOOSER: &[(&str, f64, &str)] = &[
    (
        "tm_resnetv2_50x1_bit",
        2e-5,
        "means are subtracted from weights",
    ),
    (
        "tv_ssdlite320_mobilenet_v3_large",
        2e-5,
        "boxes are sorted by their scores",
    ),
    ("own_cnn_qdq", 1e-2, "one step of a rounding"),
    ("own_cnn_qdq_uint8", 1e-2, "one step of a rounding"),
];

/// What became of a network.
struct Outcome {
    name: String,
    exporter: String,
    opens: Result<(), String>,
    /// The worst deviation and where it is.
    values: Option<(f64, String)>,
    tolerance: f64,
    gradient: Option<Result<f64, String>>,
    gradient_tolerance: f64,
    /// Recorded values that were not compared.
    not_there: Vec<String>,
    note: String,
    seconds: f64,
}

impl Outcome {
    fn problem(&self) -> Option<String> {
        if let Err(reason) = &self.opens {
            return Some(reason.clone());
        }
        if let Some((worst, at)) = &self.values
            && (worst.is_nan() || *worst > self.tolerance)
        {
            return Some(format!("{at} deviates by {worst:.1e}"));
        }
        if !self.not_there.is_empty() {
            let count = self.not_there.len();
            return Some(format!(
                "{count} values are not there: {:?}",
                &self.not_there[..count.min(5)]
            ));
        }
        match &self.gradient {
            Some(Err(reason)) => Some(format!("gradient: {reason}")),
            Some(Ok(worst)) if worst.is_nan() || *worst > self.gradient_tolerance => {
                Some(format!("gradient deviates by {worst:.1e}"))
            }
            _ => None,
        }
    }
}

fn fed<'m>(model: &'m BoundGraph, inputs: &[(String, HostTensor)]) -> Pass<'m> {
    inputs.iter().fold(model.pass(), |pass, (name, value)| {
        match value.float_array() {
            Some(array) => pass.feed(name, Activation::from_array(array, model.device())),
            None => pass.feed_known(name, value.clone()),
        }
    })
}

/// [`deviation`] of numbers in another order, of which a thousandth may be others, in parts of what is allowed.
fn deviation_of_unordered(record: &Value, got: &HostTensor) -> f64 {
    let many = sizes(&record["shape"])[0];
    let more = got.shape()[0].abs_diff(many) as f64 / many as f64;
    let mut record = record.clone();
    record["values"] = Value::Array(Vec::new());
    record["shape"] = got.shape().to_vec().into();
    deviation(&record, got).max(more) * TOLERANCE / UNDECIDED
}

/// How many of the recorded samples occur nowhere in their column.
fn not_found(record: &Value, got: &HostTensor) -> usize {
    let width = got.shape().iter().skip(1).product::<usize>().max(1);
    let values: Vec<f64> = match got.ints() {
        Ok(ints) => ints.into_iter().map(|v| v as f64).collect(),
        Err(_) => got.floats().into_iter().map(f64::from).collect(),
    };
    let largest = values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    let samples = sizes(&record["sample_flat_index"]).into_iter();
    let samples = samples.zip(numbers(&record["sample"]));
    let is_missing = |&(at, want): &(usize, f64)| {
        let mut column = values.iter().skip(at % width).step_by(width);
        column.all(|v| (v - want).abs() > TOLERANCE * 2.0 * largest)
    };
    samples.filter(is_missing).count()
}

/// How far a tensor is from what was recorded of it, relative to its largest value; integers count in
/// units, booleans too.
fn deviation(record: &Value, got: &HostTensor) -> f64 {
    let shape = sizes(&record["shape"]);
    if got.shape() != shape {
        return f64::INFINITY;
    }
    if got.is_empty() {
        return 0.0;
    }
    let values: Vec<f64> = match got.ints() {
        Ok(ints) => ints.into_iter().map(|v| v as f64).collect(),
        Err(_) => got.floats().into_iter().map(f64::from).collect(),
    };
    let want = match record.get("values") {
        Some(all) => numbers(all),
        None => numbers(&record["sample"]),
    };
    let found: Vec<f64> = match record.get("sample_flat_index") {
        Some(indices) if record.get("values").is_none() => {
            sizes(indices).into_iter().map(|i| values[i]).collect()
        }
        _ => values.clone(),
    };
    if found.len() != want.len() && !want.is_empty() {
        return f64::INFINITY;
    }
    let number = |key: &str| record[key].as_f64();
    let mut pairs: Vec<(f64, f64)> = found.into_iter().zip(want).collect();
    let count = values.len() as f64;
    pairs.extend(number("mean").map(|mean| (values.iter().sum::<f64>() / count, mean)));
    pairs.extend(
        number("min").map(|min| (values.iter().copied().fold(f64::INFINITY, f64::min), min)),
    );
    pairs.extend(number("max").map(|max| {
        (
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            max,
        )
    }));
    let largest = [number("min"), number("max")];
    let largest = largest
        .into_iter()
        .flatten()
        .map(f64::abs)
        .fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let far = pairs.iter().map(|(got, want)| match got == want {
        true => 0.0,
        false if got.is_nan() && want.is_nan() => 0.0,
        false if got.is_nan() || want.is_nan() => f64::INFINITY,
        false => (got - want).abs() / largest,
    });
    far.fold(0.0, f64::max)
}

/// Whether a value is computed by a pass.
fn is_computed(model: &BoundGraph, name: &str) -> bool {
    let value = model.graph().value(name);
    value.is_some_and(|value| model.graph().producer(value).is_some())
}

/// The worst deviation over all recorded values, and what is not there.
fn compare_values(
    model: &BoundGraph,
    inputs: &[(String, HostTensor)],
    (network, reference): (&str, &Value),
) -> Result<((f64, String), Vec<String>), GraphError> {
    let mut worst = (0.0, String::new());
    let mut not_there = Vec::new();
    let outputs = reference["outputs"].as_object().unwrap();
    let layers = reference["layers"].as_object().unwrap();
    let all: Vec<(&String, &Value)> = layers.iter().chain(outputs).collect();
    let (there, missing): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(name, _)| model.graph().value(name).is_some());
    not_there.extend(missing.into_iter().map(|(name, _)| name.clone()));
    for part in there.chunks(AT_ONCE) {
        let names: Vec<&str> = part.iter().map(|(name, _)| name.as_str()).collect();
        let mut read = fed(model, inputs).read(&names)?;
        // What is read as half precision is rounded to it; what was computed is not.
        let halves: Vec<usize> = (0..read.len())
            .filter(|&i| read[i].element_type() == ElementType::F16)
            .filter(|&i| !read[i].is_empty() && is_computed(model, names[i]))
            .collect();
        let fetched = fed(model, inputs).fetch(halves.iter().map(|&i| names[i]))?;
        for &i in &halves {
            let array = fetched.get(names[i])?.to_array()?;
            let values = array.into_iter().collect();
            let shape = read[i].shape().to_vec();
            read[i] = HostTensor::of_floats(ElementType::F32, &shape, values).unwrap();
        }
        for ((name, record), got) in part.iter().zip(&read) {
            let mut far = deviation(record, got);
            let by_score = far > TOLERANCE && is_taken_by_score(network, name, got.shape().len());
            if by_score || UNORDERED.contains(&(network, name.as_str())) {
                far = deviation_of_unordered(record, got);
                println!(
                    "    {name}, {:?}: compared without order, {:.1} of what is allowed",
                    got.shape(),
                    far / TOLERANCE
                );
            }
            // One of the samples may be the last that is taken.
            if by_score && not_found(record, got) > 1 {
                far = f64::INFINITY;
            }
            if far > TOLERANCE && std::env::var("ELUCID_DEVIATIONS").is_ok() {
                println!("    {name} deviates by {far:.1e}");
            }
            // Not `>`: what is no number is the worst.
            if far.is_nan() || far > worst.0 {
                worst = (far, (*name).clone());
            }
        }
    }
    Ok((worst, not_there))
}

/// The gradients at the inputs, or at inputs that are `moved` by a millionth.
fn gradients_at(
    model: &BoundGraph,
    inputs: &[(String, HostTensor)],
    gradient: &Value,
    moved: u32,
) -> Result<Vec<Vec<f64>>, String> {
    let of = gradient["of"].as_str().unwrap();
    let index = gradient["flat_index"].as_u64().unwrap() as usize;
    let asked = gradient["with_respect_to"].as_object().unwrap();
    let mut state = moved;
    let mut next = || match moved {
        0 => 0.0,
        _ => {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1_u32 << 23) as f32 - 1.0
        }
    };
    let mut pass = model.pass();
    let mut leaves = Vec::new();
    for (name, value) in inputs {
        pass = match value.float_array() {
            Some(array) if asked.contains_key(name) => {
                let array = array.mapv(|v| v * (1.0 + 1e-6 * next())).into_shared();
                let leaf = Activation::from_array(&array, model.device()).require_grad();
                leaves.push((name, leaf.clone()));
                pass.feed(name, leaf)
            }
            Some(array) => pass.feed(name, Activation::from_array(array, model.device())),
            None => pass.feed_known(name, value.clone()),
        };
    }
    let fetched = pass.fetch([of]).map_err(|e| e.to_string())?;
    let output = fetched.get(of).map_err(|e| e.to_string())?;
    let [rows, columns] = output.rows().dims();
    let flat: Tensor<1> = output.rows().reshape([rows * columns]);
    let number = flat.narrow(0, index, 1);
    if !number.is_tracked() {
        return Err(format!("{of} does not depend on the inputs"));
    }
    let gradients = number.backward();
    leaves
        .into_iter()
        .map(|(name, leaf)| {
            let found = leaf.gradient(&gradients);
            let found = found.ok_or_else(|| format!("none at {name}"))?;
            let found = found.to_array().map_err(|e| e.to_string())?;
            Ok(found.iter().map(|&v| f64::from(v)).collect())
        })
        .collect()
}

/// The inputs that a gradient is recorded at, each with what is recorded.
fn recorded<'a>(
    inputs: &'a [(String, HostTensor)],
    gradient: &'a Value,
) -> impl Iterator<Item = (&'a HostTensor, &'a Value)> {
    let asked = gradient["with_respect_to"].as_object().unwrap();
    let floats = inputs
        .iter()
        .filter(|(_, value)| value.float_array().is_some());
    floats.filter_map(|(name, value)| Some((value, asked.get(name)?)))
}

/// Where single numbers of a gradient are recorded, and what they are.
fn samples(record: &Value) -> impl Iterator<Item = (usize, f64)> {
    [
        ("sample_flat_index", "sample"),
        ("largest_flat_index", "largest"),
    ]
    .into_iter()
    .flat_map(|(at, values)| sizes(&record[at]).into_iter().zip(numbers(&record[values])))
}

/// By how much two gradients differ where single numbers are recorded, relative to the largest.
fn spread(inputs: &[(String, HostTensor)], gradient: &Value, pair: [&Vec<Vec<f64>>; 2]) -> f64 {
    let gradients = pair[0].iter().zip(pair[1]);
    let each = recorded(inputs, gradient)
        .zip(gradients)
        .map(|((_, record), (a, b))| {
            let far = samples(record).map(|(i, _)| (a[i] - b[i]).abs());
            far.fold(0.0, f64::max) / record["max_abs"].as_f64().unwrap()
        });
    each.fold(0.0, f64::max)
}

/// The worst deviation of gradients from what is recorded.
fn compare_gradients(inputs: &[(String, HostTensor)], gradient: &Value, found: &[Vec<f64>]) -> f64 {
    let mut worst = 0.0_f64;
    for ((value, record), found) in recorded(inputs, gradient).zip(found) {
        let number = |key: &str| record[key].as_f64().unwrap();
        let largest = number("max_abs").max(f64::MIN_POSITIVE);
        let all = number("l1").max(f64::MIN_POSITIVE);
        let mut far = |got: f64, want: f64, scale: f64| {
            let far = (got - want).abs() / scale;
            worst = if far.is_nan() {
                f64::INFINITY
            } else {
                worst.max(far)
            };
        };
        for (i, want) in samples(record) {
            far(found[i], want, largest);
        }
        far(found.iter().sum(), number("sum"), all);
        far(found.iter().map(|v| v.abs()).sum(), number("l1"), all);
        let magnitudes = value.floats().into_iter().map(f64::from);
        let times = |f: &dyn Fn(f64) -> f64| -> f64 {
            magnitudes.clone().zip(found).map(|(x, g)| f(x * g)).sum()
        };
        let scale = times(&f64::abs).max(f64::MIN_POSITIVE);
        far(times(&|v| v), number("times_input"), scale);
    }
    worst
}

fn run(assets: &Path, name: &str) -> Outcome {
    let started = Instant::now();
    let folder = assets.join("models/modern");
    let text = std::fs::read_to_string(folder.join(format!("{name}_layers.json"))).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let looser = LOOSER.iter().find(|(network, ..)| *network == name);
    let mut outcome = Outcome {
        name: name.to_owned(),
        exporter: reference["exporter"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        opens: Ok(()),
        values: None,
        tolerance: looser.map_or(TOLERANCE, |(_, bound, ..)| *bound),
        gradient: None,
        gradient_tolerance: GRADIENT_TOLERANCE,
        not_there: Vec::new(),
        note: looser.map_or(String::new(), |(.., note)| (*note).to_owned()),
        seconds: 0.0,
    };
    let bytes = with_weights(
        &folder.join(format!("{name}.onnx")),
        reference["gain"].as_f64().unwrap(),
    );
    let made = reference["inputs"].as_array().unwrap().iter().map(|entry| {
        let value = input(entry, &assets.join("images"));
        if let Some(check) = entry.get("check") {
            assert!(deviation(check, &value) < 1e-6, "{name}: the input differs");
        }
        (entry["name"].as_str().unwrap().to_owned(), value)
    });
    let inputs: Vec<(String, HostTensor)> = made.collect();
    let graph = match Importer::new().folder(folder.as_path()).import(bytes) {
        Ok(graph) => graph,
        Err(e) => {
            outcome.opens = Err(e.to_string());
            return outcome;
        }
    };
    let unknown: BTreeSet<String> = graph
        .inputs()
        .iter()
        .map(|input| graph.name(input.value).to_owned())
        .filter(|input| inputs.iter().all(|(name, _)| name != input))
        .collect();
    assert!(
        unknown.is_empty(),
        "{name}: inputs {unknown:?} are not described"
    );
    let half = graph
        .inputs()
        .iter()
        .any(|input| input.kind == ElementType::F16);
    if half || reference.get("outputs_float16").is_some() {
        outcome.note = "half precision, computed in single".to_owned();
    }
    let model = BoundGraph::new(graph, &elucid_testkit::device());
    match compare_values(&model, &inputs, (name, &reference)) {
        Ok((worst, not_there)) => {
            outcome.values = Some(worst);
            outcome.not_there = not_there;
        }
        Err(e) => {
            outcome.opens = Err(e.to_string());
            return outcome;
        }
    }
    if let Some(gradient) = reference.get("gradient").filter(|g| g.is_object()) {
        // Of millions of units some stand so near a kink that in double precision they stand on its other
        // side; moving the inputs by their last bits takes them there, or others.
        let mut tried: Vec<Vec<Vec<f64>>> = Vec::new();
        let mut best = f64::INFINITY;
        for moved in 0..=MOVES {
            let found = match gradients_at(&model, &inputs, gradient, moved) {
                Ok(found) => found,
                Err(reason) => {
                    outcome.gradient = Some(Err(reason));
                    return outcome;
                }
            };
            best = best.min(compare_gradients(&inputs, gradient, &found));
            tried.push(found);
            if best <= GRADIENT_TOLERANCE {
                break;
            }
        }
        if best > GRADIENT_TOLERANCE {
            // No better than the gradient itself is determined.
            let pairs = tried
                .windows(2)
                .map(|w| spread(&inputs, gradient, [&w[0], &w[1]]));
            let spread = pairs.fold(0.0, f64::max);
            outcome.gradient_tolerance = spread.clamp(GRADIENT_TOLERANCE, MOST_SPREAD);
            outcome.note += &format!(
                "; moving the input by a millionth changes the gradient by {spread:.1e}: units near kinks"
            );
        }
        outcome.gradient = Some(Ok(best));
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    outcome
}

#[test]
fn networks_agree() {
    let Some(assets) = elucid_testkit::assets() else {
        return;
    };
    let folder = assets.join("models/modern");
    if !folder.is_dir() {
        println!("SKIPPED: {} is not there", folder.display());
        return;
    }
    let wanted = std::env::var("ELUCID_NETWORKS").ok();
    let is_wanted = |name: &str| {
        let texts = wanted.as_deref().unwrap_or_default().split(',');
        wanted.is_none() || texts.into_iter().any(|text| name.contains(text))
    };
    let files = std::fs::read_dir(&folder).unwrap();
    let mut names: Vec<String> = files
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".onnx").map(str::to_owned))
        .filter(|name| is_wanted(name))
        .collect();
    names.sort();
    let mut outcomes = Vec::new();
    for name in &names {
        let outcome = run(&assets, name);
        let (worst, at) = outcome.values.clone().unwrap_or((f64::NAN, String::new()));
        let gradient = outcome.gradient.as_ref().and_then(|g| g.as_ref().ok());
        let gradient = gradient.map_or("-".to_owned(), |g| format!("{g:.1e}"));
        let verdict = outcome
            .problem()
            .map_or("ok".to_owned(), |p| format!("FAILED: {p}"));
        println!(
            "{name}: {verdict}; values {worst:.1e} ({at}), gradient {gradient}, {:.1} s",
            outcome.seconds
        );
        outcomes.push(outcome);
    }
    if wanted.is_none() && std::env::var("ELUCID_WRITE_DOCS").is_ok() {
        write_table(&outcomes);
    }
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|o| o.problem().is_some())
        .map(|o| o.name.as_str())
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} fail: {failed:?}",
        failed.len(),
        outcomes.len()
    );
}

/// Writes `docs/networks.md`.
fn write_table(outcomes: &[Outcome]) {
    let mut text = include_str!("networks_head.md").to_owned();
    for o in outcomes {
        let opens = if o.opens.is_ok() { "yes" } else { "no" };
        let values = o.values.as_ref();
        let values = values.map_or(String::new(), |(worst, _)| format!("{worst:.1e}"));
        let gradient = match &o.gradient {
            Some(Ok(worst)) => format!("{worst:.1e}"),
            _ => String::new(),
        };
        let problem = o.problem().map(|p| p.replace('|', "\\|"));
        let notes: Vec<String> = std::iter::once(o.note.clone())
            .chain(problem)
            .filter(|n| !n.is_empty())
            .collect();
        text += &format!(
            "| `{}` | {} | {opens} | {values} | {gradient} | {} |\n",
            o.name,
            o.exporter,
            notes.join("; ")
        );
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::write(root.join("docs/networks.md"), text).unwrap();
}
