//! `ticklake check`: everything that a job needs, a line each, before it starts.

use std::io::Write;

use clap::Args;

use super::ingest::{self, JobArgs};
use super::terminal::{Stdout, unwritable};
use super::{block_on, signals};
use crate::aws::Aws;
use crate::check::{Finding, Verdict, check};
use crate::config::{CatalogAt, Flag, Settings};
use crate::error::{Error, Kind, Result};
use crate::query::AthenaEngine;

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Decode so many of a topic's newest records
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: u32,
    /// One JSON document in place of lines
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    pub fn flags(&self) -> Vec<Flag> {
        self.job.flags()
    }
}

pub fn run(args: &CheckArgs, settings: &Settings) -> Result<()> {
    block_on(async {
        signals::end_at_first()?;
        let job = ingest::job(settings, false).await?;
        let athena = athena(settings).await?;
        let findings = check(&job, athena.as_ref(), args.sample as usize).await?;
        let mut out = Stdout::buffered();
        match args.json {
            true => out.json(&findings),
            false => findings.iter().try_for_each(|finding| print(finding, &mut out)),
        }
        .and_then(|()| out.flush())
        .map_err(unwritable)?;
        match findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
            0 => Ok(()),
            bad => Err(Error::new(Kind::Protocol, "the job cannot run as it is").with("not good", bad)),
        }
    })
}

/// Athena sees the tables that are in Glue, and no other.
async fn athena(settings: &Settings) -> Result<Option<AthenaEngine>> {
    match settings.catalog {
        CatalogAt::Sqlite(_) => Ok(None),
        CatalogAt::Glue => {
            let aws = Aws::new(settings.aws.options());
            Ok(Some(AthenaEngine::open(settings.athena.options(), &aws).await?))
        }
    }
}

fn print(Finding { what, verdict, said, fix }: &Finding, out: &mut Stdout) -> std::io::Result<()> {
    let (word, colour) = match verdict {
        Verdict::Good => ("good", 32),
        Verdict::Doubtful => ("look", 33),
        Verdict::Bad => ("BAD ", 31),
    };
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    match is_terminal {
        true => write!(out, "\x1b[{colour}m{word}\x1b[0m")?,
        false => write!(out, "{word}")?,
    }
    writeln!(out, "  {what:8}  {said}")?;
    fix.iter().try_for_each(|fix| writeln!(out, "                {fix}"))
}
