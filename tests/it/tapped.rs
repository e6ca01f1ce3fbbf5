//! The local disk with somebody beside it, who sees what is put, read and listed, and may change what a list says.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

#[async_trait]
pub trait Tap: fmt::Debug + Send + Sync + 'static {
    /// A file is about to be put, or was put just now; it is waited for.
    async fn putting(&self) {}
    async fn put(&self) {}

    /// Why a file is not given, or a folder not listed.
    fn refused(&self, _at: &Path) -> Result<()> {
        Ok(())
    }

    /// Bytes of a file are about to be read.
    async fn reading(&self) {}

    /// So many bytes of a file were read.
    fn read(&self, _at: &Path, _bytes: u64) {}

    /// All that is below a folder is listed.
    fn listed_below(&self, _folder: Option<&Path>) {}

    /// What the list of one folder says.
    fn listed(&self, _folder: Option<&Path>, listed: ListResult) -> ListResult {
        listed
    }
}

#[derive(Debug, Default)]
pub struct Tapped<T> {
    disk: LocalFileSystem,
    pub tap: T,
}

impl<T> Tapped<T> {
    pub fn new(tap: T) -> Self {
        Self { disk: LocalFileSystem::new(), tap }
    }
}

impl<T> fmt::Display for Tapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

#[async_trait]
impl<T: Tap> ObjectStore for Tapped<T> {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.tap.putting().await;
        let put = self.disk.put_opts(at, payload, options).await;
        self.tap.put().await;
        put
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.disk.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.tap.refused(at)?;
        self.tap.reading().await;
        let got = self.disk.get_opts(at, options).await?;
        self.tap.read(at, got.range.end - got.range.start);
        Ok(got)
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.tap.reading().await;
        self.tap.read(at, ranges.iter().map(|range| range.end - range.start).sum());
        self.disk.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.disk.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.tap.listed_below(prefix);
        if let Some(Err(e)) = prefix.map(|folder| self.tap.refused(folder)) {
            return futures::stream::once(async { Err(e) }).boxed();
        }
        self.disk.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        prefix.map_or(Ok(()), |folder| self.tap.refused(folder))?;
        let listed = self.disk.list_with_delimiter(prefix).await?;
        Ok(self.tap.listed(prefix, listed))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.disk.copy_opts(from, to, options).await
    }
}

/// Somebody at the disk, at whose hands the put of a number never ends.
#[derive(Debug, Default)]
pub struct Stalling {
    puts: AtomicUsize,
    at: AtomicUsize,
    before: AtomicBool,
    pub stalled: Notify,
}

impl Stalling {
    pub fn stall_at(&self, at: usize, before: bool) {
        self.puts.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
        self.before.store(before, Ordering::SeqCst);
    }

    async fn stall_if(&self, is_it: bool) {
        if is_it {
            self.stalled.notify_one();
            std::future::pending().await
        }
    }
}

#[async_trait]
impl Tap for Stalling {
    async fn putting(&self) {
        let is_it = self.puts.fetch_add(1, Ordering::SeqCst) + 1 == self.at.load(Ordering::SeqCst);
        self.stall_if(is_it && self.before.load(Ordering::SeqCst)).await;
    }

    async fn put(&self) {
        let is_it = self.puts.load(Ordering::SeqCst) == self.at.load(Ordering::SeqCst);
        self.stall_if(is_it).await;
    }
}
