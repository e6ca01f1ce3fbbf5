//! The pipeline's side of its group membership: which sources it has, where they start, what is committed, and when a
//! batch is at its end.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use super::{Leaving, Pipeline, Plan, SourceState};
use crate::error::{Error, Kind, Result};
use crate::ingest::Lost;
use crate::ingest::buffer::SealCause;
use crate::ingest::frontier::Frontier;
use crate::ingest::origin::{GAPS, Gap};
use crate::ingest::retry::retried;
use crate::ingest::start::{CommitMark, Start, start};
use crate::ingest::takeover::Takeover;
use crate::kafka::source::Reply;
use crate::kafka::{Commit, Offer, SourceCommand, TopicPartition};

impl Pipeline {
    /// Takes newly assigned sources, and says where they start.
    pub(super) async fn take(
        &mut self,
        assignment: u64,
        offers: Vec<Offer>,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        let mut starts = Vec::with_capacity(offers.len());
        let planned: Vec<(Offer, Start)> = offers
            .into_iter()
            .map(|offer| {
                let start = start(&offer, self.plan.from, &self.mark(&offer.source));
                (offer, start)
            })
            .collect();
        for (offer, _) in &planned {
            self.must_be_our_group(offer)?;
        }
        let Plan { targets, specs, origin, .. } = &self.plan;
        Takeover::of_assignment(&planned, specs.hash()).check(targets, origin, specs).await?;
        for (offer, start) in planned {
            match &start {
                Start::Committed { offset, .. } if *offset > offer.high_watermark => {
                    return Err(beyond_the_end(&offer, *offset));
                }
                Start::Lost { offset, from, .. } if self.plan.lost == Lost::Stop => {
                    return Err(lost(&offer.source, *from, *offset));
                }
                Start::Committed { .. } | Start::Beginning { .. } => {}
                Start::Lost { offset, from, .. } => {
                    self.record_gap(&offer.source, *from, *offset, "retention").await?;
                }
                Start::Skip { offset, from } => {
                    self.record_gap(&offer.source, *from, *offset, "--from").await?;
                }
            }
            let next = self.numbers.len() as u32;
            let number = *self.numbers.entry(offer.source.clone()).or_insert(next);
            let confirmed = match &start {
                Start::Committed { offset, .. } | Start::Beginning { offset } => *offset,
                Start::Lost { from, .. } | Start::Skip { from, .. } => *from,
            };
            match &start {
                // Its mark is to be this spec's, also where nothing new comes: others wait for that.
                Start::Committed { mark, .. } if mark.spec != self.plan.specs.hash() => {
                    self.confirmed.remove(&offer.source);
                }
                _ => {
                    self.confirmed.insert(offer.source.clone(), confirmed);
                }
            }
            let counted = self.counted.entry(offer.source.clone()).or_insert(confirmed);
            *counted = confirmed.max(*counted);
            let end = self.plan.ends.get(&offer.source).copied().unwrap_or(0);
            let state = SourceState {
                assignment,
                number,
                frontier: Frontier::new(start.offset()),
                start: start.offset(),
                high: offer.high_watermark,
                stop_at: if self.plan.until_end { end } else { i64::MAX },
                leaving: false,
            };
            // Under the eager protocol a source may come again without having been revoked.
            self.placer.shelves.buffers.forget_source(&offer.source);
            starts.push((offer.source.clone(), start.offset()));
            self.sources.insert(offer.source, state);
        }
        if !starts.is_empty() {
            retried("keep the DDL", || self.plan.specs.record()).await?;
        }
        Ok(starts)
    }

    /// Two tables in one group would each be given a part of the topic.
    fn must_be_our_group(&self, offer: &Offer) -> Result<()> {
        let ours = &self.plan.targets[0].name;
        let theirs = offer.committed.as_ref().and_then(|(_, metadata)| CommitMark::parse(metadata));
        match theirs.filter(|theirs| theirs.table != ours.to_string()) {
            None => Ok(()),
            Some(theirs) => Err(Error::usage(
                "the consumer group is another table's, and its members would share the topic's records: give each table \
                 a --group of its own, or none",
            )
            .with("source", &offer.source)
            .with("its table", theirs.table)
            .with("ours", ours)),
        }
    }

