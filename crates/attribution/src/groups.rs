//! Neuron groups: the channels of a layer in a few groups that fire together, where in the image each
//! group fires, and what it contributes to each class.
//!
//! A layer's activation, read as a matrix with a row of `C` channels for each position, is
//! factorised: `a[c, y, x] ~ sum over groups i of factor[i, y, x] * direction[i, c]`. That is Olah et
//! al., *The Building Blocks of Interpretability* (2018), and its notebook on neuron groups, whose
//! `ChannelReducer` is [`elucid_factor::ChannelReducer`]. What a group contributes to a target is its
//! part of activation times gradient, the gradient `g` taken at the true activations:
//!
//! `effect[i, y, x] = factor[i, y, x] * sum over c of direction[i, c] * g[c, y, x]`
//!
//! and its attribution is the sum of its effects over positions.
//!
//! # Nothing is lost
//!
//! All groups together have the attribution of the reconstructed activations, and what the
//! reconstruction leaves out has one too, which is reported beside it
//! ([`GroupEffects::residual`]). A reducer that subtracts a mean (PCA, ICA) adds it again at every
//! position, and the mean has a part of its own ([`GroupEffects::offset`]):
//!
//! `groups + offset + residual = sum of a * g`
//!
//! which is the [linear approximation](crate::linear) at the layer. Six groups of `inception_4d` leave
//! out 57 % of the activations' norm on a photograph: the residual is no afterthought. The sums are in
//! double precision.
//!
//! # Defaults
//!
//! Non-negative matrix factorisation with the settings of scikit-learn, as the notebook, at the last
//! layer of features ([`FEATURES`]). Non-negative factors only add up, so a group is a part of what is
//! there; its activations must be non-negative, those after a ReLU. [`NeuronGroups::reducer`] takes
//! PCA, ICA and k-means as well, [`NeuronGroups::reducer_with`] any other. Several images are
//! factorised together, one matrix with the positions of all, so that they share directions.
//!
//! Groups are sorted by the column of their peak in the first image, from left to right, as in the
//! notebook: the column where the factor is largest, the first of equals. Factors of PCA and ICA are
//! signed, and their peak is their largest value, not their largest size.
//!
//! # Where it differs from the notebook
//!
//! The notebook counts only the groups, neither residual nor mean, and its numbers belong to
//! TensorFlow's Inception. [`NeuronGroups::compute_all`] makes several numbers of groups from the same
//! activations and gradients. Where other branches lead past the layer they keep the values that the
//! image gives them.
//!
//! **Memory**: the activations of all images, once on the device and once on the host, the factors and
//! effects (`[N, groups, H, W]` for each target), and the gradients of `batch_size` images.

use std::fmt;
use std::sync::Arc;

use elucid_factor::{ChannelReducer, FactorError, Method, Reducer, Summary};
use elucid_graph::{Activation, ImageBatch};
use ndarray::{Array1, Array2, Array3, Array4, ArrayView2, ArrayView3, ArrayView4, Axis, Ix4, s};

use crate::attributor::{Setup, setup_builders};
use crate::error::AttributionError;
use crate::layer_map::Takes;
use crate::network::{FEATURES, Network};
use crate::target::Target;
use crate::work::{Context, at_least_one, join};

/// Makes a reducer for a number of groups and a seed.
type MakeReducer = Arc<dyn Fn(usize, u64) -> Box<dyn Reducer<f32>> + Send + Sync>;

/// The channels of a layer in groups that fire together. See the [module](self).
///
/// ```no_run
/// use elucid_attribution::{NeuronGroups, Target};
/// use elucid_graph::device;
/// use elucid_vision::Model;
///
/// let model = Model::find("googlenet", &device::cpu().device, None)?;
/// let photo = model.read_image("cat.png")?;
/// let groups = NeuronGroups::new(6)
///     .at("inception_4d")
///     .targets([Target::class(285), Target::class(282)])
///     .compute(&model, &photo)?;
/// println!("{groups}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a method does nothing until it is asked to compute"]
pub struct NeuronGroups {
    setup: Setup,
    groups: usize,
    targets: Vec<Target>,
    reducer: MakeReducer,
}

