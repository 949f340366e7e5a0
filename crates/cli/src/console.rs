//! What people see while a command works, and what it prints at the end.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use elucid::attribution::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tracing::{Level, enabled, info};

use crate::error::CliError;
use crate::schema::{Named, Versioned};
use crate::terminal::{Gauge, Lines};
use crate::wording::in_flags;

/// Standard output, on which a reader that leaves early is no error to speak of.
pub struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    /// Takes standard output.
    pub fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    /// Prints a line.
    pub fn line(&mut self, line: impl AsRef<str>) -> Result<(), CliError> {
        self.write(&printable(line.as_ref().trim_end()))
    }

    /// Prints the report of a command as JSON, with the version of its form.
    pub fn json(&mut self, command: &'static str, report: &impl Serialize) -> Result<(), CliError> {
        let report = Named::new(command, report);
        self.json_text(&to_json(&Versioned::of(command, &report))?)
    }

    /// Prints a text that is JSON.
    pub fn json_text(&mut self, text: &str) -> Result<(), CliError> {
        let text = text.trim_end();
        let mut shown = String::with_capacity(text.len());
        for c in text.chars() {
            match c != '\n' && is_unprintable(c) {
                // Only in strings, where JSON has this spelling for the same character.
                true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
                false => shown.push(c),
            }
        }
        self.write(&shown)
    }

    /// Prints a text of this program's own, as it is.
    pub fn text(&mut self, text: &[u8]) -> Result<(), CliError> {
        self.0.write_all(text).map_err(|e| gone(&e))
    }

    fn write(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.0, "{text}").map_err(|e| gone(&e))
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

/// A line with what would move a terminal's cursor, colour it or turn its text around made visible:
/// names come from files.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unprintable(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// Control characters, ends of lines included, and those that change the direction of text.
fn is_unprintable(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || ends_line
}

/// A cell that fits a line: of a very long one, which no program gave, the ends.
fn shortened(cell: &str, most: usize) -> String {
    const END: usize = 60;
    match cell.chars().count() {
        count if count > most => {
            let first: String = cell.chars().take(most.saturating_sub(END)).collect();
            let last: String = cell.chars().skip(count - END).collect();
            format!("{first}...{last}")
        }
        _ => cell.to_owned(),
    }
}

/// A value as indented JSON.
pub fn to_json(value: &impl Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Failure(format!("cannot write JSON: {error}")))
}

/// All bars that are to be seen, so that whatever is written beside them puts them aside.
static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
    /// As often as indicatif draws by itself.
    const TIMES_A_SECOND: u8 = 20;
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Lines::new()), TIMES_A_SECOND);
    MultiProgress::with_draw_target(target)
});

/// Writes a line to standard error, between bars.
pub fn say(line: &str) {
    // Nothing can be done when even this cannot be said.
    let _ = BARS.suspend(|| writeln!(io::stderr(), "{}", printable(line)));
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

    /// A remark: a line, or an event with its time where events are logged.
    pub fn note(&self, remark: impl AsRef<str>) {
        let remark = in_flags(remark.as_ref());
        match enabled!(Level::INFO) {
            _ if self.quiet => {}
            true => info!("{remark}"),
            false => say(&remark),
        }
    }

    /// A bar over an unknown number of steps, with the time left.
    pub fn steps(&self, label: &str) -> ProgressBar {
        self.bar(label, "{wide_msg}{gauge}{pos}/{len} {eta}")
    }

    /// A bar over bytes.
    pub fn bytes(&self, label: &str) -> ProgressBar {
        let style = "{wide_msg}{gauge}{bytes}/{total_bytes} {bytes_per_sec} {eta}";
        self.bar(label, style)
    }

    fn bar(&self, label: &str, style: &str) -> ProgressBar {
        // Neither where standard error is a file, nor on a terminal that can only write on.
        let visible = !self.quiet && !ProgressDrawTarget::stderr().is_hidden();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let bar = match visible {
            true => BARS.add(bar),
            false => bar,
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.with_key("gauge", Gauge));
        }
        bar.set_message(printable(label));
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

/// Rows with their columns aligned; `right` says which columns hold numbers. What is longer than a
/// name that somebody could have given loses its middle, and an end of a line is made visible.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    /// The longest cell.
    const LONGEST: usize = 200;
    /// The longest at the end of a row, where lists stand.
    const LAST: usize = 2000;
    let fitting = |row: &Vec<String>| -> Vec<String> {
        let fit = |(column, cell): (usize, &String)| {
            let is_last = column + 1 == row.len();
            shortened(&printable(cell), if is_last { LAST } else { LONGEST })
        };
        row.iter().enumerate().map(fit).collect()
    };
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .add_rows(rows.iter().map(fitting));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if right.contains(&column.index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines();
    lines.map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{printable, table};

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "1"], ["é longer", "10"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, &[1]), ["a          1", "é longer  10"]);
        // A row may be shorter; what is written in China is twice as wide.
        let rows = [vec!["猫"], vec!["n", "x", "2"], vec![]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(table(&rows, &[2]), ["猫", "n   x  2", ""]);
        assert!(table(&[], &[]).is_empty());
    }

    #[test]
    fn long_names_lose_their_middle() {
        let row = |name: String| vec![name, "1".to_owned()];
        let lines = table(&[row("n".repeat(70_000)), row("b".to_owned())], &[1]);
        assert!(lines[0].contains("n...n") && lines[0].len() < 300);
        assert!(lines[1].ends_with('1') && lines[1].len() < 300);
        let last = table(&[vec!["n".repeat(70_000)]], &[0]);
        assert!(last[0].len() < 3000);
    }

    #[test]
    fn terminals_are_left_alone() {
        let shown = printable("a\u{1b}[31m\u{202e}\u{9b}\r\né");
        assert_eq!(shown, "a\\u{1b}[31m\\u{202e}\\u{9b}\\r\\né");
    }
}
