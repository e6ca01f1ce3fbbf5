//! What DECODING.md says of a record, written once more and plainly: over serde_json's reading of the text, one rule
//! after the other, with no regard for speed or memory.

use chrono::{DateTime, NaiveDate};
use ticklake::table::spec::{Format, NullPartition, PartitionSource, Source};
use ticklake::table::{ColumnType, Spec};

use super::cell::Cell;
use super::paths::folder;
use super::tree::{Node, Value};

/// What must become of a record, or of an element of its array.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    Row {
        partition: String,
        cells: Vec<Cell>,
    },
    Skipped,
    /// For one of these reasons: where a text is broken in two ways, either may be met first.
    Rejected {
        reasons: Vec<&'static str>,
        column: Option<String>,
    },
}

/// What is around a record's value.
pub struct Around<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
}

const DEPTH_MAX: usize = 64;
const NANOS: i128 = 1_000_000_000;
const DAY_NANOS: i128 = 86_400 * NANOS;

fn rejected(reason: &'static str) -> Fate {
    Fate::Rejected { reasons: vec![reason], column: None }
}

pub fn fates(spec: &Spec, around: &Around<'_>, message: Option<&[u8]>) -> Vec<Fate> {
    let Some(message) = message else { return vec![rejected("tombstone")] };
    let message = if message.len() >= 5 && message[0] == 0 { &message[5..] } else { message };
    let message = message.strip_prefix("\u{feff}".as_bytes()).unwrap_or(message);
    if message.iter().all(|b| b" \t\r\n".contains(b)) {
        return vec![rejected("empty")];
    }
    let Ok(text) = std::str::from_utf8(message) else { return vec![rejected("invalid_utf8")] };
    let Some(node) = Node::parse(text) else {
        let mut reasons = vec!["malformed"];
        let opened = text.bytes().filter(|b| b"[{".contains(b)).count();
        reasons.extend((opened > DEPTH_MAX).then_some("too_deep"));
        return vec![Fate::Rejected { reasons, column: None }];
    };
    if node.depth() > DEPTH_MAX {
        return vec![rejected("too_deep")];
    }
    if let Some(messages) = &spec.messages
        && !node.at(messages.pointer.tokens()).is_some_and(|node| node.is(&messages.value))
    {
        return vec![Fate::Skipped];
    }
    match node.at(spec.records.tokens()) {
        None if spec.only.is_some() => vec![Fate::Skipped],
        None => vec![rejected("no_records")],
        Some(Node { value: Value::Null, .. }) => vec![Fate::Skipped],
        Some(Node { value: Value::Array(elements), .. }) if elements.is_empty() => vec![Fate::Skipped],
        Some(Node { value: Value::Array(elements), .. }) => {
            elements.iter().map(|element| fate(spec, around, element)).collect()
        }
        Some(record) => vec![fate(spec, around, record)],
    }
}

fn fate(spec: &Spec, around: &Around<'_>, record: &Node<'_>) -> Fate {
    if let Some(only) = &spec.only
        && !record.at(only.pointer.tokens()).is_some_and(|node| node.is(&only.value))
    {
        return Fate::Skipped;
    }
    if !takes_whole(spec) && !matches!(record.value, Value::Object(_)) {
        return rejected("not_an_object");
    }
    let refused = |reason: &'static str, column: &str| Fate::Rejected {
        reasons: vec![reason],
        column: Some(column.to_owned()),
    };
    let mut cells = Vec::new();
    for column in &spec.columns {
        let kind = (&column.column.column_type, column.format.as_ref());
        match read(kind, &column.source, around, record) {
            Ok(cell) => cells.push(cell),
            Err(reason) => return refused(reason, &column.column.name),
        }
    }
    // A partition's own values are read as a column is; then all are cut.
    let mut values = Vec::new();
    for field in &spec.partitions {
        let cuts_time = field.transform != ticklake::table::Transform::Identity;
        let (cell, kind) = match &field.of {
            PartitionSource::Column(at) => {
                let column = &spec.columns[*at];
                (cells[*at].clone(), (column.column.column_type.clone(), column.format.is_some()))
            }
            PartitionSource::Source(source, format) => {
                let kind = if cuts_time { ColumnType::Timestamp } else { ColumnType::String };
                match read((&kind, format.as_ref()), source, around, record) {
                    Ok(cell) => (cell, (kind, true)),
                    Err(reason) => return refused(reason, &field.name),
                }
            }
        };
        values.push((field, cell, kind));
    }
    let mut folders = Vec::new();
    let mut invalid = None;
    for (field, cell, (kind, is_instant)) in values {
        let text = match cell {
            Cell::Null => None,
            Cell::Text(text) if text.is_empty() => None,
            cell => match cut(spec, field.transform, &kind, is_instant, &cell) {
                Some(text) => Some(text),
                None => return refused("out_of_range", &field.name),
            },
        };
        if text.is_none() && spec.null_partition == NullPartition::Reject {
            return refused("null_partition", &field.name);
        }
        match folder(&field.name, text.as_deref()) {
            Some(folder) => folders.push(folder),
            None => invalid = invalid.or(Some(field.name.clone())),
        }
    }
    match invalid {
        Some(column) => refused("invalid_partition", &column),
        None => Fate::Row { partition: folders.join("/"), cells },
    }
}

