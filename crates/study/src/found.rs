//! All that is known of a study: its journals, summed up in as much memory as there are numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::{CellRecord, ImageRecord, ImageState, Record, Session, Value};
use crate::part::{Part, Wanted};
use crate::plan::Planned;
use crate::settings::Settings;

use self::kept::Kept;

mod kept;

/// What is known of an image by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Image {
    /// The network saw it.
    Seen {
        /// The network's best guess.
        predicted: usize,
        /// The guess's probability.
        probability: f32,
        /// What is odd about it.
        note: Option<String>,
    },
    /// It could not be read, and why.
    Skipped(String),
}

/// Where a value belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Of the image in [`Found::planned`].
    pub image: usize,
    /// Of the method or baseline in [`Settings::rows`].
    pub row: usize,
    /// Of the metric in [`Settings::metrics`].
    pub metric: usize,
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum State {
    /// Nothing yet.
    Missing,
    /// The metric had nothing to say.
    NotApplicable,
    /// The method or the metric ended with an error: [`Found::failures`].
    Failed,
    /// A finite number.
    Number(f64),
}

/// Values are finite numbers, so that others stand for what is none: eight bytes for each value, of which there
/// are millions.
const MISSING: f64 = f64::NAN;
const NOT_APPLICABLE: f64 = f64::INFINITY;
const FAILED: f64 = f64::NEG_INFINITY;

/// All that is known of a study.
#[derive(Debug, Clone)]
pub struct Found {
    planned: Vec<Planned>,
    rows: Vec<String>,
    metrics: Vec<String>,
    images: Vec<Option<Image>>,
    /// By image, row and metric.
    values: Vec<f64>,
    /// By image and row; NaN where there is none.
    seconds: Vec<f32>,
    failures: BTreeMap<Place, String>,
    /// Which maps are kept, asked for by row, in places by image and row.
    maps: Kept,
    /// Which curves are kept, asked for by metric, in places as those of values.
    curves: Kept,
    sessions: Vec<Session>,
    wanted: Wanted,
    /// Methods and metrics that the study has besides.
    others: BTreeSet<String>,
    counts: Counts,
}

/// What is counted as records come: whoever asks for it after each cell must not look at every value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    /// Images that could not be read.
    skipped: usize,
    /// Cells of one image and one row on them.
    skipped_cells: usize,
    /// Cells of all images.
    cells: usize,
    /// Images on which nothing is left to be done.
    done: usize,
    /// By image: how many of the rows that are asked for are measured, seen or not.
    measured: Vec<usize>,
    /// By row: on how many of the images that were seen it is measured.
    rows: Vec<usize>,
    /// By row: how many values failed.
    failed: Vec<usize>,
}

impl Counts {
    fn none(images: usize, rows: usize) -> Self {
        Self {
            skipped: 0,
            skipped_cells: 0,
            cells: 0,
            done: 0,
            measured: vec![0; images],
            rows: vec![0; rows],
            failed: vec![0; rows],
        }
    }
}

impl Found {
    /// Nothing, of a study of `planned` images in order of their numbers.
    pub fn new(settings: &Settings, planned: Vec<Planned>) -> Self {
        let rows = settings.rows().into_iter().map(str::to_owned).collect();
        Self::of(
            rows,
            settings.metrics.clone(),
            planned,
            &settings.all_parts(),
        )
    }

    fn of(rows: Vec<String>, metrics: Vec<String>, planned: Vec<Planned>, parts: &[Part]) -> Self {
        let images = planned.len();
        let mut found = Self {
            images: vec![None; images],
            values: vec![MISSING; images * rows.len() * metrics.len()],
            seconds: vec![f32::NAN; images * rows.len()],
            failures: BTreeMap::new(),
            maps: Kept::default(),
            curves: Kept::default(),
            sessions: Vec::new(),
            wanted: Wanted::of(parts, &rows, &metrics, &planned),
            others: BTreeSet::new(),
            counts: Counts::none(images, rows.len()),
            planned,
            rows,
            metrics,
        };
        found.count();
        found
    }

    /// From now on only `parts` are asked for: images are done, and cells counted, without the rest.
    pub(crate) fn ask_for(&mut self, parts: &[Part]) {
        self.wanted = Wanted::of(parts, &self.rows, &self.metrics, &self.planned);
        self.count();
    }

    /// The study has these methods and metrics besides; what is found out of them is left out.
    pub(crate) fn add_others(&mut self, names: impl IntoIterator<Item = String>) {
        self.others.extend(names);
    }

