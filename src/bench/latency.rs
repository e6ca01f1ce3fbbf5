//! Measures how long it takes from a record's making to an answer that has its row.
//!
//! Ticks are sent in time while a job reads them, and one partition after another is asked for the rows that it did not
//! have at the last look. A row's time is from the producer's timestamp in its record to the answer: what the producer, the
//! broker, the job, the catalog and the query take is all in it, and up to a round of the questions.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use futures::TryStreamExt;
use serde::Serialize;
use tokio::process::Command;
use tokio::sync::watch as channel;
use tokio::time::{Instant, sleep};

use super::child::{Program, start, watch};
use super::report::{Feed, Run};
use super::sweep::{self, Setting};
use super::{Feeding, Pace, Plan, cannot, producer};
use crate::catalog::{Catalog, LocalCatalog};
use crate::error::{Error, Kind, Result};
use crate::kafka::Connection;
use crate::produce;
use crate::query::{Engine, Limits, LocalEngine};
use crate::table::ddl::Property;
use crate::table::{Column, ColumnType, Ddl, TableName};

/// So many partitions are asked in turn.
const SAMPLED: usize = 4;
/// Between two questions.
const BETWEEN: Duration = Duration::from_millis(10);
/// How long a job may take, beyond the age of its buffers, to have new rows queryable; and to have the last ones.
const PATIENCE: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(5);

/// From produced to queryable.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Latency {
    pub p50_seconds: f64,
    pub p99_seconds: f64,
    pub max_seconds: f64,
    pub rows: usize,
    pub partitions: usize,
    pub queries: usize,
}

/// Runs the paced feed once with each setting.
pub(super) async fn run(
    plan: &Plan,
    pace: Pace,
    feeding: &mut Feeding,
    program: &mut Program,
    say: &mut dyn FnMut(&str),
) -> Result<(Feed, Vec<Run>)> {
    let mut runs = Vec::new();
    let ddl = table()?;
    program.write_table(&ddl)?;
    for setting in sweep::combinations(&plan.sweep) {
        for _ in 0..plan.repeat {
            say(format!("measuring: ticks as they come {}", sweep::name(&setting)).trim_end());
            program.topic = feeding.new_topic(plan).await?;
            runs.push(run_once(plan, pace, &feeding.connection, program, &setting, &ddl.name).await?);
        }
    }
    let paced = format!("{} ticks a second for {} s", pace.rate, pace.duration.as_secs());
    let feed = Feed { embedded: feeding.embedded.is_some(), paced: Some(paced), ..Feed::default() };
    Ok((feed, runs))
}

async fn run_once(
    plan: &Plan,
    pace: Pace,
    connection: &Connection,
    program: &mut Program,
    setting: &Setting,
    table: &TableName,
) -> Result<Run> {
    let place = program.next_place();
    let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(&place.catalog)?);
    let engine = LocalEngine::new(catalog.clone(), plan.stores.clone(), &Limits::default())?;
    let job = start(program.ingest(setting, &place))?;
    let pid = job.id();
    let job = tokio::spawn(watch(job));
    let count = (pace.rate * pace.duration.as_secs_f64()) as u64;
    let (_stop, stopped) = channel::channel(false);
    let (progress, _) = channel::channel(produce::Progress::default());
    let feed = producer(plan, connection, &program.topic, Some(pace.rate), Some(count));
    let feed = produce::run(feed, stopped, progress);
    let age = sweep::duration(setting, "ingest.flush_age")?.unwrap_or(plan.flush_age);
    let is_sent = Cell::new(false);
    let looked = {
        let look = look(&*catalog, &engine, table, age, || is_sent.get(), || job.is_finished());
        tokio::pin!(feed, look);
        loop {
            tokio::select! {
                looked = &mut look => break looked,
                sent = &mut feed, if !is_sent.get() => {
                    is_sent.set(true);
                    if let Err(e) = sent {
                        break Err(e);
                    }
                }
            }
        }
    };
    // It ends as a user ends it: what it has read is written, and it says what it took.
    if let Some(pid) = pid.filter(|_| !job.is_finished()) {
        let _ = Command::new("kill").arg(pid.to_string()).status().await;
    }
    let (summary, memory) = job.await.map_err(cannot("wait for a run"))??;
    program.clear(&place);
    let latency = Some(latency(looked?)?);
    Ok(Run { memory, latency, setting: sweep::name(setting), ..Run::of_job(&summary) })
}

