//! The loop.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use elucid_graph::input::ChannelOrder;
use elucid_graph::input::InputSpec;
use elucid_graph::{Activation, INPUT, Model};
use elucid_progress::{Cancelled, Progress, Reporter};
use elucid_rules::{OpKind, RedirectedRelu, Rules};
use ndarray::{Array4, ArrayView2, Ix4};

use crate::adam::Adam;
use crate::error::{VisError, positive, refuse_unless};
use crate::matrix::resize;
use crate::objective::{ClassName, Objective, Objectives, Seen};
use crate::parametrisation::{Canvas, Cppn, Fourier, Maco, Parametrisation, Pixels, Pyramid};
use crate::random::Random;
use crate::transforms::{Change, Transforms};
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
    transforms: Transforms,
    redirected: usize,
    settled: Option<(usize, f32)>,
    seed: u64,
    seeds: Option<Vec<u64>>,
    images: Option<usize>,
    batch_size: usize,
    rules: Rules,
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
            transforms: Transforms::lucid(),
            redirected: 16,
            settled: None,
            seed: 0,
            seeds: None,
            images: None,
            batch_size: 6,
            rules: Rules::new(),
            progress: Reporter::default(),
        }
    }

    /// `[height, width]` of the pictures, 1 to [`MAX_SIDE`] pixels each.
    pub fn size(mut self, size: [usize; 2]) -> Self {
        self.size = size;
        self
    }

    /// Number of steps, default 512.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Keeps the pictures after so many steps, each 1 to the number of steps.
    pub fn keep_at(mut self, steps: impl IntoIterator<Item = usize>) -> Self {
        self.keep = steps.into_iter().collect();
        self.keep.sort_unstable();
        self.keep.dedup();
        self
    }

    /// Adam's learning rate, default .05.
    pub fn learning_rate(mut self, rate: f32) -> Self {
        self.rate = rate;
        self
    }

    /// What happens to the pictures before the network sees them, default
    /// [`Transforms::lucid`].
    pub fn transforms(mut self, transforms: Transforms) -> Self {
        self.transforms = transforms;
        self
    }

    /// For how many steps rectifiers redirect gradients, see [`RedirectedRelu`]; default 16, 0 for
    /// none.
    pub fn redirected_relu(mut self, steps: usize) -> Self {
        self.redirected = steps;
        self
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

    /// How many pictures a joint objective is about, 1 to 1024. By default as many as it needs: up
    /// to the last that it is bound to.
    pub fn images(mut self, images: usize) -> Self {
        self.images = Some(images);
        self
    }

    /// How many pictures of a list are optimised together, default 6. It does not change them but
    /// for rounding. The pictures of a joint objective are always optimised together.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Called after every step of every batch; breaking cancels.
    pub fn progress(
        mut self,
        callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        self.progress = Reporter::new(callback);
        self
    }

    /// One picture for each of some channels of a layer.
    ///
    /// # Errors
    ///
    /// As [`FeatureVis::render`].
    pub fn channels(
        &self,
        model: &Model,
        layer: &str,
        channels: &[usize],
    ) -> Result<Visualisation, VisError> {
        let each = channels.iter().map(|&n| Objective::channel(layer, n));
        self.render(model, each.collect::<Objectives>())
    }

    /// One picture for each of some directions `[N, C]` in the space of a layer's channels.
    ///
    /// # Errors
    ///
    /// As [`FeatureVis::render`].
    pub fn directions(
        &self,
        model: &Model,
        layer: &str,
        directions: ArrayView2<'_, f32>,
    ) -> Result<Visualisation, VisError> {
        let each = directions
            .outer_iter()
            .map(|direction| Objective::direction(layer, direction));
        self.render(model, each.collect::<Objectives>())
    }

    /// One picture for each of some classes, by index or name.
    ///
    /// # Errors
    ///
    /// As [`FeatureVis::render`].
    pub fn classes<C: Into<ClassName>>(
        &self,
        model: &Model,
        classes: impl IntoIterator<Item = C>,
    ) -> Result<Visualisation, VisError> {
        let each = classes.into_iter().map(Objective::class);
        self.render(model, each.collect::<Objectives>())
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
    /// [`VisError::NotFinite`] when it leaves the numbers; [`VisError::Cancelled`] when the
    /// callback asks to stop.
    pub fn render(
        &self,
        model: &Model,
        objectives: impl Into<Objectives>,
    ) -> Result<Visualisation, VisError> {
        self.check()?;
        let (objectives, images, joint) = match objectives.into() {
            Objectives::Joint(objective) => {
                let images = self.images.unwrap_or_else(|| objective.least_images());
                let fits = (1..=MAX_JOINT).contains(&images);
                refuse_unless(fits, "number of images", images, "1 to 1024")?;
                objective.check(model, images)?;
                (vec![objective], images, true)
            }
            Objectives::Each(each) => {
                each.iter().try_for_each(|o| o.check(model, 1))?;
                let images = each.len();
                (each, images, false)
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
        let canvas = self.parametrisation.canvas(self.size, model.device())?;
        let job = Job {
            vis: self,
            model,
            network_size: self.network_size(model, &layers)?,
            input: Input::new(model.input_spec(), model.device()),
            canvas: &*canvas,
            layers: &layers,
        };
        let per_batch = if joint { images } else { self.batch_size };
        let batches = images.div_ceil(per_batch);
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
            let lanes = if joint { 1 } else { lanes(model.device()) };
            for part in job.run_in_lanes(objectives, seeds, joint, lanes, &report)? {
                found.add(part);
            }
        }
        let named = |layer: &String| Ok::<_, VisError>(model.layer(layer)?.name().to_owned());
        let mut names = layers.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        names.dedup();
        let kept = self.keep.iter().zip(&found.kept);
        Ok(Visualisation {
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
            layers: names,
            objectives: objectives.iter().map(Objective::to_string).collect(),
            parametrisation: self.parametrisation.name(),
            transforms: self.transforms.to_string(),
            network_size: job.network_size,
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

    /// The network's own size, when it cannot compute the layers from all that the transforms
    /// make.
    fn network_size(
        &self,
        model: &Model,
        layers: &[String],
    ) -> Result<Option<[usize; 2]>, VisError> {
        let own = model.input_spec().size();
        for size in self.transforms.sizes(self.size)? {
            if model.shapes_for(layers, size).is_err() {
                model.shapes_for(layers, own)?;
                return Ok(Some(own));
            }
        }
        Ok(None)
    }

    /// The rules of one step.
    fn rules_at(&self, step: usize) -> Rules {
        if step >= self.redirected {
            return self.rules.clone();
        }
        Rules::new()
            .on(OpKind::Relu, RedirectedRelu)
            .on(OpKind::Clip, RedirectedRelu)
            .then(&self.rules)
    }
}

/// From red, green and blue in 0 to 1 to the network's input.
struct Input {
    /// `[1, 3, 1, 1]`, in the order of the network's channels.
    factor: Tensor<4>,
    offset: Tensor<4>,
    reversed: bool,
}

impl Input {
    fn new(spec: &InputSpec, device: &Device) -> Self {
        let (mean, std) = (spec.mean(), spec.std());
        let column = |values: [f32; 3]| {
            Tensor::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), device)
        };
        Self {
            factor: column(std.map(|std| 255.0 * spec.scale() / std)),
            offset: column([0, 1, 2].map(|c| -mean[c] / std[c])),
            reversed: spec.order() == ChannelOrder::Bgr,
        }
    }

    fn of(&self, pictures: Tensor<4>) -> Tensor<4> {
        let ordered = match self.reversed {
            true => pictures.flip([1]),
            false => pictures,
        };
        ordered * self.factor.clone() + self.offset.clone()
    }
}

/// What the batches found, one after the other.
#[derive(Default)]
struct Found {
    images: Vec<Array4<f32>>,
    /// For each step that is kept.
    kept: Vec<Vec<Array4<f32>>>,
    values: Vec<Vec<f32>>,
}

impl Found {
    fn add(&mut self, part: Part) {
        self.kept.resize_with(part.kept.len(), Vec::new);
        for (parts, kept) in self.kept.iter_mut().zip(part.kept) {
            parts.push(kept);
        }
        self.images.push(part.images);
        self.values.extend(part.values);
    }
}

/// What came of pictures that were optimised together.
struct Part {
    images: Array4<f32>,
    /// One for each step that is kept.
    kept: Vec<Array4<f32>>,
    values: Vec<Vec<f32>>,
}

/// How many pieces of a batch are optimised side by side: a batch of small pictures leaves the
/// threads of the CPU waiting for each other, and a GPU wants all of it at once.
fn lanes(device: &Device) -> usize {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return rayon::current_num_threads();
    }
    let _ = device;
    1
}

/// How far the lanes have come: the slowest of them is reported, and cancelling ends all.
struct Lanes<'r> {
    steps: Mutex<Vec<usize>>,
    report: &'r (dyn Fn(usize) -> Result<(), Cancelled> + Sync),
    cancelled: OnceLock<Cancelled>,
}

impl Lanes<'_> {
    fn report(&self, lane: usize, step: usize) -> Result<(), Cancelled> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancelled) = self.cancelled.get() {
            return Err(*cancelled);
        }
        let slowest = |steps: &[usize]| steps.iter().copied().min().unwrap_or_default();
        let before = slowest(&steps);
        steps[lane] = step;
        let now = slowest(&steps);
        if now == before {
            return Ok(());
        }
        (self.report)(now).inspect_err(|&cancelled| {
            // The lock is held: nobody else can have set it.
            let _ = self.cancelled.set(cancelled);
        })
    }
}

