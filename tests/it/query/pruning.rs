//! What a query reads: the folders that its filters on partition columns leave, and of a file the row groups that its
//! statistics leave; and how long it waits for a store that is far away.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use ticklake::query::Limits;
use ticklake::table::Ddl;
use tokio::time::Instant;

use super::lake::{FAR, Lake, write};

const DATES: [&str; 4] = ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"];
const SYMBOLS: [&str; 5] = ["AAPL", "BRK/B", "MSFT", "ZM", "__HIVE_DEFAULT_PARTITION__"];

/// A row a partition.
async fn grid(lake: &Lake) -> Ddl {
    let ddl = lake.table("ticks", "`size` bigint").await;
    for (i, date) in DATES.iter().enumerate() {
        for (j, symbol) in SYMBOLS.iter().enumerate() {
            let folder = lake.partition(&ddl, &[date, symbol]).await;
            let size: ArrayRef = Arc::new(Int64Array::from(vec![(i * 10 + j) as i64]));
            write(&folder, "k.parquet", &[("size", size)], 10).await;
        }
    }
    ddl
}

#[tokio::test]
async fn only_the_partitions_of_the_filter_are_listed_and_opened() {
    let lake = Lake::new();
    grid(&lake).await;
    // The sizes (date's index × 10 + symbol's index) that each filter leaves.
    let cases: &[(&str, &[i64])] = &[
        ("date = '2026-11-22' AND symbol = 'BRK/B'", &[21]),
        ("date = '2026-11-22'", &[20, 21, 22, 23, 24]),
        ("'2026-11-22' = date AND 'A' < symbol AND symbol < 'B'", &[20]),
        ("date >= '2026-11-22' AND symbol = 'MSFT'", &[22, 32]),
        ("date BETWEEN '2026-11-21' AND '2026-11-22' AND symbol = 'ZM'", &[13, 23]),
        ("date NOT BETWEEN '2026-11-21' AND '2026-11-22' AND symbol = 'ZM'", &[3, 33]),
        ("date > '2026-11-21' AND date <> '2026-11-23' AND symbol IN ('AAPL', 'ZM')", &[20, 23]),
        ("symbol IN ('AAPL', 'MSFT', 'ZM', 'X', 'Y') AND date <= '2026-11-20'", &[0, 2, 3]),
        ("date = '2026-11-20' AND symbol NOT IN ('AAPL', 'ZM')", &[1, 2]),
        ("symbol = 'AAPL' OR symbol = 'ZM'", &[0, 3, 10, 13, 20, 23, 30, 33]),
        ("date = '2026-11-20' OR (date = '2026-11-21' AND symbol = 'ZM')", &[0, 1, 2, 3, 4, 13]),
        ("symbol IS NULL", &[4, 14, 24, 34]),
        ("symbol LIKE 'BRK%' AND date < '2026-11-21'", &[1]),
        ("lower(symbol) = 'zm' AND substr(date, 9) = '23'", &[33]),
        ("CAST(date AS DATE) = DATE '2026-11-21' AND symbol = 'AAPL'", &[10]),
        ("CAST(date AS DATE) > DATE '2026-11-20' + INTERVAL '2' DAY AND symbol = 'AAPL'", &[30]),
        (
            "date < CAST(current_date + INTERVAL '1000000' DAY AS varchar) AND symbol = 'AAPL'",
            &[0, 10, 20, 30],
        ),
        ("date > CAST(now() + INTERVAL '10000' DAY AS varchar)", &[]),
        ("date = '2026-11-24'", &[]),
        ("NOT (date < '2026-11-23') AND symbol > 'MSFT'", &[33]),
    ];
    for (filter, sizes) in cases {
        lake.watch.tap.take();
        let rows = lake.csv(&format!("SELECT size FROM market.ticks WHERE {filter} ORDER BY size")).await;
        assert_eq!(rows[1..], sizes.iter().map(i64::to_string).collect::<Vec<_>>(), "{filter}");
        let seen = lake.watch.tap.take();
        assert_eq!(seen.listed.len(), sizes.len(), "{filter}: {seen:?}");
        let symbols: std::collections::HashSet<i64> = sizes.iter().map(|size| size % 10).collect();
        assert_eq!(seen.read.len(), symbols.len(), "{filter}: {seen:?}");
    }
}

