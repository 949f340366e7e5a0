//! Which blocks the page shows.

use elucid::attribution::{AttentionBlock, AttentionKind, BlockAttention};
use elucid::graph::TokenAxis;
use elucid::prelude::*;
use ndarray::{Array3, Axis};

use super::LeftOut;
use crate::error::CliError;

/// A block of the page.
pub struct Shown {
    /// Its number in the network, from 0.
    pub number: usize,
    pub block: AttentionBlock,
    /// Its weights in the photograph, `[heads, T, T]`.
    pub weights: Array3<f32>,
}

/// The blocks of one page.
pub struct Chosen {
    /// What all of them attend among.
    pub tokens: TokenAxis,
    pub blocks: Vec<Shown>,
    /// Those that attend among something else.
    pub left_out: Vec<LeftOut>,
}

/// Those that were asked for, or all that attend among the same tokens as the last one that attends among the
/// patches of the picture.
pub fn choose(model: &Model, all: &[BlockAttention], asked: &[String]) -> Result<Chosen, CliError> {
    let last = all.iter().rev().find_map(tokens);
    let Some(shown) = last else {
        let blocks = all.iter().map(|shown| shown.block().name());
        return Err(CliError::Failure(format!(
            "no block of \"{}\" attends among the patches of the photograph: {} attend among something else",
            model.name(),
            blocks.collect::<Vec<_>>().join(", "),
        )));
    };
    let mut chosen = Chosen {
        tokens: shown,
        blocks: Vec::new(),
        left_out: Vec::new(),
    };
    let wanted = match asked {
        [] => (0..all.len()).collect(),
        asked => numbers(all, asked)?,
    };
    for number in wanted {
        let found = &all[number];
        let name = found.block().name();
        let reason = match tokens(found) {
            Some(tokens) if tokens == shown => {
                chosen.blocks.push(Shown {
                    number,
                    block: found.block().clone(),
                    weights: found.weights().index_axis(Axis(0), 0).to_owned(),
                });
                continue;
            }
            Some(tokens) => {
                format!("it attends among {tokens} tokens, and the last block among {shown}")
            }
            None => "it attends among something else than the patches of the photograph".to_owned(),
        };
        if !asked.is_empty() {
            return Err(CliError::Failure(format!(
                "the page cannot show the block \"{name}\": {reason}"
            )));
        }
        chosen.left_out.push(LeftOut {
            name: name.to_owned(),
            reason,
        });
    }
    Ok(chosen)
}

/// What a block attends among, where that is the picture.
fn tokens(shown: &BlockAttention) -> Option<TokenAxis> {
    let block = shown.block();
    let is_among = block.kind() == AttentionKind::Tokens && block.queries() == block.keys();
    block.keys().filter(|_| is_among)
}

/// The numbers of blocks by number, name or module, each once and in the order of the network.
fn numbers(all: &[BlockAttention], asked: &[String]) -> Result<Vec<usize>, CliError> {
    let mut numbers = Vec::with_capacity(asked.len());
    for text in asked.iter().map(|text| text.trim()) {
        let is_called =
            |shown: &BlockAttention| shown.block().name() == text || shown.block().module() == text;
        let by_number = || text.parse().ok().filter(|number| *number < all.len());
        let found = match text {
            "last" => Some(all.len() - 1),
            _ => all.iter().position(is_called).or_else(by_number),
        };
        numbers.push(found.ok_or_else(|| unknown(all, text))?);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn unknown(all: &[BlockAttention], text: &str) -> CliError {
    let names = all.iter().enumerate().map(|(number, shown)| {
        let block = shown.block();
        match block.module() {
            "" => format!("{number} \"{}\"", block.name()),
            module => format!("{number} \"{module}\""),
        }
    });
    CliError::Failure(format!(
        "no block is called \"{text}\"; there are last, {}",
        names.collect::<Vec<_>>().join(", ")
    ))
}
