//! `elucid completions`: what a shell has to know to complete command lines.

use std::any::TypeId;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use elucid::attribution::{ChannelMethod, Method};
use elucid::metrics::MetricInfo;
use elucid::models::manifest;
use elucid::render::{ColorMap, Normalisation};
use elucid::rules::Rules;

use super::evaluate::{Entries, MetricNames};
use super::models::ModelName;
use super::{attribute, channels, spatial};
use crate::Cli;
use crate::console::Output;
use crate::error::CliError;
use crate::known;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    // In memory first: a reader that leaves early would be a bug to the generator.
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut completed(Cli::command()),
        "elucid",
        &mut script,
    );
    let mut out = Output::new();
    out.text(&script)?;
    out.flush()
}

/// The command with names where values have some, and with files only where they may be files; for shells, not for parsing: what has
/// names may be a list of them, or a name with options.
fn completed(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        if !arg.get_action().takes_values() || !arg.get_possible_values().is_empty() {
            return arg;
        }
        match names(&arg) {
            Some(names) => arg.value_parser(PossibleValuesParser::new(names)),
            None if may_be_file(&arg) => arg,
            None => arg.value_hint(ValueHint::Other),
        }
    });
    command.mut_subcommands(completed)
}

/// The names that a value may have, by the type that it is read into: whatever argument has such a type has its names.
fn names(arg: &Arg) -> Option<Vec<&'static str>> {
    let methods = || known::methods().map(|method| method.name);
    let metrics = || known::metrics().iter().map(|metric| metric.name);
    let presets = || [Rules::PRESETS, Rules::CONSERVING_PRESETS].concat();
    Some(if is::<attribute::MethodList>(arg) || is::<Entries>(arg) {
        methods().chain(["all"]).collect()
    } else if is::<MetricNames>(arg) {
        metrics().chain(["all"]).collect()
    } else if is::<&'static Method>(arg) {
        methods().collect()
    } else if is::<&'static MetricInfo>(arg) {
        metrics().collect()
    } else if is::<channels::MethodList>(arg) {
        [ChannelMethod::NAMES, &["all"]].concat()
    } else if is::<spatial::RuleSets>(arg) {
        [presets(), vec!["all"]].concat()
    } else if is::<Rules>(arg) {
        presets()
    } else if is::<ModelName>(arg) {
        manifest::all().iter().map(|e| e.name.as_str()).collect()
    } else if is::<ColorMap>(arg) {
        ColorMap::ALL.iter().map(|colors| colors.name()).collect()
    } else if is::<Normalisation>(arg) {
        Normalisation::NAMES.to_vec()
    } else {
        return None;
    })
}

/// Whether the value is read into this type.
fn is<T: 'static>(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<T>()
}

/// Whether the value is a file or a folder, or may be one.
fn may_be_file(arg: &Arg) -> bool {
    let shown = arg.get_value_names().unwrap_or_default();
    let is_path = |name: &str| {
        ["FILE", "DIR", "PATH", "IMAGE", "MODEL"]
            .iter()
            .any(|part| name.contains(part))
    };
    arg.get_value_hint() != ValueHint::Unknown || shown.iter().any(|name| is_path(name))
}
