//! What several of the tests start from.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::LazyLock;

use burn::tensor::Tensor;
use elucid_attribution::{METHODS, Method, MethodOptions, Place};
use elucid_models::photographs;
use elucid_testkit::{device, tensor};
use elucid_vision::Model;

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
