//! Holds the rows of one partition as growing columns, and turns them into Arrow arrays without a copy.
//!
//! Memory: plain vectors that double. `bytes` is what they have reserved, not only what is filled, so that the job's
//! budget is honest.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, NullBufferBuilder,
    RecordBatch, StringArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;

use super::row::{Row, Tree, Value};
use crate::table::ColumnType;

/// What a buffer's columns reserve at first: most partitions of a quiet symbol stay small.
const ROWS_FIRST: usize = 8;

/// The columns of some rows of one table.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    rows: usize,
    capacity: usize,
    /// Bytes reserved, kept up to date as columns grow.
    bytes: usize,
}

#[derive(Debug)]
struct Column {
    data: Data,
    nulls: NullBufferBuilder,
}

#[derive(Debug)]
enum Data {
    Bool(BooleanBufferBuilder),
    /// Integers of every width, dates, timestamps, and decimals of up to 18 digits.
    Int(Vec<i64>),
    Wide(Vec<i128>),
    Double(Vec<f64>),
    Text {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    Tree {
        trees: Vec<Tree>,
        bytes: usize,
    },
}

impl Columns {
    pub fn new(types: &[ColumnType]) -> Self {
        let columns: Vec<Column> = types.iter().map(Column::new).collect();
        Self { bytes: columns.len() * size_of::<Column>(), columns, rows: 0, capacity: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a row; its first values are these columns' values. Gives the bytes that were reserved for it.
    pub fn append(&mut self, row: &Row) -> usize {
        let before = self.bytes;
        if self.rows == self.capacity {
            let more = self.capacity.max(ROWS_FIRST);
            self.bytes += self.columns.iter_mut().map(|c| c.reserve(more)).sum::<usize>();
            self.capacity += more;
        }
        for (column, value) in self.columns.iter_mut().zip(&row.values) {
            self.bytes += column.append(value, &row.text);
        }
        self.rows += 1;
        self.bytes - before
    }

    /// The rows, in the order they were appended.
    pub fn into_batch(self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let arrays: Result<Vec<ArrayRef>, ArrowError> =
            self.columns.into_iter().zip(schema.fields()).map(|(c, field)| c.into_array(field)).collect();
        RecordBatch::try_new(schema.clone(), arrays?)
    }
}

impl Column {
    fn new(column_type: &ColumnType) -> Self {
        let data = match column_type {
            ColumnType::Boolean => Data::Bool(BooleanBufferBuilder::new(0)),
            ColumnType::Decimal { precision, .. } if *precision > 18 => Data::Wide(Vec::new()),
            ColumnType::Float | ColumnType::Double => Data::Double(Vec::new()),
            ColumnType::String | ColumnType::Binary => Data::Text { ends: Vec::new(), bytes: Vec::new() },
            ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_) => {
                Data::Tree { trees: Vec::new(), bytes: 0 }
            }
            _ => Data::Int(Vec::new()),
        };
        Self { data, nulls: NullBufferBuilder::new(0) }
    }

    /// Reserves room for more rows; gives the bytes that cost.
    fn reserve(&mut self, rows: usize) -> usize {
        match &mut self.data {
            Data::Bool(bits) => {
                bits.reserve(rows);
                rows.div_ceil(8)
            }
            Data::Int(values) => {
                values.reserve_exact(rows);
                rows * size_of::<i64>()
            }
            Data::Wide(values) => {
                values.reserve_exact(rows);
                rows * size_of::<i128>()
            }
            Data::Double(values) => {
                values.reserve_exact(rows);
                rows * size_of::<f64>()
            }
            Data::Text { ends, .. } => {
                ends.reserve_exact(rows);
                rows * size_of::<i32>()
            }
            Data::Tree { trees, .. } => {
                trees.reserve_exact(rows);
                rows * size_of::<Tree>()
            }
        }
    }

    /// Appends a value of this column's kind; gives the bytes reserved beyond what `reserve` took.
    #[inline]
    fn append(&mut self, value: &Value, text: &[u8]) -> usize {
        self.nulls.append(*value != Value::Null);
        match (&mut self.data, value) {
            (Data::Int(values), value) => {
                values.push(if let Value::Int(value) = value { *value } else { 0 });
                0
            }
            (Data::Text { ends, bytes }, value) => {
                let before = bytes.capacity();
                if let Value::Text { start, len } = value {
                    bytes.extend_from_slice(&text[*start..*start + *len]);
                }
                ends.push(bytes.len() as i32);
                bytes.capacity() - before
            }
            (Data::Bool(bits), value) => {
                bits.append(*value == Value::Bool(true));
                0
            }
            (Data::Wide(values), value) => {
                values.push(if let Value::Wide(value) = value { *value } else { 0 });
                0
            }
            (Data::Double(values), value) => {
                values.push(if let Value::Double(value) = value { *value } else { 0.0 });
                0
            }
            (Data::Tree { trees, bytes }, value) => {
                let tree = if let Value::Tree(tree) = value { tree.clone() } else { Tree::Null };
                let more = tree_bytes(&tree);
                *bytes += more;
                trees.push(tree);
                more
            }
        }
    }

    fn into_array(mut self, field: &Field) -> Result<ArrayRef, ArrowError> {
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
            Data::Text { ends, bytes } => {
                let mut offsets = Vec::with_capacity(ends.len() + 1);
                offsets.push(0);
                offsets.extend(ends);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                match field.data_type() {
                    DataType::Binary => Arc::new(BinaryArray::try_new(offsets, Buffer::from(bytes), nulls)?),
                    _ => Arc::new(StringArray::try_new(offsets, Buffer::from(bytes), nulls)?),
                }
            }
            Data::Tree { trees, .. } => tree_array(&trees.iter().collect::<Vec<_>>(), field.data_type())?,
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

/// What a nested value has on the heap, about.
fn tree_bytes(tree: &Tree) -> usize {
    match tree {
        Tree::Text(text) => text.len(),
        Tree::List(items) | Tree::Struct(items) => {
            items.iter().map(|item| size_of::<Tree>() + tree_bytes(item)).sum()
        }
        Tree::Map(entries) => {
            entries.iter().map(|(k, v)| 2 * size_of::<Tree>() + tree_bytes(k) + tree_bytes(v)).sum()
        }
        _ => 0,
    }
}
