//! Makes partitions known to the catalog, once: a steady stream asks it nothing.
//!
//! What is known expires, so that a partition dropped under a running job is registered again (DESIGN §3.13).

use std::collections::{BTreeMap, HashMap};
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::time::Instant;

use super::buffer::{ChainId, Side};
use super::progress::Meter;
use super::retry::retried;
use super::shared::Known;
use super::target::Target;
use crate::catalog::{Catalog, Partition, Registered};
use crate::error::{Error, Kind, Result};
use crate::kafka::TopicPartition;
use crate::table::PartitionKey;

/// Partitions of one call to [`register`]. Those that wait meanwhile go into the next.
const BATCH: usize = 1000;

/// Something that waits for a partition to be registered.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub chain: ChainId,
    pub source: TopicPartition,
    pub assignment: u64,
    /// The offset that is held until then.
    pub held: i64,
}

/// What a job knows of the catalog, and what waits for it.
#[derive(Debug)]
pub(super) struct Registry {
    ttl: Duration,
    known: Known,
    /// In order, so that what is asked of the catalog does not depend on a hash.
    waiting: BTreeMap<(Side, PartitionKey), Vec<Waiting>>,
}

impl Registry {
    pub fn new(ttl: Duration, known: Known) -> Self {
        Self { ttl, known, waiting: BTreeMap::new() }
    }

    pub fn is_known(&self, side: Side, partition: &PartitionKey, now: Instant) -> bool {
        self.known().get(&(side, partition.clone())).is_some_and(|expires| now < *expires)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(Side, PartitionKey), Instant>> {
        self.known.lock().expect("nobody panics with it")
    }

    pub fn wait(&mut self, side: Side, partition: PartitionKey, waiting: Waiting) {
        self.waiting.entry((side, partition)).or_default().push(waiting);
    }

    /// Partitions of one table to register next; they stay waiting until `done`.
    pub fn batch(&self) -> Option<(Side, Vec<PartitionKey>)> {
        let side = self.waiting.keys().next()?.0;
        let keys = self.waiting.keys().filter(|(s, _)| *s == side).take(BATCH);
        Some((side, keys.map(|(_, key)| key.clone()).collect()))
    }

    /// Notes that partitions are registered, and gives what waited for them.
    pub fn done(&mut self, side: Side, partitions: Vec<PartitionKey>, now: Instant) -> Vec<Waiting> {
        let mut released = Vec::new();
        for partition in partitions {
            let key = (side, partition);
            released.extend(self.waiting.remove(&key).into_iter().flatten());
            self.known().insert(key, now + self.ttl);
        }
        released
    }

    /// How many partitions wait.
    pub fn backlog(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a source waits for a partition to be registered before it goes beyond an offset.
    pub fn holds(&self, source: &TopicPartition, offset: i64) -> bool {
        let mut waiting = self.waiting.values().flatten();
        waiting.any(|waiting| waiting.held == offset && waiting.source == *source)
    }

    /// Forgets that a partition is registered: it may have left the catalog since.
    pub fn forget(&self, side: Side, partition: &PartitionKey) {
        self.known().remove(&(side, partition.clone()));
    }

    /// Forgets what has expired.
    pub fn expire(&self, now: Instant) {
        self.known().retain(|_, expires| now < *expires);
    }
}

/// Registers partitions; gives how many were not there before. A catalog that is down is tried again for a while.
pub(crate) async fn register(
    catalog: &dyn Catalog,
    target: &Target,
    keys: &[PartitionKey],
    meter: &Meter,
) -> Result<usize> {
    let wanted: Vec<Partition> = keys
        .iter()
        .map(|key| {
            let location = target.folder.folder(key.path())?.location().to_owned();
            Ok(Partition { values: key.values().to_vec(), location })
        })
        .collect::<Result<_>>()?;
    retried("register partitions", || once(catalog, target, &wanted, meter)).await
}

async fn once(catalog: &dyn Catalog, target: &Target, wanted: &[Partition], meter: &Meter) -> Result<usize> {
    let mut missing = missing(catalog, target, wanted, meter).await?;
    if missing.is_empty() {
        return Ok(0);
    }
    let mut created = 0;
    let mut failed = None;
    let answers = meter.catalog(catalog.create_partitions(&target.name, &missing).await)?;
    let mut raced = Vec::new();
    for (partition, answer) in missing.drain(..).zip(answers) {
        match answer {
            Registered::Created => created += 1,
            Registered::AlreadyExists => raced.push(partition),
            Registered::Failed(e) => failed = Some(e.with("partition", partition.location)),
        }
    }
    // Another writer was quicker: success, if it registered the same place.
    if let Some(gone) = self::missing(catalog, target, &raced, meter).await?.first() {
        failed = Some(
            Error::new(Kind::Catalog, "the catalog says that a partition exists, and has none")
                .with("partition", &gone.location)
                .retryable(),
        );
    }
    failed.map_or(Ok(created), Err)
}

/// Those that the catalog does not have. One that it has at another place is an error: its rows would not be seen.
async fn missing(
    catalog: &dyn Catalog,
    target: &Target,
    wanted: &[Partition],
    meter: &Meter,
) -> Result<Vec<Partition>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let values: Vec<Vec<String>> = wanted.iter().map(|p| p.values.clone()).collect();
    let found: HashMap<Vec<String>, String> = meter
        .catalog(catalog.find_partitions(&target.name, &values).await)?
        .into_iter()
        .map(|partition| (partition.values, partition.location))
        .collect();
    let mut missing = Vec::new();
    for partition in wanted {
        match found.get(&partition.values) {
            None => missing.push(partition.clone()),
            Some(location) if *location == partition.location => {}
            Some(location) => {
                return Err(Error::new(
                    Kind::Protocol,
                    "the partition is registered at another place: rows written here would not be seen. Drop it from \
                     the catalog, or ingest with that --location",
                )
                .with("table", &target.name)
                .with("registered", location)
                .with("ours", &partition.location));
            }
        }
    }
    Ok(missing)
}