    /// Whether a record speaks of methods or metrics of which nothing is known.
    pub(crate) fn is_strange(&self, record: &Record) -> bool {
        let Record::Cell(cell) = record else {
            return false;
        };
        let is_known =
            |names: &[String], name: &String| names.contains(name) || self.others.contains(name);
        !is_known(&self.rows, &cell.method)
            || !cell
                .metrics
                .iter()
                .all(|metric| is_known(&self.metrics, metric))
    }

    /// Whether anything is asked for on an image under a method or baseline.
    pub fn is_wanted(&self, image: usize, row: usize) -> bool {
        self.wanted.has(image, row)
    }

    /// On how many images that could be read, or may be yet, something is asked for under a method or baseline.
    pub fn images_wanted(&self, row: usize) -> usize {
        let images = self.images.iter().enumerate();
        let images = images.filter(|(_, image)| !matches!(image, Some(Image::Skipped(_))));
        images.filter(|(at, _)| self.is_wanted(*at, row)).count()
    }

    /// Whether anything is known of an image under a method or baseline.
    pub fn is_begun(&self, image: usize, row: usize) -> bool {
        let start = (image * self.rows.len() + row) * self.metrics.len();
        let values = &self.values[start..start + self.metrics.len()];
        values.iter().any(|value| !value.is_nan())
    }

    /// The images that are to be measured, in order of their numbers.
    pub fn planned(&self) -> &[Planned] {
        &self.planned
    }

    /// On how many of them anything is asked for.
    pub fn images_asked(&self) -> usize {
        self.wanted.images()
    }

    /// Names of the methods and baselines.
    pub fn rows(&self) -> &[String] {
        &self.rows
    }

    /// Names of the metrics.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// Where in [`Found::planned`] an image stands.
    pub fn image_of(&self, number: usize) -> Option<usize> {
        let found = self.planned.binary_search_by_key(&number, |p| p.number);
        found.ok()
    }

    /// What is known of an image by itself, by its place in [`Found::planned`].
    pub fn image(&self, image: usize) -> Option<&Image> {
        self.images[image].as_ref()
    }

    fn index(&self, place: Place) -> usize {
        (place.image * self.rows.len() + place.row) * self.metrics.len() + place.metric
    }

    /// What is known of a value.
    pub fn state(&self, place: Place) -> State {
        match self.values[self.index(place)] {
            NOT_APPLICABLE => State::NotApplicable,
            FAILED => State::Failed,
            number if number.is_nan() => State::Missing,
            number => State::Number(number),
        }
    }

    /// The number at a place, if there is one.
    pub fn number(&self, image: usize, row: usize, metric: usize) -> Option<f64> {
        match self.state(Place { image, row, metric }) {
            State::Number(number) => Some(number),
            _ => None,
        }
    }

    /// What attributing took, in seconds.
    pub fn seconds(&self, image: usize, row: usize) -> Option<f64> {
        let seconds = self.seconds[image * self.rows.len() + row];
        (!seconds.is_nan()).then_some(f64::from(seconds))
    }

