//! Cases whose inputs are spoilt.

use elucid_graph::HostTensor;

use super::{fed, open, packs};
use crate::noise;

/// The tensor with another shape, or with other integers: what somebody may feed by mistake, or a file
/// may hold on purpose.
fn spoilt(value: &HostTensor, next: &mut impl FnMut() -> f32) -> HostTensor {
    let mut draw = |count: usize| (((next() + 1.0) / 2.0 * count as f32) as usize).min(count - 1);
    let mut shape = value.shape().to_vec();
    if let Ok(mut values) = value.ints()
        && !values.is_empty()
        && draw(2) == 0
    {
        const ODD: [i64; 9] = [-1, 0, 1, 2, 3, 100, -100, i64::MAX, i64::MIN];
        let at = draw(values.len());
        values[at] = ODD[draw(ODD.len())];
        return HostTensor::of_ints(value.element_type(), &shape, values).unwrap();
    }
    let axis = draw(shape.len() + 1);
    match (draw(6), shape.get(axis).copied()) {
        (0, Some(_)) => drop(shape.remove(axis)),
        (1, Some(size)) => shape[axis] = size + 1,
        (2, Some(size)) => shape[axis] = size.saturating_sub(1),
        (3, Some(_)) => shape[axis] = 1,
        (4, Some(_)) => shape[axis] = 0,
        _ => shape.insert(axis, 1 + draw(2)),
    }
    let count: usize = shape.iter().product();
    let kind = value.element_type();
    if let Ok(values) = value.ints() {
        let values = values.into_iter().cycle().chain(std::iter::repeat(1));
        return HostTensor::of_ints(kind, &shape, values.take(count).collect()).unwrap();
    }
    if let Ok(values) = value.bools() {
        let values = values.into_iter().cycle().chain(std::iter::repeat(true));
        return HostTensor::of_bools(&shape, values.take(count).collect()).unwrap();
    }
    let values = value
        .floats()
        .into_iter()
        .cycle()
        .chain(std::iter::repeat(1.0));
    HostTensor::of_floats(kind, &shape, values.take(count).collect()).unwrap()
}

/// Inputs of other shapes and values than a node expects are refused in words, or computed.
#[test]
fn spoilt_inputs_are_no_reason_to_panic() {
    const TRIES: u64 = 8;
    let Some(packs) = packs() else { return };
    let wanted = std::env::var("ELUCID_CASES").unwrap_or_default();
    let mut panics = Vec::new();
    std::panic::set_hook(Box::new(|_| {}));
    for pack in &packs {
        let rows = pack.rows.iter().filter(|row| row.is_in);
        for row in rows.filter(|row| row.case.contains(&wanted)) {
            let Ok(model) = open(pack, &row.case) else {
                continue;
            };
            let inputs = pack.tensors(&row.case, "in");
            let outputs = pack.tensors(&row.case, "out");
            let names: Vec<String> = outputs.into_iter().map(|(name, _)| name).collect();
            for seed in 0..TRIES {
                let mut next = noise(seed);
                let mut spoilt_inputs = inputs.clone();
                let count = spoilt_inputs.len().max(1);
                let at = (seed as usize) % count;
                if let Some((_, value)) = spoilt_inputs.get_mut(at) {
                    *value = spoilt(value, &mut next);
                }
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    fed(&model, &spoilt_inputs).read(&names).is_ok()
                }));
                if let Err(panic) = ran {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text =
                        text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                    let shapes: Vec<_> = spoilt_inputs.iter().map(|(_, v)| v.shape()).collect();
                    let text = text.unwrap_or_default();
                    panics.push(format!("{} with {shapes:?}: {text}", row.case));
                }
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(
        panics.is_empty(),
        "{} panics:\n{}",
        panics.len(),
        panics.join("\n")
    );
}
