//! Pixels of as many channels as a network takes, at the depth that the picture has.

use image::{DynamicImage, RgbImage};

use super::error::InputError;
use super::resample::{Axis, Sample, resample};
use super::{Resize, Transparency, longer};

/// Pixels `[height, width, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raster<S> {
    pub width: u32,
    pub height: u32,
    pub channels: usize,
    pub values: Vec<S>,
}

impl<S: Sample> Raster<S> {
    fn new((width, height, channels): (u32, u32, usize), values: Vec<S>) -> Self {
        Self {
            width,
            height,
            channels,
            values,
        }
    }

    /// Resized and cropped, or padded with zeros, to `size` (height, width).
    fn fitted(&self, resize: Resize, size: [usize; 2]) -> Self {
        let [height, width] = size.map(|side| side as u32);
        let (w, h) = (self.width, self.height);
        match resize {
            Resize::Squash => resample(self, &Axis::whole(width), &Axis::whole(height)),
            Resize::ShortSideCrop { short } => {
                let resized = |side: u32| {
                    let exact = f64::from(short) * f64::from(side) / f64::from(w.min(h));
                    exact.round_ties_even() as u32
                };
                let columns = Axis::centre(resized(w), width);
                resample(self, &columns, &Axis::centre(resized(h), height))
            }
            Resize::Pad => {
                // Whole numbers, so that the side that fits exactly cannot lose a pixel to
                // rounding.
                let scaled = |side: u32, target: u32, other: u32| {
                    let side = u64::from(side) * u64::from(target) / u64::from(other);
                    (side as u32).max(1)
                };
                let wide = u64::from(w) * u64::from(height) >= u64::from(h) * u64::from(width);
                let (inner_w, inner_h) = match wide {
                    true => (width, scaled(h, width, w)),
                    false => (scaled(w, height, h), height),
                };
                let inner = resample(self, &Axis::whole(inner_w), &Axis::whole(inner_h));
                inner.padded(width, height)
            }
        }
    }

    /// In the middle of zeros.
    fn padded(&self, width: u32, height: u32) -> Self {
        let row = self.channels * width as usize;
        let mut values = vec![S::default(); row * height as usize];
        let left = self.channels * ((width - self.width) / 2) as usize;
        let top = ((height - self.height) / 2) as usize;
        let own = self.channels * self.width as usize;
        let lines = self.values.chunks_exact(own);
        for (line, from) in values.chunks_exact_mut(row).skip(top).zip(lines) {
            line[left..left + own].copy_from_slice(from);
        }
        Self {
            width,
            height,
            values,
            ..*self
        }
    }
}

/// Pixels as they were stored: bytes where 8 bits a channel are all there is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pixels {
    Bytes(Raster<u8>),
    /// 0 is black and `white` is white.
    Numbers(Raster<f32>),
}

