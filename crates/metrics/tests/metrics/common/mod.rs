//! What the tests share.

use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Tensor, TensorData, activation};
use elucid_attribution::{
    AttributionError, ClassRef, Feeds, LayerWeights, Network, ReplaceWeights,
};
use elucid_graph::Activation;
use elucid_metrics::{Case, Metric, NotApplicable, Outcome};
use elucid_rules::Rules;
use ndarray::{Array2, ArrayView2};

pub use elucid_testkit::{assets, device, numbers, tensor};

/// Two classes: the sum of all pixels, and zero.
pub fn sum_network(images: Tensor<4>) -> Tensor<2> {
    let count = images.dims()[0];
    let sums = images.reshape([count as i32, -1]).sum_dim(1);
    Tensor::cat(vec![sums.clone(), sums.zeros_like()], 1)
}

pub fn noise_image(channels: usize, height: usize, width: usize, state: u32) -> Tensor<4> {
    let values = numbers(channels * height * width, state.max(1));
    tensor(values, [1, channels, height, width])
}

/// A map for [`noise_image`] of the same state, of other numbers.
pub fn noise_map(height: usize, width: usize, state: u32) -> Array2<f32> {
    let values = numbers(height * width, state ^ 0x5555 | 1);
    Array2::from_shape_vec((height, width), values).unwrap()
}

/// Measures a map where only the map and the boxes matter.
pub fn of_map(metric: &dyn Metric, map: &Array2<f32>, boxes: &[[f32; 4]]) -> Outcome {
    let (h, w) = map.dim();
    let image = noise_image(1, h, w, 7);
    let case = Case::new(&sum_network, &image, 0, map.view())
        .unwrap()
        .boxes(boxes)
        .unwrap();
    metric.measure(&case).unwrap()
}

pub fn value(outcome: Outcome) -> f64 {
    match outcome {
        Outcome::Value(value) => value,
        Outcome::NotApplicable(reason) => panic!("not applicable: {reason}"),
    }
}

pub fn reason(outcome: Outcome) -> NotApplicable {
    match outcome {
        Outcome::Value(value) => panic!("a value: {value}"),
        Outcome::NotApplicable(reason) => reason,
    }
}

/// Turned by half a circle and with the smallest values where the largest were.
pub fn reversed(map: ArrayView2<'_, f32>) -> Array2<f32> {
    map.mapv(|v| -v)
}

/// What a [`TwoLayers`] was asked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// The images that it, and those of other weights, have seen, each once.
    pub images: Vec<Vec<f32>>,
    /// The weights that replaced its own, those of both layers one after the other.
    pub weights: Vec<Vec<f32>>,
}

/// Two dense layers with a ReLU in between, whose weights can be replaced.
#[derive(Debug, Clone)]
pub struct TwoLayers {
    weights: [Array2<f32>; 2],
    pub asked: Arc<Mutex<Asked>>,
}

impl TwoLayers {
    pub fn new(first: Array2<f32>, second: Array2<f32>) -> Self {
        Self {
            weights: [first, second],
            asked: Arc::default(),
        }
    }

    fn scores(&self, images: Tensor<4>) -> Tensor<2> {
        let pixels: Vec<f32> = images.clone().into_data().iter::<f32>().collect();
        let mut asked = self.asked.lock().unwrap();
        for image in pixels.chunks(pixels.len() / images.dims()[0]) {
            if !asked.images.iter().any(|known| known == image) {
                asked.images.push(image.to_vec());
            }
        }
        let device = images.device();
        let [first, second] = self.weights.each_ref().map(|weights| {
            let values: Vec<f32> = weights.iter().copied().collect();
            let (rows, columns) = weights.dim();
            Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device)
        });
        let images: Tensor<2> = images.flatten(1, 3);
        activation::relu(images.matmul(first)).matmul(second)
    }
}

impl Network for TwoLayers {
    fn device(&self) -> Option<&Device> {
        None
    }

    fn layer(&self, name: &str) -> Result<String, AttributionError> {
        Network::layer(&|images| self.scores(images), name)
    }

    fn class(&self, class: &ClassRef) -> Result<usize, AttributionError> {
        Network::class(&|images| self.scores(images), class)
    }

    fn run(
        &self,
        feeds: Feeds<'_>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<Activation, AttributionError> {
        Network::run(&|images| self.scores(images), feeds, fetch, rules)
    }

    fn layer_weights(&self) -> Result<Option<Vec<LayerWeights>>, AttributionError> {
        let layers = ["second", "first"].map(|name| LayerWeights {
            layer: name.to_owned(),
            weights: vec![name.to_owned()],
        });
        Ok(Some(layers.into()))
    }

    fn with_weights(
        &self,
        replace: &mut ReplaceWeights<'_>,
    ) -> Result<Option<Box<dyn Network>>, AttributionError> {
        let mut other = self.clone();
        for (weights, name) in other.weights.iter_mut().zip(["first", "second"]) {
            if let Some(new) = replace(name, weights.view().into_dyn()) {
                *weights = new.into_dimensionality().unwrap();
            }
        }
        let weights = other.weights.iter().flatten().copied().collect();
        self.asked.lock().unwrap().weights.push(weights);
        Ok(Some(Box::new(other)))
    }
}
