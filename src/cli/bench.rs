//! `ticklake bench`: turns the arguments into a plan, runs it, and prints what was found.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::terminal::{Stdout, Terminal, unwritable};
use super::{block_on, connection, produce, signals, table};
use crate::aws::Aws;
use crate::bench::{self, Pace, Part, PartJob, Plan, Sweep};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::produce::Simulation;
use crate::produce::simulate::SYMBOLS_MAX;
use crate::store::{Durability, Stores};

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A topic that is there, which is left as it is [default: one of simulated ticks is made]
    #[arg(long)]
    topic: Option<String>,
    /// The table that the topic's records are for [default: schemas/ticks.sql]
    #[arg(long, value_name = "DDL.sql", requires = "topic")]
    table: Option<PathBuf>,
    /// How many ticks are made
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Of so many symbols, Zipf-like popular
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=SYMBOLS_MAX as i64))]
    symbols: u32,
    /// Over so many days
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// The partitions of the topic that is made
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Send ticks at so many a second, while the job reads them, and measure how long each takes to be queryable
    #[arg(long, value_name = "N", value_parser = produce::rate, conflicts_with_all = ["topic", "only"])]
    rate: Option<f64>,
    /// For so long
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration, requires = "rate")]
    duration: Duration,
    /// Measure these alone [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    only: Vec<Only>,
    /// Run the whole job with each value of a setting; may be given more than once, for all combinations
    #[arg(long, value_name = "SETTING=VALUE,…")]
    sweep: Vec<Sweep>,
    /// Run it so often with each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Where the files go; those on a local disk are removed after each run
    #[arg(long, value_name = "DIR|s3://…", default_value = "ticklake-bench")]
    location: String,
    /// Wait for the disk, as jobs do by default; benchmarks of others do not
    #[arg(long)]
    fsync: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Form::Table, value_name = "FORMAT")]
    format: Form,
    /// Draw the runs of the whole job into this file
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Measures one part in this process: how a benchmark starts itself
    #[arg(long, value_enum, hide = true, requires_all = ["topic", "table"])]
    part: Option<Only>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Reading the topic
    Drain,
    /// Decoding and routing records in memory
    Decode,
    /// Making files in memory
    Encode,
    /// The whole job
    Job,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Table,
    Json,
}

impl From<Only> for Part {
    fn from(only: Only) -> Self {
        match only {
            Only::Drain => Self::Drain,
            Only::Decode => Self::Decode,
            Only::Encode => Self::Encode,
            Only::Job => Self::Job,
        }
    }
}

/// `arguments` are those of every command that the runs are to have too.
pub fn run(args: &BenchArgs, config: &Config, arguments: Vec<String>, terminal: &Terminal) -> Result<()> {
    if let Some(part) = args.part {
        return run_part(args, part.into(), config);
    }
    let plan = plan(args, config, arguments)?;
    let report = block_on(async {
        signals::end_at_first()?;
        bench::run(&plan, &mut |line| terminal.say(line)).await
    })?;
    if let Some(file) = &args.svg {
        std::fs::write(file, bench::plot(&report)?).map_err(|e| {
            Error::new(Kind::System, "cannot write the plot").with("file", file.display()).because(e)
        })?;
    }
    let mut out = Stdout::buffered();
    match args.format {
        Form::Table => bench::print(&report, &mut out),
        Form::Json => {
            let text = serde_json::json!(report);
            writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unwritable)
        }
    }
}

fn plan(args: &BenchArgs, config: &Config, arguments: Vec<String>) -> Result<Plan> {
    let settings = &config.settings;
    let given = config.is_set("kafka.brokers") && settings.kafka.brokers != "embedded";
    if args.topic.is_some() && !given {
        return Err(Error::usage("a topic that is there needs its --brokers"));
    }
    let pace = args.rate.map(|rate| Pace { rate, duration: args.duration });
    let parts: Vec<Part> = match args.only.as_slice() {
        [] => Part::ALL.to_vec(),
        only => only.iter().map(|only| Part::from(*only)).collect(),
    };
    // In time, all ticks are of one day.
    let ticks = pace
        .map_or(args.records / u64::from(args.days), |pace| (pace.rate * pace.duration.as_secs_f64()) as u64);
    let aws = Aws::new(settings.aws.options());
    let stores = Stores::new(Durability::NoFsync).with_s3(settings.s3.options(), aws);
    Ok(Plan {
        connection: given.then(|| connection(settings)).transpose()?,
        topic: args.topic.clone(),
        simulation: Simulation {
            symbols: args.symbols,
            ticks_per_day: u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
            ..Simulation::default()
        },
        records: args.records,
        partitions: args.partitions,
        table: args.table.clone(),
        location: args.location.clone(),
        fsync: args.fsync,
        parts,
        repeat: args.repeat,
        sweep: args.sweep.clone(),
        pace,
        arguments,
        stores,
        flush_age: settings.ingest.flush_age,
    })
}

fn run_part(args: &BenchArgs, part: Part, config: &Config) -> Result<()> {
    let (Some(topic), Some(file)) = (&args.topic, &args.table) else {
        return Err(Error::usage("a part needs its --topic and its --table"));
    };
    let job = PartJob {
        part,
        connection: connection(&config.settings)?,
        topic: topic.clone(),
        ddl: table::read_ddl(file)?,
        limits: config.settings.ingest.limits(),
    };
    let done = block_on(async {
        // Tokens are made where the runtime is, and the part blocks.
        tokio::task::spawn_blocking(move || bench::run_part(&job))
            .await
            .map_err(|e| Error::new(Kind::System, "a part broke off").because(e))?
    })?;
    let mut out = Stdout::buffered();
    writeln!(out, "{}", serde_json::json!(done)).and_then(|()| out.flush()).map_err(unwritable)
}
