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
    files.add(
        format!("{name}.1"),
        with_lists(&String::from_utf8_lossy(&page)).into_bytes(),
    );
    let others = command.get_subcommands();
    // The pages are that help.
    let mut others = others.filter(|command| command.get_name() != "help");
    others.try_for_each(|command| add(command, files))
}

/// A page whose lists are lists of roff: it would fill the columns of a help text as if they were sentences.
fn with_lists(page: &str) -> String {
    let mut listed = String::with_capacity(page.len());
    let mut is_inside = false;
    for line in page.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        match (indent, is_inside) {
            (0, true) => listed.push_str(".RE\n"),
            (1.., false) => listed.push_str(".RS\n"),
            _ => {}
        }
        is_inside = indent > 0;
        // A word, and behind two spaces or on the next line, further in, what it means.
        let (word, meaning) = match indent {
            2 => text.split_once("  ").unwrap_or((text, "")),
            _ => ("", text),
        };
        if !word.is_empty() {
            listed.push_str(&format!(".TP\n{}{word}\n", guard(word)));
        }
        let meaning = meaning.trim_start();
        if !meaning.is_empty() || text.is_empty() {
            let guard = if is_inside { guard(meaning) } else { "" };
            listed.push_str(&format!("{guard}{meaning}\n"));
        }
    }
    listed
}

/// What keeps a text from being a request to roff.
fn guard(text: &str) -> &'static str {
    match text.starts_with(['.', '\'']) {
        true => "\\&",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::with_lists;

    #[test]
    fn lists_are_lists() {
        let page = ".TP\nWhat it is:\n  A    a class,\n       by name\n  LONG@NAME\n       .npy\n.TP\n\nend";
        let listed = ".TP\nWhat it is:\n.RS\n.TP\nA\na class,\nby name\n.TP\nLONG@NAME\n\\&.npy\n.RE\n.TP\n\nend\n";
        assert_eq!(with_lists(page), listed);
        assert_eq!(with_lists(listed), listed);
    }
}
