//! Token occlusion: what the score loses without one token, or one position of a layer. No gradient.
//!
//! `attr[i] = f(x) - f(x without token i)`, one number for each patch, `[N, 1, h, w]` on the grid of
//! patches. A token is taken away in one of three ways:
//!
//! | [`Hides`] | what is done |
//! | --- | --- |
//! | [`Zero`](Hides::Zero), by default | the token that enters the first block, its position included, becomes 0 |
//! | [`Unseen`](Hides::Unseen) | no token looks at it: its key is masked in every block before the softmax, which equals the sequence without it wherever it is not read itself |
//! | [`Pixels`](Hides::Pixels) | the pixels of its patch become the [`Baseline`], zero by default |
//!
//! A token of zeros is still looked at, by keys that are biases only, and a patch of one colour still has
//! a position: the three differ. Class tokens and others in front of the patches are never hidden.
//!
//! Source: occlusion is Zeiler and Fergus's (2014); on tokens, leaving some out is how Naseer et al.,
//! *Intriguing Properties of Vision Transformers* (2021), <https://arxiv.org/abs/2105.10497>, and many after
//! them ask what a transformer relies on.
//!
//! **Layers.** Unless a layer is named, tokens are those that enter the first block that attends: what
//! the path around its attention carries. A named layer is taken as it is, and its positions are set to 0 or
//! covered in the image; so they are at [`FEATURES`] of a network without attention, or whose tokens lie nowhere that is
//! known (MobileViT's), where a position of a map `[N, C, H, W]` stands for a token. [`Hides::Unseen`] needs attention whose softmax is an
//! operator of its own and whose keys are the tokens of the layer; it is refused for windows and for
//! operators that attend by themselves.
//!
//! One evaluation for each position, and one more. Memory: `batch_size` values of the layer, and what
//! lies behind them. It needs a model: a closure has no layers.

use std::collections::HashSet;

use burn::tensor::{Tensor, TensorData, activation};
use elucid_graph::{INPUT, ImageBatch, Layout, Pattern};
use elucid_rules::{Algebra, GradRule, Operator, Rules};
use elucid_vision::Model;

use super::positions::{Tried, by_position, masked};
use super::{Masked, per_pixel};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::baseline::{BASELINES, Baseline};
use crate::cam::spatial;
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::methods::{Method, Place};
use crate::network::{FEATURES, Network};
use crate::options::{Setting, words};
use crate::random::Random;
use crate::saliency::Reduce;
use crate::sampling::{Part, images_of};
use crate::target::Target;
use crate::work::Context;

words! {
    /// How a token is taken away.
    pub enum Hides: "hides", HIDES =
        "zero (the token is 0), unseen (no token looks at it) or pixels (its patch is hidden)" {
        /// It becomes 0.
        Zero = "zero",
        /// No token looks at it.
        Unseen = "unseen",
        /// The pixels of its patch are hidden.
        Pixels = "pixels",
    }
}

/// Differences of scores when tokens are taken away one by one.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct TokenOcclusion {
    pub(crate) setup: Setup,
    hides: Option<Hides>,
    baseline: Baseline,
}

impl Default for TokenOcclusion {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenOcclusion {
    /// Tokens that enter the first block become 0.
    pub fn new() -> Self {
        Self::at(FEATURES)
    }

    /// Positions of a layer: of tokens on a grid, or of a map.
    pub fn at(layer: &str) -> Self {
        Self {
            setup: Setup::at(layer),
            hides: None,
            baseline: Baseline::zero(),
        }
    }

    /// How tokens are taken away; by default they become 0.
    pub fn hides(mut self, hides: Hides) -> Self {
        self.hides = Some(hides);
        self
    }

    /// Hides the pixels of patches, [`Hides::Pixels`], by this; one baseline or the mean of several.
    pub fn baseline(mut self, baseline: Baseline) -> Self {
        self.hides = Some(Hides::Pixels);
        self.baseline = baseline;
        self
    }

    fn way(&self) -> Hides {
        self.hides.unwrap_or(Hides::Zero)
    }

    setup_builders!(batch_size, progress, seed);
}

crate::options!(TokenOcclusion {
    {
        "hides", "how a token is taken away", HIDES,
        |method, _| Some(method.way().to_string()),
        |method, text| {
            method.hides = Setting::read(text)?;
            Some(())
        }
    }
    {
        "baseline", "with hides pixels, and only so: what hidden pixels become", BASELINES,
        |method, size| match method.way() {
            Hides::Pixels => method.baseline.text(size),
            Hides::Zero | Hides::Unseen => None,
        },
        |method, text| match method.hides {
            Some(Hides::Zero | Hides::Unseen) => None,
            _ => {
                *method = method.clone().baseline(Setting::read(text)?);
                Some(())
            }
        }
    }
});

impl Attributor for TokenOcclusion {
    crate::stated!(METHOD);

