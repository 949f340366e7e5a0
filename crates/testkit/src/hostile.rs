//! Networks that look like real ones, with attributes and sizes that no exporter writes.
//!
//! Every choice is read from a string of bytes, so that a fuzzer can steer it and a seed repeat it.

use std::path::Path;

use elucid_graph::{Activation, BoundGraph, Graph, GraphError, INPUT, Limits, Registry, ValueId};
use elucid_onnx::Importer;

use crate::onnx::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, Onnx, TensorProto, data_type, external,
    floats,
};

/// What a network may take in memory.
pub const MEMORY: u64 = 32_000_000;

/// The file beside the network, with the weights of some.
pub const BESIDE: &str = "weights.bin";

/// Bytes of that file.
pub const BESIDE_BYTES: usize = 4096;

/// Choices, read from bytes; 0 behind their end.
pub struct Choices<'b> {
    bytes: &'b [u8],
}

impl<'b> Choices<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.split_off_first().copied().unwrap_or(0)
    }

    fn below(&mut self, n: usize) -> usize {
        let wide = usize::from(self.byte());
        match n {
            0..=256 => wide % n.max(1),
            _ => (wide << 8 | usize::from(self.byte())) % n,
        }
    }

    fn one_in(&mut self, n: usize) -> bool {
        // What comes of no bytes is plain.
        self.below(n) == n - 1
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Mostly small, now and then as large as it gets.
    fn int(&mut self) -> i64 {
        match self.byte() {
            250.. => self.of(&[i64::MIN, i64::MAX, -1 << 40, 1 << 40, 1 << 31, 1 << 20]),
            other => i64::from(other % 12) - 3,
        }
    }

    fn float(&mut self) -> f32 {
        match self.byte() {
            250.. => self.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40]),
            other => f32::from(other) / 32.0 - 3.0,
        }
    }
}

/// A network in the making. The value that the next node reads has shape `[batch, c, h, w]`, as long as
/// nothing odd was chosen.
struct Maker<'c, 'b> {
    choices: &'c mut Choices<'b>,
    onnx: Onnx,
    values: Vec<String>,
    c: i64,
    count: usize,
    /// Whether odd things are chosen.
    is_odd: bool,
}

