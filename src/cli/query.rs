//! `ticklake query` and `ticklake preview`: SQL over the tables of the catalog.

mod desk;
mod engines;
mod explain;
mod output;
mod script;
mod watch;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::HumanBytes;

pub use self::desk::{Desk, Detail};
pub use self::engines::{EngineArgs, EngineName, Engines};
pub use self::output::FormatName;
use self::output::OutputArgs;
pub use self::script::{Task, run as run_script};
use super::shell::{self, Shell};
use super::terminal::{Terminal, unwritable};
use super::{block_on, signals};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::query::parameters::{Parameter, Parameters};
use crate::query::text::Statement;
use crate::query::{self, Format, Scanned};
use crate::table::TableName;

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Statements, with ; between them. Without any, a terminal is a shell, and a pipe is read
    #[arg(conflicts_with = "file")]
    sql: Option<String>,
    /// A file with the statements; - is stdin
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// A value for :NAME in the statements: a number where it reads as one, else a text; may be given more than once
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<Parameter>,
    /// Do not run: say which partitions, files and bytes would be read, and Athena's price; of Athena its EXPLAIN
    #[arg(long)]
    explain: bool,
    /// With --explain: the engine's plan too
    #[arg(long, requires = "explain")]
    plan: bool,
    /// Refuse what may read more, as 10GiB or 500MB
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_bytes: Option<u64>,
    /// Ask again each so often, as 5s, until Ctrl-C
    #[arg(long, value_name = "INTERVAL", value_parser = interval, conflicts_with_all = ["explain", "to"])]
    watch: Option<Duration>,
    #[command(flatten)]
    pub engine: EngineArgs,
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
    pub engine: EngineArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn bytes(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|e| format!("no size: {e}; write 10GiB or 500MB"))
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        Ok(_) => Err("no time at all: it is above zero".to_owned()),
        Err(e) => Err(format!("no duration: {e}; write 500ms, 5s or 1m")),
    }
}

pub fn run(args: &QueryArgs, settings: &Settings, terminal: &Terminal) -> Result<()> {
    let desk = Desk {
        engines: Arc::new(Engines::new(settings)),
        engine: args.engine.name()?,
        parameters: Parameters::new(&args.parameters)?,
        max_bytes: args.max_bytes,
    };
    let text = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() => {
            if args.explain || args.watch.is_some() || args.output.is_file() {
                return Err(Error::usage(
                    "no statement: --explain, --watch and -o want it as the argument, or its file with -f",
                ));
            }
            return shell::run(Shell::new(desk, args.output.format()?), settings, terminal);
        }
        (None, None) => read(Path::new("-"))?,
    };
    let statements = script::read(&text)?;
    let format = args.output.format()?;
    if let Some(every) = args.watch {
        if format == Format::Parquet {
            return Err(Error::usage("--watch writes answers one after another, and Parquet is one file"));
        }
        return block_on(watch::run(&desk, &statements, format, every, terminal));
    }
    let task = match (args.explain, args.plan) {
        (true, true) => Task::Explain(Detail::Plan),
        (true, false) => Task::Explain(Detail::Cost),
        (false, _) => Task::Answer(format),
    };
    check_one_file(&statements, format)?;
    block_on(async {
        end_with(&desk.engines)?;
        let mut out = args.output.open()?;
        script::run(&desk, &statements, task, &mut out, terminal).await?;
        out.finish()
    })
}

pub fn preview(args: &PreviewArgs, settings: &Settings, terminal: &Terminal) -> Result<()> {
    let (name, format) = (args.engine.name()?, args.output.format()?);
    let engines = Arc::new(Engines::new(settings));
    block_on(async {
        end_with(&engines)?;
        let answer = engines.get(name).await?.preview(&args.name, args.limit).await?;
        let scanned = answer.scanned;
        let mut out = args.output.open()?;
        query::print(answer, format, &mut out).await?;
        out.flush().map_err(unwritable)?;
        if let Some(scanned) = scanned {
            terminal.say(&scanned_line(scanned));
        }
        out.finish()
    })
}

/// At a signal the process ends, when no query goes on in Athena.
fn end_with(engines: &Arc<Engines>) -> Result<()> {
    let engines = engines.clone();
    signals::end_at_first_after(async move { engines.cancel().await })
}

fn check_one_file(statements: &[Statement], format: Format) -> Result<()> {
    match format {
        Format::Parquet if statements.len() > 1 => {
            Err(Error::usage("Parquet is one file, and so of one statement")
                .with("statements", statements.len()))
        }
        _ => Ok(()),
    }
}

fn read(file: &Path) -> Result<String> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|e| Error::usage("cannot read the statements").with("file", file.display()).because(e))
}

/// `20.00 MiB scanned, $0.000095`
pub fn scanned_line(Scanned { bytes, dollars }: Scanned) -> String {
    format!("{} scanned, ${dollars:.6}", HumanBytes(bytes))
}
