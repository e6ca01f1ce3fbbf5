//! Compares the partitions that hold files with those that the catalog has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::report::{Kind, Problem};
use super::{Check, is_marker};
use crate::catalog::{Condition, Op, Partition};
use crate::error::{self, Error, Result};
use crate::ingest::Target;
use crate::table::{Ddl, PartitionKey};

/// Between two questions to the catalog.
const PAUSE: Duration = Duration::from_millis(500);

/// A registered partition.
pub(super) enum Registered {
    Here(PartitionKey),
    /// At another place.
    Elsewhere(PartitionKey, String),
    /// That no path can name.
    Impossible(Partition),
}

/// The problems between a table's folder and the catalog. `found` was listed before: the partitions that hold files, and
/// how many links. `is_due`: there are files of the table or of its sibling, and a job makes both before it writes one.
pub(super) async fn compare(
    check: &Check,
    table: &Target,
    found: &BTreeMap<PartitionKey, usize>,
    is_due: bool,
) -> Result<Vec<Problem>> {
    if !is_there(check, table, is_due).await? {
        let missing = Problem::new(Kind::MissingTable, &table.name, "it is not in the catalog");
        return Ok(if is_due { vec![missing] } else { Vec::new() });
    }
    let mut problems = Vec::new();
    let mut known = BTreeSet::new();
    for registered in registered(check, table).await? {
        let (kind, path, detail) = match registered {
            Registered::Here(key) => {
                known.insert(key.clone());
                if found.contains_key(&key) || has_files(table, &key).await? {
                    continue;
                }
                (
                    Kind::EmptyPartition,
                    key.path().to_owned(),
                    "it is registered, and no file is in it".to_owned(),
                )
            }
            Registered::Elsewhere(key, location) => {
                known.insert(key.clone());
                (Kind::PartitionElsewhere, key.path().to_owned(), format!("it is registered at {location}"))
            }
            Registered::Impossible(Partition { values, location }) => {
                (Kind::ImpossiblePartition, values.join("/"), format!("it is registered at {location}"))
            }
        };
        problems.push(Problem::new(kind, &table.name, detail).in_partition(&path));
    }
    let unknown = found.iter().filter(|(key, links)| **links > 0 && !known.contains(*key));
    let unknown = unknown.map(|(key, links)| (key.clone(), *links)).collect();
    for (key, links) in still_missing(check, table, unknown).await? {
        let detail = format!("it has {links} link{}", if links == 1 { "" } else { "s" });
        let problem = Problem::new(Kind::UnregisteredPartition, &table.name, detail);
        problems.push(problem.in_partition(key.path()));
    }
    Ok(problems)
}

/// Whether the catalog has the table; one that is due may come soon.
async fn is_there(check: &Check, table: &Target, is_due: bool) -> Result<bool> {
    let deadline = Instant::now() + check.patience;
    loop {
        if let Some(ddl) = check.catalog.table(&table.name).await? {
            return same_columns(table, &ddl).map(|()| true);
        }
        if !is_due || Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(PAUSE.min(check.patience)).await;
    }
}

/// The files were held against other columns, and what was written under the new ones would be blamed.
fn same_columns(table: &Target, ddl: &Ddl) -> Result<()> {
    if ddl.columns == table.ddl.columns {
        return Ok(());
    }
    Err(Error::new(
        error::Kind::Catalog,
        "the table was given other columns in the catalog while its files were looked at: run it again",
    )
    .with("table", &table.name))
}

/// The registered partitions of a table, of the wanted dates.
pub(super) async fn registered(check: &Check, table: &Target) -> Result<Vec<Registered>> {
    let names: Vec<&str> = table.ddl.partitioned_by.iter().map(|column| column.name.as_str()).collect();
    let date = names.iter().position(|name| *name == "date");
    let conditions: Vec<Condition> = match (&check.dates, date) {
        // The catalog may give more; an hour of the last day is above it.
        (Some(dates), Some(column)) => {
            vec![Condition { column, op: Op::GtEq, value: dates.first.clone() }]
        }
        _ => Vec::new(),
    };
    let found = check.catalog.partitions(&table.name, &conditions).await?;
    let is_wanted = |partition: &Partition| match (&check.dates, date) {
        (Some(dates), Some(column)) => partition.values.get(column).is_some_and(|date| dates.contains(date)),
        _ => true,
    };
    let of = |partition: Partition| {
        if partition.values.len() != names.len() {
            return Registered::Impossible(partition);
        }
        match PartitionKey::new(&names, partition.values.clone()) {
            Err(_) => Registered::Impossible(partition),
            Ok(key) if partition.location == format!("{}{}/", table.folder.location(), key.path()) => {
                Registered::Here(key)
            }
            Ok(key) => Registered::Elsewhere(key, partition.location),
        }
    };
    Ok(found.into_iter().filter(is_wanted).map(of).collect())
}

/// Whether there is a file in a partition's folder now.
async fn has_files(table: &Target, key: &PartitionKey) -> Result<bool> {
    let entries = table.folder.folder(key.path())?.list_below().await?;
    Ok(entries.iter().any(|entry| !is_marker(entry)))
}

/// Those of some partitions that the catalog does not have when none of them has come for `patience`: a job may be
/// registering a whole table.
async fn still_missing(
    check: &Check,
    table: &Target,
    mut missing: BTreeMap<PartitionKey, usize>,
) -> Result<BTreeMap<PartitionKey, usize>> {
    let mut deadline = Instant::now() + check.patience;
    while !missing.is_empty() {
        let before = missing.len();
        let values: Vec<Vec<String>> = missing.keys().map(|key| key.values().to_vec()).collect();
        let found = check.catalog.find_partitions(&table.name, &values).await?;
        let found: BTreeSet<Vec<String>> = found.into_iter().map(|partition| partition.values).collect();
        missing.retain(|key, _| !found.contains(key.values()));
        if missing.len() < before {
            deadline = Instant::now() + check.patience;
        } else if Instant::now() >= deadline {
            break;
        }
        sleep(PAUSE.min(check.patience)).await;
    }
    Ok(missing)
}
