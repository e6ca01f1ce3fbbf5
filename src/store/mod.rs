//! Owns the object stores: where a table's files are, and how a file is created once and never overwritten.
//!
//! A [`Folder`] is a place in a store, named by a location as the DDL and the catalog write it
//! (`s3://bucket/prefix/`, `file:///dir/`, `memory:///prefix/`). Locations are literal: no byte of a key is escaped
//! or unescaped between the catalog and the store, since engines take them so (RIG, "Location is taken literally").

mod credentials;
mod lifecycle;
mod local;
mod pages;
mod s3;
mod together;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Component, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

pub use lifecycle::{Expiry, Told};
pub use local::Durability;
use local::LocalStore;
use s3::S3Store;
pub use s3::{Addressing, S3Options};
use tokio::sync::Mutex;

use crate::aws::{Aws, without_login};
use crate::error::{self, Error, Kind, Result};

/// A target of logs, and what of it is left out unless the user asks for that target: each retry of a read.
pub const LOGS: (&str, &[&str]) = ("object_store", &["object_store=warn"]);

/// What a PUT, COPY, POST or LIST request of S3 Standard costs in us-east-1, in US dollars: 0.005 a thousand, in November 2026
/// (aws.amazon.com/s3/pricing).
pub const PUT_DOLLARS: f64 = 0.005 / 1_000.0;

/// The stores of one process: each is opened once and shared.
#[derive(Clone, Debug)]
pub struct Stores {
    local: Arc<LocalStore>,
    memory: Arc<InMemory>,
    /// By scheme.
    others: BTreeMap<String, Arc<dyn ObjectStore>>,
    s3: S3,
}

/// The buckets of one process.
#[derive(Clone, Debug, Default)]
struct S3 {
    options: S3Options,
    aws: Aws,
    opened: Arc<Mutex<HashMap<String, Arc<S3Store>>>>,
}

/// A place in a store. Cheap to clone.
#[derive(Clone)]
pub struct Folder {
    store: Arc<dyn ObjectStore>,
    /// The store once more, where it is the local disk.
    disk: Option<Arc<LocalStore>>,
    /// And where it is S3.
    bucket: Option<Arc<S3Store>>,
    path: Path,
    location: String,
}

/// What became of a create-only put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    Created,
    /// An object has that name; it is untouched. It may be the caller's own, if an answer was lost.
    AlreadyExists,
}

/// What is directly in a folder, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Folders below it.
    pub folders: Vec<String>,
    pub entries: Vec<Entry>,
}

/// An object of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the folder.
    pub name: String,
    pub size_bytes: u64,
    /// When it was put, by the store's clock.
    pub modified: DateTime<Utc>,
}

impl Stores {
    pub fn new(durability: Durability) -> Self {
        Self {
            local: Arc::new(LocalStore::new(durability)),
            memory: Arc::new(InMemory::new()),
            others: BTreeMap::new(),
            s3: S3::default(),
        }
    }

    /// Says how `s3://` is reached; without it, as AWS's default chain has it.
    #[must_use]
    pub fn with_s3(mut self, options: S3Options, aws: Aws) -> Self {
        self.s3 = S3 { options, aws, opened: Arc::default() };
        self
    }

    /// Adds a store of the caller's under a scheme of its own, `SCHEME:///PATH/`: how tests inject faults.
    #[must_use]
    pub fn with_store(mut self, scheme: &str, store: Arc<dyn ObjectStore>) -> Self {
        self.others.insert(scheme.to_owned(), store);
        self
    }

