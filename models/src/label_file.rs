//! Names of classes as people keep them: a name on each line, or a list or map in JSON or Python.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Labels;

/// Largest file of names, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// How deep lists and maps may stand in each other.
const DEEPEST: usize = 4;

/// Keys under which a map of other things holds the names.
const WITHIN: [&str; 4] = ["names", "id2label", "labels", "classes"];

/// Why names of classes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LabelFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than names are.
    #[error("{} has more than {} MiB", path.display(), MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What is in it are no names.
    #[error(
        "{set}: {reason}; expected a name on each line, or a list, or a map from 0, 1, 2 and so on \
         to names"
    )]
    Format {
        /// The file, or what the names are called together.
        set: String,
        /// What is wrong.
        reason: String,
    },
}

impl Labels {
    /// Reads a file of names: see [`Labels::read`].
    ///
    /// # Errors
    /// [`LabelFileError`], which names the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LabelFileError> {
        let path = path.as_ref();
        let failed = |source| LabelFileError::Read {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
            return Err(LabelFileError::TooLarge {
                path: path.to_owned(),
            });
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let set = path.file_name().unwrap_or(path.as_os_str());
        let set = set.to_string_lossy();
        let text = String::from_utf8(bytes).map_err(|_| LabelFileError::Format {
            set: set.clone().into_owned(),
            reason: "it is no UTF-8 text".to_owned(),
        })?;
        Self::read(&set, &text)
    }

    /// Names in any form that is in use: one on each line, with or without the class's number or its
    /// WordNet number (`n01440764 tench, Tinca tinca`) in front; a list; a map from the number of a class
    /// to its name, or to `[WordNet number, name]`, or from names to numbers, in JSON or as Python prints
    /// it. `set` is what the classes are called together.
    ///
    /// ```
    /// use elucid_models::Labels;
    ///
    /// let names = Labels::read("birds", "{0: 'rook', 1: \"Steller's jay\"}")?;
    /// assert_eq!(names.name(1), Some("Steller's jay"));
    /// # Ok::<(), elucid_models::LabelFileError>(())
    /// ```
    ///
    /// # Errors
    /// [`LabelFileError::Format`].
    pub fn read(set: &str, text: &str) -> Result<Self, LabelFileError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let names = match text.starts_with(['[', '{', '(']) {
            true => literal(text).and_then(|value| of_value(&value, 0)),
            false => of_lines(text),
        };
        match names {
            Ok(names) if names.is_empty() => Err("it holds no names".to_owned()),
            Ok(names) => Ok(Self::of_synonyms(set, names)),
            Err(reason) => Err(reason),
        }
        .map_err(|reason| LabelFileError::Format {
            set: set.to_owned(),
            reason,
        })
    }

    /// These names, in the order of the outputs.
    pub fn of_names<S: Into<String>>(set: &str, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(|name| vec![name.into()]);
        Self::of_synonyms(set, names.collect())
    }
}

/// One class a line.
fn of_lines(text: &str) -> Result<Vec<Vec<String>>, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    if let Some(blank) = lines.iter().position(|line| line.is_empty()) {
        return match text.is_empty() {
            true => Ok(Vec::new()),
            false => Err(format!("line {} is blank", blank + 1)),
        };
    }
    if let Some(names) = lines.iter().map(|line| behind_synset(line)).collect() {
        return Ok(names);
    }
    let numbered = lines.iter().enumerate().map(|(i, line)| {
        let rest = line.strip_prefix(&i.to_string())?;
        let name = rest.trim_start_matches([' ', '\t', ',', ':', ';']);
        (name.len() < rest.len() && !name.is_empty()).then(|| vec![name.to_owned()])
    });
    let numbered: Option<Vec<Vec<String>>> = numbered.collect();
    let plain = || lines.iter().map(|line| vec![(*line).to_owned()]).collect();
    Ok(numbered
        .filter(|names| names.len() > 1)
        .unwrap_or_else(plain))
}

/// The names behind `n01440764`, if a line begins so, and that number behind them.
fn behind_synset(line: &str) -> Option<Vec<String>> {
    let (number, names) = line.split_once([' ', '\t', ','])?;
    let names = names.trim();
    (is_synset(number) && !names.is_empty()).then(|| {
        names
            .split(", ")
            .chain([number])
            .map(str::to_owned)
            .collect()
    })
}

