//! Runs the stages of the hot path one at a time, in memory, as a job runs them: for benchmarks.
//!
//! ```text
//! records ─ decode ─▶ rows ─ route ─▶ buffers ─ seal ─▶ sealed rows ─ encode ─▶ files
//!         └────────── place ────────▶
//! ```

use bytes::Bytes;
use parquet::errors::ParquetError;
use tokio::time::Instant;

use super::Limits;
use super::buffer::{BufferLimits, SealCause, Side};
use super::decode::Fate;
use super::encode::Encoder;
use super::frontier::Frontier;
use super::place::{Place, Placer};
use super::rejected::Rejecting;
use super::row::Row;
use super::write::{Rows, encode};
use crate::error::{Error, Kind, Result};
use crate::kafka::RecordSet;
use crate::table::columns::file_schema;
use crate::table::{Ddl, Spec};

/// The stages of one table's job, with the buffers that it would have.
#[derive(Debug)]
pub struct Stages {
    placer: Placer,
    limits: BufferLimits,
    encoder: Encoder,
    spec: Spec,
}

/// Rows that have no place yet, with the index of their record.
#[derive(Debug)]
pub struct Decoded(Vec<(usize, Row)>);

/// The rows of one partition, as a file is made of them.
#[derive(Debug)]
pub struct Sealed(Rows);

impl Stages {
    /// `limits`: those of a buffer, which is not sealed by them here; the job's defaults if in doubt.
    pub fn new(ddl: &Ddl, limits: &Limits) -> Result<Self> {
        let spec = Spec::from_ddl(ddl)?;
        let limits = limits.of_buffer();
        let encoder = Encoder::new(&file_schema(&ddl.columns), spec.sort.clone(), spec.compression);
        Ok(Self { placer: Placer::new(&spec, limits, Rejecting::default()), limits, encoder, spec })
    }

    /// Decodes records to rows and drops them; gives how many there were.
    pub fn decode(&mut self, records: &RecordSet) -> usize {
        let mut rows = 0;
        self.each_row(records, |_, _| rows += 1);
        rows
    }

    /// Decodes records and keeps the rows.
    pub fn rows(&mut self, records: &RecordSet) -> Decoded {
        let mut rows = Vec::with_capacity(records.len());
        self.each_row(records, |record, row| rows.push((record, row.clone())));
        Decoded(rows)
    }

    fn each_row(&mut self, records: &RecordSet, mut each: impl FnMut(usize, &Row)) {
        let source = &records.source;
        for (index, record) in records.iter().enumerate() {
            self.placer.decoder.decode(&source.topic, source.partition, &record, &mut |fate| {
                if let Fate::Row { row, .. } = fate {
                    each(index, row);
                }
            });
        }
    }

    /// Finds the partition of each row and appends it there: rows of these records, decoded before.
    pub fn route(&mut self, records: &RecordSet, decoded: &Decoded) -> usize {
        let mut frontier = Frontier::new(0);
        let records_by_index: Vec<_> = records.iter().collect();
        let now = Instant::now();
        let routed = decoded.0.iter().filter(|(index, row)| {
            let record = &records_by_index[*index];
            let at = Place { source: &records.source, number: source_number(records), record, now };
            self.placer.shelves.put_row(row, &at, &mut frontier).is_ok()
        });
        routed.count()
    }

    /// Decodes, routes and appends: all that the job's one thread does with records. Gives how many rows there are so far.
    pub fn place(&mut self, records: &RecordSet) -> u64 {
        let mut frontier = Frontier::new(0);
        let (number, now) = (source_number(records), Instant::now());
        for record in records.iter() {
            self.placer.place(&records.source, number, &record, &mut frontier, now);
        }
        self.placer.shelves.full.clear();
        self.placer.shelves.counts.rows
    }

    /// Takes the rows out of all buffers, and forgets these.
    pub fn seal(&mut self) -> Vec<Sealed> {
        let buffers = &mut self.placer.shelves.buffers;
        let mut sealed = Vec::new();
        for id in buffers.with_rows(None) {
            let side = buffers.chain(id).side;
            let rows = buffers.seal(id, SealCause::End, Instant::now());
            if let Some(packed) = rows.filter(|_| side == Side::Rows) {
                sealed.push(Sealed(Rows { packed, forms: buffers.forms(side) }));
            }
        }
        self.placer = Placer::new(&self.spec, self.limits, Rejecting::default());
        sealed
    }

    /// The file of these rows, with a footer of no job's.
    pub fn encode(&self, sealed: &Sealed) -> Result<Bytes> {
        let encoded = encode(&sealed.0, 0, &self.encoder, Vec::new());
        encoded
            .map(|encoded| encoded.bytes)
            .map_err(|e: ParquetError| Error::new(Kind::Store, "cannot encode a file").because(e))
    }
}

fn source_number(records: &RecordSet) -> u32 {
    records.source.partition as u32
}
