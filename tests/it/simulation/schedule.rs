//! One schedule: what a seed makes happen to a group of writers of one table, and what must hold at its end.
//!
//! The writers are `ingest::run_with`, the program's own; the clock is tokio's, paused, so that a minute takes
//! milliseconds. At the end all faults cease, one clean writer drains the topic, and the table is counted.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ticklake::aws::Aws;
use ticklake::catalog::Catalog;
use ticklake::error;
use ticklake::ingest::{self, From, Job, Limits, Lost, Progress};
use ticklake::kafka::{Connection, Source, source};
use ticklake::store::{Durability, Stores};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep};

use super::broker::{Broker, TABLE, TOPIC};
use super::chance::Chance;
use super::faults::{Faults, Rates, START};
use super::feed::{self, Version};
use super::lake::{LATE, Lake, Store};
use super::member::{Member, Orders, Style};
use super::shelf::Shelf;
use super::{Outcome, Verdict, text_of};

/// The clean writer at the end has so long, of the schedule's clock.
const DRAIN: Duration = Duration::from_secs(3600);

/// What a seed has decided before anything happens.
struct Plan {
    partitions: i32,
    symbols: usize,
    events: u64,
    writers: usize,
    /// The longest between two events, milliseconds.
    calm: u64,
    limits: Limits,
    style: Style,
    /// Which events there are, each as often as it is named.
    mix: Vec<Event>,
    from: From,
    lost: Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Produce,
    Rebalance,
    Start,
    Kill,
    Stop,
    /// All stop, and a batch runs to the end of the topic.
    Batch,
    /// Its process stands still, and the group goes on without it.
    Freeze,
    /// The group goes on without it, and it does not know.
    Zombie,
    Notice,
    BrokerFails,
    StoreDown,
    CatalogDown,
    OffsetsLost,
    OffsetsBack,
    /// Somebody sets offsets by hand, beyond what was read.
    OffsetsForward,
    PartitionDropped,
    Retention,
    /// Retention is quicker than the group.
    RecordsLost,
    /// All stop, the table gets a column more, and new ones start under the new DDL.
    Widen,
    /// As that, but where the last run was cut off: refused, unless it had nothing on its way.
    WidenTooSoon,
    Reroute,
}

impl Plan {
    fn new(chance: &mut Chance) -> (Self, Rates) {
        use Event as E;
        let severity = chance.pick(&[0, 5, 30, 30, 100, 250]);
        let rates = Rates {
            puts: severity,
            late_puts: severity / 2,
            reads: severity,
            catalog: severity,
            commits: severity,
            latency: chance.pick(&[1, 5, 40, 400, 1500]),
        };
        let mut mix = vec![E::Produce; 6];
        mix.extend([E::Rebalance, E::Rebalance, E::Rebalance, E::Start, E::Start, E::Kill, E::Kill, E::Stop]);
        for some in [
            &[E::Batch, E::Batch][..],
            &[E::Freeze],
            &[E::Zombie, E::Zombie, E::Notice],
            &[E::BrokerFails],
            &[E::StoreDown, E::CatalogDown],
            &[E::OffsetsLost],
            &[E::OffsetsBack, E::OffsetsBack],
            &[E::OffsetsForward],
            &[E::PartitionDropped],
            &[E::Retention],
            &[E::RecordsLost],
            &[E::Widen],
            &[E::WidenTooSoon],
            &[E::Reroute],
        ] {
            if chance.happens(350) {
                mix.extend(some);
            }
        }
        // A reset to the beginning is refused where the first files are gone, or were written under another DDL.
        if mix.iter().any(|event| matches!(event, E::Retention | E::RecordsLost | E::Widen | E::WidenTooSoon))
        {
            mix.retain(|event| !matches!(event, E::OffsetsLost | E::OffsetsBack | E::OffsetsForward));
        }
        let keeps = |event: &E| !matches!(event, E::Retention | E::RecordsLost | E::Widen | E::WidenTooSoon);
        let skips = chance.happens(50) && mix.iter().all(keeps);
        let millis = |chance: &mut Chance, of: &[u64]| Duration::from_millis(chance.pick(of));
        let limits = Limits {
            flush_rows: chance.pick(&[1, 3, 5, 12, 1000]),
            flush_age: millis(chance, &[50, 300, 1000, 5000]),
            memory_bytes: chance.pick(&[1 << 10, 24 << 10, 1 << 20]),
            writes: chance.pick(&[1, 2, 4]),
            commit_interval: millis(chance, &[100, 500, 2000]),
            drain_deadline: millis(chance, &[10, 1000, 30_000]),
            catalog_ttl: millis(chance, &[500, 5000, 3_600_000]),
            ..Limits::default()
        };
        let style = Style {
            set: chance.pick(&[1, 3, 10]),
            pace: chance.pick(&[10, 50, 300]),
            eager: chance.happens(200),
            late_commits: chance.happens(300),
        };
        let plan = Self {
            partitions: chance.between(1, 3) as i32,
            symbols: chance.between(1, 4) as usize,
            events: chance.between(3, 14),
            writers: chance.between(1, 4) as usize,
            calm: chance.pick(&[50, 300, 1000, 3000]),
            limits,
            style,
            mix,
            from: if skips { From::Latest } else { From::Beginning },
            lost: chance.pick(&[Lost::Stop, Lost::Skip]),
        };
        (plan, rates)
    }
}

