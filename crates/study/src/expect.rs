//! What a study will take, told before it begins.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use elucid_attribution::{Progress, Target};
use serde::Serialize;

use crate::error::StudyError;
use crate::part::Part;
use crate::study::{Explainer, Study};

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

    /// What each method will take, told from the first image that can be read: methods that draw samples are stopped after the
    /// first of them.
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
            let started = Instant::now();
            // How far it was at its first report, and when.
            let first: Arc<Mutex<Option<(Progress, f64)>>> = Arc::default();
            let options = entry.options(self.seed, self.batch_size).progress({
                let first = Arc::clone(&first);
                move |progress| {
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    *first = Some((progress, started.elapsed().as_secs_f64()));
                    ControlFlow::Break(())
                }
            });
            let attributor = entry.method.build(&options)?;
            let found = attributor.attribute(self.model, &photo, Target::class(class));
            let first = *first.lock().unwrap_or_else(PoisonError::into_inner);
            let (passes, seconds) = match (first, found) {
                (Some((progress, seconds)), _) => {
                    let share = progress.total as f64 / progress.done.max(1) as f64;
                    (progress.total, seconds * share)
                }
                (None, Ok(found)) => {
                    let passes = found.evaluations().first().copied().unwrap_or(1);
                    (passes, started.elapsed().as_secs_f64())
                }
                (None, Err(error)) => return Err(error.into()),
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
}
