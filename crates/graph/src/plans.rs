//! Plans that were made before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::element::ElementType;
use crate::graph::ValueId;
use crate::operator::Known;
use crate::plan::Planned;

/// How many plans are kept: a method has one for each batch that it runs and each layer that it feeds.
const KEPT: usize = 8;

/// The most bytes of numbers in a plan that is kept: those that follow from shapes.
const LARGEST: u64 = 1 << 26;

/// What a plan depends on: the shape and the elements of each value that is fed, and what is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    feeds: Vec<(ValueId, Vec<usize>, ElementType)>,
    fetches: Vec<ValueId>,
}

impl Key {
    /// `None` where numbers are fed that are known, which a plan may depend on.
    pub fn new(feeds: &[(ValueId, Known)], fetches: &[ValueId]) -> Option<Self> {
        let feeds = feeds.iter().map(|(value, known)| {
            let computed = known.host.is_none() && !known.is_read;
            computed.then(|| (*value, known.shape.clone(), known.kind))
        });
        Some(Self {
            feeds: feeds.collect::<Option<_>>()?,
            fetches: fetches.to_vec(),
        })
    }
}

/// The plans of one graph that were asked for last. A copy of the graph begins with none, since its constants may
/// become others.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<VecDeque<(Key, Arc<Planned>)>>);

impl Clone for Plans {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Plans {
    pub fn get(&self, key: &Key) -> Option<Arc<Planned>> {
        let mut plans = self.lock();
        let place = plans.iter().position(|(kept, _)| kept == key)?;
        let found = plans.remove(place)?;
        let planned = Arc::clone(&found.1);
        plans.push_front(found);
        Some(planned)
    }

    pub fn keep(&self, key: Key, planned: Arc<Planned>) {
        if planned.computed > LARGEST {
            return;
        }
        let mut plans = self.lock();
        plans.retain(|(kept, _)| *kept != key);
        plans.push_front((key, planned));
        plans.truncate(KEPT);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Planned>)>> {
        // Nothing that holds it can fail half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
