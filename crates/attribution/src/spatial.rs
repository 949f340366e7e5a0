//! Spatial attribution: which positions of one layer made each position of another light up.
//!
//! The score of a deep position is the L2 norm of its activation over channels; what a shallow
//! position contributes to it is activation times gradient, summed over channels:
//! `out[i, j, y, x] = sum_c a1[c, y, x] * d |a2[:, i, j]| / d a1[c, y, x]`, signed (*The Building
//! Blocks of Interpretability*, Olah et al., 2018).
//!
//! A deep position of a convolutional network depends on a small window of the shallow layer.
//! Positions whose windows do not overlap share one backward pass, and each reads its own numbers
//! out of its own window: the numbers are those of one pass per position.

use std::collections::HashSet;

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, INPUT, ImageBatch, Span, backward};
use elucid_progress::Reporter;
use elucid_rules::{RuleUse, Rules};
use elucid_vision::Model;
use ndarray::{Array2, Array3, Array4, Ix3, s};

use crate::budget::{self, SINGLE};
use crate::error::AttributionError;
use crate::finite::finite;
use crate::layer_map::{LayerMap, Takes};
use crate::network::Network;
use crate::work::at_least_one;

/// Numbers that one chunk may compute by default: 128 MiB, a few times that with gradients.
const CHUNK_ELEMENTS: usize = 1 << 25;

/// How many times the numbers of both layers a pass between them is taken to compute, where that is not
/// known.
const UNKNOWN_LAYERS: usize = 8;

/// The largest chunk that is chosen by default.
const CHUNK_MOST: usize = 64;

/// Attribution from each position of a shallow layer to each position of a deep one.
#[derive(Debug)]
#[must_use = "a method does nothing until it is asked to compute"]
pub struct SpatialAttribution {
    from: String,
    to: String,
    rules: Rules,
    batch_size: Option<usize>,
    colouring: bool,
    progress: Reporter,
}

