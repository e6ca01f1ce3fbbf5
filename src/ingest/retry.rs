//! Turns an attempt that may work at the next try into one that works, or fails for good: how a job waits out a store or
//! a catalog that is away.
//!
//! Below it the libraries make a request again that only reads, or that is the same when it is done twice, a few times
//! within seconds. A create is one request: only here it is made again, after a look.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::error::{self, Result};

/// A store or a catalog is tried again after 100 ms, doubling to 10 s, for 10 minutes: then an operator must look.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const RETRY_FOR: Duration = Duration::from_secs(600);

/// What a job does at its start: a moment's failure is waited out, and what is wrong is said soon.
const START_FOR: Duration = Duration::from_secs(15);

/// Does the same thing until it works, fails for good, or has been tried for long enough.
pub(super) async fn retried<T, F>(what: &str, attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    retried_for(RETRY_FOR, what, attempt).await
}

/// As `retried`, for seconds only.
pub(super) async fn retried_at_start<T, F>(what: &str, attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    retried_for(START_FOR, what, attempt).await
}

async fn retried_for<T, F>(limit: Duration, what: &str, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut backoff = BACKOFF_FIRST;
    loop {
        match attempt().await {
            Err(e) if e.is_retryable() && start.elapsed() < limit => {
                let pause = backoff.mul_f64(spread(start.elapsed()));
                warn!(error = error::chain(&e), "cannot {what} yet; trying again in {pause:?}");
                tokio::time::sleep(pause).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            done => return done,
        }
    }
}

/// Between a half and the whole, so that the writers that an outage stopped do not all come back at once. The
/// nanoseconds that the attempts took are chance enough, and in a simulation they are the seed's.
fn spread(taken: Duration) -> f64 {
    let mixed = taken.subsec_nanos().wrapping_mul(0x9E37_79B9); // the golden ratio's, which scatters neighbours
    0.5 + f64::from(mixed >> 16) / f64::from(1 << 17)
}
