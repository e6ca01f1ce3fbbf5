//! Turns a view into what Athena makes of `CREATE VIEW` in Glue, and back.
//!
//! Athena and Trino keep a view as JSON, in base64 between two marks; engines that read views of Hive's leave those alone. What
//! is made here has a parameter of ours beside it: the SQL of another view may be one that only its engine reads.

use aws_sdk_glue::types::{Column as GlueColumn, SerDeInfo, StorageDescriptor, Table, TableInput};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::catalog::View;
use crate::error::{Error, Kind, Result};
use crate::table::{ColumnType, TableName};

/// What a table of ours has that is a view.
const OURS: (&str, &str) = ("ticklake.view", "1");
const BEFORE: &str = "/* Presto View: ";
const AFTER: &str = " */";

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    original_sql: String,
    /// What Athena calls Glue's own catalog.
    catalog: String,
    schema: String,
    columns: Vec<DefinedColumn>,
}

#[derive(Debug, Deserialize, Serialize)]
struct DefinedColumn {
    name: String,
    r#type: String,
}

/// A view as CreateTable and UpdateTable take it.
pub(super) fn input(view: &View) -> Result<TableInput> {
    let cannot = |e: &dyn std::fmt::Display| {
        Error::new(Kind::Catalog, "no view for Glue").with("view", &view.name).because(e.to_string())
    };
    let columns = view.columns.iter();
    let definition = Definition {
        original_sql: view.sql.clone(),
        catalog: "awsdatacatalog".to_owned(),
        schema: view.name.database().to_owned(),
        columns: columns
            .map(|c| DefinedColumn { name: c.name.clone(), r#type: presto_type(&c.column_type) })
            .collect(),
    };
    let json = serde_json::to_string(&definition).map_err(|e| cannot(&e))?;
    let columns = view.columns.iter().map(|c| {
        GlueColumn::builder().name(&c.name).r#type(c.column_type.to_string()).build().map_err(|e| cannot(&e))
    });
    // Of the rest of a table's storage a view has nothing, but it is there.
    let storage = StorageDescriptor::builder()
        .set_columns(Some(columns.collect::<Result<_>>()?))
        .location("")
        .serde_info(SerDeInfo::builder().build());
    TableInput::builder()
        .name(view.name.table())
        // Trino reads no view that is nobody's, nor one whose comment, which a description is to it, is another.
        .owner("ticklake")
        .table_type("VIRTUAL_VIEW")
        .view_original_text(format!("{BEFORE}{}{AFTER}", BASE64_STANDARD.encode(json)))
        .view_expanded_text("/* Presto View */")
        .parameters("presto_view", "true")
        .parameters("comment", "Presto View")
        .parameters(OURS.0, OURS.1)
        .set_partition_keys(Some(Vec::new()))
        .storage_descriptor(storage.build())
        .build()
        .map_err(|e| cannot(&e))
}

/// Whether a table in Glue is a view that was made here.
pub(super) fn is_ours(table: &Table) -> bool {
    table.table_type() == Some("VIRTUAL_VIEW")
        && table.parameters().is_some_and(|parameters| parameters.get(OURS.0).is_some_and(|v| v == OURS.1))
}

/// The SQL of a view that was made here.
pub(super) fn sql(name: &TableName, table: &Table) -> Result<String> {
    let text = table.view_original_text().unwrap_or_default();
    let json = text.strip_prefix(BEFORE).and_then(|text| text.strip_suffix(AFTER));
    let json = json.and_then(|text| BASE64_STANDARD.decode(text).ok()).unwrap_or_default();
    let definition: Definition = serde_json::from_slice(&json).map_err(|e| {
        Error::new(Kind::Catalog, "the text of a view cannot be read: another program has changed it")
            .with("view", name)
            .because(e)
    })?;
    Ok(definition.original_sql)
}

/// What Presto calls a type.
fn presto_type(column_type: &ColumnType) -> String {
    match column_type {
        ColumnType::Int => "integer".to_owned(),
        ColumnType::Float => "real".to_owned(),
        ColumnType::String => "varchar".to_owned(),
        ColumnType::Binary => "varbinary".to_owned(),
        ColumnType::Timestamp => "timestamp(3)".to_owned(),
        ColumnType::Array(items) => format!("array({})", presto_type(items)),
        ColumnType::Map(key, value) => format!("map({}, {})", presto_type(key), presto_type(value)),
        ColumnType::Struct(fields) => {
            let fields = fields.iter().map(|f| format!("{} {}", f.name, presto_type(&f.field_type)));
            format!("row({})", fields.collect::<Vec<_>>().join(", "))
        }
        same => same.to_string(),
    }
}
