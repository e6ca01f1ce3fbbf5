//! Defines the spec: what a table's DDL says about the fate of a record.
//!
//! Whether a record is a row, rejected or skipped, and its partition, follow from its bytes, topic, partition,
//! offset and Kafka timestamp, and from this (DESIGN §3.7). The spec's hash is in every file's footer.

mod read;
mod syntax;

use std::collections::BTreeSet;
use std::fmt;

use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::columns::Column;
use super::ddl::Ddl;
use super::pointer::Pointer;
pub use super::transform::Transform;
use crate::error::Result;

/// What the DDL says about records, checked.
///
/// * Every column and every partition column has a source.
/// * A column has a source that can give its type: `binary` has `@key` or `@headers.NAME`, a map's keys are strings.
/// * Every `timestamp` and `date` column out of a record has a format.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The columns of the files, in the DDL's order.
    pub columns: Vec<SpecColumn>,
    /// The partition columns, in the DDL's order; at least one.
    pub partitions: Vec<PartitionField>,
    /// In which `day` and `hour` are cut.
    pub timezone: Tz,
    /// Where in a message the record, or the array of records, is.
    pub records: Pointer,
    /// Which messages hold records; the others are skipped whole.
    pub messages: Option<Only>,
    /// Which records are rows; the others are skipped.
    pub only: Option<Only>,
    /// Indices into `columns`: the order of the rows in a file, all ascending, nulls first.
    pub sort: Vec<usize>,
    /// What becomes of a row whose partition value is null, missing or empty.
    pub null_partition: NullPartition,
    pub compression: Compression,
}

/// A column, where its value comes from, and how that is read as a time.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecColumn {
    pub column: Column,
    pub source: Source,
    /// Of a column out of a record: of every `timestamp` (by default RFC 3339) and `date` (by default `%Y-%m-%d`), and of
    /// a `bigint` that says so and then holds nanoseconds since the epoch; of a `decimal` that is rounded. `None` for all
    /// others: a `bigint` without one is the number itself, and `@timestamp` is milliseconds since the epoch.
    pub format: Option<Format>,
}

/// Where a value comes from.
///
/// `Timestamp` gives a `timestamp`, or a `bigint` of milliseconds since the epoch; `Partition` an `int` or a `bigint`, `Offset` a
/// `bigint`, `Topic` a `string`, `Key` and `Header` a `string` or a `binary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The field of the column's own name, compared without case; a field spelled exactly so wins.
    Field(String),
    /// `/p`, relative to the record; compared with case.
    Pointer(Pointer),
    Key,
    Timestamp,
    Topic,
    Partition,
    Offset,
    Header(String),
}

/// How a text or a number is read: as which time, or how exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    EpochSeconds,
    EpochMillis,
    EpochMicros,
    EpochNanos,
    /// RFC 3339 / ISO 8601: `2026-11-22T13:30:00.123456789Z`, also with a space, also without an offset (UTC).
    Rfc3339,
    /// A strftime pattern of chrono's; a time without an offset is UTC.
    Strftime(String),
    /// Of a decimal, not of a time: digits too many after the point are rounded, half of one away from zero, as engines
    /// round.
    Rounded,
}

/// A partition column and the transform that gives its value (Iceberg's names).
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionField {
    pub name: String,
    pub transform: Transform,
    pub of: PartitionSource,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PartitionSource {
    /// A column of the table, by its index.
    Column(usize),
    /// A value that is in no column. A time out of a record has its format under the partition's name, RFC 3339 by
    /// default; `None` for `Identity` and for an `@` source.
    Source(Source, Option<Format>),
}

/// `POINTER = JSON-SCALAR`
#[derive(Clone, Debug, PartialEq)]
pub struct Only {
    pub pointer: Pointer,
    pub value: Scalar,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    /// The number's text.
    Number(String),
    String(String),
}

/// `ticklake.null_partition`: `default` (the partition `__HIVE_DEFAULT_PARTITION__`) or `reject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullPartition {
    Default,
    Reject,
}

/// `parquet.compression`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Zstd,
    Snappy,
    None,
}

impl Spec {
    /// Reads the spec out of a DDL. An unknown `ticklake.` key, a partition without a source, a type that JSON
    /// cannot give: an error of kind `Usage` that names the line, where there is one, and the fix.
    pub fn from_ddl(ddl: &Ddl) -> Result<Self> {
        read::spec(ddl)
    }

