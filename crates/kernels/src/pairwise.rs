//! Sums, differences and products of two tensors that broadcast, and their gradients, in one sweep on all threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::threads::TASK;
use crate::vectors::vectorised;
use crate::written::written;

/// A function of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairwise {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a b`.
    Mul,
}

/// One of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// How two shapes broadcast, in as few axes as say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    axes: Vec<Axis>,
}

/// An axis of the result, and which operands have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    size: usize,
    of: [bool; 2],
}

impl Axis {
    fn is_of(&self, side: Side) -> bool {
        self.of[side as usize]
    }

    /// The same of two operands that both have it.
    fn whole(&self) -> Self {
        Self {
            of: [true; 2],
            ..*self
        }
    }
}

impl Broadcast {
    /// Shapes of one rank. `None` when they do not broadcast, or hold nothing.
    pub fn new(a: &[usize], b: &[usize]) -> Option<Self> {
        let mut axes: Vec<Axis> = Vec::new();
        for (&a, &b) in a.iter().zip(b) {
            let size = a.max(b);
            let of = [a == size, b == size];
            match (a, b) {
                (1, 1) => continue,
                (0, _) | (_, 0) => return None,
                _ if of == [true; 2] || a.min(b) == 1 => {}
                _ => return None,
            }
            match axes.last_mut().filter(|axis| axis.of == of) {
                Some(before) => before.size = before.size.checked_mul(size)?,
                None => axes.push(Axis { size, of }),
            }
        }
        if axes.is_empty() {
            let of = [true; 2];
            axes.push(Axis { size: 1, of });
        }
        (a.len() == b.len()).then_some(Self { axes })
    }

    /// How many numbers the result has.
    pub fn numbers(&self) -> usize {
        self.axes.iter().map(|axis| axis.size).product()
    }

    /// Whether an operand has all axes.
    pub fn is_whole(&self, side: Side) -> bool {
        self.axes.iter().all(|axis| axis.is_of(side))
    }

    fn numbers_of(&self, side: Side) -> usize {
        let axes = self.axes.iter().filter(|axis| axis.is_of(side));
        axes.map(|axis| axis.size).product()
    }

    /// The axes before the last, and the last.
    fn rows(&self) -> (&[Axis], Axis) {
        let (last, outer) = self.axes.split_last().expect("one axis at least");
        (outer, *last)
    }

    /// # Panics
    ///
    /// When an operand has another number of numbers.
    fn check(&self, side: Side, values: &[f32]) {
        assert_eq!(
            values.len(),
            self.numbers_of(side),
            "as many numbers as the operand's shape has"
        );
    }
}

/// From an index to the next along each of some axes, for an operand that follows them with `inner` numbers each.
fn steps(axes: &[Axis], side: Side, inner: usize) -> Vec<usize> {
    let mut step = inner;
    let mut steps: Vec<usize> = (axes.iter().rev())
        .map(|axis| match axis.is_of(side) {
            true => {
                let here = step;
                step *= axis.size;
                here
            }
            false => 0,
        })
        .collect();
    steps.reverse();
    steps
}

/// Where the numbers of an index lie, which counts `sizes`, the last fastest.
fn place(mut index: usize, sizes: &[usize], steps: &[usize]) -> usize {
    let mut at = 0;
    for (size, step) in sizes.iter().zip(steps).rev() {
        at += index % size * step;
        index /= size;
    }
    at
}

/// Where the rows of both operands begin.
struct Rows {
    sizes: Vec<usize>,
    steps: [Vec<usize>; 2],
    /// Numbers of the result in a row.
    len: usize,
    /// Whether a row of an operand has as many, or one for all.
    whole: [bool; 2],
}

impl Rows {
    fn new(on: &Broadcast) -> Self {
        let (outer, last) = on.rows();
        let of = |side| {
            let inner = if last.is_of(side) { last.size } else { 1 };
            steps(outer, side, inner)
        };
        Self {
            sizes: outer.iter().map(|axis| axis.size).collect(),
            steps: [of(Side::Left), of(Side::Right)],
            len: last.size,
            whole: last.of,
        }
    }

    /// An operand's numbers for those from `first` on of a row: as many as `len`, or one.
    fn of<'v>(
        &self,
        values: &'v [f32],
        side: Side,
        row: usize,
        [first, len]: [usize; 2],
    ) -> &'v [f32] {
        let side = side as usize;
        let at = place(row, &self.sizes, &self.steps[side]);
        match self.whole[side] {
            true => &values[at + first..][..len],
            false => &values[at..][..1],
        }
    }
}

