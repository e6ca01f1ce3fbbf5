//! Tells what the partitions of a table hold, by the footers of their files; and which files those are.
//!
//! It asks the catalog, as an engine does: a partition that is not registered is not in it. Footers say rows, times and offsets,
//! so no row is read.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use parquet::file::metadata::ParquetMetaData;

use super::Check;
use crate::catalog::Partition;
use crate::error::{Error, Result};
use crate::ingest::{Footer, key_values, ranges, read_metadata};
use crate::store::Folder;
use crate::table::columns::ColumnType;
use crate::table::spec::PartitionSource;
use crate::table::{Ddl, Spec};

/// Partitions looked at at the same time, and footers of each.
const PARTITIONS: usize = 16;
const FOOTERS: usize = 4;

/// What one partition holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Raw, in the order of the partition columns.
    pub values: Vec<String>,
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

/// What each registered partition holds, in the order of their values. `ddl` is the table's, as the catalog has it.
pub async fn inventory(check: &Check, ddl: &Ddl) -> Result<Vec<Holding>> {
    let time = time_column(ddl);
    let looks =
        registered(check, ddl).await?.into_iter().map(|holding| look(check, holding, time.as_deref()));
    futures::stream::iter(looks).buffered(PARTITIONS).try_collect().await
}

/// The data files of the registered partitions, in the order of the partitions' values and of their names.
pub async fn files(check: &Check, ddl: &Ddl, mut each: impl FnMut(FileLine) -> Result<()>) -> Result<()> {
    let lists = registered(check, ddl).await?.into_iter().map(|holding| async move {
        let folder = check.stores.open(&holding.location).await?;
        Ok::<_, Error>((folder.list().await?, holding.location))
    });
    let mut lists = std::pin::pin!(futures::stream::iter(lists).buffered(PARTITIONS));
    while let Some((entries, location)) = lists.try_next().await? {
        for entry in entries.into_iter().filter(|entry| entry.name.ends_with(".parquet")) {
            each(FileLine { at: format!("{location}{}", entry.name), bytes: entry.size_bytes })?;
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

async fn look(check: &Check, partition: Holding, time: Option<&str>) -> Result<Holding> {
    let mut holding = partition;
    let folder = check.stores.open(&holding.location).await?;
    let entries = folder.list().await?;
    let reads = entries
        .iter()
        .filter(|entry| entry.name.ends_with(".parquet"))
        .map(|entry| read(&folder, &entry.name, entry.size_bytes));
    let mut read = std::pin::pin!(futures::stream::iter(reads).buffered(FOOTERS));
    while let Some((metadata, bytes)) = read.try_next().await? {
        let Some(metadata) = metadata else { continue };
        // What is no link is not counted: `verify` tells of it.
        let Ok(footer) = Footer::read(&key_values(&metadata)) else { continue };
        holding.files += 1;
        holding.bytes += bytes;
        holding.rows += u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        let end = holding.ends.entry(footer.chain.to_string()).or_default();
        *end = footer.end.max(*end);
        if let Some((least, greatest)) = time.and_then(|time| times(&metadata, time)) {
            let so_far = holding.times.unwrap_or((least, greatest));
            holding.times = Some((so_far.0.min(least), so_far.1.max(greatest)));
        }
    }
    Ok(holding)
}

/// What is at the end of a file; none of one that is gone by now, as its partition may be.
async fn read(folder: &Folder, name: &str, bytes: u64) -> Result<(Option<ParquetMetaData>, u64)> {
    let metadata = read_metadata(folder, name, bytes).await;
    let at = |e: Error| e.with("at", format!("{}{name}", folder.location()));
    Ok((metadata.map_err(at)?, bytes))
}

/// The least and the greatest instant of a file's rows, by its statistics.
fn times(metadata: &ParquetMetaData, column: &str) -> Option<(i64, i64)> {
    // A group that has none is all null.
    ranges(metadata, column).into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}
