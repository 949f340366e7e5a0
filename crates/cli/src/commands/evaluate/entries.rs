//! The flags that say which methods and metrics stand in the table.

use elucid::attribution::{Method, Place, attention_blocks};
use elucid::prelude::*;
use elucid::study::{Common, Entry, metric_names, split};

use super::Evaluation;
use crate::error::CliError;
use crate::known;
use crate::options::taken_by_others;

/// Methods, at least one and none twice.
#[derive(Debug, Clone)]
pub struct Entries(Vec<Named>);

#[derive(Debug, Clone)]
struct Named {
    entry: Entry,
    /// Whether it was not named, but is one of all.
    of_all: bool,
}

/// Metrics by name and options, at least one and none twice.
#[derive(Debug, Clone)]
pub struct MetricNames(pub Vec<String>);

impl Entries {
    /// How they are called in the results.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|named| named.entry.name.clone())
    }

    /// Of all methods leaves those out that look at attention, if the network has none, and says which.
    pub fn keep_applicable(&mut self, model: &Model) -> Result<Vec<String>, CliError> {
        let looks = |named: &Named| named.of_all && named.entry.method.place == Place::Tokens;
        let size = model.input_spec().size();
        if !self.0.iter().any(looks) || !attention_blocks(model, size)?.is_empty() {
            return Ok(Vec::new());
        }
        let left_out = self.0.iter().filter(|named| looks(named));
        let left_out = left_out.map(|named| named.entry.name.clone()).collect();
        self.0.retain(|named| !looks(named));
        Ok(left_out)
    }
}

/// The entries under the flags that hold for all.
pub fn under(args: &Evaluation) -> impl Iterator<Item = Entry> {
    let common = Common {
        layer: args.layer.clone(),
        rules: args.gradients.rules.clone(),
        reduce: args.maps.reduce,
        smooth: Some(args.maps.smooth),
        options: args.options.given(),
    };
    let entries = args.methods.iter().flat_map(|entries| &entries.0);
    entries.map(move |named| named.entry.clone().or(&common))
}

/// For the flag `--methods`.
pub fn parse_methods(text: &str) -> Result<Entries, String> {
    let mut entries: Vec<Named> = Vec::new();
    for item in split(text) {
        let named = match item.as_str() {
            "all" => known::methods()
                .map(|method| Named {
                    entry: Entry::plain(method),
                    of_all: true,
                })
                .collect(),
            item => {
                // The name by itself is told better.
                known::method(item.split(':').next().unwrap_or_default())?;
                let entry = Entry::parse(known::all_methods(), item);
                vec![Named {
                    entry: entry.map_err(|error| error.to_string())?,
                    of_all: false,
                }]
            }
        };
        for new in named {
            if entries
                .iter()
                .all(|known| known.entry.name != new.entry.name)
            {
                entries.push(new);
            }
        }
    }
    Ok(Entries(entries))
}

/// For the flag `--metrics`.
pub fn parse_metrics(text: &str) -> Result<MetricNames, String> {
    let names = metric_names(known::metrics(), text);
    names.map(MetricNames).map_err(|error| error.to_string())
}

/// Refuses flags that none of the methods takes, and options that cannot be understood.
pub fn check(args: &Evaluation) -> Result<(), CliError> {
    let entries = args.methods.iter().flat_map(|entries| &entries.0);
    let methods = entries.map(|named| known::method(named.entry.method.name));
    let methods: Vec<&'static Method> =
        methods.collect::<Result<_, _>>().map_err(CliError::Usage)?;
    args.options.check(&methods)?;
    let takes_layer = |method: &&'static Method| method.place.takes_layer();
    let takes_rules = |method: &&'static Method| method.takes_rules;
    let all = known::methods();
    if args.layer.is_some() && !methods.iter().any(takes_layer) {
        return Err(taken_by_others("layer", &methods, all.filter(takes_layer)));
    }
    if args.gradients.rules.is_some() && !methods.iter().any(takes_rules) {
        return Err(taken_by_others("rules", &methods, all.filter(takes_rules)));
    }
    for entry in under(args) {
        (entry.method.build(&entry.options(args.seed, args.batch())))
            .map_err(|error| CliError::Usage(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use elucid::attribution::METHODS;

    use super::*;

    #[test]
    fn all_methods_are_those_that_apply() {
        assert_eq!(parse_methods("all").unwrap().0.len(), METHODS.len());
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
    fn wrong_names_say_what_would_be_right() {
        for (text, part) in [
            ("gradeint", "did you mean gradient"),
            ("gradeint:x=1", "did you mean gradient"),
            ("gradient:x=1", "takes layer"),
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
