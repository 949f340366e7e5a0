//! Boxes and masks in the pixels that the network sees.

use elucid_vision::input::{InputSpec, Resize};
use ndarray::Array2;

use crate::masks::Part;

/// Where `boxes` of a picture lie in the network's input: resized as the picture, moved as the crop
/// or the padding moves it, and cut at the edge. Boxes of which nothing is left are left out.
///
/// `picture` is the picture's width and height, `size` that which the boxes are of.
pub fn seen(
    spec: &InputSpec,
    picture: [u32; 2],
    size: Option<[f32; 2]>,
    boxes: &[[f32; 4]],
) -> Vec<[f32; 4]> {
    let [across, down] = Axis::both(spec, picture);
    let [width, height] = size.map_or(picture.map(f64::from), |size| size.map(f64::from));
    let cut = |&[x0, y0, x1, y1]: &[f32; 4]| {
        let [x0, x1] = [x0, x1].map(|x| across.seen(f64::from(x) / width));
        let [y0, y1] = [y0, y1].map(|y| down.seen(f64::from(y) / height));
        (x0 < x1 && y0 < y1).then_some([x0, y0, x1, y1])
    };
    boxes.iter().filter_map(cut).collect()
}

/// What each pixel of the network's input belongs to: what the pixel of the picture does in which its centre lies. Outside of the
/// picture there is no object.
pub(crate) fn seen_parts(spec: &InputSpec, parts: &Array2<Part>) -> Array2<Part> {
    let (height, width) = parts.dim();
    let [across, down] = Axis::both(spec, [width as u32, height as u32]);
    let [rows, columns] = spec.size();
    let [across, down] = [(across, columns, width), (down, rows, height)].map(
        |(axis, length, side)| -> Vec<Option<usize>> {
            (0..length).map(|at| axis.pixel(at, side)).collect()
        },
    );
    Array2::from_shape_fn((rows, columns), |(y, x)| match (down[y], across[x]) {
        (Some(y), Some(x)) => parts[[y, x]],
        _ => Part::Rest,
    })
}

/// One side of a picture in the input.
struct Axis {
    /// Length of the whole picture after resizing, in pixels.
    resized: f64,
    /// Where it begins in the input.
    start: f64,
    /// Length of the input.
    length: f64,
}

impl Axis {
    /// The sides of a picture of this width and height: across and down.
    fn both(spec: &InputSpec, [w, h]: [u32; 2]) -> [Self; 2] {
        let [height, width] = spec.size().map(|side| side as u32);
        [
            Self::new(spec, [w, h], [width, height]),
            Self::new(spec, [h, w], [height, width]),
        ]
    }

    /// `picture` and `input` are this side's length and the other's.
    fn new(spec: &InputSpec, picture: [u32; 2], input: [u32; 2]) -> Self {
        let ([side, other], [length, length_other]) = (picture, input);
        let (resized, start) = match spec.resize() {
            Resize::Squash => (length, 0),
            Resize::ShortSideCrop { short } => {
                let exact = f64::from(short) * f64::from(side) / f64::from(side.min(other).max(1));
                let resized = exact.round_ties_even() as u32;
                (resized, -i64::from(resized.saturating_sub(length) / 2))
            }
            Resize::Pad => {
                let [side, other, length, length_other] =
                    [side, other, length, length_other].map(u64::from);
                let resized = match side * length_other >= other * length {
                    true => length,
                    false => (side * length_other / other.max(1)).max(1),
                };
                (resized as u32, ((length - resized) / 2) as i64)
            }
        };
        Self {
            resized: f64::from(resized),
            start: start as f64,
            length: f64::from(length),
        }
    }

    /// In which pixel of the picture's `side` the centre of a pixel of the input lies.
    fn pixel(&self, at: usize, side: usize) -> Option<usize> {
        let share = (at as f64 + 0.5 - self.start) / self.resized;
        let is_inside = (0.0..1.0).contains(&share);
        is_inside.then(|| ((share * side as f64) as usize).min(side - 1))
    }

    /// Where a place, as a share of the picture's side, lies in the input.
    fn seen(&self, share: f64) -> f32 {
        (self.start + share * self.resized).clamp(0.0, self.length) as f32
    }
}

#[cfg(test)]
mod tests {
    use elucid_render::Picture;
    use elucid_vision::input::decode_image;
    use ndarray::Array3;

    use super::*;

