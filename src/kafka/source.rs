//! Turns a topic into events: one consumer of a group on its own OS thread.
//!
//! ```text
//! poll thread ── deliveries ──▶ bounded channel ─┐
//!             ── events     ──▶ bounded channel ─┴▶ the job ── commands ──▶ poll thread
//! ```
//!
//! A rebalance is an event with a reply, and the thread waits for the reply: when the first record of an assignment
//! arrives, the job knows the assignment. While records cannot be handed over no more are taken from librdkafka, whose
//! queue fills up, and it fetches no more; the thread goes on polling, so that it is never expelled for being slow.
//!
//! One topic a consumer: partitions are known by their numbers alone. It does not decide where to start, nor what to
//! commit: the job says both.

mod judge;
mod poll;
mod rebalance;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use tokio::sync::mpsc;

use self::poll::Poller;
use self::rebalance::{Context, State};
use super::asking::READING;
use super::client::{Connection, failed};
use super::hearing::Hearing;
use super::native::Intake;
use super::records::{RecordSet, TopicPartition};
use crate::error::{Error, Kind, Result};

/// Sets between the thread and the job: of 1 MiB at most, 8 MiB.
const SETS_AHEAD: usize = 8;
/// How long a full channel is waited for before the job counts as behind, and what was fetched last as old.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the job may take to answer a rebalance; below `max.poll.interval.ms` (300 s by default).
pub const REPLY: Duration = Duration::from_secs(120);
/// How long a source that has nothing waits for records before it looks at all else again.
const IDLE: Duration = Duration::from_millis(20);
/// Questions between two commits.
const SOON: Duration = Duration::from_secs(5);
/// How long brokers that did not answer which topic it is are not asked that again.
const UNANSWERED: Duration = Duration::from_secs(10);
/// All sets that are open, of all partitions.
const OPEN_BYTES: usize = 8 << 20;

/// What to read.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// As the user gave them, for messages.
    pub brokers: String,
    pub topic: String,
    pub group: String,
    /// Look up the offset of this time (milliseconds since the epoch) at each assignment.
    pub time: Option<i64>,
    /// The table has `@headers` columns.
    pub headers: Headering,
    /// For records that were fetched, and those that are on their way to the job.
    pub memory_bytes: usize,
}

/// Whether headers are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headering {
    Copy,
    Leave,
}

/// Records, and where they end.
#[derive(Debug)]
pub enum Delivery {
    Records(RecordSet),
    /// Every record below an offset has been handed over, and the broker has no more just now. Markers of transactions
    /// are offsets without a record, so the last record may be well below.
    Ended {
        source: TopicPartition,
        assignment: u64,
        offset: i64,
    },
}

/// What happens to a source, beside records.
#[derive(Debug)]
pub enum SourceEvent {
    /// First of all; nothing follows before `SourceCommand::Join`.
    Found(Found),
    /// Sources are ours from now on. The reply says from which offset each is read; records come after it.
    Assigned { assignment: u64, offers: Vec<Offer>, reply: Reply<Vec<(TopicPartition, i64)>> },
    /// Sources are no longer ours once the reply is given; it holds the offsets to commit before that. `lost`: they
    /// are another's already, and nothing can be committed.
    Revoked { sources: Vec<TopicPartition>, lost: bool, reply: Reply<Vec<Commit>> },
    /// The answer to `SourceCommand::Watermark`.
    Watermark { source: TopicPartition, high: i64 },
    /// Where assigned sources end, told with each `SourceCommand::Commit`; those for which it is known.
    Watermarks(Vec<(TopicPartition, i64)>),
    /// The answer to `SourceCommand::GroupOffsets`: committed offsets and their metadata.
    GroupOffsets { topic: String, offsets: Result<Vec<Commit>> },
    /// A commit went through, or did not.
    Committed(Result<Vec<Commit>>),
    /// The source cannot go on.
    Failed(Error),
}

/// A topic before its group is joined.
#[derive(Clone, Debug)]
pub struct Found {
    pub topic: String,
    /// The id of the cluster, and that of the topic; none from a broker that gives topics no ids (before Kafka 2.8).
    pub cluster: String,
    pub topic_id: Option<String>,
    /// The partitions that hold records, with their high watermarks.
    pub ends: Vec<(TopicPartition, i64)>,
}

/// A newly assigned source, as the cluster knows it.
#[derive(Clone, Debug)]
pub struct Offer {
    pub source: TopicPartition,
    /// The group's committed offset and its metadata.
    pub committed: Option<(i64, String)>,
    pub low_watermark: i64,
    pub high_watermark: i64,
    /// Of `SourceOptions::time`: the first offset at or after it, the high watermark where there is none.
    pub at_time: Option<i64>,
}

/// An offset to commit: the first one that is not yet durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub source: TopicPartition,
    pub offset: i64,
    pub metadata: String,
}

