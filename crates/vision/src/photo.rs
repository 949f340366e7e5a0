//! A photograph as a network sees it.

use burn::tensor::Tensor;
use elucid_graph::{GraphError, ImageBatch};
use image::RgbImage;

use crate::opening::Remark;

/// A photograph as a network sees it.
#[derive(Debug, Clone)]
pub struct Photo {
    pub(crate) tensor: Tensor<4>,
    pub(crate) picture: RgbImage,
    pub(crate) remark: Option<Remark>,
}

impl Photo {
    /// The normalised image, `[1, C, H, W]`.
    pub fn tensor(&self) -> &Tensor<4> {
        &self.tensor
    }

    /// The same pixels before normalisation: what the network saw, for drawing over.
    pub fn picture(&self) -> &RgbImage {
        &self.picture
    }

    /// What was done to it that whoever reads a result should know: transparent pixels that the network's
    /// channels cannot hold.
    pub fn remark(&self) -> Option<&Remark> {
        self.remark.as_ref()
    }

    /// Photographs of one model as a batch, `[N, C, H, W]`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] without photographs, and for photographs of different sizes.
    pub fn stack(photos: &[Photo]) -> Result<Tensor<4>, GraphError> {
        let mismatch = |expected: String, got: Vec<usize>| GraphError::Shape {
            what: "a batch of photographs".to_owned(),
            expected,
            got,
        };
        let Some(first) = photos.first() else {
            return Err(mismatch("one photograph or more".to_owned(), vec![0]));
        };
        let shape = first.tensor.dims();
        match photos.iter().find(|photo| photo.tensor.dims() != shape) {
            Some(other) => Err(mismatch(
                format!("{shape:?} for each, as the first"),
                other.tensor.dims().to_vec(),
            )),
            None => {
                let tensors = photos.iter().map(|photo| photo.tensor.clone());
                Ok(Tensor::cat(tensors.collect(), 0))
            }
        }
    }
}

impl ImageBatch for Photo {
    fn batch(&self) -> Tensor<4> {
        self.tensor.clone()
    }
}
