//! The results as they grow: a line for each image and method, whole batches at a time.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use elucid::render::file::write_atomically;
use serde::Serialize;

use super::data::Item;
use super::settings::Settings;
use crate::error::CliError;
use crate::settings::{self, SETTINGS};
use elucid::metrics::csv;

pub const RESULTS: &str = "results.csv";
pub const SKIPPED: &str = "skipped.csv";
pub const NOTES: &str = "notes.csv";
/// The images that this run or shard is to measure.
pub const IMAGES: &str = "images.csv";

/// The columns in front of the metrics.
const COLUMNS: [&str; 5] = ["file", "class", "predicted", "probability", "method"];

/// An image that is to be measured, by what the results call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its place in the data, from 0.
    pub number: usize,
    pub file: String,
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

/// What was found out about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Its place in the data.
    pub number: usize,
    /// The network's best guess, and its probability.
    pub predicted: usize,
    pub probability: f32,
    /// One row for each method and baseline.
    pub rows: Vec<Row>,
}

/// What was found out about one method on one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One value for each metric, where it is applicable.
    pub values: Vec<Option<f64>>,
    /// What attributing took.
    pub seconds: f64,
}

/// Something to say of an image: why it was skipped, or what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    #[serde(skip)]
    pub number: usize,
    pub file: String,
    pub class: usize,
    pub reason: String,
}

/// All that a folder holds.
#[derive(Debug, Default)]
pub struct Found {
    pub measured: Vec<Measured>,
    pub skipped: Vec<Remark>,
    pub notes: Vec<Remark>,
}

impl Measured {
    /// Its lines.
    pub fn lines(&self, planned: &Planned, methods: &[&str]) -> String {
        let lines = methods.iter().zip(&self.rows).map(|(method, row)| {
            let mut cells = vec![
                planned.file.clone(),
                planned.class.to_string(),
                self.predicted.to_string(),
                self.probability.to_string(),
                (*method).to_owned(),
            ];
            let value = |value: &Option<f64>| value.map_or(String::new(), |v| v.to_string());
            cells.extend(row.values.iter().map(value));
            cells.push(format!("{:.6}", row.seconds));
            csv::line(cells)
        });
        lines.collect()
    }
}

/// The line in front of the results.
pub fn head(settings: &Settings) -> String {
    let metrics = settings.metrics.iter().map(String::as_str);
    csv::line(COLUMNS.into_iter().chain(metrics).chain(["seconds"]))
}

/// Remarks as a file.
pub fn remarks(remarks: &[Remark]) -> String {
    let lines = remarks.iter().map(|remark| {
        let class = remark.class.to_string();
        csv::line([&remark.file, &class, &remark.reason])
    });
    csv::line(["file", "class", "reason"]) + &lines.collect::<String>()
}

/// Planned images as a file.
pub fn images(planned: &[Planned]) -> String {
    let lines = planned.iter().map(|p| {
        let (number, class) = (p.number.to_string(), p.class.to_string());
        csv::line([&number, &p.file, &class])
    });
    csv::line(["number", "file", "class"]) + &lines.collect::<String>()
}

/// Reads which images a folder was to measure.
pub fn read_images(folder: &Path) -> Result<Vec<Planned>, CliError> {
    let path = folder.join(IMAGES);
    let bytes =
        fs::read(&path).map_err(|e| CliError::io(format!("cannot read {}", path.display()), &e))?;
    let records = csv::parse(&bytes);
    let planned = records.iter().skip(1).map(|record| {
        let [number, file, class] = &record.cells[..] else {
            return Err(damaged(&path, record.line, "expected three cells"));
        };
        match (number.parse(), class.parse()) {
            (Ok(number), Ok(class)) => Ok(Planned {
                number,
                file: file.clone(),
                class,
            }),
            _ => Err(damaged(&path, record.line, "a number is none")),
        }
    });
    planned.collect()
}

fn damaged(path: &Path, line: usize, what: &str) -> CliError {
    CliError::Failure(format!("{}, line {line}: {what}", path.display()))
}

/// What a folder holds of the planned images, and where in the results the lines of each measured
/// image end.
struct Scan {
    found: Found,
    ends: Vec<usize>,
}

/// Reads a folder's results. A torn last line, and an image of which lines are missing at the end,
/// are as if they were not there.
pub fn read(folder: &Path, settings: &Settings, planned: &[Planned]) -> Result<Found, CliError> {
    Ok(scan(folder, settings, planned)?.found)
}

