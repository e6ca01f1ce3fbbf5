//! Says when the next record is due: evenly, at so many a second.
//!
//! Time is passed in, as what has gone by since the start; who calls it also waits.

use std::time::Duration;

use crate::error::{Error, Result};

/// The slowest is one in some 17 minutes; the fastest is above what any machine sends.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1e9;

/// After a stall (a broker that was slow) at most this much time is made up for; the rest is forgotten, so that the
/// broker is not met with a flood.
const CATCH_UP: Duration = Duration::from_secs(1);

/// A schedule. Record `n` is due `n / rate` seconds after the start, so that it does not drift however late each
/// wake-up is. At high rates several records are due at each of the timer's milliseconds.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<f64>,
    released: u64,
    /// What was forgotten of stalls.
    forgotten: Duration,
}

impl Pace {
    /// `rate` in records a second; `None` is no limit.
    pub(super) fn new(rate: Option<f64>) -> Result<Self> {
        match rate {
            Some(rate) if !RATES.contains(&rate) => Err(Error::usage(
                "the rate is in records a second, from 0.001 to 1e9; leave it out for full speed",
            )
            .with("given", rate)),
            rate => Ok(Self { rate, released: 0, forgotten: Duration::ZERO }),
        }
    }

    /// How long after the start the next record is due; `None` is at once.
    pub(super) fn due(&self) -> Option<Duration> {
        self.rate.map(|rate| self.forgotten + Duration::from_secs_f64(self.released as f64 / rate))
    }

    /// Releases what is due at this time after the start: from 1 to `most`, which is not 0. It is called once the next
    /// record is due; a clock that says a little less does no harm.
    pub(super) fn release(&mut self, now: Duration, most: usize) -> usize {
        let (Some(rate), Some(due)) = (self.rate, self.due()) else {
            return most;
        };
        let late = now.saturating_sub(due);
        self.forgotten += late.saturating_sub(CATCH_UP);
        let released = 1 + (late.min(CATCH_UP).as_secs_f64() * rate) as usize;
        let released = released.min(most);
        self.released += released as u64;
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Releases `count` records from this time on, by a timer that ticks in milliseconds, and says at which each was.
    fn schedule(pace: &mut Pace, from_ms: u64, count: usize) -> Vec<u64> {
        let mut now = Duration::from_millis(from_ms);
        let mut at = Vec::new();
        while at.len() < count {
            let due = pace.due().unwrap_or_default();
            if due > now {
                now = Duration::from_millis(due.as_micros().div_ceil(1000) as u64);
            }
            let released = pace.release(now, 1024.min(count - at.len()));
            at.extend(std::iter::repeat_n(now.as_millis() as u64, released));
        }
        at
    }

    #[test]
    fn rate_1_is_one_a_second() {
        assert_eq!(schedule(&mut Pace::new(Some(1.0)).unwrap(), 0, 4), [0, 1000, 2000, 3000]);
    }

    #[test]
    fn a_rate_between_the_timers_ticks_does_not_drift() {
        let at = schedule(&mut Pace::new(Some(300.0)).unwrap(), 0, 3001);
        for (n, at) in at.iter().enumerate() {
            let due = n as f64 / 0.3;
            assert!((due..due + 1.0).contains(&(*at as f64)), "record {n} at {at} ms, due at {due}");
        }
    }

    #[test]
    fn a_high_rate_comes_in_small_batches() {
        let at = schedule(&mut Pace::new(Some(50_000.0)).unwrap(), 0, 100_001);
        assert!((1999..=2000).contains(at.last().unwrap()), "{:?}", at.last());
        for at_once in at.chunk_by(|a, b| a == b) {
            assert!(at_once.len() <= 51, "{} records at {} ms", at_once.len(), at_once[0]);
        }
    }

    #[test]
    fn a_long_stall_is_made_up_for_by_one_second_only() {
        let mut pace = Pace::new(Some(100.0)).unwrap();
        schedule(&mut pace, 0, 10);
        let at = schedule(&mut pace, 60_000, 301);
        assert_eq!(at.iter().filter(|at| **at == 60_000).count(), 101);
        assert_eq!(*at.last().unwrap(), 62_000);
    }

    #[test]
    fn no_rate_is_no_wait() {
        let mut pace = Pace::new(None).unwrap();
        assert_eq!(pace.due(), None);
        assert_eq!(pace.release(Duration::ZERO, 1024), 1024);
    }

    #[test]
    fn rates_that_make_no_sense_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pace::new(Some(rate)).is_err(), "{rate}");
        }
    }
}