    /// Leaves a note of records that are passed over, where `verify` finds it.
    pub(super) async fn record_gap(
        &self,
        source: &TopicPartition,
        from: i64,
        to: i64,
        why: &str,
    ) -> Result<()> {
        warn!(%source, from, to, why, "records are passed over, and will not be in the table");
        let chain = self.plan.origin.chain(source);
        // By both ends: a range may begin where another one did, or end there.
        let name = chain.link_name(from).replace(".parquet", &format!("-{to:020}.json"));
        let note = Gap {
            topic: source.topic.to_string(),
            partition: source.partition,
            epoch: chain.epoch,
            from,
            to,
            cluster: self.plan.origin.cluster.clone(),
            why: why.to_owned(),
        };
        let gaps = self.plan.targets[0].folder.folder(GAPS)?;
        let note = Bytes::from(serde_json::json!(note).to_string());
        retried("note the gap", || gaps.note(&name, note.clone())).await.map(|_| ())
    }

    /// Gives sources up: seals and writes what they have, and answers when it is durable.
    pub(super) fn give_up(&mut self, sources: Vec<TopicPartition>, lost: bool, reply: Reply<Vec<Commit>>) {
        if lost {
            // They are another's already: what is written now would only meet its links.
            sources.iter().for_each(|source| self.forget(source));
            return reply.send(Vec::new());
        }
        let mut leaving = Vec::with_capacity(sources.len());
        for source in sources {
            let ids = self.placer.shelves.buffers.with_rows(Some(&source));
            ids.into_iter().for_each(|id| self.seal(id, SealCause::Revoke));
            if let Some(state) = self.sources.get_mut(&source) {
                state.leaving = true;
                leaving.push((source, state.assignment));
            }
        }
        let deadline = Instant::now() + self.plan.limits.drain_deadline;
        // At the end of the job there is no later one: the source waits for this answer, and can commit nothing before.
        let end = self.draining.and_then(|drain| drain.deadline);
        let deadline = end.map_or(deadline, |end| end.min(deadline));
        self.leaving.push(Leaving { sources: leaving, reply, deadline });
    }

    /// Answers revokes whose sources have nothing on its way any more, or whose deadline has come.
    pub(super) fn let_go(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let now = Instant::now();
        for mut leaving in std::mem::take(&mut self.leaving) {
            // One that came back meanwhile, as the source waited no longer for the answer, is of another assignment.
            leaving.sources.retain(|(source, assignment)| {
                self.sources.get(source).is_some_and(|state| state.assignment == *assignment)
            });
            let clear = leaving.sources.iter().all(|(source, _)| self.sources[source].frontier.is_clear());
            if !clear && now < leaving.deadline {
                self.leaving.push(leaving);
                continue;
            }
            let Leaving { sources, reply, .. } = leaving;
            if !clear {
                warn!(?sources, "revoked before everything was durable: the next owner reads the rest again");
            }
            let commits = sources.iter().filter_map(|(source, _)| self.last_commit_of(source)).collect();
            reply.send(commits);
            sources.iter().for_each(|(source, _)| self.forget(source));
        }
    }

    pub(super) fn forget(&mut self, source: &TopicPartition) {
        self.placer.shelves.buffers.forget_source(source);
        self.sources.remove(source);
    }

    pub(super) fn commit(&mut self) {
        let topics: Vec<String> = self.plan.commands.keys().cloned().collect();
        for topic in topics {
            let commits = self.commits(&topic);
            // Also where there is none: the source looks at its topic. One that is gone says so by its last event.
            let _ = self.ask(&topic, SourceCommand::Commit(commits));
        }
    }

    /// The offsets to commit now, of one topic.
    fn commits(&self, topic: &str) -> Vec<Commit> {
        self.of_topic(topic).filter_map(|source| self.commit_of(source)).collect()
    }

    /// The offsets to commit when the job ends, of one topic.
    pub fn last_commits(&self, topic: &str) -> Vec<Commit> {
        self.of_topic(topic).filter_map(|source| self.last_commit_of(source)).collect()
    }

    fn of_topic<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a TopicPartition> {
        self.sources.keys().filter(move |source| *source.topic == *topic)
    }

    /// Counts a commit that went through.
    pub fn on_committed(&mut self, outcome: Result<Vec<Commit>>) -> Result<()> {
        for commit in outcome? {
            if let Some(counted) = self.counted.get_mut(&commit.source) {
                self.progress.offsets_committed += (commit.offset - *counted).max(0) as u64;
                *counted = commit.offset.max(*counted);
            }
            // What the group has: a commit of an earlier assignment may have gone beyond it.
            self.confirmed.insert(commit.source, commit.offset);
        }
        Ok(())
    }

