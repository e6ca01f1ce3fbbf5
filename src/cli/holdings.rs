//! `ticklake table partitions` and `table files`: what a table's partitions hold, and in which files.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use clap::Args;

use super::table::find;
use super::terminal::{Stdout, unwritable};
use super::{Lake, footers};
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::query::{self, Answer, Format};
use crate::table::{Ddl, PartitionKey, TableName};
use crate::verify::{Check, Dates, Holding, files, inventory, registered};

#[derive(Debug, Args)]
pub struct PartitionsArgs {
    #[arg(value_name = "DB.NAME")]
    name: TableName,
    /// Read the footers of their files too: rows, bytes, event times, and how far each source is; those on S3 once
    #[arg(long)]
    stats: bool,
    /// Only partitions whose `date` is one of these, both ends included
    #[arg(long, value_name = "FIRST..LAST")]
    dates: Option<Dates>,
    /// JSON, a line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct FilesArgs {
    #[arg(value_name = "DB.NAME")]
    name: TableName,
    /// Only partitions whose `date` is one of these, both ends included
    #[arg(long, value_name = "FIRST..LAST")]
    dates: Option<Dates>,
}

/// One line each: the path as Hive writes it, a tab, the location. With `stats` a table.
pub async fn partitions(args: &PartitionsArgs, lake: &Lake, settings: &Settings) -> Result<()> {
    let ddl = find(&args.name, &*lake.catalog, settings).await?;
    let columns: Vec<&str> = ddl.partitioned_by.iter().map(|column| column.name.as_str()).collect();
    let check = Check { dates: args.dates.clone(), ..lake.check(&args.name) };
    let holdings = match args.stats {
        true => with_footers(&check, &ddl).await?,
        false => registered(&check, &ddl).await?,
    };
    let mut out = Stdout::buffered();
    if args.stats || args.json {
        let batch = table(&columns, &holdings, args.stats)?;
        let format = if args.json { Format::JsonLines } else { Format::Table };
        query::print(Answer::of(batch), format, &mut out).await?;
    } else {
        for Holding { values, location, .. } in holdings {
            let key = PartitionKey::new(&columns, values).map_err(|e| {
                Error::new(Kind::Catalog, "the catalog has a partition that no path can name")
                    .with("table", &args.name)
                    .with("location", &location)
                    .with("reason", e.reason)
            })?;
            writeln!(out, "{}\t{location}", key.path()).map_err(unwritable)?;
        }
    }
    out.flush().map_err(unwritable)
}

/// Footers on S3 that were read before are not read again.
async fn with_footers(check: &Check, ddl: &Ddl) -> Result<Vec<Holding>> {
    let file = ddl.location.as_deref().and_then(footers::file_of);
    let mut known = file.as_deref().map(footers::load).unwrap_or_default();
    let before = known.clone();
    let holdings = inventory(check, ddl, &mut known).await?;
    if let Some(file) = file.filter(|_| known != before) {
        footers::keep(&known, &file);
    }
    Ok(holdings)
}

/// One line each.
pub async fn list_files(args: &FilesArgs, lake: &Lake, settings: &Settings) -> Result<()> {
    let ddl = find(&args.name, &*lake.catalog, settings).await?;
    let mut out = Stdout::buffered();
    let check = Check { dates: args.dates.clone(), ..lake.check(&args.name) };
    files(&check, &ddl, |file| writeln!(out, "{}", file.at).map_err(unwritable)).await?;
    out.flush().map_err(unwritable)
}

/// A row for each partition: its values, its place, and what it holds.
fn table(columns: &[&str], holdings: &[Holding], stats: bool) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&Holding) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(holdings.iter().map(of)))
    };
    let number = |of: &dyn Fn(&Holding) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(holdings.iter().map(|h| of(h) as i64)))
    };
    let time = |of: &dyn Fn((i64, i64)) -> i64| -> ArrayRef {
        let times = holdings.iter().map(|h| h.times.map(of));
        Arc::new(TimestampMillisecondArray::from_iter(times).with_timezone("UTC"))
    };
    let mut cells: Vec<(&str, ArrayRef)> = Vec::new();
    for (at, name) in columns.iter().enumerate() {
        cells.push((name, text(&|h: &Holding| h.values[at].clone())));
    }
    if stats {
        cells.push(("files", number(&|h| h.files)));
        cells.push(("rows", number(&|h| h.rows)));
        cells.push(("bytes", number(&|h| h.bytes)));
        cells.push(("first", time(&|(first, _)| first)));
        cells.push(("last", time(&|(_, last)| last)));
        cells.push(("offsets", text(&ends)));
    }
    cells.push(("location", text(&|h| h.location.clone())));
    RecordBatch::try_from_iter(cells)
        .map_err(|e| Error::new(Kind::System, "cannot make a table of the partitions").because(e))
}

/// `ticks-0 up to 4922, ticks-1 up to 311`.
fn ends(holding: &Holding) -> String {
    let ends = holding.ends.iter().map(|(source, end)| format!("{source} up to {end}"));
    ends.collect::<Vec<_>>().join(", ")
}
