//! Keeps the rows of one partition in few bytes, in the order they came, until they are sealed.
//!
//! Neighbours in a feed are near each other. A number is kept as its difference from the one before it, in as many bytes
//! as that needs; a text that repeats the one before it takes none. The lengths stand before the row, four bits each. A
//! tick of seven columns takes some 20 bytes, where a vector for each column takes 70 and what the vectors keep in
//! reserve: the budget of memory holds three times the rows, and files grow as much larger. And a row is written in
//! one place: with thousands of partitions, a vector for each column misses the cache at each value.
//!
//! Memory: blocks that are as large as all before them, from 256 bytes up to 64 KiB; no row is cut.

use super::row::{Row, Value};
use crate::table::ColumnType;

const BLOCK_MIN: usize = 256;
const BLOCK_MAX: usize = 64 << 10;

/// How a column's values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    /// Integers of every width, dates, timestamps, decimals of up to 18 digits: the difference from the last.
    Int,
    /// Decimals of up to 38 digits.
    Wide,
    /// What differs in the bits from the last.
    Double,
    /// Strings, binaries and nested values.
    Bytes,
}

/// One value, as it is read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Wide(i128),
    Double(f64),
    Bytes(&'a [u8]),
}

/// What four bits say: up to 12 bytes; a text whose length stands before it, in four bytes; the text before; null.
const LONG: u8 = 13;
const SAME: u8 = 14;
const NULL: u8 = 15;
const LONG_BYTES: u8 = 4;

/// What a value takes at most, beside a text; and a number, which is written in full and then cut.
const VALUE_MAX: usize = 16;
const NUMBER_MAX: usize = 8;

/// Of a text that no row in this block has.
const NOWHERE: u64 = u64::MAX;

impl Form {
    pub fn of(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Bool,
            ColumnType::Decimal { precision, .. } if *precision > 18 => Self::Wide,
            ColumnType::Float | ColumnType::Double => Self::Double,
            ColumnType::String | ColumnType::Binary => Self::Bytes,
            ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_) => Self::Bytes,
            _ => Self::Int,
        }
    }

    /// What a value takes in a column, beside a text.
    fn width(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int | Self::Double => 8,
            Self::Wide => 16,
            Self::Bytes => 4,
        }
    }

    /// What stands for the value before the first.
    fn first(self) -> u64 {
        if self == Self::Bytes { NOWHERE } else { 0 }
    }
}

/// The rows of one partition of one table. They are written and read by the same forms.
#[derive(Debug)]
pub(super) struct Packed {
    blocks: Vec<Vec<u8>>,
    /// The block that grows.
    tail: Vec<u8>,
    /// The record's offset, then each column: its last number, or where its last text stands in the tail.
    last: Box<[u64]>,
    rows: usize,
    first_offset: i64,
    /// Bytes reserved.
    bytes: usize,
    /// Of all texts, as often as they come.
    text_bytes: usize,
}

