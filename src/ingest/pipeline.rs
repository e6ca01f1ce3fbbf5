//! The loop of a job: it owns all state, and every change of it happens here, one event after the other.
//!
//! ```text
//! deliveries ─▶ place ─▶ buffers ─ seal ─▶ flight (write::land) ─▶ registry ─ register ─▶ frontier ─▶ commit
//! ```
//!
//! Does not own how records become rows (`place`), links (`write`) or partitions of the catalog (`register`), and
//! knows no rdkafka: it talks to sources over channels. Time is tokio's, so that a test can pause it.

mod altered;
mod member;
mod telling;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, mpsc as std_mpsc};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use super::Limits;
use super::buffer::{ChainId, SealCause, Side};
use super::flight::{Flight, Flights, SealedAt};
use super::frontier::Frontier;
use super::guard::Guard;
use super::origin::Origin;
use super::place::Placer;
use super::progress::{Meter, Progress};
use super::register::{Registration, Registry, Waiting, register};
use super::shared::Shared;
use super::specs::Specs;
use super::target::Target;
use super::write::{Landed, Showing};
use crate::catalog::Catalog;
use crate::error::{self, Error, Kind, Result};
use crate::kafka::source::Reply;
use crate::kafka::{Commit, Delivery, FromSources, RecordSet, SourceCommand, SourceEvent, TopicPartition};
use crate::table::{Ddl, PartitionKey};

/// Ages, commits and progress are looked at so often.
const TICK: Duration = Duration::from_millis(100);
const PROGRESS: Duration = Duration::from_secs(1);
/// Another member's progress is asked for so often, while a batch waits for it.
const OTHERS: Duration = Duration::from_secs(1);
/// A chain without rows is forgotten after this; its end is looked up again if it comes back.
const CHAIN_IDLE: Duration = Duration::from_secs(1800);
/// After so many records a column that nothing was found for is worth a word.
const RECORDS_TELLING: u64 = 5000;

/// What a pipeline is given; it stays as it is.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The table, and its rejected sibling.
    pub targets: [Arc<Target>; 2],
    pub catalog: Arc<dyn Catalog>,
    pub meter: Arc<Meter>,
    pub shared: Shared,
    pub specs: Arc<Specs>,
    pub origin: Arc<Origin>,
    /// The id of the table's folder.
    pub lake: String,
    pub from: super::From,
    pub lost: super::Lost,
    pub until_end: bool,
    pub limits: Limits,
    /// The high watermarks of the sources that held records at the start.
    pub ends: BTreeMap<TopicPartition, i64>,
    /// How to reach each topic's source.
    pub commands: BTreeMap<String, std_mpsc::Sender<SourceCommand>>,
}

pub(super) struct Pipeline {
    plan: Plan,
    placer: Placer,
    guard: Guard,
    sources: BTreeMap<TopicPartition, SourceState>,
    /// Numbers sources in the buffers' keys.
    numbers: HashMap<TopicPartition, u32>,
    /// Committed offsets that were confirmed. They stay when a source is revoked, as its last confirmation comes then.
    confirmed: HashMap<TopicPartition, i64>,
    /// Up to where commits were counted.
    counted: HashMap<TopicPartition, i64>,
    /// Topics whose source has been asked what the group has committed, and has not answered.
    asked: HashSet<String>,
    flights: Flights,
    /// Links whose chain ends beyond what is known of the topic: the broker is being asked.
    unverified: Vec<Verify>,
    registry: Registry,
    registering: JoinSet<(Side, Vec<PartitionKey>, Result<Registration>)>,
    leaving: Vec<Leaving>,
    draining: Option<Drain>,
    progress: Progress,
    committed_at: Instant,
    others_asked: Instant,
    told_of_fields: bool,
    /// So many of the fields that no column takes have been named.
    unused_told: usize,
    /// The table as the catalog has it.
    looking: JoinSet<Result<Option<Ddl>>>,
    looked_at: Option<Instant>,
    first_seen: Option<Ddl>,
}

