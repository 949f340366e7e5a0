//! Operators whose attributes or inputs do not go together.

use super::{E, HUGE, refused, run};
use elucid_testkit::onnx::{Onnx, floats};

#[test]
fn attributes_out_of_range() {
    let conv = || {
        Onnx::image([1, 3, 8, 8])
            .weight("w", &[4, 3, 3, 3])
            .node("Conv", &["x", "w"], &["y"])
    };
    for (name, values) in [
        ("strides", &[0, 1][..]),
        ("strides", &[-1, 1]),
        ("strides", &[i64::MAX, 1]),
        ("strides", &[1]),
        ("strides", &[1, 1, 1]),
        ("dilations", &[0, 0]),
        ("dilations", &[HUGE, 1]),
        ("pads", &[-1, 0, 0, 0]),
        ("pads", &[1, 1]),
        ("pads", &[HUGE, HUGE, HUGE, HUGE]),
        ("kernel_shape", &[0, 3]),
        ("kernel_shape", &[HUGE, 3]),
        ("kernel_shape", &[2, 3]),
    ] {
        refused!(
            run(&conv().ints(name, values)),
            E::Operator { .. },
            "Conv \"make_y\"",
            name
        );
    }
    refused!(
        run(&conv().ints("pads", &vec![1; 10_000])),
        E::Operator { .. },
        "pads"
    );
    refused!(
        run(&conv().ints("dilations", &[1 << 20, 1])),
        E::Operator { .. },
        "does not fit"
    );
    for group in [0, -1, 2, 3, i64::MAX] {
        refused!(
            run(&conv().int("group", group)),
            E::Operator { .. },
            "Conv",
            "group"
        );
    }
    refused!(
        run(&conv().text("auto_pad", "SOMEHOW")),
        E::Operator { .. },
        "SOMEHOW"
    );
    // Steps far beyond the image are legal, and leave one position.
    let strides = run(&conv().ints("strides", &[1 << 20, 1 << 20])).unwrap();
    assert_eq!(strides.len(), 4);
    // So are borders far beyond it, but not without bound.
    assert!(run(&conv().ints("pads", &[9, 8, 9, 8])).is_ok());
    let wide = [1 << 20, 1 << 20, 1 << 20, (1 << 20) - 1];
    let wide = conv()
        .ints("pads", &wide)
        .ints("strides", &[1 << 20, 1 << 20]);
    refused!(run(&wide), E::TooLarge { .. }, "Conv \"make_y\"");

    let pool = |op: &str| Onnx::image([1, 3, 8, 8]).node(op, &["x"], &["y"]);
    for op in ["MaxPool", "AveragePool"] {
        refused!(
            run(&pool(op)),
            E::Operator { .. },
            "kernel_shape is missing"
        );
        for (kernel, name, values) in [
            ([9, 9], "strides", &[1, 1][..]),
            ([1 << 20, 1 << 20], "strides", &[1, 1]),
            ([2, 2], "pads", &[2, 2, 2, 2]),
            ([2, 2], "pads", &[1 << 20; 4]),
            ([2, 2], "dilations", &[100, 100]),
        ] {
            let model = pool(op).ints("kernel_shape", &kernel).ints(name, values);
            refused!(run(&model), E::Operator { .. }, op);
        }
    }
    for size in [0, -3, i64::MAX] {
        let model = pool("LRN").int("size", size);
        refused!(run(&model), E::Operator { .. }, "LRN", "size");
    }
    assert!(run(&pool("LRN").int("size", 60_000)).is_ok());
    for axis in [4, -5, i64::MIN, i64::MAX] {
        for op in ["Softmax", "Concat"] {
            refused!(
                run(&pool(op).int("axis", axis)),
                E::Operator { .. },
                op,
                axis
            );
        }
    }
    for axis in [5, -5, i64::MIN, i64::MAX] {
        refused!(
            run(&pool("Flatten").int("axis", axis)),
            E::Operator { .. },
            "Flatten",
            axis
        );
    }
    for perm in [
        &[0, 1, 2][..],
        &[0, 1, 2, 2],
        &[0, 1, 2, 4],
        &[0, 1, 2, 3, 4],
    ] {
        refused!(
            run(&pool("Transpose").ints("perm", perm)),
            E::Operator { .. },
            "Transpose"
        );
    }
    refused!(run(&pool("Concat")), E::Operator { .. }, "axis is missing");
    refused!(run(&pool("Cast").int("to", 8)), E::Operator { .. }, "Cast");
    assert!(run(&pool("Cast").int("to", 7)).is_ok());
    refused!(
        run(&pool("Constant")),
        E::Operator { .. },
        "Constant",
        "must be a tensor"
    );
}

