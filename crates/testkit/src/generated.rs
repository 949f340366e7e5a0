//! Networks whose files hold no weights: weights are generated from their names, inputs made from
//! photographs.

use std::path::Path;

use elucid_graph::{ElementType, HostTensor};
use half::f16;
use serde_json::Value;

use crate::onnx::{Message, ModelProto, TensorProto, data_type};

/// The splitmix64 sequence that starts at the name's FNV-1a hash, as numbers in [0, 1).
fn uniform(name: &str) -> impl Iterator<Item = f64> {
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

/// The weight that the reference was computed with: torchvision's rule with `gain` times the variance of
/// what has two dimensions or more.
fn generated(name: &str, dims: &[i64], gain: f64) -> Vec<f32> {
    let count = dims.iter().product::<i64>() as usize;
    let fan_in = dims.iter().skip(1).product::<i64>() as f64;
    let weight: &dyn Fn(f64) -> f64 = if dims.len() >= 2 {
        &|u| (2.0 * u - 1.0) * (3.0 * gain / fan_in).sqrt()
    } else if name.contains("running_mean") {
        &|u| 0.2 * (u - 0.5)
    } else if name.contains("running_var") || name.ends_with("weight") {
        &|u| 0.5 + u
    } else {
        &|u| 0.1 * (u - 0.5)
    };
    let numbers = uniform(name).take(count);
    numbers.map(|u| weight(u) as f32).collect()
}

/// The file with its filled-in constants replaced by generated weights; `gain` is 1 for torchvision's
/// networks.
pub fn with_weights(path: &Path, gain: f64) -> Vec<u8> {
    let mut model = ModelProto::decode(std::fs::read(path).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let (fills, nodes): (Vec<_>, Vec<_>) = graph.node.drain(..).partition(|n| {
        let named = n.name.as_ref().is_some_and(|name| name.ends_with("__fill"));
        named && n.op_type.as_deref() == Some("ConstantOfShape")
    });
    graph.node = nodes;
    for fill in fills {
        let shape = graph
            .initializer
            .iter()
            .find(|t| t.name.as_ref() == Some(&fill.input[0]))
            .unwrap();
        let dims: Vec<i64> = match &shape.raw_data {
            Some(raw) => raw
                .chunks_exact(8)
                .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
                .collect(),
            None => shape.int64_data.clone(),
        };
        let kind = fill.attribute[0].t.as_ref().unwrap().data_type;
        let name = fill.output[0].as_str();
        let values = generated(name, &dims, gain).into_iter();
        let raw: Vec<u8> = match kind {
            Some(data_type::FLOAT16) => values
                .flat_map(|v| f16::from_f32(v).to_le_bytes())
                .collect(),
            Some(data_type::FLOAT) => values.flat_map(f32::to_le_bytes).collect(),
            other => panic!("{name} has type {other:?}"),
        };
        graph.initializer.push(TensorProto {
            name: Some(name.to_owned()),
            dims,
            data_type: kind,
            raw_data: Some(raw.into()),
            ..Default::default()
        });
    }
    model.encode_to_vec()
}

/// An input as its entry in the reference describes it.
pub fn input(entry: &Value, images: &Path) -> HostTensor {
    let shape: Vec<usize> = sizes(&entry["shape"]);
    let kind = entry["dtype"].as_str().unwrap_or("float32");
    let kind = ElementType::from_name(kind).unwrap();
    if let Some(values) = entry["values"].as_array() {
        return match kind.is_int() {
            true => {
                let values = values.iter().map(|v| v.as_i64().unwrap()).collect();
                HostTensor::of_ints(kind, &shape, values).unwrap()
            }
            false => {
                let values = values.iter().map(|v| v.as_f64().unwrap() as f32).collect();
                HostTensor::of_floats(kind, &shape, values).unwrap()
            }
        };
    }
    let preparation = entry["preparation"].as_str().unwrap();
    let last = preparation.ends_with("nhwc");
    let [height, width] = match last {
        true => [shape[1], shape[2]],
        false => [shape[shape.len() - 2], shape[shape.len() - 1]],
    };
    let prepared = |value: u8, channel: usize| {
        let value = f64::from(value);
        let (mean, std) = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)][channel];
        match preparation {
            "imagenet" => (value / 255.0 - mean) / std,
            "unit" => value / 255.0,
            "signed" | "signed_nhwc" => value / 127.5 - 1.0,
            other => panic!("preparation {other}"),
        }
    };
    let mut values = Vec::new();
    for file in entry["images"].as_array().unwrap() {
        let picture = image::open(images.join(file.as_str().unwrap()))
            .unwrap()
            .to_rgb8();
        let (w, h) = picture.dimensions();
        let at = |y: usize, x: usize, c: usize| {
            let (x, y) = (x * w as usize / width, y * h as usize / height);
            prepared(picture.get_pixel(x as u32, y as u32)[c], c) as f32
        };
        let positions = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        if last {
            values.extend(
                positions
                    .flat_map(|(y, x)| (0..3).map(move |c| (y, x, c)))
                    .map(|(y, x, c)| at(y, x, c)),
            );
        } else {
            for c in 0..3 {
                values.extend(positions.clone().map(|(y, x)| at(y, x, c)));
            }
        }
    }
    HostTensor::of_floats(kind, &shape, values).unwrap()
}

/// A list of sizes or indices.
pub fn sizes(value: &Value) -> Vec<usize> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_u64().unwrap() as usize).collect()
}

/// A list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}
