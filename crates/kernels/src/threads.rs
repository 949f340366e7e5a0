use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rayon::Yield;
use rayon::prelude::*;

use crate::vectors::vectorised;

/// How many threads work on the CPU backend: those of rayon's global pool, as many as there are
/// logical processors unless `RAYON_NUM_THREADS` says otherwise.
pub fn cpu_threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `f` on one of the threads that share the work of kernels, and keeps the others awake meanwhile.
///
/// A thread that is not one of them hands each kernel over and sleeps until it is done; one of them begins with it at
/// once, where the numbers that it made before still lie in its cache. Of several calls at a time one has that place, and
/// the others stay where they are: while a thread waits for a part of its work it takes up whatever else there is, and
/// should find no other call there, whose locks it might wait for.
pub fn among_threads<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static PLACE: Mutex<()> = Mutex::new(());
    if rayon::current_thread_index().is_some() {
        return f();
    }
    let _place = match PLACE.try_lock() {
        Ok(place) => place,
        // A call that panicked left nothing behind.
        Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
        Err(TryLockError::WouldBlock) => return f(),
    };
    let over = AtomicBool::new(false);
    rayon::scope(|scope| {
        let here = rayon::current_thread_index();
        let over = &over;
        scope.spawn_broadcast(move |_, thread| {
            // The one that `f` is called on would not come back to it.
            if Some(thread.index()) != here {
                stay_awake(over);
            }
        });
        let _ended = Ended(over);
        f()
    })
}

/// Says that a call is over, however it ended.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How long a thread looks for work before it sleeps. To wake it takes longer than a small kernel does.
const AWAKE: Duration = Duration::from_millis(2);

/// Looks for work in vain so often before it lets others have the processor.
const POLLS: usize = 64;

/// Takes up whatever work there is, until it is `over` or there has been none for long.
fn stay_awake(over: &AtomicBool) {
    let mut found = Instant::now();
    let mut polls = 0;
    while !over.load(Ordering::Acquire) {
        if rayon::yield_now() == Some(Yield::Executed) {
            found = Instant::now();
            polls = 0;
            continue;
        }
        polls += 1;
        match polls % POLLS {
            0 if found.elapsed() > AWAKE => return,
            0 => std::thread::yield_now(),
            _ => std::hint::spin_loop(),
        }
    }
}

/// Below this many elements a task costs more to hand out than to do.
pub(crate) const TASK: usize = 1 << 14;

/// Calls `f(scratch, i, chunk)` for each chunk of `len` elements, on all threads, each of which works on as many
/// chunks in succession as make a task.
pub(crate) fn for_each_chunk<S: Send>(
    values: &mut [f32],
    len: usize,
    scratch: impl Fn() -> S + Send + Sync,
    f: impl Fn(&mut S, usize, &mut [f32]) + Send + Sync,
) {
    if values.is_empty() {
        return;
    }
    let together = TASK.div_ceil(len);
    values
        .par_chunks_mut(together * len)
        .enumerate()
        .for_each_init(scratch, |scratch, (i, chunks)| {
            vectorised(
                #[inline(always)]
                || {
                    for (k, chunk) in chunks.chunks_mut(len).enumerate() {
                        f(scratch, i * together + k, chunk);
                    }
                },
            )
        });
}

/// Calls `f(i, part)` for each part of `len` numbers, on all threads; `work` is what a part takes, in elements.
pub(crate) fn for_each_part(
    values: &mut [f32],
    len: usize,
    work: usize,
    f: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    if values.is_empty() {
        return;
    }
    values
        .par_chunks_mut(len)
        .enumerate()
        .with_min_len(TASK.div_ceil(work))
        .for_each(|(i, part)| f(i, part));
}

/// The most numbers that a thread keeps from one call to the next: 16 MiB.
const KEPT: usize = 1 << 22;

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Calls `f` with `len` numbers that may be any: the thread's own, which are neither allocated nor zeroed
/// again for each call.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    // A call within a call, or one that another thread's work makes meanwhile, finds none and makes its own.
    let mut values = SCRATCH.take();
    if values.len() < len {
        values = vec![0.0; len];
    }
    let result = f(&mut values[..len]);
    if values.len() <= KEPT {
        SCRATCH.set(values);
    }
    result
}
