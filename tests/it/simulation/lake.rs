//! The simulated store: memory that fails on demand, and what is known of the links in it.
//!
//! Every link is read when it comes to be, and held against what a chain is: it begins where the one before it ends, it
//! holds whole records, each record that is its chain's and none twice, in the table's order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::broker;
use super::faults::Faults;
use super::frost::Frost;

/// The latest that a late put comes to work, after its call.
pub const LATE: Duration = Duration::from_secs(45);

/// One row's record: what its source is called by, the offset, the element in the message.
pub type ItemId = (i32, i64, i32);

#[derive(Debug)]
pub struct Lake {
    objects: InMemory,
    faults: Arc<Faults>,
    truth: Mutex<Truth>,
    /// Nobody writes, so that links may be removed.
    pub is_quiet: AtomicBool,
}

/// What the links hold.
#[derive(Debug, Default)]
pub struct Truth {
    /// Where each item of a record is: the folder. Those of removed links too.
    pub rows: BTreeMap<ItemId, String>,
    pub rejected: BTreeMap<ItemId, String>,
    /// By folder and chain: the links' ranges, in order; those that were removed are left out.
    pub chains: BTreeMap<(String, String), Vec<Range<i64>>>,
    /// How far each chain got.
    ends: BTreeMap<(String, String), i64>,
    /// DDLs that are kept.
    pub specs: u64,
    /// The names of the notes of topics.
    pub topics: BTreeSet<String>,
    /// Ranges of a source's offsets that are noted as skipped on purpose.
    pub gaps: Vec<(i32, Range<i64>)>,
    pub links: u64,
}

impl Lake {
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { objects: InMemory::new(), faults, truth: Mutex::default(), is_quiet: AtomicBool::default() }
    }

    pub fn truth(&self) -> std::sync::MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    pub fn has_links(&self, folder: &str) -> bool {
        self.truth().chains.keys().any(|(at, _)| at == folder)
    }

    /// Takes a link out, as a lifecycle rule of a bucket does.
    pub async fn remove(&self, folder: &str, chain: &str, start: i64) {
        let path = Path::parse(format!("{folder}/{chain}{start:020}.parquet")).unwrap();
        self.objects.delete(&path).await.unwrap();
        let mut truth = self.truth();
        let links = truth.chains.get_mut(&(folder.to_owned(), chain.to_owned())).unwrap();
        links.retain(|link| link.start != start);
    }

    /// What a put comes to: whether the object was made.
    async fn land(&self, path: &Path, payload: PutPayload, mode: PutMode) -> bool {
        let bytes: Bytes = payload.clone().into();
        let options = PutOptions { mode, ..Default::default() };
        let made = self.objects.put_opts(path, payload, options).await.is_ok();
        if made && path.extension() == Some("parquet") {
            self.faults.note(format!("  link {path}"));
            if let Err(wrong) = self.truth().add(path, bytes) {
                self.faults.wrong(format!("{path}: {wrong}"));
            }
        } else if made && path.extension() == Some("sql") {
            self.truth().specs += 1;
        } else if made && path.as_ref().contains("/_ticklake/topics/") {
            self.truth().topics.insert(path.filename().unwrap_or_default().to_owned());
        } else if made && path.as_ref().contains("/_ticklake/gaps/") {
            let gap: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let number = |key: &str| gap[key].as_i64().unwrap();
            let slot = broker::slot(gap["topic"].as_str().unwrap(), number("partition") as i32);
            let number_of = broker::number(slot, number("epoch") as u32);
            self.truth().gaps.push((number_of, number("from")..number("to")));
        }
        made
    }

    /// A call that only reads: it takes its time, and may fail.
    async fn read_call(&self, what: &str, path: &str, frost: &Frost) -> Result<()> {
        frost.passed().await;
        let mut chance = self.faults.call(&format!("{what} {path}"));
        tokio::time::sleep(self.faults.latency(&mut chance)).await;
        frost.passed().await;
        if self.faults.store_is_down() {
            return Err(failed("the store is down"));
        }
        match self.faults.comes(&mut chance, self.faults.rates.reads, "store: read or list failed") {
            true => Err(failed("a read failed")),
            false => Ok(()),
        }
    }
}

