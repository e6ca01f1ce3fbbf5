//! Old partitions leave a table, and nothing brings them back: not a topic that is read again, not a catalog that is
//! filled again, not a repair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Deref;
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta, Utc};
use ticklake::ingest::{self, Job, Progress};
use ticklake::table::{Ddl, TableName};
use ticklake::verify::{self, Check, Committed, Expired, Expiry, Kind, Records};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

use crate::jobs::{NOON, TICKS, Ticks, connection, files, run};

const DAY: i64 = 24 * 3_600_000;
/// Of the four days that are sent, from 2026-11-22 on, two are before it.
const BEFORE: &str = "2026-11-24";
const GRACE: TimeDelta = TimeDelta::days(7);

struct Lake(Ticks);

impl Deref for Lake {
    type Target = Ticks;

    fn deref(&self) -> &Ticks {
        &self.0
    }
}

impl Lake {
    fn new() -> Self {
        Self(Ticks::new(1))
    }

    /// 144 ticks of four days and three symbols, in files of four; each sixth is rejected. One more of the last day comes later:
    /// so all of the old days is below what is committed.
    async fn filled() -> Self {
        let lake = Self::new();
        lake.send((0..144).map(|i| tick(i % 4, i, i))).await;
        let mut job = lake.job("test");
        job.limits.flush_rows = 4;
        run(job).await;
        lake.send([later(144)]).await;
        run(lake.job("test")).await;
        lake
    }

    fn job(&self, group: &str) -> Job {
        Job { group: group.into(), ..self.0.job() }
    }

    fn check(&self, table: &str, group: &str) -> Check {
        Check {
            table: table.parse::<TableName>().unwrap(),
            catalog: self.catalog.clone(),
            stores: self.stores(),
            dates: None,
            records: Some(self.records(group)),
            patience: Duration::ZERO,
        }
    }

    fn records(&self, group: &str) -> Records {
        Records { connection: connection(&self.cluster), group: group.into() }
    }

    /// Expires what is old, as if it were so many days later.
    async fn expire(&self, days: i64) -> Expired {
        self.expire_of("market.ticks", "test", days, true).await.unwrap()
    }

    async fn expire_of(
        &self,
        table: &str,
        group: &str,
        days: i64,
        applies: bool,
    ) -> Result<Expired, ticklake::Error> {
        let before = BEFORE.parse().unwrap();
        let expiry = Expiry {
            before,
            grace: GRACE,
            now: now() + TimeDelta::days(days),
            applies,
            committed: Committed::Of(self.records(group)),
        };
        verify::expire(&self.check(table, group), &expiry).await
    }

    /// Days, and how many rows and different rows each has.
    async fn days(&self) -> Vec<String> {
        let sql = "SELECT date, count(*), count(DISTINCT seq) FROM market.ticks GROUP BY 1 ORDER BY 1";
        self.sql(sql).await
    }

    /// Paths of partitions in the catalog.
    async fn registered(&self) -> Vec<String> {
        let partitions = self.catalog.partitions(&"market.ticks".parse().unwrap(), &[]).await.unwrap();
        partitions.iter().map(|partition| partition.values.join("/")).collect()
    }

    /// Nothing is wrong, also in comparison with the records.
    async fn must_be_whole(&self) {
        assert_eq!(verify::verify(&self.check("market.ticks", "test")).await.unwrap().problems, []);
    }

    /// The files of days that are old.
    fn old_files(&self) -> Vec<String> {
        let all = files(&self.folder());
        all.into_iter().filter(|file| **file < *format!("date={BEFORE}")).collect()
    }
}

