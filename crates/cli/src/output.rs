//! The folder that a run leaves its results in: complete, or not there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use elucid::render::file::sync_folder;
use elucid::study::journal::JOURNAL;
use ndarray::{ArrayBase, Data, Dimension};
use ndarray_npy::WriteNpyExt;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::console::to_json;
use crate::error::CliError;
use crate::schema::Versioned;
use crate::settings::SETTINGS;

/// Says which files belong to a run; written last.
pub const REPORT: &str = "report.json";

/// The one command whose results hold a journal, and may be made again: a copy of what the shards hold.
pub const MERGED: &str = "evaluate merge";

/// Where a run writes, checked before the work begins.
#[derive(Debug)]
pub struct Destination {
    folder: PathBuf,
    /// The command that writes, as reports name it, and whose results are replaced; none where files stand beside
    /// others and replace those of the same name.
    command: Option<&'static str>,
    exists: bool,
}

impl Destination {
    /// Refuses a folder with something in it, unless `force`, and then what `command` did not make.
    pub fn check(folder: &Path, force: bool, command: &'static str) -> Result<Self, CliError> {
        let shown = folder.display();
        let occupied = occupied(folder)?;
        if occupied == Some(true) && !force {
            return Err(CliError::Failure(format!(
                "the folder {shown} is not empty; give another one, or --force to replace the \
                 results in it"
            )));
        }
        if occupied == Some(true) {
            last_run(folder, command)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            command: Some(command),
            exists: occupied.is_some(),
        })
    }

    /// A folder of which other files are none of ours, such as one of manual pages.
    pub fn shared(folder: &Path) -> Result<Self, CliError> {
        Ok(Self {
            folder: folder.to_owned(),
            command: None,
            exists: occupied(folder)?.is_some(),
        })
    }

    /// Lets `write` make the results in a folder that nobody sees, which then takes its place: they are there whole
    /// or not at all, also after a crash of the machine. In a folder that exists the results of the run before
    /// stay until the new ones are complete; they are then moved in one by one, the report last.
    pub fn fill(&self, write: impl FnOnce(&Path) -> Result<(), CliError>) -> Result<(), CliError> {
        let cannot = |error: io::Error| self.cannot_write(&error);
        let part = self.part()?;
        write(part.path())?;
        sync_tree(part.path()).map_err(cannot)?;
        match self.exists {
            true => self.replace(part)?,
            false => self.create(part).map_err(cannot)?,
        }
        info!(folder = %self.folder.display(), "results written");
        Ok(())
    }

    /// A folder that nobody sees: beside one that is yet to be, and else in it, since what is beside it may be
    /// another file system, or not ours.
    fn part(&self) -> Result<tempfile::TempDir, CliError> {
        let cannot = |error: io::Error| self.cannot_write(&error);
        let within: &Path = match self.exists {
            true => &self.folder,
            false => parent_of(&self.folder),
        };
        make_folders(within).map_err(cannot)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".elucid-").suffix(".part");
        // A result is an ordinary folder, as the umask says, not a private one.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        builder.tempdir_in(within).map_err(cannot)
    }

    fn create(&self, part: tempfile::TempDir) -> io::Result<()> {
        fs::rename(part.path(), &self.folder)?;
        // Nothing is left under the old name.
        let _ = part.keep();
        sync_folder(parent_of(&self.folder));
        Ok(())
    }

    fn replace(&self, part: tempfile::TempDir) -> Result<(), CliError> {
        let cannot = |error: io::Error| self.cannot_write(&error);
        let mut names = files_below(part.path()).map_err(cannot)?;
        names.sort_by_key(|name| name.as_path() == Path::new(REPORT));
        // Somebody else may have written there since it was looked at.
        if let Some(command) = self.command {
            remove(&self.folder, &last_run(&self.folder, command)?)?;
        }
        for name in &names {
            let to = self.folder.join(name);
            make_folders(parent_of(&to)).map_err(cannot)?;
            if name.as_path() == Path::new(REPORT) {
                sync_folder(&self.folder);
            }
            fs::rename(part.path().join(name), &to).map_err(cannot)?;
            sync_folder(parent_of(&to));
        }
        part.close().map_err(cannot)
    }

    fn cannot_write(&self, error: &io::Error) -> CliError {
        CliError::io(format!("cannot write {}", self.folder.display()), error)
    }
}

