//! What a graph computes for pictures of a size: shapes, windows, amounts.

use elucid_rules::Rules;

use super::BoundGraph;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::layers::{Layer, list_layers};
use crate::operator::Known;
use crate::plan::{Plan, Planner, Progress};
use crate::receptive::{self, Windows};
use crate::together::Images;

impl BoundGraph {
    /// Every layer, with shapes for one image of `size` (height, width).
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when the network does not take that size.
    pub fn layers_for(&self, size: [usize; 2]) -> Result<Vec<Layer>, GraphError> {
        list_layers(self.graph(), self.image()?, size)
    }

    /// What the file names as results, with their shapes for one image of the model's input size; `None`
    /// where that has no shape before an image is seen, or cannot be computed.
    pub fn outputs(&self) -> Vec<(ValueId, Option<Vec<usize>>)> {
        let graph = self.graph();
        let input = self.image().and_then(|image| self.layer_of(image));
        let plan = input.and_then(|input| {
            let feed = (input.value, self.fed(input.value, input.shape.clone()));
            Plan::reachable(graph, &[feed])
        });
        let shape = |value| Some(plan.as_ref().ok()?.known.get(&value)?.shape.clone());
        let outputs = graph.outputs().iter();
        outputs.map(|&value| (value, shape(value))).collect()
    }

    /// Shapes of some layers for one image of `size` (height, width). Layers above them need not
    /// take that size.
    ///
    /// # Errors
    ///
    /// [`GraphError::Operator`] when they cannot be computed from that size, and as
    /// [`BoundGraph::layer`].
    pub fn shapes_for<S: AsRef<str>>(
        &self,
        layers: impl IntoIterator<Item = S>,
        size: [usize; 2],
    ) -> Result<Vec<Vec<usize>>, GraphError> {
        let value = |name: S| self.value(name.as_ref());
        let values = layers.into_iter().map(value);
        let values = values.collect::<Result<Vec<ValueId>, GraphError>>()?;
        let image = self.image()?;
        let mut input = self.layer_of(image)?.shape.clone();
        if let [_, _, height, width] = input.as_mut_slice() {
            [*height, *width] = size;
        }
        let plan = Plan::new(self.graph(), &[(image, self.fed(image, input))], &values)?;
        let shape = |value| plan.known.get(value).map(|k| k.shape.clone());
        Ok(values
            .iter()
            .map(|v| shape(v).unwrap_or_default())
            .collect())
    }

    /// Whether images that are given together run one after the other on their way to `layers`.
    ///
    /// A file may fix a batch of one: most that today's exporters write do. Several images can be given
    /// all the same. They run together where every operator between can be made to keep them apart, and
    /// one by one where that is not possible, because sizes depend on what is in the image or a value
    /// has no axis along which images could lie. The numbers are the same; only time is not saved. True
    /// also where an image has not one row of a layer, as of `[L, N, E]`: such a layer can be fetched
    /// and fed for one image only.
    /// False for files that leave the batch open.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`](crate::Pass::fetch).
    pub fn runs_one_by_one<S: AsRef<str>>(
        &self,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<bool, GraphError> {
        if self.stated_batch() != Some(1) {
            return Ok(false);
        }
        let image = self.image()?;
        let mut shape = self.layer_of(image)?.shape.clone();
        shape[0] = 2;
        let values = layers.into_iter().map(|name| self.value(name.as_ref()));
        let values = values.collect::<Result<Vec<ValueId>, GraphError>>()?;
        let feeds = [(image, self.fed(image, shape))];
        let Some(images) = Images::of(self, &feeds)? else {
            return Ok(false);
        };
        let mut planner = Planner::new(self.graph(), &images.single, &values)?;
        Ok(match planner.advance()? {
            Progress::Done => {
                let one = &planner.plan.known;
                let row = |value| one.get(value).and_then(|known| known.shape.first());
                values.iter().any(|value| row(value) != Some(&1))
                    || images.plan(self.graph(), &planner.plan, &values).is_none()
            }
            Progress::Blocked { .. } => true,
        })
    }

    /// Which positions of layer `from` the positions of layer `to` depend on, or their gradients
    /// under `rules` reach, when the input has `size` and other branches keep their values; `None` where a
    /// dense layer or a reshape in between ties every position to every other.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`](crate::Pass::fetch).
    pub fn windows(
        &self,
        from: &str,
        to: &str,
        rules: &Rules,
        size: [usize; 2],
    ) -> Result<Option<Windows>, GraphError> {
        let graph = self.graph();
        let (from, to) = (self.value(from)?, self.value(to)?);
        let layers = self.layers_for(size)?;
        let shape = |v: ValueId| {
            layers
                .iter()
                .find(|l| l.value == v)
                .map(|l| l.shape.clone())
                .unwrap_or_default()
        };
        let feeds = self.beside_pictures(from, shape)?;
        let plan = Plan::new(graph, &feeds, &[to])?;
        let rules = self.bind_rules(&plan, rules)?;
        Ok(receptive::windows(graph, &plan, from, to, |i| {
            rules[i].as_ref().map(|placed| placed.rule.clone())
        }))
    }

    /// A layer fed beside the pictures, from which other branches than its own are computed.
    fn beside_pictures(
        &self,
        layer: ValueId,
        shape: impl Fn(ValueId) -> Vec<usize>,
    ) -> Result<Vec<(ValueId, Known)>, GraphError> {
        let image = self.image()?;
        let mut feeds = vec![(layer, self.fed(layer, shape(layer)))];
        if image != layer {
            feeds.push((image, self.fed(image, shape(image))));
        }
        Ok(feeds)
    }

    /// How many numbers a pass from layer `from` to layer `to` computes for one image when the
    /// input has `size`: what a batch size must be bounded by.
    ///
    /// # Errors
    ///
    /// As [`Pass::fetch`](crate::Pass::fetch).
    pub fn pass_elements(
        &self,
        from: &str,
        to: &str,
        size: [usize; 2],
    ) -> Result<usize, GraphError> {
        let (from, to) = (self.value(from)?, self.value(to)?);
        let layers = self.layers_for(size)?;
        let shape = |v: ValueId| {
            let layer = layers.iter().find(|l| l.value == v);
            layer.map(|l| l.shape.clone()).unwrap_or_default()
        };
        let fed = shape(from).iter().product::<usize>();
        let feeds = self.beside_pictures(from, shape)?;
        let plan = Plan::new(self.graph(), &feeds, &[to])?;
        let computed = plan
            .steps
            .iter()
            .flat_map(|s| &s.outputs)
            .filter(|k| k.host.is_none());
        Ok(fed
            + computed
                .map(|k| k.shape.iter().product::<usize>())
                .sum::<usize>())
    }
}
