//! `ticklake ingest`: turns the settings into a job, runs it, and shows how it goes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::terminal::{Stdout, Terminal, unwritable};
use super::{Lake, block_on, connection, open, setting, signals};
use crate::bench::usage;
use crate::catalog::Catalog;
use crate::config::{Flag, Settings};
use crate::error::{Error, Kind, Result};
use crate::ingest::{self, Job, Progress};
use crate::metrics::{self, JobName};
use crate::table::{Ddl, TableName};

/// How often a job without a bar logs how it goes.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct IngestArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Stop at the end of the topics as they are now
    #[arg(long)]
    until_end: bool,
    /// Go on under a DDL that differs in more than added columns, where the last one ended whole: all that wrote under it has
    /// been stopped for five minutes
    #[arg(long)]
    take_over: bool,
    /// The summary at the end: text on stderr, or JSON on stdout
    #[arg(long, value_enum, default_value_t = Summary::Text, value_name = "FORMAT")]
    summary: Summary,
}

/// What a job is: all of it can be set in a file too.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// A topic to read; may be given more than once
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// The table: a file with its DDL, or its name in the catalog
    #[arg(long, value_name = "DDL.sql|DB.NAME")]
    table: Option<String>,
    /// Where the table's files go, above the DDL's LOCATION
    #[arg(long, value_name = "DIR|s3://…")]
    location: Option<String>,
    /// The consumer group [default: ticklake-DB.NAME]
    #[arg(long)]
    group: Option<String>,
    /// Where to start what this table has not read yet: beginning, latest, an offset, or a time as
    /// 2026-11-22T13:30:00Z [default: beginning]
    #[arg(long, value_name = "START")]
    from: Option<String>,
    /// Where retention has removed records before they were read: stop, or skip them and note the gap [default: stop]
    #[arg(long, value_name = "stop|skip")]
    lost_records: Option<String>,
    /// Begins new chains of files for topics made anew under their old names [default: 0]
    #[arg(long, value_name = "N")]
    source_epoch: Option<String>,
    /// Write a partition's rows to a file at so many rows [default: 1000000]
    #[arg(long, value_name = "N")]
    flush_rows: Option<String>,
    /// Write them at so many bytes as columns [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    flush_bytes: Option<String>,
    /// Write them so long after the first [default: 1m]
    #[arg(long, value_name = "DURATION")]
    flush_age: Option<String>,
    /// Memory for all rows that are not yet in a file [default: 192MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Files written at once [default: 8]
    #[arg(long, value_name = "N")]
    writes: Option<String>,
    /// Consumers of the group in this process, each with a thread of its own [default: 1]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// End the job where more than this share of 10,000 records is rejected [default: 1, go on whatever is rejected]
    #[arg(long, value_name = "0…1")]
    rejected_max_ratio: Option<String>,
    /// Do not wait for the disk: a power cut may tear a file
    #[arg(long)]
    no_fsync: bool,
    /// Serve Prometheus' /metrics, and /healthz, at this address; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Summary {
    Text,
    Json,
}

impl IngestArgs {
    pub fn flags(&self) -> Vec<Flag> {
        self.job.flags()
    }
}

