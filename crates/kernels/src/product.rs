//! Products of matrices, of which one is an image or what windows see of it: what a convolution is made of.
//!
//! In `y = a b`, some rows of `a`, the weights, are a panel, which is read where it lies: each factor once for a whole vector.
//! Of `b`, some vectors of columns are a panel: read where they lie ([`Columns::Placed`]), or copied together first. A tile of
//! `y`, as many rows as a panel of `a` and as many columns as one of `b`, lives in registers until it is whole.
//!
//! The order of a sum is that of its terms, a stretch of which is summed up by itself so that rounding does not grow with
//! their number: it depends neither on how many threads there are, nor on what is
//! multiplied beside it.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::conv::Epilogue;
use crate::padded::{read, within};
use crate::shared::Shared;
use crate::threads::with_scratch;
use crate::vectors::dispatch;

/// Vectors in a row of a panel of columns, and rows of a panel of weights: the sums fit into 32 registers with what they are
/// made of. Vectors of columns seldom lie in one line of the cache, which costs another load each: rows are cheaper.
const TALL: [usize; 2] = [3, 8];

/// The same for few columns, so that weights are read once.
const WIDE: [usize; 2] = [4, 6];

/// The same for 16 registers.
const SMALL: [usize; 2] = [2, 6];

/// Numbers in the longest vectors.
pub(crate) const LANES: usize = 16;

/// Columns of the widest panel.
pub(crate) const WIDEST: usize = WIDE[0] * LANES;

/// Terms that are summed up by themselves.
const CHAIN: usize = 256;

/// Numbers of panels of columns over which a panel of weights goes at once: they stay in a second-level cache.
const TILE: usize = 1 << 16;

/// Numbers that columns are placed in, of which a second-level cache holds all.
const PLACED: usize = 1 << 18;

/// The most panels of columns that go together.
const PANELS: usize = 4;

/// Multiplications below which a task costs more to hand out than to do.
const TASK: usize = 1 << 20;

/// Tasks for each thread, so that all of them end at about the same time.
const SHARE: usize = 4;

/// The left factor: row `i` has its factor of a term at `values[term.weight + i * row]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// Where they are.
    pub values: &'a [f32],
    /// How many rows.
    pub rows: usize,
    /// From a row to the next.
    pub row: usize,
}

/// A term of every sum: where the first row's factor lies among the weights, and where the first column's among what it
/// multiplies, which [`Columns::Windows`] do not ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    pub weight: usize,
    pub column: usize,
}

/// Columns of a panel at most, and rows of one of weights.
#[inline(always)]
fn tile<S: Simd>(width: usize) -> [usize; 2] {
    let [vectors, rows] = match S::REGISTER_COUNT {
        32.. if width > TALL[0] * LANES => WIDE,
        32.. => TALL,
        _ => SMALL,
    };
    [width.min(vectors * S::F32_LANES), rows]
}

/// The right factor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Columns<'a> {
    /// Column `i` of each term is `values[term.column + i]`; [`WIDEST`] more than there are can be read.
    Placed(&'a [f32]),
    /// What windows see, by channel and tap.
    Windows(Windows<'a>),
}

/// What the windows that lie on a grid see of planes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows<'a> {
    /// The planes.
    pub values: &'a [f32],
    /// Height and width of a plane.
    pub size: [usize; 2],
    /// Columns of the grid of windows.
    pub across: usize,
    /// From a window to the next, down and across.
    pub stride: [usize; 2],
    /// The elements of a window.
    pub taps: &'a [Tap],
}

/// An element of a window.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    /// Where the first window has it, above the plane if below 0.
    pub row: isize,
    /// Where the first window has it, left of the plane if below 0.
    pub col: isize,
    /// The columns of the grid whose windows have it between the left and the right end of the plane.
    pub inside: Range<usize>,
}

impl Tap {
    /// Of windows `stride` apart, `across` of them, over rows of `width`.
    pub fn new([row, col]: [isize; 2], stride: usize, across: usize, width: usize) -> Self {
        let inside = within(col, stride, width, across);
        Self { row, col, inside }
    }
}

