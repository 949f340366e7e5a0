//! Pixels that share an edge.

/// The pixels above, below, left and right of one. Those beyond the first row or column wrap around to numbers that
/// no pixel has.
pub(crate) fn around([y, x]: [usize; 2]) -> [[usize; 2]; 4] {
    [
        [y.wrapping_sub(1), x],
        [y + 1, x],
        [y, x.wrapping_sub(1)],
        [y, x + 1],
    ]
}
