//! The benchmark run: what a job takes on this machine, beside what its parts take alone.
//!
//! ```text
//! topic ─▶ drain              what reading costs, and nothing else
//!       ─▶ decode ─▶ encode   in memory, on one core
//!       ─▶ job                the whole: a process as a user runs it
//! ```
//!
//! Each part is a process of its own, started from this program, so that its CPU and its memory are its own. What is said
//! of a part was measured in it: nothing is estimated but the dollars, which are counted calls at list prices.
//!
//! Does not own the parts themselves: they are `kafka`'s, and the stages of `ingest`.

mod child;
mod latency;
mod machine;
mod part;
mod plot;
mod report;
mod sweep;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use self::child::Program;
pub use self::part::{Part, PartJob, run_part};
pub use self::plot::plot;
pub use self::report::{Report, print};
pub use self::sweep::Sweep;
pub use self::usage::{Usage, usage};
use crate::error::{self, Error, Kind, Result};
use crate::kafka::{Admin, Cluster, Connection};
use crate::produce::{self, MissingTopic, Repeat, Simulation, Source};
use crate::store::Stores;
use report::{Feed, Run};

/// The in-process cluster keeps 5 MiB of a partition (FACTS 5.16); a tick and what Kafka adds to it are below 200 bytes.
const EMBEDDED_PARTITIONS: i32 = 16;
const EMBEDDED_RECORDS_MAX: u64 = EMBEDDED_PARTITIONS as u64 * (5 << 20) / 200;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cluster; `None` is one in this process.
    pub connection: Option<Connection>,
    /// A topic that is there, which is left as it is; `None` makes one of simulated ticks.
    pub topic: Option<String>,
    /// Of the topic that is made.
    pub simulation: Simulation,
    pub records: u64,
    pub partitions: i32,
    /// The table, as a file: each part reads it. `None` is `schemas/ticks.sql`.
    pub table: Option<PathBuf>,
    /// Where the files go, each run's into a folder of its own: a directory or `s3://…`.
    pub location: String,
    pub fsync: bool,
    pub parts: Vec<Part>,
    /// How often the whole job is run with each setting.
    pub repeat: u32,
    pub sweep: Vec<Sweep>,
    /// Ticks a second, and for how long: the job reads while they come, and its rows are waited for. `None` reads what is
    /// there, as fast as it goes.
    pub pace: Option<Pace>,
    /// Arguments for each run of the program: where settings come from.
    pub arguments: Vec<String>,
    /// What the runs' settings come to here: where the files can be read, and how old a buffer gets.
    pub stores: Stores,
    pub flush_age: Duration,
}

/// A feed in time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub rate: f64,
    pub duration: Duration,
}

/// Where the feed is, and what was made there.
struct Feeding {
    connection: Connection,
    embedded: Option<Cluster>,
    /// Topics, to be removed at the end.
    made: Vec<String>,
}

/// Runs the plan. `say` is told what is being done. What was made for it is removed at the end: topics, and files on a local
/// disk.
pub async fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let folder = tempfile::tempdir().map_err(cannot("make a folder"))?;
    let mut feeding = Feeding::open(plan)?;
    let mut program = Program::new(plan, &feeding.connection, folder.path())?;
    let measured = match plan.pace {
        Some(pace) => latency::run(plan, pace, &mut feeding, &mut program, say).await,
        None => measure(plan, &mut feeding, &mut program, say).await,
    };
    feeding.clear().await;
    // It goes if nothing is left in it.
    let _ = std::fs::remove_dir(&plan.location);
    let (feed, runs) = measured?;
    Ok(Report { machine: program.machine, feed, runs })
}

/// Measures the parts, then the whole job with each setting.
async fn measure(
    plan: &Plan,
    feeding: &mut Feeding,
    program: &mut Program,
    say: &mut dyn FnMut(&str),
) -> Result<(Feed, Vec<Run>)> {
    let mut feed = Feed { embedded: feeding.embedded.is_some(), ..Feed::default() };
    match &plan.topic {
        Some(topic) => {
            feed.topic = Some(topic.clone());
            program.topic = topic.clone();
        }
        None => {
            feed.limited = feed.embedded && plan.records > EMBEDDED_RECORDS_MAX;
            let records = if feed.limited { EMBEDDED_RECORDS_MAX } else { plan.records };
            feed.made_records = Some(records);
            program.topic = feeding.new_topic(plan).await?;
            say(&format!("sending {records} simulated ticks"));
            feeding.fill(plan, &program.topic, records).await?;
        }
    }
    let mut runs = Vec::new();
    for part in plan.parts.iter().filter(|part| **part != Part::Job) {
        say(&format!("measuring: {}", part.name()));
        runs.push(program.part(*part).await?);
    }
    let settings =
        if plan.parts.contains(&Part::Job) { sweep::combinations(&plan.sweep) } else { Vec::new() };
    for setting in &settings {
        for _ in 0..plan.repeat {
            say(format!("measuring: the whole job {}", sweep::name(setting)).trim_end());
            runs.push(program.job(setting).await?);
        }
    }
    Ok((feed, runs))
}

impl Feeding {
    fn open(plan: &Plan) -> Result<Self> {
        let made = Vec::new();
        if let Some(connection) = &plan.connection {
            return Ok(Self { connection: connection.clone(), embedded: None, made });
        }
        let cluster = Cluster::start(&[])?;
        Ok(Self { connection: cluster.connection(), embedded: Some(cluster), made })
    }

    /// A topic of a new name, without records.
    async fn new_topic(&mut self, plan: &Plan) -> Result<String> {
        let topic = format!("ticklake-bench-{}", child::unique());
        match &self.embedded {
            Some(cluster) => cluster.create_topic(&topic, EMBEDDED_PARTITIONS)?,
            None => {
                let admin = Admin::connect(&self.connection).await?;
                admin.create_topic(&topic, plan.partitions, -1).await?;
                self.made.push(topic.clone());
            }
        }
        Ok(topic)
    }

    /// Sends so many ticks, as fast as it goes.
    async fn fill(&self, plan: &Plan, topic: &str, count: u64) -> Result<()> {
        let (_stop, stopped) = watch::channel(false);
        let (progress, _) = watch::channel(produce::Progress::default());
        let job = producer(plan, &self.connection, topic, None, Some(count));
        produce::run(job, stopped, progress).await.map(|_| ())
    }

    async fn clear(&self) {
        for topic in &self.made {
            let removed = async { Admin::connect(&self.connection).await?.delete_topic(topic).await };
            if let Err(e) = removed.await {
                tracing::warn!(
                    topic,
                    error = error::chain(&e),
                    "a topic that was made for the benchmark is left"
                );
            }
        }
    }
}

fn producer(
    plan: &Plan,
    connection: &Connection,
    topic: &str,
    rate: Option<f64>,
    count: Option<u64>,
) -> produce::Job {
    let mut connection = connection.clone();
    // As feeds are sent: the ceiling of reading is lower with others.
    connection.properties.entry("compression.type".to_owned()).or_insert_with(|| "lz4".to_owned());
    produce::Job {
        connection,
        topic: topic.to_owned(),
        missing_topic: MissingTopic::Refuse,
        source: Source::Simulate(plan.simulation.clone()),
        key: None,
        rate,
        count,
        repeat: Repeat::Once,
        drain_deadline: Duration::from_secs(30),
    }
}

fn cannot<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &'static str) -> impl Fn(E) -> Error {
    move |e| Error::new(Kind::System, format!("cannot {what}")).because(e)
}
