//! The folder of a study: begun, gone on with, or read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::curves;
use crate::error::StudyError;
use crate::files;
use crate::foreign;
use crate::found::Found;
use crate::growth::{self, Growth};
use crate::journal::{Record, Session};
use crate::lease::{self, Leases, STALE_AFTER};
use crate::maps;
use crate::plan::{self, Planned};
use crate::settings::{BASELINES, SETTINGS, Settings};
use crate::shared::{self, Shared};

/// How a study is begun, or gone on with.
#[derive(Debug, Clone)]
#[must_use]
pub struct Begin {
    resume: bool,
    retry_failed: bool,
    allow_mixed: bool,
    save_maps: bool,
    pub(crate) save_curves: bool,
    stale_after: Duration,
}

impl Default for Begin {
    fn default() -> Self {
        Self::new()
    }
}

impl Begin {
    /// In a folder that is new or empty.
    pub fn new() -> Self {
        Self {
            resume: false,
            retry_failed: false,
            allow_mixed: false,
            save_maps: false,
            save_curves: false,
            stale_after: STALE_AFTER,
        }
    }

    elucid_attribution::builder_methods! {
        /// Also in a folder in which the same study was begun: what is missing is measured, whoever measured the rest, and
        /// whoever else is measuring now. Methods and metrics that the folder's study does not have are added to it.
        set resume(resume: bool) => resume;
        /// Tries again what failed, and images that could not be read.
        set retry_failed(retry_failed: bool) => retry_failed;
        /// Goes on where another device, precision or build began, of which numbers may differ; tables say so.
        set allow_mixed(allow_mixed: bool) => allow_mixed;
        /// Keeps the map of every image under every method ([`maps`]). What was measured without is attributed again.
        set save_maps(save_maps: bool) => save_maps;
        /// Keeps the curves that values are means or areas of ([`curves`]), of every image under every method and baseline. What was
        /// measured without is measured again.
        set save_curves(save_curves: bool) => save_curves;
        /// How long a worker that is not heard of keeps its images, ten minutes by default.
        set stale_after(stale_after: Duration) => stale_after;
    }
}

/// A study's folder, to which results are being added.
#[derive(Debug)]
pub(crate) struct Folder {
    pub path: PathBuf,
    pub settings: Settings,
    pub found: Found,
    shared: Shared<Record>,
}

impl Folder {
    /// Begins, or goes on where that is allowed.
    pub fn open(
        path: &Path,
        settings: &Settings,
        planned: Vec<Planned>,
        begin: &Begin,
    ) -> Result<Self, StudyError> {
        let settings = begun(path, settings, &planned, begin)?;
        let (mine, settings) = settings;
        let asked = mine.all_parts();
        let (device, precision) = (&mine.device, &mine.precision);
        let session = Session::current(mine.batch_size, device, precision, mine.build.clone());
        let mut folder = Self {
            path: path.to_owned(),
            found: Found::new(&settings, planned),
            shared: Shared::join(path, session, begin.stale_after)?,
            settings,
        };
        folder.refresh()?;
        folder.found.ask_for(&asked);
        if begin.save_maps {
            let kept = folder.settings.methods.iter();
            let kept = kept.map(|facts| facts.method != foreign::METHOD);
            let kept: Vec<bool> = kept.chain(BASELINES.map(|_| false)).collect();
            let there = (folder.settings.methods.iter())
                .map(|facts| maps::list(path, &facts.name))
                .collect::<Result<Vec<_>, _>>()?;
            let is_there = |row: usize, name: &str| there[row].contains_key(name);
            folder.found.keep_maps(kept, is_there);
        }
        if begin.retry_failed {
            folder.found.retry_failed();
        }
        Ok(folder)
    }

    /// From now on images are not done without the curves of these metrics.
    pub fn keep_curves(&mut self, metrics: &[&str]) -> Result<(), StudyError> {
        let asked = (self.found.metrics().iter()).map(|name| metrics.contains(&name.as_str()));
        let asked = asked.collect();
        let there = (self.found.rows().iter())
            .map(|method| curves::list(&self.path, method))
            .collect::<Result<Vec<_>, _>>()?;
        (self.found).keep_curves(asked, |row, name| there[row].contains(name));
        Ok(())
    }

    /// Reads what others have found out meanwhile.
    pub fn refresh(&mut self) -> Result<(), StudyError> {
        (self.shared).news(|record| take(&mut self.found, &self.path, record))
    }

