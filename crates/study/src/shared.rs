//! Work that several processes share in a folder: what is done stands in their [journals](crate::journal), who is at what in
//! their [leases](crate::lease).
//!
//! A [`Study`](crate::Study) is such work. So is whatever else has [blocks](Blocks) that can be done in any order, by anybody, twice
//! with the same result: its records implement [`Recorded`], a [`Shared`] reads and writes them, and [`run`] takes block after
//! block until nothing is left, or until it is asked to stop. What is too large for a line of a journal goes into a
//! [file](write_content) of its own, before the journal names it.

use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::info;

use crate::error::StudyError;
use crate::files;
use crate::journal::{Reader, Writer};
use crate::settings::SETTINGS;

pub use crate::content::{read as read_content, write as write_content};
pub use crate::journal::{JOURNAL, Recorded, Session};
pub use crate::lease::Leases;
pub use crate::shard::list;

/// How long a worker that found nothing free waits before it looks again, at first.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest that it waits: each time twice as long, so that many who wait for one do not keep a file system busy.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How shared work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is missing.
    Whole,
    /// It was stopped.
    Stopped,
}

/// A process's part in what is shared: it reads all journals of a folder, and writes one.
#[derive(Debug)]
pub struct Shared<R> {
    folder: PathBuf,
    reader: Reader,
    /// From the first record on.
    writer: Option<Writer>,
    leases: Leases,
    session: Session,
    records: PhantomData<fn(R)>,
}

impl<R: Recorded> Shared<R> {
    /// Takes part. A worker that is not heard of for as long as `stale_after` loses its blocks to others.
    ///
    /// # Errors
    ///
    /// [`StudyError::File`] for a folder that cannot be written to.
    pub fn join(
        folder: &Path,
        session: Session,
        stale_after: Duration,
    ) -> Result<Self, StudyError> {
        Ok(Self {
            folder: folder.to_owned(),
            reader: Reader::new(folder),
            writer: None,
            leases: Leases::new(folder, stale_after)?,
            session,
            records: PhantomData,
        })
    }

    /// Hands to `take` what was found out before, and later what others have added since.
    ///
    /// # Errors
    ///
    /// [`StudyError::File`], and [`StudyError::Damaged`] for lines that are not what was written, or that `take` refuses.
    pub fn news(&mut self, take: impl FnMut(R) -> Result<(), String>) -> Result<(), StudyError> {
        let mine = self.writer.as_ref().and_then(Writer::name);
        self.reader.news(mine.as_ref(), take)
    }

    /// Keeps what was found out, and hands it to `take` as if others had. When this returns, the disk has it.
    ///
    /// # Errors
    ///
    /// [`StudyError::File`], and [`StudyError::Data`] for what `take` refuses.
    pub fn add(
        &mut self,
        record: R,
        mut take: impl FnMut(R) -> Result<(), String>,
    ) -> Result<(), StudyError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                take(R::of_session(self.session.clone())).map_err(StudyError::Data)?;
                none.insert(Writer::create::<R>(&self.folder, &self.session)?)
            }
        };
        writer.add(&record)?;
        self.leases.progress();
        take(record).map_err(StudyError::Data)
    }

    /// Who is at what.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }
}

/// Work in blocks, of which one worker at a time takes care.
pub trait Blocks {
    /// What ends the work.
    type Error: From<StudyError>;

    /// How many blocks there are.
    fn count(&self) -> usize;

    /// How many things are left to be done of a block, as far as is known.
    fn left(&self, block: usize) -> usize;

    /// Of the folder.
    fn leases(&self) -> &Leases;

    /// Hears what others have done.
    ///
    /// # Errors
    ///
    /// Whatever reading it meets.
    fn refresh(&mut self) -> Result<(), Self::Error>;

    /// Does what is left of some blocks, and keeps it.
    ///
    /// # Errors
    ///
    /// What ends the work.
    fn work(&mut self, blocks: &[usize]) -> Result<Ended, Self::Error>;

