//! Randomisation: whether the explanation depends on what the network has learnt, and on the class.
//!
//! **Cascading randomisation** ([`ParameterRandomisation`], `mprt`, *model parameter randomisation
//! test*): layer by layer from the scores down to the image, weights are replaced by random ones, and
//! stay so, and the image is explained again each time. The value is the mean over the stages of the
//! similarity between the map of that stage and that of the trained network. Smaller is better: an
//! explanation that stays the same explains something else than the network. 1 is a map that does not
//! notice at all, as an edge detector does not.
//!
//! Adebayo et al., *Sanity checks for saliency maps* (2018). A layer here is a convolution or a dense
//! layer (`Conv`, `Gemm`, `MatMul`), its bias included; normalisation layers keep
//! what they have. Each weight is drawn from the normal distribution with the mean and deviation of
//! the trained one, so that activations keep their scale; Adebayo et al. and Quantus draw from the
//! distribution that training began with, which an ONNX file does not tell.
//!
//! Similarity is Spearman's rank correlation of the maps as they are shown, at the size of the image,
//! with SSIM for choice ([`similarity`](crate::similarity)); Adebayo et al. report both, and the rank
//! correlation of absolute values too. A map that becomes constant orders nothing: its correlation
//! is 0. Quantus' `MPRT` has Spearman's, from the top by default (`layer_order="top_down"`). Adebayo
//! et al. plot all stages, which [`ParameterRandomisation::stages`] returns. With
//! [`ParameterRandomisation::at_most`] only that many stages, evenly spread and the last included,
//! are explained.
//!
//! **Random logit** ([`RandomLogit`], `random-logit`): the similarity between the map for the class and
//! that for another class, drawn at random, for each image another where images have an
//! [identity](crate::Case::identity). Smaller is better: an explanation that is the same for
//! every class explains none. Sixt, Granz and Landgraf, *When explanations lie* (2020), by SSIM, as
//! Quantus' `RandomLogit`.
//!
//! Both attribute anew on the trained network, so that methods which draw random numbers are compared
//! under the same ones. Memory: one further network, and what the method takes; with
//! [`Case::networks`](crate::Case::networks), which makes the random networks once for all images, one for each stage.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use elucid_attribution::{Configurable, LayerWeights, Network, Random};
use ndarray::Array2;

use crate::case::Case;
use crate::error::MetricError;
use crate::metric::{
    Category, Direction, Halt, Metric, Needs, NotApplicable, measures, or_reason, setters,
};
use crate::options::number_or;
use crate::probe::Probe;
use crate::similarity::{SIMILARITIES, Similarity, spearman, ssim};
use crate::table::MetricInfo;

/// One stage of the cascade.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The layer down to which weights are random, by the name of its output.
    pub layer: String,
    /// Spearman's rank correlation of the maps.
    pub spearman: f64,
    /// Their structural similarity.
    pub ssim: f64,
}

/// Cascading randomisation of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct ParameterRandomisation {
    similarity: Similarity,
    at_most: usize,
    seed: u64,
}

impl ParameterRandomisation {
    fn new(similarity: Similarity) -> Self {
        Self {
            similarity,
            at_most: usize::MAX,
            seed: 0,
        }
    }

    /// By Spearman's rank correlation.
    pub fn spearman() -> Self {
        Self::new(Similarity::Spearman)
    }

    /// By structural similarity.
    pub fn ssim() -> Self {
        Self::new(Similarity::Ssim)
    }

    /// Explains at most this many stages, evenly spread over the layers, the last included.
    pub fn at_most(mut self, stages: usize) -> Self {
        self.at_most = stages;
        self
    }

    setters!(seed);

    /// The layers with weights of a network, by the names of their outputs, from the scores down: the
    /// order in which they are randomised.
    ///
    /// # Errors
    ///
    /// Whatever reading the weights meets.
    pub fn layers(network: &dyn Network) -> Result<Vec<String>, MetricError> {
        let layers = network.layer_weights()?.unwrap_or_default();
        Ok(layers.into_iter().map(|layer| layer.layer).collect())
    }