/// Whether a text is a number of WordNet as ImageNet writes them: `n01440764`.
pub fn is_synset(text: &str) -> bool {
    let digits = text.strip_prefix('n').unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit())
}

fn of_value(value: &Value, depth: usize) -> Result<Vec<Vec<String>>, String> {
    match value {
        Value::Array(names) => names.iter().map(name).collect(),
        Value::Object(map) => {
            let within = WITHIN.into_iter().find_map(|key| map.get(key));
            match within.filter(|inner| inner.is_array() || inner.is_object()) {
                Some(inner) if depth < DEEPEST => of_value(inner, depth + 1),
                _ => of_map(map),
            }
        }
        _ => Err("it is neither a list nor a map".to_owned()),
    }
}

fn of_map(map: &Map<String, Value>) -> Result<Vec<Vec<String>>, String> {
    let mut names = vec![None; map.len()];
    for (key, value) in map {
        let (index, name) = match key.trim().parse::<usize>() {
            Ok(index) => (index, name(value)?),
            // From names to numbers.
            Err(_) => match value.as_u64().and_then(|index| usize::try_from(index).ok()) {
                Some(index) => (index, vec![key.clone()]),
                None => return Err(format!("\"{key}\" is no number of a class")),
            },
        };
        match names.get_mut(index) {
            Some(slot @ None) => *slot = Some(name),
            Some(_) => return Err(format!("class {index} has two names")),
            None => {
                return Err(format!(
                    "there are {} names, and one of class {index}",
                    map.len()
                ));
            }
        }
    }
    let all = names.into_iter().collect::<Option<_>>();
    all.ok_or_else(|| "classes are missing".to_owned())
}

/// A text, or `[WordNet number, name]`.
fn name(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(name) => Ok(vec![name.clone()]),
        Value::Number(number) => Ok(vec![number.to_string()]),
        Value::Array(parts) => match &parts[..] {
            [Value::String(synset), Value::String(name)] if is_synset(synset) => {
                Ok(vec![name.clone(), synset.clone()])
            }
            _ => Err("a list in a list is no name".to_owned()),
        },
        other => Err(format!("{other} is no name")),
    }
}

/// A value in JSON, or as Python prints it.
fn literal(text: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut reader = Literal { rest: text };
    let value = reader.value(0)?;
    match reader.rest.trim() {
        "" => Ok(value),
        _ => Err(reader.wrong()),
    }
}

/// Reads what Python prints of dictionaries, lists, texts and numbers.
struct Literal<'t> {
    rest: &'t str,
}

