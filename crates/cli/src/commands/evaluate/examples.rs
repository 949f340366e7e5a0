//! The images on which a method did best and worst, drawn as they come by.
//!
//! Pictures lie in a folder, one for each method, under the image's number. More are kept than are shown: a picture
//! is there for whatever the results call best in the end, whether they come from one process or from several.

use std::fs;
use std::path::{Path, PathBuf};

use elucid::prelude::*;
use elucid::render::file::write_atomically;
use ndarray::ArrayView2;

use crate::names;

/// The folder.
pub const EXAMPLES: &str = "examples";

/// The folders of the methods, in the folder of a run.
pub fn folders(run: &Path, methods: &[&str]) -> Vec<PathBuf> {
    let mut taken: Vec<String> = Vec::new();
    for method in methods {
        taken.push(names::unique([*method], &taken));
    }
    let folder = run.join(EXAMPLES);
    taken.iter().map(|name| folder.join(name)).collect()
}

/// The picture of an image, in the folder of a method.
pub fn file(number: usize) -> String {
    format!("{number}.png")
}

/// A map over its photograph, with the boxes of the object and a cross where the map is largest.
pub fn draw(
    photo: &Picture,
    map: ArrayView2<'_, f32>,
    boxes: &[[f32; 4]],
) -> Result<Picture, elucid::Error> {
    let style = MapStyle::of(map.insert_axis(ndarray::Axis(0)));
    let [_, overlay] = style.draw(photo, map, Interpolation::Nearest)?;
    let mut pixels = overlay.to_rgb();
    let (height, width) = map.dim();
    let mut paint = |y: i64, x: i64, color: [u8; 3]| {
        let (Ok(y), Ok(x)) = (usize::try_from(y), usize::try_from(x)) else {
            return;
        };
        if y < height && x < width {
            (0..3).for_each(|c| pixels[[y, x, c]] = color[c]);
        }
    };
    const LIGHT: [u8; 3] = [255; 3];
    const DARK: [u8; 3] = [0; 3];
    for corners in boxes {
        let [x0, y0, x1, y1] = corners.map(|v| v.round() as i64);
        // Light inside of dark, so that it is seen on any ground.
        for (inset, color) in [(0, DARK), (1, LIGHT), (2, LIGHT)] {
            let (left, right) = (x0 + inset, x1 - 1 - inset);
            let (top, bottom) = (y0 + inset, y1 - 1 - inset);
            for x in left..=right {
                paint(top, x, color);
                paint(bottom, x, color);
            }
            for y in top..=bottom {
                paint(y, left, color);
                paint(y, right, color);
            }
        }
    }
    let mut largest: Option<((usize, usize), f32)> = None;
    for (at, &value) in map.indexed_iter() {
        if largest.is_none_or(|(_, v)| value > v) {
            largest = Some((at, value));
        }
    }
    if let Some(((y, x), _)) = largest {
        let (y, x) = (y as i64, x as i64);
        for (thickness, reach, color) in [(1, 7, DARK), (0, 6, LIGHT)] {
            for along in -reach..=reach {
                for across in -thickness..=thickness {
                    paint(y + across, x + along, color);
                    paint(y + along, x + across, color);
                }
            }
        }
    }
    Ok(Picture::from_rgb(pixels.view())?)
}

/// Keeps a picture.
pub fn save(folder: &Path, number: usize, picture: &Picture) -> Result<(), elucid::Error> {
    fs::create_dir_all(folder).map_err(|error| elucid::Error::File {
        path: folder.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(write_atomically(
        folder.join(file(number)),
        &picture.to_png_bytes()?,
    )?)
}

/// Removes the pictures of images that are no longer among the extremes.
pub fn prune(folder: &Path, kept: &[usize]) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let kept: Vec<String> = kept.iter().map(|number| file(*number)).collect();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_suffix(".png").map(str::parse::<usize>);
        if matches!(number, Some(Ok(_))) && !kept.contains(&name) {
            // It only takes up space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn boxes_and_crosses_may_touch_the_edge() {
        let mut map = Array2::zeros((20, 30));
        map[[0, 29]] = 1.0;
        let photo = Picture::from_rgb(ndarray::Array3::from_elem((20, 30, 3), 90).view()).unwrap();
        let boxes = [[0.0, 0.0, 30.0, 20.0], [4.0, 5.0, 12.0, 12.0]];
        let drawn = draw(&photo, map.view(), &boxes).unwrap();
        assert_eq!(drawn.pixel(5, 6), [0; 3]);
        assert_eq!(drawn.pixel(6, 6), [255; 3]);
        assert_eq!(drawn.pixel(19, 0), [0; 3]);
        assert_eq!(drawn.pixel(0, 29), [255; 3], "the cross");
    }
}
