//! The main job on the in-process cluster: records in, rows in SQL out, offsets committed.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog};
use ticklake::ingest::{self, Job, Limits, Progress};
use ticklake::kafka::Cluster;
use ticklake::store::{Durability, Stores};
use ticklake::table::Ddl;
use ticklake::verify::{self, Check, Holding};
use tokio::sync::watch;

use crate::jobs::{self, NOON, TICKS, connection, end_of, files, run};

/// A cluster, a catalog and a store of one test.
struct Lake {
    cluster: Cluster,
    dir: TempDir,
    catalog: Arc<dyn Catalog>,
}

impl Lake {
    fn new(partitions: i32) -> Self {
        let dir = TempDir::new().unwrap();
        let catalog = LocalCatalog::open(dir.path().join("catalog.db")).unwrap();
        let cluster = Cluster::start(&[("ticks", partitions)]).unwrap();
        Self { cluster, catalog: Arc::new(catalog), dir }
    }

    fn table(&self) -> std::path::PathBuf {
        self.dir.path().join("lake/ticks")
    }

    fn job(&self) -> Job {
        jobs::job(connection(&self.cluster), "ticks", TICKS, &self.table(), self.catalog.clone())
    }

    async fn send(&self, values: impl IntoIterator<Item = String>) {
        jobs::send(&self.cluster, "ticks", values).await;
    }

    async fn sql(&self, sql: &str) -> Vec<String> {
        jobs::sql(self.catalog.clone(), Stores::new(Durability::NoFsync), sql).await
    }
}

fn tick(symbol: &str, seq: i64, price: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","ts":{},"price":{price},"size":100,"exchange":"Q","seq":{seq}}}"#,
        NOON + seq
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_rows_in_sql() {
    let lake = Lake::new(2);
    let symbols = ["AAPL", "MSFT", "BRK/B", "^GSPC"];
    lake.send((0..1000).map(|seq| tick(symbols[seq as usize % 4], seq, "229.87"))).await;

    let done = run(lake.job()).await;

    assert_eq!((done.records, done.rows, done.rejected, done.skipped), (1000, 1000, 0, 0));
    assert_eq!(done.partitions_registered, 4);
    assert_eq!(done.offsets_committed, 1000);
    assert_eq!(done.files, files(&lake.table()).len() as u64);
    assert_eq!(
        lake.sql("SELECT symbol, count(*), sum(price), min(ts), max(seq) FROM market.ticks WHERE date = '2026-11-22' GROUP BY symbol ORDER BY symbol").await,
        [
            "AAPL,250,57467.5000,2026-11-22T14:30:00Z,996",
            "BRK/B,250,57467.5000,2026-11-22T14:30:00.002Z,998",
            "MSFT,250,57467.5000,2026-11-22T14:30:00.001Z,997",
            "^GSPC,250,57467.5000,2026-11-22T14:30:00.003Z,999",
        ]
    );
    assert_eq!(lake.sql("SELECT count(DISTINCT seq) FROM market.ticks").await, ["1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_goes_on_where_the_first_ended() {
    let lake = Lake::new(1);
    lake.send((0..100).map(|seq| tick("AAPL", seq, "1.5"))).await;
    run(lake.job()).await;
    let before = files(&lake.table());

    let nothing = run(lake.job()).await;
    assert_eq!((nothing.records, nothing.files), (0, 0));
    assert_eq!(files(&lake.table()), before);

    lake.send((100..150).map(|seq| tick("AAPL", seq, "1.5"))).await;
    assert_eq!(run(lake.job()).await.records, 50);
    assert_eq!(
        files(&lake.table()),
        [
            "date=2026-11-22/symbol=AAPL/k-ticks-0-00000000000000000000.parquet",
            "date=2026-11-22/symbol=AAPL/k-ticks-0-00000000000000000100.parquet",
        ]
    );
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["150,150"]);
}

/// Another group knows no offsets: it reads everything again, and the chains keep it from writing anything twice.
#[tokio::test(flavor = "multi_thread")]
async fn lost_offsets_double_no_row() {
    let lake = Lake::new(2);
    lake.send((0..200).map(|seq| tick(["AAPL", "MSFT"][seq as usize % 2], seq, "1.5"))).await;
    run(lake.job()).await;
    let before = files(&lake.table());

    lake.send((200..210).map(|seq| tick("AAPL", seq, "1.5"))).await;
    let again = run(Job { group: "another".into(), ..lake.job() }).await;

    assert_eq!((again.records, again.already_there), (210, 200));
    assert_eq!(files(&lake.table()).len() as u64, before.len() as u64 + again.files);
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["210,210"]);
}

/// Under another routing a replay would put rows into other partitions, where no chain knows them.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_ddl_is_refused_also_where_the_offsets_are_lost() {
    let lake = Lake::new(1);
    lake.send((0..10).map(|seq| tick("AAPL", seq, "1.5"))).await;
    run(lake.job()).await;

    let monthly = Ddl::parse(&TICKS.replace("day(ts)", "month(ts)")).unwrap();
    for group in ["test", "another"] {
        let job = Job { group: group.into(), ddl: monthly.clone(), ..lake.job() };
        let e = end_of(job).await.unwrap_err();
        assert!(e.to_string().contains("another DDL"), "{group}: {e}");
    }
    // What was refused is not remembered: the table's own DDL goes on, also without offsets.
    let again = run(Job { group: "third".into(), ..lake.job() }).await;
    assert_eq!((again.records, again.already_there, again.files), (10, 10, 0));
}

