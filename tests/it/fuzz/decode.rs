//! Records of every kind become what DECODING.md says: the decoder agrees with the reference, whatever it read before.

use proptest::prelude::*;
use ticklake::ingest::trial::{Outcome, trial};
use ticklake::kafka::{RecordSet, TopicPartition};
use ticklake::table::{Ddl, Spec};

use super::cases;
use super::cell::cell;
use super::json::{Json, changed, changes, records, styles, texts, values};
use super::reference::{Around, Fate, fates};

/// Of columns, of pointers, and of neither; some differ in case only.
const NAMES: [&str; 21] = [
    "a", "A", "b", "B", "c", "C", "d", "p", "a/b", "m~n", "x", "0", "é", "É", "s", "t", "T", "data", "\"q\\",
    "u", "",
];

/// Types, and what the DDL says of each beside.
const TYPES: [(&str, &str); 30] = [
    ("boolean", ""),
    ("tinyint", ""),
    ("smallint", ""),
    ("int", ""),
    ("bigint", ""),
    ("bigint", "epoch_ns"),
    ("bigint", "rfc3339"),
    ("decimal(1,0)", ""),
    ("decimal(5,2)", ""),
    ("decimal(18,0)", ""),
    ("decimal(18,4)", ""),
    ("decimal(18,18)", ""),
    ("decimal(19,1)", ""),
    ("decimal(38,0)", ""),
    ("decimal(38,10)", ""),
    ("decimal(38,38)", ""),
    ("float", ""),
    ("double", ""),
    ("string", ""),
    ("date", ""),
    ("date", "epoch_s"),
    ("timestamp", ""),
    ("timestamp", "epoch_s"),
    ("timestamp", "epoch_ms"),
    ("timestamp", "epoch_us"),
    ("array<decimal(38,10)>", ""),
    ("map<string,decimal(5,2)>", ""),
    ("map<string,array<string>>", ""),
    ("struct<a:int,b:array<string>,t:timestamp>", ""),
    ("array<struct<a:double,b:map<string,boolean>,s:string>>", ""),
];

const SOURCES: [&str; 16] =
    ["-", "-", "-", "-", "-", "/p", "/a/b", "/a~1b", "/m~0n", "/x/0", "/x/0/a", "/A", "/c", "/é", "", "/"];

const PARTITIONS: [&str; 10] = [
    "identity(/s)",
    "identity(/a)",
    "identity(/a/b)",
    "identity(a)",
    "identity(b)",
    "day(/t)",
    "hour(a)",
    "month(a)",
    "year(@timestamp)",
    "identity(@key)",
];

const AROUND: Around<'_> = Around {
    topic: "feed",
    partition: 3,
    offset: 17,
    timestamp: Some(1_795_354_200_000), // 2026-11-22T13:30:00Z
    key: Some(b"key"),
};

fn ddl(columns: &str, partitions: &str, properties: &str) -> Option<Ddl> {
    let text = format!(
        "CREATE EXTERNAL TABLE m.t ({columns}) PARTITIONED BY ({partitions}) STORED AS PARQUET TBLPROPERTIES ({properties})"
    );
    let ddl = Ddl::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    Spec::from_ddl(&ddl).is_ok().then_some(ddl)
}

/// A table of one column `c`.
fn table_of((column_type, format): (&str, &str)) -> Ddl {
    let format =
        if format.is_empty() { String::new() } else { format!(", 'ticklake.format.c' = '{format}'") };
    let properties = format!("'ticklake.partition.symbol' = 'identity(/s)'{format}");
    ddl(&format!("c {column_type}"), "symbol string", &properties).expect("a table")
}

