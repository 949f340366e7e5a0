//! All that is known of a study: its journals, summed up in as much memory as there are numbers.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::{CellRecord, ImageRecord, ImageState, Record, Session, Value};
use crate::plan::Planned;
use crate::settings::Settings;

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
    sessions: Vec<Session>,
}

impl Found {
    /// Nothing, of a study of `planned` images in order of their numbers.
    pub fn new(settings: &Settings, planned: Vec<Planned>) -> Self {
        let rows: Vec<String> = settings.rows().into_iter().map(str::to_owned).collect();
        let (images, metrics) = (planned.len(), settings.metrics.clone());
        Self {
            images: vec![None; images],
            values: vec![MISSING; images * rows.len() * metrics.len()],
            seconds: vec![f32::NAN; images * rows.len()],
            failures: BTreeMap::new(),
            sessions: Vec::new(),
            planned,
            rows,
            metrics,
        }
    }

    /// The images that are to be measured, in order of their numbers.
    pub fn planned(&self) -> &[Planned] {
        &self.planned
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

    /// Whether every metric of a method is there on an image, whatever came of it.
    pub fn is_measured(&self, image: usize, row: usize) -> bool {
        let start = (image * self.rows.len() + row) * self.metrics.len();
        let values = &self.values[start..start + self.metrics.len()];
        values.iter().all(|value| !value.is_nan())
    }

    /// Whether nothing is left to be done on an image.
    pub fn is_done(&self, image: usize) -> bool {
        match self.images[image] {
            None => false,
            Some(Image::Skipped(_)) => true,
            Some(Image::Seen { .. }) => {
                (0..self.rows.len()).all(|row| self.is_measured(image, row))
            }
        }
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

    /// How many cells of one image and one method there are, skipped images left out, and how many of them are
    /// done.
    pub fn cells(&self) -> [usize; 2] {
        let (mut done, mut all) = (0, 0);
        for (at, image) in self.images.iter().enumerate() {
            if !matches!(image, Some(Image::Skipped(_))) {
                all += self.rows.len();
                done += (0..self.rows.len())
                    .filter(|row| image.is_some() && self.is_measured(at, *row))
                    .count();
            }
        }
        [done, all]
    }

    /// Who measured.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// On what was measured, in words, where that was more than one device, precision or build.
    pub fn mixed(&self) -> Option<Vec<String>> {
        let kinds: BTreeSet<String> = (self.sessions.iter())
            .map(|session| {
                let Session {
                    device,
                    precision,
                    build,
                    ..
                } = session;
                let git = build.git.as_deref().unwrap_or("no commit");
                let dirty = (build.dirty.as_deref())
                    .map_or(String::new(), |at| format!(" with changes, built {at}"));
                let features = build.features.join(", ");
                format!(
                    "{device} in {precision} by elucid {} ({git}{dirty}; burn {}; {features})",
                    build.elucid, build.burn
                )
            })
            .collect();
        (kinds.len() > 1).then(|| kinds.into_iter().collect())
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
    }

    pub(crate) fn add_session(&mut self, session: Session) {
        self.sessions.push(session);
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
        let was_seen = matches!(self.images[at], Some(Image::Seen { .. }));
        if !(was_seen && matches!(image, Image::Skipped(_))) {
            self.images[at] = Some(image);
        }
        Ok(())
    }

    fn add_cell(&mut self, cell: &CellRecord) -> Result<(), String> {
        let row = self.rows.iter().position(|row| *row == cell.method);
        let row = row.ok_or_else(|| format!("the study has no method {}", cell.method))?;
        let columns = cell.metrics.iter().map(|metric| {
            let place = self.metrics.iter().position(|known| known == metric);
            place.ok_or_else(|| format!("the study has no metric {metric}"))
        });
        let columns: Vec<usize> = columns.collect::<Result<_, _>>()?;
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
            self.seconds[image * self.rows.len() + row] = found.seconds as f32;
            for (value, &metric) in found.values.iter().zip(&columns) {
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
                            self.failures.insert(place, reason.clone());
                        }
                        continue;
                    }
                };
                self.values[index] = number;
                self.failures.remove(&place);
            }
        }
        Ok(())
    }
}
