//! The simulated source of one writer: it keeps the contract of the real one (`kafka::source`) towards the job, takes and
//! gives up partitions as the group has it, and fails as brokers do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::Duration;

use ticklake::error::{Error, Kind};
use ticklake::kafka::source::{REPLY, Reply};
use ticklake::kafka::{
    Commit, Delivery, Found, Offer, RecordSet, SourceCommand, SourceEvent, ToJob, TopicPartition,
};
use tokio::time::{Instant, sleep};

use super::broker::{self, Broker, TOPICS, slot_of, source};
use super::chance::Chance;
use super::faults::Faults;

/// What the schedule does to a process.
#[derive(Debug, Default)]
pub struct Orders {
    /// By topic.
    members: [Membership; TOPICS.len()],
    /// It has begun to work.
    pub joined: AtomicBool,
    /// Its broker fails for good.
    pub fails: AtomicBool,
    /// Where the topics ended when they were found, by slot.
    pub ends: Mutex<BTreeMap<i32, i64>>,
}

#[derive(Debug, Default)]
struct Membership {
    /// It has lost the group, and does not know yet: it reads and writes on.
    zombie: AtomicBool,
    /// It finds out.
    noticed: AtomicBool,
}

impl Orders {
    /// Its members are out of the group, and do not know.
    pub fn cut_off(&self) {
        self.members.iter().for_each(|m| m.zombie.store(true, Ordering::Relaxed));
    }

    pub fn notice(&self) {
        self.members.iter().for_each(|m| m.noticed.store(true, Ordering::Relaxed));
    }

    pub fn is_zombie(&self) -> bool {
        self.members.iter().any(|m| m.zombie.load(Ordering::Relaxed))
    }
}

/// One topic's source of a process.
pub struct Member {
    /// The process's.
    pub id: usize,
    pub topic: usize,
    pub broker: Arc<Broker>,
    pub faults: Arc<Faults>,
    pub orders: Arc<Orders>,
    pub chance: Chance,
    pub style: Style,
    pub to: ToJob,
    pub commands: std_mpsc::Receiver<SourceCommand>,
    /// Turns without a record: an idle member looks up less often, so that its time costs less.
    pub idle: u32,
    /// What became of a commit: the answer comes a turn later.
    pub commit_outcome: Option<ticklake::Result<Vec<Commit>>>,
}

