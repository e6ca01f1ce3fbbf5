//! Turns packed rows into Arrow columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal64Array, Decimal128Array,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray,
    NullBufferBuilder, RecordBatch, RecordBatchOptions, StringArray, StructArray, TimestampMillisecondArray,
    new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;

use super::packed::{Cell, Form, Packed};
use super::row::Tree;

/// A column that grows.
#[derive(Debug)]
struct Column {
    data: Data,
    nulls: NullBufferBuilder,
    /// Values since the last null.
    present: usize,
}

#[derive(Debug)]
enum Data {
    Bool(BooleanBufferBuilder),
    /// Integers of every width, dates, timestamps, and decimals of up to 18 digits.
    Int(Vec<i64>),
    Wide(Vec<i128>),
    Double(Vec<f64>),
    Text {
        /// Where each text begins, and where the last one ends.
        offsets: Vec<i32>,
        bytes: Vec<u8>,
    },
    Tree(Vec<Tree>),
}

/// The rows of records at and above an offset, in the order they were appended; and how many are of records below it.
pub(super) fn batch(
    packed: &Packed,
    forms: &[Form],
    from: i64,
    schema: &SchemaRef,
) -> Result<(RecordBatch, usize), ArrowError> {
    let mut columns: Vec<Column> = forms
        .iter()
        .zip(schema.fields())
        .map(|(form, field)| Column::new(*form, field, packed.rows()))
        .collect();
    let mut reader = packed.reader(forms);
    let mut below = 0;
    while let Some(offset) = reader.next_row(|offset, at, cell| {
        if offset >= from {
            columns[at].append(cell);
        }
    }) {
        below += usize::from(offset < from);
    }
    let rows = packed.rows() - below;
    let arrays: Result<Vec<ArrayRef>, ArrowError> =
        columns.into_iter().zip(schema.fields()).map(|(column, field)| column.into_array(field)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok((RecordBatch::try_new_with_options(schema.clone(), arrays?, &options)?, below))
}

impl Column {
    fn new(form: Form, field: &Field, rows: usize) -> Self {
        let data = match form {
            Form::Bool => Data::Bool(BooleanBufferBuilder::new(rows)),
            Form::Int => Data::Int(Vec::with_capacity(rows)),
            Form::Wide => Data::Wide(Vec::with_capacity(rows)),
            Form::Double => Data::Double(Vec::with_capacity(rows)),
            Form::Bytes if field.data_type().is_nested() => Data::Tree(Vec::with_capacity(rows)),
            Form::Bytes => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Data::Text { offsets, bytes: Vec::new() }
            }
        };
        Self { data, nulls: NullBufferBuilder::new(rows), present: 0 }
    }

    #[inline]
    fn append(&mut self, cell: Cell<'_>) {
        if cell == Cell::Null {
            self.nulls.append_n_non_nulls(std::mem::take(&mut self.present));
            self.nulls.append_null();
        } else {
            self.present += 1;
        }
        match &mut self.data {
            Data::Int(values) => values.push(if let Cell::Int(value) = cell { value } else { 0 }),
            Data::Text { offsets, bytes } => {
                if let Cell::Bytes(text) = cell {
                    bytes.extend_from_slice(text);
                }
                offsets.push(bytes.len() as i32);
            }
            Data::Bool(bits) => bits.append(cell == Cell::Bool(true)),
            Data::Wide(values) => values.push(if let Cell::Wide(value) = cell { value } else { 0 }),
            Data::Double(values) => values.push(if let Cell::Double(value) = cell { value } else { 0.0 }),
            Data::Tree(trees) => {
                trees.push(if let Cell::Bytes(mut bytes) = cell {
                    Tree::read(&mut bytes)
                } else {
                    Tree::Null
                });
            }
        }
    }

    fn into_array(mut self, field: &Field) -> Result<ArrayRef, ArrowError> {
        self.nulls.append_n_non_nulls(self.present);
        let nulls = self.nulls.finish();
        Ok(match self.data {
            Data::Bool(mut bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Data::Wide(values) => Arc::new(
                Decimal128Array::try_new(values.into(), nulls)?.with_data_type(field.data_type().clone()),
            ),
            Data::Double(values) => match field.data_type() {
                DataType::Float32 => {
                    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
                    Arc::new(Float32Array::try_new(values.into(), nulls)?)
                }
                _ => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            },
            Data::Int(values) => int_array(values, field.data_type(), nulls)?,
            Data::Text { offsets, bytes } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                match field.data_type() {
                    DataType::Binary => Arc::new(BinaryArray::try_new(offsets, Buffer::from(bytes), nulls)?),
                    _ => Arc::new(StringArray::try_new(offsets, Buffer::from(bytes), nulls)?),
                }
            }
            Data::Tree(trees) => tree_array(&trees.iter().collect::<Vec<_>>(), field.data_type())?,
        })
    }
}

type Nulls = Option<arrow::buffer::NullBuffer>;

