//! Downloads a model: resumed, verified, atomic.
//!
//! The bytes go to `FILE.part`, which survives every failure but a wrong hash, so that the
//! next attempt goes on where the last one ended. Only a file of the right SHA-256 gets its
//! final name. `FILE.lock` keeps a second process waiting meanwhile; it is empty and stays.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};
use ureq::Agent;
use ureq::http::Response;
use ureq::http::header::{CONTENT_RANGE, RANGE};

use crate::manifest::Entry;
use crate::sha256;

/// Environment variable that names a mirror: files are fetched from `VALUE/FILE` alone.
pub const URL_VARIABLE: &str = "ELUCID_MODELS_URL";

const CHUNK: usize = 64 * 1024;
/// An attempt that brought this much is progress, and does not count against the limit.
const PROGRESS: u64 = 1 << 20;
const MAX_BACKOFF: Duration = Duration::from_secs(8);
const LOCK_POLL: Duration = Duration::from_millis(100);

/// How to download.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// A mirror that replaces the manifest's addresses: the file is fetched from
    /// `base_url/FILE`.
    pub base_url: Option<String>,
    /// Attempts per address in a row that bring less than 1 MiB; at least one is made.
    pub attempts: u32,
    /// Pause after the first failed attempt; it doubles up to eight seconds.
    pub backoff: Duration,
    /// Longest time for connecting.
    pub connect_timeout: Duration,
    /// Longest silence of the server, before its answer and within it.
    pub read_timeout: Duration,
    /// Longest wait for another process that downloads the same file.
    pub lock_timeout: Duration,
}

impl Default for PullOptions {
    /// The manifest's addresses, five attempts, half a second of backoff, 15 s to connect, 30 s
    /// of silence, ten minutes for another process.
    fn default() -> Self {
        Self {
            base_url: None,
            attempts: 5,
            backoff: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(600),
        }
    }
}

impl PullOptions {
    /// The defaults, with the mirror that the variable `ELUCID_MODELS_URL` names, if any.
    pub fn from_env() -> Self {
        Self {
            base_url: std::env::var(URL_VARIABLE)
                .ok()
                .filter(|url| !url.is_empty()),
            ..Self::default()
        }
    }
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on disk.
    pub received: u64,
    /// Bytes of the whole file.
    pub total: u64,
    /// What is going on.
    pub stage: Stage,
}

/// What a download is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Another process downloads the same file.
    Waiting,
    /// Bytes are coming in, or a server is being asked for them.
    Downloading,
    /// The hash is being computed.
    Verifying,
}

/// Why a download failed. The partial file is kept, except after [`PullError::WrongHash`].
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No address gave the file.
    #[error(
        "could not download {name}:{}\nTo do it by hand, put the file at {}",
        reasons(.tried),
        path.display()
    )]
    Unreachable {
        /// The model's name.
        name: String,
        /// Each address and what went wrong there last.
        tried: Vec<(String, String)>,
        /// Where the file belongs.
        path: PathBuf,
    },
    /// The file came, but is another one than the manifest's.
    #[error("{url} is not the known {name}: its SHA-256 is {got}, expected {expected}")]
    WrongHash {
        /// The model's name.
        name: String,
        /// The address it came from.
        url: String,
        /// The manifest's hash.
        expected: String,
        /// The hash of what came.
        got: String,
    },
    /// The progress callback broke off.
    #[error("cancelled; the next pull of {name} goes on where this one ended")]
    Cancelled {
        /// The model's name.
        name: String,
    },
    /// The manifest knows no address.
    #[error("{name} is hosted nowhere; put the file at {}", path.display())]
    NotHosted {
        /// The model's name.
        name: String,
        /// Where the file belongs.
        path: PathBuf,
    },
    /// Another process is downloading the same file, and took too long.
    #[error("another process is downloading {name}; try again when it has ended")]
    Busy {
        /// The model's name.
        name: String,
    },
    /// The entry's file name is not a plain one.
    #[error("{file:?} is not a plain file name")]
    BadFileName {
        /// The file name.
        file: String,
    },
    /// The disk refused.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn reasons(tried: &[(String, String)]) -> String {
    tried
        .iter()
        .map(|(url, reason)| format!("\n  {url}: {reason}"))
        .collect()
}