/// Some windows of one row of the grid, in one panel.
#[derive(Debug, Clone)]
struct Segment {
    /// Their row.
    row: usize,
    /// Their columns.
    cols: Range<usize>,
    /// Where the first of them lies in the panel.
    at: usize,
}

/// Parts of a panel of columns, and where each goes in a row of the result.
type Runs = Vec<(Range<usize>, usize)>;

/// Where the columns of a product lie in a row of the result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    /// From a row of columns to the next.
    pub width: usize,
    /// Of these, those that are wanted.
    pub across: usize,
    /// Where the first column goes.
    pub first: usize,
    /// From a row of columns to the next, in the result.
    pub down: usize,
    /// From a column to the next, in the result.
    pub step: usize,
}

impl Grid {
    /// Columns side by side.
    pub fn line(columns: usize) -> Self {
        Self {
            width: columns,
            across: columns,
            first: 0,
            down: columns,
            step: 1,
        }
    }

    /// Whether columns side by side stay so.
    fn is_line(&self) -> bool {
        self.width == self.across && self.down == self.across && self.step == 1
    }

    /// Where the columns of a panel go: what of it, and where the first of these goes.
    fn runs(&self, columns: Range<usize>, runs: &mut Runs) {
        runs.clear();
        if self.is_line() {
            runs.push((0..columns.len(), self.first + columns.start));
            return;
        }
        let mut at = columns.start;
        while at < columns.end {
            let (row, col) = (at / self.width, at % self.width);
            let end = columns.end.min((row + 1) * self.width);
            let wanted = self.across.saturating_sub(col).min(end - at);
            if wanted > 0 {
                let from = at - columns.start;
                runs.push((
                    from..from + wanted,
                    self.first + row * self.down + col * self.step,
                ));
            }
            at = end;
        }
    }
}

/// Some rows and columns of a product, for one thread.
struct Part<'a> {
    product: Product<'a>,
    grid: Grid,
    y: Shared<'a>,
    rows: Range<usize>,
    /// Columns, from the beginning of a panel on.
    columns: Range<usize>,
    /// The most columns of a panel.
    width: usize,
}

impl Part<'_> {
    /// The panels of at most `tallest` rows, as even as can be.
    fn panels(
        &self,
        tallest: usize,
    ) -> impl ExactSizeIterator<Item = Range<usize>> + Clone + use<> {
        let Range { start, end } = self.rows;
        let (rows, count) = (end - start, (end - start).div_ceil(tallest));
        (0..count).map(move |i| start + i * rows / count..start + (i + 1) * rows / count)
    }
}

/// Some terms, and the furthest places of them.
#[derive(Debug, Clone, Copy)]
struct Terms<'a> {
    terms: &'a [Term],
    furthest: Term,
}

impl<'a> Terms<'a> {
    fn new(terms: &'a [Term]) -> Self {
        let furthest = |of: fn(&Term) -> usize| terms.iter().map(of).max().unwrap_or(0);
        let furthest = Term {
            weight: furthest(|term| term.weight),
            column: furthest(|term| term.column),
        };
        Self { terms, furthest }
    }
}

/// Panels of columns that go together, so that weights are read once for all of them.
fn together(columns: &Columns, depth: usize) -> usize {
    match columns {
        Columns::Placed(values) if values.len() <= PLACED => PANELS,
        _ => (TILE / (depth * WIDEST).max(1)).clamp(1, PANELS),
    }
}

struct On<'a, 's> {
    part: Part<'a>,
    scratch: &'s mut [f32],
}

