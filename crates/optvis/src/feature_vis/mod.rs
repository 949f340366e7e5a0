//! The loop.

mod job;
mod lanes;

use std::sync::Arc;
use std::time::Instant;

use elucid_attribution::Network;
use elucid_graph::INPUT;
use elucid_progress::Reporter;
use elucid_rules::{OpKind, RedirectedRelu, Rules};
use elucid_vision::InputSpec;
use ndarray::ArrayView2;
use tracing::debug;

use self::job::{Found, Input, Job};
use self::lanes::lanes;
use crate::error::{VisError, positive, refuse_unless};
use crate::objective::{ClassName, Objective, Objectives};
use crate::parametrisation::{Cppn, Fourier, Maco, Parametrisation, Pixels, Pyramid, Sheet};
use crate::subject::Subject;
use crate::transforms::Transforms;
use crate::visualisation::{Kept, Visualisation, join};

/// The longest side of a picture, in pixels.
pub const MAX_SIDE: usize = 4096;

/// Most pictures of a joint objective, which are all optimised together.
const MAX_JOINT: usize = 1024;

/// Makes pictures that bring out what parts of a network look for, by gradient ascent on the
/// picture.
///
/// Each step makes the pictures from their parameters, changes them by random [`Transforms`], runs
/// the network as far as the objective's layers, at the size that the pictures then have, and takes
/// a step of Adam (rate .05, decay .9 and .999) up the objective's gradient. For the first 16 steps
/// the gradient of rectifiers is [redirected](RedirectedRelu), so that icons do not start dead.
/// Defaults are those of Lucid, except that its loop runs one step more.
///
/// Where the network cannot compute the layers from pictures of that size (class scores of networks
/// whose last layers fit one size), it sees them resized, bilinearly, to its own;
/// [`Visualisation::network_size`] then says so.
///
/// Pictures with objectives of their own do not depend on each other: on the CPU the pieces of a
/// batch are optimised side by side, one on each thread, with the same result.
///
/// Memory: the activations of [`batch_size`](FeatureVis::batch_size) images up to the objective's
/// layers, with their gradients; and all pictures that are returned, those on the way included.
#[derive(Debug, Clone)]
#[must_use = "nothing is optimised until it is rendered"]
pub struct FeatureVis {
    parametrisation: Arc<dyn Parametrisation>,
    size: [usize; 2],
    steps: usize,
    keep: Vec<usize>,
    rate: f32,
    /// As they suit the size, unless they are given.
    transforms: Option<Transforms>,
    redirected: usize,
    settled: Option<(usize, f32)>,
    seed: u64,
    seeds: Option<Vec<u64>>,
    images: Option<usize>,
    batch_size: usize,
    rules: Rules,
    spec: Option<InputSpec>,
    any_size: bool,
    progress: Reporter,
}

impl FeatureVis {
    /// Optimises the spectrum of square pictures of `size` pixels a side, see [`Fourier`].
    pub fn fourier(size: usize) -> Self {
        Self::with(Fourier::new(), size)
    }

    /// Optimises the pixels of square pictures, see [`Pixels`].
    pub fn pixels(size: usize) -> Self {
        Self::with(Pixels::new(), size)
    }

    /// Optimises a Laplacian pyramid of square pictures, see [`Pyramid`].
    pub fn pyramid(size: usize) -> Self {
        Self::with(Pyramid::new(), size)
    }

    /// Optimises a network that paints square pictures, see [`Cppn`], with a learning rate of .005.
    /// Its pictures begin flat and excite little, so rectifiers redirect gradients to the end.
    pub fn cppn(size: usize) -> Self {
        Self::with(Cppn::new(), size)
            .learning_rate(0.005)
            .redirected_relu(usize::MAX)
    }

    /// Optimises the phases of square pictures with a photograph's magnitudes, see [`Maco`], with a
    /// learning rate of .3 radians.
    pub fn maco(size: usize) -> Self {
        Self::with(Maco::new(), size).learning_rate(0.3)
    }

    /// Optimises another parametrisation, square pictures of `size` pixels a side.
    pub fn with(parametrisation: impl Parametrisation + 'static, size: usize) -> Self {
        Self {
            parametrisation: Arc::new(parametrisation),
            size: [size, size],
            steps: 512,
            keep: Vec::new(),
            rate: 0.05,
            transforms: None,
            redirected: 16,
            settled: None,
            seed: 0,
            seeds: None,
            images: None,
            batch_size: 6,
            rules: Rules::new(),
            spec: None,
            any_size: false,
            progress: Reporter::default(),
        }
    }

