//! The polling thread of one source: polls, copies, hands over, and does what the job asks.
//!
//! Records come through an `Intake`, all else through `poll`; one thread calls both, in turn. It never blocks for long
//! outside of them: when the job is behind, it takes no records, so that librdkafka fetches no more, and goes on polling.

use std::cell::Cell;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use hashbrown::HashMap;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::rebalance::{Assigned, Context, commit_now, offset_list};
use super::{
    Commit, Delivery, Found, Headering, IDLE, OPEN_BYTES, PATIENCE, SOON, SourceCommand, SourceEvent,
    SourceOptions, ToJob, UNANSWERED,
};
use crate::error::{Error, Kind, Result};
use crate::kafka::asking::{ANSWER, LOOK, POLL, cluster_id, committed, topic_id, watermarks};
use crate::kafka::client::{failed, is_away};
use crate::kafka::native::{Intake, Message, commit, last_seen_end};
use crate::kafka::records::{RecordSet, TopicPartition};

/// What the thread owns.
pub(super) struct Poller {
    pub(super) intake: Intake<Context>,
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) options: SourceOptions,
    pub(super) to: ToJob,
    pub(super) commands: std_mpsc::Receiver<SourceCommand>,
    pub(super) assigned: HashMap<i32, Assigned>,
    /// Partitions that were assigned, and nothing of them has come yet.
    pub(super) unheard: HashSet<i32>,
    /// The job is: no records are taken, and so none are fetched.
    pub(super) behind: bool,
    /// The topic's own id, as it was found; looked at again with each commit.
    pub(super) topic_id: Option<String>,
    /// When brokers last did not answer what topic it is.
    pub(super) unanswered: Cell<Option<Instant>>,
    /// Bytes copied since all open sets were handed over: at least what they hold.
    pub(super) open_bytes: usize,
}

/// Tells the job of a panic of this thread, which would have no other witness.
struct Witness(mpsc::Sender<SourceEvent>);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let e = Error::new(Kind::Kafka, "the thread that reads a topic broke off: see its panic above");
            let _ = self.0.blocking_send(SourceEvent::Failed(e));
        }
    }
}

/// Why the thread ends.
pub(super) enum End {
    Stopped(Vec<Commit>),
    JobGone,
    Failed(Error),
}

impl Poller {
    pub(super) fn run(mut self) {
        let _witness = Witness(self.to.events.clone());
        let mut open: HashMap<i32, RecordSet> = HashMap::new();
        let mut went = self.join();
        let end = loop {
            match went {
                Ok(()) => went = self.turn(&mut open),
                Err(end) => break end,
            }
        };
        match end {
            End::Stopped(offsets) => self.commit_last(&offsets),
            End::Failed(e) => {
                let _ = self.to.events.blocking_send(SourceEvent::Failed(e));
            }
            End::JobGone => debug!("the job is gone"),
        }
        // Dropping the consumer leaves the group; its last revoke has nobody to ask.
        self.consumer.context().closing.store(true, Ordering::Relaxed);
    }

