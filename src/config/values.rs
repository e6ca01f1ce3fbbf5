//! Turns the text of a setting into its value and back: `60s`, `192MiB`, `latest`.
//!
//! A file has types and a variable or a flag has text only, so every value is read from either: `1000` and `"1000"`
//! are one number. What is printed is read back as the same value.

use std::fmt::Display;
use std::str::FromStr;

use chrono::Datelike;
use figment::value::Value;
use serde::de::{Deserialize, Deserializer, Error};

use super::CatalogAt;
use crate::ingest::From;

/// A value's text, of whatever type the layer gave it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, b) => Some(b.to_string()),
        Value::Num(_, n) => {
            let int = n.to_u128().map(|n| n.to_string()).or_else(|| n.to_i128().map(|n| n.to_string()));
            int.or_else(|| n.to_f64().map(|n| n.to_string()))
        }
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

fn raw<'de, D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
    Deserialize::deserialize(d)
}

fn read<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text_of(&raw(d)?).ok_or_else(|| D::Error::custom("one value is expected, not a list or a table"))
}

fn parse<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(d: D, what: &str) -> Result<T, D::Error> {
    let text = read(d)?;
    text.parse().map_err(|e| D::Error::custom(format!("'{text}' is no {what}: {e}")))
}

/// Text as it stands; a number or a boolean is its text.
pub(super) mod text {
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &str, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
        super::read(d)
    }
}

/// Text that may not be set.
pub(super) mod optional {
    use figment::value::Value;
    use serde::de::Error;
    use serde::{Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<String>, s: S) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
        match super::raw(d)? {
            Value::Empty(..) => Ok(None),
            value => {
                super::text_of(&value).map(Some).ok_or_else(|| D::Error::custom("one value is expected"))
            }
        }
    }
}

/// A whole number, not negative; `_` may group its digits.
pub(super) mod number {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer, T: Serialize>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(d: D) -> Result<T, D::Error> {
        let text = super::read(d)?;
        text.replace('_', "")
            .parse()
            .map_err(|e| D::Error::custom(format!("'{text}' is no whole number above or at 0: {e}")))
    }
}

pub(super) mod switch {
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &bool, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bool(*value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
        super::parse(d, "switch, true or false")
    }
}

/// `500ms`, `60s`, `5m`, `1h 30m`; above zero.
pub(super) mod duration {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&humantime::format_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = super::read(d)?;
        let duration = humantime::parse_duration(&text)
            .map_err(|e| D::Error::custom(format!("'{text}' is no duration: {e}; write 500ms, 60s or 5m")))?;
        if duration.is_zero() {
            return Err(D::Error::custom(format!("'{text}' is no time at all: it is above zero")));
        }
        Ok(duration)
    }
}

/// `64MB` (10⁶), `192MiB` (2²⁰) or a plain number of bytes; above zero.
pub(super) mod bytes {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    /// The first that divides a size is the one it was most likely written in.
    const UNITS: [(usize, &str); 6] = [
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
        (1_000, "kB"),
    ];

    pub fn serialize<S: Serializer>(value: &usize, s: S) -> Result<S::Ok, S::Error> {
        let unit = UNITS.iter().find(|(unit, _)| *value >= *unit && value.is_multiple_of(*unit));
        match unit {
            Some((unit, name)) => s.collect_str(&format_args!("{}{name}", value / unit)),
            None => s.collect_str(value),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
        let text = super::read(d)?;
        let size = parse_size::parse_size(&text)
            .map_err(|e| D::Error::custom(format!("'{text}' is no size: {e}; write 64MB or 192MiB")))?;
        match usize::try_from(size) {
            Ok(0) | Err(_) => {
                Err(D::Error::custom(format!("'{text}' is no size: it is above 0 and fits this machine")))
            }
            Ok(size) => Ok(size),
        }
    }
}

/// An amount of money, not negative.
pub(super) mod amount {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(*value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        let amount: f64 = super::parse(d, "amount")?;
        match amount.is_finite() && amount >= 0.0 {
            true => Ok(amount),
            false => Err(D::Error::custom(format!("'{amount}' is no amount: it is above or at 0"))),
        }
    }
}

/// `auto`, `path` or `virtual`.
pub(super) mod addressing {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use crate::store::Addressing;

    const NAMES: [(&str, Addressing); 3] =
        [("auto", Addressing::Auto), ("path", Addressing::Path), ("virtual", Addressing::Virtual)];

    pub fn serialize<S: Serializer>(value: &Addressing, s: S) -> Result<S::Ok, S::Error> {
        let name = NAMES.iter().find(|(_, style)| style == value).map_or("auto", |(name, _)| name);
        s.serialize_str(name)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Addressing, D::Error> {
        let text = super::read(d)?;
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, style)| *style).ok_or_else(|| {
            D::Error::custom(format!("'{text}' is no addressing style: write auto, path or virtual"))
        })
    }
}