    /// Every stage that is explained, from the scores down, or why there are none.
    ///
    /// # Errors
    ///
    /// As [`Metric::measure`].
    pub fn stages(
        &self,
        case: &Case<'_>,
    ) -> Result<Result<Vec<Stage>, NotApplicable>, MetricError> {
        self.check()?;
        let mut stages = Vec::new();
        let found = self.each_stage(case, |layer, before, now| {
            stages.push(Stage {
                layer: layer.to_owned(),
                spearman: spearman(before.view(), now.view())?,
                ssim: ssim(before.view(), now.view())?,
            });
            Ok(())
        });
        or_reason(found.map(|()| stages))
    }

    fn each_stage(
        &self,
        case: &Case<'_>,
        mut compare: impl FnMut(&str, &Array2<f32>, &Array2<f32>) -> Result<(), MetricError>,
    ) -> Result<(), Halt> {
        let layers = case.network.layer_weights()?;
        let layers = layers.ok_or(NotApplicable::NeedsModel)?;
        case.method()?;
        if layers.is_empty() {
            return Err(NotApplicable::NoWeights.into());
        }
        let before = case.map_of(case.network, case.class)?;
        self.each_network(case, &layers, |layer, network| {
            compare(layer, &before, &case.map_of(network, case.class)?)?;
            Ok(())
        })
    }

    /// The networks of the stages that are explained: those that were kept for other images, or new ones, which are kept
    /// where that is asked for and takes no more than [`MOST_KEPT`].
    fn each_network(
        &self,
        case: &Case<'_>,
        layers: &[LayerWeights],
        mut take: impl FnMut(&str, &dyn Network) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let explained = self.at_most.min(layers.len());
        let key = (self.seed, explained);
        if let Some(networks) = case.networks.and_then(|networks| networks.of(key)) {
            let mut networks = networks.iter();
            return networks.try_for_each(|(layer, network)| take(layer, &**network));
        }
        let mut random = Random::new(self.seed);
        let mut stages = 0;
        // Those of explained stages if they are kept, and the last one.
        let mut kept: Vec<(String, Box<dyn Network>)> = Vec::new();
        let mut last: Option<Box<dyn Network>> = None;
        let mut keeps = case.networks.is_some();
        for (i, layer) in layers.iter().enumerate() {
            let before = last.as_deref();
            let before = before.or(kept.last().map(|(_, network)| &**network));
            let (next, weights) = randomised(before.unwrap_or(case.network), layer, &mut random)?;
            keeps &= weights.saturating_mul(explained) <= MOST_KEPT;
            // The stage after layer k n / m, for k from 1 to m.
            let is_explained = (i + 1) * explained / layers.len() > stages;
            if is_explained {
                stages += 1;
                take(&layer.layer, &*next)?;
            }
            match is_explained && keeps {
                true => {
                    kept.push((layer.layer.clone(), next));
                    last = None;
                }
                false => last = Some(next),
            }
        }
        if let (true, Some(networks)) = (keeps, case.networks) {
            networks.keep(key, kept);
        }
        Ok(())
    }

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        let (mut sum, mut count) = (0.0, 0);
        self.each_stage(case, |_, before, now| {
            sum += self.similarity.between(before.view(), now.view())?;
            count += 1;
            Ok(())
        })?;
        Ok(sum / f64::from(count.max(1)))
    }
}

/// The most numbers of weights that are kept: a gibibyte.
const MOST_KEPT: usize = 1 << 28;

/// Networks with random weights, made once for all images that a network explains: [`Case::networks`]. They are part of
/// what the metric takes, a network for each stage that is explained, and are not kept beyond a gibibyte of weights.
#[derive(Default)]
pub struct RandomNetworks(RefCell<BTreeMap<(u64, usize), Rc<Kept>>>);

/// Layers down to which weights are random, each with its network.
type Kept = Vec<(String, Box<dyn Network>)>;

