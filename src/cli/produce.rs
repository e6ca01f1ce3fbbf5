//! `ticklake produce`: turns the arguments into a run of the producer, and shows how it goes.

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use tokio::sync::watch;

use super::terminal::Terminal;
use super::{block_on, connection, signals};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::produce::simulate::{SYMBOLS_MAX, Simulation};
use crate::produce::{self, Input, Job, MissingTopic, Progress, Repeat, Source, Summary};

/// What is on its way when the producer is stopped has so long to be confirmed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct ProduceArgs {
    /// The topic to send to
    #[arg(long)]
    topic: String,
    #[command(flatten)]
    source: SourceArgs,
    /// How many symbols are simulated [default: 100]
    #[arg(long, requires = "simulate", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SYMBOLS_MAX as i64))]
    symbols: Option<u32>,
    /// The same seed simulates the same ticks; several producers at once want different ones [default: 1]
    #[arg(long, requires = "simulate", value_name = "N")]
    seed: Option<u64>,
    /// The first day that is simulated [default: 2024-11-22]
    #[arg(long, requires = "simulate", value_name = "YYYY-MM-DD")]
    start: Option<NaiveDate>,
    /// How many ticks a simulated day has, on average [default: 100000]
    #[arg(long, requires = "simulate", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ticks_per_day: Option<u32>,
    /// The field whose value is the record's key; simulated ticks are keyed by symbol
    #[arg(long, conflicts_with = "simulate", value_name = "FIELD")]
    key: Option<String>,
    /// Records a second [default: as fast as it goes]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Stop after so many records [default: at the end of the file, never with --simulate]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Begin the file again at its end
    #[arg(long = "loop", conflicts_with = "simulate")]
    repeat: bool,
    /// Make the topic with so many partitions where it is not there
    #[arg(long, value_name = "PARTITIONS", value_parser = clap::value_parser!(i32).range(1..))]
    create_topic: Option<i32>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// Each line of a CSV file with a header, as a JSON object
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Each line of a file as it is; - is stdin
    #[arg(long, value_name = "FILE")]
    ndjson: Option<PathBuf>,
    /// Ticks of a market that is made up
    #[arg(long)]
    simulate: bool,
}

pub fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("a rate is records a second, above 0".to_owned()),
    }
}

pub fn run(args: &ProduceArgs, settings: &Settings, terminal: &Terminal) -> Result<()> {
    block_on(async {
        let stop = signals::stop_at_first()?;
        let job = job(args, settings)?;
        let (sender, receiver) = watch::channel(Progress::default());
        let shown = tokio::spawn(draw(receiver, bar(args.count, terminal)));
        let ended = produce::run(job, stop, sender).await;
        // It ends with the sender; a panic in it has been printed and changes nothing.
        let _ = shown.await;
        terminal.say(&summary(&args.topic, &ended?));
        Ok(())
    })
}

fn job(args: &ProduceArgs, settings: &Settings) -> Result<Job> {
    if args.repeat && args.source.ndjson.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        return Err(Error::usage("stdin cannot be begun again: --loop needs a file"));
    }
    Ok(Job {
        connection: connection(settings)?,
        topic: args.topic.clone(),
        missing_topic: match args.create_topic {
            // The broker's own default, below 0, knows how many brokers there are.
            Some(partitions) => MissingTopic::Create { partitions, replication: -1 },
            None => MissingTopic::Refuse,
        },
        source: source(args),
        key: args.key.clone(),
        rate: args.rate,
        count: args.count,
        repeat: if args.repeat { Repeat::Forever } else { Repeat::Once },
        drain_deadline: DRAIN_DEADLINE,
    })
}

fn source(args: &ProduceArgs) -> Source {
    let SourceArgs { csv, ndjson, simulate: _ } = &args.source;
    if let Some(file) = csv {
        return Source::Csv(file.clone());
    }
    match ndjson {
        Some(file) if file.as_os_str() == "-" => Source::Ndjson(Input::Stdin),
        Some(file) => Source::Ndjson(Input::File(file.clone())),
        None => Source::Simulate(simulation(args)),
    }
}

fn simulation(args: &ProduceArgs) -> Simulation {
    let default = Simulation::default();
    Simulation {
        symbols: args.symbols.unwrap_or(default.symbols),
        seed: args.seed.unwrap_or(default.seed),
        start: args.start.unwrap_or(default.start),
        ticks_per_day: args.ticks_per_day.unwrap_or(default.ticks_per_day),
    }
}

/// Of a known length where a count was given.
fn bar(count: Option<u64>, terminal: &Terminal) -> ProgressBar {
    let Some(count) = count else {
        return terminal.bar("{spinner} {human_pos} delivered  {msg}");
    };
    let bar = terminal.bar("{bar:30} {human_pos}/{human_len} delivered  {msg}  ETA {eta}");
    bar.set_length(count);
    bar
}

async fn draw(mut receiver: watch::Receiver<Progress>, bar: ProgressBar) {
    while receiver.changed().await.is_ok() {
        let progress = *receiver.borrow_and_update();
        bar.set_position(progress.delivered);
        let rate = HumanCount(bar.per_sec() as u64);
        bar.set_message(format!("{rate} records/s  {}", HumanBytes(progress.bytes)));
    }
    bar.finish_and_clear();
}

fn summary(topic: &str, done: &Summary) -> String {
    let failed = match done.failed {
        0 => String::new(),
        failed => format!(", {} given up", HumanCount(failed)),
    };
    format!(
        "{} records delivered to {topic}{failed}, {} in {:.1} s, {} records/s",
        HumanCount(done.delivered),
        HumanBytes(done.bytes),
        done.seconds,
        HumanCount((done.delivered as f64 / done.seconds.max(0.001)) as u64),
    )
}
