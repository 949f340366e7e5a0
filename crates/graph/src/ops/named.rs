//! Activation functions that attributes name: those of recurrent layers, and what is fused into a
//! product of matrices.

use burn::tensor::{Tensor, activation};

/// One of them, with its parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    apply: fn(Tensor<2>, f32, f32) -> Tensor<2>,
    alpha: f32,
    beta: f32,
}

/// A function with the defaults of its parameters, `None` for one that it does not have.
type Row = (
    &'static str,
    Option<f32>,
    Option<f32>,
    fn(Tensor<2>, f32, f32) -> Tensor<2>,
);

const TABLE: &[Row] = &[
    ("relu", None, None, |x, _, _| activation::relu(x)),
    ("tanh", None, None, |x, _, _| x.tanh()),
    ("sigmoid", None, None, |x, _, _| activation::sigmoid(x)),
    ("softsign", None, None, |x, _, _| {
        let size = x.clone().abs() + 1.0;
        x / size
    }),
    ("softplus", None, None, |x, _, _| {
        // log(1 + exp(x)) without overflow.
        let bent = (x.clone().abs().neg().exp() + 1.0).log();
        activation::relu(x) + bent
    }),
    ("affine", Some(1.0), Some(0.0), |x, alpha, beta| {
        x * alpha + beta
    }),
    ("leakyrelu", Some(0.01), None, |x, alpha, _| {
        activation::leaky_relu(x, f64::from(alpha))
    }),
    ("thresholdedrelu", Some(1.0), None, |x, alpha, _| {
        let low = x.clone().without_autodiff().lower_equal_elem(alpha);
        x.mask_fill(low, 0.0)
    }),
    ("scaledtanh", Some(1.0), Some(1.0), |x, alpha, beta| {
        (x * beta).tanh() * alpha
    }),
    ("hardsigmoid", Some(0.2), Some(0.5), |x, alpha, beta| {
        (x * alpha + beta).clamp(0.0, 1.0)
    }),
    ("elu", Some(1.0), None, |x, alpha, _| {
        let negative = (x.clone().clamp_max(0.0).exp() - 1.0) * alpha;
        x.clamp_min(0.0) + negative
    }),
];

impl Named {
    /// The function of this name, its parameters taken from those stated, if it has any.
    pub fn read(
        name: &str,
        alphas: &mut impl Iterator<Item = f32>,
        betas: &mut impl Iterator<Item = f32>,
    ) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let row = TABLE.iter().find(|row| row.0 == lower);
        let &(_, alpha, beta, apply) =
            row.ok_or_else(|| format!("the activation function \"{name}\" is not known"))?;
        let parameter = |default: Option<f32>, stated: &mut dyn Iterator<Item = f32>| {
            default.map_or(0.0, |default| stated.next().unwrap_or(default))
        };
        Ok(Self {
            apply,
            alpha: parameter(alpha, alphas),
            beta: parameter(beta, betas),
        })
    }

    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        (self.apply)(x, self.alpha, self.beta)
    }
}
