//! Functions of one number: whatever lies between a value and what follows from it number by number is
//! evaluated on numbers, and where that is a known function, it is written as that.
//!
//! burn has SiLU as a product with a sigmoid, GELU's approximation as eight operations, ELU as a choice
//! between two branches. How they are spelled does not matter here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use elucid_graph::{Attribute, ElementType, HostTensor};

use crate::program::{Id, Line, Program};

/// Where functions are compared: on both sides, close to zero and far from it, and at no number at which
/// one of them would have a kink.
const AT: [f64; 26] = [
    -29.137, -20.771, -12.391, -7.913, -6.217, -4.831, -3.719, -3.117, -2.639, -2.113, -1.647,
    -1.213, -0.871, -0.613, -0.431, -0.217, -0.043, 0.031, 0.189, 0.457, 0.787, 1.319, 2.357,
    4.673, 9.241, 27.391,
];

/// How far a function may be from another at one of those points.
const NEAR: f64 = 2e-6;

/// The most sources that are followed back for one value.
const MOST_SOURCES: usize = 6;

/// A value as a function of another.
#[derive(Clone)]
struct Function {
    of: Id,
    at: Arc<[f64]>,
    /// The lines between the two.
    lines: Arc<BTreeSet<usize>>,
}

/// Writes known functions as one operator.
pub(super) fn find(program: &mut Program) {
    let mut functions: HashMap<Id, Vec<Function>> = HashMap::new();
    let mut place = 0;
    while place < program.lines.len() {
        let mut of = functions_of(program, &functions, place);
        let several = of.iter().filter(|function| function.lines.len() > 1);
        let mut known = several.filter_map(|f| Some((f.of, known(program, f)?)));
        if let Some((source, known)) = known.next() {
            // Lines before this one keep their places.
            place += known.write(program, place, source);
            of = functions_of(program, &functions, place);
        }
        if let &[out] = program.lines[place].outputs.as_slice() {
            functions.insert(out, of);
        }
        place += 1;
    }
}

/// What a line makes as functions of values before it, the nearest first.
fn functions_of(
    program: &Program,
    functions: &HashMap<Id, Vec<Function>>,
    place: usize,
) -> Vec<Function> {
    let line = &program.lines[place];
    let mut operands: Vec<Id> = Vec::new();
    for id in line.read() {
        if program.scalar(id).is_none() && !operands.contains(&id) {
            operands.push(id);
        }
    }
    let [out] = line.outputs.as_slice() else {
        return Vec::new();
    };
    let is_truth = |id: Id| program.value(id).kind == ElementType::Bool;
    if line.operator == "Cast" && !line.read().all(is_truth) {
        return Vec::new();
    }
    let same = |id: &Id| program.sizes(*id) == program.sizes(*out);
    if operands.is_empty() || operands.len() > 3 || !operands.iter().all(same) {
        return Vec::new();
    }
    // A constant of many numbers is not one function for all of them.
    if operands
        .iter()
        .any(|id| program.value(*id).constant.is_some())
    {
        return Vec::new();
    }
    let as_it_is = |id: Id| Function {
        of: id,
        at: AT.into(),
        lines: Arc::default(),
    };
    let of = |id: Id| -> Vec<Function> {
        let behind = functions.get(&id).cloned().unwrap_or_default();
        std::iter::once(as_it_is(id)).chain(behind).collect()
    };
    let choices: Vec<Vec<Function>> = operands.iter().map(|&id| of(id)).collect();
    let mut made = Vec::new();
    for first in &choices[0] {
        let rest: Option<Vec<&Function>> = choices[1..]
            .iter()
            .map(|functions| functions.iter().find(|f| f.of == first.of))
            .collect();
        let Some(rest) = rest else {
            continue;
        };
        let parts: Vec<&Function> = std::iter::once(first).chain(rest).collect();
        if let Some(function) = joined(program, line, place, &operands, &parts) {
            made.push(function);
        }
        if made.len() == MOST_SOURCES {
            break;
        }
    }
    made
}

