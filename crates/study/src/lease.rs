//! Who takes care of which block, of images or of whatever is shared, when several workers share a folder.
//!
//! A lease is a file that can be made only once, `journal/BLOCK.lease`, with the holder's host and process. While it is
//! held it is written again and again: its time is its heartbeat. A lease whose time does not move is stale, and
//! whoever finds it may take the block. Times are those that the file system gives, of which there is one where machines
//! have clocks of their own. A process that is known to be gone, because it ran on this machine, holds nothing.
//!
//! A worker that lives and has finished nothing for [`HUNG_AFTER`] hangs, as far as others can tell: its heartbeat ends.
//!
//! Leases save work and decide nothing: two workers on one block write the same numbers to two journals. So it does no harm
//! where a file system is late, where a worker that slept comes back, or where two take a stale lease at once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::{debug, info, trace, warn};

use crate::error::StudyError;
use crate::files::PASSING;
use crate::journal::JOURNAL;

/// Ending of a lease's name.
const ENDING: &str = "lease";

/// How long a lease holds without a heartbeat, unless it is said.
pub const STALE_AFTER: Duration = Duration::from_secs(10 * 60);

/// How long a worker that finishes nothing is taken to be working. Hardly a cell lasts as long; if one does, others may measure it
/// a second time.
pub const HUNG_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// The longest time between two heartbeats.
const BEAT: Duration = Duration::from_secs(30);

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine, for people.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Among which processes the number counts: the running system and its space of numbers. Empty where that is not known.
    #[serde(default)]
    system: String,
    /// When the process began, as the system counts: numbers are given again.
    #[serde(default)]
    started: String,
    /// When it took the block, in seconds since 1970.
    pub since: u64,
}

impl Holder {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
        let variable = |name: &str| std::env::var(name).ok();
        let system = match (
            read("/proc/sys/kernel/random/boot_id"),
            fs::read_link("/proc/self/ns/pid"),
        ) {
            (Ok(boot), Ok(space)) => format!("{boot} {}", space.display()),
            _ => String::new(),
        };
        Self {
            host: (read("/proc/sys/kernel/hostname").ok())
                .or_else(|| variable("HOSTNAME"))
                .or_else(|| variable("COMPUTERNAME"))
                .unwrap_or_else(|| "unknown".to_owned()),
            pid,
            system,
            started: started(pid).unwrap_or_default(),
            since: seconds(),
        }
    }

    /// Whether the process is known to be gone, as seen from `here`.
    fn is_gone(&self, here: &Self) -> bool {
        let comparable = !self.system.is_empty() && self.system == here.system;
        comparable && started(self.pid).as_deref() != Some(&self.started)
    }
}

/// When a process began, in the system's ticks; nothing if there is none, or none that runs.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        // Field 22, of which this is the third.
        _ => fields.nth(18).map(str::to_owned),
    }
}

/// Seconds since 1970.
pub(crate) fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A lease that somebody holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// The number of the block, from 0.
    pub block: usize,
    /// Who holds it; nothing where that cannot be read.
    pub holder: Option<Holder>,
    /// How long ago it was last heard of.
    pub silent: Duration,
    /// Whether it is known or taken to be nobody's.
    pub is_stale: bool,
}

/// The leases of a process. They are given back when this is dropped.
#[derive(Debug)]
pub struct Leases {
    folder: PathBuf,
    me: Holder,
    stale_after: Duration,
    shared: Arc<Shared>,
    heart: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Beating>,
    ended: Condvar,
}

#[derive(Debug)]
struct Beating {
    held: BTreeMap<usize, File>,
    /// When something was last begun or finished.
    progress: Instant,
    ended: bool,
}

impl Beating {
    /// Writes every lease again, unless nothing went on for as long as `hung_after`.
    fn beat(&mut self, me: &Holder, hung_after: Duration) {
        if self.progress.elapsed() >= hung_after {
            let hours = hung_after.as_secs() / 3600;
            debug!(hours, "no heartbeat: nothing was finished for as long");
            return;
        }
        for (block, file) in &mut self.held {
            // A heartbeat that fails is one that is not heard.
            match write(file, me) {
                Ok(()) => trace!(block, "heartbeat"),
                Err(error) => warn!(block, %error, "the heartbeat of a lease cannot be written"),
            }
        }
    }
}

