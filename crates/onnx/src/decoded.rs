//! What the messages of a file take in memory, from their bytes alone.
//!
//! A message of two bytes becomes a structure of hundreds, a number of one byte one of eight.

use crate::proto::{
    AttributeProto, DimensionProto, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, SparseTensorProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};

/// A message of ONNX's schema.
#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Function,
    Opset,
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
    Entry,
    Info,
    Type,
    TensorType,
    Shape,
    Dimension,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Field {
    Message(Message),
    /// A name or a list of names.
    Text,
    /// A view of the file's own bytes.
    View,
    /// Numbers, with the bytes of each in memory and, unless its length varies, in the file.
    Numbers(u64, Option<u64>),
    Skipped,
}

/// Deeper than the decoder follows.
const DEEPEST: usize = 128;

impl Message {
    fn bytes(self) -> u64 {
        let size = match self {
            Self::Model => size_of::<ModelProto>(),
            Self::Function => size_of::<FunctionProto>(),
            Self::Opset => size_of::<OperatorSetIdProto>(),
            Self::Graph => size_of::<GraphProto>(),
            Self::Node => size_of::<NodeProto>(),
            Self::Attribute => size_of::<AttributeProto>(),
            Self::Sparse => size_of::<SparseTensorProto>(),
            Self::Tensor => size_of::<TensorProto>(),
            Self::Entry => size_of::<StringStringEntryProto>(),
            Self::Info => size_of::<ValueInfoProto>(),
            Self::Type => size_of::<TypeProto>(),
            Self::TensorType => size_of::<TensorTypeProto>(),
            Self::Shape => size_of::<TensorShapeProto>(),
            Self::Dimension => size_of::<DimensionProto>(),
        };
        size as u64
    }

    /// The field with this number, as `proto.rs` declares it.
    fn field(self, number: u64) -> Field {
        use Field::{Message as Inner, Numbers, Skipped, Text, View};
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6) => Inner(Self::Graph),
            (Self::Model, 8) | (Self::Function, 9) => Inner(Self::Opset),
            (Self::Model, 14) | (Self::Node, 9) | (Self::Tensor, 13) => Inner(Self::Entry),
            (Self::Model, 25) => Inner(Self::Function),
            (Self::Function, 7) | (Self::Graph, 1) => Inner(Self::Node),
            (Self::Function, 11) | (Self::Node, 5) => Inner(Self::Attribute),
            (Self::Graph, 5) | (Self::Attribute, 5) | (Self::Sparse, 1 | 2) => Inner(Self::Tensor),
            (Self::Graph, 11 | 12) => Inner(Self::Info),
            (Self::Graph, 15) | (Self::Attribute, 22) => Inner(Self::Sparse),
            (Self::Info, 2) => Inner(Self::Type),
            (Self::Type, 1) => Inner(Self::TensorType),
            (Self::TensorType, 2) => Inner(Self::Shape),
            (Self::Shape, 1) => Inner(Self::Dimension),
            (Self::Model, 2)
            | (Self::Function, 1 | 4 | 5 | 6 | 10 | 13)
            | (Self::Opset, 1)
            | (Self::Graph, 2)
            | (Self::Node, 1 | 2 | 3 | 4 | 7 | 8)
            | (Self::Attribute, 1 | 21)
            | (Self::Tensor, 8)
            | (Self::Entry, 1 | 2)
            | (Self::Info, 1)
            | (Self::Dimension, 2) => Text,
            (Self::Attribute, 4 | 9) | (Self::Tensor, 9) => View,
            (Self::Attribute, 7) | (Self::Tensor, 4) => Numbers(4, Some(4)),
            (Self::Tensor, 10) => Numbers(8, Some(8)),
            (Self::Tensor, 5) => Numbers(4, None),
            (Self::Attribute, 8) | (Self::Sparse, 3) | (Self::Tensor, 1 | 7 | 11) => {
                Numbers(8, None)
            }
            _ => Skipped,
        }
    }
}

/// Bytes that decoding takes, as far as the file can be read; lists grow by doubling, so that up to
/// twice what is in them is taken.
pub(super) fn bytes(file: &[u8]) -> u64 {
    2 * within(Message::Model, file, 0)
}

fn within(message: Message, mut bytes: &[u8], depth: usize) -> u64 {
    let mut all = message.bytes();
    if depth > DEEPEST {
        return all;
    }
    while let Some(key) = varint(&mut bytes) {
        let field = message.field(key >> 3);
        all += match (key & 7, field) {
            (0, field) => {
                varint(&mut bytes);
                match field {
                    Field::Numbers(width, _) => width,
                    _ => 0,
                }
            }
            (2, field) => {
                let length = varint(&mut bytes).and_then(|n| usize::try_from(n).ok());
                let Some(inside) = length.and_then(|n| bytes.split_off(..n)) else {
                    break;
                };
                of(field, inside, depth)
            }
            (wire @ (1 | 5), field) => {
                let width = if wire == 1 { 8 } else { 4 };
                if bytes.split_off(..width).is_none() {
                    break;
                }
                match field {
                    Field::Numbers(width, _) => width,
                    _ => 0,
                }
            }
            _ => break,
        };
    }
    all
}

/// What a field of these bytes takes.
fn of(field: Field, inside: &[u8], depth: usize) -> u64 {
    let length = inside.len() as u64;
    match field {
        Field::Message(message) => within(message, inside, depth + 1),
        Field::Text => size_of::<String>() as u64 + length,
        Field::View => size_of::<bytes::Bytes>() as u64,
        Field::Numbers(width, Some(stored)) => length / stored * width,
        Field::Numbers(width, None) => {
            let ends = inside.iter().filter(|&&byte| byte < 0x80).count();
            ends as u64 * width
        }
        Field::Skipped => 0,
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn bytes_of(graph: GraphProto) -> u64 {
        let model = ModelProto {
            graph: Some(graph),
            ..Default::default()
        };
        bytes(&model.encode_to_vec())
    }

    #[test]
    fn small_messages_become_large_ones() {
        let empty = bytes_of(GraphProto::default());
        let nodes = bytes_of(GraphProto {
            node: vec![NodeProto::default(); 1000],
            ..Default::default()
        });
        assert_eq!(nodes - empty, 2 * 1000 * size_of::<NodeProto>() as u64);
    }

    #[test]
    fn packed_numbers_are_counted_by_their_ends() {
        let tensor = TensorProto {
            int64_data: vec![1, 300, -1],
            float_data: vec![1.0; 5],
            raw_data: Some(vec![0; 1 << 20].into()),
            ..Default::default()
        };
        let without = bytes_of(GraphProto {
            initializer: vec![TensorProto {
                raw_data: Some(vec![0; 3].into()),
                ..Default::default()
            }],
            ..Default::default()
        });
        let with = bytes_of(GraphProto {
            initializer: vec![tensor],
            ..Default::default()
        });
        assert_eq!(with - without, 2 * (3 * 8 + 5 * 4));
    }

    #[test]
    fn what_is_cut_short_ends_the_count() {
        let whole = ModelProto::default().bytes_with_graph();
        for end in 0..whole.len() {
            assert!(bytes(&whole[..end]) > 0);
        }
    }

    impl ModelProto {
        fn bytes_with_graph(mut self) -> Vec<u8> {
            self.graph = Some(GraphProto {
                node: vec![NodeProto {
                    name: Some("a".repeat(200)),
                    ..Default::default()
                }],
                ..Default::default()
            });
            self.encode_to_vec()
        }
    }
}
