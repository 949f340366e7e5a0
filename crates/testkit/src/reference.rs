//! Where the reference models, photographs and arrays are.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};

/// The folder named by `ELUCID_ASSETS`, else `../shared` beside the workspace; says so and gives
/// `None` when there is none.
pub fn assets() -> Option<PathBuf> {
    let folder = std::env::var_os("ELUCID_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    if folder.join("models").is_dir() {
        return Some(folder);
    }
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: no reference files in {} (set ELUCID_ASSETS to their folder)",
        folder.display()
    );
    None
}

pub fn device() -> Device {
    Device::flex()
}

/// A `[1, C, H, W]` tensor from values in that order.
pub fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// `|a - b|` at its largest, relative to the largest `|b|`.
pub fn relative_error<'a>(
    got: impl IntoIterator<Item = &'a f32>,
    want: impl IntoIterator<Item = &'a f32>,
) -> f32 {
    let (mut worst, mut largest) = (0_f32, 0_f32);
    for (g, w) in got.into_iter().zip(want) {
        assert!(g.is_finite(), "a value is {g}");
        worst = worst.max((g - w).abs());
        largest = largest.max(w.abs());
    }
    worst / largest.max(f32::MIN_POSITIVE)
}

/// Shape and values of a little-endian `f32` array in NumPy's format.
pub fn read_npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let array: ndarray::ArrayD<f32> =
        ndarray_npy::read_npy(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (array.shape().to_vec(), array.into_iter().collect())
}

/// Numbers in `-1..1` without a pattern, the same for a `state` every time (xorshift).
pub fn numbers(count: usize, mut state: u32) -> Vec<f32> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// GoogLeNet and the cat that its reference arrays were computed of.
pub struct Chelsea {
    /// The network's file.
    pub network: PathBuf,
    /// The photograph as the network's input, `[1, 3, 224, 224]`.
    pub input: Tensor<4>,
    /// The folder of the arrays.
    pub folder: PathBuf,
    /// The folder of photographs.
    pub images: PathBuf,
}

impl Chelsea {
    /// Says so and gives `None` when they are not there.
    pub fn find() -> Option<Self> {
        let assets = assets()?;
        let folder = assets.join("reference/googlenet/chelsea");
        let (_, values) = read_npy(&folder.join("input.npy"));
        Some(Self {
            network: assets.join("models/googlenet.onnx"),
            input: tensor(values, [1, 3, 224, 224]),
            folder,
            images: assets.join("images"),
        })
    }
}
