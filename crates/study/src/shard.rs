//! A fixed part of the work.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
