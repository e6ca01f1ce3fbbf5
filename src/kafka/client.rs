//! Turns the user's Kafka settings into a client's configuration.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::error::{Error, Kind, Result};

/// How to reach a cluster: the brokers and any of librdkafka's properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `HOST:PORT,…`
    pub brokers: String,
    /// librdkafka's properties, by its names. They pass through as they are, above the role's defaults.
    pub properties: BTreeMap<String, String>,
}

impl Connection {
    /// The configuration of one client: the role's defaults, then the user's properties, then what the role cannot
    /// work without. A property of the user's that contradicts the last is refused.
    pub(super) fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config.set("client.id", "ticklake");
        for (key, value) in defaults {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (key, value) in fixed {
            if let Some(theirs) = self.properties.get(*key).filter(|theirs| theirs != value) {
                return Err(Error::usage(format!(
                    "the Kafka property {key} must be '{value}' here: nothing may be lost or doubled; remove it"
                ))
                .with("given", theirs));
            }
            config.set(*key, *value);
        }
        Ok(config)
    }
}

/// An error of librdkafka's as the crate's own.
pub(super) fn failed(what: impl Into<String>, e: rdkafka::error::KafkaError) -> Error {
    Error::new(Kind::Kafka, what).because(e)
}
