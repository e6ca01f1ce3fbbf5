//! Defines what a job tells of itself while it runs: what it has done, and how it stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::lag::RegistrationLag;
use crate::kafka::TopicPartition;

/// What a job has done so far, which only grows, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// When it was told; `None` before the job reads.
    pub told_at: Option<Instant>,
    /// Kafka records read.
    pub records: u64,
    /// Bytes of their keys and values.
    pub record_bytes: u64,
    /// Rows appended to the table's buffers.
    pub rows: u64,
    pub rejected: u64,
    /// By each reason that there is.
    pub rejected_by: BTreeMap<&'static str, u64>,
    pub skipped: u64,
    /// Fields that were met in records and that no column takes; a hundred at most.
    pub unused_fields: u64,
    /// The table in the catalog is another than the one that the job began with.
    pub table_altered: bool,
    /// Rows, rejected ones too, that were found in links already: they were read again and not written again.
    pub already_there: u64,
    /// Links of the table and of its rejected sibling that this job wrote, and their bytes.
    pub files: u64,
    pub file_bytes: u64,
    /// Buffers sealed, by each reason that there is.
    pub seals: BTreeMap<&'static str, u64>,
    pub calls: Calls,
    pub partitions_registered: u64,
    /// Offsets that commits have moved forward, over all sources.
    pub offsets_committed: u64,
    pub commits_failed: u64,
    /// Records between where the job reads and the end it knows; `None` before the first assignment.
    pub lag_records: Option<u64>,
    /// The same, of each assigned source.
    pub lags: BTreeMap<TopicPartition, u64>,
    /// Partitions of the tables whose rows are not sealed yet, each counted once a source.
    pub open_partitions: u64,
    /// Bytes of memory of rows that are not in a file yet: in buffers and on their way.
    pub buffered_bytes: u64,
    /// Links on their way: being encoded, put, or waiting for their turn.
    pub in_flight: u64,
    /// How long the oldest row that is not sealed has been waiting.
    pub oldest_unsealed: Duration,
    /// Partitions with new links that are to be registered, or looked up again in the catalog.
    pub registration_backlog: u64,
    /// How long the oldest file has been in the store whose partition is not known to be in the catalog yet.
    pub oldest_unregistered: Duration,
    /// How long that took, of each partition that was registered.
    pub registration_lag: RegistrationLag,
    /// Offsets that are read and must not be committed yet, by what their sources wait for first.
    pub held: Held,
}

impl Progress {
    /// What this and another worker of the job have done together, and how they stand; told when the one did that told
    /// longer ago.
    pub(super) fn and(mut self, other: &Self) -> Self {
        let add = |to: &mut BTreeMap<&'static str, u64>, more: &BTreeMap<&'static str, u64>| {
            more.iter().for_each(|(name, count)| *to.entry(name).or_default() += count);
        };
        add(&mut self.rejected_by, &other.rejected_by);
        add(&mut self.seals, &other.seals);
        self.lags.extend(other.lags.iter().map(|(source, lag)| (source.clone(), *lag)));
        Self {
            told_at: self.told_at.into_iter().chain(other.told_at).min(),
            records: self.records + other.records,
            record_bytes: self.record_bytes + other.record_bytes,
            rows: self.rows + other.rows,
            rejected: self.rejected + other.rejected,
            skipped: self.skipped + other.skipped,
            // Workers read one feed.
            unused_fields: self.unused_fields.max(other.unused_fields),
            table_altered: self.table_altered || other.table_altered,
            already_there: self.already_there + other.already_there,
            files: self.files + other.files,
            file_bytes: self.file_bytes + other.file_bytes,
            calls: self.calls.and(&other.calls),
            partitions_registered: self.partitions_registered + other.partitions_registered,
            offsets_committed: self.offsets_committed + other.offsets_committed,
            commits_failed: self.commits_failed + other.commits_failed,
            lag_records: self.lag_records.into_iter().chain(other.lag_records).reduce(|a, b| a + b),
            open_partitions: self.open_partitions + other.open_partitions,
            buffered_bytes: self.buffered_bytes + other.buffered_bytes,
            in_flight: self.in_flight + other.in_flight,
            oldest_unsealed: self.oldest_unsealed.max(other.oldest_unsealed),
            registration_backlog: self.registration_backlog + other.registration_backlog,
            oldest_unregistered: self.oldest_unregistered.max(other.oldest_unregistered),
            registration_lag: self.registration_lag.and(&other.registration_lag),
            held: self.held.and(&other.held),
            rejected_by: self.rejected_by,
            seals: self.seals,
            lags: self.lags,
        }
    }
}

/// Puts and operations on the catalog, each try of the job's own counted; a library may make several requests for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Puts that made a link.
    pub puts_created: u64,
    /// Puts that found another's link, or their own after a lost answer.
    pub puts_taken: u64,
    pub puts_failed: u64,
    pub catalog_ok: u64,
    pub catalog_failed: u64,
}

/// Why offsets are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// A row is in a buffer.
    pub buffered: u64,
    /// A link is on its way to the store.
    pub writing: u64,
    /// A partition is on its way to the catalog.
    pub registering: u64,
}

impl Calls {
    fn and(&self, other: &Self) -> Self {
        Self {
            puts_created: self.puts_created + other.puts_created,
            puts_taken: self.puts_taken + other.puts_taken,
            puts_failed: self.puts_failed + other.puts_failed,
            catalog_ok: self.catalog_ok + other.catalog_ok,
            catalog_failed: self.catalog_failed + other.catalog_failed,
        }
    }
}

impl Held {
    fn and(&self, other: &Self) -> Self {
        Self {
            buffered: self.buffered + other.buffered,
            writing: self.writing + other.writing,
            registering: self.registering + other.registering,
        }
    }
}

/// Counts calls where they are made, on whatever thread.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    puts_created: AtomicU64,
    puts_taken: AtomicU64,
    puts_failed: AtomicU64,
    catalog_ok: AtomicU64,
    catalog_failed: AtomicU64,
}

impl Meter {
    pub fn put_created(&self) {
        self.puts_created.fetch_add(1, Ordering::Relaxed);
    }

    pub fn put_taken(&self) {
        self.puts_taken.fetch_add(1, Ordering::Relaxed);
    }

    pub fn put_failed(&self) {
        self.puts_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call of the catalog's by its outcome, which it hands through.
    pub fn catalog<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        let count = if outcome.is_ok() { &self.catalog_ok } else { &self.catalog_failed };
        count.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    pub fn calls(&self) -> Calls {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Calls {
            puts_created: read(&self.puts_created),
            puts_taken: read(&self.puts_taken),
            puts_failed: read(&self.puts_failed),
            catalog_ok: read(&self.catalog_ok),
            catalog_failed: read(&self.catalog_failed),
        }
    }
}
