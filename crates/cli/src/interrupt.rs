//! Ctrl-C: once to end the work and keep what there is, twice to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::error::{CliError, INTERRUPTED};

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first Ctrl-C is noted, and the second ends the program at once.
    pub fn watch() -> Result<Self, CliError> {
        let pressed = Arc::new(AtomicBool::new(false));
        let refused = |error| CliError::io("cannot listen to Ctrl-C", &error);
        // In this order: the first press finds the flag down when it asks whether to leave.
        flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&pressed))
            .map_err(refused)?;
        flag::register(SIGINT, Arc::clone(&pressed)).map_err(refused)?;
        Ok(Self(pressed))
    }

    /// Whether it was pressed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
