//! Says what a statement would read and cost, before it runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indicatif::{HumanBytes, HumanCount};

use super::desk::Detail;
use super::engines::{EngineName, Engines};
use crate::error::Result;
use crate::query::price::dollars;
use crate::query::{self, Estimate, Extent};
use crate::table::TableName;

/// Athena explains by itself. Of the local engine the cost is told first, and its plan where it is asked for.
pub async fn explain(sql: &str, engines: &Engines, name: EngineName, detail: Detail) -> Result<String> {
    if name == EngineName::Athena {
        return query::plan(engines.get(name).await?, sql).await;
    }
    let estimate = engines.planner(name).await?.estimate(sql).await?;
    let mut all = BTreeMap::new();
    for scan in &estimate.scans {
        let partitions = engines.lake(name).await?.catalog.partitions(&scan.table, &[]).await?.len();
        all.insert(scan.table.clone(), partitions);
    }
    let cost = cost(&estimate, &all, engines.price_per_tb());
    Ok(match detail {
        Detail::Cost => cost,
        Detail::Plan => format!("{cost}\n\n{}", query::plan(engines.get(name).await?, sql).await?),
    })
}

/// `all` is how many partitions each table has.
fn cost(estimate: &Estimate, all: &BTreeMap<TableName, usize>, price_per_tb: f64) -> String {
    if estimate.scans.is_empty() {
        return "no table is read".to_owned();
    }
    let mut text = String::new();
    for scan in &estimate.scans {
        let of = all.get(&scan.table).copied().unwrap_or(0);
        let (left, files) = (HumanCount(scan.partitions as u64), HumanCount(scan.files as u64));
        let extent = match scan.extent {
            Extent::Columns => "in the columns needed, by the files' footers",
            Extent::Files => "whole files: too many to look into each footer",
        };
        let _ = writeln!(text, "{}", scan.table);
        // Without partition columns a table is one folder, and has none in the catalog.
        if of > 0 {
            let _ = writeln!(text, "  partitions  {left} of {}", HumanCount(of as u64));
        }
        let _ = writeln!(text, "  files       {files}");
        let _ = writeln!(text, "  bytes       {} at most ({extent})", HumanBytes(scan.bytes));
    }
    let bytes = estimate.bytes();
    let dollars = dollars(bytes, price_per_tb);
    let _ = write!(text, "in Athena     ${dollars:.6} at most for {}", HumanBytes(bytes));
    text
}