impl JobArgs {
    /// The settings that were given.
    pub fn flags(&self) -> Vec<Flag> {
        let topics = (!self.topic.is_empty()).then(|| self.topic.join(","));
        let no_fsync = self.no_fsync.then(|| Flag::new("--no-fsync", "store.fsync", false));
        [
            setting("--topic", "ingest.topics", &topics),
            setting("--table", "ingest.table", &self.table),
            setting("--location", "ingest.location", &self.location),
            setting("--group", "ingest.group", &self.group),
            setting("--from", "ingest.from", &self.from),
            setting("--lost-records", "ingest.lost_records", &self.lost_records),
            setting("--source-epoch", "ingest.source_epoch", &self.source_epoch),
            setting("--flush-rows", "ingest.flush_rows", &self.flush_rows),
            setting("--flush-bytes", "ingest.flush_bytes", &self.flush_bytes),
            setting("--flush-age", "ingest.flush_age", &self.flush_age),
            setting("--memory", "ingest.memory", &self.memory),
            setting("--writes", "ingest.writes", &self.writes),
            setting("--workers", "ingest.workers", &self.workers),
            setting("--rejected-max-ratio", "ingest.rejected_max_ratio", &self.rejected_max_ratio),
            setting("--metrics", "ingest.metrics", &self.metrics),
            no_fsync,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

pub fn run(args: &IngestArgs, settings: &Settings, terminal: &Terminal) -> Result<()> {
    block_on(async {
        let stop = signals::stop_at_first()?;
        let job = Job { take_over: args.take_over, ..job(settings, args.until_end).await? };
        let (sender, receiver) = watch::channel(Progress::default());
        if let Some(address) = &settings.ingest.metrics {
            let name = JobName { table: job.ddl.name.to_string(), group: job.group.clone() };
            let address = metrics::serve(address, name, receiver.clone()).await?;
            tracing::info!(%address, "serving /metrics and /healthz");
        }
        let shown = match args.until_end {
            true => tokio::spawn(draw(receiver, bar(terminal))),
            false => tokio::spawn(log(receiver)),
        };
        let started = Instant::now();
        let ended = ingest::run(job, stop, sender).await;
        // It ends with the sender; a panic in it has been printed and changes nothing.
        let _ = shown.await;
        summarize(args.summary, &ended?, started.elapsed(), terminal)
    })
}

/// What the settings say of a job; an error of kind `Usage` where they do not say enough.
pub async fn job(settings: &Settings, until_end: bool) -> Result<Job> {
    let ours = &settings.ingest;
    let missing = |what: &str| Error::usage(what);
    let table = ours.table.as_deref().ok_or_else(|| {
        missing("no table is named: give --table DDL.sql or --table DB.NAME, or set ingest.table")
    })?;
    if ours.topics.is_empty() {
        return Err(missing("no topic is named: give --topic, or set ingest.topics"));
    }
    job_on(settings, table, ours.topics.clone(), until_end).await
}

/// A job on a table that is named by its DDL or in the catalog.
pub async fn job_on(settings: &Settings, table: &str, topics: Vec<String>, until_end: bool) -> Result<Job> {
    let ours = &settings.ingest;
    let connection = connection(settings)?;
    let Lake { catalog, stores } = open(settings).await?;
    let ddl = find_table(table, &catalog, settings).await?;
    Ok(Job {
        connection,
        topics,
        group: ours.group_of(&ddl.name),
        ddl,
        location: ours.location.clone(),
        stores,
        catalog,
        from: ours.from,
        lost: ours.lost_records,
        until_end,
        source_epoch: ours.source_epoch,
        take_over: false,
        limits: ours.limits(),
    })
}

/// Whether a table is named by its file: one that looks like a DDL's, or is there.
pub fn is_file(table: &str) -> bool {
    table.ends_with(".sql") || Path::new(table).is_file()
}

/// The DDL in a file, or that of a name of the catalog's.
pub async fn find_table(table: &str, catalog: &Arc<dyn Catalog>, settings: &Settings) -> Result<Ddl> {
    if is_file(table) {
        return super::table::read_ddl(&PathBuf::from(table));
    }
    let name: TableName = table.parse()?;
    catalog.table(&name).await?.ok_or_else(|| {
        Error::new(Kind::Catalog, "there is no such table: make it with `ticklake table create DDL.sql`")
            .with("table", &name)
            .with("catalog", &settings.catalog)
    })
}

pub fn bar(terminal: &Terminal) -> ProgressBar {
    terminal.bar("{bar:30} {percent}% of {human_len} records  {msg}  ETA {eta}")
}

/// Draws a batch job's progress: the end is known as soon as the first partitions are assigned.
pub async fn draw(mut receiver: watch::Receiver<Progress>, bar: ProgressBar) {
    while receiver.changed().await.is_ok() {
        let progress = receiver.borrow_and_update().clone();
        if let Some(lag) = progress.lag_records {
            bar.set_length(progress.records + lag);
        }
        bar.set_position(progress.records);
        let rows_per_record = progress.rows as f64 / progress.records.max(1) as f64;
        bar.set_message(format!(
            "{} rows/s  {} files  {} buffered",
            HumanCount((bar.per_sec() * rows_per_record) as u64),
            HumanCount(progress.files),
            HumanBytes(progress.buffered_bytes),
        ));
    }
    bar.finish_and_clear();
}

/// Logs a daemon's progress where there is some.
async fn log(mut receiver: watch::Receiver<Progress>) {
    let mut last = Progress::default();
    let mut due = Instant::now() + LOG_INTERVAL;
    while receiver.changed().await.is_ok() {
        let now = receiver.borrow_and_update().clone();
        if Instant::now() < due || (now.records, now.files) == (last.records, last.files) {
            continue;
        }
        due = Instant::now() + LOG_INTERVAL;
        tracing::info!(
            records = now.records,
            rows = now.rows,
            rejected = now.rejected,
            files = now.files,
            lag_records = now.lag_records,
            buffered_bytes = now.buffered_bytes,
            "ingesting"
        );
        last = now;
    }
}

fn summarize(format: Summary, done: &Progress, elapsed: Duration, terminal: &Terminal) -> Result<()> {
    let seconds = elapsed.as_secs_f64();
    match format {
        Summary::Text => {
            terminal.say(&format!(
                "{} rows from {} records in {seconds:.1} s, {} rows/s ({} rejected, {} skipped)",
                HumanCount(done.rows),
                HumanCount(done.records),
                HumanCount((done.rows as f64 / seconds.max(0.001)) as u64),
                HumanCount(done.rejected),
                HumanCount(done.skipped),
            ));
            terminal.say(&format!(
                "{} files, {}; {} partitions registered; {} offsets committed",
                HumanCount(done.files),
                HumanBytes(done.file_bytes),
                HumanCount(done.partitions_registered),
                HumanCount(done.offsets_committed),
            ));
            if done.already_there > 0 {
                terminal.say(&format!(
                    "{} rows were read again and were in the files already",
                    HumanCount(done.already_there)
                ));
            }
            Ok(())
        }
        Summary::Json => {
            let mut out = Stdout::buffered();
            let summary = json!({
                "records": done.records,
                "record_bytes": done.record_bytes,
                "rows": done.rows,
                "rejected": done.rejected,
                "skipped": done.skipped,
                "already_there": done.already_there,
                "files": done.files,
                "file_bytes": done.file_bytes,
                "partitions_registered": done.partitions_registered,
                "offsets_committed": done.offsets_committed,
                "puts": done.calls.puts_created + done.calls.puts_taken + done.calls.puts_failed,
                "catalog_calls": done.calls.catalog_ok + done.calls.catalog_failed,
                "seconds": seconds,
                "usage": usage(),
            });
            writeln!(out, "{summary}").and_then(|()| out.flush()).map_err(unwritable)
        }
    }
}
