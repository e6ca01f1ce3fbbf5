//! Folders of partitions: any value has one of its own, or none.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use ticklake::table::partition::{
    HIVE_NULL, PATH_BYTES_MAX, PartitionKey, SEGMENT_BYTES_MAX, check_value, parse_path,
};
use ticklake::table::{Calendar, Transform};

use super::cases;

/// The folder of a value, as Hive's `FileUtils.escapePathName` names it; `None` is null. Without one where the value
/// cannot be a partition's.
pub fn folder(name: &str, value: Option<&str>) -> Option<String> {
    let Some(value) = value else { return Some(format!("{name}={HIVE_NULL}")) };
    if ["", ".", "..", HIVE_NULL].contains(&value) || value.chars().any(|c| c <= '\u{2}') {
        return None;
    }
    let escaped: String = value
        .chars()
        .map(|c| match c {
            '\u{1}'..='\u{1f}' | '\u{7f}' => format!("%{:02X}", u32::from(c)),
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^' => {
                format!("%{:02X}", u32::from(c))
            }
            c => c.to_string(),
        })
        .collect();
    let folder = format!("{name}={escaped}");
    (folder.len() <= SEGMENT_BYTES_MAX).then_some(folder)
}

/// Texts that escapes are made of, beside any text.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => any::<String>(),
        3 => "[%=/\\\\.:0-9A-F\u{0}-\u{7f}_é€]{0,12}",
        1 => "(%[0-9A-Fa-f]{2}|%|%25|=|/|[.]|__HIVE_DEFAULT_PARTITION__|%2[Ff]){0,4}",
        1 => (0usize..1_100, prop::sample::select(vec!["x", "/", "€", "%"])).prop_map(|(n, c)| c.repeat(n)),
    ]
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_key_has_the_path_that_hive_gives_it_or_none(values in prop::collection::vec(texts(), 1..4)) {
        let names = &["date", "symbol", "x_1"][..values.len()];
        let folders: Option<Vec<String>> =
            names.iter().zip(&values).map(|(name, value)| folder(name, Some(value))).collect();
        let want = folders.map(|folders| folders.join("/")).filter(|path| path.len() <= PATH_BYTES_MAX);
        let checked = values.iter().all(|value| check_value(value).is_ok());
        let got = PartitionKey::new(names, values.clone()).ok().filter(|_| checked);
        prop_assert_eq!(got.as_ref().map(PartitionKey::path), want.as_deref());
        if let Some(key) = got {
            prop_assert_eq!(key.values(), &values);
            prop_assert_eq!(parse_path(key.path(), names), Some(values));
            // Whatever reads the path as one of a file system stays below the table.
            let parts: Vec<_> = std::path::Path::new(key.path()).components().collect();
            let plain = parts.iter().all(|part| matches!(part, std::path::Component::Normal(_)));
            prop_assert!(plain && parts.len() == names.len());
        }
    }

    #[test]
    fn two_keys_have_two_paths(values in prop::collection::hash_set((texts(), texts()), 2..20)) {
        let mut seen = HashMap::new();
        for (a, b) in values {
            if let Ok(key) = PartitionKey::new(&["a", "b"], vec![a.clone(), b.clone()]) {
                let other = seen.insert(key.path().to_owned(), (a.clone(), b.clone()));
                prop_assert_eq!(other, None, "{:?} has the path {:?} too", (a, b), key);
            }
        }
    }

    /// Folders are other programs' too.
    #[test]
    fn any_path_is_read_or_refused(path in prop_oneof![texts(), (texts(), texts()).prop_map(|(a, b)| format!("a={a}/b={b}"))]) {
        if let Some(values) = parse_path(&path, &["a", "b"]) {
            prop_assert_eq!(path.split('/').count(), values.len());
        }
    }
}

/// An instant, or one next to a change of the zone's clock in the same years.
fn instant(zone: Tz, millis: i64, near: bool) -> i64 {
    let offset = |millis: i64| {
        let time = DateTime::<Utc>::from_timestamp_millis(millis).expect("a time of chrono's");
        chrono::Offset::fix(time.with_timezone(&zone).offset()).local_minus_utc()
    };
    let (mut low, mut high) = (millis, millis + 200 * 86_400_000);
    if !near || offset(low) == offset(high) {
        return millis;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset(middle) == offset(low) { low = middle } else { high = middle }
    }
    high
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// All zones there are, their changes of the clock, and the first and the last years.
    #[test]
    fn a_time_is_cut_as_the_zone_says(
        zone in prop::sample::select(TZ_VARIANTS.to_vec()),
        millis in prop_oneof![
            3 => -4_102_444_800_000i64..7_258_118_400_000,
            1 => -62_135_770_000_000i64..-62_135_400_000_000,
            1 => 253_402_100_000_000i64..253_402_500_000_000,
        ],
        near: bool,
        steps in prop::collection::vec(prop_oneof![-3_700_000i64..3_700_000, -2i64..3, -90_000_000i64..90_000_000], 1..12),
    ) {
        let mut calendar = Calendar::new(zone);
        let change = instant(zone, millis, near);
        for step in steps.into_iter().chain([-1, 0]) {
            let millis = change + step;
            let utc = DateTime::<Utc>::from_timestamp_millis(millis).expect("a time of chrono's");
            let local = utc.with_timezone(&zone).naive_local();
            let is_within = (1..=9999).contains(&local.year());
            let days = local.date().signed_duration_since(Default::default()).num_days();
            let in_hours = days * 24 + i64::from(local.hour());
            for (transform, period, pattern) in [
                (Transform::Year, i64::from(local.year()), "%Y"),
                (Transform::Month, i64::from(local.year() - 1970) * 12 + i64::from(local.month0()), "%Y-%m"),
                (Transform::Day, days, "%Y-%m-%d"),
                (Transform::Hour, in_hours, "%Y-%m-%d-%H"),
            ] {
                let got = calendar.period(transform, millis);
                prop_assert_eq!(got, is_within.then_some(period), "{} of {} in {}", transform.name(), millis, zone);
                if let Some(period) = got {
                    prop_assert_eq!(Calendar::period_text(transform, period), local.format(pattern).to_string());
                }
            }
        }
    }

    #[test]
    fn any_number_is_a_time_or_none(zone in prop::sample::select(TZ_VARIANTS.to_vec()), millis: i64, day: i64) {
        let mut calendar = Calendar::new(zone);
        for transform in Transform::ALL {
            for period in [calendar.period(transform, millis), Calendar::period_of_day(transform, day)].into_iter().flatten() {
                let _ = Calendar::period_text(transform, period);
            }
        }
        // A day before the first and after the last there is nothing.
        let (first, last) = (-62_135_596_800_000, 253_402_300_799_999);
        let day = TimeDelta::days(2).num_milliseconds();
        if millis < first - day || millis > last + day {
            prop_assert_eq!(calendar.period(Transform::Day, millis), None);
        }
    }
}
