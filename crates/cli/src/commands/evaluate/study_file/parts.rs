//! Which methods and metrics a `study.toml` asks for on which images.

use std::path::Path;

use elucid::study::{self, IMAGES_EXPECTED, Item, Part, chosen};
use toml::{Table, Value};

use super::super::entries::{parse_methods, parse_metrics};
use super::{File, wrong};
use crate::error::CliError;

/// The parts that a `study.toml` asks for.
pub struct Parts<'a> {
    /// Methods and maps of the study.
    pub rows: Vec<String>,
    /// Metrics of the study.
    pub metrics: &'a [String],
    /// Maps of other programs.
    pub foreign: Vec<String>,
    /// Which of `methods` and `metrics` the command line leaves to the file.
    pub of_study: &'a [&'static str],
    /// The images of the study, in order.
    pub items: Vec<&'a Item>,
    pub seed: u64,
}

impl Parts<'_> {
    /// Reads them; none where the file has none.
    pub fn read(&self, path: &Path) -> Result<Vec<Part>, CliError> {
        let file = File::read(path)?;
        let parts = file.parts.iter().enumerate();
        let parts = parts.map(|(number, part)| {
            let place = |reason: String| wrong(path, &format!("part {}: {reason}", number + 1));
            Ok(Part {
                methods: self.methods(&file, part, &place)?,
                metrics: self.metrics(&file, part, &place)?,
                images: images(part, &self.items, self.seed).map_err(place)?,
            })
        });
        parts.collect()
    }

    /// What a part, or the file for all parts, says of methods or metrics; nothing where the command line says it.
    fn said(&self, file: &File, part: &Table, key: &str) -> Result<Option<Vec<String>>, CliError> {
        if !self.of_study.contains(&key) {
            return Ok(None);
        }
        match file.names(part, key)? {
            Some(names) => Ok(Some(names)),
            None => Ok(Some(file.names(&file.table, key)?.unwrap_or_default())),
        }
    }

    fn methods(
        &self,
        file: &File,
        part: &Table,
        place: &impl Fn(String) -> CliError,
    ) -> Result<Vec<String>, CliError> {
        let Some(names) = self.said(file, part, "methods")? else {
            return Ok(self.rows.clone());
        };
        let mut asked = Vec::new();
        for name in names {
            match self.foreign.contains(&name) {
                true => asked.push(name),
                false => asked.extend(parse_methods(&name).map_err(place)?.names()),
            }
        }
        // Of all methods some may have been left out.
        let rows = self.rows.iter().filter(|row| asked.contains(row));
        Ok(rows.cloned().collect())
    }

    fn metrics(
        &self,
        file: &File,
        part: &Table,
        place: &impl Fn(String) -> CliError,
    ) -> Result<Vec<String>, CliError> {
        match self.said(file, part, "metrics")? {
            None => Ok(self.metrics.to_vec()),
            Some(names) if names.is_empty() => Ok(Vec::new()),
            Some(names) => Ok(parse_metrics(&names.join(",")).map_err(place)?.0),
        }
    }
}

/// The images of a part, by their numbers; nothing where it has all.
fn images(part: &Table, items: &[&Item], seed: u64) -> Result<Option<Vec<usize>>, String> {
    let said: Vec<&str> = ["images", "limit", "sample"]
        .into_iter()
        .filter(|key| part.contains_key(*key))
        .collect();
    let [key] = said[..] else {
        return match said.is_empty() {
            true => Ok(None),
            false => Err(format!("{} exclude each other", said.join(" and "))),
        };
    };
    let value = &part[key];
    if key != "images" {
        let count = value
            .as_integer()
            .and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|&count| count > 0);
        let count = count.ok_or_else(|| format!("{key} is a number of images, 1 or more"))?;
        return Ok(Some(match key {
            "limit" => items.iter().take(count).map(|item| item.number).collect(),
            _ => study::stratified(items, count, seed),
        }));
    }
    let expected = || format!("images is a list: {IMAGES_EXPECTED}");
    let mut numbers = Vec::new();
    for image in value.as_array().ok_or_else(expected)? {
        match image {
            Value::Integer(number) => {
                numbers.push(usize::try_from(*number).map_err(|_| expected())?);
            }
            Value::String(text) => {
                let known = items.iter().map(|item| (item.number, item.file.as_str()));
                numbers.extend(chosen(text, known)?);
            }
            _ => return Err(expected()),
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Some(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_numbers_ranges_and_names() {
        let items: Vec<Item> = (0..8)
            .map(|i| Item::new(i, format!("{i}-a.png"), i % 2))
            .collect();
        let items: Vec<&Item> = items.iter().collect();
        let read = |text: &str| images(&text.parse::<Table>().unwrap(), &items, 0);
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("limit = 2"), Ok(Some(vec![0, 1])));
        assert_eq!(read("sample = 8").unwrap().unwrap().len(), 8);
        let list = read("images = [5, \"0-2\", 1, \"7-a.png\", \"6-99\"]");
        assert_eq!(list, Ok(Some(vec![0, 1, 2, 5, 6, 7])));
        for (wrong, said) in [
            ("limit = 0", "1 or more"),
            ("sample = \"many\"", "1 or more"),
            (
                "limit = 1\nsample = 1",
                "limit and sample exclude each other",
            ),
            ("images = 3", "a list: images are numbers"),
            ("images = [-1]", "a list: images are numbers"),
            ("images = [\"b.png\"]", "no image b.png"),
            ("images = [\"9-12\"]", "no images 9-12"),
            ("images = [[1]]", "a list: images are numbers"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
