//! What was found out, as it is found out: records that are added and never changed.
//!
//! The folder of a study, or of other work that is [shared](crate::shared), has a folder `journal`, and in it a file for each
//! process that ever worked on it. A file has
//! one writer, so that nobody waits for a lock, which network file systems may lack; nobody cuts it, moves it or
//! writes into what is written. A line is one record:
//!
//! ```text
//! {"sha256":"0123456789abcdef","record":{"cell":{"method":"gradient",...}}}
//! ```
//!
//! with the first sixteen digits of the SHA-256 of the record's text. It is written by one call and synced before
//! anything else is done. Lines of JSON can be read without this program, by people and by `jq`, and a file of them that
//! was torn has one torn line, the last; an embedded database would bring locks, and recovery by code that cannot be
//! read in an afternoon. Numbers are text, in the shortest form that reads as the same number: not every reader of
//! JSON reads the last digit right.
//!
//! A last line that is not whole, or not what its digits say, is what a crash left: it is as if it was not there, and stays
//! where it is. Anywhere else it is [`StudyError::Damaged`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use elucid_models::sha256;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use crate::difference::difference;
use crate::error::StudyError;
use crate::facts::Build;
use crate::files::{self, sync_folder};
use crate::lease::Holder;

/// The folder of the journals.
pub const JOURNAL: &str = "journal";

/// Ending of a journal's name.
const ENDING: &str = "jsonl";

/// How many digits of the SHA-256 stand before a record.
const DIGITS: usize = 16;
const BEFORE_DIGITS: &str = "{\"sha256\":\"";
const BEFORE_RECORD: &str = "\",\"record\":";
const BEHIND: &str = "}";

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Who writes: the first of every journal.
    Session(Session),
    /// Images that were read.
    Images(Vec<ImageRecord>),
    /// A cell: some images under one method.
    Cell(CellRecord),
}

/// What the journals of some work hold.
pub trait Recorded: Serialize + DeserializeOwned {
    /// What every journal begins with: who writes.
    fn of_session(session: Session) -> Self;
}

impl Recorded for Record {
    fn of_session(session: Session) -> Self {
        Self::Session(session)
    }
}

/// Who works, and what may decide about the last digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The machine.
    pub host: String,
    /// Of the process.
    pub pid: u32,
    /// When it began, in seconds since 1970.
    pub begun: u64,
    /// How many images, or samples of images, go together.
    pub batch_size: usize,
    /// As in the settings.
    pub device: String,
    /// As in the settings.
    pub precision: String,
    /// The program.
    pub build: Build,
}

impl Session {
    /// That of this process, from now on.
    pub fn current(
        batch_size: usize,
        device: impl Into<String>,
        precision: impl Into<String>,
        build: Build,
    ) -> Self {
        let Holder {
            host, pid, since, ..
        } = Holder::current();
        Self {
            host,
            pid,
            begun: since,
            batch_size,
            device: device.into(),
            precision: precision.into(),
            build,
        }
    }

    /// What numbers may depend on, in words.
    pub fn kind(&self) -> String {
        let Self {
            device,
            precision,
            build,
            ..
        } = self;
        let git = build.git.as_deref().unwrap_or("no commit");
        let dirty = (build.dirty.as_deref())
            .map_or(String::new(), |at| format!(" with changes, built {at}"));
        let features = build.features.join(", ");
        format!(
            "{device} in {precision} by elucid {} ({git}{dirty}; burn {}; {features})",
            build.elucid, build.burn
        )
    }

    /// Their kinds, each once, where there are several.
    pub fn mixed(sessions: &[Self]) -> Option<Vec<String>> {
        let kinds: BTreeSet<String> = sessions.iter().map(Self::kind).collect();
        (kinds.len() > 1).then(|| kinds.into_iter().collect())
    }

    /// What of its kind differs from another's, in words: who it was and when it began decides nothing.
    pub fn difference(&self, other: &Self) -> Option<String> {
        difference(self, other, &["host", "pid", "begun", "batch_size"])
    }
}

/// What was found out about an image by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its number in the data.
    pub image: usize,
    /// As the data name it.
    pub file: String,
    /// Its label.
    pub class: usize,
    /// What came of reading it.
    #[serde(flatten)]
    pub state: ImageState,
}

/// What came of reading an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// The network saw it.
    Seen {
        /// The network's best guess.
        predicted: usize,
        /// The guess's probability.
        #[serde(with = "as_text")]
        probability: f32,
        /// What is odd about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// It could not be read, and why.
    Skipped(String),
}

