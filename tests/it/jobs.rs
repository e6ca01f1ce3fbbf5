//! What tests of the main job share: the table, a job on the in-process cluster, records into it, files out of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog};
use ticklake::ingest::{self, From, Job, Limits, Lost, Progress};
use ticklake::kafka::{Cluster, Connection, Producer};
use ticklake::query::{self, Engine, Format, LocalEngine};
use ticklake::store::{Durability, Stores};
use ticklake::table::Ddl;
use tokio::sync::watch;

use crate::tapped::{Stalling, Tapped};

/// The example of the design: epoch milliseconds, exact money, `date=/symbol=`.
pub const TICKS: &str = "
    CREATE EXTERNAL TABLE `market`.`ticks` (
      `ts` timestamp, `price` decimal(18,4), `size` bigint, `exchange` string, `seq` bigint
    )
    PARTITIONED BY (`date` string, `symbol` string)
    STORED AS PARQUET
    TBLPROPERTIES (
      'ticklake.partition.date' = 'day(ts)',
      'ticklake.partition.symbol' = 'identity(/symbol)',
      'ticklake.format.ts' = 'epoch_ms',
      'ticklake.sort' = 'ts'
    )";
/// 2026-11-22T14:30:00Z
pub const NOON: i64 = 1_795_357_800_000;

/// A cluster's connection for jobs that follow each other in a group.
pub fn connection(cluster: &Cluster) -> Connection {
    let mut connection = cluster.connection();
    // The in-process cluster forgets a member that has left only when its session is over.
    connection.properties.insert("session.timeout.ms".into(), "6000".into());
    connection
}

/// A batch of one topic into a folder.
pub fn job(connection: Connection, topic: &str, ddl: &str, folder: &Path, catalog: Arc<dyn Catalog>) -> Job {
    Job {
        connection,
        topics: vec![topic.to_owned()],
        group: "test".into(),
        ddl: Ddl::parse(ddl).unwrap(),
        location: Some(folder.to_str().unwrap().into()),
        stores: Stores::new(Durability::NoFsync),
        catalog,
        from: From::Beginning,
        lost: Lost::Stop,
        until_end: true,
        source_epoch: 0,
        take_over: false,
        limits: Limits::default(),
    }
}

/// `market.ticks` out of the topic `ticks`, on a disk that can stall.
pub struct Ticks {
    pub cluster: Cluster,
    pub catalog: Arc<dyn Catalog>,
    pub store: Arc<Tapped<Stalling>>,
    dir: TempDir,
}

impl Ticks {
    pub fn new(partitions: i32) -> Self {
        let dir = TempDir::new().unwrap();
        let catalog = LocalCatalog::open(dir.path().join("catalog.db")).unwrap();
        let cluster = Cluster::start(&[("ticks", partitions)]).unwrap();
        let store = Arc::new(Tapped::new(Stalling::default()));
        Self { cluster, catalog: Arc::new(catalog), store, dir }
    }

    pub fn stores(&self) -> Stores {
        Stores::new(Durability::NoFsync).with_store("stalling", self.store.clone())
    }

    /// Where the table's files are.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("lake/ticks")
    }

    pub fn job(&self) -> Job {
        let folder = self.folder();
        let job = job(connection(&self.cluster), "ticks", TICKS, &folder, self.catalog.clone());
        Job { location: Some(format!("stalling://{}", folder.display())), stores: self.stores(), ..job }
    }

    pub async fn send(&self, values: impl IntoIterator<Item = String>) {
        send(&self.cluster, "ticks", values).await;
    }

    pub async fn sql(&self, text: &str) -> Vec<String> {
        sql(self.catalog.clone(), self.stores(), text).await
    }
}

/// How a job ends that nobody stops.
pub async fn end_of(job: Job) -> Result<Progress, ticklake::Error> {
    let (_stop, stop) = watch::channel(false);
    let (progress, _) = watch::channel(Progress::default());
    ingest::run(job, stop, progress).await
}

pub async fn run(job: Job) -> Progress {
    end_of(job).await.unwrap()
}

pub async fn send(cluster: &Cluster, topic: &str, values: impl IntoIterator<Item = String>) {
    let producer = Producer::new(&connection(cluster), topic).unwrap();
    for value in values {
        producer.send(None, value.as_bytes()).await.unwrap();
    }
    producer.flush(Duration::from_secs(30)).await.unwrap();
}

/// What the local engine answers: a line of CSV for each row.
pub async fn sql(catalog: Arc<dyn Catalog>, stores: Stores, sql: &str) -> Vec<String> {
    let engine = LocalEngine::new(catalog, stores, &query::Limits::default()).unwrap();
    let mut out = Vec::new();
    query::print(engine.query(sql).await.unwrap(), Format::Csv, &mut out).await.unwrap();
    String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect()
}

/// All files below a folder, by their paths in it, in order; none where it is not there.
pub fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// The Parquet files among them.
pub fn files(folder: &Path) -> Vec<String> {
    walk(folder).into_iter().filter(|file| file.ends_with(".parquet")).collect()
}
