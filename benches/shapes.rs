//! The feeds that the benchmarks read: records as they come from Kafka, and the table that they are decoded for. Seeded.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use ticklake::kafka::{RecordSet, TopicPartition};
use ticklake::table::Ddl;

/// Records of one topic partition, of a table.
pub struct Shape {
    pub name: String,
    pub ddl: Ddl,
    pub records: RecordSet,
    /// Of all values.
    pub bytes: u64,
}

const DAYS: i64 = 2;
const DAY_MS: i64 = 86_400_000;
const FIRST_MS: i64 = 1_732_300_800_000;

impl Shape {
    fn new(name: impl Into<String>, ddl: &str, values: impl Iterator<Item = (String, String)>) -> Self {
        let ddl = Ddl::parse(ddl).expect("the DDL of a shape is right");
        let mut records = RecordSet::new(TopicPartition::new("ticks", 0), 1);
        let mut bytes = 0;
        for (offset, (key, value)) in values.enumerate() {
            bytes += value.len() as u64;
            records.push(offset as i64, Some(FIRST_MS), Some(key.as_bytes()), Some(value.as_bytes()));
        }
        Self { name: name.into(), ddl, records, bytes }
    }

    /// What `schemas/ticks.sql` is for: some 110 bytes, of so many symbols of Zipf-like popularity.
    pub fn ticks(count: usize, symbols: usize) -> Self {
        let values = each(count, symbols, |rng, symbol, ts, seq| {
            let cents = rng.random_range(22_900..23_100);
            let money = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
            format!(
                r#"{{"symbol":"{symbol}","ts":{ts},"price":{},"size":{},"bid":{},"ask":{},"exchange":"Q","seq":{seq}}}"#,
                money(cents),
                100 * rng.random_range(1..9),
                money(cents - 1),
                money(cents + 1),
            )
        });
        Self::new(format!("ticks, {symbols} symbols"), include_str!("../schemas/ticks.sql"), values)
    }

    /// A quote with a book in it: 26 columns by pointers into objects three deep, and fields that no column takes.
    pub fn wide(count: usize) -> Self {
        let levels = ["0", "1", "2", "3", "4"];
        let of_level = |level: &str, side: &str| {
            format!("`{side}{level}_price` decimal(18,4), `{side}{level}_size` bigint")
        };
        let columns: Vec<String> =
            levels.iter().flat_map(|level| [of_level(level, "bid"), of_level(level, "ask")]).collect();
        let sources: Vec<String> = levels
            .iter()
            .flat_map(|level| {
                ["bid", "ask"].map(|side| {
                    format!(
                        "'ticklake.source.{side}{level}_price' = '/data/book/l{level}/{side}/p', \
                         'ticklake.source.{side}{level}_size' = '/data/book/l{level}/{side}/s'"
                    )
                })
            })
            .collect();
        let ddl = format!(
            "CREATE EXTERNAL TABLE `m`.`books` (`ts` timestamp, `venue` string, `type` string, `trades` bigint, \
             `vwap` decimal(18,6), `open` boolean, {}) PARTITIONED BY (`date` string, `symbol` string) \
             STORED AS PARQUET TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)', \
             'ticklake.partition.symbol' = 'identity(/data/instrument/symbol)', 'ticklake.format.ts' = 'epoch_ms', \
             'ticklake.source.ts' = '/data/ts', 'ticklake.source.venue' = '/data/instrument/venue', \
             'ticklake.source.type' = '/type', 'ticklake.source.trades' = '/data/stats/trades', \
             'ticklake.source.vwap' = '/data/stats/vwap', 'ticklake.source.open' = '/data/stats/open', {})",
            columns.join(", "),
            sources.join(", ")
        );
        let values = each(count, 500, |rng, symbol, ts, seq| {
            let mut book = String::new();
            for level in levels {
                let mut side = || {
                    format!(
                        r#"{{"p":{}.{:02},"s":{},"n":{}}}"#,
                        rng.random_range(90..110),
                        rng.random_range(10..99),
                        rng.random_range(1..900),
                        rng.random_range(1..9)
                    )
                };
                let comma = if level == "0" { "" } else { "," };
                book += &format!(r#"{comma}"l{level}":{{"bid":{},"ask":{}}}"#, side(), side());
            }
            format!(
                r#"{{"type":"book","channel":"l2","data":{{"ts":{ts},"seq":{seq},"instrument":{{"symbol":"{symbol}","venue":"XNAS","currency":"USD"}},"book":{{{book}}},"stats":{{"trades":{},"vwap":{}.{:06},"open":true,"halted":false}}}}}}"#,
                rng.random_range(1..99_999),
                rng.random_range(90..110),
                rng.random_range(0..999_999),
            )
        });
        Self::new("wide nested", &ddl, values)
    }

    /// News: a text with escapes, as they come in other languages.
    pub fn escapes(count: usize) -> Self {
        let ddl = "CREATE EXTERNAL TABLE `m`.`news` (`ts` timestamp, `headline` string, `body` string, `url` string) \
                   PARTITIONED BY (`date` string, `symbol` string) STORED AS PARQUET TBLPROPERTIES \
                   ('ticklake.partition.date' = 'day(ts)', 'ticklake.partition.symbol' = 'identity(/symbol)', \
                   'ticklake.format.ts' = 'epoch_ms')";
        let values = each(count, 500, |rng, symbol, ts, seq| {
            format!(
                r#"{{"symbol":"{symbol}","ts":{ts},"headline":"\u00dcbernahme: \"{symbol}\" \u2013 {seq}","body":"Zeile {}\nund noch eine\t\\ mit \u20ac {} und \ud83d\ude00","url":"https:\/\/example.org\/n\/{seq}"}}"#,
                rng.random_range(0..1000),
                rng.random_range(0..1000),
            )
        });
        Self::new("escaped texts", ddl, values)
    }
}

/// Keys and values of so many records, in the order of their times.
fn each(
    count: usize,
    symbols: usize,
    mut value: impl FnMut(&mut StdRng, &str, i64, usize) -> String,
) -> impl Iterator<Item = (String, String)> {
    let mut rng = StdRng::seed_from_u64(7);
    let popularity = Zipf::new(symbols as f64, 1.0).expect("at least one symbol");
    (0..count).map(move |seq| {
        let rank = popularity.sample(&mut rng) as usize;
        let letter = |at: u32| char::from(b'A' + (rank / 26usize.pow(at) % 26) as u8);
        let symbol: String = (0..4).map(letter).collect();
        let ts = FIRST_MS + seq as i64 * DAYS * DAY_MS / count as i64;
        let value = value(&mut rng, &symbol, ts, seq);
        (symbol, value)
    })
}
