//! Entries of a table by name, and their options as text: what the tables of methods and of metrics
//! share.

use std::collections::BTreeMap;

use crate::options::Configurable;

/// A name is suggested from this similarity on, Jaro and Winkler's, of 0 to 1.
const SIMILARITY: f64 = 0.7;

/// The entry of this name, else the one that others call so: in small or capital letters, in one word or with dashes,
/// underscores or spaces between words.
///
/// # Errors
///
/// There is none; with the nearest name, where one is near.
pub fn find<'t, E>(
    table: &[&'t E],
    name: &str,
    names: impl Fn(&E) -> Names,
) -> Result<&'t E, Option<&'static str>> {
    let wanted = &in_one_word(name);
    let first = |is: &dyn Fn(Names) -> bool| table.iter().find(|entry| is(names(entry)));
    let found = first(&|names| names.own == name.trim())
        .or_else(|| first(&|names| in_one_word(names.own) == *wanted))
        .or_else(|| {
            first(&|names| {
                names
                    .others
                    .iter()
                    .any(|other| in_one_word(other) == *wanted)
            })
        });
    if let Some(entry) = found {
        return Ok(entry);
    }
    let known = table.iter().flat_map(|entry| {
        let Names { own, others } = names(entry);
        let known = std::iter::once(own).chain(others.iter().copied());
        known.map(move |known| (strsim::jaro_winkler(wanted, &in_one_word(known)), own))
    });
    let nearest = known
        .filter(|(similarity, _)| *similarity > SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(nearest.map(|(_, own)| own))
}

/// What an entry is called.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Its name.
    pub own: &'static str,
    /// Names that other programs give it.
    pub others: &'static [&'static str],
}

fn in_one_word(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_' | ' '));
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// What the tables of methods and of metrics do alike: `table!(Methods, METHODS of Method: Attributor by MethodOptions or
/// AttributionError::UnknownMethod, named |method| ...)`, for a struct `Methods(Vec<Method>)`.
#[doc(hidden)]
#[macro_export]
macro_rules! table {
    ($table:ident, $all:ident of $entry:ident: $made:ident by $options:ident or $error:ident::$unknown:ident, named $names:expr) => {
        impl $table {
            #[doc = concat!("Those of the table [`", stringify!($all), "`].")]
            pub fn standard() -> Self {
                Self($all.iter().map(|entry| **entry).collect())
            }

            /// None at all.
            pub const fn none() -> Self {
                Self(Vec::new())
            }

            /// With one more, in the place of one of the same name if there is one.
            #[must_use]
            pub fn with(mut self, entry: $entry) -> Self {
                match self.0.iter_mut().find(|known| known.name == entry.name) {
                    Some(known) => *known = entry,
                    None => self.0.push(entry),
                }
                self
            }

            /// All of them, in the order in which they came.
            pub fn iter(&self) -> std::slice::Iter<'_, $entry> {
                self.0.iter()
            }

            /// The one with this name.
            ///
            /// # Errors
            ///
            #[doc = concat!("[`", stringify!($error), "::", stringify!($unknown), "`], with the nearest name there is.")]
            pub fn find(&self, name: &str) -> Result<&$entry, $error> {
                let all: Vec<&$entry> = self.0.iter().collect();
                $entry::among(&all, name)
            }
        }

        impl<'t> IntoIterator for &'t $table {
            type Item = &'t $entry;
            type IntoIter = std::slice::Iter<'t, $entry>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        impl $entry {
            /// The one with this name.
            ///
            /// # Errors
            ///
            #[doc = concat!("[`", stringify!($error), "::", stringify!($unknown), "`], with the nearest name there is.")]
            pub fn find(name: &str) -> Result<&'static Self, $error> {
                Self::among($all, name)
            }

            fn among<'t>(table: &[&'t Self], name: &str) -> Result<&'t Self, $error> {
                $crate::by_name::find(table, name, $names).map_err(|nearest| $error::$unknown {
                    name: name.to_owned(),
                    nearest,
                })
            }

            /// What it makes under no options at all, at its own place.
            ///
            /// # Errors
            ///
            #[doc = concat!("Those of [`", stringify!($entry), "::build`], of one whose own options are out of range.")]
            pub fn usual(&self) -> Result<Box<dyn $made>, $error> {
                self.build(&$options::new())
            }

            /// Its options on pictures of `[height, width]` where none is given: what
            #[doc = concat!("[`", stringify!($entry), "::usual`] says of itself.")]
            /// An option that is not here has no part in the result, or none unless it is given.
            pub fn defaults(&self, size: [usize; 2]) -> $crate::Configuration {
                let built = self.usual();
                built.map_or_else(|_| $crate::Configuration::new(), |built| built.configuration(size))
            }
        }

        impl std::fmt::Debug for $entry {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($entry)).field("name", &self.name).finish_non_exhaustive()
            }
        }
    };
}

/// Options by name, as text.
#[derive(Debug, Clone, Default)]
pub struct OptionTexts(BTreeMap<String, String>);

impl OptionTexts {
    /// Sets an option, in the place of what may be there.
    pub fn set(&mut self, option: &str, value: &str) {
        self.0.insert(option.to_owned(), value.to_owned());
    }

    /// The first option, in alphabetical order, that is not known.
    pub fn unknown(&self, is_known: impl Fn(&str) -> bool) -> Option<&str> {
        let mut names = self.0.keys().map(String::as_str);
        names.find(|name| !is_known(name))
    }

    /// An option as it was given.
    pub fn text(&self, option: &str) -> Option<&str> {
        self.0.get(option).map(String::as_str)
    }

    /// Sets what was given on a method or a metric, in the order of its options.
    ///
    /// # Errors
    ///
    /// Those of [`Configurable::configure`].
    pub fn configure<C: Configurable>(&self, owner: &mut C) -> Result<(), C::Error> {
        C::OPTIONS.iter().try_for_each(|option| {
            let text = self.text(option.name);
            text.map_or(Ok(()), |text| owner.configure(option.name, text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_or_suggested() {
        let names = |own: &&'static str| Names {
            own,
            others: match *own {
                "linear-approximation" => &["input-x-gradient", "linear"],
                _ => &[],
            },
        };
        let table = [&"linear-approximation", &"grad-cam", &"rise"];
        let find = |name: &str| super::find(&table, name, names).copied();
        for name in [" Grad_CAM", "GradCAM", "grad cam"] {
            assert_eq!(find(name), Ok("grad-cam"));
        }
        assert_eq!(find("linear"), Ok("linear-approximation"));
        // A name of one's own is nobody else's.
        let with_own = [&"linear-approximation", &"grad-cam", &"gradcam", &"linear"];
        for name in ["gradcam", "linear"] {
            let found = super::find(&with_own, name, names);
            assert_eq!(found.copied(), Ok(name));
        }
        assert_eq!(find("InputXGradient"), Ok("linear-approximation"));
        assert_eq!(find("input-x-gradiant"), Err(Some("linear-approximation")));
        assert_eq!(find("grad-cm"), Err(Some("grad-cam")));
        assert_eq!(find("xyz"), Err(None));
    }

    #[test]
    fn the_last_text_counts_and_unknown_options_are_found() {
        let mut texts = OptionTexts::default();
        texts.set("masks", "9");
        texts.set("masks", "10");
        texts.set("seed", "none");
        assert_eq!(texts.text("masks"), Some("10"));
        assert_eq!(texts.text("steps"), None);
        assert_eq!(texts.unknown(|name| name == "masks"), Some("seed"));
        assert_eq!(texts.unknown(|_| true), None);
    }
}
