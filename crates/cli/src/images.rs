//! Which pictures a command is given: files, folders, patterns that no shell expanded, and standard input.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use elucid::vision::input::{MAX_FILE_BYTES, PICTURE_ENDINGS, file_of, is_picture};
use glob::MatchOptions;
use serde::Serialize;

use crate::console::Console;
use crate::error::{CliError, WITH_FAILURES};

/// Stands for standard input, which holds one picture.
const STDIN: &str = "-";

/// How many names the last line has.
const NAMED: usize = 5;

/// Every picture that is meant, in the order given; those of a folder and of a pattern by name.
pub fn expand(given: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in given {
        match path.to_str() {
            Some(STDIN) if found.contains(path) => {
                return Err(CliError::Usage(
                    "standard input holds one picture: - may stand once".to_owned(),
                ));
            }
            Some(STDIN) => found.push(path.clone()),
            _ if path.is_dir() => found.extend(in_folder(path)?),
            Some(pattern) if pattern.contains(['*', '?', '[']) && !file_of(path).exists() => {
                found.extend(matching(pattern)?);
            }
            _ => found.push(path.clone()),
        }
    }
    Ok(found)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let shown = folder.display();
    let cannot = |error: io::Error| CliError::io(format!("cannot read {shown}"), &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let name = path.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if is_picture(&path) && !is_hidden && path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(CliError::Failure(format!(
            "the folder {shown} holds no picture: no file ends with .{}",
            PICTURE_ENDINGS.join(", .")
        )));
    }
    found.sort();
    Ok(found)
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>, CliError> {
    let options = MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..MatchOptions::new()
    };
    let matches = glob::glob_with(pattern, options)
        .map_err(|error| CliError::Usage(format!("{pattern} is no pattern: {error}")))?;
    let mut found = Vec::new();
    for path in matches {
        let path = path.map_err(|error| {
            CliError::io(
                format!("cannot read {}", error.path().display()),
                error.error(),
            )
        })?;
        if path.is_file() {
            found.push(path);
        }
    }
    match found.is_empty() {
        true => Err(CliError::Failure(format!("no file is like {pattern}"))),
        false => Ok(found),
    }
}

/// Whether a picture is the one on standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// A picture's name, for people.
pub fn name(path: &Path) -> String {
    match is_stdin(path) {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// What is on standard input, which is read once.
pub fn stdin() -> Result<&'static [u8], CliError> {
    static READ: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err("it is a terminal: send a picture to it, as by < cat.png".to_owned());
        }
        let mut bytes = Vec::new();
        let mut read = stdin.lock().take(MAX_FILE_BYTES + 1);
        match read.read_to_end(&mut bytes) {
            Ok(count) if count as u64 > MAX_FILE_BYTES => Err(format!(
                "it holds more than {} MiB, the most that a picture file may have",
                MAX_FILE_BYTES >> 20
            )),
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.to_string()),
        }
    });
    match read {
        Ok(bytes) => Ok(bytes),
        Err(reason) => Err(CliError::Failure(format!(
            "cannot read standard input: {reason}"
        ))),
    }
}

/// A picture that nothing was done for, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    pub file: String,
    reason: String,
}

/// Some pictures, of which those that cannot be read do not keep a command from the others.
#[derive(Debug)]
pub struct Several {
    /// How many were given.
    pub all: usize,
    pub skipped: Vec<Skipped>,
    console: Console,
}

impl Several {
    pub fn new(all: usize, console: Console) -> Self {
        Self {
            all,
            skipped: Vec::new(),
            console,
        }
    }

    /// What was done for a picture; nothing where that failed and there are others.
    pub fn keep<T>(
        &mut self,
        path: &Path,
        done: Result<T, CliError>,
    ) -> Result<Option<T>, CliError> {
        match done {
            Err(CliError::Failure(reason)) if self.all > 1 => {
                let file = name(path);
                self.console.note(format!("skipped {file}: {reason}"));
                self.skipped.push(Skipped { file, reason });
                match &self.skipped[..] {
                    skipped if skipped.len() < self.all => Ok(None),
                    skipped => Err(CliError::Failure(format!(
                        "none of {} pictures could be read, {} for example: {}",
                        self.all, skipped[0].file, skipped[0].reason
                    ))),
                }
            }
            done => done.map(Some),
        }
    }

    /// The end of the command, after everything else was said.
    pub fn end(&self) -> Result<(), CliError> {
        let skipped = self.skipped.iter();
        let mut names: Vec<&str> = skipped.map(|skipped| skipped.file.as_str()).collect();
        let count = names.len();
        if count == 0 {
            return Ok(());
        }
        names.truncate(NAMED);
        if count > NAMED {
            names.push("...");
        }
        Err(CliError::Ended(
            WITH_FAILURES,
            format!(
                "{count} of {} pictures were skipped: {}",
                self.all,
                names.join(", ")
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_patterns_are_expanded_by_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("photos/deeper.png")).unwrap();
        for name in [
            "photos/b.PNG",
            "photos/a.jpeg",
            "photos/.hidden.png",
            "photos/text.txt",
            "photos/deeper.png/c.png",
            "odd[1].png",
        ] {
            fs::write(at(name), "x").unwrap();
        }
        let names = |given: &[&str]| {
            let given: Vec<PathBuf> = given.iter().map(|name| at(name)).collect();
            let found = expand(&given).unwrap();
            let found = found.iter().map(|path| path.strip_prefix(root.path()));
            let found = found.map(|path| path.unwrap().to_string_lossy().into_owned());
            found.collect::<Vec<_>>()
        };
        let both = ["photos/a.jpeg", "photos/b.PNG"];
        assert_eq!(names(&["photos"]), both);
        assert_eq!(names(&["photos/*"]).len(), 3);
        assert_eq!(names(&["photos/[ab].*"]), both);
        assert_eq!(names(&["photos/?.PNG", "photos"]).len(), 3);
        assert_eq!(
            names(&["odd[1].png"]),
            ["odd[1].png"],
            "a file of that name"
        );
        assert_eq!(names(&["absent.png"]), ["absent.png"]);

        let refused = |given: &[PathBuf]| expand(given).unwrap_err();
        assert!(matches!(refused(&[at("*.tiff")]), CliError::Failure(_)));
        assert!(matches!(refused(&[at("[")]), CliError::Usage(_)));
        fs::create_dir(at("none")).unwrap();
        assert!(matches!(refused(&[at("none")]), CliError::Failure(m) if m.contains("no picture")));
        let twice = [PathBuf::from("-"), PathBuf::from("-")];
        assert!(matches!(refused(&twice), CliError::Usage(_)));
        assert_eq!(expand(&twice[..1]).unwrap(), twice[..1]);
    }

    #[test]
    fn one_that_cannot_be_read_ends_nothing_if_there_are_others() {
        let fails = || Err::<(), _>(CliError::Failure("torn".to_owned()));
        let path = Path::new("a.png");
        let mut one = Several::new(1, Console::new(true));
        assert!(one.keep(path, fails()).is_err());
        let mut two = Several::new(2, Console::new(true));
        assert_eq!(two.keep(path, fails()).unwrap(), None);
        assert_eq!(two.keep(path, Ok(7)).unwrap(), Some(7));
        assert!(matches!(two.end(), Err(CliError::Ended(3, m)) if m.contains("1 of 2")));
        let last = two.keep(path, fails()).unwrap_err();
        assert!(matches!(last, CliError::Failure(m) if m.contains("torn")));
    }
}
