//! ONNX's own node tests: every case that a vision network can need, forwards and in gradients.
//!
//! The cases lie in `onnx_node_tests/` of the folder named by `ELUCID_ASSETS`, else `../shared`; the
//! test says that it was skipped without them. Variables for whoever works on an operator:
//! `ELUCID_CASES` runs only the cases whose name or operators contain a text, and prints each failure;
//! `ELUCID_WRITE_DOCS=1` writes `docs/operators.md` again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use elucid_graph::{Activation, Attributes, BoundGraph, ElementType, HostTensor, Pass, Registry};

use super::noise;

/// ONNX's own runner compares with these.
const RELATIVE: f32 = 1e-3;
const ABSOLUTE: f32 = 1e-7;

/// How many cases pass at least, forwards.
const PASS: usize = 1490;

/// Cases whose stored outputs are not what the standard says, and why.
const MISTAKEN: &[(&str, &str)] = &[
    ("test_qlinearmatmul_2D_int8_", WRAPS),
    ("test_qlinearmatmul_3D_int8_", WRAPS),
    (
        "test_l2normalization_axis_0",
        "the stored output is NaN where everything is 0; the standard says 0, as later versions of \
         the case do",
    ),
    (
        "test_dft_inverse",
        "the stored output holds another algorithm's rounding where it should be 0, more than the \
         tolerance",
    ),
];
const WRAPS: &str =
    "the stored output wraps where the standard saturates, as later versions of the case do";

/// A pack of cases: a safetensors file with a table of what to expect.
struct Pack {
    header: BTreeMap<String, serde_json::Value>,
    data: Vec<u8>,
    rows: Vec<Row>,
}

/// One case.
#[derive(Debug, Clone)]
struct Row {
    case: String,
    is_in: bool,
    reason: String,
    family: String,
    operators: Vec<String>,
    /// How many inputs its graph has.
    inputs: usize,
    gradient: String,
}

impl Pack {
    fn open(folder: &Path, tensors: &str, table: &str) -> Self {
        let bytes = std::fs::read(folder.join(tensors)).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let text = std::fs::read_to_string(folder.join(table)).unwrap();
        let mut lines = text.lines().map(fields);
        let names = lines.next().unwrap();
        let column = |name: &str| names.iter().position(|n| n == name).unwrap();
        let (case, kind, reason) = (column("case"), column("kind"), column("reason"));
        let (family, operators) = (column("family"), column("operators"));
        let (inputs, gradient) = (column("inputs"), column("grad"));
        let rows = lines.map(|row| Row {
            case: row[case].clone(),
            is_in: row[kind] == "in",
            reason: row[reason].clone(),
            family: row[family].clone(),
            operators: row[operators].split(' ').map(str::to_owned).collect(),
            inputs: row[inputs].split_whitespace().count(),
            gradient: row[gradient].clone(),
        });
        Self {
            header,
            data: bytes[8 + length..].to_vec(),
            rows: rows.collect(),
        }
    }

    fn bytes(&self, key: &str) -> &[u8] {
        let offsets = self.header[key]["data_offsets"].as_array().unwrap();
        let at = |i: usize| offsets[i].as_u64().unwrap() as usize;
        &self.data[at(0)..at(1)]
    }

    fn model(&self, case: &str) -> Vec<u8> {
        self.bytes(&format!("{case}/model")).to_vec()
    }

    /// The tensors `in0:NAME`, `in1:NAME`, ... or `out0:NAME`, ... of a case, by name.
    fn tensors(&self, case: &str, role: &str) -> Vec<(String, HostTensor)> {
        let mut found = Vec::new();
        for i in 0.. {
            let prefix = format!("{case}/{role}{i}:");
            let next = self.header.range(prefix.clone()..).next();
            let Some((key, entry)) = next.filter(|(key, _)| key.starts_with(&prefix)) else {
                return found;
            };
            let name = key[prefix.len()..].to_owned();
            found.push((name, tensor(entry, self.bytes(key))));
        }
        found
    }
}

/// Fields of a line of a CSV file.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

