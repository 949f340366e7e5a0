//! Progress of long work, and cancelling it: what attribution, factorisation and feature
//! visualisation share.

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::{self, ThreadId};

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

/// What long work tells how far it has come, and asks whether to go on: what every `progress` option takes.
pub type Callback = Box<dyn FnMut(Progress) -> ControlFlow<()> + Send>;

/// A callback, if there is one. Clones report to the same, from any thread, one report after the other.
///
/// The callback may itself start work that reports to it: what its own thread reports while it runs is not
/// told. A callback that borrows has [`watch`].
#[derive(Clone, Default)]
pub struct Reporter(Option<Arc<Shared>>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The callback is back in its place.
    returned: Condvar,
}

#[derive(Default)]
struct State {
    callback: Option<Callback>,
    /// Who is in the callback, which is taken out while it runs so that nobody whom it calls waits for it.
    inside: Option<ThreadId>,
}

impl Reporter {
    /// One that calls `callback`.
    pub fn new(callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static) -> Self {
        let state = State {
            callback: Some(Box::new(callback)),
            inside: None,
        };
        Self(Some(Arc::new(Shared {
            state: Mutex::new(state),
            returned: Condvar::new(),
        })))
    }

    /// Tells the callback.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if it breaks.
    pub fn report(&self, done: usize, total: usize) -> Result<(), Cancelled> {
        let Some(taken) = self.0.as_deref().and_then(Taken::from) else {
            return Ok(());
        };
        match taken.tell(Progress { done, total }) {
            ControlFlow::Break(()) => Err(Cancelled { done, total }),
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}

/// The builder method `progress` of a type that keeps its [`Reporter`] in this field.
#[doc(hidden)]
#[macro_export]
macro_rules! progress_option {
    ($(#[$doc:meta])* $reporter:ident) => {
        $(#[$doc])*
        pub fn progress(
            mut self,
            callback: impl FnMut($crate::Progress) -> std::ops::ControlFlow<()> + Send + 'static,
        ) -> Self {
            self.$reporter = $crate::Reporter::new(callback);
            self
        }
    };
}

/// A callback that is taken out, and goes back even if it panics.
struct Taken<'s> {
    shared: &'s Shared,
    callback: Option<Callback>,
}

impl<'s> Taken<'s> {
    /// `None` for a thread that is in the callback already.
    fn from(shared: &'s Shared) -> Option<Self> {
        let this = thread::current().id();
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.inside.is_some_and(|thread| thread != this) {
            let woken = shared.returned.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if state.inside.is_some() {
            return None;
        }
        state.inside = Some(this);
        let callback = state.callback.take();
        Some(Self { shared, callback })
    }

    fn tell(mut self, progress: Progress) -> ControlFlow<()> {
        match &mut self.callback {
            Some(callback) => callback(progress),
            None => progress.continue_(),
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let locked = self.shared.state.lock();
        let mut state = locked.unwrap_or_else(PoisonError::into_inner);
        state.callback = self.callback.take();
        state.inside = None;
        self.shared.returned.notify_one();
    }
}

/// Runs `work` on a thread of its own and `callback` on the caller's, so that the callback may borrow and
/// needs to be neither [`Send`] nor `'static`: a progress bar, a counter, a window.
///
/// `work` gets the callback to hand on, as the `progress` option of whatever it starts. What is reported to it
/// after `work` has returned is not told.
///
/// # Panics
///
/// As `work` and `callback` do; after a panic of the callback the work is told to stop.
///
/// ```
/// let mut told = Vec::new();
/// let finished = elucid_progress::watch(
///     |callback| {
///         let reporter = elucid_progress::Reporter::new(callback);
///         (1..=3).try_for_each(|step| reporter.report(step, 3))
///     },
///     |progress| {
///         told.push(progress.done);
///         progress.continue_()
///     },
/// );
/// assert_eq!(finished, Ok(()));
/// assert_eq!(told, [1, 2, 3]);
/// ```
pub fn watch<R: Send>(
    work: impl FnOnce(Callback) -> R + Send,
    mut callback: impl FnMut(Progress) -> ControlFlow<()>,
) -> R {
    /// Says that the work has ended, however it ended.
    struct End(mpsc::Sender<Option<Progress>>, Arc<AtomicBool>);

    impl Drop for End {
        fn drop(&mut self) {
            self.1.store(true, Ordering::SeqCst);
            // Nobody listens any more after a panic of the callback.
            let _ = self.0.send(None);
        }
    }

    let (tell, told) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let end = End(tell.clone(), Arc::clone(&ended));
    let asks = Box::new(move |progress: Progress| {
        if ended.load(Ordering::SeqCst) {
            return progress.continue_();
        }
        let asked = tell.send(Some(progress)).is_ok();
        let answered = asked.then(|| answers.recv().ok()).flatten();
        answered.unwrap_or_else(|| progress.cancel())
    });
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let _end = end;
            work(asks)
        });
        // Both ends of the channel go with this block, and with them whoever waits for an answer.
        {
            let answer = answer;
            while let Ok(Some(progress)) = told.recv() {
                if answer.send(callback(progress)).is_err() {
                    break;
                }
            }
        }
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
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

    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::{Cancelled, Progress, Reporter, watch};

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

    #[test]
    fn reports_of_several_threads_are_all_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tells = Arc::clone(&told);
        let reporter = Reporter::new(move |progress: Progress| {
            thread::yield_now();
            tells.lock().unwrap().push(progress.done);
            progress.continue_()
        });
        thread::scope(|scope| {
            for first in [0, 100] {
                let reporter = reporter.clone();
                scope.spawn(move || {
                    for step in 0..50 {
                        assert_eq!(reporter.report(first + step, 200), Ok(()));
                    }
                });
            }
        });
        let mut told = told.lock().unwrap().clone();
        told.sort_unstable();
        assert_eq!(told, (0..50).chain(100..150).collect::<Vec<_>>());
    }

    #[test]
    fn a_callback_that_panics_goes_back_to_its_place() {
        let mut first = true;
        let reporter = Reporter::new(move |progress: Progress| {
            if std::mem::take(&mut first) {
                panic!("once");
            }
            progress.cancel()
        });
        let report = || reporter.report(1, 2);
        assert!(catch_unwind(AssertUnwindSafe(report)).is_err());
        assert_eq!(report(), Err(Cancelled { done: 1, total: 2 }));
    }

    #[test]
    fn what_watches_may_borrow_and_stop_the_work() {
        let mut told = 0;
        let (kept, stopped) = watch(
            |callback| {
                let reporter = Reporter::new(callback);
                let stopped = (1..10).find_map(|step| reporter.report(step, 10).err());
                (reporter, stopped)
            },
            |progress| {
                told += 1;
                match told {
                    3 => progress.cancel(),
                    _ => progress.continue_(),
                }
            },
        );
        assert_eq!(stopped, Some(Cancelled { done: 3, total: 10 }));
        assert_eq!(kept.report(1, 1), Ok(()), "nobody watches any more");
        assert_eq!(told, 3);
    }

    #[test]
    fn a_panic_of_what_watches_cancels_the_work() {
        let ended = Mutex::new(None);
        let watched = || {
            watch(
                |callback| {
                    let reporter = Reporter::new(callback);
                    let reports = (1..10).map(|step| reporter.report(step, 10));
                    *ended.lock().unwrap() = reports.filter_map(Result::err).next();
                },
                |_| panic!("gone"),
            );
        };
        assert!(catch_unwind(AssertUnwindSafe(watched)).is_err());
        assert!(ended.into_inner().unwrap().is_some());
    }
}
