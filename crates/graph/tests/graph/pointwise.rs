//! What ONNX's node tests say little about: powers of every sort, bounds that are computed, rounding to
//! small integers and its derivative, 64-bit integers without a sign.

use elucid_graph::{Activation, BoundGraph, ElementType, HostTensor};
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, TensorProto, data_type, floats};

fn opened(onnx: &Onnx) -> BoundGraph {
    BoundGraph::new(elucid_onnx::import(onnx.bytes()).unwrap(), &device())
}

fn activation(values: &[f32]) -> Activation {
    let array = ndarray::Array1::from(values.to_vec()).into_dyn();
    Activation::from_array(&array.into_shared(), &device())
}

/// The value of `y` and the derivative of the sum of its numbers at each of `inputs`.
fn differentiated(onnx: &Onnx, inputs: &[(&str, &[f32])]) -> (Vec<f32>, Vec<Vec<f32>>) {
    let model = opened(onnx);
    let mut pass = model.pass();
    let mut leaves = Vec::new();
    for (name, values) in inputs {
        let leaf = activation(values).require_grad();
        leaves.push(leaf.clone());
        pass = pass.feed(name, leaf);
    }
    let fetched = pass.fetch(["y"]).unwrap();
    let y = fetched.get("y").unwrap();
    let gradients = y.rows().sum().backward();
    let read = |x: &Activation| x.to_array().unwrap().into_iter().collect::<Vec<f32>>();
    let at = |leaf: &Activation| leaf.gradient(&gradients).map(|g| read(&g)).unwrap();
    (read(y), leaves.iter().map(at).collect())
}

fn close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{got:?} {want:?}");
    for (g, w) in got.iter().zip(want) {
        let equal = g == w || (g.is_nan() && w.is_nan());
        assert!(
            equal || (g - w).abs() <= 2e-6 * w.abs().max(1.0),
            "{got:?}, expected {want:?}"
        );
    }
}

fn tensor(name: &str, kind: i32, shape: &[i64], raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: shape.to_vec(),
        data_type: Some(kind),
        raw_data: Some(raw.into()),
        ..Default::default()
    }
}

/// Exponents that are whole and no 64-bit integers, of every operator that has one.
#[test]
fn exponents_beyond_integers() {
    let bases = [-2.0, -0.5, 0.5, 2.0];
    for exponent in [f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, 1e20] {
        let graph = Onnx::new()
            .input("x", &[4])
            .tensor(floats("e", &[], vec![exponent]))
            .node("Pow", &["x", "e"], &["y"]);
        let (values, _) = differentiated(&graph, &[("x", &bases)]);
        close(&values, &bases.map(|base: f32| base.powf(exponent)));
        let graph = Onnx::new()
            .input("x", &[1, 1, 2, 2])
            .node("LRN", &["x"], &["y"])
            .int("size", 1)
            .float("beta", exponent);
        let x = elucid_testkit::tensor(bases.to_vec(), [1, 1, 2, 2]);
        let x = Activation::from(x).require_grad();
        let fetched = opened(&graph).pass().feed("x", x).fetch(["y"]).unwrap();
        fetched.get("y").unwrap().rows().sum().backward();
    }
    // The reciprocal of the second is no finite number.
    for p in [f32::MAX, 1e-40] {
        for op in ["LpPool", "GlobalLpPool"] {
            let graph = Onnx::new()
                .opset(1)
                .input("x", &[1, 1, 2, 2])
                .node(op, &["x"], &["y"])
                .float("p", p);
            let graph = match op {
                "LpPool" => graph.ints("kernel_shape", &[2, 2]),
                _ => graph,
            };
            let x = elucid_testkit::tensor(bases.to_vec(), [1, 1, 2, 2]);
            let x = Activation::from(x).require_grad();
            let fetched = opened(&graph).pass().feed("x", x).fetch(["y"]).unwrap();
            fetched.get("y").unwrap().rows().sum().backward();
        }
    }
}

