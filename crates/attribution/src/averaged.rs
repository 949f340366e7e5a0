//! Test-time averaging: a method's maps of several views of a picture, mapped back and averaged.
//!
//! The network should see the same thing in a mirrored picture as in the picture; where its maps differ, the
//! difference is noise. A view goes through the network as a picture does, and what comes of it is mapped back
//! to where it belongs:
//!
//! | [`Views`] | views, besides the picture itself |
//! | --- | --- |
//! | [`Flip`](Views::Flip) | mirrored left to right; mirrored back exactly, number by number |
//! | [`Scale`](Views::Scale) | 0.9 and 1.1 times as large around its centre, bilinear, in a frame of the same size: zeros around it (the mean colour, where the preparation subtracts it), or its border cut |
//! | [`Intensity`](Views::Intensity) | its numbers, as the network reads them, times 0.9 and 1.1 |
//!
//! Several of them are combined, each with each: `flip` and `scale` are six views. A position has the mean of the maps
//! that see it. The result is a map, `[N, 1, h, w]`, of what the method usually shows, or of
//! [another reduction](Averaged::reduced_by); its score and its layer are those of the picture itself, and nothing is
//! promised to add up.
//!
//! Where the network's best guess is another for a view, that view explains something the network does not
//! say of the picture: [`Attribution::remarks`] names those views. A target that looks at a place (a
//! position, a region, a box) would have to be moved along, and is refused.
//!
//! pytorch-grad-cam's `aug_smooth` is `flip,intensity`, of maps that were stretched to 0..1 before.
//!
//! ```
//! # use elucid_attribution::{AttributionError, Averaged, GradCam, Views};
//! let method = Averaged::new(GradCam::at_features(), [Views::Flip, Views::Scale]);
//! # Ok::<(), AttributionError>(())
//! ```

use std::fmt;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, INPUT, ImageBatch, LOGITS};
use elucid_rules::Rules;
use ndarray::{Array2, Array3, ArrayView2, Axis, Ix2, Ix4, s};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup};
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::network::Network;
use crate::options::{Configuration, words};
use crate::saliency::Reduce;
use crate::target::Target;
use crate::work::Context;

words! {
    /// A kind of views.
    pub enum Views: "tta", VIEWS = "flip, scale or intensity" {
        /// Mirrored left to right.
        Flip = "flip",
        /// Smaller and larger.
        Scale = "scale",
        /// Weaker and stronger.
        Intensity = "intensity",
    }
}

/// The factors of views that are scaled.
const FACTORS: [f32; 3] = [1.0, 0.9, 1.1];

/// A method whose maps of several views of a picture are averaged.
#[derive(Debug)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Averaged<A> {
    method: A,
    views: Vec<Views>,
    reduce: Option<Reduce>,
    /// That of the method, at the input, where views are made.
    setup: Setup,
}

