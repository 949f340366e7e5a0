use burn::tensor::Tensor;
use elucid_graph::{Activation, LongRows, Step};
use elucid_rules::{Algebra, OpKind};

use super::RelevanceRule;
use super::Shares;
use super::norm::all_to;
use super::share::{ADDED, Stabiliser};

/// Sums of two branches that both depend on the image, in proportion, and then each branch scaled: of the totals
/// `t_a` and `t_b` of an image that they would have, each gets `|t| / (|t_a| + |t_b|)` of what arrived in all, so that no
/// branch is handed more than there is, and none the opposite of it.
///
/// `R_a = a R / (a + b)`, times `|t_a| / (|t_a| + |t_b|) sum(R) / t_a`. Of a difference everything goes to what is taken
/// from, as in a normalisation that is written out.
///
/// Source: Chefer, Gur and Wolf, *Transformer Interpretability Beyond Attention Visualization*, CVPR 2021. Their program
/// takes totals over a whole batch; here an image is not changed by those beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Branches;

impl Branches {
    /// The two slots that depend on the image, both of the output's shape.
    fn pair(step: &Step<'_>) -> Option<[usize; 2]> {
        let slots: Vec<usize> = (0..step.inputs())
            .filter(|&slot| !step.is_constant(slot))
            .collect();
        <[usize; 2]>::try_from(slots).ok()
    }

    fn fits(step: &Step<'_>, slot: usize) -> bool {
        step.input(slot).map(|x| x.shape()) == Some(step.output().shape())
    }
}

/// What a branch is multiplied by, from its total and the other's and that of all, each `[N, 1]`.
fn factor(total: Tensor<2>, other: Tensor<2>, all: Tensor<2>) -> Tensor<2> {
    let size = total.clone().abs() + other.abs();
    let part = Stabiliser::Added(ADDED).divide(total.clone().abs(), size) * all;
    Stabiliser::Added(ADDED).divide(part, total)
}

impl RelevanceRule for Branches {
    called!("branches by their totals");

    fn covers(&self, step: &Step<'_>) -> bool {
        let fits = |slot| Self::fits(step, slot);
        let is_sum = step.algebra() == Algebra::Sum;
        match Self::pair(step).filter(|_| is_sum) {
            Some([first, _]) if step.kind() == OpKind::Sub => fits(first),
            Some([first, second]) => fits(first) && fits(second),
            None => false,
        }
    }

    fn hands_to(&self, step: &Step<'_>, slot: usize) -> bool {
        step.kind() != OpKind::Sub || slot == 0
    }

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        let (Some(Some(relevance)), Some([first, second])) = (relevance.first(), Self::pair(step))
        else {
            return Ok(vec![None; step.inputs()]);
        };
        if step.kind() == OpKind::Sub {
            return Ok(all_to(step, first, relevance.clone()));
        }
        let output = step.output();
        let rows = relevance.rows();
        let share = Stabiliser::Added(ADDED).divide(rows.clone(), output.rows());
        let part = |slot| step.input(slot).map(|x| x.rows() * share.clone());
        let (Some(a), Some(b)) = (part(first), part(second)) else {
            return Ok(vec![None; step.inputs()]);
        };
        let (of_a, of_b) = (a.clone().row_sums(), b.clone().row_sums());
        let all = rows.row_sums();
        let a = a * factor(of_a.clone(), of_b.clone(), all.clone());
        let b = b * factor(of_b, of_a, all);
        let mut slots = vec![None; step.inputs()];
        slots[first] = Some(Activation::from_rows(a, &output)?);
        slots[second] = Some(Activation::from_rows(b, &output)?);
        Ok(slots)
    }
}