impl Truth {
    fn add(&mut self, path: &Path, bytes: Bytes) -> std::result::Result<(), String> {
        let path = path.as_ref();
        let (folder, name) = path.rsplit_once('/').ok_or("a link in no folder")?;
        let (chain, start) = name.strip_suffix(".parquet").ok_or("no link")?.split_at(name.len() - 28);
        let start: i64 = start.parse().map_err(|_| format!("{name} is no link's name"))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| e.to_string())?;
        let metadata = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let value = |key: &str| {
            metadata.iter().find(|kv| kv.key == key).and_then(|kv| kv.value.clone()).unwrap_or_default()
        };
        let end: i64 = value("ticklake.end").parse().map_err(|_| "no end in the footer")?;
        let partition: i32 = value("ticklake.partition").parse().map_err(|_| "no partition in the footer")?;
        let epoch: u32 = value("ticklake.epoch").parse().map_err(|_| "no epoch in the footer")?;
        let slot = broker::slot(&value("ticklake.topic"), partition);
        if chain != broker::chain(slot, epoch) {
            return Err(format!("the footer is of {}", broker::chain(slot, epoch)));
        }
        self.links += 1;

        let key = (folder.to_owned(), chain.to_owned());
        let before = self.ends.get(&key).copied().unwrap_or(0);
        self.ends.insert(key.clone(), before.max(end));
        self.chains.entry(key).or_default().push(start..end);
        if start != before || end <= start {
            return Err(format!("the chain ended at {before}, and a link [{start}..{end}) was put"));
        }

        let is_rejected = folder.contains("ticks_rejected/");
        let mut last = (i64::MIN, (0, 0));
        for batch in reader.build().map_err(|e| e.to_string())? {
            let batch = batch.map_err(|e| e.to_string())?;
            let long = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
            let int = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int32Type>().clone();
            let (sources, offsets, elements) = match is_rejected {
                true => (int("partition"), long("offset"), int("element")),
                false => (int("p"), long("o"), int("i")),
            };
            for row in 0..batch.num_rows() {
                let (source, offset) = (sources.value(row), offsets.value(row));
                let element =
                    if elements.iter().nth(row).flatten().is_none() { -1 } else { elements.value(row) };
                let rows = if is_rejected { &mut self.rejected } else { &mut self.rows };
                let item = (broker::number(slot, epoch), offset, element);
                if let Some(before) = rows.insert(item, folder.to_owned()) {
                    return Err(format!("{item:?} is there twice: it is in {before} too"));
                }
                if source != partition || !(start..end).contains(&offset) {
                    return Err(format!("{item:?} is in the link [{start}..{end}) of source {partition}"));
                }
                if !is_rejected {
                    let now = (long("v").value(row), (offset, element));
                    if now <= last {
                        return Err(format!("rows are not in order: {last:?} before {now:?}"));
                    }
                    last = now;
                }
            }
        }
        Ok(())
    }

    pub fn is_skipped(&self, number: i32, offset: i64) -> bool {
        self.gaps.iter().any(|(n, gap)| *n == number && gap.contains(&offset))
    }
}

/// Its holder waits for the answer to a put, until it is dropped: then a request that was not sent yet may be lost.
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a client is told of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Truth,
    Failed,
    /// A 412 for an object that is not there.
    Taken,
}

