//! What people see of an evaluation while it runs, and the pictures that are kept of it.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use elucid::metrics::Direction;
use elucid::prelude::*;
use elucid::study::{Control, Extremes, Found, Settings, Shown, Value, Watch};
use indicatif::ProgressBar;
use tracing::{Level, enabled};

use super::examples;
use super::tables::metrics;
use crate::console::Console;

/// How often a log is told how far things are, where no terminal shows a bar.
const NEWS: Duration = Duration::from_secs(60);

pub struct Watching {
    console: Console,
    bar: ProgressBar,
    out: PathBuf,
    directions: Vec<Direction>,
    folders: Vec<PathBuf>,
    extremes: Vec<Extremes>,
    started: Instant,
    /// How many cells were done when it began.
    before: usize,
    told: Instant,
}

impl Watching {
    pub fn new(console: &Console, out: &Path) -> Self {
        Self {
            console: *console,
            bar: console.steps("evaluate"),
            out: out.to_owned(),
            directions: Vec::new(),
            folders: Vec::new(),
            extremes: Vec::new(),
            started: Instant::now(),
            before: 0,
            told: Instant::now(),
        }
    }

    /// What stops the study, and shows how far methods are.
    pub fn control(&self, stop: Arc<AtomicBool>) -> Control {
        let bar = self.bar.clone();
        let steps = move |name: &str, progress: Progress| {
            bar.set_message(format!("{name} {}/{}", progress.done, progress.total));
        };
        Control {
            stop,
            steps: Some(Arc::new(steps)),
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn draw(&self, shown: &Shown<'_>) -> Result<(), elucid::Error> {
        let photo = Picture::from_image(shown.photo.picture().clone())?;
        let picture = examples::draw(&photo, shown.map, shown.boxes, shown.mask)?;
        examples::save(&self.folders[shown.method], shown.number, &picture)
    }
}

impl Watch for Watching {
    fn begun(&mut self, settings: &Settings, found: &Found) {
        let names: Vec<&str> = settings.methods.iter().map(|m| m.name.as_str()).collect();
        // The folder's study may have more metrics than this process was asked for.
        self.directions = metrics(settings)
            .map(|metrics| metrics.iter().map(|metric| metric.direction()).collect())
            .unwrap_or_default();
        self.folders = examples::folders(&self.out, &names);
        let rows = 0..names.len();
        self.extremes = rows
            .map(|row| Extremes::of(found, row, &self.directions))
            .collect();
        let [done, all] = found.cells();
        if done > 0 {
            let planned = found.planned().len();
            let images = found.images_done();
            self.console
                .note(format!("{images} of {planned} images are done"));
        }
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        self.bar.reset_eta();
        (self.started, self.told, self.before) = (Instant::now(), Instant::now(), done);
    }

    fn cell(&mut self, method: &str) {
        self.bar.set_message(method.to_owned());
    }

    fn cells(&mut self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        let new = done.saturating_sub(self.before);
        if new > 0 && self.told.elapsed() >= NEWS && !io::stderr().is_terminal() {
            self.told = Instant::now();
            let left = all.saturating_sub(done) as f64;
            let seconds = self.started.elapsed().as_secs_f64() * left / new as f64;
            self.console
                .note(format!("{done} of {all} cells, {} left", duration(seconds)));
        }
    }

    fn remark(&mut self, file: &str, text: &str) {
        // Where it is not in the log already.
        let (is_logged, text) = match file {
            "" => (
                enabled!(target: "elucid_study", Level::INFO),
                text.to_owned(),
            ),
            file => (
                enabled!(target: "elucid_study", Level::WARN),
                format!("{file}: {text}"),
            ),
        };
        if !is_logged {
            self.console.note(text);
        }
    }

    fn measured(&mut self, shown: &Shown<'_>) -> Result<(), String> {
        let values: Vec<Option<f64>> = shown.values.iter().map(Value::number).collect();
        let extremes = &mut self.extremes[shown.method];
        match extremes.add(shown.number, &values, &self.directions) {
            true => self.draw(shown).map_err(|error| error.to_string()),
            false => Ok(()),
        }
    }
}

/// A time for people.
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    match minutes {
        0..=1 => format!("{} s", seconds.ceil() as u64),
        2..=119 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn times_are_readable() {
        assert_eq!(duration(12.3), "13 s");
        assert_eq!(duration(600.0), "10 min");
        assert_eq!(duration(90_000.0), "25 h 0 min");
    }
}
