//! A large matrix, gone through block by block.

use ndarray::{ArrayView2, CowArray, Ix2};
use rayon::prelude::*;

use crate::error::FactorError;
use crate::kernel::{self, Strides};
use crate::scalar::{Scalar, widen};

/// Bytes of a block of rows: it stays in the cache between the two products of one sweep.
const BLOCK: usize = 128 << 10;

/// Parts of a matrix that may be worked on at the same time. Fixed, so that results do not depend
/// on the number of threads: each part has sums of its own, added in order.
const PARTS: usize = 16;

/// Multiplications below which handing work out costs more than it saves.
const PARALLEL: usize = 4_000_000;

/// A checked matrix in row-major order, with what one pass over it tells.
pub(crate) struct Matrix<'a, T> {
    values: CowArray<'a, T, Ix2>,
    pub rows: usize,
    pub cols: usize,
    /// Mean of all values.
    pub mean: f64,
    /// Frobenius norm.
    pub norm: f64,
}

impl<'a, T: Scalar> Matrix<'a, T> {
    /// Checks for non-negative finite values whose squares can be summed.
    pub fn new(what: &'static str, values: ArrayView2<'a, T>) -> Result<Self, FactorError> {
        let matrix = Self::factor(what, values)?;
        let squares = matrix.norm * matrix.norm;
        let least = widen(T::min_positive_value()) / widen(T::epsilon());
        if squares < least && matrix.mean > 0.0 {
            return Err(range::<T>(what, "small", squares));
        }
        Ok(matrix)
    }

    /// As [`Matrix::new`], for factors, which penalties may make vanishingly small.
    pub fn factor(what: &'static str, values: ArrayView2<'a, T>) -> Result<Self, FactorError> {
        let (rows, cols) = values.dim();
        if rows == 0 || cols == 0 {
            return Err(FactorError::Empty {
                what,
                shape: vec![rows, cols],
            });
        }
        let values = if values.is_standard_layout() {
            CowArray::from(values)
        } else {
            CowArray::from(values.as_standard_layout().into_owned())
        };
        let mut matrix = Self {
            values,
            rows,
            cols,
            mean: 0.0,
            norm: 0.0,
        };
        let (mut sum, mut squares) = (0.0, 0.0);
        let part_rows = matrix.part_rows();
        let surveys: Vec<_> = if matrix.parallel(1) {
            let parts = matrix.slice().par_chunks(part_rows * cols);
            parts.map(kernel::survey).collect()
        } else {
            let parts = matrix.slice().chunks(part_rows * cols);
            parts.map(kernel::survey).collect()
        };
        for (part, (part_sum, part_squares, bad)) in surveys.into_iter().enumerate() {
            if let Some(at) = bad {
                let (row, column) = (part * part_rows + at / cols, at % cols);
                let value = widen(matrix.values[[row, column]]);
                return Err(if value.is_finite() {
                    FactorError::Negative {
                        what,
                        row,
                        column,
                        value,
                    }
                } else {
                    FactorError::NotFinite {
                        what,
                        row,
                        column,
                        value,
                    }
                });
            }
            sum += part_sum;
            squares += part_squares;
        }
        let limit = widen(T::max_value()) * widen(T::epsilon());
        if squares >= limit || !sum.is_finite() {
            return Err(range::<T>(what, "large", squares));
        }
        matrix.mean = sum / (rows as f64 * cols as f64);
        matrix.norm = squares.sqrt();
        Ok(matrix)
    }

    pub fn slice(&self) -> &[T] {
        // The constructor made it row-major.
        self.values.as_slice().unwrap_or_default()
    }

    /// Rows of a block: a multiple of the tallest register tile where there are so many.
    pub fn block_rows(&self) -> usize {
        let rows = BLOCK / (self.cols * size_of::<T>());
        (rows.clamp(16, 512) / 4 * 4).min(self.rows)
    }

    fn part_rows(&self) -> usize {
        let block = self.block_rows();
        self.rows.div_ceil(block).div_ceil(PARTS) * block
    }

    /// Whether one sweep with `components` is worth handing out to threads.
    fn parallel(&self, components: usize) -> bool {
        self.rows
            .saturating_mul(self.cols)
            .saturating_mul(components)
            >= PARALLEL
            && rayon::current_num_threads() > 1
    }

    /// `[components, rows]` of zeros, cut into panels as [`Matrix::sweep`] wants them.
    pub fn panels(&self, components: usize) -> Panels<T> {
        Panels {
            values: vec![T::zero(); self.rows * components],
            components,
            block: self.block_rows(),
        }
    }

    /// Goes through the matrix once: for each block of rows and its panel calls
    /// `f(rows, panel, sums, scratch)`, and gives the sums over all blocks.
    pub fn sweep(
        &self,
        panels: &mut Panels<T>,
        sums: &mut Sums<T>,
        f: impl Fn(&[T], &mut [T], &mut Part<T>) + Sync,
    ) {
        let k = panels.components;
        let (block, rows) = (panels.block, self.part_rows());
        let parts = self.rows.div_ceil(rows);
        sums.parts.resize_with(parts, || Part::new(k, self.cols));
        let work = |((x, panel), part): ((&[T], &mut [T]), &mut Part<T>)| {
            part.clear();
            let blocks = x.chunks(block * self.cols);
            for (x, panel) in blocks.zip(panel.chunks_mut(block * k)) {
                f(x, panel, part);
            }
        };
        if self.parallel(k) {
            self.slice()
                .par_chunks(rows * self.cols)
                .zip(panels.values.par_chunks_mut(rows * k))
                .zip(&mut sums.parts)
                .for_each(work);
        } else {
            self.slice()
                .chunks(rows * self.cols)
                .zip(panels.values.chunks_mut(rows * k))
                .zip(&mut sums.parts)
                .for_each(work);
        }
        let (total, others) = sums.parts.split_at_mut(1);
        for other in others {
            total[0].add(other);
        }
    }
}

