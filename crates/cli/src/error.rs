//! How a command ends: a code for scripts, and one line for people.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::console::printable;
use crate::wording::in_flags;

/// Exit code for arguments that cannot be right, as opposed to 1 for work that failed.
const USAGE: u8 = 2;

/// The exit code where everything was done, but for what could not be: values that failed, pictures that were skipped.
pub const WITH_FAILURES: u8 = 3;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum CliError {
    /// The arguments are wrong, whatever the files hold.
    Usage(String),
    /// The work failed.
    Failure(String),
    /// Ctrl-C or SIGTERM ended the work; what there was, if anything, has been written, and said. With the
    /// exit code.
    Interrupted(u8),
    /// The work ended otherwise than by being done or failing: with the exit code, and one line.
    Ended(u8, String),
    /// Whoever read the output has read enough.
    ReaderGone,
}

impl CliError {
    /// Prints the error and gives the exit code.
    pub fn finish(self) -> ExitCode {
        match self {
            Self::Usage(message) => {
                print(&message);
                ExitCode::from(USAGE)
            }
            Self::Failure(message) => {
                print(&message);
                ExitCode::FAILURE
            }
            Self::Interrupted(code) => ExitCode::from(code),
            Self::Ended(code, message) => {
                let _ = writeln!(io::stderr(), "{}", one_line(&in_flags(&message)));
                ExitCode::from(code)
            }
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }

    /// A failure of the file system, naming what was attempted.
    pub fn io(attempt: impl AsRef<str>, source: &io::Error) -> Self {
        Self::Failure(format!("{}: {source}", attempt.as_ref()))
    }
}

impl<E: Into<elucid::Error>> From<E> for CliError {
    fn from(error: E) -> Self {
        let error: elucid::Error = error.into();
        Self::Failure(error.to_string())
    }
}

/// Prints `error: MESSAGE` as one line on standard error.
pub fn print(message: &str) {
    // Nothing can be done when even this cannot be said.
    let _ = writeln!(io::stderr(), "error: {}", one_line(&in_flags(message)));
}

/// Ends the program after clap refused the arguments, or was asked for help.
pub fn refuse_arguments(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(USAGE)
        }
        _ => {
            let text = error.to_string();
            let said = text.split("\n\nUsage:").next().unwrap_or_default();
            let said = said
                .split("\n\nFor more information")
                .next()
                .unwrap_or_default();
            print(said.strip_prefix("error: ").unwrap_or(said));
            ExitCode::from(USAGE)
        }
    }
}

/// The lines of a message joined, and control characters, which may come from the name of a file,
/// made visible.
fn one_line(message: &str) -> String {
    let mut line = String::new();
    for part in message
        .lines()
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(&printable(part));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn messages_become_one_line() {
        assert_eq!(one_line("plain"), "plain");
        assert_eq!(
            one_line("could not download x:\n  http://a: refused\n\nTo do it by hand, wait\n"),
            "could not download x: http://a: refused; To do it by hand, wait"
        );
        assert_eq!(
            one_line("no layer \"\u{1b}[31m\""),
            "no layer \"\\u{1b}[31m\""
        );
    }
}
