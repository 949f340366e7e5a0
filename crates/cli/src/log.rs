//! `-v` and `RUST_LOG`: what is done, line by line on standard error, as the libraries and this program tell it by `tracing`.
//!
//! Of bars and lines that share a terminal none tears another: lines are written where bars are put aside
//! ([`console::say`](crate::console::say)).

use std::env::{self, VarError};
use std::io::{self, IsTerminal, Write};

use clap::{ArgAction, ArgMatches, Args};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

use crate::console;
use crate::error::CliError;
use crate::wording::in_flags;

/// The environment variable of filters, as of most programs in Rust.
const VARIABLE: &str = "RUST_LOG";

/// What the targets of all crates of this project begin with, and so those of a program with methods of its own that is called so.
const TARGETS: &str = "elucid";

/// How much is logged.
#[derive(Debug, Clone, Copy, Args)]
pub struct LogArgs {
    /// Log what is done on standard error: steps, cells and leases; -vv records and methods, too, -vvv batches. RUST_LOG, where it
    /// is set, says it instead, by levels of parts of the program: info,elucid_study=debug. Nothing is logged with --quiet
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl LogArgs {
    /// Begins to log, if somebody wants it. A program that has a subscriber of its own keeps it.
    pub fn start(self, is_quiet: bool) -> Result<(), CliError> {
        let said = match env::var(VARIABLE) {
            Ok(said) => Some(said),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(said)) => Some(said.to_string_lossy().into_owned()),
        };
        let Some(filter) = self.filter(said.as_deref().map(str::trim))? else {
            return Ok(());
        };
        if is_quiet {
            return Ok(());
        }
        let lines = fmt::layer().with_writer(|| Line);
        // Whoever looks on knows the time; whoever reads a job's log later does not.
        let lines = match io::stderr().is_terminal() {
            true => lines.without_time().boxed(),
            false => lines.boxed(),
        };
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(())
    }

    /// What is logged, by the variable or else by the flag; `None` for nothing.
    fn filter(self, said: Option<&str>) -> Result<Option<Targets>, CliError> {
        let level = match (said, self.verbose) {
            (Some(said), _) if !said.is_empty() => return parse(said).map(Some),
            (_, 0) => return Ok(None),
            (_, 1) => LevelFilter::INFO,
            (_, 2) => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        Ok(Some(Targets::new().with_target(TARGETS, level)))
    }
}

/// Filters as `RUST_LOG` has them.
fn parse(said: &str) -> Result<Targets, CliError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let wrong = |reason: &str| {
        CliError::Usage(format!(
            "{VARIABLE} is \"{said}\": {reason}; expected a level ({}) or levels of parts of the program: \
             info,elucid_study=debug",
            LEVELS.join(", ")
        ))
    };
    let parts: Vec<&str> = said.split(',').map(str::trim).collect();
    for part in &parts {
        // A word alone is the name of a part, of which everything is logged, or nothing if there is none of that name.
        let near = |level: &&str| strsim::damerau_levenshtein(&part.to_lowercase(), level) == 1;
        if let Some(level) = LEVELS.iter().find(|level| near(level)) {
            return Err(wrong(&format!("did you mean {level}?")));
        }
        if part.is_empty() || part.contains(char::is_whitespace) {
            return Err(wrong("parts are separated by single commas"));
        }
    }
    let parsed = parts.join(",").parse::<Targets>();
    parsed.map_err(|error| wrong(&error.to_string()))
}

/// Whether a command was told to be quiet.
pub fn is_quiet(matches: &ArgMatches) -> bool {
    let said = matches.try_get_one::<bool>("quiet");
    said.ok().flatten().copied().unwrap_or_default()
        || (matches.subcommand()).is_some_and(|(_, matches)| is_quiet(matches))
}

/// Where an event goes, which is written by one call.
struct Line;

impl Write for Line {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        console::say(&in_flags(text.trim_end()));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn filter(verbose: u8, said: Option<&str>) -> Result<Option<Targets>, CliError> {
        LogArgs { verbose }.filter(said)
    }

    #[test]
    fn the_variable_goes_before_the_flag() {
        assert!(filter(0, None).unwrap().is_none());
        assert!(filter(0, Some("")).unwrap().is_none());
        for (verbose, level) in [
            (1, Level::INFO),
            (2, Level::DEBUG),
            (3, Level::TRACE),
            (9, Level::TRACE),
        ] {
            let targets = filter(verbose, Some("")).unwrap().unwrap();
            assert!(targets.would_enable("elucid_study::work", &level));
            assert!(!targets.would_enable("ureq", &Level::ERROR));
            let deeper = Level::TRACE;
            assert_eq!(targets.would_enable("elucid", &deeper), verbose > 2);
        }
        let targets = filter(3, Some("warn, elucid_study=DEBUG"))
            .unwrap()
            .unwrap();
        assert!(targets.would_enable("elucid_study::lease", &Level::DEBUG));
        assert!(!targets.would_enable("elucid_vision", &Level::INFO));
        assert!(targets.would_enable("ureq", &Level::WARN));
    }

    #[test]
    fn a_wrong_filter_shows_the_right_form() {
        for wrong in [
            "inof",
            "debg,elucid=info",
            "elucid=inf",
            "a=b=c",
            "elucid==info",
            "info,,warn",
            "info warn",
        ] {
            let Err(CliError::Usage(message)) = filter(1, Some(wrong)) else {
                panic!("{wrong}");
            };
            assert!(
                message.contains(wrong) && message.contains("elucid_study=debug"),
                "{message}"
            );
        }
    }
}
