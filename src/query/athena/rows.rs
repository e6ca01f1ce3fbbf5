//! Turns the texts that Athena gives for values into columns of their types.
//!
//! Numbers, dates and times become what they are; what Athena prints as text (arrays, maps, rows, JSON, intervals)
//! stays text. A value that is not there is null.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Schema, SchemaRef, TimeUnit};
use aws_sdk_athena::types::{ColumnInfo, Row};
use chrono::{DateTime, NaiveDateTime, TimeZone};

use crate::error::{Error, Kind, Result};

/// How the columns of a result are read.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    schema: SchemaRef,
    columns: Arc<[Reading]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// By arrow's cast of a text to the column's type.
    Cast,
    /// `2026-11-22 13:30:00.123 America/New_York`
    Zoned,
    /// `de ad be ef`
    Bytes,
}

impl Rows {
    pub(super) fn new(columns: Vec<ColumnInfo>) -> Result<Self> {
        let read: Vec<(DataType, Reading)> = columns.iter().map(reading).collect();
        let fields: Vec<Field> = columns
            .iter()
            .zip(&read)
            .map(|(column, (data_type, _))| {
                Field::new(column.label.as_deref().unwrap_or(&column.name), data_type.clone(), true)
            })
            .collect();
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            columns: read.into_iter().map(|(_, reading)| reading).collect(),
        })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether a row is the columns' names.
    pub(super) fn is_header(&self, row: &Row) -> bool {
        let names = self.schema.fields().iter().map(|field| Some(field.name().as_str()));
        row.data().iter().map(|cell| cell.var_char_value()).eq(names)
    }

    pub(super) fn batch(&self, rows: Vec<Row>) -> Result<RecordBatch> {
        let mut texts: Vec<Vec<Option<String>>> =
            self.columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
        let count = rows.len();
        for row in rows {
            let mut cells = row.data.unwrap_or_default().into_iter();
            for column in &mut texts {
                column.push(cells.next().and_then(|cell| cell.var_char_value));
            }
        }
        let columns = texts.into_iter().zip(self.columns.iter()).zip(self.schema.fields());
        let columns: Vec<ArrayRef> =
            columns.map(|((texts, reading), field)| read(texts, *reading, field)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::new(Kind::Query, "the rows of Athena's answer have no form").because(e))
    }
}

fn reading(column: &ColumnInfo) -> (DataType, Reading) {
    let data_type = match column.r#type.to_ascii_lowercase().as_str() {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "integer" | "int" => DataType::Int32,
        "bigint" => DataType::Int64,
        "float" | "real" => DataType::Float32,
        "double" => DataType::Float64,
        "decimal" => {
            let precision = column.precision.clamp(1, i32::from(DECIMAL128_MAX_PRECISION)) as u8;
            DataType::Decimal128(precision, column.scale.clamp(0, i32::from(precision)) as i8)
        }
        "date" => DataType::Date32,
        "time" => DataType::Time32(TimeUnit::Millisecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "timestamp with time zone" => {
            return (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), Reading::Zoned);
        }
        "varbinary" | "binary" => return (DataType::Binary, Reading::Bytes),
        _ => DataType::Utf8,
    };
    (data_type, Reading::Cast)
}

fn read(texts: Vec<Option<String>>, reading: Reading, field: &Field) -> Result<ArrayRef> {
    let odd = || {
        Error::new(Kind::Query, "Athena gives a value that is none of its column's type")
            .with("column", field.name())
            .with("type", field.data_type())
    };
    match reading {
        Reading::Cast => {
            let texts = StringArray::from(texts);
            let options = CastOptions { safe: false, ..Default::default() };
            // The cause names the value.
            cast_with_options(&texts, field.data_type(), &options).map_err(|e| odd().because(e))
        }
        Reading::Zoned => {
            let instants = texts.iter().map(|text| match text {
                Some(text) => instant(text).ok_or_else(|| odd().with("value", text)).map(Some),
                None => Ok(None),
            });
            let instants: TimestampMillisecondArray = instants.collect::<Result<Vec<_>>>()?.into();
            Ok(Arc::new(instants.with_timezone("UTC")))
        }
        Reading::Bytes => {
            let bytes = texts.iter().map(|text| match text {
                Some(text) => bytes(text).ok_or_else(|| odd().with("value", text)).map(Some),
                None => Ok(None),
            });
            Ok(Arc::new(bytes.collect::<Result<Vec<_>>>()?.into_iter().collect::<BinaryArray>()))
        }
    }
}

/// Milliseconds since the epoch of `2026-11-22 13:30:00.123 America/New_York` or `… +01:00`.
fn instant(text: &str) -> Option<i64> {
    let (local, zone) = text.rsplit_once(' ')?;
    if zone.starts_with(['+', '-']) {
        let parsed = DateTime::parse_from_str(&format!("{local} {zone}"), "%Y-%m-%d %H:%M:%S%.f %:z");
        return parsed.ok().map(|time| time.timestamp_millis());
    }
    let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    let zone: chrono_tz::Tz = zone.parse().ok()?;
    // Of the two instants that an hour set back has, the first: the text does not say which.
    zone.from_local_datetime(&local).earliest().map(|time| time.timestamp_millis())
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| Some(c.to_digit(16)? as u8))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}
