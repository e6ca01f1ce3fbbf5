//! Turns one JSON value into a column's type, exactly or not at all.
//!
//! A null, and an empty text for anything but a string, is null. Numbers may stand in strings. Nothing is rounded
//! but a time's digits below the millisecond, which are cut off, binary fractions (float, double), and decimals whose format
//! says so.

use std::collections::HashSet;

use super::json::{Cursor, Parsed, Quoted, Shape, unescape};
use super::number::{self, Inexact};
use super::row::{Reason, Row, Tree, Value};
use super::time::{self, NoTime};
use crate::table::ColumnType;
use crate::table::spec::{Format, Scalar, Transform};

/// What a value is to become.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Boolean,
    Int {
        min: i64,
        max: i64,
    },
    /// Up to 18 digits: it fits an i64.
    Decimal {
        scale: u8,
        limit: i64,
        rounded: bool,
    },
    /// Up to 38 digits.
    WideDecimal {
        scale: u8,
        limit: i128,
        rounded: bool,
    },
    Float,
    Double,
    Text,
    /// Raw bytes, which JSON cannot give: from the Kafka record only.
    Binary,
    /// Days since the epoch.
    Date(Format),
    /// Milliseconds since the epoch.
    Timestamp(Format),
    /// Nanoseconds since the epoch.
    Nanos(Format),
    Array(Box<Kind>),
    /// Its keys are texts, as an object has no others.
    Map(Box<Kind>),
    Struct(Vec<(Vec<u8>, Kind)>),
    /// True where the value is this one.
    Only(Scalar),
}

/// Where values are put.
pub(super) struct Landing<'a> {
    pub text: &'a mut Vec<u8>,
    /// How many more parts nested values may have: `[{},{},…]` can be hundreds of times its text in memory.
    pub parts_left: &'a mut usize,
}

/// What can be read without a look at all that a [`Kind`] may mean.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plain {
    /// A number as it is written mostly, for a column that keeps it as an integer.
    Number {
        scale: u32,
        min: i64,
        max: i64,
    },
    /// A text without escapes.
    Text,
    None,
}

impl Plain {
    /// Passes such a value and puts it into a slot of the row. Tells whether it did; if not, nothing was passed, and
    /// [`Kind::read`] says what the value is.
    #[inline]
    pub fn read(self, cursor: &mut Cursor<'_>, row: &mut Row, slot: usize) -> bool {
        match self {
            Self::Number { scale, min, max } => match number::plain(cursor.rest(), scale) {
                Some((value, len)) if (min..=max).contains(&value) => {
                    cursor.advance(len);
                    row.values[slot] = Value::Int(value);
                    true
                }
                _ => false,
            },
            Self::Text => {
                let mut after = *cursor;
                match after.string() {
                    Ok(text) if !text.escaped => {
                        *cursor = after;
                        row.set_text(slot, text.raw);
                        true
                    }
                    _ => false,
                }
            }
            Self::None => false,
        }
    }
}

impl Kind {
    /// The kind of a column. Times are RFC 3339 where no format is given.
    pub fn of(column_type: &ColumnType, format: Option<&Format>) -> Self {
        let rounded = format == Some(&Format::Rounded);
        let time = || format.cloned().unwrap_or(Format::Rfc3339);
        match column_type {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::TinyInt => Self::Int { min: i8::MIN.into(), max: i8::MAX.into() },
            ColumnType::SmallInt => Self::Int { min: i16::MIN.into(), max: i16::MAX.into() },
            ColumnType::Int => Self::Int { min: i32::MIN.into(), max: i32::MAX.into() },
            ColumnType::BigInt if format.is_some() => Self::Nanos(time()),
            ColumnType::BigInt => Self::Int { min: i64::MIN, max: i64::MAX },
            ColumnType::Float => Self::Float,
            ColumnType::Double => Self::Double,
            ColumnType::Decimal { precision, scale } if *precision <= 18 => {
                Self::Decimal { scale: *scale, limit: 10i64.pow(u32::from(*precision)), rounded }
            }
            ColumnType::Decimal { precision, scale } => {
                Self::WideDecimal { scale: *scale, limit: 10i128.pow(u32::from(*precision)), rounded }
            }
            ColumnType::String => Self::Text,
            ColumnType::Binary => Self::Binary,
            ColumnType::Date => Self::Date(time()),
            ColumnType::Timestamp => Self::Timestamp(time()),
            ColumnType::Array(element) => Self::Array(Box::new(Self::of(element, None))),
            ColumnType::Map(_, value) => Self::Map(Box::new(Self::of(value, None))),
            ColumnType::Struct(fields) => Self::Struct(
                fields.iter().map(|f| (f.name.clone().into_bytes(), Self::of(&f.field_type, None))).collect(),
            ),
        }
    }