    /// What attributing took for one image under a method, in seconds: the mean over the images that were seen and took any
    /// time at all, since what failed took none that could be told. `None` where there is no such image.
    pub fn seconds_per_image(&self, row: usize) -> Option<f64> {
        let seconds = (self.seen()).filter_map(|(image, ..)| self.seconds(image, row));
        let (count, sum) = seconds
            .filter(|&seconds| seconds > 0.0)
            .fold((0, 0.0), |(count, sum), seconds| (count + 1, sum + seconds));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Whether every metric that is asked for of a method is there on an image, whatever came of it, and its map and curves if they
    /// are to be kept.
    pub fn is_measured(&self, image: usize, row: usize) -> bool {
        let mut lacking = self.lacking(image, row);
        lacking.next().is_none() && !self.lacks_map(image, row)
    }

    /// The metrics that are asked for and not measured yet on an image under a method.
    pub fn lacking(&self, image: usize, row: usize) -> impl Iterator<Item = usize> {
        let start = (image * self.rows.len() + row) * self.metrics.len();
        let values = &self.values[start..start + self.metrics.len()];
        let values = values.iter().zip(self.wanted.row(image, row)).enumerate();
        values.filter_map(move |(metric, (value, wanted))| {
            let is_lacking = || value.is_nan() || self.lacks_curve(Place { image, row, metric });
            (*wanted && is_lacking()).then_some(metric)
        })
    }

    /// Whether every metric that is asked for of a method failed on an image, as it does where the method itself fails.
    fn has_failed(&self, image: usize, row: usize) -> bool {
        let start = (image * self.rows.len() + row) * self.metrics.len();
        let values = &self.values[start..start + self.metrics.len()];
        let mut values = values.iter().zip(self.wanted.row(image, row));
        values.all(|(value, wanted)| !*wanted || *value == FAILED)
    }

    /// Whether nothing is left to be done on an image.
    pub fn is_done(&self, image: usize) -> bool {
        match self.images[image] {
            _ if self.wanted.count(image) == 0 => true,
            None => false,
            Some(Image::Skipped(_)) => true,
            Some(Image::Seen { .. }) => self.counts.measured[image] == self.wanted.count(image),
        }
    }

    /// On how many images nothing is left to be done, skipped ones among them.
    pub fn images_done(&self) -> usize {
        self.counts.done
    }

    /// On how many of the images that were seen a method is measured, whatever came of it.
    pub fn images_measured(&self, row: usize) -> usize {
        self.counts.rows[row]
    }

    /// How many values of a method failed.
    pub fn values_failed(&self, row: usize) -> usize {
        self.counts.failed[row]
    }

    /// The images that were seen, by their places.
    pub fn seen(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let images = self.images.iter().enumerate();
        images.filter_map(|(at, image)| match image {
            Some(Image::Seen {
                predicted,
                probability,
                ..
            }) => Some((at, *predicted, *probability)),
            _ => None,
        })
    }

    /// Images that could not be read, with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&Planned, &str)> {
        let images = self.planned.iter().zip(&self.images);
        images.filter_map(|(planned, image)| match image {
            Some(Image::Skipped(reason)) => Some((planned, reason.as_str())),
            _ => None,
        })
    }

    /// Images of which something is odd, with what.
    pub fn notes(&self) -> impl Iterator<Item = (&Planned, &str)> {
        let images = self.planned.iter().zip(&self.images);
        images.filter_map(|(planned, image)| match image {
            Some(Image::Seen {
                note: Some(note), ..
            }) => Some((planned, note.as_str())),
            _ => None,
        })
    }

    /// What failed, with the reason, by image, method and metric.
    pub fn failures(&self) -> &BTreeMap<Place, String> {
        &self.failures
    }

    /// How many cells of one image and one method are asked for, skipped images left out, and how many of them are
    /// done.
    pub fn cells(&self) -> [usize; 2] {
        let all = self.counts.cells - self.counts.skipped_cells;
        [self.counts.rows.iter().sum(), all]
    }

    /// Who measured.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// On what was measured, in words, where that was more than one device, precision or build.
    pub fn mixed(&self) -> Option<Vec<String>> {
        Session::mixed(&self.sessions)
    }

    /// Forgets what failed and what was skipped, so that it is tried again.
    pub fn retry_failed(&mut self) {
        for place in std::mem::take(&mut self.failures).into_keys() {
            let index = self.index(place);
            self.values[index] = MISSING;
        }
        for image in &mut self.images {
            if matches!(image, Some(Image::Skipped(_))) {
                *image = None;
            }
        }
        self.count();
    }

    /// Counts everything anew.
    fn count(&mut self) {
        let mut counts = Counts::none(self.planned.len(), self.rows.len());
        for (at, image) in self.images.iter().enumerate() {
            let is_seen = matches!(image, Some(Image::Seen { .. }));
            for row in (0..self.rows.len()).filter(|&row| self.is_wanted(at, row)) {
                let is_measured = self.is_measured(at, row);
                counts.measured[at] += usize::from(is_measured);
                counts.rows[row] += usize::from(is_measured && is_seen);
            }
            let cells = self.wanted.count(at);
            let is_skipped = matches!(image, Some(Image::Skipped(_)));
            let is_whole = cells == 0 || is_seen && counts.measured[at] == cells;
            counts.cells += cells;
            counts.skipped += usize::from(is_skipped);
            counts.skipped_cells += if is_skipped { cells } else { 0 };
            counts.done += usize::from(is_skipped || is_whole);
        }
        for place in self.failures.keys() {
            counts.failed[place.row] += 1;
        }
        self.counts = counts;
    }

