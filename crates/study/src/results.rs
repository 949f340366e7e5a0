//! The tables of what was found, made from the journals.

use std::path::Path;

use elucid_metrics::csv;
use serde::Serialize;

use crate::error::StudyError;
use crate::files::replace;
use crate::found::{Found, Place, State};
use crate::plan::Planned;
use crate::settings::Settings;

/// A line for each image and method.
pub const RESULTS: &str = "results.csv";
/// Images that could not be read.
pub const SKIPPED: &str = "skipped.csv";
/// Images of which something is odd.
pub const NOTES: &str = "notes.csv";
/// What ended with an error.
pub const FAILURES: &str = "failures.csv";

/// A row for each image, method and metric, as Parquet: the files' values with their types, for programs that take millions of them.
/// Columns are `image`, `file`, `class`, `label`, `predicted`, `probability`, `method`, `metric`, `state` (`value`, `not applicable` or
/// `failed`), `value` and, of what failed, `reason`; what nobody asked for, or is yet to be measured, has no row.
#[cfg(feature = "parquet")]
#[cfg_attr(docsrs, doc(cfg(feature = "parquet")))]
pub const PARQUET: &str = "results.parquet";

#[cfg(feature = "parquet")]
mod parquet;

/// What [`write()`] leaves in a folder.
pub const FILES: &[&str] = &[
    RESULTS,
    #[cfg(feature = "parquet")]
    PARQUET,
    SKIPPED,
    NOTES,
    FAILURES,
];

/// The columns in front of the metrics.
const COLUMNS: [&str; 5] = ["file", "class", "predicted", "probability", "method"];

/// What stands in the place of a value that failed.
const FAILED: &str = "failed";

/// Something to say of an image: why it was skipped, or what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// As the data name it.
    pub file: String,
    /// Its label.
    pub class: usize,
    /// What there is to say.
    pub reason: String,
}

impl Remark {
    /// Of each image that has one.
    pub fn each<'f>(
        remarks: impl Iterator<Item = (&'f Planned, &'f str)>,
    ) -> impl Iterator<Item = Self> {
        remarks.map(|(planned, reason)| Self {
            file: planned.file.clone(),
            class: planned.class,
            reason: reason.to_owned(),
        })
    }
}

/// A value that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// As the data name the image.
    pub file: String,
    /// The image's label.
    pub class: usize,
    /// The method or baseline.
    pub method: String,
    /// The metric.
    pub metric: String,
    /// What was said.
    pub reason: String,
}

impl Failure {
    /// Every value that failed.
    pub fn each(found: &Found) -> impl Iterator<Item = Self> {
        found.failures().iter().map(|(place, reason)| {
            let planned = &found.planned()[place.image];
            Self {
                file: planned.file.clone(),
                class: planned.class,
                method: found.rows()[place.row].clone(),
                metric: found.metrics()[place.metric].clone(),
                reason: reason.clone(),
            }
        })
    }
}

/// Writes what was found into its folder, file by file and line by line: [`FILES`].
///
/// # Errors
///
/// [`StudyError::File`].
pub fn write(folder: &Path, settings: &Settings, found: &Found) -> Result<(), StudyError> {
    let file = |name: &str, lines: &mut dyn Iterator<Item = String>| {
        let path = folder.join(name);
        replace(&path, |to| {
            for line in lines {
                (to.write_all(line.as_bytes())).map_err(StudyError::file("write", &path))?;
            }
            Ok(())
        })
    };
    let head = csv::line(["file", "class", "reason"]);
    let line = |Remark {
                    file,
                    class,
                    reason,
                }| csv::line([file, class.to_string(), reason]);
    let first = |head: &str| std::iter::once(head.to_owned());
    file(
        SKIPPED,
        &mut first(&head).chain(Remark::each(found.skipped()).map(line)),
    )?;
    file(
        NOTES,
        &mut first(&head).chain(Remark::each(found.notes()).map(line)),
    )?;
    let failures = Failure::each(found).map(|failure| {
        let Failure {
            file,
            class,
            method,
            metric,
            reason,
        } = failure;
        csv::line([file, class.to_string(), method, metric, reason])
    });
    let head = csv::line(["file", "class", "method", "metric", "reason"]);
    file(FAILURES, &mut first(&head).chain(failures))?;
    let metrics = settings.metrics.iter().map(String::as_str);
    let head = csv::line(COLUMNS.into_iter().chain(metrics).chain(["seconds"]));
    let lines = found.seen().flat_map(|(image, predicted, probability)| {
        let measured = (0..found.rows().len()).filter(move |&row| found.is_begun(image, row));
        measured.map(move |row| {
            let planned = &found.planned()[image];
            let mut cells = vec![
                planned.file.clone(),
                planned.class.to_string(),
                predicted.to_string(),
                probability.to_string(),
                found.rows()[row].clone(),
            ];
            cells.extend((0..found.metrics().len()).map(|metric| {
                match found.state(Place { image, row, metric }) {
                    State::Number(number) => number.to_string(),
                    State::Failed => FAILED.to_owned(),
                    State::NotApplicable | State::Missing => String::new(),
                }
            }));
            let seconds = found.seconds(image, row).unwrap_or_default();
            cells.push(format!("{seconds:.6}"));
            csv::line(cells)
        })
    });
    file(RESULTS, &mut first(&head).chain(lines))?;
    #[cfg(feature = "parquet")]
    parquet::write(folder, settings, found)?;
    Ok(())
}
