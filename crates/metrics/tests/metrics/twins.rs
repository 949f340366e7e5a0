//! Metrics against loops that a reader can check by eye, on random maps and images.

use crate::common::{noise_map, numbers, tensor, value};
use burn::tensor::Tensor;
use elucid_metrics::pixel_flipping::Filling;
use elucid_metrics::similarity::{spearman, ssim};
use elucid_metrics::{
    Case, Complexity, InsertionDeletion, MassAccuracy, Metric, PixelFlipping, Pointing,
    RankAccuracy, Road, Sparseness, Threshold, localisation,
};
use ndarray::{Array2, Array3};
use proptest::prelude::*;

/// A network of two classes with a score that is not linear: `tanh` of weighted sums.
fn scores_of(image: &Array3<f64>) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (i, v) in image.iter().enumerate() {
        sums[0] += v * (i as f64 * 0.7).sin() * 0.3;
        sums[1] += v * (i as f64 * 1.3).cos() * 0.3;
    }
    sums.map(|v| 3.0 * v.tanh())
}

fn network(images: Tensor<4>) -> Tensor<2> {
    let [n, c, h, w] = images.dims();
    let weights = |f: fn(f64) -> f64, step: f64| {
        let values = (0..c * h * w).map(|i| (f(i as f64 * step) * 0.3) as f32);
        tensor(values.collect(), [1, c, h, w])
    };
    let sum = |weights: Tensor<4>| {
        let sums = (images.clone() * weights).reshape([n as i32, -1]);
        sums.sum_dim(1).tanh() * 3.0
    };
    Tensor::cat(
        vec![sum(weights(f64::sin, 0.7)), sum(weights(f64::cos, 1.3))],
        1,
    )
}

fn probability(image: &Array3<f64>) -> f64 {
    let [a, b] = scores_of(image);
    a.exp() / (a.exp() + b.exp())
}

/// A channel count, a size, an image and a map, of which values may tie.
fn subject() -> impl Strategy<Value = (Array3<f64>, Array2<f32>)> {
    (
        1..=3_usize,
        2..=9_usize,
        2..=9_usize,
        1..u32::MAX,
        any::<bool>(),
    )
        .prop_map(|(c, h, w, seed, ties)| {
            let values = numbers(c * h * w, seed);
            let image = Array3::from_shape_vec((c, h, w), values).unwrap();
            let map = noise_map(h, w, seed);
            let map = match ties {
                true => map.mapv(|v| (v * 3.0).round()),
                false => map,
            };
            (image.mapv(f64::from), map)
        })
}

fn with_case<T>(image: &Array3<f64>, map: &Array2<f32>, with: impl FnOnce(Case<'_>) -> T) -> T {
    let (c, h, w) = image.dim();
    let tensor = tensor(image.iter().map(|&v| v as f32).collect(), [1, c, h, w]);
    with(Case::new(&network, &tensor, 0, map.view()).unwrap())
}

/// Pixels from the largest value to the smallest, by repeated search.
fn naive_order(map: &Array2<f32>) -> Vec<(usize, usize)> {
    let mut left: Vec<_> = map.indexed_iter().map(|(at, &v)| (at, v)).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let mut best = 0;
        for i in 1..left.len() {
            if left[i].1 > left[best].1 {
                best = i;
            }
        }
        order.push(left.remove(best).0);
    }
    order
}

