//! Ctrl-C, or a polite request to end: once to end the work and keep what there is, twice to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::CliError;

/// Shells have it that a program which a signal ended exits with this and the signal's number.
const BY_SIGNAL: i32 = 128;

/// Whether the program was asked to end, by Ctrl-C or SIGTERM.
#[derive(Debug, Clone)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on the first request is noted, and the second ends the program at once.
    pub fn watch() -> Result<Self, CliError> {
        let asked = Arc::new(AtomicBool::new(false));
        let signal = Arc::new(AtomicUsize::new(0));
        let refused = |error| CliError::io("cannot listen to Ctrl-C and SIGTERM", &error);
        for number in [SIGINT, SIGTERM] {
            // In this order: the first request finds the flag down when it asks whether to leave.
            flag::register_conditional_shutdown(number, BY_SIGNAL + number, Arc::clone(&asked))
                .map_err(refused)?;
            flag::register_usize(number, Arc::clone(&signal), number as usize).map_err(refused)?;
            flag::register(number, Arc::clone(&asked)).map_err(refused)?;
        }
        Ok(Self { asked, signal })
    }

    /// Whether it was asked to end.
    pub fn is_set(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Set when it is asked to end.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// What asked it to, for people.
    pub fn by(&self) -> &'static str {
        match self.signal.load(Ordering::Relaxed) == SIGTERM as usize {
            true => "SIGTERM",
            false => "Ctrl-C",
        }
    }

    /// How a program ends that was asked to.
    pub fn ended(&self) -> CliError {
        let signal = self.signal.load(Ordering::Relaxed);
        CliError::Interrupted(u8::try_from(BY_SIGNAL as usize + signal).unwrap_or(u8::MAX))
    }
}