/// Some images under one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// The method or baseline, as the settings call it.
    pub method: String,
    /// The metrics that the values are of.
    pub metrics: Vec<String>,
    /// One for each image.
    pub rows: Vec<RowRecord>,
    /// Where the maps of these images are kept, in the folder of [`maps`](crate::maps); absent where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maps: Option<String>,
    /// Where the curves of these values are kept, in the folder of [`curves`](crate::curves); absent where they are not, or no metric
    /// has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<String>,
}

/// An image under a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowRecord {
    /// The image's number in the data.
    pub image: usize,
    /// What attributing took, in seconds: this image's share of its batch.
    #[serde(with = "as_text")]
    pub seconds: f64,
    /// One for each metric.
    pub values: Vec<Value>,
}

/// What a metric says of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// The metric has nothing to say, and why.
    NotApplicable(String),
    /// The method or the metric ended with an error: which.
    Failed(String),
}

impl Value {
    /// What a metric said that `by` names: a number that is not finite is a failure.
    pub(crate) fn of(number: f64, by: &str) -> Self {
        match number.is_finite() {
            true => Self::Number(number),
            false => Self::Failed(format!("{by}: {number} is no finite number")),
        }
    }

    /// The number, if there is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// A value as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Number(#[serde(with = "as_text")] f64),
    NotApplicable { not_applicable: String },
    Failed { failed: String },
}

impl From<Stored> for Value {
    fn from(stored: Stored) -> Self {
        match stored {
            // A journal may be of a build that wrote down whatever a metric gave.
            Stored::Number(number) => Self::of(number, "the metric"),
            Stored::NotApplicable { not_applicable } => Self::NotApplicable(not_applicable),
            Stored::Failed { failed } => Self::Failed(failed),
        }
    }
}

impl From<Value> for Stored {
    fn from(value: Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(number),
            Value::NotApplicable(not_applicable) => Self::NotApplicable { not_applicable },
            Value::Failed(failed) => Self::Failed { failed },
        }
    }
}

/// Numbers as text.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr>(from: D) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        let number = text.parse();
        number.map_err(|_| D::Error::custom(format!("\"{text}\" is no number")))
    }
}

/// A record's line.
fn line(record: &impl Recorded) -> Result<String, StudyError> {
    let text = serde_json::to_string(record)
        .map_err(|error| StudyError::Data(format!("a record cannot be written: {error}")))?;
    let digits = &sha256::of_bytes(text.as_bytes())[..DIGITS];
    Ok(format!(
        "{BEFORE_DIGITS}{digits}{BEFORE_RECORD}{text}{BEHIND}\n"
    ))
}

/// Reads a line, without its end.
fn of_line<R: Recorded>(line: &[u8]) -> Result<R, String> {
    let line = str::from_utf8(line).map_err(|_| "it is no text".to_owned())?;
    let parts = line.strip_prefix(BEFORE_DIGITS).and_then(|rest| {
        let (digits, rest) = rest.split_at_checked(DIGITS)?;
        let text = rest.strip_prefix(BEFORE_RECORD)?.strip_suffix(BEHIND)?;
        Some((digits, text))
    });
    let Some((digits, text)) = parts else {
        return Err("it is no record".to_owned());
    };
    if sha256::of_bytes(text.as_bytes())[..DIGITS] != *digits {
        return Err("the record is not the one that was written".to_owned());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The journal of one process.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// Begins a file that nobody else writes to.
    pub fn create<R: Recorded>(folder: &Path, session: &Session) -> Result<Self, StudyError> {
        let folder = folder.join(JOURNAL);
        fs::create_dir_all(&folder).map_err(StudyError::file("write", &folder))?;
        let host: String = (session.host.chars())
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(40)
            .collect();
        let (begun, pid) = (session.begun, session.pid);
        let names = (0..).map(|number| format!("{begun:010}-{host}-{pid}-{number}.{ENDING}"));
        for name in names {
            let path = folder.join(name);
            // The handle is never used for reading: on no system does it need to be.
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                opened => {
                    let file = opened.map_err(StudyError::file("write", &path))?;
                    sync_folder(&folder);
                    info!(path = %path.display(), "journal begun");
                    let mut writer = Self { path, file };
                    writer.add(&R::of_session(session.clone()))?;
                    return Ok(writer);
                }
            }
        }
        Err(StudyError::Data("there are no names left".to_owned()))
    }

    /// Adds a record. When this returns, the disk has it.
    pub fn add(&mut self, record: &impl Recorded) -> Result<(), StudyError> {
        let line = line(record)?;
        let started = Instant::now();
        let written = (self.file.write_all(line.as_bytes())).and_then(|()| self.file.sync_data());
        written.map_err(StudyError::file("write", &self.path))?;
        let elapsed_ms = started.elapsed().as_millis();
        debug!(bytes = line.len(), elapsed_ms, "record written and synced");
        Ok(())
    }

    /// The file's name.
    pub fn name(&self) -> Option<OsString> {
        self.path.file_name().map(ToOwned::to_owned)
    }
}

