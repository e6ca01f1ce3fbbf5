//! What the pipeline tells of itself: its progress, its lag, and what holds offsets back.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Pipeline, SourceState};
use crate::ingest::progress::{Held, Progress};
use crate::ingest::row::Reason;
use crate::kafka::TopicPartition;

impl Pipeline {
    /// What is done so far, and how it stands.
    pub fn progress(&self) -> Progress {
        let shelves = &self.placer.shelves;
        let counts = shelves.counts;
        let reasons = Reason::ALL.iter().zip(counts.rejected);
        let left = |s: &SourceState| (s.stop_at.min(s.high) - s.frontier.position()).max(0) as u64;
        let lags: BTreeMap<TopicPartition, u64> =
            self.sources.iter().map(|(source, state)| (source.clone(), left(state))).collect();
        Progress {
            told_at: Some(Instant::now()),
            rows: counts.rows,
            rejected: counts.rejected(),
            rejected_by: reasons.map(|(reason, count)| (reason.name(), count)).collect(),
            skipped: counts.skipped,
            unused_fields: self.placer.decoder.unused().len() as u64,
            seals: self.flights.seals(),
            calls: self.plan.meter.calls(),
            lag_records: (!lags.is_empty()).then(|| lags.values().sum()),
            lags,
            open_partitions: shelves.buffers.open() as u64,
            buffered_bytes: (shelves.buffers.bytes() + self.flights.bytes()) as u64,
            in_flight: self.flights.len() as u64,
            oldest_unsealed: shelves.buffers.oldest(Instant::now()),
            registration_backlog: self.registry.backlog() as u64,
            oldest_unregistered: self.registry.oldest(Instant::now()),
            registration_lag: self.registry.lag().clone(),
            held: self.held(),
            ..self.progress.clone()
        }
    }

    fn held(&self) -> Held {
        let mut held = Held::default();
        for (source, state) in &self.sources {
            let first = state.frontier.committable();
            let offsets = (state.frontier.position() - first).max(0) as u64;
            if offsets == 0 {
                continue;
            }
            let by = if self.flights.holds(source, first) {
                &mut held.writing
            } else if self.registry.holds(source, first) {
                &mut held.registering
            } else {
                &mut held.buffered
            };
            *by += offsets;
        }
        held
    }
}
