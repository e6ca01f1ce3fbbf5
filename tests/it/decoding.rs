//! What DECODING.md says of each kind of record, line by line: a record in, its partition and values or its reason out.

use ticklake::ingest::trial::{Outcome, trial};
use ticklake::kafka::{RecordSet, TopicPartition};
use ticklake::table::Ddl;

use crate::feeds::values;

/// 2026-11-22T13:30:00Z, in the formats' units.
const TIME_S: i64 = 1_795_354_200;
const LONG: &str =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A table of one column `c`, in partitions `date=/symbol=` of the Kafka timestamp and of the field `sym`.
fn table(column_type: &str, properties: &str) -> Ddl {
    Ddl::parse(&format!(
        "CREATE EXTERNAL TABLE m.t (c {column_type}) PARTITIONED BY (`date` string, symbol string) STORED AS PARQUET \
         TBLPROPERTIES ('ticklake.partition.date' = 'day(@timestamp)', \
         'ticklake.partition.symbol' = 'identity(/sym)'{properties})"
    ))
    .unwrap()
}

fn outcomes(ddl: &Ddl, values: &[Option<&[u8]>]) -> Vec<Outcome> {
    let mut records = RecordSet::new(TopicPartition::new("feed", 3), 1);
    for (offset, value) in values.iter().enumerate() {
        records.push(offset as i64, Some(TIME_S * 1000), Some(b"key"), *value);
    }
    trial(ddl, &records).unwrap()
}

/// `PARTITION | VALUES`, `skipped`, or `REASON COLUMN` of each record in a message; the date is left out.
fn fates(ddl: &Ddl, message: Option<&[u8]>) -> Vec<String> {
    let print = |outcome: Outcome| match outcome {
        Outcome::Row { partition, row } => {
            let partition = partition.strip_prefix("date=2026-11-22/").unwrap_or(&partition).to_owned();
            format!("{partition} | {}", values(&row))
        }
        Outcome::Skipped => "skipped".to_owned(),
        Outcome::Rejected { reason, column } => format!("{reason} {}", column.unwrap_or_default()),
    };
    outcomes(ddl, &[message]).into_iter().map(print).collect()
}

fn fate(ddl: &Ddl, message: &str) -> String {
    fates(ddl, Some(message.as_bytes())).join("; ")
}