    /// Opens the place that a location names. A location without a scheme is a local directory, taken from the
    /// working directory. Nothing is created or asked for yet; for the first bucket AWS's region is looked up.
    pub async fn open(&self, location: &str) -> Result<Folder> {
        let wrong = |message: &str| Error::usage(message).with("location", without_login(location));
        let mut opened = None;
        let (store, root, path): (Arc<dyn ObjectStore>, _, _) = match location.split_once("://") {
            Some(("memory", path)) => (self.memory.clone(), "memory://".to_owned(), path.to_owned()),
            Some(("file", path)) if path.starts_with('/') => {
                (self.local.clone(), "file://".to_owned(), path.to_owned())
            }
            Some(("s3", place)) => {
                let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
                if bucket.contains('@') {
                    return Err(wrong(
                        "a location has no login in it: AWS's default chain gives the credentials",
                    ));
                }
                if bucket.is_empty() {
                    return Err(wrong("the location names no bucket: write s3://BUCKET/FOLDER/"));
                }
                let bucket_store = self.s3.open(bucket).await?;
                opened = Some(bucket_store.clone());
                (bucket_store, format!("s3://{bucket}"), path.to_owned())
            }
            Some((scheme, path)) if self.others.contains_key(scheme) => {
                (self.others[scheme].clone(), format!("{scheme}://"), path.to_owned())
            }
            Some((scheme, _)) => {
                return Err(wrong(&format!(
                    "'{scheme}://' is no store of this build: use s3://BUCKET/FOLDER, a directory, file:///DIR or \
                     memory:///NAME"
                )));
            }
            None if ["s3:", "s3//", "~", "$"].iter().any(|start| location.starts_with(start)) => {
                return Err(wrong(
                    "the location would be a folder of that name here: write s3://BUCKET/FOLDER/, or a path",
                ));
            }
            None => (self.local.clone(), "file://".to_owned(), absolute(location)?),
        };
        let path =
            Path::parse(path.trim_matches('/')).map_err(|e| wrong("the location is no path").because(e))?;
        let below = if path.as_ref().is_empty() { "" } else { "/" };
        let disk = (root == "file://").then(|| self.local.clone());
        Ok(Folder { store, disk, bucket: opened, location: format!("{root}/{path}{below}"), path })
    }
}

impl S3 {
    async fn open(&self, bucket: &str) -> Result<Arc<S3Store>> {
        let mut opened = self.opened.lock().await;
        if let Some(store) = opened.get(bucket) {
            return Ok(store.clone());
        }
        let store = Arc::new(S3Store::open(bucket, &self.options, &self.aws).await?);
        opened.insert(bucket.to_owned(), store.clone());
        Ok(store)
    }
}

/// A local directory from the working directory; what stands before a `..` has to be there.
fn absolute(location: &str) -> Result<String> {
    let failed =
        |e| Error::usage("cannot make the location an absolute path").with("location", location).because(e);
    let mut path = std::path::absolute(location).map_err(failed)?;
    let parts: Vec<Component<'_>> = path.components().collect();
    if let Some(last) = parts.iter().rposition(|part| *part == Component::ParentDir) {
        let before: PathBuf = parts[..=last].iter().collect();
        // By the file system, since a part may be a link.
        let mut real = before.canonicalize().map_err(failed)?;
        real.extend(&parts[last + 1..]);
        path = real;
    }
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::usage("the location is not UTF-8").with("location", location))
}

impl Folder {
    /// Opens a place in a store that the caller made: how tests inject faults.
    pub fn of_store(store: Arc<dyn ObjectStore>, location: &str) -> Result<Self> {
        let (_, path) = location
            .split_once(":///")
            .ok_or_else(|| Error::usage("a location is SCHEME:///PATH/").with("location", location))?;
        let path = Path::parse(path.trim_matches('/'))
            .map_err(|e| Error::usage("the location is no path").with("location", location).because(e))?;
        Ok(Self { store, disk: None, bucket: None, path, location: location.to_owned() })
    }

    /// As the catalog keeps it, with a slash at the end.
    pub fn location(&self) -> &str {
        &self.location
    }

    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The folder's path in its store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder below this one. `relative` is taken literally; it has no empty segment, `.` or `..`.
    pub fn folder(&self, relative: &str) -> Result<Self> {
        Ok(Self {
            store: self.store.clone(),
            disk: self.disk.clone(),
            bucket: self.bucket.clone(),
            path: self.child(relative)?,
            location: format!("{}{relative}/", self.location),
        })
    }

