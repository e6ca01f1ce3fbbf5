//! Defines a partition's key and its path: Hive's `date=2026-11-22/symbol=BRK%2FB`.
//!
//! The catalog takes values raw, only the path is escaped (FACTS 2.4), and exactly as Hive's `FileUtils` does it
//! (FACTS 4.1): engines and repairs that read a value out of a path find the same one.

use std::fmt;

use chrono::NaiveDate;

use crate::error::Result;

/// The value that stands for null, in paths and in the catalog alike (Hive; FACTS 4.1, 4.5).
pub const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A segment of a path is at most this long, `name=` and escapes included: the longest name of a file or a folder that
/// local disks take. Glue's own limit for a value, 1024 characters (FACTS 2.3), is far above.
pub const SEGMENT_BYTES_MAX: usize = 255;

/// A partition's path is at most this long. A key of S3 has 1024 bytes: 250 are a file's name, and the rest is the
/// location's.
pub const PATH_BYTES_MAX: usize = 512;

/// The values of a table's partition columns, raw (unescaped), in the DDL's order; null is [`HIVE_NULL`].
///
/// * Every value can be a path's segment and a Glue value: the constructor refuses what cannot.
/// * `path` escapes exactly as Hive does, so it cannot leave the table's location.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey {
    values: Vec<String>,
    path: String,
}

impl PartitionKey {
    /// `names` and `values` in the DDL's order. Null is passed as [`HIVE_NULL`]; a text out of a record goes through
    /// [`check_value`] first, so that none reads as null that is not.
    ///
    /// Refused: an empty value, `.`, `..`, the characters U+0000 to U+0002, which Glue's partition indexes do not take
    /// (FACTS 2.12), and what is longer than [`SEGMENT_BYTES_MAX`] and [`PATH_BYTES_MAX`] allow.
    ///
    /// # Panics
    /// If there are not as many values as names.
    pub fn new(names: &[&str], values: Vec<String>) -> Result<Self, InvalidValue> {
        assert_eq!(names.len(), values.len(), "a partition key has a value for each of its columns");
        let mut path = String::new();
        for (field, (name, value)) in names.iter().zip(&values).enumerate() {
            let invalid = |reason| InvalidValue { field, reason };
            if value != HIVE_NULL {
                check_value(value).map_err(invalid)?;
            }
            if field > 0 {
                path.push('/');
            }
            let start = path.len();
            escape(&name.to_ascii_lowercase(), &mut path);
            path.push('=');
            escape(value, &mut path);
            if path.len() - start > SEGMENT_BYTES_MAX {
                return Err(invalid("is too long: with its column's name and escapes it has over 255 bytes"));
            }
            if path.len() > PATH_BYTES_MAX {
                return Err(invalid("is too long: the partition's path would have over 512 bytes"));
            }
        }
        Ok(Self { values, path })
    }

    /// Raw values, as the catalog takes them.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// `date=2026-11-22/symbol=BRK%2FB`, without a slash at either end.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Why a value cannot be a partition's. It is a reason to reject a record, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// Index of the partition column.
    pub field: usize,
    /// Goes on from the column's name: `is empty`.
    pub reason: &'static str,
}

/// Checks a text out of a record: whether it can be a partition's value and means itself there. An empty text is
/// refused: what becomes of it is the table's `null_partition`.
pub fn check_value(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("is empty"),
        // Engines and tools that normalise paths after decoding would leave the table (FACTS 4.8).
        "." | ".." => Err("is '.' or '..', which is no name of a folder"),
        HIVE_NULL => Err("is '__HIVE_DEFAULT_PARTITION__', which engines read as null"),
        _ if text.contains(['\0', '\u{1}', '\u{2}']) => {
            Err("holds a character U+0000 to U+0002, which the catalog cannot index")
        }
        _ => Ok(()),
    }
}

/// Reads a partition's path back: the raw values, in the order of `names`, as Hive and Trino decode them (FACTS 4.2).
/// `None` where the path is not of these columns. Null is [`HIVE_NULL`].
pub fn parse_path(path: &str, names: &[&str]) -> Option<Vec<String>> {
    let mut values = Vec::with_capacity(names.len());
    let mut segments = path.split('/');
    for name in names {
        let (found, value) = segments.next()?.split_once('=')?;
        if unescape(found) != name.to_ascii_lowercase() {
            return None;
        }
        values.push(unescape(value));
    }
    segments.next().is_none().then_some(values)
}

/// Whether a `date` partition's value, of a year, a month, a day or an hour, is all before a day. Null is not.
pub fn is_before(value: &str, day: NaiveDate) -> bool {
    let day = day.to_string();
    let is_time = value.len() >= 4 && value.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let to = value.len().min(day.len());
    is_time && value.as_bytes()[..to] < day.as_bytes()[..to]
}

/// Hive's set, and nothing else: not the space, not `}` or `~`, and no byte of a non-ASCII character, which would
/// read back as other characters (FACTS 4.1, 4.2).
fn must_escape(c: char) -> bool {
    c.is_ascii_control()
        || matches!(c, '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^')
}

fn escape(text: &str, path: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for c in text.chars() {
        if must_escape(c) {
            // Every character of the set is ASCII.
            let code = c as usize;
            path.extend(['%', char::from(HEX[code >> 4]), char::from(HEX[code & 15])]);
        } else {
            path.push(c);
        }
    }
}

/// Each `%XX` is one character of that code; a `%` before anything else is itself.
fn unescape(text: &str) -> String {
    let mut raw = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        raw.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = rest.get(1..3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(code) => {
                raw.push(char::from(code));
                rest = &rest[3..];
            }
            None => {
                raw.push('%');
                rest = &rest[1..];
            }
        }
    }
    raw.push_str(rest);
    raw
}
