//! Entries of a table by name, and their options as text: what the tables of methods and of metrics
//! share.

use std::collections::BTreeMap;

use crate::options::Configurable;

/// A name is suggested from this similarity on, Jaro and Winkler's, of 0 to 1.
const SIMILARITY: f64 = 0.7;

/// The entry of this name, in small or capital letters, with dashes or underscores.
///
/// # Errors
///
/// There is none; with the nearest name, where one is near.
pub fn find<'t, E>(
    table: &[&'t E],
    name: &str,
    name_of: impl Fn(&E) -> &'static str,
) -> Result<&'t E, Option<&'static str>> {
    let wanted = name.trim().to_ascii_lowercase().replace('_', "-");
    if let Some(entry) = table.iter().find(|entry| name_of(entry) == wanted) {
        return Ok(entry);
    }
    let nearest = table
        .iter()
        .map(|entry| name_of(entry))
        .map(|known| (strsim::jaro_winkler(&wanted, known), known))
        .filter(|(similarity, _)| *similarity > SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(nearest.map(|(_, known)| known))
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
        let table = [&"grad-cam", &"rise"];
        let find = |name: &str| find(&table, name, |known| *known).copied();
        assert_eq!(find(" Grad_CAM"), Ok("grad-cam"));
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