fn tensor(entry: &serde_json::Value, bytes: &[u8]) -> HostTensor {
    let dims = entry["shape"].as_array().unwrap().iter();
    let shape: Vec<usize> = dims.map(|d| d.as_u64().unwrap() as usize).collect();
    macro_rules! read {
        ($type:ty, $n:literal, $convert:expr) => {
            bytes
                .chunks_exact($n)
                .map(|b| <$type>::from_le_bytes(b.try_into().unwrap()))
                .map($convert)
                .collect()
        };
    }
    let floats = |kind, values| HostTensor::of_floats(kind, &shape, values).unwrap();
    let ints = |kind, values| HostTensor::of_ints(kind, &shape, values).unwrap();
    match entry["dtype"].as_str().unwrap() {
        "F32" => floats(ElementType::F32, read!(f32, 4, |v| v)),
        "F64" => floats(ElementType::F64, read!(f64, 8, |v| v as f32)),
        "F16" => floats(
            ElementType::F16,
            read!(u16, 2, |v| half::f16::from_bits(v).to_f32()),
        ),
        "I64" => ints(ElementType::I64, read!(i64, 8, |v| v)),
        "I32" => ints(ElementType::I32, read!(i32, 4, i64::from)),
        "I16" => ints(ElementType::I16, read!(i16, 2, i64::from)),
        "I8" => ints(ElementType::I8, read!(i8, 1, i64::from)),
        "U64" => ints(ElementType::U64, read!(u64, 8, |v| v as i64)),
        "U32" => ints(ElementType::U32, read!(u32, 4, i64::from)),
        "U16" => ints(ElementType::U16, read!(u16, 2, i64::from)),
        "U8" => ints(ElementType::U8, read!(u8, 1, i64::from)),
        "BOOL" => HostTensor::of_bools(&shape, bytes.iter().map(|&b| b != 0).collect()).unwrap(),
        other => panic!("dtype {other}"),
    }
}

/// A pass over a case; what is fed as floating point is an activation, all else is known.
fn fed<'m>(model: &'m BoundGraph, inputs: &[(String, HostTensor)]) -> Pass<'m> {
    let mut pass = model.pass();
    for (name, value) in inputs {
        let is_live = value.element_type().is_float() && !value.is_empty();
        pass = match is_live {
            true => pass.feed(name, on(value, model.device())),
            false => pass.feed_known(name, value.clone()),
        };
    }
    pass
}

/// The outputs of a case in single precision, whatever their type, or nothing where one of them is no
/// number.
fn numbers(
    model: &BoundGraph,
    inputs: &[(String, HostTensor)],
    names: &[String],
) -> Result<Vec<Vec<f32>>, String> {
    let fetched = fed(model, inputs).fetch(names).map_err(|e| e.to_string())?;
    let read = |name: &String| {
        let array = fetched.get(name)?.to_array()?;
        Ok(array.into_iter().collect())
    };
    let read = names.iter().map(read);
    let all: Result<Vec<Vec<f32>>, elucid_graph::GraphError> = read.collect();
    all.map_err(|e| e.to_string())
}

fn on(value: &HostTensor, device: &Device) -> Activation {
    Activation::from_array(value.float_array().expect("floating point"), device)
}

fn open(pack: &Pack, case: &str) -> Result<BoundGraph, String> {
    let graph = elucid_onnx::import(pack.model(case)).map_err(|e| e.to_string())?;
    Ok(BoundGraph::new(graph, &elucid_testkit::device()))
}

/// Whether the outputs of a case are right, or what is wrong.
fn forward(pack: &Pack, case: &str) -> Result<(), String> {
    let model = open(pack, case)?;
    // Whatever the operators are, looking for patterns among them is no panic.
    let _ = model.blocks();
    let expected = pack.tensors(case, "out");
    let names: Vec<String> = expected.iter().map(|(name, _)| name.clone()).collect();
    let pass = fed(&model, &pack.tensors(case, "in"));
    let found = pass.read(&names).map_err(|e| e.to_string())?;
    for ((name, expected), found) in expected.iter().zip(&found) {
        if found.shape() != expected.shape() {
            let (found, expected) = (found.shape(), expected.shape());
            return Err(format!("{name} has shape {found:?}, expected {expected:?}"));
        }
        if found.element_type() != expected.element_type() {
            let (found, expected) = (found.element_type(), expected.element_type());
            return Err(format!("{name} holds {found}, expected {expected}"));
        }
        let exact = !expected.element_type().is_float();
        let mistaken = MISTAKEN.iter().find(|(start, _)| case.starts_with(start));
        let wrong = |what: String| Err(mistaken.map_or(what, |(_, why)| (*why).to_owned()));
        if exact && found != expected {
            return wrong(format!("{name} differs"));
        }
        for (i, (f, e)) in found.floats().iter().zip(expected.floats()).enumerate() {
            let equal = *f == e || (f.is_nan() && e.is_nan());
            // What is no number is close to nothing.
            let is_close = (f - e).abs() <= ABSOLUTE + RELATIVE * e.abs();
            if !equal && !is_close {
                return wrong(format!("{name}[{i}] is {f}, expected {e}"));
            }
        }
    }
    Ok(())
}

