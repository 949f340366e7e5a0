//! How messages show what may be long: names and lists that come from files.

/// A name as a message shows it: of a very long one, which no program gave, the ends.
pub fn quoted(name: impl AsRef<str>) -> String {
    const SHOWN: usize = 200;
    const END: usize = 60;
    let name = name.as_ref();
    match name.chars().count() {
        0..=SHOWN => format!("\"{name}\""),
        count => {
            let first: String = name.chars().take(SHOWN - END).collect();
            let last: String = name.chars().skip(count - END).collect();
            format!("\"{first}...{last}\"")
        }
    }
}

/// `"a", "b" and 3 more`: enough to act on, never a screenful.
pub(crate) fn quoted_list<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<_> = names.iter().take(SHOWN).map(quoted).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `[1, 2, 3]`, or the beginning of a list that would fill a screen.
pub fn few<T: std::fmt::Debug>(values: &[T]) -> String {
    const SHOWN: usize = 12;
    match values.get(..SHOWN) {
        Some(first) if values.len() > SHOWN => {
            let list = format!("{first:?}");
            format!(
                "{}, ... {} in all]",
                list.trim_end_matches(']'),
                values.len()
            )
        }
        _ => format!("{values:?}"),
    }
}
