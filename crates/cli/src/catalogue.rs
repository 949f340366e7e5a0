//! Things that are known by name and have options, methods and metrics: all in a table, or one in full.

use std::collections::BTreeMap;

use elucid::attribution::{Configuration, MethodOption};
use serde::Serialize;

use crate::console::{Output, table};
use crate::error::CliError;

/// One of them, as JSON shows it.
pub trait Entry: Serialize {
    /// The command that lists them.
    const COMMAND: &'static str;

    /// What a list of them is called in JSON.
    const LIST: &'static str;

    /// What the columns of the table of all say.
    const HEADS: &'static [&'static str];

    /// Its row in that table, without the options, which stand last.
    fn row(&self) -> Vec<String>;

    /// All about it but the options; what is empty is left out.
    fn rows(&self) -> Vec<(&'static str, String)>;

    /// Its options.
    fn options(&self) -> &[OptionFacts];

    /// How an option of this name is given.
    fn spelling(&self, option: &str) -> String;
}

/// An option, as JSON shows it.
#[derive(Debug, Serialize)]
pub struct OptionFacts {
    pub name: &'static str,
    /// On pictures of 224 by 224 pixels; absent where it follows from the network, or is not set.
    pub default: Option<String>,
    pub help: &'static str,
    /// What it may be.
    pub values: String,
}

impl OptionFacts {
    /// An option of something that does this where nothing is given.
    pub fn new(option: &MethodOption, defaults: &Configuration) -> Self {
        Self {
            name: option.name,
            default: defaults.get(option.name).map(str::to_owned),
            help: option.help,
            values: option.values.to_owned(),
        }
    }
}

/// Prints `one` in full, or all of them in a table.
pub fn print<E: Entry>(
    one: Option<E>,
    all: impl Iterator<Item = E>,
    json: bool,
) -> Result<(), CliError> {
    let mut out = Output::new();
    match (one, json) {
        (Some(one), true) => out.json(E::COMMAND, &BTreeMap::from([(E::LIST, [one])]))?,
        (Some(one), false) => show(&mut out, &one)?,
        (None, true) => {
            let all: Vec<E> = all.collect();
            out.json(E::COMMAND, &BTreeMap::from([(E::LIST, all)]))?;
        }
        (None, false) => list(&mut out, all)?,
    }
    out.flush()
}

fn list<E: Entry>(out: &mut Output, all: impl Iterator<Item = E>) -> Result<(), CliError> {
    let heads = E::HEADS.iter().chain(&["options"]);
    let mut rows: Vec<Vec<String>> = vec![heads.map(|&head| head.to_owned()).collect()];
    rows.extend(all.map(|entry| {
        let options: Vec<&str> = entry.options().iter().map(|option| option.name).collect();
        let mut row = entry.row();
        row.push(options.join(", "));
        row
    }));
    lines(out, &rows)?;
    out.line("")?;
    out.line(format!(
        "for one in full, with defaults: elucid {} NAME",
        E::COMMAND
    ))
}

fn show(out: &mut Output, entry: &impl Entry) -> Result<(), CliError> {
    let rows = entry.rows().into_iter();
    let rows = rows.filter(|(_, value)| !value.is_empty());
    let rows: Vec<_> = rows
        .map(|(key, value)| vec![key.to_owned(), value])
        .collect();
    lines(out, &rows)?;
    if entry.options().is_empty() {
        return Ok(());
    }
    out.line("")?;
    let heads = ["option", "default", "meaning", "values"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(entry.options().iter().map(|option| {
        vec![
            entry.spelling(option.name),
            option.default.clone().unwrap_or_default(),
            option.help.to_owned(),
            option.values.clone(),
        ]
    }));
    lines(out, &rows)
}

fn lines(out: &mut Output, rows: &[Vec<String>]) -> Result<(), CliError> {
    table(rows, &[])
        .into_iter()
        .try_for_each(|line| out.line(line))
}

/// An answer in a table.
pub fn yes(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}
