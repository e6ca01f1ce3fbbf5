//! Counts how long it took until partitions with new files were in the catalog, in the form that Prometheus reads: a
//! histogram.

use std::time::Duration;

/// Where one bucket ends and the next begins, in seconds. A call of the catalog's takes some tenths of one; where it is
/// away, a job gives up after ten minutes.
const BOUNDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// How many partitions took how long.
///
/// * A partition counts once: when this job registered it, and not when it is looked up again.
/// * Its time begins when its first file of this job is in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationLag {
    /// By bucket; the last one has no bound.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl RegistrationLag {
    pub(super) fn observe(&mut self, lag: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < lag.as_secs_f64());
        self.counts[bucket] += 1;
        self.sum += lag;
    }

    /// All that this and another worker counted.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
        self
    }

    /// Each bucket's upper bound in seconds, and how many are in it alone.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts)
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_in_the_first_bucket_that_holds_it() {
        let mut lag = RegistrationLag::default();
        for millis in [0, 100, 101, 2_500, 600_000, 600_001] {
            lag.observe(Duration::from_millis(millis));
        }
        let filled: Vec<_> = lag.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.1, 2), (0.25, 1), (2.5, 1), (600.0, 1), (f64::INFINITY, 1)]);
        let both = lag.clone().and(&lag);
        assert_eq!((both.count(), both.sum()), (12, lag.sum() * 2));
    }
}
