//! Attention rollout: what the blocks attend to, one behind the other.
//!
//! With `A_l` the heads of block `l` taken together, `R = Â_L ... Â_1` with the last block leftmost, where `Â_l` is
//! `A_l + I`, each row divided by its sum; the map is the row of the token that the target reads, without what
//! stands in front of the patches ([`AttentionQuery`]). Rows of `R` add up to 1.
//!
//! Source: Abnar and Zuidema, *Quantifying Attention Flow in Transformers*, ACL 2020,
//! <https://arxiv.org/abs/2005.00928>. The identity stands for the residual path. With the mean over heads the sums
//! of rows are 2 exactly, and `(A + I) / 2` is the same; with the maximum or the minimum they are not.
//!
//! **It says nothing of the class**: the same map belongs to every target; a score is reported all the same.
//!
//! Programs differ. vit-explain divides column `j` by the sum of row `j`, which is the same for the mean and off by
//! some per cent for the maximum and the minimum; and by default it sets the lowest nine tenths of the heads' matrix
//! to 0, except the first of all its entries: [`AttentionRollout::discard`], which is 0 here. There it goes by the
//! first image of a batch, here by each image. Transformer-Explainability divides rows in what it calls rollout, and
//! not in its own method.

use burn::tensor::Tensor;
use ndarray::{Array3, ArrayD, Ix3};

use super::blocks::AttentionBlock;
use super::query::{AttentionQuery, QUERIES};
use super::reader::{Reader, Seen, as_map, followed, identity, in_each_image};
use crate::attribution::Attribution;
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::options::words;
use crate::work::Context;

words! {
    /// How the heads of a block are taken together.
    pub enum HeadFusion: "heads", FUSIONS = "mean, max or min", default Mean {
        /// By their mean.
        Mean = "mean",
        /// By the largest of each entry.
        Max = "max",
        /// By the smallest of each entry.
        Min = "min",
    }
}

method! {
    /// Attention rollout (Abnar and Zuidema, 2020): what the blocks attend to, one behind the other. It looks at no
    /// target.
    pub struct AttentionRollout {
        heads: HeadFusion = HeadFusion::Mean,
        residual: bool = true,
        normalised: bool = true,
        discard: f32 = 0.0,
        query: AttentionQuery = AttentionQuery::Readout,
    }
    /// The mean over heads, with the residual path, rows divided by their sums, nothing discarded.
    new
}

impl AttentionRollout {
    setup_builders!(batch_size, progress);

    matrix! {
        /// The whole of `R` for each image, `[N, tokens, tokens]`: what each token, by row, has from each, by column.
    }

    fn whole(&self, work: &Context<'_>) -> Result<ArrayD<f32>, AttributionError> {
        let reader = Reader::new(METHOD.name, work)?;
        reader.afford_matrix(reader.tokens()?)?;
        let (values, _) = reader.each(|seen| self.rolled(seen, seen.identity(reader.last())?))?;
        Ok(values)
    }

    /// `rows Â_L ... Â_1`.
    fn rolled(&self, seen: &Seen<'_>, rows: Tensor<3>) -> Result<Tensor<3>, AttributionError> {
        followed(rows, seen.blocks, |_, block| self.step(seen, block))
    }

    /// `Â` of a block, `[N, tokens, tokens]`.
    fn step(&self, seen: &Seen<'_>, block: &AttentionBlock) -> Result<Tensor<3>, AttributionError> {
        let weights = seen.weights(block)?;
        let [images, _, tokens, keys] = weights.dims();
        let one = match self.heads {
            HeadFusion::Mean => weights.clone().mean_dim(1),
            HeadFusion::Max => weights.clone().max_dim(1),
            HeadFusion::Min => weights.clone().min_dim(1),
        };
        let mut one = one.reshape([images, tokens, keys]);
        if self.discard > 0.0 {
            one = without_lowest(one, self.discard)?;
        }
        if self.residual {
            one = one + identity(images, tokens, &weights);
        }
        if self.normalised {
            let sums = one.clone().sum_dim(2);
            let none = sums.clone().equal_scalar(0.0);
            one = one / sums.mask_fill(none, 1.0);
        }
        Ok(one)
    }
}