/// `stop` or `skip`.
pub(super) mod lost {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use crate::ingest::Lost;

    pub fn serialize<S: Serializer>(value: &Lost, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(match value {
            Lost::Stop => "stop",
            Lost::Skip => "skip",
        })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Lost, D::Error> {
        match super::read(d)?.as_str() {
            "stop" => Ok(Lost::Stop),
            "skip" => Ok(Lost::Skip),
            text => Err(D::Error::custom(format!("'{text}' is not what to do: write stop or skip"))),
        }
    }
}

/// A list, or its names with commas between.
pub(super) mod names {
    use figment::value::Value;
    use serde::de::Error;
    use serde::{Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &[String], s: S) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
        let names: Option<Vec<String>> = match super::raw(d)? {
            Value::Array(_, values) => values.iter().map(super::text_of).collect(),
            value => super::text_of(&value)
                .map(|text| text.split(',').map(|name| name.trim().to_owned()).collect()),
        };
        let names = names.ok_or_else(|| D::Error::custom("a list of names is expected"))?;
        if names.iter().any(String::is_empty) {
            return Err(D::Error::custom("one of the names is empty"));
        }
        Ok(names)
    }
}

/// librdkafka's properties: every value is its text.
pub(super) mod properties {
    use std::collections::BTreeMap;

    use figment::value::Value;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &BTreeMap<String, String>, s: S) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
        let values = BTreeMap::<String, Value>::deserialize(d)?;
        let one = |(key, value): (String, Value)| match super::text_of(&value) {
            Some(text) => Ok((key, text)),
            None => Err(D::Error::custom(format!(
                "the Kafka property {key} takes one value: write lists as 'a,b'"
            ))),
        };
        values.into_iter().map(one).collect()
    }
}

/// `beginning`, `latest`, an offset or an RFC 3339 time.
pub(super) mod start {
    use serde::{Deserializer, Serializer};

    use crate::ingest::From;

    pub fn serialize<S: Serializer>(value: &From, s: S) -> Result<S::Ok, S::Error> {
        match value {
            From::Beginning => s.serialize_str("beginning"),
            From::Latest => s.serialize_str("latest"),
            From::Offset(offset) => s.collect_str(offset),
            From::Time(millis) => match chrono::DateTime::from_timestamp_millis(*millis) {
                Some(time) => s.serialize_str(&time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
                None => Err(serde::ser::Error::custom(format!("{millis} ms is no time of the calendar"))),
            },
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<From, D::Error> {
        super::parse(d, "start")
    }
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => return Ok(Self::Beginning),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Offset).map_err(|e| e.to_string());
        }
        match chrono::DateTime::parse_from_rfc3339(text) {
            // Beyond, it is a year of UTC that the form cannot say.
            Ok(time) if (0..=9999).contains(&time.to_utc().year()) => Ok(Self::Time(time.timestamp_millis())),
            _ => Err("write beginning, latest, an offset, or a time as 2026-11-22T13:30:00Z".to_owned()),
        }
    }
}

impl TryFrom<String> for CatalogAt {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(file.into())),
            _ if text == "glue" => Ok(Self::Glue),
            _ => Err(format!("'{text}' is no catalog: write sqlite:FILE or glue")),
        }
    }
}

impl std::convert::From<CatalogAt> for String {
    fn from(at: CatalogAt) -> Self {
        at.to_string()
    }
}

impl Display for CatalogAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
            Self::Glue => f.write_str("glue"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_an_offset_or_a_time() {
        assert_eq!("latest".parse(), Ok(From::Latest));
        assert_eq!("0042".parse(), Ok(From::Offset(42)));
        assert_eq!("1970-01-01T01:00:01+01:00".parse(), Ok(From::Time(1000)));
        for wrong in ["", "-1", "newest", "2026-11-22", "99999999999999999999", "9999-12-31T23:59:59-01:00"] {
            assert!(wrong.parse::<From>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_printed_as_they_are_read() {
        #[derive(serde::Deserialize, serde::Serialize)]
        struct Sized(#[serde(with = "bytes")] usize);
        let read =
            |text: &str| Value::from(text).deserialize::<Sized>().map(|s| s.0).map_err(|e| e.to_string());
        for (text, bytes) in [("192MiB", 192 << 20), ("64MB", 64_000_000), ("1GiB", 1 << 30), ("4097", 4097)]
        {
            assert_eq!(read(text).unwrap(), bytes, "{text}");
            let printed = Value::serialize(Sized(bytes)).unwrap();
            assert_eq!(printed.as_str(), Some(text));
        }
        assert!(read("0").is_err());
        assert!(read("-1").is_err());
        assert!(read("much").is_err());
    }
}
