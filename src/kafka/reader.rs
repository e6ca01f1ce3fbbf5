//! Reads a topic from one offset to another, once: what looks, and takes no part in a group.
//!
//! Partitions are assigned by hand, so that no group is joined, nobody is given fewer partitions for it, and nothing is
//! committed. Of a group only its committed offsets are read. Every call blocks: it belongs on a thread of its own.

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::asking::{ANSWER, LOOK, POLL, READING, cluster_id, committed, topic_id, watermarks};
use super::client::{Connection, failed};
use super::hearing::Hearing;
use super::native::{self, Intake, Message, hold_back};
use super::records::{RecordSet, TopicPartition};
use crate::error::{Error, Kind, Result};

/// A reader of one cluster.
pub struct Reader {
    consumer: Arc<BaseConsumer<Hearing>>,
    brokers: String,
}

/// A topic as its cluster has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderTopic {
    pub cluster: String,
    /// None from a broker that gives topics no ids (before Kafka 2.8).
    pub topic_id: Option<String>,
    pub partitions: Vec<i32>,
}

impl Reader {
    /// Makes the client; nothing is asked yet. The group is the one whose committed offsets can be read.
    pub fn new(connection: &Connection, group: &str) -> Result<Self> {
        let defaults = [("check.crcs", "true"), ("queued.max.messages.kbytes", "32768")];
        // Who looks makes nothing.
        let own = [("group.id", group), ("allow.auto.create.topics", "false")];
        let fixed = [&own[..], &READING].concat();
        let config = connection.config(&defaults, &fixed)?;
        let consumer = BaseConsumer::from_config_and_context(&config, Hearing::of(connection))
            .map(Arc::new)
            .map_err(|e| failed("cannot make a consumer", e))?;
        Ok(Self { consumer, brokers: connection.brokers.clone() })
    }

    fn log_in(&self) -> Result<()> {
        self.consumer.context().log_in(&self.consumer)
    }

