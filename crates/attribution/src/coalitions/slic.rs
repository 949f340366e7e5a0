//! SLIC: see [`superpixels`](super::superpixels).

use std::collections::BTreeSet;

use elucid_vision::InputSpec;
use elucid_vision::input::ChannelOrder;
use ndarray::{Array2, ArrayView3};

use crate::neighbours::around;

/// How often pixels are handed to centres, as in the paper.
const ROUNDS: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slic {
    pub segments: usize,
    pub compactness: f64,
}

struct Centre {
    colour: Vec<f64>,
    at: [f64; 2],
}

impl Slic {
    /// The segment of each pixel, `[H, W]`, from their `colours` `[H W, C]`.
    pub fn labels(&self, colours: &Array2<f64>, [height, width]: [usize; 2]) -> Array2<usize> {
        let rows = (self.segments as f64 * height as f64 / width as f64).sqrt();
        let rows = (rows.round() as usize).clamp(1, height);
        let columns = (self.segments as f64 / rows as f64).round() as usize;
        let columns = columns.clamp(1, width);
        let spacing = ((height * width) as f64 / (rows * columns) as f64).sqrt();

        let mut labels = Array2::from_shape_fn((height, width), |(y, x)| {
            (y * rows / height) * columns + x * columns / width
        });
        let mut centres: Vec<Centre> = (0..rows * columns)
            .map(|cell| {
                let middle = |i: usize, count: usize, size: usize| {
                    ((2 * i + 1) * size / (2 * count)).min(size - 1)
                };
                let at = [
                    middle(cell / columns, rows, height),
                    middle(cell % columns, columns, width),
                ];
                let [y, x] = flattest(colours, at, [height, width]);
                Centre {
                    colour: colours.row(y * width + x).to_vec(),
                    at: [y as f64, x as f64],
                }
            })
            .collect();
        for _ in 0..ROUNDS {
            self.assign(&mut labels, &centres, colours, spacing);
            recentre(&mut centres, &labels, colours);
        }
        connected(&labels, colours, spacing * spacing / 4.0)
    }

    /// Hands each pixel to the nearest of the centres around it. Pixels out of reach of all stay
    /// where they are.
    fn assign(
        &self,
        labels: &mut Array2<usize>,
        centres: &[Centre],
        colours: &Array2<f64>,
        spacing: f64,
    ) {
        let (height, width) = labels.dim();
        let weight = (self.compactness / spacing).powi(2);
        let mut nearest = Array2::from_elem((height, width), f64::INFINITY);
        let reach = |at: f64, size: usize| {
            let from = (at - spacing).ceil().max(0.0) as usize;
            let to = ((at + spacing).floor().max(0.0) as usize + 1).min(size);
            from..to
        };
        for (label, centre) in centres.iter().enumerate() {
            for y in reach(centre.at[0], height) {
                for x in reach(centre.at[1], width) {
                    let away =
                        (y as f64 - centre.at[0]).powi(2) + (x as f64 - centre.at[1]).powi(2);
                    let colour = colours.row(y * width + x);
                    let differences = colour.iter().zip(&centre.colour);
                    let of_colour: f64 = differences.map(|(a, b)| (a - b).powi(2)).sum();
                    let distance = of_colour + weight * away;
                    if distance < nearest[[y, x]] {
                        nearest[[y, x]] = distance;
                        labels[[y, x]] = label;
                    }
                }
            }
        }
    }
}

/// Moves centres to the means of their pixels; those without any stay.
fn recentre(centres: &mut [Centre], labels: &Array2<usize>, colours: &Array2<f64>) {
    let channels = colours.ncols();
    let mut sums = vec![(0.0, [0.0; 2], vec![0.0; channels]); centres.len()];
    for (((y, x), &label), colour) in labels.indexed_iter().zip(colours.rows()) {
        let (count, at, sum) = &mut sums[label];
        *count += 1.0;
        at[0] += y as f64;
        at[1] += x as f64;
        for (sum, value) in sum.iter_mut().zip(colour) {
            *sum += value;
        }
    }
    for (centre, (count, at, sum)) in centres.iter_mut().zip(sums) {
        if count > 0.0 {
            centre.at = at.map(|v| v / count);
            centre.colour = sum.into_iter().map(|v| v / count).collect();
        }
    }
}

