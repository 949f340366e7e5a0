use std::sync::Arc;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData, module};
use elucid_kernels::pool::{self as kernels, CENTRE, CORNER, EDGE, EPSILON};
use elucid_kernels::window::Geometry;

use crate::host::Host;
use crate::pool::{geometry_of, maximum};
use crate::window::{weighted_sum, weighted_sum_transpose};
use crate::{GradRule, OpKind, Operator, Pool2d, Rule, RuleError};

/// Max-pool whose gradient is that of a smooth function instead.
///
/// The output is the true maximum. The gradient is the exact one of
///
/// `avg(x^2) / (0.01 + avg(|x|))`
///
/// over the pool's own windows (kernel, stride, padding, dilation and rounding), padding left out
/// of the averages. It spreads over a window in proportion to its values, where the true gradient
/// picks one position and so makes the map of a deep layer jagged by the grid of the windows.
///
/// [`blurred`](Self::blurred) further convolves that gradient, each channel for itself and with
/// zeros around it, with the 3x3 kernel that weighs the centre by .25, the mean of the four
/// neighbours by .5 and the mean of the four diagonals by .25. This removes the checkerboard
/// that windows of an odd size leave at stride 2.
///
/// Both hide something of how the model behaves: show them beside the true gradient.
///
/// Source: the notebooks of Olah et al., *The Building Blocks of Interpretability*, Distill 2018,
/// <https://distill.pub/2018/building-blocks/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmoothMaxPool {
    blur: bool,
}

impl SmoothMaxPool {
    /// The gradient of the smooth function as it is.
    pub fn plain() -> Self {
        Self { blur: false }
    }

    /// The gradient of the smooth function, blurred.
    pub fn blurred() -> Self {
        Self { blur: true }
    }
}

impl Rule for SmoothMaxPool {
    fn name(&self) -> String {
        let name = if self.blur {
            "smooth and blurred max-pool"
        } else {
            "smooth max-pool"
        };
        name.to_owned()
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        op.kind() == OpKind::MaxPool
    }

    fn bind(self: Arc<Self>, op: &Operator<'_>) -> Result<Arc<dyn GradRule>, RuleError> {
        match op {
            Operator::MaxPool(pool) => Ok(Arc::new(Bound {
                pool: **pool,
                rule: *self,
            })),
            _ => Err(RuleError::Unsupported {
                rule: Rule::name(&*self),
                kind: op.kind(),
                supported: vec![OpKind::MaxPool],
            }),
        }
    }
}

#[derive(Debug)]
struct Bound {
    pool: Pool2d,
    rule: SmoothMaxPool,
}

impl GradRule for Bound {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        maximum(x, &self.pool)
    }

    fn backward(&self, x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        let geometry = geometry_of(&self.pool, &x);
        if let (Some(x), Some(g)) = (Host::view(&x), Host::view(&g)) {
            let blur = self.rule.blur;
            let d = kernels::smooth_gradient(x.planes(), g.planes(), &geometry, blur);
            return x.tensor(d, x.dims());
        }
        let gradient = smooth_gradient(x, g, &geometry);
        if self.rule.blur {
            blur(gradient)
        } else {
            gradient
        }
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        Rule::applies_to(&self.rule, op)
    }

    fn reach(&self) -> Option<[usize; 2]> {
        Some(if self.rule.blur { [1, 1] } else { [0, 0] })
    }

    fn name(&self) -> String {
        Rule::name(&self.rule)
    }
}

/// With `A = avg(x^2)` and `D = 0.01 + avg(|x|)`, whose quotient is the smooth function:
///
/// `dx = 2 x avgT(g / D) - sign(x) avgT(g A / D^2)`
fn smooth_gradient(x: Tensor<4>, g: Tensor<4>, geometry: &Geometry) -> Tensor<4> {
    let means = geometry.means(false);
    let a = weighted_sum(x.clone() * x.clone(), geometry, &means);
    let d = weighted_sum(x.clone().abs(), geometry, &means) + EPSILON;
    let by_numerator = g / d.clone();
    let by_denominator = by_numerator.clone() * a / d;
    let numerator = weighted_sum_transpose(by_numerator, geometry, &means);
    let denominator = weighted_sum_transpose(by_denominator, geometry, &means);
    x.clone() * numerator * 2.0 - x.sign() * denominator
}

fn blur(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let (edge, corner) = (EDGE / 4.0, CORNER / 4.0);
    let kernel = [
        corner, edge, corner, //
        edge, CENTRE, edge, //
        corner, edge, corner,
    ];
    let kernel = Tensor::from_data(
        TensorData::new(kernel.to_vec(), [1, 1, 3, 3]),
        (&x.device(), x.dtype()),
    );
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    module::conv2d(x.reshape([n * c, 1, h, w]), kernel, None, options).reshape([n, c, h, w])
}
