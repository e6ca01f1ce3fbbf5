//! Owns a Kafka cluster in this process: librdkafka's mock brokers, on free ports of the loopback interface.
//!
//! It is what the demo and the tests run on where nothing is installed. Any client of this machine can use it, and
//! it speaks enough of the protocol for idempotent producers, group members and offset commits. What it is not
//! (FACTS 5.15, 5.16):
//! * each partition keeps its newest 5 MiB or 100,000 message sets; older records vanish silently, so a producer has
//!   to be paced or its records counted;
//! * there are no transaction markers, no compaction, no retention by time, no rebalance that can be trusted;
//! * topics are made with [`Cluster::create_topic`] only; [`super::Admin::create_topic`] is not answered;
//! * everything is in memory and is gone when the `Cluster` is dropped.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use super::client::{Connection, failed};
use super::native::set_first_rebalance;
use crate::error::Result;

/// How long a new group waits for further members, as those of a job of several topics.
const FIRST_REBALANCE: Duration = Duration::from_millis(300);

/// One mock broker, up from [`Cluster::start`] until it is dropped.
pub struct Cluster {
    // The client that the brokers belong to; it sends nothing.
    owner: BaseProducer,
}

impl Cluster {
    /// Starts a broker with these topics and their numbers of partitions.
    pub fn start(topic_partitions: &[(&str, i32)]) -> Result<Self> {
        let owner: BaseProducer = ClientConfig::new()
            .set("client.id", "ticklake-cluster")
            .set("test.mock.num.brokers", "1")
            .create()
            .map_err(|e| failed("the in-process Kafka cluster does not start", e))?;
        set_first_rebalance(owner.client(), FIRST_REBALANCE);
        let cluster = Self { owner };
        for (topic, partitions) in topic_partitions {
            cluster.create_topic(topic, *partitions)?;
        }
        Ok(cluster)
    }

    /// Makes a topic; one that is there already is an error.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        let brokers = self.owner.client().mock_cluster().expect("the owner was made with mock brokers");
        brokers.create_topic(topic, partitions, 1).map_err(|e| {
            failed("the in-process Kafka cluster does not make the topic", e)
                .with("topic", topic)
                .with("partitions", partitions)
        })
    }

    /// How clients of this machine reach it.
    pub fn connection(&self) -> Connection {
        let brokers = self.owner.client().mock_cluster().expect("the owner was made with mock brokers");
        Connection { brokers: brokers.bootstrap_servers(), ..Connection::default() }
    }
}
