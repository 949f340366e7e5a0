//! Whose attention is looked at.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor};
use elucid_graph::TokenAxis;

use super::blocks::AttentionBlock;
use super::seen::as_row;
use crate::error::AttributionError;
use crate::work::to_vec;

/// Whose attention is looked at: the token, or the tokens, that attend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttentionQuery {
    /// The tokens behind the last block that the target reads, found by its gradient: the class token, or the
    /// mean of several in front of the patches; where it reads none of these, the mean of the patches that
    /// it reads, which are all of them before a mean.
    #[default]
    Readout,
    /// The first token, in front of the patches.
    Class,
    /// The mean over all patches.
    Mean,
    /// The patch of this row and column.
    Patch([usize; 2]),
}

/// What an option of this kind may be, in words.
pub(super) const QUERIES: &str =
    "readout, class, mean, or a patch by row and column between a comma";

impl FromStr for AttentionQuery {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || AttributionError::unread("query", text, QUERIES);
        match text.trim() {
            "readout" => Ok(Self::Readout),
            "class" => Ok(Self::Class),
            "mean" => Ok(Self::Mean),
            place => {
                let (row, column) = place.split_once(',').ok_or_else(refused)?;
                let number = |text: &str| text.trim().parse().map_err(|_| refused());
                Ok(Self::Patch([number(row)?, number(column)?]))
            }
        }
    }
}

impl fmt::Display for AttentionQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readout => f.write_str("readout"),
            Self::Class => f.write_str("class"),
            Self::Mean => f.write_str("mean"),
            Self::Patch([row, column]) => write!(f, "{row},{column}"),
        }
    }
}

crate::settings!(AttentionQuery);

impl AttentionQuery {
    /// How much each token of a block counts, `[N, 1, queries]`, adding up to 1, and whose rows these are.
    /// `gradient` is that of the target at the block's weights, if it is asked for.
    pub(super) fn rows(
        self,
        block: &AttentionBlock,
        [images, tokens]: [usize; 2],
        device: &Device,
        gradient: impl FnOnce() -> Result<Tensor<4>, AttributionError>,
    ) -> Result<(Tensor<3>, &'static str), AttributionError> {
        let axis = block.queries.unwrap_or(TokenAxis {
            prefix: 0,
            grid: [1, tokens],
        });
        let one = match self {
            Self::Readout => return readout(&gradient()?, axis, images, tokens),
            Self::Class if axis.prefix == 0 => {
                return Err(block.refused("there is no class token in front of its patches"));
            }
            Self::Class => Chosen::class(tokens),
            Self::Mean => Chosen::patches(axis, tokens),
            Self::Patch(place) => {
                let token = axis.prefix + inside(block, axis.grid, place)?;
                Chosen::just(token, tokens, "row of one patch")
            }
        };
        let counts = one.counts.repeat(images);
        Ok((as_row(&counts, images, device), one.whose))
    }
}

/// The index of a patch, row by row.
fn inside(
    block: &AttentionBlock,
    grid: [usize; 2],
    place: [usize; 2],
) -> Result<usize, AttributionError> {
    for ((what, index), size) in ["row", "column"].into_iter().zip(place).zip(grid) {
        if index >= size {
            return Err(AttributionError::OutOfRange {
                what,
                index,
                layer: block.name.clone(),
                size,
            });
        }
    }
    Ok(place[0] * grid[1] + place[1])
}

/// How much each token counts.
struct Chosen {
    counts: Vec<f32>,
    whose: &'static str,
}

impl Chosen {
    /// The mean of those that count; of all, where none does.
    fn mean(tokens: usize, whose: &'static str, counts: impl Fn(usize) -> bool) -> Self {
        let chosen: Vec<usize> = (0..tokens).filter(|&t| counts(t)).collect();
        let each = 1.0 / chosen.len().max(1) as f32;
        let mut counts = vec![0.0; tokens];
        for token in chosen {
            counts[token] = each;
        }
        Self { counts, whose }
    }

