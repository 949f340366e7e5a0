//! FullGrad: input times gradient, and what each bias of the network adds to the score.
//!
//! A network that is linear piece by piece is, around an image `x`, linear in its input and in its biases:
//!
//! `f(x) = sum_i(x_i g_i) + sum_l sum_j(b_lj g_lj)`
//!
//! with the gradient `g` at the input, and `g_l` where layer `l` adds its biases `b_l`. Each term has a
//! place: that of the pixel, or of the position in the layer. Maps of all of them, at the image's size
//! and added up, are the method's map, `[N, 1, H, W]`:
//!
//! | [`FullGradTerms`] | a layer's terms `t [C, h, w]` become |
//! | --- | --- |
//! | [`Rescaled`](FullGradTerms::Rescaled) | `(abs(t) - min) / (max - min)` over all of them, added up over channels, bilinear: the paper's, so that no layer drowns the others |
//! | [`Signed`](FullGradTerms::Signed) | themselves, added up over channels, bilinear, over the number of pixels that each is spread over: what speaks for the target and against it, on one scale |
//!
//! Source: Srinivas and Fleuret, *Full-Gradient Representation for Neural Network Visualization*, NeurIPS
//! 2019, <https://arxiv.org/abs/1905.00780>.
//!
//! **Biases** are whatever operators that are linear otherwise add: those of convolutions and dense layers,
//! constants that are added or joined (positions, class tokens), and the offset of a batch normalisation,
//! which its running mean is a part of. An element-wise function `s` that does not pass through zero, or
//! bends, has an implicit bias at each number, `s(y) - y s'(y)` (a `Clip` at 6 where it clips, SiLU, GELU
//! that is one operator), as in the paper's appendix. ReLU, leaky ReLU and max-pools have none.
//!
//! **Completeness.** All terms add up to the score, of which [`Attribution::completeness`] has both sides;
//! terms without a position, as those of dense layers, count there and are not drawn. Operators that
//! are neither linear nor element-wise (LRN, softmax, layer normalisation, products of two activations)
//! are left out: what is missing is the error stated, and [`Attribution::rule_uses`] names them. For
//! a target that is not linear in its layer, as a probability, the sum is that of its linear
//! approximation.
//!
//! The authors' program takes biases of convolutions and batch normalisations only, and aligns corners
//! when it enlarges maps; here edges are aligned, as everywhere in this library. pytorch-grad-cam's
//! `FullGrad` stretches each channel of each layer to 0..1, which gives a channel of next to nothing the
//! same weight as any other.
//!
//! One gradient for each image. Memory: all activations of a batch between the input and the target.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Activation, Layout, Layouts, LongRows, Step};
use elucid_rules::{Algebra, OpKind, RuleUse};
use elucid_vision::Model;
use ndarray::{Array2, Array3, Axis, Ix4};

use crate::attribution::{Attribution, Completeness};
use crate::attributor::{Attributor, method, setup_builders};
use crate::error::AttributionError;
use crate::methods::Method;
use crate::options::words;
use crate::recorded::Recorded;
use crate::saliency::{Reduce, resize};
use crate::work::{Context, to_vec};

words! {
    /// How the terms of a layer become a map.
    pub enum FullGradTerms: "terms", TERMS =
        "rescaled (absolute, stretched to 0..1 in each layer) or signed (as they are)" {
        /// Their absolute values, stretched to 0..1 in each layer: the paper's.
        Rescaled = "rescaled",
        /// As they are: maps add up to the terms that have a position.
        Signed = "signed",
    }
}

method! {
    /// FullGrad: input times gradient, and what each bias adds to the score.
    pub struct FullGrad {
        terms: FullGradTerms = FullGradTerms::Rescaled,
    }
    /// The paper's map, of rescaled terms.
    new
}

impl FullGrad {
    setup_builders!(batch_size, progress);
}

crate::options!(FullGrad {
    {
        /// How the terms of a layer become a map, rescaled by default.
        terms: FullGradTerms as "terms", "how the terms of a layer become a map", TERMS
    }
});

impl Attributor for FullGrad {
    crate::stated!(METHOD);

