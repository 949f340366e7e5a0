//! Functions of one number that are the number times a factor, in any spelling.
//!
//! From a product, a quotient or a sum the pattern goes back through element-wise operators until everything
//! depends on one value, computes what comes out for some numbers in its place, and compares.

use std::collections::{BTreeSet, HashMap};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use elucid_rules::{Algebra, OpKind};

use super::view::{Nodes, View};
use super::{Block, Pattern};
use crate::graph::ValueId;
use crate::host::{ElementType, HostTensor};
use crate::operator::Known;

/// A function `x g(x)` of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GateFunction {
    /// `x sigmoid(x)`, also called Swish.
    Silu,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `x min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `x Φ(x)`, with the error function.
    Gelu,
    /// The approximation of GELU `x / 2 (1 + tanh(√(2 / π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `x tanh(ln(1 + exp(x)))`.
    Mish,
}

impl GateFunction {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Silu,
        Self::QuickGelu,
        Self::HardSwish,
        Self::Gelu,
        Self::GeluTanh,
        Self::Mish,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silu => "SiLU",
            Self::QuickGelu => "QuickGELU",
            Self::HardSwish => "HardSwish",
            Self::Gelu => "GELU",
            Self::GeluTanh => "GELU (tanh)",
            Self::Mish => "Mish",
        }
    }

    /// The factor `g(x)`.
    pub fn factor(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Silu => sigmoid(x),
            Self::QuickGelu => sigmoid(1.702 * x),
            Self::HardSwish => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Gelu => 0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2)),
            Self::GeluTanh => 0.5 * (1.0 + (FRAC_2_PI.sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
            Self::Mish => x.exp().ln_1p().tanh(),
        }
    }
}

/// As many operators a spelling has at most.
const MOST_NODES: usize = 16;

/// Numbers between these tell the functions apart; further out all are `x` or 0.
const RANGE: f64 = 7.0;

/// How many numbers are tried.
const SAMPLES: usize = 57;

pub(super) fn find(view: &View<'_>, last: usize) -> Option<Block> {
    let is_one = view.algebra(last) == Algebra::Gate;
    // `x / 2 + x / 2 erf(x / √2)`; what is added to a constant is not `x` times something.
    let is_sum = view.algebra(last) == Algebra::Sum && view.live(last).len() > 1;
    if !is_one && !is_sum && !view.is(last, &[OpKind::Mul, OpKind::Div]) {
        return None;
    }
    let output = view.output(last);
    let mut nodes = Nodes::from([last]);
    // Values that are still to be traced back, the one that was made last at the end.
    let mut open: BTreeSet<(Option<usize>, ValueId)> = BTreeSet::new();
    let mut next = Some(last);
    while nodes.len() <= MOST_NODES {
        let i = next?;
        if !is_element_wise(view, i, output) {
            return None;
        }
        nodes.insert(i);
        open.extend(
            view.live(i)
                .into_iter()
                .map(|value| (view.maker(value), value)),
        );
        if open.len() == 1
            && let Some(&(_, signal)) = open.first()
            && let Some(function) = recognise(view, &nodes, signal, output)
        {
            let pattern = Pattern::Gate {
                function,
                signal,
                factor: factor(view, last, signal),
                bias: is_one.then(|| bias(view, last)).flatten(),
            };
            return Some(Block::new(view, pattern, nodes, output));
        }
        next = open.pop_last()?.0;
    }
    None
}

/// The other operand, where the last operator multiplies the signal.
fn factor(view: &View<'_>, last: usize, signal: ValueId) -> Option<ValueId> {
    let [a, b] = view.pair(last).filter(|_| view.is(last, &[OpKind::Mul]))?;
    let is_signal = |value| view.plain(value, &mut Nodes::new()) == signal;
    match (is_signal(a), is_signal(b)) {
        (true, _) => Some(b),
        (_, true) => Some(a),
        _ => None,
    }
    .filter(|&factor| !view.is_constant(factor))
}

/// The constant that an operator that is a gate by itself adds first.
fn bias(view: &View<'_>, i: usize) -> Option<ValueId> {
    view.input(i, 1).filter(|&value| view.is_constant(value))
}

/// Whether a node computes each number from those at the same place, and from constants that are the
/// same everywhere.
fn is_element_wise(view: &View<'_>, i: usize, like: ValueId) -> bool {
    let algebra = view.algebra(i);
    let allowed = match algebra {
        Algebra::Activation | Algebra::Gate | Algebra::Function | Algebra::Sum => true,
        Algebra::Affine | Algebra::Quotient => true,
        Algebra::Product => view.is(i, &[OpKind::Mul]),
        _ => view.is_passing(i),
    };
    let fits = |&value: &ValueId| match view.constant(value) {
        Some(host) => host.len() == 1 || algebra == Algebra::Gate,
        None => view.shape(value) == view.shape(like),
    };
    allowed
        && view.shape(view.output(i)) == view.shape(like)
        && view.node(i).inputs.iter().flatten().all(fits)
}

/// The function that `nodes` compute from `signal` to `output`.
fn recognise(
    view: &View<'_>,
    nodes: &Nodes,
    signal: ValueId,
    output: ValueId,
) -> Option<GateFunction> {
    let x: Vec<f32> = (0..SAMPLES)
        .map(|i| (RANGE * (2.0 * i as f64 / (SAMPLES - 1) as f64 - 1.0)) as f32)
        .collect();
    let sampled = HostTensor::of_floats(ElementType::F32, &[SAMPLES], x.clone()).ok()?;
    let mut values = HashMap::from([(signal, sampled)]);
    let mut tolerance: f64 = 5e-6;
    for &i in nodes {
        let node = view.node(i);
        if view.is_passing(i) {
            let same = values.get(&view.input(i, 0)?)?.clone();
            values.insert(view.output(i), same);
            continue;
        }
        let mut inputs = Vec::new();
        for slot in &node.inputs {
            let Some(value) = slot else {
                inputs.push(None);
                continue;
            };
            let host = match view.constant(*value) {
                Some(host) => {
                    tolerance = tolerance.max(rounding(host.element_type()));
                    as_number(host)?
                }
                None => values.get(value)?.clone(),
            };
            inputs.push(Some(Known::host(host)));
        }
        let made = view.run(i, &inputs)?;
        values.extend(node.outputs.iter().copied().zip(made));
    }
    let y = values.get(&output)?.floats();
    let deviation = |function: &GateFunction| {
        let pairs = x.iter().zip(&y);
        let each = pairs.map(|(&x, &y)| {
            let x = f64::from(x);
            (f64::from(y) - x * function.factor(x)).abs()
        });
        each.fold(0.0, f64::max)
    };
    let best = GateFunction::ALL
        .into_iter()
        .min_by(|a, b| deviation(a).total_cmp(&deviation(b)))?;
    (y.len() == x.len() && deviation(&best) <= tolerance).then_some(best)
}

/// By how much a function may be off whose constants were rounded to this type.
fn rounding(kind: ElementType) -> f64 {
    match kind {
        ElementType::F16 => 2e-3,
        ElementType::BF16 => 1.5e-2,
        _ => 0.0,
    }
}

/// A constant as one number. What is one for each channel is a bias, and left out.
fn as_number(host: &HostTensor) -> Option<HostTensor> {
    if host.len() != 1 {
        return HostTensor::of_floats(ElementType::F32, &[1], vec![0.0]).ok();
    }
    let number = host.reshape(&[]).ok()?;
    Some(match number.element_type().is_float() {
        true => number.cast(ElementType::F32),
        false => number,
    })
}
