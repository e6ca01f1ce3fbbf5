//! A process of `ingest`: the program's own pipeline, with members of the group as its sources, over the simulated store
//! and catalog. It can be held still, stopped and killed; what it ends with must be foreseen.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::task::{Context, Poll, ready};

use ticklake::aws::Aws;
use ticklake::error;
use ticklake::ingest::{self, From, Job, Limits, Lost, Progress};
use ticklake::kafka::{Connection, Source, source};
use ticklake::store::{Durability, Stores};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::broker::{Broker, TABLE, TOPICS};
use super::chance::Chance;
use super::faults::Faults;
use super::feed::{self, Version};
use super::frost::Frost;
use super::lake::{Lake, Store};
use super::member::{Member, Orders, Style};
use super::shelf::Shelf;
use super::text_of;

/// What all processes of a schedule share.
pub struct Parts {
    pub seed: u64,
    pub lake: Arc<Lake>,
    pub shelf: Arc<Shelf>,
    pub broker: Arc<Broker>,
    pub faults: Arc<Faults>,
}

/// How one is started.
pub struct Start {
    pub id: usize,
    pub version: Version,
    pub topics: usize,
    /// A batch.
    pub until_end: bool,
    pub from: From,
    pub lost: Lost,
    pub epoch: u32,
    pub limits: Limits,
    pub style: Style,
}

pub struct Process {
    pub id: usize,
    pub version: Version,
    pub is_batch: bool,
    pub orders: Arc<Orders>,
    pub frost: Arc<Frost>,
    pub stop: watch::Sender<bool>,
    /// It came to its end as it should.
    pub is_done: Arc<AtomicBool>,
    pub task: JoinHandle<()>,
}

impl Process {
    pub fn start(parts: &Parts, start: Start) -> Self {
        let Start { id, version, topics, until_end, from, lost, epoch, limits, style } = start;
        let (broker, faults, seed) = (parts.broker.clone(), parts.faults.clone(), parts.seed);
        faults.count("process: started");
        faults.note(format!("writer {id} starts under {version:?}"));
        let orders = Arc::new(Orders::default());
        let frost = Arc::new(Frost::default());
        let (stop, stopped) = watch::channel(false);
        let store = Store { lake: parts.lake.clone(), frost: frost.clone() };
        let job = Job {
            connection: Connection {
                brokers: String::new(),
                properties: BTreeMap::new(),
                aws: Aws::default(),
            },
            topics: TOPICS[..topics].iter().map(|topic| (*topic).into()).collect(),
            group: "group".into(),
            ddl: feed::ddl(version),
            location: Some(format!("sim:///{TABLE}")),
            stores: Stores::new(Durability::NoFsync).with_store("sim", Arc::new(store)),
            catalog: Arc::new(parts.shelf.of_process(frost.clone())),
            from,
            lost,
            until_end,
            source_epoch: epoch,
            take_over: version == Version::TakenOver,
            limits,
        };
        let is_done = Arc::new(AtomicBool::new(false));
        let (its_orders, is_done_well) = (orders.clone(), is_done.clone());
        let running = async move {
            let (to, from) = source::channels();
            let (sources, members): (Vec<Source>, Vec<_>) = (0..topics)
                .map(|topic| {
                    let (commands, received) = std_mpsc::channel();
                    let member = Member {
                        id,
                        topic,
                        broker: broker.clone(),
                        faults: faults.clone(),
                        orders: its_orders.clone(),
                        chance: Chance::of(seed, TOPICS[topic], id as u64),
                        style,
                        to: to.clone(),
                        commands: received,
                        idle: 0,
                        commit_outcome: None,
                    };
                    (Source { topic: TOPICS[topic].into(), commands }, member.run())
                })
                .unzip();
            drop(to); // the channel ends with the last member
            let (progress, _) = watch::channel(Progress::default());
            let job = ingest::run_with(job, move |_, _| Ok((sources, from)), stopped.clone(), progress);
            let (done, _) = tokio::join!(job, futures::future::join_all(members));
            match done {
                Ok(_) => {
                    faults.note(format!("writer {id} is done"));
                    if until_end && !*stopped.borrow() {
                        broker.check_batch(&its_orders.ends.lock().unwrap());
                    }
                    is_done_well.store(true, Ordering::Relaxed);
                }
                Err(e) => {
                    let e = error::chain(&e);
                    faults.note(format!("writer {id} failed: {e}"));
                    if !faults.is_foreseen(&e, its_orders.joined.load(Ordering::Relaxed)) {
                        faults.wrong(format!("writer {id} ended with an error that is not foreseen: {e}"));
                    }
                }
            }
        };
        let task = tokio::task::spawn_local(Frozen {
            inner: Box::pin(running),
            frost: frost.clone(),
            faults: parts.faults.clone(),
        });
        Self { id, version, is_batch: until_end, orders, frost, stop, is_done, task }
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    pub fn kill(&self) {
        self.task.abort();
        self.frost.thaw(); // what is on the wire is no more its own
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
        ready!(self.frost.poll(context));
        let inner = &mut self.inner;
        catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context))).unwrap_or_else(|panic| {
            self.faults.wrong(format!("a writer panicked: {}", text_of(&*panic)));
            Poll::Ready(())
        })
    }
}