/// Where the user says that the writers of before are gone, any DDL goes on after theirs; from then on it is the table's.
#[tokio::test(flavor = "multi_thread")]
async fn a_ddl_that_routes_otherwise_takes_over_at_a_clean_end() {
    let lake = Lake::new(1);
    lake.send((0..10).map(|seq| tick("AAPL", seq, "1.5"))).await;
    run(lake.job()).await;
    lake.send((10..15).map(|seq| tick("AAPL", seq, "1.5"))).await;

    let monthly = Job { ddl: Ddl::parse(&TICKS.replace("day(ts)", "month(ts)")).unwrap(), ..lake.job() };
    let e = end_of(monthly.clone()).await.unwrap_err().to_string();
    assert!(e.contains("--take-over"), "{e}");
    // Without offsets nobody knows where the other one ended.
    let anew = Job { take_over: true, group: "another".into(), ..monthly.clone() };
    let e = end_of(anew).await.unwrap_err().to_string();
    assert!(e.contains("another DDL"), "{e}");

    assert_eq!(run(Job { take_over: true, ..monthly.clone() }).await.records, 5);
    lake.send((15..18).map(|seq| tick("AAPL", seq, "1.5"))).await;
    assert_eq!(run(monthly).await.records, 3);
    let by_date = "SELECT date, count(*), count(DISTINCT seq) FROM market.ticks GROUP BY 1 ORDER BY 1";
    assert_eq!(lake.sql(by_date).await, ["2026-11,8,8", "2026-11-22,10,10"]);
    // The way back is one too.
    assert!(end_of(lake.job()).await.unwrap_err().to_string().contains("--take-over"));
}

