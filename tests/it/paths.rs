//! No name that comes from data, settings or DDL leads out of a table's folder: symbols that try to, with real records.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog};
use ticklake::error::Kind;
use ticklake::ingest::Progress;
use ticklake::kafka::Cluster;
use ticklake::query::{self, Engine, Format, LocalEngine};
use ticklake::store::{Durability, Stores};
use ticklake::table::{Ddl, TableName};

use crate::jobs;

const DDL: &str = "
    CREATE EXTERNAL TABLE market.ticks (seq bigint, kept string) PARTITIONED BY (symbol string) STORED AS PARQUET
    TBLPROPERTIES ('ticklake.partition.symbol' = 'identity(/symbol)', 'ticklake.source.kept' = '/symbol')";

/// Symbols that are rows, each in its own folder.
fn kept() -> Vec<String> {
    let texts = [
        "../..",
        "../../../../../../etc/passwd",
        "..\\..",
        "/etc",
        "/",
        "//",
        "a/b",
        "a/../b",
        "./a",
        "a/.",
        "...",
        ". .",
        " ..",
        ".. ",
        "..\u{a0}",
        "\u{2024}\u{2024}",
        "．．",
        "%2e%2e",
        "%2E%2E%2F",
        "%252e%252e",
        "%00",
        "..%00",
        "_ticklake",
        "_ticks",
        ".hidden",
        "_",
        "-",
        "~",
        "~root",
        "$HOME",
        "CON",
        "a\nb",
        "a\r",
        "\t",
        "\u{3}",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{85}",
        "\u{202e}abc",
        "\u{feff}",
        "symbol=x",
        "symbol=..",
        "file:///etc",
        "s3://bucket/x",
        "*",
        "?",
        " ",
        "'; DROP TABLE ticks --",
        "é",
        "e\u{301}",
    ];
    let mut kept: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    kept.push("x".repeat(248)); // `symbol=` and it are 255 bytes: what a disk takes
    kept
}

/// Symbols that are no rows, and why.
fn rejected() -> Vec<String> {
    let texts = ["..", ".", "a\0b", "\0", "\u{1}", "__HIVE_DEFAULT_PARTITION__"];
    let mut rejected: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    rejected.extend(["x".repeat(249), "y".repeat(1000), "/".repeat(83)]);
    rejected
}

struct Lake {
    cluster: Cluster,
    catalog: Arc<dyn Catalog>,
    home: TempDir,
}

impl Lake {
    fn new(topic: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let catalog = Arc::new(LocalCatalog::open(home.path().join("catalog.db")).unwrap());
        Self { cluster: Cluster::start(&[(topic, 1)]).unwrap(), catalog, home }
    }

    /// Three folders below the home, so that there is something to climb to.
    fn folder(&self) -> PathBuf {
        self.home.path().join("a/b/ticks")
    }

    async fn ingest(&self, topic: &str) -> Result<Progress, ticklake::error::Error> {
        let job = jobs::job(self.cluster.connection(), topic, DDL, &self.folder(), self.catalog.clone());
        jobs::end_of(job).await
    }

