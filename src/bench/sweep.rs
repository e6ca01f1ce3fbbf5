//! Defines a sweep: a setting, and the values that the job is run with.

use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// `flush.age=10s,60s,300s`: a setting of `ingest`'s, or any by its whole name (`kafka.fetch.min.bytes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// With its section: `ingest.flush_age`.
    pub key: String,
    pub values: Vec<String>,
}

/// One value of each setting that is swept.
pub(super) type Setting = Vec<(String, String)>;

/// The sections of settings; what does not begin with one is `ingest`'s.
const SECTIONS: [&str; 9] = ["athena", "aws", "catalog", "glue", "ingest", "kafka", "log", "s3", "store"];

impl FromStr for Sweep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage("a sweep is SETTING=VALUE,VALUE…: flush.age=10s,60s, memory=64MiB,192MiB")
                .with("given", text)
        };
        let (name, values) = text.split_once('=').ok_or_else(wrong)?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if name.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(wrong());
        }
        let name = name.trim();
        let key = match name.split_once('.') {
            Some(("kafka", _)) => name.to_owned(),
            Some((section, key)) if SECTIONS.contains(&section) => {
                format!("{section}.{}", key.replace(['.', '-'], "_"))
            }
            _ => format!("ingest.{}", name.replace(['.', '-'], "_")),
        };
        Ok(Self { key, values })
    }
}

/// Every combination of the sweeps' values; one that sets nothing where there are none.
pub(super) fn combinations(sweeps: &[Sweep]) -> Vec<Setting> {
    sweeps.iter().fold(vec![Vec::new()], |settings, sweep| {
        let with = |setting: &Setting| {
            let setting = setting.clone();
            sweep
                .values
                .iter()
                .map(move |value| [&setting[..], &[(sweep.key.clone(), value.clone())]].concat())
        };
        settings.iter().flat_map(with).collect()
    })
}

/// The last value that a setting of durations has here.
pub(super) fn duration(setting: &Setting, key: &str) -> Result<Option<Duration>> {
    let value = setting.iter().rfind(|(name, _)| name == key).map(|(_, value)| value);
    let duration = value.map(|value| {
        humantime::parse_duration(value)
            .map_err(|e| Error::usage("a swept setting is no duration").with("given", value).because(e))
    });
    duration.transpose()
}

/// As a user reads it: `flush_age=10s memory=64MiB`.
pub(super) fn name(setting: &Setting) -> String {
    let each = setting.iter().map(|(key, value)| format!("{}={value}", key.trim_start_matches("ingest.")));
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_as_users_do() {
        let of = |text: &str| text.parse::<Sweep>().map(|sweep| (sweep.key, sweep.values.len()));
        assert_eq!(of("flush.age=10s,60s").unwrap(), ("ingest.flush_age".to_owned(), 2));
        assert_eq!(of("flush-rows=5").unwrap(), ("ingest.flush_rows".to_owned(), 1));
        assert_eq!(of("store.fsync=true, false").unwrap(), ("store.fsync".to_owned(), 2));
        assert_eq!(of("kafka.fetch.min.bytes=1").unwrap(), ("kafka.fetch.min.bytes".to_owned(), 1));
        for wrong in ["flush.age", "=1", "memory=1,", ""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_values_meet() {
        let sweeps = ["a=1,2".parse().unwrap(), "b=3,4,5".parse().unwrap()];
        assert_eq!(combinations(&sweeps).len(), 6);
        assert_eq!(name(&combinations(&sweeps)[5]), "a=2 b=5");
        assert_eq!(combinations(&[]), [Vec::new()]);
    }
}
