//! Turns a topic into events: one consumer of a group on its own OS thread.
//!
//! ```text
//! poll thread ── deliveries ──▶ bounded channel ─┐
//!             ── events     ──▶ bounded channel ─┴▶ the job ── commands ──▶ poll thread
//! ```
//!
//! A rebalance is an event with a reply, and the thread waits for the reply: when the first record of an assignment
//! arrives, the job knows the assignment. Records that cannot be handed over pause the consumer, which goes on
//! polling, so that it is never expelled for being slow.
//!
//! One topic a consumer, since rdkafka's end-of-partition names the partition but not the topic. It does not decide
//! where to start, nor what to commit: the job says both.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::client::{Connection, failed};
use super::hearing::Hearing;
use super::records::{RecordSet, TopicPartition};
use crate::error::{Error, Kind, Result};

/// Records are handed over at so many, at so many bytes, or when the broker has no more at hand.
const SET_RECORDS: usize = 8192;
const SET_BYTES: usize = 1 << 20;
/// Sets between the thread and the job: with `SET_BYTES`, 8 MiB.
const SETS_AHEAD: usize = 8;
/// How long a full channel is waited for before the consumer is paused: a pause throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_millis(100);
/// Answers of the broker (committed offsets, watermarks, a last commit).
const ANSWER: Duration = Duration::from_secs(30);
/// How long the job may take to answer a rebalance; below `max.poll.interval.ms` (300 s by default).
const REPLY: Duration = Duration::from_secs(120);
/// How long the first answer of a broker is waited for.
const LOOK: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

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
    /// Every record below the high watermark of the assignment's offer has been handed over.
    Ended {
        source: TopicPartition,
        assignment: u64,
    },
}

/// What happens to a source, beside records.
#[derive(Debug)]
pub enum SourceEvent {
    /// First of all: the cluster, and the topic's partitions that hold records, with their high watermarks.
    Found { topic: String, cluster: String, ends: Vec<(TopicPartition, i64)> },
    /// Sources are ours from now on. The reply says from which offset each is read; records come after it.
    Assigned { topic: String, assignment: u64, offers: Vec<Offer>, reply: Reply<Vec<(TopicPartition, i64)>> },
    /// Sources are no longer ours once the reply is given; it holds the offsets to commit before that. `lost`: they
    /// are another's already, and nothing can be committed.
    Revoked { sources: Vec<TopicPartition>, lost: bool, reply: Reply<Vec<Commit>> },
    /// The answer to `SourceCommand::Watermark`.
    Watermark { source: TopicPartition, high: i64 },
    /// The answer to `SourceCommand::GroupOffsets`: committed offsets and their metadata.
    GroupOffsets(Vec<Commit>),
    /// A commit went through, or did not.
    Committed(Result<Vec<Commit>>),
    /// The source cannot go on; no event follows.
    Failed(Error),
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

/// A topic that is being read. A test makes one with a thread of its own.
#[derive(Debug)]
pub struct Source {
    pub topic: String,
    pub commands: std_mpsc::Sender<SourceCommand>,
    pub thread: JoinHandle<()>,
}

impl Source {
    /// Joins the group and starts the thread; it ends after `SourceCommand::Stop`, after `SourceEvent::Failed`, or
    /// when the job is gone.
    pub fn start(connection: &Connection, options: SourceOptions, to: ToJob) -> Result<Self> {
        let (commands, commands_receiver) = std_mpsc::channel();
        let context = Context {
            events: to.events.clone(),
            hearing: Hearing::default(),
            topic: options.topic.clone(),
            time: options.time,
            state: Mutex::new(State::default()),
            changed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        };
        let consumer = consumer(connection, &options.group, context)?;
        let topic = options.topic.clone();
        let poller = Poller {
            consumer,
            options,
            to,
            commands: commands_receiver,
            assigned: HashMap::new(),
            paused: false,
        };
        let thread = std::thread::Builder::new()
            .name("kafka-source".into())
            .spawn(move || poller.run())
            .map_err(|e| Error::new(Kind::Kafka, "cannot start the source's thread").because(e))?;
        Ok(Self { topic, commands, thread })
    }
}

fn consumer(connection: &Connection, group: &str, context: Context) -> Result<BaseConsumer<Context>> {
    let mut defaults = vec![
        // librdkafka's defaults are a tailer's (FACTS 5.7); these are a sink's.
        ("check.crcs", "true"),
        ("fetch.queue.backoff.ms", "20"),
        ("queued.max.messages.kbytes", "32768"),
        ("fetch.message.max.bytes", "2097152"),
        ("fetch.wait.max.ms", "100"),
        ("isolation.level", "read_committed"),
    ];
    // With KIP-848 the broker assigns, and a strategy must not be set (FACTS 5.12).
    if connection.properties.get("group.protocol").is_none_or(|p| p != "consumer") {
        defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
    }
    let fixed = [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        // An offset that is out of range is said, never skipped over.
        ("auto.offset.reset", "error"),
    ];
    let config = connection.config(&defaults, &fixed)?;
    BaseConsumer::from_config_and_context(&config, context)
        .map_err(|e| failed("cannot make a consumer", e).with("group", group))
}

/// Serves the rebalances. librdkafka calls it on the polling thread, from within `poll`.
struct Context {
    events: mpsc::Sender<SourceEvent>,
    hearing: Hearing,
    topic: String,
    time: Option<i64>,
    /// Only ever locked by the polling thread.
    state: Mutex<State>,
    changed: AtomicBool,
    closing: AtomicBool,
}

#[derive(Default)]
struct State {
    assignments: u64,
    assigned: HashMap<i32, Assigned>,
}

#[derive(Clone)]
struct Assigned {
    source: TopicPartition,
    assignment: u64,
    /// The next offset that is expected.
    next: i64,
    ended: bool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.hearing.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is an answer, not an error: `poll` gives it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.hearing.error(error, reason);
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, tpl: &mut TopicPartitionList) {
        let result = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, tpl),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, tpl),
            _ => Err(failed("a rebalance failed", KafkaError::Rebalance(err.into()))),
        };
        self.changed.store(true, Ordering::Relaxed);
        if let Err(e) = result {
            let _ = self.events.blocking_send(SourceEvent::Failed(e));
        }
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, offsets: &TopicPartitionList) {
        let outcome =
            result.map_err(|e| failed("a commit of offsets failed", e)).and_then(|()| commits(offsets));
        let _ = self.events.blocking_send(SourceEvent::Committed(outcome));
    }
}

