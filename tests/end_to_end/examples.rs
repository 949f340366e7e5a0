//! Runs the examples as their users do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs an example in `folder`.
pub fn run(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    // Cargo builds the examples of a package before it runs the tests, and puts them beside those.
    let test = std::env::current_exe().unwrap();
    let build = test.parent().and_then(Path::parent).unwrap();
    let program = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let program = build.join("examples").join(program);
    assert!(
        program.is_file(),
        "{} is missing: cargo build --examples",
        program.display()
    );
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Runs an example in `folder`, and gives what it said and its page.
pub fn page(name: &str, folder: &Path, arguments: &[&str]) -> (String, PathBuf) {
    let ended = run(name, folder, arguments);
    let out = String::from_utf8_lossy(&ended.stdout).into_owned();
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{out}{err}");
    let path = out.lines().last().and_then(|l| l.strip_prefix("open "));
    let path = folder.join(path.unwrap());
    (out, path)
}
