//! Pieces of a batch, optimised side by side.

use std::panic::resume_unwind;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use burn::tensor::Device;
use elucid_attribution::Network;
use elucid_progress::Cancelled;

use super::job::{Job, Part};
use crate::error::VisError;
use crate::objective::Objective;

/// How many pieces of a batch are optimised side by side: a batch of small pictures leaves the
/// threads of the CPU waiting for each other, and a GPU wants all of it at once.
pub(super) fn lanes(device: &Device) -> usize {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return rayon::current_num_threads();
    }
    let _ = device;
    1
}

/// How far the lanes have come: the slowest of them is reported, and cancelling ends all.
struct Lanes<'r> {
    steps: Mutex<Vec<usize>>,
    report: &'r (dyn Fn(usize) -> Result<(), Cancelled> + Sync),
    cancelled: OnceLock<Cancelled>,
}

impl Lanes<'_> {
    fn report(&self, lane: usize, step: usize) -> Result<(), Cancelled> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancelled) = self.cancelled.get() {
            return Err(*cancelled);
        }
        let slowest = |steps: &[usize]| steps.iter().copied().min().unwrap_or_default();
        let before = slowest(&steps);
        steps[lane] = step;
        let now = slowest(&steps);
        if now == before {
            return Ok(());
        }
        (self.report)(now).inspect_err(|&cancelled| {
            // The lock is held: nobody else can have set it.
            let _ = self.cancelled.set(cancelled);
        })
    }
}

impl<N: Network + ?Sized + Sync> Job<'_, N> {
    /// Optimises one batch in pieces side by side. Pictures do not depend on each other, unless they
    /// have a joint objective, so that the pieces find what the whole batch would.
    pub(super) fn run_in_lanes(
        &self,
        objectives: &[Objective],
        seeds: &[u64],
        joint: bool,
        lanes: usize,
        report: &(dyn Fn(usize) -> Result<(), Cancelled> + Sync),
    ) -> Result<Vec<Part>, VisError> {
        let per_lane = seeds.len().div_ceil(lanes.max(1)).max(1);
        if per_lane >= seeds.len() {
            return Ok(vec![self.run(objectives, seeds, joint, report)?]);
        }
        let pieces = || objectives.chunks(per_lane).zip(seeds.chunks(per_lane));
        let progress = &Lanes {
            steps: Mutex::new(vec![0; pieces().len()]),
            report,
            cancelled: OnceLock::new(),
        };
        thread::scope(|scope| {
            let running: Vec<_> = pieces()
                .enumerate()
                .map(|(lane, (objectives, seeds))| {
                    let report = move |step: usize| progress.report(lane, step);
                    scope.spawn(move || self.run(objectives, seeds, joint, &report))
                })
                .collect();
            running
                .into_iter()
                .map(|lane| match lane.join() {
                    Ok(part) => part,
                    Err(panic) => resume_unwind(panic),
                })
                .collect()
        })
    }
}