/// Downloads the file of `entry` into `folder`, which is made if need be, and gives its path.
/// A file that is there already and has the right hash is not downloaded again.
///
/// `progress` is called at least once per 64 KiB and ends the download by breaking.
///
/// ```no_run
/// use std::ops::ControlFlow;
///
/// use elucid_models::{Cache, PullOptions, manifest, pull};
///
/// let entry = manifest::by_name("resnet50").expect("a known model");
/// let cache = Cache::from_env()?;
/// let path = pull(entry, cache.folder(), &PullOptions::from_env(), |progress| {
///     println!("{} of {} bytes", progress.received, progress.total);
///     ControlFlow::Continue(())
/// })?;
/// println!("{}", path.display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`PullError`].
pub fn pull(
    entry: &Entry,
    folder: impl AsRef<Path>,
    options: &PullOptions,
    mut progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<PathBuf, PullError> {
    let folder = folder.as_ref();
    if Path::new(&entry.file).file_name() != Some(entry.file.as_ref()) {
        return Err(PullError::BadFileName {
            file: entry.file.clone(),
        });
    }
    fs::create_dir_all(folder).map_err(|source| PullError::Io {
        path: folder.to_owned(),
        source,
    })?;
    let path = folder.join(&entry.file);
    let mut pull = Pull {
        entry,
        options,
        part: folder.join(format!("{}.part", entry.file)),
        agent: agent(options),
        progress: &mut progress,
    };
    let _lock = pull.lock(&folder.join(format!("{}.lock", entry.file)))?;
    if pull.is_right(&path)? {
        debug!(model = entry.name, path = %path.display(), "the file is there");
        return Ok(path);
    }

    let mut urls = entry.urls.clone();
    if let Some(base) = &options.base_url {
        urls = vec![format!("{}/{}", base.trim_end_matches('/'), entry.file)];
    }
    if urls.is_empty() {
        return Err(PullError::NotHosted {
            name: entry.name.clone(),
            path,
        });
    }
    let mut tried = Vec::new();
    let mut wrong_hash = None;
    for url in urls {
        info!(model = entry.name, url, bytes = entry.bytes, "downloading");
        let started = Instant::now();
        match pull.fetch_and_verify(&url) {
            Ok(()) => {
                fs::rename(&pull.part, &path).map_err(|source| PullError::Io {
                    path: path.clone(),
                    source,
                })?;
                let elapsed_ms = started.elapsed().as_millis();
                info!(model = entry.name, path = %path.display(), elapsed_ms, "downloaded");
                return Ok(path);
            }
            Err(Failure::Fatal(error @ PullError::WrongHash { .. })) => {
                warn!(model = entry.name, "{error}");
                wrong_hash = Some(error);
            }
            Err(Failure::Fatal(error)) => return Err(error),
            Err(Failure::Address(reason) | Failure::Attempt(reason)) => {
                warn!(model = entry.name, url, reason, "not downloaded");
                tried.push((url, reason));
            }
        }
    }
    Err(wrong_hash.unwrap_or(PullError::Unreachable {
        name: entry.name.clone(),
        tried,
        path,
    }))
}

fn agent(options: &PullOptions) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("elucid/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.read_timeout))
        .timeout_per_read(Some(options.read_timeout))
        .build()
        .new_agent()
}

/// Why a step failed, by what may help.
enum Failure {
    /// Nothing will.
    Fatal(PullError),
    /// Another address.
    Address(String),
    /// Another attempt.
    Attempt(String),
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        Self::Fatal(error)
    }
}