    /// The kind of a value that only a partition uses.
    pub fn of_partition(transform: Transform, format: Option<&Format>) -> Self {
        match transform {
            Transform::Identity => Self::Text,
            _ => Self::Timestamp(format.cloned().unwrap_or(Format::Rfc3339)),
        }
    }

    pub fn is_instant(&self) -> bool {
        matches!(self, Self::Timestamp(_))
    }

    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text)
    }

    /// The usual case of its values.
    pub fn plain(&self) -> Plain {
        match self {
            Self::Decimal { scale, limit, .. } => {
                Plain::Number { scale: u32::from(*scale), min: 1 - limit, max: limit - 1 }
            }
            Self::Int { min, max } => Plain::Number { scale: 0, min: *min, max: *max },
            Self::Timestamp(Format::EpochMillis) => {
                let (min, max) = (*time::MILLIS.start(), *time::MILLIS.end());
                Plain::Number { scale: 0, min, max }
            }
            Self::Text => Plain::Text,
            _ => Plain::None,
        }
    }

    /// Passes a value and gives what it means; what does not fit is [`Value::Bad`].
    pub fn read(&self, cursor: &mut Cursor<'_>, depth: usize, to: &mut Landing<'_>) -> Parsed<Value> {
        match cursor.shape()? {
            Shape::Null => {
                cursor.literal(b"null")?;
                Ok(match self {
                    Self::Only(value) => Value::Bool(*value == Scalar::Null),
                    _ => Value::Null,
                })
            }
            Shape::True => cursor.literal(b"true").map(|()| self.of_bool(true, to)),
            Shape::False => cursor.literal(b"false").map(|()| self.of_bool(false, to)),
            Shape::Number => {
                let text = cursor.number()?;
                Ok(self.of_number(text, to))
            }
            Shape::String => {
                let text = cursor.string()?;
                self.of_string(text, to)
            }
            Shape::Object | Shape::Array => self.of_nested(cursor, depth, to),
        }
    }

    fn of_bool(&self, value: bool, to: &mut Landing<'_>) -> Value {
        match self {
            Self::Boolean => Value::Bool(value),
            Self::Only(only) => Value::Bool(*only == Scalar::Bool(value)),
            Self::Text => to.put(if value { b"true" } else { b"false" }),
            _ => Value::Bad(Reason::WrongType),
        }
    }

    /// A number as it stands in the JSON, or in a string.
    fn of_number(&self, text: &[u8], to: &mut Landing<'_>) -> Value {
        match self {
            Self::Boolean => match number::scaled(text, 0) {
                Ok(0) => Value::Bool(false),
                Ok(1) => Value::Bool(true),
                _ => Value::Bad(Reason::WrongType),
            },
            Self::Int { min, max } => match exact(text, 0) {
                Ok(value) if (i128::from(*min)..=i128::from(*max)).contains(&value) => {
                    Value::Int(value as i64)
                }
                Ok(_) => Value::Bad(Reason::OutOfRange),
                Err(reason) => Value::Bad(reason),
            },
            Self::Decimal { scale, limit, rounded } => match decimal(text, *scale, *rounded) {
                Ok(value) if value.abs() < i128::from(*limit) => Value::Int(value as i64),
                Ok(_) => Value::Bad(Reason::OutOfRange),
                Err(reason) => Value::Bad(reason),
            },
            Self::WideDecimal { scale, limit, rounded } => match decimal(text, *scale, *rounded) {
                Ok(value) if value.abs() < *limit => Value::Wide(value),
                Ok(_) => Value::Bad(Reason::OutOfRange),
                Err(reason) => Value::Bad(reason),
            },
            Self::Float => binary_fraction::<f32>(text),
            Self::Double => binary_fraction::<f64>(text),
            Self::Text => to.put(text),
            Self::Date(format) => instant(format, text, |nanos| Some(i64::from(time::days(nanos)))),
            Self::Timestamp(format) => instant(format, text, |nanos| Some(time::millis(nanos))),
            Self::Nanos(format) => instant(format, text, |nanos| i64::try_from(nanos).ok()),
            Self::Only(Scalar::Number(only)) => Value::Bool(number::same(only.as_bytes(), text)),
            Self::Only(_) => Value::Bool(false),
            Self::Binary | Self::Array(_) | Self::Map(_) | Self::Struct(_) => Value::Bad(Reason::WrongType),
        }
    }

    fn of_string(&self, quoted: Quoted<'_>, to: &mut Landing<'_>) -> Parsed<Value> {
        if !quoted.escaped {
            return Ok(self.of_text(quoted.raw, to));
        }
        let mut text = Vec::new();
        unescape(quoted, &mut text)?;
        Ok(self.of_text(&text, to))
    }

    fn of_text(&self, text: &[u8], to: &mut Landing<'_>) -> Value {
        match self {
            Self::Text => to.put(text),
            Self::Only(only) => Value::Bool(matches!(only, Scalar::String(only) if only.as_bytes() == text)),
            _ if text.is_empty() => Value::Null,
            Self::Boolean => match text {
                b"true" => Value::Bool(true),
                b"false" => Value::Bool(false),
                _ => self.of_number(text, to),
            },
            Self::Array(_) | Self::Map(_) | Self::Struct(_) => Value::Bad(Reason::WrongType),
            _ => self.of_number(text, to),
        }
    }

    fn of_nested(&self, cursor: &mut Cursor<'_>, depth: usize, to: &mut Landing<'_>) -> Parsed<Value> {
        match self {
            // A string column keeps what it is given, as its JSON text.
            Self::Text => {
                let text = cursor.skip(depth)?;
                Ok(to.put(text))
            }
            Self::Array(_) | Self::Map(_) | Self::Struct(_) => {
                let nested = self.nested(cursor, depth, to.parts_left)?;
                Ok(nested.map_or_else(Value::Bad, |tree| to.put_tree(&tree)))
            }
            _ => {
                cursor.skip(depth)?;
                Ok(match self {
                    Self::Only(_) => Value::Bool(false),
                    _ => Value::Bad(Reason::WrongType),
                })
            }
        }
    }

    /// Reads an array or an object for a nested column.
    fn nested(
        &self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        parts_left: &mut usize,
    ) -> Parsed<Result<Tree, Reason>> {
        let is_array = cursor.peek() == Some(b'[');
        match self {
            Self::Array(element) if is_array => {
                let mut elements = Vec::new();
                let mut bad = None;
                cursor.elements(depth, |cursor, _, below| {
                    match element.tree(cursor, below, parts_left)? {
                        Ok(tree) => elements.push(tree),
                        Err(reason) => bad = bad.or(Some(reason)),
                    }
                    Ok(())
                })?;
                Ok(bad.map_or(Ok(Tree::List(elements)), Err))
            }
            Self::Map(value) if !is_array => {
                let (mut entries, mut too_large) = (Vec::new(), false);
                cursor.members(depth, |cursor, name, below| {
                    let mut key = Vec::new();
                    unescape(name, &mut key)?;
                    let entry = value.tree(cursor, below, parts_left)?;
                    // Beyond the limit there is no entry to keep, nor a later one that could replace this.
                    too_large |= entry == Err(Reason::TooLarge);
                    if !too_large {
                        entries.push((key, entry));
                    }
                    Ok(())
                })?;
                if too_large {
                    return Ok(Err(Reason::TooLarge));
                }
                let entries: Result<Vec<_>, Reason> =
                    last_of_each(entries).map(|(key, tree)| Ok((Tree::Text(key.into()), tree?))).collect();
                Ok(entries.map(Tree::Map))
            }
            Self::Struct(fields) => {
                if !spend(parts_left, fields.len()) {
                    cursor.skip(depth)?;
                    return Ok(Err(Reason::TooLarge));
                }
                let mut values = vec![(0, Ok(Tree::Null)); fields.len()];
                if is_array {
                    // Fields without names, in their order: `[price, quantity]`.
                    cursor.elements(depth, |cursor, at, below| {
                        match fields.get(at) {
                            Some((_, field)) => values[at].1 = field.tree(cursor, below, parts_left)?,
                            None => {
                                cursor.skip(below)?;
                            }
                        }
                        Ok(())
                    })?;
                    let trees: Result<Vec<Tree>, Reason> = values.into_iter().map(|(_, tree)| tree).collect();
                    return Ok(trees.map(Tree::Struct));
                }
                cursor.members(depth, |cursor, name, below| {
                    let mut text = Vec::new();
                    unescape(name, &mut text)?;
                    let Some(at) = fields.iter().position(|(f, _)| f.eq_ignore_ascii_case(&text)) else {
                        return cursor.skip(below).map(|_| ());
                    };
                    let sureness = 1 + u8::from(fields[at].0 == text);
                    let tree = fields[at].1.tree(cursor, below, parts_left)?;
                    if sureness >= values[at].0 {
                        values[at] = (sureness, tree);
                    }
                    Ok(())
                })?;
                let trees: Result<Vec<Tree>, Reason> = values.into_iter().map(|(_, tree)| tree).collect();
                Ok(trees.map(Tree::Struct))
            }
            _ => {
                cursor.skip(depth)?;
                Ok(Err(Reason::WrongType))
            }
        }
    }

    /// Reads a value inside a nested one.
    fn tree(
        &self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        parts_left: &mut usize,
    ) -> Parsed<Result<Tree, Reason>> {
        if !spend(parts_left, 1) {
            cursor.skip(depth)?;
            return Ok(Err(Reason::TooLarge));
        }
        if matches!(self, Self::Array(_) | Self::Map(_) | Self::Struct(_))
            && matches!(cursor.shape()?, Shape::Array | Shape::Object)
        {
            return self.nested(cursor, depth, parts_left);
        }
        let mut text = Vec::new();
        let value = self.read(cursor, depth, &mut Landing { text: &mut text, parts_left })?;
        Ok(tree(value, text))
    }
}

