//! Turns the properties of a DDL into a [`Spec`], and refuses what could give no row.

use std::collections::BTreeMap;

use super::syntax::{self, Refusal};
use super::{
    Compression, Format, NullPartition, PartitionField, PartitionSource, Source, Spec, SpecColumn, Transform,
};
use crate::error::{Error, Result};
use crate::table::columns::{Column, ColumnType};
use crate::table::ddl::{Ddl, Property};
use crate::table::pointer::Pointer;

const PREFIX: &str = "ticklake.";
const COMPRESSION: &str = "parquet.compression";
/// Keys of the table, after the prefix.
const TABLE_KEYS: [&str; 6] = ["timezone", "records", "messages", "only", "sort", "null_partition"];
/// What a date looks like unless its format says otherwise.
const DATE_PATTERN: &str = "%Y-%m-%d";

pub(super) fn spec(ddl: &Ddl) -> Result<Spec> {
    if ddl.partitioned_by.is_empty() {
        return Err(Error::usage(format!(
            "the table {} has no PARTITIONED BY: add it, as in PARTITIONED BY (`date` string, `symbol` string)",
            ddl.name
        )));
    }
    let keys = Keys::of(ddl)?;
    let columns = ddl.columns.iter().map(|c| keys.column(c)).collect::<Result<Vec<_>>>()?;
    let partitions =
        ddl.partitioned_by.iter().map(|c| keys.partition(&c.name, &columns)).collect::<Result<Vec<_>>>()?;
    Ok(Spec {
        partitions,
        timezone: keys.value("timezone", syntax::timezone)?.unwrap_or(chrono_tz::Tz::UTC),
        records: keys.value("records", syntax::pointer)?.unwrap_or_else(Pointer::default),
        messages: keys.value("messages", syntax::only)?,
        only: keys.value("only", syntax::only)?,
        sort: keys.value("sort", |text| sort(text, ddl))?.unwrap_or_default(),
        null_partition: keys
            .value("null_partition", syntax::null_partition)?
            .unwrap_or(NullPartition::Default),
        compression: match ddl.properties.iter().find(|p| p.key == COMPRESSION) {
            Some(property) => {
                syntax::compression(&property.value).map_err(|refusal| refuse(property, &refusal))?
            }
            None => Compression::Zstd,
        },
        columns,
    })
}

/// The `ticklake.` properties of a DDL. Every key is known and names what is there.
struct Keys<'a> {
    /// By the key after the prefix, the column's name in lower case.
    by_key: BTreeMap<String, &'a Property>,
    ddl: &'a Ddl,
}

impl<'a> Keys<'a> {
    fn of(ddl: &'a Ddl) -> Result<Self> {
        let mut by_key = BTreeMap::new();
        for property in &ddl.properties {
            let lower = property.key.to_ascii_lowercase();
            let Some(key) = lower.strip_prefix(PREFIX) else { continue };
            check_key(key, property, ddl)?;
            if let Some(first) = by_key.insert(key.to_owned(), property) {
                return Err(refuse(
                    property,
                    &format!("it is there already as '{}': remove one of the two", first.key),
                ));
            }
        }
        Ok(Self { by_key, ddl })
    }

