//! Masks of objects: PNG files in which a number for each pixel says what it belongs to.

use std::io::Cursor;
use std::path::Path;

use elucid_vision::input::MAX_PIXELS;
use ndarray::Array2;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::beside::Beside;
use crate::data::Item;
use crate::error::StudyError;
use crate::stored::Stored;

/// The number of pixels that belong to nothing that anybody would say, in files with a palette.
const VOID: u8 = 255;

/// Folders of Pascal VOC: of the first, numbers are classes, of the second, objects.
const NUMBERED: [&str; 2] = ["SegmentationClass", "SegmentationObject"];

/// Pascal VOC's classes, from number 1 on.
const VOC: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// Which pixels of a picture are the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The PNG file, of one number for each pixel: a palette, grey or 1 bit.
    pub stored: Stored,
    /// Which numbers are the object; all but 0 if there are none. 255 of a palette is neither object nor surroundings.
    pub numbers: Vec<u8>,
}

/// What a pixel belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Rest,
    Object,
    /// Nobody says.
    Void,
}

impl Mask {
    /// Its name, and which numbers count.
    pub(crate) fn named(&self) -> String {
        let name = match &self.stored {
            Stored::File(path) => path
                .file_name()
                .map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            Stored::Member { name, .. } => name.clone(),
        };
        match self.numbers.is_empty() {
            true => name,
            false => format!("{name} {:?}", self.numbers),
        }
    }

    /// What each pixel of a picture of `size`, width and height, belongs to: `[height, width]`.
    ///
    /// # Errors
    ///
    /// [`StudyError::Mask`] for what is no such file, [`StudyError::MaskSize`] for one of another size.
    pub(crate) fn parts(&self, picture: [u32; 2]) -> Result<Array2<Part>, StudyError> {
        let numbers = Numbers::read(&self.stored.bytes()?).map_err(|reason| StudyError::Mask {
            file: self.stored.to_string(),
            reason,
        })?;
        let (height, width) = numbers.values.dim();
        let mask = [width as u32, height as u32];
        if mask != picture {
            let file = self.stored.to_string();
            return Err(StudyError::MaskSize {
                file,
                mask,
                picture,
            });
        }
        Ok(numbers.values.mapv(|number| match number {
            VOID if numbers.has_palette => Part::Void,
            0 => Part::Rest,
            _ if self.numbers.is_empty() || self.numbers.contains(&number) => Part::Object,
            _ => Part::Rest,
        }))
    }
}

/// The numbers of a PNG file, `[height, width]`.
struct Numbers {
    values: Array2<u8>,
    has_palette: bool,
}

impl Numbers {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let limits = Limits {
            bytes: MAX_PIXELS as usize,
        };
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
        // Numbers as they are written, not the colours that stand for them.
        decoder.set_transformations(Transformations::IDENTITY);
        let broken =
            |error: png::DecodingError| format!("it is no PNG file that can be read: {error}");
        let mut reader = decoder.read_info().map_err(broken)?;
        let info = reader.info();
        let (width, height) = (info.width, info.height);
        let (color, depth) = (info.color_type, info.bit_depth);
        let has_palette = match color {
            ColorType::Indexed => true,
            ColorType::Grayscale => false,
            other => {
                return Err(format!(
                    "its pixels are colours ({other:?}), expected one number for each: a palette, grey or 1 bit"
                ));
            }
        };
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(format!(
                "it has {width} x {height} pixels, more than {MAX_PIXELS}"
            ));
        }
        let size = reader.output_buffer_size();
        let mut rows = vec![0; size.ok_or("it is too large")?];
        let frame = reader.next_frame(&mut rows).map_err(broken)?;
        let line = frame.line_size;
        let number = |(y, x): (usize, usize)| {
            let row = &rows[y * line..];
            match depth {
                BitDepth::Sixteen => u8::from(row[2 * x] != 0 || row[2 * x + 1] != 0),
                depth => {
                    // The first pixel is in the highest bits.
                    let bits = depth as usize;
                    let each = 8 / bits;
                    let shift = 8 - bits * (x % each + 1);
                    row[x / each] >> shift & (u16::MAX >> (16 - bits)) as u8
                }
            }
        };
        Ok(Self {
            values: Array2::from_shape_fn((height as usize, width as usize), number),
            has_palette,
        })
    }
}