#[test]
fn numbers_that_are_not_finite() {
    let x = || Onnx::image([1, 3, 4, 4]);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.0] {
        let models = [
            x().node("LeakyRelu", &["x"], &["y"]).float("alpha", value),
            x().node("Elu", &["x"], &["y"]).float("alpha", value),
            x().node("HardSigmoid", &["x"], &["y"])
                .float("alpha", value)
                .float("beta", value),
            x().opset(6)
                .node("Clip", &["x"], &["y"])
                .float("min", value)
                .float("max", 1.0),
            x().opset(6)
                .node("Clip", &["x"], &["y"])
                .float("min", -1.0)
                .float("max", value),
            x().opset(6)
                .node("Clip", &["x"], &["y"])
                .float("min", value)
                .float("max", -value),
            x().opset(10)
                .node("Pad", &["x"], &["y"])
                .ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
                .float("value", value),
            x().node("LRN", &["x"], &["y"])
                .int("size", 3)
                .float("alpha", value)
                .float("beta", value)
                .float("bias", value),
            x().weight("s", &[3])
                .weight("b", &[3])
                .node("InstanceNormalization", &["x", "s", "b"], &["y"])
                .float("epsilon", value),
        ];
        for model in models {
            run(&model).unwrap();
        }
    }
}

#[test]
fn shapes_that_do_not_go_together() {
    let x = || Onnx::image([1, 3, 8, 8]);
    let w = |shape: &[i64]| x().weight("w", shape);
    for op in ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum"] {
        for shape in [
            &[5][..],
            &[2, 8],
            &[1, 0],
            &[0],
            &[3, 3, 3, 8, 8, 1],
            &[1; 9],
        ] {
            refused!(
                run(&w(shape).node(op, &["x", "w"], &["y"])),
                E::Operator { .. },
                op
            );
        }
        let mixed = run(&x().list("i", &[1]).node(op, &["x", "i"], &["y"]));
        match op {
            // The one operator whose operands may differ.
            "Pow" => assert!(mixed.is_ok()),
            _ => refused!(mixed, E::Operator { .. }, op, "int64"),
        }
    }
    for shape in [
        &[4, 3, 3][..],
        &[4, 3, 3, 3, 3],
        &[4, 2, 3, 3],
        &[4, 3, 9, 9],
        &[4, 0, 3, 3],
        &[0, 3, 3, 3],
        &[],
    ] {
        refused!(
            run(&w(shape).node("Conv", &["x", "w"], &["y"])),
            E::Operator { .. },
            "Conv"
        );
    }
    let biased = |shape: &[i64]| {
        w(&[4, 3, 3, 3])
            .weight("b", shape)
            .node("Conv", &["x", "w", "b"], &["y"])
    };
    for shape in [&[3][..], &[4, 1], &[], &[0]] {
        refused!(run(&biased(shape)), E::Operator { .. }, "Conv", "bias");
    }
    refused!(
        run(&x().node("Conv", &["x"], &["y"])),
        E::Operator { .. },
        "input 1 is missing"
    );
    refused!(
        run(&x().list("w", &[1]).node("Conv", &["x", "w"], &["y"])),
        E::Operator { .. },
        "int64"
    );
    for shape in [&[4][..], &[3, 1], &[]] {
        let norm = w(shape).node("BatchNormalization", &["x", "w", "w", "w", "w"], &["y"]);
        refused!(run(&norm), E::Operator { .. }, "BatchNormalization", "[3]");
        let norm = w(shape).node("InstanceNormalization", &["x", "w", "w"], &["y"]);
        refused!(
            run(&norm),
            E::Operator { .. },
            "InstanceNormalization",
            "[3]"
        );
    }
    refused!(
        run(&w(&[5])
            .opset(17)
            .node("LayerNormalization", &["x", "w"], &["y"])),
        E::Operator { .. },
        "broadcast"
    );
    refused!(
        run(&w(&[5]).node("PRelu", &["x", "w"], &["y"])),
        E::Operator { .. },
        "PRelu",
        "[5]"
    );
    for shape in [&[7, 4][..], &[8], &[192, 4], &[]] {
        if shape != [8] {
            refused!(
                run(&w(shape).node("MatMul", &["x", "w"], &["y"])),
                E::Operator { .. },
                "MatMul"
            );
        }
        refused!(
            run(&w(shape).node("Gemm", &["x", "w"], &["y"])),
            E::Operator { .. },
            "Gemm"
        );
    }
    let gemm = w(&[191, 4])
        .node("Flatten", &["x"], &["f"])
        .node("Gemm", &["f", "w"], &["y"]);
    refused!(run(&gemm), E::Operator { .. }, "Gemm", "192", "191");
    let empty = w(&[192, 0])
        .node("Flatten", &["x"], &["f"])
        .node("MatMul", &["f", "w"], &["y"]);
    refused!(run(&empty), E::Operator { .. }, "MatMul", "no numbers");
    for shape in [&[1, 3, 7, 8][..], &[1, 3, 8], &[3, 8, 8]] {
        refused!(
            run(&w(shape).node("Concat", &["x", "w"], &["y"]).int("axis", 1)),
            E::Operator { .. },
            "Concat"
        );
    }
    let with_nothing = w(&[1, 0, 8, 8])
        .node("Concat", &["x", "w"], &["y"])
        .int("axis", 1);
    assert_eq!(run(&with_nothing).unwrap().len(), 3 * 8 * 8);
    refused!(
        run(&x().node("Concat", &["x", ""], &["y"]).int("axis", 1)),
        E::Operator { .. },
        "input 1"
    );
    for parts in [
        &[1, 1][..],
        &[4, -1],
        &[1, 1, 1],
        &[i64::MAX, i64::MAX],
        &[0; 5000],
    ] {
        let split = x()
            .opset(11)
            .node("Split", &["x"], &["y", "b"])
            .int("axis", 1)
            .ints("split", parts);
        refused!(run(&split), E::Operator { .. }, "Split");
    }
    for shape in [
        &[1, 3, 8, 7][..],
        &[-1, -1],
        &[0, 0, 0, 0, 0],
        &[5, -1],
        &[1, 3, 0, 8, 64],
        &[],
    ] {
        refused!(
            run(&x().list("s", shape).node("Reshape", &["x", "s"], &["y"])),
            E::Operator { .. },
            "Reshape"
        );
    }
    let zero = x()
        .opset(14)
        .list("s", &[0, -1])
        .node("Reshape", &["x", "s"], &["y"])
        .int("allowzero", 1);
    refused!(run(&zero), E::Operator { .. }, "Reshape");
    refused!(
        run(&x().list("a", &[1]).node("Squeeze", &["x", "a"], &["y"])),
        E::Operator { .. },
        "Squeeze",
        "not 1"
    );
    refused!(
        run(&x()
            .list("a", &[0, 0])
            .node("Unsqueeze", &["x", "a"], &["y"])),
        E::Operator { .. },
        "repeat"
    );
    refused!(
        run(&x()
            .list("a", &[0, 1, 2, 3, 4])
            .node("Unsqueeze", &["x", "a"], &["y"])),
        E::Operator { .. },
        "8 dimensions"
    );
    for i in [3, -4, i64::MAX, i64::MIN] {
        refused!(
            run(&x()
                .list("i", &[i])
                .node("Gather", &["x", "i"], &["y"])
                .int("axis", 1)),
            E::Operator { .. },
            "Gather",
            i
        );
    }
    refused!(
        run(&x().list("i", &[]).node("Gather", &["x", "i"], &["y"])),
        E::Shape { .. },
        "[0, 3, 8, 8]"
    );
    let slice = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
        x().list("s", starts)
            .list("e", ends)
            .list("a", axes)
            .list("t", steps)
            .node("Slice", &["x", "s", "e", "a", "t"], &["y"])
    };
    refused!(
        run(&slice(&[0], &[0], &[2], &[1])),
        E::Shape { .. },
        "[1, 3, 0, 8]"
    );
    refused!(
        run(&slice(&[0], &[4], &[2], &[0])),
        E::Operator { .. },
        "step of 0"
    );
    refused!(
        run(&slice(&[0], &[4], &[4], &[1])),
        E::Operator { .. },
        "axis 4"
    );
    refused!(
        run(&slice(&[0, 0], &[4], &[1], &[1])),
        E::Operator { .. },
        "length"
    );
    for extreme in [i64::MIN, i64::MAX] {
        assert!(run(&slice(&[0], &[4], &[2], &[extreme])).is_ok() == (extreme > 0));
        assert!(run(&slice(&[i64::MIN], &[i64::MAX], &[2], &[1])).is_ok());
        assert!(run(&slice(&[i64::MAX], &[i64::MIN], &[2], &[extreme])).is_ok() == (extreme < 0));
    }
    // On the host there is no limit to the dimensions.
    let deep = x()
        .weight("d", &[1, 1, 1, 1, 1, 1, 1, 2, 2])
        .node("Relu", &["d"], &["r"])
        .node("ReduceMean", &["r"], &["m"])
        .int("keepdims", 0)
        .node("Add", &["x", "m"], &["y"]);
    assert_eq!(run(&deep).unwrap().len(), 3 * 8 * 8);
}

