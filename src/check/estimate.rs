//! What a day of a feed would come to, as far as its newest records tell.

use std::collections::HashMap;

use indicatif::{HumanBytes, HumanCount};

use super::Finding;
use crate::catalog::CALL_DOLLARS;
use crate::ingest::Limits;
use crate::kafka::RecordSet;
use crate::store::PUT_DOLLARS;

const DAY_SECONDS: f64 = 86_400.0;
/// Files of fewer rows are mostly their own footers.
const ROWS_A_FILE_MIN: f64 = 1_000.0;
/// From so many files a day on, small ones are worth a word.
const FILES_A_DAY_MIN: f64 = 10_000.0;

/// What was seen of a feed.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// By topic and partition: how many records, and the milliseconds of the first and of the last.
    spans: HashMap<(String, i32), (u64, i64, i64)>,
    bytes: u64,
    records: u64,
    /// Rows by partition of the table.
    rows: HashMap<String, u64>,
}

impl Estimate {
    pub fn add_times(&mut self, set: &RecordSet) {
        let source = (set.source.topic.to_string(), set.source.partition);
        for record in set.iter() {
            self.records += 1;
            self.bytes += record.value.map_or(0, <[u8]>::len) as u64;
            let Some(at) = record.timestamp else { continue };
            let span = self.spans.entry(source.clone()).or_insert((0, at, at));
            *span = (span.0 + 1, span.1.min(at), span.2.max(at));
        }
    }

    pub fn add_row(&mut self, partition: &str) {
        *self.rows.entry(partition.to_owned()).or_default() += 1;
    }

    /// Nothing where times are too near to tell a rate.
    pub fn finding(&self, limits: &Limits) -> Option<Finding> {
        let rate = |(count, first, last): &(u64, i64, i64)| {
            let seconds = (last - first) as f64 / 1000.0;
            (*count > 1 && seconds > 0.0).then(|| (*count - 1) as f64 / seconds)
        };
        let records_a_second: f64 = self.spans.values().filter_map(rate).sum();
        let rows: u64 = self.rows.values().sum();
        if records_a_second == 0.0 || rows == 0 {
            return None;
        }
        let rows_a_day = records_a_second * DAY_SECONDS * rows as f64 / self.records as f64;
        // A buffer is written when it is old enough, or full; at most once for each row.
        let by_age = DAY_SECONDS / limits.flush_age.as_secs_f64().max(1.0);
        let files = |seen: &u64| {
            let rows = rows_a_day * *seen as f64 / rows as f64;
            (rows / limits.flush_rows as f64).max(by_age).min(rows)
        };
        let files_a_day: f64 = self.rows.values().map(files).sum();
        let partitions = self.rows.len();
        let bytes_a_day = self.bytes as f64 / self.records as f64 * records_a_second * DAY_SECONDS;
        // A partition of a day is looked for once and made once.
        let dollars =
            (files_a_day + partitions as f64) * PUT_DOLLARS + 2.0 * partitions as f64 * CALL_DOLLARS;
        let count = |number: f64| HumanCount(number.round() as u64);
        let said = format!(
            "at {records_a_second:.0} records/s as lately, a day has {} rows ({} of JSON) in at least {} partitions, some {} \
             files of {} rows on average, and on S3 {dollars:.2} dollars of puts and catalog calls",
            count(rows_a_day),
            HumanBytes(bytes_a_day as u64),
            HumanCount(partitions as u64),
            count(files_a_day),
            count(rows_a_day / files_a_day),
        );
        let is_small = files_a_day > FILES_A_DAY_MIN && rows_a_day / files_a_day < ROWS_A_FILE_MIN;
        Some(match is_small {
            true => Finding::doubtful(
                "estimate",
                said,
                "files are small and many: raise --flush-age, or partition by fewer values",
            ),
            false => Finding::good("estimate", said),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::Verdict;
    use crate::kafka::TopicPartition;

    fn estimate(symbols: usize, records: i64, apart_ms: i64) -> Estimate {
        let mut estimate = Estimate::default();
        let mut set = RecordSet::new(TopicPartition::new("t", 0), 1);
        for at in 0..records {
            set.push(at, Some(at * apart_ms), None, Some(&[b'x'; 100]));
            estimate.add_row(&format!("symbol={}", at as usize % symbols));
        }
        estimate.add_times(&set);
        estimate
    }

    #[test]
    fn a_day_of_many_symbols_is_many_files() {
        let limits = Limits { flush_age: Duration::from_secs(60), ..Limits::default() };
        // 10,000 symbols at a minute: 14.4 million puts a day.
        let many = estimate(10_000, 20_001, 1).finding(&limits).unwrap();
        assert_eq!(many.verdict, Verdict::Doubtful);
        assert!(
            many.said.contains("14,400,000 files of 6 rows") && many.said.contains("72.07 dollars"),
            "{many:?}"
        );
        let few = estimate(1, 1001, 1).finding(&limits).unwrap();
        assert_eq!(few.verdict, Verdict::Good);
        assert!(few.said.contains("1,440 files of 60,000 rows"), "{few:?}");
        // No more files than rows.
        let slow = estimate(1, 11, 3_600_000).finding(&limits).unwrap();
        assert!(slow.said.contains("24 files of 1 rows"), "{slow:?}");
    }

    #[test]
    fn what_has_no_times_has_no_rate() {
        assert!(estimate(1, 1, 1).finding(&Limits::default()).is_none());
        assert!(estimate(1, 10, 0).finding(&Limits::default()).is_none());
        assert!(Estimate::default().finding(&Limits::default()).is_none());
    }
}