impl<A: Attributor> Averaged<A> {
    /// A method over these kinds of views and the picture itself.
    pub fn new(method: A, views: impl IntoIterator<Item = Views>) -> Self {
        let mut kinds = Vec::new();
        for kind in views {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Self {
            setup: method
                .setup()
                .clone()
                .with_layer(INPUT)
                .taking(Takes::Numbers),
            method,
            views: kinds,
            reduce: None,
        }
    }

    /// What each attribution is reduced to before maps are averaged.
    pub fn reduced_by(mut self, reduce: Reduce) -> Self {
        self.reduce = Some(reduce);
        self
    }

    /// Refuses a target that looks at a place.
    fn check(&self, target: &Target) -> Result<(), AttributionError> {
        let moves = self.views.iter().any(|kind| *kind != Views::Intensity);
        if moves && target.is_of_a_place() {
            return Err(AttributionError::Target {
                text: target.to_string(),
                reason: "it looks at a place of the picture, which views would move; explain it without \
                         averaging"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// Every view, the picture itself first.
    fn each(&self) -> Vec<View> {
        let has = |kind| self.views.contains(&kind);
        let factors = |kind| {
            if has(kind) {
                &FACTORS[..]
            } else {
                &FACTORS[..1]
            }
        };
        let mut all = Vec::new();
        for &scale in factors(Views::Scale) {
            for &intensity in factors(Views::Intensity) {
                for mirrored in [false, true] {
                    if !mirrored || has(Views::Flip) {
                        all.push(View {
                            mirrored,
                            scale,
                            intensity,
                        });
                    }
                }
            }
        }
        all
    }
}

impl<A: Attributor> Attributor for Averaged<A> {
    fn name(&self) -> &str {
        self.method.name()
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let views: Vec<String> = self.views.iter().map(Views::to_string).collect();
        self.method.configuration(size).with("tta", views.join(","))
    }

    /// A target that views would move is refused before it is looked up.
    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        self.check(&target)?;
        self.explain(&Context::new(network, images, &target, &self.setup)?)
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (network, target) = (work.network(), work.asked());
        self.check(target)?;
        let images = work.images();
        let views = self.each();
        let own = guesses(network, &images)?;
        let mut others: Vec<Vec<String>> = vec![Vec::new(); own.len()];
        let (mut found, mut sum) = (Vec::new(), None);
        for view in &views {
            let seen = view.of(&images)?;
            if !view.is_itself() {
                for ((own, guess), others) in
                    own.iter().zip(guesses(network, &seen)?).zip(&mut others)
                {
                    if *own != guess {
                        others.push(view.to_string());
                    }
                }
            }
            let attribution = self.method.attribute(network, &seen, target.clone())?;
            let reduce = self.reduce.unwrap_or(attribution.reduction());
            let maps = attribution.saliency(reduce)?;
            let sum: &mut Mean = sum.get_or_insert_with(|| Mean::of(maps.maps().dim()));
            for (image, map) in maps.maps().outer_iter().enumerate() {
                sum.add(image, view, map);
            }
            found.push(attribution);
        }
        let maps = sum.map(Mean::finish).unwrap_or_default();
        let remarks = others
            .into_iter()
            .enumerate()
            .filter(|(_, others)| !others.is_empty());
        let remarks = remarks.map(|(image, others)| {
            format!(
                "image {image}: the network's best guess is another in {} of {} views: {}",
                others.len(),
                views.len(),
                others.join(", ")
            )
        });
        let made = Attribution::of_maps(found, 0, maps);
        let name = self.method.name().to_owned();
        Ok(made
            .named_as(&name, self.configuration(work.size()))
            .with_remarks(remarks))
    }
}

/// The class of the largest logit of each image; none for a network without classes.
fn guesses(network: &dyn Network, images: &Tensor<4>) -> Result<Vec<usize>, AttributionError> {
    let feeds = vec![(INPUT, images.clone().into())];
    let Ok(logits) = network.run(feeds, LOGITS, &Rules::new()) else {
        return Ok(Vec::new());
    };
    let Ok(logits) = logits.to_array()?.into_dimensionality::<Ix2>() else {
        return Ok(Vec::new());
    };
    let largest = |row: ndarray::ArrayView1<'_, f32>| {
        let classes = row.iter().enumerate();
        classes
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map_or(0, |(class, _)| class)
    };
    Ok(logits.outer_iter().map(largest).collect())
}

/// One way to look at a picture.
#[derive(Debug, Clone, Copy)]
struct View {
    mirrored: bool,
    scale: f32,
    intensity: f32,
}

impl View {
    fn is_itself(self) -> bool {
        !self.mirrored && self.scale == 1.0 && self.intensity == 1.0
    }

    /// The view of images `[N, C, H, W]`.
    fn of(self, images: &Tensor<4>) -> Result<Tensor<4>, AttributionError> {
        let mut seen = images.clone();
        if self.mirrored {
            seen = seen.flip([3]);
        }
        if self.intensity != 1.0 {
            seen = seen * self.intensity;
        }
        if self.scale == 1.0 {
            return Ok(seen);
        }
        let shape = seen.dims();
        let device = seen.device();
        let array = Activation::from(seen).to_array()?;
        let got = array.shape().to_vec();
        let array = array.into_dimensionality::<Ix4>();
        let array = array.map_err(|_| AttributionError::ReadBack {
            expected: shape.to_vec(),
            got,
        })?;
        let mut pixels = Vec::with_capacity(array.len());
        for image in array.outer_iter() {
            for channel in image.outer_iter() {
                pixels.extend(scaled(channel, self.scale).0);
            }
        }
        Ok(Tensor::from_data(TensorData::new(pixels, shape), &device))
    }
}

/// `mirrored, scaled by 0.9`.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.mirrored {
            parts.push("mirrored".to_owned());
        }
        if self.scale != 1.0 {
            parts.push(format!("scaled by {}", self.scale));
        }
        if self.intensity != 1.0 {
            parts.push(format!("times {}", self.intensity));
        }
        f.write_str(&parts.join(" and "))
    }
}

