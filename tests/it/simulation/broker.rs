//! The simulated cluster: logs with gaps and retention, and a group's offsets. Each commit is held against what is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use ticklake::kafka::{Commit, TopicPartition};

use super::chance::Chance;
use super::faults::Faults;
use super::feed::{self, Fate, Made};
use super::lake::{Lake, Truth};
use super::shelf::Shelf;

pub const TOPIC: &str = "ticks";
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
    pub logs: Vec<Log>,
    /// The group's offsets, with their metadata.
    pub committed: BTreeMap<i32, (i64, String)>,
    /// Who has which partition, in the coordinator's eyes; a member takes what is nobody's.
    pub holders: BTreeMap<i32, usize>,
    /// Who shall have it.
    pub wanted: BTreeMap<i32, usize>,
    /// How far commits were held against what is durable.
    checked: BTreeMap<i32, i64>,
}

#[derive(Default)]
pub struct Log {
    pub records: Vec<Made>,
    pub low: i64,
    pub high: i64,
}

impl Broker {
    pub fn new(lake: Arc<Lake>, shelf: Arc<Shelf>, faults: Arc<Faults>, partitions: i32) -> Self {
        let logs = (0..partitions).map(|_| Log::default()).collect();
        Self { lake, shelf, faults, state: Mutex::new(State { logs, ..State::default() }) }
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Appends records; offsets may be left out before them and after them, as a transaction's markers do.
    pub fn produce(&self, chance: &mut Chance, partition: i32, count: u64, symbols: usize) {
        let mut state = self.state();
        let log = &mut state.logs[partition as usize];
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

    /// Records of a partition from an offset on: at most so many.
    pub fn fetch(&self, partition: i32, from: i64, most: usize) -> (Vec<Made>, i64) {
        let state = self.state();
        let log = &state.logs[partition as usize];
        let at = log.records.partition_point(|record| record.offset < from);
        (log.records[at..].iter().take(most).cloned().collect(), log.high)
    }

    /// Commits for a member, if it has the partitions.
    pub fn commit(&self, member: usize, commits: &[Commit], fenced_too: bool) -> bool {
        let mut state = self.state();
        let holds = |c: &Commit| state.holders.get(&c.source.partition) == Some(&member);
        if !commits.iter().all(holds) && !fenced_too {
            self.faults.count("kafka: commits refused (fenced)");
            return false;
        }
        self.faults.count("kafka: commits");
        for commit in commits {
            self.faults.note(format!("  commit {} {} by {member}", commit.source, commit.offset));
            state.committed.insert(commit.source.partition, (commit.offset, commit.metadata.clone()));
        }
        let state = &mut *state;
        let truth = self.lake.truth();
        for commit in commits {
            let partition = commit.source.partition;
            let checked = state.checked.entry(partition).or_default();
            for made in &state.logs[partition as usize].records {
                if (*checked..commit.offset).contains(&made.offset) {
                    self.must_be_durable(&truth, partition, made);
                }
            }
            *checked = commit.offset.max(*checked);
        }
        true
    }

    /// Every row of a record is in a link, in its partition's folder, which is registered.
    fn must_be_durable(&self, truth: &Truth, partition: i32, made: &Made) {
        if truth.is_skipped(partition, made.offset) {
            return;
        }
        for item in &made.items {
            let id = (partition, made.offset, item.element);
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
                None => self.faults.wrong(format!("{id:?} is not durable below a committed offset")),
                Some(folder) if self.shelf.was_registered(folder) => {}
                Some(folder) => {
                    self.faults.wrong(format!("{id:?} in {folder}, not registered, below a committed offset"))
                }
            }
        }
    }

    /// What holds at the end: every row once, every rejected record once, each where it belongs.
    pub fn check(&self) {
        let state = self.state();
        let truth = self.lake.truth();
        let mut there: BTreeSet<_> = truth.rows.keys().chain(truth.rejected.keys()).copied().collect();
        for (partition, log) in (0..).zip(&state.logs) {
            for made in &log.records {
                let may_lack = truth.is_skipped(partition, made.offset);
                for item in &made.items {
                    let id = (partition, made.offset, item.element);
                    there.remove(&id);
                    let row = truth.rows.get(&id).map(|at| *at == format!("{TABLE}/{}", item.partition));
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

pub fn source(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}