/// Calls `f(row, first, part)` for parts of rows of `len`, on all threads: parts of short rows are whole.
fn for_each_row<T: Send>(
    y: &mut [T],
    len: usize,
    f: impl Fn(usize, usize, &mut [T]) + Send + Sync,
) {
    if len <= TASK {
        let rows = y.par_chunks_mut(len).enumerate();
        let rows = rows.with_min_len(TASK.div_ceil(len));
        return rows.for_each(|(row, y)| {
            vectorised(
                #[inline(always)]
                || f(row, 0, y),
            )
        });
    }
    for (row, y) in y.chunks_mut(len).enumerate() {
        let parts = y.par_chunks_mut(TASK).enumerate();
        parts.for_each(|(i, y)| {
            vectorised(
                #[inline(always)]
                || f(row, i * TASK, y),
            )
        });
    }
}

impl Pairwise {
    /// The result, of two operands as `on` says.
    ///
    /// # Panics
    ///
    /// When they do not have as many numbers.
    pub fn run(self, a: &[f32], b: &[f32], on: &Broadcast) -> Vec<f32> {
        match self {
            Self::Add => run(a, b, on, |a, b| a + b),
            Self::Sub => run(a, b, on, |a, b| a - b),
            Self::Mul => run(a, b, on, |a, b| a * b),
        }
    }

    /// The same in place of an operand that has all axes.
    ///
    /// # Panics
    ///
    /// When operands do not have as many numbers as `on` says.
    pub fn update(self, y: &mut [f32], side: Side, other: &[f32], on: &Broadcast) {
        assert!(on.is_whole(side), "an operand as large as the result");
        match (self, side) {
            (Self::Add, _) => update(y, side, other, on, |y, x| y + x),
            (Self::Sub, Side::Left) => update(y, side, other, on, |y, x| y - x),
            (Self::Sub, Side::Right) => update(y, side, other, on, |y, x| x - y),
            (Self::Mul, _) => update(y, side, other, on, |y, x| y * x),
        }
    }

    /// Whether the gradient at an operand is that at the result, but for axes that it does not have.
    pub fn passes(self, side: Side) -> bool {
        matches!((self, side), (Self::Add, _) | (Self::Sub, Side::Left))
    }

    /// The gradient at an operand, given the one at the result and, of a product, the other operand: sums over the axes that
    /// the operand does not have.
    ///
    /// # Panics
    ///
    /// When these do not have as many numbers as `on` says, or a product has no other operand.
    pub fn backward(
        self,
        g: &[f32],
        side: Side,
        other: Option<&[f32]>,
        on: &Broadcast,
    ) -> Vec<f32> {
        assert_eq!(g.len(), on.numbers(), "a gradient for each number");
        match (self, side) {
            (Self::Mul, _) => {
                let other = other.expect("the other factor");
                match (on.is_whole(side), side) {
                    (true, Side::Left) => self.run(g, other, on),
                    (true, Side::Right) => self.run(other, g, on),
                    (false, _) => sums(g, side, Some(other), on, |g, x| g * x),
                }
            }
            (Self::Sub, Side::Right) => sums(g, side, None, on, |g, _| -g),
            _ => sums(g, side, None, on, |g, _| g),
        }
    }
}

fn run(
    a: &[f32],
    b: &[f32],
    on: &Broadcast,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync,
) -> Vec<f32> {
    on.check(Side::Left, a);
    on.check(Side::Right, b);
    let rows = Rows::new(on);
    // Every part of every row is written.
    written(on.numbers(), |y| {
        for_each_row(
            y,
            rows.len,
            #[inline(always)]
            |row, first, y: &mut [MaybeUninit<f32>]| {
                let part = [first, y.len()];
                let a = rows.of(a, Side::Left, row, part);
                let b = rows.of(b, Side::Right, row, part);
                match rows.whole {
                    [true, true] => {
                        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                            y.write(f(*a, *b));
                        }
                    }
                    [true, false] => {
                        let b = b[0];
                        for (y, a) in y.iter_mut().zip(a) {
                            y.write(f(*a, b));
                        }
                    }
                    [false, _] => {
                        let a = a[0];
                        for (y, b) in y.iter_mut().zip(b) {
                            y.write(f(a, *b));
                        }
                    }
                }
            },
        );
    })
}

fn update(
    y: &mut [f32],
    side: Side,
    other: &[f32],
    on: &Broadcast,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync,
) {
    on.check(side, y);
    on.check(side.other(), other);
    let rows = Rows::new(on);
    for_each_row(
        y,
        rows.len,
        #[inline(always)]
        |row, first, y: &mut [f32]| {
            let x = rows.of(other, side.other(), row, [first, y.len()]);
            if rows.whole[side.other() as usize] {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = f(*y, *x);
                }
            } else {
                let x = x[0];
                for y in y.iter_mut() {
                    *y = f(*y, x);
                }
            }
        },
    );
}

