//! Turns a table's DDL and the one that it is to have into the change between them, or says why it cannot be.
//!
//! Files are never written anew, and engines read them by the names of columns (FACTS 2.14). So a new DDL is held against
//! every DDL that ever wrote to the table: what any of them put into files under a column's name must read as the type
//! that the column is to have. How a change is told is `told`'s; what it means for a job is
//! [`Spec::changes_only_columns_of`].

mod told;

use super::columns::{Column, ColumnType};
use super::ddl::{Ddl, Property};
use super::spec::Spec;
use crate::error::{Error, Result};

/// Properties that engines write into a table for themselves, and that Athena prints with its DDL (FACTS 2.8): what a
/// file says of them changes nothing.
const OF_ENGINES: [&str; 3] = ["EXTERNAL", "classification", "transient_lastDdlTime"];

/// A change of a table that its files allow.
///
/// * `to` has a valid spec, and the name, the place and the partition columns of the table.
/// * Properties that are none of ticklake's, and the table's comment, stay where the wanted DDL does not name them: a
///   crawler's counts, a projection.
/// * It is the same whether it is made of the wanted DDL or of `to`: what was applied leaves nothing to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Evolution {
    pub to: Ddl,
    /// What changes, a line each: `+`, `-` or `~` and what, then `!` and what else is to be known. Empty where nothing
    /// changes.
    pub lines: Vec<String>,
    /// Columns that this changes, and that files hold narrower.
    pub widened: Vec<String>,
}

impl Evolution {
    /// From the DDL that the catalog has to a wanted one of the same table, whose LOCATION may be left out. `kept`: the DDLs
    /// of all specs that ever wrote. A change that is refused is an error of kind `Usage`, with the reason.
    pub fn new(was: &Ddl, wanted: &Ddl, kept: &[Ddl]) -> Result<Self> {
        check_place(was, wanted)?;
        check_partition_columns(was, wanted)?;
        let to = Ddl {
            location: was.location.clone(),
            comment: wanted.comment.clone().or_else(|| was.comment.clone()),
            properties: properties(was, wanted),
            ..wanted.clone()
        };
        let spec = Spec::from_ddl(&to)?;
        let mut widened = Vec::new();
        for column in &to.columns {
            if is_widened(column, was, kept)? {
                widened.push(column.name.clone());
            }
        }
        let lines = told::lines(was, &to, &spec, kept);
        Ok(Self { to, lines, widened })
    }
}

/// Files are found where the partitions are registered, and the chains of a job go on in their folder.
fn check_place(was: &Ddl, wanted: &Ddl) -> Result<()> {
    match &wanted.location {
        Some(location) if wanted.location != was.location => Err(Error::usage(
            "a table's files stay where they are, and the DDL has another LOCATION: leave it out, or make another table",
        )
        .with("DDL", location)
        .with("catalog", was.location.as_deref().unwrap_or("none"))),
        _ => Ok(()),
    }
}

/// They are the folders that the files are in, and the catalog has the values of each.
fn check_partition_columns(was: &Ddl, wanted: &Ddl) -> Result<()> {
    let print = |columns: &[Column]| {
        let columns = columns.iter().map(|column| format!("{} {}", column.name, column.column_type));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (theirs, ours) = (print(&was.partitioned_by), print(&wanted.partitioned_by));
    if theirs == ours {
        return Ok(());
    }
    Err(Error::usage(
        "the partition columns of a table cannot change: its files are in folders of their values. Make another table, and \
         ingest the topic into it",
    )
    .with("table", &was.name)
    .with("DDL", ours)
    .with("catalog", theirs))
}

/// Those that are wanted, in their order, then what the table has of others.
fn properties(was: &Ddl, wanted: &Ddl) -> Vec<Property> {
    let is_of_engines = |p: &&Property| OF_ENGINES.contains(&p.key.as_str());
    let is_ours =
        |p: &&Property| p.key.to_ascii_lowercase().starts_with("ticklake.") || p.key == "parquet.compression";
    let ours = wanted.properties.iter().filter(|p| !is_of_engines(p));
    let stays = |p: &&Property| is_of_engines(p) || (!is_ours(p) && wanted.property(&p.key).is_none());
    ours.chain(was.properties.iter().filter(stays)).cloned().collect()
}

/// Whether a column is to be wider than it is, or comes back wider. What files hold and does not read as it is refused.
fn is_widened(column: &Column, was: &Ddl, kept: &[Ddl]) -> Result<bool> {
    let of = |ddl: &'_ Ddl| ddl.columns.iter().find(|theirs| theirs.name == column.name).cloned();
    let current = of(was);
    let mut is_widened = false;
    for theirs in current.iter().cloned().chain(kept.iter().filter_map(of)) {
        let (from, to) = (&theirs.column_type, &column.column_type);
        if !from.reads_as(to) {
            let name = &column.name;
            let holds = match current.as_ref().is_some_and(|current| current.column_type == *from) {
                true => format!("`{name}` is {from}"),
                false => format!("an older DDL of the table had `{name}` as {from}, and files hold it so"),
            };
            return Err(Error::usage(format!("{holds}; it cannot be {to}: {}", why_not(from, to)))
                .with("table", &was.name));
        }
        is_widened |= from != to;
    }
    Ok(is_widened && current.is_none_or(|current| current.column_type != column.column_type))
}

fn why_not(from: &ColumnType, to: &ColumnType) -> String {
    let is_nested =
        |of: &ColumnType| matches!(of, ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_));
    let why = match (from, to) {
        _ if to.reads_as(from) => {
            "its values may not fit the narrower type, and Athena fails on one that does not"
        }
        _ if is_nested(from) && is_nested(to) => {
            "Athena reads a partition by the fields that it was registered with, so what changes within a type is null there, \
             or fails"
        }
        (ColumnType::Decimal { .. }, ColumnType::Decimal { .. }) => {
            "Athena reads a partition by the digits that it was registered with, and fails on what has more"
        }
        _ => {
            "Athena reads whole numbers as wider ones (tinyint, smallint, int, bigint) and float as double, nothing else"
        }
    };
    format!("{why}. Add a column of another name, with 'ticklake.source.NAME' for where it comes from")
}
