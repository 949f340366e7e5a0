//! Where a factorisation begins.

use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use crate::error::FactorError;
use crate::matrix::{Matrix, Panels};
use crate::scalar::{Scalar, cast, widen};
use crate::svd;

/// Values of a start below this are zero.
const SMALL: f64 = 1e-6;

/// Where a factorisation begins.
///
/// The first three are the non-negative double singular value decomposition of Boutsidis and
/// Gallopoulos (*SVD based initialization: A head start for nonnegative matrix factorization*,
/// Pattern Recognition 41, 2008). With `X = sum_j s_j u_j v_j^T`:
///
/// - the first component is `sqrt(s_1) |u_1|`, `sqrt(s_1) |v_1|`;
/// - each other takes the positive parts `u+`, `v+` of its singular vectors, or the negative parts
///   `u-`, `v-`, whichever have the larger `m = |u| |v|` (Euclidean norms), and is
///   `sqrt(s_j m) u / |u|`, `sqrt(s_j m) v / |v|`;
/// - values below `1e-6` become zero.
///
/// The singular vectors come from subspace iteration with ten spare directions and eight passes over
/// the matrix. A singular value below `4 sqrt(epsilon)` times the first counts as zero, and so does
/// its component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// The decomposition as it is. A zero stays zero under multiplicative updates, which is good for
    /// sparse factors and bad for the error.
    Nndsvd,
    /// The default, as in scikit-learn: zeros become the mean of the matrix.
    #[default]
    Nndsvda,
    /// Zeros become small random values: the mean of the matrix times `|N(0, 1)| / 100`.
    Nndsvdar,
    /// `|N(0, 1)|` times the root of the mean of the matrix over the number of components.
    Random,
}

impl Start {
    /// All starts.
    pub const ALL: [Start; 4] = [
        Start::Nndsvd,
        Start::Nndsvda,
        Start::Nndsvdar,
        Start::Random,
    ];

    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Start::Nndsvd => "nndsvd",
            Start::Nndsvda => "nndsvda",
            Start::Nndsvdar => "nndsvdar",
            Start::Random => "random",
        }
    }

    /// `W` in panels and `H`, `[k, cols]`.
    pub(crate) fn factors<T: Scalar>(
        self,
        x: &Matrix<'_, T>,
        k: usize,
        seed: u64,
    ) -> (Panels<T>, Vec<T>) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut w = x.panels(k);
        let mut normal = move || {
            let value: f64 = StandardNormal.sample(&mut rng);
            value.abs()
        };
        if self == Start::Random {
            let scale = (x.mean / k as f64).sqrt();
            let h = (0..k * x.cols).map(|_| cast(scale * normal())).collect();
            w.fill(|_, _| cast(scale * normal()));
            return (w, h);
        }

        let mut svd = svd::leading(x, k, seed);
        for (j, &value) in svd.values.iter().enumerate() {
            let left = &mut svd.left[j * x.rows..][..x.rows];
            let right = &mut svd.right[j * x.cols..][..x.cols];
            if j == 0 {
                let scale = cast(value.sqrt());
                scale_into(left, |v| v.abs() * scale);
                scale_into(right, |v| v.abs() * scale);
                continue;
            }
            let (left_up, left_down) = halves(left);
            let (right_up, right_down) = halves(right);
            let (sign, left_norm, right_norm) = if left_up * right_up > left_down * right_down {
                (T::one(), left_up, right_up)
            } else {
                (-T::one(), left_down, right_down)
            };
            let size = left_norm * right_norm;
            if size == 0.0 {
                left.fill(T::zero());
                right.fill(T::zero());
                continue;
            }
            let scale = (value * size).sqrt();
            for (side, norm) in [(left, left_norm), (right, right_norm)] {
                let factor = cast::<T>(scale / norm);
                scale_into(side, |v| (v * sign).max(T::zero()) * factor);
            }
        }
        let mut fill = || match self {
            Start::Nndsvda => cast(x.mean),
            Start::Nndsvdar => cast(x.mean * normal() / 100.0),
            _ => T::zero(),
        };
        let mut settle = |v: T| if widen(v) < SMALL { fill() } else { v };
        w.fill(|i, t| settle(svd.left[t * x.rows + i]));
        let mut h = svd.right;
        scale_into(&mut h, settle);
        (w, h)
    }
}

fn scale_into<T: Scalar>(values: &mut [T], mut f: impl FnMut(T) -> T) {
    values.iter_mut().for_each(|value| *value = f(*value));
}

/// Norms of the positive and of the negative values.
fn halves<T: Scalar>(values: &[T]) -> (f64, f64) {
    let (mut up, mut down) = (0.0, 0.0);
    for &value in values {
        let value = widen(value);
        if value > 0.0 {
            up += value * value;
        } else {
            down += value * value;
        }
    }
    (up.sqrt(), down.sqrt())
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Start {
    type Err = FactorError;

    fn from_str(name: &str) -> Result<Self, FactorError> {
        Start::ALL
            .into_iter()
            .find(|start| start.name() == name)
            .ok_or_else(|| FactorError::Unknown {
                what: "start",
                name: name.to_owned(),
                known: Start::ALL.map(Start::name).join(", "),
            })
    }
}
