//! The simulated feed: what each record is, and what has to become of it, known from how it was made.

use ticklake::table::Ddl;

use super::chance::Chance;

/// 2026-11-22T00:00:00Z
const DAY: i64 = 1_795_305_600_000;
const DAYS: [&str; 2] = ["2026-11-22", "2026-11-23"];
const SYMBOLS: [&str; 4] = ["A", "B", "C/c", "_d"];

/// A row says which record it is of: its source, its offset, and its place in the message.
const TABLE: &str = "
    CREATE EXTERNAL TABLE `sim`.`ticks` (`p` int, `o` bigint, `i` int, `v` bigint COLUMNS)
    PARTITIONED BY (`date` string, `symbol` string)
    STORED AS PARQUET
    TBLPROPERTIES (
      'ticklake.source.p' = '@partition', 'ticklake.source.o' = '@offset',
      'ticklake.partition.date' = 'day(@timestamp)', 'ticklake.partition.symbol' = 'identity(SYMBOL)',
      'parquet.compression' = 'NONE', 'ticklake.records' = '/d', 'ticklake.only' = '/t = 1', 'ticklake.sort' = 'v'
    )";

/// Which DDL a writer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    First,
    /// With a column more, that some records do not fit.
    Wider,
    /// With another partition for the same record: must be refused once anything is written,
    Rerouted,
    /// unless the writers before it are gone, as the user says with this one.
    TakenOver,
}

pub fn ddl(version: Version) -> Ddl {
    let columns = if version == Version::Wider { ", `x` int" } else { "" };
    let symbol = if matches!(version, Version::Rerouted | Version::TakenOver) { "/z" } else { "/s" };
    Ddl::parse(&TABLE.replace(" COLUMNS", columns).replace("SYMBOL", symbol)).unwrap()
}

/// One record of a log.
#[derive(Clone, Debug)]
pub struct Made {
    pub offset: i64,
    pub timestamp: i64,
    pub value: Option<String>,
    pub items: Vec<Item>,
}

/// A record, or an element of its array.
#[derive(Clone, Debug)]
pub struct Item {
    /// `-1`: the whole message.
    pub element: i32,
    pub fate: Fate,
    /// Folders below the table's: by the first DDL, and by one that routes otherwise; and below the rejected one's.
    pub partition: String,
    pub rerouted: String,
    pub rejected: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Row,
    /// A row of the first DDL, a rejected record of the wider one.
    RowOrRejected,
    Rejected,
    Skipped,
}

pub fn record(chance: &mut Chance, offset: i64, symbols: usize) -> Made {
    let day = usize::from(chance.happens(150));
    let timestamp = DAY + day as i64 * 86_400_000 + offset;
    let rejected = format!("date={}", DAYS[day]);
    let folder = |symbol: &str| format!("date={}/symbol={}", DAYS[day], symbol.replace('/', "%2F"));
    let item = |element, fate, [symbol, other]: [&str; 2]| Item {
        element,
        fate,
        partition: folder(symbol),
        rerouted: folder(other),
        rejected: rejected.clone(),
    };
    let made = |value: Option<String>, items| Made { offset, timestamp, value, items };
    match chance.between(0, 99) {
        0..=3 => made(None, vec![item(-1, Fate::Rejected, [""; 2])]),
        4..=7 => made(Some("{\"d\":".into()), vec![item(-1, Fate::Rejected, [""; 2])]),
        8..=54 => {
            let (text, fate, symbol) = element(chance, -1, symbols);
            made(Some(format!("{{\"d\":{text}}}")), vec![item(-1, fate, symbol)])
        }
        _ => {
            let count = chance.between(0, 4) as i32;
            let elements: Vec<_> = (0..count).map(|i| element(chance, i, symbols)).collect();
            let texts: Vec<&str> = elements.iter().map(|(text, ..)| text.as_str()).collect();
            let value = format!("{{\"d\":[{}]}}", texts.join(","));
            made(
                Some(value),
                (0..).zip(&elements).map(|(i, (_, fate, symbol))| item(i, *fate, *symbol)).collect(),
            )
        }
    }
}

fn element(chance: &mut Chance, i: i32, symbols: usize) -> (String, Fate, [&'static str; 2]) {
    let symbol = chance.pick(&SYMBOLS[..symbols]);
    let other = chance.pick(&SYMBOLS);
    let v = chance.between(0, 3); // few: ties show whether the sort keeps the order of arrival
    let (t, v, x, fate) = match chance.between(0, 99) {
        0..=9 => (2, v.to_string(), "1", Fate::Skipped),
        10..=16 => (1, "\"none\"".into(), "1", Fate::Rejected),
        17..=24 => (1, v.to_string(), "\"none\"", Fate::RowOrRejected),
        _ => (1, v.to_string(), "1", Fate::Row),
    };
    (format!(r#"{{"t":{t},"s":"{symbol}","z":"{other}","i":{i},"v":{v},"x":{x}}}"#), fate, [symbol, other])
}