fn scan(folder: &Path, settings: &Settings, planned: &[Planned]) -> Result<Scan, CliError> {
    let numbers: HashMap<(&str, usize), usize> = planned
        .iter()
        .map(|p| ((p.file.as_str(), p.class), p.number))
        .collect();
    let mut found = Found {
        skipped: read_remarks(&folder.join(SKIPPED), &numbers)?,
        notes: read_remarks(&folder.join(NOTES), &numbers)?,
        ..Found::default()
    };
    let path = folder.join(RESULTS);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|e| CliError::io(format!("cannot read {}", path.display()), &e))?,
    };
    let mut records = csv::parse(&bytes);
    records.retain(|record| record.ended);
    let expected = head(settings);
    match records.first() {
        Some(first) if csv::line(&first.cells) != expected => {
            return Err(damaged(&path, first.line, &format!("expected {expected}")));
        }
        _ => {}
    }
    let methods = settings.rows();
    let mut ends = Vec::new();
    let mut seen = HashSet::new();
    let lines = records.get(1..).unwrap_or_default();
    for lines in lines.chunks(methods.len()) {
        let mut measured: Option<Measured> = None;
        for (method, record) in methods.iter().zip(lines) {
            let wrong = |what: &str| damaged(&path, record.line, what);
            let cells = &record.cells;
            if cells.len() != COLUMNS.len() + settings.metrics.len() + 1 {
                return Err(wrong(&format!(
                    "{} cells are too few or too many",
                    cells.len()
                )));
            }
            let class = cells[1]
                .parse()
                .map_err(|_| wrong("the class is no number"))?;
            let number = *(numbers.get(&(cells[0].as_str(), class)))
                .ok_or_else(|| wrong("the image is not one of those to be measured"))?;
            if cells[4] != *method {
                return Err(wrong(&format!("expected the method {method}")));
            }
            let number_in = |cell: &str| cell.parse::<f64>().map_err(|_| wrong("no number"));
            let values = cells[COLUMNS.len()..cells.len() - 1].iter();
            let values = values.map(|cell| match cell.as_str() {
                "" => Ok(None),
                cell => number_in(cell).map(Some),
            });
            let row = Row {
                values: values.collect::<Result<_, _>>()?,
                seconds: number_in(&cells[cells.len() - 1])?,
            };
            match &mut measured {
                Some(image) if image.number == number => image.rows.push(row),
                Some(_) => return Err(wrong("lines of an image are missing")),
                None => {
                    measured = Some(Measured {
                        number,
                        predicted: (cells[2].parse()).map_err(|_| wrong("no class"))?,
                        probability: (cells[3].parse()).map_err(|_| wrong("no probability"))?,
                        rows: vec![row],
                    });
                }
            }
        }
        let whole = measured.filter(|image| image.rows.len() == methods.len());
        if let (Some(image), Some(last)) = (whole, lines.last()) {
            if !seen.insert(image.number) {
                return Err(damaged(&path, last.line, "an image stands here again"));
            }
            found.measured.push(image);
            ends.push(last.end);
        }
    }
    // An image that was skipped has no lines.
    found
        .skipped
        .retain(|remark| !seen.contains(&remark.number));
    Ok(Scan { found, ends })
}

fn read_remarks(
    path: &Path,
    numbers: &HashMap<(&str, usize), usize>,
) -> Result<Vec<Remark>, CliError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|e| CliError::io(format!("cannot read {}", path.display()), &e))?,
    };
    let records = csv::parse(&bytes);
    let remarks = records.into_iter().skip(1).filter(|record| record.ended);
    let remarks = remarks.map(|record| {
        let known = match &record.cells[..] {
            [file, class, reason] => class.parse().ok().and_then(|class: usize| {
                let number = *numbers.get(&(file.as_str(), class))?;
                Some(Remark {
                    number,
                    file: file.clone(),
                    class,
                    reason: reason.clone(),
                })
            }),
            _ => None,
        };
        known.ok_or_else(|| damaged(path, record.line, "no image that was to be measured"))
    });
    remarks.collect()
}

/// A folder that results are being added to.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    results: File,
    /// How many of the planned images are done.
    pub done: usize,
}

