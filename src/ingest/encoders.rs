//! Owns the threads that files are encoded on: one a core.
//!
//! More at once take more memory and no less time, and each thread keeps some for its next file. What waits for a store is
//! on other threads: it holds up nobody here.

use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::error::{Error, Kind, Result};

/// `None` in a runtime of one thread: there all is done at once, so that a simulation's events have one order.
#[derive(Debug)]
pub(super) struct Encoders(Option<Runtime>);

impl Encoders {
    /// Called where tokio runs.
    pub fn start() -> Result<Self> {
        if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Ok(Self(None));
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = Builder::new_current_thread().max_blocking_threads(cores).thread_name("encode").build();
        threads.map(|threads| Self(Some(threads))).map_err(|e| {
            Error::new(Kind::System, "cannot start the threads that files are encoded on").because(e)
        })
    }

    /// Runs what is heavy on the CPU when a thread is free.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let Some(threads) = &self.0 else { return Ok(work()) };
        threads
            .spawn_blocking(work)
            .await
            .map_err(|e| Error::new(Kind::Store, "encoding a file was cut off").because(e))
    }
}

impl Drop for Encoders {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            threads.shutdown_background(); // a runtime must not be waited for inside another
        }
    }
}
