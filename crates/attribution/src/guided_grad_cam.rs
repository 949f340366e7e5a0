//! Guided Grad-CAM: guided backpropagation where Grad-CAM looks.
//!
//! `attr[c, y, x] = guided[c, y, x] up(relu(cam))[y, x]`: guided backpropagation at the input,
//! `[N, C, H, W]`, times the positive part of the Grad-CAM map of another layer, the last
//! convolutional features unless one is named, at the images' size. The Grad-CAM is that of the true
//! gradient. An image whose map is blank gets zeros, and a remark says so.
//!
//! Source: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
//! Localization*, ICCV 2017, <https://arxiv.org/abs/1610.02391>. The paper upsamples bilinearly,
//! which is the default here; Captum's `GuidedGradCam` takes the nearest neighbour by default
//! ([`GuidedGradCam::nearest`]). Both take the ReLU before they upsample. pytorch-grad-cam's example
//! multiplies by a map that was stretched to 0..1.
//!
//! What [`GuidedBackprop`](crate::GuidedBackprop) says about ReLU holds here, too.
//!
//! Memory: the activations of `batch_size` images between the input and the target.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, INPUT};
use elucid_rules::Rules;
use ndarray::{Array2, ArrayView2, ArrayView3, Axis, Ix4};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, setup_builders};
use crate::cam;
use crate::error::AttributionError;
use crate::guided_backprop;
use crate::layer_map::Takes;
use crate::methods::Method;
use crate::network::FEATURES;
use crate::options::{Configurable, words};
use crate::rectified::Rectified;
use crate::saliency::{Reduce, resize};
use crate::work::Context;

words! {
    /// How a map gets the size of the images.
    pub enum Upsampling: "interpolation", UPSAMPLINGS = "bilinear or nearest", default Bilinear {
        /// Bilinear, edges aligned: the paper's.
        Bilinear = "bilinear",
        /// The nearest neighbour: Captum's.
        Nearest = "nearest",
    }
}

impl Upsampling {
    fn apply(self, map: ArrayView2<'_, f32>, [height, width]: [usize; 2]) -> Array2<f32> {
        match self {
            Self::Bilinear => resize(map, height, width),
            Self::Nearest => {
                let (h, w) = map.dim();
                Array2::from_shape_fn((height, width), |(y, x)| {
                    map[[y * h / height, x * w / width]]
                })
            }
        }
    }
}

/// Guided Grad-CAM: guided backpropagation times the positive part of Grad-CAM.
#[derive(Debug, Clone)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct GuidedGradCam {
    pub(crate) setup: Setup,
    cam_layer: String,
    upsampling: Upsampling,
}

impl GuidedGradCam {
    /// At the input, with the Grad-CAM of a layer of shape `[N, C, H, W]`.
    pub fn with_cam_at(layer: &str) -> Self {
        Self {
            setup: Setup::at(INPUT),
            cam_layer: layer.to_owned(),
            upsampling: Upsampling::default(),
        }
    }

    /// At the input, with the Grad-CAM of the last convolutional features, [`FEATURES`].
    pub fn with_cam_at_features() -> Self {
        Self::with_cam_at(FEATURES)
    }

    /// Upsamples to the nearest neighbour, as Captum does.
    pub fn nearest(self) -> Self {
        self.upsampling(Upsampling::Nearest)
    }

    setup_builders!(batch_size, progress);
}

crate::options!(GuidedGradCam {
    {
        "cam-layer", "the layer of the Grad-CAM", "a layer",
        |method, _| Some(method.cam_layer.clone()),
        |method, text| {
            text.clone_into(&mut method.cam_layer);
            Some(())
        }
    }
    {
        /// How the Grad-CAM map is upsampled; bilinearly by default.
        upsampling: Upsampling as "interpolation", "how the Grad-CAM gets the size of the images; bilinear in the paper, nearest in Captum",
        UPSAMPLINGS
    }
});

impl GuidedGradCam {
    /// The positive part of each Grad-CAM map at the images' size, `[rows, 1, H, W]`; `blank` gets the images that have
    /// none.
    fn maps(
        &self,
        work: &Context<'_>,
        rows: &[usize],
        blank: &mut Vec<usize>,
    ) -> Result<Tensor<4>, AttributionError> {
        let at = work.activation_of(rows)?;
        let x = cam::spatial(work, &at)?;
        let found = work.gradients(rows, at)?;
        let g = cam::spatial(work, &found.gradient)?;
        let values = Activation::from(cam::grad_cam(x, g)).to_array()?;
        let values = values.view().into_dimensionality::<Ix4>().map_err(|_| {
            AttributionError::NotSpatial {
                layer: work.layer.clone(),
                shape: values.shape().to_vec(),
            }
        })?;
        let [height, width] = work.size();
        let mut maps = Vec::with_capacity(rows.len() * height * width);
        for (image, &row) in values.axis_iter(Axis(0)).zip(rows) {
            let image: ArrayView3<'_, f32> = image;
            let map = Reduce::Positive.apply(image);
            if map.iter().all(|&v| v == 0.0) {
                blank.push(row);
            }
            maps.extend(self.upsampling.apply(map.view(), work.size()));
        }
        let maps = TensorData::new(maps, [rows.len(), 1, height, width]);
        Ok(Tensor::from_data(maps, &work.device()))
    }
}

const RECTIFIED: Rectified = Rectified {
    title: METHOD.title,
    ..guided_backprop::RECTIFIED
};

impl Attributor for GuidedGradCam {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let guided = RECTIFIED.work(work)?;
        let cam = guided.at(&self.cam_layer, &Rules::new(), Takes::Map)?;
        let mut blank = Vec::new();
        let (values, scores) = guided.each_batch(|rows, at| {
            let found = guided.gradients(rows, at)?;
            let product = found.gradient.tensor::<4>()? * self.maps(&cam, rows, &mut blank)?;
            Ok((product.into(), found.scores))
        })?;
        let evaluations = vec![2; scores.len()];
        let remarks = blank.iter().map(|image| {
            let layer = cam.layer();
            format!("image {image}: Grad-CAM at \"{layer}\" is nowhere above 0, so that the product is 0")
        });
        Ok(
            Attribution::new(self, &guided, values, scores, Reduce::MaxAbs)?
                .with_evaluations(evaluations)
                .with_rule_uses(RECTIFIED.kept(&guided)?)
                .with_remarks(remarks),
        )
    }
}

pub(crate) const METHOD: Method = Method::new(
    "guided-grad-cam",
    "Guided Grad-CAM",
    "Selvaraju et al. 2017",
    |options| options.apply(GuidedGradCam::with_cam_at_features()),
)
.needs_model()
.options(GuidedGradCam::OPTIONS);
