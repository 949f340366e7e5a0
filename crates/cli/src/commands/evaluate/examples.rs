//! The images on which a method did best and worst, drawn as they come by.
//!
//! Pictures lie in a folder, one for each method, under the image's number. More are kept than are shown: a picture
//! is there for whatever the results call best in the end, whether they come from one process or from several.

use std::fs;
use std::path::{Path, PathBuf};

use elucid::prelude::*;
use elucid::render::file::write_atomically;
use ndarray::{Array2, ArrayView2, s};

use crate::names;

/// The folder.
pub const EXAMPLES: &str = "examples";

const LIGHT: [u8; 3] = [255; 3];
const DARK: [u8; 3] = [0; 3];

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

/// A map over its photograph, with the boxes of the object, the outline of its mask, and a cross where the map is largest.
pub fn draw(
    photo: &Picture,
    map: ArrayView2<'_, f32>,
    boxes: &[[f32; 4]],
    mask: Option<ArrayView2<'_, bool>>,
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
    for corners in boxes {
        let [x0, y0, x1, y1] = corners.map(f32::round);
        let inside = |y: usize, x: usize| {
            let (y, x) = (y as f32, x as f32);
            (y0..y1).contains(&y) && (x0..x1).contains(&x)
        };
        let region = Array2::from_shape_fn((height, width), |(y, x)| inside(y, x));
        outline(region, &mut paint);
    }
    if let Some(mask) = mask {
        outline(mask.to_owned(), &mut paint);
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

/// Calls `paint(y, x, color)` along the inner edge of a region: light inside of dark, so that it is seen on any ground.
fn outline(mut region: Array2<bool>, mut paint: impl FnMut(i64, i64, [u8; 3])) {
    let (height, width) = region.dim();
    for color in [DARK, LIGHT, LIGHT] {
        let is_inside = |y: usize, x: usize| {
            let rows = y.checked_sub(1).zip(Some(y + 1).filter(|y| *y < height));
            let columns = x.checked_sub(1).zip(Some(x + 1).filter(|x| *x < width));
            let around = rows.zip(columns);
            around.is_some_and(|((top, bottom), (left, right))| {
                region
                    .slice(s![top..=bottom, left..=right])
                    .iter()
                    .all(|&inside| inside)
            })
        };
        let rest = Array2::from_shape_fn((height, width), |(y, x)| is_inside(y, x));
        for ((y, x), &inside) in region.indexed_iter() {
            if inside && !rest[[y, x]] {
                paint(y as i64, x as i64, color);
            }
        }
        region = rest;
    }
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
        let drawn = draw(&photo, map.view(), &boxes, None).unwrap();
        assert_eq!(drawn.pixel(5, 6), [0; 3]);
        assert_eq!(drawn.pixel(6, 6), [255; 3]);
        assert_eq!(drawn.pixel(19, 0), [0; 3]);
        assert_eq!(drawn.pixel(0, 29), [255; 3], "the cross");
    }

    #[test]
    fn masks_are_outlined_whatever_their_form() {
        let map = Array2::from_shape_fn((20, 30), |(y, x)| f32::from(y == 19 && x == 29));
        let photo = Picture::from_rgb(ndarray::Array3::from_elem((20, 30, 3), 90).view()).unwrap();
        let plain = draw(&photo, map.view(), &[], None).unwrap();
        // An L, of which the upright arm is ten wide and the other six high.
        let mask = Array2::from_shape_fn((20, 30), |(y, x)| {
            (2..18).contains(&y) && (2..12).contains(&x)
                || (12..18).contains(&y) && (2..20).contains(&x)
        });
        let drawn = draw(&photo, map.view(), &[], Some(mask.view())).unwrap();
        for (at, color) in [
            ([2, 5], DARK),
            ([3, 5], LIGHT),
            ([4, 5], LIGHT),
            ([11, 11], DARK),
            ([12, 15], DARK),
            ([10, 9], LIGHT),
        ] {
            assert_eq!(drawn.pixel(at[0], at[1]), color, "{at:?}");
        }
        for [y, x] in [[1, 5], [7, 6], [5, 13], [8, 25]] {
            assert_eq!(drawn.pixel(y, x), plain.pixel(y, x), "{y} {x}");
        }
    }
}
