//! A lake for one test: a folder on the disk, a catalog, and what is read of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use ticklake::catalog::{Catalog, LocalCatalog, Partition};
use ticklake::query::{Engine, Format, Limits, LocalEngine, print};
use ticklake::store::{Durability, Folder, Stores};
use ticklake::table::{Ddl, PartitionKey, TableName};

pub struct Lake {
    pub disk: TempDir,
    pub catalog: Arc<dyn Catalog>,
    pub stores: Stores,
    pub engine: LocalEngine,
    pub watch: Arc<Watch>,
}

impl Lake {
    pub fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    pub fn with_limits(limits: &Limits) -> Self {
        let disk = tempfile::tempdir().unwrap();
        let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::open(disk.path().join("catalog")).unwrap());
        let watch = Arc::new(Watch::default());
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

    /// The folder of a partition, which is registered under its values.
    pub async fn partition(&self, ddl: &Ddl, values: &[&str]) -> Folder {
        let names: Vec<&str> = ddl.partitioned_by.iter().map(|c| c.name.as_str()).collect();
        let key = PartitionKey::new(&names, values.iter().map(|v| (*v).to_owned()).collect()).unwrap();
        let folder =
            self.stores.open(ddl.location.as_deref().unwrap()).await.unwrap().folder(key.path()).unwrap();
        self.register(&ddl.name, values, folder.location()).await;
        folder
    }

    pub async fn register(&self, table: &TableName, values: &[&str], location: &str) {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        let partition = Partition { values, location: location.to_owned() };
        self.catalog.create_partitions(table, &[partition]).await.unwrap();
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

/// Puts a Parquet file with row groups of so many rows.
pub async fn write(folder: &Folder, name: &str, columns: &[(&str, ArrayRef)], group_rows: usize) {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    folder.create(name, writer.into_inner().unwrap().into()).await.unwrap();
}

/// The local disk, and what was read of it.
#[derive(Debug, Default)]
pub struct Watch {
    disk: LocalFileSystem,
    seen: Mutex<Seen>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Bytes read, by the name of the file's folder.
    pub read: BTreeMap<String, u64>,
    /// The names of the folders listed.
    pub listed: Vec<String>,
}

impl Watch {
    /// What was seen since the last call.
    pub fn take(&self) -> Seen {
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.listed.sort();
        seen
    }

    fn read(&self, location: &Path, bytes: u64) {
        let folder = location.parts().rev().nth(1).unwrap().as_ref().to_owned();
        *self.seen.lock().unwrap().read.entry(folder).or_default() += bytes;
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Watch {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.disk.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.disk.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let got = self.disk.get_opts(at, options).await?;
        self.read(at, got.range.end - got.range.start);
        Ok(got)
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.read(at, ranges.iter().map(|range| range.end - range.start).sum());
        self.disk.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.disk.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.disk.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        let folder = prefix.and_then(Path::filename).unwrap_or_default().to_owned();
        self.seen.lock().unwrap().listed.push(folder);
        self.disk.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.disk.copy_opts(from, to, options).await
    }
}
