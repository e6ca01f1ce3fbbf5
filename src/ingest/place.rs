//! Gives each record its place: decode, route, append. The hot path, on one thread, without IO.

use tokio::time::Instant;

use super::buffer::{BufferLimits, Buffers, ChainId, Side};
use super::decode::{Decoder, Fate, Rejection};
use super::frontier::Frontier;
use super::rejected::{self, Rejecting};
use super::route::{NoPartition, Router};
use super::row::{Reason, Row};
use crate::kafka::{Record, TopicPartition};
use crate::table::Spec;

/// What became of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub rows: u64,
    /// By reason, in the order of `Reason::ALL`.
    pub rejected: [u64; Reason::ALL.len()],
    pub skipped: u64,
}

impl Counts {
    pub fn rejected(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// Records, or elements of their arrays, that were meant for the table.
    pub fn decoded(&self) -> u64 {
        self.rows + self.rejected()
    }
}

/// Decodes records and appends them to the buffers of their partitions.
#[derive(Debug)]
pub(super) struct Placer {
    pub decoder: Decoder,
    pub shelves: Shelves,
}

/// Where rows are put, once they are decoded.
#[derive(Debug)]
pub(super) struct Shelves {
    router: Router,
    rejected_router: Router,
    rejected_row: Row,
    rejecting: Rejecting,
    pub buffers: Buffers,
    key: Vec<u8>,
    /// Chains whose buffers reached a limit; they are sealed between records.
    pub full: Vec<ChainId>,
    pub counts: Counts,
}

impl Placer {
    pub fn new(spec: &Spec, limits: BufferLimits, rejecting: Rejecting) -> Self {
        let types = spec.columns.iter().map(|c| c.column.column_type.clone()).collect();
        Self {
            decoder: Decoder::new(spec),
            shelves: Shelves {
                router: Router::new(spec),
                rejected_router: rejected::router(),
                rejected_row: Row::default(),
                rejecting,
                buffers: Buffers::new(limits, [types, rejected::types()]),
                key: Vec::new(),
                full: Vec::new(),
                counts: Counts::default(),
            },
        }
    }

    /// Places one record of a source, whose frontier then is behind it. `number` tells the source apart in the keys.
    #[inline]
    pub fn place(
        &mut self,
        source: &TopicPartition,
        number: u32,
        record: &Record<'_>,
        frontier: &mut Frontier,
        now: Instant,
    ) {
        let Self { decoder, shelves } = self;
        let at = Place { source, number, record, now };
        decoder.decode(&source.topic, source.partition, record, &mut |fate| match fate {
            Fate::Row { row, element, value } => {
                if let Err(none) = shelves.put_row(row, &at, frontier) {
                    let name = shelves.router.name(none.field).to_owned();
                    let column = Some(name.as_str());
                    let rejection = Rejection { reason: none.reason, column, element, value: Some(value) };
                    shelves.put_rejected(&rejection, &at, frontier);
                }
            }
            Fate::Skipped => shelves.counts.skipped += 1,
            Fate::Rejected(rejection) => shelves.put_rejected(&rejection, &at, frontier),
        });
        frontier.advance(record.offset + 1);
    }
}

/// Where a row comes from.
pub(super) struct Place<'a> {
    pub source: &'a TopicPartition,
    pub number: u32,
    pub record: &'a Record<'a>,
    pub now: Instant,
}

impl Shelves {
    /// Appends a row to the buffer of its partition.
    pub fn put_row(&mut self, row: &Row, at: &Place<'_>, frontier: &mut Frontier) -> Result<(), NoPartition> {
        self.begin_key(Side::Rows, at.number);
        self.router.route(row, &mut self.key)?;
        let id = match self.buffers.find(&self.key) {
            Some(id) => id,
            None => {
                let partition = self.router.partition(row)?;
                self.buffers.add(&self.key, Side::Rows, at.source, partition, at.now)
            }
        };
        self.counts.rows += 1;
        self.append(id, row, at, frontier);
        Ok(())
    }

    fn put_rejected(&mut self, rejection: &Rejection<'_>, at: &Place<'_>, frontier: &mut Frontier) {
        let mut row = std::mem::take(&mut self.rejected_row);
        rejected::fill(&mut row, &self.rejecting, at.source, at.record, rejection);
        self.begin_key(Side::Rejected, at.number);
        let placed = self.rejected_router.route(&row, &mut self.key).and_then(|()| {
            match self.buffers.find(&self.key) {
                Some(id) => Ok(id),
                None => {
                    let partition = self.rejected_router.partition(&row)?;
                    Ok(self.buffers.add(&self.key, Side::Rejected, at.source, partition, at.now))
                }
            }
        });
        // Its only partition value is a day that was checked, or null, which it takes.
        let id = placed.expect("a rejected row always has a partition");
        self.counts.rejected[rejection.reason as usize] += 1;
        self.append(id, &row, at, frontier);
        self.rejected_row = row;
    }

    fn begin_key(&mut self, side: Side, number: u32) {
        self.key.clear();
        self.key.push(side as u8);
        self.key.extend_from_slice(&number.to_le_bytes());
    }

    fn append(&mut self, id: ChainId, row: &Row, at: &Place<'_>, frontier: &mut Frontier) {
        let appended = self.buffers.append(id, row, at.record.offset, at.now);
        if appended.opened {
            frontier.hold(at.record.offset);
        }
        // One that is there twice is sealed once.
        if appended.full && self.full.last() != Some(&id) {
            self.full.push(id);
        }
    }
}
