//! Sums, means and extremes of rows that are as long as an image or a layer.

use burn::tensor::Tensor;

/// Numbers of a piece. What reduces a row reads one number after the other: a device with many threads would use
/// one for each row, and Mesa's software Vulkan ends any loop after 65,535 turns, with what it has by then.
const PIECE: usize = 4096;

/// Reductions of the rows `[R, C]` of any length, each giving `[R, 1]`. Long rows are reduced in pieces, then their
/// results.
pub trait LongRows: Sized {
    /// The sum of each row.
    fn row_sums(self) -> Self;

    /// The mean of each row.
    fn row_means(self) -> Self;

    /// The largest number of each row.
    fn row_maxima(self) -> Self;

    /// The smallest number of each row.
    fn row_minima(self) -> Self;
}

impl LongRows for Tensor<2> {
    fn row_sums(self) -> Self {
        in_pieces(self, |rows| rows.sum_dim(1))
    }

    fn row_means(self) -> Self {
        let [_, columns] = self.dims();
        match columns <= PIECE {
            true => self.mean_dim(1),
            false => self.row_sums() / columns as f32,
        }
    }

    fn row_maxima(self) -> Self {
        in_pieces(self, |rows| rows.max_dim(1))
    }

    fn row_minima(self) -> Self {
        in_pieces(self, |rows| rows.min_dim(1))
    }
}

/// Reduces by a function that does not mind being called on parts first.
fn in_pieces(rows: Tensor<2>, reduce: impl Fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
    let mut rows = rows;
    loop {
        let [count, columns] = rows.dims();
        if columns <= PIECE || count == 0 {
            return reduce(rows);
        }
        let pieces = columns / PIECE;
        let (whole, rest) = (pieces * PIECE, columns % PIECE);
        let tail = (rest > 0).then(|| reduce(rows.clone().narrow(1, whole, rest)));
        let head = match rest {
            0 => rows,
            _ => rows.narrow(1, 0, whole),
        };
        let head = reduce(head.reshape([count * pieces, PIECE])).reshape([count, pieces]);
        rows = match tail {
            Some(tail) => Tensor::cat(vec![head, tail], 1),
            None => head,
        };
    }
}