/// One that is rejected has a price of too many digits.
fn tick(day: i64, i: i64, seq: i64) -> String {
    let price = if seq % 6 == 5 { "1.00001" } else { "1.5" };
    let (ts, symbol) = (NOON + day * DAY + i, ["A", "B/C", "D"][(i / 12 % 3) as usize]);
    format!(r#"{{"symbol":"{symbol}","ts":{ts},"price":{price},"size":1,"exchange":"X","seq":{seq}}}"#)
}

#[expect(clippy::disallowed_methods, reason = "files have the time at which they were put")]
fn now() -> chrono::DateTime<Utc> {
    Utc::now()
}

/// One of the last day.
fn later(seq: i64) -> String {
    tick(3, 0, seq)
}

const LEFT: [&str; 2] = ["2026-11-24,36,36", "2026-11-25,25,25"];
/// Rows of both tables.
const ALL: u64 = 145;

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_table_does_not_come_back() {
    let lake = Lake::filled().await;
    let (days, registered, old) = (lake.days().await, lake.registered().await, lake.old_files());
    assert_eq!(days[2..], LEFT);
    assert_eq!((registered.len(), days.len()), (12, 4));

    let told = lake.expire_of("market.ticks", "test", 0, false).await.unwrap();
    assert_eq!(
        (lake.days().await, lake.registered().await, lake.old_files()),
        (days, registered, old.clone())
    );
    let done = lake.expire(0).await;
    assert!(done.applied && !told.applied);
    assert_eq!((&done.days, &done.busy, &done.problems[..]), (&told.days, &told.busy, &[][..]));
    assert_eq!(done.days.iter().map(|day| day.dropped.partitions).sum::<u64>(), 6);
    assert_eq!(done.days.iter().map(|day| day.dropped.files).sum::<u64>(), old.len() as u64);
    assert_eq!(lake.days().await, LEFT);
    assert!(lake.old_files().len() > old.len(), "files stay, and closers are among them");
    lake.must_be_whole().await;

    // In the grace time, after it, and when there is nothing left to do.
    let chains: BTreeSet<&str> = old.iter().map(|file| &file[..file.len() - 28]).collect();
    for (days, left) in [(6, old.len() + chains.len()), (8, chains.len()), (9, chains.len())] {
        let again = lake.expire(days).await;
        assert!(again.days.iter().all(|day| day.dropped.partitions == 0), "{again:?}");
        assert_eq!(lake.old_files().len(), left, "after {days} days");
        assert_eq!((lake.days().await, lake.registered().await.len()), (LEFT.map(str::to_owned).to_vec(), 6));
        lake.must_be_whole().await;
        assert_eq!(verify::repair(&lake.check("market.ticks", "test")).await.unwrap().registered, []);
        // The catalog is lost, and all records are read once more, by a group that knows nothing.
        for table in ["market.ticks", "market.ticks_rejected"] {
            assert!(lake.catalog.drop_table(&table.parse().unwrap()).await.unwrap());
        }
        let read = run(lake.job(&format!("again-{days}"))).await;
        assert_eq!((read.rows, read.already_there), (121, ALL));
        assert_eq!((lake.days().await, lake.registered().await.len()), (LEFT.map(str::to_owned).to_vec(), 6));
        lake.must_be_whole().await;
    }
    assert!(lake.expire(10).await.days.is_empty());
}

/// A row of an old day that comes later is a row of the table; and the next run takes it out again.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_is_a_row() {
    let lake = Lake::filled().await;
    lake.expire(0).await;
    lake.expire(8).await;
    // Of a symbol that was there, and of a new one.
    lake.send([tick(0, 0, 1000), tick(0, 0, 1002).replace("\"A\"", "\"NEW\"")]).await;
    assert_eq!(run(lake.job("test")).await.rows, 2);
    assert_eq!(lake.days().await, [&["2026-11-22,2,2"], &LEFT[..]].concat());
    lake.must_be_whole().await;
    lake.send([later(1008)]).await;
    run(lake.job("test")).await;
    let left = ["2026-11-24,36,36", "2026-11-25,26,26"];
    let done = lake.expire(9).await;
    assert_eq!(
        done.days.iter().map(|day| (day.dropped.partitions, day.dropped.files)).collect::<Vec<_>>(),
        [(2, 2)]
    );
    assert_eq!(run(lake.job("again")).await.already_there, ALL + 3);
    assert_eq!(lake.days().await, left);
    lake.must_be_whole().await;
}

