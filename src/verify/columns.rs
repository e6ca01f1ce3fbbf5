//! Compares the columns of a file with those of its table in the catalog.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use crate::table::Column;

/// How a file differs, in words; `None` where it does not. A file may lack columns: they were added later, and are null in
/// it. By names, since engines read so.
pub(super) fn difference(metadata: &ParquetMetaData, columns: &[Column]) -> Option<String> {
    let schema = match parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None) {
        Ok(schema) => schema,
        Err(e) => return Some(format!("its columns have types that cannot be read: {e}")),
    };
    let wanted: HashMap<&str, &Column> =
        columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let differences: Vec<String> = schema
        .fields()
        .iter()
        .filter_map(|field| {
            let theirs = name_of(field.data_type());
            match wanted.get(field.name().as_str()) {
                None => Some(format!("it has a column {} {theirs}, which the catalog has not", field.name())),
                Some(column) if column.column_type.arrow() == *field.data_type() => None,
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