/// Answers an event, once; dropping it unanswered ends the source.
#[derive(Debug)]
pub struct Reply<T>(std_mpsc::SyncSender<T>);

impl<T> Reply<T> {
    pub fn new() -> (Self, std_mpsc::Receiver<T>) {
        let (sender, receiver) = std_mpsc::sync_channel(1);
        (Self(sender), receiver)
    }

    /// Never blocks: the channel holds one answer.
    pub fn send(self, answer: T) {
        let _ = self.0.try_send(answer); // a source that is gone needs no answer
    }
}

/// What the job asks of a source.
#[derive(Debug)]
pub enum SourceCommand {
    /// The answer to `SourceEvent::Found`: join the group.
    Join,
    /// Make sure that the topic is still the one that was found, and commit what there is to commit.
    Commit(Vec<Commit>),
    /// Ask the broker where a source ends now.
    Watermark(TopicPartition),
    /// Ask what the group has committed, also for sources that are another member's.
    GroupOffsets(Vec<TopicPartition>),
    /// Commit these, then leave the group and end.
    Stop(Vec<Commit>),
}

/// The sources' ends of the two channels to a job: all its topics share them.
#[derive(Clone, Debug)]
pub struct ToJob {
    pub deliveries: mpsc::Sender<Delivery>,
    pub events: mpsc::Sender<SourceEvent>,
}

/// The job's ends.
#[derive(Debug)]
pub struct FromSources {
    pub deliveries: mpsc::Receiver<Delivery>,
    pub events: mpsc::Receiver<SourceEvent>,
}

/// The two channels between sources and a job.
pub fn channels() -> (ToJob, FromSources) {
    let (deliveries_sender, deliveries) = mpsc::channel(SETS_AHEAD);
    let (events_sender, events) = mpsc::channel(64);
    (ToJob { deliveries: deliveries_sender, events: events_sender }, FromSources { deliveries, events })
}

/// A topic that is being read. A test makes one of its own, and is at the other ends of the channels.
#[derive(Debug)]
pub struct Source {
    pub topic: String,
    pub commands: std_mpsc::Sender<SourceCommand>,
}

impl Source {
    /// Starts the thread; it ends after `SourceCommand::Stop`, after `SourceEvent::Failed`, or
    /// when the job is gone.
    pub fn start(connection: &Connection, options: SourceOptions, to: ToJob) -> Result<Self> {
        let (commands, commands_receiver) = std_mpsc::channel();
        let context = Context {
            events: to.events.clone(),
            hearing: Hearing::of(connection),
            time: options.time,
            state: Mutex::new(State::default()),
            changed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        };
        let consumer = Arc::new(consumer(connection, &options, context)?);
        let topic = options.topic.clone();
        let run = move || {
            let poller = Poller {
                intake: Intake::new(&consumer),
                consumer,
                options,
                to,
                commands: commands_receiver,
                assigned: hashbrown::HashMap::new(),
                unheard: HashSet::new(),
                behind: false,
                topic_id: None,
                unanswered: Cell::new(None),
                open_bytes: 0,
            };
            poller.run();
        };
        std::thread::Builder::new()
            .name("kafka-source".into())
            .spawn(run)
            .map_err(|e| Error::new(Kind::Kafka, "cannot start the source's thread").because(e))?;
        Ok(Self { topic, commands })
    }
}

/// librdkafka's limit on its queue counts keys and values alone. A tick's message takes some five times as much, and is in
/// its queue, in a set or on its way to the job.
const MEMORY_A_QUEUED_BYTE: usize = 16;
const QUEUE_KIB_MIN: usize = 256;

fn consumer(
    connection: &Connection,
    options: &SourceOptions,
    context: Context,
) -> Result<BaseConsumer<Context>> {
    let group = options.group.as_str();
    let queue_kib = (options.memory_bytes / MEMORY_A_QUEUED_BYTE / 1024).max(QUEUE_KIB_MIN).to_string();
    let mut defaults = vec![
        // librdkafka's defaults are a tailer's (FACTS 5.7); these are a sink's.
        ("check.crcs", "true"),
        ("fetch.queue.backoff.ms", "20"),
        ("queued.max.messages.kbytes", queue_kib.as_str()),
        ("fetch.message.max.bytes", "2097152"),
        ("fetch.wait.max.ms", "100"),
    ];
    // With KIP-848 the broker assigns, and a strategy must not be set (FACTS 5.12).
    if connection.properties.get("group.protocol").is_none_or(|p| p != "consumer") {
        defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
    }
    let fixed = [&[("group.id", group)], &READING[..]].concat();
    let config = connection.config(&defaults, &fixed)?;
    BaseConsumer::from_config_and_context(&config, context)
        .map_err(|e| failed("cannot make a consumer", e).with("group", group))
}
