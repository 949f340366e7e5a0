//! What several of the tests start from.

use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::LazyLock;

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, METHODS, Method, MethodOptions, Network, Place, Target,
};
use elucid_models::photographs;
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, numbers, tensor};
use elucid_vision::Model;
use ndarray::{Array2, ArrayView2};

/// The SqueezeNet that the program carries.
pub static SQUEEZENET: LazyLock<Model> =
    LazyLock::new(|| Model::find("squeezenet", &device(), None).unwrap());

/// A cat, as [`SQUEEZENET`] takes it.
pub static CAT: LazyLock<Tensor<4>> = LazyLock::new(|| {
    let picture = elucid_vision::input::decode_image(photographs::chelsea()).unwrap();
    SQUEEZENET.prepare(&picture).unwrap().tensor().clone()
});

/// The GoogLeNet of the reference, with its picture and its arrays.
pub struct Chelsea {
    pub model: Model,
    pub input: Tensor<4>,
    pub folder: PathBuf,
}

impl Chelsea {
    /// `None` without the reference files, which is said.
    pub fn open() -> Option<Self> {
        let reference = elucid_testkit::Chelsea::find()?;
        Some(Self {
            model: Model::open(&reference.network, &device()).unwrap(),
            input: reference.input,
            folder: reference.folder,
        })
    }
}

/// The methods that do not look at attention, and so are tried on networks that have none: those that do are
/// among the tests of attention.
pub fn without_attention() -> impl Iterator<Item = &'static Method> {
    let methods = METHODS.iter().copied();
    methods.filter(|method| method.place != Place::Tokens)
}

/// Options of methods that take the less time the smaller they are, with values that take little.
pub const SMALL: &[(&str, &str)] = &[
    ("steps", "2"),
    ("samples", "2"),
    ("cells", "2"),
    ("segments", "grid:2"),
    ("permutations", "1"),
    ("design", "1"),
    ("iterations", "2"),
    ("channels", "4"),
];

/// The error of a method built with a value of an option, in words.
pub fn refused_option(method: &str, option: &str, value: &str) -> String {
    let options = MethodOptions::new().set(option, value);
    let built = Method::find(method).unwrap().build(&options);
    built.unwrap_err().to_string()
}

/// A picture `[1, 1, side, side]` of zeros, and ones where `rows` meet `columns`.
pub fn rectangle(side: usize, rows: Range<usize>, columns: Range<usize>) -> Tensor<4> {
    let is_inside = |i: usize| rows.contains(&(i / side)) && columns.contains(&(i % side));
    let values = (0..side * side).map(|i| f32::from(u8::from(is_inside(i))));
    tensor(values.collect(), [1, 1, side, side])
}

/// Images `[count, 3, height, width]` of numbers from -2 to 2.
pub fn noise(count: usize, height: usize, width: usize) -> Tensor<4> {
    let values = numbers(count * 3 * height * width, 0x9E37_79B9);
    tensor(values, [count, 3, height, width]) * 2.0
}

/// A convolution with a ReLU, `relu`, a global average pool and a dense layer of these weights `[classes, 4]` and
/// biases, if there are any, on images of 7 x 5: the network of the CAM paper, of which CAM is known by hand.
pub fn pooled_network(dense: &[f32], bias: Option<[f32; 3]>) -> Model {
    let classes = dense.len() as i64 / 4;
    let onnx = Onnx::image([-1, 3, 7, 5])
        .weight("w", &[4, 3, 3, 3])
        .node("Conv", &["x", "w"], &["conv"])
        .node("Relu", &["conv"], &["relu"])
        .node("GlobalAveragePool", &["relu"], &["pool"])
        .node("Flatten", &["pool"], &["flat"])
        .tensor(floats("dense", &[classes, 4], dense.to_vec()));
    let onnx = match bias {
        Some(bias) => onnx.tensor(floats("bias", &[3], bias.to_vec())).node(
            "Gemm",
            &["flat", "dense", "bias"],
            &["y"],
        ),
        None => onnx.node("Gemm", &["flat", "dense"], &["y"]),
    };
    Model::from_bytes(onnx.int("transB", 1).bytes(), &device(), None).unwrap()
}

/// Work was stopped after so many of its steps.
#[track_caller]
pub fn is_cancelled<T: Debug>(got: Result<T, AttributionError>, steps: usize, of: usize) {
    match got {
        Err(AttributionError::Cancelled { done, total }) => assert_eq!((done, total), (steps, of)),
        other => panic!("{other:?}"),
    }
}

/// Each method is refused for the parameter that stands before it.
#[track_caller]
pub fn refuses_parameters(
    bad: Vec<(&str, Box<dyn Attributor>)>,
    network: &dyn Network,
    images: &Tensor<4>,
) {
    for (name, method) in bad {
        match method.attribute(network, images, Target::class(0)) {
            Err(AttributionError::Parameter { parameter, .. }) => assert_eq!(parameter, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A map enlarged bilinearly, edges aligned: each new pixel's centre lies somewhere among the old ones; beyond the
/// outermost it is theirs.
pub fn naive_resize(map: ArrayView2<'_, f32>, height: usize, width: usize) -> Array2<f32> {
    let (h, w) = map.dim();
    let weight = |to: usize, size_to: usize, from: usize, size_from: usize| {
        let centre = (to as f64 + 0.5) * size_from as f64 / size_to as f64 - 0.5;
        let centre = centre.clamp(0.0, size_from as f64 - 1.0);
        (1.0 - (centre - from as f64).abs()).max(0.0)
    };
    Array2::from_shape_fn((height, width), |(y, x)| {
        let mut sum = 0.0;
        for (i, j) in ndarray::indices((h, w)) {
            let weight = weight(y, height, i, h) * weight(x, width, j, w);
            sum += weight * f64::from(map[[i, j]]);
        }
        sum as f32
    })
}

/// A mask moved along both axes, by another distance for each number, around the edges.
pub fn moved(mask: &Array2<f32>, number: usize) -> Array2<f32> {
    let (height, width) = mask.dim();
    let (down, across) = (number * 83 % height, number * 131 % width);
    Array2::from_shape_fn((height, width), |(y, x)| {
        mask[[(y + down) % height, (x + across) % width]]
    })
}
