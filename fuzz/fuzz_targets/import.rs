//! Any bytes are either refused with an error or make a model that runs without a panic.

#![no_main]

use burn::tensor::{Device, Tensor};
use elucid_graph::INPUT;
use elucid_vision::Model;
use libfuzzer_sys::fuzz_target;

/// Numbers that a pass may compute, so that one run stays short.
const MOST: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let device = Device::flex();
    let Ok(model) = Model::from_bytes(bytes.to_vec(), &device, None) else {
        return;
    };
    let Some(deepest) = model.layers().last().map(|l| l.name().to_owned()) else {
        return;
    };
    let _ = model.blocks();
    let _ = model.windows(INPUT, &deepest, &Default::default(), [9, 8]);
    for size in [[9, 8], [1, 1]] {
        if model.pass_elements(INPUT, &deepest, size).is_ok_and(|n| n < MOST) {
            let images = Tensor::<4>::ones([2, 3, size[0], size[1]], &device);
            let _ = model.pass().input(&images).fetch([&deepest]);
        }
    }
});