/// The table of the paced feed: the ticks', and when each was sent.
fn table() -> Result<Ddl> {
    let mut ddl = Ddl::parse(include_str!("../../schemas/ticks.sql"))?;
    ddl.columns.push(Column {
        name: "sent".to_owned(),
        column_type: ColumnType::Timestamp,
        comment: Some("when the producer made the record".to_owned()),
    });
    let (key, value) = ("ticklake.source.sent".to_owned(), "@timestamp".to_owned());
    ddl.properties.push(Property { key, value, line: 0 });
    Ok(ddl)
}

/// What was found.
#[derive(Default)]
struct Looked {
    /// Of each row.
    seconds: Vec<f64>,
    partitions: usize,
    queries: usize,
}

/// Looks at partitions in turn until the feed has ended and what it sent can be seen: its last rows wait for the age of
/// their buffers.
async fn look(
    catalog: &dyn Catalog,
    engine: &LocalEngine,
    table: &TableName,
    age: Duration,
    is_sent: impl Fn() -> bool,
    is_over: impl Fn() -> bool,
) -> Result<Looked> {
    let mut looked = Looked::default();
    // The last `seq` that was seen of each partition.
    let mut seen: HashMap<Vec<String>, i64> = HashMap::new();
    let mut began = Instant::now();
    let mut sent_at = None;
    loop {
        if is_over() {
            return Err(Error::new(
                Kind::System,
                "the job ended before it was asked to: what it said is above",
            ));
        }
        if sent_at.is_none() && is_sent() {
            sent_at = Some(Instant::now());
        }
        if seen.len() < SAMPLED {
            for partition in catalog.partitions(table, &[]).await.unwrap_or_default() {
                if seen.len() < SAMPLED {
                    seen.entry(partition.values).or_insert(i64::MIN);
                }
            }
        }
        let mut new = 0;
        for (values, last) in &mut seen {
            let rows = question(engine, table, values, *last).await?;
            let now = now_millis();
            looked.queries += 1;
            new += rows.len();
            for (seq, sent) in rows {
                *last = (*last).max(seq);
                looked.seconds.push((now - sent) as f64 / 1000.0);
            }
            sleep(BETWEEN).await;
        }
        looked.partitions = seen.len();
        if new > 0 {
            began = Instant::now();
        } else if sent_at.is_some_and(|at: Instant| at.elapsed() > age + SETTLE) && !looked.seconds.is_empty()
        {
            return Ok(looked);
        }
        if began.elapsed() > age + PATIENCE {
            return Err(Error::new(Kind::System, "no new rows could be queried for a long time")
                .with("waited", format_args!("{} s", PATIENCE.as_secs())));
        }
    }
}

/// The rows of one partition beyond the last that was seen: their `seq`, and when they were sent.
async fn question(
    engine: &LocalEngine,
    table: &TableName,
    values: &[String],
    last: i64,
) -> Result<Vec<(i64, i64)>> {
    let [date, symbol] = values else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT seq, sent FROM {table} WHERE date = '{date}' AND symbol = '{symbol}' AND seq > {last}",
        symbol = symbol.replace('\'', "''")
    );
    let batches: Vec<_> = engine.query(&sql).await?.batches.try_collect().await?;
    let mut rows = Vec::new();
    for batch in batches {
        let seq = batch.column(0).as_primitive::<Int64Type>();
        let sent = batch.column(1).as_primitive::<TimestampMillisecondType>();
        rows.extend(seq.values().iter().copied().zip(sent.values().iter().copied()));
    }
    Ok(rows)
}

/// The wall clock, as the producer's timestamps have it.
#[expect(
    clippy::disallowed_methods,
    reason = "it is compared with the producer's, which is the same machine's"
)]
fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn latency(mut looked: Looked) -> Result<Latency> {
    looked.seconds.sort_by(f64::total_cmp);
    let at = |share: f64| looked.seconds[((looked.seconds.len() - 1) as f64 * share) as usize];
    if looked.seconds.is_empty() {
        return Err(Error::new(Kind::System, "no row was seen"));
    }
    Ok(Latency {
        p50_seconds: at(0.5),
        p99_seconds: at(0.99),
        max_seconds: at(1.0),
        rows: looked.seconds.len(),
        partitions: looked.partitions,
        queries: looked.queries,
    })
}
