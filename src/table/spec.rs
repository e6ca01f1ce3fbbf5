//! Defines the spec: what a table's DDL says about the fate of a record.
//!
//! Whether a record is a row, rejected or skipped, and its partition, follow from its bytes, topic, partition,
//! offset and Kafka timestamp, and from this (DESIGN §3.7). The spec's hash is in every file's footer.

use chrono_tz::Tz;

use super::columns::Column;
use super::ddl::Ddl;
use super::pointer::Pointer;
use crate::error::Result;

/// What the DDL says about records, checked.
///
/// * Every column and every partition column has a source.
/// * A column whose type JSON cannot give (`binary`) has an `@` source.
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
    /// Which records are rows; the others are skipped.
    pub only: Option<Only>,
    /// Indices into `columns`: the order of the rows in a file, all ascending, nulls first.
    pub sort: Vec<usize>,
    /// What becomes of a row whose partition value is null, missing or empty.
    pub null_partition: NullPartition,
    pub compression: Compression,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SpecColumn {
    pub column: Column,
    pub source: Source,
    pub format: Option<Format>,
}

/// Where a value comes from.
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

/// How a text or a number is a time.
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
}

/// A partition column and the transform that gives its value (Iceberg's names).
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionField {
    pub name: String,
    pub transform: Transform,
    pub of: PartitionSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    Identity,
    /// `2026`
    Year,
    /// `2026-11`
    Month,
    /// `2026-11-22`
    Day,
    /// `2026-11-22-13`
    Hour,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PartitionSource {
    /// A column of the table, by its index.
    Column(usize),
    /// A value that is in no column; a time has its format under the partition's name.
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
    /// cannot give: an error that names the line and the fix.
    pub fn from_ddl(_ddl: &Ddl) -> Result<Self> {
        todo!()
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the spec's canonical text: the part of the DDL that decides
    /// fate, without name, location, comments, sort order and compression.
    pub fn hash(&self) -> String {
        todo!()
    }
}