struct Pull<'a> {
    entry: &'a Entry,
    options: &'a PullOptions,
    part: PathBuf,
    agent: Agent,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl Pull<'_> {
    fn report(&mut self, received: u64, stage: Stage) -> Result<(), PullError> {
        let total = self.entry.bytes;
        match (self.progress)(Progress {
            received,
            total,
            stage,
        }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PullError::Cancelled {
                name: self.entry.name.clone(),
            }),
        }
    }

    /// Waits for the lock, which the system releases when its holder ends, however it ends.
    fn lock(&mut self, path: &Path) -> Result<File, PullError> {
        let io = |source| PullError::Io {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(io)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if start.elapsed() < self.options.lock_timeout => {
                    let received = fs::metadata(&self.part).map_or(0, |m| m.len());
                    self.report(received, Stage::Waiting)?;
                    std::thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(PullError::Busy {
                        name: self.entry.name.clone(),
                    });
                }
                // A file system without locks: the hash still guards the result.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
    }

    fn is_right(&mut self, path: &Path) -> Result<bool, PullError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() == self.entry.bytes => {
                self.report(self.entry.bytes, Stage::Verifying)?;
                let got = sha256::of_file(path).map_err(|source| PullError::Io {
                    path: path.to_owned(),
                    source,
                })?;
                Ok(got == self.entry.sha256)
            }
            _ => Ok(false),
        }
    }

    /// Leaves the whole and verified file at `self.part`.
    fn fetch_and_verify(&mut self, url: &str) -> Result<(), Failure> {
        let mut barren = 0;
        let mut from_start = false;
        let mut pause = self.options.backoff;
        loop {
            let before = self.part_length()?;
            match self.attempt(url, &mut from_start) {
                Ok(()) => break,
                Err(Failure::Attempt(reason)) => {
                    if self.part_length()?.saturating_sub(before) >= PROGRESS {
                        (barren, pause) = (0, self.options.backoff);
                    } else {
                        barren += 1;
                    }
                    if barren >= self.options.attempts {
                        return Err(Failure::Attempt(reason));
                    }
                    warn!(url, reason, "the download broke off, and is tried again");
                    self.report(self.part_length()?, Stage::Downloading)?;
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(MAX_BACKOFF);
                }
                Err(other) => return Err(other),
            }
        }
        self.report(self.entry.bytes, Stage::Verifying)?;
        let got = sha256::of_file(&self.part).map_err(|e| self.io(e))?;
        if got == self.entry.sha256 {
            return Ok(());
        }
        fs::remove_file(&self.part).map_err(|e| self.io(e))?;
        Err(Failure::Fatal(PullError::WrongHash {
            name: self.entry.name.clone(),
            url: url.to_owned(),
            expected: self.entry.sha256.clone(),
            got,
        }))
    }

    /// One request. `Ok` means that the part has its full length.
    fn attempt(&mut self, url: &str, from_start: &mut bool) -> Result<(), Failure> {
        let total = self.entry.bytes;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.part)
            .map_err(|e| self.io(e))?;
        let mut have = file.metadata().map_err(|e| self.io(e))?.len();
        if have > total {
            // Not a beginning of this file.
            file.set_len(0).map_err(|e| self.io(e))?;
            have = 0;
        }
        self.report(have, Stage::Downloading)?;
        if have == total && !*from_start {
            return Ok(());
        }

        let mut request = self.agent.get(url);
        if have > 0 && !*from_start {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.call().map_err(failure)?;
        let start = match response.status().as_u16() {
            206 => {
                let (start, size) = content_range(&response).ok_or_else(|| {
                    Failure::Address("a partial answer without a readable range".into())
                })?;
                if start != have {
                    *from_start = true;
                    return Err(Failure::Attempt(format!(
                        "asked for the rest from byte {have}, got it from {start}"
                    )));
                }
                self.check_size(size)?;
                start
            }
            // The whole file, though only the rest was asked for. It is written over the part
            // from the start, so that the part is not lost if this ends early.
            200 => {
                self.check_size(response.body().content_length())?;
                0
            }
            416 if have > 0 && !*from_start => {
                *from_start = true;
                return Err(Failure::Attempt(
                    "the server has nothing beyond the part".into(),
                ));
            }
            status @ (408 | 425 | 429 | 500..=599) => {
                return Err(Failure::Attempt(format!("status {status}")));
            }
            status => return Err(Failure::Address(format!("status {status}"))),
        };

        file.seek(SeekFrom::Start(start)).map_err(|e| self.io(e))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; CHUNK];
        let mut at = start;
        while at < total {
            // Never more than the manifest's size, however long the body is.
            let room = CHUNK.min(usize::try_from(total - at).unwrap_or(CHUNK));
            let read = match body.read(&mut buffer[..room]) {
                Ok(0) => {
                    return Err(Failure::Attempt(format!(
                        "the connection ended after {at} of {total} bytes"
                    )));
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Failure::Attempt(format!(
                        "{error}, after {at} of {total} bytes"
                    )));
                }
            };
            file.write_all(&buffer[..read]).map_err(|e| self.io(e))?;
            at += read as u64;
            self.report(at, Stage::Downloading)?;
        }
        file.sync_all().map_err(|e| self.io(e))?;
        Ok(())
    }

    fn check_size(&self, size: Option<u64>) -> Result<(), Failure> {
        match size {
            Some(size) if size != self.entry.bytes => Err(Failure::Address(format!(
                "the file there has {size} bytes instead of {}",
                self.entry.bytes
            ))),
            _ => Ok(()),
        }
    }

    fn part_length(&self) -> Result<u64, PullError> {
        match fs::metadata(&self.part) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(self.io(error)),
        }
    }

    fn io(&self, source: io::Error) -> PullError {
        PullError::Io {
            path: self.part.clone(),
            source,
        }
    }
}

fn failure(error: ureq::Error) -> Failure {
    use ureq::Error;
    match error {
        Error::BadUri(_)
        | Error::HostNotFound
        | Error::InvalidProxyUrl
        | Error::RedirectFailed
        | Error::TooManyRedirects => Failure::Address(error.to_string()),
        Error::Io(ref io) if io.kind() == io::ErrorKind::ConnectionRefused => {
            Failure::Address(error.to_string())
        }
        other => Failure::Attempt(other.to_string()),
    }
}

/// First byte and full size of `bytes FIRST-LAST/SIZE`; the size may be `*`.
fn content_range<T>(response: &Response<T>) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, _) = range.split_once('-')?;
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    Some((first.trim().parse().ok()?, size))
}
