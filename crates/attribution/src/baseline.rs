//! What an image is compared with.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use elucid_vision::InputSpec;

use crate::blur::blurred;
use crate::error::AttributionError;
use crate::random::Random;
use crate::scaled::length;
use crate::work::{Context, select, to_vec};

/// The image, or images, without the evidence that attributions account for.
///
/// All numbers are in the units of the network's input, that is after preprocessing. For a network
/// that subtracts the mean colour, as most do, [`zero`](Baseline::zero) is therefore an image of
/// the mean colour and not a black one.
///
/// What is said of pixels, [`black`](Baseline::black), [`white`](Baseline::white) or any
/// [`grey`](Baseline::grey), goes through the preparation of the model's pictures first.
///
/// As text, as the option `--baseline` has it: `zero`, `black`, `white`, `mean` (of the image, channel by
/// channel), `constant:V` or `constant:A,B,C` (one number per channel), `blur` or `blur:SIGMA`, `noise`
/// (between black and white) or `noise:LOW:HIGH`, and several of these joined by `+`.
#[derive(Debug, Clone)]
pub struct Baseline(Vec<Kind>);

#[derive(Debug, Clone)]
enum Kind {
    Constant(Vec<f32>),
    /// Pixels of one grey, from 0 for black to 1 for white.
    Grey(f32),
    /// The mean of each channel.
    Mean,
    /// The usual blur, unless it is stated.
    Blur(Option<f32>),
    /// Between black and white, unless it is stated.
    Noise(Option<(f32, f32)>),
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

    /// Black pixels: `(0 - mean) / std` behind the usual preparation.
    pub fn black() -> Self {
        Self::grey(0.0)
    }

    /// White pixels.
    pub fn white() -> Self {
        Self::grey(1.0)
    }

    /// Pixels of one grey, from 0 for black to 1 for white, as the model's preparation of pictures makes
    /// the network see them.
    pub fn grey(grey: f32) -> Self {
        Self(vec![Kind::Grey(grey)])
    }

    /// The mean of the image, in each channel.
    pub fn mean() -> Self {
        Self(vec![Kind::Mean])
    }

    /// The image itself, blurred by a Gaussian of `sigma` pixels, edges replicated.
    pub fn blur(sigma: f32) -> Self {
        Self(vec![Kind::Blur(Some(sigma))])
    }

    /// The same by 10 pixels, and less, in proportion, where the shorter side has fewer than 128.
    pub fn usual_blur() -> Self {
        Self(vec![Kind::Blur(None)])
    }

    /// Numbers drawn evenly between `low` and `high`, from the method's seed; the same for each
    /// image of a batch.
    pub fn noise(low: f32, high: f32) -> Self {
        Self(vec![Kind::Noise(Some((low, high)))])
    }

    /// The same between what black and white become, in each channel.
    pub fn pixel_noise() -> Self {
        Self(vec![Kind::Noise(None)])
    }

    /// A given image `[1, C, H, W]`, or one for each image of the batch `[N, C, H, W]`.
    pub fn image(images: &Tensor<4>) -> Self {
        Self(vec![Kind::Images(Box::new(images.clone()))])
    }

    /// Several, whose attributions are averaged.
    pub fn several(baselines: impl IntoIterator<Item = Baseline>) -> Self {
        Self(baselines.into_iter().flat_map(|b| b.0).collect())
    }

    /// What hides pixels, in words, for pictures that are prepared as `spec` says: `black pixels, which
    /// are (-2.118, -2.036, -1.804) behind the preparation`.
    pub fn in_words(&self, spec: &InputSpec) -> String {
        let kinds: Vec<String> = self.0.iter().map(|kind| kind.in_words(spec)).collect();
        kinds.join(", and ")
    }

    /// How many images there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether other random numbers give other images.
    pub(crate) fn is_random(&self) -> bool {
        self.0.iter().any(|kind| matches!(kind, Kind::Noise(_)))
    }

