//! Randomising a network from the top down, and comparing maps.

use elucid::GraphError;
use elucid::attribution::{DeconvNet, GradCam, GuidedBackprop, GuidedGradCam};
use elucid::prelude::*;
use ndarray::{ArrayD, ArrayView2, ArrayViewD, Axis, s};

/// The blocks of a network that have weights, last first: what stands before the first slash of a
/// weight's name, or before `_w` and `_b`.
pub fn blocks(model: &Model) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for (value, _) in model.graph().weights() {
        let block = block_of(model.graph().name(value));
        if !blocks.iter().any(|known| known == block) {
            blocks.push(block.to_owned());
        }
    }
    blocks.reverse();
    blocks
}

fn block_of(weight: &str) -> &str {
    match weight.split_once('/') {
        Some((block, _)) => block,
        None => weight.trim_end_matches("_w").trim_end_matches("_b"),
    }
}

/// The network with the weights of these blocks drawn anew, from normal distributions about zero of
/// the standard deviations that they have. A weight's new values depend on its name and the seed
/// only: with more blocks, those of the first stay what they were.
pub fn randomised(model: &Model, blocks: &[String], seed: u64) -> Result<Model, GraphError> {
    model.with_weights(|name, values| {
        let is_hit = blocks.iter().any(|block| block == block_of(name));
        is_hit.then(|| redrawn(&values, seed ^ hash(name)))
    })
}

/// As many numbers about zero, as widely spread.
pub fn redrawn(values: &ArrayViewD<'_, f32>, seed: u64) -> ArrayD<f32> {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let variance = values
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum::<f64>()
        / count;
    let mut normal = normal(seed);
    values.mapv(|_| (variance.sqrt() * normal()) as f32)
}

/// FNV-1a.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Standard normal numbers: splitmix64, by the transform of Box and Muller.
fn normal(mut state: u64) -> impl FnMut() -> f64 {
    let mut uniform = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    move || {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * uniform()).cos()
    }
}

/// Spearman's rank correlation of absolute values, from -1 to 1; 0 when one map is constant.
pub fn spearman(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f64 {
    let ranks = |map: ArrayView2<'_, f32>| {
        let values: Vec<f32> = map.iter().map(|v| v.abs()).collect();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
        let mut ranks = vec![0.0; values.len()];
        let mut start = 0;
        // Equal values share the mean of their ranks.
        for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
            let rank = start as f64 + (tied.len() as f64 - 1.0) / 2.0;
            for &i in tied {
                ranks[i] = rank;
            }
            start += tied.len();
        }
        ranks
    };
    correlation(&ranks(a), &ranks(b))
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    match aa * bb > 0.0 {
        true => ab / (aa * bb).sqrt(),
        false => 0.0,
    }
}

/// Structural similarity of absolute values scaled to 0..1, over windows of 7 x 7 (Wang et al.,
/// 2004): 1 for maps that look the same. 0 for maps smaller than a window.
pub fn ssim(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f64 {
    const SIDE: usize = 7;
    let unit = |map: ArrayView2<'_, f32>| {
        let largest = map.iter().fold(0_f32, |m, v| m.max(v.abs()));
        map.mapv(|v| f64::from(v.abs() / largest.max(f32::MIN_POSITIVE)))
    };
    let (a, b) = (unit(a), unit(b));
    let (height, width) = a.dim();
    let (mut sum, mut count) = (0.0, 0);
    for y in (0..(height + 1).saturating_sub(SIDE)).step_by(2) {
        for x in (0..(width + 1).saturating_sub(SIDE)).step_by(2) {
            let window = s![y..y + SIDE, x..x + SIDE];
            let (a, b) = (a.slice(window), b.slice(window));
            let size = (SIDE * SIDE) as f64;
            let (mean_a, mean_b) = (a.sum() / size, b.sum() / size);
            let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
            for (a, b) in a.iter().zip(&b) {
                aa += (a - mean_a).powi(2);
                bb += (b - mean_b).powi(2);
                ab += (a - mean_a) * (b - mean_b);
            }
            let (aa, bb, ab) = (aa / size, bb / size, ab / size);
            let (c1, c2) = (1e-4, 9e-4);
            sum += (2.0 * mean_a * mean_b + c1) * (2.0 * ab + c2)
                / ((mean_a * mean_a + mean_b * mean_b + c1) * (aa + bb + c2));
            count += 1;
        }
    }
    sum / f64::from(count.max(1))
}

/// What becomes of one method's map as more and more of the network is random.
pub struct Row {
    /// The method.
    pub method: String,
    /// Maps `[1, H, W]` at the size of the image: of the trained network, then with 1, 2, ... blocks
    /// random.
    pub maps: Vec<Saliency>,
    /// Rank correlation of each map with the first.
    pub spearman: Vec<f64>,
    /// Structural similarity of each map with the first.
    pub ssim: Vec<f64>,
}

/// Explains the class that the trained network sees in a photograph by each method, with none to
/// `depth` blocks random.
pub fn cascade(
    methods: &[Box<dyn Attributor>],
    model: &Model,
    photo: &Photo,
    depth: usize,
    seed: u64,
) -> Result<Vec<Row>, elucid::Error> {
    let class = model.classify(photo)?.top(1).first().map_or(0, |g| g.index);
    let blocks = blocks(model);
    let networks = (0..=depth.min(blocks.len()))
        .map(|depth| randomised(model, &blocks[..depth], seed))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for method in methods {
        let mut maps = Vec::new();
        for network in &networks {
            let result = method.attribute(network, photo, Target::class(class))?;
            maps.push(result.map()?.upsampled());
        }
        let against_first = |measure: fn(ArrayView2<'_, f32>, ArrayView2<'_, f32>) -> f64| {
            let view = |map: &Saliency| map.maps().index_axis(Axis(0), 0).to_owned();
            let first = view(&maps[0]);
            let measured = maps
                .iter()
                .map(|map| measure(first.view(), view(map).view()));
            measured.collect()
        };
        rows.push(Row {
            method: method.name().to_owned(),
            spearman: against_first(spearman),
            ssim: against_first(ssim),
            maps,
        });
    }
    Ok(rows)
}

/// The methods that are compared: those that notice, and those that find edges whatever the weights.
pub fn methods() -> Vec<Box<dyn Attributor>> {
    vec![
        Box::new(Gradient::at_input()),
        Box::new(GradCam::at_features()),
        Box::new(GuidedBackprop::at_input()),
        Box::new(DeconvNet::at_input()),
        Box::new(GuidedGradCam::with_cam_at_features()),
    ]
}

/// The measures as lines of comma-separated values.
pub fn to_csv(rows: &[Row], model: &Model) -> String {
    let blocks = blocks(model);
    let mut text = "method,random_blocks,last_random_block,spearman,ssim\n".to_owned();
    for row in rows {
        for (depth, (spearman, ssim)) in row.spearman.iter().zip(&row.ssim).enumerate() {
            let block = depth.checked_sub(1).map_or("", |i| blocks[i].as_str());
            let method = &row.method;
            text += &format!("{method},{depth},{block},{spearman:.4},{ssim:.4}\n");
        }
    }
    text
}
