//! Fusing: maps of several layers, or by several methods, as one map.
//!
//! Each map is divided by its largest absolute value, so that no layer drowns the others, and enlarged
//! bilinearly to the finest grid among them. With `m_l` for what comes of it:
//!
//! | [`Fuse`] | number at position `i` |
//! | --- | --- |
//! | [`Mean`](Fuse::Mean) | `mean_l(m_li)`, signed where maps are |
//! | [`Product`](Fuse::Product) | `product_l(max(m_li, 0))`: only what all of them see; the product of maps without a number above zero is 0 |
//!
//! A map is what its method usually shows, or [another reduction](Fused::reduced_by). For class activation maps of a method of the
//! table ([`Fused::layers`]) that is their positive part, as in pytorch-grad-cam, which takes the mean
//! over its target layers likewise. Products of maps are those of *Refine-CAM*-like programs, whose deep
//! layers say what and shallow ones where. LayerCAM's paper takes the largest instead, after it has scaled
//! shallow maps by a hyperbolic tangent.
//!
//! The result is one number for each position of the finest grid, `[N, 1, h, w]`; its layer is the one that
//! has that grid, and the option `layers` of its configuration names all. Nothing is promised to add
//! up.
//!
//! ```
//! # use elucid_attribution::{Attributor, AttributionError, Fuse, Fused, GradCam, LayerCam};
//! let parts: [Box<dyn Attributor>; 2] =
//!     [Box::new(GradCam::at_features()), Box::new(LayerCam::at("mixed4d"))];
//! let method = Fused::new(parts, Fuse::Product)?;
//! assert_eq!(method.name(), "grad-cam + layer-cam");
//! # Ok::<(), AttributionError>(())
//! ```

use elucid_graph::{INPUT, Layout};
use ndarray::{Array3, Axis, Zip};

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup};
use crate::error::AttributionError;
use crate::layer_map::{LayerMap, Takes};
use crate::methods::{Method, MethodOptions, Place};
use crate::options::{Configuration, words};
use crate::saliency::{Reduce, Saliency};
use crate::work::{Context, at_least_one};

words! {
    /// How maps become one.
    pub enum Fuse: "fuse", FUSES = "mean or product" {
        /// Their mean.
        Mean = "mean",
        /// The product of their positive parts.
        Product = "product",
    }
}

/// Several methods, or one at several layers, whose maps become one.
#[derive(Debug)]
#[must_use = "a method does nothing until it is asked to attribute"]
pub struct Fused {
    name: String,
    parts: Vec<Box<dyn Attributor>>,
    fuse: Fuse,
    reduce: Option<Reduce>,
    /// That of the first, at the input: each looks up its own layer.
    setup: Setup,
}

impl Fused {
    /// The maps of these methods, as each of them is usually shown.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Parameter`] for none.
    pub fn new(
        parts: impl IntoIterator<Item = Box<dyn Attributor>>,
        fuse: Fuse,
    ) -> Result<Self, AttributionError> {
        let parts: Vec<Box<dyn Attributor>> = parts.into_iter().collect();
        at_least_one("number of methods to be fused", parts.len())?;
        let mut names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        names.dedup();
        Ok(Self {
            name: names.join(" + "),
            setup: parts[0]
                .setup()
                .clone()
                .with_layer(INPUT)
                .taking(Takes::Numbers),
            parts,
            fuse,
            reduce: None,
        })
    }

    /// A method of the table at several layers, under the same options otherwise: of class activation
    /// maps the positive parts.
    ///
    /// # Errors
    ///
    /// Those of [`Method::build`], and [`AttributionError::Parameter`] for no layers.
    pub fn layers<S: AsRef<str>>(
        method: &Method,
        options: &MethodOptions,
        layers: impl IntoIterator<Item = S>,
        fuse: Fuse,
    ) -> Result<Self, AttributionError> {
        let layers = layers.into_iter();
        let parts = layers.map(|layer| method.build(&options.clone().layer(layer.as_ref())));
        let fused = Self::new(parts.collect::<Result<Vec<_>, _>>()?, fuse)?;
        Ok(match method.place == Place::SpatialLayer {
            true => fused.reduced_by(Reduce::Positive),
            false => fused,
        })
    }

    /// What each attribution is reduced to before maps are fused.
    pub fn reduced_by(mut self, reduce: Reduce) -> Self {
        self.reduce = Some(reduce);
        self
    }

