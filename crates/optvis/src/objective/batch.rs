//! What images of one batch have to do with each other.

use burn::tensor::{Tensor, TensorData};

use super::{Objective, Seen, Term, at_layer};
use crate::error::{VisError, positive};
use crate::subject::Subject;

/// How far apart images are that are still aligned.
const NEIGHBOURS: usize = 4;

impl Objective {
    /// Keeps neighbouring images alike at a layer: `-sum_d decay^-d sum_i mean((x_i - x_(i+d))^2)`
    /// for distances `d` of 1 to 4. Negative: add it, times some factor. Lucid's decay is 2.
    pub fn alignment(layer: &str, decay: f32) -> Self {
        Self::new(Alignment {
            layer: layer.to_owned(),
            decay,
        })
    }

    /// How alike the images' styles are at a layer: the cosine of the Gram matrices of each two
    /// images, `sum_i sum_(j != i) <G_i, G_j> / (|G_i| |G_j|) / N` with `G = X X^T` for the
    /// activations `X` `[C, H W]` of an image. Subtract it, times some factor, to get images that
    /// differ. (Lucent has the opposite sign.)
    pub fn diversity(layer: &str) -> Self {
        Self::new(Diversity {
            layer: layer.to_owned(),
        })
    }

    /// From one channel to another over the batch: image `i` of `N` is for `1 - i / (N - 1)` of the
    /// first and `i / (N - 1)` of the second, each a layer and a channel, mean over positions;
    /// the sum over images.
    pub fn channel_interpolate(from: (&str, usize), to: (&str, usize)) -> Self {
        let owned = |(layer, channel): (&str, usize)| (layer.to_owned(), channel);
        Self::new(Interpolate {
            from: owned(from),
            to: owned(to),
        })
    }
}

#[derive(Debug)]
struct Alignment {
    layer: String,
    decay: f32,
}

impl Term for Alignment {
    at_layer!("alignment at");

    fn least_images(&self) -> usize {
        2
    }

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        positive("decay of the alignment", self.decay)?;
        subject.channels(&self.layer).map(|_| ())
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let x = seen.layer(&self.layer)?;
        let [n, c, h, w] = x.dims();
        let apart = |d: usize| {
            let later = x.clone().narrow(0, d, n - d);
            let squares = (later - x.clone().narrow(0, 0, n - d)).square().sum();
            squares * (self.decay.powi(-(d as i32)) / (c * h * w) as f32)
        };
        let sum = (1..=NEIGHBOURS.min(n.saturating_sub(1)))
            .map(apart)
            .reduce(|a, b| a + b);
        Ok(-sum.unwrap_or_else(|| x.sum() * 0.0))
    }
}

#[derive(Debug)]
struct Diversity {
    layer: String,
}

impl Term for Diversity {
    at_layer!("likeness at");

    fn least_images(&self) -> usize {
        2
    }

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        subject.channels(&self.layer).map(|_| ())
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let x = seen.layer(&self.layer)?;
        let [n, c, h, w] = x.dims();
        let x = x.reshape([n, c, h * w]);
        let grams = x.clone().matmul(x.swap_dims(1, 2)).reshape([n, c * c]);
        let squares = grams.clone().square().sum_dim(1);
        let unit = grams / squares.clamp_min(1e-10).sqrt();
        // Of all pairs those of an image with itself do not count.
        let all = unit.clone().sum_dim(0).square().sum();
        let selves = unit.square().sum();
        Ok((all - selves) / n as f32)
    }
}

#[derive(Debug)]
struct Interpolate {
    from: (String, usize),
    to: (String, usize),
}

impl Term for Interpolate {
    fn name(&self) -> String {
        format!(
            "channel {} of {} to channel {} of {}",
            self.from.1, self.from.0, self.to.1, self.to.0
        )
    }

    fn layers(&self) -> Vec<String> {
        vec![self.from.0.clone(), self.to.0.clone()]
    }

    fn least_images(&self) -> usize {
        2
    }

    fn check(&self, subject: &Subject) -> Result<(), VisError> {
        subject.check_channel(&self.from.0, self.from.1)?;
        subject.check_channel(&self.to.0, self.to.1)
    }

    fn value(&self, seen: &Seen<'_>) -> Result<Tensor<1>, VisError> {
        let n = seen.images();
        let share = |i: usize| i as f32 / (n.max(2) - 1) as f32;
        let part = |(layer, channel): &(String, usize), weights: Vec<f32>| {
            let x = seen.layer(layer)?.narrow(1, *channel, 1);
            let weights = TensorData::new(weights, [n, 1, 1, 1]);
            let weights = Tensor::<4>::from_data(weights, seen.subject().device());
            Ok::<_, VisError>((x * weights).mean() * n as f32)
        };
        let first = part(&self.from, (0..n).map(|i| 1.0 - share(i)).collect())?;
        Ok(first + part(&self.to, (0..n).map(share).collect())?)
    }
}
