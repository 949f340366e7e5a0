//! Which methods are better than which, on the same images.

use elucid_metrics::{Direction, Metric, Paired, csv, holm};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::StudyError;
use crate::studies::Studies;

/// The table of comparisons for programs.
pub const COMPARISONS: &str = "comparisons.csv";

/// Below this corrected `p`, methods are told apart.
pub const LEVEL: f64 = 0.05;

/// Two methods under one metric.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The metric.
    pub metric: String,
    /// The method that is compared.
    pub method: String,
    /// With which.
    pub with: String,
    /// On how many images both have a number.
    pub images: usize,
    /// By how much `method` is better, in the metric's units: the mean over images. Below 0 it is worse.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference (bootstrap).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The difference in units of its deviation over images; absent where every image has the same.
    pub effect: Option<f64>,
    /// Share of the images on which `method` is better; equal ones count half.
    pub share: f64,
    /// Of the permutation test ([`elucid_metrics::paired`]).
    pub p: f64,
    /// The same after Holm's correction for all comparisons of the list.
    pub p_holm: f64,
}

impl Comparison {
    /// Whether the methods are told apart after correction.
    pub fn is_told(&self) -> bool {
        self.p_holm < LEVEL
    }

    /// The comparisons of some studies, whose `metrics` these are in their order: of every two rows, or of every row with one of
    /// them, under every metric or `only` some. The correction counts all of them.
    ///
    /// # Errors
    ///
    /// [`StudyError::Entry`] for a row or a metric that the studies do not have.
    pub fn of(
        studies: &Studies,
        metrics: &[Box<dyn Metric>],
        with: Option<&str>,
        only: &[String],
    ) -> Result<Vec<Self>, StudyError> {
        let position = |names: &[String], name: &str, what: &str| {
            let place = names.iter().position(|known| known == name);
            place.ok_or_else(|| {
                let known = names.join(", ");
                StudyError::Entry(format!("the study has no {what} {name}, but {known}"))
            })
        };
        let rows = studies.rows();
        let with = with
            .map(|name| position(rows, name, "method"))
            .transpose()?;
        let chosen = only
            .iter()
            .map(|name| position(studies.metrics(), name, "metric"));
        let chosen: Vec<usize> = chosen.collect::<Result<_, _>>()?;
        let chosen = match chosen.is_empty() {
            true => (0..metrics.len()).collect(),
            false => chosen,
        };
        let pairs: Vec<(usize, usize)> = match with {
            Some(with) => (0..rows.len())
                .filter(|&a| a != with)
                .map(|a| (a, with))
                .collect(),
            None => (0..rows.len())
                .flat_map(|a| (a + 1..rows.len()).map(move |b| (a, b)))
                .collect(),
        };
        let questions = chosen.iter();
        let questions = questions.flat_map(|&metric| pairs.iter().map(move |&pair| (metric, pair)));
        let questions: Vec<(usize, (usize, usize))> = questions.collect();
        // The same seed for each, so that an answer rests neither on threads nor on what else is asked.
        let answer = |&(metric, (a, b)): &(usize, (usize, usize))| -> Result<_, StudyError> {
            let sign = match metrics[metric].direction() {
                Direction::Larger => 1.0,
                Direction::Smaller => -1.0,
            };
            let values = studies.images().filter_map(|image| {
                let value = |row| Some(sign * studies.number(image, row, metric)?);
                Some((value(a)?, value(b)?))
            });
            let values: Vec<(f64, f64)> = values.collect();
            // What has no image in common is no question.
            let Some(paired) = Paired::among(&values, studies.seed(), questions.len())? else {
                return Ok(None);
            };
            Ok(Some(Self {
                metric: studies.metrics()[metric].clone(),
                method: rows[a].clone(),
                with: rows[b].clone(),
                images: values.len(),
                difference: paired.difference.mean,
                low: paired.difference.low,
                high: paired.difference.high,
                effect: paired.effect,
                share: paired.share,
                p: paired.p,
                p_holm: 1.0,
            }))
        };
        let answers = questions.par_iter().map(answer);
        let answers: Vec<Option<Self>> = answers.collect::<Result<_, _>>()?;
        let mut comparisons: Vec<Self> = answers.into_iter().flatten().collect();
        let ps: Vec<f64> = comparisons.iter().map(|comparison| comparison.p).collect();
        for (comparison, p) in comparisons.iter_mut().zip(holm(&ps)) {
            comparison.p_holm = p;
        }
        Ok(comparisons)
    }

    /// The file for programs.
    pub fn to_csv(comparisons: &[Self]) -> String {
        let lines = comparisons.iter().map(|comparison| {
            csv::line([
                comparison.metric.clone(),
                comparison.method.clone(),
                comparison.with.clone(),
                comparison.images.to_string(),
                comparison.difference.to_string(),
                comparison.low.to_string(),
                comparison.high.to_string(),
                comparison
                    .effect
                    .map_or(String::new(), |effect| effect.to_string()),
                comparison.share.to_string(),
                comparison.p.to_string(),
                comparison.p_holm.to_string(),
            ])
        });
        let head = csv::line([
            "metric",
            "method",
            "with",
            "images",
            "better_by",
            "low",
            "high",
            "effect",
            "share",
            "p",
            "p_holm",
        ]);
        head + &lines.collect::<String>()
    }
}
