//! Runs the real binary.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use elucid::models::{Embedded, photographs};
use serde_json::Value;
use tempfile::TempDir;

/// How a run ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The run succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    /// The run failed with `code` and one readable line, which is returned.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        let (rest, last) = match self.err.trim_end().rsplit_once('\n') {
            Some((rest, last)) => (rest, last),
            None => ("", self.err.trim_end()),
        };
        assert!(last.starts_with("error: "), "{}", self.err);
        assert!(!rest.contains("error"), "{}", self.err);
        assert!(!last.contains("internal error"), "{last}");
        assert!(!self.err.contains("panicked"), "{}", self.err);
        last.to_owned()
    }

    /// As [`Ended::refused`], with each of `parts` in that line.
    #[track_caller]
    pub fn refused_with(self, code: i32, parts: &[&str]) {
        has(&self.refused(code), parts);
    }

    /// Standard output is JSON and nothing else.
    #[track_caller]
    pub fn json(self) -> Value {
        let ended = self.ok();
        serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out))
    }
}

/// Each of `parts` is in the text.
#[track_caller]
pub fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

/// What `run` makes of each case's arguments is refused, with its code.
pub fn refuses(cases: &[(&str, i32)], run: impl Fn(&str) -> Ended) {
    for (arguments, code) in cases {
        run(arguments).refused(*code);
    }
}

/// Sends a signal, by its name.
#[cfg(unix)]
#[track_caller]
pub fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([&format!("-{signal}"), &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// A folder with the photographs, in which commands run.
pub struct Desk {
    folder: TempDir,
    variables: Vec<(String, String)>,
    model: Option<&'static str>,
}

/// Commands that run a network.
const RUNNING: [&str; 11] = [
    "attention",
    "attribute",
    "channels",
    "classify",
    "evaluate",
    "groups",
    "inspect",
    "profile",
    "spatial",
    "spritemap",
    "visualize",
];

/// What is done with evaluations and sprite maps that are there.
const ABOUT: [&str; 4] = ["compare", "merge", "status", "table"];

/// The ONNX file of SqueezeNet.
pub fn squeezenet() -> &'static [u8] {
    Embedded::find("squeezenet").unwrap().bytes()
}

impl Desk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // One deeper, so that tests can put files beside it.
        let desk = folder.path().join("desk");
        std::fs::create_dir(&desk).unwrap();
        let photos = [
            ("cat.png", photographs::chelsea()),
            ("coffee.png", photographs::coffee()),
            ("both.png", photographs::cat_and_coffee()),
            ("pets.png", photographs::dog_and_cat()),
        ];
        for (name, bytes) in photos {
            std::fs::write(desk.join(name), bytes).unwrap();
        }
        Self {
            folder,
            variables: Vec::new(),
            model: None,
        }
    }

    /// A desk on which commands run SqueezeNet, unless they name another network.
    pub fn squeezenet() -> Self {
        Self {
            model: Some("squeezenet"),
            ..Self::new()
        }
    }

    /// With `boxes.csv`, for `evaluate`: boxes as shares of the pictures' sides, some of all files that ask for them, and these.
    pub fn boxed(self, more: &[&str]) -> Self {
        let boxes = [
            "file,width,height,class_index,xmin,ymin,xmax,ymax",
            "cat.png,100,100,285,20,10,80,95",
            "coffee.png,100,100,967,20,20,75,80",
            "both.png,100,100,285,0,0,50,100",
            "both.png,100,100,967,55,10,70,90",
        ];
        let lines = [&boxes[..], more].concat().join("\n") + "\n";
        std::fs::write(self.path("boxes.csv"), lines).unwrap();
        self
    }

    /// With the networks of a folder of `tests/files`.
    pub fn with_files(self, folder: &str) -> Self {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
        for entry in std::fs::read_dir(files.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "onnx") {
                std::fs::copy(&path, self.path(path.file_name().unwrap())).unwrap();
            }
        }
        self
    }

    /// Sets an environment variable for every later run.
    pub fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.variables.push((variable.to_owned(), value.into()));
        self
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("desk").join(name)
    }

    /// What a file says.
    #[track_caller]
    pub fn text(&self, file: impl AsRef<Path>) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// What a file of JSON says.
    #[track_caller]
    pub fn json(&self, file: impl AsRef<Path>) -> Value {
        serde_json::from_str(&self.text(file)).unwrap()
    }

    /// Names in a folder, sorted.
    pub fn listing(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Files in a folder and below, sorted, with `/` between folders.
    pub fn tree(&self, name: &str) -> Vec<String> {
        let mut files = Vec::new();
        for entry in self.listing(name) {
            let path = format!("{name}/{entry}");
            match self.path(&path).is_dir() {
                true => files.extend(self.tree(&path)),
                false => files.push(path),
            }
        }
        files.sort();
        files
    }

    /// The report of a run, whose files are those that it lists.
    #[track_caller]
    pub fn report(&self, folder: &str) -> Value {
        let report = self.json(format!("{folder}/report.json"));
        let listed: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
        let mut listed: Vec<_> = listed.iter().map(|f| format!("{folder}/{f}")).collect();
        listed.sort();
        assert_eq!(self.tree(folder), listed);
        report
    }

    /// `elucid` with these arguments, to be run.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let arguments = arguments.into_iter();
        let mut arguments: Vec<OsString> = arguments.map(|a| a.as_ref().to_owned()).collect();
        if let Some(model) = self.model
            && matches!(&arguments[..], [first, ..] if RUNNING.iter().any(|name| first == name))
            && !arguments.iter().any(|a| a == "--model")
            && !(arguments.get(1)).is_some_and(|second| ABOUT.iter().any(|about| second == about))
        {
            arguments.extend(["--model".into(), model.into()]);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_elucid"));
        command
            .args(arguments)
            .current_dir(self.path(""))
            // Models of this machine must not be found.
            .env("ELUCID_MODELS", self.path("models"))
            .env_remove("ELUCID_ASSETS")
            .env_remove("ELUCID_MODELS_URL")
            .env_remove("RUST_LOG")
            .envs(self.variables.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Runs `elucid` with these arguments.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        let ended = self.command(arguments).output().unwrap();
        Ended {
            code: ended.status.code(),
            out: String::from_utf8(ended.stdout).unwrap(),
            err: String::from_utf8_lossy(&ended.stderr).into_owned(),
        }
    }

    /// As [`Desk::run`], with the arguments in one line.
    pub fn say(&self, line: &str) -> Ended {
        self.run(line.split_whitespace())
    }
}

/// Where the pack of situations is, each of these passes.
#[track_caller]
pub fn situations(cases: &[&str]) {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    if !shared.join("run.py").is_file() {
        eprintln!("skipped: {} is not here", shared.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let python = |script: &str, arguments: &[PathBuf]| {
        let mut command = Command::new("python3");
        command.arg(shared.join(script)).args(arguments);
        command.output().unwrap()
    };
    let at = folder.path().join("cases");
    let made = python("make_cases.py", std::slice::from_ref(&at));
    if !made.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&made.stderr));
        return;
    }
    let mut arguments = vec![PathBuf::from(env!("CARGO_BIN_EXE_elucid")), at];
    arguments.extend(cases.iter().map(PathBuf::from));
    arguments.push(PathBuf::from("-v"));
    let ran = python("run.py", &arguments);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        said.contains(&format!("{} passes, 0 refused", cases.len())),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