/// Reads the journals of a folder, and later what has been added to them.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    /// How far each file has been read, in bytes and in lines.
    read: BTreeMap<OsString, (u64, usize)>,
}

impl Reader {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.join(JOURNAL),
            read: BTreeMap::new(),
        }
    }

    /// Hands what is new to `take`, file by file in order of their names, which is that of their beginning, but for
    /// the file `except`. What `take` refuses is damage of that line.
    pub fn news<R: Recorded>(
        &mut self,
        except: Option<&OsString>,
        mut take: impl FnMut(R) -> Result<(), String>,
    ) -> Result<(), StudyError> {
        let others = names(&self.folder)?.into_iter();
        for name in others.filter(|name| Some(name) != except) {
            let path = self.folder.join(&name);
            let from = self.read.entry(name).or_default();
            lines(&path, from, &mut take)?;
        }
        Ok(())
    }
}

/// The names of the journals in a folder of journals, sorted; none where there is no such folder.
pub(crate) fn names(journals: &Path) -> Result<Vec<OsString>, StudyError> {
    let entries = files::with_ending(journals, ENDING)?.into_iter();
    Ok(entries.map(|entry| entry.file_name()).collect())
}

/// Reads the records of one journal.
///
/// # Errors
///
/// [`StudyError::File`], and [`StudyError::Damaged`] for a line before the last that is not what was written.
pub fn read(path: &Path, mut take: impl FnMut(Record)) -> Result<(), StudyError> {
    lines(path, &mut (0, 0), &mut |record| {
        take(record);
        Ok(())
    })
}

fn lines<R: Recorded>(
    path: &Path,
    (place, number): &mut (u64, usize),
    take: &mut impl FnMut(R) -> Result<(), String>,
) -> Result<(), StudyError> {
    let cannot = StudyError::file("read", path);
    let mut file = File::open(path).map_err(&cannot)?;
    file.seek(SeekFrom::Start(*place)).map_err(&cannot)?;
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    // A line that is not what it should be, until it is known whether it is the last.
    let mut wrong: Option<String> = None;
    loop {
        line.clear();
        let length = file.read_until(b'\n', &mut line).map_err(&cannot)?;
        if length == 0 || (wrong.is_none() && line.last() != Some(&b'\n')) {
            return Ok(());
        }
        let damaged = |line: usize, reason: String| StudyError::Damaged {
            path: path.to_owned(),
            line,
            reason,
        };
        if let Some(reason) = wrong {
            return Err(damaged(*number + 1, reason));
        }
        match of_line(&line[..line.len() - 1]) {
            Ok(record) => {
                take(record).map_err(|reason| damaged(*number + 1, reason))?;
                *place += length as u64;
                *number += 1;
            }
            Err(reason) => wrong = Some(reason),
        }
    }
}

