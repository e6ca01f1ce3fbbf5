//! Measures one part of the way alone, in this process: it was started for that.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::report::Outcome;
use super::usage::{Usage, usage};
use crate::error::{Error, Kind, Result};
use crate::ingest::Limits;
use crate::ingest::stages::Stages;
use crate::kafka::{Connection, Reader, RecordSet, TopicPartition};
use crate::table::Ddl;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Reads the topic from beginning to end and does nothing with it.
    Drain,
    /// Makes rows of records in memory, and finds the buffer of each.
    Decode,
    /// Makes files of rows in memory, and drops them.
    Encode,
    /// All of it, to the store and the catalog.
    Job,
}

impl Part {
    pub const ALL: [Self; 4] = [Self::Drain, Self::Decode, Self::Encode, Self::Job];

    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Job => "job",
        }
    }
}

/// One part to be measured, but for [`Part::Job`].
#[derive(Clone, Debug)]
pub struct PartJob {
    pub part: Part,
    pub connection: Connection,
    pub topic: String,
    pub ddl: Ddl,
    pub limits: Limits,
}

/// What a part did and took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PartDone {
    #[serde(flatten)]
    pub done: Outcome,
    /// Of the part's own work: without what was read for it, and the start of the process.
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// The whole process.
    pub usage: Usage,
}

impl PartDone {
    fn count(&mut self, set: &RecordSet) {
        self.done.records += set.len() as u64;
        self.done.record_bytes += set.bytes_len() as u64;
    }
}

/// So many records are kept in memory for what is measured there.
const RECORDS_MAX: u64 = 1_000_000;
const BYTES_MAX: u64 = 512 << 20;
/// Decoding goes through them again until it has taken so long: a shorter time tells little.
const CPU_SECONDS_MIN: f64 = 1.0;

/// Measures it. Blocks.
pub fn run_part(job: &PartJob) -> Result<PartDone> {
    let mut done = match job.part {
        Part::Drain => drain(job)?,
        Part::Decode => decode(job)?,
        Part::Encode => encode(job)?,
        Part::Job => return Err(Error::usage("the whole job is `ticklake ingest`")),
    };
    done.usage = usage();
    Ok(done)
}

struct Clock {
    started: Instant,
    cpu_seconds: f64,
}

impl Clock {
    fn start() -> Self {
        Self { started: Instant::now(), cpu_seconds: usage().cpu_seconds() }
    }

    fn cpu_seconds(&self) -> f64 {
        usage().cpu_seconds() - self.cpu_seconds
    }

    fn stop(self, done: &mut PartDone) {
        done.seconds = self.started.elapsed().as_secs_f64();
        done.cpu_seconds = self.cpu_seconds();
    }
}

fn drain(job: &PartJob) -> Result<PartDone> {
    let mut done = PartDone::default();
    let clock = Clock::start();
    read(job, |set| {
        done.count(&set);
        true
    })?;
    clock.stop(&mut done);
    Ok(done)
}

fn decode(job: &PartJob) -> Result<PartDone> {
    let sets = keep(job)?;
    let mut done = PartDone::default();
    let mut stages = Stages::new(&job.ddl, &job.limits)?;
    let clock = Clock::start();
    while clock.cpu_seconds() < CPU_SECONDS_MIN {
        let mut rows = 0;
        for set in &sets {
            done.count(set);
            rows = stages.place(set);
        }
        done.done.rows += rows;
        stages.seal();
    }
    clock.stop(&mut done);
    Ok(done)
}

fn encode(job: &PartJob) -> Result<PartDone> {
    let sets = keep(job)?;
    let mut done = PartDone::default();
    let mut stages = Stages::new(&job.ddl, &job.limits)?;
    for set in &sets {
        done.count(set);
        done.done.rows = stages.place(set);
    }
    drop(sets);
    let sealed = stages.seal();
    let clock = Clock::start();
    for rows in sealed {
        done.done.files += 1;
        done.done.file_bytes += stages.encode(&rows)?.len() as u64;
    }
    clock.stop(&mut done);
    Ok(done)
}

/// The first records of the topic, as many as memory is meant for.
fn keep(job: &PartJob) -> Result<Vec<RecordSet>> {
    let (mut sets, mut records, mut bytes) = (Vec::new(), 0, 0);
    read(job, |set| {
        records += set.len() as u64;
        bytes += set.bytes_len() as u64;
        sets.push(set);
        records < RECORDS_MAX && bytes < BYTES_MAX
    })?;
    if records == 0 {
        return Err(
            Error::new(Kind::Kafka, "the topic has no records to measure with").with("topic", &job.topic)
        );
    }
    Ok(sets)
}

/// Reads the topic until its end, or until `each` has enough.
fn read(job: &PartJob, mut each: impl FnMut(RecordSet) -> bool) -> Result<()> {
    let reader = Reader::new(&job.connection, "ticklake-bench")?;
    let topic = reader.topic(&job.topic)?.ok_or_else(|| {
        Error::new(Kind::Kafka, "there is no such topic: name one with --topic, or leave it out")
            .with("topic", &job.topic)
    })?;
    let mut ranges = Vec::new();
    for partition in topic.partitions {
        let (low, high) = reader.watermarks(&TopicPartition::new(&job.topic, partition))?;
        ranges.push((partition, low..high));
    }
    let mut enough = false;
    let read = reader.read(&job.topic, &ranges, |set| {
        if each(set) {
            return Ok(());
        }
        enough = true;
        Err(Error::new(Kind::Interrupted, "enough was read"))
    });
    if enough { Ok(()) } else { read }
}
