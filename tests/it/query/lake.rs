//! A lake for one test: a folder on the disk, a catalog, and what is read of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use async_trait::async_trait;
use object_store::ListResult;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog, Partition};
use ticklake::query::{Engine, Format, Limits, LocalEngine, print};
use ticklake::store::{Durability, Folder, Stores};
use ticklake::table::{Ddl, PartitionKey, TableName};

use crate::tapped::{Tap, Tapped};

pub struct Lake {
    pub disk: TempDir,
    pub catalog: Arc<dyn Catalog>,
    pub stores: Stores,
    pub engine: LocalEngine,
    pub watch: Arc<Tapped<Watch>>,
}

impl Lake {
    pub fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    pub fn with_limits(limits: &Limits) -> Self {
        let disk = tempfile::tempdir().unwrap();
        let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(disk.path().join("catalog")).unwrap());
        let watch = Arc::new(Tapped::new(Watch::default()));
        // The scheme `watched` is the disk too, under its eyes.
        let stores = Stores::new(Durability::NoFsync).with_store("watched", watch.clone());
        let engine = LocalEngine::new(catalog.clone(), stores.clone(), limits).unwrap();
        Self { disk, catalog, stores, engine, watch }
    }

    /// `market.NAME` with these columns, partitioned by `date` and `symbol`.
    pub async fn table(&self, name: &str, columns: &str) -> Ddl {
        self.create(&format!(
            "CREATE EXTERNAL TABLE market.{name} ({columns}) PARTITIONED BY (`date` string, `symbol` string)
             STORED AS PARQUET LOCATION '{}'",
            self.location(name)
        ))
        .await
    }

    pub async fn create(&self, ddl: &str) -> Ddl {
        let ddl = Ddl::parse(ddl).unwrap();
        assert!(self.catalog.create_table(&ddl).await.unwrap());
        ddl
    }

    /// A place on the disk, under the eyes of `watch`.
    pub fn location(&self, name: &str) -> String {
        format!("watched://{}/{name}/", self.disk.path().display())
    }

    pub async fn partition(&self, ddl: &Ddl, values: &[&str]) -> Folder {
        partition_of(ddl, values, &*self.catalog, &self.stores).await
    }

    pub async fn register(&self, table: &TableName, values: &[&str], location: &str) {
        register(table, values, location, &*self.catalog).await;
    }

    /// The answer as CSV, its rows sorted unless the query sorts them.
    pub async fn csv(&self, sql: &str) -> Vec<String> {
        let mut lines = self.print(sql, Format::Csv).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        if !sql.to_lowercase().contains("order by") {
            lines[1..].sort();
        }
        lines
    }

    pub async fn print(&self, sql: &str, format: Format) -> ticklake::Result<Vec<String>> {
        let mut out = Vec::new();
        print(self.engine.query(sql).await?, format, &mut out).await?;
        Ok(String::from_utf8(out).unwrap().lines().map(str::to_owned).collect())
    }

    pub async fn error(&self, sql: &str) -> ticklake::Error {
        self.print(sql, Format::Csv).await.expect_err(sql)
    }
}

/// The folder of a partition, which is registered under its values.
pub async fn partition_of(ddl: &Ddl, values: &[&str], catalog: &dyn Catalog, stores: &Stores) -> Folder {
    let names: Vec<&str> = ddl.partitioned_by.iter().map(|c| c.name.as_str()).collect();
    let key = PartitionKey::new(&names, values.iter().map(|v| (*v).to_owned()).collect()).unwrap();
    let folder = stores.open(ddl.location.as_deref().unwrap()).await.unwrap().folder(key.path()).unwrap();
    register(&ddl.name, values, folder.location(), catalog).await;
    folder
}

async fn register(table: &TableName, values: &[&str], location: &str, catalog: &dyn Catalog) {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    let partition = Partition { values, location: location.to_owned() };
    catalog.create_partitions(table, &[partition]).await.unwrap();
}

/// Puts a Parquet file with row groups of so many rows.
pub async fn write(folder: &Folder, name: &str, columns: &[(&str, ArrayRef)], group_rows: usize) {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    folder.create(name, writer.into_inner().unwrap().into()).await.unwrap();
}

/// How long the answers of a store that is far away are on their way.
pub const FAR: Duration = Duration::from_millis(30);

/// What was read of the disk.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Mutex<Seen>,
    pub is_far: AtomicBool,
    /// The name of a folder that may not be listed.
    pub forbidden: Mutex<Option<String>>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Bytes read, by the name of the file's folder.
    pub read: BTreeMap<String, u64>,
    /// The names of the folders listed.
    pub listed: Vec<String>,
    /// The names of those listed with all that is below them.
    pub below: Vec<String>,
}

impl Watch {
    /// What was seen since the last call.
    pub fn take(&self) -> Seen {
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.listed.sort();
        seen
    }
}

#[async_trait]
impl Tap for Watch {
    fn refused(&self, at: &Path) -> object_store::Result<()> {
        match self.forbidden.lock().unwrap().as_deref() {
            Some(name) if at.filename() == Some(name) => Err(object_store::Error::PermissionDenied {
                path: at.to_string(),
                source: "AccessDenied".into(),
            }),
            _ => Ok(()),
        }
    }

    async fn reading(&self) {
        if self.is_far.load(Ordering::SeqCst) {
            tokio::time::sleep(FAR).await;
        }
    }

    fn read(&self, at: &Path, bytes: u64) {
        let folder = at.parts().rev().nth(1).unwrap().as_ref().to_owned();
        *self.seen.lock().unwrap().read.entry(folder).or_default() += bytes;
    }

    fn listed_below(&self, folder: Option<&Path>) {
        let folder = folder.and_then(Path::filename).unwrap_or_default().to_owned();
        self.seen.lock().unwrap().below.push(folder);
    }

    fn listed(&self, folder: Option<&Path>, listed: ListResult) -> ListResult {
        let folder = folder.and_then(Path::filename).unwrap_or_default().to_owned();
        self.seen.lock().unwrap().listed.push(folder);
        listed
    }
}
