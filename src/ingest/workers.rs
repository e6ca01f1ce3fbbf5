//! Runs a job by several consumers of its group in one process, each with a pipeline and a thread of its own.
//!
//! To Kafka and to the chains they are what as many processes would be. They share a budget of memory, what is known of the
//! catalog, the slots for writes, and the threads that encode.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::shared::Shared;
use super::{Job, Progress, run_sharing, start};
use crate::error::{Error, Kind, Result};

/// How often the progress of all is told.
const TELL: Duration = Duration::from_secs(1);

/// As [`super::run`]. The first failure stops the others, which write what they have.
pub(super) async fn run(
    job: Job,
    mut stop: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> Result<Progress> {
    let (stop_all, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    let mut told = Vec::new();
    for shared in Shared::new(&job.limits, job.limits.workers)? {
        let (sender, receiver) = watch::channel(Progress::default());
        told.push(receiver);
        let (job, stopped, runtime) = (job.clone(), stopped.clone(), Handle::current());
        running.spawn_blocking(move || runtime.block_on(run_sharing(job, start, shared, stopped, sender)));
    }
    let all = |told: &[watch::Receiver<Progress>]| {
        told.iter().fold(Progress::default(), |sum, one| sum.and(&one.borrow()))
    };
    let mut tell = tokio::time::interval(TELL);
    let (mut failed, mut heard) = (None, true);
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => break,
                Some(ended) => {
                    let ended = ended.unwrap_or_else(|e| {
                        Err(Error::new(Kind::System, "a worker of the job broke off").because(e))
                    });
                    if let Err(e) = ended {
                        stop_all.send_replace(true);
                        failed = failed.or(Some(e));
                    }
                }
            },
            changed = stop.wait_for(|stop| *stop), if heard => {
                heard = false; // it is said, or nobody is there to say it
                if changed.is_ok() {
                    stop_all.send_replace(true);
                }
            }
            _ = tell.tick() => {
                let _ = progress.send(all(&told));
            }
        }
    }
    let done = all(&told);
    let _ = progress.send(done.clone());
    match failed {
        None => Ok(done),
        Some(e) => Err(e),
    }
}