    /// The layer is looked up where tokens enter the first block, which need not be where a network's features
    /// end.
    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        let setup = self.setup.clone().with_layer(INPUT);
        self.explain(&Context::new(network, images, &target, &setup)?)
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let input = work.at(INPUT, &Rules::new(), Takes::Numbers)?;
        let model = input.model(METHOD.title)?;
        let layer = match self.setup.layer() {
            FEATURES => entering(model, input.size())?,
            _ => None,
        };
        let layer = layer.as_deref().unwrap_or(self.setup.layer());
        let work = input.at(layer, &Rules::new(), Takes::Map)?;
        self.baseline.check(&input)?;
        let hides = self.way();
        let unseen = match hides {
            Hides::Unseen => Some(attentions(&work)?),
            Hides::Zero | Hides::Pixels => None,
        };
        let first = spatial(&work, &work.activation_of(&[0])?)?;
        let [_, _, h, w] = first.dims();
        let grid = [h, w];
        let mut first = Some(first);
        let start = |image| {
            let at = match first.take() {
                Some(first) => first,
                None => spatial(&work, &work.activation_of(&[image])?)?,
            };
            Ok(Whole {
                score: work.scores(&[image], at.clone().into())?[0],
                hidden: match hides {
                    Hides::Pixels => self.hidden(&input, image),
                    Hides::Zero | Hides::Unseen => Vec::new(),
                },
                at,
            })
        };
        let found = by_position(&work, grid, start, |parts| match (hides, &unseen) {
            (Hides::Pixels, _) => self.without_pixels(&input, parts, grid),
            (_, Some(attentions)) => without_keys(&work, parts, attentions),
            (_, None) => without_values(&work, parts),
        })?;
        let (mut maps, mut scores) = (Vec::new(), Vec::new());
        for Tried { of, scores: found } in found {
            maps.push(found.into_iter().map(|found| of.score - found).collect());
            scores.push(of.score);
        }
        let each = match hides {
            Hides::Pixels => self.baseline.count(),
            Hides::Zero | Hides::Unseen => 1,
        };
        let evaluations = vec![grid[0] * grid[1] * each + 1; scores.len()];
        let values = per_pixel(maps, grid)?;
        Ok(Attribution::new(self, &work, values, scores, Reduce::Sum)?
            .with_evaluations(evaluations))
    }
}

/// One image with all of its tokens.
struct Whole {
    score: f32,
    /// The value of the layer, `[1, C, h, w]`.
    at: Tensor<4>,
    /// By each baseline, where pixels are hidden.
    hidden: Vec<Masked>,
}

impl TokenOcclusion {
    fn hidden(&self, input: &Context<'_>, image: usize) -> Vec<Masked> {
        let mut random = Random::new(input.seed);
        let hidden = self.baseline.images(input, image, &mut random).into_iter();
        hidden.map(|h| Masked::new(input, image, h)).collect()
    }

    /// Scores without the pixels of some patches.
    fn without_pixels(
        &self,
        input: &Context<'_>,
        parts: &[Part<Tried<Whole>>],
        [h, w]: [usize; 2],
    ) -> Result<Vec<f32>, AttributionError> {
        let [height, width] = input.size();
        let mask = |patch: usize| -> Vec<f32> {
            let is_inside = |y: usize, x: usize| (y * h / height) * w + x * w / width == patch;
            let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
            let keeps = pixels.map(|(y, x)| f32::from(u8::from(!is_inside(y, x))));
            keeps.collect()
        };
        let rows = images_of(parts);
        let mut means = vec![0.0; rows.len()];
        for baseline in 0..self.baseline.count() {
            let images = parts.iter().map(|part| {
                let masks: Vec<Vec<f32>> = part.samples.clone().map(mask).collect();
                part.state.of.hidden[baseline].under(&masks)
            });
            let images = Tensor::cat(images.collect(), 0);
            for (mean, score) in means.iter_mut().zip(input.scores(&rows, images.into())?) {
                *mean += score / self.baseline.count() as f32;
            }
        }
        Ok(means)
    }
}

/// Scores without the value of some positions.
fn without_values(
    work: &Context<'_>,
    parts: &[Part<Tried<Whole>>],
) -> Result<Vec<f32>, AttributionError> {
    let keeps = |of, place| f32::from(u8::from(of != place));
    let kept = masked(parts, |whole| whole.at.clone(), keeps);
    work.scores(&images_of(parts), kept.into())
}

/// Scores when no token looks at some of them.
fn without_keys(
    work: &Context<'_>,
    parts: &[Part<Tried<Whole>>],
    attentions: &[String],
) -> Result<Vec<f32>, AttributionError> {
    let prefix = work.map.prefix();
    let tokens = parts.iter().flat_map(|part| part.samples.clone());
    let hidden: Vec<usize> = tokens.map(|token| prefix + token).collect();
    let every = masked(parts, |whole| whole.at.clone(), |_, _| 1.0);
    let [_, _, h, w] = every.dims();
    let rules = attentions.iter().fold(Rules::new(), |rules, softmax| {
        let unseen = Unseen {
            hidden: hidden.clone(),
            keys: prefix + h * w,
        };
        rules.on_layers(softmax, unseen)
    });
    work.scores_under(&images_of(parts), every.into(), &rules)
}

