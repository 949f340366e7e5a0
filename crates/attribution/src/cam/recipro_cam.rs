//! ReciproCAM: the score when the network sees one position of a layer only. No gradient.
//!
//! `attr[i] = s_i - s_0`, where `s_i` is the target's score when the layer's value is multiplied by a mask
//! that shows position `i`, and `s_0` its score when the mask hides all of them: one number for each
//! position, `[N, 1, H, W]`. Behind a global average pool and one dense layer, masks of a single position
//! give the map of CAM.
//!
//! | [`ReciproMask`] | 1 or less around position `i`, and 0 elsewhere |
//! | --- | --- |
//! | [`Single`](ReciproMask::Single) | 1 at the position itself; at maps by default, as in the authors' program |
//! | [`Gaussian`](ReciproMask::Gaussian) | `[1 2 1; 2 4 2; 1 2 1] / 16` around it, cut at the border and not made up for; on tokens by default, as there |
//!
//! **On tokens** the masks hide patches, and never the class token or others in front of them. They are put
//! on what the layer normalisation makes that reads the named layer, since a normalisation would stretch a
//! dimmed token to its old length again; a layer that is itself what a layer normalisation makes is
//! masked as it is. The path around the block keeps its values, unless [`ReciproCam::residual`] masks
//! what the normalisation reads, too. Where only a class token is classified, that makes no difference
//! in the last block, because nothing reads the patches behind it; where the mean of the tokens is, it
//! does. Maps `[N, H, W, C]`, as Swin has, are treated likewise.
//!
//! By default, [`FEATURES`] is the last value whose patches are read: in front of the last block where a
//! class token is classified, so that its first normalisation is masked, as in the paper; behind
//! it where the mean of the patches is, so that the last normalisation is.
//!
//! Sources: Byun and Lee, *ReciproCAM: Lightweight Gradient-free Class Activation Map for Post-hoc
//! Explanations* (2022), <https://arxiv.org/abs/2209.14074>, and *ViT-ReciproCAM: Gradient and Attention-Free
//! Visual Explanations for Vision Transformer* (2023), <https://arxiv.org/abs/2310.02588>. They take `s_i` as it is
//! and stretch the map to 0..1, which hides whether anything speaks for the class: [`ReciproValue::Score`]
//! gives that. OpenVINO XAI masks the normalisation alone on networks of torch, and the path around
//! it, too, on OpenVINO graphs.
//!
//! One evaluation of what lies behind the layer for each position, and one more. Memory: `batch_size`
//! values of the layer, and what lies behind them. It needs a model: a closure has no layers.

use burn::tensor::Tensor;
use elucid_graph::{Activation, ImageBatch, Layout, Pattern};
use elucid_rules::Rules;

use super::spatial;
use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::methods::{Method, Place};
use crate::network::{FEATURES, Network};
use crate::options::{Configurable, Configuration, words};
use crate::perturbation::per_pixel;
use crate::perturbation::positions::{by_position, masks};
use crate::saliency::Reduce;
use crate::target::Target;
use crate::work::{Context, require};

/// What a mask shows of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReciproMask {
    /// One position.
    Single,
    /// A position and those around it, `[1 2 1; 2 4 2; 1 2 1] / 16`.
    Gaussian,
}

words!(ReciproMask, "mask", MASKS = "single (one position) or gaussian (3 x 3 of them)",
    "single" => Single, "gaussian" => Gaussian);

impl ReciproMask {
    /// How far the mask of a position shows a place.
    fn shows(self, of: [usize; 2], place: [usize; 2]) -> f32 {
        let shares: &[f32] = match self {
            Self::Single => &[1.0],
            Self::Gaussian => &[0.5, 0.25],
        };
        let along = |axis: usize| shares.get(of[axis].abs_diff(place[axis])).copied();
        along(0).unwrap_or(0.0) * along(1).unwrap_or(0.0)
    }
}

/// What a position's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReciproValue {
    /// The score under its mask, less that under a mask that hides everything.
    Increase,
    /// The score under its mask: as in the papers, before they stretch the map to 0..1.
    Score,
}

words!(ReciproValue, "value", VALUES = "increase (over the layer hidden everywhere) or score (as it is)",
    "increase" => Increase, "score" => Score);

/// ReciproCAM: the score when one position of a layer is shown.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct ReciproCam {
    pub(crate) setup: Setup,
    mask: Option<ReciproMask>,
    value: ReciproValue,
    residual: bool,
}

impl ReciproCam {
    /// At a layer of shape `[N, C, H, W]`, or of tokens on a grid.
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
            mask: None,
            value: ReciproValue::Increase,
            residual: false,
        }
    }

    /// At the last convolutional features, [`FEATURES`], and on the tokens of a transformer's last
    /// block.
    pub fn at_features() -> Self {
        Self::at(FEATURES)
    }

    setup_builders!(batch_size, progress);
}

crate::options!(ReciproCam {
    {
        /// What a mask shows: one position of a map, a Gaussian of 3 x 3 tokens by default.
        mask: ReciproMask as "mask",
        "what a mask shows of the layer; single at maps and gaussian on tokens unless given", MASKS
    }
    {
        /// What a position's number is, by default the increase.
        value: ReciproValue as "value", "what a position's number is", VALUES
    }
    {
        /// Whether the path around the layer normalisation is masked, too; not by default.
        residual: bool as "residual",
        "on tokens: whether the path around the layer normalisation is masked, too", "true or false"
    }
});

