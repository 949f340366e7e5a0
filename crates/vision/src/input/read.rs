//! Pictures from files.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::error::InputError;
use super::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_PIXELS};

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
    decode(&read_file(path)?, path.display().to_string())
}

/// The bytes of a file that is not too large.
///
/// # Errors
/// [`InputError::Read`] and [`InputError::FileTooLarge`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, InputError> {
    let picture = path.display().to_string();
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(source) => Err(InputError::Read { picture, source }),
        Ok(read) if read as u64 > MAX_FILE_BYTES => Err(InputError::FileTooLarge { picture }),
        Ok(_) => Ok(bytes),
    }
}

/// Decodes a picture file that is in memory, turned as its EXIF orientation says.
///
/// # Errors
/// When `bytes` are empty, not a picture in a supported format, or damaged.
pub fn decode_image(bytes: &[u8]) -> Result<DynamicImage, InputError> {
    decode(bytes, "the picture".to_owned())
}

/// As [`decode_image`], with what errors call the picture.
///
/// # Errors
/// As [`decode_image`].
pub fn decode_image_of(
    bytes: &[u8],
    picture: impl Into<String>,
) -> Result<DynamicImage, InputError> {
    decode(bytes, picture.into())
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
    let damaged = |source| match source {
        // It is whole, and nothing that the decoder knows.
        ImageError::Unsupported(why) => InputError::PixelKind {
            picture: picture.clone(),
            kind: why.to_string(),
        },
        source => InputError::Decode {
            picture: picture.clone(),
            source,
        },
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
