//! The program `elucid`, as a library: for programs that know methods and metrics of their own besides.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use elucid::attribution::{Method, Occlusion};
//! use elucid_cli::Program;
//!
//! const COARSE: Method = Method::new("coarse", "Occlusion of quarters", "here", |options| {
//!     options.apply(Occlusion::new().window(64).stride(64))
//! });
//!
//! fn main() -> ExitCode {
//!     Program::new().method(COARSE).run()
//! }
//! ```
//!
//! `attribute --method coarse,rise`, `evaluate --methods all`, `methods coarse`: wherever the program has
//! methods by name it now has one more, with its options as flags, in galleries, tables and reports.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod args;
mod catalogue;
mod commands;
mod console;
mod download;
mod error;
mod flags_or;
mod icons;
mod images;
mod interrupt;
mod known;
mod log;
mod look;
mod names;
mod options;
mod output;
mod page_icons;
mod pictures;
mod report;
mod schema;
mod session;
mod settings;
mod target;
mod terminal;
mod wording;
mod workers;

use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use elucid::attribution::{Method, Methods};
use elucid::metrics::{MetricInfo, Metrics};

use crate::commands::evaluate::EvaluateArgs;
use crate::commands::evaluate::study_file::{self, Expanded};
use crate::commands::{
    attention, attribute, channels, classify, completions, devices, evaluate, groups, inspect, man,
    methods, metrics, models, profile, spatial, spritemap, visualize,
};
use crate::console::Output;
use crate::error::CliError;
use crate::log::{LogArgs, is_quiet};

/// Explains what a vision network saw.
#[derive(Debug, Parser)]
#[command(
    name = "elucid",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a network is made of: input, classes, and every layer by name
    Inspect(inspect::InspectArgs),
    /// Say what a network takes photographs for
    Classify(classify::ClassifyArgs),
    /// Show what in a photograph speaks for a class, by one method or by several side by side
    Attribute(attribute::AttributeArgs),
    /// Show what each patch attends to in each block and head of a transformer, and what attends to it
    Attention(attention::AttentionArgs),
    /// Measure methods on labelled images, or merge such measurements
    Evaluate(evaluate::EvaluateArgs),
    /// List the methods that attribute knows, with their options
    Methods(methods::MethodsArgs),
    /// List the metrics that evaluate knows, with their options
    Metrics(metrics::MetricsArgs),
    /// Show which positions of one layer made each position of another light up
    Spatial(spatial::SpatialArgs),
    /// Show what each channel of a layer adds to a class, or to one class rather than another
    Channels(channels::ChannelsArgs),
    /// Show a layer's channels in a few groups that fire together, and what those add to classes
    Groups(groups::GroupsArgs),
    /// Make pictures of what channels, directions in a layer, or classes look for
    Visualize(Box<visualize::VisualizeArgs>),
    /// Make such a picture of every channel of a layer, in one grid, or merge such grids
    Spritemap(spritemap::SpritemapArgs),
    /// List, download and find known models
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Say what each operator of a network takes: time, arithmetic, bytes
    Profile(profile::ProfileArgs),
    /// List what --device can take
    Devices(devices::DevicesArgs),
    /// Print a script that completes command lines in a shell
    Completions(completions::CompletionsArgs),
    /// Write a manual page for each command
    Man(man::ManArgs),
}

/// The command line, with the methods and metrics that it knows by name.
#[derive(Debug, Clone)]
#[must_use = "a program does nothing until it is run"]
pub struct Program {
    methods: Methods,
    metrics: Metrics,
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

impl Program {
    /// `elucid`.
    pub fn new() -> Self {
        Self {
            methods: Methods::standard(),
            metrics: Metrics::standard(),
        }
    }

    /// Knows one method more.
    pub fn method(mut self, method: Method) -> Self {
        self.methods = self.methods.with(method);
        self
    }

    /// Knows one metric more.
    pub fn metric(mut self, metric: MetricInfo) -> Self {
        self.metrics = self.metrics.with(metric);
        self
    }

    /// Does what the arguments of the process say. Only once in a process: what a program knows is part of
    /// its flags.
    pub fn run(self) -> ExitCode {
        self.run_from(std::env::args_os())
    }

    /// Does what these arguments say, of which the first is the program's name.
    pub fn run_from<T: Into<OsString> + Clone>(
        self,
        arguments: impl IntoIterator<Item = T>,
    ) -> ExitCode {
        if let Err(error) = known::set(self.methods, self.metrics) {
            return error.finish();
        }
        let arguments = arguments.into_iter().map(Into::into).collect();
        match study_file::expand(&Cli::command(), arguments) {
            Ok(line) => match study_file::written(&Cli::command(), &line.arguments) {
                Ok(Some(text)) => print_text(&text),
                Ok(None) => finish(parse(line)),
                Err(error) => error.finish(),
            },
            Err(error) => error.finish(),
        }
    }
}

/// Prints a file as it is.
fn print_text(text: &str) -> ExitCode {
    let mut out = Output::new();
    match (text.lines().try_for_each(|line| out.line(line))).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.finish(),
    }
}

/// What the arguments say, and whether quietly.
fn parse(line: Expanded) -> Result<(Cli, bool), clap::Error> {
    let matches = Cli::command().try_get_matches_from(line.arguments)?;
    let cli = Cli::from_arg_matches(&matches);
    let mut cli = cli.map_err(|error| error.format(&mut Cli::command()))?;
    if let Command::Evaluate(EvaluateArgs::Flags(args)) = &mut cli.command {
        args.of_study = line.of_study;
    }
    Ok((cli, is_quiet(&matches)))
}

fn finish(parsed: Result<(Cli, bool), clap::Error>) -> ExitCode {
    let (cli, is_quiet) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return error::refuse_arguments(&error),
    };
    if let Err(error) = cli.log.start(is_quiet) {
        return error.finish();
    }
    // A bug still ends in one line and a failure, and whatever was being written is cleaned up.
    panic::set_hook(Box::new(|info| {
        error::print(&format!("internal error, which is a bug of elucid: {info}"));
    }));
    match panic::catch_unwind(AssertUnwindSafe(|| run(cli.command))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => error.finish(),
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Attribute(args) => attribute::run(&args),
        Command::Attention(args) => attention::run(&args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Methods(args) => methods::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Spatial(args) => spatial::run(&args),
        Command::Channels(args) => channels::run(&args),
        Command::Groups(args) => groups::run(&args),
        Command::Visualize(args) => visualize::run(&args),
        Command::Spritemap(args) => spritemap::run(args),
        Command::Models(command) => models::run(&command),
        Command::Profile(args) => profile::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_well_formed() {
        super::Cli::command().debug_assert();
    }

    /// Methods bring flags of their own, which clap compares only in debug builds.
    #[test]
    fn no_flag_is_taken_twice() {
        for command in super::Cli::command().get_subcommands() {
            let mut flags: Vec<_> = command
                .get_arguments()
                .filter_map(|a| a.get_long())
                .collect();
            let count = flags.len();
            flags.sort_unstable();
            flags.dedup();
            assert_eq!(flags.len(), count, "{}: {flags:?}", command.get_name());
        }
    }
}
