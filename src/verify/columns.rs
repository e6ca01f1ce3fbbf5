//! Compares the columns of a file with those of its table in the catalog.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::DataType;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use crate::table::{Column, ColumnType, Ddl};

/// How a file differs, in words; `None` where it does not. By names, since engines read so. A file may lack columns: they were
/// added later, and are null in it. It may have some narrower, which were widened later, and some that were dropped: one of
/// the table's `older` DDLs had them.
pub(super) fn difference(metadata: &ParquetMetaData, columns: &[Column], older: &[Ddl]) -> Option<String> {
    let schema = match parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None) {
        Ok(schema) => schema,
        Err(e) => return Some(format!("its columns have types that cannot be read: {e}")),
    };
    let wanted: HashMap<&str, &Column> =
        columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let dropped: HashSet<&str> =
        older.iter().flat_map(|ddl| &ddl.columns).map(|column| column.name.as_str()).collect();
    let differences: Vec<String> = schema
        .fields()
        .iter()
        .filter_map(|field| {
            let theirs = name_of(field.data_type());
            match wanted.get(field.name().as_str()) {
                None if dropped.contains(field.name().as_str()) => None,
                None => Some(format!("it has a column {} {theirs}, which the catalog has not", field.name())),
                Some(column) if reads_as(field.data_type(), &column.column_type) => None,
                Some(column) => Some(format!(
                    "its column {} is {theirs}, and in the catalog {}",
                    field.name(),
                    column.column_type
                )),
            }
        })
        .collect();
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// Whether a file's values read as the type that the column has now.
fn reads_as(theirs: &DataType, ours: &ColumnType) -> bool {
    const NARROW: [ColumnType; 4] =
        [ColumnType::TinyInt, ColumnType::SmallInt, ColumnType::Int, ColumnType::Float];
    let is_theirs = |narrow: &&ColumnType| narrow.arrow() == *theirs;
    ours.arrow() == *theirs || NARROW.iter().find(is_theirs).is_some_and(|narrow| narrow.reads_as(ours))
}

/// A type as the DDL writes it, where it is one of the simple ones that both sides know.
fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "string".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        other => other.to_string(),
    }
}
