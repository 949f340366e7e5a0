//! Turns the small InceptionV1 into burn code, with its weights in the binary.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use burn_onnx::{LoadStrategy, ModelGen};
use elucid_onnx::proto::{ModelProto, NodeProto, TensorProto};
use half::f16;
use prost::Message;

/// `TensorProto.DataType`.
const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let network = "../../models/inception_v1_small.onnx";
    println!("cargo::rerun-if-changed={network}");
    let mut model = ModelProto::decode(fs::read(network)?.as_slice())?;
    widen(&mut model);
    let widened = PathBuf::from(env::var("OUT_DIR")?).join("inception_v1_small.onnx");
    fs::write(&widened, model.encode_to_vec())?;
    ModelGen::new()
        .input(&widened.to_string_lossy())
        .out_dir("model/")
        .load_strategy(LoadStrategy::Embedded)
        .run_from_script();
    Ok(())
}

/// Weights in half precision, which a `Cast` widens, become weights in single precision: behind a `Cast` the importer
/// loses those of a dense layer.
fn widen(model: &mut ModelProto) {
    let Some(graph) = &mut model.graph else {
        return;
    };
    let halves = graph.initializer.iter().enumerate();
    let halves = halves.filter(|(_, tensor)| tensor.data_type == Some(FLOAT16));
    let halves: HashMap<String, usize> = halves
        .filter_map(|(at, tensor)| Some((tensor.name.clone()?, at)))
        .collect();
    let casts = |node: &NodeProto| match node.op_type.as_deref() {
        Some("Cast") => node
            .input
            .first()
            .and_then(|input| halves.get(input))
            .copied(),
        _ => None,
    };
    for node in &graph.node {
        if let Some(at) = casts(node) {
            single(&mut graph.initializer[at], node.output[0].clone());
        }
    }
    graph.node.retain(|node| casts(node).is_none());
}

fn single(tensor: &mut TensorProto, name: String) {
    let halves = tensor.raw_data.take().unwrap_or_default();
    let halves = halves
        .chunks_exact(2)
        .map(|half| f16::from_le_bytes([half[0], half[1]]));
    let singles: Vec<u8> = halves
        .flat_map(|half| half.to_f32().to_le_bytes())
        .collect();
    tensor.raw_data = Some(singles.into());
    tensor.data_type = Some(FLOAT);
    tensor.name = Some(name);
}
