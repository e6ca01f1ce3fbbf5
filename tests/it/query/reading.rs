//! Which rows a table has: its registered partitions' files, and what their columns are.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float32Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use ticklake::error::{Kind, chain};
use ticklake::query::Engine;
use ticklake::store::Folder;

use super::lake::{Lake, write};

/// One row a value.
async fn sizes(folder: &Folder, name: &str, sizes: &[i64]) {
    write(folder, name, &[("size", Arc::new(Int64Array::from(sizes.to_vec())))], 1000).await;
}

#[tokio::test]
async fn what_is_new_is_seen_by_the_next_query() {
    let lake = Lake::new();
    let error = lake.error("SELECT * FROM market.ticks").await;
    assert_eq!(error.kind(), Kind::Query);
    assert!(error.to_string().contains("market.ticks"), "{error}");

    let ddl = lake.table("ticks", "`size` bigint").await;
    assert_eq!(lake.csv("SELECT count(*) FROM market.ticks").await[1], "0");
    let first = lake.partition(&ddl, &["2026-11-22", "AAPL"]).await;
    sizes(&first, "a.parquet", &[1, 2]).await;
    assert_eq!(lake.csv("SELECT count(*) FROM market.ticks").await[1], "2");
    sizes(&first, "b.parquet", &[3]).await;
    assert_eq!(lake.csv("SELECT count(*) FROM market.ticks").await[1], "3");
    let second = lake.partition(&ddl, &["2026-11-23", "AAPL"]).await;
    sizes(&second, "a.parquet", &[4]).await;
    assert_eq!(lake.csv("SELECT sum(size) FROM market.ticks").await[1], "10");
    lake.catalog.drop_table(&ddl.name).await.unwrap();
    assert_eq!(lake.error("SELECT * FROM market.ticks").await.kind(), Kind::Query);
}

#[tokio::test]
async fn a_table_has_one_name_however_it_is_written() {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint").await;
    sizes(&lake.partition(&ddl, &["2026-11-22", "AAPL"]).await, "a.parquet", &[7]).await;
    lake.create(&format!(
        "CREATE EXTERNAL TABLE `default`.plain (`size` bigint) STORED AS PARQUET LOCATION '{}'",
        lake.location("plain")
    ))
    .await;
    sizes(&lake.stores.open(&lake.location("plain")).await.unwrap(), "a.parquet", &[8]).await;

    for name in [
        "market.ticks",
        "MARKET.Ticks",
        r#""market"."ticks""#,
        r#""Market".TICKS"#,
        "awsdatacatalog.market.ticks",
    ] {
        let found = lake.csv(&format!("SELECT size, date, SYMBOL FROM {name}")).await;
        assert_eq!(found, ["size,date,symbol", "7,2026-11-22,AAPL"], "{name}");
    }
    // No partition columns: the files are in the location itself.
    assert_eq!(lake.csv("SELECT * FROM plain").await, ["size", "8"]);
    let joined = "SELECT t.size + p.size AS s FROM market.ticks t, \"default\".plain p WHERE t.date > '2026'";
    assert_eq!(lake.csv(joined).await, ["s", "15"]);
}

#[tokio::test]
async fn partition_values_are_columns_as_they_are_in_the_catalog() {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint").await;
    let symbols = [
        "BRK/B",
        "BRK%2FB",
        "^GSPC",
        "EUR:USD",
        "ES=F",
        "a b",
        "a'b",
        "é",
        "日経",
        "__HIVE_DEFAULT_PARTITION__",
    ];
    for (i, symbol) in symbols.iter().enumerate() {
        sizes(&lake.partition(&ddl, &["2026-11-22", symbol]).await, "k.parquet", &[i as i64]).await;
    }
    let mut expected: Vec<String> = (0..9).map(|i| format!("{i},2026-11-22,{}", symbols[i])).collect();
    expected.push("9,2026-11-22,".to_owned());
    let all = lake.csv("SELECT * FROM market.ticks").await;
    assert_eq!(all[0], "size,date,symbol", "the partition columns are the last ones");
    assert_eq!(all[1..], expected);

    for (i, symbol) in symbols.iter().enumerate().take(9) {
        let sql = format!("SELECT size FROM market.ticks WHERE symbol = '{}'", symbol.replace('\'', "''"));
        assert_eq!(lake.csv(&sql).await[1..], [i.to_string()], "{sql}");
    }
    for (sql, rows) in [
        ("symbol IS NULL", "1"),
        ("symbol IS NOT NULL", "9"),
        ("symbol = '__HIVE_DEFAULT_PARTITION__'", "0"),
        ("symbol <> 'a b'", "8"),
        ("symbol >= ''", "9"),
        ("coalesce(symbol, 'none') = 'none'", "1"),
    ] {
        assert_eq!(
            lake.csv(&format!("SELECT count(*) FROM market.ticks WHERE {sql}")).await[1],
            rows,
            "{sql}"
        );
    }
    assert_eq!(lake.csv("SELECT count(symbol), count(*) FROM market.ticks").await[1], "9,10");
}

