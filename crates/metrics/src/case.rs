//! One explanation of one image, with all that metrics may ask about it.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};
use elucid_attribution::{Attribution, AttributionError, Attributor, Network, Random, Target};
use elucid_graph::{Activation, INPUT, ImageBatch};
use ndarray::{Array2, ArrayView2, Axis};

use crate::error::MetricError;
use crate::metric::{Halt, NotApplicable};
use crate::options::words;
use crate::probe::Probe;
use crate::randomisation::RandomNetworks;
use crate::region::{self, Truth};

/// How an attribution of one image or more becomes maps at the size of the images, of which the
/// first is taken.
pub type Present = dyn Fn(&Attribution) -> Result<Array2<f32>, AttributionError> + Send + Sync;

words! {
    /// What the strength of a perturbation is measured in.
    ///
    /// Captum, pytorch-grad-cam and Quantus add numbers to the image as the network takes it. That fits
    /// torchvision's preparation, under which a photograph has a standard deviation of about 1; where
    /// pixels range over 0 to 255, as in Caffe's networks, the same numbers drown in rounding.
    pub enum Scale: "scale", SCALES = "deviation (of the image) or absolute", default Deviation {
        /// The standard deviation of all pixels and channels of the image.
        Deviation = "deviation",
        /// The numbers of the image themselves.
        Absolute = "absolute",
    }
}

/// One explanation of one image.
///
/// What is not known may be left out; metrics that need it are then not applicable.
#[derive(Clone)]
#[must_use = "a case is measured by a metric"]
pub struct Case<'a> {
    pub(crate) network: &'a dyn Network,
    pub(crate) image: Tensor<4>,
    /// The image on the host, `[C, H, W]` row-major.
    pub(crate) pixels: Vec<f32>,
    pub(crate) class: usize,
    pub(crate) explained: Option<Target>,
    map: ArrayView2<'a, f32>,
    raw: Option<ArrayView2<'a, f32>>,
    truth: Truth<'a>,
    attribution: Option<&'a Attribution>,
    attributor: Option<&'a dyn Attributor>,
    present: Option<&'a Present>,
    identity: Option<u64>,
    pub(crate) networks: Option<&'a RandomNetworks>,
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("image", &self.image.dims())
            .field("class", &self.class)
            .field("truth", &self.truth)
            .field("attributor", &self.attributor)
            .finish_non_exhaustive()
    }
}

impl<'a> Case<'a> {
    /// `map` `[H, W]` explains why `network` gives `class` to `image` `[1, C, H, W]`.
    ///
    /// # Errors
    ///
    /// [`MetricError::Image`] for a batch of none or several, and for pixels that are not finite;
    /// [`MetricError::Size`] for a map of another size.
    pub fn new(
        network: &'a dyn Network,
        image: &dyn ImageBatch,
        class: usize,
        map: ArrayView2<'a, f32>,
    ) -> Result<Self, MetricError> {
        let image = match network.device() {
            Some(device) => image.images(device),
            None => image.batch(),
        }
        .without_autodiff();
        let shape = image.dims();
        if shape[0] != 1 || shape.contains(&0) {
            return Err(MetricError::Image {
                reason: format!("expected one image [1, C, H, W], got {shape:?}"),
            });
        }
        let pixels: Vec<f32> = Activation::from(image.clone())
            .to_array()?
            .into_iter()
            .collect();
        if pixels.iter().any(|v| !v.is_finite()) {
            return Err(MetricError::Image {
                reason: "it has pixels that are not finite numbers".to_owned(),
            });
        }
        let case = Self {
            network,
            image,
            pixels,
            class,
            explained: None,
            map,
            raw: None,
            truth: Truth::default(),
            attribution: None,
            attributor: None,
            present: None,
            identity: None,
            networks: None,
        };
        case.check_size("map", map.dim())?;
        Ok(case)
    }

    fn check_size(&self, what: &'static str, (h, w): (usize, usize)) -> Result<(), MetricError> {
        match self.size() {
            expected if expected == [h, w] => Ok(()),
            expected => Err(MetricError::Size {
                what,
                got: [h, w],
                expected,
            }),
        }
    }

