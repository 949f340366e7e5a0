//! Axes and sizes, as nodes state them.

use crate::message::few;

/// `axis` counted from the front.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let wrapped = if axis < 0 {
        axis.saturating_add(rank as i64)
    } else {
        axis
    };
    usize::try_from(wrapped)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {axis} is outside a tensor of rank {rank}"))
}

/// Those that are stated, in their order, else all.
pub(crate) fn axes_or_all(axes: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, String> {
    match axes {
        None => Ok((0..rank).collect()),
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect(),
    }
}

/// Several of them, each once and in order; repetitions are refused.
pub(crate) fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut found: Vec<usize> = axes
        .iter()
        .map(|&axis| axis_of(axis, rank))
        .collect::<Result<_, _>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Sizes, none negative.
pub(crate) fn sizes(values: &[i64]) -> Result<Vec<usize>, String> {
    values
        .iter()
        .map(|&v| usize::try_from(v).map_err(|_| format!("{} holds a negative size", few(values))))
        .collect()
}

/// The shape with ones in front up to `rank`.
pub(crate) fn aligned(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut view = vec![1; rank.saturating_sub(shape.len())];
    view.extend_from_slice(shape);
    view
}

/// In messages about two shapes.
pub(crate) fn do_not_broadcast(a: &[usize], b: &[usize]) -> String {
    format!("{} and {} do not broadcast", few(a), few(b))
}
