//! One partial execution.

use std::collections::HashMap;

use elucid_rules::{RuleUse, Rules};

use crate::activation::Activation;
use crate::bound::{BoundGraph, ImageBatch};
use crate::device::check_kernels;
use crate::error::GraphError;
use crate::graph::{Graph, ValueId};
use crate::host::{ElementType, HostTensor};
use crate::message::quoted;
use crate::operator::Known;
use crate::plan::{Planner, Progress};
use crate::plans::Key;
use crate::profile::Unwatched;
use crate::record::Recording;
use crate::run::{Run, Watch};
use crate::together::{self, Images};

/// A partial execution: feed any layers, fetch any layers, and only what lies between runs.
///
/// A fed tensor that tracks gradients (`tensor.autodiff().require_grad()`) makes what is fetched
/// differentiable with respect to it; weights are constants.
#[derive(Debug, Clone)]
#[must_use = "a pass runs when something is fetched"]
pub struct Pass<'m> {
    model: &'m BoundGraph,
    rules: Rules,
    feeds: Vec<(String, Activation)>,
    known: Vec<(String, HostTensor)>,
}

impl<'m> Pass<'m> {
    pub(crate) fn new(model: &'m BoundGraph) -> Self {
        Self {
            model,
            rules: Rules::new(),
            feeds: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Replaces gradients.
    pub fn rules(mut self, rules: &Rules) -> Self {
        self.rules = rules.clone();
        self
    }

    /// Gives the network its images.
    pub fn input(self, images: &impl ImageBatch) -> Self {
        let images = images.images(self.model.device());
        self.feed(crate::bound::INPUT, images)
    }

    /// Gives a layer its value, instead of computing it. It is moved to the network's device and into the
    /// precision that this computes in, if need be; gradients go the same way back.
    pub fn feed(mut self, layer: &str, value: impl Into<Activation>) -> Self {
        self.feeds.push((layer.to_owned(), value.into()));
        self
    }

    /// Gives a value that is known: integers, booleans, or numbers that no gradient is asked for.
    pub fn feed_known(mut self, value: &str, tensor: HostTensor) -> Self {
        self.known.push((value.to_owned(), tensor));
        self
    }

    /// Runs what is needed and returns the values of `layers`.
    ///
    /// Where sizes follow from values (of boxes that were found, of a mask), these are read back from
    /// the device on the way.
    ///
    /// A file that fixes a batch of one takes any number of images all the same, with the values of one
    /// image at a time: see [`BoundGraph::runs_one_by_one`]. What is fed and fetched has one row for each.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] or [`GraphError::AmbiguousLayer`] for a name,
    /// [`GraphError::NotCut`] when the feeds do not suffice, [`GraphError::UnsupportedOperators`] and
    /// [`GraphError::Operator`] when an operator is not known or a shape does not fit,
    /// [`GraphError::Rule`] when a rule does not fit its operator, [`GraphError::Device`] on a device
    /// that this build has no kernels for.
    pub fn fetch<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Activations, GraphError> {
        let model = self.model;
        let graph = model.graph();
        let Started { runs, requested } = self.start(layers)?;
        let several = runs.len() > 1;
        let mut parts: Vec<Vec<Activation>> = vec![Vec::new(); requested.len()];
        let mut uses = Vec::new();
        for mut run in runs {
            run.run_all(&mut Unwatched)?;
            run.rule_uses().clone_into(&mut uses);
            for ((_, v), parts) in requested.iter().zip(&mut parts) {
                let activation = run.take(*v).ok_or_else(|| GraphError::Shape {
                    what: format!("the layer {}", quoted(graph.name(*v))),
                    expected: "numbers".to_owned(),
                    got: run.shape(*v),
                })?;
                let shape = run.shape(*v);
                if several && shape.first() != Some(&1) {
                    return Err(together::not_one_row(graph, *v, &shape, &shape));
                }
                parts.push(activation);
            }
        }
        let fetched = requested
            .into_iter()
            .zip(parts)
            .map(|((name, v), parts)| {
                let joined = same_shapes(graph, v, &parts).map(|()| together::joined(parts))?;
                let activation = joined.expect("there is a run");
                Ok((name, graph.name(v).to_owned(), activation))
            })
            .collect::<Result<_, GraphError>>()?;
        Ok(Activations { fetched, uses })
    }

    /// Runs what is needed and reads the values of `layers` back: any type, any rank, also empty.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`].
    pub fn read<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Vec<HostTensor>, GraphError> {
        let graph = self.model.graph();
        let Started { runs, requested } = self.start(layers)?;
        let mut parts: Vec<Vec<HostTensor>> = vec![Vec::new(); requested.len()];
        for mut run in runs {
            run.run_all(&mut Unwatched)?;
            for ((_, v), parts) in requested.iter().zip(&mut parts) {
                parts.push(run.read(*v)?);
            }
        }
        let each = requested.iter().zip(parts);
        each.map(|((_, v), mut parts)| {
            if parts.len() == 1 {
                return Ok(parts.swap_remove(0));
            }
            if let Some(part) = parts.iter().find(|part| part.shape().first() != Some(&1)) {
                return Err(together::not_one_row(graph, *v, part.shape(), part.shape()));
            }
            let parts: Vec<&HostTensor> = parts.iter().collect();
            HostTensor::concat(&parts, 0).map_err(|reason| GraphError::Malformed { reason })
        })
        .collect()
    }

    /// Runs what is needed for `layers` and keeps all of it, to be walked backwards.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`], and [`GraphError::Shape`] for several images where they
    /// [run one by one](BoundGraph::runs_one_by_one).
    pub fn record<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Recording<'m>, GraphError> {
        let model = self.model;
        let mut runs = self.start(layers)?.runs;
        if runs.len() > 1 {
            return Err(GraphError::Shape {
                what: "a batch to be recorded in a network that runs images one by one".to_owned(),
                expected: "one image".to_owned(),
                got: vec![runs.len()],
            });
        }
        Recording::run(model, runs.swap_remove(0))
    }

    /// Runs what is needed for `layers`, keeps none of it, and tells `watch`.
    pub(crate) fn watched(
        self,
        layers: &[String],
        watch: &mut (impl Watch + Send),
    ) -> Result<(), GraphError> {
        watch.begins();
        let runs = self.start(layers)?.runs;
        watch.planned();
        for mut run in runs {
            run.run_all(watch)?;
        }
        Ok(())
    }

    pub(crate) fn model(&self) -> &'m BoundGraph {
        self.model
    }

