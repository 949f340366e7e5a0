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
//! By default, [`FEATURES`](crate::FEATURES) is the last value whose patches are read: in front of the last block where a
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
use elucid_graph::{Layout, Pattern};
use elucid_rules::Rules;

use super::spatial;
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::methods::{Method, Place};
use crate::options::{Configurable, Configuration, words};
use crate::perturbation::per_pixel;
use crate::perturbation::positions::{Tried, by_position, masked};
use crate::saliency::Reduce;
use crate::sampling::{Part, images_of};
use crate::work::{Context, require};

words! {
    /// What a mask shows of the layer.
    pub enum ReciproMask: "mask", MASKS = "single (one position) or gaussian (3 x 3 of them)" {
        /// One position.
        Single = "single",
        /// A position and those around it, `[1 2 1; 2 4 2; 1 2 1] / 16`.
        Gaussian = "gaussian",
    }
}

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

words! {
    /// What a position's number is.
    pub enum ReciproValue: "value", VALUES = "increase (over the layer hidden everywhere) or score (as it is)" {
        /// The score under its mask, less that under a mask that hides everything.
        Increase = "increase",
        /// The score under its mask: as in the papers, before they stretch the map to 0..1.
        Score = "score",
    }
}

method! {
    /// ReciproCAM: the score when one position of a layer is shown.
    pub struct ReciproCam {
        mask: Option<ReciproMask> = None,
        value: ReciproValue = ReciproValue::Increase,
        residual: bool = false,
    }
    /// At a layer of shape `[N, C, H, W]`, or of tokens on a grid.
    at_features
}

impl ReciproCam {
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
    crate::named!(METHOD);

    /// The mask is the one of maps; results state that of their layer.
    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let mask = self.mask.unwrap_or(ReciproMask::Single);
        self.configured(size).with("mask", mask)
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        work.model(METHOD.title)?;
        let masked = Masked::of(work, self)?;
        let work = &masked.work;
        let first = spatial(work, &work.activation_of(&[0])?)?;
        let [_, _, h, w] = first.dims();
        let grid = [h, w];
        let mut first = Some(first);
        let start = |image| match first.take() {
            Some(first) => masked.shown(image, first),
            None => masked.shown(image, spatial(work, &work.activation_of(&[image])?)?),
        };
        let found = by_position(work, grid, start, |parts| {
            let keeps = |of, place| masked.mask.shows(of, place);
            masked.scores(parts, keeps)
        })?;
        let (mut maps, mut scores) = (Vec::new(), Vec::new());
        for Tried { of, scores: found } in found {
            maps.push(found.into_iter().map(|score| score - of.nothing).collect());
            scores.push(of.score);
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

    /// One image before it is masked, whose layer is `at` `[1, C, h, w]`.
    fn shown(&self, image: usize, at: Tensor<4>) -> Result<Shown, AttributionError> {
        let beside = self.residual.as_ref();
        let beside = beside.map(|other| spatial(other, &other.activation_of(&[image])?));
        let beside = beside.transpose()?;
        let nothing = match self.value {
            ReciproValue::Increase => {
                let there = beside.as_ref().map(Tensor::zeros_like);
                self.score_of(&[image], at.zeros_like(), there)?[0]
            }
            ReciproValue::Score => 0.0,
        };
        Ok(Shown {
            score: self.work.scores(&[image], at.clone().into())?[0],
            nothing,
            at,
            beside,
        })
    }

    /// The scores of some positions, each under its mask.
    fn scores(
        &self,
        parts: &[Part<Tried<Shown>>],
        keeps: impl Fn([usize; 2], [usize; 2]) -> f32,
    ) -> Result<Vec<f32>, AttributionError> {
        let shown = masked(parts, |shown| shown.at.clone(), &keeps);
        let beside = |shown: &Shown| shown.beside.clone().unwrap_or_else(|| shown.at.clone());
        let there = self
            .residual
            .is_some()
            .then(|| masked(parts, beside, &keeps));
        self.score_of(&images_of(parts), shown, there)
    }

    /// The scores of values of the layer, and of what is masked beside it.
    fn score_of(
        &self,
        rows: &[usize],
        shown: Tensor<4>,
        there: Option<Tensor<4>>,
    ) -> Result<Vec<f32>, AttributionError> {
        match (&self.residual, there) {
            (Some(other), Some(there)) => {
                let there = there.into();
                self.work.scores_beside(rows, shown.into(), other, there)
            }
            _ => self.work.scores(rows, shown.into()),
        }
    }
}

/// One image with all of its positions.
struct Shown {
    score: f32,
    /// The score of a layer that is hidden everywhere, which positions are compared with; 0 where they are not.
    nothing: f32,
    /// `[1, C, h, w]`
    at: Tensor<4>,
    /// What is masked beside it.
    beside: Option<Tensor<4>>,
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

pub(crate) const METHOD: Method =
    Method::of::<ReciproCam>("recipro-cam", "ReciproCAM", "Byun and Lee 2022")
        .at(Place::SpatialLayer)
        .needs_model();