/// Sums of `f(g, other)` over the axes that an operand does not have. Without the other, `f` is to look at `g` alone.
fn sums(
    g: &[f32],
    side: Side,
    other: Option<&[f32]>,
    on: &Broadcast,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync,
) -> Vec<f32> {
    if let Some(other) = other {
        on.check(side.other(), other);
    }
    let (outer, last) = on.rows();
    let rows = Rows::new(on);
    // Of the axes that the operand has, and of those that are summed over: sizes, and steps of the gradient, which has all
    // axes, and of the other operand.
    let of_g = steps(
        &outer.iter().map(Axis::whole).collect::<Vec<_>>(),
        side,
        last.size,
    );
    let of_other = &rows.steps[side.other() as usize];
    let axes = |has: bool| -> [Vec<usize>; 3] {
        let axes = outer.iter().enumerate();
        let axes = axes.filter(|(_, axis)| axis.is_of(side) == has);
        let places: Vec<usize> = axes.map(|(place, _)| place).collect();
        let sizes = places.iter().map(|&place| outer[place].size).collect();
        let [g, other] = [&of_g, of_other].map(|steps| places.iter().map(|&i| steps[i]).collect());
        [sizes, g, other]
    };
    let [kept, kept_g, kept_other] = axes(true);
    let [summed, summed_g, summed_other] = axes(false);
    let count: usize = summed.iter().product();
    let has_row = rows.whole[side.other() as usize];
    // The rows that add up to the numbers of an index.
    let added = |index: usize, first: usize, len: usize| {
        let begin = place(index, &kept, &kept_g) + first;
        let begin_other = place(index, &kept, &kept_other);
        let (summed, summed_g, summed_other) = (&summed, &summed_g, &summed_other);
        (0..count).map(move |i| {
            let g = &g[begin + place(i, summed, summed_g)..][..len];
            let x = other.map(|other| {
                let at = begin_other + place(i, summed, summed_other);
                match has_row {
                    true => &other[at + first..][..len],
                    false => &other[at..][..1],
                }
            });
            (g, x)
        })
    };
    let mut sums = vec![0.0; on.numbers_of(side)];
    if last.is_of(side) {
        for_each_row(
            &mut sums,
            last.size,
            #[inline(always)]
            |index, first, sums: &mut [f32]| {
                for (g, x) in added(index, first, sums.len()) {
                    match x {
                        Some(x) if has_row => {
                            for ((sum, g), x) in sums.iter_mut().zip(g).zip(x) {
                                *sum += f(*g, *x);
                            }
                        }
                        x => {
                            let x = x.map_or(0.0, |x| x[0]);
                            for (sum, g) in sums.iter_mut().zip(g) {
                                *sum += f(*g, x);
                            }
                        }
                    }
                }
            },
        );
        return sums;
    }
    let work = count.saturating_mul(last.size).max(1);
    let each = sums.par_iter_mut().enumerate();
    each.with_min_len(TASK.div_ceil(work))
        .for_each(|(index, sum)| {
            vectorised(
                #[inline(always)]
                || {
                    for (g, x) in added(index, 0, last.size) {
                        // The other operand has the axis, as one of both does.
                        *sum += total(g, x.unwrap_or(g), f);
                    }
                },
            );
        });
    sums
}

/// So many sums run beside each other, of so many terms at a time: long chains of additions round more.
const LANES: usize = 16;
const STRETCH: usize = 512;

