//! Owns the links that are on their way: from a sealed buffer to the news that its rows are durable.
//!
//! Any number may wait; so many are encoded and put at once. What they hold in memory is counted until they land.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::buffer::{Buffers, ChainId, SealCause, Side};
use super::origin::Origin;
use super::progress::Meter;
use super::register::Waiting;
use super::shared::Shared;
use super::specs::Specs;
use super::target::Target;
use super::write::{Landed, Rows, Seal, land};
use crate::error::{Error, Kind, Result};
use crate::kafka::TopicPartition;
use crate::table::PartitionKey;

/// A link that was on its way, and what became of it.
#[derive(Debug)]
pub(super) struct Flight {
    pub side: Side,
    pub partition: PartitionKey,
    /// Whose hold ends when the link is durable and registered.
    pub waiting: Waiting,
    /// They go where they were made: what another thread gives back is not used again before its owner looks.
    rows: Arc<Rows>,
    pub landed: Result<Landed>,
}

/// How far its source was when a buffer was sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealedAt {
    pub assignment: u64,
    /// Where the assignment began to read.
    pub start: i64,
    /// Every record of the source below it has its place.
    pub end: i64,
}

/// All links of a job that are on their way.
#[derive(Debug)]
pub(super) struct Flights {
    targets: [Arc<Target>; 2],
    origin: Arc<Origin>,
    specs: Arc<Specs>,
    shared: Shared,
    meter: Arc<Meter>,
    flying: JoinSet<Flight>,
    bytes: usize,
    /// What holds sources back: several links may hold one offset, that of a record with rows for each.
    held: HashMap<(TopicPartition, i64), usize>,
    /// By cause, in the order of `SealCause::ALL`.
    seals: [u64; SealCause::ALL.len()],
}

impl Flights {
    pub fn new(
        targets: [Arc<Target>; 2],
        origin: Arc<Origin>,
        specs: Arc<Specs>,
        shared: Shared,
        meter: Arc<Meter>,
    ) -> Self {
        let seals = Default::default();
        Self {
            targets,
            origin,
            specs,
            shared,
            meter,
            flying: JoinSet::new(),
            bytes: 0,
            held: HashMap::new(),
            seals,
        }
    }

    /// Bytes of all rows on their way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.flying.len()
    }

    /// How many buffers were sealed, by why.
    pub fn seals(&self) -> BTreeMap<&'static str, u64> {
        SealCause::ALL.iter().zip(self.seals).map(|(why, count)| (why.name(), count)).collect()
    }

    /// Whether a link on its way holds a source back at an offset.
    pub fn holds(&self, source: &TopicPartition, offset: i64) -> bool {
        self.held.contains_key(&(source.clone(), offset))
    }

    pub fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// Sends a chain's rows on their way, if it has any and none is on its way already.
    pub fn send(&mut self, buffers: &mut Buffers, id: ChainId, why: SealCause, at: SealedAt, now: Instant) {
        let Some(rows) = buffers.seal(id, why, now) else { return };
        self.seals[why as usize] += 1;
        let chain = buffers.chain(id);
        let (side, partition) = (chain.side, chain.partition.clone());
        self.bytes += rows.bytes();
        let rows = Arc::new(Rows { packed: rows, forms: buffers.forms(side) });
        let waiting = Waiting {
            chain: id,
            source: chain.source.clone(),
            assignment: at.assignment,
            held: rows.packed.first_offset(),
            since: now,
        };
        *self.held.entry((waiting.source.clone(), waiting.held)).or_default() += 1;
        let seal = Seal {
            target: self.targets[side as usize].clone(),
            partition: partition.clone(),
            chain: self.origin.chain(&chain.source),
            rows: rows.clone(),
            source_start: at.start,
            end: at.end,
            chain_end: chain.end,
        };
        let (shared, meter) = (self.shared.clone(), self.meter.clone());
        let (origin, specs) = (self.origin.clone(), self.specs.clone());
        self.flying.spawn(async move {
            let permit = shared.writes.acquire().await;
            let landed = land(seal, &origin, &specs, &shared.encoders, &meter).await;
            drop(permit);
            let waiting = Waiting { since: Instant::now(), ..waiting };
            Flight { side, partition, waiting, rows, landed }
        });
    }

    /// The next link that lands; `None` where none is on its way.
    pub async fn next(&mut self) -> Option<Result<Flight>> {
        let landed = self.flying.join_next().await?;
        Some(match landed {
            Ok(flight) => {
                self.bytes -= flight.rows.packed.bytes();
                let key = (flight.waiting.source.clone(), flight.waiting.held);
                if let Some(links) = self.held.get_mut(&key) {
                    *links -= 1;
                    if *links == 0 {
                        self.held.remove(&key);
                    }
                }
                Ok(flight)
            }
            Err(e) => Err(Error::new(Kind::Store, "a task of the job broke off").because(e)),
        })
    }
}
