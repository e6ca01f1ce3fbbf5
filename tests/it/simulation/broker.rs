//! The simulated cluster: topics whose logs have gaps and retention, and a group's offsets. Each commit is held against
//! what is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use ticklake::kafka::{Commit, TopicPartition};

use super::chance::Chance;
use super::faults::Faults;
use super::feed::{self, Fate, Made};
use super::lake::{Lake, Truth};
use super::shelf::Shelf;

/// A partition of either is called by one number, its slot.
pub const TOPICS: [&str; 2] = ["ticks", "news"];
const SLOTS: i32 = 10;
/// Where the lake has the two tables.
pub const TABLE: &str = "lake/ticks";
pub const REJECTED: &str = "lake/ticks_rejected";

pub struct Broker {
    lake: Arc<Lake>,
    shelf: Arc<Shelf>,
    faults: Arc<Faults>,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    /// By slot.
    pub logs: BTreeMap<i32, Log>,
    /// Logs of topics that were deleted.
    past: Vec<(i32, Log)>,
    /// The group's offsets, with their metadata.
    pub committed: BTreeMap<i32, (i64, String)>,
    /// Who has which partition, in the coordinator's eyes; a member takes what is nobody's.
    pub holders: BTreeMap<i32, usize>,
    /// Who shall have it.
    pub wanted: BTreeMap<i32, usize>,
    /// All that ever was.
    pub commits: BTreeMap<i32, Vec<(i64, String)>>,
    /// The furthest that was committed.
    pub furthest: BTreeMap<i32, (i64, String)>,
    /// Offsets were moved: where records are removed too, nobody can tell that they were there.
    pub moved: bool,
    /// From where on records go by the DDL that routes otherwise, with the epoch of then.
    rerouted: Option<BTreeMap<i32, (u32, i64)>>,
}

impl State {
    /// All that comes from now on goes by the other DDL.
    pub fn reroute(&mut self) {
        let ends = self.logs.iter().map(|(slot, log)| (*slot, (log.epoch, log.high)));
        self.rerouted = Some(ends.collect());
    }

    fn is_rerouted(&self, slot: i32, epoch: u32, offset: i64) -> bool {
        let from = self.rerouted.as_ref().map(|from| from.get(&slot).copied().unwrap_or_default());
        from.is_some_and(|from| (epoch, offset) >= from)
    }
}

#[derive(Default)]
pub struct Log {
    /// How often its topic was made anew.
    pub epoch: u32,
    pub records: Vec<Made>,
    pub low: i64,
    pub high: i64,
    /// Removed before they were read.
    pub lost: Vec<Range<i64>>,
    /// Its topic was deleted before it was read to the end.
    abandoned: bool,
}

impl Log {
    /// Whether a record may not be in the table.
    fn may_lack(&self, slot: i32, offset: i64, truth: &Truth, moved: bool) -> bool {
        let is_lost = || self.lost.iter().any(|lost| lost.contains(&offset));
        self.abandoned || truth.is_skipped(number(slot, self.epoch), offset) || (moved && is_lost())
    }
}

impl Broker {
    /// `partitions`: of each topic.
    pub fn new(lake: Arc<Lake>, shelf: Arc<Shelf>, faults: Arc<Faults>, partitions: &[i32]) -> Self {
        let slots = (0..).zip(partitions).flat_map(|(topic, n)| (0..*n).map(move |p| topic * SLOTS + p));
        let logs = slots.map(|slot| (slot, Log::default())).collect();
        Self { lake, shelf, faults, state: Mutex::new(State { logs, ..State::default() }) }
    }

    pub fn slots(&self) -> Vec<i32> {
        self.state().logs.keys().copied().collect()
    }

    /// What is to be read for the first time, is read under this epoch.
    pub fn begin_epoch(&self, epoch: u32) {
        let topics = self.lake.truth().topics.clone();
        for (slot, log) in &mut self.state().logs {
            if !topics.contains(&note(topic_of(*slot), log.epoch)) {
                log.epoch = epoch;
            }
        }
    }

