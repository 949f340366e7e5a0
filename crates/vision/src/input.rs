//! From a picture to the input of a network, and back.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use elucid_models::Preprocessing;
pub use elucid_models::{ChannelOrder, Resize};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Rgb, RgbImage,
};
use ndarray::{Array4, ArrayView3};

use self::resample::{Axis, resample};

mod resample;
#[cfg(test)]
mod tests;

/// Largest height and width of a network's input, in pixels.
pub const MAX_SIDE: usize = 4096;
/// Largest short side before a crop, in pixels.
pub const MAX_SHORT: u32 = 65_535;
/// Largest picture file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most pixels of a picture that is decoded.
pub const MAX_PIXELS: u64 = 1 << 27;
/// Most bytes that decoding may allocate: eight a pixel.
const MAX_DECODED_BYTES: u64 = 8 * MAX_PIXELS;

const FORMATS: &str = "PNG, JPEG, WebP, BMP and GIF are supported";

/// Why a picture or a description of an input was refused.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A side of the input is zero or too long.
    #[error("an input of {height} x {width} pixels: each side must be 1 to {MAX_SIDE}")]
    Size {
        /// Height that was asked for, in pixels.
        height: usize,
        /// Width that was asked for, in pixels.
        width: usize,
    },
    /// The short side before the crop is shorter than the crop, or too long.
    #[error(
        "a short side of {short} pixels cannot be cropped to {height} x {width}: it must be \
         {least} to {MAX_SHORT}"
    )]
    ShortSide {
        /// Short side that was asked for, in pixels.
        short: u32,
        /// Height of the input, in pixels.
        height: usize,
        /// Width of the input, in pixels.
        width: usize,
        /// The shortest that will do, in pixels.
        least: usize,
    },
    /// Scale, mean and standard deviation do not map pixel values to finite numbers and back.
    #[error(
        "scale {scale}, mean {mean:?} and std {std:?}: all must be finite, scale and std not \
         zero, and std not so small that the input overflows"
    )]
    Normalisation {
        /// The scale.
        scale: f32,
        /// The means.
        mean: [f32; 3],
        /// The standard deviations.
        std: [f32; 3],
    },
    /// A picture has no pixels.
    #[error("a picture of {width} x {height} pixels")]
    NoPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// A tensor does not have the shape of an input.
    #[error("expected a tensor of shape [3, H, W], got {got:?}")]
    TensorShape {
        /// Its shape.
        got: [usize; 3],
    },
    /// A file cannot be read.
    #[error("cannot read {picture}: {source}")]
    Read {
        /// The file.
        picture: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is empty.
    #[error("{picture} is empty")]
    Empty {
        /// The file.
        picture: String,
    },
    /// A file is too large to be read.
    #[error("{picture} has more than {} MiB", MAX_FILE_BYTES >> 20)]
    FileTooLarge {
        /// The file.
        picture: String,
    },
    /// A file is not a picture in a supported format.
    #[error("{picture} is not a picture in a known format; {FORMATS}")]
    Format {
        /// The file.
        picture: String,
    },
    /// A picture has too many pixels.
    #[error("{picture} has {width} x {height} pixels, more than {MAX_PIXELS}")]
    TooManyPixels {
        /// The file.
        picture: String,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// A JPEG file ends before its end marker. (The decoder would fill the rest with grey.)
    #[error("{picture} is cut short: a JPEG file without its end marker")]
    CutShort {
        /// The file.
        picture: String,
    },
    /// A picture is damaged, cut short, or of a kind that the decoder does not know.
    #[error("cannot decode {picture}: {source}")]
    Decode {
        /// The file.
        picture: String,
        /// What the decoder said.
        source: ImageError,
    },
}

/// How a picture becomes the input of a network.
///
/// The picture is resized to the input's size; each channel value, 0..=255, then becomes
/// `x[c] = (pixel[c] * scale - mean[c]) / std[c]`, with the channels, the mean and the standard
/// deviation in the order of the tensor.
///
/// Resizing is Pillow's bilinear, to the bit. With [`Resize::ShortSideCrop`] the longer side is
/// rounded to the nearest pixel and the crop begins at half the excess, rounded down. With
/// [`Resize::Pad`] the picture lies as in TensorFlow's `resize_with_pad`, which however does
/// not smooth when it shrinks; the padding is black, that is, 0 before normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputSpec {
    size: [usize; 2],
    order: ChannelOrder,
    scale: f32,
    mean: [f32; 3],
    std: [f32; 3],
    resize: Resize,
}

