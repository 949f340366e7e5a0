//! What stands in the rows and columns of the table: methods and metrics with their options, as text.

use std::collections::BTreeMap;

use elucid_attribution::{
    Attribution, AttributionError, Configuration, Method, MethodOptions, Methods, Network, Place,
    Reduce, Saliency,
};
use elucid_metrics::{MetricOptions, Metrics};
use elucid_rules::Rules;
use elucid_vision::Model;
use serde::{Deserialize, Serialize};

use crate::error::StudyError;

/// What an entry may say of any method, besides the method's own options.
const COMMON: [&str; 4] = ["layer", "rules", "reduce", "smooth"];

/// A method with what was said of it: `NAME` or `NAME:OPTION=VALUE,...`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How it is called in the results.
    pub name: String,
    /// The method.
    pub method: Method,
    options: BTreeMap<String, String>,
    layer: Option<String>,
    rules: Option<Rules>,
    reduce: Option<Reduce>,
    smooth: Option<f32>,
}

/// What holds for every method that takes it and says nothing else.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// The layer.
    pub layer: Option<String>,
    /// Replaced gradients.
    pub rules: Option<Rules>,
    /// How channels become a map.
    pub reduce: Option<Reduce>,
    /// Standard deviation of a smoothing, as a fraction of the longer side.
    pub smooth: Option<f32>,
    /// Options of the methods' own, by name.
    pub options: BTreeMap<String, String>,
}

/// The name of a metric without its options: of `pointing:15` `pointing`.
pub fn metric_of(entry: &str) -> &str {
    entry.split_once(':').map_or(entry, |(name, _)| name)
}

/// The parts of a list separated by commas, of which options behind a colon may hold some, too:
/// `pointing:tolerance=15,ties=share,road` has two.
pub fn split(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for piece in text.split(',').map(str::trim) {
        let is_option = piece.split_once('=').is_some_and(|(k, _)| !k.contains(':'));
        match items.last_mut() {
            Some(last) if is_option && last.contains(':') => {
                last.push(',');
                last.push_str(piece);
            }
            _ => items.push(piece.to_owned()),
        }
    }
    items
}

/// Refuses metrics that do not exist, and names each once.
///
/// # Errors
///
/// [`StudyError::Metric`] for one that cannot be made.
pub fn metric_names(metrics: &Metrics, text: &str) -> Result<Vec<String>, StudyError> {
    let mut names: Vec<String> = Vec::new();
    for item in split(text) {
        metrics.metric(&item, &MetricOptions::new())?;
        if !names.contains(&item) {
            names.push(item);
        }
    }
    Ok(names)
}

/// A method as it was applied, for whoever asks later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodFacts {
    /// How it is called in the results.
    pub name: String,
    /// The method's name.
    pub method: String,
    /// The method's name in full.
    pub title: String,
    /// The layer that it attributed to.
    pub layer: String,
    /// The replaced gradients, `true` for none.
    pub rules: String,
    /// The method's options in effect on pictures of the network's size.
    pub options: Configuration,
    /// How channels became a map; `usual` for the method's own way.
    pub reduce: String,
    /// Standard deviation of the smoothing as a fraction of the longer side; 0 for none.
    pub smooth: f32,
}

impl Entry {
    /// A method of which nothing is said.
    pub fn plain(method: &Method) -> Self {
        Self {
            name: method.name.to_owned(),
            method: *method,
            options: BTreeMap::new(),
            layer: None,
            rules: None,
            reduce: None,
            smooth: None,
        }
    }

