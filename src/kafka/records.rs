//! Defines what a source hands over: Kafka records of one topic partition, copied into one block of memory.

use std::fmt;
use std::sync::Arc;

/// A set is handed over at so many records, or at so many bytes.
const SET_RECORDS: usize = 8192;
const SET_BYTES: usize = 1 << 20;

/// A topic's partition: a source. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A batch of records of one source.
///
/// * Offsets rise; they may have gaps (transactions, compaction).
/// * All of one assignment: `assignment` is its number.
/// * Keys, values and headers stand in one block; a record costs 40 bytes beside it.
pub struct RecordSet {
    pub source: TopicPartition,
    pub assignment: u64,
    block: Vec<u8>,
    records: Vec<Entry>,
    headers: Vec<HeaderEntry>,
    /// By offset; none in what comes from Kafka.
    elements: Vec<ElementEntry>,
}

/// One Kafka record, as the broker has it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub offset: i64,
    /// Milliseconds since the epoch; `None` where the record has none.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    set: &'a RecordSet,
    headers: (u32, u32),
}

struct Entry {
    offset: i64,
    timestamp: Option<i64>,
    key: Span,
    value: Span,
    headers: (u32, u32),
}

struct HeaderEntry {
    name: Span,
    value: Span,
}

struct ElementEntry {
    offset: i64,
    element: i32,
    value: Span,
}

/// A piece of the block; a length of `u32::MAX` is null.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

impl RecordSet {
    pub fn new(source: TopicPartition, assignment: u64) -> Self {
        Self {
            source,
            assignment,
            block: Vec::new(),
            records: Vec::new(),
            headers: Vec::new(),
            elements: Vec::new(),
        }
    }

    /// An empty set after this one, of the same assignment, with room for as much.
    pub fn next(&self) -> Self {
        Self {
            source: self.source.clone(),
            assignment: self.assignment,
            block: Vec::with_capacity(self.block.len()),
            records: Vec::with_capacity(self.records.len()),
            headers: Vec::with_capacity(self.headers.len()),
            elements: Vec::new(),
        }
    }

    /// Appends a record; its offset is above those before it.
    pub fn push(&mut self, offset: i64, timestamp: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) {
        debug_assert!(self.records.last().is_none_or(|last| last.offset < offset));
        let key = self.copy(key);
        let value = self.copy(value);
        let header = self.headers.len() as u32;
        self.records.push(Entry { offset, timestamp, key, value, headers: (header, header) });
    }

    /// Appends a header to the record pushed last.
    pub fn push_header(&mut self, name: &[u8], value: Option<&[u8]>) {
        let name = self.copy(Some(name));
        let value = self.copy(value);
        self.headers.push(HeaderEntry { name, value });
        if let Some(last) = self.records.last_mut() {
            last.headers.1 = self.headers.len() as u32;
        }
    }

    /// Appends an element of the array in the record pushed last: such a record is its elements, each a text of its own, and
    /// no message.
    pub fn push_element(&mut self, element: i32, value: &[u8]) {
        let value = self.copy(Some(value));
        let offset = self.records.last().map_or(0, |last| last.offset);
        self.elements.push(ElementEntry { offset, element, value });
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Span {
        let start = self.block.len() as u32;
        match bytes {
            Some(bytes) => {
                self.block.extend_from_slice(bytes);
                Span { start, len: bytes.len() as u32 }
            }
            None => Span { start, len: u32::MAX },
        }
    }

    fn bytes(&self, span: Span) -> Option<&[u8]> {
        (span.len != u32::MAX).then(|| &self.block[span.start as usize..][..span.len as usize])
    }

    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.records.iter().map(|entry| Record {
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: self.bytes(entry.key),
            value: self.bytes(entry.value),
            set: self,
            headers: entry.headers,
        })
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether it is to be handed over before it grows.
    pub fn is_full(&self) -> bool {
        self.len() >= SET_RECORDS || self.bytes_len() >= SET_BYTES
    }

    /// Bytes of keys, values and headers.
    pub fn bytes_len(&self) -> usize {
        self.block.len()
    }
}

impl Record<'_> {
    /// Of its key and its value.
    pub fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    /// Names and values, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let headers = &self.set.headers[self.headers.0 as usize..self.headers.1 as usize];
        headers.iter().map(|h| (self.set.bytes(h.name).unwrap_or_default(), self.set.bytes(h.value)))
    }

    /// Elements of an array that are to be decoded for themselves, with their places in it; none of a record that is a message.
    #[inline]
    pub fn elements(&self) -> impl ExactSizeIterator<Item = (i32, &[u8])> {
        let all = &self.set.elements;
        let ours = match all.is_empty() {
            true => &all[..],
            false => {
                let first = all.partition_point(|e| e.offset < self.offset);
                &all[first..first + all[first..].partition_point(|e| e.offset == self.offset)]
            }
        };
        ours.iter().map(|e| (e.element, self.set.bytes(e.value).unwrap_or_default()))
    }

    /// The value of the last header of that name; `None` where there is none or its value is null.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let headers = &self.set.headers[self.headers.0 as usize..self.headers.1 as usize];
        let header = headers.iter().rfind(|h| self.set.bytes(h.name) == Some(name.as_bytes()))?;
        self.set.bytes(header.value)
    }
}

impl fmt::Debug for RecordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.records.first().map_or(-1, |r| r.offset);
        let last = self.records.last().map_or(-1, |r| r.offset);
        write!(f, "{}#{}[{first}..={last}]", self.source, self.assignment)
    }
}