impl WithSimd for On<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { part, scratch } = self;
        let Product { terms, columns, .. } = part.product;
        let depth = terms.len();
        let [width, tallest] = tile::<S>(part.width);
        // Copies of whole vectors run over the end.
        let panel = depth * width + LANES;
        let panels = part.panels(tallest);
        // Terms of columns that are copied together.
        let packed: Vec<Term> = match columns {
            Columns::Placed(_) => Vec::new(),
            Columns::Windows(_) => (terms.iter().enumerate())
                .map(|(i, term)| Term {
                    column: i * width,
                    ..*term
                })
                .collect(),
        };
        let terms = Terms::new(match columns {
            Columns::Placed(_) => terms,
            Columns::Windows(_) => &packed,
        });
        let mut segments = Vec::new();
        let mut runs: Vec<Runs> = vec![Vec::new(); together(&columns, depth)];
        let step = runs.len() * width;
        for first in part.columns.clone().step_by(step) {
            let some = first..part.columns.end.min(first + step);
            let each = || {
                let firsts = some.clone().step_by(width);
                firsts.map(|first| first..some.end.min(first + width))
            };
            for (i, some) in each().enumerate() {
                part.grid.runs(some.clone(), &mut runs[i]);
                if let Columns::Windows(windows) = columns {
                    windows.segments(some, &mut segments);
                    windows.gather(depth, &segments, &mut scratch[i * panel..], width);
                }
            }
            for rows in panels.clone() {
                for ((i, some), runs) in each().enumerate().zip(&runs) {
                    let values = match columns {
                        Columns::Placed(values) => &values[some.start..],
                        Columns::Windows(_) => &scratch[i * panel..],
                    };
                    let height = rows.len();
                    let tile = Tile {
                        part: &part,
                        rows: rows.clone(),
                        values,
                        terms,
                        columns: some,
                        runs,
                    };
                    match height {
                        1 => tile.rows::<S, 1>(simd),
                        2 => tile.rows::<S, 2>(simd),
                        3 => tile.rows::<S, 3>(simd),
                        4 => tile.rows::<S, 4>(simd),
                        5 => tile.rows::<S, 5>(simd),
                        6 => tile.rows::<S, 6>(simd),
                        7 => tile.rows::<S, 7>(simd),
                        _ => tile.rows::<S, 8>(simd),
                    }
                }
            }
        }
    }
}

/// A panel of weights by one of columns.
struct Tile<'a, 'p> {
    part: &'p Part<'a>,
    rows: Range<usize>,
    /// What the columns of the terms are places in.
    values: &'p [f32],
    terms: Terms<'p>,
    columns: Range<usize>,
    /// Where the columns go.
    runs: &'p [(Range<usize>, usize)],
}

impl Tile<'_, '_> {
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(self, simd: S) {
        match self.columns.len().div_ceil(S::F32_LANES) {
            1 => self.multiply::<S, M, 1>(simd),
            2 => self.multiply::<S, M, 2>(simd),
            3 => self.multiply::<S, M, 3>(simd),
            // No panel of more rows is as wide.
            _ if M <= WIDE[1] => self.multiply::<S, M, 4>(simd),
            _ => unreachable!("a panel of columns is no wider than its tile"),
        }
    }

