//! The ready DDL in `schemas/`, and what the feeds under `feeds/` should become under it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ticklake::table::partition::parse_path;
use ticklake::table::{Ddl, PartitionKey, Spec};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The name of each file in `schemas/`, and its text.
fn schemas() -> Vec<(String, String)> {
    let mut schemas: Vec<(String, String)> = fs::read_dir(root("schemas"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    schemas.sort();
    schemas
}

#[test]
fn every_schema_is_a_table_of_its_files_name_with_a_spec() {
    let schemas = schemas();
    let names: Vec<&str> = schemas.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "alpaca_trades",
            "binance_combined_trades",
            "binance_depth",
            "binance_trades",
            "coinbase_ticker",
            "finnhub_trades",
            "indices",
            "kraken_trades",
            "polygon_trades",
            "ticks"
        ]
    );
    let mut hashes = BTreeSet::new();
    for (name, text) in &schemas {
        let ddl = Ddl::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(ddl.name.to_string(), format!("market.{name}"));
        assert_eq!(Ddl::parse(&ddl.to_string()).unwrap(), ddl, "{name}");
        let spec = Spec::from_ddl(&ddl).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!spec.sort.is_empty(), "{name}");
        hashes.insert(spec.hash());
    }
    assert_eq!(hashes.len(), schemas.len(), "two schemas have one hash");
}

/// A wrong expectation would be a wrong judge of the decoder.
#[test]
fn every_feed_expects_rows_of_its_table() {
    for (name, text) in schemas() {
        let ddl = Ddl::parse(&text).unwrap();
        let partitions: Vec<&str> = ddl.partitioned_by.iter().map(|c| c.name.as_str()).collect();
        let columns: BTreeSet<&str> = ddl.columns.iter().map(|c| c.name.as_str()).collect();
        let read =
            |extension| fs::read_to_string(root(&format!("tests/it/feeds/{name}.{extension}"))).unwrap();
        for record in read("ndjson").lines() {
            serde_json::from_str::<serde_json::Value>(record)
                .unwrap_or_else(|e| panic!("{name}: {e}: {record}"));
        }
        let expected = read("expected");
        assert!(expected.lines().count() >= 4, "{name}");
        for line in expected.lines() {
            let (path, row) = line.split_once(" | ").unwrap_or_else(|| panic!("{name}: {line}"));
            let key = PartitionKey::new(&partitions, parse_path(path, &partitions).unwrap()).unwrap();
            assert_eq!(key.path(), path, "{name}");
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row).unwrap();
            assert_eq!(row.keys().map(String::as_str).collect::<BTreeSet<_>>(), columns, "{name}: {line}");
        }
    }
}
