//! A DDL's properties in; where columns and partitions come from, or a message with its line, out.

use ticklake::table::pointer::Pointer;
use ticklake::table::spec::{
    Compression, Format, NullPartition, Only, PartitionSource, Scalar, Source, SpecColumn, Transform,
};
use ticklake::table::{Ddl, Spec};

/// A table of many types with the properties that every one of these tests needs; those of a test begin on line 12.
fn ddl(properties: &str) -> Ddl {
    let text = format!(
        "CREATE EXTERNAL TABLE market.ticks (
           ts timestamp, day date, ts_ns bigint, seq int, price decimal(18,4), rate double, ok boolean,
           sym string, raw string, conditions array<string>, quote struct<bid:double,at:timestamp>, extra map<string,int>
         )
         PARTITIONED BY (`date` string, symbol string)
         STORED AS PARQUET
         LOCATION 's3://bucket/ticks/'
         TBLPROPERTIES (
           'classification' = 'parquet',
           'ticklake.partition.symbol' = 'identity(/sym)',
           'ticklake.partition.date' = 'day(ts)'{}{properties}
         )",
        if properties.is_empty() { "" } else { ",\n" }
    );
    Ddl::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn spec(properties: &str) -> Spec {
    Spec::from_ddl(&ddl(properties)).unwrap_or_else(|e| panic!("{e}\n{properties}"))
}

fn refusal(ddl: &Ddl) -> String {
    Spec::from_ddl(ddl).expect_err(&ddl.to_string()).to_string()
}

fn column<'a>(spec: &'a Spec, name: &str) -> &'a SpecColumn {
    spec.columns.iter().find(|c| c.column.name == name).unwrap()
}

fn pointer(text: &str) -> Pointer {
    text.parse().unwrap()
}

#[test]
fn without_further_properties_there_are_defaults() {
    let spec = spec("");
    assert_eq!(spec.timezone, chrono_tz::UTC);
    assert!(spec.records.is_root());
    assert_eq!((spec.only.clone(), spec.sort.clone()), (None, vec![]));
    assert_eq!((spec.null_partition, spec.compression), (NullPartition::Default, Compression::Zstd));
    assert_eq!(column(&spec, "price").source, Source::Field("price".into()));
    assert_eq!(column(&spec, "ts").format, Some(Format::Rfc3339));
    assert_eq!(column(&spec, "day").format, Some(Format::Strftime("%Y-%m-%d".into())));
    assert_eq!(column(&spec, "ts_ns").format, None, "a plain number");
    assert_eq!(spec.partitions[0].transform, Transform::Day);
    assert_eq!(spec.partitions[0].of, PartitionSource::Column(0));
    assert_eq!(spec.partitions[1].transform, Transform::Identity);
    assert_eq!(spec.partitions[1].of, PartitionSource::Source(Source::Pointer(pointer("/sym")), None));
}

#[test]
fn every_property_is_read() {
    let spec = spec(
        "'ticklake.timezone' = 'America/New_York',
         'ticklake.records' = '/data/0',
         'ticklake.only' = '/T = \"t\"',
         'ticklake.sort' = 'TS, seq',
         'ticklake.null_partition' = 'reject',
         'ticklake.source.Price' = '/p',
         'ticklake.source.raw' = '@headers.trace id',
         'ticklake.source.ts_ns' = '/t',
         'ticklake.format.ts' = 'epoch_ms',
         'ticklake.format.ts_ns' = 'rfc3339',
         'ticklake.format.day' = '%d.%m.%Y',
         'parquet.compression' = 'snappy'",
    );
    assert_eq!(spec.timezone, chrono_tz::America::New_York);
    assert_eq!(spec.records, pointer("/data/0"));
    assert_eq!(spec.only, Some(Only { pointer: pointer("/T"), value: Scalar::String("t".into()) }));
    assert_eq!(spec.sort, [0, 3]);
    assert_eq!((spec.null_partition, spec.compression), (NullPartition::Reject, Compression::Snappy));
    assert_eq!(column(&spec, "price").source, Source::Pointer(pointer("/p")));
    assert_eq!(column(&spec, "raw").source, Source::Header("trace id".into()));
    assert_eq!(column(&spec, "ts").format, Some(Format::EpochMillis));
    assert_eq!(column(&spec, "ts_ns").format, Some(Format::Rfc3339));
    assert_eq!(column(&spec, "day").format, Some(Format::Strftime("%d.%m.%Y".into())));
}