/// A feed that breaks ends the job that says so; what was read is read again, and each record is somewhere once.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_breaks_ends_the_job_in_time() {
    let lake = Lake::new(1);
    let good = |seq| tick("AAPL", seq, "1.5");
    lake.send((0..500).map(good)).await;
    lake.send((500..800).map(|seq| tick("AAPL", seq, "\"soon\""))).await;
    let mut careful = lake.job();
    careful.limits.rejected_window = 100;
    careful.limits.rejected_max_ratio = 0.5;
    let error = end_of(careful).await.unwrap_err().to_string();
    assert!(error.contains("too many records are rejected"), "{error}");
    assert!(error.contains("most of them: not_a_number"), "{error}");

    let all = run(lake.job()).await;
    assert_eq!((all.records, all.rejected), (800, 300));
    let counts = "SELECT count(*), count(DISTINCT seq) FROM market.ticks";
    assert_eq!(lake.sql(counts).await, ["500,500"]);
    assert_eq!(
        lake.sql("SELECT count(*), count(DISTINCT \"offset\") FROM market.ticks_rejected").await,
        ["300,300"]
    );

    let mut nonsense = lake.job();
    nonsense.limits.rejected_max_ratio = 1.5;
    assert!(end_of(nonsense).await.unwrap_err().to_string().contains("from 0 to 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_tell_what_they_hold() {
    let lake = Lake::new(1);
    lake.send((0..10).map(|seq| tick(if seq < 7 { "AAPL" } else { "MSFT" }, seq, "1.5"))).await;
    run(lake.job()).await;
    lake.send([tick("AAPL", 10, "1.5"), tick("AAPL", 11, "\"x\"")]).await;
    run(lake.job()).await;

    let check = |table: &str| Check {
        table: table.parse().unwrap(),
        catalog: lake.catalog.clone(),
        stores: Stores::new(Durability::NoFsync),
        dates: None,
        records: None,
        patience: verify::PATIENCE,
    };
    let ddl = async |table: &str| lake.catalog.table(&table.parse().unwrap()).await.unwrap().unwrap();
    let ticks = ddl("market.ticks").await;
    let mut known = verify::Footers::default();
    let held = verify::inventory(&check("market.ticks"), &ticks, &mut known).await.unwrap();
    let of = |h: Holding| (h.values[1].clone(), h.files, h.rows, h.times.unwrap(), h.ends["ticks-0"]);
    let found: Vec<_> = held.into_iter().map(of).collect();
    let wanted = [
        ("AAPL".to_owned(), 2, 8, (NOON, NOON + 10), 12),
        ("MSFT".to_owned(), 1, 3, (NOON + 7, NOON + 9), 10),
    ];
    assert_eq!(found, wanted);
    let none = Check { dates: Some("2026-11-23".parse().unwrap()), ..check("market.ticks") };
    assert_eq!(verify::inventory(&none, &ticks, &mut known).await.unwrap(), []);

    // What is known of files that are there no more, or are not all, is not counted.
    lake.send([tick("AAPL", 12, "1.5")]).await;
    run(lake.job()).await;
    let mut rows = Vec::new();
    for gone in [None, Some(0), Some(1)] {
        let folder = lake.table().join("date=2026-11-22/symbol=AAPL");
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        if let Some(gone) = gone {
            std::fs::remove_file(&files[gone]).unwrap();
        }
        let (check, mut none) = (check("market.ticks"), verify::Footers::default());
        let held = verify::inventory(&check, &ticks, &mut known).await.unwrap();
        assert_eq!(held, verify::inventory(&check, &ticks, &mut none).await.unwrap());
        rows.push(held[0].rows);
    }
    assert_eq!(rows, [9, 2, 1]);

    let mut paths = Vec::new();
    let mut bytes = 0;
    for table in ["market.ticks", "market.ticks_rejected"] {
        let (check, ddl) = (check(table), ddl(table).await);
        let listed = verify::files(&check, &ddl, |file| {
            bytes += file.bytes;
            paths.push(file.at.strip_prefix("file://").unwrap().to_owned());
            Ok(())
        });
        listed.await.unwrap();
    }
    let on_disk: u64 = paths.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert_eq!((paths.len(), bytes), (3, on_disk));
}

/// A feed that grows, and a table that is altered under a running job, are told; the job goes on as it began.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_field_and_an_altered_table_are_told() {
    let lake = Lake::new(1);
    let mut job = lake.job();
    job.until_end = false;
    job.limits.flush_age = Duration::from_millis(100);
    let (stop, stopped) = watch::channel(false);
    let (progress, mut seen) = watch::channel(Progress::default());
    let daemon = tokio::spawn(ingest::run(job, stopped, progress));
    let assigned = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|p| p.lag_records.is_some()));
    let began = assigned.await.expect("assigned").unwrap().clone();
    assert!(!began.table_altered && began.unused_fields == 0);

    let ddl = Ddl::parse(TICKS).unwrap();
    lake.catalog.drop_table(&ddl.name).await.unwrap();
    let wider = Ddl::parse(&TICKS.replace("`seq` bigint", "`seq` bigint, `venue` string")).unwrap();
    let location = lake.table().to_str().map(str::to_owned);
    lake.catalog.create_table(&Ddl { location, ..wider }).await.unwrap();
    let with = |field: &str| tick("AAPL", 1, "1.5").replacen('{', &format!("{{\"{field}\":\"N\","), 1);
    lake.send([tick("AAPL", 0, "1.5"), with("venue"), with("a/b"), with("venue")]).await;

    let told = seen.wait_for(|p| p.table_altered && p.records == 4);
    let told = tokio::time::timeout(Duration::from_secs(60), told).await.expect("told").unwrap().clone();
    assert_eq!(told.unused_fields, 2);
    stop.send(true).unwrap();
    assert_eq!(daemon.await.unwrap().unwrap().rows, 4);
}