/// Steps of the differences, tried in this order.
const STEPS: [f32; 3] = [4e-3, 1e-3, 2.5e-4];

/// Differences of each output number along a direction.
struct Differences {
    /// Extrapolated from two steps.
    values: Vec<f64>,
    /// Which of them do not depend on the step's length: no kink lies between.
    smooth: Vec<bool>,
    /// By how much rounding may change each.
    noise: Vec<f64>,
}

impl Differences {
    fn at(
        step: f32,
        mut moved: impl FnMut(f32) -> Result<Vec<f64>, String>,
    ) -> Result<Self, String> {
        let mut difference = |step: f32| -> Result<(Vec<f64>, Vec<f64>), String> {
            let (ahead, behind) = (moved(step)?, moved(-step)?);
            let pairs = ahead.iter().zip(&behind);
            let slopes = pairs.map(|(a, b)| (a - b) / (2.0 * f64::from(step)));
            let sizes = ahead.iter().map(|a| a.abs());
            Ok((slopes.collect(), sizes.collect()))
        };
        let (coarse, sizes) = difference(step)?;
        let (fine, _) = difference(step / 2.0)?;
        let smooth = coarse.iter().zip(&fine).map(|(c, f)| {
            let scale = c.abs().max(f.abs()).max(1e-2);
            (c - f).abs() <= 5e-3 * scale
        });
        Ok(Self {
            smooth: smooth.collect(),
            // Richardson's extrapolation.
            values: coarse
                .iter()
                .zip(&fine)
                .map(|(c, f)| (4.0 * f - c) / 3.0)
                .collect(),
            noise: sizes
                .iter()
                .map(|size| size * 6e-8 / f64::from(step))
                .collect(),
        })
    }
}

/// Whether an input decides on sizes or places, so that its number has no derivative here: scales and
/// regions of interest.
fn is_fixed(row: &Row, input: usize) -> bool {
    let resizes = row
        .operators
        .iter()
        .any(|op| op == "Resize" || op == "Upsample");
    resizes && input > 0
}

