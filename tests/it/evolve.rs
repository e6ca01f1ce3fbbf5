//! What a table may become: the change in words, and what its files forbid.

use proptest::prelude::*;
use ticklake::error::Kind;
use ticklake::table::columns::file_schema;
use ticklake::table::ddl::read_type;
use ticklake::table::{ColumnType, Ddl, Evolution};

const TABLE: &str = "CREATE EXTERNAL TABLE market.ticks (
  ts timestamp, price decimal(18,4), size int COMMENT 'shares', ratio float, quote struct<bid:double>)
COMMENT 'ticks'
PARTITIONED BY (`date` string, symbol string)
STORED AS PARQUET
LOCATION 's3://lake/ticks/'
TBLPROPERTIES ('ticklake.partition.date' = 'day(ts)', 'ticklake.partition.symbol' = 'identity(/symbol)',
  'ticklake.sort' = 'ts', 'recordCount' = '12')";

fn ddl(changes: &[(&str, &str)]) -> Ddl {
    let mut text = TABLE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    Ddl::parse(&text).unwrap()
}

fn lines(changes: &[(&str, &str)], kept: &[Ddl]) -> Vec<String> {
    Evolution::new(&ddl(&[]), &ddl(changes), kept).unwrap().lines
}

/// The reason why it is refused.
fn refused(changes: &[(&str, &str)], kept: &[Ddl]) -> String {
    let error = Evolution::new(&ddl(&[]), &ddl(changes), kept).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    error.to_string()
}

const RESTART: &str = "! a job that runs goes on under its own DDL: stop it, so that it writes what it has read, and start it \
                       with this one";

#[test]
fn a_change_is_told_in_lines() {
    let found = lines(
        &[
            ("ts timestamp, price decimal(18,4)", "price decimal(18,4) COMMENT 'it''s', ts timestamp"),
            ("size int COMMENT 'shares', ratio float,", "size bigint, venue string COMMENT 'where',"),
            ("'ticks'", "'all ticks'"),
            ("symbol string)", "symbol string COMMENT 'as traded')"),
            (
                "'ticklake.sort' = 'ts', 'recordCount' = '12'",
                "'parquet.compression' = 'SNAPPY', 'EXTERNAL' = 'TRUE'",
            ),
        ],
        &[],
    );
    let expected = [
        "- `ratio` float (its values stay in the files, unseen)",
        "+ `venue` string COMMENT 'where' (null in the files that are there)",
        r"~ `price` comment none → 'it\'s'",
        "~ `size` int → bigint",
        "~ `size` comment 'shares' → none",
        "~ `symbol` comment none → 'as traded'",
        "~ the order of the columns",
        "~ comment 'ticks' → 'all ticks'",
        "- 'ticklake.sort' = 'ts'",
        "+ 'parquet.compression' = 'SNAPPY'",
        "! a column is not renamed: the one is dropped and the other added, which is null in the files that are there",
        RESTART,
    ];
    assert_eq!(found, expected);
    assert_eq!(
        lines(&[("'ticklake.sort' = 'ts'", "'ticklake.sort' = 'size'")], &[]),
        ["~ 'ticklake.sort' = 'ts' → 'size'"]
    );
}

#[test]
fn what_the_ddl_does_not_name_stays() {
    let bare =
        [("COMMENT 'ticks'\n", ""), ("LOCATION 's3://lake/ticks/'\n", ""), (", 'recordCount' = '12'", "")];
    let Evolution { to, lines, .. } = Evolution::new(&ddl(&[]), &ddl(&bare), &[]).unwrap();
    assert_eq!(lines, [""; 0]);
    assert!(to.says_the_same_as(&ddl(&[])));
}

#[test]
fn another_fate_is_warned_of() {
    let other_fate = |found: Vec<String>| {
        found.last().is_some_and(|line| line.starts_with("! records may get another fate"))
    };
    for change in [
        ("'day(ts)'", "'month(ts)'"),
        ("'identity(/symbol)'", "'identity(/sym)'"),
        ("'ticklake.sort' = 'ts'", "'ticklake.only' = '/t = 1'"),
        ("'ticklake.sort' = 'ts'", "'ticklake.records' = '/data'"),
        ("'ticklake.sort' = 'ts'", "'ticklake.timezone' = 'Asia/Tokyo'"),
        ("'ticklake.sort' = 'ts'", "'ticklake.source.size' = '/s'"),
        ("'ticklake.sort' = 'ts'", "'ticklake.format.ts' = 'epoch_ms'"),
    ] {
        assert!(other_fate(lines(&[change], &[])), "{change:?}");
    }
    // What is in the catalog says less than what wrote.
    let dropped = [("ratio float, ", "")];
    assert_eq!(lines(&dropped, &[]).last().unwrap(), RESTART);
    assert!(other_fate(lines(&dropped, &[ddl(&[("'day(ts)'", "'year(ts)'")])])));
}

