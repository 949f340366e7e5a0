//! A network that paints: from a pixel's coordinates to its colour.

use burn::tensor::{Tensor, TensorData, activation};
use elucid_graph::Activation;

use super::{Canvas, Parametrisation, Sheet, called};
use crate::error::{VisError, refuse_unless};
use elucid_attribution::Random;

/// A compositional pattern-producing network: a small dense network, one for each image, maps the
/// coordinates of a pixel to its colour. What is optimised are its weights.
///
/// Coordinates run from `-sqrt(3)` to `sqrt(3)` along the longer side, pixels being square. Each
/// of 8 layers makes 24 numbers `a` and hands on the 48 numbers `atan(a) / .67` and
/// `atan(a)^2 / .6`; the last one makes three, which a sigmoid brings to 0 to 1. Weights are normal
/// with variance 1 / inputs, biases with standard deviation .1, the last weights 0 at first. A
/// smaller learning rate suits it: [`FeatureVis::cppn`](crate::FeatureVis::cppn) sets .005.
///
/// The parameters are, layer by layer, weights `[N, inputs, outputs]` and biases
/// `[N, 1, outputs]`. Memory: some 200 numbers for each pixel and layer.
///
/// Source: Mordvintsev, Pezzotti, Schubert and Olah, *Differentiable Image Parameterizations*,
/// Distill 2018, <https://distill.pub/2018/differentiable-parameterizations>; weights drawn as in
/// Lucid, without cutting off the normal distribution at two standard deviations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cppn {
    layers: usize,
    hidden: usize,
}

impl Default for Cppn {
    fn default() -> Self {
        Self {
            layers: 8,
            hidden: 24,
        }
    }
}

impl Cppn {
    /// 8 layers of 24 units.
    pub fn new() -> Self {
        Self::default()
    }

    elucid_attribution::builder_methods! {
        /// Number of layers before the last, 1 to 64, default 8.
        #[must_use]
        set layers(layers: usize) => layers;
        /// Units of each layer, 1 to 1024, default 24.
        #[must_use]
        set hidden(hidden: usize) => hidden;
    }
}

impl Parametrisation for Cppn {
    called!("cppn");

    fn canvas(&self, sheet: &Sheet) -> Result<Box<dyn Canvas>, VisError> {
        let (layers, hidden) = (self.layers, self.hidden);
        refuse_unless((1..=64).contains(&layers), "layers", layers, "1 to 64")?;
        refuse_unless((1..=1024).contains(&hidden), "units", hidden, "1 to 1024")?;
        let [h, w] = sheet.size;
        let step = 2.0 * 3_f32.sqrt() / (h.max(w) - 1).max(1) as f32;
        let centred = |i: usize, side: usize| (i as f32 - (side - 1) as f32 / 2.0) * step;
        let values: Vec<f32> = (0..h * w)
            .flat_map(|i| [centred(i % w, w), centred(i / w, h)])
            .collect();
        Ok(Box::new(CppnCanvas {
            coordinates: Tensor::from_data(TensorData::new(values, [1, h * w, 2]), &sheet.device),
            sheet: sheet.clone(),
            layers,
            hidden,
        }))
    }
}

#[derive(Debug)]
struct CppnCanvas {
    sheet: Sheet,
    layers: usize,
    hidden: usize,
    /// x and y of every pixel, `[1, H W, 2]`.
    coordinates: Tensor<3>,
}

impl CppnCanvas {
    /// Inputs and outputs of a layer; the one after all others paints.
    fn units(&self, layer: usize) -> [usize; 2] {
        [
            if layer == 0 { 2 } else { 2 * self.hidden },
            if layer == self.layers {
                self.sheet.channels
            } else {
                self.hidden
            },
        ]
    }
}

impl Canvas for CppnCanvas {
    fn start(&self, random: &mut Random) -> Vec<Activation> {
        let mut parameters = Vec::new();
        for layer in 0..=self.layers {
            let [inputs, outputs] = self.units(layer);
            let sd = match layer == self.layers {
                true => 0.0,
                false => (inputs as f32).sqrt().recip(),
            };
            let weights = random.normals(sd, [1, inputs, outputs], &self.sheet.device);
            let biases = random.normals(0.1, [1, 1, outputs], &self.sheet.device);
            parameters.extend([Activation::from(weights), Activation::from(biases)]);
        }
        parameters
    }

    fn picture(&self, parameters: &[Activation]) -> Result<Tensor<4>, VisError> {
        let expected = 2 * (self.layers + 1);
        if parameters.len() != expected {
            return Err(VisError::Shape {
                what: "the parameters of a CPPN",
                expected: vec![expected],
                got: vec![parameters.len()],
            });
        }
        let count = parameters[0].shape().first().copied().unwrap_or(1);
        let mut x = self.coordinates.clone().repeat_dim(0, count);
        for (layer, pair) in parameters.chunks_exact(2).enumerate() {
            let [inputs, outputs] = self.units(layer);
            for (parameter, rows) in pair.iter().zip([inputs, 1]) {
                let (expected, got) = (vec![count, rows, outputs], parameter.shape());
                if got != expected {
                    return Err(VisError::Shape {
                        what: "a parameter of a CPPN",
                        expected,
                        got,
                    });
                }
            }
            x = x.matmul(pair[0].tensor::<3>()?) + pair[1].tensor::<3>()?;
            if layer < self.layers {
                let a = x.atan();
                x = Tensor::cat(vec![a.clone() / 0.67, a.square() / 0.6], 2);
            }
        }
        let [h, w] = self.sheet.size;
        let planes = activation::sigmoid(x).swap_dims(1, 2);
        Ok(planes.reshape([count, self.sheet.channels, h, w]))
    }
}