struct Job<'j> {
    vis: &'j FeatureVis,
    model: &'j Model,
    canvas: &'j dyn Canvas,
    input: Input,
    network_size: Option<[usize; 2]>,
    layers: &'j [String],
}

impl Job<'_> {
    /// Optimises one batch in pieces side by side. Pictures do not depend on each other, unless they
    /// have a joint objective, so that the pieces find what the whole batch would.
    fn run_in_lanes(
        &self,
        objectives: &[Objective],
        seeds: &[u64],
        joint: bool,
        lanes: usize,
        report: &(dyn Fn(usize) -> Result<(), Cancelled> + Sync),
    ) -> Result<Vec<Part>, VisError> {
        let per_lane = seeds.len().div_ceil(lanes.max(1)).max(1);
        if per_lane >= seeds.len() {
            return Ok(vec![self.run(objectives, seeds, joint, report)?]);
        }
        let pieces = || objectives.chunks(per_lane).zip(seeds.chunks(per_lane));
        let progress = &Lanes {
            steps: Mutex::new(vec![0; pieces().len()]),
            report,
            cancelled: OnceLock::new(),
        };
        thread::scope(|scope| {
            let running: Vec<_> = pieces()
                .enumerate()
                .map(|(lane, (objectives, seeds))| {
                    let report = move |step: usize| progress.report(lane, step);
                    scope.spawn(move || self.run(objectives, seeds, joint, &report))
                })
                .collect();
            running
                .into_iter()
                .map(|lane| match lane.join() {
                    Ok(part) => part,
                    Err(panic) => resume_unwind(panic),
                })
                .collect()
        })
    }

    /// Optimises pictures together: objective `i` for image `i`, or a joint one for all.
    fn run(
        &self,
        objectives: &[Objective],
        seeds: &[u64],
        joint: bool,
        report: &dyn Fn(usize) -> Result<(), Cancelled>,
    ) -> Result<Part, VisError> {
        let vis = self.vis;
        let mut parameters = self.start(seeds)?;
        let mut optimisers: Vec<Adam> = parameters.iter().map(|_| Adam::default()).collect();
        // Every batch sees the same transforms.
        let mut random = Random::new(vis.seed);
        let mut series: Vec<Vec<f32>> = vec![Vec::new(); objectives.len()];
        let mut settled = vec![false; objectives.len()];
        let mut kept = Vec::new();
        for step in 0..vis.steps {
            let leaves: Vec<Activation> = parameters
                .iter()
                .map(|parameter| parameter.clone().require_grad())
                .collect();
            let change = vis.transforms.draw(vis.size, &mut random);
            let values = self.values(objectives, joint, &leaves, &change, &vis.rules_at(step))?;
            let gradients = (-values.clone().sum()).backward();
            let values = Activation::from(values).to_array()?;
            for (i, (series, &value)) in series.iter_mut().zip(&values).enumerate() {
                if settled[i] {
                    continue;
                }
                if !value.is_finite() {
                    return Err(VisError::NotFinite {
                        what: objectives[i].to_string(),
                        step,
                    });
                }
                series.push(value);
                settled[i] = vis.settled.is_some_and(|when| has_settled(series, when));
            }
            if settled.iter().all(|&settled| settled) {
                report(vis.steps)?;
                break;
            }
            let moving = self.moving(&settled);
            for ((parameter, leaf), optimiser) in
                parameters.iter_mut().zip(&leaves).zip(&mut optimisers)
            {
                let Some(gradient) = leaf.gradient(&gradients) else {
                    continue;
                };
                let rows = parameter.rows();
                let next = optimiser.step(rows, gradient.rows(), vis.rate, moving.as_ref());
                *parameter = Activation::from_rows(next, parameter)?;
            }
            if vis.keep.contains(&(step + 1)) {
                kept.push(self.pictures(&parameters, step + 1)?);
            }
            report(step + 1)?;
        }
        let images = self.pictures(&parameters, vis.steps)?;
        // Where all settled before a step, nothing has changed since.
        kept.resize_with(vis.keep.len(), || images.clone());
        Ok(Part {
            images,
            kept,
            values: series,
        })
    }

    /// The parameters that the pictures begin with, each `[N, ...]`.
    fn start(&self, seeds: &[u64]) -> Result<Vec<Activation>, VisError> {
        let mut each = seeds
            .iter()
            .map(|&seed| self.canvas.start(&mut Random::new(seed)));
        let like = each.next().unwrap_or_default();
        let mut rows: Vec<Vec<Tensor<2>>> = like.iter().map(|p| vec![p.rows()]).collect();
        for parameters in each {
            for (rows, parameter) in rows.iter_mut().zip(parameters) {
                rows.push(parameter.rows());
            }
        }
        rows.into_iter()
            .zip(&like)
            .map(|(rows, like)| Ok(Activation::from_rows(Tensor::cat(rows, 0), like)?))
            .collect()
    }

    /// What the objectives are worth, one number each, differentiable.
    fn values(
        &self,
        objectives: &[Objective],
        joint: bool,
        parameters: &[Activation],
        change: &Change,
        rules: &Rules,
    ) -> Result<Tensor<1>, VisError> {
        let pictures = self.canvas.picture(parameters)?;
        let activations = match self.layers.is_empty() {
            true => None,
            false => {
                let mut seen = change.apply(pictures.clone());
                if let Some(size) = self.network_size {
                    seen = resize(seen, size);
                }
                let pass = self.model.pass().rules(rules);
                Some(pass.feed(INPUT, self.input.of(seen)).fetch(self.layers)?)
            }
        };
        let seen = Seen::new(self.model, &pictures, activations.as_ref());
        let value = |(i, objective): (usize, &Objective)| {
            let value = match joint {
                true => objective.value(&seen)?,
                false => objective.value(&seen.item(i)?)?,
            };
            match value.is_tracked() {
                true => Ok(value),
                false => Err(VisError::NoGradient {
                    objective: objective.to_string(),
                }),
            }
        };
        let each = objectives.iter().enumerate().map(value);
        Ok(Tensor::cat(each.collect::<Result<Vec<_>, VisError>>()?, 0))
    }

    /// Ones for pictures that go on and zeros for those that have settled, `[N, 1]`.
    fn moving(&self, settled: &[bool]) -> Option<Tensor<2>> {
        let any = settled.iter().any(|&settled| settled);
        any.then(|| {
            let column: Vec<f32> = settled.iter().map(|&s| if s { 0.0 } else { 1.0 }).collect();
            Tensor::from_data(
                TensorData::new(column, [settled.len(), 1]),
                self.model.device(),
            )
        })
    }

    /// The pictures on the host.
    fn pictures(&self, parameters: &[Activation], step: usize) -> Result<Array4<f32>, VisError> {
        let pictures = Activation::from(self.canvas.picture(parameters)?).to_array()?;
        if !pictures.iter().all(|v| v.is_finite()) {
            return Err(VisError::NotFinite {
                what: "a pixel".to_owned(),
                step,
            });
        }
        let shape = pictures.shape().to_vec();
        pictures
            .into_dimensionality::<Ix4>()
            .map_err(|_| VisError::Shape {
                what: "the pictures",
                expected: vec![0, 3, self.vis.size[0], self.vis.size[1]],
                got: shape,
            })
    }
}

/// Whether the last values are no better than those before.
fn has_settled(series: &[f32], (window, tolerance): (usize, f32)) -> bool {
    let Some(start) = series.len().checked_sub(window.saturating_mul(2)) else {
        return false;
    };
    let mean = |values: &[f32]| values.iter().sum::<f32>() / window as f32;
    let (before, last) = series[start..].split_at(window);
    let before = mean(before);
    mean(last) <= before + tolerance * before.abs()
}
