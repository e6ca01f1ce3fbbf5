//! Turns the user's Kafka settings into a client's configuration.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::iam::{MECHANISM, Tokens};
use crate::aws::Aws;
use crate::error::{Error, Kind, Result};

/// How to reach a cluster: the brokers and any of librdkafka's properties.
#[derive(Clone, Default)]
pub struct Connection {
    /// `HOST:PORT,…`
    pub brokers: String,
    /// librdkafka's properties, by its names. They pass through as they are, above the role's defaults.
    pub properties: BTreeMap<String, String>,
    /// Whose credentials `sasl.mechanism=AWS_MSK_IAM` shows the brokers.
    pub aws: Aws,
}

impl fmt::Debug for Connection {
    /// Without the properties' values: there are passwords and keys among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("Connection").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

/// Where OpenSSL looks for authorities first, if a machine says so.
const OPENSSL_PLACES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

impl Connection {
    /// The configuration of one client: the role's defaults, then the user's properties, then what the role cannot
    /// work without. A property of the user's that contradicts the last is refused.
    pub(super) fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config.set("client.id", "ticklake");
        if !OPENSSL_PLACES.iter().any(|name| std::env::var_os(name).is_some()) {
            // The OpenSSL that is built in looks for authorities where it was built, which is no machine's place:
            // librdkafka looks through the usual ones.
            config.set("ssl.ca.location", "probe");
        }
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(canonical(key), value);
        }
        if self.wants_tokens() {
            config.set("sasl.mechanism", "OAUTHBEARER");
            // The brokers have no other port for it.
            if !self.properties.contains_key("security.protocol") {
                config.set("security.protocol", "SASL_SSL");
            }
        }
        config.set("bootstrap.servers", &self.brokers);
        for (key, value) in fixed {
            let mut theirs = self.properties.iter().filter(|(name, _)| canonical(name) == *key);
            if let Some((_, theirs)) = theirs.find(|(_, theirs)| theirs != value) {
                return Err(Error::usage(format!(
                    "the Kafka property {key} must be '{value}' here: nothing may be lost or doubled; remove it"
                ))
                .with("given", theirs));
            }
            config.set(*key, *value);
        }
        Ok(config)
    }

    fn wants_tokens(&self) -> bool {
        let mut mechanisms = self.properties.iter().filter(|(name, _)| canonical(name) == "sasl.mechanism");
        mechanisms.any(|(_, mechanism)| mechanism == MECHANISM)
    }

    /// What makes the tokens of one client; none where the brokers take none. Called where tokio runs.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        self.wants_tokens().then(|| Tokens::new(self.aws.clone()))
    }
}

/// The name under which a property is set here. Some have two names, of which the one that is set last would win, in
/// no order: librdkafka's CONFIGURATION.md, "Alias for".
fn canonical(name: &str) -> &str {
    match name {
        "metadata.broker.list" => "bootstrap.servers",
        "request.required.acks" => "acks",
        "delivery.timeout.ms" => "message.timeout.ms",
        "queue.buffering.max.ms" => "linger.ms",
        "compression.codec" => "compression.type",
        "max.partition.fetch.bytes" => "fetch.message.max.bytes",
        "sasl.mechanisms" => "sasl.mechanism",
        "max.in.flight" => "max.in.flight.requests.per.connection",
        "message.send.max.retries" => "retries",
        name => name,
    }
}

/// An error of librdkafka's as the crate's own. A property that it does not know, or a value that it does not take,
/// is the user's to change; what an ACL forbids says which one is missing.
pub(super) fn failed(what: impl Into<String>, e: KafkaError) -> Error {
    let kind = if matches!(e, KafkaError::ClientConfig(..)) { Kind::Usage } else { Kind::Kafka };
    let error = Error::new(kind, what);
    let error = match code_of(&e).and_then(missing_right) {
        Some(right) => error.with("ACLs must allow", right),
        None => error,
    };
    match e {
        // Its own text has the value, which may be a password under a mistyped name.
        KafkaError::ClientConfig(_, why, property, _) => error.with("property", property).because(why),
        e => error.because(e),
    }
}

/// What an ACL has to allow before Kafka does not answer so (Kafka's documentation, "Operations and Resources on
/// Protocols").
pub(super) fn missing_right(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            Some("READ of the topic, to produce WRITE, and to make it CREATE")
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => Some("READ of the consumer group"),
        RDKafkaErrorCode::ClusterAuthorizationFailed => Some("CREATE or IDEMPOTENT_WRITE on the cluster"),
        _ => None,
    }
}

fn code_of(e: &KafkaError) -> Option<RDKafkaErrorCode> {
    match e {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// Whether no broker was heard.
pub(super) fn is_away(e: &KafkaError) -> bool {
    matches!(
        code_of(e),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    )
}
