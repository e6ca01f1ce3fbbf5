//! Turns SIGINT and SIGTERM into the end of a command.
//!
//! A job that drains (`ingest`, `produce`) is told once and ends by itself, with 0; told again, the process ends at
//! once. Any other command just ends, and says that it was interrupted.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::error::{Error, Kind, Result};

/// As shells have it for a process that SIGINT ended: 128 + 2.
const INTERRUPTED: i32 = 130;

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
        signals.next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(receiver)
}

/// Drops the work at the first signal.
pub async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        done = work => done,
        signal = signals.next() => Err(Error::new(Kind::Interrupted, format!("interrupted by {signal}"))),
    }
}