/// The store as one writer reaches it.
#[derive(Clone, Debug)]
pub struct Store {
    pub lake: Arc<Lake>,
    pub frost: Arc<Frost>,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated store")
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let lake = &self.lake;
        let faults = &lake.faults;
        self.frost.passed().await;
        faults.count("store: puts");
        if options.mode != PutMode::Create {
            faults.wrong(format!("a put of {path} that may overwrite"));
        }
        let mut chance = faults.call(&format!("put {path}"));
        let sending = faults.latency(&mut chance);
        if faults.store_is_down() {
            tokio::time::sleep(sending).await;
            return Err(failed("the store is down"));
        }
        let rates = &faults.rates;
        let (lands, told) =
            if faults.comes(&mut chance, rates.late_puts, "store: put lands late, told failed") {
                (Some(Duration::from_millis(chance.between(1, LATE.as_millis() as u64))), Told::Failed)
            } else if faults.comes(&mut chance, rates.puts, "store: put fails after its work") {
                (Some(sending), Told::Failed)
            } else if faults.comes(&mut chance, rates.puts, "store: put fails, nothing done (503, 409)") {
                (None, Told::Failed)
            } else if faults.comes(&mut chance, rates.puts / 2, "store: put is taken, nothing there (412)") {
                (None, Told::Taken)
            } else if faults.comes(&mut chance, rates.puts / 2, "store: put takes seconds") {
                (Some(Duration::from_millis(chance.between(1000, 8000))), Told::Truth)
            } else {
                (Some(sending), Told::Truth)
            };
        // What is on the wire when its caller dies, or stands still: half of it still comes to work.
        let waits_for_caller = chance.happens(500);
        let answering = faults.latency(&mut chance);
        let gone = Arc::new(AtomicBool::new(false));
        let _caller = Caller(gone.clone());
        let (answer, answered) = tokio::sync::oneshot::channel();
        if let Some(after) = lands {
            let (lake, path, mode) = (lake.clone(), path.clone(), options.mode.clone());
            let frost = self.frost.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                if waits_for_caller {
                    frost.passed().await;
                    if gone.load(Ordering::Relaxed) {
                        return;
                    }
                }
                let made = lake.land(&path, payload, mode).await;
                let _ = answer.send(made); // the caller may be gone
            });
        }
        let taken = || Error::AlreadyExists { path: path.to_string(), source: "taken".into() };
        match told {
            Told::Truth => {
                let made = answered.await.map_err(|_| failed("the put was lost"))?;
                tokio::time::sleep(answering).await;
                self.frost.passed().await;
                if made { Ok(PutResult { e_tag: None, version: None }) } else { Err(taken()) }
            }
            Told::Failed | Told::Taken => {
                tokio::time::sleep(sending + answering).await;
                self.frost.passed().await;
                Err(if told == Told::Taken { taken() } else { failed("a put failed") })
            }
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.lake.read_call("get", path.as_ref(), &self.frost).await?;
        self.lake.objects.get_opts(path, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (lake, frost, prefix) = (self.lake.clone(), self.frost.clone(), prefix.cloned());
        stream::once(async move {
            let name = prefix.as_ref().map_or("", |prefix| prefix.as_ref()).to_owned();
            match lake.read_call("list", &name, &frost).await {
                Ok(()) => lake.objects.list(prefix.as_ref()),
                Err(e) => stream::iter([Err(e)]).boxed(),
            }
        })
        .flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let name = prefix.map_or("", |prefix| prefix.as_ref());
        self.lake.read_call("list", name, &self.frost).await?;
        self.lake.objects.list_with_delimiter(prefix).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.lake.faults.wrong(format!("a put of {path} in parts, which cannot be create-only"));
        Err(failed("not done"))
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let lake = self.lake.clone();
        let removed = paths.then(move |path| {
            let lake = lake.clone();
            async move {
                let path = path?;
                let link = path.as_ref().rsplit_once('/').filter(|(_, name)| name.ends_with(".parquet"));
                match link.filter(|_| lake.is_quiet.load(Ordering::Relaxed)) {
                    None => lake.faults.wrong(format!("{path} was to be deleted")),
                    Some((folder, name)) => {
                        let (chain, start) = name[..name.len() - 8].split_at(name.len() - 28);
                        lake.remove(folder, chain, start.parse().unwrap()).await;
                    }
                }
                Ok(path)
            }
        });
        removed.boxed()
    }

    async fn copy_opts(&self, from: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        self.lake.faults.wrong(format!("a copy of {from}"));
        Err(failed("not done"))
    }
}

fn failed(what: &'static str) -> Error {
    Error::Generic { store: "simulated", source: format!("faulty store: {what}").into() }
}
