//! Messages as real feeds send them become the rows that were expected, by the ready DDL in `schemas/`.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};
use ticklake::ingest::trial::{Outcome, trial};
use ticklake::kafka::{RecordSet, TopicPartition};
use ticklake::table::Ddl;

fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn outcomes(name: &str) -> Vec<Outcome> {
    let ddl = Ddl::parse(&fs::read_to_string(path(&format!("schemas/{name}.sql"))).unwrap()).unwrap();
    let messages = fs::read_to_string(path(&format!("tests/it/feeds/{name}.ndjson"))).unwrap();
    let mut records = RecordSet::new(TopicPartition::new("feed", 0), 1);
    for (offset, line) in messages.lines().enumerate() {
        records.push(offset as i64, None, None, Some(line.as_bytes()));
    }
    trial(&ddl, &records).unwrap()
}

/// A row's values: numbers, texts and lists as JSON has them; decimals at their full scale and times as texts.
pub(crate) fn values(row: &RecordBatch) -> Value {
    let mut out = Vec::new();
    let mut writer = arrow::json::writer::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(&mut out);
    writer.write(row).unwrap();
    writer.finish().unwrap();
    let mut values: Map<String, Value> = serde_json::from_slice(&out).unwrap();
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.3fZ"));
    for (field, column) in row.schema().fields().iter().zip(row.columns()) {
        let as_text = matches!(
            field.data_type(),
            DataType::Decimal128(..) | DataType::Timestamp(..) | DataType::Date32
        );
        if as_text && column.is_valid(0) {
            let text = ArrayFormatter::try_new(column, &options).unwrap().value(0).to_string();
            values.insert(field.name().clone(), Value::String(text));
        }
    }
    Value::Object(values)
}

/// The rows that a feed gives, as the `.expected` files write them; nothing else may be rejected.
fn check(name: &str, skipped: usize) {
    let outcomes = outcomes(name);
    let rejected: Vec<&Outcome> = outcomes.iter().filter(|o| matches!(o, Outcome::Rejected { .. })).collect();
    assert!(rejected.is_empty(), "{name}: {rejected:?}");
    assert_eq!(outcomes.iter().filter(|o| **o == Outcome::Skipped).count(), skipped, "{name}: skipped");
    let got: Vec<(String, Value)> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Row { partition, row } => Some((partition.clone(), values(row))),
            _ => None,
        })
        .collect();
    let expected = fs::read_to_string(path(&format!("tests/it/feeds/{name}.expected"))).unwrap();
    let want: Vec<(String, Value)> = expected
        .lines()
        .map(|line| {
            let (partition, row) = line.split_once(" | ").unwrap();
            (partition.to_owned(), serde_json::from_str(row).unwrap())
        })
        .collect();
    assert_eq!(got, want, "{name}");
}

#[test]
fn ticks() {
    check("ticks", 0);
}

#[test]
fn indices() {
    check("indices", 0);
}

#[test]
fn binance_trades() {
    check("binance_trades", 3);
}

#[test]
fn binance_combined_trades() {
    check("binance_combined_trades", 3);
}

#[test]
fn alpaca_trades() {
    check("alpaca_trades", 6);
}

#[test]
fn polygon_trades() {
    check("polygon_trades", 5);
}

#[test]
fn coinbase_ticker() {
    check("coinbase_ticker", 3);
}

#[test]
fn kraken_trades() {
    check("kraken_trades", 3);
}

#[test]
fn finnhub_trades() {
    check("finnhub_trades", 2);
}

#[test]
fn binance_depth() {
    check("binance_depth", 1);
}