    fn get(&self, key: &str) -> Option<&'a Property> {
        self.by_key.get(key).copied()
    }

    /// The value under a key, read by its grammar.
    fn value<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, Refusal>) -> Result<Option<T>> {
        let Some(property) = self.get(key) else { return Ok(None) };
        read(&property.value).map(Some).map_err(|refusal| refuse(property, &refusal))
    }

    fn column(&self, column: &Column) -> Result<SpecColumn> {
        let name = &column.name;
        let source_key = self.get(&format!("source.{name}"));
        let source = match source_key {
            Some(property) => {
                syntax::source(&property.value).map_err(|refusal| refuse(property, &refusal))?
            }
            None => Source::Field(name.clone()),
        };
        if let Err(refusal) = check_type(&source, column) {
            return Err(match source_key {
                Some(property) => refuse(property, &refusal),
                None => Error::usage(refusal),
            });
        }
        let format_key = format!("format.{name}");
        let format = self.value(&format_key, syntax::format)?;
        if let (Some(property), Some(format)) = (self.get(&format_key), &format) {
            check_takes_format(&source, column, format).map_err(|refusal| refuse(property, &refusal))?;
        }
        let format = format.or_else(|| match (&source, &column.column_type) {
            (Source::Field(_) | Source::Pointer(_), ColumnType::Timestamp) => Some(Format::Rfc3339),
            (Source::Field(_) | Source::Pointer(_), ColumnType::Date) => {
                Some(Format::Strftime(DATE_PATTERN.to_owned()))
            }
            _ => None,
        });
        Ok(SpecColumn { column: column.clone(), source, format })
    }

    fn partition(&self, name: &str, columns: &[SpecColumn]) -> Result<PartitionField> {
        let Some(property) = self.get(&format!("partition.{name}")) else {
            return Err(Error::usage(format!(
                "the partition column `{name}` has no source: add '{PREFIX}partition.{name}' = '{}' to TBLPROPERTIES",
                self.likely_transform(name)
            )));
        };
        let fail = |refusal: Refusal| refuse(property, &refusal);
        let (transform, argument) = syntax::transform(&property.value).map_err(fail)?;
        let format_key = format!("format.{name}");
        let format = self.value(&format_key, syntax::format)?;
        let of = if argument.starts_with(['/', '@']) {
            let source = syntax::source(argument).map_err(fail)?;
            check_source_transform(transform, &source).map_err(fail)?;
            let is_time_in_record = transform != Transform::Identity && source != Source::Timestamp;
            match self.get(&format_key) {
                Some(property) if !is_time_in_record => {
                    let why = format!(
                        "{} takes no format: remove the property",
                        transform_text(transform, argument)
                    );
                    return Err(refuse(property, &why));
                }
                Some(property) if format == Some(Format::Rounded) => {
                    return Err(refuse(property, "a partition is cut from a time: write the time's format"));
                }
                _ => PartitionSource::Source(source, format.or(is_time_in_record.then_some(Format::Rfc3339))),
            }
        } else {
            let index = self.column_index(argument, columns).map_err(fail)?;
            check_column_transform(transform, &columns[index]).map_err(fail)?;
            if let Some(property) = self.get(&format_key) {
                let why =
                    format!("the partition is cut from a column: write '{PREFIX}format.{argument}' instead");
                return Err(refuse(property, &why));
            }
            PartitionSource::Column(index)
        };
        Ok(PartitionField { name: name.to_owned(), transform, of })
    }

    fn column_index(&self, name: &str, columns: &[SpecColumn]) -> Result<usize, Refusal> {
        let lower = name.to_ascii_lowercase();
        columns.iter().position(|c| c.column.name == lower).ok_or_else(|| {
            let known = self.ddl.columns.iter().map(|c| c.name.as_str());
            let hint = syntax::nearest(name, known).map_or_else(
                || format!("for a field of the record write /{name}"),
                |near| format!("did you mean '{near}'? For a field of the record write /{name}"),
            );
            format!("the table has no column '{name}': {hint}")
        })
    }

    /// What most likely belongs under `partition.NAME`, as an example in a message.
    fn likely_transform(&self, name: &str) -> String {
        let time = self.ddl.columns.iter().find(|c| c.column_type == ColumnType::Timestamp);
        match (name, time) {
            ("date" | "day" | "dt", Some(column)) => format!("day({})", column.name),
            ("hour", Some(column)) => format!("hour({})", column.name),
            ("date" | "day" | "dt", None) => "day(@timestamp)".to_owned(),
            _ => format!("identity(/{name})"),
        }
    }
}

