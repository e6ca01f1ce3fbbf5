//! Turns SIGINT and SIGTERM into the end of a command.
//!
//! A job that drains (`ingest`, `produce`) is told once and ends by itself, with 0; told again, the process ends at
//! once. In a shell SIGINT ends the statement that runs, and nothing else. Any other command just ends, and says that
//! it was interrupted.

use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::error::{self, Error, Kind, Result};

/// What is to be ended at a signal has so long.
const LAST: Duration = Duration::from_secs(5);

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|e| Error::new(Kind::System, "cannot listen for signals").because(e));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Turns true at the first signal; the second ends the process. To be called on the runtime.
pub fn stop_at_first() -> Result<watch::Receiver<bool>> {
    let mut signals = Signals::listen()?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping: what was read is made durable first; another signal ends at once");
        sender.send_replace(true);
        let signal = signals.next().await;
        interrupted(signal);
    });
    Ok(receiver)
}

/// Ends the process at the first signal, even while it waits for a reader of its stdout. To be called on the runtime.
pub fn end_at_first() -> Result<()> {
    end_at_first_after(async { Ok(()) })
}

/// As `end_at_first`, when `last` is done: it is given a few seconds.
pub fn end_at_first_after(last: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        let signal = signals.next().await;
        bounded(last).await;
        interrupted(signal);
    });
    Ok(())
}

/// As `end_at_first_after`, at SIGTERM only. To be called on the runtime.
pub fn end_at_terminate_after(last: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        signals.terminate.recv().await;
        bounded(last).await;
        interrupted("SIGTERM");
    });
    Ok(())
}

/// Does the work, unless SIGINT comes before its end: then `cancel` is done, and the error is of `Kind::Interrupted`.
pub async fn or_interrupted<T>(
    work: impl Future<Output = Result<T>>,
    cancel: impl Future<Output = Result<()>>,
) -> Result<T> {
    // What came before the work is not meant for it.
    let mut interrupt = Signals::listen()?.interrupt;
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        _ = interrupt.recv() => {}
    }
    // The work goes on beside it: what is being started can only be cancelled when it is known.
    let mut cancelled = pin!(bounded(cancel));
    tokio::select! {
        () = &mut cancelled => {}
        _ = &mut work => cancelled.await,
    }
    Err(Error::new(Kind::Interrupted, "interrupted by SIGINT"))
}

async fn bounded(last: impl Future<Output = Result<()>>) {
    match tokio::time::timeout(LAST, last).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!(error = error::chain(&e), "not all was ended"),
        Err(_) => tracing::warn!("not all was ended within {LAST:?}"),
    }
}

fn interrupted(signal: &str) -> ! {
    let e = Error::new(Kind::Interrupted, format!("interrupted by {signal}"));
    // Held to the end, so that no log of another thread's comes after the last word.
    let _last_word = std::io::stderr().lock();
    std::process::exit(super::end_with(&e).into())
}
