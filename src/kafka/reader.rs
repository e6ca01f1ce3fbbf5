//! Reads a topic from one offset to another, once: what looks, and takes no part in a group.
//!
//! Partitions are assigned by hand, so that no group is joined, nobody is given fewer partitions for it, and nothing is
//! committed. Of a group only its committed offsets are read. Every call blocks: it belongs on a thread of its own.

use std::collections::BTreeMap;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::asking::{ANSWER, LOOK, POLL, READING, cluster_id, committed, topic_id, watermarks};
use super::client::{Connection, failed};
use super::hearing::Hearing;
use super::native::each_header;
use super::records::{RecordSet, TopicPartition};
use crate::error::{Error, Kind, Result};

/// A reader of one cluster.
pub struct Reader {
    consumer: BaseConsumer<Hearing>,
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

    /// The offsets that the group has committed, with their metadata.
    pub fn committed(&self, sources: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, (i64, String)>> {
        self.log_in()?;
        let committed = committed(&self.consumer, sources)?;
        Ok(committed.into_iter().map(|commit| (commit.source, (commit.offset, commit.metadata))).collect())
    }

    /// The offsets at which a source begins and ends now.
    pub fn watermarks(&self, source: &TopicPartition) -> Result<(i64, i64)> {
        self.log_in()?; // a long walk may have outlasted the token
        watermarks(&self.consumer, source)
    }

    /// Reads a source's records of the offsets from `from` up to and without `to`, as far as there are any, in their order.
    pub fn read(
        &self,
        source: &TopicPartition,
        from: i64,
        to: i64,
        mut each: impl FnMut(&RecordSet) -> Result<()>,
    ) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        let cannot = |e| failed("cannot read a partition", e).with("source", source);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&source.topic, source.partition, Offset::Offset(from)).map_err(cannot)?;
        self.consumer.assign(&list).map_err(cannot)?;
        let read = self.drain(source, to, &mut each);
        let given_up = self.consumer.unassign().map_err(cannot);
        read.and(given_up)
    }

    fn drain(
        &self,
        source: &TopicPartition,
        to: i64,
        each: &mut impl FnMut(&RecordSet) -> Result<()>,
    ) -> Result<()> {
        let mut set = RecordSet::new(source.clone(), 0);
        let mut heard = Instant::now();
        loop {
            let message = match self.consumer.poll(POLL) {
                Some(Ok(message)) => message,
                // Of this source: no other is assigned.
                Some(Err(KafkaError::PartitionEOF(_))) => return each(&set),
                Some(Err(e)) => {
                    must_pass(e, source)?;
                    continue;
                }
                None if heard.elapsed() < ANSWER => continue,
                None => {
                    let error = Error::new(Kind::Kafka, "the brokers give no more records: try again later")
                        .with("source", source)
                        .with("waited", format_args!("{} s", ANSWER.as_secs()));
                    return Err(match self.consumer.context().reason() {
                        Some(reason) => error.because(reason),
                        None => error,
                    });
                }
            };
            heard = Instant::now();
            if message.offset() >= to {
                return each(&set);
            }
            set.push(message.offset(), message.timestamp().to_millis(), message.key(), message.payload());
            each_header(&message, |name, value| set.push_header(name, value));
            if set.is_full() {
                each(&set)?;
                set = RecordSet::new(source.clone(), 0);
            }
        }
    }
}

/// What the client gets over by itself is no error; all else is, as records could be passed over without a word.
fn must_pass(e: KafkaError, source: &TopicPartition) -> Result<()> {
    use RDKafkaErrorCode as Code;
    match e.rdkafka_error_code() {
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut) => {
            tracing::warn!(error = %e, %source, "the broker had a problem; trying on");
            Ok(())
        }
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(failed(
            "records were removed while they were being read (by retention, or with their topic): run it again",
            e,
        )
        .with("source", source)),
        _ => Err(failed("a partition cannot be read", e).with("source", source)),
    }
}
