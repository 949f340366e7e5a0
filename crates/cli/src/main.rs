//! `elucid`: explains what a vision network saw, from the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    elucid_cli::Program::new().run()
}
