//! What the library says, in the words of the command line.
//!
//! Libraries name what changes a thing by their own functions, `Opening::logits("z")`, since a program that
//! uses them has no flags. Here there are.

/// A function of the library by its name in messages, the flag or command that does the same, and what stands
/// behind that where the message leaves it out.
const WORDS: &[(&str, &str, &str)] = &[
    ("Opening::output", "--output", "NAME"),
    ("Opening::logits", "--logits", "NAME"),
    ("Opening::scores", "--scores", "NAME"),
    ("Opening::labels", "--labels", "FILE"),
    ("Opening::layout", "--layout", "LAYOUT"),
    ("Opening::input", "--input", "NAME"),
    ("Opening::feed", "--feed", "NAME=FILE.npy"),
    (
        "Preparation::scale, mean, std, order, resize, size",
        "--scale, --mean, --std, --channel-order, --resize, --input-size",
        "",
    ),
    (
        "Preparation::scale, mean, std, order, resize",
        "--scale, --mean, --std, --channel-order, --resize",
        "",
    ),
    (
        "Preparation::scale, mean, std and order",
        "--scale, --mean, --std and --channel-order",
        "",
    ),
    (
        "Preparation::scale, mean and std",
        "--scale, --mean and --std",
        "",
    ),
    ("Preparation::size", "--input-size", ""),
    ("Preparation::transparency", "--transparency", ""),
    ("Target::like", "--like FILE", ""),
    ("a target names one", "--target names one", ""),
    ("Limits::with_memory", "--memory-limit", ""),
    ("ForeignMaps::resize", "--resize-maps", ""),
    ("Begin::resume", "--resume", ""),
    ("Begin::allow_mixed", "--allow-mixed", ""),
    ("pull", "elucid models pull", ""),
    (
        "the manifest lists the names",
        "to see the names: elucid models list",
        "",
    ),
];

/// `text` with flags for the library's functions.
pub fn in_flags(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((option, behind)) = option(rest) {
            said.push_str("--");
            said.push_str(option);
            rest = behind;
            continue;
        }
        let found = WORDS.iter().find_map(|(word, flag, usual)| {
            let behind = rest.strip_prefix(word)?;
            match argument(behind) {
                Some((argument, behind)) => Some((flag, argument, behind)),
                // A plain word may stand in any sentence.
                None if *word == "pull" => None,
                None if behind.starts_with(|c: char| c.is_alphanumeric() || c == '_') => None,
                None => Some((flag, *usual, behind)),
            }
        });
        match found {
            Some((flag, argument, behind)) => {
                said.push_str(flag);
                if !argument.is_empty() {
                    said.push(' ');
                    said.push_str(argument);
                }
                if *flag == "--feed" && !argument.contains('=') {
                    said.push_str("=FILE.npy");
                }
                rest = behind;
            }
            None => {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                said.push_str(&rest[..next]);
                rest = &rest[next..];
            }
        }
    }
    said
}

/// The name of a method's option whose value is spoken of, and what follows it.
fn option(text: &str) -> Option<(&str, &str)> {
    let (name, behind) = text.strip_prefix("option \"")?.split_once('"')?;
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    (is_name && behind.starts_with(" is \"")).then_some((name, behind))
}

/// What stands in brackets at the beginning of `text`, without quotes, and what follows.
fn argument(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(')?;
    match inside.strip_prefix('"') {
        Some(quoted) => quoted.split_once("\")"),
        None => inside.split_once(')'),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn functions_become_flags() {
        for (library, flags) in [
            (
                "Opening::logits(\"a(b)/c\") explains",
                "--logits a(b)/c explains",
            ),
            (
                "Opening::output chooses another",
                "--output NAME chooses another",
            ),
            ("Opening::scores(none) says", "--scores none says"),
            (
                "Opening::feed(\"meta\") gives one",
                "--feed meta=FILE.npy gives one",
            ),
            ("Opening::feed gives", "--feed NAME=FILE.npy gives"),
            (
                "a pull(\"x\") and a pull",
                "a elucid models pull x and a pull",
            ),
            ("option \"steps\" is \"x\"", "--steps is \"x\""),
            ("has no option \"steps\"; it", "has no option \"steps\"; it"),
            ("Opening::outputs", "Opening::outputs"),
            ("naïve \u{1f408}", "naïve \u{1f408}"),
            ("", ""),
        ] {
            assert_eq!(in_flags(library), flags);
        }
    }

    /// No library speaks of flags and commands, and each of its functions that messages name has a flag.
    #[test]
    fn libraries_speak_of_functions() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut waiting: Vec<_> = [
            "attribution",
            "vision",
            "graph",
            "onnx",
            "rules",
            "metrics",
            "optvis",
            "study",
        ]
        .map(|room| root.join("crates").join(room).join("src"))
        .to_vec();
        waiting.extend([root.join("models/src"), root.join("src")]);
        let mut read = 0;
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(path).unwrap();
                waiting.extend(entries.map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            read += 1;
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                // Features of a build are cargo's.
                if line.starts_with("//") || line.contains("--features") {
                    continue;
                }
                let place = format!("{}:{}: {line}", path.display(), number + 1);
                let has_flag = line.match_indices("--").any(|(at, _)| {
                    line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase() || c == '{')
                        && !line[..at].ends_with('-')
                });
                assert!(!has_flag, "{place}");
                for command in [
                    "elucid methods",
                    "elucid metrics",
                    "elucid models",
                    "elucid inspect",
                ] {
                    assert!(!line.contains(command), "{place}");
                }
                for start in ["Opening::", "Preparation::"] {
                    for (at, _) in line.match_indices(start) {
                        // Only in texts.
                        let is_text = line[..at].matches('"').count() % 2 == 1
                            || !line.contains(['{', ';', '(', '<']);
                        let said = in_flags(&line[at..]);
                        assert!(!is_text || !said.starts_with(start), "{place}");
                    }
                }
            }
        }
        assert!(read > 200, "{read} files");
    }
}
