//! Kafka → table: the main job.
//!
//! ```text
//! source ─▶ decode ─▶ route ─▶ buffer ─ seal ─▶ encode ─▶ write ─▶ register ─▶ commit
//! ```
//!
//! A source (`kafka::source`) hands over records. `decode` makes rows of them, `route` finds each row's partition,
//! `buffer` keeps rows by partition, `packed`, until a limit of rows, bytes, age or memory seals them. `write` makes sealed
//! rows a link of their chain (`chain`): `columns`, then a Parquet file (`encode`), that is put create-only. `register` makes
//! its partition known to the catalog, and only then does the source's `frontier` move, which is what is committed to Kafka.
//!
//! The stages never call each other. `place` joins the hot ones for one record, `pipeline` is the loop that joins all. Several
//! `workers` in one process are a pipeline each, with what is `shared`. `stages` runs the hot ones alone, for benchmarks.
//! `replay` runs a pipeline over rejected records.

mod buffer;
mod census;
mod chain;
mod closer;
mod columns;
mod convert;
mod decode;
mod encode;
mod encoders;
mod flight;
mod footer;
mod frontier;
mod guard;
mod json;
mod lag;
mod number;
mod origin;
mod packed;
mod pages;
mod pipeline;
mod place;
mod progress;
mod register;
mod rejected;
pub mod replay;
mod retry;
mod route;
mod row;
mod settled;
mod shared;
mod specs;
pub mod stages;
mod start;
mod takeover;
mod target;
mod time;
pub mod trial;
mod unused;
mod workers;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::buffer::BufferLimits;
pub(crate) use self::buffer::Side;
pub(crate) use self::census::Census;
use self::chain::check_topic;
pub(crate) use self::chain::{ChainSource, Footer, parse_name};
pub(crate) use self::closer::{close, note_expiry};
pub(crate) use self::footer::{key_values, ranges, read_metadata};
pub use self::lag::RegistrationLag;
pub(crate) use self::origin::{GAPS, Gap, NOTES, Note, may_be_one_topic};
use self::origin::{Origin, admit};
use self::pipeline::{Pipeline, Plan};
use self::place::Placer;
pub(crate) use self::progress::Meter;
pub use self::progress::{Calls, Held, Progress};
pub(crate) use self::register::register;
use self::rejected::Rejecting;
pub(crate) use self::rejected::rejects_of;
use self::retry::{retried, retried_at_start};
pub(crate) use self::settled::{Settled, settled};
use self::shared::Shared;
use self::specs::Specs;
pub(crate) use self::specs::{all_kept, kept};
pub(crate) use self::start::CommitMark;
use self::takeover::Takeover;
use self::target::targets;
pub(crate) use self::target::{Target, open_targets, rejected_location};
use crate::catalog::Catalog;
use crate::error::{self, Error, Kind, Result};
use crate::kafka::source::{self, Headering};
use crate::kafka::{
    Commit, Connection, Found, FromSources, Source, SourceCommand, SourceEvent, SourceOptions, ToJob,
    TopicPartition,
};
use crate::store::Stores;
use crate::table::{Ddl, Spec, spec};

/// How long a failed job waits for its sources to leave their group.
const LEAVE: Duration = Duration::from_secs(5);

/// Arrow counts a column's bytes of text in 31 bits; a buffer may pass its limit by one record.
const FLUSH_BYTES_MAX: usize = 1 << 30;

/// More records ahead than this make nothing quicker.
const READING_BYTES_MAX: usize = 48 << 20;

/// Each holds a file in memory and a thread.
const WRITES_MAX: usize = 1024;

/// Each is a consumer with its connections, and two threads.
const WORKERS_MAX: usize = 256;

/// One ingestion job: what to read, where to write, and its limits.
#[derive(Clone, Debug)]
pub struct Job {
    pub connection: Connection,
    /// At least one.
    pub topics: Vec<String>,
    /// The consumer group; `ticklake-<db>.<table>` unless the user names another.
    pub group: String,
    /// The table as the user gave it; made in the catalog where it is not there.
    pub ddl: Ddl,
    /// Where the table is; above the DDL's own LOCATION.
    pub location: Option<String>,
    pub stores: Stores,
    pub catalog: Arc<dyn Catalog>,
    pub from: From,
    pub lost: Lost,
    /// Stop at the end that was found at the start.
    pub until_end: bool,
    /// Above 0 it begins new chains for topics made anew under an old name; those that are still the same go on.
    pub source_epoch: u32,
    /// The user says that every writer under another DDL is gone, with what it had sent: this DDL goes on after theirs, however
    /// it differs, where they ended whole.
    pub take_over: bool,
    pub limits: Limits,
}

