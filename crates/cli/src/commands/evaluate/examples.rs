//! The images on which a method did best and worst, drawn as they come by.
//!
//! Pictures lie in a folder, one for each method, under the image's number. Whoever is among the
//! best of all images was among the best of those before it, so that a picture is there for
//! whatever the results call best in the end, whether they come from one run or from several.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use elucid::metrics::Direction;
use elucid::prelude::*;
use elucid::render::file::write_atomically;
use ndarray::ArrayView2;

use super::results::{Measured, Row};
use crate::error::CliError;
use crate::names;

/// The folder.
pub const EXAMPLES: &str = "examples";

/// How many of the best and how many of the worst are kept.
pub const KEPT: usize = 6;

/// The best and the worst images of one method so far.
#[derive(Debug, Clone, Default)]
pub struct Extremes {
    best: Vec<Ranked>,
    worst: Vec<Ranked>,
}

#[derive(Debug, Clone)]
struct Ranked {
    number: usize,
    /// One for each metric, larger is better; metrics that are not applicable come last.
    goodness: Vec<Option<f64>>,
}

impl Extremes {
    /// Those of all that was measured, for the method in row `row`.
    pub fn of(measured: &[Measured], row: usize, directions: &[Direction]) -> Self {
        let mut extremes = Self::default();
        for image in measured {
            extremes.add(image.number, &image.rows[row], directions);
        }
        extremes
    }

    /// Takes an image into account; whether it is among the extremes now.
    pub fn add(&mut self, number: usize, row: &Row, directions: &[Direction]) -> bool {
        let goodness = row.values.iter().zip(directions);
        let goodness: Vec<Option<f64>> = goodness
            .map(|(value, direction)| match direction {
                Direction::Larger => *value,
                Direction::Smaller => value.map(|value| -value),
            })
            .collect();
        if goodness.iter().all(Option::is_none) {
            return false;
        }
        let ranked = Ranked { number, goodness };
        let best = insert(&mut self.best, &ranked, |a, b| compare(a, b).reverse());
        let worst = insert(&mut self.worst, &ranked, compare);
        best || worst
    }

    /// Numbers of all images whose pictures are kept: more than are shown, because later images, or
    /// other shards, may ask for them.
    pub fn kept(&self) -> Vec<usize> {
        let ranked = self.best.iter().chain(&self.worst);
        ranked.map(|ranked| ranked.number).collect()
    }

    /// Numbers of the best and of the worst of `count` images, as many of each and none twice, at
    /// most `most`.
    pub fn chosen(&self, count: usize, most: usize) -> [Vec<usize>; 2] {
        let each = most.min(KEPT).min(count / 2);
        let best = each.max(usize::from(count == 1 && most > 0));
        let numbers = |ranked: &[Ranked], most: usize| {
            let numbers = ranked.iter().take(most).map(|ranked| ranked.number);
            numbers.collect::<Vec<_>>()
        };
        let best = numbers(&self.best, best);
        let mut worst = numbers(&self.worst, each);
        // Metrics may be applicable to few images only.
        worst.retain(|number| !best.contains(number));
        [best, worst]
    }
}

/// By the first metric that tells them apart; of equals, the one that comes first is the better.
fn compare(a: &Ranked, b: &Ranked) -> Ordering {
    let pairs = a.goodness.iter().zip(&b.goodness);
    let by_metric = pairs.map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    by_metric
        .fold(Ordering::Equal, Ordering::then)
        .then(b.number.cmp(&a.number))
}

fn insert(
    list: &mut Vec<Ranked>,
    ranked: &Ranked,
    order: impl Fn(&Ranked, &Ranked) -> Ordering,
) -> bool {
    let place = list.partition_point(|known| order(known, ranked) == Ordering::Less);
    if place >= KEPT {
        return false;
    }
    list.insert(place, ranked.clone());
    list.truncate(KEPT);
    true
}

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
pub fn save(folder: &Path, number: usize, picture: &Picture) -> Result<(), CliError> {
    fs::create_dir_all(folder)
        .map_err(|e| CliError::io(format!("cannot write {}", folder.display()), &e))?;
    write_atomically(folder.join(file(number)), &picture.to_png_bytes()?)?;
    Ok(())
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

    fn row(values: &[Option<f64>]) -> Row {
        Row {
            values: values.to_vec(),
            seconds: 0.0,
        }
    }

    #[test]
    fn extremes_are_those_of_a_sorted_list() {
        let directions = [Direction::Larger, Direction::Smaller];
        let value = |i: usize| Some(((i * 7) % 3) as f64);
        let second = |i: usize| (!i.is_multiple_of(5)).then_some(((i * 11) % 13) as f64);
        let mut extremes = Extremes::default();
        let mut all = Vec::new();
        for i in 0..40 {
            extremes.add(i, &row(&[value(i), second(i)]), &directions);
            all.push((value(i), second(i).map(|v| -v), i));
        }
        let key = |a: &(Option<f64>, Option<f64>, usize)| (a.0, a.1);
        all.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap().then(a.2.cmp(&b.2)));
        let expected: Vec<usize> = all.iter().take(6).map(|a| a.2).collect();
        let [best, worst] = extremes.chosen(40, 6);
        assert_eq!(best, expected);
        all.reverse();
        let expected: Vec<usize> = all.iter().take(6).map(|a| a.2).collect();
        assert_eq!(worst, expected);
    }

    #[test]
    fn few_images_stand_once() {
        let mut extremes = Extremes::default();
        assert!(!extremes.add(9, &row(&[None]), &[Direction::Larger]));
        for i in 0..3 {
            extremes.add(i, &row(&[Some(i as f64)]), &[Direction::Larger]);
        }
        assert_eq!(extremes.chosen(4, 6), [vec![2, 1], vec![0]]);
        assert_eq!(extremes.chosen(1, 6), [vec![2], vec![]]);
        assert!(extremes.chosen(3, 0).concat().is_empty());
    }

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
