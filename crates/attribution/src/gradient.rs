//! The plain gradient of a target at the input or at any layer.
//!
//! `d score / d a`, for every number `a` of the layer: Simonyan, Vedaldi and Zisserman, *Deep
//! inside convolutional networks* (2013). With replaced gradients it becomes guided
//! backpropagation or the deconvnet, which differ in their rules only.
//!
//! Programs differ in what they show: TorchRay the largest absolute value over channels (the default
//! here), its tutorial the L2 norm, Captum's `Saliency` absolute values. They agree that the target
//! is the logit, not the softmax.

use elucid_graph::{INPUT, ImageBatch, backward};
use elucid_vision::Model;

use crate::attribution::Attribution;
use crate::attributor::{Attributor, Setup, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::{Method, Place};
use crate::network::Network;
use crate::saliency::Reduce;
use crate::target::Target;
use crate::work::{Context, join, to_vec};

method! {
    /// The gradient of a target.
    #[doc(alias = "Saliency")]
    pub struct Gradient {}
    /// At a layer.
    at_input
}

impl Gradient {
    setup_builders!(rules, batch_size, progress);

    /// The gradient at each of several layers: the results are those of [`Gradient::at`] each of them. Of
    /// a [`Model`] one pass forwards and one backwards give all of them; any other network is run
    /// from each layer.
    ///
    /// Memory: all activations of a batch between the input and the target.
    ///
    /// # Errors
    ///
    /// As [`Attributor::attribute`].
    pub fn attribute_at<S: AsRef<str>>(
        &self,
        layers: impl IntoIterator<Item = S>,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Vec<Attribution>, AttributionError> {
        let Some(model) = network.as_model() else {
            let at = |layer: S| Self {
                setup: self.setup.clone().with_layer(layer.as_ref()),
            };
            return layers
                .into_iter()
                .map(|layer| at(layer).attribute(network, images, target.clone()))
                .collect();
        };
        self.recorded_at(layers, model, images, &target)
    }

    fn recorded_at<S: AsRef<str>>(
        &self,
        layers: impl IntoIterator<Item = S>,
        model: &Model,
        images: &dyn ImageBatch,
        target: &Target,
    ) -> Result<Vec<Attribution>, AttributionError> {
        let input = Context::new(
            model,
            images,
            target,
            &Setup {
                layer: INPUT.to_owned(),
                ..self.setup.clone()
            },
        )?;
        let works = layers
            .into_iter()
            .map(|layer| input.at(layer.as_ref(), &self.setup.rules, self.setup.takes))
            .collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = works.iter().map(|work| work.layer.as_str()).collect();
        let mut parts: Vec<Vec<_>> = vec![Vec::new(); works.len()];
        let mut scores = Vec::new();
        let mut done = 0;
        for rows in input.batches() {
            let recording = model
                .pass()
                .rules(&self.setup.rules)
                .input(&input.rows(&rows))
                .record([&input.target.layer])?;
            let at_target = recording.value(&input.target.layer)?.clone().require_grad();
            let score = input.target.score(&at_target, &rows)?;
            let seed = match score.is_tracked() {
                true => at_target.gradient(&backward(&score.clone().sum())),
                false => None,
            };
            scores.extend(to_vec(&score.into())?);
            for work in &works {
                let steps = recording.steps(&input.target.layer, &[&work.layer])?;
                if seed.is_none() || (steps.is_empty() && work.layer != input.target.layer) {
                    return Err(work.no_path());
                }
            }
            let Some(seed) = seed else { continue };
            let arrived = recording.propagate(&input.target.layer, seed, &names, |step, g| {
                step.gradient(g).map_err(AttributionError::from)
            })?;
            for (work, parts) in works.iter().zip(&mut parts) {
                let values = work.map.shown(arrived.get(&work.layer)?.clone())?;
                parts.push(values.to_array()?);
            }
            done += rows.len();
            self.setup.progress.report(done, input.count())?;
        }
        works
            .iter()
            .zip(parts)
            .map(|(work, parts)| {
                let values = join(&parts)?;
                let scores = scores.clone();
                Attribution::new(self, work, values, scores, Reduce::MaxAbs)
            })
            .collect()
    }
}

crate::options!(Gradient {});

impl Attributor for Gradient {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (values, scores) = work.each_batch(|rows, at| {
            let found = work.gradients(rows, at)?;
            Ok((found.gradient, found.scores))
        })?;
        Attribution::new(self, work, values, scores, Reduce::MaxAbs)
    }
}

pub(crate) const METHOD: Method = Method::of::<Gradient>(
    "gradient",
    "Gradient",
    "Simonyan, Vedaldi and Zisserman 2013",
)
.at(Place::AnyLayer)
.takes_rules()
.also(&["saliency", "vanilla-gradient"]);
