//! Studies of one network over the same images, side by side: what was measured in one folder can be compared with what was
//! measured in another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::StudyError;
use crate::folder;
use crate::found::{Found, Image};
use crate::growth::Growth;
use crate::journal::Session;
use crate::sample::chosen;
use crate::shard::refusal;

/// The numbers of one study, or of several that differ in nothing but what they measured and on which of the images.
#[derive(Debug)]
pub struct Studies {
    each: Vec<Shown>,
    rows: Vec<String>,
    metrics: Vec<String>,
    /// The images' numbers in the data with their files, in order.
    images: BTreeMap<usize, String>,
    seed: u64,
}

/// One of them, with where it has the rows and metrics of all.
#[derive(Debug)]
struct Shown {
    found: Found,
    rows: Vec<Option<usize>>,
    metrics: Vec<Option<usize>>,
}

impl Studies {
    /// Reads the folders. Devices, precisions and builds may differ, which [`Studies::mixed`] says.
    ///
    /// # Errors
    ///
    /// [`StudyError::Merge`] where a folder has another network, other images or another seed than the first, or a method or
    /// metric of the same name with other options; [`StudyError::Empty`] without folders; and whatever reading them meets.
    pub fn read(folders: &[PathBuf]) -> Result<Self, StudyError> {
        let Some((first, others)) = folders.split_first() else {
            return Err(StudyError::Empty("there is no study to read".to_owned()));
        };
        // What all folders read so far have.
        let (mut settings, found) = folder::read(first)?;
        let mut read = vec![found];
        for folder in others {
            let (other, found) = folder::read(folder)?;
            let growth = match other.check_beside(&settings, folder) {
                Ok(()) => Growth::of(&other, &settings, folder),
                Err(error) => Err(error),
            };
            let growth = growth.map_err(|error| refusal(first, folder, error))?;
            growth.add_to(&mut settings);
            read.push(found);
        }
        let mut images = BTreeMap::new();
        for found in &read {
            let planned = found.planned().iter();
            images.extend(planned.map(|planned| (planned.number, planned.file.clone())));
        }
        let rows: Vec<String> = settings.rows().into_iter().map(str::to_owned).collect();
        let metrics = settings.metrics;
        let places = |all: &[String], own: &[String]| {
            let place = |name: &String| own.iter().position(|known| known == name);
            all.iter().map(place).collect::<Vec<_>>()
        };
        let each = read.into_iter().map(|found| Shown {
            rows: places(&rows, found.rows()),
            metrics: places(&metrics, found.metrics()),
            found,
        });
        Ok(Self {
            each: each.collect(),
            rows,
            metrics,
            images,
            seed: settings.seed,
        })
    }

    /// Leaves only some images: numbers in the data from 0, ranges such as `0-99` and names of files, with commas between them.
    ///
    /// # Errors
    ///
    /// [`StudyError::Entry`] for what is none of them, and for images that no study has.
    pub fn only(mut self, images: &str) -> Result<Self, StudyError> {
        let mut left = BTreeMap::new();
        for entry in images.split(',').map(str::trim) {
            let known = self.images.iter();
            let numbers = chosen(entry, known.map(|(&number, file)| (number, file.as_str())));
            for number in numbers.map_err(StudyError::Entry)? {
                left.insert(number, self.images[&number].clone());
            }
        }
        self.images = left;
        Ok(self)
    }

    /// Names of the methods and baselines.
    pub fn rows(&self) -> &[String] {
        &self.rows
    }

    /// Names of the metrics.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// The images' numbers in the data, in order.
    pub fn images(&self) -> impl Iterator<Item = usize> {
        self.images.keys().copied()
    }

    /// Where random numbers began.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of an image, by its number in the data, under a row and a metric: the first folder's that has one and saw
    /// the image.
    pub fn number(&self, image: usize, row: usize, metric: usize) -> Option<f64> {
        self.each.iter().find_map(|study| {
            let (row, metric) = (study.rows[row]?, study.metrics[metric]?);
            let image = study.found.image_of(image)?;
            match study.found.image(image)? {
                Image::Seen { .. } => study.found.number(image, row, metric),
                Image::Skipped(_) => None,
            }
        })
    }

    /// On what was measured, in words, where that was more than one device, precision or build.
    pub fn mixed(&self) -> Option<Vec<String>> {
        let sessions = self.each.iter().flat_map(|study| study.found.sessions());
        let sessions: Vec<Session> = sessions.cloned().collect();
        Session::mixed(&sessions)
    }
}
