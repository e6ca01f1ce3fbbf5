//! The simulated source of one writer: it keeps the contract of the real one (`kafka::source`) towards the job, takes and
//! gives up partitions as the group has it, and fails as brokers do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use ticklake::error::{Error, Kind};
use ticklake::kafka::source::{REPLY, Reply};
use ticklake::kafka::{
    Commit, Delivery, Found, Offer, RecordSet, SourceCommand, SourceEvent, ToJob, TopicPartition,
};
use tokio::time::{Instant, sleep};

use super::broker::{Broker, TOPIC, source};
use super::chance::Chance;
use super::faults::Faults;

/// What the schedule does to a member.
#[derive(Debug, Default)]
pub struct Orders {
    /// It has lost the group, and does not know yet: it reads and writes on.
    pub zombie: AtomicBool,
    /// It finds out.
    pub noticed: AtomicBool,
    /// It has begun to work.
    pub joined: AtomicBool,
    /// Its broker fails for good.
    pub fails: AtomicBool,
}

pub struct Member {
    pub id: usize,
    pub broker: Arc<Broker>,
    pub faults: Arc<Faults>,
    pub orders: Arc<Orders>,
    pub chance: Chance,
    pub style: Style,
    pub to: ToJob,
    pub commands: std_mpsc::Receiver<SourceCommand>,
    /// Turns without a record: an idle member looks up less often, so that its time costs less.
    pub idle: u32,
}

const IDLE: Duration = Duration::from_millis(97);

/// How a group's members behave.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// At most so many records are handed over at once.
    pub set: u64,
    /// The longest between two turns, milliseconds.
    pub pace: u64,
    /// Partitions may be assigned again without having been revoked, as the eager protocol does.
    pub eager: bool,
    /// Commits of a member that was thrown out may still be taken.
    pub late_commits: bool,
}

struct Owned {
    assignment: u64,
    next: i64,
}

/// Why it ends.
enum End {
    JobGone,
    Stopped(Vec<Commit>),
    Failed(&'static str),
}

impl Member {
    pub async fn run(mut self) {
        let mut owned = BTreeMap::new();
        let end = self.live(&mut owned).await;
        match end {
            End::JobGone => {}
            End::Failed(what) => {
                let e = Error::new(Kind::Kafka, format!("simulated: {what}"));
                let _ = self.to.events.send(SourceEvent::Failed(e)).await;
            }
            End::Stopped(commits) => {
                self.nap().await;
                if !commits.is_empty() {
                    let outcome = self.commit(&commits);
                    let _ = self.to.events.send(SourceEvent::Committed(outcome)).await;
                }
            }
        }
        // It leaves the group.
        let mut state = self.broker.state();
        state.holders.retain(|_, holder| *holder != self.id);
    }

    async fn live(&mut self, owned: &mut BTreeMap<i32, Owned>) -> End {
        if let Err(end) = self.join().await {
            return end;
        }
        let mut assignments = 0;
        loop {
            if self.idle < 3 {
                self.nap().await;
            } else {
                sleep(IDLE).await;
            }
            self.idle += 1;
            let turn = async {
                self.obey(owned).await?;
                self.rebalance(owned, &mut assignments).await?;
                self.deliver(owned)
            };
            if let Err(end) = turn.await {
                return end;
            }
        }
    }

    async fn nap(&mut self) {
        let pace = self.chance.between(1, self.style.pace);
        sleep(Duration::from_millis(pace)).await;
    }

    async fn say(&self, event: SourceEvent) -> Result<(), End> {
        self.to.events.send(event).await.map_err(|_| End::JobGone)
    }

