//! The sizes of what an operator reads and makes, for whoever counts its arithmetic.

use crate::operator::Known;

/// The shapes of an operator's inputs and outputs in one pass.
#[derive(Debug, Clone)]
pub struct Shapes {
    inputs: Vec<Option<Vec<usize>>>,
    outputs: Vec<Vec<usize>>,
}

impl Shapes {
    /// Of inputs in their slots, `None` for one left out, and of outputs.
    pub fn new(inputs: Vec<Option<Vec<usize>>>, outputs: Vec<Vec<usize>>) -> Self {
        Self { inputs, outputs }
    }

    pub(crate) fn of(inputs: Vec<Option<Vec<usize>>>, outputs: &[Known]) -> Self {
        let outputs = outputs.iter().map(|known| known.shape.clone());
        Self::new(inputs, outputs.collect())
    }

    /// The shape in an input slot; `None` where it is left out.
    pub fn input(&self, slot: usize) -> Option<&[usize]> {
        self.inputs.get(slot)?.as_deref()
    }

    /// How many inputs are there.
    pub fn given(&self) -> usize {
        self.inputs.iter().flatten().count()
    }

    /// How many numbers an input holds: none where it is left out.
    pub fn read(&self, slot: usize) -> u64 {
        self.input(slot).map_or(0, numbers)
    }

    /// How many numbers the inputs hold together.
    pub fn read_in_all(&self) -> u64 {
        let inputs = self.inputs.iter().flatten();
        inputs.fold(0, |sum: u64, shape| sum.saturating_add(numbers(shape)))
    }

    /// How many numbers the first output holds.
    pub fn made(&self) -> u64 {
        self.outputs.first().map_or(0, |shape| numbers(shape))
    }

    /// How many numbers the outputs hold together.
    pub fn made_in_all(&self) -> u64 {
        let outputs = self.outputs.iter();
        outputs.fold(0, |sum: u64, shape| sum.saturating_add(numbers(shape)))
    }
}

/// How many numbers a tensor of this shape holds.
pub(crate) fn numbers(shape: &[usize]) -> u64 {
    shape
        .iter()
        .fold(1, |count: u64, &size| count.saturating_mul(size as u64))
}
