//! What an optimisation found.

use ndarray::{Array3, Array4, ArrayView3, Axis};

use crate::error::VisError;

/// Pictures that were optimised, and how.
#[derive(Debug, Clone)]
pub struct Visualisation {
    pub(crate) images: Array4<f32>,
    /// The channels that are seen as red, green and blue.
    pub(crate) shown: [usize; 3],
    pub(crate) kept: Vec<Kept>,
    pub(crate) values: Vec<Vec<f32>>,
    pub(crate) steps: Vec<usize>,
    pub(crate) seed: u64,
    pub(crate) seeds: Vec<u64>,
    pub(crate) layers: Vec<String>,
    pub(crate) objectives: Vec<String>,
    pub(crate) parametrisation: String,
    pub(crate) transforms: String,
    pub(crate) network_size: Option<[usize; 2]>,
}

/// The pictures after some steps.
#[derive(Debug, Clone)]
pub struct Kept {
    /// How many steps. An image that settled earlier is as it was then.
    pub step: usize,
    /// The pictures, `[N, C, H, W]`, in 0 to 1.
    pub images: Array4<f32>,
}

impl Visualisation {
    /// The pictures at the end, `[N, C, H, W]` in 0 to 1: as many channels as the network takes, three of
    /// them red, green and blue.
    pub fn images(&self) -> &Array4<f32> {
        &self.images
    }

    /// Picture `index`, `[C, H, W]`; `None` when there are not that many.
    pub fn image(&self, index: usize) -> Option<ArrayView3<'_, f32>> {
        let exists = index < self.len();
        exists.then(|| self.images.index_axis(Axis(0), index))
    }

    /// Picture `index` as bytes, red, green and blue, `[H, W, 3]`; `None` when there are not that many.
    /// Of a network that takes other than three channels, those are seen that its
    /// [`InputSpec::drawn`](elucid_vision::InputSpec::drawn) says: one channel is grey.
    pub fn bytes(&self, index: usize) -> Option<Array3<u8>> {
        let image = self.image(index)?;
        let last = image.select(Axis(0), &self.shown);
        let last = last.permuted_axes([1, 2, 0]);
        Some(last.map(|v| (v * 255.0).round() as u8))
    }

    /// Each picture as [`bytes`](Self::bytes).
    pub fn all_bytes(&self) -> impl Iterator<Item = Array3<u8>> {
        (0..self.len()).filter_map(|index| self.bytes(index))
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.images.len_of(Axis(0))
    }

    /// Whether there are none, which does not happen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pictures on the way that were asked for, in order of steps.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// What the objectives were worth at the beginning of each step, as the transforms of that step
    /// showed the picture: one series for each objective.
    pub fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// How many steps each series took.
    pub fn steps(&self) -> &[usize] {
        &self.steps
    }

    /// The seed of the transforms.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The seed that each picture began with.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// Full names of the layers that the objectives read.
    pub fn layers(&self) -> &[String] {
        &self.layers
    }

    /// The objectives in words.
    pub fn objectives(&self) -> &[String] {
        &self.objectives
    }

    /// Name of the parametrisation.
    pub fn parametrisation(&self) -> &str {
        &self.parametrisation
    }

    /// The transforms in words.
    pub fn transforms(&self) -> &str {
        &self.transforms
    }

    /// The size to which pictures were resized for the network, where it does not take theirs.
    pub fn network_size(&self) -> Option<[usize; 2]> {
        self.network_size
    }
}

/// Joins the pictures of batches.
pub(crate) fn join(parts: &[Array4<f32>]) -> Result<Array4<f32>, VisError> {
    let views: Vec<_> = parts.iter().map(Array4::view).collect();
    ndarray::concatenate(Axis(0), &views).map_err(|_| VisError::Shape {
        what: "the pictures of a batch",
        expected: parts.first().map_or(Vec::new(), |p| p.shape().to_vec()),
        got: parts.last().map_or(Vec::new(), |p| p.shape().to_vec()),
    })
}