/// SciPy's `gaussian_filter` of deviation 5 on a point in the middle of 11 x 11, and PyTorch's
/// convolution with that, zeros outside.
fn naive_blur(image: &Array3<f64>) -> Array3<f64> {
    let mut kernel = Array2::<f64>::zeros((11, 11));
    let weight = |t: i64| (-0.5 * (t as f64 / 5.0).powi(2)).exp();
    let reflected = |mut i: i64| {
        while !(0..11).contains(&i) {
            i = if i < 0 { -1 - i } else { 21 - i };
        }
        i
    };
    let mut total = 0.0;
    for t in -20..=20 {
        total += weight(t);
    }
    for y in 0..11 {
        for x in 0..11 {
            for dy in -20..=20 {
                for dx in -20..=20 {
                    if reflected(y + dy) == 5 && reflected(x + dx) == 5 {
                        kernel[[y as usize, x as usize]] +=
                            weight(dy) * weight(dx) / (total * total);
                    }
                }
            }
        }
    }
    assert!((kernel.sum() - 1.0).abs() < 1e-12);
    let (_, h, w) = image.dim();
    Array3::from_shape_fn(image.dim(), |(c, y, x)| {
        let mut sum = 0.0;
        for ky in 0..11 {
            for kx in 0..11 {
                let (sy, sx) = (y as i64 + ky as i64 - 5, x as i64 + kx as i64 - 5);
                if sy >= 0 && sy < h as i64 && sx >= 0 && sx < w as i64 {
                    sum += kernel[[ky, kx]] * image[[c, sy as usize, sx as usize]];
                }
            }
        }
        sum
    })
}

fn naive_curve(start: &Array3<f64>, end: &Array3<f64>, map: &Array2<f32>, step: usize) -> Vec<f64> {
    let order = naive_order(map);
    let mut curve = vec![probability(start)];
    let mut done = 0;
    while done < order.len() {
        done = (done + step).min(order.len());
        let mut now = start.clone();
        for &(y, x) in &order[..done] {
            for c in 0..now.dim().0 {
                now[[c, y, x]] = end[[c, y, x]];
            }
        }
        curve.push(probability(&now));
    }
    curve
}

/// Gaussian elimination with pivots.
fn solve(mut a: Array2<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n)
            .max_by(|&p, &q| a[[p, i]].abs().total_cmp(&a[[q, i]].abs()))
            .unwrap();
        for j in 0..n {
            a.swap([i, j], [pivot, j]);
        }
        b.swap(i, pivot);
        for row in i + 1..n {
            let factor = a[[row, i]] / a[[i, i]];
            for j in i..n {
                a[[row, j]] -= factor * a[[i, j]];
            }
            b[row] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        for j in i + 1..n {
            b[i] -= a[[i, j]] * b[j];
        }
        b[i] /= a[[i, i]];
    }
    b
}

fn naive_imputation(image: &Array3<f64>, removed: &[(usize, usize)]) -> Array3<f64> {
    let (channels, h, w) = image.dim();
    let mut filled = image.clone();
    for c in 0..channels {
        let n = removed.len();
        let (mut a, mut b) = (Array2::<f64>::zeros((n, n)), vec![0.0; n]);
        for (i, &(y, x)) in removed.iter().enumerate() {
            for dy in -1_i64..=1 {
                for dx in -1_i64..=1 {
                    let (sy, sx) = (y as i64 + dy, x as i64 + dx);
                    let outside = sy < 0 || sx < 0 || sy >= h as i64 || sx >= w as i64;
                    if (dy, dx) == (0, 0) || outside {
                        continue;
                    }
                    let weight = if dy == 0 || dx == 0 {
                        1.0 / 6.0
                    } else {
                        1.0 / 12.0
                    };
                    let at = (sy as usize, sx as usize);
                    a[[i, i]] += weight;
                    match removed.iter().position(|&other| other == at) {
                        Some(j) => a[[i, j]] -= weight,
                        None => b[i] += weight * image[[c, at.0, at.1]],
                    }
                }
            }
        }
        for (&(y, x), value) in removed.iter().zip(solve(a, b)) {
            filled[[c, y, x]] = value;
        }
    }
    filled
}

fn naive_ranks(map: &Array2<f32>) -> Vec<f64> {
    map.iter()
        .map(|a| {
            let below = map.iter().filter(|b| *b < a).count() as f64;
            let equal = map.iter().filter(|b| *b == a).count() as f64;
            below + (equal - 1.0) / 2.0
        })
        .collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum()
    };
    let length = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if length > 1e-9 {
        sum(&|a, b| a * b) / length
    } else {
        0.0
    }
}