impl Context {
    fn assign(&self, consumer: &BaseConsumer<Self>, tpl: &mut TopicPartitionList) -> Result<()> {
        let starts = self.starts(consumer, tpl)?; // also where nothing was assigned: the job has joined
        for (source, offset) in &starts {
            tpl.set_partition_offset(&source.topic, source.partition, Offset::Offset(*offset))
                .map_err(|e| failed("cannot set a start offset", e).with("source", source))?;
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(tpl),
            _ => consumer.assign(tpl),
        };
        assigned.map_err(|e| failed("cannot take an assignment", e))?;
        let mut state = self.state.lock().expect("only this thread locks it");
        let assignment = state.assignments;
        for (source, next) in starts {
            info!(%source, offset = next, "assigned");
            state.assigned.insert(source.partition, Assigned { source, assignment, next, ended: false });
        }
        Ok(())
    }

    /// Offers the new sources to the job, and takes its answer.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        tpl: &TopicPartitionList,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        let assignment = {
            let mut state = self.state.lock().expect("only this thread locks it");
            state.assignments += 1;
            state.assignments
        };
        let offers = self.offers(consumer, tpl)?;
        let (reply, answer) = Reply::new();
        self.events
            .blocking_send(SourceEvent::Assigned { topic: self.topic.clone(), assignment, offers, reply })
            .map_err(|_| Error::new(Kind::Kafka, "the job is gone"))?;
        answer
            .recv_timeout(REPLY)
            .map_err(|e| Error::new(Kind::Kafka, "the job took no assignment").because(e))
    }

    fn offers(&self, consumer: &BaseConsumer<Self>, tpl: &TopicPartitionList) -> Result<Vec<Offer>> {
        if tpl.count() == 0 {
            return Ok(Vec::new());
        }
        let committed = consumer
            .committed_offsets(tpl.clone(), ANSWER)
            .map_err(|e| failed("cannot read the group's committed offsets", e))?;
        let at_time = match self.time {
            None => None,
            Some(time) => {
                let mut times = tpl.clone();
                times
                    .set_all_offsets(Offset::Offset(time))
                    .map_err(|e| failed("cannot ask for a time", e))?;
                let found = consumer
                    .offsets_for_times(times, ANSWER)
                    .map_err(|e| failed("cannot look up the offsets of a time", e))?;
                Some(found)
            }
        };
        let mut offers = Vec::with_capacity(tpl.count());
        for element in committed.elements() {
            let source = TopicPartition::new(element.topic(), element.partition());
            element
                .error()
                .map_err(|e| failed("cannot read a committed offset", e).with("source", &source))?;
            let (low, high) = consumer
                .fetch_watermarks(&source.topic, source.partition, ANSWER)
                .map_err(|e| failed("cannot read a partition's watermarks", e).with("source", &source))?;
            let at = at_time.as_ref().and_then(|found| found.find_partition(&source.topic, source.partition));
            offers.push(Offer {
                committed: element
                    .offset()
                    .to_raw()
                    .filter(|o| *o >= 0)
                    .map(|o| (o, element.metadata().to_owned())),
                low_watermark: low,
                high_watermark: high,
                at_time: at.map(|e| e.offset().to_raw().filter(|o| *o >= 0).unwrap_or(high)),
                source,
            });
        }
        Ok(offers)
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, tpl: &TopicPartitionList) -> Result<()> {
        let lost = consumer.assignment_lost(); // the flag goes with the unassign
        let sources: Vec<TopicPartition> =
            tpl.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect();
        if !sources.is_empty() && !self.closing.load(Ordering::Relaxed) {
            info!(?sources, lost, "revoked");
            let (reply, answer) = Reply::new();
            let event = SourceEvent::Revoked { sources: sources.clone(), lost, reply };
            if self.events.blocking_send(event).is_ok() {
                // No answer in time is as good as none: what is not committed is read again by its next owner.
                if let Ok(offsets) = answer.recv_timeout(REPLY)
                    && !lost
                {
                    commit_now(consumer, &offsets, &self.events);
                }
            }
        }
        {
            let mut state = self.state.lock().expect("only this thread locks it");
            state.assigned.retain(|_, a| !sources.contains(&a.source));
        }
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(tpl),
            _ => consumer.unassign(),
        };
        unassigned.map_err(|e| failed("cannot give up an assignment", e))
    }
}

