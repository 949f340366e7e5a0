//! `elucid methods`: the attribution methods, what they need and what they take.

use clap::Args;
use elucid::attribution::{Method, Place};
use serde::Serialize;

use crate::console::{Output, table};
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

#[derive(Debug, Serialize)]
struct OptionFacts {
    name: &'static str,
    /// On pictures of 224 by 224 pixels; absent where it follows from the network, or is not set.
    default: Option<String>,
    help: &'static str,
    /// What it may be.
    values: String,
}

impl From<&'static Method> for Facts {
    fn from(method: &'static Method) -> Self {
        let defaults = method.defaults(Method::PUBLISHED_AT);
        let options = method.all_options().map(|option| OptionFacts {
            name: option.name,
            default: match option.name {
                "preset" => method.presets.first().map(|&preset| preset.to_owned()),
                name => defaults.get(name).map(str::to_owned),
            },
            help: option.help,
            values: known::values(method, &option),
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

pub fn run(args: &MethodsArgs) -> Result<(), CliError> {
    let mut out = Output::new();
    match args.method {
        Some(method) if args.json => out.json(&Facts::from(method))?,
        Some(method) => show(&mut out, &method.into())?,
        None => {
            let all: Vec<Facts> = known::methods().map(Facts::from).collect();
            match args.json {
                true => out.json(&all)?,
                false => list(&mut out, &all)?,
            }
        }
    }
    out.flush()
}

fn list(out: &mut Output, methods: &[Facts]) -> Result<(), CliError> {
    let mut rows = vec![
        ["name", "at", "needs", "rules", "seed", "options"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(methods.iter().map(|method| {
        let options: Vec<&str> = method.options.iter().map(|option| option.name).collect();
        vec![
            method.name.to_owned(),
            method.at.to_owned(),
            method.needs.to_owned(),
            yes(method.takes_rules).to_owned(),
            yes(method.takes_seed).to_owned(),
            options.join(", "),
        ]
    }));
    for line in table(&rows, &[]) {
        out.line(line)?;
    }
    out.line("")?;
    out.line("for one in full, with defaults: elucid methods NAME")
}

fn show(out: &mut Output, method: &Facts) -> Result<(), CliError> {
    let rows = [
        ("method", method.name.to_owned()),
        ("also called", method.also.join(", ")),
        ("title", method.title.to_owned()),
        ("reference", method.reference.to_owned()),
        (
            "at",
            match method.at {
                TOKENS => TOKENS.to_owned(),
                at => format!("{at}, {} by default", method.default_layer),
            },
        ),
        (
            "needs",
            match method.needs {
                "model" => "a model".to_owned(),
                _ => "a model, or in a program any differentiable closure".to_owned(),
            },
        ),
        ("rules", yes(method.takes_rules).to_owned()),
        ("seed", yes(method.takes_seed).to_owned()),
        (
            "sums to",
            method.sums_to.unwrap_or("nothing promised").to_owned(),
        ),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let rows: Vec<_> = rows
        .map(|(key, value)| vec![key.to_owned(), value])
        .collect();
    for line in table(&rows, &[]) {
        out.line(line)?;
    }
    if method.options.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut rows = vec![
        ["option", "default", "meaning", "values"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(method.options.iter().map(|option| {
        vec![
            format!("--{}", option.name),
            option.default.clone().unwrap_or_default(),
            option.help.to_owned(),
            option.values.clone(),
        ]
    }));
    for line in table(&rows, &[]) {
        out.line(line)?;
    }
    Ok(())
}

fn yes(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}
