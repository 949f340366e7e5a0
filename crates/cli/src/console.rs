//! What people see while a command works, and what it prints at the end.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use elucid::attribution::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::CliError;

/// Standard output, on which a reader that leaves early is no error to speak of.
pub struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    /// Takes standard output.
    pub fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    /// Prints a line.
    pub fn line(&mut self, line: impl AsRef<str>) -> Result<(), CliError> {
        writeln!(self.0, "{}", line.as_ref().trim_end()).map_err(|e| gone(&e))
    }

    /// Prints a value as JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = to_json(value)?;
        self.line(text)
    }

    /// Makes what was printed visible.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.0.flush().map_err(|e| gone(&e))
    }
}

fn gone(error: &io::Error) -> CliError {
    match error.kind() {
        ErrorKind::BrokenPipe => CliError::ReaderGone,
        _ => CliError::io("cannot write to standard output", error),
    }
}

/// A value as indented JSON.
pub fn to_json(value: &impl Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Failure(format!("cannot write JSON: {error}")))
}

/// Standard error: remarks, and bars where a terminal shows them.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    quiet: bool,
}

impl Console {
    /// Says nothing when `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A remark.
    pub fn note(&self, remark: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", remark.as_ref());
        }
    }

    /// A bar over an unknown number of steps, with the time left.
    pub fn steps(&self, label: &str) -> ProgressBar {
        self.bar(label, "{msg} [{bar:32}] {pos}/{len} {eta}")
    }

    /// A bar over bytes.
    pub fn bytes(&self, label: &str) -> ProgressBar {
        let style = "{msg} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        self.bar(label, style)
    }

    fn bar(&self, label: &str, style: &str) -> ProgressBar {
        let visible = !self.quiet && io::stderr().is_terminal();
        let target = match visible {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(label.to_owned());
        if visible {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }
}

/// A callback that moves the bar as far as the work has come.
pub fn follow(bar: &ProgressBar) -> impl FnMut(Progress) -> ControlFlow<()> + Send + 'static {
    let bar = bar.clone();
    move |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        progress.continue_()
    }
}

/// Rows with their columns aligned; `right` says which columns hold numbers.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut cells = Vec::with_capacity(row.len());
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            cells.push(match right.contains(&column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
        }
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "1"], ["é longer", "10"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, &[1]), ["a          1", "é longer  10"]);
        assert!(table(&[], &[]).is_empty());
    }
}