/// Commits and waits for the answer, which is an event as every commit's is.
fn commit_now(consumer: &BaseConsumer<Context>, offsets: &[Commit], events: &mpsc::Sender<SourceEvent>) {
    if offsets.is_empty() {
        return;
    }
    let outcome = offset_list(offsets)
        .and_then(|list| {
            consumer.commit(&list, CommitMode::Sync).map_err(|e| failed("a commit of offsets failed", e))
        })
        .map(|()| offsets.to_vec());
    let _ = events.blocking_send(SourceEvent::Committed(outcome));
}

fn offset_list(offsets: &[Commit]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for commit in offsets {
        let mut element = list.add_partition(&commit.source.topic, commit.source.partition);
        element
            .set_offset(Offset::Offset(commit.offset))
            .map_err(|e| failed("no offset to commit", e).with("source", &commit.source))?;
        element.set_metadata(&commit.metadata);
    }
    Ok(list)
}

fn commits(list: &TopicPartitionList) -> Result<Vec<Commit>> {
    list.elements()
        .iter()
        .map(|element| {
            let source = TopicPartition::new(element.topic(), element.partition());
            element.error().map_err(|e| failed("a commit of an offset failed", e).with("source", &source))?;
            let offset = element.offset().to_raw().unwrap_or_default();
            Ok(Commit { source, offset, metadata: element.metadata().to_owned() })
        })
        .collect()
}

/// The polling thread.
struct Poller {
    consumer: BaseConsumer<Context>,
    options: SourceOptions,
    to: ToJob,
    commands: std_mpsc::Receiver<SourceCommand>,
    assigned: HashMap<i32, Assigned>,
    paused: bool,
}

/// Why the thread ends.
enum End {
    Stopped(Vec<Commit>),
    JobGone,
    Failed(Error),
}