fn int_array(values: Vec<i64>, data_type: &DataType, nulls: Nulls) -> Result<ArrayRef, ArrowError> {
    // The narrow ones were checked against their range when they were read.
    Ok(match data_type {
        DataType::Int8 => Arc::new(Int8Array::try_new(values.iter().map(|v| *v as i8).collect(), nulls)?),
        DataType::Int16 => Arc::new(Int16Array::try_new(values.iter().map(|v| *v as i16).collect(), nulls)?),
        DataType::Int32 => Arc::new(Int32Array::try_new(values.iter().map(|v| *v as i32).collect(), nulls)?),
        DataType::Date32 => {
            Arc::new(Date32Array::try_new(values.iter().map(|v| *v as i32).collect(), nulls)?)
        }
        DataType::Int64 => Arc::new(Int64Array::try_new(values.into(), nulls)?),
        DataType::Timestamp(..) => Arc::new(
            TimestampMillisecondArray::try_new(values.into(), nulls)?.with_data_type(data_type.clone()),
        ),
        DataType::Decimal64(..) => {
            Arc::new(Decimal64Array::try_new(values.into(), nulls)?.with_data_type(data_type.clone()))
        }
        DataType::Decimal128(..) => {
            let values = values.into_iter().map(i128::from).collect();
            Arc::new(Decimal128Array::try_new(values, nulls)?.with_data_type(data_type.clone()))
        }
        other => return Err(ArrowError::SchemaError(format!("no integers are kept as {other}"))),
    })
}

/// Builds a nested array; what is not of the shape its type has is null (it was checked when it was read).
fn tree_array(trees: &[&Tree], data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if trees.is_empty() {
        return Ok(new_null_array(data_type, 0));
    }
    let mut nulls = NullBufferBuilder::new(trees.len());
    trees.iter().for_each(|tree| nulls.append(**tree != Tree::Null));
    let nulls = nulls.finish();
    let ints = || trees.iter().map(|tree| if let Tree::Int(v) = tree { *v } else { 0 }).collect::<Vec<i64>>();
    let doubles = || trees.iter().map(|tree| if let Tree::Double(v) = tree { *v } else { 0.0 });
    let texts = || trees.iter().map(|tree| if let Tree::Text(v) = tree { Some(&**v) } else { None });
    Ok(match data_type {
        DataType::Boolean => {
            let values = trees.iter().map(|tree| **tree == Tree::Bool(true)).collect();
            Arc::new(BooleanArray::new(values, nulls))
        }
        DataType::Float32 => Arc::new(Float32Array::try_new(doubles().map(|v| v as f32).collect(), nulls)?),
        DataType::Float64 => Arc::new(Float64Array::try_new(doubles().collect(), nulls)?),
        DataType::Utf8 => {
            let texts: Result<Vec<Option<&str>>, _> =
                texts().map(|text| text.map(std::str::from_utf8).transpose()).collect();
            Arc::new(StringArray::from(texts.map_err(|e| ArrowError::ExternalError(e.into()))?))
        }
        DataType::Binary => Arc::new(texts().collect::<BinaryArray>()),
        DataType::Decimal128(precision, _) if *precision > 18 => {
            let values = trees.iter().map(|tree| if let Tree::Wide(v) = tree { *v } else { 0 }).collect();
            Arc::new(Decimal128Array::try_new(values, nulls)?.with_data_type(data_type.clone()))
        }
        DataType::List(element) => {
            let lists =
                trees.iter().map(|tree| if let Tree::List(items) = tree { items.as_slice() } else { &[] });
            let offsets = OffsetBuffer::from_lengths(lists.clone().map(<[Tree]>::len));
            let items: Vec<&Tree> = lists.flatten().collect();
            let values = tree_array(&items, element.data_type())?;
            Arc::new(ListArray::try_new(element.clone(), offsets, values, nulls)?)
        }
        DataType::Map(entries, ordered) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(ArrowError::SchemaError("a map's entries are a struct".into()));
            };
            let maps =
                trees.iter().map(|tree| if let Tree::Map(items) = tree { items.as_slice() } else { &[] });
            let offsets = OffsetBuffer::from_lengths(maps.clone().map(<[(Tree, Tree)]>::len));
            let keys: Vec<&Tree> = maps.clone().flatten().map(|(key, _)| key).collect();
            let values: Vec<&Tree> = maps.flatten().map(|(_, value)| value).collect();
            let arrays =
                vec![tree_array(&keys, fields[0].data_type())?, tree_array(&values, fields[1].data_type())?];
            let structs = StructArray::try_new(fields.clone(), arrays, None)?;
            Arc::new(MapArray::try_new(entries.clone(), offsets, structs, nulls, *ordered)?)
        }
        DataType::Struct(fields) => {
            let mut arrays = Vec::with_capacity(fields.len());
            for (at, field) in fields.iter().enumerate() {
                let values: Vec<&Tree> = trees
                    .iter()
                    .map(|tree| if let Tree::Struct(values) = tree { &values[at] } else { &Tree::Null })
                    .collect();
                arrays.push(tree_array(&values, field.data_type())?);
            }
            Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, trees.len())?)
        }
        _ => int_array(ints(), data_type, nulls)?,
    })
}