    /// Refuses what cannot be a baseline of the images.
    pub(crate) fn check(&self, work: &Context<'_>) -> Result<(), AttributionError> {
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
                Kind::Grey(_) | Kind::Noise(None) if spec_of(work).is_none() => {
                    return refuse(
                        kind.to_string(),
                        "zero, constant, mean or blur: the network does not say what pixels \
                         become",
                    );
                }
                Kind::Grey(grey) => {
                    if !(0.0..=1.0).contains(grey) {
                        return refuse(kind.to_string(), "a grey from 0 to 1");
                    }
                }
                Kind::Mean | Kind::Blur(None) | Kind::Noise(None) => {}
                Kind::Blur(Some(sigma)) => {
                    if !(sigma.is_finite() && *sigma > 0.0) {
                        return refuse(kind.to_string(), "a blur of more than 0 pixels");
                    }
                }
                Kind::Noise(Some((low, high))) => {
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
        work: &Context<'_>,
        image: usize,
        random: &mut Random,
    ) -> Vec<Tensor<4>> {
        let explained = work.rows(&[image]);
        let shape = explained.dims();
        let [_, channels, height, width] = shape;
        let device = explained.device();
        let flat = |values: &[f32]| {
            let channel = |c: usize| values[if values.len() == 1 { 0 } else { c }];
            let values: Vec<f32> = (0..channels)
                .flat_map(|c| std::iter::repeat_n(channel(c), height * width))
                .collect();
            Tensor::from_data(TensorData::new(values, shape), &device)
        };
        self.0
            .iter()
            .map(|kind| match kind {
                Kind::Constant(values) => flat(values),
                Kind::Grey(grey) => match spec_of(work) {
                    Some(spec) => flat(&spec.of_grey(*grey)),
                    // Refused before.
                    None => explained.zeros_like(),
                },
                Kind::Mean => explained.clone().mean_dims(&[2, 3]).expand(shape),
                Kind::Blur(sigma) => {
                    let usual = length(USUAL_BLUR, [height, width]);
                    blurred(&explained, sigma.unwrap_or(usual))
                }
                Kind::Noise(ends) => {
                    let row = random.uniform_row(channels * height * width, &device);
                    match (ends, spec_of(work)) {
                        (Some((low, high)), _) => (row * (high - low) + *low).reshape(shape),
                        (None, Some(spec)) => {
                            let [low, high] = spec.range().map(|end| flat(&end));
                            row.reshape(shape) * (high - low.clone()) + low
                        }
                        // Refused before.
                        (None, None) => row.reshape(shape),
                    }
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
        work: &Context<'_>,
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

impl Kind {
    fn in_words(&self, spec: &InputSpec) -> String {
        let numbers = |values: &[f32]| {
            let values: Vec<String> = values.iter().map(|v| format!("{v:.3}")).collect();
            format!("({})", values.join(", "))
        };
        let behind = |grey: f32| {
            let values = numbers(&spec.of_grey(grey));
            format!("pixels, which are {values} behind the preparation")
        };
        match self {
            Self::Constant(values) => {
                let all: Vec<f32> = match values[..] {
                    [one] => vec![one; spec.channels()],
                    _ => values.clone(),
                };
                let pixel = all.iter().zip(spec.std()).zip(spec.mean());
                let pixel = pixel.map(|((v, std), mean)| (v * std + mean) / spec.scale());
                let pixel: Vec<String> = pixel.map(|v| format!("{v:.0}")).collect();
                format!(
                    "{} behind the preparation, which are pixels of ({}) out of {}",
                    numbers(&all),
                    pixel.join(", "),
                    spec.white()
                )
            }
            Self::Grey(0.0) => format!("black {}", behind(0.0)),
            Self::Grey(1.0) => format!("white {}", behind(1.0)),
            Self::Grey(grey) => format!("grey {}", behind(*grey)),
            Self::Mean => "the mean of the picture in each channel".to_owned(),
            Self::Blur(sigma) => {
                let usual = length(USUAL_BLUR, spec.size());
                let sigma = sigma.unwrap_or(usual);
                format!("the picture itself, blurred by a Gaussian of {sigma} pixels")
            }
            Self::Noise(None) => "random pixels between black and white".to_owned(),
            Self::Noise(Some((low, high))) => {
                format!("random numbers from {low} to {high} behind the preparation")
            }
            Self::Images(_) => "pictures that were given".to_owned(),
        }
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
            Self::Grey(0.0) => f.write_str("black"),
            Self::Grey(1.0) => f.write_str("white"),
            Self::Grey(grey) => write!(f, "grey:{grey}"),
            Self::Mean => f.write_str("mean"),
            Self::Blur(None) => f.write_str("blur"),
            Self::Blur(Some(sigma)) => write!(f, "blur:{sigma}"),
            Self::Noise(None) => f.write_str("noise"),
            Self::Noise(Some((low, high))) => write!(f, "noise:{low}:{high}"),
            Self::Images(_) => f.write_str("image"),
        }
    }
}

crate::settings!(Baseline);

impl FromStr for Baseline {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || AttributionError::unread("baseline", text, BASELINES);
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
                    ("black", []) => Ok(Kind::Grey(0.0)),
                    ("white", []) => Ok(Kind::Grey(1.0)),
                    ("grey", [grey]) => Ok(Kind::Grey(number(grey)?)),
                    ("mean", []) => Ok(Kind::Mean),
                    ("blur", []) => Ok(Kind::Blur(None)),
                    ("blur", [sigma]) => Ok(Kind::Blur(Some(number(sigma)?))),
                    ("noise", []) => Ok(Kind::Noise(None)),
                    ("noise", [low, high]) => Ok(Kind::Noise(Some((number(low)?, number(high)?)))),
                    _ => Err(refuse()),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self(kinds))
    }
}

/// What a baseline may be written as.
pub(crate) const BASELINES: &str = "zero, black, white, mean, blur, noise, grey:SHARE, constant:V, constant:A,B,C, blur:SIGMA, \
     noise:LOW:HIGH, or several joined by +";

/// Sigma of the blur that is usual on photographs, in pixels.
const USUAL_BLUR: f32 = 10.0;

/// How the network's pictures are prepared.
fn spec_of<'w>(work: &Context<'w>) -> Option<&'w InputSpec> {
    work.network.input_spec()
}