    fn explain(&self, work: &Context<'_>) -> Result<Attribution, AttributionError> {
        let model = work.model(METHOD.title)?;
        let layouts = model.layouts(work.size())?;
        let (mut sums, mut uses) = (Vec::new(), Vec::new());
        let (values, scores) = work.each_recording(model, |recorded, rows| {
            let mut terms = Terms {
                model,
                layouts: &layouts,
                drawn: self.terms,
                maps: Array3::zeros((rows.len(), work.size()[0], work.size()[1])),
                sums: vec![0.0; rows.len()],
                uses: Vec::new(),
            };
            terms.hand_down(work, &recorded)?;
            sums.extend(terms.sums);
            uses = terms.uses;
            let (n, h, w) = terms.maps.dim();
            let maps = TensorData::new(terms.maps.into_raw_vec_and_offset().0, [n, 1, h, w]);
            Ok(Tensor::<4>::from_data(maps, &work.device()).into())
        })?;
        let completeness = sums
            .into_iter()
            .zip(&scores)
            .map(|(sum, &score)| Completeness {
                sum,
                expected: f64::from(score),
            });
        let completeness = completeness.collect();
        Ok(Attribution::new(self, work, values, scores, Reduce::Sum)?
            .with_completeness(completeness)
            .with_rule_uses(uses))
    }
}

/// The terms of a batch, added up as they are met.
struct Terms<'t> {
    model: &'t Model,
    layouts: &'t Layouts,
    drawn: FullGradTerms,
    /// `[N, H, W]`
    maps: Array3<f32>,
    sums: Vec<f64>,
    /// How many operators added how.
    uses: Vec<RuleUse>,
}

/// What an operator adds to the numbers that pass through it.
enum Adds {
    Nothing,
    /// For each output what it adds, whatever its input.
    Biases(Vec<Activation>),
    /// The same of an element-wise function at its input.
    Implicit(Box<Activation>),
    /// It is neither linear nor element-wise.
    Unknown,
}

impl Terms<'_> {
    /// Hands the gradient down to the input, and adds up what is met on the way.
    fn hand_down(
        &mut self,
        work: &Context<'_>,
        recorded: &Recorded<'_>,
    ) -> Result<(), AttributionError> {
        let (from, to) = (&work.target.layer, work.layer.as_str());
        let (recording, seed) = (&recorded.recording, recorded.gradient.clone());
        let arrived = recording.propagate(from, seed, &[to], |step, g| {
            self.pass(step, g)?;
            Ok::<_, AttributionError>(step.gradient(g)?)
        })?;
        self.add(
            Layout::ChannelsFirst,
            recording.value(to)?,
            arrived.get(to)?,
        )
    }

    /// Adds the terms of one operator, `g` being the gradient at its outputs.
    fn pass(&mut self, step: &Step<'_>, g: &[Option<Activation>]) -> Result<(), AttributionError> {
        let (what, parts) = match adds(step)? {
            Adds::Nothing => return Ok(()),
            Adds::Biases(parts) => ("biases".to_owned(), parts),
            Adds::Implicit(part) => ("implicit biases".to_owned(), vec![*part]),
            Adds::Unknown => (format!("{}, left out,", step.kind()), Vec::new()),
        };
        RuleUse::count(&mut self.uses, &what, 1);
        // Integers, such as those of a quantised network, are no layer.
        let value = self.model.graph().value(step.layer());
        let layout = value.map_or(Layout::Unknown, |value| self.layouts.layout(value));
        for (part, g) in parts.iter().zip(g) {
            if let Some(g) = g {
                self.add(layout, part, g)?;
            }
        }
        Ok(())
    }

    /// Adds the products of two values of this layout.
    fn add(
        &mut self,
        layout: Layout,
        part: &Activation,
        g: &Activation,
    ) -> Result<(), AttributionError> {
        let terms = part.rows() * g.rows();
        let sums = to_vec(&terms.clone().row_sums().into())?;
        for (sum, found) in self.sums.iter_mut().zip(sums) {
            *sum += f64::from(found);
        }
        let terms = Activation::from_rows(terms, g)?;
        if layout == Layout::Unknown {
            return Ok(());
        }
        let terms = layout.map_of(&terms)?;
        let [_, _, h, w] = terms.dims();
        // One position is no place.
        if h * w > 1 {
            self.draw(terms)?;
        }
        Ok(())
    }

    /// Adds terms `[N, C, h, w]` to the maps.
    fn draw(&mut self, terms: Tensor<4>) -> Result<(), AttributionError> {
        let [_, _, h, w] = terms.dims();
        let (_, height, width) = self.maps.dim();
        let terms = match self.drawn {
            FullGradTerms::Rescaled => rescaled(terms),
            FullGradTerms::Signed => terms * ((h * w) as f32 / (height * width) as f32),
        };
        let of_positions = Activation::from(terms.sum_dim(1)).to_array()?;
        let got = of_positions.shape().to_vec();
        let of_positions = of_positions.into_dimensionality::<Ix4>();
        let of_positions = of_positions.map_err(|_| AttributionError::ReadBack {
            expected: vec![self.sums.len(), 1, h, w],
            got,
        })?;
        for (map, mut sum) in of_positions.outer_iter().zip(self.maps.outer_iter_mut()) {
            let large: Array2<f32> = resize(map.index_axis(Axis(0), 0), height, width);
            sum += &large;
        }
        Ok(())
    }
}

