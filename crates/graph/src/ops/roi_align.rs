//! `RoiAlign`: regions of an image batch, each sampled to one size.
//!
//! Each bin of a region is sampled at a grid of points between pixels: an average of what bilinear
//! interpolation finds there, or the largest of the four weighted pixels around any of them, which is
//! what ONNX means by `max`. Which pixels count is decided on the host; the result is differentiable in
//! the images, and in the regions as far as these move the points between the pixels.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, };

use super::gather::{indices_of, selected};
use crate::activation::{Activation, IntoView};
use crate::message::few;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, check_host_size, check_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("RoiAlign", 10, |a| {
    // Before opset 16 there was no choice.
    let default = match a.opset() < 16 {
        true => "output_half_pixel",
        false => "half_pixel",
    };
    let half_pixel = match a.text_or("coordinate_transformation_mode", default) {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => {
            return Err(format!(
                "coordinate_transformation_mode \"{other}\" is not known"
            ));
        }
    };
    let largest = match a.text_or("mode", "avg") {
        "avg" => false,
        "max" => true,
        other => return Err(format!("mode \"{other}\" is not known")),
    };
    let size = |name| {
        let size = usize::try_from(a.int_or(name, 1))
            .ok()
            .filter(|&size| size > 0);
        size.ok_or_else(|| format!("attribute {name} must be at least 1"))
    };
    Ok(Arc::new(RoiAlign {
        half_pixel,
        largest,
        height: size("output_height")?,
        width: size("output_width")?,
        samples: usize::try_from(a.int_or("sampling_ratio", 0)).unwrap_or(0),
        scale: a.float_or("spatial_scale", 1.0),
    }))
})];

#[derive(Debug)]
struct RoiAlign {
    half_pixel: bool,
    largest: bool,
    height: usize,
    width: usize,
    /// Points along each side of a bin; 0 for as many as it has pixels.
    samples: usize,
    scale: f32,
}

impl Operator for RoiAlign {
    facts!(kind: "RoiAlign");

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match (self.largest, constant) {
            (true, _) => Algebra::Maximum,
            (false, [_, true, true]) => Algebra::Linear,
            _ => Algebra::Other,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.floats(0)?;
        let [images, channels, height, width] = inputs.image()?;
        let (regions, owners) = (&inputs.floats(1)?.shape, &inputs.input(2)?.shape);
        let count = owners.first().copied().unwrap_or(0);
        if owners.len() != 1 || *regions != [count, 4] {
            let (regions, owners) = (few(regions), few(owners));
            return Err(
                format!("regions {regions} of images {owners}, expected [R, 4], [R]").into(),
            );
        }
        let shape = vec![count, channels, self.height, self.width];
        if let Some(empty) = Known::empty(&shape, x.kind) {
            return Ok(Resolved {
                kernel: None,
                outputs: vec![empty],
            });
        }
        let owners = indices_of(&inputs.ints(2, "which image a region is of")?, images)?;
        let regions = inputs.value(1, "the regions")?.floats();
        let regions: Vec<Region> = regions.chunks_exact(4).map(|r| self.region(r)).collect();
        let most = regions
            .iter()
            .map(|r| r.points[0].saturating_mul(r.points[1]))
            .max();
        let most = most.unwrap_or(0).max(1);
        // As many pixels are looked at.
        let bins = [count, self.height, self.width, most, 4];
        check_host_size(&bins)?;
        check_size(&[bins.as_slice(), &[channels]].concat())?;
        let mut sampled = Sampled {
            places: Vec::new(),
            weights: Vec::new(),
            slopes: inputs.input(1)?.settled().is_none().then(Slopes::default),
            per_bin: most * 4,
            largest: self.largest,
        };
        for (row, (region, owner)) in regions.iter().zip(owners).enumerate() {
            for bin in 0..self.height * self.width {
                let bin = [bin / self.width, bin % self.width];
                sampled.add(row, region, bin, owner * height * width, [height, width]);
            }
        }
        Ok(Resolved::typed(sampled, shape, x.kind))
    }
}

