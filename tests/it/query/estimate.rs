//! What a query is said to read before it runs, beside what it reads.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use ticklake::error::{Kind, Place};
use ticklake::query::{Estimate, Extent, Reads};

use super::lake::{Lake, write};

/// Three days of two symbols, a file each of 10,000 rows: numbers that compress badly, and one text.
async fn lake() -> Lake {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint, `venue` string").await;
    for date in ["2026-11-20", "2026-11-21", "2026-11-22"] {
        for symbol in ["AAPL", "MSFT"] {
            let folder = lake.partition(&ddl, &[date, symbol]).await;
            let sizes = (0..10_000_i64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64));
            let columns: [(&str, ArrayRef); 2] = [
                ("size", Arc::new(Int64Array::from_iter_values(sizes))),
                ("venue", Arc::new(StringArray::from(vec!["XNAS"; 10_000]))),
            ];
            write(&folder, "k.parquet", &columns, 5_000).await;
        }
    }
    lake
}

async fn estimate(lake: &Lake, sql: &str) -> Estimate {
    lake.engine.estimate(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// Partitions and files of each scan.
fn counts(estimate: &Estimate) -> Vec<(usize, usize)> {
    estimate.scans.iter().map(|scan| (scan.partitions, scan.files)).collect()
}

#[tokio::test]
async fn an_estimate_prunes_as_the_query_does() {
    let lake = lake().await;
    let cases: &[(&str, &[(usize, usize)])] = &[
        ("SELECT size FROM market.ticks", &[(6, 6)]),
        ("SELECT size FROM market.ticks WHERE date = '2026-11-22' AND symbol = 'AAPL'", &[(1, 1)]),
        ("SELECT size FROM market.ticks t WHERE t.date > '2026-11-20' AND size > 3", &[(4, 4)]),
        ("SELECT size FROM market.ticks WHERE date = '2027-01-01'", &[(0, 0)]),
        // A few rows are found in the first files.
        ("SELECT size FROM market.ticks LIMIT 10", &[(6, 1)]),
        (
            "SELECT count(*) FROM market.ticks a JOIN market.ticks b ON a.size = b.size WHERE a.symbol = 'AAPL'",
            &[(3, 3), (6, 6)],
        ),
        (
            "SELECT size FROM market.ticks WHERE symbol = 'AAPL'
             AND size > (SELECT avg(size) FROM market.ticks WHERE date = '2026-11-21')",
            &[(2, 2), (3, 3)],
        ),
        ("SELECT * FROM generate_series(1, 3)", &[]),
        ("SHOW TABLES", &[]),
    ];
    for (sql, want) in cases {
        let mut found = counts(&estimate(&lake, sql).await);
        found.sort_unstable();
        assert_eq!(found, *want, "{sql}");
    }
}

#[tokio::test]
async fn the_bytes_are_of_the_columns_needed_and_are_not_read() {
    let lake = lake().await;
    let of =
        async |columns: &str| estimate(&lake, &format!("SELECT {columns} FROM market.ticks")).await.bytes();
    let (size, venue) = (of("size").await, of("venue").await);
    assert!(size > 6 * 80_000 && venue < size / 50, "{size} {venue}");
    assert_eq!(of("*").await, size + venue);
    // A column of the WHERE is read too; those of partitions are not in the files.
    assert_eq!(of("venue, symbol, date").await, venue);
    assert_eq!(estimate(&lake, "SELECT venue FROM market.ticks WHERE size > 5").await.bytes(), size + venue);
    assert_eq!(of("count(*)").await, 0);

    lake.watch.tap.take();
    of("*").await;
    let looked: u64 = lake.watch.tap.take().read.values().sum();
    let sum = "SELECT sum(size), count(DISTINCT venue) FROM market.ticks";
    let estimated = estimate(&lake, sum).await.bytes();
    lake.watch.tap.take();
    lake.csv(sum).await;
    let read: u64 = lake.watch.tap.take().read.values().sum();
    assert!(looked < read / 5, "{looked} of {read} were read for the estimate");
    // Beside the columns the ends of the files are read for their footers: of files as small as these, all.
    assert!(estimated <= read && read <= 2 * (estimated + looked), "{estimated} {read} {looked}");
}

#[tokio::test]
async fn many_files_are_taken_whole() {
    let lake = Lake::new();
    let ddl = lake.table("small", "`size` bigint").await;
    let folder = lake.partition(&ddl, &["2026-11-22", "AAPL"]).await;
    for i in 0..257 {
        let size: ArrayRef = Arc::new(Int64Array::from(vec![i]));
        write(&folder, &format!("k-{i}.parquet"), &[("size", size)], 10).await;
    }
    let sizes: u64 = folder.list().await.unwrap().iter().map(|entry| entry.size_bytes).sum();
    lake.watch.tap.take();
    let estimated = estimate(&lake, "SELECT size FROM market.small").await;
    let table = "market.small".parse().unwrap();
    let reads = Reads { table, partitions: 1, files: 257, bytes: sizes, extent: Extent::Files };
    assert_eq!(estimated.scans, [reads]);
    assert!(lake.watch.tap.take().read.is_empty());
}

#[tokio::test]
async fn an_error_tells_its_place() {
    let lake = lake().await;
    for (sql, line, column) in [
        ("SELECT size,\n  sizes FROM market.ticks", 2, 3),
        ("SELECT size FRM market.ticks", 1, 17),
        ("SELECT 'a", 1, 8),
        ("SELECT\n nothing(size) FROM market.ticks", 2, 2),
        ("SELECT * FROM market.missing", 1, 15),
    ] {
        let error = lake.engine.estimate(sql).await.expect_err(sql);
        assert_eq!(
            (error.kind(), error.place()),
            (Kind::Query, Some(Place { line, column })),
            "{sql}: {error}"
        );
    }
    // What fails while it runs has none.
    assert_eq!(lake.error("SELECT size / 0 FROM market.ticks").await.place(), None);
}