/// Whether a key, in lower case and without the prefix, is one of ours and names a column that is there.
fn check_key(key: &str, property: &Property, ddl: &Ddl) -> Result<()> {
    let is_column = |name: &str| ddl.columns.iter().any(|c| c.name == name);
    let is_partition = |name: &str| ddl.partitioned_by.iter().any(|c| c.name == name);
    let known = match key.split_once('.') {
        Some(("partition", name)) => is_partition(name),
        Some(("source", name)) if is_partition(name) => {
            let why =
                format!("`{name}` is a partition column: its source stands in '{PREFIX}partition.{name}'");
            return Err(refuse(property, &why));
        }
        Some(("source", name)) => is_column(name),
        Some(("format", name)) => is_column(name) || is_partition(name),
        _ => TABLE_KEYS.contains(&key),
    };
    if known {
        return Ok(());
    }
    let mut keys: Vec<String> = TABLE_KEYS.iter().map(|k| (*k).to_owned()).collect();
    keys.extend(
        ddl.partitioned_by.iter().flat_map(|c| ["partition", "format"].map(|k| format!("{k}.{}", c.name))),
    );
    keys.extend(ddl.columns.iter().flat_map(|c| ["source", "format"].map(|k| format!("{k}.{}", c.name))));
    let hint = syntax::nearest(key, keys.iter().map(String::as_str)).map_or_else(
        || match key.split_once('.') {
            Some((family @ ("partition" | "source" | "format"), name)) => {
                format!("the table has no column `{name}` that {PREFIX}{family} could be for")
            }
            _ => format!(
                "known are {PREFIX} followed by partition.NAME, source.COLUMN, format.COLUMN, {}",
                TABLE_KEYS.join(", ")
            ),
        },
        |near| format!("did you mean '{PREFIX}{near}'?"),
    );
    Err(refuse(property, &format!("no such key; {hint}")))
}

/// Whether a source can give a column's type.
fn check_type(source: &Source, column: &Column) -> Result<(), Refusal> {
    use ColumnType::{BigInt, Binary, Int, String, Timestamp};
    let (fits, text, fix) = match source {
        Source::Field(_) | Source::Pointer(_) => return check_json_gives(&column.column_type, &column.name),
        Source::Timestamp => {
            (matches!(column.column_type, Timestamp | BigInt), "@timestamp", "timestamp or bigint")
        }
        Source::Partition => (matches!(column.column_type, Int | BigInt), "@partition", "int or bigint"),
        Source::Offset => (column.column_type == BigInt, "@offset", "bigint"),
        Source::Topic => (column.column_type == String, "@topic", "string"),
        Source::Key => (matches!(column.column_type, String | Binary), "@key", "string or binary"),
        Source::Header(_) => (matches!(column.column_type, String | Binary), "@headers", "string or binary"),
    };
    if fits {
        return Ok(());
    }
    Err(format!("{text} cannot give `{}` {}: make the column {fix}", column.name, column.column_type))
}

fn check_json_gives(column_type: &ColumnType, column: &str) -> Result<(), Refusal> {
    match column_type {
        ColumnType::Binary => Err(format!(
            "JSON cannot give `{column}` a binary: make it string, or take it from @key or @headers.NAME by \
             '{PREFIX}source.{column}'"
        )),
        ColumnType::Map(key, _) if **key != ColumnType::String => Err(format!(
            "JSON cannot give `{column}` a map with keys of {key}: the names in an object are texts, so use map<string,…>"
        )),
        ColumnType::Array(inner) | ColumnType::Map(_, inner) => check_json_gives(inner, column),
        ColumnType::Struct(fields) => fields.iter().try_for_each(|f| check_json_gives(&f.field_type, column)),
        _ => Ok(()),
    }
}

fn check_takes_format(source: &Source, column: &Column, format: &Format) -> Result<(), Refusal> {
    let name = &column.name;
    if !matches!(source, Source::Field(_) | Source::Pointer(_)) {
        return Err(format!("`{name}` is no field of the record and takes no format: remove the property"));
    }
    match column.column_type {
        ColumnType::Decimal { .. } if *format == Format::Rounded => Ok(()),
        ColumnType::Decimal { .. } => Err(format!("`{name}` is no time: its only format is 'rounded'")),
        _ if *format == Format::Rounded => Err(format!(
            "`{name}` {} is not rounded: make it a decimal, or remove the property",
            column.column_type
        )),
        ColumnType::Timestamp | ColumnType::Date | ColumnType::BigInt => Ok(()),
        _ => Err(format!(
            "`{name}` {} takes no format: remove the property, or make the column timestamp, date or bigint \
             (nanoseconds since the epoch)",
            column.column_type
        )),
    }
}

