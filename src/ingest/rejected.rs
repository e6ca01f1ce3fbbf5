//! Turns a rejected record into a row of `<table>_rejected`, the sibling that keeps what could not be decoded.
//!
//! Its own location beside the table's, its own chains, partitioned by `date` of the Kafka timestamp in UTC.

use super::decode::Rejection;
use super::route::{Field, Of, Router};
use super::row::{Row, Value};
use crate::error::Result;
use crate::kafka::{Record, TopicPartition};
use crate::store::Folder;
use crate::table::spec::{NullPartition, Transform};
use crate::table::transform::Calendar;
use crate::table::{Column, ColumnType, Ddl};

/// The columns of every rejected table: name, type, and what the catalog says of it.
const COLUMNS: [(&str, ColumnType, &str); 10] = [
    ("topic", ColumnType::String, "Kafka topic"),
    ("partition", ColumnType::Int, "Kafka partition"),
    ("offset", ColumnType::BigInt, "Kafka offset"),
    ("element", ColumnType::Int, "which element of the message's array; null: the whole message"),
    ("timestamp", ColumnType::Timestamp, "Kafka timestamp"),
    ("key", ColumnType::Binary, "Kafka key"),
    ("value", ColumnType::Binary, "the record as it came, its bytes"),
    ("reason", ColumnType::String, "why it is no row"),
    ("column", ColumnType::String, "the column that it was for, where there is one"),
    ("attempt", ColumnType::Int, "0: rejected by the ingest"),
];
const TIMESTAMP: usize = 4;

/// The columns' types, in order.
pub(super) fn types() -> Vec<ColumnType> {
    COLUMNS.map(|(_, column_type, _)| column_type).to_vec()
}

/// The rejected table of a table, in the folder beside it.
pub(super) fn ddl(table: &Ddl, folder: &Folder) -> Result<Ddl> {
    let column = |(name, column_type, comment): &(&str, ColumnType, &str)| Column {
        name: (*name).to_owned(),
        column_type: column_type.clone(),
        comment: Some((*comment).to_owned()),
    };
    Ok(Ddl {
        name: table.name.rejected()?,
        columns: COLUMNS.iter().map(column).collect(),
        comment: Some(format!("records that could not be rows of {}", table.name)),
        partitioned_by: vec![Column {
            name: "date".to_owned(),
            column_type: ColumnType::String,
            comment: Some("day of the Kafka timestamp, UTC".to_owned()),
        }],
        location: Some(folder.location().to_owned()),
        properties: Vec::new(),
    })
}

/// Routes rejected rows by the day of their Kafka timestamp.
pub(super) fn router() -> Router {
    let date = Field { name: "date".to_owned(), transform: Transform::Day, slot: TIMESTAMP, of: Of::Millis };
    Router::of_fields(vec![date], Calendar::new(chrono_tz::UTC), NullPartition::Default)
}

/// Fills a row with a rejected record.
pub(super) fn fill(row: &mut Row, source: &TopicPartition, record: &Record<'_>, rejection: &Rejection<'_>) {
    row.values.resize(COLUMNS.len(), Value::Null);
    row.clear();
    row.set_text(0, source.topic.as_bytes());
    row.values[1] = Value::Int(i64::from(source.partition));
    row.values[2] = Value::Int(record.offset);
    row.values[3] = rejection.element.map_or(Value::Null, |element| Value::Int(i64::from(element)));
    // A timestamp that no calendar holds is as good as none: the row must have a place.
    let timestamp = record.timestamp.filter(|t| super::time::MILLIS.contains(t));
    row.values[TIMESTAMP] = timestamp.map_or(Value::Null, Value::Int);
    if let Some(key) = record.key {
        row.set_text(5, key);
    }
    if let Some(value) = rejection.value {
        row.set_text(6, value);
    }
    row.set_text(7, rejection.reason.name().as_bytes());
    if let Some(column) = rejection.column {
        row.set_text(8, column.as_bytes());
    }
    row.values[9] = Value::Int(0);
}
