//! Fixed parts of the work, and what belongs together of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::StudyError;
use crate::journal::Session;

/// How many names a list has.
const NAMED: usize = 20;

/// Which part of the work: every `count`-th item, from the `index`-th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stated")]
pub struct Shard {
    /// From 1 to the count.
    pub index: usize,
    /// Into how many parts the work is divided.
    pub count: usize,
}

/// What a file says of a shard.
#[derive(Deserialize)]
struct Stated {
    index: usize,
    count: usize,
}

impl TryFrom<Stated> for Shard {
    type Error = String;

    fn try_from(Stated { index, count }: Stated) -> Result<Self, String> {
        match (1..=count).contains(&index) {
            true => Ok(Self { index, count }),
            false => Err(format!("there is no shard {index}/{count}")),
        }
    }
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether item `number`, from 0, belongs to it.
    pub fn takes(self, number: usize) -> bool {
        number % self.count == self.index - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `K/N`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let stated = text.split_once('/').and_then(|(k, n)| {
            let (index, count) = (number(k)?, number(n)?);
            Self::try_from(Stated { index, count }).ok()
        });
        stated.ok_or_else(|| "expected K/N with K from 1 to N, such as 1/8".to_owned())
    }
}

/// The error of a check of a folder's settings against those of the `first`: that they do not belong together, if that is it.
pub(crate) fn refusal(first: &Path, folder: &Path, error: StudyError) -> StudyError {
    match error {
        StudyError::Settings { difference, .. } => StudyError::Merge(format!(
            "{} was made with other settings than {}: {difference} there",
            folder.display(),
            first.display()
        )),
        other => other,
    }
}

/// The folders of shards that belong together, each shard once.
#[derive(Debug, Default)]
pub struct Shards {
    parts: Vec<(PathBuf, Shard)>,
    /// Who was the first to work on any of them.
    session: Option<Session>,
}

impl Shards {
    /// Adds a shard.
    ///
    /// # Errors
    ///
    /// [`StudyError::Merge`] for one that is there.
    pub fn add(&mut self, folder: &Path, shard: Shard) -> Result<(), StudyError> {
        if let Some((twin, _)) = self.parts.iter().find(|(_, other)| *other == shard) {
            return Err(StudyError::Merge(format!(
                "{} and {} are both shard {shard}, so that what they hold would count twice",
                folder.display(),
                twin.display(),
            )));
        }
        self.parts.push((folder.to_owned(), shard));
        Ok(())
    }

    /// The error of a check of a folder's settings against those of the first: that they do not belong together, if that is it.
    pub fn refusal(&self, folder: &Path, error: StudyError) -> StudyError {
        match self.first() {
            Some((first, _)) => refusal(first, folder, error),
            None => error,
        }
    }

    /// Refuses what was made on other devices or by other builds than the first of all.
    ///
    /// # Errors
    ///
    /// [`StudyError::Mixed`].
    pub fn check_same(&mut self, folder: &Path, sessions: &[Session]) -> Result<(), StudyError> {
        for session in sessions {
            let first = self.session.get_or_insert_with(|| session.clone());
            if let Some(difference) = session.difference(first) {
                let folder = folder.to_owned();
                return Err(StudyError::Mixed { folder, difference });
            }
        }
        Ok(())
    }

    /// The first folder and its shard.
    pub fn first(&self) -> Option<(&Path, Shard)> {
        self.iter().next()
    }

    /// The folders and their shards.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Shard)> {
        let parts = self.parts.iter();
        parts.map(|(folder, shard)| (folder.as_path(), *shard))
    }

    /// The folders.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.iter().map(|(folder, _)| folder)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Which shards that hold anything of `total` things are not there, in words; `None` if all are.
    pub fn absent(&self, total: usize) -> Option<String> {
        let (_, Shard { count, .. }) = self.first()?;
        let absent = (1..=count.min(total))
            .map(|index| Shard { index, count })
            .filter(|shard| self.parts.iter().all(|(_, there)| there != shard));
        let absent: Vec<Shard> = absent.collect();
        (!absent.is_empty()).then(|| format!("missing shards: {}", list(absent)))
    }
}

/// The first of some names, and how many there are besides.
pub fn list<N: fmt::Display>(names: impl IntoIterator<Item = N>) -> String {
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(NAMED).map(|n| n.to_string()).collect();
    let mut text = first.join(", ");
    match names.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shards_are_read_as_documented() {
        assert_eq!("2/8".parse(), Ok(Shard { index: 2, count: 8 }));
        for wrong in ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/2/3", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
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
}
