//! Many pictures to look through, each with words below it: contact sheets.

use crate::drawing::{Align, Drawing, Item, Text, fitting, width as text_width};
use crate::{Picture, RenderError};

/// Pixels of a unit of drawings: pictures are drawn one pixel for each of theirs.
const PIXELS: f64 = 2.0;
/// Between places, and around everything.
const GAP: f64 = 4.0;
/// Of the words below a picture, and the height of a line of them.
const WORDS: f64 = 8.0;
const LINE: f64 = 10.0;
/// Room for the title, which widens a narrow sheet as far as this.
const HEAD: f64 = 12.0;
const TITLE: f64 = 240.0;
/// The narrowest place, in which `channel 1000` is not cut.
const NARROWEST: f64 = 60.0;

/// Pictures in rows on white, each as it is, pixel by pixel, above its words. Every place is as large as the largest picture.
///
/// ```
/// use elucid_render::{ContactSheet, Picture};
/// use ndarray::Array3;
///
/// let icon = Picture::from_rgb(Array3::from_elem((128, 128, 3), 90).view())?;
/// let sheet = ContactSheet::new("SqueezeNet, fire2/concat")
///     .picture(icon.clone(), ["channel 3", "value 12.5"])
///     .picture(icon, ["channel 8", "value 9.25"]);
/// assert!(sheet.draw(2)?.width() > 2 * 128);
/// # Ok::<(), elucid_render::RenderError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ContactSheet {
    title: String,
    cells: Vec<(Picture, Vec<String>)>,
}

impl ContactSheet {
    /// A sheet with a title above everything; with none where that is empty.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            cells: Vec::new(),
        }
    }

    /// With one more picture, and lines of words below it. Long ones lose their end, and letters other than those of Western
    /// Europe are question marks.
    pub fn picture<S: Into<String>>(
        mut self,
        picture: Picture,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        self.cells.push((picture, words));
        self
    }

    /// The sheet with so many pictures in a row.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] without pictures, [`RenderError::Parameter`] without columns, [`RenderError::PictureTooLarge`].
    pub fn draw(self, columns: usize) -> Result<Picture, RenderError> {
        if self.cells.is_empty() {
            return Err(RenderError::Empty {
                what: "the contact sheet".to_owned(),
                shape: vec![0],
            });
        }
        if columns == 0 {
            return Err(RenderError::Parameter {
                parameter: "the number of columns of a contact sheet",
                value: columns.to_string(),
                expected: "at least 1",
            });
        }
        let columns = columns.min(self.cells.len());
        let rows = self.cells.len().div_ceil(columns);
        let largest = |side: fn(&(Picture, Vec<String>)) -> usize| {
            self.cells.iter().map(side).max().unwrap_or(0) as f64
        };
        let width = (largest(|(picture, _)| picture.width()) / PIXELS).max(NARROWEST);
        let height = largest(|(picture, _)| picture.height()) / PIXELS;
        let lines = largest(|(_, words)| words.len());
        let step = [width + GAP, height + LINE * lines + GAP];
        let top = if self.title.is_empty() {
            GAP
        } else {
            HEAD + GAP
        };
        let title = fitting(
            &self.title,
            WORDS,
            TITLE.max(columns as f64 * step[0] - GAP),
        );
        let across = (columns as f64 * step[0]).max(text_width(&title, WORDS) + GAP);
        let size = [GAP + across, top + rows as f64 * step[1]];
        let mut drawing = Drawing::new(&self.title, size)?;
        drawing.put(Item::Text(Text {
            at: [GAP, GAP + WORDS],
            text: title,
            size: WORDS,
            align: Align::Start,
            bold: true,
            turned: false,
        }));
        for (i, (picture, words)) in self.cells.into_iter().enumerate() {
            let left = GAP + (i % columns) as f64 * step[0];
            let top = top + (i / columns) as f64 * step[1];
            for (line, words) in words.iter().enumerate() {
                let at = [left, top + height + LINE * (line + 1) as f64 - 2.0];
                drawing.text(&fitting(words, WORDS, width), at, WORDS, Align::Start);
            }
            drawing.put(Item::Image {
                at: [left, top],
                size: [picture.width(), picture.height()].map(|side| side as f64 / PIXELS),
                picture,
            });
        }
        drawing.picture()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn noise(height: usize, width: usize) -> Picture {
        let pixels = Array3::from_shape_fn((height, width, 3), |(y, x, c)| {
            (31 * y + 17 * x + 7 * c) as u8
        });
        Picture::from_rgb(pixels.view()).unwrap()
    }

    /// Whether there is ink in some rows and columns.
    fn is_written(
        sheet: &Picture,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) -> bool {
        rows.into_iter()
            .any(|y| columns.clone().any(|x| sheet.pixel(y, x)[0] < 100))
    }

    #[test]
    fn pictures_keep_their_pixels_and_have_words() {
        let pictures = [noise(150, 130), noise(151, 129), noise(90, 130)];
        let [a, b, c] = pictures.clone();
        let sheet = ContactSheet::new("all")
            .picture(a, ["channel 1000", "value 3"])
            .picture(b, ["x".repeat(400)])
            .picture(c, [""]);
        let sheet = sheet.draw(2).unwrap();
        let (across, down) = (130 + 8, 151 + 2 * 20 + 8);
        let (left, top) = (8, 32);
        assert_eq!(
            [sheet.width(), sheet.height()],
            [left + 2 * across, top + 2 * down]
        );
        for (i, picture) in pictures.iter().enumerate() {
            let (left, top) = (left + (i % 2) * across, top + (i / 2) * down);
            for (y, x) in [
                (0, 0),
                (50, 77),
                (picture.height() - 1, picture.width() - 1),
            ] {
                assert_eq!(sheet.pixel(top + y, left + x), picture.pixel(y, x), "{i}");
            }
        }
        let words = top + 151..top + 151 + 40;
        assert!(is_written(&sheet, 0..top, 0..across));
        assert!(is_written(&sheet, words.clone(), left..left + 130));
        assert!(is_written(
            &sheet,
            words.clone(),
            left + across..left + across + 130
        ));
        // No word leaves its place.
        assert!(!is_written(
            &sheet,
            words.clone(),
            left + 130..left + across
        ));
        assert!(!is_written(&sheet, words, sheet.width() - 8..sheet.width()));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let empty = ContactSheet::new("").draw(2);
        assert!(matches!(empty, Err(RenderError::Empty { .. })));
        let sheet = ContactSheet::new("").picture(noise(2, 2), ["a"]);
        assert!(matches!(
            sheet.clone().draw(0),
            Err(RenderError::Parameter { .. })
        ));
        assert!(sheet.draw(usize::MAX).is_ok());
    }
}
