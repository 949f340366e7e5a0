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
///
/// The callback may itself start work that reports to it: what is reported while it runs is not told.
#[derive(Clone, Default)]
pub struct Reporter(Option<Arc<Mutex<Option<Box<Callback>>>>>);

impl Reporter {
    /// One that calls `callback`.
    pub fn new(callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(Some(Box::new(callback))))))
    }

    /// Tells the callback.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if it breaks.
    pub fn report(&self, done: usize, total: usize) -> Result<(), Cancelled> {
        let Some(shared) = &self.0 else {
            return Ok(());
        };
        let locked = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        // It is taken out while it runs, so that nobody waits for it who is called by it.
        let taken = locked().take();
        let Some(mut callback) = taken else {
            return Ok(());
        };
        let told = callback(Progress { done, total });
        *locked() = Some(callback);
        match told {
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
    use std::sync::{Arc, Mutex};

    use super::{Cancelled, Progress, Reporter};

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

    #[test]
    fn a_callback_may_start_work_that_reports_to_it() {
        let slot: Arc<Mutex<Option<Reporter>>> = Arc::default();
        let inside = Arc::clone(&slot);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tells = Arc::clone(&told);
        let reporter = Reporter::new(move |progress: Progress| {
            let itself = inside.lock().unwrap().clone();
            if let Some(itself) = itself {
                assert_eq!(itself.report(90, 90), Ok(()));
            }
            tells.lock().unwrap().push(progress.done);
            progress.continue_()
        });
        *slot.lock().unwrap() = Some(reporter.clone());
        assert_eq!(reporter.report(1, 2), Ok(()));
        assert_eq!(reporter.clone().report(2, 2), Ok(()));
        assert_eq!(*told.lock().unwrap(), [1, 2]);
    }
}