    /// Reads one entry: a name, and behind a colon what is said of it alone.
    ///
    /// # Errors
    ///
    /// [`StudyError::Attribution`] for a name that is none, [`StudyError::Entry`] for what cannot be said of the method.
    pub fn parse(methods: &Methods, item: &str) -> Result<Self, StudyError> {
        let (name, list) = item.split_once(':').unwrap_or((item, ""));
        let method = methods.find(name)?;
        let mut entry = Self::plain(method);
        let mut said = Vec::new();
        for part in list.split(',').filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                let reason = format!("{name}: expected OPTION=VALUE, not \"{part}\"");
                return Err(StudyError::Entry(reason));
            };
            let (key, value) = (key.trim(), value.trim());
            let wrong = |error: String| StudyError::Entry(format!("{name}: {key}: {error}"));
            match key {
                "layer" => entry.layer = Some(value.to_owned()),
                "rules" => {
                    let rules = Rules::preset(value).map_err(|e| wrong(e.to_string()))?;
                    entry.rules = Some(rules);
                }
                "reduce" => {
                    let reduce = value.parse::<Reduce>().map_err(|e| wrong(e.to_string()))?;
                    entry.reduce = Some(reduce);
                }
                "smooth" => entry.smooth = Some(fraction(value).map_err(wrong)?),
                option if method.takes(option) => {
                    entry.options.insert(option.to_owned(), value.to_owned());
                }
                option => {
                    let own = method.all_options().map(|option| option.name);
                    let known: Vec<&str> = own.chain(COMMON).collect();
                    return Err(StudyError::Entry(format!(
                        "{} has no option \"{option}\"; it takes {}",
                        method.name,
                        known.join(", ")
                    )));
                }
            }
            said.push(format!("{key}={value}"));
        }
        if !said.is_empty() {
            entry.name = format!("{}:{}", method.name, said.join(","));
        }
        Ok(entry)
    }

    /// With what holds for all, where this method takes it and the entry says nothing else. Its name stays.
    #[must_use]
    pub fn or(mut self, common: &Common) -> Self {
        if self.method.place.takes_layer() {
            self.layer = self.layer.or_else(|| common.layer.clone());
        }
        if self.method.takes_rules {
            self.rules = self.rules.or_else(|| common.rules.clone());
        }
        self.reduce = self.reduce.or(common.reduce);
        self.smooth = self.smooth.or(common.smooth);
        for (name, value) in &common.options {
            if self.method.takes(name) && !self.options.contains_key(name) {
                self.options.insert(name.clone(), value.clone());
            }
        }
        self
    }

    /// The layer as it was asked for, or the method's own.
    fn layer(&self) -> &str {
        self.layer.as_deref().unwrap_or(self.method.own_layer())
    }

    /// What the method is built with.
    pub fn options(&self, seed: u64, batch_size: usize) -> MethodOptions {
        let mut options = MethodOptions::new().seed(seed).batch_size(batch_size);
        if self.layer.is_some() || self.method.place.takes_layer() {
            options = options.layer(self.layer());
        }
        if let Some(rules) = &self.rules {
            options = options.rules(rules);
        }
        let set =
            |options: MethodOptions, (name, value): (&String, &String)| options.set(name, value);
        self.options.iter().fold(options, set)
    }

    /// How the maps of this method are made.
    pub fn look(&self) -> Look {
        let usual = match self.method.place {
            Place::SpatialLayer => Some(Reduce::Positive),
            Place::Input | Place::AnyLayer | Place::Tokens => None,
        };
        Look {
            reduce: self.reduce.or(usual),
            smooth: self.smooth.unwrap_or(0.0),
        }
    }

    /// The method as it will be applied.
    ///
    /// # Errors
    ///
    /// [`StudyError::Attribution`] for options that cannot be understood and layers that do not exist.
    pub fn facts(&self, model: &Model) -> Result<MethodFacts, StudyError> {
        let built = self.method.build(&self.options(0, 1))?;
        let look = self.look();
        Ok(MethodFacts {
            name: self.name.clone(),
            method: self.method.name.to_owned(),
            title: self.method.title.to_owned(),
            layer: Network::layer(model, self.layer())?,
            rules: (self.rules.as_ref())
                .map_or("true", |rules| rules.name())
                .to_owned(),
            options: built.configuration(model.input_spec().size()),
            reduce: look.reduce.map_or("usual".to_owned(), |r| r.to_string()),
            smooth: look.smooth,
        })
    }
}