impl Leases {
    pub(crate) fn new(folder: &Path, stale_after: Duration) -> Result<Self, StudyError> {
        let folder = folder.join(JOURNAL);
        fs::create_dir_all(&folder).map_err(StudyError::file("write", &folder))?;
        let shared = Arc::new(Shared {
            state: Mutex::new(Beating {
                held: BTreeMap::new(),
                progress: Instant::now(),
                ended: false,
            }),
            ended: Condvar::new(),
        });
        let me = Holder::current();
        let beat = BEAT.min(stale_after / 4).max(Duration::from_millis(10));
        let heart = thread::spawn({
            let (shared, me) = (Arc::clone(&shared), me.clone());
            move || heartbeat(&shared, &me, beat)
        });
        Ok(Self {
            folder,
            me,
            stale_after,
            shared,
            heart: Some(heart),
        })
    }

    fn path(&self, block: usize) -> PathBuf {
        self.folder.join(format!("{block:06}.{ENDING}"))
    }

    /// Takes a block, unless somebody else has it.
    pub(crate) fn claim(&self, block: usize) -> Result<bool, StudyError> {
        let path = self.path(block);
        for _ in 0..2 {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    write(&mut file, &self.me).map_err(StudyError::file("write", &path))?;
                    self.hold(block, file);
                    info!(block, "lease taken");
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StudyError::file("write", &path)(error)),
            }
            let now = self.now()?;
            match look(&path, block, &self.me, now, self.stale_after) {
                Some(held) if held.is_stale => {
                    let holder = held.holder.as_ref();
                    warn!(
                        block,
                        host = holder.map(|holder| holder.host.as_str()),
                        pid = holder.map(|holder| holder.pid),
                        silent = held.silent.as_secs(),
                        "a stale lease is taken away"
                    );
                    // Others may find the same: whoever renames it first has removed it.
                    let aside = self.folder.join(format!(
                        "{block:06}-{}-{}.stale",
                        self.me.pid, self.me.started
                    ));
                    let _ = fs::rename(&path, &aside);
                    let _ = fs::remove_file(&aside);
                }
                // It was given back meanwhile.
                None => {}
                Some(_) => {
                    trace!(block, "somebody else has the lease");
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    fn hold(&self, block: usize, file: File) {
        let mut state = self.state();
        state.held.insert(block, file);
        state.progress = Instant::now();
    }

    /// Something was finished: this process does not hang.
    pub(crate) fn progress(&self) {
        self.state().progress = Instant::now();
    }

    /// Gives a block back.
    pub(crate) fn release(&self, block: usize) {
        let held = self.state().held.remove(&block);
        // Where somebody took the lease for stale, the file is theirs.
        let path = self.path(block);
        if held.is_none() {
            return;
        }
        match holder(&path) {
            Some(holder) if holder == self.me => {
                let _ = fs::remove_file(path);
                info!(block, "lease given back");
            }
            other => {
                let other = other.as_ref();
                warn!(
                    block,
                    host = other.map(|holder| holder.host.as_str()),
                    pid = other.map(|holder| holder.pid),
                    "the lease was lost: what it was for may be measured twice"
                );
            }
        }
    }

    /// The file system's time.
    fn now(&self) -> Result<SystemTime, StudyError> {
        now(&self.folder)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Beating> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let blocks: Vec<usize> = self.state().held.keys().copied().collect();
        blocks.into_iter().for_each(|block| self.release(block));
        self.state().ended = true;
        self.shared.ended.notify_all();
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
    }
}

fn heartbeat(shared: &Shared, me: &Holder, beat: Duration) {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    while !state.ended {
        state.beat(me, HUNG_AFTER);
        let waited = shared.ended.wait_timeout(state, beat);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn write(file: &mut File, me: &Holder) -> io::Result<()> {
    let text = serde_json::to_string(me).map_err(io::Error::other)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    // A network file system keeps what is written to itself until it must not.
    file.sync_data()
}

fn holder(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The time that the file system gives to what is written now: to a file of nobody else, of which nothing stays.
fn now(folder: &Path) -> Result<SystemTime, StudyError> {
    let mut builder = tempfile::Builder::new();
    let file = builder.prefix(PASSING).suffix(".now").tempfile_in(folder);
    let time = file.and_then(|file| file.as_file().metadata()?.modified());
    time.map_err(StudyError::file("write", folder))
}

fn look(
    path: &Path,
    block: usize,
    here: &Holder,
    now: SystemTime,
    stale_after: Duration,
) -> Option<Held> {
    let written = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    let silent = now.duration_since(written).unwrap_or_default();
    let holder = holder(path);
    let is_gone = holder.as_ref().is_some_and(|holder| holder.is_gone(here));
    Some(Held {
        block,
        is_stale: is_gone || silent > stale_after,
        holder,
        silent,
    })
}

/// The leases in a study's folder.
///
/// # Errors
///
/// [`StudyError::File`] for a folder that cannot be read.
pub fn held(folder: &Path, stale_after: Duration) -> Result<Vec<Held>, StudyError> {
    let folder = folder.join(JOURNAL);
    let cannot = StudyError::file("read", &folder);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(&cannot)?,
    };
    let me = Holder::current();
    // Whoever only looks may not write here; then it is this machine's time.
    let now = now(&folder).unwrap_or_else(|_| SystemTime::now());
    let mut leases = Vec::new();
    for entry in entries {
        let path = entry.map_err(&cannot)?.path();
        let block = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(block), true) = (block, path.extension().is_some_and(|e| e == ENDING)) {
            leases.extend(look(&path, block, &me, now, stale_after));
        }
    }
    leases.sort_by_key(|held| held.block);
    Ok(leases)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_block_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [0, 1].map(|_| Leases::new(folder.path(), LONG).unwrap());
        assert!(a.claim(3).unwrap());
        assert!(!b.claim(3).unwrap());
        assert!(b.claim(4).unwrap());
        let found = held(folder.path(), LONG).unwrap();
        assert_eq!(found.iter().map(|h| h.block).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(found[0].holder.as_ref().unwrap().pid, std::process::id());
        assert!(found.iter().all(|held| !held.is_stale));
        a.release(3);
        assert!(b.claim(3).unwrap());
        drop(b);
        assert!(held(folder.path(), LONG).unwrap().is_empty());
        assert!(
            fs::read_dir(folder.path().join(JOURNAL))
                .unwrap()
                .next()
                .is_none()
        );
    }

    /// A lease that is written again stays; one that is not is taken.
    #[test]
    fn the_silent_lose_their_lease() {
        let folder = tempfile::tempdir().unwrap();
        let beating = Leases::new(folder.path(), LONG).unwrap();
        assert!(beating.claim(0).unwrap());
        let strange = r#"{"host":"elsewhere","pid":1,"since":0}"#;
        fs::write(beating.path(1), strange).unwrap();
        let other = Leases::new(folder.path(), LONG).unwrap();
        assert!(!other.claim(1).unwrap());
        let go_by = |block: usize| {
            let file = File::options().write(true).open(beating.path(block));
            let before = SystemTime::now() - 2 * LONG;
            file.unwrap().set_modified(before).unwrap();
        };
        (0..2).for_each(go_by);
        beating.state().beat(&beating.me, LONG);
        assert!(!other.claim(0).unwrap());
        assert!(other.claim(1).unwrap());
        // Whoever lives and finishes nothing does not beat.
        go_by(0);
        beating.state().beat(&beating.me, Duration::ZERO);
        assert!(other.claim(0).unwrap());
    }

    /// Every thread asks for the time with a file of its own.
    #[test]
    fn threads_may_ask_for_the_time_at_once() {
        let folder = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        now(folder.path()).unwrap();
                    }
                });
            }
        });
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    /// A process of this machine that is gone holds nothing, however lately it was heard of.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_gone_lose_their_lease_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::new(folder.path(), LONG).unwrap();
        let mut gone = Holder::current();
        gone.started = "1".to_owned();
        fs::write(leases.path(0), serde_json::to_string(&gone).unwrap()).unwrap();
        assert!(leases.claim(0).unwrap());
        // The same numbers in another space of processes say nothing.
        gone.system = "another".to_owned();
        fs::write(leases.path(1), serde_json::to_string(&gone).unwrap()).unwrap();
        assert!(!leases.claim(1).unwrap());
    }
}