impl Attributor for ReciproCam {
    fn name(&self) -> &'static str {
        METHOD.name
    }

    /// The mask is the one of maps; results state that of their layer.
    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let mask = self.mask.unwrap_or(ReciproMask::Single);
        self.configured(size).with("mask", mask)
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        let setup = self.setup.taking(Takes::Map);
        let named = Context::new(network, images, &target, &setup)?;
        named.model(METHOD.title)?;
        let masked = Masked::of(&named, self)?;
        let work = &masked.work;
        let (mut maps, mut scores) = (Vec::new(), Vec::new());
        let mut grid = [1, 1];
        for image in 0..work.count() {
            let at = spatial(work, &work.activation_of(&[image])?)?;
            let [_, _, h, w] = at.dims();
            grid = [h, w];
            scores.extend(work.scores(&[image], at.clone().into())?);
            maps.push(masked.map(image, at)?);
        }
        let values = per_pixel(maps, grid)?;
        let evaluations = match self.value {
            ReciproValue::Increase => grid[0] * grid[1] + 1,
            ReciproValue::Score => grid[0] * grid[1],
        };
        let configuration = self.configuration(work.size()).with("mask", masked.mask);
        let count = scores.len();
        Ok(Attribution::named(
            METHOD.name,
            configuration,
            work,
            values,
            scores,
            Reduce::Sum,
        )?
        .with_evaluations(vec![evaluations; count]))
    }
}

/// What is masked, and how.
struct Masked<'w> {
    work: Context<'w>,
    /// What is masked beside it.
    residual: Option<Context<'w>>,
    mask: ReciproMask,
    value: ReciproValue,
}

impl<'w> Masked<'w> {
    fn of(named: &Context<'w>, method: &ReciproCam) -> Result<Self, AttributionError> {
        let is_tokens = matches!(named.map.layout(), Layout::Tokens { .. });
        let norm = normalisation(named)?;
        require(
            norm.is_some() || !method.residual,
            "residual",
            method.residual,
            "false at a layer that no layer normalisation reads or makes",
        )?;
        let at = |layer: &str| named.at(layer, &Rules::new(), Takes::Map);
        let (work, residual) = match norm {
            Some([reads, makes]) => {
                let residual = method.residual.then(|| at(&reads)).transpose()?;
                (at(&makes)?, residual)
            }
            None => (named.clone(), None),
        };
        Ok(Self {
            work,
            residual,
            mask: method.mask.unwrap_or(match is_tokens {
                true => ReciproMask::Gaussian,
                false => ReciproMask::Single,
            }),
            value: method.value,
        })
    }

    /// One number for each position, row by row. `at` is the layer's value, `[1, C, H, W]`.
    fn map(&self, image: usize, at: Tensor<4>) -> Result<Vec<f32>, AttributionError> {
        let [_, _, h, w] = at.dims();
        let beside = self.residual.as_ref();
        let beside = beside.map(|other| spatial(other, &other.activation_of(&[image])?));
        let beside = beside.transpose()?;
        let scores = |masks: Tensor<4>| {
            let rows = vec![image; masks.dims()[0]];
            let shown: Activation = (at.clone() * masks.clone()).into();
            match (&self.residual, &beside) {
                (Some(other), Some(there)) => {
                    let there = there.clone() * masks;
                    self.work.scores_beside(&rows, shown, other, there.into())
                }
                _ => self.work.scores(&rows, shown),
            }
        };
        let mut map = by_position(&self.work, image, [h, w], |batch| {
            let shows = |of, place| self.mask.shows(of, place);
            scores(masks(batch, [h, w], &at.device(), shows))
        })?;
        if self.value == ReciproValue::Increase {
            let nothing = scores(masks(&[0], [h, w], &at.device(), |_, _| 0.0))?[0];
            map.iter_mut().for_each(|score| *score -= nothing);
        }
        Ok(map)
    }
}

/// The layer normalisation that makes the layer, or else the first that reads it: what it reads and what
/// it makes. Of maps `[N, C, H, W]` there is none that works position by position.
fn normalisation(work: &Context<'_>) -> Result<Option<[String; 2]>, AttributionError> {
    let (Some(model), false) = (work.network.as_model(), work.map.is_plain()) else {
        return Ok(None);
    };
    let value = model.layer(&work.layer)?.value();
    let layouts = model.layouts(work.size())?;
    let blocks = model.bound().blocks_for(work.size())?;
    let found = blocks.iter().filter_map(|block| match block.pattern() {
        Pattern::Normalization { signal, skip, .. } if skip.is_empty() => {
            let [reads, makes] = [*signal, block.output()].map(|v| layouts.layout(v));
            let is_same = reads == makes && makes == work.map.layout();
            is_same.then_some([*signal, block.output()])
        }
        _ => None,
    });
    let found: Vec<_> = found.collect();
    let makes = found.iter().find(|norm| norm[1] == value);
    let norm = makes.or_else(|| found.iter().find(|norm| norm[0] == value));
    Ok(norm.map(|norm| norm.map(|v| model.graph().name(v).to_owned())))
}

pub(crate) const METHOD: Method = Method::new(
    "recipro-cam",
    "ReciproCAM",
    "Byun and Lee 2022",
    |options| options.apply(ReciproCam::at_features()),
)
.at(Place::SpatialLayer)
.needs_model()
.options(ReciproCam::OPTIONS);
