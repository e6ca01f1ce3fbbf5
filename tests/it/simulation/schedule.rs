//! One schedule: what a seed makes happen to a group of writers of one table, and what must hold at its end.
//!
//! The clock is tokio's, paused, so that a minute takes milliseconds. At the end all faults cease, the group lives on or
//! one clean writer drains the topics, and the table is counted.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use ticklake::error;
use ticklake::ingest::{From, Limits, Lost};
use ticklake::store::{Durability, Stores};
use ticklake::verify::{self, Check, Committed, Expiry};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::broker::{self, Broker};
use super::chance::Chance;
use super::faults::{Faults, START};
use super::feed::{self, Version};
use super::lake::{LATE, Lake, Store};
use super::plan::{Event, Plan};
use super::process::{Parts, Process, Start};
use super::shelf::Shelf;
use super::{Outcome, Verdict};

/// The clean writer at the end has so long, of the schedule's clock.
const DRAIN: Duration = Duration::from_secs(3600);
/// Where nothing fails any more, a group has its topics read, written and committed within this.
const LIVELY: Duration = Duration::from_secs(900);

struct World {
    plan: Plan,
    parts: Parts,
    chance: Chance,
    writers: Vec<Process>,
    started: usize,
    version: Version,
    epoch: u32,
    /// Of a schedule in which partitions expire; its own, so that the other schedules are as they were.
    expiring: Option<Chance>,
}

/// Runs the schedule of a seed.
pub fn run(seed: u64) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let set = LocalSet::new();
    let faults = set.block_on(&runtime, async {
        START.with(|start| start.set(Some(Instant::now())));
        let mut chance = Chance::new(seed);
        let (plan, rates) = Plan::new(&mut chance);
        let faults = Arc::new(Faults::new(seed, rates));
        let mut world = World::new(seed, plan, chance, faults.clone());
        world.run().await;
        faults
    });
    let (wrong, log, counts) = faults.found();
    let verdict = if wrong.is_empty() { Verdict::Holds } else { Verdict::Broken(wrong) };
    Outcome { seed, verdict, log, counts }
}

impl World {
    fn new(seed: u64, plan: Plan, chance: Chance, faults: Arc<Faults>) -> Self {
        let lake = Arc::new(Lake::new(faults.clone()));
        let shelf = Arc::new(Shelf::new(lake.clone(), faults.clone()));
        let broker = Arc::new(Broker::new(lake.clone(), shelf.clone(), faults.clone(), &plan.partitions));
        faults.foresee(&["simulated", "the last offsets were not committed", "the drain deadline came"]);
        let parts = Parts { seed, lake, shelf, broker, faults };
        let mut expiring = Chance::of(seed, "expire", 0);
        let expiring = expiring.happens(200).then_some(expiring);
        let version = Version::First;
        Self { plan, parts, chance, writers: Vec::new(), started: 0, version, epoch: 0, expiring }
    }

    async fn run(&mut self) {
        for slot in self.parts.broker.slots() {
            self.produce(slot);
        }
        self.start();
        for _ in 0..self.plan.events {
            let calm = self.chance.between(1, self.plan.calm);
            sleep(Duration::from_millis(calm)).await;
            let event = self.chance.pick(&self.plan.mix);
            self.happen(event).await;
            self.expire_maybe().await;
            if self.parts.faults.is_wrong() {
                return;
            }
        }
        self.end().await;
    }

    fn produce(&mut self, slot: i32) {
        let count = self.chance.between(1, 8);
        self.parts.broker.produce(&mut self.chance, slot, count, self.plan.symbols);
    }