/// Takes from what is left; nothing where that is too little.
fn spend(left: &mut usize, parts: usize) -> bool {
    let enough = *left >= parts;
    *left = left.saturating_sub(parts);
    enough
}

/// The entries of an object in their order; of equal keys the last one.
fn last_of_each<T>(mut entries: Vec<(Vec<u8>, T)>) -> impl Iterator<Item = (Vec<u8>, T)> {
    let mut seen = HashSet::with_capacity(entries.len());
    let mut is_last: Vec<bool> = entries.iter().rev().map(|(key, _)| seen.insert(key.as_slice())).collect();
    is_last.reverse();
    let mut kept = is_last.into_iter();
    entries.retain(|_| kept.next() == Some(true));
    entries.into_iter()
}

/// Makes a value own its text.
fn tree(value: Value, text: Vec<u8>) -> Result<Tree, Reason> {
    match value {
        Value::Null => Ok(Tree::Null),
        Value::Bool(value) => Ok(Tree::Bool(value)),
        Value::Int(value) => Ok(Tree::Int(value)),
        Value::Wide(value) => Ok(Tree::Wide(value)),
        Value::Double(value) => Ok(Tree::Double(value)),
        Value::Text { .. } => Ok(Tree::Text(text.into())),
        Value::Bad(reason) => Err(reason),
    }
}

