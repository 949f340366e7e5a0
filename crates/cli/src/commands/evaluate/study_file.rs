//! `study.toml`: what the flags of `elucid evaluate` say, in a file, and which methods are for which images.
//!
//! A key is a flag without its dashes. What the command line says too takes the place of the key, in parts too. Paths are taken
//! from the file's folder. The file becomes flags before they are parsed, so that both mean the same.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use elucid::study::split;
use toml::{Table, Value};

pub use self::parts::Parts;
use crate::error::CliError;

mod parts;

/// The command that reads such files.
const COMMAND: &str = "evaluate";

/// Flags of this room, which a file cannot hold.
const OWN: [&str; 3] = ["study", "write-study", "help"];

/// Flags whose values are paths, and those whose values are `NAME=PATH`.
const PATHS: [&str; 4] = ["data", "object-masks", "out", "labels"];
const NAMED_PATHS: [&str; 2] = ["maps", "feed"];

/// What a part may say.
const PART: [&str; 5] = ["methods", "metrics", "images", "limit", "sample"];

/// The flags of an evaluation, and what parts of a file are left for later.
struct File {
    path: PathBuf,
    table: Table,
    parts: Vec<Table>,
}

impl File {
    fn read(path: &Path) -> Result<Self, CliError> {
        let cannot = |error| CliError::io(format!("cannot read {}", path.display()), &error);
        let text = fs::read_to_string(path).map_err(cannot)?;
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| {
                1 + text[..span.start.min(text.len())].matches('\n').count()
            });
            let reason = error.message();
            CliError::Failure(format!("{}, line {line}: {reason}", path.display()))
        })?;
        let parts = match table.remove("part") {
            None => Vec::new(),
            Some(Value::Array(parts)) => (parts.into_iter())
                .map(|part| match part {
                    Value::Table(part) => Ok(part),
                    _ => Err(wrong(path, "part is not [[part]]")),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(wrong(path, "part is written [[part]], once for each")),
        };
        for part in &parts {
            for key in part.keys() {
                if !PART.contains(&key.as_str()) {
                    return Err(unknown(path, "key of a part", key, &PART));
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            table,
            parts,
        })
    }

    /// The texts of a list of methods or metrics: of the file's own, or of a part.
    fn names(&self, table: &Table, key: &str) -> Result<Option<Vec<String>>, CliError> {
        let Some(value) = table.get(key) else {
            return Ok(None);
        };
        let refused = || {
            let reason = format!(
                "{key} is a list of names, and of tables with a name and options: \
                 [\"gradient\", {{ name = \"rise\", masks = 4000 }}]"
            );
            wrong(&self.path, &reason)
        };
        let items: &[Value] = match value {
            Value::Array(items) => items,
            Value::String(_) => std::slice::from_ref(value),
            _ => return Err(refused()),
        };
        let mut names = Vec::new();
        for item in items {
            match item {
                Value::String(text) => names.extend(split(text)),
                Value::Table(table) => {
                    let name = table
                        .get("name")
                        .and_then(Value::as_str)
                        .ok_or_else(refused)?;
                    let options = table.iter().filter(|(option, _)| *option != "name");
                    let options = options.map(|(option, value)| {
                        let text = self.text(option, value)?;
                        match text.contains(',') {
                            false => Ok(format!("{option}={text}")),
                            true => Err(wrong(
                                &self.path,
                                &format!(
                                    "{option} of {name} is \"{text}\": options of one entry hold no commas; a key \
                                     of the file, for all that take it, may"
                                ),
                            )),
                        }
                    });
                    let options: Vec<String> = options.collect::<Result<_, _>>()?;
                    names.push(match options.is_empty() {
                        true => name.to_owned(),
                        false => format!("{name}:{}", options.join(",")),
                    });
                }
                _ => return Err(refused()),
            }
        }
        Ok(Some(names))
    }

    /// A single value as a flag has it; of several, with commas.
    fn text(&self, key: &str, value: &Value) -> Result<String, CliError> {
        Ok(match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(is) => is.to_string(),
            Value::Array(values) => {
                let texts = values.iter().map(|value| match value {
                    Value::Array(_) | Value::Table(_) => Err(self.odd(key)),
                    value => self.text(key, value),
                });
                texts.collect::<Result<Vec<_>, _>>()?.join(",")
            }
            Value::Datetime(_) | Value::Table(_) => return Err(self.odd(key)),
        })
    }

    fn odd(&self, key: &str) -> CliError {
        wrong(&self.path, &format!("{key} is neither text nor a number"))
    }

    /// A path from the file's folder.
    fn placed(&self, path: &str) -> OsString {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        folder.join(path).into_os_string()
    }

    /// The values of a flag, `None` for one that is only there.
    fn values(
        &self,
        arg: &Arg,
        key: &str,
        value: &Value,
    ) -> Result<Vec<Option<OsString>>, CliError> {
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return match value {
                Value::Boolean(true) => Ok(vec![None]),
                Value::Boolean(false) => Ok(Vec::new()),
                _ => Err(wrong(&self.path, &format!("{key} is true or false"))),
            };
        }
        if ["methods", "metrics"].contains(&key) {
            let names = self.names(&self.table, key)?.unwrap_or_default();
            return Ok(vec![Some(names.join(",").into())]);
        }
        let is_repeated = matches!(arg.get_action(), ArgAction::Append);
        let texts: Vec<String> = match value {
            Value::Array(values) if is_repeated => (values.iter())
                .map(|value| self.text(key, value))
                .collect::<Result<_, _>>()?,
            Value::Table(named) if is_repeated => (named.iter())
                .map(|(name, value)| Ok(format!("{name}={}", self.text(key, value)?)))
                .collect::<Result<_, CliError>>()?,
            value => vec![self.text(key, value)?],
        };
        let values = texts.into_iter().map(|text| {
            Some(match (text.split_once('='), key) {
                (_, key) if PATHS.contains(&key) => self.placed(&text),
                // A file of this name here, or the name of a network.
                (_, "model") if Path::new(&self.placed(&text)).exists() => self.placed(&text),
                (Some((name, path)), key) if NAMED_PATHS.contains(&key) => {
                    let mut named = OsString::from(format!("{name}="));
                    named.push(self.placed(path));
                    named
                }
                (None, key) if NAMED_PATHS.contains(&key) => self.placed(&text),
                _ => text.into(),
            })
        });
        Ok(values.collect())
    }
}