    async fn happen(&mut self, event: Event) {
        let writer = match self.writers.len() {
            0 => None,
            n => Some(self.chance.between(0, n as u64 - 1) as usize),
        };
        self.parts.faults.note(format!("{event:?} {:?}", writer.map(|w| self.writers[w].id)));
        let long = |chance: &mut Chance| Duration::from_millis(chance.between(100, 15_000));
        match event {
            Event::Produce => {
                let slot = self.chance.pick(&self.parts.broker.slots());
                self.produce(slot);
            }
            Event::Rebalance => self.rebalance(),
            Event::Start => self.start(),
            Event::Kill => {
                if let Some(writer) = writer {
                    self.parts.faults.count("process: killed");
                    let killed = self.writers.swap_remove(writer);
                    killed.kill();
                    self.throw_out(killed.id);
                }
            }
            Event::Stop => {
                if let Some(writer) = writer {
                    self.parts.faults.count("process: told to stop");
                    let _ = self.writers[writer].stop.send(true); // one that has ended needs no word
                }
            }
            Event::Batch => {
                self.parts.faults.count("process: a batch among faults");
                self.stop_all().await;
                self.drain().await;
                self.start();
            }
            Event::BatchBeside => self.start_batch(),
            Event::Freeze => {
                if let Some(writer) = writer {
                    self.parts.faults.count("process: stood still, was thrown out");
                    let (frost, id) = (self.writers[writer].frost.clone(), self.writers[writer].id);
                    frost.freeze(self.chance.happens(500));
                    self.writers[writer].orders.cut_off();
                    self.throw_out(id);
                    let length = long(&mut self.chance);
                    tokio::task::spawn_local(async move {
                        sleep(length).await;
                        frost.thaw();
                    });
                }
            }
            Event::Zombie => {
                if let Some(writer) = writer {
                    self.parts.faults.count("process: cut off from the group, went on");
                    self.writers[writer].orders.cut_off();
                    self.throw_out(self.writers[writer].id);
                }
            }
            Event::Notice => {
                self.writers.iter().for_each(|writer| writer.orders.notice());
            }
            Event::BrokerFails => {
                if let Some(writer) = writer {
                    self.parts.faults.count("kafka: a source failed");
                    self.writers[writer].orders.fails.store(true, Ordering::Relaxed);
                }
            }
            Event::StoreDown => {
                self.parts.faults.count("store: was down");
                self.parts.faults.take_store_down(long(&mut self.chance));
            }
            Event::CatalogDown => {
                self.parts.faults.count("catalog: was down");
                self.parts.faults.take_catalog_down(long(&mut self.chance));
            }
            Event::OffsetsLost => {
                self.parts.faults.count("offsets: deleted");
                let mut state = self.parts.broker.state();
                state.committed.clear();
                state.moved = true;
            }
            Event::OffsetsBack | Event::OffsetsForward => self.set_offsets(event),
            Event::PartitionDropped => {
                let nth = self.chance.draw();
                if let Some(folder) = self.parts.shelf.drop_any(nth) {
                    self.parts.faults.count("catalog: a partition dropped by another");
                    self.parts.faults.note(format!("  dropped {folder}"));
                }
            }
            Event::Retention => self.retain().await,
            Event::RecordsLost => self.lose_records(),
            Event::MadeAnew => self.make_anew().await,
            Event::Widen => self.change_columns(Version::Wider, "table: a column added").await,
            Event::Narrow => self.change_columns(Version::First, "table: a column dropped").await,
            Event::WidenTooSoon => self.widen_too_soon().await,
            Event::TakeOver => self.take_over().await,
            Event::Reroute if self.version == Version::TakenOver => {}
            Event::Reroute => {
                self.parts.faults.count("table: a DDL that routes otherwise, tried");
                self.parts
                    .faults
                    .foresee(&["differs in more than columns added", "other columns than the DDL"]);
                if self.parts.lake.truth().links > 0 {
                    self.start_as(Version::Rerouted);
                }
            }
        }
    }