/// A job that has just written to a partition knows where its chain ends and that it is registered. Both are wrong a moment
/// later.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_meets_the_closer() {
    let lake = Lake::filled().await;
    let (stop, stopped) = watch::channel(false);
    let (progress, mut seen) = watch::channel(Progress::default());
    let mut job = Job { until_end: false, ..lake.job("test") };
    job.limits.flush_age = Duration::from_millis(100);
    job.limits.commit_interval = Duration::from_millis(100);
    let running = tokio::spawn(ingest::run(job, stopped, progress));
    let mut wait_for = async |offsets: u64| {
        let are_there = |p: &Progress| p.offsets_committed == offsets;
        timeout(Duration::from_secs(60), seen.wait_for(are_there)).await.unwrap().unwrap();
    };
    lake.send((0..36).map(|i| tick(0, i, 6000 + i * 6))).await;
    wait_for(36).await;
    lake.send([later(6600)]).await;
    wait_for(37).await;
    let left = ["2026-11-24,36,36", "2026-11-25,26,26"];
    let done = lake.expire(0).await;
    assert_eq!((done.busy, done.days[0].dropped.partitions), (Vec::new(), 3));
    assert_eq!(lake.days().await, left);
    lake.send((0..36).map(|i| tick(0, i, 7002 + i * 6))).await;
    wait_for(73).await;
    lake.send([later(8000)]).await;
    wait_for(74).await;
    // Files of before stay for the grace time, and are seen again with the partition.
    assert_eq!(lake.sql("SELECT count(*) FROM market.ticks WHERE seq BETWEEN 7000 AND 7999").await, ["36"]);
    lake.must_be_whole().await;
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    assert_eq!(lake.expire(0).await.days[0].dropped.partitions, 3);
    assert_eq!(lake.expire(8).await.days.len(), 2);
    assert_eq!(run(lake.job("again")).await.already_there, ALL + 74);
    assert_eq!(lake.days().await, ["2026-11-24,36,36", "2026-11-25,27,27"]);
    lake.must_be_whole().await;
}

/// What is not below the committed offsets may still be on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_may_still_grow_is_left() {
    let lake = Lake::filled().await;
    lake.send([tick(1, 0, 1000), tick(1, 12, 1002)]).await;
    run(lake.job("another")).await;
    let done = lake.expire(0).await;
    // Two of the six have rows that the group has not read.
    assert_eq!(done.busy, ["date=2026-11-23/symbol=A", "date=2026-11-23/symbol=B%2FC"]);
    assert_eq!(done.days.iter().map(|day| day.dropped.partitions).sum::<u64>(), 4);
    let e = lake.expire_of("market.ticks", "nobody", 0, true).await.unwrap_err().to_string();
    assert!(e.contains("no offset of this table") && e.contains("nobody"), "{e}");
    lake.send([later(1008)]).await;
    run(lake.job("test")).await;
    assert_eq!(lake.expire(0).await.busy, [""; 0]);
    assert_eq!(lake.days().await.len(), 2);
}

