//! `elucid evaluate merge`: one table from the shards of an evaluation.

use elucid::study::Merge;

use super::Merging;
use super::outcome::Outcome;
use super::tables::{Said, metrics, write};
use crate::console::Console;
use crate::error::CliError;
use crate::output::{Destination, MERGED};
use crate::report::Clock;

pub fn run(args: &Merging) -> Result<(), CliError> {
    let Merging { merge, allow_mixed } = args;
    let console = Console::new(merge.quiet);
    let mut clock = Clock::default();
    let parts = clock.time("read", || Merge::of(&merge.shards, *allow_mixed))?;
    if !parts.missing().is_empty() {
        let text = parts.missing().join("; ");
        match merge.allow_missing {
            true => console.note(&text),
            false => {
                return Err(CliError::Failure(format!(
                    "{text}; finish them with --resume, or go on with --allow-missing"
                )));
            }
        }
    }
    // What was measured is named for what it is, before any word of --force.
    parts.check_place(&merge.out)?;
    let destination = Destination::check(&merge.out, merge.force, MERGED)?;
    let mut said = None;
    destination.fill(|folder| {
        let (settings, found) = clock.time("merge", || parts.write(folder))?;
        let metrics = metrics(&settings)?;
        let outcome = clock.time("sum up", || Outcome::new(&settings, &metrics, &found))?;
        let steps = std::mem::take(&mut clock).steps();
        let written = write(folder, &outcome, (None, None), steps)?;
        said = Some(Said::of(&outcome, &merge.out, written));
        Ok(())
    })?;
    said.map_or(Ok(()), |said| said.print("", merge.json))
}