/// Whether something is made of the whole record, which then need not be an object.
fn takes_whole(spec: &Spec) -> bool {
    let is_whole = |source: &Source| matches!(source, Source::Pointer(pointer) if pointer.is_root());
    let of_partition =
        |of: &PartitionSource| matches!(of, PartitionSource::Source(source, _) if is_whole(source));
    spec.columns.iter().any(|c| is_whole(&c.source))
        || spec.partitions.iter().any(|p| of_partition(&p.of))
        || spec.only.as_ref().is_some_and(|only| only.pointer.is_root())
}

fn cut(
    spec: &Spec,
    transform: ticklake::table::Transform,
    kind: &ColumnType,
    is_instant: bool,
    cell: &Cell,
) -> Option<String> {
    use ticklake::table::Transform::{Day, Hour, Identity, Month, Year};
    let pattern = match transform {
        Identity => return Some(text_of(kind, cell)),
        Year => "%Y",
        Month => "%Y-%m",
        Day => "%Y-%m-%d",
        Hour => "%Y-%m-%d-%H",
    };
    let Cell::Int(value) = cell else { panic!("{cell:?} is no time") };
    let local = match kind {
        ColumnType::Date => date(*value).and_time(chrono::NaiveTime::MIN),
        ColumnType::BigInt if is_instant => instant(*value).with_timezone(&spec.timezone).naive_local(),
        _ => instant(*value * 1_000_000).with_timezone(&spec.timezone).naive_local(),
    };
    let year = chrono::Datelike::year(&local);
    (1..=9999).contains(&year).then(|| local.format(pattern).to_string())
}

fn text_of(kind: &ColumnType, cell: &Cell) -> String {
    match (kind, cell) {
        (_, Cell::Text(text)) => text.clone(),
        (_, Cell::Bool(value)) => value.to_string(),
        (ColumnType::Date, Cell::Int(days)) => date(*days).format("%Y-%m-%d").to_string(),
        (ColumnType::Decimal { scale, .. }, Cell::Int(value)) if *scale > 0 => {
            let unit = 10i128.pow(u32::from(*scale));
            let sign = if *value < 0 { "-" } else { "" };
            let (whole, fraction) = (value.abs() / unit, value.abs() % unit);
            format!("{sign}{whole}.{fraction:0width$}", width = usize::from(*scale))
        }
        (_, Cell::Int(value)) => value.to_string(),
        _ => panic!("{cell:?} has no text"),
    }
}

fn instant(nanos: i128) -> DateTime<chrono::Utc> {
    let (seconds, nanos) = (nanos.div_euclid(NANOS), nanos.rem_euclid(NANOS));
    DateTime::from_timestamp(seconds as i64, nanos as u32).expect("within the years that are taken")
}

fn date(days: i128) -> NaiveDate {
    NaiveDate::default() + chrono::TimeDelta::days(days as i64)
}

type Kind<'a> = (&'a ColumnType, Option<&'a Format>);

fn read(
    kind: Kind<'_>,
    source: &Source,
    around: &Around<'_>,
    record: &Node<'_>,
) -> Result<Cell, &'static str> {
    let of_bytes = |bytes: Option<&[u8]>| match bytes.map(std::str::from_utf8) {
        None => Ok(Cell::Null),
        Some(Ok(text)) => Ok(Cell::Text(text.to_owned())),
        Some(Err(_)) => Err("invalid_utf8"),
    };
    let node = match source {
        Source::Topic => return of_bytes(Some(around.topic.as_bytes())),
        Source::Key => return of_bytes(around.key),
        Source::Header(_) => return Ok(Cell::Null),
        Source::Partition => return Ok(Cell::Int(around.partition.into())),
        Source::Offset => return Ok(Cell::Int(around.offset.into())),
        Source::Timestamp => {
            return match around.timestamp.map(i128::from) {
                None => Ok(Cell::Null),
                Some(t) if *kind.0 == ColumnType::Timestamp && !is_within_years(t * 1_000_000) => {
                    Err("out_of_range")
                }
                Some(t) => Ok(Cell::Int(t)),
            };
        }
        Source::Pointer(pointer) => record.at(pointer.tokens()),
        Source::Field(name) => record.field(name),
    };
    node.map_or(Ok(Cell::Null), |node| convert(kind, node))
}

