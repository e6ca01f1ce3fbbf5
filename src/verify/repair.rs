//! Registers what the catalog lacks: partitions with links, and the rejected sibling. It deletes and moves nothing.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use serde::Serialize;

use super::catalog::{Registered, registered};
use super::report::{Kind, Problem};
use super::walk::{Found, walk};
use super::{Check, PARTITIONS, chains};
use crate::catalog::Partition;
use crate::error::{self, Error, Result};
use crate::ingest::{Meter, Target, register};
use crate::table::PartitionKey;

/// What was done. As JSON it is what `ticklake table repair --json` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repaired {
    pub table: String,
    pub location: String,
    /// Tables that were made in the catalog.
    pub made: Vec<String>,
    pub registered: Vec<RegisteredLine>,
    /// What it leaves to the user.
    pub problems: Vec<Problem>,
}

/// A partition that was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegisteredLine {
    pub table: String,
    pub partition: String,
    pub location: String,
}

/// Registers what is missing, as the ingest would.
pub async fn repair(check: &Check) -> Result<Repaired> {
    let ddl = check.catalog.table(&check.table).await?.ok_or_else(|| {
        Error::new(
            error::Kind::Catalog,
            "the catalog does not have the table, and its columns are nowhere else: run `ticklake ingest` with its DDL and \
             location, which makes it and registers what is there, or `ticklake table create` and this once more",
        )
        .with("table", &check.table)
    })?;
    check.can_be_checked(&ddl)?;
    let tables = check.open(&ddl).await?;
    let mut repaired = Repaired {
        table: check.table.to_string(),
        location: tables[0].folder.location().to_owned(),
        ..Repaired::default()
    };
    // The ingest makes both tables, and then the id of their folder is there. Who may not make tables may register
    // partitions.
    let is_lacking =
        tables[0].find_id().await?.is_some() && check.catalog.table(&tables[1].name).await?.is_none();
    if is_lacking && check.catalog.create_table(&tables[1].ddl).await? {
        repaired.made.push(tables[1].name.to_string());
    }
    for table in &tables {
        if check.catalog.table(&table.name).await?.is_some() {
            repair_one(check, table, &mut repaired).await?;
        }
    }
    repaired.problems.sort();
    Ok(repaired)
}

async fn repair_one(check: &Check, table: &Target, repaired: &mut Repaired) -> Result<()> {
    let mut known = BTreeSet::new();
    let mut elsewhere = Vec::new();
    for registered in registered(check, table).await? {
        match registered {
            Registered::Here(key) => {
                known.insert(key);
            }
            Registered::Elsewhere(key, location) => {
                known.insert(key.clone());
                elsewhere.push((key, location));
            }
            Registered::Impossible(Partition { .. }) => {} // no folder is its
        }
    }
    let missing = missing(table, &known, &mut repaired.problems).await?;
    register(&*check.catalog, table, &missing, &Meter::default()).await?;
    for key in missing {
        repaired.registered.push(RegisteredLine {
            table: table.name.to_string(),
            partition: key.path().to_owned(),
            location: table.folder.folder(key.path())?.location().to_owned(),
        });
    }
    for (key, location) in elsewhere {
        let detail = format!("it is registered at {location}");
        let problem = Problem::new(Kind::PartitionElsewhere, &table.name, detail);
        repaired.problems.push(problem.in_partition(key.path()));
    }
    Ok(())
}

/// The partitions that have a whole link with rows of the table, whatever its columns, and are not known. Only their files are read; where none
/// can be read that may be one, that is a problem.
async fn missing(
    table: &Target,
    known: &BTreeSet<PartitionKey>,
    problems: &mut Vec<Problem>,
) -> Result<Vec<PartitionKey>> {
    let looks = walk(table, None).map_ok(|found| async move {
        match found {
            Found::Partition(key) if !known.contains(&key) => chains::look(table, &[], key).await.map(Some),
            Found::Partition(_) | Found::Foreign(_) => Ok(None),
        }
    });
    let mut looks = std::pin::pin!(looks.try_buffered(PARTITIONS));
    let mut missing = Vec::new();
    while let Some(looked) = looks.try_next().await? {
        match looked {
            Some(looked) if looked.live().next().is_some() => missing.push(looked.key),
            Some(looked) => {
                problems.extend(looked.problems.into_iter().filter(|p| p.kind == Kind::UnreadableFile));
            }
            None => {}
        }
    }
    Ok(missing)
}
