//! Defines the command line: what can be typed, and what it does.
//!
//! A flag that is also a setting becomes the highest layer of [`Config`]; a command then takes its job from the
//! settings alone, so that a file, a variable and a flag mean the same. What says only what to do this time (which
//! query, which file) stays an argument. Results go to stdout, all else to stderr.

mod alter;
mod bench;
mod check;
mod config;
mod demo;
mod expire;
mod footers;
mod holdings;
mod indexes;
mod infer;
mod ingest;
mod produce;
mod query;
mod replay;
mod shell;
mod signals;
mod table;
mod terminal;
mod verify;
mod xdg;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::aws::Aws;
use crate::catalog::{Catalog, GlueCatalog, LocalCatalog};
use crate::config::{CatalogAt, Config, Flag, Log, Settings};
use crate::error::{self, Error, Kind, Result};
use crate::kafka::Connection;
use crate::store::{Durability, Stores};
use crate::table::TableName;
use crate::verify::{Check, PATIENCE};
use terminal::Terminal;

/// JSON ticks from Kafka become a partitioned Parquet lake, exactly once.
#[derive(Debug, Parser)]
#[command(name = "ticklake", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes. All but `--config` are settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct Globals {
    /// The file of settings [default: ticklake.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "TICKLAKE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Kafka's brokers [default: localhost:9092]
    #[arg(long, global = true, value_name = "HOST:PORT,…")]
    brokers: Option<String>,
    /// A property of librdkafka's, by its own name; may be given more than once
    #[arg(short = 'X', long = "kafka", global = true, value_name = "NAME=VALUE")]
    kafka: Vec<String>,
    /// Where tables are named [default: sqlite:ticklake.db]
    #[arg(long, global = true, value_name = "sqlite:FILE|glue")]
    catalog: Option<String>,
    /// The AWS region, for S3, Glue and Athena [default: AWS_REGION, or the profile's]
    #[arg(long, global = true)]
    region: Option<String>,
    /// The AWS profile [default: AWS_PROFILE]
    #[arg(long, global = true)]
    profile: Option<String>,
    /// How logs are written to stderr [default: text]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or directives as in RUST_LOG [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system in one process, with nothing to install: producer, Kafka, ingest, catalog, SQL
    Demo(demo::DemoArgs),
    /// Send JSON ticks to a topic, from a file or simulated
    Produce(produce::ProduceArgs),
    /// Look at everything that a job needs before it starts: topic, records, store, catalog, Athena, what a day of it costs
    Check(Box<check::CheckArgs>),
    /// Write a topic's records into a table: the main job
    Ingest(ingest::IngestArgs),
    /// Run SQL over the tables of the catalog; without a statement, a shell
    Query(Box<query::QueryArgs>),
    /// Show some rows of a table
    Preview(query::PreviewArgs),
    /// Create, show, list, change, repair and drop tables
    #[command(subcommand)]
    Table(table::TableCommand),
    /// Decode a table's rejected records anew, after its DDL was fixed
    Replay(replay::ReplayArgs),
    /// Check that a table is whole: its files, the catalog, and with --records its topics
    Verify(verify::VerifyArgs),
    /// Measure what a job takes on this machine, beside what its parts take alone; try settings
    Bench(Box<bench::BenchArgs>),
    /// Print the settings in force, and where each comes from
    Config(config::ConfigArgs),
}

impl Cli {
    /// All layers of settings, with this command's flags on top.
    fn config(&self) -> Result<Config> {
        let mut flags = self.globals.flags()?;
        match &self.command {
            Command::Check(args) => flags.extend(args.flags()),
            Command::Ingest(args) => flags.extend(args.flags()),
            Command::Query(args) => flags.extend(args.engine.flags()),
            Command::Preview(args) => flags.extend(args.engine.flags()),
            Command::Replay(args) => flags.extend(args.flags()),
            _ => {}
        }
        Config::load(self.globals.config.as_deref(), std::env::vars_os(), flags)
    }
}

impl Cli {
    /// Does what was typed, and ends with it.
    pub fn run(&self) -> Result<()> {
        let config = self.config()?;
        self.command.run(&config, &self.globals)
    }
}

impl Command {
    fn run(&self, config: &Config, globals: &Globals) -> Result<()> {
        let settings = &config.settings;
        let terminal = Terminal::start(&self.log(config))?;
        match self {
            Self::Demo(args) => demo::run(args),
            Self::Produce(args) => produce::run(args, settings, &terminal),
            Self::Check(args) => check::run(args, settings),
            Self::Ingest(args) => ingest::run(args, settings, &terminal),
            Self::Query(args) => query::run(args, settings, &terminal),
            Self::Preview(args) => query::preview(args, settings, &terminal),
            Self::Table(command) => table::run(command, settings),
            Self::Replay(args) => replay::run(args, settings, &terminal),
            Self::Verify(args) => verify::run(args, settings),
            Self::Bench(args) => bench::run(args, config, globals.arguments(), &terminal),
            Self::Config(args) => config::run(args, config),
        }
    }

