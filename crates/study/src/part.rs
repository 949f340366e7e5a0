//! Which methods and metrics are asked for on which images.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::plan::Planned;
use crate::settings::BASELINES;

/// Some methods under some metrics on some images. A study is the union of its parts; [`BASELINES`] belong to every part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// Methods, as the settings call them.
    pub methods: Vec<String>,
    /// Metrics, as the settings call them.
    pub metrics: Vec<String>,
    /// The images' numbers in the data, in order; all of the study's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<usize>>,
}

impl Part {
    /// Whether it asks for nothing that `other` does not.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let within = |some: &[String], all: &[String]| some.iter().all(|name| all.contains(name));
        let images = match (&self.images, &other.images) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(some), Some(all)) => some.iter().all(|image| all.binary_search(image).is_ok()),
        };
        images && within(&self.methods, &other.methods) && within(&self.metrics, &other.metrics)
    }

    /// Whether it has an image of the data.
    pub(crate) fn has(&self, number: usize) -> bool {
        let images = self.images.as_ref();
        images.is_none_or(|images| images.binary_search(&number).is_ok())
    }
}

/// What is asked for on each image.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// By row and metric.
    patterns: Vec<Vec<bool>>,
    /// By image, which of them.
    images: Vec<u32>,
    /// By pattern, under how many rows something is asked for.
    counts: Vec<usize>,
    metrics: usize,
}

impl Wanted {
    /// What `parts` ask for. Names that are none of `rows` or `metrics` count for nothing.
    pub fn of(parts: &[Part], rows: &[String], metrics: &[String], planned: &[Planned]) -> Self {
        let asks: Vec<Vec<bool>> = (parts.iter())
            .map(|part| {
                let methods: BTreeSet<&str> = (part.methods.iter().map(String::as_str))
                    .chain(BASELINES)
                    .collect();
                let asked: BTreeSet<&str> = part.metrics.iter().map(String::as_str).collect();
                let pairs = rows.iter().flat_map(|row| {
                    let is_row = methods.contains(row.as_str());
                    let asked = &asked;
                    metrics
                        .iter()
                        .map(move |metric| is_row && asked.contains(metric.as_str()))
                });
                pairs.collect()
            })
            .collect();
        let mut patterns: Vec<Vec<bool>> = Vec::new();
        let mut known: HashMap<Vec<bool>, u32> = HashMap::new();
        let images = planned.iter().map(|planned| {
            let has: Vec<bool> = parts.iter().map(|part| part.has(planned.number)).collect();
            *known.entry(has).or_insert_with_key(|has| {
                let mut pattern = vec![false; rows.len() * metrics.len()];
                for (asks, _) in asks.iter().zip(has).filter(|(_, has)| **has) {
                    pattern
                        .iter_mut()
                        .zip(asks)
                        .for_each(|(to, asks)| *to |= asks);
                }
                patterns.push(pattern);
                (patterns.len() - 1) as u32
            })
        });
        let images = images.collect();
        let count = |pattern: &Vec<bool>| {
            let rows = pattern.chunks(metrics.len().max(1));
            rows.filter(|row| row.contains(&true)).count()
        };
        Self {
            images,
            counts: patterns.iter().map(count).collect(),
            patterns,
            metrics: metrics.len(),
        }
    }

    /// By metric, whether it is asked for on an image under a row.
    pub fn row(&self, image: usize, row: usize) -> &[bool] {
        let pattern = &self.patterns[self.images[image] as usize];
        &pattern[row * self.metrics..(row + 1) * self.metrics]
    }

    /// Whether anything is asked for on an image under a row.
    pub fn has(&self, image: usize, row: usize) -> bool {
        self.row(image, row).contains(&true)
    }

    /// Under how many rows something is asked for on an image.
    pub fn count(&self, image: usize) -> usize {
        self.counts[self.images[image] as usize]
    }

    /// On how many images anything is asked for.
    pub fn images(&self) -> usize {
        let images = 0..self.images.len();
        images.filter(|&image| self.count(image) > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(methods: &[&str], metrics: &[&str], images: Option<&[usize]>) -> Part {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Part {
            methods: owned(methods),
            metrics: owned(metrics),
            images: images.map(<[usize]>::to_vec),
        }
    }

    #[test]
    fn a_study_is_the_union_of_its_parts() {
        let rows = ["a", "b", "centre", "random"].map(str::to_owned);
        let metrics = ["x", "y"].map(str::to_owned);
        let planned: Vec<Planned> = [1, 3, 5]
            .map(|number| Planned {
                number,
                file: String::new(),
                class: 0,
            })
            .into();
        let parts = [
            part(&["a"], &["x"], None),
            part(&["b", "stranger"], &["y", "strange"], Some(&[3, 4])),
        ];
        let wanted = Wanted::of(&parts, &rows, &metrics, &planned);
        for (image, two) in [(0, false), (1, true), (2, false)] {
            assert_eq!(wanted.row(image, 0), [true, false]);
            assert_eq!(wanted.row(image, 1), [false, two]);
            assert_eq!(wanted.row(image, 2), [true, two]);
            assert_eq!(wanted.row(image, 3), wanted.row(image, 2));
            assert_eq!(wanted.count(image), 3 + usize::from(two));
            assert_eq!(wanted.has(image, 1), two);
        }
    }

    #[test]
    fn parts_lie_within_larger_ones() {
        let large = part(&["a", "b"], &["x", "y"], Some(&[0, 2, 4]));
        for (small, is) in [
            (part(&["b"], &["y"], Some(&[2])), true),
            (part(&["b", "c"], &["y"], Some(&[2])), false),
            (part(&["b"], &["z"], Some(&[2])), false),
            (part(&["b"], &["y"], Some(&[1])), false),
            (part(&["b"], &["y"], None), false),
        ] {
            assert_eq!(small.is_within(&large), is, "{small:?}");
            let all = Part {
                images: None,
                ..large.clone()
            };
            assert!(!is || small.is_within(&all));
        }
    }
}
