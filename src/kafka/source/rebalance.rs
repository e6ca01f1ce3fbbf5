//! Serves the rebalances of one consumer: librdkafka calls it on the polling thread, from within `poll`.
//!
//! It offers new sources to the job and takes the job's word for where they start; it has the job finish with sources
//! that are revoked, and commits what the job says, before they are let go.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::info;

use super::{ANSWER, Commit, Offer, REPLY, Reply, SourceEvent};
use crate::error::{Error, Kind, Result};
use crate::kafka::client::failed;
use crate::kafka::hearing::Hearing;
use crate::kafka::records::TopicPartition;

/// The context of a source's consumer.
pub(super) struct Context {
    pub(super) events: mpsc::Sender<SourceEvent>,
    pub(super) hearing: Hearing,
    pub(super) topic: String,
    pub(super) time: Option<i64>,
    /// Only ever locked by the polling thread.
    pub(super) state: Mutex<State>,
    pub(super) changed: AtomicBool,
    pub(super) closing: AtomicBool,
}

#[derive(Default)]
pub(super) struct State {
    assignments: u64,
    pub(super) assigned: HashMap<i32, Assigned>,
}

#[derive(Clone)]
pub(super) struct Assigned {
    pub(super) source: TopicPartition,
    pub(super) assignment: u64,
    /// The next offset that is expected.
    pub(super) next: i64,
    pub(super) ended: bool,
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
        match answer.recv_timeout(REPLY) {
            // The job is at its end, and will say so by its next command.
            Err(RecvTimeoutError::Disconnected) => Ok(Vec::new()),
            answer => answer.map_err(|e| Error::new(Kind::Kafka, "the job took no assignment").because(e)),
        }
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
pub(super) fn commit_now(
    consumer: &BaseConsumer<Context>,
    offsets: &[Commit],
    events: &mpsc::Sender<SourceEvent>,
) {
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

pub(super) fn offset_list(offsets: &[Commit]) -> Result<TopicPartitionList> {
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

pub(super) fn commits(list: &TopicPartitionList) -> Result<Vec<Commit>> {
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