    fn just(token: usize, tokens: usize, whose: &'static str) -> Self {
        Self::mean(tokens, whose, |t| t == token)
    }

    fn class(tokens: usize) -> Self {
        Self::just(0, tokens, "row of the class token")
    }

    fn patches(axis: TokenAxis, tokens: usize) -> Self {
        Self::mean(tokens, "mean of the rows of the patches", |t| {
            t >= axis.prefix
        })
    }
}

/// Which tokens a target reads behind a block, by the rows that have a gradient there: for each image how much
/// each of them counts.
fn readout(
    gradient: &Tensor<4>,
    axis: TokenAxis,
    images: usize,
    tokens: usize,
) -> Result<(Tensor<3>, &'static str), AttributionError> {
    let size = gradient.clone().abs().sum_dim(3).sum_dim(1);
    let sizes = to_vec(&size.into())?;
    let (mut counts, mut whose) = (Vec::with_capacity(images * tokens), "");
    for sizes in sizes.chunks(tokens.max(1)) {
        let chosen = read(sizes, axis);
        whose = chosen.whose;
        counts.extend(chosen.counts);
    }
    Ok((as_row(&counts, images, &gradient.device()), whose))
}

/// The same of one image, from how large the gradient of each row is.
fn read(sizes: &[f32], axis: TokenAxis) -> Chosen {
    let (tokens, prefix) = (sizes.len(), axis.prefix.min(sizes.len()));
    let is_read = |t: usize| sizes[t] > 0.0;
    let in_front = (0..prefix).filter(|&t| is_read(t)).count();
    match (in_front, (prefix..tokens).any(is_read)) {
        (0, true) => Chosen::mean(tokens, "mean of the rows of what is read", is_read),
        (0, false) if prefix == 0 => Chosen::patches(axis, tokens),
        (0, false) => Chosen::class(tokens),
        (1, _) if is_read(0) => Chosen::class(tokens),
        _ => Chosen::mean(tokens, "mean of the rows of the tokens in front", |t| {
            t < prefix && is_read(t)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_words_or_places() {
        for text in ["readout", "class", "mean", "3,11"] {
            assert_eq!(text.parse::<AttentionQuery>().unwrap().to_string(), text);
        }
        let spaced: AttentionQuery = " 0, 2".parse().unwrap();
        assert_eq!(spaced, AttentionQuery::Patch([0, 2]));
        for wrong in ["", "1", "1,", "a,b", "-1,2"] {
            let refused = wrong.parse::<AttentionQuery>().unwrap_err().to_string();
            assert!(refused.contains("row and column"), "{refused}");
        }
    }

    #[test]
    fn what_a_target_reads_is_told_by_its_gradient() {
        let axis = TokenAxis {
            prefix: 2,
            grid: [1, 2],
        };
        let counts = |sizes: [f32; 4]| read(&sizes, axis).counts;
        assert_eq!(counts([1.0, 0.0, 0.0, 0.0]), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(counts([1.0, 2.0, 0.0, 0.0]), [0.5, 0.5, 0.0, 0.0]);
        assert_eq!(counts([0.0, 0.0, 2.0, 3.0]), [0.0, 0.0, 0.5, 0.5]);
        assert_eq!(counts([0.0, 0.0, 0.0, 3.0]), [0.0, 0.0, 0.0, 1.0]);
        // Of a class token and patches the token stands for all.
        assert_eq!(counts([1.0, 0.0, 1.0, 1.0]), [1.0, 0.0, 0.0, 0.0]);
        // A target that reads nothing.
        assert_eq!(counts([0.0; 4]), [1.0, 0.0, 0.0, 0.0]);
        let patches = TokenAxis { prefix: 0, ..axis };
        assert_eq!(read(&[0.0, 0.0], patches).counts, [0.5, 0.5]);
    }
}
