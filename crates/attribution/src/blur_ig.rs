//! Blur integrated gradients: the integral of the gradient while a blurred image becomes sharp.
//!
//! With `x(s)` the image blurred by a Gaussian of `s` pixels, `attr = integral of
//! d score / d x(s) * d x(s)` from `s = max_sigma` down to 0: Xu, Venugopalan and Sundararajan,
//! *Attribution in scale and space* (2020). No baseline has to be chosen, and the attributions add
//! up to the score of the image less that of the blurred one.
//!
//! Computed over `steps` intervals of equal width in `s`, as the mean of the gradients at both ends
//! times the difference of the two images. 50 pixels and 100 steps by default, as PAIR's
//! `saliency`, which differs in three ways: its sum takes one end of each interval, it
//! differentiates the blur by a finite difference of 0.01 pixels, so that its attributions are not
//! tied to the difference of scores, and it pads images with zeros where edges are replicated here.
//!
//! Most of an image's sharpness, and so most of the score, returns below one pixel: the
//! completeness that is reported says whether the steps were enough for it.
//!
//! When it is stopped there is nothing to keep: each step needs the one before it, and a part of the path is no estimate of
//! the whole.
//!
//! Memory: beside a batch of images on the path, two.

use burn::tensor::Tensor;
use elucid_graph::Activation;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::blur::blurred;
use crate::error::AttributionError;
use crate::lines::Lines;
use crate::methods::Method;
use crate::options::Configurable;
use crate::quadrature::{STEPS, steps_fit};
use crate::saliency::Reduce;
use crate::scaled::Scaled;
use crate::work::{Context, join};

method! {
    /// The integral of the gradient from a blurred image to a sharp one.
    pub struct BlurIntegratedGradients {
        max_sigma: Scaled<f32> = Scaled::usual(50.0),
        steps: usize = 100,
    }
    /// From a blur of 50 pixels, fewer on images of less than 128, in 100 steps.
    new
}

impl BlurIntegratedGradients {
    setup_builders!(rules, batch_size, progress);
}

crate::options!(BlurIntegratedGradients {
    {
        /// Standard deviation of the blur that the path begins with, in pixels: 50 by default, and
        /// less, in proportion, on images whose shorter side has fewer than 128.
        max_sigma: f32 as "max-sigma",
        "standard deviation of the blur that the path begins with, in pixels; less on images of \
         fewer than 128",
        "above 0", |sigma| sigma.is_finite() && *sigma > 0.0
    }
    {
        /// How many intervals the path is divided into, 100 by default; one gradient more is taken.
        steps: usize as "steps", "how many intervals the path is divided into", STEPS, steps_fit
    }
});

impl Attributor for BlurIntegratedGradients {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        self.check_options()?;
        let max_sigma = self.max_sigma.at(work.size());
        let points = self.steps + 1;
        let (mut parts, mut scores, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for image in 0..work.count() {
            let sharp = work.rows(&[image]);
            let on_path = |i: usize| {
                let sigma = f64::from(max_sigma) * (self.steps - i) as f64 / self.steps as f64;
                Activation::from(blurred(&sharp, sigma as f32)).rows()
            };
            let end = Activation::from(sharp.clone());
            let mut sum = end.rows().zeros_like();
            let lines = Lines::new(work, image, end, vec![on_path(0)]);
            let mut done = 0;
            while done < points {
                let count = work.batch_size.min(points - done);
                // The batch, its predecessor and its successor; the path stands still at its ends.
                let at = |i: usize| (done + i).saturating_sub(1).min(self.steps);
                let path = Tensor::cat((0..count + 2).map(|i| on_path(at(i))).collect(), 0);
                let found = lines.gradients_at(path.clone().narrow(0, 1, count))?;
                let passed = path.clone().narrow(0, 2, count) - path.narrow(0, 0, count);
                sum = sum + (found.gradient.rows() * passed).sum_dim(0) * 0.5;
                done += count;
                let total = points * work.count();
                work.report(image * points + done, total)?;
            }
            parts.push(Activation::from_rows(sum, lines.end())?.to_array()?);
            let (starts, end) = lines.scores()?;
            expected.push(f64::from(end) - starts[0]);
            scores.push(end);
        }
        let evaluations = vec![points; scores.len()];
        Ok(
            Attribution::new(self, work, join(&parts)?, scores, Reduce::AbsSum)?
                .with_evaluations(evaluations)
                .expecting(expected),
        )
    }
}

pub(crate) const METHOD: Method = Method::of::<BlurIntegratedGradients>(
    "blur-ig",
    "Blur integrated gradients",
    "Xu, Venugopalan and Sundararajan 2020",
)
.takes_rules()
.sums_to("score - score of the blurred image")
.also(&["blur-integrated-gradients"]);
