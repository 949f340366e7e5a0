//! Bounded rectifiers, backwards.

use crate::Planes;
use crate::threads::{TASK, for_each_chunk};

/// The gradient `g` where `min < x < max`, else 0; of negative gradients nothing when
/// `positive_only`.
pub fn gated(x: Planes, g: Planes, [min, max]: [f32; 2], positive_only: bool) -> Vec<f32> {
    let least = if positive_only {
        0.0
    } else {
        f32::NEG_INFINITY
    };
    let mut d = vec![0.0; g.values().len()];
    let (xs, gs) = (x.values(), g.values());
    for_each_chunk(
        &mut d,
        TASK,
        || (),
        #[inline(always)]
        |(), i, d| {
            let share = i * TASK..i * TASK + d.len();
            for ((d, x), g) in d.iter_mut().zip(&xs[share.clone()]).zip(&gs[share]) {
                // So compared, NaN passes.
                let stopped = (*x <= min) | (*x >= max) | (*g < least);
                *d = if stopped { 0.0 } else { *g };
            }
        },
    );
    d
}
