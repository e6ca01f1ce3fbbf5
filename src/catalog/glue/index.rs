//! Owns the indexes that Glue keeps over a table's partitions, where the table's DDL asks for them by Athena's property
//! `partition_filtering.enabled` (FACTS 2.12).
//!
//! One for each partition column leads with it: an index serves a condition on its first column, `=`, `<`, `>` or BETWEEN.

use std::collections::HashMap;

use aws_sdk_glue::types::{PartitionIndex, PartitionIndexDescriptor, PartitionIndexStatus};

use super::{GlueCatalog, THERE, failed_on, is, on_table};
use crate::catalog::{Index, IndexState};
use crate::error::{Error, Kind, Result};
use crate::table::{Ddl, TableName};

/// Glue takes no more for a table (FACTS 2.12).
const INDEXES: usize = 3;

/// Those that a table is to have: `date, symbol` and `symbol, date`; none where its DDL asks for none.
pub(super) fn wanted(ddl: &Ddl) -> Result<Vec<PartitionIndex>> {
    if !ddl.is_indexed() {
        return Ok(Vec::new());
    }
    let columns: Vec<&str> = ddl.partitioned_by.iter().map(|column| column.name.as_str()).collect();
    columns.iter().take(INDEXES).map(|first| index(&led_by(first, &columns))).collect()
}

fn led_by(first: &str, columns: &[&str]) -> Vec<String> {
    let others = columns.iter().filter(|column| **column != first);
    std::iter::once(&first).chain(others).map(|column| (*column).to_owned()).collect()
}

fn index(columns: &[String]) -> Result<PartitionIndex> {
    let built = PartitionIndex::builder()
        .index_name(format!("by_{}", columns[0]))
        .set_keys(Some(columns.to_vec()))
        .build();
    built.map_err(|e| Error::new(Kind::Catalog, "no index for Glue").because(e))
}

/// Those that a table is to have, as they stand: by their columns, as somebody may have made them under other names.
pub(super) fn judged(ddl: &Ddl, found: Vec<PartitionIndexDescriptor>) -> Result<Vec<Index>> {
    let found: HashMap<Vec<String>, PartitionIndexDescriptor> = found
        .into_iter()
        .map(|index| (index.keys.iter().map(|key| key.name.clone()).collect(), index))
        .collect();
    let state = |keys: &Vec<String>| match found.get(keys) {
        None => IndexState::Missing,
        Some(index) => match index.index_status() {
            PartitionIndexStatus::Active => IndexState::Ready,
            PartitionIndexStatus::Failed => IndexState::Failed(why(index)),
            _ => IndexState::Changing,
        },
    };
    Ok(wanted(ddl)?
        .into_iter()
        .map(|index| Index { state: state(&index.keys), columns: index.keys })
        .collect())
}

/// What Glue says of an index that it could not make.
fn why(index: &PartitionIndexDescriptor) -> String {
    let codes: Vec<&str> =
        index.backfill_errors().iter().filter_map(|error| error.code()).map(|code| code.as_str()).collect();
    if codes.is_empty() { "Glue does not say why".to_owned() } else { codes.join(", ") }
}

impl GlueCatalog {
    pub(super) async fn indexes_of(&self, name: &TableName) -> Result<Vec<PartitionIndexDescriptor>> {
        let asked = on_table!(self, get_partition_indexes, name).into_paginator().send();
        let pages = asked.try_collect().await;
        let pages = pages.map_err(|e| failed_on(name, "read the indexes of a table", e))?;
        Ok(pages
            .into_iter()
            .flat_map(|page| page.partition_index_descriptor_list.unwrap_or_default())
            .collect())
    }

    /// Begins to make an index. Another one that is being made for the table is an error: Glue makes one at a time.
    pub(super) async fn make_index(&self, name: &TableName, columns: &[String]) -> Result<()> {
        let asked = on_table!(self, create_partition_index, name).partition_index(index(columns)?).send();
        match asked.await {
            Ok(_) => Ok(()),
            Err(e) if is(&e, THERE) => Ok(()), // another one's, or this one's after a lost answer
            Err(e) => {
                Err(failed_on(name, "make an index of a table's partitions", e)
                    .with("index", columns.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ddl(property: &str) -> Ddl {
        let text = format!(
            "CREATE EXTERNAL TABLE market.ticks (ts timestamp) PARTITIONED BY (`date` string, symbol string) STORED AS PARQUET
             TBLPROPERTIES ('partition_filtering.enabled' = '{property}')"
        );
        Ddl::parse(&text).expect("it is a DDL")
    }

    #[test]
    fn each_partition_column_leads_an_index() {
        let indexes = wanted(&ddl("TRUE")).expect("it has columns");
        let indexes: Vec<_> =
            indexes.iter().map(|index| (index.index_name(), index.keys().join(", "))).collect();
        assert_eq!(
            indexes,
            [("by_date", "date, symbol".to_owned()), ("by_symbol", "symbol, date".to_owned())]
        );
        assert_eq!(wanted(&ddl("false")).expect("it asks for none"), []);
    }
}