/// The sum of a function of each pair.
#[inline(always)]
fn total(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let stretches = a.chunks(STRETCH).zip(b.chunks(STRETCH));
    stretches
        .map(
            #[inline(always)]
            |(a, b)| {
                let mut sums = [0.0; LANES];
                let (a, rest_a) = a.as_chunks::<LANES>();
                let (b, rest_b) = b.as_chunks::<LANES>();
                for (a, b) in a.iter().zip(b) {
                    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                        *sum += f(*a, *b);
                    }
                }
                let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| f(*a, *b)).sum();
                sums.iter().sum::<f32>() + rest
            },
        )
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the definition says, in double precision: the result, and the gradients at both operands.
    fn naive(
        f: Pairwise,
        a: &[f32],
        b: &[f32],
        g: &[f32],
        [of_a, of_b]: [&[usize]; 2],
    ) -> [Vec<f64>; 3] {
        let sizes: Vec<usize> = of_a.iter().zip(of_b).map(|(a, b)| *a.max(b)).collect();
        let place = |index: usize, of: &[usize]| {
            let (mut rest, mut at, mut step) = (index, 0, 1);
            for (size, of) in sizes.iter().zip(of).rev() {
                at += if *of == 1 { 0 } else { rest % size * step };
                step *= of;
                rest /= size;
            }
            at
        };
        let mut y = Vec::new();
        let mut gradients = [vec![0.0; a.len()], vec![0.0; b.len()]];
        for (index, g) in g.iter().enumerate() {
            let [i, j] = [place(index, of_a), place(index, of_b)];
            let [a, b, g] = [a[i], b[j], *g].map(f64::from);
            let (value, slopes) = match f {
                Pairwise::Add => (a + b, [1.0, 1.0]),
                Pairwise::Sub => (a - b, [1.0, -1.0]),
                Pairwise::Mul => (a * b, [b, a]),
            };
            y.push(value);
            gradients[0][i] += g * slopes[0];
            gradients[1][j] += g * slopes[1];
        }
        let [at_a, at_b] = gradients;
        [y, at_a, at_b]
    }

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0;
        (0..len).map(number).collect()
    }

    /// Within what rounding costs sums of terms that add up to `sizes` without their signs.
    fn assert_close(got: &[f32], want: &[f64], sizes: &[f64], what: &str) {
        assert_eq!(got.len(), want.len(), "{what}");
        for ((got, want), size) in got.iter().zip(want).zip(sizes) {
            let far = (f64::from(*got) - want).abs();
            assert!(far <= 5e-7 * size, "{what}: {got}, not {want}");
        }
    }

    fn magnitudes(x: &[f32]) -> Vec<f32> {
        x.iter().map(|x| x.abs()).collect()
    }

    #[test]
    fn results_and_gradients_are_those_of_the_definition() {
        let shapes: [[&[usize]; 2]; 14] = [
            [&[], &[]],
            [&[1, 1], &[1, 1]],
            [&[5], &[5]],
            [&[2, 3, 40, 50], &[2, 3, 40, 50]],
            [&[2, 3, 40, 50], &[2, 3, 1, 1]],
            [&[1, 3, 1, 1], &[2, 3, 4, 5]],
            [&[2, 1, 7, 33], &[1, 3, 7, 33]],
            [&[4, 1, 5], &[1, 6, 1]],
            [&[3, 40_000], &[1, 40_000]],
            [&[3, 40_000], &[3, 1]],
            [&[1, 40_000], &[2, 1]],
            [&[2, 1, 3, 1, 17], &[1, 5, 3, 4, 1]],
            [&[1], &[70_001]],
            [&[20_000, 2], &[20_000, 1]],
        ];
        for [of_a, of_b] in shapes {
            let on = Broadcast::new(of_a, of_b).unwrap();
            let [a, b] =
                [(of_a, 1), (of_b, 2)].map(|(of, seed)| numbers(of.iter().product(), seed));
            let g = numbers(on.numbers(), 3);
            for f in [Pairwise::Add, Pairwise::Sub, Pairwise::Mul] {
                let what = format!("{f:?} of {of_a:?} and {of_b:?}");
                let [y, at_a, at_b] = naive(f, &a, &b, &g, [of_a, of_b]);
                let [of_y, sizes_a, sizes_b] = {
                    let f = if f == Pairwise::Sub { Pairwise::Add } else { f };
                    let [a, b, g] = [&a, &b, &g].map(|x| magnitudes(x));
                    naive(f, &a, &b, &g, [of_a, of_b])
                };
                assert_close(&f.run(&a, &b, &on), &y, &of_y, &what);
                for (side, x, other, at_x, sizes) in [
                    (Side::Left, &a, &b, at_a, sizes_a),
                    (Side::Right, &b, &a, at_b, sizes_b),
                ] {
                    let gradient = f.backward(&g, side, Some(other), &on);
                    assert_close(&gradient, &at_x, &sizes, &what);
                    if on.is_whole(side) {
                        let mut x = x.clone();
                        f.update(&mut x, side, other, &on);
                        assert_close(&x, &y, &of_y, &what);
                    }
                    if f.passes(side) && on.is_whole(side) {
                        assert_eq!(f.backward(&g, side, None, &on), g, "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn axes_that_say_the_same_are_one() {
        let on = Broadcast::new(&[2, 1, 3, 4, 5], &[2, 1, 1, 1, 5]).unwrap();
        let sizes: Vec<usize> = on.axes.iter().map(|axis| axis.size).collect();
        assert_eq!(sizes, [2, 12, 5]);
        assert!(on.is_whole(Side::Left) && !on.is_whole(Side::Right));
    }

    #[test]
    fn other_shapes_do_not_broadcast() {
        for (a, b) in [
            (&[2, 3][..], &[3, 2][..]),
            (&[3], &[3, 1]),
            (&[0, 2], &[1, 2]),
        ] {
            assert_eq!(Broadcast::new(a, b), None, "{a:?} {b:?}");
        }
    }
}
