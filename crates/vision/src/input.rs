//! From a picture or an array to the input of a network, and back.

use elucid_models::Preprocessing;
pub use elucid_models::{ChannelOrder, Resize};
use image::{DynamicImage, RgbImage};
use ndarray::{Array3, Array4, ArrayD, ArrayView3, Axis};

pub use self::array::{PICTURE_ENDINGS, file_of, is_array, is_picture, open_array};
pub use self::array_file::ArrayFile;
pub use self::error::InputError;
use self::raster::{Pixels, has_transparent_pixels, image_of, proportional_short, stretch};
pub use self::read::{decode_image, decode_image_of, open_image, read_file};
pub use self::transparency::Transparency;

mod array;
mod array_file;
mod error;
mod npy;
mod raster;
mod read;
mod resample;
#[cfg(test)]
mod tests;
mod transparency;

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
/// A factor on pixel values that is smaller than this is one on values of more than 8 bits: 1/4095,
/// 1/65535.
const NATIVE_SCALE: f32 = 1e-3;

/// How a picture becomes the input of a network.
///
/// The picture is resized to the input's size; each channel value, 0..=255, then becomes
/// `x[c] = (pixel[c] * scale - mean[c]) / std[c]`, with the channels, the mean and the standard
/// deviation in the order of the tensor. There are as many channels as means.
///
/// One channel is grey, Pillow's `L`: `(R * 19595 + G * 38470 + B * 7471 + 0x8000) >> 16`; two are grey
/// and opacity, three red, green and blue, four these and opacity; other networks take arrays.
///
/// A picture of 16 bits keeps its depth: a value `v` of 65535 counts as `v / 257`, without rounding.
/// Where `scale` is smaller than 1/1000, such as 1/4095 or 1/65535, it is a factor on the values as they
/// are stored, and pictures of 8 bits are put on the scale of which `1 / scale` is white.
///
/// Resizing is Pillow's bilinear, to the bit. With [`Resize::ShortSideCrop`] the longer side is
/// rounded to the nearest pixel and the crop begins at half the excess, rounded down. With
/// [`Resize::Pad`] the picture lies as in TensorFlow's `resize_with_pad`, which however does
/// not smooth when it shrinks; the padding is black, that is, 0 before normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    size: [usize; 2],
    order: ChannelOrder,
    scale: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
    resize: Resize,
    drawn: Option<[usize; 3]>,
    transparency: Transparency,
}

