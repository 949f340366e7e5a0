//! What an image is compared with.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};

use crate::blur::blurred;
use crate::error::AttributionError;
use crate::random::Random;
use crate::work::{Work, select, to_vec};

/// The image, or images, without the evidence that attributions account for.
///
/// All numbers are in the units of the network's input, that is after preprocessing. For a network
/// that subtracts the mean colour, as most do, [`zero`](Baseline::zero) is therefore an image of
/// the mean colour and not a black one.
///
/// As text, as the option `--baseline` has it: `zero`, `constant:V` or `constant:A,B,C` (one
/// number per channel), `blur:SIGMA`, `noise:LOW:HIGH`, and several of these joined by `+`.
#[derive(Debug, Clone)]
pub struct Baseline(Vec<Kind>);

#[derive(Debug, Clone)]
enum Kind {
    Constant(Vec<f32>),
    Blur(f32),
    Noise(f32, f32),
    Images(Box<Tensor<4>>),
}

impl Baseline {
    /// Zero everywhere: the mean colour, where preprocessing subtracts it.
    pub fn zero() -> Self {
        Self::constant([0.0])
    }

    /// One number for all channels, or one for each channel in the network's order.
    pub fn constant(channels: impl IntoIterator<Item = f32>) -> Self {
        Self(vec![Kind::Constant(channels.into_iter().collect())])
    }

    /// The image itself, blurred by a Gaussian of `sigma` pixels, edges replicated.
    pub fn blur(sigma: f32) -> Self {
        Self(vec![Kind::Blur(sigma)])
    }

    /// Numbers drawn evenly between `low` and `high`, from the method's seed; the same for each
    /// image of a batch.
    pub fn noise(low: f32, high: f32) -> Self {
        Self(vec![Kind::Noise(low, high)])
    }

    /// A given image `[1, C, H, W]`, or one for each image of the batch `[N, C, H, W]`.
    pub fn image(images: &Tensor<4>) -> Self {
        Self(vec![Kind::Images(Box::new(images.clone()))])
    }

    /// Several, whose attributions are averaged.
    pub fn several(baselines: impl IntoIterator<Item = Baseline>) -> Self {
        Self(baselines.into_iter().flat_map(|b| b.0).collect())
    }

    /// How many images there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether other random numbers give other images.
    pub(crate) fn is_random(&self) -> bool {
        self.0.iter().any(|kind| matches!(kind, Kind::Noise(..)))
    }

    /// Refuses what cannot be a baseline of the images.
    pub(crate) fn check(&self, work: &Work<'_>) -> Result<(), AttributionError> {
        let [count, channels, height, width] = work.images.dims();
        let refuse = |value: String, expected| {
            Err(AttributionError::Parameter {
                parameter: "baseline",
                value,
                expected,
            })
        };
        if self.0.is_empty() {
            return refuse("none".to_owned(), "one baseline or more");
        }
        for kind in &self.0 {
            match kind {
                Kind::Constant(values) => {
                    if values.len() != 1 && values.len() != channels {
                        return refuse(
                            format!("{} numbers", values.len()),
                            "one number, or one for each channel of the input",
                        );
                    }
                    if !values.iter().all(|v| v.is_finite()) {
                        return refuse(kind.to_string(), "finite numbers");
                    }
                }
                Kind::Blur(sigma) => {
                    if !(sigma.is_finite() && *sigma > 0.0) {
                        return refuse(kind.to_string(), "a blur of more than 0 pixels");
                    }
                }
                Kind::Noise(low, high) => {
                    if !(low.is_finite() && high.is_finite() && low <= high) {
                        return refuse(kind.to_string(), "noise between two ascending numbers");
                    }
                }
                Kind::Images(images) => {
                    let [n, c, h, w] = images.dims();
                    if [c, h, w] != [channels, height, width] || (n != 1 && n != count) {
                        return refuse(
                            format!("of shape {:?}", images.dims()),
                            "an image of the input's shape, or one for each image of the batch",
                        );
                    }
                    let values = to_vec(&Tensor::clone(images).without_autodiff().into())?;
                    if !values.iter().all(|v| v.is_finite()) {
                        return refuse("an image".to_owned(), "finite pixels");
                    }
                }
            }
        }
        Ok(())
    }

