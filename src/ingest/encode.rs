//! Turns sealed rows into the bytes of a Parquet file: sorted, encoded once, compressed.
//!
//! What is read by Athena, Trino and Spark alike (FACTS 3.2-3.5): ZSTD; DELTA_BINARY_PACKED for numbers that are kept
//! as INT32 and INT64, since neighbours in time are near in value; dictionaries for texts; no BYTE_STREAM_SPLIT.
//!
//! Memory: the rows, sorted once more where they are not in order yet, and the file.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMillisecondType};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::table::spec;

/// Nulls first, as Parquet's sorting columns say it.
const ORDER: SortOptions = SortOptions { descending: false, nulls_first: true };

/// How the files of one table are made.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    schema: SchemaRef,
    /// Columns the rows are sorted by, all ascending; ties stay in the order they arrived.
    sort: Vec<usize>,
    properties: WriterPropertiesBuilder,
}

impl Encoder {
    pub fn new(schema: SchemaRef, sort: Vec<usize>, compression: spec::Compression) -> Self {
        let compression = match compression {
            // Level 1: higher ones cost more than they save on ticks (see the benchmarks).
            spec::Compression::Zstd => Compression::ZSTD(ZstdLevel::default()),
            spec::Compression::Snappy => Compression::SNAPPY,
            spec::Compression::None => Compression::UNCOMPRESSED,
        };
        let sorting = sort
            .iter()
            .map(|i| SortingColumn { column_idx: leaf(&schema, *i), descending: false, nulls_first: true })
            .collect();
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("ticklake ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(compression)
            .set_sorting_columns(Some(sorting).filter(|sorting: &Vec<_>| !sorting.is_empty()));
        for field in schema.fields() {
            if is_packed(field.data_type()) {
                let path = ColumnPath::from(field.name().as_str());
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
        Self { schema, sort, properties }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The file of these rows, with the footer's key-values.
    pub fn encode(&self, rows: &RecordBatch, footer: Vec<(String, String)>) -> Result<Bytes, ParquetError> {
        let sorted = self.sorted(rows)?;
        let footer = footer.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        let properties = self.properties.clone().set_key_value_metadata(Some(footer)).build();
        // Arrow's own schema would be most of a small file; Parquet's says all that readers need.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), self.schema.clone(), options)?;
        writer.write(&sorted)?;
        Ok(writer.into_inner()?.into())
    }

    fn sorted(&self, rows: &RecordBatch) -> Result<RecordBatch, ParquetError> {
        if self.sort.is_empty() || self.is_in_order(rows) {
            return Ok(rows.clone());
        }
        let mut columns: Vec<SortColumn> = self
            .sort
            .iter()
            .map(|i| SortColumn { values: rows.column(*i).clone(), options: Some(ORDER) })
            .collect();
        // The sort is not stable by itself: the place of arrival decides ties.
        let arrival: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..rows.num_rows() as u32));
        columns.push(SortColumn { values: arrival, options: Some(ORDER) });
        Ok(take_record_batch(rows, &lexsort_to_indices(&columns, None)?)?)
    }

    /// The usual case, and cheap to see: sorted by one time, and arrived in order.
    fn is_in_order(&self, rows: &RecordBatch) -> bool {
        let &[column] = self.sort.as_slice() else { return false };
        let column = rows.column(column);
        match column.as_primitive_opt::<TimestampMillisecondType>() {
            Some(times) => times.null_count() == 0 && times.values().is_sorted(),
            None => false,
        }
    }
}

/// The index of a top-level column's first leaf among the file's columns.
fn leaf(schema: &SchemaRef, column: usize) -> i32 {
    schema.fields().iter().take(column).map(|field| leaves(field.data_type())).sum()
}

fn leaves(data_type: &DataType) -> i32 {
    match data_type {
        DataType::List(element) => leaves(element.data_type()),
        DataType::Map(entries, _) => leaves(entries.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

/// Kept as INT32 or INT64 in the file (FACTS 7.10).
fn is_packed(data_type: &DataType) -> bool {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => true,
        DataType::Date32 | DataType::Timestamp(..) => true,
        DataType::Decimal128(precision, _) => *precision <= 18,
        _ => false,
    }
}
