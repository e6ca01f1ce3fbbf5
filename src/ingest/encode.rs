//! Turns sealed rows into the bytes of a Parquet file: sorted, encoded once, compressed.
//!
//! What is read by Athena, Trino and Spark alike (FACTS 3.2-3.5): ZSTD; for numbers that are kept as INT32 and INT64
//! DELTA_BINARY_PACKED, since neighbours in time are near in value, or a dictionary in a file where a column's values repeat
//! so much that this is shorter; dictionaries for texts; no BYTE_STREAM_SPLIT.
//!
//! Memory: the rows, sorted once more where they are not in order yet, and the file.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{
    LexicographicalComparator, SortColumn, SortOptions, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::{
    DataType, Decimal64Type, Fields, Int64Type, Schema, SchemaRef, TimestampMillisecondType,
};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};

use super::pages::Pages;
use crate::table::spec;

/// Nulls first, as Parquet's sorting columns say it.
const ORDER: SortOptions = SortOptions { descending: false, nulls_first: true };

/// What engines read at once: Parquet's own advice is 128 MiB to 1 GiB, for files that are large enough; by default a file is
/// one of these.
const ROW_GROUP_BYTES: usize = 128 << 20;

/// A reader that uses the page index takes so many rows at least. A fifth of the parquet crate's own: files of ticks are no
/// larger by it (see the benchmarks), as what is near in time is near in value.
const PAGE_ROWS: usize = 4096;

/// A column has no more pages than this, but for the remainder: the page index of a table of some ten columns then comes with
/// the footer, in the 64 KiB that our own reader asks for first.
const PAGES: usize = 128;

/// How the files of one table are made.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    schema: SchemaRef,
    file_schema: TypePtr,
    /// Columns the rows are sorted by, all ascending; ties stay in the order they arrived.
    sort: Vec<usize>,
    properties: WriterPropertiesBuilder,
    /// Pages are compressed here, not by the parquet crate.
    zstd: Option<ZstdLevel>,
}

impl Encoder {
    pub fn new(schema: &Schema, sort: Vec<usize>, compression: spec::Compression) -> Self {
        let schema = narrow(schema);
        let converted = ArrowSchemaConverter::new().convert(&schema);
        let file_schema = converted.expect("each type of a table is one of Parquet's").root_schema_ptr();
        let (compression, zstd) = match compression {
            // Level 1: higher ones cost more than they save on ticks (see the benchmarks).
            spec::Compression::Zstd => (Compression::UNCOMPRESSED, Some(ZstdLevel::default())),
            spec::Compression::Snappy => (Compression::SNAPPY, None),
            spec::Compression::None => (Compression::UNCOMPRESSED, None),
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
        for column in SchemaDescriptor::new(file_schema.clone()).columns() {
            // The parquet crate's page index takes a page for one of nulls where it has as many nulls as rows, also where a
            // row is several values.
            if column.max_rep_level() > 0 {
                let path = column.path().clone();
                properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
            }
        }
        Self { schema, file_schema, sort, properties, zstd }
    }

    /// What the rows to encode are to be of.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The file of these rows, with the footer's key-values.
    pub fn encode(&self, rows: &RecordBatch, footer: Vec<(String, String)>) -> Result<Bytes, ParquetError> {
        let sorted = self.sorted(rows)?;
        let mut properties =
            self.properties.clone().set_data_page_row_count_limit((sorted.num_rows() / PAGES).max(PAGE_ROWS));
        for (field, column) in self.schema.fields().iter().zip(sorted.columns()) {
            if integers(column).is_some_and(dictionary_pays) {
                let path = ColumnPath::from(field.name().as_str());
                properties = properties.set_column_dictionary_enabled(path, true);
            }
        }
        let mut file = self.begin(properties, footer)?;
        let rows_at_once = ROW_GROUP_BYTES / (sorted.get_array_memory_size() / sorted.num_rows()).max(1);
        for group in 0..sorted.num_rows().div_ceil(rows_at_once) {
            let start = group * rows_at_once;
            let rows = sorted.slice(start, rows_at_once.min(sorted.num_rows() - start));
            self.add_row_group(&mut file, group, &rows)?;
        }
        Ok(file.into_inner()?.into())
    }

    /// A file of these columns without a row.
    pub fn encode_none(&self, footer: Vec<(String, String)>) -> Result<Bytes, ParquetError> {
        Ok(self.begin(self.properties.clone(), footer)?.into_inner()?.into())
    }

    fn begin(
        &self,
        properties: WriterPropertiesBuilder,
        footer: Vec<(String, String)>,
    ) -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
        let footer = footer.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        let properties = properties.set_key_value_metadata(Some(footer)).build();
        SerializedFileWriter::new(Vec::new(), self.file_schema.clone(), Arc::new(properties))
    }

