//! Asks a cluster about itself and its topics, and makes topics; every question has a time limit.
//!
//! The limit is the user's `socket.timeout.ms`, 10 s where there is none: librdkafka's own is 60 s, and it would
//! wait in silence. The calls of librdkafka's that block run on tokio's blocking threads.
//!
//! Does not own the reading of records or of offsets: that is the source's.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{Connection, failed, is_away};
use super::hearing::{Hearing, serve};
use super::native::set_token;
use crate::error::{Error, Kind, Result};

/// Enough for a broker on another continent and its TLS handshake; short enough for someone who waits.
const ANSWER_LIMIT_MS: &str = "10000";

/// A client for questions and for making topics. Clones share the connection.
#[derive(Clone)]
pub struct Admin {
    // A consumer without a group: a producer's metadata request would make the topic that it asks about.
    client: Arc<BaseConsumer<Hearing>>,
    config: ClientConfig,
    brokers: String,
    limit: Duration,
}

impl Admin {
    /// Makes the client and waits for the first answer of a broker, so that an address that is wrong or a broker that
    /// is away is told here. Such an error is retryable.
    pub async fn connect(connection: &Connection) -> Result<Self> {
        let mut config = connection.config(&[("socket.timeout.ms", ANSWER_LIMIT_MS)], &[])?;
        config.remove("group.id");
        config.set("allow.auto.create.topics", "false");
        let client: BaseConsumer<Hearing> = config
            .create_with_context(Hearing::of(connection))
            .map_err(|e| failed("the Kafka client cannot be made; check the Kafka properties", e))?;
        let limit = config.get("socket.timeout.ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        let admin = Self {
            client: Arc::new(client),
            brokers: connection.brokers.clone(),
            limit: limit.unwrap_or_default(),
            config,
        };
        admin.log_in().await?;
        admin.cluster_id().await?;
        Ok(admin)
    }

    /// Gives the client the token that it asked for when it was made, where the brokers want one.
    async fn log_in(&self) -> Result<()> {
        self.blocking(|client| client.context().log_in(client)).await
    }

    /// The id that the cluster was given when it was made.
    pub async fn cluster_id(&self) -> Result<String> {
        let limit = self.limit;
        let asked = self.blocking(move |client| {
            let none = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
            let ask = |step| client.client().fetch_cluster_id(step).ok_or_else(|| none.clone());
            client.context().ask(client, limit, ask)
        });
        match asked.await {
            Ok(id) => Ok(id),
            Err(_) => Err(self.away().await),
        }
    }

    /// The number of partitions of a topic; `None` where it is not there. It never makes the topic.
    pub async fn topic_partitions(&self, topic: &str) -> Result<Option<i32>> {
        let (name, limit) = (topic.to_owned(), self.limit);
        let answer = self.blocking(move |client| client.fetch_metadata(Some(&name), limit)).await;
        let metadata = match answer {
            Ok(metadata) => metadata,
            Err(e) if is_away(&e) => return Err(self.away().await.with("topic", topic)),
            Err(e) => return Err(failed("the topic cannot be looked up", e).with("topic", topic)),
        };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            // A topic that is being made has its partitions before they have leaders.
            None | Some(RDKafkaErrorCode::LeaderNotAvailable) => {
                Ok(i32::try_from(found.partitions().len()).ok().filter(|partitions| *partitions > 0))
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(refused("the broker refuses to tell about the topic", topic, code)),
        }
    }

    /// Makes a topic and waits until the cluster has it. One that is there already (another producer may have been
    /// quicker) is left as it is. `replication` below 0 is the broker's default.
    pub async fn create_topic(&self, topic: &str, partitions: i32, replication: i32) -> Result<()> {
        let name = topic.to_owned();
        let create = move |client: &AdminClient<DefaultClientContext>, options: &AdminOptions| {
            let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(replication));
            futures::executor::block_on(client.create_topics([&new], options))
        };
        match self.ask(create).await? {
            Ok(results) => match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
                Some(Err((_, code))) => Err(refused("the broker refuses to make the topic", topic, code)
                    .with("partitions", partitions)
                    .with("replication", replication)),
            },
            Err(e) if is_away(&e) => self.look_for_new(topic, e).await,
            Err(e) => Err(failed("the topic cannot be made", e).with("topic", topic)),
        }
    }

    /// Removes a topic with its records.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let name = topic.to_owned();
        let delete = move |client: &AdminClient<DefaultClientContext>, options: &AdminOptions| {
            futures::executor::block_on(client.delete_topics(&[&name], options))
        };
        let results = self
            .ask(delete)
            .await?
            .map_err(|e| failed("the topic cannot be removed", e).with("topic", topic))?;
        match results.into_iter().next() {
            None | Some(Ok(_)) => Ok(()),
            Some(Err((_, code))) => Err(refused("the broker refuses to remove the topic", topic, code)),
        }
    }

    /// Asks by a client that is there for this alone.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> Result<T, KafkaError>
        + Send
        + 'static,
    ) -> Result<std::result::Result<T, KafkaError>> {
        let (config, limit) = (self.config.clone(), self.limit);
        let token = self.blocking(|client| client.context().token()).await?;
        Ok(blocking(move || {
            let client: AdminClient<DefaultClientContext> = config.create()?;
            if let Some(token) = token {
                // Nobody polls this client for what it wants, and it is gone before the token is.
                set_token(client.inner(), &token)?;
            }
            let options = AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit));
            question(&client, &options)
        })
        .await)
    }

    /// No answer came to the wish for a topic: it may be there all the same.
    async fn look_for_new(&self, topic: &str, e: KafkaError) -> Result<()> {
        match self.topic_partitions(topic).await? {
            Some(_) => Ok(()),
            None => Err(failed(
                "the brokers answer but did not make the topic in time; make it with Kafka's own tools",
                e,
            )
            .with("topic", topic)
            .with("waited", format_args!("{} s", self.limit.as_secs_f64()))),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&BaseConsumer<Hearing>) -> T + Send + 'static,
    ) -> T {
        let client = Arc::clone(&self.client);
        blocking(move || call(&client)).await
    }

    /// No answer came within the limit: who was asked, for how long, and why as far as librdkafka has said.
    async fn away(&self) -> Error {
        let reason = self
            .blocking(|client| {
                serve(client); // the events have waited for somebody to poll
                client.context().reason()
            })
            .await;
        away(&self.brokers, self.limit, reason)
    }
}

fn away(brokers: &str, limit: Duration, reason: Option<String>) -> Error {
    let error = Error::new(
        Kind::Kafka,
        "no Kafka broker answered; check that the address is right, that a broker runs there and can be reached from \
         here, and that security.protocol and the credentials are what it wants",
    )
    .with("brokers", brokers)
    .with("waited", format_args!("{} s at most", limit.as_secs_f64()))
    .retryable();
    match reason {
        Some(reason) => error.because(reason),
        None => error,
    }
}

fn refused(what: &str, topic: &str, code: RDKafkaErrorCode) -> Error {
    failed(what, KafkaError::AdminOp(code)).with("topic", topic)
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => answer,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
