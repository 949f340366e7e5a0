//! Adam, on rows of numbers that may stop one by one.

use burn::tensor::Tensor;

const BETAS: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// Adam's moments of one parameter (Kingma and Ba, *Adam: A Method for Stochastic Optimization*,
/// ICLR 2015).
#[derive(Debug, Default)]
pub(crate) struct Adam {
    moments: Option<[Tensor<2>; 2]>,
    steps: i32,
}

impl Adam {
    /// One step down `gradient`, both `[N, ...]`. `moving` is 1 for rows that move and 0 for those
    /// that stay, `[N, 1]`; without, all move.
    pub fn step(
        &mut self,
        parameter: Tensor<2>,
        gradient: Tensor<2>,
        rate: f32,
        moving: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        self.steps += 1;
        let square = gradient.clone().square();
        let [first, second] = match self.moments.take() {
            Some([first, second]) => [
                first * BETAS[0] + gradient * (1.0 - BETAS[0]),
                second * BETAS[1] + square * (1.0 - BETAS[1]),
            ],
            None => [gradient * (1.0 - BETAS[0]), square * (1.0 - BETAS[1])],
        };
        let correction = BETAS.map(|beta| 1.0 - f64::from(beta).powi(self.steps));
        let length = (second.clone() / correction[1] as f32).sqrt() + EPSILON;
        let mut step = first.clone() / length * (rate / correction[0] as f32);
        if let Some(moving) = moving {
            step = step * moving.clone();
        }
        self.moments = Some([first, second]);
        parameter - step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_paper() {
        let device = Default::default();
        let mut x = Tensor::<2>::from_data([[1.0_f32, -2.0], [0.5, 3.0]], &device);
        let moving = Tensor::<2>::from_data([[1.0_f32], [0.0]], &device);
        let (mut adam, mut want) = (Adam::default(), [1.0_f64, -2.0]);
        let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
        for t in 1..=20 {
            // The gradient of the sum of fourth powers.
            let gradient = x.clone().powi_scalar(3) * 4.0;
            x = adam.step(x, gradient, 0.1, Some(&moving));
            for i in 0..2 {
                let g = 4.0 * want[i].powi(3);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (m, v) = (
                    m[i] / (1.0 - 0.9_f64.powi(t)),
                    v[i] / (1.0 - 0.999_f64.powi(t)),
                );
                want[i] -= 0.1 * m / (v.sqrt() + 1e-8);
            }
        }
        let got: Vec<f32> = x.into_data().iter::<f32>().collect();
        for (got, want) in got.iter().zip([want[0], want[1], 0.5, 3.0]) {
            assert!((f64::from(*got) - want).abs() < 1e-4, "{got} for {want}");
        }
    }
}
