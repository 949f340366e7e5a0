//! Progress of long work, and cancelling it: what attribution, factorisation and feature
//! visualisation share.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

/// How far a piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps finished.
    pub done: usize,
    /// Steps in all; at most so many where the work may end early.
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

/// The callback asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled after {done} of {total} steps")]
pub struct Cancelled {
    /// Steps finished.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
}

type Callback = dyn FnMut(Progress) -> ControlFlow<()> + Send;

/// A callback, if there is one. Clones report to the same.
#[derive(Clone, Default)]
pub struct Reporter(Option<Arc<Mutex<Callback>>>);

impl Reporter {
    /// One that calls `callback`.
    pub fn new(callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(callback))))
    }

    /// Tells the callback.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if it breaks.
    pub fn report(&self, done: usize, total: usize) -> Result<(), Cancelled> {
        let Some(callback) = &self.0 else {
            return Ok(());
        };
        let mut callback = callback.lock().unwrap_or_else(PoisonError::into_inner);
        match callback(Progress { done, total }) {
            ControlFlow::Break(()) => Err(Cancelled { done, total }),
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

#[cfg(test)]
mod tests {
    use super::{Cancelled, Reporter};

    #[test]
    fn a_callback_can_stop_the_work() {
        let reporter = Reporter::new(|p| match p.done < 2 {
            true => p.continue_(),
            false => p.cancel(),
        });
        assert_eq!(reporter.report(1, 3), Ok(()));
        assert_eq!(reporter.report(2, 3), Err(Cancelled { done: 2, total: 3 }));
        assert_eq!(Reporter::default().report(3, 3), Ok(()));
    }
}
