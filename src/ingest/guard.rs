//! Stops a job whose feed has broken, or whose DDL does not fit it, before hours of it are rejected rows.
//!
//! It never decides a record's fate: it ends the job, and what is not durable by then is read again.

use super::place::Counts;
use super::row::Reason;
use crate::error::{Error, Kind, Result};

/// Looks at so many records after another: rows and rejected ones, of all topics.
#[derive(Debug)]
pub(super) struct Guard {
    max_ratio: f64,
    window: u64,
    /// What was counted when the window began.
    since: Counts,
}

impl Guard {
    pub fn new(max_ratio: f64, window: u64) -> Self {
        Self { max_ratio, window, since: Counts::default() }
    }

    /// To be called after each record: an error as soon as a window is sure to have too many rejected ones.
    #[inline]
    pub fn look(&mut self, now: &Counts) -> Result<()> {
        if self.max_ratio >= 1.0 { Ok(()) } else { self.look_closely(now) }
    }

    fn look_closely(&mut self, now: &Counts) -> Result<()> {
        let decoded = now.decoded() - self.since.decoded();
        let rejected = now.rejected() - self.since.rejected();
        let most = self.max_ratio * self.window.max(decoded) as f64;
        if rejected as f64 > most {
            return Err(self.broken(now, decoded, rejected));
        }
        if decoded >= self.window {
            self.since = *now;
        }
        Ok(())
    }

    fn broken(&self, now: &Counts, decoded: u64, rejected: u64) -> Error {
        let by_reason = Reason::ALL.iter().zip(now.rejected.iter().zip(&self.since.rejected));
        let most = by_reason.map(|(reason, (now, since))| (now - since, reason.name())).max();
        let (count, reason) = most.unwrap_or_default();
        Error::new(
            Kind::Protocol,
            "too many records are rejected: the feed has changed, or the DDL does not fit it. Nothing is lost: what was \
             not written is read again. See what is sent by `ticklake table infer --topic`, and mend the DDL; or raise \
             `rejected_max_ratio`",
        )
        .with("rejected", format_args!("{rejected} of the last {decoded}"))
        .with("most of them", format_args!("{reason}, {count}"))
        .with("rejected_max_ratio", self.max_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: u64, malformed: u64, digits: u64) -> Counts {
        let mut counts = Counts { rows, ..Counts::default() };
        counts.rejected[Reason::Malformed as usize] = malformed;
        counts.rejected[Reason::Digits as usize] = digits;
        counts
    }

    #[test]
    fn a_window_of_bad_records_ends_the_job() {
        let mut guard = Guard::new(0.1, 100);
        for (rows, malformed) in [(10, 10), (89, 10), (90, 10), (180, 20), (185, 30)] {
            guard.look(&counts(rows, malformed, 0)).unwrap();
        }
        // Old windows do not make up for it, and it does not wait for the end of one.
        let error = guard.look(&counts(1000, 30, 101)).unwrap_err().to_string();
        assert!(error.contains("111 of the last 931") && error.contains("digits, 101"), "{error}");
        let error = guard.look(&counts(186, 31, 0)).unwrap_err().to_string();
        assert!(error.contains("11 of the last 17") && error.contains("malformed, 11"), "{error}");
    }

    #[test]
    fn all_may_be_rejected_where_it_is_so_wished() {
        Guard::new(1.0, 10).look(&counts(0, 1000, 0)).unwrap();
        assert!(Guard::new(0.0, 10).look(&counts(5, 1, 0)).is_err());
    }
}
