//! What an operator resolves with, and what its kernel runs on.

use super::check::LONGEST_LIST;
use super::{Batch, Known, Refused};
use crate::activation::Activation;
use crate::host::{HostTensor, element_count};
use crate::message::few;

/// The tensors that a kernel runs on, by input slot.
#[derive(Debug, Clone, Default)]
pub struct Slots(Vec<Option<Activation>>);

impl Slots {
    /// Tensors by slot; `None` for an optional input left out.
    pub fn new(slots: Vec<Option<Activation>>) -> Self {
        Self(slots)
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no slots.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tensor in a slot that was checked to be filled.
    ///
    /// # Panics
    ///
    /// When it is not, or was taken before.
    pub fn take(&mut self, slot: usize) -> Activation {
        self.maybe(slot)
            .expect("resolving checked that the input is there")
    }

    /// The tensor in a slot, if it is filled.
    pub fn maybe(&mut self, slot: usize) -> Option<Activation> {
        self.0.get_mut(slot).and_then(Option::take)
    }

    /// The tensor in a slot, which stays, if it is filled.
    pub(crate) fn get(&self, slot: usize) -> Option<&Activation> {
        self.0.get(slot).and_then(Option::as_ref)
    }

    /// The tensors by slot.
    pub(crate) fn into_slots(self) -> Vec<Option<Activation>> {
        self.0
    }

    /// The tensors of all slots that are filled, in order.
    pub fn all(self) -> impl Iterator<Item = Activation> {
        self.0.into_iter().flatten()
    }
}

/// What is known of a node's inputs, with checks that end in clear refusals.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a> {
    known: &'a [Option<Known>],
    outputs: usize,
    batch: Batch,
}

impl<'a> Operands<'a> {
    /// Inputs by slot, and how many outputs the node names.
    pub fn new(known: &'a [Option<Known>], outputs: usize, batch: Batch) -> Self {
        Self {
            known,
            outputs,
            batch,
        }
    }

    /// Number of input slots.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are no input slots.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Number of outputs that the node names.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The batch sizes of file and pass.
    pub fn batch(&self) -> Batch {
        self.batch
    }

    /// What is known of an input; `None` when it is left out.
    pub fn optional(&self, slot: usize) -> Option<&'a Known> {
        self.known.get(slot).and_then(Option::as_ref)
    }

    /// What is known of an input that must be there.
    ///
    /// # Errors
    ///
    /// When it is left out.
    pub fn input(&self, slot: usize) -> Result<&'a Known, Refused> {
        self.optional(slot)
            .ok_or_else(|| format!("input {slot} is missing").into())
    }

    /// An input of floating-point numbers.
    ///
    /// # Errors
    ///
    /// When it is left out or holds something else.
    pub fn floats(&self, slot: usize) -> Result<&'a Known, Refused> {
        let known = self.input(slot)?;
        if known.kind.is_float() {
            Ok(known)
        } else {
            Err(format!("input {slot} holds {}, expected floats", known.kind).into())
        }
    }

    /// An input that a kernel computes with: floating-point numbers, and at least one, for burn has no
    /// empty tensors.
    ///
    /// # Errors
    ///
    /// When it is left out or holds something else, or nothing.
    pub fn operand(&self, slot: usize) -> Result<&'a Known, Refused> {
        let known = self.floats(slot)?;
        if known.shape.contains(&0) {
            let shape = few(&known.shape);
            return Err(format!("input {slot} of shape {shape} holds no numbers").into());
        }
        Ok(known)
    }

    /// An input as an image batch `[N, C, H, W]`.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn image(&self) -> Result<[usize; 4], Refused> {
        let shape = &self.floats(0)?.shape;
        <[usize; 4]>::try_from(shape.as_slice())
            .ok()
            .filter(|s| s.iter().all(|&d| d > 0))
            .ok_or_else(|| {
                format!(
                    "input has shape {}, expected [N, C, H, W] with no dimension 0",
                    few(shape)
                )
                .into()
            })
    }

    /// The elements of an input that sizes follow from, `what` in messages.
    ///
    /// # Errors
    ///
    /// [`Refused::NeedsValue`] when the network has yet to compute them.
    pub fn value(&self, slot: usize, what: &'static str) -> Result<&'a HostTensor, Refused> {
        let known = self.input(slot)?;
        let needs = Refused::NeedsValue { slot, what };
        known.host.as_ref().ok_or(needs)
    }

    /// The same for an input that may be left out.
    ///
    /// # Errors
    ///
    /// As [`Operands::value`].
    pub fn optional_value(
        &self,
        slot: usize,
        what: &'static str,
    ) -> Result<Option<&'a HostTensor>, Refused> {
        self.optional(slot)
            .map(|_| self.value(slot, what))
            .transpose()
    }

    /// The integers of an input that sizes follow from.
    ///
    /// # Errors
    ///
    /// As [`Operands::value`], and when they are no integers.
    pub fn ints(&self, slot: usize, what: &'static str) -> Result<Vec<i64>, Refused> {
        let host = self.value(slot, what)?;
        host.ints().map_err(|e| format!("{what}: {e}").into())
    }

    /// The same for a list with at most one entry for each dimension.
    ///
    /// # Errors
    ///
    /// As [`Operands::ints`], and when the list is longer than any tensor has dimensions.
    pub fn list(&self, slot: usize, what: &'static str) -> Result<Vec<i64>, Refused> {
        let count = element_count(&self.input(slot)?.shape).unwrap_or(usize::MAX);
        if count > LONGEST_LIST {
            return Err(format!("{what}: {count} numbers, expected one per dimension").into());
        }
        self.ints(slot, what)
    }

    /// The same for an input that may be left out.
    ///
    /// # Errors
    ///
    /// As [`Operands::list`].
    pub fn optional_list(
        &self,
        slot: usize,
        what: &'static str,
    ) -> Result<Option<Vec<i64>>, Refused> {
        self.optional(slot)
            .map(|_| self.list(slot, what))
            .transpose()
    }

    /// What is known of the inputs that are there.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a Known> {
        self.known.iter().flatten()
    }

    /// All inputs that are there, if all of them are known.
    pub fn all_host(&self) -> Option<Vec<&'a HostTensor>> {
        self.iter().map(|known| known.host.as_ref()).collect()
    }

    /// Checks that inputs `which` hold one number for each channel of `shape`, `[N, C, ...]`.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub fn per_channel(
        &self,
        shape: &[usize],
        which: std::ops::Range<usize>,
    ) -> Result<(), Refused> {
        let &[_, channels, ..] = shape else {
            return Err(format!("input has shape {shape:?}, expected [N, C, ...]").into());
        };
        for slot in which {
            let parameter = self.floats(slot)?;
            if parameter.shape != [channels] {
                return Err(format!(
                    "input {slot} has shape {:?}, expected [{channels}], one number per channel",
                    parameter.shape
                )
                .into());
            }
        }
        Ok(())
    }
}