    /// All that is known of the study in the end, whoever was asked for what.
    pub fn finish(mut self) -> Result<(Settings, Found), StudyError> {
        let now = Settings::read(&self.path)?;
        let is_same = (&now.methods, &now.metrics, now.all_parts())
            == (
                &self.settings.methods,
                &self.settings.metrics,
                self.settings.all_parts(),
            );
        if !is_same {
            return read(&self.path);
        }
        self.found.keep_maps(Vec::new(), |_, _| true);
        self.found.keep_curves(Vec::new(), |_, _| true);
        self.found.ask_for(&self.settings.all_parts());
        Ok((self.settings, self.found))
    }

    /// Keeps what was found out.
    pub fn add(&mut self, record: Record) -> Result<(), StudyError> {
        self.shared.add(record, |record| self.found.add(record))
    }

    /// Who is at what.
    pub fn leases(&self) -> &Leases {
        self.shared.leases()
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.found.planned().len().div_ceil(self.block())
    }

    /// How many images a block has.
    fn block(&self) -> usize {
        self.settings.block.max(1)
    }

    /// The images of a block, by their places, on which something is left to be done.
    pub fn left(&self, block: usize) -> Vec<usize> {
        let size = self.block();
        let end = self.found.planned().len().min((block + 1) * size);
        let places = (block * size)..end;
        places.filter(|&at| !self.found.is_done(at)).collect()
    }
}

/// Takes a record into account. What it says of methods and metrics that were added to the study since is left out.
fn take(found: &mut Found, folder: &Path, record: Record) -> Result<(), String> {
    if found.is_strange(&record) {
        let grown = growth::read(folder).map_err(|error| error.to_string())?;
        found.add_others(grown.iter().flat_map(Growth::names));
    }
    found.add(record)
}

/// The settings of this process, and those of the folder's study, which it begins where there is none.
fn begun<'s>(
    path: &Path,
    settings: &'s Settings,
    planned: &[Planned],
    begin: &Begin,
) -> Result<(&'s Settings, Settings), StudyError> {
    if shared::begin(path, &settings.to_bytes()?)? {
        plan::write(path, planned)?;
        return Ok((settings, settings.clone()));
    }
    if !begin.resume {
        return Err(StudyError::Occupied(path.to_owned()));
    }
    let mut before = Settings::read(path)?;
    settings.check_same(&before, path, false, begin.allow_mixed)?;
    let growth = Growth::of(settings, &before, path)?;
    let (now, was) = (settings.total(), before.total());
    if now < was {
        return Err(StudyError::Settings {
            folder: path.to_owned(),
            difference: format!("limit is {now} and was {was}; a limit can only grow"),
        });
    }
    // What may have been written before this process or another was ended: nothing, or fewer images. More are those of a
    // process that is just now asking for more.
    let is_listed = plan::read(path, now).is_ok_and(|listed| listed == planned);
    if !is_listed {
        plan::write(path, planned)?;
    }
    // After the list, so that at no time images are asked for that no list names.
    if now > was {
        before.limit = settings.limit;
        let file = path.join(SETTINGS);
        files::replace(&file, |to| {
            let bytes = before.to_bytes()?;
            to.write_all(&bytes)
                .map_err(StudyError::file("write", &file))
        })?;
    }
    if !growth.is_nothing() {
        growth.write(path, lease::seconds())?;
        growth.add_to(&mut before);
    }
    Ok((settings, before))
}

/// Reads a study as far as it is, without adding to it.
///
/// # Errors
///
/// As [`Settings::read`], and [`StudyError::Damaged`] for journals that do not hold what was written.
pub fn read(folder: &Path) -> Result<(Settings, Found), StudyError> {
    let settings = Settings::read(folder)?;
    let planned = plan::read(folder, settings.total())?;
    let mine = (0..settings.total()).filter(|&number| settings.shard.takes(number));
    // Of a merge with holes not all are there, and of a sample only the data say which.
    let listed: Vec<usize> = planned.iter().map(|planned| planned.number).collect();
    let is_right = match (settings.merged_from, settings.sample) {
        (0, None) => mine.eq(listed),
        _ => listed.is_sorted(),
    };
    if !is_right {
        return Err(StudyError::Merge(format!(
            "{} does not list the images of shard {}",
            folder.join(plan::IMAGES).display(),
            settings.shard
        )));
    }
    let mut found = Found::new(&settings, planned);
    shared::read(folder, |record| take(&mut found, folder, record))?;
    Ok((settings, found))
}
