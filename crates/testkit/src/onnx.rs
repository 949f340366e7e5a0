//! Builds ONNX files in memory, well-formed or not.

pub use prost::Message;

pub use elucid_onnx::proto::*;

/// `TensorProto.DataType`, the element types that networks use.
pub mod data_type {
    pub const FLOAT: i32 = 1;
    pub const UINT8: i32 = 2;
    pub const INT8: i32 = 3;
    pub const UINT16: i32 = 4;
    pub const INT16: i32 = 5;
    pub const INT32: i32 = 6;
    pub const INT64: i32 = 7;
    pub const BOOL: i32 = 9;
    pub const FLOAT16: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const UINT32: i32 = 12;
    pub const UINT64: i32 = 13;
    pub const BFLOAT16: i32 = 16;
}

/// A model under construction. Attribute methods add to the last node.
#[derive(Clone, Default)]
pub struct Onnx(pub ModelProto);

impl Onnx {
    /// An empty graph of operator set 13.
    pub fn new() -> Self {
        let opset = OperatorSetIdProto {
            version: Some(13),
            ..Default::default()
        };
        Self(ModelProto {
            ir_version: Some(8),
            graph: Some(GraphProto::default()),
            opset_import: vec![opset],
            ..Default::default()
        })
    }

    /// A graph with the image input `x`.
    pub fn image(shape: [i64; 4]) -> Self {
        Self::new().input("x", &shape)
    }

    pub fn opset(mut self, version: i64) -> Self {
        self.0.opset_import[0].version = Some(version);
        self
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.0.graph.get_or_insert_default()
    }

    pub fn input(self, name: &str, shape: &[i64]) -> Self {
        self.typed_input(name, data_type::FLOAT, shape)
    }

    /// Dimensions of 0 or less are left open.
    pub fn typed_input(mut self, name: &str, kind: i32, shape: &[i64]) -> Self {
        let dim = shape
            .iter()
            .map(|&d| DimensionProto {
                dim_value: (d > 0).then_some(d),
                dim_param: None,
            })
            .collect();
        let tensor = TensorTypeProto {
            elem_type: Some(kind),
            shape: Some(TensorShapeProto { dim }),
        };
        self.graph().input.push(ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: Some(TypeProto {
                tensor_type: Some(tensor),
            }),
        });
        self
    }

    pub fn output(mut self, name: &str) -> Self {
        self.graph().output.push(ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: None,
        });
        self
    }

    pub fn tensor(mut self, tensor: TensorProto) -> Self {
        self.graph().initializer.push(tensor);
        self
    }

    /// A weight of small numbers of both signs.
    pub fn weight(self, name: &str, shape: &[i64]) -> Self {
        let count = shape.iter().product::<i64>();
        let values = (0..count)
            .map(|i| ((i * 29 + 7) % 41) as f32 / 40.0 - 0.5)
            .collect();
        self.tensor(floats(name, shape, values))
    }

    pub fn list(self, name: &str, values: &[i64]) -> Self {
        self.tensor(TensorProto {
            name: Some(name.to_owned()),
            dims: vec![values.len() as i64],
            data_type: Some(data_type::INT64),
            int64_data: values.to_vec(),
            ..Default::default()
        })
    }

    /// A node; an output called `y` becomes the graph's.
    pub fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect();
        self.graph().node.push(NodeProto {
            input: names(inputs),
            output: names(outputs),
            name: Some(format!("make_{}", outputs.first().unwrap_or(&"nothing"))),
            op_type: Some(op.to_owned()),
            ..Default::default()
        });
        if outputs.contains(&"y") {
            self.output("y")
        } else {
            self
        }
    }

    fn attribute(mut self, name: &str, attribute: AttributeProto) -> Self {
        let named = AttributeProto {
            name: Some(name.to_owned()),
            ..attribute
        };
        self.graph().node.last_mut().unwrap().attribute.push(named);
        self
    }

    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(
            name,
            AttributeProto {
                ints: values.to_vec(),
                ..Default::default()
            },
        )
    }

    pub fn int(self, name: &str, value: i64) -> Self {
        self.attribute(
            name,
            AttributeProto {
                i: Some(value),
                ..Default::default()
            },
        )
    }

    pub fn float(self, name: &str, value: f32) -> Self {
        self.attribute(
            name,
            AttributeProto {
                f: Some(value),
                ..Default::default()
            },
        )
    }

    pub fn text(self, name: &str, value: &str) -> Self {
        let s = Some(value.as_bytes().to_vec().into());
        self.attribute(
            name,
            AttributeProto {
                s,
                ..Default::default()
            },
        )
    }

    pub fn value(self, tensor: TensorProto) -> Self {
        self.attribute(
            "value",
            AttributeProto {
                t: Some(tensor),
                ..Default::default()
            },
        )
    }

    /// Calls the last node otherwise.
    pub fn named(mut self, name: &str) -> Self {
        self.graph().node.last_mut().unwrap().name = Some(name.to_owned());
        self
    }

    /// Says in which modules the last node stands, as PyTorch's exporter does: `layer1.0.conv1`.
    pub fn within(mut self, module: &str) -> Self {
        let ends = module.match_indices('.').map(|(end, _)| end);
        let ends = ends.chain((!module.is_empty()).then_some(module.len()));
        let scopes = ends.map(|end| format!("'{}', ", &module[..end]));
        let value = format!("['', {}'op']", scopes.collect::<String>());
        let node = self.graph().node.last_mut().unwrap();
        node.metadata_props.push(StringStringEntryProto {
            key: Some("pkg.torch.onnx.name_scopes".to_owned()),
            value: Some(value),
        });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}