crate::options!(AttentionRollout {
    {
        /// How the heads of a block are taken together: by their mean unless other is said.
        heads: HeadFusion as "heads", "how the heads of a block are taken together", FUSIONS
    }
    {
        /// Whether the identity is added for the residual path, as by default.
        residual: bool as "residual", "whether the identity is added for the residual path", "true or false"
    }
    {
        /// Whether each row is divided by its sum, as by default.
        normalised: bool as "normalised", "whether each row is divided by its sum", "true or false"
    }
    {
        /// Sets this share of a block's entries to 0 before the identity is added, the lowest first, but for the
        /// first entry of all, the class token's attention to itself: 0 by default, 0.9 in vit-explain.
        discard: f32 as "discard", "which share of a block's entries is set to 0, the lowest first",
        "a number, 0 or more, below 1", |share| *share >= 0.0 && *share < 1.0
    }
    {
        /// Whose attention: the token that the target reads, unless another is named.
        query: AttentionQuery as "query", "whose attention is shown", QUERIES
    }
});

impl Attributor for AttentionRollout {
    crate::stated!(METHOD);

    /// Besides the errors of all methods: [`AttributionError::NoAttention`] for a network that does not attend,
    /// [`AttributionError::Attention`] for a block that attends within windows or among other tokens than those
    /// before it, [`AttributionError::NeedsModel`] for a closure.
    ///
    /// Memory: all activations of a batch between the input and the target.
    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let reader = Reader::new(METHOD.name, work)?;
        let axis = reader.tokens()?;
        let mut whose = "";
        let found = reader.each(|seen| {
            let (rows, said) = seen.rows(self.query, reader.last())?;
            whose = said;
            Ok(as_map(self.rolled(seen, rows)?, axis))
        })?;
        let evaluations = vec![0; found.1.len()];
        let said = [(
            format!("{whose} of attention, whatever the target"),
            reader.blocks.len(),
        )];
        let layer = reader.last().name.clone();
        let found = reader.found(self, found, &layer, &said)?;
        Ok(found.with_evaluations(evaluations))
    }
}

/// Values `[N, tokens, tokens]` as an array of three axes.
pub(super) fn in_three(values: ArrayD<f32>) -> Result<Array3<f32>, AttributionError> {
    let got = values.shape().to_vec();
    let three = values.into_dimensionality::<Ix3>();
    three.map_err(|_| AttributionError::ReadBack {
        expected: vec![0; 3],
        got,
    })
}

/// Matrices `[N, tokens, tokens]` of which this share of the entries is 0, the lowest, but for the first entry.
fn without_lowest(matrices: Tensor<3>, share: f32) -> Result<Tensor<3>, AttributionError> {
    in_each_image(matrices, |image| {
        let mut order: Vec<usize> = (0..image.len()).collect();
        order.sort_by(|&a, &b| image[a].total_cmp(&image[b]));
        let dropped = (f64::from(share) * image.len() as f64) as usize;
        for &place in order[..dropped].iter().filter(|&&place| place > 0) {
            image[place] = 0.0;
        }
    })
}

pub(crate) const METHOD: Method = Method::of::<AttentionRollout>(
    "attention-rollout",
    "Attention rollout",
    "Abnar and Zuidema 2020",
)
.at(Place::Tokens)
.also(&["rollout"]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::to_vec;
    use burn::tensor::TensorData;

    #[test]
    fn the_lowest_entries_are_dropped_but_for_the_first() {
        let values = vec![0.0, 0.4, 0.1, 0.5, 0.3, 0.1, 0.2, 0.4];
        let matrices = Tensor::<3>::from_data(
            TensorData::new(values, [2, 2, 2]),
            &elucid_testkit::device(),
        );
        let left = without_lowest(matrices, 0.5).unwrap();
        let left = to_vec(&left.into()).unwrap();
        assert_eq!(left, [0.0, 0.4, 0.0, 0.5, 0.3, 0.0, 0.0, 0.4]);
    }
}