/// Whether something lies in a folder; nothing where there is no such folder.
fn occupied(folder: &Path) -> Result<Option<bool>, CliError> {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(Some(entries.next().is_some())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(CliError::Failure(format!("{shown} is not a folder")))
        }
        Err(error) => Err(CliError::io(format!("cannot read {shown}"), &error)),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a folder and those above it, which last as what is written into them does.
fn make_folders(folder: &Path) -> io::Result<()> {
    let missing = folder
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let missing: Vec<&Path> = missing.collect();
    fs::create_dir_all(folder)?;
    missing.into_iter().map(parent_of).for_each(sync_folder);
    Ok(())
}

/// The files in a folder and below, by their path in it.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => files.extend(
                files_below(&entry.path())?
                    .into_iter()
                    .map(|below| name.join(below)),
            ),
            false => files.push(name),
        }
    }
    Ok(files)
}

/// Makes everything in a folder last.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            // Some systems sync only what may be written to.
            false => OpenOptions::new()
                .write(true)
                .open(entry.path())?
                .sync_all()?,
        }
    }
    sync_folder(folder);
    Ok(())
}

/// The files of a run, by name, before any of them is written.
#[derive(Debug, Default)]
pub struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    /// Adds a file; folders in its name are separated by `/`.
    pub fn add(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.0.push((name.into(), bytes));
    }

    /// Adds an array as a `.npy` file.
    pub fn add_npy<S, D>(
        &mut self,
        name: impl Into<String>,
        array: &ArrayBase<S, D>,
    ) -> Result<(), CliError>
    where
        S: Data<Elem = f32>,
        D: Dimension,
    {
        let name = name.into();
        let mut bytes = Vec::new();
        array
            .write_npy(&mut bytes)
            .map_err(|error| CliError::Failure(format!("cannot write {name}: {error}")))?;
        self.add(name, bytes);
        Ok(())
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The names of the files added after the first `count`.
    pub fn names_from(&self, count: usize) -> Vec<String> {
        let names = self.0.iter().skip(count);
        names.map(|(name, _)| name.clone()).collect()
    }

    /// The names, with that of the report last.
    pub fn names(&self) -> Vec<String> {
        let names = self.0.iter().map(|(name, _)| name.clone());
        names.chain([REPORT.to_owned()]).collect()
    }

    /// Writes the files, as [`Destination::fill`] does.
    pub fn write_all(&self, to: &Destination) -> Result<(), CliError> {
        to.fill(|folder| {
            for (name, bytes) in &self.0 {
                let path = folder.join(name);
                write_file(&path, bytes).map_err(|error| to.cannot_write(&error))?;
            }
            Ok(())
        })
    }

    /// Writes the files and the report, as [`Destination::fill`] does, and gives the report's text.
    pub fn write(mut self, to: &Destination, report: &impl Serialize) -> Result<String, CliError> {
        let mut text = to_json(&Versioned::of(to.command.unwrap_or_default(), report))?;
        text.push('\n');
        self.add(REPORT, text.clone().into_bytes());
        self.write_all(to)?;
        Ok(text)
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(parent_of(path))?;
    File::create(path)?.write_all(bytes)
}

/// Removes files from a folder, and the folders in it that held nothing else.
fn remove(folder: &Path, files: &[String]) -> Result<(), CliError> {
    for name in files {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CliError::io(
                    format!("cannot replace {}", path.display()),
                    &error,
                ));
            }
            _ => {}
        }
        if name == REPORT {
            // From here on the folder says of itself that it is not complete.
            sync_folder(folder);
        }
        for emptied in path.ancestors().skip(1).take_while(|a| *a != folder) {
            // Somebody else's files keep the folder.
            let _ = fs::remove_dir(emptied);
        }
    }
    Ok(())
}