#[test]
fn a_condition_is_a_pointer_and_a_scalar() {
    let cases = [
        ("/T = \"t\"", "/T", Scalar::String("t".into())),
        ("/Adj Close=\"x = y\"", "/Adj Close", Scalar::String("x = y".into())),
        ("/final=true", "/final", Scalar::Bool(true)),
        ("/x/~1y = null", "/x/~1y", Scalar::Null),
        ("/n = -1.50e3", "/n", Scalar::Number("-1.50e3".into())),
        (" = \"bare\"", "", Scalar::String("bare".into())),
    ];
    for (text, at, value) in cases {
        let spec = spec(&format!("'ticklake.only' = '{text}'"));
        assert_eq!(spec.only, Some(Only { pointer: pointer(at), value }), "{text}");
    }
}

#[test]
fn records_themselves_are_sources() {
    let text = "CREATE EXTERNAL TABLE market.raw (
          at timestamp, at_ms bigint, topic string, part int, part_l bigint, off bigint, k string, kb binary, h binary, whole string
        ) PARTITIONED BY (`date` string, part_of string, hour string) STORED AS PARQUET TBLPROPERTIES (
          'ticklake.source.at' = '@timestamp', 'ticklake.source.at_ms' = '@timestamp', 'ticklake.source.topic' = '@topic',
          'ticklake.source.part' = '@partition', 'ticklake.source.part_l' = '@partition', 'ticklake.source.off' = '@offset',
          'ticklake.source.k' = '@key', 'ticklake.source.kb' = '@key', 'ticklake.source.h' = '@headers.x',
          'ticklake.source.whole' = '', 'ticklake.partition.date' = 'day(@timestamp)',
          'ticklake.partition.part_of' = 'identity(@key)', 'ticklake.partition.hour' = 'hour(/time)',
          'ticklake.format.hour' = 'epoch_s')";
    let spec = Spec::from_ddl(&Ddl::parse(text).unwrap()).unwrap();
    let sources: Vec<&Source> = spec.columns.iter().map(|c| &c.source).collect();
    use Source::*;
    let header = Header("x".into());
    let whole = Source::Pointer(pointer(""));
    assert_eq!(
        sources,
        [&Timestamp, &Timestamp, &Topic, &Partition, &Partition, &Offset, &Key, &Key, &header, &whole]
    );
    assert!(spec.columns.iter().all(|c| c.format.is_none()));
    assert_eq!(spec.partitions[0].of, PartitionSource::Source(Timestamp, None));
    assert_eq!(spec.partitions[1].of, PartitionSource::Source(Key, None));
    let time = PartitionSource::Source(Source::Pointer(pointer("/time")), Some(Format::EpochSeconds));
    assert_eq!(spec.partitions[2].of, time);
}

