//! Sends records to one topic, and knows of each whether it has arrived.
//!
//! Idempotent and with acks from all replicas in sync, so that a retry neither doubles nor reorders. What was sent
//! waits in librdkafka's queue, which is bounded; where it is full, [`Producer::send`] waits. Every record has a fate
//! within `message.timeout.ms`, and the fates are counted rather than handed out one by one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use tokio::time::{Instant, sleep};

use super::client::{Connection, failed, missing_right};
use super::hearing::{Hearing, NoToken};
use crate::error::{Error, Kind, Result};

/// What a producer cannot promise delivery without.
const FIXED: [(&str, &str); 2] = [("acks", "all"), ("enable.idempotence", "true")];

const DEFAULTS: [(&str, &str); 9] = [
    // A batch is worth waiting for: a tick is some 120 bytes, and at full speed a batch is full long before.
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    ("compression.type", "lz4"),
    // The queue's two limits. librdkafka's own is 1 GiB.
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "65536"),
    // librdkafka's own is 5 minutes: too long to say nothing of a broker that is away.
    ("message.timeout.ms", "30000"),
    ("socket.keepalive.enable", "true"),
    // After a broker was stopped in order, librdkafka may miss the new leader until it looks again: within the timeout.
    ("topic.metadata.refresh.interval.ms", "10000"),
    // As Java's clients, so that a symbol goes to the same partition whoever sends it.
    ("partitioner", "murmur2_random"),
];

/// How long to wait before a full queue or an outstanding delivery is looked at again. A full queue lasts for longer
/// than this at any speed, so that it does not run empty meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// Added to `message.timeout.ms`: librdkafka looks for timeouts once a second.
const TIMEOUT_SLACK: Duration = Duration::from_secs(3);

/// After a purge the delivery reports only have to be read.
const PURGE_LIMIT: Duration = Duration::from_secs(5);

/// So many distinct reasons of failure are kept.
const REASONS_MAX: usize = 8;

/// The fates of what was sent. `sent - delivered - failed` are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records given to the queue, and the bytes of their values.
    pub sent: u64,
    pub sent_bytes: u64,
    /// Confirmed by all replicas in sync.
    pub delivered: u64,
    /// Not confirmed: refused, out of time, or given up. One that ran out of time on its way may have arrived.
    pub failed: u64,
}

/// A producer for one topic. Dropping it gives up what is in flight; [`Producer::flush`] first.
pub struct Producer {
    client: ThreadedProducer<Deliveries>,
    topic: String,
    brokers: String,
    timeout: Duration,
}

impl Producer {
    /// Makes the producer; it connects with the first record. A broker that is away is an error of
    /// [`Producer::send`] or [`Producer::flush`] after `message.timeout.ms`.
    pub fn new(connection: &Connection, topic: &str) -> Result<Self> {
        let config = connection.config(&DEFAULTS, &FIXED)?;
        let timeout_ms = config.get("message.timeout.ms").and_then(|ms| ms.parse().ok());
        if timeout_ms == Some(0) {
            return Err(Error::usage(
                "message.timeout.ms=0 would wait forever for a broker that is away; give a number of milliseconds",
            ));
        }
        let client: ThreadedProducer<Deliveries> = config
            .create_with_context(Deliveries { hearing: Hearing::of(connection), ..Deliveries::default() })
            .map_err(|e| failed("the Kafka producer cannot be made; check the Kafka properties", e))?;
        Ok(Self {
            client,
            topic: topic.to_owned(),
            brokers: connection.brokers.clone(),
            timeout: Duration::from_millis(timeout_ms.unwrap_or_default()),
        })
    }