fn convert(kind @ (column_type, _): Kind<'_>, node: &Node<'_>) -> Result<Cell, &'static str> {
    let inner = |column_type, node: &Node<'_>| convert((column_type, None), node);
    match (column_type, &node.value) {
        (_, Value::Null) => Ok(Cell::Null),
        (ColumnType::String, Value::Text(text)) => Ok(Cell::Text(text.clone())),
        (ColumnType::String, _) => Ok(Cell::Text(node.raw.to_owned())),
        (_, Value::Text(text)) if text.is_empty() => Ok(Cell::Null),
        (ColumnType::Array(of), Value::Array(elements)) => {
            elements.iter().map(|e| inner(of, e)).collect::<Result<_, _>>().map(Cell::List)
        }
        (ColumnType::Map(_, of), Value::Object(fields)) => {
            let is_last = |at: usize| fields[at + 1..].iter().all(|(name, _)| *name != fields[at].0);
            let kept = (0..fields.len()).filter(|at| is_last(*at)).map(|at| &fields[at]);
            let entries = kept.map(|(name, node)| Ok((Cell::Text(name.clone()), inner(of, node)?)));
            entries.collect::<Result<_, _>>().map(Cell::Map)
        }
        (ColumnType::Struct(fields), Value::Object(_)) => {
            let values = fields.iter().map(|field| match node.field(&field.name) {
                Some(node) => inner(&field.field_type, node),
                None => Ok(Cell::Null),
            });
            values.collect::<Result<_, _>>().map(Cell::Struct)
        }
        (ColumnType::Struct(fields), Value::Array(nodes)) => {
            let nodes = nodes.iter().map(Some).chain(std::iter::repeat(None));
            let values = fields.iter().zip(nodes).map(|(field, node)| match node {
                Some(node) => inner(&field.field_type, node),
                None => Ok(Cell::Null),
            });
            values.collect::<Result<_, _>>().map(Cell::Struct)
        }
        (ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Struct(_), _) => Err("wrong_type"),
        (ColumnType::Boolean, Value::Bool(value)) => Ok(Cell::Bool(*value)),
        (_, Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err("wrong_type"),
        (_, Value::Number(text)) => scalar(kind, text),
        (_, Value::Text(text)) => scalar(kind, text),
    }
}

/// A number or a time, as its text.
fn scalar((column_type, format): Kind<'_>, text: &str) -> Result<Cell, &'static str> {
    let time = || time(format.unwrap_or(&Format::Rfc3339), text);
    let whole = |min: i64, max: i64| match scaled(text, 0)? {
        value if (i128::from(min)..=i128::from(max)).contains(&value) => Ok(Cell::Int(value)),
        _ => Err("out_of_range"),
    };
    match column_type {
        ColumnType::Boolean => match (text, scaled(text, 0)) {
            ("true", _) | (_, Ok(1)) => Ok(Cell::Bool(true)),
            ("false", _) | (_, Ok(0)) => Ok(Cell::Bool(false)),
            _ => Err("wrong_type"),
        },
        ColumnType::TinyInt => whole(-128, 127),
        ColumnType::SmallInt => whole(-32_768, 32_767),
        ColumnType::Int => whole(i32::MIN.into(), i32::MAX.into()),
        ColumnType::BigInt if format.is_some() => {
            i64::try_from(time()?).map(|nanos| Cell::Int(nanos.into())).map_err(|_| "out_of_range")
        }
        ColumnType::BigInt => whole(i64::MIN, i64::MAX),
        ColumnType::Decimal { precision, scale } => match scaled(text, u32::from(*scale))? {
            value if value.abs() < 10i128.pow(u32::from(*precision)) => Ok(Cell::Int(value)),
            _ => Err("out_of_range"),
        },
        ColumnType::Float | ColumnType::Double => {
            number(text).ok_or("not_a_number")?;
            let value = match column_type {
                ColumnType::Float => f64::from(text.parse::<f32>().map_err(|_| "not_a_number")?),
                _ => text.parse().map_err(|_| "not_a_number")?,
            };
            if value.is_finite() { Ok(Cell::Fraction(value.to_bits())) } else { Err("out_of_range") }
        }
        ColumnType::Date => time().map(|nanos| Cell::Int(nanos.div_euclid(DAY_NANOS))),
        ColumnType::Timestamp => time().map(|nanos| Cell::Int(nanos.div_euclid(1_000_000))),
        other => panic!("{other} is no scalar"),
    }
}

/// A decimal number: its sign, its digits without zeros at either end, and the power of ten of the last one. JSON's
/// grammar; a plus and zeros before are taken too.
pub fn number(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, power) = text.split_once(['e', 'E']).map_or((text, None), |(m, p)| (m, Some(p)));
    let power: i64 = match power {
        None => 0,
        Some(power) if is_digits(power.strip_prefix(['-', '+']).unwrap_or(power)) => {
            power.parse::<i128>().ok()?.clamp(-1 << 40, 1 << 40) as i64
        }
        Some(_) => return None,
    };
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    if !is_digits(whole) || !fraction.is_none_or(is_digits) {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    let power = power - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    Some(if kept.is_empty() { (false, "0".to_owned(), 0) } else { (negative, kept.to_owned(), power) })
}

fn scaled(text: &str, scale: u32) -> Result<i128, &'static str> {
    let (negative, digits, power) = number(text).ok_or("not_a_number")?;
    if digits == "0" {
        return Ok(0);
    }
    let zeros = usize::try_from(power + i64::from(scale)).map_err(|_| "digits")?;
    if digits.len() + zeros > 38 {
        return Err("out_of_range");
    }
    let value: i128 = format!("{digits}{}", "0".repeat(zeros)).parse().map_err(|_| "out_of_range")?;
    Ok(if negative { -value } else { value })
}

