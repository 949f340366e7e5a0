//! Networks whose weights are random, layer by layer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use elucid_attribution::{LayerWeights, Network, Random};
use ndarray::Array2;

use crate::case::Case;
use crate::error::MetricError;
use crate::metric::{Halt, NotApplicable};
use crate::options::words;
use crate::similarity::{Similarity, spearman, ssim};

/// One stage of the cascade.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The layer up to which weights are random, by the name of its output.
    pub layer: String,
    /// Spearman's rank correlation of the maps.
    pub spearman: f64,
    /// Their structural similarity.
    pub ssim: f64,
}

words! {
    /// At which end of the network weights become random first.
    #[derive(PartialOrd, Ord)]
    pub enum LayerOrder: "order", ORDERS = "top-down or bottom-up", default TopDown {
        /// From the scores down to the image, as Adebayo et al.
        TopDown = "top-down",
        /// From the image up to the scores, as Hedström et al. advise: what lies below the first random layer, and stays as it was,
        /// keeps many explanations alike.
        BottomUp = "bottom-up",
    }
}

/// Which networks are explained beside the trained one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cascade {
    pub at_most: usize,
    pub order: LayerOrder,
    pub seed: u64,
}

impl Cascade {
    /// All stages, from the scores down.
    pub const ALL: Self = Self {
        at_most: usize::MAX,
        order: LayerOrder::TopDown,
        seed: 0,
    };

    /// How alike the map of the trained network and that of each stage are.
    pub fn stages(
        self,
        case: &Case<'_>,
        map: impl Fn(&dyn Network) -> Result<Array2<f32>, Halt>,
    ) -> Result<Vec<Stage>, Halt> {
        let mut stages = Vec::new();
        self.each_stage(case, map, |layer, before, now| {
            stages.push(Stage {
                layer: layer.to_owned(),
                spearman: spearman(before.view(), now.view())?,
                ssim: ssim(before.view(), now.view())?,
            });
            Ok(())
        })?;
        Ok(stages)
    }

    /// The mean of one similarity over the stages.
    pub fn mean(
        self,
        similarity: Similarity,
        case: &Case<'_>,
        map: impl Fn(&dyn Network) -> Result<Array2<f32>, Halt>,
    ) -> Result<f64, Halt> {
        let (mut sum, mut count) = (0.0, 0);
        self.each_stage(case, map, |_, before, now| {
            sum += similarity.between(before.view(), now.view())?;
            count += 1;
            Ok(())
        })?;
        Ok(sum / f64::from(count.max(1)))
    }

    /// Makes a map of the trained network and of each stage, of which `compare` is given both, with the name of the stage's layer.
    pub fn each_stage(
        self,
        case: &Case<'_>,
        map: impl Fn(&dyn Network) -> Result<Array2<f32>, Halt>,
        mut compare: impl FnMut(&str, &Array2<f32>, &Array2<f32>) -> Result<(), MetricError>,
    ) -> Result<(), Halt> {
        let layers = case.network.layer_weights()?;
        let mut layers = layers.ok_or(NotApplicable::NeedsModel)?;
        case.method()?;
        if layers.is_empty() {
            return Err(NotApplicable::NoWeights.into());
        }
        if self.order == LayerOrder::BottomUp {
            layers.reverse();
        }
        let before = map(case.network)?;
        self.each_network(case, &layers, |layer, network| {
            Ok(compare(layer, &before, &map(network)?)?)
        })
    }

    /// The networks of the stages that are explained: those that were kept for other images, or new ones, which are kept
    /// where that is asked for and takes no more than [`MOST_KEPT`].
    fn each_network(
        self,
        case: &Case<'_>,
        layers: &[LayerWeights],
        mut take: impl FnMut(&str, &dyn Network) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let explained = self.at_most.min(layers.len());
        let key = (self.seed, explained, self.order);
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
}

/// What a metric has that compares maps along a cascade: constructors, builder methods, options and stages. Its function
/// `map` makes a map of a network, its `new` is told the similarity.
macro_rules! cascading {
    ($metric:ident { $($option:tt)* } $($check:tt)*) => {
        impl $metric {
            crate::metric::forms! {
                /// By Spearman's rank correlation.
                spearman => crate::Similarity::Spearman,
                /// By structural similarity.
                ssim => crate::Similarity::Ssim,
            }

            /// Explains at most this many stages, evenly spread over the layers, the last included.
            pub fn at_most(mut self, stages: usize) -> Self {
                self.cascade.at_most = stages;
                self
            }

            /// At which end weights become random first, the scores by default.
            pub fn order(mut self, order: crate::LayerOrder) -> Self {
                self.cascade.order = order;
                self
            }

            /// Where the random numbers begin, 0 by default. All images of one seed have the same random weights.
            pub fn seed(mut self, seed: u64) -> Self {
                self.cascade.seed = seed;
                self
            }

            /// Every stage that is explained, in the order in which layers become random, or why there are none.
            ///
            /// # Errors
            ///
            /// As [`Metric::measure`](crate::Metric::measure).
            pub fn stages(
                &self,
                case: &crate::Case<'_>,
            ) -> Result<Result<Vec<crate::randomisation::Stage>, crate::NotApplicable>, crate::MetricError>
            {
                crate::Metric::check(self)?;
                crate::metric::or_reason(self.cascade.stages(case, |network| self.map(case, network)))
            }

            fn run(&self, case: &crate::Case<'_>) -> Result<f64, crate::metric::Halt> {
                self.cascade.mean(self.similarity, case, |network| self.map(case, network))
            }
        }

        crate::options!($metric {
            {
                similarity as "similarity", "what compares the maps", crate::similarity::SIMILARITIES
            }
            {
                "order", "at which end of the network weights become random first",
                crate::randomisation::cascade::ORDERS,
                |metric, _| Some(metric.cascade.order.to_string()),
                |metric, text| {
                    metric.cascade.order = text.parse().ok()?;
                    Some(())
                }
            }
            {
                "stages", "how many stages are explained at most, evenly spread", "all, or 1 or more",
                |metric, _| Some(match metric.cascade.at_most {
                    usize::MAX => "all".to_owned(),
                    stages => stages.to_string(),
                }),
                |metric, text| {
                    let stages = crate::options::number_or("all", text)?;
                    metric.cascade.at_most = stages.unwrap_or(usize::MAX);
                    Some(())
                },
                |metric| metric.cascade.at_most > 0
            }
            $($option)*
        } $($check)*);

        crate::metric::measures!($metric as METRIC);
    };
}
pub(crate) use cascading;

/// The most numbers of weights that are kept: a gibibyte.
const MOST_KEPT: usize = 1 << 28;

/// Networks with random weights, made once for all images that a network explains: [`Case::networks`]. They are part of
/// what the metric takes, a network for each stage that is explained, and are not kept beyond a gibibyte of weights.
#[derive(Default)]
pub struct RandomNetworks(RefCell<BTreeMap<Key, Rc<Kept>>>);

/// A cascade's seed, how many of its stages are explained, and where it begins.
type Key = (u64, usize, LayerOrder);

/// Layers up to which weights are random, each with its network.
type Kept = Vec<(String, Box<dyn Network>)>;

impl RandomNetworks {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(&self, key: Key) -> Option<Rc<Kept>> {
        self.0.borrow().get(&key).cloned()
    }

    fn keep(&self, key: Key, networks: Kept) {
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
