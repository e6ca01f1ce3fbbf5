//! A value of a row as it stands in Arrow, in a form that two values can be compared in exactly.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMillisecondType,
};

/// Integers are themselves, a decimal its digits without the point, a date its days, a timestamp its milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i128),
    /// The bits of a binary fraction: 0.0 is not -0.0.
    Fraction(u64),
    Text(String),
    List(Vec<Cell>),
    Map(Vec<(Cell, Cell)>),
    Struct(Vec<Cell>),
}

/// The value at an index of an array.
pub fn cell(array: &ArrayRef, at: usize) -> Cell {
    if array.is_null(at) {
        return Cell::Null;
    }
    let all = |array: &ArrayRef| (0..array.len()).map(|i| cell(array, i)).collect::<Vec<_>>();
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(at)),
        DataType::Int8 => Cell::Int(array.as_primitive::<Int8Type>().value(at).into()),
        DataType::Int16 => Cell::Int(array.as_primitive::<Int16Type>().value(at).into()),
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(at).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(at).into()),
        DataType::Date32 => Cell::Int(array.as_primitive::<Date32Type>().value(at).into()),
        DataType::Timestamp(..) => {
            Cell::Int(array.as_primitive::<TimestampMillisecondType>().value(at).into())
        }
        DataType::Decimal128(..) => Cell::Int(array.as_primitive::<Decimal128Type>().value(at)),
        DataType::Float32 => {
            Cell::Fraction(f64::from(array.as_primitive::<Float32Type>().value(at)).to_bits())
        }
        DataType::Float64 => Cell::Fraction(array.as_primitive::<Float64Type>().value(at).to_bits()),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(at).to_owned()),
        DataType::List(_) => Cell::List(all(&array.as_list::<i32>().value(at))),
        DataType::Map(..) => {
            let entries = array.as_map().value(at);
            Cell::Map(all(entries.column(0)).into_iter().zip(all(entries.column(1))).collect())
        }
        DataType::Struct(_) => {
            Cell::Struct(array.as_struct().columns().iter().map(|c| cell(c, at)).collect())
        }
        other => panic!("no table has a column of {other}"),
    }
}