    /// The first 16 hexadecimal digits of the SHA-256 of [`canonical`](Self::canonical).
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.canonical());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The part of the DDL that decides fate, without name, location, comments, sort order and compression: a text
    /// of lines. Two specs have the same text if and only if they give every record the same fate by the same
    /// rules; the order of the columns, and whether a default is written out, make no difference.
    pub fn canonical(&self) -> String {
        let mut text = self.routing();
        for line in self.column_lines() {
            text.push_str(&line);
        }
        text
    }

    /// Whether this spec is the old one with columns added, or the same: every record goes where it went, and every old
    /// column is read as it was. What is in the old files then reads under this spec, with nulls in the new columns.
    pub fn adds_only_columns_to(&self, old: &Self) -> bool {
        self.routing() == old.routing() && self.column_lines().is_superset(&old.column_lines())
    }

    /// Whether this spec is the old one with columns added, dropped or widened, or the same: every record goes where it went,
    /// and every column that both have is read from the same place by the same format. What is in the old files then
    /// reads under this spec too. A record that is a row under the one may be rejected under the other.
    pub fn changes_only_columns_of(&self, old: &Self) -> bool {
        let reads = |theirs: &SpecColumn| {
            let ours = self.columns.iter().find(|ours| ours.column.name == theirs.column.name);
            ours.is_none_or(|ours| {
                (&ours.source, &ours.format) == (&theirs.source, &theirs.format)
                    && theirs.column.column_type.reads_as(&ours.column.column_type)
            })
        };
        self.routing() == old.routing() && old.columns.iter().all(reads)
    }

    /// All of the canonical text but the columns. Its first line is the version of the text's own form.
    fn routing(&self) -> String {
        let mut text = format!(
            "ticklake spec 1\ntimezone {}\nrecords {}\n",
            self.timezone.name(),
            json(&self.records.to_string())
        );
        for (what, only) in [("messages", &self.messages), ("only", &self.only)] {
            if let Some(only) = only {
                text.push_str(&format!("{what} {} = {}\n", json(&only.pointer.to_string()), only.value));
            }
        }
        text.push_str(match self.null_partition {
            NullPartition::Default => "null_partition default\n",
            NullPartition::Reject => "null_partition reject\n",
        });
        for field in &self.partitions {
            let of = match &field.of {
                PartitionSource::Column(index) => format!("column {}", self.columns[*index].column.name),
                PartitionSource::Source(source, format) => described(source, format.as_ref()),
            };
            text.push_str(&format!("partition {} {} {of}\n", field.name, field.transform.name()));
        }
        text
    }

    fn column_lines(&self) -> BTreeSet<String> {
        let line = |SpecColumn { column, source, format }: &SpecColumn| {
            format!("column {} {} {}\n", column.name, column.column_type, described(source, format.as_ref()))
        };
        self.columns.iter().map(line).collect()
    }
}

fn described(source: &Source, format: Option<&Format>) -> String {
    match format {
        Some(format) => format!("{source} {format}"),
        None => source.to_string(),
    }
}

/// A text in JSON's quotes, which no line end or space in it can break.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// As it stands in the canonical text.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "field {}", json(name)),
            Self::Pointer(pointer) => write!(f, "pointer {}", json(&pointer.to_string())),
            Self::Key => f.write_str("@key"),
            Self::Timestamp => f.write_str("@timestamp"),
            Self::Topic => f.write_str("@topic"),
            Self::Partition => f.write_str("@partition"),
            Self::Offset => f.write_str("@offset"),
            Self::Header(name) => write!(f, "@headers {}", json(name)),
        }
    }
}

/// As it stands in the canonical text.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EpochSeconds => f.write_str("epoch_s"),
            Self::EpochMillis => f.write_str("epoch_ms"),
            Self::EpochMicros => f.write_str("epoch_us"),
            Self::EpochNanos => f.write_str("epoch_ns"),
            Self::Rfc3339 => f.write_str("rfc3339"),
            Self::Strftime(pattern) => write!(f, "strftime {}", json(pattern)),
            Self::Rounded => f.write_str("rounded"),
        }
    }
}

/// As JSON.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(text) => f.write_str(text),
            Self::String(text) => f.write_str(&json(text)),
        }
    }
}
