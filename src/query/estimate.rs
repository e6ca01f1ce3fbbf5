//! Defines what a query would read, before it runs.

use crate::table::TableName;

/// What all scans of a query read at most: one of them may end early, and row groups are left out by their statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// A table that is scanned twice is there twice.
    pub scans: Vec<Reads>,
}

/// What one scan of a table reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads {
    pub table: TableName,
    /// Those that the filters leave; a table without partition columns is one.
    pub partitions: usize,
    pub files: usize,
    pub bytes: u64,
    pub extent: Extent,
}

/// What the bytes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Those parts of the files that hold the columns needed, as the files' footers tell.
    Columns,
    /// The files, whole: there are too many to look into each.
    Files,
}

impl Estimate {
    pub fn bytes(&self) -> u64 {
        self.scans.iter().map(|scan| scan.bytes).sum()
    }
}