/// It is killed at each put in turn, before the store has the object or after it, and some files are gone when it is killed at
/// their removal. Whatever is left then is sound, and the next run ends it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_killed_is_run_again() {
    let lake = Arc::new(Lake::filled().await);
    let old = lake.old_files();
    for at in 1.. {
        lake.store.tap.stall_at(at, at % 2 == 0);
        let running = {
            let lake = lake.clone();
            tokio::spawn(async move { lake.expire(0).await })
        };
        tokio::pin!(running);
        tokio::select! {
            () = lake.store.tap.stalled.notified() => running.abort(),
            done = &mut running => {
                // Of eight; what is put beside the one that stalls may land in the same run.
                assert!(at > 2, "there were {at} puts");
                assert_eq!(done.unwrap().busy, [""; 0]);
                break;
            }
        }
        let _ = running.await; // it was aborted
        lake.store.tap.stall_at(usize::MAX, false);
        lake.must_be_whole().await;
    }
    lake.store.tap.stall_at(usize::MAX, false);
    for (nth, files) in old.chunks(old.len().div_ceil(3)).enumerate() {
        for file in files.iter().skip(nth) {
            fs::remove_file(lake.folder().join(file)).unwrap();
        }
        lake.must_be_whole().await;
        assert_eq!(run(lake.job(&format!("again-{nth}"))).await.already_there, ALL);
        assert_eq!(lake.days().await, LEFT);
    }
    lake.expire(8).await;
    assert!(lake.old_files().iter().all(|file| !old.contains(file)));
    lake.must_be_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_with_a_problem_is_left() {
    let lake = Lake::filled().await;
    let broken = &lake.old_files()[0];
    fs::write(lake.folder().join(broken), "no Parquet").unwrap();
    let done = lake.expire(0).await;
    let [problem] = &done.problems[..] else { panic!("{:?}", done.problems) };
    assert_eq!((problem.kind, problem.file.as_deref()), (Kind::BrokenFile, Some(&**broken)));
    assert_eq!(lake.registered().await.len(), 7);
}

/// The table of rejected records expires by its own name, and a replay takes nothing of what has left it.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_records_expire_by_their_own_name() {
    let lake = Lake::filled().await;
    let rejected = "market.ticks_rejected";
    let count = async || lake.sql("SELECT count(*) FROM market.ticks_rejected").await;
    assert_eq!(count().await, ["24"]);
    let today = now().date_naive();
    let expire = async |before: NaiveDate| {
        let expiry = Expiry {
            before,
            grace: GRACE,
            now: now() + TimeDelta::days(3),
            applies: true,
            committed: Committed::Of(lake.records("test")),
        };
        verify::expire(&lake.check(rejected, "test"), &expiry).await.unwrap()
    };
    assert_eq!(expire(today).await.days, []);
    // They are partitioned by the day on which they were sent.
    let done = expire(today + TimeDelta::days(1)).await;
    assert_eq!(done.days.iter().map(|day| day.dropped.partitions).sum::<u64>(), 1);
    assert_eq!(count().await, ["0"]);
    assert_eq!(lake.days().await.len(), 4, "the table itself is as it was");
    // Whose offsets count is told by what the table has, not by its name alone.
    let ingested = async |name: &str| verify::ingested(&lake.check(name, "test")).await.unwrap().to_string();
    assert_eq!(ingested(rejected).await, "market.ticks");
    let own = Ddl::parse(&TICKS.replace("`ticks`", "`orders_rejected`")).unwrap();
    lake.catalog.create_table(&own).await.unwrap();
    assert_eq!(ingested("market.orders_rejected").await, "market.orders_rejected");
    let text = TICKS.replace("'ticklake.sort'", "'ticklake.format.price' = 'rounded', 'ticklake.sort'");
    let job = Job { ddl: Ddl::parse(&text).unwrap(), topics: Vec::new(), ..lake.job("test") };
    let (_stop, stop) = watch::channel(false);
    let (progress, _) = watch::channel(Progress::default());
    let replayed = ingest::replay::replay(job, stop, progress).await.unwrap();
    assert_eq!((replayed.replay, replayed.nothing), (None, Some("no rejected record is open")));
    assert_eq!(run(lake.job("again")).await.already_there, ALL);
    assert_eq!(count().await, ["0"]);
    lake.must_be_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_to_come_is_refused() {
    let lake = Lake::new();
    let expiry = Expiry {
        before: now().date_naive() + TimeDelta::days(2),
        grace: GRACE,
        now: now(),
        applies: true,
        committed: Committed::Known(BTreeMap::new()),
    };
    let e = verify::expire(&lake.check("market.ticks", "test"), &expiry).await.unwrap_err().to_string();
    assert!(e.contains("still to come"), "{e}");
}
