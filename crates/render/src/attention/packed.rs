//! What the script of the page of attention reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ndarray::{Array3, Axis};
use serde::Serialize;

use super::parts::{AttentionMethod, AttentionView, Shown};
use crate::page;
use crate::{ColorMap, MapStyle};

/// What the script reads.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    pub(super) photo: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) prefix: &'a [String],
    pub(super) classes: &'a [String],
    /// 511 RGB colours, from the most negative to the most positive value.
    pub(super) glow: String,
    /// 256 RGB colours, from zero to the largest value.
    pub(super) inferno: String,
    pub(super) steps: f64,
    pub(super) blocks: Vec<BlockData<'a>>,
    pub(super) methods: Vec<MethodData<'a>>,
}

/// Rows as little-endian 16-bit integers, each in units of its scale over the steps.
#[derive(Serialize)]
pub(super) struct Packed {
    /// Largest absolute value of each row.
    scales: Vec<f32>,
    values: String,
}

impl Packed {
    pub(super) fn new(array: &Array3<f32>) -> Self {
        let mut bytes = Vec::with_capacity(2 * array.len());
        let rows = array.lanes(Axis(2)).into_iter();
        let scales = rows.map(|row| page::pack(&row, &mut bytes)).collect();
        Packed {
            scales,
            values: STANDARD.encode(bytes),
        }
    }
}

#[derive(Serialize)]
pub(super) struct BlockData<'a> {
    name: &'a str,
    number: usize,
    /// How many heads are in the page: one where only their mean is.
    heads: usize,
    averaged: bool,
    /// `[heads, T, T]`.
    weights: Packed,
}

impl<'a> BlockData<'a> {
    pub(super) fn new((place, block): (usize, &'a AttentionView)) -> Self {
        BlockData {
            name: &block.name,
            number: block.number.unwrap_or(place),
            heads: block.weights.dim().0,
            averaged: block.is_averaged(),
            weights: Packed::new(&block.weights),
        }
    }
}

#[derive(Serialize)]
pub(super) struct MethodData<'a> {
    name: &'a str,
    by_class: bool,
    /// Whether there is a row for each token, or one map.
    rows: bool,
    /// Whether zero is in the middle of its colours.
    signed: bool,
    /// `[K, T, T]` or `[K, h, w]`.
    values: Packed,
}

impl<'a> MethodData<'a> {
    pub(super) fn new(method: &'a AttentionMethod) -> Self {
        MethodData {
            name: &method.name,
            by_class: method.by_class,
            rows: matches!(method.shown, Shown::Rows(_)),
            signed: MapStyle::of(method.values().view()).is_signed(),
            values: Packed::new(method.values()),
        }
    }
}

pub(super) fn colours(map: ColorMap, count: usize) -> String {
    let last = (count - 1) as f32;
    let colours = (0..count).flat_map(|i| map.map(i as f32 / last));
    STANDARD.encode(colours.collect::<Vec<u8>>())
}
