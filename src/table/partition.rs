//! Defines a partition's key and its path: Hive's `date=2026-11-22/symbol=BRK%2FB`.

use std::fmt;

use crate::error::Result;

/// The value that stands for null, in paths and in the catalog alike (Hive; FACTS 4.1, 4.5).
pub const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

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
    /// `names` and `values` in the DDL's order.
    pub fn new(_names: &[&str], _values: Vec<String>) -> Result<Self, InvalidValue> {
        todo!()
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
    pub reason: &'static str,
}