    /// Puts an object where none is: whole or not at all. A retryable error leaves open whether it landed: look
    /// (`size`, `tail`), then decide. On a local disk the object is durable when this returns.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<Create> {
        let path = self.child(name)?;
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        match self.store.put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(Create::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Create::AlreadyExists),
            Err(e) => Err(self.failed(Ask::Create, name, e)),
        }
    }

    /// Puts a note where there is none, and gives the one that is there: this, or an earlier one. A store that says that
    /// there is one, and has none, is a retryable error (it may say so of a write that it dropped, FACTS 1.21).
    pub async fn note(&self, name: &str, note: Bytes) -> Result<Bytes> {
        match self.create(name, note.clone()).await? {
            Create::Created => Ok(note),
            Create::AlreadyExists => self.read(name).await?.ok_or_else(|| self.has_none(name)),
        }
    }

    /// The failure of a store that says that an object exists, and has none.
    pub fn has_none(&self, name: &str) -> Error {
        Error::new(Kind::Store, "the store says that an object exists, and has none")
            .with("at", format!("{}{name}", self.location))
            .retryable()
    }

    /// Whether the store keeps the word of [`create`](Self::create): what is there must be refused a second time. (Some
    /// servers that speak S3 do not know `If-None-Match`, and overwrite.) Leaves one small object of that name.
    pub async fn keeps_creates(&self, name: &str) -> Result<bool> {
        let probe = || self.create(name, Bytes::from_static(b"not to be overwritten"));
        Ok(probe().await? == Create::AlreadyExists || probe().await? == Create::AlreadyExists)
    }

    /// The whole object, `None` where there is none.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        self.get(name, GetOptions::default()).await
    }

    /// The object's last `bytes` bytes, or all of it where it is shorter; `None` where there is none.
    pub async fn tail(&self, name: &str, bytes: u64) -> Result<Option<Bytes>> {
        self.get(name, GetOptions { range: Some(GetRange::Suffix(bytes)), ..Default::default() }).await
    }

    async fn get(&self, name: &str, options: GetOptions) -> Result<Option<Bytes>> {
        let result = match self.store.get_opts(&self.child(name)?, options).await {
            Ok(got) => got.bytes().await,
            Err(e) => Err(e),
        };
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed(Ask::Read, name, e)),
        }
    }

    /// The object's size in bytes, `None` where there is none.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.store.head(&self.child(name)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed(Ask::Look, name, e)),
        }
    }

    /// The objects directly in the folder, by name. Hidden ones (`_…`, `.…`) are left out, as engines leave them
    /// out (FACTS 3.7). A folder that is not there is empty.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        Ok(self.look().await?.entries)
    }

    /// As [`list`](Self::list), and the folders beside the objects.
    pub async fn look(&self) -> Result<Listing> {
        let listed = match self.store.list_with_delimiter(Some(&self.path)).await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => return Ok(Listing::default()),
            Err(e) => return Err(self.failed(Ask::List, "", e)),
        };
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        let mut folders: Vec<String> = names.filter(|name| !is_hidden(name)).map(str::to_owned).collect();
        folders.sort_unstable();
        Ok(Listing { folders, entries: entries(&listed.objects) })
    }

    /// Makes what is listed in the folder stay, also after a power cut: another process may have created it just now, and
    /// not have synced the folder yet. On S3 what is listed stays anyhow.
    pub async fn settle(&self) -> Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.settle(&self.path).await.map_err(|e| self.failed(Ask::Sync, "", e))
    }

    /// What the folder's bucket tells of itself, by one request; `None` where it is in none.
    pub async fn ask_bucket(&self) -> Option<Told> {
        match &self.bucket {
            Some(bucket) => Some(bucket.ask().await),
            None => None,
        }
    }

    /// Whether a rule of the bucket may remove what is below the folder.
    pub fn is_expired_by(&self, rule: &Expiry) -> bool {
        match self.path.as_ref() {
            "" => true,
            path => rule.is_of(&format!("{path}/")),
        }
    }

    /// Every object below the folder, hidden ones left out, by relative path, in no order.
    pub async fn list_below(&self) -> Result<Vec<Entry>> {
        let prefix = self.path.clone();
        let listed = self.store.list(Some(&self.path)).filter_map(|meta| {
            futures::future::ready(match meta {
                Ok(meta) => {
                    let parts: Option<Vec<String>> = meta
                        .location
                        .prefix_match(&prefix)
                        .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect());
                    parts
                        .filter(|parts| !parts.iter().any(|part| is_hidden(part)))
                        .map(|parts| Ok(entry(parts.join("/"), &meta)))
                }
                Err(e) => Some(Err(e)),
            })
        });
        match listed.try_collect().await {
            Ok(entries) => Ok(entries),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(e) => Err(self.failed(Ask::List, "", e)),
        }
    }

    /// Removes objects; one that is gone already needs nothing. An error leaves open which are gone.
    pub async fn remove(&self, names: &[String]) -> Result<()> {
        let paths: Vec<_> = names.iter().map(|name| self.child(name)).collect::<Result<_>>()?;
        let mut removed = self.store.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(outcome) = removed.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(self.failed(Ask::Remove, "", e)),
            }
        }
        Ok(())
    }

    /// The path in the store of an object or a folder below this one; `relative` is taken literally.
    pub fn child(&self, relative: &str) -> Result<Path> {
        // `Path::parse` forgives an empty first or last segment: "" would be the folder itself, as an object.
        if relative.split('/').any(str::is_empty) {
            return Err(Error::new(Kind::Store, "a name in a store has no empty part")
                .with("name", relative)
                .with("in", &self.location));
        }
        let joined = if self.path.as_ref().is_empty() {
            relative.to_owned()
        } else {
            format!("{}/{relative}", self.path)
        };
        Path::parse(&joined)
            .map_err(|e| Error::new(Kind::Store, "no path of a store").with("path", &joined).because(e))
    }

    /// What cannot be gone at the next try is not retried: everything else may be, and its outcome is unknown.
    /// Where a right is missing, it is named.
    fn failed(&self, ask: Ask, name: &str, e: object_store::Error) -> Error {
        let lasting = matches!(
            e,
            object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::InvalidPath { .. }
                | object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
                | object_store::Error::UnknownConfigurationKey { .. }
        );
        // Keys that are wrong are forbidden too; an answer to HEAD has no words.
        let forbidden = matches!(&e, object_store::Error::PermissionDenied { source, .. } if {
            let text = error::chain(source.as_ref());
            text.contains("AccessDenied") || !text.contains("<Code>")
        });
        let error = Error::new(Kind::Store, ask.failed()).with("at", format!("{}{name}", self.location));
        let error = match forbidden && self.location.starts_with("s3://") {
            true => error.with("allow these credentials", ask.right()),
            false => error,
        };
        let error = error.because(e);
        if lasting { error } else { error.retryable() }
    }
}

