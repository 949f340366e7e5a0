//! `elucid evaluate merge`: one table from the shards of an evaluation.

use elucid::study::Merge;

use super::outcome::Outcome;
use super::tables::{Said, metrics, write};
use crate::console::Console;
use crate::error::CliError;
use crate::output::{Destination, MERGED};
use crate::report::Clock;
use crate::settings::MergeArgs;

pub fn run(args: &MergeArgs) -> Result<(), CliError> {
    let console = Console::new(args.quiet);
    let mut clock = Clock::default();
    let parts = clock.time("read", || Merge::of(&args.shards, args.allow_mixed))?;
    if !parts.missing().is_empty() {
        args.allow(&console, &parts.missing().join("; "))?;
    }
    // What was measured is named for what it is, before any word of --force.
    parts.check_place(&args.out)?;
    let destination = Destination::check(&args.out, args.force, MERGED)?;
    let mut said = None;
    destination.fill(|folder| {
        let (settings, found) = clock.time("merge", || parts.write(folder))?;
        let metrics = metrics(&settings)?;
        let outcome = clock.time("sum up", || Outcome::new(&settings, &metrics, &found))?;
        let steps = std::mem::take(&mut clock).steps();
        let written = write(folder, &outcome, (None, None), steps)?;
        said = Some(Said::of(&outcome, &args.out, written));
        Ok(())
    })?;
    said.map_or(Ok(()), |said| said.print("", args.json))
}