#[test]
fn a_wrong_property_is_refused_with_its_line_and_the_fix() {
    let cases = [
        (
            "'ticklake.timezon' = 'UTC'",
            "line 12: 'ticklake.timezon': no such key; did you mean 'ticklake.timezone'?",
        ),
        (
            "'Ticklake.Sorted' = 'ts'",
            "line 12: 'Ticklake.Sorted': no such key; did you mean 'ticklake.sort'?",
        ),
        ("'ticklake.sources.price' = '/p'", "did you mean 'ticklake.source.price'?"),
        ("'ticklake.source.pirce' = '/p'", "did you mean 'ticklake.source.price'?"),
        (
            "'ticklake.compaction' = 'on'",
            "no such key; known are ticklake. followed by partition.NAME, source.COLUMN, format.COLUMN, timezone, records, messages, only, sort, null_partition",
        ),
        (
            "'ticklake.source.volume_of_day' = '/v'",
            "no such key; the table has no column `volume_of_day` that ticklake.source could be for",
        ),
        (
            "'ticklake.partition.price_level' = 'identity(/p)'",
            "the table has no column `price_level` that ticklake.partition could be for",
        ),
        (
            "'ticklake.source.symbol' = '/s'",
            "`symbol` is a partition column: its source stands in 'ticklake.partition.symbol'",
        ),
        (
            "'ticklake.sort' = 'ts',\n'ticklake.SORT' = 'seq'",
            "line 13: 'ticklake.SORT': it is there already as 'ticklake.sort'",
        ),
        (
            "'ticklake.source.price' = 'p'",
            "'p' is no source: write '/p' for a field of the record, or one of @key",
        ),
        ("'ticklake.source.price' = '/a~2'", "'/a~2' is no JSON Pointer: write '~' as ~0"),
        (
            "'ticklake.source.raw' = '@header.x'",
            "'@header.x' is no source: write @key, @timestamp, @topic, @partition, @offset or @headers.NAME, or a JSON Pointer",
        ),
        ("'ticklake.source.raw' = '@headers.'", "'@headers.' is no source"),
        (
            "'ticklake.source.raw' = '@timestamp'",
            "@timestamp cannot give `raw` string: make the column timestamp or bigint",
        ),
        ("'ticklake.source.raw' = '@offset'", "@offset cannot give `raw` string: make the column bigint"),
        (
            "'ticklake.source.raw' = '@partition'",
            "@partition cannot give `raw` string: make the column int or bigint",
        ),
        ("'ticklake.source.seq' = '@topic'", "@topic cannot give `seq` int: make the column string"),
        (
            "'ticklake.source.price' = '@key'",
            "@key cannot give `price` decimal(18,4): make the column string or binary",
        ),
        ("'ticklake.source.price' = '@headers.p'", "@headers cannot give `price`"),
        (
            "'ticklake.format.ts' = 'epoch'",
            "'epoch' is no format: for a time write epoch_s, epoch_ms, epoch_us, epoch_ns, rfc3339 or a strftime pattern",
        ),
        ("'ticklake.format.ts' = '%Y-%Q'", "'%Y-%Q' is no strftime pattern"),
        ("'ticklake.format.ts' = '%H:%M'", "'%H:%M' gives no day: add the year, the month and the day"),
        ("'ticklake.format.price' = 'epoch_ms'", "`price` is no time: its only format is 'rounded'"),
        (
            "'ticklake.source.ts' = '@timestamp',\n'ticklake.format.ts' = 'epoch_ms'",
            "line 13: 'ticklake.format.ts': `ts` is no field of the record and takes no format",
        ),
        (
            "'ticklake.format.ts' = 'rounded'",
            "`ts` timestamp is not rounded: make it a decimal, or remove the property",
        ),
        ("'ticklake.format.symbol' = 'epoch_ms'", "identity(/sym) takes no format: remove the property"),
        (
            "'ticklake.format.date' = 'epoch_ms'",
            "the partition is cut from a column: write 'ticklake.format.ts' instead",
        ),
        (
            "'ticklake.timezone' = 'America/New York'",
            "'America/New York' is no time zone of the IANA database: did you mean 'America/New_York'?",
        ),
        (
            "'ticklake.timezone' = '+02:00'",
            "'+02:00' is no time zone of the IANA database: use a name such as UTC",
        ),
        ("'ticklake.records' = 'data'", "'data' is no JSON Pointer: it begins with '/'"),
        ("'ticklake.only' = '/T'", "'/T' is no condition: write POINTER = JSON-SCALAR and nothing more"),
        ("'ticklake.only' = '/T = t'", "'/T = t' is no condition"),
        ("'ticklake.only' = '/T = [1]'", "'/T = [1]' is no condition"),
        ("'ticklake.only' = '/T = \"t\" or /T = \"u\"'", "is no condition"),
        ("'ticklake.only' = 'T = 1'", "'T' is no JSON Pointer"),
        (
            "'ticklake.sort' = 'ts desc'",
            "the table has no column 'ts desc' to sort by: write names of columns, separated by commas, all ascending",
        ),
        ("'ticklake.sort' = ''", "the table has no column '' to sort by"),
        (
            "'ticklake.sort' = 'symbol, ts'",
            "`symbol` is a partition column, the same in all of a file: leave it out",
        ),
        ("'ticklake.sort' = 'quote'", "`quote` struct<bid:double,at:timestamp> has no order"),
        ("'ticklake.sort' = 'ts,TS'", "`TS` is in the order twice"),
        (
            "'ticklake.null_partition' = 'drop'",
            "'drop' is no answer to a null: write default (the partition __HIVE_DEFAULT_PARTITION__) or reject",
        ),
        (
            "'parquet.compression' = 'GZIP'",
            "line 12: 'parquet.compression': 'GZIP' is no compression that is written here: use ZSTD, SNAPPY or NONE",
        ),
    ];
    for (properties, message) in cases {
        let error = refusal(&ddl(properties));
        assert!(error.contains(message), "of {properties}\nexpected {message}\nfound    {error}");
        assert!(error.starts_with("line 1"), "no line in {error}");
    }
}

