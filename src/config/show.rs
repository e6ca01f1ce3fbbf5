//! Turns the settings in force into lines that say where each comes from, secrets hidden.

use std::fmt;

use figment::value::{Dict, Value};
use serde::Serialize;

use super::Config;
use crate::aws::without_login;
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
            let key = format!("{section}{}", key_in_toml(name));
            let layer = layers.and_then(|layers| layers.get(name));
            if let Value::Dict(_, values) = value {
                self.walk(entries, &format!("{key}."), Some(values), layer.and_then(Value::as_dict));
                continue;
            }
            let from = layer.and_then(|value| self.layers.get_metadata(value.tag()));
            let value = match serde_json::json!(value) {
                _ if is_secret(name) => HIDDEN.into(),
                serde_json::Value::String(text) => without_login(&text).into(),
                value => value,
            };
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
            value => format!("{} = {}", self.key, in_toml(value)),
        };
        write!(f, "{line:<44} # {}", self.from)
    }
}

/// A name of librdkafka's, or of what the user took for one, is in quotes unless TOML takes it without.
fn key_in_toml(name: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match !name.is_empty() && name.bytes().all(is_bare) {
        true => name.to_owned(),
        false => in_toml(&name.into()),
    }
}

/// JSON's form of a value is TOML's, but for one character that TOML's texts must escape, and for numbers that are
/// beyond its own: their text is read as well.
fn in_toml(value: &serde_json::Value) -> String {
    if value.is_u64() && !value.is_i64() {
        return format!("\"{value}\"");
    }
    value.to_string().replace('\u{7f}', "\\u007f")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|secret| name.contains(secret))
}
