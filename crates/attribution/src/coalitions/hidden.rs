//! What hidden segments become.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};

use crate::baseline::Baseline;
use crate::coalitions::superpixels::Segments;
use crate::error::AttributionError;
use crate::random::Random;
use crate::work::{Context, to_vec};

/// What hidden pixels become.
#[derive(Debug, Clone)]
pub(crate) enum Hidden {
    /// What lies there in another image.
    Baseline(Baseline),
    /// The mean of their segment, channel by channel.
    SegmentMean,
}

/// What may be hidden by, as text.
pub(crate) const HIDDEN: &str = "zero, black, white, mean, blur, noise, grey:SHARE, constant:V, \
                                 constant:A,B,C, blur:SIGMA, noise:LOW:HIGH, or several joined by +; \
                                 or segment-mean (the segment's mean colour)";

impl Hidden {
    /// Zero everywhere.
    pub fn zero() -> Self {
        Self::Baseline(Baseline::zero())
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Baseline(baseline) => baseline.count(),
            Self::SegmentMean => 1,
        }
    }

    /// Refuses what cannot hide the images.
    pub fn check(&self, work: &Context<'_>) -> Result<(), AttributionError> {
        match self {
            Self::Baseline(baseline) => baseline.check(work),
            Self::SegmentMean => Ok(()),
        }
    }

    /// What one image of a batch is hidden by, each `[1, C, H, W]`.
    pub fn images(
        &self,
        work: &Context<'_>,
        image: usize,
        segments: &Segments,
        random: &mut Random,
    ) -> Result<Vec<Tensor<4>>, AttributionError> {
        match self {
            Self::Baseline(baseline) => Ok(baseline.images(work, image, random)),
            Self::SegmentMean => Ok(vec![segment_means(&work.rows(&[image]), segments)?]),
        }
    }
}

fn segment_means(image: &Tensor<4>, segments: &Segments) -> Result<Tensor<4>, AttributionError> {
    let labels = segments.labels();
    let mut pixels = to_vec(&image.clone().into())?;
    for channel in pixels.chunks_mut(labels.len()) {
        let (mut sums, mut counts) = (
            vec![0.0_f64; segments.count()],
            vec![0_usize; segments.count()],
        );
        for (&value, &label) in channel.iter().zip(labels) {
            sums[label] += f64::from(value);
            counts[label] += 1;
        }
        for (value, &label) in channel.iter_mut().zip(labels) {
            *value = (sums[label] / counts[label] as f64) as f32;
        }
    }
    let data = TensorData::new(pixels, image.dims());
    Ok(Tensor::from_data(data, &image.device()))
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline(baseline) => baseline.fmt(f),
            Self::SegmentMean => f.write_str("segment-mean"),
        }
    }
}

crate::settings!(Hidden);

impl FromStr for Hidden {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "segment-mean" => Ok(Self::SegmentMean),
            text => text.parse().map(Self::Baseline),
        }
    }
}
