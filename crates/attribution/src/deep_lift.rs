//! DeepLIFT by the rescale rule: what each input contributes to the difference of the score from
//! that of a baseline.
//!
//! Every operator hands down *multipliers*, so that the multiplier of an input times the input's
//! difference from the baseline, summed over inputs, is the output's difference. Shrikumar,
//! Greenside and Kundaje, *Learning important features through propagating activation differences*
//! (2017). The result is multiplier times difference, and adds up to the difference of scores; the
//! error is stated ([`Attribution::completeness`]).
//!
//! | operators | multiplier, given `m` at the output |
//! | --- | --- |
//! | linear ones, and those that move numbers | the true gradient |
//! | element-wise functions of one input | `m * dy / dx`; the gradient where `dx` is below `1e-7` |
//! | `QuantizeLinear` | `m * dy / dx` where the image or the baseline leaves the range, or `dx` is a step at least; `m` times the slope elsewhere |
//! | LRN | `m * dy / dx` element by element; 0 where `dx` is below `1e-7` |
//! | max-pools, `Max`, `Min` | what the winner gains over the baseline's maximum goes to the winner, what the baseline's winner loses to that one; divided by `dx`, 0 where that is below `1e-7` |
//! | products of two activations | the gradient at the mean of image and baseline |
//! | quotients of two activations | `m (1/b + 1/b0) / 2` and `-m (a + a0) / (2 b b0)` |
//! | softmax | as `exp(s) / sum exp(s)`: secant and quotient |
//! | layer normalisation and the like | as `d = x - mean(x)`, `d / sqrt(mean(d²) + epsilon)`, scale and offset: secants, quotient |
//! | attention that is one operator | as its two products and the softmax between them |
//!
//! Each of them is complete, overlapping windows and values with several readers included; so are gates, as
//! one function and as a product alike. An operator that has no such rule is an
//! [error](AttributionError::Uncovered) that lists all of them.
//!
//! **Baseline**: an image of zeros, which is the mean colour after Caffe's preprocessing and
//! torchvision's, or [others](DeepLift::baseline). Where a baseline is the same everywhere, values
//! under a max-pool differ by no more than rounding, which then decides which of them is handed the
//! attribution: on GoogLeNet, zeros moved by a millionth of a grey level move attributions by 1 %
//! of the largest.
//! A normalisation of values that are the same everywhere divides by the root of its epsilon: in a network whose first
//! layers have no bias, contributions below the first normalisation are then large and cancel, and single precision
//! loses digits of their sum (BiT, in `docs/relevance.md`). The stated error tells; another baseline, or a layer above
//! the normalisation, does without.
//!
//! **Target**: the multipliers start from the target's gradient where it is computed. That is exact
//! for logits and differences of logits, which are linear there; for other targets the stated error
//! tells how far it is off.
//!
//! Programs differ. Captum's `DeepLift` keeps only one reader's multiplier where a value has
//! several, and overwrites where pooling windows overlap: on GoogLeNet its attributions add up to
//! `-1e-6` instead of 17.6. It takes a gradient below `1e-10` for ReLU and pools; here it is `1e-7`,
//! which is single precision. SHAP's `DeepExplainer` averages over baselines, as is done here when
//! there are several.

mod secants;

use burn::tensor::Tensor;
use elucid_graph::{Activation, Recording, Step};
use elucid_rules::Algebra;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::random::Random;
use crate::relevance::attention::attends;
use crate::saliency::Reduce;
use crate::work::Context;

/// Differences below this are none: their quotient would be rounding error.
const NO_DIFFERENCE: f32 = 1e-7;

method! {
    /// DeepLIFT by the rescale rule (Shrikumar et al., 2017): what each input contributes to the
    /// difference of the score from that of a baseline.
    pub struct DeepLift {
        baseline: Baseline = Baseline::zero(),
    }
    /// At a layer: multiplier times the difference of the layer's value from that of the baseline.
    /// Beside which other branches run, the sum is what its branch contributes.
    at_input
}

impl DeepLift {
    setup_builders!(batch_size, seed, progress);
}

crate::options!(DeepLift {
    {
        /// What the image is compared with, zeros by default; attributions to several baselines are
        /// averaged.
        baseline: Baseline as "baseline", "what the image is compared with", BASELINES
    }
});

