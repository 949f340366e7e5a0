//! The names of a network's classes, in the order of its outputs.

use std::sync::{Arc, LazyLock};

use crate::label_file::is_synset;

/// How many names an error lists at most when none is near.
const FEW: usize = 16;

/// Label files of the manifest: their names, what their classes are called together, and their text.
const FILES: [(&str, &str, &str); 2] = [
    (
        "labels_imagenet.txt",
        "ImageNet",
        include_str!("../labels_imagenet.txt"),
    ),
    (
        "labels_inception_v1_small.txt",
        "inception_v1_small",
        include_str!("../labels_inception_v1_small.txt"),
    ),
];

static KNOWN: LazyLock<Vec<(&str, Labels)>> = LazyLock::new(|| {
    let known = FILES.into_iter();
    known
        .map(|(file, set, text)| (file, Labels::parse(set, text)))
        .collect()
});

/// The names of a network's classes. Cheap to clone.
///
/// ```
/// use elucid_models::Labels;
///
/// let labels = Labels::parse("pets", "cat, house cat\ndog\n");
/// assert_eq!(labels.len(), 2);
/// assert_eq!(labels.name(0), Some("cat"));
/// assert_eq!(labels.find("house cat")?, 0);
/// # Ok::<(), elucid_models::LabelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    set: String,
    /// Of each class all names as one text, and each alone.
    classes: Vec<(String, Vec<String>)>,
}

/// Why a label does not say which class is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// No class is called so.
    #[error("no {set} class is called {label:?}{}", did_you_mean(.nearest, .others))]
    Unknown {
        /// What the network's classes are called together.
        set: String,
        /// What was asked for.
        label: String,
        /// Names that are near to it, nearest first; may be empty.
        nearest: Vec<String>,
        /// When none is near and there are only a few: all names.
        others: Vec<String>,
    },
    /// More than one class is called so.
    #[error(
        "{label:?} may be any of {}: give a longer name or the class's index",
        list(.candidates)
    )]
    Ambiguous {
        /// What was asked for.
        label: String,
        /// The classes that it fits, as index and name, in order of the index.
        candidates: Vec<(usize, String)>,
    },
}

fn did_you_mean(nearest: &[String], others: &[String]) -> String {
    match (nearest, others) {
        ([], []) => String::new(),
        ([], others) => format!("; there are {}", others.join(", ")),
        (nearest, _) => format!("; the nearest are {}", nearest.join(", ")),
    }
}

fn list(candidates: &[(usize, String)]) -> String {
    const SHOWN: usize = 8;
    let mut text: Vec<String> = candidates
        .iter()
        .take(SHOWN)
        .map(|(index, name)| format!("{index} ({name})"))
        .collect();
    if candidates.len() > SHOWN {
        text.push(format!("{} more", candidates.len() - SHOWN));
    }
    text.join(", ")
}

impl Labels {
    /// The 1000 classes of ImageNet.
    ///
    /// Three names belong to two classes each: crane, cardigan (apart from its capital) and
    /// maillot.
    pub fn imagenet() -> Self {
        KNOWN[0].1.clone()
    }

    /// Reads one class a line, in the order of the outputs, synonyms separated by a comma and a
    /// space. `set` is what the classes are called together, for messages: "no `set` class is
    /// called ...".
    pub fn parse(set: &str, text: &str) -> Self {
        let class = |line: &str| {
            let names = line.split(", ").map(str::to_owned);
            (line.to_owned(), names.collect())
        };
        Self {
            inner: Arc::new(Inner {
                set: set.to_owned(),
                classes: text.lines().map(class).collect(),
            }),
        }
    }

    /// Of each class its names, the short one first. What would move a terminal's cursor is replaced.
    pub(crate) fn of_synonyms(set: &str, classes: Vec<Vec<String>>) -> Self {
        let printable = |name: String| name.replace(char::is_control, "\u{fffd}");
        let class = |names: Vec<String>| {
            let names: Vec<String> = names.into_iter().map(printable).collect();
            let words: Vec<&str> = (names.iter().map(String::as_str))
                .filter(|name| names.len() == 1 || !is_synset(name))
                .collect();
            (words.join(", "), names)
        };
        Self {
            inner: Arc::new(Inner {
                set: printable(set.to_owned()),
                classes: classes.into_iter().map(class).collect(),
            }),
        }
    }