    async fn sql(&self, sql: &str) -> Vec<serde_json::Value> {
        let stores = Stores::new(Durability::NoFsync);
        let engine = LocalEngine::new(self.catalog.clone(), stores, &query::Limits::default()).unwrap();
        let mut out = Vec::new();
        query::print(engine.query(sql).await.unwrap(), Format::JsonLines, &mut out).await.unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn send(cluster: &Cluster, topic: &str, symbols: &[String]) {
    let record = |(seq, symbol)| serde_json::json!({ "symbol": symbol, "seq": seq }).to_string();
    jobs::send(cluster, topic, symbols.iter().enumerate().map(record)).await;
}

fn texts(rows: &[serde_json::Value], name: &str) -> BTreeSet<String> {
    rows.iter().map(|row| row[name].as_str().unwrap_or_else(|| panic!("{row}")).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn symbols_that_climb_stay_in_the_tables_folder_and_come_back_as_they_are() {
    let lake = Lake::new("ticks");
    let (kept, rejected) = (kept(), rejected());
    send(&lake.cluster, "ticks", &[kept.clone(), rejected.clone()].concat()).await;

    let done = lake.ingest("ticks").await.unwrap();
    assert_eq!((done.rows, done.rejected), (kept.len() as u64, rejected.len() as u64));

    for text in jobs::walk(lake.home.path()) {
        let parts: Vec<&str> = text.split('/').collect();
        let is_of_catalog = parts.len() == 1 && text.starts_with("catalog.db");
        let is_of_table =
            matches!(parts[..], ["a", "b", "ticks", folder, _] if folder.starts_with("symbol="));
        let is_rejected = text.starts_with("a/b/ticks_rejected/date=");
        let is_hidden =
            text.starts_with("a/b/ticks/_ticklake/") || text.starts_with("a/b/ticks_rejected/_ticklake/");
        assert!(is_of_catalog || is_of_table || is_rejected || is_hidden, "{text:?}");
    }

    let rows = lake.sql("SELECT seq, symbol, kept FROM market.ticks").await;
    assert_eq!(rows.len(), kept.len());
    assert_eq!(texts(&rows, "symbol"), kept.iter().cloned().collect());
    assert!(rows.iter().all(|row| row["symbol"] == row["kept"]), "{rows:?}");
    for symbol in &kept {
        let quoted = symbol.replace('\'', "''");
        let one = lake.sql(&format!("SELECT symbol FROM market.ticks WHERE symbol = '{quoted}'")).await;
        assert_eq!(texts(&one, "symbol"), BTreeSet::from([symbol.clone()]));
    }

    let refused = lake
        .sql("SELECT reason, \"column\", CAST(value AS varchar) AS value FROM market.ticks_rejected")
        .await;
    let reasons = BTreeSet::from(["invalid_partition".to_owned()]);
    assert_eq!((texts(&refused, "reason"), refused.len()), (reasons, rejected.len()));
    let symbol_of = |row: &serde_json::Value| {
        let record: serde_json::Value = serde_json::from_str(row["value"].as_str().unwrap()).unwrap();
        record["symbol"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused.iter().map(symbol_of).collect::<BTreeSet<_>>(), rejected.into_iter().collect());
}

/// The brokers of this process take any name; Kafka's own take letters, digits and `._-`.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_climbs_is_refused_before_anything_is_written() {
    let lake = Lake::new("ticks");
    for topic in ["../../x", "..", ".", "", "a/b", "/etc", "%2e%2e", "a b", "a\0", "é", &"x".repeat(250)] {
        let refused = lake.ingest(topic).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Usage, "{topic}: {refused}");
    }
    assert!(!lake.folder().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_topic_is_in_files_names_as_it_is() {
    let lake = Lake::new(".._-hidden.");
    send(&lake.cluster, ".._-hidden.", &["AAPL".to_owned()]).await;
    assert_eq!(lake.ingest(".._-hidden.").await.unwrap().rows, 1);
    assert!(lake.folder().join("symbol=AAPL/k-.._-hidden.-0-00000000000000000000.parquet").exists());
    assert_eq!(lake.sql("SELECT seq FROM market.ticks").await.len(), 1);
}

#[test]
fn names_of_tables_and_columns_that_climb_are_refused() {
    for name in [
        "../x.ticks",
        "market.../x",
        "market./etc",
        "..",
        "market.",
        ".ticks",
        "market.a/b",
        "market.%2e",
        "m.t\0",
    ] {
        let parsed: Result<TableName, _> = name.parse();
        assert!(parsed.is_err(), "{name:?}");
    }
    for (database, table) in
        [("..", "ticks"), ("market", ".."), ("../..", "x"), ("market", "a/b"), ("market", "_a\\b")]
    {
        let ddl = DDL.replace("market.ticks", &format!("`{database}`.`{table}`"));
        assert!(Ddl::parse(&ddl).is_err(), "{database}.{table}");
    }
    for column in ["../x", "..", "a/b", "/etc", "a=b"] {
        let ddl = DDL
            .replace("(symbol string)", &format!("(`{column}` string)"))
            .replace("partition.symbol", &format!("partition.{column}"));
        let refused = Ddl::parse(&ddl).and_then(|ddl| ticklake::table::Spec::from_ddl(&ddl).map(|_| ()));
        assert!(refused.is_err(), "{column}");
    }
}

#[tokio::test]
async fn a_location_that_climbs_is_the_folder_that_it_names_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let stores = Stores::new(Durability::NoFsync);
    fs::create_dir(home.path().join("a")).unwrap();
    let climbing = home.path().join("a/../b");
    let folder = stores.open(climbing.to_str().unwrap()).await.unwrap();
    // What is kept has no `..` that another tool could read in another way.
    assert_eq!(
        folder.location(),
        format!("file://{}/", home.path().canonicalize().unwrap().join("b").display())
    );
    for location in [
        "file:///a/../b",
        "s3://bucket/../x",
        "s3://bucket/a/../../x",
        "s3://../x",
        "memory:///../x",
        "file:///a/./b",
        "file:///a//b",
    ] {
        assert!(stores.open(location).await.is_err(), "{location}");
    }
}