impl Poller {
    fn run(mut self) {
        let mut open: HashMap<i32, RecordSet> = HashMap::new();
        let mut went = self.join();
        let end = loop {
            match went {
                Ok(()) => went = self.turn(&mut open),
                Err(end) => break end,
            }
        };
        match end {
            End::Stopped(offsets) => commit_now(&self.consumer, &offsets, &self.to.events),
            End::Failed(e) => {
                let _ = self.to.events.blocking_send(SourceEvent::Failed(e));
            }
            End::JobGone => debug!("the job is gone"),
        }
        // Dropping the consumer leaves the group; its last revoke has nobody to ask.
        self.consumer.context().closing.store(true, Ordering::Relaxed);
    }

    /// One poll and what follows from it.
    fn turn(&mut self, open: &mut HashMap<i32, RecordSet>) -> Result<(), End> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command)?,
                Err(std_mpsc::TryRecvError::Empty) => break,
                Err(std_mpsc::TryRecvError::Disconnected) => return Err(End::JobGone),
            }
        }
        let wait = if open.is_empty() { POLL } else { Duration::ZERO };
        let polled = match self.consumer.poll(wait) {
            None => Polled::Nothing,
            Some(Ok(message)) => {
                if self.consumer.context().changed.load(Ordering::Relaxed) {
                    refresh(&self.consumer, &mut self.assigned, open);
                }
                copy(&message, &mut self.assigned, open, self.options.headers)
            }
            Some(Err(e)) => Polled::Error(e),
        };
        if self.consumer.context().changed.load(Ordering::Relaxed) {
            refresh(&self.consumer, &mut self.assigned, open);
        }
        match polled {
            Polled::Full(partition) => self.hand_over(open.remove(&partition).map(Delivery::Records)),
            Polled::Record => Ok(()),
            Polled::Nothing => self.hand_over(open.drain().map(|(_, set)| Delivery::Records(set))),
            Polled::Error(KafkaError::PartitionEOF(partition)) => {
                self.hand_over(open.remove(&partition).map(Delivery::Records))?;
                let ended = self.ended(partition);
                self.hand_over(ended)
            }
            Polled::Error(e) => self.judge(e),
        }
    }

    fn obey(&mut self, command: SourceCommand) -> Result<(), End> {
        match command {
            SourceCommand::Stop(offsets) => Err(End::Stopped(offsets)),
            SourceCommand::GroupOffsets(sources) => {
                let offsets = self.group_offsets(&sources).map_err(End::Failed)?;
                self.say(SourceEvent::GroupOffsets(offsets))
            }
            SourceCommand::Watermark(source) => {
                let (_, high) =
                    self.consumer.fetch_watermarks(&source.topic, source.partition, ANSWER).map_err(|e| {
                        End::Failed(failed("cannot read a partition's watermarks", e).with("source", &source))
                    })?;
                self.say(SourceEvent::Watermark { source, high })
            }
            SourceCommand::Commit(offsets) => {
                let asked = offset_list(&offsets).and_then(|list| {
                    self.consumer
                        .commit(&list, CommitMode::Async)
                        .map_err(|e| failed("cannot ask for a commit of offsets", e))
                });
                match asked {
                    Ok(()) => Ok(()),
                    Err(e) => self.say(SourceEvent::Committed(Err(e))),
                }
            }
        }
    }

    fn group_offsets(&self, sources: &[TopicPartition]) -> Result<Vec<Commit>> {
        let mut list = TopicPartitionList::with_capacity(sources.len());
        for source in sources {
            list.add_partition(&source.topic, source.partition);
        }
        let committed = self
            .consumer
            .committed_offsets(list, ANSWER)
            .map_err(|e| failed("cannot read the group's committed offsets", e))?;
        Ok(commits(&committed)?.into_iter().filter(|commit| commit.offset >= 0).collect())
    }

    /// Looks up the cluster and the topic, before the group is joined.
    fn look(&self) -> Result<SourceEvent> {
        let topic = &self.options.topic;
        let unreachable = |e| {
            let told = "no broker answers: are they up, and is the address right?";
            let error = Error::new(Kind::Kafka, told)
                .with("brokers", &self.options.brokers)
                .with("tried for", format_args!("{} s", LOOK.as_secs()));
            match self.consumer.context().hearing.reason() {
                Some(reason) => error.because(reason),
                None => error.because(e),
            }
        };
        let metadata = self.consumer.fetch_metadata(Some(topic), LOOK).map_err(unreachable)?;
        let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
        let partitions =
            found.map(|t| t.partitions()).filter(|partitions| !partitions.is_empty()).ok_or_else(|| {
                Error::new(
                    Kind::Kafka,
                    "the topic is not there, or may not be read: create it, or check its name and ACLs",
                )
                .with("topic", topic)
            })?;
        let cluster = self.consumer.client().fetch_cluster_id(ANSWER).ok_or_else(|| {
            Error::new(Kind::Kafka, "the cluster does not tell its id: it must be Kafka 0.10.1 or later")
        })?;
        let mut ends = Vec::new();
        for partition in partitions {
            let source = TopicPartition::new(topic, partition.id());
            let (low, high) = self
                .consumer
                .fetch_watermarks(topic, partition.id(), ANSWER)
                .map_err(|e| failed("cannot read a partition's watermarks", e).with("source", &source))?;
            if low < high {
                ends.push((source, high));
            }
        }
        Ok(SourceEvent::Found { topic: topic.clone(), cluster, ends })
    }

    /// Joins the group once the topic was found.
    fn join(&self) -> Result<(), End> {
        let found = self.look().map_err(End::Failed)?;
        self.say(found)?;
        self.consumer
            .subscribe(&[&self.options.topic])
            .map_err(|e| End::Failed(failed("cannot subscribe", e).with("topic", &self.options.topic)))
    }

    fn say(&self, event: SourceEvent) -> Result<(), End> {
        self.to.events.blocking_send(event).map_err(|_| End::JobGone)
    }

    /// Hands over what there is; when the job is behind, waits, then pauses and goes on polling until it has caught up.
    fn hand_over(&mut self, deliveries: impl IntoIterator<Item = Delivery>) -> Result<(), End> {
        for mut delivery in deliveries {
            let mut waited = Duration::ZERO;
            loop {
                delivery = match self.to.deliveries.try_send(delivery) {
                    Ok(()) => break,
                    Err(mpsc::error::TrySendError::Closed(_)) => return Err(End::JobGone),
                    Err(mpsc::error::TrySendError::Full(delivery)) => delivery,
                };
                let step = Duration::from_millis(1);
                match self.commands.recv_timeout(step) {
                    Ok(command) => self.obey(command)?,
                    Err(std_mpsc::RecvTimeoutError::Timeout) => waited += step,
                    Err(std_mpsc::RecvTimeoutError::Disconnected) => return Err(End::JobGone),
                }
                if waited >= PATIENCE {
                    self.poll_paused()?;
                }
                if !self.is_current(&delivery) {
                    break; // revoked meanwhile: its next owner reads it again
                }
            }
        }
        if self.paused { self.resume() } else { Ok(()) }
    }

    fn is_current(&self, delivery: &Delivery) -> bool {
        let (source, assignment) = match delivery {
            Delivery::Records(set) => (&set.source, set.assignment),
            Delivery::Ended { source, assignment } => (source, *assignment),
        };
        self.assigned.get(&source.partition).is_some_and(|a| a.assignment == assignment)
    }

    /// Serves rebalances and errors while nothing is fetched.
    fn poll_paused(&mut self) -> Result<(), End> {
        if !self.paused {
            debug!("the job is behind: reading pauses");
            self.paused = true;
        }
        // Also those assigned since the last call; to pause again is no change.
        let all =
            self.consumer.assignment().map_err(|e| End::Failed(failed("cannot list the assignment", e)))?;
        self.consumer.pause(&all).map_err(|e| End::Failed(failed("cannot pause", e)))?;
        let polled = match self.consumer.poll(Duration::from_millis(10)) {
            // Fetched before the pause: read again from here after the resume.
            Some(Ok(message)) => Some((message.partition(), message.offset())),
            Some(Err(KafkaError::PartitionEOF(_))) | None => None,
            Some(Err(e)) => return self.judge(e),
        };
        if let Some((partition, offset)) = polled {
            self.consumer
                .seek(&self.options.topic, partition, Offset::Offset(offset), ANSWER)
                .map_err(|e| End::Failed(failed("cannot go back to an offset", e)))?;
        }
        if self.consumer.context().changed.load(Ordering::Relaxed) {
            refresh(&self.consumer, &mut self.assigned, &mut HashMap::new());
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), End> {
        let all =
            self.consumer.assignment().map_err(|e| End::Failed(failed("cannot list the assignment", e)))?;
        self.consumer.resume(&all).map_err(|e| End::Failed(failed("cannot resume", e)))?;
        self.paused = false;
        Ok(())
    }

    fn ended(&mut self, partition: i32) -> Option<Delivery> {
        let assigned = self.assigned.get_mut(&partition).filter(|a| !a.ended)?;
        assigned.ended = true;
        Some(Delivery::Ended { source: assigned.source.clone(), assignment: assigned.assignment })
    }

    /// What librdkafka gets over by itself is logged; anything else ends the source.
    fn judge(&self, e: KafkaError) -> Result<(), End> {
        use RDKafkaErrorCode as Code;
        let fatal = matches!(e, KafkaError::MessageConsumptionFatal(_));
        match e.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(End::Failed(self.out_of_range(e))),
            Some(
                code @ (Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::UnsupportedSASLMechanism),
            ) => Err(End::Failed(
                failed(format!("the topic cannot be read ({code})"), e)
                    .with("topic", &self.options.topic)
                    .with("group", &self.options.group),
            )),
            _ if fatal => Err(End::Failed(failed("the consumer cannot go on", e))),
            _ => {
                warn!(error = %e, topic = self.options.topic, "the broker had a problem; trying on");
                Ok(())
            }
        }
    }

    /// Names the sources whose next offset the broker no longer, or not yet, has.
    fn out_of_range(&self, e: KafkaError) -> Error {
        let mut error = failed(
            "an offset that comes next is not on the broker: retention has removed it, or the topic was made anew; \
             records between may be lost. Start with another --group to read the topic from its beginning (what is \
             in the table already is not written twice)",
            e,
        );
        for assigned in self.assigned.values() {
            let source = &assigned.source;
            match self.consumer.fetch_watermarks(&source.topic, source.partition, ANSWER) {
                Ok((low, high)) if assigned.next < low || assigned.next > high => {
                    error = error
                        .with("topic", &source.topic)
                        .with("partition", source.partition)
                        .with("next offset", assigned.next)
                        .with("on the broker", format!("{low}..{high}"));
                }
                _ => {}
            }
        }
        error
    }
}

