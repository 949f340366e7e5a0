//! What a method returns.

use std::fmt;

use elucid_rules::RuleUse;
use ndarray::{Array3, ArrayD, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use crate::attributor::Attributor;
use crate::error::AttributionError;
use crate::finite::{finite, finite_scores};
use crate::layer_map::LayerMap;
use crate::options::Configuration;
use crate::saliency::{Reduce, Saliency};
use crate::stored::Stored;
use crate::work::Context;

/// What the attributions of one image add up to, and what they should.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Completeness {
    /// Sum of all attributions, in double precision.
    pub sum: f64,
    /// What a complete attribution adds up to: a difference of scores, or the relevance that was
    /// handed down.
    pub expected: f64,
}

impl Completeness {
    /// `|sum - expected| / |expected|`; the absolute error when nothing is expected.
    pub fn error(&self) -> f64 {
        let error = (self.sum - self.expected).abs();
        match self.expected.abs() {
            expected if expected > 0.0 => error / expected,
            _ => error,
        }
    }
}

/// A signed number for every number of a layer.
///
/// [`Display`](fmt::Display) writes the method, the layer, how many operators each rule took, and for
/// each image the score and what the attributions add up to.
///
/// It is a value that can be kept: with serde it is everything that is known of it, the values included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Attribution(Parts);

/// What an [`Attribution`] is made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub values: ArrayD<f32>,
    pub scores: Vec<f32>,
    /// Of this library, when it was made.
    pub version: String,
    pub method: String,
    pub configuration: Configuration,
    pub layer: String,
    pub target: String,
    pub rules: String,
    pub rule_uses: Vec<RuleUse>,
    pub seed: u64,
    pub size: [usize; 2],
    pub reduce: Reduce,
    pub completeness: Vec<Completeness>,
    pub evaluations: Vec<usize>,
    pub planned: Vec<usize>,
    pub tolerance_met: Vec<bool>,
    pub standard_errors: Option<ArrayD<f32>>,
    pub map: LayerMap,
    /// What was found to be unusual, in words.
    pub remarks: Vec<String>,
}

impl Attribution {
    /// What `method` found in its context: `values` `[N, ...]`, one entry for each image, shaped like the
    /// layer or `[N, 1, H, W]`, and the target's score for each image. It is shown by its largest absolute
    /// values over channels, and one evaluation was made of each image, unless other is said.
    ///
    /// ```
    /// # use elucid_attribution::{Attribution, AttributionError, Context, Reduce};
    /// # fn found(method: &dyn elucid_attribution::Attributor, context: &Context<'_>,
    /// #     values: ndarray::ArrayD<f32>) -> Result<Attribution, AttributionError> {
    /// let found = Attribution::of(method, context, values, context.all_scores()?)?
    ///     .with_reduction(Reduce::Sum)
    ///     .with_evaluations(vec![50; context.count()]);
    /// # Ok(found)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`AttributionError::ReadBack`] for values that are not one entry for each image, or scores that are not one
    /// for each; [`AttributionError::NotFinite`] for those that are no numbers.
    pub fn of(
        method: &dyn Attributor,
        work: &Context<'_>,
        values: ArrayD<f32>,
        scores: Vec<f32>,
    ) -> Result<Self, AttributionError> {
        let count = work.count();
        for got in [values.shape(), &[scores.len()]] {
            if got.first() != Some(&count) {
                return Err(AttributionError::ReadBack {
                    expected: vec![count],
                    got: got.to_vec(),
                });
            }
        }
        Self::new(method, work, values, scores, Reduce::MaxAbs)
    }

    /// States the reduction over channels that the method is shown with.
    #[must_use]
    pub fn with_reduction(mut self, reduce: Reduce) -> Self {
        self.0.reduce = reduce;
        self
    }

    /// The same with other values, such as a mean over changed images, shaped as those that it has. What they should add up to and
    /// how sure they are is no longer stated.
    ///
    /// # Errors
    ///
    /// [`AttributionError::ReadBack`] for values of another shape, [`AttributionError::NotFinite`] for those that are no numbers.
    pub fn with_values(mut self, values: ArrayD<f32>) -> Result<Self, AttributionError> {
        if values.shape() != self.0.values.shape() {
            return Err(AttributionError::ReadBack {
                expected: self.0.values.shape().to_vec(),
                got: values.shape().to_vec(),
            });
        }
        self.0.values = values;
        self.0.completeness = Vec::new();
        self.0.standard_errors = None;
        self.check_finite()?;
        Ok(self)
    }

