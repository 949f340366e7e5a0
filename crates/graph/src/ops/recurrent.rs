//! `RNN`, `GRU` and `LSTM`: recurrent layers, step by step along a sequence, forwards, backwards or
//! both.
//!
//! With `x` of a step and `h` and `c` of the step before:
//!
//! - `RNN`: `h' = f(x W + h R + b)`;
//! - `GRU`: `z, r = f(x W + h R + b)`, `n = g(x W + (r h) R + b)` or, with `linear_before_reset`,
//!   `g(x W + b + r (h R + b'))`, `h' = (1 - z) n + z h`;
//! - `LSTM`: `i, o, f = f(x W + h R + p c + b)`, `c' = f c + i g(x W + h R + b)`, `h' = o h(c')`, where
//!   the output gate looks at `c'`.
//!
//! Behind the end of a sequence that is shorter than others, states stay as they are and outputs are 0.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use elucid_rules::{OpKind};

use super::named::Named;
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, check_size, facts, numbers};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("RNN", 1, |a| read(a, Cell::Rnn)),
    Entry::onnx("GRU", 1, |a| read(a, Cell::Gru)),
    Entry::onnx("LSTM", 1, |a| read(a, Cell::Lstm)),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Rnn,
    Gru,
    Lstm,
}

impl Cell {
    fn name(self) -> &'static str {
        match self {
            Self::Rnn => "RNN",
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
        }
    }

    /// How many gates a cell has.
    fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// The activation functions of one direction.
    fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

