//! `ticklake table expire`: takes old partitions out of a table, and their files after a grace time.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta, Utc};
use clap::Args;
use indicatif::HumanBytes;

use super::terminal::counted;
use super::{Lake, connection, verify};
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::table::TableName;
use crate::verify::{
    Committed, DayLine, Expired, ExpiredTally, Expiry, Records, expire as expire_table, ingested,
};

/// Whoever reads files by an older answer of the catalog, and whoever writes by an older look at a folder, is given so long.
const GRACE_LEAST: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Args)]
pub struct ExpireArgs {
    /// The table, or its table of rejected records
    #[arg(value_name = "DB.NAME")]
    pub name: TableName,
    /// Partitions whose `date` is before this day
    #[arg(long, value_name = "DATE")]
    before: NaiveDate,
    /// How long files stay after their partition was dropped; a day at least
    #[arg(long, value_name = "AGE", default_value = "7d", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// Do it; without this nothing is changed
    #[arg(long)]
    apply: bool,
    /// The consumer group that ingests the table: a partition goes only when all below its offsets is in it [default: ticklake-DB.NAME]
    #[arg(long)]
    group: Option<String>,
    /// One JSON document in place of lines
    #[arg(long)]
    json: bool,
}

/// What was done, or would be, and how many partitions were left for what is wrong with them.
pub async fn expire(args: &ExpireArgs, lake: &Lake, settings: &Settings) -> Result<(String, usize)> {
    if args.grace < GRACE_LEAST {
        return Err(Error::usage(
            "files stay for a day at least: queries may be reading them, and writers be about to go on from them",
        )
        .with("grace", humantime::format_duration(args.grace)));
    }
    let grace =
        TimeDelta::from_std(args.grace).map_err(|e| Error::usage("--grace is too long").because(e))?;
    let check = lake.check(&args.name);
    let main = ingested(&check).await?;
    let records = Records {
        connection: connection(settings)?,
        group: args.group.clone().unwrap_or_else(|| settings.ingest.group_of(&main)),
    };
    #[expect(clippy::disallowed_methods, reason = "files have the time at which they were put")]
    let now = Utc::now();
    let expiry =
        Expiry { before: args.before, grace, now, applies: args.apply, committed: Committed::Of(records) };
    let expired = expire_table(&check, &expiry).await?;
    let problems = expired.problems.len();
    let mut text = Vec::new();
    if args.json {
        let json = serde_json::to_string_pretty(&expired)
            .map_err(|e| Error::new(Kind::System, "cannot write what was done as JSON").because(e))?;
        return Ok((format!("{json}\n"), problems));
    }
    print(&expired, args, &mut text).map_err(super::terminal::unwritable)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), problems))
}

fn print(expired: &Expired, args: &ExpireArgs, out: &mut impl Write) -> io::Result<()> {
    let Expired { table, location, applied, days, busy, problems } = expired;
    writeln!(out, "{table} at {location}: partitions before {}", args.before)?;
    let grace = humantime::format_duration(args.grace);
    let (dropped, removed) = match applied {
        true => ("dropped", "files removed"),
        false => ("to be dropped", "files to be removed"),
    };
    let waiting = format!("dropped less than {grace} ago, files stay");
    for DayLine { date, dropped: of_day, waiting: wait, removed: gone } in days {
        for (what, tally) in [(dropped, of_day), (&waiting, wait), (removed, gone)] {
            if tally.partitions > 0 {
                writeln!(out, "  {date}: {}, {what}", told(tally))?;
            }
        }
    }
    let mut all = ExpiredTally::default();
    days.iter().for_each(|day| all += day.dropped);
    if days.is_empty() && busy.is_empty() && problems.is_empty() {
        writeln!(out, "there are none, or all of it is done")?;
    }
    if all.partitions > 0 {
        writeln!(
            out,
            "{dropped}: {}; the files stay for {grace}, the first run after that removes them",
            told(&all)
        )?;
    }
    if !busy.is_empty() {
        writeln!(
            out,
            "left for a later run, as their last rows are not below the committed offsets yet: {}",
            counted(busy.len() as u64, "partition")
        )?;
        for path in busy {
            writeln!(out, "  {path}")?;
        }
    }
    if !applied && !days.is_empty() {
        writeln!(out, "nothing was changed: run it with --apply")?;
    }
    verify::print_problems(problems, out)
}

fn told(tally: &ExpiredTally) -> String {
    let ExpiredTally { partitions, files, bytes } = tally;
    format!("{}, {}, {}", counted(*partitions, "partition"), counted(*files, "file"), HumanBytes(*bytes))
}