impl NeuronGroups {
    /// So many groups of the layer [`FEATURES`], by non-negative matrix factorisation.
    pub fn new(groups: usize) -> Self {
        Self {
            setup: Setup::at(FEATURES),
            groups,
            targets: Vec::new(),
            reducer: make(Method::Nmf),
        }
    }

    /// At another layer `[N, C, H, W]`.
    pub fn at(mut self, layer: &str) -> Self {
        layer.clone_into(&mut self.setup.layer);
        self
    }

    /// What the groups are attributed to; nothing by default, which gives groups alone.
    pub fn targets(mut self, targets: impl IntoIterator<Item = Target>) -> Self {
        self.targets = targets.into_iter().collect();
        self
    }

    /// How groups are found, [`Method::Nmf`] by default. A name parses: `"pca".parse()?`.
    pub fn reducer(mut self, method: Method) -> Self {
        self.reducer = make(method);
        self
    }

    /// Finds groups with the reducer that `make` returns for a number of groups and a seed, which
    /// may have settings of its own.
    pub fn reducer_with(
        mut self,
        make: impl Fn(usize, u64) -> Box<dyn Reducer<f32>> + Send + Sync + 'static,
    ) -> Self {
        self.reducer = Arc::new(make);
        self
    }

    setup_builders!(rules, batch_size, seed, progress);

    /// Finds the groups of the images together, and their attributions.
    ///
    /// # Errors
    ///
    /// [`AttributionError::NotSpatial`] for a layer without positions,
    /// [`AttributionError::LayerLayout`] for one whose axes are not known,
    /// [`AttributionError::NegativeActivations`] where the reducer takes none,
    /// [`AttributionError::TooManyGroups`] for more than there can be,
    /// [`AttributionError::Factor`] for other activations that the reducer cannot take, and those of
    /// [`Attributor::attribute`](crate::Attributor::attribute).
    pub fn compute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
    ) -> Result<Groups, AttributionError> {
        let mut found = self.compute_all(network, images, [self.groups])?;
        found.pop().ok_or(AttributionError::Parameter {
            parameter: "groups",
            value: "nothing".to_owned(),
            expected: "1 or more",
        })
    }

    /// The same for several numbers of groups instead of the one, from the same activations and
    /// gradients; a result for each.
    ///
    /// # Errors
    ///
    /// As [`NeuronGroups::compute`].
    pub fn compute_all(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        groups: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<Groups>, AttributionError> {
        let numbers: Vec<usize> = groups.into_iter().collect();
        for &groups in &numbers {
            at_least_one("groups", groups)?;
        }
        // Groups need no score, and a network without classes has none.
        let nothing = Target::position(&self.setup.layer, 0, 0);
        let work = Context::new(network, images, &nothing, &self.setup.taking(Takes::Map))?;
        let targets = self.targets.iter().map(|target| work.about(target));
        let works = targets.collect::<Result<Vec<_>, _>>()?;
        let layer = Layer::read(&work)?;
        let count = layer.values.dim().0;
        let total = numbers.len() + works.len() * count;
        let mut done = 0;
        let mut step = |steps| {
            done += steps;
            self.setup.progress.report(done, total)
        };

        let mut results = Vec::with_capacity(numbers.len());
        for groups in numbers {
            results.push(self.factorise(&layer, groups)?);
            step(1)?;
        }
        for work in works {
            for found in &mut results {
                found
                    .effects
                    .push(GroupEffects::none(&work.target_name, found));
            }
            for (rows, at) in &layer.batches {
                let gradients = work.gradients(rows, at.clone())?;
                let gradient = layer.array(&gradients.gradient)?;
                let parts = rows.iter().zip(gradient.outer_iter()).zip(gradients.scores);
                for ((&image, gradient), score) in parts {
                    let gradient = gradient.mapv(f64::from);
                    let activation = layer.values.index_axis(Axis(0), image).mapv(f64::from);
                    for found in &mut results {
                        found.attribute(&activation, &gradient, score);
                    }
                }
                step(rows.len())?;
            }
        }
        Ok(results)
    }

    fn factorise(&self, layer: &Layer, groups: usize) -> Result<Groups, AttributionError> {
        let reducer = (self.reducer)(groups, self.setup.seed);
        let name = reducer.name();
        let (factors, found) = ChannelReducer::from_box(reducer)
            .fit_transform(layer.values.view())
            .map_err(|error| layer.refused(error, name))?;
        let peaks = factors.outer_iter().map(peaks).collect::<Vec<_>>();
        let mut order: Vec<usize> = (0..found.directions().nrows()).collect();
        if let Some(peaks) = peaks.first() {
            order.sort_by_key(|&group| peaks[group][1]);
        }
        Ok(Groups {
            factors: factors.select(Axis(1), &order),
            directions: found.directions().select(Axis(0), &order),
            offset: found.reduction().offset().map(|offset| offset.to_owned()),
            peaks: peaks
                .into_iter()
                .map(|peaks| order.iter().map(|&group| peaks[group]).collect())
                .collect(),
            order,
            summary: found.summary(),
            effects: Vec::new(),
            layer: layer.name.clone(),
            reducer: name,
            seed: self.setup.seed,
            rules: self.setup.rules.name().to_owned(),
            size: layer.size,
        })
    }
}

