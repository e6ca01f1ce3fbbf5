//! Tells what the partitions of a table hold, by the footers of their files; and which files those are.
//!
//! It asks the catalog, as an engine does: a partition that is not registered is not in it. Footers say rows, times and offsets,
//! so no row is read; and what they said is given back (`footers`), for the next time.
//!
//! Memory: the names of the files of 1,024 partitions, and a [`Holding`] for each partition.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use parquet::file::metadata::ParquetMetaData;
use serde::{Deserialize, Serialize};

use super::Check;
use super::footers::{Beginning, Footers, Listed};
use crate::catalog::Partition;
use crate::error::{Error, Result};
use crate::ingest::{Footer, key_values, ranges, read_metadata};
use crate::store::{Entry, Folder};
use crate::table::columns::ColumnType;
use crate::table::spec::PartitionSource;
use crate::table::{Ddl, Spec};

/// Partitions that are listed at once, those looked at at the same time, and footers of each.
const LISTED: usize = 1024;
const PARTITIONS: usize = 32;
const FOOTERS: usize = 4;

/// What one partition holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Raw, in the order of the partition columns.
    #[serde(skip)]
    pub values: Vec<String>,
    #[serde(skip)]
    pub location: String,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// The least and the greatest event time, in milliseconds since the epoch; `None` where the table has no column of it.
    pub times: Option<(i64, i64)>,
    /// Up to which offset of each source there are rows, or none to come.
    pub ends: BTreeMap<String, i64>,
}

/// A file of a table, whole as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// `s3://…`, or a path.
    pub at: String,
    pub bytes: u64,
}

/// What each registered partition holds, in the order of their values. `ddl` is the table's, as the catalog has it. `known` is
/// what footers said before; it becomes what they say now, of the partitions that are looked at.
pub async fn inventory(check: &Check, ddl: &Ddl, known: &mut Footers) -> Result<Vec<Holding>> {
    let time = time_column(ddl);
    let before = std::mem::take(known).if_of(time.as_deref());
    let partitions = registered(check, ddl).await?;
    let mut looked = Vec::with_capacity(partitions.len());
    for holdings in partitions.chunks(LISTED) {
        let lists = list(check, holdings).await?;
        let looks = lists.into_iter().zip(holdings);
        let looks: Vec<_> =
            looks.map(|(list, holding)| look(list, holding.clone(), time.as_deref(), &before)).collect();
        let found: Vec<_> = futures::stream::iter(looks).buffered(PARTITIONS).try_collect().await?;
        looked.extend(found);
    }
    // Of the whole table, what is gone is forgotten.
    *known = if check.dates.is_some() { before } else { Footers::of(time.as_deref()) };
    let keep = |(holding, chains): (Holding, Vec<Beginning>)| {
        known.keep(&holding.location, chains);
        holding
    };
    Ok(looked.into_iter().map(keep).collect())
}

/// The data files of the registered partitions, in the order of the partitions' values and of their names.
pub async fn files(check: &Check, ddl: &Ddl, mut each: impl FnMut(FileLine) -> Result<()>) -> Result<()> {
    for holdings in registered(check, ddl).await?.chunks(LISTED) {
        let lists = list(check, holdings).await?;
        for ((_, entries), Holding { location, .. }) in lists.into_iter().zip(holdings) {
            for entry in entries.into_iter().filter(|entry| entry.name.ends_with(".parquet")) {
                each(FileLine { at: format!("{location}{}", entry.name), bytes: entry.size_bytes })?;
            }
        }
    }
    Ok(())
}

/// The partitions that the catalog has, in the order of their values; nothing is known yet of what they hold.
pub async fn registered(check: &Check, ddl: &Ddl) -> Result<Vec<Holding>> {
    check.can_be_dated(ddl)?;
    let date = ddl.partitioned_by.iter().position(|column| column.name == "date");
    let mut partitions = check.catalog.partitions(&check.table, &[]).await?;
    if let (Some(dates), Some(date)) = (&check.dates, date) {
        partitions.retain(|partition| dates.contains(&partition.values[date]));
    }
    let holding = |Partition { values, location }| Holding { values, location, ..Holding::default() };
    Ok(partitions.into_iter().map(holding).collect())
}

