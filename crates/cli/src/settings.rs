//! What long work depends on: stored beside its results, so that nothing else is added to them.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::console::to_json;
use crate::error::CliError;

/// Flags of putting the results of shards together.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folders of the shards
    #[arg(required = true, value_name = "SHARD_DIR")]
    pub shards: Vec<PathBuf>,

    /// Where the results go: a folder that is new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Replace the results of an earlier merge in the folder
    #[arg(long)]
    pub force: bool,

    /// Go on where shards or parts of them are missing
    #[arg(long)]
    pub allow_missing: bool,

    /// Print no remarks
    #[arg(long, short)]
    pub quiet: bool,
}

/// Their name in the folder.
pub const SETTINGS: &str = "settings.json";

/// Which part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StatedShard")]
pub struct Shard {
    /// From 1 to the count.
    pub index: usize,
    pub count: usize,
}

/// What a file says of a shard.
#[derive(Deserialize)]
struct StatedShard {
    index: usize,
    count: usize,
}

impl TryFrom<StatedShard> for Shard {
    type Error = String;

    fn try_from(StatedShard { index, count }: StatedShard) -> Result<Self, Self::Error> {
        match (1..=count).contains(&index) {
            true => Ok(Self { index, count }),
            false => Err(format!("there is no shard {index}/{count}")),
        }
    }
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether item `number` belongs to it: every `count`-th does.
    pub fn takes(self, number: usize) -> bool {
        number % self.count == self.index - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Parses `K/N`.
pub fn parse_shard(text: &str) -> Result<Shard, String> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let stated = text.split_once('/');
    let stated = stated.and_then(|(k, n)| {
        let (index, count) = (number(k)?, number(n)?);
        Shard::try_from(StatedShard { index, count }).ok()
    });
    stated.ok_or_else(|| "expected K/N with K from 1 to N, such as 1/8".to_owned())
}

/// Reads the settings of an earlier run.
pub fn read<S: DeserializeOwned>(folder: &Path) -> Result<S, CliError> {
    let path = folder.join(SETTINGS);
    let bytes =
        fs::read(&path).map_err(|e| CliError::io(format!("cannot read {}", path.display()), &e))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CliError::Failure(format!("{} is damaged: {error}", path.display())))
}

/// Settings as a file.
pub fn to_bytes(settings: &impl Serialize) -> Result<Vec<u8>, CliError> {
    let mut text = to_json(settings)?;
    text.push('\n');
    Ok(text.into_bytes())
}

/// What differs in `ours` from `theirs`, in words, apart from what `except` names.
pub fn difference<S: Serialize>(
    ours: &S,
    theirs: &S,
    except: &[&str],
) -> Result<Option<String>, CliError> {
    let value = |settings: &S| {
        serde_json::to_value(settings)
            .map_err(|error| CliError::Failure(format!("cannot write settings: {error}")))
    };
    let (ours, theirs) = (value(ours)?, value(theirs)?);
    Ok(first_difference("", &ours, &theirs, except))
}

/// Makes an open file of a folder this run's own. File systems without locks have to do without.
pub fn lock(file: &File, folder: &Path) -> Result<(), CliError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(CliError::Failure(format!(
            "another run is writing results to {}",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// The first place at which two values differ, with both.
fn first_difference(place: &str, a: &Value, b: &Value, except: &[&str]) -> Option<String> {
    if a == b || except.contains(&place) {
        return None;
    }
    let inside = |key: &str| match place {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let value = |object: &serde_json::Map<String, Value>| {
                    object.get(key).cloned().unwrap_or_default()
                };
                first_difference(&inside(key), &value(a), &value(b), except)
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| {
                let named = a.get("name").and_then(Value::as_str);
                let place = match named {
                    Some(name) if b.get("name") == a.get("name") => inside(name),
                    _ => inside(&i.to_string()),
                };
                first_difference(&place, a, b, except)
            })
        }
        (a, b) => Some(format!("{place} is {} and was {}", short(a), short(b))),
    }
}

/// A value as people would write it; of methods their names.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not given".to_owned(),
        Value::Array(values) => values.iter().map(short).collect::<Vec<_>>().join(", "),
        Value::Object(object) => object.get("name").map_or(value.to_string(), short),
        // All of them were single precision.
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .map_or(String::new(), |v| (v as f32).to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shards_are_parsed_as_documented() {
        assert_eq!(parse_shard("2/8"), Ok(Shard { index: 2, count: 8 }));
        for wrong in ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/2/3", "a/b"] {
            assert!(parse_shard(wrong).is_err(), "{wrong}");
        }
        let read = |index, count| {
            let file = json!({ "index": index, "count": count });
            serde_json::from_value::<Shard>(file)
        };
        assert_eq!(read(2, 8).unwrap(), Shard { index: 2, count: 8 });
        for (index, count) in [(0, 3), (4, 3), (0, 0), (1, 0)] {
            assert!(read(index, count).is_err(), "{index}/{count}");
        }
        let of = |index| {
            let shard = Shard { index, count: 3 };
            (0..8).filter(|&n| shard.takes(n)).collect::<Vec<_>>()
        };
        assert_eq!(
            [of(1), of(2), of(3)],
            [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]
        );
    }

    #[test]
    fn differences_are_named() {
        let a = json!({ "seed": 1, "model": { "name": "x", "sha256": "1" },
            "methods": [{ "name": "rise", "options": { "masks": "10" } }] });
        let said = |b: Value, except: &[&str]| first_difference("", &a, &b, except);
        assert_eq!(said(a.clone(), &[]), None);
        let mut b = a.clone();
        b["methods"][0]["options"]["masks"] = json!("20");
        assert_eq!(
            said(b, &[]).unwrap(),
            "methods.rise.options.masks is 10 and was 20"
        );
        let mut b = a.clone();
        b["methods"] = json!([{ "name": "rise" }, { "name": "gradient" }]);
        assert_eq!(
            said(b, &[]).unwrap(),
            "methods is rise and was rise, gradient"
        );
        let mut b = a.clone();
        b["model"]["name"] = json!("y");
        assert_eq!(said(b.clone(), &["model.name"]), None);
        assert_eq!(said(b, &[]).unwrap(), "model.name is x and was y");
    }
}
