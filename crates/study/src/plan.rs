//! The images of a study or a shard, by what the results call them.

use std::fs;
use std::path::Path;

use elucid_metrics::csv;

use crate::data::Item;
use crate::error::StudyError;
use crate::files::replace;

/// The list of them in the folder.
pub const IMAGES: &str = "images.csv";

/// An image that is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its place in the data, from 0.
    pub number: usize,
    /// As the data name it.
    pub file: String,
    /// Its label.
    pub class: usize,
}

impl From<&Item> for Planned {
    fn from(item: &Item) -> Self {
        Self {
            number: item.number,
            file: item.file.clone(),
            class: item.class,
        }
    }
}

/// Writes the list.
pub(crate) fn write(folder: &Path, planned: &[Planned]) -> Result<(), StudyError> {
    let path = folder.join(IMAGES);
    replace(&path, |to| {
        let cannot = StudyError::file("write", &path);
        let head = csv::line(["number", "file", "class"]);
        to.write_all(head.as_bytes()).map_err(&cannot)?;
        for planned in planned {
            let (number, class) = (planned.number.to_string(), planned.class.to_string());
            let line = csv::line([&number, &planned.file, &class]);
            to.write_all(line.as_bytes()).map_err(&cannot)?;
        }
        Ok(())
    })
}

/// Reads the list of a folder, of which the first `total` images of the data are asked for. The list may go on: it grows before
/// the settings do.
///
/// # Errors
///
/// [`StudyError::File`] and [`StudyError::Damaged`].
pub(crate) fn read(folder: &Path, total: usize) -> Result<Vec<Planned>, StudyError> {
    let path = folder.join(IMAGES);
    let bytes = fs::read(&path).map_err(StudyError::file("read", &path))?;
    let records = csv::parse(&bytes);
    let listed = records.iter().skip(1).map(|record| {
        let damaged = |reason: &str| StudyError::Damaged {
            path: path.clone(),
            line: record.line,
            reason: reason.to_owned(),
        };
        let [number, file, class] = &record.cells[..] else {
            return Err(damaged("expected three cells"));
        };
        match (number.parse(), class.parse()) {
            (Ok(number), Ok(class)) => Ok(Planned {
                number,
                file: file.clone(),
                class,
            }),
            _ => Err(damaged("a number is none")),
        }
    });
    let mut planned: Vec<Planned> = listed.collect::<Result<_, _>>()?;
    planned.retain(|planned| planned.number < total);
    Ok(planned)
}