/// What is asked of a store.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Create,
    Read,
    Look,
    List,
    Sync,
    Remove,
}

impl Ask {
    fn failed(self) -> &'static str {
        match self {
            Self::Create => "cannot create an object",
            Self::Read => "cannot read an object",
            Self::Look => "cannot look at an object",
            Self::List => "cannot list a folder",
            Self::Sync => "cannot sync a folder",
            Self::Remove => "cannot remove objects",
        }
    }

    /// Of S3's actions, the one that has to be allowed (AWS, "Required permissions for Amazon S3 API operations").
    fn right(self) -> &'static str {
        match self {
            Self::Create | Self::Sync => {
                "s3:PutObject, and kms:GenerateDataKey where the bucket has a KMS key"
            }
            // Without the second, S3 answers for an object that is not there as for one that may not be read.
            Self::Read | Self::Look => {
                "s3:GetObject and s3:ListBucket, and kms:Decrypt where the bucket has a KMS key"
            }
            Self::List => "s3:ListBucket",
            Self::Remove => "s3:DeleteObject",
        }
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.location)
    }
}

/// The objects of one folder that are not hidden, by name.
fn entries(objects: &[ObjectMeta]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = objects
        .iter()
        .filter_map(|meta| {
            let name = meta.location.filename()?;
            (!is_hidden(name)).then(|| entry(name.to_owned(), meta))
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn entry(name: String, meta: &ObjectMeta) -> Entry {
    Entry { name, size_bytes: meta.size, modified: meta.last_modified }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}
