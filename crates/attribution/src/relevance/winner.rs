use elucid_graph::{Activation, Step};

use super::RelevanceRule;
use super::Shares;

/// Relevance goes where the gradient goes: to the winner of a maximum, and along with numbers that
/// are only moved.
///
/// For max-pools (winner takes all; of equal numbers the first), and for operators that join, cut or
/// rearrange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Winner;

impl RelevanceRule for Winner {
    called!("winner");

    fn propagate(&self, step: &Step<'_>, relevance: &[Option<Activation>]) -> Shares {
        Ok(step.gradient(relevance)?)
    }
}