#[test]
fn a_partition_that_cannot_be_cut_is_refused() {
    let cases = [
        (
            "",
            "the partition column `date` has no source: add 'ticklake.partition.date' = 'day(ts)' to TBLPROPERTIES",
        ),
        ("ts", "'ts' is no transform: write TRANSFORM(COLUMN or source), as in day(ts)"),
        ("date(ts)", "'date' is no transform: use one of identity, year, month, day, hour"),
        (
            "day(tss)",
            "the table has no column 'tss': did you mean 'ts'? For a field of the record write /tss",
        ),
        ("day(timestamp)", "the table has no column 'timestamp': for a field of the record write /timestamp"),
        ("day()", "the table has no column ''"),
        (
            "day(sym)",
            "day cuts a time, and `sym` is string: give it a column of timestamp or date, @timestamp, or a pointer such as /sym",
        ),
        (
            "day(ts_ns)",
            "`ts_ns` is a number and not yet a time: say how to read it, as in 'ticklake.format.ts_ns' = 'epoch_ns'",
        ),
        ("hour(day)", "`day` is a date and has no hour: use day(day)"),
        ("day(@offset)", "day cuts a time, and @offset is none"),
        ("day(@key)", "day cuts a time, and @key is none"),
        ("day(@time)", "'@time' is no source"),
        ("identity(@timestamp)", "identity would make a partition for every record: use day(@timestamp)"),
        ("identity(@offset)", "identity would make a partition for every record"),
        ("identity(ts)", "identity would make a partition for every instant of `ts`: use day(ts)"),
        (
            "identity(rate)",
            "`rate` double cannot be a partition by identity, since one number has many texts: use decimal(p,s), or a string",
        ),
        (
            "identity(conditions)",
            "`conditions` array<string> cannot be a partition by identity, since it is not one value: name a field in it by a pointer",
        ),
        ("identity(extra)", "cannot be a partition by identity"),
        ("identity(quote)", "cannot be a partition by identity"),
    ];
    for (transform, message) in cases {
        let text = ddl("").to_string();
        let property = "'ticklake.partition.date' = 'day(ts)'";
        let changed = if transform.is_empty() {
            text.replace(&format!(",\n  {property}"), "")
        } else {
            text.replace(property, &format!("'ticklake.partition.date' = '{transform}'"))
        };
        assert_ne!(text, changed);
        let error = refusal(&Ddl::parse(&changed).unwrap());
        assert!(error.contains(message), "of {transform}\nexpected {message}\nfound    {error}");
    }
    for transform in [
        "year(ts)",
        "month(day)",
        "hour(ts)",
        "identity(seq)",
        "identity(ok)",
        "identity(price)",
        "identity(day)",
        "identity(@topic)",
        "identity(@partition)",
        "identity(@headers.venue)",
        "day(@timestamp)",
        "day(/t)",
        " day ( TS ) ",
    ] {
        let text = ddl("").to_string().replace("day(ts)", transform);
        Spec::from_ddl(&Ddl::parse(&text).unwrap()).unwrap_or_else(|e| panic!("{transform}: {e}"));
    }
}