#[test]
fn negative_bases_have_powers_with_whole_exponents() {
    let graph = Onnx::new()
        .input("a", &[7])
        .input("b", &[7])
        .node("Pow", &["a", "b"], &["y"]);
    let a = [-2.0, -2.0, -2.0, 0.0, 0.0, 2.0, -2.0];
    let b = [3.0, 2.0, -1.0, 2.0, 0.0, 0.5, 0.5];
    let (y, gradients) = differentiated(&graph, &[("a", &a), ("b", &b)]);
    close(&y[..6], &[-8.0, 4.0, -0.5, 0.0, 1.0, 2_f32.sqrt()]);
    assert!(y[6].is_nan());
    close(
        &gradients[0][..6],
        &[12.0, -4.0, -0.25, 0.0, 0.0, 0.5 / 2_f32.sqrt()],
    );
    // Where the base is positive: a^b ln a.
    close(
        &gradients[1],
        &[0.0, 0.0, 0.0, 0.0, 0.0, 2_f32.sqrt() * 2_f32.ln(), 0.0],
    );
}

#[test]
fn one_exponent_for_all_is_a_product() {
    for (exponent, want) in [
        (3.0, [-8.0, 27.0]),
        (-2.0, [0.25, 1.0 / 9.0]),
        (5001.0, [-1.0, 1.0]),
    ] {
        let graph = Onnx::new()
            .input("a", &[2])
            .tensor(floats("b", &[], vec![exponent]))
            .node("Pow", &["a", "b"], &["y"]);
        let a = if exponent > 5000.0 {
            [-1.0, 1.0]
        } else {
            [-2.0, 3.0]
        };
        let (y, gradients) = differentiated(&graph, &[("a", &a)]);
        close(&y, &want);
        let slopes = [exponent * want[0] / a[0], exponent * want[1] / a[1]];
        close(&gradients[0], &slopes);
    }
}

#[test]
fn powers_of_integers_are_exact() {
    let graph = Onnx::new()
        .typed_input("a", data_type::INT64, &[2])
        .tensor(floats("b", &[], vec![2.0]))
        .node("Pow", &["a", "b"], &["y"]);
    let a = HostTensor::from_ints(vec![94_906_265, -3]);
    let y = opened(&graph)
        .pass()
        .feed_known("a", a)
        .read(["y"])
        .unwrap();
    assert_eq!(y[0].ints().unwrap(), [9_007_199_136_250_225, 9]);
}

#[test]
fn bounds_that_are_computed_have_a_gradient() {
    let graph = Onnx::new()
        .opset(13)
        .input("x", &[4])
        .input("low", &[1])
        .input("high", &[1])
        .node("Clip", &["x", "low", "high"], &["y"]);
    let feeds: [(&str, &[f32]); 3] = [
        ("x", &[-2.0, 0.5, 3.0, 4.0]),
        ("low", &[-1.0]),
        ("high", &[2.0]),
    ];
    let (y, gradients) = differentiated(&graph, &feeds);
    close(&y, &[-1.0, 0.5, 2.0, 2.0]);
    close(&gradients[0], &[0.0, 1.0, 0.0, 0.0]);
    close(&gradients[1], &[1.0]);
    close(&gradients[2], &[2.0]);
}

#[test]
fn quantising_saturates_and_lets_gradients_through_inside() {
    let graph = Onnx::new()
        .input("x", &[5])
        .tensor(floats("s", &[], vec![0.5]))
        .tensor(tensor("z", data_type::INT8, &[], vec![3]))
        .node("QuantizeLinear", &["x", "s", "z"], &["q"])
        .node("DequantizeLinear", &["q", "s", "z"], &["y"]);
    // Halves go to the even number.
    let x = [0.25, 0.75, -1.1, 100.0, -100.0];
    let (y, gradients) = differentiated(&graph, &[("x", &x)]);
    close(&y, &[0.0, 1.0, -1.0, 62.0, -65.5]);
    close(&gradients[0], &[1.0, 1.0, 1.0, 0.0, 0.0]);
    let host = HostTensor::of_floats(ElementType::F32, &[5], x.to_vec()).unwrap();
    let q = opened(&graph)
        .pass()
        .feed_known("x", host)
        .read(["q"])
        .unwrap();
    assert_eq!(q[0].element_type(), ElementType::I8);
    assert_eq!(q[0].ints().unwrap(), [3, 5, 1, 127, -128]);
}

