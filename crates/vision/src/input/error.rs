//! Why a picture, an array or a description of an input was refused.

use std::io;

use image::ImageError;

use super::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SHORT, MAX_SIDE};

const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF and TIFF are supported, and arrays as .npy";

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
         zero, std not so small that the input overflows, and as many means as divisors, one for \
         each channel"
    )]
    Normalisation {
        /// The scale.
        scale: f32,
        /// The means.
        mean: Vec<f32>,
        /// The standard deviations.
        std: Vec<f32>,
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
    #[error("expected a tensor of shape [{channels}, H, W], got {got:?}")]
    TensorShape {
        /// Channels of the input.
        channels: usize,
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
    /// A picture whose pixels are of a kind that is not read.
    #[error(
        "{picture} holds pixels of a kind that is not read ({kind}): 8 and 16 bits of grey or colour are; \
         other numbers can be given as an array, a .npy file"
    )]
    PixelKind {
        /// The file.
        picture: String,
        /// What the decoder calls it.
        kind: String,
    },
    /// A picture was given to a network of more channels than pictures have.
    #[error(
        "the network takes {channels} channels and a picture has 1 to 4: give an array, a .npy file \
         of shape [{channels}, H, W]"
    )]
    PictureChannels {
        /// Channels of the input.
        channels: usize,
    },
    /// A list of channels to draw names one that is not there.
    #[error("channels {drawn:?} are to be drawn, and the input has channels 0 to {}", channels.saturating_sub(1))]
    Drawn {
        /// What was asked for.
        drawn: [usize; 3],
        /// Channels of the input.
        channels: usize,
    },
    /// A number of means or divisors that fits neither all channels nor each.
    #[error(
        "{what} of {got} numbers: one number, or {channels}, one for each channel of the input"
    )]
    PerChannel {
        /// Mean or std.
        what: &'static str,
        /// How many numbers there are.
        got: usize,
        /// Channels of the input.
        channels: usize,
    },
    /// A file is no array that can be read.
    #[error("cannot read the array {array}: {reason}")]
    Array {
        /// The file, and the member of an archive.
        array: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An array does not have the shape of the input.
    #[error(
        "the array {array} has shape {got:?}, expected {expected:?}, the input as it is; \
         for another height and width: Preparation::size"
    )]
    ArrayShape {
        /// The file, and the member of an archive.
        array: String,
        /// `[C, H, W]` of the input.
        expected: [usize; 3],
        /// The array's shape.
        got: Vec<usize>,
    },
    /// A file that says how pictures are prepared cannot be understood.
    #[error("{file}: {reason}")]
    Preparation {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}
