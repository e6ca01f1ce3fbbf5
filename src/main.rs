//! The program `ticklake`: typed → settings → run → exit code.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use ticklake::cli::{self, Cli};

/// Buffers are filled on one thread and freed on others, where glibc's allocator spends a tenth of a job's CPU on its locks,
/// and keeps what was freed.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::exit_code(Cli::parse().run())
}
