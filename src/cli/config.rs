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
    let mut out = Stdout::lock();
    match args.format {
        Format::Text => entries.iter().try_for_each(|entry| writeln!(out, "{entry}")),
        Format::Json => serde_json::to_writer_pretty(&mut out, &entries)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out)),
    }
    .and_then(|()| out.flush())
    .map_err(unwritable)
}
