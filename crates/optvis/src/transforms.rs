//! Small random movements, so that what an image shows does not hang on a pixel.

use std::fmt;

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::{VisError, refuse_unless};
use elucid_attribution::Random;

/// The longest side that transforms may make of a picture's, in pixels.
const MAX_SIDE: usize = 8192;

/// The side of Lucid's pictures, in pixels.
const USUAL_SIDE: usize = 128;

/// Random changes of what the network sees of a picture, drawn anew at every step, the same for
/// all images of a step.
///
/// However many there are, the picture is sampled once, bilinearly: padding, movements, scale and
/// rotation make one affine map from the pixels of the result to those of the picture. (Lucid
/// interpolates at each.) What lies beyond the picture is grey. Sizes are `[height, width]`
/// throughout, and need not be equal. Memory: about 50 bytes for each pixel of the result, and 100
/// more for each image.
#[derive(Debug, Clone, PartialEq)]
pub struct Transforms {
    list: Vec<Transform>,
    fill: f32,
}

#[derive(Debug, Clone, PartialEq)]
enum Transform {
    Pad(usize),
    Jitter(usize),
    Scale(Vec<f32>),
    Rotate(Vec<f32>),
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pad(pixels) => write!(f, "pad {pixels}"),
            Self::Jitter(pixels) => write!(f, "jitter {pixels}"),
            Self::Scale(factors) => write!(f, "scale by one of {}", factors.len()),
            Self::Rotate(degrees) => write!(f, "rotate by one of {}", degrees.len()),
        }
    }
}

impl fmt::Display for Transforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list.is_empty() {
            return f.write_str("none");
        }
        for (i, transform) in self.list.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{transform}")?;
        }
        Ok(())
    }
}

impl Default for Transforms {
    /// [`Transforms::lucid`].
    fn default() -> Self {
        Self::lucid()
    }
}

impl Transforms {
    /// None: the network sees the picture itself.
    pub fn none() -> Self {
        Self {
            list: Vec::new(),
            fill: 0.5,
        }
    }

    /// What Lucid does: pad 12, jitter 8, scale by .9, .92, ... 1.1, rotate by -10, -9, ... 10
    /// degrees or one of five more zeros, jitter 4.
    pub fn lucid() -> Self {
        Self::lucid_at([USUAL_SIDE; 2])
    }

    /// The same for pictures of `[height, width]`: where the shorter side has fewer than the 128 pixels
    /// of Lucid's own, pad and jitter shrink in proportion.
    pub fn lucid_at([height, width]: [usize; 2]) -> Self {
        let share = height.min(width) as f32 / USUAL_SIDE as f32;
        let length = |pixels: f32| (pixels * share.min(1.0)).round() as usize;
        let scales = (0..11).map(|i| 1.0 + (i as f32 - 5.0) / 50.0);
        let degrees = (-10..=10).map(|d| d as f32).chain([0.0; 5]);
        Self::none()
            .pad(length(12.0))
            .jitter(length(8.0))
            .scale(scales)
            .rotate(degrees)
            .jitter(length(4.0))
    }

    /// Then adds a border of `pixels` on each side.
    #[must_use]
    pub fn pad(mut self, pixels: usize) -> Self {
        self.list.push(Transform::Pad(pixels));
        self
    }

    /// Then crops `pixels` of each side's length, anywhere: the result moves by 0 to `pixels`
    /// pixels.
    #[must_use]
    pub fn jitter(mut self, pixels: usize) -> Self {
        self.list.push(Transform::Jitter(pixels));
        self
    }

    /// Then enlarges by one of these factors, each between .05 and 20. Sides are rounded to whole
    /// pixels.
    #[must_use]
    pub fn scale(mut self, factors: impl IntoIterator<Item = f32>) -> Self {
        let factors = factors.into_iter().collect();
        self.list.push(Transform::Scale(factors));
        self
    }

    /// Then turns about the middle by one of these angles in degrees, counterclockwise; the size
    /// stays.
    #[must_use]
    pub fn rotate(mut self, degrees: impl IntoIterator<Item = f32>) -> Self {
        let degrees = degrees.into_iter().collect();
        self.list.push(Transform::Rotate(degrees));
        self
    }

