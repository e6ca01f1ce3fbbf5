//! Values and instants in, a partition's path out.

use chrono::{DateTime, Datelike, Offset, Timelike, Utc};
use chrono_tz::Tz;
use object_store::path::Path;
use proptest::prelude::*;
use ticklake::table::partition::{HIVE_NULL, InvalidValue, PartitionKey, check_value, is_before, parse_path};
use ticklake::table::{Calendar, Transform};

const NAMES: [&str; 2] = ["date", "symbol"];

fn key(values: [&str; 2]) -> Result<PartitionKey, InvalidValue> {
    PartitionKey::new(&NAMES, values.map(str::to_owned).to_vec())
}

/// A year, a month, a day or an hour is before a day when all of it is.
#[test]
fn a_period_is_before_a_day_when_it_is_over() {
    let day = "2026-11-22".parse().unwrap();
    for before in ["2026-11-21", "2026-11-21-23", "2026-10", "2025", "0001-01-01"] {
        assert!(is_before(before, day), "{before}");
    }
    for not in
        ["2026-11-22", "2026-11-22-00", "2026-11", "2026", "2027-01", HIVE_NULL, "20", "AAPL", "1/1/1970"]
    {
        assert!(!is_before(not, day), "{not}");
    }
    assert!(
        is_before("2026-10", "2026-11-01".parse().unwrap())
            && !is_before("2026-11", "2026-11-30".parse().unwrap())
    );
}

#[test]
fn symbols_are_escaped_as_hive_does() {
    let cases = [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("BTC-USD", "BTC-USD"),
        ("BRK/B", "BRK%2FB"),
        ("^GSPC", "%5EGSPC"),
        ("ES=F", "ES%3DF"),
        ("EUR:USD", "EUR%3AUSD"),
        ("O'Neil \"x\"", "O%27Neil %22x%22"),
        ("50%", "50%25"),
        ("a\\b\t\u{7f}", "a%5Cb%09%7F"),
        ("#*?{[]}", "%23%2A%3F%7B%5B%5D}"),
        ("a+b~c<d>|e,f;g&h$i@j!k(l)", "a+b~c<d>|e,f;g&h$i@j!k(l)"),
        ("トヨタ€😀é", "トヨタ€😀é"),
        ("..x", "..x"),
        (HIVE_NULL, HIVE_NULL),
    ];
    for (symbol, escaped) in cases {
        let key = key(["2026-11-22", symbol]).unwrap();
        let path = format!("date=2026-11-22/symbol={escaped}");
        assert_eq!(key.path(), path);
        assert_eq!(key.values(), ["2026-11-22", symbol]);
        assert_eq!(format!("{key:?}"), path);
        assert_eq!(parse_path(&path, &NAMES).unwrap(), ["2026-11-22", symbol]);
    }
}

#[test]
fn the_names_of_columns_are_lower_case_in_a_path() {
    let key = PartitionKey::new(&["Date"], vec!["2026".into()]).unwrap();
    assert_eq!(key.path(), "date=2026");
    assert_eq!(parse_path("date=2026", &["DATE"]).unwrap(), ["2026"]);
}

#[test]
fn a_value_that_cannot_be_a_path_is_refused_with_its_reason() {
    let long = "x".repeat(249);
    let escaped = "/".repeat(83);
    let cases = [
        ("", "is empty"),
        (".", "is '.' or '..', which is no name of a folder"),
        ("..", "is '.' or '..', which is no name of a folder"),
        ("a\0b", "holds a character U+0000 to U+0002, which the catalog cannot index"),
        (&long, "is too long: with its column's name and escapes it has over 255 bytes"),
        (&escaped, "is too long: with its column's name and escapes it has over 255 bytes"),
    ];
    for (value, reason) in cases {
        assert_eq!(key(["2026-11-22", value]), Err(InvalidValue { field: 1, reason }));
    }
    assert!(key(["2026-11-22", &long[1..]]).is_ok());
    let three = PartitionKey::new(&["a", "b", "c"], vec!["x".repeat(200); 3]);
    assert_eq!(three.unwrap_err().reason, "is too long: the partition's path would have over 512 bytes");
}

