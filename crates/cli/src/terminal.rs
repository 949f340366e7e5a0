//! Standard error as bars are drawn on it.
//!
//! A terminal shows Ctrl-C as two letters where the cursor is. Behind a bar that fills its line they begin another one, and
//! whatever removes the bar from then on misses it by a line. So bars end before their line does, and leave the cursor there.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use console::Term;
use indicatif::style::ProgressTracker;
use indicatif::{ProgressState, TermLike};

/// Room for `^C`.
const SPARE: u16 = 2;
/// Lines are no longer than this, so that what belongs together is not at both ends of a wide screen.
const WIDEST: u16 = 100;

/// How long a bar's line may be.
fn line_width(columns: u16) -> u16 {
    columns.saturating_sub(SPARE).clamp(1, WIDEST)
}

/// Standard error, whose lines end with their last letter.
#[derive(Debug)]
pub struct Lines {
    term: Term,
    /// Whether a line is written, behind which another begins a line of its own.
    is_behind: AtomicBool,
}

impl Lines {
    pub fn new() -> Self {
        Self {
            term: Term::buffered_stderr(),
            is_behind: AtomicBool::new(false),
        }
    }

    fn moved(&self, how: impl FnOnce(&Term) -> io::Result<()>) -> io::Result<()> {
        self.is_behind.store(false, Ordering::Relaxed);
        how(&self.term)
    }
}

impl TermLike for Lines {
    fn width(&self) -> u16 {
        line_width(self.term.size().1)
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.moved(|term| term.move_cursor_up(n))
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.moved(|term| term.move_cursor_down(n))
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.moved(|term| term.move_cursor_right(n))
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.moved(|term| term.move_cursor_left(n))
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.moved(|term| term.write_line(line))
    }

    /// A line, or the spaces behind one, which are left out.
    fn write_str(&self, text: &str) -> io::Result<()> {
        if text.chars().all(|c| c == ' ') {
            self.is_behind.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if self.is_behind.swap(false, Ordering::Relaxed) {
            self.term.write_line("")?;
        }
        self.term.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.moved(Term::clear_line)
    }

    fn flush(&self) -> io::Result<()> {
        self.term.flush()
    }
}

/// The part of a bar that fills: as wide as half of what names and numbers leave, and absent on a narrow terminal.
#[derive(Clone)]
pub struct Gauge;

impl Gauge {
    const NAMES: u16 = 40;
    const NARROWEST: u16 = 8;
    const WIDEST: u16 = 32;

    /// At so much of the work, on lines of this width.
    fn drawn(fraction: f32, line: u16) -> String {
        let width = (line.saturating_sub(Self::NAMES) / 2).min(Self::WIDEST);
        if width < Self::NARROWEST {
            return " ".to_owned();
        }
        let width = usize::from(width);
        let filled = (fraction * width as f32) as usize;
        let head = if filled < width { ">" } else { "" };
        format!(" [{:<width$}] ", "=".repeat(filled.min(width)) + head)
    }
}

impl ProgressTracker for Gauge {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(self.clone())
    }

    fn tick(&mut self, _: &ProgressState, _: std::time::Instant) {}

    fn reset(&mut self, _: &ProgressState, _: std::time::Instant) {}

    fn write(&self, state: &ProgressState, to: &mut dyn fmt::Write) {
        let line = line_width(Term::stderr().size().1);
        // Nothing can be done where a bar cannot be drawn.
        let _ = to.write_str(&Self::drawn(state.fraction(), line));
    }
}

#[cfg(test)]
mod tests {
    use super::{Gauge, line_width};

    #[test]
    fn gauges_leave_room() {
        let wide = |columns| Gauge::drawn(0.5, line_width(columns)).len();
        assert_eq!([30, 40, 57].map(wide), [1, 1, 1]);
        assert_eq!(wide(80), 19 + 4);
        assert_eq!(wide(400), 30 + 4);
    }

    #[test]
    fn gauges_fill() {
        let at = |fraction| Gauge::drawn(fraction, 60);
        assert_eq!(at(0.0), " [>         ] ");
        assert_eq!(at(0.55), " [=====>    ] ");
        assert_eq!(at(0.999), " [=========>] ");
        assert_eq!(at(1.0), " [==========] ");
        assert_eq!(at(f32::NAN), at(0.0));
    }
}
