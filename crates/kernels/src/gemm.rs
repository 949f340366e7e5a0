//! Products of matrices in slices.

use std::mem::MaybeUninit;
use std::ops::Range;

use gemm::Parallelism;
use rayon::prelude::*;

use crate::conv::Epilogue;
use crate::written::{share_out, written};

/// Columns and rows of the largest tile that a processor computes at once: parts that hold whole ones waste none.
const TILE: [usize; 2] = [96, 4];

/// Multiplications below which a part costs more to hand out than to do.
const PART: usize = 1 << 19;

/// A matrix in a slice: element `[i, j]` is `values[i * row_stride + j * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// Where its elements are.
    pub values: &'a [f32],
    /// How many rows.
    pub rows: usize,
    /// How many columns.
    pub columns: usize,
    /// From a row to the next.
    pub row_stride: usize,
    /// From a column to the next.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other.
    pub fn packed(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The same elements, rows for columns.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// How many elements a slice must hold for a matrix that is not empty.
fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> Option<usize> {
    let last_row = (rows - 1).checked_mul(row_stride)?;
    let last_column = (columns - 1).checked_mul(column_stride)?;
    last_row.checked_add(last_column)?.checked_add(1)
}

/// Puts `a b + bias` into `y`, `a.rows` rows of `b.columns` numbers one after the other, of which nothing is read; the
/// channels of its `epilogue` are the rows.
///
/// # Panics
///
/// When sizes do not fit, or a matrix leaves its slice.
pub fn put_product<'y>(
    y: &'y mut [MaybeUninit<f32>],
    a: Matrix,
    b: Matrix,
    epilogue: Epilogue,
    on_all_threads: bool,
) -> &'y mut [f32] {
    assert_eq!(a.columns, b.rows, "matrices that can be multiplied");
    let (rows, columns, inner) = (a.rows, b.columns, a.columns);
    assert_eq!(
        rows.checked_mul(columns),
        Some(y.len()),
        "a product as large as its slice"
    );
    if let Some(bias) = epilogue.bias {
        assert_eq!(bias.len(), rows, "a bias for each row");
    }
    for matrix in [a, b] {
        let Matrix {
            values,
            rows,
            columns,
            row_stride,
            column_stride,
        } = matrix;
        let extent = match rows.min(columns) {
            0 => Some(0),
            _ => extent(rows, columns, row_stride, column_stride),
        };
        assert!(
            extent.is_some_and(|extent| extent <= values.len()),
            "a matrix within its slice"
        );
    }
    let product = Product {
        start: y.as_mut_ptr().cast(),
        a,
        b,
        epilogue,
    };
    let parts = match on_all_threads {
        true => (rows.saturating_mul(columns).saturating_mul(inner) / PART)
            .min(rayon::current_num_threads()),
        false => 1,
    };
    if parts < 2 {
        product.put(0..rows, 0..columns);
    } else {
        // Each part reads all of the other factor, the smaller one if that leaves it whole tiles.
        let [wide, tall] = TILE;
        let by_columns = columns >= wide * parts && (columns >= rows || rows < tall * parts);
        let parts: Vec<[Range<usize>; 2]> = match by_columns {
            true => (shares(columns, parts, wide).into_iter())
                .map(|columns| [0..rows, columns])
                .collect(),
            false => (shares(rows, parts, tall).into_iter())
                .map(|rows| [rows, 0..columns])
                .collect(),
        };
        parts
            .into_par_iter()
            .with_max_len(1)
            .for_each(|[rows, columns]| product.put(rows, columns));
    }
    // SAFETY: the parts are all of the rows and columns, and each was filled.
    #[allow(unsafe_code)]
    unsafe {
        y.assume_init_mut()
    }
}

/// `count` products one after the other, of as many rows and columns each: of the matrices that `a` and `b` have for each.
///
/// # Panics
///
/// As [`put_product`].
pub fn stacked<'m>(
    count: usize,
    [rows, columns]: [usize; 2],
    a: impl Fn(usize) -> Matrix<'m> + Sync,
    b: impl Fn(usize) -> Matrix<'m> + Sync,
) -> Vec<f32> {
    // Each part is a product, which is written as a whole.
    written(count * rows * columns, |y| {
        share_out(y, rows * columns, |i, y, together| {
            put_product(y, a(i), b(i), Epilogue::default(), together);
        });
    })
}

/// About equal parts of `count`, of whole tiles but for the last.
fn shares(count: usize, parts: usize, tile: usize) -> Vec<Range<usize>> {
    let parts = parts.min(count.div_ceil(tile));
    let end = |part: usize| match part == parts {
        true => count,
        // As many as are full, to the nearest.
        false => (count * part + parts * tile / 2) / (parts * tile) * tile,
    };
    let parts = (0..parts).map(|part| end(part)..end(part + 1));
    parts.filter(|part| !part.is_empty()).collect()
}

/// A product that was checked, and where it is put.
struct Product<'a> {
    start: *mut f32,
    a: Matrix<'a>,
    b: Matrix<'a>,
    epilogue: Epilogue<'a>,
}