    /// The grey of what lies beyond the picture, 0 to 1, default .5 as in Lucid's padding. (Behind
    /// Lucid's rotation lies black.)
    #[must_use]
    pub fn fill(mut self, grey: f32) -> Self {
        self.fill = grey;
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every size that a picture of `[height, width]` can come out with.
    ///
    /// # Errors
    ///
    /// [`VisError::Parameter`] for factors, angles and a grey out of range, and for transforms that
    /// make a side longer than 8192 pixels; [`VisError::Nothing`] when one leaves no pixels.
    pub fn sizes(&self, size: [usize; 2]) -> Result<Vec<[usize; 2]>, VisError> {
        refuse_unless(
            (0.0..=1.0).contains(&self.fill),
            "fill",
            self.fill,
            "0 to 1",
        )?;
        let mut sizes = vec![size];
        for transform in &self.list {
            let mut next: Vec<[usize; 2]> = Vec::new();
            let mut add = |size: [usize; 2]| next.push(size);
            for &size in &sizes {
                match transform {
                    Transform::Pad(pixels) => {
                        let fits = *pixels <= 4096;
                        refuse_unless(fits, "padding", pixels, "at most 4096 pixels")?;
                        add(size.map(|side| side + 2 * pixels));
                    }
                    Transform::Jitter(pixels) => {
                        if size.iter().any(|side| side <= pixels) {
                            return Err(VisError::Nothing {
                                transform: transform.to_string(),
                                size,
                            });
                        }
                        add(size.map(|side| side - pixels));
                    }
                    Transform::Scale(factors) => {
                        let fits = |f: &f32| (0.05..=20.0).contains(f);
                        let bad = factors.iter().find(|f| !fits(f));
                        let shown = bad.map_or("none".to_owned(), f32::to_string);
                        let holds = bad.is_none() && !factors.is_empty();
                        refuse_unless(holds, "scale", shown, "one factor or more, .05 to 20")?;
                        for &factor in factors {
                            add(scaled(size, factor));
                        }
                    }
                    Transform::Rotate(degrees) => {
                        let bad = degrees.iter().find(|d| !d.is_finite());
                        let shown = bad.map_or("none".to_owned(), f32::to_string);
                        let holds = bad.is_none() && !degrees.is_empty();
                        refuse_unless(holds, "rotation", shown, "one angle or more")?;
                        add(size);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            if let Some([h, w]) = next.iter().find(|size| size.iter().any(|&s| s > MAX_SIDE)) {
                return Err(VisError::Parameter {
                    parameter: "size after the transforms",
                    value: format!("{h} x {w}"),
                    expected: "at most 8192 pixels a side",
                });
            }
            sizes = next;
        }
        Ok(sizes)
    }

    /// Draws one change of pictures of `size`; [`Transforms::sizes`] says beforehand whether they
    /// can be drawn.
    pub(crate) fn draw(&self, size: [usize; 2], random: &mut Random) -> Change {
        let mut change = Change {
            from: size,
            size,
            map: Affine::identity(),
            fill: self.fill,
        };
        for transform in &self.list {
            let [h, w] = change.size;
            match transform {
                Transform::Pad(pixels) => {
                    let by = -(*pixels as f64);
                    change.map = change.map.after(Affine::shift([by, by]));
                    change.size = [h + 2 * pixels, w + 2 * pixels];
                }
                Transform::Jitter(pixels) => {
                    let mut by = || random.below(pixels + 1) as f64;
                    let by = [by(), by()];
                    change.map = change.map.after(Affine::shift(by));
                    change.size = [h - pixels, w - pixels];
                }
                Transform::Scale(factors) => {
                    let factor = factors[random.below(factors.len())];
                    change.size = scaled([h, w], factor);
                    let ratio = |from: usize, to: usize| from as f64 / to as f64;
                    let ratios = [ratio(h, change.size[0]), ratio(w, change.size[1])];
                    change.map = change.map.after(Affine::scale(ratios));
                }
                Transform::Rotate(degrees) => {
                    let angle = f64::from(degrees[random.below(degrees.len())]).to_radians();
                    if angle != 0.0 {
                        change.map = change.map.after(Affine::rotation(angle, [h, w]));
                    }
                }
            }
        }
        change
    }
}

fn scaled(size: [usize; 2], factor: f32) -> [usize; 2] {
    let side = |side: usize| (side as f64 * f64::from(factor)).round().max(1.0) as usize;
    size.map(side)
}

/// From the pixels (row, column) of a result to those that they show: `matrix p + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Affine {
    matrix: [[f64; 2]; 2],
    offset: [f64; 2],
}

impl Affine {
    fn identity() -> Self {
        Self::shift([0.0; 2])
    }

    fn shift(offset: [f64; 2]) -> Self {
        Self {
            matrix: [[1.0, 0.0], [0.0, 1.0]],
            offset,
        }
    }

    /// Edges meet edges: pixel centres lie at halves.
    fn scale(ratios: [f64; 2]) -> Self {
        Self {
            matrix: [[ratios[0], 0.0], [0.0, ratios[1]]],
            offset: ratios.map(|ratio| 0.5 * ratio - 0.5),
        }
    }

    fn rotation(angle: f64, size: [usize; 2]) -> Self {
        let (sin, cos) = angle.sin_cos();
        let middle = size.map(|side| (side as f64 - 1.0) / 2.0);
        let matrix = [[cos, sin], [-sin, cos]];
        let turned = matrix.map(|row| row[0] * middle[0] + row[1] * middle[1]);
        Self {
            matrix,
            offset: [middle[0] - turned[0], middle[1] - turned[1]],
        }
    }

    /// First `other`, then `self`.
    fn after(self, other: Self) -> Self {
        let [a, b] = self.matrix;
        let row = |r: [f64; 2]| {
            let column = |j: usize| r[0] * other.matrix[0][j] + r[1] * other.matrix[1][j];
            [column(0), column(1)]
        };
        Self {
            matrix: [row(a), row(b)],
            offset: self.apply(other.offset),
        }
    }

    fn apply(&self, [y, x]: [f64; 2]) -> [f64; 2] {
        let [[a, b], [c, d]] = self.matrix;
        [
            a * y + b * x + self.offset[0],
            c * y + d * x + self.offset[1],
        ]
    }

    fn is_identity(&self) -> bool {
        *self == Self::identity()
    }
}

/// One change that was drawn.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    from: [usize; 2],
    /// `[height, width]` of the result.
    pub size: [usize; 2],
    map: Affine,
    fill: f32,
}

impl Change {
    /// Pictures `[N, C, H, W]` as they are seen, differentiable.
    pub fn apply(&self, pictures: Tensor<4>) -> Tensor<4> {
        if self.size == self.from && self.map.is_identity() {
            return pictures;
        }
        let [n, c, h, w] = pictures.dims();
        let device = pictures.device().inner();
        let [to_h, to_w] = self.size;
        let count = to_h * to_w;
        let Taps {
            indices,
            weights,
            beyond,
        } = self.taps();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [4 * count]), &device);
        let weights = Tensor::<3>::from_data(TensorData::new(weights, [4, count, 1]), &device);
        let beyond = Tensor::<2>::from_data(TensorData::new(beyond, [count, 1]), &device);
        // Pixels first, so that what one tap reads lies together.
        let pixels = pictures.permute([2, 3, 0, 1]).reshape([h * w, n * c]);
        let read = pixels.select(0, indices).reshape([4, count, n * c]);
        let seen = (read * weights).sum_dim(0).reshape([count, n * c]) + beyond;
        seen.reshape([to_h, to_w, n, c]).permute([2, 3, 0, 1])
    }