/// Whether a transform can cut a value that is in no column.
fn check_source_transform(transform: Transform, source: &Source) -> Result<(), Refusal> {
    let cuts_time = transform != Transform::Identity;
    match source {
        Source::Timestamp | Source::Offset if !cuts_time => {
            Err("identity would make a partition for every record: use day(@timestamp)".to_owned())
        }
        Source::Pointer(_) | Source::Field(_) | Source::Timestamp => Ok(()),
        _ if cuts_time => Err(format!(
            "{} cuts a time, and {source} is none: give it a column of timestamp or date, @timestamp, or a pointer \
             such as /ts",
            transform.name()
        )),
        _ => Ok(()),
    }
}

/// Whether a transform can cut a column's value.
fn check_column_transform(transform: Transform, column: &SpecColumn) -> Result<(), Refusal> {
    let name = &column.column.name;
    let column_type = &column.column.column_type;
    let is_instant = match column_type {
        ColumnType::Timestamp => true,
        ColumnType::BigInt => column.format.is_some(),
        _ => false,
    };
    match (transform, column_type) {
        (Transform::Identity, _) if is_instant => {
            Err(format!("identity would make a partition for every instant of `{name}`: use day({name})"))
        }
        (Transform::Identity, _) => check_has_one_text(name, column_type),
        (Transform::Hour, ColumnType::Date) => {
            Err(format!("`{name}` is a date and has no hour: use day({name})"))
        }
        (_, ColumnType::Date) => Ok(()),
        (_, ColumnType::BigInt) if !is_instant && column.source == Source::Timestamp => {
            Err(format!("`{name}` is a number here: use {}(@timestamp)", transform.name()))
        }
        (_, ColumnType::BigInt) if !is_instant => Err(format!(
            "`{name}` is a number and not yet a time: say how to read it, as in '{PREFIX}format.{name}' = 'epoch_ns'"
        )),
        _ if is_instant => Ok(()),
        _ => Err(format!(
            "{} cuts a time, and `{name}` is {column_type}: give it a column of timestamp or date, @timestamp, or a \
             pointer such as /{name}",
            transform.name()
        )),
    }
}

/// Whether equal values have one text, so that `identity` puts them into one partition.
fn check_has_one_text(name: &str, column_type: &ColumnType) -> Result<(), Refusal> {
    let why = match column_type {
        ColumnType::Float | ColumnType::Double => "one number has many texts: use decimal(p,s), or a string",
        ColumnType::Binary => "bytes are no text: make the column string",
        ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_) => {
            "it is not one value: name a field in it by a pointer, as in identity(/data/symbol)"
        }
        _ => return Ok(()),
    };
    Err(format!("`{name}` {column_type} cannot be a partition by identity, since {why}"))
}

/// Column names, separated by commas.
fn sort(text: &str, ddl: &Ddl) -> Result<Vec<usize>, Refusal> {
    let mut indices = Vec::new();
    for name in text.split(',').map(str::trim) {
        let lower = name.to_ascii_lowercase();
        let Some(index) = ddl.columns.iter().position(|c| c.name == lower) else {
            if ddl.partitioned_by.iter().any(|c| c.name == lower) {
                return Err(format!(
                    "`{name}` is a partition column, the same in all of a file: leave it out"
                ));
            }
            return Err(format!(
                "the table has no column '{name}' to sort by: write names of columns, separated by commas, all ascending"
            ));
        };
        let column_type = &ddl.columns[index].column_type;
        if matches!(column_type, ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_)) {
            return Err(format!("`{name}` {column_type} has no order: sort by columns of one value"));
        }
        if indices.contains(&index) {
            return Err(format!("`{name}` is in the order twice: leave the second out"));
        }
        indices.push(index);
    }
    Ok(indices)
}

fn transform_text(transform: Transform, argument: &str) -> String {
    format!("{}({argument})", transform.name())
}

fn refuse(property: &Property, why: &str) -> Error {
    let Property { key, line, .. } = property;
    // A DDL out of a catalog has no lines.
    let line = if *line > 0 { format!("line {line}: ") } else { String::new() };
    Error::usage(format!("{line}'{key}': {why}"))
}
