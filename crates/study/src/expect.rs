//! What a study will take, told before it begins.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use elucid_attribution::{Progress, Target};
use elucid_vision::Photo;
use serde::Serialize;

use crate::entries::Entry;
use crate::error::StudyError;
use crate::part::Part;
use crate::study::{Explainer, Study};

/// After so many reports of its progress a method is stopped.
const REPORTS: usize = 3;

/// What takes less time, in seconds, is timed again.
const QUICK: f64 = 0.5;

/// What a method will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    /// The method, as it is called in the results.
    pub method: String,
    /// How many images it explains.
    pub images: usize,
    /// How often it evaluates the network for one image.
    pub passes: usize,
    /// How long it takes for one image, in seconds, without metrics.
    pub seconds: f64,
}

impl Study<'_> {
    /// On how many images a method is asked for.
    fn images_of(&self, method: &str) -> usize {
        let parts = self.parts.iter();
        let parts: Vec<&Part> = parts
            .filter(|part| part.methods.iter().any(|name| name == method))
            .collect();
        let has =
            |number: usize| self.parts.is_empty() || parts.iter().any(|part| part.has(number));
        self.items.iter().filter(|item| has(item.number)).count()
    }

    /// What each method will take, told from the first image that can be read: long work is stopped at its third report of
    /// progress.
    ///
    /// # Errors
    ///
    /// [`StudyError::Empty`] if no image can be read, and whatever a method says of the first.
    pub fn expected(&self) -> Result<Vec<Expected>, StudyError> {
        let photos = self.items.iter().map(|item| {
            let picture = item.stored.picture()?;
            Ok::<_, StudyError>((item.class, self.model.prepare(&picture)?))
        });
        let Some((class, photo)) = { photos }.find_map(Result::ok) else {
            return Err(StudyError::Empty("no image could be read".to_owned()));
        };
        let methods = self.methods.iter().filter_map(|explainer| match explainer {
            Explainer::Method(entry) => Some(entry),
            // They are there.
            Explainer::Maps(_) => None,
        });
        let methods = methods.map(|entry| {
            let (passes, seconds) = match self.timed(entry, &photo, class)? {
                // The first pass of its kind lays out what the next ones find.
                (passes, seconds) if seconds < QUICK => self
                    .timed(entry, &photo, class)
                    .unwrap_or((passes, seconds)),
                timed => timed,
            };
            Ok(Expected {
                method: entry.name.clone(),
                images: self.images_of(&entry.name),
                passes,
                seconds,
            })
        });
        methods.collect()
    }
    /// How many passes one image takes, and how many seconds: as long as it took, or what the first reports of a longer work say.
    fn timed(
        &self,
        entry: &Entry,
        photo: &Photo,
        class: usize,
    ) -> Result<(usize, f64), StudyError> {
        let started = Instant::now();
        // How far it was at each report, and when.
        let reports: Arc<Mutex<Vec<(Progress, f64)>>> = Arc::default();
        let options = entry.options(self.seed, self.batch_size).progress({
            let reports = Arc::clone(&reports);
            move |progress| {
                let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                reports.push((progress, started.elapsed().as_secs_f64()));
                match reports.len() < REPORTS {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            }
        });
        let attributor = entry.method.build(&options)?;
        let found = attributor.attribute(self.model, photo, Target::class(class));
        let took = started.elapsed().as_secs_f64();
        let reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        match (reports.as_slice(), found) {
            ([first, .., last], _) if reports.len() == REPORTS => Ok(extrapolated(first, last)),
            (_, Ok(found)) => Ok((found.evaluations().first().copied().unwrap_or(1), took)),
            (_, Err(error)) => Err(error.into()),
        }
    }
}

/// Passes and seconds of the whole work. What comes before the first report comes once.
fn extrapolated(first: &(Progress, f64), last: &(Progress, f64)) -> (usize, f64) {
    let ((first, early), (last, late)) = (first, last);
    let done = last.done.saturating_sub(first.done).max(1);
    let left = last.total.saturating_sub(last.done);
    let each = (late - early) / done as f64;
    (last.total, late + each * left as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_first_report_is_counted_once() {
        let at = |done, seconds| (Progress { done, total: 300 }, seconds);
        let (passes, seconds) = extrapolated(&at(1, 2.0), &at(3, 2.5));
        assert_eq!(passes, 300);
        assert!((seconds - (2.5 + 297.0 * 0.25)).abs() < 1e-9, "{seconds}");
        // It ended just there.
        assert_eq!(extrapolated(&at(100, 2.0), &at(300, 4.0)), (300, 4.0));
    }
}