/// A committed offset is for the files it was committed for: where they are gone, everything is read again.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_lake_is_filled_again() {
    let lake = Lake::new(1);
    lake.send((0..50).map(|seq| tick("AAPL", seq, "1.5"))).await;
    run(lake.job()).await;
    std::fs::remove_dir_all(lake.table()).unwrap();

    assert_eq!(run(lake.job()).await.records, 50);
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["50,50"]);
}

/// Dropping a table leaves its files; the next run makes the table anew, with all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_comes_back_whole() {
    let lake = Lake::new(1);
    let bad = "{".to_owned();
    lake.send((0..50).map(|seq| tick(["AAPL", "BRK/B"][seq as usize % 2], seq, "1.5")).chain([bad])).await;
    run(lake.job()).await;
    for name in ["market.ticks", "market.ticks_rejected"] {
        assert!(lake.catalog.drop_table(&name.parse().unwrap()).await.unwrap());
    }

    let nothing_new = run(lake.job()).await;
    assert_eq!((nothing_new.records, nothing_new.files), (0, 0));
    assert_eq!(
        lake.sql("SELECT symbol, count(*) FROM market.ticks GROUP BY symbol ORDER BY symbol").await,
        ["AAPL,25", "BRK/B,25"]
    );
    assert_eq!(lake.sql("SELECT count(*) FROM market.ticks_rejected").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_cut_by_rows_and_tile_the_offsets() {
    let lake = Lake::new(1);
    lake.send((0..1000).map(|seq| tick("AAPL", seq, "1.5"))).await;
    let mut job = lake.job();
    job.limits.flush_rows = 100;
    run(job).await;
    // A limit that is reached while a file is being written waits for it, so there may be fewer.
    let files = files(&lake.table());
    assert!((2..=10).contains(&files.len()), "{files:?}");
    assert!(files[0].ends_with("-00000000000000000000.parquet"), "{files:?}");
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["1000,1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_cut_by_bytes() {
    let lake = Lake::new(1);
    lake.send((0..1000).map(|seq| tick("AAPL", seq, "1.5"))).await;
    let limits = Limits { flush_bytes: 4 << 10, ..Limits::default() };
    let done = run(Job { limits, ..lake.job() }).await;
    assert!(done.files > 1, "{done:?}"); // one at a time is written, so it is not said how many
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["1000,1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_budget_seals_the_largest_and_loses_nothing() {
    let lake = Lake::new(1);
    lake.send((0..20_000).map(|seq| tick(&format!("S{}", seq % 50), seq, "1.5"))).await;
    let mut job = lake.job();
    job.limits.memory_bytes = 64 << 10;
    let done = run(job).await;
    assert!(done.files > 50, "{done:?}");
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["20000,20000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_row_is_a_rejected_row() {
    let lake = Lake::new(1);
    let bad = [
        "{\"symbol\":\"AAPL\"".to_owned(),
        tick("AAPL", 1, "1.00001"),
        tick("AAPL", 2, "\"x\""),
        "[]".into(),
        "17".into(),
        tick("AAPL", 3, "1.5"),
    ];
    lake.send(bad).await;
    let done = run(lake.job()).await;
    assert_eq!((done.rows, done.rejected, done.skipped), (1, 4, 1));
    assert_eq!(
        lake.sql("SELECT \"offset\", reason, \"column\", attempt FROM market.ticks_rejected ORDER BY 1")
            .await,
        ["0,malformed,,0", "1,digits,price,0", "2,not_a_number,price,0", "4,not_an_object,,0"]
    );
}

/// As an earlier version made it, without its last columns.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_table_of_rejected_records_gets_the_columns_that_it_lacks() {
    let lake = Lake::new(1);
    lake.send(["7".to_owned()]).await;
    run(lake.job()).await;
    let name = "market.ticks_rejected".parse().unwrap();
    let now = lake.catalog.table(&name).await.unwrap().unwrap();
    let older = Ddl { columns: now.columns[..10].to_vec(), ..now.clone() };
    assert!(lake.catalog.alter_table(&now, &older).await.unwrap());

    lake.send(["8".to_owned()]).await;
    assert_eq!(run(lake.job()).await.rejected, 1);
    assert_eq!(lake.catalog.table(&name).await.unwrap(), Some(now));
    assert_eq!(lake.sql("SELECT count(*), count(epoch) FROM market.ticks_rejected").await, ["2,2"]);
}

/// A daemon: rows show up while it runs, and `stop` leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_seals_by_age_and_stops_clean() {
    let lake = Lake::new(1);
    let mut job = lake.job();
    job.until_end = false;
    job.limits.flush_age = Duration::from_millis(200);
    let (stop, stopped) = watch::channel(false);
    let (progress, mut seen) = watch::channel(Progress::default());
    let daemon = tokio::spawn(ingest::run(job, stopped, progress));

    lake.send((0..10).map(|seq| tick("AAPL", seq, "1.5"))).await;
    let sealed =
        tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|p| p.partitions_registered == 1)).await;
    sealed.expect("sealed by age").unwrap();
    assert_eq!(lake.sql("SELECT count(*) FROM market.ticks").await, ["10"]);

    lake.send((10..15).map(|seq| tick("AAPL", seq, "1.5"))).await;
    let read = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|p| p.records == 15)).await;
    read.expect("read").unwrap();
    stop.send(true).unwrap();
    let done = daemon.await.unwrap().unwrap();
    assert_eq!((done.rows, done.offsets_committed), (15, 15));
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["15,15"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_said() {
    let lake = Lake::new(1);
    let e = end_of(Job { topics: vec!["tikcs".into()], ..lake.job() }).await.unwrap_err();
    let text = ticklake::error::chain(&e);
    assert!(text.contains("topic") && text.contains("tikcs"), "{text}");
}

/// Links of another cluster mean other records: they are refused, and the fix begins new chains.
#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_refused_until_a_new_epoch_begins() {
    let lake = Lake::new(1);
    lake.send((0..10).map(|seq| tick("AAPL", seq, "1.5"))).await;
    run(lake.job()).await;

    run(Job { source_epoch: 1, group: "again".into(), ..lake.job() }).await; // the same topic goes on
    assert_eq!(lake.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["10,10"]);
    let other = lake.dir.path().join("other").to_str().map(str::to_owned);
    let e = refused(Job { location: other, group: "other".into(), ..lake.job() }).await;
    assert!(e.contains("at another place"), "{e}");

    let moved = Lake { cluster: Cluster::start(&[("ticks", 1)]).unwrap(), ..lake };
    moved.send((10..20).map(|seq| tick("AAPL", seq, "1.5"))).await;
    let e = end_of(moved.job()).await.unwrap_err();
    assert!(e.to_string().contains("source_epoch"), "{e}");

    run(Job { source_epoch: 1, ..moved.job() }).await;
    assert_eq!(moved.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await, ["20,20"]);
}

