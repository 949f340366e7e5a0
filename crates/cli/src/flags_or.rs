//! A command that has flags, some of them required, or a subcommand that needs none of them, which is
//! more than can be derived.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

/// What the command was given.
#[derive(Debug)]
pub enum FlagsOr<A, C> {
    Flags(Box<A>),
    Command(C),
}

impl<A: Args, C: Subcommand> Args for FlagsOr<A, C> {
    fn augment_args(command: Command) -> Command {
        C::augment_subcommands(A::augment_args(command))
            .subcommand_required(false)
            .arg_required_else_help(false)
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<A: Args, C: Subcommand> FromArgMatches for FlagsOr<A, C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(match matches.subcommand_name() {
            Some(_) => Self::Command(C::from_arg_matches(matches)?),
            None => Self::Flags(Box::new(A::from_arg_matches(matches)?)),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
