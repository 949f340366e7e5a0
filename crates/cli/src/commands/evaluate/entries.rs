//! What stands in the rows and columns of the table: methods and metrics with their options.

use std::collections::BTreeMap;

use elucid::attribution::{Configuration, Method, MethodOptions, Place, attention_blocks};
use elucid::metrics::{Metric, MetricOptions};
use elucid::prelude::*;
use serde::{Deserialize, Serialize};

use super::Evaluation;
use crate::error::CliError;
use crate::known;
use crate::options::{parse_fraction, taken_by_others};

/// What an entry may say of any method, besides the method's own options.
const COMMON: [&str; 4] = ["layer", "rules", "reduce", "smooth"];

/// A method with what was said of it alone: `NAME` or `NAME:OPTION=VALUE,...`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How it is called in the results.
    pub name: String,
    pub method: &'static Method,
    options: BTreeMap<String, String>,
    layer: Option<String>,
    rules: Option<Rules>,
    reduce: Option<Reduce>,
    smooth: Option<f32>,
    /// Whether it was not named, but is one of all.
    of_all: bool,
}

/// Methods, at least one and none twice.
#[derive(Debug, Clone)]
pub struct Entries(pub Vec<Entry>);

/// Metrics by name and options, at least one and none twice.
#[derive(Debug, Clone)]
pub struct MetricNames(pub Vec<String>);

/// The parts of a list separated by commas, of which options behind a colon may hold some, too.
fn split(text: &str) -> Vec<String> {
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

impl Entries {
    /// Of all methods leaves those out that look at attention, if the network has none, and says which.
    pub fn keep_applicable(&mut self, model: &Model) -> Result<Vec<String>, CliError> {
        let looks = |entry: &Entry| entry.of_all && entry.method.place == Place::Tokens;
        let size = model.input_spec().size();
        if !self.0.iter().any(looks) || !attention_blocks(model, size)?.is_empty() {
            return Ok(Vec::new());
        }
        let left_out = self.0.iter().filter(|entry| looks(entry));
        let left_out = left_out.map(|entry| entry.name.clone()).collect();
        self.0.retain(|entry| !looks(entry));
        Ok(left_out)
    }
}

/// For the flag `--methods`.
pub fn parse_methods(text: &str) -> Result<Entries, String> {
    let mut entries: Vec<Entry> = Vec::new();
    for item in split(text) {
        let named = match item.as_str() {
            "all" => known::methods().map(Entry::of_all).collect(),
            item => vec![Entry::parse(item)?],
        };
        for entry in named {
            if entries.iter().all(|known| known.name != entry.name) {
                entries.push(entry);
            }
        }
    }
    Ok(Entries(entries))
}

/// For the flag `--metrics`.
pub fn parse_metrics(text: &str) -> Result<MetricNames, String> {
    let mut names: Vec<String> = Vec::new();
    for item in split(text) {
        let known = known::metrics().metric(&item, &MetricOptions::new());
        known.map_err(|error| error.to_string())?;
        if !names.contains(&item) {
            names.push(item);
        }
    }
    Ok(MetricNames(names))
}

/// The metrics themselves.
pub fn metrics(
    names: &[String],
    seed: u64,
    batch_size: Option<u32>,
) -> Result<Vec<Box<dyn Metric>>, elucid::metrics::MetricError> {
    let mut options = MetricOptions::new().seed(seed);
    if let Some(batch_size) = batch_size {
        options = options.batch_size(batch_size as usize);
    }
    let metrics = known::metrics();
    names
        .iter()
        .map(|name| metrics.metric(name, &options))
        .collect()
}

/// A method as it was applied, for whoever asks later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodFacts {
    /// How it is called in the results.
    pub name: String,
    pub method: String,
    pub title: String,
    pub layer: String,
    pub rules: String,
    /// The method's options in effect on pictures of the network's size.
    pub options: Configuration,
    /// How channels became a map; `usual` for the method's own way.
    pub reduce: String,
    /// Standard deviation of the smoothing as a fraction of the longer side; 0 for none.
    pub smooth: f32,
}

impl Entry {
    fn plain(method: &'static Method) -> Self {
        Self {
            name: method.name.to_owned(),
            method,
            options: BTreeMap::new(),
            layer: None,
            rules: None,
            reduce: None,
            smooth: None,
            of_all: false,
        }
    }

    fn of_all(method: &'static Method) -> Self {
        Self {
            of_all: true,
            ..Self::plain(method)
        }
    }