/// Also where it was made again by hand, before the ingest.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_again_by_hand_comes_back_whole() {
    let lake = Lake::new(1);
    lake.send((0..3).map(|seq| tick(["A", "B", "C"][seq as usize], seq, "1.5"))).await;
    run(lake.job()).await;
    let ddl = Ddl::parse(TICKS).unwrap();
    lake.catalog.drop_table(&ddl.name).await.unwrap();
    lake.catalog
        .create_table(&Ddl { location: lake.table().to_str().map(str::to_owned), ..ddl })
        .await
        .unwrap();
    run(lake.job()).await;
    assert_eq!(lake.sql("SELECT count(*) FROM market.ticks").await, ["3"]);
}

/// What is read again must not be taken for what is in files that somebody removed.
#[tokio::test(flavor = "multi_thread")]
async fn missing_first_files_of_a_chain_are_said() {
    let lake = Lake::new(1);
    lake.send((0..20).map(|seq| tick("A", seq, "1.5"))).await;
    let limits = Limits { flush_rows: 10, ..Limits::default() };
    run(Job { limits, ..lake.job() }).await;
    let first =
        files(&lake.table()).into_iter().find(|f| f.ends_with("-00000000000000000000.parquet")).unwrap();
    std::fs::remove_file(lake.table().join(first)).unwrap();

    let e = refused(Job { group: "other".into(), ..lake.job() }).await;
    assert!(e.contains("first files of a chain are missing"), "{e}");
}