    /// Which pixels each pixel of the result is made of.
    fn taps(&self) -> Taps {
        let [h, w] = self.from;
        let count = self.size[0] * self.size[1];
        let mut taps = Taps {
            indices: vec![0; 4 * count],
            weights: vec![0.0; 4 * count],
            beyond: vec![0.0; count],
        };
        // The last pixel at or before a place, and how far the place is from it.
        let split = |at: f64, side: usize| {
            let at = at.clamp(0.0, (side - 1) as f64);
            let low = at.floor();
            (low as usize, (at - low) as f32)
        };
        let within = |at: f64, side: usize| -0.5 <= at && at <= side as f64 - 0.5;
        for i in 0..count {
            let place = [(i / self.size[1]) as f64, (i % self.size[1]) as f64];
            let [y, x] = self.map.apply(place);
            if !within(y, h) || !within(x, w) {
                taps.beyond[i] = self.fill;
                continue;
            }
            let ((y, down), (x, across)) = (split(y, h), split(x, w));
            let (below, right) = ((y + 1).min(h - 1), (x + 1).min(w - 1));
            let corners = [
                (y, x, (1.0 - down) * (1.0 - across)),
                (y, right, (1.0 - down) * across),
                (below, x, down * (1.0 - across)),
                (below, right, down * across),
            ];
            for (corner, (y, x, weight)) in corners.into_iter().enumerate() {
                taps.indices[corner * count + i] = (y * w + x) as i64;
                taps.weights[corner * count + i] = weight;
            }
        }
        taps
    }
}

