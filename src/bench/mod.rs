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
mod price;
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
use crate::error::{Error, Kind, Result};
use crate::kafka::{Admin, Cluster, Connection};
use crate::produce::{self, MissingTopic, Repeat, Simulation, Source};
use crate::store::Stores;
use crate::table::ddl::Property;
use crate::table::{Column, ColumnType, Ddl};
use machine::Machine;
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

/// Runs the plan. `say` is told what is being done.
pub async fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let folder = tempfile::tempdir().map_err(cannot("make a folder"))?;
    let table = match &plan.table {
        Some(table) => table.clone(),
        None => {
            let file = folder.path().join("ticks.sql");
            std::fs::write(&file, include_str!("../../schemas/ticks.sql"))
                .map_err(cannot("write the table's DDL"))?;
            file
        }
    };
    let embedded = match plan.connection {
        Some(_) => None,
        None => Some(Cluster::start(&[])?),
    };
    let connection = match (&plan.connection, &embedded) {
        (Some(connection), _) => connection.clone(),
        (None, Some(cluster)) => cluster.connection(),
        (None, None) => unreachable!("there is a cluster where none is given"),
    };
    let mut program = Program::new(plan, &connection, &table, folder.path())?;
    let machine = Machine::look();
    if let Some(pace) = plan.pace {
        let runs = latency::run(plan, pace, &connection, embedded.as_ref(), &mut program, say).await?;
        return Ok(Report { machine, feed: Feed::paced(pace), runs });
    }
    let (topic, limited) = match &plan.topic {
        Some(topic) => (topic.clone(), false),
        None => make_topic(plan, &connection, embedded.as_ref(), say).await?,
    };
    program.topic = topic.clone();
    let mut runs = Vec::new();
    for part in &plan.parts {
        if *part == Part::Job {
            continue;
        }
        say(&format!("measuring: {}", part.name()));
        runs.push(Run { setting: String::new(), ..program.part(*part).await? });
    }
    if plan.parts.contains(&Part::Job) {
        for setting in sweep::combinations(&plan.sweep) {
            for _ in 0..plan.repeat {
                say(&format!("measuring: the whole job {}", sweep::name(&setting)));
                runs.push(program.job(&setting).await?);
            }
        }
    }
    let feed = Feed {
        topic: plan.topic.clone(),
        made_records: plan.topic.is_none().then_some(if limited {
            EMBEDDED_RECORDS_MAX
        } else {
            plan.records
        }),
        embedded: embedded.is_some(),
        limited,
        paced: None,
    };
    Ok(Report { machine, feed, runs })
}

/// Makes a topic and fills it. Tells its name, and whether it was given fewer records than were asked for.
async fn make_topic(
    plan: &Plan,
    connection: &Connection,
    embedded: Option<&Cluster>,
    say: &mut dyn FnMut(&str),
) -> Result<(String, bool)> {
    let topic = new_topic(plan, connection, embedded).await?;
    let limited = embedded.is_some() && plan.records > EMBEDDED_RECORDS_MAX;
    let count = if limited { EMBEDDED_RECORDS_MAX } else { plan.records };
    say(&format!("sending {count} simulated ticks to {topic}"));
    let (_stop, stopped) = watch::channel(false);
    let (progress, _) = watch::channel(produce::Progress::default());
    produce::run(producer(plan, connection, &topic, None, Some(count)), stopped, progress).await?;
    Ok((topic, limited))
}

/// A topic of a new name, without records.
async fn new_topic(plan: &Plan, connection: &Connection, embedded: Option<&Cluster>) -> Result<String> {
    let topic = format!("ticklake-bench-{}", child::unique());
    match embedded {
        Some(cluster) => cluster.create_topic(&topic, EMBEDDED_PARTITIONS)?,
        None => Admin::connect(connection).await?.create_topic(&topic, plan.partitions, -1).await?,
    }
    Ok(topic)
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

/// The table of the paced feed: the ticks', and when each was sent.
fn latency_ddl() -> Result<Ddl> {
    let mut ddl = Ddl::parse(include_str!("../../schemas/ticks.sql"))?;
    ddl.columns.push(Column {
        name: "sent".to_owned(),
        column_type: ColumnType::Timestamp,
        comment: Some("when the producer made the record".to_owned()),
    });
    let (key, value) = ("ticklake.source.sent".to_owned(), "@timestamp".to_owned());
    ddl.properties.push(Property { key, value, line: 0 });
    Ok(ddl)
}
