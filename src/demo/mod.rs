//! The whole system in one process, with nothing installed.
//!
//! ```text
//! in-process Kafka ◀─ producer        catalog (SQLite) ◀─┐
//!                  └─▶ ingest ─▶ Parquet in a folder  ───┴─▶ SQL, every second
//! ```
//!
//! Nothing here is a stand-in: it is what the other commands run, over librdkafka's in-process cluster. That keeps
//! 5 MiB a partition (FACTS 5.16), so the ticks are paced.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::catalog::{Catalog, LocalCatalog};
use crate::error::{Error, Kind, Result};
use crate::ingest::{self, From, Limits, Lost};
use crate::kafka::{Cluster, Connection};
use crate::produce::{self, MissingTopic, Repeat, Simulation, Source};
use crate::query::{self, Engine, Format, LocalEngine};
use crate::store::{Durability, Stores};
use crate::table::Ddl;

const TOPIC: &str = "ticks";
const PARTITIONS: i32 = 4;
/// 30 seconds of it are some 8 MB, well within what the in-process cluster keeps.
const TICKS_PER_SECOND: f64 = 2500.0;
const SYMBOLS: u32 = 40;
/// So that every second shows new rows.
const FLUSH_AGE: Duration = Duration::from_secs(1);
/// How long the last ticks are waited for.
const CATCH_UP: Duration = Duration::from_secs(10);
const CATALOG: &str = "catalog.db";

/// One demonstration.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the catalog and the files go. What an earlier demonstration left there is made anew.
    pub folder: PathBuf,
    /// How long ticks are sent.
    pub duration: Duration,
    /// How the user starts this program, for the commands that are shown at the end.
    pub program: String,
}

/// Runs the system for `duration`, showing the partitions and a SQL result growing, and then says where the files are
/// and how to open them. It writes to `out`.
pub async fn run(job: Job, out: &mut dyn Write) -> Result<()> {
    clear(&job.folder)?;
    let ddl = Ddl::parse(include_str!("../../schemas/ticks.sql"))?;
    let cluster = Cluster::start(&[(TOPIC, PARTITIONS)])?;
    let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(job.folder.join(CATALOG))?);
    let stores = Stores::new(Durability::NoFsync);
    let engine = LocalEngine::new(catalog.clone(), stores.clone(), &query::Limits::default())?;
    let table = ddl.name.clone();
    say(
        out,
        format_args!(
            "in-process Kafka, topic '{TOPIC}' of {PARTITIONS} partitions ▶ ingest ▶ {}\n\
         {TICKS_PER_SECOND} ticks a second for {} s; files are written {} s after their first row",
            job.folder.display(),
            job.duration.as_secs(),
            FLUSH_AGE.as_secs(),
        ),
    )?;

    let (stop_producer, producer_stopped) = watch::channel(false);
    let (stop_ingest, ingest_stopped) = watch::channel(false);
    let (sent, sent_so_far) = watch::channel(produce::Progress::default());
    let (read, read_so_far) = watch::channel(ingest::Progress::default());
    let producer = tokio::spawn(produce::run(produce_job(cluster.connection()), producer_stopped, sent));
    let ingest_job = ingest_job(&job.folder, cluster.connection(), ddl, stores, catalog);
    let mut ingest = tokio::spawn(ingest::run(ingest_job, ingest_stopped, read));

    let start = Instant::now();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while start.elapsed() < job.duration {
        tokio::select! {
            _ = second.tick() => {}
            ended = &mut ingest => return Err(ended_early(ended)),
        }
        let (sent, read) = (sent_so_far.borrow().delivered, read_so_far.borrow().clone());
        say(
            out,
            format_args!(
                "\n{:>3} s  sent {sent}, in files and registered: {} files, {} partitions",
                start.elapsed().as_secs(),
                read.files,
                read.partitions_registered,
            ),
        )?;
        if read.partitions_registered > 0 {
            show(&engine, &format!(
                "SELECT symbol, count(*) AS ticks, max(ts) AS latest, max(price) AS high, min(price) AS low \
                 FROM {table} GROUP BY symbol ORDER BY ticks DESC, symbol LIMIT 5"
            ), out).await?;
        }
    }
    stop_producer.send_replace(true);
    let sent = producer.await.map_err(broke_off)??;
    // What was sent last is read before the end; an ingest that fails says so below.
    let mut read_so_far = read_so_far;
    let all = read_so_far.wait_for(|read| read.records >= sent.delivered);
    let _ = tokio::time::timeout(CATCH_UP, all).await;
    stop_ingest.send_replace(true);
    let done = ingest.await.map_err(broke_off)??;
    say(
        out,
        format_args!(
            "\nat the end: {} ticks sent, {} rows in {} files",
            sent.delivered, done.rows, done.files
        ),
    )?;
    show(&engine, &format!("SELECT date, count(*) AS ticks, count(DISTINCT symbol) AS symbols FROM {table} GROUP BY date ORDER BY date"), out).await?;
    farewell(&job, &table.to_string(), out)
}

