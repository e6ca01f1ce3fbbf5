//! Turns a rejected record into a row of `<table>_rejected`, the sibling that keeps what could not be decoded.
//!
//! Its own location beside the table's, its own chains, partitioned by `date` of the Kafka timestamp in UTC.

use std::collections::BTreeMap;

use super::decode::Rejection;
use super::route::{Field, Of, Router};
use super::row::{Row, Tree, Value};
use crate::error::Result;
use crate::kafka::{Record, TopicPartition};
use crate::store::Folder;
use crate::table::columns::StructField;
use crate::table::spec::{NullPartition, Transform};
use crate::table::transform::Calendar;
use crate::table::{Column, ColumnType, Ddl, TableName};

/// What is written of every rejected record but its values.
#[derive(Clone, Debug, Default)]
pub(super) struct Rejecting {
    /// The replay that rejected it; 0 is the ingest.
    pub attempt: u32,
    /// Of the topics that are read under one.
    pub epochs: BTreeMap<String, u32>,
}

const TIMESTAMP: usize = 4;
const WIDTH: usize = 12;

/// The columns of every rejected table.
pub(super) fn columns() -> Vec<Column> {
    use ColumnType::{Array, BigInt, Binary, Int, String, Struct, Timestamp};
    let field = |name: &str, field_type: ColumnType| StructField { name: name.to_owned(), field_type };
    let header = Struct(vec![field("name", String), field("value", Binary)]);
    let columns = [
        ("topic", String, "Kafka topic"),
        ("partition", Int, "Kafka partition"),
        ("offset", BigInt, "Kafka offset"),
        ("element", Int, "which element of the message's array; null: the whole message"),
        ("timestamp", Timestamp, "Kafka timestamp"),
        ("key", Binary, "Kafka key"),
        ("value", Binary, "the record as it came, its bytes"),
        ("reason", String, "why it is no row"),
        ("column", String, "the column that it was for, where there is one"),
        ("attempt", Int, "0: rejected by the ingest; above it: by the replay of that number"),
        ("headers", Array(Box::new(header)), "Kafka headers, where the table has a column of one"),
        ("epoch", Int, "of the topic, where one was made anew under its name"),
    ];
    let column = |(name, column_type, comment): (&str, ColumnType, &str)| Column {
        name: name.to_owned(),
        column_type,
        comment: Some(comment.to_owned()),
    };
    columns.map(column).into()
}

/// The columns' types, in order.
pub(super) fn types() -> Vec<ColumnType> {
    columns().into_iter().map(|column| column.column_type).collect()
}

/// The rejected table of a table, in the folder beside it.
pub(super) fn ddl(table: &Ddl, folder: &Folder) -> Result<Ddl> {
    Ok(Ddl {
        name: table.name.rejected()?,
        columns: columns(),
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

/// The table whose records are rejected into this one, if it is such a table: a table of one's own may have such a name.
pub(crate) fn rejects_of(ddl: &Ddl) -> Option<TableName> {
    let main = ddl.name.table().strip_suffix("_rejected")?;
    let has = |name| ddl.columns.iter().any(|column| column.name == name);
    // The first version had these; some have come since.
    let is_one = ["topic", "partition", "offset", "reason", "attempt"].into_iter().all(has);
    is_one.then(|| TableName::new(ddl.name.database(), main).ok())?
}

/// Routes rejected rows by the day of their Kafka timestamp.
pub(super) fn router() -> Router {
    let date = Field { name: "date".to_owned(), transform: Transform::Day, slot: TIMESTAMP, of: Of::Millis };
    Router::of_fields(vec![date], Calendar::new(chrono_tz::UTC), NullPartition::Default)
}

/// Fills a row with a rejected record.
pub(super) fn fill(
    row: &mut Row,
    by: &Rejecting,
    source: &TopicPartition,
    record: &Record<'_>,
    rejection: &Rejection<'_>,
) {
    row.values.resize(WIDTH, Value::Null);
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
    row.values[9] = Value::Int(i64::from(by.attempt));
    if let Some(headers) = headers(record) {
        row.set_text(10, &headers);
    }
    row.values[11] = Value::Int(i64::from(by.epochs.get(&*source.topic).copied().unwrap_or(0)));
}

/// A record's headers as a nested value; `None` where it has none.
fn headers(record: &Record<'_>) -> Option<Vec<u8>> {
    let text = |bytes: &[u8]| Tree::Text(bytes.into());
    // A name that is no text is none that a column could have.
    let header = |(name, value): (&[u8], Option<&[u8]>)| {
        let name = String::from_utf8_lossy(name);
        Tree::Struct(vec![text(name.as_bytes()), value.map_or(Tree::Null, text)])
    };
    let headers: Vec<Tree> = record.headers().map(header).collect();
    if headers.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    Tree::List(headers).write(&mut bytes);
    Some(bytes)
}