/// The column of the event time: the one that days or hours are cut of, else the first instant.
fn time_column(ddl: &Ddl) -> Option<String> {
    let is_time = |column_type: &ColumnType| *column_type == ColumnType::Timestamp;
    let cut = Spec::from_ddl(ddl).ok().and_then(|spec| {
        spec.partitions.iter().find_map(|field| match field.of {
            PartitionSource::Column(index) if is_time(&spec.columns[index].column.column_type) => {
                Some(spec.columns[index].column.name.clone())
            }
            _ => None,
        })
    });
    cut.or_else(|| ddl.columns.iter().find(|c| is_time(&c.column_type)).map(|c| c.name.clone()))
}

async fn list(check: &Check, holdings: &[Holding]) -> Result<Vec<(Folder, Vec<Entry>)>> {
    let locations: Vec<&str> = holdings.iter().map(|holding| &*holding.location).collect();
    check.stores.list_each(&locations).await
}

/// What a partition holds, and each of its chains.
async fn look(
    (folder, entries): (Folder, Vec<Entry>),
    mut holding: Holding,
    time: Option<&str>,
    before: &Footers,
) -> Result<(Holding, Vec<Beginning>)> {
    let chains = Listed::chains(&entries);
    let known: Vec<_> = chains.iter().map(|listed| before.of_chain(&holding.location, listed)).collect();
    let mut held: Vec<Holding> =
        known.iter().map(|known| known.map(|known| known.held.clone()).unwrap_or_default()).collect();
    let new = chains
        .iter()
        .zip(known)
        .enumerate()
        .flat_map(|(chain, (listed, known))| listed.after(known).iter().map(move |file| (chain, *file)));
    let reads = new.map(|(chain, file)| {
        let read = read(&folder, file, time);
        async move { Ok::<_, Error>((chain, read.await?)) }
    });
    let mut reads = std::pin::pin!(futures::stream::iter(reads).buffered(FOOTERS));
    while let Some((chain, of_file)) = reads.try_next().await? {
        held[chain].add(&of_file);
    }
    held.iter().for_each(|of_chain| holding.add(of_chain));
    let chains = chains.iter().zip(held).map(|(listed, held)| Beginning::all(listed, held)).collect();
    Ok((holding, chains))
}

/// What one file holds, by its footer: nothing, where it is gone by now, as its partition may be; nor what is no link, of
/// which `verify` tells.
async fn read(folder: &Folder, file: &Entry, time: Option<&str>) -> Result<Holding> {
    let metadata = read_metadata(folder, &file.name, file.size_bytes).await;
    let at = |e: Error| e.with("at", format!("{}{}", folder.location(), file.name));
    let Some(metadata) = metadata.map_err(at)? else { return Ok(Holding::default()) };
    let Ok(footer) = Footer::read(&key_values(&metadata)) else { return Ok(Holding::default()) };
    Ok(Holding {
        files: 1,
        bytes: file.size_bytes,
        rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0),
        times: time.and_then(|time| times(&metadata, time)),
        ends: BTreeMap::from([(footer.chain.to_string(), footer.end)]),
        ..Holding::default()
    })
}

impl Holding {
    /// What both hold.
    fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.rows += other.rows;
        self.bytes += other.bytes;
        let times = self.times.into_iter().chain(other.times);
        self.times = times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        for (source, end) in &other.ends {
            let so_far = self.ends.entry(source.clone()).or_default();
            *so_far = (*end).max(*so_far);
        }
    }
}

/// The least and the greatest instant of a file's rows, by its statistics.
fn times(metadata: &ParquetMetaData, column: &str) -> Option<(i64, i64)> {
    // A group that has none is all null.
    ranges(metadata, column).into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}
