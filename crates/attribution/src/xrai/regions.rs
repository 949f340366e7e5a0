//! Segments of several sizes, and regions that grow by them.

use elucid_graph::Activation;
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Ix4};

use super::XraiMap;
use crate::coalitions::{Felzenszwalb, pixels};
use crate::error::AttributionError;
use crate::saliency::resize;
use crate::work::Context;

/// Scales of the segments: a difference of colours from -1 to 1 times a number of pixels, over 255.
pub(super) const SCALES: [f64; 6] = [50.0, 100.0, 150.0, 250.0, 500.0, 1200.0];

/// Side of the picture that is cut into segments.
const SIDE: usize = 224;

/// How far segments are widened, in pixels of such a picture.
const WIDENED: f64 = 5.0;

/// The fewest pixels of such a picture that a segment adds.
const FEWEST: f64 = 50.0;

/// How much larger an image is than the picture that lengths are stated for.
fn stretch([height, width]: [usize; 2]) -> f64 {
    ((height * width) as f64).sqrt() / SIDE as f64
}

/// The segments of all sizes of one image, each as the numbers of its pixels, row by row.
pub(super) fn segments(
    work: &Context<'_>,
    image: usize,
) -> Result<Vec<Vec<u32>>, AttributionError> {
    let array = Activation::from(work.rows(&[image])).to_array()?;
    let got = array.shape().to_vec();
    let array = array.into_dimensionality::<Ix4>();
    let array = array.map_err(|_| AttributionError::NotSpatial {
        layer: work.layer.clone(),
        shape: got,
    })?;
    let array: ArrayView3<'_, f32> = array.index_axis(Axis(0), 0);
    let (channels, height, width) = array.dim();
    let colours = pixels(array, work.network.input_spec());
    let mut picture = Array3::zeros((channels, SIDE, SIDE));
    for (c, mut small) in picture.outer_iter_mut().enumerate() {
        let at = |(y, x): (usize, usize)| colours[(y * width + x) * channels + c] as f32;
        let channel = Array2::from_shape_fn((height, width), at);
        small.assign(&resize(channel.view(), SIDE, SIDE));
    }
    let radius = (WIDENED * stretch([height, width])).round() as usize;
    let mut all = Vec::new();
    for scale in SCALES {
        let cut = Felzenszwalb {
            // Colours are from 0 to 1 here, half as far apart.
            scale: scale / 255.0 / 2.0,
            sigma: 0.8,
            least: 150,
        };
        let small = cut.labels(&picture);
        let labels = Array2::from_shape_fn((height, width), |(y, x)| {
            small[[y * SIDE / height, x * SIDE / width]]
        });
        all.extend(widened(labels.view(), radius));
    }
    Ok(all)
}