    /// Nothing is free: others are at what is left, for whom it waits now. Called once.
    fn waits(&mut self);
}

/// Block by block, until nothing is missing or `stop` is set. Blocks are taken together as long as no more than `together` things
/// are left of all of them.
///
/// # Errors
///
/// As those of `work`; [`StudyError::File`] for leases that cannot be written.
pub fn run<B: Blocks>(work: &mut B, together: usize, stop: &AtomicBool) -> Result<Ended, B::Error> {
    let is_stopped = || stop.load(Ordering::Relaxed);
    let mut has_waited = false;
    let mut pause = PAUSE;
    let mut left: Vec<usize> = (0..work.count()).collect();
    loop {
        left.retain(|&block| work.left(block) > 0);
        if left.is_empty() {
            return Ok(Ended::Whole);
        }
        let mine = claim(work, &left, together, stop)?;
        if !mine.is_empty() {
            // What others finished before they gave the blocks back.
            work.refresh()?;
            if work.work(&mine)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
            mine.iter().for_each(|&block| work.leases().release(block));
        }
        if is_stopped() {
            return Ok(Ended::Stopped);
        }
        if !mine.is_empty() {
            pause = PAUSE;
            continue;
        }
        if !has_waited {
            info!("others are at what is left; waiting for them");
            work.waits();
            has_waited = true;
        }
        let until = Instant::now() + pause;
        while !is_stopped() && Instant::now() < until {
            thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
        work.refresh()?;
    }
}

/// Blocks of `left` that nobody else has: one, and more as long as all that is left of them fits together. Others could take
/// those that have to wait for the next.
fn claim(
    work: &impl Blocks,
    left: &[usize],
    together: usize,
    stop: &AtomicBool,
) -> Result<Vec<usize>, StudyError> {
    let (mut mine, mut things) = (Vec::new(), 0);
    for &block in left {
        let more = work.left(block);
        let is_full = things > 0 && things + more > together;
        if is_full || stop.load(Ordering::Relaxed) {
            break;
        }
        if work.leases().claim(block)? {
            things += more;
            mine.push(block);
        }
    }
    Ok(mine)
}

/// Reads all journals of a folder, in the order in which they were begun.
///
/// # Errors
///
/// As [`Shared::news`].
pub fn read<R: Recorded>(
    folder: &Path,
    take: impl FnMut(R) -> Result<(), String>,
) -> Result<(), StudyError> {
    Reader::new(folder).news(None, take)
}

/// Begins in a folder that is new or empty, with settings as a file: whether there was nothing. Of several processes that
/// begin at once one does.
///
/// # Errors
///
/// [`StudyError::File`].
pub fn begin(folder: &Path, settings: &[u8]) -> Result<bool, StudyError> {
    fs::create_dir_all(folder).map_err(StudyError::file("write", folder))?;
    Ok(files::is_empty(folder)? && files::create(&folder.join(SETTINGS), settings)?)
}

/// Reads the settings of a folder of `what`, which say themselves that they are of this schema.
///
/// # Errors
///
/// [`StudyError::NoStudy`] where there are none, [`StudyError::Schema`] where another version wrote them,
/// [`StudyError::Damaged`] for anything else.
pub fn read_settings<S: DeserializeOwned>(
    folder: &Path,
    what: &'static str,
    expected: u32,
) -> Result<S, StudyError> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(default)]
        schema: u32,
    }
    let path = folder.join(SETTINGS);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
            let folder = folder.to_owned();
            return Err(StudyError::NoStudy { folder, what });
        }
        read => read.map_err(StudyError::file("read", &path))?,
    };
    let damaged = |error: serde_json::Error| StudyError::Damaged {
        path: path.clone(),
        line: error.line(),
        reason: error.to_string(),
    };
    let Versioned { schema } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if schema != expected {
        return Err(StudyError::Schema {
            folder: folder.to_owned(),
            newer: schema > expected,
        });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}
