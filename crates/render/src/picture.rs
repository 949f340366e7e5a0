//! Pictures: heat maps, overlays, rows of pictures, PNG.

use std::borrow::Borrow;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Rgb, RgbImage};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use crate::file::write_atomically;
use crate::normalise::check_finite;
use crate::resample::taps;
use crate::{ColorMap, Interpolation, Normalisation, RenderError};

/// An 8-bit sRGB picture with at least one pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    image: RgbImage,
}

impl Picture {
    /// Largest number of pixels of a picture, 2^28.
    pub const MAX_PIXELS: usize = 1 << 28;

    /// A picture from bytes `[H, W, 3]`.
    ///
    /// # Errors
    ///
    /// [`RenderError::Shape`] when the last axis is not 3, [`RenderError::Empty`],
    /// [`RenderError::PictureTooLarge`].
    pub fn from_rgb(rgb: ArrayView3<u8>) -> Result<Self, RenderError> {
        let (height, width, channels) = rgb.dim();
        check_channels(height, width, channels)?;
        Self::from_pixels(height, width, |y, x| [0, 1, 2].map(|c| rgb[[y, x, c]]))
    }

    /// A picture from numbers `[H, W, 3]`, where 0 is black and 1 is full; others are clipped.
    ///
    /// # Errors
    ///
    /// As [`Picture::from_rgb`], and [`RenderError::NotFinite`].
    pub fn from_unit_rgb(rgb: ArrayView3<f32>) -> Result<Self, RenderError> {
        let (height, width, channels) = rgb.dim();
        check_channels(height, width, channels)?;
        check_finite("the picture", rgb.into_dyn())?;
        Self::from_pixels(height, width, |y, x| {
            [0, 1, 2].map(|c| (rgb[[y, x, c]].clamp(0.0, 1.0) * 255.0).round() as u8)
        })
    }