    /// The same case for a shorter time, in which more can be borrowed: views of arrays do not
    /// shorten by themselves.
    fn shorten<'b>(self) -> Case<'b>
    where
        'a: 'b,
    {
        Case {
            map: self.map.reborrow(),
            raw: self.raw.map(|raw| raw.reborrow()),
            truth: self.truth.shorten(),
            network: self.network,
            image: self.image,
            pixels: self.pixels,
            class: self.class,
            explained: self.explained,
            attribution: self.attribution,
            attributor: self.attributor,
            present: self.present,
            identity: self.identity,
            networks: self.networks,
        }
    }

    /// What the map explains where that is no class of the picture: a detected box, a region of a dense map, a number of a
    /// layer. Metrics that take the class's score then take the target's as it is, which is no logit of a probability, and those that
    /// explain again explain it. The class counts for metrics that ask for the network's best guess alone.
    ///
    /// A detected box has the score of the anchor that fits it best in each changed image, as in D-RISE (Petsiuk et al.,
    /// *Black-box explanation of object detectors via saliency maps*, 2021); a region the sum of the class's scores over
    /// it, and one where the class is predicted lies where it is in the image as it is.
    pub fn explains(mut self, target: Target) -> Self {
        self.explained = Some(target);
        self
    }

    /// Where networks with random weights are kept for other images of this network, so that
    /// [`ParameterRandomisation`](crate::ParameterRandomisation) and its further forms make them once.
    pub fn networks<'b>(self, networks: &'b RandomNetworks) -> Case<'b>
    where
        'a: 'b,
    {
        Case {
            networks: Some(networks),
            ..self.shorten()
        }
    }

    /// What tells this image from others, such as a hash of its name: metrics that draw random numbers draw others for each
    /// image. Otherwise all images of one seed meet the same draws, whose luck a mean over images keeps and no interval shows.
    pub fn identity(mut self, identity: u64) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The generator of this image under a seed.
    pub(crate) fn random(&self, seed: u64) -> Random {
        match self.identity {
            Some(identity) => Random::stream(seed, identity),
            None => Random::new(seed),
        }
    }

    /// The map before it was brought to the size of the image, of any size: localisation thresholds
    /// it first and resizes then. The map itself unless one is given.
    pub fn raw_map<'b>(self, raw: ArrayView2<'b, f32>) -> Case<'b>
    where
        'a: 'b,
    {
        Case {
            raw: Some(raw),
            ..self.shorten()
        }
    }

    /// Where the objects of the class are: `[xmin, ymin, xmax, ymax]` in pixels of the image as the
    /// network sees it, half-open, so that `[0, 0, W, H]` is all of it and `xmax - xmin` a width.
    /// Boxes are cut at the image's edge. None at all leaves the place to a [`mask`](Self::mask), or unknown.
    ///
    /// A pixel belongs to a box if its centre, half a pixel from its corner, does; a box between
    /// the centres has the pixel that its own centre lies in.
    ///
    /// # Errors
    ///
    /// [`MetricError::Box`] for one without area, outside of the image, or not of numbers.
    pub fn boxes(mut self, boxes: &[[f32; 4]]) -> Result<Self, MetricError> {
        self.truth.boxes = region::clip(boxes, self.size())?;
        Ok(self)
    }

    /// Where the object is, as a mask `[H, W]`. It says which pixels belong to the object, whatever boxes there are; the boxes count
    /// where boxes are compared, the tight one around the mask where there are none.
    ///
    /// # Errors
    ///
    /// [`MetricError::Size`] for a mask of another size.
    pub fn mask<'b>(self, mask: ArrayView2<'b, bool>) -> Result<Case<'b>, MetricError>
    where
        'a: 'b,
    {
        self.check_size("mask", mask.dim())?;
        let mut case = self.shorten();
        case.truth.mask = Some(mask);
        Ok(case)
    }

    /// Pixels `[H, W]` of which nobody says whether they belong to the object, such as the outlines that VOC calls void: metrics that
    /// ask where the object is look at the others only.
    ///
    /// # Errors
    ///
    /// [`MetricError::Size`] for a mask of another size.
    pub fn ignoring<'b>(self, ignored: ArrayView2<'b, bool>) -> Result<Case<'b>, MetricError>
    where
        'a: 'b,
    {
        self.check_size("mask", ignored.dim())?;
        let mut case = self.shorten();
        case.truth.ignored = Some(ignored);
        Ok(case)
    }

    /// What the map was made from: an attribution of this image alone.
    ///
    /// # Errors
    ///
    /// [`MetricError::Image`] for an attribution of several images.
    pub fn attribution<'b>(self, attribution: &'b Attribution) -> Result<Case<'b>, MetricError>
    where
        'a: 'b,
    {
        let shape = attribution.values().shape();
        if shape.first() != Some(&1) {
            return Err(MetricError::Image {
                reason: format!("expected an attribution of one image, got {shape:?}"),
            });
        }
        Ok(Case {
            attribution: Some(attribution),
            ..self.shorten()
        })
    }

    /// The method, for metrics that attribute again.
    pub fn attributor<'b>(self, attributor: &'b dyn Attributor) -> Case<'b>
    where
        'a: 'b,
    {
        Case {
            attributor: Some(attributor),
            ..self.shorten()
        }
    }

    /// How attributions become maps, for metrics that compare the maps of several; by default
    /// [`Attribution::map`] brought to the size of the image.
    pub fn present<'b>(self, present: &'b Present) -> Case<'b>
    where
        'a: 'b,
    {
        Case {
            present: Some(present),
            ..self.shorten()
        }
    }

    /// `[height, width]` of the image.
    pub fn size(&self) -> [usize; 2] {
        let [_, _, h, w] = self.image.dims();
        [h, w]
    }

    /// The network.
    pub fn network(&self) -> &'a dyn Network {
        self.network
    }

    /// The image `[1, C, H, W]`.
    pub fn image(&self) -> Tensor<4> {
        self.image.clone()
    }

    /// Number of channels of the image.
    pub fn channels(&self) -> usize {
        self.image.dims()[1]
    }

    /// The class that is explained.
    pub fn class(&self) -> usize {
        self.class
    }

    /// The map `[H, W]`, as it was given.
    pub fn map(&self) -> ArrayView2<'a, f32> {
        self.map
    }

    /// The map, if all its numbers are finite.
    ///
    /// # Errors
    ///
    /// [`NotApplicable::NotFinite`], which is what the metric then says.
    pub fn finite_map(&self) -> Result<ArrayView2<'a, f32>, NotApplicable> {
        finite(self.map)
    }

    /// The map before resizing, if all its numbers are finite.
    pub(crate) fn finite_raw(&self) -> Result<ArrayView2<'a, f32>, NotApplicable> {
        let raw = self.raw.unwrap_or(self.map);
        match raw.is_empty() {
            true => Err(NotApplicable::Zero),
            false => finite(raw),
        }
    }

    /// Which pixels belong to the object, `[H, W]`.
    ///
    /// # Errors
    ///
    /// [`NotApplicable`] where that is not known, or no pixel does.
    pub fn true_pixels(&self) -> Result<Array2<bool>, NotApplicable> {
        self.truth.pixels(self.size())
    }

    /// Whether a pixel, `(y, x)`, counts: whether it is not [ignored](Self::ignoring).
    pub(crate) fn counts(&self, at: (usize, usize)) -> bool {
        self.truth.counts(at)
    }

    /// The map's values at the pixels that count, and which of these belong to the object, of which there is one at least.
    pub(crate) fn told_apart(&self) -> Result<(Vec<f32>, Vec<bool>), NotApplicable> {
        let map = self.finite_map()?;
        let object = self.true_pixels()?;
        let pixels = map.indexed_iter().zip(&object);
        let counted = pixels.filter(|((at, _), _)| self.counts(*at));
        Ok(counted
            .map(|((_, &value), &inside)| (value, inside))
            .unzip())
    }

    /// The boxes around the objects, `[xmin, ymin, xmax, ymax]` in pixels; of a mask alone, the one around it.
    ///
    /// # Errors
    ///
    /// [`NotApplicable`] where there are none.
    pub fn true_boxes(&self) -> Result<Vec<[f32; 4]>, NotApplicable> {
        self.truth.boxes(self.size())
    }

    /// What is explained: the class, unless [`Case::explains`] has said otherwise.
    pub fn target(&self) -> Target {
        match &self.explained {
            Some(target) => target.clone(),
            None => Target::class(self.class),
        }
    }

    /// The method, to attribute again.
    ///
    /// # Errors
    ///
    /// [`NotApplicable::NoAttributor`] where it was not given.
    pub fn method(&self) -> Result<&'a dyn Attributor, NotApplicable> {
        self.attributor.ok_or(NotApplicable::NoAttributor)
    }

    /// Hands the attribution, given or made again, to `with`.
    pub(crate) fn with_attribution<T>(
        &self,
        with: impl FnOnce(&Attribution) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        match (self.attribution, self.attributor) {
            (Some(attribution), _) => with(attribution),
            (None, Some(method)) => {
                with(&method.attribute(self.network, &self.image, self.target())?)
            }
            (None, None) => Err(NotApplicable::NoAttribution.into()),
        }
    }

    /// Attributes `class` anew on `network` and makes a map at the size of the image.
    pub(crate) fn map_of(&self, network: &dyn Network, class: usize) -> Result<Array2<f32>, Halt> {
        self.map_for(network, &self.image, class)
    }

    /// The same for another image of the same size.
    pub(crate) fn map_for(
        &self,
        network: &dyn Network,
        image: &Tensor<4>,
        class: usize,
    ) -> Result<Array2<f32>, Halt> {
        let target = match class == self.class {
            true => self.target(),
            false => Target::class(class),
        };
        self.shown(&self.method()?.attribute(network, image, target)?)
    }

    /// The map of an attribution at the size of the image.
    pub(crate) fn shown(&self, attribution: &Attribution) -> Result<Array2<f32>, Halt> {
        let map = match self.present {
            Some(present) => present(attribution)?,
            None => {
                let maps = attribution.map()?.upsampled();
                match maps.maps().is_empty() {
                    true => return Err(NotApplicable::Zero.into()),
                    false => maps.maps().index_axis(Axis(0), 0).to_owned(),
                }
            }
        };
        self.check_size("map", map.dim())?;
        finite(map.view())?;
        Ok(map)
    }

    /// The attribution's numbers at the pixels, `[C, H, W]` row-major.
    pub(crate) fn pixel_attribution(&self) -> Result<Vec<f32>, Halt> {
        let input = self.network.layer(INPUT)?;
        self.with_attribution(|attribution| {
            let values = attribution.values();
            if attribution.layer() != input || values.shape() != self.image.dims() {
                return Err(NotApplicable::NotAtInput {
                    layer: attribution.layer().to_owned(),
                }
                .into());
            }
            let values: Vec<f32> = values.iter().copied().collect();
            match values.iter().all(|v| v.is_finite()) {
                true => Ok(values),
                false => Err(NotApplicable::NotFinite.into()),
            }
        })
    }

    /// What one unit of noise is.
    pub(crate) fn unit(&self, scale: Scale) -> Result<f64, NotApplicable> {
        match scale {
            Scale::Absolute => Ok(1.0),
            Scale::Deviation => {
                let count = self.pixels.len() as f64;
                let mean = self.pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
                let squares = self.pixels.iter().map(|&v| (f64::from(v) - mean).powi(2));
                match (squares.sum::<f64>() / count).sqrt() {
                    unit if unit > 0.0 => Ok(unit),
                    _ => Err(NotApplicable::ConstantImage),
                }
            }
        }
    }

    /// Where the image is.
    pub fn device(&self) -> Device {
        self.image.device()
    }

    /// The network's scores of images, one row for each.
    ///
    /// # Errors
    ///
    /// Whatever running the network meets, and [`MetricError::Scores`] for scores that are no rows.
    pub fn logits(&self, images: Tensor<4>) -> Result<Array2<f32>, MetricError> {
        Probe::new(self, images.dims()[0].max(1))?.logits_of(images)
    }

    /// Images `[N, C, H, W]` from their pixels.
    pub(crate) fn batch(&self, pixels: Vec<f32>) -> Tensor<4> {
        let [_, c, h, w] = self.image.dims();
        let count = pixels.len() / (c * h * w);
        Tensor::from_data(TensorData::new(pixels, [count, c, h, w]), &self.device())
    }
}

fn finite(map: ArrayView2<'_, f32>) -> Result<ArrayView2<'_, f32>, NotApplicable> {
    match map.iter().all(|v| v.is_finite()) {
        true => Ok(map),
        false => Err(NotApplicable::NotFinite),
    }
}
