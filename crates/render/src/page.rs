//! The shell that all pages share.
//!
//! A page is one file: `widgets/shared/shell.html` extended by the page's own markup, with styles,
//! scripts and data inline. Markup goes through minijinja, which escapes every value; data goes
//! into a JSON block that the script reads. A page without a script has no data either.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::RenderError;

/// The files of one page.
pub(crate) struct Widget {
    pub(crate) markup: &'static str,
    /// Markup that the page includes, by name.
    pub(crate) parts: &'static [(&'static str, &'static str)],
    pub(crate) style: &'static str,
    pub(crate) script: Option<&'static str>,
}

const SHELL: &str = include_str!("../widgets/shared/shell.html");
const FACTS: &str = include_str!("../widgets/shared/facts.html");
const STATUS: &str = include_str!("../widgets/shared/status.html");
const SHARED_STYLE: &str = include_str!("../widgets/shared/style.css");
const CONTROLS_STYLE: &str = include_str!("../widgets/shared/controls.css");
const SHARED_SCRIPT: &str = include_str!("../widgets/shared/script.js");

/// Steps from zero to the largest value of packed numbers.
pub(crate) const STEPS: f64 = i16::MAX as f64;

impl Widget {
    /// The whole page, no larger than `limit` bytes: `text` is what the markup shows, `data` what the
    /// script reads.
    pub(crate) fn render(
        &self,
        text: &impl Serialize,
        data: &impl Serialize,
        limit: usize,
    ) -> Result<String, RenderError> {
        let data = json_for_script(data)?;
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let failed = |source| RenderError::encode("page", source);
        let files = [
            ("shell.html", SHELL),
            ("facts.html", FACTS),
            ("status.html", STATUS),
            ("page.html", self.markup),
        ];
        for (name, markup) in files.iter().chain(self.parts) {
            environment.add_template(name, markup).map_err(failed)?;
        }
        let (styles, scripts) = match self.script {
            Some(script) => (
                vec![SHARED_STYLE, CONTROLS_STYLE, self.style],
                vec![SHARED_SCRIPT, script],
            ),
            None => (vec![SHARED_STYLE, self.style], Vec::new()),
        };
        let page = environment
            .get_template("page.html")
            .and_then(|page| {
                page.render(context! {
                    text => minijinja::Value::from(Serde(text)),
                    styles,
                    scripts,
                    data,
                })
            })
            .map_err(failed)?;
        check_bytes(page.len(), limit)?;
        Ok(page)
    }
}

/// What the builders of all pages share; they have `predictions`, `facts`, and a method `render`. Those with
/// a usual title have a `title` that may be another.
macro_rules! page_methods {
    (titled $usual:literal) => {
        #[doc = concat!("The title, instead of \"", $usual, "\".")]
        pub fn title(mut self, title: impl Into<String>) -> Self {
            self.title = Some(title.into());
            self
        }

        fn shown_title(&self) -> &str {
            self.title.as_deref().unwrap_or($usual)
        }

        crate::page::page_methods!();
    };
    () => {
        /// What the network took the photograph for: labels with probabilities from 0 to 1, or without
        /// one where there is none.
        pub fn predictions<S: Into<String>, P: Into<Option<f32>>>(
            mut self,
            predictions: impl IntoIterator<Item = (S, P)>,
        ) -> Self {
            self.predictions = predictions
                .into_iter()
                .map(|(label, probability)| (label.into(), probability.into()))
                .collect();
            self
        }

        /// Adds a line to the page's facts, such as the model's name.
        pub fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.facts.push((name.into(), value.into()));
            self
        }

        /// Adds what was assumed of the network, a line of the page's facts each.
        pub fn remarks<S: ToString>(self, remarks: impl IntoIterator<Item = S>) -> Self {
            let remarks = remarks.into_iter();
            remarks.fold(self, |page, remark| page.fact("Note", remark.to_string()))
        }

        /// Writes the page, replacing what is there in one step.
        ///
        /// # Errors
        ///
        /// Those of [`Self::render`], and [`RenderError::Write`](crate::RenderError::Write) naming
        /// the path.
        pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<(), crate::RenderError> {
            crate::file::write_atomically(path, self.render()?.as_bytes())
        }
    };
}
pub(crate) use page_methods;

/// A prediction as `facts.html` shows it.
#[derive(Serialize)]
pub(crate) struct Prediction<'a> {
    label: &'a str,
    percent: Option<String>,
}

impl<'a> Prediction<'a> {
    /// Refuses probabilities outside 0 to 1.
    pub(crate) fn list(predictions: &'a [(String, Option<f32>)]) -> Result<Vec<Self>, RenderError> {
        let text = |(label, probability): &'a (String, Option<f32>)| match probability {
            None => Ok(Prediction {
                label,
                percent: None,
            }),
            Some(probability @ 0.0..=1.0) => Ok(Prediction {
                label,
                percent: Some(format!("{:.1}", 100.0 * probability)),
            }),
            Some(probability) => Err(RenderError::Parameter {
                parameter: "the probability of a prediction",
                value: format!("{probability} for {label:?}"),
                expected: "a number from 0 to 1",
            }),
        };
        predictions.iter().map(text).collect()
    }
}

/// A PNG file as the address of an image.
pub(crate) fn data_uri(png: &[u8]) -> String {
    address("png", png)
}

/// A picture file as the address of an image.
pub(crate) fn address(format: &str, bytes: &[u8]) -> String {
    format!("data:image/{format};base64,{}", STANDARD.encode(bytes))
}

/// Appends numbers as 16-bit integers in units of their largest absolute value over [`STEPS`],
/// and returns that value.
pub(crate) fn pack<'a>(
    values: impl IntoIterator<Item = &'a f32, IntoIter: Clone>,
    bytes: &mut Vec<u8>,
) -> f32 {
    let values = values.into_iter();
    let scale = values.clone().fold(0.0_f32, |most, v| most.max(v.abs()));
    for value in values {
        let share = match scale {
            0.0 => 0.0,
            _ => f64::from(*value) / f64::from(scale),
        };
        bytes.extend(((share * STEPS).round() as i16).to_le_bytes());
    }
    scale
}

/// Refuses an array of another shape.
pub(crate) fn expect_shape(
    what: &str,
    expected: &[usize],
    got: &[usize],
) -> Result<(), RenderError> {
    if expected == got {
        return Ok(());
    }
    Err(RenderError::Shape {
        what: what.to_owned(),
        expected: expected.to_vec(),
        got: got.to_vec(),
    })
}

pub(crate) fn base64_size(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

pub(crate) fn check_bytes(bytes: usize, limit: usize) -> Result<(), RenderError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(RenderError::PageTooLarge { bytes, limit })
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

/// What tests of all pages ask.
#[cfg(test)]
pub(crate) mod hostile {
    /// A label that would leave the place where it stands.
    pub const HOSTILE: &str = "</script><img src=x onerror=alert(1)>";

    /// Nothing is fetched, as the page itself says.
    pub fn fetches_nothing(page: &str) {
        assert!(page.contains("default-src 'none'"));
        let outside = ["http://", "https://", "<link rel=\"stylesheet", "@import"];
        for outside in outside.into_iter().chain([" src=\"//"]) {
            assert!(!page.contains(outside), "the page mentions {outside}");
        }
    }
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
