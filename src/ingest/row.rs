//! Defines what a record means: the typed values of one row, before they have a place in a buffer.

/// The values of one row, by slot: first the table's columns, then what only partitions need. It is used anew for
/// each row, so that decoding allocates nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub values: Vec<Value>,
    /// The texts of this row.
    pub text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Value {
    #[default]
    Null,
    Bool(bool),
    /// Integers, dates (days), timestamps (milliseconds), decimals of up to 18 digits.
    Int(i64),
    /// Decimals of up to 38 digits.
    Wide(i128),
    Double(f64),
    /// A piece of the row's text: string, binary, or the bytes of a nested value ([`Tree`]).
    Text {
        start: usize,
        len: usize,
    },
    /// What was there does not fit the column.
    Bad(Reason),
}

/// A nested value. It owns its parts, and is kept as bytes between the record and the file.
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

impl Tree {
    /// Appends the bytes that [`Tree::read`] reads: what it is, then its value, or how many parts and each of them.
    pub fn write(&self, to: &mut Vec<u8>) {
        let parts = |to: &mut Vec<u8>, tag: u8, parts: &[Tree]| {
            to.push(tag);
            to.extend_from_slice(&(parts.len() as u32).to_le_bytes());
            parts.iter().for_each(|part| part.write(to));
        };
        match self {
            Self::Null => to.push(0),
            Self::Bool(value) => to.push(1 + u8::from(*value)),
            Self::Int(value) => {
                to.push(3);
                to.extend_from_slice(&value.to_le_bytes());
            }
            Self::Wide(value) => {
                to.push(4);
                to.extend_from_slice(&value.to_le_bytes());
            }
            Self::Double(value) => {
                to.push(5);
                to.extend_from_slice(&value.to_le_bytes());
            }
            Self::Text(text) => {
                to.push(6);
                to.extend_from_slice(&(text.len() as u32).to_le_bytes());
                to.extend_from_slice(text);
            }
            Self::List(items) => parts(to, 7, items),
            Self::Struct(fields) => parts(to, 8, fields),
            Self::Map(entries) => {
                to.push(9);
                to.extend_from_slice(&(entries.len() as u32).to_le_bytes());
                for (key, value) in entries {
                    key.write(to);
                    value.write(to);
                }
            }
        }
    }

    /// Reads what [`Tree::write`] wrote, and leaves what comes after it.
    pub fn read(from: &mut &[u8]) -> Self {
        let [tag] = take(from);
        let mut len = || u32::from_le_bytes(take(from)) as usize;
        match tag {
            0 => Self::Null,
            1 | 2 => Self::Bool(tag == 2),
            3 => Self::Int(i64::from_le_bytes(take(from))),
            4 => Self::Wide(i128::from_le_bytes(take(from))),
            5 => Self::Double(f64::from_le_bytes(take(from))),
            6 => {
                let len = len();
                let (text, rest) = from.split_at(len);
                *from = rest;
                Self::Text(text.into())
            }
            7 => Self::List((0..len()).map(|_| Self::read(from)).collect()),
            8 => Self::Struct((0..len()).map(|_| Self::read(from)).collect()),
            _ => Self::Map((0..len()).map(|_| (Self::read(from), Self::read(from))).collect()),
        }
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> [u8; N] {
    let (bytes, rest) = from.split_first_chunk().expect("a nested value is read as it was written");
    *from = rest;
    *bytes
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
    use proptest::prelude::*;

    use super::*;

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::Bool),
            any::<i64>().prop_map(Tree::Int),
            any::<i128>().prop_map(Tree::Wide),
            (-1e9f64..1e9).prop_map(Tree::Double),
            any::<Vec<u8>>().prop_map(|text| Tree::Text(text.into())),
        ];
        leaf.prop_recursive(4, 32, 4, |part| {
            let parts = || proptest::collection::vec(part.clone(), 0..4);
            prop_oneof![
                parts().prop_map(Tree::List),
                parts().prop_map(Tree::Struct),
                proptest::collection::vec((part.clone(), part.clone()), 0..4).prop_map(Tree::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn nested_values_come_back_as_they_were(trees in proptest::collection::vec(tree(), 1..4)) {
            let mut bytes = Vec::new();
            trees.iter().for_each(|tree| tree.write(&mut bytes));
            let mut from = bytes.as_slice();
            let read: Vec<Tree> = trees.iter().map(|_| Tree::read(&mut from)).collect();
            prop_assert_eq!(read, trees);
            prop_assert!(from.is_empty());
        }
    }

    #[test]
    fn reasons_are_counted_by_their_place() {
        assert!(Reason::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
    }
}
