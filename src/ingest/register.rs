//! Makes partitions known to the catalog, once: a steady stream asks it nothing.
//!
//! What is known expires, so that a partition dropped under a running job is registered again (DESIGN §3.13).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::time::Instant;

use super::buffer::{ChainId, Side};
use super::lag::RegistrationLag;
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
    /// When its link was in the store.
    pub since: Instant,
}

/// What a job knows of the catalog, and what waits for it.
#[derive(Debug)]
pub(super) struct Registry {
    ttl: Duration,
    known: Known,
    /// In order, so that what is asked of the catalog does not depend on a hash.
    waiting: BTreeMap<(Side, PartitionKey), Vec<Waiting>>,
    lag: RegistrationLag,
}

/// What became of partitions that were to be registered.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    /// How many another writer did not register first.
    pub created: usize,
    /// Those that the catalog did not have.
    pub new: Vec<PartitionKey>,
}

impl Registry {
    pub fn new(ttl: Duration, known: Known) -> Self {
        Self { ttl, known, waiting: BTreeMap::new(), lag: RegistrationLag::default() }
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

    /// Notes that partitions are registered, some of them just now, and gives what waited for them.
    pub fn done(
        &mut self,
        side: Side,
        partitions: Vec<PartitionKey>,
        new: &[PartitionKey],
        now: Instant,
    ) -> Vec<Waiting> {
        let new: HashSet<&PartitionKey> = new.iter().collect();
        let mut released = Vec::new();
        for partition in partitions {
            let is_new = new.contains(&partition);
            let key = (side, partition);
            if is_new && let Some(since) = first(self.waiting.get(&key).into_iter().flatten()) {
                self.lag.observe(now.duration_since(since));
            }
            released.extend(self.waiting.remove(&key).into_iter().flatten());
            self.known().insert(key, now + self.ttl);
        }
        released
    }

    /// How many partitions wait.
    pub fn backlog(&self) -> usize {
        self.waiting.len()
    }

    /// For how long the first of their links has been in the store.
    pub fn oldest(&self, now: Instant) -> Duration {
        first(self.waiting.values().flatten()).map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    /// How long those took that were registered so far.
    pub fn lag(&self) -> &RegistrationLag {
        &self.lag
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

/// When the first of several links was in the store.
fn first<'a>(waiting: impl Iterator<Item = &'a Waiting>) -> Option<Instant> {
    waiting.map(|waiting| waiting.since).min()
}

/// Registers partitions. A catalog that is down is tried again for a while.
pub(crate) async fn register(
    catalog: &dyn Catalog,
    target: &Target,
    keys: &[PartitionKey],
    meter: &Meter,
) -> Result<Registration> {
    let wanted: Vec<Partition> = keys
        .iter()
        .map(|key| {
            let location = target.folder.folder(key.path())?.location().to_owned();
            Ok(Partition { values: key.values().to_vec(), location })
        })
        .collect::<Result<_>>()?;
    let new = retried("look up partitions", || missing(catalog, target, &wanted, meter)).await?;
    if new.is_empty() {
        return Ok(Registration::default());
    }
    // Only where some of them may be there by now is it looked again.
    let mut looked = Some(new.clone());
    let create = || create(catalog, target, &new, looked.take(), meter);
    let raced = retried("register partitions", create).await?;
    let values: HashSet<&[String]> = new.iter().map(|partition| &*partition.values).collect();
    Ok(Registration {
        created: new.len() - raced,
        new: keys.iter().filter(|key| values.contains(key.values())).cloned().collect(),
    })
}

/// Creates those of the partitions that are not there; gives how many another writer created meanwhile.
async fn create(
    catalog: &dyn Catalog,
    target: &Target,
    new: &[Partition],
    looked: Option<Vec<Partition>>,
    meter: &Meter,
) -> Result<usize> {
    let missing = match looked {
        Some(missing) => missing,
        None => missing(catalog, target, new, meter).await?,
    };
    let mut failed = None;
    let answers = meter.catalog(catalog.create_partitions(&target.name, &missing).await)?;
    let mut raced = Vec::new();
    for (partition, answer) in missing.into_iter().zip(answers) {
        match answer {
            Registered::Created => {}
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
    failed.map_or(Ok(raced.len()), Err)
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