impl Pixels {
    /// The pixels of `picture` in `channels` channels: grey, grey and opacity, colour, colour and
    /// opacity. Where nothing holds the opacity, `transparency` says what becomes of it.
    ///
    /// White is 255; with `native`, pixels of 16 bits are taken as they are stored and those of
    /// another depth are put on the scale of which that is white.
    pub fn of(
        picture: &DynamicImage,
        channels: usize,
        native: Option<f32>,
        transparency: Transparency,
    ) -> Result<Self, InputError> {
        if !(1..=4).contains(&channels) {
            return Err(InputError::PictureChannels { channels });
        }
        let white = native.unwrap_or(255.0);
        let ground = transparency.ground();
        let color = picture.color();
        let grey = !color.has_color();
        let (width, height) = (picture.width(), picture.height());
        let size = (width, height, channels);
        let numbers = |pixels: &mut dyn Iterator<Item = [f32; 4]>| {
            let mut values = Vec::with_capacity(channels * width as usize * height as usize);
            for pixel in pixels {
                extend(&mut values, channels, pixel, |p, keep| {
                    mixed(p, grey, white, ground.filter(|_| !keep))
                });
            }
            Self::Numbers(Raster::new(size, values))
        };
        Ok(
            match (picture, color.bytes_per_pixel() / color.channel_count()) {
                (DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_), _) => {
                    // `clamp` hands NaN on.
                    let scaled = |v: f32| {
                        if v.is_nan() {
                            0.0
                        } else {
                            v.clamp(0.0, 1.0) * white
                        }
                    };
                    numbers(&mut picture.to_rgba32f().pixels().map(|p| p.0.map(scaled)))
                }
                (_, 2) => {
                    let stored = |v: u16| match native {
                        Some(_) => f32::from(v),
                        None => f32::from(v) / 257.0,
                    };
                    // What is opaque is so at any scale.
                    let opacity = |v: u16| f32::from(v) / 65_535.0 * white;
                    let pixel =
                        |[r, g, b, a]: [u16; 4]| [stored(r), stored(g), stored(b), opacity(a)];
                    numbers(&mut picture.to_rgba16().pixels().map(|p| pixel(p.0)))
                }
                _ if native.is_some() => {
                    let scaled = |v: u8| f32::from(v) / 255.0 * white;
                    numbers(&mut picture.to_rgba8().pixels().map(|p| p.0.map(scaled)))
                }
                // No transparency and no other number of channels: nothing to mix.
                (DynamicImage::ImageRgb8(rgb), _) if channels == 3 => {
                    Self::Bytes(Raster::new(size, rgb.as_raw().clone()))
                }
                _ => {
                    let mut values =
                        Vec::with_capacity(channels * width as usize * height as usize);
                    for pixel in picture.to_rgba8().pixels() {
                        extend(&mut values, channels, pixel.0, |p, keep| {
                            mixed_bytes(p, grey, ground.filter(|_| !keep))
                        });
                    }
                    Self::Bytes(Raster::new(size, values))
                }
            },
        )
    }

    /// Fitted to `size` (height, width). Pixels with an opacity of their own are resized as Pillow
    /// does it: each colour counts as much as it is opaque.
    pub fn fitted(self, resize: Resize, size: [usize; 2]) -> Self {
        match self {
            Self::Bytes(mut raster)
                if raster.channels.is_multiple_of(2) && is_resized(&raster, resize, size) =>
            {
                each_pixel(&mut raster, |colours, alpha| {
                    for colour in colours {
                        let product = u32::from(*colour) * u32::from(alpha) + 128;
                        *colour = ((product + (product >> 8)) >> 8) as u8;
                    }
                });
                let mut fitted = raster.fitted(resize, size);
                each_pixel(&mut fitted, |colours, alpha| {
                    if !matches!(alpha, 0 | 255) {
                        for colour in colours {
                            *colour = (255 * u32::from(*colour) / u32::from(alpha)).min(255) as u8;
                        }
                    }
                });
                Self::Bytes(fitted)
            }
            Self::Numbers(mut raster) if raster.channels.is_multiple_of(2) => {
                each_pixel(&mut raster, |colours, alpha| {
                    colours.iter_mut().for_each(|colour| *colour *= alpha);
                });
                let mut fitted = raster.fitted(resize, size);
                each_pixel(&mut fitted, |colours, alpha| {
                    if alpha > 0.0 {
                        colours.iter_mut().for_each(|colour| *colour /= alpha);
                    }
                });
                Self::Numbers(fitted)
            }
            Self::Bytes(raster) => Self::Bytes(raster.fitted(resize, size)),
            Self::Numbers(raster) => Self::Numbers(raster.fitted(resize, size)),
        }
    }

    /// Channel `c` of pixel `x`, `y`.
    pub fn at(&self, x: usize, y: usize, c: usize) -> f32 {
        let place = |width: u32, channels: usize| (y * width as usize + x) * channels + c;
        match self {
            Self::Bytes(raster) => raster.values[place(raster.width, raster.channels)].into(),
            Self::Numbers(raster) => raster.values[place(raster.width, raster.channels)],
        }
    }

    /// What can be shown of them: colour over white, grey as three equal channels. `white` is what
    /// is white in numbers; a picture of numbers that hardly differ is stretched.
    pub fn shown(&self, white: f32) -> RgbImage {
        match self {
            Self::Bytes(raster) => {
                let pixels = raster.values.chunks_exact(raster.channels);
                let shown = pixels.flat_map(|pixel| match *pixel {
                    [grey] => [grey; 3],
                    [grey, alpha] => over_bytes([grey; 3], alpha, 255),
                    [r, g, b] => [r, g, b],
                    [r, g, b, alpha, ..] => over_bytes([r, g, b], alpha, 255),
                    [] => [0; 3],
                });
                image_of(raster.width, raster.height, shown.collect())
            }
            Self::Numbers(raster) => {
                let pixels = raster.values.chunks_exact(raster.channels);
                let shown = pixels.flat_map(|pixel| match *pixel {
                    [grey] => [grey; 3],
                    [grey, alpha] => [over(grey, alpha, white, 1.0); 3],
                    [r, g, b] => [r, g, b],
                    [r, g, b, alpha, ..] => [r, g, b].map(|v| over(v, alpha, white, 1.0)),
                    [] => [0.0; 3],
                });
                let mut values: Vec<f32> = shown.collect();
                values.iter_mut().for_each(|v| *v *= 255.0 / white);
                stretch(&mut values);
                let bytes = values.into_iter().map(|v| v.round() as u8).collect();
                image_of(raster.width, raster.height, bytes)
            }
        }
    }
}

