//! Axes resampled one after the other: on tensors, and whole numbers on the host.

use burn::tensor::{Tensor, TensorData};

use crate::activation::{Activation, IntoView};
use crate::host::{ElementType, HostTensor};
use crate::operator::{Kernel, Known, Refused, Shapes, Slots, check_size, numbers};
use crate::ops::gather::index_tensor;
use crate::receptive::{Reach, Span, Windows};

/// One axis: the positions and weights that each output is the sum of.
#[derive(Debug)]
pub(super) struct Along {
    pub(super) axis: usize,
    pub(super) from: usize,
    pub(super) taps: Vec<Vec<(usize, f64)>>,
    /// Which outputs are outside a region of interest.
    pub(super) outside: Vec<bool>,
}

/// Up to this size of an axis, or where more neighbours count than these, all of it is multiplied by a
/// matrix.
const DENSE: usize = 256;

const MOST_TAPS: usize = 8;

impl Along {
    fn is_selection(&self) -> bool {
        let is_one =
            |taps: &Vec<(usize, f64)>| matches!(taps.as_slice(), [(_, weight)] if *weight == 1.0);
        self.taps.iter().all(is_one)
    }

    fn step(&self, extrapolation: f32) -> Result<Step, Refused> {
        let to = self.taps.len();
        let most = self.taps.iter().map(Vec::len).max().unwrap_or(0);
        let sums = if self.is_selection() {
            Sums::Pick(self.taps.iter().map(|taps| taps[0].0).collect())
        } else if self.from <= DENSE || most > MOST_TAPS {
            check_size(&[to, self.from])?;
            let mut matrix = vec![0.0; to * self.from];
            for (row, taps) in matrix.chunks_exact_mut(self.from).zip(&self.taps) {
                for &(at, weight) in taps {
                    row[at] += weight as f32;
                }
            }
            Sums::Matrix(matrix)
        } else {
            let nth = |k: usize| {
                let tap = |taps: &Vec<(usize, f64)>| taps.get(k).copied().unwrap_or((0, 0.0));
                let taps = self.taps.iter().map(tap);
                taps.map(|(at, weight)| (at, weight as f32)).unzip()
            };
            Sums::Taps((0..most).map(nth).collect())
        };
        let outside = self.outside.iter();
        let added = (extrapolation != 0.0 && self.outside.contains(&true)).then(|| {
            outside
                .map(|&outside| if outside { extrapolation } else { 0.0 })
                .collect()
        });
        Ok(Step {
            axis: self.axis,
            from: self.from,
            to,
            sums,
            added,
        })
    }
}

/// First and last row and column that each row and column reads, if nothing else of an image changes.
/// For height and width the span that each index reads; `None` for one that stays as it is.
type AxisSpans = [Option<Vec<Span>>; 2];

fn spans(along: &[Along]) -> Option<AxisSpans> {
    let mut spans = [None, None];
    for a in along {
        let place = a.axis.checked_sub(2).and_then(|i| spans.get_mut(i))?;
        let span = |taps: &Vec<(usize, f64)>| {
            let places = taps.iter().map(|(at, _)| *at);
            places.clone().min().zip(places.max())
        };
        *place = Some(a.taps.iter().map(span).collect());
    }
    Some(spans)
}

#[derive(Debug)]
pub(super) struct Resample {
    steps: Vec<Step>,
    spans: Option<AxisSpans>,
}

/// One axis on a device.
#[derive(Debug)]
struct Step {
    axis: usize,
    from: usize,
    to: usize,
    sums: Sums,
    /// What is added to each output.
    added: Option<Vec<f32>>,
}

#[derive(Debug)]
enum Sums {
    Pick(Vec<usize>),
    /// `[to, from]`.
    Matrix(Vec<f32>),
    /// One position and weight for each output, several times.
    Taps(Vec<(Vec<usize>, Vec<f32>)>),
}

impl Resample {
    /// One axis after the other.
    pub(super) fn new(along: &[Along], extrapolation: f32) -> Result<Self, Refused> {
        let steps = along.iter().map(|a| a.step(extrapolation));
        Ok(Self {
            steps: steps.collect::<Result<_, _>>()?,
            spans: spans(along),
        })
    }
}