impl Default for InputSpec {
    /// 224 x 224, RGB in 0..=1 with ImageNet's mean and standard deviation, short side 256 and
    /// centre crop: what torchvision's classifiers take.
    fn default() -> Self {
        Self {
            size: [224, 224],
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            resize: Resize::ShortSideCrop { short: 256 },
        }
    }
}

impl InputSpec {
    /// The default at another size `[height, width]`; the short side grows in proportion.
    ///
    /// # Errors
    /// [`InputError::Size`] unless both sides are 1 to [`MAX_SIDE`].
    pub fn new(size: [usize; 2]) -> Result<Self, InputError> {
        Self::default().with_size(size)
    }

    /// What Caffe's ImageNet networks take: BGR in 0..=255 minus (104, 117, 123), at size
    /// `[height, width]`.
    ///
    /// # Errors
    /// [`InputError::Size`] unless both sides are 1 to [`MAX_SIDE`].
    pub fn caffe(size: [usize; 2]) -> Result<Self, InputError> {
        Self::new(size)?
            .with_order(ChannelOrder::Bgr)
            .with_normalisation(1.0, [104.0, 117.0, 123.0], [1.0; 3])
    }

    /// What the manifest says of a known model.
    ///
    /// # Errors
    /// When a value is out of range, which does not happen for the manifest's own entries.
    pub fn from_manifest(known: &Preprocessing) -> Result<Self, InputError> {
        Self::new([known.height as usize, known.width as usize])?
            .with_order(known.order)
            .with_normalisation(known.scale, known.mean, known.std)?
            .with_resize(known.resize)
    }