    fn add_row_group(
        &self,
        file: &mut SerializedFileWriter<Vec<u8>>,
        group: usize,
        rows: &RecordBatch,
    ) -> Result<(), ParquetError> {
        let pages = Pages::new(self.zstd);
        // Arrow's own schema would be most of a small file; Parquet's says all that readers need.
        let columns = ArrowRowGroupWriterFactory::new(file, self.schema.clone())
            .with_page_store_factory(Arc::new(pages.clone()))
            .create_column_writers(group)?;
        let mut columns = columns.into_iter().enumerate();
        let mut row_group = file.next_row_group()?;
        for (field, values) in self.schema.fields().iter().zip(rows.columns()) {
            for leaf in compute_leaves(field, values)? {
                let (index, mut column) = columns.next().expect("a writer for each leaf");
                column.write(&leaf)?;
                pages.append(index, column.close()?.close().clone(), &mut row_group)?;
            }
        }
        row_group.close()?;
        Ok(())
    }

    fn sorted(&self, rows: &RecordBatch) -> Result<RecordBatch, ParquetError> {
        let columns: Vec<SortColumn> = self
            .sort
            .iter()
            .map(|i| SortColumn { values: rows.column(*i).clone(), options: Some(ORDER) })
            .collect();
        if columns.is_empty() || is_in_order(&columns)? {
            return Ok(rows.clone());
        }
        // The sort is not stable by itself: the place of arrival decides ties.
        let arrival: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..rows.num_rows() as u32));
        let arrival = SortColumn { values: arrival, options: Some(ORDER) };
        let columns: Vec<SortColumn> = columns.into_iter().chain([arrival]).collect();
        Ok(take_record_batch(rows, &lexsort_to_indices(&columns, None)?)?)
    }
}

/// The usual case: rows arrived in their order. Cheap to see where they are sorted by a time first, as they nearly always
/// are: only equal times need a look at the columns behind it.
fn is_in_order(columns: &[SortColumn]) -> Result<bool, ArrowError> {
    let rows = columns[0].values.len();
    let compare = LexicographicalComparator::try_new(columns)?;
    let follows = |row: usize| compare.compare(row - 1, row) != Ordering::Greater;
    let times = columns[0].values.as_primitive_opt::<TimestampMillisecondType>();
    Ok(match times.filter(|times| times.null_count() == 0) {
        Some(times) => {
            let times = times.values();
            (1..rows).all(|row| times[row - 1] < times[row] || follows(row))
        }
        None => (1..rows).all(follows),
    })
}

/// The schema of the rows as they are encoded: decimals that fit 64 bits are in 64 bits. The file is the same.
fn narrow(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Decimal128(precision @ ..=18, scale) => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Decimal64(*precision, *scale)))
        }
        _ => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Fields>()))
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

/// The values of a column that is kept as INT64 in the file.
fn integers(column: &ArrayRef) -> Option<&[i64]> {
    let values = match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values(),
        DataType::Decimal64(..) => column.as_primitive::<Decimal64Type>().values(),
        _ => return None, // times are in their order
    };
    Some(values)
}

/// So many neighbours tell how a column is; DELTA_BINARY_PACKED gives one width to so many of them.
const SAMPLE: usize = 512;
const MINIBLOCK: usize = 32;

/// Whether a dictionary keeps these values in fewer bits than their differences do, as far as a piece from the middle tells:
/// one index each and the values once, against the widest difference of each miniblock.
fn dictionary_pays(values: &[i64]) -> bool {
    let sample = &values[(values.len() / 2).saturating_sub(SAMPLE / 2)..];
    let sample = &sample[..sample.len().min(SAMPLE)];
    let mut distinct = sample.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    // Where less repeats, there is more to come than was seen.
    if sample.len() < 2 || distinct.len() > sample.len() / 2 {
        return false;
    }
    let bits = |value: u64| f64::from(u64::BITS - value.leading_zeros());
    let differences: Vec<i64> = sample.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let widths = differences.chunks(MINIBLOCK).map(|block| {
        let (least, most) = block.iter().fold((i64::MAX, i64::MIN), |(l, m), d| (l.min(*d), m.max(*d)));
        bits(most.wrapping_sub(least) as u64) * block.len() as f64
    });
    let as_differences = widths.sum::<f64>() / differences.len() as f64;
    let entries = distinct.len() as f64 * f64::from(u64::BITS) / values.len() as f64;
    bits(distinct.len() as u64 - 1) + entries < as_differences
}