    /// The layers that numbers are fed to which gradients can be asked for.
    pub(crate) fn fed(&self) -> Vec<String> {
        self.feeds.iter().map(|(name, _)| name.clone()).collect()
    }

    /// With what is fed as leaves of an autodiff graph.
    pub(crate) fn tracking_gradients(mut self) -> Self {
        for (_, fed) in &mut self.feeds {
            *fed = fed.clone().require_grad();
        }
        self
    }

    fn start<S: AsRef<str>>(
        self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Started<'m>, GraphError> {
        let model = self.model;
        check_kernels(model.device())?;
        let graph = model.graph();
        let mut values: HashMap<ValueId, Activation> = HashMap::new();
        let mut feeds: Vec<(ValueId, Known)> = Vec::new();
        let twice = |value| GraphError::Malformed {
            reason: format!("layer {} is fed twice", quoted(graph.name(value))),
        };
        for (name, activation) in self.feeds {
            let value = model.value(&name)?;
            let kind = check_feed(model, value, &activation)?;
            let mut shape = activation.shape();
            // burn has no rank 0: a scalar is one number in one dimension.
            let input = graph.inputs().iter().find(|input| input.value == value);
            let scalar = input.is_some_and(|input| input.shape.is_empty())
                || model
                    .layer_of(value)
                    .is_ok_and(|layer| layer.shape().is_empty());
            if shape == [1] && scalar {
                shape.clear();
            }
            feeds.push((value, Known::computed(shape, kind)));
            let activation = activation.taken_to(model.device());
            if values.insert(value, activation).is_some() {
                return Err(twice(value));
            }
        }
        for (name, host) in self.known {
            let value = model.value(&name)?;
            if feeds.iter().any(|(fed, _)| *fed == value) {
                return Err(twice(value));
            }
            feeds.push((value, Known::host(host)));
        }
        let mut requested = Vec::new();
        for name in layers {
            let value = model.value(name.as_ref())?;
            requested.push((name.as_ref().to_owned(), value));
        }
        let fetches: Vec<ValueId> = requested.iter().map(|(_, v)| *v).collect();
        let run = |planner, values, images| {
            Run::new(model, &self.rules, planner, values, &fetches, images)
        };
        let Some(images) = Images::of(model, &feeds)? else {
            let (planner, key) = planner(model, &feeds, &fetches)?;
            let images = planner.images();
            let runs = vec![run((planner, key), values, images)];
            return Ok(Started { runs, requested });
        };
        // A plan for all of them together.
        let together = Key::new(&feeds, &fetches);
        if let Some(planned) = together.as_ref().and_then(|key| model.plans().get(key)) {
            let planner = Planner::resumed(graph, &planned);
            let runs = vec![run((planner, None), values, images.count)];
            return Ok(Started { runs, requested });
        }
        let mut planner = Planner::new(graph, &images.single, &fetches)?;
        let progress = planner.advance()?;
        if matches!(progress, Progress::Done) {
            for &value in &fetches {
                let known = planner.plan.known.get(&value);
                let one = known
                    .map(|known| known.shape.as_slice())
                    .unwrap_or_default();
                if one.first().is_some_and(|&rows| rows != 1) {
                    return Err(together::not_one_row(graph, value, one, one));
                }
            }
            let is_host = |value| feeds.iter().any(|(v, k)| *v == value && k.host.is_some());
            let reads_hosts = images.live.iter().any(|value| is_host(*value));
            let plan = images
                .plan(graph, &planner.plan, &fetches)
                .map(|several| several.plan);
            if let Some(plan) = plan.filter(|_| !reads_hosts) {
                let planner = planner.with_plan(plan);
                let runs = vec![run((planner, together), values, images.count)];
                return Ok(Started { runs, requested });
            }
        }
        let mut runs = Vec::with_capacity(images.count);
        for image in 0..images.count {
            let mut one = images.single.clone();
            for ((value, known), (_, fed)) in one.iter_mut().zip(&feeds) {
                if let (true, Some(host)) = (images.live.contains(value), &fed.host) {
                    let row = host.gather(0, &[image], &[1]);
                    *known = Known::host(row.map_err(|reason| GraphError::Malformed { reason })?);
                }
            }
            let of_image = values.iter().map(|(value, fed)| {
                let fed = match images.live.contains(value) {
                    true => together::rows(fed, image, 1),
                    false => fed.clone(),
                };
                (*value, fed)
            });
            let planner = self::planner(model, &one, &fetches)?;
            runs.push(run(planner, of_image.collect(), 1));
        }
        Ok(Started { runs, requested })
    }
}