const IDLE: Duration = Duration::from_millis(97);
const LONG_IDLE: Duration = Duration::from_millis(487);

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
                let _ = self.tell_of_commit().await; // a job that is gone wants to know nothing
                if !commits.is_empty() {
                    let outcome = self.commit(&commits);
                    let _ = self.to.events.send(SourceEvent::Committed(outcome)).await;
                }
            }
        }
        // It leaves the group.
        let mut state = self.broker.state();
        state.holders.retain(|slot, holder| *holder != self.id || broker::topic_of(*slot) != self.topic);
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
                sleep(if self.idle < 30 { IDLE } else { LONG_IDLE }).await;
            }
            self.idle += 1;
            let turn = async {
                self.tell_of_commit().await?;
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
            let logs = state.logs.iter().filter(|(slot, log)| self.is_ours(**slot) && log.low < log.high);
            logs.map(|(slot, log)| (*slot, log.high)).collect::<BTreeMap<i32, i64>>()
        };
        self.orders.ends.lock().unwrap().extend(&ends);
        self.nap().await;
        let topic_id = {
            let state = self.broker.state();
            let epochs = state.logs.iter().filter(|(slot, _)| self.is_ours(**slot)).map(|(_, log)| log.epoch);
            format!("topic-{:?}", epochs.max())
        };
        let found = Found {
            topic: TOPICS[self.topic].into(),
            cluster: "cluster".into(),
            topic_id: Some(topic_id),
            ends: ends.into_iter().map(|(slot, end)| (source(slot), end)).collect(),
        };
        self.say(SourceEvent::Found(found)).await?;
        loop {
            match self.commands.try_recv() {
                Ok(SourceCommand::Join) => {
                    self.orders.joined.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(SourceCommand::Stop(commits)) => return Err(End::Stopped(commits)),
                Ok(SourceCommand::GroupOffsets(sources)) => self.tell_offsets(sources).await?,
                Ok(SourceCommand::Commit(_) | SourceCommand::Watermark(_)) => {}
                Err(std_mpsc::TryRecvError::Empty) => self.nap().await,
                Err(std_mpsc::TryRecvError::Disconnected) => return Err(End::JobGone),
            }
        }
    }

    async fn obey(&mut self, owned: &BTreeMap<i32, Owned>) -> Result<(), End> {
        if self.orders.fails.load(Ordering::Relaxed) {
            return Err(End::Failed("the brokers are gone"));
        }
        let mut newest = None;
        loop {
            match self.commands.try_recv() {
                Ok(SourceCommand::Join) => {}
                Ok(SourceCommand::Stop(commits)) => return Err(End::Stopped(commits)),
                Ok(SourceCommand::Watermark(source)) => {
                    let rate = self.faults.rates.commits / 4;
                    if self.faults.comes(&mut self.chance, rate, "kafka: a watermark was not told") {
                        return Err(End::Failed("the brokers do not answer"));
                    }
                    let high = self.broker.state().logs[&slot_of(&source)].high;
                    self.say(SourceEvent::Watermark { source, high }).await?;
                }
                Ok(SourceCommand::GroupOffsets(sources)) => self.tell_offsets(sources).await?,
                Ok(SourceCommand::Commit(commits)) => newest = Some(commits),
                Err(std_mpsc::TryRecvError::Empty) => break,
                Err(std_mpsc::TryRecvError::Disconnected) => return Err(End::JobGone),
            }
        }
        let Some(mut commits) = newest else { return Ok(()) };
        commits.retain(|commit| owned.contains_key(&slot_of(&commit.source)));
        let ends = {
            let state = self.broker.state();
            owned.keys().map(|slot| (source(*slot), state.logs[slot].high)).collect()
        };
        self.say(SourceEvent::Watermarks(ends)).await?;
        if !commits.is_empty() {
            let outcome = self.commit(&commits);
            let lost = self.faults.rates.commits;
            if !self.faults.comes(&mut self.chance, lost, "kafka: the answer to a commit lost") {
                self.commit_outcome = Some(outcome);
            }
        }
        Ok(())
    }

    async fn tell_of_commit(&mut self) -> Result<(), End> {
        match self.commit_outcome.take() {
            Some(outcome) => self.say(SourceEvent::Committed(outcome)).await,
            None => Ok(()),
        }
    }

    async fn tell_offsets(&mut self, sources: Vec<TopicPartition>) -> Result<(), End> {
        let topic = TOPICS[self.topic].into();
        let rate = self.faults.rates.offsets;
        let offsets =
            match self.faults.comes(&mut self.chance, rate, "kafka: the group's offsets were not told") {
                true => Err(Error::new(Kind::Kafka, "simulated: the coordinator does not answer")),
                false => {
                    let state = self.broker.state();
                    let of = |source: &TopicPartition| state.committed.get(&slot_of(source)).cloned();
                    let found = sources.into_iter().filter_map(|source| of(&source).map(|c| (source, c)));
                    Ok(found
                        .map(|(source, (offset, metadata))| Commit { source, offset, metadata })
                        .collect())
                }
            };
        self.say(SourceEvent::GroupOffsets { topic, offsets }).await
    }

    fn is_ours(&self, slot: i32) -> bool {
        broker::topic_of(slot) == self.topic
    }

    fn commit(&mut self, commits: &[Commit]) -> ticklake::Result<Vec<Commit>> {
        let failed = |what: &str| Err(Error::new(Kind::Kafka, format!("simulated: {what}")));
        if self.faults.comes(&mut self.chance, self.faults.rates.commits, "kafka: a commit failed") {
            return failed("the coordinator is loading");
        }
        let late_too = self.style.late_commits && !self.faults.are_over();
        match self.broker.commit(self.id, commits, late_too) {
            true => Ok(commits.to_vec()),
            false => failed("the member is fenced"),
        }
    }

    async fn rebalance(
        &mut self,
        owned: &mut BTreeMap<i32, Owned>,
        assignments: &mut u64,
    ) -> Result<(), End> {
        let membership = &self.orders.members[self.topic];
        if membership.zombie.load(Ordering::Relaxed) {
            if !membership.noticed.load(Ordering::Relaxed) {
                return Ok(());
            }
            membership.noticed.store(false, Ordering::Relaxed);
            membership.zombie.store(false, Ordering::Relaxed);
            let all = owned.keys().copied().collect();
            self.revoke(owned, all, true).await?;
        }
        let theirs: Vec<i32> = {
            let state = self.broker.state();
            owned.keys().filter(|slot| state.wanted.get(slot) != Some(&self.id)).copied().collect()
        };
        if !theirs.is_empty() {
            self.revoke(owned, theirs, false).await?;
        }
        // Only now: another member may have taken meanwhile what was free.
        let mut taken: Vec<i32> = {
            let state = self.broker.state();
            let is_free = |slot: &i32| {
                self.is_ours(*slot)
                    && state.wanted.get(slot) == Some(&self.id)
                    && !owned.contains_key(slot)
                    && !state.holders.contains_key(slot)
            };
            state.logs.keys().copied().filter(is_free).collect()
        };
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
                let log = &state.logs[p];
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
                    owned.insert(slot_of(&source), Owned { assignment: *assignments, next });
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
        if owned.next < self.broker.state().logs[p].low {
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
