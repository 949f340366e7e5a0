//! What a target gives for changed pictures.

use burn::tensor::Tensor;
use elucid_graph::{Activation, INPUT, ImageBatch};
use elucid_rules::Rules;

use super::Target;
use super::bound::BoundTarget;
use crate::error::AttributionError;
use crate::network::Network;

/// The number that a target gives for any picture, of which some are changes of one that is known: [`Target::scorer`].
pub struct Scorer<'n> {
    network: &'n dyn Network,
    bound: BoundTarget,
}

impl std::fmt::Debug for Scorer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scorer")
            .field("layer", &self.bound.layer)
            .finish_non_exhaustive()
    }
}

impl Scorer<'_> {
    /// The layer that it is computed from.
    pub fn layer(&self) -> &str {
        &self.bound.layer
    }

    /// Its number for each picture of `[N, C, H, W]`.
    ///
    /// # Errors
    ///
    /// As a pass.
    pub fn scores(&self, pictures: Tensor<4>) -> Result<Vec<f32>, AttributionError> {
        let count = pictures.dims()[0];
        let feeds = vec![(INPUT, pictures.into())];
        let at = self.network.run(feeds, &self.bound.layer, &Rules::new())?;
        let scores = self.bound.score(&at, &vec![0; count])?;
        Ok(Activation::from(scores).to_array()?.into_iter().collect())
    }
}

impl Target {
    /// What it gives for pictures that are changes of `picture`, `[1, C, H, W]`: what follows from a picture's own scores, as a
    /// region where a class is predicted, is found in `picture` and holds for all.
    ///
    /// # Errors
    ///
    /// When the target does not fit the network, or is found nowhere in the picture; as a pass.
    pub fn scorer<'n>(
        &self,
        network: &'n dyn Network,
        picture: &dyn ImageBatch,
    ) -> Result<Scorer<'n>, AttributionError> {
        let mut bound = self.bind(network)?;
        if bound.is_open() {
            let picture = match network.device() {
                Some(device) => picture.images(device),
                None => picture.batch(),
            };
            let at = network.run(vec![(INPUT, picture.into())], &bound.layer, &Rules::new())?;
            bound = bound.settled(&[at])?;
        }
        Ok(Scorer { network, bound })
    }
}