/// One assigned source.
#[derive(Debug)]
struct SourceState {
    assignment: u64,
    number: u32,
    frontier: Frontier,
    /// Where it was started.
    start: i64,
    /// The highest watermark that is known.
    high: i64,
    /// The offset at which a batch stops reading.
    stop_at: i64,
    leaving: bool,
}

impl SourceState {
    /// What a buffer that is sealed now has of it.
    fn sealed_at(&self) -> SealedAt {
        SealedAt { assignment: self.assignment, start: self.start, end: self.frontier.position() }
    }
}

struct Verify {
    side: Side,
    partition: PartitionKey,
    waiting: Waiting,
    chain_end: i64,
    showing: Showing,
}

/// A revoke that waits for what is on its way.
struct Leaving {
    /// With their assignments: a source that came back meanwhile is not given up.
    sources: Vec<(TopicPartition, u64)>,
    reply: Reply<Vec<Commit>>,
    deadline: Instant,
}

/// The end of the job: nothing is read any more.
#[derive(Clone, Copy)]
struct Drain {
    deadline: Option<Instant>,
}

impl Pipeline {
    pub fn new(plan: Plan, placer: Placer) -> Self {
        let now = Instant::now();
        Self {
            flights: Flights::new(
                plan.targets.clone(),
                plan.origin.clone(),
                plan.specs.clone(),
                plan.shared.clone(),
                plan.meter.clone(),
            ),
            registry: Registry::new(plan.limits.catalog_ttl, plan.shared.known.clone()),
            guard: Guard::new(plan.limits.rejected_max_ratio, plan.limits.rejected_window),
            plan,
            placer,
            sources: BTreeMap::new(),
            numbers: HashMap::new(),
            confirmed: HashMap::new(),
            counted: HashMap::new(),
            asked: HashSet::new(),
            unverified: Vec::new(),
            registering: JoinSet::new(),
            leaving: Vec::new(),
            draining: None,
            progress: Progress::default(),
            committed_at: now,
            others_asked: now,
            told_of_fields: false,
            unused_told: 0,
            looking: JoinSet::new(),
            looked_at: None,
            first_seen: None,
        }
    }

