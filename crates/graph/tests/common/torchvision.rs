//! torchvision's networks, whose files hold no weights: weights are generated from their names.

use std::path::Path;

use elucid_vision::Model;

use super::device;
use super::onnx::{Message, ModelProto, floats};

/// The splitmix64 sequence that starts at the name's FNV-1a hash, as numbers in [0, 1).
pub fn uniform(name: &str) -> impl Iterator<Item = f64> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (1_u64..).map(move |i| {
        let mut z = hash.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// The weight that the reference was computed with.
fn generated(name: &str, dims: &[i64]) -> Vec<f32> {
    let count = dims.iter().product::<i64>() as usize;
    let fan_in = dims.iter().skip(1).product::<i64>() as f64;
    let weight: &dyn Fn(f64) -> f64 = if dims.len() >= 2 {
        &|u| (2.0 * u - 1.0) * (3.0 / fan_in).sqrt()
    } else if name.contains("running_mean") {
        &|u| 0.2 * (u - 0.5)
    } else if name.contains("running_var") || name.ends_with("weight") {
        &|u| 0.5 + u
    } else {
        &|u| 0.1 * (u - 0.5)
    };
    uniform(name)
        .take(count)
        .map(|u| weight(u) as f32)
        .collect()
}

/// The model with its filled-in constants replaced by generated weights.
pub fn with_weights(path: &Path) -> Model {
    let mut model = ModelProto::decode(std::fs::read(path).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let (fills, nodes): (Vec<_>, Vec<_>) = graph
        .node
        .drain(..)
        .partition(|n| n.name.as_ref().is_some_and(|name| name.ends_with("__fill")));
    graph.node = nodes;
    assert!(fills.len() > 10);
    for fill in fills {
        let shape = graph
            .initializer
            .iter()
            .find(|t| t.name.as_ref() == Some(&fill.input[0]));
        let shape = shape.unwrap().raw_data.as_ref().unwrap().chunks_exact(8);
        let dims: Vec<i64> = shape
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let name = fill.output[0].as_str();
        graph
            .initializer
            .push(floats(name, &dims, generated(name, &dims)));
    }
    Model::from_bytes(model.encode_to_vec(), &device(), None).unwrap()
}