    async fn join(&mut self) -> Result<(), End> {
        let ends = {
            let state = self.broker.state();
            let logs = (0..).zip(&state.logs).filter(|(_, log)| log.low < log.high);
            logs.map(|(p, log)| (source(p), log.high)).collect()
        };
        self.nap().await;
        let found =
            Found { topic: TOPIC.into(), cluster: "cluster".into(), topic_id: Some("topic".into()), ends };
        self.say(SourceEvent::Found(found)).await?;
        loop {
            match self.commands.try_recv() {
                Ok(SourceCommand::Join) => {
                    self.orders.joined.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(SourceCommand::Stop(commits)) => return Err(End::Stopped(commits)),
                Ok(SourceCommand::GroupOffsets(sources)) => self.tell_offsets(sources).await?,
                Ok(_) => {}
                Err(std_mpsc::TryRecvError::Empty) => self.nap().await,
                Err(std_mpsc::TryRecvError::Disconnected) => return Err(End::JobGone),
            }
        }
    }

    async fn obey(&mut self, owned: &BTreeMap<i32, Owned>) -> Result<(), End> {
        if self.orders.fails.load(Ordering::Relaxed) {
            return Err(End::Failed("the brokers are gone"));
        }
        loop {
            match self.commands.try_recv() {
                Ok(SourceCommand::Join) => {}
                Ok(SourceCommand::Stop(commits)) => return Err(End::Stopped(commits)),
                Ok(SourceCommand::Watermark(source)) => {
                    let high = self.broker.state().logs[source.partition as usize].high;
                    self.say(SourceEvent::Watermark { source, high }).await?;
                }
                Ok(SourceCommand::GroupOffsets(sources)) => self.tell_offsets(sources).await?,
                Ok(SourceCommand::Commit(commits)) => {
                    let ends = {
                        let state = self.broker.state();
                        owned.keys().map(|p| (source(*p), state.logs[*p as usize].high)).collect()
                    };
                    self.say(SourceEvent::Watermarks(ends)).await?;
                    if !commits.is_empty() {
                        let outcome = self.commit(&commits);
                        let lost = self.faults.rates.commits;
                        if !self.faults.comes(&mut self.chance, lost, "kafka: the answer to a commit lost") {
                            self.say(SourceEvent::Committed(outcome)).await?;
                        }
                    }
                }
                Err(std_mpsc::TryRecvError::Empty) => return Ok(()),
                Err(std_mpsc::TryRecvError::Disconnected) => return Err(End::JobGone),
            }
        }
    }

    async fn tell_offsets(&self, sources: Vec<TopicPartition>) -> Result<(), End> {
        let offsets = Ok({
            let state = self.broker.state();
            let of = |p: i32| state.committed.get(&p).cloned();
            let found = sources.into_iter().filter_map(|s| of(s.partition).map(|c| (s, c)));
            found.map(|(source, (offset, metadata))| Commit { source, offset, metadata }).collect()
        });
        self.say(SourceEvent::GroupOffsets { topic: TOPIC.into(), offsets }).await
    }

    fn commit(&mut self, commits: &[Commit]) -> ticklake::Result<Vec<Commit>> {
        let failed = |what: &str| Err(Error::new(Kind::Kafka, format!("simulated: {what}")));
        if self.faults.comes(&mut self.chance, self.faults.rates.commits, "kafka: a commit failed") {
            return failed("the coordinator is loading");
        }
        match self.broker.commit(self.id, commits, self.style.late_commits) {
            true => Ok(commits.to_vec()),
            false => failed("the member is fenced"),
        }
    }

    async fn rebalance(
        &mut self,
        owned: &mut BTreeMap<i32, Owned>,
        assignments: &mut u64,
    ) -> Result<(), End> {
        if self.orders.zombie.load(Ordering::Relaxed) {
            if !self.orders.noticed.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.orders.noticed.store(false, Ordering::Relaxed);
            self.orders.zombie.store(false, Ordering::Relaxed);
            let all = owned.keys().copied().collect();
            self.revoke(owned, all, true).await?;
        }
        let (theirs, free) = {
            let state = self.broker.state();
            let is_ours = |p: &i32| state.wanted.get(p) == Some(&self.id);
            let theirs: Vec<i32> = owned.keys().filter(|p| !is_ours(p)).copied().collect();
            let free = |p: &i32| is_ours(p) && !owned.contains_key(p) && !state.holders.contains_key(p);
            (theirs, (0..state.logs.len() as i32).filter(free).collect::<Vec<_>>())
        };
        if !theirs.is_empty() {
            self.revoke(owned, theirs, false).await?;
        }
        let mut taken = free;
        if self.style.eager && *assignments < 4 && self.chance.happens(30) {
            taken.extend(owned.keys());
        }
        if !taken.is_empty() {
            self.assign(owned, taken, assignments).await?;
        }
        Ok(())
    }

    async fn assign(
        &mut self,
        owned: &mut BTreeMap<i32, Owned>,
        taken: Vec<i32>,
        assignments: &mut u64,
    ) -> Result<(), End> {
        *assignments += 1;
        self.faults.count("kafka: assignments");
        self.faults.note(format!("member {} takes {taken:?}", self.id));
        let offers = {
            let mut state = self.broker.state();
            for p in &taken {
                state.holders.insert(*p, self.id);
            }
            let offer = |p: &i32| {
                let log = &state.logs[*p as usize];
                Offer {
                    source: source(*p),
                    committed: state.committed.get(p).cloned(),
                    low_watermark: log.low,
                    high_watermark: log.high,
                    at_time: None,
                }
            };
            taken.iter().map(offer).collect()
        };
        self.nap().await;
        let (reply, answer) = Reply::new();
        self.say(SourceEvent::Assigned { assignment: *assignments, offers, reply }).await?;
        match self.answer(answer).await {
            Answer::Given(starts) => {
                for (source, next) in starts {
                    owned.insert(source.partition, Owned { assignment: *assignments, next });
                }
                Ok(())
            }
            Answer::Dropped => Ok(()), // the job is at its end
            Answer::Late => Err(End::Failed("the job took no assignment")),
        }
    }

    async fn revoke(
        &mut self,
        owned: &mut BTreeMap<i32, Owned>,
        theirs: Vec<i32>,
        lost: bool,
    ) -> Result<(), End> {
        self.faults.count(if lost { "kafka: partitions lost" } else { "kafka: revokes" });
        self.faults.note(format!("member {} gives up {theirs:?}, lost: {lost}", self.id));
        let (reply, answer) = Reply::new();
        let sources = theirs.iter().map(|p| source(*p)).collect();
        self.say(SourceEvent::Revoked { sources, lost, reply }).await?;
        if let Answer::Given(commits) = self.answer(answer).await
            && !lost
            && !commits.is_empty()
        {
            let outcome = self.commit(&commits);
            self.say(SourceEvent::Committed(outcome)).await?;
        }
        let mut state = self.broker.state();
        for p in theirs {
            owned.remove(&p);
            if state.holders.get(&p) == Some(&self.id) {
                state.holders.remove(&p);
            }
        }
        Ok(())
    }

    /// Waits as the polling thread does: for nothing else meanwhile.
    async fn answer<T>(&mut self, answer: std_mpsc::Receiver<T>) -> Answer<T> {
        let deadline = Instant::now() + REPLY;
        loop {
            match answer.try_recv() {
                Ok(given) => return Answer::Given(given),
                Err(std_mpsc::TryRecvError::Disconnected) => return Answer::Dropped,
                Err(std_mpsc::TryRecvError::Empty) if Instant::now() > deadline => return Answer::Late,
                Err(std_mpsc::TryRecvError::Empty) => self.nap().await,
            }
        }
    }

    /// Hands over the next records of one partition, or where it ends.
    fn deliver(&mut self, owned: &mut BTreeMap<i32, Owned>) -> Result<(), End> {
        if owned.is_empty() {
            return Ok(());
        }
        let nth = self.chance.between(0, owned.len() as u64 - 1) as usize;
        let Some((p, owned)) = owned.iter_mut().nth(nth) else { return Ok(()) };
        if owned.next < self.broker.state().logs[*p as usize].low {
            return Err(End::Failed("an offset that comes next is not on the broker"));
        }
        let most = self.chance.between(1, self.style.set) as usize;
        let (records, high) = self.broker.fetch(*p, owned.next, most);
        let (delivery, next) = match records.last() {
            Some(last) => {
                let mut set = RecordSet::new(source(*p), owned.assignment);
                for made in &records {
                    set.push(
                        made.offset,
                        Some(made.timestamp),
                        None,
                        made.value.as_deref().map(str::as_bytes),
                    );
                }
                (Delivery::Records(set), last.offset + 1)
            }
            None => (
                Delivery::Ended { source: source(*p), assignment: owned.assignment, offset: high },
                owned.next,
            ),
        };
        match self.to.deliveries.try_send(delivery) {
            Ok(()) if owned.next == next => {}
            Ok(()) => {
                owned.next = next;
                self.idle = 0;
            }
            Err(tokio::sync::mpsc::error::TrySendError::Full(_)) => {}
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => return Err(End::JobGone),
        }
        Ok(())
    }
}

enum Answer<T> {
    Given(T),
    Dropped,
    Late,
}
