//! One table whose DDL changes under its jobs, with the files of all its generations: written by jobs, changed by the
//! program, read by DataFusion.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog};
use ticklake::error::chain;
use ticklake::ingest::{Job, Progress};
use ticklake::kafka::Cluster;
use ticklake::store::{Durability, Stores};
use ticklake::table::Ddl;
use ticklake::verify::{self, Check};

use crate::jobs::{self, NOON, connection, end_of, run};

const FIRST: &str = "CREATE EXTERNAL TABLE market.ticks (
  ts timestamp, seq int, size int, ratio float, tiny tinyint, note string)
PARTITIONED BY (`date` string, symbol string)
STORED AS PARQUET
TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)', 'ticklake.partition.symbol' = 'identity(/symbol)',
  'ticklake.format.ts' = 'epoch_ms', 'ticklake.sort' = 'seq')";

struct Lake {
    cluster: Cluster,
    dir: TempDir,
    catalog: Arc<dyn Catalog>,
}

impl Lake {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let catalog = Arc::new(LocalCatalog::open(dir.path().join("catalog.db")).unwrap());
        Self { cluster: Cluster::start(&[("ticks", 1)]).unwrap(), catalog, dir }
    }

    fn job(&self, ddl: &str) -> Job {
        let folder = self.dir.path().join("lake/ticks");
        jobs::job(connection(&self.cluster), "ticks", ddl, &folder, self.catalog.clone())
    }

    /// Sends records, which a job under a DDL then reads to their end.
    async fn ingest(&self, ddl: &str, records: &[&str]) -> Progress {
        let records = records.iter().map(|fields| format!(r#"{{"symbol":"AAPL","ts":{NOON},{fields}}}"#));
        jobs::send(&self.cluster, "ticks", records).await;
        run(self.job(ddl)).await
    }

    async fn refusal(&self, job: Job) -> String {
        chain(&end_of(job).await.unwrap_err())
    }

    /// `ticklake table alter`: what it prints.
    fn alter(&self, ddl: &str) -> String {
        fs::write(self.dir.path().join("new.sql"), ddl).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ticklake"));
        command.env_clear().args(["--catalog", "sqlite:catalog.db", "table", "alter", "new.sql"]);
        let output = command.current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn sql(&self, sql: &str) -> Vec<String> {
        jobs::sql(self.catalog.clone(), Stores::new(Durability::NoFsync), sql).await
    }

    /// The problems that `verify` finds.
    async fn problems(&self) -> usize {
        let check = Check {
            table: Ddl::parse(FIRST).unwrap().name,
            catalog: self.catalog.clone(),
            stores: Stores::new(Durability::NoFsync),
            dates: None,
            records: None,
            patience: verify::PATIENCE,
        };
        verify::verify(&check).await.unwrap().problems.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_three_generations_are_one_table() {
    let lake = Lake::new();
    let second = FIRST.replace(
        "size int, ratio float, tiny tinyint, note string",
        "venue string, size bigint, ratio double, tiny int, note string",
    );
    let third = second.replace(", note string", "");

    let before = [
        r#""seq":1,"size":7,"ratio":1.5,"tiny":-128,"note":"one""#,
        r#""seq":2,"size":1099511627776"#, // too large as yet
    ];
    let done = lake.ingest(FIRST, &before).await;
    assert_eq!((done.rows, done.rejected), (1, 1));

    assert!(lake.alter(&second).contains("\n~ `size` int → bigint\n"));
    let error = lake.refusal(Job { until_end: false, ..lake.job(FIRST) }).await;
    assert!(error.contains("other columns") && error.contains("ticklake table alter"), "{error}");
    let wider =
        r#""seq":3,"size":1099511627776,"ratio":123456789.125,"tiny":70000,"note":"three","venue":"XNAS""#;
    assert_eq!(lake.ingest(&second, &[wider]).await.rows, 1);

    lake.alter(&third);
    let shorter = r#""seq":4,"size":8,"ratio":0.5,"tiny":1,"note":{"not":"a string"},"venue":"ARCX""#;
    assert_eq!(lake.ingest(&third, &[shorter]).await.rows, 1);

    let all = ["1,,7,1.5,-128", "3,XNAS,1099511627776,123456789.125,70000", "4,ARCX,8,0.5,1"];
    assert_eq!(lake.sql("SELECT seq, venue, size, ratio, tiny FROM market.ticks ORDER BY seq").await, all);
    // By what is in the footers of each generation, files are left out.
    for (condition, seqs) in [
        ("size > 2147483647", "3"),
        ("size = 7", "1"),
        ("ratio < 1", "4"),
        ("ratio >= 1.5", "1 3"),
        ("tiny < 0 OR tiny > 127", "1 3"),
        ("venue IS NULL", "1"),
        ("venue <> 'XNAS'", "4"),
    ] {
        let sql = format!("SELECT seq FROM market.ticks WHERE {condition} ORDER BY seq");
        assert_eq!(lake.sql(&sql).await.join(" "), seqs, "{condition}");
    }
    assert_eq!(lake.sql("SELECT reason, \"column\" FROM market.ticks_rejected").await, ["out_of_range,size"]);
    assert_eq!(lake.problems().await, 0);
    // Without its offsets nobody knows how much was written under which.
    let error = lake.refusal(Job { group: "another".into(), ..lake.job(&third) }).await;
    assert!(error.contains("another DDL") && error.contains("--from"), "{error}");
}

/// Links of one spec then stand on both sides of another's, under which their records may have another fate.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_comes_back_lets_no_record_be_read_again_under_it() {
    let lake = Lake::new();
    let without = FIRST.replace(", note string", "");
    lake.ingest(FIRST, &[r#""seq":1,"note":"a""#]).await;
    lake.ingest(FIRST, &[r#""seq":2,"note":"b""#]).await;
    lake.alter(&without);
    assert_eq!(lake.ingest(&without, &[r#""seq":3,"note":0"#]).await.rows, 1);
    assert!(lake.alter(FIRST).contains("+ `note` string (older files have values of it)"));

    let error = lake.refusal(Job { group: "another".into(), ..lake.job(FIRST) }).await;
    assert!(error.contains("another DDL") && error.contains("--from"), "{error}");
    assert_eq!(lake.ingest(FIRST, &[r#""seq":4,"note":"d""#]).await.rows, 1);
    assert_eq!(
        lake.sql("SELECT seq, note FROM market.ticks ORDER BY seq").await,
        ["1,a", "2,b", "3,", "4,d"]
    );
    assert_eq!(lake.sql("SELECT count(*) FROM market.ticks_rejected").await, ["0"]);
}
