//! The whole system in one process: in-process Kafka → producer → ingest → catalog → SQL, on a local directory.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;

/// One demonstration.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the catalog and the files go.
    pub folder: PathBuf,
    /// How long ticks are sent.
    pub duration: Duration,
}

/// Runs the system for `duration`, showing the partitions and a SQL result growing, and then says where the files are
/// and how to open them.
pub async fn run(_job: Job) -> Result<()> {
    todo!()
}