fn wrong(path: &Path, reason: &str) -> CliError {
    CliError::Failure(format!("{}: {reason}", path.display()))
}

/// What refuses a name that is none of those known, with the nearest.
fn unknown(path: &Path, what: &str, name: &str, names: &[&str]) -> CliError {
    let scored = names
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known));
    let nearest = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((score, nearest)) if score > 0.7 => format!("; did you mean {nearest}?"),
        _ => String::new(),
    };
    wrong(path, &format!("there is no {what} \"{name}\"{hint}"))
}

/// The flags of the command, by name.
fn flags(command: &Command) -> Vec<&Arg> {
    let flags = command.get_arguments();
    flags
        .filter(|arg| arg.get_long().is_some_and(|name| !OWN.contains(&name)))
        .collect()
}

/// What the command line gives of a flag, and whether it is there.
fn given<'a>(arguments: &'a [OsString], arg: &Arg) -> (bool, Option<&'a OsStr>) {
    let long = format!("--{}", arg.get_long().unwrap_or_default());
    let short = arg.get_short().map(|short| format!("-{short}"));
    for (at, argument) in arguments.iter().enumerate() {
        if argument == long.as_str()
            || short
                .as_ref()
                .is_some_and(|short| argument == short.as_str())
        {
            return (true, arguments.get(at + 1).map(OsString::as_os_str));
        }
        let text = argument.to_str();
        if let Some(value) = text.and_then(|text| text.strip_prefix(&long)?.strip_prefix('=')) {
            return (true, Some(OsStr::new(value)));
        }
    }
    (false, None)
}

/// The flag that names the file.
fn study_flag(command: &Command) -> Option<&Arg> {
    { command.get_arguments() }.find(|arg| arg.get_long() == Some("study"))
}

/// A command line, with what a `study.toml` says.
pub struct Expanded {
    pub arguments: Vec<OsString>,
    /// Which of methods and metrics are left to the parts of the file.
    pub of_study: Vec<&'static str>,
}

/// Puts what a `study.toml` says behind the flags of `elucid evaluate --study FILE`. All other arguments stay as they are.
pub fn expand(program: &Command, arguments: Vec<OsString>) -> Result<Expanded, CliError> {
    let command = evaluates(program, &arguments);
    let path = command.and_then(|command| given(&arguments, study_flag(command)?).1);
    let (Some(command), Some(path)) = (command, path) else {
        return Ok(Expanded {
            arguments,
            of_study: Vec::new(),
        });
    };
    let file = File::read(Path::new(path))?;
    let flags = flags(command);
    let names: Vec<&str> = flags.iter().filter_map(|arg| arg.get_long()).collect();
    let mut all = arguments.clone();
    for (key, value) in &file.table {
        let arg = flags
            .iter()
            .find(|arg| arg.get_long() == Some(key.as_str()))
            .ok_or_else(|| unknown(&file.path, "flag", key, &names))?;
        let values = file.values(arg, key, value)?;
        let in_parts = !file.parts.is_empty() && ["methods", "metrics"].contains(&key.as_str());
        if given(&arguments, arg).0 || in_parts {
            continue;
        }
        for value in values {
            let mut flag = OsString::from(format!("--{key}"));
            if let Some(value) = value {
                flag.push("=");
                flag.push(value);
            }
            all.push(flag);
        }
    }
    let mut of_study = Vec::new();
    for key in ["methods", "metrics"] {
        let is_given = flags
            .iter()
            .any(|arg| arg.get_long() == Some(key) && given(&arguments, arg).0);
        let names = file.in_parts(key)?;
        if !is_given && !file.parts.is_empty() {
            of_study.push(key);
            if !names.is_empty() {
                all.push(format!("--{key}={}", names.join(",")).into());
            }
        }
    }
    Ok(Expanded {
        arguments: all,
        of_study,
    })
}

