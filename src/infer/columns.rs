//! Columns for what was seen: for each place the types that hold it, the narrowest first.

use std::fmt::Write;

use chrono::DateTime;

use super::names::time_rank;
use super::shape::{Fields, Numbers, Shape};
use super::times::{Fit, epoch};
use crate::table::ColumnType;
use crate::table::columns::StructField;
use crate::table::spec::Format;

/// Numbers of so many digits are in 64 bits, whatever their precision: so there is room before the point for free.
const SHORT_DIGITS: u64 = 18;
const DIGITS_MAX: u64 = 38;
/// Objects of more fields than this, each of which is rare, are maps from names to values.
const STRUCT_FIELDS_MAX: usize = 32;

/// A place in a record that one column is made of.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The names of the fields that lead to it.
    pub path: Vec<String>,
    pub shape: Shape,
    /// Of so many objects that could have had it.
    pub of: u64,
    /// What it may be, the narrowest first; a text is last, and takes all.
    pub choices: Vec<Choice>,
}

/// What a column may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    Plain(ColumnType),
    /// A `timestamp`, or a `date`; with digits below the millisecond also a `bigint` of nanoseconds.
    Time {
        format: Format,
        column_type: ColumnType,
        is_finer: bool,
    },
}

/// The leaves of a record, in the order in which they were seen.
pub(super) fn leaves(record: &Shape, as_structs: bool) -> Vec<Leaf> {
    let mut found = Vec::new();
    walk(record, &mut Vec::new(), as_structs, &mut found);
    found
}

fn walk(record: &Shape, path: &mut Vec<String>, as_structs: bool, found: &mut Vec<Leaf>) {
    for (name, shape) in record.fields.iter() {
        path.push(name.to_owned());
        let is_object = shape.kinds() == 1 && shape.objects > 0 && shape.fields.len() > 0;
        match is_object && !as_structs && !is_map(shape) {
            true => walk(shape, path, as_structs, found),
            false => found.push(Leaf {
                choices: choices(name, shape),
                path: path.clone(),
                shape: shape.clone(),
                of: record.objects,
            }),
        }
        path.pop();
    }
}

fn choices(name: &str, shape: &Shape) -> Vec<Choice> {
    let mut choices = Vec::new();
    if let Some(numbers) = shape.all_numbers().filter(|_| shape.kinds() == 1) {
        let bounds = numbers.least.as_ref().zip(numbers.most.as_ref());
        let unit = bounds.and_then(|(least, most)| epoch(least.value, most.value));
        if let Some(format) = unit.filter(|_| time_rank(name).is_some()) {
            let is_finer = match format {
                Format::EpochSeconds => numbers.fraction > 3,
                Format::EpochMillis => numbers.fraction > 0,
                _ => true,
            };
            choices.push(Choice::Time { format, column_type: ColumnType::Timestamp, is_finer });
        }
        choices.extend(number_types(&numbers).into_iter().map(Choice::Plain));
    } else if let Some((fit, _)) = shape.texts.times.fit().filter(|_| shape.kinds() == 1) {
        choices.push(time(fit));
    }
    match nested(shape) {
        ColumnType::String => {}
        other => choices.push(Choice::Plain(other)),
    }
    choices.push(Choice::Plain(ColumnType::String));
    choices.dedup();
    choices
}

fn time(fit: &Fit) -> Choice {
    let is_day = fit.only_days && matches!(&fit.format, Format::Strftime(pattern) if !pattern.contains("%H"));
    let column_type = if is_day { ColumnType::Date } else { ColumnType::Timestamp };
    Choice::Time { format: fit.format.clone(), column_type, is_finer: fit.is_finer }
}

/// The types that hold all of these numbers as they are, the narrowest first; a binary fraction only where no decimal does.
fn number_types(numbers: &Numbers) -> Vec<ColumnType> {
    let mut types = Vec::new();
    if numbers.beyond_i64 == 0 {
        types.push(ColumnType::BigInt);
    }
    let digits = numbers.whole.saturating_add(numbers.fraction);
    if digits <= DIGITS_MAX {
        let precision = if digits <= SHORT_DIGITS { SHORT_DIGITS } else { DIGITS_MAX };
        types.push(ColumnType::Decimal { precision: precision as u8, scale: numbers.fraction as u8 });
    } else if numbers.beyond_f64 == 0 {
        types.push(ColumnType::Double);
    }
    types
}

/// The type of a value as it is within others: there a time stays what it is written as.
fn nested(shape: &Shape) -> ColumnType {
    let only_bits = shape.numbers.beyond_bit == 0 && shape.texts.count == 0;
    match shape.kinds() {
        1 if shape.bools > 0 => ColumnType::Boolean,
        // As feeds that write a flag in two ways do.
        2 if shape.bools > 0 && shape.numbers.count > 0 && only_bits => ColumnType::Boolean,
        1 if shape.arrays > 0 => {
            let element = shape.elements.as_deref().map_or(ColumnType::String, nested);
            ColumnType::Array(Box::new(element))
        }
        1 if shape.objects > 0 && shape.fields.len() > 0 => {
            match fields(&shape.fields).filter(|_| !is_map(shape)) {
                Some(fields) => ColumnType::Struct(fields),
                None => {
                    let mut values = Shape::default();
                    shape.fields.iter().for_each(|(_, value)| values.merge(value));
                    ColumnType::Map(Box::new(ColumnType::String), Box::new(nested(&values)))
                }
            }
        }
        1 => match shape.all_numbers().map(|numbers| number_types(&numbers)) {
            Some(types) => types.into_iter().next().unwrap_or(ColumnType::String),
            None => ColumnType::String,
        },
        _ => ColumnType::String,
    }
}

