//! Reads a source on a thread of its own, ahead of the task that sends.
//!
//! A file, and standard input above all, may block for as long as it likes; the task that sends must not. The channel
//! between them holds [`AHEAD`] batches, so that reading, too, is held back by a slow broker.

use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::csv::CsvRecords;
use super::ndjson::NdjsonRecords;
use super::simulate::Ticks;
use super::{Repeat, Source};
use crate::error::{Error, Result};

/// A batch is full at so many records: some 1 ms of sending,
const BATCH_RECORDS: usize = 1024;
/// or at so many bytes.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that wait to be sent.
const AHEAD: usize = 2;

/// Records, one after another in one piece of memory.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    records_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    /// Where the key ends and the value begins; `None` is no key.
    key_end: Option<usize>,
    end: usize,
}

impl Batch {
    pub(super) fn new(records_max: usize) -> Self {
        Self { bytes: Vec::new(), entries: Vec::new(), records_max: records_max.min(BATCH_RECORDS) }
    }

    /// Adds a record; `write` appends its value.
    pub(super) fn push_with(&mut self, key: Option<&[u8]>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let key_end = key.map(|_| self.bytes.len());
        write(&mut self.bytes);
        self.entries.push(Entry { start, key_end, end: self.bytes.len() });
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.records_max || self.bytes.len() >= BATCH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Keys and values, in their order.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (Option<&[u8]>, &[u8])> {
        self.entries.iter().map(|Entry { start, key_end, end }| {
            (
                key_end.map(|key_end| &self.bytes[*start..key_end]),
                &self.bytes[key_end.unwrap_or(*start)..*end],
            )
        })
    }
}

/// A source that has been opened.
pub(super) trait Records: Send {
    /// Appends records until the batch is full, or until more would have to be waited for; none at the end of the
    /// source. With an error, the records before it are in the batch.
    fn fill(&mut self, batch: &mut Batch) -> Result<()>;
}

/// Opens a source. What is wrong with it from the start (no file, no such column) is told here.
pub(super) async fn open(source: &Source, key: Option<&str>) -> Result<Box<dyn Records>> {
    let (source, key) = (source.clone(), key.map(str::to_owned));
    match tokio::task::spawn_blocking(move || open_blocking(&source, key.as_deref())).await {
        Ok(opened) => opened,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

pub(super) fn open_blocking(source: &Source, key: Option<&str>) -> Result<Box<dyn Records>> {
    Ok(match source {
        Source::Csv(path) => Box::new(CsvRecords::open(path, key)?),
        Source::Ndjson(input) => Box::new(NdjsonRecords::open(input, key)?),
        Source::Simulate(simulation) => {
            if key.is_some_and(|key| key != "symbol") {
                return Err(Error::usage("simulated ticks are keyed by 'symbol'; leave the key out")
                    .with("given", key.unwrap_or_default()));
            }
            Box::new(Ticks::new(simulation)?)
        }
    })
}

/// The reading thread's other end.
pub(super) struct Feed {
    batches: mpsc::Receiver<Result<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Starts the thread. It ends at the end of the source, with an error, or some time after the `Feed` is dropped: at
    /// the next record, which on standard input may never come, so it is not waited for.
    pub(super) fn start(
        records: Box<dyn Records>,
        source: Source,
        key: Option<String>,
        repeat: Repeat,
        count: Option<u64>,
    ) -> Self {
        let (sender, batches) = mpsc::channel(AHEAD);
        let reader = Reader { source, key, repeat, left: count.unwrap_or(u64::MAX), sender };
        let thread = std::thread::Builder::new()
            .name("produce-source".into())
            .spawn(move || reader.run(records))
            .expect("the machine has room for one more thread");
        Self { batches, thread: Some(thread) }
    }

    /// The next batch, which is not empty; `None` at the end.
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Batch>> {
        let next = self.batches.recv().await;
        if next.is_none()
            && let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
        next.transpose()
    }
}

struct Reader {
    source: Source,
    key: Option<String>,
    repeat: Repeat,
    left: u64,
    sender: mpsc::Sender<Result<Batch>>,
}

impl Reader {
    fn run(mut self, records: Box<dyn Records>) {
        if let Err(e) = self.read(records) {
            // Where nobody listens any more, nobody has to know.
            let _ = self.sender.blocking_send(Err(e));
        }
    }

    fn read(&mut self, mut records: Box<dyn Records>) -> Result<()> {
        while self.pass(&mut *records)? && self.repeat == Repeat::Forever {
            records = open_blocking(&self.source, self.key.as_deref())?;
        }
        Ok(())
    }

    /// Reads the source to its end; false where no more is wanted before.
    fn pass(&mut self, records: &mut dyn Records) -> Result<bool> {
        let mut any = false;
        while self.left > 0 {
            let mut batch = Batch::new(usize::try_from(self.left).unwrap_or(usize::MAX));
            let filled = records.fill(&mut batch);
            let read = batch.len() as u64;
            if read > 0 && self.sender.blocking_send(Ok(batch)).is_err() {
                return Ok(false);
            }
            filled?;
            self.left -= read;
            if read == 0 {
                return self.ended(any);
            }
            any = true;
        }
        Ok(false)
    }

    fn ended(&self, any: bool) -> Result<bool> {
        if !any && self.repeat == Repeat::Forever {
            return Err(Error::usage("the source has no records, so that repeating it would never send one")
                .with("source", format_args!("{:?}", self.source)));
        }
        Ok(true)
    }
}
