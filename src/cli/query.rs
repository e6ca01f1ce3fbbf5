//! `ticklake query` and `ticklake preview`: SQL over the tables of the catalog.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::table::TableName;

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The statement
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    sql: Option<String>,
    /// A file with the statement; - is stdin
    #[arg(short, long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct PreviewArgs {
    #[arg(value_name = "DB.NAME")]
    name: TableName,
    /// How many rows
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// How rows are printed [default: table on a terminal, else csv]
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Table,
    Csv,
    /// One JSON object a line
    Jsonl,
}
pub fn run(_args: &QueryArgs, _settings: &Settings) -> Result<()> {
    todo!()
}
pub fn preview(_args: &PreviewArgs, _settings: &Settings) -> Result<()> {
    todo!()
}
