//! Which blocks the page shows.

use elucid::attribution::{AttentionBlock, AttentionKind, AttentionMaps, BlockAttention};
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
pub fn choose(model: &Model, maps: &AttentionMaps, asked: &[String]) -> Result<Chosen, CliError> {
    let all = maps.blocks();
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
        asked => places(maps, asked)?,
    };
    if asked.is_empty() {
        let windows = maps.within_windows().iter();
        chosen.left_out.extend(windows.map(|block| LeftOut {
            name: block.name().to_owned(),
            reason: WINDOWS.to_owned(),
        }));
    }
    for place in wanted {
        let found = &all[place];
        let name = found.block().name();
        let reason = match tokens(found) {
            Some(tokens) if tokens == shown => {
                chosen.blocks.push(Shown {
                    number: found.number(),
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

/// The places of blocks among those with weights, by number, name or module, each once and in the order of the
/// network.
fn places(maps: &AttentionMaps, asked: &[String]) -> Result<Vec<usize>, CliError> {
    let all = maps.blocks();
    let mut places = Vec::with_capacity(asked.len());
    for text in asked.iter().map(|text| text.trim()) {
        let is_called = |block: &AttentionBlock| block.name() == text || block.module() == text;
        let number = text.parse().ok();
        let by_number = || all.iter().position(|shown| Some(shown.number()) == number);
        let found = match text {
            "last" => Some(all.len() - 1),
            _ => {
                let named = all.iter().position(|shown| is_called(shown.block()));
                named.or_else(by_number)
            }
        };
        let in_windows = || maps.within_windows().iter().find(|block| is_called(block));
        places.push(match (found, in_windows()) {
            (Some(place), _) => place,
            (None, Some(block)) => {
                return Err(CliError::Failure(format!(
                    "the page cannot show the block \"{}\": {WINDOWS}",
                    block.name()
                )));
            }
            (None, None) => return Err(unknown(all, text)),
        });
    }
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

/// Why a block of Swin or MaxViT is not shown.
const WINDOWS: &str = "it attends within windows, not over the whole photograph";

fn unknown(all: &[BlockAttention], text: &str) -> CliError {
    let names = all.iter().map(|shown| {
        let (number, block) = (shown.number(), shown.block());
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