impl Literal<'_> {
    fn wrong(&self) -> String {
        let near: String = self.rest.chars().take(16).collect();
        match near.is_empty() {
            true => "it ends early".to_owned(),
            false => format!("{near:?} is not understood"),
        }
    }

    /// Steps over a character, and the space before it.
    fn takes(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err("lists stand in each other too deep".to_owned());
        }
        if self.takes('{') {
            return self.map(depth);
        }
        for (open, close) in [('[', ']'), ('(', ')')] {
            if self.takes(open) {
                return self.list(close, depth);
            }
        }
        match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.text(quote).map(Value::String),
            _ => self.word(),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, String> {
        let mut map = Map::new();
        while !self.takes('}') {
            let key = match self.value(depth + 1)? {
                Value::String(key) => key,
                Value::Number(key) => key.to_string(),
                _ => return Err(self.wrong()),
            };
            if !self.takes(':') {
                return Err(self.wrong());
            }
            let value = self.value(depth + 1)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(format!("{key} stands there twice"));
            }
            if !self.takes(',') && !self.rest.starts_with('}') {
                return Err(self.wrong());
            }
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self, close: char, depth: usize) -> Result<Value, String> {
        let mut list = Vec::new();
        while !self.takes(close) {
            list.push(self.value(depth + 1)?);
            if !self.takes(',') && !self.rest.starts_with(close) {
                return Err(self.wrong());
            }
        }
        Ok(Value::Array(list))
    }

    fn text(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                _ if character == quote => {
                    self.rest = &self.rest[at + quote.len_utf8()..];
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, 'n' | 't' | 'r')) => text.push(' '),
                    Some((_, code @ ('x' | 'u'))) => {
                        let digits = if code == 'x' { 2 } else { 4 };
                        let hex: String = characters.by_ref().take(digits).map(|c| c.1).collect();
                        let number = u32::from_str_radix(&hex, 16).ok();
                        text.push(number.and_then(char::from_u32).unwrap_or('\u{fffd}'));
                    }
                    Some((_, other)) => text.push(other),
                    None => break,
                },
                _ => text.push(character),
            }
        }
        Err("a text does not end".to_owned())
    }

    fn word(&mut self) -> Result<Value, String> {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'));
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let value = serde_json::from_str::<serde_json::Number>(word);
        match (word, value) {
            (_, Ok(number)) => {
                self.rest = rest;
                Ok(Value::Number(number))
            }
            ("None" | "True" | "False", _) => {
                self.rest = rest;
                Ok(Value::Null)
            }
            _ => Err(self.wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let labels = Labels::read("some", text).map_err(|error| error.to_string())?;
        Ok(labels.names().map(str::to_owned).collect())
    }

    #[test]
    fn every_form_in_use_is_read() {
        let want = ["rook", "Steller's jay", "wood pigeon, grey"].map(str::to_owned);
        for text in [
            "rook\nSteller's jay\nwood pigeon, grey\n",
            "\u{feff}rook\r\nSteller's jay\r\nwood pigeon, grey\r\n\r\n",
            "0 rook\n1 Steller's jay\n2 wood pigeon, grey",
            "0: rook\n1: Steller's jay\n2: wood pigeon, grey",
            r#"["rook", "Steller's jay", "wood pigeon, grey"]"#,
            r#"{"2": "wood pigeon, grey", "0": "rook", "1": "Steller's jay"}"#,
            r#"{"rook": 0, "Steller's jay": 1, "wood pigeon, grey": 2}"#,
            r#"{"0": ["n01440764", "rook"], "1": ["n01443537", "Steller's jay"],
               "2": ["n01484850", "wood pigeon, grey"]}"#,
            r#"{"id2label": {"0": "rook", "1": "Steller's jay", "2": "wood pigeon, grey"}}"#,
            r#"{0: 'rook', 1: "Steller's jay", 2: 'wood pigeon, grey'}"#,
            r"{0: 'rook', 1: 'Steller\'s jay', 2: 'wood pigeon, grey',}",
            r#"('rook', "Steller's jay", 'wood pigeon, grey')"#,
        ] {
            assert_eq!(names(text).as_deref(), Ok(&want[..]), "{text}");
        }
        let synsets = "n01440764 tench, Tinca tinca\nn01443537 goldfish";
        assert_eq!(names(synsets).unwrap(), ["tench", "goldfish"]);
        let labels = Labels::read("some", synsets).unwrap();
        assert_eq!(labels.find("Tinca tinca"), Ok(0));
        assert_eq!(labels.find("n01443537"), Ok(1));
        assert_eq!(labels.find("tench, Tinca tinca"), Ok(0));
        // Numbers that are names stay.
        assert_eq!(names("7\n8").unwrap(), ["7", "8"]);
        assert_eq!(names("0").unwrap(), ["0"]);
        let sneaky = "cat\u{1b}[31m\ndog";
        assert!(!names(sneaky).unwrap()[0].contains('\u{1b}'));
    }

    #[test]
    fn what_are_no_names_is_refused_in_words() {
        for (text, said) in [
            ("", "no names"),
            ("[]", "no names"),
            ("a\n\nb", "line 2 is blank"),
            ("{0: 'a', 2: 'b'}", "2 names, and one of class 2"),
            ("{0: 'a', 0: 'b'}", "twice"),
            (r#"{"a": 0, "b": 0}"#, "two names"),
            (r#"{"a": "b"}"#, "no number of a class"),
            ("{0: 'a'", "ends early"),
            ("{0: 'a", "does not end"),
            ("{0: nan}", "\"nan}\" is not understood"),
            ("[[[[[[[['a']]]]]]]]", "too deep"),
            ("[None]", "null is no name"),
        ] {
            let error = names(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let error = Labels::open("/nowhere/names.txt").unwrap_err().to_string();
        assert!(error.contains("/nowhere/names.txt"), "{error}");
    }
}
