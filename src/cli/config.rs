//! `ticklake config`: prints the settings in force, and where each comes from.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::terminal::{Stdout, unwritable};
use crate::config::Config;
use crate::error::Result;

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Lines of TOML that can go into a ticklake.toml, or JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: &ConfigArgs, config: &Config) -> Result<()> {
    let entries = config.entries()?;
    let mut out = Stdout::buffered();
    match args.format {
        Format::Text => entries.iter().try_for_each(|entry| writeln!(out, "{entry}")),
        Format::Json => out.json(&entries),
    }
    .and_then(|()| out.flush())
    .map_err(unwritable)
}
