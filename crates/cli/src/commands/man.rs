//! `elucid man`: a manual page for each command.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::Cli;
use crate::console::Output;
use crate::error::CliError;
use crate::output::{Destination, Files};

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where the pages go, such as share/man/man1: new, or in the place of those of the same name
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &ManArgs) -> Result<(), CliError> {
    let destination = Destination::shared(&args.folder)?;
    let mut command = Cli::command();
    // Gives every command its full name.
    command.build();
    let mut files = Files::default();
    add(&command, &mut files)?;
    files.write_all(&destination)?;
    let mut out = Output::new();
    out.line(format!("{} pages", files.len()))?;
    out.line(format!("folder  {}", args.folder.display()))?;
    out.flush()
}

/// Adds the page of a command, and those of its commands.
fn add(command: &Command, files: &mut Files) -> Result<(), CliError> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| CliError::io(format!("cannot make the page of {name}"), &error))?;
    files.add(format!("{name}.1"), page);
    let others = command.get_subcommands();
    // The pages are that help.
    let mut others = others.filter(|command| command.get_name() != "help");
    others.try_for_each(|command| add(command, files))
}