/// A tensor of `f32`.
pub fn floats(name: &str, shape: &[i64], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: shape.to_vec(),
        data_type: Some(data_type::FLOAT),
        float_data: values,
        ..Default::default()
    }
}

/// A tensor of booleans, the smallest elements there are.
pub fn bools(name: &str, count: usize) -> TensorProto {
    TensorProto {
        data_type: Some(data_type::BOOL),
        raw_data: Some(vec![1; count].into()),
        ..floats(name, &[count as i64], Vec::new())
    }
}

/// A tensor of `f32` whose values lie in another file.
pub fn external(name: &str, shape: &[i64], entries: &[(&str, &str)]) -> TensorProto {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    TensorProto {
        external_data: entries.iter().map(entry).collect(),
        data_location: Some(1),
        ..floats(name, shape, Vec::new())
    }
}

/// Two convolutions, pools of both kinds, a concat, a normalisation and a classifier.
pub fn small_network() -> Onnx {
    Onnx::image([-1, 3, 12, 12])
        .weight("w1", &[4, 3, 3, 3])
        .weight("b1", &[4])
        .node("Conv", &["x", "w1", "b1"], &["conv1"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["conv1"], &["relu1"])
        .node("MaxPool", &["relu1"], &["pool1"])
        .ints("kernel_shape", &[3, 3])
        .ints("strides", &[2, 2])
        .int("ceil_mode", 1)
        .node("LRN", &["pool1"], &["norm1"])
        .int("size", 3)
        .weight("w2", &[2, 4, 1, 1])
        .node("Conv", &["norm1", "w2"], &["block/1x1"])
        .node("AveragePool", &["norm1"], &["block/pool"])
        .ints("kernel_shape", &[3, 3])
        .ints("pads", &[1, 1, 1, 1])
        .node("Concat", &["block/1x1", "block/pool"], &["block/output"])
        .int("axis", 1)
        .node("GlobalAveragePool", &["block/output"], &["gap"])
        .list("shape", &[0, -1])
        .node("Reshape", &["gap", "shape"], &["flat"])
        .weight("w3", &[5, 6])
        .weight("b3", &[5])
        .node("Gemm", &["flat", "w3", "b3"], &["scores"])
        .int("transB", 1)
        .node("Softmax", &["scores"], &["y"])
}