    /// By hand, without our metadata; or back at an older commit, as one of a member that was late does.
    fn set_offsets(&mut self, event: Event) {
        let mut state = self.parts.broker.state();
        let state = &mut *state;
        state.moved = true;
        for (slot, log) in &state.logs {
            let (offset, _) = state.committed.get(slot).cloned().unwrap_or_default();
            let before = state.commits.get(slot).map_or(&[][..], Vec::as_slice);
            let offset = offset.min(log.high); // of a topic before it was made anew
            let set = match event {
                Event::OffsetsForward => {
                    self.parts.faults.count("offsets: set forward by hand");
                    (self.chance.between(offset as u64, log.high as u64) as i64, String::new())
                }
                _ if before.is_empty() || self.chance.happens(500) => {
                    self.parts.faults.count("offsets: set back by hand");
                    (self.chance.between(0, offset as u64) as i64, String::new())
                }
                _ => {
                    self.parts.faults.count("offsets: back at an older commit");
                    before[self.chance.between(0, before.len() as u64 - 1) as usize].clone()
                }
            };
            state.committed.insert(*slot, set);
        }
    }

    /// A user puts the group's offsets where they were, having been told that they are needed.
    fn restore_offsets(&self) {
        self.parts.faults.count("offsets: restored by hand");
        let mut state = self.parts.broker.state();
        let furthest = state.furthest.clone();
        state.committed.extend(furthest);
    }

    /// Old records go, and old links with them, never the last of a chain. A link goes only when no request for its name
    /// can be under way any more (DESIGN §5 gives it a day): here, when all processes are gone.
    async fn retain(&mut self) {
        self.stop_all().await;
        sleep(LATE).await;
        let done: Vec<(String, i64)> = {
            let mut state = self.parts.broker.state();
            let state = &mut *state;
            let furthest = state.furthest.iter().map(|(slot, (offset, _))| (*slot, *offset));
            let done = furthest.map(|(slot, offset)| {
                let log = state.logs.get_mut(&slot).unwrap();
                log.low = log.low.max(offset);
                (broker::chain(slot, log.epoch), offset)
            });
            done.collect()
        };
        self.parts.faults.count("topic and table: old records and files removed");
        self.parts.faults.foresee(&["retention has removed records"]); // where offsets were moved back
        let old: Vec<(String, String, i64)> = {
            let truth = self.parts.lake.truth();
            let is_old =
                |chain: &str, end: i64| done.iter().any(|(done, offset)| chain == done && end <= *offset);
            truth
                .chains
                .iter()
                .flat_map(|((folder, chain), links)| {
                    let but_last = &links[..links.len() - 1];
                    let old = but_last.iter().filter(move |link| is_old(chain, link.end));
                    old.map(move |link| (folder.clone(), chain.clone(), link.start))
                })
                .collect()
        };
        for (folder, chain, start) in old {
            self.parts.lake.remove(&folder, &chain, start).await;
        }
        self.start();
    }

    /// Partitions leave the table under the writers' hands, by the program's own command; or, when no writer is left that knows
    /// their files, those go too.
    async fn expire_maybe(&mut self) {
        let Some(chance) = &mut self.expiring else { return };
        if !chance.happens(400) {
            return;
        }
        let (files_too, rejected) = (chance.happens(300), chance.happens(250));
        if files_too {
            self.parts.faults.count("table: files of expired partitions removed");
            self.stop_all().await;
            sleep(LATE).await;
        }
        self.parts.lake.is_quiet.store(files_too, Ordering::Relaxed);
        let committed = {
            let state = self.parts.broker.state();
            let of_log = |(slot, log): (&i32, &broker::Log)| {
                let (offset, _) = state.furthest.get(slot).cloned().unwrap_or_default();
                let source = broker::source(*slot);
                ((source.topic.to_string(), source.partition, log.epoch), offset)
            };
            state.logs.iter().map(of_log).collect()
        };
        let store = Store { lake: self.parts.lake.clone(), frost: Arc::default() };
        let check = Check {
            table: feed::ddl(self.version).name,
            catalog: Arc::new(self.parts.shelf.of_process(Arc::default())),
            stores: Stores::new(Durability::NoFsync).with_store("sim", Arc::new(store)),
            dates: None,
            records: None,
            patience: Duration::ZERO,
        };
        let check = match rejected {
            true => Check { table: format!("{}_rejected", check.table).parse().unwrap(), ..check },
            false => check,
        };
        let expiry = Expiry {
            before: "2026-11-24".parse().unwrap(),
            grace: if files_too { TimeDelta::zero() } else { TimeDelta::days(40_000) },
            now: "2100-01-01T00:00:00Z".parse().unwrap(),
            applies: true,
            committed: Committed::Known(committed),
        };
        let faults = self.parts.faults.clone();
        let expiring = async move {
            match verify::expire(&check, &expiry).await {
                Ok(done) => {
                    let dropped: u64 = done.days.iter().map(|day| day.dropped.partitions).sum();
                    faults.note(format!("  expired {dropped} partitions, {} are busy", done.busy.len()));
                    (0..dropped).for_each(|_| faults.count("table: a partition expired"));
                    (0..done.busy.len())
                        .for_each(|_| faults.count("table: a partition was not to expire yet"));
                }
                Err(e) => faults.note(format!("  expiring broke off: {}", error::chain(&e))),
            }
        };
        match files_too {
            true => {
                expiring.await;
                self.start();
            }
            false => {
                tokio::task::spawn_local(expiring);
            }
        }
    }

