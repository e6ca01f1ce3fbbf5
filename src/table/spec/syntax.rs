//! Defines the small grammars of the `ticklake.` properties' values. Each gives an explanation where it refuses.

use std::fmt::Write;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Compression, Format, NullPartition, Only, Scalar, Source};
use crate::table::pointer::Pointer;
use crate::table::transform::Transform;

/// What is wrong with a value, and what to write.
pub(super) type Refusal = String;

pub(super) fn pointer(text: &str) -> Result<Pointer, Refusal> {
    text.parse().map_err(|e: crate::Error| e.to_string())
}

/// `/p`, `@key`, `@timestamp`, `@topic`, `@partition`, `@offset`, `@headers.NAME`
pub(super) fn source(text: &str) -> Result<Source, Refusal> {
    const KNOWN: &str = "@key, @timestamp, @topic, @partition, @offset or @headers.NAME";
    let Some(name) = text.strip_prefix('@') else {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!(
                "'{text}' is no source: write '/{text}' for a field of the record, or one of {KNOWN}"
            ));
        }
        return pointer(text).map(Source::Pointer);
    };
    match name {
        "key" => Ok(Source::Key),
        "timestamp" => Ok(Source::Timestamp),
        "topic" => Ok(Source::Topic),
        "partition" => Ok(Source::Partition),
        "offset" => Ok(Source::Offset),
        _ => match name.strip_prefix("headers.") {
            Some(header) if !header.is_empty() => Ok(Source::Header(header.to_owned())),
            _ => Err(format!("'{text}' is no source: write {KNOWN}, or a JSON Pointer such as /price")),
        },
    }
}

pub(super) fn format(text: &str) -> Result<Format, Refusal> {
    Ok(match text {
        "epoch_s" => Format::EpochSeconds,
        "epoch_ms" => Format::EpochMillis,
        "epoch_us" => Format::EpochMicros,
        "epoch_ns" => Format::EpochNanos,
        "rfc3339" => Format::Rfc3339,
        "rounded" => Format::Rounded,
        pattern if pattern.contains('%') => strftime(pattern)?,
        _ => {
            return Err(format!(
                "'{text}' is no format: for a time write epoch_s, epoch_ms, epoch_us, epoch_ns, rfc3339 or a strftime \
                 pattern such as %Y-%m-%d %H:%M:%S, for a decimal rounded"
            ));
        }
    })
}

/// A pattern that reads a day out of what it prints; any other would reject every record.
fn strftime(pattern: &str) -> Result<Format, Refusal> {
    if StrftimeItems::new(pattern).any(|item| item == Item::Error) {
        return Err(format!(
            "'{pattern}' is no strftime pattern: look its parts up in chrono's table, and write '%' itself as %%"
        ));
    }
    let mut text = String::new();
    let mut parsed = Parsed::new();
    let reads_a_day = write!(text, "{}", DateTime::<Utc>::UNIX_EPOCH.format(pattern)).is_ok()
        && parse(&mut parsed, &text, StrftimeItems::new(pattern)).is_ok()
        && (parsed.to_naive_date().is_ok() || parsed.to_naive_datetime_with_offset(0).is_ok());
    if !reads_a_day {
        return Err(format!("'{pattern}' gives no day: add the year, the month and the day, as in %Y-%m-%d"));
    }
    Ok(Format::Strftime(pattern.to_owned()))
}

pub(super) fn timezone(text: &str) -> Result<Tz, Refusal> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        let hint = nearest(text, names).map_or_else(
            || "use a name such as UTC or America/New_York".to_owned(),
            |name| format!("did you mean '{name}'?"),
        );
        format!("'{text}' is no time zone of the IANA database: {hint}")
    })
}

/// `POINTER = JSON-SCALAR`. The first '=' is the operator, so that `/a = 1 or /b = 1` is refused and not read as a
/// pointer of a strange name; a field with '=' in its name cannot be asked for.
pub(super) fn only(text: &str) -> Result<Only, Refusal> {
    let refuse = || {
        format!(
            "'{text}' is no condition: write POINTER = JSON-SCALAR and nothing more, as in /T = \"t\" or /final = true"
        )
    };
    let (left, right) = text.split_once('=').ok_or_else(refuse)?;
    let (left, right) = (left.trim(), right.trim());
    let value = match serde_json::from_str(right) {
        Ok(serde_json::Value::Null) => Scalar::Null,
        Ok(serde_json::Value::Bool(value)) => Scalar::Bool(value),
        Ok(serde_json::Value::Number(_)) => Scalar::Number(right.to_owned()),
        Ok(serde_json::Value::String(value)) => Scalar::String(value),
        _ => return Err(refuse()),
    };
    Ok(Only { pointer: pointer(left)?, value })
}

/// `TRANSFORM(ARGUMENT)`
pub(super) fn transform(text: &str) -> Result<(Transform, &str), Refusal> {
    let example = "as in day(ts), identity(/symbol) or day(@timestamp)";
    let Some((name, argument)) = text.trim().strip_suffix(')').and_then(|t| t.split_once('(')) else {
        return Err(format!("'{text}' is no transform: write TRANSFORM(COLUMN or source), {example}"));
    };
    let (name, argument) = (name.trim(), argument.trim());
    match Transform::ALL.into_iter().find(|t| t.name() == name) {
        Some(transform) => Ok((transform, argument)),
        None => {
            let names = Transform::ALL.map(Transform::name);
            Err(format!("'{name}' is no transform: use one of {}, {example}", names.join(", ")))
        }
    }
}

pub(super) fn null_partition(text: &str) -> Result<NullPartition, Refusal> {
    match text {
        "default" => Ok(NullPartition::Default),
        "reject" => Ok(NullPartition::Reject),
        _ => Err(format!(
            "'{text}' is no answer to a null: write default (the partition __HIVE_DEFAULT_PARTITION__) or reject"
        )),
    }
}

pub(super) fn compression(text: &str) -> Result<Compression, Refusal> {
    match text.to_ascii_uppercase().as_str() {
        "ZSTD" => Ok(Compression::Zstd),
        "SNAPPY" => Ok(Compression::Snappy),
        "NONE" | "UNCOMPRESSED" => Ok(Compression::None),
        _ => Err(format!("'{text}' is no compression that is written here: use ZSTD, SNAPPY or NONE")),
    }
}

/// The candidate that differs least from what was written, if a slip of the fingers explains the difference.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    let allowed = (1 + text.chars().count() / 6).min(3);
    candidates
        .into_iter()
        .map(|candidate| (edits(&text, &candidate.to_lowercase()), candidate))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, _)| *edits <= allowed)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
