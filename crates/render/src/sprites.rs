//! Sprite maps: a small picture of every channel of a layer, in one grid.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::file::write_atomically;
use crate::{Picture, RenderError};

/// What the description beside the picture says it is.
const FORMAT: &str = "elucid sprite map 1";
/// Largest description that is read, in bytes.
const MAX_DESCRIPTION: u64 = 8 << 20;
/// Where there is no sprite.
const ABSENT: Rgb<u8> = Rgb([128; 3]);

/// One square picture per channel of a layer, in one grid.
///
/// Sprite `n` stands at row `n / columns` and column `n % columns`, with
/// `columns = floor(sqrt(count))`, as in Lucid's sprite maps. Some sprites may be missing: their
/// place is grey, and the map knows which they are. That is how work on one layer is stopped and
/// taken up again, and how it is divided: every machine fills in some channels, and
/// [`SpriteMap::merge`] puts the maps together.
///
/// A map is stored as two files: a PNG picture, and beside it a JSON file of the same name with the
/// layer, the size, the channels that are there, and the provenance. [`SpriteMap::to_bytes`] and
/// [`SpriteMap::from_bytes`] do without files.
///
/// ```
/// use elucid_render::{Picture, SpriteMap};
/// use ndarray::Array3;
///
/// # fn main() -> Result<(), elucid_render::RenderError> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("inception_4d.png");
/// let sprite = Picture::from_rgb(Array3::from_elem((4, 4, 3), 90).view())?;
/// let mut map = SpriteMap::new("inception_4d", 4, 10)?.provenance("fft, 512 steps, seed 0");
/// map.insert(7, &sprite)?;
/// map.save(&path)?;
///
/// let map = SpriteMap::open(&path)?;
/// assert_eq!(map.columns(), 3);
/// assert_eq!(map.sprite(7), Some(sprite));
/// assert_eq!(map.missing().len(), 9);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpriteMap {
    layer: String,
    size: usize,
    provenance: String,
    present: Vec<bool>,
    picture: Picture,
}

/// The JSON file beside the picture.
#[derive(Serialize, Deserialize)]
struct Description {
    format: String,
    layer: String,
    /// Side of a sprite in pixels.
    size: usize,
    /// Number of channels of the layer.
    count: usize,
    columns: usize,
    provenance: String,
    /// The channels whose sprites are there.
    channels: Vec<usize>,
}

impl SpriteMap {
    /// Largest number of channels.
    pub const MAX_COUNT: usize = 1 << 16;
    /// Largest number of pixels of the picture, 2^27: 2048 channels of 256 x 256 pixels.
    pub const MAX_PIXELS: usize = 1 << 27;

    /// A map without sprites yet, for a layer of `count` channels, with sprites of `size` by `size`
    /// pixels.
    ///
    /// # Errors
    ///
    /// [`RenderError::Parameter`] for a size of 0, and for a count of 0 or above
    /// [`SpriteMap::MAX_COUNT`]; [`RenderError::PictureTooLarge`] above
    /// [`SpriteMap::MAX_PIXELS`].
    pub fn new(layer: impl Into<String>, size: usize, count: usize) -> Result<Self, RenderError> {
        let [height, width] = extent(size, count)?;
        let image = RgbImage::from_pixel(width as u32, height as u32, ABSENT);
        Ok(SpriteMap {
            layer: layer.into(),
            size,
            provenance: String::new(),
            present: vec![false; count],
            picture: Picture::from_image(image)?,
        })
    }

    /// A whole map from one picture per channel, all square and of one size.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] without pictures, [`RenderError::Shape`] when one is not square or
    /// differs in size from the first, and those of [`SpriteMap::new`].
    pub fn from_pictures(
        layer: impl Into<String>,
        pictures: &[Picture],
    ) -> Result<Self, RenderError> {
        let Some(first) = pictures.first() else {
            return Err(no_pictures("the list of sprites"));
        };
        let mut map = Self::new(layer, first.width(), pictures.len())?;
        for (channel, picture) in pictures.iter().enumerate() {
            map.insert(channel, picture)?;
        }
        Ok(map)
    }

    /// Says how the sprites were made: network, method, steps, seed. Maps of different provenance
    /// are not merged.
    pub fn provenance(mut self, provenance: impl Into<String>) -> Self {
        self.provenance = provenance.into();
        self
    }

