//! Rejected records, decoded anew after the DDL was fixed: each becomes a row once, whatever happens meanwhile.

use std::ops::Deref;

use ticklake::ingest::replay::{Replayed, replay};
use ticklake::ingest::{Job, Progress};
use ticklake::table::{Ddl, TableName};
use ticklake::verify::{self, Check, PATIENCE};
use tokio::sync::watch;

use crate::jobs::{NOON, TICKS, Ticks, run};

/// Prices of five digits are rejected by the table as it is first; a price that is a word by the second DDL too.
const EXACT: &str = "'ticklake.records' = '/data', 'ticklake.sort'";
const ROUNDED: &str = "'ticklake.records' = '/data', 'ticklake.format.price' = 'rounded', 'ticklake.sort'";
const OTHER: &str = "'ticklake.records' = '/data', 'ticklake.source.price' = '/alt', 'ticklake.sort'";

fn ddl(properties: &str) -> Ddl {
    Ddl::parse(&TICKS.replace("'ticklake.sort'", properties)).unwrap()
}

struct Lake(Ticks);

impl Deref for Lake {
    type Target = Ticks;

    fn deref(&self) -> &Ticks {
        &self.0
    }
}

impl Lake {
    fn new() -> Self {
        Self(Ticks::new(3))
    }

    fn job(&self, properties: &str) -> Job {
        Job { ddl: ddl(properties), ..self.0.job() }
    }