#[test]
fn values_that_must_be_known_in_advance() {
    let x = || {
        Onnx::image([1, 3, 8, 8])
            .node("Relu", &["x"], &["r"])
            .list("i", &[0])
    };
    for (op, inputs) in [
        ("Reshape", &["x", "r"][..]),
        ("Gather", &["x", "r"]),
        ("Slice", &["x", "r", "i"]),
        ("Pad", &["x", "r"]),
        ("Expand", &["x", "r"]),
        ("Squeeze", &["x", "r"]),
        ("Unsqueeze", &["x", "r"]),
        ("Clip", &["x", "r"]),
        ("ConstantOfShape", &["r"]),
    ] {
        refused!(run(&x().node(op, inputs, &["y"])), E::Operator { .. }, op);
    }
    assert!(run(&x().node("Equal", &["x", "r"], &["y"])).is_ok());
    refused!(
        run(&x().node("Where", &["i", "x", "r"], &["y"])),
        E::Operator { .. },
        "expected booleans"
    );
    refused!(
        run(&x().node("Where", &["i", "i"], &["y"])),
        E::Operator { .. },
        "input 2 is missing"
    );
    refused!(
        run(&x().list("z", &[0]).node("Div", &["i", "z"], &["y"])),
        E::Operator { .. },
        "division by zero"
    );
    let training = x().tensor(floats("t", &[1], vec![1.0]));
    refused!(
        run(&training.node("Dropout", &["x", "", "t"], &["y"])),
        E::Operator { .. },
        "training_mode"
    );
}