enum Polled {
    Nothing,
    Record,
    /// The partition's set is full.
    Full(i32),
    Error(KafkaError),
}

/// Takes over what a rebalance changed, and drops the records of what is no longer ours.
fn refresh(
    consumer: &BaseConsumer<Context>,
    assigned: &mut HashMap<i32, Assigned>,
    open: &mut HashMap<i32, RecordSet>,
) {
    let context = consumer.context();
    context.changed.store(false, Ordering::Relaxed);
    let state = context.state.lock().expect("only this thread locks it");
    assigned.retain(|p, a| state.assigned.get(p).is_some_and(|now| now.assignment == a.assignment));
    for (partition, now) in &state.assigned {
        assigned.entry(*partition).or_insert_with(|| now.clone());
    }
    open.retain(|p, set| assigned.get(p).is_some_and(|a| a.assignment == set.assignment));
}

/// Copies a message into its partition's open set.
fn copy(
    message: &BorrowedMessage<'_>,
    assigned: &mut HashMap<i32, Assigned>,
    open: &mut HashMap<i32, RecordSet>,
    headers: Headering,
) -> Polled {
    let partition = message.partition();
    // A message of a partition that was revoked while it waited in the queue.
    let Some(assigned) = assigned.get_mut(&partition).filter(|a| a.next <= message.offset()) else {
        return Polled::Record;
    };
    assigned.next = message.offset() + 1;
    let set =
        open.entry(partition).or_insert_with(|| RecordSet::new(assigned.source.clone(), assigned.assignment));
    set.push(message.offset(), message.timestamp().to_millis(), message.key(), message.payload());
    if headers == Headering::Copy
        && let Some(headers) = message.headers()
    {
        for header in headers.iter() {
            set.push_header(header.key, header.value);
        }
    }
    if set.len() >= SET_RECORDS || set.bytes_len() >= SET_BYTES {
        Polled::Full(partition)
    } else {
        Polled::Record
    }
}