impl Landing<'_> {
    fn put(&mut self, bytes: &[u8]) -> Value {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Value::Text { start, len: bytes.len() }
    }

    fn put_tree(&mut self, tree: &Tree) -> Value {
        let start = self.text.len();
        tree.write(self.text);
        Value::Text { start, len: self.text.len() - start }
    }
}

fn exact(text: &[u8], scale: u8) -> Result<i128, Reason> {
    decimal(text, scale, false)
}

fn decimal(text: &[u8], scale: u8, rounded: bool) -> Result<i128, Reason> {
    let read = if rounded { number::rounded } else { number::scaled };
    read(text, i32::from(scale)).map_err(|e| match e {
        Inexact::NotANumber => Reason::NotANumber,
        Inexact::Digits => Reason::Digits,
        Inexact::Range => Reason::OutOfRange,
    })
}

/// Reads a float or a double: the nearest one, never an infinity or NaN, which would spoil a file's statistics.
fn binary_fraction<F: std::str::FromStr + Into<f64>>(text: &[u8]) -> Value {
    let is_number = text.iter().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        && has_digits_at_point(text);
    let parsed = std::str::from_utf8(text).ok().filter(|_| is_number).and_then(|text| text.parse::<F>().ok());
    match parsed.map(Into::into) {
        Some(value) if value.is_finite() => Value::Double(value),
        Some(_) => Value::Bad(Reason::OutOfRange),
        None => Value::Bad(Reason::NotANumber),
    }
}

/// Rust reads `1.` and `.5` too, which are no numbers to a decimal (nor to JSON).
fn has_digits_at_point(text: &[u8]) -> bool {
    let is_digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
    let point = text.iter().position(|b| *b == b'.');
    point.is_none_or(|at| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)))
}

fn instant(format: &Format, text: &[u8], to: impl Fn(i128) -> Option<i64>) -> Value {
    match time::instant(format, text) {
        Ok(nanos) => to(nanos).map_or(Value::Bad(Reason::OutOfRange), Value::Int),
        Err(NoTime::Format) => Value::Bad(Reason::NotATime),
        Err(NoTime::Range) => Value::Bad(Reason::OutOfRange),
    }
}
