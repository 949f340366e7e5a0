//! What a network is made of, step by step.

use elucid_graph::Registry;

use super::maker::{Maker, of_bytes};
use crate::onnx::{Onnx, data_type, floats};

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

impl Maker<'_, '_> {
    /// One more part of the network.
    pub(super) fn step(&mut self) {
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

    pub(super) fn convolution(&mut self, x: &str, op: &str) {
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

    pub(super) fn window(&mut self) {
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

    pub(super) fn resize(&mut self, x: &str) {
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

    pub(super) fn quantised(&mut self, x: &str) {
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
    pub(super) fn branches(&mut self, x: &str) {
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
    pub(super) fn repeats(&mut self, x: &str) {
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
    pub(super) fn anything(&mut self) {
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