#[tokio::test]
async fn a_filter_on_both_kinds_of_columns_prunes_by_its_half() {
    let lake = Lake::new();
    grid(&lake).await;
    let cases: &[(&str, usize, &[&str])] = &[
        ("date = '2026-11-22' AND size > 21 AND symbol <> 'ZM'", 3, &["22"]),
        ("date = '2026-11-22' AND (symbol = 'AAPL' OR size = 23)", 5, &["20", "23"]),
        ("size = 33", 20, &["33"]),
        ("date = (SELECT max(date) FROM market.ticks) AND symbol = 'AAPL'", 20 + 4, &["30"]),
        (
            "symbol = 'AAPL' AND size IN (SELECT size FROM market.ticks WHERE date = '2026-11-21')",
            4 + 5,
            &["10"],
        ),
        ("date = '2026-11-22' AND random() < 2 AND symbol = 'AAPL'", 1, &["20"]),
    ];
    for (filter, listed, sizes) in cases {
        lake.watch.tap.take();
        let rows = lake.csv(&format!("SELECT size FROM market.ticks WHERE {filter} ORDER BY size")).await;
        assert_eq!(rows[1..], **sizes, "{filter}");
        assert_eq!(lake.watch.tap.take().listed.len(), *listed, "{filter}");
    }
}

#[tokio::test]
async fn planning_opens_no_file() {
    let lake = Lake::new();
    grid(&lake).await;
    lake.watch.tap.take();
    lake.csv("EXPLAIN SELECT * FROM market.ticks WHERE date = '2026-11-22' AND size > 3").await;
    let seen = lake.watch.tap.take();
    assert_eq!((seen.listed.len(), seen.read.len()), (5, 0), "{seen:?}");
}

#[tokio::test]
async fn a_few_rows_need_a_few_folders() {
    let lake = Lake::new();
    let ddl = lake.table("ticks", "`size` bigint").await;
    for day in 0..200 {
        let folder = lake.partition(&ddl, &[&format!("day {day:03}"), &format!("S{day:03}")]).await;
        if day % 2 == 0 {
            // The first ones have no rows.
            let sizes: ArrayRef = Arc::new(Int64Array::from(vec![1; if day < 4 { 0 } else { 10 }]));
            write(&folder, "k.parquet", &[("size", sizes)], 10).await;
        }
    }
    for (filter, limit, opened) in [("true", 15, 4), ("date > 'day 009'", 10, 1), ("date <> ''", 0, 0)] {
        lake.watch.tap.take();
        let rows = lake.csv(&format!("SELECT * FROM market.ticks WHERE {filter} LIMIT {limit}")).await;
        assert_eq!(rows.len(), limit + 1, "{filter}");
        let seen = lake.watch.tap.take();
        assert!(seen.listed.len() < 50, "{filter}: {} folders", seen.listed.len());
        assert_eq!(seen.read.len(), opened, "{filter}: {seen:?}");
    }
    // The filter on a file's column is not the table's to answer: all are needed.
    lake.watch.tap.take();
    assert_eq!(lake.csv("SELECT * FROM market.ticks WHERE size = 1 LIMIT 1").await.len(), 2);
    assert_eq!(lake.watch.tap.take().listed.len(), 200);
}

/// Its footer is read with what stands before it: all of the one file, a part of the other.
#[tokio::test]
async fn no_byte_of_a_file_is_read_twice() {
    for rows in [1_000, 12_000] {
        let lake = Lake::new();
        let ddl = lake.table("ticks", "`seq` bigint, `noise` bigint").await;
        let folder = lake.partition(&ddl, &["2026-11-22", "AAPL"]).await;
        let column =
            |of: fn(i64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..rows).map(of))) };
        let noise = column(|i| i.wrapping_mul(-0x61C8_8646_80B5_83EB));
        write(&folder, "k.parquet", &[("seq", column(|i| i)), ("noise", noise)], rows as usize).await;
        let file_bytes = folder.size("k.parquet").await.unwrap().unwrap();
        lake.watch.tap.take();
        let found = lake.csv("SELECT count(noise), sum(seq) FROM market.ticks WHERE seq >= 500").await;
        assert_eq!(found[1], format!("{},{}", rows - 500, (500..rows).sum::<i64>()));
        let read: u64 = lake.watch.tap.take().read.values().sum();
        assert!(read <= file_bytes, "{read} of {file_bytes}");
    }
}