/// Compares derivatives in random directions with central differences, over all float outputs.
///
/// Fresh inputs, near the stored ones, keep clear of kinks. Where a step crosses one all the same, the
/// difference changes with the step's length: shorter steps and other directions are tried, and numbers of
/// the output that stand at a kink are left out as long as most of them do not.
fn gradient(pack: &Pack, row: &Row) -> Result<(), String> {
    const DIRECTIONS: u64 = 12;
    let model = open(pack, &row.case)?;
    let stored = pack.tensors(&row.case, "in");
    let names: Vec<String> = pack
        .tensors(&row.case, "out")
        .into_iter()
        .filter(|(_, t)| t.element_type().is_float() && !t.is_empty())
        .map(|(name, _)| name)
        .collect();
    let mut compared = 0;
    let mut worst = String::new();
    for seed in 0..DIRECTIONS {
        let mut next = noise(seed + 17 * row.case.len() as u64);
        let inputs: Vec<(String, HostTensor)> = stored
            .iter()
            .enumerate()
            .map(|(i, (name, value))| {
                let moves = !value.is_empty() && !is_fixed(row, i);
                let moved = value.float_array().filter(|_| moves).map(|array| {
                    let values = array.iter().map(|v| {
                        // Single precision has no differences between large numbers.
                        let v = if v.abs() <= 100.0 { *v } else { next() };
                        // Stored inputs may stand on kinks, as offsets of 0 do.
                        let v = match seed % 4 {
                            3 => v + 0.4 * next(),
                            _ => v + 0.01 * next() * v.abs().clamp(0.1, 1.0),
                        };
                        if seed % 3 == 2 { v.abs() } else { v }
                    });
                    HostTensor::of_floats(ElementType::F32, value.shape(), values.collect())
                });
                let moved = moved.map(|made| made.unwrap());
                (name.clone(), moved.unwrap_or_else(|| value.clone()))
            })
            .collect();
        // Not every value of a parameter is allowed, as that of a dropout's ratio.
        let refused = numbers(&model, &inputs, &names).is_err();
        let held = |value: &HostTensor| refused && value.shape().is_empty();
        let inputs: Vec<(String, HostTensor)> = inputs
            .into_iter()
            .zip(&stored)
            .map(|(moved, (_, value))| match held(value) {
                true => (moved.0, value.clone()),
                false => moved,
            })
            .collect();
        let directions: Vec<Option<Vec<f32>>> = inputs
            .iter()
            .enumerate()
            .map(|(i, (_, value))| {
                let live = value.element_type().is_float() && !value.is_empty() && !held(value);
                // Of thousands of windows, a step along all axes moves some past a kink.
                let sparse = value.len() as f32 / 64.0;
                let mut along = || match sparse <= 1.0 || next().abs() * sparse < 1.0 {
                    true => next(),
                    false => 0.0,
                };
                let moves = live && !is_fixed(row, i);
                moves.then(|| (0..value.len()).map(|_| along()).collect())
            })
            .collect();
        let found = numbers(&model, &inputs, &names)?;
        let along = |step: f32| -> Result<Vec<f64>, String> {
            let moved: Vec<(String, HostTensor)> = inputs
                .iter()
                .zip(&directions)
                .map(|((name, value), direction)| {
                    let Some(direction) = direction else {
                        return (name.clone(), value.clone());
                    };
                    let values = value.floats();
                    let values = values.iter().zip(direction).map(|(v, d)| v + step * d);
                    let kind = ElementType::F32;
                    let moved = HostTensor::of_floats(kind, value.shape(), values.collect());
                    (name.clone(), moved.unwrap())
                })
                .collect();
            let found = numbers(&model, &moved, &names)?;
            Ok(found.into_iter().flatten().map(f64::from).collect())
        };
        let mut best: Option<(usize, Differences)> = None;
        for step in STEPS {
            let found = Differences::at(step, along)?;
            let count = found.smooth.iter().filter(|s| **s).count();
            let all = count == found.smooth.len();
            if best.as_ref().is_none_or(|(most, _)| count > *most) {
                best = Some((count, found));
            }
            if all {
                break;
            }
        }
        let Some((count, differences)) = best else {
            continue;
        };
        if 2 * count < differences.smooth.len().max(1) {
            continue;
        }
        let mut kept = differences.smooth.iter();
        let weights: Vec<Vec<f32>> = found
            .iter()
            .map(|output| {
                let weight = |_: &f32| match kept.next() {
                    Some(true) => next(),
                    _ => 0.0,
                };
                output.iter().map(weight).collect()
            })
            .collect();
        let flat: Vec<f64> = weights.iter().flatten().map(|w| f64::from(*w)).collect();
        // A weight of 0 would not hide a difference that is no number.
        let parts = differences.values.iter().zip(&flat);
        let parts = parts.filter(|(_, w)| **w != 0.0);
        let expected: f64 = parts.map(|(v, w)| v * w).sum();
        let noise = differences.noise.iter().zip(&flat);
        let noise = noise
            .map(|(n, w)| (n * w) * (n * w))
            .filter(|v| v.is_finite());
        let noise = noise.sum::<f64>().sqrt();
        let scale = expected.abs().max(1e-2);
        if noise > 3e-3 * scale {
            continue;
        }
        let got = derivative(&model, &inputs, &directions, &names, &weights)?;
        compared += 1;
        if (got - expected).abs() <= 1e-2 * scale {
            return Ok(());
        }
        worst = format!("derivative {got:.5}, differences {expected:.5}");
    }
    match compared {
        0 => Err("every step crosses a kink or drowns in rounding".to_owned()),
        _ => Err(worst),
    }
}