impl SpatialAttribution {
    /// From layer `from` (shallow) to layer `to` (deep), both with positions.
    pub fn between(from: &str, to: &str) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            rules: Rules::new(),
            batch_size: None,
            colouring: true,
            progress: Reporter::default(),
        }
    }

    /// Replaces gradients on the way.
    pub fn rules(mut self, rules: &Rules) -> Self {
        self.rules = rules.clone();
        self
    }

    crate::builder_methods! {
        /// How many cotangents are propagated together. By default as many as keep the activations of
        /// one chunk under 128 MiB, at most 64.
        some batch_size(batch_size: usize) => batch_size;
        /// Whether positions share backward passes, which they do by default. Without, there is one
        /// cotangent per position and the same result.
        set colouring(colouring: bool) => colouring;
    }

    elucid_progress::progress_option! {
        /// Called after every chunk; breaking cancels.
        progress
    }

    /// Computes the maps of each image of the batch.
    ///
    /// Of a [`Model`] positions share backward passes; of any other network, whose windows nobody knows,
    /// each has one of its own.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Graph`] for names that do not exist, [`AttributionError::NoPath`] when the
    /// deep layer does not depend on the shallow one, [`AttributionError::NotSpatial`] for layers
    /// without positions, [`AttributionError::TooLarge`] when the maps, one of the shallow layer's size for each
    /// position of the deep one, take more memory than the network may, [`AttributionError::Cancelled`] when the
    /// callback asks to stop.
    pub fn compute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
    ) -> Result<Vec<SpatialMaps>, AttributionError> {
        at_least_one("batch size", self.batch_size.unwrap_or(1))?;
        let from = network.layer(&self.from)?;
        let to = network.layer(&self.to)?;
        if let Some(model) = network.as_model()
            && !depends(model, &to, &from)?
        {
            return Err(AttributionError::NoPath {
                layer: from,
                target: to,
            });
        }
        let input = network.layer(INPUT)?;
        let images = match network.device() {
            Some(device) => images.images(device),
            None => images.batch(),
        };
        let [count, _, height, width] = images.dims();
        let size = [height, width];
        let maps = [&from, &to].map(|layer| LayerMap::of(network, layer, size, Takes::Map));
        let [from_map, to_map] = maps;
        let (from_map, to_map) = (from_map?, to_map?);
        let feeds = vec![(input.as_str(), images.clone().into())];
        let (fetched, _) = network.run_all(feeds, &[&from, &to], &Rules::new())?;
        let (Some(at_from), Some(at_to)) = (fetched.first(), fetched.last()) else {
            return Ok(Vec::new());
        };
        let shallow = spatial(from_map, at_from, &from)?;
        let deep = spatial(to_map, at_to, &to)?;
        let front = from_map.front(at_from)?;
        drop(fetched);
        let ([_, _, h1, w1], [_, _, h2, w2]) = (shallow.dims(), deep.dims());
        let what = format!("maps of {h1} x {w1} for each of {h2} x {w2} positions");
        budget::check(network, what, &[count, h2, w2, h1, w1, SINGLE])?;

        // Windows are those of rows and columns in their usual place.
        let windowed = (from_map.is_plain() && to_map.is_plain()).then_some(size);
        let groups = self.groups(network.as_model(), &from, &to, windowed, &shallow, &deep)?;
        let batch = match self.batch_size {
            Some(batch) => batch,
            None => {
                let elements = match network.as_model() {
                    Some(model) => model.pass_elements(&from, &to, size)?,
                    // What lies between is not known: more than both ends.
                    None => UNKNOWN_LAYERS * at_ends(&shallow, &deep),
                };
                (CHUNK_ELEMENTS / elements.max(1)).clamp(1, CHUNK_MOST)
            }
        };
        let chunks = groups.len().div_ceil(batch);
        let mut results = Vec::with_capacity(count);
        for image in 0..count {
            let job = Job {
                network,
                rules: &self.rules,
                input: &input,
                image: images.clone().narrow(0, image, 1),
                from: &from,
                to: &to,
                from_map,
                to_map,
                front: front.clone().map(|front| front.narrow(0, image, 1)),
                shallow: shallow.clone().narrow(0, image, 1),
                deep: deep.clone().narrow(0, image, 1),
            };
            let [_, _, h1, w1] = job.shallow.dims();
            let (unit, scores) = job.direction()?;
            let mut maps = Array4::zeros((scores.nrows(), scores.ncols(), h1, w1));
            let mut rule_uses = Vec::new();
            for (i, chunk) in groups.chunks(batch).enumerate() {
                let (products, uses) = job.products(&unit, chunk)?;
                rule_uses = uses;
                for (group, product) in chunk.iter().zip(products.outer_iter()) {
                    for member in group {
                        let (Some((y0, y1)), Some((x0, x1))) = (member.rows, member.columns) else {
                            continue;
                        };
                        let window = s![y0..=y1, x0..=x1];
                        let (y, x) = member.at;
                        maps.slice_mut(s![y, x, .., ..])
                            .slice_mut(window)
                            .assign(&product.slice(window));
                    }
                }
                self.progress
                    .report(image * chunks + i + 1, count * chunks)?;
            }
            finite("spatial attribution", &to, maps.view().into_dyn())?;
            results.push(SpatialMaps {
                maps,
                scores,
                from: from.clone(),
                to: to.clone(),
                rules: self.rules.name().to_owned(),
                rule_uses,
                cotangents: groups.len(),
            });
        }
        Ok(results)
    }

    /// Deep positions in groups whose windows do not overlap, for images of a size; one by one
    /// without.
    fn groups(
        &self,
        model: Option<&Model>,
        from: &str,
        to: &str,
        size: Option<[usize; 2]>,
        shallow: &Tensor<4>,
        deep: &Tensor<4>,
    ) -> Result<Vec<Vec<Member>>, AttributionError> {
        let [_, _, h1, w1] = shallow.dims();
        let [_, _, h2, w2] = deep.dims();
        let windows = match (model, size.filter(|_| self.colouring)) {
            (Some(model), Some(size)) => model.windows(from, to, &self.rules, size)?,
            _ => None,
        };
        Ok(match windows {
            Some(windows) => {
                let member = |at: (usize, usize)| Member {
                    at,
                    rows: windows.rows[at.0],
                    columns: windows.columns[at.1],
                };
                let colours = windows.colours();
                colours
                    .into_iter()
                    .map(|group| group.into_iter().map(member).collect())
                    .collect()
            }
            None => {
                let whole = (Some((0, h1 - 1)), Some((0, w1 - 1)));
                (0..h2 * w2)
                    .map(|i| {
                        vec![Member {
                            at: (i / w2, i % w2),
                            rows: whole.0,
                            columns: whole.1,
                        }]
                    })
                    .collect()
            }
        })
    }
}

/// Whether layer `deep` is computed from layer `shallow`.
fn depends(model: &Model, deep: &str, shallow: &str) -> Result<bool, AttributionError> {
    let shallow = model.layer(shallow)?.value();
    let graph = model.graph();
    let mut waiting = vec![model.layer(deep)?.value()];
    let mut seen = HashSet::new();
    while let Some(value) = waiting.pop() {
        if value == shallow {
            return Ok(true);
        }
        if seen.insert(value) {
            let node = graph.producer(value);
            let inputs = node.into_iter().flat_map(|node| &node.inputs);
            waiting.extend(inputs.flatten());
        }
    }
    Ok(false)
}

/// The numbers of both layers for one image.
fn at_ends(shallow: &Tensor<4>, deep: &Tensor<4>) -> usize {
    let of = |layer: &Tensor<4>| layer.dims()[1..].iter().product::<usize>();
    of(shallow) + of(deep)
}

/// The activation as `[N, C, H, W]`.
fn spatial(map: LayerMap, at: &Activation, layer: &str) -> Result<Tensor<4>, AttributionError> {
    map.shown(at.clone())?
        .tensor::<4>()
        .map_err(|_| AttributionError::NotSpatial {
            layer: layer.to_owned(),
            shape: at.shape(),
        })
}

/// A deep position and the shallow window that it depends on.
struct Member {
    at: (usize, usize),
    rows: Span,
    columns: Span,
}

