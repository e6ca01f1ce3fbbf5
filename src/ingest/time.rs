//! Turns a text or a number into an instant: nanoseconds since the epoch, UTC.

use std::ops::RangeInclusive;

use chrono::format::{Parsed, StrftimeItems};
use chrono::{Datelike, NaiveDate, NaiveTime};

use super::number;
use crate::table::spec::Format;

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTime {
    /// Not of the column's format.
    Format,
    /// Outside of the years 1 to 9999, which is what engines read.
    Range,
}

const NANOS: i128 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// 0001-01-01 and 10000-01-01, in days since the epoch.
const DAYS: std::ops::Range<i64> = -719_162..2_932_897;

/// The instant that a text means in a format, in nanoseconds. A time without an offset is UTC, a date alone is its
/// midnight; digits below the nanosecond are not taken.
pub(super) fn instant(format: &Format, text: &[u8]) -> Result<i128, NoTime> {
    let nanos = match format {
        Format::EpochSeconds => epoch(text, 9)?,
        Format::EpochMillis => epoch(text, 6)?,
        Format::EpochMicros => epoch(text, 3)?,
        Format::EpochNanos => epoch(text, 0)?,
        Format::Rfc3339 => rfc3339(text).ok_or(NoTime::Format)?,
        Format::Strftime(pattern) => strftime(pattern, text).ok_or(NoTime::Format)?,
        Format::Rounded => return Err(NoTime::Format), // of decimals alone
    };
    let seconds = nanos.div_euclid(NANOS);
    let day = seconds.div_euclid(i128::from(DAY_SECONDS));
    if (i128::from(DAYS.start)..i128::from(DAYS.end)).contains(&day) { Ok(nanos) } else { Err(NoTime::Range) }
}

/// The milliseconds since the epoch that are within the years that engines read.
pub(super) const MILLIS: RangeInclusive<i64> =
    DAYS.start * DAY_SECONDS * 1000..=DAYS.end * DAY_SECONDS * 1000 - 1;

/// Milliseconds of an instant; digits below are cut off, also before the epoch.
pub(super) fn millis(nanos: i128) -> i64 {
    nanos.div_euclid(1_000_000) as i64
}

/// The day of an instant, in days since the epoch.
pub(super) fn days(nanos: i128) -> i32 {
    nanos.div_euclid(NANOS * i128::from(DAY_SECONDS)) as i32
}

fn epoch(text: &[u8], scale: i32) -> Result<i128, NoTime> {
    number::scaled(text, scale).map_err(|e| match e {
        number::Inexact::Range => NoTime::Range,
        number::Inexact::NotANumber | number::Inexact::Digits => NoTime::Format,
    })
}

/// `2026-11-22T13:30:00.123456789+01:00`; the `T` may be a space or small, the time, the seconds, the fraction and
/// the offset may be missing, the offset may be `Z`, `+01:00`, `+0100` or `+01`. A leap second is the second after.
fn rfc3339(text: &[u8]) -> Option<i128> {
    let mut text = Text(text);
    let day = text.date()?;
    if text.0.is_empty() {
        return Some(i128::from(day) * i128::from(DAY_SECONDS) * NANOS);
    }
    if !matches!(text.next()?, b'T' | b't' | b' ') {
        return None;
    }
    let hour = text.pair(0, 23)?;
    text.eat(b':')?;
    let minute = text.pair(0, 59)?;
    let (mut second, mut nanos) = (0, 0);
    if text.eat(b':').is_some() {
        second = text.pair(0, 60)?;
        if text.eat(b'.').is_some() || text.eat(b',').is_some() {
            nanos = text.fraction()?;
        }
    }
    let offset = text.offset()?;
    let seconds = day * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
    Some(i128::from(seconds) * NANOS + i128::from(nanos))
}