/// Gives images the masks of a folder: `a.png` or `n01440764/a.png` for `n01440764/a.JPEG`, of an image with several labels
/// `a.CLASS.png`, with the index of the class. Of VOC's folders `SegmentationClass` and `SegmentationObject`, which have one file for
/// all labels of an image, the numbers are taken that are the label's.
///
/// # Errors
///
/// [`StudyError::MissingMasks`] for images without one, [`StudyError::File`] for a folder that is not there,
/// [`StudyError::Data`] for labels and objects that VOC's numbers do not have, and for pictures that would be masks of themselves.
pub fn with_masks(mut items: Vec<Item>, folder: &Path) -> Result<Vec<Item>, StudyError> {
    folder
        .read_dir()
        .map_err(StudyError::file("read", folder))?;
    let numbered = NUMBERED.iter().position(|name| folder.ends_with(name));
    let files = Beside::new(folder, &items, "png", numbered.is_some());
    let missing = |item: &&Item| files.file(item.number).is_none();
    let missing: Vec<&Item> = items.iter().filter(missing).collect();
    if !missing.is_empty() {
        return Err(StudyError::MissingMasks {
            folder: folder.to_owned(),
            missing: missing.len(),
            of: items.len(),
            images: files.named(&missing),
        });
    }
    for item in &mut items {
        let numbers = match numbered {
            None => Vec::new(),
            Some(0) => vec![class_number(item, folder)?],
            Some(_) => object_numbers(item, folder)?,
        };
        let stored = files.file(item.number).map(Stored::from);
        if stored.as_ref() == Some(&item.stored) {
            return Err(StudyError::Data(format!(
                "{} would be its own mask: masks of PNG pictures lie in a folder of their own",
                item.stored
            )));
        }
        item.mask = stored.map(|stored| Mask { stored, numbers });
    }
    Ok(items)
}

/// VOC's number of an image's label.
fn class_number(item: &Item, folder: &Path) -> Result<u8, StudyError> {
    let number = VOC.iter().position(|name| *name == item.label);
    number.map(|number| number as u8 + 1).ok_or_else(|| {
        StudyError::Data(format!(
            "{}: the numbers in {} are VOC's classes ({}), and \"{}\" is none",
            item.file,
            folder.display(),
            VOC.join(", "),
            item.label
        ))
    })
}