#[test]
fn a_text_that_would_read_as_null_is_refused_where_it_is_data() {
    assert_eq!(check_value(HIVE_NULL), Err("is '__HIVE_DEFAULT_PARTITION__', which engines read as null"));
    assert_eq!(check_value(""), Err("is empty"));
    assert_eq!(check_value("AAPL"), Ok(()));
}

#[test]
fn a_path_is_read_as_hive_and_trino_read_it() {
    assert_eq!(parse_path("symbol=a%zz%4%%41%", &["symbol"]).unwrap(), ["a%zz%4%A%"]);
    assert_eq!(
        parse_path("symbol=%C3%A9", &["symbol"]).unwrap(),
        ["Ã©"],
        "a code is a character, not a byte"
    );
    for path in ["date=1", "date=1/symbol=2/x=3", "symbol=2/date=1", "date=1/symbol", "", "/date=1/symbol=2"]
    {
        assert_eq!(parse_path(path, &NAMES), None, "{path}");
    }
}

proptest! {
    #[test]
    fn every_key_has_a_path_that_stays_below_the_table(date in "\\PC{0,12}", symbol in any::<String>()) {
        if let Ok(key) = key([&date, &symbol]) {
            let path = key.path();
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 2);
            prop_assert!(segments[0].starts_with("date=") && segments[1].starts_with("symbol="));
            let in_store = Path::parse(path).unwrap();
            prop_assert_eq!(in_store.as_ref(), path);
            prop_assert_eq!(parse_path(path, &NAMES).unwrap(), vec![date, symbol]);
        } else {
            let fits = |v: &str| check_value(v).is_ok() && v.len() < 80;
            prop_assert!(!fits(&date) || !fits(&symbol), "a harmless value is refused");
        }
    }
}

fn utc(epoch_millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(epoch_millis).unwrap()
}

/// What chrono's own calendar says.
fn expected(zone: Tz, transform: Transform, epoch_millis: i64) -> String {
    let local = utc(epoch_millis).with_timezone(&zone);
    let (year, month, day, hour) = (local.year(), local.month(), local.day(), local.hour());
    match transform {
        Transform::Year => format!("{year:04}"),
        Transform::Month => format!("{year:04}-{month:02}"),
        Transform::Day => format!("{year:04}-{month:02}-{day:02}"),
        Transform::Hour => format!("{year:04}-{month:02}-{day:02}-{hour:02}"),
        Transform::Identity => unreachable!("it cuts no time"),
    }
}

const CUTS: [Transform; 4] = [Transform::Year, Transform::Month, Transform::Day, Transform::Hour];

fn check(calendar: &mut Calendar, zone: Tz, epoch_millis: i64) {
    for transform in CUTS {
        let period = calendar.period(transform, epoch_millis).unwrap();
        let text = Calendar::period_text(transform, period);
        assert_eq!(text, expected(zone, transform, epoch_millis), "{zone} {epoch_millis}");
    }
}

/// Daylight saving by an hour and by half an hour, offsets of quarters, a day that was left out, local mean times with
/// seconds, a zone that went over the date line, and one with fourteen hours.
const ZONES: [Tz; 10] = [
    Tz::UTC,
    Tz::America__New_York,
    Tz::Europe__London,
    Tz::Australia__Lord_Howe,
    Tz::Asia__Kathmandu,
    Tz::Pacific__Apia,
    Tz::Africa__Monrovia,
    Tz::Asia__Manila,
    Tz::Pacific__Kiritimati,
    Tz::America__Sao_Paulo,
];

#[test]
fn periods_have_texts() {
    let mut calendar = Calendar::new(Tz::UTC);
    let millis = 1_795_354_215_123; // 2026-11-22T13:30:15.123Z
    let texts: Vec<String> =
        CUTS.iter().map(|t| Calendar::period_text(*t, calendar.period(*t, millis).unwrap())).collect();
    assert_eq!(texts, ["2026", "2026-11", "2026-11-22", "2026-11-22-13"]);
    assert_eq!(calendar.period(Transform::Month, 0), Some(0));
    assert_eq!(calendar.period(Transform::Day, -1), Some(-1));
    assert_eq!(calendar.period(Transform::Identity, millis), None);
}