    /// Looks a topic up; `None` where the cluster has none of that name.
    pub fn topic(&self, topic: &str) -> Result<Option<ReaderTopic>> {
        self.log_in()?;
        let hearing = self.consumer.context();
        let metadata = hearing
            .ask(&self.consumer, LOOK, |step| self.consumer.fetch_metadata(Some(topic), step))
            .map_err(|e| hearing.unreachable(&self.brokers, LOOK, e))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(None);
            }
            Some(code) => {
                return Err(Error::new(Kind::Kafka, "the broker does not tell about the topic")
                    .with("topic", topic)
                    .because(code));
            }
        }
        let cluster = cluster_id(&self.consumer)?;
        let topic_id = topic_id(&self.consumer, &metadata, topic, ANSWER)
            .map_err(|e| failed("cannot read the topic's id", e).with("topic", topic))?;
        let mut partitions: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
        partitions.sort_unstable();
        Ok(Some(ReaderTopic { cluster, topic_id, partitions }))
    }

    /// The id of the cluster.
    pub fn cluster(&self) -> Result<String> {
        self.log_in()?;
        cluster_id(&self.consumer)
    }

    /// The offsets that the group has committed, with their metadata.
    pub fn committed(&self, sources: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, (i64, String)>> {
        self.log_in()?;
        let committed = committed(&self.consumer, sources)?;
        Ok(committed.into_iter().map(|commit| (commit.source, (commit.offset, commit.metadata))).collect())
    }

    /// Whether this user may join a group; `None` from a broker that does not tell.
    pub fn may_join(&self, group: &str) -> Result<Option<bool>> {
        self.log_in()?;
        native::may_join(self.consumer.client(), group, ANSWER)
            .map_err(|e| failed("cannot ask for the rights on a group", e).with("group", group))
    }

    /// The offsets at which a source begins and ends now.
    pub fn watermarks(&self, source: &TopicPartition) -> Result<(i64, i64)> {
        self.log_in()?; // a long walk may have outlasted the token
        watermarks(&self.consumer, source)
    }

    /// Reads records of a topic's partitions, each from an offset up to and without another, as far as there are any: those
    /// of a partition in their order, partitions as they come.
    pub fn read(
        &self,
        topic: &str,
        ranges: &[(i32, Range<i64>)],
        mut each: impl FnMut(RecordSet) -> Result<()>,
    ) -> Result<()> {
        let ranges: Vec<_> = ranges.iter().filter(|(_, range)| !range.is_empty()).collect();
        if ranges.is_empty() {
            return Ok(());
        }
        let cannot = |e| failed("cannot read a topic", e).with("topic", topic);
        let mut list = TopicPartitionList::new();
        for (partition, range) in &ranges {
            list.add_partition_offset(topic, *partition, Offset::Offset(range.start)).map_err(cannot)?;
            hold_back(self.consumer.client(), topic, *partition).map_err(cannot)?;
        }
        self.consumer.assign(&list).map_err(cannot)?;
        let intake = Intake::new(&self.consumer);
        let connect = |(partition, _): &&(i32, Range<i64>)| intake.connect(topic, *partition);
        let connected = ranges.iter().try_for_each(connect).map_err(cannot);
        let open = ranges.into_iter().map(|(partition, range)| {
            let set = RecordSet::new(TopicPartition::new(topic, *partition), 0);
            (*partition, Reading { next: range.start, end: range.end, set })
        });
        let read = connected.and_then(|()| self.drain(&intake, topic, open.collect(), &mut each));
        let given_up = self.consumer.unassign().map_err(cannot);
        read.and(given_up)
    }

    /// The newest records of a topic's partitions, `count` in all as far as they hold so many: what some lack, others give.
    pub fn newest(&self, topic: &str, partitions: &[i32], count: usize) -> Result<Vec<RecordSet>> {
        let mut kept = Vec::new();
        for partition in partitions {
            kept.push((*partition, self.watermarks(&TopicPartition::new(topic, *partition))?));
        }
        let mut newest = Vec::new();
        self.read(topic, &shares(kept, count), |set| {
            newest.push(set);
            Ok(())
        })?;
        // Partitions come as they come.
        newest.sort_by_key(|set| (set.source.partition, set.iter().next().map(|record| record.offset)));
        Ok(newest)
    }

    fn drain(
        &self,
        intake: &Intake<Hearing>,
        topic: &str,
        mut open: HashMap<i32, Reading>,
        each: &mut impl FnMut(RecordSet) -> Result<()>,
    ) -> Result<()> {
        let mut heard = Instant::now();
        while !open.is_empty() {
            // Errors, and answers that nobody waits for.
            if let Some(Err(e)) = self.consumer.poll(Duration::ZERO) {
                must_pass(e, topic)?;
            }
            let mut outcome = Ok(());
            let any = intake.take(POLL, |message| {
                outcome = take(message, topic, &mut open, each);
                if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            outcome?;
            if any {
                heard = Instant::now();
                continue;
            }
            if heard.elapsed() >= ANSWER {
                let error = Error::new(Kind::Kafka, "the brokers give no more records: try again later")
                    .with("topic", topic)
                    .with("waited", format_args!("{} s", ANSWER.as_secs()));
                return Err(match self.consumer.context().reason() {
                    Some(reason) => error.because(reason),
                    None => error,
                });
            }
            // What ends an earlier assignment may have come after this one was connected.
            let connected = open.keys().try_for_each(|partition| intake.connect(topic, *partition));
            connected.map_err(|e| failed("cannot read a topic", e).with("topic", topic))?;
        }
        Ok(())
    }
}

/// The last offsets of partitions, of which the low and the high watermark are given; `count` in all.
fn shares(mut partitions: Vec<(i32, (i64, i64))>, count: usize) -> Vec<(i32, Range<i64>)> {
    partitions.sort_by_key(|(_, (low, high))| high - low);
    let mut left = count as i64;
    let mut ranges = Vec::new();
    for (at, (partition, (low, high))) in partitions.iter().enumerate() {
        let others = (partitions.len() - at) as i64;
        let share = (high - low).min((left + others - 1) / others);
        ranges.push((*partition, high - share..*high));
        left -= share;
    }
    ranges
}

/// How far a partition is read.
struct Reading {
    next: i64,
    end: i64,
    set: RecordSet,
}

/// Takes one message of the intake's; a partition that is read to its end is no longer open.
fn take(
    message: &Message<'_>,
    topic: &str,
    open: &mut HashMap<i32, Reading>,
    each: &mut impl FnMut(RecordSet) -> Result<()>,
) -> Result<()> {
    let ended = match message.error() {
        None => None,
        Some(KafkaError::PartitionEOF(partition)) => Some(partition),
        Some(e) => return must_pass(e, topic),
    };
    let partition = ended.unwrap_or_else(|| message.partition());
    // What an earlier call left, or what is beyond the end.
    let Some(reading) = open.get_mut(&partition) else { return Ok(()) };
    if ended.is_some() || message.offset() >= reading.end {
        return open.remove(&partition).map_or(Ok(()), |reading| each(reading.set));
    }
    if message.offset() < reading.next {
        return Ok(());
    }
    reading.next = message.offset() + 1;
    let set = &mut reading.set;
    set.push(message.offset(), message.timestamp(), message.key(), message.value());
    message.each_header(|name, value| set.push_header(name, value));
    if set.is_full() {
        let next = set.next();
        each(std::mem::replace(set, next))?;
    }
    Ok(())
}

/// What the client gets over by itself is no error; all else is, as records could be passed over without a word.
fn must_pass(e: KafkaError, topic: &str) -> Result<()> {
    use RDKafkaErrorCode as Code;
    match e.rdkafka_error_code() {
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut) => {
            tracing::warn!(error = %e, topic, "the broker had a problem; trying on");
            Ok(())
        }
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(failed(
            "records were removed while they were being read (by retention, or with their topic): run it again",
            e,
        )
        .with("topic", topic)),
        _ => Err(failed("a topic cannot be read", e).with("topic", topic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_newest_and_as_many_as_are_asked_for() {
        let of = |partitions: &[(i32, (i64, i64))], count| shares(partitions.to_vec(), count);
        assert_eq!(
            of(&[(0, (0, 100)), (1, (5, 8)), (2, (0, 100))], 13),
            [(1, 5..8), (0, 95..100), (2, 95..100)]
        );
        assert_eq!(of(&[(0, (0, 2)), (1, (0, 0))], 10), [(1, 0..0), (0, 0..2)]);
        assert_eq!(of(&[(0, (0, 9)), (1, (0, 9))], 1), [(0, 8..9), (1, 9..9)]);
    }
}