impl Packed {
    pub fn new(forms: &[Form]) -> Self {
        let last = std::iter::once(0).chain(forms.iter().map(|form| form.first())).collect::<Box<[u64]>>();
        let bytes = size_of_val(&*last);
        Self { blocks: Vec::new(), tail: Vec::new(), last, rows: 0, first_offset: 0, bytes, text_bytes: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes reserved on the heap.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of these rows as columns, about: what it takes to make a file of them. Texts that repeat count each time.
    pub fn unpacked_bytes(&self, forms: &[Form]) -> usize {
        self.rows * forms.iter().map(|form| form.width()).sum::<usize>() + self.text_bytes
    }

    /// The offset of the first row's record.
    pub fn first_offset(&self) -> i64 {
        self.first_offset
    }

    /// Appends a row of the record at `offset`; its first values are the columns' values. Gives the bytes that were
    /// reserved for it. `scratch` is used anew for each row.
    pub fn push(&mut self, forms: &[Form], row: &Row, offset: i64, scratch: &mut Vec<u8>) -> usize {
        let heads = heads(forms);
        let most = heads + NUMBER_MAX + forms.len() * VALUE_MAX + row.text.len();
        if scratch.len() < most {
            scratch.resize(most, 0);
        }
        scratch[..heads].fill(0);
        if self.rows == 0 {
            self.first_offset = offset;
        }
        // Where the row begins, if the tail has room for it.
        let begin = self.tail.len();
        let (last_offset, last) = self.last.split_first_mut().expect("the offset comes first");
        let mut to = Writer { bytes: scratch, at: heads };
        let length = to.number(difference(offset, last_offset));
        put_length(to.bytes, 0, length);
        for (at, ((form, value), last)) in forms.iter().zip(&row.values).zip(last).enumerate() {
            let length = match (form, value) {
                (Form::Int, Value::Int(value)) => to.number(difference(*value, last)),
                (Form::Bytes, Value::Text { start, len }) => {
                    let text = &row.text[*start..*start + *len];
                    self.text_bytes += *len;
                    if text_at(&self.tail, *last) == Some(text) {
                        SAME
                    } else {
                        let length = to.text(text);
                        *last = place(begin + to.at - len, *len);
                        length
                    }
                }
                (Form::Bool, Value::Bool(value)) => u8::from(*value),
                (Form::Double, Value::Double(value)) => {
                    // Of near ones the first bits are the same, and not kept.
                    let bits = value.to_bits();
                    to.number(bits ^ std::mem::replace(last, bits))
                }
                (Form::Wide, Value::Wide(value)) => to.put(&value.to_le_bytes()),
                (_, value) => {
                    debug_assert_eq!(*value, Value::Null, "a value of another form than the column's");
                    NULL
                }
            };
            put_length(to.bytes, at + 1, length);
        }
        let packed = &to.bytes[..to.at];
        self.rows += 1;
        if self.tail.capacity() - begin >= packed.len() {
            self.tail.extend_from_slice(packed);
            return 0;
        }
        let room = self.bytes.clamp(BLOCK_MIN, BLOCK_MAX).max(packed.len());
        let full = std::mem::replace(&mut self.tail, Vec::with_capacity(room));
        self.tail.extend_from_slice(packed);
        if full.capacity() > 0 {
            self.blocks.push(full);
        }
        for (form, last) in forms.iter().zip(&mut self.last[1..]) {
            if *form == Form::Bytes {
                *last = moved(*last, begin);
            }
        }
        let reserved = self.tail.capacity() + size_of::<Vec<u8>>();
        self.bytes += reserved;
        reserved
    }

    /// Reads the rows back, by the forms they were written by.
    pub fn reader<'a>(&'a self, forms: &'a [Form]) -> Reader<'a> {
        let blocks = self.blocks.iter().chain(std::iter::once(&self.tail));
        Reader {
            forms,
            blocks: blocks
                .map(Vec::as_slice)
                .filter(|block| !block.is_empty())
                .collect::<Vec<_>>()
                .into_iter(),
            block: &[],
            last: vec![0; forms.len() + 1],
            texts: vec![&[]; forms.len()],
        }
    }
}

/// Reads rows in the order they were appended.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    forms: &'a [Form],
    blocks: std::vec::IntoIter<&'a [u8]>,
    /// What is left of the block that is read.
    block: &'a [u8],
    last: Vec<u64>,
    texts: Vec<&'a [u8]>,
}

impl<'a> Reader<'a> {
    /// Gives each value of the next row: the offset of the row's record, the column, the value. Then gives the offset; `None`
    /// after the last row.
    #[inline]
    pub fn next_row(&mut self, mut each: impl FnMut(i64, usize, Cell<'a>)) -> Option<i64> {
        if self.block.is_empty() {
            self.block = self.blocks.next()?;
        }
        let (heads, mut rest) = self.block.split_at(heads(self.forms));
        self.last[0] = sum(self.last[0], number(&mut rest, length_of(heads, 0)));
        let offset = self.last[0] as i64;
        for (at, form) in self.forms.iter().enumerate() {
            let length = length_of(heads, at + 1);
            let last = &mut self.last[at + 1];
            let cell = match (form, length) {
                (_, NULL) => Cell::Null,
                (Form::Int, length) => {
                    *last = sum(*last, number(&mut rest, length));
                    Cell::Int(*last as i64)
                }
                (Form::Bytes, SAME) => Cell::Bytes(self.texts[at]),
                (Form::Bytes, length) => {
                    let len =
                        if length == LONG { number(&mut rest, LONG_BYTES) as usize } else { length.into() };
                    let (text, after) = rest.split_at(len);
                    (self.texts[at], rest) = (text, after);
                    Cell::Bytes(text)
                }
                (Form::Bool, length) => Cell::Bool(length == 1),
                (Form::Double, length) => {
                    *last ^= number(&mut rest, length);
                    Cell::Double(f64::from_bits(*last))
                }
                (Form::Wide, _) => {
                    let (value, after) = rest.split_first_chunk().expect("a wide decimal has 16 bytes");
                    rest = after;
                    Cell::Wide(i128::from_le_bytes(*value))
                }
            };
            each(offset, at, cell);
        }
        self.block = rest;
        Some(offset)
    }
}

#[inline]
fn put_length(heads: &mut [u8], at: usize, length: u8) {
    heads[at / 2] |= length << (4 * (at % 2));
}

#[inline]
fn length_of(heads: &[u8], at: usize) -> u8 {
    (heads[at / 2] >> (4 * (at % 2))) & 0xF
}

/// Bytes of the lengths before a row: of its offset and its values.
fn heads(forms: &[Form]) -> usize {
    forms.len() / 2 + 1
}

/// From the last number to this one, which is the last one then; near numbers give small ones, whatever their order.
#[inline]
fn difference(value: i64, last: &mut u64) -> u64 {
    let by = value.wrapping_sub(*last as i64);
    *last = value as u64;
    (by << 1 ^ by >> 63) as u64
}

/// The number that is so far from the last.
#[inline]
fn sum(last: u64, difference: u64) -> u64 {
    let by = (difference >> 1) as i64 ^ -((difference & 1) as i64);
    (last as i64).wrapping_add(by) as u64
}

#[inline]
fn number(from: &mut &[u8], length: u8) -> u64 {
    let length = usize::from(length);
    let value = match from.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight) & !(!0u64).checked_shl(8 * length as u32).unwrap_or(0),
        None => from[..length].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
    };
    *from = &from[length..];
    value
}