/// The files of the last run in `folder`, the report first, of which only names inside the folder count, because
/// anybody may have written it; none where there is no report.
///
/// Refuses a folder that holds anything that `command` did not make: what another command computed may have
/// taken days, and journals are never removed but those that a merge wrote.
fn last_run(folder: &Path, command: &'static str) -> Result<Vec<String>, CliError> {
    #[derive(Deserialize)]
    struct Report {
        command: String,
        files: Vec<String>,
    }
    /// The longest name of a command that is repeated, which may be anything.
    const NAMED: usize = 40;
    let shown = folder.display();
    let kept = |holds: String| {
        CliError::Failure(format!(
            "{holds}, which --force of elucid {command} does not replace; give another folder, or remove \
             this one yourself"
        ))
    };
    let path = folder.join(REPORT);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match [JOURNAL, SETTINGS].map(|name| folder.join(name).exists()) {
                [false, false] => Ok(Vec::new()),
                _ => Err(kept(format!(
                    "{shown} holds an evaluation or a sprite map that is not finished"
                ))),
            };
        }
        Err(error) => {
            return Err(CliError::io(
                format!("cannot read {}", path.display()),
                &error,
            ));
        }
    };
    let Ok(report) = serde_json::from_slice::<Report>(&bytes) else {
        return Err(kept(format!("{} is no report of elucid", path.display())));
    };
    if report.command != command {
        let theirs: String = report.command.chars().take(NAMED).collect();
        return Err(kept(format!("{shown} holds results of elucid {theirs}")));
    }
    let journals: Vec<OsString> = match fs::read_dir(folder.join(JOURNAL)) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
        Err(_) => Vec::new(),
    };
    let is_copy = |name: &OsString| {
        let name = format!("{JOURNAL}/{}", name.to_string_lossy());
        command == MERGED && report.files.contains(&name)
    };
    if !journals.iter().all(is_copy) {
        return Err(kept(format!(
            "{shown} holds a journal, {}",
            folder.join(JOURNAL).display()
        )));
    }
    let others = report
        .files
        .into_iter()
        .filter(|name| name != REPORT && is_inside(folder, name));
    Ok(std::iter::once(REPORT.to_owned()).chain(others).collect())
}