    /// `values` is `[N, ...]` and shaped like the layer of `work`.
    pub(crate) fn new(
        method: &dyn Attributor,
        work: &Context<'_>,
        values: ArrayD<f32>,
        scores: Vec<f32>,
        reduce: Reduce,
    ) -> Result<Self, AttributionError> {
        let configuration = method.configuration(work.size());
        Self::named(method.name(), configuration, work, values, scores, reduce)
    }

    /// The same of what is no method of the table.
    pub(crate) fn named(
        method: &str,
        configuration: Configuration,
        work: &Context<'_>,
        values: ArrayD<f32>,
        scores: Vec<f32>,
        reduce: Reduce,
    ) -> Result<Self, AttributionError> {
        let made = Self(Parts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            method: method.to_owned(),
            configuration,
            seed: work.seed,
            layer: work.layer.clone(),
            target: work.target_name.clone(),
            rules: work.rules.name().to_owned(),
            rule_uses: work.rule_uses(),
            size: work.size(),
            reduce,
            completeness: Vec::new(),
            evaluations: vec![1; scores.len()],
            planned: Vec::new(),
            tolerance_met: Vec::new(),
            standard_errors: None,
            map: work.map,
            remarks: Vec::new(),
            values,
            scores,
        });
        made.check_finite()?;
        Ok(made)
    }

    pub(crate) fn into_parts(self) -> Parts {
        self.0
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        Self(parts)
    }

    /// States what the attributions of each image should add up to.
    #[must_use]
    pub fn expecting(mut self, expected: impl IntoIterator<Item = f64>) -> Self {
        self.0.completeness = crate::work::sums(&self.0.values)
            .into_iter()
            .zip(expected)
            .map(|(sum, expected)| Completeness { sum, expected })
            .collect();
        self
    }

    /// States what the attributions of each image add up to, where that is not the sum of their
    /// values, and should.
    #[must_use]
    pub fn with_completeness(mut self, completeness: Vec<Completeness>) -> Self {
        self.0.completeness = completeness;
        self
    }

    /// States by which rules relevance was handed down, and how many operators each took.
    #[must_use]
    pub fn with_rules(mut self, rules: &str, uses: Vec<RuleUse>) -> Self {
        rules.clone_into(&mut self.0.rules);
        self.0.rule_uses = uses;
        self
    }

    /// States what else of operators and their rules is to be known.
    pub(crate) fn with_rule_uses(mut self, more: Vec<RuleUse>) -> Self {
        self.0.rule_uses.extend(more);
        self
    }

    /// States how many evaluations of the gradient each image took.
    #[must_use]
    pub fn with_evaluations(mut self, evaluations: Vec<usize>) -> Self {
        self.0.evaluations = evaluations;
        self
    }

    /// States how many evaluations each image would have taken, had the work not been stopped.
    #[must_use]
    pub fn with_planned(mut self, planned: Vec<usize>) -> Self {
        self.0.planned = planned;
        self
    }

    /// States for each image whether the tolerance asked for was met.
    #[must_use]
    pub fn with_tolerance_met(mut self, met: Vec<bool>) -> Self {
        self.0.tolerance_met = met;
        self
    }

    /// States how sure each value is, for values that are estimates from samples.
    #[must_use]
    pub fn with_standard_errors(mut self, errors: Option<ArrayD<f32>>) -> Self {
        self.0.standard_errors = errors;
        self
    }

    /// States what whoever reads the result should know.
    #[must_use]
    pub fn with_remarks(mut self, remarks: impl IntoIterator<Item = String>) -> Self {
        self.0.remarks.extend(remarks);
        self
    }

    /// What whoever reads the result should know, in words; mostly nothing.
    pub fn remarks(&self) -> &[String] {
        &self.0.remarks
    }

    /// The method's name.
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The method's own options, as they were in effect on images of this size.
    pub fn configuration(&self) -> &Configuration {
        &self.0.configuration
    }

    /// The values, `[N, ...]` and shaped like the layer, `[N, C, H, W]` at a layer `[N, H, W, C]`,
    /// and for methods of maps at one of tokens, too; `[N, 1, H, W]` from methods that hide all
    /// channels of a pixel together.
    pub fn values(&self) -> &ArrayD<f32> {
        &self.0.values
    }

    /// The target's score for each image.
    pub fn scores(&self) -> &[f32] {
        &self.0.scores
    }

    /// The layer's full name.
    pub fn layer(&self) -> &str {
        &self.0.layer
    }

    /// What was explained, in words.
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// Name of the rules used.
    pub fn rules(&self) -> &str {
        &self.0.rules
    }

    /// How many operators between layer and target each rule took; empty for the true gradient. A rule
    /// that was asked for and took none stands here with 0.
    pub fn rule_uses(&self) -> &[RuleUse] {
        &self.0.rule_uses
    }

    /// Where the random numbers began, of a method that draws any.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The version of this library that made it.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// `[height, width]` of the images.
    pub fn image_size(&self) -> [usize; 2] {
        self.0.size
    }

    /// What each image's attributions add up to, for methods that state what they should; empty for
    /// others.
    pub fn completeness(&self) -> &[Completeness] {
        &self.0.completeness
    }

    /// The largest completeness error of the batch, relative to what the attributions should add up
    /// to; `None` for methods that promise no sum.
    pub fn completeness_error(&self) -> Option<f64> {
        let errors = self.0.completeness.iter().map(Completeness::error);
        errors.reduce(|a, b| if b > a || b.is_nan() { b } else { a })
    }

    /// How many times the gradient, or the score where there is none, of each image was evaluated.
    pub fn evaluations(&self) -> &[usize] {
        &self.0.evaluations
    }

    /// How many evaluations each image would have taken, if the work was stopped before; empty where
    /// it ran to its end. An image that was not reached has no evaluations, and zeros for values.
    pub fn planned(&self) -> &[usize] {
        &self.0.planned
    }

    /// For each image whether the stated tolerance was met, rather than the evaluations used up;
    /// empty for methods without a tolerance.
    pub fn tolerance_met(&self) -> &[bool] {
        &self.0.tolerance_met
    }

    /// The standard error of each value, shaped like [`values`](Self::values), for values that are estimates from samples:
    /// means, of two samples or more for every image (`smooth-grad`, `square-grad`, `gradient-shap`, `shapley-sampling` and
    /// `rise`), and others by the formula that their method states (`lime`, `kernel-shap`, `sobol` and `hsic`).
    pub fn standard_errors(&self) -> Option<&ArrayD<f32>> {
        self.0.standard_errors.as_ref()
    }

    /// The reduction over channels that this method is shown with.
    pub fn reduction(&self) -> Reduce {
        self.0.reduce
    }

    /// One map per image as this method is usually shown, before any resizing: the values under its
    /// [`reduction`](Attribution::reduction).
    ///
    /// # Errors
    ///
    /// [`AttributionError::NotSpatial`] when the layer has no positions,
    /// [`AttributionError::LayerLayout`] when it is not known which axes they are.
    pub fn map(&self) -> Result<Saliency, AttributionError> {
        self.saliency(self.0.reduce)
    }

    /// Refuses scores and values that are no numbers: nothing can be read in them, and a map would draw
    /// them as if they were. [`AttributionError::NotFinite`] says where the first of them is.
    fn check_finite(&self) -> Result<(), AttributionError> {
        finite_scores(self.target(), 0.., self.scores())?;
        finite(self.method(), self.target(), self.values().view())
    }

    /// One map per image, `[N, H, W]`.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NotSpatial`] when the layer has no positions,
    /// [`AttributionError::LayerLayout`] when it is not known which axes they are.
    pub fn saliency(&self, reduce: Reduce) -> Result<Saliency, AttributionError> {
        let values = self
            .0
            .map
            .drawn(&self.0.values)
            .ok_or_else(|| self.0.map.no_map(&self.0.layer, self.0.values.shape()))?;
        let (n, _, h, w) = values.dim();
        let mut maps = Array3::zeros((n, h, w));
        for (image, mut map) in values.axis_iter(Axis(0)).zip(maps.outer_iter_mut()) {
            let image: ArrayView3<'_, f32> = image;
            map.assign(&reduce.apply(image));
        }
        Ok(Saliency::new(maps, self.0.size))
    }
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            method,
            layer,
            target,
            ..
        } = &self.0;
        write!(f, "{method} of {target} at {layer}")?;
        for (i, used) in self.0.rule_uses.iter().enumerate() {
            let before = if i == 0 { ", by " } else { ", " };
            write!(f, "{before}{} at {}", used.rule, used.operators)?;
        }
        for (i, score) in self.0.scores.iter().enumerate() {
            write!(f, "\nimage {i}: score {score:.4}")?;
            if let Some(complete) = self.0.completeness.get(i) {
                write!(
                    f,
                    ", attributions add up to {:.4} of {:.4} (error {:.2} %)",
                    complete.sum,
                    complete.expected,
                    100.0 * complete.error()
                )?;
            }
            if let Some(&evaluations) = self.0.evaluations.get(i)
                && evaluations > 1
            {
                write!(f, ", {evaluations} evaluations")?;
            }
            if let Some(planned) = self.0.planned.get(i) {
                write!(f, ", stopped early: {planned} were planned")?;
            }
            if self.0.tolerance_met.get(i) == Some(&false) {
                write!(f, ", tolerance not met")?;
            }
        }
        for remark in &self.0.remarks {
            write!(f, "\n{remark}")?;
        }
        Ok(())
    }
}
