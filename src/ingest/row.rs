//! Defines what a record means: the typed values of one row, before they have a place in a buffer.

/// The values of one row, by slot: first the table's columns, then what only partitions need. It is used anew for
/// each row, so that decoding allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub values: Vec<Value>,
    /// The texts of this row.
    pub text: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value {
    #[default]
    Null,
    Bool(bool),
    /// Integers, dates (days), timestamps (milliseconds), decimals of up to 18 digits.
    Int(i64),
    /// Decimals of up to 38 digits.
    Wide(i128),
    Double(f64),
    /// A piece of the row's text: string or binary.
    Text {
        start: usize,
        len: usize,
    },
    /// An array, a map or a struct.
    Tree(Tree),
    /// What was there does not fit the column.
    Bad(Reason),
}

/// A nested value. It owns its parts: nested columns are off the hot path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Int(i64),
    Wide(i128),
    Double(f64),
    Text(Box<[u8]>),
    List(Vec<Tree>),
    /// Keys are never null and not doubled.
    Map(Vec<(Tree, Tree)>),
    Struct(Vec<Tree>),
}

/// Why a record is no row: a closed list, so that counters by reason stay few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The record has no value.
    Tombstone,
    /// The value has no bytes but white space.
    Empty,
    InvalidUtf8,
    /// No JSON, or bytes after it.
    Malformed,
    TooDeep,
    /// Its rows, or the parts of its nested values, would take far more memory than its text.
    TooLarge,
    /// The record is no object.
    NotAnObject,
    /// `ticklake.records` points to nothing.
    NoRecords,
    /// A value of another type than the column's.
    WrongType,
    /// A text that is no number.
    NotANumber,
    /// Digits that the column's scale does not hold.
    Digits,
    /// A value beyond what the column holds.
    OutOfRange,
    /// A text or a number that is no time in the column's format.
    NotATime,
    /// The partition's value is null, missing or empty, and the table refuses that.
    NullPartition,
    /// The partition's value cannot be a path.
    InvalidPartition,
}

impl Reason {
    /// In their order: `ALL[reason as usize]` is the reason.
    pub const ALL: [Self; 15] = [
        Self::Tombstone,
        Self::Empty,
        Self::InvalidUtf8,
        Self::Malformed,
        Self::TooDeep,
        Self::TooLarge,
        Self::NotAnObject,
        Self::NoRecords,
        Self::WrongType,
        Self::NotANumber,
        Self::Digits,
        Self::OutOfRange,
        Self::NotATime,
        Self::NullPartition,
        Self::InvalidPartition,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Empty => "empty",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::NotAnObject => "not_an_object",
            Self::NoRecords => "no_records",
            Self::WrongType => "wrong_type",
            Self::NotANumber => "not_a_number",
            Self::Digits => "digits",
            Self::OutOfRange => "out_of_range",
            Self::NotATime => "not_a_time",
            Self::NullPartition => "null_partition",
            Self::InvalidPartition => "invalid_partition",
        }
    }
}

impl Row {
    pub fn clear(&mut self) {
        self.values.fill(Value::Null);
        self.text.clear();
    }

    /// Sets a slot to a text.
    pub fn set_text(&mut self, slot: usize, bytes: &[u8]) {
        self.values[slot] = Value::Text { start: self.text.len(), len: bytes.len() };
        self.text.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_their_place() {
        assert!(Reason::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
    }
}