    /// A source's offset to commit, if it is beyond what is confirmed. One whose confirmation got lost is so asked for
    /// again, which changes nothing.
    fn commit_of(&self, source: &TopicPartition) -> Option<Commit> {
        let confirmed = self.confirmed.get(source).copied().unwrap_or(-1);
        self.last_commit_of(source).filter(|commit| commit.offset > confirmed)
    }

    /// A source's offset when it is given up; also one that is confirmed already, as the confirmation of a later commit
    /// that moved it back may have got lost.
    fn last_commit_of(&self, source: &TopicPartition) -> Option<Commit> {
        let offset = self.sources.get(source)?.frontier.committable();
        Some(Commit { source: source.clone(), offset, metadata: self.mark(source).print() })
    }

    /// What an offset of this source's is committed under.
    pub(super) fn mark(&self, source: &TopicPartition) -> CommitMark {
        let Plan { origin, targets, lake, .. } = &self.plan;
        origin.mark(&targets[0].name, lake, source)
    }

    /// A batch is at its end when every source that held records is read to there, by this member or by another,
    /// whose commits tell.
    pub(super) fn is_at_the_end(&self) -> bool {
        self.plan.until_end
            && self.leaving.is_empty()
            && self.plan.ends.iter().all(|(source, end)| {
                self.sources.get(source).is_some_and(|state| state.frontier.position() >= *end)
            })
    }

    /// A batch that has read all of its own sources to their ends, and waits for other members'.
    pub(super) fn waits_for_others(&self) -> bool {
        let end_of = |source: &TopicPartition| self.plan.ends.get(source).copied().unwrap_or(0);
        self.plan.until_end
            && !self.sources.is_empty()
            && self.sources.iter().all(|(source, state)| state.frontier.position() >= end_of(source))
    }

    /// While others are waited for: asks each topic's source what the group has, unless it has not answered yet.
    pub(super) fn ask_for_others(&mut self) {
        if self.plan.ends.keys().all(|source| self.sources.contains_key(source)) {
            return;
        }
        let mut by_topic: BTreeMap<String, Vec<TopicPartition>> = BTreeMap::new();
        for source in self.plan.ends.keys() {
            by_topic.entry(source.topic.to_string()).or_default().push(source.clone());
        }
        for (topic, sources) in by_topic {
            if self.asked.insert(topic.clone()) {
                let _ = self.ask(&topic, SourceCommand::GroupOffsets(sources));
            }
        }
    }

    /// What another member has brought to its end is no longer waited for. What is ours and was moved by hand is committed
    /// again: another batch may wait for it, as this one does for its.
    pub(super) fn note_offsets(&mut self, topic: &str, offsets: &[Commit]) {
        let found: HashMap<_, _> = offsets.iter().map(|commit| (&commit.source, commit)).collect();
        let asked = self.plan.ends.iter().filter(|(source, _)| *source.topic == *topic);
        let asked: Vec<_> = asked.map(|(source, end)| (source.clone(), *end)).collect();
        for (source, end) in asked {
            let mark = self.mark(&source);
            let is_ours = |commit: &&&Commit| {
                mark.trusted(&commit.metadata).is_some_and(|theirs| mark.spec == theirs.spec)
            };
            let offset = found.get(&source).filter(is_ours).map(|commit| commit.offset);
            if !self.sources.contains_key(&source) {
                if offset.is_some_and(|offset| offset >= end) {
                    self.plan.ends.remove(&source);
                }
            } else if offset != self.confirmed.get(&source).copied() {
                self.confirmed.remove(&source);
            }
        }
    }
}

/// What the group has not read is gone, and with it rows of the table.
fn lost(source: &TopicPartition, from: i64, to: i64) -> Error {
    Error::new(
        Kind::Protocol,
        "retention has removed records before they were read: they cannot be in the table any more. Go on without them \
         with --lost-records skip (ingest.lost_records), which notes the gap in the table's folder, or restore them first",
    )
    .with("source", source)
    .with("lost offsets", format_args!("{from}..{to}"))
}

/// The log was cut, or is of a topic made anew on a broker that gives topics no ids.
fn beyond_the_end(offer: &Offer, committed: i64) -> Error {
    Error::new(
        Kind::Protocol,
        "the group's committed offset is beyond the end of the topic: the topic lost records, or was made anew under its \
         old name. If it was made anew, set ingest.source_epoch (--source-epoch) one higher, which begins new chains",
    )
    .with("source", &offer.source)
    .with("committed", committed)
    .with("topic ends at", offer.high_watermark)
}