fn tables() -> impl Strategy<Value = Ddl> {
    let column = (prop::sample::select(TYPES.to_vec()), prop::sample::select(SOURCES.to_vec()));
    let columns = prop::collection::vec(column, 1..4);
    let partitions = prop::collection::vec(prop::sample::select(PARTITIONS.to_vec()), 1..3);
    let property = |name: &'static str, values: &'static [&'static str]| {
        let value = prop::option::weighted(0.3, prop::sample::select(values));
        value.prop_map(move |value| value.map(|value| format!("'ticklake.{name}' = '{value}'")))
    };
    let rest = (
        property("records", &["/data", "/x/0", "/data/c"]),
        property("only", &["/T = \"t\"", "/T = 1", "/T = null", "/T = true", "/x/0 = 1.50", " = 7"]),
        property("messages", &["/T = \"t\"", "/data/T = null", "/0/T = 1", " = 7"]),
        property("null_partition", &["reject"]),
        property("timezone", &["America/New_York", "Pacific/Kiritimati", "Africa/Monrovia"]),
    );
    (columns, partitions, rest).prop_filter_map("no table", |(columns, partitions, rest)| {
        let mut properties: Vec<String> = [rest.0, rest.1, rest.2, rest.3].into_iter().flatten().collect();
        let mut typed = Vec::new();
        for ((name, (column_type, format)), source) in
            ["a", "b", "c"].iter().zip(columns.iter().map(|c| c.0)).zip(columns.iter().map(|c| c.1))
        {
            typed.push(format!("{name} {column_type}"));
            if source != "-" {
                properties.push(format!("'ticklake.source.{name}' = '{source}'"));
            }
            if !format.is_empty() {
                properties.push(format!("'ticklake.format.{name}' = '{format}'"));
            }
        }
        let named: Vec<(usize, &&str)> = partitions.iter().enumerate().collect();
        properties.extend(named.iter().map(|(i, of)| format!("'ticklake.partition.p{i}' = '{of}'")));
        let partitions: Vec<String> = named.iter().map(|(i, _)| format!("p{i} string")).collect();
        ddl(&typed.join(", "), &partitions.join(", "), &properties.join(", "))
    })
}

/// Messages of records: one, an array, and either below a field.
fn messages() -> impl Strategy<Value = Json> {
    let field = |name: &str, value| Json::Object(vec![(name.to_owned(), value)]);
    let records = || records(&NAMES);
    let many = || {
        prop::collection::vec(prop_oneof![8 => records(), 1 => values(&NAMES)], 0..4).prop_map(Json::Array)
    };
    prop_oneof![
        6 => records(),
        2 => many(),
        1 => prop_oneof![records().boxed(), many().boxed()].prop_map(move |value| field("data", value)),
        1 => many().prop_map(move |value| field("x", Json::Array(vec![value]))),
        1 => values(&NAMES),
    ]
}

/// What the program makes of messages; no table here asks for their offsets.
fn decoded(ddl: &Ddl, messages: &[Option<&[u8]>]) -> Vec<Outcome> {
    let mut records = RecordSet::new(TopicPartition::new(AROUND.topic, AROUND.partition), 1);
    for (offset, message) in (AROUND.offset..).zip(messages) {
        records.push(offset, AROUND.timestamp, AROUND.key, *message);
    }
    trial(ddl, &records).expect("a trial fails at no record")
}