impl fmt::Debug for NeuronGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeuronGroups")
            .field("setup", &self.setup)
            .field("groups", &self.groups)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

fn make(method: Method) -> MakeReducer {
    Arc::new(move |groups, seed| method.reducer(groups, seed))
}

/// The layer's value for all images.
struct Layer {
    name: String,
    /// `[height, width]` of the images.
    size: [usize; 2],
    /// The images' indices, and the value where it was computed.
    batches: Vec<(Vec<usize>, Activation)>,
    /// `[N, C, H, W]`
    values: Array4<f32>,
}

impl Layer {
    fn read(work: &Context<'_>) -> Result<Self, AttributionError> {
        let mut layer = Self {
            name: work.layer.clone(),
            size: work.size(),
            batches: Vec::new(),
            values: Array4::zeros((0, 0, 0, 0)),
        };
        let mut parts = Vec::new();
        for rows in work.batches() {
            let at = work.activation_of(&rows)?;
            parts.push(layer.array(&at)?);
            layer.batches.push((rows, at));
        }
        layer.values = join(&parts)?;
        Ok(layer)
    }

    fn array(&self, at: &Activation) -> Result<Array4<f32>, AttributionError> {
        let shape = at.shape();
        at.to_array()?
            .into_dimensionality::<Ix4>()
            .map_err(|_| AttributionError::NotSpatial {
                layer: self.name.clone(),
                shape,
            })
    }

    /// In terms of images and channels instead of rows and columns.
    fn refused(&self, error: FactorError, reducer: &'static str) -> AttributionError {
        let layer = self.name.clone();
        let (images, channels, height, width) = self.values.dim();
        match error {
            FactorError::Negative {
                row, column, value, ..
            } => AttributionError::NegativeActivations {
                layer,
                reducer,
                image: row / (height * width).max(1),
                channel: column,
                value,
            },
            FactorError::TooManyComponents {
                components, limit, ..
            } => AttributionError::TooManyGroups {
                layer,
                reducer,
                groups: components,
                limit,
                images,
                channels,
                positions: height * width,
            },
            source => AttributionError::Factor {
                layer,
                reducer,
                source: Box::new(source),
            },
        }
    }
}

/// `[row, column]` of the peak of each of `[groups, H, W]`: the first column that holds the largest
/// value, and its first row there.
fn peaks(factors: ArrayView3<'_, f32>) -> Vec<[usize; 2]> {
    let peak = |factor: ArrayView2<'_, f32>| {
        let (mut peak, mut largest) = ([0, 0], f32::NEG_INFINITY);
        for (x, column) in factor.columns().into_iter().enumerate() {
            for (y, &value) in column.iter().enumerate() {
                if value > largest {
                    (peak, largest) = ([y, x], value);
                }
            }
        }
        peak
    };
    factors.outer_iter().map(peak).collect()
}

