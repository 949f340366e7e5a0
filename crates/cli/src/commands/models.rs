//! `elucid models`: the networks that are known by name.

use std::path::Path;

use clap::{Args, Subcommand};
use elucid::models::manifest::{self, Entry};
use elucid::models::{Cache, Found, PullOptions};
use serde::Serialize;

use crate::console::{Console, Output, table};
use crate::download::fetch;
use crate::error::CliError;

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the known models
    List(ListArgs),
    /// Download a model, going on where an earlier attempt ended
    Pull(PullArgs),
    /// Print where the file of a model lies on this machine
    Path(PathArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What shells complete by the names that are known.
#[derive(Debug, Clone)]
pub struct ModelName(String);

impl From<String> for ModelName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// A name that `elucid models list` shows
    name: ModelName,

    /// Print no remarks and no progress
    #[arg(long, short)]
    quiet: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct PathArgs {
    /// A name that `elucid models list` shows
    name: ModelName,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct List {
    models: Vec<Row>,
}

/// Where a model lies.
#[derive(Debug, Serialize)]
struct Place {
    name: &'static str,
    path: String,
    bytes: u64,
    sha256: &'static str,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    aliases: &'static [String],
    bytes: u64,
    embedded: bool,
    /// Where the file lies, if it is on this machine.
    path: Option<String>,
    /// Whether `elucid models pull` can get it.
    hosted: bool,
    licence: &'static str,
    source: &'static str,
    sha256: &'static str,
}

pub fn run(command: &ModelsCommand) -> Result<(), CliError> {
    match command {
        ModelsCommand::List(args) => list(args),
        ModelsCommand::Pull(args) => download(args),
        ModelsCommand::Path(args) => path(args),
    }
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let cache = Cache::from_env()?;
    let rows: Vec<Row> = manifest::all()
        .iter()
        .map(|entry| row(&cache, entry))
        .collect();
    let mut out = Output::new();
    if args.json {
        out.json("models list", &List { models: rows })?;
        return out.flush();
    }
    let mut lines = vec![
        ["name", "size", "here", "licence"]
            .map(str::to_owned)
            .to_vec(),
    ];
    lines.extend(rows.iter().map(|row| {
        let here = match (row.embedded, &row.path, row.hosted) {
            (true, ..) => "in this program",
            (_, Some(_), _) => "yes",
            (_, None, true) => "no",
            (_, None, false) => "no, and hosted nowhere",
        };
        let megabytes = format!("{:.0} MB", row.bytes as f64 / 1e6);
        vec![
            row.name.to_owned(),
            megabytes,
            here.to_owned(),
            row.licence.to_owned(),
        ]
    }));
    for line in table(&lines, &[1]) {
        out.line(line)?;
    }
    out.flush()
}

fn row(cache: &Cache, entry: &'static Entry) -> Row {
    let found = cache.resolve(&entry.name).ok();
    Row {
        name: &entry.name,
        aliases: &entry.aliases,
        bytes: entry.bytes,
        embedded: matches!(found, Some(Found::Embedded(_))),
        path: match found {
            Some(Found::File(path)) => Some(path.display().to_string()),
            _ => None,
        },
        hosted: entry.is_hosted(),
        licence: &entry.licence,
        source: &entry.source,
        sha256: &entry.sha256,
    }
}

fn download(args: &PullArgs) -> Result<(), CliError> {
    let entry = known(&args.name.0)?;
    let cache = Cache::from_env()?;
    if let Ok(Found::Embedded(_)) = cache.resolve(&entry.name) {
        return Err(has_no_file(entry));
    }
    let console = Console::new(args.quiet);
    let path = fetch(entry, cache.folder(), &PullOptions::from_env(), console)?;
    print(("models pull", args.json), entry, &path)
}

fn path(args: &PathArgs) -> Result<(), CliError> {
    let entry = known(&args.name.0)?;
    match Cache::from_env()?.resolve(&args.name.0)? {
        Found::File(path) => print(("models path", args.json), entry, &path),
        Found::Embedded(_) => Err(has_no_file(entry)),
    }
}

fn known(name: &str) -> Result<&'static Entry, CliError> {
    manifest::by_name(name).ok_or_else(|| {
        let hint = match manifest::nearest(name)[..] {
            [] => "to see the names: elucid models list".to_owned(),
            ref nearest => format!("the nearest are {}", nearest.join(", ")),
        };
        CliError::Failure(format!("no known model is called \"{name}\"; {hint}"))
    })
}

fn has_no_file(entry: &Entry) -> CliError {
    let name = &entry.name;
    CliError::Failure(format!(
        "the model {name} is part of this program and needs no file: --model {name}"
    ))
}

fn print(
    (command, json): (&'static str, bool),
    entry: &'static Entry,
    path: &Path,
) -> Result<(), CliError> {
    let mut out = Output::new();
    let path = path.display().to_string();
    match json {
        true => out.json(
            command,
            &Place {
                name: &entry.name,
                path,
                bytes: entry.bytes,
                sha256: &entry.sha256,
            },
        )?,
        false => out.line(path)?,
    }
    out.flush()
}