fn check(ddl: &Ddl, message: &[u8]) -> Result<(), TestCaseError> {
    let spec = Spec::from_ddl(ddl).expect("a table");
    let got = decoded(ddl, &[Some(message)]);
    let want = fates(&spec, &AROUND, Some(message));
    let text = || format!("{}\n{ddl}\ngot  {got:?}\nwant {want:?}", String::from_utf8_lossy(message));
    prop_assert_eq!(got.len(), want.len(), "{}", text());
    for (got, want) in got.iter().zip(&want) {
        let same = match (got, want) {
            (Outcome::Skipped, Fate::Skipped) => true,
            (Outcome::Rejected { reason, column }, Fate::Rejected { reasons, column: wanted }) => {
                reasons.contains(reason) && column == wanted
            }
            (Outcome::Row { partition, row }, Fate::Row { partition: wanted, cells }) => {
                let got: Vec<_> = row.columns().iter().map(|column| cell(column, 0)).collect();
                partition == wanted && got == *cells
            }
            _ => false,
        };
        prop_assert!(same, "{}", text());
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_value_becomes_what_is_written(
        of in prop::sample::select(TYPES.to_vec()), value in values(&NAMES), style in styles(),
    ) {
        let record = Json::Object(vec![("c".to_owned(), value)]);
        check(&table_of(of), record.print(&style).as_bytes())?;
    }

    #[test]
    fn a_partition_is_the_text_of_its_value(symbol in texts(), reject: bool) {
        let reject = if reject { ", 'ticklake.null_partition' = 'reject'" } else { "" };
        let properties = format!("'ticklake.partition.symbol' = 'identity(/s)'{reject}");
        let record = Json::Object(vec![("s".to_owned(), Json::Text(symbol))]);
        check(&ddl("c int", "symbol string", &properties).expect("a table"), record.print(&[0]).as_bytes())?;
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_message_has_the_fate_that_is_written(table in tables(), message in messages(), style in styles()) {
        check(&table, message.print(&style).as_bytes())?;
    }

    #[test]
    fn a_damaged_message_has_the_fate_that_is_written(
        table in tables(), message in messages(), style in styles(), changes in changes(),
    ) {
        check(&table, &changed(message.print(&style).as_bytes(), &changes))?;
    }

    #[test]
    fn any_bytes_have_the_fate_that_is_written(
        table in tables(),
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            r#"[\[\]{}:,"ac0-2.eE+\-\\untrfls \u{e9}]{0,30}"#.prop_map(String::into_bytes),
            (0usize..140, "[\\[{]", "[\\]}]").prop_map(|(n, open, close)| {
                format!("{{\"c\":{}1{}}}", open.repeat(n), close.repeat(n)).into_bytes()
            }),
        ],
    ) {
        check(&table, &bytes)?;
    }

    /// The decoder expects the fields in the order it saw last: here the order, the names and the values change all the
    /// time, and no record may tell.
    #[test]
    fn a_fate_does_not_depend_on_the_records_before(
        table in tables(),
        fields in prop::collection::vec((prop::sample::select(NAMES.to_vec()), values(&NAMES)), 1..6),
        turns in prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..8), styles(), prop::option::weighted(0.2, changes())), 2..10),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        // Records of the same few fields, in any order, some of them left out, doubled, spelled otherwise or damaged.
        let messages: Vec<Vec<u8>> = turns.iter().map(|(picked, style, damage)| {
            let picked = picked.iter().map(|at| at.get(&fields)).map(|(name, value)| ((*name).to_owned(), value.clone()));
            let text = Json::Object(picked.collect()).print(style).into_bytes();
            damage.as_ref().map_or(text.clone(), |changes| changed(&text, changes))
        }).collect();
        let alone: Vec<Vec<Outcome>> = messages.iter().map(|message| decoded(&table, &[Some(message)])).collect();
        let order: Vec<usize> = (0..messages.len()).chain(order.iter().map(|at| at.index(messages.len()))).collect();
        let together: Vec<Option<&[u8]>> = order.iter().map(|at| Some(messages[*at].as_slice())).collect();
        let want: Vec<Outcome> = order.iter().flat_map(|at| alone[*at].clone()).collect();
        prop_assert_eq!(decoded(&table, &together), want, "{}", table);
        for message in &messages {
            check(&table, message)?;
        }
    }

    /// Patterns are a user's, and the texts that they read a feed's.
    #[test]
    fn no_pattern_of_a_time_panics(
        pattern in prop_oneof!["(%[-_0]?[a-zA-Z+%:.#3689f]|[ -~]){0,6}", "%Y-%m-%d(%[-_0]?[a-zA-Z+:.#3689f]|[ -~]){0,3}"],
        text in texts(),
    ) {
        let properties = format!(
            "'ticklake.partition.symbol' = 'identity(/s)', 'ticklake.format.c' = '{}'",
            pattern.replace('\\', "\\\\").replace('\'', "\\'")
        );
        if let Some(table) = ddl("c timestamp", "symbol string", &properties) {
            let record = Json::Object(vec![("c".to_owned(), Json::Text(text))]);
            decoded(&table, &[Some(record.print(&[0]).as_bytes())]);
        }
    }
}

#[test]
fn a_tombstone_and_an_empty_value_are_not_the_same() {
    let (table, reason) = (table_of(("int", "")), |outcomes: Vec<Outcome>| match &outcomes[..] {
        [Outcome::Rejected { reason, .. }] => *reason,
        other => panic!("{other:?}"),
    });
    assert_eq!(reason(decoded(&table, &[None])), "tombstone");
    assert_eq!(reason(decoded(&table, &[Some(b"")])), "empty");
}
