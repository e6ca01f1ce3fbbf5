//! The program `ticklake`: typed → settings → run → exit code.

use std::process::ExitCode;

use clap::Parser;
use ticklake::cli::{self, Cli};

fn main() -> ExitCode {
    let typed = Cli::parse();
    let outcome = typed.config().and_then(|config| typed.command.run(&config));
    cli::exit_code(outcome)
}