/// Whether a name leads through real folders only to a place below `folder`.
fn is_inside(folder: &Path, name: &str) -> bool {
    let name = Path::new(name);
    let plain = name
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    // A link could lead out again.
    let linked =
        |part: &Path| fs::symlink_metadata(folder.join(part)).is_ok_and(|m| m.is_symlink());
    plain
        && name.file_name().is_some()
        && !name
            .ancestors()
            .skip(1)
            .filter(|part| !part.as_os_str().is_empty())
            .any(linked)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn one_file(name: &str) -> (Files, serde_json::Value) {
        let mut files = Files::default();
        files.add(name, b"x".to_vec());
        let report = json!({ "command": "attribute", "files": files.names() });
        (files, report)
    }

    #[test]
    fn a_new_folder_is_complete_and_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/er/out");
        let to = Destination::check(&folder, false, "attribute").unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&folder), ["a.npy", "report.json"]);
        assert_eq!(listing(folder.parent().unwrap()), ["out"]);
    }

    #[test]
    fn what_is_there_is_kept_unless_forced() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        fs::create_dir(&folder).unwrap();
        let to = Destination::check(&folder, false, "attribute").unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap();
        fs::write(folder.join("mine.txt"), "mine").unwrap();

        let refused = Destination::check(&folder, false, "attribute").unwrap_err();
        assert!(matches!(refused, CliError::Failure(m) if m.contains("--force")));
        let to = Destination::check(&folder, true, "attribute").unwrap();
        let (files, report) = one_file("b.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&folder), ["b.npy", "mine.txt", "report.json"]);
    }

    #[test]
    fn folders_inside_come_and_go_with_their_files() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        let to = Destination::check(&folder, false, "attribute").unwrap();
        let (files, report) = one_file("first/deep/a.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&folder.join("first/deep")), ["a.npy"]);

        fs::create_dir(folder.join("kept")).unwrap();
        fs::write(folder.join("kept/mine.txt"), "mine").unwrap();
        let to = Destination::check(&folder, true, "attribute").unwrap();
        let (files, report) = one_file("second/b.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&folder), ["kept", "report.json", "second"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_report_removes_nothing_through_a_link() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = root.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("precious"), "x").unwrap();
        let folder = root.path().join("out");
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.join("link")).unwrap();
        let hostile = json!({ "command": "attribute", "files": ["link/precious"] });
        fs::write(folder.join(REPORT), hostile.to_string()).unwrap();
        let to = Destination::check(&folder, true, "attribute").unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&elsewhere), ["precious"]);
    }

    #[test]
    fn a_folder_that_appears_meanwhile_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        let to = Destination::check(&folder, false, "attribute").unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("theirs"), "x").unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap_err();
        assert_eq!(listing(&folder), ["theirs"]);
        assert_eq!(listing(root.path()), ["out"]);
    }

    #[test]
    fn a_report_removes_nothing_outside_its_folder() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("precious"), "x").unwrap();
        let folder = root.path().join("out");
        fs::create_dir(&folder).unwrap();
        let hostile =
            json!({ "command": "attribute", "files": ["../precious", "/etc/none", "..", ""] });
        fs::write(folder.join(REPORT), hostile.to_string()).unwrap();
        let to = Destination::check(&folder, true, "attribute").unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(root.path()), ["out", "precious"]);
    }

    /// A folder with these files, of which the first is the report where it says so.
    fn with_files(files: &[(&str, String)]) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        for (name, text) in files {
            write_file(&folder.join(name), text.as_bytes()).unwrap();
        }
        (root, folder)
    }

    fn report_of(command: &str, files: &[&str]) -> (&'static str, String) {
        let report = json!({ "command": command, "files": files });
        (REPORT, report.to_string())
    }

    #[test]
    fn only_what_the_same_command_made_is_replaced() {
        let x = || "x".to_owned();
        let merged = ["journal/merged.jsonl", "settings.json"];
        let cases = [
            (
                vec![report_of("evaluate", &["results.csv"])],
                "elucid evaluate",
            ),
            (vec![report_of("groups", &["a"])], "elucid groups"),
            (vec![(REPORT, "{}".to_owned())], "no report of elucid"),
            (vec![(REPORT, x())], "no report of elucid"),
            (vec![("settings.json", x())], "not finished"),
            (vec![("journal/a.jsonl", x())], "not finished"),
            (
                vec![
                    report_of("attribute", &["journal/a.jsonl"]),
                    ("journal/a.jsonl", x()),
                ],
                "holds a journal,",
            ),
        ];
        for (files, part) in cases {
            let (_root, folder) = with_files(&files);
            let before = files_below(&folder).unwrap();
            let refused = Destination::check(&folder, true, "attribute").unwrap_err();
            let CliError::Failure(message) = refused else {
                panic!("{refused:?}");
            };
            assert!(message.contains(part), "{message}");
            assert!(message.contains("elucid attribute"), "{message}");
            assert_eq!(files_below(&folder).unwrap(), before);
        }
        // A merge's own journal is a copy; one that was written since is not.
        let files = [
            report_of(MERGED, &merged),
            ("journal/merged.jsonl", x()),
            ("settings.json", x()),
        ];
        let (_root, folder) = with_files(&files);
        let to = Destination::check(&folder, true, MERGED).unwrap();
        let report = json!({ "command": MERGED, "files": [REPORT] });
        Files::default().write(&to, &report).unwrap();
        assert_eq!(listing(&folder), [REPORT]);
        let more = [&files[..], &[("journal/more.jsonl", x())]].concat();
        let (_root, folder) = with_files(&more);
        Destination::check(&folder, true, MERGED).unwrap_err();
    }

    #[test]
    fn what_comes_meanwhile_is_kept() {
        let (_root, folder) = with_files(&[report_of("attribute", &["a.npy"])]);
        let to = Destination::check(&folder, true, "attribute").unwrap();
        let (name, report) = report_of("evaluate", &["results.csv"]);
        fs::write(folder.join(name), report).unwrap();
        let (files, report) = one_file("b.npy");
        files.write(&to, &report).unwrap_err();
        assert_eq!(listing(&folder), [REPORT]);
    }

    #[test]
    fn results_stay_where_new_ones_fail() {
        let (_root, folder) = with_files(&[
            report_of("attribute", &["a.npy"]),
            ("a.npy", "x".to_owned()),
        ]);
        let to = Destination::check(&folder, true, "attribute").unwrap();
        let failed = to.fill(|part| {
            write_file(&part.join("b.npy"), b"x").unwrap();
            Err(CliError::Failure("no more room".to_owned()))
        });
        failed.unwrap_err();
        assert_eq!(listing(&folder), ["a.npy", REPORT]);
    }
}