    /// Messages of three ticks each, numbered from `first` on: of ten messages five have a tick of too many digits, one has
    /// two that are none, and one is broken.
    async fn send(&self, first: i64, count: i64) {
        let messages = (first..first + count).map(|i| {
            let price = |at: i64| match (i % 10, at) {
                (0..5, 1) => format!("{i}.00007"),
                (5, 0 | 2) => "\"none\"".to_owned(),
                _ => format!("{i}.5"),
            };
            let tick = |at: i64| {
                let (seq, ts) = (i * 3 + at, NOON + i * 3_600_000);
                let symbol = ["A", "B", "C"][(seq % 3) as usize];
                format!(r#"{{"symbol":"{symbol}","ts":{ts},"price":{},"alt":7,"seq":{seq}}}"#, price(at))
            };
            match i % 10 {
                6 => format!("{{\"data\":[{}", tick(0)),
                _ => format!("{{\"data\":[{},{},{}]}}", tick(0), tick(1), tick(2)),
            }
        });
        self.0.send(messages).await;
    }

    async fn replay(&self, properties: &str) -> Replayed {
        replay_of(Job { topics: Vec::new(), ..self.job(properties) }).await.unwrap()
    }

    /// How many rows there are, how many different ones, and how many rejected records are open.
    async fn counts(&self) -> (String, String) {
        let rows = self.sql("SELECT count(*), count(DISTINCT seq) FROM market.ticks").await;
        let open = self.sql("SELECT count(*) FROM market.ticks_rejected_open").await;
        (rows[0].clone(), open[0].clone())
    }

    async fn problems(&self) -> Vec<verify::Problem> {
        let check = Check {
            table: "market.ticks".parse::<TableName>().unwrap(),
            catalog: self.catalog.clone(),
            stores: self.stores(),
            dates: None,
            records: None,
            patience: PATIENCE,
        };
        verify::verify(&check).await.unwrap().problems
    }
}

async fn replay_of(job: Job) -> std::result::Result<Replayed, ticklake::Error> {
    let (_stop, stop) = watch::channel(false);
    let (progress, _) = watch::channel(Progress::default());
    replay(job, stop, progress).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fixed_ddl_takes_becomes_rows_and_the_rest_stays_open() {
    let lake = Lake::new();
    lake.send(0, 100).await;
    let done = run(lake.job(EXACT)).await;
    assert_eq!((done.rows, done.rejected), (90 * 3 - 50 - 20, 50 + 20 + 10));

    let same = lake.replay(EXACT).await;
    assert!(same.replay.is_none() && same.nothing.unwrap().contains("this very DDL"), "{same:?}");

    let first = lake.replay(ROUNDED).await;
    assert_eq!((first.replay, first.records, first.rows, first.rejected), (Some(1), 70, 50, 30));
    assert_eq!(lake.counts().await, ("250,250".into(), "30".into()));
    let rounded = "SELECT count(*) FROM market.ticks WHERE price = 13.0001";
    assert_eq!(lake.sql(rounded).await, ["1"], "13.00007 as the column has it");
    let open = "SELECT reason, attempt, count(*) FROM market.ticks_rejected_open GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(lake.sql(open).await, ["malformed,1,10", "not_a_number,1,20"]);
    assert!(lake.replay(ROUNDED).await.replay.is_none());

    // What comes later is open too, and the next replay takes both.
    lake.send(100, 100).await;
    let done = run(lake.job(EXACT)).await;
    assert_eq!(done.rejected, 80);
    assert_eq!(lake.counts().await, ("450,450".into(), (30 + 80).to_string()));
    let second = lake.replay(OTHER).await;
    assert_eq!((second.replay, second.rows, second.rejected), (Some(2), 20 + 70, 20));
    assert_eq!(lake.counts().await, ("540,540".into(), "20".into()));
    let all = "SELECT attempt, count(*) FROM market.ticks_rejected GROUP BY 1 ORDER BY 1";
    assert_eq!(lake.sql(all).await, ["0,160", "1,30", "2,20"], "nothing is taken away");
    assert_eq!(lake.problems().await, []);
}

/// A message that is one record under `records`, with headers, comes back as the message that it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_one_record_is_kept_whole() {
    let lake = Lake::new();
    let message = format!(r#"{{"data":{{"symbol":"A","ts":{NOON},"price":1.23456,"seq":1}}}}"#);
    lake.0.send([message.clone()]).await;
    assert_eq!(run(lake.job(EXACT)).await.rejected, 1);
    let kept = "SELECT CAST(value AS string) FROM market.ticks_rejected";
    assert_eq!(lake.sql(kept).await, [format!("\"{}\"", message.replace('"', "\"\""))]);
    assert_eq!(lake.replay(ROUNDED).await.rows, 1);
    assert_eq!(lake.sql("SELECT price, seq FROM market.ticks").await, ["1.2346,1"]);
}

/// Nobody knows which rejected records are still to come where no offset says it.
#[tokio::test(flavor = "multi_thread")]
async fn without_committed_offsets_nothing_is_replayed() {
    let lake = Lake::new();
    lake.send(0, 10).await;
    run(lake.job(EXACT)).await;
    let job = Job { topics: Vec::new(), group: "another".into(), ..lake.job(ROUNDED) };
    let e = replay_of(job).await.unwrap_err().to_string();
    assert!(e.contains("no offset of this table") && e.contains("another"), "{e}");
}

/// It is killed at each put in turn, before the store has the object or after it. What is run again goes on by the plan of
/// before, also under another DDL, and each record is a row once.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_at_any_put_goes_on() {
    let lake = Lake::new();
    lake.send(0, 60).await;
    run(lake.job(EXACT)).await;
    for at in 1.. {
        let (before, mut job) = (at % 2 == 0, Job { topics: Vec::new(), ..lake.job(ROUNDED) });
        job.limits.writes = 1; // puts come one after another
        lake.store.tap.stall_at(at, before);
        let running = tokio::spawn(replay_of(job));
        tokio::pin!(running);
        tokio::select! {
            () = lake.store.tap.stalled.notified() => running.abort(),
            done = &mut running => {
                assert!(at > 5, "there were {at} puts");
                done.unwrap().unwrap();
                break;
            }
        }
        let _ = running.await; // it was aborted
    }
    lake.store.tap.stall_at(usize::MAX, false);
    // Whoever comes with another DDL finishes the first replay, and then makes one of its own.
    let next = lake.replay(OTHER).await;
    assert_eq!((next.replay, next.rows), (Some(2), 12));
    assert_eq!(lake.counts().await, ((120 + 30 + 12).to_string() + ",162", "6".into()));
    assert_eq!(lake.problems().await, []);
}
