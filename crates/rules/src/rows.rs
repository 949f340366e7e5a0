//! Normalisations and softmax of rows, and channels that are scaled and shifted, where tensors lie in main memory.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_kernels::rows;

use crate::AnyRank;
use crate::host::{Numbers, computes_on_host};
use crate::operation::{self, Operation, Pullback};

/// What the numbers of each row become besides.
#[derive(Debug, Clone)]
pub struct Affine {
    scale: Vec<f32>,
    bias: Vec<f32>,
    segment: usize,
}

impl Affine {
    /// `count` factors and shifts, 1 and 0 where there are none, each for `segment` numbers in succession, counted
    /// round. `None` unless those that are given are constants in main memory.
    pub fn new(
        scale: Option<AnyRank>,
        bias: Option<AnyRank>,
        count: usize,
        segment: usize,
    ) -> Option<Self> {
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
/// in `x`. `None` where there is no kernel: on other devices than burn's CPU backend, or where segments are
/// neither single numbers, of which a row has as many as there are factors, nor parts of a row.
pub fn standardise(
    x: &Tensor<2>,
    affine: Affine,
    centred: bool,
    epsilon: f32,
) -> Option<Tensor<2>> {
    let [_, row] = x.dims();
    let fits = match affine.segment {
        1 => affine.scale.len() == row,
        segment => segment > 0 && row.is_multiple_of(segment),
    };
    if !fits || row == 0 || !computes_on_host(x) {
        return None;
    }
    let operation = Standardisation {
        row,
        affine,
        centred,
        epsilon,
    };
    Some(run(x.clone(), operation))
}

/// The softmax along each row `[R, C]`, differentiable; `None` on other devices than burn's CPU backend.
pub fn softmax_of_rows(x: &Tensor<2>) -> Option<Tensor<2>> {
    let [_, row] = x.dims();
    (row > 0 && computes_on_host(x)).then(|| run(x.clone(), Softmax { row }))
}

/// Each number by its factor, plus its shift, differentiable in `x`, a tensor whose rank need not be the one in
/// its type.
///
/// # Errors
///
/// `x` itself on other devices than burn's CPU backend.
#[allow(
    clippy::result_large_err,
    reason = "the input is handed back, not copied"
)]
pub fn scale_and_shift(x: Tensor<1>, affine: Affine) -> Result<Tensor<1>, Tensor<1>> {
    match affine.segment > 0 && !affine.scale.is_empty() && computes_on_host(&x) {
        true => Ok(run(x, ScaleAndShift(affine))),
        false => Err(x),
    }
}

fn run<const D: usize>(x: Tensor<D>, operation: impl Operation + 'static) -> Tensor<D> {
    let x = AnyRank::from(x).cast();
    AnyRank::from(operation::run(x, Arc::new(operation))).cast()
}

fn numbers(x: Tensor<4>) -> Numbers {
    Numbers::of(x).expect("numbers in main memory, with gradients behind the node only")
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
        let x = numbers(x);
        x.made(self.kernel().forward(x.values()))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let (x, this) = (numbers(x), self.clone());
        let y = x.made(self.kernel().forward(x.values()));
        let pullback = Pullback::new(move |g| {
            let g = numbers(g);
            x.made(this.kernel().backward(x.values(), g.values()))
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
        let x = numbers(x);
        x.made(rows::softmax(x.values(), self.row))
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let row = self.row;
        let y = numbers(self.forward(x));
        let kept = y.clone();
        let pullback = Pullback::new(move |g| {
            let g = numbers(g);
            kept.made(rows::softmax_backward(kept.values(), g.values(), row))
        });
        (y.into_tensor(), pullback)
    }
}

#[derive(Debug)]
struct ScaleAndShift(Affine);

/// In place, unless somebody else holds the numbers, too.
fn changed(mut x: Numbers, f: impl Fn(&mut [f32])) -> Tensor<4> {
    if let Some(values) = x.in_place() {
        f(values);
        return x.into_tensor();
    }
    let mut values = x.values().to_vec();
    f(&mut values);
    x.made(values)
}

impl Operation for ScaleAndShift {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Affine {
            scale,
            bias,
            segment,
        } = &self.0;
        changed(numbers(x), |x| {
            rows::scale_and_shift(x, scale, bias, *segment);
        })
    }

    fn forward_with_pullback(&self, x: Tensor<4>) -> (Tensor<4>, Pullback) {
        let Affine { scale, segment, .. } = self.0.clone();
        let nothing = vec![0.0; scale.len()];
        let pullback = Pullback::new(move |g| {
            changed(numbers(g), |g| {
                rows::scale_and_shift(g, &scale, &nothing, segment);
            })
        });
        (self.forward(x), pullback)
    }
}