    fn parse(item: &str) -> Result<Self, String> {
        let (name, list) = item.split_once(':').unwrap_or((item, ""));
        let method = known::method(name)?;
        let mut entry = Self::plain(method);
        let mut said = Vec::new();
        for part in list.split(',').filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("{name}: expected OPTION=VALUE, not \"{part}\""));
            };
            let (key, value) = (key.trim(), value.trim());
            let wrong = |error: String| format!("{name}: {key}: {error}");
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
                "smooth" => entry.smooth = Some(parse_fraction(value).map_err(wrong)?),
                option if method.takes(option) => {
                    entry.options.insert(option.to_owned(), value.to_owned());
                }
                option => {
                    let own = method.all_options().map(|option| option.name);
                    let known: Vec<&str> = own.chain(COMMON).collect();
                    return Err(format!(
                        "{} has no option \"{option}\"; it takes {}",
                        method.name,
                        known.join(", ")
                    ));
                }
            }
            said.push(format!("{key}={value}"));
        }
        if !said.is_empty() {
            entry.name = format!("{}:{}", method.name, said.join(","));
        }
        Ok(entry)
    }

    /// The layer as it was asked for, or the method's own.
    fn layer<'a>(&'a self, args: &'a Evaluation) -> &'a str {
        let common = args.layer.as_deref();
        let common = common.filter(|_| self.method.place.takes_layer());
        (self.layer.as_deref().or(common)).unwrap_or(self.method.own_layer())
    }

    fn rules<'a>(&'a self, args: &'a Evaluation) -> Option<&'a Rules> {
        let common = args.rules.as_ref().filter(|_| self.method.takes_rules);
        self.rules.as_ref().or(common)
    }

    /// Its own options in effect, of those that were given.
    fn given(&self, args: &Evaluation) -> BTreeMap<String, String> {
        let common = args.options.of(self.method).into_iter();
        let mut given: BTreeMap<String, String> = common
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        given.extend(self.options.clone());
        given
    }

    /// What the method is built with.
    pub fn options(&self, args: &Evaluation) -> MethodOptions {
        let mut options = MethodOptions::new().seed(args.seed);
        if self.layer.is_some() || self.method.place.takes_layer() {
            options = options.layer(self.layer(args));
        }
        if let Some(rules) = self.rules(args) {
            options = options.rules(rules);
        }
        if let Some(batch_size) = args.batch_size {
            options = options.batch_size(batch_size as usize);
        }
        let given = self.given(args);
        let set =
            |options: MethodOptions, (name, value): (&String, &String)| options.set(name, value);
        given.iter().fold(options, set)
    }

    /// How the maps of this method are made.
    pub fn look(&self, args: &Evaluation) -> Look {
        let usual = match self.method.place {
            Place::SpatialLayer => Some(Reduce::Positive),
            Place::Input | Place::AnyLayer | Place::Tokens => None,
        };
        Look {
            reduce: self.reduce.or(args.reduce).or(usual),
            smooth: self.smooth.unwrap_or(args.smooth),
        }
    }

    /// The method as it will be applied.
    pub fn facts(&self, args: &Evaluation, model: &Model) -> Result<MethodFacts, CliError> {
        let built = self.method.build(&self.options(args))?;
        let look = self.look(args);
        Ok(MethodFacts {
            name: self.name.clone(),
            method: self.method.name.to_owned(),
            title: self.method.title.to_owned(),
            layer: Network::layer(model, self.layer(args))?,
            rules: (self.rules(args))
                .map_or("true", |rules| rules.name())
                .to_owned(),
            options: built.configuration(model.input_spec().size()),
            reduce: look.reduce.map_or("usual".to_owned(), |r| r.to_string()),
            smooth: look.smooth,
        })
    }
}

/// Refuses flags that none of the methods takes, and options that cannot be understood.
pub fn check(args: &Evaluation) -> Result<(), CliError> {
    let entries = &args.methods.0;
    let methods: Vec<&'static Method> = entries.iter().map(|entry| entry.method).collect();
    args.options.check(&methods)?;
    let takes_layer = |method: &&'static Method| method.place.takes_layer();
    let takes_rules = |method: &&'static Method| method.takes_rules;
    let all = known::methods();
    if args.layer.is_some() && !methods.iter().any(takes_layer) {
        return Err(taken_by_others("layer", &methods, all.filter(takes_layer)));
    }
    if args.rules.is_some() && !methods.iter().any(takes_rules) {
        return Err(taken_by_others("rules", &methods, all.filter(takes_rules)));
    }
    for entry in entries {
        (entry.method.build(&entry.options(args)))
            .map_err(|error| CliError::Usage(error.to_string()))?;
    }
    Ok(())
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
    pub fn maps(
        self,
        attribution: &Attribution,
    ) -> Result<[Saliency; 2], elucid::attribution::AttributionError> {
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
    use elucid::attribution::METHODS;

    use super::*;

    #[test]
    fn lists_hold_options() {
        assert_eq!(
            split("pointing:tolerance=15,ties=share, pointing:0,road"),
            ["pointing:tolerance=15,ties=share", "pointing:0", "road"]
        );
        let MetricNames(names) = parse_metrics("pointing:15,pointing:15,mass-accuracy").unwrap();
        assert_eq!(names, ["pointing:15", "mass-accuracy"]);
        let Entries(entries) =
            parse_methods("gradient:smooth=0.02,reduce=l2,grad-cam:layer=fire8,gradient").unwrap();
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
        assert_eq!(parse_methods("all").unwrap().0.len(), METHODS.len());
    }

    #[test]
    fn all_methods_are_those_that_apply() {
        let device = elucid::device::cpu().device;
        let model = Model::find("squeezenet", &device, None).unwrap();
        let mut entries = parse_methods("chefer,all").unwrap();
        let left_out = entries.keep_applicable(&model).unwrap();
        let looking = METHODS.iter().filter(|m| m.place == Place::Tokens);
        assert_eq!(left_out.len() + 1, looking.count());
        assert!(!left_out.contains(&"chefer".to_owned()), "it was asked for");
        assert_eq!(entries.0.len() + left_out.len(), METHODS.len());
        let left_out = entries.keep_applicable(&model).unwrap();
        assert!(left_out.is_empty());
    }

    #[test]
    fn wrong_entries_say_what_would_be_right() {
        for (text, part) in [
            ("gradeint", "did you mean gradient"),
            ("gradient:x=1", "takes layer"),
            ("gradient:0.02", "OPTION=VALUE"),
            ("gradient:smooth=2", "from 0 to 1"),
            ("gradient:rules=foggy", "rules"),
            ("gradient:reduce=maximum", "sum, abs-sum"),
            ("gradient,x=1", "no method is called"),
            ("", "no method is called"),
        ] {
            let message = parse_methods(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
        let message = parse_metrics("pointing,pionting").unwrap_err();
        assert!(message.contains("did you mean pointing"), "{message}");
    }
}