    /// `M` rows of `N` vectors.
    #[inline(always)]
    fn multiply<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let Product {
            weights, epilogue, ..
        } = self.part.product;
        let Weights { values, row, .. } = weights;
        let (top, width) = (self.rows.start, N * S::F32_LANES);
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        if let Some(bias) = epilogue.bias {
            let bias: &[f32; M] = bias[top..].first_chunk().expect("a bias for each row");
            for (sums, bias) in sums.iter_mut().zip(bias) {
                *sums = [simd.splat_f32s(*bias); N];
            }
        }
        let values = &values[top * row..];
        let (columns, Terms { terms, furthest }) = (self.values, self.terms);
        assert!(
            furthest.weight + (M - 1) * row < values.len()
                && furthest.column + width <= columns.len(),
            "weights and columns of every term"
        );
        for terms in terms.chunks(CHAIN) {
            let mut parts = [[simd.splat_f32s(0.0); N]; M];
            for term in terms {
                // SAFETY: no term lies behind the furthest, which was just checked for the last row and the last
                // column.
                #[allow(unsafe_code)]
                let (weights, columns) = unsafe {
                    let columns = columns.as_ptr().add(term.column).cast::<[S::f32s; N]>();
                    (values.as_ptr().add(term.weight), columns.read_unaligned())
                };
                for (i, parts) in parts.iter_mut().enumerate() {
                    // SAFETY: as above.
                    #[allow(unsafe_code)]
                    let weight = unsafe { *weights.add(i * row) };
                    let weight = simd.splat_f32s(weight);
                    for (part, column) in parts.iter_mut().zip(&columns) {
                        *part = simd.mul_add_e_f32s(weight, *column, *part);
                    }
                }
            }
            for (sums, parts) in sums.iter_mut().zip(&parts) {
                for (sum, part) in sums.iter_mut().zip(parts) {
                    *sum = simd.add_f32s(*sum, *part);
                }
            }
        }
        let (grid, y) = (&self.part.grid, &self.part.y);
        if self.columns.len() == width && grid.is_line() {
            let place = y.at(top, M, grid.first + self.columns.start, [width, 1]);
            for (i, sums) in sums.iter().enumerate() {
                // SAFETY: `place` begins `M` rows of `width` numbers, which `N` vectors are, within the product, and they are of
                // this part alone.
                #[allow(unsafe_code)]
                unsafe {
                    place
                        .add(i * y.row)
                        .cast::<[S::f32s; N]>()
                        .write_unaligned(*sums);
                }
            }
            return;
        }
        let mut numbers = [[0.0; WIDEST]; M];
        for (numbers, sums) in numbers.iter_mut().zip(&sums) {
            S::as_mut_simd_f32s(numbers).0[..N].copy_from_slice(sums);
        }
        for (run, first) in self.runs {
            let step = grid.step;
            let place = y.at(top, M, *first, [run.len(), step]);
            for (i, numbers) in numbers.iter().enumerate() {
                let numbers = &numbers[run.clone()];
                // SAFETY: `place` begins `M` rows, in each of which `run.len()` numbers, `step` apart, lie within the
                // product, and they are of this part alone.
                #[allow(unsafe_code)]
                unsafe {
                    let row = place.add(i * y.row);
                    match step {
                        1 => row.copy_from_nonoverlapping(numbers.as_ptr(), numbers.len()),
                        step => {
                            for (k, number) in numbers.iter().enumerate() {
                                row.add(k * step).write(*number);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Windows<'_> {
    /// The windows from `first` on, counted row by row.
    fn segments(&self, columns: Range<usize>, segments: &mut Vec<Segment>) {
        segments.clear();
        let mut at = columns.start;
        while at < columns.end {
            let (row, col) = (at / self.across, at % self.across);
            let len = (self.across - col).min(columns.end - at);
            segments.push(Segment {
                row,
                cols: col..col + len,
                at: at - columns.start,
            });
            at += len;
        }
    }

    /// Gathers some windows: tap after tap of channel after channel, `step` numbers from a term to the next.
    #[inline(always)]
    fn gather(&self, terms: usize, segments: &[Segment], to: &mut [f32], step: usize) {
        let [height, width] = self.size;
        let [down, across] = self.stride;
        let taps = self.taps.len();
        for term in 0..terms {
            let (channel, tap) = (term / taps, &self.taps[term % taps]);
            let plane = channel * height * width;
            for segment in segments {
                let Segment { cols, .. } = segment;
                let to = &mut to[segment.at + term * step..];
                let row = (segment.row * down) as isize + tap.row;
                let first = tap.inside.start.clamp(cols.start, cols.end);
                let end = tap.inside.end.clamp(first, cols.end);
                if !(0..height as isize).contains(&row) || first == end {
                    zero(to, cols.len());
                    continue;
                }
                // Within the plane, as the row and both ends of the columns are.
                let from = row as usize * width + ((first * across) as isize + tap.col) as usize;
                let values = &self.values[plane + from..];
                // What runs over the end is written again: by what follows, or by the next term.
                if first > cols.start {
                    zero(to, first - cols.start);
                }
                let inside = &mut to[first - cols.start..];
                match across {
                    1 => copy(inside, values, end - first),
                    stride => read(&mut inside[..end - first], values, stride),
                }
                if end < cols.end {
                    zero(&mut to[end - cols.start..], cols.end - end);
                }
            }
        }
    }
}

/// Copies at least `len` numbers, in whole vectors where both have them.
#[inline(always)]
fn copy(to: &mut [f32], from: &[f32], len: usize) {
    let whole = len.next_multiple_of(LANES);
    if whole > to.len().min(from.len()) {
        to[..len].copy_from_slice(&from[..len]);
        return;
    }
    let pairs = to.chunks_exact_mut(LANES).zip(from.chunks_exact(LANES));
    for (to, from) in pairs.take(whole / LANES) {
        to.copy_from_slice(from);
    }
}

/// Zeroes at least `len` numbers, in whole vectors where there is room.
#[inline(always)]
fn zero(to: &mut [f32], len: usize) {
    let whole = len.next_multiple_of(LANES);
    if whole > to.len() {
        to[..len].fill(0.0);
        return;
    }
    for to in to.chunks_exact_mut(LANES).take(whole / LANES) {
        to.fill(0.0);
    }
}

/// A product: `weights columns`, and what is done with each of its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    /// The left factor.
    pub weights: Weights<'a>,
    /// The right factor.
    pub columns: Columns<'a>,
    /// What each sum is made of.
    pub terms: &'a [Term],
    /// What is done with each sum; its channels are the rows.
    pub epilogue: Epilogue<'a>,
}

impl Product<'_> {
    /// Puts `count` columns where `grid` says, into rows of `row` numbers of `y`; on all threads, if they are to
    /// work `together`. Every one of these places is written, and none is read.
    pub fn put(
        &self,
        y: &mut [MaybeUninit<f32>],
        row: usize,
        count: usize,
        grid: Grid,
        together: bool,
    ) {
        let (rows, depth) = (self.weights.rows, self.terms.len());
        if rows == 0 || count == 0 {
            return;
        }
        let threads = match together {
            true => rayon::current_num_threads(),
            false => 1,
        };
        let parts = match threads {
            1 => 1,
            threads => (SHARE * threads)
                .min((rows * count * depth).div_ceil(TASK))
                .max(1),
        };
        // By columns first: those who share columns pack the same.
        let widest = match count {
            0..=WIDEST => WIDEST,
            _ => TALL[0] * LANES,
        };
        let pieces = count.div_ceil(widest);
        let width = count.div_ceil(pieces).next_multiple_of(LANES);
        let across = parts.min(pieces);
        let down = parts.div_ceil(across).min(rows.div_ceil(TALL[1]));
        let y = Shared::new(y, row);
        let work = |i: usize| {
            let (column, row) = (i / down, i % down);
            let edge = |i: usize| (i * pieces / across * width).min(count);
            let part = Part {
                product: *self,
                grid,
                y,
                rows: row * rows / down..(row + 1) * rows / down,
                columns: edge(column)..edge(column + 1),
                width,
            };
            let scratch = match self.columns {
                Columns::Placed(_) => 0,
                Columns::Windows(_) => {
                    let columns = part.columns.len().next_multiple_of(WIDEST);
                    let columns = columns.min(self::together(&self.columns, depth) * WIDEST);
                    // Panels are narrower where vectors are shorter.
                    columns * (depth + LANES)
                }
            };
            let (rows, columns) = (part.rows.clone(), part.columns.clone());
            with_scratch(scratch, |scratch| {
                dispatch(On { part, scratch });
            });
            if let Some(then) = self.epilogue.then {
                assert_eq!(grid.step, 1, "numbers side by side");
                let mut runs = Runs::new();
                grid.runs(columns, &mut runs);
                let runs = runs.iter().map(|(run, first)| (*first, run.len()));
                y.bend(then, rows, runs);
            }
        };
        match down * across {
            1 => work(0),
            tasks => (0..tasks).into_par_iter().for_each(work),
        }
    }
}