impl Journal {
    /// Begins in a folder that is new or empty, or goes on with what is there where `resume` allows
    /// it. Images of which lines may be missing, and those that shared a batch with them, are
    /// measured again: a batch is always made of the same images.
    pub fn open(
        folder: &Path,
        settings: &Settings,
        planned: &[Planned],
        resume: bool,
        batch: usize,
    ) -> Result<(Self, Found), CliError> {
        let shown = folder.display();
        let cannot = |error: &io::Error| CliError::io(format!("cannot write {shown}"), error);
        fs::create_dir_all(folder).map_err(|e| cannot(&e))?;
        let is_empty = fs::read_dir(folder)
            .map_err(|e| cannot(&e))?
            .next()
            .is_none();
        if !is_empty {
            check_resumable(folder, settings, resume)?;
        }
        let path = folder.join(RESULTS);
        let results = OpenOptions::new().create(true).append(true).open(&path);
        let results = results.map_err(|e| cannot(&e))?;
        settings::lock(&results, folder)?;
        write_atomically(folder.join(SETTINGS), &settings::to_bytes(settings)?)?;
        write_atomically(folder.join(IMAGES), images(planned).as_bytes())?;

        let Scan { mut found, ends } = scan(folder, settings, planned)?;
        let known: HashSet<usize> = (found.measured.iter().map(|m| m.number))
            .chain(found.skipped.iter().map(|remark| remark.number))
            .collect();
        let done = planned.iter().take_while(|p| known.contains(&p.number));
        let done = match done.count() {
            done if done == planned.len() => done,
            done => done - done % batch,
        };
        let kept: HashSet<usize> = planned[..done].iter().map(|p| p.number).collect();
        found.measured.retain(|image| kept.contains(&image.number));
        found.skipped.retain(|remark| kept.contains(&remark.number));
        found.notes.retain(|remark| kept.contains(&remark.number));
        let mut journal = Self {
            folder: folder.to_owned(),
            results,
            done,
        };
        write_atomically(folder.join(SKIPPED), remarks(&found.skipped).as_bytes())?;
        write_atomically(folder.join(NOTES), remarks(&found.notes).as_bytes())?;
        match found
            .measured
            .len()
            .checked_sub(1)
            .and_then(|last| ends.get(last))
        {
            Some(&end) => journal.results.set_len(end as u64),
            None => (journal.results.set_len(0))
                .and_then(|()| journal.results.write_all(head(settings).as_bytes())),
        }
        .map_err(|e| cannot(&e))?;
        Ok((journal, found))
    }

    /// Adds a batch, remarks first: an image is done when it has lines or was skipped.
    pub fn add(
        &mut self,
        images: usize,
        lines: &str,
        skipped: &[Remark],
        notes: &[Remark],
    ) -> Result<(), CliError> {
        self.add_remarks(NOTES, notes)?;
        let written =
            (self.results.write_all(lines.as_bytes())).and_then(|()| self.results.sync_data());
        written.map_err(|e| self.cannot(RESULTS, &e))?;
        self.add_remarks(SKIPPED, skipped)?;
        self.done += images;
        Ok(())
    }

    fn add_remarks(&self, name: &str, remarks: &[Remark]) -> Result<(), CliError> {
        if remarks.is_empty() {
            return Ok(());
        }
        let lines: String = remarks
            .iter()
            .map(|r| csv::line([&r.file, &r.class.to_string(), &r.reason]))
            .collect();
        let file = OpenOptions::new().append(true).open(self.folder.join(name));
        file.and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(|e| self.cannot(name, &e))
    }

    fn cannot(&self, name: &str, error: &io::Error) -> CliError {
        let path = self.folder.join(name);
        CliError::io(format!("cannot write {}", path.display()), error)
    }
}

/// Refuses to mix what was measured in different ways.
fn check_resumable(folder: &Path, settings: &Settings, resume: bool) -> Result<(), CliError> {
    let shown = folder.display();
    if !resume {
        return Err(CliError::Failure(format!(
            "the folder {shown} is not empty; give another one, or --resume to go on with an \
             evaluation that ended early"
        )));
    }
    if !folder.join(SETTINGS).is_file() {
        return Err(CliError::Failure(format!(
            "{shown} holds something, but no evaluation: it has no {SETTINGS}"
        )));
    }
    let before: Settings = settings::read(folder)?;
    // The same file may have another name, and the same data another place; and more images may be
    // asked for.
    let except = ["model.name", "data.source", "limit"];
    if let Some(difference) = settings::difference(settings, &before, &except)? {
        return Err(CliError::Failure(format!(
            "{shown} was begun with other settings: {difference}; give another folder"
        )));
    }
    if settings.total() < before.total() {
        return Err(CliError::Failure(format!(
            "{shown} was begun with other settings: limit is {} and was {}; a limit can only grow",
            settings.total(),
            before.total()
        )));
    }
    Ok(())
}
