//! The forms of what is printed and written as JSON, with their versions: `docs/json.md` says what is in each.

use serde::Serialize;

/// Each command whose report is JSON, with the version of its form. It grows where a field goes, changes its name or its meaning, not
/// where one is added.
pub const VERSIONS: [(&str, u32); 23] = [
    ("attention", 1),
    ("attribute", 1),
    ("channels", 1),
    ("classify", 1),
    ("devices", 1),
    ("evaluate", 1),
    ("evaluate compare", 1),
    ("evaluate dry-run", 1),
    ("evaluate merge", 1),
    ("evaluate status", 1),
    ("groups", 1),
    ("inspect", 1),
    ("methods", 1),
    ("metrics", 1),
    ("models list", 1),
    ("models path", 1),
    ("models pull", 1),
    ("profile", 1),
    ("spatial", 1),
    ("spritemap", 2),
    ("spritemap merge", 2),
    ("spritemap status", 1),
    ("visualize", 1),
];

/// The version of a command's form. A command without one is a bug that the test below finds.
fn version(command: &str) -> u32 {
    let known = VERSIONS.iter().find(|(name, _)| *name == command);
    known.map_or(0, |(_, version)| *version)
}

/// A report that names its command, with the version of its form before everything else.
#[derive(Debug, Serialize)]
pub struct Versioned<'r, T> {
    schema: u32,
    #[serde(flatten)]
    report: &'r T,
}

impl<'r, T: Serialize> Versioned<'r, T> {
    pub fn of(command: &str, report: &'r T) -> Self {
        Self {
            schema: version(command),
            report,
        }
    }
}

/// What a command prints whose values do not name it.
#[derive(Debug, Serialize)]
pub struct Named<T> {
    command: &'static str,
    #[serde(flatten)]
    report: T,
}

impl<T> Named<T> {
    pub fn new(command: &'static str, report: T) -> Self {
        Self { command, report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_first_and_are_those_of_the_list() {
        #[derive(Serialize)]
        struct Report {
            z: f32,
            a: [u8; 2],
        }
        let report = Named::new("devices", Report { z: 0.1, a: [1, 2] });
        let text = serde_json::to_string(&Versioned::of("devices", &report)).unwrap();
        assert_eq!(
            text,
            r#"{"schema":1,"command":"devices","z":0.1,"a":[1,2]}"#
        );
        assert!(VERSIONS.is_sorted() && VERSIONS.iter().all(|(_, version)| *version > 0));
    }

    /// Whoever reads a report finds its form.
    #[test]
    fn every_form_is_described() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (command, version) in VERSIONS {
            let head = format!("\n## `{command}`, version {version}\n");
            assert!(page.contains(&head), "docs/json.md has no {head:?}");
        }
        assert_eq!(page.matches(", version ").count(), VERSIONS.len());
    }
}