struct Taps {
    /// Four for each pixel of the result, corner by corner.
    indices: Vec<i64>,
    weights: Vec<f32>,
    /// The grey of pixels that show nothing of the picture, else 0.
    beyond: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(h: usize, w: usize) -> Tensor<4> {
        let values: Vec<f32> = (0..2 * 3 * h * w)
            .map(|i| ((i * 37 + 11) % 101) as f32 / 101.0)
            .collect();
        Tensor::from_data(TensorData::new(values, [2, 3, h, w]), &Default::default())
    }

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    #[test]
    fn padding_and_jitter_copy_pixels() {
        let (h, w) = (5, 8);
        let x = picture(h, w);
        let transforms = Transforms::none().pad(2).jitter(3).fill(0.25);
        assert_eq!(transforms.sizes([h, w]).unwrap(), [[6, 9]]);
        let mut random = Random::new(4);
        let mut shifts = Vec::new();
        for _ in 0..20 {
            let change = transforms.draw([h, w], &mut random);
            let [top, left] = change.map.apply([0.0; 2]).map(|v| v as i64);
            shifts.push([top, left]);
            let (source, seen) = (values(x.clone()), values(change.apply(x.clone())));
            for (i, got) in seen.into_iter().enumerate() {
                let (plane, y, column) = (i / 54, (i / 9 % 6) as i64, (i % 9) as i64);
                let (y, column) = (y + top, column + left);
                let inside = (0..h as i64).contains(&y) && (0..w as i64).contains(&column);
                let want = match inside {
                    true => source[plane * h * w + y as usize * w + column as usize],
                    false => 0.25,
                };
                assert_eq!(got, want);
            }
        }
        assert!(shifts.iter().flatten().all(|s| (-2..=1).contains(s)));
        shifts.sort_unstable();
        shifts.dedup();
        assert!(shifts.len() > 6, "{shifts:?}");
    }

    #[test]
    fn a_quarter_turn_and_a_doubling_are_exact() {
        let x = picture(5, 5);
        let turned = Transforms::none().rotate([90.0]);
        let turned = turned.draw([5, 5], &mut Random::new(0)).apply(x.clone());
        // Counterclockwise: what was the right column is the first row.
        let want = x.clone().swap_dims(2, 3).flip([2]);
        for (got, want) in values(turned).into_iter().zip(values(want)) {
            assert!((got - want).abs() < 1e-5);
        }
        let large = Transforms::none().scale([2.0]);
        let large = large.draw([5, 5], &mut Random::new(0)).apply(x.clone());
        assert_eq!(large.dims(), [2, 3, 10, 10]);
        let resized = crate::matrix::resize(x, [10, 10]);
        for (got, want) in values(large).into_iter().zip(values(resized)) {
            assert!((got - want).abs() < 1e-5);
        }
    }

    #[test]
    fn lucid_keeps_oblong_pictures_oblong() {
        let transforms = Transforms::lucid();
        let sizes = transforms.sizes([40, 90]).unwrap();
        assert_eq!(sizes.len(), 11);
        // 40 + 24 - 8 = 56 and 106, times .9 to 1.1, less 4.
        assert!(
            sizes.contains(&[46, 91]) && sizes.contains(&[58, 113]),
            "{sizes:?}"
        );
        let mut random = Random::new(7);
        let x = picture(40, 90);
        let mut seen = Vec::new();
        for _ in 0..60 {
            let change = transforms.draw([40, 90], &mut random);
            assert!(sizes.contains(&change.size));
            let shown = change.apply(x.clone());
            assert_eq!(shown.dims()[2..], change.size);
            assert!(values(shown).iter().all(|v| (0.0..=1.0).contains(v)));
            seen.push(change.size);
        }
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 8, "{seen:?}");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let none = Transforms::none;
        for refused in [
            none().scale([]),
            none().scale([0.0]),
            none().scale([f32::NAN]),
            none().rotate([]),
            none().rotate([f32::INFINITY]),
            none().fill(1.5),
            none().pad(5000),
            // Without a limit these would fill the memory.
            none().pad(4096).pad(4096),
            none().scale([20.0; 3]).scale([20.0]).scale([20.0]),
        ] {
            let error = refused.sizes([8, 8]).unwrap_err();
            assert!(matches!(error, VisError::Parameter { .. }), "{refused}");
        }
        let error = none().pad(1).jitter(6).sizes([4, 9]).unwrap_err();
        assert!(error.to_string().contains("jitter 6"), "{error}");
    }
}
