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
//! is 0. Quantus' `MPRT` has Spearman's, from the top by default (`layer_order="top_down"`); its mean over the layers counts the
//! trained network as one. Adebayo et al. plot all stages, which [`ParameterRandomisation::stages`] returns. With
//! [`ParameterRandomisation::at_most`] only that many stages, evenly spread and the last included,
//! are explained. [`LayerOrder::BottomUp`] begins at the image.
//!
//! Two further forms answer what is wrong with it: [`smooth`] that noise of the map decides, [`efficient`] that similarity does, and
//! that a network is explained for each layer.
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

use elucid_attribution::{Configurable, Network};
use ndarray::Array2;

use crate::case::Case;
use crate::error::MetricError;
use crate::metric::{Halt, NotApplicable, info, measures, setters};
use crate::probe::Probe;
use crate::similarity::{SIMILARITIES, Similarity};
use crate::table::MetricInfo;

pub(crate) mod cascade;
pub mod efficient;
pub mod smooth;

use self::cascade::{Cascade, cascading};
pub use self::cascade::{LayerOrder, RandomNetworks, Stage};

/// Cascading randomisation of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a metric does nothing until it is asked to measure"]
pub struct ParameterRandomisation {
    similarity: Similarity,
    cascade: Cascade,
}

impl ParameterRandomisation {
    fn new(similarity: Similarity) -> Self {
        Self {
            similarity,
            cascade: Cascade::ALL,
        }
    }

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

    fn map(&self, case: &Case<'_>, network: &dyn Network) -> Result<Array2<f32>, Halt> {
        case.map_of(network, case.class)
    }
}

cascading!(ParameterRandomisation {});

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

pub(crate) const METRIC: MetricInfo = info!(
    "mprt" or "model-parameter-randomisation" or "cascading-randomisation": "Cascading randomisation of the weights",
    Smaller, Randomisation, needs(model, attributor), "Adebayo et al. 2018"; ParameterRandomisation::OPTIONS,
    ParameterRandomisation::spearman(), seed
);

pub(crate) const RANDOM_LOGIT: MetricInfo = info!(
    "random-logit": "Random logit", Smaller, Randomisation, needs(scores, attributor), "Sixt, Granz and Landgraf 2020";
    RandomLogit::OPTIONS, RandomLogit::ssim(), seed
);
