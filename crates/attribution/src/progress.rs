//! Progress of long work.

use std::fmt;
use std::ops::ControlFlow;

use crate::error::AttributionError;

/// How far a method has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps finished.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
}

type Callback<'a> = Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>;

/// A method's callback, if it has one.
#[derive(Default)]
pub(crate) struct Reporter<'a>(Option<Callback<'a>>);

impl<'a> Reporter<'a> {
    pub fn new(callback: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        Self(Some(Box::new(callback)))
    }

    pub fn report(&mut self, done: usize, total: usize) -> Result<(), AttributionError> {
        match self
            .0
            .as_mut()
            .map(|callback| callback(Progress { done, total }))
        {
            Some(ControlFlow::Break(())) => Err(AttributionError::Cancelled { done, total }),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Reporter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Reporter(callback)"
        } else {
            "Reporter(none)"
        })
    }
}
