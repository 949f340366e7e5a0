//! What can be explained: a model, or any differentiable function of images.

use std::collections::HashSet;

use burn::tensor::{Device, Tensor};
use elucid_graph::{Activation, GraphError, INPUT, LOGITS, Layer, Layout};
use elucid_rules::{Algebra, OpKind, RuleUse, Rules};
use elucid_vision::{InputSpec, Model, Probabilities};
use ndarray::{ArrayD, ArrayViewD};

use crate::error::AttributionError;
use crate::target::{ClassRef, DenseMap, moved_to, probability_of};

/// Names the layer where convolutional features end: the last one with positions before classes are
/// formed, `inception_5b/output` of GoogLeNet. Of a transformer it is the sum at the end of the
/// last block whose patches reach the scores: the last but one where only a class token is
/// classified. It is resolved by methods, not by the model.
pub const FEATURES: &str = "@features";

/// A function from images to class scores.
///
/// Implemented by [`Model`], whose every layer can be reached, and by any closure from images
/// `[N, C, H, W]` to scores `[N, K]`, which has an input and scores only. Gradient methods need the
/// closure to be differentiable: burn operations on the tensor that it is given.
pub trait Network {
    /// Where it computes; `None` for a closure, which computes where its images are.
    fn device(&self) -> Option<&Device>;

    /// The full name of a layer, [`INPUT`], [`LOGITS`] and [`FEATURES`] included.
    ///
    /// # Errors
    ///
    /// When there is no such layer.
    fn layer(&self, name: &str) -> Result<String, AttributionError>;

    /// The number of a class.
    ///
    /// # Errors
    ///
    /// When there is no such class.
    fn class(&self, class: &ClassRef) -> Result<usize, AttributionError>;

    /// What makes probabilities of the scores: a softmax, unless the network says otherwise.
    fn probabilities(&self) -> Probabilities {
        Probabilities::Softmax
    }

    /// The value of `fetch`, computed from the layers fed, of which [`INPUT`] is always one.
    ///
    /// # Errors
    ///
    /// Whatever running the network meets.
    fn run(
        &self,
        feeds: Feeds<'_>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<Activation, AttributionError>;

    /// The same, and how many operators each rule took.
    ///
    /// # Errors
    ///
    /// As [`Network::run`].
    fn run_counting(
        &self,
        feeds: Feeds<'_>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<(Activation, Vec<RuleUse>), AttributionError> {
        Ok((self.run(feeds, fetch, rules)?, Vec::new()))
    }

    /// The values of several layers, computed from the layers fed, in the order asked for, and how many
    /// operators each rule took. One pass for each, unless the network can do better.
    ///
    /// # Errors
    ///
    /// As [`Network::run`].
    fn run_all(
        &self,
        feeds: Feeds<'_>,
        fetch: &[&str],
        rules: &Rules,
    ) -> Result<(Vec<Activation>, Vec<RuleUse>), AttributionError> {
        let mut uses = Vec::new();
        let values = fetch.iter().map(|layer| {
            let (value, counted) = self.run_counting(feeds.clone(), layer, rules)?;
            uses = counted;
            Ok(value)
        });
        let values = values.collect::<Result<_, AttributionError>>()?;
        Ok((values, uses))
    }

    /// How pictures are prepared for it, if it says so: what black and white are, what a picture that is
    /// optimised goes through.
    fn input_spec(&self) -> Option<&InputSpec> {
        self.as_model().map(Model::input_spec)
    }

    /// Its layers with weights, from the scores down, for who replaces them
    /// ([`Network::with_weights`]); `None` for a network that does not say.
    ///
    /// # Errors
    ///
    /// Whatever reading the weights meets.
    fn layer_weights(&self) -> Result<Option<Vec<LayerWeights>>, AttributionError> {
        Ok(None)
    }

    /// The same network with other values for some weights: `replace` is given a weight's name and values,
    /// and says which it has instead. `None` where weights cannot be replaced.
    ///
    /// # Errors
    ///
    /// Whatever making the network meets, as values of another shape.
    fn with_weights(
        &self,
        replace: &mut ReplaceWeights<'_>,
    ) -> Result<Option<Box<dyn Network>>, AttributionError> {
        let _ = replace;
        Ok(None)
    }

    /// Itself as a model, for methods that replace what operators do.
    fn as_model(&self) -> Option<&Model> {
        None
    }
}

/// Values of layers by name, [`INPUT`] one of them, for a pass.
pub type Feeds<'f> = Vec<(&'f str, Activation)>;

/// A layer with the names of its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerWeights {
    /// The name of its output.
    pub layer: String,
    /// Its weights, by name.
    pub weights: Vec<String>,
}