fn produce_job(connection: Connection) -> produce::Job {
    produce::Job {
        connection,
        topic: TOPIC.to_owned(),
        missing_topic: MissingTopic::Refuse,
        source: Source::Simulate(Simulation {
            symbols: SYMBOLS,
            ticks_per_day: 25_000,
            ..Simulation::default()
        }),
        key: None,
        rate: Some(TICKS_PER_SECOND),
        count: None,
        repeat: Repeat::Once,
        drain_deadline: Duration::from_secs(10),
    }
}

fn ingest_job(
    folder: &Path,
    connection: Connection,
    ddl: Ddl,
    stores: Stores,
    catalog: Arc<dyn Catalog>,
) -> ingest::Job {
    ingest::Job {
        connection,
        topics: vec![TOPIC.to_owned()],
        group: format!("ticklake-{}", ddl.name),
        location: Some(folder.join("lake").join(ddl.name.table()).to_string_lossy().into_owned()),
        ddl,
        stores,
        catalog,
        from: From::Beginning,
        lost: Lost::Stop,
        until_end: false,
        source_epoch: 0,
        take_over: false,
        limits: Limits { flush_age: FLUSH_AGE, ..Limits::default() },
    }
}

/// Removes what an earlier demonstration left: the in-process cluster is a new one, whose offsets mean other records.
/// A folder that is not a demonstration's is left alone.
fn clear(folder: &Path) -> Result<()> {
    let failed = |e| Error::usage("cannot prepare the folder").with("folder", folder.display()).because(e);
    if folder.exists() {
        let is_empty = std::fs::read_dir(folder).map_err(failed)?.next().is_none();
        if !is_empty && !folder.join(CATALOG).is_file() {
            return Err(Error::usage(
                "the folder holds something that is no demonstration: name another with --dir",
            )
            .with("folder", folder.display()));
        }
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    std::fs::create_dir_all(folder).map_err(failed)
}

async fn show(engine: &LocalEngine, sql: &str, out: &mut dyn Write) -> Result<()> {
    let answer = engine.query(sql).await?;
    query::print(answer, Format::Table, out).await.map(|_| ())
}

fn farewell(job: &Job, table: &str, out: &mut dyn Write) -> Result<()> {
    let (program, folder) = (&job.program, job.folder.display());
    let lake = format!("{folder}/lake/ticks");
    say(
        out,
        format_args!(
            "\nThe files are in {lake}. Open them with\n\
         \n  {program} --catalog sqlite:{folder}/{CATALOG} query \"SELECT count(*) FROM {table} WHERE symbol = 'AAPL'\"\
         \n  duckdb -c \"SELECT count(*) FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true)\"\
         \n  python3 -c \"import pandas; print(pandas.read_parquet('{lake}').describe())\"",
        ),
    )
}

fn say(out: &mut dyn Write, text: std::fmt::Arguments<'_>) -> Result<()> {
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|e| Error::new(Kind::Query, "cannot write to the output").because(e))
}

fn broke_off(e: tokio::task::JoinError) -> Error {
    Error::new(Kind::Kafka, "a part of the demonstration broke off").because(e)
}

fn ended_early(ended: std::result::Result<Result<ingest::Progress>, tokio::task::JoinError>) -> Error {
    match ended {
        Ok(Ok(_)) => Error::new(Kind::Kafka, "the ingest ended before it was asked to"),
        Ok(Err(e)) => e,
        Err(e) => broke_off(e),
    }
}