#[tokio::test]
async fn row_groups_are_left_out_by_the_statistics_of_a_time() {
    const GROUPS: i64 = 8;
    const GROUP_ROWS: i64 = 50_000;
    // One reader, as several of a large file may each read its footer.
    let lake = Lake::with_limits(&Limits { streams: NonZeroUsize::new(1), ..Limits::default() });
    let ddl = lake.table("ticks", "`ts` timestamp, `noise` bigint, `more` bigint").await;
    let folder = lake.partition(&ddl, &["2026-11-22", "AAPL"]).await;
    // A tick every 25 ms from 13:30; columns that do not compress, so that reading them shows.
    let start = 1_795_354_200_000;
    let times = (0..GROUPS * GROUP_ROWS).map(|i| start + i * 25);
    let times = TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC");
    let noise = |seed: i64| -> ArrayRef {
        let values = (0..GROUPS * GROUP_ROWS).scan(seed, |state, _| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Some(*state)
        });
        Arc::new(Int64Array::from_iter_values(values))
    };
    let columns: [(&str, ArrayRef); 3] = [("ts", Arc::new(times)), ("noise", noise(1)), ("more", noise(2))];
    write(&folder, "k.parquet", &columns, GROUP_ROWS as usize).await;
    let file_bytes = folder.size("k.parquet").await.unwrap().unwrap();

    let read = async |filter: &str| {
        lake.watch.tap.take();
        let sql = format!("SELECT count(*), count(noise + more) FROM market.ticks WHERE {filter}");
        let rows = lake.csv(&sql).await;
        let bytes: u64 = lake.watch.tap.take().read.values().sum();
        (rows[1].clone(), bytes)
    };
    let (rows, all_bytes) = read("noise IS NOT NULL").await;
    assert_eq!(rows, "400000,400000");
    assert!(all_bytes > file_bytes / 2, "{all_bytes} of {file_bytes}");
    // 25 ms × 50,000 rows: a group is 1,250 s, from 13:30:00 to 13:50:49.975.
    for (filter, rows) in [
        ("ts < TIMESTAMP '2026-11-22 13:40:00'", "24000,24000"),
        ("ts < '2026-11-22 13:40:00'", "24000,24000"),
        ("ts < TIMESTAMP '2026-11-22 13:40:00 UTC'", "24000,24000"),
        ("ts < TIMESTAMP '2026-11-22T13:40:00.000Z'", "24000,24000"),
        ("ts < TIMESTAMP '2026-11-22 14:40:00+01:00'", "24000,24000"),
        ("ts BETWEEN TIMESTAMP '2026-11-22 14:00:00' AND TIMESTAMP '2026-11-22 14:00:01'", "41,41"),
        ("ts = TIMESTAMP '2026-11-22 13:30:00.025'", "1,1"),
        ("ts >= TIMESTAMP '2026-11-22 16:16:30' AND ts < TIMESTAMP '2026-11-23'", "400,400"),
    ] {
        let (found, bytes) = read(filter).await;
        assert_eq!(found, rows, "{filter}");
        // One group, and the read of the footer with what stands before it (512 KiB).
        let group_bytes = file_bytes / GROUPS as u64 + (512 << 10) + (64 << 10);
        assert!(bytes <= group_bytes, "{filter}: {bytes} of {file_bytes}");
    }
    let (found, _) = read("date_trunc('hour', ts) = TIMESTAMP '2026-11-22 14:00:00'").await;
    assert_eq!(found, "144000,144000");
}

/// 40 symbols in each of two days, each twice of a row with its number; and what is none of the table's.
async fn days(lake: &Lake) -> Ddl {
    let ddl = lake.table("ticks", "`size` bigint").await;
    for date in &DATES[..2] {
        for symbol in 0..40 {
            let folder = lake.partition(&ddl, &[date, &format!("S{symbol:02}")]).await;
            for name in ["b.parquet", "a.parquet"] {
                let size: ArrayRef = Arc::new(Int64Array::from(vec![symbol]));
                write(&folder, name, &[("size", size)], 10).await;
            }
            for name in ["_SUCCESS", "sub/k.parquet", "_temporary/k.parquet"] {
                folder.create(name, "no Parquet".into()).await.unwrap();
            }
        }
    }
    ddl
}