    /// At another size `[height, width]`. The short side of a [`Resize::ShortSideCrop`] changes
    /// in proportion to the longer side of the input.
    ///
    /// # Errors
    /// [`InputError::Size`] unless both sides are 1 to [`MAX_SIDE`].
    pub fn with_size(mut self, size: [usize; 2]) -> Result<Self, InputError> {
        let [height, width] = size;
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
            return Err(InputError::Size { height, width });
        }
        if let Resize::ShortSideCrop { short } = &mut self.resize {
            let [before, after] = [longer(self.size), longer(size)];
            let scaled = (f64::from(*short) * after as f64 / before as f64).round();
            *short = (scaled as u32).clamp(after as u32, MAX_SHORT);
        }
        self.size = size;
        Ok(self)
    }

    /// With another order of channels. Mean and standard deviation stay as they are: they are
    /// in the tensor's order, whatever it is.
    pub fn with_order(mut self, order: ChannelOrder) -> Self {
        self.order = order;
        self
    }

    /// With another normalisation; `mean` and `std` are in the order of the tensor's channels.
    ///
    /// # Errors
    /// [`InputError::Normalisation`] when a number is not finite, a divisor is zero, or a pixel
    /// would become infinite.
    pub fn with_normalisation(
        mut self,
        scale: f32,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Result<Self, InputError> {
        (self.scale, self.mean, self.std) = (scale, mean, std);
        let finite = (0..3).all(|c| {
            [0, 255]
                .map(|value| self.normalised(value, c))
                .iter()
                .all(|x| x.is_finite())
        });
        let invertible = scale != 0.0 && std.iter().all(|s| *s != 0.0 && s.is_finite());
        if finite && invertible {
            Ok(self)
        } else {
            Err(InputError::Normalisation { scale, mean, std })
        }
    }

    /// With another way of resizing.
    ///
    /// # Errors
    /// [`InputError::ShortSide`] when the short side is shorter than a side of the input, or
    /// longer than [`MAX_SHORT`].
    pub fn with_resize(mut self, resize: Resize) -> Result<Self, InputError> {
        if let Resize::ShortSideCrop { short } = resize {
            let least = longer(self.size);
            if (short as usize) < least || short > MAX_SHORT {
                let [height, width] = self.size;
                return Err(InputError::ShortSide {
                    short,
                    height,
                    width,
                    least,
                });
            }
        }
        self.resize = resize;
        Ok(self)
    }

    /// `[height, width]` of the input, in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Order of the tensor's channels.
    pub fn order(&self) -> ChannelOrder {
        self.order
    }

    /// Factor on the pixel value.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Subtracted after scaling; in the order of the tensor's channels.
    pub fn mean(&self) -> [f32; 3] {
        self.mean
    }

    /// Divisor after the mean; in the order of the tensor's channels.
    pub fn std(&self) -> [f32; 3] {
        self.std
    }

    /// The lowest and the highest value of each channel of the tensor: what black and white become,
    /// `(0 * scale - mean) / std` and `(255 * scale - mean) / std`, or the other way round where a scale
    /// or a divisor is negative.
    pub fn range(&self) -> [Vec<f32>; 2] {
        let ends = |c: usize| [0, 255].map(|value| self.normalised(value, c));
        [f32::min, f32::max].map(|pick| {
            let bound = |c: usize| pick(ends(c)[0], ends(c)[1]);
            (0..self.mean.len()).map(bound).collect()
        })
    }

    /// How pictures are resized.
    pub fn resize(&self) -> Resize {
        self.resize
    }

    /// The input for `picture`: resized, normalised, and as the network sees it.
    ///
    /// A transparent picture is laid over white. 16-bit channels are rounded to 8 bits; grey
    /// becomes three equal channels. Colour profiles are ignored, as Pillow ignores them.
    ///
    /// # Errors
    /// [`InputError::NoPixels`] when a side of the picture is 0.
    pub fn prepare(&self, picture: &DynamicImage) -> Result<Prepared, InputError> {
        let (width, height) = (picture.width(), picture.height());
        if width == 0 || height == 0 {
            return Err(InputError::NoPixels { width, height });
        }
        let shown = self.fit(&flatten(picture));
        Ok(Prepared {
            tensor: self.tensor_of(&shown),
            shown,
        })
    }

    /// The picture that an input tensor `[3, H, W]` is of: [`prepare`](Self::prepare)'s
    /// normalisation undone, rounded and clamped to 0..=255; NaN becomes 0.
    ///
    /// # Errors
    /// [`InputError::TensorShape`] unless there are three channels.
    pub fn to_rgb(&self, tensor: ArrayView3<f32>) -> Result<RgbImage, InputError> {
        let (channels, height, width) = tensor.dim();
        let (Ok(w), Ok(h), 3) = (u32::try_from(width), u32::try_from(height), channels) else {
            return Err(InputError::TensorShape {
                got: [channels, height, width],
            });
        };
        let places = self.places();
        Ok(RgbImage::from_fn(w, h, |x, y| {
            let mut pixel = [0; 3];
            for (c, place) in places.into_iter().enumerate() {
                let value = tensor[[c, y as usize, x as usize]];
                let value = (value * self.std[c] + self.mean[c]) / self.scale;
                // The cast clamps, and makes 0 of NaN.
                pixel[place] = value.round() as u8;
            }
            Rgb(pixel)
        }))
    }

    /// Of each channel of the tensor, its place in RGB.
    fn places(&self) -> [usize; 3] {
        match self.order {
            ChannelOrder::Rgb => [0, 1, 2],
            ChannelOrder::Bgr => [2, 1, 0],
        }
    }

    fn normalised(&self, value: u8, channel: usize) -> f32 {
        (f32::from(value) * self.scale - self.mean[channel]) / self.std[channel]
    }

    fn tensor_of(&self, shown: &RgbImage) -> Array4<f32> {
        let [height, width] = self.size;
        let places = self.places();
        Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
            self.normalised(shown[(x as u32, y as u32)].0[places[c]], c)
        })
    }

    fn fit(&self, picture: &RgbImage) -> RgbImage {
        let [height, width] = self.size.map(|side| side as u32);
        let (w, h) = picture.dimensions();
        match self.resize {
            Resize::Squash => resample(picture, &Axis::whole(width), &Axis::whole(height)),
            Resize::ShortSideCrop { short } => {
                let resized = |side: u32| {
                    let exact = f64::from(short) * f64::from(side) / f64::from(w.min(h));
                    exact.round_ties_even() as u32
                };
                resample(
                    picture,
                    &Axis::centre(resized(w), width),
                    &Axis::centre(resized(h), height),
                )
            }
            Resize::Pad => {
                // Whole numbers, so that the side that fits exactly cannot lose a pixel to
                // rounding.
                let scaled = |side: u32, target: u32, other: u32| {
                    let side = u64::from(side) * u64::from(target) / u64::from(other);
                    (side as u32).max(1)
                };
                let wide = u64::from(w) * u64::from(height) >= u64::from(h) * u64::from(width);
                let (inner_w, inner_h) = if wide {
                    (width, scaled(h, width, w))
                } else {
                    (scaled(w, height, h), height)
                };
                let inner = resample(picture, &Axis::whole(inner_w), &Axis::whole(inner_h));
                let mut padded = RgbImage::new(width, height);
                let (left, top) = ((width - inner_w) / 2, (height - inner_h) / 2);
                image::imageops::replace(&mut padded, &inner, left.into(), top.into());
                padded
            }
        }
    }
}

