//! Products of matrices in slices.

use gemm::Parallelism;

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

/// `y += a b` for a `y` of `a.rows` rows of `b.columns` elements, `row_stride` apart.
///
/// # Panics
///
/// When sizes do not fit, a matrix leaves its slice, or rows of `y` overlap.
pub fn add_product(y: &mut [f32], row_stride: usize, a: Matrix, b: Matrix, on_all_threads: bool) {
    assert_eq!(a.columns, b.rows, "matrices that can be multiplied");
    let (rows, columns, inner) = (a.rows, b.columns, a.columns);
    if rows == 0 || columns == 0 || inner == 0 {
        return;
    }
    assert!(row_stride >= columns, "rows of a product do not overlap");
    let within = |extent: Option<usize>, len: usize| extent.is_some_and(|extent| extent <= len);
    assert!(
        within(extent(rows, columns, row_stride, 1), y.len()),
        "a product within its slice"
    );
    for matrix in [a, b] {
        let Matrix {
            values,
            rows,
            columns,
            row_stride,
            column_stride,
        } = matrix;
        assert!(
            within(
                extent(rows, columns, row_stride, column_stride),
                values.len()
            ),
            "a matrix within its slice"
        );
    }
    let parallelism = if on_all_threads {
        Parallelism::Rayon(0)
    } else {
        Parallelism::None
    };
    // Strides address elements of slices, whose sizes in bytes fit into an `isize`; those of an axis
    // of one element are never multiplied by more than zero.
    let stride = |stride: usize| stride as isize;
    // SAFETY: every element that the three matrices address lies within its slice, as was just
    // checked; `y` is borrowed mutably, so it shares no element with `a` and `b`, and as its rows do
    // not overlap, no two of its elements are one.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            y.as_mut_ptr(),
            1,
            stride(row_stride),
            true,
            a.values.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.values.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i * 37 + 11) % 17) as f32 - 8.0)
            .collect()
    }

    fn naive(y: &mut [f32], row_stride: usize, a: Matrix, b: Matrix) {
        for i in 0..a.rows {
            for j in 0..b.columns {
                let sum: f32 = (0..a.columns)
                    .map(|k| {
                        a.values[i * a.row_stride + k * a.column_stride]
                            * b.values[k * b.row_stride + j * b.column_stride]
                    })
                    .sum();
                y[i * row_stride + j] += sum;
            }
        }
    }

    #[test]
    fn products_are_those_of_loops_and_leave_the_rest_alone() {
        for (rows, inner, columns) in [(1, 1, 1), (3, 5, 7), (65, 9, 33), (4, 0, 6), (0, 3, 2)] {
            for on_all_threads in [false, true] {
                let (a, b) = (numbers(rows * inner), numbers(inner * columns));
                let row_stride = columns + 2;
                let y = numbers(rows * row_stride);
                let straight = Matrix::packed(&a, rows, inner);
                let b = Matrix::packed(&b, inner, columns);
                let stored_by_columns = Matrix::packed(&a, inner, rows).transposed();
                for a in [straight, stored_by_columns] {
                    let (mut got, mut want) = (y.clone(), y.clone());
                    add_product(&mut got, row_stride, a, b, on_all_threads);
                    naive(&mut want, row_stride, a, b);
                    assert_eq!(got, want, "{rows} x {inner} x {columns}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a matrix within its slice")]
    fn a_matrix_does_not_leave_its_slice() {
        let (a, b) = (numbers(5), numbers(6));
        let mut y = numbers(4);
        let a = Matrix::packed(&a, 2, 3);
        add_product(&mut y, 2, a, Matrix::packed(&b, 3, 2), false);
    }

    #[test]
    #[should_panic(expected = "a product within its slice")]
    fn a_product_does_not_leave_its_slice() {
        let (a, b) = (numbers(6), numbers(6));
        let mut y = numbers(3);
        let a = Matrix::packed(&a, 2, 3);
        add_product(&mut y, 2, a, Matrix::packed(&b, 3, 2), false);
    }
}