#[test]
fn a_table_that_could_have_no_row_is_refused() {
    let table = |columns: &str, rest: &str| {
        Ddl::parse(&format!(
            "CREATE EXTERNAL TABLE db.t ({columns}) {rest} STORED AS PARQUET
            TBLPROPERTIES ('ticklake.partition.symbol' = 'identity(/symbol)')"
        ))
        .unwrap()
    };
    let by_symbol = "PARTITIONED BY (symbol string)";
    for (columns, message) in [
        (
            "c binary",
            "JSON cannot give `c` a binary: make it string, or take it from @key or @headers.NAME by 'ticklake.source.c'",
        ),
        ("c array<struct<x:binary>>", "JSON cannot give `c` a binary"),
        (
            "c map<int,string>",
            "JSON cannot give `c` a map with keys of int: the names in an object are texts, so use map<string,…>",
        ),
    ] {
        assert!(refusal(&table(columns, by_symbol)).starts_with(message));
    }
    let no_partition = Ddl::parse("CREATE EXTERNAL TABLE db.t (c int) STORED AS PARQUET").unwrap();
    assert_eq!(
        refusal(&no_partition),
        "the table db.t has no PARTITIONED BY: add it, as in PARTITIONED BY (`date` string, `symbol` string)"
    );
}

#[test]
fn a_ddl_out_of_a_catalog_has_no_lines_to_name() {
    let mut ddl = ddl("'ticklake.sort' = 'x'");
    ddl.properties.iter_mut().for_each(|p| p.line = 0);
    assert!(refusal(&ddl).starts_with("'ticklake.sort': the table has no column 'x'"));
}

#[test]
fn the_canonical_text_is_what_decides_fate() {
    let spec = spec(
        "'ticklake.only' = '/T = \"t\"', 'ticklake.messages' = '/channel = \"trade\"',
         'ticklake.source.raw' = '@headers.a\\nb', 'ticklake.format.ts_ns' = 'epoch_ms',
         'ticklake.timezone' = 'Europe/London', 'ticklake.source.price' = '/p 1', 'ticklake.source.sym' = '@key'",
    );
    assert_eq!(
        spec.canonical(),
        "ticklake spec 1\n\
         timezone Europe/London\n\
         records \"\"\n\
         messages \"/channel\" = \"trade\"\n\
         only \"/T\" = \"t\"\n\
         null_partition default\n\
         partition date day column ts\n\
         partition symbol identity pointer \"/sym\"\n\
         column conditions array<string> field \"conditions\"\n\
         column day date field \"day\" strftime \"%Y-%m-%d\"\n\
         column extra map<string,int> field \"extra\"\n\
         column ok boolean field \"ok\"\n\
         column price decimal(18,4) pointer \"/p 1\"\n\
         column quote struct<bid:double,at:timestamp> field \"quote\"\n\
         column rate double field \"rate\"\n\
         column raw string @headers \"a\\nb\"\n\
         column seq int field \"seq\"\n\
         column sym string @key\n\
         column ts timestamp field \"ts\" rfc3339\n\
         column ts_ns bigint field \"ts_ns\" epoch_ms\n"
    );
    assert_eq!(spec.hash().len(), 16);
}

