//! Boxes in the pixels that the network sees.

use elucid_vision::input::{InputSpec, Resize};

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
    let input = spec.size().map(|side| side as u32);
    let across = Axis::new(spec, picture, [input[1], input[0]]);
    let [w, h] = picture;
    let down = Axis::new(spec, [h, w], input);
    let [width, height] = size.map_or(picture.map(f64::from), |size| size.map(f64::from));
    let cut = |&[x0, y0, x1, y1]: &[f32; 4]| {
        let [x0, x1] = [x0, x1].map(|x| across.seen(f64::from(x) / width));
        let [y0, y1] = [y0, y1].map(|y| down.seen(f64::from(y) / height));
        (x0 < x1 && y0 < y1).then_some([x0, y0, x1, y1])
    };
    boxes.iter().filter_map(cut).collect()
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
