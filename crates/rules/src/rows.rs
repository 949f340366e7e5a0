//! Normalisations and softmax of rows, and channels that are scaled and shifted, where tensors lie in main memory.

use burn::tensor::Tensor;
use elucid_kernels::rows;

use crate::AnyRank;
use crate::host::{Numbers, computes_on_host};
use crate::operation::{Operation, Pullback, run_any_rank};

/// What the numbers of each row become besides.
#[derive(Debug, Clone)]
pub struct Affine {
    scale: Vec<f32>,
    bias: Vec<f32>,
    segment: usize,
}

impl Affine {
    /// `count` factors and shifts for `x`, 1 and 0 where there are none, each for `segment` numbers in succession,
    /// counted round. `None` where there is no kernel: on other devices than burn's CPU backend, and unless those that
    /// are given are constants there.
    pub fn of<const D: usize>(
        x: &Tensor<D>,
        scale: Option<AnyRank>,
        bias: Option<AnyRank>,
        count: usize,
        segment: usize,
    ) -> Option<Self> {
        if !computes_on_host(x) || count == 0 || segment == 0 {
            return None;
        }
        let values = |x: Option<AnyRank>, otherwise: f32| match x {
            Some(x) => Numbers::of(x.cast::<1>()).map(|x| x.values().to_vec()),
            None => Some(vec![otherwise; count]),
        };
        let (scale, bias) = (values(scale, 1.0)?, values(bias, 0.0)?);
        let fits = scale.len() == count && bias.len() == count;
        fits.then_some(Self {
            scale,
            bias,
            segment,
        })
    }
}

/// Each row `[R, C]` with mean 0, if it is `centred`, and mean square 1, then scaled and shifted; differentiable
/// in `x`. `None` where segments are neither single numbers, of which a row has as many as there are factors, nor
/// parts of a row.
pub fn standardise(
    x: &Tensor<2>,
    affine: Affine,
    centred: bool,
    epsilon: f32,
) -> Option<Tensor<2>> {
    let [_, row] = x.dims();
    let fits = match affine.segment {
        1 => affine.scale.len() == row,
        segment => row.is_multiple_of(segment),
    };
    let operation = Standardisation {
        row,
        affine,
        centred,
        epsilon,
    };
    (fits && row > 0).then(|| run_any_rank(x.clone(), operation))
}

/// The softmax along each row `[R, C]`, differentiable.
///
/// On burn's CPU backend a kernel of our own runs; elsewhere `otherwise`, which is to compute the same.
pub fn softmax_of_rows(x: Tensor<2>, otherwise: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
    let [_, row] = x.dims();
    match row > 0 && computes_on_host(&x) {
        true => run_any_rank(x, Softmax { row }),
        false => otherwise(x),
    }
}

/// Each number by its factor, plus its shift, differentiable in `x`, a tensor whose rank need not be the one in
/// its type. Without factors `otherwise`, which is to compute the same.
pub fn scale_and_shift(
    x: Tensor<1>,
    affine: Option<Affine>,
    otherwise: impl FnOnce(Tensor<1>) -> Tensor<1>,
) -> Tensor<1> {
    match affine {
        Some(affine) => run_any_rank(x, ScaleAndShift(affine)),
        None => otherwise(x),
    }
}

#[derive(Debug, Clone)]
struct Standardisation {
    row: usize,
    affine: Affine,
    centred: bool,
    epsilon: f32,
}

impl Standardisation {
    fn kernel(&self) -> rows::Standardise<'_> {
        rows::Standardise {
            row: self.row,
            centred: self.centred,
            epsilon: self.epsilon,
            scale: &self.affine.scale,
            bias: &self.affine.bias,
            segment: self.affine.segment,
        }
    }
}

impl Operation for Standardisation {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = Numbers::expected(x);
        x.made(self.kernel().forward(x.values()))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let (x, this) = (Numbers::expected(x), self.clone());
        let y = x.made(self.kernel().forward(x.values()));
        let pullback = Pullback::new(move |g| {
            Numbers::expected(g).changed(|g| this.kernel().backward(x.values(), g))
        });
        (y, pullback)
    }
}

#[derive(Debug)]
struct Softmax {
    row: usize,
}

impl Operation for Softmax {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        Numbers::expected(x).changed(|x| rows::softmax(x, self.row))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let row = self.row;
        let y = Numbers::expected(self.forward(x));
        let kept = y.clone();
        let pullback = Pullback::new(move |g| {
            Numbers::expected(g).changed(|g| rows::softmax_backward(kept.values(), g, row))
        });
        (y.into_tensor(), pullback)
    }
}

#[derive(Debug)]
struct ScaleAndShift(Affine);

impl Operation for ScaleAndShift {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Affine {
            scale,
            bias,
            segment,
        } = &self.0;
        Numbers::expected(x).changed(|x| rows::scale_and_shift(x, scale, Some(bias), *segment))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let Affine { scale, segment, .. } = self.0.clone();
        let pullback = Pullback::new(move |g| {
            Numbers::expected(g).changed(|g| rows::scale_and_shift(g, &scale, None, segment))
        });
        (self.forward(x), pullback)
    }
}