fn read(a: &Attributes, cell: Cell) -> Result<Arc<dyn Operator>, String> {
    let reversed = match a.text_or("direction", "forward") {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => return Err(format!("direction \"{other}\" is not known")),
    };
    let usual = cell.functions();
    let names: Vec<String> = match a.texts("activations") {
        Some(names) if !names.is_empty() => names.to_vec(),
        _ => usual
            .repeat(reversed.len())
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    let expected = usual.len() * reversed.len();
    if names.len() != expected {
        return Err(format!(
            "{} activation functions, expected {expected}",
            names.len()
        ));
    }
    let mut alphas = a.floats("activation_alpha").unwrap_or_default().into_iter();
    let mut betas = a.floats("activation_beta").unwrap_or_default().into_iter();
    let functions: Vec<Named> = names
        .iter()
        .map(|name| Named::read(name, &mut alphas, &mut betas))
        .collect::<Result<_, _>>()?;
    let clip = a.float("clip");
    if clip.is_some_and(|clip| clip.is_nan() || clip < 0.0) {
        return Err("attribute clip is negative".to_owned());
    }
    let mut functions = functions.chunks(usual.len()).map(<[Named]>::to_vec);
    let directions = reversed.into_iter().map(|reversed| Direction {
        reversed,
        functions: functions.next().unwrap_or_default(),
    });
    Ok(Arc::new(Recurrent {
        cell,
        rule: Rule {
            cell,
            clip,
            input_forget: a.flag("input_forget"),
            linear_before_reset: a.flag("linear_before_reset"),
        },
        directions: directions.collect(),
        hidden: a.int("hidden_size"),
        batch_first: a.flag("layout"),
    }))
}

/// How a step is computed.
#[derive(Debug, Clone, Copy)]
struct Rule {
    cell: Cell,
    /// The largest magnitude of what goes into a function.
    clip: Option<f32>,
    /// Whether the gates of input and forgetting are one.
    input_forget: bool,
    linear_before_reset: bool,
}

#[derive(Debug, Clone)]
struct Direction {
    reversed: bool,
    functions: Vec<Named>,
}

#[derive(Debug)]
struct Recurrent {
    cell: Cell,
    rule: Rule,
    directions: Vec<Direction>,
    hidden: Option<i64>,
    /// Whether the batch is the first axis, before the sequence.
    batch_first: bool,
}

impl Operator for Recurrent {
    facts!(algebra: Other);

    fn kind(&self) -> OpKind {
        OpKind::new(self.cell.name())
    }

    fn most_outputs(&self) -> usize {
        if self.cell == Cell::Lstm { 3 } else { 2 }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let &[first, second, features] = x.shape.as_slice() else {
            let shape = &x.shape;
            return Err(format!("input has shape {shape:?}, expected a sequence of rows").into());
        };
        let (length, batch) = match self.batch_first {
            true => (second, first),
            false => (first, second),
        };
        let (ways, gates) = (self.directions.len(), self.cell.gates());
        let hidden = match inputs.operand(2)?.shape.as_slice() {
            &[_, _, hidden] => hidden,
            other => return Err(format!("weights have shape {other:?}").into()),
        };
        if self
            .hidden
            .is_some_and(|stated| usize::try_from(stated) != Ok(hidden))
        {
            return Err(
                format!("weights of {hidden} hidden numbers for another hidden_size").into(),
            );
        }
        let rows = hidden
            .checked_mul(2 * gates)
            .ok_or("weights that are too large")?;
        let state = match self.batch_first {
            true => vec![batch, ways, hidden],
            false => vec![ways, batch, hidden],
        };
        let expected: [(usize, Vec<usize>); 6] = [
            (1, vec![ways, rows / 2, features]),
            (2, vec![ways, rows / 2, hidden]),
            (3, vec![ways, rows]),
            (5, state.clone()),
            (6, state.clone()),
            (7, vec![ways, 3 * hidden]),
        ];
        for (slot, expected) in &expected {
            if *slot < 3 || inputs.optional(*slot).is_some() {
                let shape = &inputs.operand(*slot)?.shape;
                if shape != expected {
                    let message =
                        format!("input {slot} has shape {shape:?}, expected {expected:?}");
                    return Err(message.into());
                }
            }
        }
        check_size(&[length, batch, rows])?;
        let lengths = match inputs.optional(4) {
            None => None,
            Some(_) => {
                let stated = inputs.ints(4, "the lengths of sequences")?;
                let fits = |l: &i64| usize::try_from(*l).ok().filter(|&l| l <= length);
                let lengths: Option<Vec<usize>> = stated.iter().map(fits).collect();
                let lengths = lengths.filter(|lengths| lengths.len() == batch);
                let lengths = lengths.ok_or_else(|| {
                    format!("{stated:?} are no lengths of {batch} sequences in {length} steps")
                })?;
                // Sequences of full length need no care.
                lengths.iter().any(|&l| l < length).then_some(lengths)
            }
        };
        let all = match self.batch_first {
            true => vec![batch, length, ways, hidden],
            false => vec![length, ways, batch, hidden],
        };
        let kernel = Unrolled {
            rule: self.rule,
            directions: self.directions.clone(),
            sizes: [length, batch, features, hidden],
            lengths,
            batch_first: self.batch_first,
        };
        let outputs = vec![
            Known::computed(all, x.kind),
            Known::computed(state.clone(), x.kind),
            Known::computed(state, x.kind),
        ];
        Ok(Resolved::of(kernel, outputs))
    }
}

#[derive(Debug)]
struct Unrolled {
    rule: Rule,
    directions: Vec<Direction>,
    /// Steps, batch, features, hidden numbers.
    sizes: [usize; 4],
    /// Of the sequences, where one is shorter than the others.
    lengths: Option<Vec<usize>>,
    batch_first: bool,
}

/// The weights of one direction, as matrices that rows are multiplied with.
struct Weights {
    /// `[hidden, gates * hidden]`.
    recurrent: Tensor<2>,
    /// `[1, gates * hidden]`, of the input and of the state.
    biases: [Tensor<2>; 2],
    /// `[1, hidden]` for the gates of input, output and forgetting.
    peepholes: Option<[Tensor<2>; 3]>,
}

/// Two numbers for each hidden one, `[N, hidden]`; only an LSTM uses the second.
type State = (Tensor<2>, Tensor<2>);

impl Rule {
    fn bend(&self, function: &Named, x: Tensor<2>) -> Tensor<2> {
        function.apply(match self.clip {
            Some(clip) => x.clamp(-clip, clip),
            None => x,
        })
    }

    /// One step; `x` is `[N, gates * hidden]`, multiplied with its weights and with its bias.
    fn step(&self, x: Tensor<2>, state: State, w: &Weights, functions: &[Named]) -> State {
        let (h, c) = state;
        let hidden = h.dims()[1];
        let gate = |x: &Tensor<2>, i: usize| x.clone().narrow(1, i * hidden, hidden);
        match (self.cell, functions) {
            (Cell::Rnn, [f]) => {
                let sum = x + h.matmul(w.recurrent.clone()) + w.biases[1].clone();
                (self.bend(f, sum), c)
            }
            (Cell::Gru, [f, g]) => {
                let recurrent = |i: usize| gate(&w.recurrent, i);
                let bias = |i: usize| gate(&w.biases[1], i);
                let open = |i: usize| {
                    let sum = gate(&x, i) + h.clone().matmul(recurrent(i)) + bias(i);
                    self.bend(f, sum)
                };
                let (z, r) = (open(0), open(1));
                let of_state = match self.linear_before_reset {
                    true => r * (h.clone().matmul(recurrent(2)) + bias(2)),
                    false => (r * h.clone()).matmul(recurrent(2)) + bias(2),
                };
                let new = self.bend(g, gate(&x, 2) + of_state);
                // (1 - z) new + z h.
                (new.clone() + z * (h - new), c)
            }
            (Cell::Lstm, [f, g, bend_cell]) => {
                let sums = x + h.matmul(w.recurrent.clone()) + w.biases[1].clone();
                let look = |sum: Tensor<2>, i: usize, c: &Tensor<2>| match &w.peepholes {
                    Some(peepholes) => sum + peepholes[i].clone() * c.clone(),
                    None => sum,
                };
                let i = self.bend(f, look(gate(&sums, 0), 0, &c));
                let forget = match self.input_forget {
                    true => i.clone().neg() + 1.0,
                    false => self.bend(f, look(gate(&sums, 2), 2, &c)),
                };
                let c = forget * c + i * self.bend(g, gate(&sums, 3));
                let o = self.bend(f, look(gate(&sums, 1), 1, &c));
                // As ONNX Runtime has it, gates are clipped and cells are not.
                (o * bend_cell.apply(c.clone()), c)
            }
            // Each cell was read with its functions.
            _ => (h, c),
        }
    }
}

impl Kernel for Unrolled {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let [length, batch, features, hidden] = self.sizes;
        let gates = self.rule.cell.gates() * hidden;
        let x = inputs.take(0).into_cast::<3>();
        let x = if self.batch_first {
            x.swap_dims(0, 1)
        } else {
            x
        };
        let x = x.reshape([length * batch, features]);
        let device = x.device();
        let [weight, recurrent, bias, _, h, c, peepholes] =
            [1, 2, 3, 4, 5, 6, 7].map(|slot| inputs.maybe(slot));
        // What belongs to one direction, as a matrix.
        let way = |stated: &Option<Activation>, i: usize, [rows, columns]: [usize; 2]| {
            let whole = stated
                .clone()?
                .into_view(&[self.directions.len(), rows, columns]);
            let part = whole.into_cast::<3>().narrow(0, i, 1);
            Some(part.reshape([rows, columns]))
        };
        let zeros = |rows: usize, columns: usize| Tensor::<2>::zeros([rows, columns], &device);
        let initial = |stated: &Option<Activation>, i: usize| {
            let axis = usize::from(self.batch_first);
            let part = stated.clone()?.into_cast::<3>().narrow(axis, i, 1);
            Some(part.reshape([batch, hidden]))
        };
        let mut sequences: Vec<Tensor<3>> = Vec::new();
        let mut states: [Vec<Tensor<2>>; 2] = [Vec::new(), Vec::new()];
        for (i, direction) in self.directions.iter().enumerate() {
            let matrix = |stated: &Option<Activation>, columns: usize| {
                let found = way(stated, i, [gates, columns]).map(Tensor::transpose);
                found.unwrap_or_else(|| zeros(columns, gates))
            };
            let biases = way(&bias, i, [1, 2 * gates]).unwrap_or_else(|| zeros(1, 2 * gates));
            let biases = [0, gates].map(|from| biases.clone().narrow(1, from, gates));
            let peepholes = way(&peepholes, i, [1, 3 * hidden]);
            let w = Weights {
                recurrent: matrix(&recurrent, hidden),
                peepholes: peepholes
                    .map(|p| [0, 1, 2].map(|k| p.clone().narrow(1, k * hidden, hidden))),
                biases,
            };
            let rows = x.clone().matmul(matrix(&weight, features)) + w.biases[0].clone();
            let rows = rows.reshape([length, batch, gates]);
            let start = |stated: &Option<Activation>| {
                initial(stated, i).unwrap_or_else(|| zeros(batch, hidden))
            };
            let mut state = (start(&h), start(&c));
            let mut made: Vec<Tensor<2>> = Vec::with_capacity(length);
            for step in 0..length {
                let t = if direction.reversed {
                    length - 1 - step
                } else {
                    step
                };
                let row = rows.clone().narrow(0, t, 1).reshape([batch, gates]);
                let before = state.clone();
                state = self.rule.step(row, state, &w, &direction.functions);
                let mut output = state.0.clone();
                if let Some(over) = self.over(t, &device) {
                    output = output * (over.clone().neg() + 1.0);
                    let keep =
                        |old: Tensor<2>, new: Tensor<2>| new.clone() + (old - new) * over.clone();
                    state = (keep(before.0, state.0), keep(before.1, state.1));
                }
                made.push(output);
            }
            if direction.reversed {
                made.reverse();
            }
            sequences.push(Tensor::stack(made, 0));
            states[0].push(state.0);
            states[1].push(state.1);
        }
        let (way_axis, state_axis) = if self.batch_first { (1, 1) } else { (1, 0) };
        let all: Tensor<4> = Tensor::stack(sequences, way_axis);
        // [L, ways, N, hidden]; with the batch first it is [N, L, ways, hidden].
        let all = if self.batch_first {
            all.permute([2, 0, 1, 3])
        } else {
            all
        };
        let mut made: Vec<Activation> = vec![all.into()];
        made.extend(states.map(|s| Tensor::stack::<3>(s, state_axis).into()));
        made.truncate(outputs.len());
        made
    }

    fn flops(&self, _shapes: &Shapes) -> Option<u64> {
        let [length, batch, features, hidden] = self.sizes;
        let gates = self.rule.cell.gates();
        let sums = numbers(&[self.directions.len(), length, batch, gates * hidden]);
        // The products, two biases, and what the gates do: a function and a product each.
        Some(sums * (2 * (features + hidden) as u64 + 4))
    }
}

impl Unrolled {
    /// 1 for each sequence that is over at step `t`, `[N, 1]`; `None` when none is.
    fn over(&self, t: usize, device: &Device) -> Option<Tensor<2>> {
        let lengths = self
            .lengths
            .as_ref()
            .filter(|l| l.iter().any(|&l| l <= t))?;
        let over = lengths
            .iter()
            .map(|&l| f32::from(u8::from(l <= t)))
            .collect();
        Some(Activation::from_host(over, &[lengths.len(), 1], device).into_cast())
    }
}
