//! `ticklake replay`: rejected records, decoded anew after the DDL was fixed.

use std::time::Duration;

use clap::Args;
use indicatif::HumanCount;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ingest::{Summary, bar, draw, job_on};
use super::terminal::{Stdout, Terminal, counted, unwritable};
use super::{block_on, setting, signals};
use crate::config::{Flag, Settings};
use crate::error::Result;
use crate::ingest::Progress;
use crate::ingest::replay::{Replayed, replay};

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The table, by its fixed DDL or its name in the catalog
    #[arg(value_name = "DDL.sql|DB.NAME")]
    table: String,
    /// Where the table's files are, above the DDL's LOCATION
    #[arg(long, value_name = "DIR|s3://…")]
    location: Option<String>,
    /// The consumer group that ingests the table: what it has committed is replayed [default: ticklake-DB.NAME]
    #[arg(long)]
    group: Option<String>,
    /// Memory for all rows that are not yet in a file [default: 192MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// The summary at the end: text on stderr, or JSON on stdout
    #[arg(long, value_enum, default_value_t = Summary::Text, value_name = "FORMAT")]
    summary: Summary,
}

impl ReplayArgs {
    pub fn flags(&self) -> Vec<Flag> {
        let flags = [
            setting("--location", "ingest.location", &self.location),
            setting("--group", "ingest.group", &self.group),
            setting("--memory", "ingest.memory", &self.memory),
        ];
        flags.into_iter().flatten().collect()
    }
}

pub fn run(args: &ReplayArgs, settings: &Settings, terminal: &Terminal) -> Result<()> {
    block_on(async {
        let stop = signals::stop_at_first()?;
        let job = job_on(settings, &args.table, Vec::new(), true).await?;
        let (sender, receiver) = watch::channel(Progress::default());
        let shown = tokio::spawn(draw(receiver, bar(terminal)));
        let started = Instant::now();
        let ended = replay(job, stop, sender).await;
        // It ends with the sender; a panic in it has been printed and changes nothing.
        let _ = shown.await;
        summarize(args.summary, &ended?, started.elapsed(), terminal)
    })
}

fn summarize(format: Summary, done: &Replayed, elapsed: Duration, terminal: &Terminal) -> Result<()> {
    let view = done.view.as_ref().map(ToString::to_string);
    if let Summary::Json = format {
        let summary = json!({
            "replay": done.replay,
            "nothing": done.nothing,
            "records": done.records,
            "rows": done.rows,
            "rejected": done.rejected,
            "skipped": done.skipped,
            "already_there": done.already_there,
            "files": done.files,
            "view": view,
            "seconds": elapsed.as_secs_f64(),
        });
        return Stdout::buffered().json(&summary).map_err(unwritable);
    }
    let Some(replay) = done.replay else {
        terminal.say(&format!("nothing to replay: {}", done.nothing.unwrap_or_default()));
        return Ok(());
    };
    terminal.say(&format!(
        "replay {replay}: {} rows from {} rejected records ({} rejected again, {} skipped), {} in {:.1} s",
        HumanCount(done.rows),
        HumanCount(done.records),
        HumanCount(done.rejected),
        HumanCount(done.skipped),
        counted(done.files, "file"),
        elapsed.as_secs_f64()
    ));
    if done.already_there > 0 {
        terminal.say(&format!(
            "{} rows were there already, by a run of this replay that was cut off",
            HumanCount(done.already_there)
        ));
    }
    if let Some(view) = view {
        terminal.say(&format!("what is open now: SELECT * FROM {view}"));
    }
    Ok(())
}
