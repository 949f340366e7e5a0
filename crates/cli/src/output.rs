//! The folder that a run leaves its results in: complete, or not there.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use elucid::render::file::write_atomically;
use ndarray::{ArrayBase, Data, Dimension};
use ndarray_npy::WriteNpyExt;
use serde::{Deserialize, Serialize};

use crate::console::to_json;
use crate::error::CliError;

/// Says which files belong to a run; written last.
pub const REPORT: &str = "report.json";

/// Where a run writes, checked before the work begins.
#[derive(Debug)]
pub struct Destination {
    folder: PathBuf,
    exists: bool,
}

impl Destination {
    /// Refuses a folder with something in it, unless `force`.
    pub fn check(folder: &Path, force: bool) -> Result<Self, CliError> {
        let shown = folder.display();
        let occupied = match fs::read_dir(folder) {
            Ok(mut entries) => Some(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(CliError::Failure(format!("{shown} is not a folder")));
            }
            Err(error) => return Err(CliError::io(format!("cannot read {shown}"), &error)),
        };
        if occupied == Some(true) && !force {
            return Err(CliError::Failure(format!(
                "the folder {shown} is not empty; give another one, or --force to replace the \
                 results in it"
            )));
        }
        Ok(Self {
            folder: folder.to_owned(),
            exists: occupied.is_some(),
        })
    }
}

impl Destination {
    /// Lets `write` make the results in a folder beside the destination, which then takes its place: they are there whole or
    /// not at all. In a folder that exists they are made one by one, in the place of those of the run before.
    pub fn fill(&self, write: impl FnOnce(&Path) -> Result<(), CliError>) -> Result<(), CliError> {
        if self.exists {
            remove_last_run(&self.folder)?;
            return write(&self.folder);
        }
        let part = Part::beside(&self.folder)?;
        write(part.0.path())?;
        part.persist(&self.folder)
    }
}

/// A folder that nobody sees until it is complete.
struct Part(tempfile::TempDir);

impl Part {
    fn beside(folder: &Path) -> Result<Self, CliError> {
        let cannot =
            |error: io::Error| CliError::io(format!("cannot write {}", folder.display()), &error);
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(cannot)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".elucid-").suffix(".part");
        // A result is an ordinary folder, as the umask says, not a private one.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        builder.tempdir_in(parent).map(Self).map_err(cannot)
    }

    fn persist(self, folder: &Path) -> Result<(), CliError> {
        let cannot =
            |error: io::Error| CliError::io(format!("cannot write {}", folder.display()), &error);
        fs::rename(self.0.path(), folder).map_err(cannot)?;
        // Nothing is left under the old name.
        let _ = self.0.keep();
        Ok(())
    }
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

    /// Writes the files and the report. A new folder appears under its name when it is complete.
    /// In a folder that exists, the files of the run before are replaced one by one, without a
    /// report in between.
    pub fn write(mut self, to: &Destination, report: &impl Serialize) -> Result<(), CliError> {
        let mut report = to_json(report)?;
        report.push('\n');
        self.add(REPORT, report.into_bytes());
        match to.exists {
            true => self.replace(&to.folder),
            false => self.create(&to.folder),
        }
    }

    fn create(self, folder: &Path) -> Result<(), CliError> {
        let cannot =
            |error: io::Error| CliError::io(format!("cannot write {}", folder.display()), &error);
        let part = Part::beside(folder)?;
        for (name, bytes) in &self.0 {
            let path = part.0.path().join(name);
            make_parent(&path).map_err(cannot)?;
            fs::write(path, bytes).map_err(cannot)?;
        }
        part.persist(folder)
    }

    fn replace(self, folder: &Path) -> Result<(), CliError> {
        remove_last_run(folder)?;
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            make_parent(&path)
                .map_err(|e| CliError::io(format!("cannot write {}", path.display()), &e))?;
            write_atomically(path, bytes)?;
        }
        Ok(())
    }
}

fn remove_last_run(folder: &Path) -> Result<(), CliError> {
    for name in files_of_last_run(folder) {
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
        for emptied in path.ancestors().skip(1).take_while(|a| *a != folder) {
            // Somebody else's files keep the folder.
            let _ = fs::remove_dir(emptied);
        }
    }
    Ok(())
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// What the report in `folder` lists, the report itself first; only names inside the folder,
/// because anybody may have written it.
fn files_of_last_run(folder: &Path) -> Vec<String> {
    #[derive(Deserialize)]
    struct Listed {
        files: Vec<String>,
    }
    let report = fs::read(folder.join(REPORT)).unwrap_or_default();
    let Ok(Listed { files }) = serde_json::from_slice(&report) else {
        return Vec::new();
    };
    let others = files
        .into_iter()
        .filter(|name| name != REPORT && is_inside(folder, name));
    std::iter::once(REPORT.to_owned()).chain(others).collect()
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
        let report = json!({ "files": files.names() });
        (files, report)
    }

    #[test]
    fn a_new_folder_is_complete_and_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/er/out");
        let to = Destination::check(&folder, false).unwrap();
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
        let to = Destination::check(&folder, false).unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap();
        fs::write(folder.join("mine.txt"), "mine").unwrap();

        let refused = Destination::check(&folder, false).unwrap_err();
        assert!(matches!(refused, CliError::Failure(m) if m.contains("--force")));
        let to = Destination::check(&folder, true).unwrap();
        let (files, report) = one_file("b.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&folder), ["b.npy", "mine.txt", "report.json"]);
    }

    #[test]
    fn folders_inside_come_and_go_with_their_files() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        let to = Destination::check(&folder, false).unwrap();
        let (files, report) = one_file("first/deep/a.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&folder.join("first/deep")), ["a.npy"]);

        fs::create_dir(folder.join("kept")).unwrap();
        fs::write(folder.join("kept/mine.txt"), "mine").unwrap();
        let to = Destination::check(&folder, true).unwrap();
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
        let hostile = json!({ "files": ["link/precious"] });
        fs::write(folder.join(REPORT), hostile.to_string()).unwrap();
        let to = Destination::check(&folder, true).unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(&elsewhere), ["precious"]);
    }

    #[test]
    fn a_folder_that_appears_meanwhile_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        let to = Destination::check(&folder, false).unwrap();
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
        let hostile = json!({ "files": ["../precious", "/etc/none", "..", ""] });
        fs::write(folder.join(REPORT), hostile.to_string()).unwrap();
        let to = Destination::check(&folder, true).unwrap();
        let (files, report) = one_file("a.npy");
        files.write(&to, &report).unwrap();
        assert_eq!(listing(root.path()), ["out", "precious"]);
    }
}