    /// Takes a record into account: of several of one thing the last, but never a failure for what was measured.
    ///
    /// # Errors
    ///
    /// What the record says that this study knows nothing of. Images beyond a limit are left out.
    pub fn add(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Session(session) => self.sessions.push(session),
            Record::Images(images) => {
                for image in images {
                    self.add_image(image)?;
                }
            }
            Record::Cell(cell) => self.add_cell(&cell)?,
        }
        Ok(())
    }

    fn add_image(&mut self, record: ImageRecord) -> Result<(), String> {
        let Some(at) = self.image_of(record.image) else {
            return Ok(());
        };
        let planned = &self.planned[at];
        if (&planned.file, planned.class) != (&record.file, record.class) {
            return Err(format!(
                "image {} is {} of class {} here, and {} of class {} in {}",
                record.image,
                record.file,
                record.class,
                planned.file,
                planned.class,
                crate::plan::IMAGES
            ));
        }
        let image = match record.state {
            ImageState::Skipped(reason) => Image::Skipped(reason),
            ImageState::Seen {
                predicted,
                probability,
                note,
            } => Image::Seen {
                predicted,
                probability,
                note,
            },
        };
        self.set_image(at, image);
        Ok(())
    }

    /// What was seen stays so.
    fn set_image(&mut self, at: usize, image: Image) {
        let is_seen = matches!(image, Image::Seen { .. });
        let was_done = self.is_done(at);
        match &self.images[at] {
            Some(Image::Seen { .. }) => {
                if is_seen {
                    self.images[at] = Some(image);
                }
                return;
            }
            Some(Image::Skipped(_)) => {
                self.counts.skipped -= 1;
                self.counts.skipped_cells -= self.wanted.count(at);
            }
            None => {}
        }
        self.images[at] = Some(image);
        if is_seen {
            for row in (0..self.rows.len()).filter(|&row| self.wanted.has(at, row)) {
                self.counts.rows[row] += usize::from(self.is_measured(at, row));
            }
        } else {
            self.counts.skipped += 1;
            self.counts.skipped_cells += self.wanted.count(at);
        }
        self.counts.done -= usize::from(was_done);
        self.counts.done += usize::from(self.is_done(at));
    }

    fn add_cell(&mut self, cell: &CellRecord) -> Result<(), String> {
        let place = |what: &str, names: &[String], name: &String| match names
            .iter()
            .position(|known| known == name)
        {
            None if !self.others.contains(name) => Err(format!("the study has no {what} {name}")),
            place => Ok(place),
        };
        let columns = cell
            .metrics
            .iter()
            .map(|metric| place("metric", &self.metrics, metric));
        let columns: Vec<Option<usize>> = columns.collect::<Result<_, _>>()?;
        let Some(row) = place("method", &self.rows, &cell.method)? else {
            return Ok(());
        };
        let file = (cell.maps.as_ref()).map(|name| self.maps.file_of(name, self.seconds.len()));
        let curves =
            (cell.curves.as_ref()).map(|name| self.curves.file_of(name, self.values.len()));
        for found in &cell.rows {
            if found.values.len() != columns.len() {
                return Err(format!(
                    "image {} has not a value for each metric",
                    found.image
                ));
            }
            let Some(image) = self.image_of(found.image) else {
                continue;
            };
            let has_failed = |value: &Value| matches!(value, Value::Failed(_));
            let seconds = &mut self.seconds[image * self.rows.len() + row];
            if seconds.is_nan() || !found.values.iter().all(has_failed) {
                *seconds = found.seconds as f32;
            }
            let was_measured = self.is_measured(image, row);
            for (value, metric) in found.values.iter().zip(&columns) {
                let &Some(metric) = metric else {
                    continue;
                };
                let place = Place { image, row, metric };
                let index = self.index(place);
                let number = match value {
                    Value::Number(number) if number.is_finite() => *number,
                    Value::Number(number) => return Err(format!("{number} is no finite number")),
                    Value::NotApplicable(_) => NOT_APPLICABLE,
                    Value::Failed(reason) => {
                        let before = self.values[index];
                        if before.is_nan() || before == FAILED {
                            self.values[index] = FAILED;
                            let known = self.failures.insert(place, reason.clone());
                            self.counts.failed[row] += usize::from(known.is_none());
                        }
                        continue;
                    }
                };
                self.values[index] = number;
                if let (Some(file), Value::Number(_)) = (curves, value) {
                    self.curves.set(index, file);
                }
                let known = self.failures.remove(&place);
                self.counts.failed[row] -= usize::from(known.is_some());
            }
            if let Some(file) = file {
                self.maps.set(image * self.rows.len() + row, file);
            }
            if !was_measured && self.is_measured(image, row) && self.is_wanted(image, row) {
                self.counts.measured[image] += 1;
                if matches!(self.images[image], Some(Image::Seen { .. })) {
                    self.counts.rows[row] += 1;
                    self.counts.done += usize::from(self.is_done(image));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