/// The derivative of the weighted sum of outputs along a direction, by automatic differentiation.
fn derivative(
    model: &BoundGraph,
    inputs: &[(String, HostTensor)],
    directions: &[Option<Vec<f32>>],
    names: &[String],
    weights: &[Vec<f32>],
) -> Result<f64, String> {
    let mut pass = model.pass();
    let mut leaves = Vec::new();
    for ((name, value), direction) in inputs.iter().zip(directions) {
        pass = match direction {
            None => pass.feed_known(name, value.clone()),
            Some(direction) => {
                let leaf = on(value, model.device()).require_grad();
                leaves.push((leaf.clone(), direction));
                pass.feed(name, leaf)
            }
        };
    }
    let fetched = pass.fetch(names).map_err(|e| e.to_string())?;
    let mut total: Option<Tensor<1>> = None;
    for (name, weights) in names.iter().zip(weights) {
        let output = fetched.get(name).map_err(|e| e.to_string())?;
        let weights = ndarray::ArrayD::from_shape_vec(output.shape(), weights.clone()).unwrap();
        let weights = Activation::from_array(&weights.into_shared(), model.device());
        let part = (output.rows() * weights.rows()).sum();
        total = Some(match total {
            Some(before) => before + part,
            None => part,
        });
    }
    let Some(total) = total.filter(|t| t.is_tracked()) else {
        return Ok(0.0);
    };
    let gradients = total.backward();
    let mut sum = 0.0;
    for (leaf, direction) in &leaves {
        if let Some(gradient) = leaf.gradient(&gradients) {
            let gradient = gradient.to_array().map_err(|e| e.to_string())?;
            let products = gradient.iter().zip(direction.iter());
            sum += products
                .map(|(g, d)| f64::from(*g) * f64::from(*d))
                .sum::<f64>();
        }
    }
    Ok(sum)
}

/// What became of a case.
#[derive(Debug, Clone)]
struct Outcome {
    row: Row,
    forward: Result<(), String>,
    gradient: Option<Result<(), String>>,
}

fn outcome(pack: &Pack, row: &Row) -> Outcome {
    let guarded = |f: &dyn Fn() -> Result<(), String>| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Err(format!("PANIC: {}", text.unwrap_or_default()))
        })
    };
    let forward = guarded(&|| forward(pack, &row.case));
    let asked = matches!(row.gradient.as_str(), "all" | "some") && forward.is_ok();
    let gradient = asked.then(|| guarded(&|| gradient(pack, row)));
    Outcome {
        row: row.clone(),
        forward,
        gradient,
    }
}

fn packs() -> Option<Vec<Pack>> {
    let folder: PathBuf = elucid_testkit::assets()?.join("onnx_node_tests");
    if !folder.is_dir() {
        println!("SKIPPED: {} is not there", folder.display());
        return None;
    }
    Some(vec![
        Pack::open(&folder, "node_tests.safetensors", "expectations.csv"),
        Pack::open(&folder, "more_tests.safetensors", "more_expectations.csv"),
    ])
}

#[test]
fn node_tests_pass() {
    let Some(packs) = packs() else { return };
    let wanted = std::env::var("ELUCID_CASES").ok();
    let is_wanted = |row: &Row| {
        wanted.as_ref().is_none_or(|text| {
            let named = row.operators.iter().any(|op| op == text);
            row.case.contains(text.as_str()) || named || row.family == *text
        })
    };
    std::panic::set_hook(Box::new(|_| {}));
    let mut outcomes = Vec::new();
    for pack in &packs {
        let rows = pack.rows.iter().filter(|row| row.is_in && is_wanted(row));
        outcomes.extend(rows.map(|row| outcome(pack, row)));
    }
    let _ = std::panic::take_hook();
    let passed = outcomes.iter().filter(|o| o.forward.is_ok()).count();
    let differentiated = |right: bool| {
        let gradients = outcomes.iter().filter_map(|o| o.gradient.as_ref());
        gradients.filter(|g| g.is_ok() == right).count()
    };
    println!(
        "{passed} of {} pass forwards; gradients: {} right, {} wrong",
        outcomes.len(),
        differentiated(true),
        differentiated(false)
    );
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for o in &outcomes {
        let failure = match (&o.forward, &o.gradient) {
            (Err(reason), _) => format!("forward  {}: {reason}", o.row.case),
            (_, Some(Err(reason))) => format!("gradient {}: {reason}", o.row.case),
            _ => continue,
        };
        *reasons.entry(o.row.family.clone()).or_default() += 1;
        println!("{failure}");
    }
    println!("failures by family: {reasons:?}");
    let panics = outcomes.iter().filter(|o| {
        let gradient = o.gradient.as_ref().and_then(|g| g.as_ref().err());
        let failures = o.forward.as_ref().err().into_iter().chain(gradient);
        failures
            .into_iter()
            .any(|reason| reason.starts_with("PANIC"))
    });
    assert_eq!(panics.count(), 0, "cases panic");
    if wanted.is_none() {
        assert!(passed >= PASS, "{passed} pass, {PASS} are expected");
        if std::env::var("ELUCID_WRITE_DOCS").is_ok() {
            write_table(&outcomes);
        }
    }
}