/// Where a source starts that has no committed offset of this table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Beginning,
    Latest,
    Offset(i64),
    /// The first record at or after this time: milliseconds since the epoch.
    Time(i64),
}

/// What a source does whose next records retention has removed before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    Stop,
    /// Go on with the first that is there, at the next start. What is missing is noted in `_ticklake/gaps/`.
    Skip,
}

/// Every limit of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A buffer is sealed at so many rows,
    pub flush_rows: usize,
    /// at so many bytes as columns, which is what it takes to encode them: beside the budget of memory, once a core, and
    /// twice where they must be sorted;
    pub flush_bytes: usize,
    /// or this long after its first row.
    pub flush_age: Duration,
    /// What is read and not in a file yet: a part for the consumers' queues, the rest for all buffers and files in flight
    /// together; past it the largest are sealed, then reading pauses.
    pub memory_bytes: usize,
    /// Files being encoded and put at once.
    pub writes: usize,
    /// Consumers of the group in this process, each with a thread of its own. They share all the limits above.
    pub workers: usize,
    pub commit_interval: Duration,
    /// On SIGTERM and on a revoke: what is not durable by then is left to be read again.
    pub drain_deadline: Duration,
    /// What is known of the catalog expires after this.
    pub catalog_ttl: Duration,
    /// Of so many records one after another, at most this share may be rejected, or the job ends: 0 to 1.
    pub rejected_window: u64,
    pub rejected_max_ratio: f64,
}

impl Limits {
    fn of_buffer(&self) -> BufferLimits {
        BufferLimits { rows: self.flush_rows, bytes: self.flush_bytes, age: self.flush_age }
    }

    /// Of the budget, what is for records before they are rows.
    fn reading_bytes(&self) -> usize {
        (self.memory_bytes / 4).min(READING_BYTES_MAX)
    }

    /// The rest, for rows.
    fn rows_bytes(&self) -> usize {
        self.memory_bytes - self.reading_bytes()
    }

    /// A limit of nothing would hold the job up for ever; a buffer beyond Arrow's offsets would be cut wrong.
    fn check(&self) -> Result<()> {
        let limits = [
            ("flush rows", self.flush_rows),
            ("flush bytes", self.flush_bytes),
            ("memory", self.memory_bytes),
            ("files written at once", self.writes),
            ("workers", self.workers),
            ("rejected records' window", self.rejected_window as usize),
        ];
        if let Some((name, _)) = limits.iter().find(|(_, limit)| *limit == 0) {
            return Err(Error::usage(format!("the limit of {name} is 0: give at least 1")));
        }
        if self.writes > WRITES_MAX {
            return Err(Error::usage(format!("at most {WRITES_MAX} files are written at once"))
                .with("given", self.writes));
        }
        if self.workers > WORKERS_MAX {
            return Err(Error::usage(format!(
                "at most {WORKERS_MAX} workers are in one process: more are more processes, of one group"
            ))
            .with("given", self.workers));
        }
        if self.drain_deadline >= source::REPLY {
            return Err(Error::usage(format!(
                "the drain deadline is below {} s, after which a source waits no longer",
                source::REPLY.as_secs()
            ))
            .with("given", format_args!("{} s", self.drain_deadline.as_secs())));
        }
        if !(0.0..=1.0).contains(&self.rejected_max_ratio) {
            return Err(Error::usage("the share of records that may be rejected is from 0 to 1")
                .with("given", self.rejected_max_ratio));
        }
        if self.flush_bytes > FLUSH_BYTES_MAX {
            return Err(Error::usage(
                "a file's rows are at most 1GiB in memory: lower the limit of flush bytes",
            )
            .with("given", self.flush_bytes));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flush_rows: 1_000_000,
            flush_bytes: 64 << 20,
            flush_age: Duration::from_secs(60),
            memory_bytes: 192 << 20,
            writes: 8,
            workers: 1,
            commit_interval: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(30),
            catalog_ttl: Duration::from_secs(3600),
            rejected_window: 10_000,
            rejected_max_ratio: 1.0,
        }
    }
}