#[test]
fn products_of_small_integers_saturate() {
    let one = |name: &str| floats(name, &[], vec![1.0]);
    let graph = Onnx::new()
        .opset(21)
        .typed_input("a", data_type::INT8, &[1, 2])
        .tensor(tensor("b", data_type::INT8, &[2, 2], vec![100, 156, 1, 0]))
        .tensor(one("sa"))
        .tensor(one("sb"))
        .tensor(one("sy"))
        .tensor(tensor("z", data_type::INT8, &[], vec![0]))
        .node(
            "QLinearMatMul",
            &["a", "sa", "z", "b", "sb", "z", "sy", "z"],
            &["y"],
        );
    let a = HostTensor::of_ints(ElementType::I8, &[1, 2], vec![2, -5]).unwrap();
    let y = opened(&graph)
        .pass()
        .feed_known("a", a)
        .read(["y"])
        .unwrap();
    assert_eq!(y[0].ints().unwrap(), [127, -128]);
}

#[test]
fn large_unsigned_integers_are_large() {
    let of = |values: [u64; 2]| {
        let bits = values.iter().map(|&v| v as i64).collect();
        HostTensor::of_ints(ElementType::U64, &[2], bits).unwrap()
    };
    let huge = u64::MAX - 1;
    for (op, want) in [
        ("Max", [huge, 7]),
        ("Min", [3, 5]),
        ("Div", [huge / 3, 0]),
        ("Mod", [huge % 3, 5]),
    ] {
        let graph = Onnx::new()
            .typed_input("a", data_type::UINT64, &[2])
            .typed_input("b", data_type::UINT64, &[2])
            .node(op, &["a", "b"], &["y"]);
        let pass = opened(&graph);
        let pass = pass
            .pass()
            .feed_known("a", of([huge, 5]))
            .feed_known("b", of([3, 7]));
        let y = pass.read(["y"]).unwrap();
        let found: Vec<u64> = y[0].ints().unwrap().into_iter().map(|v| v as u64).collect();
        assert_eq!(found, want, "{op}");
    }
}

#[test]
fn a_softplus_has_half_a_slope_at_zero_and_a_norm_of_nothing_none() {
    let graph = Onnx::new()
        .input("x", &[3])
        .node("Softplus", &["x"], &["y"]);
    let (y, gradients) = differentiated(&graph, &[("x", &[0.0, -30.0, 100.0])]);
    close(&y, &[2_f32.ln(), (-30_f32).exp(), 100.0]);
    close(&gradients[0], &[0.5, (-30_f32).exp(), 1.0]);
    let graph = Onnx::new()
        .input("x", &[3])
        .node("ReduceL2", &["x"], &["y"]);
    let (y, gradients) = differentiated(&graph, &[("x", &[0.0; 3])]);
    close(&y, &[0.0]);
    close(&gradients[0], &[0.0; 3]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let wrong = [
        // A scale for each of 4 along an axis of 3.
        Onnx::new()
            .input("x", &[2, 3])
            .tensor(floats("s", &[4], vec![1.0; 4]))
            .node("QuantizeLinear", &["x", "s"], &["y"]),
        // A zero point of another shape.
        Onnx::new()
            .input("x", &[2, 3])
            .tensor(floats("s", &[3], vec![1.0; 3]))
            .tensor(tensor("z", data_type::INT8, &[2], vec![0; 2]))
            .node("QuantizeLinear", &["x", "s", "z"], &["y"]),
        // Blocks that do not add up.
        Onnx::new()
            .opset(21)
            .input("x", &[2, 3])
            .tensor(floats("s", &[2, 3], vec![1.0; 6]))
            .node("QuantizeLinear", &["x", "s"], &["y"])
            .int("block_size", 2),
        // A bound for each number.
        Onnx::new()
            .input("x", &[2, 3])
            .tensor(floats("s", &[3], vec![1.0; 3]))
            .node("Clip", &["x", "s"], &["y"]),
        // Shifts of floats.
        Onnx::new()
            .input("x", &[2, 3])
            .node("BitShift", &["x", "x"], &["y"])
            .text("direction", "LEFT"),
    ];
    for graph in wrong {
        let array = ndarray::ArrayD::from_elem(vec![2, 3], 1.0_f32).into_shared();
        let model = opened(&graph);
        let x = Activation::from_array(&array, &device());
        assert!(model.pass().feed("x", x).fetch(["y"]).is_err());
    }
}