    /// Between the lines of a demonstration, a benchmark or a check, logs of what goes well are in the way.
    fn log(&self, config: &Config) -> Log {
        let log = config.settings.log.clone();
        match self {
            Self::Demo(_) | Self::Bench(_) | Self::Check(_) if !config.is_set("log.level") => {
                Log { level: "warn".to_owned(), ..log }
            }
            _ => log,
        }
    }
}

/// What the process ends with; a failure is printed.
pub fn exit_code(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => end_with(&e).into(),
    }
}

/// Prints a failure, once and with its causes, and gives its code: 1 failed, 2 wrong usage, 130 interrupted.
fn end_with(e: &Error) -> u8 {
    tell(e);
    match e.kind() {
        Kind::Usage => 2,
        // As shells have it for a process that SIGINT ended: 128 + 2.
        Kind::Interrupted => 130,
        Kind::Kafka | Kind::Store | Kind::Catalog | Kind::Query | Kind::Protocol | Kind::System => 1,
    }
}

/// Prints a failure: its chain in one line, then the place in what was written where there is one.
fn tell(e: &Error) {
    let excerpt = e.excerpt().map(|excerpt| format!("{excerpt}\n")).unwrap_or_default();
    // Where stderr is closed there is nobody to tell.
    let _ = write!(std::io::stderr(), "error: {}\n{excerpt}", error::chain(e));
}

impl Globals {
    /// What another run of this program is to have of these, but for Kafka.
    fn arguments(&self) -> Vec<String> {
        let config = self.config.as_ref().map(|file| file.display().to_string());
        let given = [("--config", &config), ("--region", &self.region), ("--profile", &self.profile)];
        let level = self.log_level.clone().unwrap_or_else(|| "warn".to_owned());
        let given = given.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value.clone()?]));
        given.chain([["--log-level".to_owned(), level]]).flatten().collect()
    }

    fn flags(&self) -> Result<Vec<Flag>> {
        let mut flags = Vec::new();
        for property in &self.kafka {
            flags.push(Flag::property("-X", property)?);
        }
        flags.extend(setting("--brokers", "kafka.brokers", &self.brokers));
        flags.extend(setting("--catalog", "catalog", &self.catalog));
        flags.extend(setting("--region", "aws.region", &self.region));
        flags.extend(setting("--profile", "aws.profile", &self.profile));
        flags.extend(setting("--log-format", "log.format", &self.log_format));
        flags.extend(setting("--log-level", "log.level", &self.log_level));
        Ok(flags)
    }
}

/// A flag that was given, as a setting. Its text is read where all layers are.
fn setting(name: &'static str, key: &str, text: &Option<String>) -> Option<Flag> {
    text.as_ref().map(|text| Flag::new(name, key, text.as_str()))
}

/// How to reach Kafka, for a command that works on a cluster of the user's.
fn connection(settings: &Settings) -> Result<Connection> {
    let kafka = &settings.kafka;
    if kafka.brokers == "embedded" {
        return Err(Error::usage(
            "the embedded cluster lives and ends with one process, so only `ticklake demo` can use it: \
             name a broker with --brokers HOST:PORT",
        ));
    }
    let (brokers, properties) = (kafka.brokers.clone(), kafka.properties.clone());
    Ok(Connection { brokers, properties, aws: Aws::new(settings.aws.options()) })
}

/// What a command works on. Each part is shared by all that the command does.
#[derive(Debug)]
struct Lake {
    catalog: Arc<dyn Catalog>,
    stores: Stores,
}

impl Lake {
    /// For what looks at a table's files: all dates, without its records.
    fn check(&self, table: &TableName) -> Check {
        let (catalog, stores) = (self.catalog.clone(), self.stores.clone());
        Check { table: table.clone(), catalog, stores, dates: None, records: None, patience: PATIENCE }
    }
}

/// Opens the catalog and the stores; a SQLite catalog is made where none is.
async fn open(settings: &Settings) -> Result<Lake> {
    let aws = Aws::new(settings.aws.options());
    let catalog: Arc<dyn Catalog> = match &settings.catalog {
        CatalogAt::Sqlite(file) => Arc::new(LocalCatalog::open(file)?),
        CatalogAt::Glue => Arc::new(GlueCatalog::open(&settings.glue.options(), &aws).await?),
    };
    let durability = if settings.store.fsync { Durability::Fsync } else { Durability::NoFsync };
    let stores = Stores::new(durability).with_s3(settings.s3.options(), aws);
    Ok(Lake { catalog, stores })
}

/// As `open`, for a command that only looks: a name that was mistyped must not become an empty catalog.
async fn open_existing(settings: &Settings) -> Result<Lake> {
    if let CatalogAt::Sqlite(file) = &settings.catalog
        && !file.exists()
    {
        return Err(Error::new(
            Kind::Catalog,
            "the catalog is not there: name it with --catalog sqlite:FILE; `ingest` and `table create` make one",
        )
        .with("catalog", format_args!("sqlite:{}", file.display())));
    }
    open(settings).await
}

/// Runs a command on threads of a runtime. A write that hangs when the command has ended is not waited for: what it
/// leaves is no file of a table.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::System, "cannot start the threads of the runtime").because(e))?;
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}
