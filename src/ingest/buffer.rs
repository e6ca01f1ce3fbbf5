//! Owns the rows that are not sealed yet: one buffer a chain, under one budget of bytes.
//!
//! A chain is known here from its first row after an assignment until its source is revoked or it has been idle; its
//! buffer exists only while it has rows. Nothing is reserved for a chain without rows.
//!
//! Does not own when to seal for memory, nor what becomes of a sealed buffer: the job says both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::packed::{Form, Packed};
use super::row::Row;
use crate::kafka::TopicPartition;
use crate::table::{ColumnType, PartitionKey};

/// Which of the job's two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    Rows,
    Rejected,
}

/// Names a chain until it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ChainId(u32);

/// One chain: the rows that one source gives to one partition of one table.
#[derive(Debug)]
pub(super) struct Chain {
    pub side: Side,
    pub source: TopicPartition,
    pub partition: PartitionKey,
    /// Where the chain ends; `None` until it was looked up.
    pub end: Option<i64>,
    /// A link of it is being written. One at a time (DESIGN §3.4).
    pub in_flight: bool,
    /// To be sealed as soon as the flight is over, and why.
    due: Option<SealCause>,
    open: Option<Open>,
    key: Box<[u8]>,
    used: Instant,
}

#[derive(Debug)]
struct Open {
    rows: Packed,
    serial: u64,
}

/// Why a buffer is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SealCause {
    Rows,
    Bytes,
    Age,
    /// The budget of all buffers.
    Memory,
    /// The source goes to another member.
    Revoke,
    /// The job ends.
    End,
}

impl SealCause {
    /// In their order: `ALL[cause as usize]` is the cause.
    pub const ALL: [Self; 6] = [Self::Rows, Self::Bytes, Self::Age, Self::Memory, Self::Revoke, Self::End];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Memory => "memory",
            Self::Revoke => "revoke",
            Self::End => "end",
        }
    }
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    /// The buffer is new: its first offset is to be held.
    pub opened: bool,
    /// The buffer has reached its limit of rows or bytes.
    pub full: bool,
}

/// The limits of one buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct BufferLimits {
    pub rows: usize,
    /// Of its rows as columns.
    pub bytes: usize,
    pub age: Duration,
}

/// All open buffers of a job.
#[derive(Debug)]
pub(super) struct Buffers {
    limits: BufferLimits,
    forms: [Arc<[Form]>; 2],
    scratch: Vec<u8>,
    ids: HashMap<Box<[u8]>, ChainId>,
    chains: Vec<Option<Chain>>,
    free: Vec<ChainId>,
    bytes: usize,
    /// How many have rows.
    open: usize,
    /// Buffers in the order they were opened; a serial that is not the chain's any more was sealed.
    ages: VecDeque<(Instant, ChainId, u64)>,
    serial: u64,
}

/// What a chain without rows costs, about: its key twice, its path, the slot.
const CHAIN_BYTES: usize = size_of::<Chain>() + 256;

/// What is kept for the next row.
const SCRATCH_MAX: usize = 1 << 20;

/// So many ages may be of buffers that are sealed before it is worth to look for them.
const AGES_SPARE: usize = 1024;

impl Buffers {
    /// `types`: the columns of the table, then of its rejected sibling.
    pub fn new(limits: BufferLimits, types: [Vec<ColumnType>; 2]) -> Self {
        Self {
            limits,
            forms: types.map(|types| types.iter().map(Form::of).collect()),
            scratch: Vec::new(),
            ids: HashMap::new(),
            chains: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            open: 0,
            ages: VecDeque::new(),
            serial: 0,
        }
    }

    /// How the columns of a side's rows are kept.
    pub fn forms(&self, side: Side) -> Arc<[Form]> {
        self.forms[side as usize].clone()
    }