#[test]
fn what_files_cannot_be_read_as_is_refused() {
    for (from, to, why) in [
        ("size int", "size smallint", "may not fit"),
        ("size int", "size double", "nothing else"),
        ("size int", "size string", "`size` is int; it cannot be string"),
        ("ts timestamp", "ts timestamp, size2 int", ""),
        ("price decimal(18,4)", "price decimal(20,4)", "the digits that it was registered with"),
        ("price decimal(18,4)", "price double", "nothing else"),
        (
            "quote struct<bid:double>",
            "quote struct<bid:double,ask:double>",
            "the fields that it was registered with",
        ),
        ("quote struct<bid:double>", "quote struct<bid:float>", "another name"),
        ("'s3://lake/ticks/'", "'s3://lake/other/'", "leave it out"),
        (
            "`date` string, symbol string",
            "symbol string, `date` string",
            "partition columns of a table cannot change",
        ),
    ] {
        match why {
            "" => assert_eq!(lines(&[(from, to)], &[]).len(), 2, "{to}"),
            why => {
                assert!(refused(&[(from, to)], &[]).contains(why), "{to}: {}", refused(&[(from, to)], &[]))
            }
        }
    }
    // What uses a column that is gone is no valid DDL any more.
    let gone = [("ts timestamp, ", ""), ("'ticklake.sort' = 'ts', ", "")];
    assert!(refused(&gone, &[]).contains("no column 'ts'"), "{}", refused(&gone, &[]));
    let sorted = [("size int COMMENT 'shares', ", "")];
    let was = ddl(&[("'ticklake.sort' = 'ts'", "'ticklake.sort' = 'size'")]);
    let wanted = Ddl { columns: ddl(&sorted).columns, ..was.clone() };
    assert!(
        Evolution::new(&was, &wanted, &[]).unwrap_err().to_string().contains("no column 'size' to sort by")
    );
}

#[test]
fn only_numbers_grow() {
    let types = "boolean tinyint smallint int bigint float double decimal(9,2) decimal(9,3) decimal(18,2) string binary date \
                 timestamp array<int> array<bigint> map<string,int> map<string,bigint> struct<a:int> struct<a:bigint> \
                 struct<a:int,b:int>";
    let types: Vec<ColumnType> = types.split(' ').map(|text| read_type(text).unwrap()).collect();
    let mut pairs = Vec::new();
    for from in &types {
        assert!(from.reads_as(from));
        pairs.extend(
            types.iter().filter(|to| from != *to && from.reads_as(to)).map(|to| format!("{from} {to}")),
        );
    }
    let expected = "tinyint smallint, tinyint int, tinyint bigint, smallint int, smallint bigint, int bigint, float double";
    assert_eq!(pairs.join(", "), expected);
}

/// What was dropped is in the files still.
#[test]
fn columns_of_older_ddls_count() {
    let older = |column: &str| [ddl(&[("ts timestamp", &format!("ts timestamp, venue {column}"))])];
    let added = [("ts timestamp", "ts timestamp, venue bigint")];
    let error = refused(&added, &older("string"));
    assert!(error.contains("an older DDL of the table had `venue` as string"), "{error}");
    let evolution = Evolution::new(&ddl(&[]), &ddl(&added), &older("tinyint")).unwrap();
    assert_eq!(evolution.lines[0], "+ `venue` bigint (older files have values of it)");
    assert_eq!(evolution.widened, ["venue"]);
    // The catalog's own type is not all that is in files.
    let wide = [ddl(&[("size int", "size bigint")])];
    assert!(refused(&[("size int", "size smallint")], &wide).contains("another name"));
    assert!(Evolution::new(&ddl(&[]), &ddl(&[]), &wide).is_err(), "a catalog that was changed by hand");
}

proptest! {
    /// What was applied leaves nothing to change, whatever the table was and is to be.
    #[test]
    fn what_was_applied_is_nothing_to_change(
        was in prop::collection::vec(simple(), 0..5),
        to in prop::collection::vec(simple(), 0..5),
        kept in prop::collection::vec(prop::collection::vec(simple(), 0..5), 0..3),
    ) {
        let table = |types: &[ColumnType]| {
            let columns: String = types.iter().enumerate().map(|(i, of)| format!(", c{i} {of}")).collect();
            ddl(&[("ts timestamp", &format!("ts timestamp{columns}"))])
        };
        let (was, wanted) = (table(&was), table(&to));
        let kept: Vec<Ddl> = kept.iter().map(|types| table(types)).collect();
        match Evolution::new(&was, &wanted, &kept) {
            Ok(evolution) => {
                prop_assert_eq!(evolution.lines.is_empty(), was == wanted);
                let again = Evolution::new(&evolution.to, &wanted, &[&kept[..], &[was]].concat()).unwrap();
                prop_assert_eq!(&again.lines, &[""; 0]);
                prop_assert_eq!(again.to, evolution.to);
            }
            // Only a column that some file holds otherwise is in the way.
            Err(e) => {
                let ours = file_schema(&wanted.columns);
                let schemas = kept.iter().chain([&was]).map(|theirs| file_schema(&theirs.columns));
                let theirs: Vec<_> = schemas.flat_map(|schema| schema.fields().to_vec()).collect();
                let is_other = theirs.iter().any(|f| ours.field_with_name(f.name()).is_ok_and(|g| *g != **f));
                prop_assert!(is_other, "{}", e);
            }
        }
    }
}

fn simple() -> impl Strategy<Value = ColumnType> {
    use ColumnType::{BigInt, Boolean, Date, Double, Float, Int, SmallInt, String, Timestamp, TinyInt};
    prop::sample::select(vec![
        TinyInt, SmallInt, Int, BigInt, Float, Double, String, Boolean, Date, Timestamp,
    ])
}
