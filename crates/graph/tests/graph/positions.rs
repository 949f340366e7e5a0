//! Operators over positions: what leads back is the transpose, and nothing that a file states panics.

use burn::tensor::Tensor;
use elucid_graph::{Activation, BoundGraph};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, tensor};
use elucid_vision::ModelError;

use super::Dice;

fn image(shape: [usize; 4]) -> Tensor<4> {
    let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
    tensor((0..shape.iter().product()).map(value).collect(), shape)
}

fn dot(a: &Activation, b: &Activation) -> f32 {
    let (a, b) = (a.to_array().unwrap(), b.to_array().unwrap());
    a.iter()
        .zip(&b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum::<f64>() as f32
}

/// `<A x, g> = <x, A' g>` for the operator and the transpose that rules get to see.
#[test]
fn transposes_are_transposes() {
    let mut checked = 0;
    for path in super::case_files() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("conv_") {
            continue;
        }
        let graph = elucid_onnx::open(&path).unwrap();
        let model = BoundGraph::new(graph, &device());
        let stated = &model.graph().inputs()[0].shape;
        let shape: Vec<usize> = stated.iter().map(|d| d.unwrap()).collect();
        let x = image(shape.try_into().unwrap());
        let recording = model.pass().feed("x", x).record(["y"]).unwrap();
        let steps = recording.steps("y", &["x"]).unwrap();
        for step in steps.iter().filter(|step| step.weights().is_some()) {
            let weights = step.weights().unwrap();
            let x = step.input(0).unwrap();
            let y = step.linear(x.clone(), &weights.weight, None).unwrap();
            let g = Activation::from(y.rows().sin());
            let g = Activation::from_rows(g.tensor().unwrap(), &y).unwrap();
            let back = step.transpose(g.clone(), &weights.weight).unwrap();
            assert_eq!(back.shape(), x.shape(), "{name}");
            let (there, back) = (dot(&y, &g), dot(&x, &back));
            let scale = dot(&y, &y).sqrt() * dot(&g, &g).sqrt();
            assert!(
                (there - back).abs() < 1e-5 * scale.max(1.0),
                "{name}: {there} and {back}"
            );
            let biased = step
                .linear(x, &weights.weight, weights.bias.as_ref())
                .unwrap();
            let (made, expected) = (
                biased.to_array().unwrap(),
                step.output().to_array().unwrap(),
            );
            assert!(
                made.iter()
                    .zip(&expected)
                    .all(|(a, b)| (a - b).abs() < 1e-4),
                "{name}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 40, "only {checked} convolutions");
}

/// A batch normalisation becomes part of the weights before it, whatever the groups.
#[test]
fn norms_become_part_of_convolutions() {
    for (op, weight) in [("Conv", [6, 2, 3, 2]), ("ConvTranspose", [4, 3, 3, 2])] {
        let ones = |name: &str, from: f32| {
            floats(name, &[6], (0..6).map(|i| from + i as f32 / 4.0).collect())
        };
        let onnx = Onnx::image([1, 4, 5, 6])
            .weight("w", &weight)
            .node(op, &["x", "w"], &["m"])
            .int("group", 2)
            .ints("strides", &[2, 1])
            .tensor(ones("s", 0.5))
            .tensor(ones("b", -1.0))
            .tensor(ones("mean", -0.5))
            .tensor(ones("var", 1.0))
            .node(
                "BatchNormalization",
                &["m", "s", "b", "mean", "var"],
                &["y"],
            );
        let graph = elucid_onnx::import(onnx.bytes()).unwrap();
        let model = BoundGraph::new(graph, &device());
        let recording = model
            .pass()
            .feed("x", image([1, 4, 5, 6]))
            .record(["y"])
            .unwrap();
        let recording = recording.merging_batch_norm();
        let steps = recording.steps("y", &["x"]).unwrap();
        let step = steps.iter().find(|step| step.weights().is_some()).unwrap();
        let weights = step.weights().unwrap();
        let x = step.input(0).unwrap();
        let y = step
            .linear(x, &weights.weight, weights.bias.as_ref())
            .unwrap();
        let (made, expected) = (y.to_array().unwrap(), recording.value("y").unwrap());
        let expected = expected.to_array().unwrap();
        assert!(
            made.iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-5),
            "{op}"
        );
    }
}

fn sizes(numbers: &mut Dice, count: usize, odd: bool) -> Vec<i64> {
    let count = if odd { numbers.below(6) } else { count };
    let wild = [
        0,
        -1,
        1 << 20,
        (1 << 20) + 1,
        1 << 40,
        i64::MAX,
        i64::MIN,
        100,
    ];
    let mut size = || match odd && numbers.below(5) == 0 {
        true => numbers.of(&wild),
        false => 1 + numbers.below(3) as i64,
    };
    (0..count).map(|_| size()).collect()
}

/// A node with attributes and operands of any kind, on an input of any rank.
fn hostile(op: &str, numbers: &mut Dice) -> (Onnx, Vec<i64>) {
    let rank = 1 + numbers.below(3);
    let odd = numbers.below(3) == 0;
    let mut shape = vec![1 + numbers.below(2) as i64, numbers.of(&[1, 2, 4, 4, 8])];
    shape.extend((0..rank).map(|_| 1 + numbers.below(7) as i64));
    if numbers.below(12) == 0 {
        shape = (0..numbers.below(7))
            .map(|_| 1 + numbers.below(4) as i64)
            .collect();
    }
    let channels = shape.get(1).copied().unwrap_or(1);
    let group = if odd {
        numbers.of(&[0, -1, 1, 2, 3, i64::MAX])
    } else {
        numbers.of(&[1, 1, 2])
    };
    let opset = match op {
        "DeformConv" | "AffineGrid" | "CenterCropPad" | "Col2Im" | "GridSample" => 22,
        _ => numbers.of(&[1, 7, 10, 11, 13, 18, 19, 22]),
    };
    let wild = odd && numbers.below(2) == 0;
    let kernel = sizes(numbers, rank, wild);
    let small: Vec<i64> = kernel.iter().map(|k| (*k).clamp(1, 5)).collect();
    let mut list = sizes(numbers, shape.len(), odd);
    match op {
        "AffineGrid" if !odd => {
            shape = vec![2, rank as i64, rank as i64 + 1];
            list = [vec![2, 1], sizes(numbers, rank, false)].concat();
        }
        "Col2Im" if !odd => {
            list = small.iter().map(|k| k + numbers.below(4) as i64).collect();
            let positions = list.iter().zip(&small).map(|(d, k)| d - k + 1).product();
            shape = vec![1, 2 * small.iter().product::<i64>(), positions];
        }
        _ => {}
    }
    let per_group = (channels / group.clamp(1, 8)).max(1);
    let mut weight = match op {
        "ConvTranspose" => vec![channels, 2],
        _ => vec![numbers.of(&[2, 4, 3]), per_group],
    };
    weight.extend(&small);
    let mut onnx = Onnx::new()
        .opset(opset)
        .input("x", &shape)
        .weight("w", &weight);
    let float = |numbers: &mut Dice| match odd {
        true => numbers.of(&[0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30, 1e30, 0.3, 2.0]),
        false => 0.2 + numbers.below(20) as f32 / 10.0,
    };
    let count = if odd { numbers.below(9) } else { shape.len() };
    let scales: Vec<f32> = (0..count).map(|_| float(numbers)).collect();
    let count = if odd {
        numbers.below(9)
    } else {
        2 * shape.len()
    };
    let region: Vec<f32> = (0..count).map(|_| float(numbers)).collect();
    let rois: Vec<f32> = (0..15)
        .map(|i| {
            if i % 5 == 0 {
                0.0
            } else {
                3.0 * float(numbers)
            }
        })
        .collect();
    let mut grid = vec![shape.first().copied().unwrap_or(1)];
    grid.extend(sizes(numbers, rank, false));
    grid.push(rank as i64);
    onnx = onnx
        .list("sizes", &list)
        .list("block", &small)
        .tensor(floats("scales", &[scales.len() as i64], scales))
        .tensor(floats("region", &[region.len() as i64], region))
        .tensor(floats("rois", &[3, 5], rois))
        .weight("grid", &grid);
    onnx = match op {
        "Conv" | "ConvTranspose" => onnx.node(op, &["x", "w"], &["y"]),
        "DeformConv" => {
            // An offset of the right shape for windows without borders.
            let taps: i64 = small.iter().product();
            let mut offset = vec![grid[0], taps * rank as i64 * group.clamp(1, 8)];
            offset.extend(
                shape
                    .iter()
                    .skip(2)
                    .zip(&small)
                    .map(|(d, k)| (d - k + 1).max(1)),
            );
            onnx.weight("o", &offset).node(op, &["x", "w", "o"], &["y"])
        }
        "MaxPool" => onnx.node(op, &["x"], &["y", "i"]),
        "MaxUnpool" => {
            let count = shape.iter().product::<i64>() as usize;
            let wild = [0, 3, 9, 40, -1, i64::MAX];
            let places: Vec<i64> = (0..count).map(|_| numbers.of(&wild)).collect();
            let mut places = onnx.list("p", &places);
            places.graph().initializer.last_mut().unwrap().dims = shape.clone();
            places.node(op, &["x", "p"], &["y"])
        }
        "MaxRoiPool" => onnx.node(op, &["x", "rois"], &["y"]),
        "Col2Im" => onnx.node(op, &["x", "sizes", "block"], &["y"]),
        "Resize" => match numbers.below(3) {
            0 => onnx.node(op, &["x", "region", "scales"], &["y"]),
            1 => onnx.node(op, &["x", "region", "", "sizes"], &["y"]),
            _ => onnx.node(op, &["x", "scales"], &["y"]),
        },
        "Upsample" => onnx.node(op, &["x", "scales"], &["y"]),
        "GridSample" => onnx.node(op, &["x", "grid"], &["y"]),
        "AffineGrid" | "CenterCropPad" => onnx.node(op, &["x", "sizes"], &["y"]),
        _ => onnx.node(op, &["x"], &["y"]),
    };
    if numbers.below(4) > 0 || op.contains("Pool") {
        onnx = onnx.ints("kernel_shape", &kernel);
    }
    for (name, count) in [
        ("strides", rank),
        ("dilations", rank),
        ("output_padding", rank),
    ] {
        if numbers.below(3) == 0 {
            let list = sizes(numbers, count, odd);
            onnx = onnx.ints(name, &list);
        }
    }
    if numbers.below(3) == 0 {
        let pads: Vec<i64> = sizes(numbers, 2 * rank, odd)
            .iter()
            .map(|p| p.saturating_sub(1))
            .collect();
        onnx = onnx.ints("pads", &pads);
    }
    if numbers.below(6) == 0 {
        let shape = sizes(numbers, rank, odd);
        onnx = onnx.ints("output_shape", &shape);
    }
    if numbers.below(4) == 0 {
        onnx = onnx.text(
            "auto_pad",
            numbers.of(&["SAME_UPPER", "SAME_LOWER", "VALID", "?"]),
        );
    }
    let modes = ["nearest", "linear", "cubic", "bilinear", "DCR", "CRD"];
    let places = [
        "half_pixel",
        "asymmetric",
        "align_corners",
        "tf_crop_and_resize",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
    ];
    if numbers.below(3) > 0 {
        onnx = onnx.text("mode", numbers.of(&modes));
        onnx = onnx.text("coordinate_transformation_mode", numbers.of(&places));
        onnx = onnx.text(
            "padding_mode",
            numbers.of(&["zeros", "border", "reflection"]),
        );
    }
    for name in [
        "ceil_mode",
        "count_include_pad",
        "storage_order",
        "antialias",
        "exclude_outside",
        "align_corners",
    ] {
        onnx = onnx.int(name, numbers.below(2) as i64);
    }
    let pooled = sizes(numbers, 2, odd);
    let blocksize = if odd {
        numbers.of(&[0, -1, i64::MAX, 1 << 20])
    } else {
        1 + numbers.below(2) as i64
    };
    onnx = onnx
        .int("group", group)
        .int("offset_group", group)
        .int("blocksize", blocksize)
        .int("p", numbers.of(&[0, 1, 2, 3, -1]))
        .ints("pooled_shape", &pooled);
    (onnx, shape)
}

/// What cannot be computed is refused in words.
#[test]
fn nothing_panics() {
    let operators = [
        "Conv",
        "ConvTranspose",
        "DeformConv",
        "MaxPool",
        "AveragePool",
        "LpPool",
        "GlobalLpPool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "MaxUnpool",
        "MaxRoiPool",
        "Col2Im",
        "Resize",
        "Upsample",
        "GridSample",
        "AffineGrid",
        "DepthToSpace",
        "SpaceToDepth",
        "CenterCropPad",
    ];
    for op in operators {
        let (mut made, mut refused) = (0, std::collections::BTreeMap::<String, usize>::new());
        for seed in 0..400 {
            let mut numbers = Dice(seed * 7_919 + op.len() as u64);
            let (onnx, shape) = hostile(op, &mut numbers);
            let ran = std::panic::catch_unwind(|| -> Result<(), ModelError> {
                let graph = elucid_onnx::import(onnx.bytes())?;
                let model = BoundGraph::new(graph, &device());
                let shape: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
                let count = shape.iter().product();
                let values = (0..count)
                    .map(|i: usize| (i % 17) as f32 / 8.0 - 1.0)
                    .collect();
                let x = ndarray::ArrayD::from_shape_vec(shape, values).unwrap();
                let x = Activation::from_array(&x.into_shared(), model.device());
                model.pass().feed("x", x).read(["y"])?;
                Ok(())
            });
            match ran {
                Ok(Ok(())) => made += 1,
                Ok(Err(error)) => *refused.entry(error.to_string()).or_default() += 1,
                Err(_) => panic!("{op}, seed {seed}"),
            }
        }
        println!("{op}: {made} of 400 run");
        assert!(made >= 20, "{op}: only {made} of 400 run: {refused:#?}");
    }
}
