//! Reads the open rejected rows of one source in the order of their offsets, and makes Kafka records of them again.
//!
//! Rows of one offset are elements of one message: they stand in one link, one after the other, and become one record. Links are
//! merged by their next offset, and none is opened before its first: those of one day follow those of another, as offsets
//! and times do, so few are open at once.
//!
//! Memory: each open link's file, and 512 of its rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::links::{Link, Links};
use super::plan::Stretch;
use crate::error::{Error, Kind, Result};
use crate::ingest::retry::retried;
use crate::ingest::target::Target;
use crate::kafka::{RecordSet, TopicPartition};
use crate::store::Folder;

const ROWS: usize = 512;

/// The open rows of one source.
pub(super) struct Feed {
    pub source: TopicPartition,
    /// The offset that the replay goes up to.
    pub end: i64,
    folder: Folder,
    from: i64,
    /// Still to be opened, the next one last.
    waiting: Vec<Link>,
    /// By the offset of the next row, and the place in `open`.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    open: Vec<Option<Open>>,
}

/// A link that is being read.
struct Open {
    /// The rows at hand; none before the first.
    rows: Option<Rows>,
    at: usize,
    rest: ParquetRecordBatchReader,
    path: String,
    /// The offsets that are open.
    from: i64,
    to: i64,
}

impl Feed {
    pub fn new(table: &Target, replay: u32, stretch: &Stretch, links: &Links) -> Self {
        let mut waiting: Vec<Link> = links.open(replay, stretch).cloned().collect();
        waiting.sort_by_key(|link| Reverse(link.first_offset));
        Self {
            source: stretch.source(),
            end: stretch.to,
            folder: table.folder.clone(),
            from: stretch.from,
            waiting,
            next: BinaryHeap::new(),
            open: Vec::new(),
        }
    }

    /// The next records; none at the end.
    pub async fn next(&mut self, assignment: u64) -> Result<RecordSet> {
        let mut set = RecordSet::new(self.source.clone(), assignment);
        while !set.is_full() {
            self.open_due().await?;
            let Some(Reverse((offset, at))) = self.next.pop() else { break };
            let Some(link) = &mut self.open[at] else { continue };
            match link.take(offset, &mut set)? {
                Some(next) => self.next.push(Reverse((next, at))),
                None => self.open[at] = None,
            }
        }
        Ok(set)
    }

    /// Opens each link that may have the next row.
    async fn open_due(&mut self) -> Result<()> {
        while let Some(link) = self.waiting.last() {
            if self.next.peek().is_some_and(|Reverse((offset, _))| *offset < link.first_offset) {
                return Ok(());
            }
            let link = self.waiting.pop().expect("it was looked at");
            // All that the replay before rejected is open; of what the ingest did, what that replay has not taken.
            let (from, to) = match link.footer.chain.replay {
                0 => (self.from, self.end),
                _ => (0, i64::MAX),
            };
            let mut open = Open::read(&self.folder, link.path, from, to).await?;
            if let Some(offset) = open.seek()? {
                let free = self.open.iter().position(Option::is_none);
                let at = free.unwrap_or(self.open.len());
                if free.is_none() {
                    self.open.push(None);
                }
                self.open[at] = Some(open);
                self.next.push(Reverse((offset, at)));
            }
        }
        Ok(())
    }
}

impl Open {
    async fn read(folder: &Folder, path: String, from: i64, to: i64) -> Result<Self> {
        let bytes = retried("read a file of rejected records", || async {
            folder.read(&path).await?.ok_or_else(|| folder.has_none(&path))
        });
        let bytes = bytes.await?;
        let broken = |e: parquet::errors::ParquetError| {
            Error::new(Kind::Protocol, "a file of rejected records cannot be read")
                .with("at", format!("{}{path}", folder.location()))
                .because(e)
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(broken)?;
        let rest = reader.with_batch_size(ROWS).build().map_err(broken)?;
        Ok(Self { rows: None, at: 0, rest, path, from, to })
    }

    /// The offset of the next row that is wanted; `None` where there is none.
    fn seek(&mut self) -> Result<Option<i64>> {
        loop {
            while let Some(offset) = self.rows.as_ref().and_then(|rows| rows.offset(self.at)) {
                if offset >= self.to {
                    return Ok(None); // they rise
                }
                if offset >= self.from {
                    return Ok(Some(offset));
                }
                self.at += 1;
            }
            let broken = |e: ArrowError| {
                Error::new(Kind::Protocol, "a file of rejected records cannot be read")
                    .with("file", &self.path)
                    .because(e)
            };
            let Some(batch) = self.rest.next() else { return Ok(None) };
            self.rows = Some(batch.and_then(|batch| Rows::of(&batch)).map_err(broken)?);
            self.at = 0;
        }
    }

    /// Appends the rows of an offset as one record, and seeks on.
    fn take(&mut self, offset: i64, set: &mut RecordSet) -> Result<Option<i64>> {
        let mut is_first = true;
        loop {
            if let Some(rows) = &self.rows {
                if std::mem::take(&mut is_first) {
                    rows.push_record(self.at, offset, set);
                }
                if let Some(element) = rows.element(self.at) {
                    set.push_element(element, rows.value(self.at).unwrap_or_default());
                }
            }
            self.at += 1;
            match self.seek()? {
                Some(next) if next == offset => {}
                next => return Ok(next),
            }
        }
    }
}

/// The columns of some rows.
struct Rows {
    offset: ArrayRef,
    element: ArrayRef,
    timestamp: ArrayRef,
    key: BinaryArray,
    value: BinaryArray,
    /// None in files of before there were any.
    headers: Option<ArrayRef>,
}

impl Rows {
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str| {
            batch.column_by_name(name).cloned().ok_or_else(|| {
                ArrowError::SchemaError(format!("it has no column {name}: it is no file of rejected records"))
            })
        };
        Ok(Self {
            offset: column("offset")?,
            element: column("element")?,
            timestamp: column("timestamp")?,
            key: column("key")?.as_binary::<i32>().clone(),
            value: column("value")?.as_binary::<i32>().clone(),
            headers: column("headers").ok(),
        })
    }

    fn offset(&self, at: usize) -> Option<i64> {
        let offsets = self.offset.as_primitive::<Int64Type>();
        (at < offsets.len()).then(|| offsets.value(at))
    }

    fn element(&self, at: usize) -> Option<i32> {
        let elements = self.element.as_primitive::<Int32Type>();
        elements.is_valid(at).then(|| elements.value(at))
    }

    fn value(&self, at: usize) -> Option<&[u8]> {
        bytes(&self.value, at)
    }

    /// The record of a row: its message, or only what is around its elements.
    fn push_record(&self, at: usize, offset: i64, set: &mut RecordSet) {
        let timestamps = self.timestamp.as_primitive::<TimestampMillisecondType>();
        let timestamp = timestamps.is_valid(at).then(|| timestamps.value(at));
        let value = self.value(at).filter(|_| self.element(at).is_none());
        set.push(offset, timestamp, bytes(&self.key, at), value);
        let Some(headers) = self.headers.as_ref().filter(|headers| headers.is_valid(at)) else { return };
        let headers = headers.as_list::<i32>().value(at);
        let headers = headers.as_struct();
        let names = headers.column(0).as_string::<i32>();
        let values = headers.column(1).as_binary::<i32>();
        for i in 0..headers.len() {
            set.push_header(names.value(i).as_bytes(), bytes(values, i));
        }
    }
}

fn bytes(array: &BinaryArray, at: usize) -> Option<&[u8]> {
    array.is_valid(at).then(|| array.value(at))
}
