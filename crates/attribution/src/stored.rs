//! Attributions as they are kept in files, with everything that is known of how they came about.

use elucid_graph::Layout;
use elucid_rules::RuleUse;
use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use crate::attribution::{Attribution, Completeness, Parts};
use crate::layer_map::LayerMap;
use crate::options::Configuration;

/// An [`Attribution`] in plain numbers and texts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// The version of this library that made it.
    elucid: String,
    method: String,
    configuration: Configuration,
    layer: String,
    target: String,
    rules: String,
    rule_uses: Vec<Used>,
    seed: u64,
    image_size: [usize; 2],
    reduction: String,
    scores: Vec<f32>,
    completeness: Vec<Completeness>,
    evaluations: Vec<usize>,
    planned: Vec<usize>,
    tolerance_met: Vec<bool>,
    #[serde(default)]
    remarks: Vec<String>,
    positions: Positions,
    shape: Vec<usize>,
    /// Row-major.
    values: Vec<f32>,
    /// As `values`; none of methods whose values are no means of samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standard_errors: Option<Vec<f32>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Used {
    rule: String,
    operators: usize,
}

/// Which axes of the layer are positions.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Positions {
    ChannelsFirst,
    ChannelsLast,
    Tokens {
        prefix: usize,
        grid: [usize; 2],
        /// Whether the values are those of the map rather than of the tokens.
        mapped: bool,
    },
    Unknown,
}

impl From<LayerMap> for Positions {
    fn from(map: LayerMap) -> Self {
        match map.layout() {
            Layout::ChannelsFirst => Self::ChannelsFirst,
            Layout::ChannelsLast => Self::ChannelsLast,
            Layout::Tokens { prefix, grid } => Self::Tokens {
                prefix,
                grid,
                mapped: map.maps_tokens(),
            },
            _ => Self::Unknown,
        }
    }
}

impl From<Positions> for LayerMap {
    fn from(positions: Positions) -> Self {
        match positions {
            Positions::ChannelsFirst => Self::with(Layout::ChannelsFirst, false),
            Positions::ChannelsLast => Self::with(Layout::ChannelsLast, false),
            Positions::Tokens {
                prefix,
                grid,
                mapped,
            } => Self::with(Layout::Tokens { prefix, grid }, mapped),
            Positions::Unknown => Self::with(Layout::Unknown, false),
        }
    }
}

impl From<Attribution> for Stored {
    fn from(attribution: Attribution) -> Self {
        let parts = attribution.into_parts();
        let uses = parts.rule_uses.into_iter().map(|used| Used {
            rule: used.rule,
            operators: used.operators,
        });
        Self {
            elucid: parts.version,
            method: parts.method,
            configuration: parts.configuration,
            layer: parts.layer,
            target: parts.target,
            rules: parts.rules,
            rule_uses: uses.collect(),
            seed: parts.seed,
            image_size: parts.size,
            reduction: parts.reduce.to_string(),
            scores: parts.scores,
            completeness: parts.completeness,
            evaluations: parts.evaluations,
            planned: parts.planned,
            tolerance_met: parts.tolerance_met,
            remarks: parts.remarks,
            positions: parts.map.into(),
            shape: parts.values.shape().to_vec(),
            standard_errors: parts.standard_errors.map(|e| e.into_iter().collect()),
            values: parts.values.into_iter().collect(),
        }
    }
}

impl TryFrom<Stored> for Attribution {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let images = stored.shape.first().copied().unwrap_or(0);
        let per_image = [
            ("scores", stored.scores.len(), false),
            ("evaluations", stored.evaluations.len(), false),
            ("completeness", stored.completeness.len(), true),
            ("planned", stored.planned.len(), true),
            ("tolerance_met", stored.tolerance_met.len(), true),
        ];
        for (what, count, may_be_absent) in per_image {
            if count != images && !(may_be_absent && count == 0) {
                return Err(format!("{what} has {count} entries for {images} images"));
            }
        }
        let shaped = |numbers: Vec<f32>, what: &str| {
            let count = numbers.len();
            ArrayD::from_shape_vec(IxDyn(&stored.shape), numbers)
                .map_err(|_| format!("{count} {what} are not of shape {:?}", stored.shape))
        };
        let values = shaped(stored.values, "values")?;
        let errors = stored.standard_errors;
        let errors = errors.map(|errors| shaped(errors, "standard errors"));
        let uses = stored.rule_uses.into_iter().map(|used| RuleUse {
            rule: used.rule,
            operators: used.operators,
        });
        Ok(Self::from_parts(Parts {
            version: stored.elucid,
            method: stored.method,
            configuration: stored.configuration,
            layer: stored.layer,
            target: stored.target,
            rules: stored.rules,
            rule_uses: uses.collect(),
            seed: stored.seed,
            size: stored.image_size,
            reduce: stored
                .reduction
                .parse()
                .map_err(|error| format!("{error}"))?,
            scores: stored.scores,
            completeness: stored.completeness,
            evaluations: stored.evaluations,
            planned: stored.planned,
            tolerance_met: stored.tolerance_met,
            standard_errors: errors.transpose()?,
            remarks: stored.remarks,
            map: stored.positions.into(),
            values,
        }))
    }
}