/// Two numbers beside each other, one of them null: no pair is taken for another.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_numbers_and_nulls_are_told_apart() {
    let lake = Lake::new(1);
    let ddl = Ddl::parse(
        "CREATE EXTERNAL TABLE market.ticks (a int, b int, n int) PARTITIONED BY (x string, y string) \
         STORED AS PARQUET TBLPROPERTIES ('ticklake.partition.x' = 'identity(a)', \
         'ticklake.partition.y' = 'identity(b)')",
    )
    .unwrap();
    let values = [r#"{"a":-1,"n":1}"#, r#"{"b":-1,"n":2}"#, r#"{"a":-1,"b":-1,"n":3}"#, r#"{"n":4}"#];
    lake.send(values.map(str::to_owned)).await;
    run(Job { ddl, ..lake.job() }).await;
    assert_eq!(
        lake.sql("SELECT n, x, y FROM market.ticks ORDER BY n").await,
        ["1,-1,", "2,,-1", "3,-1,-1", "4,,"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_cannot_be_are_refused_before_they_begin() {
    let lake = Lake::new(1);
    let limits = Limits::default();
    for (job, why) in [
        (Job { topics: vec!["ticks".into(), "ticks".into()], ..lake.job() }, "named twice"),
        (Job { group: String::new(), ..lake.job() }, "the group has no name"),
        (Job { location: Some("/".into()), ..lake.job() }, "a whole store"),
        (Job { limits: Limits { flush_rows: 0, ..limits }, ..lake.job() }, "flush rows is 0"),
        (Job { limits: Limits { flush_bytes: 2 << 30, ..limits }, ..lake.job() }, "at most 1GiB"),
        (Job { limits: Limits { writes: usize::MAX, ..limits }, ..lake.job() }, "written at once"),
        (
            Job { limits: Limits { drain_deadline: Duration::from_secs(120), ..limits }, ..lake.job() },
            "below 120 s",
        ),
    ] {
        let e = refused(job).await;
        assert!(e.contains(why), "{why}: {e}");
    }
    assert!(!lake.table().exists());
}

/// The chain of the error that a job ends with.
async fn refused(job: Job) -> String {
    ticklake::error::chain(&end_of(job).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_another_table_is_refused() {
    let lake = Lake::new(1);
    lake.send((0..10).map(|seq| tick("AAPL", seq, "1.5"))).await;
    run(lake.job()).await;
    let other = Job {
        ddl: Ddl::parse(&TICKS.replace("`ticks`", "`others`")).unwrap(),
        location: Some(lake.dir.path().join("lake/others").to_str().unwrap().into()),
        ..lake.job()
    };
    let error = end_of(other).await.unwrap_err().to_string();
    assert!(
        error.contains("give each table a --group of its own") && error.contains("market.ticks"),
        "{error}"
    );
}