    /// Records go that the group has not read. It has committed before: else nobody can know that they were there; and
    /// some stay, as a batch does not wait for a partition that has none.
    fn lose_records(&mut self) {
        let mut state = self.parts.broker.state();
        let state = &mut *state;
        for (slot, (offset, _)) in &state.furthest {
            let log = state.logs.get_mut(slot).unwrap();
            if self.chance.happens(500) && *offset + 1 < log.high {
                self.parts.faults.count("topic: records removed before they were read");
                log.low = log.low.max(self.chance.between(*offset as u64 + 1, log.high as u64 - 1) as i64);
                log.lost.push(*offset..log.low);
            }
        }
        self.parts.faults.foresee(&["retention has removed records"]);
    }

    /// A DDL that routes otherwise goes on as it must. There is no way back.
    async fn take_over(&mut self) {
        if self.version == Version::First {
            self.change_to(Version::TakenOver, "table: a DDL that routes otherwise takes over").await;
        }
    }

    /// A column is added, or dropped, as it must be.
    async fn change_columns(&mut self, to: Version, what: &'static str) {
        if self.version != to && self.version != Version::TakenOver {
            self.change_to(to, what).await;
        }
    }

    /// Every writer of the old DDL is gone, and so is what it had sent.
    async fn change_to(&mut self, version: Version, what: &'static str) {
        self.parts.faults.count(what);
        self.foresee_another_ddl();
        self.stop_all().await;
        sleep(LATE + Duration::from_secs(30)).await;
        if self.drain().await {
            self.version = version;
            self.parts.shelf.alter(&feed::ddl(version));
            if version == Version::TakenOver {
                self.parts.broker.state().reroute();
            }
        }
        self.start();
    }

    fn foresee_another_ddl(&self) {
        self.parts
            .faults
            .foresee(&["the last run under another DDL was cut off", "was written under another DDL"]);
    }

    /// A column is added when every writer was killed. Where it is refused, the user goes back.
    async fn widen_too_soon(&mut self) {
        if self.version != Version::First || self.parts.lake.truth().specs != 1 {
            return;
        }
        self.parts.faults.count("table: a column added after a crash");
        self.foresee_another_ddl();
        self.kill_all().await;
        self.version = Version::Wider;
        self.parts.shelf.alter(&feed::ddl(Version::Wider));
        self.start();
        let started = Instant::now();
        while self.parts.lake.truth().specs == 1 && started.elapsed() < LATE {
            sleep(Duration::from_secs(1)).await;
            if self.writers.iter().all(|writer| writer.is_over()) {
                break;
            }
        }
        if self.parts.lake.truth().specs == 1 {
            self.parts.faults.count("table: the column was refused");
            self.kill_all().await; // its DDL may be on the wire
        }
        if self.parts.lake.truth().specs == 1 {
            self.version = Version::First;
            self.parts.shelf.alter(&feed::ddl(Version::First));
            self.start();
        }
    }

