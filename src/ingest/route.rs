//! Finds the partition of a row: from its values to a key for the lookup, and for a new partition to its path.
//!
//! The lookup's key is compact (days as numbers, texts as they are): text is made once a partition, not once a row.

use super::row::{Reason, Row, Value};
use crate::table::partition::{HIVE_NULL, PartitionKey, check_value};
use crate::table::spec::{Format, NullPartition, PartitionSource, Spec, Transform};
use crate::table::transform::Calendar;
use crate::table::{Column, ColumnType};

/// Routes the rows of one table.
#[derive(Debug)]
pub(super) struct Router {
    fields: Vec<Field>,
    calendar: Calendar,
    null: NullPartition,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub name: String,
    pub transform: Transform,
    /// The row's slot that it is made of, and what is in it.
    pub slot: usize,
    pub of: Of,
}

/// What a slot holds, as far as partitions need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Of {
    /// As its text says.
    Plain,
    Decimal {
        scale: u8,
    },
    Millis,
    Days,
    Nanos,
}

/// A row that has no partition, and the partition column that is to blame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NoPartition {
    pub reason: Reason,
    pub field: usize,
}

/// In the compact key: a null, a value that is no text, and a null time.
const NULL_LEN: u32 = u32::MAX;
const VALUE_LEN: u32 = u32::MAX - 1;
const NULL_NUMBER: i64 = i64::MIN;

impl Router {
    pub fn new(spec: &Spec) -> Self {
        // The values that only partitions use stand behind the columns, in the partitions' order (`decode`).
        let mut slot = spec.columns.len();
        let mut fields = Vec::new();
        for field in &spec.partitions {
            let (slot, of) = match &field.of {
                PartitionSource::Column(index) => {
                    let column = &spec.columns[*index];
                    (*index, of_column(&column.column, column.format.as_ref()))
                }
                PartitionSource::Source(..) => {
                    slot += 1;
                    let of = if field.transform == Transform::Identity { Of::Plain } else { Of::Millis };
                    (slot - 1, of)
                }
            };
            fields.push(Field { name: field.name.clone(), transform: field.transform, slot, of });
        }
        Self::of_fields(fields, Calendar::new(spec.timezone), spec.null_partition)
    }

    pub fn of_fields(fields: Vec<Field>, calendar: Calendar, null: NullPartition) -> Self {
        Self { fields, calendar, null }
    }

    /// The name of a partition column.
    pub fn name(&self, field: usize) -> &str {
        &self.fields[field].name
    }

    /// Appends the row's compact key.
    #[inline]
    pub fn route(&mut self, row: &Row, key: &mut Vec<u8>) -> Result<(), NoPartition> {
        for at in 0..self.fields.len() {
            let Field { transform, slot, of, .. } = self.fields[at];
            match (transform, &row.values[slot]) {
                (Transform::Identity, Value::Text { start, len }) if *len > 0 => {
                    key.extend_from_slice(&(*len as u32).to_le_bytes());
                    key.extend_from_slice(&row.text[*start..*start + *len]);
                }
                (Transform::Identity, Value::Int(value)) => put_value(key, &value.to_le_bytes()),
                (Transform::Identity, Value::Wide(value)) => put_value(key, &value.to_le_bytes()),
                (Transform::Identity, Value::Bool(value)) => put_value(key, &[u8::from(*value)]),
                (Transform::Identity, _) => {
                    self.take_null(at)?;
                    key.extend_from_slice(&NULL_LEN.to_le_bytes());
                }
                (transform, Value::Int(value)) => {
                    let period = self.period(transform, of, *value);
                    let period = period.ok_or(NoPartition { reason: Reason::OutOfRange, field: at })?;
                    key.extend_from_slice(&period.to_le_bytes());
                }
                (_, _) => {
                    self.take_null(at)?;
                    key.extend_from_slice(&NULL_NUMBER.to_le_bytes());
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn period(&mut self, transform: Transform, of: Of, value: i64) -> Option<i64> {
        match of {
            Of::Millis => self.calendar.period(transform, value),
            Of::Nanos => self.calendar.period(transform, value.div_euclid(1_000_000)),
            // A date is a day already, in no time zone.
            Of::Days => Calendar::period_of_day(transform, value),
            Of::Plain | Of::Decimal { .. } => None,
        }
    }

    fn take_null(&self, field: usize) -> Result<(), NoPartition> {
        match self.null {
            NullPartition::Default => Ok(()),
            NullPartition::Reject => Err(NoPartition { reason: Reason::NullPartition, field }),
        }
    }

    /// The partition of a row that `route` took.
    pub fn partition(&mut self, row: &Row) -> Result<PartitionKey, NoPartition> {
        let mut values = Vec::with_capacity(self.fields.len());
        for field in self.fields.clone() {
            values.push(match (&row.values[field.slot], field.transform) {
                (Value::Text { start, len }, Transform::Identity) if *len > 0 => {
                    String::from_utf8_lossy(&row.text[*start..*start + *len]).into_owned()
                }
                (Value::Bool(value), Transform::Identity) => value.to_string(),
                (Value::Int(value), Transform::Identity) => match field.of {
                    Of::Decimal { scale } => decimal_text(i128::from(*value), scale),
                    Of::Days => Calendar::period_text(Transform::Day, *value),
                    Of::Plain | Of::Millis | Of::Nanos => value.to_string(),
                },
                (Value::Wide(value), Transform::Identity) => match field.of {
                    Of::Decimal { scale } => decimal_text(*value, scale),
                    _ => value.to_string(),
                },
                (Value::Int(value), transform) => match self.period(transform, field.of, *value) {
                    Some(period) => Calendar::period_text(transform, period),
                    None => HIVE_NULL.to_owned(),
                },
                _ => HIVE_NULL.to_owned(),
            });
        }
        // What cannot be a path, and a text that spells the null partition and would read back as null.
        let is_bad = |(field, value): (&Field, &String)| {
            !is_null(&row.values[field.slot]) && check_value(value).is_err()
        };
        if let Some(field) = self.fields.iter().zip(&values).position(is_bad) {
            return Err(NoPartition { reason: Reason::InvalidPartition, field });
        }
        let names: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
        PartitionKey::new(&names, values)
            .map_err(|e| NoPartition { reason: Reason::InvalidPartition, field: e.field })
    }
}

/// A value stands after the length of no text, so that no two have one key, however fields follow each other.
fn put_value(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend_from_slice(&VALUE_LEN.to_le_bytes());
    key.extend_from_slice(bytes);
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Text { len: 0, .. })
}

fn of_column(column: &Column, format: Option<&Format>) -> Of {
    match column.column_type {
        ColumnType::Decimal { scale, .. } => Of::Decimal { scale },
        ColumnType::Timestamp => Of::Millis,
        ColumnType::Date => Of::Days,
        ColumnType::BigInt if format.is_some() => Of::Nanos,
        _ => Of::Plain,
    }
}

/// `-1.50` for -150 with scale 2.
fn decimal_text(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    if scale == 0 {
        return value.to_string();
    }
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}
