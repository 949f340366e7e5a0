//! Progress of long work.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::FactorError;

/// How far a factorisation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps finished: iterations, or batches.
    pub done: usize,
    /// Steps at most. Converging ends the work earlier.
    pub total: usize,
}

impl Progress {
    /// What a callback returns to go on.
    pub fn continue_(self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// What a callback returns to stop.
    pub fn cancel(self) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

type Callback = dyn FnMut(Progress) -> ControlFlow<()> + Send;

/// A method's callback, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Reporter(Option<Arc<Mutex<Callback>>>);

impl Reporter {
    pub fn new(callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(callback))))
    }

    pub fn report(&self, done: usize, total: usize) -> Result<(), FactorError> {
        let Some(callback) = &self.0 else {
            return Ok(());
        };
        let mut callback = callback.lock().unwrap_or_else(PoisonError::into_inner);
        match callback(Progress { done, total }) {
            ControlFlow::Break(()) => Err(FactorError::Cancelled { done, total }),
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Reporter(callback)",
            None => "Reporter(none)",
        })
    }
}