/// What the value of the field `c` becomes in a column of a type: its JSON, or the reason.
fn becomes(ddl: &Ddl, value: &str) -> String {
    let fate = fate(ddl, &format!(r#"{{"sym":"A","c":{value}}}"#));
    match fate.strip_prefix("symbol=A | {\"c\":").and_then(|values| values.strip_suffix('}')) {
        Some(value) => value.to_owned(),
        None => fate.strip_suffix(" c").unwrap_or(&fate).to_owned(),
    }
}

#[test]
fn messages() {
    let ddl = table("int", "");
    for (message, want) in [
        (r#"{"sym":"A","c":1}"#, r#"symbol=A | {"c":1}"#),
        (" {\"sym\" : \"A\" ,\n\"c\" : 1 }\r\n", r#"symbol=A | {"c":1}"#),
        (
            r#"[{"sym":"A","c":1},{"sym":"B","c":"x"},7]"#,
            r#"symbol=A | {"c":1}; not_a_number c; not_an_object "#,
        ),
        ("[]", "skipped"),
        ("null", "skipped"),
        ("7", "not_an_object "),
        (r#""text""#, "not_an_object "),
        ("", "empty "),
        (" \n", "empty "),
        ("{", "malformed "),
        (r#"{"c":NaN}"#, "malformed "),
        (r#"{"c":01}"#, "malformed "),
        (r#"{"c":1,}"#, "malformed "),
        (r#"{"other":"\ud800"}"#, "malformed "),
        (r#"{"c":1}x"#, "malformed "),
        (r#"{"c":1}{"c":2}"#, "malformed "),
        (r#"[{"sym":"A","c":1},{"#, "malformed "),
        ("{\"c\":\"a\nb\"}", "malformed "),
        ("\u{feff}{\"sym\":\"A\",\"c\":1}", r#"symbol=A | {"c":1}"#),
        ("\0\0\0\0\u{2a}{\"sym\":\"A\",\"c\":1}", r#"symbol=A | {"c":1}"#),
        ("\0\0\0\0\u{2a}\u{feff}[]", "skipped"),
        ("\0\0\0\0\u{2a}", "empty "),
        ("\u{feff}", "empty "),
        ("\0\0\0\0", "malformed "),
        ("{\"sym\":\"A\"}\u{feff}", "malformed "),
    ] {
        assert_eq!(fate(&ddl, message), want, "{message}");
    }
    assert_eq!(fates(&ddl, None), ["tombstone "]);
    assert_eq!(fates(&ddl, Some(b"{\"c\":\"\xff\"}")), ["invalid_utf8 "]);
    // The schema's number is no text.
    assert_eq!(fates(&ddl, Some(b"\0\xff\xff\xff\xff{\"sym\":\"A\",\"c\":1}")), [r#"symbol=A | {"c":1}"#]);
    // Also in what no column takes.
    assert_eq!(fate(&ddl, r#"{"c":1,"x":{"\q":1}}"#), "malformed ");
    // What would take a thousand times its text.
    let rows = format!("[{}]", vec!["{}"; 10_000_000].join(","));
    assert_eq!(fate(&ddl, &rows), "too_large ");
    let nested = |depth: usize| format!(r#"{{"c":1,"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(fate(&ddl, &nested(63)), r#"symbol=__HIVE_DEFAULT_PARTITION__ | {"c":1}"#);
    assert_eq!(fate(&ddl, &nested(64)), "too_deep ");
}

#[test]
fn records_in_a_message() {
    let at_data = table("int", ", 'ticklake.records' = '/data'");
    for (message, want) in [
        (r#"{"data":{"sym":"A","c":1}}"#, r#"symbol=A | {"c":1}"#),
        (r#"{"data":[{"sym":"A","c":1},{"sym":"B","c":2}]}"#, r#"symbol=A | {"c":1}; symbol=B | {"c":2}"#),
        (r#"{"data":[]}"#, "skipped"),
        (r#"{"data":null}"#, "skipped"),
        (r#"{"result":null}"#, "no_records "),
    ] {
        assert_eq!(fate(&at_data, message), want, "{message}");
    }
    let only = table("int", ", 'ticklake.records' = '/data', 'ticklake.only' = '/T = \"t\"'");
    for (message, want) in [
        (
            r#"{"data":[{"T":"t","sym":"A","c":1},{"T":"q","c":"bad"},{"c":1}]}"#,
            r#"symbol=A | {"c":1}; skipped; skipped"#,
        ),
        (r#"{"result":null}"#, "skipped"),
    ] {
        assert_eq!(fate(&only, message), want, "{message}");
    }
}

#[test]
fn fields() {
    let by_name = table("int", "");
    let by_pointer = table("int", ", 'ticklake.source.c' = '/p'");
    let through = table("int", ", 'ticklake.source.c' = '/a/p'");
    for (ddl, message, want) in [
        (&by_name, r#"{"x":{"c":9},"C":1}"#, "1"),
        (&by_name, r#"{"c":1,"C":2}"#, "1"),
        (&by_name, r#"{"C":2,"c":1}"#, "1"),
        (&by_name, r#"{"c":1,"c":2}"#, "2"),
        (&by_name, r#"{"c":"bad","c":2}"#, "2"),
        (&by_name, r#"{"\u0063":3}"#, "3"),
        (&by_name, r#"{}"#, "null"),
        (&by_name, r#"{"c":null}"#, "null"),
        (&by_name, r#"{"c":""}"#, "null"),
        (&by_pointer, r#"{"P":1,"c":2}"#, "null"),
        (&by_pointer, r#"{"P":1,"p":3}"#, "3"),
        (&through, r#"{"a":{"p":1}}"#, "1"),
        (&through, r#"{"a":{"p":1},"a":{}}"#, "null"),
        (&through, r#"{"a":{"p":1},"a":7}"#, "null"),
        (&through, r#"{"a":{},"a":{"p":2}}"#, "2"),
        (&through, r#"{"a":[{"p":2}]}"#, "null"),
    ] {
        let want = format!("symbol=__HIVE_DEFAULT_PARTITION__ | {{\"c\":{want}}}");
        assert_eq!(fate(ddl, message), want, "{message}");
    }
}

/// What was seen before changes nothing: each record alone and after any of the others.
#[test]
fn a_fate_does_not_depend_on_other_records() {
    let ddl = table("string", "");
    let long = format!(r#"{{"{}":0,"sym":"A","c":"9"}}"#, "n".repeat(300));
    let messages: [&[u8]; 16] = [
        long.as_bytes(),
        br#"{"sym":"A","c":"1"}"#,
        br#"{"c":"2","sym":"B"}"#,
        br#"{"sym":"A","C":"3"}"#,
        br#"{"sym" :"A","c":"4"}"#,
        br#"{"sym":"A","c":"5","C":"6"}"#,
        br#"{"sym":"A","cc":"7"}"#,
        br#"{"sym":"A","\u0063":"8"}"#,
        br#"{"sym":"A","c"}"#,
        br#"{ "sym": "A", "c": "10" }"#,
        br#"{ "sym":  "A" ,"c":   "11"}"#,
        br#"{"sym":"A","c":"12",}"#,
        br#"{"sym":"A" "c":"13"}"#,
        br#"{,"sym":"A","c":"14"}"#,
        br#"{"sym":"A","c":"15"}}"#,
        br#"{}"#,
    ];
    for first in messages {
        for second in messages {
            let both = outcomes(&ddl, &[Some(first), Some(second), Some(first)]);
            let alone = |message| outcomes(&ddl, &[Some(message)]).remove(0);
            assert_eq!(both, [alone(first), alone(second), alone(first)]);
        }
    }
}

/// A line each: the column's type, then values and what they become.
#[test]
fn values_of_each_type() {
    for (column_type, cases) in [
        (
            "boolean",
            &[
                ("true", "true"),
                ("false", "false"),
                ("0", "false"),
                ("1", "true"),
                (r#""true""#, "true"),
                (r#""0""#, "false"),
                ("2", "wrong_type"),
                (r#""yes""#, "wrong_type"),
                ("[]", "wrong_type"),
            ][..],
        ),
        ("tinyint", &[("-128", "-128"), ("128", "out_of_range")]),
        ("smallint", &[("32767", "32767"), ("-32769", "out_of_range")]),
        (
            "int",
            &[
                ("100", "100"),
                (r#""100""#, "100"),
                (r#""+0100""#, "100"),
                ("1.0", "1"),
                ("1e2", "100"),
                ("-0", "0"),
                ("1.5", "digits"),
                ("2147483648", "out_of_range"),
                (r#""many""#, "not_a_number"),
                (r#"" 1""#, "not_a_number"),
                ("true", "wrong_type"),
                ("[1]", "wrong_type"),
                ("{}", "wrong_type"),
            ],
        ),
        (
            "bigint",
            &[
                ("9223372036854775807", "9223372036854775807"),
                ("-9223372036854775808", "-9223372036854775808"),
                ("9223372036854775808", "out_of_range"),
                ("1e400", "out_of_range"),
                ("0e999999999999", "0"),
            ],
        ),
        (
            "decimal(18,4)",
            &[
                ("229.87", r#""229.8700""#),
                (r#""229.87""#, r#""229.8700""#),
                ("1.50000000", r#""1.5000""#),
                ("2.2987e2", r#""229.8700""#),
                ("-0.0001", r#""-0.0001""#),
                ("99999999999999.9999", r#""99999999999999.9999""#),
                ("100000000000000", "out_of_range"),
                ("1.00005", "digits"),
                (r#""NaN""#, "not_a_number"),
                ("true", "wrong_type"),
            ],
        ),
        (
            "decimal(38,10)",
            &[
                ("1234567890123456789012345678.0123456789", r#""1234567890123456789012345678.0123456789""#),
                ("12345678901234567890123456789", "out_of_range"),
            ],
        ),
        ("float", &[("0.1", "0.1"), ("1e39", "out_of_range"), (r#""NaN""#, "not_a_number")]),
        (
            "double",
            &[
                ("0.1", "0.1"),
                (r#""1e3""#, "1000.0"),
                ("1e400", "out_of_range"),
                (r#""Infinity""#, "not_a_number"),
                (r#""1.""#, "not_a_number"),
                (r#""-.5e1""#, "not_a_number"),
                (r#""+01.5""#, "1.5"),
                (r#""""#, "null"),
            ],
        ),
        (
            "string",
            &[
                (r#""x""#, r#""x""#),
                (r#""""#, r#""""#),
                (r#""\u00e9\n\"""#, r#""é\n\"""#),
                ("1.50", r#""1.50""#),
                ("true", r#""true""#),
                (r#"{ "a": [1] }"#, r#""{ \"a\": [1] }""#),
                ("null", "null"),
            ],
        ),
        (
            "date",
            &[
                (r#""2026-11-22""#, r#""2026-11-22""#),
                (r#""2026-02-29""#, "not_a_time"),
                (r#""22.11.2026""#, "not_a_time"),
            ],
        ),
        (
            "timestamp",
            &[
                (r#""2026-11-22T13:30:00.123456789+01:00""#, r#""2026-11-22T12:30:00.123Z""#),
                (r#""2026-11-22 13:30""#, r#""2026-11-22T13:30:00.000Z""#),
                (r#""2026-11-22""#, r#""2026-11-22T00:00:00.000Z""#),
                (r#""2016-12-31T23:59:60Z""#, r#""2017-01-01T00:00:00.000Z""#),
                (r#""0000-12-31""#, "out_of_range"),
                ("1795354200", "not_a_time"),
                ("true", "wrong_type"),
            ],
        ),
        (
            "array<int>",
            &[
                ("[1,null,\"2\"]", "[1,null,2]"),
                ("[]", "[]"),
                ("[1.5]", "digits"),
                ("1", "wrong_type"),
                ("{}", "wrong_type"),
            ],
        ),
        (
            "map<string,decimal(5,2)>",
            &[
                ("{}", "{}"),
                (r#"{"a":[]}"#, "wrong_type"),
                (r#"{"a":1.005}"#, "digits"),
                (r#"{"a":1.005,"a":null}"#, r#"{"a":null}"#),
                ("[]", "wrong_type"),
            ],
        ),
        ("map<string,int>", &[(r#"{"b":1,"a":2,"b":3}"#, r#"{"a":2,"b":3}"#)]),
        (
            "struct<a:int,b:array<string>>",
            &[
                (r#"{"b":["x"],"a":1,"z":0}"#, r#"{"a":1,"b":["x"]}"#),
                (r#"{"A":1}"#, r#"{"a":1,"b":null}"#),
                (r#"{"A":1,"a":2,"A":3}"#, r#"{"a":2,"b":null}"#),
                (r#"{"a":"x"}"#, "not_a_number"),
                ("[]", r#"{"a":null,"b":null}"#),
                (r#"["7",["x"],"and more"]"#, r#"{"a":7,"b":["x"]}"#),
                (r#"[null,null]"#, r#"{"a":null,"b":null}"#),
                (r#"["x"]"#, "not_a_number"),
                ("7", "wrong_type"),
            ],
        ),
        (
            "array<struct<price:decimal(18,8),qty:decimal(18,8)>>",
            &[(
                r#"[["231.10","5"],{"price":231.2,"qty":7}]"#,
                r#"[{"price":231.1,"qty":5.0},{"price":231.2,"qty":7.0}]"#,
            )],
        ),
    ] {
        let ddl = table(column_type, "");
        for (value, want) in cases {
            assert_eq!(becomes(&ddl, value), *want, "{column_type}: {value}");
        }
    }
}

#[test]
fn formats_of_times() {
    let noon = r#""2026-11-22T13:30:00.000Z""#;
    for (column_type, format, value, want) in [
        ("timestamp", "epoch_s", "1795354200", noon),
        ("timestamp", "epoch_ms", "1795354200000", noon),
        ("timestamp", "epoch_ms", r#""1795354200000""#, noon),
        ("timestamp", "epoch_us", "1795354200000000", noon),
        ("timestamp", "epoch_ns", "1795354200000000999", noon),
        ("timestamp", "epoch_s", "1795354200.0009", noon),
        ("timestamp", "epoch_s", "-0.0001", r#""1969-12-31T23:59:59.999Z""#),
        ("timestamp", "epoch_ms", "1e300", "out_of_range"),
        ("timestamp", "epoch_ms", "253402300800000", "out_of_range"),
        ("timestamp", "epoch_ms", r#""2026-11-22""#, "not_a_time"),
        ("timestamp", "%d.%m.%Y %H:%M:%S", r#""22.11.2026 13:30:00""#, noon),
        ("timestamp", "%d.%m.%Y %H:%M:%S", r#""22.11.2026""#, "not_a_time"),
        ("bigint", "rfc3339", r#""2026-11-22T13:30:00.123456789Z""#, "1795354200123456789"),
        ("bigint", "rfc3339", r#""2300-01-01T00:00:00Z""#, "out_of_range"),
        ("date", "epoch_s", "1795354200", r#""2026-11-22""#),
        ("date", "%m/%d/%Y", r#""11/22/2026""#, r#""2026-11-22""#),
    ] {
        let ddl = table(column_type, &format!(", 'ticklake.format.c' = '{format}'"));
        assert_eq!(becomes(&ddl, value), want, "{column_type} {format}: {value}");
    }
}

#[test]
fn what_surrounds_a_record() {
    for (column_type, source, want) in [
        ("string", "@key", r#""key""#),
        ("string", "@topic", r#""feed""#),
        ("int", "@partition", "3"),
        ("bigint", "@offset", "0"),
        ("timestamp", "@timestamp", r#""2026-11-22T13:30:00.000Z""#),
        ("bigint", "@timestamp", "1795354200000"),
        ("string", "@headers.none", "null"),
    ] {
        let ddl = table(column_type, &format!(", 'ticklake.source.c' = '{source}'"));
        assert_eq!(becomes(&ddl, "9"), want, "{source}");
    }
}

/// As the engines' own ROUND has it.
#[test]
fn decimals_are_rounded_where_the_ddl_says_so() {
    for (column_type, value, want) in [
        ("decimal(5,2)", "1.234", "1.23"),
        ("decimal(5,2)", "1.235", "1.24"),
        ("decimal(5,2)", "-1.235", "-1.24"),
        ("decimal(5,2)", "\"1.2349999\"", "1.23"),
        ("decimal(5,2)", "0.004", "0.00"),
        ("decimal(5,2)", "0.005", "0.01"),
        ("decimal(5,2)", "5e-3", "0.01"),
        ("decimal(5,2)", "1e-30", "0.00"),
        ("decimal(5,2)", "1.5", "1.50"),
        ("decimal(5,2)", "999.994", "999.99"),
        ("decimal(5,2)", "999.995", "out_of_range"),
        ("decimal(5,2)", "\"x\"", "not_a_number"),
        ("decimal(38,2)", "12345678901234567890.125", "12345678901234567890.13"),
        ("decimal(38,0)", "99999999999999999999999999999999999999.5", "out_of_range"),
        ("decimal(38,0)", "999999999999999999999999999999999999999.5", "out_of_range"),
    ] {
        let ddl = table(column_type, ", 'ticklake.format.c' = 'rounded'");
        assert_eq!(becomes(&ddl, value).trim_matches('"'), want, "{column_type} {value}");
    }
}

#[test]
fn partitions() {
    let ddl = table("int", "");
    let strict = table("int", ", 'ticklake.null_partition' = 'reject'");
    let null = "symbol=__HIVE_DEFAULT_PARTITION__";
    let long = format!("\"{LONG}{LONG}{}\"", &LONG[..47]);
    let longest = format!("\"{LONG}{LONG}{}\"", &LONG[..48]);
    let too_long = format!("\"{LONG}{LONG}{}\"", &LONG[..49]);
    let long_path = format!("symbol={LONG}{LONG}{}", &LONG[..47]);
    let longest_path = format!("symbol={LONG}{LONG}{}", &LONG[..48]);
    for (value, want) in [
        (r#""AAPL""#, "symbol=AAPL"),
        (r#""BRK/B""#, "symbol=BRK%2FB"),
        (r#""BRK.B""#, "symbol=BRK.B"),
        (r#""^GSPC""#, "symbol=%5EGSPC"),
        (r#""ES=F""#, "symbol=ES%3DF"),
        (r#""EUR:USD""#, "symbol=EUR%3AUSD"),
        (r#""x y%""#, "symbol=x y%25"),
        (r#""€""#, "symbol=€"),
        ("42", "symbol=42"),
        ("true", "symbol=true"),
        ("null", null),
        (r#""""#, null),
        (r#"".""#, "invalid_partition symbol"),
        (r#""..""#, "invalid_partition symbol"),
        (r#""\u0000""#, "invalid_partition symbol"),
        (r#""__HIVE_DEFAULT_PARTITION__""#, "invalid_partition symbol"),
        (&long, &long_path),
        (&longest, &longest_path),
        (&too_long, "invalid_partition symbol"),
    ] {
        let fate = fate(&ddl, &format!(r#"{{"sym":{value},"c":1}}"#));
        assert_eq!(fate.strip_suffix(" | {\"c\":1}").unwrap_or(&fate), want, "{value}");
    }
    for message in [r#"{"c":1}"#, r#"{"sym":null,"c":1}"#, r#"{"sym":"","c":1}"#] {
        assert_eq!(fate(&strict, message), "null_partition symbol", "{message}");
    }
}

#[test]
fn nested_values_have_a_limit_of_parts() {
    let fields: Vec<String> = (0..100).map(|i| format!("f{i}:int")).collect();
    let ddl = table(&format!("array<struct<{}>>", fields.join(",")), "");
    let of = |elements: usize| format!("[{}]", vec!["{}"; elements].join(","));
    assert_eq!(becomes(&ddl, &of(20_000)), "too_large");
    assert!(becomes(&ddl, &of(100)).starts_with(r#"[{"f0":null"#));
}

#[test]
fn a_map_of_a_megabyte_is_a_value_as_any() {
    let entries: Vec<String> = (0..100_000).map(|i| format!("\"k{i}\":{i}")).collect();
    let map = format!(r#"{{"sym":"A","c":{{{}}}}}"#, entries.join(","));
    let fates = outcomes(&table("map<string,int>", ""), &[Some(map.as_bytes())]);
    assert!(matches!(fates[..], [Outcome::Row { .. }]));
}
