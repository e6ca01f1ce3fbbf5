//! Reads the end of a file from its store once, and before it is asked for.
//!
//! A footer is asked for with so much before it that one request has all of it. In a small file that is the file, and what
//! a query wants of it would be asked for again: the page index, then the columns. Here it is taken from what is there.
//!
//! DataFusion reads as many files at a time as a query has streams, and waits for each: of thousands of small files that is
//! nearly all of a query's time. So the ends of the files that come next are asked for meanwhile: one for each file that
//! was read, up to [`AHEAD`]. A query that ends early has asked for twice as many ends as it needed, at most.
//!
//! Memory: the end of each file that is being read, which goes with the file's readers, and of those ahead; some 200 bytes for
//! each file that is not open yet.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
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
use tokio::task::JoinSet;

/// What lies between two pages that are needed is read with them up to so many bytes: a request takes longer. Of most files
/// of ticks a column is not much more, so that more would be the whole file where some minutes of it are asked for.
const GAP_BYTES: u64 = 32 << 10;

/// So many files' ends are asked for before they are opened, at most: 2 MiB. A store answers a request in some tens of
/// milliseconds; in that time a thread goes through as many small files.
const AHEAD: usize = 32;

/// Makes the readers of a scan's files.
#[derive(Debug)]
pub(super) struct Tails {
    files: Arc<Files>,
    footers: Arc<FileMetadataCache>,
}

impl Tails {
    /// `files` are those of the scan in the order in which it opens them: what comes much later than here is not asked for ahead.
    pub(super) fn new<'a>(
        store: Arc<dyn ObjectStore>,
        footers: Arc<FileMetadataCache>,
        files: impl Iterator<Item = &'a PartitionedFile>,
    ) -> Self {
        let tail = |file: &PartitionedFile| (file.object_meta.clone(), file.metadata_size_hint);
        let coming = files.map(tail).collect();
        Self {
            files: Arc::new(Files { store, state: Mutex::new(State { coming, ..State::default() }) }),
            footers,
        }
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
        let store = Files::open(&self.files, &file.object_meta);
        CachedParquetFileReaderFactory::new(store, self.footers.clone()).create_reader(
            partition_index,
            file,
            footer_bytes,
            metrics,
        )
    }
}

/// The files of a scan.
#[derive(Debug)]
struct Files {
    store: Arc<dyn ObjectStore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Files that nobody has opened, with how much of their ends will be asked for,
    coming: VecDeque<(ObjectMeta, Option<usize>)>,
    /// and those whose ends are asked for already.
    ahead: Vec<Arc<OneFile>>,
    /// Files that are being read: DataFusion changes a file's reader where there may be Bloom filters.
    open: Vec<Weak<OneFile>>,
    /// Files that are read, or were.
    read: usize,
    /// What asks for the ends ahead; it stops when the scan goes.
    asking: JoinSet<()>,
}

impl Files {
    fn open(self: &Arc<Self>, file: &ObjectMeta) -> Arc<OneFile> {
        let mut state = self.state.lock().expect("nothing panics with it");
        state.open.retain(|known| known.strong_count() > 0);
        let is_it = |known: &Arc<OneFile>| known.file.location == file.location;
        if let Some(known) = state.open.iter().filter_map(Weak::upgrade).find(is_it) {
            return known;
        }
        let opened = match state.ahead.iter().position(is_it) {
            Some(at) => state.ahead.remove(at),
            None => {
                // Streams that run beside each other open them nearly in their order.
                let near = state.coming.iter().take(2 * AHEAD);
                if let Some(at) =
                    near.map(|(file, _)| file).position(|coming| coming.location == file.location)
                {
                    state.coming.remove(at);
                }
                self.file(file.clone())
            }
        };
        state.open.push(Arc::downgrade(&opened));
        opened
    }

    fn file(self: &Arc<Self>, file: ObjectMeta) -> Arc<OneFile> {
        Arc::new(OneFile {
            files: Arc::downgrade(self),
            store: self.store.clone(),
            file,
            tail: OnceCell::new(),
            is_read: AtomicBool::new(false),
        })
    }

    /// One more file is read.
    fn go_ahead(self: &Arc<Self>) {
        let mut state = self.state.lock().expect("nothing panics with it");
        state.read += 1;
        while state.asking.try_join_next().is_some() {}
        while state.ahead.len() < state.read.min(AHEAD)
            && let Some((file, footer_bytes)) = state.coming.pop_front()
        {
            let tail = file.size.saturating_sub(footer_bytes.unwrap_or(0) as u64)..file.size;
            let file = self.file(file);
            state.ahead.push(file.clone());
            state.asking.spawn(async move {
                // Where it fails, the file's reader asks again, and tells.
                let _ = file.tail(tail).await;
            });
        }
    }
}

/// The store as the readers of one file have it.
#[derive(Debug)]
struct OneFile {
    files: Weak<Files>,
    store: Arc<dyn ObjectStore>,
    file: ObjectMeta,
    /// The first bytes that were read up to the file's end.
    tail: OnceCell<Bytes>,
    /// By a reader.
    is_read: AtomicBool,
}

impl OneFile {
    /// Who asks at the same time waits for it: parts of a large file have a reader each.
    async fn tail(&self, range: Range<u64>) -> Result<&Bytes> {
        self.tail.get_or_try_init(|| self.store.get_range(&self.file.location, range)).await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let location = &self.file.location;
        if range.end == self.file.size {
            if let Some(files) = self.files.upgrade()
                && !self.is_read.swap(true, Ordering::Relaxed)
            {
                files.go_ahead();
            }
            self.tail(range.clone()).await?;
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