/// Where a region starts, the size of its bins and the points in each, along both axes.
struct Region {
    start: [f32; 2],
    bin: [f32; 2],
    points: [usize; 2],
    /// What a coordinate is multiplied with, and along which axes the size follows from two of them.
    scale: f32,
    follows: [bool; 2],
    bins: [usize; 2],
}

impl RoiAlign {
    /// Of `[x1, y1, x2, y2]`.
    fn region(&self, r: &[f32]) -> Region {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let at = |v: f32| v * self.scale - offset;
        let start = [at(r[1]), at(r[0])];
        let mut size = [at(r[3]) - start[0], at(r[2]) - start[1]];
        let follows = size.map(|side| self.half_pixel || side > 1.0);
        if !self.half_pixel {
            size = size.map(|side| side.max(1.0));
        }
        let bin = [size[0] / self.height as f32, size[1] / self.width as f32];
        let points = match self.samples {
            // Too large ones saturate, and are refused.
            0 => bin.map(|side| side.ceil() as usize),
            samples => [samples; 2],
        };
        Region {
            start,
            bin,
            points,
            scale: self.scale,
            follows,
            bins: [self.height, self.width],
        }
    }
}

/// For each bin of each region the places and weights of pixels.
#[derive(Debug)]
struct Sampled {
    /// Among all pixels of all images.
    places: Vec<usize>,
    weights: Vec<f32>,
    /// How the weights change with the regions, unless these are fixed.
    slopes: Option<Slopes>,
    per_bin: usize,
    largest: bool,
}

/// For each weight the region and the derivatives by its `x1`, `y1`, `x2` and `y2`.
#[derive(Debug, Default)]
struct Slopes {
    region: Vec<usize>,
    by: Vec<[f32; 4]>,
}

impl Sampled {
    fn add(
        &mut self,
        row: usize,
        region: &Region,
        bin: [usize; 2],
        image: usize,
        size: [usize; 2],
    ) {
        let first = self.places.len();
        let [rows, columns] = region.points;
        let share = match self.largest {
            true => 1.0,
            false => 1.0 / (rows * columns).max(1) as f32,
        };
        for point in 0..rows * columns {
            let point = [point / columns, point % columns];
            // In bins from the start.
            let along = |axis: usize| {
                let step = (point[axis] as f32 + 0.5) / region.points[axis] as f32;
                bin[axis] as f32 + step
            };
            let found = |axis: usize| {
                let at = region.start[axis] + along(axis) * region.bin[axis];
                neighbours(at, size[axis])
            };
            let (Some(ys), Some(xs)) = (found(0), found(1)) else {
                // A point outside counts as 0.
                for _ in 0..4 {
                    self.push(row, image, 0.0, [0.0; 4]);
                }
                continue;
            };
            // By the first and the second coordinate of the region.
            let slopes = |axis: usize| {
                let part = match region.follows[axis] {
                    true => along(axis) / region.bins[axis] as f32,
                    false => 0.0,
                };
                [(1.0 - part) * region.scale, part * region.scale]
            };
            let (of_y, of_x) = (slopes(0), slopes(1));
            for y in ys {
                for x in xs {
                    let (at_y, at_x) = (share * x.weight * y.slope, share * y.weight * x.slope);
                    let by = [
                        of_x[0] * at_x,
                        of_y[0] * at_y,
                        of_x[1] * at_x,
                        of_y[1] * at_y,
                    ];
                    let place = image + y.place * size[1] + x.place;
                    self.push(row, place, share * y.weight * x.weight, by);
                }
            }
        }
        // Bins with fewer points are filled up: with nothing, or with a pixel that is there.
        let (place, weight) = match (self.largest, self.places.get(first)) {
            (true, Some(&place)) => (place, self.weights[first]),
            _ => (image, 0.0),
        };
        while self.places.len() < first + self.per_bin {
            self.push(row, place, weight, [0.0; 4]);
        }
    }

