//! Defines what a benchmark found, and prints it: a table for people, JSON for programs.

use std::fmt::Write as _;
use std::io::Write;

use indicatif::{HumanBytes, HumanCount};
use serde::{Deserialize, Serialize};

use super::latency::Latency;
use super::machine::Machine;
use super::part::Part;
use crate::error::{Error, Kind, Result};

/// What was measured, on what.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub(super) machine: Machine,
    pub(super) feed: Feed,
    pub(super) runs: Vec<Run>,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Feed {
    /// The user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// How many ticks were made for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_records: Option<u64>,
    /// The cluster was in this program's own process.
    pub embedded: bool,
    /// It holds no more.
    pub limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paced: Option<String>,
}

/// One measure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    pub part: Part,
    /// What was swept, as `flush_age=10s`; empty where nothing was.
    pub setting: String,
    #[serde(flatten)]
    pub done: Outcome,
    /// Of the part's work: of the job from its start to the last commit.
    pub seconds: f64,
    /// User and system, of the process; for what is measured in memory, of the work.
    pub cpu_seconds: f64,
    /// The most memory of the process.
    pub peak_bytes: u64,
    /// Puts and catalog calls at list prices.
    pub dollars: f64,
    /// Seconds since the start, and resident bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<(f64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
}

/// What a run did: as the run prints it, and as the report has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Outcome {
    pub records: u64,
    /// Of keys and values.
    pub record_bytes: u64,
    pub rows: u64,
    pub rejected: u64,
    pub files: u64,
    pub file_bytes: u64,
    #[serde(alias = "partitions_registered")]
    pub partitions: u64,
    pub puts: u64,
    pub catalog_calls: u64,
}

impl Run {
    pub fn records_a_second(&self) -> f64 {
        self.done.records as f64 / self.seconds.max(1e-9)
    }

    pub fn cpu_a_million(&self) -> f64 {
        self.cpu_seconds / (self.done.records as f64 / 1e6).max(1e-9)
    }

    pub fn bytes_a_row(&self) -> Option<f64> {
        (self.done.file_bytes > 0).then(|| self.done.file_bytes as f64 / self.done.rows.max(1) as f64)
    }
}

/// Prints a report for people.
pub fn print(report: &Report, out: &mut dyn Write) -> Result<()> {
    out.write_all(text(report).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Error::new(Kind::System, "cannot write to stdout").because(e))
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(of_machine(&report.machine));
    line(of_feed(&report.feed));
    let first = report.runs.iter().map(|run| label(run).len()).max().unwrap_or(0).max(8);
    line(String::new());
    line(format!(
        "{:first$}  {:>12}  {:>8}  {:>10}  {:>10}  {:>8}  {:>9}  {:>8}",
        "", "records/s", "MB/s", "CPU s/M", "memory", "files", "bytes/row", "$"
    ));
    for run in &report.runs {
        let per_row = run.bytes_a_row().map_or("-".to_owned(), |bytes| format!("{bytes:.2}"));
        let dollars = if run.part == Part::Job { format!("{:.4}", run.dollars) } else { "-".to_owned() };
        let files = if run.done.files > 0 { HumanCount(run.done.files).to_string() } else { "-".to_owned() };
        line(format!(
            "{:first$}  {:>12}  {:>8.1}  {:>10.3}  {:>10}  {:>8}  {:>9}  {:>8}",
            label(run),
            HumanCount(run.records_a_second() as u64).to_string(),
            run.done.record_bytes as f64 / run.seconds.max(1e-9) / 1e6,
            run.cpu_a_million(),
            HumanBytes(run.peak_bytes).to_string(),
            files,
            per_row,
            dollars,
        ));
    }
    let ceilings = of_ceilings(&report.runs);
    if !ceilings.is_empty() {
        line(String::new());
        ceilings.into_iter().for_each(&mut line);
    }
    for run in report.runs.iter().filter(|run| run.latency.is_some()) {
        let latency = run.latency.as_ref().expect("it was filtered");
        line(format!(
            "\n{}: from produced to queryable p50 {:.3} s, p99 {:.3} s, most {:.3} s ({} rows of {} partitions, in {} queries of one partition each)",
            label(run),
            latency.p50_seconds,
            latency.p99_seconds,
            latency.max_seconds,
            latency.rows,
            latency.partitions,
            latency.queries,
        ));
    }
    for run in report.runs.iter().filter(|run| run.part == Part::Job && !run.memory.is_empty()) {
        line(format!(
            "\nmemory of {} over {:.1} s: {}",
            label(run),
            run.memory.last().map_or(0.0, |l| l.0),
            sparkline(&run.memory)
        ));
    }
    text
}

fn label(run: &Run) -> String {
    match run.setting.as_str() {
        "" => run.part.name().to_owned(),
        setting => setting.to_owned(),
    }
}

fn of_machine(machine: &Machine) -> String {
    let mut text = format!("ticklake {} on {}, {} cores", machine.program, machine.system, machine.cores);
    if let Some(cpu) = &machine.cpu {
        let _ = write!(text, " of {cpu}");
    }
    if let Some(bytes) = machine.memory_bytes {
        let _ = write!(text, ", {} of memory", HumanBytes(bytes));
    }
    if let Some(load) = machine.load {
        let _ = write!(text, "; load {load} before");
    }
    if !machine.optimized {
        text += "\nThis is not a release build: build with --release, or these figures mean nothing.";
    }
    text
}

fn of_feed(feed: &Feed) -> String {
    let mut text = match (&feed.topic, feed.made_records, &feed.paced) {
        (_, _, Some(paced)) => paced.clone(),
        (Some(topic), _, _) => format!("topic {topic}"),
        (None, records, _) => format!("{} simulated ticks", HumanCount(records.unwrap_or(0))),
    };
    if feed.embedded {
        text += ", on the in-process cluster: its broker is part of every figure";
    }
    if feed.limited {
        text += "; it holds no more records: give --brokers for more";
    }
    text
}

/// What the whole job is, beside its parts.
fn of_ceilings(runs: &[Run]) -> Vec<String> {
    let part = |part: Part| runs.iter().find(|run| run.part == part);
    let Some(job) = part(Part::Job) else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(drain) = part(Part::Drain) {
        let share = job.records_a_second() / drain.records_a_second();
        lines.push(format!("the job is at {:.0} % of the rate of draining alone", 100.0 * share));
    }
    let alone: Option<f64> =
        [Part::Drain, Part::Decode, Part::Encode].into_iter().map(|p| part(p).map(Run::cpu_a_million)).sum();
    if let Some(alone) = alone {
        lines.push(format!(
            "its CPU is {:.3} s a million records, its parts alone {alone:.3} s",
            job.cpu_a_million()
        ));
    }
    if let Some(per_row) = job.bytes_a_row() {
        let json = job.done.record_bytes as f64 / job.done.records.max(1) as f64;
        lines.push(format!("a row takes {per_row:.2} bytes in its file, a record {json:.0} in Kafka"));
    }
    if job.done.rejected > 0 {
        lines.push(format!("{} records were rejected", HumanCount(job.done.rejected)));
    }
    lines
}

/// Memory over time, in one line: eight heights, the largest is full.
fn sparkline(memory: &[(f64, u64)]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = memory.iter().map(|(_, bytes)| *bytes).max().unwrap_or(1).max(1);
    let width = memory.len().div_ceil(60).max(1);
    let of_group = |looks: &[(f64, u64)]| looks.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let heights = memory.chunks(width).map(|looks| HEIGHTS[(of_group(looks) * 7 / most) as usize]);
    format!("{} up to {}", heights.collect::<String>(), HumanBytes(most))
}