/// Absolute values, stretched to 0..1 over each image; zeros where all are the same.
fn rescaled(terms: Tensor<4>) -> Tensor<4> {
    let shape = terms.dims();
    let absolute = terms.abs().reshape([shape[0] as i32, -1]);
    let low = absolute.clone().row_minima();
    let range = absolute.clone().row_maxima() - low.clone();
    let is_flat = range.clone().equal_scalar(0.0);
    let stretched = (absolute - low) / range.mask_fill(is_flat, 1.0);
    stretched.reshape(shape)
}

/// What an operator adds.
fn adds(step: &Step<'_>) -> Result<Adds, AttributionError> {
    let live: Vec<usize> = (0..step.inputs())
        .filter(|&slot| step.is_live(slot))
        .collect();
    let adds_of = |is_known: bool| match is_known {
        true => biases(step),
        false => Ok(Adds::Nothing),
    };
    match step.algebra() {
        Algebra::Convolution | Algebra::Dense if step.weights().is_some() => {
            adds_of(step.weights().is_some_and(|weights| weights.bias.is_some()))
        }
        Algebra::Convolution
        | Algebra::Dense
        | Algebra::Mixture
        | Algebra::Linear
        | Algebra::Sum
        | Algebra::Affine
        | Algebra::Moves => adds_of(live.len() < step.inputs()),
        Algebra::Activation
            if [OpKind::Relu, OpKind::LeakyRelu, OpKind::PRelu].contains(&step.kind()) =>
        {
            Ok(Adds::Nothing)
        }
        // The largest of several activations grows with them.
        Algebra::Maximum | Algebra::Minimum
            if live.len() == step.inputs()
                || ![OpKind::Max, OpKind::Min].contains(&step.kind()) =>
        {
            Ok(Adds::Nothing)
        }
        Algebra::Activation
        | Algebra::Gate
        | Algebra::Function
        | Algebra::Maximum
        | Algebra::Minimum => match live[..] {
            [slot] => implicit(step, slot),
            _ => Ok(Adds::Unknown),
        },
        _ => Ok(Adds::Unknown),
    }
}

/// What a linear operator makes of zeros.
fn biases(step: &Step<'_>) -> Result<Adds, AttributionError> {
    let inputs = (0..step.inputs()).map(|slot| {
        let input = step.input(slot);
        match step.is_live(slot) {
            true => input.map(|x| x.zeros_like()),
            false => input,
        }
    });
    let made = step.forward(inputs.collect())?;
    let largest = |part: &Activation| -> Result<f32, AttributionError> {
        let largest = to_vec(&part.rows().abs().row_maxima().into())?;
        Ok(largest.into_iter().fold(0.0, f32::max))
    };
    for part in &made {
        if largest(part)? != 0.0 {
            return Ok(Adds::Biases(made));
        }
    }
    Ok(Adds::Nothing)
}

/// `y - x y'` of an element-wise function.
fn implicit(step: &Step<'_>, slot: usize) -> Result<Adds, AttributionError> {
    let (Some(x), y) = (step.input(slot), step.output()) else {
        return Ok(Adds::Unknown);
    };
    if x.shape() != y.shape() {
        return Ok(Adds::Unknown);
    }
    let inputs = (0..step.inputs()).map(|slot| step.input(slot)).collect();
    let ones = Activation::from_rows(y.rows().ones_like(), &y)?;
    let slopes = step.pullback(inputs, &[Some(ones)])?.swap_remove(slot);
    let bends = match slopes {
        Some(slopes) => y.rows() - x.rows() * slopes.rows(),
        None => y.rows(),
    };
    Ok(Adds::Implicit(Box::new(Activation::from_rows(bends, &y)?)))
}

pub(crate) const METHOD: Method =
    Method::of::<FullGrad>("full-grad", "FullGrad", "Srinivas and Fleuret 2019")
        .needs_model()
        .sums_to("the score, in networks that are linear piece by piece")
        .also(&["full-gradient"]);
