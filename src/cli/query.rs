//! `ticklake query` and `ticklake preview`: SQL over the tables of the catalog.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::terminal::{Stdout, unwritable};
use super::{block_on, open_existing_catalog, open_stores, signals};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::query::{self, Answer, Engine, Format, Limits, LocalEngine};
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
    Markdown,
}

impl OutputArgs {
    fn format(&self) -> Format {
        match self.format {
            Some(FormatArg::Table) => Format::Table,
            Some(FormatArg::Csv) => Format::Csv,
            Some(FormatArg::Jsonl) => Format::JsonLines,
            Some(FormatArg::Markdown) => Format::Markdown,
            None if std::io::stdout().is_terminal() => Format::Table,
            None => Format::Csv,
        }
    }
}

pub fn run(args: &QueryArgs, settings: &Settings) -> Result<()> {
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => {
            return Err(Error::usage("no statement: write it as the argument, or name its file with -f"));
        }
    };
    answer(&args.output, settings, async |engine: &LocalEngine| engine.query(&sql).await)
}

pub fn preview(args: &PreviewArgs, settings: &Settings) -> Result<()> {
    answer(&args.output, settings, async |engine: &LocalEngine| engine.preview(&args.name, args.limit).await)
}

fn read(file: &Path) -> Result<String> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|e| Error::usage("cannot read the statement").with("file", file.display()).because(e))
}

/// Asks the engine and prints the rows as they come.
fn answer(
    output: &OutputArgs,
    settings: &Settings,
    ask: impl AsyncFnOnce(&LocalEngine) -> Result<Answer>,
) -> Result<()> {
    block_on(async {
        signals::end_at_first()?;
        let engine =
            LocalEngine::new(open_existing_catalog(settings)?, open_stores(settings), &Limits::default())?;
        let answer = ask(&engine).await?;
        let mut out = Stdout::buffered();
        query::print(answer, output.format(), &mut out).await?;
        out.flush().map_err(unwritable)
    })
}