impl Attributor for DeepLift {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::Parameter`] for a baseline of another
    /// shape, [`AttributionError::Uncovered`] for operators that have no rule,
    /// [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target, twice.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let model = work.model(self.name())?;
        self.baseline.check(work)?;
        let count = self.baseline.count();
        let mut differences = Vec::new();
        let (values, scores) = work.each_recording(model, |recorded, rows| {
            let x = &recorded.recording.merging_batch_norm();
            let at = x.value(&work.layer)?;
            let mut total = at.rows().zeros_like();
            let mut mean = vec![0.0; rows.len()];
            for baselines in self.baselines(work, rows) {
                let baseline = work.record(model, baselines, rows)?;
                for (mean, score) in mean.iter_mut().zip(&baseline.scores) {
                    *mean += f64::from(*score) / count as f64;
                }
                let base = &baseline.recording.merging_batch_norm();
                let multipliers = hand_down(work, x, base, recorded.gradient.clone())?;
                let difference = at.rows() - base.value(&work.layer)?.rows();
                total = total + multipliers.rows() * difference;
            }
            let pairs = recorded.scores.iter().zip(mean);
            differences.extend(pairs.map(|(x, mean)| f64::from(*x) - mean));
            Ok(Activation::from_rows(total / count as f32, at)?)
        })?;
        Ok(Attribution::new(self, work, values, scores, Reduce::Sum)?.expecting(differences))
    }
}

impl DeepLift {
    /// For each baseline the images `[rows, C, H, W]` that these rows are compared with.
    fn baselines(&self, work: &Context<'_>, rows: &[usize]) -> Vec<Tensor<4>> {
        let mut each = vec![Vec::with_capacity(rows.len()); self.baseline.count()];
        for &row in rows {
            let mut random = Random::new(self.setup.seed);
            let images = self.baseline.images(work, row, &mut random);
            for (each, image) in each.iter_mut().zip(images) {
                each.push(image);
            }
        }
        each.into_iter()
            .map(|images| Tensor::cat(images, 0))
            .collect()
    }
}

/// The multipliers at the layer.
fn hand_down(
    work: &Context<'_>,
    x: &Recording<'_>,
    base: &Recording<'_>,
    seed: Activation,
) -> Result<Activation, AttributionError> {
    let (from, to) = (work.target.layer.as_str(), [work.layer.as_str()]);
    let uncovered = |nodes| AttributionError::Uncovered {
        method: METHOD.name.to_owned(),
        nodes,
    };
    let steps = x.steps(from, &to)?;
    let asked = steps.iter().filter(|step| !step.is_absorbed());
    let without = asked.filter(|step| rule_for(step).is_none());
    let nodes: Vec<String> = without.map(Step::label).collect();
    if !nodes.is_empty() {
        return Err(uncovered(nodes));
    }
    // The same operators in the same order.
    let mut baseline = base.steps(from, &to)?.into_iter().peekable();
    let arrived = x.propagate(from, seed, &to, |step, m| {
        while baseline.next_if(|b| b.layer() != step.layer()).is_some() {}
        match (rule_for(step), baseline.peek()) {
            (Some(rule), Some(base)) => rule.multipliers(&Pair { step, base }, m),
            _ => Err(uncovered(vec![step.label()])),
        }
    })?;
    Ok(arrived.get(&work.layer)?.clone())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rescale {
    Linear,
    /// Linear in each of two inputs.
    Bilinear,
    Quotient,
    ElementWise,
    /// Element by element and linear, but for rounding and the ends of a range.
    Rounding,
    Maximum,
    Minimum,
    Lrn,
    Softmax,
    Normalization,
    Attention,
}

/// The input slots that depend on the image.
fn variables(step: &Step<'_>) -> Vec<usize> {
    (0..step.inputs())
        .filter(|&slot| !step.is_constant(slot))
        .collect()
}

fn rule_for(step: &Step<'_>) -> Option<Rescale> {
    let variables = variables(step);
    let shape = |slot: usize| step.input(slot).map(|x| x.shape());
    let output = Some(step.output().shape());
    let element_wise =
        (variables.len() == 1 && shape(variables[0]) == output).then_some(Rescale::ElementWise);
    Some(match step.algebra() {
        _ if step.rounds() && element_wise.is_some() => Rescale::Rounding,
        Algebra::Moves
        | Algebra::Linear
        | Algebra::Sum
        | Algebra::Affine
        | Algebra::Convolution
        | Algebra::Dense
        | Algebra::Mixture => Rescale::Linear,
        Algebra::Product => match variables.len() {
            1 => Rescale::Linear,
            _ => Rescale::Bilinear,
        },
        Algebra::Quotient if element_wise.is_none() => Rescale::Quotient,
        Algebra::Softmax if step.softmax_view().is_some() => Rescale::Softmax,
        Algebra::Normalization if step.statistics().is_some() && variables == [0] => {
            Rescale::Normalization
        }
        Algebra::Other if attends(step) => Rescale::Attention,
        Algebra::Maximum => Rescale::Maximum,
        Algebra::Minimum => Rescale::Minimum,
        Algebra::LocalNormalization => Rescale::Lrn,
        Algebra::Activation
        | Algebra::Gate
        | Algebra::Function
        | Algebra::Quotient
        | Algebra::Decision => element_wise?,
        _ => return None,
    })
}

/// One operator on the image and on the baseline.
struct Pair<'s, 'r> {
    step: &'s Step<'r>,
    base: &'s Step<'r>,
}

impl Rescale {
    fn multipliers(
        self,
        pair: &Pair<'_, '_>,
        m: &[Option<Activation>],
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        if self == Self::Linear {
            return Ok(pair.step.gradient(m)?);
        }
        let Some(Some(m)) = m.first() else {
            return Ok(vec![None; pair.step.inputs()]);
        };
        match self {
            Self::Linear | Self::Bilinear => pair.at_the_mean(m),
            Self::Quotient => pair.quotient(m),
            Self::ElementWise => pair.ratio(m, true),
            Self::Rounding => pair.rounding(m),
            Self::Lrn => pair.ratio(m, false),
            Self::Maximum => pair.winners(m, |x, base| x.max_pair(base)),
            Self::Minimum => pair.winners(m, |x, base| x.min_pair(base)),
            Self::Softmax => pair.softmax(m),
            Self::Normalization => pair.normalization(m),
            Self::Attention => pair.attention(m),
        }
    }
}

impl Pair<'_, '_> {
    fn inputs(step: &Step<'_>) -> Vec<Option<Activation>> {
        (0..step.inputs()).map(|slot| step.input(slot)).collect()
    }

    /// An empty list of multipliers, one for each input slot.
    fn slots(&self) -> Vec<Option<Activation>> {
        vec![None; self.step.inputs()]
    }

    /// An input's value on the image and on the baseline.
    fn values(&self, slot: usize) -> Option<(Activation, Tensor<2>)> {
        Some((self.step.input(slot)?, self.base.input(slot)?.rows()))
    }

    /// The live slots.
    fn live(&self) -> impl Iterator<Item = usize> {
        (0..self.step.inputs()).filter(|&slot| self.step.is_live(slot))
    }

    fn at_the_mean(&self, m: &Activation) -> Result<Vec<Option<Activation>>, AttributionError> {
        let mut inputs = Self::inputs(self.step);
        for slot in variables(self.step) {
            if let Some((x, base)) = self.values(slot) {
                inputs[slot] = Some(Activation::from_rows((x.rows() + base) * 0.5, &x)?);
            }
        }
        Ok(self.step.pullback(inputs, &[Some(m.clone())])?)
    }

    /// At the means of the dividend and of the divisor's reciprocal the gradient is that of the dividend,
    /// and for the divisor the one of `a / b` by `1 / b`, whose secant is `-1 / (b b0)`.
    fn quotient(&self, m: &Activation) -> Result<Vec<Option<Activation>>, AttributionError> {
        let (Some((a, a0)), Some((b, b0))) = (self.values(0), self.values(1)) else {
            return Ok(self.slots());
        };
        let product = b.rows() * b0.clone();
        let between = product.clone() * 2.0 / (b.rows() + b0);
        let mut inputs = Self::inputs(self.step);
        inputs[0] = Some(Activation::from_rows((a.rows() + a0) * 0.5, &a)?);
        inputs[1] = Some(Activation::from_rows(between.clone(), &b)?);
        let mut slots = self.step.pullback(inputs, &[Some(m.clone())])?;
        if let Some(at_divisor) = &mut slots[1] {
            let square = between.clone() * between;
            let secant = at_divisor.rows() * square / product;
            *at_divisor = Activation::from_rows(secant, &b)?;
        }
        Ok(slots)
    }

    /// `m * dy / dx`, and where nothing differs the gradient, or 0.
    fn ratio(
        &self,
        m: &Activation,
        or_gradient: bool,
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        let mut slots = self.slots();
        let dy = self.step.output().rows() - self.base.output().rows();
        let mut gradients = match or_gradient {
            true => {
                let inputs = Self::inputs(self.step);
                self.step.pullback(inputs, &[Some(m.clone())])?
            }
            false => self.slots(),
        };
        for slot in self.live() {
            let Some((x, base)) = self.values(slot) else {
                continue;
            };
            let product = m.rows() * dy.clone();
            let otherwise = gradients[slot].take().map(|g| g.rows());
            slots[slot] = Some(over_difference(product, &x, base, otherwise)?);
        }
        Ok(slots)
    }

    /// `m * dy / dx` where the gradient is 0 on the image or on the baseline, outside of the range, or where
    /// they lie a step apart at least; else the slope, since a quotient by less would multiply rounding.
    fn rounding(&self, m: &Activation) -> Result<Vec<Option<Activation>>, AttributionError> {
        let ones = Activation::from_rows(m.rows().ones_like(), m)?;
        let slope = |step: &Step<'_>| step.pullback(Self::inputs(step), &[Some(ones.clone())]);
        let (on_image, on_baseline) = (slope(self.step)?, slope(self.base)?);
        let mut slots = self.ratio(m, false)?;
        for (slot, slopes) in on_image.into_iter().zip(on_baseline).enumerate() {
            let ((Some(a), Some(b)), Some((x, base)), Some(ratio)) =
                (slopes, self.values(slot), &mut slots[slot])
            else {
                continue;
            };
            let (a, b) = (a.rows(), b.rows());
            let steps = (x.rows() - base) * a.clone();
            let is_near = steps.abs().lower_scalar(1.0);
            let is_outside = a.clone().equal_scalar(0.0).bool_or(b.equal_scalar(0.0));
            let at_slope = m.rows() * a;
            let multiplier = ratio
                .rows()
                .mask_where(is_near.bool_and(is_outside.bool_not()), at_slope);
            *ratio = Activation::from_rows(multiplier, &x)?;
        }
        Ok(slots)
    }

    /// What is gained to who wins on the image, what is lost to who won on the baseline.
    fn winners(
        &self,
        m: &Activation,
        extreme: fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Result<Vec<Option<Activation>>, AttributionError> {
        let mut slots = self.slots();
        let (y, y0) = (self.step.output(), self.base.output().rows());
        let best = extreme(y.rows(), y0.clone());
        let part = |difference: Tensor<2>| Activation::from_rows(m.rows() * difference, &y);
        let gained = part(best.clone() - y0)?;
        let lost = part(y.rows() - best)?;
        let gained = self
            .step
            .pullback(Self::inputs(self.step), &[Some(gained)])?;
        let lost = self.base.pullback(Self::inputs(self.base), &[Some(lost)])?;
        for (slot, parts) in gained.into_iter().zip(lost).enumerate() {
            let ((Some(gained), Some(lost)), Some((x, base))) = (parts, self.values(slot)) else {
                continue;
            };
            let contribution = gained.rows() + lost.rows();
            slots[slot] = Some(over_difference(contribution, &x, base, None)?);
        }
        Ok(slots)
    }
}

/// `contribution / (x - base)`, and `otherwise`, or 0, where nothing differs.
fn over_difference(
    contribution: Tensor<2>,
    x: &Activation,
    base: Tensor<2>,
    otherwise: Option<Tensor<2>>,
) -> Result<Activation, AttributionError> {
    let dx = x.rows() - base;
    let same = dx.clone().abs().lower_scalar(NO_DIFFERENCE);
    let quotient = contribution / dx.mask_fill(same.clone(), 1.0);
    let multiplier = match otherwise {
        Some(otherwise) => quotient.mask_where(same, otherwise),
        None => quotient.mask_fill(same, 0.0),
    };
    Ok(Activation::from_rows(multiplier, x)?)
}

pub(crate) const METHOD: Method = Method::of::<DeepLift>(
    "deep-lift",
    "DeepLIFT (rescale)",
    "Shrikumar, Greenside and Kundaje 2017",
)
.at(Place::AnyLayer)
.needs_model()
.random()
.sums_to("score less the baselines' mean score");