#[test]
fn scalars_and_vectors_run() {
    let mean = || {
        Onnx::image([1, 3, 8, 8])
            .node("ReduceMean", &["x"], &["m"])
            .int("keepdims", 0)
    };
    let scalar = [
        mean().node("Relu", &["m"], &["y"]),
        mean().node("Add", &["m", "m"], &["y"]),
        mean().node("Transpose", &["m"], &["y"]),
        mean().node("ReduceMean", &["m"], &["y"]),
        mean().list("s", &[]).node("Reshape", &["m", "s"], &["y"]),
        mean()
            .list("s", &[1, 1])
            .node("Expand", &["m", "s"], &["y"]),
        mean().list("s", &[]).node("Pad", &["m", "s"], &["y"]),
        mean()
            .list("s", &[])
            .list("e", &[])
            .node("Slice", &["m", "s", "e"], &["y"]),
        mean().node("Flatten", &["m"], &["y"]).int("axis", 0),
        mean()
            .list("a", &[0])
            .node("Unsqueeze", &["m", "a"], &["u"])
            .node("Softmax", &["u"], &["y"]),
        mean()
            .list("a", &[0])
            .node("Unsqueeze", &["m", "a"], &["u"])
            .node("MatMul", &["u", "u"], &["y"]),
        mean()
            .list("a", &[0])
            .node("Unsqueeze", &["m", "a"], &["u"])
            .node("Concat", &["u"], &["y"])
            .int("axis", 0),
    ];
    for model in scalar {
        assert_eq!(run(&model).unwrap().len(), 1);
    }
    for op in ["Softmax", "Concat"] {
        refused!(
            run(&mean().node(op, &["m"], &["y"]).int("axis", 0)),
            E::Operator { .. },
            op,
            "rank 0"
        );
    }
    for op in ["MatMul", "Conv", "Gemm"] {
        refused!(
            run(&mean().node(op, &["m", "m"], &["y"])),
            E::Operator { .. },
            op
        );
    }
}