/// What is left of a text.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn digit(&mut self) -> Option<i64> {
        let (first, rest) = self.0.split_first()?;
        let digit = first.is_ascii_digit().then(|| i64::from(first - b'0'))?;
        self.0 = rest;
        Some(digit)
    }

    fn pair(&mut self, low: i64, high: i64) -> Option<i64> {
        let value = self.digit()? * 10 + self.digit()?;
        (low..=high).contains(&value).then_some(value)
    }

    /// Days since the epoch of `YYYY-MM-DD`.
    fn date(&mut self) -> Option<i64> {
        let year = self.pair(0, 99)? * 100 + self.pair(0, 99)?;
        self.eat(b'-')?;
        let month = self.pair(1, 12)?;
        self.eat(b'-')?;
        let day = self.pair(1, 31)?;
        let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
        Some(i64::from(date.num_days_from_ce()) - i64::from(NaiveDate::default().num_days_from_ce()))
    }

    fn fraction(&mut self) -> Option<i64> {
        let mut nanos = self.digit()? * 100_000_000;
        let mut unit = 10_000_000;
        while let Some(digit) = self.digit() {
            if unit == 0 && digit != 0 {
                return None;
            }
            nanos += digit * unit;
            unit /= 10;
        }
        Some(nanos)
    }

    /// Seconds east of UTC; nothing may follow.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.next() {
            None => return Some(0),
            Some(b'Z' | b'z') => return self.0.is_empty().then_some(0),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        let hours = self.pair(0, 23)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            let _ = self.eat(b':');
            self.pair(0, 59)?
        };
        self.0.is_empty().then_some(sign * (hours * 3600 + minutes * 60))
    }
}

fn strftime(pattern: &str, text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, StrftimeItems::new(pattern)).ok()?;
    if let Ok(time) = parsed.to_datetime() {
        return nanos(time.naive_utc());
    }
    if let Ok(time) = parsed.to_naive_datetime_with_offset(0) {
        return nanos(time);
    }
    nanos(parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN))
}

fn nanos(time: chrono::NaiveDateTime) -> Option<i128> {
    let days = time.date().signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days();
    let since_midnight = time.time().signed_duration_since(NaiveTime::MIN).num_nanoseconds()?;
    Some(i128::from(days) * i128::from(DAY_SECONDS) * NANOS + i128::from(since_midnight))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, NoTime> {
        let nanos = instant(&Format::Rfc3339, text.as_bytes())?;
        let time = Utc.timestamp_opt(nanos.div_euclid(NANOS) as i64, nanos.rem_euclid(NANOS) as u32).unwrap();
        Ok(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    #[test]
    fn forms() {
        for (text, want) in [
            ("2026-11-22T13:30:00.123456789+01:00", "2026-11-22T12:30:00.123456789Z"),
            ("2026-11-22 13:30:00-0530", "2026-11-22T19:00:00Z"),
            ("2026-11-22t13:30+01", "2026-11-22T12:30:00Z"),
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("2024-02-29T00:00:00.5Z", "2024-02-29T00:00:00.500Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(want), "{text}");
        }
        for text in [
            "",
            "2026-11-31",
            "2025-02-29",
            "2026-11-22T24:00:00Z",
            "2026-11-22T13",
            "22.11.2026",
            "2026-11-22T13:30:00.Z",
            "2026-11-22T13:30:00ZZ",
            "2026-11-22T13:30:00.0000000001Z",
        ] {
            assert_eq!(read(text), Err(NoTime::Format), "{text}");
        }
        assert_eq!(read("0000-12-31T23:59:59Z"), Err(NoTime::Range));
        assert_eq!(instant(&Format::EpochNanos, b"1732300800123456789"), Ok(1_732_300_800_123_456_789));
        assert_eq!(instant(&Format::EpochSeconds, b"1732300800.5"), Ok(1_732_300_800_500_000_000));
        assert_eq!(instant(&Format::EpochSeconds, b"1e99"), Err(NoTime::Range));
    }

    #[test]
    fn patterns() {
        let read = |pattern: &str, text: &str| instant(&Format::Strftime(pattern.into()), text.as_bytes());
        assert_eq!(read("%d.%m.%Y", "02.01.1970"), Ok(86_400 * NANOS));
        assert_eq!(read("%Y%m%d %H%M%S%.3f", "19700101 000001.250"), Ok(1_250_000_000));
        assert_eq!(read("%Y-%m-%d %H:%M:%S %z", "1970-01-01 01:00:00 +0100"), Ok(0));
        assert_eq!(read("%Y", "x"), Err(NoTime::Format));
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(seconds in -62_135_596_800i64..253_402_300_800, nanos in 0u32..1_000_000_000) {
            let time = DateTime::<Utc>::from_timestamp(seconds, nanos).unwrap();
            let text = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
            let want = i128::from(seconds) * NANOS + i128::from(nanos);
            prop_assert_eq!(instant(&Format::Rfc3339, text.as_bytes()), Ok(want));
            prop_assert_eq!(millis(want), time.timestamp_millis());
        }

        #[test]
        fn takes_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = instant(&Format::Rfc3339, &text);
        }
    }
}
