//! `elucid evaluate merge`: one table from the shards of an evaluation.

use elucid::study::Merge;

use super::examples;
use super::outcome::Outcome;
use super::{Merging, metrics, say, write};
use crate::console::Console;
use crate::error::CliError;
use crate::output::{Destination, MERGED};
use crate::report::Clock;

pub fn run(args: &Merging) -> Result<(), CliError> {
    let Merging { merge, allow_mixed } = args;
    let console = Console::new(merge.quiet);
    let destination = Destination::check(&merge.out, merge.force, MERGED)?;
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
    destination.fill(|folder| {
        let (settings, found) = clock.time("merge", || parts.write(folder))?;
        let metrics = metrics(&settings)?;
        let outcome = clock.time("sum up", || Outcome::new(&settings, &metrics, &found))?;
        let methods: Vec<&str> = settings.methods.iter().map(|m| m.name.as_str()).collect();
        let page = outcome.page(|row, number| {
            let folders = examples::folders(parts.origin(number)?, &methods);
            Some(folders[row].join(examples::file(number)))
        })?;
        let steps = std::mem::take(&mut clock).steps();
        let command = (MERGED, &[Merge::JOURNAL][..]);
        write(folder, &outcome, &page, command, (None, None), steps)
    })?;
    let (settings, found) = elucid::study::read(&merge.out)?;
    let metrics = metrics(&settings)?;
    say(&Outcome::new(&settings, &metrics, &found)?, &merge.out)
}