fn joined(
    program: &Program,
    line: &Line,
    place: usize,
    operands: &[Id],
    parts: &[&Function],
) -> Option<Function> {
    let mut lines: BTreeSet<usize> = BTreeSet::from([place]);
    for part in parts {
        lines.extend(part.lines.iter());
    }
    let mut at = Vec::with_capacity(AT.len());
    for point in 0..AT.len() {
        let inputs: Option<Vec<f64>> = line
            .read()
            .map(
                |id| match operands.iter().position(|operand| *operand == id) {
                    Some(operand) => Some(parts[operand].at[point]),
                    None => program.scalar(id),
                },
            )
            .collect();
        at.push(evaluate(line, &inputs?)?);
    }
    Some(Function {
        of: parts[0].of,
        at: at.into(),
        lines: Arc::new(lines),
    })
}

/// What an operator makes of numbers; `None` for those that are no function of single numbers.
fn evaluate(line: &Line, x: &[f64]) -> Option<f64> {
    let truth = |value: bool| f64::from(u8::from(value));
    let float = |name: &str, usual: f32| f64::from(line.float(name).unwrap_or(usual));
    Some(match (line.operator, x) {
        ("Identity", &[x]) => x,
        ("Relu", &[x]) => x.max(0.0),
        ("Exp", &[x]) => x.exp(),
        ("Log", &[x]) => x.ln(),
        ("Sqrt", &[x]) => x.sqrt(),
        ("Tanh", &[x]) => x.tanh(),
        ("Erf", &[x]) => libm::erf(x),
        ("Abs", &[x]) => x.abs(),
        ("Neg", &[x]) => -x,
        ("Sign", &[x]) => match x {
            0.0 => 0.0,
            _ => x.signum(),
        },
        ("Reciprocal", &[x]) => 1.0 / x,
        ("Sigmoid", &[x]) => sigmoid(x),
        ("Softplus", &[x]) => softplus(x),
        ("LeakyRelu", &[x]) => x.max(0.0) + float("alpha", 0.01) * x.min(0.0),
        ("HardSigmoid", &[x]) => (float("alpha", 0.2) * x + float("beta", 0.5)).clamp(0.0, 1.0),
        ("Add", &[x, y]) => x + y,
        ("Sub", &[x, y]) => x - y,
        ("Mul", &[x, y]) => x * y,
        ("Div", &[x, y]) => x / y,
        ("Pow", &[x, y]) => x.powf(y),
        ("Max", &[x, y]) => x.max(y),
        ("Min", &[x, y]) => x.min(y),
        ("Clip", &[x, low, high]) => x.max(low).min(high),
        ("Greater", &[x, y]) => truth(x > y),
        ("GreaterOrEqual", &[x, y]) => truth(x >= y),
        ("Less", &[x, y]) => truth(x < y),
        ("LessOrEqual", &[x, y]) => truth(x <= y),
        ("Equal", &[x, y]) => truth(x == y),
        ("Not", &[x]) => truth(x == 0.0),
        ("And", &[x, y]) => truth(x != 0.0 && y != 0.0),
        ("Or", &[x, y]) => truth(x != 0.0 || y != 0.0),
        ("Where", &[condition, yes, no]) => match condition == 0.0 {
            true => no,
            false => yes,
        },
        // Truth as a number.
        ("Cast", &[x]) => x,
        _ => return None,
    })
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// A function that is one operator.
struct Known {
    operator: &'static str,
    attributes: Vec<(&'static str, Attribute)>,
    /// `f(scale x) / scale`.
    scale: f64,
    is: Box<dyn Fn(f64) -> f64>,
}

impl Known {
    fn new(operator: &'static str, is: impl Fn(f64) -> f64 + 'static) -> Self {
        Self {
            operator,
            attributes: Vec::new(),
            scale: 1.0,
            is: Box::new(is),
        }
    }

    fn with(mut self, name: &'static str, value: f64) -> Self {
        self.attributes.push((name, Attribute::Float(value as f32)));
        self
    }

    fn is_near(&self, at: &[f64]) -> bool {
        let mut both = AT.iter().zip(at);
        both.all(|(&x, &y)| ((self.is)(x) - y).abs() <= NEAR * (1.0 + y.abs()))
    }

    /// Puts it in a line's place. Returns how many lines were added before it.
    fn write(self, program: &mut Program, place: usize, source: Id) -> usize {
        let outputs = program.lines[place].outputs.clone();
        let line = |operator, inputs: Vec<Id>, outputs: Vec<Id>, attributes| Line {
            operator,
            inputs: inputs.into_iter().map(Some).collect(),
            outputs,
            attributes,
        };
        if self.scale == 1.0 {
            program.lines[place] = line(self.operator, vec![source], outputs, self.attributes);
            return 0;
        }
        let sizes = program.sizes(source).to_vec();
        let scale = program.numbers(HostTensor::float(self.scale as f32));
        let [scaled, made] = [0, 1].map(|_| program.add(sizes.clone(), ElementType::F32));
        program.lines[place] = line("Div", vec![made, scale], outputs, Vec::new());
        let before = [
            line("Mul", vec![source, scale], vec![scaled], Vec::new()),
            line(self.operator, vec![scaled], vec![made], self.attributes),
        ];
        program.lines.splice(place..place, before);
        2
    }
}

/// The operator that a function of several lines is.
fn known(program: &Program, function: &Function) -> Option<Known> {
    let at = &function.at;
    let is_inner = |place: &usize| {
        let last = function.lines.last();
        let line = &program.lines[*place];
        Some(place) == last || !line.outputs.iter().any(|id| program.is_kept(*id))
    };
    if at.iter().any(|y| !y.is_finite()) || !function.lines.iter().all(is_inner) {
        return None;
    }
    let mut numbers: Vec<f64> = vec![1.0];
    for line in function.lines.iter().map(|&place| &program.lines[place]) {
        let found = line
            .read()
            .filter_map(|id| program.scalar(id))
            .map(f64::abs);
        numbers.extend(found.filter(|number| *number > 0.0 && number.is_finite()));
    }
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    let (lowest, highest) = (AT[0], AT[AT.len() - 1]);
    let (low, high) = (at[0], at[at.len() - 1]);
    let mut tries = vec![
        Known::new("Sigmoid", sigmoid),
        Known::new("Tanh", f64::tanh),
        Known::new("Gelu", |x| {
            x / 2.0 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))
        }),
        Known {
            attributes: vec![("approximate", Attribute::Text("tanh".to_owned()))],
            ..Known::new("Gelu", |x| {
                let bent = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                x / 2.0 * (1.0 + bent.tanh())
            })
        },
        Known::new("Mish", |x| x * softplus(x).tanh()),
        Known::new("HardSwish", |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        Known::new("Softsign", |x| x / (1.0 + x.abs())),
    ];
    let slope = low / lowest;
    tries.push(match slope.abs() < NEAR {
        true => Known::new("Relu", |x| x.max(0.0)),
        false => {
            Known::new("LeakyRelu", move |x| x.max(0.0) + slope * x.min(0.0)).with("alpha", slope)
        }
    });
    let alpha = -low;
    tries.push(Known::new("Elu", move |x| elu(x, alpha)).with("alpha", alpha));
    let gamma = high / highest;
    if gamma > 0.0 {
        let alpha = -low / gamma;
        let selu = Known::new("Selu", move |x| gamma * elu(x, alpha));
        tries.push(selu.with("alpha", alpha).with("gamma", gamma));
    }
    // `y = x sigmoid(alpha x)`.
    let (x, y) = (AT[21], at[21]);
    let share = y / x;
    if share > 0.0 && share < 1.0 {
        let alpha = (share / (1.0 - share)).ln() / x;
        // The least multiple of what a constant of the file could mean.
        let alpha = numbers
            .iter()
            .copied()
            .find(|n| (n - alpha).abs() < 1e-4)
            .unwrap_or(alpha);
        tries.push(Known::new("Swish", move |x| x * sigmoid(alpha * x)).with("alpha", alpha));
    }
    for number in numbers {
        tries.push(Known {
            scale: number,
            ..Known::new("Softplus", move |x| softplus(number * x) / number)
        });
        let celu = Known::new("Celu", move |x| {
            x.max(0.0) + (number * ((x / number).exp() - 1.0)).min(0.0)
        });
        tries.push(celu.with("alpha", number));
        let passes = move |x: f64| if x > number { x } else { 0.0 };
        tries.push(Known::new("ThresholdedRelu", passes).with("alpha", number));
        for bias in [0.0, number] {
            let shrink = move |x: f64| match x {
                _ if x > number => x - bias,
                _ if x < -number => x + bias,
                _ => 0.0,
            };
            let shrink = Known::new("Shrink", shrink);
            tries.push(shrink.with("lambd", number).with("bias", bias));
        }
    }
    tries.into_iter().find(|known| known.is_near(at))
}

fn elu(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * x.exp_m1() }
}
