//! `elucid completions`: what a shell has to know to complete command lines.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::console::Output;
use crate::error::CliError;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    // In memory first: a reader that leaves early would be a bug to the generator.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "elucid", &mut script);
    let mut out = Output::new();
    out.text(&script)?;
    out.flush()
}
