//! ONNX's own node tests: every case that a vision network can need, forwards and in gradients.
//!
//! The cases lie in `onnx_node_tests/` of the folder named by `ELUCID_ASSETS`, else `../shared`; the
//! test says that it was skipped without them. Variables for whoever works on an operator:
//! `ELUCID_CASES` runs only the cases whose name or operators contain a text, and prints each failure;
//! `ELUCID_WRITE_DOCS=1` writes `docs/operators.md` again.

mod gradients;
mod spoilt;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use elucid_graph::{Activation, BoundGraph, ElementType, HostTensor, Pass};

use self::gradients::gradient;
use self::table::write_table;

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
