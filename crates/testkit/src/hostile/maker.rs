//! A network in the making: names, weights, nodes and their attributes.

use super::BESIDE;
use super::choices::Choices;
use crate::onnx::{AttributeProto, GraphProto, Onnx, TensorProto, data_type, external, floats};

/// A network in the making. The value that the next node reads has shape `[batch, c, h, w]`, as long as
/// nothing odd was chosen.
pub(super) struct Maker<'c, 'b> {
    pub(super) choices: &'c mut Choices<'b>,
    pub(super) onnx: Onnx,
    pub(super) values: Vec<String>,
    pub(super) c: i64,
    pub(super) count: usize,
    /// Whether odd things are chosen.
    pub(super) is_odd: bool,
}

/// Attributes that are read somewhere, given at random now and then.
const ATTRIBUTES: &[&str] = &[
    "axis",
    "axes",
    "pads",
    "strides",
    "dilations",
    "kernel_shape",
    "group",
    "ceil_mode",
    "keepdims",
    "output_padding",
    "output_shape",
    "perm",
    "mode",
    "alpha",
    "beta",
    "epsilon",
    "to",
    "blocksize",
    "size",
    "num_outputs",
    "split",
    "exclusive",
    "reverse",
    "auto_pad",
    "storage_order",
    "k",
    "batch_dims",
    "num_heads",
    "num_groups",
    "block_size",
    "count_include_pad",
    "largest",
    "p",
    "align_corners",
    "antialias",
    "exclude_outside",
    "scales",
    "allowzero",
    "transA",
    "transB",
    "coordinate_transformation_mode",
    "nearest_mode",
    "padding_mode",
    "reduction",
    "equation",
];

impl Maker<'_, '_> {
    pub(super) fn fresh(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    /// Whether something odd is chosen here.
    pub(super) fn oddly(&mut self, n: usize) -> bool {
        self.is_odd && self.choices.one_in(n)
    }

    pub(super) fn last(&self) -> String {
        self.values.last().cloned().unwrap_or_default()
    }

    /// A value: mostly the last one.
    pub(super) fn any(&mut self) -> String {
        match self.choices.one_in(4) {
            true => {
                let at = self.choices.below(self.values.len());
                self.values[at].clone()
            }
            false => self.last(),
        }
    }

    pub(super) fn with(&mut self, f: impl FnOnce(Onnx) -> Onnx) {
        self.onnx = f(std::mem::take(&mut self.onnx));
    }

    pub(super) fn weight(&mut self, shape: &[i64]) -> String {
        let name = self.fresh();
        let mut shape = shape.to_vec();
        if self.oddly(40) && !shape.is_empty() {
            let at = self.choices.below(shape.len());
            shape[at] = self.choices.int();
        }
        let count = shape.iter().try_fold(1_i64, |n, &d| n.checked_mul(d));
        let count = count.filter(|n| (0..4096).contains(n)).unwrap_or(1) as usize;
        let tensor = match self.choices.below(12) {
            9 => self.beside(&name, &shape),
            10 => of_bytes(&name, &shape, data_type::FLOAT16, vec![0x3c; 2 * count]),
            11 => of_bytes(&name, &shape, data_type::DOUBLE, vec![0x3f; 8 * count]),
            _ => {
                let start = self.choices.byte();
                let value = |i: usize| f32::from(start.wrapping_add((i * 37) as u8)) / 128.0 - 1.0;
                floats(&name, &shape, (0..count).map(value).collect())
            }
        };
        self.with(|onnx| onnx.tensor(tensor));
        name
    }

    /// A tensor in another file, or said to be.
    pub(super) fn beside(&mut self, name: &str, shape: &[i64]) -> TensorProto {
        let location = self
            .choices
            .of(&[BESIDE, BESIDE, BESIDE, "../x", "/etc/hosts", "", "none"]);
        let offset = match self.oddly(8) {
            true => self.choices.int(),
            false => 0,
        };
        let offset = offset.to_string();
        let mut entries = vec![("location", location), ("offset", offset.as_str())];
        if self.oddly(8) {
            entries.push(("length", "12"));
        }
        external(name, shape, &entries)
    }

    pub(super) fn list(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        let mut values = values.to_vec();
        if self.oddly(20) && !values.is_empty() {
            let at = self.choices.below(values.len());
            values[at] = self.choices.int();
        }
        self.with(|onnx| onnx.list(&name, &values));
        name
    }

    pub(super) fn scalar(&mut self, value: i64) -> String {
        let name = self.fresh();
        let tensor = of_bytes(&name, &[], data_type::INT64, value.to_le_bytes().to_vec());
        self.with(|onnx| onnx.tensor(tensor));
        name
    }

    /// A node with `outputs` outputs; the first becomes the value that is read next.
    pub(super) fn node(&mut self, op: &str, inputs: &[&str], outputs: usize) -> Vec<String> {
        let names: Vec<String> = (0..outputs).map(|_| self.fresh()).collect();
        let made: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut inputs: Vec<String> = inputs.iter().map(|&i| i.to_owned()).collect();
        if self.oddly(40) && !inputs.is_empty() {
            let at = self.choices.below(inputs.len());
            inputs[at] = self.any();
        }
        if self.oddly(60) {
            inputs.pop();
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let (domain, op) = op.rsplit_once('.').unwrap_or(("", op));
        self.with(|onnx| onnx.node(op, &inputs, &made));
        if !domain.is_empty() {
            let node = self.onnx.graph().node.last_mut();
            node.unwrap().domain = Some(domain.to_owned());
        }
        self.values.push(names[0].clone());
        names
    }

    pub(super) fn ints(&mut self, name: &str, values: &[i64]) {
        let mut values = values.to_vec();
        if self.oddly(30) && !values.is_empty() {
            let at = self.choices.below(values.len());
            values[at] = self.choices.int();
        }
        self.with(|onnx| onnx.ints(name, &values));
    }

    pub(super) fn int(&mut self, name: &str, value: i64) {
        let value = match self.oddly(30) {
            true => self.choices.int(),
            false => value,
        };
        self.with(|onnx| onnx.int(name, value));
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.with(|onnx| onnx.text(name, value));
    }

    pub(super) fn body(&mut self, name: &str, body: GraphProto) {
        let node = self.onnx.graph().node.last_mut().unwrap();
        node.attribute.push(AttributeProto {
            name: Some(name.to_owned()),
            g: Some(Box::new(body)),
            kind: Some(5),
            ..Default::default()
        });
    }

    /// An attribute that the last node may not expect.
    pub(super) fn odd_attribute(&mut self) {
        let name = self.choices.of(ATTRIBUTES);
        match self.choices.below(4) {
            0 => {
                let count = self.choices.below(5);
                let values: Vec<i64> = (0..count).map(|_| self.choices.int()).collect();
                self.with(|onnx| onnx.ints(name, &values));
            }
            1 => {
                let value = self.choices.float();
                self.with(|onnx| onnx.float(name, value));
            }
            2 => {
                let words = [
                    "linear",
                    "cubic",
                    "nearest",
                    "SAME_UPPER",
                    "VALID",
                    "add",
                    "ij,jk->ik",
                ];
                let word = self.choices.of(&words);
                self.text(name, word);
            }
            _ => {
                let value = self.choices.int();
                self.with(|onnx| onnx.int(name, value));
            }
        }
    }
}

/// A tensor of these bytes.
pub(super) fn of_bytes(name: &str, shape: &[i64], kind: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        data_type: Some(kind),
        raw_data: Some(bytes.into()),
        ..floats(name, shape, Vec::new())
    }
}