impl Kernel for Resample {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let mut x = inputs.take(0);
        let mut shape = x.shape();
        for step in &self.steps {
            let outer: usize = shape[..step.axis].iter().product();
            let inner: usize = shape[step.axis + 1..].iter().product();
            shape[step.axis] = step.to;
            x = step.run(x.into_view(&[outer, step.from, inner])).into();
        }
        vec![x.into_view(&outputs[0].shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // One axis after the other.
        let mut size = shapes.input(0)?.to_vec();
        let mut flops = 0;
        for step in &self.steps {
            *size.get_mut(step.axis)? = step.to;
            let each = match &step.sums {
                Sums::Pick(_) => 0,
                Sums::Matrix(_) => 2 * step.from,
                Sums::Taps(taps) => 2 * taps.len(),
            };
            flops += numbers(&size) * (each + usize::from(step.added.is_some())) as u64;
        }
        Some(flops)
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        let spans = self.spans.as_ref()?;
        reach.mapped(|axis, i| match &spans[axis] {
            None => Some((i, i)),
            Some(spans) => spans.get(i).copied().flatten(),
        })
    }
}

impl Step {
    /// `[outer, from, inner]` to `[outer, to, inner]`.
    fn run(&self, x: Activation) -> Tensor<3> {
        let device = x.device();
        let column = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, self.to, 1]);
            Tensor::<3>::from_data(data, &device)
        };
        let y = match &self.sums {
            Sums::Pick(places) => {
                let places = index_tensor(places, &x);
                x.into_cast::<3>().select(1, places)
            }
            Sums::Matrix(matrix) => {
                let x = x.into_cast::<3>();
                let [outer, from, inner] = x.dims();
                let matrix = TensorData::new(matrix.clone(), [self.to, from]);
                let matrix = Tensor::<2>::from_data(matrix, &device);
                match inner {
                    1 => {
                        let rows = x.reshape([outer, from]).matmul(matrix.transpose());
                        rows.reshape([outer, self.to, 1])
                    }
                    _ => matrix.unsqueeze::<3>().matmul(x),
                }
            }
            Sums::Taps(taps) => {
                let part = |(places, weights): &(Vec<usize>, Vec<f32>)| {
                    let places = index_tensor(places, &x);
                    x.clone().into_cast::<3>().select(1, places) * column(weights)
                };
                let sum = taps.iter().map(part).reduce(|sum, part| sum + part);
                sum.unwrap_or_else(|| {
                    let [outer, _, inner] = x.clone().into_cast::<3>().dims();
                    Tensor::zeros([outer, self.to, inner], &device)
                })
            }
        };
        match &self.added {
            None => y,
            Some(added) => y + column(added),
        }
    }
}

/// Integers and booleans, rounded and kept within what their type holds.
pub(super) fn on_host(
    host: &HostTensor,
    along: &[Along],
    extrapolation: f32,
) -> Result<HostTensor, Refused> {
    let kind = host.element_type();
    if along.iter().all(|a| a.is_selection()) {
        let mut made = host.clone();
        for a in along {
            let places: Vec<usize> = a.taps.iter().map(|taps| taps[0].0).collect();
            made = made.gather(a.axis, &places, &[places.len()])?;
        }
        return Ok(made);
    }
    if kind == ElementType::Bool {
        return Err(Refused::Unsupported(
            "booleans between positions are not supported".to_owned(),
        ));
    }
    let mut shape = host.shape().to_vec();
    let mut values: Vec<f64> = host.ints()?.into_iter().map(|v| v as f64).collect();
    for a in along {
        let inner: usize = shape[a.axis + 1..].iter().product();
        let outer: usize = shape[..a.axis].iter().product();
        let mut next = Vec::with_capacity(outer * a.taps.len() * inner);
        for o in 0..outer {
            for (taps, &outside) in a.taps.iter().zip(&a.outside) {
                next.extend((0..inner).map(|k| {
                    match outside {
                        true => f64::from(extrapolation),
                        false => taps
                            .iter()
                            .map(|(at, weight)| weight * values[(o * a.from + at) * inner + k])
                            .sum(),
                    }
                }));
            }
        }
        shape[a.axis] = a.taps.len();
        values = next;
    }
    let (low, high) = kind.range();
    let whole = |v: f64| (v.round_ties_even() as i64).clamp(low, high);
    let values = values.into_iter().map(whole).collect();
    Ok(HostTensor::of_ints(kind, &shape, values)?)
}
