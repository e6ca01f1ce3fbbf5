//! Asks the brokers what whoever reads a topic has to know: the source, as a member of a group, and the reader, which is
//! none. It is asked of any consumer; every call blocks.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use tokio::time::Instant;
use tracing::debug;

use super::client::failed;
use super::native;
use super::records::TopicPartition;
use super::source::Commit;
use crate::error::{Error, Kind, Result};

/// How long the first answer of a broker is waited for,
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// and any other: committed offsets, watermarks, a last commit.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// How long a consumer waits for its next record, and for what else `poll` serves.
pub(super) const POLL: Duration = Duration::from_millis(100);
/// How long brokers that are between two leaders are asked again, and the pause between.
const ASK_AGAIN: Duration = Duration::from_secs(45);
const ASK_PAUSE: Duration = Duration::from_millis(250);

/// How a topic is read, whoever reads it: the properties that nobody may set otherwise.
pub(super) const READING: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    // An offset that is out of range is said, never skipped over.
    ("auto.offset.reset", "error"),
    // A record of an aborted transaction was never sent; and who reads under another level finds other records.
    ("isolation.level", "read_committed"),
];

/// Asks the brokers again while they are between two leaders or coordinators: what a rebalance meets when brokers are
/// restarted one by one. librdkafka does not (it looks up the leader anew, and gives the error).
pub(super) fn patiently<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    use RDKafkaErrorCode as Code;
    let start = Instant::now();
    loop {
        match ask() {
            Err(e)
                if start.elapsed() < ASK_AGAIN
                    && matches!(
                        e.rdkafka_error_code(),
                        Some(
                            Code::NotLeaderForPartition
                                | Code::LeaderNotAvailable
                                | Code::ReplicaNotAvailable
                                | Code::OffsetNotAvailable
                                | Code::KafkaStorageError
                                | Code::NotCoordinator
                                | Code::CoordinatorNotAvailable
                                | Code::CoordinatorLoadInProgress
                                | Code::BrokerTransportFailure
                                | Code::NetworkException
                                | Code::UnstableOffsetCommit
                                // What a partition without a leader is to librdkafka; it was in the metadata before.
                                | Code::UnknownPartition
                        )
                    ) =>
            {
                debug!(error = %e, "asking again");
                std::thread::park_timeout(ASK_PAUSE);
            }
            answered => return answered,
        }
    }
}

/// The offsets at which a source begins and ends now.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    source: &TopicPartition,
) -> Result<(i64, i64)> {
    patiently(|| consumer.fetch_watermarks(&source.topic, source.partition, ANSWER))
        .map_err(|e| failed("cannot read a partition's watermarks", e).with("source", source))
}

/// The offsets that the consumer's group has committed, with their metadata; a source without one is left out.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    sources: &[TopicPartition],
) -> Result<Vec<Commit>> {
    let mut list = TopicPartitionList::with_capacity(sources.len());
    for source in sources {
        list.add_partition(&source.topic, source.partition);
    }
    let told = |e| failed("cannot read the group's committed offsets", e);
    let found = patiently(|| consumer.committed_offsets(list.clone(), ANSWER)).map_err(told)?;
    let mut committed = Vec::with_capacity(sources.len());
    for element in found.elements() {
        element.error().map_err(told)?;
        if let Some(offset) = element.offset().to_raw().filter(|offset| *offset >= 0) {
            let source = TopicPartition::new(element.topic(), element.partition());
            committed.push(Commit { source, offset, metadata: element.metadata().to_owned() });
        }
    }
    Ok(committed)
}

/// The id that the cluster was given when it was made.
pub(super) fn cluster_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Result<String> {
    consumer.client().fetch_cluster_id(ANSWER).ok_or_else(|| {
        Error::new(Kind::Kafka, "the cluster does not tell its id: it must be Kafka 0.10.1 or later")
    })
}

/// The topic's own id; none from a broker that gives topics no ids (before Kafka 2.8). A broker that `metadata` names is
/// asked: those are up.
pub(super) fn topic_id<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    metadata: &Metadata,
    topic: &str,
    limit: Duration,
) -> Result<Option<String>, KafkaError> {
    let broker = metadata.brokers().first().map_or(0, |broker| broker.id());
    native::topic_id(consumer.client(), broker, topic, limit)
}
