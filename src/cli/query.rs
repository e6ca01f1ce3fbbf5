//! `ticklake query` and `ticklake preview`: SQL over the tables of the catalog.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clap::{Args, ValueEnum};
use indicatif::HumanBytes;

use super::terminal::{Stdout, Terminal, unwritable};
use super::{Lake, block_on, open_existing, setting, signals};
use crate::aws::Aws;
use crate::config::{Flag, Settings};
use crate::error::{Error, Result};
use crate::query::{self, Answer, AthenaEngine, Engine, Format, Limits, LocalEngine, Scanned};
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

#[derive(Debug, Args)]
pub struct EngineArgs {
    /// What runs the query: this process, or AWS Athena over Glue's catalog
    #[arg(long, value_enum, default_value_t = EngineArg::Local)]
    engine: EngineArg,
    /// Athena's workgroup [default: primary]
    #[arg(long, value_name = "NAME")]
    workgroup: Option<String>,
    /// Athena's database for names without one [default: default]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
    /// Where Athena puts its results, if the workgroup does not say it
    #[arg(long, value_name = "s3://…")]
    output: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    Local,
    Athena,
}

impl EngineArgs {
    /// Those that are settings.
    pub fn flags(&self) -> Vec<Flag> {
        let settings = [
            setting("--workgroup", "athena.workgroup", &self.workgroup),
            setting("--database", "athena.database", &self.database),
            setting("--output", "athena.output", &self.output),
        ];
        settings.into_iter().flatten().collect()
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Engine>> {
        Ok(match self.engine {
            EngineArg::Local => {
                if self.workgroup.is_some() || self.database.is_some() || self.output.is_some() {
                    return Err(Error::usage(
                        "--workgroup, --database and --output are Athena's: add --engine athena",
                    ));
                }
                let Lake { catalog, stores } = open_existing(settings).await?;
                Arc::new(LocalEngine::new(catalog, stores, &Limits::default())?)
            }
            EngineArg::Athena => {
                let aws = Aws::new(settings.aws.options());
                Arc::new(AthenaEngine::open(settings.athena.options(), &aws).await?)
            }
        })
    }
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

pub fn run(args: &QueryArgs, settings: &Settings, terminal: &Terminal) -> Result<()> {
    let sql = match (&args.sql, &args.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => {
            return Err(Error::usage("no statement: write it as the argument, or name its file with -f"));
        }
    };
    answer(&args.engine, &args.output, settings, terminal, async |engine: &dyn Engine| {
        engine.query(&sql).await
    })
}

pub fn preview(args: &PreviewArgs, settings: &Settings, terminal: &Terminal) -> Result<()> {
    answer(&args.engine, &args.output, settings, terminal, async |engine: &dyn Engine| {
        engine.preview(&args.name, args.limit).await
    })
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
    engine: &EngineArgs,
    output: &OutputArgs,
    settings: &Settings,
    terminal: &Terminal,
    ask: impl AsyncFnOnce(&dyn Engine) -> Result<Answer>,
) -> Result<()> {
    block_on(async {
        let opened: Arc<OnceLock<Arc<dyn Engine>>> = Arc::default();
        let to_cancel = opened.clone();
        signals::end_at_first_after(async move {
            match to_cancel.get() {
                Some(engine) => engine.cancel().await,
                None => Ok(()),
            }
        })?;
        let engine = engine.open(settings).await?;
        let engine = opened.get_or_init(|| engine);
        let answer = ask(&**engine).await?;
        let scanned = answer.scanned;
        let mut out = Stdout::buffered();
        query::print(answer, output.format(), &mut out).await?;
        out.flush().map_err(unwritable)?;
        if let Some(Scanned { bytes, dollars }) = scanned {
            terminal.say(&format!("{} scanned, ${dollars:.6}", HumanBytes(bytes)));
        }
        Ok(())
    })
}
