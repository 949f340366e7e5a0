use ndarray::Array3;

/// What [`MeaningfulPerturbation`](crate::MeaningfulPerturbation) found for each image.
#[derive(Debug, Clone)]
pub struct MeaningfulMasks {
    pub(super) masks: Array3<f32>,
    pub(super) losses: Vec<Vec<f32>>,
    pub(super) evaluations: Vec<usize>,
}

impl MeaningfulMasks {
    /// The masks, `[N, H, W]`: 1 for what matters, hidden or kept as the variant says.
    pub fn masks(&self) -> &Array3<f32> {
        &self.masks
    }

    /// What was minimised, at each iteration of each image.
    pub fn losses(&self) -> &[Vec<f32>] {
        &self.losses
    }

    /// How many iterations each mask took.
    pub fn iterations(&self) -> Vec<usize> {
        self.losses.iter().map(Vec::len).collect()
    }
}