#[test]
fn the_change_of_a_clock_is_cut_to_the_millisecond() {
    for (zone, change) in [
        (Tz::America__New_York, 1_793_512_800_000_i64), // 2026-11-01 06:00 UTC: 01:59 is followed by 01:00
        (Tz::America__New_York, 1_772_953_200_000),     // 2026-03-08 07:00 UTC: 01:59 is followed by 03:00
        (Tz::Australia__Lord_Howe, 1_775_314_800_000),  // 2026-04-04 15:00 UTC: half an hour back
        (Tz::Pacific__Apia, 1_325_239_200_000),         // 2011-12-30 was left out
        (Tz::America__Sao_Paulo, 1_541_300_400_000),    // 2018-11-04 00:00 was left out
        (Tz::Africa__Monrovia, 63_593_070_000),         // 1972-01-07 00:44:30 UTC: from -00:44:30
    ] {
        let offset = |millis: i64| utc(millis).with_timezone(&zone).offset().fix();
        assert_ne!(offset(change - 1), offset(change), "{zone}: the test's instant is no change");
        for millis in [-86_400_000, -3_600_000, -1_800_000, -1, 0, 1, 1_799_999, 3_600_000, 86_400_000] {
            // New each time, so that the day is entered from either side of the change.
            check(&mut Calendar::new(zone), zone, change + millis);
        }
    }
}

#[test]
fn outside_of_four_digits_of_year_there_is_no_period() {
    let first = -62_135_596_800_000; // 0001-01-01
    let last = 253_402_300_799_999; // 9999-12-31
    let mut calendar = Calendar::new(Tz::UTC);
    for transform in CUTS {
        assert!(calendar.period(transform, first).is_some() && calendar.period(transform, last).is_some());
        for millis in [first - 1, last + 1, i64::MIN, i64::MAX] {
            assert_eq!(calendar.period(transform, millis), None, "{millis}");
        }
    }
    let mut apia = Calendar::new(Tz::Pacific__Apia);
    assert_eq!(apia.period(Transform::Hour, last), None, "it is the year 10000 there already");
    assert!(Calendar::new(Tz::America__New_York).period(Transform::Day, last + 1).is_some());
}

#[test]
fn a_date_is_cut_in_no_zone() {
    let day = 20_779; // 2026-11-22
    for (transform, text) in
        [(Transform::Year, "2026"), (Transform::Month, "2026-11"), (Transform::Day, "2026-11-22")]
    {
        let period = Calendar::period_of_day(transform, day).unwrap();
        assert_eq!(Calendar::period_text(transform, period), text);
    }
    assert_eq!(Calendar::period_of_day(Transform::Hour, day), None);
    assert_eq!(Calendar::period_of_day(Transform::Day, i64::MAX), None);
}

proptest! {
    #[test]
    fn periods_are_those_of_the_tz_database(
        zone in prop::sample::select(ZONES.to_vec()),
        // 1840 to 2200, and runs of near instants so that days are met again.
        starts in prop::collection::vec(-4_102_444_800_000_i64..7_258_118_400_000, 1..8),
        steps in prop::collection::vec(-40_000_000_i64..90_000_000, 1..40),
    ) {
        let mut calendar = Calendar::new(zone);
        for start in starts {
            let mut millis = start;
            for step in &steps {
                check(&mut calendar, zone, millis);
                millis += step;
            }
            check(&mut calendar, zone, start);
        }
    }

    #[test]
    fn texts_sort_as_periods_do(a in -62_135_596_800_000_i64..253_402_300_800_000, b in -62_135_596_800_000_i64..253_402_300_800_000) {
        let mut calendar = Calendar::new(Tz::UTC);
        for transform in CUTS {
            let (a, b) = (calendar.period(transform, a).unwrap(), calendar.period(transform, b).unwrap());
            let texts = (Calendar::period_text(transform, a), Calendar::period_text(transform, b));
            prop_assert_eq!(a.cmp(&b), texts.0.cmp(&texts.1));
        }
    }
}
