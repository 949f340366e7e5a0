//! Pictures that are optimised together.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_attribution::Network;
use elucid_graph::{Activation, backward};
use elucid_progress::Cancelled;
use elucid_rules::Rules;
use elucid_vision::input::{ChannelOrder, InputSpec};
use ndarray::{Array4, Ix4};

use super::FeatureVis;
use crate::adam::Adam;
use crate::error::VisError;
use crate::matrix::resize;
use crate::objective::{Objective, Seen};
use crate::parametrisation::Canvas;
use crate::subject::Subject;
use crate::transforms::Change;
use elucid_attribution::Random;

/// From channels in 0 to 1, red, green and blue where there are three, to the network's input.
pub(super) struct Input {
    /// `[1, C, 1, 1]`, in the order of the network's channels.
    factor: Tensor<4>,
    offset: Tensor<4>,
    reversed: bool,
}

impl Input {
    pub(super) fn new(spec: &InputSpec, device: &Device) -> Self {
        let (mean, std) = (spec.mean(), spec.std());
        let channels = spec.channels();
        let column = |value: &dyn Fn(usize) -> f32| {
            let values: Vec<f32> = (0..channels).map(value).collect();
            Tensor::from_data(TensorData::new(values, [1, channels, 1, 1]), device)
        };
        Self {
            factor: column(&|c| spec.white() * spec.scale() / std[c]),
            offset: column(&|c| -mean[c] / std[c]),
            reversed: is_reversed(spec),
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

/// Whether pictures of red, green and blue are turned around for the network.
fn is_reversed(spec: &InputSpec) -> bool {
    spec.channels() == 3 && spec.order() == ChannelOrder::Bgr
}

/// The channels of a picture that are shown as red, green and blue.
pub(super) fn shown(spec: &InputSpec) -> [usize; 3] {
    match is_reversed(spec) {
        true => spec.drawn().map(|c| 2 - c),
        false => spec.drawn(),
    }
}

/// What the batches found, one after the other.
#[derive(Default)]
pub(super) struct Found {
    pub(super) images: Vec<Array4<f32>>,
    /// For each step that is kept.
    pub(super) kept: Vec<Vec<Array4<f32>>>,
    pub(super) values: Vec<Vec<f32>>,
}

impl Found {
    pub(super) fn add(&mut self, part: Part) {
        self.kept.resize_with(part.kept.len(), Vec::new);
        for (parts, kept) in self.kept.iter_mut().zip(part.kept) {
            parts.push(kept);
        }
        self.images.push(part.images);
        self.values.extend(part.values);
    }
}

/// What came of pictures that were optimised together.
pub(super) struct Part {
    pub(super) images: Array4<f32>,
    /// One for each step that is kept.
    pub(super) kept: Vec<Array4<f32>>,
    pub(super) values: Vec<Vec<f32>>,
}

/// What one call of [`FeatureVis::render`] works with.
pub(super) struct Job<'j, N: ?Sized> {
    pub(super) vis: &'j FeatureVis,
    pub(super) network: &'j N,
    pub(super) subject: &'j Subject,
    pub(super) canvas: &'j dyn Canvas,
    pub(super) input: &'j Input,
    pub(super) network_size: Option<[usize; 2]>,
    /// By the names that objectives have for them.
    pub(super) layers: &'j [String],
    /// Their full names.
    pub(super) names: &'j [&'j str],
    /// The full name of the input.
    pub(super) fed: &'j str,
}

impl<'j, N: Network + ?Sized> Job<'j, N> {
    /// The same work with what is known to be the same network.
    pub(super) fn of<M: ?Sized>(&self, network: &'j M) -> Job<'j, M> {
        Job {
            network,
            vis: self.vis,
            subject: self.subject,
            canvas: self.canvas,
            input: self.input,
            network_size: self.network_size,
            layers: self.layers,
            names: self.names,
            fed: self.fed,
        }
    }

    /// Optimises pictures together: objective `i` for image `i`, or a joint one for all.
    pub(super) fn run(
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
        let transforms = vis.transforms_used();
        for step in 0..vis.steps {
            let leaves: Vec<Activation> = parameters
                .iter()
                .map(|parameter| parameter.clone().require_grad())
                .collect();
            let change = transforms.draw(vis.size, &mut random);
            let rules = vis.rules_at(step, self.network.as_model().is_some());
            let values = self.values(objectives, joint, &leaves, &change, &rules)?;
            let gradients = backward(&-values.clone().sum());
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
        let activations: Vec<(String, Activation)> = match self.layers.is_empty() {
            true => Vec::new(),
            false => {
                let mut seen = change.apply(pictures.clone());
                if let Some(size) = self.network_size {
                    seen = resize(seen, size);
                }
                let feeds = vec![(self.fed, Activation::from(self.input.of(seen)))];
                let (values, _) = self.network.run_all(feeds, self.names, rules)?;
                self.layers.iter().cloned().zip(values).collect()
            }
        };
        let seen = Seen::new(self.subject, &pictures, &activations);
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
                self.subject.device(),
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
                expected: vec![
                    0,
                    self.subject.input_spec().channels(),
                    self.vis.size[0],
                    self.vis.size[1],
                ],
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
