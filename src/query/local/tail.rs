//! Reads the end of a file from its store once.
//!
//! A footer is asked for with so much before it that one request has all of it. In a small file that is the file, and what
//! a query wants of it would be asked for again: the page index, then the columns. Here it is taken from what is there.
//!
//! Memory: that much for each file that is being read; it goes with the file's readers.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetFileReaderFactory,
};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, coalesce_ranges,
};
use parquet::arrow::async_reader::AsyncFileReader;
use tokio::sync::OnceCell;

/// What lies between two pages that are needed is read with them up to so many bytes: a request takes longer. Of most files
/// of ticks a column is not much more, so that more would be the whole file where some minutes of it are asked for.
const GAP_BYTES: u64 = 32 << 10;

/// Makes the readers of a scan's files.
#[derive(Debug)]
pub(super) struct Tails {
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    /// Files that are being read: DataFusion changes a file's reader where there may be Bloom filters.
    open: Mutex<Vec<Weak<OneFile>>>,
}

impl Tails {
    pub(super) fn new(store: Arc<dyn ObjectStore>, footers: Arc<FileMetadataCache>) -> Self {
        Self { store, footers, open: Mutex::default() }
    }

    fn of(&self, file: &ObjectMeta) -> Arc<OneFile> {
        let mut open = self.open.lock().expect("nothing panics with it");
        open.retain(|known| known.strong_count() > 0);
        let known = open.iter().filter_map(Weak::upgrade).find(|known| known.file.location == file.location);
        known.unwrap_or_else(|| {
            let file = OneFile { store: self.store.clone(), file: file.clone(), tail: OnceCell::new() };
            let file = Arc::new(file);
            open.push(Arc::downgrade(&file));
            file
        })
    }
}

impl ParquetFileReaderFactory for Tails {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        footer_bytes: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let store = self.of(&file.object_meta);
        CachedParquetFileReaderFactory::new(store, self.footers.clone()).create_reader(
            partition_index,
            file,
            footer_bytes,
            metrics,
        )
    }
}

/// The store as the readers of one file have it.
#[derive(Debug)]
struct OneFile {
    store: Arc<dyn ObjectStore>,
    file: ObjectMeta,
    /// The first bytes that were read up to the file's end.
    tail: OnceCell<Bytes>,
}

impl OneFile {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let location = &self.file.location;
        if range.end == self.file.size {
            // Who asks at the same time waits for it: parts of a large file have a reader each.
            self.tail.get_or_try_init(|| self.store.get_range(location, range.clone())).await?;
        }
        let Some(tail) = self.tail.get() else {
            return self.store.get_range(location, range).await;
        };
        let start = self.file.size - tail.len() as u64;
        let place = |at: u64| (at.max(start) - start) as usize;
        let known = tail.slice(place(range.start)..place(range.end));
        if range.start >= start {
            return Ok(known);
        }
        let before = self.store.get_range(location, range.start..range.end.min(start)).await?;
        Ok(if known.is_empty() { before } else { [before, known].concat().into() })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for OneFile {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(GetRange::Bounded(range)) = options.range else {
            return self.store.get_opts(location, options).await;
        };
        let bytes = self.read(range.clone()).await?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::iter([Ok(bytes)]).boxed()),
            meta: self.file.clone(),
            range,
            attributes: Default::default(),
        })
    }

    async fn get_ranges(&self, _: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(ranges, |range| self.read(range), GAP_BYTES).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.store.rename_opts(from, to, options).await
    }
}

impl fmt::Display for OneFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}