fn naive_ssim(a: &Array2<f32>, b: &Array2<f32>) -> f64 {
    let scaled = |map: &Array2<f32>| {
        let low = map.iter().copied().fold(f32::MAX, f32::min);
        let high = map.iter().copied().fold(f32::MIN, f32::max);
        map.mapv(|v| {
            if high > low {
                f64::from(v - low) / f64::from(high - low)
            } else {
                0.0
            }
        })
    };
    let (a, b) = (scaled(a), scaled(b));
    let (h, w) = a.dim();
    let side = [7, 5, 3, 1]
        .into_iter()
        .find(|&s| s <= h && s <= w)
        .unwrap();
    let (mut total, mut count) = (0.0, 0.0);
    for y in 0..=h - side {
        for x in 0..=w - side {
            let mut pairs = Vec::new();
            for dy in 0..side {
                for dx in 0..side {
                    pairs.push((a[[y + dy, x + dx]], b[[y + dy, x + dx]]));
                }
            }
            let n = pairs.len() as f64;
            let ma = pairs.iter().map(|p| p.0).sum::<f64>() / n;
            let mb = pairs.iter().map(|p| p.1).sum::<f64>() / n;
            let unbiased = (n - 1.0).max(1.0);
            let va = pairs.iter().map(|p| (p.0 - ma).powi(2)).sum::<f64>() / unbiased;
            let vb = pairs.iter().map(|p| (p.1 - mb).powi(2)).sum::<f64>() / unbiased;
            let cab = pairs.iter().map(|p| (p.0 - ma) * (p.1 - mb)).sum::<f64>() / unbiased;
            total += (2.0 * ma * mb + 1e-4) * (2.0 * cab + 9e-4)
                / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4));
            count += 1.0;
        }
    }
    total / count
}

fn close(got: f64, want: f64) -> bool {
    (got - want).abs() < 1e-5 * want.abs().max(1.0)
}

