//! What is inferred from samples: types, times, what is traded, where records are; and the program that prints it.

use ticklake::infer::{Inferred, Wish, extend, infer, tally};
use ticklake::table::{Ddl, Spec};

fn wish() -> Wish {
    let name = "market.feed".parse().unwrap();
    Wish { name, structs: false, messages: None, only: None, records: None, symbol: None, time: None }
}

fn messages(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

fn inferred(lines: &[&str]) -> Inferred {
    infer(&messages(lines), &wish()).unwrap()
}

/// A column's type, with its format where it has one.
fn column(ddl: &Ddl, name: &str) -> String {
    let column = ddl.columns.iter().find(|column| column.name == name);
    let column = column.unwrap_or_else(|| panic!("no column {name} in {ddl}"));
    match ddl.property(&format!("ticklake.format.{name}")) {
        Some(format) => format!("{} {format}", column.column_type),
        None => column.column_type.to_string(),
    }
}

/// What the column `x` is where these are its values.
fn of_values(values: &[&str]) -> String {
    let lines: Vec<String> =
        values.iter().map(|value| format!("{{\"symbol\":\"A\",\"x\":{value}}}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let Inferred { ddl, tally, .. } = inferred(&lines);
    assert_eq!(tally.rows, values.len() as u64, "{values:?}");
    column(&ddl, "x")
}

#[test]
fn each_column_has_the_narrowest_type_that_holds_all() {
    for (values, column) in [
        (&["1", "2"][..], "bigint"),
        (&["1.0", "1e2"], "bigint"),
        (&["\"1\"", "2"], "bigint"),
        (&["1.5", "2", "\"100.25\""], "decimal(18,2)"),
        (&["16569.01000000"], "decimal(18,2)"),
        (&["0.000000000000000001", "0.5"], "decimal(18,18)"),
        (&["9223372036854775807"], "bigint"),
        (&["9223372036854775808", "1"], "decimal(38,0)"),
        (&["12345678901234567890.5"], "decimal(38,1)"),
        (&["1e-10", "1e20"], "decimal(38,10)"),
        (&["1e60", "1.5"], "double"),
        (&["1e400", "1.5"], "string"),
        (&["true", "false"], "boolean"),
        (&["true", "1", "0"], "boolean"),
        (&["true", "2"], "string"),
        (&["\"\"", "null", "7"], "bigint"),
        (&["null", "null"], "string"),
        (&["\"007\"", "\"12\""], "string"),
        (&["\"NaN\"", "1"], "string"),
        (&["{}"], "string"),
        (&["[]"], "array<string>"),
        (&["[1,2]", "[null]"], "array<bigint>"),
        (&["[[\"1.5\",\"2\"]]"], "array<array<decimal(18,1)>>"),
        (
            &["[{\"p\":1.5,\"Q\":\"a\"}]", "[{\"r\":true}]"],
            "array<struct<p:decimal(18,1),q:string,r:boolean>>",
        ),
        (&["[{\"p q\":1.5}]"], "array<map<string,decimal(18,1)>>"),
        (&["[1]", "{\"a\":1}"], "string"),
    ] {
        assert_eq!(of_values(values), column, "{values:?}");
    }
}

#[test]
fn times_are_known_by_their_form_and_numbers_by_their_name_too() {
    let of = |name: &str, values: &[&str]| {
        let lines: Vec<String> = values.iter().map(|value| format!("{{\"{name}\":{value}}}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let Inferred { ddl, tally, .. } = inferred(&lines);
        assert_eq!(tally.rows, values.len() as u64, "{values:?}");
        ddl
    };
    for (name, values, is) in [
        ("ts", &["1732300800", "1732300801.5"][..], "timestamp epoch_s"),
        ("ts", &["1732300800123"], "timestamp epoch_ms"),
        ("ts", &["\"1732300800123\"", "null"], "timestamp epoch_ms"),
        ("event_time", &["1732300800123456"], "timestamp epoch_us"),
        ("t", &["1732300800123456789"], "timestamp epoch_ns"),
        ("t", &["12345"], "bigint"),
        ("volume", &["1732300800123"], "bigint"),
        ("x", &["\"2026-11-22T13:30:00Z\"", "\"2026-11-22 13:30:00.5+01:00\""], "timestamp rfc3339"),
        ("x", &["\"2026-11-22\"", "\"2026-11-23\""], "date %Y-%m-%d"),
        ("x", &["\"2026-11-22\"", "\"2026-11-23T01:00\""], "timestamp rfc3339"),
        ("x", &["\"22.11.2026\""], "date %d.%m.%Y"),
        ("x", &["\"11/22/2026\"", "\"01/02/2026\""], "date %m/%d/%Y"),
        ("x", &["\"20261122-13:30:00.123\""], "timestamp %Y%m%d-%H:%M:%S%.f"),
        ("x", &["\"2026-11-22\"", "\"soon\""], "string"),
    ] {
        assert_eq!(column(&of(name, values), name), is, "{name} {values:?}");
    }
    let finer = of("ts", &["\"2026-11-22T13:30:00.123456Z\""]);
    assert_eq!(column(&finer, "ts_ns"), "bigint rfc3339");
    assert_eq!(finer.property("ticklake.sort"), Some("ts_ns"));
}

#[test]
fn the_day_is_of_the_event_and_the_symbol_is_a_folder() {
    let Inferred { ddl, notes, .. } = inferred(&[
        r#"{"e":"trade","E":1672515782136,"s":"BTCUSDT","t":12345,"p":"16569.01","T":1672515782134,"m":true}"#,
        r#"{"e":"trade","E":1672515782137,"s":"ETHUSDT","t":12346,"p":"1210.4","T":1672515782135,"m":false}"#,
    ]);
    assert_eq!(ddl.property("ticklake.partition.symbol"), Some("identity(/s)"));
    // `t` and `T` are two fields, and a name alone would be either.
    assert_eq!(ddl.property("ticklake.partition.date"), Some("day(t_2)"));
    assert_eq!(ddl.property("ticklake.source.t"), Some("/t"));
    assert_eq!(ddl.property("ticklake.source.t_2"), Some("/T"));
    assert_eq!(notes[0], "the event time is /T: by its name, and all its values are times");
    assert!(ddl.columns.iter().all(|column| column.name != "s"), "{ddl}");

    // What is no folder's name is no symbol; and then there is none.
    let Inferred { ddl, notes, tally } = inferred(&[r#"{"symbol":"A","x":1}"#, r#"{"symbol":"..","x":1}"#]);
    assert_eq!((ddl.partitioned_by.len(), tally.rows), (1, 2));
    assert_eq!(ddl.property("ticklake.partition.date"), Some("day(@timestamp)"));
    assert!(notes.iter().any(|note| note.contains("--symbol /FIELD")), "{notes:?}");
}

#[test]
fn records_within_a_message_are_found() {
    let kraken = r#"{"channel":"trade","data":[{"symbol":"BTC/USD","price":0.5117,"timestamp":"2023-09-25T07:49:37.7Z"}]}"#;
    let pong = r#"{"method":"pong","req_id":1}"#;
    let Inferred { ddl, tally, .. } = inferred(&[kraken, pong, kraken]);
    assert_eq!(ddl.property("ticklake.records"), Some("/data"));
    assert_eq!((tally.messages, tally.rows), (3, 2));
    assert_eq!(tally.rejected.keys().map(|(reason, _)| *reason).collect::<Vec<_>>(), ["no_records"]);
    let trades = Wish { messages: Some("/channel = \"trade\"".into()), ..wish() };
    let Inferred { ddl, tally, .. } = infer(&messages(&[kraken, pong, kraken]), &trades).unwrap();
    assert_eq!(ddl.property("ticklake.messages"), Some("/channel = \"trade\""));
    assert_eq!((tally.rows, tally.skipped, tally.rejected.len()), (2, 1, 0));

    let array = r#"[{"symbol":"A","ts":1732300800123},{"symbol":"B","ts":1732300800124}]"#;
    let Inferred { ddl, tally, .. } = inferred(&[array]);
    assert_eq!((ddl.property("ticklake.records"), tally.rows), (None, 2));
}

#[test]
fn a_wish_is_heard() {
    let lines = [
        r#"{"T":"t","S":"AAPL","at":"2026-11-22T13:30:00Z","got":"2026-11-22T13:30:01Z","o":{"a b":1,"c":2.5}}"#,
        r#"{"T":"q","S":"AAPL","at":"2026-11-22T13:30:00Z","bid":1.5}"#,
        r#"{"T":"success","msg":"connected"}"#,
    ];
    let of = |wish: Wish| infer(&messages(&lines), &wish);
    let only = of(Wish { only: Some("/T = \"t\"".into()), ..wish() }).unwrap();
    assert_eq!((only.tally.rows, only.tally.skipped), (1, 2));
    assert!(
        only.ddl.columns.iter().all(|column| column.name != "bid" && column.name != "msg"),
        "{}",
        only.ddl
    );
    assert_eq!(only.ddl.property("ticklake.source.o_a_b"), Some("/o/a b"));
    assert_eq!(only.ddl.property("ticklake.partition.date"), Some("day(at)"));

    let structs = of(Wish { structs: true, time: Some("/got".parse().unwrap()), ..wish() }).unwrap();
    assert_eq!(column(&structs.ddl, "o"), "map<string,decimal(18,1)>");
    assert_eq!(structs.ddl.property("ticklake.partition.date"), Some("day(got)"));

    let error = of(Wish { symbol: Some("/nothing".parse().unwrap()), ..wish() }).unwrap_err().to_string();
    assert!(error.contains("/nothing") && error.contains("/T"), "{error}");
    let error = of(Wish { time: Some("/T".parse().unwrap()), ..wish() }).unwrap_err().to_string();
    assert!(error.contains("no times"), "{error}");
    let error = of(Wish { only: Some("/T = \"x\"".into()), ..wish() }).unwrap_err().to_string();
    assert!(error.contains("no sample is a record that the condition matches"), "{error}");
    assert!(infer(&messages(&["7", "bad"]), &wish()).is_err());
}

#[test]
fn a_table_is_extended_by_what_is_new_in_its_feed() {
    let ddl = "CREATE EXTERNAL TABLE market.feed (ts timestamp, price decimal(18,2), quote struct<bid:int>)
        PARTITIONED BY (`date` string, symbol string) STORED AS PARQUET
        TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)', 'ticklake.partition.symbol' = 'identity(/S)',
          'ticklake.format.ts' = 'epoch_ms', 'ticklake.source.price' = '/p')";
    let ddl = Ddl::parse(ddl).unwrap();
    let line =
        |more: &str| format!(r#"{{"S":"A","TS":1732300800123,"p":1.5,"quote":{{"bid":1,"ask":2}}{more}}}"#);
    let samples = |more: &[&str]| more.iter().map(|more| line(more).into_bytes()).collect::<Vec<_>>();

    let same = extend(&samples(&["", ""]), &ddl, false).unwrap();
    assert_eq!(
        (&same.ddl, &same.notes[..]),
        (&ddl, &["the table takes something of every field".to_owned()][..])
    );

    let more = samples(&[r#","venue":"Q","sent":"2026-11-22T13:30:00Z","price":7"#, r#","p":1.125"#]);
    let Inferred { ddl: extended, notes, tally } = extend(&more, &ddl, false).unwrap();
    assert_eq!(
        notes,
        [
            "new: `venue` string, from /venue",
            "new: `sent` timestamp, from /sent",
            "new: `price_2` bigint, from /price",
            "1 samples are rejected by `price`, digits: decimal(18,3) would hold all of it",
        ]
    );
    assert_eq!((tally.rows, column(&extended, "sent")), (1, "timestamp rfc3339".to_owned()));
    assert_eq!(extended.columns[..3], ddl.columns[..]);
    let (old, new) = (Spec::from_ddl(&ddl).unwrap(), Spec::from_ddl(&extended).unwrap());
    assert!(new.adds_only_columns_to(&old), "what is there reads as before");
}

#[test]
fn comments_say_what_was_seen() {
    let Inferred { ddl, .. } = inferred(&[
        r#"{"symbol":"A","price":226.5,"note":"x","side":null}"#,
        r#"{"symbol":"A","price":231.25,"note":7}"#,
        r#"{"symbol":"A","note":[1]}"#,
        r#"{"symbol":"A","price":null,"note":"y"}"#,
    ]);
    let comment = |name: &str| ddl.columns.iter().find(|c| c.name == name).unwrap().comment.clone().unwrap();
    assert_eq!(comment("price"), "226.5 to 231.25; null in 50 %");
    assert_eq!(comment("note"), "mixed: 2 texts, 1 numbers, 1 arrays");
    assert_eq!(comment("side"), "no value was seen");
}

/// What the ready DDLs say of their feeds is found without them.
#[test]
fn the_feeds_of_the_ready_ddls_are_tables() {
    for (feed, symbol, day, records) in [
        ("binance_trades", "/s", "day(t_2)", None),
        ("binance_depth", "/s", "day(e_2)", None),
        ("binance_combined_trades", "/data/s", "day(data_t_2)", None),
        ("coinbase_ticker", "/product_id", "day(time)", None),
        ("kraken_trades", "/symbol", "day(timestamp)", Some("/data")),
        ("finnhub_trades", "/s", "day(t)", Some("/data")),
    ] {
        let file = format!("{}/tests/it/feeds/{feed}.ndjson", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        let Inferred { ddl, tally, .. } = inferred(&text.lines().collect::<Vec<_>>());
        assert_eq!(
            ddl.property("ticklake.partition.symbol"),
            Some(&*format!("identity({symbol})")),
            "{feed}"
        );
        assert_eq!(ddl.property("ticklake.partition.date"), Some(day), "{feed}");
        assert_eq!(ddl.property("ticklake.records"), records, "{feed}");
        let other = tally.rejected.keys().filter(|(reason, _)| *reason != "no_records").count();
        assert_eq!(other, 0, "{feed}: {tally:?}");
    }
}

#[test]
fn the_reference_file_is_a_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/samples/indexProcessed.csv");
    let records =
        ticklake::produce::first_records(&ticklake::produce::Source::Csv(file.into()), 10_000).unwrap();
    let Inferred { ddl, tally: found, .. } = infer(&records, &wish()).unwrap();
    assert_eq!(found.rows, records.len() as u64);
    assert_eq!(ddl.property("ticklake.partition.symbol"), Some("identity(/Index)"));
    assert_eq!(column(&ddl, "date_2"), "date %Y-%m-%d");
    assert_eq!(column(&ddl, "open"), "decimal(18,6)");
    assert_eq!(tally(&records, &ddl).unwrap(), found);
}
