//! `elucid methods`: the attribution methods, what they need and what they take.

use clap::Args;
use elucid::attribution::{Method, Place};
use serde::Serialize;

use crate::catalogue::{self, Entry, OptionFacts, yes};
use crate::error::CliError;
use crate::known;

/// What methods attribute to that look at attention, whatever layer.
const TOKENS: &str = "tokens that attend";

#[derive(Debug, Args)]
pub struct MethodsArgs {
    /// A method, to be shown in full
    #[arg(value_name = "NAME", value_parser = known::method)]
    method: Option<&'static Method>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Facts {
    name: &'static str,
    /// Names that other programs give it, by which it is found as well.
    also: &'static [&'static str],
    title: &'static str,
    /// What it attributes to: `input`, `any layer`, a `layer with positions`, or `tokens that attend`.
    at: &'static str,
    /// The layer when none is named.
    default_layer: &'static str,
    /// `model`, or any differentiable `closure`.
    needs: &'static str,
    takes_rules: bool,
    takes_seed: bool,
    /// What the option `preset` may be; empty for methods without.
    presets: &'static [&'static str],
    options: Vec<OptionFacts>,
    /// Absent where nothing is promised.
    sums_to: Option<&'static str>,
    reference: &'static str,
}

impl From<&'static Method> for Facts {
    fn from(method: &'static Method) -> Self {
        let defaults = method.defaults(Method::PUBLISHED_AT);
        let options = method.all_options().map(|option| {
            let mut facts = OptionFacts::new(&option, &defaults);
            if option.name == "preset" {
                facts.default = method.presets.first().map(|&preset| preset.to_owned());
            }
            facts.values = known::values(method, &option);
            facts
        });
        Self {
            name: method.name,
            also: method.others,
            title: method.title,
            at: match method.place {
                Place::Input => "input",
                Place::AnyLayer => "any layer",
                Place::SpatialLayer => "layer with positions",
                Place::Tokens => TOKENS,
            },
            default_layer: method.own_layer(),
            needs: if method.needs_model {
                "model"
            } else {
                "closure"
            },
            takes_rules: method.takes_rules,
            takes_seed: method.random,
            presets: method.presets,
            options: options.collect(),
            sums_to: Some(method.sums_to).filter(|text| !text.is_empty()),
            reference: method.reference,
        }
    }
}

impl Entry for Facts {
    const COMMAND: &'static str = "methods";
    const LIST: &'static str = "methods";
    const HEADS: &'static [&'static str] = &["name", "at", "needs", "rules", "seed"];

    fn row(&self) -> Vec<String> {
        let cells = [
            self.name,
            self.at,
            self.needs,
            yes(self.takes_rules),
            yes(self.takes_seed),
        ];
        cells.map(str::to_owned).to_vec()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let at = match self.at {
            TOKENS => TOKENS.to_owned(),
            at => format!("{at}, {} by default", self.default_layer),
        };
        let needs = match self.needs {
            "model" => "a model",
            _ => "a model, or in a program any differentiable closure",
        };
        vec![
            ("method", self.name.to_owned()),
            ("also called", self.also.join(", ")),
            ("title", self.title.to_owned()),
            ("reference", self.reference.to_owned()),
            ("at", at),
            ("needs", needs.to_owned()),
            ("rules", yes(self.takes_rules).to_owned()),
            ("seed", yes(self.takes_seed).to_owned()),
            (
                "sums to",
                self.sums_to.unwrap_or("nothing promised").to_owned(),
            ),
        ]
    }

    fn options(&self) -> &[OptionFacts] {
        &self.options
    }

    fn spelling(&self, option: &str) -> String {
        format!("--{option}")
    }
}

pub fn run(args: &MethodsArgs) -> Result<(), CliError> {
    let all = known::methods().map(Facts::from);
    catalogue::print(args.method.map(Facts::from), all, args.json)
}
