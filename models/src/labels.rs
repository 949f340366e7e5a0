//! The 1000 ImageNet class names, in the order of a classifier's outputs.

use std::sync::LazyLock;

static LINES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("../labels_imagenet.txt").lines().collect());

static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    LINES
        .iter()
        .map(|line| line.split(", ").next().unwrap_or(line))
        .collect()
});

/// Why a label does not say which class is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// No class is called so.
    #[error("no ImageNet class is called {label:?}{}", did_you_mean(.nearest))]
    Unknown {
        /// What was asked for.
        label: String,
        /// Names that are near to it, nearest first; may be empty.
        nearest: Vec<&'static str>,
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
        candidates: Vec<(usize, &'static str)>,
    },
}

fn did_you_mean(nearest: &[&str]) -> String {
    if nearest.is_empty() {
        String::new()
    } else {
        format!("; the nearest are {}", nearest.join(", "))
    }
}

fn list(candidates: &[(usize, &str)]) -> String {
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

/// The short names of all 1000 classes: the first of each class's synonyms.
///
/// Three names belong to two classes each: crane, cardigan (apart from its capital) and
/// maillot.
pub fn labels() -> &'static [&'static str] {
    &NAMES
}

/// The short name of class `index`; `None` from 1000 on.
pub fn label(index: usize) -> Option<&'static str> {
    NAMES.get(index).copied()
}

/// All names of class `index`, the short one first; empty from 1000 on.
pub fn synonyms(index: usize) -> impl Iterator<Item = &'static str> {
    LINES
        .get(index)
        .into_iter()
        .flat_map(|line| line.split(", "))
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
pub fn find_label(label: &str) -> Result<usize, LabelError> {
    let exact = label.trim();
    let wanted = exact.to_lowercase();
    let unknown = || LabelError::Unknown {
        label: label.to_owned(),
        nearest: nearest(&wanted),
    };
    if wanted.is_empty() {
        return Err(unknown());
    }
    type Fit<'a> = &'a dyn Fn(usize) -> bool;
    let any =
        |index, fits: &dyn Fn(&str) -> bool| synonyms(index).any(|name| fits(&name.to_lowercase()));
    let fits: [Fit; 5] = [
        &|index| NAMES[index] == exact,
        &|index| NAMES[index].to_lowercase() == wanted || LINES[index].to_lowercase() == wanted,
        &|index| any(index, &|name| name == wanted),
        &|index| any(index, &|name| name.starts_with(&wanted)),
        &|index| any(index, &|name| holds_words(name, &wanted)),
    ];
    for fit in fits {
        let found: Vec<usize> = (0..NAMES.len()).filter(|index| fit(*index)).collect();
        match found[..] {
            [] => continue,
            [index] => return Ok(index),
            _ => {
                return Err(LabelError::Ambiguous {
                    label: label.to_owned(),
                    candidates: found.iter().map(|i| (*i, NAMES[*i])).collect(),
                });
            }
        }
    }
    Err(unknown())
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

fn nearest(wanted: &str) -> Vec<&'static str> {
    let mut scored: Vec<(f64, &'static str)> = (0..LINES.len())
        .map(|index| {
            synonyms(index)
                .map(|name| (crate::similarity(wanted, &name.to_lowercase()), name))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap_or((0.0, ""))
        })
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(4).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_names_in_order() {
        assert_eq!(labels().len(), 1000);
        assert!(labels().iter().all(|name| !name.is_empty()));
        assert_eq!(label(0), Some("tench"));
        assert_eq!(label(285), Some("Egyptian cat"));
        assert_eq!(label(967), Some("espresso"));
        assert_eq!(label(1000), None);
        assert_eq!(synonyms(1000).count(), 0);
        let tabby: Vec<_> = synonyms(281).collect();
        assert_eq!(tabby, ["tabby", "tabby cat"]);
    }

    #[test]
    fn every_whole_line_finds_its_class() {
        for (index, line) in LINES.iter().enumerate() {
            match find_label(line) {
                Ok(found) => assert_eq!(found, index, "{line}"),
                Err(LabelError::Ambiguous { .. }) => {
                    assert!(["crane", "maillot"].contains(line), "{line}");
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
            assert_eq!(find_label(text), Ok(index), "{text}");
        }
    }

    #[test]
    fn a_miss_lists_the_nearest() {
        let error = find_label("Egiptian cat").unwrap_err();
        assert!(error.to_string().contains("Egyptian cat"), "{error}");
        assert!(find_label("").is_err());
        assert!(find_label("  ").is_err());
        assert!(find_label(",").is_err());
        assert!(find_label("\u{1F408}").is_err());
    }

    #[test]
    fn an_ambiguous_name_lists_its_classes() {
        let error = find_label("CRANE").unwrap_err();
        let LabelError::Ambiguous { candidates, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(candidates, &[(134, "crane"), (517, "crane")]);
        assert!(error.to_string().contains("134 (crane), 517 (crane)"));
        let error = find_label("terrier").unwrap_err();
        assert!(error.to_string().contains("more"), "{error}");
    }
}
