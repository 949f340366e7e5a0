//! Networks that look like real ones, with attributes and sizes that no exporter writes.
//!
//! Every choice is read from a string of bytes, so that a fuzzer can steer it and a seed repeat it.

mod attempt;
mod choices;
mod maker;
mod steps;

pub use self::attempt::{Reached, attempt};
pub use self::choices::Choices;
use self::maker::Maker;
use crate::onnx::{FunctionProto, NodeProto, Onnx};

/// What a network may take in memory.
pub const MEMORY: u64 = 32_000_000;

/// The file beside the network, with the weights of some.
pub const BESIDE: &str = "weights.bin";

/// Bytes of that file.
pub const BESIDE_BYTES: usize = 4096;

/// The bytes of a network.
pub fn network(choices: &mut Choices<'_>) -> Vec<u8> {
    let batch = choices.of(&[1, 1, -1, 2]);
    let side = choices.of(&[8, 8, 8, -1, 1]);
    let mut onnx = Onnx::image([batch, 3, side, side])
        .opset(choices.of(&[18, 23, 21, 19, 18, 21, 20, 17, 13, 11]));
    onnx.0.functions = vec![
        function("twice", vec![inside("Add", "", &["a", "a"], "b")]),
        function(
            "calls",
            vec![
                inside("twice", "own", &["a"], "c"),
                inside("twice", "own", &["c"], "b"),
            ],
        ),
        // Endless.
        function("long", vec![inside("long", "own", &["a"], "b")]),
    ];
    let is_odd = choices.one_in(2);
    let mut maker = Maker {
        choices,
        onnx,
        values: vec!["x".to_owned()],
        c: 3,
        count: 0,
        is_odd,
    };
    for _ in 0..1 + maker.choices.below(8) {
        maker.step();
    }
    let last = maker.last();
    maker.with(|onnx| onnx.output(&last));
    let mut bytes = maker.onnx.bytes();
    // Now and then a few bytes that are no longer those of an encoder.
    if choices.one_in(10) {
        for _ in 0..1 + choices.below(4) {
            let at = choices.below(65_536) % bytes.len();
            let byte = choices.byte();
            match choices.below(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
        }
    }
    bytes
}

fn function(name: &str, nodes: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: Some(name.to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: nodes,
        ..Default::default()
    }
}

fn inside(op: &str, domain: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op.to_owned()),
        domain: Some(domain.to_owned()),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}