#[tokio::test]
async fn folders_beside_each_other_are_listed_as_one() {
    let lake = Lake::new();
    days(&lake).await;
    let [first, second] = [DATES[0], DATES[1]].map(|date| format!("date={date}"));
    // The sum, the folders that are listed with all below them, and how many are listed by themselves.
    let sum = async |filter: &str| {
        lake.watch.tap.take();
        let sum = lake.csv(&format!("SELECT sum(size) FROM market.ticks WHERE {filter}")).await.remove(1);
        let mut seen = lake.watch.tap.take();
        seen.below.sort();
        (sum, seen.below, seen.listed.len())
    };
    let answer = |sum: &str, below: &[&String], listed: usize| {
        (sum.to_owned(), below.iter().map(|name| (*name).clone()).collect(), listed)
    };
    let of_first = "date = '2026-11-20'";
    assert_eq!(sum(of_first).await, answer("1560", &[&first], 0));
    assert_eq!(sum("true").await, answer("3120", &[&first, &second], 0));
    assert_eq!(sum(&format!("{of_first} AND symbol < 'S16'")).await, answer("240", &[&first], 0));
    // A few are listed by themselves, and so are all where what is beside them may not be listed, or is too much.
    assert_eq!(sum("symbol < 'S15'").await, answer("420", &[], 30));
    *lake.watch.tap.forbidden.lock().unwrap() = Some(first.clone());
    assert_eq!(sum(of_first).await, answer("1560", &[&first], 40));
    *lake.watch.tap.forbidden.lock().unwrap() = None;
    let day = lake.stores.open(&lake.location("ticks")).await.unwrap().folder(&first).unwrap();
    for i in 0..1_000 {
        day.create(&format!("symbol=OTHER/{i}.parquet"), "no Parquet".into()).await.unwrap();
    }
    assert_eq!(sum(of_first).await, answer("1560", &[&first], 40));
}

#[tokio::test]
async fn locations_may_be_one_or_in_each_other() {
    let lake = Lake::new();
    let ddl = days(&lake).await;
    let last = format!("{}date=2026-11-21/symbol=S39/", lake.location("ticks"));
    let inside = format!("{last}inside/");
    let size: ArrayRef = Arc::new(Int64Array::from(vec![1_000]));
    write(&lake.stores.open(&inside).await.unwrap(), "a.parquet", &[("size", size)], 10).await;
    lake.register(&ddl.name, &[DATES[1], "again"], &last).await;
    lake.register(&ddl.name, &[DATES[1], "inside"], &inside).await;
    let sql = "SELECT sum(size) FROM market.ticks WHERE date = '2026-11-21'";
    assert_eq!(lake.csv(sql).await[1], (1_560 + 2 * 39 + 1_000).to_string());
}

#[tokio::test(start_paused = true)]
async fn small_files_that_are_far_away_are_asked_for_ahead() {
    const FILES: u32 = 150; // of each symbol
    let lake = Lake::with_limits(&Limits { streams: NonZeroUsize::new(1), ..Limits::default() });
    let ddl = lake.table("ticks", "`size` bigint").await;
    let mut file_bytes = 0;
    // The first of these is the second by its folder's path, of which `/` is a part.
    for symbol in ["ZM", "ZM-A"] {
        let folder = lake.partition(&ddl, &["2026-11-22", symbol]).await;
        for file in 0..FILES {
            let size: ArrayRef = Arc::new(Int64Array::from(vec![i64::from(file)]));
            write(&folder, &format!("{file:03}.parquet"), &[("size", size)], 10).await;
        }
        file_bytes += folder.list().await.unwrap().iter().map(|file| file.size_bytes).sum::<u64>();
    }
    lake.watch.tap.is_far.store(true, Ordering::SeqCst);
    let read = async |sql: &str| {
        lake.watch.tap.take();
        let begun = Instant::now();
        let rows = lake.csv(sql).await[1..].to_vec();
        (rows, begun.elapsed(), lake.watch.tap.take().read.into_values().sum::<u64>())
    };
    let (rows, waited, bytes) = read("SELECT sum(size) FROM market.ticks").await;
    assert_eq!((rows, bytes), (vec!["22350".to_owned()], file_bytes), "each file once");
    assert!(waited < FAR * FILES / 8, "{waited:?}");
    // What ends early has not asked for all.
    let (rows, _, bytes) = read("SELECT size FROM market.ticks WHERE size >= 5 LIMIT 2").await;
    assert_eq!(rows.len(), 2);
    assert!(bytes < file_bytes / u64::from(FILES) * 10, "{bytes} of {file_bytes}");
}
