//! Sends JSON ticks to a topic: source → feed → pace → producer.
//!
//! A thread reads the source (`csv`, `ndjson`, `simulate`) and hands batches of records over a short channel
//! (`feed`); the task here sends each when its time has come (`pace`) and the producer has room. So memory is bounded
//! by two batches and the producer's queue, whatever the source and however slow the broker.
//!
//! Does not own delivery, which is [`kafka::Producer`](crate::kafka::Producer)'s, or what is shown of the progress.

mod csv;
mod feed;
mod json;
mod ndjson;
mod pace;
pub mod simulate;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::error::{Error, Kind, Result};
use crate::kafka::{Admin, Connection, Producer};
use feed::Feed;
use pace::Pace;
pub use simulate::Simulation;

/// How often the progress is sent.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// The values of a source's first records, as they would be sent; at most `count`.
pub fn first_records(source: &Source, count: usize) -> Result<Vec<Vec<u8>>> {
    let mut opened = feed::open_blocking(source, None)?;
    let mut values: Vec<Vec<u8>> = Vec::new();
    while values.len() < count {
        let mut batch = feed::Batch::new(count - values.len());
        opened.fill(&mut batch)?;
        if batch.is_empty() {
            break;
        }
        values.extend(batch.iter().map(|(_, value)| value.to_vec()));
    }
    Ok(values)
}

/// One run of a producer: what to send, where to, and how fast.
#[derive(Clone, Debug)]
pub struct Job {
    pub connection: Connection,
    pub topic: String,
    pub missing_topic: MissingTopic,
    pub source: Source,
    /// The field whose value is the record's key: a column of the CSV; a top-level field of the JSON. A record in which
    /// it is absent, null or empty (of a JSON record also: an object or an array) has no key. Simulated ticks are always
    /// keyed by `symbol`.
    pub key: Option<String>,
    /// Records a second; `None` is as fast as it goes.
    pub rate: Option<f64>,
    /// Stop after so many records, over all repetitions.
    pub count: Option<u64>,
    pub repeat: Repeat,
    /// When stopped: what is not confirmed by then is given up, and counted as failed.
    pub drain_deadline: Duration,
}

/// What records are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A CSV file with a header. Each line becomes an object with the header's fields in their order: what is a JSON
    /// number by its own text stays that text, an empty field is null, all else is a string.
    Csv(PathBuf),
    /// Lines, sent as they are but for the line ending; blank ones are left out.
    Ndjson(Input),
    /// Ticks without end.
    Simulate(Simulation),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    File(PathBuf),
    Stdin,
}

/// What to do at the end of a file. A simulated feed has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    Once,
    Forever,
}

/// What to do where the topic is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingTopic {
    Refuse,
    /// A replication below 0 is the broker's default.
    Create {
        partitions: i32,
        replication: i32,
    },
}

/// What a run has done so far; it only grows. `sent - delivered - failed` are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub sent: u64,
    /// Confirmed by all replicas in sync.
    pub delivered: u64,
    pub failed: u64,
    /// Of the values sent, without keys and before compression.
    pub bytes: u64,
}

/// What a run has done. After the source's end all that was sent is delivered; after a stop some may have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    pub sent: u64,
    pub delivered: u64,
    pub failed: u64,
    pub bytes: u64,
    /// From the first record to the last confirmation.
    pub seconds: f64,
}

/// Runs until the source's end, until `count`, or until `stop` turns true, and then until every record sent has its
/// fate: at most `message.timeout.ms` and some seconds, on a stop at most `drain_deadline`.
///
/// A record that is not delivered, like a line that is broken, ends the run with an error that says how many were
/// delivered. Progress is sent several times a second and at the end.
pub async fn run(
    job: Job,
    mut stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Summary> {
    let mut pace = Pace::new(job.rate)?;
    let records = feed::open(&job.source, job.key.as_deref()).await?;
    find_topic(&job).await?;
    let producer = Producer::new(&job.connection, &job.topic)?;
    let mut feed = Feed::start(records, job.source, job.key, job.repeat, job.count);

    let started = Instant::now();
    let mut ticker = interval(PROGRESS_INTERVAL);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let ended = {
        let pump = pump(&mut feed, &mut pace, &producer);
        tokio::pin!(pump);
        loop {
            tokio::select! {
                ended = &mut pump => break Some(ended),
                () = stopped(&mut stop) => break None,
                _ = ticker.tick() => {
                    progress.send_replace(progress_of(&producer));
                }
            }
        }
    };

    let limit = if ended.is_some() { producer.flush_limit() } else { job.drain_deadline };
    let flushed = producer.flush(limit).await;
    let Progress { sent, delivered, failed, bytes } = progress_of(&producer);
    progress.send_replace(Progress { sent, delivered, failed, bytes });
    tracing::debug!(sent, delivered, failed, "the producer has ended");
    match ended {
        // The flush's error has the last counts.
        Some(_) if failed > 0 => flushed?,
        Some(Err(e)) => return Err(e.with("records delivered before it", delivered)),
        Some(Ok(())) | None => {}
    }
    Ok(Summary { sent, delivered, failed, bytes, seconds: started.elapsed().as_secs_f64() })
}

async fn find_topic(job: &Job) -> Result<()> {
    let admin = Admin::connect(&job.connection).await?;
    if admin.topic_partitions(&job.topic).await?.is_some() {
        return Ok(());
    }
    match job.missing_topic {
        MissingTopic::Refuse => {
            let told =
                "the topic is not there: make it, or let the producer make it (--create-topic PARTITIONS)";
            Err(Error::new(Kind::Kafka, told)
                .with("topic", &job.topic)
                .with("brokers", &job.connection.brokers))
        }
        MissingTopic::Create { partitions, replication } => {
            admin.create_topic(&job.topic, partitions, replication).await?;
            tracing::info!(topic = job.topic, partitions, "made the topic");
            Ok(())
        }
    }
}

/// Sends every record of the feed when its time has come.
async fn pump(feed: &mut Feed, pace: &mut Pace, producer: &Producer) -> Result<()> {
    let start = Instant::now();
    while let Some(batch) = feed.next().await? {
        let mut records = batch.iter();
        while records.len() > 0 {
            if let Some(due) = pace.due() {
                sleep_until(start + due).await;
            }
            let released = pace.release(start.elapsed(), records.len());
            for (key, value) in records.by_ref().take(released) {
                producer.send(key, value).await?;
            }
        }
        // At full speed nothing above waits.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Waits until the run is told to stop; forever where nobody can tell it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn progress_of(producer: &Producer) -> Progress {
    let counts = producer.counts();
    Progress {
        sent: counts.sent,
        delivered: counts.delivered,
        failed: counts.failed,
        bytes: counts.sent_bytes,
    }
}