    /// Commits for the last time; a rebalance that is under way is let pass first.
    fn commit_last(&self, offsets: &[Commit]) {
        self.consumer.context().closing.store(true, Ordering::Relaxed);
        if offsets.is_empty() {
            return;
        }
        if let Err(End::Failed(e)) = self.must_be_the_same_topic() {
            let _ = self.to.events.blocking_send(SourceEvent::Failed(e));
            return;
        }
        let start = Instant::now();
        commit_now(&self.consumer, offsets, &self.to.events, |e, offsets| {
            // The last two: asked under the old generation, while others joined the new one.
            let passes = matches!(
                e.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::RebalanceInProgress
                        | RDKafkaErrorCode::IllegalGeneration
                        | RDKafkaErrorCode::StaleMemberEpoch
                )
            );
            let again = passes && !self.consumer.assignment_lost() && start.elapsed() < ANSWER;
            if again {
                let _ = self.consumer.poll(POLL);
                // What went to another member meanwhile may be beyond ours by now.
                let state = self.consumer.context().state.lock().expect("only this thread locks it");
                offsets.retain(|commit| state.assigned.contains_key(&commit.source.partition));
            }
            again
        });
    }

    /// What the job wants, what the group and the brokers say, and the records that have come.
    fn turn(&mut self, open: &mut HashMap<i32, RecordSet>) -> Result<(), End> {
        let mut newest = None;
        loop {
            match self.commands.try_recv() {
                // One that came after it says all that it says.
                Ok(SourceCommand::Commit(offsets)) => newest = Some(offsets),
                Ok(command) => self.obey(command)?,
                Err(std_mpsc::TryRecvError::Empty) => break,
                Err(std_mpsc::TryRecvError::Disconnected) => return Err(End::JobGone),
            }
        }
        if let Some(offsets) = newest {
            self.obey(SourceCommand::Commit(offsets))?;
        }
        self.listen(open)?;
        let wait = if open.is_empty() { IDLE } else { Duration::ZERO };
        let Taken { any, full, ended, error } = self.take(wait, open);
        let full = full.and_then(|partition| open.get_mut(&partition)).map(|set| {
            let next = set.next();
            std::mem::replace(set, next)
        });
        self.hand_over(full.map(Delivery::Records))?;
        for (partition, offset) in ended {
            let set = open.remove(&partition).filter(|set| !set.is_empty());
            self.hand_over(set.map(Delivery::Records))?;
            let ended = self.assigned.get(&partition).map(|assigned| {
                let (source, assignment) = (assigned.source.clone(), assigned.assignment);
                Delivery::Ended { source, assignment, offset }
            });
            self.hand_over(ended)?;
        }
        if let Some((e, reason)) = error {
            self.consumer.context().error(e.clone(), &reason);
            self.judge(e)?;
        }
        // The broker has no more at hand.
        if !any || self.open_bytes >= OPEN_BYTES {
            self.open_bytes = 0;
            let sets = open.drain().map(|(_, set)| set).filter(|set| !set.is_empty());
            self.hand_over(sets.map(Delivery::Records))?;
        }
        if !any {
            // What ends an earlier assignment may have come after this one was connected.
            self.connect()?;
        }
        Ok(())
    }

    /// Serves rebalances, errors and the answers to commits: one of them.
    fn listen(&mut self, open: &mut HashMap<i32, RecordSet>) -> Result<(), End> {
        let polled = self.consumer.poll(Duration::ZERO).map(|polled| polled.map(|_| ()));
        if self.consumer.context().changed.swap(false, Ordering::Relaxed) {
            let state = self.consumer.context().state.lock().expect("only this thread locks it");
            let is_now =
                |p: &i32, assignment| state.assigned.get(p).is_some_and(|now| now.assignment == assignment);
            self.assigned.retain(|p, a| is_now(p, a.assignment));
            self.unheard.retain(|p| self.assigned.contains_key(p));
            for (partition, now) in &state.assigned {
                self.assigned.entry(*partition).or_insert_with(|| {
                    self.unheard.insert(*partition);
                    now.clone()
                });
            }
            drop(state);
            // The records of what is no longer ours.
            open.retain(|p, set| self.assigned.get(p).is_some_and(|a| a.assignment == set.assignment));
            self.connect()?;
        }
        match polled {
            None => Ok(()),
            Some(Err(e)) => self.judge(e),
            Some(Ok(())) => {
                Err(End::Failed(Error::new(Kind::Protocol, "a record came where none should: this is a bug")))
            }
        }
    }

    /// Has the records of what is unheard come to the intake.
    fn connect(&self) -> Result<(), End> {
        let connect = |partition: &i32| self.intake.connect(&self.options.topic, *partition);
        let connected = self.unheard.iter().try_for_each(connect);
        connected.map_err(|e| End::Failed(failed("cannot take a partition's records", e)))
    }

    /// Copies what has come into the partitions' open sets.
    fn take(&mut self, wait: Duration, open: &mut HashMap<i32, RecordSet>) -> Taken {
        let Self { intake, assigned, unheard, open_bytes, options, .. } = self;
        let mut taken = Taken::default();
        taken.any = intake.take(wait, |message| {
            if !unheard.is_empty() {
                unheard.remove(&message.partition());
            }
            match message.error() {
                None => {}
                Some(KafkaError::PartitionEOF(partition)) => {
                    taken.ended.push((partition, message.offset()));
                    return ControlFlow::Continue(());
                }
                Some(e) => {
                    taken.error = Some((e, message.reason()));
                    return ControlFlow::Break(());
                }
            }
            *open_bytes += message.value().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
            if copy(message, assigned, open, options.headers) {
                taken.full = Some(message.partition());
            }
            if taken.full.is_some() || *open_bytes >= OPEN_BYTES {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        taken
    }

    fn obey(&self, command: SourceCommand) -> Result<(), End> {
        match command {
            SourceCommand::Stop(offsets) => Err(End::Stopped(offsets)),
            SourceCommand::Join => Ok(()),
            SourceCommand::GroupOffsets(sources) => {
                let offsets = committed(&self.consumer, &sources);
                self.say(SourceEvent::GroupOffsets { topic: self.options.topic.clone(), offsets })
            }
            SourceCommand::Watermark(source) => {
                let (_, high) = watermarks(&self.consumer, &source).map_err(End::Failed)?;
                self.say(SourceEvent::Watermark { source, high })
            }
            SourceCommand::Commit(mut offsets) => {
                // One that was asked for before its source was given up may be behind the last one, which came with that.
                offsets.retain(|commit| self.assigned.contains_key(&commit.source.partition));
                self.must_be_the_same_topic()?;
                self.say(SourceEvent::Watermarks(self.ends()))?;
                if offsets.is_empty() {
                    return Ok(());
                }
                let asked = offset_list(&offsets).and_then(|list| {
                    commit(self.consumer.client(), &list)
                        .map_err(|e| failed("cannot ask for a commit of offsets", e))
                });
                match asked {
                    Ok(()) => Ok(()),
                    Err(e) => self.say(SourceEvent::Committed(Err(e))),
                }
            }
        }
    }

    /// Where the sources end, as far as it can be told soon. While the job is behind nothing is fetched: then the broker is
    /// asked, until it does not answer.
    fn ends(&self) -> Vec<(TopicPartition, i64)> {
        let mut ends = Vec::with_capacity(self.assigned.len());
        for source in self.assigned.values().map(|assigned| &assigned.source) {
            let end = match self.behind {
                false => last_seen_end(self.consumer.client(), &source.topic, source.partition),
                true => match self.consumer.fetch_watermarks(&source.topic, source.partition, SOON) {
                    Ok((_, high)) => Some(high),
                    Err(_) => break,
                },
            };
            ends.extend(end.map(|end| (source.clone(), end)));
        }
        ends
    }

    /// Looks up the cluster and the topic, before the group is joined.
    fn look(&self) -> Result<Found> {
        let topic = &self.options.topic;
        let hearing = &self.consumer.context().hearing;
        let metadata = hearing
            .ask(&self.consumer, LOOK, |step| self.consumer.fetch_metadata(Some(topic), step))
            .map_err(|e| hearing.unreachable(&self.options.brokers, LOOK, e))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
        let partitions =
            found.map(|t| t.partitions()).filter(|partitions| !partitions.is_empty()).ok_or_else(|| {
                Error::new(
                    Kind::Kafka,
                    "the topic is not there, or may not be read: create it, or check its name and ACLs",
                )
                .with("topic", topic)
            })?;
        let cluster = cluster_id(&self.consumer)?;
        let topic_id = topic_id(&self.consumer, &metadata, topic, SOON)
            .map_err(|e| failed("cannot read the topic's id", e).with("topic", topic))?;
        let mut ends = Vec::new();
        for partition in partitions {
            let source = TopicPartition::new(topic, partition.id());
            let (low, high) = watermarks(&self.consumer, &source)?;
            if low < high {
                ends.push((source, high));
            }
        }
        Ok(Found { topic: topic.clone(), cluster, topic_id, ends })
    }

    /// A topic that was deleted and made anew meanwhile is read on without a word, at an offset that means other
    /// records. Brokers that do not answer just now are no reason to end.
    pub(super) fn must_be_the_same_topic(&self) -> Result<(), End> {
        let topic = &self.options.topic;
        // The thread must get back to polling: it does not wait each time for brokers that are away.
        if self.unanswered.get().is_some_and(|since| since.elapsed() < UNANSWERED) {
            return Ok(());
        }
        let asked = self.consumer.fetch_metadata(Some(topic), SOON);
        let asked = asked.and_then(|metadata| topic_id(&self.consumer, &metadata, topic, SOON));
        match (asked, &self.topic_id) {
            (Ok(Some(now)), Some(ours)) if now != *ours => Err(End::Failed(
                Error::new(
                    Kind::Protocol,
                    "the topic was deleted and made anew while it was being read: its offsets mean other records now. \
                     Begin new chains with ingest.source_epoch (--source-epoch) one higher",
                )
                .with("topic", topic)
                .with("was", ours)
                .with("is", now),
            )),
            (Err(e), _) => {
                debug!(error = %e, "cannot look at the topic's id just now");
                self.unanswered.set(is_away(&e).then(Instant::now));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Joins the group once the topic was found and the job is ready for it.
    fn join(&mut self) -> Result<(), End> {
        self.consumer.context().hearing.log_in(&self.consumer).map_err(End::Failed)?;
        let found = self.look().map_err(End::Failed)?;
        self.topic_id = found.topic_id.clone();
        self.say(SourceEvent::Found(found))?;
        loop {
            match self.commands.recv() {
                Ok(SourceCommand::Join) => break,
                Ok(other) => self.obey(other)?,
                Err(_) => return Err(End::JobGone),
            }
        }
        self.consumer
            .subscribe(&[&self.options.topic])
            .map_err(|e| End::Failed(failed("cannot subscribe", e).with("topic", &self.options.topic)))
    }

    fn say(&self, event: SourceEvent) -> Result<(), End> {
        self.to.events.blocking_send(event).map_err(|_| End::JobGone)
    }

    /// Hands over what there is; when the job is behind, waits, and goes on polling until it has caught up.
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
                self.behind = waited >= PATIENCE;
                self.listen(&mut HashMap::new())?;
                if !self.is_current(&delivery) {
                    break; // revoked meanwhile: its next owner reads it again
                }
            }
        }
        self.behind = false;
        Ok(())
    }

    fn is_current(&self, delivery: &Delivery) -> bool {
        let (source, assignment) = match delivery {
            Delivery::Records(set) => (&set.source, set.assignment),
            Delivery::Ended { source, assignment, .. } => (source, *assignment),
        };
        self.assigned.get(&source.partition).is_some_and(|a| a.assignment == assignment)
    }
}

/// What came of one look at the intake.
#[derive(Default)]
struct Taken {
    any: bool,
    /// The partition whose set is full.
    full: Option<i32>,
    /// Where partitions ended, after what is in their sets.
    ended: Vec<(i32, i64)>,
    /// With librdkafka's words.
    error: Option<(KafkaError, String)>,
}

/// Copies a message into its partition's open set, and tells whether that is full now.
fn copy(
    message: &Message<'_>,
    assigned: &mut HashMap<i32, Assigned>,
    open: &mut HashMap<i32, RecordSet>,
    headers: Headering,
) -> bool {
    let partition = message.partition();
    // A message of a partition that was revoked while it waited in the queue.
    let Some(assigned) = assigned.get_mut(&partition).filter(|a| a.next <= message.offset()) else {
        return false;
    };
    assigned.next = message.offset() + 1;
    // One that was left open when the partition was revoked and came back is of another assignment.
    if open.get(&partition).is_some_and(|set| set.assignment != assigned.assignment) {
        open.remove(&partition);
    }
    let set =
        open.entry(partition).or_insert_with(|| RecordSet::new(assigned.source.clone(), assigned.assignment));
    set.push(message.offset(), message.timestamp(), message.key(), message.value());
    if headers == Headering::Copy {
        message.each_header(|name, value| set.push_header(name, value));
    }
    set.is_full()
}