fn is_map(shape: &Shape) -> bool {
    let values: u64 = shape.fields.iter().map(|(_, value)| value.seen).sum();
    let names = shape.fields.len();
    names > STRUCT_FIELDS_MAX && values * 4 < shape.objects * names as u64
}

/// As fields of a struct, which have no other names than their own.
fn fields(fields: &Fields) -> Option<Vec<StructField>> {
    let is_name = |name: &str| {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        !name.is_empty() && name.len() <= 255 && name.bytes().all(valid)
    };
    let mut names = std::collections::HashSet::new();
    let field = |(name, shape): (&str, &Shape)| {
        let lower = name.to_ascii_lowercase();
        (is_name(name) && names.insert(lower.clone()))
            .then(|| StructField { name: lower, field_type: nested(shape) })
    };
    fields.iter().map(field).collect()
}

/// What was seen, as a column's comment says it.
pub(super) fn comment(leaf: &Leaf, choice: &Choice) -> Option<String> {
    let shape = &leaf.shape;
    let mut said = String::new();
    let mut say = |part: &str| {
        if !said.is_empty() {
            said.push_str("; ");
        }
        said.push_str(part);
    };
    match choice {
        Choice::Time { format, .. } => {
            if let Some((from, to)) = span(shape, format) {
                say(&format!("{from} to {to}"));
            }
            if shape.texts.times.fit().is_some_and(|(_, is_ambiguous)| is_ambiguous)
                && shape.numbers.count == 0
            {
                say("day before month, or month before day: see its format");
            }
        }
        Choice::Plain(ColumnType::String) if shape.kinds() > 1 => {
            let kinds = [
                (shape.texts.count, "texts"),
                (shape.numbers.count, "numbers"),
                (shape.bools, "booleans"),
                (shape.objects, "objects"),
                (shape.arrays, "arrays"),
            ];
            let kinds = kinds.iter().filter(|(count, _)| *count > 0);
            let kinds: Vec<String> = kinds.map(|(count, kind)| format!("{count} {kind}")).collect();
            say(&format!("mixed: {}", kinds.join(", ")));
        }
        Choice::Plain(ColumnType::String) if shape.kinds() == 0 => say("no value was seen"),
        Choice::Plain(column_type) => {
            if *column_type == ColumnType::Double {
                say("the nearest binary fraction: no decimal holds so many digits");
            }
            if let Some(numbers) = shape.all_numbers()
                && let (Some(least), Some(most)) = (&numbers.least, &numbers.most)
            {
                say(&match least.text == most.text {
                    true => least.text.clone(),
                    false => format!("{} to {}", least.text, most.text),
                });
            }
        }
    }
    // An empty text is null in a column that is no string.
    let empty = if *choice == Choice::Plain(ColumnType::String) { 0 } else { shape.texts.empty };
    let nulls = leaf.of.saturating_sub(shape.seen) + shape.nulls + empty;
    if nulls > 0 && shape.kinds() > 0 {
        say(&format!("null in {}", share(nulls, leaf.of)));
    }
    // A comment of Glue's has 255 characters at most.
    Some(said.chars().take(255).collect()).filter(|said: &String| !said.is_empty())
}

fn span(shape: &Shape, format: &Format) -> Option<(String, String)> {
    let unit = match format {
        Format::EpochSeconds => 1.0,
        Format::EpochMillis => 1e3,
        Format::EpochMicros => 1e6,
        Format::EpochNanos => 1e9,
        Format::Rfc3339 | Format::Strftime(_) => {
            let (fit, _) = shape.texts.times.fit()?;
            let seconds = |nanos: i128| nanos.div_euclid(1_000_000_000) as i64;
            return Some((instant(seconds(fit.least))?, instant(seconds(fit.most))?));
        }
        Format::Rounded => return None,
    };
    let numbers = shape.all_numbers()?;
    let at = |value: f64| instant((value / unit).floor() as i64);
    Some((at(numbers.least?.value)?, at(numbers.most?.value)?))
}

fn instant(seconds: i64) -> Option<String> {
    DateTime::from_timestamp(seconds, 0).map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A share in percent; what is rare is never 0 %.
fn share(part: u64, of: u64) -> String {
    let percent = 100.0 * part as f64 / of.max(1) as f64;
    let mut text = String::new();
    let _ = match percent {
        percent if percent >= 10.0 || percent == percent.round() => write!(text, "{percent:.0} %"),
        percent if percent >= 0.1 => write!(text, "{percent:.1} %"),
        _ => write!(text, "{part} of {of}"),
    };
    text
}