/// The pixels of each segment and those no further away than `radius`.
fn widened(labels: ArrayView2<'_, usize>, radius: usize) -> Vec<Vec<u32>> {
    let (height, width) = labels.dim();
    let count = labels.iter().max().map_or(0, |most| most + 1);
    let mut segments: Vec<Vec<u32>> = vec![Vec::new(); count];
    for ((y, x), &label) in labels.indexed_iter() {
        segments[label].push((y * width + x) as u32);
    }
    let is_edge = |y: usize, x: usize| {
        let sides = [
            (y.wrapping_sub(1), x),
            (y + 1, x),
            (y, x.wrapping_sub(1)),
            (y, x + 1),
        ];
        let others = sides.iter().filter_map(|side| labels.get(*side));
        others.into_iter().any(|other| *other != labels[[y, x]])
    };
    // The segment that has met a pixel last.
    let mut met = vec![usize::MAX; height * width];
    for (label, segment) in segments.iter_mut().enumerate() {
        segment
            .iter()
            .for_each(|&pixel| met[pixel as usize] = label);
        for i in 0..segment.len() {
            let (y, x) = (segment[i] as usize / width, segment[i] as usize % width);
            if !is_edge(y, x) {
                continue;
            }
            for v in y.saturating_sub(radius)..(y + radius + 1).min(height) {
                for u in x.saturating_sub(radius)..(x + radius + 1).min(width) {
                    let (down, right) = (v.abs_diff(y), u.abs_diff(x));
                    let pixel = v * width + u;
                    if down * down + right * right <= radius * radius && met[pixel] != label {
                        met[pixel] = label;
                        segment.push(pixel as u32);
                    }
                }
            }
        }
        segment.sort_unstable();
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

/// The map of pixels' attributions `[H, W]`, by segments that are added one after the other.
pub(super) fn grown(
    attribution: ArrayView2<'_, f32>,
    segments: Vec<Vec<u32>>,
    value: XraiMap,
) -> Array2<f32> {
    let (height, width) = attribution.dim();
    let count = height * width;
    if attribution.iter().all(|&v| v == 0.0) {
        return Array2::zeros((height, width));
    }
    let of: Vec<f64> = attribution.iter().map(|&v| f64::from(v)).collect();
    let fewest = (FEWEST * stretch([height, width]).powi(2)).max(1.0);
    // The segments that each pixel is in, one after the other.
    let mut starts = vec![0_usize; count + 1];
    for &pixel in segments.iter().flatten() {
        starts[pixel as usize + 1] += 1;
    }
    for pixel in 0..count {
        starts[pixel + 1] += starts[pixel];
    }
    let mut next = starts.clone();
    let mut having = vec![0_u32; starts[count]];
    for (number, segment) in segments.iter().enumerate() {
        for &pixel in segment {
            having[next[pixel as usize]] = number as u32;
            next[pixel as usize] += 1;
        }
    }
    // Number and sum of the pixels of each segment that are not covered.
    let mut left: Vec<(usize, f64)> = segments
        .iter()
        .map(|segment| {
            let sum = segment.iter().map(|&pixel| of[pixel as usize]).sum();
            (segment.len(), sum)
        })
        .collect();
    let mut map = Array2::zeros((height, width));
    let mut covered = vec![false; count];
    let mut done = 0;
    let add = |pixels: &[usize], done: usize, map: &mut Array2<f32>| {
        let gain: f64 = pixels.iter().map(|&pixel| of[pixel]).sum();
        let number = match value {
            XraiMap::Order => 1.0 - done as f64 / count as f64,
            XraiMap::Gain => gain / pixels.len() as f64,
        };
        for &pixel in pixels {
            map[[pixel / width, pixel % width]] = number as f32;
        }
    };
    loop {
        let open = left.iter().enumerate();
        let open = open.filter(|(_, (pixels, _))| *pixels as f64 >= fewest);
        let gain = |&(_, (pixels, sum)): &(usize, &(usize, f64))| sum / *pixels as f64;
        // Of equals the first.
        let best = open.reduce(|a, b| if gain(&b) > gain(&a) { b } else { a });
        let Some((best, _)) = best else { break };
        let segment = segments[best].iter().map(|&pixel| pixel as usize);
        let new: Vec<usize> = segment.filter(|&pixel| !covered[pixel]).collect();
        add(&new, done, &mut map);
        done += new.len();
        for pixel in new {
            covered[pixel] = true;
            for &other in &having[starts[pixel]..starts[pixel + 1]] {
                let (pixels, sum) = &mut left[other as usize];
                *pixels -= 1;
                *sum -= of[pixel];
            }
        }
    }
    let rest: Vec<usize> = (0..count).filter(|&pixel| !covered[pixel]).collect();
    if !rest.is_empty() {
        add(&rest, done, &mut map);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    /// Means of what is left, all over again at each step, as sets of pixels.
    fn naive(
        attribution: ArrayView2<'_, f32>,
        segments: &[Vec<u32>],
        value: XraiMap,
    ) -> Array2<f32> {
        let (h, w) = attribution.dim();
        let at = |pixel: u32| f64::from(attribution[[pixel as usize / w, pixel as usize % w]]);
        let mean =
            |pixels: &[u32]| pixels.iter().map(|&p| at(p)).sum::<f64>() / pixels.len() as f64;
        let fewest = 50.0 * (h * w) as f64 / (224.0 * 224.0);
        let mut covered: Vec<u32> = Vec::new();
        let mut map = Array2::zeros((h, w));
        loop {
            let left: Vec<Vec<u32>> = segments
                .iter()
                .map(|s| s.iter().copied().filter(|p| !covered.contains(p)).collect())
                .collect();
            let open = left
                .into_iter()
                .filter(|s| s.len() as f64 >= fewest.max(1.0));
            let best = open.reduce(|a, b| if mean(&b) > mean(&a) { b } else { a });
            let is_last = best.is_none();
            let all = 0..(h * w) as u32;
            let new = best.unwrap_or_else(|| all.filter(|p| !covered.contains(p)).collect());
            let number = match value {
                XraiMap::Order => 1.0 - covered.len() as f64 / (h * w) as f64,
                XraiMap::Gain => mean(&new),
            };
            for &pixel in &new {
                map[[pixel as usize / w, pixel as usize % w]] = number as f32;
            }
            covered.extend(new);
            if is_last {
                return map;
            }
        }
    }

    #[test]
    fn regions_grow_as_in_a_loop() {
        let (h, w) = (20, 31);
        for seed in 1..6 {
            let attribution = Array2::from_shape_vec((h, w), numbers(h * w, seed)).unwrap();
            let mut segments = Vec::new();
            for (cells, radius) in [(2, 1), (3, 2), (5, 0)] {
                let labels =
                    Array2::from_shape_fn((h, w), |(y, x)| (y * cells / h) * cells + x * cells / w);
                segments.extend(widened(labels.view(), radius));
            }
            // Not all pixels are in a segment.
            segments.iter_mut().for_each(|s| s.retain(|p| p % 7 != 3));
            for value in [XraiMap::Order, XraiMap::Gain] {
                let got = grown(attribution.view(), segments.clone(), value);
                let want = naive(attribution.view(), &segments, value);
                let furthest = (&got - &want)
                    .mapv(f32::abs)
                    .fold(0.0, |a, &b| f32::max(a, b));
                assert!(furthest < 1e-6, "{value}: {furthest}");
            }
        }
    }

    #[test]
    fn segments_are_widened_by_a_disc() {
        let labels = Array2::from_shape_fn((9, 12), |(y, x)| usize::from(y * x > 20));
        for radius in 0..4 {
            let got = widened(labels.view(), radius);
            for (label, segment) in got.iter().enumerate() {
                let is_near = |y: usize, x: usize| {
                    labels.indexed_iter().any(|((v, u), &l)| {
                        let away = y.abs_diff(v).pow(2) + x.abs_diff(u).pow(2);
                        l == label && away <= radius * radius
                    })
                };
                let all = ndarray::indices((9, 12)).into_iter();
                let want = all
                    .filter(|&(y, x)| is_near(y, x))
                    .map(|(y, x)| (y * 12 + x) as u32);
                assert_eq!(*segment, want.collect::<Vec<u32>>(), "{label}, {radius}");
            }
        }
    }

    /// The first regions have the largest mean, and where nothing is attributed there is no order.
    #[test]
    fn by_hand() {
        let attribution = Array2::from_shape_fn((2, 4), |(_, x)| [0.0, 3.0, 1.0, 2.0][x]);
        let columns = (0..4).map(|x| vec![x, x + 4]).collect::<Vec<Vec<u32>>>();
        let order = grown(attribution.view(), columns.clone(), XraiMap::Order);
        assert_eq!(order.row(0).to_vec(), [0.25, 1.0, 0.5, 0.75]);
        let gain = grown(attribution.view(), columns.clone(), XraiMap::Gain);
        assert_eq!(gain, attribution);
        let nothing = grown(Array2::zeros((2, 4)).view(), columns, XraiMap::Order);
        assert!(nothing.iter().all(|&v| v == 0.0));
    }
}