    elucid_attribution::builder_methods! {
        /// `[height, width]` of the pictures, 1 to [`MAX_SIDE`] pixels each.
        set size(size: [usize; 2]) => size;
        /// Number of steps, default 512.
        set steps(steps: usize) => steps;
    }

    /// Keeps the pictures after so many steps, each 1 to the number of steps.
    pub fn keep_at(mut self, steps: impl IntoIterator<Item = usize>) -> Self {
        self.keep = steps.into_iter().collect();
        self.keep.sort_unstable();
        self.keep.dedup();
        self
    }

    elucid_attribution::builder_methods! {
        /// Adam's learning rate, default .05.
        set learning_rate(rate: f32) => rate;
        /// What happens to the pictures before the network sees them, default
        /// [`Transforms::lucid_at`] their size.
        some transforms(transforms: Transforms) => transforms;
        /// For how many steps rectifiers redirect gradients, see [`RedirectedRelu`]; default 16, 0 for
        /// none. A network that is no [`Model`](elucid_vision::Model) has none that could.
        set redirected_relu(steps: usize) => redirected;
    }

    /// Replaces gradients at every step. In the first steps the redirected rectifiers come before
    /// these rules.
    pub fn rules(mut self, rules: &Rules) -> Self {
        self.rules = rules.clone();
        self
    }

    /// Stops a picture once its objective's mean over the last `window` steps is not greater than
    /// that over the `window` steps before by more than `tolerance` times its size. The others of
    /// its batch go on. By default all steps are taken.
    pub fn stop_when_settled(mut self, window: usize, tolerance: f32) -> Self {
        self.settled = Some((window, tolerance));
        self
    }