impl Default for InputSpec {
    /// 224 x 224, RGB in 0..=1 with ImageNet's mean and standard deviation, short side 256 and
    /// centre crop: what torchvision's classifiers take.
    fn default() -> Self {
        Self {
            size: [224, 224],
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            resize: Resize::ShortSideCrop { short: 256 },
            drawn: None,
            transparency: Transparency::White,
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

    /// Values of 0 to 1 in each of `channels` channels, at size `[height, width]`.
    ///
    /// # Errors
    /// [`InputError::Size`] unless both sides are 1 to [`MAX_SIDE`]; [`InputError::Normalisation`]
    /// without channels.
    pub fn plain(size: [usize; 2], channels: usize) -> Result<Self, InputError> {
        let ones = vec![1.0; channels];
        Self::new(size)?.with_normalisation(1.0 / 255.0, vec![0.0; channels], ones)
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
            *short = proportional_short(*short, self.size, size);
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

    /// With another normalisation; `mean` and `std` are in the order of the tensor's channels, of which
    /// there are as many.
    ///
    /// # Errors
    /// [`InputError::Normalisation`] when a number is not finite, a divisor is zero, a pixel would become
    /// infinite, or there are not as many means as divisors.
    pub fn with_normalisation(
        mut self,
        scale: f32,
        mean: impl Into<Vec<f32>>,
        std: impl Into<Vec<f32>>,
    ) -> Result<Self, InputError> {
        (self.scale, self.mean, self.std) = (scale, mean.into(), std.into());
        let counts = !self.mean.is_empty() && self.mean.len() == self.std.len();
        let finite = counts
            && (0..self.channels()).all(|c| {
                let ends = [0.0, self.white()].map(|value| self.normalised(value, c));
                ends.iter().all(|x| x.is_finite())
            });
        let invertible = scale != 0.0 && self.std.iter().all(|s| *s != 0.0 && s.is_finite());
        if finite && invertible {
            Ok(self)
        } else {
            Err(InputError::Normalisation {
                scale,
                mean: self.mean,
                std: self.std,
            })
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

    /// Draws these channels of the input, counted from 0, as red, green and blue: what an input of other
    /// than three channels, or of three that are no colours, is seen as.
    ///
    /// # Errors
    /// [`InputError::Drawn`] for a channel that is not there.
    pub fn with_drawn(mut self, drawn: [usize; 3]) -> Result<Self, InputError> {
        let channels = self.channels();
        if drawn.iter().any(|c| *c >= channels) {
            return Err(InputError::Drawn { drawn, channels });
        }
        self.drawn = Some(drawn);
        Ok(self)
    }

    /// What becomes of pixels that are transparent, where no channel holds the opacity; laid over white
    /// unless something else is said.
    pub fn with_transparency(mut self, transparency: Transparency) -> Self {
        self.transparency = transparency;
        self
    }

    /// What becomes of pixels that are transparent, where no channel holds the opacity.
    pub fn transparency(&self) -> Transparency {
        self.transparency
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// The channels that are drawn as red, green and blue: those of
    /// [`with_drawn`](Self::with_drawn), else the colours, grey, or the first three.
    pub fn drawn(&self) -> [usize; 3] {
        self.drawn.unwrap_or(match (self.channels(), self.order) {
            (1 | 2, _) => [0; 3],
            (_, ChannelOrder::Rgb) => [0, 1, 2],
            (_, ChannelOrder::Bgr) => [2, 1, 0],
        })
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
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Divisor after the mean; in the order of the tensor's channels.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// What a pixel is that is white: 255, or the value at which [`scale`](Self::scale) gives 1 where it
    /// is a factor on values of more than 8 bits.
    pub fn white(&self) -> f32 {
        match self.is_native() {
            true => (1.0 / self.scale.abs()).round(),
            false => 255.0,
        }
    }

    fn is_native(&self) -> bool {
        self.scale.abs() < NATIVE_SCALE
    }

    /// What pixels of one grey, from 0 for black to 1 for white, become in each channel of the tensor.
    pub fn of_grey(&self, grey: f32) -> Vec<f32> {
        let value = grey * self.white();
        (0..self.channels())
            .map(|c| self.normalised(value, c))
            .collect()
    }

    /// The lowest and the highest value of each channel of the tensor: what black and white become,
    /// `(0 * scale - mean) / std` and `(255 * scale - mean) / std`, or the other way round where a scale
    /// or a divisor is negative.
    pub fn range(&self) -> [Vec<f32>; 2] {
        let [black, white] = [0.0, 1.0].map(|grey| self.of_grey(grey));
        let ends = || black.iter().zip(&white);
        [
            ends().map(|(a, b)| a.min(*b)).collect(),
            ends().map(|(a, b)| a.max(*b)).collect(),
        ]
    }

    /// How pictures are resized.
    pub fn resize(&self) -> Resize {
        self.resize
    }

    /// The input for `picture`: resized, normalised, and as the network sees it.
    ///
    /// A transparent picture is laid over white, unless one of the input's channels takes the opacity.
    /// Colour profiles are ignored, as Pillow ignores them.
    ///
    /// # Errors
    /// [`InputError::NoPixels`] when a side of the picture is 0, [`InputError::PictureChannels`] for an
    /// input of more than four channels.
    pub fn prepare(&self, picture: &DynamicImage) -> Result<Prepared, InputError> {
        let (width, height) = (picture.width(), picture.height());
        if width == 0 || height == 0 {
            return Err(InputError::NoPixels { width, height });
        }
        let native = self.is_native().then(|| self.white());
        let pixels = Pixels::of(picture, self.channels(), native, self.transparency)?;
        // Two channels, and four, hold the opacity.
        let is_blended = !self.channels().is_multiple_of(2) && has_transparent_pixels(picture);
        let pixels = pixels.fitted(self.resize, self.size);
        let [height, width] = self.size;
        let places = self.places();
        let shape = (1, self.channels(), height, width);
        let tensor = Array4::from_shape_fn(shape, |(_, c, y, x)| {
            self.normalised(pixels.at(x, y, places[c]), c)
        });
        let shown = match self.drawn {
            Some(_) => self.stretched(tensor.index_axis(Axis(0), 0))?,
            None => pixels.shown(self.white()),
        };
        Ok(Prepared {
            tensor,
            shown,
            blended: is_blended.then_some(self.transparency),
        })
    }

    /// An array `[C, H, W]` or `[1, C, H, W]` that is the input as it is, called `name` in messages;
    /// `[H, W]` for one channel.
    ///
    /// What is shown of it is stretched from its lowest to its highest value where these are no pixels
    /// behind the normalisation.
    ///
    /// # Errors
    /// [`InputError::ArrayShape`] for another shape than the input's, [`InputError::Array`] when a number
    /// is not finite.
    pub fn take(&self, array: ArrayD<f32>, name: &str) -> Result<Prepared, InputError> {
        let [height, width] = self.size;
        let expected = [self.channels(), height, width];
        let got = array.shape().to_vec();
        let fits = match &got[..] {
            [1, rest @ ..] if rest.len() == 3 => *rest == expected,
            [h, w] => [1, *h, *w] == expected,
            all => *all == expected,
        };
        let refused = || InputError::ArrayShape {
            array: name.to_owned(),
            expected,
            got: got.clone(),
        };
        if !fits {
            return Err(refused());
        }
        if !array.iter().all(|v| v.is_finite()) {
            return Err(InputError::Array {
                array: name.to_owned(),
                reason: "it holds a number that is not finite".to_owned(),
            });
        }
        let values: Vec<f32> = array.iter().copied().collect();
        let shape = (1, expected[0], height, width);
        let tensor = Array4::from_shape_vec(shape, values).map_err(|_| refused())?;
        let shown = self.stretched(tensor.index_axis(Axis(0), 0))?;
        Ok(Prepared {
            tensor,
            shown,
            blended: None,
        })
    }

    /// The picture that an input tensor `[C, H, W]` is of: [`prepare`](Self::prepare)'s
    /// normalisation undone, rounded and clamped to 0..=255; NaN becomes 0. Of other than three channels
    /// those are seen that are [drawn](Self::drawn).
    ///
    /// # Errors
    /// [`InputError::TensorShape`] unless there are as many channels as the input has.
    pub fn to_rgb(&self, tensor: ArrayView3<f32>) -> Result<RgbImage, InputError> {
        let values = self.restored(tensor)?;
        // The cast clamps, and makes 0 of NaN.
        Ok(self.image(&values, |v| v.round() as u8))
    }

    /// The same, stretched where there is next to nothing to see.
    fn stretched(&self, tensor: ArrayView3<f32>) -> Result<RgbImage, InputError> {
        let restored = self.restored(tensor)?;
        let dim = restored.dim();
        let mut values: Vec<f32> = restored.into_iter().collect();
        stretch(&mut values);
        let refused = |_| InputError::TensorShape {
            channels: 3,
            got: dim.into(),
        };
        let values = Array3::from_shape_vec(dim, values).map_err(refused)?;
        Ok(self.image(&values, |v| v.round() as u8))
    }

    fn image(&self, values: &Array3<f32>, byte: impl Fn(f32) -> u8) -> RgbImage {
        let (_, height, width) = values.dim();
        let pixels = values.view().permuted_axes([1, 2, 0]);
        image_of(
            width as u32,
            height as u32,
            pixels.iter().map(|v| byte(*v)).collect(),
        )
    }

    /// The channels that are drawn, `[3, H, W]`, in 0 to 255 as pixels are.
    fn restored(&self, tensor: ArrayView3<f32>) -> Result<Array3<f32>, InputError> {
        let (channels, height, width) = tensor.dim();
        let small = u32::try_from(height).is_ok() && u32::try_from(width).is_ok();
        if channels != self.channels() || !small {
            return Err(InputError::TensorShape {
                channels: self.channels(),
                got: [channels, height, width],
            });
        }
        let drawn = self.drawn();
        let unit = 255.0 / self.white();
        Ok(Array3::from_shape_fn((3, height, width), |(i, y, x)| {
            let c = drawn[i];
            let value = (tensor[[c, y, x]] * self.std[c] + self.mean[c]) / self.scale;
            value * unit
        }))
    }

    /// Of each channel of the tensor, its place in a picture's channels.
    fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.channels()).collect();
        if let (ChannelOrder::Bgr, [first, _, third, ..]) = (self.order, &mut places[..]) {
            std::mem::swap(first, third);
        }
        places
    }

    fn normalised(&self, value: f32, channel: usize) -> f32 {
        (value * self.scale - self.mean[channel]) / self.std[channel]
    }
}

fn longer(size: [usize; 2]) -> usize {
    size[0].max(size[1])
}

/// A picture that is ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The input, `[1, C, H, W]`, normalised.
    pub tensor: Array4<f32>,
    /// The same before normalisation, H x W pixels: exactly what the network sees, for overlays.
    /// Where a picture has more than 8 bits and hardly differs, it is stretched, as is an array.
    pub shown: RgbImage,
    /// What was done to transparent pixels; `None` where there were none, or a channel holds the opacity.
    pub blended: Option<Transparency>,
}
