//! Names of folders.

/// A readable name for a folder: letters, digits, dots and dashes, in lower case, with one
/// underscore for whatever lies between.
pub fn slug(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let words = text.split(|c| !plain(c)).map(|word| word.trim_matches('.'));
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    // File systems end names at 255 bytes, and there may be three of these in one.
    words.join("_").chars().take(80).collect()
}

/// The parts joined, with a number behind names that are taken.
pub fn unique<'a>(parts: impl IntoIterator<Item = &'a str>, taken: &[String]) -> String {
    let parts: Vec<String> = parts
        .into_iter()
        .map(slug)
        .filter(|part| !part.is_empty())
        .collect();
    let name = match parts.join("_") {
        name if name.is_empty() => "result".to_owned(),
        name => name,
    };
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_files_become_folder_names() {
        assert_eq!(slug("inception_4d/output"), "inception_4d_output");
        assert_eq!(slug("@features"), "features");
        assert_eq!(slug("../../etc"), "etc");
        assert_eq!(slug("My Cat (1)"), "my_cat_1");
        assert_eq!(slug("layer1.0.conv2"), "layer1.0.conv2");
        assert_eq!(slug("猫"), "");
        assert_eq!(slug(&"x".repeat(300)).len(), 80);
    }

    #[test]
    fn no_two_folders_have_one_name() {
        let mut taken = Vec::new();
        for expected in ["grad-cam_a", "grad-cam_a_2", "grad-cam_a_3"] {
            let name = unique(["grad-cam", "a", ""], &taken);
            assert_eq!(name, expected);
            taken.push(name);
        }
        assert_eq!(unique(["猫"], &[]), "result");
    }
}