/// Where a text stands in a block.
fn place(start: usize, len: usize) -> u64 {
    (start as u64) << 32 | len as u64
}

fn text_at(block: &[u8], place: u64) -> Option<&[u8]> {
    block.get((place >> 32) as usize..)?.get(..place as u32 as usize)
}

/// The place when what stood before `begin` is left behind.
fn moved(place: u64, begin: usize) -> u64 {
    place.checked_sub((begin as u64) << 32).filter(|_| place != NOWHERE).unwrap_or(NOWHERE)
}

struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

/// What is put gives what stands for its length.
impl Writer<'_> {
    #[inline]
    fn number(&mut self, value: u64) -> u8 {
        self.bytes[self.at..self.at + NUMBER_MAX].copy_from_slice(&value.to_le_bytes());
        let length = (u64::BITS - value.leading_zeros()).div_ceil(8);
        self.at += length as usize;
        length as u8
    }

    fn text(&mut self, text: &[u8]) -> u8 {
        let length = u8::try_from(text.len()).ok().filter(|len| *len < LONG).unwrap_or(LONG);
        if length == LONG {
            self.put(&(text.len() as u32).to_le_bytes());
        }
        self.put(text);
        length
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> u8 {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form; 5] = [Form::Int, Form::Bytes, Form::Bool, Form::Double, Form::Wide];

    /// How far the offset is from the one before, which values are there, and these.
    type Given = (i64, [bool; 5], i64, Vec<u8>, f64, i128);

    /// Rows of these forms as they may come: near and far numbers, texts that repeat, long ones, nulls.
    fn rows() -> impl Strategy<Value = Vec<Given>> {
        let int = prop_oneof![Just(0), -300i64..300, any::<i64>()];
        let text = prop_oneof![
            Just(b"XNAS".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..20),
            proptest::collection::vec(any::<u8>(), 300..400),
        ];
        let row = (1i64..1000, any::<[bool; 5]>(), int, text, any::<f64>(), any::<i128>());
        proptest::collection::vec(row, 0..200)
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(rows in rows()) {
            let mut packed = Packed::new(&FORMS);
            let mut scratch = Vec::new();
            let (mut offset, mut wanted) = (0, Vec::new());
            for (step, present, int, text, double, wide) in &rows {
                offset += step;
                let mut row = Row { values: vec![Value::Null; 5], text: Vec::new() };
                row.set_text(1, text);
                let text_value = row.values[1];
                let values =
                    [Value::Int(*int), text_value, Value::Bool(*int > 0), Value::Double(*double), Value::Wide(*wide)];
                let cells = [
                    Cell::Int(*int),
                    Cell::Bytes(text),
                    Cell::Bool(*int > 0),
                    Cell::Double(*double),
                    Cell::Wide(*wide),
                ];
                let is_there = |at: usize| present[at];
                let there = |at: usize| if is_there(at) { values[at] } else { Value::Null };
                row.values = (0..5).map(there).collect();
                let cells: [Cell<'_>; 5] = std::array::from_fn(|at| if is_there(at) { cells[at] } else { Cell::Null });
                let before = packed.bytes();
                prop_assert_eq!(before + packed.push(&FORMS, &row, offset, &mut scratch), packed.bytes());
                wanted.push((offset, cells));
            }
            let mut reader = packed.reader(&FORMS);
            for (offset, cells) in &wanted {
                let mut got = [Cell::Null; 5];
                prop_assert_eq!(reader.next_row(|_, at, cell| got[at] = cell), Some(*offset));
                // Bit by bit: NaN is not equal to itself, and -0 is to 0.
                prop_assert_eq!(format!("{got:?}"), format!("{cells:?}"));
            }
            prop_assert_eq!(reader.next_row(|_, _, _| {}), None);
            prop_assert_eq!(packed.rows(), rows.len());
            prop_assert_eq!(wanted.first().map_or(0, |(offset, _)| *offset), packed.first_offset());
        }
    }
}
