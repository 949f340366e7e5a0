//! Turns the small InceptionV1 into burn code, with its weights in the binary.

use burn_onnx::{LoadStrategy, ModelGen};

fn main() {
    let network = "../../models/inception_v1_small.onnx";
    println!("cargo::rerun-if-changed={network}");
    ModelGen::new()
        .input(network)
        .out_dir("model/")
        .load_strategy(LoadStrategy::Embedded)
        .run_from_script();
}