    /// A topic is deleted and made again. Where the job's epoch has read it, it is refused until there is a new one.
    async fn make_anew(&mut self) {
        self.stop_all().await;
        if self.chance.happens(500) {
            self.drain().await;
        }
        sleep(LATE).await; // its note may be on the wire
        self.parts.faults.count("topic: made anew");
        self.parts.faults.foresee(&["files of another topic of that name"]);
        let topic = self.chance.between(0, self.plan.partitions.len() as u64 - 1) as usize;
        let is_read = self.parts.lake.truth().topics.contains(&broker::note(topic, self.epoch));
        let epoch = self.epoch + u32::from(is_read);
        self.parts.broker.make_anew(topic, epoch);
        for slot in self.parts.broker.slots().into_iter().filter(|slot| broker::topic_of(*slot) == topic) {
            self.produce(slot);
        }
        if is_read {
            if self.drain().await {
                self.parts.faults.wrong("a topic made anew was read under the epoch of before".into());
            }
            sleep(LATE).await;
            self.epoch = epoch;
            self.parts.broker.begin_epoch(epoch);
        }
        self.start();
    }

    fn start(&mut self) {
        if self.writers.iter().filter(|w| !w.is_over()).count() < self.plan.writers {
            self.start_as(self.version);
        }
    }

    /// Beside the other members.
    fn start_batch(&mut self) {
        self.parts.faults.count("process: a batch beside others");
        let batch = self.process(self.version, true, From::Beginning);
        self.writers.push(batch);
        self.rebalance();
    }

    fn start_as(&mut self, version: Version) {
        self.writers.retain(|w| !w.is_over());
        let writer = self.process(version, false, self.plan.from);
        self.writers.push(writer);
        self.rebalance();
    }

    fn process(&mut self, version: Version, until_end: bool, from: From) -> Process {
        self.started += 1;
        let Plan { lost, limits, style, partitions, .. } = &self.plan;
        let patient = Limits { drain_deadline: Limits::default().drain_deadline, ..*limits };
        let start = Start {
            id: self.started,
            version,
            topics: partitions.len(),
            until_end,
            from,
            lost: if until_end { Lost::Skip } else { *lost },
            epoch: self.epoch,
            limits: if until_end { patient } else { *limits },
            style: *style,
        };
        Process::start(&self.parts, start)
    }

    /// Gives the partitions to the members that the group knows.
    fn rebalance(&mut self) {
        self.writers.retain(|w| !w.is_over() || w.frost.is_frozen());
        let members = self.members();
        let mut state = self.parts.broker.state();
        for slot in state.logs.keys().copied().collect::<Vec<_>>() {
            match members.is_empty() {
                true => state.wanted.remove(&slot),
                false => state.wanted.insert(slot, self.chance.pick(&members)),
            };
        }
    }

    /// Those that the group knows.
    fn members(&self) -> Vec<usize> {
        let is_known = |w: &&Process| !w.is_over() && !w.orders.is_zombie() && w.version >= self.version;
        self.writers.iter().filter(is_known).map(|w| w.id).collect()
    }

    /// A member's session is over.
    fn throw_out(&mut self, id: usize) {
        self.parts.broker.state().holders.retain(|_, holder| *holder != id);
        self.rebalance();
    }

    /// Ends every process: some in order, some not.
    async fn stop_all(&mut self) {
        for writer in mem::take(&mut self.writers) {
            writer.frost.thaw();
            if self.chance.happens(500) {
                writer.task.abort();
            } else {
                let _ = writer.stop.send(true);
                let limit = sleep(Duration::from_secs(200));
                tokio::select! { biased; _ = writer.task => {}, () = limit => {
                    self.parts.faults.wrong(format!("writer {} did not stop", writer.id));
                }}
            }
            self.throw_out(writer.id);
        }
    }

