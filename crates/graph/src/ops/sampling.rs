//! Numbers between the positions of a tensor: what several operators share.

use burn::tensor::{Int, Tensor};

/// How a number between positions follows from its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interpolation {
    Nearest,
    Linear,
    /// Keys' cubic convolution with `a = -0.75`.
    Cubic,
}

/// What lies outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    Zeros,
    Border,
    /// The inside mirrored at the centres of the outermost positions, or at their edges.
    Reflection {
        at_centres: bool,
    },
}

/// A neighbour along one axis: its place and its weight.
type Tap = (Tensor<2, Int>, Tensor<2>);

/// The numbers of `x`, `[B, C, positions of size]`, at coordinates `[B, P]` for each axis, in positions:
/// `[B, C, P]`. Differentiable in both.
pub(super) fn sampled(
    x: Tensor<3>,
    size: &[usize],
    coordinates: Vec<Tensor<2>>,
    interpolation: Interpolation,
    outside: Outside,
) -> Tensor<3> {
    let mut combined: Vec<Tap> = Vec::new();
    for (coordinate, &size) in coordinates.into_iter().zip(size) {
        let taps = taps(coordinate, size, interpolation, outside);
        combined = match combined.is_empty() {
            true => taps,
            false => combined
                .iter()
                .flat_map(|(place, weight)| {
                    let step = place.clone().mul_scalar(size as i64);
                    taps.iter()
                        .map(move |(p, w)| (step.clone() + p.clone(), weight.clone() * w.clone()))
                })
                .collect(),
        };
    }
    let [images, channels, _] = x.dims();
    let mut sum: Option<Tensor<3>> = None;
    for (place, weight) in combined {
        let [_, positions] = place.dims();
        let place = place
            .reshape([images, 1, positions])
            .expand([images, channels, positions]);
        let part = x.clone().gather(2, place) * weight.reshape([images, 1, positions]);
        sum = Some(match sum {
            None => part,
            Some(sum) => sum + part,
        });
    }
    sum.unwrap_or(x)
}

fn taps(
    coordinate: Tensor<2>,
    size: usize,
    interpolation: Interpolation,
    outside: Outside,
) -> Vec<Tap> {
    let coordinate = match interpolation {
        Interpolation::Nearest => coordinate.without_autodiff().round(),
        _ => coordinate,
    };
    let coordinate = brought_inside(coordinate, size, outside);
    let plain = coordinate.clone().without_autodiff();
    let (first, weights) = match interpolation {
        Interpolation::Nearest => {
            let ones = plain.ones_like();
            (plain, vec![ones])
        }
        Interpolation::Linear => {
            let first = plain.floor();
            let t = coordinate - first.clone();
            (first, vec![-t.clone() + 1.0, t])
        }
        Interpolation::Cubic => {
            let floor = plain.floor();
            let t = coordinate - floor.clone();
            let weights = vec![
                beyond(t.clone() + 1.0),
                between(t.clone()),
                between(-t.clone() + 1.0),
                beyond(-t + 2.0),
            ];
            (floor - 1.0, weights)
        }
    };
    let last = (size - 1) as f32;
    let tap = |(i, weight): (usize, Tensor<2>)| {
        let place = first.clone() + i as f32;
        let weight = match outside {
            Outside::Zeros => {
                let below = place.clone().lower_scalar(0.0);
                let above = place.clone().greater_scalar(last);
                weight.mask_fill(below.bool_or(above), 0.0)
            }
            _ => weight,
        };
        let place = match outside {
            Outside::Reflection { .. } => brought_inside(place, size, outside),
            _ => place,
        };
        (place.clamp(0.0, last).int(), weight)
    };
    weights.into_iter().enumerate().map(tap).collect()
}

/// Keys' kernel at distances up to 1.
fn between(t: Tensor<2>) -> Tensor<2> {
    const A: f32 = -0.75;
    (t.clone() * (A + 2.0) - (A + 3.0)) * t.clone() * t + 1.0
}

/// Keys' kernel at distances from 1 to 2.
fn beyond(t: Tensor<2>) -> Tensor<2> {
    const A: f32 = -0.75;
    ((t.clone() * A - 5.0 * A) * t.clone() + 8.0 * A) * t - 4.0 * A
}

/// Coordinates outside as those that mirror them.
fn brought_inside(coordinate: Tensor<2>, size: usize, outside: Outside) -> Tensor<2> {
    match outside {
        // Places are kept within the border one by one.
        Outside::Zeros | Outside::Border => coordinate,
        Outside::Reflection { at_centres } => {
            let edge = if at_centres { 0.0 } else { 0.5 };
            let (low, high) = (-edge, (size - 1) as f32 + edge);
            let plain = coordinate.clone().without_autodiff();
            let span = high - low;
            if span <= 0.0 {
                return coordinate.zeros_like();
            }
            // Every other stretch runs backwards.
            let stretch = ((plain.clone() - low) / span).floor();
            let odd = (stretch.clone() - (stretch.clone() / 2.0).floor() * 2.0).greater_scalar(0.5);
            let within = coordinate.clone() - (stretch * span + low);
            let forwards = within.clone() + low;
            let backwards = -within + high;
            let mirrored = forwards.mask_where(odd, backwards);
            let below = plain.clone().lower_scalar(low);
            let beyond = below.bool_or(plain.greater_scalar(high));
            coordinate.mask_where(beyond, mirrored)
        }
    }
}
