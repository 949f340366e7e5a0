//! The shell that all interactive pages share.
//!
//! A page is one file: `widgets/shared/shell.html` extended by the widget's own markup, with styles,
//! scripts and data inline. Markup goes through minijinja, which escapes every value; data goes
//! into a JSON block that the script reads.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::RenderError;

/// The files of one widget.
pub(crate) struct Widget {
    pub(crate) markup: &'static str,
    pub(crate) style: &'static str,
    pub(crate) script: &'static str,
}

const SHELL: &str = include_str!("../widgets/shared/shell.html");
const SHARED_STYLE: &str = include_str!("../widgets/shared/style.css");
const SHARED_SCRIPT: &str = include_str!("../widgets/shared/script.js");

impl Widget {
    /// The whole page: `text` is what the markup shows, `data` what the script reads.
    pub(crate) fn render(
        &self,
        text: &impl Serialize,
        data: &impl Serialize,
    ) -> Result<String, RenderError> {
        let data = json_for_script(data)?;
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let failed = |source| RenderError::encode("page", source);
        environment
            .add_template("shell.html", SHELL)
            .map_err(failed)?;
        environment
            .add_template("page.html", self.markup)
            .map_err(failed)?;
        environment
            .get_template("page.html")
            .and_then(|page| {
                page.render(context! {
                    text => minijinja::Value::from(Serde(text)),
                    styles => [SHARED_STYLE, self.style],
                    scripts => [SHARED_SCRIPT, self.script],
                    data,
                })
            })
            .map_err(failed)
    }
}

/// JSON that no HTML or script parser can mistake for markup.
///
/// The replaced characters occur in JSON only inside strings, where the escapes mean the same.
fn json_for_script(data: &impl Serialize) -> Result<String, RenderError> {
    let json = serde_json::to_string(data)
        .map_err(|source| RenderError::encode("data of the page", source))?;
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            other => safe.push(other),
        }
    }
    Ok(safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_closes_the_script_block() {
        let json =
            json_for_script(&["</script><!--", "a & b", "\u{2028}\u{2029}", "\"'\\"]).unwrap();
        assert_eq!(
            json,
            r#"["\u003c/script\u003e\u003c!--","a \u0026 b","\u2028\u2029","\"'\\"]"#
        );
    }

    proptest! {
        #[test]
        fn every_text_survives(text in ".*") {
            let json = json_for_script(&text).unwrap();
            let unsafe_characters = ['<', '>', '&', '\u{2028}', '\u{2029}'];
            prop_assert!(!json.contains(unsafe_characters));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
