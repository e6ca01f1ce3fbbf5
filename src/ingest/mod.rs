//! Kafka → table: the main job.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::error::Result;
use crate::kafka::Connection;
use crate::store::Stores;
use crate::table::Ddl;

/// One ingestion job: what to read, where to write, and its limits.
#[derive(Clone, Debug)]
pub struct Job {
    pub connection: Connection,
    /// At least one.
    pub topics: Vec<String>,
    /// The consumer group; `ticklake-<db>.<table>` unless the user names another.
    pub group: String,
    /// The table as the user gave it; made in the catalog where it is not there.
    pub ddl: Ddl,
    /// Where the table is; above the DDL's own LOCATION.
    pub location: Option<String>,
    pub stores: Stores,
    pub catalog: Arc<dyn Catalog>,
    pub from: From,
    /// Stop at the end that was found at the start.
    pub until_end: bool,
    /// Above 0 it begins new chains: for a topic made anew under an old name.
    pub source_epoch: u32,
    pub limits: Limits,
}

/// Where a source starts that has no committed offset of this table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Beginning,
    Latest,
    Offset(i64),
    /// The first record at or after this time: milliseconds since the epoch.
    Time(i64),
}

/// Every limit of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A buffer is sealed at so many rows,
    pub flush_rows: usize,
    /// at so many bytes in memory,
    pub flush_bytes: usize,
    /// or this long after its first row.
    pub flush_age: Duration,
    /// All buffers and files in flight together; past it the largest are sealed, then reading pauses.
    pub memory_bytes: usize,
    /// Files being encoded and put at once.
    pub writes: usize,
    pub commit_interval: Duration,
    /// On SIGTERM and on a revoke: what is not durable by then is left to be read again.
    pub drain_deadline: Duration,
    /// What is known of the catalog expires after this.
    pub catalog_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flush_rows: 1_000_000,
            flush_bytes: 64 << 20,
            flush_age: Duration::from_secs(60),
            memory_bytes: 192 << 20,
            writes: 8,
            commit_interval: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(30),
            catalog_ttl: Duration::from_secs(3600),
        }
    }
}

/// What a job has done so far. It only grows, but for `lag_records`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Kafka records read.
    pub records: u64,
    /// Rows appended to the table's buffers.
    pub rows: u64,
    pub rejected: u64,
    pub skipped: u64,
    /// Links of the table and of its rejected sibling that this job wrote, and their bytes.
    pub files: u64,
    pub file_bytes: u64,
    pub partitions_registered: u64,
    /// Offsets that commits have moved forward, over all sources.
    pub offsets_committed: u64,
    /// Records between where the job reads and the end it knows; `None` before the first assignment.
    pub lag_records: Option<u64>,
    pub buffered_bytes: u64,
}

/// Runs a job until its end (`until_end`), until `stop` turns true, or until it fails. On `stop` it seals, writes,
/// registers and commits within `limits.drain_deadline`. Progress is sent about every second and at the end.
pub async fn run(
    _job: Job,
    _stop: watch::Receiver<bool>,
    _progress: watch::Sender<Progress>,
) -> Result<Progress> {
    todo!()
}