/// A plane, enlarged by `factor` around its centre in a frame of the same size, bilinear, and which of its
/// positions lie in the plane; zeros outside.
fn scaled(plane: ArrayView2<'_, f32>, factor: f32) -> (Array2<f32>, Array2<bool>) {
    let (height, width) = plane.dim();
    // Where a position comes from: the two next to it, how far behind the first, and whether there are any.
    let taps = |size: usize| -> Vec<(usize, usize, f32, bool)> {
        let middle = size as f64 / 2.0;
        let tap = |i: usize| {
            let at = (i as f64 + 0.5 - middle) / f64::from(factor) + middle - 0.5;
            let is_inside = (-0.5..=size as f64 - 0.5).contains(&at);
            let at = at.clamp(0.0, size as f64 - 1.0);
            let low = at.floor() as usize;
            (
                low,
                (low + 1).min(size - 1),
                (at - low as f64) as f32,
                is_inside,
            )
        };
        (0..size).map(tap).collect()
    };
    let (rows, columns) = (taps(height), taps(width));
    let value = |(y, x): (usize, usize)| {
        let ((y0, y1, down, inside), (x0, x1, right, across)) = (rows[y], columns[x]);
        if !(inside && across) {
            return 0.0;
        }
        let along = |y: usize| plane[[y, x0]] * (1.0 - right) + plane[[y, x1]] * right;
        along(y0) * (1.0 - down) + along(y1) * down
    };
    let inside = |(y, x): (usize, usize)| rows[y].3 && columns[x].3;
    let shape = (height, width);
    (
        Array2::from_shape_fn(shape, value),
        Array2::from_shape_fn(shape, inside),
    )
}

/// The mean of maps that do not see everything.
struct Mean {
    sums: Array3<f64>,
    counts: Array3<u32>,
}

impl Mean {
    fn of(shape: (usize, usize, usize)) -> Self {
        Self {
            sums: Array3::zeros(shape),
            counts: Array3::zeros(shape),
        }
    }

    /// Adds the map of a view where it belongs.
    fn add(&mut self, image: usize, view: &View, map: ArrayView2<'_, f32>) {
        let back = match view.mirrored {
            true => map.slice_move(s![.., ..;-1]),
            false => map,
        };
        let (values, inside) = match view.scale == 1.0 {
            true => (back.to_owned(), Array2::from_elem(back.dim(), true)),
            false => scaled(back, 1.0 / view.scale),
        };
        let mut sums = self.sums.index_axis_mut(Axis(0), image);
        let mut counts = self.counts.index_axis_mut(Axis(0), image);
        for ((sum, count), (value, inside)) in sums
            .iter_mut()
            .zip(&mut counts)
            .zip(values.iter().zip(&inside))
        {
            if *inside {
                *sum += f64::from(*value);
                *count += 1;
            }
        }
    }

    fn finish(self) -> Array3<f32> {
        // The picture itself sees everything.
        let counts = self.counts.mapv(|count| f64::from(count.max(1)));
        (self.sums / counts).mapv(|v| v as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pixel of a picture that is half as large again lies where it should, and comes back.
    #[test]
    fn scaling_keeps_the_centre() {
        let plane = Array2::from_shape_fn((9, 7), |(y, x)| y as f32 + 10.0 * x as f32);
        for factor in [0.5, 0.9, 1.1, 2.0] {
            let (values, inside) = scaled(plane.view(), factor);
            assert_eq!(values[[4, 3]], plane[[4, 3]], "{factor}");
            for ((y, x), &value) in values.indexed_iter() {
                let at =
                    |i: usize, size: f32| (i as f32 + 0.5 - size / 2.0) / factor + size / 2.0 - 0.5;
                let (v, u) = (at(y, 9.0), at(x, 7.0));
                let is_inside = (-0.5..=8.5).contains(&v) && (-0.5..=6.5).contains(&u);
                let want = v.clamp(0.0, 8.0) + 10.0 * u.clamp(0.0, 6.0);
                assert_eq!(inside[[y, x]], is_inside, "{factor} {y} {x}");
                let want = if is_inside { want } else { 0.0 };
                assert!((value - want).abs() < 1e-4, "{factor}: {value} {want}");
            }
        }
        let (same, inside) = scaled(plane.view(), 1.0);
        assert_eq!(same, plane);
        assert!(inside.iter().all(|&v| v));
    }
}
