//! Turns the settings in force into lines that say where each comes from, secrets hidden.

use std::fmt;

use figment::value::{Dict, Value};
use serde::Serialize;

use super::Config;
use crate::error::{Error, Result};

/// What stands for a secret.
const HIDDEN: &str = "********";
/// A key that has one of these in its name is a secret (librdkafka's CONFIGURATION.md: passwords, private keys,
/// and what an OAuth login sends).
const SECRET: [&str; 9] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "sasl.jaas",
    "ssl.key.pem",
    "oauth",
    "private",
];

/// One setting in force. `Display` prints a line of TOML, with the layer as a comment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// With dots between; librdkafka's names are in quotes.
    pub key: String,
    /// `null` where nothing is set.
    pub value: serde_json::Value,
    /// `default`, `file NAME`, `variable NAME` or `flag NAME`.
    pub from: String,
}

impl Config {
    /// Every setting, in the order of its key.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let unprintable = |e| Error::usage("cannot print the settings").because(e);
        let settings = Value::serialize(&self.settings).map_err(unprintable)?;
        let layers: Value = self.layers.extract().map_err(unprintable)?;
        let mut entries = Vec::new();
        self.walk(&mut entries, "", settings.as_dict(), layers.as_dict());
        Ok(entries)
    }

    fn walk(&self, entries: &mut Vec<Entry>, section: &str, values: Option<&Dict>, layers: Option<&Dict>) {
        for (name, value) in values.into_iter().flatten() {
            let name_in_toml = if name.contains('.') { format!("\"{name}\"") } else { name.clone() };
            let key = format!("{section}{name_in_toml}");
            let layer = layers.and_then(|layers| layers.get(name));
            if let Value::Dict(_, values) = value {
                self.walk(entries, &format!("{key}."), Some(values), layer.and_then(Value::as_dict));
                continue;
            }
            let from = layer.and_then(|value| self.layers.get_metadata(value.tag()));
            let value = if is_secret(name) { HIDDEN.into() } else { serde_json::json!(value) };
            entries.push(Entry {
                key,
                value,
                from: from.map_or("default".to_owned(), |from| from.name.to_string()),
            });
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A TOML file has no null.
        let line = match &self.value {
            serde_json::Value::Null => format!("# {} is not set", self.key),
            value => format!("{} = {value}", self.key),
        };
        write!(f, "{line:<44} # {}", self.from)
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|secret| name.contains(secret))
}