    /// A white rectangle is found where its box is said to be.
    #[test]
    fn boxes_lie_on_what_they_enclose() {
        let mut checked = 0;
        for [w, h] in [[300, 200], [200, 300], [256, 256], [101, 403]] {
            let given = [w / 2 - 30, h / 2 - 40, w / 2 + 25, h / 2 + 35];
            let [x0, y0, x1, y1] = given;
            let pixels = Array3::from_shape_fn((h, w, 3), |(y, x, _)| {
                255 * u8::from((x0..x1).contains(&x) && (y0..y1).contains(&y))
            });
            let png = Picture::from_rgb(pixels.view()).unwrap();
            let picture = decode_image(&png.to_png_bytes().unwrap()).unwrap();
            for resize in ["squash", "pad", "crop:256", "crop:224"] {
                for size in [[224, 224], [224, 160]] {
                    let spec = InputSpec::default().with_size(size).unwrap();
                    let spec = spec.with_resize(resize.parse().unwrap()).unwrap();
                    let shown = spec.prepare(&picture).unwrap().shown;
                    let boxes = [given.map(|v| v as f32)];
                    let found = seen(&spec, [w as u32, h as u32], None, &boxes);
                    let [left, top, right, bottom] = found[0];
                    // The white pixels that are left, summed along each side.
                    let white = |x: u32, y: u32| f32::from(shown.get_pixel(x, y).0[0]) / 255.0;
                    let [height, width] = size.map(|side| side as u32);
                    let row = ((top + bottom) / 2.0) as u32;
                    let column = ((left + right) / 2.0) as u32;
                    let across: f32 = (0..width).map(|x| white(x, row)).sum();
                    let down: f32 = (0..height).map(|y| white(column, y)).sum();
                    let what = format!("{w} x {h}, {resize}, {size:?}: {found:?}");
                    assert!((across - (right - left)).abs() < 0.6, "{what} {across}");
                    assert!((down - (bottom - top)).abs() < 0.6, "{what} {down}");
                    let first = (0..width).find(|&x| white(x, row) > 0.5).unwrap();
                    assert!((first as f32 - left).abs() < 1.1, "{what} {first}");
                    let first = (0..height).find(|&y| white(column, y) > 0.5).unwrap();
                    assert!((first as f32 - top).abs() < 1.1, "{what} {first}");
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 32);
    }

    /// A mask lies where the box around it does, whatever becomes of the picture.
    #[test]
    fn masks_lie_where_their_boxes_do() {
        for [w, h] in [[300, 200], [101, 403], [37, 20]] {
            let [x0, y0, x1, y1] = [w / 3, h / 4, w - w / 5, h / 2];
            let parts = Array2::from_shape_fn((h, w), |(y, x)| match (x, y) {
                _ if (x0..x1).contains(&x) && (y0..y1).contains(&y) => Part::Object,
                (0, _) => Part::Void,
                _ => Part::Rest,
            });
            for resize in ["squash", "pad", "crop:256", "crop:224"] {
                for size in [[224, 224], [224, 160]] {
                    let spec = InputSpec::default().with_size(size).unwrap();
                    let spec = spec.with_resize(resize.parse().unwrap()).unwrap();
                    let given = [[x0, y0, x1, y1].map(|v| v as f32)];
                    let [left, top, right, bottom] =
                        seen(&spec, [w as u32, h as u32], None, &given)[0];
                    let found = seen_parts(&spec, &parts);
                    assert_eq!(found.dim(), (size[0], size[1]));
                    for ((y, x), &part) in found.indexed_iter() {
                        let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
                        let inside = left < x && x < right && top < y && y < bottom;
                        let edges = [left - x, right - x, top - y, bottom - y];
                        // Rounding decides on the edge itself.
                        if edges.iter().all(|edge| edge.abs() > 1e-3) {
                            let what = format!("{w} x {h}, {resize}, {size:?}: {x} {y}");
                            assert_eq!(part == Part::Object, inside, "{what}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_the_crop_cuts_off_vanishes() {
        let spec = InputSpec::default(); // Short side 256, of which the middle 224.
        let boxes = [
            [0.0, 0.0, 20.0, 256.0],
            [0.0, 0.0, 148.0, 100.0],
            [500.0, 0.0, 512.0, 9.0],
        ];
        let found = seen(&spec, [512, 256], None, &boxes);
        assert_eq!(found, [[0.0, 0.0, 4.0, 84.0]]);
        // The same boxes, given for a picture of twice the size.
        let doubled = boxes.map(|corners| corners.map(|v| 2.0 * v));
        assert_eq!(
            seen(&spec, [512, 256], Some([1024.0, 512.0]), &doubled),
            found
        );
    }
}
