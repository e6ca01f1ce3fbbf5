//! Turns a local directory into a store whose creates are durable.
//!
//! object_store's own local create stages its bytes under a visible name and syncs nothing, so a power cut can leave
//! a torn file under a chain's name. Here: a hidden temporary file, fsync, a hard link to the name, fsync of the
//! folder. A crash in between leaves at most a hidden file, which nobody reads.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path as FilePath;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use tempfile::NamedTempFile;

/// Whether a local create waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Fsync,
    /// For benchmarks and throw-away tables: a power cut may leave a torn file.
    NoFsync,
}

#[derive(Debug)]
pub(super) struct LocalStore {
    inner: LocalFileSystem,
    durability: Durability,
}

impl LocalStore {
    pub(super) fn new(durability: Durability) -> Self {
        Self { inner: LocalFileSystem::new(), durability }
    }

    /// Has a folder's links on the disk, whoever made them.
    pub(super) async fn settle(&self, folder: &Path) -> Result<()> {
        if self.durability == Durability::NoFsync {
            return Ok(());
        }
        let folder = self.inner.path_to_filesystem(folder)?;
        let synced = tokio::task::spawn_blocking(move || sync_links(&folder)).await;
        synced.map_err(|e| generic(io::Error::other(e)))?.map_err(generic)
    }
}

impl std::fmt::Display for LocalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if opts.mode != PutMode::Create {
            return self.inner.put_opts(location, payload, opts).await;
        }
        let path = self.inner.path_to_filesystem(location)?;
        let durability = self.durability;
        let created = tokio::task::spawn_blocking(move || create(&path, payload.as_ref(), durability))
            .await
            .map_err(|e| generic(io::Error::other(e)))?;
        match created {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location.to_string(), source: e.into() })
            }
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                Err(Error::PermissionDenied { path: location.to_string(), source: e.into() })
            }
            // What no next try gets over; a full disk may be made room on.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::NotADirectory
                        | ErrorKind::IsADirectory
                        | ErrorKind::ReadOnlyFilesystem
                        | ErrorKind::InvalidFilename
                ) =>
            {
                Err(Error::NotSupported { source: e.into() })
            }
            Err(e) => Err(generic(e)),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

fn create<'a>(
    path: &FilePath,
    parts: impl IntoIterator<Item = &'a Bytes>,
    durability: Durability,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(FilePath::new("/"));
    let staged = stage(folder, parts, durability)?;
    let linked = fs::hard_link(staged.path(), path);
    drop(staged); // its own name goes
    // Also where another writer's file is there: it may not have synced the folder yet, and the caller goes on from it.
    let is_there = linked.as_ref().map_or_else(|e| e.kind() == ErrorKind::AlreadyExists, |()| true);
    if is_there && durability == Durability::Fsync {
        sync_links(folder)?;
    }
    linked
}

/// Writes a hidden file that goes when it is dropped. Its name is random: processes of several containers may share the
/// folder, and have one process id.
fn stage<'a>(
    folder: &FilePath,
    parts: impl IntoIterator<Item = &'a Bytes>,
    durability: Durability,
) -> io::Result<NamedTempFile> {
    let mut options = tempfile::Builder::new();
    // Who may read the folder may read its files.
    options.prefix(".").suffix(".tmp").permissions(Permissions::from_mode(0o666));
    let mut file = match options.tempfile_in(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            create_folders(folder, durability)?;
            options.tempfile_in(folder)?
        }
        opened => opened?,
    };
    for part in parts {
        file.write_all(part)?;
    }
    if durability == Durability::Fsync {
        file.as_file().sync_all()?;
    }
    Ok(file)
}

/// As `create_dir_all`, and the entry of each folder in its parent is on the disk before the next is made in it: also
/// that of the first one that is there, which another process may have made just now. So of a folder that is there, only
/// its own entry may not be on the disk.
fn create_folders(folder: &FilePath, durability: Durability) -> io::Result<()> {
    if !folder.is_dir() {
        if let Some(parent) = folder.parent() {
            create_folders(parent, durability)?;
        }
        match fs::create_dir(folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    match durability {
        Durability::Fsync => sync_entry(folder),
        Durability::NoFsync => Ok(()),
    }
}

/// Has the links in a folder on the disk, and the folder itself.
fn sync_links(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    sync_entry(folder)
}

fn sync_entry(folder: &FilePath) -> io::Result<()> {
    match folder.parent().map(File::open) {
        Some(Ok(parent)) => parent.sync_all(),
        // A folder in which this user may not look was not made by a writer of this user's.
        Some(Err(e)) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
        Some(Err(e)) => Err(e),
        None => Ok(()),
    }
}

fn generic(source: io::Error) -> Error {
    Error::Generic { store: "LocalFileSystem", source: source.into() }
}
