//! What pixels become when they are taken away.

use crate::case::Case;
use crate::error::MetricError;
use crate::options::words;
use elucid_attribution::Random;

words! {
    /// What pixels become when they are taken away.
    pub enum Hidden: "baseline", HIDDEN = "zero, black, white, mean, blur or noise" {
        /// Zeros of the prepared image, mostly the mean colour.
        Zero = "zero",
        /// Black pixels, as the model's preparation makes the network see them.
        Black = "black",
        /// White pixels, as the model's preparation makes the network see them.
        White = "white",
        /// The mean of the image, in each channel.
        Mean = "mean",
        /// The image itself under RISE's blur.
        Blur = "blur",
        /// Pixels drawn evenly between black and white.
        Noise = "noise",
    }
}

impl Hidden {
    /// The image `[C, H, W]` of a case without any of its pixels; noise is the same for every image.
    pub(crate) fn pixels(self, case: &Case<'_>) -> Result<Vec<f32>, MetricError> {
        let [height, width] = case.size();
        let plane = height * width;
        let flat = |values: Vec<f32>| -> Vec<f32> {
            let values = values.into_iter();
            values.flat_map(|v| std::iter::repeat_n(v, plane)).collect()
        };
        let spec = || {
            let spec = case.network.input_spec();
            spec.ok_or_else(|| MetricError::OptionValue {
                option: "baseline".to_owned(),
                value: self.to_string(),
                expected: "zero, mean or blur: the network does not say what pixels become"
                    .to_owned(),
            })
        };
        Ok(match self {
            Self::Zero => vec![0.0; case.pixels.len()],
            Self::Black => flat(spec()?.of_grey(0.0)),
            Self::White => flat(spec()?.of_grey(1.0)),
            Self::Mean => flat(means(&case.pixels, plane)),
            Self::Blur => crate::insertion_deletion::blurred(&case.pixels, height, width),
            Self::Noise => {
                let [low, high] = spec()?.range();
                let mut random = Random::new(0);
                let ends = low.into_iter().zip(high);
                let channels = ends.map(|(low, high)| {
                    let pixel = |_| low + (high - low) * random.uniform();
                    (0..plane).map(pixel).collect::<Vec<f32>>()
                });
                channels.flatten().collect()
            }
        })
    }
}

/// The mean of each channel.
fn means(pixels: &[f32], plane: usize) -> Vec<f32> {
    let mean = |channel: &[f32]| {
        let sum: f64 = channel.iter().map(|&v| f64::from(v)).sum();
        (sum / plane as f64) as f32
    };
    pixels.chunks(plane).map(mean).collect()
}