/// Groups of a layer's channels, from left to right.
///
/// [`Display`](fmt::Display) writes how well they reconstruct, where they peak and what they
/// contribute.
#[derive(Debug, Clone)]
pub struct Groups {
    factors: Array4<f32>,
    directions: Array2<f32>,
    offset: Option<Array1<f32>>,
    peaks: Vec<Vec<[usize; 2]>>,
    order: Vec<usize>,
    summary: Summary,
    effects: Vec<GroupEffects>,
    layer: String,
    reducer: &'static str,
    seed: u64,
    rules: String,
    size: [usize; 2],
}

impl Groups {
    /// Number of groups.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// How strongly each group fires where, `[N, groups, H, W]`.
    pub fn factors(&self) -> ArrayView4<'_, f32> {
        self.factors.view()
    }

    /// What each group is made of, `[groups, C]`.
    pub fn directions(&self) -> ArrayView2<'_, f32> {
        self.directions.view()
    }

    /// What the reconstruction adds at every position, `[C]`: the mean for PCA and ICA, nothing for
    /// others.
    pub fn offset(&self) -> Option<&Array1<f32>> {
        self.offset.as_ref()
    }

    /// `[row, column]` of the largest value of each group's factor in an image; none for an image
    /// that there is not.
    pub fn peaks(&self, image: usize) -> &[[usize; 2]] {
        self.peaks.get(image).map_or(&[], Vec::as_slice)
    }

    /// The number that each group had before it was sorted: the reducer's own order.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Relative error of the reconstruction, iterations and convergence.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Factors times directions, plus the offset: `[N, C, H, W]`.
    pub fn reconstruction(&self) -> Array4<f32> {
        let (images, _, height, width) = self.factors.dim();
        let channels = self.directions.ncols();
        let mut values = Array4::zeros((images, channels, height, width));
        for (image, mut values) in values.outer_iter_mut().enumerate() {
            let wide = self.reconstructed(image);
            for (mut channel, wide) in values.outer_iter_mut().zip(wide.rows()) {
                for (value, &wide) in channel.iter_mut().zip(wide) {
                    *value = wide as f32;
                }
            }
        }
        values
    }

    /// What the groups contribute to each target, in the order of the targets.
    pub fn effects(&self) -> &[GroupEffects] {
        &self.effects
    }

    /// The layer's full name.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Name of the reducer that found them.
    pub fn reducer(&self) -> &'static str {
        self.reducer
    }

    /// The seed that the reducer was given.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Name of the rules used.
    pub fn rules(&self) -> &str {
        &self.rules
    }

    /// `[height, width]` of the images.
    pub fn image_size(&self) -> [usize; 2] {
        self.size
    }

    /// Factors of one image, `[groups, H * W]`.
    fn wide_factors(&self, image: usize) -> Array2<f64> {
        let (_, groups, height, width) = self.factors.dim();
        let mut wide = Array2::zeros((groups, height * width));
        let factors = self.factors.index_axis(Axis(0), image);
        for (wide, &factor) in wide.iter_mut().zip(&factors) {
            *wide = f64::from(factor);
        }
        wide
    }

    /// Reconstructed activations of one image, `[C, H * W]`.
    fn reconstructed(&self, image: usize) -> Array2<f64> {
        let directions = self.directions.mapv(f64::from);
        let mut values = directions.t().dot(&self.wide_factors(image));
        if let Some(offset) = &self.offset {
            values += &offset.mapv(f64::from).insert_axis(Axis(1));
        }
        values
    }

    /// Adds the next image's effects to those of the last target, from its activation and gradient,
    /// `[C, H, W]`.
    fn attribute(&mut self, activation: &Array3<f64>, gradient: &Array3<f64>, score: f32) {
        let Some(image) = self.effects.last().map(|effects| effects.scores.len()) else {
            return;
        };
        let (channels, height, width) = gradient.dim();
        let wide = |x: &Array3<f64>| {
            Array2::from_shape_fn((channels, height * width), |(c, at)| {
                x[[c, at / width, at % width]]
            })
        };
        let (activation, gradient) = (wide(activation), wide(gradient));
        let directions = self.directions.mapv(f64::from);
        let effects = directions.dot(&gradient) * self.wide_factors(image);
        let left = &activation - &self.reconstructed(image);
        let offset = match &self.offset {
            Some(offset) => offset.mapv(f64::from).dot(&gradient.sum_axis(Axis(1))),
            None => 0.0,
        };
        let Some(to) = self.effects.last_mut() else {
            return;
        };
        to.values.row_mut(image).assign(&effects.sum_axis(Axis(1)));
        let mut maps = to.maps.slice_mut(s![image, .., .., ..]);
        for (map, &effect) in maps.iter_mut().zip(&effects) {
            *map = effect as f32;
        }
        to.offset.push(offset);
        to.residual.push((left * &gradient).sum());
        to.total.push((activation * gradient).sum());
        to.scores.push(score);
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} groups of {} by {}: relative error {:.4}",
            self.count(),
            self.layer,
            self.reducer,
            self.summary.relative_error,
        )?;
        if let Some(iterations) = self.summary.iterations {
            write!(f, ", {iterations} iterations")?;
        }
        if self.summary.converged == Some(false) {
            f.write_str(", not converged")?;
        }
        for image in 0..self.peaks.len() {
            write!(f, "\nimage {image}: peaks")?;
            for [row, column] in self.peaks(image) {
                write!(f, " ({row}, {column})")?;
            }
            for effects in &self.effects {
                write!(f, "\n  {}:", effects.target)?;
                for value in effects.values.row(image) {
                    write!(f, " {value:.3}")?;
                }
                if self.offset.is_some() {
                    write!(f, ", offset {:.3}", effects.offset[image])?;
                }
                let (residual, total) = (effects.residual[image], effects.total[image]);
                write!(f, ", residual {residual:.3}, in all {total:.3}")?;
            }
        }
        Ok(())
    }
}