/// The command, where it is the one that these arguments are for.
fn evaluates<'c>(program: &'c Command, arguments: &[OsString]) -> Option<&'c Command> {
    // Before it only flags of the program itself may stand, which take no values.
    let mut words = arguments.iter().skip(1);
    let first = words.find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    match first {
        Some(first) if first == COMMAND => program.find_subcommand(COMMAND),
        _ => None,
    }
}

impl File {
    /// The names of all parts together, but for maps of other programs.
    fn in_parts(&self, key: &str) -> Result<Vec<String>, CliError> {
        let own = self.names(&self.table, key)?.unwrap_or_default();
        let maps = self.map_names();
        let mut all: Vec<String> = Vec::new();
        for part in &self.parts {
            for name in self.names(part, key)?.unwrap_or_else(|| own.clone()) {
                if !all.contains(&name) && !maps.contains(&name) {
                    all.push(name);
                }
            }
        }
        Ok(all)
    }

    /// What the file calls maps of other programs.
    fn map_names(&self) -> Vec<String> {
        let texts: Vec<String> = match self.table.get("maps") {
            Some(Value::Table(named)) => return named.keys().cloned().collect(),
            Some(Value::Array(texts)) => texts
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        };
        let named = texts
            .iter()
            .filter_map(|text| super::parse_foreign(text).ok());
        named.map(|(name, _)| name).collect()
    }
}

/// The file that says what these arguments of `elucid evaluate` say, parts of a file that they name included; nothing where
/// they do not ask for it.
pub fn written(program: &Command, arguments: &[OsString]) -> Result<Option<String>, CliError> {
    let Some(command) = evaluates(program, arguments) else {
        return Ok(None);
    };
    if !arguments.iter().any(|argument| argument == "--write-study") {
        return Ok(None);
    }
    // Whoever is not understood is told so when the arguments are parsed.
    let Ok(matches) = program.clone().try_get_matches_from(arguments) else {
        return Ok(None);
    };
    let Some((_, matches)) = matches.subcommand() else {
        return Ok(None);
    };
    let mut table = Table::new();
    for arg in flags(command) {
        let id = arg.get_id().as_str();
        if matches.value_source(id) == Some(ValueSource::CommandLine)
            && let (Some(name), Some(value)) = (arg.get_long(), value_of(arg, id, matches)?)
        {
            table.insert(name.to_owned(), value);
        }
    }
    let named = study_flag(command).and_then(|arg| given(arguments, arg).1);
    let parts = match named {
        Some(path) => File::read(Path::new(path))?.parts,
        None => Vec::new(),
    };
    if !parts.is_empty() {
        let parts = parts.into_iter().map(Value::Table);
        table.insert("part".to_owned(), Value::Array(parts.collect()));
    }
    let text = toml::to_string(&table)
        .map_err(|error| CliError::Failure(format!("the flags make no file: {error}")))?;
    Ok(Some(text))
}

/// What a flag was given, as a file has it.
fn value_of(arg: &Arg, id: &str, matches: &ArgMatches) -> Result<Option<Value>, CliError> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Ok(Some(Value::Boolean(matches.get_flag(id))));
    }
    let texts = matches.get_raw(id).into_iter().flatten().map(|raw| {
        raw.to_str().map(str::to_owned).ok_or_else(|| {
            CliError::Failure(format!(
                "{} is no text that a file can hold",
                raw.to_string_lossy()
            ))
        })
    });
    let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
    let list = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    Ok(Some(match (&texts[..], arg.get_action()) {
        ([], _) => return Ok(None),
        ([text], _) if ["methods", "metrics"].contains(&id) => list(split(text)),
        (_, ArgAction::Append) => list(texts),
        ([text, ..], _) => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) if number.to_string() == *text => Value::Integer(number),
            (_, Ok(number)) if number.to_string() == *text => Value::Float(number),
            _ => Value::String(text.clone()),
        },
    }))
}