    fn push(&mut self, row: usize, place: usize, weight: f32, by: [f32; 4]) {
        self.places.push(place);
        self.weights.push(weight);
        if let Some(slopes) = &mut self.slopes {
            slopes.region.push(row);
            slopes.by.push(by);
        }
    }
}

/// A pixel beside a point, along one axis.
#[derive(Debug, Clone, Copy)]
struct Neighbour {
    place: usize,
    weight: f32,
    /// How the weight changes as the point moves.
    slope: f32,
}

/// The pixels before and behind a point along an axis.
fn neighbours(at: f32, size: usize) -> Option<[Neighbour; 2]> {
    if !(at >= -1.0 && at <= size as f32) {
        return None;
    }
    let inside = at.max(0.0);
    let low = (inside as usize).min(size - 1);
    let neighbour = |place, weight, slope| Neighbour {
        place,
        weight,
        slope,
    };
    if low == size - 1 {
        return Some([neighbour(low, 1.0, 0.0), neighbour(low, 0.0, 0.0)]);
    }
    let part = inside - low as f32;
    let slope = if at > 0.0 { 1.0 } else { 0.0 };
    Some([
        neighbour(low, 1.0 - part, -slope),
        neighbour(low + 1, part, slope),
    ])
}

/// How many numbers are gathered at a time.
const CHUNK: usize = 1 << 24;

impl Kernel for Sampled {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).into_cast::<4>();
        let [images, channels, height, width] = x.dims();
        let pixels = x
            .permute([0, 2, 3, 1])
            .reshape([images * height * width, channels]);
        let pixels = Activation::from(pixels);
        let regions = inputs.take(1);
        let per_bin = self.per_bin;
        let chunk = (CHUNK / (per_bin * channels)).max(1) * per_bin;
        let parts = (0..self.places.len()).step_by(chunk).map(|start| {
            let range = start..(start + chunk).min(self.places.len());
            let count = range.len() / per_bin;
            let found = selected(pixels.clone(), 0, &self.places[range.clone()]);
            let found = found
                .into_view(&[count, per_bin, channels])
                .into_cast::<3>();
            let weights = self.weights(range, &regions);
            let found = found * weights.into_view(&[count, per_bin, 1]).into_cast::<3>();
            match self.largest {
                true => found.max_dim(1),
                false => found.sum_dim(1),
            }
        });
        let made = Tensor::cat(parts.collect(), 0);
        let shape = &outputs[0].shape;
        let made = made.reshape([shape[0], shape[2], shape[3], channels]);
        vec![made.permute([0, 3, 1, 2]).into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let rows = shapes.input(0)?.get(1).copied()? as u64;
        Some(2 * self.places.len() as u64 * rows)
    }
}

impl Sampled {
    /// The weights of some places. Their values are those found on the host; regions that are tracked
    /// add their derivatives.
    fn weights(&self, range: std::ops::Range<usize>, regions: &Activation) -> Activation {
        let device = regions.device();
        let count = range.len();
        let fixed = Activation::from_host(self.weights[range.clone()].to_vec(), &[count], &device);
        let tracked = regions.clone().into_cast::<2>();
        let Some(slopes) = self.slopes.as_ref().filter(|_| tracked.is_tracked()) else {
            return fixed;
        };
        let by = slopes.by[range.clone()].as_flattened().to_vec();
        let by = Activation::from_host(by, &[count, 4], &device).into_cast::<2>();
        // 0, with a derivative of 1.
        let moves = tracked.clone() - tracked.without_autodiff();
        let moves = selected(moves.into(), 0, &slopes.region[range]).into_cast::<2>();
        let change = Activation::from((moves * by).sum_dim(1)).into_view(&[count]);
        (fixed.untyped() + change.untyped()).into()
    }
}