/// The tokens that enter the first block that attends: what is added to the outcome of its attention.
/// `None` for a network without attention, or in which it is not known where tokens lie.
fn entering(model: &Model, size: [usize; 2]) -> Result<Option<String>, AttributionError> {
    let blocks = model.bound().blocks_for(size)?;
    let is_attention = |pattern: &Pattern| matches!(pattern, Pattern::Attention { .. });
    let Some(first) = blocks.iter().find(|block| is_attention(block.pattern())) else {
        return Ok(None);
    };
    let layouts = model.layouts(size)?;
    let graph = model.graph();
    let mut follows = HashSet::from([first.output()]);
    for node in graph.nodes() {
        let inputs = || node.inputs.iter().flatten();
        if !inputs().any(|value| follows.contains(value)) {
            continue;
        }
        let mut others = inputs().filter(|value| !follows.contains(value));
        let is_map = |layout| layout != Layout::Unknown;
        let around = others.find(|value| is_map(layouts.layout(**value)));
        if let (Algebra::Sum, Some(&around)) = (graph.algebra(node), around) {
            return Ok(Some(graph.name(around).to_owned()));
        }
        follows.extend(node.outputs.iter().copied());
    }
    Ok(None)
}

/// The layers where each attention becomes probabilities, if its keys are the tokens of the layer.
fn attentions(work: &Context<'_>) -> Result<Vec<String>, AttributionError> {
    let refused = |expected| AttributionError::Parameter {
        parameter: "hides",
        value: Hides::Unseen.to_string(),
        expected,
    };
    let model = work.model(METHOD.title)?;
    let graph = model.graph();
    let blocks = model.bound().blocks_for(work.size())?;
    let mut found = Vec::new();
    for block in &blocks {
        let Pattern::Attention {
            keys,
            probabilities,
            stages,
            ..
        } = block.pattern()
        else {
            continue;
        };
        let of_layer = keys.map(|keys| Layout::Tokens {
            prefix: keys.prefix,
            grid: keys.grid,
        });
        if of_layer != Some(work.map.layout()) {
            return Err(refused(
                "zero or pixels where the keys of attention are not the tokens of the layer, as in windows",
            ));
        }
        let softmax = &graph.nodes()[stages[1]];
        match probabilities {
            Some(_) if graph.algebra(softmax) == Algebra::Softmax => {
                let made = softmax.outputs.first().map(|value| graph.name(*value));
                found.extend(made.map(str::to_owned));
            }
            _ => {
                return Err(refused(
                    "zero or pixels where an operator attends by itself",
                ));
            }
        }
    }
    match found.is_empty() {
        true => Err(refused("zero or pixels in a network without attention")),
        false => Ok(found),
    }
}

/// A softmax over keys of which one in each row has no part.
#[derive(Debug)]
struct Unseen {
    /// The key that is hidden in each row.
    hidden: Vec<usize>,
    /// Number of keys.
    keys: usize,
}

impl Unseen {
    /// The axis of keys: the last one, of `[N, heads, queries, keys]` or of `[N heads, queries, keys, 1]`.
    fn axis(&self, x: &Tensor<4>) -> usize {
        match x.dims()[3] == self.keys {
            true => 3,
            false => 2,
        }
    }
}

/// What is added to a key's score to hide it: its exponential is 0.
const HIDDEN: f32 = -1e30;

impl GradRule for Unseen {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let axis = self.axis(&x);
        let each = x.dims()[0] / self.hidden.len().max(1);
        let mut added = Vec::with_capacity(x.dims()[0] * self.keys);
        for &hidden in &self.hidden {
            for _ in 0..each {
                added.extend((0..self.keys).map(|key| if key == hidden { HIDDEN } else { 0.0 }));
            }
        }
        let mut shape = [x.dims()[0], 1, 1, 1];
        shape[axis] = self.keys;
        let added = Tensor::<4>::from_data(TensorData::new(added, shape), &x.device());
        activation::softmax(x + added, axis)
    }

    fn backward(&self, x: Tensor<4>, y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        let products = y.clone() * g.clone();
        let sums = products.sum_dim(self.axis(&x));
        y * (g - sums)
    }

    fn applies_to(&self, op: &Operator<'_>) -> bool {
        op.algebra() == Algebra::Softmax
    }
}

pub(crate) const METHOD: Method =
    Method::of::<TokenOcclusion>("token-occlusion", "Token occlusion", "Naseer et al. 2021")
        .at(Place::SpatialLayer)
        .needs_model()
        .random();