// SAFETY: it stands for a slice that is borrowed mutably, of which threads write different rows or columns.
#[allow(unsafe_code)]
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Puts some rows and columns.
    fn put(&self, rows: Range<usize>, columns: Range<usize>) {
        let Self {
            start,
            a,
            b,
            epilogue: Epilogue { bias, then },
        } = *self;
        let row = b.columns;
        let first = rows.start * row + columns.start;
        // Sums begin with a bias; where there is none, with the first product, and without products they are nothing.
        let begun = bias.is_some() || a.columns == 0;
        for i in rows.clone().filter(|_| begun) {
            let bias = bias.map_or(0.0, |bias| bias[i]);
            // SAFETY: these columns of the row lie within the product, and nobody else has them.
            #[allow(unsafe_code)]
            let place = unsafe {
                let place = start.add(i * row + columns.start);
                std::slice::from_raw_parts_mut(place.cast::<MaybeUninit<f32>>(), columns.len())
            };
            place.fill(MaybeUninit::new(bias));
        }
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        // Strides address elements of slices, whose sizes in bytes fit into an `isize`; those of an axis
        // of one element are never multiplied by more than zero.
        let stride = |stride: usize| stride as isize;
        // SAFETY: every element that the three matrices address lies within its slice, as `put_product` checked, and
        // these rows and columns are among theirs; `y` is borrowed mutably, so it shares no element with `a` and `b`,
        // these rows and columns of it are read where they were just filled only, and nobody else has them.
        #[allow(unsafe_code)]
        unsafe {
            gemm::gemm(
                rows.len(),
                columns.len(),
                a.columns,
                start.add(first),
                1,
                stride(row),
                begun,
                a.values.as_ptr().add(rows.start * a.row_stride),
                stride(a.column_stride),
                stride(a.row_stride),
                b.values.as_ptr().add(columns.start * b.column_stride),
                stride(b.column_stride),
                stride(b.row_stride),
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
        let Some(then) = then else {
            return;
        };
        for i in rows {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            let place = unsafe {
                std::slice::from_raw_parts_mut(start.add(i * row + columns.start), columns.len())
            };
            then.apply_here(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::Pointwise;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i * 37 + 11) % 17) as f32 - 8.0)
            .collect()
    }

    /// A slice that nobody has filled; what is put there is not a number until it was written.
    fn put(a: Matrix, b: Matrix, bias: Option<&[f32]>, on_all_threads: bool) -> Vec<f32> {
        let mut y = vec![MaybeUninit::new(f32::NAN); a.rows * b.columns];
        let epilogue = Epilogue { bias, then: None };
        put_product(&mut y, a, b, epilogue, on_all_threads).to_vec()
    }

    fn naive(a: Matrix, b: Matrix, bias: Option<&[f32]>) -> Vec<f32> {
        let places = (0..a.rows).flat_map(|i| (0..b.columns).map(move |j| [i, j]));
        let at = |m: &Matrix, i: usize, j: usize| m.values[i * m.row_stride + j * m.column_stride];
        places
            .map(|[i, j]| {
                let products = (0..a.columns).map(|k| at(&a, i, k) * at(&b, k, j));
                bias.map_or(0.0, |bias| bias[i]) + products.sum::<f32>()
            })
            .collect()
    }

    #[test]
    fn products_are_those_of_loops() {
        // The last three are shared out: by columns, and by rows.
        let sizes = [
            (1, 1, 1),
            (3, 5, 7),
            (65, 9, 33),
            (4, 0, 6),
            (0, 3, 2),
            (3, 2, 0),
            (33, 70, 500),
            (301, 97, 49),
            (514, 65, 1),
            (131, 129, 131),
        ];
        for (rows, inner, columns) in sizes {
            let (a, b, bias) = (
                numbers(rows * inner),
                numbers(inner * columns),
                numbers(rows),
            );
            let straight = Matrix::packed(&a, rows, inner);
            let b = Matrix::packed(&b, inner, columns);
            let stored_by_columns = Matrix::packed(&a, inner, rows).transposed();
            for a in [straight, stored_by_columns] {
                for bias in [None, Some(&bias[..])] {
                    for on_all_threads in [false, true] {
                        let got = put(a, b, bias, on_all_threads);
                        let want = naive(a, b, bias);
                        assert_eq!(got, want, "{rows} x {inner} x {columns}");
                        let mut y = vec![MaybeUninit::uninit(); rows * columns];
                        let then = Some(Pointwise::Relu);
                        let bent = Epilogue { bias, then };
                        let got = put_product(&mut y, a, b, bent, on_all_threads);
                        assert_eq!(got, Pointwise::Relu.map(&want));
                    }
                }
            }
        }
    }

    #[test]
    fn shares_are_whole_tiles_and_all_of_it() {
        for count in 1..400 {
            for parts in 1..20 {
                let shares = shares(count, parts, 16);
                assert!(shares.len() <= parts);
                let mut next = 0;
                for share in &shares {
                    assert!(share.start == next && !share.is_empty());
                    assert!(share.start % 16 == 0);
                    next = share.end;
                }
                assert_eq!(next, count);
            }
        }
    }

    #[test]
    #[should_panic(expected = "a matrix within its slice")]
    fn a_matrix_does_not_leave_its_slice() {
        let (a, b) = (numbers(5), numbers(6));
        put(
            Matrix::packed(&a, 2, 3),
            Matrix::packed(&b, 3, 2),
            None,
            false,
        );
    }

    #[test]
    #[should_panic(expected = "a product as large as its slice")]
    fn a_product_does_not_leave_its_slice() {
        let (a, b) = (numbers(6), numbers(6));
        let mut y = [MaybeUninit::uninit(); 3];
        let [a, b] = [Matrix::packed(&a, 2, 3), Matrix::packed(&b, 3, 2)];
        put_product(&mut y, a, b, Epilogue::default(), false);
    }
}
