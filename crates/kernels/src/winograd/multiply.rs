//! Panels of weights by panels of tiles, and what becomes of the products.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::tiles::first_mut;
use super::{Block, LARGE, PLACES, Panel, SEEN, STEP, WIDEST};
use crate::product::LANES;

/// Writes the numbers of two vectors in turns.
#[inline(always)]
fn alternate<S: Simd>(simd: S, left: S::f32s, right: S::f32s, to: &mut [f32]) {
    let mut numbers = [[0.0; LANES]; STEP];
    *first_mut(simd, &mut numbers[0]) = left;
    *first_mut(simd, &mut numbers[1]) = right;
    let (pairs, _) = to.as_chunks_mut::<STEP>();
    // Of constant lengths, this becomes shuffles of vectors.
    match S::F32_LANES {
        16 => pairs_of::<16>(&numbers, pairs),
        8 => pairs_of::<8>(&numbers, pairs),
        4 => pairs_of::<4>(&numbers, pairs),
        _ => pairs_of::<1>(&numbers, pairs),
    }
}

#[inline(always)]
fn pairs_of<const L: usize>([left, right]: &[[f32; LANES]; STEP], pairs: &mut [[f32; STEP]]) {
    let pairs: &mut [[f32; STEP]; L] = pairs.first_chunk_mut().expect("room for two vectors");
    for i in 0..L {
        pairs[i] = [left[i], right[i]];
    }
}

/// Terms that are summed up by themselves. They are larger than those of the definition, and so is what they are rounded by:
/// shorter stretches make up for that.
const CHAIN: usize = 32;

/// Panels of weights by one of tiles.
pub(super) struct Multiply<'a> {
    pub block: &'a Block<'a>,
    pub panel: Panel,
    pub heights: Range<usize>,
    pub tiles: &'a [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::REGISTER_COUNT, self.panel.vectors) {
            (32.., 1) => self.rows::<S, 8, 1>(simd),
            (32.., 2) => self.rows::<S, 8, 2>(simd),
            (32.., _) => self.rows::<S, 8, 3>(simd),
            (_, 1) => self.rows::<S, 6, 1>(simd),
            (_, _) => self.rows::<S, 6, 2>(simd),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let job = self.block.on.job;
        let (zero, width) = (simd.splat_f32s(0.0), N * S::F32_LANES);
        let tiles = &self.tiles[PLACES * job.read * self.panel.first..];
        let mut lines = [[[0.0; STEP * WIDEST]; STEP]; LARGE[0]];
        let mut sums = [[[zero; N]; M]; PLACES];
        for height in self.heights.clone() {
            for (place, sums) in sums.iter_mut().enumerate() {
                let weights = &self.block.weights[(height * PLACES + place) * job.read * M..];
                let tiles = &tiles[place * job.read * width..];
                let read = job.read;
                *sums = multiply::<S, M, N>(simd, &weights[..read * M], &tiles[..read * width]);
            }
            let first = height * M;
            let made = M.min(job.made - first);
            for m in 0..made {
                let channel = self.block.group * job.made + first + m;
                let bias = self
                    .block
                    .on
                    .epilogue
                    .bias
                    .map_or(0.0, |bias| bias[channel]);
                let bias = simd.splat_f32s(bias);
                for n in 0..N {
                    let mut across = [[zero; SEEN]; STEP];
                    for r in 0..SEEN {
                        let line = &sums[r * SEEN..];
                        let line = [line[0][m][n], line[1][m][n], line[2][m][n], line[3][m][n]];
                        [across[0][r], across[1][r]] = made_of(simd, line);
                    }
                    let (left, right) = (made_of(simd, across[0]), made_of(simd, across[1]));
                    for (i, line) in lines[m].iter_mut().enumerate() {
                        let [left, right] = [left[i], right[i]];
                        let line = &mut line[STEP * n * S::F32_LANES..];
                        alternate(
                            simd,
                            simd.add_f32s(left, bias),
                            simd.add_f32s(right, bias),
                            line,
                        );
                    }
                }
            }
            if let Some(then) = self.block.on.epilogue.then {
                then.apply_here(lines[..made].as_flattened_mut().as_flattened_mut());
            }
            self.put(first, &lines[..made]);
        }
    }

    /// Puts rows of tiles where they belong.
    #[inline(always)]
    fn put(&self, first: usize, lines: &[[[f32; STEP * WIDEST]; STEP]]) {
        let (block, job) = (self.block, self.block.on.job);
        let [down, across] = job.tiles();
        let [height, width] = job.out;
        let end = block
            .tiles()
            .min(self.panel.first + self.panel.vectors * block.vectors.lanes);
        let mut at = self.panel.first;
        while at < end {
            let (line, col) = (block.lines.start + at / across, at % across);
            let count = (across - col).min(end - at);
            let (image, row) = (line / down, STEP * (line % down));
            let plane = (image * job.groups + block.group) * job.made + first;
            let (from, col) = (STEP * (at - self.panel.first), STEP * col);
            let numbers = (STEP * count).min(width - col);
            for (m, lines) in lines.iter().enumerate() {
                for (i, line) in lines.iter().enumerate().take(height - row) {
                    let place = (row + i) * width + col;
                    block
                        .on
                        .y
                        .put(plane + m, place, &line[from..from + numbers]);
                }
            }
            at += count;
        }
    }
}

/// `m A` along an axis.
#[inline(always)]
fn made_of<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; SEEN]) -> [S::f32s; STEP] {
    [
        simd.add_f32s(simd.add_f32s(a, b), c),
        simd.sub_f32s(simd.sub_f32s(b, c), d),
    ]
}

/// Rows of weights by columns of tiles, both packed: for each plane read, `M` numbers and `N` vectors.
#[inline(always)]
fn multiply<S: Simd, const M: usize, const N: usize>(
    simd: S,
    weights: &[f32],
    tiles: &[f32],
) -> [[S::f32s; N]; M] {
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    let width = N * S::F32_LANES;
    let chains = weights.chunks(CHAIN * M).zip(tiles.chunks(CHAIN * width));
    for (weights, tiles) in chains {
        let mut parts = [[simd.splat_f32s(0.0); N]; M];
        let (weights, _) = weights.as_chunks::<M>();
        for (weights, tiles) in weights.iter().zip(tiles.chunks_exact(width)) {
            let (vectors, _) = S::as_simd_f32s(tiles);
            let vectors: &[S::f32s; N] = vectors
                .first_chunk()
                .expect("as many vectors as a panel has");
            for (weight, parts) in weights.iter().zip(&mut parts) {
                let weight = simd.splat_f32s(*weight);
                for (part, vector) in parts.iter_mut().zip(vectors) {
                    *part = simd.mul_add_e_f32s(weight, *vector, *part);
                }
            }
        }
        for (sums, parts) in sums.iter_mut().zip(&parts) {
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum = simd.add_f32s(*sum, *part);
            }
        }
    }
    sums
}
