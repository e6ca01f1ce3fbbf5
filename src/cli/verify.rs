//! `ticklake verify`: is the table whole? The answer goes to stdout, for people or as JSON.

use std::fmt::Display;
use std::io::{self, Write};

use clap::Args;
use indicatif::HumanBytes;

use super::terminal::{Stdout, counted, unwritable};
use super::{block_on, connection, open_existing, signals};
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::table::TableName;
use crate::verify::{self, Check, Compared, Dates, Problem, Records, Report, SourceLine};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[arg(value_name = "DB.NAME")]
    name: TableName,
    /// Only partitions whose `date` is one of these, both ends included
    #[arg(long, value_name = "FIRST..LAST")]
    dates: Option<Dates>,
    /// Read the topics too, and compare the files with the records
    #[arg(long)]
    records: bool,
    /// With --records: the consumer group whose committed offsets count [default: ticklake-DB.NAME]
    #[arg(long, requires = "records")]
    group: Option<String>,
    /// One JSON document in place of the table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &VerifyArgs, settings: &Settings) -> Result<()> {
    block_on(async {
        signals::end_at_first()?;
        let records = match args.records {
            true => Some(Records {
                connection: connection(settings)?,
                group: args.group.clone().unwrap_or_else(|| settings.ingest.group_of(&args.name)),
            }),
            false => None,
        };
        let lake = open_existing(settings).await?;
        let check = Check { dates: args.dates.clone(), records, ..lake.check(&args.name) };
        let report = verify::verify(&check).await?;
        let mut out = Stdout::buffered();
        match args.json {
            true => out.json(&report),
            false => print(&report, &mut out),
        }
        .and_then(|()| out.flush())
        .map_err(unwritable)?;
        end(&report.table, report.problems.len())
    })
}

/// A problem that was printed is a failure of the command.
pub fn end(table: &impl Display, problems: usize) -> Result<()> {
    match problems {
        0 => Ok(()),
        1 => Err(Error::new(Kind::Protocol, "there is a problem").with("table", table)),
        _ => Err(Error::new(Kind::Protocol, format!("there are {problems} problems")).with("table", table)),
    }
}

fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Report { table, location, checked, sources, gaps, problems } = report;
    match location {
        Some(location) => writeln!(out, "{table} at {location}")?,
        None => writeln!(out, "{table}")?,
    }
    writeln!(
        out,
        "{}, {}, {}, {}, with the rejected ones",
        counted(checked.partitions, "partition"),
        counted(checked.links, "link"),
        counted(checked.rows, "row"),
        HumanBytes(checked.bytes)
    )?;
    if checked.expired > 0 {
        writeln!(
            out,
            "  and {} of expired partitions, whose rows are not in the table",
            counted(checked.expired, "link")
        )?;
    }
    for source in sources {
        let SourceLine { topic, partition, epoch, replay, links, chain_end, compared } = source;
        let epoch = if *epoch == 0 { String::new() } else { format!("-e{epoch}") };
        let replay = if *replay == 0 { String::new() } else { format!("-r{replay}") };
        write!(
            out,
            "  {topic}-{partition}{epoch}{replay}: {}, up to offset {chain_end}",
            counted(*links, "link")
        )?;
        if let Some(Compared { from, to, records, committed }) = compared {
            write!(out, "; compared with {} from {from} up to {to}", counted(*records, "record"))?;
            match committed {
                Some(committed) => write!(out, ", committed {committed}")?,
                None => write!(out, ", nothing committed: rows that are in no file are not looked for")?,
            }
        }
        writeln!(out)?;
    }
    for gap in gaps {
        let epoch = if gap.epoch == 0 { String::new() } else { format!("-e{}", gap.epoch) };
        writeln!(
            out,
            "  {}-{}{epoch}: skipped on purpose from offset {} up to {} ({})",
            gap.topic, gap.partition, gap.from, gap.to, gap.why
        )?;
    }
    if problems.is_empty() {
        return writeln!(out, "no problem was found");
    }
    print_problems(problems, out)
}

/// Problems by kind: what it means, each place, and what to do.
pub fn print_problems(problems: &[Problem], out: &mut impl Write) -> io::Result<()> {
    for group in problems.chunk_by(|a, b| a.kind == b.kind) {
        let kind = group[0].kind;
        writeln!(out, "\n{}: {}", kind.meaning(), group.len())?;
        for Problem { table, partition, file, source, detail, .. } in group {
            // A file's path has its partition in it.
            let place = file.as_ref().or(partition.as_ref()).or(source.as_ref());
            let place = place.map_or_else(String::new, |place| format!(" {place}"));
            let source = source.as_ref().filter(|_| file.is_some() || partition.is_some());
            let source = source.map_or_else(String::new, |source| format!("{source}: "));
            writeln!(out, "  {table}{place}\n    {source}{detail}")?;
        }
        writeln!(out, "  to do: {}", kind.fix())?;
    }
    Ok(())
}
