//! `elucid completions`: what a shell has to know to complete command lines.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use elucid::attribution::ChannelMethod;
use elucid::models::manifest;
use elucid::render::{ColorMap, Normalisation};
use elucid::rules::Rules;

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
    let name = command.get_name().to_owned();
    let command = command.mut_args(|arg| {
        if !arg.get_action().takes_values() || !arg.get_possible_values().is_empty() {
            return arg;
        }
        match names(&name, &arg) {
            Some(names) => arg.value_parser(PossibleValuesParser::new(names)),
            None if may_be_file(&arg) => arg,
            None => arg.value_hint(ValueHint::Other),
        }
    });
    command.mut_subcommands(completed)
}

/// The names that a value of this command may have.
fn names(command: &str, arg: &Arg) -> Option<Vec<&'static str>> {
    let methods = || known::methods().map(|method| method.name);
    let metrics = || known::metrics().iter().map(|metric| metric.name);
    let presets = || [Rules::PRESETS, Rules::CONSERVING_PRESETS].concat();
    Some(match (command, arg.get_id().as_str()) {
        ("attribute", "method") | ("evaluate", "methods") => methods().chain(["all"]).collect(),
        ("evaluate", "metrics") => metrics().chain(["all"]).collect(),
        ("methods", "method") => methods().collect(),
        ("metrics", "metric") => metrics().collect(),
        ("channels", "method") => [ChannelMethod::NAMES, &["all"]].concat(),
        ("spatial", "rules") => [presets(), vec!["all"]].concat(),
        ("pull" | "path", "name") => manifest::all().iter().map(|e| e.name.as_str()).collect(),
        (_, "rules") => presets(),
        (_, "colormap") => ColorMap::ALL.iter().map(|colors| colors.name()).collect(),
        (_, "normalise") => Normalisation::NAMES.to_vec(),
        _ => return None,
    })
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