fn range<T: Scalar>(what: &'static str, size: &'static str, squares: f64) -> FactorError {
    FactorError::Range {
        what,
        size,
        kind: std::any::type_name::<T>(),
        squares,
    }
}

/// A narrow matrix `[rows, components]`, in panels that belong to blocks of rows. Inside a panel the
/// component comes first.
pub(crate) struct Panels<T> {
    values: Vec<T>,
    pub components: usize,
    block: usize,
}

impl<T: Scalar> Panels<T> {
    pub fn each(&self) -> impl Iterator<Item = &[T]> {
        self.values.chunks(self.block * self.components)
    }

    /// Sets the value of row `i` and component `t` to `f(i, t)`.
    pub fn fill(&mut self, mut f: impl FnMut(usize, usize) -> T) {
        let (k, block) = (self.components, self.block);
        for (b, panel) in self.values.chunks_mut(block * k).enumerate() {
            let length = panel.len() / k;
            for (t, values) in panel.chunks_mut(length).enumerate() {
                for (i, value) in values.iter_mut().enumerate() {
                    *value = f(b * block + i, t);
                }
            }
        }
    }

    /// Calls `f` with row, component and value.
    pub fn visit(&self, mut f: impl FnMut(usize, usize, T)) {
        let (k, block) = (self.components, self.block);
        for (b, panel) in self.values.chunks(block * k).enumerate() {
            let length = panel.len() / k;
            for (t, values) in panel.chunks(length).enumerate() {
                for (i, &value) in values.iter().enumerate() {
                    f(b * block + i, t, value);
                }
            }
        }
    }
}

/// The sums of a sweep, in parts. What all parts give is in the first.
pub(crate) struct Sums<T> {
    parts: Vec<Part<T>>,
}

impl<T: Scalar> Sums<T> {
    pub fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// The sums after a sweep.
    pub fn total(&mut self, components: usize, cols: usize) -> &mut Part<T> {
        if self.parts.is_empty() {
            self.parts.push(Part::new(components, cols));
        }
        &mut self.parts[0]
    }
}

/// Sums over the blocks of one part.
pub(crate) struct Part<T> {
    cols: usize,
    /// `[components, cols]`
    pub products: Vec<T>,
    /// `[components, components]`
    pub gram: Vec<f64>,
    /// `[components]`
    pub totals: Vec<f64>,
    /// Violations, or an error.
    pub scalar: f64,
    /// `[components, rows of a block]`
    pub narrow: Vec<T>,
    /// `[rows of a block, cols]`
    pub wide: Vec<T>,
    square: Vec<T>,
    /// For the caller, kept between blocks.
    pub spare: Vec<T>,
}

impl<T: Scalar> Part<T> {
    pub fn new(components: usize, cols: usize) -> Self {
        Self {
            cols,
            products: vec![T::zero(); components * cols],
            gram: vec![0.0; components * components],
            totals: vec![0.0; components],
            scalar: 0.0,
            narrow: Vec::new(),
            wide: Vec::new(),
            square: vec![T::zero(); components * components],
            spare: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.products.fill(T::zero());
        self.gram.fill(0.0);
        self.totals.fill(0.0);
        self.scalar = 0.0;
    }

    fn add(&mut self, other: &Self) {
        for (a, b) in self.products.iter_mut().zip(&other.products) {
            *a += *b;
        }
        for (a, b) in self.gram.iter_mut().zip(&other.gram) {
            *a += *b;
        }
        for (a, b) in self.totals.iter_mut().zip(&other.totals) {
            *a += *b;
        }
        self.scalar += other.scalar;
    }

    /// `narrow = rows h^T`
    pub fn project(&mut self, rows: &[T], h: &[T]) {
        let components = h.len() / self.cols;
        let count = rows.len() / self.cols;
        self.narrow.resize(components * count, T::zero());
        kernel::dots(rows, self.cols, h, &mut self.narrow);
    }

    /// `products += panel^T rows`
    pub fn gather(&mut self, rows: &[T], panel: &[T]) {
        gather(rows, self.cols, panel, &mut self.products);
    }

    /// `gram += panel^T panel`
    pub fn gather_gram(&mut self, panel: &[T], rows: usize) {
        kernel::dots(panel, rows, panel, &mut self.square);
        for (sum, &value) in self.gram.iter_mut().zip(&self.square) {
            *sum += widen(value);
        }
    }

    /// `totals += ` the sums of the panel's components.
    pub fn gather_totals(&mut self, panel: &[T], rows: usize) {
        for (sum, values) in self.totals.iter_mut().zip(panel.chunks(rows)) {
            *sum += widen(values.iter().copied().sum::<T>());
        }
    }

    /// `wide = panel h`
    pub fn expand(&mut self, panel: &[T], rows: usize, h: &[T]) {
        self.wide.clear();
        self.wide.resize(rows * self.cols, T::zero());
        expand(panel, rows, self.cols, h, &mut self.wide);
    }
}

/// `products += panel^T rows`
pub(crate) fn gather<T: Scalar>(rows: &[T], cols: usize, panel: &[T], products: &mut [T]) {
    let strides = Strides {
        component: rows.len() / cols,
        row: 1,
    };
    kernel::combine(rows, cols, panel, strides, products);
}

/// `out += panel h`
pub(crate) fn expand<T: Scalar>(panel: &[T], rows: usize, cols: usize, h: &[T], out: &mut [T]) {
    let strides = Strides {
        component: 1,
        row: rows,
    };
    kernel::combine(h, cols, panel, strides, out);
}
