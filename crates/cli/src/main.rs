//! `elucid`: explains what a vision network saw, from the command line.

mod args;
mod commands;
mod console;
mod download;
mod error;
mod flags_or;
mod icons;
mod interrupt;
mod names;
mod options;
mod output;
mod page_icons;
mod pictures;
mod report;
mod session;
mod settings;
mod target;
mod wording;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    attribute, channels, classify, devices, evaluate, groups, inspect, methods, models, spatial,
    spritemap, visualize,
};
use crate::error::CliError;

/// Explains what a vision network saw.
#[derive(Debug, Parser)]
#[command(
    name = "elucid",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
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
    /// Measure methods on labelled images, or merge such measurements
    Evaluate(evaluate::EvaluateArgs),
    /// List the methods that attribute knows, with their options
    Methods(methods::MethodsArgs),
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
    /// List what --device can take
    Devices(devices::DevicesArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return error::refuse_arguments(&error),
    };
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
        Command::Evaluate(args) => evaluate::run(args),
        Command::Methods(args) => methods::run(&args),
        Command::Spatial(args) => spatial::run(&args),
        Command::Channels(args) => channels::run(&args),
        Command::Groups(args) => groups::run(&args),
        Command::Visualize(args) => visualize::run(&args),
        Command::Spritemap(args) => spritemap::run(args),
        Command::Models(command) => models::run(&command),
        Command::Devices(args) => devices::run(&args),
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