    /// With a class `background` in front.
    pub fn with_background(&self) -> Self {
        let background = "background".to_owned();
        let mut classes = vec![(background.clone(), vec![background])];
        classes.extend(self.inner.classes.iter().cloned());
        Self {
            inner: Arc::new(Inner {
                set: format!("{} with a background", self.inner.set),
                classes,
            }),
        }
    }

    /// Those of a label file that the manifest names.
    pub(crate) fn of_file(file: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|(known, _)| *known == file);
        known.map(|(_, labels)| labels.clone())
    }

    /// Those of a known network whose classes are called so together: `ImageNet` for most.
    pub fn of_set(set: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|(_, labels)| labels.set() == set);
        known.map(|(_, labels)| labels.clone())
    }

    /// What the classes are called together.
    pub fn set(&self) -> &str {
        &self.inner.set
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.inner.classes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inner.classes.is_empty()
    }

    /// The short name of class `index`, the first of its synonyms; `None` beyond the last class.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.synonyms(index).next()
    }

    /// The short names of all classes, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.name(index))
    }

    /// All names of class `index`, the short one first, and last its number in WordNet where the file of names had it;
    /// empty beyond the last class.
    pub fn synonyms(&self, index: usize) -> impl Iterator<Item = &str> {
        let names = self.inner.classes.get(index).map(|(_, names)| names);
        names.into_iter().flatten().map(String::as_str)
    }

    /// The class that `label` names.
    ///
    /// Upper and lower case are one, except that a name that is right to the letter wins. The
    /// first of these that fits any class decides: a class's short name, or its whole list of
    /// synonyms as one string; one of its synonyms; the beginning of a synonym; whole words
    /// within a synonym.
    ///
    /// # Errors
    /// [`LabelError::Unknown`] with the nearest names when nothing fits, and
    /// [`LabelError::Ambiguous`] with the classes when several do.
    pub fn find(&self, label: &str) -> Result<usize, LabelError> {
        let exact = label.trim();
        let wanted = exact.to_lowercase();
        if wanted.is_empty() {
            return Err(self.unknown(label));
        }
        type Fit<'a> = &'a dyn Fn(usize) -> bool;
        let short = |index| self.name(index).unwrap_or_default();
        let whole = |index: usize| self.inner.classes[index].0.to_lowercase();
        let any = |index, fits: &dyn Fn(&str) -> bool| {
            let mut names = self.synonyms(index);
            names.any(|name| fits(&name.to_lowercase()))
        };
        let fits: [Fit; 5] = [
            &|index| short(index) == exact,
            &|index| short(index).to_lowercase() == wanted || whole(index) == wanted,
            &|index| any(index, &|name| name == wanted),
            &|index| any(index, &|name| name.starts_with(&wanted)),
            &|index| any(index, &|name| holds_words(name, &wanted)),
        ];
        for fit in fits {
            let found: Vec<usize> = (0..self.len()).filter(|index| fit(*index)).collect();
            match found[..] {
                [] => continue,
                [index] => return Ok(index),
                _ => {
                    let named = |index: &usize| (*index, short(*index).to_owned());
                    return Err(LabelError::Ambiguous {
                        label: label.to_owned(),
                        candidates: found.iter().map(named).collect(),
                    });
                }
            }
        }
        Err(self.unknown(label))
    }

    fn unknown(&self, label: &str) -> LabelError {
        let nearest = self.nearest(&label.trim().to_lowercase());
        let others = match nearest.is_empty() && self.len() <= FEW {
            true => self.names().map(str::to_owned).collect(),
            false => Vec::new(),
        };
        LabelError::Unknown {
            set: self.inner.set.clone(),
            label: label.to_owned(),
            nearest,
            others,
        }
    }

    fn nearest(&self, wanted: &str) -> Vec<String> {
        let mut scored: Vec<(f64, &str)> = (0..self.len())
            .map(|index| {
                self.synonyms(index)
                    .map(|name| (crate::similarity(wanted, &name.to_lowercase()), name))
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .unwrap_or((0.0, ""))
            })
            .filter(|(score, _)| *score > 0.75)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let names = scored.into_iter().take(4);
        names.map(|(_, name)| name.to_owned()).collect()
    }
}

