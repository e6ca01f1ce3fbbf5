//! `ticklake table alter`: a table becomes what a DDL says, where its files can be read so. The change goes to stdout before it
//! is made.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::table::{find, read_ddl};
use super::terminal::{Stdout, counted, unwritable};
use super::{Lake, indexes};
use crate::config::{CatalogAt, Settings};
use crate::error::{Error, Kind, Result};
use crate::ingest::all_kept;
use crate::table::{Ddl, Evolution};

#[derive(Debug, Args)]
pub struct AlterArgs {
    /// The DDL that the table is to have; its LOCATION may be left out
    #[arg(value_name = "DDL.sql")]
    file: PathBuf,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Gives what there is to say when it is done.
pub async fn alter(args: &AlterArgs, lake: &Lake, settings: &Settings) -> Result<String> {
    let wanted = read_ddl(&args.file)?;
    let was = find(&wanted.name, &*lake.catalog, settings).await?;
    let Evolution { to, mut lines, widened } =
        evolve(&was, wanted, lake).await.map_err(|e| e.with("file", args.file.display()))?;
    if lines.is_empty() {
        // Partitions may still have to be: an earlier change was cut off, or a job registered some by the types of before.
        if args.dry_run {
            return Ok(format!("{} is what the DDL says: nothing changes\n", to.name));
        }
        let renewed = lake.catalog.renew_partitions(&to.name).await?;
        let indexed = indexes::make_next(&to, &*lake.catalog).await?;
        let said = match renewed {
            0 => format!("{} is what the DDL says: nothing changes\n", to.name),
            _ => format!(
                "{} is what the DDL says; {} had other types, and have its now\n",
                to.name,
                counted(renewed, "partition")
            ),
        };
        return Ok(said + &indexed);
    }
    if settings.catalog == CatalogAt::Glue
        && !widened.is_empty()
        && lake.catalog.has_partitions(&to.name).await?
    {
        // A partition is read by its own types first: a wider file that comes late would make Athena and Trino fail.
        lines.push("! each partition that Glue has gets the types too".to_owned());
    }
    if settings.catalog == CatalogAt::Glue && to.is_indexed() && !was.is_indexed() {
        lines.push(
            "! Glue indexes the table's partitions by each of their columns, one after the other".to_owned(),
        );
    }
    let mut out = Stdout::buffered();
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
        .and_then(|()| out.flush())
        .map_err(unwritable)?;
    if args.dry_run {
        return Ok(String::new());
    }
    if !lake.catalog.alter_table(&was, &to).await? {
        return Err(Error::new(
            Kind::Catalog,
            "another one changed the table meanwhile, and it is left so: run this again, to see what changes from there",
        )
        .with("table", &to.name)
        .with("catalog", &settings.catalog));
    }
    let renewed = if widened.is_empty() { 0 } else { lake.catalog.renew_partitions(&to.name).await? };
    let said = match renewed {
        0 => format!("{} is changed\n", to.name),
        _ => format!("{} is changed, with {}\n", to.name, counted(renewed, "partition")),
    };
    Ok(said + &indexes::make_next(&to, &*lake.catalog).await?)
}

async fn evolve(was: &Ddl, mut wanted: Ddl, lake: &Lake) -> Result<Evolution> {
    // As the catalog has it: `lake/ticks` is a folder of this machine's.
    if let Some(location) = &wanted.location {
        wanted.location = Some(lake.stores.open(location).await?.location().to_owned());
    }
    let kept = match &was.location {
        Some(location) => all_kept(&lake.stores.open(location).await?).await?,
        None => Vec::new(),
    };
    Evolution::new(was, &wanted, &kept)
}