/// What the groups of a layer contribute to one target.
#[derive(Debug, Clone)]
pub struct GroupEffects {
    target: String,
    scores: Vec<f32>,
    values: Array2<f64>,
    maps: Array4<f32>,
    offset: Vec<f64>,
    residual: Vec<f64>,
    total: Vec<f64>,
}

impl GroupEffects {
    fn none(target: &str, groups: &Groups) -> Self {
        let dim = groups.factors.dim();
        Self {
            target: target.to_owned(),
            scores: Vec::new(),
            values: Array2::zeros((dim.0, dim.1)),
            maps: Array4::zeros(dim),
            offset: Vec::new(),
            residual: Vec::new(),
            total: Vec::new(),
        }
    }

    /// What was explained, in words.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The target's score for each image, `[N]`.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The attribution of each group, `[N, groups]`: the sum of its effects over positions.
    pub fn values(&self) -> ArrayView2<'_, f64> {
        self.values.view()
    }

    /// The effect of each group at each position, `[N, groups, H, W]`, signed.
    pub fn maps(&self) -> ArrayView4<'_, f32> {
        self.maps.view()
    }

    /// The attribution of the mean that the reconstruction adds at every position, for each image;
    /// 0 for reducers that add none.
    pub fn offset(&self) -> &[f64] {
        &self.offset
    }

    /// The attribution of what the reconstruction leaves out, for each image: activation less
    /// reconstruction, times gradient.
    pub fn residual(&self) -> &[f64] {
        &self.residual
    }

    /// The attribution of the reconstructed activations, for each image: of all groups together and
    /// the offset.
    pub fn reconstructed(&self) -> Vec<f64> {
        let groups = self.values.sum_axis(Axis(1));
        let both = groups.iter().zip(&self.offset);
        both.map(|(groups, offset)| groups + offset).collect()
    }

    /// Activation times gradient, for each image: what the
    /// [reconstruction](GroupEffects::reconstructed) and the [residual](GroupEffects::residual) add
    /// up to.
    pub fn total(&self) -> &[f64] {
        &self.total
    }
}