/// A planner that is at its end where another pass planned the same, and under what name its plan is to be kept if not.
fn planner<'m>(
    model: &'m BoundGraph,
    feeds: &[(ValueId, Known)],
    fetches: &[ValueId],
) -> Result<(Planner<'m>, Option<Key>), GraphError> {
    let key = Key::new(feeds, fetches);
    let planned = key.as_ref().and_then(|key| model.plans().get(key));
    Ok(match planned {
        Some(planned) => (Planner::resumed(model.graph(), &planned), None),
        None => (Planner::new(model.graph(), feeds, fetches)?, key),
    })
}

/// What a pass set out to do: one run, or one for each image.
struct Started<'m> {
    runs: Vec<Run<'m>>,
    requested: Vec<(String, ValueId)>,
}

/// Refuses values of several images that are not of one shape.
fn same_shapes(graph: &Graph, value: ValueId, parts: &[Activation]) -> Result<(), GraphError> {
    let mut shapes = parts.iter().map(Activation::shape);
    let first = shapes.next().unwrap_or_default();
    match shapes.find(|shape| *shape != first) {
        None => Ok(()),
        Some(other) => Err(GraphError::Shape {
            what: format!("the layer {}", quoted(graph.name(value))),
            expected: format!("{first:?} for each image, as for the first"),
            got: other,
        }),
    }
}

/// Refuses what a value cannot be, and says what its elements are.
fn check_feed(
    model: &BoundGraph,
    value: ValueId,
    fed: &Activation,
) -> Result<ElementType, GraphError> {
    let shape = fed.shape();
    let graph = model.graph();
    let Ok(layer) = model.layer_of(value) else {
        return Ok(graph.stated_kind(value));
    };
    // Everything but batch, height and width belongs to the network.
    let stated = layer.shape();
    let scalar = stated.is_empty() && shape == [1];
    let fits = (stated.len() == shape.len() || scalar)
        && !shape.contains(&0)
        && (stated.len() < 2 || stated[1] == shape[1]);
    if fits {
        return Ok(layer.element);
    }
    let mut expected: Vec<String> = stated.iter().map(ToString::to_string).collect();
    if let Some(batch) = expected.first_mut() {
        *batch = "N".to_owned();
    }
    for (i, name) in [(2, "H"), (3, "W")] {
        if let Some(size) = expected.get_mut(i) {
            *size = name.to_owned();
        }
    }
    Err(GraphError::Shape {
        what: format!("the tensor fed to {}", quoted(layer.name())),
        expected: format!("[{}]", expected.join(", ")),
        got: shape,
    })
}

/// What a pass fetched.
#[derive(Debug, Clone)]
pub struct Activations {
    pub(crate) fetched: Vec<(String, String, Activation)>,
    pub(crate) uses: Vec<RuleUse>,
}

impl Activations {
    /// The value of a layer, by the name it was fetched under or its full name.
    ///
    /// # Errors
    ///
    /// [`GraphError::UnknownLayer`] when it was not fetched.
    pub fn get(&self, layer: &str) -> Result<&Activation, GraphError> {
        self.fetched
            .iter()
            .find(|(asked, full, _)| asked == layer || full == layer)
            .map(|(_, _, activation)| activation)
            .ok_or_else(|| GraphError::UnknownLayer {
                name: layer.to_owned(),
                nearest: self
                    .fetched
                    .iter()
                    .map(|(asked, ..)| asked.clone())
                    .collect(),
            })
    }

    /// How many operators each rule took, in the order in which they ran: those through which a
    /// gradient goes, of one image where images [run one by one](BoundGraph::runs_one_by_one). A rule that
    /// could have taken some and took none stands here with 0.
    pub fn rule_uses(&self) -> &[RuleUse] {
        &self.uses
    }

    /// Full layer names and values, in the order in which they were fetched.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Activation)> {
        self.fetched
            .iter()
            .map(|(_, full, activation)| (full.as_str(), activation))
    }
}
