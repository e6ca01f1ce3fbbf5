//! What an engine takes and what it refuses, and its limits.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use chrono::{DateTime, Utc};
use ticklake::error::Kind;
use ticklake::query::Limits;

use super::lake::{Lake, write};

async fn lake(limits: &Limits, rows: i64) -> Lake {
    let lake = Lake::with_limits(limits);
    let ddl = lake.table("ticks", "`size` bigint").await;
    let folder = lake.partition(&ddl, &["2026-11-22", "AAPL"]).await;
    let sizes: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i * 7919 % rows)));
    write(&folder, "k.parquet", &[("size", sizes)], 100_000).await;
    lake
}

#[tokio::test]
async fn only_queries_are_taken() {
    let lake = lake(&Limits::default(), 3).await;
    let out = lake.disk.path().join("out.csv");
    let statements = [
        "CREATE TABLE market.t AS SELECT 1".to_owned(),
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc/'".to_owned(),
        "CREATE VIEW market.v AS SELECT 1".to_owned(),
        "CREATE DATABASE d".to_owned(),
        "CREATE SCHEMA s".to_owned(),
        "DROP TABLE market.ticks".to_owned(),
        "INSERT INTO market.ticks VALUES (1, '2026-11-22', 'AAPL')".to_owned(),
        "DELETE FROM market.ticks".to_owned(),
        "UPDATE market.ticks SET size = 1".to_owned(),
        "EXPLAIN ANALYZE INSERT INTO market.ticks VALUES (1, '2026-11-22', 'AAPL')".to_owned(),
        format!("COPY market.ticks TO '{}'", out.display()),
        format!("EXPLAIN ANALYZE COPY market.ticks TO '{}'", out.display()),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "BEGIN".to_owned(),
        "SELECT 1; DROP TABLE market.ticks".to_owned(),
        String::new(),
    ];
    for sql in &statements {
        assert_eq!(lake.error(sql).await.kind(), Kind::Query, "{sql}");
    }
    assert!(!out.exists());
    assert_eq!(lake.csv("SELECT count(*) FROM market.ticks").await[1], "3", "all is as it was");
    assert_eq!(lake.csv("SHOW TABLES").await.iter().filter(|line| line.contains("BASE TABLE")).count(), 1);
    // No file is a table.
    let file = lake.disk.path().join("catalog");
    assert_eq!(lake.error(&format!("SELECT * FROM '{}'", file.display())).await.kind(), Kind::Query);
}

#[tokio::test]
async fn an_error_is_in_the_engines_words() {
    let lake = lake(&Limits::default(), 3).await;
    for (sql, words) in [
        ("SELEC 1", "SELEC"),
        ("SELECT sizes FROM market.ticks", "size"),
        ("SELECT size / 0 FROM market.ticks", "Divide by zero"),
        ("SELECT * FROM market.missing", "'awsdatacatalog.market.missing' not found"),
        ("SELECT * FROM ticks", "'awsdatacatalog.default.ticks' not found"),
        ("SELECT * FROM market.\"no table's name\"", "not found"),
        ("SELECT * FROM other.market.ticks", "other.market.ticks"),
        ("SELECT nothing(size) FROM market.ticks", "nothing"),
    ] {
        let error = lake.error(sql).await;
        assert_eq!(error.kind(), Kind::Query, "{sql}");
        assert!(error.to_string().contains(words), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_plan_and_the_tables_can_be_asked_for() {
    let lake = lake(&Limits::default(), 3).await;
    let plan = lake.csv("EXPLAIN SELECT size FROM market.ticks WHERE size > 1").await.join("\n");
    assert!(plan.contains("DataSourceExec") && plan.contains("size"), "{plan}");
    let tables =
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'";
    assert_eq!(lake.csv(tables).await[1..], ["market,ticks"]);
    let columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'ticks'
                   ORDER BY ordinal_position";
    assert_eq!(lake.csv(columns).await[1..], ["size,Int64", "date,Utf8", "symbol,Utf8"]);
    assert!(lake.csv("DESCRIBE market.ticks").await.contains(&"date,Utf8,YES".to_owned()));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the time of the wall is what is tested")]
async fn now_is_when_the_query_starts() {
    let lake = Lake::new();
    for _ in 0..2 {
        let before = Utc::now();
        let now: DateTime<Utc> = lake.csv("SELECT now()").await[1].parse().unwrap();
        assert!(before <= now && now <= Utc::now(), "{before} {now}");
    }
    let ddl = lake.table("times", "`ts` timestamp").await;
    let time = TimestampMillisecondArray::from(vec![Utc::now().timestamp_millis()]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 1] = [("ts", Arc::new(time))];
    write(&lake.partition(&ddl, &["2026-11-22", "AAPL"]).await, "k.parquet", &columns, 10).await;
    let last_hour =
        "ts > now() - INTERVAL '1' HOUR AND ts <= now() AND ts >= current_date - INTERVAL '1' DAY";
    assert_eq!(lake.csv(&format!("SELECT count(*) FROM market.times WHERE {last_hour}")).await[1], "1");
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_spilled_or_refused() {
    const ROWS: i64 = 100_000; // 0.8 MB of numbers, 5 MB of the texts made of them
    let streams = NonZeroUsize::new(1);
    let small = Limits { memory_bytes: 3 << 20, streams, ..Limits::default() };
    let sorted = "SELECT size, repeat('x', 40) || size AS text FROM market.ticks ORDER BY text DESC, size";

    let lake = lake(&small, ROWS).await;
    let rows = lake.csv(sorted).await;
    assert_eq!(rows.len() as i64, ROWS + 1);
    assert!(rows[1].starts_with("99999,") && rows[ROWS as usize].starts_with("0,"), "{}", rows[1]);

    // What cannot spill.
    let error = lake.error("SELECT array_agg(repeat('x', 40) || size) FROM market.ticks").await;
    assert_eq!(error.kind(), Kind::Query);
    assert!(error.to_string().contains("Resources exhausted"), "{error}");
    assert!(error.to_string().contains("query.memory"), "{error}");

    let spill_bytes = 1 << 20;
    let no_disk = self::lake(&Limits { spill_bytes, ..small }, ROWS).await;
    let error = no_disk.error(sorted).await;
    assert_eq!(error.kind(), Kind::Query);
    assert!(error.to_string().contains("disk space during the spilling"), "{error}");
}