    /// The baselines `[1, C, H, W]` of one image of a batch.
    pub(crate) fn images(
        &self,
        work: &Work<'_>,
        image: usize,
        random: &mut Random,
    ) -> Vec<Tensor<4>> {
        let explained = work.rows(&[image]);
        let shape = explained.dims();
        let [_, channels, height, width] = shape;
        let device = explained.device();
        self.0
            .iter()
            .map(|kind| match kind {
                Kind::Constant(values) => {
                    let channel = |c: usize| values[if values.len() == 1 { 0 } else { c }];
                    let values: Vec<f32> = (0..channels)
                        .flat_map(|c| std::iter::repeat_n(channel(c), height * width))
                        .collect();
                    Tensor::from_data(TensorData::new(values, shape), &device)
                }
                Kind::Blur(sigma) => blurred(&explained, *sigma),
                Kind::Noise(low, high) => {
                    let row = random.uniform_row(channels * height * width, &device);
                    (row * (high - low) + *low).reshape(shape)
                }
                Kind::Images(images) => {
                    let images = Tensor::clone(images).without_autodiff().to_device(&device);
                    match images.dims()[0] {
                        1 => images,
                        _ => select(&images, &[image]),
                    }
                }
            })
            .collect()
    }

    /// The layer's values for the baselines of one image, each one row `[1, numbers]`.
    pub(crate) fn rows(
        &self,
        work: &Work<'_>,
        image: usize,
        random: &mut Random,
    ) -> Result<Vec<Tensor<2>>, AttributionError> {
        self.images(work, image, random)
            .into_iter()
            .map(|baseline| Ok(work.activation(baseline)?.rows()))
            .collect()
    }
}

impl Default for Baseline {
    fn default() -> Self {
        Self::zero()
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(Kind::to_string).collect();
        f.write_str(&names.join("+"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(values) if values[..] == [0.0] => f.write_str("zero"),
            Self::Constant(values) => {
                let values: Vec<String> = values.iter().map(f32::to_string).collect();
                write!(f, "constant:{}", values.join(","))
            }
            Self::Blur(sigma) => write!(f, "blur:{sigma}"),
            Self::Noise(low, high) => write!(f, "noise:{low}:{high}"),
            Self::Images(_) => f.write_str("image"),
        }
    }
}

impl FromStr for Baseline {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || AttributionError::Parameter {
            parameter: "baseline",
            value: format!("\"{text}\""),
            expected: BASELINES,
        };
        let number = |t: &str| t.trim().parse::<f32>().map_err(|_| refuse());
        // A plus sign in front of a number or of its exponent joins nothing.
        let mut parts: Vec<String> = Vec::new();
        for part in text.split('+') {
            match parts.last_mut() {
                Some(last)
                    if !part
                        .trim_start()
                        .starts_with(|c: char| c.is_ascii_alphabetic()) =>
                {
                    last.push('+');
                    last.push_str(part);
                }
                _ => parts.push(part.to_owned()),
            }
        }
        let kinds = parts
            .iter()
            .map(|part| {
                let mut fields = part.trim().split(':');
                let name = fields.next().unwrap_or_default();
                let fields: Vec<&str> = fields.collect();
                match (name, &fields[..]) {
                    ("zero", []) => Ok(Kind::Constant(vec![0.0])),
                    ("constant", [values]) => {
                        let values = values.split(',').map(number);
                        Ok(Kind::Constant(values.collect::<Result<_, _>>()?))
                    }
                    ("blur", [sigma]) => Ok(Kind::Blur(number(sigma)?)),
                    ("noise", [low, high]) => Ok(Kind::Noise(number(low)?, number(high)?)),
                    _ => Err(refuse()),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self(kinds))
    }
}

/// What a baseline may be written as.
pub(crate) const BASELINES: &str =
    "zero, constant:V, constant:A,B,C, blur:SIGMA, noise:LOW:HIGH, or several joined by +";
