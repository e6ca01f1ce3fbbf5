//! Decodes records as the ingest would, without Kafka and without a store: what each record would become.
//!
//! It is the job's own way from bytes to a row of a partition, so a DDL can be tried before it is used.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::columns;
use super::decode::{self, Decoder, Fate};
use super::packed::{Form, Packed};
use super::route::Router;
use super::{number, time};
use crate::error::{Error, Kind, Result};
use crate::kafka::RecordSet;
use crate::table::columns::file_schema;
use crate::table::spec::Format;
use crate::table::{Ddl, Spec};

/// What a record, or an element of its array, would become.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Row {
        /// The partition's path, `date=2026-11-22/symbol=AAPL`.
        partition: String,
        /// One row, of the table's columns.
        row: RecordBatch,
    },
    Skipped,
    Rejected {
        reason: &'static str,
        column: Option<String>,
    },
}

/// How many records, or elements of their arrays, become what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Kafka records.
    pub messages: u64,
    pub rows: u64,
    pub skipped: u64,
    /// By reason and column.
    pub rejected: BTreeMap<(&'static str, Option<String>), u64>,
}

impl Tally {
    /// Tries records and counts what becomes of them; `each` sees it too.
    pub fn add(&mut self, ddl: &Ddl, records: &RecordSet, mut each: impl FnMut(&Outcome)) -> Result<()> {
        self.messages += records.len() as u64;
        for outcome in trial(ddl, records)? {
            each(&outcome);
            match outcome {
                Outcome::Row { .. } => self.rows += 1,
                Outcome::Skipped => self.skipped += 1,
                Outcome::Rejected { reason, column } => {
                    *self.rejected.entry((reason, column)).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    pub fn all_rejected(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// The message in a record's bytes, without what a serializer put before it.
pub fn message(value: &[u8]) -> &[u8] {
    decode::message(value)
}

/// The instant that a text or a number means in a format, in nanoseconds since the epoch; `None` where it means none.
pub fn instant(format: &Format, text: &str) -> Option<i128> {
    time::instant(format, text.as_bytes()).ok()
}

/// How many digits a number has before its point and after it, without zeros at either end; `None` for what is no number.
pub fn places(text: &str) -> Option<(u64, u64)> {
    number::places(text.as_bytes())
}

/// Decodes records by a table's DDL; the outcomes are in the records' order.
pub fn trial(ddl: &Ddl, records: &RecordSet) -> Result<Vec<Outcome>> {
    let spec = Spec::from_ddl(ddl)?;
    let forms: Vec<Form> = spec.columns.iter().map(|c| Form::of(&c.column.column_type)).collect();
    let columns: Vec<_> = spec.columns.iter().map(|c| c.column.clone()).collect();
    let schema = file_schema(&columns);
    let mut decoder = Decoder::new(&spec);
    let mut router = Router::new(&spec);
    let mut outcomes = Vec::new();
    let mut failed = None;
    for record in records.iter() {
        let source = &records.source;
        decoder.decode(&source.topic, source.partition, &record, &mut |fate| {
            let outcome = match fate {
                Fate::Skipped => Outcome::Skipped,
                Fate::Rejected(rejection) => Outcome::Rejected {
                    reason: rejection.reason.name(),
                    column: rejection.column.map(str::to_owned),
                },
                Fate::Row { row, .. } => {
                    let routed = router.route(row, &mut Vec::new()).and_then(|()| router.partition(row));
                    match routed {
                        Err(none) => Outcome::Rejected {
                            reason: none.reason.name(),
                            column: Some(router.name(none.field).to_owned()),
                        },
                        Ok(partition) => {
                            let mut packed = Packed::new(&forms);
                            packed.push(&forms, row, 0, &mut Vec::new());
                            match columns::batch(&packed, &forms, 0, &schema) {
                                Ok((row, _)) => Outcome::Row { partition: partition.path().to_owned(), row },
                                Err(e) => {
                                    failed = Some(e);
                                    return;
                                }
                            }
                        }
                    }
                }
            };
            outcomes.push(outcome);
        });
    }
    match failed {
        None => Ok(outcomes),
        Some(e) => Err(Error::new(Kind::Store, "cannot make a row's columns").because(e)),
    }
}
