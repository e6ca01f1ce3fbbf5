//! Serves the rebalances of one consumer: librdkafka calls it on the polling thread, from within `poll`.
//!
//! It offers new sources to the job and takes the job's word for where they start; it has the job finish with sources
//! that are revoked, and commits what the job says, before they are let go.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::info;

use super::{Commit, Offer, REPLY, Reply, SourceEvent};
use crate::error::{Error, Kind, Result};
use crate::kafka::asking::{ANSWER, patiently, watermarks};
use crate::kafka::client::failed;
use crate::kafka::hearing::{Hearing, NoToken};
use crate::kafka::native::hold_back;
use crate::kafka::records::TopicPartition;

/// The context of a source's consumer.
pub(super) struct Context {
    pub(super) events: mpsc::Sender<SourceEvent>,
    pub(super) hearing: Hearing,
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
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, NoToken> {
        self.hearing.oauth_token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.hearing.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.hearing.error(error, reason);
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
            // librdkafka waits for an answer to each rebalance, and would not close without one.
            let _ = consumer.unassign();
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
        let starts = match self.closing.load(Ordering::Relaxed) {
            // Nobody reads them, and a consumer that closes may not get the answers that an offer is made of.
            true => Vec::new(),
            false => self.starts(consumer, tpl)?, // also where nothing was assigned: the job has joined
        };
        for (source, offset) in &starts {
            tpl.set_partition_offset(&source.topic, source.partition, Offset::Offset(*offset))
                .map_err(|e| failed("cannot set a start offset", e).with("source", source))?;
            hold_back(consumer.client(), &source.topic, source.partition)
                .map_err(|e| failed("cannot take a partition's records", e).with("source", source))?;
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
            state.assigned.insert(source.partition, Assigned { source, assignment, next });
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
            .blocking_send(SourceEvent::Assigned { assignment, offers, reply })
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
        let committed = patiently(|| consumer.committed_offsets(tpl.clone(), ANSWER))
            .map_err(|e| failed("cannot read the group's committed offsets", e))?;
        let at_time = match self.time {
            None => None,
            Some(time) => {
                let mut times = tpl.clone();
                times
                    .set_all_offsets(Offset::Offset(time.max(0))) // before 1970 is the beginning
                    .map_err(|e| failed("cannot ask for a time", e))?;
                let found = patiently(|| consumer.offsets_for_times(times.clone(), ANSWER))
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
            let (low, high) = watermarks(consumer, &source)?;
            let at_time = match at_time.as_ref().map(|f| f.find_partition(&source.topic, source.partition)) {
                None => None,
                Some(found) => {
                    let found = found.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition));
                    let asked = |e| failed("cannot look up the offset of a time", e).with("source", &source);
                    let found = found.and_then(|e| e.error().map(|()| e.offset().to_raw())).map_err(asked)?;
                    // None is at or after it: the end.
                    Some(found.filter(|offset| *offset >= 0).unwrap_or(high))
                }
            };
            offers.push(Offer {
                committed: element
                    .offset()
                    .to_raw()
                    .filter(|o| *o >= 0)
                    .map(|o| (o, element.metadata().to_owned())),
                low_watermark: low,
                high_watermark: high,
                at_time,
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
                    commit_now(consumer, &offsets, &self.events, |_, _| false);
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

/// Commits and waits for the answer, which is an event as every commit's is. `again` says of a failure whether to try
/// once more, and leaves out what is no longer ours to commit.
pub(super) fn commit_now(
    consumer: &BaseConsumer<Context>,
    offsets: &[Commit],
    events: &mpsc::Sender<SourceEvent>,
    mut again: impl FnMut(&KafkaError, &mut Vec<Commit>) -> bool,
) {
    let mut offsets = offsets.to_vec();
    while !offsets.is_empty() {
        let done = offset_list(&offsets).map(|list| consumer.commit(&list, CommitMode::Sync));
        let outcome = match done {
            Ok(Err(e)) if again(&e, &mut offsets) => continue,
            Ok(done) => done.map_err(|e| failed("a commit of offsets failed", e)),
            Err(e) => Err(e),
        };
        let _ = events.blocking_send(SourceEvent::Committed(outcome.map(|()| offsets)));
        return;
    }
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