/// A hash is in every footer for good: a change of this value is a change of the format.
#[test]
fn the_hash_of_a_spec_never_changes() {
    let ddl = Ddl::parse(
        "CREATE EXTERNAL TABLE db.t (ts timestamp, price decimal(18,4)) PARTITIONED BY (`date` string) STORED AS PARQUET
         TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)')",
    );
    assert_eq!(Spec::from_ddl(&ddl.unwrap()).unwrap().hash(), "75579487d9d4b7a6");
}

#[test]
fn only_what_decides_fate_changes_the_hash() {
    let base = spec("");
    let same = [
        "'ticklake.sort' = 'ts'",
        "'parquet.compression' = 'NONE'",
        "'ticklake.timezone' = 'UTC'",
        "'ticklake.records' = ''",
        "'ticklake.null_partition' = 'default'",
        "'ticklake.format.ts' = 'rfc3339'",
        "'comment' = 'x'",
    ];
    for properties in same {
        assert_eq!(spec(properties).hash(), base.hash(), "{properties}");
    }
    let mut moved = ddl("");
    moved.columns.reverse();
    moved.name = "db.other".parse().unwrap();
    moved.location = None;
    moved.columns[0].comment = Some("x".into());
    assert_eq!(Spec::from_ddl(&moved).unwrap().hash(), base.hash(), "order, names and comments");

    let other = [
        "'ticklake.timezone' = 'Europe/London'",
        "'ticklake.records' = '/data'",
        "'ticklake.only' = '/a = 1'",
        "'ticklake.only' = '/a = \"1\"'",
        "'ticklake.null_partition' = 'reject'",
        "'ticklake.format.ts' = 'epoch_ms'",
        "'ticklake.source.price' = '/price'",
        "'ticklake.source.sym' = '@key'",
    ];
    let mut hashes: Vec<String> = other.iter().map(|properties| spec(properties).hash()).collect();
    hashes.push(base.hash());
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), other.len() + 1, "two of them have one hash");
}

#[test]
fn added_columns_are_told_from_other_changes() {
    let old = spec("");
    let changed = |from: &str, to: &str| {
        let text = ddl("").to_string();
        assert!(text.contains(from), "{from}");
        Spec::from_ddl(&Ddl::parse(&text.replace(from, to)).unwrap()).unwrap()
    };
    assert!(old.adds_only_columns_to(&old));
    let first = changed("`ts` timestamp", "`first` int,\n  `ts` timestamp");
    assert!(first.adds_only_columns_to(&old), "the place of a column makes no difference");
    assert!(!old.adds_only_columns_to(&first), "a column was dropped");
    for (from, to) in [
        ("`seq` int", "`seq` bigint"),
        ("`seq` int", "`sequence` int"),
        ("'day(ts)'", "'month(ts)'"),
        ("'day(ts)'", "'day(/ts)'"),
        ("'identity(/sym)'", "'identity(sym)'"),
        ("'classification'", "'ticklake.only' = '/a = 1', 'classification'"),
        ("'classification'", "'ticklake.timezone' = 'Asia/Tokyo', 'classification'"),
        ("'classification'", "'ticklake.format.ts' = 'epoch_s', 'classification'"),
    ] {
        assert!(!changed(from, to).adds_only_columns_to(&old), "{from} to {to}");
        let is_wider = to == "`seq` bigint" || to == "`sequence` int";
        assert_eq!(changed(from, to).changes_only_columns_of(&old), is_wider, "{from} to {to}");
    }
    assert!(old.changes_only_columns_of(&first) && first.changes_only_columns_of(&old));
    assert!(!old.changes_only_columns_of(&changed("`seq` int", "`seq` bigint")), "narrower than the files");
}