/// New values for a weight, by its name and its values; `None` leaves it.
pub type ReplaceWeights<'r> = dyn FnMut(&str, ArrayViewD<'_, f32>) -> Option<ArrayD<f32>> + 'r;

impl Network for Model {
    fn device(&self) -> Option<&Device> {
        Some(Model::device(self))
    }

    fn layer(&self, name: &str) -> Result<String, AttributionError> {
        let name = match name {
            FEATURES => features(self)?,
            name => name,
        };
        Ok(Model::layer(self, name)?.name().to_owned())
    }

    fn class(&self, class: &ClassRef) -> Result<usize, AttributionError> {
        Ok(match class {
            ClassRef::Index(index) => Model::class(self, &index.to_string())?,
            ClassRef::Label(label) => Model::class(self, label)?,
        })
    }

    fn probabilities(&self) -> Probabilities {
        self.head().probabilities()
    }

    fn run(
        &self,
        feeds: Feeds<'_>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<Activation, AttributionError> {
        let (value, _) = self.run_counting(feeds, fetch, rules)?;
        Ok(value)
    }

    fn run_counting(
        &self,
        feeds: Feeds<'_>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<(Activation, Vec<RuleUse>), AttributionError> {
        let mut pass = self.pass().rules(rules);
        for (layer, value) in feeds {
            pass = pass.feed(layer, value);
        }
        let fetched = pass.fetch([fetch])?;
        Ok((fetched.get(fetch)?.clone(), fetched.rule_uses().to_vec()))
    }

    fn run_all(
        &self,
        feeds: Feeds<'_>,
        fetch: &[&str],
        rules: &Rules,
    ) -> Result<(Vec<Activation>, Vec<RuleUse>), AttributionError> {
        let mut pass = self.pass().rules(rules);
        for (layer, value) in feeds {
            pass = pass.feed(layer, value);
        }
        let fetched = pass.fetch(fetch)?;
        let values = fetch.iter().map(|layer| Ok(fetched.get(layer)?.clone()));
        let values = values.collect::<Result<_, GraphError>>()?;
        Ok((values, fetched.rule_uses().to_vec()))
    }

    /// A weight that several layers read counts for the first of them.
    fn layer_weights(&self) -> Result<Option<Vec<LayerWeights>>, AttributionError> {
        let mut known = HashSet::new();
        Model::with_weights(self, |name, _| {
            known.insert(name.to_owned());
            None
        })?;
        let graph = self.graph();
        let mut layers = Vec::new();
        for node in graph.nodes().iter().rev() {
            let algebra = graph.algebra(node);
            if !algebra.is_weighted() && algebra != Algebra::Mixture {
                continue;
            }
            let names = node.inputs.iter().flatten().map(|&v| graph.name(v));
            let weights: Vec<String> = names.filter_map(|name| known.take(name)).collect();
            if let (false, Some(&output)) = (weights.is_empty(), node.outputs.first()) {
                layers.push(LayerWeights {
                    layer: graph.name(output).to_owned(),
                    weights,
                });
            }
        }
        Ok(Some(layers))
    }

    fn with_weights(
        &self,
        replace: &mut ReplaceWeights<'_>,
    ) -> Result<Option<Box<dyn Network>>, AttributionError> {
        Ok(Some(Box::new(Model::with_weights(self, replace)?)))
    }

    fn as_model(&self) -> Option<&Model> {
        Some(self)
    }
}

/// The last layer with positions before the scores that is no pool and no map of classes: a notable one
/// if there is any. Maps `[N, H, W, C]` and tokens that are joined, bent or convolved count as
/// well, if what follows reads their positions.
fn features(model: &Model) -> Result<&str, AttributionError> {
    let &[_, _, height, width] = model.layer(INPUT)?.shape() else {
        return Err(needs_layer(model));
    };
    let layouts = model.layouts([height, width])?;
    let map = || DenseMap::of(model).map(|map| map.classes());
    let classes = model.classes().ok().or_else(|| map().ok()).unwrap_or(0);
    let before = before_scores(model);
    let candidates = || {
        before.iter().enumerate().rev().filter(|(_, layer)| {
            layouts.layout(layer.value()) == Layout::ChannelsFirst
                && matches!(layer.shape(), [_, c, h, w] if h * w > 1 && *c != classes)
                && makes_features(layer)
        })
    };
    let first = candidates()
        .find(|(_, layer)| layer.is_notable())
        // The heads of a transformer are products with four dimensions, and no maps.
        .or_else(|| candidates().find(|(_, layer)| layer.kind() != OpKind::Mul));
    let last = before.iter().enumerate().rev().find(|(_, layer)| {
        let (positions, channels) = match (layouts.layout(layer.value()), layer.shape()) {
            (Layout::ChannelsLast, &[_, h, w, c]) => (h * w, c),
            (Layout::Tokens { grid: [h, w], .. }, &[_, _, c]) => (h * w, c),
            _ => return false,
        };
        positions > 1
            && channels != classes
            && ends_block(model, layer)
            && layouts.reads_patches(layer.value())
    });
    let latest = first
        .into_iter()
        .chain(last)
        .max_by_key(|(place, _)| *place);
    latest
        .map(|(_, layer)| layer.name())
        .ok_or_else(|| needs_layer(model))
}

