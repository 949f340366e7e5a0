//! Gradients of the cases against central differences.

use burn::tensor::Tensor;
use elucid_graph::{Activation, BoundGraph, ElementType, HostTensor};

use super::{Pack, Row, numbers, on, open};
use crate::noise;

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
pub(super) fn gradient(pack: &Pack, row: &Row) -> Result<(), String> {
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