    /// Ends every process at once, and lets what they had sent land.
    async fn kill_all(&mut self) {
        self.writers.drain(..).for_each(|writer| writer.kill());
        self.parts.broker.state().holders.clear();
        sleep(LATE).await;
    }

    /// One clean writer brings the table to the topic's end.
    async fn drain(&mut self) -> bool {
        let clean = self.process(self.version, true, From::Beginning);
        let id = clean.id;
        self.writers.push(clean);
        self.rebalance();
        let mut clean = self.writers.pop().unwrap();
        tokio::select! {
            biased;
            done = &mut clean.task => if let Err(e) = done {
                self.parts.faults.wrong(format!("the clean writer broke off: {e}"));
            },
            () = sleep(DRAIN) => self.parts.faults.wrong("the clean writer did not come to an end".into()),
        }
        self.throw_out(id);
        let is_done = clean.is_done.load(Ordering::Relaxed);
        if is_done {
            self.check_offsets();
        }
        is_done
    }

    async fn end(&mut self) {
        let has_changed = self.version != Version::First || self.parts.lake.truth().specs > 1;
        let may_be_refused = has_changed && self.parts.broker.state().moved;
        let lives_on = !may_be_refused && self.chance.happens(500);
        if lives_on && self.chance.happens(400) {
            self.start_batch();
            sleep(Duration::from_millis(self.plan.calm)).await;
        }
        self.parts.faults.note("the end".into());
        self.parts.faults.end();
        if lives_on {
            self.live_on().await;
        }
        // A partition that an analyst dropped last is not the writer's to know.
        self.stop_all().await;
        let mut is_done = self.drain().await;
        if !is_done && may_be_refused {
            self.restore_offsets();
            is_done = self.drain().await;
        }
        if !is_done {
            return self.parts.faults.wrong("the clean writer failed, and nothing else did".into());
        }
        self.parts.broker.check();
        sleep(LATE).await; // what is still on the wire
        self.parts.broker.check();
    }

    /// Those that have lived through the faults, and what is started where none has, come to the topics' end.
    async fn live_on(&mut self) {
        self.parts.faults.count("process: a group lived on to the end");
        self.plan.lost = Lost::Skip;
        for writer in &self.writers {
            writer.frost.thaw();
            writer.orders.notice();
        }
        // A member with nothing new to commit does not look whether somebody has moved its offsets.
        self.parts.broker.slots().into_iter().for_each(|slot| self.produce(slot));
        let until = Instant::now() + LIVELY;
        let mut members = Vec::new();
        loop {
            self.writers.retain(|w| !w.is_over());
            if self.members().is_empty() {
                self.start_as(self.version);
            }
            if self.members() != members {
                members = self.members();
                self.rebalance();
            }
            let behind = self.behind();
            let is_batch = |writer: &Process| writer.is_batch;
            if behind.is_empty() && !self.writers.iter().any(is_batch) {
                return;
            }
            if Instant::now() > until {
                let batches: Vec<_> = self.writers.iter().filter(|w| is_batch(w)).map(|w| w.id).collect();
                return self.parts.faults.wrong(format!("stuck: batches {batches:?}; {}", behind.join(", ")));
            }
            sleep(Duration::from_secs(10)).await;
        }
    }

    /// The group has every partition at its end.
    fn check_offsets(&self) {
        for behind in self.behind() {
            self.parts.faults.wrong(behind);
        }
    }

    fn behind(&self) -> Vec<String> {
        let state = self.parts.broker.state();
        let committed = |slot: &i32| state.committed.get(slot).map_or(0, |(offset, _)| *offset);
        let logs = state.logs.iter().map(|(slot, log)| (slot, log, committed(slot)));
        logs.filter(|(_, log, committed)| log.low < log.high && *committed != log.high)
            .map(|(slot, log, committed)| {
                format!("{} is committed at {committed} of {}", broker::source(*slot), log.high)
            })
            .collect()
    }
}