/// A box of whole pixels in an image of `h` x `w`, from four numbers.
fn whole_box(h: usize, w: usize, at: [usize; 4]) -> [usize; 4] {
    let (x0, y0) = (at[0] % w, at[1] % h);
    [x0, y0, x0 + 1 + at[2] % (w - x0), y0 + 1 + at[3] % (h - y0)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn insertion_and_deletion((image, map) in subject(), step in 1..=30_usize, rows in 1..=9_usize) {
        let zeros = Array3::zeros(image.dim());
        let ways = [
            (InsertionDeletion::deletion(), naive_curve(&image, &zeros, &map, step)),
            (InsertionDeletion::insertion(), naive_curve(&naive_blur(&image), &image, &map, step)),
        ];
        for (metric, want) in ways {
            let curve = with_case(&image, &map, |case| {
                metric.pixels(step).batch_size(rows).curve(&case).unwrap().unwrap()
            });
            prop_assert_eq!(curve.scores.len(), want.len());
            for (got, want) in curve.scores.iter().zip(&want) {
                prop_assert!(close(*got, *want), "{} for {}", got, want);
            }
            let mut area = 0.0;
            for pair in want.windows(2) {
                area += (pair[0] + pair[1]) / 2.0 / (want.len() - 1) as f64;
            }
            prop_assert!(close(curve.area(), area));
        }
    }

    #[test]
    fn flipping((image, map) in subject(), patch in 1..=4_usize, steps in 1..=12_usize) {
        let (channels, h, w) = image.dim();
        let mut regions = Vec::new();
        for y in (0..h).step_by(patch) {
            for x in (0..w).step_by(patch) {
                let mut pixels = Vec::new();
                for y in y..h.min(y + patch) {
                    for x in x..w.min(x + patch) {
                        pixels.push((y, x));
                    }
                }
                let sum: f64 = pixels.iter().map(|&at| f64::from(map[at])).sum();
                regions.push((sum / pixels.len() as f64, pixels));
            }
        }
        regions.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap());
        regions.truncate(steps);
        let mut now = image.clone();
        let first = scores_of(&image)[0];
        let (mut sum, mut count) = (0.0, 1.0);
        for (_, pixels) in regions {
            for (y, x) in pixels {
                for c in 0..channels {
                    now[[c, y, x]] = 0.0;
                }
            }
            sum += first - scores_of(&now)[0];
            count += 1.0;
        }
        let metric = PixelFlipping::samek().filling(Filling::Zero).patch(patch).steps(steps);
        let got = with_case(&image, &map, |case| value(metric.measure(&case).unwrap()));
        prop_assert!(close(got, sum / count), "{} for {}", got, sum / count);
    }

    #[test]
    fn road((image, map) in subject(), percent in 1.0..99.0_f64, rows in 1..=3_usize) {
        let order = naive_order(&map);
        let (mut most, mut least) = (0.0, 0.0);
        let percentages = [percent, percent / 3.0];
        for percent in percentages {
            let count = (percent / 100.0 * map.len() as f64).round() as usize;
            let count = count.clamp(1, map.len() - 1);
            most += probability(&naive_imputation(&image, &order[..count])) / 2.0;
            let last = &order[map.len() - count..];
            least += probability(&naive_imputation(&image, last)) / 2.0;
        }
        let measure = |metric: Road| {
            let metric = metric.percentages(percentages).noise(0.0).batch_size(rows);
            with_case(&image, &map, |case| value(metric.measure(&case).unwrap()))
        };
        let got = measure(Road::most_relevant_first());
        prop_assert!((got - most).abs() < 1e-4, "{} for {}", got, most);
        let got = measure(Road::least_relevant_first());
        prop_assert!((got - least).abs() < 1e-4, "{} for {}", got, least);
        let got = measure(Road::combined());
        prop_assert!((got - (least - most) / 2.0).abs() < 1e-4);
    }

    #[test]
    fn likeness((_, a) in subject(), seed in 1..u32::MAX) {
        let b = Array2::from_shape_vec(a.dim(), numbers(a.len(), seed)).unwrap();
        let b = (&a + &b).mapv(|v| (v * 4.0).round());
        let got = spearman(a.view(), b.view()).unwrap();
        prop_assert!(close(got, correlation(&naive_ranks(&a), &naive_ranks(&b))));
        let got = ssim(a.view(), b.view()).unwrap();
        let want = naive_ssim(&a, &b);
        prop_assert!(close(got, want), "{} for {}", got, want);
    }

    #[test]
    fn pointing((image, map) in subject(), at in any::<[usize; 4]>(), tolerance in 0.0..6.0_f64) {
        let (h, w) = map.dim();
        let [x0, y0, x1, y1] = whole_box(h, w, at);
        let (py, px) = naive_order(&map)[0];
        let mut hit = false;
        for y in y0..y1 {
            for x in x0..x1 {
                let distance = (y as f64 - py as f64).hypot(x as f64 - px as f64);
                hit |= distance < tolerance || distance == 0.0;
            }
        }
        // A constant map points nowhere.
        hit &= map.len() == 1 || map.iter().any(|value| *value != map[[0, 0]]);
        let metric = Pointing::exact().tolerance(tolerance);
        let boxes = [[x0, y0, x1, y1].map(|v| v as f32)];
        let got = with_case(&image, &map, |case| {
            value(metric.measure(&case.boxes(&boxes).unwrap()).unwrap())
        });
        prop_assert_eq!(got == 1.0, hit);
    }

    #[test]
    fn mass((image, map) in subject(), at in any::<[usize; 4]>()) {
        let (h, w) = map.dim();
        let [x0, y0, x1, y1] = whole_box(h, w, at);
        let inside = |(y, x): (usize, usize)| (y0..y1).contains(&y) && (x0..x1).contains(&x);
        let boxes = [[x0, y0, x1, y1].map(|v| v as f32)];
        let measure = |metric: &dyn Metric| with_case(&image, &map, |case| {
            metric.measure(&case.boxes(&boxes).unwrap()).unwrap()
        });
        let (mut on, mut all) = (0.0, 0.0);
        for (at, &v) in map.indexed_iter().filter(|(_, v)| **v > 0.0) {
            all += f64::from(v);
            if inside(at) {
                on += f64::from(v);
            }
        }
        match measure(&MassAccuracy).value() {
            Some(got) => prop_assert!(close(got, on / all)),
            None => prop_assert_eq!(all, 0.0),
        }
        // A tie resolved for the object and one resolved against it enclose the truth.
        let count = (x1 - x0) * (y1 - y0);
        let share = |sign: f32| {
            let nudged = Array2::from_shape_fn((h, w), |at| {
                map[at] + if inside(at) { sign * 1e-4 } else { 0.0 }
            });
            let first = &naive_order(&nudged)[..count];
            first.iter().filter(|&&at| inside(at)).count() as f64 / count as f64
        };
        let got = value(measure(&RankAccuracy));
        prop_assert!(share(-1.0) - 1e-9 <= got && got <= share(1.0) + 1e-9);
    }

    #[test]
    fn boxes((image, map) in subject(), alpha in 0.0..1.0_f64, raw in (1..=4_usize, 1..=4_usize, 1..u32::MAX)) {
        let _ = image;
        let (h, w) = map.dim();
        let raw = Array2::from_shape_vec((raw.0, raw.1), numbers(raw.0 * raw.1, raw.2)).unwrap();
        for map in [map.mapv(|v| v.max(0.0)), raw.mapv(f32::abs)] {
            for rule in [Threshold::Energy, Threshold::Value, Threshold::Mean] {
                let mut kept = map.mapv(f64::from);
                let sum: f64 = kept.sum();
                let high = kept.iter().copied().fold(0.0, f64::max);
                let low = kept.iter().copied().fold(f64::MAX, f64::min);
                match rule {
                    Threshold::Energy => {
                        let mut energy = 0.0;
                        for at in naive_order(&map) {
                            energy += kept[at];
                            if energy >= alpha * sum {
                                kept[at] = 0.0;
                            }
                        }
                    }
                    Threshold::Value => kept.mapv_inplace(|v| if v - low < alpha * (high - low) { 0.0 } else { v }),
                    Threshold::Mean => {
                        let mean = sum / kept.len() as f64;
                        kept.mapv_inplace(|v| if v < alpha * mean { 0.0 } else { v });
                    }
                }
                let high = kept.iter().copied().fold(0.0, f64::max);
                let (mh, mw) = kept.dim();
                let mut want: Option<[usize; 4]> = None;
                let mut doubtful = false;
                for y in 0..h {
                    for x in 0..w {
                        // Bilinear, with pixel centres at halves.
                        let at = |i: usize, from: usize, to: usize| {
                            ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64)
                        };
                        let (sy, sx) = (at(y, mh, h), at(x, mw, w));
                        let mut v = 0.0;
                        for my in 0..mh {
                            for mx in 0..mw {
                                let weight = (1.0 - (sy - my as f64).abs()).max(0.0)
                                    * (1.0 - (sx - mx as f64).abs()).max(0.0);
                                v += weight * (kept[[my, mx]] / high.max(1e-30) * 255.0).round();
                            }
                        }
                        doubtful |= (v - 0.5).abs() < 1e-3;
                        if v >= 0.5 {
                            let [x0, y0, x1, y1] = want.unwrap_or([x, y, x + 1, y + 1]);
                            want = Some([x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)]);
                        }
                    }
                }
                if doubtful {
                    continue;
                }
                let want = want.unwrap_or([0, 0, w, h]).map(|v| v as f32);
                let got = localisation::box_from_map(map.view(), rule, alpha, [h, w]);
                prop_assert_eq!(got, want, "{:?} {}", rule, alpha);
            }
        }
    }

    #[test]
    fn spread((image, map) in subject()) {
        let sum: f64 = map.iter().map(|&v| f64::from(v.abs())).sum();
        prop_assume!(sum > 0.0);
        let mut differences = 0.0;
        for a in &map {
            for b in &map {
                differences += f64::from((a.abs() - b.abs()).abs());
            }
        }
        let gini = differences / (2.0 * map.len() as f64 * sum);
        let mut entropy = 0.0;
        for v in map.iter().filter(|v| **v != 0.0) {
            let p = f64::from(v.abs()) / sum;
            entropy -= p * p.log2() * std::f64::consts::LN_2;
        }
        let measure = |metric: &dyn Metric| {
            with_case(&image, &map, |case| value(metric.measure(&case).unwrap()))
        };
        prop_assert!(close(measure(&Sparseness), gini));
        prop_assert!(close(measure(&Complexity), entropy));
    }
}