fn holds_words(name: &str, wanted: &str) -> bool {
    let words = |text: &str| -> String {
        let mut joined = String::from(" ");
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            if !word.is_empty() {
                joined.push_str(word);
                joined.push(' ');
            }
        }
        joined
    };
    let wanted = words(wanted);
    wanted != " " && words(name).contains(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagenet() -> Labels {
        Labels::imagenet()
    }

    #[test]
    fn a_thousand_names_in_order() {
        let labels = imagenet();
        assert_eq!((labels.len(), labels.set()), (1000, "ImageNet"));
        assert!(!labels.is_empty());
        assert_eq!(labels.names().count(), 1000);
        assert!(labels.names().all(|name| !name.is_empty()));
        assert_eq!(labels.name(0), Some("tench"));
        assert_eq!(labels.name(285), Some("Egyptian cat"));
        assert_eq!(labels.name(967), Some("espresso"));
        assert_eq!(labels.name(1000), None);
        assert_eq!(labels.synonyms(1000).count(), 0);
        let tabby: Vec<_> = labels.synonyms(281).collect();
        assert_eq!(tabby, ["tabby", "tabby cat"]);
    }

    #[test]
    fn every_whole_line_finds_its_class() {
        let labels = imagenet();
        for (index, (line, _)) in labels.inner.classes.iter().enumerate() {
            match labels.find(line) {
                Ok(found) => assert_eq!(found, index, "{line}"),
                Err(LabelError::Ambiguous { .. }) => {
                    assert!(["crane", "maillot"].contains(&line.as_str()), "{line}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn finds() {
        for (text, index) in [
            ("Egyptian cat", 285),
            ("egyptian CAT", 285),
            ("tabby cat", 281),
            (" espresso ", 967),
            ("coffee mug", 504),
            ("Cardigan", 264),
            ("cardigan", 474),
            ("tub", 876),
            ("Carassius", 1),
            ("Egyptian", 285),
        ] {
            assert_eq!(imagenet().find(text), Ok(index), "{text}");
        }
    }

    #[test]
    fn a_miss_lists_the_nearest() {
        let find = |text| imagenet().find(text);
        let error = find("Egiptian cat").unwrap_err();
        assert!(error.to_string().contains("Egyptian cat"), "{error}");
        let error = find("\u{1F408}").unwrap_err().to_string();
        assert!(error.len() < 100, "{error}");
        assert!(find("").is_err());
        assert!(find("  ").is_err());
        assert!(find(",").is_err());
    }

    #[test]
    fn an_ambiguous_name_lists_its_classes() {
        let error = imagenet().find("CRANE").unwrap_err();
        let LabelError::Ambiguous { candidates, .. } = &error else {
            panic!("{error}");
        };
        let crane = || "crane".to_owned();
        assert_eq!(candidates, &[(134, crane()), (517, crane())]);
        assert!(error.to_string().contains("134 (crane), 517 (crane)"));
        let error = imagenet().find("terrier").unwrap_err();
        assert!(error.to_string().contains("more"), "{error}");
    }

    #[test]
    fn a_small_network_has_its_own() {
        let labels = Labels::of_file("labels_inception_v1_small.txt").unwrap();
        assert_eq!(Labels::of_set("inception_v1_small"), Some(labels.clone()));
        assert_eq!(Labels::of_set("ImageNet"), Some(imagenet()));
        assert_eq!(Labels::of_set("none"), None);
        assert_eq!(labels.len(), 14);
        assert_eq!(labels.name(1), Some("dog"));
        assert_eq!(labels.name(14), None);
        for (index, name) in labels.names().enumerate() {
            assert_eq!(labels.find(name), Ok(index), "{name}");
        }
        assert_eq!(labels.find("panda"), Ok(11));
        let error = labels.find("zebbra").unwrap_err().to_string();
        let expected = "no inception_v1_small class is called \"zebbra\"; the nearest are zebra";
        assert_eq!(error, expected);
        let error = labels.find("quiche").unwrap_err().to_string();
        assert!(error.contains("there are tench, dog,"), "{error}");
        assert!(error.ends_with("horse, zebra"), "{error}");
    }

    #[test]
    fn no_classes_are_no_error() {
        let none = Labels::parse("empty", "");
        assert!(none.is_empty() && none.find("cat").is_err());
        assert_eq!(none.name(0), None);
    }
}