    /// Runs until the end, `stop`, or an error. Then the sources have been told to stop, with their last offsets.
    pub async fn run(
        &mut self,
        from: &mut FromSources,
        stop: &mut watch::Receiver<bool>,
        progress: &watch::Sender<Progress>,
    ) -> Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Instant::now();
        loop {
            // Also where a batch is at its end already: that drain has no deadline of its own.
            if *stop.borrow() && self.has_no_deadline() {
                info!("stopping: sealing, writing, registering and committing what was read");
                self.drain(Some(self.plan.limits.drain_deadline));
            }
            if self.draining.is_some() && self.has_no_deadline() && !self.is_at_the_end() {
                self.draining = None; // a source came back, from before its end
            }
            if self.draining.is_none() && self.is_at_the_end() {
                // A batch of a few records is all there is to judge by.
                if self.placer.shelves.counts.decoded() > 0 {
                    self.tell_of_fields();
                }
                self.drain(None);
            }
            if self.is_drained() {
                self.let_go(); // a revoke whose deadline is the drain's
                break;
            }
            tokio::select! {
                biased;
                event = from.events.recv() => match event {
                    Some(event) => self.on_event(event).await?,
                    None => return Err(Error::new(Kind::Kafka, "the sources are gone")),
                },
                Some(flight) = self.flights.next() => self.on_flight(flight?)?,
                Some(registered) = self.registering.join_next() => self.on_registered(joined(registered)?)?,
                Some(looked) = self.looking.join_next() => self.on_looked(joined(looked)?),
                _ = tick.tick() => self.on_tick(),
                changed = stop.changed(), if !*stop.borrow() && self.has_no_deadline() => {
                    // A sender that is gone asks for nothing any more; waiting for it would spin.
                    if changed.is_err() {
                        self.drain(Some(self.plan.limits.drain_deadline));
                    }
                }
                delivery = from.deliveries.recv(), if self.is_reading() => {
                    if let Some(delivery) = delivery {
                        self.on_delivery(delivery)?;
                    }
                }
            }
            self.start_registering();
            self.let_go();
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                let _ = progress.send(self.progress());
            }
        }
        let _ = progress.send(self.progress());
        Ok(())
    }

    async fn on_event(&mut self, event: SourceEvent) -> Result<()> {
        match event {
            SourceEvent::Found(_) => Ok(()),
            SourceEvent::Assigned { assignment, offers, reply } => {
                let starts = self.take(assignment, offers).await?;
                reply.send(starts);
                self.commit(); // where records are skipped on purpose, before a crash could skip more
                Ok(())
            }
            SourceEvent::Revoked { sources, lost, reply } => {
                self.give_up(sources, lost, reply);
                Ok(())
            }
            SourceEvent::Watermark { source, high } => self.verify(&source, high),
            SourceEvent::Watermarks(ends) => {
                for (source, end) in ends {
                    if let Some(state) = self.sources.get_mut(&source) {
                        state.high = state.high.max(end);
                    }
                }
                Ok(())
            }
            SourceEvent::GroupOffsets { topic, offsets } => {
                self.asked.remove(&topic);
                match offsets {
                    Ok(offsets) => self.note_offsets(&topic, &offsets),
                    Err(e) => warn!(error = error::chain(&e), "asking again"),
                }
                Ok(())
            }
            SourceEvent::Committed(outcome) => {
                if let Err(e) = self.on_committed(outcome) {
                    self.progress.commits_failed += 1;
                    warn!(error = error::chain(&e), "offsets were not committed; trying again");
                }
                Ok(())
            }
            SourceEvent::Failed(e) => Err(e),
        }
    }

    fn on_delivery(&mut self, delivery: Delivery) -> Result<()> {
        match delivery {
            Delivery::Records(set) => self.on_records(&set)?,
            Delivery::Ended { source, assignment, offset } => {
                if let Some(state) =
                    self.sources.get_mut(&source).filter(|s| s.assignment == assignment && !s.leaving)
                {
                    state.frontier.advance(offset.min(state.stop_at));
                }
            }
        }
        self.keep_budget();
        Ok(())
    }

    fn on_records(&mut self, set: &RecordSet) -> Result<()> {
        let Some(state) = self.sources.get_mut(&set.source) else { return Ok(()) };
        if state.assignment != set.assignment || state.leaving {
            return Ok(());
        }
        let now = Instant::now();
        let mut full = Vec::new();
        for record in set.iter() {
            if record.offset >= state.stop_at {
                state.frontier.advance(state.stop_at);
                break;
            }
            if record.offset < state.frontier.position() {
                // Its rows would be taken for rows that are in a link already.
                return Err(Error::new(
                    Kind::Protocol,
                    "a record came again, or after a later one: this is a bug",
                )
                .with("source", &set.source)
                .with("offset", record.offset)
                .with("read so far", state.frontier.position()));
            }
            self.progress.records += 1;
            self.progress.record_bytes += record.bytes() as u64;
            self.placer.place(&set.source, state.number, &record, &mut state.frontier, now);
            state.high = state.high.max(record.offset + 1);
            self.guard.look(&self.placer.shelves.counts)?;
            if !self.placer.shelves.full.is_empty() {
                // Sealed before the next record, so that `end` is exact and no record is cut in two.
                full.append(&mut self.placer.shelves.full);
                let at = state.sealed_at();
                for id in full.drain(..) {
                    let why = self.placer.shelves.buffers.reached(id);
                    self.flights.send(&mut self.placer.shelves.buffers, id, why, at, now);
                }
            }
        }
        if self.placer.shelves.counts.decoded() >= RECORDS_TELLING {
            self.tell_of_fields();
        }
        Ok(())
    }

    /// Past the budget the largest buffers are sealed, so that what is left and not on its way is three quarters of this
    /// pipeline's share.
    fn keep_budget(&mut self) {
        let buffered = self.placer.shelves.buffers.bytes();
        let flying = self.flights.bytes();
        if !self.plan.shared.is_too_much(buffered + flying) {
            return;
        }
        let aim = self.plan.shared.share() / 4 * 3;
        let excess = (buffered + flying).saturating_sub(aim).saturating_sub(flying);
        if excess > 0 {
            let ids = self.placer.shelves.buffers.largest(excess);
            debug!(buffered, in_flight = flying, sealing = ids.len(), "memory budget reached");
            ids.into_iter().for_each(|id| self.seal(id, SealCause::Memory));
        }
        if self.flights.is_empty() {
            self.placer.shelves.buffers.forget_idle(Instant::now());
        }
    }

    /// Reading waits while the budget is spent and something is on its way that will free it.
    fn is_reading(&self) -> bool {
        let held = self.placer.shelves.buffers.bytes() + self.flights.bytes();
        let spent = self.plan.shared.is_too_much(held);
        let freeing = !self.flights.is_empty();
        self.draining.is_none() && !(spent && freeing)
    }

    /// Columns and fields that do not meet. Each once.
    fn tell_of_fields(&mut self) {
        if self.plan.origin.replay > 0 {
            return; // what was rejected is no picture of the feed
        }
        let unused = self.placer.decoder.unused();
        if unused.len() > self.unused_told {
            let fields = &unused[self.unused_told..];
            match self.told_of_fields {
                // Those of the first records may have been left out on purpose.
                false => info!(?fields, "no column takes these fields of the records"),
                true => warn!(
                    ?fields,
                    "the feed has new fields, and no column takes them: `ticklake table infer --topic TOPIC --diff TABLE` gives a \
                     DDL that does"
                ),
            }
            self.unused_told = unused.len();
        }
        // A name or a pointer may be misspelled.
        if std::mem::replace(&mut self.told_of_fields, true) {
            return;
        }
        let unmatched = self.placer.decoder.unmatched();
        if !unmatched.is_empty() {
            warn!(columns = ?unmatched, "nothing in the records so far matches the source of these columns: they are null");
        }
    }

    /// Sends a chain's rows on their way, if it has any and none is on its way already.
    fn seal(&mut self, id: ChainId, why: SealCause) {
        let source = &self.placer.shelves.buffers.chain(id).source;
        let Some(state) = self.sources.get(source) else { return };
        let at = state.sealed_at();
        self.flights.send(&mut self.placer.shelves.buffers, id, why, at, Instant::now());
    }

    fn on_flight(&mut self, flight: Flight) -> Result<()> {
        let Flight { side, partition, waiting, landed, .. } = flight;
        let landed = landed?;
        self.progress.already_there += landed.found as u64;
        if let Some(link) = &landed.link {
            self.progress.files += 1;
            self.progress.file_bytes += link.bytes as u64;
        }
        let Some(state) = self.sources.get(&waiting.source).filter(|s| s.assignment == waiting.assignment)
        else {
            return Ok(()); // of an assignment that is over: it changes nothing (DESIGN §3.12)
        };
        let due = self.placer.shelves.buffers.landed(waiting.chain, landed.chain_end);
        let (leaving, high) = (state.leaving, state.high);
        let ending = self.draining.map(|_| SealCause::End);
        if let Some(why) = due.or(leaving.then_some(SealCause::Revoke)).or(ending) {
            self.seal(waiting.chain, why);
        }
        if landed.chain_end > high {
            let source = waiting.source.clone();
            let Landed { chain_end, showing, .. } = landed;
            self.unverified.push(Verify { side, partition, waiting, chain_end, showing });
            return self.ask(&source.topic, SourceCommand::Watermark(source.clone()));
        }
        self.expect(side, partition, waiting, landed.showing);
        Ok(())
    }

    /// A chain that ends beyond the topic belongs to another topic of that name (DESIGN §3.10).
    fn verify(&mut self, source: &TopicPartition, high: i64) -> Result<()> {
        if let Some(state) = self.sources.get_mut(source) {
            state.high = state.high.max(high);
        }
        let (answered, rest) = self.unverified.drain(..).partition(|v: &Verify| v.waiting.source == *source);
        self.unverified = rest;
        for Verify { side, partition, waiting, chain_end, showing } in answered {
            if chain_end > high {
                return Err(Error::new(
                    Kind::Protocol,
                    "a chain of links ends beyond the end of the topic: the topic was made anew under its old name. Set \
                     ingest.source_epoch (--source-epoch) one higher, which begins new chains",
                )
                .with("source", source)
                .with("partition", partition.path())
                .with("chain ends at", chain_end)
                .with("topic ends at", high));
            }
            self.expect(side, partition, waiting, showing);
        }
        Ok(())
    }

    /// Ends a flight's hold once its partition is registered, if it is to be.
    fn expect(&mut self, side: Side, partition: PartitionKey, waiting: Waiting, showing: Showing) {
        if showing == Showing::RegisterAnew {
            self.registry.forget(side, &partition);
        }
        if showing == Showing::Nothing || self.registry.is_known(side, &partition, Instant::now()) {
            self.release(&waiting);
        } else {
            self.registry.wait(side, partition, waiting);
        }
    }

    fn release(&mut self, waiting: &Waiting) {
        let state = self.sources.get_mut(&waiting.source).filter(|s| s.assignment == waiting.assignment);
        if let Some(state) = state {
            state.frontier.release(waiting.held);
        }
    }

    fn start_registering(&mut self) {
        if !self.registering.is_empty() {
            return;
        }
        let Some((side, keys)) = self.registry.batch() else { return };
        self.look_for_changes();
        let (catalog, target) = (self.plan.catalog.clone(), self.plan.targets[side as usize].clone());
        let meter = self.plan.meter.clone();
        self.registering.spawn(async move {
            let registered = register(&*catalog, &target, &keys, &meter).await;
            (side, keys, registered)
        });
    }

    fn on_registered(
        &mut self,
        (side, keys, registered): (Side, Vec<PartitionKey>, Result<Registration>),
    ) -> Result<()> {
        let registered = registered?;
        self.progress.partitions_registered += registered.created as u64;
        for waiting in self.registry.done(side, keys, &registered.new, Instant::now()) {
            self.release(&waiting);
        }
        Ok(())
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        self.keep_budget(); // others may have spent it meanwhile
        let aged = self.placer.shelves.buffers.aged(now);
        aged.into_iter().for_each(|id| self.seal(id, SealCause::Age));
        if self.draining.is_none() && self.waits_for_others() {
            // Nothing is added to these any more, and others may wait for what they hold.
            self.seal_all();
        }
        if now.duration_since(self.committed_at) >= self.plan.limits.commit_interval {
            self.committed_at = now;
            self.commit();
            self.registry.expire(now);
            if let Some(since) = now.checked_sub(CHAIN_IDLE) {
                self.placer.shelves.buffers.forget_idle(since);
            }
        }
        if self.plan.until_end && now.duration_since(self.others_asked) >= OTHERS {
            self.others_asked = now;
            self.ask_for_others();
        }
    }

    fn ask(&self, topic: &str, command: SourceCommand) -> Result<()> {
        let sender = self.plan.commands.get(topic);
        sender
            .and_then(|sender| sender.send(command).ok())
            .ok_or_else(|| Error::new(Kind::Kafka, "the source is gone").with("topic", topic))
    }

    /// Reads no more; everything that has rows is sealed.
    fn drain(&mut self, within: Option<Duration>) {
        self.draining = Some(Drain { deadline: within.map(|within| Instant::now() + within) });
        self.seal_all();
    }

    fn seal_all(&mut self) {
        let ids = self.placer.shelves.buffers.with_rows(None);
        ids.into_iter().for_each(|id| self.seal(id, SealCause::End));
    }

    /// Nobody has asked it to stop yet.
    fn has_no_deadline(&self) -> bool {
        self.draining.is_none_or(|drain| drain.deadline.is_none())
    }

    /// Whether the end came before everything that was read was durable and registered.
    pub fn is_cut_off(&self) -> bool {
        self.sources.values().any(|state| !state.frontier.is_clear())
    }

    fn is_drained(&self) -> bool {
        let Some(drain) = self.draining else { return false };
        let clear = self.leaving.is_empty() && self.sources.values().all(|state| state.frontier.is_clear());
        let late = drain.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        clear || late
    }
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T> {
    result.map_err(|e| Error::new(Kind::Store, "a task of the job broke off").because(e))
}
