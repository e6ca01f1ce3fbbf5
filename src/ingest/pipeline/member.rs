//! The pipeline's side of its group membership: which sources it has, where they start, what is committed, and when a
//! batch is at its end.

use std::collections::HashMap;

use tokio::time::Instant;
use tracing::warn;

use super::{Leaving, Pipeline, SourceState};
use crate::error::Result;
use crate::ingest::chain::ChainSource;
use crate::ingest::frontier::Frontier;
use crate::ingest::start::{CommitMark, Start, start};
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
                let start = start(&offer, self.plan.from, &self.mark(&offer.source.topic));
                (offer, start)
            })
            .collect();
        if planned.iter().any(|(_, start)| !matches!(start, Start::Committed { .. })) {
            self.plan.specs.follow_all().await?; // one listing, however many sources come
        }
        for (offer, start) in planned {
            match &start {
                Start::Committed { spec, .. } => self.plan.specs.follow(spec).await?,
                Start::Beginning { .. } => {}
                Start::Skip { offset, from } => self.record_gap(&offer.source, *from, *offset).await?,
            }
            let next = self.numbers.len() as u32;
            let number = *self.numbers.entry(offer.source.clone()).or_insert(next);
            let committed = offer.committed.as_ref().map(|(offset, _)| *offset);
            self.confirmed.insert(offer.source.clone(), committed.unwrap_or(0).min(start.offset()));
            let end = self.plan.ends.get(&offer.source).copied().unwrap_or(0);
            let state = SourceState {
                assignment,
                number,
                frontier: Frontier::new(start.offset()),
                assigned_end: offer.high_watermark,
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
            self.plan.specs.record().await?;
        }
        Ok(starts)
    }

    /// Leaves a note of records that are skipped on purpose, where `verify` finds it.
    pub(super) async fn record_gap(&self, source: &TopicPartition, from: i64, to: i64) -> Result<()> {
        warn!(%source, from, to, "records are skipped, as --from says");
        let chain = ChainSource { source: source.clone(), epoch: self.plan.epoch };
        let name = chain.link_name(to).replace(".parquet", ".json");
        let note = serde_json::json!({
            "topic": &*source.topic, "partition": source.partition, "epoch": self.plan.epoch,
            "from": from, "to": to, "cluster": self.plan.origin.cluster, "why": "--from",
        });
        let gaps = self.plan.targets[0].folder.folder("_ticklake/gaps")?;
        gaps.create(&name, note.to_string().into()).await.map(|_| ())
    }

    /// Gives sources up: seals and writes what they have, and answers when it is durable.
    pub(super) fn give_up(&mut self, sources: Vec<TopicPartition>, lost: bool, reply: Reply<Vec<Commit>>) {
        if lost {
            // They are another's already: what is written now would only meet its links.
            sources.iter().for_each(|source| self.forget(source));
            return reply.send(Vec::new());
        }
        for source in &sources {
            if let Some(state) = self.sources.get_mut(source) {
                state.leaving = true;
            }
            let ids = self.placer.shelves.buffers.with_rows(Some(source));
            ids.into_iter().for_each(|id| self.seal(id));
        }
        let deadline = Instant::now() + self.plan.limits.drain_deadline;
        self.leaving.push(Leaving { sources, reply, deadline });
    }

    /// Answers revokes whose sources have nothing on its way any more, or whose deadline has come.
    pub(super) fn let_go(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let now = Instant::now();
        for leaving in std::mem::take(&mut self.leaving) {
            let is_clear = |source| self.sources.get(source).is_none_or(|state| state.frontier.is_clear());
            let clear = leaving.sources.iter().all(is_clear);
            if !clear && now < leaving.deadline {
                self.leaving.push(leaving);
                continue;
            }
            let Leaving { sources, reply, .. } = leaving;
            if !clear {
                warn!(?sources, "revoked before everything was durable: the next owner reads the rest again");
            }
            let commits = sources.iter().filter_map(|source| self.commit_of(source)).collect();
            reply.send(commits);
            sources.iter().for_each(|source| self.forget(source));
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
            if !commits.is_empty() {
                // A source that is gone says so by its last event.
                let _ = self.ask(&topic, SourceCommand::Commit(commits));
            }
        }
    }

    /// The offsets to commit now, of one topic.
    pub fn commits(&self, topic: &str) -> Vec<Commit> {
        let of_topic = self.sources.keys().filter(|source| *source.topic == *topic);
        of_topic.filter_map(|source| self.commit_of(source)).collect()
    }

    /// Counts a commit that went through.
    pub fn on_committed(&mut self, outcome: Result<Vec<Commit>>) -> Result<()> {
        for commit in outcome? {
            if let Some(confirmed) = self.confirmed.get_mut(&commit.source) {
                self.progress.offsets_committed += (commit.offset - *confirmed).max(0) as u64;
                *confirmed = commit.offset.max(*confirmed);
            }
        }
        Ok(())
    }

    /// A source's offset to commit, if it is beyond what is confirmed. One whose confirmation got lost is so asked for
    /// again, which changes nothing.
    pub(super) fn commit_of(&self, source: &TopicPartition) -> Option<Commit> {
        let offset = self.sources.get(source)?.frontier.committable();
        let confirmed = self.confirmed.get(source).copied().unwrap_or(-1);
        let metadata = self.mark(&source.topic).print();
        (offset > confirmed).then(|| Commit { source: source.clone(), offset, metadata })
    }

    /// What an offset of this topic's is committed under.
    pub(super) fn mark(&self, topic: &str) -> CommitMark {
        CommitMark {
            lake: self.plan.lake.clone(),
            table: self.plan.targets[0].name.to_string(),
            cluster: self.plan.origin.cluster.clone(),
            topic_id: self.plan.origin.topic_id(topic).to_owned(),
            epoch: self.plan.epoch,
            spec: self.plan.origin.spec.clone(),
        }
    }

    /// A batch is at its end when every source that held records is read to there, by this member or by another,
    /// whose commits tell.
    pub(super) fn is_at_the_end(&self) -> bool {
        let all_joined = self.plan.commands.keys().all(|topic| self.joined.contains(topic));
        self.plan.until_end
            && all_joined
            && self.leaving.is_empty()
            && self.plan.ends.iter().all(|(source, end)| {
                self.sources.get(source).is_some_and(|state| state.frontier.position() >= *end)
            })
    }

    pub(super) fn ask_for_others(&mut self) {
        let mut by_topic: HashMap<String, Vec<TopicPartition>> = HashMap::new();
        for source in self.plan.ends.keys().filter(|source| !self.sources.contains_key(*source)) {
            by_topic.entry(source.topic.to_string()).or_default().push(source.clone());
        }
        for (topic, sources) in by_topic {
            if self.joined.contains(&topic) {
                let _ = self.ask(&topic, SourceCommand::GroupOffsets(sources));
            }
        }
    }

    /// What another member has brought to its end is no longer waited for.
    pub(super) fn note_others(&mut self, offsets: &[Commit]) {
        for commit in offsets {
            let mark = self.mark(&commit.source.topic);
            let ours = CommitMark::parse(&commit.metadata).is_some_and(|theirs| mark.trusts(&theirs));
            let done = self.plan.ends.get(&commit.source).is_some_and(|end| commit.offset >= *end);
            if ours && done && !self.sources.contains_key(&commit.source) {
                self.plan.ends.remove(&commit.source);
            }
        }
    }
}
