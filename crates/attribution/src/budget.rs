//! What a method may hold in memory beside the passes of its network, which have a bound of their own.
//!
//! An option of a few digits can ask for any number of bytes. So what grows with one is counted before it
//! is made, against the memory that the network may take ([`Limits`](elucid_graph::Limits)).

use elucid_graph::INPUT;

use crate::error::AttributionError;
use crate::network::Network;
use crate::work::Context;

/// Bytes of a number in single and in double precision.
pub(crate) const SINGLE: usize = 4;
pub(crate) const DOUBLE: usize = 8;

/// What a pass keeps of each number that it computes: its value and its gradient.
const KEPT: usize = 2 * SINGLE;

/// The bytes that a method may hold.
fn limit(network: &dyn Network) -> u64 {
    let limits = network.as_model().map(|model| model.graph().limits());
    limits.unwrap_or_default().memory()
}

/// Refuses `what` when it takes more bytes than are allowed: the product of `factors`.
pub(crate) fn check(
    network: &dyn Network,
    what: impl Into<String>,
    factors: &[usize],
) -> Result<(), AttributionError> {
    let needed = factors
        .iter()
        .fold(1_u64, |bytes, &factor| bytes.saturating_mul(factor as u64));
    let limit = limit(network);
    match needed > limit {
        false => Ok(()),
        true => Err(AttributionError::TooLarge {
            what: what.into(),
            needed,
            limit,
        }),
    }
}

/// How many images of those that were asked for go through the network together, so that what a pass up to
/// `target_layer` computes of them, with gradients, stays within the memory that the network may take
/// ([`Limits`](elucid_graph::Limits)); one at least. `[_, C, H, W]` is the shape of the images.
pub fn images_together(
    network: &dyn Network,
    target_layer: &str,
    [_, channels, height, width]: [usize; 4],
    asked: usize,
) -> usize {
    // What cannot be planned is an error of the pass.
    let computed = network.as_model().and_then(|model| {
        model
            .pass_elements(INPUT, target_layer, [height, width])
            .ok()
    });
    let image = channels * height * width;
    let each = computed
        .unwrap_or(image)
        .max(image)
        .saturating_mul(KEPT)
        .max(1);
    let fitting = limit(network) / each as u64;
    asked.min(usize::try_from(fitting).unwrap_or(usize::MAX).max(1))
}

impl Context<'_> {
    /// Refuses `what` when it takes more bytes than are allowed: the product of `factors`.
    pub fn afford(
        &self,
        what: impl Into<String>,
        factors: &[usize],
    ) -> Result<(), AttributionError> {
        check(self.network, what, factors)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;
    use elucid_graph::Limits;

    use super::*;

    #[test]
    fn closures_have_the_usual_limit() {
        let network = |x: Tensor<4>| x.mean_dims(&[2, 3]).reshape([-1, 3]);
        let fits = |factors: &[usize]| check(&network, "it", factors);
        assert!(fits(&[Limits::MEMORY as usize]).is_ok());
        let refused = fits(&[Limits::MEMORY as usize + 1])
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("it would take 2.01 GB, more than"),
            "{refused}"
        );
        let refused = fits(&[usize::MAX, usize::MAX]).unwrap_err().to_string();
        assert!(refused.contains("more than the limit of 2 GB"), "{refused}");
        let image = [1, 3, 1000, 1000];
        assert_eq!(images_together(&network, "@logits", image, 8), 8);
        assert_eq!(images_together(&network, "@logits", image, usize::MAX), 83);
        assert_eq!(
            images_together(&network, "@logits", [1, 3, 1 << 20, 1 << 20], 8),
            1
        );
    }
}