    /// Seed of all that is random, default 0. The same seed gives the same pictures, to the bit, on
    /// one machine. Picture `i` begins with seed `seed + i`; the transforms of a step are the same
    /// for all pictures.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The seeds that the pictures begin with, one each, instead of `seed + i`: what makes a
    /// picture the same whichever others it is made with.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = Some(seeds.into_iter().collect());
        self
    }

    elucid_attribution::builder_methods! {
        /// How many pictures a joint objective is about, 1 to 1024. By default as many as it needs: up
        /// to the last that it is bound to.
        some images(images: usize) => images;
        /// How many pictures of a list are optimised together, default 6. It does not change them but
        /// for rounding. The pictures of a joint objective are always optimised together.
        set batch_size(batch_size: usize) => batch_size;
    }

    /// How pictures are prepared for the network, where it does not say so itself
    /// ([`Network::input_spec`]).
    pub fn input_spec(mut self, spec: &InputSpec) -> Self {
        self.spec = Some(spec.clone());
        self
    }

    /// Whether a network that is no [`Model`](elucid_vision::Model) takes pictures of any size; not by
    /// default: it sees them resized to that of its [`InputSpec`].
    pub fn any_size(mut self, any_size: bool) -> Self {
        self.any_size = any_size;
        self
    }

    elucid_progress::progress_option! {
        /// Called after every step of every batch; breaking cancels.
        progress
    }

    /// One picture for each of some channels of a layer.
    ///
    /// # Errors
    ///
    /// As [`FeatureVis::render`].
    pub fn channels(
        &self,
        network: &dyn Network,
        layer: &str,
        channels: &[usize],
    ) -> Result<Visualisation, VisError> {
        let each = channels.iter().map(|&n| Objective::channel(layer, n));
        self.render(network, each.collect::<Objectives>())
    }

    /// One picture for each of some directions `[N, C]` in the space of a layer's channels.
    ///
    /// # Errors
    ///
    /// As [`FeatureVis::render`].
    pub fn directions(
        &self,
        network: &dyn Network,
        layer: &str,
        directions: ArrayView2<'_, f32>,
    ) -> Result<Visualisation, VisError> {
        let each = directions
            .outer_iter()
            .map(|direction| Objective::direction(layer, direction));
        self.render(network, each.collect::<Objectives>())
    }

    /// One picture for each of some classes, by index or name.
    ///
    /// # Errors
    ///
    /// As [`FeatureVis::render`].
    pub fn classes<C: Into<ClassName>>(
        &self,
        network: &dyn Network,
        classes: impl IntoIterator<Item = C>,
    ) -> Result<Visualisation, VisError> {
        let each = classes.into_iter().map(Objective::class);
        self.render(network, each.collect::<Objectives>())
    }

    /// Optimises one picture for each objective of a list, or the pictures of one joint objective.
    ///
    /// # Errors
    ///
    /// [`VisError::Parameter`] and [`VisError::Nothing`] for settings out of range,
    /// [`VisError::NoObjective`] for an empty list; [`VisError::Graph`], [`VisError::Channel`],
    /// [`VisError::Direction`], [`VisError::Position`], [`VisError::NoChannels`],
    /// [`VisError::Item`] and [`VisError::TooFewImages`] for objectives that do not fit the
    /// network or the batch; [`VisError::NoGradient`] for one that does not depend on the picture,
    /// [`VisError::NotFinite`] when it leaves the numbers; [`VisError::TooLarge`] for more pictures than the
    /// network's memory allows; [`VisError::Cancelled`] when the
    /// callback asks to stop.
    pub fn render(
        &self,
        network: &dyn Network,
        objectives: impl Into<Objectives>,
    ) -> Result<Visualisation, VisError> {
        self.check()?;
        let (objectives, joint) = match objectives.into() {
            Objectives::Joint(objective) => (vec![objective], true),
            Objectives::Each(each) => (each, false),
        };
        let subject = Subject::of(network, &objectives, self.spec.as_ref())?;
        let images = match (&objectives[..], joint) {
            ([objective], true) => {
                let images = self.images.unwrap_or_else(|| objective.least_images());
                let fits = (1..=MAX_JOINT).contains(&images);
                refuse_unless(fits, "number of images", images, "1 to 1024")?;
                objective.check(&subject, images)?;
                images
            }
            (each, _) => {
                each.iter().try_for_each(|o| o.check(&subject, 1))?;
                each.len()
            }
        };
        if objectives.is_empty() {
            return Err(VisError::NoObjective);
        }
        let seeds = match &self.seeds {
            Some(seeds) => seeds.clone(),
            None => (0..images as u64)
                .map(|i| self.seed.wrapping_add(i))
                .collect(),
        };
        let enough = seeds.len() == images;
        refuse_unless(
            enough,
            "number of seeds",
            seeds.len(),
            "one for each picture",
        )?;

        let mut layers: Vec<String> = objectives.iter().flat_map(Objective::layers).collect();
        layers.sort_unstable();
        layers.dedup();
        let names = layers.iter().map(|layer| subject.name(layer));
        let mut names = names.collect::<Result<Vec<_>, _>>()?;
        let fed = network.layer(INPUT)?;
        let (spec, device) = (subject.input_spec(), subject.device());
        let parametrisation = &self.parametrisation;
        let canvas = parametrisation.canvas(&Sheet::new(self.size, spec.channels(), device))?;
        let network_size = self.network_size(network, &subject, &layers)?;
        let input = Input::new(spec, device);
        let per_batch = if joint { images } else { self.batch_size };
        self.afford(network, spec.channels(), [images, per_batch])?;
        let batches = images.div_ceil(per_batch);
        debug!(
            pictures = images,
            steps = self.steps,
            ?layers,
            batches,
            "begun"
        );
        let started = Instant::now();
        let mut found = Found::default();
        for (i, seeds) in seeds.chunks(per_batch).enumerate() {
            let objectives = match joint {
                true => &objectives[..],
                false => &objectives[i * per_batch..i * per_batch + seeds.len()],
            };
            let report = |step: usize| {
                // Any number of steps may be allowed to what stops when it has settled.
                let done = i.saturating_mul(self.steps).saturating_add(step);
                self.progress
                    .report(done, batches.saturating_mul(self.steps))
            };
            let job = Job {
                vis: self,
                network,
                subject: &subject,
                network_size,
                input: &input,
                canvas: &*canvas,
                layers: &layers,
                names: &names,
                fed: &fed,
            };
            let parts = match network.as_model() {
                // A model can be looked at from several threads; nobody knows of other networks.
                Some(model) => {
                    let lanes = if joint { 1 } else { lanes(device) };
                    job.of(model)
                        .run_in_lanes(objectives, seeds, joint, lanes, &report)?
                }
                None => vec![job.run(objectives, seeds, joint, &report)?],
            };
            parts.into_iter().for_each(|part| found.add(part));
        }
        let elapsed_ms = started.elapsed().as_millis();
        debug!(pictures = images, elapsed_ms, "done");
        names.dedup();
        let kept = self.keep.iter().zip(&found.kept);
        Ok(Visualisation {
            shown: job::shown(spec),
            images: join(&found.images)?,
            kept: kept
                .map(|(&step, parts)| {
                    let images = join(parts)?;
                    Ok(Kept { step, images })
                })
                .collect::<Result<_, VisError>>()?,
            steps: found.values.iter().map(Vec::len).collect(),
            values: found.values,
            seed: self.seed,
            seeds,
            layers: names.into_iter().map(str::to_owned).collect(),
            objectives: objectives.iter().map(Objective::to_string).collect(),
            parametrisation: self.parametrisation.name(),
            transforms: self.transforms_used().to_string(),
            network_size,
        })
    }

    fn check(&self) -> Result<(), VisError> {
        let [h, w] = self.size;
        let fits = |side: usize| (1..=MAX_SIDE).contains(&side);
        let sides = format!("{h} x {w}");
        refuse_unless(fits(h) && fits(w), "size", sides, "1 to 4096 pixels a side")?;
        refuse_unless(self.steps > 0, "steps", self.steps, "1 or more")?;
        positive("learning rate", self.rate)?;
        let batch = self.batch_size;
        refuse_unless(batch > 0, "batch size", batch, "1 or more")?;
        if let Some(step) = self.keep.iter().find(|s| !(1..=self.steps).contains(s)) {
            refuse_unless(false, "step to keep", step, "1 to the number of steps")?;
        }
        if let Some((window, tolerance)) = self.settled {
            refuse_unless(window > 0, "window", window, "1 step or more")?;
            let holds = tolerance.is_finite() && tolerance >= 0.0;
            refuse_unless(holds, "tolerance", tolerance, "0 or more")?;
        }
        Ok(())
    }

    /// Refuses pictures that would take more memory than the network may.
    fn afford(
        &self,
        network: &dyn Network,
        channels: usize,
        [images, per_batch]: [usize; 2],
    ) -> Result<(), VisError> {
        /// A picture, its parameters, their gradient, and the two means of them that the optimiser keeps.
        const WORKING: u64 = 5;
        const SINGLE: u64 = 4;
        let [height, width] = self.size.map(|side| side as u64);
        let picture = SINGLE * channels as u64 * height * width;
        let kept = (1 + self.keep.len()) as u64;
        let found = picture.saturating_mul(kept).saturating_mul(images as u64);
        let together = per_batch.min(images) as u64;
        let working = picture.saturating_mul(WORKING).saturating_mul(together);
        let needed = found.saturating_add(working);
        let limits = network.as_model().map(|model| model.graph().limits());
        let limit = limits.unwrap_or_default().memory();
        match needed > limit {
            false => Ok(()),
            true => Err(VisError::TooLarge {
                what: format!("{images} picture(s) of {height} x {width} pixels"),
                needed,
                limit,
            }),
        }
    }

    /// The network's own size, when it cannot compute the layers from all that the transforms
    /// make.
    fn network_size(
        &self,
        network: &dyn Network,
        subject: &Subject,
        layers: &[String],
    ) -> Result<Option<[usize; 2]>, VisError> {
        let own = subject.input_spec().size();
        let Some(model) = network.as_model() else {
            return Ok((!self.any_size && !layers.is_empty()).then_some(own));
        };
        for size in self.transforms_used().sizes(self.size)? {
            if model.shapes_for(layers, size).is_err() {
                model.shapes_for(layers, own)?;
                return Ok(Some(own));
            }
        }
        Ok(None)
    }

    fn transforms_used(&self) -> Transforms {
        let usual = || Transforms::lucid_at(self.size);
        self.transforms.clone().unwrap_or_else(usual)
    }

    /// The rules of one step, of a network of operators or another.
    fn rules_at(&self, step: usize, has_operators: bool) -> Rules {
        if step >= self.redirected || !has_operators {
            return self.rules.clone();
        }
        Rules::new()
            .on([OpKind::Relu, OpKind::Clip], RedirectedRelu)
            .where_present()
            .then(&self.rules)
    }
}