/// One image's pass from layer to layer.
struct Job<'j> {
    network: &'j dyn Network,
    rules: &'j Rules,
    input: &'j str,
    /// `[1, C, H, W]`
    image: Tensor<4>,
    from: &'j str,
    to: &'j str,
    from_map: LayerMap,
    to_map: LayerMap,
    /// The tokens in front of the shallow map, `[1, prefix, C1]`, if it is of tokens.
    front: Option<Tensor<3>>,
    /// `[1, C1, H1, W1]`
    shallow: Tensor<4>,
    /// `[1, C2, H2, W2]`
    deep: Tensor<4>,
}

impl Job<'_> {
    /// `a2 / |a2|`, the gradient of the norm at every position (0 where the activation is 0), and
    /// the norms `[H2, W2]`.
    fn direction(&self) -> Result<(Tensor<4>, Array2<f32>), AttributionError> {
        let [_, _, h, w] = self.deep.dims();
        let norms = (self.deep.clone() * self.deep.clone()).sum_dim(1).sqrt();
        let unit = self.deep.clone() / norms.clone().clamp_min(f32::MIN_POSITIVE);
        let values = Activation::from(norms.reshape([h * w])).to_array()?;
        let got = values.shape().to_vec();
        let scores =
            values
                .into_shape_with_order((h, w))
                .map_err(|_| AttributionError::ReadBack {
                    expected: vec![h, w],
                    got,
                })?;
        Ok((unit, scores))
    }

    /// Activation times gradient for each group of positions, `[groups, H1, W1]`.
    fn products(
        &self,
        unit: &Tensor<4>,
        groups: &[Vec<Member>],
    ) -> Result<(Array3<f32>, Vec<RuleUse>), AttributionError> {
        let [_, _, h2, w2] = unit.dims();
        let [_, _, h1, w1] = self.shallow.dims();
        let count = groups.len();
        let mut mask = vec![0_f32; count * h2 * w2];
        for (plane, group) in mask.chunks_mut(h2 * w2).zip(groups) {
            for member in group {
                plane[member.at.0 * w2 + member.at.1] = 1.0;
            }
        }
        let mask = TensorData::new(mask, [count, 1, h2, w2]);
        let cotangents = Tensor::<4>::from_data(mask, &self.image.device()) * unit.clone();

        // burn frees a graph when it is differentiated, so each cotangent gets its own copy of
        // the activations along the batch.
        let copies = self.shallow.clone().repeat_dim(0, count);
        let leaf = Activation::from(copies).require_grad();
        let front = self.front.clone().map(|front| front.repeat_dim(0, count));
        let fed = self.from_map.laid_out(leaf.clone(), front)?;
        let mut feeds = vec![(self.from, fed)];
        if self.from != self.input {
            // Other branches than the layer's keep the values that the image gives them.
            let images = self.image.clone().repeat_dim(0, count);
            feeds.insert(0, (self.input, images.into()));
        }
        let (reached, uses) = self.network.run_counting(feeds, self.to, self.rules)?;
        let reached = spatial(self.to_map, &reached, self.to)?;
        let score = (reached * cotangents).sum();
        // A rule may cut the gradient off.
        let gradient = match score.is_tracked() {
            true => leaf.gradient(&backward(&score)),
            false => None,
        };
        let Some(gradient) = gradient else {
            if self.rules.is_empty() {
                return Err(AttributionError::NoPath {
                    layer: self.from.to_owned(),
                    target: self.to.to_owned(),
                });
            }
            return Ok((Array3::zeros((count, h1, w1)), uses));
        };
        let product = gradient.tensor::<4>()? * self.shallow.clone();
        let maps = Activation::from(product.sum_dim(1).reshape([count, h1, w1])).to_array()?;
        let got = maps.shape().to_vec();
        let maps = maps
            .into_dimensionality::<Ix3>()
            .map_err(|_| AttributionError::ReadBack {
                expected: vec![count, h1, w1],
                got,
            })?;
        Ok((maps, uses))
    }
}

/// What each position of one layer contributes to each position of another.
#[derive(Debug, Clone)]
pub struct SpatialMaps {
    maps: Array4<f32>,
    scores: Array2<f32>,
    from: String,
    to: String,
    rules: String,
    rule_uses: Vec<RuleUse>,
    cotangents: usize,
}

impl SpatialMaps {
    /// The maps, `[H2, W2, H1, W1]`: signed contributions to the position `[i, j]` of the deep
    /// layer from the position `[y, x]` of the shallow one.
    pub fn maps(&self) -> &Array4<f32> {
        &self.maps
    }

    /// The explained norms, `[H2, W2]`.
    pub fn scores(&self) -> &Array2<f32> {
        &self.scores
    }

    /// Full name of the shallow layer.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Full name of the deep layer.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Name of the rules used.
    pub fn rules(&self) -> &str {
        &self.rules
    }

    /// How many operators between the layers each rule took; empty for the true gradient.
    pub fn rule_uses(&self) -> &[RuleUse] {
        &self.rule_uses
    }

    /// How many cotangents were propagated; without colouring there is one per deep position.
    pub fn cotangents(&self) -> usize {
        self.cotangents
    }
}