/// The numbers of an image's objects.
fn object_numbers(item: &Item, folder: &Path) -> Result<Vec<u8>, StudyError> {
    let numbers = item.objects.iter().map(|&object| {
        let number = u8::try_from(object).ok();
        number.filter(|&number| number != VOID)
    });
    let numbers: Option<Vec<u8>> = numbers.collect();
    numbers
        .filter(|numbers| !numbers.is_empty())
        .ok_or_else(|| {
            StudyError::Data(format!(
                "{}: the numbers in {} are those of objects in Annotations, up to {}, and the data have none of it",
                item.file,
                folder.display(),
                VOID - 1
            ))
        })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A PNG file of rows as they are packed.
    fn png(
        path: &Path,
        [width, height]: [u32; 2],
        (color, depth): (ColorType, BitDepth),
        rows: &[u8],
    ) {
        let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            // Black for all: colours say nothing.
            encoder.set_palette(vec![0; 3 * 256]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(rows).unwrap();
    }

    fn parts(path: &Path, numbers: &[u8]) -> Vec<Part> {
        let mask = Mask {
            stored: path.to_owned().into(),
            numbers: numbers.to_vec(),
        };
        let parts = mask.parts([3, 2]).unwrap();
        assert_eq!(parts.dim(), (2, 3));
        parts.into_iter().collect()
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        use Part::{Object, Rest, Void};
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("a.png");
        let all = [3, 2];
        png(
            &path,
            all,
            (ColorType::Indexed, BitDepth::Eight),
            &[0, 8, 255, 3, 0, 8],
        );
        assert_eq!(
            parts(&path, &[]),
            [Rest, Object, Void, Object, Rest, Object]
        );
        assert_eq!(parts(&path, &[8]), [Rest, Object, Void, Rest, Rest, Object]);
        // Of grey, 255 is white.
        png(
            &path,
            all,
            (ColorType::Grayscale, BitDepth::Eight),
            &[0, 8, 255, 3, 0, 0],
        );
        assert_eq!(
            parts(&path, &[]),
            [Rest, Object, Object, Object, Rest, Rest]
        );
        png(
            &path,
            all,
            (ColorType::Grayscale, BitDepth::One),
            &[0b0100_0000, 0b1010_0000],
        );
        let ones = [Rest, Object, Rest, Object, Rest, Object];
        assert_eq!(parts(&path, &[]), ones);
        png(
            &path,
            all,
            (ColorType::Indexed, BitDepth::Two),
            &[0b0010_0000, 0b0100_1100],
        );
        assert_eq!(parts(&path, &[]), ones);
        assert_eq!(
            parts(&path, &[1, 3]),
            [Rest, Rest, Rest, Object, Rest, Object]
        );
        png(
            &path,
            all,
            (ColorType::Indexed, BitDepth::Four),
            &[0x0f, 0x00, 0x10, 0x20],
        );
        assert_eq!(parts(&path, &[15]), [Rest, Object, Rest, Rest, Rest, Rest]);
        let wide = [0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 255, 255];
        png(&path, all, (ColorType::Grayscale, BitDepth::Sixteen), &wide);
        assert_eq!(parts(&path, &[]), ones);
    }

    #[test]
    fn what_is_no_mask_says_so() {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("a.png");
        let mask = Mask {
            stored: path.clone().into(),
            numbers: Vec::new(),
        };
        let refused = || mask.parts([3, 2]).unwrap_err();
        assert!(matches!(refused(), StudyError::Input(_)));
        png(&path, [3, 2], (ColorType::Rgb, BitDepth::Eight), &[0; 18]);
        assert!(refused().to_string().contains("(Rgb), expected one number"));
        png(
            &path,
            [2, 3],
            (ColorType::Indexed, BitDepth::Eight),
            &[0; 6],
        );
        let error = refused();
        let sizes = "a.png has 2 x 3 pixels and its picture 3 x 2";
        assert!(error.to_string().contains(sizes), "{error}");
        let StudyError::MaskSize {
            mask: found,
            picture,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((found, picture), ([2, 3], [3, 2]));
        // Cut short, and with any byte turned, it is an error or a mask, and no panic.
        png(
            &path,
            [3, 2],
            (ColorType::Indexed, BitDepth::Eight),
            &[1; 6],
        );
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            let cut = mask.parts([3, 2]);
            assert!(cut.is_err() || at > whole.len() - 13, "{at}");
            let mut turned = whole.clone();
            turned[at] ^= 0x55;
            fs::write(&path, turned).unwrap();
            let _ = mask.parts([3, 2]);
        }
    }

    #[test]
    fn masks_are_found_by_the_names_of_the_images() {
        let desk = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = desk.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            png(&path, [1, 1], (ColorType::Indexed, BitDepth::Eight), &[0]);
            path
        };
        let items = || {
            vec![
                Item::new(0, "n1/a.JPEG", 1),
                Item::new(1, "b.jpg", 2),
                Item::new(2, "b.jpg", 3),
            ]
        };
        let found = |folder: &Path, items: Vec<Item>| -> Vec<(PathBuf, Vec<u8>)> {
            let items = with_masks(items, folder).unwrap().into_iter();
            let masks = items.map(|item| item.mask.unwrap());
            masks
                .map(|mask| (mask.stored.file().to_owned(), mask.numbers))
                .collect()
        };
        let own = ["n1/a.png", "b.2.png"].map(put);
        let error = with_masks(items(), desk.path()).unwrap_err();
        assert!(
            error.to_string().contains("1 of 3 images have no mask"),
            "{error}"
        );
        assert!(
            error.to_string().contains("b.jpg (b.3.png or b.jpg.3.png)"),
            "{error}"
        );
        let last = put("b.3.png");
        let each = own.into_iter().chain([last]).map(|path| (path, vec![]));
        assert_eq!(found(desk.path(), items()), each.collect::<Vec<_>>());
        assert!(with_masks(items(), &desk.path().join("none")).is_err());
        let itself = Item {
            stored: put("own.png").into(),
            ..Item::new(0, "own.png", 1)
        };
        let error = with_masks(vec![itself], desk.path()).unwrap_err();
        assert!(error.to_string().contains("its own mask"), "{error}");
        // Which mask decides what the data are.
        let plain = crate::data::fingerprint(&items());
        let with = crate::data::fingerprint(&with_masks(items(), desk.path()).unwrap());
        assert_ne!(plain, with);
        // VOC has one file for all labels, whose numbers are the labels'.
        let mut voc = items();
        for (item, (label, object)) in voc.iter_mut().zip([("cat", 1), ("person", 2), ("dog", 3)]) {
            item.label = label.to_owned();
            item.objects = vec![object];
        }
        for (folder, numbers) in [
            ("SegmentationClass", [8, 15, 12]),
            ("SegmentationObject", [1, 2, 3]),
        ] {
            let paths = ["a", "b", "b"].map(|name| put(&format!("voc/{folder}/{name}.png")));
            let each = paths.into_iter().zip(numbers.map(|number| vec![number]));
            let folder = desk.path().join("voc").join(folder);
            assert_eq!(found(&folder, voc.clone()), each.collect::<Vec<_>>());
        }
        let classes = desk.path().join("voc/SegmentationClass");
        let error = with_masks(items(), &classes).unwrap_err().to_string();
        assert!(
            error.contains("aeroplane, bicycle") && error.contains("\"1\" is none"),
            "{error}"
        );
        let objects = desk.path().join("voc/SegmentationObject");
        let error = with_masks(items(), &objects).unwrap_err().to_string();
        assert!(error.contains("up to 254"), "{error}");
    }
}
