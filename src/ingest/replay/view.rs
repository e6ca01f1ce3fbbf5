//! Writes the view of the rejected records that are open: those that no replay has taken, and those that the last one rejected.

use std::collections::BTreeMap;

use super::plan::{Plan, Stretch};
use crate::catalog::View;
use crate::error::Result;
use crate::table::{Ddl, TableName};

/// The view of a rejected table after a replay: `<name>_rejected_open`. Its SQL is Athena's, Trino's and DataFusion's alike.
pub(super) fn of(rejected: &Ddl, plan: &Plan) -> Result<View> {
    let columns: Vec<_> = rejected.columns.iter().chain(&rejected.partitioned_by).cloned().collect();
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let (database, table) = (rejected.name.database(), rejected.name.table());
    let sql = format!(
        "SELECT {} FROM {}.{} WHERE \"attempt\" = {}",
        names.join(", "),
        quoted(database),
        quoted(table),
        attempt(plan)
    );
    Ok(View { name: TableName::new(database, &format!("{table}_open"))?, columns, sql })
}

/// The attempt that is the last one at a row's offset.
fn attempt(plan: &Plan) -> String {
    let mut topics: BTreeMap<(&str, u32), Vec<&Stretch>> = BTreeMap::new();
    for stretch in plan.sources.iter().filter(|stretch| stretch.to > 0) {
        topics.entry((&stretch.topic, stretch.epoch)).or_default().push(stretch);
    }
    if topics.is_empty() {
        return "0".to_owned();
    }
    let of_topic = |((topic, epoch), stretches): ((&str, u32), Vec<&Stretch>)| {
        let taken = stretches.iter().map(|Stretch { partition, to, .. }| {
            format!("(\"partition\" = {partition} AND \"offset\" < {to})")
        });
        let taken: Vec<String> = taken.collect();
        // Files of before there were epochs say none.
        format!(
            " WHEN \"topic\" = '{}' AND COALESCE(\"epoch\", 0) = {epoch} AND ({}) THEN {}",
            topic.replace('\'', "''"),
            taken.join(" OR "),
            plan.replay
        )
    };
    let cases: String = topics.into_iter().map(of_topic).collect();
    format!("CASE{cases} ELSE 0 END")
}

/// A name of Glue's has no quote in it.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
