//! Turns an attempt that may work at the next try into one that works, or fails for good: the one layer that retries
//! a store or a catalog.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::error::{self, Result};

/// A store or a catalog is tried again after 100 ms, doubling to 10 s, for 10 minutes: then an operator must look.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const RETRY_FOR: Duration = Duration::from_secs(600);

/// Does the same thing until it works, fails for good, or has been tried for long enough.
pub(super) async fn retried<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut backoff = BACKOFF_FIRST;
    loop {
        match attempt().await {
            Err(e) if e.is_retryable() && start.elapsed() < RETRY_FOR => {
                let pause = backoff.mul_f64(spread());
                warn!(error = error::chain(&e), "cannot {what} yet; trying again in {pause:?}");
                tokio::time::sleep(pause).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            done => return done,
        }
    }
}

/// Between a half and the whole, so that the writers that an outage stopped do not all come back at once.
#[expect(clippy::disallowed_methods, reason = "it spreads load, and decides nothing")]
fn spread() -> f64 {
    0.5 + rand::random::<f64>() / 2.0
}
