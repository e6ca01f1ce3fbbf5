//! Runs this program as a user would: a process for each measure, watched from outside.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::Plan;
use super::cannot;
use super::machine::Machine;
use super::part::{Part, PartDone};
use super::report::{Outcome, Run};
use super::sweep::{self, Setting};
use super::usage::{Usage, resident_bytes};
use crate::catalog::CALL_DOLLARS;
use crate::error::{Error, Kind, Result};
use crate::kafka::Connection;
use crate::store::PUT_DOLLARS;
use crate::table::Ddl;

/// Memory is looked at so often, and so many of the looks are in the report.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 200;

/// This program, and what each run of it is given.
pub(super) struct Program {
    pub machine: Machine,
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    table: PathBuf,
    pub topic: String,
    location: String,
    folder: PathBuf,
    fsync: bool,
    runs: usize,
}

/// What `ticklake ingest --summary json` says at its end.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    done: Outcome,
    seconds: f64,
    usage: Usage,
}

/// One run's own places.
pub(super) struct Place {
    pub catalog: PathBuf,
    pub location: String,
}

impl Program {
    /// `folder` is for what the runs need for themselves.
    pub fn new(plan: &Plan, connection: &Connection, folder: &Path) -> Result<Self> {
        let mut arguments = plan.arguments.clone();
        arguments.extend(["--brokers".to_owned(), connection.brokers.clone()]);
        let properties = connection.properties.iter();
        // Not as arguments, which everybody on the machine can read: there are passwords among them.
        let variables = properties.map(|(name, value)| (variable(&format!("kafka.{name}")), value.clone()));
        let mut program = Self {
            machine: Machine::look(),
            program: std::env::current_exe().map_err(cannot("find this program"))?,
            arguments,
            variables: variables.collect(),
            table: plan.table.clone().unwrap_or_default(),
            topic: String::new(),
            location: plan.location.trim_end_matches('/').to_owned(),
            folder: folder.to_owned(),
            fsync: plan.fsync,
            runs: 0,
        };
        if plan.table.is_none() {
            program.write_table(&Ddl::parse(include_str!("../../schemas/ticks.sql"))?)?;
        }
        Ok(program)
    }

    /// The places of the next run: a chain that is there already would be gone on from.
    pub fn next_place(&mut self) -> Place {
        self.runs += 1;
        Place {
            catalog: self.folder.join(format!("catalog-{}.db", self.runs)),
            location: format!("{}/run-{}-{}", self.location, self.runs, unique()),
        }
    }

    /// Measures a part alone.
    pub async fn part(&self, part: Part) -> Result<Run> {
        let mut command = self.command(&Setting::new());
        command.args(["bench", "--part", part.name(), "--topic", &self.topic, "--table"]).arg(&self.table);
        let (done, memory): (PartDone, _) = watch(start(command)?).await?;
        Ok(Run { memory, ..Run::of_part(part, &done) })
    }

    /// Runs the whole job to the topic's end.
    pub async fn job(&mut self, setting: &Setting) -> Result<Run> {
        let place = self.next_place();
        let mut command = self.ingest(setting, &place);
        command.arg("--until-end");
        let (summary, memory): (Summary, _) = watch(start(command)?).await?;
        self.clear(&place);
        Ok(Run { memory, setting: sweep::name(setting), ..Run::of_job(&summary) })
    }

    /// The job's command, on places of its own.
    pub fn ingest(&self, setting: &Setting, place: &Place) -> Command {
        let mut command = self.command(setting);
        command.arg("--catalog").arg(format!("sqlite:{}", place.catalog.display()));
        command.args(["ingest", "--summary", "json", "--topic", &self.topic, "--table"]).arg(&self.table);
        command.args(["--location", &place.location, "--group", &format!("ticklake-bench-{}", unique())]);
        if !self.fsync {
            command.arg("--no-fsync");
        }
        command
    }

    fn command(&self, setting: &Setting) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(setting.iter().map(|(key, value)| (variable(key), value)));
        command
    }

    /// Has the runs to come write another table.
    pub fn write_table(&mut self, ddl: &Ddl) -> Result<()> {
        self.table = self.folder.join("table.sql");
        std::fs::write(&self.table, ddl.to_string()).map_err(cannot("write the table's DDL"))
    }

    /// Removes a run's files from a local disk; on S3 they stay, as nothing here deletes what it did not make alone.
    pub fn clear(&self, place: &Place) {
        if !place.location.contains("://") {
            let _ = std::fs::remove_dir_all(&place.location);
            let _ = std::fs::remove_dir_all(format!("{}_rejected", place.location));
        }
        let _ = std::fs::remove_file(&place.catalog);
    }
}

/// The variable that a setting is read from.
fn variable(key: &str) -> String {
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    format!("TICKLAKE_{section}__{name}").replace('.', "_").to_uppercase()
}

/// Starts a process that ends with this one.
pub(super) fn start(mut command: Command) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(cannot("start this program once more"))
}

/// Waits for a process, and gives what it printed and how its memory went: seconds since its start, and bytes.
pub(super) async fn watch<T: for<'a> Deserialize<'a>>(child: Child) -> Result<(T, Vec<(f64, u64)>)> {
    let (pid, started) = (child.id(), Instant::now());
    let mut memory = Vec::new();
    let ended = child.wait_with_output();
    tokio::pin!(ended);
    let output = loop {
        tokio::select! {
            output = &mut ended => break output.map_err(cannot("wait for a run"))?,
            () = sleep(LOOK) => {
                memory.extend(pid.and_then(resident_bytes).map(|bytes| (started.elapsed().as_secs_f64(), bytes)));
            }
        }
    };
    if !output.status.success() {
        return Err(
            Error::new(Kind::System, "a run failed: what it said is above").with("ended with", output.status)
        );
    }
    let printed = serde_json::from_slice(&output.stdout).map_err(cannot("read what a run printed"))?;
    Ok((printed, thinned(memory)))
}

/// At most so many looks, the largest of each group.
fn thinned(looks: Vec<(f64, u64)>) -> Vec<(f64, u64)> {
    let group = looks.len().div_ceil(LOOKS_MAX).max(1);
    looks.chunks(group).filter_map(|looks| looks.iter().copied().max_by_key(|(_, bytes)| *bytes)).collect()
}

/// A word that no other run has.
#[expect(clippy::disallowed_methods, reason = "it names topics, groups and folders, and decides nothing")]
pub(super) fn unique() -> String {
    format!("{:08x}", rand::random::<u32>())
}

impl Run {
    fn of_part(part: Part, measured: &PartDone) -> Self {
        let PartDone { done, seconds, cpu_seconds, usage } = *measured;
        // Of reading the whole process counts; of what is measured in memory, without what was read for it.
        let cpu_seconds = if part == Part::Drain { usage.cpu_seconds() } else { cpu_seconds };
        Self::new(part, done, seconds, cpu_seconds, usage)
    }

    pub(super) fn of_job(summary: &Summary) -> Self {
        let Summary { done, seconds, usage } = *summary;
        Self::new(Part::Job, done, seconds, usage.cpu_seconds(), usage)
    }

    fn new(part: Part, done: Outcome, seconds: f64, cpu_seconds: f64, usage: Usage) -> Self {
        Self {
            part,
            setting: String::new(),
            done,
            seconds,
            cpu_seconds,
            peak_bytes: usage.peak_bytes,
            dollars: done.puts as f64 * PUT_DOLLARS + done.catalog_calls as f64 * CALL_DOLLARS,
            memory: Vec::new(),
            latency: None,
        }
    }
}