/// Kept as INT32 or INT64 in the file (FACTS 7.10). Not those of one and two bytes: Trino 476 reads differences of them in so
/// many bits, and fails where neighbours are farther apart.
fn is_packed(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(..)
            | DataType::Decimal64(..)
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array as _, Int64Array, ListArray, StringArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::Field;
    use parquet::arrow::arrow_reader::{
        ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };
    use parquet::file::metadata::PageIndexPolicy;

    use super::*;

    /// Rows of several pages and of all that is encoded in another way: what neighbours, what repeats, texts, lists, nulls.
    fn rows() -> RecordBatch {
        let count = 100_000;
        let texts = (0..count).map(|i| (i % 7 != 0).then(|| format!("{:x}", i * 2_654_435_761u64)));
        let sizes = (0..count as i64).map(|i| (i * 7919) % 64 * 100);
        let lists = (0..count as i64).map(|i| (i % 3 != 0).then(|| (0..i % 4).map(Some).collect::<Vec<_>>()));
        let columns: [(&str, ArrayRef); 4] = [
            ("seq", Arc::new(Int64Array::from_iter_values(0..count as i64))),
            ("size", Arc::new(Int64Array::from_iter_values(sizes))),
            ("text", Arc::new(StringArray::from_iter(texts))),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
        ];
        let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
        let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())
            .unwrap()
    }

    #[test]
    fn some_rows_are_read_by_the_page_index() {
        let rows = rows();
        let mut sizes = Vec::new();
        for compression in [spec::Compression::Zstd, spec::Compression::Snappy, spec::Compression::None] {
            let file = Encoder::new(&rows.schema(), vec![0], compression).encode(&rows, Vec::new()).unwrap();
            sizes.push(file.len());
            let read = |selection: Option<RowSelection>| {
                let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
                let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options);
                let mut reader = reader.unwrap();
                let metadata = reader.metadata().clone();
                assert_eq!(metadata.num_row_groups(), 1);
                let pages = metadata.offset_index().unwrap()[0][0].page_locations().len();
                assert_eq!(pages, rows.num_rows().div_ceil(PAGE_ROWS));
                for (column, places) in
                    metadata.row_group(0).columns().iter().zip(&metadata.offset_index().unwrap()[0])
                {
                    let first = &places.page_locations()[0];
                    assert_eq!(first.offset, column.data_page_offset());
                    let pages =
                        places.page_locations().iter().map(|page| i64::from(page.compressed_page_size));
                    let dictionary = column.dictionary_page_offset().map_or(0, |at| first.offset - at);
                    assert_eq!(pages.sum::<i64>() + dictionary, column.compressed_size());
                }
                if let Some(selection) = selection {
                    reader = reader.with_row_selection(selection);
                }
                let batches: Vec<_> = reader.build().unwrap().map(|batch| batch.unwrap()).collect();
                concat_batches(&batches[0].schema(), &batches).unwrap()
            };
            assert_eq!(read(None).columns(), rows.columns(), "{compression:?}");
            let selection = RowSelection::from(vec![RowSelector::skip(61_234), RowSelector::select(99)]);
            assert_eq!(read(Some(selection)).columns(), rows.slice(61_234, 99).columns(), "{compression:?}");
        }
        assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{sizes:?}");
    }

    #[test]
    fn no_index_says_that_a_page_with_values_has_none() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let rows = [("seq", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef), ("list", Arc::new(lists))];
        let rows = RecordBatch::try_from_iter(rows).unwrap();
        let encoder = Encoder::new(&rows.schema(), vec![0], spec::Compression::Zstd);
        let file = encoder.encode(&rows, Vec::new()).unwrap();

        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        let [seq, list] = &reader.metadata().column_index().unwrap()[0][..] else { panic!("two columns") };

        assert!(seq.get_boundary_order().is_some(), "{seq:?}");
        assert!(list.get_boundary_order().is_none() || !list.is_null_page(0), "{list:?}");
        let [_, list] = reader.metadata().row_group(0).columns() else { panic!("two columns") };
        assert_eq!(list.statistics().unwrap().null_count_opt(), Some(2));
    }

    #[test]
    fn a_dictionary_is_for_what_repeats() {
        let scattered =
            |of: u64| (0..4000u64).map(move |i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % of);
        let column = |values: &mut dyn Iterator<Item = u64>| values.map(|v| v as i64).collect::<Vec<_>>();
        assert!(dictionary_pays(&column(&mut scattered(8).map(|v| 100 * v))), "sizes");
        assert!(dictionary_pays(&column(&mut scattered(200).map(|v| 100 * v))), "prices of whole cents");
        assert!(!dictionary_pays(&column(&mut scattered(1 << 30))), "all else");
        assert!(!dictionary_pays(&column(&mut (0..4000))), "a counter");
        assert!(!dictionary_pays(&column(&mut (0..4000).map(|i| i / 4))), "a slow counter");
        assert!(!dictionary_pays(&[7; 4000]), "a constant, which has no differences");
        assert!(!dictionary_pays(&[]) && !dictionary_pays(&[1]));
    }
}