/// Of the 3 x 3 pixels around one, that where colours change least: a centre should not begin on an
/// edge.
fn flattest(colours: &Array2<f64>, [y, x]: [usize; 2], [height, width]: [usize; 2]) -> [usize; 2] {
    let change = |a: [usize; 2], b: [usize; 2]| -> f64 {
        let (a, b) = (
            colours.row(a[0] * width + a[1]),
            colours.row(b[0] * width + b[1]),
        );
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let gradient = |y: usize, x: usize| {
        let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
        let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
        change([above, x], [below, x]) + change([y, left], [y, right])
    };
    let mut best = ([y, x], gradient(y, x));
    for v in y.saturating_sub(1)..=(y + 1).min(height - 1) {
        for u in x.saturating_sub(1)..=(x + 1).min(width - 1) {
            let gradient = gradient(v, u);
            if gradient < best.1 {
                best = ([v, u], gradient);
            }
        }
    }
    best.0
}

/// A set of pixels that hang together.
struct Part {
    size: f64,
    colour: Vec<f64>,
    neighbours: BTreeSet<usize>,
}

/// Labels whose pixels hang together by their sides, numbered as they are met row by row: parts of
/// fewer than `least` pixels join the neighbour of the nearest mean colour, the smallest first.
fn connected(labels: &Array2<usize>, colours: &Array2<f64>, least: f64) -> Array2<usize> {
    let (mut part_of, mut parts) = parts(labels, colours);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| parts[a].size.total_cmp(&parts[b].size));
    // Where a part went; itself as long as it stands.
    let mut home: Vec<usize> = (0..parts.len()).collect();
    for part in order {
        // It may have grown by others since.
        if home[part] != part || parts[part].size >= least {
            continue;
        }
        let distance = |other: usize| -> f64 {
            let colours = parts[part].colour.iter().zip(&parts[other].colour);
            let (here, there) = (parts[part].size, parts[other].size);
            colours.map(|(a, b)| (a / here - b / there).powi(2)).sum()
        };
        let neighbours = parts[part].neighbours.iter().copied();
        let Some(into) = neighbours.min_by(|&a, &b| distance(a).total_cmp(&distance(b))) else {
            continue;
        };
        home[part] = into;
        let moved = std::mem::take(&mut parts[part].neighbours);
        for &other in &moved {
            parts[other].neighbours.remove(&part);
            if other != into {
                parts[other].neighbours.insert(into);
                parts[into].neighbours.insert(other);
            }
        }
        let (size, colour) = (parts[part].size, std::mem::take(&mut parts[part].colour));
        parts[into].size += size;
        for (sum, value) in parts[into].colour.iter_mut().zip(colour) {
            *sum += value;
        }
    }
    let mut numbers = vec![None; parts.len()];
    let mut count = 0;
    part_of.mapv_inplace(|mut part| {
        while home[part] != part {
            part = home[part];
        }
        *numbers[part].get_or_insert_with(|| {
            count += 1;
            count - 1
        })
    });
    part_of
}

/// The parts that labels fall into, and the part of each pixel. Colours are sums.
fn parts(labels: &Array2<usize>, colours: &Array2<f64>) -> (Array2<usize>, Vec<Part>) {
    let (height, width) = labels.dim();
    let mut part_of = Array2::from_elem((height, width), usize::MAX);
    let mut parts: Vec<Part> = Vec::new();
    for ((y, x), &label) in labels.indexed_iter() {
        if part_of[[y, x]] != usize::MAX {
            continue;
        }
        let number = parts.len();
        let mut part = Part {
            size: 0.0,
            colour: vec![0.0; colours.ncols()],
            neighbours: BTreeSet::new(),
        };
        part_of[[y, x]] = number;
        let mut open = vec![[y, x]];
        while let Some([y, x]) = open.pop() {
            part.size += 1.0;
            for (sum, value) in part.colour.iter_mut().zip(colours.row(y * width + x)) {
                *sum += value;
            }
            for side in around([y, x]) {
                if labels.get(side) == Some(&label) && part_of[side] == usize::MAX {
                    part_of[side] = number;
                    open.push(side);
                }
            }
        }
        parts.push(part);
    }
    for y in 0..height {
        for x in 0..width {
            let here = part_of[[y, x]];
            for side in [[y + 1, x], [y, x + 1]] {
                if let Some(&there) = part_of.get(side)
                    && there != here
                {
                    parts[here].neighbours.insert(there);
                    parts[there].neighbours.insert(here);
                }
            }
        }
    }
    (part_of, parts)
}

