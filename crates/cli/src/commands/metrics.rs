//! `elucid metrics`: the metrics, what they ask, need and take.

use clap::Args;
use elucid::attribution::Method;
use elucid::metrics::{Category, Direction, MetricInfo};
use serde::Serialize;

use crate::catalogue::{self, Entry, OptionFacts, yes};
use crate::error::CliError;
use crate::known;

#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// A metric, to be shown in full
    #[arg(value_name = "NAME", value_parser = known::metric)]
    metric: Option<&'static MetricInfo>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Facts {
    name: &'static str,
    /// Names that other programs give it.
    also: &'static [&'static str],
    title: &'static str,
    /// What it asks of an explanation: `faithfulness`, `robustness`, `localisation`, `complexity`, `randomisation` or
    /// `axiomatic`; absent where nobody says it.
    category: Option<&'static str>,
    /// Which values are better where no option says otherwise: `larger` or `smaller`.
    better: &'static str,
    /// What it needs besides the map: of `boxes`, `scores`, `model`, `attribution` and `method`.
    needs: Vec<&'static str>,
    takes_seed: bool,
    options: Vec<OptionFacts>,
    reference: &'static str,
}

/// What a metric needs, in a word, and in full.
const NEEDS: [(&str, &str); 5] = [
    (
        "boxes",
        "where the object is: boxes, or in a program a mask",
    ),
    ("scores", "the network's scores of changed images"),
    ("model", "a model, whose weights can be changed"),
    ("attribution", "the attribution that the map shows"),
    ("method", "the method, to be called again"),
];

impl From<&'static MetricInfo> for Facts {
    fn from(metric: &'static MetricInfo) -> Self {
        let defaults = metric.defaults(Method::PUBLISHED_AT);
        let options = metric.options.iter();
        let needs = metric.needs;
        let needs = [
            needs.truth,
            needs.scores,
            needs.model,
            needs.attribution,
            needs.attributor,
        ];
        let needs = needs.into_iter().zip(NEEDS);
        Self {
            name: metric.name,
            also: metric.others,
            title: metric.title,
            category: metric.category.map(Category::name),
            better: match metric.direction {
                Direction::Larger => "larger",
                Direction::Smaller => "smaller",
            },
            needs: needs
                .filter_map(|(does, (word, _))| does.then_some(word))
                .collect(),
            takes_seed: metric.random,
            options: options
                .map(|option| OptionFacts::new(option, &defaults))
                .collect(),
            reference: metric.reference,
        }
    }
}

impl Entry for Facts {
    const COMMAND: &'static str = "metrics";
    const LIST: &'static str = "metrics";
    const HEADS: &'static [&'static str] = &["name", "category", "better", "needs", "seed"];

    fn row(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            self.category.unwrap_or_default().to_owned(),
            self.better.to_owned(),
            match &self.needs[..] {
                [] => "the map".to_owned(),
                needs => needs.join(", "),
            },
            yes(self.takes_seed).to_owned(),
        ]
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let needs = NEEDS.iter().filter(|(word, _)| self.needs.contains(word));
        let needs: Vec<&str> = needs.map(|(_, text)| *text).collect();
        vec![
            ("metric", self.name.to_owned()),
            ("also called", self.also.join(", ")),
            ("title", self.title.to_owned()),
            ("category", self.category.unwrap_or_default().to_owned()),
            ("reference", self.reference.to_owned()),
            ("better", format!("{} values", self.better)),
            (
                "needs",
                match &needs[..] {
                    [] => "nothing but the map".to_owned(),
                    needs => needs.join("; "),
                },
            ),
            ("seed", yes(self.takes_seed).to_owned()),
            ("written as", self.spellings()),
        ]
    }

    fn options(&self) -> &[OptionFacts] {
        &self.options
    }

    fn spelling(&self, option: &str) -> String {
        option.to_owned()
    }
}

impl Facts {
    /// How it is written in a list of metrics, with the first option that has a default, and with all that have one.
    fn spellings(&self) -> String {
        let values = self.options.iter();
        let values = values.filter_map(|option| Some((option.name, option.default.as_deref()?)));
        let values: Vec<(&str, &str)> = values.collect();
        let mut spellings = vec![self.name.to_owned()];
        if let (Some(first), Some((name, value))) = (self.options.first(), values.first())
            && first.name == *name
        {
            spellings.push(format!("{}:{value}", self.name));
        }
        if !values.is_empty() {
            let all = values.iter().map(|(name, value)| format!("{name}={value}"));
            let all: Vec<String> = all.collect();
            spellings.push(format!("{}:{}", self.name, all.join(",")));
        }
        spellings.join(" or ")
    }
}

pub fn run(args: &MetricsArgs) -> Result<(), CliError> {
    let all = known::metrics().iter().map(Facts::from);
    catalogue::print(args.metric.map(Facts::from), all, args.json)
}