/// Whether fitting changes more than where pixels are: Pillow leaves a picture alone that has the
/// size already.
fn is_resized(raster: &Raster<u8>, resize: Resize, size: [usize; 2]) -> bool {
    let own = [raster.height as usize, raster.width as usize];
    match resize {
        Resize::Squash | Resize::Pad => own != size,
        Resize::ShortSideCrop { short } => own[0].min(own[1]) != short as usize,
    }
}

/// Values of 0 to 255 for pictures to be looked at: as they are where they are such values and
/// differ, else stretched from the lowest to the highest.
pub(super) fn stretch(values: &mut [f32]) {
    let (low, high) = values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
    let plain = low >= -0.5 && high <= 255.5 && high - low >= 64.0;
    if !plain && high > low {
        values
            .iter_mut()
            .for_each(|v| *v = (*v - low) / (high - low) * 255.0);
    }
}

pub(super) fn image_of(width: u32, height: u32, values: Vec<u8>) -> RgbImage {
    RgbImage::from_raw(width, height, values).expect("three bytes were written for each pixel")
}

/// Pushes the channels that are wanted of a pixel that `mix` has made: `[grey, red, green, blue]`,
/// which is told whether the opacity is kept beside them.
fn extend<S: Copy>(
    values: &mut Vec<S>,
    channels: usize,
    pixel: [S; 4],
    mix: impl Fn([S; 4], bool) -> [S; 4],
) {
    let [grey, r, g, b] = mix(pixel, channels.is_multiple_of(2));
    match channels {
        1 => values.push(grey),
        2 => values.extend([grey, pixel[3]]),
        3 => values.extend([r, g, b]),
        _ => values.extend([r, g, b, pixel[3]]),
    }
}

/// Over the `ground`, if there is one; as the colours are without.
fn mixed([r, g, b, a]: [f32; 4], grey: bool, white: f32, ground: Option<f32>) -> [f32; 4] {
    let [r, g, b] = match ground.filter(|_| a < white) {
        None => [r, g, b],
        Some(ground) => [r, g, b].map(|v| over(v, a, white, ground)),
    };
    let luma = match grey {
        true => r,
        false => (r * 19_595.0 + g * 38_470.0 + b * 7_471.0) / 65_536.0,
    };
    [luma, r, g, b]
}

fn mixed_bytes([r, g, b, a]: [u8; 4], grey: bool, ground: Option<f32>) -> [u8; 4] {
    let [r, g, b] = match ground {
        None => [r, g, b],
        Some(ground) => over_bytes([r, g, b], a, (255.0 * ground) as u8),
    };
    let [red, green, blue] = [r, g, b].map(u32::from);
    let luma = match grey {
        true => r,
        // Pillow's `L`.
        false => ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8,
    };
    [luma, r, g, b]
}

fn over(value: f32, alpha: f32, white: f32, ground: f32) -> f32 {
    value * (alpha / white) + ground * white * (1.0 - alpha / white)
}

fn over_bytes(rgb: [u8; 3], alpha: u8, ground: u8) -> [u8; 3] {
    let (alpha, ground) = (u32::from(alpha), u32::from(ground));
    rgb.map(|value| ((u32::from(value) * alpha + ground * (255 - alpha) + 127) / 255) as u8)
}

/// Whether a pixel is not opaque.
pub(super) fn has_transparent_pixels(picture: &DynamicImage) -> bool {
    match picture {
        DynamicImage::ImageLumaA8(pixels) => pixels.pixels().any(|p| p.0[1] < u8::MAX),
        DynamicImage::ImageRgba8(pixels) => pixels.pixels().any(|p| p.0[3] < u8::MAX),
        DynamicImage::ImageLumaA16(pixels) => pixels.pixels().any(|p| p.0[1] < u16::MAX),
        DynamicImage::ImageRgba16(pixels) => pixels.pixels().any(|p| p.0[3] < u16::MAX),
        DynamicImage::ImageRgba32F(pixels) => pixels.pixels().any(|p| p.0[3] < 1.0),
        _ => false,
    }
}

/// Shows the colours and the opacity of each pixel.
fn each_pixel<S: Sample>(raster: &mut Raster<S>, change: impl Fn(&mut [S], S)) {
    for pixel in raster.values.chunks_exact_mut(raster.channels) {
        if let [colours @ .., alpha] = pixel {
            change(colours, *alpha);
        }
    }
}

/// The short side of a crop that keeps its proportion to the longer side of the input.
pub(super) fn proportional_short(short: u32, before: [usize; 2], after: [usize; 2]) -> u32 {
    let [before, after] = [longer(before), longer(after)];
    let scaled = (f64::from(short) * after as f64 / before as f64).round();
    (scaled as u32).clamp(after as u32, super::MAX_SHORT)
}