    /// A picture from an image of the crate [`image`].
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`], [`RenderError::PictureTooLarge`].
    pub fn from_image(image: RgbImage) -> Result<Self, RenderError> {
        check_size(
            "the picture",
            image.height() as usize,
            image.width() as usize,
        )?;
        Ok(Picture { image })
    }

    /// The map `[H, W]` in colours, one pixel per cell.
    ///
    /// # Errors
    ///
    /// Those of [`Normalisation::apply`], and [`RenderError::PictureTooLarge`].
    pub fn heat_map(
        map: ArrayView2<f32>,
        colors: ColorMap,
        normalisation: Normalisation,
    ) -> Result<Self, RenderError> {
        Self::from_unit_map(&normalisation.apply(map)?, colors)
    }

    fn from_unit_map(map: &Array2<f32>, colors: ColorMap) -> Result<Self, RenderError> {
        let (height, width) = map.dim();
        Self::from_pixels(height, width, |y, x| colors.map(map[[y, x]]))
    }

    fn from_pixels(
        height: usize,
        width: usize,
        pixel: impl Fn(usize, usize) -> [u8; 3],
    ) -> Result<Self, RenderError> {
        check_size("the picture", height, width)?;
        let image = RgbImage::from_fn(width as u32, height as u32, |x, y| {
            Rgb(pixel(y as usize, x as usize))
        });
        Ok(Picture { image })
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.image.height() as usize
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.image.width() as usize
    }

    /// The pixel at a row and a column.
    ///
    /// # Panics
    ///
    /// When the position lies outside the picture.
    pub fn pixel(&self, row: usize, column: usize) -> [u8; 3] {
        assert!(
            row < self.height() && column < self.width(),
            "pixel ({row}, {column}) of a picture of {} x {}",
            self.height(),
            self.width()
        );
        self.image.get_pixel(column as u32, row as u32).0
    }

    /// The picture as an image of the crate [`image`].
    pub fn as_image(&self) -> &RgbImage {
        &self.image
    }

    pub(crate) fn image_mut(&mut self) -> &mut RgbImage {
        &mut self.image
    }

    /// The picture as an image of the crate [`image`].
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// The bytes, `[H, W, 3]`.
    pub fn to_rgb(&self) -> Array3<u8> {
        Array3::from_shape_fn((self.height(), self.width(), 3), |(y, x, c)| {
            self.image.get_pixel(x as u32, y as u32).0[c]
        })
    }

    /// The picture stretched to `height` rows and `width` columns; see [`Interpolation`] for the
    /// alignment. Bilinear mixing is done on the sRGB bytes, as image programs do.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] when a side is zero, [`RenderError::PictureTooLarge`].
    pub fn upsample(
        &self,
        height: usize,
        width: usize,
        interpolation: Interpolation,
    ) -> Result<Self, RenderError> {
        check_size("the picture", height, width)?;
        let rows = taps(self.height(), height, interpolation);
        let columns = taps(self.width(), width, interpolation);
        Self::from_pixels(height, width, |y, x| {
            let (row, column) = (rows[y], columns[x]);
            [0, 1, 2].map(|c| {
                let at =
                    |y: usize, x: usize| f32::from(self.image.get_pixel(x as u32, y as u32).0[c]);
                let across = |y: usize| column.mix(at(y, column.first), at(y, column.second));
                row.mix(across(row.first), across(row.second)).round() as u8
            })
        })
    }

    /// This photograph with another picture of any size stretched over it:
    /// `(1 - opacity) * photograph + opacity * layer` on the sRGB bytes.
    ///
    /// # Errors
    ///
    /// [`RenderError::Parameter`] when the opacity lies outside 0 to 1.
    pub fn overlay(
        &self,
        layer: &Picture,
        opacity: f32,
        interpolation: Interpolation,
    ) -> Result<Self, RenderError> {
        if !(0.0..=1.0).contains(&opacity) {
            return Err(RenderError::Parameter {
                parameter: "the opacity",
                value: opacity.to_string(),
                expected: "a number from 0 (only the photograph) to 1 (only the layer)",
            });
        }
        let layer = layer.upsample(self.height(), self.width(), interpolation)?;
        Self::from_pixels(self.height(), self.width(), |y, x| {
            let (below, above) = (self.pixel(y, x), layer.pixel(y, x));
            [0, 1, 2].map(|c| {
                ((1.0 - opacity) * f32::from(below[c]) + opacity * f32::from(above[c])).round()
                    as u8
            })
        })
    }

    /// This photograph with the map `[h, w]` in colours stretched over it.
    ///
    /// Values are interpolated before they are coloured, so no colour appears that the colour map
    /// does not have.
    ///
    /// # Errors
    ///
    /// Those of [`Normalisation::apply`] and [`Picture::overlay`].
    pub fn overlay_map(
        &self,
        map: ArrayView2<f32>,
        colors: ColorMap,
        normalisation: Normalisation,
        opacity: f32,
        interpolation: Interpolation,
    ) -> Result<Self, RenderError> {
        let unit = normalisation.apply(map)?;
        let stretched = crate::resample(unit.view(), self.height(), self.width(), interpolation)?;
        let layer = Self::from_unit_map(&stretched, colors)?;
        self.overlay(&layer, opacity, Interpolation::Nearest)
    }

    /// This photograph with the edge of a region `[h, w]` of any size, stretched over it by the nearest
    /// pixel: a white line inside of it and a black one around it, so that it shows on any picture.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] for a region without pixels.
    pub fn outlined(&self, region: ArrayView2<bool>) -> Result<Self, RenderError> {
        let (rows, columns) = region.dim();
        if rows == 0 || columns == 0 {
            return Err(RenderError::Empty {
                what: "a region".to_owned(),
                shape: vec![rows, columns],
            });
        }
        let inside = |y: usize, x: usize| {
            let at = |i: usize, size: usize, own: usize| (2 * i + 1) * own / (2 * size);
            region[[at(y, self.height(), rows), at(x, self.width(), columns)]]
        };
        // As thick as can be seen on a page.
        let thick = (self.height().min(self.width()) / 150).max(1);
        Self::from_pixels(self.height(), self.width(), |y, x| {
            let is_inside = inside(y, x);
            let near = |by: usize| {
                let rows = y.saturating_sub(by)..=(y + by).min(self.height() - 1);
                rows.flat_map(|y| {
                    let columns = x.saturating_sub(by)..=(x + by).min(self.width() - 1);
                    columns.map(move |x| (y, x))
                })
                .any(|(y, x)| inside(y, x) != is_inside)
            };
            let beyond =
                y < thick || x < thick || y + thick >= self.height() || x + thick >= self.width();
            match (is_inside, near(thick)) {
                (true, is_near) if is_near || beyond => [255; 3],
                (false, true) => [0; 3],
                _ => self.pixel(y, x),
            }
        })
    }

    /// Pictures in a row on white, `gap` pixels apart, aligned at the top.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] without pictures, [`RenderError::PictureTooLarge`].
    pub fn beside<P: Borrow<Picture>>(pictures: &[P], gap: usize) -> Result<Self, RenderError> {
        let pictures = pictures.iter().map(Borrow::borrow);
        let height = pictures.clone().map(Picture::height).max().unwrap_or(0);
        let gaps = gap.saturating_mul(pictures.len().saturating_sub(1));
        let width = pictures
            .clone()
            .map(Picture::width)
            .fold(gaps, usize::saturating_add);
        check_size("the row of pictures", height, width)?;
        let mut image = RgbImage::from_pixel(width as u32, height as u32, Rgb([255; 3]));
        let mut left = 0;
        for picture in pictures {
            image::imageops::replace(&mut image, &picture.image, left, 0);
            left += (picture.width() + gap) as i64;
        }
        Ok(Picture { image })
    }

    /// Pictures in a column on white, `gap` pixels apart, aligned at the left.
    ///
    /// # Errors
    ///
    /// As [`Picture::beside`].
    pub fn below<P: Borrow<Picture>>(pictures: &[P], gap: usize) -> Result<Self, RenderError> {
        let pictures = pictures.iter().map(Borrow::borrow);
        let width = pictures.clone().map(Picture::width).max().unwrap_or(0);
        let gaps = gap.saturating_mul(pictures.len().saturating_sub(1));
        let height = pictures
            .clone()
            .map(Picture::height)
            .fold(gaps, usize::saturating_add);
        check_size("the column of pictures", height, width)?;
        let mut image = RgbImage::from_pixel(width as u32, height as u32, Rgb([255; 3]));
        let mut top = 0;
        for picture in pictures {
            image::imageops::replace(&mut image, &picture.image, 0, top);
            top += (picture.height() + gap) as i64;
        }
        Ok(Picture { image })
    }

    /// The picture as a JPEG file of a quality from 1 to 100: about a fifth of the PNG for sprites
    /// and photographs, with errors that are seldom seen at 90.
    ///
    /// # Errors
    ///
    /// [`RenderError::Parameter`] for another quality, [`RenderError::Encode`] when the encoder
    /// fails, as it does for more than 65535 pixels in a row or column.
    pub fn to_jpeg_bytes(&self, quality: u8) -> Result<Vec<u8>, RenderError> {
        if !(1..=100).contains(&quality) {
            return Err(RenderError::Parameter {
                parameter: "the quality of a JPEG file",
                value: quality.to_string(),
                expected: "1 to 100",
            });
        }
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .encode_image(&self.image)
            .map_err(|source| RenderError::encode("picture as JPEG", source))?;
        Ok(bytes)
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    ///
    /// [`RenderError::Encode`] when the encoder fails.
    pub fn to_png_bytes(&self) -> Result<Vec<u8>, RenderError> {
        let mut bytes = Vec::new();
        // The encoder's own choice is the fastest, and leaves icons a seventh larger.
        let encoder = PngEncoder::new_with_quality(
            &mut bytes,
            CompressionType::Default,
            FilterType::Adaptive,
        );
        self.image
            .write_with_encoder(encoder)
            .map_err(|source| RenderError::encode("picture as PNG", source))?;
        Ok(bytes)
    }

    /// Writes the picture as a PNG file, replacing what is there in one step, whatever the
    /// extension says.
    ///
    /// # Errors
    ///
    /// [`RenderError::Write`] naming the path, [`RenderError::Encode`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), RenderError> {
        write_atomically(path, &self.to_png_bytes()?)
    }
}

fn check_channels(height: usize, width: usize, channels: usize) -> Result<(), RenderError> {
    if channels == 3 {
        return Ok(());
    }
    Err(RenderError::Shape {
        what: "the RGB array".to_owned(),
        expected: vec![height, width, 3],
        got: vec![height, width, channels],
    })
}

pub(crate) fn check_size(what: &str, height: usize, width: usize) -> Result<(), RenderError> {
    if height == 0 || width == 0 {
        return Err(RenderError::Empty {
            what: what.to_owned(),
            shape: vec![height, width],
        });
    }
    match height.checked_mul(width) {
        Some(pixels) if pixels <= Picture::MAX_PIXELS => Ok(()),
        _ => Err(RenderError::PictureTooLarge {
            height,
            width,
            limit: Picture::MAX_PIXELS,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn checkers(height: usize, width: usize) -> Picture {
        let rgb = Array3::from_shape_fn((height, width, 3), |(y, x, c)| (40 * y + 7 * x + c) as u8);
        Picture::from_rgb(rgb.view()).unwrap()
    }

    #[test]
    fn a_region_has_a_white_edge_in_a_black_one() {
        let grey = Picture::from_rgb(Array3::from_elem((8, 8, 3), 100_u8).view()).unwrap();
        // The right lower quarter, of a map of 2 x 2.
        let region = ndarray::array![[false, false], [false, true]];
        let outlined = grey.outlined(region.view()).unwrap();
        for (y, x, want) in [
            (0, 0, 100),
            (3, 3, 0),
            (3, 7, 0),
            (7, 3, 0),
            (4, 4, 255),
            (4, 7, 255),
            (7, 7, 255),
            (6, 5, 100),
            (2, 6, 100),
        ] {
            assert_eq!(outlined.pixel(y, x), [want; 3], "{y} {x}");
        }
        let nowhere = grey.outlined(ndarray::arr2(&[[false]]).view()).unwrap();
        assert_eq!(nowhere.to_rgb(), grey.to_rgb());
        assert!(
            grey.outlined(ndarray::Array2::from_elem((0, 3), true).view())
                .is_err()
        );
    }

    #[test]
    fn arrays_survive_the_round_trip() {
        let rgb = Array3::from_shape_fn((2, 5, 3), |(y, x, c)| (y * 100 + x * 10 + c) as u8);
        let picture = Picture::from_rgb(rgb.view()).unwrap();
        assert_eq!((picture.height(), picture.width()), (2, 5));
        assert_eq!(picture.pixel(1, 4), [140, 141, 142]);
        assert_eq!(picture.to_rgb(), rgb);
        let png = image::load_from_memory(&picture.to_png_bytes().unwrap()).unwrap();
        assert_eq!(&png.to_rgb8(), picture.as_image());
        // A view that does not lie in row order.
        let turned = rgb.view().permuted_axes([1, 0, 2]);
        let picture = Picture::from_rgb(turned).unwrap();
        assert_eq!(picture.pixel(4, 1), [140, 141, 142]);
    }

    #[test]
    fn heat_maps_colour_by_value() {
        let map = array![[-2.0, 0.0, 2.0]];
        let picture = Picture::heat_map(map.view(), ColorMap::RdBu, Normalisation::MaxAbs).unwrap();
        for (x, t) in [0.0, 0.5, 1.0].into_iter().enumerate() {
            assert_eq!(picture.pixel(0, x), ColorMap::RdBu.map(t));
        }
    }

    #[test]
    fn odd_maps_have_defined_pictures_or_errors() {
        for normalisation in [
            Normalisation::MinMax,
            Normalisation::MaxAbs,
            Normalisation::Positive,
        ] {
            for colors in ColorMap::ALL {
                let zeros = Array2::zeros((3, 2));
                let picture = Picture::heat_map(zeros.view(), colors, normalisation).unwrap();
                let t = if normalisation == Normalisation::MaxAbs {
                    0.5
                } else {
                    0.0
                };
                assert_eq!(picture.pixel(2, 1), colors.map(t));
            }
            let nan = Picture::heat_map(
                array![[1.0, f32::NAN]].view(),
                ColorMap::Viridis,
                normalisation,
            );
            assert!(matches!(nan, Err(RenderError::NotFinite { .. })));
            let empty = Picture::heat_map(
                Array2::zeros((0, 0)).view(),
                ColorMap::Viridis,
                normalisation,
            );
            assert!(matches!(empty, Err(RenderError::Empty { .. })));
        }
        let four = Array3::<u8>::zeros((2, 2, 4));
        assert!(matches!(
            Picture::from_rgb(four.view()),
            Err(RenderError::Shape { .. })
        ));
        assert!(Picture::from_rgb(Array3::zeros((2, 0, 3)).view()).is_err());
        assert!(Picture::from_image(RgbImage::new(0, 0)).is_err());
        assert!(Picture::from_unit_rgb(Array3::from_elem((1, 1, 3), f32::NAN).view()).is_err());
    }

    #[test]
    fn unit_rgb_is_rounded_and_clipped() {
        let rgb = array![[[-1.0, 0.5, 2.0]]];
        let picture = Picture::from_unit_rgb(rgb.view()).unwrap();
        assert_eq!(picture.pixel(0, 0), [0, 128, 255]);
    }

    #[test]
    fn overlays_mix_and_align() {
        let photo = checkers(4, 6);
        let layer = checkers(2, 3);
        let none = photo.overlay(&layer, 0.0, Interpolation::Nearest).unwrap();
        assert_eq!(none, photo);
        let all = photo.overlay(&layer, 1.0, Interpolation::Nearest).unwrap();
        for y in 0..4 {
            for x in 0..6 {
                assert_eq!(all.pixel(y, x), layer.pixel(y / 2, x / 2));
            }
        }
        let half = photo.overlay(&layer, 0.5, Interpolation::Nearest).unwrap();
        let mean = (f32::from(photo.pixel(3, 5)[0]) + f32::from(layer.pixel(1, 2)[0])) / 2.0;
        assert_eq!(half.pixel(3, 5)[0], mean.round() as u8);
        for opacity in [-0.1, 1.1, f32::NAN] {
            assert!(matches!(
                photo.overlay(&layer, opacity, Interpolation::Nearest),
                Err(RenderError::Parameter { .. })
            ));
        }
    }

    #[test]
    fn overlaid_maps_interpolate_values_and_not_colours() {
        let photo = checkers(2, 4);
        let map = array![[0.0, 1.0]];
        let out = photo
            .overlay_map(
                map.view(),
                ColorMap::Viridis,
                Normalisation::MinMax,
                1.0,
                Interpolation::Bilinear,
            )
            .unwrap();
        for (x, t) in [0.0, 0.25, 0.75, 1.0].into_iter().enumerate() {
            assert_eq!(out.pixel(1, x), ColorMap::Viridis.map(t));
        }
    }

    #[test]
    fn upsampling_matches_the_map_version() {
        let map = array![[0.0, 51.0], [102.0, 255.0], [17.0, 34.0]];
        let gray = Picture::heat_map(
            map.view(),
            ColorMap::Gray,
            Normalisation::Range {
                low: 0.0,
                high: 255.0,
            },
        )
        .unwrap();
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            let picture = gray.upsample(7, 5, interpolation).unwrap();
            let values = crate::resample(map.view(), 7, 5, interpolation).unwrap();
            for ((y, x), value) in values.indexed_iter() {
                assert_eq!(picture.pixel(y, x), [value.round() as u8; 3]);
            }
        }
        assert!(gray.upsample(0, 5, Interpolation::Nearest).is_err());
        assert!(
            gray.upsample(1 << 20, 1 << 20, Interpolation::Nearest)
                .is_err()
        );
    }

    #[test]
    fn rows_of_pictures() {
        let (small, large) = (checkers(1, 2), checkers(3, 1));
        let row = Picture::beside(&[&small, &large], 2).unwrap();
        assert_eq!((row.height(), row.width()), (3, 5));
        assert_eq!(row.pixel(0, 1), small.pixel(0, 1));
        assert_eq!(row.pixel(2, 4), large.pixel(2, 0));
        assert_eq!(row.pixel(1, 0), [255; 3]);
        assert_eq!(row.pixel(0, 3), [255; 3]);
        let column = Picture::below(&[&small, &large], 2).unwrap();
        assert_eq!(column.width(), small.width().max(large.width()));
        assert_eq!(column.height(), small.height() + 2 + large.height());
        assert_eq!(column.pixel(0, 0), small.pixel(0, 0));
        assert_eq!(column.pixel(small.height() + 2, 0), large.pixel(0, 0));
        assert_eq!(column.pixel(small.height(), 0), [255; 3]);
        assert!(matches!(
            Picture::beside::<Picture>(&[], 2),
            Err(RenderError::Empty { .. })
        ));
        assert!(Picture::beside(&[small, large], usize::MAX).is_err());
    }

    #[test]
    fn jpeg_files_are_close() {
        let picture = checkers(16, 16);
        let bytes = picture.to_jpeg_bytes(95).unwrap();
        let read = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(read.dimensions(), (16, 16));
        let flat = Picture::from_rgb(Array3::from_elem((16, 16, 3), 77).view()).unwrap();
        let read = image::load_from_memory(&flat.to_jpeg_bytes(90).unwrap()).unwrap();
        assert!(read.to_rgb8().iter().all(|v| v.abs_diff(77) <= 2));
        assert!(picture.to_jpeg_bytes(0).is_err() && picture.to_jpeg_bytes(101).is_err());
    }

    #[test]
    fn saving_says_where_it_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.png");
        checkers(3, 3).save(&path).unwrap();
        assert_eq!(
            image::open(&path).unwrap().to_rgb8(),
            checkers(3, 3).into_image()
        );
        let error = checkers(3, 3)
            .save(folder.path().join("no/such/folder.png"))
            .unwrap_err();
        assert!(error.to_string().contains("folder.png"));
    }
}
