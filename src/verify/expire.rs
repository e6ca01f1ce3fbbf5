//! Takes old partitions out of a table: out of the catalog first, and their files after a grace time.
//!
//! ```text
//! partitions before a day ─▶ look ─▶ close each chain ─▶ drop from the catalog ─ grace ─▶ remove what is before the closers
//! ```
//!
//! A closer (`ingest::closer`) stays behind each chain, so that records that are read again are not written again. It says
//! too when a partition was expired: by the time at which the store took it. So a run that was cut off is run again.
//!
//! Only what is whole is touched: a partition in whose folder `verify` finds a problem, and one whose last link is not below
//! the committed offsets yet, is left and told.
//!
//! Memory: what `look` holds of one day's partitions, and the names of the files in that day's folder.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use super::catalog::{Registered, registered};
use super::chains::{Link, Looked, look};
use super::report::{Kind, Problem};
use super::{Check, PARTITIONS, Records};
use crate::catalog::Partition;
use crate::error::{self, Error, Result};
use crate::ingest::replay::unfinished;
use crate::ingest::{
    ChainSource, Settled, Target, all_kept, close, note_expiry, parse_name, rejects_of, settled,
};
use crate::store::Entry;
use crate::table::partition::{is_before, parse_path};
use crate::table::{Ddl, PartitionKey, TableName};

/// A chain that grows while it is to be closed is looked at so often.
const TRIES: usize = 3;

/// What is to leave the table.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// Partitions whose `date` is all before this day.
    pub before: NaiveDate,
    /// How long files stay after their partition was dropped: whoever reads them has ended by then, and so has a writer that
    /// knows nothing of it.
    pub grace: TimeDelta,
    pub now: DateTime<Utc>,
    /// Without it, it is only told what would be done.
    pub applies: bool,
    pub committed: Committed,
}

/// Up to which offset all that each source gives is in the table.
#[derive(Clone, Debug)]
pub enum Committed {
    /// What the group that ingests the table has committed.
    Of(Records),
    /// What the caller knows, by topic, partition and epoch; nothing comes any more to what is not named.
    Known(BTreeMap<(String, i32, u32), i64>),
}

/// What was done, or would be. As JSON it is what `ticklake table expire --json` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expired {
    pub table: String,
    pub location: String,
    /// Whether it was done.
    pub applied: bool,
    /// By `date`.
    pub days: Vec<DayLine>,
    /// Partitions whose last rows are not below the committed offsets yet: left for the next run.
    pub busy: Vec<String>,
    /// Partitions that were left for what is wrong with them.
    pub problems: Vec<Problem>,
}

/// One value of `date`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DayLine {
    pub date: String,
    /// Partitions that leave the table.
    pub dropped: Tally,
    /// Those that left it, and whose files wait for the grace time to be over.
    pub waiting: Tally,
    /// Those whose files go.
    pub removed: Tally,
}

/// Partitions, and their files but for closers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub partitions: u64,
    pub files: u64,
    pub bytes: u64,
}

impl Tally {
    fn add<'a>(&mut self, links: impl Iterator<Item = &'a Link>) {
        self.partitions += 1;
        for link in links.filter(|link| !link.footer.closes) {
            self.files += 1;
            self.bytes += link.bytes;
        }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.partitions += other.partitions;
        self.files += other.files;
        self.bytes += other.bytes;
    }
}

/// Expires a table's partitions. A table of rejected records is named by its own name.
pub async fn expire(check: &Check, expiry: &Expiry) -> Result<Expired> {
    if expiry.before > expiry.now.date_naive() {
        return Err(Error::usage("that day is still to come: name one up to which all partitions are old")
            .with("before", expiry.before));
    }
    let tables = open(check).await?;
    let (table, side) = match check.table == tables[1].name {
        true => (&tables[1], 1),
        false => (&tables[0], 0),
    };
    if let Some(replay) = unfinished(&tables[0].folder).await? {
        return Err(Error::usage(
            "a replay of rejected records is unfinished, and may still write: run `ticklake replay` to its end first",
        )
        .with("table", &tables[0].name)
        .with("replay", replay));
    }
    let run = Run {
        check,
        expiry,
        table,
        main: &tables[0],
        older: if side == 0 { all_kept(&tables[0].folder).await? } else { Vec::new() },
        writer: format!("expire-{}", expiry.now.timestamp_millis()),
        settled: BTreeMap::new(),
        expired: Expired {
            table: table.name.to_string(),
            location: table.folder.location().to_owned(),
            applied: expiry.applies,
            ..Expired::default()
        },
    };
    run.all().await
}