fn needs_layer(model: &Model) -> AttributionError {
    AttributionError::NeedsLayer {
        network: model.name().to_owned(),
    }
}

/// Sums of branches, and what is bent or convolved: what normalisations are written out as is not
/// among them, nor a bias or a projection.
fn ends_block(model: &Model, layer: &Layer) -> bool {
    match layer.algebra() {
        Algebra::Activation | Algebra::Gate | Algebra::Convolution => true,
        Algebra::Sum => {
            let graph = model.graph();
            let node = graph.producer(layer.value());
            let inputs = node
                .into_iter()
                .flat_map(|node| node.inputs.iter().flatten());
            let branches = inputs.filter(|&&value| graph.constant(value).is_none());
            layer.kind() != OpKind::Sub && branches.count() > 1
        }
        Algebra::Moves => layer.kind() == OpKind::Concat,
        _ => false,
    }
}

/// The layers in front of the scores, without those that only compute them, however they are moved or
/// made probabilities.
fn before_scores(model: &Model) -> Vec<&Layer> {
    let layers = model.layers();
    let Ok(scores) = model.bound().scores() else {
        return layers.iter().collect();
    };
    let end = layers
        .iter()
        .take_while(|layer| layer.value() != scores.value());
    let graph = model.graph();
    let (mut head, mut next) = (HashSet::new(), vec![scores.value()]);
    while let Some(value) = next.pop() {
        if head.insert(value) {
            let from =
                probability_of(graph, value).map_or_else(|| moved_to(graph, value), |v| vec![v]);
            next.extend(from);
        }
    }
    end.filter(|layer| !head.contains(&layer.value())).collect()
}

/// Convolutions, what follows them, and sums and concatenations of branches.
fn makes_features(layer: &Layer) -> bool {
    match layer.algebra() {
        Algebra::Activation
        | Algebra::Gate
        | Algebra::Convolution
        | Algebra::Sum
        | Algebra::LocalNormalization => true,
        Algebra::Moves => layer.kind() == OpKind::Concat,
        Algebra::Affine | Algebra::Product => {
            matches!(layer.kind(), OpKind::BatchNormalization | OpKind::Mul)
        }
        // A layer normalisation is over the last axis, which is not the channels of a map.
        Algebra::Normalization => layer.kind() != OpKind::LayerNormalization,
        _ => false,
    }
}

impl<F: Fn(Tensor<4>) -> Tensor<2>> Network for F {
    fn device(&self) -> Option<&Device> {
        None
    }

    fn layer(&self, name: &str) -> Result<String, AttributionError> {
        match name {
            INPUT | LOGITS => Ok(name.to_owned()),
            _ => Err(AttributionError::NeedsModel {
                what: format!("layer \"{name}\""),
            }),
        }
    }

    fn class(&self, class: &ClassRef) -> Result<usize, AttributionError> {
        match class {
            ClassRef::Index(index) => Ok(*index),
            ClassRef::Label(label) => match label.trim().parse() {
                Ok(index) => Ok(index),
                Err(_) => Err(AttributionError::NeedsModel {
                    what: format!("the class name \"{label}\""),
                }),
            },
        }
    }

    fn run(
        &self,
        feeds: Feeds<'_>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<Activation, AttributionError> {
        if !rules.is_empty() {
            return Err(AttributionError::NeedsModel {
                what: format!("the rules \"{}\"", rules.name()),
            });
        }
        // The last feed is the one closest to the scores; a closure has no other than its input.
        let (_, value) =
            feeds
                .into_iter()
                .next_back()
                .ok_or_else(|| AttributionError::NeedsModel {
                    what: "a pass without images".to_owned(),
                })?;
        if fetch == INPUT {
            return Ok(value);
        }
        let images = value
            .tensor::<4>()
            .map_err(|_: GraphError| AttributionError::NotSpatial {
                layer: INPUT.to_owned(),
                shape: value.shape(),
            })?;
        let count = images.dims()[0];
        let scores = self(images);
        if scores.dims()[0] != count {
            return Err(AttributionError::Scores {
                got: scores.dims().to_vec(),
                images: count,
            });
        }
        Ok(scores.into())
    }
}
