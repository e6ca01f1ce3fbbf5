//! The sound table, and copies of it to damage.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog, Partition};
use ticklake::ingest::{self, Job, Progress};
use ticklake::kafka::Cluster;
use ticklake::store::{Durability, Stores};
use ticklake::table::{Ddl, TableName};
use ticklake::verify::{self, Check, Records, Report};
use tokio::sync::{OnceCell, watch};

use crate::jobs::{self, NOON, TICKS, connection, files, run, send, walk};

/// The group whose last run committed all.
pub const GROUP: &str = "last";
/// A partition of three links of the source `ticks-0`, of five rows each.
pub const AAPL: &str = "ticks/date=2026-11-22/symbol=AAPL";

/// The table that nothing is wrong with.
pub struct Sound {
    pub cluster: Cluster,
    dir: TempDir,
    /// All rows, those of the rejected table included.
    pub rows: u64,
    /// Links of the table itself.
    pub links: u64,
    pub rejected_partition: String,
}

static SOUND: OnceCell<Sound> = OnceCell::const_new();

/// Made once, by three runs a topic. All but the last ones are of groups of their own, which read all and write what is
/// new: members of one group would wait for each other's sessions to end.
pub async fn sound() -> &'static Sound {
    SOUND.get_or_init(make).await
}

async fn make() -> Sound {
    let cluster = Cluster::start(&[("ticks", 1), ("more-2", 2)]).unwrap();
    let dir = TempDir::new().unwrap();
    let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(dir.path().join("catalog.db")).unwrap());
    let mut rows = 0;
    for round in 0..3 {
        for topic in ["ticks", "more-2"] {
            let values = values(round);
            rows += values.len() as u64;
            send(&cluster, topic, values).await;
            let group = if round == 2 { GROUP.to_owned() } else { format!("{topic}-{round}") };
            run(job(&cluster, dir.path(), catalog.clone(), topic, &group)).await;
        }
    }
    let files = files(dir.path());
    let rejected = files.iter().find_map(|file| file.strip_prefix("ticks_rejected/")).unwrap();
    Sound {
        rows,
        links: files.iter().filter(|file| file.starts_with("ticks/")).count() as u64,
        rejected_partition: rejected.rsplit_once('/').unwrap().0.to_owned(),
        cluster,
        dir,
    }
}