/// The table that the records were sent for: of a table of rejected records it is another.
pub async fn ingested(check: &Check) -> Result<TableName> {
    let ddl = check.catalog.table(&check.table).await?;
    Ok(ddl.and_then(|ddl| rejects_of(&ddl)).unwrap_or_else(|| check.table.clone()))
}

/// The table and its rejected sibling, whichever of them is named.
async fn open(check: &Check) -> Result<[Target; 2]> {
    let absent = || Error::new(error::Kind::Catalog, "there is no such table").with("table", &check.table);
    let ddl = check.catalog.table(&check.table).await?.ok_or_else(absent)?;
    let date = "the table has no partition column `date`, by which partitions are old";
    if !ddl.partitioned_by.iter().any(|column| column.name == "date") {
        return Err(Error::usage(date).with("table", &check.table));
    }
    let Some(main) = rejects_of(&ddl) else {
        return check.open(&ddl).await;
    };
    let main = Check { table: main, ..check.clone() };
    match main.catalog.table(&main.table).await? {
        Some(ddl) => main.open(&ddl).await,
        None => check.open(&ddl).await, // it was dropped
    }
}

struct Run<'a> {
    check: &'a Check,
    expiry: &'a Expiry,
    table: &'a Target,
    /// Whose name is in committed offsets.
    main: &'a Target,
    older: Vec<Ddl>,
    writer: String,
    settled: BTreeMap<ChainSource, Settled>,
    expired: Expired,
}

/// The partitions of one day.
struct Old {
    /// To be looked at, and whether each is registered.
    partitions: Vec<(PartitionKey, bool)>,
    /// Those that are registered and have no file: there is nothing to close.
    empty: Vec<PartitionKey>,
}

/// What becomes of a partition.
enum Fate {
    /// It is left, for what is wrong with it.
    Unsound,
    /// It is left, as it may still grow below the committed offsets.
    Busy,
    /// It leaves the table.
    Dropped,
    /// It has left the table; its files stay for the grace time,
    Waits,
    /// and go when that is over.
    Goes,
}