    /// Deletes a topic and makes it again, empty.
    pub fn make_anew(&self, topic: usize, epoch: u32) {
        let mut state = self.state();
        let state = &mut *state;
        for (slot, log) in state.logs.iter_mut().filter(|(slot, _)| topic_of(**slot) == topic) {
            let done = state.furthest.remove(slot).map_or(0, |(offset, _)| offset);
            let mut before = std::mem::replace(log, Log { epoch, ..Log::default() });
            before.abandoned = done < before.high;
            if before.epoch != epoch {
                state.past.push((*slot, before));
            }
        }
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Appends records; offsets may be left out before them and after them, as a transaction's markers do.
    pub fn produce(&self, chance: &mut Chance, slot: i32, count: u64, symbols: usize) {
        let mut state = self.state();
        let log = state.logs.get_mut(&slot).unwrap();
        for _ in 0..count {
            if chance.happens(100) {
                log.high += chance.between(1, 3) as i64;
            }
            log.records.push(feed::record(chance, log.high, symbols));
            log.high += 1;
        }
        if chance.happens(200) {
            log.high += 1;
        }
    }

    /// Records of a slot from an offset on: at most so many.
    pub fn fetch(&self, slot: i32, from: i64, most: usize) -> (Vec<Made>, i64) {
        let state = self.state();
        let log = &state.logs[&slot];
        let at = log.records.partition_point(|record| record.offset < from);
        (log.records[at..].iter().take(most).cloned().collect(), log.high)
    }

    /// Commits for a member, if it has the partitions.
    pub fn commit(&self, member: usize, commits: &[Commit], fenced_too: bool) -> bool {
        let mut state = self.state();
        let holds = |c: &Commit| state.holders.get(&slot_of(&c.source)) == Some(&member);
        if !commits.iter().all(holds) && !fenced_too {
            self.faults.count("kafka: commits refused (fenced)");
            return false;
        }
        self.faults.count("kafka: commits");
        for commit in commits {
            self.faults.note(format!("  commit {} {} by {member}", commit.source, commit.offset));
            let (slot, committed) = (slot_of(&commit.source), (commit.offset, commit.metadata.clone()));
            state.commits.entry(slot).or_default().push(committed.clone());
            state.committed.insert(slot, committed);
        }
        let state = &mut *state;
        for commit in commits {
            let slot = slot_of(&commit.source);
            let furthest = state.furthest.entry(slot).or_default();
            self.must_be_durable(slot, &state.logs[&slot], furthest.0..commit.offset, state.moved);
            if furthest.0 <= commit.offset {
                *furthest = (commit.offset, commit.metadata.clone());
            }
        }
        true
    }

    /// What a batch has promised that came to its end: all below the ends that it found.
    pub fn check_batch(&self, ends: &BTreeMap<i32, i64>) {
        let state = self.state();
        for (slot, end) in ends {
            self.must_be_durable(*slot, &state.logs[slot], 0..*end, state.moved);
        }
    }

    /// Every row of each record of a range is in a link, in its partition's folder, which is registered.
    fn must_be_durable(&self, slot: i32, log: &Log, offsets: Range<i64>, moved: bool) {
        let truth = self.lake.truth();
        for made in log.records.iter().filter(|made| offsets.contains(&made.offset)) {
            if !log.may_lack(slot, made.offset, &truth, moved) {
                self.must_be_registered(&truth, number(slot, log.epoch), made);
            }
        }
    }

    fn must_be_registered(&self, truth: &Truth, number: i32, made: &Made) {
        for item in &made.items {
            let id = (number, made.offset, item.element);
            let row = truth.rows.get(&id);
            let rejected = truth.rejected.get(&id);
            let folder = match item.fate {
                Fate::Skipped => None,
                Fate::Row => row,
                Fate::RowOrRejected => row.or(rejected),
                Fate::Rejected => rejected,
            };
            match folder {
                None if item.fate == Fate::Skipped => {}
                None => self.faults.wrong(format!("{id:?} is not durable, and was said to be")),
                Some(folder) if self.shelf.was_registered(folder) => {}
                Some(folder) => self
                    .faults
                    .wrong(format!("{id:?} in {folder} is said to be done, and that is not registered")),
            }
        }
    }

    /// What holds at the end: every row once, every rejected record once, each where it belongs.
    pub fn check(&self) {
        let state = self.state();
        let truth = self.lake.truth();
        let mut there: BTreeSet<_> = truth.rows.keys().chain(truth.rejected.keys()).copied().collect();
        for (slot, log) in state.logs.iter().chain(state.past.iter().map(|(slot, log)| (slot, log))) {
            for made in &log.records {
                let may_lack = log.may_lack(*slot, made.offset, &truth, state.moved);
                for item in &made.items {
                    let id = (number(*slot, log.epoch), made.offset, item.element);
                    there.remove(&id);
                    let folder = match state.is_rerouted(*slot, log.epoch, made.offset) {
                        true => &item.rerouted,
                        false => &item.partition,
                    };
                    let row = truth.rows.get(&id).map(|at| *at == format!("{TABLE}/{folder}"));
                    let rejected =
                        truth.rejected.get(&id).map(|at| *at == format!("{REJECTED}/{}", item.rejected));
                    let right = match item.fate {
                        Fate::Skipped => (row, rejected) == (None, None),
                        Fate::Row => (row, rejected) == (Some(true), None),
                        Fate::Rejected => (row, rejected) == (None, Some(true)),
                        Fate::RowOrRejected => {
                            matches!((row, rejected), (Some(true), None) | (None, Some(true)))
                        }
                    };
                    let is_excused = may_lack && (row, rejected) == (None, None);
                    if !right && !is_excused {
                        self.faults.wrong(format!(
                            "{id:?} ({:?}) ended as row {:?}, rejected {:?}",
                            item.fate,
                            truth.rows.get(&id),
                            truth.rejected.get(&id)
                        ));
                    }
                }
            }
        }
        if let Some(id) = there.first() {
            self.faults.wrong(format!("{id:?} is in the table, and was never sent"));
        }
    }
}

pub fn topic_of(slot: i32) -> usize {
    (slot / SLOTS) as usize
}

pub fn source(slot: i32) -> TopicPartition {
    TopicPartition::new(TOPICS[topic_of(slot)], slot % SLOTS)
}

pub fn slot_of(source: &TopicPartition) -> i32 {
    slot(&source.topic, source.partition)
}

pub fn slot(topic: &str, partition: i32) -> i32 {
    let topic = TOPICS.iter().position(|t| *t == topic).expect("a topic of ours");
    topic as i32 * SLOTS + partition
}

/// What the records of a slot are called by, which are others after its topic was made anew.
pub fn number(slot: i32, epoch: u32) -> i32 {
    slot + 100 * epoch as i32
}

/// What the names of a slot's links begin with.
pub fn chain(slot: i32, epoch: u32) -> String {
    let (topic, partition) = (TOPICS[topic_of(slot)], slot % SLOTS);
    match epoch {
        0 => format!("k-{topic}-{partition}-"),
        _ => format!("k-{topic}-{partition}-e{epoch}-"),
    }
}

/// The name of the note of a topic.
pub fn note(topic: usize, epoch: u32) -> String {
    match epoch {
        0 => format!("k-{}.json", TOPICS[topic]),
        _ => format!("k-{}-e{epoch}.json", TOPICS[topic]),
    }
}