/// Runs a job until its end (`until_end`), until `stop` turns true, or until it fails. On `stop` it seals, writes,
/// registers and commits within `limits.drain_deadline`. Progress is sent about every second and at the end.
///
/// It is heavy on the CPU: drive it by `block_on` on a thread of its own, in a runtime with worker threads.
pub async fn run(
    job: Job,
    stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Progress> {
    job.limits.check()?;
    match job.limits.workers {
        1 => run_with(job, start, stop, progress).await,
        _ => workers::run(job, stop, progress).await,
    }
}

fn start(job: &Job, spec: &Spec) -> Result<(Vec<Source>, FromSources)> {
    let (to_job, from_sources) = source::channels();
    Ok((start_sources(job, spec, to_job)?, from_sources))
}

/// As [`run`] with one worker, with sources of the caller's: how a simulation reads. They are started when all that needs
/// no Kafka was found to be right.
pub async fn run_with(
    job: Job,
    start: impl FnOnce(&Job, &Spec) -> Result<(Vec<Source>, FromSources)>,
    stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Progress> {
    job.limits.check()?;
    let shared = Shared::new(&job.limits, 1)?.remove(0);
    run_sharing(job, start, shared, stop, progress).await
}

async fn run_sharing(
    job: Job,
    start: impl FnOnce(&Job, &Spec) -> Result<(Vec<Source>, FromSources)>,
    shared: Shared,
    mut stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Progress> {
    if job.group.is_empty() {
        return Err(Error::usage("the group has no name: leave it out, or name it"));
    }
    for (i, topic) in job.topics.iter().enumerate() {
        check_topic(topic)?;
        if job.topics[..i].contains(topic) {
            return Err(Error::usage("a topic is named twice: name it once").with("topic", topic));
        }
    }
    let spec = Spec::from_ddl(&job.ddl)?;
    let targets = targets(&job, &spec).await?;
    let (sources, mut from_sources) = start(&job, &spec)?;
    let ran = async {
        let Some(found) = find(&sources, &mut from_sources, &mut stop).await? else {
            return Ok(None); // stopped before it began
        };
        let pipeline = tokio::select! {
            biased;
            begun = begin(&job, &spec, shared, targets, found, &sources, &mut from_sources) => begun?,
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        };
        run_joined(pipeline, &sources, &mut from_sources, &mut stop, &progress).await.map(Some)
    };
    let ran = ran.await;
    conclude(ran, sources, from_sources, job.limits.drain_deadline, &progress).await
}

/// Has the sources join, and runs a pipeline to its end.
async fn run_joined(
    mut pipeline: Pipeline,
    sources: &[Source],
    from_sources: &mut FromSources,
    stop: &mut watch::Receiver<bool>,
    progress: &watch::Sender<Progress>,
) -> Result<Pipeline> {
    for source in sources {
        let _ = source.commands.send(SourceCommand::Join); // one that is gone says why by its last event
    }
    pipeline.run(from_sources, stop, progress).await?;
    Ok(pipeline)
}

/// Ends what ran, or was stopped before it began (`None`), or failed: its sources leave, and have committed what they can.
async fn conclude(
    ran: Result<Option<Pipeline>>,
    sources: Vec<Source>,
    from_sources: FromSources,
    drain_deadline: Duration,
    progress: &watch::Sender<Progress>,
) -> Result<Progress> {
    match ran {
        Ok(Some(mut pipeline)) => {
            finish(&mut pipeline, sources, from_sources, drain_deadline).await?;
            let done = pipeline.progress();
            let _ = progress.send(done.clone());
            if pipeline.is_cut_off() {
                let Held { buffered, writing, registering } = done.held;
                return Err(Error::new(
                    Kind::Store,
                    "the drain deadline came before everything that was read was in files and in the catalog: nothing is \
                     lost, the next run reads the rest again",
                )
                .with("offsets left", buffered + writing + registering)
                .with("of them for the store", buffered + writing)
                .with("for the catalog", registering));
            }
            Ok(done)
        }
        Ok(None) => {
            abandon(sources, from_sources).await;
            Ok(Progress::default())
        }
        Err(e) => {
            abandon(sources, from_sources).await;
            Err(e)
        }
    }
}

/// Enters the tables into the catalog and the spec into the store, and makes the pipeline.
async fn begin(
    job: &Job,
    spec: &Spec,
    shared: Shared,
    targets: [Arc<Target>; 2],
    found: Vec<Found>,
    sources: &[Source],
    from_sources: &mut FromSources,
) -> Result<Pipeline> {
    #[expect(clippy::disallowed_methods, reason = "it names this run in the footers, and decides nothing")]
    let writer = format!("{:032x}", rand::random::<u128>());
    let lake = retried_at_start("open the table's folder", || targets[0].id(&writer)).await?;
    let mut topics = HashMap::new();
    for found in &found {
        let admit = || admit(&targets[0].folder, found, job.source_epoch);
        topics.insert(found.topic.clone(), retried_at_start("note the topic", admit).await?);
    }
    let specs = Arc::new(Specs::new(&targets[0].folder, &job.ddl, spec, job.take_over)?);
    let origin = Arc::new(Origin {
        cluster: found.first().map(|found| found.cluster.clone()).unwrap_or_default(),
        topics,
        spec: specs.hash().to_owned(),
        writer,
        replay: 0,
    });
    let others = retried_at_start("read the table's DDLs", || specs.others()).await?;
    if !others.is_empty() {
        let mark = |source: &TopicPartition| origin.mark(&targets[0].name, &lake, source);
        let committed = group_offsets(&found, sources, from_sources).await?;
        let is_ours = |commit: &Commit| {
            mark(&commit.source).trusted(&commit.metadata).is_some_and(|theirs| theirs.spec == specs.hash())
        };
        // The others are past where this one has gone on after them.
        let is_past = committed.iter().any(is_ours);
        for other in &others {
            match retried_at_start("read the table's DDLs", || specs.take_over(other)).await {
                Err(e) if !is_past || e.is_retryable() => return Err(e),
                _ => {}
            }
        }
        let ends = found.iter().flat_map(|found| &found.ends).map(|(source, _)| source);
        let takeover = Takeover::of_group(ends, &committed, job.from, mark);
        takeover.check_links(&targets, &origin, &specs).await?;
    }
    let meter = Arc::new(Meter::default());
    enter(job, specs.hash(), &targets, &meter).await?;
    let rejecting = Rejecting { attempt: 0, epochs: origin.epochs() };
    let plan = Plan {
        targets,
        catalog: job.catalog.clone(),
        meter,
        shared,
        origin,
        lake,
        specs,
        from: job.from,
        lost: job.lost,
        until_end: job.until_end,
        limits: job.limits,
        ends: found.into_iter().flat_map(|found| found.ends).collect(),
        commands: sources.iter().map(|source| (source.topic.clone(), source.commands.clone())).collect(),
    };
    Ok(Pipeline::new(plan, Placer::new(spec, job.limits.of_buffer(), rejecting)))
}

/// Makes the tables in the catalog where they are not there, with the partitions that have files.
async fn enter(job: &Job, spec: &str, targets: &[Arc<Target>; 2], meter: &Meter) -> Result<()> {
    let finishing = job.until_end.then_some(spec);
    // Both are looked at before one is made.
    let mut seen = Vec::with_capacity(targets.len());
    for target in targets {
        let look = || target.look(&*job.catalog, &job.stores, finishing);
        seen.push(retried_at_start("look at the table in the catalog", look).await?);
    }
    for (target, seen) in targets.iter().zip(&seen) {
        let enter = || target.enter(&*job.catalog, &job.stores, seen);
        let entered = retried_at_start("enter the table into the catalog", enter).await?;
        if !entered.partitions.is_empty() {
            let partitions = entered.partitions.len();
            tracing::info!(table = %target.name, partitions, "registering the partitions that are there");
            register(&*job.catalog, target, &entered.partitions, meter).await?;
        }
        retried("note that the table is registered", || target.note(&entered)).await?;
    }
    Ok(())
}

fn start_sources(job: &Job, spec: &Spec, to_job: ToJob) -> Result<Vec<Source>> {
    let columns = spec.columns.iter().map(|column| &column.source);
    let partitions = spec.partitions.iter().filter_map(|partition| match &partition.of {
        spec::PartitionSource::Source(source, _) => Some(source),
        spec::PartitionSource::Column(_) => None,
    });
    let headers = columns.chain(partitions).any(|source| matches!(source, spec::Source::Header(_)));
    let options = |topic: &String| SourceOptions {
        brokers: job.connection.brokers.clone(),
        topic: topic.clone(),
        group: job.group.clone(),
        time: if let From::Time(time) = job.from { Some(time) } else { None },
        headers: if headers { Headering::Copy } else { Headering::Leave },
        memory_bytes: job.limits.reading_bytes() / job.topics.len() / job.limits.workers,
    };
    job.topics.iter().map(|topic| Source::start(&job.connection, options(topic), to_job.clone())).collect()
}

/// Waits until every topic was found; `None` where the job was stopped first.
async fn find(
    sources: &[Source],
    from: &mut FromSources,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Vec<Found>>> {
    let mut topics = Vec::with_capacity(sources.len());
    for _ in sources {
        let event = tokio::select! {
            biased;
            event = from.events.recv() => event,
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        };
        match event {
            Some(SourceEvent::Found(found)) => topics.push(found),
            Some(SourceEvent::Failed(e)) => return Err(e),
            other => return Err(Error::new(Kind::Kafka, format!("a source began with {other:?}"))),
        }
    }
    Ok(Some(topics))
}

/// What the group has committed of all that was found, before it is joined.
async fn group_offsets(found: &[Found], sources: &[Source], from: &mut FromSources) -> Result<Vec<Commit>> {
    for source in sources {
        let ends = found.iter().filter(|found| found.topic == source.topic).flat_map(|found| &found.ends);
        let all = ends.map(|(source, _)| source.clone()).collect();
        let _ = source.commands.send(SourceCommand::GroupOffsets(all)); // one that is gone says why by its last event
    }
    let mut committed = Vec::new();
    for _ in sources {
        match from.events.recv().await {
            Some(SourceEvent::GroupOffsets { offsets, .. }) => committed.extend(offsets?),
            Some(SourceEvent::Failed(e)) => return Err(e),
            other => return Err(Error::new(Kind::Kafka, format!("a source answered with {other:?}"))),
        }
    }
    Ok(committed)
}

/// Has the sources leave the group at once, so that its other members need not wait for a session to time out.
async fn abandon(sources: Vec<Source>, mut from: FromSources) {
    for source in &sources {
        let _ = source.commands.send(SourceCommand::Stop(Vec::new())); // one that is gone has left
    }
    let gone = async { while from.events.recv().await.is_some() {} };
    if tokio::time::timeout(LEAVE, gone).await.is_err() {
        tracing::warn!("a source did not leave its group in time");
    }
}

/// Has the last offsets committed, and the sources leave the group.
async fn finish(
    pipeline: &mut Pipeline,
    sources: Vec<Source>,
    mut from: FromSources,
    within: Duration,
) -> Result<()> {
    let mut pending = HashMap::new();
    for source in &sources {
        let commits = pipeline.last_commits(&source.topic);
        pending.extend(commits.iter().map(|commit| (commit.source.clone(), commit.offset)));
        let _ = source.commands.send(SourceCommand::Stop(commits)); // one that is gone says why by its last event
    }
    let mut failed = None;
    let deadline = tokio::time::Instant::now() + within;
    // The channel ends when every source has. Deliveries are left where they are: a source whose channel of
    // deliveries is closed takes the job for gone, and commits nothing.
    loop {
        let outcome = match tokio::time::timeout_at(deadline, from.events.recv()).await {
            Ok(None) => break,
            Ok(Some(SourceEvent::Committed(Ok(commits)))) => {
                // One that was asked for before may be answered only now.
                let is_last = |source: &TopicPartition, last: i64| {
                    commits.iter().any(|commit| commit.source == *source && commit.offset >= last)
                };
                pending.retain(|source, last| !is_last(source, *last));
                pipeline.on_committed(Ok(commits))
            }
            Ok(Some(SourceEvent::Committed(Err(e)) | SourceEvent::Failed(e))) => Err(e),
            Ok(Some(_)) => Ok(()), // a rebalance at the very end: its reply is dropped with it
            Err(e) => {
                failed = failed.or(Some(Error::new(Kind::Kafka, "the brokers do not answer").because(e)));
                break;
            }
        };
        failed = failed.or(outcome.err());
    }
    if let Some(e) = failed.take_if(|_| pending.is_empty()) {
        tracing::warn!(
            error = error::chain(&e),
            "all is committed, but a source did not leave its group well"
        );
    }
    match failed {
        None => Ok(()),
        Some(e) => Err(Error::new(
            Kind::Kafka,
            "everything is written and registered, but the last offsets were not committed: the next run reads those \
             records again and finds their rows there",
        )
        .because(e)),
    }
}