    /// Puts in the sprite of a channel, in the place of what may be there.
    ///
    /// # Errors
    ///
    /// [`RenderError::Parameter`] when the layer has no such channel, [`RenderError::Shape`] when
    /// the picture is not of the map's size.
    pub fn insert(&mut self, channel: usize, sprite: &Picture) -> Result<(), RenderError> {
        if channel >= self.count() {
            return Err(RenderError::Parameter {
                parameter: "the channel of a sprite",
                value: format!("{channel} of {}", self.count()),
                expected: "a channel that the layer has, counted from 0",
            });
        }
        if [sprite.height(), sprite.width()] != [self.size; 2] {
            return Err(RenderError::Shape {
                what: format!("the sprite of channel {channel}"),
                expected: vec![self.size, self.size],
                got: vec![sprite.height(), sprite.width()],
            });
        }
        let [top, left] = self.corner(channel);
        let image = self.picture.image_mut();
        image::imageops::replace(image, sprite.as_image(), left.into(), top.into());
        self.present[channel] = true;
        Ok(())
    }

    /// The sprite of a channel, if it is there.
    pub fn sprite(&self, channel: usize) -> Option<Picture> {
        if !self.contains(channel) {
            return None;
        }
        let [top, left] = self.corner(channel);
        let size = self.size as u32;
        let view = image::imageops::crop_imm(self.picture.as_image(), left, top, size, size);
        Picture::from_image(view.to_image()).ok()
    }

    /// Whether the sprite of a channel is there.
    pub fn contains(&self, channel: usize) -> bool {
        self.present.get(channel).copied().unwrap_or(false)
    }

    /// The channels without a sprite, in ascending order.
    pub fn missing(&self) -> Vec<usize> {
        self.channels(false)
    }

    /// The channels with a sprite, in ascending order.
    pub fn present(&self) -> Vec<usize> {
        self.channels(true)
    }

    fn channels(&self, present: bool) -> Vec<usize> {
        (0..self.count())
            .filter(|&channel| self.present[channel] == present)
            .collect()
    }

    /// The layer.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Side of a sprite in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Number of channels of the layer.
    pub fn count(&self) -> usize {
        self.present.len()
    }

    /// Sprites in a row, `floor(sqrt(count))`.
    pub fn columns(&self) -> usize {
        columns(self.count())
    }

    /// How the sprites were made.
    pub fn made_by(&self) -> &str {
        &self.provenance
    }

    /// The grid of all sprites.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Top and left pixel of a sprite.
    fn corner(&self, channel: usize) -> [u32; 2] {
        let columns = self.columns();
        [channel / columns, channel % columns].map(|i| (i * self.size) as u32)
    }

    /// The map with the sprites of all of them. Where two have a sprite of one channel, the earlier
    /// map's counts. [`SpriteMap::missing`] lists the channels that none of them has.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] without maps; [`RenderError::Merge`] when two differ in layer, size,
    /// count or provenance.
    pub fn merge(maps: impl IntoIterator<Item = SpriteMap>) -> Result<Self, RenderError> {
        let mut maps = maps.into_iter();
        let mut merged = maps
            .next()
            .ok_or_else(|| no_pictures("the list of sprite maps"))?;
        for map in maps {
            merged.expect_same(&map)?;
            for channel in map.present() {
                if let (false, Some(sprite)) = (merged.contains(channel), map.sprite(channel)) {
                    merged.insert(channel, &sprite)?;
                }
            }
        }
        Ok(merged)
    }

    fn expect_same(&self, other: &SpriteMap) -> Result<(), RenderError> {
        let facts = |map: &SpriteMap| {
            [
                ("layer", map.layer.clone()),
                ("size", map.size.to_string()),
                ("number of channels", map.count().to_string()),
                ("provenance", map.provenance.clone()),
            ]
        };
        for ((what, first), (_, second)) in facts(self).into_iter().zip(facts(other)) {
            if first != second {
                return Err(RenderError::Merge {
                    what,
                    first,
                    second,
                });
            }
        }
        Ok(())
    }