/// Colours of the pixels of an image `[C, H, W]`, one row each: CIELAB for three channels.
pub(crate) fn colours(image: ArrayView3<'_, f32>, spec: Option<&InputSpec>) -> Array2<f64> {
    let (channels, height, width) = image.dim();
    let mut of_pixels = pixels(image, spec);
    if channels == 3 {
        let is_bgr = spec.is_some_and(|spec| spec.order() == ChannelOrder::Bgr);
        for pixel in of_pixels.chunks_exact_mut(3) {
            if is_bgr {
                pixel.swap(0, 2);
            }
            pixel.copy_from_slice(&lab([pixel[0], pixel[1], pixel[2]]));
        }
    } else {
        of_pixels.iter_mut().for_each(|v| *v *= 100.0);
    }
    Array2::from_shape_fn((height * width, channels), |(pixel, c)| {
        of_pixels[pixel * channels + c]
    })
}

/// The pixels of an image `[C, H, W]` from 0 for black to 1 for white, one after the other with all
/// channels, as the preparation of the model's pictures had them; stretched to 0..1 where that gives no
/// picture.
pub(crate) fn pixels(image: ArrayView3<'_, f32>, spec: Option<&InputSpec>) -> Vec<f64> {
    let (channels, height, width) = image.dim();
    let values = |of: &dyn Fn(usize, f32) -> f64| {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let rows = pixels.flat_map(|(y, x)| (0..channels).map(move |c| (c, y, x)));
        rows.map(|(c, y, x)| of(c, image[[c, y, x]]))
            .collect::<Vec<f64>>()
    };
    let spec = spec.filter(|spec| channels == 3 && spec.channels() == channels);
    if let Some(spec) = spec {
        let restored = |c: usize, v: f32| {
            let value = f64::from(v) * f64::from(spec.std()[c]) + f64::from(spec.mean()[c]);
            value / f64::from(spec.scale()) / f64::from(spec.white())
        };
        let restored = values(&restored);
        // Half a grey level for what rounding does.
        let is_picture = |v: &f64| (-0.002..=1.002).contains(v);
        if restored.iter().all(is_picture) {
            return restored;
        }
    }
    let range = image
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
    let (low, high) = (f64::from(range.0), f64::from(range.1));
    values(&|_, v| match high > low {
        true => (f64::from(v) - low) / (high - low),
        false => 0.0,
    })
}

/// CIELAB under D65 of a colour of sRGB, 0..=1.
fn lab(rgb: [f64; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(|v| match v.clamp(0.0, 1.0) {
        v if v <= 0.04045 => v / 12.92,
        v => ((v + 0.055) / 1.055).powf(2.4),
    });
    let xyz = [
        (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047,
        0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
        (0.0193339 * r + 0.119_192 * g + 0.9503041 * b) / 1.08883,
    ];
    let [x, y, z] = xyz.map(|v| match v > (6.0_f64 / 29.0).powi(3) {
        true => v.cbrt(),
        false => v / (3.0 * (6.0_f64 / 29.0).powi(2)) + 4.0 / 29.0,
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_the_standard() {
        // Lindbloom's calculator, sRGB under D65.
        for (rgb, want) in [
            ([1.0, 1.0, 1.0], [100.0, 0.0, 0.0]),
            ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
            ([1.0, 0.0, 0.0], [53.2408, 80.0925, 67.2032]),
            ([0.0, 0.0, 1.0], [32.2970, 79.1875, -107.8602]),
        ] {
            for (got, want) in lab(rgb).into_iter().zip(want) {
                assert!((got - want).abs() < 1e-2, "{rgb:?}: {got} {want}");
            }
        }
    }
}
