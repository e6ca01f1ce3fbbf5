//! Defines how a partition is cut out of a value: Iceberg's transforms, in the calendar of the table's time zone.
//!
//! A time becomes a *period*, a number (the day since 1970-01-01, say), and only a period that is new becomes a
//! text. Cuts are exact: they agree with the tz database at every instant, odd offsets and changes of the clock included.

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// What makes a partition's value of a value (Iceberg's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// The value's own text.
    Identity,
    /// `2026`
    Year,
    /// `2026-11`
    Month,
    /// `2026-11-22`
    Day,
    /// `2026-11-22-13`
    Hour,
}

impl Transform {
    pub const ALL: [Self; 5] = [Self::Identity, Self::Year, Self::Month, Self::Day, Self::Hour];

    /// As the DDL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

const SECONDS_PER_DAY: i64 = 86_400;
/// Days since 1970-01-01 of 0001-01-01 and of 9999-12-31: a text has four digits of year.
const DAY_MIN: i64 = -719_162;
const DAY_MAX: i64 = 2_932_896;
/// Days whose offsets are kept. A feed is within one or two; a history by symbol walks through many.
const CACHED_DAYS: usize = 64;

/// Cuts instants into the years, months, days and hours of one time zone.
///
/// Fast for instants near each other: a day's offset from UTC is looked up once, then it is arithmetic. Memory: 2 KiB.
#[derive(Clone, Debug)]
pub struct Calendar {
    timezone: Tz,
    /// By the day's number modulo the length; empty for UTC.
    days: Vec<DayOffsets>,
}

/// The offsets from UTC within one UTC day. A zone changes its clock at most once in a day: the tz database has
/// no two changes of one zone within six days.
#[derive(Clone, Copy, Debug)]
struct DayOffsets {
    day: i64,
    /// The instant of the change, in seconds since the epoch; `i64::MAX` where there is none.
    change: i64,
    before_seconds: i64,
    after_seconds: i64,
}

impl Calendar {
    pub fn new(timezone: Tz) -> Self {
        // No instant of the calendar's is in this day.
        let unknown = DayOffsets { day: i64::MIN, change: 0, before_seconds: 0, after_seconds: 0 };
        let days = if timezone == Tz::UTC { Vec::new() } else { vec![unknown; CACHED_DAYS] };
        Self { timezone, days }
    }

    /// The period that an instant, in milliseconds since the epoch, falls into: the year's number, or months, days or
    /// hours since 1970 began, all by the zone's clock. An hour that the clock shows twice is one period.
    ///
    /// `None` outside the years 1 to 9999, and for `Identity`, which cuts no time.
    pub fn period(&mut self, transform: Transform, epoch_millis: i64) -> Option<i64> {
        let seconds = epoch_millis.div_euclid(1000);
        let day = seconds.div_euclid(SECONDS_PER_DAY);
        // A day of slack: no zone is further from UTC.
        if !(DAY_MIN - 1..=DAY_MAX + 1).contains(&day) {
            return None;
        }
        let local = seconds + self.offset_seconds(day, seconds);
        if transform == Transform::Hour {
            let in_range = (DAY_MIN..=DAY_MAX).contains(&local.div_euclid(SECONDS_PER_DAY));
            return in_range.then(|| local.div_euclid(3600));
        }
        Self::period_of_day(transform, local.div_euclid(SECONDS_PER_DAY))
    }

    /// The period of a calendar day, in days since 1970-01-01: for a value that is a date already, in no zone.
    ///
    /// `None` outside the years 1 to 9999, and for `Hour` and `Identity`.
    pub fn period_of_day(transform: Transform, day: i64) -> Option<i64> {
        if !(DAY_MIN..=DAY_MAX).contains(&day) {
            return None;
        }
        match transform {
            Transform::Year => Some(civil(day).0),
            Transform::Month => {
                let (year, month, _) = civil(day);
                Some((year - 1970) * 12 + month - 1)
            }
            Transform::Day => Some(day),
            Transform::Hour | Transform::Identity => None,
        }
    }

    /// The text of a period that `period` or `period_of_day` gave: `2026`, `2026-11`, `2026-11-22`, `2026-11-22-13`.
    /// The texts of one transform sort as the periods do.
    pub fn period_text(transform: Transform, period: i64) -> String {
        match transform {
            Transform::Identity => period.to_string(),
            Transform::Year => format!("{period:04}"),
            Transform::Month => {
                format!("{:04}-{:02}", 1970 + period.div_euclid(12), 1 + period.rem_euclid(12))
            }
            Transform::Day => {
                let (year, month, day) = civil(period);
                format!("{year:04}-{month:02}-{day:02}")
            }
            Transform::Hour => {
                let (year, month, day) = civil(period.div_euclid(24));
                format!("{year:04}-{month:02}-{day:02}-{:02}", period.rem_euclid(24))
            }
        }
    }

    fn offset_seconds(&mut self, day: i64, seconds: i64) -> i64 {
        if self.days.is_empty() {
            return 0;
        }
        let slot = &mut self.days[day.rem_euclid(CACHED_DAYS as i64) as usize];
        if slot.day != day {
            *slot = day_offsets(self.timezone, day);
        }
        if seconds < slot.change { slot.before_seconds } else { slot.after_seconds }
    }
}

/// Finds the change of the clock within a day, if there is one, by halving.
fn day_offsets(timezone: Tz, day: i64) -> DayOffsets {
    let (mut low, mut high) = (day * SECONDS_PER_DAY, (day + 1) * SECONDS_PER_DAY - 1);
    let (before_seconds, after_seconds) = (utc_offset(timezone, low), utc_offset(timezone, high));
    if before_seconds == after_seconds {
        return DayOffsets { day, change: i64::MAX, before_seconds, after_seconds };
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if utc_offset(timezone, middle) == before_seconds {
            low = middle;
        } else {
            high = middle;
        }
    }
    DayOffsets { day, change: high, before_seconds, after_seconds }
}

fn utc_offset(timezone: Tz, seconds: i64) -> i64 {
    // `period` bounds the day to the years 0 to 10000; chrono's calendar is wider.
    let utc = DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
    i64::from(timezone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

/// Year, month and day of a day since 1970-01-01 that is within the calendar.
fn civil(day: i64) -> (i64, i64, i64) {
    let date = NaiveDate::default() + TimeDelta::days(day);
    (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()))
}
