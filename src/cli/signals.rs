//! Turns SIGINT and SIGTERM into the end of a command.
//!
//! A job that drains (`ingest`, `produce`) is told once and ends by itself, with 0; told again, the process ends at
//! once. Any other command just ends, and says that it was interrupted.

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
        match tokio::time::timeout(LAST, last).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = error::chain(&e), "not all was ended"),
            Err(_) => tracing::warn!("not all was ended within {LAST:?}"),
        }
        interrupted(signal);
    });
    Ok(())
}

fn interrupted(signal: &str) -> ! {
    let e = Error::new(Kind::Interrupted, format!("interrupted by {signal}"));
    // Held to the end, so that no log of another thread's comes after the last word.
    let _last_word = std::io::stderr().lock();
    std::process::exit(super::end_with(&e).into())
}