    /// Bytes reserved by all chains and their open buffers.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<ChainId> {
        self.ids.get(key).copied()
    }

    /// Adds a chain whose key is not there.
    pub fn add(
        &mut self,
        key: &[u8],
        side: Side,
        source: &TopicPartition,
        partition: PartitionKey,
        now: Instant,
    ) -> ChainId {
        let chain = Chain {
            side,
            source: source.clone(),
            partition,
            end: None,
            in_flight: false,
            due: None,
            open: None,
            key: key.into(),
            used: now,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.chains.push(None);
            ChainId(self.chains.len() as u32 - 1)
        });
        self.chains[id.0 as usize] = Some(chain);
        self.ids.insert(key.into(), id);
        self.bytes += CHAIN_BYTES;
        id
    }

    /// A chain that is known; an id is used only while it is.
    pub fn chain(&self, id: ChainId) -> &Chain {
        self.chains[id.0 as usize].as_ref().expect("a chain is used only while it is known")
    }

    pub fn chain_mut(&mut self, id: ChainId) -> &mut Chain {
        self.chains[id.0 as usize].as_mut().expect("a chain is used only while it is known")
    }

    /// Appends a row of the record at `offset`.
    #[inline]
    pub fn append(&mut self, id: ChainId, row: &Row, offset: i64, now: Instant) -> Appended {
        let chain = self.chains[id.0 as usize].as_mut().expect("a chain is used only while it is known");
        let forms = &*self.forms[chain.side as usize];
        let opened = chain.open.is_none();
        let open = chain.open.get_or_insert_with(|| {
            self.serial += 1;
            self.open += 1;
            self.ages.push_back((now, id, self.serial));
            let rows = Packed::new(forms);
            self.bytes += rows.bytes();
            Open { rows, serial: self.serial }
        });
        self.bytes += open.rows.push(forms, row, offset, &mut self.scratch);
        if self.scratch.len() > SCRATCH_MAX {
            self.scratch = Vec::new(); // a row so large is rare
        }
        let full =
            open.rows.rows() >= self.limits.rows || open.rows.unpacked_bytes(forms) >= self.limits.bytes;
        Appended { opened, full }
    }

    /// Takes a chain's rows out, unless it has none, or a flight: then they are due when the flight is over.
    pub fn seal(&mut self, id: ChainId, why: SealCause, now: Instant) -> Option<Packed> {
        let chain = self.chains[id.0 as usize].as_mut().expect("a chain is used only while it is known");
        if chain.in_flight {
            chain.due = chain.open.is_some().then_some(why);
            return None;
        }
        let open = chain.open.take()?;
        chain.in_flight = true;
        chain.due = None;
        chain.used = now;
        self.bytes -= open.rows.bytes();
        self.open -= 1;
        Some(open.rows)
    }

    /// Ends a chain's flight; tells whether it is due again, and why.
    pub fn landed(&mut self, id: ChainId, end: i64) -> Option<SealCause> {
        let chain = self.chain_mut(id);
        chain.in_flight = false;
        chain.end = chain.end.max(Some(end));
        chain.due
    }

    /// Which limit a full buffer has reached.
    pub fn reached(&self, id: ChainId) -> SealCause {
        let open = self.chain(id).open.as_ref();
        let by_rows = open.is_none_or(|open| open.rows.rows() >= self.limits.rows);
        if by_rows { SealCause::Rows } else { SealCause::Bytes }
    }

    /// How long the oldest buffer has been open.
    pub fn oldest(&self, now: Instant) -> Duration {
        let mut opened = self.ages.iter().filter(|(_, id, serial)| is_open(&self.chains, *id, *serial));
        opened.next().map_or(Duration::ZERO, |(opened, ..)| now.duration_since(*opened))
    }

    /// How many buffers have rows.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Buffers that have reached their age.
    pub fn aged(&mut self, now: Instant) -> Vec<ChainId> {
        let mut aged = Vec::new();
        while let Some((opened, id, serial)) = self.ages.front().copied() {
            let current = is_open(&self.chains, id, serial);
            if current && now.duration_since(opened) < self.limits.age {
                break;
            }
            self.ages.pop_front();
            if current {
                aged.push(id);
            }
        }
        // Those that were sealed before their age wait behind one that is open for long.
        if self.ages.len() > 2 * self.ids.len() + AGES_SPARE {
            self.ages.retain(|(_, id, serial)| is_open(&self.chains, *id, *serial));
        }
        aged
    }

    /// The largest buffers that can be sealed now, until they hold at least so many bytes.
    pub fn largest(&self, bytes: usize) -> Vec<ChainId> {
        let mut sizes: Vec<(usize, ChainId)> = self
            .known()
            .filter(|(_, chain)| !chain.in_flight)
            .filter_map(|(id, chain)| chain.open.as_ref().map(|open| (open.rows.bytes(), id)))
            .collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum = 0;
        sizes
            .into_iter()
            .take_while(|(size, _)| {
                let more = sum < bytes;
                sum += size;
                more
            })
            .map(|(_, id)| id)
            .collect()
    }

    /// The chains that have rows; of one source, or of all.
    pub fn with_rows(&self, source: Option<&TopicPartition>) -> Vec<ChainId> {
        self.known()
            .filter(|(_, chain)| chain.open.is_some() && source.is_none_or(|source| chain.source == *source))
            .map(|(id, _)| id)
            .collect()
    }

    /// Forgets a source's chains, with what they hold: its next owner reads it again.
    pub fn forget_source(&mut self, source: &TopicPartition) {
        let ids: Vec<ChainId> = self.known().filter(|(_, c)| c.source == *source).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.forget(id));
    }

    /// Forgets chains that have no rows, no flight, and have not been used since. Their end is looked up again when
    /// they come back.
    pub fn forget_idle(&mut self, since: Instant) {
        let idle = |chain: &Chain| chain.open.is_none() && !chain.in_flight && chain.used < since;
        let ids: Vec<ChainId> = self.known().filter(|(_, chain)| idle(chain)).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.forget(id));
    }

    fn forget(&mut self, id: ChainId) {
        if let Some(chain) = self.chains[id.0 as usize].take() {
            if let Some(open) = &chain.open {
                self.bytes -= open.rows.bytes();
                self.open -= 1;
            }
            self.bytes -= CHAIN_BYTES;
            self.ids.remove(&chain.key);
            self.free.push(id);
        }
    }

    fn known(&self) -> impl Iterator<Item = (ChainId, &Chain)> {
        self.chains.iter().enumerate().filter_map(|(i, chain)| Some((ChainId(i as u32), chain.as_ref()?)))
    }
}

/// Whether a chain's buffer is still the one of this serial.
fn is_open(chains: &[Option<Chain>], id: ChainId, serial: u64) -> bool {
    let open = chains[id.0 as usize].as_ref().and_then(|chain| chain.open.as_ref());
    open.is_some_and(|open| open.serial == serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_counted_by_their_place() {
        assert!(SealCause::ALL.iter().enumerate().all(|(i, cause)| *cause as usize == i));
    }
}