impl RandomNetworks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(&self, key: (u64, usize)) -> Option<Rc<Kept>> {
        self.0.borrow().get(&key).cloned()
    }

    fn keep(&self, key: (u64, usize), networks: Kept) {
        self.0.borrow_mut().insert(key, Rc::new(networks));
    }
}

impl fmt::Debug for RandomNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.borrow().keys()).finish()
    }
}

/// The network with random weights of the layer, and how many weights it has in all.
fn randomised(
    network: &dyn Network,
    layer: &LayerWeights,
    random: &mut Random,
) -> Result<(Box<dyn Network>, usize), Halt> {
    let mut weights = 0;
    let randomised = network.with_weights(&mut |name, values| {
        weights += values.len();
        if !layer.weights.iter().any(|weight| weight == name) {
            return None;
        }
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        Some(values.mapv(|_| (mean + deviation * random.normal_double()) as f32))
    })?;
    Ok((randomised.ok_or(NotApplicable::NeedsModel)?, weights))
}

crate::options!(ParameterRandomisation {
    {
        similarity as "similarity", "what compares the maps", SIMILARITIES
    }
    {
        "stages", "how many stages are explained at most, evenly spread", "all, or 1 or more",
        |metric, _| Some(match metric.at_most {
            usize::MAX => "all".to_owned(),
            stages => stages.to_string(),
        }),
        |metric, text| {
            metric.at_most = number_or("all", text)?.unwrap_or(usize::MAX);
            Some(())
        },
        |metric| metric.at_most > 0
    }
});

measures!(ParameterRandomisation as METRIC);

/// The similarity to the map of another class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct RandomLogit {
    similarity: Similarity,
    seed: u64,
}

impl RandomLogit {
    /// By structural similarity.
    pub fn ssim() -> Self {
        Self {
            similarity: Similarity::Ssim,
            seed: 0,
        }
    }

    /// By Spearman's rank correlation.
    pub fn spearman() -> Self {
        Self {
            similarity: Similarity::Spearman,
            ..Self::ssim()
        }
    }

    setters!(seed);

    fn run(&self, case: &Case<'_>) -> Result<f64, Halt> {
        case.method()?;
        if case.explained.is_some() {
            return Err(NotApplicable::NotAClass.into());
        }
        let classes = Probe::new(case, 1)?.classes()?;
        if classes < 2 {
            return Err(NotApplicable::OneClass.into());
        }
        let drawn = case.random(self.seed).below(classes - 1);
        let other = drawn + usize::from(drawn >= case.class);
        let map = case.map_of(case.network, case.class)?;
        let of_other = case.map_of(case.network, other)?;
        Ok(self.similarity.between(map.view(), of_other.view())?)
    }
}

crate::options!(RandomLogit {
    {
        similarity as "similarity", "what compares the maps", SIMILARITIES
    }
});

measures!(RandomLogit as RANDOM_LOGIT);

pub(crate) const METRIC: MetricInfo = MetricInfo::new(
    "mprt",
    "Cascading randomisation of the weights",
    Direction::Smaller,
    "Adebayo et al. 2018",
    |options| options.apply(ParameterRandomisation::spearman().seed(options.first_seed())),
)
.also(&["model-parameter-randomisation", "cascading-randomisation"])
.category(Category::Randomisation)
.needs(Needs {
    model: true,
    attributor: true,
    ..Needs::MAP
})
.random()
.options(ParameterRandomisation::OPTIONS);

pub(crate) const RANDOM_LOGIT: MetricInfo = MetricInfo::new(
    "random-logit",
    "Random logit",
    Direction::Smaller,
    "Sixt, Granz and Landgraf 2020",
    |options| options.apply(RandomLogit::ssim().seed(options.first_seed())),
)
.category(Category::Randomisation)
.needs(Needs {
    attributor: true,
    ..Needs::SCORES
})
.random()
.options(RandomLogit::OPTIONS);
