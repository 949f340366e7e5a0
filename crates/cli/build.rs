//! Tells the program which build it is: the commit, whether files were changed since, and the burn that was locked.
//! Without git, or without a repository, it says less and works all the same.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    let workspace = package.join("../..");
    // In a package from a registry, what lies two folders up is none of ours.
    if !workspace.join("crates/cli/build.rs").exists() {
        return;
    }
    let sources = sources(&workspace);
    for path in &sources {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    if let Some(burn) = locked(&workspace.join("Cargo.lock"), "burn") {
        println!("cargo::rustc-env=ELUCID_BURN={burn}");
    }
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        let ran = command.current_dir(&workspace).args(arguments).output();
        let said = ran.ok().filter(|ran| ran.status.success())?.stdout;
        Some(String::from_utf8(said).ok()?.trim().to_owned())
    };
    // An archive of the sources may lie in somebody's own repository.
    let is_ours = git(&["ls-files", "--error-unmatch", "crates/cli/build.rs"]).is_some();
    let Some(commit) = git(&["rev-parse", "HEAD"]).filter(|_| is_ours) else {
        return;
    };
    println!("cargo::rustc-env=ELUCID_GIT={commit}");
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]).map(|path| workspace.join(path));
        // A file that is not there would run this each time.
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let status = ["status", "--porcelain", "--"];
    let status = status.into_iter().chain(sources.iter().map(String::as_str));
    let is_clean = git(&status.collect::<Vec<_>>()).is_some_and(|said| said.is_empty());
    if !is_clean {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        println!("cargo::rustc-env=ELUCID_DIRTY={seconds}");
    }
}

/// What the program is made of.
fn sources(workspace: &Path) -> Vec<String> {
    let mut sources = ["src", "models/src", "Cargo.toml", "Cargo.lock"]
        .map(str::to_owned)
        .to_vec();
    let crates = fs::read_dir(workspace.join("crates"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = crates
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    for name in names {
        for part in ["src", "Cargo.toml"] {
            let path = format!("crates/{name}/{part}");
            if workspace.join(&path).exists() {
                sources.push(path);
            }
        }
    }
    sources
}

/// The version of a package in a lock file.
fn locked(lock: &Path, package: &str) -> Option<String> {
    let lock = fs::read_to_string(lock).ok()?;
    let named = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&named)?;
    Some(rest.split_once('"')?.0.to_owned())
}