/// A fraction of the longer side, from 0 to 1.
///
/// # Errors
///
/// What would be right, in words.
pub fn fraction(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("expected a fraction from 0 to 1".to_owned()),
    }
}

/// How the maps of a method are made.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// `None` for the method's own way.
    reduce: Option<Reduce>,
    smooth: f32,
}

impl Look {
    /// The maps as they are thresholded, and at the size of the images. These are the same where
    /// maps are smoothed, which is done at the size of the images.
    ///
    /// # Errors
    ///
    /// [`AttributionError`] for attributions that are no maps.
    pub fn maps(self, attribution: &Attribution) -> Result<[Saliency; 2], AttributionError> {
        let reduce = self.reduce.unwrap_or(attribution.reduction());
        let raw = attribution.saliency(reduce)?;
        let large = raw.torchray(self.smooth);
        Ok(match self.smooth > 0.0 {
            true => [large.clone(), large],
            false => [raw, large],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_options() {
        assert_eq!(
            split("pointing:tolerance=15,ties=share, pointing:0,road"),
            ["pointing:tolerance=15,ties=share", "pointing:0", "road"]
        );
        let names = metric_names(
            &Metrics::standard(),
            "pointing:15,pointing:15,mass-accuracy",
        )
        .unwrap();
        assert_eq!(names, ["pointing:15", "mass-accuracy"]);
        let methods = Methods::standard();
        let text = "gradient:smooth=0.02,reduce=l2,grad-cam:layer=fire8,gradient";
        let entries = split(text).into_iter();
        let entries: Vec<Entry> = entries
            .map(|item| Entry::parse(&methods, &item).unwrap())
            .collect();
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "gradient:smooth=0.02,reduce=l2",
                "grad-cam:layer=fire8",
                "gradient"
            ]
        );
        assert_eq!(entries[0].smooth, Some(0.02));
        assert_eq!(entries[0].reduce, Some(Reduce::L2));
        assert_eq!(entries[1].layer.as_deref(), Some("fire8"));
    }

    #[test]
    fn what_holds_for_all_yields() {
        let methods = Methods::standard();
        let common = Common {
            smooth: Some(0.1),
            layer: Some("here".to_owned()),
            options: BTreeMap::from([("steps".to_owned(), "7".to_owned())]),
            ..Common::default()
        };
        let of = |text: &str| Entry::parse(&methods, text).unwrap().or(&common);
        assert_eq!(of("gradient:smooth=0.02").smooth, Some(0.02));
        assert_eq!(of("gradient").smooth, Some(0.1));
        assert_eq!(of("grad-cam").layer(), "here");
        assert_eq!(of("grad-cam:layer=there").layer(), "there");
        assert_eq!(of("integrated-gradients:steps=3").options["steps"], "3");
        assert_eq!(of("integrated-gradients").options["steps"], "7");
        assert!(of("grad-cam").options.is_empty());
    }

    #[test]
    fn wrong_entries_say_what_would_be_right() {
        let methods = Methods::standard();
        for (text, part) in [
            ("gradeint", "did you mean gradient"),
            ("gradient:x=1", "takes layer"),
            ("gradient:0.02", "OPTION=VALUE"),
            ("gradient:smooth=2", "from 0 to 1"),
            ("gradient:rules=foggy", "rules"),
            ("gradient:reduce=maximum", "sum, abs-sum"),
            ("x=1", "no method is called"),
            ("", "no method is called"),
        ] {
            let message = Entry::parse(&methods, text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let wrong = metric_names(&Metrics::standard(), "pointing,pionting").unwrap_err();
        assert!(
            wrong.to_string().contains("did you mean pointing"),
            "{wrong}"
        );
    }
}