/// Functions of a number.
const UNARY: &[&str] = &[
    "Relu",
    "Sigmoid",
    "Tanh",
    "Exp",
    "Log",
    "Sqrt",
    "Abs",
    "Neg",
    "Floor",
    "Ceil",
    "Round",
    "Erf",
    "Softplus",
    "Softsign",
    "Elu",
    "Selu",
    "HardSigmoid",
    "HardSwish",
    "Gelu",
    "Mish",
    "Sin",
    "Cos",
    "Reciprocal",
    "Sign",
    "Identity",
    "Dropout",
    "Not",
    "IsNaN",
    "Softmax",
    "LogSoftmax",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Flatten",
    "LeakyRelu",
    "ThresholdedRelu",
    "Celu",
    "Shape",
    "NonZero",
    "Size",
    "Det",
    "LpNormalization",
    "GlobalLpPool",
    "MeanVarianceNormalization",
    "CumSum",
];

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
    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    /// Whether something odd is chosen here.
    fn oddly(&mut self, n: usize) -> bool {
        self.is_odd && self.choices.one_in(n)
    }

    fn last(&self) -> String {
        self.values.last().cloned().unwrap_or_default()
    }

    /// A value: mostly the last one.
    fn any(&mut self) -> String {
        match self.choices.one_in(4) {
            true => {
                let at = self.choices.below(self.values.len());
                self.values[at].clone()
            }
            false => self.last(),
        }
    }

    fn with(&mut self, f: impl FnOnce(Onnx) -> Onnx) {
        self.onnx = f(std::mem::take(&mut self.onnx));
    }

    fn weight(&mut self, shape: &[i64]) -> String {
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
    fn beside(&mut self, name: &str, shape: &[i64]) -> TensorProto {
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

    fn list(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        let mut values = values.to_vec();
        if self.oddly(20) && !values.is_empty() {
            let at = self.choices.below(values.len());
            values[at] = self.choices.int();
        }
        self.with(|onnx| onnx.list(&name, &values));
        name
    }

    fn scalar(&mut self, value: i64) -> String {
        let name = self.fresh();
        let tensor = of_bytes(&name, &[], data_type::INT64, value.to_le_bytes().to_vec());
        self.with(|onnx| onnx.tensor(tensor));
        name
    }

    /// A node with `outputs` outputs; the first becomes the value that is read next.
    fn node(&mut self, op: &str, inputs: &[&str], outputs: usize) -> Vec<String> {
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

    fn ints(&mut self, name: &str, values: &[i64]) {
        let mut values = values.to_vec();
        if self.oddly(30) && !values.is_empty() {
            let at = self.choices.below(values.len());
            values[at] = self.choices.int();
        }
        self.with(|onnx| onnx.ints(name, &values));
    }

    fn int(&mut self, name: &str, value: i64) {
        let value = match self.oddly(30) {
            true => self.choices.int(),
            false => value,
        };
        self.with(|onnx| onnx.int(name, value));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.with(|onnx| onnx.text(name, value));
    }

    fn body(&mut self, name: &str, body: GraphProto) {
        let node = self.onnx.graph().node.last_mut().unwrap();
        node.attribute.push(AttributeProto {
            name: Some(name.to_owned()),
            g: Some(Box::new(body)),
            kind: Some(5),
            ..Default::default()
        });
    }

    /// An attribute that the last node may not expect.
    fn odd_attribute(&mut self) {
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

    /// One more part of the network.
    fn step(&mut self) {
        let x = self.any();
        let c = self.c;
        match self.choices.below(40) {
            0..=4 => self.convolution(&x, "Conv"),
            5 => self.convolution(&x, "ConvTranspose"),
            6 | 7 => {
                let op = self.choices.of(&["MaxPool", "AveragePool", "LpPool"]);
                self.node(op, &[&x], 1);
                self.window();
            }
            8 => {
                let made = self.node("MaxPool", &[&x], 2);
                self.window();
                if self.choices.one_in(2) {
                    self.node("MaxUnpool", &[&made[0], &made[1]], 1);
                    self.ints("kernel_shape", &[2, 2]);
                    self.ints("strides", &[2, 2]);
                }
            }
            9 => {
                let [a, b, m, v] = [(); 4].map(|()| self.weight(&[c]));
                self.node("BatchNormalization", &[&x, &a, &b, &m, &v], 1);
            }
            10 => {
                let [a, b] = [(); 2].map(|()| self.weight(&[c]));
                let op = self
                    .choices
                    .of(&["InstanceNormalization", "GroupNormalization"]);
                self.node(op, &[&x, &a, &b], 1);
                self.int("num_groups", 1);
            }
            11 => {
                let scale = self.weight(&[1]);
                let op = self.choices.of(&["LayerNormalization", "RMSNormalization"]);
                self.node(op, &[&x, &scale], 1);
                self.int("axis", -1);
            }
            12 | 13 => {
                let other = match self.choices.below(3) {
                    0 => self.any(),
                    1 => self.weight(&[1, c, 1, 1]),
                    _ => self.weight(&[]),
                };
                let op = [
                    "Add", "Mul", "Sub", "Div", "Pow", "Max", "PRelu", "Less", "Mod", "And",
                ];
                let op = self.choices.of(&op);
                self.node(op, &[&x, &other], 1);
            }
            14 => {
                let other = self.any();
                self.node("Concat", &[&x, &other], 1);
                self.int("axis", 1);
            }
            15 | 16 => self.resize(&x),
            17 => {
                let shape = self
                    .choices
                    .of(&[[0, -1, 8], [0, 4, -1], [-1, 8, 8], [1, -1, 1]]);
                let shape = self.list(&shape);
                self.node("Reshape", &[&x, &shape], 1);
            }
            18 => {
                self.node("Transpose", &[&x], 1);
                let perm =
                    self.choices
                        .of(&[[0, 2, 3, 1], [0, 3, 1, 2], [3, 2, 1, 0], [1, 0, 2, 3]]);
                self.ints("perm", &perm);
            }
            19 => {
                let other = match self.choices.one_in(2) {
                    true => self.any(),
                    false => self.weight(&[8, 4]),
                };
                self.node("MatMul", &[&x, &other], 1);
            }
            20 => {
                let other = self.any();
                self.node("Einsum", &[&x, &other], 1);
                let equation = [
                    "nchw,nchw->nhw",
                    "...ij,...jk->...ik",
                    "abcd,abce->abde",
                    "ii,i->",
                ];
                let equation = self.choices.of(&equation);
                self.text("equation", equation);
            }
            21 => {
                let (k, v) = (self.any(), self.any());
                self.node("Attention", &[&x, &k, &v], 1);
            }
            22 => {
                let starts = [self.choices.int()];
                let (starts, ends) = (self.list(&starts), self.list(&[6]));
                let axes = self.list(&[2]);
                self.node("Slice", &[&x, &starts, &ends, &axes], 1);
            }
            23 => {
                let pads = self.list(&[0, 0, 1, 1, 0, 0, 1, 1]);
                self.node("Pad", &[&x, &pads], 1);
                let mode = self.choices.of(&["constant", "reflect", "edge", "wrap"]);
                self.text("mode", mode);
            }
            24 => {
                let indices = self.list(&[0, 2, -1]);
                let op = self
                    .choices
                    .of(&["Gather", "GatherND", "Tile", "Expand", "OneHot", "TopK"]);
                self.node(op, &[&x, &indices], 1);
            }
            25 => {
                let (at, put) = (self.list(&[0, 1, 1]), self.weight(&[3]));
                let op = self
                    .choices
                    .of(&["ScatterND", "ScatterElements", "Scatter"]);
                self.node(op, &[&x, &at, &put], 1);
            }
            26 => {
                let grid = self.weight(&[1, 3, 3, 2]);
                self.node("GridSample", &[&x, &grid], 1);
            }
            27 => {
                let axes = self.list(&[2, 3]);
                let op = [
                    "ReduceMean",
                    "ReduceSum",
                    "ReduceMax",
                    "ReduceL2",
                    "ReduceLogSumExp",
                ];
                let op = self.choices.of(&op);
                self.node(op, &[&x, &axes], 1);
            }
            28 => self.quantised(&x),
            29 => {
                let pieces = self.list(&[1, c - 1]);
                self.node("Split", &[&x, &pieces], 2);
                self.int("axis", 1);
            }
            30 => {
                let op =
                    self.choices
                        .of(&["DepthToSpace", "SpaceToDepth", "LRN", "Trilu", "Squeeze"]);
                self.node(op, &[&x], 1);
                self.int("blocksize", 2);
                self.int("size", 3);
            }
            31 => self.branches(&x),
            32 => self.repeats(&x),
            33 => {
                let op = self.choices.of(&["own.twice", "own.calls", "own.long"]);
                self.node(op, &[&x], 1);
            }
            34 | 35 => self.anything(),
            36 => {
                let shape = self.node("Shape", &[&x], 1);
                let value = self
                    .choices
                    .of(&["ConstantOfShape", "Expand", "Reshape", "Range"]);
                self.node(value, &[&shape[0], &shape[0]], 1);
            }
            _ => {
                let op = self.choices.of(UNARY);
                self.node(op, &[&x], 1);
            }
        }
        if self.oddly(24) {
            self.odd_attribute();
        }
    }

    fn convolution(&mut self, x: &str, op: &str) {
        let size = self.choices.of(&[1, 1, 3, 3, 5, 2]);
        let out = self.choices.of(&[1, 2, 4, 6, 8]);
        let group = match self.c % 2 == 0 && out % 2 == 0 && self.choices.one_in(4) {
            true => 2,
            false => 1,
        };
        let shape = match op {
            "Conv" => [out, self.c / group, size, size],
            _ => [self.c, out / group, size, size],
        };
        let (w, b) = (self.weight(&shape), self.weight(&[out]));
        self.node(op, &[x, &w, &b], 1);
        self.int("group", group);
        let pad = (size / 2).max(0);
        self.ints("pads", &[pad; 4]);
        let stride = self.choices.of(&[1, 1, 1, 2]);
        self.ints("strides", &[stride, stride]);
        if self.choices.one_in(6) {
            self.ints("dilations", &[2, 1]);
        }
        self.c = out;
    }

    fn window(&mut self) {
        let size = self.choices.of(&[2, 2, 3]);
        self.ints("kernel_shape", &[size, size]);
        let stride = self.choices.of(&[1, 2]);
        self.ints("strides", &[stride, stride]);
        if self.choices.one_in(3) {
            self.ints("pads", &[1, 0, 0, 1]);
        }
        if self.choices.one_in(4) {
            self.int("ceil_mode", 1);
        }
    }

    fn resize(&mut self, x: &str) {
        let c = self.c;
        if self.choices.one_in(2) {
            let sizes = self.list(&[1, c, 5, 7]);
            self.node("Resize", &[x, "", "", &sizes], 1);
        } else {
            let name = self.fresh();
            let scales = [1.0, 1.0, 2.0, 0.5].map(|scale| match self.oddly(12) {
                true => self.choices.float(),
                false => scale,
            });
            let tensor = floats(&name, &[4], scales.to_vec());
            self.with(|onnx| onnx.tensor(tensor));
            self.node("Resize", &[x, "", &name], 1);
        }
        let mode = self.choices.of(&["nearest", "linear", "cubic"]);
        self.text("mode", mode);
        let ways = [
            "half_pixel",
            "align_corners",
            "asymmetric",
            "pytorch_half_pixel",
        ];
        let way = self.choices.of(&ways);
        self.text("coordinate_transformation_mode", way);
        if self.choices.one_in(3) {
            self.int("antialias", 1);
        }
    }

    fn quantised(&mut self, x: &str) {
        let scale = self.weight(&[]);
        let zero = self.fresh();
        let kind = self
            .choices
            .of(&[data_type::INT8, data_type::UINT8, data_type::INT32]);
        let bytes = if kind == data_type::INT32 { 4 } else { 1 };
        let tensor = of_bytes(&zero, &[], kind, vec![0; bytes]);
        self.with(|onnx| onnx.tensor(tensor));
        let made = self.node("QuantizeLinear", &[x, &scale, &zero], 1);
        match self.choices.below(4) {
            0 => {
                let c = self.c;
                let w = self.fresh();
                let weight = of_bytes(&w, &[2, c, 1, 1], data_type::INT8, vec![3; 2 * c as usize]);
                self.with(|onnx| onnx.tensor(weight));
                let inputs = [&made[0], &scale, &zero, &w, &scale, &zero, &scale, &zero];
                self.node("QLinearConv", &inputs.map(String::as_str), 1);
            }
            1 => {
                self.node("ConvInteger", &[&made[0], &made[0], &zero], 1);
            }
            _ => {
                self.node("DequantizeLinear", &[&made[0], &scale, &zero], 1);
            }
        }
    }

    /// A condition that is a constant, or follows from the image.
    fn branches(&mut self, x: &str) {
        let condition = match self.choices.one_in(2) {
            true => {
                let sum = self.node("ReduceSum", &[x], 1).swap_remove(0);
                self.int("keepdims", 0);
                let zero = self.weight(&[]);
                self.node("Greater", &[&sum, &zero], 1).swap_remove(0)
            }
            false => {
                let name = self.fresh();
                let value = self.choices.byte() % 2;
                let tensor = of_bytes(&name, &[], data_type::BOOL, vec![value]);
                self.with(|onnx| onnx.tensor(tensor));
                name
            }
        };
        self.node("If", &[&condition], 1);
        for name in ["then_branch", "else_branch"] {
            let op = self.choices.of(UNARY);
            let inner = self.choices.of(&["z", "v1", "x", "v2"]);
            let mut onnx = Onnx::new().node(op, &[x], &[inner]);
            if self.choices.one_in(3) {
                onnx = onnx.node("Add", &[inner, x], &["w"]).output("w");
            } else {
                let output = self.choices.of(&[inner, x]);
                onnx = onnx.output(output);
            }
            let body = onnx.graph().clone();
            self.body(name, body);
        }
    }

    /// A loop, or a scan.
    fn repeats(&mut self, x: &str) {
        let op = self.choices.of(UNARY);
        if self.choices.one_in(2) {
            self.node("Scan", &[x], 1);
            self.int("num_scan_inputs", 1);
            let axis = self.choices.int();
            self.ints("scan_input_axes", &[axis]);
            let mut body = Onnx::new()
                .input("slice", &[])
                .node(op, &["slice"], &["row"])
                .output("row");
            let body = body.graph().clone();
            self.body("body", body);
            return;
        }
        let steps = self.choices.int();
        let steps = self.scalar(steps);
        self.node("Loop", &[&steps, "", x], 2);
        let mut body = Onnx::new()
            .typed_input("i", data_type::INT64, &[])
            .typed_input("on", data_type::BOOL, &[])
            .input("state", &[])
            .node("Identity", &["on"], &["still"])
            .node(op, &["state"], &["next"]);
        if self.choices.one_in(3) {
            body = body.node("Concat", &["next", "state"], &["grown"]);
            body = body.int("axis", 1);
            body = body.output("still").output("grown").output("next");
        } else {
            body = body.output("still").output("next").output("state");
        }
        let body = body.graph().clone();
        self.body("body", body);
    }

    /// Any operator on anything.
    fn anything(&mut self) {
        let entries = Registry::standard().entries();
        let entry = self.choices.of(&entries);
        let count = self.choices.below(6);
        let mut inputs = Vec::new();
        for _ in 0..count {
            let length = self.choices.below(5);
            inputs.push(match self.choices.below(5) {
                0 => String::new(),
                1 => {
                    let values: Vec<i64> = (0..length).map(|_| self.choices.int()).collect();
                    self.list(&values)
                }
                2 => {
                    let shape: Vec<i64> = (0..length).map(|_| self.choices.int().min(9)).collect();
                    self.weight(&shape)
                }
                _ => self.any(),
            });
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let outputs = 1 + self.choices.below(3);
        let name = match entry.domain {
            "" => entry.name.to_owned(),
            domain => format!("{domain}.{}", entry.name),
        };
        self.node(&name, &inputs, outputs);
        for _ in 0..self.choices.below(6) {
            self.odd_attribute();
        }
    }
}

fn of_bytes(name: &str, shape: &[i64], kind: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        data_type: Some(kind),
        raw_data: Some(bytes.into()),
        ..floats(name, shape, Vec::new())
    }
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

/// Numbers that a pass may compute, so that one run stays short.
const MOST: usize = 1 << 20;

/// How far a file got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    Refused,
    Opened,
    Ran,
    Differentiated,
}

/// Opens a file and runs it forwards and backwards, on one image and on two.
pub fn attempt(bytes: &[u8], folder: Option<&Path>, backwards: bool) -> Reached {
    let limits = Limits::default().with_memory(MEMORY);
    let device = crate::device();
    let importer = Importer::new().folder(folder).limits(limits);
    let graph = importer.import(bytes.to_vec());
    let bound = |graph: Graph| {
        let (input, size) = pictures(&graph)?;
        let bound = BoundGraph::new(graph, &device);
        bound.with_pictures(input, size).ok()
    };
    let Some(model) = graph.ok().and_then(bound) else {
        return Reached::Refused;
    };
    let graph = model.graph();
    let ends: Vec<String> = graph
        .outputs()
        .iter()
        .map(|&v: &ValueId| graph.name(v).to_owned())
        .collect();
    let Some(end) = ends.first().filter(|end| model.layer(end).is_ok()) else {
        return Reached::Opened;
    };
    let mut reached = Reached::Opened;
    let _ = model.obstacles();
    let _ = model.windows(INPUT, end, &Default::default(), [9, 8]);
    let _ = model.runs_one_by_one([end]);
    let Ok(stated) = model.layer(INPUT).map(|layer| layer.shape().to_vec()) else {
        return reached;
    };
    for (images, size) in [(1, [stated[2], stated[3]]), (2, [9, 8])] {
        let small = model
            .pass_elements(INPUT, end, size)
            .is_ok_and(|n| n < MOST);
        if !small || size.iter().product::<usize>() > 4096 {
            continue;
        }
        let count = images * 3 * size[0] * size[1];
        let values = (0..count).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let x = crate::tensor(values, [images, 3, size[0], size[1]]);
        let x: Activation = x.into();
        let Ok(fetched) = model.pass().feed(INPUT, x.clone()).fetch([end]) else {
            continue;
        };
        reached = reached.max(Reached::Ran);
        drop(fetched);
        if backwards && differentiated(&model, end, x).is_ok() {
            reached = reached.max(Reached::Differentiated);
        }
    }
    reached
}

/// The input that takes pictures of three channels, with the size that the file states.
fn pictures(graph: &Graph) -> Option<(ValueId, [usize; 2])> {
    let found = graph.inputs().iter().find_map(|input| match *input.shape {
        [_, None | Some(3), height, width] => Some((input.value, [height, width])),
        _ => None,
    });
    found.map(|(value, size)| (value, size.map(|side| side.unwrap_or(64))))
}

fn differentiated(model: &BoundGraph, end: &str, x: Activation) -> Result<(), GraphError> {
    let x = x.require_grad();
    let fetched = model.pass().feed(INPUT, x.clone()).fetch([end])?;
    let sum = fetched.get(end)?.rows().sum();
    if sum.is_tracked() {
        let _ = x.gradient(&sum.backward());
    }
    let _ = model.pass().feed(INPUT, x).record([end])?;
    Ok(())
}