/// Nanoseconds since the epoch.
fn time(format: &Format, text: &str) -> Result<i128, &'static str> {
    let epoch = |scale| scaled(text, scale).map_err(|e| if e == "out_of_range" { e } else { "not_a_time" });
    let nanos = match format {
        Format::EpochSeconds => epoch(9)?,
        Format::EpochMillis => epoch(6)?,
        Format::EpochMicros => epoch(3)?,
        Format::EpochNanos => epoch(0)?,
        Format::Rfc3339 => rfc3339(text).ok_or("not_a_time")?,
        Format::Strftime(pattern) if pattern == "%Y-%m-%d" => {
            let date = NaiveDate::parse_from_str(text, pattern).map_err(|_| "not_a_time")?;
            i128::from((date - NaiveDate::default()).num_days()) * DAY_NANOS
        }
        Format::Strftime(pattern) => panic!("the reference does not know {pattern}"),
        Format::Rounded => panic!("no time is rounded"),
    };
    if is_within_years(nanos) { Ok(nanos) } else { Err("out_of_range") }
}

fn is_within_years(nanos: i128) -> bool {
    let of =
        |year| i128::from((NaiveDate::from_ymd_opt(year, 1, 1).unwrap() - NaiveDate::default()).num_days());
    (of(1) * DAY_NANOS..of(10_000) * DAY_NANOS).contains(&nanos)
}

/// What is free in the form is made what chrono's own reader of RFC 3339 takes.
fn rfc3339(text: &str) -> Option<i128> {
    let is_form = |text: &str, form: &str| {
        let fits = |(b, f): (u8, u8)| if f == b'0' { b.is_ascii_digit() } else { b == f };
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
    };
    let (date, rest) = text.split_at_checked(10)?;
    if !is_form(date, "0000-00-00") {
        return None;
    }
    let (clock, offset) = if rest.is_empty() {
        ("00:00:00".to_owned(), "Z".to_owned())
    } else {
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
        let (clock, offset) = rest.split_at(end);
        let (clock, fraction) = clock.split_once(['.', ',']).map_or((clock, None), |(c, f)| (c, Some(f)));
        let clock = match fraction {
            None if is_form(clock, "00:00") => format!("{clock}:00"),
            None if is_form(clock, "00:00:00") => clock.to_owned(),
            Some(f)
                if is_form(clock, "00:00:00") && !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()) =>
            {
                let (nanos, below) = f.split_at(f.len().min(9));
                if below.bytes().any(|b| b != b'0') {
                    return None;
                }
                format!("{clock}.{nanos}")
            }
            _ => return None,
        };
        let offset = match offset {
            "" | "Z" | "z" => "Z".to_owned(),
            _ if is_form(&offset[1..], "00") => format!("{offset}:00"),
            _ if is_form(&offset[1..], "0000") => format!("{}:{}", &offset[..3], &offset[3..]),
            _ if is_form(&offset[1..], "00:00") => offset.to_owned(),
            _ => return None,
        };
        (clock, offset)
    };
    let time = DateTime::parse_from_rfc3339(&format!("{date}T{clock}{offset}")).ok()?;
    Some(i128::from(time.timestamp()) * NANOS + i128::from(time.timestamp_subsec_nanos()))
}
