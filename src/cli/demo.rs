//! `ticklake demo`: the whole system in one process.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::terminal::Stdout;
use super::{block_on, signals};
use crate::demo::{self, Job};
use crate::error::Result;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the catalog and the files go; what an earlier demo left there is removed
    #[arg(long, value_name = "DIR", default_value = "ticklake-demo")]
    dir: PathBuf,
    /// How long ticks are sent
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

pub fn run(args: &DemoArgs) -> Result<()> {
    let job = Job {
        folder: args.dir.clone(),
        duration: Duration::from_secs(args.seconds),
        program: std::env::args().next().unwrap_or_else(|| "ticklake".to_owned()),
    };
    block_on(async {
        signals::end_at_first()?;
        demo::run(job, &mut Stdout::by_line()).await
    })
}
