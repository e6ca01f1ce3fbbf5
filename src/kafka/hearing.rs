//! Keeps what a client says outside of its answers: why it cannot reach a broker, and its log lines.
//!
//! librdkafka tries again for as long as it may, so a call that fails says only that time ran out. The reason
//! ("connection refused", "authentication failed") comes as an event before it; the last one is kept here and
//! becomes the cause of the error.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The context of a client whose events nobody else reads.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    last: Mutex<Option<String>>,
}

impl Hearing {
    /// The last reason that was given, in librdkafka's words.
    pub(super) fn reason(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Hearing {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{line}"),
            // What matters of these comes as an error event or as a call that fails.
            _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // "1/1 brokers are down" comes after the event that says why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
        tracing::debug!(%error, reason, "the Kafka client reports an error");
    }
}

impl ConsumerContext for Hearing {}
