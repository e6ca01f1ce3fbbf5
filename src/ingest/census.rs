//! Tells to which partitions a record's rows go, and keeps no row: how `verify` counts what the files must hold.
//!
//! It is the job's own way from bytes to a partition. As fate is pure (DESIGN §3.7), a record that is read again goes
//! where it went.

use std::collections::HashMap;

use super::buffer::Side;
use super::decode::{Decoder, Fate, Rejection};
use super::rejected::{self, Rejecting};
use super::route::{NoPartition, Router};
use super::row::{Reason, Row};
use crate::kafka::{Record, TopicPartition};
use crate::table::{PartitionKey, Spec};

/// Counts by one spec.
#[derive(Debug)]
pub(crate) struct Census {
    decoder: Decoder,
    places: Places,
}

#[derive(Debug)]
struct Places {
    router: Router,
    rejected_router: Router,
    rejected_row: Row,
    rejecting: Rejecting,
    key: Vec<u8>,
    /// By compact key: text is made once a partition.
    known: HashMap<Vec<u8>, usize>,
    partitions: Vec<(Side, PartitionKey)>,
}

impl Census {
    pub fn new(spec: &Spec) -> Self {
        let places = Places {
            router: Router::new(spec),
            rejected_router: rejected::router(),
            rejected_row: Row::default(),
            rejecting: Rejecting::default(),
            key: Vec::new(),
            known: HashMap::new(),
            partitions: Vec::new(),
        };
        Self { decoder: Decoder::new(spec), places }
    }

    /// Gives the partition of each row of a record, by its number here.
    pub fn count(&mut self, source: &TopicPartition, record: &Record<'_>, each: &mut impl FnMut(usize)) {
        let Self { decoder, places } = self;
        decoder.decode(&source.topic, source.partition, record, &mut |fate| match fate {
            Fate::Row { row, element, value } => match places.of_row(row) {
                Ok(number) => each(number),
                Err((reason, name)) => {
                    let rejection = Rejection { reason, column: Some(&name), element, value: Some(value) };
                    each(places.of_rejected(source, record, &rejection));
                }
            },
            Fate::Skipped => {}
            Fate::Rejected(rejection) => each(places.of_rejected(source, record, &rejection)),
        });
    }

    /// The partition of a number that `count` gave.
    pub fn partition(&self, number: usize) -> (Side, &PartitionKey) {
        let (side, key) = &self.places.partitions[number];
        (*side, key)
    }

    /// Numbers that were given so far: `0..partitions()`.
    pub fn partitions(&self) -> usize {
        self.places.partitions.len()
    }
}

impl Places {
    fn of_row(&mut self, row: &Row) -> Result<usize, (Reason, String)> {
        self.key.clear();
        self.key.push(Side::Rows as u8);
        let Self { router, key, .. } = self;
        let none = |router: &Router, none: NoPartition| (none.reason, router.name(none.field).to_owned());
        router.route(row, key).map_err(|e| none(router, e))?;
        if let Some(number) = self.known.get(&self.key) {
            return Ok(*number);
        }
        let partition = self.router.partition(row).map_err(|e| none(&self.router, e))?;
        Ok(self.add(Side::Rows, partition))
    }

    fn of_rejected(
        &mut self,
        source: &TopicPartition,
        record: &Record<'_>,
        rejection: &Rejection<'_>,
    ) -> usize {
        let mut row = std::mem::take(&mut self.rejected_row);
        rejected::fill(&mut row, &self.rejecting, source, record, rejection);
        self.key.clear();
        self.key.push(Side::Rejected as u8);
        // Its only partition value is a day that was checked, or null, which it takes.
        let always = "a rejected row always has a partition";
        self.rejected_router.route(&row, &mut self.key).expect(always);
        let number = match self.known.get(&self.key) {
            Some(number) => *number,
            None => {
                let partition = self.rejected_router.partition(&row).expect(always);
                self.add(Side::Rejected, partition)
            }
        };
        self.rejected_row = row;
        number
    }

    fn add(&mut self, side: Side, partition: PartitionKey) -> usize {
        let number = self.partitions.len();
        self.known.insert(self.key.clone(), number);
        self.partitions.push((side, partition));
        number
    }
}