    /// Puts a record into the queue, which copies it; waits where the queue is full. Records with the same key keep
    /// their order. The first record known not to be delivered makes this and every later call an error; so does a
    /// record larger than `message.max.bytes`, which is not counted as sent.
    ///
    /// Cancel safe: where the future is dropped while it waits, the record was not put in.
    pub async fn send(&self, key: Option<&[u8]>, value: &[u8]) -> Result<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(value);
        record.key = key;
        loop {
            if self.deliveries().failed.load(Ordering::Relaxed) > 0 {
                return Err(self.undelivered());
            }
            record = match self.client.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((e, _)) => return Err(self.refused(e, value.len())),
            };
            sleep(PAUSE).await;
        }
        self.deliveries().sent.fetch_add(1, Ordering::Relaxed);
        self.deliveries().sent_bytes.fetch_add(value.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until every record sent has its fate. Past the limit the rest is given up and counted as failed. An error
    /// if any record sent so far was not delivered.
    pub async fn flush(&self, limit: Duration) -> Result<()> {
        if !self.settled(limit).await {
            self.client.purge(PurgeConfig::default().queue().inflight());
            self.settled(PURGE_LIMIT).await;
        }
        match self.counts().failed {
            0 => Ok(()),
            _ => Err(self.undelivered()),
        }
    }

    /// The limit for a [`Producer::flush`] that gives up no record which could still be delivered.
    pub fn flush_limit(&self) -> Duration {
        self.timeout + TIMEOUT_SLACK
    }

    pub fn counts(&self) -> Counts {
        let deliveries = self.deliveries();
        // The fates first: none is counted that is not counted as sent, but for the record being sent just now.
        let delivered = deliveries.delivered.load(Ordering::Acquire);
        let failed = deliveries.failed.load(Ordering::Acquire);
        Counts {
            sent: deliveries.sent.load(Ordering::Relaxed).max(delivered + failed),
            sent_bytes: deliveries.sent_bytes.load(Ordering::Relaxed),
            delivered,
            failed,
        }
    }

    async fn settled(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let counts = self.counts();
            if counts.delivered + counts.failed == counts.sent {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(PAUSE).await;
        }
    }

    fn undelivered(&self) -> Error {
        let Counts { sent, delivered, failed, .. } = self.counts();
        let error = Error::new(
            Kind::Kafka,
            format!(
                "{failed} of {sent} records were not delivered, {delivered} were; check the brokers and the topic, or \
                 raise message.timeout.ms"
            ),
        )
        .with("topic", &self.topic)
        .with("brokers", &self.brokers)
        .with("message.timeout.ms", self.timeout.as_millis())
        .with("reasons", self.deliveries().reasons_text())
        .retryable();
        let error = match self.deliveries().missing_right() {
            Some(right) => error.with("ACLs must allow", right),
            None => error,
        };
        match self.deliveries().hearing.reason().filter(|_| self.deliveries().ran_out_of_time()) {
            Some(reason) => error.because(reason),
            None => error,
        }
    }

    fn refused(&self, e: KafkaError, value_bytes: usize) -> Error {
        let what = match e.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                "a record is larger than the Kafka property message.max.bytes; raise it, and the topic's \
                 max.message.bytes"
            }
            _ => "a record cannot be sent",
        };
        failed(what, e).with("topic", &self.topic).with("record bytes", value_bytes)
    }

    fn deliveries(&self) -> &Deliveries {
        self.client.context()
    }
}

/// Counts the fates as librdkafka's thread reports them.
#[derive(Default)]
struct Deliveries {
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    reasons: Mutex<Vec<(RDKafkaErrorCode, u64)>>,
    hearing: Hearing,
}

impl Deliveries {
    fn count_failed(&self, reason: RDKafkaErrorCode) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = reasons.iter_mut().find(|(known, _)| *known == reason) {
            *count += 1;
        } else if reasons.len() < REASONS_MAX {
            reasons.push((reason, 1));
        }
        // Last, so that whoever sees the count finds its reason.
        self.failed.fetch_add(1, Ordering::Release);
    }

    /// Whether a record waited in vain: what was last heard of the brokers is then the cause.
    fn ran_out_of_time(&self) -> bool {
        use RDKafkaErrorCode::{MessageTimedOut, PurgeInflight, PurgeQueue};
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.iter().any(|(reason, _)| matches!(reason, MessageTimedOut | PurgeQueue | PurgeInflight))
    }

    fn missing_right(&self) -> Option<&'static str> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.iter().find_map(|(reason, _)| missing_right(*reason))
    }

    /// `REASON × COUNT; …`, in the order in which they were first seen.
    fn reasons_text(&self) -> String {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let texts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} × {count}")).collect();
        texts.join("; ")
    }
}

impl ClientContext for Deliveries {
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

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Release);
            }
            Err((e, _)) => {
                self.count_failed(e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown));
            }
        }
    }
}