#[tokio::test]
async fn a_location_is_taken_as_it_is() {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint").await;
    let root = lake.disk.path().to_str().unwrap();
    // Outside the table's location, in other stores, named otherwise than their values.
    let places = [
        (format!("watched://{root}/else where/%2F/"), "a"),
        (format!("file://{root}/date=1999-01-01/symbol=x/"), "b"),
        ("memory:///date=%31/".to_owned(), "c"),
    ];
    for (i, (location, symbol)) in places.iter().enumerate() {
        sizes(&lake.stores.open(location).await.unwrap(), "k.parquet", &[i as i64]).await;
        lake.register(&ddl.name, &["2026-11-22", symbol], location).await;
    }
    let expected = ["0,2026-11-22,a", "1,2026-11-22,b", "2,2026-11-22,c"];
    assert_eq!(lake.csv("SELECT * FROM market.ticks").await[1..], expected);
    assert_eq!(
        lake.csv("SELECT symbol FROM market.ticks WHERE size > 0 ORDER BY size DESC").await[1..],
        ["c", "b"]
    );
}

#[tokio::test]
async fn what_is_no_data_is_not_read() {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint").await;
    lake.partition(&ddl, &["2026-11-21", "AAPL"]).await; // a folder that is not there
    let folder = lake.partition(&ddl, &["2026-11-22", "AAPL"]).await;
    sizes(&folder, "k.parquet", &[1]).await;
    for name in ["_SUCCESS", ".k.parquet.tmp", "_staging/k.parquet", "sub/k.parquet"] {
        folder.create(name, "no Parquet".into()).await.unwrap();
    }
    folder.create("folder-marker", "".into()).await.unwrap();
    assert_eq!(lake.csv("SELECT * FROM market.ticks").await[1..], ["1,2026-11-22,AAPL"]);

    folder.create("readme.txt", "no Parquet".into()).await.unwrap();
    for sql in ["SELECT * FROM market.ticks", "SELECT * FROM market.ticks LIMIT 10"] {
        let error = lake.error(sql).await;
        assert_eq!(error.kind(), Kind::Query);
        assert!(error.to_string().contains("symbol=AAPL/readme.txt"), "names the file: {error}");
    }
}

#[tokio::test]
async fn older_files_are_read_by_the_columns_of_today() {
    let lake = Lake::new();
    let ddl = lake
        .table("ticks", "`note` string, `size` bigint, `price` decimal(18,4), `bid` double, `ts` timestamp")
        .await;
    let folder = lake.partition(&ddl, &["2026-11-22", "AAPL"]).await;
    let decimal = |p, s| Decimal128Array::from(vec![12_345]).with_precision_and_scale(p, s).unwrap();
    let instant = || TimestampMillisecondArray::from(vec![1_795_354_200_123]).with_timezone("UTC");
    let old: [(&str, ArrayRef); 4] = [
        ("price", Arc::new(decimal(9, 2))),
        ("size", Arc::new(Int32Array::from(vec![1]))),
        ("gone", Arc::new(StringArray::from(vec!["x"]))),
        ("bid", Arc::new(Float32Array::from(vec![0.5]))),
    ];
    let new: [(&str, ArrayRef); 5] = [
        ("note", Arc::new(StringArray::from(vec!["n"]))),
        ("size", Arc::new(Int64Array::from(vec![2]))),
        ("price", Arc::new(decimal(18, 4))),
        ("bid", Arc::new(arrow::array::Float64Array::from(vec![0.25]))),
        ("ts", Arc::new(instant())),
    ];
    write(&folder, "old.parquet", &old, 10).await;
    write(&folder, "new.parquet", &new, 10).await;

    let rows = lake.csv("SELECT size, price, note, bid, ts FROM market.ticks ORDER BY size").await;
    assert_eq!(rows[1..], ["1,123.4500,,0.5,", "2,1.2345,n,0.25,2026-11-22T13:30:00.123Z"]);
    // Statistics of the narrower type prune neither too much nor fail.
    for (filter, size) in
        [("price = 123.45", "1"), ("size = 2", "2"), ("note IS NULL", "1"), ("ts IS NULL", "1")]
    {
        let sql = format!("SELECT size FROM market.ticks WHERE {filter}");
        assert_eq!(lake.csv(&sql).await[1..], [size], "{filter}");
    }
}

#[tokio::test]
async fn a_catalogs_failure_comes_out_as_it_is() {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint").await;
    lake.register(&ddl.name, &["2026-11-22", "AAPL"], "gopher://host/dir/").await;
    let error = lake.error("SELECT * FROM market.ticks").await;
    assert_eq!(error.kind(), Kind::Usage);
    assert!(chain(&error).contains("gopher://host/dir/"), "{}", chain(&error));
}

#[tokio::test]
async fn a_preview_is_some_rows() {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint").await;
    for date in ["2026-11-21", "2026-11-22"] {
        let folder = lake.partition(&ddl, &[date, "AAPL"]).await;
        sizes(&folder, "a.parquet", &[1; 50]).await;
    }
    for (limit, rows) in [(0, 0), (7, 7), (60, 60), (1000, 100)] {
        let answer = lake.engine.preview(&ddl.name, limit).await.unwrap();
        assert_eq!(answer.schema.fields().len(), 3);
        let mut out = Vec::new();
        let printed = ticklake::query::print(answer, ticklake::query::Format::Csv, &mut out).await.unwrap();
        assert_eq!(printed, rows);
        assert_eq!(out.iter().filter(|b| **b == b'\n').count() as u64, rows + 1);
    }
}