/// Cases that are out of scope are files that somebody may open: refused in words.
#[test]
fn what_is_out_of_scope_is_refused() {
    let Some(packs) = packs() else { return };
    let mut panics = Vec::new();
    std::panic::set_hook(Box::new(|_| {}));
    for pack in &packs {
        for row in pack.rows.iter().filter(|row| !row.is_in) {
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                open(pack, &row.case).map(|model| {
                    let outputs: Vec<String> = model
                        .graph()
                        .outputs()
                        .iter()
                        .map(|v| model.graph().name(*v).to_owned())
                        .collect();
                    model.pass().read(&outputs).is_ok()
                })
            }));
            if tried.is_err() {
                panics.push(format!("{} ({})", row.case, row.reason));
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(panics.is_empty(), "{} panic: {panics:?}", panics.len());
}

/// What each operator is to rules: with all inputs but the first constant, and, where it differs, with all
/// inputs computed by the network.
/// `arity`: how many inputs each has at most.
fn algebras(arity: &BTreeMap<&str, usize>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in Registry::standard().entries() {
        // Attributes without which some operators cannot be read.
        let attributes = Attributes::new(i64::MAX, 3, 1)
            .with("to", 1)
            .with("direction", "LEFT")
            .with("kernel_shape", vec![1, 1])
            .with("equation", "ij,jk->ik")
            .with("hidden_size", 1)
            .with("num_heads", 1)
            .with("num_groups", 1)
            .with("axis", 0)
            .with("blocksize", 1);
        let Ok(operator) = (entry.parse)(&attributes) else {
            continue;
        };
        let count = arity.get(entry.kind().as_str()).copied().unwrap_or(1);
        let of = |constant: fn(usize) -> bool| {
            let constant: Vec<bool> = (0..count).map(constant).collect();
            operator.algebra(&constant).to_string()
        };
        let (constant, live) = (of(|slot| slot > 0), of(|_| false));
        let text = match constant == live {
            true => constant,
            false => format!("{constant}; {live}"),
        };
        found.insert(entry.kind().to_string(), text);
    }
    found
}

/// The tensor with another shape, or with other integers: what somebody may feed by mistake, or a file
/// may hold on purpose.
fn spoilt(value: &HostTensor, next: &mut impl FnMut() -> f32) -> HostTensor {
    let mut draw = |count: usize| (((next() + 1.0) / 2.0 * count as f32) as usize).min(count - 1);
    let mut shape = value.shape().to_vec();
    if let Ok(mut values) = value.ints()
        && !values.is_empty()
        && draw(2) == 0
    {
        const ODD: [i64; 9] = [-1, 0, 1, 2, 3, 100, -100, i64::MAX, i64::MIN];
        let at = draw(values.len());
        values[at] = ODD[draw(ODD.len())];
        return HostTensor::of_ints(value.element_type(), &shape, values).unwrap();
    }
    let axis = draw(shape.len() + 1);
    match (draw(6), shape.get(axis).copied()) {
        (0, Some(_)) => drop(shape.remove(axis)),
        (1, Some(size)) => shape[axis] = size + 1,
        (2, Some(size)) => shape[axis] = size.saturating_sub(1),
        (3, Some(_)) => shape[axis] = 1,
        (4, Some(_)) => shape[axis] = 0,
        _ => shape.insert(axis, 1 + draw(2)),
    }
    let count: usize = shape.iter().product();
    let kind = value.element_type();
    if let Ok(values) = value.ints() {
        let values = values.into_iter().cycle().chain(std::iter::repeat(1));
        return HostTensor::of_ints(kind, &shape, values.take(count).collect()).unwrap();
    }
    if let Ok(values) = value.bools() {
        let values = values.into_iter().cycle().chain(std::iter::repeat(true));
        return HostTensor::of_bools(&shape, values.take(count).collect()).unwrap();
    }
    let values = value
        .floats()
        .into_iter()
        .cycle()
        .chain(std::iter::repeat(1.0));
    HostTensor::of_floats(kind, &shape, values.take(count).collect()).unwrap()
}