    /// Writes the picture to `path` as PNG, and the description beside it, to the same name with
    /// the extension `json`. Each file is replaced in one step, the picture first: a description
    /// never lists a sprite that the picture does not have.
    ///
    /// # Errors
    ///
    /// [`RenderError::Parameter`] when `path` itself ends in `json`, [`RenderError::Write`] naming
    /// the file, [`RenderError::Encode`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), RenderError> {
        let path = path.as_ref();
        let description = beside(path)?;
        let (picture, json) = self.to_bytes()?;
        write_atomically(path, &picture)?;
        write_atomically(description, &json)
    }

    /// What [`SpriteMap::save`] writes: the picture as a PNG file, and the description as a JSON
    /// file.
    ///
    /// # Errors
    ///
    /// [`RenderError::Encode`].
    pub fn to_bytes(&self) -> Result<(Vec<u8>, Vec<u8>), RenderError> {
        let text = Description {
            format: FORMAT.to_owned(),
            layer: self.layer.clone(),
            size: self.size,
            count: self.count(),
            columns: self.columns(),
            provenance: self.provenance.clone(),
            channels: self.present(),
        };
        let mut json = serde_json::to_vec(&text)
            .map_err(|source| RenderError::encode("description of the sprite map", source))?;
        json.push(b'\n');
        Ok((self.picture.to_png_bytes()?, json))
    }

    /// Reads the map whose picture is at `path`.
    ///
    /// Nothing is decoded before the description and the head of the picture agree, so that no file
    /// makes this take more memory than a map of [`SpriteMap::MAX_PIXELS`].
    ///
    /// # Errors
    ///
    /// [`RenderError::Read`] naming the file that cannot be read, [`RenderError::Malformed`] when
    /// the description is none, or the picture is not what it describes, and those of
    /// [`SpriteMap::new`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RenderError> {
        let path = path.as_ref();
        let beside = beside(path)?;
        let open = |path: &Path| File::open(path).map_err(|source| unreadable(path, source));
        let description = read_description(open(&beside)?, &beside)?;
        Self::read(description, &beside, BufReader::new(open(path)?), path)
    }

    /// Reads a map from the bytes of its two files, see [`SpriteMap::to_bytes`].
    ///
    /// # Errors
    ///
    /// As [`SpriteMap::open`]; messages call the files "the picture" and "the description".
    pub fn from_bytes(picture: &[u8], description: &[u8]) -> Result<Self, RenderError> {
        let names = ["the picture", "the description"].map(Path::new);
        let description = read_description(description, names[1])?;
        Self::read(description, names[1], Cursor::new(picture), names[0])
    }

    /// The map that `text`, from the file `described`, says of the PNG file `picture`.
    fn read(
        text: Description,
        described: &Path,
        picture: impl BufRead + Seek,
        path: &Path,
    ) -> Result<Self, RenderError> {
        let malformed = |what: String| RenderError::Malformed {
            path: described.to_owned(),
            what,
        };
        if text.format != FORMAT {
            return Err(malformed(format!(
                "its format is {:?}, expected {FORMAT:?}",
                text.format
            )));
        }
        let expected = extent(text.size, text.count)?;
        if text.columns != columns(text.count) {
            return Err(malformed(format!(
                "{} channels stand in {} columns, expected {}",
                text.count,
                text.columns,
                columns(text.count)
            )));
        }
        let mut present = vec![false; text.count];
        for channel in text.channels {
            let there = present.get_mut(channel).ok_or_else(|| {
                malformed(format!("it lists channel {channel} of {}", text.count))
            })?;
            *there = true;
        }
        Ok(SpriteMap {
            layer: text.layer,
            size: text.size,
            provenance: text.provenance,
            present,
            picture: Picture::from_image(read_grid(picture, path, expected)?)?,
        })
    }
}

fn no_pictures(what: &str) -> RenderError {
    RenderError::Empty {
        what: what.to_owned(),
        shape: vec![0],
    }
}

fn columns(count: usize) -> usize {
    count.isqrt()
}

/// Height and width of the whole picture.
fn extent(size: usize, count: usize) -> Result<[usize; 2], RenderError> {
    if size == 0 {
        return Err(RenderError::Parameter {
            parameter: "the size of a sprite",
            value: size.to_string(),
            expected: "at least 1 pixel",
        });
    }
    if count == 0 || count > SpriteMap::MAX_COUNT {
        return Err(RenderError::Parameter {
            parameter: "the number of channels of a sprite map",
            value: count.to_string(),
            expected: "1 to 65536",
        });
    }
    let rows = count.div_ceil(columns(count));
    let height = rows.saturating_mul(size);
    let width = columns(count).saturating_mul(size);
    match height.checked_mul(width) {
        Some(pixels) if pixels <= SpriteMap::MAX_PIXELS => Ok([height, width]),
        _ => Err(RenderError::PictureTooLarge {
            height,
            width,
            limit: SpriteMap::MAX_PIXELS,
        }),
    }
}

/// The description's place.
fn beside(path: &Path) -> Result<PathBuf, RenderError> {
    let description = path.with_extension("json");
    if description == path {
        return Err(RenderError::Parameter {
            parameter: "the path of a sprite map",
            value: path.display().to_string(),
            expected: "the picture, such as layer.png; its description lies beside it",
        });
    }
    Ok(description)
}

fn unreadable(path: &Path, source: std::io::Error) -> RenderError {
    RenderError::Read {
        path: path.to_owned(),
        source,
    }
}