impl Run<'_> {
    async fn all(mut self) -> Result<Expired> {
        let registered = self.registered().await?;
        let old = self.old_files(registered.keys()).await?;
        if self.expiry.applies && !old.is_empty() {
            note_expiry(&self.table.folder, self.expiry.before).await?;
        }
        let none = BTreeSet::new();
        for (date, files) in old {
            let entries = files.list(self.table).await?;
            let registered = registered.get(&date).unwrap_or(&none);
            self.day(date, entries, registered).await?;
        }
        self.expired.problems.sort();
        Ok(self.expired)
    }

    fn names(&self) -> Vec<&str> {
        self.table.ddl.partitioned_by.iter().map(|column| column.name.as_str()).collect()
    }

    fn date(&self) -> usize {
        self.names().iter().position(|name| *name == "date").expect("it was looked for")
    }

    /// The registered partitions that are old, by `date`. One at another place is a problem.
    async fn registered(&mut self) -> Result<BTreeMap<String, BTreeSet<PartitionKey>>> {
        let date = self.date();
        let is_old = |values: &[String]| is_before(&values[date], self.expiry.before);
        let mut keys: BTreeMap<String, BTreeSet<PartitionKey>> = BTreeMap::new();
        for found in registered(self.check, self.table).await? {
            match found {
                Registered::Here(key) if is_old(key.values()) => {
                    keys.entry(key.values()[date].clone()).or_default().insert(key);
                }
                Registered::Elsewhere(key, location) if is_old(key.values()) => {
                    let detail = format!("it is registered at {location}");
                    let problem = Problem::new(Kind::PartitionElsewhere, &self.table.name, detail);
                    self.expired.problems.push(problem.in_partition(key.path()));
                }
                Registered::Here(_) | Registered::Elsewhere(..) => {}
                Registered::Impossible(Partition { .. }) => {} // it has no day
            }
        }
        Ok(keys)
    }

    /// The old values of `date` in the catalog and in the table's folder, and where their files are.
    async fn old_files<'a>(
        &self,
        registered: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeMap<String, Files>> {
        let date = self.date();
        let names = self.names();
        let mut old: BTreeMap<String, Files> =
            registered.map(|date| (date.clone(), Files::Listed(Vec::new()))).collect();
        if date == 0 {
            for folder in self.table.folder.look().await?.folders {
                let Some(values) = parse_path(&folder, &names[..1]) else { continue };
                if is_before(&values[0], self.expiry.before) {
                    old.insert(values[0].clone(), Files::Below(folder));
                }
            }
            return Ok(old);
        }
        for entry in self.table.folder.list_below().await? {
            let values = entry.name.rsplit_once('/').and_then(|(path, _)| parse_path(path, &names));
            let Some(values) = values.filter(|values| is_before(&values[date], self.expiry.before)) else {
                continue;
            };
            let files = old.entry(values[date].clone()).or_insert_with(|| Files::Listed(Vec::new()));
            if let Files::Listed(entries) = files {
                entries.push(entry);
            }
        }
        Ok(old)
    }

    /// Expires the partitions of one day.
    async fn day(
        &mut self,
        date: String,
        entries: Vec<Entry>,
        registered: &BTreeSet<PartitionKey>,
    ) -> Result<()> {
        let Old { partitions, empty } = self.old(&entries, registered);
        let looks: Vec<_> =
            partitions.iter().map(|(key, _)| look(self.table, &self.older, key.clone())).collect();
        let looked: Vec<Looked> = futures::stream::iter(looks).buffered(PARTITIONS).try_collect().await?;
        self.settle(&looked).await?;
        let fates = partitions.iter().zip(&looked);
        let fates: Vec<_> =
            fates.map(|((_, is_registered), looked)| self.fate(*is_registered, looked)).collect();
        let fates: Vec<Fate> = futures::stream::iter(fates).buffered(PARTITIONS).try_collect().await?;

        let mut line = DayLine { date, ..DayLine::default() };
        line.dropped.partitions += empty.len() as u64;
        let mut dropped: Vec<Vec<String>> = empty.iter().map(|key| key.values().to_vec()).collect();
        let mut removed = Vec::new();
        for (fate, looked) in fates.into_iter().zip(looked) {
            match fate {
                Fate::Unsound => self.expired.problems.extend(looked.problems),
                Fate::Busy => self.expired.busy.push(looked.key.path().to_owned()),
                Fate::Dropped => {
                    line.dropped.add(looked.live());
                    dropped.push(looked.key.values().to_vec());
                }
                Fate::Waits => line.waiting.add(looked.links.iter()),
                Fate::Goes => {
                    line.removed.add(looked.links.iter());
                    removed.push(looked);
                }
            }
        }
        if self.expiry.applies {
            self.check.catalog.drop_partitions(&self.table.name, &dropped).await?;
            let removals: Vec<_> = removed.iter().map(|looked| self.remove(looked)).collect();
            futures::stream::iter(removals).buffered(PARTITIONS).try_collect::<()>().await?;
        }
        if [line.dropped, line.waiting, line.removed].iter().any(|tally| tally.partitions > 0) {
            self.expired.days.push(line);
        }
        Ok(())
    }

    /// What is to be looked at of a day.
    fn old(&self, entries: &[Entry], registered: &BTreeSet<PartitionKey>) -> Old {
        let names = self.names();
        let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for entry in entries {
            if let Some((path, name)) = entry.name.rsplit_once('/') {
                folders.entry(path).or_default().push(name);
            }
        }
        let empty = registered.iter().filter(|key| !folders.contains_key(key.path())).cloned().collect();
        let mut partitions = Vec::new();
        for (path, files) in folders {
            let values = parse_path(path, &names).and_then(|values| PartitionKey::new(&names, values).ok());
            let Some(key) = values.filter(|key| key.path() == path) else { continue };
            let chains: BTreeSet<&str> = files.iter().filter_map(|name| Some(parse_name(name)?.0)).collect();
            let is_registered = registered.contains(&key);
            // One in which each chain has a file, and that is not registered, has been through all of it.
            if is_registered || files.len() > chains.len() {
                partitions.push((key, is_registered));
            }
        }
        Old { partitions, empty }
    }

    /// What becomes of a partition. Its chains are closed here where it is to leave the table.
    async fn fate(&self, is_registered: bool, looked: &Looked) -> Result<Fate> {
        // Nobody knows where a chain ends in which a file cannot be read, nor what else may be meant to be there. Rows that
        // are lost before that end are lost with or without the others.
        let is_problem = |problem: &Problem| problem.kind != Kind::Gap;
        if looked.problems.iter().any(is_problem) || !looked.unread.is_empty() {
            return Ok(Fate::Unsound);
        }
        Ok(match is_registered || looked.live().next().is_some() {
            true if self.close(looked).await? => Fate::Dropped,
            true => Fate::Busy,
            false if self.is_over(looked) => Fate::Goes,
            false => Fate::Waits,
        })
    }

    /// Asks for the sources of live links that are not known yet.
    async fn settle(&mut self, looked: &[Looked]) -> Result<()> {
        let links = looked.iter().flat_map(Looked::live);
        let mut unknown = BTreeMap::new();
        for footer in links.map(|link| &link.footer) {
            if footer.chain.replay == 0 && !self.settled.contains_key(&footer.chain) {
                let identity = (footer.cluster.clone(), footer.topic_id.clone());
                unknown.entry(footer.chain.clone()).or_insert(identity);
            }
        }
        let settled = match &self.expiry.committed {
            Committed::Of(records) => {
                settled(self.main, &records.connection, &records.group, &unknown).await?
            }
            Committed::Known(offsets) => {
                let of = |chain: &ChainSource| {
                    let source = &chain.source;
                    offsets.get(&(source.topic.to_string(), source.partition, chain.epoch))
                };
                let settled = |chain: &ChainSource| of(chain).map_or(Settled::Whole, |at| Settled::UpTo(*at));
                unknown.into_keys().map(|chain| (chain.clone(), settled(&chain))).collect()
            }
        };
        self.settled.extend(settled);
        Ok(())
    }

    /// Up to which offset a closer may reach; `None` where the chain may still grow below it.
    fn up_to(&self, last: &Link) -> Option<i64> {
        let footer = &last.footer;
        let next = footer.end + 1;
        match self.settled.get(&footer.chain) {
            // A replay that has ended writes nothing any more.
            _ if footer.chain.replay > 0 => Some(next),
            Some(Settled::Whole) => Some(next),
            Some(Settled::UpTo(offset)) => Some(*offset).filter(|offset| *offset > footer.end),
            None => None,
        }
    }

    /// Closes each live chain of a partition; `false` where one may still grow.
    async fn close(&self, looked: &Looked) -> Result<bool> {
        let mut again;
        let mut looked = looked;
        for _ in 0..TRIES {
            let mut last: BTreeMap<&ChainSource, &Link> = BTreeMap::new();
            for link in looked.live() {
                last.insert(&link.footer.chain, link); // they are in their order
            }
            let closers: Option<Vec<(&Link, i64)>> =
                last.into_values().map(|link| Some((link, self.up_to(link)?))).collect();
            let Some(closers) = closers else { return Ok(false) };
            if !self.expiry.applies {
                return Ok(true);
            }
            let mut is_closed = true;
            for (link, up_to) in closers {
                is_closed &= close(self.table, &looked.key, &link.footer, up_to, &self.writer).await?;
            }
            if is_closed {
                return Ok(true);
            }
            again = look(self.table, &self.older, looked.key.clone()).await?;
            looked = &again;
        }
        Ok(false)
    }

    /// Whether the grace time of a partition that was expired is over.
    fn is_over(&self, looked: &Looked) -> bool {
        let closed = looked.links.iter().filter(|link| link.footer.closes).map(|link| link.modified).max();
        closed.is_some_and(|closed| self.expiry.now.signed_duration_since(closed) >= self.expiry.grace)
    }

    /// Removes what stands before the last closer of each chain.
    async fn remove(&self, looked: &Looked) -> Result<()> {
        let mut last: BTreeMap<&ChainSource, i64> = BTreeMap::new();
        for link in &looked.links {
            last.insert(&link.footer.chain, link.footer.start);
        }
        let before = looked.links.iter().filter(|link| link.footer.start < last[&link.footer.chain]);
        let names: Vec<String> = before.map(|link| link.footer.chain.link_name(link.footer.start)).collect();
        self.table.folder.folder(looked.key.path())?.remove(&names).await
    }
}

/// Where a day's files are.
enum Files {
    /// In a folder, which is listed when its turn comes.
    Below(String),
    Listed(Vec<Entry>),
}

impl Files {
    /// Names are relative to the table's folder.
    async fn list(self, table: &Target) -> Result<Vec<Entry>> {
        match self {
            Self::Listed(entries) => Ok(entries),
            Self::Below(folder) => {
                let entries = table.folder.folder(&folder)?.list_below().await?;
                let named = |entry: Entry| Entry { name: format!("{folder}/{}", entry.name), ..entry };
                Ok(entries.into_iter().map(named).collect())
            }
        }
    }
}