/// A writer's process.
struct Writer {
    id: usize,
    version: Version,
    orders: Arc<Orders>,
    frost: Arc<Frost>,
    stop: watch::Sender<bool>,
    /// It came to its end as it should.
    is_done: Arc<AtomicBool>,
    process: JoinHandle<()>,
}

struct World {
    plan: Plan,
    lake: Arc<Lake>,
    shelf: Arc<Shelf>,
    broker: Arc<Broker>,
    faults: Arc<Faults>,
    chance: Chance,
    seed: u64,
    writers: Vec<Writer>,
    started: usize,
    version: Version,
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
        let broker = Arc::new(Broker::new(lake.clone(), shelf.clone(), faults.clone(), plan.partitions));
        faults.foresee(&["simulated", "the last offsets were not committed", "the drain deadline came"]);
        let (writers, version) = (Vec::new(), Version::First);
        Self { plan, lake, shelf, broker, faults, chance, seed, writers, started: 0, version }
    }

    async fn run(&mut self) {
        for p in 0..self.plan.partitions {
            self.produce(p);
        }
        self.start();
        for _ in 0..self.plan.events {
            let calm = self.chance.between(1, self.plan.calm);
            sleep(Duration::from_millis(calm)).await;
            let event = self.chance.pick(&self.plan.mix);
            self.happen(event).await;
            if self.faults.is_wrong() {
                return;
            }
        }
        self.end().await;
    }

    fn produce(&mut self, partition: i32) {
        let count = self.chance.between(1, 8);
        self.broker.produce(&mut self.chance, partition, count, self.plan.symbols);
    }

    async fn happen(&mut self, event: Event) {
        let writer = match self.writers.len() {
            0 => None,
            n => Some(self.chance.between(0, n as u64 - 1) as usize),
        };
        self.faults.note(format!("{event:?} {:?}", writer.map(|w| self.writers[w].id)));
        let long = |chance: &mut Chance| Duration::from_millis(chance.between(100, 15_000));
        match event {
            Event::Produce => {
                let p = self.chance.between(0, self.plan.partitions as u64 - 1) as i32;
                self.produce(p);
            }
            Event::Rebalance => self.rebalance(),
            Event::Start => self.start(),
            Event::Kill => {
                if let Some(writer) = writer {
                    self.faults.count("process: killed");
                    let killed = self.writers.swap_remove(writer);
                    killed.process.abort();
                    self.throw_out(killed.id);
                }
            }
            Event::Stop => {
                if let Some(writer) = writer {
                    self.faults.count("process: told to stop");
                    let _ = self.writers[writer].stop.send(true); // one that has ended needs no word
                }
            }
            Event::Batch => {
                self.faults.count("process: a batch among faults");
                self.stop_all().await;
                self.drain().await;
                self.start();
            }
            Event::Freeze => {
                if let Some(writer) = writer {
                    self.faults.count("process: stood still, was thrown out");
                    let (frost, id) = (self.writers[writer].frost.clone(), self.writers[writer].id);
                    frost.freeze();
                    self.writers[writer].orders.zombie.store(true, Ordering::Relaxed);
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
                    self.faults.count("process: cut off from the group, went on");
                    self.writers[writer].orders.zombie.store(true, Ordering::Relaxed);
                    self.throw_out(self.writers[writer].id);
                }
            }
            Event::Notice => {
                self.writers.iter().for_each(|w| w.orders.noticed.store(true, Ordering::Relaxed))
            }
            Event::BrokerFails => {
                if let Some(writer) = writer {
                    self.faults.count("kafka: a source failed");
                    self.writers[writer].orders.fails.store(true, Ordering::Relaxed);
                }
            }
            Event::StoreDown => {
                self.faults.count("store: was down");
                self.faults.take_store_down(long(&mut self.chance));
            }
            Event::CatalogDown => {
                self.faults.count("catalog: was down");
                self.faults.take_catalog_down(long(&mut self.chance));
            }
            Event::OffsetsLost => {
                self.faults.count("offsets: deleted");
                self.broker.state().committed.clear();
            }
            Event::OffsetsBack | Event::OffsetsForward => self.set_offsets(event),
            Event::PartitionDropped => {
                let nth = self.chance.draw();
                if let Some(folder) = self.shelf.drop_any(nth) {
                    self.faults.count("catalog: a partition dropped by another");
                    self.faults.note(format!("  dropped {folder}"));
                }
            }
            Event::Retention => self.retain().await,
            Event::RecordsLost => self.lose_records(),
            Event::Widen => self.widen().await,
            Event::WidenTooSoon => self.widen_too_soon().await,
            Event::Reroute => {
                self.faults.count("table: a DDL that routes otherwise, tried");
                self.faults.foresee(&["differs in more than added columns", "other columns than the DDL"]);
                if self.lake.truth().links > 0 {
                    self.start_as(Version::Rerouted);
                }
            }
        }
    }

    /// By hand, without our metadata; or back with it, as a late commit of a member does.
    fn set_offsets(&mut self, event: Event) {
        let mut state = self.broker.state();
        let state = &mut *state;
        for (p, log) in (0..).zip(&state.logs) {
            let (offset, metadata) = state.committed.get(&p).cloned().unwrap_or_default();
            let set = match event {
                Event::OffsetsForward => {
                    self.faults.count("offsets: set forward by hand");
                    (self.chance.between(offset as u64, log.high as u64) as i64, String::new())
                }
                _ if self.chance.happens(500) => {
                    self.faults.count("offsets: set back by hand");
                    (self.chance.between(0, offset as u64) as i64, String::new())
                }
                _ => {
                    self.faults.count("offsets: back at an older commit");
                    (self.chance.between(0, offset as u64) as i64, metadata)
                }
            };
            state.committed.insert(p, set);
        }
    }

    /// Old records go, and old links with them, never the last of a chain. A link goes only when no request for its name
    /// can be under way any more (DESIGN §5 gives it a day): here, when all processes are gone.
    async fn retain(&mut self) {
        self.stop_all().await;
        sleep(LATE).await;
        let committed: Vec<(i32, i64)> = {
            let mut state = self.broker.state();
            let committed: Vec<_> = state.committed.iter().map(|(p, (offset, _))| (*p, *offset)).collect();
            for (p, offset) in &committed {
                let log = &mut state.logs[*p as usize];
                log.low = log.low.max(*offset);
            }
            committed
        };
        self.faults.count("topic and table: old records and files removed");
        let old: Vec<(String, String, i64)> = {
            let truth = self.lake.truth();
            let is_old = |chain: &str, end: i64| {
                committed.iter().any(|(p, offset)| chain == format!("k-{TOPIC}-{p}-") && end <= *offset)
            };
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
            self.lake.remove(&folder, &chain, start).await;
        }
        self.start();
    }

    /// Records go that the group has not read. It has committed before: else nobody can know that they were there; and
    /// some stay, as a batch does not wait for a partition that has none.
    fn lose_records(&mut self) {
        let mut state = self.broker.state();
        let state = &mut *state;
        for (p, (offset, _)) in &state.committed {
            let log = &mut state.logs[*p as usize];
            if self.chance.happens(500) && *offset + 1 < log.high {
                self.faults.count("topic: records removed before they were read");
                log.low = log.low.max(self.chance.between(*offset as u64 + 1, log.high as u64 - 1) as i64);
            }
        }
        self.faults.foresee(&["retention has removed records"]);
    }

    /// A column is added as it must be: every writer of the old DDL is gone, and so is what it had sent.
    async fn widen(&mut self) {
        if self.version == Version::Wider {
            return;
        }
        self.faults.count("table: a column added");
        self.stop_all().await;
        sleep(LATE + Duration::from_secs(30)).await;
        if self.drain().await {
            self.version = Version::Wider;
            self.shelf.alter(&feed::ddl(Version::Wider));
        }
        self.start();
    }

    /// A column is added when every writer was killed. Where it is refused, the user goes back.
    async fn widen_too_soon(&mut self) {
        if self.version == Version::Wider || self.lake.truth().specs == 0 {
            return;
        }
        self.faults.count("table: a column added after a crash");
        self.faults.foresee(&["the last run under another DDL was cut off", "was written under another DDL"]);
        self.kill_all().await;
        self.version = Version::Wider;
        self.shelf.alter(&feed::ddl(Version::Wider));
        self.start();
        let started = Instant::now();
        while self.lake.truth().specs == 1 && started.elapsed() < LATE {
            sleep(Duration::from_secs(1)).await;
            if self.writers.iter().all(|writer| writer.process.is_finished()) {
                break;
            }
        }
        if self.lake.truth().specs == 1 {
            self.faults.count("table: the column was refused");
            self.kill_all().await; // its DDL may be on the wire
        }
        if self.lake.truth().specs == 1 {
            self.version = Version::First;
            self.shelf.alter(&feed::ddl(Version::First));
            self.start();
        }
    }

    fn start(&mut self) {
        if self.writers.iter().filter(|w| !w.process.is_finished()).count() < self.plan.writers {
            self.start_as(self.version);
        }
    }

    fn start_as(&mut self, version: Version) {
        self.writers.retain(|w| !w.process.is_finished());
        let writer = self.process(version, false, self.plan.from);
        self.writers.push(writer);
        self.rebalance();
    }

    /// A new process of `ingest`; what it ends with must be foreseen.
    fn process(&mut self, version: Version, until_end: bool, from: From) -> Writer {
        self.started += 1;
        let id = self.started;
        self.faults.count("process: started");
        self.faults.note(format!("writer {id} starts under {version:?}"));
        let orders = Arc::new(Orders::default());
        let frost = Arc::new(Frost::default());
        let (stop, stopped) = watch::channel(false);
        let catalog: Arc<dyn Catalog> = self.shelf.clone();
        let job = Job {
            connection: Connection {
                brokers: String::new(),
                properties: BTreeMap::new(),
                aws: Aws::default(),
            },
            topics: vec![TOPIC.into()],
            group: "group".into(),
            ddl: feed::ddl(version),
            location: Some(format!("sim:///{TABLE}")),
            stores: Stores::new(Durability::NoFsync).with_store("sim", Arc::new(Store(self.lake.clone()))),
            catalog,
            from,
            lost: if until_end { Lost::Skip } else { self.plan.lost },
            until_end,
            source_epoch: 0,
            limits: match until_end {
                true => Limits { drain_deadline: Limits::default().drain_deadline, ..self.plan.limits },
                false => self.plan.limits,
            },
        };
        let (broker, faults) = (self.broker.clone(), self.faults.clone());
        let (style, chance, its_orders) =
            (self.plan.style, Chance::of(self.seed, "member", id as u64), orders.clone());
        let (faults_of_end, orders_of_end) = (self.faults.clone(), orders.clone());
        let (progress, _) = watch::channel(Progress::default());
        let is_done = Arc::new(AtomicBool::new(false));
        let done_well = is_done.clone();
        let process = async move {
            let mut member = None;
            let running = {
                let (to, from) = source::channels();
                let (commands, received) = std_mpsc::channel();
                member.replace(Member {
                    id,
                    broker,
                    faults,
                    orders: its_orders,
                    chance,
                    style,
                    to,
                    commands: received,
                    idle: 0,
                });
                let sources = vec![Source { topic: TOPIC.into(), commands }];
                ingest::run_with(job, move |_, _| Ok((sources, from)), stopped, progress)
            };
            let member = member.unwrap();
            let (done, ()) = tokio::join!(running, member.run());
            match done {
                Ok(_) => {
                    faults_of_end.note(format!("writer {id} is done"));
                    done_well.store(true, Ordering::Relaxed);
                }
                Err(e) => {
                    let e = error::chain(&e);
                    faults_of_end.note(format!("writer {id} failed: {e}"));
                    if !faults_of_end.is_foreseen(&e, orders_of_end.joined.load(Ordering::Relaxed)) {
                        faults_of_end
                            .wrong(format!("writer {id} ended with an error that is not foreseen: {e}"));
                    }
                }
            }
        };
        let process = tokio::task::spawn_local(Frozen {
            inner: Box::pin(process),
            frost: frost.clone(),
            faults: self.faults.clone(),
        });
        Writer { id, version, orders, frost, stop, is_done, process }
    }

    /// Gives the partitions to the members that the group knows.
    fn rebalance(&mut self) {
        self.writers.retain(|w| !w.process.is_finished() || w.frost.is_frozen());
        let known = |w: &&Writer| !w.orders.zombie.load(Ordering::Relaxed) && w.version >= self.version;
        let members: Vec<usize> = self.writers.iter().filter(known).map(|w| w.id).collect();
        let mut state = self.broker.state();
        for p in 0..self.plan.partitions {
            match members.is_empty() {
                true => state.wanted.remove(&p),
                false => state.wanted.insert(p, self.chance.pick(&members)),
            };
        }
    }

    /// A member's session is over.
    fn throw_out(&mut self, id: usize) {
        self.broker.state().holders.retain(|_, holder| *holder != id);
        self.rebalance();
    }

    /// Ends every process: some in order, some not.
    async fn stop_all(&mut self) {
        for writer in std::mem::take(&mut self.writers) {
            writer.frost.thaw();
            if self.chance.happens(500) {
                writer.process.abort();
            } else {
                let _ = writer.stop.send(true);
                let limit = sleep(Duration::from_secs(200));
                tokio::select! { biased; _ = writer.process => {}, () = limit => {
                    self.faults.wrong(format!("writer {} did not stop", writer.id));
                }}
            }
            self.throw_out(writer.id);
        }
    }

    /// Ends every process at once, and lets what they had sent land.
    async fn kill_all(&mut self) {
        self.writers.drain(..).for_each(|writer| writer.process.abort());
        self.broker.state().holders.clear();
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
            done = &mut clean.process => if let Err(e) = done {
                self.faults.wrong(format!("the clean writer broke off: {e}"));
            },
            () = sleep(DRAIN) => self.faults.wrong("the clean writer did not come to an end".into()),
        }
        self.throw_out(id);
        let is_done = clean.is_done.load(Ordering::Relaxed);
        if is_done {
            self.check_offsets();
        }
        is_done
    }

    async fn end(&mut self) {
        self.faults.note("the end".into());
        // A partition that an analyst dropped last is not the writer's to know.
        self.stop_all().await;
        self.faults.end();
        if !self.drain().await {
            return self.faults.wrong("the clean writer failed, and nothing else did".into());
        }
        self.broker.check();
        sleep(LATE).await; // what is still on the wire
        self.broker.check();
    }

    /// The group has every partition at its end.
    fn check_offsets(&self) {
        let state = self.broker.state();
        for (p, log) in (0..).zip(&state.logs) {
            let committed = state.committed.get(&p).map_or(0, |(offset, _)| *offset);
            if log.low < log.high && committed != log.high {
                self.faults.wrong(format!("partition {p} is committed at {committed} of {}", log.high));
            }
        }
    }
}

/// What holds a process still.
#[derive(Default)]
struct Frost {
    frozen: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Frost {
    fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        self.waiting.lock().unwrap().drain(..).for_each(Waker::wake);
    }
}

/// A process that can be held still.
struct Frozen {
    inner: Pin<Box<dyn Future<Output = ()>>>,
    frost: Arc<Frost>,
    faults: Arc<Faults>,
}

impl Future for Frozen {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.frost.is_frozen() {
            self.frost.waiting.lock().unwrap().push(context.waker().clone());
            return Poll::Pending;
        }
        let inner = &mut self.inner;
        catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context))).unwrap_or_else(|panic| {
            self.faults.wrong(format!("a writer panicked: {}", text_of(&*panic)));
            Poll::Ready(())
        })
    }
}