/// Copies every whole record of a folder's journals to `to`, one by one, and hands each to `take`.
pub(crate) fn copy(
    folder: &Path,
    (to, shown): (&mut dyn Write, &Path),
    mut take: impl FnMut(Record) -> Result<(), String>,
) -> Result<(), StudyError> {
    let mut failed = None;
    Reader::new(folder).news(None, |record: Record| {
        if failed.is_none() {
            let written = line(&record).and_then(|line| {
                (to.write_all(line.as_bytes())).map_err(StudyError::file("write", shown))
            });
            failed = written.err();
        }
        take(record)
    })?;
    failed.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session() -> Session {
        Session {
            host: "a/b c".to_owned(),
            pid: 7,
            begun: 1_700_000_000,
            batch_size: 8,
            device: "cpu".to_owned(),
            precision: "f32".to_owned(),
            build: Build::of_versions("0.1.0", "0.22.1"),
        }
    }

    fn cell(numbers: &[f64]) -> Record {
        let rows = numbers
            .iter()
            .enumerate()
            .map(|(image, &number)| RowRecord {
                image,
                seconds: number.abs(),
                values: vec![
                    Value::Number(number),
                    Value::NotApplicable("no \"box\"\n".to_owned()),
                    Value::Failed("it is \u{1b} no number".to_owned()),
                ],
            });
        Record::Cell(CellRecord {
            method: "gradient:smooth=0.02".to_owned(),
            metrics: ["a", "b", "c"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
            maps: (numbers.len() > 1).then(|| "gradient/0-1.safetensors".to_owned()),
            curves: Some("m/0000000-0000001-0123456789abcdef.jsonl".to_owned()),
        })
    }

    fn image(probability: f32) -> Record {
        Record::Images(vec![
            ImageRecord {
                image: 3,
                file: "dog, \"猫\".png".to_owned(),
                class: 285,
                state: ImageState::Seen {
                    predicted: 1,
                    probability,
                    note: None,
                },
            },
            ImageRecord {
                image: 4,
                file: "x".to_owned(),
                class: 0,
                state: ImageState::Skipped("no picture".to_owned()),
            },
        ])
    }

    fn all(path: &Path) -> Result<Vec<Record>, StudyError> {
        let mut records = Vec::new();
        read(path, |record| records.push(record))?;
        Ok(records)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers in proptest::collection::vec(
            proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO, 0..9,
        ), probability in proptest::num::f32::NORMAL) {
            let folder = tempfile::tempdir().unwrap();
            let mut writer = Writer::create::<Record>(folder.path(), &session()).unwrap();
            let records = [cell(&numbers), image(probability)];
            records.iter().for_each(|record| writer.add(record).unwrap());
            let found = all(&writer.path).unwrap();
            prop_assert_eq!(&found[0], &Record::Session(session()));
            prop_assert_eq!(&found[1..], &records[..]);
        }
    }

    /// What an earlier build took from a careless metric is a failure to whoever reads it.
    #[test]
    fn what_is_no_finite_number_is_read_as_a_failure() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let line = line(&cell(&[number])).unwrap();
            let Record::Cell(found) = of_line(line.trim_end().as_bytes()).unwrap() else {
                panic!("a cell");
            };
            let said = format!("the metric: {number} is no finite number");
            assert_eq!(found.rows[0].values[0], Value::Failed(said));
        }
    }

    /// Whatever a crash leaves of a journal, what is read of it are its first records, unchanged.
    #[test]
    fn a_journal_may_be_cut_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create::<Record>(folder.path(), &session()).unwrap();
        for record in [
            image(0.1),
            cell(&[0.1, 1e-300]),
            cell(&[]),
            image(1.0 / 3.0),
        ] {
            writer.add(&record).unwrap();
        }
        let bytes = fs::read(&writer.path).unwrap();
        let records = all(&writer.path).unwrap();
        assert_eq!(records.len(), 5);
        let cut = folder.path().join("cut.jsonl");
        for length in 0..=bytes.len() {
            fs::write(&cut, &bytes[..length]).unwrap();
            let whole = bytes[..length].iter().filter(|b| **b == b'\n').count();
            assert_eq!(all(&cut).unwrap(), records[..whole], "{length}");
            // A page that was never written, up to the end of the file.
            let torn = [&bytes[..length], &[0; 40][..]].concat();
            fs::write(&cut, torn).unwrap();
            assert_eq!(all(&cut).unwrap(), records[..whole], "{length} and zeros");
        }
    }

    /// A changed byte is found, or is in the last line, which is as if it was not there.
    #[test]
    fn a_changed_byte_changes_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create::<Record>(folder.path(), &session()).unwrap();
        for record in [cell(&[0.25, 7.0]), cell(&[3.0])] {
            writer.add(&record).unwrap();
        }
        let bytes = fs::read(&writer.path).unwrap();
        let records = all(&writer.path).unwrap();
        let last = bytes[..bytes.len() - 1]
            .iter()
            .rposition(|b| *b == b'\n')
            .unwrap();
        let changed = folder.path().join("changed.jsonl");
        // Without its end, the line before the last is one with it.
        let places = (0..bytes.len()).filter(|&place| bytes[place] != b'\n');
        for place in places {
            let mut with = bytes.clone();
            with[place] ^= 1;
            fs::write(&changed, &with).unwrap();
            match all(&changed) {
                Ok(found) => {
                    assert!(place > last, "{place}");
                    assert_eq!(found, records[..2]);
                }
                Err(StudyError::Damaged { path, line, .. }) => {
                    assert!(place <= last, "{place}");
                    assert_eq!(path, changed);
                    let expected = 1 + bytes[..place].iter().filter(|b| **b == b'\n').count();
                    assert_eq!(line, expected, "{place}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_is_added_later_is_read_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(folder.path());
        let mut news = |except: Option<&OsString>| {
            let mut count = 0;
            reader
                .news(except, |_: Record| {
                    count += 1;
                    Ok(())
                })
                .unwrap();
            count
        };
        assert_eq!(news(None), 0);
        let mut first = Writer::create::<Record>(folder.path(), &session()).unwrap();
        let second = Writer::create::<Record>(folder.path(), &session()).unwrap();
        assert_eq!(news(second.name().as_ref()), 1);
        first.add(&cell(&[1.0])).unwrap();
        let line = line(&cell(&[2.0])).unwrap();
        let (half, rest) = line.split_at(30);
        first.file.write_all(half.as_bytes()).unwrap();
        assert_eq!(news(None), 2);
        assert_eq!(news(None), 0);
        first.file.write_all(rest.as_bytes()).unwrap();
        assert_eq!(news(None), 1);
    }
}