    /// The maps of some attributions as one, `[N, h, w]` on the finest of their grids.
    fn fused(&self, maps: &[Saliency], size: [usize; 2]) -> Array3<f32> {
        let scaled = maps.iter().map(|map| {
            let mut maps = map.resized(size).maps().clone();
            for (mut large, small) in maps.outer_iter_mut().zip(map.maps().outer_iter()) {
                let largest = small.iter().fold(0.0, |a: f32, v| a.max(v.abs()));
                if largest > 0.0 {
                    large.mapv_inplace(|v| v / largest);
                }
            }
            maps
        });
        let fused = scaled.reduce(|mut all, map| {
            Zip::from(&mut all).and(&map).for_each(|a, &b| {
                *a = match self.fuse {
                    Fuse::Mean => *a + b,
                    Fuse::Product => a.max(0.0) * b.max(0.0),
                }
            });
            all
        });
        let fused = fused.unwrap_or_default();
        match self.fuse {
            Fuse::Mean => fused / maps.len() as f32,
            Fuse::Product => fused.mapv(|v| v.max(0.0)),
        }
    }
}

impl Attributor for Fused {
    fn name(&self) -> &str {
        &self.name
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn configuration(&self, size: [usize; 2]) -> Configuration {
        let mut parts = self.parts.iter().map(|part| part.configuration(size));
        let first = parts.next().unwrap_or_default();
        // What they do not have in common is no option of the whole.
        let common = match parts.all(|part| part == first) {
            true => first,
            false => Configuration::new(),
        };
        common.with("fuse", self.fuse)
    }

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (network, images) = (work.network(), work.images());
        let (mut found, mut maps) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let attribution = part.attribute(network, &images, work.asked().clone())?;
            let reduce = self.reduce.unwrap_or(attribution.reduction());
            maps.push(attribution.saliency(reduce)?);
            found.push(attribution);
        }
        let positions = |map: &Saliency| map.maps().dim().1 * map.maps().dim().2;
        let finest = (0..maps.len()).reduce(|a, b| {
            // Of equals the first.
            if positions(&maps[b]) > positions(&maps[a]) {
                b
            } else {
                a
            }
        });
        let finest = finest.unwrap_or(0);
        let (_, h, w) = maps[finest].maps().dim();
        let values = self.fused(&maps, [h, w]);
        let layers: Vec<&str> = found.iter().map(Attribution::layer).collect();
        let configuration = self.configuration(found[finest].image_size());
        let configuration = configuration.with("layers", layers.join(","));
        let made = Attribution::of_maps(found, finest, values);
        Ok(made.named_as(&self.name, configuration))
    }
}

impl Attribution {
    /// The attribution `like` among several, with maps `[N, h, w]` for values and what all of them took.
    pub(crate) fn of_maps(found: Vec<Attribution>, like: usize, maps: Array3<f32>) -> Self {
        let add = |each: fn(&Attribution) -> Vec<usize>| {
            let all = found.iter().map(each);
            all.reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect())
        };
        let evaluations = add(|part| part.evaluations().to_vec()).unwrap_or_default();
        // Work that was not stopped was planned as it was done.
        let planned = add(|part| match part.planned() {
            [] => part.evaluations().to_vec(),
            planned => planned.to_vec(),
        });
        let was_stopped = found.iter().any(|part| !part.planned().is_empty());
        let mut remarks: Vec<String> = Vec::new();
        for remark in found.iter().flat_map(Attribution::remarks) {
            if !remarks.contains(remark) {
                remarks.push(remark.clone());
            }
        }
        let mut found = found;
        let mut parts = found.swap_remove(like).into_parts();
        parts.values = maps.insert_axis(Axis(1)).into_dyn();
        parts.map = LayerMap::with(Layout::ChannelsFirst, false);
        parts.reduce = Reduce::Sum;
        parts.completeness = Vec::new();
        parts.tolerance_met = Vec::new();
        parts.evaluations = evaluations;
        parts.planned = planned.filter(|_| was_stopped).unwrap_or_default();
        parts.remarks = remarks;
        Self::from_parts(parts)
    }

    /// The same by another name, under other options.
    pub(crate) fn named_as(self, name: &str, configuration: Configuration) -> Self {
        let mut parts = self.into_parts();
        name.clone_into(&mut parts.method);
        parts.configuration = configuration;
        Self::from_parts(parts)
    }
}