fn longer(size: [usize; 2]) -> usize {
    size[0].max(size[1])
}

/// A picture that is ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The input, `[1, 3, H, W]`, normalised.
    pub tensor: Array4<f32>,
    /// The same before normalisation, H x W pixels: exactly what the network sees, for overlays.
    pub shown: RgbImage,
}

/// Reads and decodes the picture at `path`, turned as its EXIF orientation says.
///
/// The format is recognised by content, not by the file's name. Of an animation the first frame
/// is taken.
///
/// # Errors
/// When the file cannot be read, is empty or too large, is not a picture in a supported format,
/// or is damaged; the message names the file.
pub fn open_image(path: impl AsRef<Path>) -> Result<DynamicImage, InputError> {
    let path = path.as_ref();
    let picture = path.display().to_string();
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(source) => Err(InputError::Read { picture, source }),
        Ok(read) if read as u64 > MAX_FILE_BYTES => Err(InputError::FileTooLarge { picture }),
        Ok(_) => decode(&bytes, picture),
    }
}

/// Decodes a picture file that is in memory, turned as its EXIF orientation says.
///
/// # Errors
/// When `bytes` are empty, not a picture in a supported format, or damaged.
pub fn decode_image(bytes: &[u8]) -> Result<DynamicImage, InputError> {
    decode(bytes, "the picture".to_owned())
}

fn decode(bytes: &[u8], picture: String) -> Result<DynamicImage, InputError> {
    if bytes.is_empty() {
        return Err(InputError::Empty { picture });
    }
    let mut reader = match ImageReader::new(Cursor::new(bytes)).with_guessed_format() {
        Ok(reader) => reader,
        Err(source) => return Err(InputError::Read { picture, source }),
    };
    if !reader
        .format()
        .is_some_and(|format| format.reading_enabled())
    {
        return Err(InputError::Format { picture });
    }
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg_has_an_end(bytes) {
        return Err(InputError::CutShort { picture });
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let damaged = |source| InputError::Decode {
        picture: picture.clone(),
        source,
    };
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(InputError::TooManyPixels {
            picture,
            width,
            height,
        });
    }
    let orientation = decoder.orientation();
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    // A picture whose metadata is damaged is still a picture.
    if let Ok(orientation) = orientation {
        decoded.apply_orientation(orientation);
    }
    Ok(decoded)
}

/// Whether a JPEG file's segments and scans lead to an end marker. (One may also lie within a
/// thumbnail in a segment.)
fn jpeg_has_an_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xD9;
    // The start marker and TEM stand alone; other markers have a length.
    const ALONE: [u8; 2] = [0xD8, 0x01];
    let mut rest = bytes;
    loop {
        // Within a scan, FF 00 is a byte of data and D0 to D7 are restarts.
        let marker = rest
            .windows(2)
            .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF));
        let Some(at) = marker else { return false };
        let kind = rest[at + 1];
        rest = &rest[at + 2..];
        if kind == END {
            return true;
        }
        if !ALONE.contains(&kind) {
            let Some(length) = rest.first_chunk().map(|c| u16::from_be_bytes(*c)) else {
                return false;
            };
            let Some(after) = rest.get(usize::from(length)..) else {
                return false;
            };
            rest = after;
        }
    }
}

/// 8-bit RGB, over white where the picture is transparent.
fn flatten(picture: &DynamicImage) -> RgbImage {
    let opaque;
    let picture = match picture {
        // The conversion to integers is not defined for every number, this one is.
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            let mut floats = picture.to_rgba32f();
            for value in floats.iter_mut() {
                *value = if value.is_nan() { 0.0 } else { *value };
            }
            opaque = DynamicImage::ImageRgba32F(floats);
            &opaque
        }
        other => other,
    };
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let rgba = picture.to_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, alpha] = from.0.map(u32::from);
        let over = |value: u32| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        *to = Rgb([over(r), over(g), over(b)]);
    }
    rgb
}