fn read_description(file: impl Read, path: &Path) -> Result<Description, RenderError> {
    let mut json = Vec::new();
    file.take(MAX_DESCRIPTION + 1)
        .read_to_end(&mut json)
        .map_err(|source| unreadable(path, source))?;
    let malformed = |what: String| RenderError::Malformed {
        path: path.to_owned(),
        what,
    };
    if json.len() as u64 > MAX_DESCRIPTION {
        return Err(malformed(format!(
            "it is larger than {MAX_DESCRIPTION} bytes"
        )));
    }
    serde_json::from_slice(&json).map_err(|error| malformed(error.to_string()))
}

fn read_grid(
    file: impl BufRead + Seek,
    path: &Path,
    [height, width]: [usize; 2],
) -> Result<RgbImage, RenderError> {
    let malformed = |what: String| RenderError::Malformed {
        path: path.to_owned(),
        what,
    };
    let undecodable = |error: image::ImageError| match error {
        image::ImageError::IoError(source) => unreadable(path, source),
        other => malformed(other.to_string()),
    };
    let mut reader = ImageReader::with_format(file, ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_alloc = Some(4 * SpriteMap::MAX_PIXELS as u64);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(undecodable)?;
    let (across, down) = decoder.dimensions();
    if [down as usize, across as usize] != [height, width] {
        return Err(malformed(format!(
            "it has {down} x {across} pixels, expected {height} x {width}"
        )));
    }
    if decoder.color_type() != ColorType::Rgb8 {
        return Err(malformed(format!(
            "its pixels are {:?}, expected Rgb8",
            decoder.color_type()
        )));
    }
    let image = image::DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    Ok(image.into_rgb8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    fn sprite(level: u8) -> Picture {
        Picture::from_rgb(Array3::from_elem((2, 2, 3), level).view()).unwrap()
    }

    fn map(channels: &[usize]) -> SpriteMap {
        let mut map = SpriteMap::new("mixed", 2, 11).unwrap().provenance("seed 0");
        for &channel in channels {
            map.insert(channel, &sprite(10 * channel as u8)).unwrap();
        }
        map
    }

    #[test]
    fn grids_are_those_of_lucid() {
        for (count, columns) in [
            (256, 16),
            (480, 21),
            (512, 22),
            (528, 22),
            (832, 28),
            (1, 1),
        ] {
            assert_eq!(SpriteMap::new("l", 1, count).unwrap().columns(), columns);
        }
    }

    #[test]
    fn sprites_stand_where_their_channel_says() {
        // Eleven channels in three columns and four rows.
        let map = map(&[0, 7, 10]);
        let picture = map.picture();
        assert_eq!((picture.height(), picture.width()), (8, 6));
        assert_eq!(picture.pixel(5, 3), [70; 3]);
        assert_eq!(picture.pixel(6, 2), [100; 3]);
        assert_eq!(picture.pixel(0, 2), [128; 3]);
        assert_eq!(map.sprite(7), Some(sprite(70)));
        assert_eq!((map.sprite(1), map.sprite(11)), (None, None));
        assert_eq!(map.present(), [0, 7, 10]);
        assert_eq!(map.missing(), [1, 2, 3, 4, 5, 6, 8, 9]);
        let whole = SpriteMap::from_pictures("l", &[sprite(1), sprite(2)]).unwrap();
        assert_eq!((whole.count(), whole.missing().len()), (2, 0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut map = map(&[]);
        assert!(matches!(
            map.insert(11, &sprite(1)),
            Err(RenderError::Parameter { .. })
        ));
        let wide = Picture::from_rgb(Array3::zeros((2, 3, 3)).view()).unwrap();
        assert!(matches!(
            map.insert(1, &wide),
            Err(RenderError::Shape { .. })
        ));
        for (size, count) in [(0, 4), (4, 0), (4, SpriteMap::MAX_COUNT + 1)] {
            assert!(matches!(
                SpriteMap::new("l", size, count),
                Err(RenderError::Parameter { .. })
            ));
        }
        for size in [usize::MAX, 20_000] {
            assert!(matches!(
                SpriteMap::new("l", size, 4),
                Err(RenderError::PictureTooLarge { .. })
            ));
        }
        assert!(SpriteMap::from_pictures("l", &[]).is_err());
        assert!(SpriteMap::from_pictures("l", &[sprite(1), wide]).is_err());
    }

    #[test]
    fn shards_merge_and_strangers_do_not() {
        let merged = SpriteMap::merge([map(&[0, 3]), map(&[7, 3]), map(&[10])]).unwrap();
        assert_eq!(merged, map(&[0, 3, 7, 10]));
        assert_eq!(merged.missing(), [1, 2, 4, 5, 6, 8, 9]);

        // The earlier map's sprite counts.
        let mut other = map(&[]);
        other.insert(3, &sprite(255)).unwrap();
        assert_eq!(SpriteMap::merge([map(&[3]), other]).unwrap(), map(&[3]));

        let with = |layer: &str, size, count, made: &str| {
            SpriteMap::new(layer, size, count).unwrap().provenance(made)
        };
        for (stranger, word) in [
            (with("other", 2, 11, "seed 0"), "layer"),
            (with("mixed", 3, 11, "seed 0"), "size"),
            (with("mixed", 2, 12, "seed 0"), "number of channels"),
            (with("mixed", 2, 11, "seed 1"), "provenance"),
        ] {
            match SpriteMap::merge([map(&[0]), stranger]) {
                Err(RenderError::Merge { what, .. }) => assert_eq!(what, word),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            SpriteMap::merge([]),
            Err(RenderError::Empty { .. })
        ));
    }

    #[test]
    fn files_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mixed.png");
        map(&[2, 5]).save(&path).unwrap();
        assert_eq!(SpriteMap::open(&path).unwrap(), map(&[2, 5]));
        map(&[2, 5, 6]).save(&path).unwrap();
        assert_eq!(SpriteMap::open(&path).unwrap(), map(&[2, 5, 6]));
        let json = folder.path().join("mixed.json");
        assert!(matches!(
            SpriteMap::open(&json),
            Err(RenderError::Parameter { .. })
        ));
        assert!(map(&[]).save(&json).is_err());
    }

    #[test]
    fn bytes_are_those_of_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mixed.png");
        map(&[2, 5]).save(&path).unwrap();
        let (picture, description) = map(&[2, 5]).to_bytes().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), picture);
        let json = std::fs::read(path.with_extension("json")).unwrap();
        assert_eq!(json, description);
        let read = SpriteMap::from_bytes(&picture, &description).unwrap();
        assert_eq!(read, map(&[2, 5]));

        let message = |picture: &[u8], description: &[u8]| {
            let error = SpriteMap::from_bytes(picture, description).unwrap_err();
            error.to_string()
        };
        let other = SpriteMap::new("mixed", 3, 11).unwrap().to_bytes().unwrap();
        assert!(message(&other.0, &description).starts_with("the picture"));
        assert!(message(&picture, b"[]").starts_with("the description"));
        assert!(message(&[], &description).contains("the picture"));
    }

    #[test]
    fn hostile_files_are_typed_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mixed.png");
        let json = folder.path().join("mixed.json");
        assert!(matches!(
            SpriteMap::open(&path),
            Err(RenderError::Read { .. })
        ));
        map(&[2]).save(&path).unwrap();
        let good = std::fs::read_to_string(&json).unwrap();
        let expect = |text: &str, wanted: &str| {
            std::fs::write(&json, text).unwrap();
            let message = SpriteMap::open(&path).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        };
        expect("{", "EOF");
        expect(&good.replace("map 1", "map 2"), "its format is");
        expect(
            &good.replace("\"count\":11", "\"count\":13"),
            "expected 10 x 6",
        );
        expect(
            &good.replace("\"count\":11", "\"count\":0"),
            "number of channels",
        );
        expect(
            &good.replace("\"size\":2", "\"size\":2000000000"),
            "too large",
        );
        expect(&good.replace("\"size\":2", "\"size\":-1"), "invalid value");
        expect(&good.replace("\"size\":2", "\"size\":3"), "expected 12 x 9");
        expect(
            &good.replace("\"columns\":3", "\"columns\":4"),
            "expected 3",
        );
        expect(&good.replace("[2]", "[11]"), "channel 11 of 11");
        std::fs::write(&json, &good).unwrap();

        let gray = image::GrayImage::new(6, 8);
        gray.save(&path).unwrap();
        expect(&good, "expected Rgb8");
        std::fs::write(&path, b"GIF89a").unwrap();
        assert!(matches!(
            SpriteMap::open(&path),
            Err(RenderError::Malformed { .. })
        ));
        let mut cut = sprite(1).to_png_bytes().unwrap();
        cut.truncate(20);
        std::fs::write(&path, cut).unwrap();
        assert!(SpriteMap::open(&path).is_err());
        std::fs::remove_file(&json).unwrap();
        let message = SpriteMap::open(&path).unwrap_err().to_string();
        assert!(message.contains("mixed.json"), "{message}");
    }
}