/// Inputs of other shapes and values than a node expects are refused in words, or computed.
#[test]
fn spoilt_inputs_are_no_reason_to_panic() {
    const TRIES: u64 = 8;
    let Some(packs) = packs() else { return };
    let wanted = std::env::var("ELUCID_CASES").unwrap_or_default();
    let mut panics = Vec::new();
    std::panic::set_hook(Box::new(|_| {}));
    for pack in &packs {
        let rows = pack.rows.iter().filter(|row| row.is_in);
        for row in rows.filter(|row| row.case.contains(&wanted)) {
            let Ok(model) = open(pack, &row.case) else {
                continue;
            };
            let inputs = pack.tensors(&row.case, "in");
            let outputs = pack.tensors(&row.case, "out");
            let names: Vec<String> = outputs.into_iter().map(|(name, _)| name).collect();
            for seed in 0..TRIES {
                let mut next = noise(seed);
                let mut spoilt_inputs = inputs.clone();
                let count = spoilt_inputs.len().max(1);
                let at = (seed as usize) % count;
                if let Some((_, value)) = spoilt_inputs.get_mut(at) {
                    *value = spoilt(value, &mut next);
                }
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    fed(&model, &spoilt_inputs).read(&names).is_ok()
                }));
                if let Err(panic) = ran {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text =
                        text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                    let shapes: Vec<_> = spoilt_inputs.iter().map(|(_, v)| v.shape()).collect();
                    let text = text.unwrap_or_default();
                    panics.push(format!("{} with {shapes:?}: {text}", row.case));
                }
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(
        panics.is_empty(),
        "{} panics:\n{}",
        panics.len(),
        panics.join("\n")
    );
}

/// Writes `docs/operators.md`.
fn write_table(outcomes: &[Outcome]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut by_operator: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut arity: BTreeMap<&str, usize> = BTreeMap::new();
    for o in outcomes.iter().filter(|o| o.row.operators.len() == 1) {
        let counts = by_operator.entry(&o.row.operators[0]).or_default();
        let most = arity.entry(&o.row.operators[0]).or_default();
        *most = o.row.inputs.max(*most);
        counts[0] += usize::from(o.forward.is_ok());
        counts[1] += 1;
        counts[2] += usize::from(matches!(o.gradient, Some(Ok(()))));
        counts[3] += usize::from(o.gradient.is_some());
    }
    let mut text = include_str!("operators_head.md").to_owned();
    let mut entries: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for entry in Registry::standard().entries() {
        let kind = entry.kind().to_string();
        entries.entry(kind).or_default().push(entry.since);
    }
    let algebra = algebras(&arity);
    for (kind, since) in &entries {
        let counts = by_operator.get(kind.as_str()).copied().unwrap_or_default();
        let part = |passed: usize, all: usize| match all {
            0 => String::new(),
            _ => format!("{passed} of {all}"),
        };
        text += &format!(
            "| {kind} | {} | {} | {} | {} |\n",
            since.iter().min().copied().unwrap_or(1),
            algebra.get(kind).map_or("", String::as_str),
            part(counts[0], counts[1]),
            part(counts[2], counts[3]),
        );
    }
    text += "\n## Cases that do not pass\n\n| case | what is wrong |\n| --- | --- |\n";
    for o in outcomes {
        let (what, reason) = match (&o.forward, &o.gradient) {
            (Err(reason), _) => ("", reason),
            (_, Some(Err(reason))) => ("gradient: ", reason),
            _ => continue,
        };
        let reason = reason.replace('|', "\\|");
        text += &format!("| {} | {what}{reason} |\n", o.row.case);
    }
    std::fs::write(root.join("docs/operators.md"), text).unwrap();
}