/// What one round sends to a topic: all of it is a row, of one table or of the other.
fn values(round: i64) -> Vec<String> {
    let odd = ["BRK/B", "^GSPC", "a%2Fb", "Ünï cödé", "=:'\"", "x-0-00000000000000000000"];
    let plain = ["AAPL"; 5];
    let mut values: Vec<String> = plain
        .iter()
        .chain(&odd)
        .enumerate()
        .map(|(i, symbol)| tick(symbol, round * 100 + i as i64))
        .collect();
    values.push(format!(r#"{{"ts":{NOON},"price":1,"seq":{round}}}"#)); // no symbol
    values.push(format!(r#"{{"symbol":"MSFT","price":1,"seq":{round}}}"#)); // no date
    values.push("{".into());
    values.push(tick("AAPL", round).replace("1.5", "1.00001"));
    values
}

pub fn tick(symbol: &str, seq: i64) -> String {
    let tick = serde_json::json!({"symbol": symbol, "ts": NOON + seq, "price": 1.5, "size": 100, "seq": seq});
    tick.to_string()
}

pub fn job(cluster: &Cluster, dir: &Path, catalog: Arc<dyn Catalog>, topic: &str, group: &str) -> Job {
    let job = jobs::job(connection(cluster), topic, TICKS, &dir.join("ticks"), catalog);
    Job { group: group.into(), ..job }
}

/// A copy of the sound table, with a catalog of its own.
pub struct Copy {
    dir: TempDir,
    pub catalog: Arc<dyn Catalog>,
}

impl Copy {
    pub async fn new() -> Self {
        let from = sound().await.dir.path();
        let dir = TempDir::new().unwrap();
        for name in walk(from) {
            let to = dir.path().join(&name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            if !name.starts_with("catalog.db") {
                fs::copy(from.join(&name), to).unwrap();
            }
        }
        let catalog = Arc::new(LocalCatalog::open(dir.path().join("catalog.db")).unwrap());
        Self { dir, catalog }.registering(|_, partition| Some(partition)).await
    }

    /// Fills the catalog anew, with what is made of each partition of the sound one.
    pub async fn registering(self, each: impl Fn(&str, Partition) -> Option<Partition>) -> Self {
        let from = sound().await.dir.path();
        let theirs = LocalCatalog::open(from.join("catalog.db")).unwrap();
        for name in theirs.tables(None).await.unwrap() {
            let ddl = theirs.table(&name).await.unwrap().unwrap();
            let here =
                |location: &str| location.replace(from.to_str().unwrap(), self.path().to_str().unwrap());
            let location = ddl.location.as_deref().map(here);
            self.catalog.drop_table(&name).await.unwrap();
            self.catalog.create_table(&Ddl { location, ..ddl }).await.unwrap();
            let partitions = theirs.partitions(&name, &[]).await.unwrap().into_iter();
            let moved =
                partitions.map(|partition| Partition { location: here(&partition.location), ..partition });
            let partitions: Vec<_> =
                moved.filter_map(|partition| each(&name.to_string(), partition)).collect();
            self.register(&name.to_string(), &partitions).await;
        }
        self
    }

    /// With another DDL of the table in the catalog.
    pub async fn with_ddl(self, ddl: &str) -> Self {
        let ddl = Ddl { location: Some(self.location("ticks")), ..Ddl::parse(ddl).unwrap() };
        let partitions = self.catalog.partitions(&ddl.name, &[]).await.unwrap();
        self.catalog.drop_table(&ddl.name).await.unwrap();
        self.catalog.create_table(&ddl).await.unwrap();
        self.register(&ddl.name.to_string(), &partitions).await;
        self
    }

    /// With its files in a store of the caller's, by a scheme of its own.
    pub async fn in_store(self, scheme: &str) -> Self {
        for table in self.catalog.tables(None).await.unwrap() {
            let there = |location: String| location.replace("file://", &format!("{scheme}://"));
            let ddl = self.catalog.table(&table).await.unwrap().unwrap();
            let partitions = self.catalog.partitions(&table, &[]).await.unwrap().into_iter();
            self.catalog.drop_table(&table).await.unwrap();
            self.catalog
                .create_table(&Ddl { location: ddl.location.clone().map(there), ..ddl })
                .await
                .unwrap();
            let moved = partitions.map(|p| Partition { location: there(p.location), ..p });
            self.register(&table.to_string(), &moved.collect::<Vec<_>>()).await;
        }
        self
    }

    pub async fn register(&self, table: &str, partitions: &[Partition]) {
        self.catalog.create_partitions(&name(table), partitions).await.unwrap();
    }

    pub async fn drop_table(&self, table: &str) {
        assert!(self.catalog.drop_table(&name(table)).await.unwrap());
    }

    /// All partitions of both tables, as the catalog has them.
    pub async fn registered(&self) -> Vec<(TableName, Partition)> {
        let mut all = Vec::new();
        for table in self.catalog.tables(None).await.unwrap() {
            let partitions = self.catalog.partitions(&table, &[]).await.unwrap();
            all.extend(partitions.into_iter().map(|partition| (table.clone(), partition)));
        }
        all
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub fn location(&self, table: &str) -> String {
        format!("file://{}/", self.at(table).display())
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), bytes).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.at(path)).unwrap();
    }

    /// The data files of both tables.
    pub fn files(&self) -> Vec<String> {
        files(self.path())
    }

    /// The path of a link of `ticks-0`.
    pub fn link(&self, partition: &str, start: i64) -> String {
        format!("{partition}/k-ticks-0-{start:020}.parquet")
    }

    /// Start and end of the links of `ticks-0` in a partition.
    pub fn links(&self, partition: &str) -> Vec<(i64, i64)> {
        let ours = format!("{partition}/k-ticks-0-");
        let files = self.files();
        let links = files.iter().filter(|file| file.starts_with(&ours));
        let number = |file: &String, key: &str| self.footer(file)[key].parse().unwrap();
        links.map(|file| (number(file, "ticklake.start"), number(file, "ticklake.end"))).collect()
    }

    fn footer(&self, path: &str) -> HashMap<String, String> {
        let file = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(self.at(path)).unwrap()).unwrap();
        let key_values = file.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        key_values.into_iter().map(|kv| (kv.key, kv.value.unwrap())).collect()
    }

    /// Writes a file's rows to another place, or to its own, with another footer.
    pub fn rewrite(&self, from: &str, to: &str, change: impl FnOnce(&mut HashMap<String, String>)) {
        self.rewrite_rows(from, to, usize::MAX, change);
    }

    /// As `rewrite`, with at most so many rows. Unless the change gives another sum, the footer has the right one.
    pub fn rewrite_rows(
        &self,
        from: &str,
        to: &str,
        rows: usize,
        change: impl FnOnce(&mut HashMap<String, String>),
    ) {
        let mut footer = self.footer(from);
        let sum = footer["ticklake.check"].clone();
        change(&mut footer);
        if footer.get("ticklake.check") == Some(&sum) {
            footer.insert("ticklake.check".into(), sum_of(&footer));
        }
        let read = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(self.at(from)).unwrap()).unwrap();
        let batches: Vec<_> = read.with_limit(rows).build().unwrap().map(|batch| batch.unwrap()).collect();
        let footer = footer.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        let properties = WriterProperties::builder().set_key_value_metadata(Some(footer)).build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batches[0].schema(), options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        self.write(to, &writer.into_inner().unwrap());
    }

    pub fn check(&self) -> Check {
        check(self.catalog.clone(), None)
    }

    pub async fn verify(&self) -> Report {
        verify::verify(&self.check()).await.unwrap()
    }

    pub async fn verify_dates(&self, dates: &str) -> Report {
        let check = Check { dates: Some(dates.parse().unwrap()), ..self.check() };
        verify::verify(&check).await.unwrap()
    }

    pub async fn verify_records(&self) -> Report {
        verify::verify(&self.check_records().await).await.unwrap()
    }

    /// The same with the copy's files in a store of the caller's.
    pub async fn verify_records_in(&self, scheme: &str, store: Arc<dyn ObjectStore>) -> Report {
        verify::verify(&Check { stores: stores(scheme, store), ..self.check_records().await }).await.unwrap()
    }

    pub async fn check_records(&self) -> Check {
        let records = Records { connection: sound().await.cluster.connection(), group: GROUP.into() };
        Check { records: Some(records), ..self.check() }
    }
}

/// A check of the table, without patience.
pub fn check(catalog: Arc<dyn Catalog>, records: Option<Records>) -> Check {
    Check {
        table: name("market.ticks"),
        catalog,
        stores: Stores::new(Durability::NoFsync),
        dates: None,
        records,
        patience: Duration::ZERO,
    }
}

/// Stores with one of the caller's.
pub fn stores(scheme: &str, store: Arc<dyn ObjectStore>) -> Stores {
    Stores::new(Durability::NoFsync).with_store(scheme, store)
}

pub fn name(table: &str) -> TableName {
    table.parse().unwrap()
}

/// The kind, the table, and the file or the partition of each problem.
pub fn said(report: &Report) -> Vec<(&'static str, &'static str, String)> {
    let of = |problem: &verify::Problem| {
        let kind = serde_json::to_value(problem.kind).unwrap().as_str().unwrap().to_owned();
        let place = problem.file.clone().or(problem.partition.clone()).unwrap_or_default();
        (&*kind.leak(), &*problem.table.clone().leak(), place)
    };
    report.problems.iter().map(of).collect()
}

/// Checks again and again while a job makes files and partitions.
pub async fn while_a_job_runs(each: impl Fn(Report)) {
    let cluster = Cluster::start(&[("ticks", 2)]).unwrap();
    let dir = TempDir::new().unwrap();
    let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(dir.path().join("catalog.db")).unwrap());
    let mut job = job(&cluster, dir.path(), catalog.clone(), "ticks", GROUP);
    job.until_end = false;
    job.limits.flush_age = Duration::from_millis(20);
    let stores = job.stores.clone();
    let (stop, stopped) = watch::channel(false);
    let (progress, mut seen) = watch::channel(Progress::default());
    let running = tokio::spawn(ingest::run(job, stopped, progress));
    let records = Records { connection: cluster.connection(), group: GROUP.into() };
    let patience = Duration::from_secs(30);
    let check = Check { stores, patience, ..check(catalog, Some(records)) };
    let mut checks = 0;
    for round in 0..10 {
        // New partitions all the while, and old ones that go on.
        let ticks = (0..20).map(|i| tick(&format!("S{}", round * 5 + i), i)).chain(["{".to_owned()]);
        send(&cluster, "ticks", ticks).await;
        let read = (round + 1) as u64 * 21;
        let read = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|p| p.records >= read)).await;
        read.expect("the job goes on").unwrap();
        if round % 2 == 0 {
            each(verify::verify(&check).await.unwrap());
            checks += 1;
        }
    }
    assert_eq!(checks, 5);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    each(verify::verify(&check).await.unwrap());
}

/// The sum of a footer's texts, in the order that the writer has them in.
fn sum_of(footer: &HashMap<String, String>) -> String {
    let keys =
        ["format", "topic", "partition", "epoch", "start", "end", "cluster", "topic_id", "spec", "writer"];
    let lines = keys.map(|key| format!("ticklake.{key}={}\n", footer[&format!("ticklake.{key}")]));
    let digest = Sha256::digest(lines.concat());
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
